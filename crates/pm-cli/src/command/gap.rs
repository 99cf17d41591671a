//! What does not come along from another program's file, in words.

use pm_core::edit::MOST_COMMENT;
use pm_core::port::PortRange;
use pm_core::units::Bytes;
use pm_monitor::transfer::rival::{Cycle, Gap, Reason, Rival};

use crate::panel::cell;
use crate::text::{GapTexts, TransferTexts, fill};

/// One line: the port, then what, why and what to do.
pub(super) fn line(gap: &Gap, texts: &TransferTexts) -> String {
    let subject = if gap.subject.is_empty() { texts.whole_file } else { &gap.subject };
    format!("{}{}", cell(subject, 13), sentence(gap, texts))
}

fn sentence(gap: &Gap, texts: &TransferTexts) -> String {
    let words: &GapTexts = &texts.gaps;
    // Where an entry stands for several ports, no command has just its name.
    let one = gap.subject.parse::<PortRange>().is_ok();
    let port = if one { gap.subject.as_str() } else { texts.some_port };
    let exact = |bytes: &Bytes| bytes.exact();
    match &gap.reason {
        Reason::NotAPort => words.not_a_port.to_owned(),
        Reason::WholeMachine => words.whole_machine.to_owned(),
        Reason::Present => fill(words.present, &[port]),
        Reason::Overlaps(other) => fill(words.overlaps, &[&other.to_string(), &other.to_string()]),
        Reason::Repeated(other) => fill(words.repeated, &[&other.to_string()]),
        Reason::Quota(text) => fill(words.quota, &[text, port]),
        Reason::QuotaOff(text) => fill(words.quota_off, &[text, port]),
        Reason::CountedTwice { there, here } => fill(words.counted_twice, &[&exact(there), &exact(here)]),
        Reason::Tolerance { there, here } => fill(words.tolerance, &[&exact(there), &exact(here)]),
        Reason::Throttle(speed) => fill(words.throttle, &[speed, port]),
        Reason::InboundAlone => fill(words.inbound_alone, &[port]),
        Reason::Larger => fill(words.larger, &[port]),
        Reason::Limit(text) => fill(words.limit, &[text, port]),
        Reason::LimitReserved => words.limit_reserved.to_owned(),
        Reason::LimitShared => words.limit_shared.to_owned(),
        Reason::ResetDay(text) => fill(words.reset_day, &[text, port]),
        Reason::Cycle(Cycle::Days(days)) => fill(words.days, &[days, port, port]),
        Reason::Cycle(Cycle::Months(months)) => fill(words.months, &[months, port, port]),
        Reason::Cycle(Cycle::Year) => fill(words.year, &[port, port]),
        Reason::Cycle(Cycle::Once(date)) => fill(words.once, &[date, port]),
        Reason::Ends(date) => fill(words.ends, &[date, port]),
        Reason::GroupUsage(member) => fill(words.group_usage, &[&member.to_string()]),
        Reason::Usage(text) => fill(words.usage, &[text]),
        Reason::Comment => fill(words.comment, &[&MOST_COMMENT.to_string()]),
        Reason::NoUsage(Rival::PortTrafficDog) => words.dog_no_usage.to_owned(),
        Reason::NoUsage(Rival::TrafficCop) => words.cop_no_usage.to_owned(),
        Reason::Report => words.report.to_owned(),
        Reason::Uploads => words.uploads.to_owned(),
        Reason::TelegramPresent => words.telegram_present.to_owned(),
        Reason::Telegram => words.telegram.to_owned(),
        Reason::Interval(interval) => fill(words.interval, &[interval]),
        Reason::Channel(name) => fill(words.channel, &[name]),
    }
}
