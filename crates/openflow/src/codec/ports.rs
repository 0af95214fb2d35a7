//! Ports and queues on the wire.

use flow::OfPort;
use wire::EthAddr;

use super::bytes::{Put, Reader, fixed_string, round8};
use super::frame::{Frame, Stat, take_entries};
use super::property;
use crate::error::Error;
use crate::message::*;
use crate::version::Version;

type Result<T> = std::result::Result<T, Error>;

/// Bits of 1.0 features whose place differs from that of 1.1 and later.
fn features_from10(n: u32) -> u32 {
    n & 0x7f | (n >> 7 & 0x1f) << 11
}

/// The bits of features that exist.
const FEATURES: u32 = 0xffff;

fn features_to10(n: u32) -> u32 {
    n & 0x7f | (n >> 11 & 0x1f) << 7
}

fn port_of(v: Version, r: &mut Reader<'_>) -> Result<OfPort> {
    if v == Version::V10 {
        return Ok(OfPort(u32::from(r.u16()?)));
    }
    OfPort::from_of11(r.u32()?).ok_or(Error::BadActionBadOutPort)
}

/// The speed that features imply, in kbps.
pub fn features_speed(features: u32) -> u32 {
    let best = [
        (feature::FD_1T, 1_000_000_000),
        (feature::FD_100G, 100_000_000),
        (feature::FD_40G, 40_000_000),
        (feature::FD_10G, 10_000_000),
        (feature::HD_1G | feature::FD_1G, 1_000_000),
        (feature::HD_100M | feature::FD_100M, 100_000),
        (feature::HD_10M | feature::FD_10M, 10_000),
    ];
    best.iter().find(|b| features & b.0 != 0).map_or(0, |b| b.1)
}

/// Reads a port structure.
pub fn take_port(r: &mut Reader<'_>, v: Version) -> Result<PortDesc> {
    if v >= Version::V14 {
        let len = r.rest().get(4..6).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
        if len < 40 || len > r.len() {
            return Err(Error::BadRequestBadLen);
        }
    }
    let mut p = PortDesc { port: port_of(v, r)?, ..PortDesc::default() };
    if v >= Version::V14 {
        return take_port14(r, p);
    }
    if v != Version::V10 {
        r.skip(4)?;
    }
    p.hw_addr = EthAddr(r.array()?);
    if v != Version::V10 {
        r.skip(2)?;
    }
    p.name = fixed_string(r.take(16)?);
    take_config(r, &mut p, v)?;
    let mut features = [r.u32()?, r.u32()?, r.u32()?, r.u32()?];
    features = features.map(if v == Version::V10 { features_from10 } else { |n| n & FEATURES });
    [p.curr, p.advertised, p.supported, p.peer] = features;
    if v == Version::V10 {
        p.curr_speed = features_speed(p.curr);
        p.max_speed = features_speed(p.supported);
    } else {
        (p.curr_speed, p.max_speed) = (r.u32()?, r.u32()?);
    }
    Ok(p)
}

fn take_port14(r: &mut Reader<'_>, mut p: PortDesc) -> Result<PortDesc> {
    let len = usize::from(r.u16()?);
    r.skip(2)?;
    p.hw_addr = EthAddr(r.array()?);
    r.skip(2)?;
    p.name = fixed_string(r.take(16)?);
    take_config(r, &mut p, Version::V14)?;
    let Some(rest) = len.checked_sub(40).filter(|n| *n <= r.len()) else {
        return Err(Error::BadRequestBadLen);
    };
    let mut props = r.sub(rest)?;
    while !props.is_empty() {
        let prop = property::take(&mut props)?;
        if prop.ty == 0 {
            let mut e = prop.reader();
            e.skip(4)?;
            [p.curr, p.advertised, p.supported, p.peer] =
                [e.u32()?, e.u32()?, e.u32()?, e.u32()?].map(|n| n & FEATURES);
            (p.curr_speed, p.max_speed) = (e.u32()?, e.u32()?);
        }
    }
    Ok(p)
}

/// Reads configuration and state; bits that the version does not have are dropped.
fn take_config(r: &mut Reader<'_>, p: &mut PortDesc, v: Version) -> Result<()> {
    (p.config, p.state) = (r.u32()?, r.u32()?);
    (p.config, p.state) = config_to(p, v);
    Ok(())
}

fn config_to(p: &PortDesc, v: Version) -> (u32, u32) {
    if v == Version::V10 {
        (p.config & 0x7f, p.state & (PS_LINK_DOWN | PS_STP_MASK))
    } else {
        (p.config & (PC_PORT_DOWN | PC_NO_RECV | PC_NO_FWD | PC_NO_PACKET_IN), p.state & 7)
    }
}

/// Appends a port structure.
pub fn put_port(b: &mut Vec<u8>, p: &PortDesc, v: Version) {
    let (config, state) = config_to(p, v);
    let features = [p.curr, p.advertised, p.supported, p.peer];
    if v == Version::V10 {
        b.put16(p.port.to_of10());
        b.put(&p.hw_addr.0);
        b.fixed(&p.name, 16);
        b.put32(config);
        b.put32(state);
        for f in features {
            b.put32(features_to10(f));
        }
        return;
    }
    b.put32(p.port.to_of11());
    if v >= Version::V14 {
        b.put16(72);
        b.zeros(2);
    } else {
        b.zeros(4);
    }
    b.put(&p.hw_addr.0);
    b.zeros(2);
    b.fixed(&p.name, 16);
    b.put32(config);
    b.put32(state);
    if v >= Version::V14 {
        b.put16(0);
        b.put16(32);
        b.zeros(4);
    }
    for f in features {
        b.put32(f);
    }
    b.put32(p.curr_speed);
    b.put32(p.max_speed);
}

impl PortReason {
    /// From the number of the wire.
    pub const fn from_wire(n: u8) -> Option<PortReason> {
        Some(match n {
            0 => PortReason::Add,
            1 => PortReason::Delete,
            2 => PortReason::Modify,
            _ => return None,
        })
    }
}

/// Reads OFPT_PORT_STATUS.
pub fn take_port_status(r: &mut Reader<'_>, v: Version) -> Result<PortStatus> {
    let reason = PortReason::from_wire(r.u8()?).ok_or(Error::NxBadRequestBadReason)?;
    r.skip(7)?;
    Ok(PortStatus { reason, desc: take_port(r, v)? })
}

/// Writes OFPT_PORT_STATUS.
pub fn put_port_status(f: Frame, s: &PortStatus) -> Vec<u8> {
    let v = f.version();
    f.standard(12, |b| {
        b.put8(s.reason as u8);
        b.zeros(7);
        put_port(b, &s.desc, v);
    })
}

/// Reads OFPT_PORT_MOD.
pub fn take_port_mod(r: &mut Reader<'_>, v: Version) -> Result<PortMod> {
    let port = port_of(v, r)?;
    if v != Version::V10 {
        r.skip(4)?;
    }
    let hw_addr = EthAddr(r.array()?);
    if v != Version::V10 {
        r.skip(2)?;
    }
    let (config, mask) = (r.u32()?, r.u32()?);
    let mut m = PortMod { port, hw_addr, config, mask, advertise: 0 };
    if v >= Version::V14 {
        while !r.is_empty() {
            let p = property::take(r)?;
            match p.ty {
                0 => m.advertise = p.u32()?,
                _ => return Err(p.unknown()),
            }
        }
    } else {
        m.advertise = r.u32()?;
        if v == Version::V10 {
            m.advertise = features_from10(m.advertise);
        }
    }
    let allowed = if v == Version::V10 { 0x7f } else { PC_PORT_DOWN | PC_NO_RECV | PC_NO_FWD | PC_NO_PACKET_IN };
    m.mask &= allowed;
    m.config &= m.mask;
    Ok(m)
}

/// Writes OFPT_PORT_MOD.
pub fn put_port_mod(f: Frame, m: &PortMod) -> Vec<u8> {
    let v = f.version();
    f.standard(if v == Version::V10 { 15 } else { 16 }, |b| {
        if v == Version::V10 {
            b.put16(m.port.to_of10());
            b.put(&m.hw_addr.0);
        } else {
            b.put32(m.port.to_of11());
            b.zeros(4);
            b.put(&m.hw_addr.0);
            b.zeros(2);
        }
        b.put32(m.config);
        b.put32(m.mask);
        if v >= Version::V14 {
            if m.advertise != 0 {
                property::put_u32(b, 0, m.advertise);
            }
        } else {
            b.put32(if v == Version::V10 { features_to10(m.advertise) } else { m.advertise });
            b.zeros(4);
        }
    })
}

/// Reads a port statistics request.
pub fn take_stats_request(r: &mut Reader<'_>, v: Version) -> Result<OfPort> {
    let port = port_of(v, r)?;
    r.skip(if v == Version::V10 { 6 } else { 4 })?;
    Ok(port)
}

/// Writes a port statistics request.
pub fn put_stats_request(f: Frame, port: OfPort) -> Vec<u8> {
    let v = f.version();
    f.stat(Stat::request(4), |b| {
        if v == Version::V10 {
            b.put16(port.to_of10());
            b.zeros(6);
        } else {
            b.put32(port.to_of11());
            b.zeros(4);
        }
    })
}

fn take_counters(r: &mut Reader<'_>, s: &mut PortStats) -> Result<()> {
    (s.rx_packets, s.tx_packets, s.rx_bytes, s.tx_bytes) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
    (s.rx_dropped, s.tx_dropped, s.rx_errors, s.tx_errors) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
    Ok(())
}

fn span(r: &mut Reader<'_>) -> Result<Option<Span>> {
    let s = Span { sec: r.u32()?, nsec: r.u32()? };
    Ok((s.sec != u32::MAX).then_some(s))
}

fn put_span(b: &mut Vec<u8>, s: Option<Span>) {
    let s = s.unwrap_or(Span { sec: u32::MAX, nsec: u32::MAX });
    b.put32(s.sec);
    b.put32(s.nsec);
}

fn take_stats_entry(r: &mut Reader<'_>, v: Version) -> Result<PortStats> {
    let mut s = PortStats::default();
    if v >= Version::V14 {
        return take_stats14(r);
    }
    s.port = port_of(v, r)?;
    r.skip(if v == Version::V10 { 6 } else { 4 })?;
    take_counters(r, &mut s)?;
    (s.rx_frame_err, s.rx_over_err, s.rx_crc_err, s.collisions) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
    if v == Version::V13 {
        s.duration = span(r)?;
    }
    Ok(s)
}

fn take_stats14(r: &mut Reader<'_>) -> Result<PortStats> {
    let len = usize::from(u16::from_be_bytes(r.rest().first_chunk::<2>().copied().unwrap_or_default()));
    if len < 80 || len > r.len() {
        return Err(Error::BadRequestBadLen);
    }
    let mut e = r.sub(len)?;
    e.skip(4)?;
    let port = OfPort::from_of11(e.u32()?).ok_or(Error::BadActionBadOutPort)?;
    let mut s = PortStats { port, duration: span(&mut e)?, ..PortStats::default() };
    take_counters(&mut e, &mut s)?;
    while !e.is_empty() {
        let p = property::take(&mut e)?;
        let mut x = p.reader();
        match (p.ty, p.experimenter) {
            (0, _) => {
                x.skip(4)?;
                (s.rx_frame_err, s.rx_over_err, s.rx_crc_err, s.collisions) = (x.u64()?, x.u64()?, x.u64()?, x.u64()?);
            }
            (0xffff, Some((0x0000_aa01, 1))) => s.rfc2819 = Some(Box::new(take_rfc2819(&mut x)?)),
            (0xffff, Some((0x0000_aa01, 2))) => s.custom = take_custom(&mut x)?,
            _ => {}
        }
    }
    Ok(s)
}

fn take_rfc2819(x: &mut Reader<'_>) -> Result<Rfc2819> {
    x.skip(4)?;
    let mut sizes = [[0; 7]; 2];
    for bucket in sizes.iter_mut().flatten() {
        *bucket = x.u64()?;
    }
    Ok(Rfc2819 {
        rx_sizes: sizes[0],
        tx_sizes: sizes[1],
        tx_multicast: x.u64()?,
        rx_broadcast: x.u64()?,
        tx_broadcast: x.u64()?,
        rx_undersized: x.u64()?,
        rx_oversize: x.u64()?,
        rx_fragmented: x.u64()?,
        rx_jabber: x.u64()?,
    })
}

fn take_custom(x: &mut Reader<'_>) -> Result<Vec<(String, u64)>> {
    x.skip(2)?;
    let n = x.u16()?;
    let mut out = Vec::new();
    for _ in 0..n {
        let len = usize::from(x.u8()?);
        let name = String::from_utf8_lossy(x.take(len)?).into_owned();
        out.push((name, x.u64()?));
    }
    Ok(out)
}

/// Reads port statistics.
pub fn take_stats(r: &mut Reader<'_>, v: Version, more: bool) -> Result<Multipart<PortStats>> {
    take_entries(more, r, |r| take_stats_entry(r, v))
}

/// Writes port statistics.
pub fn put_stats(f: Frame, m: &Multipart<PortStats>) -> Vec<u8> {
    let v = f.version();
    f.entries(Stat::reply(4), m, |b, s| put_stats_entry(b, s, v))
}

fn put_stats_entry(b: &mut Vec<u8>, s: &PortStats, v: Version) {
    let counters =
        [s.rx_packets, s.tx_packets, s.rx_bytes, s.tx_bytes, s.rx_dropped, s.tx_dropped, s.rx_errors, s.tx_errors];
    let errors = [s.rx_frame_err, s.rx_over_err, s.rx_crc_err, s.collisions];
    let start = b.len();
    match v {
        Version::V10 => {
            b.put16(s.port.to_of10());
            b.zeros(6);
        }
        Version::V14 | Version::V15 => {
            b.put16(0);
            b.zeros(2);
            b.put32(s.port.to_of11());
            put_span(b, s.duration);
        }
        _ => {
            b.put32(s.port.to_of11());
            b.zeros(4);
        }
    }
    for n in counters {
        b.put64(n);
    }
    if v < Version::V14 {
        for n in errors {
            b.put64(n);
        }
        if v == Version::V13 {
            put_span(b, s.duration);
        }
        return;
    }
    property::put_nested(b, 0, |b| {
        for n in errors {
            b.put64(n);
        }
    });
    if let Some(x) = &s.rfc2819 {
        put_intel(b, 1, |b| {
            b.zeros(4);
            let tail = [
                x.tx_multicast,
                x.rx_broadcast,
                x.tx_broadcast,
                x.rx_undersized,
                x.rx_oversize,
                x.rx_fragmented,
                x.rx_jabber,
            ];
            for n in x.rx_sizes.iter().chain(&x.tx_sizes).chain(&tail) {
                b.put64(*n);
            }
        });
    }
    if !s.custom.is_empty() {
        put_intel(b, 2, |b| {
            b.zeros(2);
            b.put16(s.custom.len() as u16);
            for (name, n) in &s.custom {
                let name = name.as_bytes().get(..255).unwrap_or(name.as_bytes());
                b.put8(name.len() as u8);
                b.put(name);
                b.put64(*n);
            }
        });
    }
    let len = b.len() - start;
    b.set16(start, len as u16);
}

fn put_intel(b: &mut Vec<u8>, exp_type: u32, payload: impl FnOnce(&mut Vec<u8>)) {
    property::put(b, 0xffff, |b| {
        b.put32(0x0000_aa01);
        b.put32(exp_type);
        payload(b);
    });
}

/// Reads port descriptions.
pub fn take_desc(r: &mut Reader<'_>, v: Version, more: bool) -> Result<Multipart<PortDesc>> {
    take_entries(more, r, |r| take_port(r, v))
}

/// Writes port descriptions.
pub fn put_desc(f: Frame, m: &Multipart<PortDesc>) -> Vec<u8> {
    let v = f.version();
    f.entries(Stat::reply(13), m, |b, p| put_port(b, p, v))
}

/// Reads a queue statistics request.
pub fn take_queue_request(r: &mut Reader<'_>, v: Version) -> Result<QueueRequest> {
    let port = port_of(v, r)?;
    if v == Version::V10 {
        r.skip(2)?;
    }
    let port = if v == Version::V10 && port == OfPort::ALL { OfPort::ANY } else { port };
    Ok(QueueRequest { port, queue: r.u32()? })
}

/// Appends port and queue of a request.
pub fn put_queue_request(b: &mut Vec<u8>, q: &QueueRequest, v: Version) {
    if v == Version::V10 {
        b.put16(if q.port == OfPort::ANY { OfPort::ALL.to_of10() } else { q.port.to_of10() });
        b.zeros(2);
    } else {
        b.put32(q.port.to_of11());
    }
    b.put32(q.queue);
}

/// Reads queue statistics.
pub fn take_queue_stats(r: &mut Reader<'_>, v: Version, more: bool) -> Result<Multipart<QueueStats>> {
    take_entries(more, r, |r| {
        if v >= Version::V14 {
            let len = usize::from(r.u16()?);
            r.skip(6)?;
            let (port, queue) = (port_of(v, r)?, r.u32()?);
            let (tx_bytes, tx_packets, tx_errors) = (r.u64()?, r.u64()?, r.u64()?);
            let duration = span(r)?;
            r.skip(len.checked_sub(48).ok_or(Error::BadRequestBadLen)?)?;
            return Ok(QueueStats { port, queue, tx_bytes, tx_packets, tx_errors, duration });
        }
        let port = port_of(v, r)?;
        if v == Version::V10 {
            r.skip(2)?;
        }
        let queue = r.u32()?;
        let (tx_bytes, tx_packets, tx_errors) = (r.u64()?, r.u64()?, r.u64()?);
        let duration = if v == Version::V13 { span(r)? } else { None };
        Ok(QueueStats { port, queue, tx_bytes, tx_packets, tx_errors, duration })
    })
}

/// Writes queue statistics.
pub fn put_queue_stats(f: Frame, m: &Multipart<QueueStats>) -> Vec<u8> {
    let v = f.version();
    f.entries(Stat::reply(5), m, |b, s| {
        if v >= Version::V14 {
            b.put16(48);
            b.zeros(6);
        }
        if v == Version::V10 {
            b.put16(s.port.to_of10());
            b.zeros(2);
        } else {
            b.put32(s.port.to_of11());
        }
        b.put32(s.queue);
        b.put64(s.tx_bytes);
        b.put64(s.tx_packets);
        b.put64(s.tx_errors);
        if v >= Version::V13 {
            put_span(b, s.duration);
        }
    })
}

fn rate(n: u16) -> Option<u16> {
    (n <= 1000).then_some(n)
}

/// Reads OFPT_QUEUE_GET_CONFIG_REPLY.
pub fn take_queue_config(r: &mut Reader<'_>, v: Version) -> Result<QueueConfigReply> {
    // A reply without queues does not say whose they are.
    let mut head = *r;
    r.skip(8)?;
    let port = if r.is_empty() { port_of(v, &mut head).unwrap_or(OfPort::ANY) } else { port_of(v, &mut head)? };
    let mut queues = Vec::new();
    while !r.is_empty() {
        let queue = r.u32()?;
        let mut used = 8;
        let mut q = QueueDesc { port, queue, min_rate: None, max_rate: None };
        if v >= Version::V12 {
            // The queues of a reply are those of its port, whatever each says.
            r.skip(4)?;
            used = 16;
        }
        let len = usize::from(r.u16()?);
        r.skip(if v >= Version::V12 { 6 } else { 2 })?;
        let mut props = r.sub(len.checked_sub(used).ok_or(Error::BadRequestBadLen)?)?;
        while !props.is_empty() {
            let (ty, len) = (props.u16()?, usize::from(props.u16()?));
            let body = props.take(round8(len).checked_sub(4).ok_or(Error::BadRequestBadLen)?)?;
            let mut x = Reader::new(body);
            match ty {
                1 => {
                    x.skip(4)?;
                    q.min_rate = rate(x.u16()?);
                }
                2 => {
                    x.skip(4)?;
                    q.max_rate = rate(x.u16()?);
                }
                _ => {}
            }
        }
        queues.push(q);
    }
    Ok(QueueConfigReply { port, queues })
}

/// Writes OFPT_QUEUE_GET_CONFIG_REPLY.
pub fn put_queue_config(f: Frame, c: &QueueConfigReply) -> Vec<u8> {
    let v = f.version();
    f.standard(if v == Version::V10 { 21 } else { 23 }, |b| {
        if v == Version::V10 {
            b.put16(c.port.to_of10());
            b.zeros(6);
        } else {
            b.put32(c.port.to_of11());
            b.zeros(4);
        }
        for q in &c.queues {
            let start = b.len();
            b.put32(q.queue);
            let len_at = if v >= Version::V12 {
                b.put32(q.port.to_of11());
                b.put16(0);
                b.zeros(6);
                start + 8
            } else {
                b.put16(0);
                b.zeros(2);
                start + 4
            };
            for (ty, n) in [(1, q.min_rate), (2, q.max_rate)] {
                if let Some(n) = n {
                    b.put16(ty);
                    b.put16(16);
                    b.zeros(4);
                    b.put16(n);
                    b.zeros(6);
                }
            }
            let len = b.len() - start;
            b.set16(len_at, len as u16);
        }
    })
}

/// Reads queue descriptions (1.4 and later).
pub fn take_queue_desc(r: &mut Reader<'_>, v: Version, more: bool) -> Result<Multipart<QueueDesc>> {
    take_entries(more, r, |r| {
        let mut head = r.sub(16)?;
        let (port, queue, len) = (port_of(v, &mut head)?, head.u32()?, usize::from(head.u16()?));
        let mut props = r.sub(len.checked_sub(16).ok_or(Error::BadRequestBadLen)?)?;
        let mut q = QueueDesc { port, queue, min_rate: None, max_rate: None };
        while !props.is_empty() {
            let p = property::take(&mut props)?;
            match p.ty {
                1 => q.min_rate = rate(p.u16()?),
                2 => q.max_rate = rate(p.u16()?),
                _ => {}
            }
        }
        Ok(q)
    })
}

/// Writes queue descriptions (1.4 and later).
pub fn put_queue_desc(f: Frame, m: &Multipart<QueueDesc>) -> Vec<u8> {
    f.entries(Stat::reply(15), m, |b, q| {
        let start = b.len();
        b.put32(q.port.to_of11());
        b.put32(q.queue);
        b.put16(0);
        b.zeros(6);
        for (ty, n) in [(1, q.min_rate), (2, q.max_rate)] {
            if let Some(n) = n {
                property::put_u16(b, ty, n);
            }
        }
        let len = b.len() - start;
        b.set16(start + 8, len as u16);
    })
}
