//! The shapes of config.json, and the way between them and what the rest of the crate works with.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::delivery::{self, ChannelDocument, ProgressDocument};
use super::field::{self, ChatId, Day, GroupField, Level, Parse, Text, Whole};
use super::number::{Gigabytes, Megabits, count, day, level, seconds, whole};
use super::{Decoded, PortExtras, Snapshot, Warning};
use crate::account::{Account, AccountId};
use crate::accounting::{BootId, CounterId, Ledger, Mark, Meter};
use crate::chronicle::Chronicle;
use crate::config::{DynQosConfig, ForwardPolicy, Language, PortConfig, Secret, Telegram, UpdateSource};
use crate::dynqos::{DynQos, DynQosPolicy, RateWindow};
use crate::event::Message;
use crate::port::{ClassId, PortRange};
use crate::quota::{Cutoff, Mode, Thresholds};
use crate::reset::{ResetDay, ResetMark};
use crate::state::{AccountState, Outbox, PortState};
use crate::units::{Bytes, shown};

/// The schema that this file follows, for files that did not say.
const CONFIG_VERSION: &str = "4.3";

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object with the whole configuration")]
pub(super) struct Document {
    #[serde(default)]
    config_version: Option<Value>,
    #[serde(default)]
    interface: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    take_over_qdisc: bool,
    #[serde(default, deserialize_with = "field::forward", skip_serializing_if = "is_default")]
    forward: ForwardPolicy,
    #[serde(default)]
    ports: Ports,
    #[serde(default)]
    telegram: Option<TelegramDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    channels: Vec<ChannelDocument>,
    #[serde(default, skip_serializing_if = "is_default")]
    update: UpdateDocument,
    #[serde(default)]
    monitor: MonitorDocument,
    #[serde(default)]
    outbox: Vec<Message>,
    /// How far each channel has come with the outbox.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    delivery: BTreeMap<String, ProgressDocument>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct UpdateDocument {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct MonitorDocument {
    #[serde(default, deserialize_with = "seconds")]
    last_run_ts: u64,
    #[serde(default, deserialize_with = "whole")]
    next_message_id: u64,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct PortDocument {
    #[serde(default)]
    quota_gb: Option<Gigabytes>,
    #[serde(default)]
    quota_mode: String,
    #[serde(default)]
    limit_mbps: Megabits,
    #[serde(default, deserialize_with = "day")]
    reset_day: u8,
    #[serde(default, deserialize_with = "seconds")]
    last_reset_ts: u64,
    #[serde(default)]
    comment: String,
    #[serde(default, deserialize_with = "field::group", skip_serializing_if = "Option::is_none")]
    group_id: Option<GroupField>,
    #[serde(default)]
    stats: StatsDocument,
    #[serde(default)]
    dyn_limit: DynLimitDocument,
    #[serde(default)]
    notify_state: NotifyDocument,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset_mark: Option<ResetMarkDocument>,
    #[serde(default, deserialize_with = "field::chronicle", skip_serializing_if = "Chronicle::is_empty")]
    events: Chronicle,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct StatsDocument {
    #[serde(default, deserialize_with = "whole")]
    acc_in: u64,
    #[serde(default, deserialize_with = "whole")]
    acc_out: u64,
    #[serde(default, deserialize_with = "whole")]
    last_kernel_in: u64,
    #[serde(default, deserialize_with = "whole")]
    last_kernel_out: u64,
    /// Which counters `last_kernel_*` were read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counters: Option<CountersDocument>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct CountersDocument {
    boot: Text<BootId>,
    #[serde(deserialize_with = "whole")]
    table: u64,
    #[serde(rename = "in", default)]
    inbound: Option<Whole>,
    #[serde(rename = "out", default)]
    outbound: Option<Whole>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct DynLimitDocument {
    #[serde(default)]
    enable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trigger_mbps: Option<Megabits>,
    #[serde(default, deserialize_with = "field::some_count", skip_serializing_if = "Option::is_none")]
    trigger_time: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    punish_mbps: Option<Megabits>,
    #[serde(default, deserialize_with = "field::some_count", skip_serializing_if = "Option::is_none")]
    punish_time: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_punished: Option<bool>,
    #[serde(default, deserialize_with = "field::some_count", skip_serializing_if = "Option::is_none")]
    strike_count: Option<u32>,
    #[serde(default, deserialize_with = "field::some_seconds", skip_serializing_if = "Option::is_none")]
    punish_end_ts: Option<u64>,
    /// The minutes that were not judged yet: since when, and what passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<WindowDocument>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct WindowDocument {
    #[serde(deserialize_with = "whole")]
    since_ms: u64,
    #[serde(deserialize_with = "whole")]
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct NotifyDocument {
    #[serde(default, deserialize_with = "level")]
    quota_level: u8,
    #[serde(default)]
    punish_notified: bool,
    #[serde(default = "field::yes")]
    recover_notified: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_notified: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cut_off: Option<CutOffDocument>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct CutOffDocument {
    #[serde(deserialize_with = "whole")]
    used: u64,
    #[serde(deserialize_with = "whole")]
    limit: u64,
}

impl Default for NotifyDocument {
    fn default() -> Self {
        Self {
            quota_level: 0,
            punish_notified: false,
            recover_notified: true,
            block_notified: None,
            cut_off: None,
            extra: Map::new(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct ResetMarkDocument {
    #[serde(deserialize_with = "day")]
    day: u8,
    #[serde(deserialize_with = "seconds")]
    done_ts: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    date: Option<Text<Day>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct TelegramDocument {
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

/// The figures of a `dyn_limit` that make no whole policy. They are written back as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    trigger: Option<Megabits>,
    minutes: Option<u32>,
    penalty: Option<Megabits>,
    duration: Option<u32>,
    has_state: bool,
}

/// The entries, in the order of their ports; a port that stands twice or in two ranges is refused.
#[derive(Default)]
struct Ports(BTreeMap<PortRange, Box<PortDocument>>);

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PortsVisitor)
    }
}

struct PortsVisitor;

impl<'de> Visitor<'de> for PortsVisitor {
    type Value = Ports;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an entry for each port")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ports, A::Error> {
        let mut ports = BTreeMap::new();
        while let Some(port) = map.next_key_seed(Parse::<PortRange>(PhantomData))? {
            // Entries are disjoint, so only the neighbours in the order of the ports can overlap.
            let below = ports.range(..=port).next_back();
            let above = ports.range(port..).next();
            let clash =
                below.into_iter().chain(above).map(|(&other, _)| other).find(|other| port.overlaps(*other));
            match clash {
                Some(other) if other == port => {
                    return Err(A::Error::custom(format!(
                        "port {port} stands here twice: remove one of the two entries"
                    )));
                }
                Some(other) => {
                    return Err(A::Error::custom(format!(
                        "{port} and {other} share a port, and a port can be metered by one entry only: change or remove one of them"
                    )));
                }
                None => ports.insert(port, map.next_value()?),
            };
        }
        Ok(Ports(ports))
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

impl Document {
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

        let mut account_states = BTreeMap::new();
        for (port, document) in self.ports.0 {
            let entry = document.into_entry(port, warnings);
            config.ports.insert(port, entry.config);
            state.ports.insert(port, entry.state);
            if !entry.chronicle.is_empty() {
                state.chronicles.insert(port, entry.chronicle);
            }
            account_states.insert(port, entry.account);
            extras.ports.insert(port, entry.extras);
        }
        for account in Account::all(config) {
            point_out_differences(&account, warnings);
            let account_state = account_states.get(&account.lead()).copied().unwrap_or_default();
            state.accounts.insert(account.id, account_state);
        }

        config.channels = delivery::channels(self.channels);
        state.last_run = timestamp(self.monitor.last_run_ts);
        let after_last = self.outbox.iter().map(|message| message.id.saturating_add(1)).max().unwrap_or(0);
        let next_id = self.monitor.next_message_id.max(after_last);
        let progress = delivery::progress(self.delivery, next_id);
        state.outbox = Outbox { messages: self.outbox, next_id, progress };
        decoded
    }

    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let Snapshot { config, state, extras } = snapshot;
        let ports = config.ports.iter().map(|(&port, settings)| {
            let port_state = state.ports.get(&port).copied().unwrap_or_default();
            let account = state.accounts.get(&AccountId::of(port, settings)).copied().unwrap_or_default();
            let extras = extras.ports.get(&port).cloned().unwrap_or_default();
            let document = PortDocument::of(settings, &port_state, &account, extras);
            let events = state.chronicles.get(&port).cloned().unwrap_or_default();
            (port, Box::new(PortDocument { events, ..document }))
        });
        Self {
            config_version: Some(extras.config_version.clone().unwrap_or_else(|| CONFIG_VERSION.into())),
            interface: Some(config.interface.clone().unwrap_or_default()),
            take_over_qdisc: config.take_over_qdisc,
            forward: config.forward,
            ports: Ports(ports.collect()),
            telegram: Some(TelegramDocument::of(
                &config.telegram,
                state.last_report,
                extras.telegram.clone(),
            )),
            channels: delivery::channel_documents(&config.channels),
            update: UpdateDocument {
                url: config.update.url.clone(),
                public_key: config.update.public_key.clone(),
                extra: extras.update.clone(),
            },
            monitor: MonitorDocument {
                last_run_ts: unix(state.last_run),
                next_message_id: state.outbox.next_id,
                extra: extras.monitor.clone(),
            },
            outbox: state.outbox.messages.clone(),
            delivery: delivery::progress_documents(&state.outbox.progress),
            extra: extras.top.clone(),
        }
    }
}

fn point_out_differences(account: &Account<'_>, warnings: &mut Vec<Warning>) {
    let (lead, settings) = account.members[0];
    for &(port, other) in &account.members[1..] {
        let same = other.quota == settings.quota
            && other.mode == settings.mode
            && other.reset_day == settings.reset_day;
        if !same {
            let group = other.group.as_ref().map_or_else(String::new, |group| shown(group.as_str()));
            warnings.push(Warning::Disagreement { lead, port, group });
        }
    }
}

struct Entry {
    config: PortConfig,
    state: PortState,
    account: AccountState,
    chronicle: Chronicle,
    extras: PortExtras,
}

impl PortDocument {
    fn into_entry(self, port: PortRange, warnings: &mut Vec<Warning>) -> Entry {
        let names_no_group = matches!(self.group_id, Some(GroupField(None)));
        let group = self.group_id.and_then(|field| field.0);
        if self.quota_gb == Some(Gigabytes(Bytes(0))) {
            warnings.push(Warning::QuotaOfNothing(port));
        }
        let (dynqos, dynqos_state, window, figures, dyn_extra) = self.dyn_limit.into_parts(port, warnings);
        let config = PortConfig {
            quota: self.quota_gb.map(|quota| quota.0),
            mode: if self.quota_mode == Mode::OutOnly.name() { Mode::OutOnly } else { Mode::Both },
            limit: (self.limit_mbps != Megabits::default()).then_some(self.limit_mbps.0),
            reset_day: ResetDay::new(self.reset_day),
            comment: self.comment,
            group,
            dynqos,
        };
        if ClassId::of(port).is_none() && (config.limit.is_some() || config.dynqos.enabled) {
            warnings.push(Warning::ReservedClass(port));
        }
        let last_reset = timestamp(self.last_reset_ts);
        let reset = match self.reset_mark {
            Some(mark) => ResetMark {
                day: ResetDay::new(mark.day),
                done: timestamp(mark.done_ts),
                date: mark.date.map(|Text(Day(date))| date),
            },
            None => ResetMark { day: config.reset_day, done: last_reset, date: None },
        };
        let notify = self.notify_state;
        let account = AccountState {
            level: notify.quota_level,
            block_told: notify.block_notified.unwrap_or(notify.quota_level >= 100),
            cutoff: notify
                .cut_off
                .map(|cutoff| Cutoff { used: Bytes(cutoff.used), limit: Bytes(cutoff.limit) }),
            reset,
        };
        let (ledger, stats_extra) = self.stats.into_parts();
        Entry {
            config,
            state: PortState { ledger, dynqos: dynqos_state, window, last_reset },
            account,
            chronicle: self.events,
            extras: PortExtras {
                port: self.extra,
                stats: stats_extra,
                dyn_limit: dyn_extra,
                notify_state: notify.extra,
                names_no_group,
                figures,
            },
        }
    }

    fn of(config: &PortConfig, state: &PortState, account: &AccountState, extras: PortExtras) -> Self {
        let punished = state.dynqos.is_punished();
        Self {
            quota_gb: config.quota.map(Gigabytes),
            quota_mode: config.mode.name().to_string(),
            limit_mbps: Megabits(config.limit.unwrap_or_default()),
            reset_day: config.reset_day.map_or(0, ResetDay::day),
            last_reset_ts: unix(state.last_reset),
            comment: config.comment.clone(),
            group_id: match &config.group {
                Some(group) => Some(GroupField(Some(group.clone()))),
                None => extras.names_no_group.then_some(GroupField(None)),
            },
            stats: StatsDocument::of(&state.ledger, extras.stats),
            dyn_limit: DynLimitDocument::of(&config.dynqos, state, extras.figures, extras.dyn_limit),
            notify_state: NotifyDocument {
                quota_level: account.level,
                punish_notified: punished,
                recover_notified: !punished,
                block_notified: Some(account.block_told),
                cut_off: account
                    .cutoff
                    .map(|cutoff| CutOffDocument { used: cutoff.used.0, limit: cutoff.limit.0 }),
                extra: extras.notify_state,
            },
            reset_mark: Some(ResetMarkDocument {
                day: account.reset.day.map_or(0, ResetDay::day),
                done_ts: unix(account.reset.done),
                date: account.reset.date.map(|date| Text(Day(date))),
            }),
            events: Chronicle::default(),
            extra: extras.port,
        }
    }
}

impl StatsDocument {
    fn into_parts(self) -> (Ledger, Map<String, Value>) {
        let known = self.counters.map(|counters| {
            let id = |counter: Whole| CounterId {
                boot: counters.boot.0,
                table: counters.table,
                counter: counter.0,
            };
            (counters.inbound.map(id), counters.outbound.map(id))
        });
        let meter = |used: u64, last: u64, origin: Option<Option<CounterId>>| Meter {
            used: Bytes(used),
            mark: match origin {
                // Written by us, without a counter: there was none.
                Some(None) => None,
                Some(Some(origin)) => Some(Mark { bytes: Bytes(last), origin: Some(origin) }),
                None => Some(Mark { bytes: Bytes(last), origin: None }),
            },
        };
        let ledger = Ledger {
            inbound: meter(self.acc_in, self.last_kernel_in, known.map(|(inbound, _)| inbound)),
            outbound: meter(self.acc_out, self.last_kernel_out, known.map(|(_, outbound)| outbound)),
        };
        (ledger, self.extra)
    }

    fn of(ledger: &Ledger, extra: Map<String, Value>) -> Self {
        let origin = |meter: &Meter| meter.mark.and_then(|mark| mark.origin);
        let last = |meter: &Meter| meter.mark.map_or(0, |mark| mark.bytes.0);
        let (inbound, outbound) = (origin(&ledger.inbound), origin(&ledger.outbound));
        Self {
            acc_in: ledger.inbound.used.0,
            acc_out: ledger.outbound.used.0,
            last_kernel_in: last(&ledger.inbound),
            last_kernel_out: last(&ledger.outbound),
            counters: inbound.or(outbound).map(|either| CountersDocument {
                boot: Text(either.boot),
                table: either.table,
                inbound: inbound.map(|id| Whole(id.counter)),
                outbound: outbound.map(|id| Whole(id.counter)),
            }),
            extra,
        }
    }
}

impl DynLimitDocument {
    fn into_parts(
        self,
        port: PortRange,
        warnings: &mut Vec<Warning>,
    ) -> (DynQosConfig, DynQos, RateWindow, Figures, Map<String, Value>) {
        let policy = match (self.trigger_mbps, self.trigger_time, self.punish_mbps, self.punish_time) {
            (Some(trigger), Some(minutes), Some(penalty), Some(duration)) => {
                Some(DynQosPolicy { trigger: trigger.0, minutes, penalty: penalty.0, duration })
            }
            _ => None,
        };
        let config = DynQosConfig { enabled: self.enable, policy };
        if config.enabled && config.active().is_none() {
            warnings.push(Warning::IdlePenalty(port));
        }
        let end = self.punish_end_ts.and_then(timestamp).filter(|_| self.is_punished == Some(true));
        let state = match end {
            Some(until) => DynQos::Punished { until },
            None => DynQos::Watching { strikes: self.strike_count.unwrap_or(0) },
        };
        let window = self.window.map_or(RateWindow::default(), |window| RateWindow {
            since: i64::try_from(window.since_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            bytes: Bytes(window.bytes),
        });
        let figures = Figures {
            trigger: self.trigger_mbps,
            minutes: self.trigger_time,
            penalty: self.punish_mbps,
            duration: self.punish_time,
            has_state: self.is_punished.is_some()
                || self.strike_count.is_some()
                || self.punish_end_ts.is_some(),
        };
        (config, state, window, figures, self.extra)
    }

    fn of(config: &DynQosConfig, state: &PortState, figures: Figures, extra: Map<String, Value>) -> Self {
        let figures = config.policy.map_or(figures, |policy| Figures {
            trigger: Some(Megabits(policy.trigger)),
            minutes: Some(policy.minutes),
            penalty: Some(Megabits(policy.penalty)),
            duration: Some(policy.duration),
            has_state: true,
        });
        let has_state = figures.has_state || state.dynqos != DynQos::default();
        let (strikes, end) = match state.dynqos {
            DynQos::Watching { strikes } => (strikes, None),
            DynQos::Punished { until } => (0, Some(until)),
        };
        let window = state.window.since.filter(|_| config.active().is_some());
        Self {
            enable: config.enabled,
            trigger_mbps: figures.trigger,
            trigger_time: figures.minutes,
            punish_mbps: figures.penalty,
            punish_time: figures.duration,
            is_punished: has_state.then_some(state.dynqos.is_punished()),
            strike_count: has_state.then_some(strikes),
            punish_end_ts: has_state.then_some(unix(end)),
            window: window
                .and_then(|since| u64::try_from(since.as_millisecond()).ok())
                .map(|since_ms| WindowDocument { since_ms, bytes: state.window.bytes.0 }),
            extra,
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

    fn of(telegram: &Telegram, last_report: Option<Timestamp>, extra: Map<String, Value>) -> Self {
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
