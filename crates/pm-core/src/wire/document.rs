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
use super::field::{self, ChatId, Day, GroupField, Level, Parse, Text, Whole};
use super::number::{Gigabytes, Megabits, count, day, level, seconds, whole};
use super::{Decoded, PortExtras, Snapshot, Warning};
use crate::account::Account;
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
use crate::walk::Walk;

/// The schema that this file follows, for files that did not say.
pub(super) const CONFIG_VERSION: &str = "4.3";

#[derive(Deserialize)]
#[serde(expecting = "an object with the whole configuration")]
pub(super) struct Document {
    #[serde(default)]
    config_version: Option<Value>,
    #[serde(default)]
    interface: Option<String>,
    #[serde(default)]
    take_over_qdisc: bool,
    #[serde(default, deserialize_with = "field::forward")]
    forward: ForwardPolicy,
    #[serde(default)]
    ports: Ports,
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

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct PortDocument {
    #[serde(default)]
    quota_gb: Option<Gigabytes>,
    #[serde(default, deserialize_with = "field::mode")]
    quota_mode: Mode,
    #[serde(default)]
    limit_mbps: Megabits,
    #[serde(default, deserialize_with = "day")]
    reset_day: u8,
    #[serde(default, deserialize_with = "seconds")]
    last_reset_ts: u64,
    #[serde(default)]
    comment: String,
    #[serde(default, deserialize_with = "field::group")]
    group_id: Option<GroupField>,
    #[serde(default)]
    stats: StatsDocument,
    #[serde(default)]
    dyn_limit: DynLimitDocument,
    #[serde(default)]
    notify_state: NotifyDocument,
    #[serde(default)]
    reset_mark: Option<ResetMarkDocument>,
    #[serde(default, deserialize_with = "field::chronicle")]
    events: Chronicle,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, Deserialize)]
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
    #[serde(default)]
    counters: Option<CountersDocument>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
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

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
struct DynLimitDocument {
    #[serde(default)]
    enable: bool,
    #[serde(default)]
    trigger_mbps: Option<Megabits>,
    #[serde(default, deserialize_with = "field::some_count")]
    trigger_time: Option<u32>,
    #[serde(default)]
    punish_mbps: Option<Megabits>,
    #[serde(default, deserialize_with = "field::some_count")]
    punish_time: Option<u32>,
    #[serde(default)]
    is_punished: Option<bool>,
    #[serde(default, deserialize_with = "field::some_count")]
    strike_count: Option<u32>,
    #[serde(default, deserialize_with = "field::some_seconds")]
    punish_end_ts: Option<u64>,
    /// The minutes that were not judged yet: since when, and what passed.
    #[serde(default)]
    window: Option<WindowDocument>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct WindowDocument {
    #[serde(deserialize_with = "whole")]
    since_ms: u64,
    #[serde(deserialize_with = "whole")]
    bytes: u64,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct NotifyDocument {
    #[serde(default, deserialize_with = "level")]
    quota_level: u8,
    #[expect(
        dead_code,
        reason = "the penalty itself says so; read here, it is not taken for an unknown field"
    )]
    #[serde(default)]
    punish_notified: bool,
    #[expect(dead_code, reason = "see `punish_notified`")]
    #[serde(default = "field::yes")]
    recover_notified: bool,
    #[serde(default)]
    block_notified: Option<bool>,
    #[serde(default)]
    cut_off: Option<CutOffDocument>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
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

#[derive(Deserialize)]
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

/// The figures of a `dyn_limit` that make no whole policy. They are written back as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) trigger: Option<Megabits>,
    pub(super) minutes: Option<u32>,
    pub(super) penalty: Option<Megabits>,
    pub(super) duration: Option<u32>,
    pub(super) has_state: bool,
}

/// The entries, taken apart as they are read; a port that stands twice or in two ranges is refused.
#[derive(Default)]
struct Ports {
    config: Vec<(PortRange, PortConfig)>,
    state: Vec<(PortRange, PortState)>,
    accounts: Vec<(PortRange, AccountState)>,
    /// Of those entries to which something happened.
    chronicles: Vec<(PortRange, Chronicle)>,
    /// Of those entries that have some.
    extras: Vec<(PortRange, PortExtras)>,
    warnings: Vec<Warning>,
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
        let (mut ports, mut seen) = (Ports::default(), Vec::new());
        while let Some(port) = map.next_key_seed(Parse::<PortRange>(PhantomData))? {
            take_place(&mut seen, port).map_err(A::Error::custom)?;
            map.next_value::<PortDocument>()?.into_parts(port, &mut ports);
        }
        Ok(ports)
    }
}

/// Notes the port among those that were seen, in their order, unless it overlaps one of them.
fn take_place(seen: &mut Vec<PortRange>, port: PortRange) -> Result<(), String> {
    // A file that we wrote has its entries in order, so that nothing has to be moved aside.
    let place = seen.partition_point(|other| *other < port);
    // Entries are disjoint, so only the neighbours in the order of the ports can overlap.
    let below = place.checked_sub(1).and_then(|below| seen.get(below));
    let clash = below.into_iter().chain(seen.get(place)).find(|other| port.overlaps(**other));
    match clash {
        Some(other) if *other == port => {
            Err(format!("port {port} stands here twice: remove one of the two entries"))
        }
        Some(other) => Err(format!(
            "{port} and {other} share a port, and a port can be metered by one entry only: change or remove one of them"
        )),
        None => {
            seen.insert(place, port);
            Ok(())
        }
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

impl PortDocument {
    /// Puts each part to its kind.
    fn into_parts(self, port: PortRange, parts: &mut Ports) {
        let names_no_group = matches!(self.group_id, Some(GroupField(None)));
        let group = self.group_id.and_then(|field| field.0);
        if self.quota_gb == Some(Gigabytes(Bytes(0))) {
            parts.warnings.push(Warning::QuotaOfNothing(port));
        }
        let (dynqos, dynqos_state, window, figures, dyn_extra) =
            self.dyn_limit.into_parts(port, &mut parts.warnings);
        let config = PortConfig {
            quota: self.quota_gb.map(|quota| quota.0),
            mode: self.quota_mode,
            limit: (self.limit_mbps != Megabits::default()).then_some(self.limit_mbps.0),
            reset_day: ResetDay::new(self.reset_day),
            comment: self.comment,
            group,
            dynqos,
        };
        if ClassId::of(port).is_none() && (config.limit.is_some() || config.dynqos.enabled) {
            parts.warnings.push(Warning::ReservedClass(port));
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
        let extras = PortExtras {
            port: self.extra,
            stats: stats_extra,
            dyn_limit: dyn_extra,
            notify_state: notify.extra,
            names_no_group,
            figures,
        };
        parts.config.push((port, config));
        parts.state.push((port, PortState { ledger, dynqos: dynqos_state, window, last_reset }));
        parts.accounts.push((port, account));
        if !self.events.is_empty() {
            parts.chronicles.push((port, self.events));
        }
        if !is_default(&extras) {
            parts.extras.push((port, extras));
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
        let has_state =
            self.is_punished.is_some() || self.strike_count.is_some() || self.punish_end_ts.is_some();
        let figures = if policy.is_some() {
            Figures::default()
        } else {
            Figures {
                trigger: self.trigger_mbps,
                minutes: self.trigger_time,
                penalty: self.punish_mbps,
                duration: self.punish_time,
                has_state,
            }
        };
        (config, state, window, figures, self.extra)
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
