//! Which run of the machine this is: counters, table handles and class statistics never outlive it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pm_core::accounting::BootId;

use crate::file;

const KERNEL: &str = "/proc/sys/kernel/random/boot_id";
const INIT: &str = "/proc/1/stat";

/// Field 22 of `/proc/PID/stat` is the start time; the command name is field 2, so it is the 20th after the name.
const START_TIME_AFTER_NAME: usize = 19;

/// The run of the machine that is going on. A process lives in one only, so the files are read once: a minute asks three
/// times, and each time would be eight system calls.
pub fn current() -> Result<BootId, BootError> {
    static CURRENT: OnceLock<BootId> = OnceLock::new();
    if let Some(known) = CURRENT.get() {
        return Ok(*known);
    }
    read().map(|current| *CURRENT.get_or_init(|| current))
}

fn read() -> Result<BootId, BootError> {
    let read = |path: &str| file::told(path).map_err(|source| BootError::Read { path: path.into(), source });
    let not_understood = |path: &str| BootError::NotUnderstood { path: Path::new(path).into() };
    Ok(BootId {
        kernel: kernel_of(&read(KERNEL)?).ok_or_else(|| not_understood(KERNEL))?,
        init: start_of(&read(INIT)?).ok_or_else(|| not_understood(INIT))?,
    })
}

/// Why the run of the machine is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// A file under `/proc` could not be read.
    #[error("cannot read {}: pm needs /proc, mounted without hiding process 1", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file under `/proc` holds something unexpected.
    #[error("{} does not hold what a Linux kernel writes there: is it a real /proc?", path.display())]
    NotUnderstood {
        /// The file.
        path: PathBuf,
    },
}

/// The UUID as a number.
fn kernel_of(text: &str) -> Option<u128> {
    let digits: String = text.trim().chars().filter(|&character| character != '-').collect();
    (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten()
}

/// The start time in a `/proc/PID/stat` line. The command name may hold blanks and parentheses, so the fields are
/// counted from the last `)`.
fn start_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(START_TIME_AFTER_NAME)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_read_as_a_number() {
        assert_eq!(
            kernel_of("9c8c5f0e-5a4b-4a3e-8f57-0123456789ab\n"),
            Some(0x9c8c_5f0e_5a4b_4a3e_8f57_0123_4567_89ab)
        );
        for wrong in ["", "9c8c5f0e", "zc8c5f0e-5a4b-4a3e-8f57-0123456789ab"] {
            assert_eq!(kernel_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_start_of_init_is_found_behind_any_name() {
        let numbers = "S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 22896640 3000 0";
        for name in ["systemd", "a b", ") 1 2 (", "x) S 9"] {
            assert_eq!(start_of(&format!("1 ({name}) {numbers}\n")), Some(4711), "{name}");
        }
        assert_eq!(start_of("1 (init) S 0 1"), None);
    }

    #[test]
    fn one_run_has_one_id() {
        assert_eq!(current().unwrap(), current().unwrap());
    }
}
