//! What happened to an entry in its present cycle: a short list for people, saved with the state that it tells of.

use alloc::vec::Vec;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Subject};
use crate::units::Rate;
use crate::wire::megabits;

/// What happened, oldest first. A reset begins it anew and stands in it; of the rest, the last [`MOST`] are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Chronicle(Vec<Happening>);

/// Ten punishments with their ends: more than anybody reads, and little in a file with a thousand ports.
pub const MOST: usize = 20;

/// Something that happened to an entry, in the JSON form of `config.json` and `pm show --json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// When, in Unix seconds.
    #[serde(rename = "ts", with = "jiff::fmt::serde::timestamp::second::required")]
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of what happens to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// A new cycle began.
    Reset,
    /// Usage crossed a threshold.
    Warning {
        /// The threshold, in percent.
        level: u8,
    },
    /// The quota was used up and the entry closed.
    Blocked,
    /// It was slowed down.
    Punished {
        /// The speed limit meanwhile.
        #[serde(rename = "penalty_mbps", with = "megabits")]
        penalty: Rate,
        /// For how many minutes.
        minutes: u32,
    },
    /// The punishment was over.
    Recovered,
}

impl What {
    /// What an event is to the entries that it is about.
    pub(crate) const fn of(event: &Event) -> Option<(Self, &Subject)> {
        match event {
            Event::QuotaReset { subject, .. } => Some((Self::Reset, subject)),
            Event::QuotaWarning { subject, level, .. } => Some((Self::Warning { level: *level }, subject)),
            Event::Blocked { subject, .. } => Some((Self::Blocked, subject)),
            Event::Punished { subject, penalty, minutes, .. } => {
                Some((Self::Punished { penalty: *penalty, minutes: *minutes }, subject))
            }
            Event::Recovered { subject } => Some((Self::Recovered, subject)),
            Event::Report { .. } | Event::Test => None,
        }
    }
}

impl Chronicle {
    pub(crate) fn push(&mut self, happening: Happening) {
        if happening.what == What::Reset {
            self.0.clear();
        }
        self.0.push(happening);
        self.0.drain(..self.0.len().saturating_sub(MOST));
    }

    /// Whether nothing has happened yet.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What happened, oldest first.
    pub fn happenings(&self) -> &[Happening] {
        &self.0
    }
}

impl FromIterator<Happening> for Chronicle {
    fn from_iter<I: IntoIterator<Item = Happening>>(happenings: I) -> Self {
        let mut chronicle = Self::default();
        happenings.into_iter().for_each(|happening| chronicle.push(happening));
        chronicle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_and_a_reset_begins_anew() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let happening = |second, what| Happening { at: at(second), what };
        let many = (0..100).map(|second| happening(second, What::Recovered));
        let mut chronicle: Chronicle = many.collect();
        assert_eq!((chronicle.happenings().len(), chronicle.happenings()[0].at), (MOST, at(80)));
        chronicle.push(happening(100, What::Reset));
        chronicle.push(happening(101, What::Blocked));
        assert_eq!(chronicle.happenings(), [happening(100, What::Reset), happening(101, What::Blocked)]);
    }
}
