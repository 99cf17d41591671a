//! The shapes of config.json as it is read, and the way from them to what the rest of the crate works with.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::delivery::{self, ChannelDocument, ProgressDocument};
use super::entry::{EntryDocument, Parts};
use super::field::{self, ChatId, Parse};
use super::number::{Level, count, seconds, whole};
use super::{Decoded, PortExtras, Snapshot, Warning, form, reader};
use crate::account::Account;
use crate::chronicle::Chronicle;
use crate::config::{ForwardPolicy, Language, PortConfig, Secret, Telegram, UpdateSource};
use crate::event::Message;
use crate::port::PortRange;
use crate::quota::Thresholds;
use crate::state::{AccountState, Outbox, PortState};
use crate::units::shown;
use crate::walk::Walk;

/// The schema that this file follows, for files that did not say.
pub(super) const CONFIG_VERSION: &str = "4.3";

/// A whole file, with its entries where they are read along with the rest.
#[derive(Deserialize)]
#[serde(expecting = "an object with the whole configuration")]
pub(super) struct Document<Entries> {
    #[serde(default)]
    config_version: Option<Value>,
    #[serde(default)]
    interface: Option<String>,
    #[serde(default)]
    take_over_qdisc: bool,
    #[serde(default, deserialize_with = "field::forward")]
    forward: ForwardPolicy,
    #[serde(default)]
    ports: Entries,
    #[serde(default)]
    telegram: Option<TelegramDocument>,
    #[serde(default)]
    channels: Vec<ChannelDocument>,
    #[serde(default)]
    update: UpdateDocument,
    #[serde(default)]
    monitor: MonitorDocument,
    #[serde(default)]
    outbox: Vec<Message>,
    /// How far each channel has come with the outbox.
    #[serde(default)]
    delivery: BTreeMap<String, ProgressDocument>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct UpdateDocument {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct MonitorDocument {
    #[serde(default, deserialize_with = "seconds")]
    last_run_ts: u64,
    #[serde(default, deserialize_with = "whole")]
    next_message_id: u64,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct TelegramDocument {
    #[serde(default)]
    enable: bool,
    #[serde(default)]
    bot_token: String,
    #[serde(default)]
    chat_id: ChatId,
    #[serde(default)]
    api_url: String,
    #[serde(default)]
    thresholds: Option<Vec<Level>>,
    #[serde(default, deserialize_with = "count")]
    report_interval_hours: u32,
    #[serde(default, deserialize_with = "seconds")]
    last_report_ts: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    proxy: String,
    #[serde(
        default,
        deserialize_with = "delivery::language",
        serialize_with = "delivery::language_name",
        skip_serializing_if = "is_default"
    )]
    language: Language,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// An entry with a rate penalty and without a remark: there is room for so many before the first is read, since lists that
/// grow are moved.
const BYTES_OF_A_SMALL_ENTRY: usize = 850;

/// The entries, taken apart as they are read; a port that stands twice or in two ranges is refused.
#[derive(Default)]
pub(super) struct Entries {
    seen: Vec<PortRange>,
    config: Vec<(PortRange, PortConfig)>,
    state: Vec<(PortRange, PortState)>,
    accounts: Vec<(PortRange, AccountState)>,
    /// Of those entries to which something happened.
    chronicles: Vec<(PortRange, Chronicle)>,
    /// Of those entries that have some.
    extras: Vec<(PortRange, PortExtras)>,
    warnings: Vec<Warning>,
}

impl Entries {
    fn with_room(entries: usize) -> Self {
        Self {
            seen: Vec::with_capacity(entries),
            config: Vec::with_capacity(entries),
            state: Vec::with_capacity(entries),
            accounts: Vec::with_capacity(entries),
            ..Self::default()
        }
    }

    /// Notes the port among those that were seen, in their order, unless it overlaps one of them.
    fn take_place(&mut self, port: PortRange) -> Result<(), String> {
        // A file that we wrote has its entries in order, so that nothing has to be moved aside.
        let place = self.seen.partition_point(|other| *other < port);
        // Entries are disjoint, so only the neighbours in the order of the ports can overlap.
        let below = place.checked_sub(1).and_then(|below| self.seen.get(below));
        let clash = below.into_iter().chain(self.seen.get(place)).find(|other| port.overlaps(**other));
        match clash {
            Some(other) if *other == port => {
                Err(format!("port {port} stands here twice: remove one of the two entries"))
            }
            Some(other) => Err(format!(
                "{port} and {other} share a port, and a port can be metered by one entry only: change or remove one of them"
            )),
            None => {
                self.seen.insert(place, port);
                Ok(())
            }
        }
    }

    /// Puts each part of an entry to its kind.
    fn put(&mut self, port: PortRange, entry: EntryDocument<'_>) {
        let Parts { config, state, account, chronicle, extras } = entry.into_parts(port, &mut self.warnings);
        self.config.push((port, config));
        self.state.push((port, state));
        self.accounts.push((port, account));
        if !chronicle.is_empty() {
            self.chronicles.push((port, chronicle));
        }
        if !is_default(&extras) {
            self.extras.push((port, extras));
        }
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an entry for each port")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some(port) = map.next_key_seed(Parse(PhantomData))? {
            entries.take_place(port).map_err(A::Error::custom)?;
            entries.put(port, map.next_value()?);
        }
        Ok(entries)
    }
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) fn timestamp(seconds: u64) -> Option<Timestamp> {
    i64::try_from(seconds)
        .ok()
        .filter(|&seconds| seconds > 0)
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
}

pub(super) fn unix(timestamp: Option<Timestamp>) -> u64 {
    timestamp.and_then(|timestamp| u64::try_from(timestamp.as_second()).ok()).unwrap_or(0)
}

impl Document<()> {
    fn with(self, ports: Entries) -> Document<Entries> {
        let Self { config_version, interface, take_over_qdisc, forward, telegram, channels, .. } = self;
        let Self { update, monitor, outbox, delivery, extra, .. } = self;
        Document {
            config_version,
            interface,
            take_over_qdisc,
            forward,
            ports,
            telegram,
            channels,
            update,
            monitor,
            outbox,
            delivery,
            extra,
        }
    }
}

impl Document<Entries> {
    /// Reads a file whose entries have the [form](form) in which we write them.
    pub(super) fn of_our_form(text: &[u8]) -> Option<Self> {
        let mut entries = Entries::with_room(text.len() / BYTES_OF_A_SMALL_ENTRY + 1);
        let document: Document<()> = reader::read_around(text, "ports", |port, eye| {
            let port = port.parse().ok()?;
            entries.take_place(port).ok()?;
            let mut entry = EntryDocument::default();
            form::entry(eye, &mut entry).ok()?;
            entries.put(port, entry);
            Some(())
        })?;
        Some(document.with(entries))
    }

    pub(super) fn into_snapshot(self) -> Decoded {
        let mut decoded = Decoded { snapshot: Snapshot::default(), warnings: Vec::new() };
        let Snapshot { config, state, extras } = &mut decoded.snapshot;
        let warnings = &mut decoded.warnings;

        config.interface = self.interface.filter(|name| !name.is_empty());
        config.take_over_qdisc = self.take_over_qdisc;
        config.forward = self.forward;
        extras.top = self.extra;
        extras.config_version = self.config_version;
        extras.monitor = self.monitor.extra;
        config.update = UpdateSource { url: self.update.url, public_key: self.update.public_key };
        extras.update = self.update.extra;

        let telegram = self.telegram.unwrap_or_default();
        state.last_report = timestamp(telegram.last_report_ts);
        (config.telegram, extras.telegram) = telegram.into_parts(warnings);

        config.ports = self.ports.config.into_iter().collect();
        state.ports = self.ports.state.into_iter().collect();
        state.chronicles = self.ports.chronicles.into_iter().collect();
        extras.ports = self.ports.extras.into_iter().collect();
        warnings.extend(self.ports.warnings);
        let told: BTreeMap<PortRange, AccountState> = self.ports.accounts.into_iter().collect();
        let mut told = Walk::through(&told);
        let accounts = Account::all(config).into_iter().map(|account| {
            point_out_differences(&account, warnings);
            let state = told.at(&account.lead()).copied().unwrap_or_default();
            (account.id, state)
        });
        state.accounts = accounts.collect();

        config.channels = delivery::channels(self.channels);
        state.last_run = timestamp(self.monitor.last_run_ts);
        state.outbox = delivery::outbox(self.outbox, self.monitor.next_message_id, self.delivery);
        decoded
    }
}

fn point_out_differences(account: &Account<'_>, warnings: &mut Vec<Warning>) {
    let (lead, settings) = account.leader;
    for &(port, other) in &account.others {
        let same = other.quota == settings.quota
            && other.mode == settings.mode
            && other.reset_day == settings.reset_day;
        if !same {
            let group = other.group.as_ref().map_or_else(String::new, |group| shown(group.as_str()));
            warnings.push(Warning::Disagreement { lead, port, group });
        }
    }
}

impl TelegramDocument {
    fn into_parts(self, warnings: &mut Vec<Warning>) -> (Telegram, Map<String, Value>) {
        let defaults = Telegram::default();
        let thresholds = match self.thresholds {
            None => defaults.thresholds,
            Some(levels) => {
                let known = levels.iter().map(|level| level.0).filter(|&level| level > 0);
                if levels.iter().any(|level| level.0 == 0) {
                    warnings.push(Warning::ThresholdOfNothing);
                }
                Thresholds::new(known).unwrap_or(defaults.thresholds)
            }
        };
        let telegram = Telegram {
            enable: self.enable,
            bot_token: Secret::new(self.bot_token),
            chat_id: if self.chat_id.0.is_null() { defaults.chat_id } else { self.chat_id.0 },
            api_url: if self.api_url.is_empty() { defaults.api_url } else { self.api_url },
            thresholds,
            report_interval_hours: self.report_interval_hours,
            proxy: Secret::new(self.proxy),
            language: self.language,
        };
        (telegram, self.extra)
    }

    pub(super) fn of(telegram: &Telegram, last_report: Option<Timestamp>, extra: Map<String, Value>) -> Self {
        Self {
            enable: telegram.enable,
            bot_token: telegram.bot_token.expose().to_string(),
            chat_id: ChatId(telegram.chat_id.clone()),
            api_url: telegram.api_url.clone(),
            thresholds: Some(telegram.thresholds.levels().map(Level).collect()),
            report_interval_hours: telegram.report_interval_hours,
            last_report_ts: unix(last_report),
            proxy: telegram.proxy.expose().to_string(),
            language: telegram.language,
            extra,
        }
    }
}

impl UpdateDocument {
    pub(super) fn of(source: &UpdateSource, extra: Map<String, Value>) -> Self {
        Self { url: source.url.clone(), public_key: source.public_key.clone(), extra }
    }
}

impl MonitorDocument {
    pub(super) fn of(last_run: Option<Timestamp>, outbox: &Outbox, extra: Map<String, Value>) -> Self {
        Self { last_run_ts: unix(last_run), next_message_id: outbox.next_id, extra }
    }
}
