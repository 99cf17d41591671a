//! A network namespace with a mount namespace of its own, alive as long as its value.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::process::{Background, Finished, PATH, must, run};

/// How long a command of the laboratory itself may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the holder does: loopback up, no waiting for duplicate addresses, no forwarding though the machine may have that from
/// Docker and a new namespace from the machine, then stay until the test lets go of its input.
const HOLD: &str = "ip link set lo up
for family in all default; do echo 0 > /proc/sys/net/ipv6/conf/$family/accept_dad; done
for path in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 0 > /proc/sys/net/$path; done
echo ready
exec cat > /dev/null";

/// A namespace and the process that holds it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    holder: Child,
    // The holder ends when this is closed, so a test that dies takes its namespaces along.
    _leash: Option<ChildStdin>,
}

impl Namespace {
    /// A new namespace with nothing but loopback.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--propagation", "private", "sh", "-c", HOLD]).env("PATH", PATH);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = must(command.spawn(), "cannot start unshare");
        let leash = holder.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            must(BufReader::new(stdout).read_line(&mut line), "cannot hear the holder of a namespace");
        }
        assert_eq!(
            line, "ready\n",
            "no namespace could be made: these tests run inside one of their own, by `cargo xtask test kernel`"
        );
        Self { name: name.to_owned(), holder, _leash: leash }
    }

    /// The name that messages use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process number by which `ip link` finds this namespace.
    pub fn id(&self) -> String {
        self.holder.id().to_string()
    }

    /// A command that will run in this namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let id = self.holder.id();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{id}/ns/net")).arg(format!("--mount=/proc/{id}/ns/mnt"));
        command.arg("--").arg(program).env("PATH", PATH).env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs a program to its end, whatever its exit code.
    #[track_caller]
    pub fn try_run(&self, words: &[&str]) -> Finished {
        run(self.words(words), PATIENCE)
    }

    /// Runs a program that must succeed and returns what it printed.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        self.try_run(words).success().stdout
    }

    /// The same for a program that may take longer than the laboratory's own commands.
    #[track_caller]
    pub fn run_for(&self, words: &[&str], patience: Duration) -> String {
        run(self.words(words), patience).success().stdout
    }

    /// Runs a line of bash that must succeed and returns what it printed.
    #[track_caller]
    pub fn bash(&self, line: &str) -> String {
        self.run(&["bash", "-c", line])
    }

    /// Starts a program in the background.
    #[track_caller]
    pub fn spawn(&self, words: &[&str]) -> Background {
        Background::spawn(self.words(words))
    }

    /// Loads nft text, as a person or another program would.
    #[track_caller]
    pub fn nft(&self, script: &str) -> String {
        self.run(&["nft", script])
    }

    /// What nft lists of a table, without its counters' values; empty when the table is not there.
    #[track_caller]
    pub fn table(&self, name: &str) -> String {
        let listed = self.try_run(&["nft", "--stateless", "list", "table", "inet", name]);
        if listed.code == Some(0) { listed.stdout } else { String::new() }
    }

    /// Reads a file as a process in this namespace sees it.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        self.run(&["cat", path]).trim().to_owned()
    }

    /// Sets a kernel parameter of this namespace, named by its path below `/proc/sys`.
    #[track_caller]
    pub fn sysctl(&self, parameter: &str, value: &str) {
        self.bash(&format!("echo {value} > /proc/sys/{parameter}"));
    }

    /// Lets every process started here from now on believe that the machine has booted anew. The file keeps the new
    /// boot's name and must stay where it is.
    #[track_caller]
    pub fn pretend_boot(&self, boot_id: &str, file: &Path) {
        must(std::fs::write(file, format!("{boot_id}\n")), "cannot write a boot id");
        let file = file.to_string_lossy();
        self.run(&["mount", "--bind", &file, "/proc/sys/kernel/random/boot_id"]);
    }

    fn words(&self, words: &[&str]) -> Command {
        let mut command = self.command(words.first().copied().unwrap_or("true"));
        command.args(words.iter().skip(1));
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
