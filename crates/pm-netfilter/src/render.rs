//! The text for `nft -f -` that turns what stands into a layout.

use std::collections::{BTreeMap, BTreeSet};

use crate::layout::{Chain, Elements, Holds, Hook, Layout, PRIORITY, Set, TABLE};
use crate::standing::{ChainShape, SetShape, Standing};

/// The commands that remove the table. It is added first because `delete` fails when another program was faster.
pub(crate) const REMOVAL: &str = "add table inet port_monitor\ndelete table inet port_monitor\n";

/// How many objects or elements one step holds at most.
const STEP: usize = 500;
/// How many steps an unprivileged container can send at once: its socket takes some 200 KiB, which 2,100 objects and
/// elements did not fill.
const STEPS_AT_ONCE: usize = 3;

/// Commands in steps: all of them make one transaction where that is possible. Where it is not, each step leaves a
/// table that counts and blocks like the old one or the new one.
#[derive(Debug)]
pub(crate) struct Script {
    steps: Vec<String>,
}

impl Script {
    /// The commands for `layout` where this stands.
    ///
    /// Only what differs is touched, but for the rules, which are few and are all replaced. Nothing is deleted but
    /// what was just seen to stand: nft fails on what is absent. Counters and quotas that stay keep their values.
    pub(crate) fn of(layout: &Layout, standing: &Standing) -> Self {
        Writer { layout, standing, rearmed: rearmed(layout, standing), steps: Vec::new() }.write()
    }

    /// The commands that make the table anew, whatever stands in it. All counters begin at zero.
    pub(crate) fn anew(layout: &Layout) -> Self {
        let mut script = Self::of(layout, &Standing::default());
        script.steps.insert(0, REMOVAL.to_owned());
        script
    }

    /// As one transaction.
    pub(crate) fn whole(&self) -> String {
        self.steps.concat()
    }

    /// As several transactions, each small enough for a container.
    pub(crate) fn parts(&self) -> impl Iterator<Item = String> {
        self.steps.chunks(STEPS_AT_ONCE).map(<[String]>::concat)
    }
}

/// The exhausted quotas whose limit is to rise.
///
/// The kernel counts what an exhausted quota drops but does not tell it, so its limit cannot be moved by the right
/// amount: it has to be made anew, with the figure that the kernel tells, which is its limit. Nothing passes between
/// the telling and the making. A limit that falls can be moved: what is exhausted stays so.
fn rearmed<'a>(layout: &'a Layout, standing: &Standing) -> BTreeMap<&'a str, u64> {
    let stood = |name: &str| standing.quotas.get(name).filter(|_| standing.exhausted.contains(name));
    let changes = layout.quotas.iter().filter_map(|(name, over)| Some((name, over, stood(name)?)));
    changes
        .filter(|(_, over, stood)| over.0 > stood.over)
        .map(|(name, _, stood)| (name.as_str(), stood.over))
        .collect()
}

struct Writer<'a> {
    layout: &'a Layout,
    standing: &'a Standing,
    rearmed: BTreeMap<&'a str, u64>,
    steps: Vec<String>,
}

impl Writer<'_> {
    /// The order is the one in which nothing is named before it is there, or deleted while it is named, and in which
    /// nft 1.0.6 works: it sends the elements of interval maps together with the map, so what they name comes first.
    fn write(mut self) -> Script {
        self.step([format!("add table inet {TABLE}")]);
        self.make_way();
        self.delete_elements();
        self.objects();
        self.step(self.layout.sets.iter().map(declaration));
        self.add_elements();
        self.chains();
        self.delete_surplus();
        Script { steps: self.steps }
    }

    /// One step of these commands, if there are any.
    fn step(&mut self, commands: impl IntoIterator<Item = String>) {
        let lines: String = commands.into_iter().map(|command| command + "\n").collect();
        if !lines.is_empty() {
            self.steps.push(lines);
        }
    }

    fn steps(&mut self, commands: &[String]) {
        for commands in commands.chunks(STEP) {
            self.step(commands.iter().cloned());
        }
    }

    /// What has to be out of the way: sets of ours that are of another kind than they should be, and whatever else may
    /// name a quota that is made anew. The rules that use them go first.
    fn make_way(&mut self) {
        let wrong =
            |set: &&Set| self.standing.sets.get(set.name).is_some_and(|shape| *shape != SetShape::of(set));
        let names = self.layout.sets.iter().filter(wrong).map(|set| set.name);
        let mut commands: Vec<String> = names.map(|name| self.deletion_of_set(name)).collect();
        if !self.rearmed.is_empty() {
            let maps = self.surplus_sets().filter(|(_, shape)| shape.is_map());
            commands.extend(maps.map(|(name, _)| format!("flush map inet {TABLE} {name}")));
        }
        if !commands.is_empty() || !self.rearmed.is_empty() {
            self.step([format!("flush table inet {TABLE}")].into_iter().chain(commands));
        }
    }

    fn delete_elements(&mut self) {
        for set in &self.layout.sets {
            let holds = set.holds;
            match self.content(set) {
                Content::Nothing => {}
                Content::Unknown => self.step([format!("flush {} inet {TABLE} {}", noun(holds), set.name)]),
                Content::Ports(stood) => {
                    let goes = |(port, value): &(&u16, &String)| !self.stays(set, **port, value);
                    let gone: Vec<String> =
                        stood.iter().filter(goes).map(|(port, value)| element(port, value, holds)).collect();
                    self.elements("delete", set.name, &gone);
                }
            }
        }
    }

    fn add_elements(&mut self) {
        for set in &self.layout.sets {
            let holds = set.holds;
            let new: Vec<String> = match (&set.elements, self.content(set)) {
                (Elements::Ranges(ranges), _) => {
                    ranges.iter().map(|(range, value)| element(range, value, holds)).collect()
                }
                (Elements::Ports(ports), Content::Ports(stood)) => {
                    let comes = |(port, _): &(&u16, _)| {
                        stood.get(port).is_none_or(|value| !self.stays(set, **port, value))
                    };
                    ports.iter().filter(comes).map(|(port, value)| element(port, value, holds)).collect()
                }
                (Elements::Ports(ports), Content::Nothing | Content::Unknown) => {
                    ports.iter().map(|(port, value)| element(port, value, holds)).collect()
                }
            };
            self.elements("add", set.name, &new);
        }
    }

    fn elements(&mut self, verb: &str, set: &str, elements: &[String]) {
        for elements in elements.chunks(STEP) {
            self.step([format!("{verb} element inet {TABLE} {set} {{ {} }}", elements.join(", "))]);
        }
    }

    /// What the set holds when it is filled.
    fn content(&self, set: &Set) -> Content<'_> {
        let right = self.standing.sets.get(set.name) == Some(&SetShape::of(set));
        match (right, &set.elements, self.standing.ports.get(set.name)) {
            (false, _, _) => Content::Nothing,
            (true, Elements::Ports(_), Some(ports)) => Content::Ports(ports),
            // Trees are small. Intervals are not taken out one by one, which no two versions of nft do alike.
            (true, _, _) => Content::Unknown,
        }
    }

    /// Whether an element that stands is left alone.
    fn stays(&self, set: &Set, port: u16, value: &str) -> bool {
        let wanted = match &set.elements {
            Elements::Ports(ports) => ports.get(&port).is_some_and(|wanted| wanted == value),
            Elements::Ranges(_) => false,
        };
        wanted && !(set.holds == Holds::Quotas && self.rearmed.contains_key(value))
    }

    fn objects(&mut self) {
        let (layout, standing) = (self.layout, self.standing);
        let counters = layout.counters.difference(&standing.counters);
        let counters: Vec<String> = counters.map(|name| format!("add counter inet {TABLE} {name}")).collect();
        self.steps(&counters);
        let changed = layout.quotas.iter().filter(|(name, over)| {
            standing.quotas.get(*name).is_none_or(|quota| quota.over != over.0 || !quota.beyond)
        });
        let quotas: Vec<String> = changed
            .map(|(name, over)| match self.rearmed.get(name.as_str()) {
                None => format!("add quota inet {TABLE} {name} {{ over {} bytes }}", over.0),
                Some(used) => format!(
                    "delete quota inet {TABLE} {name}\nadd quota inet {TABLE} {name} {{ over {} bytes used {used} bytes }}",
                    over.0
                ),
            })
            .collect();
        self.steps(&quotas);
    }

    /// All chains and their rules, in one step: a chain without its rules counts nothing.
    fn chains(&mut self) {
        let (layout, standing) = (self.layout, self.standing);
        let flush = (!standing.chains.is_empty()).then(|| format!("flush table inet {TABLE}"));
        let misfits = standing.chains.iter().filter(|(name, shape)| {
            let wanted = layout.chains.iter().find(|chain| chain.name == *name);
            wanted.map(ChainShape::of).as_ref() != Some(shape)
        });
        let deletions = misfits.map(|(name, _)| format!("delete chain inet {TABLE} {name}"));
        let declarations = layout.chains.iter().map(chain);
        let rules = layout.chains.iter().flat_map(|chain| {
            chain.rules.iter().map(move |rule| format!("add rule inet {TABLE} {} {rule}", chain.name))
        });
        self.step(flush.into_iter().chain(deletions).chain(declarations).chain(rules));
    }

    /// What stands and is not wanted. Sets go before the objects that their elements name.
    fn delete_surplus(&mut self) {
        let (layout, standing) = (self.layout, self.standing);
        let wanted: BTreeSet<&str> = layout.sets.iter().map(|set| set.name).collect();
        let named = standing.sets.iter().filter(|(_, shape)| !shape.is_anonymous());
        let sets = named
            .filter(|(name, _)| !wanted.contains(name.as_str()))
            .map(|(name, _)| self.deletion_of_set(name));
        let counters = standing.counters.difference(&layout.counters);
        let quotas = standing.quotas.keys().filter(|&name| !layout.quotas.contains_key(name));
        let deletions: Vec<String> = sets
            .chain(counters.map(|name| format!("delete counter inet {TABLE} {name}")))
            .chain(quotas.map(|name| format!("delete quota inet {TABLE} {name}")))
            .collect();
        self.steps(&deletions);
    }

    /// Sets that stand and are not wanted.
    fn surplus_sets(&self) -> impl Iterator<Item = (&String, &SetShape)> {
        let wanted: BTreeSet<&str> = self.layout.sets.iter().map(|set| set.name).collect();
        let named = self.standing.sets.iter().filter(|(_, shape)| !shape.is_anonymous());
        named.filter(move |(name, _)| !wanted.contains(name.as_str()))
    }

    /// nft deletes maps by another word than sets.
    fn deletion_of_set(&self, name: &str) -> String {
        let is_map = self.standing.sets.get(name).is_some_and(|shape| shape.is_map());
        format!("delete {} inet {TABLE} {name}", if is_map { "map" } else { "set" })
    }
}

/// What is in a set before it is filled.
enum Content<'a> {
    Nothing,
    Ports(&'a BTreeMap<u16, String>),
    Unknown,
}

fn noun(holds: Holds) -> &'static str {
    match holds {
        Holds::Nothing => "set",
        Holds::Counters | Holds::Quotas | Holds::Classes => "map",
    }
}

fn declaration(set: &Set) -> String {
    let value = match set.holds {
        Holds::Nothing => "",
        Holds::Counters => " : counter",
        Holds::Quotas => " : quota",
        Holds::Classes => " : classid",
    };
    let flags = match set.elements {
        Elements::Ports(_) => "",
        Elements::Ranges(_) => " flags interval;",
    };
    format!("add {} inet {TABLE} {} {{ type inet_service{value};{flags} }}", noun(set.holds), set.name)
}

fn element(key: impl std::fmt::Display, value: &str, holds: Holds) -> String {
    match holds {
        Holds::Nothing => format!("{key}"),
        Holds::Counters | Holds::Quotas => format!("{key} : \"{value}\""),
        Holds::Classes => format!("{key} : {value}"),
    }
}

fn chain(chain: &Chain) -> String {
    let hook = match chain.hook {
        None => return format!("add chain inet {TABLE} {}", chain.name),
        Some(Hook::Input) => "input",
        Some(Hook::Forward) => "forward",
        Some(Hook::Output) => "output",
    };
    format!(
        "add chain inet {TABLE} {} {{ type filter hook {hook} priority {PRIORITY}; policy accept; }}",
        chain.name
    )
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use pm_core::backend::{QuotaRule, Ruleset};
    use pm_core::port::{ClassId, PortRange};
    use pm_core::quota::Mode;
    use pm_core::units::Bytes;

    use super::*;
    use crate::standing::{QuotaShape, Table};

    fn range(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    fn metered(entries: &[&str]) -> Ruleset {
        Ruleset { metered: entries.iter().map(|entry| range(entry)).collect(), ..Ruleset::default() }
    }

    fn limited(mut ruleset: Ruleset, lead: &str, over: u64, mode: Mode, members: &[&str]) -> Ruleset {
        let members = members.iter().map(|entry| range(entry)).collect();
        ruleset.quotas.insert(range(lead), QuotaRule { over: Bytes(over), mode, members });
        ruleset
    }

    fn new(ruleset: &Ruleset) -> String {
        Script::of(&Layout::of(ruleset), &Standing::default()).whole()
    }

    /// What stands right after `ruleset` was applied.
    fn after(ruleset: &Ruleset) -> Standing {
        let layout = Layout::of(ruleset);
        let ports = layout.sets.iter().filter_map(|set| match &set.elements {
            Elements::Ports(ports) => Some((set.name.to_owned(), ports.clone())),
            Elements::Ranges(_) => None,
        });
        let quota =
            |(name, over): (&String, &Bytes)| (name.clone(), QuotaShape { over: over.0, beyond: true });
        Standing {
            table: Some(Table { handle: 1, flags: 0 }),
            chains: layout
                .chains
                .iter()
                .map(|chain| (chain.name.to_owned(), ChainShape::of(chain)))
                .collect(),
            sets: layout.sets.iter().map(|set| (set.name.to_owned(), SetShape::of(set))).collect(),
            ports: ports.collect(),
            quotas: layout.quotas.iter().map(quota).collect(),
            exhausted: BTreeSet::new(),
            counters: layout.counters,
        }
    }

    fn change(from: &Ruleset, to: &Ruleset) -> String {
        Script::of(&Layout::of(to), &after(from)).whole()
    }

    #[test]
    fn one_port() {
        let ruleset = limited(metered(&["10086"]), "10086", 10 << 30, Mode::Both, &["10086"]);
        assert_snapshot!(new(&ruleset));
    }

    #[test]
    fn one_port_with_a_speed_limit_that_counts_outbound_traffic() {
        let mut ruleset = limited(metered(&["10086"]), "10086", 10 << 30, Mode::OutOnly, &["10086"]);
        ruleset.classes.insert(range("10086"), ClassId::of(range("10086")).unwrap());
        assert_snapshot!(new(&ruleset));
    }

    #[test]
    fn a_group_with_a_range_of_which_one_is_blocked() {
        let members = ["443", "20000-20003"];
        let mut ruleset = limited(metered(&members), "443", 1 << 40, Mode::Both, &members);
        ruleset.blocked.insert(range("20000-20003"));
        assert_snapshot!(new(&ruleset));
    }

    #[test]
    fn a_wide_range() {
        let members = ["443", "30000-40000"];
        let mut ruleset = limited(metered(&members), "443", 1 << 40, Mode::Both, &members);
        ruleset.blocked.insert(range("30000-40000"));
        ruleset.classes.insert(range("30000-40000"), ClassId::of(range("30000-40000")).unwrap());
        assert_snapshot!(new(&ruleset));
    }

    #[test]
    fn forwarding() {
        assert_snapshot!(new(&Ruleset { forward: true, ..metered(&["8080"]) }));
    }

    #[test]
    fn nothing_but_the_rules_where_all_stands() {
        let ruleset = limited(metered(&["10086"]), "10086", 10 << 30, Mode::Both, &["10086"]);
        assert_snapshot!(change(&ruleset, &ruleset));
    }

    #[test]
    fn a_port_more_and_a_port_less() {
        let one = limited(metered(&["443", "8080"]), "443", 9, Mode::Both, &["443"]);
        let other = limited(metered(&["443", "10086"]), "10086", 7, Mode::Both, &["10086"]);
        assert_snapshot!(change(&one, &other));
    }

    #[test]
    fn a_wide_range_and_forwarding_that_go() {
        let wide = Ruleset { forward: true, ..metered(&["443", "30000-40000"]) };
        assert_snapshot!(change(&wide, &metered(&["443"])));
    }

    #[test]
    fn a_higher_limit_for_a_quota_with_room_and_for_an_exhausted_one() {
        let limits = |first, second| {
            let ruleset = limited(metered(&["443", "8080"]), "443", first, Mode::OutOnly, &["443"]);
            limited(ruleset, "8080", second, Mode::OutOnly, &["8080"])
        };
        let mut standing = after(&limits(100, 200));
        standing.exhausted.insert("quota_8080".to_owned());
        assert_snapshot!(Script::of(&Layout::of(&limits(1000, 2000)), &standing).whole());
    }

    #[test]
    fn foreign_things_and_misshapen_ones() {
        let ruleset = metered(&["443"]);
        let mut standing = after(&ruleset);
        let plain = SetShape { flags: 0, key_type: 7, data_type: 0, object_type: 0, timeout: 0 };
        standing.sets.insert("blocked_ports".to_owned(), plain);
        standing.sets.insert("foreign".to_owned(), plain);
        standing.sets.insert("__set0".to_owned(), SetShape { flags: 3, ..plain });
        standing.chains.insert("input".to_owned(), ChainShape { hook: None, flags: 0 });
        standing.chains.insert("foreign".to_owned(), ChainShape { hook: None, flags: 0 });
        standing.ports.remove("in_counters");
        standing.counters.insert("foreign".to_owned());
        assert_snapshot!(Script::of(&Layout::of(&ruleset), &standing).whole());
    }

    #[test]
    fn a_long_script_can_be_cut_between_its_steps() {
        let script =
            Script::of(&Layout::of(&metered(&["1-1000", "2001-3000", "3001-4000"])), &Standing::default());
        let parts: Vec<String> = script.parts().collect();
        assert_eq!(parts.concat(), script.whole());
        assert!(parts.len() > 3);
        assert!(parts.iter().all(|part| part.matches(',').count() <= STEP * STEPS_AT_ONCE));
        assert!(parts.iter().all(|part| part.ends_with('\n')));
    }
}
