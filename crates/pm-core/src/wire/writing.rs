//! config.json as it is written: from what the rest of the crate works with straight to text.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::delivery;
use super::document::{
    CONFIG_VERSION, Figures, MonitorDocument, TelegramDocument, UpdateDocument, is_default, unix,
};
use super::number::{Gigabytes, Megabits};
use super::pen::Pen;
use super::{PortExtras, Snapshot};
use crate::account::AccountId;
use crate::accounting::{BootId, Ledger, Meter};
use crate::chronicle::Chronicle;
use crate::config::{DynQosConfig, GroupId, PortConfig};
use crate::dynqos::DynQos;
use crate::reset::{ResetDay, ResetMark};
use crate::state::{AccountState, PortState};
use crate::walk::Walk;

/// An entry with a quota, a limit, a rate penalty and a remark, and a little more.
const BYTES_OF_AN_ENTRY: usize = 1200;
/// All that is no entry, with a few messages in the queue.
const BYTES_OF_THE_REST: usize = 8 << 10;

/// Writes a whole file.
pub(super) fn document(snapshot: &Snapshot, paper: Vec<u8>) -> Vec<u8> {
    let Snapshot { config, state, extras } = snapshot;
    let mut pen = Pen::on(paper, BYTES_OF_THE_REST + config.ports.len() * BYTES_OF_AN_ENTRY);
    pen.object(|pen| {
        match &extras.config_version {
            Some(version) => pen.field("config_version").value(version),
            None => pen.field("config_version").plain(CONFIG_VERSION),
        }
        pen.field("interface").plain(config.interface.as_deref().unwrap_or_default());
        if config.take_over_qdisc {
            pen.field("take_over_qdisc").plain(&true);
        }
        if !is_default(&config.forward) {
            pen.field("forward").value(&config.forward);
        }
        pen.field("ports").object(|pen| entries(pen, snapshot));
        let telegram = TelegramDocument::of(&config.telegram, state.last_report, extras.telegram.clone());
        pen.field("telegram").value(&telegram);
        if !config.channels.is_empty() {
            pen.field("channels").value(&delivery::channel_documents(&config.channels));
        }
        let update = UpdateDocument::of(&config.update, extras.update.clone());
        if !is_default(&update) {
            pen.field("update").value(&update);
        }
        let monitor = MonitorDocument::of(state.last_run, &state.outbox, extras.monitor.clone());
        pen.field("monitor").value(&monitor);
        pen.field("outbox").value(&state.outbox.messages);
        if !state.outbox.progress.is_empty() {
            pen.field("delivery").value(&delivery::progress_documents(&state.outbox.progress));
        }
        unknown(pen, &extras.top);
    });
    pen.finish()
}

/// What nobody here knows, as it came.
fn unknown(pen: &mut Pen, fields: &Map<String, Value>) {
    for (name, value) in fields {
        pen.named(name.as_str()).value(value);
    }
}

fn entries(pen: &mut Pen, snapshot: &Snapshot) {
    let Snapshot { config, state, extras } = snapshot;
    let nothing_more = PortExtras::default();
    let mut boots = Boots::default();
    let mut states = Walk::through(&state.ports);
    let mut chronicles = Walk::through(&state.chronicles);
    let mut extras = Walk::through(&extras.ports);
    for (&port, settings) in &config.ports {
        let port_state = states.at(&port).copied().unwrap_or_default();
        let account = state.accounts.get(&AccountId::of(port, settings)).copied().unwrap_or_default();
        let extras = extras.at(&port).unwrap_or(&nothing_more);
        let events = chronicles.at(&port);
        pen.named(&port)
            .object(|pen| entry(pen, settings, &port_state, &account, events, extras, &mut boots));
    }
}

fn entry(
    pen: &mut Pen,
    config: &PortConfig,
    state: &PortState,
    account: &AccountState,
    events: Option<&Chronicle>,
    extras: &PortExtras,
    boots: &mut Boots,
) {
    pen.field("quota_gb").plain(&config.quota.map(Gigabytes));
    pen.field("quota_mode").plain(config.mode.name());
    pen.field("limit_mbps").plain(&Megabits(config.limit.unwrap_or_default()));
    pen.field("reset_day").plain(&config.reset_day.map_or(0, ResetDay::day));
    pen.field("last_reset_ts").plain(&unix(state.last_reset));
    pen.field("comment").plain(config.comment.as_str());
    if config.group.is_some() || extras.names_no_group {
        pen.field("group_id").plain(&config.group.as_ref().map(GroupId::as_str));
    }
    pen.field("stats").object(|pen| {
        stats(pen, &state.ledger, boots);
        unknown(pen, &extras.stats);
    });
    pen.field("dyn_limit").object(|pen| {
        dyn_limit(pen, &config.dynqos, state, extras.figures);
        unknown(pen, &extras.dyn_limit);
    });
    pen.field("notify_state").object(|pen| {
        notify_state(pen, account, state.dynqos.is_punished());
        unknown(pen, &extras.notify_state);
    });
    pen.field("reset_mark").object(|pen| reset_mark(pen, account.reset));
    if let Some(events) = events.filter(|events| !events.is_empty()) {
        pen.field("events").value(events);
    }
    unknown(pen, &extras.port);
}

fn stats(pen: &mut Pen, ledger: &Ledger, boots: &mut Boots) {
    let origin = |meter: &Meter| meter.mark.and_then(|mark| mark.origin);
    let last = |meter: &Meter| meter.mark.map_or(0, |mark| mark.bytes.0);
    pen.field("acc_in").plain(&ledger.inbound.used.0);
    pen.field("acc_out").plain(&ledger.outbound.used.0);
    pen.field("last_kernel_in").plain(&last(&ledger.inbound));
    pen.field("last_kernel_out").plain(&last(&ledger.outbound));
    let (inbound, outbound) = (origin(&ledger.inbound), origin(&ledger.outbound));
    if let Some(either) = inbound.or(outbound) {
        pen.field("counters").object(|pen| {
            pen.field("boot").plain(boots.text(either.boot));
            pen.field("table").plain(&either.table);
            pen.field("in").plain(&inbound.map(|id| id.counter));
            pen.field("out").plain(&outbound.map(|id| id.counter));
        });
    }
}

fn dyn_limit(pen: &mut Pen, config: &DynQosConfig, state: &PortState, figures: Figures) {
    let figures = config.policy.map_or(figures, |policy| Figures {
        trigger: Some(Megabits(policy.trigger)),
        minutes: Some(policy.minutes),
        penalty: Some(Megabits(policy.penalty)),
        duration: Some(policy.duration),
        has_state: true,
    });
    pen.field("enable").plain(&config.enabled);
    if let Some(trigger) = figures.trigger {
        pen.field("trigger_mbps").plain(&trigger);
    }
    if let Some(minutes) = figures.minutes {
        pen.field("trigger_time").plain(&minutes);
    }
    if let Some(penalty) = figures.penalty {
        pen.field("punish_mbps").plain(&penalty);
    }
    if let Some(duration) = figures.duration {
        pen.field("punish_time").plain(&duration);
    }
    if figures.has_state || state.dynqos != DynQos::default() {
        let (strikes, end) = match state.dynqos {
            DynQos::Watching { strikes } => (strikes, None),
            DynQos::Punished { until } => (0, Some(until)),
        };
        pen.field("is_punished").plain(&end.is_some());
        pen.field("strike_count").plain(&strikes);
        pen.field("punish_end_ts").plain(&unix(end));
    }
    let since = state.window.since.filter(|_| config.active().is_some());
    if let Some(since_ms) = since.and_then(|since| u64::try_from(since.as_millisecond()).ok()) {
        pen.field("window").object(|pen| {
            pen.field("since_ms").plain(&since_ms);
            pen.field("bytes").plain(&state.window.bytes.0);
        });
    }
}

fn notify_state(pen: &mut Pen, account: &AccountState, punished: bool) {
    pen.field("quota_level").plain(&account.level);
    pen.field("punish_notified").plain(&punished);
    pen.field("recover_notified").plain(&!punished);
    pen.field("block_notified").plain(&account.block_told);
    if let Some(cutoff) = account.cutoff {
        pen.field("cut_off").object(|pen| {
            pen.field("used").plain(&cutoff.used.0);
            pen.field("limit").plain(&cutoff.limit.0);
        });
    }
}

fn reset_mark(pen: &mut Pen, mark: ResetMark) {
    pen.field("day").plain(&mark.day.map_or(0, ResetDay::day));
    pen.field("done_ts").plain(&unix(mark.done));
    if let Some(date) = mark.date {
        pen.field("date").plain(date.to_string().as_str());
    }
}

/// The text of a run of the machine. Nearly all counters were read in the same one, so the last text is kept.
#[derive(Default)]
struct Boots(Option<(BootId, String)>);

impl Boots {
    fn text(&mut self, boot: BootId) -> &str {
        let known = self.0.take().filter(|(known, _)| *known == boot);
        &self.0.insert(known.unwrap_or_else(|| (boot, boot.to_string()))).1
    }
}
