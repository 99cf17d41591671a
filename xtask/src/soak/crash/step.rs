//! A system call at which a program can be killed: found in what strace tells of an undisturbed run.

use std::collections::BTreeMap;
use std::fmt;

/// What is traced: every call that can change a file, the kernel, a socket or another process, and `openat`, of which some
/// make files. The question mark is for the calls that an architecture does not have.
pub(super) const TRACED: &str = "?creat,?open,openat,?openat2,?mkdir,mkdirat,write,pwrite64,writev,pwritev,\
?pwritev2,ftruncate,?truncate,fallocate,copy_file_range,?sendfile,splice,fsync,fdatasync,?sync_file_range,\
fchmod,?chmod,fchmodat,?chown,fchown,fchownat,?link,linkat,?symlink,symlinkat,?rename,renameat,renameat2,\
?unlink,unlinkat,?rmdir,flock,connect,bind,sendto,sendmsg,?sendmmsg,clone,?clone3,?vfork,?fork,kill";

/// One call, by its place among those of its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    /// Its name.
    pub(super) call: String,
    /// Which of them, counted from one as strace does.
    pub(super) nth: u32,
    /// What strace says of it.
    line: String,
}

impl Step {
    /// Whether it is about a file, so that a disk can be at fault.
    pub(super) fn is_of_a_file(&self) -> bool {
        // By an eventfd, which has no disk, the program wakes itself.
        let is_other = self.is_to("anon_inode") || matches!(self.call.as_str(), "kill" | "flock");
        !is_other && !self.is_of_a_socket() && !self.is_a_start()
    }

    /// Whether a full disk can be at fault.
    pub(super) fn takes_room(&self) -> bool {
        self.is_of_a_file()
            && ["open", "write", "mkdir", "link"].iter().any(|call| self.call.starts_with(call))
    }

    /// Whether something is sent.
    pub(super) fn is_of_a_socket(&self) -> bool {
        self.is_to("socket:")
    }

    /// Whether a process is started.
    pub(super) fn is_a_start(&self) -> bool {
        matches!(self.call.as_str(), "clone" | "clone3" | "vfork" | "fork")
    }
}

impl Step {
    /// Whether its descriptor is one of these: strace tells in angle brackets what it stands for.
    fn is_to(&self, kind: &str) -> bool {
        let first = self.line.split_once('(').map_or("", |(_, rest)| rest);
        let digits = first.trim_start_matches(|letter: char| letter.is_ascii_digit());
        digits.len() < first.len() && digits.strip_prefix('<').is_some_and(|rest| rest.starts_with(kind))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.line.chars().take(100).collect();
        write!(f, "{} {}: {shown}", self.call, self.nth)
    }
}

/// The calls of a run that change something, in their order.
pub(super) fn steps(trace: &str) -> Vec<Step> {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut steps = Vec::new();
    for line in trace.lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let nth = seen.entry(call).or_default();
        *nth += 1;
        let only_looks = call.starts_with("open") && !line.contains("O_CREAT") && !line.contains("O_TRUNC");
        if !only_looks {
            steps.push(Step { call: call.to_owned(), nth: *nth, line: line.to_owned() });
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_no_disk() {
        let trace = "writev(11<socket:[7]>, [{iov_base=\"POST\"}], 2) = 9\n\
                     write(4<anon_inode:[eventfd]>, \"\\1\", 8) = 8\n\
                     write(3</etc/socket:x>, \"\", 0)  = 0\n";
        let found: Vec<_> = steps(trace)
            .iter()
            .map(|step| (step.is_of_a_socket(), step.is_of_a_file(), step.takes_room()))
            .collect();
        assert_eq!(found, [(true, false, false), (false, false, false), (false, true, true)]);
    }

    #[test]
    fn calls_are_counted_by_name_and_those_that_only_look_are_left_out() {
        let trace = "openat(AT_FDCWD, \"/etc/ld.so.cache\", O_RDONLY|O_CLOEXEC) = 3\n\
                     openat(AT_FDCWD, \"/x\", O_WRONLY|O_CREAT, 0600) = 3\n\
                     write(3, \"(\", 1)  = 1\n\
                     +++ exited with 0 +++\n\
                     write(3, \"\", 0)  = 0\n";
        let found: Vec<_> = steps(trace).into_iter().map(|step| (step.call, step.nth)).collect();
        assert_eq!(found, [("openat".into(), 2), ("write".into(), 1), ("write".into(), 2)]);
    }
}
