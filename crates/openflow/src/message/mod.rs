//! Messages, as abstract as the switch and its controllers need them: one type for a thing in all versions.

pub mod control;
pub mod flows;
pub mod groups;
pub mod meters;
pub mod monitor;
pub mod packets;
pub mod ports;
pub mod tables;

pub use control::*;
pub use flows::*;
pub use groups::*;
pub use meters::*;
pub use monitor::*;
pub use packets::*;
pub use ports::*;
pub use tables::*;

use crate::error::ErrorMsg;

/// A message. Replies that are sent in parts decode to one `Message` for each part.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Message {
    Hello(Hello),
    Error(ErrorMsg),
    EchoRequest(Vec<u8>),
    EchoReply(Vec<u8>),
    FeaturesRequest,
    FeaturesReply(Features),
    GetConfigRequest,
    GetConfigReply(SwitchConfig),
    SetConfig(SwitchConfig),
    BarrierRequest,
    BarrierReply,

    PacketIn(PacketIn),
    PacketOut(PacketOut),
    /// NXT_RESUME: a paused packet goes on.
    Resume(PacketIn),

    FlowMod(FlowMod),
    FlowRemoved(FlowRemoved),
    PortStatus(PortStatus),
    PortMod(PortMod),
    GroupMod(GroupMod),
    MeterMod(MeterMod),
    TableMod(TableMod),
    TableStatus(TableStatus),
    QueueGetConfigRequest(QueueRequest),
    QueueGetConfigReply(QueueConfigReply),
    RoleRequest(Role),
    RoleReply(Role),
    RoleStatus(RoleStatus),
    /// OFPT_SET_ASYNC, NXT_SET_ASYNC_CONFIG or NXT_SET_ASYNC_CONFIG2, see [`AsyncConfig::form`].
    SetAsync(AsyncConfig),
    GetAsyncRequest,
    GetAsyncReply(AsyncConfig),
    /// The group or meter change of another controller.
    RequestForward(RequestForward),
    BundleControl(BundleControl),
    BundleAdd(BundleAdd),

    SetFlowFormat(u32),
    /// NXT_FLOW_MOD_TABLE_ID.
    FlowModTableId(bool),
    SetPacketInFormat(PacketInFormat),
    FlowAge,
    SetControllerId(u16),
    FlowMonitorCancel(u32),
    FlowMonitorPaused,
    FlowMonitorResumed,
    TlvTableMod(TlvTableMod),
    TlvTableRequest,
    TlvTableReply(TlvTableReply),
    CtFlushZone(u16),
    CtFlush(CtFlush),

    DescRequest,
    DescReply(Desc),
    FlowStatsRequest(FlowStatsRequest),
    /// One part of the reply.
    FlowStatsReply(Multipart<FlowStats>),
    AggregateRequest(FlowStatsRequest),
    AggregateReply(AggregateStats),
    TableStatsRequest,
    TableStatsReply(Multipart<TableStats>),
    PortStatsRequest(flow::OfPort),
    PortStatsReply(Multipart<PortStats>),
    QueueStatsRequest(QueueRequest),
    QueueStatsReply(Multipart<QueueStats>),
    GroupStatsRequest(crate::GroupId),
    GroupStatsReply(Multipart<GroupStats>),
    /// The group matters from OpenFlow 1.5 only.
    GroupDescRequest(crate::GroupId),
    GroupDescReply(Multipart<GroupDesc>),
    GroupFeaturesRequest,
    GroupFeaturesReply(GroupFeatures),
    MeterStatsRequest(crate::MeterId),
    MeterStatsReply(Multipart<MeterStats>),
    MeterConfigRequest(crate::MeterId),
    MeterConfigReply(Multipart<MeterConfig>),
    MeterFeaturesRequest,
    MeterFeaturesReply(MeterFeatures),
    TableFeaturesRequest(Multipart<TableFeatures>),
    TableFeaturesReply(Multipart<TableFeatures>),
    /// The port matters from OpenFlow 1.5 only.
    PortDescRequest(flow::OfPort),
    PortDescReply(Multipart<PortDesc>),
    TableDescRequest,
    TableDescReply(Multipart<TableDesc>),
    QueueDescRequest(QueueRequest),
    QueueDescReply(Multipart<QueueDesc>),
    FlowMonitorRequest(Vec<FlowMonitorRequest>),
    FlowMonitorReply(Vec<FlowUpdate>),
    IpfixBridgeRequest,
    IpfixBridgeReply(IpfixStats),
    IpfixFlowRequest,
    IpfixFlowReply(Multipart<IpfixStats>),
}

/// Entries of a reply (or request) that may come in parts.
#[derive(Clone, PartialEq, Debug)]
pub struct Multipart<T> {
    /// Whether more parts follow.
    pub more: bool,
    /// Entries of this part.
    pub entries: Vec<T>,
    /// In the Nicira form of OpenFlow 1.0, where a kind of entry has one.
    pub nicira: bool,
}

impl<T> Multipart<T> {
    /// All entries at once; encoding splits them where they pass the length of a message.
    pub fn new(entries: Vec<T>) -> Multipart<T> {
        Multipart { more: false, entries, nicira: false }
    }

    /// The same in the Nicira form.
    #[must_use]
    pub fn in_nicira_form(self, nicira: bool) -> Multipart<T> {
        Multipart { nicira, ..self }
    }
}

impl<T> Default for Multipart<T> {
    fn default() -> Multipart<T> {
        Multipart::new(Vec::new())
    }
}

/// A time span as OpenFlow writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Span {
    /// Seconds; `u32::MAX` stands for unknown where the original says so.
    pub sec: u32,
    /// Nanoseconds, below 1,000,000,000.
    pub nsec: u32,
}

impl From<std::time::Duration> for Span {
    fn from(d: std::time::Duration) -> Span {
        Span { sec: u32::try_from(d.as_secs()).unwrap_or(u32::MAX), nsec: d.subsec_nanos() }
    }
}
