//! Quotas: what counts, when a port is cut off, which warnings are due, and how the kernel's quota is armed.

use alloc::collections::BTreeSet;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::accounting::{QuotaReading, Traffic};
use crate::units::{Bytes, Percent};

/// Which directions count towards a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Inbound and outbound together.
    #[default]
    Both,
    /// Outbound alone.
    OutOnly,
}

impl Mode {
    /// The part of `traffic` that counts.
    pub const fn counts(self, traffic: Traffic) -> Bytes {
        match self {
            Self::Both => traffic.total(),
            Self::OutOnly => traffic.outbound,
        }
    }

    /// Its name in the configuration file and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::OutOnly => "out_only",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The kernel may cut an account off before the counters reach its limit: the packet that would have passed it can be
/// a segment of 64 KiB, and a quota armed under traffic is armed early by what passed meanwhile. An exhausted kernel
/// quota is believed within twice that segment, and within half of a quota that is as small as that; further away it
/// was armed for another limit or another cycle, and is armed again.
pub const CUTOFF_MARGIN: Bytes = Bytes(128 << 10);

/// A kernel quota that stands this much too early is left alone rather than armed again under traffic.
const EARLY_SLACK: Bytes = Bytes(16 << 10);

/// The kernel cut an account off: what its counters showed then, and at which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoff {
    /// Used when it happened, in the mode of that moment.
    pub used: Bytes,
    /// The limit that was enforced.
    pub limit: Bytes,
}

impl Cutoff {
    /// The cut-off that an exhausted kernel quota stands for; none while packets pass, or when it belongs to another limit.
    pub fn seen(reading: Option<&QuotaReading>, limit: Bytes, used: Bytes) -> Option<Self> {
        let near = limit.saturating_sub(used) <= CUTOFF_MARGIN.min(Bytes(limit.0 / 2));
        reading.filter(|reading| reading.exhausted() && near).map(|_| Self { used, limit })
    }

    /// Whether it still holds: the limit was not raised, and usage did not fall (reset, another mode, a member less).
    fn holds(&self, limit: Bytes, used: Bytes) -> bool {
        limit <= self.limit && used >= self.used
    }
}

/// How an account stands against its quota. The one condition for "blocked", "100 %" and "cut off".
///
/// ```
/// use pm_core::accounting::QuotaReading;
/// use pm_core::quota::Standing;
/// use pm_core::units::Bytes;
///
/// let standing = Standing::of(Bytes(1_000_000), Bytes(810_000), None);
/// assert!(!standing.blocked);
/// assert_eq!(standing.percent().to_string(), "81.0%");
/// // The kernel's quota counts on a scale of its own, dropped packets included. It is armed to stop after what remains.
/// let kernel = QuotaReading { over: Bytes(1), used_before: Bytes(5_000_000), used_after: Bytes(5_000_000) };
/// assert_eq!(standing.arm(Some(&kernel)), Bytes(5_190_000));
///
/// assert!(Standing::of(Bytes(1_000_000), Bytes(1_000_000), None).blocked);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The quota.
    pub limit: Bytes,
    /// What counts towards it.
    pub used: Bytes,
    /// Whether it is used up.
    pub blocked: bool,
}

impl Standing {
    /// An account that has used `used` of `limit`, and may have been cut off by the kernel a packet before.
    pub fn of(limit: Bytes, used: Bytes, cutoff: Option<Cutoff>) -> Self {
        let blocked = used >= limit || cutoff.is_some_and(|cutoff| cutoff.holds(limit, used));
        Self { limit, used, blocked }
    }

    /// The share used; at least 100 % when blocked, less when not.
    pub fn percent(&self) -> Percent {
        let counted = Percent::of(self.used, self.limit);
        if self.blocked { counted.max(Percent::FULL) } else { counted }
    }

    /// What may still pass.
    pub fn remaining(&self) -> Bytes {
        if self.blocked { Bytes(0) } else { self.limit.saturating_sub(self.used) }
    }

    /// The limit that the kernel's quota object must have so that [`remaining`](Self::remaining) may pass from now on.
    ///
    /// The object's own `used` figure is on another scale than the account (it counts dropped packets too), so the
    /// limit is moved, not the figure. What already stands right, or a little early, is left alone: arming it again
    /// under traffic would only move it by what passes between reading and arming.
    pub fn arm(&self, reading: Option<&QuotaReading>) -> Bytes {
        // A quota stops packets when its figure *reaches* the limit, so a limit of 1 lets nothing pass.
        let remaining = self.remaining().max(Bytes(1));
        let Some(reading) = reading else { return remaining };
        let (over, before, after) = (reading.over.0, reading.used_before.0, reading.used_after.0);
        let armed_right = if self.blocked {
            reading.exhausted()
        } else {
            let latest = over.saturating_sub(before).saturating_add(EARLY_SLACK.0);
            over.saturating_sub(after) <= remaining.0 && remaining.0 <= latest && over > before
        };
        if armed_right { reading.over } else { reading.used_before.saturating_add(remaining) }
    }
}

/// The percentages at which a warning is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds(BTreeSet<u8>);

impl Thresholds {
    /// Thresholds at these percentages; none when one is outside of 1 to 100.
    pub fn new(levels: impl IntoIterator<Item = u8>) -> Option<Self> {
        let levels: BTreeSet<u8> = levels.into_iter().collect();
        levels.iter().all(|level| (1..=100).contains(level)).then_some(Self(levels))
    }

    /// In ascending order.
    pub fn levels(&self) -> impl Iterator<Item = u8> {
        self.0.iter().copied()
    }

    /// The highest one that `percent` reaches; 0 when it reaches none.
    pub fn reached(&self, percent: Percent) -> u8 {
        self.0.iter().rev().copied().find(|&level| percent.reaches(level)).unwrap_or(0)
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self([50, 80, 100].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: Bytes = Bytes::GB;

    fn reading(over: u64, before: u64, after: u64) -> QuotaReading {
        QuotaReading { over: Bytes(over), used_before: Bytes(before), used_after: Bytes(after) }
    }

    fn open(remaining: u64) -> Standing {
        Standing::of(GB, Bytes(GB.0 - remaining), None)
    }

    #[test]
    fn out_only_counts_outbound_alone() {
        let traffic = Traffic { inbound: Bytes(7), outbound: Bytes(3) };
        assert_eq!(Mode::Both.counts(traffic), Bytes(10));
        assert_eq!(Mode::OutOnly.counts(traffic), Bytes(3));
    }

    #[test]
    fn blocked_and_100_percent_are_one_condition() {
        let almost = Standing::of(GB, Bytes(GB.0 - 1), None);
        assert!(!almost.blocked && almost.percent() < Percent::FULL);
        let cut = Cutoff { used: Bytes(GB.0 - 1400), limit: GB };
        let cut = Standing::of(GB, Bytes(GB.0 - 1400), Some(cut));
        assert!(cut.blocked && cut.percent() == Percent::FULL && cut.remaining() == Bytes(0));
        assert!(Standing::of(GB, GB, None).blocked);
    }

    #[test]
    fn a_cutoff_ends_when_the_limit_rises_or_usage_falls() {
        let used = Bytes(GB.0 - 1400);
        let cut = Some(Cutoff { used, limit: GB });
        assert!(Standing::of(GB, used, cut).blocked);
        assert!(!Standing::of(Bytes(GB.0 + 1), used, cut).blocked);
        assert!(!Standing::of(GB, Bytes(used.0 - 1), cut).blocked);
        assert!(Standing::of(GB, Bytes(used.0 + 1), cut).blocked);
    }

    #[test]
    fn an_exhausted_kernel_quota_is_believed_near_the_limit_only() {
        let exhausted = reading(1000, 1000, 1000);
        let near = Bytes(GB.0 - CUTOFF_MARGIN.0);
        assert!(Cutoff::seen(Some(&exhausted), GB, near).is_some());
        assert!(Cutoff::seen(Some(&exhausted), GB, Bytes(near.0 - 1)).is_none());
        assert!(Cutoff::seen(Some(&reading(1000, 999, 999)), GB, near).is_none());
        assert!(Cutoff::seen(None, GB, near).is_none());
    }

    #[test]
    fn a_quota_that_stands_right_is_left_alone() {
        assert_eq!(open(300).arm(Some(&reading(1000, 700, 700))), Bytes(1000));
        // Traffic flowed while it was read: the moment of the counters lies between the two figures.
        assert_eq!(open(300).arm(Some(&reading(1000, 650, 750))), Bytes(1000));
        // A little early is left alone too.
        assert_eq!(open(300 + EARLY_SLACK.0).arm(Some(&reading(1000, 700, 700))), Bytes(1000));
        // Blocked and exhausted.
        assert_eq!(Standing::of(GB, GB, None).arm(Some(&reading(1000, 1700, 1800))), Bytes(1000));
    }

    #[test]
    fn a_quota_that_stands_wrong_is_armed_on_its_own_scale() {
        assert_eq!(open(300).arm(None), Bytes(300));
        assert_eq!(open(300).arm(Some(&reading(1000, 600, 600))), Bytes(900), "too late");
        assert_eq!(open(900_000).arm(Some(&reading(1000, 600, 600))), Bytes(900_600), "much too early");
        assert_eq!(
            open(300).arm(Some(&reading(1000, 5000, 5000))),
            Bytes(5300),
            "exhausted for a lower limit"
        );
        assert_eq!(
            Standing::of(GB, GB, None).arm(Some(&reading(1000, 10, 10))),
            Bytes(11),
            "blocked but open"
        );
        assert_eq!(Standing::of(GB, GB, None).arm(None), Bytes(1));
    }

    #[test]
    fn a_quota_of_100_tb_is_armed_after_any_amount_of_dropped_traffic() {
        let standing = Standing::of(Bytes(100 << 40), Bytes(0), None);
        assert_eq!(standing.arm(Some(&reading(5, u64::MAX, u64::MAX))), Bytes(u64::MAX));
    }

    #[test]
    fn the_highest_reached_threshold_counts() {
        let thresholds = Thresholds::default();
        assert_eq!(thresholds.reached(Percent::from_tenths(499)), 0);
        assert_eq!(thresholds.reached(Percent::from_tenths(999)), 80);
        assert_eq!(thresholds.reached(Percent::from_tenths(3000)), 100);
        assert!(Thresholds::new([0]).is_none() && Thresholds::new([101]).is_none());
    }
}
