//! The polling thread's own way from a packet's key to its flow. It takes no lock and waits for nobody.
//!
//! 1. A signature cache: the hash of the whole key leads to the number of a flow. Whether the flow is the right one says the
//!    flow's own match, so that no keys are kept and a wrong guess costs a comparison.
//! 2. The flows of the input port by mask ("subtables"), most used masks first.
//!
//! Costs are bounded: a port has at most [`MAX_MASKS`] masks. Flows with more masks are kept with an exact match, all in one
//! subtable more, so that a sender that makes masks on purpose makes neither its own nor others' lookups longer.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use datapath::DpAction;
use flow::{DpPort, FlowKey, FlowMask, MiniKey, WordMap};

use crate::table::Megaflow;

/// Masks of a port, besides the exact one.
pub(crate) const MAX_MASKS: usize = 128;
/// Places of a signature bucket: a cache line.
const PLACES: usize = 8;
const BUCKETS: usize = 1 << 15;
/// Lookups of a port after which its masks are sorted anew.
const RANK_EVERY: u32 = 4096;
/// Matched words that a flow keeps beside its number; more are elsewhere.
const INLINE: usize = 8;

/// A flow as the polling thread has it.
pub(crate) struct Entry {
    words: [u8; INLINE],
    n_words: u8,
    live: bool,
    /// More words: index, value, mask.
    rest: Box<[(u8, u64, u64)]>,
    values: [u64; INLINE],
    masks: [u64; INLINE],
    /// Next flow with the same hash in its subtable, plus 1.
    next: u32,
    /// What the actions come to, where they are of the usual kind.
    pub simple: Simple,
    pub flow: Arc<Megaflow>,
    pub actions: Arc<[DpAction]>,
}

/// Lists of actions that need no interpreter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Simple {
    No,
    Drop,
    Output(DpPort),
}

impl Simple {
    fn of(actions: &[DpAction]) -> Simple {
        match actions {
            [] => Simple::Drop,
            [DpAction::Output(port)] => Simple::Output(*port),
            _ => Simple::No,
        }
    }
}

impl Entry {
    #[inline]
    fn matches(&self, key: &FlowKey) -> bool {
        let words = key.words();
        for i in 0..usize::from(self.n_words) {
            if words[usize::from(self.words[i])] & self.masks[i] != self.values[i] {
                return false;
            }
        }
        self.rest.iter().all(|&(i, v, m)| words[usize::from(i)] & m == v)
    }
}

/// Keys are hashes already.
#[derive(Default)]
struct Identity(u64);

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

struct Subtable {
    mask: MiniKey,
    words: Box<[(u8, u64)]>,
    /// First flow by hash.
    heads: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    flows: usize,
    hits: u32,
}

impl Subtable {
    #[inline]
    fn hash(&self, key: &FlowKey) -> u64 {
        let words = key.words();
        let mut h = SEED;
        for &(i, m) in &self.words {
            h = fold(h ^ (words[usize::from(i)] & m), MULTIPLIER ^ u64::from(i));
        }
        h
    }
}

#[derive(Default)]
struct PortTable {
    subtables: Vec<Subtable>,
    lookups: u32,
}

const SEED: u64 = 0x243f_6a88_85a3_08d3;
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of a 128-bit product: every input bit reaches every output bit.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Asks for the cache line at `place`.
#[inline]
pub(crate) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch changes nothing and may be given any address; this one is of a live value.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch(std::ptr::from_ref(place).cast(), _MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket([u64; PLACES]);

/// See the module's description.
pub(crate) struct Lookup {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_flow: HashMap<*const Megaflow, u32>,
    ports: HashMap<u32, PortTable, BuildHasherDefault<Identity>>,
    signatures: Box<[Bucket]>,
    pub use_signatures: bool,
}

/// How a packet's flow was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    Signature(u32),
    Mask(u32),
}

// SAFETY: the raw pointers are keys of a map and never followed; everything else is `Send`.
unsafe impl Send for Lookup {}

impl Lookup {
    pub fn new() -> Self {
        Lookup {
            entries: Vec::new(),
            free: Vec::new(),
            by_flow: HashMap::new(),
            ports: HashMap::default(),
            signatures: vec![Bucket([0; PLACES]); BUCKETS].into(),
            use_signatures: true,
        }
    }

    /// Hash of a whole key. `plain`: nothing but the input port, the recirculation id and the headers is set.
    #[inline]
    pub fn hash(key: &FlowKey, plain: bool) -> u64 {
        let w = key.words();
        let mut h = fold(w[26] ^ SEED, w[39] ^ MULTIPLIER);
        h = h.wrapping_add(fold(w[40] ^ 0x1319_8a2e_0370_7344, w[41] ^ 0xa409_3822_299f_31d0));
        h = h.wrapping_add(fold(w[44] ^ 0x082e_fa98_ec4e_6c89, w[49] ^ 0x4528_21e6_38d0_1377));
        h = h.wrapping_add(fold(w[52] ^ 0xbe54_66cf_34e9_0c6c, w[57] ^ 0xc0ac_29b7_c97c_50dd));
        if !plain || w[39] as u16 != 0x0800 {
            for (i, &x) in w.iter().enumerate() {
                if x != 0 {
                    h = fold(h ^ x, MULTIPLIER ^ i as u64);
                }
            }
        }
        h
    }

    #[inline]
    pub fn entry(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index as usize)?.as_ref()
    }

    #[inline]
    fn bucket(hash: u64) -> usize {
        hash as usize & (BUCKETS - 1)
    }

    /// Brings the place where a key's signature would be nearer to the processor.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch(&self.signatures[Self::bucket(hash)]);
    }

    /// The same for the flow that the signature leads to.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        let tag = hash >> 32;
        for &place in &self.signatures[Self::bucket(hash)].0 {
            if place >> 32 == tag && place as u32 != 0 {
                if let Some(Some(entry)) = self.entries.get(place as u32 as usize - 1) {
                    prefetch(entry);
                    prefetch(&entry.masks);
                    prefetch(&entry.flow);
                }
                return;
            }
        }
    }

    /// Finds the flow of a key by its signature.
    #[inline]
    fn by_signature(&self, key: &FlowKey, hash: u64) -> Option<u32> {
        let tag = hash >> 32;
        for &place in &self.signatures[Self::bucket(hash)].0 {
            if place >> 32 == tag && place as u32 != 0 {
                let index = place as u32 - 1;
                if let Some(entry) = self.entry(index)
                    && entry.live
                    && entry.matches(key)
                {
                    return Some(index);
                }
            }
        }
        None
    }

    /// Finds the flow of a key.
    #[inline]
    pub fn find(&mut self, key: &FlowKey, hash: u64) -> Option<Found> {
        if self.use_signatures
            && let Some(index) = self.by_signature(key, hash)
        {
            return Some(Found::Signature(index));
        }
        let index = self.by_mask(key)?;
        self.remember(hash, index);
        Some(Found::Mask(index))
    }

    fn remember(&mut self, hash: u64, index: u32) {
        let places = &mut self.signatures[Self::bucket(hash)].0;
        let entry = hash >> 32 << 32 | u64::from(index + 1);
        let empty = places.iter().position(|&p| p == 0 || p >> 32 == hash >> 32);
        let at = empty.unwrap_or((hash >> 20) as usize % PLACES);
        places[at] = entry;
    }

    fn by_mask(&mut self, key: &FlowKey) -> Option<u32> {
        let port = self.ports.get_mut(&key.in_port_raw())?;
        port.lookups += 1;
        if port.lookups >= RANK_EVERY {
            port.lookups = 0;
            port.subtables.sort_by_key(|s| std::cmp::Reverse(s.hits));
            port.subtables.iter_mut().for_each(|s| s.hits /= 2);
        }
        for subtable in &mut port.subtables {
            let mut at = subtable.heads.get(&subtable.hash(key)).copied().unwrap_or(0);
            while at != 0 {
                let Some(Some(entry)) = self.entries.get(at as usize - 1) else { break };
                if entry.matches(key) {
                    subtable.hits += 1;
                    return Some(at - 1);
                }
                at = entry.next;
            }
        }
        None
    }

    /// Whether a flow with this mask would need one mask more than the port may have.
    pub fn is_mask_too_many(&self, port: u32, mask: &FlowMask) -> bool {
        let Some(table) = self.ports.get(&port) else { return false };
        table.subtables.len() >= MAX_MASKS && {
            let mask = MiniKey::new(mask);
            !table.subtables.iter().any(|s| s.mask == mask)
        }
    }

    /// The mask of everything that a packet like `key` has.
    pub fn exact_mask(key: &FlowKey) -> FlowMask {
        let mut mask = FlowMask::ZERO;
        for i in WordMap::of(key).iter() {
            mask.set_word(i, u64::MAX);
        }
        for i in 38..58 {
            mask.set_word(i, u64::MAX);
        }
        mask.set_word(26, u64::MAX);
        mask
    }

    pub fn insert(&mut self, flow: &Arc<Megaflow>) {
        let id = Arc::as_ptr(flow);
        if flow.is_dead() || self.by_flow.contains_key(&id) {
            return;
        }
        let all: Vec<(u8, u64, u64)> = flow.mask.iter().map(|(i, m)| (i as u8, flow.key.word(i) & m, m)).collect();
        let mut entry = Entry {
            words: [0; INLINE],
            n_words: all.len().min(INLINE) as u8,
            live: true,
            rest: all.get(INLINE..).unwrap_or(&[]).into(),
            values: [0; INLINE],
            masks: [0; INLINE],
            next: 0,
            simple: Simple::of(&flow.actions()),
            flow: flow.clone(),
            actions: flow.actions(),
        };
        for (i, &(word, value, mask)) in all.iter().take(INLINE).enumerate() {
            (entry.words[i], entry.values[i], entry.masks[i]) = (word, value, mask);
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32 - 1
        });
        let key = flow.key.expand();
        let port = self.ports.entry(key.in_port_raw()).or_default();
        let at = port.subtables.iter().position(|s| s.mask == flow.mask).unwrap_or_else(|| {
            port.subtables.push(Subtable {
                mask: flow.mask.clone(),
                words: all.iter().map(|&(i, _, m)| (i, m)).collect(),
                heads: HashMap::default(),
                flows: 0,
                hits: 0,
            });
            port.subtables.len() - 1
        });
        let subtable = &mut port.subtables[at];
        subtable.flows += 1;
        let head = subtable.heads.entry(subtable.hash(&key)).or_insert(0);
        entry.next = std::mem::replace(head, index + 1);
        self.entries[index as usize] = Some(entry);
        self.by_flow.insert(id, index);
    }

    pub fn remove(&mut self, flow: &Arc<Megaflow>) {
        let Some(index) = self.by_flow.remove(&Arc::as_ptr(flow)) else { return };
        let Some(entry) = self.entries[index as usize].take() else { return };
        self.free.push(index);
        let key = flow.key.expand();
        let Some(port) = self.ports.get_mut(&key.in_port_raw()) else { return };
        let Some(at) = port.subtables.iter().position(|s| s.mask == flow.mask) else { return };
        let subtable = &mut port.subtables[at];
        let hash = subtable.hash(&key);
        unlink(&mut self.entries, subtable, hash, index, entry.next);
        subtable.flows -= 1;
        if subtable.flows == 0 {
            port.subtables.remove(at);
        }
    }

    /// Takes over new actions of a flow.
    pub fn refresh(&mut self, flow: &Arc<Megaflow>) {
        if let Some(&index) = self.by_flow.get(&Arc::as_ptr(flow))
            && let Some(Some(entry)) = self.entries.get_mut(index as usize)
        {
            entry.actions = flow.actions();
            entry.simple = Simple::of(&entry.actions);
        }
    }
}

/// Takes an entry, already out of `entries`, out of the list of its hash.
fn unlink(entries: &mut [Option<Entry>], subtable: &mut Subtable, hash: u64, index: u32, next: u32) {
    let Some(head) = subtable.heads.get_mut(&hash) else { return };
    if *head == index + 1 {
        if next == 0 {
            subtable.heads.remove(&hash);
        } else {
            *head = next;
        }
        return;
    }
    let mut at = *head;
    while at != 0 {
        let Some(Some(entry)) = entries.get_mut(at as usize - 1) else { return };
        if entry.next == index + 1 {
            entry.next = next;
            return;
        }
        at = entry.next;
    }
}
