//! The same list of objects as `nft -j` prints it, for kernels whose netlink cannot be spoken to directly.

#[cfg(feature = "fuzzing")]
pub(crate) mod property;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::NetfilterError;
use crate::layout::TABLE;
use crate::reading::{Counter, Quota};
use crate::standing::{ChainShape, HookShape, QuotaShape, SetShape, Standing, Table};

/// What `nft -j` prints, as far as it concerns our table. Everything else is passed over.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The handle of our table; none where it is not listed.
    pub(crate) table: Option<u64>,
    pub(crate) counters: Vec<Counter<'static>>,
    pub(crate) quotas: Vec<Quota<'static>>,
    chains: Vec<String>,
    sets: Vec<(String, bool)>,
}

impl Listing {
    /// Reads what `nft -j` printed.
    pub(crate) fn read(printed: &str) -> Result<Self, NetfilterError> {
        let output: Output = serde_json::from_str(printed).map_err(NetfilterError::Json)?;
        let mut listing = Self::default();
        for item in output.nftables {
            listing.take(item);
        }
        Ok(listing)
    }

    fn take(&mut self, item: Item) {
        match item {
            Item { table: Some(table), .. } if table.name == TABLE && table.family == INET => {
                self.table = Some(table.handle);
            }
            Item { counter: Some(Object { place, name, handle, data }), .. } if place.is_ours() => {
                self.counters.push(Counter { name: name.into(), handle, bytes: data.bytes });
            }
            Item { quota: Some(Object { place, name, data, .. }), .. } if place.is_ours() => {
                let Data { bytes: over, inv: beyond, used } = data;
                self.quotas.push(Quota { name: name.into(), over, beyond, used });
            }
            Item { chain: Some(Named { place, name }), .. } if place.is_ours() => self.chains.push(name),
            Item { set: Some(Named { place, name }), .. } if place.is_ours() => self.sets.push((name, false)),
            Item { map: Some(Named { place, name }), .. } if place.is_ours() => self.sets.push((name, true)),
            _ => {}
        }
    }

    /// What stands, in shapes that nothing has: whatever can be deleted is made anew.
    pub(crate) fn standing(self) -> Standing {
        const NO_SET: u32 = 0x8000_0000;
        const MAP: u32 = 0x8;
        let Some(handle) = self.table else { return Standing::default() };
        let no_hook = HookShape { number: u32::MAX, priority: 0, kind: String::new(), policy: 0 };
        let set = |(name, is_map)| {
            let flags = if is_map { NO_SET | MAP } else { NO_SET };
            (name, SetShape { flags, key_type: 0, data_type: 0, object_type: 0, timeout: 0 })
        };
        Standing {
            table: Some(Table { handle, flags: 0 }),
            chains: self
                .chains
                .into_iter()
                .map(|name| (name, ChainShape { hook: Some(no_hook.clone()), flags: 0 }))
                .collect(),
            sets: self.sets.into_iter().map(set).collect(),
            ports: BTreeMap::new(),
            written: Vec::new(),
            handles: BTreeMap::new(),
            counters: self.counters.into_iter().map(|counter| counter.name.into_owned()).collect(),
            exhausted: self
                .quotas
                .iter()
                .filter(|quota| quota.is_exhausted())
                .map(|quota| quota.name.clone().into_owned())
                .collect(),
            quotas: self
                .quotas
                .into_iter()
                .map(|quota| (quota.name.into_owned(), QuotaShape { over: quota.over, beyond: quota.beyond }))
                .collect(),
        }
    }
}

const INET: &str = "inet";

#[derive(Deserialize)]
struct Output {
    nftables: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    table: Option<TableItem>,
    counter: Option<Object>,
    quota: Option<Object>,
    chain: Option<Named>,
    set: Option<Named>,
    map: Option<Named>,
}

#[derive(Deserialize)]
struct TableItem {
    family: String,
    name: String,
    handle: u64,
}

#[derive(Deserialize)]
struct Object {
    #[serde(flatten)]
    place: Place,
    name: String,
    handle: u64,
    #[serde(flatten)]
    data: Data,
}

#[derive(Deserialize)]
struct Named {
    #[serde(flatten)]
    place: Place,
    name: String,
}

#[derive(Deserialize)]
struct Place {
    family: String,
    table: String,
}

impl Place {
    fn is_ours(&self) -> bool {
        self.family == INET && self.table == TABLE
    }
}

#[derive(Deserialize)]
struct Data {
    bytes: u64,
    #[serde(default)]
    used: u64,
    #[serde(default)]
    inv: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_table_is_taken_and_unknown_things_are_passed_over() {
        let listing = Listing::read(
            r#"{"nftables": [
                {"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}},
                {"table": {"family": "ip", "name": "port_monitor", "handle": 3}},
                {"table": {"family": "inet", "name": "port_monitor", "handle": 9, "comment": "x"}},
                {"counter": {"family": "inet", "name": "cnt_in_1", "table": "port_monitor", "handle": 2, "packets": 1, "bytes": 99999999999}},
                {"counter": {"family": "inet", "name": "cnt_in_1", "table": "other", "handle": 4, "packets": 1, "bytes": 5}},
                {"quota": {"family": "inet", "name": "quota_1", "table": "port_monitor", "handle": 5, "bytes": 1000, "used": 7, "inv": true}},
                {"quota": {"family": "inet", "name": "quota_2", "table": "port_monitor", "handle": 6, "bytes": 1000, "inv": true}},
                {"chain": {"family": "inet", "table": "port_monitor", "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": -5, "policy": "accept"}},
                {"map": {"family": "inet", "name": "in_counters", "table": "port_monitor", "type": "inet_service", "handle": 7, "map": "counter", "elem": [[1, "cnt_in_1"]]}},
                {"flowtable": {"family": "inet", "name": "f", "table": "port_monitor", "handle": 8}}
            ]}"#,
        )
        .unwrap();
        assert_eq!(listing.table, Some(9));
        assert_eq!(listing.counters, [Counter { name: "cnt_in_1".into(), handle: 2, bytes: 99_999_999_999 }]);
        let quota = |name: &'static str, used| Quota { name: name.into(), over: 1000, beyond: true, used };
        assert_eq!(listing.quotas, [quota("quota_1", 7), quota("quota_2", 0)]);
        let standing = listing.standing();
        assert!(standing.chains.contains_key("input"));
        assert!(standing.sets.get("in_counters").is_some_and(|shape| shape.is_map()));
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        assert!(Listing::read("").is_err());
        assert!(Listing::read("{}").is_err());
        assert!(Listing::read(r#"{"nftables": []}"#).is_ok());
    }
}
