//! A set of changes of flows and groups that packets see all at once, or never.
//!
//! New rules go into the tables at once but belong to the next version, which no packet is translated in yet; old rules are
//! marked as gone from it. [`Change::commit`] makes the version current in one store; [`Change::rollback`] takes the new
//! rules out and the marks off.

use classifier::Rule;
use openflow::GroupId;
use openflow::message::flows::FlowRemovedReason;
use std::collections::BTreeMap;
use std::sync::Arc;
use translate::view::Groups;
use translate::{Bridge as Shared, Rule as FlowRule, RuleData};

/// What happened to a flow, for whoever wants to be told.
#[derive(Clone, Debug)]
pub enum Done {
    /// It came, perhaps in the place of another with the same match.
    Added(Arc<FlowRule>),
    /// Its actions or its cookie changed. The rule is the new one; `noticeable` is false if nothing really did.
    Modified {
        /// The rule as it was.
        old: Arc<FlowRule>,
        /// The new rule.
        rule: Arc<FlowRule>,
        /// Whether actions or cookie are others than before.
        noticeable: bool,
    },
    /// It went.
    Removed(Arc<FlowRule>, FlowRemovedReason),
}

/// Changes that are not visible yet.
#[derive(Debug)]
pub struct Change {
    /// The version in which they will be.
    pub version: u64,
    added: Vec<Arc<FlowRule>>,
    gone: Vec<Arc<FlowRule>>,
    groups: Option<Groups>,
    growth: BTreeMap<u8, isize>,
    /// What happens to flows, in order.
    pub done: Vec<Done>,
}

impl Change {
    /// No changes yet. One at a time: two would have the same version.
    pub fn begin(shared: &Shared) -> Self {
        Change {
            version: shared.versions.next(),
            added: vec![],
            gone: vec![],
            groups: None,
            growth: BTreeMap::new(),
            done: vec![],
        }
    }

    /// A new rule.
    pub fn add(&mut self, shared: &Shared, matching: flow::MiniMatch, priority: u32, data: RuleData) -> Arc<FlowRule> {
        let table = usize::from(data.table.0);
        self.count(&data, 1);
        let rule = Arc::new(Rule::new(matching, priority, self.version, data));
        shared.tables[table].rules.insert(rule.clone());
        self.added.push(rule.clone());
        rule
    }

    /// A rule goes.
    pub fn remove(&mut self, rule: Arc<FlowRule>) {
        rule.remove_in(self.version);
        self.count(&rule.data, -1);
        self.gone.push(rule);
    }

    /// The groups as they will be, to change.
    pub fn groups_mut(&mut self, shared: &Shared) -> &mut Groups {
        self.groups.get_or_insert_with(|| (*shared.groups.latest()).clone())
    }

    /// Whether there will be such a group.
    pub fn has_group(&self, shared: &Shared, group: GroupId) -> bool {
        match &self.groups {
            Some(g) => g.contains_key(&group),
            None => shared.groups.latest().contains_key(&group),
        }
    }

    /// How many flows more, or less, a table will have.
    pub fn growth(&self, table: u8) -> isize {
        self.growth.get(&table).copied().unwrap_or(0)
    }

    /// How many flows more, or less, the tables that changed will have.
    pub fn grown(&self) -> impl Iterator<Item = (u8, isize)> + '_ {
        self.growth.iter().map(|(table, n)| (*table, *n))
    }

    fn count(&mut self, data: &RuleData, n: isize) {
        if !data.hidden {
            *self.growth.entry(data.table.0).or_default() += n;
        }
    }

    /// New rules, also those that are gone again.
    pub fn added(&self) -> &[Arc<FlowRule>] {
        &self.added
    }

    /// Rules that will be gone.
    pub fn gone(&self) -> &[Arc<FlowRule>] {
        &self.gone
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.gone.is_empty() && self.groups.is_none()
    }

    /// Lets packets see the changes. Returns what happened to flows, and the new rules.
    pub fn commit(self, shared: &Shared) -> (Vec<Done>, Vec<Arc<FlowRule>>) {
        if self.is_empty() {
            return (self.done, self.added);
        }
        for rule in self.gone {
            shared.versions.retire(rule);
        }
        if let Some(groups) = self.groups {
            shared.groups.publish(self.version, Arc::new(groups));
        }
        shared.versions.publish();
        shared.reclaim();
        (self.done, self.added)
    }

    /// Forgets the changes.
    pub fn rollback(self, shared: &Shared) {
        for rule in &self.gone {
            rule.restore();
        }
        for rule in &self.added {
            shared.tables[usize::from(rule.data.table.0)].rules.remove(rule);
        }
    }
}
