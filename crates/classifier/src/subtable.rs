//! The rules of one mask.

use std::cmp::Reverse;
use std::sync::Arc;

use flow::mini::{finish_hash, mix};
use flow::{FlowKey, FlowMask, MiniKey};
use snapshot::{ByHash, Count, PublishedOption};

use crate::rule::Rule;
use crate::trie::PortSet;
use crate::{PREFIX_FIELDS, Prefixes, prefix_len};

/// Words where the stages of a lookup end: metadata and registers, link layer, network layer. Tunnel metadata comes
/// with the first stage though it lies behind.
const STAGE_ENDS: [usize; 3] = [39, 44, 50];
const TUNNEL_FROM: usize = 58;
/// The stage of the network layer, before which prefixes are looked up.
const PREFIX_STAGE: usize = 2;
/// Stages of a lookup.
pub(crate) const STAGES: usize = 4;

fn stage_of(word: usize) -> usize {
    if word >= TUNNEL_FROM { 0 } else { STAGE_ENDS.iter().take_while(|&&end| word >= end).count() }
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
    indices: [Option<ByHash<Count>>; STAGES - 1],
    /// By the hash of all words.
    rules: ByHash<PublishedOption<Rule<T>>>,
    /// Length of the mask of each prefix field; 0: not matched, or not a prefix.
    pub prefix_lens: [u32; PREFIX_FIELDS.len()],
    /// Values of the transport port that is matched, the source's where both are.
    ports: Option<Ports>,
}

/// Word of the transport ports.
const PORT_WORD: usize = 57;

/// The ports of a subtable's rules, as far as their mask goes.
struct Ports {
    shift: u32,
    mask: u16,
    set: PortSet,
    /// Rules by value; only the writer looks.
    counts: std::sync::Mutex<std::collections::HashMap<u16, u32>>,
}

impl Ports {
    fn of(mask: &MiniKey) -> Option<Ports> {
        let word = mask.word(PORT_WORD);
        let (src, dst) = ((word >> 48) as u16, (word >> 32) as u16);
        let (shift, mask) = match (src, dst) {
            (0, m) if m != 0 => (32, m),
            // Of two ports the source comes first; where it tells, the other need not be looked at.
            (m, _) if m != 0 => (48, m),
            _ => return None,
        };
        Some(Ports { shift, mask, set: PortSet::default(), counts: Default::default() })
    }

    fn value(&self, word: u64) -> u16 {
        (word >> self.shift) as u16 & self.mask
    }

    fn change(&self, word: u64, add: bool) {
        let value = self.value(word);
        let mut counts = self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = counts.entry(value).or_insert(0);
        if add {
            *count += 1;
            self.set.insert(value);
        } else {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&value);
                self.set.remove(value);
            }
        }
    }
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
            (ends[s] > begins && ends[s] < total).then(ByHash::default)
        });
        let prefix_lens = PREFIX_FIELDS.map(|field| prefix_len(mask.expand().get(field), field.def().bits.into()));
        let ports = Ports::of(&mask);
        Subtable { mask, words: words.into(), ends, indices, rules: ByHash::default(), prefix_lens, ports }
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
    pub fn lookup(
        &self,
        key: &FlowKey,
        mut wc: Option<&mut FlowMask>,
        prefixes: &mut Prefixes<'_>,
        mut each: impl FnMut(Arc<Rule<T>>) -> bool,
    ) {
        let mut hash = 0;
        for stage in 0..STAGES {
            if stage == PREFIX_STAGE
                && let Some(wc) = wc.as_deref_mut()
                && prefixes.rule_out(key, &self.prefix_lens, wc)
            {
                self.unwildcard(usize::from(self.ends[stage - 1]), wc);
                return;
            }
            hash = self.hash(stage, hash, |i| key.word(i));
            if let Some(Some(index)) = self.indices.get(stage)
                && index.find(finish_hash(hash), |_| Some(())).is_none()
            {
                if let Some(wc) = wc {
                    self.unwildcard(usize::from(self.ends[stage]), wc);
                }
                return;
            }
        }
        let (mut any, mut rules) = (false, Vec::new());
        self.rules.find(finish_hash(hash), |rule| -> Option<()> {
            let rule = rule.load();
            if let Some(rule) = &*rule {
                any = true;
                if rule.matching.matches(key) {
                    rules.push(rule.clone());
                }
            }
            None
        });
        if let Some(wc) = wc {
            match &self.ports {
                Some(ports) if !any => self.unwildcard_ports(key, ports, wc),
                _ => self.unwildcard(self.words.len(), wc),
            }
        }
        // Nearly always one at most.
        rules.sort_by_key(|r| Reverse(r.priority));
        for rule in rules {
            if each(rule) {
                return;
            }
        }
    }

    /// No rule matched in the last stage: of the port, only the bits that tell it from every rule's port.
    fn unwildcard_ports(&self, key: &FlowKey, ports: &Ports, wc: &mut FlowMask) {
        let value = ports.value(key.word(PORT_WORD));
        let bits = ports.set.distinguishing_bits(value);
        for &(i, m) in &self.words {
            let i = usize::from(i);
            let mut looked = m;
            if i == PORT_WORD {
                let port = ports.mask & (0xffffu32 << (16 - bits)) as u16;
                let other = if bits < 16 { 0xffff << 32 | 0xffff << 48 } else { 0xffff << ports.shift };
                looked = m & !other | u64::from(port) << ports.shift;
            }
            wc.set_word(i, wc.word(i) | looked);
        }
    }

    /// A rule with just this masked key.
    pub fn find(&self, matching: &flow::MiniMatch, mut wanted: impl FnMut(&Rule<T>) -> bool) -> Option<Arc<Rule<T>>> {
        let hash = self.whole_hash(|i| matching.key_word(i));
        self.rules.find(hash, |rule| rule.load().as_ref().filter(|r| wanted(r)).cloned())
    }

    /// Only one thread at a time may change a subtable.
    pub fn insert(&self, rule: Arc<Rule<T>>) {
        let matching = &rule.matching;
        let mut hash = 0;
        for stage in 0..STAGES {
            hash = self.hash(stage, hash, |i| matching.key_word(i));
            if let Some(Some(index)) = self.indices.get(stage) {
                let hash = finish_hash(hash);
                let more = |n: &Count| {
                    n.set(n.get() + 1);
                    Some(())
                };
                if index.find(hash, more).is_none() {
                    index.add(hash, |n| n.set(1));
                }
            }
        }
        if let Some(ports) = &self.ports {
            ports.change(matching.key_word(PORT_WORD), true);
        }
        self.rules.add(finish_hash(hash), |place| place.set(Some(rule)));
    }

    /// Takes a rule out; whether it was there.
    pub fn remove(&self, rule: &Arc<Rule<T>>) -> bool {
        let hash = self.whole_hash(|i| rule.matching.key_word(i));
        let there = self.rules.remove(hash, |place| {
            let this = place.load().as_ref().is_some_and(|r| Arc::ptr_eq(r, rule));
            if this {
                place.set(None);
            }
            this
        });
        if !there {
            return false;
        }
        if let Some(ports) = &self.ports {
            ports.change(rule.matching.key_word(PORT_WORD), false);
        }
        let mut hash = 0;
        for stage in 0..STAGES {
            hash = self.hash(stage, hash, |i| rule.matching.key_word(i));
            if let Some(Some(index)) = self.indices.get(stage) {
                let hash = finish_hash(hash);
                let last = index.find(hash, |n| {
                    let left = n.get().saturating_sub(1);
                    if left > 0 {
                        n.set(left);
                    }
                    Some(left == 0)
                });
                if last == Some(true) {
                    index.remove(hash, |n| {
                        n.set(0);
                        true
                    });
                }
            }
        }
        true
    }

    pub fn for_each(&self, mut each: impl FnMut(&Arc<Rule<T>>)) {
        self.rules.for_each(|place| {
            if let Some(rule) = &*place.load() {
                each(rule);
            }
        });
    }
}
