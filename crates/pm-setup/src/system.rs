//! The door to the programs of the system: the package manager, `crontab`, and whoever starts and stops the machine.

use std::io::{self, Write};
use std::process::{Command, ExitStatus, Stdio};

use pm_core::units;
use pm_kernel::{process, tool};

/// What there is, and how it is run. A command is a program and its arguments; no shell reads it.
pub trait System {
    /// Whether there is a program of this name.
    fn has(&self, program: &str) -> bool;

    /// Whether a process of one of these names runs.
    fn runs(&self, names: &[&str]) -> bool;

    /// Runs a command to its end and returns what it printed, byte by byte.
    fn run(&self, command: &[&str], input: &[u8]) -> Result<Vec<u8>, SystemError>;

    /// Runs a command whose output people see as it comes.
    fn show(&self, command: &[&str]) -> Result<(), SystemError>;
}

/// Why a command did not do what it was run for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// It could not be started.
    #[error("`{command}` could not be started: {source}")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("`{command}` failed ({status}){}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The beginning of its complaint, safe to print; empty where people saw it already.
        said: String,
    },
}

/// The programs of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Programs;

impl System for Programs {
    fn has(&self, program: &str) -> bool {
        tool::locate(program).is_some()
    }

    fn runs(&self, names: &[&str]) -> bool {
        let Ok(processes) = std::fs::read_dir("/proc") else { return false };
        // Anybody can give a process any name.
        processes.flatten().any(|process| {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            names.contains(&name.trim_end()) && process::is_trusted(&process.path())
        })
    }

    fn run(&self, command: &[&str], input: &[u8]) -> Result<Vec<u8>, SystemError> {
        let started = |source| SystemError::Start { command: command.join(" "), source };
        let mut child = prepared(command)
            .env_clear()
            .envs(tool::environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(started)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading everything tells why by its exit status.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(started)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = excerpt(&String::from_utf8_lossy(&output.stderr));
        Err(SystemError::Failed { command: command.join(" "), status: output.status, said })
    }

    fn show(&self, command: &[&str]) -> Result<(), SystemError> {
        let started = |source| SystemError::Start { command: command.join(" "), source };
        let status = prepared(command).stdin(Stdio::null()).status().map_err(started)?;
        let failed = || SystemError::Failed { command: command.join(" "), status, said: String::new() };
        if status.success() { Ok(()) } else { Err(failed()) }
    }
}

fn prepared(command: &[&str]) -> Command {
    let program = command.first().copied().unwrap_or_default();
    let mut prepared = Command::new(tool::locate(program).unwrap_or_else(|| program.into()));
    prepared.args(command.iter().skip(1));
    prepared
}

/// The first line or two of a complaint.
fn excerpt(complaint: &str) -> String {
    const LONGEST: usize = 300;
    let lines = complaint.lines().map(str::trim).filter(|line| !line.is_empty()).take(2);
    units::excerpt(&lines.collect::<Vec<_>>().join("; "), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_both_ways_as_they_are_and_a_complaint_is_told() {
        let bytes = b"* * * * * caf\xe9\r\nlast";
        assert_eq!(Programs.run(&["cat"], bytes).unwrap(), bytes);
        let error = Programs.run(&["sh", "-c", "echo 'no crontab for x' >&2; exit 1"], b"").unwrap_err();
        assert!(error.to_string().ends_with("(exit status: 1): no crontab for x"), "{error}");
        assert!(matches!(Programs.show(&["pm-no-such-program"]), Err(SystemError::Start { .. })));
        assert!(Programs.has("sh") && !Programs.has("pm-no-such-program"));
        assert!(!Programs.runs(&["pm-no-such-process"]));
    }
}
