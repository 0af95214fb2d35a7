//! The polling thread's own way from a packet's key to its flow. It takes no lock and waits for nobody.
//!
//! 1. A signature cache: the hash of the key leads to the number of a flow. Whether the flow is the right one says the
//!    flow's own match, so that no keys are kept and a wrong guess costs a comparison.
//! 2. The flows of the input port by mask ("subtables"), most used masks first.
//!
//! Costs are bounded: where a port has many masks, [`crate::pruning`] says which subtables are worth looking into. A port has at
//! most [`MAX_MASKS`] masks; flows with more are kept with an exact match, all in one subtable more, so that a sender that makes
//! masks on purpose makes neither its own nor others' lookups much longer.
//!
//! Plain packets ([`crate::compact`]) are compared by eight words under a mask that flows share; others by all words.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use datapath::DpAction;
use flow::{DpPort, FlowKey, FlowMask, MiniKey, WordMap};

use crate::compact::{self, Compact};
use crate::pruning::{self, Pruner};
use crate::signature::Signatures;
use crate::table::Megaflow;

/// Masks of a port, besides the exact one.
pub(crate) const MAX_MASKS: usize = pruning::SLOTS - 1;
/// Subtables of a port up to which looking into each is quicker than asking which.
const LINEAR: usize = 16;
/// Lookups of a port after which its masks are sorted anew.
const RANK_EVERY: u32 = 4096;
/// Entries that are allocated together.
const CHUNK: usize = 256;

/// A flow as the polling thread has it: two cache lines.
#[repr(C, align(64))]
pub(crate) struct Entry {
    /// What a plain packet's words must be under the mask.
    value: [u64; compact::LEN],
    /// Number of its mask.
    mask: u32,
    /// Next flow with the same hash in its subtable, plus 1.
    next: u32,
    /// What the actions come to, where they are of the usual kind.
    pub simple: Simple,
    pub flow: Arc<Megaflow>,
    pub actions: Arc<[DpAction]>,
    /// The masked words of a whole key, in the order of the mask's words.
    full: Box<[u64]>,
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

    fn write_u32(&mut self, x: u32) {
        self.0 = u64::from(x).wrapping_mul(MULTIPLIER);
    }
}

/// A mask that flows share.
struct Mask {
    /// Its words for plain packets.
    fast: [u64; compact::LEN],
    /// All its words: index, bits.
    words: Box<[(u8, u64)]>,
    /// The same for plain packets: place in the short key, bits, index. Words that plain packets have zero are missing.
    short: Box<[(u8, u64, u8)]>,
    mini: MiniKey,
    flows: usize,
}

impl Mask {
    fn new(mini: &MiniKey) -> Mask {
        let place = |i: usize| compact::PLACES.iter().position(|p| *p == i);
        let mut fast = [0; compact::LEN];
        let mut short = vec![];
        for (i, m) in mini.iter() {
            if let Some(p) = place(i) {
                fast[p] = m;
                short.push((p as u8, m, i as u8));
            }
        }
        let words = mini.iter().map(|(i, m)| (i as u8, m)).collect();
        Mask { fast, words, short: short.into(), mini: mini.clone(), flows: 0 }
    }

    /// Hash of a key under the mask. A zero word adds nothing, so that both forms of a key agree.
    #[inline]
    fn hash(&self, key: &FlowKey) -> u64 {
        let words = key.words();
        let part = |&(i, m): &(u8, u64)| word_hash(words[usize::from(i)] & m, i);
        self.words.iter().map(part).fold(SEED, u64::wrapping_add)
    }

    #[inline]
    fn hash_short(&self, key: &Compact) -> u64 {
        let part = |&(p, m, i): &(u8, u64, u8)| word_hash(key.0[usize::from(p) % compact::LEN] & m, i);
        self.short.iter().map(part).fold(SEED, u64::wrapping_add)
    }
}

struct Subtable {
    mask: u32,
    /// First flow by hash.
    heads: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    flows: usize,
    hits: u32,
    /// Its number in `PortTable::positions` and for the pruner.
    slot: usize,
}

#[derive(Default)]
struct PortTable {
    subtables: Vec<Subtable>,
    lookups: u32,
    /// Where the subtable of each slot stands.
    positions: Vec<u32>,
    free_slots: Vec<usize>,
    /// Once there are many subtables.
    pruner: Option<Box<Pruner>>,
}

impl PortTable {
    /// Sorts the subtables by use.
    fn rank(&mut self) {
        self.lookups = 0;
        self.subtables.sort_by_key(|s| std::cmp::Reverse(s.hits));
        self.subtables.iter_mut().for_each(|s| s.hits /= 2);
        self.place();
    }

    fn place(&mut self) {
        for (i, s) in self.subtables.iter().enumerate() {
            if self.positions.len() <= s.slot {
                self.positions.resize(s.slot + 1, 0);
            }
            self.positions[s.slot] = i as u32;
        }
    }
}

const SEED: u64 = 0x243f_6a88_85a3_08d3;
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of a 128-bit product: every input bit reaches every output bit.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Zero for a zero word.
#[inline(always)]
fn word_hash(word: u64, index: u8) -> u64 {
    fold(word, MULTIPLIER ^ u64::from(index) << 40)
}

/// Asks for the cache line at `place`.
#[inline(always)]
pub(crate) fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch changes nothing and may be given any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch(place.cast(), _MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// All flows by number.
#[derive(Default)]
struct Entries {
    chunks: Vec<Box<[Option<Entry>]>>,
    used: u32,
    free: Vec<u32>,
}

impl Entries {
    #[inline(always)]
    fn get(&self, index: u32) -> Option<&Entry> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)?.as_ref()
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Entry> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)?.as_mut()
    }

    fn place(&mut self, entry: Entry) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.used - 1
        });
        if index as usize / CHUNK >= self.chunks.len() {
            self.chunks.push((0..CHUNK).map(|_| None).collect());
        }
        self.chunks[index as usize / CHUNK][index as usize % CHUNK] = Some(entry);
        index
    }

    fn take(&mut self, index: u32) -> Option<Entry> {
        let entry = self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)?.take();
        self.free.push(index);
        entry
    }
}

/// See the module's description.
pub(crate) struct Lookup {
    entries: Entries,
    by_flow: HashMap<usize, u32, BuildHasherDefault<PointerHash>>,
    masks: Vec<Mask>,
    mask_ids: HashMap<MiniKey, u32>,
    free_masks: Vec<u32>,
    ports: HashMap<u32, PortTable, BuildHasherDefault<Identity>>,
    pub signatures: Signatures,
    /// Subtables that were searched.
    pub searched: u64,
}

/// Hash of an address.
#[derive(Default)]
struct PointerHash(u64);

impl Hasher for PointerHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(b)).wrapping_mul(MULTIPLIER);
        }
    }

    fn write_usize(&mut self, x: usize) {
        self.0 = fold(x as u64, MULTIPLIER);
    }
}

/// How a packet's flow was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    Signature(u32),
    Mask(u32),
}

impl Lookup {
    pub fn new() -> Self {
        Lookup {
            entries: Entries::default(),
            by_flow: HashMap::default(),
            masks: Vec::new(),
            mask_ids: HashMap::new(),
            free_masks: Vec::new(),
            ports: HashMap::default(),
            signatures: Signatures::default(),
            searched: 0,
        }
    }

    /// Hash of a whole key.
    #[inline]
    pub fn hash(key: &FlowKey) -> u64 {
        let parts = key.words().iter().enumerate().filter(|(_, w)| **w != 0);
        parts.map(|(i, w)| word_hash(*w, i as u8)).fold(SEED, u64::wrapping_add)
    }

    /// Hash of a short key. TCP flags do not count, lest a connection take many places.
    #[inline(always)]
    pub fn hash_short(key: &Compact) -> u64 {
        let k = &key.0;
        let addresses = fold(k[4] ^ 0x1319_8a2e_0370_7344, k[7] ^ k[5] ^ 0xa409_3822_299f_31d0);
        let link = fold(k[1] ^ k[0].rotate_left(7) ^ 0x082e_fa98_ec4e_6c89, k[2] ^ k[3] ^ 0x4528_21e6_38d0_1377);
        addresses.wrapping_add(link)
    }

    #[inline(always)]
    pub fn entry(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// The flow that a signature leads to first, plus 1; brought nearer to the processor.
    #[inline(always)]
    pub fn candidate(&self, hash: u64) -> u32 {
        let place = self.signatures.first(hash);
        if place != 0
            && let Some(chunk) = self.entries.chunks.get((place as usize - 1) / CHUNK)
            && let Some(entry) = chunk.get((place as usize - 1) % CHUNK)
        {
            let at = std::ptr::from_ref(entry).cast::<[u64; 8]>();
            prefetch(at);
            prefetch(at.wrapping_add(1));
        }
        place
    }

    /// Whether the flow that [`Lookup::candidate`] gave is the plain packet's.
    #[inline(always)]
    pub fn check(&self, candidate: u32, key: &Compact) -> Option<&Entry> {
        let entry = self.entry(candidate.wrapping_sub(1))?;
        is_short(self.masks.get(entry.mask as usize)?, entry, key).then_some(entry)
    }

    /// Finds the flow of a plain packet, when the first candidate was not it.
    pub fn find_short(&mut self, key: &Compact, hash: u64) -> Option<Found> {
        for index in self.signatures.all(hash) {
            if self.check(index + 1, key).is_some() {
                return Some(Found::Signature(index));
            }
        }
        let port = (key.0[0] >> 32) as u32;
        let prune = |p: &Pruner, look: &mut dyn FnMut(usize) -> bool| p.candidates_short(key, look);
        self.search(port, |m| m.hash_short(key), |m, e| is_short(m, e, key), prune).map(Found::Mask)
    }

    /// Finds the flow of a key.
    pub fn find(&mut self, key: &FlowKey, hash: u64) -> Option<Found> {
        for index in self.signatures.all(hash) {
            if let Some(e) = self.entry(index)
                && self.masks.get(e.mask as usize).is_some_and(|m| is_whole(m, e, key))
            {
                return Some(Found::Signature(index));
            }
        }
        let prune = |p: &Pruner, look: &mut dyn FnMut(usize) -> bool| p.candidates(key, look);
        self.search(key.in_port_raw(), |m| m.hash(key), |m, e| is_whole(m, e, key), prune).map(Found::Mask)
    }

    #[inline(always)]
    fn search(
        &mut self,
        port: u32,
        hash: impl Fn(&Mask) -> u64,
        fits: impl Fn(&Mask, &Entry) -> bool,
        prune: impl Fn(&Pruner, &mut dyn FnMut(usize) -> bool),
    ) -> Option<u32> {
        let (masks, entries, searched) = (&self.masks, &self.entries, &mut self.searched);
        let port = self.ports.get_mut(&port)?;
        let mut look = |subtable: &mut Subtable| {
            *searched += 1;
            let mask = masks.get(subtable.mask as usize)?;
            let mut at = subtable.heads.get(&hash(mask)).copied().unwrap_or(0);
            while at != 0 {
                let entry = entries.get(at - 1)?;
                if fits(mask, entry) {
                    subtable.hits += 1;
                    return Some(at - 1);
                }
                at = entry.next;
            }
            None
        };
        if let Some(pruner) = &port.pruner {
            let mut found = None;
            prune(pruner, &mut |slot| {
                let at = port.positions.get(slot).map_or(usize::MAX, |p| *p as usize);
                found = port.subtables.get_mut(at).and_then(&mut look);
                found.is_some()
            });
            return found;
        }
        port.lookups += 1;
        if port.lookups >= RANK_EVERY {
            port.rank();
        }
        port.subtables.iter_mut().find_map(look)
    }

    /// Whether a flow with this mask would need one mask more than the port may have.
    pub fn is_mask_too_many(&self, port: u32, mask: &FlowMask) -> bool {
        let Some(table) = self.ports.get(&port) else { return false };
        table.subtables.len() >= MAX_MASKS && {
            let id = self.mask_ids.get(&MiniKey::new(mask));
            id.is_none_or(|id| !table.subtables.iter().any(|s| s.mask == *id))
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

    fn take_mask(&mut self, mini: &MiniKey) -> u32 {
        let id = match self.mask_ids.get(mini) {
            Some(id) => *id,
            None => {
                let id = self.free_masks.pop().unwrap_or(self.masks.len() as u32);
                let mask = Mask::new(mini);
                match self.masks.get_mut(id as usize) {
                    Some(place) => *place = mask,
                    None => self.masks.push(mask),
                }
                self.mask_ids.insert(mini.clone(), id);
                id
            }
        };
        self.masks[id as usize].flows += 1;
        id
    }

    fn give_mask(&mut self, id: u32) {
        let mask = &mut self.masks[id as usize];
        mask.flows -= 1;
        if mask.flows == 0 {
            self.mask_ids.remove(&std::mem::take(&mut mask.mini));
            self.free_masks.push(id);
        }
    }

    /// Takes a flow in; gives its number, unless it was there or is dead.
    pub fn insert(&mut self, flow: &Arc<Megaflow>) -> Option<u32> {
        let id = Arc::as_ptr(flow) as usize;
        if flow.is_dead() || self.by_flow.contains_key(&id) {
            return None;
        }
        let mask_id = self.take_mask(&flow.mask);
        let mask = &self.masks[mask_id as usize];
        let key = flow.key.expand();
        let words = key.words();
        let full: Box<[u64]> = mask.words.iter().map(|&(i, m)| words[usize::from(i)] & m).collect();
        let mut value = [0; compact::LEN];
        let mut elsewhere = 0;
        for (&(i, m), v) in mask.words.iter().zip(&full) {
            match compact::PLACES.iter().position(|p| *p == usize::from(i)) {
                Some(p) => value[p] = *v,
                None => elsewhere |= *v & m,
            }
        }
        if elsewhere != 0 {
            // No plain packet is of this flow: none has this bit, behind the ports, set.
            value[compact::LEN - 1] |= 1;
        }
        let hash = mask.hash(&key);
        let actions = flow.actions();
        let entry =
            Entry { value, mask: mask_id, next: 0, simple: Simple::of(&actions), flow: flow.clone(), actions, full };
        let index = self.entries.place(entry);
        let port = self.ports.entry(key.in_port_raw()).or_default();
        let at = port.subtables.iter().position(|s| s.mask == mask_id).unwrap_or_else(|| {
            let slot = port.free_slots.pop().unwrap_or(port.subtables.len());
            port.subtables.push(Subtable { mask: mask_id, heads: HashMap::default(), flows: 0, hits: 0, slot });
            if let Some(pruner) = &mut port.pruner {
                pruner.add_table(slot, &mask.words);
            }
            port.place();
            port.subtables.len() - 1
        });
        if let Some(pruner) = &mut port.pruner {
            pruner.add_flow(&mask.words, &key);
        }
        let subtable = &mut port.subtables[at];
        subtable.flows += 1;
        let head = subtable.heads.entry(hash).or_insert(0);
        let next = std::mem::replace(head, index + 1);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.next = next;
        }
        self.by_flow.insert(id, index);
        let number = key.in_port_raw();
        if self.ports.get(&number).is_some_and(|p| p.pruner.is_none() && p.subtables.len() > LINEAR) {
            self.prune(number);
        }
        Some(index)
    }

    /// A port has come to have many subtables.
    fn prune(&mut self, number: u32) {
        let Some(port) = self.ports.get_mut(&number) else { return };
        let mut pruner = Box::<Pruner>::default();
        for s in &port.subtables {
            pruner.add_table(s.slot, &self.masks[s.mask as usize].words);
        }
        for index in self.by_flow.values() {
            let Some(entry) = self.entries.get(*index) else { continue };
            let key = entry.flow.key.expand();
            if key.in_port_raw() == number {
                pruner.add_flow(&self.masks[entry.mask as usize].words, &key);
            }
        }
        port.pruner = Some(pruner);
    }

    pub fn remove(&mut self, flow: &Arc<Megaflow>) {
        let Some(index) = self.by_flow.remove(&(Arc::as_ptr(flow) as usize)) else { return };
        let Some(entry) = self.entries.take(index) else { return };
        let key = flow.key.expand();
        let hash = self.masks[entry.mask as usize].hash(&key);
        if let Some(port) = self.ports.get_mut(&key.in_port_raw())
            && let Some(at) = port.subtables.iter().position(|s| s.mask == entry.mask)
        {
            let subtable = &mut port.subtables[at];
            unlink(&mut self.entries, subtable, hash, index, entry.next);
            subtable.flows -= 1;
            let empty = subtable.flows == 0;
            let mask = &self.masks[entry.mask as usize];
            if let Some(pruner) = &mut port.pruner {
                pruner.remove_flow(&mask.words, &key);
            }
            if empty {
                let gone = port.subtables.swap_remove(at);
                port.free_slots.push(gone.slot);
                match &mut port.pruner {
                    Some(_) if port.subtables.len() <= LINEAR / 2 => port.pruner = None,
                    Some(pruner) => pruner.remove_table(gone.slot),
                    None => {}
                }
                port.place();
            }
            if port.subtables.is_empty() {
                self.ports.remove(&key.in_port_raw());
            }
        }
        self.give_mask(entry.mask);
    }

    /// Takes over new actions of a flow.
    pub fn refresh(&mut self, flow: &Arc<Megaflow>) {
        if let Some(&index) = self.by_flow.get(&(Arc::as_ptr(flow) as usize))
            && let Some(entry) = self.entries.get_mut(index)
        {
            entry.actions = flow.actions();
            entry.simple = Simple::of(&entry.actions);
        }
    }
}

/// Whether a plain packet is of a flow.
#[inline(always)]
fn is_short(mask: &Mask, entry: &Entry, key: &Compact) -> bool {
    let mut different = 0;
    for i in 0..compact::LEN {
        different |= key.0[i] & mask.fast[i] ^ entry.value[i];
    }
    different == 0
}

fn is_whole(mask: &Mask, entry: &Entry, key: &FlowKey) -> bool {
    let words = key.words();
    mask.words.iter().zip(&entry.full).all(|(&(i, m), v)| words[usize::from(i)] & m == *v)
}

/// Takes an entry, already gone, out of the list of its hash.
fn unlink(entries: &mut Entries, subtable: &mut Subtable, hash: u64, index: u32, next: u32) {
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
        let Some(entry) = entries.get_mut(at - 1) else { return };
        if entry.next == index + 1 {
            entry.next = next;
            return;
        }
        at = entry.next;
    }
}
