//! Session messages: hello, features, configuration, roles, asynchronous configuration, bundles, tunnel options.

use std::net::Ipv6Addr;

use super::ports::PortDesc;
use super::{GroupMod, Message, MeterMod};
use crate::version::{Version, Xid};

/// Hello. The bitmap is what an element of OpenFlow 1.3.1 and later says; without one, only the header's version counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hello {
    /// Bit N set: version byte N is supported.
    pub versions: u32,
    /// Whether the message carried (or shall carry) the bitmap element.
    pub bitmap: bool,
}

impl Hello {
    /// A hello for these versions.
    pub fn new(versions: &[Version]) -> Hello {
        Hello { versions: versions.iter().fold(0, |a, v| a | 1 << v.to_wire()), bitmap: true }
    }
}

/// OFPC_FLOW_STATS: flow statistics.
pub const CAP_FLOW_STATS: u32 = 1 << 0;
/// OFPC_TABLE_STATS: table statistics.
pub const CAP_TABLE_STATS: u32 = 1 << 1;
/// OFPC_PORT_STATS: port statistics.
pub const CAP_PORT_STATS: u32 = 1 << 2;
/// OFPC11_GROUP_STATS: group statistics (1.1 and later; in 1.0 the bit means 802.1D).
pub const CAP_GROUP_STATS: u32 = 1 << 3;
/// OFPC_IP_REASM: can reassemble fragments.
pub const CAP_IP_REASM: u32 = 1 << 5;
/// OFPC_QUEUE_STATS: queue statistics.
pub const CAP_QUEUE_STATS: u32 = 1 << 6;
/// OFPC_ARP_MATCH_IP: matches addresses in ARP packets (1.0).
pub const CAP_ARP_MATCH_IP: u32 = 1 << 7;
/// OFPC12_PORT_BLOCKED: may block ports (1.2 and later).
pub const CAP_PORT_BLOCKED: u32 = 1 << 8;
/// OFPC14_BUNDLES: bundles (1.4 and later).
pub const CAP_BUNDLES: u32 = 1 << 9;
/// OFPC14_FLOW_MONITORING: flow monitors (1.4 and later).
pub const CAP_FLOW_MONITORING: u32 = 1 << 10;

/// Features reply.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Features {
    /// Datapath id.
    pub datapath_id: u64,
    /// Packets that can be buffered.
    pub n_buffers: u32,
    /// Tables.
    pub n_tables: u8,
    /// Auxiliary connection (1.3 and later).
    pub auxiliary_id: u8,
    /// `CAP_*` bits as the wire has them in this version.
    pub capabilities: u32,
    /// Actions, 1.0 only: bit N for action type N.
    pub actions: u32,
    /// Ports (1.0 to 1.2).
    pub ports: Vec<PortDesc>,
}

/// Switch configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SwitchConfig {
    /// Fragments (bits 0 and 1): 0 normal, 1 drop, 2 reassemble, 3 nx-match; bit 2: TTL 1 and 0 to the controller.
    pub flags: u16,
    /// Bytes of a packet that go to the controller on a miss.
    pub miss_send_len: u16,
}

/// A controller's role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum ControllerRole {
    /// Ask only (1.2 and later).
    NoChange = 0,
    Equal = 1,
    Primary = 2,
    Secondary = 3,
}

/// Role request or reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Role {
    /// Role.
    pub role: ControllerRole,
    /// Generation, absent in the Nicira form (and where all bits are set).
    pub generation_id: Option<u64>,
    /// Nicira form, which also 1.2 and later may use.
    pub nicira: bool,
}

/// Role status (1.4, ONF in 1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoleStatus {
    /// New role.
    pub role: ControllerRole,
    /// 0 another controller became primary, 1 configuration changed, 2 experimenter.
    pub reason: u8,
    /// Generation.
    pub generation_id: u64,
}

/// Kinds of asynchronous messages; index of [`AsyncConfig::masks`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum AsyncKind {
    PacketIn = 0,
    PortStatus = 1,
    FlowRemoved = 2,
    RoleStatus = 3,
    TableStatus = 4,
    RequestForward = 5,
}

/// Wire form of an asynchronous configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AsyncForm {
    /// The version's own.
    Standard,
    /// NXT_SET_ASYNC_CONFIG.
    Nicira,
    /// NXT_SET_ASYNC_CONFIG2.
    Nicira2,
}

/// Which asynchronous messages a controller gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AsyncConfig {
    /// For each [`AsyncKind`], a bit for each reason: index 0 as primary (or other), 1 as secondary. `None`: not said.
    pub masks: [[Option<u32>; 2]; 6],
    /// Wire form.
    pub form: AsyncForm,
}

/// A change by another controller (1.4 and later; vendor messages before).
#[derive(Clone, PartialEq, Debug)]
pub enum RequestForward {
    /// Group.
    Group(GroupMod),
    /// Meter.
    Meter(MeterMod),
}

/// What a bundle control message asks or answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum BundleCtrlType {
    OpenRequest = 0,
    OpenReply = 1,
    CloseRequest = 2,
    CloseReply = 3,
    CommitRequest = 4,
    CommitReply = 5,
    DiscardRequest = 6,
    DiscardReply = 7,
}

/// Bundle flag: all or nothing.
pub const BUNDLE_ATOMIC: u16 = 1;
/// Bundle flag: in order.
pub const BUNDLE_ORDERED: u16 = 2;

/// Bundle control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BundleControl {
    /// Bundle.
    pub id: u32,
    /// Kind.
    pub ty: BundleCtrlType,
    /// [`BUNDLE_ATOMIC`], [`BUNDLE_ORDERED`].
    pub flags: u16,
}

/// A message that joins a bundle.
#[derive(Clone, PartialEq, Debug)]
pub struct BundleAdd {
    /// Bundle.
    pub id: u32,
    /// [`BUNDLE_ATOMIC`], [`BUNDLE_ORDERED`].
    pub flags: u16,
    /// Transaction id of the inner message (the same as the outer one's).
    pub xid: Xid,
    /// The message: port, flow or group modification, or packet-out.
    pub message: Box<Message>,
}

/// Form of packet-in messages on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum PacketInFormat {
    Standard = 0,
    /// NXT_PACKET_IN.
    Nxt = 1,
    /// NXT_PACKET_IN2.
    Nxt2 = 2,
}

/// Maps a tunnel option to a `tun_metadata` field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlvMap {
    /// Option class.
    pub option_class: u16,
    /// Option type.
    pub option_type: u8,
    /// Bytes of the value, a multiple of 4, 4 to 124.
    pub option_len: u8,
    /// Number of the field, 0 to 63.
    pub index: u16,
}

/// Change of the table of tunnel options.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlvTableMod {
    /// 0 add, 1 delete, 2 clear.
    pub command: u16,
    /// Maps.
    pub maps: Vec<TlvMap>,
}

/// The table of tunnel options.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlvTableReply {
    /// Bytes for option values.
    pub max_option_space: u32,
    /// Number of fields.
    pub max_fields: u16,
    /// Maps.
    pub maps: Vec<TlvMap>,
}

/// One direction of a connection in [`CtFlush`]. Absent parts match everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CtTuple {
    /// Source, IPv4 as mapped address.
    pub src: Option<Ipv6Addr>,
    /// Destination.
    pub dst: Option<Ipv6Addr>,
    /// Source port.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// ICMP identifier.
    pub icmp_id: Option<u16>,
    /// ICMP type.
    pub icmp_type: Option<u8>,
    /// ICMP code.
    pub icmp_code: Option<u8>,
}

/// Removes connections.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CtFlush {
    /// IP protocol, 0 for any.
    pub ip_proto: u8,
    /// Original direction.
    pub original: CtTuple,
    /// Reply direction.
    pub reply: CtTuple,
    /// Zone.
    pub zone: Option<u16>,
    /// Mark and its mask.
    pub mark: Option<(u32, u32)>,
    /// Label and its mask.
    pub labels: Option<(u128, u128)>,
}

/// Description of the switch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Desc {
    /// Manufacturer, up to 255 bytes.
    pub manufacturer: String,
    /// Hardware.
    pub hardware: String,
    /// Software.
    pub software: String,
    /// Serial number, up to 31 bytes.
    pub serial: String,
    /// Datapath.
    pub datapath: String,
}

/// IPFIX exporter statistics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct IpfixStats {
    pub total_flows: u64,
    pub current_flows: u64,
    pub pkts: u64,
    pub ipv4_pkts: u64,
    pub ipv6_pkts: u64,
    pub error_pkts: u64,
    pub ipv4_error_pkts: u64,
    pub ipv6_error_pkts: u64,
    pub tx_pkts: u64,
    pub tx_errors: u64,
    pub collector_set_id: u32,
}
