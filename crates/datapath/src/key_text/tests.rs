use super::*;

fn check(input: &str, verbose: bool, expect: &str) {
    let (key, mask) = parse_key(input, &NoNames).unwrap_or_else(|e| panic!("{input}: {e}"));
    assert_eq!(format_key(&key, &mask, KeyStyle { verbose, names: &NoNames }), expect, "{input}");
}

fn same(input: &str) {
    check(input, false, input);
}

#[test]
fn round_trips() {
    for text in [
        "recirc_id(0),in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x8100),vlan(vid=10,pcp=2),encap(eth_type(0x0800),ipv4(src=1.1.1.0/255.255.255.0,dst=2.2.2.2,proto=6,tos=0/0x3,ttl=64,frag=no),tcp(src=1/0xff,dst=2),tcp_flags(+syn-ack))",
        "recirc_id(0x5),dp_hash(0x3/0x7),skb_priority(0x2),in_port(1),skb_mark(0x1/0x1),ct_state(+est-inv+trk),ct_zone(0x5),ct_mark(0x5/0xff),ct_label(0x1/0xf),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0806),arp(sip=1.1.1.1,tip=1.1.1.2,op=1,sha=00:00:00:00:00:01,tha=00:00:00:00:00:00)",
        "recirc_id(0),tunnel(tun_id=0x5/0xff,src=1.1.1.1,dst=2.2.2.2,ttl=64,flags(-df+csum+key)),in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x1234)",
        "recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)",
        "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x86dd),ipv6(src=fe80::/ffff::,dst=2001::1,label=0/0xf0,proto=58,tclass=0/0x3,frag=no),icmpv6(type=135,code=0),nd(target=2001::/ffff::,sll=00:00:00:00:00:01,tll=00:00:00:00:00:00)",
        "recirc_id(0),in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=1)",
    ] {
        same(text);
    }
}

#[test]
fn verbose_shows_what_is_not_matched() {
    check(
        "in_port(1),packet_type(ns=0,id=0),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),ipv4(src=1.1.1.1/0.0.0.0,dst=2.2.2.2/0.0.0.0,proto=6/0,tos=0/0,ttl=64/0,frag=no),tcp(src=1/0,dst=2/0),tcp_flags(0/0)",
        true,
        "recirc_id(0/0),dp_hash(0/0),skb_priority(0/0),in_port(1),skb_mark(0/0),ct_state(0/0),ct_zone(0/0),ct_mark(0/0),ct_label(0/0),packet_type(ns=0,id=0),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),ipv4(src=1.1.1.1/0.0.0.0,dst=2.2.2.2/0.0.0.0,proto=6/0,tos=0/0,ttl=64/0,frag=no),tcp(src=1/0,dst=2/0),tcp_flags(0/0)",
    );
}

#[test]
fn bad_texts_are_refused() {
    for text in [
        "in_port",
        "in_port(",
        "in_port(x)",
        "eth(src=1)",
        "foo(1)",
        "ipv4(src=1.2.3)",
        "vlan(vid=5000)",
        ")",
        "tcp_flags(+foo)",
        "tunnel(x)",
    ] {
        assert!(parse_key(text, &NoNames).is_err(), "{text}");
    }
}

#[test]
fn faults_are_where_the_text_goes_wrong() {
    let check = |text, want| assert_eq!(fault(text, &NoNames), want, "{text}");
    check("in_port(1),nosuch(2)", "nosuch(2)");
    check("in_port(1),eth(),nosuch(2),ipv4()", "nosuch(2),ipv4()");
    check("in_port(1),ipv4(src=1.1.1.1,foo=3)", "ipv4(src=1.1.1.1,foo=3)");
    check("  in_port(1) eth() foo", "foo");
    check("in_port(1,eth()", "in_port(1,eth()");
}
