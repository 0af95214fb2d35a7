//! Groups on the wire.

use flow::OfPort;

use super::bytes::{Put, Reader, fixed_string};
use super::frame::{Frame, Stat, take_entries};
use super::oxm::{self, Numbering};
use super::property;
use crate::action::check;
use crate::action::frame::{self, DecodeContext};
use crate::action::text::Place;
use crate::error::Error;
use crate::message::*;
use crate::version::{GroupId, Version};

type Result<T> = std::result::Result<T, Error>;

/// Netronome's experimenter id, and that which was used first.
const NTR: [u32; 2] = [0x0000_154d, 0x0000_1540];

impl GroupType {
    /// From the number of the wire.
    pub const fn from_wire(n: u8) -> Option<GroupType> {
        Some(match n {
            0 => GroupType::All,
            1 => GroupType::Select,
            2 => GroupType::Indirect,
            3 => GroupType::FastFailover,
            _ => return None,
        })
    }

    /// The name that is printed.
    pub const fn name(self) -> &'static str {
        match self {
            GroupType::All => "all",
            GroupType::Select => "select",
            GroupType::Indirect => "indirect",
            GroupType::FastFailover => "ff",
        }
    }
}

impl GroupCommand {
    /// From the number of the wire.
    pub const fn from_wire(n: u16) -> Option<GroupCommand> {
        Some(match n {
            0 => GroupCommand::Add,
            1 => GroupCommand::Modify,
            2 => GroupCommand::Delete,
            3 => GroupCommand::InsertBucket,
            5 => GroupCommand::RemoveBucket,
            0x8000 => GroupCommand::AddOrMod,
            _ => return None,
        })
    }
}

fn actions(data: &[u8], v: Version) -> Result<Vec<crate::Action>> {
    let list = frame::decode_list(DecodeContext::new(v), data)?;
    check::verify(&list, Place::Actions).map_err(|e| e.0)?;
    Ok(list)
}

fn take_buckets11(r: &mut Reader<'_>, v: Version) -> Result<Vec<Bucket>> {
    let mut out = Vec::new();
    while !r.is_empty() {
        let bad = Error::GroupModFailedBadBucket;
        let mut head = Reader::with_error(r.rest(), bad);
        let len = usize::from(head.u16()?);
        if len < 16 || len > r.len() {
            return Err(bad);
        }
        let mut e = r.sub(len)?;
        if len % 8 != 0 {
            return Err(Error::BadRequestBadLen);
        }
        e.skip(2)?;
        let weight = e.u16()?;
        let watch_port = OfPort::from_of11(e.u32()?);
        let watch_group = GroupId(e.u32()?);
        e.skip(4)?;
        let id = out.len() as u32;
        let actions = actions(e.rest(), v)?;
        let watch_port = watch_port.ok_or(Error::GroupModFailedBadWatch)?;
        out.push(Bucket { id, weight, watch_port, watch_group, actions });
    }
    Ok(out)
}

fn put_bucket11(b: &mut Vec<u8>, x: &Bucket, v: Version) {
    let start = b.len();
    b.put16(0);
    b.put16(x.weight);
    b.put32(x.watch_port.to_of11());
    b.put32(x.watch_group.0);
    b.zeros(4);
    frame::encode_list(b, &x.actions, v);
    let len = b.len() - start;
    b.set16(start, len as u16);
}

fn take_buckets15(r: &mut Reader<'_>, v: Version, ty: GroupType) -> Result<Vec<Bucket>> {
    let mut out: Vec<Bucket> = Vec::new();
    let bad = Error::GroupModFailedBadBucket;
    while !r.is_empty() {
        let mut head = Reader::with_error(r.rest(), bad);
        let (len, actions_len) = (usize::from(head.u16()?), usize::from(head.u16()?));
        if len < 8 || len > r.len() {
            return Err(bad);
        }
        if actions_len > len - 8 {
            return Err(bad);
        }
        if actions_len % 8 != 0 {
            return Err(Error::BadRequestBadLen);
        }
        let mut e = r.sub(len)?;
        e.skip(4)?;
        let id = e.u32()?;
        if id > BUCKET_MAX || out.iter().any(|b| b.id == id) {
            return Err(bad);
        }
        let mut x = Bucket {
            id,
            weight: u16::from(ty == GroupType::Select),
            watch_port: OfPort::ANY,
            watch_group: GroupId::ANY,
            actions: actions(e.take(actions_len)?, v)?,
        };
        while !e.is_empty() {
            let p = property::take(&mut e)?;
            match p.ty {
                0 => x.weight = p.u16()?,
                1 => x.watch_port = OfPort::from_of11(p.u32()?).ok_or(Error::GroupModFailedBadWatch)?,
                2 => x.watch_group = GroupId(p.u32()?),
                _ => return Err(p.unknown()),
            }
        }
        out.push(x);
    }
    Ok(out)
}

fn put_bucket15(b: &mut Vec<u8>, x: &Bucket, v: Version, ty: GroupType) {
    let start = b.len();
    b.zeros(4);
    b.put32(x.id);
    let at = b.len();
    frame::encode_list(b, &x.actions, v);
    let actions_len = b.len() - at;
    if ty == GroupType::Select || x.weight != 0 {
        property::put_u16(b, 0, x.weight);
    }
    if x.watch_port != OfPort::ANY {
        property::put_u32(b, 1, x.watch_port.to_of11());
    }
    if x.watch_group != GroupId::ANY {
        property::put_u32(b, 2, x.watch_group.0);
    }
    let len = b.len() - start;
    b.set16(start, len as u16);
    b.set16(start + 2, actions_len as u16);
}

fn take_props(r: &mut Reader<'_>, ty: GroupType, command: GroupCommand) -> Result<GroupProps> {
    let mut out = GroupProps::default();
    while !r.is_empty() {
        let p = property::take(r)?;
        match p.experimenter {
            Some((id, 1)) if NTR.contains(&id) => {
                if ty != GroupType::Select
                    || !matches!(command, GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrMod)
                {
                    return Err(Error::BadPropertyBadValue);
                }
                out = take_selection(&mut p.reader())?;
            }
            Some((id, _)) if NTR.contains(&id) => return Err(Error::BadPropertyBadExpType),
            Some(_) => return Err(Error::BadPropertyBadExpType),
            None => return Err(p.unknown()),
        }
    }
    Ok(out)
}

fn take_selection(r: &mut Reader<'_>) -> Result<GroupProps> {
    r.skip(4)?;
    let method_bytes = r.take(16)?;
    let method = fixed_string(method_bytes);
    if !method_bytes.contains(&0) || (method != "hash" && method != "dp_hash") {
        return Err(Error::BadPropertyBadValue);
    }
    let selection_param = r.u64()?;
    let mut fields = Vec::new();
    let mut e = Reader::with_error(r.rest(), Error::BadMatchBadLen);
    while !e.is_empty() {
        let entry = oxm::take_entry(&mut e)?;
        if entry.mask.is_some() {
            return Err(Error::BadMatchBadMask);
        }
        fields.push((entry.field, entry.value));
    }
    if method == "dp_hash" && !fields.is_empty() {
        return Err(Error::BadPropertyBadValue);
    }
    Ok(GroupProps { selection_method: method, selection_param, fields })
}

fn put_props(b: &mut Vec<u8>, p: &GroupProps, v: Version) {
    if p.selection_method.is_empty() {
        return;
    }
    property::put(b, 0xffff, |b| {
        b.put32(NTR[0]);
        b.put32(1);
        b.zeros(4);
        b.fixed(&p.selection_method, 16);
        b.put64(p.selection_param);
        for (f, value) in &p.fields {
            let len = usize::from(f.def().bytes);
            oxm::put_entry(b, *f, Numbering::Oxm(if v == Version::V10 { Version::V15 } else { v }), value, None, len);
        }
    });
}

/// Reads a group_mod: 1.5's layout also for NXT_GROUP_MOD.
pub fn take_group_mod(r: &mut Reader<'_>, v: Version) -> Result<GroupMod> {
    let of15 = v == Version::V15 || v == Version::V10;
    let command = GroupCommand::from_wire(r.u16()?);
    let ty = r.u8()?;
    r.skip(1)?;
    let group = GroupId(r.u32()?);
    // Buckets are looked at before type and command are.
    let known = GroupType::from_wire(ty);
    let mut bucket_id = BUCKET_ALL;
    let buckets = if of15 {
        let len = usize::from(r.u16()?);
        r.skip(2)?;
        bucket_id = r.u32()?;
        check_bucket_id(command, bucket_id)?;
        if len > r.len() {
            return Err(Error::BadRequestBadLen);
        }
        take_buckets15(&mut r.sub(len)?, v, known.unwrap_or(GroupType::All))?
    } else {
        take_buckets11(r, v)?
    };
    let ty = known.ok_or(Error::GroupModFailedBadType)?;
    // The group is looked at before a command that does not exist is.
    let assumed = command.unwrap_or(GroupCommand::Add);
    let mut gm = GroupMod { command: assumed, ty, group, bucket_id, buckets, props: GroupProps::default() };
    if of15 {
        gm.props = take_props(r, ty, assumed)?;
    }
    check_group(&gm)?;
    if command.is_none() {
        return Err(Error::GroupModFailedBadCommand);
    }
    Ok(gm)
}

fn check_bucket_id(command: Option<GroupCommand>, id: u32) -> Result<()> {
    let special = [BUCKET_FIRST, BUCKET_LAST];
    let ok = match command {
        Some(GroupCommand::RemoveBucket) => id <= BUCKET_MAX || special.contains(&id) || id == BUCKET_ALL,
        Some(GroupCommand::InsertBucket) => id <= BUCKET_MAX || special.contains(&id),
        _ => id == BUCKET_ALL,
    };
    if ok { Ok(()) } else { Err(Error::GroupModFailedBadBucket) }
}

/// What a group_mod may hold (OpenFlow 1.5 §6.4).
pub fn check_group(gm: &GroupMod) -> Result<()> {
    let n = gm.buckets.len();
    let wants_one = gm.ty == GroupType::Indirect;
    let sets = matches!(gm.command, GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrMod);
    if sets && wants_one && n != 1 {
        return Err(Error::GroupModFailedInvalidGroup);
    }
    if gm.command == GroupCommand::RemoveBucket && n != 0 {
        return Err(Error::GroupModFailedBadBucket);
    }
    if gm.command == GroupCommand::Delete && n != 0 {
        return Err(Error::GroupModFailedInvalidGroup);
    }
    for b in &gm.buckets {
        if b.weight != 0 && gm.ty != GroupType::Select && sets {
            return Err(Error::GroupModFailedInvalidGroup);
        }
        let plain = matches!(gm.ty, GroupType::All | GroupType::Indirect);
        let watched = b.watch_port != OfPort::ANY || b.watch_group != GroupId::ANY;
        if plain && watched && sets {
            return Err(Error::GroupModFailedWatchUnsupported);
        }
        if gm.ty == GroupType::FastFailover && !watched && sets {
            return Err(Error::GroupModFailedInvalidGroup);
        }
    }
    Ok(())
}

/// Writes a group_mod: NXT_GROUP_MOD in 1.0.
pub fn put_group_mod(f: Frame, gm: &GroupMod) -> Vec<u8> {
    let v = f.version();
    let body = |b: &mut Vec<u8>| put_group_mod_body(b, gm, v);
    if v == Version::V10 { f.nicira(31, body) } else { f.standard(15, body) }
}

fn put_group_mod_body(b: &mut Vec<u8>, gm: &GroupMod, v: Version) {
    b.put16(gm.command as u16);
    b.put8(gm.ty as u8);
    b.put8(0);
    b.put32(gm.group.0);
    if v == Version::V15 || v == Version::V10 {
        let len_at = b.len();
        b.put16(0);
        b.zeros(2);
        b.put32(gm.bucket_id);
        let start = b.len();
        for x in &gm.buckets {
            put_bucket15(b, x, v, gm.ty);
        }
        let len = b.len() - start;
        b.set16(len_at, len as u16);
        put_props(b, &gm.props, v);
    } else {
        for x in &gm.buckets {
            put_bucket11(b, x, v);
        }
    }
}

/// Reads group statistics.
pub fn take_stats(r: &mut Reader<'_>, v: Version, more: bool) -> Result<Multipart<GroupStats>> {
    take_entries(more, r, |r| {
        let len = usize::from(u16::from_be_bytes(r.rest().first_chunk::<2>().copied().unwrap_or_default()));
        let mut e = r.sub(len)?;
        e.skip(4)?;
        let mut s = GroupStats { group: GroupId(e.u32()?), ref_count: e.u32()?, ..GroupStats::default() };
        e.skip(4)?;
        (s.packets, s.bytes) = (e.u64()?, e.u64()?);
        if v >= Version::V13 || v == Version::V10 {
            let d = Span { sec: e.u32()?, nsec: e.u32()? };
            s.duration = (d.sec != u32::MAX).then_some(d);
        }
        while !e.is_empty() {
            s.buckets.push((e.u64()?, e.u64()?));
        }
        Ok(s)
    })
}

/// Writes group statistics.
pub fn put_stats(f: Frame, m: &Multipart<GroupStats>) -> Vec<u8> {
    let v = f.version();
    let id = if v == Version::V10 { Stat::nicira(7, true) } else { Stat::reply(6) };
    f.entries(id, m, |b, s| {
        let start = b.len();
        b.put16(0);
        b.zeros(2);
        b.put32(s.group.0);
        b.put32(s.ref_count);
        b.zeros(4);
        b.put64(s.packets);
        b.put64(s.bytes);
        if v >= Version::V13 || v == Version::V10 {
            let d = s.duration.unwrap_or(Span { sec: u32::MAX, nsec: u32::MAX });
            b.put32(d.sec);
            b.put32(d.nsec);
        }
        for (packets, bytes) in &s.buckets {
            b.put64(*packets);
            b.put64(*bytes);
        }
        let len = b.len() - start;
        b.set16(start, len as u16);
    })
}

/// Reads group descriptions: 1.5's layout also for the Nicira form.
pub fn take_desc(r: &mut Reader<'_>, v: Version, more: bool) -> Result<Multipart<GroupDesc>> {
    let of15 = v == Version::V15 || v == Version::V10;
    take_entries(more, r, |r| {
        let len = usize::from(u16::from_be_bytes(r.rest().first_chunk::<2>().copied().unwrap_or_default()));
        let mut e = r.sub(len)?;
        e.skip(2)?;
        let ty = e.u8()?;
        e.skip(1)?;
        let group = GroupId(e.u32()?);
        let ty = GroupType::from_wire(ty).ok_or(Error::GroupModFailedBadType)?;
        let mut d = GroupDesc { ty, group, buckets: Vec::new(), props: GroupProps::default() };
        if of15 {
            let n = usize::from(e.u16()?);
            e.skip(6)?;
            d.buckets = take_buckets15(&mut e.sub(n)?, v, ty)?;
            d.props = take_props(&mut e, ty, GroupCommand::Add)?;
        } else {
            d.buckets = take_buckets11(&mut e, v)?;
        }
        Ok(d)
    })
}

/// Writes group descriptions.
pub fn put_desc(f: Frame, m: &Multipart<GroupDesc>) -> Vec<u8> {
    let v = f.version();
    let of15 = v == Version::V15 || v == Version::V10;
    let id = if v == Version::V10 { Stat::nicira(8, true) } else { Stat::reply(7) };
    f.entries(id, m, |b, d| {
        let start = b.len();
        b.put16(0);
        b.put8(d.ty as u8);
        b.put8(0);
        b.put32(d.group.0);
        if of15 {
            let at = b.len();
            b.put16(0);
            b.zeros(6);
            let buckets = b.len();
            for x in &d.buckets {
                put_bucket15(b, x, v, d.ty);
            }
            let n = b.len() - buckets;
            b.set16(at, n as u16);
            put_props(b, &d.props, v);
        } else {
            for x in &d.buckets {
                put_bucket11(b, x, v);
            }
        }
        let len = b.len() - start;
        b.set16(start, len as u16);
    })
}

/// Reads group features.
pub fn take_features(r: &mut Reader<'_>) -> Result<GroupFeatures> {
    let (types, capabilities) = (r.u32()?, r.u32()?);
    Ok(GroupFeatures {
        types,
        capabilities,
        max_groups: [r.u32()?, r.u32()?, r.u32()?, r.u32()?],
        actions: [r.u32()?, r.u32()?, r.u32()?, r.u32()?],
    })
}

/// Writes group features.
pub fn put_features(f: Frame, x: &GroupFeatures) -> Vec<u8> {
    let id = if f.version() <= Version::V11 { Stat::nicira(9, true) } else { Stat::reply(8) };
    f.stat(id, |b| {
        b.put32(x.types);
        b.put32(x.capabilities);
        for n in x.max_groups.iter().chain(&x.actions) {
            b.put32(*n);
        }
    })
}
