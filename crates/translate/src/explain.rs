//! Why a table answered as it did: what a lookup looked at, and which rules nearly matched. Only traces that ask for it pay.

use crate::trace::NodeKind;
use crate::view::{Rule, RuleTable};
use crate::xlate::Xlator;
use flow::{Field, FlowKey, FlowMask};
use std::sync::Arc;

/// Rules that are told of at each table.
const TOLD: usize = 3;

impl Xlator<'_> {
    /// Whether the trace is to say why.
    pub(crate) fn explains(&self) -> bool {
        self.recorder.as_ref().is_some_and(|recorder| recorder.describe.explains())
    }

    /// Notes, for the table's node, what a lookup looked at beside `before`, and which rules above the one found nearly matched.
    pub(crate) fn explain(&mut self, rules: &RuleTable, key: &FlowKey, before: &FlowMask, found: Option<&Arc<Rule>>) {
        let Some(recorder) = &self.recorder else { return };
        let (describe, config) = (recorder.describe, &self.here.config);
        let mut fresh = FlowMask::ZERO;
        (0..flow::WORDS).for_each(|i| fresh.set_word(i, self.wc.word(i) & !before.word(i)));
        let mut lines = Vec::new();
        let looked = describe.matching(config, key, &fresh);
        if !looked.is_empty() {
            lines.push(format!("looked at: {looked}"));
        }
        for (rule, field) in near_misses(rules, self.here.version.number(), key, found) {
            let mut mask = FlowMask::ZERO;
            mask.set(field, rule.matching.expand().get(field).1);
            let (text, is) = (describe.rule(config, &rule), describe.matching(config, key, &mask));
            lines.push(format!("nearly: {text}, but {is}"));
        }
        self.explanation = lines;
    }

    /// Puts what [`Xlator::explain`] noted under the node that is open.
    pub(crate) fn tell_explanation(&mut self) {
        let lines = std::mem::take(&mut self.explanation);
        if let Some(recorder) = &mut self.recorder {
            lines.into_iter().for_each(|line| recorder.add(NodeKind::Detail, line));
        }
    }
}

/// The one field in which a packet differs from what a rule matches, if it is one.
fn only_difference(rule: &Rule, key: &FlowKey) -> Option<Field> {
    let wanted = rule.matching.expand();
    let mut found = None;
    let mut seen = FlowMask::ZERO;
    for field in Field::all() {
        let (value, mask) = wanted.get(field);
        let differs = (key.get(field) ^ value) & mask;
        // Views of the same bits (a register and the longer one that it is half of) are one field.
        if differs == 0 || seen.get(field) & differs == differs {
            continue;
        }
        if found.replace(field).is_some() {
            return None;
        }
        seen.set(field, u128::MAX);
    }
    found
}

/// Rules that would have been taken before `found` and from which the packet differs in one field, the highest first.
fn near_misses(rules: &RuleTable, version: u64, key: &FlowKey, found: Option<&Arc<Rule>>) -> Vec<(Arc<Rule>, Field)> {
    let mut near: Vec<(Arc<Rule>, Field)> = Vec::new();
    rules.for_each(version, |rule| {
        let above = found.is_none_or(|found| rule.priority > found.priority);
        let beats = near.len() < TOLD || near.last().is_some_and(|(last, _)| rule.priority > last.priority);
        if above
            && beats
            && let Some(field) = only_difference(rule, key)
        {
            near.push((rule.clone(), field));
            near.sort_by_key(|(rule, _)| std::cmp::Reverse(rule.priority));
            near.truncate(TOLD);
        }
    });
    near
}
