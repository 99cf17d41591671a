//! Why a message was not delivered. No address, and so no token, ever becomes part of it.

use std::time::Duration;

use pm_core::backend::{Refusal, Retry};
use pm_core::units::escaped;

/// Why a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The other side will never take it.
    #[error("{text} ({code})")]
    Refused {
        /// HTTP's number for it, or the service's own.
        code: u16,
        /// In the other side's words.
        text: String,
    },
    /// It came too soon after others.
    #[error("{text} (429), to be tried again in {} s", after.as_secs())]
    Throttled {
        /// The time that the other side asked for.
        after: Duration,
        /// In the other side's words.
        text: String,
    },
    /// The group has become a supergroup, with another number.
    #[error("{text}: the chat is now {chat}")]
    Moved {
        /// Its number now.
        chat: i64,
        /// In the other side's words.
        text: String,
    },
    /// The other side is not well.
    #[error("the server cannot take it now: {text} ({code})")]
    Unwell {
        /// HTTP's number for it.
        code: u16,
        /// In the other side's words.
        text: String,
    },
    /// It points to another address. That one is not told the token.
    #[error("the server points to another address ({0}), which is not followed")]
    Redirected(u16),
    /// It is something else than what it should be.
    #[error("the answer is not that of {0}")]
    Foreign(&'static str),
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It was not reached.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// An address of the configuration makes no sense.
    #[error("{0} is not an address with http:// or https:// in front")]
    Address(&'static str),
    /// The encryption could not be set up.
    #[error("cannot set up a connection: {0}")]
    Setup(String),
}

impl DeliveryError {
    /// What may be done with the message.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Refused { .. } => Retry::Never,
            Self::Throttled { after, .. } => Retry::After(*after),
            Self::Moved { .. }
            | Self::Unwell { .. }
            | Self::Redirected(_)
            | Self::Foreign(_)
            | Self::TimedOut(_)
            | Self::Unreachable(_)
            | Self::Broken(_)
            | Self::Address(_)
            | Self::Setup(_) => Retry::Later,
        }
    }
}

impl From<DeliveryError> for Refusal {
    fn from(error: DeliveryError) -> Self {
        Self { retry: error.retry(), source: Box::new(error) }
    }
}

/// What must not be seen, to be taken out of what others say.
#[derive(Clone, Default)]
pub(crate) struct Confidential(Vec<String>);

/// Anything shorter is no secret, and may well be an ordinary word.
const SHORTEST: usize = 8;
/// More of an answer than this helps nobody.
const LONGEST: usize = 300;

impl Confidential {
    /// These texts, and the parts that addresses consist of.
    pub(crate) fn new(texts: &[&str]) -> Self {
        let parts = texts.iter().flat_map(|text| {
            let pieces = text.split(['/', ':', '?', '&', '=', '@']).filter(|piece| !piece.contains('.'));
            std::iter::once(*text).chain(pieces)
        });
        let mut parts: Vec<String> = parts.filter(|part| part.len() >= SHORTEST).map(Into::into).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts.dedup();
        Self(parts)
    }

    /// The text in one line without them, cut where it goes on for ever.
    pub(crate) fn without(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for part in &self.0 {
            clean = clean.replace(part.as_str(), "***");
        }
        let mut line: String = clean.trim().chars().take(LONGEST).flat_map(escaped).collect();
        if clean.trim().chars().nth(LONGEST).is_some() {
            line.push('…');
        }
        line
    }
}

impl std::fmt::Debug for Confidential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Confidential")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_repeats_of_a_secret_is_taken_out_of_it() {
        let token = "123456789:ABCdefGHIjklMNOpqrSTUvwxyz";
        let confidential = Confidential::new(&[token, "https://example.com/hook?key=0123456789abcdef"]);
        let said = format!(
            "no /bot{token}/x, nor 123456789%3AABCdefGHIjklMNOpqrSTUvwxyz, key 0123456789abcdef\u{1b}[2J"
        );
        let clean = confidential.without(&said);
        assert_eq!(clean, "no /bot***/x, nor ***%3A***, key ***\\u{1b}[2J");
        assert!(!format!("{confidential:?}").contains("ABC"));
        assert_eq!(confidential.without(&"x".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
