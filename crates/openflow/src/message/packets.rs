//! Packet-in and packet-out.

use flow::{MiniMatch, OfPort};

use super::PacketInFormat;
use crate::action::{Action, PacketInReason};
use crate::version::TableId;

/// A packet for the controller.
#[derive(Clone, PartialEq, Debug)]
pub struct PacketIn {
    /// Buffer, `u32::MAX` for none.
    pub buffer_id: u32,
    /// Length of the whole packet; `packet` may be shorter.
    pub total_len: u32,
    /// Reason.
    pub reason: PacketInReason,
    /// Table (1.1 and later).
    pub table: TableId,
    /// Cookie of the flow, `u64::MAX` for none (1.3 and later).
    pub cookie: u64,
    /// Metadata of the packet: input port, tunnel, registers and so on.
    pub metadata: MiniMatch,
    /// Bytes of the packet.
    pub packet: Vec<u8>,
    /// User data of the controller action (NXT_PACKET_IN2).
    pub userdata: Vec<u8>,
    /// State to resume with, as received (NXT_PACKET_IN2): nested properties.
    pub continuation: Option<Vec<u8>>,
    /// Wire form.
    pub format: PacketInFormat,
}

impl PacketIn {
    /// Input port.
    pub fn in_port(&self) -> OfPort {
        self.metadata.expand().key.in_port()
    }
}

/// State of a paused packet: what the continuation property holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Continuation {
    /// Bridge, as its UUID.
    pub bridge: [u8; 16],
    /// Stack: each element a value of 1 to 16 bytes, bottom first.
    pub stack: Vec<Vec<u8>>,
    /// Mirrors that have seen the packet.
    pub mirrors: u32,
    /// Whether the packet went through connection tracking.
    pub conntracked: bool,
    /// Table to go on with, where no actions are left. Actions have theirs as [`Action::UnrollXlate`] in front of them.
    pub table: Option<TableId>,
    /// Cookie of the rule that the packet came from.
    pub cookie: Option<u64>,
    /// Actions that follow.
    pub actions: Vec<Action>,
    /// Action set.
    pub action_set: Vec<Action>,
    /// Datapath port.
    pub odp_port: Option<u32>,
}

/// A packet from the controller.
#[derive(Clone, PartialEq, Debug)]
pub struct PacketOut {
    /// Buffered packet, `u32::MAX` for none.
    pub buffer_id: u32,
    /// Metadata: the input port, and from 1.5 the pipeline fields.
    pub metadata: MiniMatch,
    /// Actions.
    pub actions: Vec<Action>,
    /// Bytes of the packet, if it is not buffered.
    pub packet: Vec<u8>,
}

impl PacketOut {
    /// Input port.
    pub fn in_port(&self) -> OfPort {
        self.metadata.expand().key.in_port()
    }
}
