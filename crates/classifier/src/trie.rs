//! Prefixes of addresses and ports, for looking at fewer bits of a packet.
//!
//! Where no rule's prefix agrees with a packet's address, the first bits on which they differ tell so. One writer at a
//! time; readers wait for nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use snapshot::Published;

/// What a walk down a trie found out about a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Walk {
    /// Bit n-1: there is a prefix of length n, and the value has it.
    pub lengths: u128,
    /// Leading bits of the value that had to be looked at to know.
    pub bits: u32,
}

impl Walk {
    pub fn has(&self, length: u32) -> bool {
        length == 0 || self.lengths >> (length - 1) & 1 != 0
    }
}

/// A prefix that some rule has, or where two of them part. Only its writer changes it.
#[derive(Default)]
struct Node {
    /// Upper part of the prefix, left-aligned; bits beyond `end` are zero.
    prefix: AtomicU32,
    /// Rules with just this prefix.
    rules: AtomicU32,
    /// Nodes below, by the bit that follows; [`NONE`]: none.
    edges: [AtomicU32; 2],
    /// Length of the prefix from the root to the end of this node.
    end: AtomicU8,
}

/// The number of no node.
const NONE: u32 = 0;

/// Nodes by number, from 1. What is no longer linked stays until the rest moves to a new place: who is on the way through it
/// comes to no harm.
#[derive(Default)]
struct Nodes {
    root: AtomicU32,
    /// Numbers given away.
    used: AtomicU32,
    nodes: Box<[Node]>,
    /// The rest of each prefix, where prefixes are longer than 32 bits.
    rest: Box<[[AtomicU32; 3]]>,
}

impl Nodes {
    fn with_room(room: usize, wide: bool) -> Nodes {
        let nodes = (0..room).map(|_| Node::default()).collect();
        let rest = (0..if wide { room } else { 0 }).map(|_| Default::default()).collect();
        Nodes { nodes, rest, ..Nodes::default() }
    }

    fn node(&self, number: u32) -> Option<&Node> {
        self.nodes.get((number as usize).checked_sub(1)?)
    }

    fn prefix(&self, number: u32) -> u128 {
        let high = self.node(number).map_or(0, |n| n.prefix.load(Ordering::Relaxed));
        let rest = self.rest.get(number as usize - 1).into_iter().flatten();
        let words = std::iter::once(high).chain(rest.map(|w| w.load(Ordering::Relaxed)));
        words.enumerate().fold(0, |prefix, (i, word)| prefix | u128::from(word) << (96 - 32 * i))
    }

    /// A node that nothing leads to yet.
    fn make(&self, prefix: u128, end: u32, rules: u32) -> u32 {
        let at = self.used.load(Ordering::Relaxed) as usize;
        let prefix = prefix & mask(end);
        let Some(node) = self.nodes.get(at) else { return NONE };
        node.prefix.store((prefix >> 96) as u32, Ordering::Relaxed);
        for (i, word) in self.rest.get(at).into_iter().flatten().enumerate() {
            word.store((prefix >> (64 - 32 * i)) as u32, Ordering::Relaxed);
        }
        node.end.store(end as u8, Ordering::Relaxed);
        node.rules.store(rules, Ordering::Relaxed);
        self.used.store(at as u32 + 1, Ordering::Relaxed);
        at as u32 + 1
    }

    /// Copies what hangs below `number` of `from`; the number of the copy. Goes no deeper than a prefix is long.
    fn copy(&self, from: &Nodes, number: u32) -> u32 {
        let Some(node) = from.node(number) else { return NONE };
        let new = self.make(from.prefix(number), node.end(), node.rules.load(Ordering::Relaxed));
        if let Some(copy) = self.node(new) {
            for side in 0..2 {
                copy.lead(side, self.copy(from, node.next(side)));
            }
        }
        new
    }
}

impl Node {
    fn end(&self) -> u32 {
        u32::from(self.end.load(Ordering::Relaxed))
    }

    /// The node on a side.
    fn next(&self, side: usize) -> u32 {
        self.edges[side].load(Ordering::Acquire)
    }

    fn lead(&self, side: usize, to: u32) {
        self.edges[side].store(to, Ordering::Release);
    }
}

const fn mask(len: u32) -> u128 {
    if len == 0 { 0 } else { u128::MAX << (128 - len) }
}

/// Bit `at`, counted from the left.
const fn bit(value: u128, at: u32) -> usize {
    if at >= 128 { 0 } else { (value >> (127 - at) & 1) as usize }
}

/// A path-compressed binary trie of left-aligned values of up to 128 bits.
pub(crate) struct Trie {
    nodes: Published<Nodes>,
    /// Whether values have more than 32 bits.
    wide: bool,
}

impl Trie {
    /// A trie of values of so many bits.
    pub fn new(bits: u16) -> Trie {
        Trie { nodes: Published::default(), wide: bits > 32 }
    }

    pub fn walk(&self, value: u128) -> Walk {
        let mut walk = Walk::default();
        let nodes = self.nodes.load();
        let mut at = nodes.root.load(Ordering::Acquire);
        let mut reached = 0;
        while let Some(node) = nodes.node(at) {
            let (same, end) = ((value ^ nodes.prefix(at)).leading_zeros(), node.end());
            if same < end {
                // Including the first bit that differs.
                walk.bits = same + 1;
                return walk;
            }
            reached = end;
            if end > 0 && node.rules.load(Ordering::Acquire) > 0 {
                walk.lengths |= 1 << (end - 1);
            }
            let next = [node.next(0), node.next(1)];
            at = next[bit(value, end)];
            if at == NONE {
                // One more bit told that it goes no further, unless nothing goes further.
                walk.bits = if next == [NONE; 2] { reached } else { reached + 1 };
                return walk;
            }
        }
        walk.bits = reached;
        walk
    }

    /// Removes everything.
    pub fn clear(&self) {
        self.nodes.publish(Arc::default());
    }

    /// The nodes, with room for what one more prefix needs.
    fn with_room(&self) -> Arc<Nodes> {
        let nodes = self.nodes.snapshot();
        if nodes.used.load(Ordering::Relaxed) as usize + 2 <= nodes.nodes.len() {
            return nodes;
        }
        let live = count(&nodes, nodes.root.load(Ordering::Relaxed));
        let new = Nodes::with_room(live + live / 4 + 4, self.wide);
        new.root.store(new.copy(&nodes, nodes.root.load(Ordering::Relaxed)), Ordering::Relaxed);
        let new = Arc::new(new);
        self.nodes.publish(new.clone());
        new
    }

    pub fn insert(&self, prefix: u128, len: u32) {
        let prefix = prefix & mask(len);
        let nodes = self.with_room();
        let mut slot = &nodes.root;
        loop {
            let at = slot.load(Ordering::Relaxed);
            let Some(node) = nodes.node(at) else {
                return slot.store(nodes.make(prefix, len, 1), Ordering::Release);
            };
            let (before, end) = (nodes.prefix(at), node.end());
            let common = (prefix ^ before).leading_zeros().min(len).min(end);
            if common < end {
                // Split the edge above the node.
                let number = nodes.make(prefix, common, u32::from(common == len));
                if let Some(parent) = nodes.node(number) {
                    parent.lead(bit(before, common), at);
                    if common < len {
                        parent.lead(bit(prefix, common), nodes.make(prefix, len, 1));
                    }
                }
                return slot.store(number, Ordering::Release);
            }
            if end == len {
                node.rules.fetch_add(1, Ordering::AcqRel);
                return;
            }
            slot = &node.edges[bit(prefix, end)];
        }
    }

    pub fn remove(&self, prefix: u128, len: u32) {
        let prefix = prefix & mask(len);
        let nodes = self.nodes.load();
        // Where each node on the way is linked.
        let mut path: Vec<(&AtomicU32, &Node)> = Vec::new();
        let mut slot = &nodes.root;
        loop {
            let at = slot.load(Ordering::Relaxed);
            let Some(node) = nodes.node(at) else { return };
            let end = node.end();
            if (prefix ^ nodes.prefix(at)).leading_zeros() < end.min(len) || end > len {
                return;
            }
            path.push((slot, node));
            if end == len {
                break;
            }
            slot = &node.edges[bit(prefix, end)];
        }
        if let Some((_, node)) = path.last() {
            let left = node.rules.load(Ordering::Relaxed).saturating_sub(1);
            node.rules.store(left, Ordering::Release);
        }
        // A node without rules that does not branch is not needed.
        while let Some((slot, node)) = path.pop() {
            let next = [node.next(0), node.next(1)];
            if node.rules.load(Ordering::Relaxed) > 0 || !next.contains(&NONE) {
                return;
            }
            let only = next[0].max(next[1]);
            slot.store(only, Ordering::Release);
            if only != NONE {
                return;
            }
        }
    }
}

/// Nodes that `number` leads to, itself included.
fn count(nodes: &Nodes, number: u32) -> usize {
    nodes.node(number).map_or(0, |n| 1 + count(nodes, n.next(0)) + count(nodes, n.next(1)))
}

/// A set of 16-bit values that tells how many leading bits of a value that is not in it show so.
pub(crate) struct PortSet {
    words: Box<[AtomicU64]>,
}

impl Default for PortSet {
    fn default() -> Self {
        PortSet { words: (0..1024).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl PortSet {
    pub fn insert(&self, value: u16) {
        self.words[usize::from(value >> 6)].fetch_or(1 << (value & 63), Ordering::AcqRel);
    }

    pub fn remove(&self, value: u16) {
        self.words[usize::from(value >> 6)].fetch_and(!(1 << (value & 63)), Ordering::AcqRel);
    }

    /// Leading bits of `value` that no value in the set has, at least; 16 if the value is in the set.
    pub fn distinguishing_bits(&self, value: u16) -> u32 {
        let word = self.words[usize::from(value >> 6)].load(Ordering::Acquire);
        for size_bits in 0..=6u32 {
            let start = u32::from(value & 63) >> size_bits << size_bits;
            let span = if size_bits == 6 { u64::MAX } else { ((1u64 << (1 << size_bits)) - 1) << start };
            if word & span != 0 {
                return (16 - size_bits + 1).min(16);
            }
        }
        for size_bits in 7..=16u32 {
            let count = 1usize << (size_bits - 6);
            let start = usize::from(value >> 6) / count * count;
            if self.words[start..start + count].iter().any(|w| w.load(Ordering::Acquire) != 0) {
                return 16 - size_bits + 1;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v4(a: [u8; 4]) -> u128 {
        u128::from(u32::from_be_bytes(a)) << 96
    }

    #[test]
    fn walks() {
        let trie = Trie::new(128);
        assert_eq!(trie.walk(v4([1, 2, 3, 4])), Walk::default());
        trie.insert(v4([10, 0, 0, 0]), 8);
        trie.insert(v4([10, 1, 2, 0]), 24);
        let walk = trie.walk(v4([10, 1, 2, 3]));
        assert!(walk.has(8) && walk.has(24) && !walk.has(16));
        assert_eq!(walk.bits, 24);
        let walk = trie.walk(v4([10, 128, 0, 0]));
        assert!(walk.has(8) && !walk.has(24));
        assert_eq!(walk.bits, 9);
        assert_eq!(trie.walk(v4([192, 0, 0, 1])), Walk { lengths: 0, bits: 1 });
    }

    #[test]
    fn ports() {
        let ports = PortSet::default();
        assert_eq!(ports.distinguishing_bits(5), 0);
        (80..=103).for_each(|p| ports.insert(p));
        assert_eq!(ports.distinguishing_bits(1), 10);
        assert_eq!(ports.distinguishing_bits(80), 16);
        assert_eq!(ports.distinguishing_bits(0xffff), 1);
        ports.remove(80);
        assert_eq!(ports.distinguishing_bits(80), 16);
    }

    proptest! {
        /// Against a plain list of prefixes: right lengths, and bits that really tell.
        #[test]
        fn agrees_with_a_list(
            prefixes in proptest::collection::vec((0u8..8, 0u8..4, 0u32..17), 0..40),
            gone in proptest::collection::vec(any::<bool>(), 40),
            values in proptest::collection::vec((0u8..8, 0u8..4), 10),
        ) {
            let trie = Trie::new(128);
            let wide = |a: u8, b: u8| u128::from(a << 5) << 120 | u128::from(b << 6) << 112;
            let mut list: Vec<(u128, u32)> = Vec::new();
            for &(a, b, len) in &prefixes {
                trie.insert(wide(a, b), len);
                list.push((wide(a, b) & mask(len), len));
            }
            for (i, &(a, b, len)) in prefixes.iter().enumerate() {
                if gone[i] {
                    trie.remove(wide(a, b), len);
                    let at = list.iter().position(|p| *p == (wide(a, b) & mask(len), len)).unwrap();
                    list.swap_remove(at);
                }
            }
            for (a, b) in values {
                let value = wide(a, b);
                let walk = trie.walk(value);
                for len in 1..17 {
                    let there = list.iter().any(|&(p, l)| l == len && value & mask(l) == p);
                    prop_assert_eq!(walk.has(len), there, "length {}", len);
                }
                let needed = list.iter().filter(|(_, l)| *l > 0).map(|&(p, l)| {
                    let same = (p ^ value).leading_zeros();
                    if same >= l { l } else { same + 1 }
                }).max().unwrap_or(0);
                prop_assert!(walk.bits >= needed, "{} < {}", walk.bits, needed);
            }
        }
    }
}
