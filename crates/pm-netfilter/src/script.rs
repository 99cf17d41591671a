//! What has to be done to turn what stands into a layout: commands, in an order that the kernel accepts.

use std::collections::{BTreeMap, BTreeSet};

use pm_core::port::PortRange;

use crate::layout::{Chain, Elements, Holds, Hook, Layout, Rule, Set};
use crate::standing::{ChainShape, NOTHING, SetShape, Standing};

/// How many objects or elements one step holds at most: an even number. The elements of a command have to fit into the 64 KiB of an
/// attribute, and each has some 60 bytes.
pub(crate) const STEP: usize = 500;
/// How many steps an unprivileged container can send at once: its socket takes some 200 KiB, which 2,100 objects and
/// elements did not fill.
const STEPS_AT_ONCE: usize = 3;

/// Commands in steps: all of them make one transaction where that is possible. Where it is not, each step leaves a
/// table that counts and blocks like the old one or the new one.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    steps: Vec<Vec<Command<'a>>>,
}

/// One change in pm's table, as `nft` and the kernel both know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// Also right where the table stands already, as all that add something are.
    AddTable,
    /// With all that is in it.
    DeleteTable,
    /// All rules of the table.
    FlushRules,
    AddCounter(&'a str),
    DeleteCounter(&'a str),
    /// A quota that stands already gets the limit, and keeps what it used.
    AddQuota {
        name: &'a str,
        over: u64,
        used: u64,
    },
    DeleteQuota(&'a str),
    AddSet {
        name: &'a str,
        holds: Holds,
        is_tree: bool,
        room: Option<u32>,
    },
    DeleteSet {
        name: &'a str,
        is_map: bool,
    },
    FlushSet {
        name: &'a str,
        is_map: bool,
    },
    AddElements {
        set: &'a str,
        holds: Holds,
        elements: Keys<'a>,
    },
    DeleteElements {
        set: &'a str,
        holds: Holds,
        elements: Keys<'a>,
    },
    AddChain {
        name: &'a str,
        hook: Option<Hook>,
    },
    DeleteChain(&'a str),
    /// Behind all rules of the chain, or before the one with this handle.
    AddRule {
        chain: &'a str,
        rule: Rule,
        before: Option<u64>,
    },
}

/// Elements of one set, and what they stand for as nft writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keys<'a> {
    Ports(Vec<(u16, &'a str)>),
    Ranges(Vec<(PortRange, &'a str)>),
}

impl<'a> Script<'a> {
    /// The commands for `layout` where this stands.
    ///
    /// Only what differs is touched, but for the rules, which are few and are all replaced where one has to go. Nothing is
    /// deleted but what was just seen to stand: what is absent cannot be deleted. Counters and quotas that stay keep their
    /// values.
    pub(crate) fn of(layout: &'a Layout, standing: &'a Standing) -> Self {
        let (rearmed, lacking) = (rearmed(layout, standing), lacking(layout, standing));
        Writer { layout, standing, rearmed, lacking, steps: Vec::new() }.write()
    }

    /// The commands for `layout` where this stands, if all of it can be named to nft; else those that make the table anew.
    pub(crate) fn over(layout: &'a Layout, standing: &'a Standing) -> Self {
        if standing.is_repairable() { Self::of(layout, standing) } else { Self::anew(layout) }
    }

    /// The commands that make the table anew, whatever stands in it. All counters begin at zero.
    pub(crate) fn anew(layout: &'a Layout) -> Self {
        let mut script = Self::of(layout, &NOTHING);
        script.steps.splice(0..0, Self::removal().steps);
        script
    }

    /// The commands that remove the table. It is added first because `delete` fails when another program was faster.
    pub(crate) fn removal() -> Self {
        Self { steps: vec![vec![Command::AddTable, Command::DeleteTable]] }
    }

    /// As one transaction.
    pub(crate) fn whole(&self) -> Vec<&Command<'a>> {
        self.steps.iter().flatten().collect()
    }

    /// As several transactions, each small enough for a container.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Vec<&Command<'a>>> {
        self.steps.chunks(STEPS_AT_ONCE).map(|steps| steps.iter().flatten().collect())
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

/// The rules that are all that the chains lack, each with its place; none where it is not known that all others stand and are
/// wanted.
///
/// The first port that is blocked adds rules and takes none away. Where a rule is deleted, the kernel has to wait until no
/// processor is in the middle of it any more, and whoever uses nftables next waits along: the row of blocked ports in
/// docs/performance.md.
fn lacking<'a>(layout: &'a Layout, standing: &Standing) -> Option<Vec<Command<'a>>> {
    let mut lacking = Vec::new();
    if layout.chains.len() != standing.written.len() {
        return None;
    }
    for (chain, written) in layout.chains.iter().zip(&standing.written) {
        if (chain.name, chain.hook) != (written.name, written.hook) {
            return None;
        }
        let mut stand = written.rules.iter().enumerate().peekable();
        for &rule in &chain.rules {
            let next = stand.peek().copied();
            if next.is_some_and(|(_, stands)| *stands == rule) {
                stand.next();
                continue;
            }
            let handle = |place: usize| standing.handles.get(chain.name)?.get(place).copied();
            let before = match next {
                Some((place, _)) => Some(handle(place)?),
                None => None,
            };
            lacking.push(Command::AddRule { chain: chain.name, rule, before });
        }
        if stand.next().is_some() {
            return None;
        }
    }
    Some(lacking)
}

struct Writer<'a> {
    layout: &'a Layout,
    standing: &'a Standing,
    rearmed: BTreeMap<&'a str, u64>,
    /// The rules that the chains lack; none where all are replaced.
    lacking: Option<Vec<Command<'a>>>,
    steps: Vec<Vec<Command<'a>>>,
}

impl<'a> Writer<'a> {
    /// The order is the one in which nothing is named before it is there, or deleted while it is named, and in which
    /// nft 1.0.6 works: it sends the elements of interval maps together with the map, so what they name comes first.
    fn write(mut self) -> Script<'a> {
        self.step([Command::AddTable]);
        self.make_way();
        let sets: Vec<&'a Set> = self.layout.sets.iter().filter(|set| !self.is_filled(set)).collect();
        self.delete_elements(&sets);
        self.objects();
        self.step(self.layout.sets.iter().map(declaration));
        self.add_elements(&sets);
        self.chains();
        self.delete_surplus();
        Script { steps: self.steps }
    }

    /// One step of these commands, if there are any.
    fn step(&mut self, commands: impl IntoIterator<Item = Command<'a>>) {
        let commands: Vec<_> = commands.into_iter().collect();
        if !commands.is_empty() {
            self.steps.push(commands);
        }
    }

    fn steps(&mut self, commands: &[Command<'a>]) {
        self.steps.extend(commands.chunks(STEP).map(<[Command<'a>]>::to_vec));
    }

    /// What has to be out of the way: sets of ours that are of another kind than they should be, and whatever else may
    /// name a quota that is made anew. The rules that use them go first.
    fn make_way(&mut self) {
        let (layout, standing) = (self.layout, self.standing);
        let wrong = layout.sets.iter().filter_map(|set| {
            let shape = standing.sets.get(set.name).filter(|shape| **shape != SetShape::of(set))?;
            Some(Command::DeleteSet { name: set.name, is_map: shape.is_map() })
        });
        let mut commands: Vec<_> = wrong.collect();
        if !self.rearmed.is_empty() {
            let maps = self.surplus_sets().filter(|(_, shape)| shape.is_map());
            commands.extend(maps.map(|(name, _)| Command::FlushSet { name, is_map: true }));
        }
        if !commands.is_empty() || !self.rearmed.is_empty() {
            self.lacking = None;
            self.step([Command::FlushRules].into_iter().chain(commands));
        }
    }

    fn delete_elements(&mut self, sets: &[&'a Set]) {
        for &set in sets {
            match self.content(set) {
                Content::Nothing => {}
                Content::Unknown => {
                    self.step([Command::FlushSet { name: set.name, is_map: set.holds.is_map() }]);
                }
                Content::Ports(stood) => {
                    let gone = |(port, value): &(u16, &str)| !self.stays(set, *port, value);
                    let gone: Vec<_> = elements(stood).filter(gone).collect();
                    self.steps.extend(gone.chunks(STEP).map(|chunk| {
                        let elements = Keys::Ports(chunk.to_vec());
                        vec![Command::DeleteElements { set: set.name, holds: set.holds, elements }]
                    }));
                }
            }
        }
    }

    fn add_elements(&mut self, sets: &[&'a Set]) {
        for &set in sets {
            let new: Vec<Keys<'a>> = match (&set.elements, self.content(set)) {
                (Elements::Ranges(ranges), _) => {
                    let ranges: Vec<_> = elements(ranges).collect();
                    ranges.chunks(STEP).map(|chunk| Keys::Ranges(chunk.to_vec())).collect()
                }
                (Elements::Ports(ports), content) => {
                    let comes = |(port, _): &(u16, &str)| match content {
                        Content::Ports(stood) => {
                            stood.get(port).is_none_or(|value| !self.stays(set, *port, value))
                        }
                        Content::Nothing | Content::Unknown => true,
                    };
                    let ports: Vec<_> = elements(ports).filter(comes).collect();
                    ports.chunks(STEP).map(|chunk| Keys::Ports(chunk.to_vec())).collect()
                }
            };
            let command = |elements| Command::AddElements { set: set.name, holds: set.holds, elements };
            self.steps.extend(new.into_iter().map(|elements| vec![command(elements)]));
        }
    }

    /// What the set holds when it is filled.
    fn content(&self, set: &Set) -> Content<'a> {
        let right = self.standing.sets.get(set.name) == Some(&SetShape::of(set));
        match (right, &set.elements, self.standing.ports.get(set.name)) {
            (false, _, _) => Content::Nothing,
            (true, Elements::Ports(_), Some(ports)) => Content::Ports(ports),
            // Trees are small. Intervals are not taken out one by one, which no two versions of nft do alike.
            (true, _, _) => Content::Unknown,
        }
    }

    /// Whether the set holds all that it should and nothing else, and all of it is left alone: most sets in most changes, and
    /// to compare two maps costs a tenth of looking every element up.
    fn is_filled(&self, set: &Set) -> bool {
        let is_right = match (&set.elements, self.content(set)) {
            (Elements::Ports(wanted), Content::Ports(stood)) => wanted == stood,
            _ => false,
        };
        is_right && (self.rearmed.is_empty() || set.holds != Holds::Quotas)
    }

    /// Whether an element that stands is left alone.
    fn stays(&self, set: &Set, port: u16, value: &str) -> bool {
        let wanted = match &set.elements {
            Elements::Ports(ports) => ports.get(&port).is_some_and(|wanted| wanted == value),
            Elements::Ranges(_) => false,
        };
        wanted && !(set.holds == Holds::Quotas && self.rearmed.contains_key(value))
    }

    /// Quotas before counters: for each message of a listing the kernel goes again past what was made before that, and
    /// quotas are listed twice a minute. That is the row of a quiet minute of 10,000 ports.
    fn objects(&mut self) {
        let (layout, standing) = (self.layout, self.standing);
        let changed = layout.quotas.iter().filter(|(name, over)| {
            standing.quotas.get(*name).is_none_or(|quota| quota.over != over.0 || !quota.beyond)
        });
        let (mut kept, mut anew) = (Vec::new(), Vec::new());
        for (name, over) in changed {
            match self.rearmed.get(name.as_str()) {
                None => kept.push(Command::AddQuota { name, over: over.0, used: 0 }),
                Some(&used) => {
                    anew.extend([Command::DeleteQuota(name), Command::AddQuota { name, over: over.0, used }]);
                }
            }
        }
        self.steps(&kept);
        // The two commands of a quota stay in one step, which holds an even number.
        self.steps(&anew);
        let counters = layout.counters.difference(&standing.counters);
        let counters: Vec<_> = counters.map(|name| Command::AddCounter(name)).collect();
        self.steps(&counters);
    }

    /// All chains and their rules, in one step: a chain without its rules counts nothing.
    fn chains(&mut self) {
        if let Some(lacking) = self.lacking.take() {
            return self.step(lacking);
        }
        let (layout, standing) = (self.layout, self.standing);
        let flush = (!standing.chains.is_empty()).then_some(Command::FlushRules);
        let misfits = standing.chains.iter().filter(|(name, shape)| {
            let wanted = layout.chains.iter().find(|chain| chain.name == *name);
            wanted.map(ChainShape::of).as_ref() != Some(shape)
        });
        let deletions = misfits.map(|(name, _)| Command::DeleteChain(name));
        let declarations =
            layout.chains.iter().map(|chain| Command::AddChain { name: chain.name, hook: chain.hook });
        let rules = |chain: &'a Chain| {
            chain.rules.iter().map(|&rule| Command::AddRule { chain: chain.name, rule, before: None })
        };
        let rules = layout.chains.iter().flat_map(rules);
        self.step(flush.into_iter().chain(deletions).chain(declarations).chain(rules));
    }

    /// What stands and is not wanted. Sets go before the objects that their elements name.
    fn delete_surplus(&mut self) {
        let (layout, standing) = (self.layout, self.standing);
        let sets =
            self.surplus_sets().map(|(name, shape)| Command::DeleteSet { name, is_map: shape.is_map() });
        let counters = standing.counters.difference(&layout.counters);
        let quotas = standing.quotas.keys().filter(|&name| !layout.quotas.contains_key(name));
        let deletions: Vec<_> = sets
            .chain(counters.map(|name| Command::DeleteCounter(name)))
            .chain(quotas.map(|name| Command::DeleteQuota(name)))
            .collect();
        self.steps(&deletions);
    }

    /// Sets that stand and are not wanted.
    fn surplus_sets(&self) -> impl Iterator<Item = (&'a String, &'a SetShape)> + use<'a> {
        let wanted: BTreeSet<&str> = self.layout.sets.iter().map(|set| set.name).collect();
        let named = self.standing.sets.iter().filter(|(_, shape)| !shape.is_anonymous());
        named.filter(move |(name, _)| !wanted.contains(name.as_str()))
    }
}

/// What is in a set before it is filled.
enum Content<'a> {
    Nothing,
    Ports(&'a BTreeMap<u16, String>),
    Unknown,
}

fn declaration(set: &Set) -> Command<'_> {
    let is_tree = matches!(set.elements, Elements::Ranges(_));
    Command::AddSet { name: set.name, holds: set.holds, is_tree, room: set.room }
}

fn elements<Key: Copy>(map: &BTreeMap<Key, String>) -> impl Iterator<Item = (Key, &str)> {
    map.iter().map(|(&key, value)| (key, value.as_str()))
}
