//! From a flow key to the bytes of a packet that has its fields: the inverse of extraction, for tests and traces.

use wire::checksum;

use crate::extract::{ETH_TYPE_NONE, number::*};
use crate::key::{FRAG_LATER, FlowKey, MAX_MPLS, VLAN_CFI};
use crate::packet_type::PacketType;

/// Bytes of payload unless something else is asked for: 0, 1, 2, …
pub const DEFAULT_PAYLOAD: [u8; 64] = {
    let mut bytes = [0; 64];
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
};

/// What follows the last header.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// [`DEFAULT_PAYLOAD`] in UDP datagrams, ICMP echos, and TCP segments that neither begin nor end a connection.
    Usual,
    /// These bytes, where the usual payload would be.
    Bytes(&'a [u8]),
    /// These bytes, behind whatever the last header is.
    Fill(&'a [u8]),
}

impl<'a> Payload<'a> {
    fn of(self, key: &FlowKey) -> &'a [u8] {
        let tcp = key.nw_proto() == IP_TCP && key.tcp_flags() & TCP_FIN_SYN_RST == 0;
        let echo = match key.nw_proto() {
            IP_ICMP => key.eth_type() == ETH_IPV4 && matches!(key.tp_src(), 0 | 8),
            IP_ICMPV6 => key.eth_type() == ETH_IPV6 && matches!(key.tp_src(), 128 | 129),
            _ => false,
        };
        let first = key.nw_frag() & FRAG_LATER == 0;
        match self {
            Payload::Fill(bytes) => bytes,
            _ if !first || !(tcp || echo || key.nw_proto() == IP_UDP) => &[],
            Payload::Bytes(bytes) => bytes,
            Payload::Usual => &DEFAULT_PAYLOAD,
        }
    }
}

/// The flags FIN, SYN and RST (RFC 9293 §3.1).
const TCP_FIN_SYN_RST: u16 = 7;

/// A packet with the fields of `key`, lengths right and checksums too, but for that of SCTP, which is 0. A key without an IP
/// protocol that is known ends at the IP header.
#[must_use]
pub fn compose(key: &FlowKey, payload: Payload<'_>) -> Vec<u8> {
    let payload = payload.of(key);
    let mut out = Vec::with_capacity(128 + payload.len());
    let eth_type = key.eth_type();
    let ethernet = key.packet_type() == PacketType::ETHERNET;
    if ethernet {
        out.extend_from_slice(&key.eth_dst().0);
        out.extend_from_slice(&key.eth_src().0);
        if eth_type == ETH_TYPE_NONE {
            // IEEE 802.3: a length instead of a type, here without anything behind it.
            out.extend_from_slice(&14u16.to_be_bytes());
            out.extend_from_slice(payload);
            return out;
        }
        for n in 0..2 {
            if key.vlan_tci(n) & VLAN_CFI != 0 {
                let tpid = if key.vlan_tpid(n) == 0 { ETH_VLAN } else { key.vlan_tpid(n) };
                out.extend_from_slice(&tpid.to_be_bytes());
                out.extend_from_slice(&(key.vlan_tci(n) & !VLAN_CFI).to_be_bytes());
            }
        }
    }
    if ethernet {
        out.extend_from_slice(&eth_type.to_be_bytes());
    }
    match eth_type {
        ETH_IPV4 => ipv4(key, payload, &mut out),
        ETH_IPV6 => ipv6(key, payload, &mut out),
        ETH_ARP | ETH_RARP => arp(key, &mut out),
        ETH_MPLS | ETH_MPLS_MCAST => mpls(key, payload, &mut out),
        ETH_NSH => nsh(key, payload, &mut out),
        _ => out.extend_from_slice(payload),
    }
    out
}

fn arp(key: &FlowKey, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, key.nw_proto()]);
    // What follows in other operations nobody knows.
    if !matches!(key.nw_proto(), 1 | 2) {
        out.extend_from_slice(&[0; 20]);
        return;
    }
    out.extend_from_slice(&key.arp_sha().0);
    out.extend_from_slice(&key.nw_src().octets());
    out.extend_from_slice(&key.arp_tha().0);
    out.extend_from_slice(&key.nw_dst().octets());
}

fn mpls(key: &FlowKey, payload: &[u8], out: &mut Vec<u8>) {
    for n in 0..MAX_MPLS {
        let lse = key.mpls_lse(n);
        out.extend_from_slice(&lse.to_be_bytes());
        if lse & 0x100 != 0 {
            break;
        }
    }
    out.extend_from_slice(payload);
}

fn nsh(key: &FlowKey, payload: &[u8], out: &mut Vec<u8>) {
    let words = if key.nsh_mdtype() == 1 { 6u16 } else { 2 };
    let ttl = u16::from(key.nsh_ttl() & 63);
    let first = u16::from(key.nsh_flags() & 2) << 12 | ttl << 6 | words;
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&[key.nsh_mdtype(), key.nsh_np()]);
    out.extend_from_slice(&(key.nsh_spi() << 8 | u32::from(key.nsh_si())).to_be_bytes());
    for n in 0..4 {
        out.extend_from_slice(&key.nsh_context(n).to_be_bytes());
    }
    out.extend_from_slice(payload);
}

fn ipv4(key: &FlowKey, payload: &[u8], out: &mut Vec<u8>) {
    let pseudo =
        |len: usize| checksum::pseudo_ipv4(key.nw_src().to_bits(), key.nw_dst().to_bits(), key.nw_proto(), len as u32);
    let body = transport(key, payload, &pseudo);
    // More fragments, and an offset for those that are not the first.
    let fragment: u16 = match key.nw_frag() {
        0 => 0,
        f if f & FRAG_LATER != 0 => 0x2000 | 100,
        _ => 0x2000,
    };
    let start = out.len();
    out.extend_from_slice(&[0x45, key.nw_tos()]);
    out.extend_from_slice(&((20 + body.len()) as u16).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&fragment.to_be_bytes());
    out.extend_from_slice(&[key.nw_ttl(), key.nw_proto(), 0, 0]);
    out.extend_from_slice(&key.nw_src().octets());
    out.extend_from_slice(&key.nw_dst().octets());
    let sum = checksum::checksum(&out[start..]);
    out[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&body);
}

fn ipv6(key: &FlowKey, payload: &[u8], out: &mut Vec<u8>) {
    let (src, dst) = (key.ipv6_src().to_bits(), key.ipv6_dst().to_bits());
    let pseudo = |len: usize| checksum::pseudo_ipv6(src, dst, key.nw_proto(), len as u32);
    let body = transport(key, payload, &pseudo);
    let fragment = key.nw_frag() != 0;
    let first = 6u32 << 28 | u32::from(key.nw_tos()) << 20 | key.ipv6_label() & 0xf_ffff;
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&((body.len() + if fragment { 8 } else { 0 }) as u16).to_be_bytes());
    out.extend_from_slice(&[if fragment { IP_FRAGMENT } else { key.nw_proto() }, key.nw_ttl()]);
    out.extend_from_slice(&src.to_be_bytes());
    out.extend_from_slice(&dst.to_be_bytes());
    if fragment {
        // RFC 8200 §4.5: offset in the high 13 bits, more-fragments in the lowest.
        let offset: u16 = if key.nw_frag() & FRAG_LATER != 0 { 100 << 3 } else { 0 };
        out.extend_from_slice(&[key.nw_proto(), 0]);
        out.extend_from_slice(&(offset | 1).to_be_bytes());
        out.extend_from_slice(&[0; 4]);
    }
    out.extend_from_slice(&body);
}

fn transport(key: &FlowKey, payload: &[u8], pseudo: &dyn Fn(usize) -> u64) -> Vec<u8> {
    let mut body = Vec::with_capacity(32 + payload.len());
    if key.nw_frag() & FRAG_LATER != 0 {
        return payload.to_vec();
    }
    let ports = |body: &mut Vec<u8>| {
        body.extend_from_slice(&key.tp_src().to_be_bytes());
        body.extend_from_slice(&key.tp_dst().to_be_bytes());
    };
    let v6 = key.eth_type() == ETH_IPV6;
    let sum_at = match key.nw_proto() {
        IP_TCP => {
            ports(&mut body);
            body.extend_from_slice(&[0; 8]);
            body.extend_from_slice(&(0x5000 | key.tcp_flags() & 0xfff).to_be_bytes());
            body.extend_from_slice(&[0; 6]);
            16
        }
        IP_UDP => {
            ports(&mut body);
            body.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
            body.extend_from_slice(&[0, 0]);
            6
        }
        IP_SCTP => {
            ports(&mut body);
            body.extend_from_slice(&[0; 8]);
            body.extend_from_slice(payload);
            return body;
        }
        IP_ICMP if !v6 => {
            body.extend_from_slice(&[key.tp_src() as u8, key.tp_dst() as u8, 0, 0, 0, 0, 0, 0]);
            body.extend_from_slice(payload);
            let sum = checksum::checksum(&body);
            body[2..4].copy_from_slice(&sum.to_be_bytes());
            return body;
        }
        IP_IGMP if !v6 => {
            body.extend_from_slice(&[key.tp_src() as u8, key.tp_dst() as u8, 0, 0]);
            body.extend_from_slice(&key.igmp_group().to_be_bytes());
            let sum = checksum::checksum(&body);
            body[2..4].copy_from_slice(&sum.to_be_bytes());
            return body;
        }
        IP_ICMPV6 if v6 => {
            icmpv6(key, payload, &mut body);
            let sum = !checksum::fold(pseudo(body.len()) + checksum::sum(&body));
            body[2..4].copy_from_slice(&sum.to_be_bytes());
            return body;
        }
        _ => return body,
    };
    body.extend_from_slice(payload);
    let sum = match !checksum::fold(pseudo(body.len()) + checksum::sum(&body)) {
        0 => 0xffff,
        other => other,
    };
    body[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
    body
}

fn icmpv6(key: &FlowKey, payload: &[u8], body: &mut Vec<u8>) {
    body.extend_from_slice(&[key.tp_src() as u8, key.tp_dst() as u8, 0, 0]);
    body.extend_from_slice(&key.igmp_group().to_be_bytes());
    if key.tp_dst() != 0 || !matches!(key.tp_src(), 135 | 136) {
        body.extend_from_slice(payload);
        return;
    }
    body.extend_from_slice(&key.nd_target().octets());
    for (ty, address) in [(1, key.arp_sha()), (2, key.arp_tha())] {
        if !address.is_zero() {
            body.extend_from_slice(&[ty, 1]);
            body.extend_from_slice(&address.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::{Metadata, extract};

    #[test]
    fn extraction_gives_the_key_back() {
        let mut base = FlowKey::ZERO;
        base.set_eth_src(wire::EthAddr::from_u64(5));
        base.set_eth_dst(wire::EthAddr::from_u64(6));
        let with = |f: &dyn Fn(&mut FlowKey)| {
            let mut key = base;
            f(&mut key);
            key
        };
        let ip = |key: &mut FlowKey, proto: u8| {
            key.set_eth_type(ETH_IPV4);
            key.set_nw_src([1, 2, 3, 4].into());
            key.set_nw_dst([5, 6, 7, 8].into());
            key.set_nw_ttl(9);
            key.set_nw_tos(4);
            key.set_nw_proto(proto);
        };
        let keys = [
            with(&|k| k.set_eth_type(0x1234)),
            with(&|k| {
                ip(k, IP_TCP);
                k.set_tp_src(1);
                k.set_tp_dst(2);
                k.set_tcp_flags(0x12);
                k.set_vlan_tci(0, 0x6005 | VLAN_CFI);
                k.set_vlan_tpid(0, ETH_VLAN);
            }),
            with(&|k| {
                ip(k, IP_UDP);
                k.set_tp_src(1);
                k.set_nw_frag(1);
            }),
            with(&|k| {
                ip(k, IP_UDP);
                k.set_nw_frag(3);
            }),
            with(&|k| {
                ip(k, IP_ICMP);
                k.set_tp_src(8);
            }),
            with(&|k| {
                k.set_eth_type(ETH_ARP);
                k.set_nw_proto(1);
                k.set_nw_src([1, 2, 3, 4].into());
                k.set_arp_sha(wire::EthAddr::from_u64(7));
            }),
            with(&|k| {
                k.set_eth_type(ETH_MPLS);
                k.set_mpls_lse(0, 0x1000 | 64);
                k.set_mpls_lse(1, 0x2000 | 0x100 | 64);
            }),
            with(&|k| {
                k.set_eth_type(ETH_IPV6);
                k.set_ipv6_src(std::net::Ipv6Addr::LOCALHOST);
                k.set_nw_ttl(64);
                k.set_nw_proto(IP_ICMPV6);
                k.set_tp_src(135);
                k.set_nd_target(std::net::Ipv6Addr::LOCALHOST);
                k.set_arp_sha(wire::EthAddr::from_u64(7));
            }),
        ];
        for key in keys {
            let mut got = extract(&compose(&key, Payload::Bytes(&[0; 20])), &Metadata::default());
            if key.nw_proto() == IP_ICMPV6 {
                // The type of the first option is a field of its own.
                got.set_tcp_flags(key.tcp_flags());
            }
            assert_eq!(got, key);
        }
    }
}
