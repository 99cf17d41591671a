//! Moving over from a program that does what pm does: what its file becomes here, and what of it cannot come along.
//!
//! Such a file is never a whole machine. Its ports are added to those that are configured, and nothing that is
//! configured changes. A port comes to be cut off at the byte at which it would have been cut off there.

mod cop;
mod dog;
mod figure;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, Zoned};
use pm_core::account::AccountId;
use pm_core::accounting::{Readings, Traffic};
use pm_core::config::{GroupId, PortConfig};
use pm_core::edit::telegram::TelegramSettings;
use pm_core::edit::{Edit, MOST_COMMENT, edit};
use pm_core::port::{ClassId, PortRange};
use pm_core::reset::ResetMark;
use pm_core::state::{AccountState, PortState};
use pm_core::units::{Bytes, shown};
use pm_core::wire::Snapshot;

use super::DocumentError;

/// A program whose files can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// port-traffic-dog and its forks.
    PortTrafficDog,
    /// The ports of `TrafficCop`.
    TrafficCop,
}

impl Rival {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PortTrafficDog => "port-traffic-dog",
            Self::TrafficCop => "trafficcop",
        }
    }

    /// Which of its files can be read.
    pub(super) const fn files(self) -> &'static str {
        match self {
            Self::PortTrafficDog => "its config.json, usually /etc/port-traffic-dog/config.json",
            Self::TrafficCop => {
                "its ports_traffic_config.json, usually in ~/TrafficCop, or a report of view_port_traffic.sh --export"
            }
        }
    }

    /// The name of the file beside it that holds the usage, where it is not in the same one.
    pub const fn usage_file(self) -> Option<&'static str> {
        match self {
            Self::PortTrafficDog => Some("traffic_data.json"),
            Self::TrafficCop => None,
        }
    }

    /// Whether its ports stand in a list rather than an object.
    pub(super) const fn lists_ports(self) -> bool {
        matches!(self, Self::TrafficCop)
    }

    /// Reads a file of its, with the one that holds the usage, if there is one.
    pub(super) fn read(self, text: &[u8], usage: Option<&[u8]>) -> Result<Takeover, DocumentError> {
        match self {
            Self::PortTrafficDog => dog::read(text, usage),
            Self::TrafficCop => cop::read(text),
        }
    }
}

/// Something that does not come along as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The port, as the file names it; empty for what concerns all of the file.
    pub subject: String,
    /// What, and why.
    pub reason: Reason,
}

/// What does not come along as it was. Texts are those of the file, fit for one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The name of the entry is no port.
    NotAPort,
    /// The entry is the machine as a whole.
    WholeMachine,
    /// This very port is metered here.
    Present,
    /// A port of it is metered here by another entry.
    Overlaps(PortRange),
    /// A port of it belongs to another entry of the same file.
    Repeated(PortRange),
    /// Nobody can say what its quota is, so the entry is left out.
    Quota(String),
    /// It has a quota that is switched off.
    QuotaOff(String),
    /// Every byte counts twice there, so the quota became half.
    CountedTwice {
        /// The quota as it stands there.
        there: Bytes,
        /// The same quota in bytes that pass.
        here: Bytes,
    },
    /// It acts before the quota is used up, so the quota is where it acts.
    Tolerance {
        /// The quota as it stands there.
        there: Bytes,
        /// Where it acts.
        here: Bytes,
    },
    /// It slows the port down to so many kbit/s when the quota is used up.
    Throttle(String),
    /// Inbound alone counts there.
    InboundAlone,
    /// The larger direction counts there.
    Larger,
    /// Nobody can say what its speed limit is.
    Limit(String),
    /// A port without a class has a speed limit.
    LimitReserved,
    /// The members of a group share a speed limit there.
    LimitShared,
    /// Nobody can say what its reset day is.
    ResetDay(String),
    /// It does not reset every month.
    Cycle(Cycle),
    /// It ends on a day.
    Ends(String),
    /// What a group used is not known by member, and stands with this one.
    GroupUsage(PortRange),
    /// Nobody can say what it used.
    Usage(String),
    /// Its remark is longer than one may be here.
    Comment,
    /// There is nothing about usage.
    NoUsage(Rival),
    /// A report: usage as that program estimates it, and neither reset days nor what happens beyond the quota.
    Report,
    /// Speed limits hold for uploads too there.
    Uploads,
    /// Telegram is configured here.
    TelegramPresent,
    /// What it says of Telegram cannot be.
    Telegram,
    /// It reports more often than can be done here.
    Interval(String),
    /// Another channel of messages, by its name there.
    Channel(String),
}

/// A cycle other than a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cycle {
    /// So many days.
    Days(String),
    /// So many months.
    Months(String),
    /// A year.
    Year,
    /// Once, on this day.
    Once(String),
}

/// What a file says, as pm would have it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Takeover {
    units: Vec<Unit>,
    telegram: Option<TelegramSettings>,
    gaps: Vec<Gap>,
}

/// An entry of a file: one port or range, or several that share everything.
#[derive(Clone, Debug, PartialEq)]
struct Unit {
    /// As the file calls it.
    name: String,
    /// Never empty; in order, and none touches another.
    ports: Vec<PortRange>,
    /// Without a group.
    settings: PortConfig,
    used: Traffic,
    /// When that was used.
    as_of: Option<Timestamp>,
    reasons: Vec<Reason>,
}

impl Unit {
    fn new(name: &str, ports: Vec<PortRange>) -> Self {
        Self {
            name: name.to_owned(),
            ports,
            settings: PortConfig::default(),
            used: Traffic::default(),
            as_of: None,
            reasons: Vec::new(),
        }
    }

    /// Takes a remark over, as much of it as can be kept.
    fn comment(&mut self, text: &str) {
        self.settings.comment = text.chars().take(MOST_COMMENT).collect();
        if text.chars().nth(MOST_COMMENT).is_some() {
            self.reasons.push(Reason::Comment);
        }
    }

    /// Lifts a limit from ports that cannot have one.
    fn fit_limit(&mut self) {
        if self.settings.limit.is_some() && self.ports.iter().any(|&port| ClassId::of(port).is_none()) {
            self.settings.limit = None;
            self.reasons.push(Reason::LimitReserved);
        }
    }
}

/// The ports of a name such as `443`, `5000-5100` or `443,5000-5100`, in order, neighbours joined; none when some part
/// of it is no port.
fn ports(name: &str) -> Option<Vec<PortRange>> {
    let mut parts =
        name.split(',').map(|part| part.trim().parse().ok()).collect::<Option<Vec<PortRange>>>()?;
    parts.sort_unstable();
    let mut joined: Vec<PortRange> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if u32::from(part.first().number()) <= u32::from(last.last().number()) + 1 => {
                let end = last.last().max(part.last());
                *last = PortRange::new(last.first(), end)?;
            }
            _ => joined.push(part),
        }
    }
    Some(joined)
}

/// Entries by their first ports, none of which touches another.
struct Occupied(BTreeMap<u16, (PortRange, bool)>);

impl Occupied {
    /// The entry that has a port of `range`, and whether it was there before the import.
    fn clash(&self, range: PortRange) -> Option<(PortRange, bool)> {
        let nearest = self.0.range(..=range.last().number()).next_back();
        nearest.map(|(_, &entry)| entry).filter(|(entry, _)| entry.overlaps(range))
    }
}

impl Takeover {
    /// Adds everything that can be added to a machine that is as `present`, and tells what does not come along.
    pub(super) fn add_to(
        &self,
        present: &Snapshot,
        readings: &Readings,
        now: &Zoned,
    ) -> (Snapshot, Vec<Gap>) {
        let mut snapshot = present.clone();
        let mut gaps = self.gaps.clone();
        self.add_telegram(&mut snapshot, readings, now, &mut gaps);

        let Snapshot { config, state, .. } = &mut snapshot;
        let before = config.ports.keys().map(|&port| (port.first().number(), (port, true)));
        let mut occupied = Occupied(before.collect());
        let mut groups: BTreeSet<GroupId> =
            config.ports.values().filter_map(|port| port.group.clone()).collect();
        for unit in &self.units {
            let mut free = Vec::new();
            for &port in &unit.ports {
                let reason = match occupied.clash(port) {
                    None => {
                        occupied.0.insert(port.first().number(), (port, false));
                        free.push(port);
                        continue;
                    }
                    Some((other, true)) if other == port => Reason::Present,
                    Some((other, true)) => Reason::Overlaps(other),
                    Some((other, false)) => Reason::Repeated(other),
                };
                gaps.push(Gap { subject: port.to_string(), reason });
            }
            let Some(&first) = free.first() else { continue };
            let mut reasons = unit.reasons.clone();
            let mut settings = unit.settings.clone();
            if free.len() > 1 {
                let name = group_name(unit, &groups);
                groups.extend(name.clone());
                settings.group = name;
                reasons.extend(settings.limit.map(|_| Reason::LimitShared));
                reasons.extend((unit.used != Traffic::default()).then_some(Reason::GroupUsage(first)));
            }
            let subject = shown(&unit.name);
            gaps.extend(reasons.into_iter().map(|reason| Gap { subject: subject.clone(), reason }));

            let id = AccountId::of(first, &settings);
            let done = unit.as_of.map_or(now.timestamp(), |as_of| as_of.min(now.timestamp()));
            let reset = ResetMark::at(settings.reset_day, done);
            state.accounts.insert(id, AccountState { reset, ..AccountState::default() });
            for port in free {
                config.ports.insert(port, settings.clone());
                let mut port_state = PortState::opened(port, readings, now.timestamp());
                if port == first {
                    port_state.ledger.inbound.used = unit.used.inbound;
                    port_state.ledger.outbound.used = unit.used.outbound;
                }
                state.ports.insert(port, port_state);
            }
        }
        state.fit(config, readings, now.timestamp());
        (snapshot, gaps)
    }

    fn add_telegram(&self, snapshot: &mut Snapshot, readings: &Readings, now: &Zoned, gaps: &mut Vec<Gap>) {
        let Some(settings) = &self.telegram else { return };
        let Snapshot { config, state, .. } = snapshot;
        let present = &config.telegram;
        let reason = if !present.bot_token.expose().is_empty() || !present.chat().is_empty() {
            Some(Reason::TelegramPresent)
        } else {
            let refused = edit(config, state, readings, now, &Edit::Telegram(settings.clone())).is_err();
            refused.then_some(Reason::Telegram)
        };
        gaps.extend(reason.map(|reason| Gap { subject: String::new(), reason }));
    }
}

/// A name for the group that a unit becomes, which no other group has; none only when every name is taken.
fn group_name(unit: &Unit, groups: &BTreeSet<GroupId>) -> Option<GroupId> {
    let long = || format!("{}+{}", unit.ports[0], unit.ports.len() - 1);
    let base = Some(&unit.name).filter(|name| GroupId::new(&format!("{name} 99999")).is_ok());
    let base = base.cloned().unwrap_or_else(long);
    let numbered = (2..=99_999).map(|number| format!("{base} {number}"));
    let mut names = std::iter::once(base.clone()).chain(numbered).filter_map(|name| GroupId::new(&name).ok());
    names.find(|name| !groups.contains(name))
}

#[cfg(test)]
mod tests;
