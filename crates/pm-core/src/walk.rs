//! A walk through a sorted map beside somebody who asks for its keys in ascending order.
//!
//! What a minute looks up for every entry it looks up in the order of the entries. A step along the map costs a tenth of
//! a search from its root.

use alloc::collections::{BTreeMap, btree_map};
use core::iter::Peekable;

/// A place in a map.
#[derive(Debug)]
pub(crate) struct Walk<'a, K, V> {
    map: &'a BTreeMap<K, V>,
    /// The last key that was left behind.
    passed: Option<&'a K>,
    rest: Peekable<btree_map::Range<'a, K, V>>,
}

impl<'a, K: Ord, V> Walk<'a, K, V> {
    /// Who asks for a key this many steps ahead is better off with a search.
    const STEPS: usize = 4;

    /// Begins before the first key.
    pub(crate) fn through(map: &'a BTreeMap<K, V>) -> Self {
        Self { map, passed: None, rest: map.range::<K, _>(..).peekable() }
    }

    /// What is at this key. One that is not ahead, or far, is searched for.
    #[inline]
    pub(crate) fn at(&mut self, key: &K) -> Option<&'a V> {
        if self.passed.is_none_or(|passed| passed < key) {
            for _ in 0..Self::STEPS {
                match self.rest.peek() {
                    Some(&(next, _)) if next < key => {
                        self.passed = Some(next);
                        self.rest.next();
                    }
                    Some(&(next, value)) => return (next == key).then_some(value),
                    None => return None,
                }
            }
        }
        self.search(key)
    }

    #[cold]
    fn search(&mut self, key: &K) -> Option<&'a V> {
        self.passed = self.map.range::<K, _>(..key).next_back().map(|(passed, _)| passed);
        self.rest = self.map.range::<K, _>(key..).peekable();
        self.rest.peek().filter(|(found, _)| *found == key).map(|&(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_search_would_find(
            map in proptest::collection::btree_map(0_u8..40, any::<u8>(), 0..30),
            asked in proptest::collection::vec(0_u8..40, 0..60), sorted in any::<bool>(),
        ) {
            let mut asked = asked;
            if sorted {
                asked.sort_unstable();
            }
            let mut walk = Walk::through(&map);
            for key in asked {
                prop_assert_eq!(walk.at(&key), map.get(&key), "{}", key);
            }
        }
    }
}
