//! What each action does to the key and to the packet.

use datapath::DpAction;
use flow::key::VLAN_CFI;
use flow::{Field, OfPort, PacketType};
use openflow::TableId;
use openflow::action::{Action, PacketInReason, SetField};
use wire::EthAddr;
use wire::layers::{ethertype, ip_proto, is_mpls};

use crate::fields::{self, get, has_prerequisites, is_ip, is_vlan, look, look_bits, ones, put, write};
use crate::request::{Effect, XlateError};
use crate::trace::NodeKind;
use crate::xlate::Xlator;

impl Xlator<'_> {
    /// Does a list of actions. `last`: nothing follows, so that the packet need not be kept.
    pub(crate) fn actions(&mut self, actions: &[Action], last: bool) {
        for (i, action) in actions.iter().enumerate() {
            if self.exit {
                self.keep_rest(&actions[i..]);
                return;
            }
            if self.needs_inside(action) && !self.freezing {
                // What is behind a popped MPLS label was not extracted: the packet has to come again.
                self.freeze();
                self.keep_rest(&actions[i..]);
                return;
            }
            self.note_action(action);
            if let Action::CheckPktLarger { dst, len } = action {
                return self.check_packet_larger(dst, *len, &actions[i + 1..], last);
            }
            let final_one = last && i + 1 == actions.len();
            self.action(action, final_one);
            if self.exit && self.freezing {
                let again =
                    matches!(action, Action::Group(_)) && self.paused.is_none() && self.frozen_actions.is_empty();
                self.keep_rest(&actions[if again { i } else { i + 1 }..]);
                return;
            }
        }
    }

    /// When translation freezes, each level adds what it has left, innermost first.
    fn keep_rest(&mut self, rest: &[Action]) {
        if !self.freezing {
            return;
        }
        self.frozen_by = self.cookie;
        if rest.is_empty() {
            return;
        }
        self.frozen_actions.push(Action::UnrollXlate { table: self.table, cookie: self.cookie });
        for action in rest {
            match action {
                // A table number is relative to where the action stands.
                Action::Resubmit(r) if r.table == TableId::ALL => {
                    let mut fixed = *r;
                    fixed.table = self.table;
                    self.frozen_actions.push(Action::Resubmit(fixed));
                }
                other => self.frozen_actions.push(other.clone()),
            }
        }
    }

    /// Whether an action needs headers behind an MPLS stack that an earlier action removed.
    fn needs_inside(&self, action: &Action) -> bool {
        self.was_mpls
            && !is_mpls(self.key.eth_type())
            && match action {
                Action::Output { .. }
                | Action::Controller(_)
                | Action::Group(_)
                | Action::Note(_)
                | Action::Exit
                | Action::PushVlan(_)
                | Action::StripVlan { .. }
                | Action::SetVlanVid { .. }
                | Action::SetVlanPcp { .. }
                | Action::SetEthSrc(_)
                | Action::SetEthDst(_)
                | Action::SetQueue(_)
                | Action::PopQueue
                | Action::SetTunnel { .. }
                | Action::StackPush(_)
                | Action::StackPop(_)
                | Action::WriteActions(_)
                | Action::ClearActions
                | Action::WriteMetadata(_)
                | Action::Meter(_)
                | Action::UnrollXlate { .. }
                | Action::PushMpls(_) => false,
                Action::SetField(f) => f.field.def().word >= 44 && f.field.def().word < 58,
                Action::Move(m) => [m.src.field, m.dst.field].iter().any(|f| (44..58).contains(&f.def().word)),
                _ => true,
            }
    }

    fn action(&mut self, action: &Action, last: bool) {
        match action {
            Action::Output { port, max_len } => self.output(*port, *max_len, None),
            Action::OutputReg { src, max_len, .. } => {
                let port = get(&self.key, src);
                self.detail(|| format!("output port is {port}"));
                look(&mut self.wc, src);
                match u16::try_from(port) {
                    Ok(port) if u32::from(port) < OfPort::MAX.0 || OfPort(port.into()).reserved_name().is_some() => {
                        self.output(OfPort(port.into()), *max_len, None);
                    }
                    _ => self.warning(|| "Nonexistent output port".into()),
                }
            }
            Action::OutputTrunc { port, max_len } => self.output(*port, u16::MAX, Some(*max_len)),
            Action::Controller(c) => self.controller(c),
            Action::Enqueue { port, queue } => self.enqueue(*port, *queue),
            Action::Bundle(b) => self.bundle(b),
            Action::Group(id) => self.group(*id, last),
            Action::Multipath(m) => self.multipath(m),
            Action::Resubmit(r) => self.resubmit_action(r),
            Action::GotoTable(table) => {
                if self.table.0 < table.0 || self.in_packet_out {
                    self.resubmit(*table, self.key.in_port(), false, true);
                }
            }
            Action::WriteActions(set) => {
                self.action_set.extend(set.iter().cloned());
                self.note_set_output();
                self.report_action_set("is");
            }
            Action::ClearActions => {
                self.report_action_set("was");
                self.action_set.clear();
                self.note_set_output();
            }
            Action::WriteMetadata(m) => {
                let value = self.key.metadata() & !m.mask | m.value & m.mask;
                self.key.set_metadata(value);
            }
            Action::Exit => self.exit = true,
            Action::Learn(spec) => self.learn(spec),
            Action::Conjunction { id, .. } => {
                let id = *id;
                self.detail(|| format!("conjunction id {id}, ignored outside a conjunctive match"));
            }
            Action::Meter(id) => self.meter(*id),
            Action::Clone(inner) => self.clone_action(inner, last),
            Action::Ct(ct) => self.ct(ct, last),
            Action::CtClear => {
                self.ct_clear();
                if self.conntracked || self.req.key.ct_state() != 0 {
                    self.conntracked = false;
                    self.out.actions.push(DpAction::CtClear);
                }
            }
            Action::Nat(_) | Action::Note(_) => {}
            Action::Sample(s) => self.sample(s),
            Action::FinTimeout { idle, hard } => self.fin_timeout(*idle, *hard),
            Action::UnrollXlate { table, cookie } => {
                self.table = *table;
                self.cookie = *cookie;
            }
            Action::DebugSlow => self.out.slow = self.out.slow.with(datapath::SlowReason::DEBUG),
            Action::DebugRecirc => {
                self.freeze();
            }
            _ => self.header_action(action),
        }
    }

    /// Actions that change fields of the packet.
    fn header_action(&mut self, action: &Action) {
        match action {
            Action::SetVlanVid { vid, push_if_needed, .. } => self.set_vlan(*vid, 0x0fff, *push_if_needed),
            Action::SetVlanPcp { pcp, push_if_needed, .. } => {
                self.set_vlan(u16::from(*pcp) << 13, 0xe000, *push_if_needed)
            }
            Action::StripVlan { .. } => {
                self.wc.set_vlan_tci(0, self.wc.vlan_tci(0) | VLAN_CFI);
                fields::pop_vlan(&mut self.key, &mut self.wc);
            }
            Action::PushVlan(tpid) => {
                fields::push_vlan(&mut self.key, &self.base, &mut self.wc);
                self.key.set_vlan_tpid(0, *tpid);
                self.key.set_vlan_tci(0, VLAN_CFI);
            }
            Action::SetEthSrc(mac) => self.set_mac(Field::ETH_SRC, *mac),
            Action::SetEthDst(mac) => self.set_mac(Field::ETH_DST, *mac),
            Action::SetIpv4Src(a) => self.set_if(Field::IP_SRC, a.to_bits().into()),
            Action::SetIpv4Dst(a) => self.set_if(Field::IP_DST, a.to_bits().into()),
            Action::SetIpDscp(tos) => self.set_if(Field::IP_DSCP, u128::from(*tos >> 2)),
            Action::SetIpEcn(ecn) => self.set_if(Field::NW_ECN, (*ecn).into()),
            Action::SetIpTtl(ttl) => self.set_if(Field::NW_TTL, (*ttl).into()),
            Action::SetL4Src { port, .. } => self.set_port(true, *port),
            Action::SetL4Dst { port, .. } => self.set_port(false, *port),
            Action::SetField(f) => self.set_field(f),
            Action::Move(m) => {
                if has_prerequisites(&self.key, &mut self.wc, m.src.field)
                    && has_prerequisites(&self.key, &mut self.wc, m.dst.field)
                {
                    look(&mut self.wc, &m.src);
                    look(&mut self.wc, &m.dst);
                    let value = get(&self.key, &m.src);
                    put(&mut self.key, &m.dst, value);
                    self.report_subfield(&m.dst);
                }
            }
            Action::StackPush(src) => {
                look(&mut self.wc, src);
                let value = get(&self.key, src);
                let len = usize::from(src.n_bits).div_ceil(8);
                self.stack.push(value.to_be_bytes()[16 - len.min(16)..].to_vec());
            }
            Action::StackPop(dst) => match self.stack.pop() {
                Some(bytes) => {
                    let value = bytes.iter().fold(0u128, |v, &b| v << 8 | u128::from(b));
                    look(&mut self.wc, dst);
                    put(&mut self.key, dst, value & ones(dst.n_bits));
                    self.report_subfield(dst);
                }
                None => self.problem(|| "stack underflow".into()),
            },
            Action::DeleteField(field) => {
                self.key.set(*field, 0);
                look_bits(&mut self.wc, *field, u128::MAX);
            }
            Action::SetTunnel { id, .. } => {
                self.key.set_tun_id(*id);
                self.key.set_tun_flags(self.key.tun_flags() | flow::key::TUN_F_KEY);
            }
            Action::SetQueue(queue) => self.set_queue(*queue),
            Action::PopQueue => {
                self.wc.set_skb_priority(u32::MAX);
                let priority = self.orig_skb_priority;
                if self.key.skb_priority() != priority {
                    self.key.set_skb_priority(priority);
                    self.detail(|| if priority == 0 { "queue = 0".into() } else { format!("queue = {priority:#x}") });
                }
            }
            Action::DecTtl { ids, .. } => self.dec_ttl(ids),
            _ => self.label_action(action),
        }
    }

    /// MPLS, and headers that are put around the packet.
    fn label_action(&mut self, action: &Action) {
        match action {
            Action::SetMplsLabel(label) => self.set_mpls(12, 20, *label),
            Action::SetMplsTc(tc) => self.set_mpls(9, 3, (*tc).into()),
            Action::SetMplsTtl(ttl) => self.set_mpls(0, 8, (*ttl).into()),
            Action::DecMplsTtl => self.dec_mpls_ttl(),
            Action::PushMpls(ty) => self.push_mpls(*ty),
            Action::PopMpls(ty) => self.pop_mpls(*ty),
            Action::DecNshTtl => self.dec_nsh_ttl(),
            Action::Encap(e) => self.encap(e),
            Action::Decap(ty) => self.decap(*ty),
            _ => {}
        }
    }

    /// Where the action set would send the packet, as a field (OpenFlow 1.5 §7.2.3.7).
    fn note_set_output(&mut self) {
        let group = self.action_set.iter().any(|a| matches!(a, Action::Group(_)));
        let port = self.action_set.iter().rev().find_map(|a| match a {
            Action::Output { port, .. } => Some(*port),
            _ => None,
        });
        self.key.set_actset_output(port.filter(|_| !group).unwrap_or(OfPort::UNSET));
    }

    pub(crate) fn note_action(&mut self, action: &Action) {
        if let Some(recorder) = &mut self.recorder {
            let text = recorder.describe.actions(&self.here.config, std::slice::from_ref(action));
            recorder.add(NodeKind::Action, text);
        }
    }

    /// What the action set `is` or `was`.
    fn report_action_set(&mut self, verb: &str) {
        if let Some(recorder) = &mut self.recorder {
            let set = crate::action_set::in_order(&self.action_set);
            let text = if set.is_empty() {
                format!("action set {verb} empty")
            } else {
                format!("action set {verb}: {}", recorder.describe.numbered_actions(&self.here.config, &set))
            };
            recorder.add(NodeKind::Detail, text);
        }
    }

    pub(crate) fn report_subfield(&mut self, dst: &flow::Subfield) {
        if self.recorder.is_none() {
            return;
        }
        let value = get(&self.key, dst);
        let def = dst.field.def();
        let name = def.numbers.first().map_or(def.name, |n| n.name);
        let range = if dst.n_bits == def.bits {
            "[]".to_owned()
        } else if dst.n_bits == 1 {
            format!("[{}]", dst.ofs)
        } else {
            format!("[{}..{}]", dst.ofs, dst.ofs + dst.n_bits - 1)
        };
        let whole = self.key.get(dst.field);
        let text = match value {
            _ if dst.n_bits == def.bits => field_text(dst.field, whole),
            0 => "0".to_owned(),
            value => format!("{value:#x}"),
        };
        self.detail(|| format!("{name}{range} is now {text}"));
    }

    fn set_mac(&mut self, field: Field, mac: EthAddr) {
        if self.key.packet_type() == PacketType::ETHERNET {
            look_bits(&mut self.wc, field, u128::MAX);
            self.key.set(field, mac.to_u64().into());
        }
    }

    /// Sets a whole field of packets that have it.
    fn set_if(&mut self, field: Field, value: u128) {
        if has_prerequisites(&self.key, &mut self.wc, field) {
            look_bits(&mut self.wc, field, ones(field.def().bits));
            self.look_at_protocol(field);
            write(&mut self.key, field, value, ones(field.def().bits));
        }
    }

    /// Whether a network header can be written to depends on what it says it carries.
    fn look_at_protocol(&mut self, field: Field) {
        let word = field.def().word;
        if (44..50).contains(&word) || matches!(field, Field::ARP_SHA | Field::ARP_THA) {
            self.wc.set_nw_proto(0xff);
        }
    }

    fn set_port(&mut self, source: bool, port: u16) {
        if !is_ip(&self.key) || self.key.nw_frag() & flow::key::FRAG_LATER != 0 {
            return;
        }
        self.wc.set_nw_proto(0xff);
        if !matches!(self.key.nw_proto(), ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP) {
            return;
        }
        if source {
            self.wc.set_tp_src(0xffff);
            self.key.set_tp_src(port);
        } else {
            self.wc.set_tp_dst(0xffff);
            self.key.set_tp_dst(port);
        }
    }

    fn set_vlan(&mut self, bits: u16, mask: u16, push: bool) {
        self.wc.set_vlan_tci(0, self.wc.vlan_tci(0) | mask | VLAN_CFI);
        let tagged = self.key.vlan_tci(0) & VLAN_CFI != 0;
        if !tagged && !push {
            return;
        }
        if !tagged {
            fields::push_vlan(&mut self.key, &self.base, &mut self.wc);
            self.key.set_vlan_tpid(0, ethertype::VLAN);
        }
        self.key.set_vlan_tci(0, self.key.vlan_tci(0) & !mask | bits | VLAN_CFI);
    }

    fn set_field(&mut self, f: &SetField) {
        let (value, mask) = (f.value.low(), f.mask.low());
        if let Some(n) = f.field.tun_metadata_index() {
            return self.set_tunnel_metadata(n, f);
        }
        // Overwrites the outermost header that there is, and never makes one.
        if f.field == Field::VLAN_VID && self.key.vlan_tci(0) & VLAN_CFI == 0 {
            self.wc.set_vlan_tci(0, self.wc.vlan_tci(0) | VLAN_CFI);
            return;
        }
        if !has_prerequisites(&self.key, &mut self.wc, f.field) {
            return;
        }
        look_bits(&mut self.wc, f.field, mask);
        self.look_at_protocol(f.field);
        write(&mut self.key, f.field, value, mask);
        if is_vlan(f.field) {
            self.wc.set_vlan_tci(0, self.wc.vlan_tci(0) | VLAN_CFI);
        }
    }

    fn set_tunnel_metadata(&mut self, n: u8, f: &SetField) {
        let slot = self.here.config.tun_options.slot(n);
        let Some(slot) = slot else { return };
        if let flow::FieldValue::Wide(bytes) = &f.value {
            self.key.set_tun_md_value(slot, bytes);
        } else {
            self.key.set_tun_md_value(slot, &f.value.low().to_be_bytes());
        }
        self.key.set_tun_md_present(self.key.tun_md_present() | 1 << n);
    }

    fn dec_ttl(&mut self, ids: &[u16]) {
        if !is_ip(&self.key) {
            return;
        }
        self.wc.set_nw_ttl(0xff);
        self.wc.set_nw_proto(0xff);
        let ttl = self.key.nw_ttl();
        if ttl > 1 {
            self.key.set_nw_ttl(ttl - 1);
            return;
        }
        let version = if self.key.eth_type() == ethertype::IPV6 { 6 } else { 4 };
        self.warning(|| format!("IPv{version} decrement TTL exception"));
        let ids: Vec<u16> = if ids.is_empty() { vec![0] } else { ids.to_vec() };
        for id in ids {
            self.send_to_controller(u16::MAX, PacketInReason::InvalidTtl, id, &[], false);
        }
        self.exit = true;
    }

    fn set_mpls(&mut self, shift: u32, bits: u32, value: u32) {
        if is_mpls(self.key.eth_type()) {
            let mask = ((1u64 << bits) - 1) as u32;
            self.wc.set_mpls_lse(0, self.wc.mpls_lse(0) | mask << shift);
            self.key.set_mpls_lse(0, self.key.mpls_lse(0) & !(mask << shift) | (value & mask) << shift);
        }
    }

    fn dec_mpls_ttl(&mut self) {
        if !is_mpls(self.key.eth_type()) {
            return;
        }
        self.wc.set_mpls_lse(0, self.wc.mpls_lse(0) | 0xff);
        let ttl = self.key.mpls_lse(0) & 0xff;
        if ttl > 1 {
            self.key.set_mpls_lse(0, self.key.mpls_lse(0) & !0xff | (ttl - 1));
        } else {
            self.warning(|| "MPLS decrement TTL exception".into());
            self.send_to_controller(u16::MAX, PacketInReason::InvalidTtl, 0, &[], false);
            self.exit = true;
        }
    }

    fn dec_nsh_ttl(&mut self) {
        if self.key.eth_type() != ethertype::NSH {
            return;
        }
        self.wc.set_nsh_ttl(0xff);
        let ttl = self.key.nsh_ttl();
        if ttl > 1 {
            self.key.set_nsh_ttl(ttl - 1);
        } else {
            self.warning(|| "NSH decrement TTL exception".into());
            self.send_to_controller(u16::MAX, PacketInReason::InvalidTtl, 0, &[], false);
            self.exit = true;
        }
    }

    pub(crate) fn push_mpls(&mut self, ty: u16) {
        let depth = fields::mpls_count(&self.key, Some(&mut self.wc));
        if depth == 0 {
            self.commit();
        } else if depth >= flow::key::MAX_MPLS {
            return self.too_many_labels("push", "would have");
        }
        let lse = if depth > 0 {
            for n in 0..depth {
                self.wc.set_mpls_lse(n, u32::MAX);
            }
            self.key.mpls_lse(0) & !0x100
        } else {
            let (mut label, mut tc, mut ttl) = (0, 0, 64);
            if is_ip(&self.key) {
                // RFC 3032 §2.1: labels 0 and 2 are the explicit nulls of IPv4 and IPv6.
                label = if self.key.eth_type() == ethertype::IPV6 { 2 } else { 0 };
                self.wc.set_nw_tos(self.wc.nw_tos() | 0xfc);
                self.wc.set_nw_ttl(0xff);
                tc = u32::from(self.key.nw_tos() >> 2 & 7);
                ttl = u32::from(if self.key.nw_ttl() == 0 { 64 } else { self.key.nw_ttl() });
            }
            label << 12 | tc << 9 | 0x100 | ttl
        };
        for n in (1..flow::key::MAX_MPLS).rev() {
            self.key.set_mpls_lse(n, self.key.mpls_lse(n - 1));
        }
        self.key.set_mpls_lse(0, lse);
        self.key.set_eth_type(ty);
        if depth == 0 {
            // What was above the label is now payload.
            for i in 44..58 {
                self.key.set_word(i, 0);
            }
        }
    }

    pub(crate) fn pop_mpls(&mut self, ty: u16) {
        let depth = fields::mpls_count(&self.key, Some(&mut self.wc));
        if depth == 0 {
            return;
        }
        if depth == flow::key::MAX_MPLS && self.key.mpls_lse(depth - 1) & 0x100 == 0 {
            return self.too_many_labels("pop", "has");
        }
        // Entries move up; whoever looks at them then looks at where they were.
        for n in 1..depth {
            self.wc.set_mpls_lse(n, u32::MAX);
        }
        for n in 1..flow::key::MAX_MPLS {
            self.key.set_mpls_lse(n - 1, self.key.mpls_lse(n));
        }
        self.key.set_mpls_lse(flow::key::MAX_MPLS - 1, 0);
        self.key.set_eth_type(ty);
        if !is_mpls(ty) {
            self.was_mpls = true;
        }
    }

    fn too_many_labels(&mut self, action: &str, has: &str) {
        if self.req.packet.is_some() {
            self.problem(|| {
                format!(
                    "dropping packet on which an MPLS {action} action can't be performed as it {has} more MPLS LSEs \
                     than the {} supported.",
                    flow::key::MAX_MPLS
                )
            });
        }
        self.fail(XlateError::TooManyMplsLabels);
    }

    fn resubmit_action(&mut self, r: &openflow::action::Resubmit) {
        let table = if r.table == TableId::ALL { self.table } else { r.table };
        let mut in_port = r.in_port;
        if in_port == OfPort::IN_PORT {
            in_port = self.key.in_port();
        }
        if r.with_ct && (self.key.ct_state() & flow::key::CS_TRK == 0 || self.key.ct_nw_proto() == 0) {
            self.warning(|| "resubmit(ct) with non-tracked or non-IP packet!".into());
            return;
        }
        self.resubmit(table, in_port, r.with_ct, false);
    }

    fn meter(&mut self, id: openflow::MeterId) {
        if let Some(&in_datapath) = self.here.bridge.meters.load().get(&id) {
            self.out.actions.push(DpAction::Meter(in_datapath));
        }
    }

    fn clone_action(&mut self, inner: &[Action], last: bool) {
        if !self.may_go_deeper() {
            return;
        }
        self.commit();
        let saved = self.save();
        let start = self.out.actions.len();
        if inner.is_empty() {
            self.note(NodeKind::Action, || "drop".into());
        }
        self.deeper(|this| this.actions(inner, last));
        if self.freezing {
            // The clone goes on by itself after its own recirculation.
            self.finish_clone();
        }
        let body = self.out.actions.split_off(start);
        let base = self.base;
        self.restore(saved);
        // What the rest can undo needs no copy.
        let plain = |a: &DpAction| {
            use DpAction::{Output, PopVlan, PushVlan, Set, Userspace};
            matches!(a, Output(_) | Set(_) | PushVlan { .. } | PopVlan | Userspace { .. })
        };
        if last || body.iter().all(plain) {
            self.out.actions.extend(body);
            self.base = base;
        } else if !body.is_empty() {
            self.out.actions.push(DpAction::Clone(body.into()));
        }
    }

    pub(crate) fn finish_clone(&mut self) {
        self.commit();
        let actions = std::mem::take(&mut self.frozen_actions);
        let state = self.state(Some(self.table), actions);
        let id = self.freeze_id(state);
        self.out.actions.push(DpAction::Recirc(id));
        self.freezing = false;
        self.paused = None;
    }

    fn sample(&mut self, s: &openflow::action::Sample) {
        use openflow::action::NumberOrField;
        let mut number = |x: &NumberOrField| match x {
            NumberOrField::Number(n) => *n,
            NumberOrField::Field(sub) => {
                look(&mut self.wc, sub);
                get(&self.key, sub) as u32
            }
        };
        let (obs_domain, obs_point) = (number(&s.obs_domain), number(&s.obs_point));
        if !self.here.config.ipfix {
            return;
        }
        let output = self.here.config.ports.get(&s.sampling_port).and_then(|p| p.dp).unwrap_or(flow::DpPort::NONE);
        self.commit();
        let probability = ((u64::from(s.probability) << 16) | u64::from(s.probability)) as u32;
        let cookie = datapath::UserCookie::FlowSample(Box::new(datapath::action::FlowSample {
            probability: s.probability,
            collector_set: s.collector_set,
            obs_domain,
            obs_point,
            output,
            direction: s.direction as u8,
        }));
        let inner = DpAction::Userspace { cookie: Box::new(cookie), pid: 0 };
        if s.probability == u16::MAX {
            self.out.actions.push(inner);
        } else {
            self.out.actions.push(DpAction::Sample { probability, actions: vec![inner].into() });
        }
    }

    /// Does the rest of the list for both answers; the datapath chooses.
    fn check_packet_larger(&mut self, dst: &flow::Subfield, len: u16, rest: &[Action], last: bool) {
        look(&mut self.wc, dst);
        self.commit();
        let start = self.out.actions.len();
        let branch = |x: &mut Self, bit: u128| -> Box<[DpAction]> {
            let saved = x.save();
            put(&mut x.key, dst, bit);
            x.depth += 1;
            if rest.is_empty() {
                x.note(NodeKind::Action, || "drop".into());
            }
            x.actions(rest, last);
            x.depth -= 1;
            if x.freezing {
                x.finish_clone();
            }
            let mut body = x.out.actions.split_off(start);
            drop_idle_edits(&mut body);
            x.restore(saved);
            body.into()
        };
        let greater = branch(self, 1);
        let less_equal = branch(self, 0);
        self.out.actions.push(DpAction::CheckPktLen { len, greater, less_equal });
    }

    fn fin_timeout(&mut self, idle: u16, hard: u16) {
        if self.key.nw_proto() != ip_proto::TCP || !is_ip(&self.key) {
            return;
        }
        self.wc.set_nw_proto(0xff);
        // FIN or RST.
        if self.req.tcp_flags & 5 != 0
            && let Some(rule) = self.rule.clone()
        {
            self.out.effects.push(Effect::FinTimeout { rule, idle, hard });
        }
    }
}

fn field_text(field: Field, value: u128) -> String {
    use flow::Format;
    match field.def().format {
        Format::Dec | Format::Port16 | Format::Port32 => value.to_string(),
        Format::Ipv4 => std::net::Ipv4Addr::from_bits(value as u32).to_string(),
        Format::Ipv6 => std::net::Ipv6Addr::from_bits(value).to_string(),
        Format::Ethernet => EthAddr::from_u64(value as u64).to_string(),
        _ if value == 0 => "0".into(),
        _ => format!("{value:#x}"),
    }
}

/// Removes changes of the packet from the end of a list: nobody is to see them.
pub(crate) fn drop_idle_edits(actions: &mut Vec<DpAction>) {
    use DpAction::{AddMpls, PopEth, PopMpls, PopNsh, PopVlan, PushEth, PushMpls, PushNsh, PushVlan, Set};
    let edits = |a: &DpAction| {
        matches!(
            a,
            Set(_)
                | PushVlan { .. }
                | PopVlan
                | PushMpls { .. }
                | PopMpls(_)
                | AddMpls { .. }
                | PushEth(_)
                | PopEth
                | PushNsh(_)
                | PopNsh
        )
    };
    while actions.last().is_some_and(edits) {
        actions.pop();
    }
}
