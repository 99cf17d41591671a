//! Which network namespace this process is in, for notes that must not be believed in another one.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// A network namespace that lives now.
///
/// The kernel gives the number of a namespace that is gone to a new one, so an equal value is a necessary sign that
/// nothing changed, not a sufficient one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetworkNamespace {
    device: u64,
    inode: u64,
}

impl NetworkNamespace {
    /// The namespace of this process; none where `/proc` does not tell.
    pub fn current() -> Option<Self> {
        let metadata = fs::metadata("/proc/self/ns/net").ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

impl fmt::Display for NetworkNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.device, self.inode)
    }
}
