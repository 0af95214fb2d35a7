//! A map whose copies share what they have in common.

use foldhash::fast::FixedState;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Parts of a map. A change copies one of them, as far as somebody else holds it.
const PARTS: usize = 64;

type Part<K, V> = HashMap<K, Arc<V>, FixedState>;

/// A map that is cheap to copy and to change after copying, for state that is published whole and changes a little at a
/// time: of N entries, a copy costs a count for each of 64 parts, a change N / 64 entries.
pub struct SharedMap<K, V> {
    parts: Box<[Arc<Part<K, V>>]>,
    len: usize,
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        SharedMap { parts: self.parts.clone(), len: self.len }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        let empty = Arc::new(Part::default());
        SharedMap { parts: (0..PARTS).map(|_| empty.clone()).collect(), len: 0 }
    }
}

fn part_of<Q: Hash + ?Sized>(key: &Q) -> usize {
    // The low bits choose the place within a part's table, the high ones its tags.
    let hash = FixedState::default().hash_one(key);
    ((hash >> 32) % PARTS as u64) as usize
}

impl<K: Hash + Eq + Clone, V> SharedMap<K, V> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_shared(key).map(|v| &**v)
    }

    /// The value of a key, to keep.
    pub fn get_shared<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.parts[part_of(key)].get(key)
    }

    /// Whether there is such a key.
    pub fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get_shared(key).is_some()
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) {
        self.insert_shared(key, Arc::new(value));
    }

    /// Sets the value of a key.
    pub fn insert_shared(&mut self, key: K, value: Arc<V>) {
        let part = Arc::make_mut(&mut self.parts[part_of(&key)]);
        self.len += usize::from(part.insert(key, value).is_none());
    }

    /// Removes a key; the value that it had.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        let part = &mut self.parts[part_of(key)];
        if !part.contains_key(key) {
            return None;
        }
        self.len -= 1;
        Arc::make_mut(part).remove(key)
    }

    /// The value of a key, to be changed here and nowhere else.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        V: Clone,
    {
        let part = &mut self.parts[part_of(key)];
        if !part.contains_key(key) {
            return None;
        }
        Arc::make_mut(part).get_mut(key).map(Arc::make_mut)
    }

    /// The entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Arc<V>)> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// The keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(k, _)| k)
    }

    /// The values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, v)| &**v)
    }

    /// Entries that `before` lacks, or has with a value put there separately (be it equal). What both maps share is not
    /// looked at.
    pub fn changed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (&'a K, &'a Arc<V>)> {
        let parts = self.parts.iter().zip(&before.parts).filter(|(now, then)| !Arc::ptr_eq(now, then));
        parts.flat_map(|(now, then)| {
            now.iter().filter(move |(k, v)| !then.get(*k).is_some_and(|old| Arc::ptr_eq(old, v)))
        })
    }
}

impl<K: Hash + Eq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<V>, &Arc<V>)| Arc::ptr_eq(a, b) || a == b;
        let equal = |a: &Part<K, V>, b: &Part<K, V>| {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same((v, w))))
        };
        self.len == other.len && self.parts.iter().zip(&other.parts).all(|(a, b)| Arc::ptr_eq(a, b) || equal(a, b))
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.parts.iter().flat_map(|part| part.iter())).finish()
    }
}

impl<K: Hash + Eq + Clone, V> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = SharedMap::default();
        entries.into_iter().for_each(|(k, v)| map.insert(k, v));
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_independent() {
        let mut map: SharedMap<u32, String> = (0..1000).map(|n| (n, n.to_string())).collect();
        let before = map.clone();
        map.insert(5, "five".into());
        map.insert(1000, "new".into());
        assert_eq!(map.remove(&7).as_deref().map(String::as_str), Some("7"));
        map.get_mut(&9).unwrap().push('!');
        assert_eq!((map.len(), before.len()), (1000, 1000));
        assert_eq!((before.get(&5).unwrap().as_str(), map.get(&5).unwrap().as_str()), ("5", "five"));
        assert_eq!((before.get(&9).unwrap().as_str(), map.get(&9).unwrap().as_str()), ("9", "9!"));
        assert!(before.contains_key(&7) && !map.contains_key(&7));
        let mut changed: Vec<u32> = map.changed_since(&before).map(|(k, _)| *k).collect();
        changed.sort_unstable();
        assert_eq!(changed, [5, 9, 1000]);
        let gone: Vec<u32> = before.changed_since(&map).map(|(k, _)| *k).filter(|k| !map.contains_key(k)).collect();
        assert_eq!(gone, [7]);
        assert_ne!(map, before);
        assert_eq!(map, map.iter().map(|(k, v)| (*k, (**v).clone())).collect());
    }
}
