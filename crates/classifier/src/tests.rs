use super::*;
use flow::Match;
use proptest::prelude::*;

#[derive(Debug)]
struct Rule {
    matching: MiniMatch,
    priority: u16,
    versions: Versions,
    id: usize,
}

impl Entry for Rule {
    fn matching(&self) -> &MiniMatch {
        &self.matching
    }
    fn priority(&self) -> u16 {
        self.priority
    }
    fn versions(&self) -> &Versions {
        &self.versions
    }
}

/// A key in which each of a few words, one or two of each layer, holds a small number.
fn key(values: &[u64]) -> FlowKey {
    let mut k = FlowKey::ZERO;
    for (w, v) in WORDS_USED.iter().zip(values) {
        k.set_word(*w, *v);
    }
    k
}

const WORDS_USED: [usize; 6] = [2, 30, 40, 45, 47, 57];

fn rule(id: usize, priority: u16, values: &[u64], masks: &[u64]) -> Arc<Rule> {
    let m = Match::new(&key(values), &key(masks));
    Arc::new(Rule { matching: MiniMatch::new(&m), priority, versions: Versions::from(1), id })
}

fn values() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(0u64..4, WORDS_USED.len())
}

fn rules() -> impl Strategy<Value = Vec<(u16, Vec<u64>, Vec<u64>)>> {
    proptest::collection::vec((0u16..6, values(), values()), 0..24)
}

/// What the classifier must say: the answer of a search through all rules.
fn linear<'a>(all: &'a [Arc<Rule>], key: &FlowKey) -> Option<&'a Arc<Rule>> {
    let hits = all.iter().filter(|r| r.versions.visible(1) && r.matching.matches(key));
    hits.max_by_key(|r| r.priority)
}

proptest! {
    #[test]
    fn agrees_with_linear_search_and_masks_are_wide_enough(
        rules in rules(), probes in proptest::collection::vec((values(), values()), 8), gone in any::<u32>()
    ) {
        let c = Classifier::new();
        let mut all = vec![];
        for (id, (priority, v, m)) in rules.iter().enumerate() {
            let r = rule(id, *priority, v, m);
            c.insert(r.clone());
            all.push(r);
        }
        for (i, r) in all.iter().enumerate() {
            if gone >> (i % 32) & 1 != 0 {
                prop_assert!(c.remove(r));
                prop_assert!(!c.remove(r));
                r.versions.remove_at(0);
            }
        }
        for (v, other) in probes {
            let k = key(&v);
            let mut mask = FlowMask::ZERO;
            let got = c.lookup(1, &k, Some(&mut mask));
            prop_assert_eq!(got.as_ref().map(|r| r.priority), linear(&all, &k).map(|r| r.priority));
            // Every packet that agrees on the mask's bits gets the same answer.
            let mut twin = key(&other);
            for w in 0..flow::key::WORDS {
                twin.set_word(w, (k.word(w) & mask.word(w)) | (twin.word(w) & !mask.word(w)));
            }
            prop_assert_eq!(c.lookup(1, &twin, None).map(|r| r.priority), got.map(|r| r.priority));
        }
    }
}

#[test]
fn versions_flip_many_rules_at_once() {
    let c = Classifier::new();
    let old = rule(0, 5, &[1], &[3]);
    c.insert(old.clone());
    let new = Arc::new(Rule { versions: Versions::from(2), id: 1, ..Rule::clone_of(&old) });
    c.insert(new.clone());
    old.versions.remove_at(2);
    let k = key(&[1]);
    assert_eq!(c.lookup(1, &k, None).map(|r| r.id), Some(0));
    assert_eq!(c.lookup(2, &k, None).map(|r| r.id), Some(1));
    assert_eq!(c.find_exact(2, &old.matching, 5).map(|r| r.id), Some(1));
    assert!(c.remove(&old));
    assert_eq!(c.len(), 1);
}

impl Rule {
    fn clone_of(r: &Rule) -> Rule {
        Rule { matching: r.matching.clone(), priority: r.priority, versions: Versions::from(1), id: r.id }
    }
}

#[test]
fn an_early_stage_that_rules_out_a_subtable_leaves_later_fields_wild() {
    let c = Classifier::new();
    c.insert(rule(0, 5, &[0, 0, 2, 3, 0, 1], &[0, 0, 3, 3, 0, 3]));
    let mut mask = FlowMask::ZERO;
    assert!(c.lookup(1, &key(&[0, 0, 1, 3, 0, 1]), Some(&mut mask)).is_none());
    assert_eq!((mask.word(40), mask.word(45), mask.word(57)), (3, 0, 0));
}

#[test]
fn a_better_rule_hides_the_subtables_below_it() {
    let c = Classifier::new();
    c.insert(rule(0, 9, &[1], &[3]));
    c.insert(rule(1, 1, &[0, 1], &[0, 3]));
    let mut mask = FlowMask::ZERO;
    assert_eq!(c.lookup(1, &key(&[1, 1]), Some(&mut mask)).map(|r| r.id), Some(0));
    assert_eq!(mask.word(30), 0);
}

#[test]
fn within_and_overlaps() {
    let c = Classifier::new();
    let narrow = rule(0, 5, &[1, 1], &[3, 3]);
    c.insert(narrow.clone());
    let wide = rule(1, 5, &[1], &[3]);
    assert_eq!(c.within(1, &wide.matching).len(), 1);
    assert!(c.overlaps(1, &wide.matching, 5));
    assert!(!c.overlaps(1, &wide.matching, 6));
    assert!(!c.overlaps(1, &rule(2, 5, &[2], &[3]).matching, 5));
    c.insert(wide);
    assert_eq!(c.within(1, &narrow.matching).len(), 1);
    assert_eq!(c.masks(), 2);
}

#[test]
fn many_threads_read_while_one_writes() {
    let c: Classifier<Rule> = Classifier::new();
    let keep = rule(0, 1, &[1], &[3]);
    c.insert(keep);
    std::thread::scope(|s| {
        let reader = s.spawn(|| {
            let mut seen_other = 0;
            for _ in 0..20_000 {
                let r = c.lookup(1, &key(&[1, 1, 1, 1, 1, 1]), None).expect("the kept rule is always there");
                seen_other += usize::from(r.id != 0);
            }
            seen_other
        });
        while !reader.is_finished() {
            let r = rule(7, 5, &[1, 1], &[3, 3]);
            c.insert(r.clone());
            c.remove(&r);
        }
        reader.join().unwrap();
    });
}
