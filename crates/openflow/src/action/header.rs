//! Headers: VLAN, Ethernet, IP, transport, MPLS, tunnel, queue.

use flow::text::number::{put_alt_hex, put_dec, put_hex};
use flow::text::value::{put_ethernet, put_ipv4};
use flow::text::{Style, value};
use flow::{Field, FieldValue};
use wire::EthAddr;

use super::Action;
use super::fields::{self, encode_reg_load_whole};
use super::frame::{DecodeContext, Raw, put_either, put_nx, put_of};
use super::text::{Parser, number8, number16, number32, number64, put_close, put_open, put_param, put_value};
use crate::codec::bytes::{Put, Reader, is_zero};
use crate::error::Error;
use crate::protocol::Protocols;
use crate::version::Version;

type Parsed = Result<(), String>;

fn vid(s: &str) -> Result<u16, String> {
    let n = number16(s, "VLAN VID")?;
    if n > 0xfff { Err(format!("{s}: not a valid VLAN VID")) } else { Ok(n) }
}

fn pcp(s: &str) -> Result<u8, String> {
    let n = number8(s, "VLAN PCP")?;
    if n > 7 { Err(format!("{s}: not a valid VLAN PCP")) } else { Ok(n) }
}

/// `mod_vlan_vid:N`.
pub fn parse_mod_vlan_vid(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetVlanVid { vid: vid(s)?, push_if_needed: true, flow_has_vlan: false });
    Ok(())
}

/// `set_vlan_vid:N`.
pub fn parse_set_vlan_vid(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetVlanVid { vid: vid(s)?, push_if_needed: false, flow_has_vlan: false });
    Ok(())
}

/// `mod_vlan_pcp:N`.
pub fn parse_mod_vlan_pcp(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetVlanPcp { pcp: pcp(s)?, push_if_needed: true, flow_has_vlan: false });
    Ok(())
}

/// `set_vlan_pcp:N`.
pub fn parse_set_vlan_pcp(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetVlanPcp { pcp: pcp(s)?, push_if_needed: false, flow_has_vlan: false });
    Ok(())
}

/// `strip_vlan`.
pub fn parse_strip_vlan(p: &mut Parser<'_, '_>, _: &str) -> Parsed {
    p.out.push(Action::StripVlan { pop: false });
    Ok(())
}

/// `pop_vlan`.
pub fn parse_pop_vlan(p: &mut Parser<'_, '_>, _: &str) -> Parsed {
    p.out.push(Action::StripVlan { pop: true });
    Ok(())
}

/// `push_vlan:0x8100`.
pub fn parse_push_vlan(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.usable = p.usable.and(Protocols::OF11_UP);
    let ty = number16(s, "ethertype")?;
    if ty != 0x8100 && ty != 0x88a8 {
        return Err(format!("{s}: not a valid VLAN ethertype"));
    }
    p.out.push(Action::PushVlan(ty));
    Ok(())
}

fn mac(s: &str) -> Result<EthAddr, String> {
    match value::take_ethernet(s) {
        Some((a, "")) => Ok(a),
        _ => Err(format!("invalid mac address {s}")),
    }
}

/// `mod_dl_src:MAC`.
pub fn parse_mod_dl_src(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetEthSrc(mac(s)?));
    Ok(())
}

/// `mod_dl_dst:MAC`.
pub fn parse_mod_dl_dst(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetEthDst(mac(s)?));
    Ok(())
}

fn ip(p: &mut Parser<'_, '_>, s: &str) -> Result<std::net::Ipv4Addr, String> {
    s.parse().map_err(|_| {
        p.cx.warn("socket_util", "ERR", format!("\"{s}\" is not a valid IP address"));
        format!("{s}: could not convert to IP address")
    })
}

/// `mod_nw_src:IP`.
pub fn parse_mod_nw_src(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let a = ip(p, s)?;
    p.out.push(Action::SetIpv4Src(a));
    Ok(())
}

/// `mod_nw_dst:IP`.
pub fn parse_mod_nw_dst(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let a = ip(p, s)?;
    p.out.push(Action::SetIpv4Dst(a));
    Ok(())
}

/// `mod_nw_tos:N`.
pub fn parse_mod_nw_tos(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let n = number8(s, "TOS")?;
    if n & 3 != 0 {
        return Err(format!("{s}: not a valid TOS"));
    }
    p.out.push(Action::SetIpDscp(n));
    Ok(())
}

/// `mod_nw_ecn:N`.
pub fn parse_mod_nw_ecn(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let n = number8(s, "ECN")?;
    if n & !3 != 0 {
        return Err(format!("{s}: not a valid ECN"));
    }
    p.out.push(Action::SetIpEcn(n));
    Ok(())
}

/// `mod_nw_ttl:N`.
pub fn parse_mod_nw_ttl(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetIpTtl(number8(s, "TTL")?));
    Ok(())
}

/// `mod_tp_src:N`.
pub fn parse_mod_tp_src(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetL4Src { port: number16(s, "source port")?, ip_proto: 0 });
    Ok(())
}

/// `mod_tp_dst:N`.
pub fn parse_mod_tp_dst(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetL4Dst { port: number16(s, "destination port")?, ip_proto: 0 });
    Ok(())
}

/// `dec_ttl`, `dec_ttl(id,…)`.
pub fn parse_dec_ttl(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    if s.is_empty() {
        p.out.push(Action::DecTtl { ids: vec![0].into(), with_ids: false });
        return Ok(());
    }
    let ids: Vec<u16> = s
        .split([',', ' '])
        .filter(|w| !w.is_empty())
        .map(|w| flow::text::number::take_u64(w).map_or(0, |n| n.0) as u16)
        .collect();
    if ids.is_empty() {
        return Err("dec_ttl_cnt_ids: expected at least one controller id.".to_string());
    }
    p.out.push(Action::DecTtl { ids: ids.into(), with_ids: true });
    Ok(())
}

/// `set_mpls_label:N`, 20 bits.
pub fn parse_set_mpls_label(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    if s.is_empty() {
        return Err("set_mpls_label: expected label.".to_string());
    }
    let n = number32(s)?;
    if n > 0xf_ffff {
        return Err(format!("{s}: not a valid MPLS label"));
    }
    p.out.push(Action::SetMplsLabel(n));
    Ok(())
}

/// `set_mpls_tc:N`, 3 bits.
pub fn parse_set_mpls_tc(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    if s.is_empty() {
        return Err("set_mpls_tc: expected tc.".to_string());
    }
    let n = number8(s, "MPLS TC")?;
    if n > 7 {
        return Err(format!("{s}: not a valid MPLS TC"));
    }
    p.out.push(Action::SetMplsTc(n));
    Ok(())
}

/// `set_mpls_ttl:N`.
pub fn parse_set_mpls_ttl(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    if s.is_empty() {
        return Err("set_mpls_ttl: expected ttl.".to_string());
    }
    p.out.push(Action::SetMplsTtl(number8(s, "MPLS TTL")?));
    Ok(())
}

/// `dec_mpls_ttl`.
pub fn parse_dec_mpls_ttl(p: &mut Parser<'_, '_>, _: &str) -> Parsed {
    p.out.push(Action::DecMplsTtl);
    Ok(())
}

/// `push_mpls:0x8847`.
pub fn parse_push_mpls(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::PushMpls(number16(s, "push_mpls")?));
    Ok(())
}

/// `pop_mpls:ETHERTYPE`.
pub fn parse_pop_mpls(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::PopMpls(number16(s, "pop_mpls")?));
    Ok(())
}

/// `set_tunnel:N`.
pub fn parse_set_tunnel(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetTunnel { id: number64(s)?, wide: false });
    Ok(())
}

/// `set_tunnel64:N`.
pub fn parse_set_tunnel64(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetTunnel { id: number64(s)?, wide: true });
    Ok(())
}

/// `set_queue:N`.
pub fn parse_set_queue(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.out.push(Action::SetQueue(number32(s)?));
    Ok(())
}

/// `pop_queue`.
pub fn parse_pop_queue(p: &mut Parser<'_, '_>, _: &str) -> Parsed {
    p.out.push(Action::PopQueue);
    Ok(())
}

/// `dec_nsh_ttl`.
pub fn parse_dec_nsh_ttl(p: &mut Parser<'_, '_>, _: &str) -> Parsed {
    p.out.push(Action::DecNshTtl);
    Ok(())
}

/// Appends the action if it is of this family.
pub fn format(out: &mut String, style: &Style<'_>, a: &Action) -> bool {
    let eth = |out: &mut String, name: &str, a: wire::EthAddr| {
        put_param(out, style, name);
        put_ethernet(out, a.to_u64(), u64::MAX);
    };
    let ipv4 = |out: &mut String, name: &str, a: std::net::Ipv4Addr| {
        put_param(out, style, name);
        put_ipv4(out, a.to_bits(), u32::MAX);
    };
    let mut dec = |name: &str, n: u64| {
        put_param(out, style, name);
        put_dec(out, n);
    };
    match a {
        Action::SetVlanVid { vid, push_if_needed, .. } => {
            dec(if *push_if_needed { "mod_vlan_vid:" } else { "set_vlan_vid:" }, u64::from(*vid));
        }
        Action::SetVlanPcp { pcp, push_if_needed, .. } => {
            dec(if *push_if_needed { "mod_vlan_pcp:" } else { "set_vlan_pcp:" }, u64::from(*pcp));
        }
        Action::StripVlan { pop } => put_value(out, style, if *pop { "pop_vlan" } else { "strip_vlan" }),
        Action::PushVlan(ty) => {
            put_param(out, style, "push_vlan:");
            put_hex(out, u128::from(*ty), 4);
        }
        Action::SetEthSrc(a) => eth(out, "mod_dl_src:", *a),
        Action::SetEthDst(a) => eth(out, "mod_dl_dst:", *a),
        Action::SetIpv4Src(a) => ipv4(out, "mod_nw_src:", *a),
        Action::SetIpv4Dst(a) => ipv4(out, "mod_nw_dst:", *a),
        Action::SetIpDscp(n) => dec("mod_nw_tos:", u64::from(*n)),
        Action::SetIpEcn(n) => dec("mod_nw_ecn:", u64::from(*n)),
        Action::SetIpTtl(n) => dec("mod_nw_ttl:", u64::from(*n)),
        Action::SetL4Src { port, .. } => dec("mod_tp_src:", u64::from(*port)),
        Action::SetL4Dst { port, .. } => dec("mod_tp_dst:", u64::from(*port)),
        Action::DecTtl { ids, with_ids } => format_dec_ttl(out, style, ids, *with_ids),
        Action::SetMplsLabel(n) => in_parens(out, style, "set_mpls_label", u64::from(*n)),
        Action::SetMplsTc(n) => in_parens(out, style, "set_mpls_tc", u64::from(*n)),
        Action::SetMplsTtl(n) => in_parens(out, style, "set_mpls_ttl", u64::from(*n)),
        Action::DecMplsTtl => put_value(out, style, "dec_mpls_ttl"),
        Action::PushMpls(ty) => {
            put_param(out, style, "push_mpls:");
            put_hex(out, u128::from(*ty), 4);
        }
        Action::PopMpls(ty) => {
            put_param(out, style, "pop_mpls:");
            put_hex(out, u128::from(*ty), 4);
        }
        Action::SetTunnel { id, wide } => {
            let wide = *wide || *id > u64::from(u32::MAX);
            put_param(out, style, if wide { "set_tunnel64:" } else { "set_tunnel:" });
            put_alt_hex(out, u128::from(*id));
        }
        Action::SetQueue(n) => dec("set_queue:", u64::from(*n)),
        Action::PopQueue => put_value(out, style, "pop_queue"),
        Action::DecNshTtl => put_value(out, style, "dec_nsh_ttl"),
        _ => return false,
    }
    true
}

fn in_parens(out: &mut String, style: &Style<'_>, name: &str, n: u64) {
    put_open(out, style, name);
    put_dec(out, n);
    put_close(out, style);
}

fn format_dec_ttl(out: &mut String, style: &Style<'_>, ids: &[u16], with_ids: bool) {
    flow::text::put_color(out, &style.colors.paren);
    out.push_str("dec_ttl");
    flow::text::put_color(out, &style.colors.end);
    if with_ids {
        flow::text::put_color(out, &style.colors.paren);
        out.push('(');
        flow::text::put_color(out, &style.colors.end);
        for (i, id) in ids.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            put_dec(out, u64::from(*id));
        }
        flow::text::put_color(out, &style.colors.paren);
        out.push(')');
        flow::text::put_color(out, &style.colors.end);
    }
}

/// Reads the action if it is of this family.
pub fn decode(cx: DecodeContext, raw: Raw, r: &mut Reader<'_>) -> Result<Option<Action>, Error> {
    let bad = Error::BadActionBadArgument;
    let nx = cx.version == Version::V10;
    // The Nicira forms of 1.0 put 32-bit numbers at byte 12, others at byte 10; standard ones at byte 4.
    let long = |r: &mut Reader<'_>| -> Result<u32, Error> {
        if nx {
            r.skip(2)?;
        }
        r.u32()
    };
    Ok(Some(match raw {
        Raw::SetVlanVid10 | Raw::SetVlanVid11 => {
            let vid = r.u16()?;
            if vid > 0xfff {
                return Err(bad);
            }
            Action::SetVlanVid { vid, push_if_needed: raw == Raw::SetVlanVid10, flow_has_vlan: false }
        }
        Raw::SetVlanPcp10 | Raw::SetVlanPcp11 => {
            let pcp = r.u8()?;
            if pcp > 7 {
                return Err(bad);
            }
            Action::SetVlanPcp { pcp, push_if_needed: raw == Raw::SetVlanPcp10, flow_has_vlan: false }
        }
        Raw::StripVlan => Action::StripVlan { pop: false },
        Raw::PopVlan => Action::StripVlan { pop: true },
        Raw::PushVlan => {
            let ty = r.u16()?;
            if ty != 0x8100 && ty != 0x88a8 {
                return Err(bad);
            }
            Action::PushVlan(ty)
        }
        Raw::SetDlSrc => Action::SetEthSrc(EthAddr(r.array()?)),
        Raw::SetDlDst => Action::SetEthDst(EthAddr(r.array()?)),
        Raw::SetNwSrc => Action::SetIpv4Src(r.u32()?.into()),
        Raw::SetNwDst => Action::SetIpv4Dst(r.u32()?.into()),
        Raw::SetNwTos => {
            let n = r.u8()?;
            if n & 3 != 0 {
                return Err(bad);
            }
            Action::SetIpDscp(n)
        }
        Raw::SetNwEcn => {
            let n = r.u8()?;
            if n & !3 != 0 {
                return Err(bad);
            }
            Action::SetIpEcn(n)
        }
        Raw::SetNwTtl => Action::SetIpTtl(r.u8()?),
        Raw::SetTpSrc => Action::SetL4Src { port: r.u16()?, ip_proto: 0 },
        Raw::SetTpDst => Action::SetL4Dst { port: r.u16()?, ip_proto: 0 },
        Raw::SetMplsLabel => Action::SetMplsLabel(long(r)?),
        Raw::SetMplsTc => Action::SetMplsTc(r.u8()?),
        Raw::SetMplsTtl => Action::SetMplsTtl(r.u8()?),
        Raw::DecMplsTtl => Action::DecMplsTtl,
        Raw::PushMpls => {
            let ty = r.u16()?;
            if ty != 0x8847 && ty != 0x8848 {
                return Err(bad);
            }
            Action::PushMpls(ty)
        }
        Raw::PopMpls => Action::PopMpls(r.u16()?),
        Raw::SetQueue => Action::SetQueue(long(r)?),
        Raw::PopQueue => Action::PopQueue,
        Raw::DecNwTtl => Action::DecTtl { ids: vec![0].into(), with_ids: false },
        Raw::DecTtlIds => {
            let n = usize::from(r.u16()?);
            if !is_zero(r.take(4)?) {
                return Err(Error::NxBadRequestMustBeZero);
            }
            if n * 2 > r.len() {
                return Err(Error::BadActionBadLen);
            }
            let mut ids = Vec::with_capacity(n);
            for _ in 0..n {
                ids.push(r.u16()?);
            }
            Action::DecTtl { ids: ids.into(), with_ids: true }
        }
        Raw::SetTunnel => {
            r.skip(2)?;
            Action::SetTunnel { id: u64::from(r.u32()?), wide: false }
        }
        Raw::SetTunnel64 => {
            r.skip(6)?;
            Action::SetTunnel { id: r.u64()?, wide: true }
        }
        Raw::DecNshTtl => Action::DecNshTtl,
        _ => return Ok(None),
    }))
}

/// What each version does with an action that OpenFlow 1.2 replaced by set_field.
fn put_set_field(out: &mut Vec<u8>, v: Version, field: Field, value: u128) {
    fields::put_set_field_entry(out, v, field, &FieldValue::Int(value), None);
}

/// Appends the action if it is of this family.
pub fn encode(out: &mut Vec<u8>, a: &Action, v: Version) -> bool {
    let oxm = v >= Version::V12;
    match a {
        Action::SetVlanVid { vid, push_if_needed, flow_has_vlan } => {
            if v == Version::V10 {
                put_of(out, 1, |b| b.put16(*vid));
            } else {
                push_vlan_if(out, *push_if_needed && !flow_has_vlan);
                if oxm {
                    put_set_field(out, v, Field::VLAN_VID, u128::from(vid | 0x1000));
                } else {
                    put_of(out, 1, |b| b.put16(*vid));
                }
            }
        }
        Action::SetVlanPcp { pcp, push_if_needed, flow_has_vlan } => {
            if v == Version::V10 {
                put_of(out, 2, |b| b.put8(*pcp));
            } else {
                push_vlan_if(out, *push_if_needed && !flow_has_vlan);
                if oxm {
                    put_set_field(out, v, Field::VLAN_PCP, u128::from(*pcp));
                } else {
                    put_of(out, 2, |b| b.put8(*pcp));
                }
            }
        }
        Action::StripVlan { .. } => put_of(out, if v == Version::V10 { 3 } else { 18 }, |_| {}),
        Action::PushVlan(ty) => {
            if v != Version::V10 {
                put_of(out, 17, |b| b.put16(*ty));
            }
        }
        Action::SetEthSrc(a) => addr(out, v, (4, 3), Field::ETH_SRC, a),
        Action::SetEthDst(a) => addr(out, v, (5, 4), Field::ETH_DST, a),
        Action::SetIpv4Src(a) => word(out, v, (6, 5), Field::IP_SRC, a.to_bits()),
        Action::SetIpv4Dst(a) => word(out, v, (7, 6), Field::IP_DST, a.to_bits()),
        Action::SetIpDscp(n) => byte(out, v, (8, 7), Field::IP_DSCP, *n, u128::from(*n >> 2)),
        Action::SetIpEcn(n) => match v {
            Version::V10 => encode_reg_load_whole(out, Field::NW_ECN, u64::from(*n)),
            Version::V11 => put_of(out, 8, |b| b.put8(*n)),
            _ => put_set_field(out, v, Field::NW_ECN, u128::from(*n)),
        },
        Action::SetIpTtl(n) => match v {
            Version::V10 => encode_reg_load_whole(out, Field::NW_TTL, u64::from(*n)),
            _ => put_of(out, 23, |b| b.put8(*n)),
        },
        Action::SetL4Src { port, ip_proto } => {
            l4(out, v, 9, *port, *ip_proto, [Field::TCP_SRC, Field::UDP_SRC, Field::SCTP_SRC]);
        }
        Action::SetL4Dst { port, ip_proto } => {
            l4(out, v, 10, *port, *ip_proto, [Field::TCP_DST, Field::UDP_DST, Field::SCTP_DST]);
        }
        Action::DecTtl { ids, with_ids } => {
            if !*with_ids && ids.len() == 1 && ids.first() == Some(&0) {
                put_either(out, v, (18, 24), |_| {}, |_| {});
            } else {
                put_nx(out, 21, |b| {
                    b.put16(ids.len() as u16);
                    b.zeros(4);
                    for id in ids {
                        b.put16(*id);
                    }
                });
            }
        }
        _ => return encode_rest(out, a, v),
    }
    true
}

fn encode_rest(out: &mut Vec<u8>, a: &Action, v: Version) -> bool {
    let oxm = v >= Version::V12;
    let at12 = |b: &mut Vec<u8>, n: u32| {
        b.zeros(2);
        b.put32(n);
    };
    match a {
        Action::SetMplsLabel(n) if oxm => put_set_field(out, v, Field::MPLS_LABEL, u128::from(*n)),
        Action::SetMplsLabel(n) => put_either(out, v, (30, 13), |b| at12(b, *n), |b| b.put32(*n)),
        Action::SetMplsTc(n) if oxm => put_set_field(out, v, Field::MPLS_TC, u128::from(*n)),
        Action::SetMplsTc(n) => put_either(out, v, (31, 14), |b| b.put8(*n), |b| b.put8(*n)),
        Action::SetMplsTtl(n) => put_either(out, v, (25, 15), |b| b.put8(*n), |b| b.put8(*n)),
        Action::DecMplsTtl => put_either(out, v, (26, 16), |_| {}, |_| {}),
        Action::PushMpls(t) => put_either(out, v, (23, 19), |b| b.put16(*t), |b| b.put16(*t)),
        Action::PopMpls(t) => put_either(out, v, (24, 20), |b| b.put16(*t), |b| b.put16(*t)),
        Action::SetTunnel { id, wide } => {
            if oxm {
                put_set_field(out, v, Field::TUN_ID, u128::from(*id));
            } else if *wide || *id > u64::from(u32::MAX) {
                put_nx(out, 9, |b| {
                    b.zeros(6);
                    b.put64(*id);
                });
            } else {
                put_nx(out, 2, |b| at12(b, *id as u32));
            }
        }
        Action::SetQueue(n) => put_either(out, v, (4, 21), |b| at12(b, *n), |b| b.put32(*n)),
        Action::PopQueue => put_nx(out, 5, |_| {}),
        Action::DecNshTtl => put_nx(out, 48, |_| {}),
        _ => return false,
    }
    true
}

fn push_vlan_if(out: &mut Vec<u8>, needed: bool) {
    if needed {
        put_of(out, 17, |b| b.put16(0x8100));
    }
}

fn addr(out: &mut Vec<u8>, v: Version, (of10, of11): (u16, u16), field: Field, a: &EthAddr) {
    match v {
        Version::V10 | Version::V11 => put_of(out, if v == Version::V10 { of10 } else { of11 }, |b| {
            b.put(&a.0);
            b.zeros(6);
        }),
        _ => put_set_field(out, v, field, u128::from(a.to_u64())),
    }
}

fn word(out: &mut Vec<u8>, v: Version, (of10, of11): (u16, u16), field: Field, n: u32) {
    match v {
        Version::V10 => put_of(out, of10, |b| b.put32(n)),
        Version::V11 => put_of(out, of11, |b| b.put32(n)),
        _ => put_set_field(out, v, field, u128::from(n)),
    }
}

fn byte(out: &mut Vec<u8>, v: Version, (of10, of11): (u16, u16), field: Field, n: u8, value: u128) {
    match v {
        Version::V10 => put_of(out, of10, |b| b.put8(n)),
        Version::V11 => put_of(out, of11, |b| b.put8(n)),
        _ => put_set_field(out, v, field, value),
    }
}

fn l4(out: &mut Vec<u8>, v: Version, ty: u16, port: u16, proto: u8, f: [Field; 3]) {
    let field = match proto {
        6 => Some(f[0]),
        17 => Some(f[1]),
        132 => Some(f[2]),
        _ => None,
    };
    match field {
        Some(field) if v >= Version::V12 => put_set_field(out, v, field, u128::from(port)),
        _ => put_of(out, ty, |b| b.put16(port)),
    }
}
