//! A machine with many tenants, each with a quota and a rate penalty, before a minute in which nothing happens.

#![expect(clippy::unwrap_used, reason = "what is measured is known to be right")]

use jiff::{Timestamp, ToSpan as _, Zoned};
use pm_core::accounting::{BootId, CounterId, CounterReading, QuotaReading, Reading, Readings};
use pm_core::port::PortRange;
use pm_core::tick::tick;
use pm_core::units::Bytes;
use pm_core::wire::{Snapshot, decode, encode};
use serde_json::{Map, Value, json};

/// What the minute begins with.
pub(crate) struct Tenants {
    /// config.json as the minute before left it.
    pub(crate) file: Vec<u8>,
    /// The same, decoded.
    pub(crate) snapshot: Snapshot,
    /// What the kernel tells.
    pub(crate) readings: Readings,
    pub(crate) now: Zoned,
}

/// The lowest port.
const FIRST: u16 = 10_000;
/// What every tenant may use, in GB and in bytes.
const QUOTA_GB: u64 = 10_000;
const QUOTA: Bytes = Bytes(QUOTA_GB << 30);

impl Tenants {
    /// So many of them.
    pub(crate) fn new(ports: u16) -> Self {
        let began: Timestamp = "2026-03-10T12:00:30Z".parse().unwrap();
        let began = began.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)));
        let readings = readings(ports);
        let Snapshot { config, state, extras } = decode(configuration(ports).as_bytes()).unwrap().snapshot;
        let state = tick(&config, state, &readings, &began).state;
        let file = encode(&Snapshot { config, state, extras });
        let snapshot = decode(&file).unwrap().snapshot;
        Self { file, snapshot, readings, now: began.checked_add(1.minute()).unwrap() }
    }
}

fn ports(number: u16) -> impl Iterator<Item = u16> {
    FIRST..FIRST + number
}

/// As an operator wrote it.
fn configuration(number: u16) -> String {
    let entry = |port: u16| {
        let settings = json!({
            "quota_gb": QUOTA_GB, "quota_mode": "both", "limit_mbps": 0, "reset_day": 1,
            "comment": format!("tenant {port}"),
            "dyn_limit": {
                "enable": true, "trigger_mbps": 1000, "trigger_time": 5, "punish_mbps": 5, "punish_time": 60
            }
        });
        (port.to_string(), settings)
    };
    let entries: Map<String, Value> = ports(number).map(entry).collect();
    json!({ "interface": "", "ports": entries }).to_string()
}

fn readings(number: u16) -> Readings {
    let counter = |handle: u64| {
        let boot = BootId { kernel: 0x1234_5678_9abc_def0_1234_5678_9abc_def0, init: 24 };
        let origin = CounterId { boot, table: 1, counter: handle };
        Some(CounterReading { bytes: Bytes(1 << 30), origin })
    };
    let entries = || ports(number).map(|port| port.to_string().parse::<PortRange>().unwrap());
    let both =
        |(handle, entry)| (entry, Reading { inbound: counter(handle), outbound: counter(1 << 20 | handle) });
    let quota = QuotaReading { over: QUOTA, used_before: Bytes(0), used_after: Bytes(0) };
    Readings {
        counters: (1..).zip(entries()).map(both).collect(),
        quotas: entries().map(|entry| (entry, quota)).collect(),
    }
}
