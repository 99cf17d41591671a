//! Who shares a quota: an entry alone, or the members of a group.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::iter;

use crate::accounting::Traffic;
use crate::config::{Config, GroupId, PortConfig};
use crate::event::Subject;
use crate::port::PortRange;
use crate::quota::{Mode, Standing};
use crate::reset::ResetDay;
use crate::state::{AccountState, PortState, State};
use crate::units::Bytes;
use crate::walk::Walk;

/// The name of an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountId {
    /// An entry alone.
    Port(PortRange),
    /// The members of a group.
    Group(GroupId),
}

impl AccountId {
    /// The account that an entry belongs to.
    pub fn of(port: PortRange, config: &PortConfig) -> Self {
        config.group.clone().map_or(Self::Port(port), Self::Group)
    }
}

/// An account and its members. What members of a group must agree on is what the lowest one says.
#[derive(Clone, Debug)]
pub struct Account<'a> {
    /// Its name.
    pub id: AccountId,
    /// The lowest member. It names the kernel's quota and decides for the group.
    pub leader: (PortRange, &'a PortConfig),
    /// The other members, in the order of their ports.
    pub others: Vec<(PortRange, &'a PortConfig)>,
}

/// Accounts as they stand, for somebody who goes through all of them in their order.
#[derive(Debug)]
pub(crate) struct Standings<'a> {
    ports: Walk<'a, PortRange, PortState>,
    accounts: Walk<'a, AccountId, AccountState>,
}

impl<'a> Standings<'a> {
    pub(crate) fn in_state(state: &'a State) -> Self {
        Self { ports: Walk::through(&state.ports), accounts: Walk::through(&state.accounts) }
    }

    /// What is known about the account, and how it stands against its quota; none when it is only metered.
    pub(crate) fn of(&mut self, account: &Account<'_>) -> (AccountState, Option<Standing>) {
        let state = self.accounts.at(&account.id).copied().unwrap_or_default();
        let standing = account.quota().map(|limit| {
            let traffic = traffic(account.ports().filter_map(|port| self.ports.at(&port)));
            Standing::of(limit, account.mode().counts(traffic), state.cutoff)
        });
        (state, standing)
    }
}

impl<'a> Account<'a> {
    /// All accounts of a configuration, in the order of their lowest ports.
    pub fn all(config: &'a Config) -> Vec<Self> {
        let mut accounts: Vec<Self> = Vec::with_capacity(config.ports.len());
        let mut of_group = BTreeMap::new();
        for (&port, settings) in &config.ports {
            let place = match &settings.group {
                Some(group) => *of_group.entry(group).or_insert(accounts.len()),
                None => accounts.len(),
            };
            let member = (port, settings);
            if let Some(account) = accounts.get_mut(place) {
                account.others.push(member);
            } else {
                let id = AccountId::of(port, settings);
                accounts.push(Self { id, leader: member, others: Vec::new() });
            }
        }
        accounts
    }

    /// The lowest member.
    pub fn lead(&self) -> PortRange {
        self.leader.0
    }

    /// All members, in the order of their ports.
    pub fn members(&self) -> impl Iterator<Item = (PortRange, &'a PortConfig)> + '_ {
        iter::once(self.leader).chain(self.others.iter().copied())
    }

    /// The quota.
    pub fn quota(&self) -> Option<Bytes> {
        self.leader.1.quota
    }

    /// What counts towards the quota.
    pub fn mode(&self) -> Mode {
        self.leader.1.mode
    }

    /// The day of the monthly reset.
    pub fn reset_day(&self) -> Option<ResetDay> {
        self.leader.1.reset_day
    }

    /// The entries.
    pub fn ports(&self) -> impl Iterator<Item = PortRange> + '_ {
        self.members().map(|(port, _)| port)
    }

    /// What all members used together.
    pub fn traffic(&self, state: &State) -> Traffic {
        traffic(self.ports().filter_map(|port| state.ports.get(&port)))
    }

    /// What counts towards the quota so far.
    pub fn used(&self, state: &State) -> Bytes {
        self.mode().counts(self.traffic(state))
    }

    /// What is known about it.
    pub fn state(&self, state: &State) -> AccountState {
        state.accounts.get(&self.id).copied().unwrap_or_default()
    }

    /// How it stands against its quota; none when it is only metered.
    pub fn standing(&self, state: &State) -> Option<Standing> {
        let cutoff = self.state(state).cutoff;
        self.quota().map(|limit| Standing::of(limit, self.used(state), cutoff))
    }

    /// Whether its ports are closed.
    pub fn is_blocked(&self, state: &State) -> bool {
        self.standing(state).is_some_and(|standing| standing.blocked)
    }

    /// Whom messages about it name.
    pub fn subject(&self) -> Subject {
        Subject {
            ports: self.ports().collect(),
            comment: self.leader.1.comment.clone(),
            group: self.leader.1.group.as_ref().map(ToString::to_string),
        }
    }
}

/// What these entries used together.
fn traffic<'a>(entries: impl Iterator<Item = &'a PortState>) -> Traffic {
    entries.fold(Traffic::default(), |sum, entry| sum.plus(entry.ledger.used()))
}
