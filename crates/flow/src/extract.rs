//! From the bytes of a packet to the flow key.

use std::net::{Ipv4Addr, Ipv6Addr};

use wire::EthAddr;

use crate::key::{CS_TRK, FRAG_ANY, FRAG_LATER, FlowKey, MAX_MPLS, MAX_VLANS, VLAN_CFI};
use crate::packet_type::PacketType;

/// `eth_type` of a frame that has no Ethernet type (IEEE 802.3 without SNAP).
pub const ETH_TYPE_NONE: u16 = 0x05ff;
/// Ethernet types and IP protocols that extraction knows.
pub mod number {
    #![allow(missing_docs)]
    pub const ETH_IPV4: u16 = 0x0800;
    pub const ETH_ARP: u16 = 0x0806;
    pub const ETH_RARP: u16 = 0x8035;
    pub const ETH_VLAN: u16 = 0x8100;
    pub const ETH_QINQ: u16 = 0x88a8;
    pub const ETH_IPV6: u16 = 0x86dd;
    pub const ETH_MPLS: u16 = 0x8847;
    pub const ETH_MPLS_MCAST: u16 = 0x8848;
    pub const ETH_NSH: u16 = 0x894f;
    pub const IP_ICMP: u8 = 1;
    pub const IP_IGMP: u8 = 2;
    pub const IP_TCP: u8 = 6;
    pub const IP_UDP: u8 = 17;
    pub const IP_FRAGMENT: u8 = 44;
    pub const IP_ICMPV6: u8 = 58;
    pub const IP_SCTP: u8 = 132;
}
use number::*;

/// What is known about a packet besides its bytes: a key in which only the metadata fields (tunnel, input port,
/// marks, connection tracking, recirculation) are set, and the kind of its first header.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metadata {
    /// Fields of words 0 to 38 and tunnel metadata.
    pub key: FlowKey,
}

impl Metadata {
    /// The kind of the packet's first header.
    pub fn packet_type(&self) -> PacketType {
        self.key.packet_type()
    }
}

/// Where the headers of a packet start, in bytes; `None` for one that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layers {
    /// MPLS label stack.
    pub l2_5: Option<u16>,
    /// Network header (IP, ARP, NSH).
    pub l3: Option<u16>,
    /// Transport header.
    pub l4: Option<u16>,
    /// Bytes of link-layer padding after the network packet.
    pub l2_pad: u16,
}

/// The fields of `packet`. What the packet is too short or too damaged to have stays zero.
#[inline]
pub fn extract(packet: &[u8], meta: &Metadata) -> FlowKey {
    let mut key = meta.key;
    extract_into(packet, &mut key, MAX_VLANS);
    key
}

/// Adds the fields of `packet` to `key`, which holds its metadata and nothing else; reads up to `vlan_limit` tags
/// (at most [`MAX_VLANS`]).
pub fn extract_into(packet: &[u8], key: &mut FlowKey, vlan_limit: usize) -> Layers {
    let mut r = Reader { all: packet, at: 0, end: packet.len() };
    let mut layers = Layers::default();
    let eth_type = if key.packet_type() == PacketType::ETHERNET {
        let Some(t) = ethernet(&mut r, key, vlan_limit.min(MAX_VLANS)) else { return layers };
        t
    } else {
        key.packet_type().ethertype()
    };
    key.set_eth_type(eth_type);
    match eth_type {
        ETH_IPV4 => {
            layers.l3 = r.offset();
            ipv4(&mut r, key, &mut layers);
        }
        ETH_IPV6 => {
            layers.l3 = r.offset();
            ipv6(&mut r, key, &mut layers);
        }
        ETH_MPLS | ETH_MPLS_MCAST => {
            layers.l2_5 = r.offset();
            mpls(&mut r, key);
        }
        ETH_ARP | ETH_RARP => {
            layers.l3 = r.offset();
            arp(&r, key);
        }
        ETH_NSH => {
            layers.l3 = r.offset();
            nsh(&r, key);
        }
        _ => layers.l3 = r.offset(),
    }
    layers
}

/// A place in the packet; `end` is where the packet ends once padding is known.
struct Reader<'a> {
    all: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn offset(&self) -> Option<u16> {
        u16::try_from(self.at).ok()
    }

    fn left(&self) -> usize {
        self.end - self.at
    }

    /// The next `N` bytes, without moving.
    #[inline]
    fn peek<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.all.get(self.at..self.end)?.first_chunk::<N>()
    }

    #[inline]
    fn skip(&mut self, n: usize) -> Option<()> {
        if n > self.left() {
            return None;
        }
        self.at += n;
        Some(())
    }
}

#[inline]
fn be16(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}

#[inline]
fn be32(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

#[inline]
fn be64(b: &[u8], at: usize) -> u64 {
    u64::from(be32(b, at)) << 32 | u64::from(be32(b, at + 4))
}

#[inline]
fn addr6(b: &[u8], at: usize) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::from(be64(b, at)) << 64 | u128::from(be64(b, at + 8)))
}

/// Addresses, VLAN tags, and the Ethernet type of what follows.
#[inline]
fn ethernet(r: &mut Reader<'_>, key: &mut FlowKey, vlan_limit: usize) -> Option<u16> {
    let h = r.peek::<14>()?;
    key.set_word(39, be64(h, 0) & !0xffff);
    key.set_eth_src(EthAddr::from_u64(be64(h, 4) & 0xffff_ffff_ffff));
    r.at += 12;
    for n in 0..vlan_limit {
        let Some(tag) = r.peek::<6>() else { break };
        let tpid = be16(tag, 0);
        if tpid != ETH_VLAN && tpid != ETH_QINQ {
            break;
        }
        key.set_vlan_tpid(n, tpid);
        key.set_vlan_tci(n, be16(tag, 2) | VLAN_CFI);
        r.at += 4;
    }
    let ty = be16(r.peek::<2>()?, 0);
    r.at += 2;
    if ty >= 0x600 {
        return Some(ty);
    }
    // IEEE 802.2 §3.2 with the SNAP of RFC 1042: LLC aa-aa-03, organization 0.
    let Some(llc) = r.peek::<8>() else { return Some(ETH_TYPE_NONE) };
    if llc[..6] != [0xaa, 0xaa, 0x03, 0, 0, 0] {
        return Some(ETH_TYPE_NONE);
    }
    r.at += 8;
    let snap = be16(llc, 6);
    Some(if snap >= 0x600 { snap } else { ETH_TYPE_NONE })
}

fn mpls(r: &mut Reader<'_>, key: &mut FlowKey) {
    let mut n = 0;
    while let Some(b) = r.peek::<4>() {
        let lse = be32(b, 0);
        if n < MAX_MPLS {
            key.set_mpls_lse(n, lse);
        }
        n += 1;
        r.at += 4;
        if lse & 0x100 != 0 {
            break;
        }
    }
}

fn arp(r: &Reader<'_>, key: &mut FlowKey) {
    let Some(h) = r.peek::<28>() else { return };
    // RFC 826: Ethernet addresses (1, 6 bytes) of IPv4 addresses (0x800, 4 bytes).
    if h[..6] != [0, 1, 8, 0, 6, 4] {
        return;
    }
    key.set_nw_src(Ipv4Addr::from_bits(be32(h, 14)));
    key.set_nw_dst(Ipv4Addr::from_bits(be32(h, 24)));
    if h[6] == 0 {
        key.set_nw_proto(h[7]);
    }
    key.set_arp_sha(EthAddr([h[8], h[9], h[10], h[11], h[12], h[13]]));
    key.set_arp_tha(EthAddr([h[18], h[19], h[20], h[21], h[22], h[23]]));
}

/// RFC 8300 §2: version 0, header length in 4-byte words, metadata type 1 (four contexts) or 2 (options).
fn nsh(r: &Reader<'_>, key: &mut FlowKey) {
    let Some(h) = r.peek::<8>() else { return };
    let first = be16(h, 0);
    let len = usize::from(first & 0x3f) * 4;
    let md_type = h[2] & 0x0f;
    if first >> 14 != 0 || len > r.left() || (md_type == 1 && len != 24) {
        return;
    }
    let contexts = if md_type == 1 { r.peek::<24>() } else { None };
    key.set_nsh_flags((first >> 12 & 3) as u8);
    key.set_nsh_ttl((first >> 6 & 0x3f) as u8);
    key.set_nsh_mdtype(md_type);
    key.set_nsh_np(h[3]);
    key.set_nsh_spi(be32(h, 4) >> 8);
    key.set_nsh_si(h[7]);
    if let Some(c) = contexts {
        for n in 0..4 {
            key.set_nsh_context(n, be32(c, 8 + 4 * n));
        }
    }
}

#[inline]
fn ipv4(r: &mut Reader<'_>, key: &mut FlowKey, layers: &mut Layers) {
    let Some(h) = r.peek::<20>() else { return };
    let header = usize::from(h[0] & 0x0f) * 4;
    let total = usize::from(be16(h, 2));
    let left = r.left();
    // RFC 791 §3.1; more than 255 bytes of padding are not padding.
    if header < 20 || header > total || total > left || left - total > 255 {
        return;
    }
    layers.l2_pad = (left - total) as u16;
    r.end = r.at + total;
    r.at += header;
    layers.l4 = r.offset();
    key.set_word(44, be64(h, 12));
    let frag_off = be16(h, 6);
    let mut frag = 0;
    if frag_off & 0x3fff != 0 {
        frag = if frag_off & 0x1fff != 0 { FRAG_ANY | FRAG_LATER } else { FRAG_ANY };
    }
    let word = u64::from(h[9]) << 24 | u64::from(h[1]) << 16 | u64::from(h[8]) << 8 | u64::from(frag);
    key.set_word(49, word);
    if frag & FRAG_LATER == 0 {
        transport(r, key, h[9], false);
    }
    check_ct_tuple(key, false);
}

fn ipv6(r: &mut Reader<'_>, key: &mut FlowKey, layers: &mut Layers) {
    let Some(h) = r.peek::<40>() else { return };
    let payload = usize::from(be16(h, 4));
    let left = r.left() - 40;
    if payload > left || left - payload > 255 {
        return;
    }
    layers.l2_pad = (left - payload) as u16;
    r.at += 40;
    r.end = r.at + payload;
    key.set_ipv6_src(addr6(h, 8));
    key.set_ipv6_dst(addr6(h, 24));
    let flow = be32(h, 0);
    let Some((proto, frag)) = ipv6_extensions(r, h[6]) else { return };
    layers.l4 = r.offset();
    key.set_ipv6_label(flow & 0x000f_ffff);
    key.set_nw_tos((flow >> 20) as u8);
    key.set_nw_ttl(h[7]);
    key.set_nw_proto(proto);
    key.set_nw_frag(frag);
    if frag & FRAG_LATER == 0 {
        transport(r, key, proto, true);
    }
    check_ct_tuple(key, true);
}

/// RFC 8200 §4: skips hop-by-hop (0), routing (43), fragment (44), authentication (51) and destination (60) headers.
/// `None` if one is cut.
fn ipv6_extensions(r: &mut Reader<'_>, mut proto: u8) -> Option<(u8, u8)> {
    let mut frag = 0;
    loop {
        match proto {
            0 | 43 | 60 => {
                let h = r.peek::<8>()?;
                proto = h[0];
                r.skip((usize::from(h[1]) + 1) * 8)?;
            }
            51 => {
                let h = r.peek::<8>()?;
                proto = h[0];
                r.skip((usize::from(h[1]) + 2) * 4)?;
            }
            IP_FRAGMENT => {
                let h = r.peek::<8>()?;
                proto = h[0];
                r.at += 8;
                let offset = be16(h, 2);
                if offset & 0xfff9 != 0 {
                    frag = FRAG_ANY;
                    if offset & 0xfff8 != 0 {
                        return Some((IP_FRAGMENT, FRAG_ANY | FRAG_LATER));
                    }
                }
            }
            _ => return Some((proto, frag)),
        }
    }
}

#[inline]
fn transport(r: &mut Reader<'_>, key: &mut FlowKey, proto: u8, v6: bool) {
    match proto {
        IP_TCP => {
            // A header that is longer than what is there, or too short to be one, says nothing (RFC 9293 §3.1).
            if let Some(h) = r.peek::<20>()
                && (20..=r.left()).contains(&(usize::from(h[12] >> 4) * 4))
            {
                key.set_word(57, u64::from(be32(h, 0)) << 32);
                key.set_tcp_flags(be16(h, 12) & 0x0fff);
            }
        }
        IP_UDP => {
            if let Some(h) = r.peek::<8>() {
                key.set_word(57, u64::from(be32(h, 0)) << 32);
            }
        }
        IP_SCTP => {
            if let Some(h) = r.peek::<12>() {
                key.set_word(57, u64::from(be32(h, 0)) << 32);
            }
        }
        IP_ICMP => {
            if let Some(h) = r.peek::<8>() {
                key.set_tp_src(u16::from(h[0]));
                key.set_tp_dst(u16::from(h[1]));
            }
        }
        IP_IGMP if !v6 => {
            if let Some(h) = r.peek::<8>() {
                key.set_tp_src(u16::from(h[0]));
                key.set_tp_dst(u16::from(h[1]));
                key.set_igmp_group(be32(h, 4));
            }
        }
        IP_ICMPV6 if v6 => icmpv6(r, key),
        _ => {}
    }
}

/// RFC 4443 §2.1, and for types 135 and 136 RFC 4861 §4.3, §4.4.
fn icmpv6(r: &mut Reader<'_>, key: &mut FlowKey) {
    let Some(h) = r.peek::<4>() else { return };
    let (ty, code) = (h[0], h[1]);
    key.set_tp_src(u16::from(ty));
    key.set_tp_dst(u16::from(code));
    if code != 0 || (ty != 135 && ty != 136) {
        return;
    }
    let Some(reserved) = r.peek::<8>() else { return };
    key.set_igmp_group(be32(reserved, 4));
    let Some(h) = r.peek::<24>() else { return };
    r.at += 24;
    let target = addr6(h, 8);
    let Some((sll, tll, first)) = nd_options(r) else { return };
    key.set_nd_target(target);
    key.set_arp_sha(sll);
    key.set_arp_tha(tll);
    key.set_tcp_flags(u16::from(first));
}

/// Source and target link-layer addresses and the type of the first of them. `None` if one stands twice.
fn nd_options(r: &mut Reader<'_>) -> Option<(EthAddr, EthAddr, u8)> {
    let mut addrs = [EthAddr::ZERO; 2];
    let mut first = 0;
    while let Some(o) = r.peek::<8>() {
        let len = usize::from(o[1]) * 8;
        if len == 0 || len > r.left() {
            break;
        }
        if let (1 | 2, 8) = (o[0], len) {
            let slot = &mut addrs[usize::from(o[0]) - 1];
            if !slot.is_zero() {
                return None;
            }
            *slot = EthAddr([o[2], o[3], o[4], o[5], o[6], o[7]]);
            if first == 0 {
                first = o[0];
            }
        }
        r.at += len;
    }
    Some((addrs[0], addrs[1], first))
}

/// The tuple of the original direction means something only for a tracked packet of the same IP version.
fn check_ct_tuple(key: &mut FlowKey, v6: bool) {
    if key.ct_state() & CS_TRK == 0 && key.ct_nw_proto() == 0 {
        return;
    }
    if v6 {
        key.set_word(32, 0);
    } else {
        for w in 33..37 {
            key.set_word(w, 0);
        }
    }
}
