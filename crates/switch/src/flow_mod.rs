//! Changes of the flow tables (OpenFlow 1.3.5 §6.4), each of them atomic for packets.
//!
//! A change builds the new rules, marks the old ones, then moves the tables to the next version; a packet is translated in
//! one version. Rules that no packet can see any more are taken out later.

use crate::INTERNAL_TABLE;
use classifier::Rule;
use clock::Instant;
use flow::MiniMatch;
use openflow::action::Action;
use openflow::message::flows::{
    FF_CHECK_OVERLAP, FF_EMERG, FF_RESET_COUNTS, FF_SEND_FLOW_REM, FlowMod, FlowModCommand, FlowRemovedReason,
    FlowStatsRequest, NO_BUFFER,
};
use openflow::{Error, GroupId, TableId};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use translate::view::Timeouts;
use translate::{Bridge as Shared, Rule as FlowRule, RuleData};

/// Rules that left the tables, with why, for whoever wants to be told.
pub type Removed = Vec<(Arc<FlowRule>, FlowRemovedReason)>;

/// The tables of a bridge, as the one who changes them sees them.
#[derive(Debug)]
pub struct FlowTables {
    shared: Arc<Shared>,
    /// Rules with a timeout, so that expiry looks at no others.
    expiring: Vec<Arc<FlowRule>>,
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

fn outputs_to(action: &Action, port: flow::OfPort) -> bool {
    match action {
        Action::Output { port: p, .. } | Action::Enqueue { port: p, .. } | Action::OutputTrunc { port: p, .. } => {
            *p == port
        }
        Action::Controller(_) => port == flow::OfPort::CONTROLLER,
        _ => false,
    }
}

/// Priorities are compared in a wider type than the wire's, so that the switch's own rules can stand above all.
fn priority(p: u16) -> u32 {
    p.into()
}

impl FlowTables {
    /// The tables of a bridge.
    pub fn new(shared: Arc<Shared>) -> Self {
        FlowTables { shared, expiring: vec![] }
    }

    fn table_range(&self, table: TableId) -> std::ops::Range<usize> {
        if table == TableId::ALL { 0..self.shared.tables.len() } else { table.0.into()..usize::from(table.0) + 1 }
    }

    /// The rules of a selection, by table.
    pub fn select(&self, s: &Selection<'_>) -> Vec<Arc<FlowRule>> {
        let version = self.shared.versions.current().number();
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
            let mask = |r: &Arc<FlowRule>| r.matching.mask();
            for run in out[from..].chunk_by_mut(|a, b| a.matching.map() == b.matching.map() && mask(a) == mask(b)) {
                run.sort_by_key(|r| (r.data.created, r.added_in()));
            }
        }
        out
    }

    /// Number of rules that controllers see.
    pub fn len(&self) -> usize {
        self.shared.tables[..usize::from(INTERNAL_TABLE)].iter().map(|t| t.rules.len()).sum()
    }

    /// Adds one of the switch's own rules.
    pub fn add_hidden(&mut self, table: u8, priority: u32, matching: MiniMatch, actions: Vec<Action>, now: Instant) {
        let version = self.shared.versions.next();
        let clauses = RuleData::clauses_of(&actions);
        let data = RuleData {
            table: TableId(table),
            cookie: 0,
            actions: actions.into(),
            flags: 0,
            importance: 0,
            timeouts: Arc::default(),
            created: now,
            modified: now,
            stats: Arc::default(),
            hidden: true,
            clauses,
        };
        self.shared.tables[usize::from(table)].rules.insert(Arc::new(Rule::new(matching, priority, version, data)));
        self.shared.versions.publish();
    }

    /// Carries out a flow-mod whose actions were checked. Nothing changes if it fails.
    pub fn apply(&mut self, fm: &FlowMod, now: Instant) -> Result<Removed, Error> {
        if fm.flags & FF_EMERG != 0 {
            // OpenFlow 1.0 §4.6 emergency flows; the error is the one for a switch without them.
            return Err(Error::FlowModFailedTableFull);
        }
        if fm.table.0 == INTERNAL_TABLE {
            return Err(Error::BadRequestEperm);
        }
        let removed = match fm.command {
            FlowModCommand::Add => self.add(fm, now)?,
            FlowModCommand::Modify => self.modify(fm, false, now)?,
            FlowModCommand::ModifyStrict => self.modify(fm, true, now)?,
            FlowModCommand::Delete => self.delete(&Selection::of_flow_mod(fm, false), FlowRemovedReason::Delete),
            FlowModCommand::DeleteStrict => self.delete(&Selection::of_flow_mod(fm, true), FlowRemovedReason::Delete),
        };
        self.shared.reclaim();
        if fm.buffer_id != NO_BUFFER && !matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict) {
            return Err(Error::BadRequestBufferUnknown);
        }
        Ok(removed)
    }

    fn add(&mut self, fm: &FlowMod, now: Instant) -> Result<Removed, Error> {
        let table = if fm.table == TableId::ALL { TableId(0) } else { fm.table };
        let version = self.shared.versions.current().number();
        let rules = &self.shared.tables[usize::from(table.0)].rules;
        let old = rules.find(version, &fm.matching, priority(fm.priority));
        if fm.flags & FF_CHECK_OVERLAP != 0 {
            // A flow does not overlap the one whose place it takes.
            let mut overlap = false;
            rules.for_each(version, |r| {
                overlap |= r.priority == priority(fm.priority)
                    && r.matching.overlaps(&fm.matching)
                    && !old.as_ref().is_some_and(|o| Arc::ptr_eq(o, r));
            });
            if overlap {
                return Err(Error::FlowModFailedOverlap);
            }
        }
        if old.as_ref().is_some_and(|r| r.data.hidden) {
            return Err(Error::BadRequestEperm);
        }
        let keep = old.as_ref().filter(|_| fm.flags & FF_RESET_COUNTS == 0);
        let data = RuleData {
            table,
            cookie: fm.new_cookie,
            actions: fm.actions.as_slice().into(),
            flags: fm.flags,
            importance: fm.importance,
            timeouts: Arc::new(Timeouts { idle: fm.idle_timeout.into(), hard: fm.hard_timeout.into() }),
            created: now,
            modified: now,
            stats: keep.map_or_else(Arc::default, |r| r.data.stats.clone()),
            hidden: false,
            clauses: RuleData::clauses_of(&fm.actions),
        };
        self.replace(old.into_iter().collect(), vec![(fm.matching.clone(), priority(fm.priority), data)]);
        Ok(vec![])
    }

    fn modify(&mut self, fm: &FlowMod, strict: bool, now: Instant) -> Result<Removed, Error> {
        let old = self.select(&Selection::of_flow_mod(fm, strict));
        if old.is_empty() {
            // OpenFlow 1.0 and 1.1: a modify that finds nothing adds. Later versions and modifies by cookie do not.
            return if fm.modify_cookie && fm.cookie_mask == 0 { self.add(fm, now) } else { Ok(vec![]) };
        }
        let new = old.iter().map(|r| {
            let d = &r.data;
            let reset = fm.flags & FF_RESET_COUNTS != 0;
            let data = RuleData {
                table: d.table,
                cookie: if fm.modify_cookie { fm.new_cookie } else { d.cookie },
                actions: fm.actions.as_slice().into(),
                flags: d.flags,
                importance: d.importance,
                timeouts: d.timeouts.clone(),
                created: d.created,
                modified: now,
                stats: if reset { Arc::default() } else { d.stats.clone() },
                hidden: false,
                clauses: RuleData::clauses_of(&fm.actions),
            };
            (r.matching.clone(), r.priority, data)
        });
        let new = new.collect();
        self.replace(old, new);
        Ok(vec![])
    }

    /// Puts new rules in the place of old ones, in one version.
    fn replace(&mut self, old: Vec<Arc<FlowRule>>, new: Vec<(MiniMatch, u32, RuleData)>) {
        let version = self.shared.versions.next();
        for r in old {
            r.remove_in(version);
            self.shared.versions.retire(r);
        }
        for (matching, priority, data) in new {
            let table = usize::from(data.table.0);
            let rule = Arc::new(Rule::new(matching, priority, version, data));
            if has_timeout(&rule) {
                self.expiring.push(rule.clone());
            }
            self.shared.tables[table].rules.insert(rule);
        }
        self.shared.versions.publish();
    }

    /// Removes the rules of a selection.
    pub fn delete(&mut self, s: &Selection<'_>, reason: FlowRemovedReason) -> Removed {
        let old = self.select(s);
        self.remove(old.into_iter().map(|r| (r, reason)).collect())
    }

    fn remove(&mut self, old: Removed) -> Removed {
        if !old.is_empty() {
            self.replace(old.iter().map(|(r, _)| r.clone()).collect(), vec![]);
            self.shared.reclaim();
        }
        old
    }

    /// Removes all rules but the switch's own.
    pub fn flush(&mut self) -> Removed {
        let everything = MiniMatch::default();
        let all = Selection {
            table: TableId::ALL,
            matching: &everything,
            strict: None,
            cookie: (0, 0),
            out_port: flow::OfPort::ANY,
            out_group: GroupId::ANY,
            hidden: false,
        };
        self.delete(&all, FlowRemovedReason::Delete)
    }

    /// Whether any rule can time out.
    pub fn has_expiring(&self) -> bool {
        !self.expiring.is_empty()
    }

    /// Removes the rules whose time is over. Counters must be up to date.
    pub fn expire(&mut self, now: Instant) -> Removed {
        self.expiring.retain(|r| !r.is_leaving() && has_timeout(r));
        let over: Removed = self.expiring.iter().filter_map(|r| Some((r.clone(), timed_out(r, now)?))).collect();
        self.remove(over)
    }
}

fn has_timeout(rule: &FlowRule) -> bool {
    let t = &rule.data.timeouts;
    t.idle.load(Relaxed) != 0 || t.hard.load(Relaxed) != 0
}

/// Whether, and why, a rule's time is over (OpenFlow 1.3.5 §5.5).
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

        fn apply(&mut self, fm: &FlowMod) -> Result<Removed, Error> {
            self.tables.apply(fm, self.now)
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
        assert!(f.tables.expire(f.now + Duration::from_millis(1999)).is_empty());
        let gone = f.tables.expire(f.now + Duration::from_secs(2));
        assert_eq!(gone[0].1, FlowRemovedReason::IdleTimeout);
        assert_eq!(f.tables.expire(f.now + Duration::from_secs(3))[0].1, FlowRemovedReason::HardTimeout);
        assert!(!f.tables.has_expiring() || f.tables.expire(f.now + Duration::from_secs(9)).is_empty());
    }
}
