//! Flow table messages.

use flow::{MiniMatch, OfPort};

use super::Span;
use crate::action::Action;
use crate::version::{GroupId, TableId};

/// Command of a flow_mod.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum FlowModCommand {
    Add = 0,
    Modify = 1,
    ModifyStrict = 2,
    Delete = 3,
    DeleteStrict = 4,
}

/// Flow flag: tell when the flow goes.
pub const FF_SEND_FLOW_REM: u16 = 1;
/// Flow flag: refuse overlapping flows of the same priority.
pub const FF_CHECK_OVERLAP: u16 = 2;
/// Flow flag: counters start at zero on change (1.2 and later).
pub const FF_RESET_COUNTS: u16 = 4;
/// Flow flag: no packet counter needed (1.3 and later).
pub const FF_NO_PKT_COUNTS: u16 = 8;
/// Flow flag: no byte counter needed (1.3 and later).
pub const FF_NO_BYT_COUNTS: u16 = 16;
/// Flow flag, internal: hidden in dumps and kept by non-strict deletes.
pub const FF_HIDDEN_FIELDS: u16 = 1 << 7;
/// Flow flag, internal: OpenFlow 1.0 emergency flow, which is refused.
pub const FF_EMERG: u16 = 1 << 8;
/// Flow flag, internal: `no_readonly_table` may be written.
pub const FF_NO_READONLY: u16 = 1 << 9;

/// Default priority of a flow.
pub const DEFAULT_PRIORITY: u16 = 0x8000;
/// No buffered packet.
pub const NO_BUFFER: u32 = u32::MAX;

/// Change of flow tables.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowMod {
    /// Command.
    pub command: FlowModCommand,
    /// Table; [`TableId::ALL`] for all tables (delete, modify) or the switch's choice (add).
    pub table: TableId,
    /// Priority.
    pub priority: u16,
    /// What the flow matches.
    pub matching: MiniMatch,
    /// Cookie that the flow gets; not in modify and delete of 1.1 and later unless `modify_cookie`.
    pub new_cookie: u64,
    /// Whether an existing flow's cookie changes.
    pub modify_cookie: bool,
    /// Cookie that flows to change or delete must have.
    pub cookie: u64,
    /// Bits of `cookie` that count.
    pub cookie_mask: u64,
    /// Idle timeout, seconds, 0 for none.
    pub idle_timeout: u16,
    /// Hard timeout, seconds, 0 for none.
    pub hard_timeout: u16,
    /// Importance for eviction (1.4 and later).
    pub importance: u16,
    /// Packet to send through the flow, [`NO_BUFFER`] for none.
    pub buffer_id: u32,
    /// Delete only flows that output here, [`OfPort::ANY`] for all.
    pub out_port: OfPort,
    /// Delete only flows that use this group, [`GroupId::ANY`] for all.
    pub out_group: GroupId,
    /// `FF_*` flags.
    pub flags: u16,
    /// Actions and instructions.
    pub actions: Vec<Action>,
    /// Came (or goes) as NXT_FLOW_MOD, or needs it.
    pub nicira: bool,
}

impl Default for FlowMod {
    fn default() -> FlowMod {
        FlowMod {
            command: FlowModCommand::Add,
            table: TableId::ALL,
            priority: DEFAULT_PRIORITY,
            matching: MiniMatch::default(),
            new_cookie: 0,
            modify_cookie: false,
            cookie: 0,
            cookie_mask: 0,
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            buffer_id: NO_BUFFER,
            out_port: OfPort::ANY,
            out_group: GroupId::ANY,
            flags: 0,
            actions: Vec::new(),
            nicira: false,
        }
    }
}

/// Why a flow went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum FlowRemovedReason {
    IdleTimeout = 0,
    HardTimeout = 1,
    Delete = 2,
    GroupDelete = 3,
    MeterDelete = 4,
    Eviction = 5,
    /// A number without a meaning, as received.
    Other(u8) = 255,
}

/// A flow went.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowRemoved {
    /// What it matched.
    pub matching: MiniMatch,
    /// Cookie.
    pub cookie: u64,
    /// Priority.
    pub priority: u16,
    /// Why.
    pub reason: FlowRemovedReason,
    /// Table; [`TableId::ALL`] for unknown (1.0).
    pub table: TableId,
    /// Time that it lived.
    pub duration: Span,
    /// Idle timeout.
    pub idle_timeout: u16,
    /// Hard timeout (1.2 and later).
    pub hard_timeout: u16,
    /// Packets, `u64::MAX` for unknown.
    pub packets: u64,
    /// Bytes, `u64::MAX` for unknown.
    pub bytes: u64,
    /// NXT_FLOW_REMOVED.
    pub nicira: bool,
}

/// Asks for flows, or for sums over them.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowStatsRequest {
    /// Flows within this match.
    pub matching: MiniMatch,
    /// Table, [`TableId::ALL`] for all.
    pub table: TableId,
    /// Flows that output here, [`OfPort::ANY`] for all.
    pub out_port: OfPort,
    /// Flows that use this group (1.1 and later).
    pub out_group: GroupId,
    /// Cookie (1.1 and later, or the Nicira form).
    pub cookie: u64,
    /// Bits of the cookie that count.
    pub cookie_mask: u64,
    /// Nicira form (1.0).
    pub nicira: bool,
}

impl Default for FlowStatsRequest {
    fn default() -> FlowStatsRequest {
        FlowStatsRequest {
            matching: MiniMatch::default(),
            table: TableId::ALL,
            out_port: OfPort::ANY,
            out_group: GroupId::ANY,
            cookie: 0,
            cookie_mask: 0,
            nicira: false,
        }
    }
}

/// One flow.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowStats {
    /// What it matches.
    pub matching: MiniMatch,
    /// Cookie.
    pub cookie: u64,
    /// Table.
    pub table: TableId,
    /// Priority.
    pub priority: u16,
    /// Age.
    pub duration: Span,
    /// Idle timeout.
    pub idle_timeout: u16,
    /// Hard timeout.
    pub hard_timeout: u16,
    /// Seconds since last use, `None` for unknown.
    pub idle_age: Option<u32>,
    /// Seconds since last change, `None` for unknown.
    pub hard_age: Option<u32>,
    /// Packets, `u64::MAX` for unknown.
    pub packets: u64,
    /// Bytes, `u64::MAX` for unknown.
    pub bytes: u64,
    /// Importance.
    pub importance: u16,
    /// `FF_*` flags.
    pub flags: u16,
    /// Actions and instructions.
    pub actions: Vec<Action>,
    /// Nicira form (1.0).
    pub nicira: bool,
}

impl Default for FlowStats {
    fn default() -> FlowStats {
        FlowStats {
            matching: MiniMatch::default(),
            cookie: 0,
            table: TableId(0),
            priority: DEFAULT_PRIORITY,
            duration: Span::default(),
            idle_timeout: 0,
            hard_timeout: 0,
            idle_age: None,
            hard_age: None,
            packets: 0,
            bytes: 0,
            importance: 0,
            flags: 0,
            actions: Vec::new(),
            nicira: false,
        }
    }
}

/// Sums over flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AggregateStats {
    /// Packets, `u64::MAX` for unknown.
    pub packets: u64,
    /// Bytes, `u64::MAX` for unknown.
    pub bytes: u64,
    /// Flows.
    pub flows: u32,
    /// Nicira form (1.0).
    pub nicira: bool,
}
