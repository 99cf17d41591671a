//! From what we know to what the kernel should be. Blocking, punishing, healing and every edit are differences
//! between two values of [`Desired`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use crate::account::{Account, Standings};
use crate::accounting::Readings;
use crate::backend::{QuotaRule, Ruleset, Shaping};
use crate::config::{Config, ForwardPolicy, PortConfig};
use crate::port::ClassId;
use crate::state::State;
use crate::units::Rate;
use crate::walk::Walk;

/// What the kernel should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The firewall's part.
    pub ruleset: Ruleset,
    /// The traffic control's part.
    pub shaping: Shaping,
}

/// What has to be known about the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The interface of the default route.
    pub default_interface: Option<String>,
    /// Whether it forwards packets between interfaces.
    pub forwards: bool,
}

impl Desired {
    /// What the kernel should be, given what was decided, what was learnt, and how the kernel's quotas stand.
    pub fn of(config: &Config, state: &State, readings: &Readings, host: &Host) -> Self {
        let mut ruleset = Ruleset {
            metered: config.ports.keys().copied().collect(),
            forward: match config.forward {
                ForwardPolicy::Auto => host.forwards,
                ForwardPolicy::On => true,
                ForwardPolicy::Off => false,
            },
            ..Ruleset::default()
        };
        let mut classes = BTreeMap::new();
        let mut quotas = Walk::through(&readings.quotas);
        let mut standings = Standings::in_state(state);
        let rules = Account::all(config).into_iter().filter_map(|account| {
            let standing = standings.of(&account).1?;
            if standing.blocked {
                ruleset.blocked.extend(account.ports());
            }
            // Most have one, for which a set that is collected takes a list as well.
            let mut members = BTreeSet::new();
            members.extend(account.ports());
            let over = standing.arm(quotas.at(&account.lead()));
            let rule = QuotaRule { over, mode: account.mode(), members };
            Some((account.lead(), rule))
        });
        ruleset.quotas = rules.collect();
        let mut states = Walk::through(&state.ports);
        for (&port, settings) in &config.ports {
            let punished = states.at(&port).is_some_and(|port| port.dynqos.is_punished());
            if let (Some(rate), Some(class)) = (speed(settings, punished), ClassId::of(port)) {
                ruleset.classes.insert(port, class);
                classes.insert(class, rate);
            }
        }
        let interface = config.interface.clone().or_else(|| host.default_interface.clone());
        Self { ruleset, shaping: Shaping { interface, take_over: config.take_over_qdisc, classes } }
    }
}

/// The speed limit in force: a penalty never makes a port faster than its own limit.
pub fn speed(settings: &PortConfig, punished: bool) -> Option<Rate> {
    let penalty = settings.dynqos.active().filter(|_| punished).map(|policy| policy.penalty);
    match (settings.limit, penalty) {
        (Some(limit), Some(penalty)) => Some(limit.min(penalty)),
        (limit, penalty) => limit.or(penalty),
    }
}
