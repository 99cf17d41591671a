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

/// The quotas whose limit is to change and that are exhausted.
///
/// The kernel counts what an exhausted quota drops but does not tell it, so its limit cannot be moved by the right
/// amount: it has to be made anew, with the figure that the kernel tells, which is its limit. Nothing passes between
/// the telling and the making.
fn rearmed<'a>(layout: &'a Layout, standing: &Standing) -> BTreeMap<&'a str, u64> {
    let stood = |name: &str| standing.quotas.get(name).filter(|_| standing.exhausted.contains(name));
    let changes = layout.quotas.iter().filter_map(|(name, over)| Some((name, over, stood(name)?)));
    changes
        .filter(|(_, over, stood)| over.0 != stood.over)
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
        self.delete_misshapen_sets();
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

    /// Sets of ours that are of another kind than they should be: they must go before they can be made anew, and the
    /// rules that use them before that.
    fn delete_misshapen_sets(&mut self) {
        let wrong =
            |set: &&Set| self.standing.sets.get(set.name).is_some_and(|shape| *shape != SetShape::of(set));
        let names = self.layout.sets.iter().filter(wrong).map(|set| set.name);
        let deletions: Vec<String> = names.map(|name| self.deletion_of_set(name)).collect();
        if !deletions.is_empty() {
            self.step([format!("flush table inet {TABLE}")].into_iter().chain(deletions));
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
