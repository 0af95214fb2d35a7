//! Packets to fields, whole and damaged.

use flow::{FlowKey, Metadata, compose, extract, match_of_packet};
use proptest::prelude::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

#[test]
fn headers() {
    fn check(hex: &str, expect: &str) {
        let key = extract(&bytes(hex), &Metadata::default());
        assert_eq!(match_of_packet(&key).to_string(), expect, "{hex}");
    }
    let eth = "50540000000a 50540000000b";
    check(
        &format!(
            "{eth} 8100600a 0800 45000028000040004006000001020304 05060708 0050 1f90 00000000 00000000 5012 0000 0000 0000"
        ),
        "tcp,dl_vlan=10,dl_vlan_pcp=3,vlan_tci1=0x0000,dl_src=50:54:00:00:00:0b,dl_dst=50:54:00:00:00:0a,nw_src=1.2.3.4,nw_dst=5.6.7.8,\
         nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=80,tp_dst=8080,tcp_flags=syn|ack",
    );
    check(
        &format!("{eth} 0806 0001 0800 06 04 0001 50540000000b 01020304 000000000000 05060708"),
        "arp,vlan_tci=0x0000,dl_src=50:54:00:00:00:0b,dl_dst=50:54:00:00:00:0a,arp_spa=1.2.3.4,arp_tpa=5.6.7.8,arp_op=1,\
         arp_sha=50:54:00:00:00:0b,arp_tha=00:00:00:00:00:00",
    );
    // IEEE 802.3 without SNAP has no Ethernet type.
    check(
        &format!("{eth} 0010 4242030000000000000000000000000000"),
        "vlan_tci=0x0000,dl_src=50:54:00:00:00:0b,dl_dst=50:54:00:00:00:0a,dl_type=0x05ff",
    );
    // A total length beyond the packet: addresses are not believed.
    check(
        &format!("{eth} 0800 450000ff000000004006000001020304 05060708"),
        "ip,vlan_tci=0x0000,dl_src=50:54:00:00:00:0b,dl_dst=50:54:00:00:00:0a,nw_src=0.0.0.0,nw_dst=0.0.0.0,nw_proto=0,\
         nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no",
    );
}

proptest! {
    #[test]
    fn no_packet_is_too_strange(packet in prop::collection::vec(any::<u8>(), 0..200)) {
        extract(&packet, &Metadata::default());
    }

    #[test]
    fn composed_packets_have_their_fields(
        eth in prop::sample::select(vec![0x0800u16, 0x86dd]),
        proto in prop::sample::select(vec![6u8, 17, 132]),
        tos: u8, ttl: u8, src: u16, dst: u16, flags in 0u16..0x1000, vid in 0u16..0x1000, tagged: bool,
        a: u128, b: u128, payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut key = FlowKey::new();
        key.set_eth_type(eth);
        if tagged {
            key.set_vlan_tpid(0, 0x8100);
            key.set_vlan_tci(0, vid | flow::key::VLAN_CFI);
        }
        if eth == 0x0800 {
            key.set_nw_src((a as u32).into());
            key.set_nw_dst((b as u32).into());
        } else {
            key.set_ipv6_src(a.into());
            key.set_ipv6_dst(b.into());
        }
        key.set_nw_proto(proto);
        key.set_nw_tos(tos);
        key.set_nw_ttl(ttl);
        key.set_tp_src(src);
        key.set_tp_dst(dst);
        if proto == 6 {
            key.set_tcp_flags(flags);
        }
        prop_assert_eq!(extract(&compose(&key, flow::Payload::Fill(&payload)), &Metadata::default()), key);
    }
}
