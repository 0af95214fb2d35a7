//! Set and push actions: from datapath actions to edits of the packet and of its key.

use crate::action::{Set, SetAttr};
use flow::{FlowKey, MiniKey};
use wire::PacketBuf;
use wire::edit::{self, ArpFields, Ipv4Fields, Ipv6Fields, NdFields};
use wire::layers::ip_proto;

/// Applies a `set` action to the packet, and to the key so that later actions and lookups see it.
pub fn set(packet: &mut PacketBuf, key: &mut FlowKey, s: &Set) {
    let (value, mask) = (s.key.expand(), s.mask.expand());
    apply_to_key(key, &s.key, &s.mask);
    match s.attr {
        // Metadata only: the key holds it.
        SetAttr::Priority | SetAttr::Mark | SetAttr::Tunnel => {}
        SetAttr::Ethernet => {
            edit::set_ethernet(packet, (value.eth_dst().0, mask.eth_dst().0), (value.eth_src().0, mask.eth_src().0))
        }
        SetAttr::Vlan => edit::set_vlan_tci(packet, value.vlan_tci(0), mask.vlan_tci(0)),
        SetAttr::Mpls => edit::set_mpls_lse(packet, value.mpls_lse(0), mask.mpls_lse(0)),
        SetAttr::Ipv4 => edit::set_ipv4(packet, &ipv4(&value), &ipv4(&mask)),
        SetAttr::Ipv6 => edit::set_ipv6(packet, &ipv6(&value), &ipv6(&mask)),
        SetAttr::Tcp => ports(packet, ip_proto::TCP, &value, &mask),
        SetAttr::Udp => ports(packet, ip_proto::UDP, &value, &mask),
        SetAttr::Sctp => ports(packet, ip_proto::SCTP, &value, &mask),
        SetAttr::Icmp | SetAttr::Icmpv6 => edit::set_icmp(
            packet,
            (value.tp_src() as u8, mask.tp_src() as u8),
            (value.tp_dst() as u8, mask.tp_dst() as u8),
        ),
        SetAttr::Arp => edit::set_arp(packet, &arp(&value), &arp(&mask)),
        SetAttr::Nd | SetAttr::NdExtensions => edit::set_nd(packet, &nd(&value), &nd(&mask)),
        SetAttr::Nsh => set_nsh(packet, &value, &mask),
    }
}

fn apply_to_key(key: &mut FlowKey, value: &MiniKey, mask: &MiniKey) {
    for (w, m) in mask.iter() {
        key.set_word(w, key.word(w) & !m | value.word(w) & m);
    }
}

fn ipv4(k: &FlowKey) -> Ipv4Fields {
    Ipv4Fields { src: k.nw_src().into(), dst: k.nw_dst().into(), tos: k.nw_tos(), ttl: k.nw_ttl() }
}

fn ipv6(k: &FlowKey) -> Ipv6Fields {
    Ipv6Fields {
        src: k.ipv6_src().into(),
        dst: k.ipv6_dst().into(),
        label: k.ipv6_label(),
        tclass: k.nw_tos(),
        hlimit: k.nw_ttl(),
    }
}

fn ports(packet: &mut PacketBuf, proto: u8, value: &FlowKey, mask: &FlowKey) {
    edit::set_ports(packet, proto, (value.tp_src(), mask.tp_src()), (value.tp_dst(), mask.tp_dst()));
}

fn arp(k: &FlowKey) -> ArpFields {
    ArpFields {
        op: k.nw_proto().into(),
        sha: k.arp_sha().0,
        tha: k.arp_tha().0,
        spa: k.nw_src().into(),
        tpa: k.nw_dst().into(),
    }
}

fn nd(k: &FlowKey) -> NdFields {
    NdFields {
        target: k.nd_target().into(),
        sll: k.arp_sha().0,
        tll: k.arp_tha().0,
        reserved: k.igmp_group(),
        option_type: k.tcp_flags() as u8,
    }
}

/// Length of the NSH base and service path headers (RFC 8300 §2.2, §2.3), in bytes.
const NSH_BASE: usize = 8;

fn set_nsh(packet: &mut PacketBuf, value: &FlowKey, mask: &FlowKey) {
    let Some(l) = wire::layers::Layers::of(packet.bytes()) else { return };
    let Some(h) = packet.bytes_mut().get_mut(l.l3..) else { return };
    if h.len() < NSH_BASE {
        return;
    }
    // Version 2 bits, O, U, TTL 6 bits, length 6 bits in the first 16; then path id and index.
    if mask.nsh_ttl() != 0 {
        let ttl = value.nsh_ttl() & 0x3f;
        h[0] = h[0] & 0xf0 | ttl >> 2;
        h[1] = h[1] & 0x3f | ttl << 6;
    }
    let path = u32::from_be_bytes([h[4], h[5], h[6], h[7]]);
    let bits = mask.nsh_spi() << 8 | u32::from(mask.nsh_si());
    let new = path & !bits | (value.nsh_spi() << 8 | u32::from(value.nsh_si())) & bits;
    h[4..8].copy_from_slice(&new.to_be_bytes());
}
