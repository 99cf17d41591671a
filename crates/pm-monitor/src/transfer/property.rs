//! What holds of any file that somebody wants to import, for those who try it out with files that no program writes.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use pm_core::accounting::{Readings, Traffic};
use pm_core::config::{PortConfig, Secret};
use pm_core::port::PortRange;
use pm_core::quota::Mode;
use pm_core::state::PortState;
use pm_core::tick::tick;
use pm_core::units::Bytes;
use pm_core::wire::{self, Snapshot, WireError};

use super::rival::{Cycle, Gap, Reason, Rival};
use super::{DocumentError, Export, Import, Merged};

/// What separates the file from the one that holds the usage: no JSON has it.
const SEPARATOR: u8 = 0x1e;

/// Reads a file as each of those that can be imported, and imports it where it can.
pub fn import(input: &[u8]) {
    let end = input.iter().position(|&byte| byte == SEPARATOR);
    let text = &input[..end.unwrap_or(input.len())];
    let usage = end.and_then(|end| input.get(end + 1..));
    let attempts = [
        Import::read(text),
        Import::of_rival(Rival::PortTrafficDog, text, usage),
        Import::of_rival(Rival::TrafficCop, text, None),
    ];
    assert!(attempts.iter().filter(|attempt| attempt.is_ok()).count() <= 1, "it is a file of two programs");
    for (number, attempt) in attempts.into_iter().enumerate() {
        match attempt {
            Ok(import) => is_imported(&import, number == 0),
            Err(error) => is_told(&error, text, usage.unwrap_or_default()),
        }
    }
}

fn is_told(error: &DocumentError, text: &[u8], usage: &[u8]) {
    is_line(&error.to_string());
    let (WireError { line, column, .. }, text) = match error {
        DocumentError::Unreadable(error) => (error, text),
        DocumentError::Usage(error) => (error, usage),
        DocumentError::Foreign
        | DocumentError::Configuration
        | DocumentError::NotOf(_)
        | DocumentError::OfPm
        | DocumentError::Packed(_)
        | DocumentError::Newer(_) => return,
    };
    let found = text.split(|&byte| byte == b'\n').nth(line.wrapping_sub(1));
    let length = found.unwrap_or_else(|| panic!("{error}: there is no such line")).len();
    assert!((1..=length + 1).contains(column), "{error}: there is no such column");
}

fn is_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.chars().count() < 5_000, "{text}");
}

/// A machine that meters something already, which no import of ports may touch.
fn present(now: &Zoned) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (port, quota) in [("443", Some(Bytes(1 << 30))), ("5000-5100", None)] {
        let Ok(port) = port.parse::<PortRange>() else { continue };
        let settings = PortConfig { quota, mode: Mode::OutOnly, ..PortConfig::default() };
        let mut state = PortState::opened(port, &Readings::default(), now.timestamp());
        state.ledger.outbound.used = Bytes(77);
        snapshot.config.ports.insert(port, settings);
        snapshot.state.ports.insert(port, state);
    }
    snapshot.state.fit(&snapshot.config, &Readings::default(), now.timestamp());
    snapshot
}

fn is_imported(import: &Import, replaces: bool) {
    let now = Timestamp::from_second(1_790_000_000).unwrap_or_default().to_zoned(TimeZone::UTC);
    let mut occupied = present(&now);
    let mut talkative = present(&now);
    talkative.config.telegram.bot_token = Secret::new("123456789:ABCdefGHIjklMNOpqrSTUvwxyz");
    occupied.config.interface = Some("eth0".to_owned());
    for before in [Snapshot::default(), occupied, talkative] {
        let Merged { snapshot, gaps, .. } = import.merged(&before, &Readings::default(), &now, |_| false);
        gaps.iter().flat_map(texts).for_each(is_line);
        if !replaces {
            is_untouched(&before, &snapshot);
        }
        // An export may leave the choice of the interface to pm; what is chosen is one that is here.
        let (chosen, here) = (&snapshot.config.interface, &before.config.interface);
        assert!(chosen == here || (replaces && chosen.is_none()), "an interface that is not here");
        is_kept(&snapshot, &now);
        let minute = tick(&snapshot.config, snapshot.state, &Readings::default(), &now);
        assert!(minute.alarms.is_empty());
    }
}

/// What was metered is metered as before, and Telegram is not turned away from whom it was told.
fn is_untouched(before: &Snapshot, after: &Snapshot) {
    for (port, settings) in &before.config.ports {
        assert_eq!(after.config.ports.get(port), Some(settings), "the settings of port {port} were changed");
        assert_eq!(after.state.ports.get(port), before.state.ports.get(port), "port {port} was changed");
    }
    let ports: Vec<&PortRange> = after.config.ports.keys().collect();
    assert!(ports.windows(2).all(|pair| !pair[0].overlaps(*pair[1])), "entries share a port");
    if !before.config.telegram.bot_token.expose().is_empty() {
        assert_eq!(after.config.telegram, before.config.telegram);
    }
    assert!(after.state.outbox == before.state.outbox && after.config.channels == before.config.channels);
}

/// It can be written, read, exported, and read by another machine.
fn is_kept(snapshot: &Snapshot, now: &Zoned) {
    let written = wire::encode(snapshot);
    let read = wire::decode(&written).unwrap_or_else(|error| panic!("it cannot be read again: {error}"));
    assert_eq!(read.snapshot.config, snapshot.config, "it is read otherwise than it was written");
    let export = Export::of(snapshot.clone(), now);
    let there =
        Import::read(&export.text).unwrap_or_else(|error| panic!("it cannot be imported again: {error}"));
    let Merged { snapshot: there, .. } =
        there.merged(&Snapshot::default(), &Readings::default(), now, |_| true);
    let comparable = |snapshot: &Snapshot| {
        let used = |(port, state): (&PortRange, &PortState)| (*port, state.ledger.used());
        (snapshot.config.ports.clone(), snapshot.state.ports.iter().map(used).collect::<Vec<(_, Traffic)>>())
    };
    assert_eq!(comparable(&there), comparable(snapshot), "another machine makes something else of it");
}

/// The texts of a file that are shown to a person.
fn texts(gap: &Gap) -> Vec<&str> {
    let of_reason = match &gap.reason {
        Reason::Quota(text)
        | Reason::QuotaOff(text)
        | Reason::Throttle(text)
        | Reason::Limit(text)
        | Reason::ResetDay(text)
        | Reason::Cycle(Cycle::Days(text) | Cycle::Months(text) | Cycle::Once(text))
        | Reason::Ends(text)
        | Reason::Usage(text)
        | Reason::Interval(text)
        | Reason::Channel(text) => text,
        Reason::Cycle(Cycle::Year)
        | Reason::NotAPort
        | Reason::WholeMachine
        | Reason::Present
        | Reason::Overlaps(_)
        | Reason::Repeated(_)
        | Reason::CountedTwice { .. }
        | Reason::Tolerance { .. }
        | Reason::InboundAlone
        | Reason::Larger
        | Reason::LimitReserved
        | Reason::LimitShared
        | Reason::GroupUsage(_)
        | Reason::Comment
        | Reason::NoUsage(_)
        | Reason::Report
        | Reason::Uploads
        | Reason::TelegramPresent
        | Reason::Telegram => "",
    };
    vec![&gap.subject, of_reason]
}
