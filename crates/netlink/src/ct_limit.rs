//! Family `ovs_ct_limit`: how many connections a zone may have.

use crate::attr::{Attrs, Malformed, Writer, u32_of};
use crate::message::{Generic, begin_ovs, ovs};

/// Name.
pub const FAMILY: &str = "ovs_ct_limit";
/// Version.
pub const VERSION: u8 = 1;
/// Set limits.
pub const SET: u8 = 1;
/// Delete limits.
pub const DEL: u8 = 2;
/// Ask for limits.
pub const GET: u8 = 3;
/// Stands for zones without a limit of their own.
pub const DEFAULT_ZONE: i32 = -1;

const ZONE_LIMIT: u16 = 1;

/// The limit of a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneLimit {
    /// Zone, or [`DEFAULT_ZONE`].
    pub zone: i32,
    /// Most connections; 0: no limit.
    pub limit: u32,
    /// Connections.
    pub count: u32,
}

/// Body of a message. `None`: no attribute of limits.
#[must_use]
pub fn encode(command: u8, limits: Option<&[ZoneLimit]>) -> Writer {
    let mut w = begin_ovs(Generic { command, version: VERSION }, 0);
    if let Some(limits) = limits {
        let mut all = vec![];
        for l in limits {
            all.extend(l.zone.to_ne_bytes());
            all.extend(l.limit.to_ne_bytes());
            all.extend(l.count.to_ne_bytes());
        }
        w.put(ZONE_LIMIT, &all);
    }
    w
}

/// Reads a body.
///
/// # Errors
/// If it is malformed.
pub fn parse(body: &[u8]) -> Result<(Generic, Option<Vec<ZoneLimit>>), Malformed> {
    let (header, _, attrs) = ovs(body)?;
    let Some(all) = Attrs(attrs).find(ZONE_LIMIT)? else { return Ok((header, None)) };
    if !all.len().is_multiple_of(12) {
        return Err(Malformed("zone limits"));
    }
    let one = |c: &[u8]| -> Result<ZoneLimit, Malformed> {
        Ok(ZoneLimit { zone: u32_of(&c[..4])?.cast_signed(), limit: u32_of(&c[4..8])?, count: u32_of(&c[8..])? })
    };
    Ok((header, Some(all.chunks_exact(12).map(one).collect::<Result<_, _>>()?)))
}
