//! A row of the table: one thing measured, what it was measured against in the same run, and the goal.

use std::fmt;
use std::time::Duration;

use crate::demo::grouped;

/// One line.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) ours: Figure,
    /// Other ways to the same end.
    pub(super) rivals: Vec<Versus>,
    /// What nobody can go below.
    pub(super) floor: Option<Versus>,
    pub(super) goal: Option<Goal>,
}

impl Row {
    /// A line with nothing but our own figure.
    pub(super) fn new(what: impl Into<String>, ours: Figure) -> Self {
        Self { what: what.into(), ours, rivals: Vec::new(), floor: None, goal: None }
    }

    pub(super) fn rival(mut self, versus: Versus) -> Self {
        self.rivals.push(versus);
        self
    }

    pub(super) fn floor(self, versus: Versus) -> Self {
        Self { floor: Some(versus), ..self }
    }

    pub(super) fn goal(self, text: impl Into<String>, kept: bool) -> Self {
        Self { goal: Some(Goal { text: text.into(), kept }), ..self }
    }
}

/// What ours is held against.
#[derive(Debug, Clone)]
pub(super) struct Versus {
    pub(super) who: String,
    pub(super) figure: Figure,
    /// Thousandths of theirs that ours is, within the same rounds.
    pub(super) permille: u64,
}

impl Versus {
    pub(super) fn new(who: impl Into<String>, figure: Figure, permille: u64) -> Self {
        Self { who: who.into(), figure, permille }
    }

    /// Against a duration, as the ratio of the two medians.
    pub(super) fn time(who: impl Into<String>, ours: Duration, theirs: Duration) -> Self {
        Self::new(who, Figure::Time(theirs), permille(ours, theirs))
    }
}

/// What is to be reached, and whether it was.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    pub(super) text: String,
    pub(super) kept: bool,
}

/// A measured quantity with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    Time(Duration),
    /// Bits a second.
    Rate(u64),
    PacketsPerSecond(u64),
    /// Kibibytes.
    Memory(u64),
    Count(u64),
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Time(time) if time < Duration::from_millis(1) => {
                write!(f, "{} µs", hundredths(time.as_nanos() / 10))
            }
            Self::Time(time) if time < Duration::from_secs(1) => {
                write!(f, "{} ms", hundredths(time.as_micros() / 10))
            }
            Self::Time(time) => write!(f, "{} s", hundredths(time.as_millis() / 10)),
            Self::Rate(bits) => write!(f, "{} Mbit/s", hundredths(u128::from(bits) / 10_000)),
            Self::PacketsPerSecond(packets) => write!(f, "{}/s", grouped(packets)),
            Self::Memory(kibibytes) => {
                write!(f, "{}.{} MB", kibibytes / 1024, kibibytes % 1024 * 10 / 1024)
            }
            Self::Count(count) => f.write_str(&grouped(count)),
        }
    }
}

/// Thousandths of the second that the first is.
pub(super) fn permille(ours: Duration, theirs: Duration) -> u64 {
    u64::try_from(ours.as_nanos() * 1000 / theirs.as_nanos().max(1)).unwrap_or(u64::MAX)
}

/// Thousandths as people write a ratio.
pub(super) fn ratio(permille: u64) -> String {
    hundredths(u128::from(permille / 10))
}

fn hundredths(number: u128) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_in_the_unit_that_suits_their_size() {
        let shown = |figure: Figure| figure.to_string();
        assert_eq!(shown(Figure::Time(Duration::from_nanos(2_970))), "2.97 µs");
        assert_eq!(shown(Figure::Time(Duration::from_micros(17_960))), "17.96 ms");
        assert_eq!(shown(Figure::Time(Duration::from_millis(3_810))), "3.81 s");
        assert_eq!(shown(Figure::Rate(99_870_000)), "99.87 Mbit/s");
        assert_eq!(shown(Figure::Memory(8_909)), "8.7 MB");
        assert_eq!(ratio(1_105), "1.10");
    }
}
