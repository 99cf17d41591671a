//! A program that the machine provides, such as `nft`: found, run with a deadline, its complaints kept.

use std::env;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use pm_core::units;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::file;
use crate::floor;

/// Where such programs live; cron's own PATH often is `/usr/bin:/bin` alone.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// No run takes seconds, not even with ten thousand ports; one that hangs must not hang the minute.
const DEADLINE: Duration = Duration::from_secs(20);

/// How much of a program's complaint is repeated: it names the fault first, and may quote a script of megabytes.
const LINES_SHOWN: usize = 6;
const CHARACTERS_SHOWN: usize = 200;

/// A program and the package that has it.
#[derive(Debug)]
pub struct Tool {
    name: &'static str,
    package: &'static str,
    oldest: &'static [u32],
    found: OnceLock<PathBuf>,
}

impl Tool {
    /// The program `name`, which Debian's `package` installs. It is looked for when it is first needed.
    pub const fn new(name: &'static str, package: &'static str) -> Self {
        Self { name, package, oldest: &[], found: OnceLock::new() }
    }

    /// The program at this path, whatever PATH says.
    pub fn at(path: impl Into<PathBuf>, name: &'static str, package: &'static str) -> Self {
        let tool = Self::new(name, package);
        // The cell is new, so it is empty.
        let _ = tool.found.set(path.into());
        tool
    }

    /// The same with a floor: when it fails, and it or the kernel is too old, the error says so.
    #[must_use]
    pub fn no_older_than(self, oldest: &'static [u32]) -> Self {
        Self { oldest, ..self }
    }

    /// Where the program is: looked for in PATH, then in the folders of system programs, and remembered.
    pub fn find(&self) -> Result<&Path, ToolError> {
        if let Some(path) = self.found.get() {
            return Ok(path);
        }
        let missing = ToolError::NotFound { name: self.name, package: self.package };
        let found = locate(self.name).ok_or(missing)?;
        Ok(self.found.get_or_init(|| found))
    }

    /// Runs the program to its end, `input` on its standard input, and returns what it printed.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Result<String, ToolError> {
        match self.run_within(DEADLINE, arguments, input).await {
            Err(ToolError::Failed { name, status, mut said }) if !self.oldest.is_empty() => {
                for remark in self.remarks().await {
                    said.push('\n');
                    said.push_str(&remark);
                }
                Err(ToolError::Failed { name, status, said })
            }
            result => result,
        }
    }

    /// What is too old.
    async fn remarks(&self) -> impl Iterator<Item = String> {
        let told = self.run_within(DEADLINE, &["--version"], "").await.unwrap_or_default();
        floor::remark(self.name, &told, self.oldest).into_iter().chain(floor::kernel_remark())
    }

    async fn run_within(
        &self,
        deadline: Duration,
        arguments: &[&str],
        input: &str,
    ) -> Result<String, ToolError> {
        let name = self.name;
        let started = |source| ToolError::Start { name, source };
        let mut child = Command::new(self.find()?)
            .args(arguments)
            .env_clear()
            .envs(environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(started)?;
        let stdin = child.stdin.take();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A program that ends without reading everything tells why by its exit status.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let end = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = timeout(deadline, end)
            .await
            .map_err(|_| ToolError::TimedOut { name, seconds: deadline.as_secs() })?
            .map_err(|source| ToolError::Lost { name, source })?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let said = excerpt(&String::from_utf8_lossy(&output.stderr));
            Err(ToolError::Failed { name, status: output.status, said })
        }
    }
}

/// Why a program did not do what it was run for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It is not installed.
    #[error("`{name}` was not found: install it with `apt install {package}` or the like")]
    NotFound {
        /// The program.
        name: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// It could not be started.
    #[error("`{name}` could not be started")]
    Start {
        /// The program.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Its output could not be read.
    #[error("the output of `{name}` could not be read")]
    Lost {
        /// The program.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("`{name}` failed ({status}): {said}")]
    Failed {
        /// The program.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The first lines of its complaint, safe to print.
        said: String,
    },
    /// It was stopped because it took too long.
    #[error("`{name}` did not end within {seconds} seconds and was stopped; try again")]
    TimedOut {
        /// The program.
        name: &'static str,
        /// The time it was given.
        seconds: u64,
    },
}

impl ToolError {
    /// Whether the program complains that it may not do this: it needs root.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Failed { said, .. } => {
                said.contains("Operation not permitted") || said.contains("Permission denied")
            }
            Self::Start { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::NotFound { .. } | Self::Lost { .. } | Self::TimedOut { .. } => false,
        }
    }
}

/// All that a program of the machine is told of our environment. Its messages are shown to people and must not change with
/// the machine's language; what else a shell may hold, such as `LD_PRELOAD`, `TC_LIB_DIR`, a password, is not for it.
pub fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    env::var_os("PATH").map(|path| ("PATH", path)).into_iter().chain([("LC_ALL", OsString::from("C"))])
}

/// Where the program `name` is: looked for in PATH, then in the folders of system programs. Root runs none that somebody
/// else could have put there.
pub fn locate(name: &str) -> Option<PathBuf> {
    search(name, &env::var_os("PATH").unwrap_or_default())
}

fn search(name: &str, path: &OsString) -> Option<PathBuf> {
    // An empty entry of PATH means the current folder, from which nothing is ever run.
    let folders = env::split_paths(path).filter(|folder| folder.is_absolute());
    let folders = folders.chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    folders
        .filter(|folder| folder.metadata().is_ok_and(|about| is_safe(&about)))
        .map(|folder| folder.join(name))
        .find(|file| {
            file.metadata().is_ok_and(|about| {
                about.is_file() && about.permissions().mode() & 0o111 != 0 && is_safe(&about)
            })
        })
}

/// Whether nobody else decides what is run there. Only root runs something with rights that others lack.
fn is_safe(about: &Metadata) -> bool {
    !rustix::process::geteuid().is_root()
        || file::is_trusted(about.uid()) && about.permissions().mode() & 0o002 == 0
}

/// The first lines without blank ones and control characters.
fn excerpt(complaint: &str) -> String {
    let lines = complaint.lines().map(str::trim_end).filter(|line| !line.is_empty()).take(LINES_SHOWN);
    let lines: Vec<String> = lines.map(|line| units::excerpt(line, CHARACTERS_SHOWN)).collect();
    if lines.is_empty() { "it did not say why".to_owned() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Tool {
        Tool::at("/bin/sh", "sh", "dash")
    }

    #[tokio::test]
    async fn what_it_prints_is_returned_and_its_input_is_given_to_it() {
        let big = "line\n".repeat(100_000);
        assert_eq!(shell().run(&["-c", "cat; echo $LC_ALL"], &big).await.unwrap(), format!("{big}C\n"));
    }

    #[tokio::test]
    async fn its_complaint_is_repeated_without_control_characters() {
        let script =
            r"printf 'no\033[2J way: Operation not permitted\n\n\n' >&2; yes | head -n 20 >&2; exit 3";
        let error = shell().run(&["-c", script], "").await.unwrap_err();
        assert!(error.is_permission());
        assert_eq!(
            error.to_string(),
            "`sh` failed (exit status: 3): no\\u{1b}[2J way: Operation not permitted\ny\ny\ny\ny\ny"
        );
    }

    #[tokio::test]
    async fn one_that_fails_and_is_too_old_is_told_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let failure = async |version: &str| {
            let nft = folder.path().join(version);
            let script = format!(
                "#!/bin/sh\n[ $1 = --version ] && exec echo nftables {version}\necho 'syntax error' >&2\nexit 1\n"
            );
            std::fs::write(&nft, script).unwrap();
            std::fs::set_permissions(&nft, std::fs::Permissions::from_mode(0o755)).unwrap();
            let nft = Tool::at(nft, "nft", "nftables").no_older_than(floor::NFT);
            nft.run(&["-f", "-"], "").await.unwrap_err().to_string()
        };
        assert_eq!(
            failure("v0.9.3").await,
            "`nft` failed (exit status: 1): syntax error\nthis nft is 0.9.3, and pm needs 0.9.8 or newer: upgrade the \
             system, Debian 11 or newer has it"
        );
        assert_eq!(failure("v0.9.8").await, "`nft` failed (exit status: 1): syntax error");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_stopped() {
        let error = shell().run_within(Duration::from_millis(50), &["-c", "sleep 60"], "").await.unwrap_err();
        assert!(matches!(error, ToolError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_read_its_input_is_judged_by_its_status() {
        let big = "line\n".repeat(100_000);
        assert_eq!(shell().run(&["-c", "echo done"], &big).await.unwrap(), "done\n");
    }

    #[tokio::test]
    async fn a_missing_program_is_told_with_its_package() {
        let error = Tool::new("pm-no-such-program", "nothing").run(&[], "").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`pm-no-such-program` was not found: install it with `apt install nothing` or the like"
        );
    }

    #[tokio::test]
    async fn it_is_told_of_the_environment_only_where_programs_are() {
        let told = shell().run(&["-c", "env"], "").await.unwrap();
        let names: Vec<&str> = told.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        // A shell adds these of its own.
        let own = ["PWD", "SHLVL", "_", "OLDPWD"];
        assert!(names.contains(&"LC_ALL") && env::var_os("CARGO_MANIFEST_DIR").is_some());
        assert!(
            names.iter().all(|name| ["PATH", "LC_ALL"].contains(name) || own.contains(name)),
            "{names:?}"
        );
    }

    #[test]
    fn root_runs_nothing_that_somebody_else_could_have_put_there() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pm-tool");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let path = folder.path().as_os_str().to_owned();
        let mode = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let given = |path: &Path, user: u32| std::os::unix::fs::chown(path, Some(user), None).is_ok();
        mode(&file, 0o755);
        mode(folder.path(), 0o755);
        assert_eq!(search("pm-tool", &path), Some(file.clone()));
        for (what, usual) in [(folder.path(), 0o755), (&file, 0o755)] {
            mode(what, usual | 0o002);
            assert_eq!(search("pm-tool", &path), None, "{}", what.display());
            mode(what, usual);
            if given(what, 1000) {
                assert_eq!(search("pm-tool", &path), None, "{}", what.display());
                assert!(given(what, 0));
            }
        }
        assert_eq!(search("pm-tool", &path), Some(file));
    }

    #[test]
    fn only_programs_in_absolute_folders_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pm-tool");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let path = env::join_paths([Path::new(""), Path::new("."), folder.path()]).unwrap();
        assert_eq!(search("pm-tool", &path), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(search("pm-tool", &path), Some(file));
        assert_eq!(search("pm-tool", &OsString::new()), None);
    }
}
