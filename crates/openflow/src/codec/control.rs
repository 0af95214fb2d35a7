//! Session messages on the wire.

use std::net::Ipv6Addr;

use super::bytes::{Put, Reader, fixed_string, is_zero};
use super::frame::{Frame, Stat};
use super::ports;
use super::property;
use crate::error::{Code, Error, ErrorMsg, NX_VENDOR, ONF_VENDOR};
use crate::message::*;
use crate::version::Version;

type Result<T> = std::result::Result<T, Error>;

/// Reads OFPT_HELLO. Elements that are damaged are left out (OpenFlow 1.3.1 §7.5.1).
pub fn take_hello(r: &mut Reader<'_>, version_byte: u8) -> Hello {
    let up_to = |v: u8| (1u32 << v.min(31)).wrapping_mul(2).wrapping_sub(1) & !1;
    let mut h = Hello { versions: up_to(version_byte), bitmap: false };
    while r.len() >= 4 {
        let mut head = *r;
        let (Ok(ty), Ok(len)) = (head.u16(), head.u16()) else { break };
        let len = usize::from(len);
        if len < 4 || len > r.len() {
            break;
        }
        if ty == 1 && len >= 8 && len % 4 == 0 {
            let mut body = head;
            if let Ok(bits) = body.u32()
                && bits & !1 != 0
            {
                h = Hello { versions: bits & !1, bitmap: true };
            }
        }
        r.skip_up_to(super::bytes::round8(len));
    }
    h
}

/// Writes OFPT_HELLO; the header's version is the newest of the bitmap.
pub fn put_hello(f: Frame, h: &Hello) -> Vec<u8> {
    f.standard(0, |b| {
        if h.bitmap {
            b.put16(1);
            b.put16(8);
            b.put32(h.versions);
        }
    })
}

/// Reads OFPT_ERROR.
pub fn take_error(r: &mut Reader<'_>, v: Version) -> Result<ErrorMsg> {
    let (ty, code) = (r.u16()?, r.u16()?);
    let of_vendor = |vendor: u32, ty: u16, code: u16, two: bool| match (vendor, two) {
        // Nobody is number 0: a standard error in an extension's clothes.
        (0, _) => Code::Of(ty, code),
        (NX_VENDOR, true) => Code::Nx(ty, code),
        (NX_VENDOR, false) => Code::NxExp(ty),
        (ONF_VENDOR, false) => Code::OnfExp(ty),
        _ => Code::None,
    };
    let (found, raw) = match (ty, code) {
        (0xb0c2, 0) => {
            let (vendor, ty, code) = (r.u32()?, r.u16()?, r.u16()?);
            (of_vendor(vendor, ty, code, true), (vendor, ty, code))
        }
        (0xffff, exp) => {
            let vendor = r.u32()?;
            (of_vendor(vendor, exp, 0, false), (vendor, exp, 0))
        }
        _ => (Code::Of(ty, code), (0, ty, code)),
    };
    Ok(ErrorMsg { error: Error::from_code(v, found), raw, data: r.rest().to_vec() })
}

/// Writes OFPT_ERROR.
pub fn put_error(f: Frame, e: &ErrorMsg) -> Vec<u8> {
    let v = f.version();
    let mut code = e.error.map_or(Code::None, |x| x.code(v));
    if e.error.is_some() && code == Code::None {
        code = Error::NxBadRequestUnencodableError.code(v);
    }
    f.standard(1, |b| {
        let old_vendor = |b: &mut Vec<u8>, vendor: u32, ty: u16, code: u16| {
            b.put16(0xb0c2);
            b.put16(0);
            b.put32(vendor);
            b.put16(ty);
            b.put16(code);
        };
        let experimenter = |b: &mut Vec<u8>, vendor: u32, n: u16| {
            b.put16(0xffff);
            b.put16(n);
            b.put32(vendor);
        };
        match code {
            Code::Of(ty, code) => {
                b.put16(ty);
                b.put16(code);
            }
            Code::Nx(ty, code) => old_vendor(b, NX_VENDOR, ty, code),
            Code::NxExp(n) => experimenter(b, NX_VENDOR, n),
            Code::OnfExp(n) => experimenter(b, ONF_VENDOR, n),
            Code::None => {
                let (vendor, ty, code) = e.raw;
                match vendor {
                    // Bare, these numbers would say that another error follows.
                    0 if matches!(ty, 0xb0c2 | 0xffff) => old_vendor(b, 0, ty, code),
                    0 => {
                        b.put16(ty);
                        b.put16(code);
                    }
                    _ if v <= Version::V11 => old_vendor(b, vendor, ty, code),
                    _ => experimenter(b, vendor, ty),
                }
            }
        }
        let room = 65535 - b.len();
        b.put(e.data.get(..room).unwrap_or(&e.data));
    })
}

/// Reads OFPT_FEATURES_REPLY.
pub fn take_features(r: &mut Reader<'_>, v: Version) -> Result<Features> {
    let mut x = Features { datapath_id: r.u64()?, n_buffers: r.u32()?, n_tables: r.u8()?, ..Features::default() };
    x.auxiliary_id = r.u8()?;
    if v < Version::V13 {
        x.auxiliary_id = 0;
    }
    r.skip(2)?;
    (x.capabilities, x.actions) = (r.u32()?, r.u32()?);
    if v > Version::V10 {
        x.actions = 0;
    }
    if v < Version::V13 {
        while !r.is_empty() {
            x.ports.push(ports::take_port(r, v)?);
        }
    } else if !r.is_empty() {
        return Err(Error::BadRequestBadLen);
    }
    Ok(x)
}

/// Writes OFPT_FEATURES_REPLY.
pub fn put_features(f: Frame, x: &Features) -> Vec<u8> {
    let v = f.version();
    f.standard(6, |b| {
        b.put64(x.datapath_id);
        b.put32(x.n_buffers);
        b.put8(x.n_tables);
        b.put8(if v >= Version::V13 { x.auxiliary_id } else { 0 });
        b.zeros(2);
        b.put32(x.capabilities);
        b.put32(if v == Version::V10 { x.actions } else { 0 });
        if v < Version::V13 {
            for p in &x.ports {
                ports::put_port(b, p, v);
            }
        }
    })
}

impl ControllerRole {
    /// From the number of 1.2 and later.
    pub const fn from_wire(n: u32) -> Option<ControllerRole> {
        Some(match n {
            0 => ControllerRole::NoChange,
            1 => ControllerRole::Equal,
            2 => ControllerRole::Primary,
            3 => ControllerRole::Secondary,
            _ => return None,
        })
    }
}

/// Reads a standard role message: a request, where only two roles carry a generation, or a reply.
pub fn take_role(r: &mut Reader<'_>, reply: bool) -> Result<Role> {
    let role = ControllerRole::from_wire(r.u32()?).ok_or(Error::RoleRequestFailedBadRole)?;
    r.skip(4)?;
    let generation = r.u64()?;
    let carries = match role {
        _ if reply => generation != u64::MAX,
        ControllerRole::Primary | ControllerRole::Secondary => true,
        _ => false,
    };
    Ok(Role { role, generation_id: carries.then_some(generation), nicira: false })
}

/// Reads a Nicira role message.
pub fn take_nx_role(r: &mut Reader<'_>) -> Result<Role> {
    let role = match r.u32()? {
        0 => ControllerRole::Equal,
        1 => ControllerRole::Primary,
        2 => ControllerRole::Secondary,
        _ => return Err(Error::RoleRequestFailedBadRole),
    };
    Ok(Role { role, generation_id: None, nicira: true })
}

/// Writes a role message.
pub fn put_role(f: Frame, x: &Role, reply: bool) -> Vec<u8> {
    if x.nicira || f.version() < Version::V12 {
        let n = match x.role {
            ControllerRole::Primary => 1,
            ControllerRole::Secondary => 2,
            _ => 0,
        };
        return f.nicira(if reply { 11 } else { 10 }, |b| b.put32(n));
    }
    f.standard(if reply { 25 } else { 24 }, |b| {
        b.put32(x.role as u32);
        b.zeros(4);
        b.put64(x.generation_id.unwrap_or(if reply { u64::MAX } else { 0 }));
    })
}

/// Reads a role status message.
pub fn take_role_status(r: &mut Reader<'_>) -> Result<RoleStatus> {
    let role = ControllerRole::from_wire(r.u32()?).ok_or(Error::RoleRequestFailedBadRole)?;
    let reason = r.u8()?;
    r.skip(3)?;
    Ok(RoleStatus { role, reason, generation_id: r.u64()? })
}

/// Writes a role status message.
pub fn put_role_status(f: Frame, s: &RoleStatus) -> Vec<u8> {
    let body = |b: &mut Vec<u8>| {
        b.put32(s.role as u32);
        b.put8(s.reason);
        b.zeros(3);
        b.put64(s.generation_id);
    };
    if f.version() >= Version::V14 { f.standard(30, body) } else { f.onf(1911, body) }
}

/// Reasons that each kind of message has, as bits.
fn async_allowed(kind: usize, v: Version) -> u32 {
    match kind {
        0 if v >= Version::V14 => 0x3f,
        0 | 1 | 3 => 7,
        2 => 0x3f,
        4 => 0x18,
        _ => 3,
    }
}

/// Reads the 24 bytes that NXT_SET_ASYNC_CONFIG and 1.3 use.
pub fn take_async13(r: &mut Reader<'_>, form: AsyncForm, v: Version) -> Result<AsyncConfig> {
    let mut x = AsyncConfig { masks: [[None; 2]; 6], form };
    for (kind, pair) in x.masks.iter_mut().enumerate().take(3) {
        for mask in pair {
            *mask = Some(r.u32()? & async_allowed(kind, v));
        }
    }
    Ok(x)
}

/// Reads the properties of NXT_SET_ASYNC_CONFIG2 and of 1.4 and later.
pub fn take_async14(r: &mut Reader<'_>, form: AsyncForm, reply: bool) -> Result<AsyncConfig> {
    let mut x = AsyncConfig { masks: [[None; 2]; 6], form };
    while !r.is_empty() {
        let p = property::take_from(r, 0xfffe)?;
        let kind = usize::from(p.ty / 2);
        if kind >= 6 {
            match p.experimenter {
                // A switch may know more than we do.
                _ if reply => continue,
                Some(_) => return Err(Error::BadPropertyBadExpType),
                None => return Err(Error::AsyncConfigFailedUnsupported),
            }
        }
        let mask = p.u32()?;
        if mask & !async_allowed(kind, Version::V14) != 0 {
            return Err(Error::AsyncConfigFailedInvalid);
        }
        // Even types are for secondary controllers, which stand second.
        x.masks[kind][usize::from(p.ty % 2 == 0)] = Some(mask);
    }
    Ok(x)
}

/// Writes an asynchronous configuration: set, or the reply to a request.
pub fn put_async(f: Frame, x: &AsyncConfig, reply: bool) -> Vec<u8> {
    let v = f.version();
    let fixed = |b: &mut Vec<u8>| {
        for pair in x.masks.iter().take(3) {
            for mask in pair {
                b.put32(mask.unwrap_or(0));
            }
        }
    };
    let props = |b: &mut Vec<u8>| {
        for (kind, pair) in x.masks.iter().enumerate() {
            for secondary in [true, false] {
                if let Some(mask) = pair[usize::from(secondary)] {
                    property::put_u32(b, (kind * 2 + usize::from(!secondary)) as u16, mask);
                }
            }
        }
    };
    match x.form {
        AsyncForm::Nicira => f.nicira(19, fixed),
        AsyncForm::Nicira2 => f.nicira(27, props),
        AsyncForm::Standard if v >= Version::V14 => f.standard(if reply { 27 } else { 28 }, props),
        AsyncForm::Standard => f.standard(if reply { 27 } else { 28 }, fixed),
    }
}

impl BundleCtrlType {
    /// From the number of the wire.
    pub const fn from_wire(n: u16) -> Option<BundleCtrlType> {
        Some(match n {
            0 => BundleCtrlType::OpenRequest,
            1 => BundleCtrlType::OpenReply,
            2 => BundleCtrlType::CloseRequest,
            3 => BundleCtrlType::CloseReply,
            4 => BundleCtrlType::CommitRequest,
            5 => BundleCtrlType::CommitReply,
            6 => BundleCtrlType::DiscardRequest,
            7 => BundleCtrlType::DiscardReply,
            _ => return None,
        })
    }
}

/// Reads a bundle control message.
pub fn take_bundle_control(r: &mut Reader<'_>) -> Result<BundleControl> {
    let id = r.u32()?;
    let ty = BundleCtrlType::from_wire(r.u16()?).ok_or(Error::BundleFailedBadType)?;
    Ok(BundleControl { id, ty, flags: r.u16()? })
}

/// Writes a bundle control message.
pub fn put_bundle_control(f: Frame, x: &BundleControl) -> Vec<u8> {
    let body = |b: &mut Vec<u8>| {
        b.put32(x.id);
        b.put16(x.ty as u16);
        b.put16(x.flags);
    };
    if f.version() >= Version::V14 { f.standard(33, body) } else { f.onf(2300, body) }
}

fn take_map(r: &mut Reader<'_>) -> Result<TlvMap> {
    let m = TlvMap { option_class: r.u16()?, option_type: r.u8()?, option_len: r.u8()?, index: r.u16()? };
    r.skip(2)?;
    if !m.option_len.is_multiple_of(4) || m.option_len > 124 {
        return Err(Error::NxTlvTableModFailedBadOptLen);
    }
    if m.index >= 64 {
        return Err(Error::NxTlvTableModFailedBadFieldIdx);
    }
    Ok(m)
}

fn put_maps(b: &mut Vec<u8>, maps: &[TlvMap]) {
    for m in maps {
        b.put16(m.option_class);
        b.put8(m.option_type);
        b.put8(m.option_len);
        b.put16(m.index);
        b.zeros(2);
    }
}

/// Reads NXT_TLV_TABLE_MOD.
pub fn take_tlv_mod(r: &mut Reader<'_>) -> Result<TlvTableMod> {
    let command = r.u16()?;
    if command > 2 {
        return Err(Error::NxTlvTableModFailedBadCommand);
    }
    r.skip(6)?;
    let mut maps = Vec::new();
    while !r.is_empty() {
        maps.push(take_map(r)?);
    }
    Ok(TlvTableMod { command, maps })
}

/// Writes NXT_TLV_TABLE_MOD.
pub fn put_tlv_mod(f: Frame, x: &TlvTableMod) -> Vec<u8> {
    f.nicira(24, |b| {
        b.put16(x.command);
        b.zeros(6);
        put_maps(b, &x.maps);
    })
}

/// Reads NXT_TLV_TABLE_REPLY.
pub fn take_tlv_reply(r: &mut Reader<'_>) -> Result<TlvTableReply> {
    let (max_option_space, max_fields) = (r.u32()?, r.u16()?);
    r.skip(10)?;
    let mut maps = Vec::new();
    while !r.is_empty() {
        let map = take_map(r)?;
        if map.index >= max_fields {
            return Err(Error::NxTlvTableModFailedBadFieldIdx);
        }
        maps.push(map);
    }
    Ok(TlvTableReply { max_option_space, max_fields, maps })
}

/// Writes NXT_TLV_TABLE_REPLY.
pub fn put_tlv_reply(f: Frame, x: &TlvTableReply) -> Vec<u8> {
    f.nicira(26, |b| {
        b.put32(x.max_option_space);
        b.put16(x.max_fields);
        b.zeros(10);
        put_maps(b, &x.maps);
    })
}

/// Reads six zero bytes and a number.
pub fn take_zero_u16(r: &mut Reader<'_>) -> Result<u16> {
    r.skip(6)?;
    r.u16()
}

/// Reads NXT_CT_FLUSH.
pub fn take_ct_flush(r: &mut Reader<'_>) -> Result<CtFlush> {
    let mut x = CtFlush { ip_proto: r.u8()?, ..CtFlush::default() };
    if !is_zero(r.take(7)?) {
        return Err(Error::NxBadRequestMustBeZero);
    }
    while !r.is_empty() {
        let p = property::take(r)?;
        match p.ty {
            0 => x.original = take_tuple(p.payload)?,
            1 => x.reply = take_tuple(p.payload)?,
            2 => x.zone = Some(p.u16()?),
            3 => x.mark = Some((p.u32()?, x.mark.map_or(u32::MAX, |m| m.1))),
            4 => x.mark = Some((x.mark.map_or(0, |m| m.0), p.u32()?)),
            5 => x.labels = Some((p.u128()?, x.labels.map_or(u128::MAX, |m| m.1))),
            6 => x.labels = Some((x.labels.map_or(0, |m| m.0), p.u128()?)),
            _ => return Err(p.unknown()),
        }
    }
    Ok(x)
}

fn take_tuple(payload: &[u8]) -> Result<CtTuple> {
    let mut t = CtTuple::default();
    let mut r = Reader::with_error(payload, Error::BadPropertyBadLen);
    r.skip(4)?;
    while !r.is_empty() {
        let p = property::take(&mut r)?;
        match p.ty {
            0 => t.src = Some(Ipv6Addr::from_bits(p.u128()?)),
            1 => t.dst = Some(Ipv6Addr::from_bits(p.u128()?)),
            2 => t.src_port = Some(p.u16()?),
            3 => t.dst_port = Some(p.u16()?),
            4 => t.icmp_id = Some(p.u16()?),
            5 => t.icmp_type = Some(p.u8()?),
            6 => t.icmp_code = Some(p.u8()?),
            _ => return Err(p.unknown()),
        }
    }
    let v4 = |a: Option<Ipv6Addr>| a.map(|a| a.to_ipv4_mapped().is_some());
    if let (Some(a), Some(b)) = (v4(t.src), v4(t.dst))
        && a != b
    {
        return Err(Error::BadPropertyBadValue);
    }
    Ok(t)
}

/// Writes NXT_CT_FLUSH.
pub fn put_ct_flush(f: Frame, x: &CtFlush) -> Vec<u8> {
    f.nicira(32, |b| {
        b.put8(x.ip_proto);
        b.zeros(7);
        for (ty, t) in [(0, &x.original), (1, &x.reply)] {
            if *t != CtTuple::default() {
                property::put_nested(b, ty, |b| put_tuple(b, t));
            }
        }
        if let Some(zone) = x.zone {
            property::put_u16(b, 2, zone);
        }
        if let Some((mark, mask)) = x.mark {
            property::put_u32(b, 3, mark);
            if mask != u32::MAX {
                property::put_u32(b, 4, mask);
            }
        }
        if let Some((labels, mask)) = x.labels {
            property::put(b, 5, |b| b.put(&labels.to_be_bytes()));
            if mask != u128::MAX {
                property::put(b, 6, |b| b.put(&mask.to_be_bytes()));
            }
        }
    })
}

fn put_tuple(b: &mut Vec<u8>, t: &CtTuple) {
    for (ty, a) in [(0, t.src), (1, t.dst)] {
        if let Some(a) = a {
            property::put(b, ty, |b| b.put(&a.octets()));
        }
    }
    for (ty, n) in [(2, t.src_port), (3, t.dst_port), (4, t.icmp_id)] {
        if let Some(n) = n {
            property::put_u16(b, ty, n);
        }
    }
    for (ty, n) in [(5, t.icmp_type), (6, t.icmp_code)] {
        if let Some(n) = n {
            property::put_u8(b, ty, n);
        }
    }
}

/// Reads the description of a switch.
pub fn take_desc(r: &mut Reader<'_>) -> Result<Desc> {
    Ok(Desc {
        manufacturer: fixed_string(r.take(256)?),
        hardware: fixed_string(r.take(256)?),
        software: fixed_string(r.take(256)?),
        serial: fixed_string(r.take(32)?),
        datapath: fixed_string(r.take(256)?),
    })
}

/// Writes the description of a switch.
pub fn put_desc(f: Frame, d: &Desc) -> Vec<u8> {
    f.stat(Stat::reply(0), |b| {
        b.fixed(&d.manufacturer, 256);
        b.fixed(&d.hardware, 256);
        b.fixed(&d.software, 256);
        b.fixed(&d.serial, 32);
        b.fixed(&d.datapath, 256);
    })
}

/// Reads IPFIX statistics.
pub fn take_ipfix(r: &mut Reader<'_>) -> Result<IpfixStats> {
    let x = IpfixStats {
        total_flows: r.u64()?,
        current_flows: r.u64()?,
        pkts: r.u64()?,
        ipv4_pkts: r.u64()?,
        ipv6_pkts: r.u64()?,
        error_pkts: r.u64()?,
        ipv4_error_pkts: r.u64()?,
        ipv6_error_pkts: r.u64()?,
        tx_pkts: r.u64()?,
        tx_errors: r.u64()?,
        collector_set_id: r.u32()?,
    };
    r.skip(4)?;
    Ok(x)
}

/// Appends IPFIX statistics.
pub fn put_ipfix(b: &mut Vec<u8>, x: &IpfixStats) {
    for n in [
        x.total_flows,
        x.current_flows,
        x.pkts,
        x.ipv4_pkts,
        x.ipv6_pkts,
        x.error_pkts,
        x.ipv4_error_pkts,
        x.ipv6_error_pkts,
        x.tx_pkts,
        x.tx_errors,
    ] {
        b.put64(n);
    }
    b.put32(x.collector_set_id);
    b.zeros(4);
}
