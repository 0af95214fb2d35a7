//! Tuple-space search with wildcard tracking.
//!
//! Rules with the same mask share a [`subtable`]: a hash table from the masked words to the rules. A lookup visits the
//! subtables by falling priority and stops once nothing better can follow. Many threads look up while one writes; readers
//! take no lock and wait for nobody.
//!
//! A lookup tells which bits of the key its outcome depended on, so that the caller can cache the outcome for every packet
//! that agrees on those bits. A subtable is searched in stages (metadata, layer 2, layer 3, layer 4); where an early stage
//! already shows that nothing matches, the later fields stay wild.
//!
//! Rules carry [`Versions`]: a change of many rules becomes visible at once when the owner moves to the next version.

mod subtable;

use flow::{FlowKey, FlowMask, MiniKey, MiniMatch};
use snapshot::Published;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use subtable::Subtable;

/// The versions of a table in which a rule is visible: from one, up to but without another.
#[derive(Debug)]
pub struct Versions {
    added: AtomicU64,
    removed: AtomicU64,
}

impl Versions {
    /// Visible from `added` on.
    pub fn from(added: u64) -> Self {
        Versions { added: AtomicU64::new(added), removed: AtomicU64::new(u64::MAX) }
    }

    /// Whether a lookup in `version` sees the rule.
    #[inline]
    pub fn visible(&self, version: u64) -> bool {
        self.added.load(Ordering::Acquire) <= version && version < self.removed.load(Ordering::Acquire)
    }

    /// Hides the rule from lookups in `version` and later.
    pub fn remove_at(&self, version: u64) {
        self.removed.store(version, Ordering::Release);
    }

    /// Undoes [`Versions::remove_at`], for a change that is rolled back.
    pub fn restore(&self) {
        self.removed.store(u64::MAX, Ordering::Release);
    }

    /// Whether the rule is to be removed in some version.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire) != u64::MAX
    }
}

/// What a classifier holds.
pub trait Entry {
    /// What the rule matches.
    fn matching(&self) -> &MiniMatch;
    /// Higher wins.
    fn priority(&self) -> u16;
    /// When it is visible.
    fn versions(&self) -> &Versions;
}

/// One flow table.
#[derive(Debug)]
pub struct Classifier<R> {
    /// By falling priority of their best rule.
    published: Published<Vec<Arc<Subtable<R>>>>,
    writer: Mutex<HashMap<MiniKey, Arc<Subtable<R>>>>,
    len: AtomicUsize,
}

impl<R: Entry> Default for Classifier<R> {
    fn default() -> Self {
        Classifier { published: Published::new(vec![]), writer: Mutex::default(), len: AtomicUsize::new(0) }
    }
}

impl<R: Entry> Classifier<R> {
    /// An empty table.
    pub fn new() -> Self {
        Classifier::default()
    }

    /// Number of rules in all versions.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of different masks.
    pub fn masks(&self) -> usize {
        self.published.load().len()
    }

    /// The rule of highest priority that matches `key` in `version`. Bits on which the answer depended are set in `mask`.
    pub fn lookup(&self, version: u64, key: &FlowKey, mut mask: Option<&mut FlowMask>) -> Option<Arc<R>> {
        let mut best: Option<Arc<R>> = None;
        for s in self.published.load().iter() {
            if best.as_ref().is_some_and(|b| b.priority() >= s.max_priority()) {
                break;
            }
            if let Some(r) = s.lookup(version, key, mask.as_deref_mut())
                && best.as_ref().is_none_or(|b| r.priority() > b.priority())
            {
                best = Some(r);
            }
        }
        best
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MiniKey, Arc<Subtable<R>>>> {
        // The map is whole after every statement that changes it.
        self.writer.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds a rule. There may be several with the same match and priority as long as no version sees more than one.
    pub fn insert(&self, rule: Arc<R>) {
        let mut writer = self.lock();
        let mask = rule.matching().mask();
        let subtable = writer.entry(mask.clone()).or_insert_with(|| Arc::new(Subtable::new(&mask))).clone();
        let before = subtable.priorities();
        subtable.insert(rule);
        self.len.fetch_add(1, Ordering::Relaxed);
        if before != subtable.priorities() {
            self.publish(&writer);
        }
    }

    /// Removes a rule for good. Returns whether it was there.
    pub fn remove(&self, rule: &Arc<R>) -> bool {
        let mut writer = self.lock();
        let mask = rule.matching().mask();
        let Some(subtable) = writer.get(&mask).cloned() else { return false };
        let before = subtable.priorities();
        if !subtable.remove(rule) {
            return false;
        }
        self.len.fetch_sub(1, Ordering::Relaxed);
        if subtable.is_empty() {
            writer.remove(&mask);
            self.publish(&writer);
        } else if before != subtable.priorities() {
            self.publish(&writer);
        }
        true
    }

    fn publish(&self, subtables: &HashMap<MiniKey, Arc<Subtable<R>>>) {
        let mut list: Vec<_> = subtables.values().cloned().collect();
        list.sort_by_key(|s| std::cmp::Reverse(s.max_priority()));
        self.published.publish(Arc::new(list));
    }

    /// The rule with exactly this match and priority that `version` sees.
    pub fn find_exact(&self, version: u64, matching: &MiniMatch, priority: u16) -> Option<Arc<R>> {
        let subtable = self.lock().get(&matching.mask()).cloned()?;
        subtable.find_exact(version, matching, priority)
    }

    /// Whether some rule of this priority that `version` sees could match a packet that `matching` matches too.
    pub fn overlaps(&self, version: u64, matching: &MiniMatch, priority: u16) -> bool {
        let mut found = false;
        self.for_each(|r| {
            found |= r.priority() == priority && r.versions().visible(version) && r.matching().overlaps(matching);
        });
        found
    }

    /// Calls `f` for every rule in all versions, in no order.
    pub fn for_each(&self, mut f: impl FnMut(&Arc<R>)) {
        for s in self.published.load().iter() {
            s.for_each(&mut f);
        }
    }

    /// The rules that `version` sees and whose match is `matching` or narrower, in no order.
    pub fn within(&self, version: u64, matching: &MiniMatch) -> Vec<Arc<R>> {
        let mut out = vec![];
        let all = matching.is_catchall();
        self.for_each(|r| {
            if r.versions().visible(version) && (all || r.matching().is_within(matching)) {
                out.push(r.clone());
            }
        });
        out
    }
}

#[cfg(test)]
mod tests;
