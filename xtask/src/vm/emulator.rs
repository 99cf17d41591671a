//! A computer in software that boots a machine and runs a story on it: qemu, by virtme-ng.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use super::debian::Machine;
use super::story::{Heard, Story};
use crate::shell::{capture, command, root, run as run_seen, search_path};

const VIRTME: &str = "virtme-ng==1.42";

/// What the guest does first: its modules come from its own disk, the second disk holds the
/// story, and the kernel does not speak between its lines. A machine without a name goes by its address, which tests of
/// the name do not expect.
const FIRST: &str = "dmesg -n 1; echo guest > /proc/sys/kernel/hostname; umount /lib/modules; mkdir -p /opt/pm; mount -o ro /dev/vdb /opt/pm; sh /opt/pm/story 2>&1";

/// How many lines are shown of a machine that stopped.
const LAST_WORDS: usize = 30;

/// Boots the machine, shows what the story tells, and returns what was heard.
pub(super) fn run(machine: &Machine, story: &Story) -> Result<Heard> {
    let virtme = installed()?;
    let stage = tempfile::tempdir_in(root().join("target"))?;
    let (files, disk) = (stage.path().join("files"), stage.path().join("disk"));
    fs::create_dir(&files)?;
    story.write(&files)?;
    let mut format = command("mke2fs", ["-q", "-t", "ext4", "-O", "^has_journal", "-d"]);
    format.arg(&files).arg(&disk).arg("1G");
    capture(format).context("the disk of the tests cannot be made")?;

    let mut boot = command("nice", [virtme.as_path()]);
    boot.arg("--kimg").arg(&machine.kernel).args(["--mods", "auto"]);
    boot.arg("--root-disk").arg(&machine.disk).args(["--root-fstype", "ext4", "--rw"]);
    boot.arg(format!("--blk-disk=tests={}", disk.display()));
    // What the guest writes is gone with it.
    boot.arg("-q=-snapshot").args(["--memory", "2G", "--cpus", "2"]);
    boot.args(["--verbose", "--show-boot-console", "--script-sh", FIRST]);
    if !can_virtualise() {
        boot.arg("--disable-kvm");
    }
    boot.env("PATH", format!("{}:{}", virtme.parent().unwrap_or(Path::new("/")).display(), search_path()));
    // The guest has no udev, by which virtme-ng finds better ways out of it: everything comes over the console, and
    // that goes to the second output.
    boot.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = boot.spawn().context("virtme-run cannot be started")?;
    let (mut heard, mut last) = (Heard::default(), VecDeque::new());
    for line in BufReader::new(child.stderr.take().context("it has no output")?).split(b'\n') {
        let line = line.context("the guest cannot be heard")?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        if heard.line(line) {
            println!("{line}");
        }
        last.push_back(line.to_owned());
        if last.len() > LAST_WORDS {
            last.pop_front();
        }
    }
    child.wait().context("cannot wait for the guest")?;
    ensure!(
        heard.ended,
        "the machine stopped before its story did. Its last words:\n{}",
        Vec::from(last).join("\n")
    );
    heard.count_the_silent(story);
    Ok(heard)
}

/// `virtme-run`, in a folder of its own.
fn installed() -> Result<PathBuf> {
    let folder = root().join("target/emulator");
    let program = folder.join("bin/virtme-run");
    if !program.is_file() {
        run_seen(command("python3", ["-m", "venv"].map(Path::new).into_iter().chain([folder.as_path()])))?;
        run_seen(command(folder.join("bin/pip"), ["install", "--quiet", VIRTME]))?;
    }
    Ok(program)
}

/// Whether the processor can run a guest by itself. A device alone does not say so.
fn can_virtualise() -> bool {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let able = processors.split_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    able && fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}
