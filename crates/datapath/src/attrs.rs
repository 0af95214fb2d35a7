//! The table of key attributes: which fields each has, where they sit in the key, and how they are written.

use crate::action::SetAttr;

/// How a member is written; a partial mask follows a slash in the same style, but for [`Style::Dec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Decimal, mask hexadecimal.
    Dec,
    /// Hexadecimal with `0x`, zero as `0`.
    Hex,
    /// Ethernet address.
    Mac,
    /// IPv4 address.
    Ip4,
    /// IPv6 address.
    Ip6,
    /// `no`, `first`, `later`.
    Frag,
}

/// A member of an attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub name: &'static str,
    pub word: usize,
    pub shift: u32,
    pub bits: u32,
    pub style: Style,
}

const fn m(name: &'static str, word: usize, shift: u32, bits: u32, style: Style) -> Member {
    Member { name, word, shift, bits, style }
}

/// A header attribute.
#[derive(Debug)]
pub(crate) struct Attr {
    pub name: &'static str,
    pub members: &'static [Member],
    /// What `set(…)` of it sets; `None`: cannot be set.
    pub set: Option<SetAttr>,
}

use Style::{Dec, Frag, Hex, Ip4, Ip6, Mac};

const ETH: &[Member] = &[m("src", 40, 16, 48, Mac), m("dst", 39, 16, 48, Mac)];
const VLAN: &[Member] = &[m("vid", 41, 32, 12, Dec), m("pcp", 41, 45, 3, Dec)];
const MPLS: &[Member] =
    &[m("label", 42, 44, 20, Dec), m("tc", 42, 41, 3, Dec), m("ttl", 42, 32, 8, Dec), m("bos", 42, 40, 1, Dec)];
const IPV4: &[Member] = &[
    m("src", 44, 32, 32, Ip4),
    m("dst", 44, 0, 32, Ip4),
    m("proto", 49, 24, 8, Dec),
    m("tos", 49, 16, 8, Hex),
    m("ttl", 49, 8, 8, Dec),
    m("frag", 49, 0, 8, Frag),
];
const IPV6: &[Member] = &[
    m("src", 45, 0, 128, Ip6),
    m("dst", 47, 0, 128, Ip6),
    m("label", 49, 32, 20, Hex),
    m("proto", 49, 24, 8, Dec),
    m("tclass", 49, 16, 8, Hex),
    m("hlimit", 49, 8, 8, Dec),
    m("frag", 49, 0, 8, Frag),
];
const PORTS: &[Member] = &[m("src", 57, 48, 16, Dec), m("dst", 57, 32, 16, Dec)];
const ICMP: &[Member] = &[m("type", 57, 48, 8, Dec), m("code", 57, 32, 8, Dec)];
const ARP: &[Member] = &[
    m("sip", 44, 32, 32, Ip4),
    m("tip", 44, 0, 32, Ip4),
    m("op", 49, 24, 8, Dec),
    m("sha", 52, 16, 48, Mac),
    m("tha", 53, 16, 48, Mac),
];
const ND: &[Member] = &[m("target", 50, 0, 128, Ip6), m("sll", 52, 16, 48, Mac), m("tll", 53, 16, 48, Mac)];
const ND_EXT: &[Member] = &[m("nd_reserved", 57, 0, 32, Hex), m("nd_options_type", 52, 0, 8, Dec)];
const NSH: &[Member] = &[
    m("flags", 54, 56, 8, Dec),
    m("ttl", 54, 48, 8, Dec),
    m("mdtype", 54, 40, 8, Dec),
    m("np", 54, 32, 8, Dec),
    m("spi", 54, 8, 24, Hex),
    m("si", 54, 0, 8, Dec),
    m("c1", 55, 32, 32, Hex),
    m("c2", 55, 0, 32, Hex),
    m("c3", 56, 32, 32, Hex),
    m("c4", 56, 0, 32, Hex),
];
const TUPLE4: &[Member] = &[
    m("src", 32, 32, 32, Ip4),
    m("dst", 32, 0, 32, Ip4),
    m("proto", 37, 24, 8, Dec),
    m("tp_src", 37, 48, 16, Dec),
    m("tp_dst", 37, 32, 16, Dec),
];
const TUPLE6: &[Member] = &[
    m("src", 33, 0, 128, Ip6),
    m("dst", 35, 0, 128, Ip6),
    m("proto", 37, 24, 8, Dec),
    m("tp_src", 37, 48, 16, Dec),
    m("tp_dst", 37, 32, 16, Dec),
];
/// Members of `tunnel(…)`; its flags and options are apart.
pub(crate) const TUNNEL: &[Member] = &[
    m("tun_id", 1, 0, 64, Hex),
    m("src", 2, 32, 32, Ip4),
    m("dst", 2, 0, 32, Ip4),
    m("ipv6_src", 3, 0, 128, Ip6),
    m("ipv6_dst", 5, 0, 128, Ip6),
    m("tos", 7, 40, 8, Hex),
    m("ttl", 7, 32, 8, Dec),
    m("tp_src", 8, 48, 16, Dec),
    m("tp_dst", 8, 32, 16, Dec),
];

/// Header attributes, in no order.
pub(crate) const ATTRS: &[Attr] = &[
    Attr { name: "recirc_id", members: &[m("", 26, 0, 32, Hex)], set: None },
    Attr { name: "dp_hash", members: &[m("", 28, 32, 32, Hex)], set: None },
    Attr { name: "skb_priority", members: &[m("", 27, 32, 32, Hex)], set: Some(SetAttr::Priority) },
    Attr { name: "skb_mark", members: &[m("", 27, 0, 32, Hex)], set: Some(SetAttr::Mark) },
    Attr { name: "ct_zone", members: &[m("", 29, 16, 16, Hex)], set: None },
    Attr { name: "ct_mark", members: &[m("", 29, 32, 32, Hex)], set: None },
    Attr { name: "ct_label", members: &[m("", 30, 0, 128, Hex)], set: None },
    Attr { name: "ct_tuple4", members: TUPLE4, set: None },
    Attr { name: "ct_tuple6", members: TUPLE6, set: None },
    Attr { name: "eth", members: ETH, set: Some(SetAttr::Ethernet) },
    Attr { name: "vlan", members: VLAN, set: Some(SetAttr::Vlan) },
    Attr { name: "mpls", members: MPLS, set: Some(SetAttr::Mpls) },
    Attr { name: "ipv4", members: IPV4, set: Some(SetAttr::Ipv4) },
    Attr { name: "ipv6", members: IPV6, set: Some(SetAttr::Ipv6) },
    Attr { name: "tcp", members: PORTS, set: Some(SetAttr::Tcp) },
    Attr { name: "udp", members: PORTS, set: Some(SetAttr::Udp) },
    Attr { name: "sctp", members: PORTS, set: Some(SetAttr::Sctp) },
    Attr { name: "icmp", members: ICMP, set: Some(SetAttr::Icmp) },
    Attr { name: "icmpv6", members: ICMP, set: Some(SetAttr::Icmpv6) },
    Attr { name: "arp", members: ARP, set: Some(SetAttr::Arp) },
    Attr { name: "nd", members: ND, set: Some(SetAttr::Nd) },
    Attr { name: "nd_ext", members: ND_EXT, set: Some(SetAttr::NdExtensions) },
    Attr { name: "nsh", members: NSH, set: Some(SetAttr::Nsh) },
];

pub(crate) fn by_name(name: &str) -> Option<&'static Attr> {
    ATTRS.iter().find(|a| a.name == name)
}

pub(crate) fn by_set(set: SetAttr) -> Option<&'static Attr> {
    ATTRS.iter().find(|a| a.set == Some(set))
}

/// Names of tunnel flags by bit.
pub(crate) const TUNNEL_FLAGS: [(u16, &str); 4] = [
    (flow::key::TUN_F_DF, "df"),
    (flow::key::TUN_F_CSUM, "csum"),
    (flow::key::TUN_F_KEY, "key"),
    (flow::key::TUN_F_OAM, "oam"),
];
/// Names of TCP flags by bit.
pub(crate) const TCP_FLAGS: [(u16, &str); 12] = [
    (1, "fin"),
    (2, "syn"),
    (4, "rst"),
    (8, "psh"),
    (0x10, "ack"),
    (0x20, "urg"),
    (0x40, "ece"),
    (0x80, "cwr"),
    (0x100, "ns"),
    (0x200, "[200]"),
    (0x400, "[400]"),
    (0x800, "[800]"),
];
/// Names of connection states by bit.
pub(crate) const CT_STATES: [(u16, &str); 8] =
    [(1, "new"), (2, "est"), (4, "rel"), (8, "rpl"), (0x10, "inv"), (0x20, "trk"), (0x40, "snat"), (0x80, "dnat")];
