//! How far a channel has come with the queue of messages: what it has taken, and when it may be tried again.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::backend::Retry;

/// Telegram takes 20 messages a minute in one group (its Bots FAQ); the other services take as many.
pub const MOST_A_MINUTE: usize = 20;
/// A message that could not be delivered for this long is of no use any more.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24);

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// The longest pause between two attempts, 64 minutes: what was down for hours is found again within one.
const MOST_DOUBLINGS: u32 = 6;
/// More failures are not counted: the file takes no larger figure.
const MOST_FAILURES: u32 = 525_600;
/// Minutes do not begin on the very second, and a pause of one must not skip the next.
const SLACK: SignedDuration = SignedDuration::from_secs(10);

/// What is remembered of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages below this number are dealt with.
    pub next: u64,
    /// How many parts of the next message were taken, when it is too long for one.
    pub parts: u32,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// It is not tried before this moment.
    pub not_before: Option<Timestamp>,
    /// When it took something within the last minute.
    pub recent: Vec<Timestamp>,
    /// Why the last attempt failed, until one succeeds.
    pub last_error: Option<LastError>,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// What the other side said.
    pub text: String,
}

impl Progress {
    /// Whether it may be tried now.
    pub fn may_try(&self, now: Timestamp) -> bool {
        // A moment that is further away than any pause was noted by a clock that went back since.
        let pause = |until: &Timestamp| now < *until && until.duration_since(now) <= LONGEST_WAIT;
        let lately = self.recent.iter().filter(|&&at| is_lately(at, now)).count();
        !self.not_before.as_ref().is_some_and(pause) && lately < MOST_A_MINUTE
    }

    /// It took what comes before this place.
    pub fn taken(&mut self, next: u64, parts: u32, now: Timestamp) {
        self.recent.retain(|&at| is_lately(at, now));
        self.recent.push(now);
        let recent = core::mem::take(&mut self.recent);
        *self = Self { next, parts, recent, ..Self::default() };
    }

    /// It will never take the messages below `next`.
    pub fn refused(&mut self, next: u64, error: LastError) {
        let recent = core::mem::take(&mut self.recent);
        *self = Self { next, recent, last_error: Some(error), ..Self::default() };
    }

    /// It is tried again later: as it asked, or after 1, 2, 4 .. minutes.
    pub fn put_off(&mut self, retry: Retry, error: LastError) {
        let pause = match retry {
            Retry::After(asked) => at_most_a_day(asked),
            Retry::Later | Retry::Never => {
                self.failures = self.failures.saturating_add(1).min(MOST_FAILURES);
                MINUTE * (1 << (self.failures - 1).min(MOST_DOUBLINGS)) - SLACK
            }
        };
        self.not_before = error.at.checked_add(pause).ok();
        self.last_error = Some(error);
    }

    /// Its settings were changed, so what went wrong with the old ones says nothing.
    pub fn start_over(&mut self) {
        (self.failures, self.not_before, self.last_error) = (0, None, None);
    }
}

fn is_lately(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now.duration_since(at) < MINUTE
}

fn at_most_a_day(asked: Duration) -> SignedDuration {
    SignedDuration::try_from(asked).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn a_channel_that_fails_for_ever_leaves_a_file_that_can_be_read() {
        let mut snapshot = crate::wire::Snapshot::default();
        let mut progress = Progress { failures: MOST_FAILURES, ..Progress::default() };
        progress.put_off(Retry::Later, error(0));
        snapshot.state.outbox.progress.insert("telegram".into(), progress);
        assert!(crate::wire::decode(&crate::wire::encode(&snapshot)).is_ok());
    }

    fn error(second: i64) -> LastError {
        LastError { at: at(second), text: "no".into() }
    }

    #[test]
    fn it_is_tried_again_after_1_2_4_minutes_and_every_hour_at_last() {
        let mut progress = Progress::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            progress.put_off(Retry::Later, error(0));
            pauses.push((1..=64).find(|minute| progress.may_try(at(minute * 60))).unwrap());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        progress.taken(1, 0, at(1));
        assert_eq!((progress.failures, progress.not_before, &progress.last_error), (0, None, &None));
    }

    #[test]
    fn it_waits_as_long_as_it_was_asked_to_and_no_longer_than_a_day() {
        let mut progress = Progress::default();
        progress.put_off(Retry::After(Duration::from_secs(90)), error(0));
        assert!(!progress.may_try(at(89)) && progress.may_try(at(90)));
        progress.put_off(Retry::After(Duration::MAX), error(0));
        assert!(!progress.may_try(at(86_399)) && progress.may_try(at(86_400)));
        assert!(progress.may_try(at(-1)), "the clock went back");
        progress.start_over();
        assert!(progress.may_try(at(0)));
    }

    #[test]
    fn it_takes_twenty_messages_a_minute() {
        let mut progress = Progress::default();
        for next in 1..=20 {
            assert!(progress.may_try(at(5)));
            progress.taken(next, 0, at(5));
        }
        assert!(!progress.may_try(at(64)) && progress.may_try(at(65)));
        progress.taken(21, 0, at(65));
        assert_eq!(progress.recent, vec![at(65)]);
    }

    #[test]
    fn what_it_will_never_take_is_passed_by_and_remembered() {
        let mut progress = Progress { parts: 2, failures: 3, ..Progress::default() };
        progress.refused(7, error(1));
        assert_eq!(progress, Progress { next: 7, last_error: Some(error(1)), ..Progress::default() });
        assert!(progress.may_try(at(1)));
    }
}
