//! The installed programs: replaced all or none, the ones before kept beside them. What a kill left half is brought to its
//! end by the next one who comes.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pm_core::units::shown;
use pm_kernel::tool::Tool;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use semver::Version;
use tempfile::TempPath;

use crate::PROGRAMS;
use crate::error::ReleaseError;

/// The folder in which the programs are, usually `/usr/local/bin`.
#[derive(Debug)]
pub struct Installation {
    folder: PathBuf,
}

/// Programs that lie beside those they will replace. They are gone when they are not.
#[derive(Debug)]
pub struct Staged {
    programs: Vec<(&'static str, TempPath)>,
    _alone: File,
}

/// A program and the one before it, with the version that each says it has.
struct Pair {
    name: &'static str,
    /// None when it does not run: then it is all the more to be replaced.
    present: Option<String>,
    old: Option<String>,
}

impl Installation {
    /// The programs in this folder. All of them have to be there.
    pub fn at(folder: impl Into<PathBuf>) -> Result<Self, ReleaseError> {
        let installation = Self { folder: folder.into() };
        match PROGRAMS.map(|name| installation.folder.join(name)).into_iter().find(|path| !path.is_file()) {
            Some(path) => Err(ReleaseError::NotInstalled { path }),
            None => Ok(installation),
        }
    }

    /// Refuses what does not fit on the disk, before anything is downloaded.
    pub fn make_sure_of_room(&self, needed: u64) -> Result<(), ReleaseError> {
        let failed = |error: rustix::io::Errno| file("look at the disk of", &self.folder)(error.into());
        let disk = rustix::fs::statvfs(&self.folder).map_err(failed)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < needed {
            return Err(ReleaseError::NoSpace { folder: self.folder.clone(), free, needed });
        }
        Ok(())
    }

    /// Lays the new programs beside the present ones, and runs each of them once.
    pub async fn stage(
        &self,
        programs: Vec<(&'static str, Vec<u8>)>,
        version: &Version,
    ) -> Result<Staged, ReleaseError> {
        let alone = self.alone()?;
        self.tidy_up()?;
        let mut staged = Vec::new();
        for (name, bytes) in programs {
            let path = self.write(name, &bytes)?;
            let expected = format!("{name} {version}");
            let said = said_version(name, &path).await?;
            if said != expected {
                return Err(ReleaseError::SaysOtherwise { name, said: shown(&said), expected });
            }
            staged.push((name, path));
        }
        Ok(Staged { programs: staged, _alone: alone })
    }

    /// Puts the staged programs in place of the present ones, which become `NAME.old`. All or none.
    pub fn replace(&self, staged: Staged) -> Result<(), ReleaseError> {
        let mut done = Vec::new();
        for (name, new) in staged.programs {
            // An update that was killed has put it there: what is kept is what was there before that.
            if self.holds(name, &new) {
                continue;
            }
            if let Err(error) = self.put(name, new) {
                for name in done {
                    // What was there a moment ago can be put there again, or nothing can.
                    let _ = fs::rename(self.old(name), self.folder.join(name));
                }
                return Err(error);
            }
            done.push(name);
        }
        self.confirm()
    }

    /// Puts the programs before in place of the present ones, and says which version they are. Done twice, it is undone.
    /// Where one that was killed has left programs of two versions, all of them become the older one.
    pub async fn roll_back(&self) -> Result<String, ReleaseError> {
        let _alone = self.alone()?;
        self.tidy_up()?;
        let mut pairs = self.pairs().await?;
        let interrupted = older_of_two(&pairs);
        let missing = |pair: &Pair| ReleaseError::NoOld { path: self.old(pair.name) };
        pairs.retain(|pair| interrupted.is_none() || pair.present != interrupted);
        let mut version = interrupted;
        for pair in &pairs {
            let old = pair.old.as_ref().ok_or_else(|| missing(pair))?;
            let wanted = version.get_or_insert_with(|| old.clone());
            if old != wanted {
                let (path, old, wanted) = (self.old(pair.name), shown(old), shown(wanted));
                return Err(ReleaseError::OldDiffers { path, old, wanted });
            }
        }
        let mut done = Vec::new();
        for Pair { name, .. } in pairs {
            if let Err(error) = self.exchange(name) {
                for name in done {
                    let _ = self.exchange(name);
                }
                return Err(error);
            }
            done.push(name);
        }
        self.confirm()?;
        // There is a program at least, so there is a version.
        Ok(version.unwrap_or_default())
    }

    async fn pairs(&self) -> Result<Vec<Pair>, ReleaseError> {
        let mut pairs = Vec::new();
        for name in PROGRAMS {
            let (present, old) = (said_version(name, &self.folder.join(name)).await.ok(), self.old(name));
            let old = if old.is_file() { Some(said_version(name, &old).await?) } else { None };
            let version = |said: String| stripped(name, &said);
            pairs.push(Pair { name, present: present.map(version), old: old.map(version) });
        }
        Ok(pairs)
    }

    /// Two at once would take each other's programs for what a killed one left.
    fn alone(&self) -> Result<File, ReleaseError> {
        let folder = File::open(&self.folder).map_err(file("open", &self.folder))?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(ReleaseError::Busy { folder: self.folder.clone() }),
            // Some disks of other machines know no locks.
            Ok(()) | Err(_) => Ok(folder),
        }
    }

    /// Ends what a kill left half: a program that is on its way to be the one before gets there, and what was not put in
    /// place goes.
    fn tidy_up(&self) -> Result<(), ReleaseError> {
        for name in PROGRAMS {
            let (before, old) = (self.before(name), self.old(name));
            if before.is_file() && !old.exists() {
                fs::rename(&before, &old).map_err(file("keep the present program as", &old))?;
            }
        }
        let Ok(files) = fs::read_dir(&self.folder) else { return Ok(()) };
        for file in files.flatten() {
            let found = file.file_name();
            let is_of = |name: &str| found.to_string_lossy().starts_with(&format!(".{name}."));
            if PROGRAMS.into_iter().any(is_of) && file.file_type().is_ok_and(|kind| kind.is_file()) {
                // It does no harm, and the next time it is tried again.
                let _ = fs::remove_file(file.path());
            }
        }
        Ok(())
    }

    /// Whether this is the present program already.
    fn holds(&self, name: &str, new: &Path) -> bool {
        let present = fs::read(self.folder.join(name));
        present.is_ok_and(|present| fs::read(new).is_ok_and(|new| new == present))
    }

    /// At no moment is there no program of this name.
    fn put(&self, name: &str, new: TempPath) -> Result<(), ReleaseError> {
        let (place, old) = (self.folder.join(name), self.old(name));
        let kept = twin(&place, self.folder.join(format!(".{name}.keep")))?;
        fs::rename(&kept, &old).map_err(file("keep the present program as", &old))?;
        new.persist(&place).map_err(|error| file("put the new program in place of", &place)(error.error))
    }

    /// The program and the one before take each other's place.
    fn exchange(&self, name: &str) -> Result<(), ReleaseError> {
        let (place, old) = (self.folder.join(name), self.old(name));
        match renameat_with(CWD, &place, CWD, &old, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            // The kernel does not know that of every file system.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.exchange_by_steps(name),
            Err(error) => Err(file("put back the program before,", &old)(error.into())),
        }
    }

    /// The same in three steps. At no moment is there no program of this name, and none of the two is ever without a name
    /// by which it is found again.
    fn exchange_by_steps(&self, name: &str) -> Result<(), ReleaseError> {
        let (place, old) = (self.folder.join(name), self.old(name));
        let before = twin(&place, self.before(name))?;
        fs::rename(&old, &place).map_err(file("put back the program before,", &old))?;
        // From here on it is the only name of the program.
        let before = before.keep().map_err(|error| file("keep", &self.before(name))(error.error))?;
        fs::rename(before, &old).map_err(file("keep the present program as", &old))
    }

    fn confirm(&self) -> Result<(), ReleaseError> {
        let folder = File::open(&self.folder).and_then(|folder| folder.sync_all());
        folder.map_err(file("write to disk", &self.folder))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<TempPath, ReleaseError> {
        let failed = |source| file("write the new program beside", &self.folder.join(name))(source);
        let mut new = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .tempfile_in(&self.folder)
            .map_err(failed)?;
        new.write_all(bytes).map_err(failed)?;
        new.as_file().set_permissions(Permissions::from_mode(0o755)).map_err(failed)?;
        new.as_file().sync_all().map_err(failed)?;
        // A program that somebody may still write to cannot be run.
        Ok(new.into_temp_path())
    }

    fn old(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.old"))
    }

    /// The name of the present program on its way to be the one before.
    fn before(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".{name}.before"))
    }
}

/// The same file under another name; a copy where the disk cannot do that.
fn twin(path: &Path, twin: PathBuf) -> Result<TempPath, ReleaseError> {
    let failed = |source| file("keep a copy of", path)(source);
    match fs::remove_file(&twin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    if fs::hard_link(path, &twin).is_err() {
        fs::copy(path, &twin).and_then(|_| File::open(&twin)?.sync_all()).map_err(failed)?;
    }
    TempPath::try_from_path(twin).map_err(failed)
}

/// The older version, where the present programs are of two: an update or a way back was killed in between.
fn older_of_two(pairs: &[Pair]) -> Option<String> {
    let present: Option<Vec<&String>> = pairs.iter().map(|pair| pair.present.as_ref()).collect();
    let mut present: Vec<(Version, &String)> =
        present?.into_iter().map(|said| Some((said.parse().ok()?, said))).collect::<Option<_>>()?;
    present.sort();
    match present.as_slice() {
        [(older, said), .., (newer, _)] if older != newer => Some((*said).clone()),
        _ => None,
    }
}

/// The version in what a program says of itself.
fn stripped(name: &str, said: &str) -> String {
    said.strip_prefix(name).unwrap_or(said).trim().to_owned()
}

async fn said_version(name: &'static str, path: &Path) -> Result<String, ReleaseError> {
    let tool = Tool::at(path, name, "pm");
    let said = tool.run(&["--version"], "").await;
    let said = said.map_err(|source| ReleaseError::DoesNotRun { name, source })?;
    Ok(said.trim().to_owned())
}

fn file(deed: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ReleaseError {
    move |source| ReleaseError::File { deed, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
