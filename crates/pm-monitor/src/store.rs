//! config.json on disk: read whole, replaced whole, and the last good copy kept beside it.
//!
//! What was saved last is remembered, so that whoever stays reads it again only when somebody else has written it: the rows
//! of changes, and of minutes of a service, in docs/performance.md.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::mem::take;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pm_core::wire::{self, Decoded, Snapshot, WireError};
use pm_kernel::file;

use crate::paths::Paths;

/// The file and its backup.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    backup: PathBuf,
    memory: Mutex<Option<Known>>,
    /// What the file was read into, and the next one is written in: memory costs most when it is
    /// used for the first time.
    paper: Mutex<Vec<u8>>,
}

/// What the file says, and by which to tell whether it still does.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) decoded: Decoded,
    stamp: Stamp,
}

/// Another file, or another content, has another stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            changed: (about.mtime(), about.mtime_nsec()),
        }
    }
}

impl Known {
    /// What was saved with this stamp, and is read again without a word.
    pub(crate) fn saved(snapshot: Snapshot, stamp: Stamp) -> Self {
        Self { decoded: Decoded { snapshot, warnings: Vec::new() }, stamp }
    }
}

/// Why the file could not be read or written. It was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be understood.
    #[error(
        "cannot use {path}, {source}; it was left as it is: correct that line, or go back to the last good copy with `cp -p {backup} {path}`"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Its backup.
        backup: PathBuf,
        /// Where and what.
        source: WireError,
    },
    /// It is gone, but its backup is there.
    #[error(
        "{path} is gone, but its last good copy is there: restore it with `cp -p {backup} {path}`, or begin anew by removing {backup}"
    )]
    Gone {
        /// The file.
        path: PathBuf,
        /// Its backup.
        backup: PathBuf,
    },
    /// It cannot be opened or read.
    #[error("cannot read {path}: {source}{}", hint(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be replaced.
    #[error("cannot write {path}, so nothing was changed: {source}{}", hint(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was replaced, but the disk does not say that this will last.
    #[error(
        "{path} is saved, but the disk does not confirm it, so a power failure may bring the one before back: {source} (see `dmesg`, and run this once more)"
    )]
    Unconfirmed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    const REMEDIES: [(io::ErrorKind, &str); 3] = [
        (io::ErrorKind::PermissionDenied, " (run this as root)"),
        (io::ErrorKind::StorageFull, " (free some space, see `df`)"),
        (io::ErrorKind::ReadOnlyFilesystem, " (the file system is read-only, see `mount`)"),
    ];
    REMEDIES.iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, remedy)| remedy)
}

/// How the name of a file begins that is being written, and the second name of the present one on its way to be the backup.
const UNFINISHED: &str = ".config.json.";

/// 10,000 entries take 8 MB.
const LARGEST: u64 = 256 << 20;
/// Of the room for the next file: a sixteenth and this much more than this one takes.
const MORE: usize = 8 << 10;

/// What is in there is put in and taken out as a whole, so a panic elsewhere leaves a whole one.
fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// The store at the usual place.
    pub fn new(paths: &Paths) -> Self {
        let (memory, paper) = (Mutex::default(), Mutex::default());
        Self { path: paths.config(), backup: paths.backup(), memory, paper }
    }

    /// The file; none when there never was one.
    pub fn load(&self) -> Result<Option<Decoded>, StoreError> {
        Ok(self.recall()?.map(|known| known.decoded))
    }

    /// What was remembered, if the file is still the one of which it was; else what the file says.
    pub(crate) fn recall(&self) -> Result<Option<Known>, StoreError> {
        let remembered = locked(&self.memory).take().filter(|known| self.stamp() == Some(known.stamp));
        remembered.map_or_else(|| self.read(), |known| Ok(Some(known)))
    }

    /// Remembers what the file says, until the next time that it is asked for.
    pub(crate) fn remember(&self, known: Known) {
        *locked(&self.memory) = Some(known);
    }

    fn read(&self) -> Result<Option<Known>, StoreError> {
        let failed = |source| StoreError::Read { path: self.path.clone(), source };
        let mut file = match file::open_own(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let gone = self.backup.exists();
                let gone =
                    gone.then(|| StoreError::Gone { path: self.path.clone(), backup: self.backup.clone() });
                return gone.map_or(Ok(None), Err);
            }
            opened => opened.map_err(failed)?,
        };
        let about = file.metadata().map_err(failed)?;
        // Of a plain file the size is known, so that it is read at once; whatever else is here has an end somewhere.
        let size = Some(about.len()).filter(|&size| about.is_file() && size <= LARGEST);
        let room = size.and_then(|size| usize::try_from(size).ok()).map_or(0, |size| size + size / 16 + MORE);
        let mut text = Vec::with_capacity(room);
        let read = match size {
            Some(_) => file.read_to_end(&mut text),
            None => file.take(LARGEST).read_to_end(&mut text),
        };
        read.map_err(failed)?;
        let decoded = wire::decode(&text).map_err(|source| StoreError::Unreadable {
            path: self.path.clone(),
            backup: self.backup.clone(),
            source,
        })?;
        *locked(&self.paper) = text;
        Ok(Some(Known { decoded, stamp: Stamp::of(&about) }))
    }

    /// By which to tell whether the file was replaced or changed since; none when there is none to be seen.
    pub fn stamp(&self) -> Option<Stamp> {
        fs::metadata(&self.path).ok().map(|about| Stamp::of(&about))
    }

    /// Replaces the file. Whoever reads it, and whenever the power fails, it is the old one or the new one, whole.
    pub fn save(&self, snapshot: &Snapshot) -> Result<Stamp, StoreError> {
        let text = wire::encode_over(snapshot, take(&mut *locked(&self.paper)));
        let (folder, stamp) =
            self.replace(&text).map_err(|source| StoreError::Write { path: self.path.clone(), source })?;
        let confirmed = folder.sync_all();
        confirmed.map_err(|source| StoreError::Unconfirmed { path: self.path.clone(), source })?;
        Ok(stamp)
    }

    /// Gives the present file one more name beside it, which no write takes away: `config.json.` and this word, with a
    /// number behind it when that is taken. None when there is no file.
    pub fn keep(&self, word: &str) -> Result<Option<PathBuf>, StoreError> {
        if !self.path.exists() {
            return Ok(None);
        }
        let mut kept = self.path.with_extension(format!("json.{word}"));
        let mut number = 1;
        loop {
            match fs::hard_link(&self.path, &kept) {
                Ok(()) => return Ok(Some(kept)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    number += 1;
                    kept = self.path.with_extension(format!("json.{word}-{number}"));
                }
                Err(source) => return Err(StoreError::Write { path: kept, source }),
            }
        }
    }

    /// Goes back to a file that was kept, or to none.
    pub fn go_back(&self, kept: Option<&Path>) -> Result<(), StoreError> {
        let gone_back = match kept {
            Some(kept) => fs::rename(kept, &self.path),
            None => fs::remove_file(&self.path),
        };
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        gone_back
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|source| StoreError::Write { path: self.path.clone(), source })
    }

    /// Returns the folder, in which the new name has yet to reach the disk, and the stamp of the new file.
    fn replace(&self, text: &[u8]) -> io::Result<(File, Stamp)> {
        let path = self.path.parent().unwrap_or(Path::new("/"));
        if !path.exists() {
            if let Some(above) = path.parent() {
                fs::create_dir_all(above)?;
            }
            DirBuilder::new().mode(0o700).create(path)?;
        }
        let folder = File::open(path)?;
        sweep(path);
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(path)?;
        file.as_file().set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text)?;
        file.as_file().sync_all()?;
        let stamp = Stamp::of(&file.as_file().metadata()?);
        self.keep_backup(path)?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok((folder, stamp))
    }

    /// The present file gets the backup's name as well; it is never copied, so it cannot be half there.
    fn keep_backup(&self, folder: &Path) -> io::Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let name = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .make_in(folder, |name| fs::hard_link(&self.path, name))?;
        let link = name.path().to_owned();
        name.persist(&self.backup).map_err(|error| error.error)?;
        // After a write that was killed here both are one file already, and then a rename leaves both names.
        match fs::remove_file(link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Removes what a write left that was killed: everybody who writes holds the lock, so nobody is at it.
fn sweep(folder: &Path) {
    let Ok(files) = fs::read_dir(folder) else { return };
    for file in files.flatten() {
        if file.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            // It does no harm, and the next write tries again.
            let _ = fs::remove_file(file.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&Paths::under(folder.path()));
        (folder, store)
    }

    #[test]
    fn what_is_saved_is_loaded_and_private() {
        let (_folder, store) = store();
        assert!(store.load().unwrap().is_none());
        store.save(&Snapshot::default()).unwrap();
        assert_eq!(store.load().unwrap().unwrap().snapshot.config, Snapshot::default().config);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&store.path), mode(store.path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn what_is_remembered_counts_until_somebody_else_writes() {
        let (folder, store) = store();
        let named = |name: &str| {
            let mut snapshot = Snapshot::default();
            snapshot.config.interface = Some(name.into());
            snapshot
        };
        let name = |store: &Store| store.load().unwrap().unwrap().snapshot.config.interface.unwrap();
        let stamp = store.save(&named("eth1")).unwrap();
        // Another name than in the file, so that it shows where the answer is from.
        let remember = || store.remember(Known::saved(named("eth9"), stamp));
        remember();
        assert_eq!((name(&store), name(&store)), ("eth9".to_owned(), "eth1".to_owned()), "it is taken once");
        remember();
        let other = Store::new(&Paths::under(folder.path()));
        other.save(&named("eth2")).unwrap();
        assert_eq!(name(&store), "eth2");
        remember();
        fs::write(&store.path, fs::read_to_string(&store.path).unwrap().replace("eth2", "eth33")).unwrap();
        assert_eq!(name(&store), "eth33", "as an editor writes it, in the same file");
    }

    #[test]
    fn the_last_good_copy_stands_beside_it() {
        let (_folder, store) = store();
        let mut snapshot = Snapshot::default();
        store.save(&snapshot).unwrap();
        let first = fs::read(&store.path).unwrap();
        snapshot.config.interface = Some("eth7".into());
        store.save(&snapshot).unwrap();
        assert_eq!(fs::read(&store.backup).unwrap(), first);
        assert_eq!(fs::read_dir(store.path.parent().unwrap()).unwrap().count(), 2, "nothing else is left");
        fs::remove_file(&store.path).unwrap();
        assert!(matches!(store.load(), Err(StoreError::Gone { .. })));
    }

    #[test]
    fn what_a_killed_write_left_is_swept_by_the_next_one() {
        let (folder, store) = store();
        store.save(&Snapshot::default()).unwrap();
        let of_pm = folder.path().join("etc/port_monitor");
        for name in [".config.json.a1B2c3", "config.json.before-import", ".somebody"] {
            fs::write(of_pm.join(name), "{").unwrap();
        }
        store.save(&Snapshot::default()).unwrap();
        let names = fs::read_dir(&of_pm).unwrap().map(|file| file.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".somebody", "config.json", "config.json.bak", "config.json.before-import"]);
    }

    #[test]
    fn a_write_that_was_killed_between_its_two_names_leaves_no_third_one() {
        let (_folder, store) = store();
        store.save(&Snapshot::default()).unwrap();
        fs::hard_link(&store.path, &store.backup).unwrap();
        store.save(&Snapshot::default()).unwrap();
        assert_eq!(fs::read_dir(store.path.parent().unwrap()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn a_truncated_file_is_refused_and_left_as_it_is() {
        let (_folder, store) = store();
        store.save(&Snapshot::default()).unwrap();
        let whole = fs::read(&store.path).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 3] {
            fs::write(&store.path, &whole[..length]).unwrap();
            let error = store.load().unwrap_err().to_string();
            assert!(error.contains("line") && error.contains("config.json.bak"), "{error}");
            assert_eq!(fs::read(&store.path).unwrap(), &whole[..length]);
        }
    }
}
