//! Prefixes of addresses and ports, for looking at fewer bits of a packet.
//!
//! Where no rule's prefix agrees with a packet's address, the first bits on which they differ tell so. One writer at a
//! time; readers wait for nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use snapshot::PublishedOption;

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

struct Node {
    /// Left-aligned, the upper half first (16 bytes less than a `u128` with its alignment); bits beyond `end` are zero.
    prefix: [u64; 2],
    /// Length of the prefix from the root to the end of this node.
    end: u32,
    /// Rules with just this prefix.
    rules: AtomicU32,
    edges: [PublishedOption<Node>; 2],
}

impl Node {
    fn new(prefix: u128, end: u32, rules: u32) -> Arc<Node> {
        let edges = [PublishedOption::empty(), PublishedOption::empty()];
        let prefix = prefix & mask(end);
        let prefix = [(prefix >> 64) as u64, prefix as u64];
        Arc::new(Node { prefix, end, rules: AtomicU32::new(rules), edges })
    }

    fn prefix(&self) -> u128 {
        u128::from(self.prefix[0]) << 64 | u128::from(self.prefix[1])
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
#[derive(Default)]
pub(crate) struct Trie {
    root: PublishedOption<Node>,
}

impl Trie {
    pub fn walk(&self, value: u128) -> Walk {
        let mut walk = Walk::default();
        let mut at = self.root.get();
        let mut reached = 0;
        while let Some(node) = at {
            let same = (value ^ node.prefix()).leading_zeros();
            if same < node.end {
                // Including the first bit that differs.
                walk.bits = same + 1;
                return walk;
            }
            reached = node.end;
            if node.end > 0 && node.rules.load(Ordering::Acquire) > 0 {
                walk.lengths |= 1 << (node.end - 1);
            }
            let leaf = node.edges.iter().all(PublishedOption::is_empty);
            let next = node.edges[bit(value, node.end)].get();
            if next.is_none() {
                // One more bit told that it goes no further, unless nothing goes further.
                walk.bits = if leaf { reached } else { reached + 1 };
                return walk;
            }
            at = next;
        }
        walk.bits = reached;
        walk
    }

    /// Removes everything.
    pub fn clear(&self) {
        // A chain of nodes is as long as an address at most: letting go of it takes no deep stack.
        self.root.set(None);
    }

    pub fn insert(&self, prefix: u128, len: u32) {
        let prefix = prefix & mask(len);
        let mut slot_owner: Option<Arc<Node>> = None;
        let mut side = 0;
        loop {
            let slot = match &slot_owner {
                Some(node) => &node.edges[side],
                None => &self.root,
            };
            let Some(node) = slot.get() else {
                return slot.set(Some(Node::new(prefix, len, 1)));
            };
            let common = (prefix ^ node.prefix()).leading_zeros().min(len).min(node.end);
            if common < node.end {
                // Split the edge above the node.
                let parent = Node::new(prefix, common, u32::from(common == len));
                parent.edges[bit(node.prefix(), common)].set(Some(node));
                if common < len {
                    parent.edges[bit(prefix, common)].set(Some(Node::new(prefix, len, 1)));
                }
                return slot.set(Some(parent));
            }
            if node.end == len {
                node.rules.fetch_add(1, Ordering::AcqRel);
                return;
            }
            side = bit(prefix, node.end);
            slot_owner = Some(node);
        }
    }

    pub fn remove(&self, prefix: u128, len: u32) {
        let prefix = prefix & mask(len);
        let mut path: Vec<(Arc<Node>, usize)> = Vec::new();
        let mut at = self.root.get();
        let node = loop {
            let Some(node) = at else { return };
            if (prefix ^ node.prefix()).leading_zeros() < node.end.min(len) || node.end > len {
                return;
            }
            if node.end == len {
                break node;
            }
            let side = bit(prefix, node.end);
            at = node.edges[side].get();
            path.push((node, side));
        };
        let left = node.rules.load(Ordering::Acquire).saturating_sub(1);
        node.rules.store(left, Ordering::Release);
        let mut node = node;
        // A node without rules that does not branch is not needed.
        while node.rules.load(Ordering::Acquire) == 0 {
            let only = match (node.edges[0].get(), node.edges[1].get()) {
                (Some(_), Some(_)) => return,
                (a, b) => a.or(b),
            };
            let gone = only.is_none();
            match path.pop() {
                Some((parent, side)) => {
                    parent.edges[side].set(only);
                    if !gone {
                        return;
                    }
                    node = parent;
                }
                None => return self.root.set(only),
            }
        }
    }
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
        let trie = Trie::default();
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
            let trie = Trie::default();
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
