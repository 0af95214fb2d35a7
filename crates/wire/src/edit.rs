//! Changes to the headers of a packet in place, with every checksum they touch kept right.
//!
//! A change to a header that the packet does not have does nothing: the packet came from outside and its flow may
//! have been matched on less than the whole of it.

use crate::checksum;
use crate::layers::{Layers, be16, ethertype, ip_proto, is_mpls, is_vlan};
use crate::packet::{Checksum, PacketBuf};

/// Inserts a VLAN tag after the Ethernet addresses.
pub fn push_vlan(p: &mut PacketBuf, tpid: u16, tci: u16) {
    if p.len() < 14 {
        return;
    }
    p.insert_gap(12, 4);
    let b = p.bytes_mut();
    b[12..14].copy_from_slice(&tpid.to_be_bytes());
    b[14..16].copy_from_slice(&tci.to_be_bytes());
}

/// Removes the outermost VLAN tag.
pub fn pop_vlan(p: &mut PacketBuf) {
    if be16(p.bytes(), 12).is_some_and(is_vlan) && p.len() >= 18 {
        p.remove(12, 4);
    }
}

/// Changes the outermost tag's control information (all but the presence of the tag).
pub fn set_vlan_tci(p: &mut PacketBuf, tci: u16, mask: u16) {
    if be16(p.bytes(), 12).is_some_and(is_vlan) {
        masked16(p.bytes_mut(), 14, tci, mask);
    }
}

/// Puts an Ethernet header in front of a packet that has none.
pub fn push_eth(p: &mut PacketBuf, dst: [u8; 6], src: [u8; 6], ty: u16) {
    p.insert_gap(0, 14);
    let b = p.bytes_mut();
    b[0..6].copy_from_slice(&dst);
    b[6..12].copy_from_slice(&src);
    b[12..14].copy_from_slice(&ty.to_be_bytes());
}

/// Removes the Ethernet header, tags included.
pub fn pop_eth(p: &mut PacketBuf) {
    if let Some(l) = Layers::of(p.bytes()) {
        p.remove(0, l.l3);
    }
}

/// Changes the Ethernet addresses under their masks.
pub fn set_ethernet(p: &mut PacketBuf, dst: ([u8; 6], [u8; 6]), src: ([u8; 6], [u8; 6])) {
    if let Some(b) = p.bytes_mut().get_mut(..12) {
        masked(&mut b[..6], &dst.0, &dst.1);
        masked(&mut b[6..], &src.0, &src.1);
    }
}

/// Pushes an MPLS label stack entry between Ethernet (and its tags) and what follows, and sets the type `ty`.
pub fn push_mpls(p: &mut PacketBuf, ty: u16, lse: u32) {
    let Some(l) = Layers::of(p.bytes()) else { return };
    if p.len() < l.l3 {
        return;
    }
    p.insert_gap(l.l3, 4);
    let b = p.bytes_mut();
    b[l.type_at..l.l3].copy_from_slice(&ty.to_be_bytes());
    b[l.l3..l.l3 + 4].copy_from_slice(&lse.to_be_bytes());
}

/// Pops the outermost label and sets the type of what is then exposed.
pub fn pop_mpls(p: &mut PacketBuf, ty: u16) {
    let Some(l) = Layers::of(p.bytes()) else { return };
    if is_mpls(l.ethertype) && p.len() >= l.l3 + 4 {
        p.remove(l.l3, 4);
        p.bytes_mut()[l.type_at..l.l3].copy_from_slice(&ty.to_be_bytes());
    }
}

/// Changes the outermost label stack entry under a mask.
pub fn set_mpls_lse(p: &mut PacketBuf, lse: u32, mask: u32) {
    let Some(l) = Layers::of(p.bytes()) else { return };
    if is_mpls(l.ethertype) && p.len() >= l.l3 + 4 {
        masked(&mut p.bytes_mut()[l.l3..l.l3 + 4], &lse.to_be_bytes(), &mask.to_be_bytes());
    }
}

/// Values, or masks, of the IPv4 header fields that can be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ipv4Fields {
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
    /// DSCP and ECN.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
}

/// Changes IPv4 header fields under their masks.
pub fn set_ipv4(p: &mut PacketBuf, value: &Ipv4Fields, mask: &Ipv4Fields) {
    let Some(l) = Layers::of(p.bytes()).filter(|l| l.ethertype == ethertype::IPV4) else { return };
    set_ipv4_at(p, &l, value, mask);
}

fn set_ipv4_at(p: &mut PacketBuf, l: &Layers, value: &Ipv4Fields, mask: &Ipv4Fields) {
    let Some(header) = p.bytes_mut().get_mut(l.l3..l.l3 + 20) else { return };
    let mut old = [0u8; 20];
    old.copy_from_slice(header);
    masked(&mut header[1..2], &[value.tos], &[mask.tos]);
    masked(&mut header[8..9], &[value.ttl], &[mask.ttl]);
    masked(&mut header[12..16], &value.src.to_be_bytes(), &mask.src.to_be_bytes());
    masked(&mut header[16..20], &value.dst.to_be_bytes(), &mask.dst.to_be_bytes());
    let mut new = [0u8; 20];
    new.copy_from_slice(header);
    if old == new {
        return;
    }
    let sum = checksum::update(u16::from_be_bytes([old[10], old[11]]), &old, &new);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    fix_transport(p, l, &old[12..20], &new[12..20], true);
}

/// Values, or masks, of the IPv6 header fields that can be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ipv6Fields {
    /// Source address.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
    /// Flow label, 20 bits.
    pub label: u32,
    /// Traffic class.
    pub tclass: u8,
    /// Hop limit.
    pub hlimit: u8,
}

/// Changes IPv6 header fields under their masks.
pub fn set_ipv6(p: &mut PacketBuf, value: &Ipv6Fields, mask: &Ipv6Fields) {
    let Some(l) = Layers::of(p.bytes()).filter(|l| l.ethertype == ethertype::IPV6) else { return };
    let Some(header) = p.bytes_mut().get_mut(l.l3..l.l3 + 40) else { return };
    let first = |f: &Ipv6Fields| (u32::from(f.tclass) << 20 | (f.label & 0xf_ffff)).to_be_bytes();
    masked(&mut header[..4], &first(value), &first(mask));
    masked(&mut header[7..8], &[value.hlimit], &[mask.hlimit]);
    let mut old = [0u8; 32];
    old.copy_from_slice(&header[8..40]);
    masked(&mut header[8..24], &value.src.to_be_bytes(), &mask.src.to_be_bytes());
    masked(&mut header[24..40], &value.dst.to_be_bytes(), &mask.dst.to_be_bytes());
    let mut new = [0u8; 32];
    new.copy_from_slice(&header[8..40]);
    if old != new {
        fix_transport(p, &l, &old, &new, true);
    }
}

/// Changes TCP, UDP or SCTP ports under their masks; `proto` says which of them the packet must be.
pub fn set_ports(p: &mut PacketBuf, proto: u8, src: (u16, u16), dst: (u16, u16)) {
    let Some(l) = Layers::of(p.bytes()) else { return };
    let Some((l4, found)) = l.l4 else { return };
    if found != proto {
        return;
    }
    let Some(header) = p.bytes_mut().get_mut(l4..l4 + 4) else { return };
    let old = [header[0], header[1], header[2], header[3]];
    masked16(header, 0, src.0, src.1);
    masked16(header, 2, dst.0, dst.1);
    let new = [header[0], header[1], header[2], header[3]];
    if old != new {
        fix_transport(p, &l, &old, &new, false);
    }
}

/// Changes the type and code of an ICMP or ICMPv6 message under their masks.
pub fn set_icmp(p: &mut PacketBuf, ty: (u8, u8), code: (u8, u8)) {
    let Some(l) = Layers::of(p.bytes()) else { return };
    let Some((l4, ip_proto::ICMP | ip_proto::ICMPV6)) = l.l4 else { return };
    let Some(header) = p.bytes_mut().get_mut(l4..l4 + 2) else { return };
    let old = [header[0], header[1]];
    masked(&mut header[..1], &[ty.0], &[ty.1]);
    masked(&mut header[1..], &[code.0], &[code.1]);
    let new = [header[0], header[1]];
    fix_transport(p, &l, &old, &new, false);
}

/// Values, or masks, of an ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArpFields {
    /// Operation.
    pub op: u16,
    /// Sender and target hardware addresses.
    pub sha: [u8; 6],
    /// Target hardware address.
    pub tha: [u8; 6],
    /// Sender protocol address.
    pub spa: u32,
    /// Target protocol address.
    pub tpa: u32,
}

/// Changes ARP fields under their masks.
pub fn set_arp(p: &mut PacketBuf, value: &ArpFields, mask: &ArpFields) {
    let Some(l) = Layers::of(p.bytes()) else { return };
    if !matches!(l.ethertype, ethertype::ARP | ethertype::RARP) {
        return;
    }
    let Some(b) = p.bytes_mut().get_mut(l.l3..l.l3 + 28) else { return };
    masked16(b, 6, value.op, mask.op);
    masked(&mut b[8..14], &value.sha, &mask.sha);
    masked(&mut b[14..18], &value.spa.to_be_bytes(), &mask.spa.to_be_bytes());
    masked(&mut b[18..24], &value.tha, &mask.tha);
    masked(&mut b[24..28], &value.tpa.to_be_bytes(), &mask.tpa.to_be_bytes());
}

/// Values, or masks, of IPv6 neighbour discovery messages (RFC 4861 §4.3, §4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NdFields {
    /// Target address.
    pub target: u128,
    /// Source link-layer address option (type 1).
    pub sll: [u8; 6],
    /// Target link-layer address option (type 2).
    pub tll: [u8; 6],
    /// The 32 bits of flags and reserved space after the checksum.
    pub reserved: u32,
    /// New type of the first option; mask 0 leaves it.
    pub option_type: u8,
}

/// Changes neighbour discovery fields under their masks.
pub fn set_nd(p: &mut PacketBuf, value: &NdFields, mask: &NdFields) {
    let Some(l) = Layers::of(p.bytes()) else { return };
    let Some((l4, ip_proto::ICMPV6)) = l.l4 else { return };
    let Some(message) = p.bytes_mut().get_mut(l4..) else { return };
    if message.len() < 24 || !matches!(message[0], 135 | 136) {
        return;
    }
    // An option may start at any multiple of 8, so all that changes is at even offsets from the message.
    let even = message.len() & !1;
    let old = message[..even].to_vec();
    masked(&mut message[4..8], &value.reserved.to_be_bytes(), &mask.reserved.to_be_bytes());
    masked(&mut message[8..24], &value.target.to_be_bytes(), &mask.target.to_be_bytes());
    let mut at = 24;
    let mut first = true;
    while at + 8 <= message.len() && message[at + 1] != 0 {
        match message[at] {
            1 => masked(&mut message[at + 2..at + 8], &value.sll, &mask.sll),
            2 => masked(&mut message[at + 2..at + 8], &value.tll, &mask.tll),
            _ => {}
        }
        if first {
            masked(&mut message[at..=at], &[value.option_type], &[mask.option_type]);
            first = false;
        }
        at += usize::from(message[at + 1]) * 8;
    }
    let new = message[..even].to_vec();
    fix_transport(p, &l, &old, &new, false);
}

fn masked(target: &mut [u8], value: &[u8], mask: &[u8]) {
    for ((t, v), m) in target.iter_mut().zip(value).zip(mask) {
        *t = (*t & !m) | (v & m);
    }
}

fn masked16(bytes: &mut [u8], at: usize, value: u16, mask: u16) {
    if let Some(old) = be16(bytes, at) {
        let new = (old & !mask) | (value & mask);
        bytes[at..at + 2].copy_from_slice(&new.to_be_bytes());
    }
}

/// Accounts for a change of bytes that the transport checksum covers, in the pseudo-header or in the message itself.
fn fix_transport(p: &mut PacketBuf, l: &Layers, old: &[u8], new: &[u8], pseudo: bool) {
    let Some((l4, proto)) = l.l4 else { return };
    let partial = matches!(p.checksum, Checksum::Partial { .. });
    let ipv6 = l.ethertype == ethertype::IPV6;
    let at = match proto {
        ip_proto::TCP => l4 + 16,
        ip_proto::UDP => l4 + 6,
        ip_proto::ICMP if !pseudo && !ipv6 => l4 + 2,
        ip_proto::ICMPV6 if ipv6 => l4 + 2,
        ip_proto::SCTP if !pseudo => return sctp_checksum(p, l4),
        _ => return,
    };
    let Some(field) = be16(p.bytes(), at) else { return };
    let value = if partial {
        if !pseudo {
            return;
        }
        !checksum::update(!field, old, new)
    } else {
        // RFC 768: zero means that the sender made no checksum.
        if proto == ip_proto::UDP && field == 0 {
            return;
        }
        match checksum::update(field, old, new) {
            0 if proto == ip_proto::UDP => 0xffff,
            other => other,
        }
    };
    p.bytes_mut()[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn sctp_checksum(p: &mut PacketBuf, l4: usize) {
    if matches!(p.checksum, Checksum::Partial { .. }) || p.gso.is_some() {
        return;
    }
    let Some(message) = p.bytes_mut().get_mut(l4..) else { return };
    if message.len() >= 12 {
        message[8..12].fill(0);
        // RFC 9260 appendix A: the CRC goes out least significant byte first.
        let crc = checksum::crc32c(message);
        message[8..12].copy_from_slice(&crc.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;

    fn transport_ok(p: &PacketBuf) -> bool {
        let b = p.bytes();
        let l = Layers::of(b).unwrap();
        let (l4, proto) = l.l4.unwrap();
        let (src, dst) = (crate::layers::be32(b, l.l3 + 12).unwrap(), crate::layers::be32(b, l.l3 + 16).unwrap());
        let pseudo = checksum::pseudo_ipv4(src, dst, proto, (b.len() - l4) as u32);
        checksum::fold(pseudo + checksum::sum(&b[l4..])) == 0xffff && checksum::checksum(&b[l.l3..l.l3 + 20]) == 0
    }

    #[test]
    fn checksums_stay_right() {
        for frame in [
            build::udp4([1; 6], [2; 6], 0x0a00_0001, 0x0a00_0002, 5, 6, b"hello"),
            build::tcp4([1; 6], [2; 6], 0x0a00_0001, 0x0a00_0002, 5, 6, 2),
        ] {
            let mut p = PacketBuf::from_bytes(&frame);
            let proto = frame[23];
            let all = Ipv4Fields { src: !0, dst: !0, tos: !0, ttl: !0 };
            set_ipv4(&mut p, &Ipv4Fields { src: 0xc0a8_0101, dst: 0x0101_0101, tos: 8, ttl: 9 }, &all);
            assert!(transport_ok(&p));
            set_ports(&mut p, proto, (4000, !0), (0x00aa, 0x00ff));
            assert!(transport_ok(&p));
            push_vlan(&mut p, 0x8100, 10);
            set_ports(&mut p, proto, (80, !0), (0, 0));
            assert!(transport_ok(&p));
            pop_vlan(&mut p);
            assert!(transport_ok(&p));
        }
    }

    #[test]
    fn partial_checksum_follows_addresses() {
        let frame = build::tcp4([1; 6], [2; 6], 0x0a00_0001, 0x0a00_0002, 5, 6, 2);
        let mut p = PacketBuf::from_bytes(&frame);
        let pseudo = checksum::fold(checksum::pseudo_ipv4(0x0a00_0001, 0x0a00_0002, 6, 20));
        p.bytes_mut()[50..52].copy_from_slice(&pseudo.to_be_bytes());
        p.checksum = Checksum::Partial { start: 34, offset: 16 };
        let mask = Ipv4Fields { src: !0, ..Ipv4Fields::default() };
        set_ipv4(&mut p, &Ipv4Fields { src: 0x0505_0505, ..mask }, &mask);
        set_ports(&mut p, 6, (99, !0), (98, !0));
        push_vlan(&mut p, 0x8100, 7);
        p.complete_checksum();
        pop_vlan(&mut p);
        assert!(transport_ok(&p));
    }

    #[test]
    fn short_packets_are_left_alone() {
        let frame = build::tcp4([1; 6], [2; 6], 1, 2, 5, 6, 2);
        for cut in 0..frame.len() {
            let mut p = PacketBuf::from_bytes(&frame[..cut]);
            set_ipv4(
                &mut p,
                &Ipv4Fields { src: 9, dst: 9, tos: 9, ttl: 9 },
                &Ipv4Fields { src: !0, dst: !0, tos: !0, ttl: !0 },
            );
            set_ports(&mut p, 6, (1, !0), (2, !0));
            push_mpls(&mut p, ethertype::MPLS, 5);
            pop_mpls(&mut p, ethertype::IPV4);
            pop_vlan(&mut p);
            set_icmp(&mut p, (1, 1), (1, 1));
        }
    }
}
