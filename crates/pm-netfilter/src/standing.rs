//! What stands in pm's table, whoever put it there, and whether it has the shape that a layout asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use pm_core::units::Bytes;

use crate::layout::{Chain, Elements, Holds, Layout, PRIORITY, Set};

impl Standing {
    /// What stands where this layout was applied and nobody has changed it since. What is exhausted is another matter.
    pub(crate) fn after(layout: Layout, table: Table) -> Self {
        let Layout { counters, quotas, sets, chains } = layout;
        let shape = |(name, over): (String, Bytes)| (name, QuotaShape { over: over.0, beyond: true });
        Self {
            table: Some(table),
            chains: chains.iter().map(|chain| (chain.name.to_owned(), ChainShape::of(chain))).collect(),
            sets: sets.iter().map(|set| (set.name.to_owned(), SetShape::of(set))).collect(),
            ports: sets.into_iter().filter_map(Set::into_ports).collect(),
            counters,
            quotas: quotas.into_iter().map(shape).collect(),
            exhausted: BTreeSet::new(),
            written: chains,
            handles: BTreeMap::new(),
        }
    }

    /// Whether all that has a name is as in this layout: counters, quotas, and the elements of hashes.
    pub(crate) fn holds(&self, layout: &Layout) -> bool {
        let quota = |(name, over): (&String, &Bytes)| {
            self.quotas.get(name) == Some(&QuotaShape { over: over.0, beyond: true })
        };
        let set = |set: &Set| match &set.elements {
            Elements::Ports(ports) => self.ports.get(set.name) == Some(ports),
            Elements::Ranges(_) => true,
        };
        self.counters == layout.counters
            && self.quotas.len() == layout.quotas.len()
            && layout.quotas.iter().all(quota)
            && layout.sets.iter().all(set)
    }

    /// The quotas that have a higher limit in this layout.
    pub(crate) fn raised_by<'a>(&self, layout: &'a Layout) -> Vec<&'a str> {
        let stood = |name: &String| self.quotas.get(name).map(|quota| quota.over);
        let raised =
            layout.quotas.iter().filter(|(name, over)| stood(name).is_some_and(|stood| stood < over.0));
        raised.map(|(name, _)| name.as_str()).collect()
    }

    /// Whether a transaction can turn it into a layout: the table is awake, and everything in it can be named to nft.
    pub(crate) fn is_repairable(&self) -> bool {
        let awake = self.table.is_none_or(|table| table.flags == 0);
        let plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let named = self.sets.iter().filter(|(_, shape)| !shape.is_anonymous()).map(|(name, _)| name);
        awake && self.chains.keys().chain(named).chain(&self.counters).chain(self.quotas.keys()).all(plain)
    }
}

/// The table itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Table {
    /// Unique in one run of the machine and one network namespace.
    pub(crate) handle: u64,
    /// 0 for a table that works; 1 for one that somebody put to sleep.
    pub(crate) flags: u32,
}

/// The table and the shapes of all things in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// None where there is no such table: then there is nothing else.
    pub(crate) table: Option<Table>,
    pub(crate) chains: BTreeMap<String, ChainShape>,
    pub(crate) sets: BTreeMap<String, SetShape>,
    /// The elements of the sets that are hashes of ports. A set with an element that is none of ours is left out.
    pub(crate) ports: BTreeMap<String, BTreeMap<u16, String>>,
    pub(crate) counters: BTreeSet<String>,
    pub(crate) quotas: BTreeMap<String, QuotaShape>,
    /// The quotas that let nothing more pass.
    pub(crate) exhausted: BTreeSet<String>,
    /// The chains with their rules, where these are known to be such as we write.
    pub(crate) written: Vec<Chain>,
    /// The handles of these rules by chain, in their order, where somebody asked for them.
    pub(crate) handles: BTreeMap<String, Vec<u64>>,
}

/// What stands where there is no table.
pub(crate) static NOTHING: Standing = Standing {
    table: None,
    chains: BTreeMap::new(),
    sets: BTreeMap::new(),
    ports: BTreeMap::new(),
    counters: BTreeSet::new(),
    quotas: BTreeMap::new(),
    exhausted: BTreeSet::new(),
    written: Vec::new(),
    handles: BTreeMap::new(),
};

/// What cannot be changed about a chain without making it anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChainShape {
    /// None for a chain that others jump to.
    pub(crate) hook: Option<HookShape>,
    pub(crate) flags: u32,
}

/// Where packets enter a chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HookShape {
    pub(crate) number: u32,
    pub(crate) priority: i32,
    pub(crate) kind: String,
    pub(crate) policy: u32,
}

/// What cannot be changed about a set without making it anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SetShape {
    pub(crate) flags: u32,
    pub(crate) key_type: u32,
    pub(crate) data_type: u32,
    pub(crate) object_type: u32,
    pub(crate) timeout: u64,
}

/// A quota without what it has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QuotaShape {
    pub(crate) over: u64,
    /// Whether it matches beyond its limit; if not, a `drop` behind it drops everything below.
    pub(crate) beyond: bool,
}

/// The contents of chains, and of the sets that are no hashes of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Contents {
    /// The expressions of each chain's rules, in order, as the kernel wrote them.
    pub(crate) rules: BTreeMap<String, Vec<Vec<u8>>>,
    /// The elements of the trees and of what is part of a rule, as the kernel wrote them.
    pub(crate) elements: BTreeMap<String, BTreeSet<Vec<u8>>>,
}

/// `NFT_SET_ANONYMOUS`: part of a rule, and gone with it.
pub(crate) const ANONYMOUS: u32 = 0x1;
/// `NFT_SET_CONSTANT`: filled in the transaction that makes it.
pub(crate) const CONSTANT: u32 = 0x2;
/// `NFT_SET_INTERVAL`.
const INTERVAL: u32 = 0x4;
/// `NFT_SET_MAP`.
const MAP: u32 = 0x8;
/// `NFT_SET_OBJECT`.
const OBJECT: u32 = 0x40;

/// nft's numbers of the datatypes that our keys and values have.
const TYPE_PORT: u32 = 13;
const TYPE_CLASS: u32 = 23;
/// And of the protocols in the sets of our rules.
pub(crate) const TYPE_PROTOCOL: u32 = 12;

/// The kernel's numbers of the kinds of objects.
pub(crate) const OBJECT_COUNTER: u32 = 1;
/// See [`OBJECT_COUNTER`].
pub(crate) const OBJECT_QUOTA: u32 = 2;

/// `NF_ACCEPT`.
pub(crate) const ACCEPT: u32 = 1;

impl SetShape {
    pub(crate) fn is_anonymous(self) -> bool {
        self.flags & ANONYMOUS != 0
    }

    /// Whether it is a hash with ports as keys.
    pub(crate) fn is_of_ports(self) -> bool {
        self.flags & (ANONYMOUS | INTERVAL) == 0 && self.key_type == TYPE_PORT
    }

    /// nft deletes maps by another word than sets.
    pub(crate) fn is_map(self) -> bool {
        self.flags & (MAP | OBJECT) != 0
    }

    /// The shape that this set should have.
    pub(crate) fn of(set: &Set) -> Self {
        Self::with(set.holds, matches!(set.elements, Elements::Ranges(_)))
    }

    /// The shape of a hash or a tree of ports that holds this.
    pub(crate) fn with(holds: Holds, is_tree: bool) -> Self {
        let (flags, data_type, object_type) = match holds {
            Holds::Nothing => (0, 0, 0),
            Holds::Counters => (OBJECT, 0, OBJECT_COUNTER),
            Holds::Quotas => (OBJECT, 0, OBJECT_QUOTA),
            Holds::Classes => (MAP, TYPE_CLASS, 0),
        };
        let interval = if is_tree { INTERVAL } else { 0 };
        Self { flags: flags | interval, key_type: TYPE_PORT, data_type, object_type, timeout: 0 }
    }
}

impl ChainShape {
    /// The shape that this chain should have.
    pub(crate) fn of(chain: &Chain) -> Self {
        let hook = chain.hook.map(|hook| HookShape {
            number: hook.number(),
            priority: PRIORITY,
            kind: "filter".to_owned(),
            policy: ACCEPT,
        });
        Self { hook, flags: 0 }
    }
}

/// A number for what of the table has no names to be compared: its chains with their rules, and the sets that are no
/// hashes of ports.
///
/// It is kept between runs of one build of the program only: with another build it may come out differently, which
/// costs one needless apply.
pub(crate) fn fingerprint(standing: &Standing, contents: &Contents) -> u64 {
    let mut hasher = DefaultHasher::new();
    (standing.table, &standing.chains, &standing.sets, contents).hash(&mut hasher);
    hasher.finish()
}
