//! Why pm could not be put in place or taken away, and what to do about it.

use std::io;
use std::path::PathBuf;

use pm_core::backend::BackendError;
use pm_monitor::lock::LockError;
use pm_monitor::machine::MachineError;
use pm_monitor::store::StoreError;

use crate::system::SystemError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Only root may do it.
    #[error(
        "only root may change what is installed, so nothing was changed: run this as root, for example with sudo"
    )]
    NotRoot,
    /// Only root may see it.
    #[error("only root may read root's crontab: run this as root, for example with sudo")]
    OnlyRootKnows,
    /// The other program of the pair is missing.
    #[error(
        "{0} is missing, so nothing was changed: pm and pm-monitor come as a pair, so put both into one folder and run `pm install` from there"
    )]
    Incomplete(PathBuf),
    /// A program that is to be installed can be changed by somebody else.
    #[error(
        "{0} belongs to another user than the pm that runs, or anybody may write to it, so nothing was changed: get both programs into a folder of your own, such as one that `mktemp -d` makes, and run pm install from there"
    )]
    Untrusted(PathBuf),
    /// Somebody else's program, or a folder, has our name.
    #[error(
        "{0} is not pm's, so nothing was changed: move it away, for example with `mv {0} {0}.other`, then run `pm install` again"
    )]
    Foreign(PathBuf),
    /// A file of figures that the script left cannot be understood.
    #[error("cannot take over {path}{}: {reason}; nothing was changed: correct it, or move it away to begin that port anew", if *.line == 0 { String::new() } else { format!(", line {line}") })]
    State {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; 0 for the whole.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error(
        "cannot write {path}: {source}; free some space or make the file system writable, then run this again"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something could not be removed.
    #[error("cannot remove {path}: {source}; `rm -r {path}` does it by hand")]
    Remove {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The packages were not to be installed.
    #[error(
        "pm needs {packages}, so nothing was changed: install them with `{command}`, then run `pm install` again"
    )]
    PackagesRefused {
        /// Their names.
        packages: String,
        /// How to install them by hand.
        command: String,
    },
    /// The packages could not be installed.
    #[error(
        "{packages} could not be installed, so nothing else was changed: see what `{command}` says, then run `pm install` again"
    )]
    PackagesFailed {
        /// Their names.
        packages: String,
        /// How to install them by hand.
        command: String,
        /// What became of the command.
        source: SystemError,
    },
    /// No package manager is known here.
    #[error(
        "pm needs {programs}, and no package manager that it knows is here: install {packages} by hand, then run `pm install` again"
    )]
    NoPackageManager {
        /// The missing programs.
        programs: String,
        /// The usual names of the packages.
        packages: String,
    },
    /// The table of cron could not be read, so it was not touched.
    #[error("root's crontab cannot be read, so it was left as it is: see what `crontab -l` says")]
    ReadCrontab(#[source] SystemError),
    /// The table of cron was not taken.
    #[error("root's crontab cannot be changed: run `crontab -e` and add the line `{line}` by hand")]
    WriteCrontab {
        /// Our line.
        line: &'static str,
        /// Why.
        source: SystemError,
    },
    /// systemd did not do what it was asked.
    #[error("the schedule is written, but systemd did not take it over")]
    Systemd(#[source] SystemError),
    /// `OpenRC` or sysvinit did not do what it was asked.
    #[error("the system that starts and stops this machine was not told of pm: run `{command}` by hand")]
    Init {
        /// What it was asked.
        command: String,
        /// What became of the command.
        source: SystemError,
    },
    /// There is no systemd.
    #[error("systemd does not run this machine, so it cannot run pm: `pm install --cron` lets cron do it")]
    NoSystemd,
    /// Cron knows whole minutes only.
    #[error(
        "cron runs pm once a minute and no other way: leave --every away, or choose --systemd or --service"
    )]
    CronIsEveryMinute,
    /// A lock was not to be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The configuration cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A minute did not happen.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A part of the kernel could not be cleared.
    #[error(transparent)]
    Backend(#[from] BackendError),
}
