//! Flow monitors: a connection is told of flows that come, change and go (OpenFlow 1.4 §7.3.5.17, and the vendor form of
//! earlier versions).
//!
//! A connection that does not read is not told more and more: above a bound its updates pause. Of what then happens it is
//! told at once only that flows which it knows are gone; when it has read everything, the switch tells the flows that came
//! or changed in the meantime and says that updates go on.

use crate::bridge::{Bridge, Event};
use crate::change::Done;
use crate::conn::{Conn, ConnId};
use crate::flow_mod::{Selection, any_action, outputs_to};
use crate::handle::Origin;
use flow::{MiniMatch, OfPort};
use openflow::action::Action;
use openflow::message::flows::FlowRemovedReason;
use openflow::message::monitor::{
    FM_ACTIONS, FM_ADD, FM_DELETE, FM_INITIAL, FM_MODIFY, FM_NO_ABBREV, FM_ONLY_OWN, FlowEvent, FlowMonitorRequest,
    FlowUpdate, FlowUpdateFull,
};
use openflow::{Error, GroupId, Message, TableId, Version, Xid};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use translate::Rule;

/// Bytes that may wait for a connection before its updates pause.
const PAUSE_ABOVE: usize = 128 << 10;
/// Updates in one message.
const BATCH: usize = 256;

/// Changes by the connection itself are told in full, not by their transaction id. The vendor form's `own` says so; the
/// original takes the flag that took its place in OpenFlow 1.4 for the same, and controllers rely on it.
const OWN: u16 = FM_NO_ABBREV | FM_ONLY_OWN;

/// Commands of a request.
const ADD: u8 = 0;
const MODIFY: u8 = 1;
const DELETE: u8 = 2;

#[derive(Debug)]
struct Monitor {
    flags: u16,
    out_port: OfPort,
    out_group: GroupId,
    table: TableId,
    matching: MiniMatch,
}

impl Monitor {
    fn covers(&self, rule: &Rule) -> bool {
        let actions = &rule.data.actions;
        (self.table == TableId::ALL || self.table == rule.data.table)
            && (self.out_port == OfPort::ANY || any_action(actions, &|a| outputs_to(a, self.out_port)))
            && (self.out_group == GroupId::ANY || any_action(actions, &|a| *a == Action::Group(self.out_group)))
            && rule.matching.is_within(&self.matching)
    }
}

/// The monitors of one connection.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    by_id: BTreeMap<u32, Monitor>,
    /// Version of the tables that the connection knows, while its updates pause.
    paused: Option<u64>,
}

impl Monitors {
    /// Adds monitors, all or none.
    fn add(&mut self, requests: &[FlowMonitorRequest]) -> Result<(), Error> {
        let mut added = vec![];
        let mut result = Ok(());
        for r in requests {
            let known = self.by_id.contains_key(&r.id);
            result = match r.command {
                ADD if known => Err(Error::FlowMonitorFailedMonitorExists),
                MODIFY | DELETE if !known => Err(Error::FlowMonitorFailedUnknownMonitor),
                _ => Ok(()),
            };
            if result.is_err() {
                break;
            }
            if r.command == DELETE {
                self.by_id.remove(&r.id);
                continue;
            }
            let (out_port, out_group) = (r.out_port, r.out_group);
            let monitor = Monitor { flags: r.flags, out_port, out_group, table: r.table, matching: r.matching.clone() };
            self.by_id.insert(r.id, monitor);
            if r.command == ADD {
                added.push(r.id);
            }
        }
        if result.is_err() {
            for id in added {
                self.by_id.remove(&id);
            }
        }
        result
    }

    /// Forgets a monitor.
    fn cancel(&mut self, id: u32) -> Result<(), Error> {
        self.by_id.remove(&id).map(drop).ok_or(Error::FlowMonitorFailedUnknownMonitor)
    }

    /// Flags of all monitors that cover a rule.
    fn flags(&self, rule: &Rule) -> u16 {
        self.by_id.values().filter(|m| m.covers(rule)).fold(0, |flags, m| flags | m.flags)
    }

    fn updates(&self, done: &[Done], own: Option<Xid>) -> Vec<FlowUpdate> {
        let mut updates = vec![];
        for d in done {
            let (rule, event, flag, reason) = match d {
                Done::Added(r) => (r, FlowEvent::Added, FM_ADD, FlowRemovedReason::Delete),
                Done::Modified { noticeable: false, .. } => continue,
                Done::Modified { rule, .. } => (rule, FlowEvent::Modified, FM_MODIFY, FlowRemovedReason::Delete),
                Done::Removed(r, reason) => (r, FlowEvent::Deleted, FM_DELETE, *reason),
            };
            // Who watches a port or a group is told, too, of a flow that leaves it.
            let before = if let Done::Modified { old, .. } = d { self.flags(old) } else { 0 };
            let flags = self.flags(rule) | before;
            if rule.data.hidden || flags & flag == 0 {
                continue;
            }
            if let Some(known) = self.paused
                && (event != FlowEvent::Deleted || rule.data.born > known)
            {
                continue;
            }
            let update = match own {
                Some(xid) if flags & OWN == 0 => FlowUpdate::Abbrev(xid),
                _ => full(rule, event, reason, flags),
            };
            if !(matches!(update, FlowUpdate::Abbrev(_)) && updates.last() == Some(&update)) {
                updates.push(update);
            }
        }
        updates
    }

    /// The flows to be told again when updates go on after a pause at version `known`.
    fn missed(&self, rules: &[Arc<Rule>], known: u64) -> Vec<FlowUpdate> {
        let mut updates = vec![];
        for rule in rules.iter().filter(|r| r.added_in() > known) {
            let (event, flag) =
                if rule.data.born > known { (FlowEvent::Added, FM_ADD) } else { (FlowEvent::Modified, FM_MODIFY) };
            let flags = self.flags(rule);
            if flags & flag != 0 {
                updates.push(full(rule, event, FlowRemovedReason::Delete, flags));
            }
        }
        updates
    }
}

fn full(rule: &Rule, event: FlowEvent, reason: FlowRemovedReason, flags: u16) -> FlowUpdate {
    let d = &rule.data;
    FlowUpdate::Full(Box::new(FlowUpdateFull {
        event,
        reason,
        priority: rule.priority as u16,
        idle_timeout: d.timeouts.idle.load(Relaxed),
        hard_timeout: d.timeouts.hard.load(Relaxed),
        table: d.table,
        cookie: d.cookie,
        matching: rule.matching.clone(),
        actions: if flags & FM_ACTIONS != 0 { d.actions.to_vec() } else { vec![] },
    }))
}

fn send(conn: &mut Conn, updates: Vec<FlowUpdate>) {
    let mut rest = updates;
    while !rest.is_empty() {
        let more = rest.split_off(rest.len().min(BATCH));
        conn.event(Message::FlowMonitorReply(std::mem::replace(&mut rest, more)));
    }
}

/// That updates pause or go on: a message of its own before OpenFlow 1.4.
fn notice(conn: &mut Conn, paused: bool) {
    let message = match (conn.version() >= Some(Version::V14), paused) {
        (false, true) => Message::FlowMonitorPaused,
        (false, false) => Message::FlowMonitorResumed,
        (true, true) => Message::FlowMonitorReply(vec![FlowUpdate::Paused]),
        (true, false) => Message::FlowMonitorReply(vec![FlowUpdate::Resumed]),
    };
    conn.event(message);
}

impl Bridge {
    /// Adds monitors and answers with the flows that are there.
    pub(crate) fn flow_monitor(&mut self, id: ConnId, xid: Xid, requests: &[FlowMonitorRequest]) -> Result<(), Error> {
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        conn.monitors.add(requests)?;
        let mut updates = vec![];
        for r in requests.iter().filter(|r| r.flags & FM_INITIAL != 0 && r.command != DELETE) {
            let mut wanted = Selection::all(&r.matching);
            (wanted.table, wanted.out_port, wanted.out_group) = (r.table, r.out_port, r.out_group);
            let rules = self.tables.select(&wanted);
            let new = rules.iter().map(|rule| full(rule, FlowEvent::Initial, FlowRemovedReason::Delete, r.flags));
            updates.extend(new);
        }
        conn.reply(xid, Message::FlowMonitorReply(updates));
        Ok(())
    }

    /// Forgets a monitor.
    pub(crate) fn flow_monitor_cancel(&mut self, id: ConnId, monitor: u32) -> Result<(), Error> {
        self.conns.get_mut(&id).map_or(Ok(()), |c| c.monitors.cancel(monitor))
    }

    /// Tells connections what happened to flows. `origin` made it happen.
    pub(crate) fn tell_monitors(&mut self, done: &[Done], origin: Option<Origin>) {
        let version = self.shared.versions.current().number();
        for (id, conn) in &mut self.conns {
            if conn.monitors.by_id.is_empty() {
                continue;
            }
            let own = origin.filter(|o| o.conn == *id).map(|o| o.xid);
            let updates = conn.monitors.updates(done, own);
            if updates.is_empty() {
                continue;
            }
            send(conn, updates);
            if conn.monitors.paused.is_none() && conn.backlog() > PAUSE_ABOVE {
                conn.monitors.paused = Some(version);
                notice(conn, true);
            }
            self.events.push_back(Event::Output(*id));
        }
    }

    /// A connection has read everything: its updates go on.
    pub(crate) fn resume_monitors(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Some(known) = conn.monitors.paused.take() else { return };
        let everything = MiniMatch::default();
        let rules = self.tables.select(&Selection::all(&everything));
        let updates = conn.monitors.missed(&rules, known);
        send(conn, updates);
        notice(conn, false);
    }
}
