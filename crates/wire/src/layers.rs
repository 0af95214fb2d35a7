//! Where the headers of an Ethernet packet begin.

/// Ethernet types used by the switch.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// Reverse ARP.
    pub const RARP: u16 = 0x8035;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// IEEE 802.1Q customer tag.
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad service tag.
    pub const QINQ: u16 = 0x88a8;
    /// MPLS unicast.
    pub const MPLS: u16 = 0x8847;
    /// MPLS multicast.
    pub const MPLS_MULTICAST: u16 = 0x8848;
    /// Network service header (RFC 8300).
    pub const NSH: u16 = 0x894f;
    /// Transparent Ethernet bridging.
    pub const TEB: u16 = 0x6558;
    /// Slow protocols (LACP).
    pub const SLOW: u16 = 0x8809;
    /// Link layer discovery.
    pub const LLDP: u16 = 0x88cc;
}

/// IP protocol numbers used by the switch.
pub mod ip_proto {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// Whether `ty` announces a VLAN tag.
#[must_use]
pub fn is_vlan(ty: u16) -> bool {
    ty == ethertype::VLAN || ty == ethertype::QINQ
}

/// Whether `ty` announces MPLS.
#[must_use]
pub fn is_mpls(ty: u16) -> bool {
    ty == ethertype::MPLS || ty == ethertype::MPLS_MULTICAST
}

/// Reads a big-endian 16-bit number, if there.
#[must_use]
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Reads a big-endian 32-bit number, if there.
#[must_use]
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Offsets of the headers of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Ethernet type that follows the last VLAN tag; 0 for a packet with no Ethernet type (802.3).
    pub ethertype: u16,
    /// Offset of that type field, so that `type_at + 2 == l3`.
    pub type_at: usize,
    /// Number of VLAN tags.
    pub tags: usize,
    /// Offset of the network header.
    pub l3: usize,
    /// Transport header: offset and IP protocol; `None` when cut off, not IP, or a later fragment.
    pub l4: Option<(usize, u8)>,
}

impl Layers {
    /// Walks an Ethernet packet. `None` when it is too short for an Ethernet header.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Layers> {
        let mut type_at = 12;
        let mut ethertype = be16(bytes, type_at)?;
        let mut tags = 0;
        while is_vlan(ethertype) && bytes.len() >= type_at + 6 {
            type_at += 4;
            tags += 1;
            ethertype = be16(bytes, type_at)?;
        }
        if ethertype < 0x600 {
            ethertype = 0;
        }
        Some(Layers::at(bytes, ethertype, type_at, tags))
    }

    /// Walks from a network header at offset 0 (a packet without Ethernet header).
    #[must_use]
    pub fn of_network(bytes: &[u8], ethertype: u16) -> Layers {
        let (l4, l3) = (transport(bytes, 0, ethertype), 0);
        Layers { ethertype, type_at: 0, tags: 0, l3, l4 }
    }

    fn at(bytes: &[u8], ethertype: u16, type_at: usize, tags: usize) -> Layers {
        let l3 = type_at + 2;
        Layers { ethertype, type_at, tags, l3, l4: transport(bytes, l3, ethertype) }
    }
}

fn transport(bytes: &[u8], l3: usize, ethertype: u16) -> Option<(usize, u8)> {
    match ethertype {
        ethertype::IPV4 => ipv4_transport(bytes, l3),
        ethertype::IPV6 => ipv6_transport(bytes, l3),
        _ => None,
    }
}

fn ipv4_transport(bytes: &[u8], l3: usize) -> Option<(usize, u8)> {
    let header = bytes.get(l3..l3 + 20)?;
    let ihl = usize::from(header[0] & 15) * 4;
    let later_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
    (header[0] >> 4 == 4 && ihl >= 20 && !later_fragment && bytes.len() >= l3 + ihl).then_some((l3 + ihl, header[9]))
}

fn ipv6_transport(bytes: &[u8], l3: usize) -> Option<(usize, u8)> {
    let header = bytes.get(l3..l3 + 40)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let mut next = header[6];
    let mut at = l3 + 40;
    loop {
        let ext = |n: usize| bytes.get(at..at + n);
        match next {
            // RFC 8200 §4.1: hop-by-hop, routing, destination options, and mobility share one shape.
            0 | 43 | 60 | 135 => {
                let e = ext(2)?;
                next = e[0];
                at += (usize::from(e[1]) + 1) * 8;
            }
            44 => {
                let e = ext(8)?;
                if u16::from_be_bytes([e[2], e[3]]) & 0xfff8 != 0 {
                    return None;
                }
                next = e[0];
                at += 8;
            }
            51 => {
                let e = ext(2)?;
                next = e[0];
                at += (usize::from(e[1]) + 2) * 4;
            }
            _ => return (at <= bytes.len()).then_some((at, next)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;

    #[test]
    fn offsets() {
        let udp = build::udp4([1; 6], [2; 6], 0x0a00_0001, 0x0a00_0002, 5, 6, b"hello");
        let l = Layers::of(&udp).unwrap();
        assert_eq!((l.ethertype, l.tags, l.l3, l.l4), (0x800, 0, 14, Some((34, 17))));
        for cut in 0..udp.len() {
            let _ = Layers::of(&udp[..cut]);
        }
    }
}
