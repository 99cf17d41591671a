//! `flock`s on the paths that the script used: a process that died holds none.

use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pm_kernel::file;

/// A held lock; let go of when dropped.
#[derive(Debug)]
#[must_use]
pub struct Lock {
    _file: File,
}

/// Every holder is done within milliseconds; nobody waits for a person or a network.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(5);

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be opened.
    #[error("cannot open the lock {path}: {source}{}", if source.kind() == io::ErrorKind::PermissionDenied { " (run this as root)" } else { "" })]
    Open {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody holds it for too long.
    #[error(
        "another pm has held the lock {path} for more than {seconds} seconds: see who with `fuser -v {path}`, and try again when it is done"
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl Lock {
    /// Takes the lock, waiting while somebody else has it.
    pub fn wait(path: &Path) -> Result<Self, LockError> {
        Self::wait_up_to(path, PATIENCE)
    }

    /// The same for a holder that takes another time: the script that came before this program.
    pub fn wait_up_to(path: &Path, patience: Duration) -> Result<Self, LockError> {
        let began = Instant::now();
        loop {
            match Self::try_now(path)? {
                Some(lock) => return Ok(lock),
                None if began.elapsed() < patience => sleep(PAUSE),
                None => return Err(LockError::Busy { path: path.to_owned(), seconds: patience.as_secs() }),
            }
        }
    }

    /// Takes the lock if nobody else has it.
    pub fn try_now(path: &Path) -> Result<Option<Self>, LockError> {
        let opened = |source| LockError::Open { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(opened)?;
        }
        // Whoever can open it can hold it for ever, so it is the owner's alone, also where the script made it.
        let file = file::make_own(path).map_err(opened)?;
        if file.metadata().map_err(opened)?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600)).map_err(opened)?;
        }
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(opened(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_free_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/pm.lock");
        let held = Lock::try_now(&path).unwrap();
        assert!(held.is_some());
        assert!(Lock::try_now(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::try_now(&path).unwrap().is_some());
    }

    #[test]
    fn nobody_else_can_open_a_lock_and_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        for (name, made) in
            [("ours.lock", None), ("of_the_script.lock", Some(0o644)), ("open.lock", Some(0o666))]
        {
            let path = folder.path().join(name);
            if let Some(mode) = made {
                File::create(&path).unwrap().set_permissions(Permissions::from_mode(mode)).unwrap();
            }
            let _held = Lock::try_now(&path).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name}");
        }
    }
}
