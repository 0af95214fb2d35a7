//! `ofproto/trace`: what would happen to a packet, told step by step.

use clock::Instant;
use datapath::action_text::format_actions;
use datapath::key_text::PortNames;
use datapath::{DpAction, SlowReason};
use flow::key::{CS_NEW, CS_TRK, FRAG_LATER};
use flow::text::{Names, Style, format_match};
use flow::{FlowKey, FlowMask, Match, OfPort, PacketType};
use openflow::action::{self, Action};
use serde_json::{Value, json};
use translate::trace::{Describe, Node};
use translate::view::BridgeConfig;
use translate::{BridgeId, Effect, Network, Request, Rule, Start, Xlate, translate};
use wire::layers::{ethertype, ip_proto, is_mpls};

/// A question.
pub struct Question<'a> {
    /// The bridges.
    pub network: &'a Network,
    /// Bridge that the packet enters.
    pub bridge: BridgeId,
    /// Its fields; the input port is an OpenFlow port.
    pub key: FlowKey,
    /// Its bytes, if it is to be really sent through the tables.
    pub packet: Option<Vec<u8>>,
    /// Actions of a packet-out instead of the tables.
    pub actions: Option<Vec<Action>>,
    /// Connection states of packets that come back from connection tracking, in order; `trk|new` when they run out.
    pub ct_next: Vec<u16>,
    /// Say what each lookup looked at, and which rules nearly matched.
    pub explain: bool,
    /// Names for OpenFlow ports, if they are wanted.
    pub names: Option<&'a Names>,
    /// Names for datapath ports.
    pub dp_names: &'a dyn PortNames,
    /// Where flows go that `learn` actions of a real packet make; for the caller to add.
    pub learned: &'a std::cell::RefCell<Vec<(BridgeId, Box<translate::LearnedFlow>)>>,
    /// Now.
    pub now: Instant,
}

struct Words<'a> {
    names: Option<&'a Names>,
    explain: bool,
}

impl Words<'_> {
    fn style(&self) -> Style<'_> {
        Style { names: self.names, ..Style::default() }
    }

    fn matching(&self, m: &Match) -> String {
        let mut out = String::new();
        format_match(&mut out, &self.style(), m, 0x8000);
        out
    }
}

impl Describe for Words<'_> {
    fn rule(&self, _: &BridgeConfig, rule: &Rule) -> String {
        let mut out = self.matching(&rule.matching.expand());
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(&format!("priority {}", rule.priority));
        if rule.data.cookie != 0 {
            out.push_str(&format!(", cookie {:#x}", rule.data.cookie));
        }
        out
    }

    fn actions(&self, _: &BridgeConfig, actions: &[Action]) -> String {
        let mut out = String::new();
        action::text::format(&mut out, &self.style(), actions);
        out
    }

    fn explains(&self) -> bool {
        self.explain
    }

    fn matching(&self, _: &BridgeConfig, key: &FlowKey, mask: &FlowMask) -> String {
        Words::matching(self, &Match::new(key, mask))
    }

    fn numbered_actions(&self, _: &BridgeConfig, actions: &[Action]) -> String {
        let mut out = String::new();
        action::text::format(&mut out, &Style::default(), actions);
        out
    }
}

/// The fields that a packet like `key` has: its headers always, metadata where it is not zero.
fn shown(key: &FlowKey) -> FlowMask {
    let mut mask = FlowMask::ZERO;
    for i in (0..38).chain(58..flow::WORDS) {
        if key.word(i) != 0 && i != 28 {
            mask.set_word(i, u64::MAX);
        }
    }
    let tunnelled = !key.tun_dst().is_unspecified() || !key.tun_ipv6_dst().is_unspecified();
    for i in 1..10 {
        mask.set_word(i, if tunnelled { u64::MAX } else { 0 });
    }
    if key.tun_erspan_ver() != 1 {
        mask.set_tun_erspan_idx(0);
    }
    if key.tun_erspan_ver() != 2 {
        mask.set_tun_erspan_dir(0);
        mask.set_tun_erspan_hwid(0);
    }
    let shows_id = if tunnelled { key.tun_flags() & flow::key::TUN_F_KEY != 0 } else { key.tun_id() != 0 };
    mask.set_tun_id(if shows_id { u64::MAX } else { 0 });
    for half in [26, 27] {
        let word = key.word(half);
        let keep =
            if word >> 32 != 0 { 0xffff_ffff_0000_0000 } else { 0 } | if word as u32 != 0 { 0xffff_ffff } else { 0 };
        mask.set_word(half, keep);
    }
    mask.set_dp_hash(if key.dp_hash() == 0 { 0 } else { u32::MAX });
    let ct = key.word(29);
    let fields = [0xffff_ffff_0000_0000u64, 0xffff_0000, 0xffff];
    mask.set_word(29, fields.iter().filter(|f| ct & **f != 0).sum());
    for i in 10..26 {
        let word = key.word(i);
        let keep =
            if word >> 32 != 0 { 0xffff_ffff_0000_0000 } else { 0 } | if word as u32 != 0 { 0xffff_ffff } else { 0 };
        mask.set_word(i, keep);
    }
    mask.set_in_port_raw(u32::MAX);
    mask.set_packet_type_raw(u32::MAX);
    mask.set_ct_label(if key.ct_label() == 0 { 0 } else { u128::MAX });
    headers(key, &mut mask);
    mask
}

fn headers(key: &FlowKey, mask: &mut FlowMask) {
    if key.packet_type() == PacketType::ETHERNET {
        mask.set_word(39, u64::MAX);
        mask.set_word(40, u64::MAX);
        let tags = (0..2).take_while(|&n| key.vlan_tci(n) & flow::key::VLAN_CFI != 0).count();
        for n in 0..=tags.min(1) {
            mask.set_vlan_tci(n, 0xffff);
        }
    }
    let v6 = match key.eth_type() {
        ethertype::IPV4 => false,
        ethertype::IPV6 => true,
        ethertype::ARP | ethertype::RARP => {
            mask.set_word(44, u64::MAX);
            mask.set_nw_proto(0xff);
            mask.set_arp_sha(wire::EthAddr::BROADCAST);
            mask.set_arp_tha(wire::EthAddr::BROADCAST);
            return;
        }
        ethertype::NSH => {
            // The context headers are those of metadata type 1 (RFC 8300 §2.4).
            (54..if key.nsh_mdtype() == 1 { 57 } else { 55 }).for_each(|i| mask.set_word(i, u64::MAX));
            mask.set_nw_proto(0xff);
            mask.set_nw_tos(0xff);
            mask.set_nw_ttl(0xff);
            mask.set_nw_frag(0xff);
            return;
        }
        ty if is_mpls(ty) => {
            const BOTTOM: u32 = 1 << 8;
            for n in 0..3 {
                mask.set_mpls_lse(n, u32::MAX);
                if key.mpls_lse(n) & BOTTOM != 0 {
                    break;
                }
            }
            return;
        }
        _ => return,
    };
    // A bare packet shows the connection's original addresses, as the original does.
    let bare = key.packet_type() != PacketType::ETHERNET;
    if v6 {
        (45..49).for_each(|i| mask.set_word(i, u64::MAX));
        mask.set_ipv6_label(u32::MAX);
        (33..if bare { 37 } else { 33 }).for_each(|i| mask.set_word(i, u64::MAX));
    } else {
        mask.set_word(44, u64::MAX);
        (32..if bare { 33 } else { 32 }).for_each(|i| mask.set_word(i, u64::MAX));
    }
    mask.set_nw_proto(0xff);
    mask.set_nw_tos(0xff);
    mask.set_nw_ttl(0xff);
    mask.set_nw_frag(0xff);
    if key.nw_frag() & FRAG_LATER == 0 {
        transport(key, mask, v6);
    }
}

fn transport(key: &FlowKey, mask: &mut FlowMask, v6: bool) {
    let icmp = if v6 { ip_proto::ICMPV6 } else { ip_proto::ICMP };
    match key.nw_proto() {
        ip_proto::TCP => mask.set_tcp_flags(0xffff),
        ip_proto::UDP | ip_proto::SCTP => {}
        p if p == icmp => {
            if v6 && matches!(key.tp_src(), 135 | 136) {
                mask.set_nd_target([255; 16].into());
                mask.set_arp_sha(wire::EthAddr::BROADCAST);
                mask.set_arp_tha(wire::EthAddr::BROADCAST);
            }
        }
        ip_proto::IGMP if !v6 => {}
        _ => return,
    }
    mask.set_tp_src(0xffff);
    mask.set_tp_dst(0xffff);
}

/// The recirculations that a list of actions asks for after connection tracking, each with what was tracked.
fn recirculations(actions: &[DpAction]) -> Vec<(u32, &datapath::action::Ct)> {
    let (mut out, mut tracked) = (Vec::new(), None);
    for a in actions {
        match a {
            DpAction::Ct(ct) => tracked = Some(&**ct),
            DpAction::Recirc(id) => out.extend(tracked.take().map(|ct| (*id, ct))),
            DpAction::Clone(inner) => out.extend(recirculations(inner)),
            DpAction::CheckPktLen { greater, less_equal, .. } => {
                out.extend(recirculations(greater));
                out.extend(recirculations(less_equal));
            }
            _ => {}
        }
    }
    out
}

/// What tracking makes of a packet: the connection's zone, mark and label, and the addresses that translation gives it.
/// Gives the text about the translation.
fn track(key: &mut FlowKey, ct: &datapath::action::Ct) -> Option<String> {
    key.set_ct_zone(ct.zone);
    if let Some((mark, bits)) = ct.mark {
        key.set_ct_mark(key.ct_mark() & !bits | mark & bits);
    }
    if let Some((label, bits)) = ct.label {
        key.set_ct_label(key.ct_label() & !bits | label & bits);
    }
    let nat = ct.nat.as_ref()?;
    if !nat.src && !nat.dst {
        return Some("Replacing src/dst IP/ports to simulate NAT:\n Initial flow: \n Modified flow: ".into());
    }
    let shown = |key: &FlowKey| {
        let ((src, dst), name) = if key.eth_type() == ethertype::IPV6 {
            ((key.ipv6_src().to_string(), key.ipv6_dst().to_string()), "ipv6")
        } else {
            ((key.nw_src().to_string(), key.nw_dst().to_string()), "nw")
        };
        let (from, to) = (key.tp_src(), key.tp_dst());
        format!("{name}_src={src},tp_src={from},{name}_dst={dst},tp_dst={to}")
    };
    let before = shown(key);
    match nat.addresses {
        Some((std::net::IpAddr::V4(a), _)) if nat.src => key.set_nw_src(a),
        Some((std::net::IpAddr::V4(a), _)) => key.set_nw_dst(a),
        Some((std::net::IpAddr::V6(a), _)) if nat.src => key.set_ipv6_src(a),
        Some((std::net::IpAddr::V6(a), _)) => key.set_ipv6_dst(a),
        None => {}
    }
    match nat.ports.0 {
        0 => {}
        port if nat.src => key.set_tp_src(port),
        port => key.set_tp_dst(port),
    }
    let after = shown(key);
    Some(format!("Replacing src/dst IP/ports to simulate NAT:\n Initial flow: {before}\n Modified flow: {after}"))
}

/// Names of connection states joined with `|`.
fn ct_text(state: u16) -> String {
    const NAMES: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
    let set: Vec<&str> = NAMES.iter().enumerate().filter(|(i, _)| state >> i & 1 != 0).map(|(_, n)| *n).collect();
    set.join("|")
}

/// Connection states from text like `trk,est`.
///
/// # Errors
/// A word that is no state.
pub fn parse_ct_state(s: &str) -> Result<u16, String> {
    const NAMES: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
    s.split(',').filter(|w| !w.is_empty()).try_fold(0, |all, word| {
        let bit = NAMES
            .iter()
            .position(|n| *n == word)
            .ok_or_else(|| format!("{word}: unknown connection tracking state flag"))?;
        Ok(all | 1 << bit)
    })
}

/// One pass through the tables.
struct Pass {
    title: Option<String>,
    key: FlowKey,
    answer: Xlate,
}

/// A packet that is given with its bytes really passes, as far as learning goes.
fn learn(q: &Question<'_>, answer: &Xlate) {
    for effect in &answer.effects {
        if let Effect::LearnFlow { bridge, flow, .. } = effect {
            q.learned.borrow_mut().push((*bridge, flow.clone()));
        }
        if let Effect::LearnMac { bridge, vlan, mac, bundle, .. } = effect
            && let Some(bridge) = q.network.bridges.get(bridge)
        {
            bridge.macs().learn(q.now, *vlan, *mac, *bundle);
        }
    }
}

fn passes(q: &Question<'_>, words: &Words<'_>) -> Vec<Pass> {
    let mut out = Vec::new();
    let mut start_key = q.key;
    for n in 0..flow::key::MAX_VLANS {
        // Text says that there is a tag, not of which kind.
        if start_key.vlan_tci(n) & flow::key::VLAN_CFI != 0 && start_key.vlan_tpid(n) == 0 {
            start_key.set_vlan_tpid(n, ethertype::VLAN);
        }
    }
    let mut todo = vec![(None, start_key)];
    let mut states = q.ct_next.iter();
    while let Some((title, key)) = todo.pop() {
        let first = title.is_none();
        let start = match &q.actions {
            Some(actions) if first => Start::Actions(actions),
            _ => Start::Tables,
        };
        let request = Request {
            start,
            trace: Some(words),
            side_effects: q.packet.is_some(),
            ..Request::packet(q.bridge, key, q.packet.as_deref(), q.now)
        };
        let answer = translate(q.network, &request);
        learn(q, &answer);
        let mut next: Vec<_> = recirculations(&answer.actions)
            .into_iter()
            .map(|(id, ct)| {
                let chosen = states.next().copied();
                let state = chosen.unwrap_or(CS_TRK | CS_NEW);
                let mut title = match chosen {
                    Some(s) => format!("recirc({id:#x}) - resume conntrack with ct_state={}", ct_text(s)),
                    None => format!(
                        "recirc({id:#x}) - resume conntrack with default ct_state=trk|new (use --ct-next to customize)"
                    ),
                };
                let mut again = answer.final_key;
                for i in 0..26 {
                    again.set_word(i, key.word(i));
                }
                again.set_actset_output_raw(0);
                again.set_recirc_id(id);
                again.set_ct_state(state);
                if let Some(translated) = track(&mut again, ct) {
                    title = format!("{title}\n{translated}");
                }
                (Some(title), again)
            })
            .collect();
        next.reverse();
        todo.extend(next);
        out.push(Pass { title, key, answer });
        if out.len() >= 4096 {
            break;
        }
    }
    out
}

/// The answer as text.
#[must_use]
pub fn text(q: &Question<'_>) -> String {
    let words = Words { names: q.names, explain: q.explain };
    let mut out = String::new();
    for pass in passes(q, &words) {
        if let Some(title) = &pass.title {
            let bar = "=".repeat(79);
            out.push_str(&format!("\n{bar}\n{title}\n{bar}\n\n"));
        }
        pass_text(&mut out, q, &words, &pass);
    }
    out
}

fn pass_text(out: &mut String, q: &Question<'_>, words: &Words<'_>, pass: &Pass) {
    let full = |key: &FlowKey| words.matching(&Match::new(key, &shown(key)));
    out.push_str(&format!("Flow: {}\n", full(&pass.key)));
    let x = &pass.answer;
    if let Some(trace) = &x.trace {
        out.push_str(&trace.text());
    }
    out.push_str(&format!("\nFinal flow: {}\n", final_text(pass, words)));
    out.push_str(&format!("Megaflow: {}\n", words.matching(&Match::new(&pass.key, &x.mask))));
    out.push_str(&format!("Datapath actions: {}\n", format_actions(&x.actions, q.dp_names)));
    if let Some(e) = x.error {
        out.push_str(&format!("Translation failed ({}), packet is dropped.\n", e.text()));
    } else if !x.slow.is_empty() {
        out.push_str("This flow is handled by the userspace slow path because it:\n");
        for (bit, _, why) in SlowReason::TABLE {
            if x.slow.0 & bit != 0 {
                out.push_str(&format!("  - {why}.\n"));
            }
        }
    }
}

fn final_text(pass: &Pass, words: &Words<'_>) -> String {
    let mut start = pass.key;
    start.set_actset_output(OfPort::UNSET);
    let mut end = pass.answer.final_key;
    if end == start {
        return "unchanged".into();
    }
    end.set_actset_output_raw(0);
    let mut mask = shown(&end);
    if start.packet_type() == PacketType::ETHERNET && start.eth_type() == end.eth_type() {
        // Only a packet that came in bare shows its connection's addresses.
        (32..37).for_each(|word| mask.set_word(word, 0));
    }
    words.matching(&Match::new(&end, &mask))
}

fn node_json(node: &Node) -> Value {
    let mut v = json!({"type": node.kind.name(), "text": node.text.trim_start()});
    if !node.children.is_empty() {
        v["children"] = node.children.iter().map(node_json).collect();
    }
    v
}

/// The answer as JSON: a list of passes through the tables.
#[must_use]
pub fn json(q: &Question<'_>) -> Value {
    let words = Words { names: q.names, explain: q.explain };
    let full = |key: &FlowKey| words.matching(&Match::new(key, &shown(key)));
    let one = |pass: Pass| {
        let x = &pass.answer;
        json!({
            "recirculation": pass.title,
            "flow": full(&pass.key),
            "steps": x.trace.iter().flat_map(|t| &t.nodes).map(node_json).collect::<Vec<_>>(),
            "final_flow": final_text(&pass, &words),
            "megaflow": words.matching(&Match::new(&pass.key, &x.mask)),
            "datapath_actions": format_actions(&x.actions, q.dp_names),
            "error": x.error.map(|e| e.text()),
            "slow_path": SlowReason::TABLE.iter().filter(|(b, ..)| x.slow.0 & b != 0).map(|(_, n, _)| *n).collect::<Vec<_>>(),
        })
    };
    passes(q, &words).into_iter().map(one).collect()
}

/// Reads the fields of one packet, as `ofproto/trace` takes them: `in_port=1,tcp,nw_src=1.2.3.4`. A packet has one value
/// in each field: neither masks nor a second value are taken.
///
/// # Errors
/// One line that says what is wrong.
pub fn parse_flow(s: &str, names: &Names) -> Result<FlowKey, String> {
    openflow::text::parse_packet_fields(s, Some(names)).map_err(|e| format!("Bad openflow flow syntax: {s}: {e}"))
}
