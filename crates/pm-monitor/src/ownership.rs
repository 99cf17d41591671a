//! Who else decides what root does here: other owners of the configuration and its folder, and who may write to them.

use std::fmt;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use pm_kernel::file;

use crate::paths::Paths;

/// A file or a folder that somebody else can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Which one.
    pub path: PathBuf,
    /// The user to whom it belongs; none when it is ours, and others may write to it.
    pub owner: Option<u32>,
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.owner {
            Some(user) => write!(f, "{path} belongs to user {user}, who so decides what root does here")?,
            None => write!(f, "others may write to {path}, and so decide what root does here")?,
        }
        f.write_str(": look through the configuration (pm list, pm telegram show), then pm doctor --fix takes it back")
    }
}

/// Whatever somebody else can change of what decides everything; nothing, usually.
pub fn shared(paths: &Paths) -> Vec<Shared> {
    let config = paths.config();
    let folder = config.parent().map(ToOwned::to_owned);
    let others = |path: PathBuf| {
        let about = fs::symlink_metadata(&path).ok()?;
        let owner = Some(about.uid()).filter(|&user| !file::is_trusted(user));
        let is_open = about.permissions().mode() & 0o022 != 0 && !about.is_symlink();
        (owner.is_some() || is_open).then_some(Shared { path, owner })
    };
    folder.into_iter().chain([config]).filter_map(others).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::chown;

    use pm_core::wire::Snapshot;

    use super::*;
    use crate::store::Store;

    #[test]
    fn whoever_else_can_change_the_configuration_is_told() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        assert_eq!(shared(&paths), []);
        Store::new(&paths).save(&Snapshot::default()).unwrap();
        assert_eq!(shared(&paths), []);
        let config = paths.config();
        let folder = config.parent().unwrap().to_owned();
        let others = |mode: (u32, u32)| {
            fs::set_permissions(&folder, Permissions::from_mode(mode.0)).unwrap();
            fs::set_permissions(&config, Permissions::from_mode(mode.1)).unwrap();
            shared(&paths).into_iter().map(|shared| shared.path).collect::<Vec<_>>()
        };
        assert_eq!(others((0o755, 0o644)), Vec::<PathBuf>::new(), "who may only read decides nothing");
        assert_eq!(others((0o777, 0o660)), [folder.clone(), config.clone()]);
        assert!(shared(&paths)[0].to_string().starts_with("others may write to /"));
        others((0o700, 0o600));
        if !rustix::process::geteuid().is_root() || chown(&config, Some(1000), None).is_err() {
            // Only root can give a file away, and only to somebody whom its user namespace knows.
            return;
        }
        assert_eq!(shared(&paths), [Shared { path: config, owner: Some(1000) }]);
        assert!(shared(&paths)[0].to_string().contains("belongs to user 1000"));
    }
}
