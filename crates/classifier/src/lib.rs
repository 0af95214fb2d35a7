//! Tuple-space search with wildcard tracking.
//!
//! Rules are kept by mask, each mask with a hash table ("subtable"). A lookup goes through the subtables from the
//! greatest priority down, stops when no later one can hold a better rule, and notes which bits of the packet it had
//! to look at. In a subtable it goes in stages, from metadata to the transport layer: where an early stage rules a match
//! out, later fields need not be looked at.
//!
//! Many threads look up while one at a time changes; nobody waits. Rules carry the versions in which they are visible,
//! so that a set of changes takes effect at once: see [`snapshot::Versions`].

mod rule;
mod subtable;
mod trie;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow::{Field, FlowKey, FlowMask, MiniKey, MiniMatch};
use snapshot::Published;

pub use rule::{Clause, Payload, Rule};
use subtable::Subtable;
use trie::{Trie, Walk};

/// Address fields whose prefixes are kept in tries.
pub(crate) const PREFIX_FIELDS: [Field; 4] = [Field::IP_DST, Field::IP_SRC, Field::IPV6_DST, Field::IPV6_SRC];

/// Length of a mask of `bits` bits that is a prefix; 0 for one that is not.
pub(crate) fn prefix_len(mask: u128, bits: u32) -> u32 {
    let left = mask << (128 - bits);
    let len = left.leading_ones();
    if left.count_ones() == len { len } else { 0 }
}

/// What the tries say about one key, found out when first asked.
pub(crate) struct Prefixes<'a> {
    tries: &'a [Trie; PREFIX_FIELDS.len()],
    walks: [Option<Walk>; PREFIX_FIELDS.len()],
}

impl Prefixes<'_> {
    /// Whether some trie shows that no rule whose masks have these lengths can match. Then `wc` has the bits that say so,
    /// which are not more than the masks have.
    pub fn rule_out(&mut self, key: &FlowKey, lens: &[u32; PREFIX_FIELDS.len()], wc: &mut FlowMask) -> bool {
        for (i, &len) in lens.iter().enumerate() {
            if len == 0 {
                continue;
            }
            let field = PREFIX_FIELDS[i];
            if !field_of_type(i, key.eth_type()) {
                continue;
            }
            let bits = u32::from(field.def().bits);
            let walk = *self.walks[i].get_or_insert_with(|| self.tries[i].walk(key.get(field) << (128 - bits)));
            if walk.has(len) {
                continue;
            }
            let told = if walk.bits == 0 { 0 } else { (u128::MAX << (128 - walk.bits)) >> (128 - bits) };
            let known = wc.get(field);
            if walk.bits <= len || known & told == told {
                wc.set(field, known | told);
                return true;
            }
        }
        false
    }
}

/// A subtable with the greatest priority in it.
struct Ranked<T> {
    max_priority: u32,
    subtable: Arc<Subtable<T>>,
}

impl<T> Clone for Ranked<T> {
    fn clone(&self) -> Self {
        Ranked { max_priority: self.max_priority, subtable: self.subtable.clone() }
    }
}

/// A writer's books on a subtable.
struct Owned<T> {
    subtable: Arc<Subtable<T>>,
    priorities: BTreeMap<u32, usize>,
}

struct Writer<T> {
    subtables: HashMap<MiniKey, Owned<T>>,
    rules: usize,
}

/// A flow table.
pub struct Classifier<T> {
    /// Greatest priority first.
    ranked: Published<Vec<Ranked<T>>>,
    tries: [Trie; PREFIX_FIELDS.len()],
    writer: Mutex<Writer<T>>,
}

impl<T: Payload> Default for Classifier<T> {
    fn default() -> Self {
        Classifier::new()
    }
}

impl<T: Payload> Classifier<T> {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Classifier {
            ranked: Published::new(Vec::new()),
            tries: PREFIX_FIELDS.map(|field| Trie::new(field.def().bits)),
            writer: Mutex::new(Writer { subtables: HashMap::new(), rules: 0 }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Writer<T>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes that `subtable` has this greatest priority now, or (`None`) that it is gone. Subtables of one priority
    /// keep the order in which they came to it, so that a table is searched and dumped in an order that can be told
    /// from its history alone: masks of megaflows and what scripts read depend on it.
    fn rank(&self, subtable: &Arc<Subtable<T>>, max_priority: Option<u32>) {
        let mut ranked: Vec<Ranked<T>> = self.ranked.load().to_vec();
        let at = ranked.iter().position(|r| Arc::ptr_eq(&r.subtable, subtable));
        match (at, max_priority) {
            (Some(at), Some(max_priority)) => ranked[at].max_priority = max_priority,
            (Some(at), None) => drop(ranked.remove(at)),
            (None, Some(max_priority)) => ranked.push(Ranked { max_priority, subtable: subtable.clone() }),
            (None, None) => {}
        }
        ranked.sort_by_key(|r| std::cmp::Reverse(r.max_priority));
        self.ranked.publish(Arc::new(ranked));
    }

    /// Adds a rule. Rules with the same match and priority may be in the table together if no version sees both.
    pub fn insert(&self, rule: Arc<Rule<T>>) {
        let mut writer = self.lock();
        let mask = rule.matching.mask();
        let priority = rule.priority;
        let owned = writer
            .subtables
            .entry(mask.clone())
            .or_insert_with(|| Owned { subtable: Arc::new(Subtable::new(mask)), priorities: BTreeMap::new() });
        let greatest = owned.priorities.last_key_value().is_none_or(|(&p, _)| priority > p);
        // Tries first: a reader that finds the rule's subtable must not be told that there is no such prefix.
        for (i, &len) in owned.subtable.prefix_lens.iter().enumerate().filter(|(_, len)| **len > 0) {
            self.tries[i].insert(address(&rule.matching, i), len);
        }
        owned.subtable.insert(rule);
        *owned.priorities.entry(priority).or_insert(0) += 1;
        if greatest {
            self.rank(&owned.subtable, Some(priority));
        }
        writer.rules += 1;
    }

    /// Takes a rule out; whether it was in the table.
    pub fn remove(&self, rule: &Arc<Rule<T>>) -> bool {
        let mut writer = self.lock();
        let mask = rule.matching.mask();
        let Some(owned) = writer.subtables.get_mut(&mask) else { return false };
        if !owned.subtable.remove(rule) {
            return false;
        }
        for (i, &len) in owned.subtable.prefix_lens.iter().enumerate().filter(|(_, len)| **len > 0) {
            self.tries[i].remove(address(&rule.matching, i), len);
        }
        let left = owned.priorities.get_mut(&rule.priority).map_or(0, |n| {
            *n -= 1;
            *n
        });
        if left == 0 {
            owned.priorities.remove(&rule.priority);
            let greatest = owned.priorities.last_key_value().map(|(&p, _)| p);
            if greatest.is_none_or(|p| p < rule.priority) {
                self.rank(&owned.subtable, greatest);
            }
            if greatest.is_none() {
                writer.subtables.remove(&mask);
            }
        }
        writer.rules -= 1;
        true
    }

    /// Takes rules out that are in the table, each once. Where they are all that it has, that costs little more than letting go
    /// of them.
    pub fn remove_all(&self, rules: &[Arc<Rule<T>>]) {
        let mut writer = self.lock();
        if rules.len() < writer.rules {
            drop(writer);
            return rules.iter().for_each(|rule| _ = self.remove(rule));
        }
        self.ranked.publish(Arc::default());
        self.tries.iter().for_each(Trie::clear);
        (writer.subtables, writer.rules) = (HashMap::new(), 0);
    }

    /// Rules in the table, of all versions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().rules
    }

    /// Whether the table has no rule in any version.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Different masks.
    #[must_use]
    pub fn masks(&self) -> usize {
        self.ranked.load().len()
    }

    /// The rule of greatest priority that matches `key` in `version`. Adds the bits that were looked at to `wc`.
    #[must_use]
    pub fn lookup(&self, version: u64, key: &FlowKey, mut wc: Option<&mut FlowMask>) -> Option<Arc<Rule<T>>> {
        let mut soft = Vec::new();
        let hard = self.search(version, key, wc.as_deref_mut(), Some(&mut soft));
        if soft.is_empty() { hard } else { self.conjunction(version, key, wc, hard, soft) }
    }

    /// The best rule without clauses; those with clauses that stand above it go to `soft`, or are passed over.
    fn search(
        &self,
        version: u64,
        key: &FlowKey,
        mut wc: Option<&mut FlowMask>,
        mut soft: Option<&mut Vec<Arc<Rule<T>>>>,
    ) -> Option<Arc<Rule<T>>> {
        let mut best: Option<Arc<Rule<T>>> = None;
        let mut prefixes = Prefixes { tries: &self.tries, walks: [None; PREFIX_FIELDS.len()] };
        for ranked in self.ranked.load().iter() {
            if best.as_ref().is_some_and(|b| b.priority >= ranked.max_priority) {
                break;
            }
            ranked.subtable.lookup(key, wc.as_deref_mut(), &mut prefixes, |rule| {
                if best.as_ref().is_some_and(|b| b.priority >= rule.priority) {
                    return true;
                }
                if !rule.visible_in(version) {
                    return false;
                }
                if rule.data.clauses().is_empty() {
                    best = Some(rule);
                    return true;
                }
                if let Some(soft) = soft.as_deref_mut() {
                    soft.push(rule);
                }
                false
            });
        }
        best
    }

    /// Looks for complete conjunctions, from the greatest priority down to the best rule without clauses.
    fn conjunction(
        &self,
        version: u64,
        key: &FlowKey,
        mut wc: Option<&mut FlowMask>,
        hard: Option<Arc<Rule<T>>>,
        mut soft: Vec<Arc<Rule<T>>>,
    ) -> Option<Arc<Rule<T>>> {
        soft.sort_by_key(|r| std::cmp::Reverse(r.priority));
        for group in soft.chunk_by(|a, b| a.priority == b.priority) {
            if hard.as_ref().is_some_and(|h| h.priority >= group[0].priority) {
                break;
            }
            for id in complete(group) {
                let mut with_id = *key;
                with_id.set_conj_id(id);
                if let Some(rule) = self.search(version, &with_id, wc.as_deref_mut(), None) {
                    return Some(rule);
                }
            }
        }
        hard
    }

    /// The rules whose clauses made up the conjunction that `rule` matches the id of, by clause; none for another rule.
    #[must_use]
    pub fn contributors(&self, version: u64, key: &FlowKey, rule: &Rule<T>) -> Vec<Arc<Rule<T>>> {
        let (id, mask) = rule.matching.expand().get(Field::CONJ_ID);
        if mask == 0 {
            return Vec::new();
        }
        let clause = |r: &Rule<T>| r.data.clauses().iter().find(|c| u128::from(c.id) == id).map(|c| c.clause);
        let mut soft = Vec::new();
        let _ = self.search(version, key, None, Some(&mut soft));
        soft.retain(|r| clause(r).is_some());
        soft.sort_by_key(|r| clause(r));
        soft
    }

    /// The rule with exactly this match and priority that is visible in `version`.
    #[must_use]
    pub fn find(&self, version: u64, matching: &MiniMatch, priority: u32) -> Option<Arc<Rule<T>>> {
        let subtable = self.lock().subtables.get(&matching.mask())?.subtable.clone();
        subtable
            .find(matching, |r| r.priority == priority && r.visible_in(version) && same_values(&r.matching, matching))
    }

    /// A rule of the same priority, visible in `version`, that some packet could match together with `matching`.
    #[must_use]
    pub fn find_overlap(&self, version: u64, matching: &MiniMatch, priority: u32) -> Option<Arc<Rule<T>>> {
        let mut found = None;
        for ranked in self.ranked.load().iter() {
            if ranked.max_priority < priority || found.is_some() {
                break;
            }
            ranked.subtable.for_each(|rule| {
                if rule.priority == priority && rule.visible_in(version) && rule.matching.overlaps(matching) {
                    found = Some(rule.clone());
                }
            });
        }
        found
    }

    /// Calls `each` with every rule visible in `version`, subtables of greatest priority first.
    pub fn for_each(&self, version: u64, mut each: impl FnMut(&Arc<Rule<T>>)) {
        for ranked in self.ranked.load().iter() {
            ranked.subtable.for_each(|rule| {
                if rule.visible_in(version) {
                    each(rule);
                }
            });
        }
    }

    /// Calls `each` with every rule visible in `version` whose match lies within `matching` (OpenFlow's non-strict
    /// commands).
    pub fn for_each_within(&self, version: u64, matching: &MiniMatch, mut each: impl FnMut(&Arc<Rule<T>>)) {
        let mask = matching.mask();
        for ranked in self.ranked.load().iter() {
            if ranked.subtable.mask.contains(&mask) {
                ranked.subtable.for_each(|rule| {
                    if rule.visible_in(version) && rule.matching.is_within(matching) {
                        each(rule);
                    }
                });
            }
        }
    }
}

/// Whether prefix field `i` is an address in packets of this Ethernet type: ARP keeps other things in the same place.
fn field_of_type(i: usize, eth_type: u16) -> bool {
    const IPV4: u16 = 0x0800;
    const IPV6: u16 = 0x86dd;
    eth_type == if PREFIX_FIELDS[i].def().bits == 128 { IPV6 } else { IPV4 }
}

/// The address of prefix field `i` in a match, left-aligned.
fn address(matching: &MiniMatch, i: usize) -> u128 {
    let def = PREFIX_FIELDS[i].def();
    let (word, shift) = (usize::from(def.word), u32::from(def.shift));
    if def.bits == 128 {
        return u128::from(matching.key_word(word)) << 64 | u128::from(matching.key_word(word + 1));
    }
    u128::from((matching.key_word(word) >> shift) as u32) << 96
}

fn same_values(a: &MiniMatch, b: &MiniMatch) -> bool {
    a.map() == b.map() && a.iter().eq(b.iter())
}

/// Ids of the conjunctions all of whose clauses are among `rules`, in order of their appearance.
fn complete<T: Payload>(rules: &[Arc<Rule<T>>]) -> Vec<u32> {
    let mut seen: Vec<(u32, u8, u64)> = Vec::new();
    for clause in rules.iter().flat_map(|r| r.data.clauses()) {
        let bit = 1u64 << (clause.clause & 63);
        match seen.iter_mut().find(|(id, n, _)| (*id, *n) == (clause.id, clause.n_clauses)) {
            Some((_, _, bits)) => *bits |= bit,
            None => seen.push((clause.id, clause.n_clauses, bit)),
        }
    }
    seen.into_iter()
        .filter(|&(_, n, bits)| (1..=64).contains(&n) && bits == u64::MAX >> (64 - u32::from(n)))
        .map(|(id, ..)| id)
        .collect()
}

#[cfg(test)]
mod tests;
