//! One OpenFlow switch, as the control thread holds it.

use crate::change::Done;
use crate::conn::{Class, Conn, ConnId};
use crate::flow_mod::{FlowTables, Selection, last_used, wants_flow_removed};
use crate::packet_in::ToControllers;
use crate::port::{Port, PortNumbers, visible};
use crate::rate_limit::RateLimit;
use crate::upcall::{Reason, Upcalls};
use crate::{INTERNAL_TABLE, revalidate};
use clock::Instant;
use datapath::Datapath;
use flow::{Match, MiniMatch, OfPort};
use io::coverage::Counter;
use io::vlog::{Level, Module};
use io::vlog_rl;
use openflow::action::{Action, PacketInReason};
use openflow::message::ports::{PS_LINK_DOWN, PS_LIVE, PortDesc};
use openflow::message::{
    AsyncKind, Desc, FlowRemoved, FlowRemovedReason, PacketInFormat, PortReason, PortStatus, TableStatus,
};
use openflow::{Message, TableId, Version};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use translate::Bridge as Shared;

/// What the owner of a bridge has to do for it.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A connection has bytes to send.
    Output(ConnId),
    /// A controller set a port up or down.
    PortAdmin {
        /// The port.
        port: OfPort,
        /// Up.
        up: bool,
    },
    /// A controller changed a port's configuration: translation has to see it.
    Port(OfPort),
    /// Settings of the bridge changed that translation has to see.
    Settings,
}

/// One OpenFlow switch.
pub struct Bridge {
    /// Name.
    pub name: String,
    /// Datapath id.
    pub datapath_id: u64,
    /// What translation sees of it.
    pub shared: Arc<Shared>,
    /// Flow tables.
    pub tables: FlowTables,
    /// Ports by number.
    pub ports: BTreeMap<OfPort, Port>,
    /// Numbers in use.
    pub numbers: PortNumbers,
    /// Texts for description requests.
    pub desc: Desc,
    /// Versions that it speaks.
    pub protocols: Vec<Version>,
    /// Fragment handling flags (`OFPC_FRAG_*`).
    pub frags: u16,
    pub(crate) upcalls: Arc<Upcalls>,
    pub(crate) datapath: Arc<dyn Datapath>,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    next_conn: u64,
    pub(crate) generation_id: Option<u64>,
    /// Meters by number.
    pub(crate) meters: BTreeMap<openflow::MeterId, crate::meter::Meter>,
    /// Tunnel options that have a field.
    pub(crate) tlv_table: crate::tlv::TlvTable,
    /// Silence after which an open bundle is given up.
    pub bundle_idle_timeout: Duration,
    /// Flows that it makes for itself, and their rules.
    pub(crate) own_flows: (crate::in_band::OwnFlows, Vec<Arc<translate::Rule>>),
    pub(crate) events: VecDeque<Event>,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge").field("name", &self.name).field("ports", &self.ports).finish_non_exhaustive()
    }
}

impl Bridge {
    /// A bridge without ports, with the switch's own flows.
    pub fn new(
        name: &str,
        datapath_id: u64,
        shared: Arc<Shared>,
        upcalls: Arc<Upcalls>,
        datapath: Arc<dyn Datapath>,
        now: Instant,
    ) -> Self {
        let mut tables = FlowTables::new(shared.clone());
        internal_flows(&mut tables, now);
        Bridge {
            name: name.into(),
            datapath_id,
            shared,
            tables,
            ports: BTreeMap::new(),
            numbers: PortNumbers::default(),
            desc: Desc {
                manufacturer: "Nicira, Inc.".into(),
                hardware: "Open vSwitch".into(),
                software: io::program::COMPATIBLE_VERSION.into(),
                serial: "None".into(),
                datapath: "None".into(),
            },
            protocols: Version::ALL.to_vec(),
            frags: 0,
            upcalls,
            datapath,
            conns: BTreeMap::new(),
            next_conn: 1,
            generation_id: None,
            meters: BTreeMap::new(),
            tlv_table: BTreeMap::new(),
            bundle_idle_timeout: crate::bundle::IDLE_TIMEOUT,
            own_flows: Default::default(),
            events: VecDeque::new(),
        }
    }

    /// What the owner has to do, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Opens a connection.
    pub fn open(&mut self, name: String, class: Class) -> ConnId {
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        self.conns.insert(id, Conn::new(name, class, &self.protocols));
        id
    }

    /// Forgets a connection.
    pub fn close(&mut self, id: ConnId) {
        let missed = self.miss_to_controller();
        self.conns.remove(&id);
        if self.miss_to_controller() != missed {
            self.events.push_back(Event::Settings);
        }
    }

    /// The connections.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, &Conn)> {
        self.conns.iter().map(|(id, c)| (*id, c))
    }

    /// Takes bytes from a connection and obeys the requests in them.
    pub fn input(&mut self, id: ConnId, bytes: &[u8], now: Instant) {
        let missed = self.miss_to_controller();
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let class = conn.class;
        for request in conn.input(bytes) {
            Counter::VconnReceived.hit();
            match class {
                Class::Snoop => continue,
                Class::Primary => self.overhear(&request.raw),
                Class::Service => {}
            }
            self.request(id, request, now);
        }
        if self.miss_to_controller() != missed {
            self.events.push_back(Event::Settings);
        }
    }

    /// Asks the peer of a connection whether it is there.
    pub fn probe(&mut self, id: ConnId) {
        if let Some(c) = self.conns.get_mut(&id) {
            c.event(Message::EchoRequest(vec![]));
        }
    }

    /// Bytes to send on a connection, and why it is to be closed once they are sent.
    pub fn take_output(&mut self, id: ConnId) -> (Vec<u8>, Option<String>) {
        if self.conns.get(&id).is_some_and(|c| !c.has_output()) {
            self.resume_monitors(id);
        }
        let Some(c) = self.conns.get_mut(&id) else { return (vec![], Some("bridge is gone".into())) };
        if !c.has_output() {
            c.continue_dump();
        }
        let (class, output, closing) = (c.class, c.take_output(), c.closing.take());
        if class == Class::Primary && !output.is_empty() {
            self.overhear(&output);
        }
        (output, closing)
    }

    /// Lets those who read along see what is said on a controller's connection.
    fn overhear(&mut self, messages: &[u8]) {
        for (id, c) in self.conns.iter_mut().filter(|(_, c)| c.class == Class::Snoop) {
            c.overheard(messages);
            self.events.push_back(Event::Output(*id));
        }
    }

    pub(crate) fn reply(&mut self, id: ConnId, xid: u32, message: Message) {
        if let Some(c) = self.conns.get_mut(&id) {
            Counter::VconnSent.hit();
            c.reply(xid, message);
        }
    }

    /// Tells connections something, as far as they want it.
    fn broadcast(&mut self, kind: AsyncKind, reason: u8, message: &Message) {
        for (id, c) in &mut self.conns {
            if c.version().is_some() && c.wants(kind, reason) {
                c.event(message.clone());
                self.events.push_back(Event::Output(*id));
            }
        }
    }

    /// Tells the controllers that asked to hear of it that flows went.
    pub(crate) fn tell_removed(&mut self, done: &[Done], now: Instant) {
        for d in done {
            let Done::Removed(rule, reason) = d else { continue };
            if !wants_flow_removed(rule) {
                continue;
            }
            let d = &rule.data;
            let (packets, bytes) = d.stats.read();
            let message = Message::FlowRemoved(FlowRemoved {
                matching: rule.matching.clone(),
                cookie: d.cookie,
                priority: rule.priority as u16,
                reason: *reason,
                table: d.table,
                duration: crate::stats::age(d.created, now),
                idle_timeout: d.timeouts.idle.load(std::sync::atomic::Ordering::Relaxed),
                hard_timeout: d.timeouts.hard.load(std::sync::atomic::Ordering::Relaxed),
                packets,
                bytes,
                nicira: false,
            });
            self.broadcast(AsyncKind::FlowRemoved, reason.number(), &message);
        }
    }

    /// Tells controllers of tables that became nearly full, or no longer are.
    pub(crate) fn tell_vacancy(&mut self, tables: &[u8]) {
        for &table in tables {
            let flows = self.tables.count(table);
            let config = self.tables.config_mut(table);
            if let Some(crossed) = config.crossed(flows) {
                let status = TableStatus { reason: crossed as u8, desc: config.desc(table, flows) };
                self.broadcast(AsyncKind::TableStatus, crossed as u8, &Message::TableStatus(status));
            }
        }
    }

    /// Lets flows go that were learned for flows that are gone (`delete_learned` of `learn`).
    pub(crate) fn delete_orphans(&mut self, now: Instant) {
        let everything = MiniMatch::default();
        let orphans = self.tables.take_orphans();
        if orphans.is_empty() {
            return;
        }
        let mut change = self.tables.begin();
        for (table, cookie) in orphans {
            let learned = Selection { table, cookie: (cookie, u64::MAX), ..Selection::all(&everything) };
            self.tables.delete(&mut change, &learned, FlowRemovedReason::Delete);
        }
        self.commit(change, None, now);
    }

    /// Flows in the datapath may be wrong now.
    pub(crate) fn tables_changed(&self) {
        self.upcalls.changed(Reason::FlowTable);
    }

    /// Brings rule counters up to date with the datapath's.
    pub(crate) fn sync_counters(&self, now: Instant) {
        revalidate::push_all(&self.upcalls, &*self.datapath, now);
    }

    /// Adds a port or replaces it, and tells the controllers.
    pub fn set_port(&mut self, port: Port) {
        Counter::OfprotoUpdatePort.hit();
        let desc = port.desc();
        let old = self.ports.insert(port.of, port).map(|old| old.desc());
        // A port is not live when it comes, and no longer live before its link is said to be down.
        let halfway = match &old {
            None => Some(PortDesc { state: desc.state & !PS_LIVE, ..desc.clone() }),
            Some(old) if old.state & PS_LIVE != 0 && desc.state & PS_LINK_DOWN != 0 => {
                Some(PortDesc { state: old.state & !PS_LIVE, ..old.clone() })
            }
            Some(_) => None,
        };
        let mut old = old;
        for desc in halfway.into_iter().chain([desc]) {
            self.tell_port(old.as_ref(), &desc);
            old = Some(desc);
        }
    }

    /// Tells the controllers of a port that is new or has changed, as far as their versions show it.
    fn tell_port(&mut self, old: Option<&PortDesc>, desc: &PortDesc) {
        let reason = if old.is_none() { PortReason::Add } else { PortReason::Modify };
        let message = Message::PortStatus(PortStatus { reason, desc: desc.clone() });
        for (id, c) in &mut self.conns {
            let Some(version) = c.version() else { continue };
            let shows = old.is_none_or(|old| visible(old, version) != visible(desc, version));
            if shows && c.wants(AsyncKind::PortStatus, reason as u8) {
                c.event(message.clone());
                self.events.push_back(Event::Output(*id));
            }
        }
    }

    /// Removes a port and tells the controllers.
    pub fn remove_port(&mut self, of: OfPort) -> Option<Port> {
        let port = self.ports.remove(&of)?;
        Counter::OfprotoUpdatePort.hit();
        self.numbers.give(of);
        crate::packet_in::forget_patch(self.shared.id, of);
        let status = PortStatus { reason: PortReason::Delete, desc: port.desc() };
        self.broadcast(AsyncKind::PortStatus, PortReason::Delete as u8, &Message::PortStatus(status));
        Some(port)
    }

    /// A port by name.
    pub fn port_by_name(&self, name: &str) -> Option<&Port> {
        self.ports.values().find(|p| p.name == name)
    }

    /// Removes rules whose time is over. Call about once a second.
    pub fn expire(&mut self, now: Instant) {
        if self.tables.has_expiring() {
            self.sync_counters(now);
            let mut change = self.tables.begin();
            self.tables.expire(&mut change, now);
            self.commit(change, None, now);
        }
        self.tables.rest();
        self.expire_bundles(now);
        let expired = self.shared.macs().expire(now);
        if expired > 0 {
            Counter::MacExpired.add(expired as u64);
            self.upcalls.changed(Reason::MacLearning);
        }
    }

    /// Removes all flows that controllers made; with no controller and no fail-secure, the switch then learns by itself.
    pub fn flush_flows(&mut self, standalone: bool, now: Instant) {
        Counter::OfprotoFlush.hit();
        let mut change = self.tables.begin();
        self.tables.flush(&mut change);
        self.commit(change, None, now);
        if standalone {
            self.add_default_flow(now);
        }
        self.tables_changed();
    }

    /// The flow of a switch without controllers: everything as a learning switch does it.
    pub fn add_default_flow(&mut self, now: Instant) {
        let fm = openflow::message::FlowMod {
            table: TableId(0),
            priority: 0,
            matching: MiniMatch::new(&Match::any()),
            actions: vec![Action::Output { port: OfPort::NORMAL, max_len: 0 }],
            ..Default::default()
        };
        let mut change = self.tables.begin();
        match self.tables.stage(&mut change, &fm, now) {
            Ok(()) => self.commit(change, None, now),
            Err(e) => {
                self.tables.rollback(change);
                vlog_rl!((5, 5), Module::Ofproto, Level::Err, "{}: failed to add the default flow ({e})", self.name);
            }
        }
    }

    /// Whether packets that no rule matches go to controllers: some controller speaks a version in which that is the
    /// default (OpenFlow before 1.3) and wants them.
    pub fn miss_to_controller(&self) -> bool {
        self.conns.values().any(wants_misses)
    }

    /// Sends packets to a connection whose time has come.
    pub fn release_packets(&mut self, id: ConnId, now: Instant) {
        if let Some(c) = self.conns.get_mut(&id) {
            c.release_packets(now);
        }
    }

    /// When [`Bridge::release_packets`] has something to do for a connection.
    pub fn conn_deadline(&self, id: ConnId) -> Option<Instant> {
        self.conns.get(&id)?.next_deadline()
    }

    /// What the database says of a connection.
    pub fn configure_conn(&mut self, id: ConnId, class: Class, rate: Option<RateLimit>, quiet: bool, now: Instant) {
        if let Some(c) = self.conns.get_mut(&id) {
            c.class = class;
            c.limit_packets(rate, now);
            c.quiet = quiet;
        }
    }

    /// A packet for the controllers.
    pub fn packet_in(&mut self, to: &ToControllers, now: Instant) {
        let message = to.message();
        let reason = to.what.reason;
        let wire_reason = |version| match reason {
            // Before OpenFlow 1.3 a flow that all packets meet is a flow like others.
            PacketInReason::ExplicitMiss if version < Version::V13 => PacketInReason::Action.number(),
            PacketInReason::ExplicitMiss | PacketInReason::ImplicitMiss => PacketInReason::NoMatch.number(),
            r => r.number(),
        };
        for (id, c) in &mut self.conns {
            let Some(version) = c.version() else { continue };
            if reason == PacketInReason::ImplicitMiss && !wants_misses(c) {
                continue;
            }
            if c.controller_id != to.what.controller_id || !c.wants(AsyncKind::PacketIn, wire_reason(version)) {
                continue;
            }
            let mut message = message.clone();
            if c.packet_in_format == PacketInFormat::Nxt2 {
                message.continuation = to.continuation.as_ref().map(|c| c.encode(version));
            }
            c.packet_in(message, now);
            self.events.push_back(Event::Output(*id));
        }
    }
}

fn wants_misses(c: &Conn) -> bool {
    let old = c.version().is_some_and(|v| v < Version::V13);
    old && c.controller_id == 0 && c.wants(AsyncKind::PacketIn, PacketInReason::NoMatch.number())
}

/// Flows of the switch's own table: what recirculates without state is dropped, and table misses that were sent there by
/// register 0 go to the controller or are dropped.
fn internal_flows(tables: &mut FlowTables, now: Instant) {
    let with_reg0 = |value: u32| {
        let mut m = Match::any();
        m.set(flow::Field::REG0, value.into());
        MiniMatch::new(&m)
    };
    let to_controller = Action::Controller(Box::new(openflow::action::Controller {
        max_len: u16::MAX,
        controller_id: 0,
        reason: PacketInReason::ImplicitMiss,
        userdata: Box::default(),
        pause: false,
        meter_id: 0,
        form2: false,
    }));
    let mut not_recirculated = Match::any();
    not_recirculated.set(flow::Field::RECIRC_ID, 0);
    tables.add_hidden(INTERNAL_TABLE, 2, MiniMatch::new(&not_recirculated), vec![], now);
    tables.add_hidden(INTERNAL_TABLE, 0, with_reg0(translate::INTERNAL_MISS), vec![to_controller], now);
    tables.add_hidden(INTERNAL_TABLE, 0, with_reg0(translate::INTERNAL_DROP), vec![], now);
    tables.add_hidden(INTERNAL_TABLE, 0, with_reg0(translate::INTERNAL_FRAGMENT), vec![], now);
}

/// Seconds since a rule was used.
pub(crate) fn idle_age(rule: &translate::Rule, now: Instant) -> u16 {
    u16::try_from(now.since(last_used(rule)).as_secs()).unwrap_or(u16::MAX)
}
