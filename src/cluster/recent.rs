//! A map that holds a bounded number of entries: those that were used last. Pure.

use std::collections::HashMap;
use std::hash::Hash;

/// A map of at most so many entries. When it is full, the entries that have not been used for longest are forgotten, about
/// half of all at once; so each use costs the same.
#[derive(Debug)]
pub(super) struct RecentMap<K, V> {
    /// Those that were used since the others were set aside.
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// How many may be young.
    half: usize,
}

impl<K: Eq + Hash + Clone, V> RecentMap<K, V> {
    /// An empty one, of at most so many entries, two at least.
    pub(super) fn new(most: usize) -> Self {
        RecentMap { young: HashMap::new(), old: HashMap::new(), half: (most / 2).max(1) }
    }

    /// Uses the entry of this key. Where there is none, it is made.
    pub(super) fn with<R>(&mut self, key: &K, make: impl FnOnce() -> V, then: impl FnOnce(&mut V) -> R) -> R {
        if let Some(value) = self.young.get_mut(key) {
            return then(value);
        }
        let value = self.old.remove(key).unwrap_or_else(make);
        self.keep_young(key, value, then)
    }

    /// Uses the entry of this key, if there is one.
    pub(super) fn with_known<R>(&mut self, key: &K, then: impl FnOnce(&mut V) -> R) -> Option<R> {
        if let Some(value) = self.young.get_mut(key) {
            return Some(then(value));
        }
        let value = self.old.remove(key)?;
        Some(self.keep_young(key, value, then))
    }

    fn keep_young<R>(&mut self, key: &K, mut value: V, then: impl FnOnce(&mut V) -> R) -> R {
        let result = then(&mut value);
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key.clone(), value);
        result
    }

    /// The value of this key, which is not used by that.
    pub(super) fn get(&self, key: &K) -> Option<V>
    where
        V: Copy,
    {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten_within_the_bound() {
        let mut map = RecentMap::new(100);
        for n in 0..10_000 {
            map.with(&n, || 0, |value| *value += 1);
            assert_eq!(
                map.with(&-1, || 0, |value| std::mem::replace(value, *value + 1)),
                n,
                "used each time"
            );
            assert!(map.len() <= 100, "{}", map.len());
        }
        assert_eq!(map.with(&5, || 7, |value| *value), 7, "it was forgotten");
        assert_eq!(map.with(&9_999, || 7, |value| *value), 1);
    }
}
