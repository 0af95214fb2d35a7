//! Packet types of OpenFlow 1.5 (§7.2.3.11): a name space and a type inside it.

use std::fmt;

/// A packet type: name space in the high 16 bits, type in the low 16 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PacketType(pub u32);

impl PacketType {
    /// Ethernet, (0,0).
    pub const ETHERNET: PacketType = PacketType(0);
    /// IPv4 without an Ethernet header, (1,0x800).
    pub const IPV4: PacketType = PacketType(0x0001_0800);
    /// IPv6 without an Ethernet header, (1,0x86dd).
    pub const IPV6: PacketType = PacketType(0x0001_86dd);
    /// MPLS, (1,0x8847).
    pub const MPLS: PacketType = PacketType(0x0001_8847);
    /// MPLS multicast, (1,0x8848).
    pub const MPLS_MCAST: PacketType = PacketType(0x0001_8848);
    /// Network service header, (1,0x894f).
    pub const NSH: PacketType = PacketType(0x0001_894f);
    /// Take the type from the header that is removed, (0,0xfffe).
    pub const NEXT_PROTOCOL: PacketType = PacketType(0x0000_fffe);

    /// From name space and type.
    pub const fn new(ns: u16, ns_type: u16) -> PacketType {
        PacketType((ns as u32) << 16 | ns_type as u32)
    }

    /// The name space: 0 ONF, 1 Ethernet types.
    pub const fn ns(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The type inside the name space.
    pub const fn ns_type(self) -> u16 {
        self.0 as u16
    }

    /// The Ethernet type if the name space is that of Ethernet types, else 0.
    pub const fn ethertype(self) -> u16 {
        if self.ns() == 1 { self.ns_type() } else { 0 }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the original: one digit stands for itself.
        if self.ns_type() < 10 {
            write!(f, "({},{})", self.ns(), self.ns_type())
        } else {
            write!(f, "({},0x{:x})", self.ns(), self.ns_type())
        }
    }
}

impl fmt::Debug for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
