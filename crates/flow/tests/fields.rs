//! Every row of the field table, and matches as text.

use flow::text::{ParseContext, parse_field, set_protocol_keyword, split_key_values};
use flow::{Field, FlowKey, Match, MiniKey, MiniMatch};

#[test]
fn every_field_has_a_place_of_its_own_width() {
    for f in Field::all() {
        let d = f.def();
        if d.key_bits == 0 {
            assert!(f.tun_metadata_index().is_some(), "{f}");
            continue;
        }
        assert!(d.key_bits == 128 || u32::from(d.shift) + u32::from(d.key_bits) <= 64, "{f}");
        let mut key = FlowKey::new();
        key.set(f, u128::MAX);
        let all = flow::text::value::ones(u32::from(d.key_bits));
        assert_eq!(key.get(f), all, "{f}");
        key.set(f, 0);
        assert!(key.is_zero(), "{f}");
        assert_eq!(Field::from_name(d.name), Some(f));
        assert!(d.alias.is_empty() || Field::from_name(d.alias) == Some(f));
    }
}

#[test]
fn sparse_forms_keep_every_word() {
    let mut key = FlowKey::new();
    for i in [0, 5, 39, 63, 64, 65, 90] {
        key.set_word(i, i as u64 + 1);
    }
    let mini = MiniKey::new(&key);
    assert_eq!(mini.map().len(), 7);
    assert_eq!(mini.expand(), key);
    for i in 0..flow::WORDS {
        assert_eq!(mini.word(i), key.word(i));
    }
    let m = Match::new(&key, &key);
    let sparse = MiniMatch::new(&m);
    assert_eq!(sparse.expand(), m);
    assert!(sparse.matches(&key) && sparse.is_within(&MiniMatch::default()) && sparse.overlaps(&sparse));
    assert!(!MiniMatch::default().is_within(&sparse));
}

fn parse(text: &str) -> Result<Match, String> {
    let mut cx = ParseContext::default();
    let mut m = Match::any();
    for (key, value) in split_key_values(text) {
        if !set_protocol_keyword(&mut m, key) {
            let f = Field::from_name(key).ok_or_else(|| format!("unknown keyword {key}"))?;
            parse_field(&mut cx, f, value, &mut m)?;
        }
    }
    Ok(m)
}

#[test]
fn matches_as_text() {
    fn check(text: &str, expect: &str) {
        let m = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(m.to_string(), expect, "{text}");
        let again = parse(expect).unwrap_or_else(|e| panic!("{expect}: {e}"));
        assert_eq!(again.to_string(), expect, "text is not stable");
    }
    check("", "");
    check("tcp,tp_dst=80,nw_src=10.1.2.3/8", "tcp,nw_src=10.0.0.0/8,tp_dst=80");
    check("dl_vlan=10,dl_vlan_pcp=3", "dl_vlan=10,dl_vlan_pcp=3");
    check("vlan_tci=0/0x1000", "vlan_tci=0x0000/0x1000");
    check("dl_type=0x86dd,nw_proto=58,icmp_type=135,nd_target=::1", "icmp6,icmp_type=135,nd_target=::1");
    check("arp,arp_op=1,arp_spa=1.2.3.4", "arp,arp_spa=1.2.3.4,arp_op=1");
    check("ct_state=+trk-new,ct_mark=5/0xff", "ct_state=-new+trk,ct_mark=0x5/0xff");
    check("xxreg0=7,reg20=4", "reg0=0,reg1=0,reg2=0,reg3=0x7,reg20=0x4");
    check("tun_metadata0=0x12/0xf0,tun_metadata3", "tun_metadata0=0x10/0xf0,tun_metadata3");
    check("tcp,tcp_flags=+syn-ack", "tcp,tcp_flags=+syn-ack");
    check("packet_type=(1,0x800),nw_src=1.2.3.4", "packet_type=(1,0x800),nw_src=1.2.3.4");
    check("ip,nw_frag=not_later,in_port=LOCAL", "ip,in_port=LOCAL,nw_frag=not_later");
}

#[test]
fn refused_matches_say_why() {
    fn check(text: &str, expect: &str) {
        assert_eq!(parse(text).err().as_deref(), Some(expect), "{text}");
    }
    check("reg0=0x100000000", "0x100000000: value too large for 4-byte field reg0");
    check("reg0=5/x", "5/x: bad syntax for reg0 mask");
    check("nw_src=1.2.3", "1.2.3: invalid IP address");
    check("conj_id=4/0xff", "4/0xff: invalid mask for field conj_id");
    check("tcp_flags=bogus", "bogus: unknown TCP flag(s)");
    check("in_port=bogus", "bogus: invalid or unknown port for in_port");
    check("packet_type=1", "1: bad syntax for packet type missing '('");
}
