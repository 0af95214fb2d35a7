//! The controller of generic netlink, which tells the numbers of families and of their multicast groups.

use crate::attr::{Attrs, Malformed, Writer, string_of, u16_of, u32_of};
use crate::message::{Generic, begin, generic};

/// The controller's own number.
pub const CONTROLLER: u16 = 0x10;
const CMD_GETFAMILY: u8 = 3;
const ATTR_FAMILY_ID: u16 = 1;
const ATTR_FAMILY_NAME: u16 = 2;
const ATTR_VERSION: u16 = 3;
const ATTR_MAXATTR: u16 = 5;
const ATTR_MCAST_GROUPS: u16 = 7;
const GROUP_NAME: u16 = 1;
const GROUP_ID: u16 = 2;

/// A family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// Number.
    pub id: u16,
    /// Name.
    pub name: String,
    /// Version.
    pub version: u32,
    /// Largest attribute number, where the kernel tells.
    pub max_attr: u32,
    /// Multicast groups: name and number.
    pub groups: Vec<(String, u32)>,
}

impl Family {
    /// The number of a multicast group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<u32> {
        self.groups.iter().find(|(n, _)| n == name).map(|(_, id)| *id)
    }
}

/// Body of the request for a family.
#[must_use]
pub fn request(name: &str) -> Writer {
    let mut w = begin(Generic { command: CMD_GETFAMILY, version: 1 });
    w.string(ATTR_FAMILY_NAME, name);
    w
}

/// Reads the answer.
///
/// # Errors
/// If it is malformed or lacks the number.
pub fn parse(body: &[u8]) -> Result<Family, Malformed> {
    let (_, attrs) = generic(body)?;
    let mut family = Family::default();
    for a in Attrs(attrs) {
        match a? {
            (ATTR_FAMILY_ID, v) => family.id = u16_of(v)?,
            (ATTR_FAMILY_NAME, v) => family.name = string_of(v)?,
            (ATTR_VERSION, v) => family.version = u32_of(v)?,
            (ATTR_MAXATTR, v) => family.max_attr = u32_of(v)?,
            (ATTR_MCAST_GROUPS, v) => {
                for group in Attrs(v) {
                    let group = Attrs(group?.1);
                    if let (Some(name), Some(id)) = (group.find(GROUP_NAME)?, group.find(GROUP_ID)?) {
                        family.groups.push((string_of(name)?, u32_of(id)?));
                    }
                }
            }
            _ => {}
        }
    }
    if family.id == 0 { Err(Malformed("family without a number")) } else { Ok(family) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let mut w = begin(Generic { command: 1, version: 2 });
        w.string(ATTR_FAMILY_NAME, "ovs_vport").u16(ATTR_FAMILY_ID, 39).u32(ATTR_VERSION, 1).u32(99, 5);
        w.nest(ATTR_MCAST_GROUPS, |w| {
            w.nest(1, |w| {
                w.u32(GROUP_ID, 12).string(GROUP_NAME, "ovs_vport");
            });
        });
        let family = parse(w.bytes());
        assert_eq!(family.as_ref().map(|f| (f.id, f.group("ovs_vport"))), Ok((39, Some(12))));
        assert_eq!(parse(begin(Generic::default()).bytes()), Err(Malformed("family without a number")));
    }
}
