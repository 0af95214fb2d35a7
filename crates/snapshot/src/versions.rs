//! A version number that flips in one step, and what has to wait until nobody reads an older version.
//!
//! Things that versions tell apart stay where they are while a reader may still want the old version; the writer
//! retires them and takes back, by [`Versions::reclaim`], those that no reader can reach any more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

#[derive(Debug)]
struct Token(u64);

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

#[cfg(test)]
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
