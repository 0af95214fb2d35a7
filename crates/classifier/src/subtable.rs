//! The rules of one mask.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use flow::mini::{finish_hash, mix};
use flow::{FlowKey, FlowMask, MiniKey};
use papaya::HashMap;

use crate::rule::Rule;

/// Words where the stages of a lookup end: metadata and registers, link layer, network layer. Tunnel metadata comes
/// with the first stage though it lies behind.
const STAGE_ENDS: [usize; 3] = [39, 44, 57];
const TUNNEL_FROM: usize = 58;
/// Stages of a lookup.
pub(crate) const STAGES: usize = 4;

fn stage_of(word: usize) -> usize {
    if word >= TUNNEL_FROM { 0 } else { STAGE_ENDS.iter().take_while(|&&end| word >= end).count() }
}

/// Keys are hashes already.
#[derive(Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(b);
        }
    }

    fn write_u64(&mut self, x: u64) {
        self.0 = x;
    }
}

type Map<V> = HashMap<u64, V, BuildHasherDefault<Identity>>;

/// Rules whose masked keys have the same hash, greatest priority first. Nearly always one.
pub(crate) enum Bucket<T> {
    One(Arc<Rule<T>>),
    Many(Arc<[Arc<Rule<T>>]>),
}

impl<T> Clone for Bucket<T> {
    fn clone(&self) -> Self {
        match self {
            Bucket::One(r) => Bucket::One(r.clone()),
            Bucket::Many(r) => Bucket::Many(r.clone()),
        }
    }
}

impl<T> Bucket<T> {
    pub fn rules(&self) -> &[Arc<Rule<T>>] {
        match self {
            Bucket::One(rule) => std::slice::from_ref(rule),
            Bucket::Many(rules) => rules,
        }
    }

    fn from_rules(mut rules: Vec<Arc<Rule<T>>>) -> Option<Self> {
        rules.sort_by_key(|r| std::cmp::Reverse(r.priority));
        match rules.len() {
            0 => None,
            1 => rules.pop().map(Bucket::One),
            _ => Some(Bucket::Many(rules.into())),
        }
    }
}

/// A mask word: where, which bits.
type Word = (u8, u64);

/// All rules with one mask.
pub(crate) struct Subtable<T> {
    pub mask: MiniKey,
    /// Mask words by stage.
    words: Box<[Word]>,
    /// Where in `words` each stage ends.
    ends: [u8; STAGES],
    /// Number of rules by the hash of their words up to a stage; only for stages that more words follow.
    indices: [Option<Map<u32>>; STAGES - 1],
    rules: Map<Bucket<T>>,
}

impl<T: Send + Sync + 'static> Subtable<T> {
    pub fn new(mask: MiniKey) -> Self {
        let mut words: Vec<Word> = mask.iter().map(|(i, m)| (i as u8, m)).collect();
        words.sort_by_key(|&(i, _)| stage_of(usize::from(i)));
        let mut ends = [0; STAGES];
        for (stage, end) in ends.iter_mut().enumerate() {
            *end = words.iter().filter(|&&(i, _)| stage_of(usize::from(i)) <= stage).count() as u8;
        }
        let total = words.len() as u8;
        let indices = std::array::from_fn(|s| {
            let begins = if s == 0 { 0 } else { ends[s - 1] };
            (ends[s] > begins && ends[s] < total).then(Map::default)
        });
        Subtable { mask, words: words.into(), ends, indices, rules: Map::default() }
    }

    fn hash(&self, stage: usize, from: u64, word: impl Fn(usize) -> u64) -> u64 {
        let begins = if stage == 0 { 0 } else { usize::from(self.ends[stage - 1]) };
        self.words[begins..usize::from(self.ends[stage])]
            .iter()
            .fold(from, |h, &(i, m)| mix(h, word(usize::from(i)) & m))
    }

    fn whole_hash(&self, word: impl Fn(usize) -> u64 + Copy) -> u64 {
        finish_hash((0..STAGES).fold(0, |h, stage| self.hash(stage, h, word)))
    }

    fn unwildcard(&self, upto: usize, wc: &mut FlowMask) {
        for &(i, m) in &self.words[..upto] {
            let i = usize::from(i);
            wc.set_word(i, wc.word(i) | m);
        }
    }

    /// Calls `each` with the rules that match, greatest priority first, until it says stop by returning true.
    /// Adds to `wc` the bits that were looked at.
    pub fn lookup(&self, key: &FlowKey, wc: Option<&mut FlowMask>, mut each: impl FnMut(&Arc<Rule<T>>) -> bool) {
        let mut hash = 0;
        for stage in 0..STAGES {
            hash = self.hash(stage, hash, |i| key.word(i));
            if let Some(Some(index)) = self.indices.get(stage)
                && !index.pin().contains_key(&finish_hash(hash))
            {
                if let Some(wc) = wc {
                    self.unwildcard(usize::from(self.ends[stage]), wc);
                }
                return;
            }
        }
        if let Some(wc) = wc {
            self.unwildcard(self.words.len(), wc);
        }
        let rules = self.rules.pin();
        let Some(bucket) = rules.get(&finish_hash(hash)) else { return };
        for rule in bucket.rules() {
            if rule.matching.matches(key) && each(rule) {
                return;
            }
        }
    }

    /// Rules with just this masked key.
    pub fn bucket(&self, matching: &flow::MiniMatch) -> Option<Bucket<T>> {
        let hash = self.whole_hash(|i| matching.key_word(i));
        self.rules.pin().get(&hash).cloned()
    }

    /// Only one thread at a time may change a subtable.
    pub fn insert(&self, rule: Arc<Rule<T>>) {
        let matching = &rule.matching;
        let mut hash = 0;
        for stage in 0..STAGES {
            hash = self.hash(stage, hash, |i| matching.key_word(i));
            if let Some(Some(index)) = self.indices.get(stage) {
                index.pin().update_or_insert(finish_hash(hash), |n| n + 1, 1);
            }
        }
        let hash = finish_hash(hash);
        let map = self.rules.pin();
        let mut rules = map.get(&hash).map(|b| b.rules().to_vec()).unwrap_or_default();
        rules.push(rule.clone());
        if let Some(bucket) = Bucket::from_rules(rules) {
            map.insert(hash, bucket);
        }
    }

    /// Takes a rule out; whether it was there.
    pub fn remove(&self, rule: &Arc<Rule<T>>) -> bool {
        let hash = self.whole_hash(|i| rule.matching.key_word(i));
        let map = self.rules.pin();
        let Some(bucket) = map.get(&hash) else { return false };
        let mut rules = bucket.rules().to_vec();
        let before = rules.len();
        rules.retain(|r| !Arc::ptr_eq(r, rule));
        if rules.len() == before {
            return false;
        }
        match Bucket::from_rules(rules) {
            Some(bucket) => drop(map.insert(hash, bucket).is_some()),
            None => drop(map.remove(&hash).is_some()),
        }
        let mut hash = 0;
        for stage in 0..STAGES {
            hash = self.hash(stage, hash, |i| rule.matching.key_word(i));
            if let Some(Some(index)) = self.indices.get(stage) {
                let index = index.pin();
                let key = finish_hash(hash);
                match index.get(&key) {
                    Some(&n) if n > 1 => drop(index.insert(key, n - 1)),
                    _ => drop(index.remove(&key)),
                }
            }
        }
        true
    }

    pub fn for_each(&self, mut each: impl FnMut(&Arc<Rule<T>>)) {
        for bucket in self.rules.pin().values() {
            bucket.rules().iter().for_each(&mut each);
        }
    }
}
