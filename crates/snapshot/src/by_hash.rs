//! A table by hash that one thread changes while many look.

use crate::PublishedOption;
use crate::sync::{Arc, ArcSwap, AtomicU64, Ordering};
use std::fmt;

/// What a place of a table holds. It is changed in place, by the one who writes.
pub trait Cell: Default {
    /// Whether it holds nothing.
    fn is_free(&self) -> bool;
    /// The same, for another place.
    fn duplicate(&self) -> Self;
}

/// A number; 0 is nothing.
#[derive(Debug)]
pub struct Count(AtomicU64);

impl Default for Count {
    fn default() -> Self {
        Count(AtomicU64::new(0))
    }
}

impl Count {
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Replaces it. For the one who writes.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Release);
    }
}

impl Cell for Count {
    fn is_free(&self) -> bool {
        self.get() == 0
    }

    fn duplicate(&self) -> Self {
        Count(AtomicU64::new(self.get()))
    }
}

impl<T> Cell for PublishedOption<T> {
    fn is_free(&self) -> bool {
        self.is_empty()
    }

    fn duplicate(&self) -> Self {
        PublishedOption::new(self.get())
    }
}

/// A hash (0: there never was one, and a search ends here) and what is there.
type Place<V> = (AtomicU64, V);

struct Places<V>(Box<[Place<V>]>);

impl<V: Cell> Places<V> {
    fn new(len: usize) -> Self {
        Places((0..len).map(|_| (AtomicU64::new(0), V::default())).collect())
    }

    /// All places, from where the search for a hash begins.
    fn from(&self, hash: u64) -> impl Iterator<Item = &Place<V>> {
        let (before, after) = self.0.split_at(self.begin(hash));
        after.iter().chain(before)
    }

    fn begin(&self, hash: u64) -> usize {
        let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((u128::from(spread) * self.0.len() as u128) >> 64) as usize
    }

    /// What is where the hash is.
    fn with(&self, hash: u64) -> impl Iterator<Item = &V> {
        let known = self.from(hash).map(|(h, v)| (h.load(Ordering::Acquire), v)).take_while(|(h, _)| *h != 0);
        known.filter(move |(h, _)| *h == hash).map(|(_, v)| v)
    }

    /// Fills the first place that is free; whether no hash had been there.
    fn put(&self, hash: u64, fill: impl FnOnce(&V)) -> bool {
        for (at, value) in self.from(hash) {
            let new = at.load(Ordering::Relaxed) == 0;
            if new || value.is_free() {
                // Who finds the hash finds the value; where another hash was, who looks for that one may find it too.
                fill(value);
                at.store(hash, Ordering::Release);
                return new;
            }
        }
        debug_assert!(false, "a table always has places to spare");
        false
    }

    /// Puts a copy of a value into a table that nobody else knows yet.
    fn put_copy(&mut self, hash: u64, value: &V) {
        let begin = self.begin(hash);
        let len = self.0.len();
        let free = (begin..len).chain(0..begin).find(|&at| self.0[at].0.load(Ordering::Relaxed) == 0);
        if let Some(at) = free {
            self.0[at] = (AtomicU64::new(hash), value.duplicate());
        }
    }
}

/// A table of values by hash, of 16 bytes for each place if values have 8. Values of one hash may be many.
///
/// One thread at a time may change it. Others look at the same time, and wait for nobody: they see a value that was there before
/// they began and still is. While a value comes in, a look for another hash may be shown it, and 0 counts as 1: who looks has
/// to check.
pub struct ByHash<V> {
    places: ArcSwap<Places<V>>,
    /// Places with a value, and with a hash: the writer's books.
    live: AtomicU64,
    taken: AtomicU64,
}

impl<V: Cell> Default for ByHash<V> {
    fn default() -> Self {
        ByHash { places: ArcSwap::from_pointee(Places::new(0)), live: AtomicU64::new(0), taken: AtomicU64::new(0) }
    }
}

impl<V: Cell> ByHash<V> {
    /// Shows the values of a hash to `look`, in no order, until it answers.
    pub fn find<R>(&self, hash: u64, look: impl FnMut(&V) -> Option<R>) -> Option<R> {
        let places = self.places.load();
        places.with(hash.max(1)).filter(|v| !v.is_free()).find_map(look)
    }

    /// Shows all values, in the order of their places.
    pub fn for_each(&self, mut look: impl FnMut(&V)) {
        self.places.load().0.iter().map(|(_, v)| v).filter(|v| !v.is_free()).for_each(&mut look);
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed) as usize
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a value, which `fill` sets.
    pub fn add(&self, hash: u64, fill: impl FnOnce(&V)) {
        let taken = self.taken.load(Ordering::Relaxed) as usize;
        if (taken + 1) * 4 > self.places.load().0.len() * 3 {
            self.rebuild(self.len() + 3);
        }
        let new = self.places.load().put(hash.max(1), fill);
        self.books(1, u64::from(new));
    }

    /// Shows the values of a hash to `empty` until it has emptied one; whether it did.
    pub fn remove(&self, hash: u64, mut empty: impl FnMut(&V) -> bool) -> bool {
        if self.find(hash, |v| empty(v).then_some(())).is_none() {
            return false;
        }
        self.books(u64::MAX, 0);
        let (live, len) = (self.len(), self.places.load().0.len());
        if live == 0 || live * 8 < len && len > 16 {
            self.rebuild(live);
        }
        true
    }

    fn books(&self, live: u64, taken: u64) {
        self.live.store(self.live.load(Ordering::Relaxed).wrapping_add(live), Ordering::Relaxed);
        self.taken.store(self.taken.load(Ordering::Relaxed) + taken, Ordering::Relaxed);
    }

    /// Goes on with a table that has room for a third more values, and no places of values that went.
    fn rebuild(&self, live: usize) {
        let old = self.places.load();
        // At most three in four places are taken.
        let mut new = Places::new((live + live / 3) * 4 / 3);
        for (hash, value) in old.0.iter().filter(|(_, v)| !v.is_free()) {
            new.put_copy(hash.load(Ordering::Relaxed), value);
        }
        drop(old);
        self.taken.store(self.live.load(Ordering::Relaxed), Ordering::Relaxed);
        drop(self.places.swap(Arc::new(new)));
    }
}

impl<V> fmt::Debug for ByHash<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByHash").field("live", &self.live.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(ferrovs_loom)))]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// What a table and a plain map hold after the same changes: (hash, value or 0 to remove one).
    fn check(changes: impl Iterator<Item = (u64, u64)>) {
        let (table, mut plain) = (ByHash::<Count>::default(), HashMap::<u64, Vec<u64>>::new());
        for (hash, value) in changes {
            let values = plain.entry(hash).or_default();
            if value != 0 {
                table.add(hash, |v| v.set(value));
                values.push(value);
            } else if let Some(value) = values.pop() {
                assert!(table.remove(hash, |v| v.get() == value && {
                    v.set(0);
                    true
                }));
            } else {
                assert!(!table.remove(hash, |_| true));
            }
        }
        let sorted = |mut v: Vec<u64>| {
            v.sort_unstable();
            v
        };
        for (&hash, values) in &plain {
            let mut found = Vec::new();
            table.find(hash, |v| -> Option<()> {
                found.push(v.get());
                None
            });
            assert_eq!(sorted(found), sorted(values.clone()), "hash {hash}");
        }
        let mut all = Vec::new();
        table.for_each(|v| all.push(v.get()));
        assert_eq!(table.len(), all.len());
        assert_eq!(sorted(all), sorted(plain.into_values().flatten().collect()));
    }

    #[test]
    fn holds_what_came_and_did_not_go() {
        check([].into_iter());
        check([(3, 1), (3, 2), (1, 3), (3, 0), (9, 0), (1, 0), (1, 0), (1, 7)].into_iter());
        check((1..=1000).map(|n| (n, n)));
        check((1..=1000).map(|n| (n, n)).chain((1..=1000).map(|n| (n, 0))).chain([(4, 4)]));
        // Comes and goes at one size: the places of those that went are used again.
        check((2..10_000).map(|n| (n / 2, (n + 1) % 2)));
        let mut x = 1u64;
        check((0..20_000).map(move |_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((x >> 33 & 0xff) + 1, x >> 50 & 3)
        }));
    }

    #[test]
    fn gives_memory_back() {
        let table = ByHash::<Count>::default();
        let places = || table.places.load().0.len();
        (1..=10_000).for_each(|n| table.add(n, |v| v.set(n)));
        assert!(places() < 20_000, "{}", places());
        (1..=9990).for_each(|n| {
            assert!(table.remove(n, |v| {
                v.set(0);
                true
            }))
        });
        assert!(places() <= 200, "{}", places());
    }
}

#[cfg(all(test, ferrovs_loom))]
mod orders {
    use super::*;
    use loom::thread;

    /// In every order of turns, one who looks for a value that stays finds it, whatever comes and goes beside it, also while
    /// the table moves.
    #[test]
    fn what_stays_is_found() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let table = std::sync::Arc::new(ByHash::<Count>::default());
            table.add(5, |v| v.set(50));
            table.add(6, |v| v.set(60));
            let other = table.clone();
            let writer = thread::spawn(move || {
                other.remove(6, |v| {
                    v.get() == 60 && {
                        v.set(0);
                        true
                    }
                });
                (7..11).for_each(|n| other.add(n, |v| v.set(n * 10)));
            });
            assert_eq!(table.find(5, |v| (v.get() == 50).then_some(())), Some(()));
            writer.join().unwrap();
            assert_eq!(table.find(10, |v| (v.get() == 100).then_some(())), Some(()));
        });
    }
}
