//! The heart: from what the kernel counted to what we now know. Pure: the clock is a value, and it carries the zone.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use jiff::{Timestamp, Zoned};

use crate::account::{Account, Standings};
use crate::accounting::{Gain, Readings};
use crate::chronicle::What;
use crate::config::{Config, PortConfig};
use crate::desired::speed;
use crate::dynqos::{DynQos, RateWindow};
use crate::event::{Event, ReportLine, Subject};
use crate::port::PortRange;
use crate::quota::{Cutoff, Standing};
use crate::reset::{Calendar, ResetDay, ResetMark};
use crate::state::{AccountState, PortState, State};
use crate::units::{Bytes, Rate};
use crate::walk::Walk;

/// What a minute came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minute {
    /// What we now know. The events are in its outbox already.
    pub state: State,
    /// What happened.
    pub events: Vec<Event>,
    /// What was odd about the readings.
    pub alarms: Vec<Alarm>,
}

/// A counter that cannot be trusted for this once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Whose counter.
    pub port: PortRange,
    /// `in` or `out`.
    pub direction: &'static str,
    /// What it showed before.
    pub from: Bytes,
    /// What it shows now.
    pub to: Bytes,
}

/// One whole minute: accounts, monthly resets, rate penalties, warnings, the report.
///
/// It may run as often or as rarely as it likes: what a run covers is told by the counters and the clock.
///
/// ```
/// use jiff::{civil::date, tz::TimeZone};
/// use pm_core::accounting::Readings;
/// use pm_core::config::{Config, PortConfig};
/// use pm_core::event::Event;
/// use pm_core::reset::ResetDay;
/// use pm_core::state::State;
/// use pm_core::tick::tick;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config::default();
/// let settings = PortConfig { reset_day: ResetDay::new(1), ..PortConfig::default() };
/// config.ports.insert("10086".parse()?, settings);
///
/// let january = date(2026, 1, 31).at(23, 59, 0, 0).to_zoned(TimeZone::UTC)?;
/// let february = date(2026, 2, 1).at(0, 0, 0, 0).to_zoned(TimeZone::UTC)?;
/// let minute = tick(&config, State::default(), &Readings::default(), &january);
/// assert!(minute.events.is_empty());
/// let minute = tick(&config, minute.state, &Readings::default(), &february);
/// assert!(matches!(minute.events[..], [Event::QuotaReset { .. }]));
/// assert_eq!(minute.state.outbox.messages.len(), 1, "the event waits in the state that it came with");
/// # Ok(())
/// # }
/// ```
pub fn tick(config: &Config, state: State, readings: &Readings, now: &Zoned) -> Minute {
    let at = now.timestamp();
    let accounts = Account::all(config);
    let Settled { mut state, alarms } = settle_accounts(config, &accounts, state, readings, at);
    let mut events = Vec::new();

    let mut calendar = Calendar::of(now);
    for account in due(&accounts, &state, &mut calendar) {
        events.push(monthly_reset(account, &mut state, now));
    }
    let mut entries = Walk::through(&config.ports);
    for (&port, port_state) in &mut state.ports {
        if let Some(settings) = entries.at(&port) {
            events.extend(judge(port, settings, port_state, at));
        }
    }
    events.extend(warn(&accounts, config, &mut state));
    events.extend(report(config, &mut state, at));

    state.last_run = Some(at);
    for event in &events {
        if let Some((what, subject)) = What::of(event) {
            subject.ports.iter().for_each(|&port| state.happened(port, at, what));
        }
        state.outbox.push(at, event.clone());
    }
    Minute { state, events, alarms }
}

/// The accounts brought up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What we now know.
    pub state: State,
    /// What was odd about the readings.
    pub alarms: Vec<Alarm>,
}

/// The accounting part of a minute alone: before every edit, and for figures that are live to the second.
pub fn settle(config: &Config, state: State, readings: &Readings, now: Timestamp) -> Settled {
    settle_accounts(config, &Account::all(config), state, readings, now)
}

fn settle_accounts(
    config: &Config,
    accounts: &[Account<'_>],
    mut state: State,
    readings: &Readings,
    now: Timestamp,
) -> Settled {
    let mut alarms = Vec::new();
    state.fit_accounts(config, accounts, readings, now);
    let mut counters = Walk::through(&readings.counters);
    for (&port, port_state) in &mut state.ports {
        let both = port_state.ledger.advance(counters.at(&port).copied().unwrap_or_default());
        for (direction, gain) in ["in", "out"].into_iter().zip(both) {
            if let Gain::WentBack { from, to } = gain {
                alarms.push(Alarm { port, direction, from, to });
            }
        }
        port_state.window.add(both[0].bytes().saturating_add(both[1].bytes()));
    }
    let mut quotas = Walk::through(&readings.quotas);
    for account in accounts {
        let Some(limit) = account.quota() else { continue };
        let Some(quota) = quotas.at(&account.lead()).filter(|quota| quota.exhausted()) else { continue };
        let seen = Cutoff::seen(Some(quota), limit, account.used(&state));
        if let (Some(cutoff), false) = (seen, account.is_blocked(&state)) {
            state.accounts.entry(account.id.clone()).or_default().cutoff = Some(cutoff);
        }
    }
    Settled { state, alarms }
}

/// The accounts whose monthly reset is due.
fn due<'a>(accounts: &'a [Account<'a>], state: &State, calendar: &mut Calendar<'_>) -> Vec<&'a Account<'a>> {
    let mut known = Walk::through(&state.accounts);
    let is_due = |account: &&Account<'_>| {
        known.at(&account.id).is_some_and(|known| known.reset.is_due_by(account.reset_day(), calendar))
    };
    accounts.iter().filter(is_due).collect()
}

fn monthly_reset(account: &Account<'_>, state: &mut State, now: &Zoned) -> Event {
    let account_state = state.accounts.entry(account.id.clone()).or_default();
    account_state.level = 0;
    account_state.block_told = false;
    account_state.cutoff = None;
    account_state.reset = ResetMark::carried_out(account.reset_day(), now);
    let at = now.timestamp();
    for port in account.ports() {
        if let Some(port_state) = state.ports.get_mut(&port) {
            port_state.reset(at);
        }
    }
    Event::QuotaReset { subject: account.subject(), limit: account.quota() }
}

/// The rate penalty of one entry.
fn judge(port: PortRange, settings: &PortConfig, state: &mut PortState, now: Timestamp) -> Option<Event> {
    let Some(policy) = settings.dynqos.active() else {
        state.dynqos = DynQos::default();
        state.window = RateWindow::starting(now);
        return None;
    };
    let judged = state.window.judge(now);
    let before = state.dynqos;
    state.dynqos = before.step(policy, judged, now);
    let subject =
        || Subject { ports: vec![port], comment: settings.comment.clone(), group: group_name(settings) };
    match (before.is_punished(), state.dynqos.is_punished()) {
        (false, true) => Some(Event::Punished {
            subject: subject(),
            rate: judged.map_or(Rate::default(), |judged| judged.rate),
            trigger: policy.trigger,
            penalty: policy.penalty,
            minutes: policy.duration,
        }),
        (true, false) => {
            // The punished minutes are not judged afterwards.
            state.window = RateWindow::starting(now);
            Some(Event::Recovered { subject: subject() })
        }
        _ => None,
    }
}

fn group_name(settings: &PortConfig) -> Option<alloc::string::String> {
    settings.group.as_ref().map(ToString::to_string)
}

/// Warnings and messages that ports are closed, each once until usage falls again.
fn warn(accounts: &[Account<'_>], config: &Config, state: &mut State) -> Vec<Event> {
    let (mut events, mut told) = (Vec::new(), Vec::new());
    let mut standings = Standings::in_state(state);
    for account in accounts {
        let (before, standing) = standings.of(account);
        let after = warn_of(account, config, before, standing, &mut events);
        if after != before {
            told.push((account.id.clone(), after));
        }
    }
    state.accounts.extend(told);
    events
}

/// Returns what is known about the account from now on.
fn warn_of(
    account: &Account<'_>,
    config: &Config,
    mut known: AccountState,
    standing: Option<Standing>,
    events: &mut Vec<Event>,
) -> AccountState {
    known.rearm(standing.as_ref(), &config.telegram.thresholds);
    let Some(standing) = standing else { return known };
    let percent = standing.percent();
    let reached = config.telegram.thresholds.reached(percent);
    if reached > known.level {
        events.push(Event::QuotaWarning {
            subject: account.subject(),
            level: reached,
            used: standing.used,
            limit: standing.limit,
            percent,
            mode: account.mode(),
        });
    }
    known.level = known.level.max(reached);
    if standing.blocked && !known.block_told {
        let reset_day = account.reset_day().map(ResetDay::day);
        events.push(Event::Blocked { subject: account.subject(), reset_day });
        known.block_told = true;
    }
    known
}

/// The regular report: first a whole interval after it was switched on, then on multiples of it.
fn report(config: &Config, state: &mut State, now: Timestamp) -> Option<Event> {
    let telegram = &config.telegram;
    let interval = i64::from(telegram.report_interval_hours) * 3600;
    let somebody_is_told = telegram.enable || config.channels.iter().any(|channel| channel.enable);
    if !somebody_is_told || interval == 0 {
        state.last_report = None;
        return None;
    }
    let last = state.last_report.filter(|&last| last <= now).unwrap_or(now);
    let intervals = (now.as_second() - last.as_second()) / interval;
    state.last_report = Timestamp::from_second(last.as_second() + intervals * interval).ok();
    (intervals > 0).then(|| Event::Report { lines: report_lines(config, state) })
}

/// The lines of a report on the present state.
pub fn report_lines(config: &Config, state: &State) -> Vec<ReportLine> {
    let mut lines = Vec::new();
    for account in Account::all(config) {
        let standing = account.standing(state);
        for (port, settings) in account.members() {
            let punished = state.ports.get(&port).is_some_and(|port| port.dynqos.is_punished());
            lines.push(ReportLine {
                port,
                comment: settings.comment.clone(),
                used: account.used(state),
                limit: account.quota(),
                percent: standing.map(|standing| standing.percent()),
                blocked: standing.is_some_and(|standing| standing.blocked),
                speed: speed(settings, punished),
                punished,
            });
        }
    }
    lines.sort_by_key(|line| line.port);
    lines
}
