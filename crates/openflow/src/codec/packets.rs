//! Packet-in and packet-out on the wire.

use flow::{Match, MiniMatch, OfPort};

use super::bytes::{Put, Reader, round8};
use super::flows::Options;
use super::frame::Frame;
use super::oxm::Numbering;
use super::oxm_match::{self, Strictness};
use super::property;
use crate::action::Action;
use crate::action::frame::{self, DecodeContext};
use crate::action::text::Place;
use crate::action::{PacketInReason, check};
use crate::error::Error;
use crate::message::{Continuation, PacketIn, PacketInFormat, PacketOut};
use crate::version::{TableId, Version};

type Result<T> = std::result::Result<T, Error>;

fn empty(format: PacketInFormat) -> PacketIn {
    PacketIn {
        buffer_id: u32::MAX,
        total_len: 0,
        reason: PacketInReason::NoMatch,
        table: TableId(0),
        cookie: u64::MAX,
        metadata: MiniMatch::default(),
        packet: Vec::new(),
        userdata: Vec::new(),
        continuation: None,
        format,
    }
}

fn reason(n: u8) -> PacketInReason {
    PacketInReason::from_wire(n).unwrap_or(PacketInReason::Other(n))
}

fn port_only(port: OfPort) -> MiniMatch {
    let mut m = Match::any();
    m.set_in_port(port);
    MiniMatch::new(&m)
}

/// Reads OFPT_PACKET_IN.
pub fn take_packet_in(r: &mut Reader<'_>, v: Version) -> Result<PacketIn> {
    let mut p = empty(PacketInFormat::Standard);
    match v {
        Version::V10 => {
            p.buffer_id = r.u32()?;
            p.total_len = u32::from(r.u16()?);
            p.metadata = port_only(OfPort(u32::from(r.u16()?)));
            p.reason = reason(r.u8()?);
            r.skip(1)?;
        }
        Version::V11 => {
            p.buffer_id = r.u32()?;
            p.metadata = port_only(OfPort::from_of11(r.u32()?).ok_or(Error::BadActionBadOutPort)?);
            r.skip(4)?;
            p.total_len = u32::from(r.u16()?);
            p.reason = reason(r.u8()?);
            p.table = TableId(r.u8()?);
        }
        _ => {
            p.buffer_id = r.u32()?;
            p.total_len = u32::from(r.u16()?);
            p.reason = reason(r.u8()?);
            p.table = TableId(r.u8()?);
            if v >= Version::V13 {
                p.cookie = r.u64()?;
            }
            p.metadata = MiniMatch::new(&oxm_match::take_block(r, Strictness::Loose)?);
            r.skip(2)?;
        }
    }
    p.packet = r.rest().to_vec();
    Ok(p)
}

/// Reads NXT_PACKET_IN.
pub fn take_nx_packet_in(r: &mut Reader<'_>) -> Result<PacketIn> {
    let mut p = empty(PacketInFormat::Nxt);
    p.buffer_id = r.u32()?;
    p.total_len = u32::from(r.u16()?);
    p.reason = reason(r.u8()?);
    p.table = TableId(r.u8()?);
    p.cookie = r.u64()?;
    let len = usize::from(r.u16()?);
    r.skip(6)?;
    let block = r.take(round8(len))?;
    p.metadata = MiniMatch::new(&oxm_match::take_entries(block.get(..len).unwrap_or(&[]), Strictness::Loose, None)?);
    r.skip(2)?;
    p.packet = r.rest().to_vec();
    Ok(p)
}

/// Reads the properties of NXT_PACKET_IN2 and NXT_RESUME.
pub fn take_packet_in2(r: &mut Reader<'_>, resume: bool) -> Result<PacketIn> {
    let mut p = empty(PacketInFormat::Nxt2);
    let mut full_len = None;
    let mut has_packet = false;
    while !r.is_empty() {
        let prop = property::take_from(r, u16::MAX)?;
        match prop.ty {
            0 => {
                p.packet = prop.payload.to_vec();
                has_packet = true;
            }
            1 => full_len = Some(prop.u32()?),
            2 => p.buffer_id = prop.u32()?,
            3 => p.table = TableId(prop.u8()?),
            4 => p.cookie = prop.u64()?,
            5 => p.reason = reason(prop.u8()?),
            6 => p.metadata = MiniMatch::new(&oxm_match::take_entries(prop.payload, Strictness::Loose, None)?),
            7 => p.userdata = prop.payload.to_vec(),
            8 => p.continuation = Some(prop.payload.get(4..).unwrap_or(&[]).to_vec()),
            _ if resume => return Err(prop.unknown()),
            _ => {}
        }
    }
    if !has_packet {
        return Err(Error::BadRequestBadLen);
    }
    p.total_len = full_len.unwrap_or(p.packet.len() as u32);
    if (p.total_len as usize) < p.packet.len() {
        return Err(Error::BadRequestBadLen);
    }
    Ok(p)
}

/// Writes a packet-in in its form.
pub fn put_packet_in(f: Frame, p: &PacketIn, resume: bool) -> Vec<u8> {
    let v = f.version();
    match p.format {
        _ if resume => f.nicira(28, |b| put_properties(b, p, Version::V15, true)),
        PacketInFormat::Nxt2 => f.nicira(30, |b| put_properties(b, p, v, false)),
        PacketInFormat::Nxt => f.nicira(17, |b| put_nxt(b, p, v)),
        PacketInFormat::Standard => put_standard(f, p),
    }
}

fn wire_reason(reason: PacketInReason, v: Version) -> u8 {
    match reason {
        PacketInReason::ExplicitMiss if v < Version::V13 => 1,
        PacketInReason::ExplicitMiss | PacketInReason::ImplicitMiss => 0,
        PacketInReason::ActionSet | PacketInReason::Group | PacketInReason::PacketOut if v < Version::V14 => 1,
        r => r.number(),
    }
}

fn put_standard(f: Frame, p: &PacketIn) -> Vec<u8> {
    let v = f.version();
    let m = p.metadata.expand();
    let total = u16::try_from(p.total_len).unwrap_or(u16::MAX);
    f.standard(10, |b| {
        b.put32(p.buffer_id);
        match v {
            Version::V10 => {
                b.put16(total);
                b.put16(m.key.in_port().to_of10());
                b.put8(wire_reason(p.reason, v));
                b.put8(0);
            }
            Version::V11 => {
                b.put32(m.key.in_port().to_of11());
                b.put32(m.key.in_port().to_of11());
                b.put16(total);
                b.put8(wire_reason(p.reason, v));
                b.put8(p.table.0);
            }
            _ => {
                b.put16(total);
                b.put8(wire_reason(p.reason, v));
                b.put8(p.table.0);
                if v >= Version::V13 {
                    b.put64(p.cookie);
                }
                oxm_match::put_block(b, &m, v);
                b.zeros(2);
            }
        }
        b.put(&p.packet);
    })
}

fn put_nxt(b: &mut Vec<u8>, p: &PacketIn, v: Version) {
    let start = b.len();
    b.put32(p.buffer_id);
    b.put16(u16::try_from(p.total_len).unwrap_or(u16::MAX));
    b.put8(wire_reason(p.reason, v));
    b.put8(p.table.0);
    b.put64(p.cookie);
    b.put16(0);
    b.zeros(6);
    let at = b.len();
    oxm_match::put_entries(b, &p.metadata.expand(), Numbering::Nxm, None);
    let len = b.len() - at;
    b.set16(start + 16, len as u16);
    b.pad8(at);
    b.zeros(2);
    b.put(&p.packet);
}

fn put_properties(b: &mut Vec<u8>, p: &PacketIn, v: Version, resume: bool) {
    property::put(b, 0, |b| b.put(&p.packet));
    if p.total_len as usize != p.packet.len() {
        property::put_u32(b, 1, p.total_len);
    }
    property::put_u8(b, 3, p.table.0);
    if p.cookie != u64::MAX {
        property::put_u64(b, 4, p.cookie);
    }
    property::put_u8(b, 5, wire_reason(p.reason, v));
    property::put(b, 6, |b| oxm_match::put_entries(b, &p.metadata.expand(), Numbering::Oxm(Version::V13), None));
    if let Some(c) = &p.continuation {
        property::put_nested(b, 8, |b| b.put(c));
    }
    if !resume && !p.userdata.is_empty() {
        property::put(b, 7, |b| b.put(&p.userdata));
    }
}

impl Continuation {
    /// Reads the properties of a continuation.
    pub fn decode(data: &[u8], v: Version) -> Result<Continuation> {
        let mut c = Continuation::default();
        let mut r = Reader::with_error(data, Error::BadPropertyBadLen);
        let cx = DecodeContext::new(v);
        while !r.is_empty() {
            let p = property::take_from(&mut r, u16::MAX)?;
            match p.ty {
                0x8000 => c.bridge = native_words(p.u128()?.to_be_bytes()),
                0x8001 => c.stack.insert(0, p.payload.to_vec()),
                0x8002 => c.mirrors = p.u32()?,
                0x8003 => c.conntracked = true,
                0x8004 => c.table = Some(TableId(p.u8()?)),
                0x8005 => c.cookie = Some(p.u64()?),
                0x8006 => {
                    // Table and cookie before a list of actions are of the rule that it belongs to, 0 if left out.
                    let (table, cookie) = (c.table.take().unwrap_or(TableId(0)), c.cookie.take().unwrap_or(0));
                    c.actions.push(Action::UnrollXlate { table, cookie: Some(cookie) });
                    c.actions.extend(frame::decode_list(cx, p.payload.get(4..).unwrap_or(&[]))?);
                }
                0x8007 => c.action_set = frame::decode_list(cx, p.payload.get(4..).unwrap_or(&[]))?,
                0x8008 => c.odp_port = Some(p.u32()?),
                _ => return Err(p.unknown()),
            }
        }
        Ok(c)
    }

    /// Writes the properties of a continuation.
    pub fn encode(&self, v: Version) -> Vec<u8> {
        let mut b = Vec::new();
        property::put(&mut b, 0x8000, |b| b.put(&native_words(self.bridge)));
        for value in self.stack.iter().rev() {
            property::put(&mut b, 0x8001, |b| b.put(value));
        }
        if self.mirrors != 0 {
            property::put_u32(&mut b, 0x8002, self.mirrors);
        }
        if self.conntracked {
            property::put_flag(&mut b, 0x8003);
        }
        let mut rest = &self.actions[..];
        while let Some(first) = rest.first() {
            if let Action::UnrollXlate { table, cookie } = first {
                put_origin(&mut b, Some(*table).filter(|t| t.0 != 0), cookie.filter(|c| *c != 0));
                rest = &rest[1..];
            }
            let end = rest.iter().position(|a| matches!(a, Action::UnrollXlate { .. })).unwrap_or(rest.len());
            if end > 0 {
                property::put_nested(&mut b, 0x8006, |b| frame::encode_list(b, &rest[..end], v));
            }
            rest = &rest[end..];
        }
        put_origin(&mut b, self.table, self.cookie);
        if !self.action_set.is_empty() {
            property::put_nested(&mut b, 0x8007, |b| frame::encode_list(b, &self.action_set, v));
        }
        if let Some(p) = self.odp_port {
            property::put_u32(&mut b, 0x8008, p);
        }
        b
    }
}

/// The identifier of a bridge as switches write it, four 32-bit words in their own order of bytes, and back.
fn native_words(mut id: [u8; 16]) -> [u8; 16] {
    for word in id.chunks_exact_mut(4) {
        let n = [word[0], word[1], word[2], word[3]];
        word.copy_from_slice(&u32::from_be_bytes(n).to_ne_bytes());
    }
    id
}

fn put_origin(b: &mut Vec<u8>, table: Option<TableId>, cookie: Option<u64>) {
    if let Some(t) = table {
        property::put_u8(b, 0x8004, t.0);
    }
    if let Some(cookie) = cookie {
        property::put_u64(b, 0x8005, cookie);
    }
}

/// Reads OFPT_PACKET_OUT.
pub fn take_packet_out(r: &mut Reader<'_>, v: Version, o: Options) -> Result<PacketOut> {
    let buffer_id = r.u32()?;
    let (metadata, len) = match v {
        Version::V10 => {
            let port = OfPort(u32::from(r.u16()?));
            (port_only(port), usize::from(r.u16()?))
        }
        Version::V15 => {
            let len = usize::from(r.u16()?);
            r.skip(2)?;
            let m = oxm_match::take_block(r, Strictness::Strict)?;
            if (39..58).any(|w| m.mask.word(w) != 0) {
                return Err(Error::BadRequestPipelineFieldsOnly);
            }
            (MiniMatch::new(&m), len)
        }
        _ => {
            let port = OfPort::from_of11(r.u32()?).ok_or(Error::BadActionBadOutPort)?;
            let len = usize::from(r.u16()?);
            r.skip(6)?;
            (port_only(port), len)
        }
    };
    let cx = DecodeContext { debug_actions: o.debug_actions, ..DecodeContext::new(v) };
    if len > r.len() || len % 8 != 0 {
        return Err(Error::BadRequestBadLen);
    }
    let actions = frame::decode_list(cx, r.take(len)?)?;
    check::verify(&actions, Place::Actions).map_err(|e| e.0)?;
    let out = PacketOut {
        buffer_id,
        metadata,
        actions,
        packet: if buffer_id == u32::MAX { r.rest().to_vec() } else { Vec::new() },
    };
    let port = out.in_port();
    let allowed = [OfPort::LOCAL, OfPort::NONE, OfPort::CONTROLLER];
    if port.0 >= OfPort::MAX.0 && !allowed.contains(&port) {
        return Err(Error::BadRequestBadPort);
    }
    Ok(out)
}

/// Writes OFPT_PACKET_OUT.
pub fn put_packet_out(f: Frame, p: &PacketOut) -> Vec<u8> {
    let v = f.version();
    let m = p.metadata.expand();
    let mut actions = Vec::new();
    frame::encode_list(&mut actions, &p.actions, v);
    let len = actions.len() as u16;
    f.standard(13, |b| {
        b.put32(p.buffer_id);
        match v {
            Version::V10 => {
                b.put16(m.key.in_port().to_of10());
                b.put16(len);
            }
            Version::V15 => {
                b.put16(len);
                b.zeros(2);
                oxm_match::put_block(b, &m, v);
            }
            _ => {
                b.put32(m.key.in_port().to_of11());
                b.put16(len);
                b.zeros(6);
            }
        }
        b.put(&actions);
        if p.buffer_id == u32::MAX {
            b.put(&p.packet);
        }
    })
}
