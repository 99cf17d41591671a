//! The files of `TrafficCop`'s ports: its configuration, and the reports that it exports, in two shapes.
//!
//! Its GB are read as 1024^3 bytes, as the part of it that acts does unless told otherwise. It estimates what goes out
//! of a port as what comes in, so a usage of `total` is half of each.

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, offset};
use pm_core::accounting::Traffic;
use pm_core::quota::Mode;
use pm_core::reset::ResetDay;
use pm_core::units::{Bytes, shown};
use pm_core::wire;
use serde::Deserialize;

use super::figure::Figure;
use super::{Cycle, Gap, Reason, Rival, Takeover, Unit, ports};
use crate::transfer::DocumentError;

#[derive(Deserialize)]
struct Document {
    ports: Vec<Entry>,
    timestamp: Option<Figure>,
}

#[derive(Deserialize)]
struct Entry {
    port: Figure,
    description: Option<Figure>,
    #[serde(alias = "limit")]
    traffic_limit: Option<Figure>,
    traffic_tolerance: Option<Figure>,
    traffic_mode: Option<Figure>,
    traffic_period: Option<Figure>,
    period_start_day: Option<Figure>,
    limit_speed: Option<Figure>,
    limit_mode: Option<Figure>,
    /// Only in a report.
    #[serde(alias = "usage")]
    current_usage: Option<Figure>,
}

/// The directions that count.
#[derive(Clone, Copy)]
enum Direction {
    Total,
    Outbound,
    Inbound,
    Larger,
}

impl Direction {
    fn of(mode: Option<&Figure>) -> Self {
        match mode.map_or("", Figure::text) {
            "outbound" | "out" => Self::Outbound,
            "inbound" | "in" => Self::Inbound,
            "max" => Self::Larger,
            // Whatever else it finds there counts as the total for the program, too.
            _ => Self::Total,
        }
    }

    /// What a usage consists of.
    const fn split(self, usage: Bytes) -> Traffic {
        let (inbound, outbound) = match self {
            Self::Total => (Bytes(usage.0 / 2), Bytes(usage.0 - usage.0 / 2)),
            Self::Outbound => (Bytes(0), usage),
            Self::Inbound | Self::Larger => (usage, Bytes(0)),
        };
        Traffic { inbound, outbound }
    }
}

pub(super) fn read(text: &[u8]) -> Result<Takeover, DocumentError> {
    let document: Document = wire::read(text).map_err(DocumentError::Unreadable)?;
    let mut takeover = Takeover::default();
    let is_report = document.ports.iter().any(|port| port.current_usage.is_some());
    let reason = if is_report { Reason::Report } else { Reason::NoUsage(Rival::TrafficCop) };
    takeover.gaps.push(Gap { subject: String::new(), reason });
    // It keeps to the time of China, wherever the machine is.
    let china = TimeZone::fixed(offset(8));
    let written = document.timestamp.and_then(|time| time.text().parse::<DateTime>().ok());
    let as_of = written.and_then(|time| time.to_zoned(china).ok()).map(|time| time.timestamp());
    for port in &document.ports {
        let name = port.port.text();
        let unit = ports(name).ok_or(Reason::NotAPort).and_then(|ports| unit(Unit::new(name, ports), port));
        match unit {
            Ok(unit) => takeover.units.push(Unit { as_of, ..unit }),
            Err(reason) => takeover.gaps.push(Gap { subject: shown(name), reason }),
        }
    }
    takeover.units.sort_by(|a, b| a.ports.cmp(&b.ports));
    Ok(takeover)
}

fn unit(mut unit: Unit, port: &Entry) -> Result<Unit, Reason> {
    unit.comment(port.description.as_ref().map_or("", Figure::text));
    let direction = Direction::of(port.traffic_mode.as_ref());
    unit.settings.mode = match direction {
        Direction::Outbound => Mode::OutOnly,
        Direction::Total | Direction::Inbound | Direction::Larger => Mode::Both,
    };
    unit.reasons.extend(match direction {
        Direction::Total | Direction::Outbound => None,
        Direction::Inbound => Some(Reason::InboundAlone),
        Direction::Larger => Some(Reason::Larger),
    });
    set_quota(&mut unit, port)?;
    set_cycle(&mut unit, port);
    if port.limit_mode.as_ref().is_some_and(|mode| mode.text() == "tc") {
        let speed = port.limit_speed.as_ref().map_or_else(String::new, Figure::shown);
        unit.reasons.push(Reason::Throttle(speed));
    }
    if let Some(usage) = &port.current_usage {
        match usage.gigabytes() {
            Some(usage) => unit.used = direction.split(usage),
            None => unit.reasons.push(Reason::Usage(usage.shown())),
        }
    }
    Ok(unit)
}

fn set_quota(unit: &mut Unit, port: &Entry) -> Result<(), Reason> {
    let text = |figure: Option<&Figure>| figure.map_or_else(|| "0".to_owned(), Figure::shown);
    let (limit, tolerance) = (port.traffic_limit.as_ref(), port.traffic_tolerance.as_ref());
    let refused = || Reason::Quota(format!("{} - {}", text(limit), text(tolerance)));
    let there = limit.and_then(Figure::gigabytes).ok_or_else(refused)?;
    let less = tolerance.map_or(Some(Bytes(0)), Figure::gigabytes).ok_or_else(refused)?;
    let here = there.saturating_sub(less);
    if here == Bytes(0) {
        return Err(refused());
    }
    if less != Bytes(0) {
        unit.reasons.push(Reason::Tolerance { there, here });
    }
    unit.settings.quota = Some(here);
    Ok(())
}

fn set_cycle(unit: &mut Unit, port: &Entry) {
    let Some(day) = &port.period_start_day else { return };
    match port.traffic_period.as_ref().map_or("monthly", Figure::text) {
        "quarterly" => unit.reasons.push(Reason::Cycle(Cycle::Months("3".to_owned()))),
        "yearly" => unit.reasons.push(Reason::Cycle(Cycle::Year)),
        _ => match day.day() {
            Some(day) => unit.settings.reset_day = ResetDay::new(day),
            None => unit.reasons.push(Reason::ResetDay(day.shown())),
        },
    }
}
