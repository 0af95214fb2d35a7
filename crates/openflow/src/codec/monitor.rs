//! Flow monitors on the wire, in three forms: Nicira (1.0 to 1.2), ONF (1.3), standard (1.4 and later).

use flow::{Match, MiniMatch, OfPort};

use super::bytes::{Put, Reader, round8};
use super::frame::{Frame, Stat, StatKind};
use super::oxm::Numbering;
use super::oxm_match::{self, Strictness};
use crate::action::frame::DecodeContext;
use crate::action::instruction;
use crate::error::Error;
use crate::message::*;
use crate::version::{GroupId, TableId, Version};

type Result<T> = std::result::Result<T, Error>;

fn id_of(v: Version, reply: bool) -> Stat {
    match v {
        Version::V14 | Version::V15 => Stat { kind: StatKind::Standard(16), reply },
        Version::V13 => Stat::onf(1870, reply),
        _ => Stat::nicira(2, reply),
    }
}

/// Flags of the older forms: `own` stands where later versions have `no_abbrev`.
fn flags_from(raw: u16, v: Version) -> Result<u16> {
    let flags = if v >= Version::V14 {
        if raw & !0x7f != 0 || raw & 0x20 != 0 {
            return Err(Error::FlowMonitorFailedBadFlags);
        }
        raw
    } else {
        if raw & !0x3f != 0 {
            return Err(Error::FlowMonitorFailedBadFlags);
        }
        raw & 0x1f | if raw & 0x20 != 0 { FM_ONLY_OWN } else { 0 }
    };
    if flags & (FM_ADD | FM_DELETE | FM_MODIFY) == 0 {
        return Err(Error::FlowMonitorFailedBadFlags);
    }
    Ok(flags)
}

fn flags_to(flags: u16, v: Version) -> u16 {
    if v >= Version::V14 { flags } else { flags & 0x1f | if flags & FM_ONLY_OWN != 0 { 0x20 } else { 0 } }
}

fn take_one(r: &mut Reader<'_>, v: Version) -> Result<FlowMonitorRequest> {
    let id = r.u32()?;
    let mut q = FlowMonitorRequest {
        id,
        command: 0,
        flags: 0,
        out_port: OfPort::ANY,
        out_group: GroupId::ANY,
        table: TableId::ALL,
        matching: MiniMatch::default(),
    };
    let any_table = |t: u8| TableId(t);
    if v >= Version::V14 {
        q.out_port = OfPort::from_of11(r.u32()?).ok_or(Error::FlowMonitorFailedBadOut)?;
        q.out_group = GroupId(r.u32()?);
        let flags = r.u16()?;
        q.table = any_table(r.u8()?);
        q.command = r.u8()?;
        if q.command > 2 {
            return Err(Error::FlowMonitorFailedBadCommand);
        }
        if q.command != 2 {
            q.flags = flags_from(flags, v)?;
        }
        q.matching = MiniMatch::new(&oxm_match::take_block(r, Strictness::Strict)?);
        return Ok(q);
    }
    q.flags = flags_from(r.u16()?, v)?;
    if v == Version::V13 {
        r.skip(2)?;
        q.out_port = OfPort::from_of11(r.u32()?).ok_or(Error::BadActionBadOutPort)?;
        q.table = any_table(r.u8()?);
        r.skip(3)?;
        q.matching = MiniMatch::new(&oxm_match::take_block(r, Strictness::Strict)?);
        return Ok(q);
    }
    q.out_port = OfPort(u32::from(r.u16()?));
    let len = usize::from(r.u16()?);
    q.table = any_table(r.u8()?);
    if !super::bytes::is_zero(r.take(5)?) {
        return Err(Error::NxBadRequestMustBeZero);
    }
    q.matching = MiniMatch::new(&take_nxm(r, len)?);
    Ok(q)
}

fn take_nxm(r: &mut Reader<'_>, len: usize) -> Result<Match> {
    let block = r.take(round8(len))?;
    oxm_match::take_entries(block.get(..len).unwrap_or(&[]), Strictness::Strict, None)
}

/// Reads the requests of one message.
pub fn take_requests(r: &mut Reader<'_>, v: Version) -> Result<Vec<FlowMonitorRequest>> {
    let mut out = Vec::new();
    while !r.is_empty() {
        out.push(take_one(r, v)?);
    }
    Ok(out)
}

/// Writes requests.
pub fn put_requests(f: Frame, list: &[FlowMonitorRequest]) -> Vec<u8> {
    let v = f.version();
    f.stat(id_of(v, false), |b| {
        for q in list {
            let start = b.len();
            let m = q.matching.expand();
            b.put32(q.id);
            match v {
                Version::V14 | Version::V15 => {
                    b.put32(q.out_port.to_of11());
                    b.put32(q.out_group.0);
                    b.put16(flags_to(q.flags, v));
                    b.put8(q.table.0);
                    b.put8(q.command);
                    oxm_match::put_block(b, &m, v);
                }
                Version::V13 => {
                    b.put16(flags_to(q.flags, v));
                    b.put16(0);
                    b.put32(q.out_port.to_of11());
                    b.put8(q.table.0);
                    b.zeros(3);
                    let at = b.len();
                    oxm_match::put_block(b, &m, v);
                    let len = b.get(at + 2..at + 4).map_or(0, |x| u16::from_be_bytes([x[0], x[1]]));
                    b.set16(start + 6, len);
                }
                _ => {
                    b.put16(flags_to(q.flags, v));
                    b.put16(q.out_port.to_of10());
                    b.put16(0);
                    b.put8(q.table.0);
                    b.zeros(5);
                    let at = b.len();
                    oxm_match::put_entries(b, &m, Numbering::Nxm, None);
                    let len = b.len() - at;
                    b.set16(start + 8, len as u16);
                    b.pad8(at);
                }
            }
        }
    })
}

fn event_from(n: u16, v: Version) -> Result<Option<FlowEvent>> {
    let n = if v >= Version::V14 { n } else { n.saturating_add(1) };
    Ok(Some(match n {
        0 => FlowEvent::Initial,
        1 => FlowEvent::Added,
        2 => FlowEvent::Deleted,
        3 => FlowEvent::Modified,
        4..=6 => return Ok(None),
        _ => return Err(Error::NxBadRequestFmBadEvent),
    }))
}

fn event_to(e: FlowEvent, v: Version) -> u16 {
    let n = match e {
        FlowEvent::Initial => 0,
        FlowEvent::Added => 1,
        FlowEvent::Deleted => 2,
        FlowEvent::Modified => 3,
    };
    if v >= Version::V14 { n } else { n.max(1) - 1 }
}

fn reason(n: u16) -> Result<FlowRemovedReason> {
    match u8::try_from(n).map(FlowRemovedReason::from_wire) {
        Ok(FlowRemovedReason::Other(_)) | Err(_) => Err(Error::NxBadRequestBadReason),
        Ok(reason) => Ok(reason),
    }
}

fn take_update(r: &mut Reader<'_>, v: Version) -> Result<FlowUpdate> {
    let bad = Error::BadRequestBadLen;
    let mut head = Reader::new(r.rest());
    let (len, event) = (usize::from(head.u16()?), head.u16()?);
    if len < 8 || len % 8 != 0 || len > r.len() {
        return Err(bad);
    }
    let mut e = r.sub(len)?;
    e.skip(4)?;
    let Some(kind) = event_from(event, v)? else {
        let n = if v >= Version::V14 { event } else { event + 1 };
        return Ok(match n {
            4 => FlowUpdate::Abbrev(e.u32()?),
            5 if v >= Version::V14 => FlowUpdate::Paused,
            6 if v >= Version::V14 => FlowUpdate::Resumed,
            _ => return Err(Error::NxBadRequestFmBadEvent),
        });
    };
    let mut u = FlowUpdateFull {
        event: kind,
        reason: FlowRemovedReason::IdleTimeout,
        priority: 0,
        idle_timeout: 0,
        hard_timeout: 0,
        table: TableId(0),
        cookie: 0,
        matching: MiniMatch::default(),
        actions: Vec::new(),
    };
    let mut match_len = 0;
    if v >= Version::V14 {
        u.table = TableId(e.u8()?);
        u.reason = reason(u16::from(e.u8()?))?;
        (u.idle_timeout, u.hard_timeout, u.priority) = (e.u16()?, e.u16()?, e.u16()?);
        e.skip(4)?;
    } else {
        u.reason = reason(e.u16()?)?;
        (u.priority, u.idle_timeout, u.hard_timeout) = (e.u16()?, e.u16()?, e.u16()?);
        match_len = usize::from(e.u16()?);
        u.table = TableId(e.u8()?);
        e.skip(1)?;
    }
    u.cookie = e.u64()?;
    u.matching = MiniMatch::new(&if v >= Version::V13 {
        oxm_match::take_block(&mut e, Strictness::Strict)?
    } else {
        take_nxm(&mut e, match_len)?
    });
    u.actions = instruction::decode_flow(DecodeContext::new(v), e.rest())?;
    Ok(FlowUpdate::Full(Box::new(u)))
}

/// Reads the updates of one message.
pub fn take_updates(r: &mut Reader<'_>, v: Version) -> Result<Vec<FlowUpdate>> {
    let mut out = Vec::new();
    while !r.is_empty() {
        out.push(take_update(r, v)?);
    }
    Ok(out)
}

fn put_update(b: &mut Vec<u8>, u: &FlowUpdate, v: Version) {
    let start = b.len();
    let plain = if v >= Version::V14 { 4 } else { 3 };
    b.put16(0);
    match u {
        FlowUpdate::Abbrev(xid) => {
            b.put16(plain);
            b.put32(*xid);
        }
        FlowUpdate::Paused | FlowUpdate::Resumed => {
            b.put16(if *u == FlowUpdate::Paused { 5 } else { 6 });
            b.zeros(4);
        }
        FlowUpdate::Full(u) => {
            let m = u.matching.expand();
            b.put16(event_to(u.event, v));
            if v >= Version::V14 {
                b.put8(u.table.0);
                b.put8(u.reason.number());
                b.put16(u.idle_timeout);
                b.put16(u.hard_timeout);
                b.put16(u.priority);
                b.zeros(4);
            } else {
                b.put16(u16::from(u.reason.number()));
                b.put16(u.priority);
                b.put16(u.idle_timeout);
                b.put16(u.hard_timeout);
                b.put16(0);
                b.put8(u.table.0);
                b.put8(0);
            }
            b.put64(u.cookie);
            let at = b.len();
            if v >= Version::V13 {
                oxm_match::put_block(b, &m, v);
            } else {
                oxm_match::put_entries(b, &m, Numbering::Nxm, None);
            }
            if v < Version::V14 {
                let len = if v == Version::V13 {
                    b.get(at + 2..at + 4).map_or(0, |x| u16::from_be_bytes([x[0], x[1]]))
                } else {
                    (b.len() - at) as u16
                };
                b.set16(start + 12, len);
            }
            b.pad8(at);
            instruction::encode_flow(b, &u.actions, v);
        }
    }
    let len = b.len() - start;
    b.set16(start, len as u16);
}

/// Writes updates.
pub fn put_updates(f: Frame, list: &[FlowUpdate]) -> Vec<u8> {
    let v = f.version();
    let m = Multipart::new(list.iter().collect());
    f.entries(id_of(v, true), &m, |b, u| put_update(b, u, v))
}
