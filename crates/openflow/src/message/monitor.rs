//! Flow monitors.

use flow::{MiniMatch, OfPort};

use super::FlowRemovedReason;
use crate::action::Action;
use crate::version::{GroupId, TableId, Xid};

/// Monitor flag: what is there at the start.
pub const FM_INITIAL: u16 = 1;
/// Monitor flag: flows that are added.
pub const FM_ADD: u16 = 2;
/// Monitor flag: flows that are removed.
pub const FM_DELETE: u16 = 4;
/// Monitor flag: flows that are changed.
pub const FM_MODIFY: u16 = 8;
/// Monitor flag: with the actions.
pub const FM_ACTIONS: u16 = 16;
/// Monitor flag: full updates also for the controller's own changes (1.4 and later).
pub const FM_NO_ABBREV: u16 = 32;
/// Monitor flag: only the controller's own changes (1.4 and later; `own` before).
pub const FM_ONLY_OWN: u16 = 64;

/// Asks to be told of flow changes.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowMonitorRequest {
    /// Monitor.
    pub id: u32,
    /// 0 add, 1 modify, 2 delete (1.4 and later).
    pub command: u8,
    /// `FM_*` flags.
    pub flags: u16,
    /// Flows that output here, [`OfPort::ANY`] for all.
    pub out_port: OfPort,
    /// Flows that use this group (1.4 and later).
    pub out_group: GroupId,
    /// Table, [`TableId::ALL`] for all.
    pub table: TableId,
    /// Flows within this match.
    pub matching: MiniMatch,
}

/// A change.
#[derive(Clone, PartialEq, Debug)]
pub enum FlowUpdate {
    /// A flow came, changed or went.
    Full(Box<FlowUpdateFull>),
    /// The controller's own change with this transaction.
    Abbrev(Xid),
    /// Updates pause (1.4 and later).
    Paused,
    /// Updates go on (1.4 and later).
    Resumed,
}

/// What happened to a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum FlowEvent {
    Initial,
    Added,
    Deleted,
    Modified,
}

/// A flow that came, changed or went.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowUpdateFull {
    /// What happened.
    pub event: FlowEvent,
    /// Why it went.
    pub reason: FlowRemovedReason,
    /// Priority.
    pub priority: u16,
    /// Idle timeout.
    pub idle_timeout: u16,
    /// Hard timeout.
    pub hard_timeout: u16,
    /// Table.
    pub table: TableId,
    /// Cookie.
    pub cookie: u64,
    /// Match.
    pub matching: MiniMatch,
    /// Actions, if asked for.
    pub actions: Vec<Action>,
}
