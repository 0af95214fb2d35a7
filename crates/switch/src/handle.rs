//! Obeys OpenFlow requests, one message kind after the other.

use crate::bridge::{Bridge, Event};
use crate::change::{Change, Done};
use crate::conn::{ConnId, Request};
use crate::flow_mod::{Selection, any_action, wants_flow_removed};
use crate::{N_TABLES, group_mod};
use clock::Instant;
use datapath::Execute;
use flow::{FlowKey, OfPort};
use io::vlog::{Level, Module};
use io::vlog_rl;
use openflow::action::Action;
use openflow::message::flows::FF_RESET_COUNTS;
use openflow::message::ports::{PC_NO_FLOOD, PC_NO_FWD, PC_NO_PACKET_IN, PC_NO_RECV, PC_PORT_DOWN};
use openflow::message::{
    AsyncKind, ControllerRole, Features, FlowMod, FlowRemovedReason, GroupMod, PacketOut, PortMod, RequestForward,
    Role, RoleStatus, SwitchConfig,
};
use openflow::message::{
    CAP_ARP_MATCH_IP, CAP_BUNDLES, CAP_FLOW_STATS, CAP_GROUP_STATS, CAP_PORT_STATS, CAP_QUEUE_STATS, CAP_TABLE_STATS,
};
use openflow::{Error, GroupId, Message, TableId, Version, Xid};
use translate::{Effect, Request as Translation, Start};

/// Who asked for a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub conn: ConnId,
    pub xid: Xid,
    pub version: Version,
}

/// Fragment bits of the configuration flags.
const FRAG_MASK: u16 = 3;
/// `OFPCRR_PRIMARY_REQUEST`: another controller became the primary one.
const ROLE_PRIMARY_REQUEST: u8 = 0;
/// `OFPC_INVALID_TTL_TO_CONTROLLER`
const INVALID_TTL: u16 = 4;

impl Bridge {
    pub(crate) fn request(&mut self, id: ConnId, request: Request, now: Instant) {
        let Request { version, xid, raw, message } = request;
        if let Some(c) = self.conns.get_mut(&id) {
            c.finish_dump();
        }
        let result = match message {
            Ok(m) => self.obey(Origin { conn: id, xid, version }, m, &raw, now),
            Err(e) => Err(e),
        };
        if let Err(error) = result
            && let Some(c) = self.conns.get_mut(&id)
        {
            vlog_rl!(
                (10, 10),
                Module::Connmgr,
                Level::Info,
                "{}: sending {error} error reply to {} message",
                c.name,
                openflow::message_name(&raw)
            );
            c.send_error(error, &raw);
        }
    }

    fn obey(&mut self, origin: Origin, m: Message, raw: &[u8], now: Instant) -> Result<(), Error> {
        let Origin { conn: id, xid, version } = origin;
        if let Some(c) = self.conns.get(&id)
            && c.role == ControllerRole::Secondary
            && changes_state(&m)
        {
            return Err(Error::BadRequestIsSecondary);
        }
        match m {
            Message::FlowMod(fm) => return self.flow_mod(&fm, origin, now),
            Message::GroupMod(gm) => return self.group_mod(gm, origin, now),
            Message::BundleControl(control) => return self.bundle_control(id, origin, control, raw, now),
            Message::BundleAdd(add) => return self.bundle_add(id, add, raw, now),
            Message::FlowMonitorRequest(list) => return self.flow_monitor(id, xid, &list),
            Message::FlowMonitorCancel(monitor) => return self.flow_monitor_cancel(id, monitor),
            Message::TlvTableMod(tm) => return self.tlv_table_mod(&tm),
            // There are no tracked connections in this datapath: all that could be removed is gone.
            Message::CtFlushZone(_) | Message::CtFlush(_) => {}
            Message::MeterMod(mm) => return self.meter_mod(mm, origin, now),
            Message::Resume(p) => return self.resume(&p, version, now),
            Message::TableMod(tm) => return self.table_mod(&tm, version, now),
            Message::PortMod(pm) => return self.port_mod(&pm),
            Message::PacketOut(po) => return self.packet_out(&po, now),
            Message::BarrierRequest => self.reply(id, xid, Message::BarrierReply),
            Message::FeaturesRequest => {
                let features = self.features(version);
                self.reply(id, xid, Message::FeaturesReply(features));
            }
            Message::GetConfigRequest => {
                let c = self.conns.get(&id);
                let ttl = if c.is_some_and(|c| c.invalid_ttl_to_controller) { INVALID_TTL } else { 0 };
                let config = SwitchConfig { flags: self.frags | ttl, miss_send_len: c.map_or(0, |c| c.miss_send_len) };
                self.reply(id, xid, Message::GetConfigReply(config));
            }
            Message::SetConfig(config) => self.set_config(id, version, config)?,
            Message::RoleRequest(role) => self.role_request(id, xid, role)?,
            other => return self.session_request(id, xid, other, now),
        }
        Ok(())
    }

    /// Requests that change only how the switch talks to this connection; the rest is statistics.
    fn session_request(&mut self, id: ConnId, xid: Xid, m: Message, now: Instant) -> Result<(), Error> {
        let Some(c) = self.conns.get_mut(&id) else { return Ok(()) };
        match m {
            Message::SetPacketInFormat(f) => c.packet_in_format = f,
            Message::SetControllerId(n) => c.controller_id = n,
            Message::FlowModTableId(on) => c.flow_mod_table_id = on,
            // Every form of flow description is understood at any time.
            Message::SetFlowFormat(_) | Message::FlowAge => {}
            Message::SetAsync(config) => {
                let mut merged = c.asynchronous.unwrap_or(config);
                for (old, new) in merged.masks.iter_mut().flatten().zip(config.masks.iter().flatten()) {
                    if new.is_some() {
                        *old = *new;
                    }
                }
                c.asynchronous = Some(merged);
                // Who asks for table misses wants the packets, too (before OpenFlow 1.3 by miss_send_len alone).
                if c.miss_send_len == 0 {
                    c.miss_send_len = 128;
                }
            }
            Message::GetAsyncRequest => {
                let config = c.async_config();
                c.reply(xid, Message::GetAsyncReply(config));
            }
            other => return self.statistics(id, xid, other, now),
        }
        Ok(())
    }

    fn features(&self, version: Version) -> Features {
        let mut capabilities = CAP_FLOW_STATS | CAP_TABLE_STATS | CAP_PORT_STATS | CAP_QUEUE_STATS;
        capabilities |= if version == Version::V10 { CAP_ARP_MATCH_IP } else { CAP_GROUP_STATS };
        if version >= Version::V14 {
            capabilities |= CAP_BUNDLES;
        }
        Features {
            datapath_id: self.datapath_id,
            n_buffers: 0,
            n_tables: N_TABLES - 1,
            auxiliary_id: 0,
            capabilities,
            // OpenFlow 1.0: bit N says that action N of the wire is offered, 0 (output) to 11 (enqueue).
            actions: if version == Version::V10 { 0xfff } else { 0 },
            ports: self.port_descs(flow::OfPort::ANY),
        }
    }

    fn set_config(&mut self, id: ConnId, version: Version, config: SwitchConfig) -> Result<(), Error> {
        const FRAG_REASM: u16 = 2;
        let known = FRAG_MASK | if version < Version::V13 { INVALID_TTL } else { 0 };
        if config.flags & !known != 0 {
            return Err(Error::SwitchConfigFailedBadFlags);
        }
        if let Some(c) = self.conns.get_mut(&id) {
            c.miss_send_len = config.miss_send_len;
            c.invalid_ttl_to_controller = version < Version::V13 && config.flags & INVALID_TTL != 0;
            if c.role == ControllerRole::Secondary {
                return Ok(());
            }
        }
        let frags = config.flags & FRAG_MASK;
        if frags == FRAG_REASM {
            vlog_rl!((5, 5), Module::Ofproto, Level::Warn, "{}: reassembling fragments is not supported", self.name);
        } else if frags != self.frags {
            self.frags = frags;
            self.events.push_back(Event::Settings);
        }
        Ok(())
    }

    fn role_request(&mut self, id: ConnId, xid: Xid, role: Role) -> Result<(), Error> {
        if let Some(g) = role.generation_id
            && matches!(role.role, ControllerRole::Primary | ControllerRole::Secondary)
        {
            // OpenFlow 1.3.5 §6.3.4: the distance is a signed number, so that the count may wrap.
            if self.generation_id.is_some_and(|known| (g.wrapping_sub(known) as i64) < 0) {
                return Err(Error::RoleRequestFailedStale);
            }
            self.generation_id = Some(g);
        }
        if role.role == ControllerRole::Primary {
            for (other, c) in &mut self.conns {
                if *other != id && c.role == ControllerRole::Primary {
                    // OpenFlow 1.4 §7.4.4: who loses the role is told so.
                    if c.wants(AsyncKind::RoleStatus, ROLE_PRIMARY_REQUEST) && c.version() >= Some(Version::V13) {
                        let generation_id = self.generation_id.unwrap_or(u64::MAX);
                        let status =
                            RoleStatus { role: ControllerRole::Secondary, reason: ROLE_PRIMARY_REQUEST, generation_id };
                        c.event(Message::RoleStatus(status));
                        self.events.push_back(Event::Output(*other));
                    }
                    c.role = ControllerRole::Secondary;
                }
            }
        }
        let generation_id = self.generation_id;
        let Some(c) = self.conns.get_mut(&id) else { return Ok(()) };
        if role.role != ControllerRole::NoChange {
            c.role = role.role;
        }
        let answer = Role { role: c.role, generation_id: generation_id.or(Some(u64::MAX)), nicira: role.nicira };
        c.reply(xid, Message::RoleReply(answer));
        Ok(())
    }

    /// Checks what only the switch knows about actions: that groups and meters exist.
    fn check_actions(&self, actions: &[Action], change: &Change) -> Result<(), Error> {
        if any_action(actions, &|a| matches!(a, Action::Group(g) if !change.has_group(&self.shared, *g))) {
            return Err(Error::BadActionBadOutGroup);
        }
        if any_action(actions, &|a| matches!(a, Action::Meter(m) if !self.meters.contains_key(m))) {
            return Err(Error::MeterModFailedInvalidMeter);
        }
        self.check_tunnel_actions(actions)
    }

    fn flow_mod(&mut self, fm: &FlowMod, origin: Origin, now: Instant) -> Result<(), Error> {
        let mut change = self.tables.begin();
        if let Err(e) = self.stage_flow_mod(&mut change, fm, origin.version, now) {
            self.tables.rollback(change);
            return Err(e);
        }
        self.commit(change, Some(origin), now);
        Ok(())
    }

    /// Puts what a flow-mod asks for into a set of changes, which after an error must be rolled back.
    pub(crate) fn stage_flow_mod(
        &self,
        change: &mut Change,
        fm: &FlowMod,
        version: Version,
        now: Instant,
    ) -> Result<(), Error> {
        let adds = fm.command == openflow::message::FlowModCommand::Add;
        if fm.table == TableId::ALL && version > Version::V10 && adds {
            return Err(Error::FlowModFailedBadTableId);
        }
        self.check_tunnel_fields(&fm.matching)?;
        openflow::action::check(&fm.actions, &fm.matching, fm.table, version)?;
        self.check_actions(&fm.actions, change)?;
        // Before OpenFlow 1.2 there was no flag for it: an added flow always counted from zero.
        let implied = if version < Version::V12 && adds { FF_RESET_COUNTS } else { 0 };
        self.tables.stage_with_flags(change, fm, fm.flags | implied, now)
    }

    /// Lets packets see a set of changes, and tells whoever wants to be told.
    pub(crate) fn commit(&mut self, change: Change, origin: Option<Origin>, now: Instant) {
        if change.is_empty() {
            return;
        }
        // What is told about flows that went counts every packet.
        if change.done.iter().any(|d| matches!(d, Done::Removed(r, _) if wants_flow_removed(r))) {
            self.sync_counters(now);
        }
        let tables: Vec<u8> = change.grown().map(|(table, _)| table).collect();
        let done = self.tables.commit(change);
        self.tables_changed();
        self.tell_monitors(&done, origin);
        self.tell_removed(&done, now);
        self.tell_vacancy(&tables);
        self.delete_orphans(now);
    }

    /// A flow that a `learn` action made: as if a controller had sent it.
    pub fn learn(&mut self, flow: &translate::LearnedFlow, now: Instant) {
        let fm = FlowMod {
            table: flow.spec.table,
            priority: flow.spec.priority,
            matching: flow::MiniMatch::new(&flow.matching),
            new_cookie: flow.spec.cookie,
            idle_timeout: flow.spec.idle_timeout,
            hard_timeout: flow.spec.hard_timeout,
            flags: if flow.spec.send_flow_rem { openflow::message::flows::FF_SEND_FLOW_REM } else { 0 },
            actions: flow.actions.clone(),
            ..FlowMod::default()
        };
        let mut change = self.tables.begin();
        match self.tables.stage_learned(&mut change, &fm, flow.counters.clone(), now) {
            Ok(()) => self.commit(change, None, now),
            Err(e) => {
                self.tables.rollback(change);
                vlog_rl!((5, 5), Module::Ofproto, Level::Warn, "{}: learned flow refused ({e})", self.name);
            }
        }
    }

    fn group_mod(&mut self, gm: GroupMod, origin: Origin, now: Instant) -> Result<(), Error> {
        let mut change = self.tables.begin();
        if let Err(e) = self.stage_group_mod(&mut change, &gm, now) {
            self.tables.rollback(change);
            return Err(e);
        }
        self.commit(change, Some(origin), now);
        self.forward_request(origin, RequestForward::Group(gm));
        Ok(())
    }

    /// Puts what a group-mod asks for into a set of changes, which after an error must be rolled back.
    pub(crate) fn stage_group_mod(&self, change: &mut Change, gm: &GroupMod, now: Instant) -> Result<(), Error> {
        let matching = flow::MiniMatch::default();
        for group in group_mod::apply(change.groups_mut(&self.shared), gm, now)? {
            // OpenFlow 1.3.5 §6.4: flows that use a deleted group go with it.
            let users = Selection { out_group: group, ..Selection::all(&matching) };
            self.tables.delete(change, &users, FlowRemovedReason::GroupDelete);
        }
        Ok(())
    }

    /// Tells other controllers of a change that one of them made (OpenFlow 1.4 §7.4.6).
    pub(crate) fn forward_request(&mut self, origin: Origin, request: RequestForward) {
        let reason = u8::from(matches!(request, RequestForward::Meter(_)));
        let message = Message::RequestForward(request);
        for (id, c) in &mut self.conns {
            if *id != origin.conn && c.version().is_some() && c.wants(AsyncKind::RequestForward, reason) {
                c.event(message.clone());
                self.events.push_back(Event::Output(*id));
            }
        }
    }

    /// The port that a port-mod is about.
    pub(crate) fn check_port_mod(&self, pm: &PortMod) -> Result<&crate::port::Port, Error> {
        let port = self.ports.get(&pm.port).ok_or(Error::PortModFailedBadPort)?;
        if port.mac == pm.hw_addr { Ok(port) } else { Err(Error::PortModFailedBadHwAddr) }
    }

    pub(crate) fn port_mod(&mut self, pm: &PortMod) -> Result<(), Error> {
        const SETTABLE: u32 = PC_PORT_DOWN | PC_NO_RECV | PC_NO_FLOOD | PC_NO_FWD | PC_NO_PACKET_IN;
        let mut changed = self.check_port_mod(pm)?.clone();
        let mask = pm.mask & SETTABLE;
        changed.config = changed.config & !mask | pm.config & mask;
        if mask & PC_PORT_DOWN != 0 {
            let up = pm.config & PC_PORT_DOWN == 0;
            changed.admin_up = up;
            self.events.push_back(Event::PortAdmin { port: pm.port, up });
        }
        self.set_port(changed);
        self.events.push_back(Event::Port(pm.port));
        Ok(())
    }

    fn packet_out(&mut self, po: &PacketOut, now: Instant) -> Result<(), Error> {
        self.check_packet_out(po, &self.tables.begin())?;
        self.send_packet_out(po, now);
        Ok(())
    }

    /// Whether a packet may be sent, with the groups of a set of changes.
    pub(crate) fn check_packet_out(&self, po: &PacketOut, change: &Change) -> Result<(), Error> {
        if po.buffer_id != u32::MAX {
            return Err(Error::BadRequestBufferUnknown);
        }
        let in_port = po.in_port();
        if in_port.0 >= OfPort::MAX.0 && !matches!(in_port, OfPort::LOCAL | OfPort::NONE | OfPort::CONTROLLER) {
            return Err(Error::BadRequestBadPort);
        }
        self.check_actions(&po.actions, change)
    }

    pub(crate) fn send_packet_out(&mut self, po: &PacketOut, now: Instant) {
        let mut key = flow::extract(&po.packet, &flow::Metadata::default());
        for (word, value, mask) in po.metadata.iter() {
            key.set_word(word, key.word(word) & !mask | value);
        }
        key.set_in_port(po.in_port());
        self.run_packet(key, &po.packet, Start::Actions(&po.actions), now);
    }

    /// Sends a packet through the tables or a list of actions.
    pub(crate) fn run_packet(&mut self, key: FlowKey, packet: &[u8], start: Start<'_>, now: Instant) {
        let network = self.upcalls.network();
        let mut request = Translation::packet(self.shared.id, key, Some(packet), now);
        request.start = start;
        let xlate = translate::translate(&network, &request);
        self.upcalls.apply_effects(&network, &xlate.effects, now);
        crate::upcall::credit(&network, &xlate.credits, 1, packet.len() as u64, Some(now));
        for e in &xlate.effects {
            if let Effect::PacketIn(p) = e {
                self.packet_in(&crate::packet_in::ToControllers::new((**p).clone(), packet.to_vec()), now);
            }
        }
        let mut datapath_key = key;
        let dp = self.ports.get(&OfPort(key.in_port_raw())).and_then(|p| p.dp).unwrap_or(flow::DpPort::NONE);
        datapath_key.set_in_port_raw(dp.0);
        datapath_key.set_recirc_id(0);
        io::coverage::Counter::DpifExecute.hit();
        let execute = Execute { packet, key: &datapath_key, actions: &xlate.actions, probe: false };
        if let Err(e) = self.datapath.execute(execute) {
            vlog_rl!((10, 10), Module::Dpif, Level::Warn, "{}: packet-out failed ({e})", self.name);
        }
    }

    /// How many flows and groups use each group.
    pub(crate) fn group_references(&self) -> std::collections::HashMap<GroupId, u32> {
        let mut counts = std::collections::HashMap::new();
        let version = self.shared.versions.current().number();
        for table in &self.shared.tables {
            table.rules.for_each(version, |r| {
                any_action(&r.data.actions, &|a| matches!(a, Action::Group(_)))
                    .then(|| count_groups(&r.data.actions, &mut counts));
            });
        }
        counts
    }
}

fn count_groups(actions: &[Action], counts: &mut std::collections::HashMap<GroupId, u32>) {
    for a in actions {
        match a {
            Action::Group(g) => *counts.entry(*g).or_default() += 1,
            Action::WriteActions(inner) | Action::Clone(inner) => count_groups(inner, counts),
            _ => {}
        }
    }
}

/// Requests that a secondary controller may not send (OpenFlow 1.3.5 §6.3.4).
fn changes_state(m: &Message) -> bool {
    matches!(
        m,
        Message::FlowMod(_)
            | Message::GroupMod(_)
            | Message::PortMod(_)
            | Message::TableMod(_)
            | Message::MeterMod(_)
            | Message::PacketOut(_)
            | Message::BundleControl(_)
            | Message::BundleAdd(_)
            | Message::TlvTableMod(_)
            | Message::TableFeaturesRequest(_)
    )
}
