//! What should stand in the kernel for a ruleset: the objects, sets and chains of pm's table, and their names.

use std::collections::{BTreeMap, BTreeSet};

use pm_core::backend::{QuotaRule, Ruleset};
use pm_core::port::PortRange;
use pm_core::quota::Mode;
use pm_core::units::Bytes;

/// The table that is wholly ours.
pub(crate) const TABLE: &str = "port_monitor";

/// Rises whenever the same ruleset is laid out in another way, so that no note of the old one is taken for one of the new.
pub(crate) const LAYOUT: u32 = 3;

/// What the names of our objects begin with; the rest is the suffix of an entry.
pub(crate) const COUNTER_IN: &str = "cnt_in_";
/// See [`COUNTER_IN`].
pub(crate) const COUNTER_OUT: &str = "cnt_out_";
/// See [`COUNTER_IN`]; of an account's lowest entry.
pub(crate) const QUOTA: &str = "quota_";

/// Ranges up to this width are looked up port by port in hashes, wider ones in trees: a packet pays for a tree with
/// half as much again, a wide range in five hashes with kilobytes of kernel memory for each port.
pub(crate) const WIDEST_EXPANDED: usize = 1024;

/// Room for every port from the beginning, for a megabyte of memory. The kernel looks up a hash that never grows faster than one
/// that may: the packet cost of docs/performance.md.
const ALL_PORTS: Option<u32> = Some(65_535);

/// Before the filters of other programs (priority 0), as the v4.3 script has it.
pub(crate) const PRIORITY: i32 = -5;

/// Everything in the table.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The names of the counters.
    pub(crate) counters: BTreeSet<String>,
    /// The names of the quotas and their limits.
    pub(crate) quotas: BTreeMap<String, Bytes>,
    pub(crate) sets: Vec<Set>,
    pub(crate) chains: Vec<Chain>,
}

/// A set of ports, or a map from them.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) holds: Holds,
    /// For how many elements the kernel makes room where it makes this set; none where the set grows. One that stands
    /// already stays of the kind it is; newer kernels note the number.
    pub(crate) room: Option<u32>,
    pub(crate) elements: Elements,
}

/// The keys of a set, and what they stand for as nft writes it: a name, a class, or nothing.
#[derive(Debug)]
pub(crate) enum Elements {
    /// In a hash.
    Ports(BTreeMap<u16, String>),
    /// In a tree.
    Ranges(BTreeMap<PortRange, String>),
}

impl Elements {
    fn are_none(&self) -> bool {
        match self {
            Self::Ports(ports) => ports.is_empty(),
            Self::Ranges(ranges) => ranges.is_empty(),
        }
    }
}

/// What a set holds for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Nothing,
    Counters,
    Quotas,
    Classes,
}

impl Holds {
    /// nft tells maps from sets.
    pub(crate) fn is_map(self) -> bool {
        self != Self::Nothing
    }
}

/// A chain and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    /// Where packets enter it; none when other chains jump to it.
    pub(crate) hook: Option<Hook>,
    pub(crate) rules: Vec<Rule>,
}

/// A rule: what it means, which is written as text for nft and as expressions for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What has no ports leaves the chain.
    LeaveWithoutPorts,
    /// Forwarded packets that go this way through a connection to a translated address go on in another chain.
    Follow(Way, &'static str),
    /// A packet whose port is in a set gets what the set holds for it; a set that holds nothing has it dropped.
    Use(Key, &'static str, Holds),
}

/// A way through a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Original,
    Reply,
}

/// Which port of a packet is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Source,
    Destination,
    /// The one that the client dialled, as connection tracking knows it.
    Dialled,
}

/// A netfilter hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Input,
    Forward,
    Output,
}

impl Hook {
    /// The kernel's number of it.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
        }
    }
}

impl Layout {
    /// What should stand for `ruleset`.
    pub(crate) fn of(ruleset: &Ruleset) -> Self {
        let sets = Self::sets(ruleset);
        let chains = Chains { sets: &sets }.all(ruleset.forward);
        Self {
            counters: ruleset
                .metered
                .iter()
                .flat_map(|entry| [COUNTER_IN, COUNTER_OUT].map(|prefix| entry.kernel_name(prefix)))
                .collect(),
            quotas: ruleset.quotas.iter().map(|(lead, rule)| (lead.kernel_name(QUOTA), rule.over)).collect(),
            sets,
            chains,
        }
    }

    fn sets(ruleset: &Ruleset) -> Vec<Set> {
        let quotas = |mode: Mode| -> BTreeMap<PortRange, String> {
            let rules = ruleset.quotas.iter().filter(|(_, rule)| rule.mode == mode);
            let members = |(lead, rule): (&PortRange, &QuotaRule)| -> Vec<_> {
                rule.members.iter().map(|&member| (member, lead.kernel_name(QUOTA))).collect()
            };
            rules.flat_map(members).collect()
        };
        let counters =
            |prefix| ruleset.metered.iter().map(move |&entry| (entry, entry.kernel_name(prefix))).collect();
        let blocked = ruleset.blocked.iter().map(|&entry| (entry, String::new())).collect();
        let classes = ruleset.classes.iter().map(|(&entry, class)| (entry, class.to_string())).collect();
        [
            Set::pair(&BLOCKED, &blocked),
            Set::pair(&BOTH_QUOTAS, &quotas(Mode::Both)),
            Set::pair(&OUT_QUOTAS, &quotas(Mode::OutOnly)),
            Set::pair(&IN_COUNTERS, &counters(COUNTER_IN)),
            Set::pair(&OUT_COUNTERS, &counters(COUNTER_OUT)),
            Set::pair(&CLASSES, &classes),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// One use of ports in the table: a hash for single ports and narrow ranges, and a tree for wide ranges.
/// Neither name may be a word of nft, such as `quotas`, which could then not be named to it.
struct Use {
    hash: &'static str,
    tree: &'static str,
    holds: Holds,
    /// Of the hash.
    room: Option<u32>,
}

const BLOCKED: Use = Use { hash: "blocked_ports", tree: "blocked_ranges", holds: Holds::Nothing, room: None };
/// Of both directions: one map for both of them, so that what a packet looked up is still at hand for the answer to it.
const BOTH_QUOTAS: Use =
    Use { hash: "both_quotas", tree: "both_quota_ranges", holds: Holds::Quotas, room: ALL_PORTS };
/// Of outbound traffic alone.
const OUT_QUOTAS: Use =
    Use { hash: "out_quotas", tree: "out_quota_ranges", holds: Holds::Quotas, room: None };
const IN_COUNTERS: Use =
    Use { hash: "in_counters", tree: "in_counter_ranges", holds: Holds::Counters, room: ALL_PORTS };
const OUT_COUNTERS: Use =
    Use { hash: "out_counters", tree: "out_counter_ranges", holds: Holds::Counters, room: ALL_PORTS };
const CLASSES: Use =
    Use { hash: "shape_class", tree: "shape_class_ranges", holds: Holds::Classes, room: None };

impl Set {
    /// The ports of a hash, by its name.
    pub(crate) fn into_ports(self) -> Option<(String, BTreeMap<u16, String>)> {
        match self.elements {
            Elements::Ports(ports) => Some((self.name.to_owned(), ports)),
            Elements::Ranges(_) => None,
        }
    }

    /// The hash, which always stands, and the tree, which stands only while it holds something.
    fn pair<'a>(purpose: &Use, values: &'a BTreeMap<PortRange, String>) -> Vec<Self> {
        let is_narrow = |(entry, _): &(&PortRange, &String)| entry.width() <= WIDEST_EXPANDED;
        let (narrow, wide): (Vec<_>, Vec<_>) = values.iter().partition(is_narrow);
        let each = |(entry, value): (&PortRange, &'a String)| entry.numbers().map(move |port| (port, value));
        let ports: BTreeMap<_, _> =
            narrow.into_iter().flat_map(each).map(|(port, value)| (port, value.clone())).collect();
        let ranges: BTreeMap<_, _> = wide.into_iter().map(|(&entry, value)| (entry, value.clone())).collect();
        let set = |name, room, elements| Self { name, holds: purpose.holds, room, elements };
        let hash = set(purpose.hash, purpose.room, Elements::Ports(ports));
        let tree = (!ranges.is_empty()).then(|| set(purpose.tree, None, Elements::Ranges(ranges)));
        [Some(hash), tree].into_iter().flatten().collect()
    }
}

/// The way of a packet through the table: blocked, cut off, counted, put into its class.
struct Chains<'a> {
    sets: &'a [Set],
}

impl Chains<'_> {
    /// Input and output never ask connection tracking, and the chains that do stand only where packets are forwarded:
    /// any rule with `ct` turns it on for the whole network namespace. It is off again as soon as the last such rule
    /// is gone; the table need not go, so no counter starts anew.
    fn all(&self, forward: bool) -> Vec<Chain> {
        let local = |name, hook, rules: Vec<Rule>| Chain {
            name,
            hook: Some(hook),
            rules: [Rule::LeaveWithoutPorts].into_iter().chain(rules).collect(),
        };
        let mut chains = vec![
            local("input", Hook::Input, self.inbound(Key::Destination)),
            local("output", Hook::Output, self.outbound(Key::Source)),
        ];
        if forward {
            // Without the status, a container's own connections to remote ports would be billed to local ones.
            let rules =
                vec![Rule::Follow(Way::Original, "forward_in"), Rule::Follow(Way::Reply, "forward_out")];
            chains.push(Chain { name: "forward", hook: Some(Hook::Forward), rules });
            chains.push(Chain { name: "forward_in", hook: None, rules: self.inbound(Key::Dialled) });
            chains.push(Chain { name: "forward_out", hook: None, rules: self.outbound(Key::Dialled) });
        }
        chains
    }

    fn inbound(&self, key: Key) -> Vec<Rule> {
        self.rules(key, [&BLOCKED, &BOTH_QUOTAS, &IN_COUNTERS])
    }

    fn outbound(&self, key: Key) -> Vec<Rule> {
        self.rules(key, [&BLOCKED, &BOTH_QUOTAS, &OUT_QUOTAS, &OUT_COUNTERS, &CLASSES])
    }

    /// One rule for each of the sets in use that hold something. A packet pays for every lookup, also for one in which
    /// nothing can be found: the packet cost of docs/performance.md. So a rule comes and goes with the elements of its set, in
    /// their transaction.
    fn rules<const USES: usize>(&self, key: Key, uses: [&Use; USES]) -> Vec<Rule> {
        let names = uses.into_iter().flat_map(|purpose| [purpose.hash, purpose.tree]);
        let sets = names.filter_map(|name| self.sets.iter().find(|set| set.name == name));
        let sets = sets.filter(|set| !set.elements.are_none());
        sets.map(|set| Rule::Use(key, set.name, set.holds)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_expanded_up_to_the_width_that_hashes_are_good_for() {
        for (entry, hashed, treed) in [("1-1024", 1024, 0), ("1-1025", 0, 1), ("5", 1, 0), ("1-65535", 0, 1)]
        {
            let ruleset = Ruleset { metered: [entry.parse().unwrap()].into(), ..Ruleset::default() };
            let size = |name: &str| {
                let layout = Layout::of(&ruleset);
                let set = layout.sets.into_iter().find(|set| set.name == name);
                set.map_or(0, |set| match set.elements {
                    Elements::Ports(ports) => ports.len(),
                    Elements::Ranges(ranges) => ranges.len(),
                })
            };
            assert_eq!((size("in_counters"), size("in_counter_ranges")), (hashed, treed), "{entry}");
        }
    }
}
