//! Figures that follow from an input alone, for what an input does not say: the same bytes are always the same case.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Chile's clocks change at midnight, Kiribati's are the furthest ahead.
const ZONES: [&str; 4] = ["UTC0", "<-04>4<-03>,M9.1.6/24,M4.1.6/24", "<+14>-14", "<-12>12"];

/// `SplitMix64` (Steele, Lea, Flood 2014), seeded with the FNV-1a hash of an input.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn of(input: &[u8]) -> Self {
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(input.iter().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `sides`.
    pub(crate) fn below(&mut self, sides: u64) -> u64 {
        self.roll() % sides
    }

    /// A figure of a counter: small, of the size of a quota, or at the end of the range.
    pub(crate) fn figure(&mut self) -> u64 {
        let figure = self.roll();
        match self.below(4) {
            0 => figure % 100,
            1 => figure % (1 << 36),
            2 => u64::MAX - figure % 100,
            _ => figure,
        }
    }

    /// A clock somewhere in all of time, or near the last one. Linux sets none before 1970.
    pub(crate) fn clock(&mut self, last: Timestamp) -> Zoned {
        let (end, step) = (Timestamp::MAX.as_second(), self.roll());
        let within = |range: i64| i64::try_from(step % u64::try_from(range).unwrap_or(1)).unwrap_or(0);
        let second = match self.below(8) {
            0 => within(end),
            1 => within(100),
            2 => end - within(100),
            3 => last.as_second().saturating_sub(within(40 * 86_400)).max(0),
            4 => last.as_second().saturating_add(within(40 * 86_400)),
            _ => last.as_second().saturating_add(60),
        };
        let at = Timestamp::from_second(second).unwrap_or(last);
        let zone = TimeZone::posix(ZONES[usize::try_from(self.below(4)).unwrap_or(0)]);
        at.to_zoned(zone.unwrap_or(TimeZone::UTC))
    }
}
