//! A shaper on trial, and what the tests ask of the machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pm_core::backend::{Applied, BackendError, Fault, Shaper, Shaping};
use pm_core::port::{ClassId, Port};
use pm_core::units::Rate;
use pm_shaper::Htb;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::cable::Traffic;

/// The port whose packets go into class `1:2766` on every interface.
pub(crate) const PORT: u16 = 10086;

/// A shaper and a runtime to run it on.
pub(crate) struct Bench {
    shaper: Htb,
    pub(crate) folder: TempDir,
    runtime: Runtime,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shaper = Htb::new(record_in(folder.path()));
        Self { shaper, folder, runtime: Builder::new_current_thread().enable_all().build().unwrap() }
    }

    /// The next run of the program: it knows nothing but what is in the file.
    pub(crate) fn restart(&mut self) {
        self.shaper = Htb::new(record_in(self.folder.path()));
    }

    pub(crate) fn try_apply(&self, shaping: &Shaping) -> Result<Applied, BackendError> {
        self.runtime.block_on(self.shaper.apply(shaping))
    }

    pub(crate) fn apply(&self, interface: &str, limits: &[(u16, u64)]) -> Applied {
        self.try_apply(&shaping(interface, limits)).unwrap()
    }

    pub(crate) fn set(&self, interface: &str, limits: &[(u16, u64)]) {
        let _ = self.apply(interface, limits);
    }

    pub(crate) fn refusal(&self, shaping: &Shaping) -> (Fault, String) {
        let error = self.try_apply(shaping).unwrap_err();
        (error.fault, error.to_string())
    }

    pub(crate) fn remove(&self) {
        self.runtime.block_on(self.shaper.remove()).unwrap();
    }

    pub(crate) fn has_record(&self) -> bool {
        record_in(self.folder.path()).exists()
    }
}

pub(crate) fn record_in(folder: &Path) -> PathBuf {
    folder.join("run/record.json")
}

pub(crate) fn shaping(interface: &str, limits: &[(u16, u64)]) -> Shaping {
    let class = |port| ClassId::of(Port::new(port).unwrap().into()).unwrap();
    Shaping {
        interface: Some(interface.to_owned()),
        take_over: false,
        classes: limits.iter().map(|&(port, mbps)| (class(port), Rate::mbps(mbps))).collect(),
    }
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "there is no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What the kernel tells whoever listens about changes of the traffic control meanwhile.
pub(crate) fn changes_while(act: impl FnOnce()) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heard");
    let file = fs::File::create(&path).unwrap();
    let listener = Command::new("tc").arg("monitor").stdout(file).spawn().unwrap();
    let _listener = Traffic { programs: vec![listener] };
    let heard = || fs::read_to_string(&path).unwrap();
    // Whatever happens in between has been told when this has.
    let mark = |kind: &str| {
        until("tc monitor", || {
            shell(&format!("tc qdisc add dev lo root {kind}; tc qdisc del dev lo root"));
            heard().contains(kind)
        });
    };
    mark("pfifo");
    act();
    mark("bfifo");
    heard()
}

/// A line of tc's without one property and its value.
pub(crate) fn without(line: &str, property: &str) -> String {
    let mut words = line.split_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if word == property {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

pub(crate) fn shell(script: &str) -> String {
    assert!(
        env::var_os("PM_ENCLOSED").is_some(),
        "this would change the network of the machine: run these tests by `cargo xtask test kernel`"
    );
    let output = Command::new("bash").arg("-ec").arg(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{script}: {:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
