//! Where pm is put: a root for the files, and the system behind it when that root is the machine's own.

use pm_monitor::Paths;

use crate::system::System;

/// A machine, or a folder that stands for one.
#[derive(Clone)]
pub struct Site<'a> {
    /// Where the files are.
    pub paths: Paths,
    /// Whether this is the running machine: only then is its system told anything.
    pub live: bool,
    /// The programs of the system.
    pub system: &'a dyn System,
}

impl Site<'_> {
    /// Whether systemd runs the machine.
    pub fn has_systemd(&self) -> bool {
        self.paths.join("run/systemd/system").is_dir()
    }
}
