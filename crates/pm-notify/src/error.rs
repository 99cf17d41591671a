//! Why a message was not delivered. No address, and so no token, ever becomes part of it.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pm_core::backend::{Refusal, Retry};
use pm_core::units::excerpt;

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
    /// An address of the configuration is one of the machine's own link.
    #[error(
        "{0} is a link-local address, where a cloud keeps the keys of its machines: nothing is sent there"
    )]
    OutOfBounds(&'static str),
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
            | Self::OutOfBounds(_)
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
/// What stands in the place of a password is one.
const SHORTEST_PASSWORD: usize = 3;
/// More of an answer than this helps nobody.
const LONGEST: usize = 300;

impl Confidential {
    /// These texts, and the parts that addresses consist of.
    pub(crate) fn new(texts: &[&str]) -> Self {
        let parts = texts.iter().flat_map(|text| {
            let pieces = text.split(['/', ':', '?', '&', '=', '@']).filter(|piece| !piece.contains('.'));
            std::iter::once(*text).chain(pieces)
        });
        Self(parts.filter(|part| part.len() >= SHORTEST).map(Into::into).collect()).longest_first()
    }

    /// And by what these addresses log in: as it stands there, as it is meant, and as it is sent.
    #[must_use]
    pub(crate) fn and_logins(mut self, addresses: &[&str]) -> Self {
        for address in addresses {
            let rest = address.split_once("://").map_or(*address, |(_, rest)| rest);
            let Some((login, _)) = rest.rsplit_once('@') else { continue };
            let meant = meant(login);
            let sent = BASE64_STANDARD.encode(meant.as_bytes());
            let parts = [login, &meant].into_iter().filter_map(|login| Some(login.split_once(':')?.1));
            let parts = parts.chain([login, &meant, &sent]).filter(|part| part.len() >= SHORTEST_PASSWORD);
            self.0.extend(parts.map(str::to_owned));
        }
        self.longest_first()
    }

    /// What is part of something longer must not be taken out of it first.
    fn longest_first(mut self) -> Self {
        self.0.sort_by_key(|part| std::cmp::Reverse(part.len()));
        self.0.dedup();
        self
    }

    /// The text in one line without them, cut where it goes on for ever.
    pub(crate) fn without(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for part in &self.0 {
            clean = clean.replace(part.as_str(), "***");
        }
        excerpt(clean.trim(), LONGEST)
    }
}

/// A part of an address with its `%40` as what they stand for.
fn meant(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%').and_then(|digits| str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
        let logins =
            Confidential::new(&[]).and_logins(&["https://me:p%40ss@tg.example/api", "http://tg.example"]);
        assert_eq!(
            logins.without("p@ss p%40ss Basic bWU6cEBzcw== me:p@ss tg.example"),
            "*** *** Basic *** *** tg.example"
        );
        assert_eq!(confidential.without(&"x".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
