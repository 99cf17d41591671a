//! The shapes of what is remembered of the queue, and of the channels that it goes to.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use jiff::Timestamp;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::document::{is_default, timestamp, unix};
use super::field::yes;
use super::number::{count, seconds, whole};
use crate::channel::{Channel, Service, TELEGRAM};
use crate::config::{Language, Secret};
use crate::event::Message;
use crate::progress::{LastError, Progress};
use crate::state::Outbox;

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct ProgressDocument {
    #[serde(default, deserialize_with = "whole")]
    next_id: u64,
    #[serde(default, deserialize_with = "count", skip_serializing_if = "is_default")]
    parts: u32,
    #[serde(default, deserialize_with = "count", skip_serializing_if = "is_default")]
    failures: u32,
    #[serde(default, deserialize_with = "seconds", skip_serializing_if = "is_default")]
    not_before_ts: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent_ts: Vec<Seconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<ErrorDocument>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct Seconds(#[serde(deserialize_with = "seconds")] u64);

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct ErrorDocument {
    #[serde(deserialize_with = "seconds")]
    ts: u64,
    text: String,
}

/// The queue of messages. Numbers that do not rise, or that come to their end, are given anew, and every channel then begins
/// with the first message: one that is told twice is better than one that is lost, or told for ever.
pub(super) fn outbox(
    mut messages: Vec<Message>,
    next_message_id: u64,
    documents: BTreeMap<String, ProgressDocument>,
) -> Outbox {
    /// Beyond it, not every reader of JSON tells a number from the next one.
    const LAST: u64 = 1 << 53;
    let after_last = messages.iter().map(|message| message.id.saturating_add(1)).max().unwrap_or(0);
    let next_id = next_message_id.max(after_last);
    let mut progress = progress(documents, next_id);
    if next_id <= LAST && messages.is_sorted_by(|earlier, later| earlier.id < later.id) {
        return Outbox { messages, next_id, progress };
    }
    let count = messages.len() as u64;
    let first = if next_id.saturating_add(count) <= LAST { next_id } else { 0 };
    for (message, id) in messages.iter_mut().zip(first..) {
        message.id = id;
    }
    for progress in progress.values_mut() {
        (progress.next, progress.parts) = (first, 0);
    }
    Outbox { messages, next_id: first + count, progress }
}

/// No channel can be ahead of the queue, whose next message will have the number `next_id`.
fn progress(documents: BTreeMap<String, ProgressDocument>, next_id: u64) -> BTreeMap<String, Progress> {
    let read = |document: ProgressDocument| Progress {
        next: document.next_id.min(next_id),
        parts: document.parts,
        failures: document.failures,
        not_before: timestamp(document.not_before_ts),
        recent: document.recent_ts.iter().filter_map(|&Seconds(at)| timestamp(at)).collect(),
        last_error: document
            .last_error
            .and_then(|error| Some(LastError { at: timestamp(error.ts)?, text: error.text })),
    };
    documents.into_iter().map(|(name, document)| (name, read(document))).collect()
}

/// A moment that would be read as none is not written: a machine without a clock of its own begins at 0.
pub(super) fn progress_documents(
    progress: &BTreeMap<String, Progress>,
) -> BTreeMap<String, ProgressDocument> {
    let known = |at: Timestamp| Some(unix(Some(at))).filter(|&seconds| seconds > 0);
    let written = |progress: &Progress| ProgressDocument {
        next_id: progress.next,
        parts: progress.parts,
        failures: progress.failures,
        not_before_ts: unix(progress.not_before.map(rounded_up)),
        recent_ts: progress.recent.iter().filter_map(|&at| known(at)).map(Seconds).collect(),
        last_error: progress
            .last_error
            .as_ref()
            .and_then(|error| Some(ErrorDocument { ts: known(error.at)?, text: error.text.clone() })),
    };
    progress.iter().map(|(name, progress)| (name.clone(), written(progress))).collect()
}

/// Whoever asked for a pause gets all of it.
fn rounded_up(at: Timestamp) -> Timestamp {
    let second = at.as_second().saturating_add(i64::from(at.subsec_nanosecond() > 0));
    Timestamp::from_second(second).unwrap_or(at)
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object with a type and a url")]
pub(super) struct ChannelDocument {
    #[serde(default)]
    name: String,
    #[serde(rename = "type")]
    service: ServiceName,
    #[serde(default = "yes")]
    enable: bool,
    url: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    secret: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    proxy: String,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The channels of a file. One without a name, or with a name that is taken, gets one of its own.
pub(super) fn channels(documents: Vec<ChannelDocument>) -> Vec<Channel> {
    let mut channels: Vec<Channel> = Vec::new();
    for document in documents {
        let service = document.service.0;
        let stem = if document.name.is_empty() { service.name() } else { &document.name };
        let taken = |name: &str| name == TELEGRAM || channels.iter().any(|channel| channel.name == name);
        let mut names =
            (1_u32..).map(|number| if number == 1 { stem.to_string() } else { format!("{stem}-{number}") });
        let name = names.find(|name| !taken(name)).unwrap_or_default();
        channels.push(Channel {
            name,
            enable: document.enable,
            service,
            url: Secret::new(document.url),
            secret: Secret::new(document.secret),
            body: document.body,
            proxy: Secret::new(document.proxy),
            extra: document.extra,
        });
    }
    channels
}

pub(super) fn channel_documents(channels: &[Channel]) -> Vec<ChannelDocument> {
    let written = |channel: &Channel| ChannelDocument {
        name: channel.name.clone(),
        service: ServiceName(channel.service),
        enable: channel.enable,
        url: channel.url.expose().to_string(),
        secret: channel.secret.expose().to_string(),
        body: channel.body.clone(),
        proxy: channel.proxy.expose().to_string(),
        extra: channel.extra.clone(),
    };
    channels.iter().map(written).collect()
}

struct ServiceName(Service);

impl Serialize for ServiceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for ServiceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl Visitor<'_> for Word {
            type Value = ServiceName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"webhook\", \"bark\", \"wecom\", \"dingtalk\" or \"serverchan\"")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<ServiceName, E> {
                let known = Service::ALL.into_iter().find(|service| service.name() == word);
                known.map(ServiceName).ok_or_else(|| E::invalid_value(Unexpected::Str(word), &self))
            }
        }

        deserializer.deserialize_any(Word)
    }
}

/// The language of the messages.
pub(super) fn language<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Language, D::Error> {
    struct Word;

    impl Visitor<'_> for Word {
        type Value = Language;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("\"zh\" or \"en\"")
        }

        fn visit_str<E: Error>(self, word: &str) -> Result<Language, E> {
            match word {
                "zh" => Ok(Language::Zh),
                "en" => Ok(Language::En),
                other => Err(E::invalid_value(Unexpected::Str(other), &self)),
            }
        }
    }

    deserializer.deserialize_any(Word)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over so")]
pub(super) fn language_name<S: Serializer>(language: &Language, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(language.name())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::{Snapshot, decode, encode};

    fn read(value: &Value) -> Snapshot {
        decode(value.to_string().as_bytes()).unwrap().snapshot
    }

    fn written(snapshot: &Snapshot) -> Value {
        serde_json::from_slice(&encode(snapshot)).unwrap()
    }

    #[test]
    fn how_far_a_channel_has_come_is_read_and_written_alike() {
        let progress = json!({"telegram": {
            "next_id": 7, "parts": 2, "failures": 3, "not_before_ts": 1_700_000_060, "recent_ts": [1_700_000_000],
            "last_error": {"ts": 1_700_000_001, "text": "Bad Request: chat not found"}
        }});
        let snapshot = read(&json!({"monitor": {"next_message_id": 9}, "delivery": progress}));
        assert_eq!(snapshot.state.outbox.progress["telegram"].not_before, timestamp(1_700_000_060));
        assert_eq!(written(&snapshot)["delivery"], progress);
        assert!(written(&Snapshot::default()).get("delivery").is_none());
        let ahead = read(&json!({"monitor": {"next_message_id": 3}, "delivery": progress}));
        assert_eq!(ahead.state.outbox.progress["telegram"].next, 3);
    }

    #[test]
    fn what_was_noted_in_the_first_second_of_1970_is_written_as_it_is_read() {
        let mut snapshot = Snapshot::default();
        let first = Timestamp::UNIX_EPOCH;
        let last_error = Some(LastError { at: first, text: "no".into() });
        let progress =
            Progress { recent: [first].into(), not_before: Some(first), last_error, ..Progress::default() };
        snapshot.state.outbox.progress.insert("telegram".into(), progress);
        assert_eq!(written(&snapshot)["delivery"], json!({"telegram": {"next_id": 0}}));
    }

    #[test]
    fn numbers_that_end_or_do_not_rise_are_given_anew_and_nothing_is_lost_or_told_for_ever() {
        let queue = |ids: &[u64], next: u64| {
            let message =
                |id: &u64| json!({"id": id, "at": "2026-07-01T00:00:00Z", "event": {"type": "test"}});
            let messages: Vec<Value> = ids.iter().map(message).collect();
            read(&json!({
                "monitor": {"next_message_id": next},
                "outbox": messages,
                "delivery": {"telegram": {"next_id": next, "parts": 2}}
            }))
        };
        for (ids, next, first) in [
            (&[u64::MAX - 1, u64::MAX][..], u64::MAX, 0),
            (&[][..], u64::MAX, 0),
            (&[3][..], u64::MAX, 0),
            (&[5, 5, 4][..], 9, 9),
        ] {
            let mut snapshot = queue(ids, next);
            assert_eq!(read(&written(&snapshot)).state, snapshot.state, "{ids:?} {next}");
            let outbox = &mut snapshot.state.outbox;
            outbox.push(Timestamp::UNIX_EPOCH, crate::event::Event::Test);
            let numbers: Vec<u64> = outbox.waiting("telegram").iter().map(|message| message.id).collect();
            let expected: Vec<u64> = (first..=first + ids.len() as u64).collect();
            assert_eq!(numbers, expected, "{ids:?} {next}");
            assert_eq!(outbox.next_id, first + ids.len() as u64 + 1);
        }
        let sound = queue(&[3, 7], 9);
        let ids: Vec<u64> = sound.state.outbox.messages.iter().map(|message| message.id).collect();
        assert_eq!((ids, sound.state.outbox.progress["telegram"].parts), ([3, 7].into(), 2));
    }

    #[test]
    fn channels_keep_their_fields_and_get_names_of_their_own() {
        let channels = json!([
            {"type": "webhook", "url": "https://example.com/hook", "secret": "s", "body": {"content": "{text}"}, "note": 1},
            {"type": "webhook", "url": "https://example.com/hook"},
            {"type": "bark", "name": "telegram", "url": "https://api.day.app/KEY", "enable": false},
        ]);
        let snapshot = read(&json!({"channels": channels}));
        let names: Vec<&str> = snapshot.config.channels.iter().map(|channel| channel.name.as_str()).collect();
        assert_eq!(names, ["webhook", "webhook-2", "telegram-2"]);
        let back = written(&snapshot);
        assert_eq!(back["channels"][0]["note"], 1);
        assert_eq!(back["channels"][0]["body"], json!({"content": "{text}"}));
        assert_eq!(back["channels"][2]["enable"], false);
        assert_eq!(read(&back).config, snapshot.config);

        let error = decode(br#"{"channels": [{"type": "pager", "url": ""}]}"#).unwrap_err();
        assert_eq!(error.field, "channels[0].type");
        assert!(error.reason.contains("serverchan"), "{error}");
    }

    #[test]
    fn a_proxy_and_a_language_are_optional() {
        let telegram = json!({"proxy": "socks5://127.0.0.1:1080", "language": "en"});
        let snapshot = read(&json!({"telegram": telegram}));
        assert_eq!(snapshot.config.telegram.language, Language::En);
        assert_eq!(written(&snapshot)["telegram"]["proxy"], telegram["proxy"]);
        assert_eq!(written(&snapshot)["telegram"]["language"], "en");
        assert!(written(&Snapshot::default())["telegram"].get("language").is_none());
        let error = decode(br#"{"telegram": {"language": "fr"}}"#).unwrap_err();
        assert_eq!(error.field, "telegram.language");
    }
}
