//! Files that root opens: regular ones, and never through a trap that somebody else has set.
//!
//! Whoever may write into a folder may put a fifo there, on which an `open` waits for ever, or a link that leads to
//! another file of root's. So a file is looked at after it was opened, and opening it never waits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Opens a file of somebody else's to read it. Links are followed.
pub fn open(path: &Path) -> io::Result<File> {
    opened(OpenOptions::new().read(true), OFlags::empty(), path)
}

/// Opens a file of pm's own to read it. It is no link.
pub fn open_own(path: &Path) -> io::Result<File> {
    opened(OpenOptions::new().read(true), OFlags::NOFOLLOW, path)
}

/// Opens a file of pm's own to read and lock it, and makes it where there is none, for its owner alone. It is no link.
pub fn make_own(path: &Path) -> io::Result<File> {
    // A fifo that is opened in both directions opens at once.
    let mut options = OpenOptions::new();
    opened(options.read(true).write(true).create(true).truncate(false).mode(0o600), OFlags::NOFOLLOW, path)
}

/// Makes a file of pm's own, empty, with at most these rights for others. What stood in its place is taken away: nothing
/// is written into a file that somebody else has open, nor through a link.
pub fn anew(path: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => OpenOptions::new().write(true).create_new(true).mode(mode).open(path),
    }
}

/// A file of somebody else's, whole. Links are followed.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    whole(open(path)?)
}

/// A file of pm's own, whole. It is no link.
pub fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    whole(open_own(path)?)
}

/// What the kernel tells in a file under `/proc`. It does not say how long it is, and whoever reads it in small pieces has
/// it told anew for each: so there is room for a page, and what takes more (a thousand routes) is read on.
pub fn told(path: &str) -> io::Result<String> {
    const PAGE: usize = 4096;
    let mut text = String::with_capacity(PAGE);
    File::open(path)?.take(u64::MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether what belongs to this user may decide what this process does: it is root's or its own. In a user namespace,
/// whoever is not mapped into it is shown as nobody, root outside of it too.
pub fn is_trusted(user: u32) -> bool {
    const NOBODY: u32 = 65_534;
    let own = rustix::process::geteuid().as_raw();
    user == 0 || user == own || user == NOBODY && own == 0
}

fn whole(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn opened(options: &mut OpenOptions, flags: OFlags, path: &Path) -> io::Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = options.custom_flags(flags.bits().cast_signed()).open(path).map_err(|error| {
        let is_link = error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) && path.is_symlink();
        if is_link { refusal("a link, which is not followed") } else { error }
    })?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    Err(refusal(if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    } else if kind.is_fifo() {
        "a fifo"
    } else {
        "a device"
    }))
}

fn refusal(what: &str) -> io::Error {
    io::Error::other(format!("it is {what}, and has to be a regular file: move it away"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    type Door = fn(&Path) -> io::Result<File>;

    /// Each way to open a file, and whether it follows links.
    const DOORS: [(Door, bool); 3] = [(open, true), (open_own, false), (make_own, false)];

    #[test]
    fn only_a_regular_file_is_opened_and_nothing_keeps_anybody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "it").unwrap();
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::create_dir(at("folder")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/null", at("device")).unwrap();
        for (door, _) in DOORS {
            assert!(door(&at("file")).is_ok());
            for wrong in ["fifo", "folder", "socket", "device"] {
                assert!(door(&at(wrong)).is_err(), "{wrong}");
            }
        }
        let error = open(&at("fifo")).unwrap_err().to_string();
        assert_eq!(error, "it is a fifo, and has to be a regular file: move it away");
    }

    #[test]
    fn what_is_made_anew_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("victim"), "it").unwrap();
        fs::write(at("before"), "it").unwrap();
        fs::set_permissions(at("before"), fs::Permissions::from_mode(0o666)).unwrap();
        symlink("victim", at("link")).unwrap();
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        for name in ["new", "before", "link", "fifo"] {
            anew(&at(name), 0o600).unwrap();
            let about = fs::symlink_metadata(at(name)).unwrap();
            assert!(
                about.is_file() && about.permissions().mode() & 0o777 == 0o600 && about.len() == 0,
                "{name}"
            );
        }
        assert_eq!(fs::read(at("victim")).unwrap(), b"it");
        fs::create_dir(at("folder")).unwrap();
        assert!(anew(&at("folder"), 0o600).is_err());
    }

    #[test]
    fn a_file_of_pms_own_is_not_reached_through_a_link_nor_made_through_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "it").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("nothing", at("dangling")).unwrap();
        for (door, follows) in DOORS {
            assert_eq!(door(&at("link")).is_ok(), follows);
            assert!(door(&at("dangling")).is_err());
        }
        assert!(!at("nothing").exists());
        assert!(make_own(&at("dangling")).unwrap_err().to_string().starts_with("it is a link"));
        assert_eq!(
            (read(&at("link")).unwrap(), read_own(&at("file")).unwrap()),
            (b"it".to_vec(), b"it".to_vec())
        );
    }
}
