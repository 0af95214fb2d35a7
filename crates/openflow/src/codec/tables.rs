//! Tables on the wire.

use super::bytes::{Put, Reader, fixed_string};
use super::frame::{Frame, Stat, take_entries};
use super::oxm::{self, Numbering};
use super::property;
use crate::error::Error;
use crate::message::*;
use crate::version::{TableId, Version};

type Result<T> = std::result::Result<T, Error>;

fn miss_from(config: u32, v: Version) -> TableMiss {
    if v >= Version::V13 {
        return TableMiss::Default;
    }
    match config & 3 {
        0 => TableMiss::Controller,
        1 => TableMiss::Continue,
        2 => TableMiss::Drop,
        _ => TableMiss::Controller,
    }
}

fn config_to(t: &TableMod, v: Version) -> u32 {
    let mut config = 0;
    if v < Version::V13 {
        config = match t.miss {
            TableMiss::Default | TableMiss::Controller => 0,
            TableMiss::Continue => 1,
            TableMiss::Drop => 2,
        };
    }
    if v >= Version::V14 {
        if t.eviction == Some(true) {
            config |= 4;
        }
        if t.vacancy == Some(true) {
            config |= 8;
        }
    }
    config
}

fn take_body(r: &mut Reader<'_>, table: TableId, config: u32, v: Version) -> Result<TableMod> {
    let mut t = TableMod {
        table,
        miss: miss_from(config, v),
        eviction: None,
        eviction_flags: None,
        vacancy: None,
        vacancy_limits: None,
    };
    if v < Version::V14 {
        return Ok(t);
    }
    t.eviction = Some(config & 4 != 0);
    t.vacancy = Some(config & 8 != 0);
    while !r.is_empty() {
        let p = property::take(r)?;
        match p.ty {
            2 => t.eviction_flags = Some(p.u32()?),
            3 => {
                let mut e = p.reader();
                let limits = (e.u8()?, e.u8()?, e.u8()?);
                if limits.0 > limits.1 || limits.1 > 100 {
                    return Err(Error::BadPropertyBadValue);
                }
                t.vacancy_limits = Some(limits);
            }
            _ => return Err(p.unknown()),
        }
    }
    Ok(t)
}

fn put_props(b: &mut Vec<u8>, t: &TableMod) {
    if let Some(flags) = t.eviction_flags {
        property::put_u32(b, 2, flags);
    }
    if let Some((down, up, now)) = t.vacancy_limits {
        property::put(b, 3, |b| b.put(&[down, up, now, 0]));
    }
}

/// Reads OFPT_TABLE_MOD.
pub fn take_table_mod(r: &mut Reader<'_>, v: Version) -> Result<TableMod> {
    let table = TableId(r.u8()?);
    r.skip(3)?;
    let config = r.u32()?;
    let t = take_body(r, table, config, v).map_err(|e| match e {
        Error::BadPropertyBadType => Error::BadRequestBadType,
        e => e,
    })?;
    // How full a table is, is not for controllers to say.
    if t.vacancy_limits.is_some_and(|l| l.2 != 0) {
        return Err(Error::BadPropertyBadValue);
    }
    Ok(t)
}

/// Writes OFPT_TABLE_MOD.
pub fn put_table_mod(f: Frame, t: &TableMod) -> Vec<u8> {
    let v = f.version();
    f.standard(17, |b| {
        b.put8(t.table.0);
        b.zeros(3);
        b.put32(config_to(t, v));
        if v >= Version::V14 {
            put_props(b, t);
        }
    })
}

fn take_desc_entry(r: &mut Reader<'_>, v: Version) -> Result<TableDesc> {
    let len = usize::from(u16::from_be_bytes(r.rest().first_chunk::<2>().copied().unwrap_or_default()));
    let mut e = r.sub(len)?;
    e.skip(2)?;
    let table = TableId(e.u8()?);
    e.skip(1)?;
    let config = e.u32()?;
    take_body(&mut e, table, config, v)
}

fn put_desc_entry(b: &mut Vec<u8>, t: &TableDesc, v: Version) {
    let start = b.len();
    b.put16(0);
    b.put8(t.table.0);
    b.put8(0);
    b.put32(config_to(t, v));
    put_props(b, t);
    let len = b.len() - start;
    b.set16(start, len as u16);
}

/// Reads table descriptions.
pub fn take_desc(r: &mut Reader<'_>, v: Version, more: bool) -> Result<Multipart<TableDesc>> {
    take_entries(more, r, |r| take_desc_entry(r, v))
}

/// Writes table descriptions.
pub fn put_desc(f: Frame, m: &Multipart<TableDesc>) -> Vec<u8> {
    let v = f.version();
    f.entries(Stat::reply(14), m, |b, t| put_desc_entry(b, t, v))
}

/// Reads OFPT_TABLE_STATUS.
pub fn take_status(r: &mut Reader<'_>, v: Version) -> Result<TableStatus> {
    let reason = r.u8()?;
    if reason != 3 && reason != 4 {
        return Err(Error::BadPropertyBadValue);
    }
    r.skip(7)?;
    Ok(TableStatus { reason, desc: take_desc_entry(r, v)? })
}

/// Writes OFPT_TABLE_STATUS.
pub fn put_status(f: Frame, s: &TableStatus) -> Vec<u8> {
    let v = f.version();
    f.standard(31, |b| {
        b.put8(s.reason);
        b.zeros(7);
        put_desc_entry(b, &s.desc, v);
    })
}

/// Fields of the bitmap that 1.1 table statistics have, and of the 64-bit maps of 1.2: bit N is OXM field N.
fn oxm_bitmap(set: &FieldSet) -> u64 {
    set.iter()
        .flat_map(|f| f.def().numbers.iter())
        .filter(|n| n.class == 0x8000 && n.min_version <= Version::V12.to_wire() && n.field < 64)
        .fold(0, |a, n| a | 1 << n.field)
}

fn from_oxm_bitmap(bits: u64) -> FieldSet {
    let mut set = FieldSet::default();
    for n in (0..40u8).filter(|n| bits >> n & 1 != 0) {
        if let Some(f) = oxm::field_of(0x8000, 0, n)
            && f.def().numbers.iter().any(|x| x.class == 0x8000 && x.min_version <= Version::V12.to_wire())
        {
            set.insert(f);
        }
    }
    set
}

fn take_stats_entry(r: &mut Reader<'_>, v: Version) -> Result<TableStats> {
    let mut s = TableStats { table: TableId(r.u8()?), ..TableStats::default() };
    let mut t = TableFeatures { table: s.table, ..TableFeatures::default() };
    match v {
        Version::V10 => {
            r.skip(3)?;
            t.name = fixed_string(r.take(32)?);
            t.nonmiss.instructions = r.u32()?;
            t.max_entries = r.u32()?;
        }
        Version::V11 => {
            r.skip(7)?;
            t.name = fixed_string(r.take(32)?);
            r.skip(8)?;
            t.nonmiss.instructions = r.u32()?;
            t.nonmiss.write.actions = u64::from(r.u32()?);
            t.nonmiss.apply.actions = u64::from(r.u32()?);
            t.miss = Some(miss_from(r.u32()?, v));
            t.max_entries = r.u32()?;
        }
        Version::V12 => {
            r.skip(7)?;
            t.name = fixed_string(r.take(32)?);
            t.matchable = from_oxm_bitmap(r.u64()?);
            t.wildcards = from_oxm_bitmap(r.u64()?);
            t.nonmiss.write.actions = u64::from(r.u32()?);
            t.nonmiss.apply.actions = u64::from(r.u32()?);
            t.nonmiss.write.set_fields = from_oxm_bitmap(r.u64()?);
            t.nonmiss.apply.set_fields = from_oxm_bitmap(r.u64()?);
            (t.metadata_match, t.metadata_write) = (r.u64()?, r.u64()?);
            t.nonmiss.instructions = r.u32()?;
            t.miss = Some(miss_from(r.u32()?, v));
            t.max_entries = r.u32()?;
        }
        _ => r.skip(3)?,
    }
    s.active = r.u32()?;
    (s.lookups, s.matched) = (r.u64()?, r.u64()?);
    if v < Version::V13 {
        s.features = Some(Box::new(t));
    }
    Ok(s)
}

/// Reads table statistics.
pub fn take_stats(r: &mut Reader<'_>, v: Version, more: bool) -> Result<Multipart<TableStats>> {
    take_entries(more, r, |r| take_stats_entry(r, v))
}

/// Writes table statistics. For 1.0, `features.nonmiss.instructions` holds the wildcard bits.
pub fn put_stats(f: Frame, m: &Multipart<TableStats>) -> Vec<u8> {
    let v = f.version();
    f.entries(Stat::reply(3), m, |b, s| put_stats_entry(b, s, v))
}

fn put_stats_entry(b: &mut Vec<u8>, s: &TableStats, v: Version) {
    let empty = TableFeatures::default();
    let t = s.features.as_deref().unwrap_or(&empty);
    let miss = match t.miss {
        Some(TableMiss::Continue) => 1,
        Some(TableMiss::Drop) => 2,
        _ => 0,
    };
    b.put8(s.table.0);
    match v {
        Version::V10 => {
            b.zeros(3);
            b.fixed(&t.name, 32);
            b.put32(t.nonmiss.instructions);
            b.put32(t.max_entries);
        }
        Version::V11 => {
            b.zeros(7);
            b.fixed(&t.name, 32);
            b.put32(0x3ff);
            b.put32(0x3ff);
            b.put32(t.nonmiss.instructions);
            b.put32(t.nonmiss.write.actions as u32);
            b.put32(t.nonmiss.apply.actions as u32);
            b.put32(miss);
            b.put32(t.max_entries);
        }
        Version::V12 => {
            b.zeros(7);
            b.fixed(&t.name, 32);
            b.put64(oxm_bitmap(&t.matchable));
            b.put64(oxm_bitmap(&t.wildcards));
            b.put32(t.nonmiss.write.actions as u32);
            b.put32(t.nonmiss.apply.actions as u32);
            b.put64(oxm_bitmap(&t.nonmiss.write.set_fields));
            b.put64(oxm_bitmap(&t.nonmiss.apply.set_fields));
            b.put64(t.metadata_match);
            b.put64(t.metadata_write);
            b.put32(t.nonmiss.instructions);
            b.put32(miss);
            b.put32(t.max_entries);
        }
        _ => b.zeros(3),
    }
    b.put32(s.active);
    b.put64(s.lookups);
    b.put64(s.matched);
}

/// Reads table features.
pub fn take_features(r: &mut Reader<'_>, v: Version, more: bool) -> Result<Multipart<TableFeatures>> {
    take_entries(more, r, |r| take_features_entry(r, v))
}

fn take_features_entry(r: &mut Reader<'_>, v: Version) -> Result<TableFeatures> {
    let len = usize::from(u16::from_be_bytes(r.rest().first_chunk::<2>().copied().unwrap_or_default()));
    if len < 64 || len > r.len() {
        return Err(Error::BadPropertyBadLen);
    }
    let mut e = r.sub(len)?;
    e.skip(2)?;
    let mut t = TableFeatures { table: TableId(e.u8()?), command: e.u8()?, ..TableFeatures::default() };
    if t.table == TableId::ALL {
        return Err(Error::TableFeaturesFailedBadTable);
    }
    e.skip(4)?;
    t.name = fixed_string(e.take(32)?);
    (t.metadata_match, t.metadata_write) = (e.u64()?, e.u64()?);
    let capabilities = e.u32()?;
    if v >= Version::V14 {
        t.supports_eviction = capabilities & 4 != 0;
        t.supports_vacancy = capabilities & 8 != 0;
    }
    t.max_entries = e.u32()?;
    let mut seen = 0u32;
    while !e.is_empty() {
        let p = property::take_from(&mut e, 0xfffe)?;
        t.any_properties = true;
        if p.ty > 15 {
            return Err(p.unknown());
        }
        if seen >> p.ty & 1 != 0 {
            return Err(Error::BadPropertyDupType);
        }
        seen |= 1 << p.ty;
        take_features_property(&mut t, p.ty, p.payload)?;
    }
    if !t.any_properties {
        return Ok(t);
    }
    for ty in [0, 2, 4, 6, 8, 10, 12, 14] {
        if seen >> ty & 1 == 0 {
            return Err(Error::BadPropertyBadType);
        }
    }
    // What is not said of table-miss flows is as for others.
    let copy = t.nonmiss.clone();
    let miss = &mut t.miss_features;
    if seen >> 1 & 1 == 0 {
        miss.instructions = copy.instructions;
    }
    if seen >> 3 & 1 == 0 {
        miss.next = copy.next;
    }
    if seen >> 5 & 1 == 0 {
        miss.write.actions = copy.write.actions;
    }
    if seen >> 7 & 1 == 0 {
        miss.apply.actions = copy.apply.actions;
    }
    if seen >> 13 & 1 == 0 {
        miss.write.set_fields = copy.write.set_fields;
    }
    if seen >> 15 & 1 == 0 {
        miss.apply.set_fields = copy.apply.set_fields;
    }
    Ok(t)
}

fn take_features_property(t: &mut TableFeatures, ty: u16, payload: &[u8]) -> Result<()> {
    let mut r = Reader::with_error(payload, Error::BadPropertyBadLen);
    let flows = if ty.is_multiple_of(2) { &mut t.nonmiss } else { &mut t.miss_features };
    match ty {
        0 | 1 => flows.instructions = numbers(&mut r)? as u32,
        2 | 3 => flows.next = payload.to_vec(),
        4 | 5 => flows.write.actions = numbers(&mut r)?,
        6 | 7 => flows.apply.actions = numbers(&mut r)?,
        8 => {
            let (all, masked) = fields(&mut r)?;
            t.matchable = all;
            t.maskable = masked;
        }
        10 => t.wildcards = fields(&mut r)?.0,
        12 | 13 => flows.write.set_fields = fields(&mut r)?.0,
        14 | 15 => flows.apply.set_fields = fields(&mut r)?.0,
        _ => return Err(Error::BadPropertyBadType),
    }
    Ok(())
}

/// A list of (type, length) headers as a set of types.
fn numbers(r: &mut Reader<'_>) -> Result<u64> {
    let mut set = 0;
    while !r.is_empty() {
        let (ty, len) = (r.u16()?, usize::from(r.u16()?));
        if len < 4 {
            return Err(Error::BadPropertyBadLen);
        }
        r.skip(len - 4)?;
        if ty < 64 {
            set |= 1 << ty;
        }
    }
    Ok(set)
}

/// A list of OXM headers as a set of fields, and the set of those with a mask.
fn fields(r: &mut Reader<'_>) -> Result<(FieldSet, FieldSet)> {
    let (mut all, mut masked) = (FieldSet::default(), FieldSet::default());
    while !r.is_empty() {
        let h = oxm::take_header(r)?;
        if let Some(f) = h.field() {
            all.insert(f);
            if h.has_mask {
                masked.insert(f);
            }
        }
    }
    Ok((all, masked))
}

/// Writes table features.
pub fn put_features(f: Frame, m: &Multipart<TableFeatures>, reply: bool) -> Vec<u8> {
    let v = f.version();
    let id = if reply { Stat::reply(12) } else { Stat::request(12) };
    f.entries(id, m, |b, t| put_features_entry(b, t, v))
}

fn put_features_entry(b: &mut Vec<u8>, t: &TableFeatures, v: Version) {
    let start = b.len();
    b.put16(0);
    b.put8(t.table.0);
    b.put8(t.command);
    b.zeros(4);
    b.fixed(&t.name, 32);
    b.put64(t.metadata_match);
    b.put64(t.metadata_write);
    let mut capabilities = 0;
    if v >= Version::V14 {
        capabilities = u32::from(t.supports_eviction) << 2 | u32::from(t.supports_vacancy) << 3;
    }
    b.put32(capabilities);
    b.put32(t.max_entries);
    if t.any_properties {
        put_flow_features(b, &t.nonmiss, 0, v);
        put_fields(b, 8, &t.matchable, &t.maskable, v);
        put_fields(b, 10, &t.wildcards, &FieldSet::default(), v);
        if t.miss_features != t.nonmiss {
            put_flow_features(b, &t.miss_features, 1, v);
        }
    }
    let len = b.len() - start;
    b.set16(start, len as u16);
}

fn put_flow_features(b: &mut Vec<u8>, x: &FlowFeatures, odd: u16, v: Version) {
    put_numbers(b, odd, u64::from(x.instructions));
    property::put(b, 2 + odd, |b| b.put(&x.next));
    put_numbers(b, 4 + odd, x.write.actions);
    put_numbers(b, 6 + odd, x.apply.actions);
    put_fields(b, 12 + odd, &x.write.set_fields, &FieldSet::default(), v);
    put_fields(b, 14 + odd, &x.apply.set_fields, &FieldSet::default(), v);
}

fn put_numbers(b: &mut Vec<u8>, ty: u16, set: u64) {
    property::put(b, ty, |b| {
        for n in (0..64u16).filter(|n| set >> n & 1 != 0) {
            b.put16(n);
            b.put16(4);
        }
    });
}

fn put_fields(b: &mut Vec<u8>, ty: u16, set: &FieldSet, masked: &FieldSet, v: Version) {
    property::put(b, ty, |b| {
        for f in set.iter() {
            let mask = masked.contains(f);
            let width = usize::from(f.def().bytes);
            let len = if f.tun_metadata_index().is_some() { 0 } else { width };
            oxm::put_header(b, f, Numbering::Oxm(v), mask, if mask { 2 * len } else { len });
        }
    });
}
