//! Which subtables can have a packet's flow, found without looking into each: so that a lookup's cost hardly grows with the
//! number of masks.
//!
//! Many masks come from prefixes of many lengths in a few fields. A lane is part of a word of the key. For each lane and each
//! partial mask of it that occurs, the values that flows have there are known; a packet whose value is not among them has its
//! flow in none of the subtables with that mask. What is left when all lanes have been asked is looked into.

use crate::compact::{self, Compact};
use flow::FlowKey;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// Subtables of a port, at most.
pub(crate) const SLOTS: usize = 4096;
const SET_WORDS: usize = SLOTS / 64;

/// A set of subtables by slot.
#[derive(Clone, Default)]
struct Set(Vec<u64>);

impl Set {
    fn insert(&mut self, slot: usize) {
        if self.0.len() <= slot / 64 {
            self.0.resize(slot / 64 + 1, 0);
        }
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    fn remove(&mut self, slot: usize) {
        if let Some(w) = self.0.get_mut(slot / 64) {
            *w &= !(1 << (slot % 64));
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|w| *w == 0)
    }
}

/// Values are hashed by one multiplication.
#[derive(Default)]
struct ValueHash(u64);

impl std::hash::Hasher for ValueHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_u64(&mut self, x: u64) {
        let y = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = y ^ y >> 32;
    }
}

struct LaneMask {
    mask: u64,
    /// Values of flows under the mask, and how many have each.
    values: HashMap<u64, u32, BuildHasherDefault<ValueHash>>,
    tables: Set,
}

struct Lane {
    word: usize,
    /// Place of the word in short keys; `None`: plain packets have zero there.
    place: Option<usize>,
    bits: u64,
    masks: Vec<LaneMask>,
    /// Subtables that have nothing or everything of the lane in their masks.
    others: Set,
}

/// See the module's description.
#[derive(Default)]
pub(crate) struct Pruner {
    lanes: Vec<Lane>,
    all: Set,
}

/// Lanes of a word: two halves; of the word with the ports, each port.
fn lanes_of(word: usize) -> &'static [u64] {
    const PORTS: usize = 57;
    match word {
        PORTS => &[0xffff << 48, 0xffff << 32, 0xffff_ffff],
        _ => &[0xffff_ffff << 32, 0xffff_ffff],
    }
}

fn word_of(mask: &[(u8, u64)], word: usize) -> u64 {
    mask.iter().find(|(w, _)| usize::from(*w) == word).map_or(0, |(_, m)| *m)
}

impl Pruner {
    /// A subtable with this mask (index and bits of each word) has come into being.
    pub fn add_table(&mut self, slot: usize, mask: &[(u8, u64)]) {
        for &(word, m) in mask {
            let word = usize::from(word);
            for &bits in lanes_of(word) {
                let partial = m & bits != 0 && m & bits != bits;
                if partial && !self.lanes.iter().any(|l| l.word == word && l.bits == bits) {
                    let place = compact::PLACES.iter().position(|p| *p == word);
                    self.lanes.push(Lane { word, place, bits, masks: vec![], others: self.all.clone() });
                }
            }
        }
        self.all.insert(slot);
        for lane in &mut self.lanes {
            let m = word_of(mask, lane.word) & lane.bits;
            if m == 0 || m == lane.bits {
                lane.others.insert(slot);
                continue;
            }
            let at = lane.masks.iter().position(|x| x.mask == m).unwrap_or_else(|| {
                lane.masks.push(LaneMask { mask: m, values: HashMap::default(), tables: Set::default() });
                lane.masks.len() - 1
            });
            lane.masks[at].tables.insert(slot);
        }
    }

    /// A subtable has gone, after its last flow.
    pub fn remove_table(&mut self, slot: usize) {
        self.all.remove(slot);
        for lane in &mut self.lanes {
            lane.others.remove(slot);
            lane.masks.iter_mut().for_each(|m| m.tables.remove(slot));
            lane.masks.retain(|m| !m.tables.is_empty());
        }
        self.lanes.retain(|l| !l.masks.is_empty());
    }

    /// A flow has come into a subtable with this mask.
    pub fn add_flow(&mut self, mask: &[(u8, u64)], key: &FlowKey) {
        self.each(mask, |m| *m.values.entry(key.word(m.word) & m.mask).or_insert(0) += 1);
    }

    /// A flow has left a subtable with this mask.
    pub fn remove_flow(&mut self, mask: &[(u8, u64)], key: &FlowKey) {
        self.each(mask, |m| {
            let value = key.word(m.word) & m.mask;
            if let Some(n) = m.values.get_mut(&value) {
                *n -= 1;
                if *n == 0 {
                    m.values.remove(&value);
                }
            }
        });
    }

    fn each(&mut self, mask: &[(u8, u64)], mut f: impl FnMut(OneMask<'_>)) {
        for lane in &mut self.lanes {
            let m = word_of(mask, lane.word) & lane.bits;
            if let Some(x) = lane.masks.iter_mut().find(|x| x.mask == m) {
                f(OneMask { word: lane.word, mask: m, values: &mut x.values });
            }
        }
    }

    /// Slots of the subtables that may have a flow for the key.
    pub fn candidates(&self, key: &FlowKey, mut look: impl FnMut(usize) -> bool) {
        self.narrow(|lane| key.word(lane.word), &mut look);
    }

    /// The same for a plain packet.
    pub fn candidates_short(&self, key: &Compact, mut look: impl FnMut(usize) -> bool) {
        self.narrow(|lane| lane.place.map_or(0, |p| key.0[p % compact::LEN]), &mut look);
    }

    #[inline(always)]
    fn narrow(&self, word: impl Fn(&Lane) -> u64, look: &mut impl FnMut(usize) -> bool) {
        let mut left = [0u64; SET_WORDS];
        let n = self.all.0.len().min(SET_WORDS);
        left[..n].copy_from_slice(&self.all.0[..n]);
        for lane in &self.lanes {
            let value = word(lane);
            let mut allowed = [0u64; SET_WORDS];
            let m = lane.others.0.len().min(n);
            allowed[..m].copy_from_slice(&lane.others.0[..m]);
            for x in lane.masks.iter().filter(|x| x.values.contains_key(&(value & x.mask))) {
                for (a, b) in allowed[..n].iter_mut().zip(&x.tables.0) {
                    *a |= b;
                }
            }
            for (l, a) in left[..n].iter_mut().zip(&allowed) {
                *l &= a;
            }
        }
        for (i, word) in left[..n].iter().enumerate() {
            let mut bits = *word;
            while bits != 0 {
                if look(64 * i + bits.trailing_zeros() as usize) {
                    return;
                }
                bits &= bits - 1;
            }
        }
    }
}

struct OneMask<'a> {
    word: usize,
    mask: u64,
    values: &'a mut HashMap<u64, u32, BuildHasherDefault<ValueHash>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(src: u32, port: u16) -> FlowKey {
        let mut k = FlowKey::ZERO;
        k.set_nw_src(src.into());
        k.set_tp_dst(port);
        k
    }

    fn found(p: &Pruner, key: &FlowKey) -> Vec<usize> {
        let mut all = vec![];
        p.candidates(key, |slot| {
            all.push(slot);
            false
        });
        all
    }

    #[test]
    fn only_what_can_match_is_left() {
        let mut p = Pruner::default();
        let prefix = |n: u32| u64::from(u32::MAX << (32 - n)) << 32;
        let masks: Vec<Vec<(u8, u64)>> = (1..=32).map(|n| vec![(44, prefix(n))]).collect();
        for (slot, m) in masks.iter().enumerate() {
            p.add_table(slot, m);
            // The flow for packets that differ from 10.0.0.1 first at this bit.
            p.add_flow(m, &key(0x0a00_0001 ^ 1 << (31 - slot), 0));
        }
        // The table with all 32 bits, of which nothing partial is known, is always looked into.
        for slot in 0..31 {
            assert_eq!(found(&p, &key(0x0a00_0001 ^ 1 << (31 - slot), 7)), [slot, 31]);
        }
        let mut ports = Pruner::default();
        ports.add_table(0, &[(57, 0xff00 << 32)]);
        ports.add_flow(&[(57, 0xff00 << 32)], &key(0, 0x1234));
        assert_eq!(found(&ports, &key(1, 0x12ff)), [0]);
        assert!(found(&ports, &key(1, 0x13ff)).is_empty());
        ports.remove_flow(&[(57, 0xff00 << 32)], &key(0, 0x1234));
        assert!(found(&ports, &key(1, 0x12ff)).is_empty());
        ports.remove_table(0);
        assert!(ports.lanes.is_empty());
    }
}
