//! The form of an entry: its fields in the order and the layout in which pm writes them.
//!
//! It is filled in by a pen and read by an eye, which both go along it. Whoever knows what comes next need not find out:
//! that halves the work of reading a file of ours, and of writing it. A file that has another form, as an editor or the
//! script left it, is read as any JSON, until pm has written it once.
//!
//! The rows of minutes, of `pm list` and of the menu's first page in docs/performance.md.

use serde::{Deserialize, Serialize};

use super::entry::{CountersDocument, CutOffDocument, DynLimitDocument, EntryDocument, ResetMarkDocument};
use super::entry::{NotifyDocument, StatsDocument, WindowDocument};
use super::pen::Plain;

/// Whoever goes along the form.
pub(super) trait Hand<'a> {
    /// Why it stops on its way.
    type Error;

    /// What always stands here.
    fn text(&mut self, text: &'static str) -> Result<(), Self::Error>;

    /// A field, with all that stands before its value.
    fn field<T>(&mut self, lead: &'static str, value: &mut T) -> Result<(), Self::Error>
    where
        T: Plain + Deserialize<'a>;

    /// A field that may be missing.
    fn option<T>(&mut self, lead: &'static str, value: &mut Option<T>) -> Result<(), Self::Error>
    where
        T: Plain + Deserialize<'a>;

    /// An object that may be missing.
    fn object<T: Default>(
        &mut self,
        lead: &'static str,
        value: &mut Option<T>,
        form: impl FnOnce(&mut Self, &mut T) -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error>;

    /// A field that may be missing, and takes several lines.
    fn lines<T>(&mut self, lead: &'static str, value: &mut Option<T>) -> Result<(), Self::Error>
    where
        T: Serialize + Deserialize<'a>;

    /// Fields that nobody knows, which stand last in their object.
    fn unknown(&mut self, whose: Whose) -> Result<(), Self::Error>;
}

/// The objects in which fields that nobody knows are kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    Entry,
    Stats,
    DynLimit,
    NotifyState,
}

/// What stands before the value of a field: of an entry, of an object in it, of one that takes a single line.
///
/// What the script knows too stands as it wrote it, a field a line. What pm keeps for itself takes a line an object: a tenth
/// of the file less to read and write in every minute, and to look past for whoever opens it.
macro_rules! lead {
    (3 $name:literal) => {
        concat!(",\n      \"", $name, "\": ")
    };
    (4 $name:literal) => {
        concat!(",\n        \"", $name, "\": ")
    };
    (line $name:literal) => {
        concat!(", \"", $name, "\": ")
    };
}

/// The same before the first field of an object.
macro_rules! first {
    (4 $name:literal) => {
        concat!("{\n        \"", $name, "\": ")
    };
    (line $name:literal) => {
        concat!("{\"", $name, "\": ")
    };
}

/// A whole entry, from the brace that opens to the one that closes.
#[inline]
pub(super) fn entry<'a, H: Hand<'a>>(hand: &mut H, entry: &mut EntryDocument<'a>) -> Result<(), H::Error> {
    hand.field("{\n      \"quota_gb\": ", &mut entry.quota_gb)?;
    hand.field(lead!(3 "quota_mode"), &mut entry.quota_mode)?;
    hand.field(lead!(3 "limit_mbps"), &mut entry.limit_mbps)?;
    hand.field(lead!(3 "reset_day"), &mut entry.reset_day)?;
    hand.field(lead!(3 "last_reset_ts"), &mut entry.last_reset_ts)?;
    hand.field(lead!(3 "comment"), &mut entry.comment)?;
    hand.option(lead!(3 "group_id"), &mut entry.group_id)?;
    hand.text(lead!(3 "stats"))?;
    stats(hand, &mut entry.stats)?;
    hand.text(lead!(3 "dyn_limit"))?;
    dyn_limit(hand, &mut entry.dyn_limit)?;
    hand.text(lead!(3 "notify_state"))?;
    notify_state(hand, &mut entry.notify_state)?;
    hand.object(lead!(3 "reset_mark"), &mut entry.reset_mark, reset_mark)?;
    hand.lines(lead!(3 "events"), &mut entry.events)?;
    hand.unknown(Whose::Entry)?;
    hand.text("\n    }")
}

fn stats<'a, H: Hand<'a>>(hand: &mut H, stats: &mut StatsDocument<'a>) -> Result<(), H::Error> {
    hand.field(first!(4 "acc_in"), &mut stats.acc_in)?;
    hand.field(lead!(4 "acc_out"), &mut stats.acc_out)?;
    hand.field(lead!(4 "last_kernel_in"), &mut stats.last_kernel_in)?;
    hand.field(lead!(4 "last_kernel_out"), &mut stats.last_kernel_out)?;
    hand.object(lead!(4 "counters"), &mut stats.counters, counters)?;
    hand.unknown(Whose::Stats)?;
    hand.text("\n      }")
}

fn counters<'a, H: Hand<'a>>(hand: &mut H, counters: &mut CountersDocument<'a>) -> Result<(), H::Error> {
    hand.field(first!(line "boot"), &mut counters.boot)?;
    hand.field(lead!(line "table"), &mut counters.table)?;
    hand.field(lead!(line "in"), &mut counters.inbound)?;
    hand.field(lead!(line "out"), &mut counters.outbound)?;
    hand.text("}")
}

fn dyn_limit<'a, H: Hand<'a>>(hand: &mut H, dyn_limit: &mut DynLimitDocument) -> Result<(), H::Error> {
    hand.field(first!(4 "enable"), &mut dyn_limit.enable)?;
    hand.option(lead!(4 "trigger_mbps"), &mut dyn_limit.trigger_mbps)?;
    hand.option(lead!(4 "trigger_time"), &mut dyn_limit.trigger_time)?;
    hand.option(lead!(4 "punish_mbps"), &mut dyn_limit.punish_mbps)?;
    hand.option(lead!(4 "punish_time"), &mut dyn_limit.punish_time)?;
    hand.option(lead!(4 "is_punished"), &mut dyn_limit.is_punished)?;
    hand.option(lead!(4 "strike_count"), &mut dyn_limit.strike_count)?;
    hand.option(lead!(4 "punish_end_ts"), &mut dyn_limit.punish_end_ts)?;
    hand.object(lead!(4 "window"), &mut dyn_limit.window, window)?;
    hand.unknown(Whose::DynLimit)?;
    hand.text("\n      }")
}

fn window<'a, H: Hand<'a>>(hand: &mut H, window: &mut WindowDocument) -> Result<(), H::Error> {
    hand.field(first!(line "since_ms"), &mut window.since_ms)?;
    hand.field(lead!(line "bytes"), &mut window.bytes)?;
    hand.text("}")
}

fn notify_state<'a, H: Hand<'a>>(hand: &mut H, notify: &mut NotifyDocument) -> Result<(), H::Error> {
    hand.field(first!(4 "quota_level"), &mut notify.quota_level)?;
    hand.field(lead!(4 "punish_notified"), &mut notify.punish_notified)?;
    hand.field(lead!(4 "recover_notified"), &mut notify.recover_notified)?;
    hand.field(lead!(4 "block_notified"), &mut notify.block_notified)?;
    hand.object(lead!(4 "cut_off"), &mut notify.cut_off, cut_off)?;
    hand.unknown(Whose::NotifyState)?;
    hand.text("\n      }")
}

fn cut_off<'a, H: Hand<'a>>(hand: &mut H, cut_off: &mut CutOffDocument) -> Result<(), H::Error> {
    hand.field(first!(line "used"), &mut cut_off.used)?;
    hand.field(lead!(line "limit"), &mut cut_off.limit)?;
    hand.text("}")
}

fn reset_mark<'a, H: Hand<'a>>(hand: &mut H, mark: &mut ResetMarkDocument) -> Result<(), H::Error> {
    hand.field(first!(line "day"), &mut mark.day)?;
    hand.field(lead!(line "done_ts"), &mut mark.done_ts)?;
    hand.option(lead!(line "date"), &mut mark.date)?;
    hand.text("}")
}
