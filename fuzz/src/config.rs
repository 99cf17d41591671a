//! config.json: what is read is written and read alike, whatever it says can be lived with, and what is refused is
//! refused at a place in the file.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use pm_core::accounting::{BootId, CounterId, CounterReading, Mark, QuotaReading, Reading, Readings};
use pm_core::backend::Retry;
use pm_core::config::Config;
use pm_core::desired::{Desired, Host};
use pm_core::dynqos::RateWindow;
use pm_core::edit::{Edit, edit};
use pm_core::event::Event;
use pm_core::port::PortRange;
use pm_core::progress::LastError;
use pm_core::state::State;
use pm_core::tick::{Minute, tick};
use pm_core::units::Bytes;
use pm_core::view::Overview;
use pm_core::wire::{Snapshot, WireError, decode, encode};
use serde_json::{Map, Value};

use crate::dice::Dice;

/// Reads a configuration file, writes it, and lives with it for some minutes.
pub fn config(input: &[u8]) {
    let snapshot = match decode(input) {
        Ok(decoded) => decoded.snapshot,
        Err(error) => return is_told(input, &error),
    };
    let written = encode(&snapshot);
    let again = read_back(&written);
    let (read, meant) = (meaning(&again), meaning(&snapshot));
    if read != meant {
        is_same_text(format!("{read:#?}").as_bytes(), format!("{meant:#?}").as_bytes());
        panic!("it is read otherwise than it was written");
    }
    is_same_text(&encode(&again), &written);
    nothing_is_lost(input, &written);
    lives(snapshot, &mut Dice::of(input));
}

/// The place of an error is one of the file, and the sentence is fit for a terminal.
fn is_told(input: &[u8], error: &WireError) {
    let line = input.split(|&byte| byte == b'\n').nth(error.line.wrapping_sub(1));
    let line = line.unwrap_or_else(|| panic!("{error}: there is no such line"));
    assert!((1..=line.len() + 1).contains(&error.column), "{error}: there is no such column");
    let sentence = error.to_string();
    assert!(!sentence.chars().any(char::is_control), "it has control characters: {sentence:?}");
    assert!(sentence.chars().count() < 5_000, "it is a page long: {sentence}");
}

fn read_back(written: &[u8]) -> Snapshot {
    match decode(written) {
        Ok(decoded) => decoded.snapshot,
        Err(error) => panic!("what was written cannot be read: {error}\n{}", text(written)),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Says which line is another.
fn is_same_text(again: &[u8], written: &[u8]) {
    let lines = |text: &[u8]| text.split(|&byte| byte == b'\n').map(self::text).collect::<Vec<_>>();
    let (again, written) = (lines(again), lines(written));
    let differs = again.iter().zip(&written).position(|(again, written)| again != written);
    if let Some(line) = differs {
        panic!("the second time it is another line: {:?}, {:?}", &written[line], &again[line]);
    }
    assert_eq!(again.len(), written.len(), "lines are missing the second time");
}

/// What a file decides and knows, without the differences that mean nothing.
fn meaning(snapshot: &Snapshot) -> (Config, State) {
    let (config, mut state) = (snapshot.config.clone(), snapshot.state.clone());
    for (port, state) in &mut state.ports {
        // No counter, and one that stood at zero: whatever is read next is new.
        for meter in [&mut state.ledger.inbound, &mut state.ledger.outbound] {
            meter.mark.get_or_insert(Mark { bytes: Bytes(0), origin: None });
        }
        // Nobody asks for the window of a penalty that is off, or for a window that has not begun.
        let is_on = config.ports.get(port).is_some_and(|port| port.dynqos.active().is_some());
        if !is_on || state.window.since.is_none() {
            state.window = RateWindow::default();
        }
    }
    (config, state)
}

/// Every field of the file is there again, and those that pm does not know have their values.
fn nothing_is_lost(input: &[u8], written: &[u8]) {
    let read = |text: &[u8]| serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}"));
    let (before, after): (Value, Value) = (read(input), read(written));
    let none = Map::new();
    let object = |value: &Value, name: &str| match value.get(name) {
        Some(Value::Object(fields)) => fields.clone(),
        _ => none.clone(),
    };
    let of = |value: &Value| value.as_object().cloned().unwrap_or_default();
    same_but(TOP, &of(&before), &of(&after));
    for (name, known) in [("telegram", TELEGRAM), ("monitor", MONITOR), ("update", UPDATE)] {
        same_but(known, &object(&before, name), &object(&after, name));
    }
    let (ports, ports_after) = (object(&before, "ports"), object(&after, "ports"));
    assert!(ports.keys().eq(ports_after.keys()), "there are other ports");
    for (port, after) in ports.values().zip(ports_after.values()) {
        same_but(PORT, &of(port), &of(after));
        for (name, known) in [("stats", STATS), ("dyn_limit", DYN_LIMIT), ("notify_state", NOTIFY_STATE)] {
            same_but(known, &object(port, name), &object(after, name));
        }
    }
    let channels =
        |value: &Value| value.get("channels").and_then(Value::as_array).cloned().unwrap_or_default();
    let (channels, channels_after) = (channels(&before), channels(&after));
    assert_eq!(channels.len(), channels_after.len(), "there are other channels");
    for (channel, after) in channels.iter().zip(&channels_after) {
        same_but(CHANNEL, &of(channel), &of(after));
    }
}

fn same_but(known: &[&str], before: &Map<String, Value>, after: &Map<String, Value>) {
    let foreign = |fields: &Map<String, Value>| {
        let fields = fields.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        fields.map(|(name, value)| (name.clone(), value.clone())).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(foreign(after), foreign(before), "fields that nobody knows were not kept");
}

const TOP: &[&str] = &[
    "config_version",
    "interface",
    "take_over_qdisc",
    "forward",
    "ports",
    "telegram",
    "channels",
    "update",
    "monitor",
    "outbox",
    "delivery",
];
const TELEGRAM: &[&str] = &[
    "enable",
    "bot_token",
    "chat_id",
    "api_url",
    "thresholds",
    "report_interval_hours",
    "last_report_ts",
    "proxy",
    "language",
];
const MONITOR: &[&str] = &["last_run_ts", "next_message_id"];
const UPDATE: &[&str] = &["url", "public_key"];
const CHANNEL: &[&str] = &["name", "type", "enable", "url", "secret", "body", "proxy"];
const PORT: &[&str] = &[
    "quota_gb",
    "quota_mode",
    "limit_mbps",
    "reset_day",
    "last_reset_ts",
    "comment",
    "group_id",
    "stats",
    "dyn_limit",
    "notify_state",
    "reset_mark",
    "events",
];
const STATS: &[&str] = &["acc_in", "acc_out", "last_kernel_in", "last_kernel_out", "counters"];
const DYN_LIMIT: &[&str] = &[
    "enable",
    "trigger_mbps",
    "trigger_time",
    "punish_mbps",
    "punish_time",
    "is_punished",
    "strike_count",
    "punish_end_ts",
    "window",
];
const NOTIFY_STATE: &[&str] =
    &["quota_level", "punish_notified", "recover_notified", "block_notified", "cut_off"];

/// Some minutes under clocks and counters that do what they like: no byte that was billed is forgotten but by a reset,
/// what the kernel should be makes sense, and the file can be read after each of them.
fn lives(snapshot: Snapshot, dice: &mut Dice) {
    let Snapshot { mut config, mut state, extras } = snapshot;
    let mut at = state.last_run.unwrap_or(Timestamp::UNIX_EPOCH);
    for _ in 0..4 {
        let now = dice.clock(at);
        at = now.timestamp();
        let readings = readings(config.ports.keys(), dice);
        let before = state.clone();
        let Minute { state: after, events, .. } = tick(&config, state, &readings, &now);
        state = after;
        bills(&before, &state, &events);
        let host = Host { default_interface: Some("eth0".into()), forwards: dice.below(2) == 0 };
        let desired = Desired::of(&config, &state, &readings, &host);
        let ruleset = &desired.ruleset;
        assert!(ruleset.metered.iter().eq(config.ports.keys()), "not every entry is metered");
        assert!(ruleset.blocked.is_subset(&ruleset.metered), "what is blocked is not metered");
        assert!(ruleset.quotas.values().all(|quota| quota.over > Bytes(0)), "a quota of zero is no quota");
        let _ = Overview::of(&config, &state, &now);

        let ids: Vec<u64> = state.outbox.messages.iter().map(|message| message.id).collect();
        let new = ids.get(before.outbox.messages.len()..).unwrap_or_default();
        let last = before.outbox.next_id.checked_sub(1);
        assert!(
            last.into_iter().chain(new.iter().copied()).is_sorted_by(|a, b| a < b),
            "numbers of messages"
        );
        let next_id = state.outbox.next_id;
        for progress in state.outbox.progress.values_mut() {
            match dice.below(3) {
                0 => progress.taken(next_id, 0, at),
                1 => progress.put_off(Retry::Later, LastError { at, text: "no".into() }),
                _ => {
                    let asked = std::time::Duration::from_secs(dice.figure());
                    progress.put_off(Retry::After(asked), LastError { at, text: "no".into() });
                }
            }
            let _ = progress.may_try(at);
        }
        if let (Some(&port), 0) = (config.ports.keys().next(), dice.below(4)) {
            let _ = edit(&mut config, &mut state, &readings, &now, &Edit::Reset(vec![port]));
        }
        let snapshot = Snapshot { config: config.clone(), state: state.clone(), extras: extras.clone() };
        let written = encode(&snapshot);
        is_same_text(&encode(&read_back(&written)), &written);
    }
}

fn bills(before: &State, after: &State, events: &[Event]) {
    let was_reset = |port: &PortRange| {
        events.iter().any(|event| match event {
            Event::QuotaReset { subject, .. } => subject.ports.contains(port),
            Event::QuotaWarning { .. }
            | Event::Blocked { .. }
            | Event::Punished { .. }
            | Event::Recovered { .. }
            | Event::Report { .. }
            | Event::Test => false,
        })
    };
    for (port, before) in &before.ports {
        let (before, after) = (before.ledger.used(), after.ports[port].ledger.used());
        let fell = after.inbound < before.inbound || after.outbound < before.outbound;
        assert!(!fell || was_reset(port), "port {port} lost what it had used: {before:?}, {after:?}");
    }
}

fn readings<'a>(ports: impl Iterator<Item = &'a PortRange>, dice: &mut Dice) -> Readings {
    let mut readings = Readings::default();
    for &port in ports {
        let mut counter = || {
            let boot = BootId { kernel: u128::from(dice.below(2)), init: 1 };
            let origin = CounterId { boot, table: dice.below(2), counter: dice.below(2) };
            (dice.below(5) > 0).then(|| CounterReading { bytes: Bytes(dice.figure()), origin })
        };
        let reading = Reading { inbound: counter(), outbound: counter() };
        if reading != Reading::default() {
            readings.counters.insert(port, reading);
        }
        if dice.below(2) == 0 {
            let (over, used) = (dice.figure().max(1), dice.figure());
            let reading = QuotaReading {
                over: Bytes(over),
                used_before: Bytes(used),
                used_after: Bytes(used.saturating_add(dice.figure())),
            };
            readings.quotas.insert(port, reading);
        }
    }
    readings
}
