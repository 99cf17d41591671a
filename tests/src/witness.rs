//! Counters that pm does not know of: a second nft table, written by the test, and the interface's own statistics.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::namespace::Namespace;
use crate::pace::patience;
use crate::process::{must, until};

/// Before pm's chains, which stand at -5: what arrived.
pub const BEFORE: i32 = -50;
/// After pm's chains: what pm let pass.
pub const AFTER: i32 = 50;

/// Silence that means that nothing more is coming.
const SILENCE: Duration = Duration::from_millis(150);

/// One place to count at.
#[derive(Debug, Clone, Copy)]
pub struct Point<'a> {
    /// The counter's name.
    pub name: &'a str,
    /// `input`, `output` or `forward`.
    pub hook: &'a str,
    /// [`BEFORE`] or [`AFTER`] pm.
    pub priority: i32,
    /// Which TCP or UDP packets, in nft's words.
    pub packets: &'a str,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tally {
    /// IP bytes.
    pub bytes: u64,
    /// Packets; a GSO super-packet is one.
    pub packets: u64,
}

/// A table of counters in a namespace.
#[derive(Debug)]
pub struct Witness<'a> {
    namespace: &'a Namespace,
}

impl<'a> Witness<'a> {
    /// Starts to count at the given points.
    #[track_caller]
    pub fn new(namespace: &'a Namespace, points: &[Point<'_>]) -> Self {
        // `in` and `out` alone are words of nft's own, to which 0.9.8 gives no other meaning.
        let places = points.iter().map(|Point { name, hook, priority, packets }| {
            format!(
                "counter seen_{name} {{ }}
                 chain at_{name} {{ type filter hook {hook} priority {priority}; policy accept
                   meta l4proto != {{ tcp, udp }} return
                   {packets} counter name seen_{name}
                 }}
                 "
            )
        });
        namespace.nft(&format!("table inet witness {{ {} }}", places.collect::<String>()));
        Self { namespace }
    }

    /// The two directions of one port on a machine that does not forward, as `in` and `out`, after pm.
    #[track_caller]
    pub fn of_port(namespace: &'a Namespace, port: u16) -> Self {
        let (inward, outward) = (format!("th dport {port}"), format!("th sport {port}"));
        Self::new(
            namespace,
            &[
                Point { name: "in", hook: "input", priority: AFTER, packets: &inward },
                Point { name: "out", hook: "output", priority: AFTER, packets: &outward },
            ],
        )
    }

    /// What every counter holds, by name.
    #[track_caller]
    pub fn all(&self) -> BTreeMap<String, Tally> {
        let listed = self.namespace.run(&["nft", "-j", "list", "counters", "table", "inet", "witness"]);
        let listed: Value = must(serde_json::from_str(&listed), "nft did not print JSON");
        let objects = listed["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
        let counters = objects.iter().map(|object| &object["counter"]).filter_map(|counter| {
            let (bytes, packets) = (counter["bytes"].as_u64()?, counter["packets"].as_u64()?);
            let name = counter["name"].as_str()?.strip_prefix("seen_")?;
            Some((name.to_owned(), Tally { bytes, packets }))
        });
        counters.collect()
    }

    /// What one counter holds.
    #[track_caller]
    pub fn read(&self, name: &str) -> Tally {
        must(self.all().get(name).copied().ok_or("there is none"), format_args!("witness {name}"))
    }

    /// Bytes of one counter.
    #[track_caller]
    pub fn bytes(&self, name: &str) -> u64 {
        self.read(name).bytes
    }

    /// Waits until the counter stands still, and returns it.
    #[track_caller]
    pub fn settled(&self, name: &str) -> Tally {
        let mut last = self.read(name);
        until(format_args!("witness {name} at rest"), Duration::from_secs(30), || {
            std::thread::sleep(patience(SILENCE));
            let now = self.read(name);
            (std::mem::replace(&mut last, now) == now).then_some(now)
        })
    }
}

/// Bytes that an interface has received and sent so far, link layer included.
#[track_caller]
pub fn interface_bytes(namespace: &Namespace, interface: &str) -> (u64, u64) {
    let listed = namespace.run(&["ip", "-s", "-j", "link", "show", "dev", interface]);
    let listed: Value = must(serde_json::from_str(&listed), "ip did not print JSON");
    let side = |side: &str| listed[0]["stats64"][side]["bytes"].as_u64().ok_or("ip shows no such statistics");
    (must(side("rx"), interface), must(side("tx"), interface))
}
