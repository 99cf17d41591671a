//! What stands in pm's table, whoever put it there, and whether it has the shape that a layout asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::layout::{Chain, Elements, Holds, PRIORITY, Set};

impl Standing {
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

/// The contents of chains and sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Contents {
    /// The expressions of each chain's rules, in order, as the kernel wrote them.
    pub(crate) rules: BTreeMap<String, Vec<Vec<u8>>>,
    /// The elements of each set, the anonymous ones of rules included, as the kernel wrote them.
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

/// A number for everything in the table but what was counted: equal numbers mean that nothing was changed.
///
/// It is kept between runs of one build of the program only: with another build it may come out differently, which
/// costs one needless apply.
pub(crate) fn fingerprint(standing: &Standing, contents: &Contents) -> u64 {
    let mut hasher = DefaultHasher::new();
    // The elements are among the contents, and what is exhausted is a matter of traffic.
    let Standing { table, chains, sets, ports: _, counters, quotas, exhausted: _ } = standing;
    (table, chains, sets, counters, quotas, contents).hash(&mut hasher);
    hasher.finish()
}
