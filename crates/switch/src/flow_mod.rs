//! Changes of the flow tables (OpenFlow 1.3.5 §6.4), each of them atomic for packets.
//!
//! A change builds the new rules, marks the old ones, then moves the tables to the next version; a packet is translated in
//! one version. Rules that no packet can see any more are taken out later.

use crate::INTERNAL_TABLE;
use crate::change::{Change, Done};
use crate::shared_actions::SharedActions;
use crate::table::TableConfig;
use clock::Instant;
use flow::MiniMatch;
use openflow::action::Action;
use openflow::message::flows::{
    FF_CHECK_OVERLAP, FF_EMERG, FF_RESET_COUNTS, FF_SEND_FLOW_REM, FlowMod, FlowModCommand, FlowRemovedReason,
    FlowStatsRequest, NO_BUFFER,
};
use openflow::{Error, GroupId, TableId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use translate::view::{Counters, Timeouts};
use translate::{Bridge as Shared, Rule as FlowRule, RuleData};

/// The tables of a bridge, as the one who changes them sees them.
#[derive(Debug)]
pub struct FlowTables {
    shared: Arc<Shared>,
    /// Rules with a timeout, so that expiry looks at no others.
    expiring: Vec<Arc<FlowRule>>,
    /// What is configured, by table.
    configs: Box<[TableConfig]>,
    /// Flows that controllers see, by table.
    counts: Box<[usize]>,
    /// How many flows learn into a table with a cookie and want what they learned to go with them.
    learners: HashMap<(u8, u64), usize>,
    orphans: Vec<(TableId, u64)>,
    actions: RefCell<SharedActions>,
}

/// Which rules an operation is about.
pub struct Selection<'a> {
    /// Table, or all.
    pub table: TableId,
    /// Match that the rules lie within.
    pub matching: &'a MiniMatch,
    /// For strict commands: the rules' exact priority.
    pub strict: Option<u16>,
    /// Cookie bits and which of them count.
    pub cookie: (u64, u64),
    /// Only rules that output to this port; [`flow::OfPort::ANY`] for all.
    pub out_port: flow::OfPort,
    /// Only rules that use this group; [`GroupId::ANY`] for all.
    pub out_group: GroupId,
    /// Whether the switch's own rules are meant too.
    pub hidden: bool,
}

impl<'a> Selection<'a> {
    /// Everything but the switch's own rules. `everything` is the match that matches all.
    pub fn all(everything: &'a MiniMatch) -> Self {
        Selection {
            table: TableId::ALL,
            matching: everything,
            strict: None,
            cookie: (0, 0),
            out_port: flow::OfPort::ANY,
            out_group: GroupId::ANY,
            hidden: false,
        }
    }

    /// What a statistics request asks for.
    pub fn of_request(r: &'a FlowStatsRequest) -> Self {
        Selection {
            table: r.table,
            matching: &r.matching,
            strict: None,
            cookie: (r.cookie, r.cookie_mask),
            out_port: r.out_port,
            out_group: r.out_group,
            hidden: false,
        }
    }

    fn of_flow_mod(fm: &'a FlowMod, strict: bool) -> Self {
        let delete = matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict);
        Selection {
            table: fm.table,
            matching: &fm.matching,
            strict: strict.then_some(fm.priority),
            cookie: (fm.cookie, fm.cookie_mask),
            // OpenFlow 1.3.5 §6.4: output filters are for delete only.
            out_port: if delete { fm.out_port } else { flow::OfPort::ANY },
            out_group: if delete { fm.out_group } else { GroupId::ANY },
            hidden: false,
        }
    }

    fn takes(&self, rule: &FlowRule) -> bool {
        (self.hidden || !rule.data.hidden)
            && (rule.data.cookie ^ self.cookie.0) & self.cookie.1 == 0
            && (self.out_port == flow::OfPort::ANY || any_action(&rule.data.actions, &|a| outputs_to(a, self.out_port)))
            && (self.out_group == GroupId::ANY
                || any_action(&rule.data.actions, &|a| *a == Action::Group(self.out_group)))
    }
}

/// Whether some action, nested ones included, is as asked.
pub fn any_action(actions: &[Action], is: &dyn Fn(&Action) -> bool) -> bool {
    actions.iter().any(|a| {
        is(a)
            || match a {
                Action::WriteActions(inner) | Action::Clone(inner) => any_action(inner, is),
                Action::Ct(ct) => any_action(&ct.actions, is),
                _ => false,
            }
    })
}

pub(crate) fn outputs_to(action: &Action, port: flow::OfPort) -> bool {
    match action {
        Action::Output { port: p, .. } | Action::Enqueue { port: p, .. } | Action::OutputTrunc { port: p, .. } => {
            *p == port
        }
        Action::Controller(_) => port == flow::OfPort::CONTROLLER,
        _ => false,
    }
}

/// Tables and cookies of `learn` actions that ask for `delete_learned`.
fn deleting_learns(actions: &[Action]) -> Vec<(u8, u64)> {
    let found = std::cell::RefCell::new(vec![]);
    any_action(actions, &|a| {
        if let Action::Learn(l) = a
            && l.delete_learned
        {
            found.borrow_mut().push((l.table.0, l.cookie));
        }
        false
    });
    found.into_inner()
}

/// Priorities are compared in a wider type than the wire's, so that the switch's own rules can stand above all.
fn priority(p: u16) -> u32 {
    p.into()
}

/// A flow's timeouts. Flows that have none, and will not get any, share theirs.
fn timeouts(fm: &FlowMod) -> Arc<Timeouts> {
    let shortens = |a: &Action| matches!(a, Action::FinTimeout { .. } | Action::Group(_));
    if (fm.idle_timeout, fm.hard_timeout) == (0, 0) && !any_action(&fm.actions, &shortens) {
        return Timeouts::none();
    }
    Arc::new(Timeouts { idle: fm.idle_timeout.into(), hard: fm.hard_timeout.into() })
}

impl FlowTables {
    /// The tables of a bridge.
    pub fn new(shared: Arc<Shared>) -> Self {
        let n = shared.tables.len();
        FlowTables {
            shared,
            expiring: vec![],
            configs: vec![TableConfig::default(); n].into(),
            counts: vec![0; n].into(),
            learners: HashMap::new(),
            orphans: vec![],
            actions: RefCell::default(),
        }
    }

    /// What is configured about a table, 0 to 254.
    pub fn config(&self, table: u8) -> &TableConfig {
        &self.configs[usize::from(table)]
    }

    /// What is configured about a table, to change.
    pub fn config_mut(&mut self, table: u8) -> &mut TableConfig {
        &mut self.configs[usize::from(table)]
    }

    /// Flows of a table that controllers see.
    pub fn count(&self, table: u8) -> usize {
        self.counts[usize::from(table)]
    }

    fn table_range(&self, table: TableId) -> std::ops::Range<usize> {
        if table == TableId::ALL { 0..self.shared.tables.len() } else { table.0.into()..usize::from(table.0) + 1 }
    }

    /// The rules of a selection, by table.
    pub fn select(&self, s: &Selection<'_>) -> Vec<Arc<FlowRule>> {
        self.select_in(self.shared.versions.current().number(), s)
    }

    fn select_in(&self, version: u64, s: &Selection<'_>) -> Vec<Arc<FlowRule>> {
        let mut out = vec![];
        for table in self.table_range(s.table) {
            let rules = &self.shared.tables[table].rules;
            let from = out.len();
            match s.strict {
                Some(p) => out.extend(rules.find(version, s.matching, priority(p)).filter(|r| s.takes(r))),
                None => rules.for_each_within(version, s.matching, |r| {
                    if s.takes(r) {
                        out.push(r.clone());
                    }
                }),
            }
            // Rules of one mask stand together, those of high priority first; among themselves, the older first.
            for run in out[from..].chunk_by_mut(|a, b| a.matching.same_mask(&b.matching)) {
                run.sort_by_key(|r| (r.data.created, r.added_in()));
            }
        }
        out
    }

    /// Lets go of what is kept for flows to come, where there are none.
    pub fn rest(&mut self) {
        if self.len() == 0 {
            self.actions.get_mut().clear();
        }
    }

    /// Number of rules that controllers see.
    pub fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Adds one of the switch's own rules.
    pub fn add_hidden(&mut self, table: u8, priority: u32, matching: MiniMatch, actions: Vec<Action>, now: Instant) {
        let mut change = self.begin();
        self.hide(&mut change, table, priority, matching, actions, now);
        self.commit(change);
    }

    /// Adds a rule that controllers do not see.
    pub fn hide(
        &self,
        change: &mut Change,
        table: u8,
        priority: u32,
        matching: MiniMatch,
        actions: Vec<Action>,
        now: Instant,
    ) -> Arc<FlowRule> {
        let clauses = RuleData::clauses_of(&actions);
        let data = RuleData {
            table: TableId(table),
            cookie: 0,
            actions: actions.into(),
            flags: 0,
            importance: 0,
            timeouts: Arc::default(),
            created: now,
            born: change.version,
            modified: now,
            stats: Arc::default(),
            hidden: true,
            clauses,
        };
        change.add(&self.shared, matching, priority, data)
    }

    /// Starts a set of changes.
    pub fn begin(&self) -> Change {
        Change::begin(&self.shared)
    }

    /// Lets packets see a set of changes. Returns what happened to flows.
    pub fn commit(&mut self, change: Change) -> Vec<Done> {
        for (table, n) in change.grown() {
            let count = &mut self.counts[usize::from(table)];
            *count = count.saturating_add_signed(n);
        }
        self.count_learners(&change);
        let (done, added) = change.commit(&self.shared);
        self.expiring.extend(added.into_iter().filter(|r| has_timeout(r) && !r.is_leaving()));
        done
    }

    fn count_learners(&mut self, change: &Change) {
        for rule in change.added() {
            for at in deleting_learns(&rule.data.actions) {
                *self.learners.entry(at).or_default() += 1;
            }
        }
        for rule in change.gone() {
            for at in deleting_learns(&rule.data.actions) {
                let n = self.learners.entry(at).or_default();
                *n = n.saturating_sub(1);
                if *n == 0 {
                    self.learners.remove(&at);
                    self.orphans.push((TableId(at.0), at.1));
                }
            }
        }
    }

    /// Tables and cookies of learned flows whose last learner is gone.
    pub fn take_orphans(&mut self) -> Vec<(TableId, u64)> {
        std::mem::take(&mut self.orphans)
    }

    /// Forgets a set of changes.
    pub fn rollback(&self, change: Change) {
        change.rollback(&self.shared);
    }

    /// Puts what a flow-mod whose actions were checked asks for into a set of changes. After an error the set must be
    /// rolled back.
    pub fn stage(&self, change: &mut Change, fm: &FlowMod, now: Instant) -> Result<(), Error> {
        self.stage_with_flags(change, fm, fm.flags, now)
    }

    /// [`FlowTables::stage`] with other flags than the flow-mod's own.
    pub fn stage_with_flags(&self, change: &mut Change, fm: &FlowMod, flags: u16, now: Instant) -> Result<(), Error> {
        if flags & FF_EMERG != 0 {
            // OpenFlow 1.0 §4.6 emergency flows; the error is the one for a switch without them.
            return Err(Error::FlowModFailedTableFull);
        }
        if fm.table.0 == INTERNAL_TABLE {
            return Err(Error::BadRequestEperm);
        }
        let deletes = matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict);
        if !deletes && names_datapath(&fm.matching) {
            return Err(Error::BadRequestEperm);
        }
        match fm.command {
            FlowModCommand::Add => self.add(change, fm, flags, None, now)?,
            FlowModCommand::Modify => self.modify(change, fm, false, now)?,
            FlowModCommand::ModifyStrict => self.modify(change, fm, true, now)?,
            FlowModCommand::Delete => {
                self.delete(change, &Selection::of_flow_mod(fm, false), FlowRemovedReason::Delete);
            }
            FlowModCommand::DeleteStrict => {
                self.delete(change, &Selection::of_flow_mod(fm, true), FlowRemovedReason::Delete);
            }
        }
        if fm.buffer_id != NO_BUFFER && !deletes {
            return Err(Error::BadRequestBufferUnknown);
        }
        Ok(())
    }

    /// Stages a flow that a packet taught. The packet may have met it already: `counters` are those that it moved.
    pub fn stage_learned(
        &self,
        change: &mut Change,
        fm: &FlowMod,
        counters: Option<Arc<Counters>>,
        now: Instant,
    ) -> Result<(), Error> {
        if fm.table.0 == INTERNAL_TABLE {
            return Err(Error::BadRequestEperm);
        }
        self.add(change, fm, fm.flags, counters, now)
    }

    fn add(
        &self,
        change: &mut Change,
        fm: &FlowMod,
        flags: u16,
        counters: Option<Arc<Counters>>,
        now: Instant,
    ) -> Result<(), Error> {
        let table = if fm.table == TableId::ALL { TableId(0) } else { fm.table };
        let rules = &self.shared.tables[usize::from(table.0)].rules;
        let old = rules.find(change.version, &fm.matching, priority(fm.priority));
        // A flow that takes the place of another overlaps what that one did.
        if flags & FF_CHECK_OVERLAP != 0 && old.is_none() {
            let mut overlap = false;
            rules.for_each(change.version, |r| {
                overlap |= r.priority == priority(fm.priority) && r.matching.overlaps(&fm.matching);
            });
            if overlap {
                return Err(Error::FlowModFailedOverlap);
            }
        }
        if old.as_ref().is_some_and(|r| r.data.hidden) {
            return Err(Error::BadRequestEperm);
        }
        if old.is_none() {
            self.make_room(change, table.0, now)?;
        }
        let keep = old.as_ref().filter(|_| flags & FF_RESET_COUNTS == 0);
        let data = RuleData {
            table,
            cookie: fm.new_cookie,
            actions: self.actions.borrow_mut().share(&fm.actions),
            flags,
            importance: fm.importance,
            timeouts: timeouts(fm),
            created: now,
            born: old.as_ref().map_or(change.version, |r| r.data.born),
            modified: now,
            stats: keep.map(|r| r.data.stats.clone()).or(counters).unwrap_or_default(),
            hidden: false,
            clauses: RuleData::clauses_of(&fm.actions),
        };
        if let Some(old) = old {
            change.remove(old);
        }
        let rule = change.add(&self.shared, fm.matching.clone(), priority(fm.priority), data);
        change.done.push(Done::Added(rule));
        Ok(())
    }

    /// Takes a flow out of a full table.
    fn make_room(&self, change: &mut Change, table: u8, now: Instant) -> Result<(), Error> {
        let config = self.config(table);
        if config.has_room(self.count(table).saturating_add_signed(change.growth(table))) {
            return Ok(());
        }
        let candidates =
            self.expiring.iter().chain(change.added()).filter(|r| r.data.table.0 == table && !r.is_leaving());
        let victim = config.evicts().then(|| config.victim(candidates, now)).flatten();
        let victim = victim.ok_or(Error::FlowModFailedTableFull)?;
        self.remove(change, victim, FlowRemovedReason::Eviction);
        Ok(())
    }

    /// Takes flows out of tables that have more than their limit.
    pub fn enforce_limit(&self, change: &mut Change, table: u8, now: Instant) {
        let config = self.config(table);
        let Some(max) = config.limits.max_flows.filter(|_| config.evicts()) else { return };
        while self.count(table).saturating_add_signed(change.growth(table)) > max as usize {
            let candidates = self.expiring.iter().filter(|r| r.data.table.0 == table && !r.is_leaving());
            let Some(victim) = config.victim(candidates, now) else { return };
            self.remove(change, victim, FlowRemovedReason::Eviction);
        }
    }

    fn modify(&self, change: &mut Change, fm: &FlowMod, strict: bool, now: Instant) -> Result<(), Error> {
        let old = self.select_in(change.version, &Selection::of_flow_mod(fm, strict));
        if old.is_empty() {
            // OpenFlow 1.0 and 1.1: a modify that finds nothing adds. Later versions and modifies by cookie do not.
            return if fm.modify_cookie && fm.cookie_mask == 0 {
                self.add(change, fm, fm.flags, None, now)
            } else {
                Ok(())
            };
        }
        for r in old {
            let d = &r.data;
            let reset = fm.flags & FF_RESET_COUNTS != 0;
            let cookie = if fm.modify_cookie { fm.new_cookie } else { d.cookie };
            let noticeable = cookie != d.cookie || *d.actions != *fm.actions;
            let data = RuleData {
                table: d.table,
                cookie,
                actions: self.actions.borrow_mut().share(&fm.actions),
                flags: d.flags,
                importance: d.importance,
                timeouts: d.timeouts.clone(),
                created: d.created,
                born: d.born,
                modified: now,
                stats: if reset { Arc::default() } else { d.stats.clone() },
                hidden: false,
                clauses: RuleData::clauses_of(&fm.actions),
            };
            change.remove(r.clone());
            let rule = change.add(&self.shared, r.matching.clone(), r.priority, data);
            change.done.push(Done::Modified { old: r, rule, noticeable });
        }
        Ok(())
    }

    /// Lets a rule go.
    pub fn remove(&self, change: &mut Change, rule: Arc<FlowRule>, reason: FlowRemovedReason) {
        change.remove(rule.clone());
        change.done.push(Done::Removed(rule, reason));
    }

    /// Lets the rules of a selection go.
    pub fn delete(&self, change: &mut Change, s: &Selection<'_>, reason: FlowRemovedReason) {
        for rule in self.select_in(change.version, s) {
            self.remove(change, rule, reason);
        }
    }

    /// Lets all rules go but the switch's own.
    pub fn flush(&self, change: &mut Change) {
        let everything = MiniMatch::default();
        self.delete(change, &Selection::all(&everything), FlowRemovedReason::Delete);
    }

    /// Whether any rule can time out.
    pub fn has_expiring(&self) -> bool {
        !self.expiring.is_empty()
    }

    /// Lets the rules go whose time is over. Counters must be up to date.
    pub fn expire(&mut self, change: &mut Change, now: Instant) {
        self.expiring.retain(|r| !r.is_leaving() && has_timeout(r));
        for rule in &self.expiring {
            if let Some(reason) = timed_out(rule, now) {
                self.remove(change, rule.clone(), reason);
            }
        }
    }
}

pub(crate) fn has_timeout(rule: &FlowRule) -> bool {
    let t = &rule.data.timeouts;
    t.idle.load(Relaxed) != 0 || t.hard.load(Relaxed) != 0
}

/// Whether, and why, a rule's time is over (OpenFlow 1.3.5 §5.5).
/// Whether a match is of what only the datapath knows of a packet.
fn names_datapath(m: &flow::MiniMatch) -> bool {
    [flow::Field::DP_HASH, flow::Field::RECIRC_ID].iter().any(|f| {
        let d = f.def();
        m.mask_word(usize::from(d.word)) >> d.shift & u64::from(u32::MAX) != 0
    })
}

fn timed_out(rule: &FlowRule, now: Instant) -> Option<FlowRemovedReason> {
    let d = &rule.data;
    let (idle, hard) = (d.timeouts.idle.load(Relaxed), d.timeouts.hard.load(Relaxed));
    if hard != 0 && now.since(d.modified).as_secs() >= hard.into() {
        return Some(FlowRemovedReason::HardTimeout);
    }
    if idle != 0 && now.since(last_used(rule)).as_secs() >= idle.into() {
        return Some(FlowRemovedReason::IdleTimeout);
    }
    None
}

/// When a rule's time is over if no packet comes; only for rules with a timeout.
pub(crate) fn expires_at(rule: &FlowRule, now: Instant) -> Instant {
    let d = &rule.data;
    let (idle, hard) = (d.timeouts.idle.load(Relaxed), d.timeouts.hard.load(Relaxed));
    let end = |seconds: u16, from: Instant| (seconds != 0).then(|| from + Duration::from_secs(seconds.into()));
    let ends = [end(hard, d.modified), end(idle, last_used(rule))];
    ends.into_iter().flatten().min().unwrap_or(now + Duration::MAX / 4)
}

/// When a rule was last used; a rule that never was counts from its making.
pub fn last_used(rule: &FlowRule) -> Instant {
    rule.data.stats.used().map_or(rule.data.created, |u| u.max(rule.data.created))
}

/// Whether the rule's controller wants to hear of its end.
pub fn wants_flow_removed(rule: &FlowRule) -> bool {
    rule.data.flags & FF_SEND_FLOW_REM != 0 && !rule.data.hidden
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{Field, Match, OfPort};
    use std::time::Duration;
    use translate::BridgeConfig;

    struct Fixture {
        tables: FlowTables,
        now: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let shared = Arc::new(Shared::new(BridgeConfig::default()));
            Fixture { tables: FlowTables::new(shared), now: Instant::from_millis(1000) }
        }

        /// What happened, flows that went alone.
        fn apply(&mut self, fm: &FlowMod) -> Result<Vec<FlowRemovedReason>, Error> {
            let mut change = self.tables.begin();
            if let Err(e) = self.tables.stage(&mut change, fm, self.now) {
                self.tables.rollback(change);
                return Err(e);
            }
            Ok(removed(self.tables.commit(change)))
        }

        fn expire(&mut self, now: Instant) -> Vec<FlowRemovedReason> {
            let mut change = self.tables.begin();
            self.tables.expire(&mut change, now);
            removed(self.tables.commit(change))
        }

        /// `priority:tp_dst->port` of every rule, sorted.
        fn dump(&self) -> Vec<String> {
            let any = MiniMatch::default();
            let all = FlowStatsRequest::default();
            let rules = self.tables.select(&Selection { matching: &any, ..Selection::of_request(&all) });
            let text = |r: &Arc<FlowRule>| {
                let port = match r.data.actions.first() {
                    Some(Action::Output { port, .. }) => port.0,
                    _ => 0,
                };
                format!("{}:{}->{port}", r.priority, r.matching.expand().key.get(Field::TCP_DST))
            };
            let mut lines: Vec<String> = rules.iter().map(text).collect();
            // Rules made at the same instant have no order among themselves.
            lines.sort();
            lines
        }
    }

    fn removed(done: Vec<Done>) -> Vec<FlowRemovedReason> {
        let reason = |d| if let Done::Removed(_, reason) = d { Some(reason) } else { None };
        done.into_iter().filter_map(reason).collect()
    }

    fn fm(command: FlowModCommand, tp_dst: Option<u16>, priority: u16, port: u32) -> FlowMod {
        let mut m = Match::any();
        m.set(Field::ETH_TYPE, 0x800);
        if let Some(p) = tp_dst {
            m.set(Field::TCP_DST, p.into());
        }
        FlowMod {
            command,
            matching: MiniMatch::new(&m),
            priority,
            actions: vec![Action::Output { port: OfPort(port), max_len: 0 }],
            ..FlowMod::default()
        }
    }

    use FlowModCommand::*;

    #[test]
    fn add_replaces_the_same_match() {
        let mut f = Fixture::new();
        f.apply(&fm(Add, Some(80), 5, 1)).unwrap();
        f.apply(&fm(Add, Some(80), 5, 2)).unwrap();
        f.apply(&fm(Add, Some(80), 6, 3)).unwrap();
        assert_eq!(f.dump(), ["5:80->2", "6:80->3"]);
        assert_eq!(f.tables.len(), 2);
    }

    #[test]
    fn strict_and_loose_commands() {
        let mut f = Fixture::new();
        for p in [1, 2, 3] {
            f.apply(&fm(Add, Some(p), 5, 1)).unwrap();
        }
        f.apply(&fm(ModifyStrict, Some(2), 5, 9)).unwrap();
        assert_eq!(f.dump(), ["5:1->1", "5:2->9", "5:3->1"]);
        f.apply(&fm(Modify, None, 0, 7)).unwrap();
        assert_eq!(f.dump(), ["5:1->7", "5:2->7", "5:3->7"]);
        f.apply(&fm(DeleteStrict, None, 5, 0)).unwrap();
        assert_eq!(f.dump().len(), 3, "no rule has exactly this match");
        let one = FlowMod { out_port: OfPort(7), ..fm(DeleteStrict, Some(1), 5, 0) };
        assert_eq!(f.apply(&FlowMod { out_port: OfPort(8), ..one.clone() }).unwrap().len(), 0);
        assert_eq!(f.apply(&one).unwrap().len(), 1);
        assert_eq!(f.apply(&fm(Delete, None, 0, 0)).unwrap().len(), 2);
        assert_eq!(f.dump(), [""; 0]);
    }

    #[test]
    fn cookies_select() {
        let mut f = Fixture::new();
        f.apply(&FlowMod { new_cookie: 0x11, ..fm(Add, Some(1), 5, 1) }).unwrap();
        f.apply(&FlowMod { new_cookie: 0x12, ..fm(Add, Some(2), 5, 1) }).unwrap();
        f.apply(&FlowMod { cookie: 0x2, cookie_mask: 0xf, ..fm(Delete, None, 0, 0) }).unwrap();
        assert_eq!(f.dump(), ["5:1->1"]);
    }

    #[test]
    fn refused_changes_change_nothing() {
        let mut f = Fixture::new();
        f.apply(&fm(Add, Some(1), 5, 1)).unwrap();
        let overlap = FlowMod { flags: FF_CHECK_OVERLAP, ..fm(Add, None, 5, 2) };
        assert_eq!(f.apply(&overlap).unwrap_err(), Error::FlowModFailedOverlap);
        let internal = FlowMod { table: TableId(INTERNAL_TABLE), ..fm(Add, None, 5, 2) };
        assert_eq!(f.apply(&internal).unwrap_err(), Error::BadRequestEperm);
        assert_eq!(f.dump(), ["5:1->1"]);
    }

    #[test]
    fn timeouts() {
        let mut f = Fixture::new();
        f.apply(&FlowMod { idle_timeout: 2, ..fm(Add, Some(1), 5, 1) }).unwrap();
        f.apply(&FlowMod { hard_timeout: 3, ..fm(Add, Some(2), 5, 1) }).unwrap();
        assert!(f.expire(f.now + Duration::from_millis(1999)).is_empty());
        assert_eq!(f.expire(f.now + Duration::from_secs(2)), [FlowRemovedReason::IdleTimeout]);
        assert_eq!(f.expire(f.now + Duration::from_secs(3)), [FlowRemovedReason::HardTimeout]);
        assert!(!f.tables.has_expiring() || f.expire(f.now + Duration::from_secs(9)).is_empty());
    }

    #[test]
    fn what_is_rolled_back_was_never_there() {
        let mut f = Fixture::new();
        f.apply(&fm(Add, Some(1), 5, 1)).unwrap();
        let mut change = f.tables.begin();
        f.tables.stage(&mut change, &fm(Add, Some(2), 5, 2), f.now).unwrap();
        f.tables.stage(&mut change, &fm(ModifyStrict, Some(2), 5, 3), f.now).unwrap();
        f.tables.stage(&mut change, &fm(Delete, None, 5, 2), f.now).unwrap();
        assert_eq!(change.done.len(), 4);
        f.tables.rollback(change);
        assert_eq!((f.dump(), f.tables.len()), (vec!["5:1->1".to_string()], 1));
        f.apply(&fm(Add, Some(3), 5, 4)).unwrap();
        assert_eq!(f.dump(), ["5:1->1", "5:3->4"]);
    }

    #[test]
    fn a_set_of_changes_sees_itself() {
        let mut f = Fixture::new();
        let mut change = f.tables.begin();
        f.tables.stage(&mut change, &fm(Add, Some(2), 5, 2), f.now).unwrap();
        f.tables.stage(&mut change, &fm(Delete, Some(2), 5, 2), f.now).unwrap();
        f.tables.stage(&mut change, &fm(Add, Some(4), 5, 2), f.now).unwrap();
        assert_eq!(f.dump(), [""; 0], "not yet");
        f.tables.commit(change);
        assert_eq!((f.dump(), f.tables.count(0)), (vec!["5:4->2".to_string()], 1));
    }

    #[test]
    fn full_tables() {
        let mut f = Fixture::new();
        f.tables.config_mut(0).limits.max_flows = Some(2);
        f.apply(&fm(Add, Some(1), 5, 1)).unwrap();
        f.apply(&FlowMod { idle_timeout: 9, ..fm(Add, Some(2), 5, 1) }).unwrap();
        assert_eq!(f.apply(&fm(Add, Some(3), 5, 1)), Err(Error::FlowModFailedTableFull));
        f.apply(&fm(Add, Some(1), 5, 7)).unwrap();
        f.tables.config_mut(0).evict = true;
        assert_eq!(f.apply(&fm(Add, Some(3), 5, 1)), Ok(vec![FlowRemovedReason::Eviction]));
        assert_eq!(f.apply(&fm(Add, Some(4), 5, 1)), Err(Error::FlowModFailedTableFull), "permanent flows stay");
        assert_eq!(f.dump(), ["5:1->7", "5:3->1"]);
    }
}
