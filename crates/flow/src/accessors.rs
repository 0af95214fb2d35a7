//! Typed accessors of the flow key, one row for each place: name, setter, type, word, shift, width, meaning.

use std::net::{Ipv4Addr, Ipv6Addr};

use wire::EthAddr;

use crate::key::FlowKey;

/// A type that is stored as the low bits of a word.
trait Bits {
    fn from_word(w: u64) -> Self;
    fn to_word(self) -> u64;
}

macro_rules! integer_bits {
    ($($t:ty),*) => {$(
        impl Bits for $t {
            #[inline]
            fn from_word(w: u64) -> $t {
                w as $t
            }
            #[inline]
            fn to_word(self) -> u64 {
                u64::from(self)
            }
        }
    )*};
}
integer_bits!(u8, u16, u32, u64);

impl Bits for Ipv4Addr {
    #[inline]
    fn from_word(w: u64) -> Ipv4Addr {
        Ipv4Addr::from_bits(w as u32)
    }
    #[inline]
    fn to_word(self) -> u64 {
        u64::from(self.to_bits())
    }
}

impl Bits for EthAddr {
    #[inline]
    fn from_word(w: u64) -> EthAddr {
        EthAddr::from_u64(w)
    }
    #[inline]
    fn to_word(self) -> u64 {
        self.to_u64()
    }
}

macro_rules! accessors {
    ($($get:ident $set:ident $t:ty, $word:literal $shift:literal $bits:literal, $doc:literal;)*) => {
        impl FlowKey {$(
            #[doc = concat!("Gets: ", $doc, ".")]
            #[inline]
            pub fn $get(&self) -> $t {
                <$t as Bits>::from_word(self.bits($word, $shift, $bits))
            }

            #[doc = concat!("Sets: ", $doc, "; bits that do not fit are dropped.")]
            #[inline]
            pub fn $set(&mut self, value: $t) {
                self.put($word, $shift, $bits, value.to_word());
            }
        )*}
    };
}

macro_rules! wide_accessors {
    ($($get:ident $set:ident $t:ty, $word:literal, $doc:literal;)*) => {
        impl FlowKey {$(
            #[doc = concat!("Gets: ", $doc, ".")]
            #[inline]
            pub fn $get(&self) -> $t {
                self.pair($word).into()
            }

            #[doc = concat!("Sets: ", $doc, ".")]
            #[inline]
            pub fn $set(&mut self, value: $t) {
                self.put_pair($word, value.into());
            }
        )*}
    };
}

#[rustfmt::skip]
accessors! {
    metadata set_metadata u64, 0 0 64, "OpenFlow metadata";
    tun_id set_tun_id u64, 1 0 64, "tunnel key";
    tun_src set_tun_src Ipv4Addr, 2 32 32, "outer IPv4 source";
    tun_dst set_tun_dst Ipv4Addr, 2 0 32, "outer IPv4 destination";
    tun_flags set_tun_flags u16, 7 48 16, "tunnel flags (see the `TUN_F_*` constants)";
    tun_tos set_tun_tos u8, 7 40 8, "outer type of service";
    tun_ttl set_tun_ttl u8, 7 32 8, "outer time to live";
    tun_gbp_id set_tun_gbp_id u16, 7 16 16, "VXLAN group policy id";
    tun_gbp_flags set_tun_gbp_flags u8, 7 8 8, "VXLAN group policy flags";
    tun_erspan_ver set_tun_erspan_ver u8, 7 0 8, "ERSPAN version";
    tun_tp_src set_tun_tp_src u16, 8 48 16, "outer UDP source port (not a match field)";
    tun_tp_dst set_tun_tp_dst u16, 8 32 16, "outer UDP destination port (not a match field)";
    tun_gtpu_flags set_tun_gtpu_flags u8, 8 24 8, "GTP-U flags";
    tun_gtpu_msgtype set_tun_gtpu_msgtype u8, 8 16 8, "GTP-U message type";
    tun_erspan_dir set_tun_erspan_dir u8, 8 8 8, "ERSPAN direction";
    tun_erspan_hwid set_tun_erspan_hwid u8, 8 0 8, "ERSPAN hardware id";
    tun_erspan_idx set_tun_erspan_idx u32, 9 32 32, "ERSPAN index";
    in_port_raw set_in_port_raw u32, 26 32 32, "input port, of either kind";
    recirc_id set_recirc_id u32, 26 0 32, "recirculation id";
    skb_priority set_skb_priority u32, 27 32 32, "packet priority of the output queue";
    pkt_mark set_pkt_mark u32, 27 0 32, "packet mark";
    dp_hash set_dp_hash u32, 28 32 32, "hash computed by the datapath";
    conj_id set_conj_id u32, 28 0 32, "conjunction id";
    ct_mark set_ct_mark u32, 29 32 32, "connection mark";
    ct_zone set_ct_zone u16, 29 16 16, "connection tracking zone";
    ct_state set_ct_state u16, 29 0 16, "connection state (see the `CS_*` constants)";
    ct_nw_src set_ct_nw_src Ipv4Addr, 32 32 32, "IPv4 source of the original direction";
    ct_nw_dst set_ct_nw_dst Ipv4Addr, 32 0 32, "IPv4 destination of the original direction";
    ct_tp_src set_ct_tp_src u16, 37 48 16, "transport source of the original direction";
    ct_tp_dst set_ct_tp_dst u16, 37 32 16, "transport destination of the original direction";
    ct_nw_proto set_ct_nw_proto u8, 37 24 8, "IP protocol of the original direction";
    actset_output_raw set_actset_output_raw u32, 38 32 32, "output port of the action set";
    packet_type_raw set_packet_type_raw u32, 38 0 32, "packet type, (0,0) being Ethernet";
    eth_dst set_eth_dst EthAddr, 39 16 48, "Ethernet destination";
    eth_type set_eth_type u16, 39 0 16, "Ethernet type after VLAN tags, or 0x5ff for frames without one";
    eth_src set_eth_src EthAddr, 40 16 48, "Ethernet source";
    nw_src set_nw_src Ipv4Addr, 44 32 32, "IPv4 source, or ARP sender protocol address";
    nw_dst set_nw_dst Ipv4Addr, 44 0 32, "IPv4 destination, or ARP target protocol address";
    ipv6_label set_ipv6_label u32, 49 32 32, "IPv6 flow label, 20 bits";
    nw_proto set_nw_proto u8, 49 24 8, "IP protocol, or the low byte of the ARP operation";
    nw_tos set_nw_tos u8, 49 16 8, "IP type of service: DSCP and ECN";
    nw_ttl set_nw_ttl u8, 49 8 8, "IP time to live";
    nw_frag set_nw_frag u8, 49 0 8, "fragment bits (see `FRAG_ANY`, `FRAG_LATER`)";
    arp_sha set_arp_sha EthAddr, 52 16 48, "ARP sender hardware address, or ND source link-layer address";
    tcp_flags set_tcp_flags u16, 52 0 16, "TCP flags, 12 bits; for ND the option type";
    arp_tha set_arp_tha EthAddr, 53 16 48, "ARP target hardware address, or ND target link-layer address";
    nsh_flags set_nsh_flags u8, 54 56 8, "NSH flags";
    nsh_ttl set_nsh_ttl u8, 54 48 8, "NSH time to live";
    nsh_mdtype set_nsh_mdtype u8, 54 40 8, "NSH metadata type";
    nsh_np set_nsh_np u8, 54 32 8, "NSH next protocol";
    nsh_spi set_nsh_spi u32, 54 8 24, "NSH service path id";
    nsh_si set_nsh_si u8, 54 0 8, "NSH service index";
    tp_src set_tp_src u16, 57 48 16, "TCP, UDP, SCTP source port, or ICMP type";
    tp_dst set_tp_dst u16, 57 32 16, "TCP, UDP, SCTP destination port, or ICMP code";
    igmp_group set_igmp_group u32, 57 0 32, "IGMP group address; for ND the reserved word";
}

#[rustfmt::skip]
wide_accessors! {
    tun_ipv6_src set_tun_ipv6_src Ipv6Addr, 3, "outer IPv6 source";
    tun_ipv6_dst set_tun_ipv6_dst Ipv6Addr, 5, "outer IPv6 destination";
    ct_label set_ct_label u128, 30, "connection label";
    ct_ipv6_src set_ct_ipv6_src Ipv6Addr, 33, "IPv6 source of the original direction";
    ct_ipv6_dst set_ct_ipv6_dst Ipv6Addr, 35, "IPv6 destination of the original direction";
    ipv6_src set_ipv6_src Ipv6Addr, 45, "IPv6 source";
    ipv6_dst set_ipv6_dst Ipv6Addr, 47, "IPv6 destination";
    nd_target set_nd_target Ipv6Addr, 50, "neighbour discovery target";
}
