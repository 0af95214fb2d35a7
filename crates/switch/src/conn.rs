//! One OpenFlow connection: version negotiation, what the controller asked for, and what waits to be sent.
//!
//! Bytes go in with [`Conn::input`], requests come out; answers and events go in with [`Conn::send`] and friends, bytes come
//! out with [`Conn::take_output`].

use crate::rate_limit::{RateLimit, Scheduler};
use clock::Instant;
use openflow::action::PacketInReason;
use openflow::message::{AsyncConfig, AsyncForm, AsyncKind, ControllerRole, Hello, PacketIn, PacketInFormat};
use openflow::{Error, ErrorMsg, Message, Version, Xid};
use session::Framer;

/// Names a connection within one switch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnId(pub u64);

/// Why a connection exists; decides what it is told without asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A controller from the database that the switch connects to.
    Primary,
    /// Somebody who connected to the switch: `ovs-ofctl` on the management socket, or a passive controller target.
    Service,
    /// Somebody who reads along with what the switch and its controllers say.
    Snoop,
}

/// A whole request, decoded or not.
#[derive(Debug)]
pub struct Request {
    /// Version of the connection.
    pub version: Version,
    /// Transaction id.
    pub xid: Xid,
    /// The bytes, for error replies.
    pub raw: Vec<u8>,
    /// The message, or the error to send back.
    pub message: Result<Message, Error>,
}

const HELLO: u8 = 0;

/// Whether only switches send messages of this type: replies and events.
fn from_switch_only(version: Version, message_type: u8) -> bool {
    const FEATURES_REPLY: u8 = 6;
    const GET_CONFIG_REPLY: u8 = 8;
    const PACKET_IN: u8 = 10;
    const PORT_STATUS: u8 = 12;
    let barrier_reply = if version == Version::V10 { 19 } else { 21 };
    matches!(message_type, FEATURES_REPLY | GET_CONFIG_REPLY | PACKET_IN..=PORT_STATUS) || message_type == barrier_reply
}

/// Bytes that may wait for a client that does not read before events for it are dropped.
const MAX_QUEUED_EVENTS: usize = 4 << 20;

/// The connection.
#[derive(Debug)]
pub struct Conn {
    /// What logs call it, such as `br0<->unix#3`.
    pub name: String,
    /// Why it exists.
    pub class: Class,
    allowed: u32,
    version: Option<Version>,
    framer: Framer,
    output: Vec<u8>,
    /// Set when the peer broke the protocol; the owner sends what is queued and closes.
    pub closing: Option<String>,
    /// Its role among the controllers (OpenFlow 1.3.5 §6.3.4).
    pub role: ControllerRole,
    /// Form of its packet-ins.
    pub packet_in_format: PacketInFormat,
    /// The id that `controller` actions name.
    pub controller_id: u16,
    /// Bytes of a packet-in, or 0 for none unless a rule says so.
    pub miss_send_len: u16,
    /// Whether it asked for `invalid_ttl` packet-ins (before 1.3).
    pub invalid_ttl_to_controller: bool,
    /// Whether flow-mods name their table in the command (`NXT_FLOW_MOD_TABLE_ID`).
    pub flow_mod_table_id: bool,
    /// What it wants to be told, if it has said so.
    pub asynchronous: Option<AsyncConfig>,
    /// It is told nothing until it says what it wants (`Controller:enable_async_messages=false`).
    pub quiet: bool,
    /// Events dropped because it did not read.
    pub dropped: u64,
    /// What it wants to be told of flows.
    pub(crate) monitors: crate::monitor::Monitors,
    /// Packets on their way, if their rate is limited: those that missed, and those that rules sent.
    limiters: Option<Box<[Scheduler<PacketIn>; 2]>>,
    /// A reply that is made as far as it is read.
    pub(crate) dump: Option<crate::stats::FlowDump>,
    /// Bundles that it has not committed yet.
    pub(crate) bundles: std::collections::BTreeMap<u32, crate::bundle::Bundle>,
}

impl Conn {
    /// A connection on which nothing was said. `allowed` are the versions that it may speak.
    pub fn new(name: String, class: Class, allowed: &[Version]) -> Conn {
        let mut c = Conn {
            name,
            class,
            allowed: allowed.iter().fold(0, |bits, v| bits | 1 << v.to_wire()),
            version: None,
            framer: Framer::new(),
            output: vec![],
            closing: None,
            role: ControllerRole::Equal,
            packet_in_format: PacketInFormat::Standard,
            controller_id: 0,
            // A service connection gets no packets unless it asks (ovs-ofctl(8), monitor).
            miss_send_len: if class == Class::Primary { 128 } else { 0 },
            invalid_ttl_to_controller: false,
            flow_mod_table_id: false,
            asynchronous: None,
            quiet: false,
            dropped: 0,
            monitors: crate::monitor::Monitors::default(),
            limiters: None,
            dump: None,
            bundles: std::collections::BTreeMap::new(),
        };
        let newest = Version::ALL.into_iter().rev().find(|v| c.allowed & 1 << v.to_wire() != 0).unwrap_or(Version::V10);
        c.output.extend(Message::Hello(Hello { versions: c.allowed, bitmap: true }).encode(newest, 1));
        c
    }

    /// The version agreed on, once there is one.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes bytes; yields requests in order. Hello and echo are answered here.
    pub fn input(&mut self, bytes: &[u8]) -> Vec<Request> {
        let mut requests = vec![];
        self.framer.push(bytes);
        while self.closing.is_none() {
            let raw = match self.framer.next_message() {
                Ok(None) => break,
                Ok(Some(m)) => m.to_vec(),
                Err(e) => {
                    self.closing = Some(e.to_string());
                    break;
                }
            };
            match self.version {
                None => self.hello(&raw),
                Some(v) => {
                    if let Some(r) = self.request(v, raw) {
                        requests.push(r);
                    }
                }
            }
        }
        requests
    }

    /// The first message must be a hello (OpenFlow 1.3.5 §6.3.1); both sides then speak the newest common version.
    fn hello(&mut self, raw: &[u8]) {
        let hello = match openflow::decode(raw) {
            Ok((_, _, Message::Hello(h))) => h,
            _ => {
                self.closing = Some("received message before hello".into());
                return;
            }
        };
        let common = hello.versions & self.allowed;
        match Version::ALL.into_iter().rev().find(|v| common & 1 << v.to_wire() != 0) {
            Some(v) => self.version = Some(v),
            None => {
                let names = |bits: u32| {
                    let list: Vec<String> =
                        (1..32).filter(|b| bits & 1 << b != 0).map(|b| format!("{b:#04x}")).collect();
                    list.join(", ")
                };
                let text = format!(
                    "We support versions {}, you support versions {}, no common versions.",
                    names(self.allowed),
                    names(hello.versions)
                );
                let theirs = Version::from_wire(raw[0]).unwrap_or(Version::V10);
                let error =
                    ErrorMsg { error: Some(Error::HelloFailedIncompatible), raw: (0, 0, 0), data: text.clone().into() };
                self.output.extend(Message::Error(error).encode(theirs, 0));
                self.closing = Some(format!("version negotiation failed ({text})"));
            }
        }
    }

    fn request(&mut self, version: Version, raw: Vec<u8>) -> Option<Request> {
        let xid = u32::from_be_bytes([raw[4], raw[5], raw[6], raw[7]]);
        if raw[0] != version.to_wire() && raw[1] != HELLO {
            self.send_error(Error::BadRequestBadVersion, &raw);
            return None;
        }
        if from_switch_only(version, raw[1]) {
            self.send_error(Error::BadRequestBadType, &raw);
            return None;
        }
        let options = openflow::codec::Options { table_id: self.flow_mod_table_id, ..Default::default() };
        let message = match Message::decode_with(&raw, options) {
            Ok((_, _, Message::EchoReply(_))) => return None,
            Ok((_, _, Message::Hello(_) | Message::Error(_))) => Err(Error::BadRequestBadType),
            Ok((_, _, Message::EchoRequest(data))) => {
                self.reply(xid, Message::EchoReply(data));
                return None;
            }
            Ok((_, _, m)) => Ok(m),
            Err(e) => Err(e),
        };
        Some(Request { version, xid, raw, message })
    }

    /// Queues messages that were said on another connection.
    pub fn overheard(&mut self, messages: &[u8]) {
        if self.version.is_none() {
            return;
        }
        if self.output.len() > MAX_QUEUED_EVENTS {
            self.dropped += 1;
            return;
        }
        self.output.extend_from_slice(messages);
    }

    /// Queues an answer to the request with this transaction id.
    pub fn reply(&mut self, xid: Xid, message: Message) {
        if let Some(v) = self.version {
            self.output.extend(message.encode(v, xid));
        }
    }

    /// Queues an error about a request.
    pub fn send_error(&mut self, error: Error, request: &[u8]) {
        let Some(v) = self.version else { return };
        let xid = request.get(4..8).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        self.output.extend(Message::Error(ErrorMsg::new(error, request)).encode(v, xid));
    }

    /// Queues something that the controller did not ask for; dropped and counted if it does not read what it gets.
    pub fn event(&mut self, message: Message) {
        let Some(v) = self.version else { return };
        if self.output.len() > MAX_QUEUED_EVENTS {
            self.dropped += 1;
            return;
        }
        self.output.extend(message.encode(v, 0));
    }

    /// Whether the controller wants events of a kind for a reason.
    pub fn wants(&self, kind: AsyncKind, reason: u8) -> bool {
        // A service connection that has not set miss_send_len has not asked for anything.
        if self.class == Class::Snoop || self.class == Class::Service && self.miss_send_len == 0 {
            return false;
        }
        let secondary = self.role == ControllerRole::Secondary;
        let configured = self.asynchronous.and_then(|a| a.masks[kind as usize][usize::from(secondary)]);
        let mask = configured.unwrap_or_else(|| if self.quiet { 0 } else { self.default_mask(kind, secondary) });
        mask & 1u32.checked_shl(reason.into()).unwrap_or(0) != 0
    }

    fn default_mask(&self, kind: AsyncKind, secondary: bool) -> u32 {
        match (kind, secondary) {
            // All reasons but invalid_ttl (bit 2).
            (AsyncKind::PacketIn, false) => 0x3b | u32::from(self.invalid_ttl_to_controller) << 2,
            (AsyncKind::PortStatus, _) => 7,
            (AsyncKind::FlowRemoved, false) => 0x3f,
            (AsyncKind::RoleStatus, _) => 3,
            _ => 0,
        }
    }

    /// What the controller wants, for get-async requests.
    pub fn async_config(&self) -> AsyncConfig {
        let kinds = [
            AsyncKind::PacketIn,
            AsyncKind::PortStatus,
            AsyncKind::FlowRemoved,
            AsyncKind::RoleStatus,
            AsyncKind::TableStatus,
            AsyncKind::RequestForward,
        ];
        let set = self.asynchronous.map(|a| a.masks).unwrap_or_default();
        // Before OpenFlow 1.4 there were fewer reasons. Role status goes out unless it is turned off, and like the original
        // the switch does not say so.
        let old = self.version().is_some_and(|v| v < Version::V14);
        let known = |k: AsyncKind| match k {
            AsyncKind::PacketIn if old => 0x7,
            AsyncKind::FlowRemoved if old => 0xf,
            AsyncKind::PacketIn | AsyncKind::FlowRemoved | AsyncKind::PortStatus => u32::MAX,
            _ => 0,
        };
        let mask = |k: AsyncKind, s: bool| {
            set[k as usize][usize::from(s)].unwrap_or_else(|| self.default_mask(k, s) & known(k))
        };
        let masks = kinds.map(|k| [false, true].map(|s| Some(mask(k, s))));
        AsyncConfig { masks, form: AsyncForm::Standard }
    }

    /// Limits the rate of packets.
    pub fn limit_packets(&mut self, limit: Option<RateLimit>, now: Instant) {
        match (&mut self.limiters, limit) {
            (Some(limiters), Some(limit)) => limiters.iter_mut().for_each(|l| l.set_limit(limit)),
            (limiters, limit) => {
                *limiters = limit.map(|l| Box::new([Scheduler::new(l, now), Scheduler::new(l, now)]));
            }
        }
    }

    /// What became of packets under a limit, with names as `Controller:status` has them; none without a limit.
    pub fn packet_counters(&self) -> Vec<(&'static str, u64)> {
        let Some([missed, sent]) = self.limiters.as_deref() else { return vec![] };
        vec![
            ("packet-in-miss-bypassed", missed.bypassed),
            ("packet-in-miss-queued", missed.queued),
            ("packet-in-miss-dropped", missed.dropped),
            ("packet-in-miss-backlog", missed.backlog() as u64),
            ("packet-in-action-bypassed", sent.bypassed),
            ("packet-in-action-queued", sent.queued),
            ("packet-in-action-dropped", sent.dropped),
            ("packet-in-action-backlog", sent.backlog() as u64),
        ]
    }

    /// Queues a packet-in in the form that the connection asked for, now or when its rate allows. There are no buffers in
    /// which the rest of a packet could wait, so all of it is sent, whatever length was asked for.
    pub fn packet_in(&mut self, mut packet_in: PacketIn, now: Instant) {
        packet_in.format = self.packet_in_format;
        let missed = packet_in.reason != PacketInReason::Action;
        let may_go = match &mut self.limiters {
            None => Some(packet_in),
            Some(l) => l[usize::from(!missed)].offer(packet_in.in_port(), packet_in, now),
        };
        if let Some(p) = may_go {
            self.event(Message::PacketIn(p));
        }
    }

    /// Queues packets whose time has come; whether there were any.
    pub fn release_packets(&mut self, now: Instant) -> bool {
        let Some(limiters) = &mut self.limiters else { return false };
        let packets: Vec<PacketIn> = limiters.iter_mut().flat_map(|l| l.release(now)).collect();
        let any = !packets.is_empty();
        packets.into_iter().for_each(|p| self.event(Message::PacketIn(p)));
        any
    }

    /// When [`Conn::release_packets`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.limiters.as_ref()?.iter().filter_map(Scheduler::next_deadline).min()
    }

    /// The bytes that wait to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether bytes wait to be sent.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Bytes that wait to be sent.
    pub fn backlog(&self) -> usize {
        self.output.len()
    }
}
