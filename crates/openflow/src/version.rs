//! Protocol versions, and the numbers that name tables, groups, meters.

use std::fmt;

/// An OpenFlow version. The discriminant is the version byte of the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum Version {
    V10 = 1,
    V11 = 2,
    V12 = 3,
    V13 = 4,
    V14 = 5,
    V15 = 6,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Version; 6] = [Version::V10, Version::V11, Version::V12, Version::V13, Version::V14, Version::V15];

    /// From the version byte.
    pub const fn from_wire(byte: u8) -> Option<Version> {
        Some(match byte {
            1 => Version::V10,
            2 => Version::V11,
            3 => Version::V12,
            4 => Version::V13,
            5 => Version::V14,
            6 => Version::V15,
            _ => return None,
        })
    }

    /// The version byte.
    pub const fn to_wire(self) -> u8 {
        self as u8
    }

    /// 0 for 1.0 up to 5 for 1.5.
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// `OpenFlow10` and so on, as the database and the `-O` option spell it.
    pub const fn name(self) -> &'static str {
        ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"][self.index()]
    }

    /// From a name as `-O` and the database take it, in any case: `OpenFlow13`, `OpenFlow1.3`.
    pub fn from_name(name: &str) -> Option<Version> {
        let tail = name.get(..8).filter(|h| h.eq_ignore_ascii_case("openflow")).and_then(|_| name.get(8..))?;
        Version::ALL.into_iter().find(|v| {
            let digits = v.name().get(8..).unwrap_or("");
            tail == digits
                || (tail.len() == 3 && tail.starts_with("1.") && tail.ends_with(digits.get(1..).unwrap_or("?")))
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Transaction id of a message.
pub type Xid = u32;

/// A flow table, 0 to 254.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct TableId(pub u8);

impl TableId {
    /// All tables, or the one the switch picks.
    pub const ALL: TableId = TableId(0xff);
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A group, 0 to 0xffffff00.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct GroupId(pub u32);

impl GroupId {
    /// Largest number of a group.
    pub const MAX: GroupId = GroupId(0xffff_ff00);
    /// All groups.
    pub const ALL: GroupId = GroupId(0xffff_fffc);
    /// No group; any group in requests.
    pub const ANY: GroupId = GroupId(0xffff_ffff);
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A meter, 1 to 0xffff0000.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct MeterId(pub u32);

impl MeterId {
    /// Largest number of a meter.
    pub const MAX: MeterId = MeterId(0xffff_0000);
    /// The meter of packets that go to the slow path.
    pub const SLOWPATH: MeterId = MeterId(0xffff_fffd);
    /// The meter of packets that go to controllers.
    pub const CONTROLLER: MeterId = MeterId(0xffff_fffe);
    /// All meters.
    pub const ALL: MeterId = MeterId(0xffff_ffff);
}

impl fmt::Display for MeterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            MeterId::SLOWPATH => f.write_str("slowpath"),
            MeterId::CONTROLLER => f.write_str("controller"),
            MeterId::ALL => f.write_str("all"),
            MeterId(n) => write!(f, "{n}"),
        }
    }
}
