//! pm as a person runs it: the two programs, with files of their own, in a namespace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::{Background, Finished, must, run};

/// How long one run of pm may take before the test calls it stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// pm's files and the namespace that it runs in.
#[derive(Debug)]
pub struct Machine<'a> {
    namespace: &'a Namespace,
    root: TempDir,
}

impl<'a> Machine<'a> {
    /// A machine on which pm has never run.
    #[track_caller]
    pub fn new(namespace: &'a Namespace) -> Self {
        Self { namespace, root: must(TempDir::new(), "cannot make a folder") }
    }

    /// The same files on another machine: the disk after a reboot.
    pub fn moved_to(self, namespace: &Namespace) -> Machine<'_> {
        Machine { namespace, root: self.root }
    }

    /// The folder that stands for `/`.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where config.json is.
    pub fn config_path(&self) -> PathBuf {
        self.root().join("etc/port_monitor/config.json")
    }

    /// config.json, byte by byte; empty when there is none.
    pub fn config_bytes(&self) -> Vec<u8> {
        std::fs::read(self.config_path()).unwrap_or_default()
    }

    /// config.json, parsed.
    #[track_caller]
    pub fn config(&self) -> Value {
        json(&String::from_utf8_lossy(&self.config_bytes()))
    }

    /// Replaces config.json, as an operator with an editor would.
    #[track_caller]
    pub fn write_config(&self, text: &str) {
        let path = self.config_path();
        let folder = must(path.parent().ok_or("no folder"), "config.json");
        must(std::fs::create_dir_all(folder), "cannot make the folder of config.json");
        must(std::fs::write(&path, text), "cannot write config.json");
    }

    /// Runs `pm` with these words, whatever comes of it.
    #[track_caller]
    pub fn try_pm(&self, words: &str) -> Finished {
        run(self.command("pm", None, &split(words)), PATIENCE)
    }

    /// Runs `pm` with these words; it must succeed.
    #[track_caller]
    pub fn pm(&self, words: &str) -> Finished {
        self.try_pm(words).success()
    }

    /// Runs `pm` with these arguments, which may contain anything.
    #[track_caller]
    pub fn try_pm_args(&self, arguments: &[&str]) -> Finished {
        run(self.command("pm", None, arguments), PATIENCE)
    }

    /// Runs `pm` with these words at a time of our choice; it must succeed.
    #[track_caller]
    pub fn pm_at(&self, now: &str, words: &str) -> Finished {
        run(self.command("pm", Some(now), &split(words)), PATIENCE).success()
    }

    /// One minute of `pm-monitor`, whatever comes of it.
    #[track_caller]
    pub fn try_minute(&self) -> Finished {
        run(self.command("pm-monitor", None, &[]), PATIENCE)
    }

    /// One minute of `pm-monitor`; it must succeed.
    #[track_caller]
    pub fn minute(&self) -> Finished {
        self.try_minute().success()
    }

    /// One minute of `pm-monitor` at a time of our choice; it must succeed.
    #[track_caller]
    pub fn minute_at(&self, now: &str) -> Finished {
        run(self.command("pm-monitor", Some(now), &[]), PATIENCE).success()
    }

    /// Starts `pm-monitor` with these words in the background.
    #[track_caller]
    pub fn monitor(&self, words: &str) -> Background {
        Background::spawn(self.command("pm-monitor", None, &split(words)))
    }

    /// What `pm show PORT --json` says now.
    #[track_caller]
    pub fn show(&self, port: &str) -> Value {
        json(&self.pm(&format!("show {port} --json")).stdout)
    }

    /// What `pm show PORT --json` says at a time of our choice.
    #[track_caller]
    pub fn show_at(&self, now: &str, port: &str) -> Value {
        json(&self.pm_at(now, &format!("show {port} --json")).stdout)
    }

    /// What `pm list --json` says now.
    #[track_caller]
    pub fn list(&self) -> Value {
        json(&self.pm("list --json").stdout)
    }

    /// A command that runs one of our programs in the namespace, with our files, at a time of our choice.
    #[track_caller]
    pub fn command(&self, program: &str, now: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = self.namespace.command(binary(program));
        command.arg("--root").arg(self.root()).args(arguments);
        for leak in ["PM_ROOT", "PM_NOW", "TZ", "LANG", "LC_MESSAGES"] {
            command.env_remove(leak);
        }
        if let Some(now) = now {
            command.env("PM_NOW", now);
        }
        command
    }
}

/// A number of a port as `pm` shows it.
#[track_caller]
pub fn number(port: &Value, field: &str) -> u64 {
    must(port[field].as_u64().ok_or("not a whole number"), format_args!("{field} in {port}"))
}

/// Lines that a run of the monitor printed: one for every message that it delivered.
pub fn messages(minute: &Finished) -> Vec<&str> {
    minute.stdout.lines().filter(|line| !line.trim().is_empty()).collect()
}

/// The path of one of our programs: in `PM_BIN_DIR`, or in the target folder that this test was built into.
#[track_caller]
pub fn binary(name: &str) -> PathBuf {
    let beside_this_test = || {
        let test = must(std::env::current_exe(), "who am I");
        // target/debug/deps/TEST: the programs are two floors up.
        test.ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
    };
    let folder = std::env::var_os("PM_BIN_DIR").map_or_else(beside_this_test, PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "there is no {}: build the programs first, or run `cargo xtask test kernel`",
        path.display()
    );
    path
}

#[track_caller]
fn json(text: &str) -> Value {
    must(serde_json::from_str(text), format_args!("this is not JSON: {text}"))
}

fn split(words: &str) -> Vec<&str> {
    words.split_whitespace().collect()
}
