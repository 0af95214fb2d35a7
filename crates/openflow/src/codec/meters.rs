//! Meters on the wire (1.3 and later).

use super::bytes::{Put, Reader};
use super::frame::{Frame, Stat, take_entries};
use crate::error::Error;
use crate::message::*;
use crate::version::MeterId;

type Result<T> = std::result::Result<T, Error>;

fn take_bands(r: &mut Reader<'_>) -> Result<Vec<MeterBand>> {
    let bad = Error::MeterModFailedBadBand;
    let mut out = Vec::new();
    while !r.is_empty() {
        let mut head = Reader::with_error(r.rest(), Error::BadRequestBadLen);
        let (ty, len) = (head.u16()?, usize::from(head.u16()?));
        if len != 16 {
            return Err(Error::BadRequestBadLen);
        }
        let mut e = r.sub(len)?;
        e.skip(4)?;
        let (rate, burst) = (e.u32()?, e.u32()?);
        let ty = match ty {
            1 => BandType::Drop,
            2 => BandType::DscpRemark(e.u8()?),
            _ => return Err(bad),
        };
        out.push(MeterBand { ty, rate, burst });
    }
    Ok(out)
}

fn put_bands(b: &mut Vec<u8>, bands: &[MeterBand]) {
    for x in bands {
        let (ty, level) = match x.ty {
            BandType::Drop => (1, 0),
            BandType::DscpRemark(n) => (2, n),
        };
        b.put16(ty);
        b.put16(16);
        b.put32(x.rate);
        b.put32(x.burst);
        b.put8(level);
        b.zeros(3);
    }
}

/// Reads OFPT_METER_MOD.
pub fn take_meter_mod(r: &mut Reader<'_>) -> Result<MeterMod> {
    let command = match r.u16()? {
        0 => MeterCommand::Add,
        1 => MeterCommand::Modify,
        2 => MeterCommand::Delete,
        _ => return Err(Error::MeterModFailedBadCommand),
    };
    let (flags, meter) = (r.u16()?, MeterId(r.u32()?));
    let mut m = MeterMod { command, meter: MeterConfig { meter, flags, bands: Vec::new() } };
    if command == MeterCommand::Delete {
        m.meter.flags = 0;
        return Ok(m);
    }
    if flags & MF_KBPS != 0 && flags & MF_PKTPS != 0 {
        return Err(Error::MeterModFailedBadFlags);
    }
    m.meter.bands = take_bands(r)?;
    Ok(m)
}

/// Writes OFPT_METER_MOD.
pub fn put_meter_mod(f: Frame, m: &MeterMod) -> Vec<u8> {
    f.standard(29, |b| {
        b.put16(m.command as u16);
        b.put16(m.meter.flags);
        b.put32(m.meter.meter.0);
        if m.command != MeterCommand::Delete {
            put_bands(b, &m.meter.bands);
        }
    })
}

/// Reads meter statistics.
pub fn take_stats(r: &mut Reader<'_>, more: bool) -> Result<Multipart<MeterStats>> {
    take_entries(more, r, |r| {
        let mut head = Reader::new(r.rest());
        head.skip(4)?;
        let mut e = r.sub(usize::from(head.u16()?))?;
        let meter = MeterId(e.u32()?);
        e.skip(8)?;
        let mut s = MeterStats {
            meter,
            flows: e.u32()?,
            packets_in: e.u64()?,
            bytes_in: e.u64()?,
            duration: Span { sec: e.u32()?, nsec: e.u32()? },
            bands: Vec::new(),
        };
        while !e.is_empty() {
            s.bands.push((e.u64()?, e.u64()?));
        }
        Ok(s)
    })
}

/// Writes meter statistics.
pub fn put_stats(f: Frame, m: &Multipart<MeterStats>) -> Vec<u8> {
    f.entries(Stat::reply(9), m, |b, s| {
        b.put32(s.meter.0);
        b.put16((40 + 16 * s.bands.len()) as u16);
        b.zeros(6);
        b.put32(s.flows);
        b.put64(s.packets_in);
        b.put64(s.bytes_in);
        b.put32(s.duration.sec);
        b.put32(s.duration.nsec);
        for (packets, bytes) in &s.bands {
            b.put64(*packets);
            b.put64(*bytes);
        }
    })
}

/// Reads meter configurations.
pub fn take_config(r: &mut Reader<'_>, more: bool) -> Result<Multipart<MeterConfig>> {
    take_entries(more, r, |r| {
        let len = usize::from(u16::from_be_bytes(r.rest().first_chunk::<2>().copied().unwrap_or_default()));
        let mut e = r.sub(len)?;
        e.skip(2)?;
        Ok(MeterConfig { flags: e.u16()?, meter: MeterId(e.u32()?), bands: take_bands(&mut e)? })
    })
}

/// Writes meter configurations.
pub fn put_config(f: Frame, m: &Multipart<MeterConfig>) -> Vec<u8> {
    f.entries(Stat::reply(10), m, |b, c| {
        b.put16((8 + 16 * c.bands.len()) as u16);
        b.put16(c.flags);
        b.put32(c.meter.0);
        put_bands(b, &c.bands);
    })
}

/// Reads meter features.
pub fn take_features(r: &mut Reader<'_>) -> Result<MeterFeatures> {
    Ok(MeterFeatures {
        max_meters: r.u32()?,
        band_types: r.u32()?,
        capabilities: r.u32()?,
        max_bands: r.u8()?,
        max_color: r.u8()?,
    })
}

/// Writes meter features.
pub fn put_features(f: Frame, x: &MeterFeatures) -> Vec<u8> {
    f.stat(Stat::reply(11), |b| {
        b.put32(x.max_meters);
        b.put32(x.band_types);
        b.put32(x.capabilities);
        b.put8(x.max_bands);
        b.put8(x.max_color);
        b.zeros(2);
    })
}
