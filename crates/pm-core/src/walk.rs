//! A walk through a sorted map beside somebody who asks for its keys in ascending order.
//!
//! What a minute looks up for every entry it looks up in the order of the entries. A step along the map costs a tenth of
//! a search from its root.

use alloc::collections::{BTreeMap, btree_map};
use core::iter::Peekable;

/// A place in a map. It only goes forward.
#[derive(Debug)]
pub(crate) struct Walk<'a, K, V> {
    rest: Peekable<btree_map::Iter<'a, K, V>>,
}

impl<'a, K: Ord, V> Walk<'a, K, V> {
    /// Begins before the first key.
    pub(crate) fn through(map: &'a BTreeMap<K, V>) -> Self {
        Self { rest: map.iter().peekable() }
    }

    /// What is at this key. It must not be below one that was asked for before.
    pub(crate) fn at(&mut self, key: &K) -> Option<&'a V> {
        while self.rest.next_if(|(passed, _)| *passed < key).is_some() {}
        self.rest.peek().filter(|(found, _)| *found == key).map(|&(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_search_would_find() {
        let map = BTreeMap::from([(2, 'b'), (3, 'c'), (7, 'g')]);
        let mut walk = Walk::through(&map);
        for key in [0, 1, 2, 2, 4, 7, 7, 9] {
            assert_eq!(walk.at(&key), map.get(&key), "{key}");
        }
    }
}
