//! Where the runs take place, one after another: a machine with traffic, a witness and a bot, set up anew for each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pm_tests::bot::Bot;
use pm_tests::machine::Machine;
use pm_tests::namespace::Namespace;
use pm_tests::network::{Family, OUTSIDE, Pair};
use pm_tests::process::{Background, Finished, run, until};
use pm_tests::publisher::Publisher;
use pm_tests::traffic::udp_sink;
use pm_tests::witness::{AFTER, Point, Witness};
use serde_json::Value;

use super::injury::{Injury, Watcher};

/// The ports that have traffic, and a witness. The first has some all the time.
pub(super) const PORTS: [u16; 4] = [10086, 10087, 10088, 10089];

const PAYLOAD: u64 = 1000;
/// How long a run under strace may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Two namespaces with what stays in them.
pub(super) struct Site {
    pair: Pair,
    pub(super) bot: Bot,
    pub(super) publisher: Publisher,
    _sinks: Vec<Background>,
}

impl Site {
    pub(super) fn new() -> Self {
        let pair = Pair::new();
        let bot = Bot::new(&pair.host);
        let publisher = Publisher::new(&pair.host);
        let sinks = PORTS.iter().map(|port| udp_sink(&pair.host, *port)).collect();
        let names = PORTS.map(|port| (format!("p{port}"), format!("udp dport {port}")));
        let points: Vec<Point<'_>> = names
            .iter()
            .map(|(name, packets)| Point { name, hook: "input", priority: AFTER, packets })
            .collect();
        let _ = Witness::new(&pair.host, &points);
        Self { pair, bot, publisher, _sinks: sinks }
    }

    pub(super) const fn host(&self) -> &Namespace {
        &self.pair.host
    }

    /// A machine on which pm has never run, in a kernel that knows nothing of it.
    pub(super) fn machine(&self) -> Machine<'_> {
        self.pair.host.try_run(&["nft", "delete", "table", "inet", "port_monitor"]);
        self.pair.host.try_run(&["tc", "qdisc", "del", "dev", OUTSIDE, "root"]);
        Machine::new(&self.pair.host)
    }

    /// So many datagrams to each port.
    pub(super) fn send(&self, count: u64) {
        let ports = PORTS.map(|port| port.to_string()).join(" ");
        self.pair.client.bash(&format!(
            "for port in {ports}; do
               dd if=/dev/zero bs={PAYLOAD} count={count} status=none > /dev/udp/{}/$port
             done",
            Family::V4.host()
        ));
    }

    /// Datagrams to the first port until it is dropped.
    pub(super) fn flood(&self) -> Background {
        let line = format!(
            "while dd if=/dev/zero bs={PAYLOAD} count=20 status=none > /dev/udp/{}/{}; do :; done",
            Family::V4.host(),
            PORTS[0]
        );
        self.pair.client.spawn(&["bash", "-c", &line])
    }

    /// What arrived and was let through, by port.
    pub(super) fn seen(&self) -> Result<BTreeMap<u16, u64>> {
        let listed = self.pair.host.run(&["nft", "-j", "list", "counters", "table", "inet", "witness"]);
        let listed: Value = serde_json::from_str(&listed)?;
        let objects = listed["nftables"].as_array().context("nft lists nothing")?;
        let counter = |object: &Value| {
            let port = object["counter"]["name"].as_str()?.strip_prefix("seen_p")?.parse().ok()?;
            Some((port, object["counter"]["bytes"].as_u64()?))
        };
        Ok(objects.iter().filter_map(counter).collect())
    }

    /// One run of a program of ours with its injury. It is over when everything that it started is.
    pub(super) fn injured(
        &self,
        machine: &Machine<'_>,
        (program, now, words): (&Path, Option<&str>, &[String]),
        (injury, always): (&Injury, &str),
    ) -> Result<(Option<Finished>, Watcher)> {
        let watcher = Watcher::of(injury)?;
        if matches!(injury, Injury::NotRun) {
            return Ok((None, watcher));
        }
        let before = self.inhabitants()?;
        let mut command = self.pair.host.command("strace");
        command
            .args(watcher.words(injury, always))
            .arg(program)
            .arg("--root")
            .arg(machine.root())
            .args(words);
        command.env("PATH", watcher.path()).env("PM_LANG", "en").env_remove("PM_ROOT").env_remove("PM_NOW");
        if let Some(now) = now {
            command.env("PM_NOW", now);
        }
        let finished = run(command, PATIENCE);
        // A program of the machine outlives ours when only ours is killed.
        until("everything that was started has ended", PATIENCE, || {
            self.inhabitants().is_ok_and(|now| now.is_subset(&before)).then_some(())
        });
        Ok((Some(finished), watcher))
    }

    /// The rules, but for what they have counted and how far the quotas are armed; and the classes.
    pub(super) fn in_force(&self) -> Vec<String> {
        let table = self.pair.host.table("port_monitor");
        let table = table.trim().trim_start_matches("table inet port_monitor {").trim_end_matches('}');
        let mut objects: Vec<String> = table
            .split("\n\n")
            .map(|object| {
                object.lines().filter(|line| !line.trim().starts_with("over ")).map(str::trim).collect()
            })
            .collect();
        let classes = self.pair.host.run(&["tc", "class", "show", "dev", OUTSIDE]);
        let of_htb = classes.lines().filter(|line| line.starts_with("class htb"));
        // The number of a leaf is any.
        let without_leaf = |line: &str| {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            if let Some(leaf) = words.iter().position(|word| *word == "leaf") {
                words.drain(leaf..(leaf + 2).min(words.len()));
            }
            words.join(" ")
        };
        objects.extend(of_htb.map(without_leaf));
        objects.sort();
        objects
    }

    /// How much each quota lets pass from now on, by its name; nothing for one that is exhausted.
    pub(super) fn quotas(&self) -> Result<BTreeMap<String, u64>> {
        let listed =
            self.pair.host.try_run(&["nft", "-j", "list", "quotas", "table", "inet", "port_monitor"]);
        if listed.code != Some(0) {
            return Ok(BTreeMap::new());
        }
        let listed: Value = serde_json::from_str(&listed.stdout)?;
        let objects = listed["nftables"].as_array().context("nft lists nothing")?;
        let left = |object: &Value| {
            let quota = &object["quota"];
            let used = quota["used"].as_u64().unwrap_or_default();
            Some((quota["name"].as_str()?.to_owned(), quota["bytes"].as_u64()?.saturating_sub(used)))
        };
        Ok(objects.iter().filter_map(left).collect())
    }

    /// The processes of the host's namespace.
    fn inhabitants(&self) -> Result<BTreeSet<u32>> {
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/net"));
        let here = of(&self.pair.host.id())?;
        let mut found = BTreeSet::new();
        for process in fs::read_dir("/proc")?.flatten() {
            let name = process.file_name().to_string_lossy().into_owned();
            if let Ok(number) = name.parse()
                && of(&name).is_ok_and(|place| place == here)
            {
                found.insert(number);
            }
        }
        Ok(found)
    }
}

/// The names in these folders other than those that belong there; a star stands for any ending.
pub(super) fn leftovers(root: &Path, folders: &[&str], allowed: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in folders {
        let Ok(files) = fs::read_dir(root.join(folder)) else { continue };
        for file in files {
            let name = file?.file_name().to_string_lossy().into_owned();
            let is_allowed = |allowed: &&str| match allowed.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == *allowed,
            };
            if !allowed.iter().any(is_allowed) {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found.sort();
    Ok(found)
}
