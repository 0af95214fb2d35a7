//! Groups.

use flow::{Field, FieldValue, OfPort};

use super::Span;
use crate::action::Action;
use crate::version::GroupId;

/// Kind of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum GroupType {
    All = 0,
    Select = 1,
    Indirect = 2,
    FastFailover = 3,
}

/// Command of a group_mod.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs)]
#[repr(u16)]
pub enum GroupCommand {
    Add = 0,
    Modify = 1,
    Delete = 2,
    InsertBucket = 3,
    RemoveBucket = 5,
    AddOrMod = 0x8000,
}

/// Largest bucket id.
pub const BUCKET_MAX: u32 = 0xffff_ff00;
/// The first bucket.
pub const BUCKET_FIRST: u32 = 0xffff_fffd;
/// The last bucket.
pub const BUCKET_LAST: u32 = 0xffff_fffe;
/// All buckets.
pub const BUCKET_ALL: u32 = 0xffff_ffff;

/// A bucket.
#[derive(Clone, PartialEq, Debug)]
pub struct Bucket {
    /// Id (1.5); before, its place in the list.
    pub id: u32,
    /// Weight in select groups.
    pub weight: u16,
    /// Port whose liveness counts, [`OfPort::ANY`] for none.
    pub watch_port: OfPort,
    /// Group whose liveness counts, [`GroupId::ANY`] for none.
    pub watch_group: GroupId,
    /// Actions.
    pub actions: Vec<Action>,
}

/// How a select group chooses (Netronome extension).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct GroupProps {
    /// `hash` or `dp_hash`; empty for the default. Up to 15 bytes.
    pub selection_method: String,
    /// Parameter of the method.
    pub selection_param: u64,
    /// Fields that are hashed, with the bits that count.
    pub fields: Vec<(Field, FieldValue)>,
}

/// Change of a group.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupMod {
    /// Command.
    pub command: GroupCommand,
    /// Kind.
    pub ty: GroupType,
    /// Group.
    pub group: GroupId,
    /// Where buckets are inserted, or which are removed (1.5).
    pub bucket_id: u32,
    /// Buckets.
    pub buckets: Vec<Bucket>,
    /// Selection.
    pub props: GroupProps,
}

/// Counters of a group.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct GroupStats {
    /// Group.
    pub group: GroupId,
    /// Flows and groups that use it, `u32::MAX` for unknown.
    pub ref_count: u32,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Age (1.3 and later), `None` for unknown.
    pub duration: Option<Span>,
    /// Packets and bytes of each bucket.
    pub buckets: Vec<(u64, u64)>,
}

/// A group as configured.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupDesc {
    /// Kind.
    pub ty: GroupType,
    /// Group.
    pub group: GroupId,
    /// Buckets.
    pub buckets: Vec<Bucket>,
    /// Selection.
    pub props: GroupProps,
}

/// What groups can do. Arrays are by [`GroupType`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupFeatures {
    /// Bit for each [`GroupType`].
    pub types: u32,
    /// 1 select_weight, 2 select_liveness, 4 chaining, 8 chaining_checks.
    pub capabilities: u32,
    /// Greatest number of groups.
    pub max_groups: [u32; 4],
    /// Actions: bit N for action type N of the version.
    pub actions: [u32; 4],
}
