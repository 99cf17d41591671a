//! Putting a file where it belongs: whole or not at all, and not at all when it is there already.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt as _, OpenOptionsExt as _, PermissionsExt, fchown};
use std::path::Path;

use pm_kernel::file;
use rustix::fs::OFlags;

use crate::error::SetupError;

/// How the names of files begin that are being written: by an installation, and by an update of either program.
const UNFINISHED: [&str; 3] = [".pm-new.", ".pm.", ".pm-monitor."];

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Placed {
    /// There was none.
    New,
    /// There was another one.
    Replaced,
    /// It was there, byte by byte.
    Same,
}

/// Makes `path` hold these bytes with this mode. Whoever reads it finds the old file or the new one, whole.
pub fn file(path: &Path, bytes: &[u8], mode: u32) -> Result<Placed, SetupError> {
    let failed = |source| SetupError::Write { path: path.to_owned(), source };
    let placed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Placed::New,
        Err(source) => return Err(failed(source)),
        // A file of somebody else's is what he makes of it tomorrow, and so is what a link leads to.
        Ok(about) if about.is_file() && is_ours(&about) && about.permissions().mode() & 0o7777 == mode => {
            if file::read_own(path).map_err(failed)? == bytes {
                return Ok(Placed::Same);
            }
            Placed::Replaced
        }
        Ok(_) => Placed::Replaced,
    };
    replace(path, bytes, mode).map_err(failed)?;
    Ok(placed)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED[0]).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Removes from the folder of the programs what an installation or an update left that was killed.
pub fn sweep(programs: &Path) {
    let Ok(files) = fs::read_dir(programs) else { return };
    for file in files.flatten() {
        let is_unfinished = file
            .file_name()
            .to_str()
            .is_some_and(|name| UNFINISHED.iter().any(|beginning| name.starts_with(beginning)));
        if is_unfinished && file.file_type().is_ok_and(|kind| kind.is_file()) {
            // It does no harm, and the next time it is tried again.
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Makes a folder that only root can look into. True when it was not so before.
pub fn private_folder(path: &Path) -> Result<bool, SetupError> {
    let failed = |source| SetupError::Write { path: path.to_owned(), source };
    if path.exists() {
        let mut options = File::options();
        options.read(true).custom_flags(OFlags::DIRECTORY.bits().cast_signed());
        let folder = options.open(path).map_err(failed)?;
        return taken_back(&folder, 0o700).map_err(failed);
    }
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(failed)?;
    }
    DirBuilder::new().mode(0o700).create(path).map_err(failed)?;
    Ok(true)
}

/// Takes a file away from everybody else. True when it was not so before. It is written anew: whoever has it open, or has
/// another name for it, keeps the one before.
pub fn private(path: &Path, mode: u32) -> Result<bool, SetupError> {
    let present =
        file::read_own(path).map_err(|source| SetupError::Read { path: path.to_owned(), source })?;
    Ok(file(path, &present, mode)? != Placed::Same)
}

/// Owner and mode of what is open, so that nothing else can come into its place meanwhile.
fn taken_back(open: &File, mode: u32) -> io::Result<bool> {
    let about = open.metadata()?;
    if is_ours(&about) && about.permissions().mode() & 0o7777 == mode {
        return Ok(false);
    }
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    fchown(open, Some(user), Some(group))?;
    open.set_permissions(Permissions::from_mode(mode))?;
    Ok(true)
}

/// Whether somebody else could look into it or change it.
pub fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| !is_ours(&about) || about.permissions().mode() & 0o077 != 0)
}

/// Whether it belongs to who runs this: root, on a machine.
fn is_ours(about: &Metadata) -> bool {
    about.uid() == rustix::process::geteuid().as_raw()
}

/// Makes a symbolic link that leads to `target`. True when it was not so before.
pub fn link(path: &Path, target: &Path) -> Result<bool, SetupError> {
    let failed = |source| SetupError::Write { path: path.to_owned(), source };
    if fs::read_link(path).is_ok_and(|present| present == target) {
        return Ok(false);
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    remove(path)?;
    std::os::unix::fs::symlink(target, path).map_err(failed)?;
    Ok(true)
}

/// Removes a file, a link, or a folder with all that is in it. True when there was one.
pub fn remove(path: &Path) -> Result<bool, SetupError> {
    let failed = |source| SetupError::Remove { path: path.to_owned(), source };
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(failed(source)),
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn a_file_is_put_once_and_its_mode_is_kept_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usr/local/bin/pm");
        assert_eq!(file(&path, b"one", 0o755).unwrap(), Placed::New);
        let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
        let before = inode();
        assert_eq!(file(&path, b"one", 0o755).unwrap(), Placed::Same);
        assert_eq!(inode(), before, "nothing was written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(file(&path, b"one", 0o755).unwrap(), Placed::Replaced);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o755);
        // A program that runs is not written into: its file gets another name.
        let running = File::open(&path).unwrap();
        assert_eq!(file(&path, b"two", 0o755).unwrap(), Placed::Replaced);
        assert_ne!(inode(), std::os::unix::fs::MetadataExt::ino(&running.metadata().unwrap()));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_was_left_by_a_kill_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".pm-new.a1B2c3", ".pm.a1B2c3", ".pm-monitor.back", ".profile", "pm", ".pmx"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join(".pm.folder")).unwrap();
        sweep(folder.path());
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".pm.folder", ".pmx", ".profile", "pm"]);
    }

    #[test]
    fn what_somebody_else_owns_becomes_ours() {
        if !rustix::process::geteuid().is_root() {
            // Only root can give a file away.
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (program, config) = (folder.path().join("pm"), folder.path().join("config.json"));
        for path in [&program, &config] {
            fs::write(path, "one").unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
            chown(path, Some(65_534), Some(65_534)).unwrap();
        }
        // Somebody has it open still, and another name for it.
        let mut kept = File::options().write(true).open(&config).unwrap();
        fs::hard_link(&config, folder.path().join("another name")).unwrap();
        assert!(is_open_to_others(&config));
        assert_eq!(file(&program, b"one", 0o600).unwrap(), Placed::Replaced);
        assert!(private(&config, 0o600).unwrap());
        assert!(!private(&config, 0o600).unwrap());
        kept.write_all(b"two").unwrap();
        for path in [program, config] {
            assert!(!is_open_to_others(&path));
            assert_eq!((fs::metadata(&path).unwrap().uid(), fs::read(&path).unwrap()), (0, b"one".to_vec()));
        }
    }

    #[test]
    fn a_link_or_a_fifo_in_a_files_place_is_replaced_and_what_a_link_leads_to_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("another"), "one").unwrap();
        fs::set_permissions(at("another"), Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink("another", at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o666.into(), 0)
            .unwrap();
        assert!(private(&at("link"), 0o600).is_err());
        for name in ["link", "fifo"] {
            assert_eq!(file(&at(name), b"one", 0o600).unwrap(), Placed::Replaced);
            assert!(fs::symlink_metadata(at(name)).unwrap().is_file(), "{name}");
        }
        assert_eq!(fs::metadata(at("another")).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read(at("another")).unwrap(), b"one");
    }

    #[test]
    fn what_cannot_be_written_is_named_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("usr"), "a file in the way").unwrap();
        let error = file(&folder.path().join("usr/bin/pm"), b"one", 0o755).unwrap_err().to_string();
        assert!(error.contains("usr/bin/pm"), "{error}");
        assert_eq!(fs::read(folder.path().join("usr")).unwrap(), b"a file in the way");
    }
}
