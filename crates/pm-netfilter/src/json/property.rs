//! What holds of any text as what `nft -j` prints.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

use pm_core::accounting::BootId;
use serde_json::Value;

use super::{INET, Listing};
use crate::layout::TABLE;
use crate::property::is_written_over;
use crate::reading;

/// Reads a list: what is ours is in it, once for each time that it was printed, and nothing else.
pub fn nft_json(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(listing) = Listing::read(text) else { return };
    let printed: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}"));
    let items = printed.get("nftables").and_then(Value::as_array).cloned().unwrap_or_default();
    let ours = |kind: &str| {
        let is_ours = |item: &&Value| item["family"] == INET && item["table"] == TABLE;
        let items = items.iter().filter_map(|item| item.get(kind));
        items.filter(is_ours).map(|item| item["name"].clone()).collect::<Vec<_>>()
    };
    // An item has one kind; of one that claims more, the first that concerns us counts.
    let is_usual = items.iter().all(|item| item.as_object().is_some_and(|item| item.len() <= 1));
    if is_usual {
        let names = |names: Vec<&str>| names.into_iter().map(Value::from).collect::<Vec<_>>();
        assert_eq!(names(listing.counters.iter().map(|counter| &*counter.name).collect()), ours("counter"));
        assert_eq!(names(listing.quotas.iter().map(|quota| &*quota.name).collect()), ours("quota"));
        assert_eq!(names(listing.chains.iter().map(|name| &**name).collect()), ours("chain"));
        let sets = |wanted| {
            listing.sets.iter().filter(move |(_, is_map)| *is_map == wanted).map(|(name, _)| &**name)
        };
        assert_eq!(names(sets(false).collect()), ours("set"));
        assert_eq!(names(sets(true).collect()), ours("map"));
    }
    let boot = BootId { kernel: 1, init: 1 };
    let handle = listing.table.unwrap_or_default();
    let [before, after] = [&listing.quotas; 2].map(|quotas| quotas.iter().cloned().collect());
    let counters = listing.counters.iter().cloned().collect();
    let readings = reading::readings(boot, handle, before, counters, after);
    assert!(readings.counters.len() <= listing.counters.len());
    is_written_over(&listing.standing());
}
