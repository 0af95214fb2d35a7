//! A version number that flips in one step, and what has to wait until nobody reads an older version.
//!
//! Things that versions tell apart stay where they are while a reader may still want the old version; the writer
//! retires them and takes back, by [`Versions::reclaim`], those that no reader can reach any more.

use std::collections::VecDeque;
use std::sync::PoisonError;

use crate::sync::{Arc, ArcSwap, AtomicU64, Mutex, MutexGuard, Ordering};

#[derive(Debug)]
struct Token(u64);

/// Not removed in any version yet.
const NEVER: u64 = u64::MAX;

/// The versions in which a thing is visible.
#[derive(Debug)]
pub struct Lifetime {
    added: u64,
    removed: AtomicU64,
}

impl Lifetime {
    /// Visible from `version` on.
    pub fn from(version: u64) -> Lifetime {
        Lifetime { added: version, removed: AtomicU64::new(NEVER) }
    }

    /// Whether those who read `version` see it.
    #[inline]
    pub fn contains(&self, version: u64) -> bool {
        self.added <= version && version < self.removed.load(Ordering::Acquire)
    }

    /// The version from which it is visible.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Makes it invisible from `version` on.
    pub fn end(&self, version: u64) {
        self.removed.store(version, Ordering::Release);
    }

    /// Takes [`Lifetime::end`] back.
    pub fn restore(&self) {
        self.removed.store(NEVER, Ordering::Release);
    }

    /// Whether it ends in some version.
    pub fn is_ending(&self) -> bool {
        self.removed.load(Ordering::Acquire) != NEVER
    }
}

/// Versions of some tables. `R` is what is retired with a version.
#[derive(Debug)]
pub struct Versions<R> {
    current: ArcSwap<Token>,
    writer: Mutex<Writer<R>>,
}

#[derive(Debug)]
struct Writer<R> {
    /// Tokens of versions that readers may still hold, oldest first, each with what became unreachable after it.
    old: VecDeque<(Arc<Token>, Vec<R>)>,
    pending: Vec<R>,
}

/// A reader's hold on a version.
#[derive(Clone, Debug)]
pub struct VersionGuard(Arc<Token>);

impl VersionGuard {
    /// The number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.0
    }
}

impl<R> Default for Versions<R> {
    fn default() -> Self {
        Versions {
            current: ArcSwap::from_pointee(Token(1)),
            writer: Mutex::new(Writer { old: VecDeque::new(), pending: Vec::new() }),
        }
    }
}

impl<R> Versions<R> {
    /// The current version, held until the guard goes.
    #[must_use]
    pub fn current(&self) -> VersionGuard {
        VersionGuard(self.current.load_full())
    }

    /// The number that [`Versions::publish`] makes current next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.current.load().0 + 1
    }

    fn lock(&self) -> MutexGuard<'_, Writer<R>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that `thing` is not visible from the next version on.
    pub fn retire(&self, thing: R) {
        self.lock().pending.push(thing);
    }

    /// Makes the next version current; gives its number. What was retired since the last call waits for readers.
    pub fn publish(&self) -> u64 {
        let mut writer = self.lock();
        let next = self.current.load().0 + 1;
        let old = self.current.swap(Arc::new(Token(next)));
        let pending = std::mem::take(&mut writer.pending);
        writer.old.push_back((old, pending));
        next
    }

    /// The oldest version that somebody may still read.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        let writer = self.lock();
        let held = writer.old.iter().find(|(token, _)| Arc::strong_count(token) > 1);
        held.map_or_else(|| self.current.load().0, |(token, _)| token.0)
    }

    /// Takes back what no reader can reach any more.
    #[must_use]
    pub fn reclaim(&self) -> Vec<R> {
        let mut writer = self.lock();
        let mut free = Vec::new();
        // A version is out of use when only the queue holds its token. A reader of an older version may want
        // everything that was retired after it, hence in order.
        while let Some((token, _)) = writer.old.front()
            && Arc::strong_count(token) == 1
        {
            if let Some((_, things)) = writer.old.pop_front() {
                free.extend(things);
            }
        }
        free
    }
}

#[cfg(all(test, not(ferrovs_loom)))]
mod tests {
    use super::*;

    #[test]
    fn retired_things_wait_for_readers() {
        let versions = Versions::default();
        let reader = versions.current();
        versions.retire("a");
        assert_eq!(versions.publish(), 2);
        versions.retire("b");
        versions.publish();
        assert!(versions.reclaim().is_empty());
        drop(reader);
        assert_eq!(versions.reclaim(), ["a", "b"]);
    }
}

/// `RUSTFLAGS="--cfg ferrovs_loom" cargo test -p ferrovs-snapshot --release`
#[cfg(all(test, ferrovs_loom))]
mod every_order {
    use super::*;
    use loom::thread;

    struct Rule {
        life: Lifetime,
        /// Whether it is still in the table: 1 or 0.
        there: AtomicU64,
    }

    fn rule(version: u64) -> Arc<Rule> {
        Arc::new(Rule { life: Lifetime::from(version), there: AtomicU64::new(1) })
    }

    /// What a lookup does: of two rules that take each other's place, it sees one, and one that is in the table.
    fn look(versions: &Versions<Arc<Rule>>, old: &Rule, new: &Rule) {
        let held = versions.current();
        for _ in 0..2 {
            let seen = (old.life.contains(held.number()), new.life.contains(held.number()));
            assert!(seen.0 != seen.1, "half of a change: {seen:?}");
            let rule = if seen.0 { old } else { new };
            assert_eq!(rule.there.load(Ordering::Acquire), 1, "taken out while somebody reads it");
        }
    }

    fn take_out(versions: &Versions<Arc<Rule>>) {
        for rule in versions.reclaim() {
            rule.there.store(0, Ordering::Release);
        }
    }

    fn replace(versions: &Versions<Arc<Rule>>, old: &Arc<Rule>) {
        old.life.end(versions.next());
        versions.retire(old.clone());
        versions.publish();
        take_out(versions);
    }

    #[test]
    fn readers_see_whole_changes_and_nothing_that_is_gone() {
        // Three preemptions find what there is to find in a model of this size; all orders take minutes.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let versions: Arc<Versions<Arc<Rule>>> = Arc::new(Versions::default());
            let (old, new) = (rule(1), rule(2));
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let (versions, old, new) = (versions.clone(), old.clone(), new.clone());
                    thread::spawn(move || look(&versions, &old, &new))
                })
                .collect();
            replace(&versions, &old);
            readers.into_iter().for_each(|r| r.join().unwrap());
            take_out(&versions);
            assert_eq!(old.there.load(Ordering::Acquire), 0, "nobody reads it any more");
            assert_eq!(new.there.load(Ordering::Acquire), 1);
        });
    }

    #[test]
    fn two_changes_in_a_row() {
        loom::model(|| {
            let versions: Arc<Versions<Arc<Rule>>> = Arc::new(Versions::default());
            let (first, second, third) = (rule(1), rule(2), rule(3));
            let reader = {
                let (versions, rules) = (versions.clone(), [first.clone(), second.clone(), third.clone()]);
                thread::spawn(move || {
                    let held = versions.current();
                    let seen: Vec<&Arc<Rule>> = rules.iter().filter(|r| r.life.contains(held.number())).collect();
                    assert_eq!(seen.len(), 1);
                    assert_eq!(seen[0].there.load(Ordering::Acquire), 1);
                })
            };
            replace(&versions, &first);
            replace(&versions, &second);
            reader.join().unwrap();
            take_out(&versions);
            let there = [&first, &second, &third].map(|r| r.there.load(Ordering::Acquire));
            assert_eq!(there, [0, 0, 1]);
        });
    }
}
