//! The rate penalty: who hogs the line for some minutes is slowed down for a while.

use jiff::{SignedDuration, Timestamp};

use crate::units::{Bytes, Rate};

/// When to punish, how, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynQosPolicy {
    /// An average above this, both directions together, is a strike.
    pub trigger: Rate,
    /// This many strikes in a row are punished.
    pub minutes: u32,
    /// The speed limit of a punished port.
    pub penalty: Rate,
    /// How many minutes the punishment lasts.
    pub duration: u32,
}

impl DynQosPolicy {
    /// Whether it can act: a policy with a zero in it, as an old file may hold, never does.
    pub fn is_effective(&self) -> bool {
        let zero = Rate::default();
        self.trigger > zero && self.penalty > zero && self.minutes > 0 && self.duration > 0
    }

    fn punishment(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.duration))
    }
}

/// What a port's recent minutes came to.
///
/// ```
/// use jiff::{SignedDuration, Timestamp};
/// use pm_core::dynqos::{DynQos, DynQosPolicy, Judged};
/// use pm_core::units::Rate;
///
/// // More than 100 Mbps for two minutes in a row: 5 Mbps for an hour.
/// let policy = DynQosPolicy { trigger: Rate::mbps(100), minutes: 2, penalty: Rate::mbps(5), duration: 60 };
/// let fast = Some(Judged { minutes: 1, rate: Rate::mbps(120) });
/// let now = Timestamp::UNIX_EPOCH;
///
/// let state = DynQos::default().step(&policy, fast, now);
/// assert_eq!(state, DynQos::Watching { strikes: 1 });
/// let until = now + SignedDuration::from_hours(1);
/// let state = state.step(&policy, fast, now);
/// assert_eq!(state, DynQos::Punished { until });
/// assert_eq!(state.step(&policy, fast, until), DynQos::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynQos {
    /// So many minutes in a row were above the trigger.
    Watching {
        /// Minutes in a row.
        strikes: u32,
    },
    /// Slowed down.
    Punished {
        /// The end of the punishment.
        until: Timestamp,
    },
}

impl Default for DynQos {
    fn default() -> Self {
        Self::Watching { strikes: 0 }
    }
}

impl DynQos {
    /// After `minutes` more at an average of `rate`. Nothing is counted while punished; a punishment ends in time
    /// whatever the rate. With a clock that went back it lasts no longer than a whole punishment from now.
    #[must_use]
    pub fn step(self, policy: &DynQosPolicy, judged: Option<Judged>, now: Timestamp) -> Self {
        match self {
            Self::Punished { until } if until <= now => Self::default(),
            Self::Punished { until } => Self::Punished { until: until.min(end(policy, now)) },
            Self::Watching { strikes } => match judged {
                None => self,
                Some(Judged { rate, .. }) if rate <= policy.trigger => Self::default(),
                Some(Judged { minutes, .. }) => {
                    let strikes = strikes.saturating_add(minutes);
                    if strikes >= policy.minutes {
                        Self::Punished { until: end(policy, now) }
                    } else {
                        Self::Watching { strikes }
                    }
                }
            },
        }
    }

    /// Whether the port is slowed down.
    pub const fn is_punished(&self) -> bool {
        matches!(self, Self::Punished { .. })
    }
}

fn end(policy: &DynQosPolicy, now: Timestamp) -> Timestamp {
    now.checked_add(policy.punishment()).unwrap_or(Timestamp::MAX)
}

/// Whole minutes and their average rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// How many whole minutes, at least 1.
    pub minutes: u32,
    /// The average over the time that really passed.
    pub rate: Rate,
}

/// The traffic since the last judgement. Minutes are judged when the minute of the clock changes, so that running more
/// often than once a minute changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateWindow {
    /// When it began; none before the first reading.
    pub since: Option<Timestamp>,
    /// What passed since, both directions.
    pub bytes: Bytes,
}

/// Cron starts a minute's run some seconds early or late against the one before.
const JITTER_MS: i64 = 5_000;
const MINUTE_MS: i64 = 60_000;

impl RateWindow {
    /// A window that begins now.
    pub const fn starting(now: Timestamp) -> Self {
        Self { since: Some(now), bytes: Bytes(0) }
    }

    /// Adds what passed.
    pub fn add(&mut self, gain: Bytes) {
        self.bytes = self.bytes.saturating_add(gain);
    }

    /// Judges the minutes that are complete, and begins anew after them. So does a clock that went back.
    pub fn judge(&mut self, now: Timestamp) -> Option<Judged> {
        let began = self.since.map_or(i64::MAX, Timestamp::as_millisecond);
        let ended = now.as_millisecond();
        if began > ended {
            *self = Self::starting(now);
            return None;
        }
        let turned = ended.div_euclid(MINUTE_MS) - began.div_euclid(MINUTE_MS);
        let whole = (ended - began + JITTER_MS) / MINUTE_MS;
        let minutes = u32::try_from(turned.min(whole)).ok().filter(|&minutes| minutes > 0)?;
        let rate = Rate::over(self.bytes, u64::try_from(ended - began).unwrap_or(0));
        *self = Self::starting(now);
        Some(Judged { minutes, rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: DynQosPolicy =
        DynQosPolicy { trigger: Rate::mbps(100), minutes: 3, penalty: Rate::mbps(5), duration: 60 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_040 + second).unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "judgements are optional")]
    fn above(minutes: u32) -> Option<Judged> {
        Some(Judged { minutes, rate: Rate::bits_per_second(100_000_001) })
    }

    const AT_THRESHOLD: Option<Judged> = Some(Judged { minutes: 1, rate: Rate::mbps(100) });

    #[test]
    fn strikes_in_a_row_are_punished_and_a_calm_minute_starts_over() {
        let mut state = DynQos::default();
        for _ in 0..2 {
            state = state.step(&POLICY, above(1), at(0));
        }
        assert_eq!(state, DynQos::Watching { strikes: 2 });
        assert_eq!(state.step(&POLICY, AT_THRESHOLD, at(0)), DynQos::Watching { strikes: 0 });
        assert_eq!(state.step(&POLICY, None, at(0)), state);
        assert_eq!(state.step(&POLICY, above(1), at(0)), DynQos::Punished { until: at(3600) });
    }

    #[test]
    fn a_gap_counts_the_minutes_it_covers() {
        assert!(DynQos::default().step(&POLICY, above(7), at(0)).is_punished());
    }

    #[test]
    fn a_punishment_ends_in_time_and_not_before() {
        let punished = DynQos::Punished { until: at(3600) };
        assert!(punished.step(&POLICY, AT_THRESHOLD, at(3599)).is_punished());
        assert_eq!(punished.step(&POLICY, above(9), at(3600)), DynQos::default());
        let clock_went_back = punished.step(&POLICY, None, at(-86_400));
        assert_eq!(clock_went_back, DynQos::Punished { until: at(3600 - 86_400) });
    }

    fn judged(run_at_seconds: &[i64]) -> u32 {
        let mut window = RateWindow::starting(at(run_at_seconds[0]));
        run_at_seconds[1..].iter().filter_map(|&s| window.judge(at(s))).map(|j| j.minutes).sum()
    }

    #[test]
    fn running_more_often_than_once_a_minute_changes_nothing() {
        let every = |step: i64| (0..=600 / step).map(|n| n * step).collect::<alloc::vec::Vec<_>>();
        for step in [1, 5, 12, 20, 30, 60] {
            assert_eq!(judged(&every(step)), judged(&every(60)), "every {step} s");
        }
        assert_eq!(judged(&every(300)), 10, "a gap counts the minutes it covers");
    }

    #[test]
    fn the_jitter_of_cron_makes_neither_a_minute_more_nor_less() {
        assert_eq!(judged(&[0, 61, 120, 182, 240, 301]), 5);
        assert_eq!(judged(&[1, 60, 121, 180]), 3);
        assert_eq!(judged(&[40, 62]), 0, "22 seconds are no minute");
    }

    #[test]
    fn a_rate_is_judged_over_the_time_that_passed() {
        let mut window = RateWindow::starting(at(0));
        window.add(Bytes(375_000_000));
        assert_eq!(window.judge(at(30)), None);
        window.add(Bytes(375_000_000));
        let judged = window.judge(at(60)).unwrap();
        assert_eq!(judged, Judged { minutes: 1, rate: Rate::mbps(100) });
        assert_eq!(window, RateWindow::starting(at(60)));
    }

    #[test]
    fn a_clock_that_went_back_starts_the_window_anew() {
        let mut window = RateWindow { since: Some(at(600)), bytes: Bytes(5) };
        assert_eq!(window.judge(at(0)), None);
        assert_eq!(window, RateWindow::starting(at(0)));
    }
}
