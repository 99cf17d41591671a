//! What the operator decides.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::channel::Channel;
use crate::dynqos::DynQosPolicy;
use crate::port::PortRange;
use crate::quota::{Mode, Thresholds};
use crate::reset::ResetDay;
use crate::units::{Bytes, Rate, shown};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The network interface to shape; none for the one of the default route.
    pub interface: Option<String>,
    /// Whether a root qdisc that somebody configured may be replaced, see [`Shaping`](crate::backend::Shaping).
    pub take_over_qdisc: bool,
    /// Whether forwarded traffic is metered.
    pub forward: ForwardPolicy,
    /// The entries. No two of them share a port.
    pub ports: BTreeMap<PortRange, PortConfig>,
    /// Telegram and the warnings.
    pub telegram: Telegram,
    /// Where messages go besides Telegram.
    pub channels: Vec<Channel>,
    /// Where newer releases of the program come from.
    pub update: UpdateSource,
}

impl Config {
    /// The entry that meters some port of `range`, if there is one.
    pub fn overlapping(&self, range: PortRange) -> Option<PortRange> {
        self.ports.keys().copied().find(|entry| entry.overlaps(range))
    }

    /// The entry of this very port or range.
    pub fn entry(&self, port: PortRange) -> Result<&PortConfig, EntryError> {
        self.ports.get(&port).ok_or_else(|| {
            let around = self.overlapping(port).filter(|entry| entry.width() > 1);
            around.map_or(EntryError::Unknown(port), |range| EntryError::Within { port, range })
        })
    }
}

/// Where releases come from. What is left out is as the program was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateSource {
    /// The address of a folder with `latest.json`.
    pub url: Option<String>,
    /// The minisign public key of the publisher.
    pub public_key: Option<String>,
}

/// There is no such entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Nothing meters it.
    #[error("port {0} is not metered: pm list shows the ports that are, pm add {0} --quota 10 adds it")]
    Unknown(PortRange),
    /// It lies within an entry.
    #[error("port {port} is no entry of its own, it belongs to the range {range}: name the range")]
    Within {
        /// What was named.
        port: PortRange,
        /// The entry.
        range: PortRange,
    },
}

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortConfig {
    /// The quota; none when the port is only metered.
    pub quota: Option<Bytes>,
    /// What counts towards the quota.
    pub mode: Mode,
    /// The speed limit on outbound traffic.
    pub limit: Option<Rate>,
    /// When a new cycle begins; none when only a person resets.
    pub reset_day: Option<ResetDay>,
    /// The operator's remark: any text.
    pub comment: String,
    /// The group that shares the quota.
    pub group: Option<GroupId>,
    /// The rate penalty.
    pub dynqos: DynQosConfig,
}

/// The rate penalty of an entry. Its figures survive being switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DynQosConfig {
    /// Whether it is on.
    pub enabled: bool,
    /// Its figures, once they were given.
    pub policy: Option<DynQosPolicy>,
}

impl DynQosConfig {
    /// The policy that acts now.
    pub fn active(&self) -> Option<&DynQosPolicy> {
        self.policy.as_ref().filter(|policy| self.enabled && policy.is_effective())
    }
}

/// The name of a group: 1 to 64 characters, none of them a control character, no blanks around it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupId(String);

impl GroupId {
    /// A group of this name.
    pub fn new(name: &str) -> Result<Self, GroupError> {
        let fits = (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if fits && name.trim() == name { Ok(Self(name.into())) } else { Err(GroupError(shown(name))) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Not the name of a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a group name: write 1 to 64 characters, without control characters or blanks around them"
)]
pub struct GroupError(String);

/// Whether traffic that the machine forwards is metered. It costs connection tracking, so by default only where the
/// machine forwards at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardPolicy {
    /// Where the machine forwards.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Telegram, and what is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Telegram {
    /// The main switch.
    pub enable: bool,
    /// The bot's token.
    pub bot_token: Secret,
    /// The chat: a number or `@channel`, kept as it was written.
    pub chat_id: Value,
    /// Where the Bot API is.
    pub api_url: String,
    /// The percentages that are warned of.
    pub thresholds: Thresholds,
    /// Hours between reports; 0 for none.
    pub report_interval_hours: u32,
    /// The proxy in front of the Bot API, an http or socks5 address; empty for none. It may carry a password.
    pub proxy: Secret,
    /// The language of all messages.
    pub language: Language,
}

impl Default for Telegram {
    fn default() -> Self {
        Self {
            enable: false,
            bot_token: Secret::default(),
            chat_id: Value::String(String::new()),
            api_url: "https://api.telegram.org".into(),
            thresholds: Thresholds::default(),
            report_interval_hours: 0,
            proxy: Secret::default(),
            language: Language::default(),
        }
    }
}

/// A language that people are told things in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// 简体中文
    #[default]
    Zh,
    /// English
    En,
}

impl Language {
    /// Its name in the configuration file and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }
}

/// A text that must not reach a screen, a log or an error message. It has no `Display`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// First six and last four characters, or nothing of it when that would show most of it.
    pub fn masked(&self) -> String {
        let characters = self.0.chars().count();
        if self.0.is_empty() {
            String::new()
        } else if characters < 20 {
            "******".into()
        } else {
            let head: String = self.0.chars().take(6).collect();
            let tail: String = self.0.chars().skip(characters - 4).collect();
            format!("{head}...{tail}")
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_six_and_four_characters_and_a_short_one_nothing() {
        let token = Secret::new("123456789:ABCdefGHIjklMNOpqrSTUvwxyz");
        assert_eq!(token.masked(), "123456...wxyz");
        assert_eq!(format!("{token:?}"), "Secret(123456...wxyz)");
        assert_eq!(Secret::new("short").masked(), "******");
        assert_eq!(Secret::default().masked(), "");
    }

    #[test]
    fn group_names_are_plain_text() {
        assert!(GroupId::new("家庭").is_ok());
        for wrong in ["", " a", "a\n", &"x".repeat(65)] {
            assert!(GroupId::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
