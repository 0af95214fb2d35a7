//! What goes into a translation and what comes out.

use std::sync::Arc;

use clock::Instant;
use datapath::{DpAction, DropReason, SlowReason};
use flow::{FlowKey, FlowMask, OfPort};
use openflow::action::{Action, Learn, PacketInReason};
use openflow::{GroupId, TableId};
use wire::EthAddr;

use crate::trace::{Describe, Trace};
use crate::view::{BridgeId, BundleId, Group, Rule};

/// Where a translation starts.
#[derive(Clone, Debug, Default)]
pub enum Start<'a> {
    /// In table 0, or, for a key with a recirculation id, where its frozen state says.
    #[default]
    Tables,
    /// With these actions (packet-out).
    Actions(&'a [Action]),
    /// In this table.
    Table(TableId),
}

/// A question: what happens to this packet?
#[derive(Clone)]
pub struct Request<'a> {
    /// Bridge the packet enters, with the OpenFlow port in the key.
    pub bridge: BridgeId,
    /// Fields; the input port is an OpenFlow port.
    pub key: FlowKey,
    /// Bytes, where there are any; without them nothing is said to controllers or protocols.
    pub packet: Option<&'a [u8]>,
    /// Where to start.
    pub start: Start<'a>,
    /// Now.
    pub now: Instant,
    /// Record the way, with these names.
    pub trace: Option<&'a dyn Describe>,
    /// Learn: report what a packet that really passes changes. A trace has none.
    pub side_effects: bool,
    /// TCP flags of all packets of the flow so far, for timeouts at the end of a connection.
    pub tcp_flags: u16,
}

impl<'a> Request<'a> {
    /// A packet that enters a bridge.
    #[must_use]
    pub fn packet(bridge: BridgeId, key: FlowKey, packet: Option<&'a [u8]>, now: Instant) -> Self {
        Request { bridge, key, packet, start: Start::Tables, now, trace: None, side_effects: true, tcp_flags: 0 }
    }
}

/// Something whose counters a packet moves.
#[derive(Clone, Debug)]
pub enum Credit {
    /// A rule.
    Rule(Arc<Rule>),
    /// A lookup in a table, and whether it found a rule.
    Lookup {
        /// Bridge.
        bridge: BridgeId,
        /// Table.
        table: TableId,
        /// Found one.
        matched: bool,
    },
    /// A group, and which of its buckets.
    Group(Arc<Group>, Option<usize>),
    /// A patch port sent the packet to its peer.
    Patch {
        /// Bridge it left.
        bridge: BridgeId,
        /// By this port.
        port: OfPort,
        /// Bridge it entered.
        peer_bridge: BridgeId,
        /// By this port.
        peer: OfPort,
    },
    /// Mirrors (bit per mirror) copied the packet.
    Mirrors(BridgeId, u32),
}

/// What a packet that passes changes, besides counters.
#[derive(Clone, Debug)]
pub enum Effect {
    /// An address was seen.
    LearnMac {
        /// Bridge.
        bridge: BridgeId,
        /// VLAN.
        vlan: u16,
        /// Address.
        mac: EthAddr,
        /// Behind this port.
        bundle: BundleId,
        /// In a gratuitous ARP packet.
        gratuitous_arp: bool,
    },
    /// A `learn` action made or refreshed a flow.
    LearnFlow {
        /// Bridge.
        bridge: BridgeId,
        /// The flow.
        flow: Box<LearnedFlow>,
        /// Rule whose action it was.
        rule: Option<Arc<Rule>>,
    },
    /// A TCP connection ended.
    FinTimeout {
        /// Rule to shorten.
        rule: Arc<Rule>,
        /// Idle timeout in seconds, 0: leave.
        idle: u16,
        /// Hard timeout, 0: leave.
        hard: u16,
    },
    /// The packet, as it was then, goes to the controllers. Only from translations whose datapath actions do not carry
    /// it (packets handled by the switch itself).
    PacketIn(Box<ToController>),
    /// A protocol of the switch takes the packet.
    Special {
        /// Bridge.
        bridge: BridgeId,
        /// Port it came in by.
        port: OfPort,
        /// Which.
        reason: SlowReason,
    },
}

/// A flow that a `learn` action makes.
#[derive(Clone, Debug)]
pub struct LearnedFlow {
    /// The action.
    pub spec: Learn,
    /// Match of the new flow.
    pub matching: flow::Match,
    /// Its actions.
    pub actions: Vec<Action>,
    /// Of a flow that was not there: what the packet that taught it, and those that follow it through the datapath, count
    /// for it until it is in its table.
    pub counters: Option<Arc<crate::view::Counters>>,
}

/// A packet for the controllers.
#[derive(Clone, Debug)]
pub struct ToController {
    /// Bridge.
    pub bridge: BridgeId,
    /// Reason.
    pub reason: PacketInReason,
    /// Table of the rule.
    pub table: TableId,
    /// Cookie of the rule, all ones for none.
    pub cookie: u64,
    /// Bytes to send.
    pub max_len: u16,
    /// Controller.
    pub controller_id: u16,
    /// Fields of the packet then.
    pub key: FlowKey,
    /// User data.
    pub userdata: Vec<u8>,
}

/// An answer.
#[derive(Debug, Default)]
pub struct Xlate {
    /// What the datapath is to do.
    pub actions: Vec<DpAction>,
    /// Bits of the key that were looked at: packets that agree on them get the same answer.
    pub mask: FlowMask,
    /// Changes.
    pub effects: Vec<Effect>,
    /// Counters.
    pub credits: Vec<Credit>,
    /// Why each packet has to come to the switch, if any.
    pub slow: SlowReason,
    /// The packet is dropped because the tables are wrong.
    pub error: Option<XlateError>,
    /// The fields at the end.
    pub final_key: FlowKey,
    /// Groups used, for those who wait for their change.
    pub groups: Vec<(BridgeId, GroupId)>,
    /// The way, where asked for.
    pub trace: Option<Trace>,
    /// Bridges and ports that the packet passed through by patch ports have VLANs and tags; see [`Credit::Patch`].
    pub output: Option<OfPort>,
}

/// Why tables gave no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum XlateError {
    BridgeNotFound,
    RecursionTooDeep,
    TooManyResubmits,
    StackTooDeep,
    NoRecirculationContext,
    RecirculationConflict,
    TooManyMplsLabels,
    InvalidTunnelMetadata,
    UnsupportedPacketType,
    CongestionDrop,
    ForwardingDisabled,
}

impl XlateError {
    /// As the trace says it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            XlateError::BridgeNotFound => "Bridge not found",
            XlateError::RecursionTooDeep => "Recursion too deep",
            XlateError::TooManyResubmits => "Too many resubmits",
            XlateError::StackTooDeep => "Stack too deep",
            XlateError::NoRecirculationContext => "No recirculation context",
            XlateError::RecirculationConflict => "Recirculation conflict",
            XlateError::TooManyMplsLabels => "Too many MPLS labels",
            XlateError::InvalidTunnelMetadata => "Invalid tunnel metadata",
            XlateError::UnsupportedPacketType => "Unsupported packet type",
            XlateError::CongestionDrop => "ECN mismatch at tunnel decapsulation",
            XlateError::ForwardingDisabled => "Forwarding disabled by STP or RSTP",
        }
    }

    /// The reason of the datapath's drop action.
    #[must_use]
    pub const fn drop_reason(self) -> DropReason {
        match self {
            XlateError::BridgeNotFound => DropReason::BridgeNotFound,
            XlateError::RecursionTooDeep => DropReason::RecursionTooDeep,
            XlateError::TooManyResubmits => DropReason::TooManyResubmits,
            XlateError::StackTooDeep => DropReason::StackTooDeep,
            XlateError::NoRecirculationContext => DropReason::NoRecirculationContext,
            XlateError::RecirculationConflict => DropReason::RecirculationConflict,
            XlateError::TooManyMplsLabels => DropReason::TooManyMplsLabels,
            XlateError::InvalidTunnelMetadata => DropReason::InvalidTunnelMetadata,
            XlateError::UnsupportedPacketType => DropReason::UnsupportedPacketType,
            XlateError::CongestionDrop => DropReason::CongestionDrop,
            XlateError::ForwardingDisabled => DropReason::ForwardingDisabled,
        }
    }
}
