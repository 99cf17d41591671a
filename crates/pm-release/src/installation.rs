//! The installed programs: replaced all or none, the ones before kept beside them.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pm_core::units::shown;
use pm_kernel::tool::Tool;
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
        Ok(Staged { programs: staged })
    }

    /// Puts the staged programs in place of the present ones, which become `NAME.old`. All or none.
    pub fn replace(&self, staged: Staged) -> Result<(), ReleaseError> {
        self.put_all(staged.programs)
    }

    /// Puts the programs before in place of the present ones, and says which version they are. Done twice, it is undone.
    pub async fn roll_back(&self) -> Result<String, ReleaseError> {
        let mut programs = Vec::new();
        let mut version = String::new();
        for name in PROGRAMS {
            let old = self.old(name);
            if !old.is_file() {
                return Err(ReleaseError::NoOld { path: old });
            }
            let said = said_version(name, &old).await?;
            version = said.strip_prefix(name).unwrap_or(&said).trim().to_owned();
            programs.push((name, self.twin(&old, &format!(".{name}.back"))?));
        }
        self.put_all(programs)?;
        Ok(version)
    }

    fn put_all(&self, programs: Vec<(&'static str, TempPath)>) -> Result<(), ReleaseError> {
        let mut done: Vec<&'static str> = Vec::new();
        for (name, path) in programs {
            if let Err(error) = self.put(name, path) {
                for name in done {
                    // What was there a moment ago can be put there again, or nothing can.
                    let _ = fs::rename(self.old(name), self.folder.join(name));
                }
                return Err(error);
            }
            done.push(name);
        }
        let folder = File::open(&self.folder).and_then(|folder| folder.sync_all());
        folder.map_err(file("write to disk", &self.folder))
    }

    /// At no moment is there no program of this name.
    fn put(&self, name: &str, new: TempPath) -> Result<(), ReleaseError> {
        let (place, old) = (self.folder.join(name), self.old(name));
        let kept = self.twin(&place, &format!(".{name}.keep"))?;
        fs::rename(&kept, &old).map_err(file("keep the present program as", &old))?;
        new.persist(&place).map_err(|error| file("put the new program in place of", &place)(error.error))
    }

    /// The same file under another name; a copy where the disk cannot do that.
    fn twin(&self, path: &Path, name: &str) -> Result<TempPath, ReleaseError> {
        let twin = self.folder.join(name);
        let failed = |source| file("keep a copy of", path)(source);
        match fs::remove_file(&twin) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        if fs::hard_link(path, &twin).is_err() {
            fs::copy(path, &twin).map_err(failed)?;
        }
        TempPath::try_from_path(twin).map_err(failed)
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
