//! Fields that are neither plain numbers nor plain texts.
//!
//! They are checked by visitors, because only what a visitor refuses is refused at its own place in the file.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;

use jiff::civil;
use serde::de::{DeserializeSeed, Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::pen::Plain;
use crate::chronicle::{Chronicle, Happening};
use crate::config::{ForwardPolicy, GroupId};
use crate::quota::Mode;
use crate::units::shown;

/// A text that stands for something else.
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parse(PhantomData).deserialize(deserializer).map(Self)
    }
}

/// Reads a text as what it stands for.
pub(super) struct Parse<T>(pub(super) PhantomData<T>);

impl<'de, T: FromStr<Err: fmt::Display>> DeserializeSeed<'de> for Parse<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// A day of the calendar.
pub(super) struct Date(pub(super) civil::Date);

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{}` is no date: write one such as 2026-02-01", shown(text));
        text.parse().map(Self).map_err(|_| refused())
    }
}

impl Plain for Text<Date> {
    fn write(&self, text: &mut Vec<u8>) {
        self.0.0.to_string().as_str().write(text);
    }
}

/// A field that may be missing, but is no null where it stands.
pub(super) fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A `group_id` that stands there: null and the empty text name no group.
pub(super) struct GroupField(pub(super) Option<GroupId>);

impl<'de> Deserialize<'de> for GroupField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = GroupField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or null for no group")
            }

            fn visit_unit<E: Error>(self) -> Result<GroupField, E> {
                Ok(GroupField(None))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<GroupField, E> {
                let group = (!name.is_empty()).then(|| GroupId::new(name)).transpose();
                group.map(GroupField).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Name)
    }
}

impl Plain for GroupField {
    fn write(&self, text: &mut Vec<u8>) {
        self.0.as_ref().map(GroupId::as_str).write(text);
    }
}

/// A chat, written back in the form in which it came: a whole number or a text.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(super) struct ChatId(pub(super) Value);

impl<'de> Deserialize<'de> for ChatId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Chat;

        impl Visitor<'_> for Chat {
            type Value = ChatId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a chat such as \"-1001234567890\" or \"@channel\"")
            }

            fn visit_unit<E: Error>(self) -> Result<ChatId, E> {
                Ok(ChatId(Value::Null))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ChatId, E> {
                Ok(ChatId(text.into()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<ChatId, E> {
                Ok(ChatId(number.into()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<ChatId, E> {
                Ok(ChatId(number.into()))
            }
        }

        deserializer.deserialize_any(Chat)
    }
}

/// What counts towards a quota: any word but one means both directions, since the script has written several.
#[derive(Clone, Copy, Default)]
pub(super) struct ModeName(pub(super) Mode);

impl<'de> Deserialize<'de> for ModeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl Visitor<'_> for Word {
            type Value = ModeName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<ModeName, E> {
                Ok(ModeName(if word == Mode::OutOnly.name() { Mode::OutOnly } else { Mode::Both }))
            }
        }

        deserializer.deserialize_str(Word)
    }
}

impl Plain for ModeName {
    fn write(&self, text: &mut Vec<u8>) {
        self.0.name().write(text);
    }
}

/// Whether forwarded traffic is metered.
pub(super) fn forward<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ForwardPolicy, D::Error> {
    struct Word;

    impl Visitor<'_> for Word {
        type Value = ForwardPolicy;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("\"auto\", \"on\" or \"off\"")
        }

        fn visit_str<E: Error>(self, word: &str) -> Result<ForwardPolicy, E> {
            match word {
                "auto" => Ok(ForwardPolicy::Auto),
                "on" => Ok(ForwardPolicy::On),
                "off" => Ok(ForwardPolicy::Off),
                other => Err(E::invalid_value(Unexpected::Str(other), &self)),
            }
        }
    }

    deserializer.deserialize_any(Word)
}

/// What happened to an entry. One that is not understood, as a newer pm may have written it, is dropped: the list is
/// bounded, so it would have gone in time, and nothing but a page depends on it.
pub(super) fn chronicle<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Chronicle, D::Error> {
    let entries = Vec::<Value>::deserialize(deserializer)?;
    Ok(entries.into_iter().filter_map(|entry| Happening::deserialize(entry).ok()).collect())
}

/// What holds where nothing is said.
pub(super) const fn yes() -> bool {
    true
}
