//! Where the files are: below a root that is `/` unless told otherwise.

use std::path::{Path, PathBuf};

/// The root folder that all paths are under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Paths under this root.
    pub fn under(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The configuration and all that is remembered.
    pub fn config(&self) -> PathBuf {
        self.root.join("etc/port_monitor/config.json")
    }

    /// The configuration as it was one write before.
    pub fn backup(&self) -> PathBuf {
        self.root.join("etc/port_monitor/config.json.bak")
    }

    /// The folder of the installed programs.
    pub fn programs(&self) -> PathBuf {
        self.root.join("usr/local/bin")
    }

    /// Held by whoever changes the configuration.
    pub fn lock(&self) -> PathBuf {
        self.run("pm.lock")
    }

    /// Held by the monitor, so that minutes do not pile up.
    pub fn cron_lock(&self) -> PathBuf {
        self.run("pm_cron.lock")
    }

    /// Held by whoever delivers messages, so that none is sent twice. Nothing else waits for it.
    pub fn tell_lock(&self) -> PathBuf {
        self.run("pm_tell.lock")
    }

    /// What the firewall remembers of its last apply.
    pub fn firewall_record(&self) -> PathBuf {
        self.run("pm_nft.json")
    }

    /// What the shaper remembers of its last apply, and of what stood there before.
    pub fn shaper_record(&self) -> PathBuf {
        self.run("pm_tc.json")
    }

    /// A file of the system, named by its path below the root.
    pub fn join(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn run(&self, name: &str) -> PathBuf {
        self.root.join("var/run").join(name)
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self::under(Path::new("/"))
    }
}
