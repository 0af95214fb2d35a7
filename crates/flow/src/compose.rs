//! From a flow key to the bytes of a packet: the inverse of extraction, for tools and tests.

use crate::extract::number::*;
use crate::key::{FlowKey, MAX_VLANS, VLAN_CFI};

/// A packet with the headers that `key` says, then `payload`. Lengths and checksums are filled in. Fields that the
/// key leaves zero are zero; an unknown Ethernet type gives a frame with the payload only.
pub fn compose(key: &FlowKey, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + payload.len());
    out.extend_from_slice(&key.eth_dst().0);
    out.extend_from_slice(&key.eth_src().0);
    for n in 0..MAX_VLANS {
        let tci = key.vlan_tci(n);
        if tci & VLAN_CFI != 0 {
            let tpid = if key.vlan_tpid(n) == 0 { ETH_VLAN } else { key.vlan_tpid(n) };
            out.extend_from_slice(&tpid.to_be_bytes());
            out.extend_from_slice(&(tci & !VLAN_CFI).to_be_bytes());
        }
    }
    out.extend_from_slice(&key.eth_type().to_be_bytes());
    match key.eth_type() {
        ETH_IPV4 => ipv4(&mut out, key, payload),
        ETH_IPV6 => ipv6(&mut out, key, payload),
        ETH_ARP | ETH_RARP => arp(&mut out, key),
        _ => out.extend_from_slice(payload),
    }
    out
}

fn arp(out: &mut Vec<u8>, key: &FlowKey) {
    out.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, key.nw_proto()]);
    out.extend_from_slice(&key.arp_sha().0);
    out.extend_from_slice(&key.nw_src().octets());
    out.extend_from_slice(&key.arp_tha().0);
    out.extend_from_slice(&key.nw_dst().octets());
}

/// RFC 1071: the one's complement sum of 16-bit words.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            let high = u32::from(pair[0]) << 8;
            sum += high | pair.get(1).map_or(0, |b| u32::from(*b));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn ipv4(out: &mut Vec<u8>, key: &FlowKey, payload: &[u8]) {
    let (src, dst) = (key.nw_src().octets(), key.nw_dst().octets());
    let mut pseudo = [0u8; 12];
    pseudo[..4].copy_from_slice(&src);
    pseudo[4..8].copy_from_slice(&dst);
    pseudo[9] = key.nw_proto();
    let l4 = transport(key, payload, &mut pseudo, 10, false);
    let total = (20 + l4.len()) as u16;
    let frag: u16 = match key.nw_frag() & 3 {
        1 => 0x2000,
        3 => 0x00b9,
        _ => 0,
    };
    let mut h = [0u8; 20];
    h[0] = 0x45;
    h[1] = key.nw_tos();
    h[2..4].copy_from_slice(&total.to_be_bytes());
    h[6..8].copy_from_slice(&frag.to_be_bytes());
    h[8] = key.nw_ttl();
    h[9] = key.nw_proto();
    h[12..16].copy_from_slice(&src);
    h[16..20].copy_from_slice(&dst);
    let sum = checksum(&[&h]);
    h[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&h);
    out.extend_from_slice(&l4);
}

fn ipv6(out: &mut Vec<u8>, key: &FlowKey, payload: &[u8]) {
    let (src, dst) = (key.ipv6_src().octets(), key.ipv6_dst().octets());
    let mut pseudo = [0u8; 40];
    pseudo[..16].copy_from_slice(&src);
    pseudo[16..32].copy_from_slice(&dst);
    pseudo[39] = key.nw_proto();
    let l4 = transport(key, payload, &mut pseudo, 34, true);
    let first = 6u32 << 28 | u32::from(key.nw_tos()) << 20 | key.ipv6_label() & 0xf_ffff;
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&(l4.len() as u16).to_be_bytes());
    out.push(key.nw_proto());
    out.push(key.nw_ttl());
    out.extend_from_slice(&src);
    out.extend_from_slice(&dst);
    out.extend_from_slice(&l4);
}

/// The transport header and payload. `len_at` is where the pseudo header has the (16-bit) length.
fn transport(key: &FlowKey, payload: &[u8], pseudo: &mut [u8], len_at: usize, v6: bool) -> Vec<u8> {
    let mut l4 = Vec::with_capacity(40 + payload.len());
    if key.nw_frag() & 2 != 0 {
        return payload.to_vec();
    }
    let at = match key.nw_proto() {
        IP_TCP => {
            l4.extend_from_slice(&key.tp_src().to_be_bytes());
            l4.extend_from_slice(&key.tp_dst().to_be_bytes());
            l4.extend_from_slice(&[0; 8]);
            l4.extend_from_slice(&(0x5000 | key.tcp_flags() & 0xfff).to_be_bytes());
            l4.extend_from_slice(&[0; 6]);
            l4.extend_from_slice(payload);
            Some(16)
        }
        IP_UDP => {
            l4.extend_from_slice(&key.tp_src().to_be_bytes());
            l4.extend_from_slice(&key.tp_dst().to_be_bytes());
            l4.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
            l4.extend_from_slice(&[0; 2]);
            l4.extend_from_slice(payload);
            Some(6)
        }
        IP_SCTP => {
            l4.extend_from_slice(&key.tp_src().to_be_bytes());
            l4.extend_from_slice(&key.tp_dst().to_be_bytes());
            l4.extend_from_slice(&[0; 8]);
            l4.extend_from_slice(payload);
            None
        }
        IP_ICMP if !v6 => {
            l4.extend_from_slice(&[key.tp_src() as u8, key.tp_dst() as u8, 0, 0, 0, 0, 0, 0]);
            l4.extend_from_slice(payload);
            let sum = checksum(&[&l4]);
            l4[2..4].copy_from_slice(&sum.to_be_bytes());
            None
        }
        IP_IGMP if !v6 => {
            l4.extend_from_slice(&[key.tp_src() as u8, key.tp_dst() as u8, 0, 0]);
            l4.extend_from_slice(&key.igmp_group().to_be_bytes());
            let sum = checksum(&[&l4]);
            l4[2..4].copy_from_slice(&sum.to_be_bytes());
            None
        }
        IP_ICMPV6 if v6 => {
            icmpv6(&mut l4, key, payload);
            Some(2)
        }
        _ => {
            l4.extend_from_slice(payload);
            None
        }
    };
    if let Some(at) = at {
        pseudo[len_at..len_at + 2].copy_from_slice(&(l4.len() as u16).to_be_bytes());
        let sum = checksum(&[pseudo, &l4]);
        // RFC 768: a computed zero is sent as all ones.
        let sum = if sum == 0 && key.nw_proto() == IP_UDP { 0xffff } else { sum };
        l4[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    l4
}

fn icmpv6(l4: &mut Vec<u8>, key: &FlowKey, payload: &[u8]) {
    l4.extend_from_slice(&[key.tp_src() as u8, key.tp_dst() as u8, 0, 0]);
    l4.extend_from_slice(&key.igmp_group().to_be_bytes());
    let nd = key.tp_dst() == 0 && matches!(key.tp_src(), 135 | 136);
    if nd {
        l4.extend_from_slice(&key.nd_target().octets());
        for (ty, addr) in [(1, key.arp_sha()), (2, key.arp_tha())] {
            if !addr.is_zero() {
                l4.extend_from_slice(&[ty, 1]);
                l4.extend_from_slice(&addr.0);
            }
        }
    } else {
        l4.extend_from_slice(payload);
    }
}
