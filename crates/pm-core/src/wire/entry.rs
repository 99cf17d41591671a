//! The shape of an entry of config.json, and the ways between it and what the rest of the crate works with.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::document::{timestamp, unix};
use super::field::{self, Date, GroupField, ModeName, Text};
use super::number::{Count, Day, Gigabytes, Level, Megabits, Seconds, Whole};
use super::pen::Plain;
use super::{PortExtras, Warning};
use crate::accounting::{BootId, CounterId, Ledger, Mark, Meter};
use crate::chronicle::Chronicle;
use crate::config::{DynQosConfig, PortConfig};
use crate::dynqos::{DynQos, DynQosPolicy, RateWindow};
use crate::port::{ClassId, PortRange};
use crate::quota::Cutoff;
use crate::reset::{ResetDay, ResetMark};
use crate::state::{AccountState, PortState};
use crate::units::Bytes;

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct EntryDocument<'a> {
    #[serde(default)]
    pub(super) quota_gb: Option<Gigabytes>,
    #[serde(default)]
    pub(super) quota_mode: ModeName,
    #[serde(default)]
    pub(super) limit_mbps: Megabits,
    #[serde(default)]
    pub(super) reset_day: Day,
    #[serde(default)]
    pub(super) last_reset_ts: Seconds,
    #[serde(default)]
    pub(super) comment: Cow<'a, str>,
    #[serde(default, deserialize_with = "field::there")]
    pub(super) group_id: Option<GroupField>,
    #[serde(default)]
    pub(super) stats: StatsDocument<'a>,
    #[serde(default)]
    pub(super) dyn_limit: DynLimitDocument,
    #[serde(default)]
    pub(super) notify_state: NotifyDocument,
    #[serde(default)]
    pub(super) reset_mark: Option<ResetMarkDocument>,
    #[serde(default, deserialize_with = "field::there")]
    pub(super) events: Option<Events<'a>>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct StatsDocument<'a> {
    #[serde(default)]
    pub(super) acc_in: Whole,
    #[serde(default)]
    pub(super) acc_out: Whole,
    #[serde(default)]
    pub(super) last_kernel_in: Whole,
    #[serde(default)]
    pub(super) last_kernel_out: Whole,
    /// Which counters `last_kernel_*` were read from.
    #[serde(default)]
    pub(super) counters: Option<CountersDocument<'a>>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct CountersDocument<'a> {
    pub(super) boot: Boot<'a>,
    pub(super) table: Whole,
    #[serde(rename = "in", default)]
    pub(super) inbound: Option<Whole>,
    #[serde(rename = "out", default)]
    pub(super) outbound: Option<Whole>,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct DynLimitDocument {
    #[serde(default)]
    pub(super) enable: bool,
    #[serde(default)]
    pub(super) trigger_mbps: Option<Megabits>,
    #[serde(default, deserialize_with = "field::there")]
    pub(super) trigger_time: Option<Count>,
    #[serde(default)]
    pub(super) punish_mbps: Option<Megabits>,
    #[serde(default, deserialize_with = "field::there")]
    pub(super) punish_time: Option<Count>,
    #[serde(default)]
    pub(super) is_punished: Option<bool>,
    #[serde(default, deserialize_with = "field::there")]
    pub(super) strike_count: Option<Count>,
    #[serde(default, deserialize_with = "field::there")]
    pub(super) punish_end_ts: Option<Seconds>,
    /// The minutes that were not judged yet: since when, and what passed.
    #[serde(default)]
    pub(super) window: Option<WindowDocument>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct WindowDocument {
    pub(super) since_ms: Whole,
    pub(super) bytes: Whole,
}

/// The penalty itself says whether it was told: the two fields about that are written for others, and read for nobody.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct NotifyDocument {
    #[serde(default)]
    pub(super) quota_level: Level,
    #[serde(default)]
    pub(super) punish_notified: bool,
    #[serde(default = "field::yes")]
    pub(super) recover_notified: bool,
    #[serde(default)]
    pub(super) block_notified: Option<bool>,
    #[serde(default)]
    pub(super) cut_off: Option<CutOffDocument>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct CutOffDocument {
    pub(super) used: Whole,
    pub(super) limit: Whole,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct ResetMarkDocument {
    pub(super) day: Day,
    pub(super) done_ts: Seconds,
    #[serde(default)]
    pub(super) date: Option<Text<Date>>,
}

/// A run of the machine. Its text is needed to be written only.
#[derive(Default)]
pub(super) struct Boot<'a> {
    id: BootId,
    text: &'a str,
}

impl<'de> Deserialize<'de> for Boot<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|Text(id)| Self { id, text: "" })
    }
}

impl Plain for Boot<'_> {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        self.text.write(text);
    }
}

/// The texts of the runs of the machine. Nearly all counters were read in the same one, so the last text is kept.
#[derive(Default)]
pub(super) struct Boots(Option<(BootId, String)>);

impl Boots {
    fn text(&mut self, boot: BootId) -> &str {
        let known = self.0.take().filter(|(known, _)| *known == boot);
        &self.0.insert(known.unwrap_or_else(|| (boot, boot.to_string()))).1
    }
}

/// What happened to an entry.
#[derive(Default)]
pub(super) struct Events<'a>(Cow<'a, Chronicle>);

impl<'de> Deserialize<'de> for Events<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        field::chronicle(deserializer).map(|chronicle| Self(Cow::Owned(chronicle)))
    }
}

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The figures of a `dyn_limit` that make no whole policy. They are written back as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    trigger: Option<Megabits>,
    minutes: Option<Count>,
    penalty: Option<Megabits>,
    duration: Option<Count>,
    has_state: bool,
}

/// What an entry says, by its kinds.
pub(super) struct Parts {
    pub(super) config: PortConfig,
    pub(super) state: PortState,
    pub(super) account: AccountState,
    pub(super) chronicle: Chronicle,
    pub(super) extras: PortExtras,
}

impl Default for NotifyDocument {
    fn default() -> Self {
        Self {
            quota_level: Level::default(),
            punish_notified: false,
            recover_notified: true,
            block_notified: None,
            cut_off: None,
            extra: Map::new(),
        }
    }
}

impl<'a> EntryDocument<'a> {
    /// An entry as it is written, but for fields that nobody knows.
    pub(super) fn of(
        config: &'a PortConfig,
        state: &PortState,
        account: &AccountState,
        events: Option<&'a Chronicle>,
        extras: &PortExtras,
        boots: &'a mut Boots,
    ) -> Self {
        let names_group = config.group.is_some() || extras.names_no_group;
        let events = events.filter(|events| !events.is_empty());
        Self {
            quota_gb: config.quota.map(Gigabytes),
            quota_mode: ModeName(config.mode),
            limit_mbps: Megabits(config.limit.unwrap_or_default()),
            reset_day: Day::of(config.reset_day),
            last_reset_ts: Seconds(unix(state.last_reset)),
            comment: Cow::Borrowed(&config.comment),
            group_id: names_group.then(|| GroupField(config.group.clone())),
            stats: StatsDocument::of(&state.ledger, boots),
            dyn_limit: DynLimitDocument::of(&config.dynqos, state, extras.figures),
            notify_state: NotifyDocument::of(account, state.dynqos.is_punished()),
            reset_mark: Some(ResetMarkDocument::of(account.reset)),
            events: events.map(|events| Events(Cow::Borrowed(events))),
            extra: Map::new(),
        }
    }

    /// Takes it apart.
    pub(super) fn into_parts(self, port: PortRange, warnings: &mut Vec<Warning>) -> Parts {
        let names_no_group = matches!(self.group_id, Some(GroupField(None)));
        let group = self.group_id.and_then(|field| field.0);
        if self.quota_gb == Some(Gigabytes(Bytes(0))) {
            warnings.push(Warning::QuotaOfNothing(port));
        }
        let (dynqos, dynqos_state, window, figures, dyn_extra) = self.dyn_limit.into_parts(port, warnings);
        let config = PortConfig {
            quota: self.quota_gb.map(|quota| quota.0),
            mode: self.quota_mode.0,
            limit: (self.limit_mbps != Megabits::default()).then_some(self.limit_mbps.0),
            reset_day: ResetDay::new(self.reset_day.0),
            comment: self.comment.into_owned(),
            group,
            dynqos,
        };
        if ClassId::of(port).is_none() && (config.limit.is_some() || config.dynqos.enabled) {
            warnings.push(Warning::ReservedClass(port));
        }
        let last_reset = timestamp(self.last_reset_ts.0);
        let reset = match self.reset_mark {
            Some(mark) => mark.into(),
            None => ResetMark { day: config.reset_day, done: last_reset, date: None },
        };
        let notify = self.notify_state;
        let account = AccountState {
            level: notify.quota_level.0,
            block_told: notify.block_notified.unwrap_or(notify.quota_level.0 >= 100),
            cutoff: notify
                .cut_off
                .map(|cutoff| Cutoff { used: Bytes(cutoff.used.0), limit: Bytes(cutoff.limit.0) }),
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
        let state = PortState { ledger, dynqos: dynqos_state, window, last_reset };
        let chronicle = self.events.unwrap_or_default().0.into_owned();
        Parts { config, state, account, chronicle, extras }
    }
}

impl<'a> StatsDocument<'a> {
    fn of(ledger: &Ledger, boots: &'a mut Boots) -> Self {
        let origin = |meter: &Meter| meter.mark.and_then(|mark| mark.origin);
        let last = |meter: &Meter| Whole(meter.mark.map_or(0, |mark| mark.bytes.0));
        let (inbound, outbound) = (origin(&ledger.inbound), origin(&ledger.outbound));
        let counters = inbound.or(outbound).map(|either| CountersDocument {
            boot: Boot { id: either.boot, text: boots.text(either.boot) },
            table: Whole(either.table),
            inbound: inbound.map(|id| Whole(id.counter)),
            outbound: outbound.map(|id| Whole(id.counter)),
        });
        Self {
            acc_in: Whole(ledger.inbound.used.0),
            acc_out: Whole(ledger.outbound.used.0),
            last_kernel_in: last(&ledger.inbound),
            last_kernel_out: last(&ledger.outbound),
            counters,
            extra: Map::new(),
        }
    }

    fn into_parts(self) -> (Ledger, Map<String, Value>) {
        let known = self.counters.map(|counters| {
            let id = |counter: Whole| CounterId {
                boot: counters.boot.id,
                table: counters.table.0,
                counter: counter.0,
            };
            (counters.inbound.map(id), counters.outbound.map(id))
        });
        let meter = |used: Whole, last: Whole, origin: Option<Option<CounterId>>| Meter {
            used: Bytes(used.0),
            mark: match origin {
                // Written by us, without a counter: there was none.
                Some(None) => None,
                Some(Some(origin)) => Some(Mark { bytes: Bytes(last.0), origin: Some(origin) }),
                None => Some(Mark { bytes: Bytes(last.0), origin: None }),
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
    fn of(config: &DynQosConfig, state: &PortState, figures: Figures) -> Self {
        let figures = config.policy.map_or(figures, |policy| Figures {
            trigger: Some(Megabits(policy.trigger)),
            minutes: Some(Count(policy.minutes)),
            penalty: Some(Megabits(policy.penalty)),
            duration: Some(Count(policy.duration)),
            has_state: true,
        });
        let (strikes, end) = match state.dynqos {
            DynQos::Watching { strikes } => (strikes, None),
            DynQos::Punished { until } => (0, Some(until)),
        };
        let has_state = figures.has_state || state.dynqos != DynQos::default();
        let since = state.window.since.filter(|_| config.active().is_some());
        let since = since.and_then(|since| u64::try_from(since.as_millisecond()).ok());
        Self {
            enable: config.enabled,
            trigger_mbps: figures.trigger,
            trigger_time: figures.minutes,
            punish_mbps: figures.penalty,
            punish_time: figures.duration,
            is_punished: has_state.then_some(end.is_some()),
            strike_count: has_state.then_some(Count(strikes)),
            punish_end_ts: has_state.then_some(Seconds(unix(end))),
            window: since
                .map(|since| WindowDocument { since_ms: Whole(since), bytes: Whole(state.window.bytes.0) }),
            extra: Map::new(),
        }
    }

    fn into_parts(
        self,
        port: PortRange,
        warnings: &mut Vec<Warning>,
    ) -> (DynQosConfig, DynQos, RateWindow, Figures, Map<String, Value>) {
        let policy = match (self.trigger_mbps, self.trigger_time, self.punish_mbps, self.punish_time) {
            (Some(trigger), Some(minutes), Some(penalty), Some(duration)) => Some(DynQosPolicy {
                trigger: trigger.0,
                minutes: minutes.0,
                penalty: penalty.0,
                duration: duration.0,
            }),
            _ => None,
        };
        let config = DynQosConfig { enabled: self.enable, policy };
        if config.enabled && config.active().is_none() {
            warnings.push(Warning::IdlePenalty(port));
        }
        let end = self.punish_end_ts.and_then(|end| timestamp(end.0));
        let state = match end.filter(|_| self.is_punished == Some(true)) {
            Some(until) => DynQos::Punished { until },
            None => DynQos::Watching { strikes: self.strike_count.map_or(0, |strikes| strikes.0) },
        };
        let window = self.window.map_or(RateWindow::default(), |window| RateWindow {
            since: timestamp_of_ms(window.since_ms),
            bytes: Bytes(window.bytes.0),
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

fn timestamp_of_ms(since: Whole) -> Option<jiff::Timestamp> {
    i64::try_from(since.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
}

impl NotifyDocument {
    fn of(account: &AccountState, punished: bool) -> Self {
        Self {
            quota_level: Level(account.level),
            punish_notified: punished,
            recover_notified: !punished,
            block_notified: Some(account.block_told),
            cut_off: account
                .cutoff
                .map(|cutoff| CutOffDocument { used: Whole(cutoff.used.0), limit: Whole(cutoff.limit.0) }),
            extra: Map::new(),
        }
    }
}

impl ResetMarkDocument {
    fn of(mark: ResetMark) -> Self {
        Self {
            day: Day::of(mark.day),
            done_ts: Seconds(unix(mark.done)),
            date: mark.date.map(|date| Text(Date(date))),
        }
    }
}

impl From<ResetMarkDocument> for ResetMark {
    fn from(mark: ResetMarkDocument) -> Self {
        Self {
            day: ResetDay::new(mark.day.0),
            done: timestamp(mark.done_ts.0),
            date: mark.date.map(|Text(Date(date))| date),
        }
    }
}
