use super::*;
use flow::{Field, Match};
use proptest::prelude::*;

struct Plain(u32, Vec<Clause>);

impl Payload for Plain {
    fn clauses(&self) -> &[Clause] {
        &self.1
    }
}

fn matching(fields: &[(Field, u128, u128)]) -> MiniMatch {
    let mut m = Match::any();
    for &(field, value, mask) in fields {
        m.set_masked(field, value, mask);
    }
    MiniMatch::new(&m)
}

fn rule(id: u32, priority: u32, fields: &[(Field, u128, u128)]) -> Arc<Rule<Plain>> {
    Arc::new(Rule::new(matching(fields), priority, 1, Plain(id, Vec::new())))
}

const FULL: u128 = u128::MAX;

#[test]
fn priority_wins_and_removal_uncovers() {
    let table = Classifier::new();
    let low = rule(1, 1, &[]);
    let high = rule(2, 9, &[(Field::ETH_TYPE, 0x800, FULL)]);
    table.insert(low.clone());
    table.insert(high.clone());
    let mut key = FlowKey::ZERO;
    key.set_eth_type(0x800);
    assert_eq!(table.lookup(1, &key, None).unwrap().data.0, 2);
    assert!(table.remove(&high));
    assert!(!table.remove(&high));
    assert_eq!(table.lookup(1, &key, None).unwrap().data.0, 1);
    assert!(table.remove(&low));
    assert!(table.lookup(1, &key, None).is_none());
    assert_eq!((table.len(), table.masks()), (0, 0));
}

#[test]
fn all_rules_go_at_once() {
    let table: Classifier<Plain> = Classifier::new();
    let dst = |id: u32, a: u32| rule(id, 5, &[(Field::ETH_TYPE, 0x800, FULL), (Field::IP_DST, a.into(), 0xffff_ff00)]);
    let rules: Vec<_> = (0..300).map(|n| dst(n, n << 8)).chain([rule(300, 1, &[])]).collect();
    let mut key = FlowKey::ZERO;
    key.set_eth_type(0x800);
    key.set(Field::IP_DST, 7 << 8 | 1);
    let seen = || table.lookup(1, &key, None).map(|r| r.data.0);
    rules.iter().for_each(|r| table.insert(r.clone()));
    table.remove_all(&rules[..7]);
    assert_eq!((table.len(), seen()), (294, Some(7)));
    table.remove_all(&rules[7..]);
    assert_eq!((table.len(), table.masks(), seen()), (0, 0, None));
    rules.iter().for_each(|r| table.insert(r.clone()));
    assert_eq!((table.len(), seen()), (301, Some(7)));
}

#[test]
fn versions_hide_and_show() {
    let table = Classifier::new();
    let old = rule(1, 5, &[]);
    table.insert(old.clone());
    table.insert(Arc::new(Rule::new(matching(&[]), 5, 2, Plain(2, Vec::new()))));
    old.remove_in(2);
    let seen = |version| table.lookup(version, &FlowKey::ZERO, None).map(|r| r.data.0);
    assert_eq!((seen(0), seen(1), seen(2)), (None, Some(1), Some(2)));
    assert_eq!(table.find(2, &matching(&[]), 5).unwrap().data.0, 2);
}

#[test]
fn early_stage_spares_later_fields() {
    let table = Classifier::new();
    table.insert(rule(1, 5, &[(Field::IN_PORT_OXM, 7, FULL), (Field::TCP_DST, 80, FULL)]));
    let mut key = FlowKey::ZERO;
    key.set_in_port_raw(3);
    let mut wc = FlowMask::ZERO;
    assert!(table.lookup(1, &key, Some(&mut wc)).is_none());
    assert_eq!((wc.in_port_raw(), wc.tp_dst()), (u32::MAX, 0));
}

#[test]
fn conjunctions() {
    let clause = |clause| Clause { id: 77, clause, n_clauses: 2 };
    let soft =
        |n, fields: &[(Field, u128, u128)]| Arc::new(Rule::new(matching(fields), 10, 1, Plain(100, vec![clause(n)])));
    let table = Classifier::new();
    for src in 1..=3 {
        table.insert(soft(0, &[(Field::IP_SRC, src, FULL)]));
        table.insert(soft(1, &[(Field::IP_DST, src, FULL)]));
    }
    table.insert(rule(5, 10, &[(Field::CONJ_ID, 77, FULL)]));
    table.insert(rule(6, 1, &[]));
    let look = |src: u32, dst: u32| {
        let mut key = FlowKey::ZERO;
        key.set_nw_src(src.into());
        key.set_nw_dst(dst.into());
        table.lookup(1, &key, None).unwrap().data.0
    };
    assert_eq!((look(1, 2), look(3, 3), look(1, 9), look(9, 1)), (5, 5, 6, 6));
}

/// A table entry made of few values, so that random ones meet.
fn arbitrary_rule() -> impl Strategy<Value = (u32, Vec<(Field, u128, u128)>)> {
    let field = prop_oneof![
        Just(Field::IN_PORT_OXM),
        Just(Field::ETH_DST),
        Just(Field::IP_SRC),
        Just(Field::IP_DST),
        Just(Field::TCP_DST),
        Just(Field::REG0)
    ];
    let mask = prop_oneof![Just(FULL), Just(0xffu128), Just(0xf0), Just(FULL << 4), Just(FULL << 5)];
    let part = (field, 0u128..4, mask).prop_map(|(f, v, m)| (f, v * 0x11, m));
    (0u32..6, proptest::collection::vec(part, 0..4))
}

fn arbitrary_key() -> impl Strategy<Value = FlowKey> {
    proptest::collection::vec(0u128..4, 6).prop_map(|v| {
        let mut key = FlowKey::ZERO;
        let fields = [Field::IN_PORT_OXM, Field::ETH_DST, Field::IP_SRC, Field::IP_DST, Field::TCP_DST, Field::REG0];
        for (f, v) in fields.into_iter().zip(v) {
            key.set(f, v * 0x11);
        }
        key
    })
}

proptest! {
    /// The classifier agrees with a plain search, and any packet that agrees on the bits looked at gets the same rule.
    #[test]
    fn agrees_with_plain_search(
        rules in proptest::collection::vec(arbitrary_rule(), 0..30),
        key in arbitrary_key(),
        other in arbitrary_key(),
        removed in proptest::collection::vec(any::<bool>(), 30),
    ) {
        let table = Classifier::new();
        let mut kept: Vec<Arc<Rule<Plain>>> = Vec::new();
        for (id, (priority, fields)) in rules.iter().enumerate() {
            let new = rule(id as u32, *priority, fields);
            if table.find(1, &new.matching, *priority).is_none() {
                table.insert(new.clone());
                kept.push(new);
            }
        }
        for (i, rule) in kept.clone().iter().enumerate() {
            if removed[i] {
                prop_assert!(table.remove(rule));
                kept.retain(|r| !Arc::ptr_eq(r, rule));
            }
        }
        let best = |key: &FlowKey| kept.iter().filter(|r| r.matching.matches(key)).map(|r| r.priority).max();
        let mut wc = FlowMask::ZERO;
        let found = table.lookup(1, &key, Some(&mut wc));
        prop_assert_eq!(found.as_ref().map(|r| r.priority), best(&key));
        let mut blended = other;
        for i in 0..flow::WORDS {
            blended.set_word(i, key.word(i) & wc.word(i) | other.word(i) & !wc.word(i));
        }
        prop_assert_eq!(best(&blended), best(&key));
        prop_assert_eq!(table.len(), kept.len());
    }
}
