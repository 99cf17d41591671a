//! The monthly reset: which moments are due, and which were dealt with.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

/// The day of the month, 1 to 31, on which an account starts anew at 00:00 local time. In a month that is shorter it
/// is that month's last day.
///
/// ```
/// use jiff::{civil::date, tz::TimeZone};
/// use pm_core::reset::ResetDay;
///
/// let zone = TimeZone::fixed(jiff::tz::offset(8));
/// let now = date(2026, 2, 10).at(9, 30, 0, 0).to_zoned(zone.clone())?;
/// let local = |due: Option<jiff::Timestamp>| due.map(|due| due.to_zoned(zone.clone()).datetime());
///
/// let day = ResetDay::new(31).unwrap();
/// assert_eq!(local(day.last_due(&now)), Some(date(2026, 1, 31).at(0, 0, 0, 0)));
/// assert_eq!(local(day.next_due(&now)), Some(date(2026, 2, 28).at(0, 0, 0, 0)));
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResetDay(u8);

impl ResetDay {
    /// This day of the month; none outside of 1 to 31.
    pub fn new(day: u8) -> Option<Self> {
        (1..=31).contains(&day).then_some(Self(day))
    }

    /// The day as a number.
    pub const fn day(self) -> u8 {
        self.0
    }

    /// The most recent due moment, now included, in the zone of `now`.
    pub fn last_due(self, now: &Zoned) -> Option<Timestamp> {
        self.due_moments(now).take_while(|&due| due <= now.timestamp()).last()
    }

    /// The first due moment after `now`.
    pub fn next_due(self, now: &Zoned) -> Option<Timestamp> {
        self.due_moments(now).find(|&due| due > now.timestamp())
    }

    /// The due moments of the previous month, this one and the next two, in order.
    fn due_moments(self, now: &Zoned) -> impl Iterator<Item = Timestamp> {
        let this_month = now.date().first_of_month();
        let months = [
            this_month.checked_sub(1.month()).ok(),
            Some(this_month),
            this_month.checked_add(1.month()).ok(),
            this_month.checked_add(2.months()).ok(),
        ];
        let zone = now.time_zone().clone();
        months.into_iter().flatten().filter_map(move |month| {
            // Midnight may be skipped when clocks go forward; the day then begins at the first moment there is.
            let midnight = self.date_in(month).to_zoned(zone.clone()).ok()?;
            midnight.start_of_day().ok().map(|start| start.timestamp())
        })
    }

    fn date_in(self, month: Date) -> Date {
        let day = i8::try_from(self.0).unwrap_or(31).min(month.days_in_month());
        month.with().day(day).build().unwrap_or_else(|_| month.last_of_month())
    }
}

impl fmt::Display for ResetDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The due moments around one moment. What a time zone makes of a day is worked out once for all accounts that share it:
/// with a thousand of them, it would cost a minute more than their accounts do.
#[derive(Debug)]
pub(crate) struct Calendar<'a> {
    now: &'a Zoned,
    due: BTreeMap<ResetDay, Vec<Due>>,
}

/// A due moment, and which day of the calendar it begins.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Timestamp,
    date: Date,
}

impl<'a> Calendar<'a> {
    pub(crate) const fn of(now: &'a Zoned) -> Self {
        Self { now, due: BTreeMap::new() }
    }

    /// Those up to now, and those after it.
    fn due(&mut self, day: ResetDay) -> (&[Due], &[Due]) {
        let date = |at: Timestamp| at.to_zoned(self.now.time_zone().clone()).date();
        let moments = || day.due_moments(self.now).map(|at| Due { at, date: date(at) }).collect();
        let due = self.due.entry(day).or_insert_with(moments);
        due.split_at(due.partition_point(|due| due.at <= self.now.timestamp()))
    }
}

/// A clock that goes back by less than this may have been right before: what was carried out is not carried out again.
const MOST_AHEAD: SignedDuration = SignedDuration::from_hours(32 * 24);

/// Up to which moment resets were dealt with, and for which day: a due moment after it is carried out, once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetMark {
    /// The day that was configured then. Another day begins at its next due moment, however it was configured.
    pub day: Option<ResetDay>,
    /// Due moments up to this one are done.
    pub done: Option<Timestamp>,
    /// The day of the calendar whose reset was carried out last. In a zone further west its midnight comes once more.
    pub date: Option<Date>,
}

impl ResetMark {
    /// All moments up to now are done.
    pub const fn at(day: Option<ResetDay>, now: Timestamp) -> Self {
        Self { day, done: Some(now), date: None }
    }

    /// Whether a reset is due; `day` is what is configured now.
    pub fn is_due(&self, day: Option<ResetDay>, now: &Zoned) -> bool {
        self.is_due_by(day, &mut Calendar::of(now))
    }

    /// The same, for one of many accounts.
    pub(crate) fn is_due_by(&self, day: Option<ResetDay>, calendar: &mut Calendar<'_>) -> bool {
        match (day, self.done) {
            (Some(configured), Some(done)) if self.day == day => {
                let (past, _) = calendar.due(configured);
                past.last().is_some_and(|due| due.at > done && !self.is_of_done_date(due))
            }
            _ => false,
        }
    }

    /// The reset that was due was carried out now.
    #[must_use]
    pub fn carried_out(day: Option<ResetDay>, now: &Zoned) -> Self {
        let due = day.and_then(|day| day.last_due(now));
        let date = due.map(|due| due.to_zoned(now.time_zone().clone()).date());
        Self { date, ..Self::at(day, now.timestamp()) }
    }

    /// When the next reset will be due; `day` is what is configured now.
    pub fn next_due(&self, day: ResetDay, now: &Zoned) -> Option<Timestamp> {
        self.next_due_by(day, &mut Calendar::of(now))
    }

    /// The same, for one of many accounts.
    pub(crate) fn next_due_by(&self, day: ResetDay, calendar: &mut Calendar<'_>) -> Option<Timestamp> {
        let waits = self.day == Some(day);
        let done = self.done.filter(|_| waits);
        let is_new =
            |due: &&Due| done.is_none_or(|done| due.at > done) && !(waits && self.is_of_done_date(due));
        let (_, coming) = calendar.due(day);
        coming.iter().find(is_new).map(|due| due.at)
    }

    fn is_of_done_date(&self, due: &Due) -> bool {
        self.date.is_some_and(|date| due.date <= date)
    }

    /// The mark to keep when nothing is due: a changed day or a missing mark starts now. So does one from a clock that
    /// was more than a month ahead, as that of a machine that started without the time: else nothing would be due
    /// until then.
    #[must_use]
    pub fn kept(self, day: Option<ResetDay>, now: Timestamp) -> Self {
        let is_sound = |done: Timestamp| done.duration_since(now) <= MOST_AHEAD;
        if self.day == day && self.done.is_some_and(is_sound) { self } else { Self::at(day, now) }
    }

    /// The mark after a reset by hand. With a clock that went back, what was done stays done.
    #[must_use]
    pub fn done_by_hand(self, day: Option<ResetDay>, now: Timestamp) -> Self {
        let kept = self.kept(day, now);
        Self { done: kept.done.max(Some(now)), ..kept }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use jiff::tz::{Offset, TimeZone};

    use super::*;

    fn zone(text: &str) -> TimeZone {
        if text == "UTC" { TimeZone::fixed(Offset::UTC) } else { TimeZone::posix(text).unwrap() }
    }

    fn at(local: &str, zone_text: &str) -> Zoned {
        local.parse::<jiff::civil::DateTime>().unwrap().to_zoned(zone(zone_text)).unwrap()
    }

    fn last_due(day: u8, now: &Zoned) -> alloc::string::String {
        let due = ResetDay::new(day).unwrap().last_due(now).unwrap();
        due.to_zoned(now.time_zone().clone()).datetime().to_string()
    }

    #[test]
    fn day_31_is_the_last_day_of_a_shorter_month() {
        assert_eq!(last_due(31, &at("2026-02-28T00:00:00", "UTC")), "2026-02-28T00:00:00");
        assert_eq!(last_due(31, &at("2026-02-27T23:59:59", "UTC")), "2026-01-31T00:00:00");
        assert_eq!(last_due(31, &at("2024-02-29T12:00:00", "UTC")), "2024-02-29T00:00:00");
        assert_eq!(last_due(30, &at("2026-03-01T00:00:00", "UTC")), "2026-02-28T00:00:00");
    }

    #[test]
    fn a_moment_of_last_month_is_due_too() {
        assert_eq!(last_due(15, &at("2026-02-03T10:00:00", "UTC")), "2026-01-15T00:00:00");
    }

    #[test]
    fn a_midnight_that_does_not_exist_is_the_first_moment_of_that_day() {
        // Cairo: clocks go forward from 00:00 to 01:00 on the last Friday of April, the 24th in 2026.
        let cairo = "EET-2EEST,M4.5.5/0,M10.5.4/24";
        assert_eq!(last_due(24, &at("2026-04-24T01:00:00", cairo)), "2026-04-24T01:00:00");
        assert_eq!(last_due(24, &at("2026-04-23T23:59:59", cairo)), "2026-03-24T00:00:00");
    }

    #[test]
    fn a_midnight_that_comes_twice_is_the_first_of_the_two() {
        // Havana: clocks go back from 01:00 to 00:00 on the first Sunday of November, the 1st in 2026.
        let havana = "CST5CDT,M3.2.0/0,M11.1.0/1";
        let due = ResetDay::new(1).unwrap().last_due(&at("2026-11-01T12:00:00", havana)).unwrap();
        assert_eq!(due.to_string(), "2026-11-01T04:00:00Z");
    }

    #[test]
    fn each_due_moment_is_carried_out_once_even_when_the_clock_goes_back() {
        let day = ResetDay::new(1);
        let mut mark = ResetMark::at(day, at("2026-01-10T00:00:00", "UTC").timestamp());
        let after = at("2026-02-01T00:00:05", "UTC");
        assert!(mark.is_due(day, &after));
        mark = ResetMark::at(day, after.timestamp());
        assert!(!mark.is_due(day, &after));
        assert!(!mark.is_due(day, &at("2026-01-31T23:59:00", "UTC")), "the clock went back");
        assert!(!mark.is_due(day, &at("2026-02-01T00:01:00", "UTC")));
        assert!(mark.is_due(day, &at("2026-04-20T00:00:00", "UTC")), "after months of downtime, once");
    }

    #[test]
    fn another_day_begins_at_its_next_due_moment() {
        let mark = ResetMark::at(None, at("2025-06-10T00:00:00", "UTC").timestamp());
        let (now, day) = (at("2026-02-20T00:00:00", "UTC"), ResetDay::new(15));
        assert!(!mark.is_due(day, &now));
        let mark = mark.kept(day, now.timestamp());
        assert!(!mark.is_due(day, &now));
        assert!(mark.is_due(day, &at("2026-03-15T00:00:00", "UTC")));
    }

    #[test]
    fn an_entry_without_a_mark_starts_now() {
        let (now, day) = (at("2026-02-20T00:00:00", "UTC"), ResetDay::new(1));
        assert!(!ResetMark::default().is_due(day, &now));
        assert_eq!(ResetMark::default().kept(day, now.timestamp()), ResetMark::at(day, now.timestamp()));
    }

    #[test]
    fn the_next_due_moment_is_after_now() {
        let next = ResetDay::new(31).unwrap().next_due(&at("2026-01-31T00:00:00", "UTC")).unwrap();
        assert_eq!(next.to_string(), "2026-02-28T00:00:00Z");
    }
}
