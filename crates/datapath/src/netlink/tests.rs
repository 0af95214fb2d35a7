use super::*;
use crate::action_text::{format_actions, parse_actions};
use crate::key_text::{KeyStyle, NoNames, format_key, parse_key};
use netlink::attr::{Attrs, Writer};
use std::collections::BTreeSet;

fn written(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    fill(&mut w);
    w.into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn from_hex(s: &str) -> Vec<u8> {
    (0..s.len() / 2).filter_map(|i| u8::from_str_radix(&s[i * 2..i * 2 + 2], 16).ok()).collect()
}

/// An action's text, and its attributes as the kernel's other client writes them: type, colon, value.
#[track_caller]
fn check_action(text: &str, attrs: &str) {
    let actions = parse_actions(text, &NoNames).unwrap_or_else(|e| panic!("{text}: {e}"));
    let bytes = written(|w| write_actions(w, &actions, 5));
    let got: Vec<String> = Attrs(&bytes).flatten().map(|(k, v)| format!("{k}:{}", hex(v))).collect();
    assert_eq!(got.join(" "), attrs, "{text}");
    let again = read_actions(&bytes).unwrap_or_default();
    assert_eq!(format_actions(&again, &NoNames), text.replace("pid=0", "pid=5"));
    assert_eq!(written(|w| write_actions(w, &again, 5)), bytes, "{text}");
}

#[test]
fn actions_as_recorded() {
    for (text, attrs) in [
        ("1,3,4", "1:01000000 1:03000000 1:04000000"),
        ("ct", "12:"),
        (
            "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x1234,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4),pop_nsh()",
            "17:0c000100003f0103001234ff1400020000000001000000020000000300000004 18:",
        ),
        ("set(ipv4(src=1.2.3.4,ttl=9))", "11:1c000700010203040000000000000900ffffffff000000000000ff00"),
        ("set(ipv4(src=1.2.3.0/255.255.255.0))", "11:1c000700010203000000000000000000ffffff000000000000000000"),
        ("set(skb_priority(0x5)),set(skb_mark(0x7/0xff))", "3:0800020005000000 11:0c000f0007000000ff000000"),
        ("set(eth(src=02:00:00:00:00:09,dst=02:00:00:00:00:08))", "3:10000400020000000009020000000008"),
        ("meter(3)", "19:03000000"),
        ("clone(1,2)", "20:08000100010000000800010002000000"),
        ("sample(sample=50.0%,actions(1))", "6:08000100000000800c0002000800010001000000"),
        ("check_pkt_len(size=100,gt(1),le(2))", "21:06000100640000000c00020008000100010000000c0003000800010002000000"),
        ("ct_clear,trunc(100),1", "16: 13:64000000 1:01000000"),
        ("push_vlan(vid=5,pcp=1)", "4:81003005"),
        ("pop_vlan", "5:"),
    ] {
        check_action(text, attrs);
    }
}

#[test]
fn cookies_as_recorded() {
    let head = |kind: &str| format!("34000200{kind}ffff000000000000000000000000000000000000");
    let check = |text: &str, kind: &str, body: &str| {
        let full = format!("2:0800010005000000{}{body:0<48}", head(kind));
        check_action(&format!("userspace(pid=5,{text})"), &full);
    };
    check("slow_path(action)", "02000000", "20");
    check("sFlow(vid=9,pcp=7,output=4660)", "01000000", "f009000034120000");
    check("ipfix(output_port=8)", "04000000", "08");
    check(
        "flow_sample(probability=1234,collector_set_id=5,obs_domain_id=6,obs_point_id=7,output_port=8,egress)",
        "03000000",
        "d2040000050000000600000007000000080000000200",
    );
    check(
        "controller(reason=7,dont_send=0,continuation=0,recirc_id=1,rule_cookie=0,controller_id=0,max_len=65535)",
        "05000000",
        "00000700010000000000000000000000 0000ffff".replace(' ', "").as_str(),
    );
}

#[test]
fn every_action_goes_round() {
    for text in [
        "ct(commit,zone=9,mark=0x5/0xf,label=0x1122334455667788/0xffff,helper=ftp)",
        "ct(force_commit,nat(src=10.0.0.1-10.0.0.9:100-200,random))",
        "ct(commit,nat(dst=10.0.0.1,persistent,hash))",
        "ct(commit,nat(src=fe80::1-fe80::2))",
        "ct(nat)",
        "ct(commit,timeout=pol)",
        "push_mpls(label=100,tc=3,ttl=64,bos=1,eth_type=0x8847)",
        "pop_mpls(eth_type=0x800)",
        "push_eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)",
        "pop_eth",
        "hash(l4(5)),recirc(0x9)",
        "hash(sym_l4(5))",
        "drop",
        "set(ipv6(dst=fe80::1,hlimit=3))",
        "set(tcp(src=5))",
        "set(udp(src=5/0xff))",
        "set(nsh(ttl=5))",
        "set(arp(sip=1.1.1.1))",
        "set(mpls(label=5,tc=0,ttl=64,bos=1))",
    ] {
        let actions = parse_actions(text, &NoNames).unwrap_or_else(|e| panic!("{text}: {e}"));
        let bytes = written(|w| write_actions(w, &actions, 0));
        let again = read_actions(&bytes).unwrap_or_default();
        assert_eq!(format_actions(&again, &NoNames), text);
    }
}

/// A flow's text, written as key and mask and read again.
#[track_caller]
fn check_key(text: &str) {
    let (key, mut mask) = parse_key(text, &NoNames).unwrap_or_else(|e| panic!("{text}: {e}"));
    if key.packet_type() == flow::PacketType::ETHERNET {
        mask.set_packet_type_raw(0);
    }
    let key_bytes = written(|w| write_key(w, &key));
    let mask_bytes = written(|w| write_mask(w, &key, &mask));
    let read = read_key(&key_bytes).unwrap_or_default();
    let read_mask = read_mask(Some(&mask_bytes), &read, &key_bytes).unwrap_or_default();
    let style = KeyStyle { verbose: false, names: &NoNames };
    assert_eq!(format_key(&read, &read_mask, style), text);
    // A mask has attributes that the key has and no others.
    let kinds = |b: &[u8]| Attrs(b).flatten().map(|(k, _)| k).collect::<BTreeSet<u16>>();
    assert!(kinds(&mask_bytes).is_subset(&kinds(&key_bytes)), "{text}");
}

#[test]
fn keys_go_round() {
    for text in [
        "recirc_id(0),in_port(3),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)",
        "recirc_id(0x5),dp_hash(0x3/0xf),skb_priority(0x1),in_port(102),skb_mark(0x2/0xff),eth(),eth_type(0x0800),ipv4(proto=1,tos=0/0x3,frag=no),icmp(type=8,code=0)",
        "in_port(93),ct_state(-new+est+trk),ct_zone(0x5),ct_mark(0x7/0xff),ct_label(0x1),eth(),eth_type(0x0800),ipv4(src=1.2.3.4/255.255.0.0,proto=6,frag=first),tcp(src=80,dst=8080/0xff00),tcp_flags(syn|ack)",
        "in_port(105),eth(),eth_type(0x0800),ipv4(frag=later)",
        "in_port(96),eth(),eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::2,label=0x12345,proto=58,tclass=0x3,hlimit=255,frag=no),icmpv6(type=135,code=0),nd(target=fe80::5,sll=02:00:00:00:00:01,tll=02:00:00:00:00:02)",
        "in_port(97),eth(src=02:00:00:00:00:01),eth_type(0x0806),arp(sip=1.1.1.1,tip=2.2.2.2,op=1,sha=02:00:00:00:00:01,tha=02:00:00:00:00:02)",
        "in_port(98),eth(),eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x8100),vlan(vid=6,pcp=0),encap(eth_type(0x0800),ipv4(proto=17,frag=no),udp(src=1,dst=2)))",
        "tunnel(tun_id=0x5,src=1.1.1.1,dst=2.2.2.2,ttl=64,tp_src=5,tp_dst=6,flags(-df+csum+key)),in_port(90),eth(),eth_type(0x0800)",
        "in_port(94),ct_state(+trk),ct_tuple4(src=1.1.1.1,dst=2.2.2.2,proto=6,tp_src=5,tp_dst=6),eth(),eth_type(0x0800)",
    ] {
        check_key(text);
    }
}

/// Keys, masks and actions of all recorded flows: read, written, read again.
#[test]
fn recorded_flows_go_round() {
    let mut n = 0;
    for kernel in ["6.12", "7.3"] {
        let path = format!("{}/../../conformance/corpus/netlink/{kernel}/ovs_flow.hex", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let bytes = from_hex(line);
            let Ok((_, f)) = netlink::flow::Flow::parse(&bytes[16..]) else { continue };
            let Some(attrs) = f.key else { continue };
            let key = read_key(attrs).unwrap_or_else(|e| panic!("{e}: {line}"));
            let again = written(|w| write_key(w, &key));
            assert_eq!(read_key(&again), Ok(key), "{line}");
            let mask = read_mask(f.mask, &key, attrs).unwrap_or_else(|e| panic!("{e}: {line}"));
            if f.mask.is_some() {
                let again_mask = written(|w| write_mask(w, &key, &mask));
                let got = read_mask(Some(&again_mask), &key, &again).unwrap_or_default();
                let style = KeyStyle { verbose: false, names: &NoNames };
                assert_eq!(format_key(&key, &got, style), format_key(&key, &mask, style));
            }
            if let Some(actions) = f.actions {
                let read = read_actions(actions).unwrap_or_else(|e| panic!("{e}: {line}"));
                let again = written(|w| write_actions(w, &read, 0));
                assert_eq!(read_actions(&again), Ok(read), "{line}");
            }
            n += 1;
        }
    }
    assert!(n > 100, "{n}");
}

proptest::proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = read_actions(&bytes);
        if let Ok(key) = read_key(&bytes) {
            let _ = read_mask(None, &key, &bytes);
            let _ = read_mask(Some(&bytes), &key, &bytes);
        }
    }
}

#[test]
fn a_key_has_what_its_mask_has() {
    use flow::FlowKey;
    let attrs_of = |bytes: &[u8]| {
        netlink::Attrs(bytes)
            .filter_map(Result::ok)
            .filter(|(_, v)| v.iter().any(|b| *b != 0))
            .map(|(k, _)| k)
            .collect::<Vec<_>>()
    };
    let check = |change: fn(&mut FlowKey)| {
        let (key, mut mask) = (FlowKey::ZERO, FlowKey::ZERO);
        change(&mut mask);
        let has: Vec<u16> = netlink::Attrs(&written(|w| super::write_key_under(w, &key, &mask)))
            .filter_map(Result::ok)
            .map(|(k, _)| k)
            .collect();
        let wanted = attrs_of(&written(|w| write_mask(w, &key, &mask)));
        assert!(!wanted.is_empty() && wanted.iter().all(|k| has.contains(k)), "{wanted:?} in {has:?}");
    };
    check(|m| m.set_ct_state(0x20));
    check(|m| m.set_ct_zone(u16::MAX));
    check(|m| m.set_ct_mark(7));
    check(|m| m.set_ct_label(1 << 100));
    check(|m| m.set_recirc_id(u32::MAX));
    check(|m| m.set_dp_hash(15));
    check(|m| m.set_pkt_mark(1));
}
