//! Sparse keys and matches: a bitmap of the words that are not zero, and those words.

use crate::key::{FlowKey, FlowMask, WORDS};
use crate::matching::Match;
use crate::tunnel::TunAlloc;

/// One bit for each word that is not zero.
#[inline]
fn bits_of(words: &[u64]) -> u64 {
    let mut bits = 0;
    for (i, w) in words.iter().enumerate() {
        bits |= u64::from(*w != 0) << i;
    }
    bits
}

/// A set of key words: bit N stands for word N.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct WordMap(pub [u64; 2]);

impl WordMap {
    /// The words of `key` that are not zero.
    pub fn of(key: &FlowKey) -> WordMap {
        let mut map = [0u64; 2];
        let (groups, rest) = key.words().as_chunks::<8>();
        // Few words are set: most groups are passed over as a whole.
        for (i, words) in groups.iter().enumerate() {
            if words.iter().fold(0, |any, w| any | w) != 0 {
                map[i / 8] |= bits_of(words) << (i % 8 * 8);
            }
        }
        map[groups.len() / 8] |= bits_of(rest) << (groups.len() % 8 * 8);
        WordMap(map)
    }

    /// The words from `first` to `last`.
    pub const fn range(first: usize, last: usize) -> WordMap {
        let mut map = WordMap([0; 2]);
        let mut i = first;
        while i <= last {
            map.insert(i);
            i += 1;
        }
        map
    }

    /// Whether a word is in both sets.
    #[inline]
    pub const fn meets(self, other: WordMap) -> bool {
        (self.0[0] & other.0[0]) | (self.0[1] & other.0[1]) != 0
    }

    /// Number of words.
    pub const fn len(self) -> usize {
        (self.0[0].count_ones() + self.0[1].count_ones()) as usize
    }

    /// Whether there is no word.
    pub const fn is_empty(self) -> bool {
        self.0[0] | self.0[1] == 0
    }

    /// Whether word `i` is in the set.
    pub const fn contains(self, i: usize) -> bool {
        i < 128 && self.0[i / 64] >> (i % 64) & 1 != 0
    }

    /// Adds word `i` (below 128; nothing otherwise).
    pub const fn insert(&mut self, i: usize) {
        if i < 128 {
            self.0[i / 64] |= 1 << (i % 64);
        }
    }

    /// Words in either set.
    #[must_use]
    pub const fn union(self, other: WordMap) -> WordMap {
        WordMap([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// Words in both sets.
    #[must_use]
    pub const fn intersection(self, other: WordMap) -> WordMap {
        WordMap([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    /// Place of word `i` among the stored words: the number of words in the set below it.
    #[inline]
    pub const fn rank(self, i: usize) -> usize {
        if i < 64 {
            (self.0[0] & ((1u64 << i) - 1)).count_ones() as usize
        } else {
            (self.0[0].count_ones() + (self.0[1] & ((1u64 << (i & 63)) - 1)).count_ones()) as usize
        }
    }

    /// Calls `f` with the index of each word, ascending.
    #[inline]
    pub fn for_each(self, mut f: impl FnMut(usize)) {
        for (half, base) in self.0.into_iter().zip([0, 64]) {
            let mut bits = half;
            while bits != 0 {
                f(base + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }

    /// Indexes of the words, ascending.
    pub fn iter(self) -> WordIter {
        WordIter(self)
    }
}

impl IntoIterator for WordMap {
    type Item = usize;
    type IntoIter = WordIter;
    fn into_iter(self) -> WordIter {
        WordIter(self)
    }
}

/// Iterator over the indexes in a [`WordMap`].
#[derive(Clone, Debug)]
pub struct WordIter(WordMap);

impl Iterator for WordIter {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let half = usize::from(self.0.0[0] == 0);
        let bits = self.0.0[half];
        if bits == 0 {
            return None;
        }
        self.0.0[half] = bits & (bits - 1);
        Some(64 * half + bits.trailing_zeros() as usize)
    }
}

/// A [`FlowKey`] or [`FlowMask`] without its zero words.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct MiniKey {
    map: WordMap,
    words: Box<[u64]>,
}

impl MiniKey {
    /// Drops the zero words.
    pub fn new(key: &FlowKey) -> MiniKey {
        let map = WordMap::of(key);
        MiniKey { map, words: map.iter().map(|i| key.word(i)).collect() }
    }

    /// Which words are stored.
    pub const fn map(&self) -> WordMap {
        self.map
    }

    /// The stored words, in order of their index.
    pub fn values(&self) -> &[u64] {
        &self.words
    }

    /// Word `i`, 0 if it is not stored.
    #[inline]
    pub fn word(&self, i: usize) -> u64 {
        if self.map.contains(i) { self.words.get(self.map.rank(i)).copied().unwrap_or(0) } else { 0 }
    }

    /// Index and value of each stored word.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.map.iter().zip(self.words.iter().copied())
    }

    /// The full key.
    pub fn expand(&self) -> FlowKey {
        let mut key = FlowKey::ZERO;
        for (i, w) in self.iter() {
            key.set_word(i, w);
        }
        key
    }

    /// As a mask: whether `a` and `b` agree on its bits.
    pub fn equal_under(&self, a: &FlowKey, b: &FlowKey) -> bool {
        self.iter().all(|(i, m)| (a.word(i) ^ b.word(i)) & m == 0)
    }

    /// As a mask: hash of `key`'s bits under it.
    pub fn hash_of(&self, key: &FlowKey, basis: u64) -> u64 {
        finish_hash(self.iter().fold(basis, |h, (i, m)| mix(h, key.word(i) & m)))
    }

    /// As masks: whether every bit of `other` is set here.
    pub fn contains(&self, other: &MiniKey) -> bool {
        other.iter().all(|(i, w)| w & !self.word(i) == 0)
    }
}

/// One step of the hash that the classifier and the caches share.
#[inline]
pub const fn mix(hash: u64, word: u64) -> u64 {
    let x = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 32)
}

/// Last step of the hash.
#[inline]
pub const fn finish_hash(hash: u64) -> u64 {
    let x = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

/// A [`Match`] without the words that it does not match on: what a flow table keeps.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct MiniMatch {
    map: WordMap,
    /// `map.len()` key words, then as many mask words.
    words: Box<[u64]>,
    tun: Option<Box<TunAlloc>>,
}

impl MiniMatch {
    /// The sparse form of `m`.
    pub fn new(m: &Match) -> MiniMatch {
        let map = WordMap::of(&m.mask);
        let mut words = Vec::with_capacity(2 * map.len());
        map.for_each(|i| words.push(m.key.word(i)));
        map.for_each(|i| words.push(m.mask.word(i)));
        MiniMatch { map, words: words.into_boxed_slice(), tun: m.tun.clone() }
    }

    /// The full form.
    #[inline]
    pub fn expand(&self) -> Match {
        let mut m = Match::default();
        let (keys, masks) = self.words.split_at(self.words.len() / 2);
        let mut values = keys.iter().zip(masks);
        self.map.for_each(|i| {
            if let Some((key, mask)) = values.next() {
                m.key.set_word(i, *key);
                m.mask.set_word(i, *mask);
            }
        });
        m.tun.clone_from(&self.tun);
        m
    }

    /// Which words have mask bits.
    pub const fn map(&self) -> WordMap {
        self.map
    }

    /// Index, key word and mask word of each matched word.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64, u64)> + '_ {
        let n = self.map.len();
        self.map.iter().zip(self.words.iter().take(n)).zip(self.words.iter().skip(n)).map(|((i, k), m)| (i, *k, *m))
    }

    /// Places of tunnel metadata, if the match carries its own.
    pub fn tun(&self) -> Option<&TunAlloc> {
        self.tun.as_deref()
    }

    /// The mask as a sparse key.
    pub fn mask(&self) -> MiniKey {
        MiniKey { map: self.map, words: self.words.iter().skip(self.map.len()).copied().collect() }
    }

    /// Whether the masks are equal.
    pub fn same_mask(&self, other: &MiniMatch) -> bool {
        self.map == other.map && self.words.get(self.map.len()..) == other.words.get(other.map.len()..)
    }

    /// Mask word `i`.
    pub fn mask_word(&self, i: usize) -> u64 {
        if self.map.contains(i) { self.words.get(self.map.len() + self.map.rank(i)).copied().unwrap_or(0) } else { 0 }
    }

    /// Key word `i`.
    pub fn key_word(&self, i: usize) -> u64 {
        if self.map.contains(i) { self.words.get(self.map.rank(i)).copied().unwrap_or(0) } else { 0 }
    }

    /// Whether `key` matches.
    #[inline]
    pub fn matches(&self, key: &FlowKey) -> bool {
        self.iter().all(|(i, k, m)| key.word(i) & m == k)
    }

    /// Whether everything that `self` matches is matched by `other` (OpenFlow 1.0 §3.4, non-strict delete).
    pub fn is_within(&self, other: &MiniMatch) -> bool {
        other.iter().all(|(i, k, m)| self.mask_word(i) & m == m && self.key_word(i) & m == k)
    }

    /// Whether some packet could match both.
    pub fn overlaps(&self, other: &MiniMatch) -> bool {
        self.iter().all(|(i, k, m)| (k ^ other.key_word(i)) & m & other.mask_word(i) == 0)
    }

    /// Whether it matches every packet.
    pub fn is_catchall(&self) -> bool {
        self.map.is_empty()
    }
}

impl From<&Match> for MiniMatch {
    fn from(m: &Match) -> MiniMatch {
        MiniMatch::new(m)
    }
}

impl From<&FlowMask> for MiniKey {
    fn from(k: &FlowMask) -> MiniKey {
        MiniKey::new(k)
    }
}

const _: () = assert!(WORDS <= 128);
