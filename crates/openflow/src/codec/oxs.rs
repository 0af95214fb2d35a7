//! OXS blocks: flow statistics of OpenFlow 1.5 (§7.2.4).

use super::bytes::{Put, Reader, round8};
use crate::error::Error;
use crate::message::Span;

/// What a block says. `u64::MAX`: not said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Age.
    pub duration: Option<Span>,
    /// Time since last use.
    pub idle: Option<Span>,
    /// Flows.
    pub flows: Option<u32>,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats { duration: None, idle: None, flows: None, packets: u64::MAX, bytes: u64::MAX }
    }
}

/// What stands for an age that is not said.
pub const NEVER: Span = Span { sec: u32::MAX, nsec: u32::MAX };

/// Reads a block with its padding. Fields of other classes, numbers or sizes are left out.
pub fn take(r: &mut Reader<'_>) -> Result<Stats, Error> {
    let bad = Error::BadMatchBadLen;
    let mut head = Reader::with_error(r.rest(), bad);
    head.u16()?;
    let len = usize::from(head.u16()?);
    if len < 4 || round8(len) > r.len() {
        return Err(bad);
    }
    let block = r.take(round8(len))?;
    let mut e = Reader::with_error(block.get(4..len).unwrap_or(&[]), bad);
    let mut s = Stats::default();
    while !e.is_empty() {
        let (class, field, n) = (e.u16()?, e.u8()?, e.u8()?);
        let mut value = e.sub(usize::from(n))?;
        match (class, field, n) {
            (0x8002, 0, 8) => s.duration = Some(Span { sec: value.u32()?, nsec: value.u32()? }),
            (0x8002, 2, 8) => s.idle = Some(Span { sec: value.u32()?, nsec: value.u32()? }),
            (0x8002, 6, 4) => s.flows = Some(value.u32()?),
            (0x8002, 8, 8) => s.packets = value.u64()?,
            (0x8002, 10, 8) => s.bytes = value.u64()?,
            _ => {}
        }
    }
    Ok(s)
}

/// Appends a block.
pub fn put(out: &mut Vec<u8>, s: &Stats) {
    let start = out.len();
    out.put16(0);
    out.put16(0);
    let head = |out: &mut Vec<u8>, field: u8, n: u8| {
        out.put16(0x8002);
        out.put8(field << 1);
        out.put8(n);
    };
    for (field, span) in [(0, s.duration), (1, s.idle)] {
        if let Some(t) = span {
            head(out, field, 8);
            out.put32(t.sec);
            out.put32(t.nsec);
        }
    }
    for (field, n) in [(4, s.packets), (5, s.bytes)] {
        if n != u64::MAX {
            head(out, field, 8);
            out.put64(n);
        }
    }
    if let Some(n) = s.flows {
        head(out, 3, 4);
        out.put32(n);
    }
    let len = out.len() - start;
    out.set16(start + 2, len as u16);
    out.pad8(start);
}
