//! The fixed match structures of OpenFlow 1.0 (`ofp_match`, 40 bytes) and 1.1 (`ofp11_match`, 88 bytes).

use flow::extract::number as proto;
use flow::key::{VLAN_CFI, VLAN_PCP_MASK, VLAN_VID_MASK};
use flow::{Field, FieldValue, Match, OfPort};
use wire::EthAddr;

use super::bytes::{Put, Reader};
use crate::error::Error;

const W_IN_PORT: u32 = 1 << 0;
const W_DL_VLAN: u32 = 1 << 1;
const W_DL_SRC: u32 = 1 << 2;
const W_DL_DST: u32 = 1 << 3;
const W_DL_TYPE: u32 = 1 << 4;
const W_NW_PROTO: u32 = 1 << 5;
const W_TP_SRC: u32 = 1 << 6;
const W_TP_DST: u32 = 1 << 7;
const W_NW_SRC_SHIFT: u32 = 8;
const W_NW_DST_SHIFT: u32 = 14;
const W_DL_VLAN_PCP: u32 = 1 << 20;
const W_NW_TOS: u32 = 1 << 21;
/// All wildcard bits of OpenFlow 1.0.
const W_ALL: u32 = (1 << 22) - 1;
/// `dl_vlan` value that means: no tag.
const VLAN_NONE: u16 = 0xffff;

/// Appends the 40 bytes of OpenFlow 1.0 §5.2.3.
pub fn put_of10(out: &mut Vec<u8>, m: &Match) {
    let (key, mask) = (&m.key, &m.mask);
    let mut wild = W_ALL & !(0x3f << W_NW_SRC_SHIFT) & !(0x3f << W_NW_DST_SHIFT);
    let mut clear = |cond: bool, bit: u32| {
        if cond {
            wild &= !bit;
        }
    };
    clear(mask.in_port_raw() != 0, W_IN_PORT);
    clear(mask.eth_src().to_u64() != 0, W_DL_SRC);
    clear(mask.eth_dst().to_u64() != 0, W_DL_DST);
    clear(mask.eth_type() != 0, W_DL_TYPE);
    clear(mask.nw_tos() & 0xfc != 0, W_NW_TOS);
    clear(mask.nw_proto() != 0, W_NW_PROTO);
    clear(mask.tp_src() != 0, W_TP_SRC);
    clear(mask.tp_dst() != 0, W_TP_DST);
    let (vlan, pcp, has_vid, has_pcp) = vlan_of10(m);
    clear(has_vid, W_DL_VLAN);
    clear(has_pcp, W_DL_VLAN_PCP);
    let src_wild = mask.nw_src().to_bits().trailing_zeros();
    let dst_wild = mask.nw_dst().to_bits().trailing_zeros();
    wild |= src_wild << W_NW_SRC_SHIFT | dst_wild << W_NW_DST_SHIFT;
    out.put32(wild);
    out.put16(key.in_port().to_of10());
    out.put(&key.eth_src().0);
    out.put(&key.eth_dst().0);
    out.put16(vlan);
    out.put8(pcp);
    out.put8(0);
    out.put16(key.eth_type());
    out.put8(key.nw_tos() & 0xfc);
    out.put8(key.nw_proto());
    out.put16(0);
    out.put32(key.nw_src().to_bits());
    out.put32(key.nw_dst().to_bits());
    out.put16(key.tp_src());
    out.put16(key.tp_dst());
}

fn vlan_of10(m: &Match) -> (u16, u8, bool, bool) {
    let (tci, mask) = (m.key.vlan_tci(0), m.mask.vlan_tci(0));
    if mask == 0 {
        return (0, 0, false, false);
    }
    if mask & VLAN_CFI != 0 && tci & VLAN_CFI == 0 {
        return (VLAN_NONE, 0, true, true);
    }
    let vid = tci & VLAN_VID_MASK;
    let vid = if mask & VLAN_VID_MASK != 0 { vid } else { 0 };
    let pcp = if mask & VLAN_PCP_MASK != 0 { (tci >> 13) as u8 } else { 0 };
    (vid, pcp, mask & VLAN_VID_MASK != 0, mask & VLAN_PCP_MASK != 0)
}

/// Reads the 40 bytes of OpenFlow 1.0.
pub fn take_of10(r: &mut Reader<'_>) -> Result<Match, Error> {
    let wild = r.u32()? & W_ALL;
    let in_port = r.u16()?;
    let (src, dst) = (EthAddr(r.array()?), EthAddr(r.array()?));
    let (vlan, pcp) = (r.u16()?, r.u8()?);
    r.skip(1)?;
    let eth_type = r.u16()?;
    let (tos, nw_proto) = (r.u8()?, r.u8()?);
    r.skip(2)?;
    let (nw_src, nw_dst) = (r.u32()?, r.u32()?);
    let (tp_src, tp_dst) = (r.u16()?, r.u16()?);
    let mut m = Match::any();
    let exact = |bit: u32| wild & bit == 0;
    if exact(W_IN_PORT) {
        m.set_in_port(OfPort(u32::from(in_port)));
    }
    let mut eth = false;
    let mut set = |m: &mut Match, cond: bool, f: Field, v: u128| {
        if cond {
            let _ = m.set_value(f, &FieldValue::Int(v), &FieldValue::Int(u128::MAX));
            eth = true;
        }
    };
    set(&mut m, exact(W_DL_SRC), Field::ETH_SRC, u128::from(src.to_u64()));
    set(&mut m, exact(W_DL_DST), Field::ETH_DST, u128::from(dst.to_u64()));
    set(&mut m, exact(W_DL_TYPE), Field::ETH_TYPE, u128::from(eth_type));
    set(&mut m, exact(W_NW_TOS), Field::NW_TOS, u128::from(tos));
    set(&mut m, exact(W_NW_PROTO), Field::NW_PROTO, u128::from(nw_proto));
    set(&mut m, exact(W_TP_SRC), Field::TCP_SRC, u128::from(tp_src));
    set(&mut m, exact(W_TP_DST), Field::TCP_DST, u128::from(tp_dst));
    let prefix = |n: u32| if n >= 32 { 0 } else { u32::MAX << n };
    let src_mask = prefix(wild >> W_NW_SRC_SHIFT & 0x3f);
    let dst_mask = prefix(wild >> W_NW_DST_SHIFT & 0x3f);
    m.set_masked(Field::IP_SRC, u128::from(nw_src), u128::from(src_mask));
    m.set_masked(Field::IP_DST, u128::from(nw_dst), u128::from(dst_mask));
    let (has_vid, has_pcp) = (exact(W_DL_VLAN), exact(W_DL_VLAN_PCP));
    if has_vid && vlan == VLAN_NONE {
        m.set_masked(Field::VLAN_TCI, 0, 0xffff);
    } else if has_vid || has_pcp {
        let mut mask = VLAN_CFI;
        let mut tci = VLAN_CFI;
        if has_vid {
            mask |= VLAN_VID_MASK;
            tci |= vlan & VLAN_VID_MASK;
        }
        if has_pcp {
            mask |= VLAN_PCP_MASK;
            tci |= u16::from(pcp & 7) << 13;
        }
        m.set_masked(Field::VLAN_TCI, u128::from(tci), u128::from(mask));
        eth = true;
    }
    if eth || src_mask | dst_mask != 0 {
        m.mask.set_packet_type_raw(u32::MAX);
    }
    Ok(m)
}

const W11_IN_PORT: u32 = 1 << 0;
const W11_DL_VLAN: u32 = 1 << 1;
const W11_DL_VLAN_PCP: u32 = 1 << 2;
const W11_DL_TYPE: u32 = 1 << 3;
const W11_NW_TOS: u32 = 1 << 4;
const W11_NW_PROTO: u32 = 1 << 5;
const W11_TP_SRC: u32 = 1 << 6;
const W11_TP_DST: u32 = 1 << 7;
const W11_MPLS_LABEL: u32 = 1 << 8;
const W11_MPLS_TC: u32 = 1 << 9;
const W11_ALL: u32 = (1 << 10) - 1;
/// `dl_vlan` value of OpenFlow 1.1 that means: any tag.
const VLAN_ANY: u16 = 0xfffe;

/// Appends the 88 bytes of OpenFlow 1.1 §A.2.3.1.
pub fn put_of11(out: &mut Vec<u8>, m: &Match) {
    let (key, mask) = (&m.key, &m.mask);
    let mut wild = W11_ALL;
    let mut clear = |cond: bool, bit: u32| {
        if cond {
            wild &= !bit;
        }
    };
    clear(mask.in_port_raw() != 0, W11_IN_PORT);
    clear(mask.eth_type() != 0, W11_DL_TYPE);
    clear(mask.nw_tos() & 0xfc != 0, W11_NW_TOS);
    clear(mask.nw_proto() != 0, W11_NW_PROTO);
    clear(mask.tp_src() != 0, W11_TP_SRC);
    clear(mask.tp_dst() != 0, W11_TP_DST);
    clear(mask.get(Field::MPLS_LABEL) != 0, W11_MPLS_LABEL);
    clear(mask.get(Field::MPLS_TC) != 0, W11_MPLS_TC);
    let (tci, tci_mask) = (key.vlan_tci(0), mask.vlan_tci(0));
    let mut vlan = 0;
    if tci_mask & VLAN_CFI != 0 && tci & VLAN_CFI == 0 {
        vlan = VLAN_NONE;
        clear(true, W11_DL_VLAN);
    } else if tci_mask != 0 {
        vlan = if tci_mask & VLAN_VID_MASK == 0 { VLAN_ANY } else { tci & VLAN_VID_MASK };
        clear(true, W11_DL_VLAN);
        clear(tci_mask & VLAN_PCP_MASK != 0, W11_DL_VLAN_PCP);
    }
    out.put16(0);
    out.put16(88);
    out.put32(if mask.in_port_raw() != 0 { key.in_port().to_of11() } else { 0 });
    out.put32(wild);
    out.put(&key.eth_src().0);
    out.put(&EthAddr::from_u64(!mask.eth_src().to_u64()).0);
    out.put(&key.eth_dst().0);
    out.put(&EthAddr::from_u64(!mask.eth_dst().to_u64()).0);
    out.put16(vlan);
    out.put8(if vlan != VLAN_NONE && tci_mask & VLAN_PCP_MASK != 0 { (tci >> 13) as u8 } else { 0 });
    out.put8(0);
    out.put16(key.eth_type());
    out.put8(key.nw_tos() & 0xfc);
    out.put8(key.nw_proto());
    out.put32(key.nw_src().to_bits());
    out.put32(!mask.nw_src().to_bits());
    out.put32(key.nw_dst().to_bits());
    out.put32(!mask.nw_dst().to_bits());
    out.put16(key.tp_src());
    out.put16(key.tp_dst());
    out.put32(key.get(Field::MPLS_LABEL) as u32);
    out.put8(key.get(Field::MPLS_TC) as u8);
    out.zeros(3);
    out.put64(key.metadata());
    out.put64(!mask.metadata());
}

/// Reads the 88 bytes of OpenFlow 1.1; type and length at their beginning are the caller's to check.
pub fn take_of11(r: &mut Reader<'_>) -> Result<Match, Error> {
    // Type and length, which messages have looked at.
    r.skip(4)?;
    let in_port = r.u32()?;
    let wild = r.u32()?;
    let exact = |bit: u32| wild & bit == 0;
    let mut m = Match::any();
    if exact(W11_IN_PORT) {
        m.set_in_port(OfPort::from_of11(in_port).ok_or(Error::BadMatchBadValue)?);
    }
    for f in [Field::ETH_SRC, Field::ETH_DST] {
        let addr = EthAddr(r.array()?).to_u64();
        let mask = !EthAddr(r.array()?).to_u64() & 0xffff_ffff_ffff;
        m.set_masked(f, u128::from(addr), u128::from(mask));
    }
    let (vlan, pcp) = (r.u16()?, r.u8()?);
    r.skip(1)?;
    vlan_from_of11(&mut m, exact(W11_DL_VLAN), exact(W11_DL_VLAN_PCP), vlan, pcp)?;
    let eth_type = r.u16()?;
    let set = |m: &mut Match, cond: bool, f: Field, v: u128| {
        if cond {
            let _ = m.set_value(f, &FieldValue::Int(v), &FieldValue::Int(u128::MAX));
        }
    };
    set(&mut m, exact(W11_DL_TYPE), Field::ETH_TYPE, u128::from(eth_type));
    let (tos, nw_proto) = (r.u8()?, r.u8()?);
    let is_ip = exact(W11_DL_TYPE) && matches!(eth_type, proto::ETH_IPV4 | proto::ETH_IPV6);
    let is_arp = exact(W11_DL_TYPE) && matches!(eth_type, proto::ETH_ARP | proto::ETH_RARP);
    if is_ip && exact(W11_NW_TOS) {
        if tos & 3 != 0 {
            return Err(Error::BadMatchBadValue);
        }
        set(&mut m, true, Field::NW_TOS, u128::from(tos));
    }
    set(&mut m, (is_ip || is_arp) && exact(W11_NW_PROTO), Field::NW_PROTO, u128::from(nw_proto));
    for f in [Field::IP_SRC, Field::IP_DST] {
        let addr = r.u32()?;
        let mask = !r.u32()?;
        if is_ip || is_arp {
            m.set_masked(f, u128::from(addr), u128::from(mask));
        }
    }
    let (tp_src, tp_dst) = (r.u16()?, r.u16()?);
    let ports = is_ip && exact(W11_NW_PROTO);
    let l4 = matches!(nw_proto, proto::IP_ICMP | proto::IP_TCP | proto::IP_UDP | proto::IP_SCTP);
    let ports = ports && l4;
    set(&mut m, ports && exact(W11_TP_SRC), Field::TCP_SRC, u128::from(tp_src));
    set(&mut m, ports && exact(W11_TP_DST), Field::TCP_DST, u128::from(tp_dst));
    let (label, tc) = (r.u32()?, r.u8()?);
    r.skip(3)?;
    if exact(W11_DL_TYPE) && matches!(eth_type, proto::ETH_MPLS | proto::ETH_MPLS_MCAST) {
        set(&mut m, exact(W11_MPLS_LABEL), Field::MPLS_LABEL, u128::from(label));
        set(&mut m, exact(W11_MPLS_TC), Field::MPLS_TC, u128::from(tc));
    }
    let (metadata, mask) = (r.u64()?, !r.u64()?);
    m.set_masked(Field::METADATA, u128::from(metadata), u128::from(mask));
    if (39..54).any(|w| m.mask.word(w) != 0) {
        m.mask.set_packet_type_raw(u32::MAX);
    }
    Ok(m)
}

fn vlan_from_of11(m: &mut Match, has_vid: bool, has_pcp: bool, vlan: u16, pcp: u8) -> Result<(), Error> {
    if !has_vid {
        return Ok(());
    }
    let (mut tci, mut mask) = (VLAN_CFI, VLAN_CFI);
    match vlan {
        VLAN_NONE => {
            m.set_masked(Field::VLAN_TCI, 0, 0xffff);
            return Ok(());
        }
        VLAN_ANY => {}
        v if v < 4096 => {
            tci |= v;
            mask |= VLAN_VID_MASK;
        }
        _ => return Err(Error::BadMatchBadValue),
    }
    if has_pcp {
        if pcp > 7 {
            return Err(Error::BadMatchBadValue);
        }
        tci |= u16::from(pcp) << 13;
        mask |= VLAN_PCP_MASK;
    }
    m.set_masked(Field::VLAN_TCI, u128::from(tci), u128::from(mask));
    Ok(())
}
