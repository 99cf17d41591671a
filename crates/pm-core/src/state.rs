//! What the monitor learns.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use jiff::Timestamp;

use crate::account::{Account, AccountId};
use crate::accounting::{Ledger, Readings};
use crate::chronicle::{Chronicle, Happening, What};
use crate::config::Config;
use crate::dynqos::{DynQos, RateWindow};
use crate::event::{Event, Message};
use crate::port::PortRange;
use crate::progress::Progress;
use crate::quota::{Cutoff, Standing, Thresholds};
use crate::reset::ResetMark;
use crate::units::Percent;
use crate::walk::Walk;

/// Everything that is remembered between two minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Per entry.
    pub ports: BTreeMap<PortRange, PortState>,
    /// Per account.
    pub accounts: BTreeMap<AccountId, AccountState>,
    /// What happened to the entries in their present cycles; none for an entry to which nothing did.
    pub chronicles: BTreeMap<PortRange, Chronicle>,
    /// Messages that were not delivered yet.
    pub outbox: Outbox,
    /// When the monitor last ran.
    pub last_run: Option<Timestamp>,
    /// The moment from which the next report is counted.
    pub last_report: Option<Timestamp>,
}

impl State {
    /// Makes entries and accounts those of `config`: what is new begins now at zero, what is gone is forgotten.
    pub fn fit(&mut self, config: &Config, readings: &Readings, now: Timestamp) {
        self.fit_accounts(config, &Account::all(config), readings, now);
    }

    /// The same, for somebody who has the accounts of `config` at hand. In most minutes nothing is new or gone, which is
    /// found by walking along the maps.
    pub(crate) fn fit_accounts(
        &mut self,
        config: &Config,
        accounts: &[Account<'_>],
        readings: &Readings,
        now: Timestamp,
    ) {
        let mut entries = Walk::through(&config.ports);
        self.ports.retain(|&port, _| entries.at(&port).is_some());
        let mut entries = Walk::through(&config.ports);
        self.chronicles.retain(|&port, _| entries.at(&port).is_some());
        if self.ports.len() < config.ports.len() {
            for &port in config.ports.keys() {
                self.ports.entry(port).or_insert_with(|| PortState::opened(port, readings, now));
            }
        }
        let mut known = Walk::through(&self.accounts);
        let fitted = accounts.iter().map(|account| {
            let state = known.at(&account.id).copied().unwrap_or_default();
            let reset = state.reset.kept(account.reset_day(), now);
            (account.id.clone(), AccountState { reset, ..state })
        });
        self.accounts = fitted.collect();
    }

    /// Keeps something that happened to an entry.
    pub(crate) fn happened(&mut self, port: PortRange, at: Timestamp, what: What) {
        self.chronicles.entry(port).or_default().push(Happening { at, what });
    }
}

/// What is remembered of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortState {
    /// What it used.
    pub ledger: Ledger,
    /// Its rate penalty.
    pub dynqos: DynQos,
    /// The minutes that the rate penalty has not judged yet.
    pub window: RateWindow,
    /// When its cycle began.
    pub last_reset: Option<Timestamp>,
}

impl PortState {
    /// An entry that begins now.
    pub fn opened(port: PortRange, readings: &Readings, now: Timestamp) -> Self {
        Self {
            ledger: Ledger::opened(readings.counters.get(&port).copied().unwrap_or_default()),
            dynqos: DynQos::default(),
            window: RateWindow::starting(now),
            last_reset: Some(now),
        }
    }

    /// Starts a new cycle: usage and punishment are gone.
    pub fn reset(&mut self, now: Timestamp) {
        self.ledger.reset();
        self.dynqos = DynQos::default();
        self.window = RateWindow::starting(now);
        self.last_reset = Some(now);
    }
}

/// What is remembered of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// The highest threshold that was told in this cycle.
    pub level: u8,
    /// Whether it was told that the ports are closed.
    pub block_told: bool,
    /// The kernel's cut-off, if there was one.
    pub cutoff: Option<Cutoff>,
    /// Which resets were dealt with.
    pub reset: ResetMark,
}

impl AccountState {
    /// What usage has fallen below (by a reset, a raised quota, another mode, a member less) can be told again.
    pub(crate) fn rearm(&mut self, standing: Option<&Standing>, thresholds: &Thresholds) {
        let percent = standing.map_or(Percent::default(), Standing::percent);
        if !percent.reaches(self.level) {
            self.level = thresholds.reached(percent);
        }
        if !standing.is_some_and(|standing| standing.blocked) {
            self.block_told = false;
            self.cutoff = None;
        }
    }
}

/// The queue of messages. It is part of the state, so that an event is saved by the same write as what caused it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Messages in the order in which they happened.
    pub messages: Vec<Message>,
    /// The number of the next message.
    pub next_id: u64,
    /// How far each channel has come with them, by the channel's name.
    pub progress: BTreeMap<String, Progress>,
}

impl Outbox {
    /// Queues an event.
    pub fn push(&mut self, at: Timestamp, event: Event) {
        self.messages.push(Message { id: self.next_id, at, event });
        self.next_id = self.next_id.saturating_add(1);
    }

    /// Forgets a message that was delivered.
    pub fn delivered(&mut self, id: u64) {
        self.messages.retain(|message| message.id != id);
    }

    /// The messages that a channel has not dealt with yet, oldest first.
    pub fn waiting(&self, channel: &str) -> &[Message] {
        let next = self.progress.get(channel).map_or(0, |progress| progress.next);
        let first = self.messages.iter().position(|message| message.id >= next);
        &self.messages[first.unwrap_or(self.messages.len())..]
    }

    /// Forgets the messages that each of these channels has dealt with, and the progress of any other channel.
    pub fn settle(&mut self, channels: &[String]) {
        self.progress.retain(|name, _| channels.contains(name));
        let next_of = |name| self.progress.get(name).map_or(0, |progress: &Progress| progress.next);
        let through = channels.iter().map(next_of).min().unwrap_or(self.next_id);
        self.messages.retain(|message| message.id >= through);
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_message_leaves_the_queue_when_every_channel_has_dealt_with_it() {
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            outbox.push(Timestamp::UNIX_EPOCH, Event::Test);
        }
        let names = ["telegram".to_string(), "phone".to_string()];
        outbox.progress.entry(names[0].clone()).or_default().next = 2;
        outbox.progress.entry("gone".into()).or_default().next = 1;
        outbox.settle(&names);
        assert_eq!(
            (outbox.messages.len(), outbox.waiting("telegram").len(), outbox.progress.len()),
            (3, 1, 1)
        );
        outbox.progress.entry(names[1].clone()).or_default().next = 1;
        outbox.settle(&names);
        assert_eq!(outbox.waiting("phone").iter().map(|message| message.id).collect::<Vec<_>>(), [1, 2]);
        outbox.settle(&[]);
        assert!(outbox.messages.is_empty() && outbox.progress.is_empty());
        assert_eq!(outbox.next_id, 3);
    }
}
