//! Whose a process is. Its folder in `/proc` does not tell: that is root's for any process that hides its memory.

use std::fs;
use std::path::Path;

use crate::file;

/// Whether the process with this folder in `/proc` is root's or our own, by the rights that it has.
pub fn is_trusted(process: &Path) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    effective_user(&status).is_some_and(file::is_trusted)
}

/// The second of the four users that the kernel tells: real, effective, saved, of files.
fn effective_user(status: &str) -> Option<u32> {
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_whose_rights_it_has() {
        assert!(is_trusted(Path::new("/proc/self")));
        assert!(!is_trusted(Path::new("/proc/no such process")));
        // A process can give itself a name with a line's end in it; the kernel writes that as `\\n`.
        let status = "Name:\tcron\\nUid:\t0\t0\t0\t0\nUmask:\t0022\nUid:\t1000\t1001\t0\t0\n";
        assert_eq!(effective_user(status), Some(1001));
    }
}
