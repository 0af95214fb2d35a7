//! The course of a translation: from table to table, action by action.

use std::sync::Arc;

use datapath::{DpAction, UserCookie};
use flow::key::{FRAG_ANY, VLAN_CFI};
use flow::{FlowKey, FlowMask, MiniKey, OfPort};
use openflow::TableId;
use openflow::action::{Action, PacketInReason};
use snapshot::VersionGuard;
use wire::layers::{ethertype, ip_proto, is_mpls};

use crate::commit::commit;
use crate::fields::is_ip;
use crate::frozen::FrozenState;
use crate::request::{Credit, Effect, Request, Start, Xlate, XlateError};
use crate::trace::{NodeKind, Recorder};
use crate::view::{Bridge, BridgeConfig, BridgeId, FragHandling, Network, Rule, TableMiss};

/// Register 0 of the rules of a switch's own table that count the packets that no other rule matched and that go to controllers…
pub const INTERNAL_MISS: u32 = 1;
/// … or are dropped …
pub const INTERNAL_DROP: u32 = 2;
/// … and the fragments that are dropped because of `set-frags drop`.
pub const INTERNAL_FRAGMENT: u32 = 3;

/// Levels of resubmission, groups, clones and patch ports that one packet may go down.
pub const MAX_DEPTH: u32 = 64;
/// Levels of any kind: what the stacks of the threads that translate have room for.
const MAX_NESTING: u32 = 512;
/// Table lookups of one packet.
pub const MAX_RESUBMITS: u32 = 4096;
/// Bytes on the stack of one packet.
const MAX_STACK: usize = 65536;

/// Where a NORMAL action sent the packet, for those who count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum NormalOutput {
    #[default]
    Drop,
    Flood,
    Port(OfPort),
}

/// A bridge as it is during the translation.
#[derive(Clone)]
pub(crate) struct Here {
    pub bridge: Arc<Bridge>,
    pub config: Arc<BridgeConfig>,
    pub version: VersionGuard,
}

impl Here {
    pub fn of(bridge: &Arc<Bridge>) -> Self {
        Here { bridge: bridge.clone(), config: bridge.config.snapshot(), version: bridge.versions.current() }
    }
}

pub(crate) struct Xlator<'a> {
    pub net: &'a Network,
    pub req: &'a Request<'a>,
    pub here: Here,
    pub key: FlowKey,
    pub base: FlowKey,
    pub wc: FlowMask,
    pub out: Xlate,
    pub recorder: Option<Recorder<'a>>,
    /// What the trace is to say of the table that was looked up last.
    pub explanation: Vec<String>,
    pub stack: Vec<Vec<u8>>,
    pub action_set: Vec<Action>,
    pub table: TableId,
    pub rule: Option<Arc<Rule>>,
    pub cookie: Option<u64>,
    /// Rules and lists of actions that the present one stands in, on this bridge.
    pub depth: u32,
    /// Of these, on all bridges, those that count for [`MAX_DEPTH`]: resubmission to a later table does not.
    pub level: u32,
    /// All of these, on all bridges.
    pub nesting: u32,
    pub resubmits: u32,
    pub exit: bool,
    /// Translation stops here and goes on after the packet recirculated.
    pub freezing: bool,
    pub paused: Option<Box<openflow::action::Controller>>,
    /// Cookie of the first rule of those whose actions were left.
    pub frozen_by: Option<u64>,
    /// Meter that the `controller` action in hand names, 0 for none.
    pub controller_meter: u32,
    pub frozen_actions: Vec<Action>,
    pub in_group: bool,
    pub in_action_set: bool,
    pub in_packet_out: bool,
    pub conntracked: bool,
    pub was_mpls: bool,
    /// A header that goes in front of the packet, with what the key says by then, when the packet is next needed.
    pub pending: Option<crate::encap::Pending>,
    /// What goes out now goes to a mirror.
    pub mirroring: bool,
    /// Flows that this packet taught, with their bridges.
    pub fresh: Vec<(BridgeId, Arc<Rule>)>,
    pub mirrors: u32,
    pub normal: NormalOutput,
    /// `dp_hash` that a recirculated packet carries was asked for by a group.
    pub orig_in_port: OfPort,
    pub orig_skb_priority: u32,
    pub truncate: Option<u32>,
}

/// Answers what happens to a packet.
#[must_use]
pub fn translate(net: &Network, req: &Request<'_>) -> Xlate {
    let Some(bridge) = net.bridges.get(&req.bridge) else {
        return Xlate { error: Some(XlateError::BridgeNotFound), ..Xlate::default() };
    };
    let mut x = Xlator::new(net, req, Here::of(bridge));
    x.run();
    x.finish()
}

/// What a copy of the packet must not change for the packet itself.
pub(crate) struct Saved {
    key: FlowKey,
    base: FlowKey,
    stack: Vec<Vec<u8>>,
    action_set: Vec<Action>,
    table: TableId,
    rule: Option<Arc<Rule>>,
    cookie: Option<u64>,
    conntracked: bool,
    was_mpls: bool,
    pending: Option<crate::encap::Pending>,
    exit: bool,
}

/// An action for packets that a meter of the datapath admits.
#[must_use]
pub fn metered(meter: u32, action: DpAction) -> DpAction {
    DpAction::Sample { probability: u32::MAX, actions: vec![DpAction::Meter(meter), action].into() }
}

impl<'a> Xlator<'a> {
    pub(crate) fn save(&self) -> Saved {
        Saved {
            key: self.key,
            base: self.base,
            stack: self.stack.clone(),
            action_set: self.action_set.clone(),
            table: self.table,
            rule: self.rule.clone(),
            cookie: self.cookie,
            conntracked: self.conntracked,
            was_mpls: self.was_mpls,
            pending: self.pending.clone(),
            exit: self.exit,
        }
    }

    pub(crate) fn restore(&mut self, saved: Saved) {
        self.key = saved.key;
        self.base = saved.base;
        self.stack = saved.stack;
        self.action_set = saved.action_set;
        self.table = saved.table;
        self.rule = saved.rule;
        self.cookie = saved.cookie;
        self.conntracked = saved.conntracked;
        self.was_mpls = saved.was_mpls;
        self.pending = saved.pending;
        // An error ends everything.
        self.exit = saved.exit || self.out.error.is_some();
    }

    fn new(net: &'a Network, req: &'a Request<'a>, here: Here) -> Self {
        let mut key = req.key;
        for n in 0..flow::key::MAX_VLANS {
            // A key made from text may have a tag whose Ethernet type nobody said.
            if key.vlan_tci(n) & VLAN_CFI != 0 && key.vlan_tpid(n) == 0 {
                key.set_vlan_tpid(n, ethertype::VLAN);
            }
        }
        let base = key;
        key.set_actset_output(OfPort::UNSET);
        Xlator {
            net,
            req,
            here,
            key,
            base,
            wc: FlowMask::ZERO,
            out: Xlate::default(),
            recorder: req.trace.map(Recorder::new),
            explanation: Vec::new(),
            stack: Vec::new(),
            action_set: Vec::new(),
            table: TableId(0),
            rule: None,
            cookie: None,
            depth: 0,
            level: 0,
            nesting: 0,
            resubmits: 0,
            exit: false,
            freezing: false,
            paused: None,
            frozen_by: None,
            controller_meter: 0,
            frozen_actions: Vec::new(),
            in_group: false,
            in_action_set: false,
            in_packet_out: matches!(req.start, Start::Actions(_)),
            conntracked: false,
            was_mpls: false,
            pending: None,
            mirroring: false,
            fresh: Vec::new(),
            mirrors: 0,
            normal: NormalOutput::Drop,
            orig_in_port: req.key.in_port(),
            orig_skb_priority: req.key.skb_priority(),
            truncate: None,
        }
    }

    /// Bits that every megaflow matches.
    fn look_at_basics(&mut self) {
        self.wc.set_in_port_raw(u32::MAX);
        self.wc.set_recirc_id(u32::MAX);
        self.wc.set_packet_type_raw(u32::MAX);
        self.wc.set_eth_type(0xffff);
        if is_ip(&self.key) {
            self.wc.set_nw_frag(0xff);
        }
        if !self.key.tun_dst().is_unspecified() || !self.key.tun_ipv6_dst().is_unspecified() {
            self.look_at_tunnel();
        }
    }

    fn look_at_tunnel(&mut self) {
        self.wc.set_tun_id(u64::MAX);
        if self.key.tun_dst().is_unspecified() {
            self.wc.set_tun_ipv6_src([255; 16].into());
            self.wc.set_tun_ipv6_dst([255; 16].into());
        } else {
            self.wc.set_tun_src([255; 4].into());
            self.wc.set_tun_dst([255; 4].into());
        }
        self.wc.set_tun_tos(0xff);
        self.wc.set_tun_flags(flow::key::TUN_F_KEY);
    }

    fn run(&mut self) {
        self.look_at_basics();
        let start = self.req.start.clone();
        if let Start::Actions(actions) = start {
            let name = self.here.config.name.clone();
            self.enter(NodeKind::Bridge, || format!("bridge(\"{name}\")"));
            self.actions(actions, true);
            self.finish_action_set();
        } else if self.key.recirc_id() != 0 {
            self.thaw();
        } else {
            let table = if let Start::Table(t) = start { t } else { TableId(0) };
            self.enter_bridge();
            if self.admit() {
                self.mirror_ingress();
                self.resubmit(table, self.key.in_port(), false, true);
                self.finish_action_set();
            }
        }
        self.finish_freezing();
        self.leave();
        self.leave();
    }

    pub(crate) fn enter_bridge(&mut self) {
        let name = self.here.config.name.clone();
        self.enter(NodeKind::Bridge, || format!("bridge(\"{name}\")"));
    }

    /// Whether the input port takes the packet: its configuration, spanning tree, and the protocols of the switch.
    pub(crate) fn admit(&mut self) -> bool {
        use openflow::message::ports::{PC_NO_RECV, PC_NO_RECV_STP};
        let in_port = self.key.in_port();
        let config = self.here.config.clone();
        let Some(port) = config.ports.get(&in_port) else { return true };
        if let Some(reason) = crate::special::recipient(&config, port, &self.key, &mut self.wc) {
            self.out.slow = self.out.slow.with(reason);
            if self.req.packet.is_some() {
                self.out.effects.push(Effect::Special { bridge: config.id, port: in_port, reason });
            }
            return false;
        }
        let stp = crate::special::is_stp(&self.key);
        let refused = [PC_NO_RECV, PC_NO_RECV_STP].map(|bit| port.config & bit != 0);
        if refused[0] != refused[1] && stp {
            self.wc.set_eth_dst(wire::EthAddr::BROADCAST);
        }
        if refused[usize::from(stp)] {
            self.look_only(None);
            return false;
        }
        if port.stp != crate::view::StpState::Forwarding && !stp {
            if port.stp == crate::view::StpState::Learning {
                self.learn_only();
            }
            self.out.error.get_or_insert(XlateError::ForwardingDisabled);
            self.detail(|| "STP not in forwarding state, dropping".into());
            return false;
        }
        if config.mirrors.iter().any(|m| m.out_bundle == Some(port.bundle)) {
            // What comes in by a port to which copies go is nobody's, whatever flows say.
            let name = config.bundles.get(&port.bundle).map_or_else(|| port.name.clone(), |b| b.name.clone());
            let why = format!("dropping packet received on port {name}, which is reserved exclusively for mirroring");
            self.look_only(Some(why));
            return false;
        }
        true
    }

    /// Finds the rule that the packet would meet, for the trace, and does nothing more but say why.
    fn look_only(&mut self, why: Option<String>) {
        if let Some(rule) = self.lookup(TableId(0), false, false)
            && let Some(recorder) = &mut self.recorder
        {
            let number = recorder.describe.table(&self.here.config, 0);
            let text = recorder.describe.rule(&self.here.config, &rule);
            recorder.enter(NodeKind::Table, format!("{number}. {text}"));
            if let Some(why) = why {
                self.problem(|| why);
            }
            self.leave();
        }
    }

    /// Takes up the state of a packet that recirculated.
    fn thaw(&mut self) {
        let Some(state) = self.net.frozen.get(self.key.recirc_id()) else {
            self.out.error = Some(XlateError::NoRecirculationContext);
            self.problem(|| "no recirculation data for recirc_id".into());
            return;
        };
        if let Some(bridge) = self.net.bridges.get(&state.bridge) {
            self.here = Here::of(bridge);
        } else {
            self.out.error = Some(XlateError::BridgeNotFound);
            return;
        }
        self.enter_bridge();
        for (i, word) in state.metadata.iter() {
            self.key.set_word(i, word);
        }
        self.restore_ct();
        self.key.set_in_port(state.in_port);
        self.orig_in_port = state.in_port;
        self.stack.clone_from(&state.stack);
        self.mirrors = state.mirrors;
        self.conntracked = state.conntracked;
        self.action_set.clone_from(&state.action_set);
        self.cookie = state.cookie;
        self.base = self.key;
        let actions = state.actions.clone();
        if let Some(table) = state.table
            && actions.is_empty()
        {
            self.enter(NodeKind::Thaw, || "thaw".into());
            self.note(NodeKind::Thaw, || format!("Resuming from table {}", table.0));
            self.leave();
            self.table = table;
            self.resubmit(table, self.key.in_port(), false, true);
        } else {
            self.enter(NodeKind::Thaw, || "thaw".into());
            self.leave();
            if let Some(table) = state.table {
                self.table = table;
            }
            self.actions(&actions, true);
        }
        self.finish_action_set();
    }

    /// Connection tracking fields of a recirculated packet come from the datapath, not from the frozen state.
    fn restore_ct(&mut self) {
        for i in 28..38 {
            self.key.set_word(i, self.req.key.word(i));
        }
    }

    // Reports.

    pub(crate) fn enter(&mut self, kind: NodeKind, text: impl FnOnce() -> String) {
        if let Some(recorder) = &mut self.recorder {
            recorder.enter(kind, text());
        }
    }

    pub(crate) fn leave(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.leave();
        }
    }

    pub(crate) fn note(&mut self, kind: NodeKind, text: impl FnOnce() -> String) {
        if let Some(recorder) = &mut self.recorder {
            recorder.add(kind, text());
        }
    }

    pub(crate) fn detail(&mut self, text: impl FnOnce() -> String) {
        self.note(NodeKind::Detail, text);
    }

    pub(crate) fn warning(&mut self, text: impl FnOnce() -> String) {
        self.note(NodeKind::Warning, text);
    }

    pub(crate) fn problem(&mut self, text: impl FnOnce() -> String) {
        self.note(NodeKind::Error, text);
    }

    pub(crate) fn fail(&mut self, error: XlateError) {
        self.out.error.get_or_insert(error);
        self.exit = true;
    }

    // Tables.

    /// Whether another level is allowed.
    fn room_for_lookup(&mut self) -> bool {
        if self.level > MAX_DEPTH || self.nesting > MAX_NESTING {
            self.problem(|| format!("over max translation depth {MAX_DEPTH}"));
            self.fail(XlateError::RecursionTooDeep);
        } else if self.resubmits >= MAX_RESUBMITS {
            self.problem(|| format!("over {MAX_RESUBMITS} resubmit actions"));
            self.fail(XlateError::TooManyResubmits);
        } else if self.out.actions.len() > 65536 {
            self.problem(|| "resubmits yielded over 64 kB of actions".into());
            self.fail(XlateError::TooManyResubmits);
        } else if self.stack.iter().map(Vec::len).sum::<usize>() >= MAX_STACK {
            self.problem(|| "resubmits yielded over 64 kB of stack".into());
            self.fail(XlateError::StackTooDeep);
        } else {
            return true;
        }
        false
    }

    /// Does something a level deeper.
    pub(crate) fn deeper(&mut self, work: impl FnOnce(&mut Self)) {
        self.depth += 1;
        self.level += 1;
        self.nesting += 1;
        work(self);
        self.depth -= 1;
        self.level -= 1;
        self.nesting -= 1;
    }

    /// Whether there is room for something a level deeper; an error if not.
    pub(crate) fn may_go_deeper(&mut self) -> bool {
        let may = self.level <= MAX_DEPTH && self.nesting < MAX_NESTING;
        // Of the buckets of one group, or the ports of one flood, one tells.
        if !may && self.out.error.is_none() {
            self.problem(|| format!("over max translation depth {MAX_DEPTH}"));
            self.fail(XlateError::RecursionTooDeep);
        }
        may
    }

    /// Looks the packet up in a table, as if it had come in by `in_port`, and does what the rule says.
    pub(crate) fn resubmit(&mut self, table: TableId, in_port: OfPort, with_ct: bool, follow_miss: bool) {
        if usize::from(table.0) >= self.here.bridge.tables.len() || !self.room_for_lookup() {
            return;
        }
        let old_table = std::mem::replace(&mut self.table, table);
        let old_in_port = self.key.in_port();
        self.key.set_in_port(in_port);
        let found = self.lookup(table, with_ct, follow_miss);
        self.key.set_in_port(old_in_port);
        if let Some(rule) = found {
            self.resubmits += 1;
            // A pipeline may have more tables than levels are allowed; going forward cannot go on for ever.
            let deepens = u32::from(table <= old_table);
            self.level += deepens;
            self.run_rule(&rule);
            self.level -= deepens;
        }
        self.table = old_table;
    }

    fn lookup(&mut self, table: TableId, with_ct: bool, follow_miss: bool) -> Option<Arc<Rule>> {
        let mut key = self.lookup_key(with_ct)?;
        key.set_conj_id(0);
        let bridge = self.here.bridge.clone();
        let mut table = table;
        loop {
            let this = bridge.tables.get(usize::from(table.0))?;
            let before = self.explains().then_some(self.wc);
            let rule = this.rules.lookup(self.here.version.number(), &key, Some(&mut self.wc));
            let rule = self.or_learned(table, &key, rule);
            if let Some(before) = &before {
                self.explain(&this.rules, &key, before, rule.as_ref());
            }
            if with_ct {
                self.swap_ct_mask();
            }
            self.out.credits.push(Credit::Lookup { bridge: bridge.id, table, matched: rule.is_some() });
            self.table = table;
            if let Some(rule) = rule {
                return Some(rule);
            }
            match **this.miss.load() {
                TableMiss::Continue if follow_miss && usize::from(table.0) + 1 < bridge.tables.len() - 1 => {
                    self.missed(table);
                    self.leave();
                    table = TableId(table.0 + 1);
                }
                TableMiss::Controller => {
                    self.missed(table);
                    self.miss_to_controller();
                    return None;
                }
                TableMiss::Default if self.here.config.miss_to_controller && follow_miss => {
                    self.missed(table);
                    self.miss_to_controller();
                    return None;
                }
                _ => {
                    self.missed(table);
                    self.credit_internal(INTERNAL_DROP);
                    self.note(NodeKind::Action, || "drop".into());
                    self.leave();
                    return None;
                }
            }
        }
    }

    /// Counts the packet for a rule of the switch's own table, the last one: register 0 tells which.
    fn credit_internal(&mut self, reg0: u32) {
        let mut key = FlowKey::ZERO;
        key.set_reg(0, reg0);
        // Rules for packets that did not come back from the datapath do not count these.
        key.set_recirc_id(1);
        let rule = self.here.bridge.tables.last().and_then(|t| t.rules.lookup(self.here.version.number(), &key, None));
        self.out.credits.extend(rule.map(Credit::Rule));
    }

    fn missed(&mut self, table: TableId) {
        if let Some(recorder) = &mut self.recorder {
            let number = recorder.describe.table(&self.here.config, table.0);
            recorder.enter(NodeKind::Table, format!("{number}. No match."));
            self.tell_explanation();
        }
    }

    fn miss_to_controller(&mut self) {
        use openflow::message::ports::PC_NO_PACKET_IN;
        let port = self.here.config.ports.get(&self.key.in_port());
        if port.is_some_and(|p| p.config & PC_NO_PACKET_IN != 0) {
            self.credit_internal(INTERNAL_DROP);
            self.note(NodeKind::Action, || "drop".into());
        } else {
            let len = self.here.config.miss_send_len;
            self.credit_internal(INTERNAL_MISS);
            self.note(NodeKind::Action, || format!("CONTROLLER:{len}"));
            self.send_to_controller(len, PacketInReason::ImplicitMiss, 0, &[], false);
        }
        self.leave();
    }

    /// The key that tables see: fragments and the connection's original tuple change it. `None`: the packet is dropped.
    fn lookup_key(&mut self, with_ct: bool) -> Option<FlowKey> {
        let mut key = self.key;
        if key.nw_frag() & FRAG_ANY != 0 {
            match self.here.config.frags {
                FragHandling::Normal => {
                    key.set_tp_src(0);
                    key.set_tp_dst(0);
                }
                FragHandling::Drop => {
                    self.credit_internal(INTERNAL_FRAGMENT);
                    self.detail(|| "fragment, dropping".into());
                    return None;
                }
                FragHandling::NxMatch => {}
            }
        }
        if with_ct {
            let (old, ct) = (key, key);
            key.set_nw_proto(ct.ct_nw_proto());
            key.set_tp_src(ct.ct_tp_src());
            key.set_tp_dst(ct.ct_tp_dst());
            if old.eth_type() == ethertype::IPV4 {
                key.set_nw_src(ct.ct_nw_src());
                key.set_nw_dst(ct.ct_nw_dst());
            } else {
                key.set_ipv6_src(ct.ct_ipv6_src());
                key.set_ipv6_dst(ct.ct_ipv6_dst());
            }
            self.wc.set_ct_nw_proto(0xff);
        }
        Some(key)
    }

    /// A lookup with the original tuple looked at the tuple, where the mask says addresses. Both stay in the mask, which
    /// may be narrower than need be but is never too wide.
    fn swap_ct_mask(&mut self) {
        let v4 = self.key.eth_type() == ethertype::IPV4;
        if v4 {
            let (src, dst) = (self.wc.nw_src(), self.wc.nw_dst());
            self.wc.set_ct_nw_src((self.wc.ct_nw_src().to_bits() | src.to_bits()).into());
            self.wc.set_ct_nw_dst((self.wc.ct_nw_dst().to_bits() | dst.to_bits()).into());
        } else {
            let (src, dst) = (self.wc.ipv6_src(), self.wc.ipv6_dst());
            self.wc.set_ct_ipv6_src((self.wc.ct_ipv6_src().to_bits() | src.to_bits()).into());
            self.wc.set_ct_ipv6_dst((self.wc.ct_ipv6_dst().to_bits() | dst.to_bits()).into());
        }
        self.wc.set_ct_tp_src(self.wc.ct_tp_src() | self.wc.tp_src());
        self.wc.set_ct_tp_dst(self.wc.ct_tp_dst() | self.wc.tp_dst());
    }

    fn run_rule(&mut self, rule: &Arc<Rule>) {
        if let Some(recorder) = &mut self.recorder {
            let number = recorder.describe.table(&self.here.config, self.table.0);
            let text = recorder.describe.rule(&self.here.config, rule);
            recorder.enter(NodeKind::Table, format!("{number}. {text}"));
            let mut key = self.key;
            key.set_conj_id(0);
            let table = &self.here.bridge.tables[usize::from(self.table.0)].rules;
            for part in table.contributors(self.here.version.number(), &key, rule) {
                let text = recorder.describe.rule(&self.here.config, &part);
                let (matching, priority) = text.rsplit_once(", priority ").unwrap_or(("", &text));
                let priority = priority.split(',').next().unwrap_or_default();
                recorder.add(NodeKind::Detail, format!("conj. priority={priority},{matching}"));
            }
            self.tell_explanation();
        }
        self.out.credits.push(Credit::Rule(rule.clone()));
        let old_rule = self.rule.replace(rule.clone());
        let old_cookie = self.cookie.replace(rule.data.cookie);
        self.depth += 1;
        self.nesting += 1;
        let actions = rule.data.actions.clone();
        if actions.is_empty() {
            self.note(NodeKind::Action, || "drop".into());
        }
        self.actions(&actions, self.depth == 1);
        self.nesting -= 1;
        self.depth -= 1;
        self.cookie = old_cookie;
        self.rule = old_rule;
        // The action set is done under the first rule, as the last thing that happens there.
        if self.depth == 0 && !self.in_packet_out {
            self.finish_action_set();
        }
        self.leave();
    }

    /// Does the action set, once.
    fn finish_action_set(&mut self) {
        if self.freezing || self.out.error.is_some() || self.action_set.is_empty() {
            return;
        }
        let set = crate::action_set::in_order(&std::mem::take(&mut self.action_set));
        self.exit = false;
        if set.is_empty() {
            return;
        }
        self.in_action_set = true;
        self.enter(NodeKind::Table, || "--. Executing action set:".into());
        self.deeper(|this| this.actions(&set, true));
        self.leave();
        self.in_action_set = false;
    }

    // Recirculation.

    /// Everything to go on with, when the packet comes back.
    pub(crate) fn state(&self, table: Option<TableId>, actions: Vec<Action>) -> FrozenState {
        let mut metadata = FlowKey::ZERO;
        for i in (0..39).chain(58..flow::WORDS) {
            metadata.set_word(i, self.key.word(i));
        }
        metadata.set_recirc_id(0);
        metadata.set_in_port_raw(0);
        for i in 28..38 {
            metadata.set_word(i, 0);
        }
        FrozenState {
            bridge: self.here.config.id,
            table,
            metadata: MiniKey::new(&metadata),
            stack: self.stack.clone(),
            mirrors: self.mirrors,
            conntracked: self.conntracked,
            was_mpls: self.was_mpls,
            actions,
            action_set: self.action_set.clone(),
            cookie: self.cookie,
            in_port: self.key.in_port(),
            ..FrozenState::default()
        }
    }

    pub(crate) fn freeze_id(&mut self, state: FrozenState) -> u32 {
        self.net.frozen.id_of(state, self.req.now)
    }

    fn finish_freezing(&mut self) {
        if !self.freezing {
            return;
        }
        let actions = std::mem::take(&mut self.frozen_actions);
        let mut state = self.state(Some(self.table), actions);
        if let Some(controller) = self.paused.take() {
            // With nothing left to do the packet does not go through the table once more.
            state.table = None;
            self.cookie = self.frozen_by;
            let state = FrozenState { userdata: controller.userdata.to_vec(), paused: true, cookie: None, ..state };
            let id = self.freeze_id(state);
            self.put_controller(id, controller.max_len, controller.reason, controller.controller_id, true);
            return;
        }
        self.commit();
        let id = self.freeze_id(state);
        self.out.actions.push(DpAction::Recirc(id));
    }

    /// Stops here; the packet goes through the datapath again and then on with the rest of the actions.
    pub(crate) fn freeze(&mut self) {
        self.freezing = true;
        self.exit = true;
    }

    /// Sends a copy through the datapath again that goes on in `table`.
    pub(crate) fn fork(&mut self, table: TableId) {
        let mut state = self.state(Some(table), Vec::new());
        state.action_set.clear();
        state.stack.clear();
        state.cookie = None;
        let id = self.freeze_id(state);
        self.out.actions.push(DpAction::Recirc(id));
    }

    /// Brings the packet up to date with the key.
    pub(crate) fn commit(&mut self) {
        self.push_pending();
        if commit(&self.key, &mut self.base, &mut self.wc, &mut self.out.actions) {
            self.out.slow = self.out.slow.with(datapath::SlowReason::ACTION);
        }
    }

    pub(crate) fn put_controller(
        &mut self,
        recirc_id: u32,
        max_len: u16,
        reason: PacketInReason,
        controller_id: u16,
        continuation: bool,
    ) {
        self.commit();
        let cookie = UserCookie::Controller {
            dont_send: !self.req.side_effects,
            continuation,
            recirc_id,
            rule_cookie: self.cookie.unwrap_or(u64::MAX),
            controller_id,
            max_len,
            reason: reason.number(),
        };
        let send = DpAction::Userspace { cookie: Box::new(cookie), pid: 0 };
        // The meter that the action names, or the one of all packets for controllers.
        let named = openflow::MeterId(self.controller_meter);
        let meter = if named.0 != 0 { named } else { openflow::MeterId::CONTROLLER };
        let in_datapath = self.here.bridge.meters.load().get(&meter).copied();
        self.out.actions.push(match in_datapath {
            Some(id) => metered(id, send),
            None => send,
        });
    }

    // The end.

    fn finish(mut self) -> Xlate {
        crate::actions::drop_idle_edits(&mut self.out.actions);
        if let Some(error) = self.out.error {
            self.out.actions.clear();
            if self.net.features.explicit_drop && error != XlateError::ForwardingDisabled {
                self.out.actions.push(DpAction::Drop(error.drop_reason()));
            }
        }
        self.tidy_mask();
        self.out.mask = self.wc;
        self.out.final_key = self.key;
        self.out.trace = self.recorder.take().map(Recorder::finish);
        self.out
    }

    /// Removes from the mask what a datapath flow cannot or need not match.
    fn tidy_mask(&mut self) {
        let orig = &self.req.key;
        let wc = &mut self.wc;
        // Registers, metadata, the action set's output: each pass through the tables starts with them empty or frozen.
        if self.out.error.is_none() || self.recorder.is_none() {
            wc.set_metadata(0);
            for i in 10..26 {
                wc.set_word(i, 0);
            }
        }
        wc.set_actset_output_raw(0);
        wc.set_conj_id(0);
        let icmp = matches!(
            (orig.eth_type(), orig.nw_proto()),
            (ethertype::IPV4, ip_proto::ICMP) | (ethertype::IPV6, ip_proto::ICMPV6)
        );
        if icmp && self.out.error.is_none() {
            wc.set_tp_src(if wc.tp_src() & 0xff != 0 { wc.tp_src() & 0xff } else { 0 });
            wc.set_tp_dst(wc.tp_dst() & 0xff);
        }
        for n in 0..flow::key::MAX_VLANS {
            if orig.vlan_tci(n) & VLAN_CFI == 0 {
                // The Ethernet type, always matched, already says that there is no (further) tag.
                wc.set_vlan_tci(n, 0);
                wc.set_vlan_tpid(n, 0);
            } else if wc.vlan_tci(n) != 0 {
                wc.set_vlan_tci(n, wc.vlan_tci(n) | VLAN_CFI);
            }
        }
        // Headers that were pushed on the way are no part of the packet.
        if !is_mpls(orig.eth_type()) && self.out.error.is_none() {
            for n in 0..flow::key::MAX_MPLS {
                wc.set_mpls_lse(n, 0);
            }
        }
        if orig.eth_type() != ethertype::NSH {
            for word in 54..57 {
                wc.set_word(word, 0);
            }
        }
        if orig.tun_dst().is_unspecified() && orig.tun_ipv6_dst().is_unspecified() {
            // The input port, always matched, already says that the packet came out of no tunnel.
            for word in (1..10).chain(58..flow::WORDS) {
                wc.set_word(word, 0);
            }
        }
        if orig.nw_frag() & flow::key::FRAG_LATER != 0 {
            wc.set_tp_src(0);
            wc.set_tp_dst(0);
        }
    }
}
