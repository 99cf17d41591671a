//! A namespace to try the firewall in, and rulesets to try.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pm_core::accounting::{Readings, Traffic};
use pm_core::backend::{Applied, Firewall, QuotaRule, Ruleset};
use pm_core::port::{ClassId, Port, PortRange};
use pm_core::quota::Mode;
use pm_core::units::Bytes;
use pm_kernel::tool::Tool;
use pm_netfilter::Netfilter;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// A clean namespace, a firewall whose starts of `nft` are counted, and a runtime to run it on.
pub(crate) struct Bench {
    pub(crate) firewall: Netfilter,
    pub(crate) folder: TempDir,
    pub(crate) runtime: Runtime,
}

impl Bench {
    pub(crate) fn new() -> Self {
        // Whoever sends must not leave from a port that is metered.
        shell(
            "ip link set lo up; nft flush ruleset; echo 1024 1999 > /proc/sys/net/ipv4/ip_local_port_range",
        );
        let folder = tempfile::tempdir().unwrap();
        let firewall = firewall_in(folder.path());
        Self { firewall, folder, runtime: Builder::new_current_thread().enable_all().build().unwrap() }
    }

    /// Applies, and sees to it that the kernel took it without any help of nft.
    pub(crate) fn apply(&self, ruleset: &Ruleset) -> Applied {
        let starts = self.starts();
        let applied = self.runtime.block_on(self.firewall.apply(ruleset)).unwrap();
        assert_eq!(self.starts(), starts, "nft was started");
        applied
    }

    pub(crate) fn read(&self) -> Readings {
        self.runtime.block_on(self.firewall.read()).unwrap()
    }

    pub(crate) fn remove(&self) {
        self.runtime.block_on(self.firewall.remove()).unwrap();
    }

    /// How often `nft` was started so far.
    pub(crate) fn starts(&self) -> usize {
        fs::read_to_string(self.folder.path().join("starts")).unwrap_or_default().lines().count()
    }

    pub(crate) fn traffic(&self, entry: &str) -> Traffic {
        let reading = self.read().counters[&range(entry)];
        let bytes = |counter: Option<pm_core::accounting::CounterReading>| counter.unwrap().bytes;
        Traffic { inbound: bytes(reading.inbound), outbound: bytes(reading.outbound) }
    }
}

/// A firewall whose `nft` writes a line into the file `starts` each time.
pub(crate) fn firewall_in(folder: &Path) -> Netfilter {
    let nft = folder.join("nft");
    let script =
        format!("#!/bin/sh\ncd {} && echo >> starts && exec /usr/sbin/nft \"$@\"\n", folder.display());
    fs::write(&nft, script).unwrap();
    fs::set_permissions(&nft, fs::Permissions::from_mode(0o755)).unwrap();
    Netfilter::with_nft(record_in(folder), Tool::at(nft, "nft", "nftables"))
}

pub(crate) fn record_in(folder: &Path) -> PathBuf {
    folder.join("run/record.json")
}

pub(crate) fn shell(script: &str) -> String {
    shell_with(script, Path::new("/nonexistent"))
}

/// Runs a script that keeps notes of its own in the folder `$PM`.
pub(crate) fn shell_with(script: &str, notes: &Path) -> String {
    assert!(
        env::var_os("PM_ENCLOSED").is_some(),
        "this would change the network of the machine: run these tests by `cargo xtask test kernel`"
    );
    let output = Command::new("bash")
        .arg("-ec")
        .arg(script)
        .env("PM", notes)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Sends packets of UDP with this many bytes in all to a port of this machine. Nobody listens; that is no matter.
pub(crate) fn send(bytes: usize, port: u16) {
    // Without `|| true` the refusal of the packet before it would end the sender.
    shell(&format!(
        "for ((left={bytes}; left>0; left-=1000)); do
           n=$((left<1000 ? left : 1000)); head -c $n /dev/zero > /dev/udp/127.0.0.1/{port} || true
         done 2>/dev/null"
    ));
}

/// What a UDP packet weighs beside its payload.
pub(crate) const HEADERS: u64 = 28;

pub(crate) fn range(text: &str) -> PortRange {
    text.parse().unwrap()
}

pub(crate) fn metered(entries: &[&str]) -> Ruleset {
    Ruleset { metered: entries.iter().map(|entry| range(entry)).collect(), ..Ruleset::default() }
}

pub(crate) fn quota(over: u64, mode: Mode, members: &[&str]) -> QuotaRule {
    QuotaRule { over: Bytes(over), mode, members: members.iter().map(|entry| range(entry)).collect() }
}

/// One of everything.
pub(crate) fn rich() -> Ruleset {
    let mut ruleset = metered(&["443", "8080", "10086", "20000-20003", "30000-40000"]);
    ruleset.quotas.insert(range("443"), quota(1 << 40, Mode::OutOnly, &["443", "8080"]));
    ruleset.quotas.insert(range("30000-40000"), quota(1 << 41, Mode::Both, &["30000-40000", "20000-20003"]));
    ruleset.blocked.insert(range("10086"));
    for entry in ["443", "20000-20003", "30000-40000"] {
        ruleset.classes.insert(range(entry), ClassId::of(range(entry)).unwrap());
    }
    ruleset
}

pub(crate) fn many(ports: u16) -> Ruleset {
    let mut ruleset = Ruleset::default();
    for number in 10_000..10_000 + ports {
        let entry: PortRange = Port::new(number).unwrap().into();
        ruleset.metered.insert(entry);
        let rule = QuotaRule { over: Bytes(1 << 40), mode: Mode::Both, members: [entry].into() };
        ruleset.quotas.insert(entry, rule);
        ruleset.classes.insert(entry, ClassId::of(entry).unwrap());
    }
    ruleset
}

/// What stands, without what was counted and without handles.
pub(crate) fn standing() -> String {
    shell("nft -s list ruleset")
}

/// The objects of a listing, which stand there in the order in which they were made. That of a chain's rules has a meaning.
pub(crate) fn sorted(listing: &str) -> Vec<String> {
    let (mut objects, mut object) = (Vec::new(), Vec::new());
    for line in listing.lines().filter(|line| !line.is_empty()) {
        object.push(line);
        // nft 0.9.8 ends an object on the line of its figures.
        if line == "}" || line.ends_with("\t}") || line.starts_with("table ") {
            if !object.iter().any(|line| line.starts_with("\tchain ")) {
                object.sort_unstable();
            }
            objects.push(object.join("\n"));
            object.clear();
        }
    }
    objects.sort();
    objects
}

/// A ruleset of these numbers: any that differ may follow each other.
pub(crate) fn arbitrary(numbers: &mut impl FnMut(u64) -> u64) -> Ruleset {
    const ENTRIES: [&str; 8] =
        ["80", "443", "7000-7004", "8080", "9500-9540", "20000-29999", "30000-31999", "40000-65535"];
    let mut ruleset = Ruleset { forward: numbers(3) == 0, ..Ruleset::default() };
    for entry in ENTRIES.map(range) {
        if numbers(3) == 0 {
            continue;
        }
        ruleset.metered.insert(entry);
        if numbers(4) == 0 {
            ruleset.blocked.insert(entry);
        }
        if numbers(2) == 0 {
            ruleset
                .classes
                .insert(entry, ClassId::of(range(ENTRIES[usize::try_from(numbers(8)).unwrap()])).unwrap());
        }
        let lead = ruleset.quotas.keys().next_back().copied();
        let over = Bytes([1, 50, 5000, 1 << 40][usize::try_from(numbers(4)).unwrap()]);
        match (numbers(3), lead.and_then(|lead| ruleset.quotas.get_mut(&lead))) {
            (0, _) => {}
            (1, Some(group)) => {
                group.members.insert(entry);
            }
            (_, _) => {
                let mode = if numbers(2) == 0 { Mode::Both } else { Mode::OutOnly };
                ruleset.quotas.insert(entry, QuotaRule { over, mode, members: [entry].into() });
            }
        }
    }
    ruleset
}
