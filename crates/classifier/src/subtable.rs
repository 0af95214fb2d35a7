//! The rules that share one mask.

use crate::Entry;
use flow::mini::{finish_hash, mix};
use flow::{FlowKey, FlowMask, MiniKey, MiniMatch};
use papaya::HashMap;
use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// Hashes arrive ready made.
#[derive(Default)]
pub(crate) struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = mix(self.0, u64::from(*b));
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

type ByHash<V> = HashMap<u64, V, BuildHasherDefault<Ready>>;

/// Rules whose masked words have the same hash; nearly always one.
enum Bucket<R> {
    One(Arc<R>),
    /// By falling priority.
    Many(Box<[Arc<R>]>),
}

impl<R> Bucket<R> {
    fn rules(&self) -> &[Arc<R>] {
        match self {
            Bucket::One(r) => std::slice::from_ref(r),
            Bucket::Many(v) => v,
        }
    }

    fn of(mut rules: Vec<Arc<R>>) -> Option<Bucket<R>> {
        match rules.len() {
            0 => None,
            1 => rules.pop().map(Bucket::One),
            _ => Some(Bucket::Many(rules.into_boxed_slice())),
        }
    }
}

/// First words of layers 2, 3 and 4 in a key, and the first word after them; see the table in [`flow::key`].
const LAYERS: [std::ops::Range<usize>; 3] = [39..44, 44..52, 52..58];

fn stage_of(word: usize) -> usize {
    LAYERS.iter().position(|l| l.contains(&word)).map_or(0, |layer| layer + 1)
}

pub(crate) struct Subtable<R> {
    /// Words of the mask, those of early stages first.
    words: Box<[(usize, u64)]>,
    /// Where each stage but the last ends in `words`, with the partial hashes of the rules and how many share each.
    stages: Box<[(usize, ByHash<u32>)]>,
    rules: ByHash<Bucket<R>>,
    /// Priority of the best rule. Subtables are ordered by it.
    max_priority: AtomicU32,
    counts: Mutex<BTreeMap<u16, usize>>,
}

impl<R> std::fmt::Debug for Subtable<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subtable").field("words", &self.words).finish_non_exhaustive()
    }
}

impl<R: Entry> Subtable<R> {
    pub(crate) fn new(mask: &MiniKey) -> Self {
        let mut words: Vec<(usize, u64)> = mask.iter().collect();
        words.sort_by_key(|&(w, _)| stage_of(w));
        let ends: Vec<usize> = (1..words.len()).filter(|&i| stage_of(words[i].0) != stage_of(words[i - 1].0)).collect();
        Subtable {
            words: words.into(),
            stages: ends.into_iter().map(|end| (end, ByHash::default())).collect(),
            rules: ByHash::default(),
            max_priority: AtomicU32::new(0),
            counts: Mutex::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn max_priority(&self) -> u16 {
        self.max_priority.load(Ordering::Acquire) as u16
    }

    /// Changes whenever the order of the subtables may change.
    pub(crate) fn priorities(&self) -> Option<u16> {
        self.counts.lock().unwrap_or_else(|e| e.into_inner()).keys().next_back().copied()
    }

    /// Hashes of the words up to each stage's end, and of all of them.
    fn hashes(&self, word: impl Fn(usize) -> u64) -> (Vec<u64>, u64) {
        let mut partial = Vec::with_capacity(self.stages.len());
        let (mut hash, mut from) = (0, 0);
        for (end, _) in &self.stages {
            hash = self.words[from..*end].iter().fold(hash, |h, &(w, m)| mix(h, word(w) & m));
            from = *end;
            partial.push(finish_hash(hash));
        }
        hash = self.words[from..].iter().fold(hash, |h, &(w, m)| mix(h, word(w) & m));
        (partial, finish_hash(hash))
    }

    pub(crate) fn lookup(&self, version: u64, key: &FlowKey, mask: Option<&mut FlowMask>) -> Option<Arc<R>> {
        let (mut hash, mut from) = (0, 0);
        for (end, set) in &self.stages {
            hash = self.words[from..*end].iter().fold(hash, |h, &(w, m)| mix(h, key.word(w) & m));
            from = *end;
            if mask.is_some() && !set.pin().contains_key(&finish_hash(hash)) {
                self.unwildcard(*end, mask);
                return None;
            }
        }
        hash = self.words[from..].iter().fold(hash, |h, &(w, m)| mix(h, key.word(w) & m));
        self.unwildcard(self.words.len(), mask);
        let rules = self.rules.pin();
        let bucket = rules.get(&finish_hash(hash))?;
        bucket.rules().iter().find(|r| r.versions().visible(version) && r.matching().matches(key)).cloned()
    }

    fn unwildcard(&self, end: usize, mask: Option<&mut FlowMask>) {
        if let Some(mask) = mask {
            for &(w, m) in &self.words[..end] {
                mask.set_word(w, mask.word(w) | m);
            }
        }
    }

    pub(crate) fn insert(&self, rule: Arc<R>) {
        let (partial, full) = self.hashes(|w| rule.matching().key_word(w));
        let priority = rule.priority();
        // Stages first: a reader that finds the stage but not yet the rule has merely unwildcarded more than needed.
        for ((_, set), hash) in self.stages.iter().zip(partial) {
            let set = set.pin();
            let n = set.get(&hash).copied().unwrap_or(0);
            set.insert(hash, n + 1);
        }
        let rules = self.rules.pin();
        let mut list: Vec<Arc<R>> = rules.get(&full).map_or(vec![], |b| b.rules().to_vec());
        let at = list.partition_point(|r| r.priority() >= priority);
        list.insert(at, rule);
        if let Some(b) = Bucket::of(list) {
            rules.insert(full, b);
        }
        let mut counts = self.counts.lock().unwrap_or_else(|e| e.into_inner());
        *counts.entry(priority).or_default() += 1;
        self.update_max(&counts);
    }

    pub(crate) fn remove(&self, rule: &Arc<R>) -> bool {
        let (partial, full) = self.hashes(|w| rule.matching().key_word(w));
        let rules = self.rules.pin();
        let Some(bucket) = rules.get(&full) else { return false };
        let list: Vec<Arc<R>> = bucket.rules().iter().filter(|r| !Arc::ptr_eq(r, rule)).cloned().collect();
        if list.len() == bucket.rules().len() {
            return false;
        }
        match Bucket::of(list) {
            Some(b) => rules.insert(full, b),
            None => rules.remove(&full),
        };
        for ((_, set), hash) in self.stages.iter().zip(partial) {
            let set = set.pin();
            match set.get(&hash).copied() {
                Some(n) if n > 1 => set.insert(hash, n - 1),
                _ => set.remove(&hash),
            };
        }
        let mut counts = self.counts.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(n) = counts.get_mut(&rule.priority()) {
            *n -= 1;
            if *n == 0 {
                counts.remove(&rule.priority());
            }
        }
        self.update_max(&counts);
        true
    }

    fn update_max(&self, counts: &BTreeMap<u16, usize>) {
        let max = counts.keys().next_back().copied().unwrap_or(0);
        self.max_priority.store(max.into(), Ordering::Release);
    }

    pub(crate) fn find_exact(&self, version: u64, matching: &MiniMatch, priority: u16) -> Option<Arc<R>> {
        let (_, full) = self.hashes(|w| matching.key_word(w));
        let rules = self.rules.pin();
        let bucket = rules.get(&full)?;
        let same =
            |r: &&Arc<R>| r.priority() == priority && r.versions().visible(version) && r.matching().is_within(matching);
        bucket.rules().iter().find(same).cloned()
    }

    pub(crate) fn for_each(&self, f: &mut impl FnMut(&Arc<R>)) {
        let rules = self.rules.pin();
        for (_, bucket) in rules.iter() {
            bucket.rules().iter().for_each(&mut *f);
        }
    }
}
