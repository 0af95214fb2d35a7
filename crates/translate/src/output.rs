//! Sending the packet somewhere.

use datapath::DpAction;
use flow::OfPort;
use openflow::action::{Action, Controller, PacketInReason};
use openflow::message::groups::GroupType;
use openflow::message::ports::{PC_NO_FLOOD, PC_NO_FWD};

use crate::frozen::FrozenState;
use crate::request::Credit;
use crate::trace::NodeKind;
use crate::view::{FromFlow, Port, StpState, Tunnel};
use crate::xlate::{Here, NormalOutput, Xlator};

impl Xlator<'_> {
    /// The output action: real and reserved ports.
    pub(crate) fn output(&mut self, port: OfPort, max_len: u16, truncate: Option<u32>) {
        let before = std::mem::replace(&mut self.truncate, truncate);
        let normal_before = self.normal;
        self.normal = NormalOutput::Drop;
        match port {
            OfPort::IN_PORT => self.send(self.key.in_port()),
            OfPort::TABLE => self.resubmit(openflow::TableId(0), self.key.in_port(), false, true),
            OfPort::NORMAL => self.normal(),
            OfPort::FLOOD => self.flood(false),
            OfPort::ALL => self.flood(true),
            OfPort::CONTROLLER => {
                let reason = match () {
                    () if self.in_packet_out && self.rule.is_none() => PacketInReason::PacketOut,
                    () if self.in_group => PacketInReason::Group,
                    () if self.in_action_set => PacketInReason::ActionSet,
                    () if self.is_miss_rule() => PacketInReason::ExplicitMiss,
                    () => PacketInReason::Action,
                };
                self.send_to_controller(max_len, reason, 0, &[], false);
            }
            OfPort::NONE => {}
            _ if port == self.key.in_port() => self.warning(|| "skipping output to input port".into()),
            _ => self.send(port),
        }
        if self.normal == NormalOutput::Drop {
            self.normal = normal_before;
        }
        self.truncate = before;
    }

    /// A rule of priority 0 that matches everything is a table-miss rule (OpenFlow 1.3 §5.4).
    fn is_miss_rule(&self) -> bool {
        self.rule.as_ref().is_some_and(|r| r.priority == 0 && r.matching.is_catchall())
    }

    /// Every port but the input, or only those that take part in flooding.
    fn flood(&mut self, all: bool) {
        let config = self.here.config.clone();
        let mut ports: Vec<&Port> = config.ports.values().collect();
        ports.sort_by_key(|p| (p.of != OfPort::LOCAL, p.bundle, p.of.0));
        for port in crate::port_order::sort_by_number(ports, |p| p.of) {
            if port.of != self.key.in_port() && (all || port.config & PC_NO_FLOOD == 0) {
                self.send(port.of);
            }
        }
        self.normal = NormalOutput::Flood;
    }

    /// Sends the packet as it is now by a port.
    pub(crate) fn send(&mut self, number: OfPort) {
        let config = self.here.config.clone();
        let Some(port) = config.ports.get(&number) else {
            self.warning(|| "Nonexistent output port".into());
            return;
        };
        if port.config & PC_NO_FWD != 0 {
            return self.detail(|| "OFPPC_NO_FWD set, skipping output".into());
        }
        if port.stp != StpState::Forwarding && !crate::special::is_stp(&self.key) {
            return self.detail(|| "STP not in forwarding state, skipping output".into());
        }
        let Some(dp) = port.dp else {
            // A patch port without its peer swallows what it is given.
            if let Some((bridge, peer)) = port.peer {
                self.cross(number, bridge, peer);
            }
            return;
        };
        if self.key.packet_type() != flow::PacketType::ETHERNET && port.tunnel.is_none() {
            return self
                .warning(|| "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.".into());
        }
        let priority = self.key.skb_priority();
        if port.tunnel.as_ref().is_some_and(|tunnel| !self.set_tunnel(tunnel)) {
            return;
        }
        // The length of an output is that of the packet before its headers change; a mirror's that of what it sends.
        if self.mirroring {
            self.commit();
        }
        if let Some(len) = self.truncate {
            self.out.actions.push(DpAction::Trunc(len));
        }
        self.commit();
        self.out.actions.push(DpAction::Output(dp));
        self.out.output = Some(number);
        self.normal = NormalOutput::Port(number);
        self.key.set_skb_priority(priority);
        self.mirror_egress(port.bundle);
    }

    /// Crosses a patch: the packet enters the other bridge with its registers cleared, and comes back as it left.
    fn cross(&mut self, number: OfPort, bridge: crate::view::BridgeId, peer: OfPort) {
        let Some(other) = self.net.bridges.get(&bridge) else {
            return self.warning(|| "Nonexistent output port".into());
        };
        if self.truncate.is_some() {
            return self.problem(|| format!("output_trunc does not support patch port {}", number.0));
        }
        let (mirrors_before, error_before) = (self.mirrors, self.out.error);
        let from = self.here.config.id;
        let saved = self.save();
        let here = std::mem::replace(&mut self.here, Here::of(other));
        let start = self.out.actions.len();
        self.out.credits.push(Credit::Patch { bridge: from, port: number, peer_bridge: bridge, peer });
        self.action_set.clear();
        self.stack.clear();
        self.clear_pipeline();
        self.key.set_in_port(peer);
        self.mirrors = 0;
        self.exit = false;
        let in_action_set = std::mem::replace(&mut self.in_action_set, false);
        let in_packet_out = std::mem::replace(&mut self.in_packet_out, false);
        let depth = std::mem::replace(&mut self.depth, 0);
        self.enter_bridge();
        if self.may_go_deeper() && self.admit() {
            self.mirror_ingress();
            self.nesting += 1;
            self.resubmit(openflow::TableId(0), peer, false, true);
            self.nesting -= 1;
            if self.freezing {
                self.finish_clone();
            }
        }
        self.leave();
        self.depth = depth;
        self.in_action_set = in_action_set;
        self.in_packet_out = in_packet_out;
        self.here = here;
        self.mirrors = mirrors_before;
        // Whatever ends the work of the other bridge does not end this bridge's.
        self.out.error = error_before;
        let base = self.base;
        self.restore(saved);
        self.keep_or_clone(start, base);
    }

    /// After work on a copy: leaves its actions in the list if the rest can undo them, else puts them into a clone.
    pub(crate) fn keep_or_clone(&mut self, start: usize, base: flow::FlowKey) {
        let plain = |a: &DpAction| {
            use DpAction::{Output, PopVlan, PushVlan, Set, Userspace};
            matches!(a, Output(_) | Set(_) | PushVlan { .. } | PopVlan | Userspace { .. })
        };
        if self.out.actions[start..].iter().all(plain) {
            self.base = base;
            return;
        }
        let body = self.out.actions.split_off(start);
        self.out.actions.push(DpAction::Clone(body.into()));
    }

    /// Fields that do not cross from bridge to bridge.
    fn clear_pipeline(&mut self) {
        self.key.set_metadata(0);
        for i in 10..26 {
            self.key.set_word(i, 0);
        }
        for i in 1..10 {
            self.key.set_word(i, 0);
        }
        self.key.set_actset_output(OfPort::UNSET);
    }

    /// Fills the tunnel fields from a tunnel port's configuration and sets them on the packet.
    fn set_tunnel(&mut self, tunnel: &Tunnel) -> bool {
        use std::net::IpAddr;
        let key = &mut self.key;
        let flows = |v: &FromFlow<IpAddr>| if let FromFlow::Fixed(a) = v { Some(*a) } else { None };
        match flows(&tunnel.remote) {
            Some(IpAddr::V4(a)) => key.set_tun_dst(a),
            Some(IpAddr::V6(a)) => key.set_tun_ipv6_dst(a),
            None => {}
        }
        match flows(&tunnel.local) {
            Some(IpAddr::V4(a)) => key.set_tun_src(a),
            Some(IpAddr::V6(a)) => key.set_tun_ipv6_src(a),
            None => {}
        }
        let mut flags = 0;
        match tunnel.out_key {
            Some(FromFlow::Fixed(k)) => {
                key.set_tun_id(k);
                flags |= flow::key::TUN_F_KEY;
            }
            Some(FromFlow::Flow) => flags |= flow::key::TUN_F_KEY,
            None => key.set_tun_id(0),
        }
        let ip = crate::fields::is_ip(key);
        let tos = match tunnel.tos {
            Some(FromFlow::Fixed(t)) => t & 0xfc,
            Some(FromFlow::Flow) if ip => {
                self.wc.set_nw_tos(self.wc.nw_tos() | 0xfc);
                key.nw_tos() & 0xfc
            }
            _ => 0,
        };
        let ecn = if ip {
            self.wc.set_nw_tos(self.wc.nw_tos() | 3);
            // RFC 6040 §4.1: congestion experienced inside becomes capable outside.
            if key.nw_tos() & 3 == 3 { 2 } else { key.nw_tos() & 3 }
        } else {
            0
        };
        key.set_tun_tos(tos | ecn);
        let ttl = match tunnel.ttl {
            FromFlow::Fixed(t) => t,
            FromFlow::Flow if ip => {
                self.wc.set_nw_ttl(0xff);
                key.nw_ttl()
            }
            FromFlow::Flow => 64,
        };
        key.set_tun_ttl(ttl);
        flags |= if tunnel.df { flow::key::TUN_F_DF } else { 0 } | if tunnel.csum { flow::key::TUN_F_CSUM } else { 0 };
        key.set_tun_flags(flags | key.tun_flags() & flow::key::TUN_F_OAM);
        key.set_tun_tp_dst(tunnel.dst_port);
        if key.tun_dst().is_unspecified() && key.tun_ipv6_dst().is_unspecified() {
            self.warning(|| "tunnel destination is not set, dropping".into());
            return false;
        }
        let mut mask = flow::FlowMask::ZERO;
        for i in 1..10 {
            mask.set_word(i, u64::MAX);
        }
        let set = datapath::Set::new(datapath::SetAttr::Tunnel, &self.key, &mask);
        self.out.actions.push(DpAction::Set(Box::new(set)));
        for i in 1..10 {
            self.base.set_word(i, self.key.word(i));
        }
        true
    }

    pub(crate) fn set_queue(&mut self, queue: u32) {
        self.wc.set_skb_priority(u32::MAX);
        let port = self.here.config.ports.values().find_map(|p| p.queues.get(&queue)).copied();
        match port {
            Some(priority) => self.key.set_skb_priority(priority),
            // Linux class 1:(queue+1), as the switch configures queues of the kernel.
            None if self.net.features.queue_classes => self.key.set_skb_priority(0x1_0000 | (queue + 1) & 0xffff),
            None => self.key.set_skb_priority(queue),
        }
    }

    pub(crate) fn enqueue(&mut self, port: OfPort, queue: u32) {
        let priority = self.key.skb_priority();
        self.set_queue(queue);
        let target = if port == OfPort::IN_PORT { self.key.in_port() } else { port };
        if port == self.key.in_port() && port != OfPort::IN_PORT {
            self.warning(|| "skipping output to input port".into());
        } else {
            self.send(target);
        }
        self.key.set_skb_priority(priority);
    }

    pub(crate) fn controller(&mut self, c: &Controller) {
        if c.pause {
            if self.req.packet.is_none() && self.recorder.is_some() {
                // A trace without a packet: there is nothing to be resumed. What the flow does is another matter.
                self.exit = true;
                return;
            }
            self.paused = Some(Box::new(c.clone()));
            self.freeze();
            return;
        }
        let reason = if self.is_miss_rule() && c.reason == PacketInReason::Action {
            PacketInReason::ExplicitMiss
        } else {
            c.reason
        };
        self.controller_meter = c.meter_id;
        self.send_to_controller(c.max_len, reason, c.controller_id, &c.userdata, false);
        self.controller_meter = 0;
    }

    /// Sends the packet as it is now to the controllers; particulars wait in a frozen state.
    pub(crate) fn send_to_controller(
        &mut self,
        max_len: u16,
        reason: PacketInReason,
        id: u16,
        userdata: &[u8],
        pause: bool,
    ) {
        self.commit();
        let state =
            FrozenState { userdata: userdata.to_vec(), paused: pause, ..self.state(Some(self.table), Vec::new()) };
        let state = FrozenState { stack: Vec::new(), action_set: Vec::new(), ..state };
        let recirc = self.freeze_id(state);
        self.put_controller(recirc, max_len, reason, id, pause);
    }

    /// The first live member, or the one that the hash picks.
    pub(crate) fn bundle(&mut self, b: &openflow::action::Bundle) {
        let members: Vec<OfPort> = b.members.to_vec();
        let live = |x: &Self, p: OfPort| x.here.config.ports.get(&p).is_some_and(|p| p.up);
        let chosen = if b.hrw {
            let hash = crate::hash::fields(&self.key, &mut self.wc, b.fields, b.basis.into());
            let weight = |i: usize| flow::mini::finish_hash(flow::mini::mix(hash.into(), i as u64));
            (0..members.len()).filter(|&i| live(self, members[i])).max_by_key(|&i| weight(i)).map(|i| members[i])
        } else {
            members.iter().copied().find(|&p| live(self, p))
        };
        let port = chosen.unwrap_or(OfPort::NONE);
        match &b.dst {
            Some(dst) => {
                crate::fields::look(&mut self.wc, dst);
                crate::fields::put(&mut self.key, dst, port.0.into());
                self.report_subfield(dst);
            }
            None => self.output(port, 0, None),
        }
    }

    pub(crate) fn multipath(&mut self, m: &openflow::action::Multipath) {
        let hash = crate::hash::fields(&self.key, &mut self.wc, m.fields, m.basis.into());
        let link = crate::hash::link(m.algorithm, hash, u32::from(m.max_link) + 1, m.arg);
        crate::fields::look(&mut self.wc, &m.dst);
        crate::fields::put(&mut self.key, &m.dst, link.into());
        self.report_subfield(&m.dst);
    }

    /// A group's bucket: its actions are an action set done on the packet as it is; the packet stays as it was.
    pub(crate) fn bucket(&mut self, group: &std::sync::Arc<crate::view::Group>, index: usize, last: bool) {
        let Some(bucket) = group.buckets.get(index) else { return };
        if !self.may_go_deeper() {
            return;
        }
        if matches!(group.ty, GroupType::Select | GroupType::FastFailover) {
            self.detail(|| format!("using bucket {}", bucket.desc.id));
        }
        self.enter(NodeKind::Bucket, || format!("bucket {}", bucket.desc.id));
        self.out.credits.push(Credit::Group(group.clone(), Some(index)));
        let list: Vec<Action> = crate::action_set::in_order(&bucket.desc.actions);
        let start = self.out.actions.len();
        let saved = self.save();
        let in_group = std::mem::replace(&mut self.in_group, true);
        self.action_set.clear();
        self.deeper(|this| this.actions(&list, last));
        if self.freezing {
            self.finish_clone();
        }
        self.in_group = in_group;
        let base = self.base;
        self.restore(saved);
        if last {
            self.base = base;
        } else {
            self.keep_or_clone(start, base);
        }
        self.leave();
    }
}
