//! A controller that makes a switch learn addresses, or flood like a hub: what `ovs-testcontroller` is.

use std::collections::HashMap;

use flow::{FlowKey, Match, MiniMatch, OfPort};
use wire::EthAddr;

use crate::action::Action;
use crate::message::{FlowMod, Message, NO_BUFFER, PacketIn, PacketOut, PortDesc, SwitchConfig};
use crate::version::Version;

/// How a [`LearningSwitch`] behaves. The default is what `ovs-testcontroller` does without options.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Learn addresses; false floods everything.
    pub learn: bool,
    /// Seconds without packets after which flows go, 0 for never; `None` sets up no flows.
    pub max_idle: Option<u16>,
    /// Output by `NORMAL` instead of to the port that was learned.
    pub normal: bool,
    /// Wildcard bits of OpenFlow 1.0 for flows: 0 for exact ones.
    pub wildcards: u32,
    /// Queue for output.
    pub queue: Option<u32>,
    /// Queue for packets from ports with these names.
    pub port_queues: HashMap<String, u32>,
    /// Send nothing once the version is negotiated.
    pub mute: bool,
    /// Flows for each switch that connects.
    pub flows: Vec<FlowMod>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            learn: true,
            max_idle: Some(60),
            normal: false,
            wildcards: 0,
            queue: None,
            port_queues: HashMap::new(),
            mute: false,
            flows: Vec::new(),
        }
    }
}

/// Addresses that are remembered at once.
const MAX_ADDRESSES: usize = 2048;
/// Seconds for which an address is remembered.
const MAX_AGE: u64 = 60;
/// Bytes of a packet that the switch sends.
const MISS_LEN: u16 = 128;

/// One switch: what is known of it. Feed it [`super::Event`]s and send what it returns.
#[derive(Debug)]
pub struct LearningSwitch {
    settings: Settings,
    /// Port and time in seconds at which an address was last seen, whatever the VLAN.
    addresses: HashMap<EthAddr, (OfPort, u64)>,
    queues: HashMap<OfPort, u32>,
}

impl LearningSwitch {
    /// A switch of which nothing is known.
    pub fn new(settings: Settings) -> LearningSwitch {
        LearningSwitch { settings, addresses: HashMap::new(), queues: HashMap::new() }
    }

    /// What to send to a switch that became ready.
    pub fn ready(&mut self, version: Version, ports: &[PortDesc]) -> Vec<Message> {
        self.learn_ports(ports);
        if self.settings.mute {
            return Vec::new();
        }
        let mut out = vec![Message::SetConfig(SwitchConfig { flags: 0, miss_send_len: MISS_LEN })];
        if version >= Version::V13 {
            // OpenFlow 1.3 §5.4: without this flow a miss is a drop.
            let actions = vec![Action::Output { port: OfPort::CONTROLLER, max_len: MISS_LEN }];
            out.push(Message::FlowMod(FlowMod { priority: 0, actions, ..FlowMod::default() }));
            if !self.settings.port_queues.is_empty() {
                out.push(Message::PortDescRequest(OfPort::ANY));
            }
        }
        out.extend(self.settings.flows.iter().cloned().map(Message::FlowMod));
        out
    }

    /// Takes a message in at `now` (seconds of any clock that does not go back); tells what to send.
    pub fn input(&mut self, message: &Message, now: u64) -> Vec<Message> {
        match message {
            Message::PacketIn(p) if !self.settings.mute => self.packet_in(p, now),
            Message::PortDescReply(ports) => {
                self.learn_ports(&ports.entries);
                Vec::new()
            }
            Message::PortStatus(s) => {
                self.learn_ports(std::slice::from_ref(&s.desc));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn learn_ports(&mut self, ports: &[PortDesc]) {
        for p in ports {
            if let Some(queue) = self.settings.port_queues.get(&p.name) {
                self.queues.insert(p.port, *queue);
            }
        }
    }

    fn packet_in(&mut self, p: &PacketIn, now: u64) -> Vec<Message> {
        let in_port = p.in_port();
        let mut meta = flow::Metadata::default();
        meta.key.set_in_port(in_port);
        let key = flow::extract(&p.packet, &meta);
        let out_port = self.choose(&key, in_port, now);
        let actions = match out_port {
            None => Vec::new(),
            Some(port) => vec![self.output(port, in_port)],
        };
        let mut out = Vec::new();
        let settled = out_port != Some(OfPort::FLOOD) || !self.settings.learn;
        if let Some(idle) = self.settings.max_idle.filter(|_| settled) {
            let flow = FlowMod {
                priority: 1,
                idle_timeout: idle,
                buffer_id: p.buffer_id,
                matching: MiniMatch::new(&match_of(&key, self.settings.wildcards)),
                actions: actions.clone(),
                ..FlowMod::default()
            };
            out.push(Message::FlowMod(flow));
            if p.buffer_id != NO_BUFFER {
                return out;
            }
        }
        if out_port.is_some() || p.buffer_id != NO_BUFFER {
            let mut m = Match::any();
            m.set_in_port(in_port);
            let packet = if p.buffer_id == NO_BUFFER { p.packet.clone() } else { Vec::new() };
            let metadata = MiniMatch::new(&m);
            out.push(Message::PacketOut(PacketOut { buffer_id: p.buffer_id, metadata, actions, packet }));
        }
        out
    }

    /// Where a packet goes: `None` for nowhere.
    fn choose(&mut self, key: &FlowKey, in_port: OfPort, now: u64) -> Option<OfPort> {
        if self.settings.learn && !key.eth_src().is_multicast() {
            if self.addresses.len() >= MAX_ADDRESSES {
                self.addresses.retain(|_, (_, seen)| now.saturating_sub(*seen) < MAX_AGE);
            }
            if self.addresses.len() < MAX_ADDRESSES {
                self.addresses.insert(key.eth_src(), (in_port, now));
            }
        }
        // IEEE 802.1D-2004 table 7-10: addresses that bridges do not forward.
        let dst = key.eth_dst();
        if dst.0[..5] == [0x01, 0x80, 0xc2, 0, 0] && dst.0[5] & 0xf0 == 0 {
            return None;
        }
        if !self.settings.learn {
            return Some(OfPort::FLOOD);
        }
        match self.addresses.get(&dst) {
            Some((port, seen)) if now.saturating_sub(*seen) < MAX_AGE => {
                if *port == in_port {
                    None
                } else if self.settings.normal {
                    Some(OfPort::NORMAL)
                } else {
                    Some(*port)
                }
            }
            _ => Some(OfPort::FLOOD),
        }
    }

    fn output(&self, port: OfPort, in_port: OfPort) -> Action {
        let queue = self.queues.get(&in_port).copied().or(self.settings.queue);
        match queue {
            Some(queue) if port.0 < OfPort::MAX.0 => Action::Enqueue { port, queue },
            _ => Action::Output { port, max_len: 0 },
        }
    }
}

/// The match on what OpenFlow 1.0 can say of a packet, without what `wildcards` leaves out.
fn match_of(key: &FlowKey, wildcards: u32) -> Match {
    use flow::Field;
    let mut m = Match::any();
    let exact = |bit: u32| wildcards & bit == 0;
    let mut set = |bit: u32, field: Field| {
        if exact(bit) {
            m.set(field, key.get(field));
        }
    };
    set(1 << 2, Field::ETH_SRC);
    set(1 << 3, Field::ETH_DST);
    set(1 << 4, Field::ETH_TYPE);
    let v4 = key.eth_type() == 0x0800;
    if v4 || key.eth_type() == 0x0806 {
        set(1 << 5, Field::NW_PROTO);
        if v4 {
            set(1 << 21, Field::IP_DSCP);
        }
        let l4 = matches!(key.nw_proto(), 1 | 6 | 17) && v4 && key.nw_frag() & 2 == 0;
        if l4 {
            set(1 << 6, Field::TCP_SRC);
            set(1 << 7, Field::TCP_DST);
        }
        for (shift, field) in [(8, Field::IP_SRC), (14, Field::IP_DST)] {
            let wild = (wildcards >> shift & 0x3f).min(32);
            let mask = u32::MAX.checked_shl(wild).unwrap_or(0);
            if mask != 0 {
                m.set_masked(field, key.get(field), u128::from(mask));
            }
        }
    }
    if exact(1) {
        m.set_in_port(key.in_port());
    }
    let tci = key.vlan_tci(0);
    let (vid, pcp) = (exact(1 << 1), exact(1 << 20));
    let mask = match (tci & 0x1000 != 0, vid, pcp) {
        (_, false, false) => 0,
        (false, true, true) => 0xffff,
        (false, ..) => 0x1fff,
        (true, true, true) => 0xffff,
        (true, true, false) => 0x1fff,
        (true, false, true) => 0xf000,
    };
    m.mask.set_vlan_tci(0, mask);
    m.key.set_vlan_tci(0, tci & mask);
    m
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::PacketInFormat;

    fn packet(dst: u8, src: u8) -> Vec<u8> {
        let mut p = vec![2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 0x88, 0xb5];
        p.resize(60, 0);
        p
    }

    fn packet_in(port: u32, packet: Vec<u8>) -> Message {
        let mut m = Match::any();
        m.set_in_port(OfPort(port));
        Message::PacketIn(PacketIn {
            buffer_id: NO_BUFFER,
            total_len: packet.len() as u32,
            reason: crate::action::PacketInReason::NoMatch,
            table: crate::TableId(0),
            cookie: u64::MAX,
            metadata: MiniMatch::new(&m),
            packet,
            userdata: Vec::new(),
            continuation: None,
            format: PacketInFormat::Standard,
        })
    }

    fn outputs(messages: &[Message]) -> Vec<String> {
        messages
            .iter()
            .map(|m| {
                let (kind, actions) = match m {
                    Message::FlowMod(f) => ("flow", &f.actions),
                    Message::PacketOut(p) => ("packet", &p.actions),
                    _ => return "?".to_string(),
                };
                let mut text = format!("{kind} ");
                crate::action::text::format(&mut text, &Default::default(), actions);
                text
            })
            .collect()
    }

    #[test]
    fn learning() {
        let mut s = LearningSwitch::new(Settings::default());
        let mut check = |port, dst, src, now, want: &[&str]| {
            assert_eq!(outputs(&s.input(&packet_in(port, packet(dst, src)), now)), want);
        };
        check(1, 2, 1, 0, &["packet FLOOD"]);
        check(2, 1, 2, 1, &["flow output:1", "packet output:1"]);
        check(1, 2, 1, 2, &["flow output:2", "packet output:2"]);
        check(1, 1, 2, 3, &["flow drop"]);
        check(3, 9, 3, 4, &["packet FLOOD"]);
        check(1, 2, 1, 200, &["packet FLOOD"]);
    }

    #[test]
    fn options() {
        let check = |settings: Settings, want: &[&str]| {
            let mut s = LearningSwitch::new(settings);
            s.input(&packet_in(1, packet(2, 1)), 0);
            assert_eq!(outputs(&s.input(&packet_in(2, packet(1, 2)), 0)), want);
        };
        check(Settings { learn: false, ..Settings::default() }, &["flow FLOOD", "packet FLOOD"]);
        check(Settings { max_idle: None, ..Settings::default() }, &["packet output:1"]);
        check(Settings { normal: true, ..Settings::default() }, &["flow NORMAL", "packet NORMAL"]);
        check(Settings { queue: Some(3), ..Settings::default() }, &["flow enqueue:1:3", "packet enqueue:1:3"]);
        check(Settings { mute: true, ..Settings::default() }, &[]);
    }
}
