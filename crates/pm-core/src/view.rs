//! What is shown: the entries with their live figures, in the JSON form that scripts rely on.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jiff::{Timestamp, Zoned};
use serde::Serialize;
use serde_json::Number;

use crate::account::Account;
use crate::chronicle::Chronicle;
use crate::config::{Config, DynQosConfig, PortConfig};
use crate::desired::speed;
use crate::dynqos::DynQos;
use crate::port::PortRange;
use crate::quota::Mode;
use crate::reset::{Calendar, ResetDay};
use crate::state::State;
use crate::units::{Bytes, Percent, Rate};
use crate::wire::megabits;

/// All entries, and when the monitor last ran: `pm list --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// In the order of the ports.
    pub ports: Vec<PortView>,
    /// The monitor.
    pub monitor: MonitorView,
}

/// The monitor, as shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MonitorView {
    /// When it last ran, in Unix seconds; null when it never did.
    pub last_run_ts: Option<i64>,
}

/// One entry, as shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortView {
    /// The port or range.
    pub port: PortRange,
    /// The operator's remark.
    pub comment: String,
    /// What counts towards the quota.
    pub mode: Mode,
    /// The quota; null when the port is only metered.
    pub quota_bytes: Option<Bytes>,
    /// What counts towards the quota so far, with the others of its group.
    pub used_bytes: Bytes,
    /// Towards this port.
    pub in_bytes: Bytes,
    /// From this port.
    pub out_bytes: Bytes,
    /// The share of the quota.
    #[serde(serialize_with = "percent")]
    pub percent: Option<Percent>,
    /// Whether the quota is used up.
    pub blocked: bool,
    /// The configured speed limit; 0 for none.
    #[serde(rename = "limit_mbps", serialize_with = "speed_mbps")]
    pub limit: Option<Rate>,
    /// The speed limit in force; 0 for none.
    #[serde(rename = "effective_limit_mbps", serialize_with = "speed_mbps")]
    pub effective_limit: Option<Rate>,
    /// Whether it is slowed down as a punishment.
    pub punished: bool,
    /// The end of the punishment in Unix seconds, else 0.
    pub punish_end_ts: i64,
    /// Minutes in a row above the trigger.
    pub strikes: u32,
    /// The day of the monthly reset; 0 for none.
    pub reset_day: u8,
    /// The next reset in Unix seconds; null for none.
    pub next_reset_ts: Option<i64>,
    /// The group.
    pub group: Option<String>,
}

/// One entry with what `pm show --json` adds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortDetails<'a> {
    /// As in the list.
    #[serde(flatten)]
    pub view: &'a PortView,
    /// The rate penalty as it is configured.
    pub dynqos: DynQosView,
    /// What happened to it in this cycle, oldest first.
    pub events: &'a Chronicle,
}

/// A rate penalty, as shown; the figures are 0 until they were given once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DynQosView {
    /// Whether it is on.
    pub enabled: bool,
    /// The speed above which minutes count.
    #[serde(rename = "trigger_mbps", serialize_with = "speed_mbps")]
    pub trigger: Option<Rate>,
    /// How many minutes in a row.
    pub trigger_minutes: u32,
    /// The speed of a punished port.
    #[serde(rename = "penalty_mbps", serialize_with = "speed_mbps")]
    pub penalty: Option<Rate>,
    /// How many minutes a punishment lasts.
    pub penalty_minutes: u32,
}

impl From<DynQosConfig> for DynQosView {
    fn from(config: DynQosConfig) -> Self {
        Self {
            enabled: config.enabled,
            trigger: config.policy.map(|policy| policy.trigger),
            trigger_minutes: config.policy.map_or(0, |policy| policy.minutes),
            penalty: config.policy.map(|policy| policy.penalty),
            penalty_minutes: config.policy.map_or(0, |policy| policy.duration),
        }
    }
}

#[expect(clippy::ref_option, reason = "serde hands the field over so")]
fn speed_mbps<S: serde::Serializer>(rate: &Option<Rate>, serializer: S) -> Result<S::Ok, S::Error> {
    megabits::serialize(&rate.unwrap_or_default(), serializer)
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over so")]
fn percent<S: serde::Serializer>(percent: &Option<Percent>, serializer: S) -> Result<S::Ok, S::Error> {
    let number = |percent: &Percent| {
        let text = alloc::format!("{}.{}", percent.tenths() / 10, percent.tenths() % 10);
        text.parse().ok().and_then(Number::from_f64)
    };
    percent.as_ref().and_then(number).serialize(serializer)
}

impl Overview {
    /// All entries of a state that was settled with the present readings.
    pub fn of(config: &Config, state: &State, now: &Zoned) -> Self {
        let mut ports = Vec::with_capacity(config.ports.len());
        let mut calendar = Calendar::of(now);
        for account in Account::all(config) {
            PortView::add_members(&account, state, &mut calendar, &mut ports);
        }
        ports.sort_by_key(|view: &PortView| view.port);
        Self { ports, monitor: MonitorView { last_run_ts: state.last_run.map(Timestamp::as_second) } }
    }

    /// One entry.
    pub fn port(&self, port: PortRange) -> Option<&PortView> {
        self.ports.iter().find(|view| view.port == port)
    }
}

impl PortView {
    fn add_members(account: &Account<'_>, state: &State, calendar: &mut Calendar<'_>, ports: &mut Vec<Self>) {
        let standing = account.standing(state);
        let used = account.used(state);
        let mark = state.accounts.get(&account.id).map(|account| account.reset).unwrap_or_default();
        let next_reset =
            account.reset_day().and_then(|day| mark.next_due_by(day, calendar)).map(Timestamp::as_second);
        let view = |(port, settings): (PortRange, &PortConfig)| {
            let port_state = state.ports.get(&port).copied().unwrap_or_default();
            let traffic = port_state.ledger.used();
            let (punish_end_ts, strikes) = match port_state.dynqos {
                DynQos::Watching { strikes } => (0, strikes),
                DynQos::Punished { until } => (until.as_second(), 0),
            };
            let punished = port_state.dynqos.is_punished();
            Self {
                port,
                comment: settings.comment.clone(),
                mode: account.mode(),
                quota_bytes: account.quota(),
                used_bytes: used,
                in_bytes: traffic.inbound,
                out_bytes: traffic.outbound,
                percent: standing.map(|standing| standing.percent()),
                blocked: standing.is_some_and(|standing| standing.blocked),
                limit: settings.limit,
                effective_limit: speed(settings, punished),
                punished,
                punish_end_ts,
                strikes,
                reset_day: account.reset_day().map_or(0, ResetDay::day),
                next_reset_ts: next_reset,
                group: settings.group.as_ref().map(ToString::to_string),
            }
        };
        ports.extend(account.members().map(view));
    }
}
