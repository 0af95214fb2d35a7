use std::collections::HashMap;
use std::sync::Arc;

use clock::Instant;
use datapath::action_text::format_actions;
use datapath::key_text::NoNames;
use datapath::{DpAction, Features};
use flow::key::VLAN_CFI;
use flow::{DpPort, Field, FieldValue, FlowKey, Match, MiniMatch, OfPort, Subfield};
use openflow::TableId;
use openflow::action::{Action, Move, Resubmit, SetField, SetFieldForm};
use proptest::prelude::*;
use wire::EthAddr;

use crate::view::{BridgeConfig, Bundle, BundleId, Counters, Port, Timeouts, VlanMode, VlanSet};
use crate::{Bridge, BridgeId, Effect, Network, Request, Rule, RuleData, Start, Xlate, translate};

/// A bridge with ports 1 to 4 (datapath numbers 11 to 14), each a bundle of its own, and LOCAL (10).
fn network(change: impl FnOnce(&mut BridgeConfig)) -> Network {
    let mut config = BridgeConfig { id: BridgeId(1), name: "br0".into(), ..BridgeConfig::default() };
    for (of, dp) in [(OfPort::LOCAL, 10), (OfPort(1), 11), (OfPort(2), 12), (OfPort(3), 13), (OfPort(4), 14)] {
        let bundle = BundleId(of.0.into());
        let name = format!("p{}", of.0);
        let port = Port { of, dp: Some(DpPort(dp)), name: name.clone(), bundle, up: true, ..Port::default() };
        config.ports.insert(of, port);
        config.bundles.insert(bundle, Bundle { id: bundle, name, ports: vec![of], ..Bundle::default() });
        config.flood_order.push(bundle);
    }
    change(&mut config);
    let mut net = Network::empty(Features::all());
    net.bridges.insert(config.id, Arc::new(Bridge::new(config)));
    net
}

fn bridge(net: &Network) -> &Arc<Bridge> {
    &net.bridges[&BridgeId(1)]
}

fn add(net: &Network, table: u8, priority: u32, matching: &Match, actions: Vec<Action>) {
    let data = RuleData {
        table: TableId(table),
        cookie: 0,
        clauses: RuleData::clauses_of(&actions),
        actions: actions.into(),
        flags: 0,
        importance: 0,
        timeouts: Arc::new(Timeouts::default()),
        created: Instant::ZERO,
        born: 1,
        modified: Instant::ZERO,
        stats: Arc::new(Counters::default()),
        hidden: false,
    };
    let rule = Arc::new(Rule::new(MiniMatch::new(matching), priority, 0, data));
    bridge(net).tables[usize::from(table)].rules.insert(rule);
}

fn output(port: u32) -> Action {
    Action::Output { port: OfPort(port), max_len: 0 }
}

fn resubmit(table: u8) -> Action {
    Action::Resubmit(Resubmit { in_port: OfPort::IN_PORT, table: TableId(table), with_ct: false, plain: false })
}

fn set(field: Field, value: u128, mask: u128) -> Action {
    let (value, mask) = (FieldValue::Int(value & mask), FieldValue::Int(mask));
    Action::SetField(Box::new(SetField { field, value, mask, form: SetFieldForm::SetField, flow_has_vlan: false }))
}

fn tcp(in_port: u32) -> FlowKey {
    let mut key = FlowKey::ZERO;
    key.set_in_port(OfPort(in_port));
    key.set_eth_src("50:54:00:00:00:01".parse().unwrap());
    key.set_eth_dst("50:54:00:00:00:02".parse().unwrap());
    key.set_eth_type(0x800);
    key.set_nw_proto(6);
    key.set_nw_ttl(64);
    key.set_nw_src([10, 0, 0, 1].into());
    key.set_nw_dst([10, 0, 0, 2].into());
    key.set_tp_src(1000);
    key.set_tp_dst(80);
    key
}

fn run(net: &Network, key: &FlowKey) -> Xlate {
    translate(net, &Request::packet(BridgeId(1), *key, None, Instant::ZERO))
}

fn text(x: &Xlate) -> String {
    format_actions(&x.actions, &NoNames)
}

/// One rule in table 0 with these actions.
fn check(actions: Vec<Action>, expect: &str) {
    let net = network(|_| {});
    add(&net, 1, 1, &Match::any(), vec![output(4)]);
    add(&net, 0, 1, &Match::any(), actions);
    assert_eq!(text(&run(&net, &tcp(1))), expect);
}

#[test]
fn outputs() {
    check(vec![output(2), output(3)], "12,13");
    check(vec![], "drop");
    check(vec![output(1)], "drop");
    check(vec![output(9)], "drop");
    check(vec![Action::Output { port: OfPort::IN_PORT, max_len: 0 }], "11");
    check(vec![Action::Output { port: OfPort::FLOOD, max_len: 0 }], "14,10,12,13");
    check(vec![Action::Output { port: OfPort::LOCAL, max_len: 0 }], "10");
    check(vec![Action::OutputTrunc { port: OfPort(2), max_len: 100 }, output(3)], "trunc(100),12,13");
    check(vec![resubmit(1), output(2)], "14,12");
    check(vec![Action::Exit, output(2)], "drop");
    check(vec![Action::WriteActions(vec![output(2)].into()), Action::GotoTable(TableId(1))], "14,12");
    check(vec![Action::WriteActions(vec![output(2)].into()), Action::ClearActions], "drop");
}

#[test]
fn changed_fields_are_set_before_output() {
    check(
        vec![
            Action::DecTtl { ids: [0].into(), with_ids: false },
            set(Field::IP_DST, 0x0102_0304, u128::from(u32::MAX)),
            Action::SetEthDst(EthAddr::from_u64(9)),
            output(2),
            output(3),
        ],
        "set(eth(dst=00:00:00:00:00:09)),set(ipv4(dst=1.2.3.4,ttl=63)),12,13",
    );
    check(vec![set(Field::ETH_DST, 5, 0xff), output(2)], "set(eth(dst=00:00:00:00:00:05/00:00:00:00:00:ff)),12");
    let mv = Move { src: Subfield::whole(Field::IP_SRC), dst: Subfield::whole(Field::IP_DST), copy_field: false };
    check(vec![Action::Move(Box::new(mv)), output(2)], "set(ipv4(dst=10.0.0.1)),12");
    check(vec![Action::SetL4Dst { port: 81, ip_proto: 6 }, output(2)], "set(tcp(dst=81)),12");
    check(vec![set(Field::UDP_DST, 81, 0xffff), output(2)], "12");
}

#[test]
fn tags() {
    let vid = |vid| Action::SetVlanVid { vid, push_if_needed: true, flow_has_vlan: false };
    check(vec![vid(5), output(2)], "push_vlan(vid=5,pcp=0),12");
    check(vec![vid(5), Action::StripVlan { pop: false }, output(2)], "12");
    check(
        vec![
            Action::PushVlan(0x8100),
            set(Field::VLAN_VID, 0x1009, 0x1fff),
            output(2),
            Action::StripVlan { pop: true },
            output(3),
        ],
        "push_vlan(vid=9,pcp=0),12,pop_vlan,13",
    );
    check(
        vec![Action::PushVlan(0x88a8), vid(7), Action::PushVlan(0x8100), output(2)],
        "push_vlan(tpid=0x88a8,vid=7,pcp=0),push_vlan(vid=0,pcp=0),12",
    );
}

#[test]
fn labels() {
    check(vec![Action::PushMpls(0x8847), output(2)], "push_mpls(label=0,tc=0,ttl=64,bos=1,eth_type=0x8847),12");
    check(
        vec![Action::PushMpls(0x8847), Action::SetMplsLabel(100), Action::PushMpls(0x8847), output(2)],
        "push_mpls(label=100,tc=0,ttl=64,bos=1,eth_type=0x8847),push_mpls(label=100,tc=0,ttl=64,bos=0,eth_type=0x8847),12",
    );
}

#[test]
fn copies() {
    check(
        vec![Action::Clone(vec![Action::SetEthDst(EthAddr::from_u64(9)), output(2)].into()), output(3)],
        "set(eth(dst=00:00:00:00:00:09)),12,set(eth(dst=50:54:00:00:00:02)),13",
    );
    check(
        vec![
            Action::CheckPktLarger { dst: Subfield { field: Field::REG0, ofs: 0, n_bits: 1 }, len: 1500 },
            resubmit(1),
        ],
        "check_pkt_len(size=1500,gt(14),le(14))",
    );
}

#[test]
fn recursion_ends() {
    let net = network(|_| {});
    add(&net, 0, 1, &Match::any(), vec![output(2), resubmit(0)]);
    let x = run(&net, &tcp(1));
    assert_eq!(x.error.map(|e| e.text()), Some("Recursion too deep"));
    assert_eq!(text(&x), "drop");
}

fn normal(net: &Network, key: &FlowKey) -> String {
    if bridge(net).tables[0].rules.is_empty() {
        add(net, 0, 0, &Match::any(), vec![Action::Output { port: OfPort::NORMAL, max_len: 0 }]);
    }
    let x = run(net, key);
    for effect in &x.effects {
        if let Effect::LearnMac { vlan, mac, bundle, .. } = effect {
            bridge(net).macs().learn(Instant::ZERO, *vlan, *mac, *bundle);
        }
    }
    text(&x)
}

fn tagged(mut key: FlowKey, vid: u16) -> FlowKey {
    key.set_vlan_tci(0, vid | VLAN_CFI);
    key.set_vlan_tpid(0, 0x8100);
    key
}

fn reply(key: &FlowKey, in_port: u32) -> FlowKey {
    let mut back = *key;
    back.set_in_port(OfPort(in_port));
    back.set_eth_src(key.eth_dst());
    back.set_eth_dst(key.eth_src());
    back
}

#[test]
fn normal_learns_and_floods() {
    let net = network(|_| {});
    assert_eq!(normal(&net, &tcp(1)), "10,12,13,14");
    assert_eq!(normal(&net, &reply(&tcp(1), 2)), "11");
    assert_eq!(normal(&net, &tcp(1)), "12");
    assert_eq!(normal(&net, &tcp(2)), "drop");
    let mut bpdu = tcp(1);
    bpdu.set_eth_dst("01:80:c2:00:00:00".parse().unwrap());
    assert_eq!(normal(&net, &bpdu), "drop");
}

#[test]
fn normal_separates_vlans() {
    let net = network(|c| {
        for (port, mode, tag) in [(1, VlanMode::Access, 10), (2, VlanMode::Access, 10), (3, VlanMode::Access, 20)] {
            let b = c.bundles.get_mut(&BundleId(port)).unwrap();
            (b.vlan_mode, b.tag) = (mode, tag);
        }
        let b = c.bundles.get_mut(&BundleId(4)).unwrap();
        (b.vlan_mode, b.tag, b.trunks) = (VlanMode::NativeUntagged, 20, Some(VlanSet::from_iter([10])));
    });
    assert_eq!(normal(&net, &tcp(1)), "push_vlan(vid=10,pcp=0),10,pop_vlan,12,push_vlan(vid=10,pcp=0),14");
    assert_eq!(normal(&net, &tcp(3)), "push_vlan(vid=20,pcp=0),10,pop_vlan,14");
    assert_eq!(normal(&net, &tagged(tcp(1), 10)), "drop");
    assert_eq!(normal(&net, &tagged(reply(&tcp(1), 4), 10)), "pop_vlan,11");
    assert_eq!(normal(&net, &tagged(tcp(4), 30)), "drop");
}

#[test]
fn normal_tunnels_tags() {
    let net = network(|c| {
        let b = c.bundles.get_mut(&BundleId(1)).unwrap();
        (b.vlan_mode, b.tag) = (VlanMode::Dot1qTunnel, 100);
        c.flood_order = vec![BundleId(1), BundleId(4)];
    });
    assert_eq!(normal(&net, &tagged(tcp(1), 5)), "push_vlan(tpid=0x88a8,vid=100,pcp=0),14");
    let mut back = tagged(reply(&tcp(1), 4), 100);
    back.set_vlan_tpid(0, 0x88a8);
    back.set_vlan_tci(1, 5 | VLAN_CFI);
    back.set_vlan_tpid(1, 0x8100);
    assert_eq!(normal(&net, &back), "pop_vlan,11");
}

#[test]
fn protected_ports_do_not_talk() {
    let net = network(|c| {
        for port in [1, 2] {
            c.bundles.get_mut(&BundleId(port)).unwrap().protected = true;
        }
    });
    assert_eq!(normal(&net, &tcp(1)), "10,13,14");
    assert_eq!(normal(&net, &reply(&tcp(1), 2)), "drop");
}

#[test]
fn mirrors_copy() {
    let net = network(|c| {
        c.mirrors = vec![crate::view::Mirror {
            src: vec![BundleId(1)],
            dst: vec![BundleId(1)],
            out_bundle: Some(BundleId(4)),
            ..Default::default()
        }];
    });
    assert_eq!(normal(&net, &tcp(1)), "14,10,12,13");
    assert_eq!(normal(&net, &reply(&tcp(1), 2)), "11,14");
    // The port that copies go to takes nothing, whatever flows say.
    assert_eq!(normal(&net, &tcp(4)), "drop");
    add(&net, 0, 1, &Match::any(), vec![output(2)]);
    assert_eq!(text(&translate(&net, &Request::packet(BridgeId(1), tcp(4), None, Instant::ZERO))), "drop");
}

#[test]
fn a_flow_that_pauses_packets_pauses_all_of_them() {
    let net = network(|_| {});
    let pause = openflow::action::Controller {
        max_len: 100,
        controller_id: 0,
        reason: openflow::action::PacketInReason::Action,
        userdata: Box::from([1]),
        pause: true,
        meter_id: 0,
        form2: false,
    };
    add(&net, 0, 1, &Match::any(), vec![Action::Controller(Box::new(pause)), output(2)]);
    // The flow is looked at again later, without a packet.
    let with = |packet| text(&translate(&net, &Request::packet(BridgeId(1), tcp(1), packet, Instant::ZERO)));
    assert_eq!(with(Some(&[0; 64])), with(None));
    assert!(with(None).starts_with("userspace("), "{}", with(None));
}

#[test]
fn packet_out_runs_its_actions() {
    let net = network(|_| {});
    add(&net, 0, 1, &Match::any(), vec![output(3)]);
    let actions = [output(2), Action::Output { port: OfPort::TABLE, max_len: 0 }];
    let request = Request {
        start: Start::Actions(&actions),
        ..Request::packet(BridgeId(1), tcp(OfPort::CONTROLLER.0), None, Instant::ZERO)
    };
    assert_eq!(text(&translate(&net, &request)), "12,13");
}

#[test]
fn headers_in_front_wait_and_changes_do_not_get_lost() {
    let encap =
        |packet_type| Action::Encap(Box::new(openflow::action::Encap { packet_type, hdr_size: 0, props: Vec::new() }));
    let eth = || encap(flow::PacketType::ETHERNET);
    let dst = |a| Action::SetEthDst(EthAddr::from_u64(a));
    let decap = || Action::Decap(flow::PacketType::new(0, 0));
    check(
        vec![decap(), Action::SetIpv4Dst([1, 2, 3, 4].into()), eth(), dst(7), output(2)],
        "pop_eth,set(ipv4(dst=1.2.3.4)),push_eth(src=00:00:00:00:00:00,dst=00:00:00:00:00:07),12",
    );
    check(vec![decap(), eth()], "drop");
}

#[test]
fn patch_ports_join_bridges() {
    let mut net = network(|c| {
        let peer = Some((BridgeId(2), OfPort(1)));
        c.ports.insert(
            OfPort(5),
            Port { of: OfPort(5), name: "patch".into(), bundle: BundleId(5), up: true, peer, ..Port::default() },
        );
    });
    let mut other = BridgeConfig { id: BridgeId(2), name: "br1".into(), ..BridgeConfig::default() };
    other
        .ports
        .insert(OfPort(1), Port { of: OfPort(1), up: true, peer: Some((BridgeId(1), OfPort(5))), ..Port::default() });
    other.ports.insert(OfPort(2), Port { of: OfPort(2), dp: Some(DpPort(22)), up: true, ..Port::default() });
    net.bridges.insert(BridgeId(2), Arc::new(Bridge::new(other)));
    add(&net, 0, 1, &Match::any(), vec![Action::SetEthDst(EthAddr::from_u64(9)), output(5), output(2)]);
    let data = bridge(&net).tables[0].rules.lookup(0, &FlowKey::ZERO, None).unwrap();
    let copy = RuleData {
        table: TableId(0),
        cookie: 1,
        actions: vec![Action::SetEthSrc(EthAddr::from_u64(7)), output(2)].into(),
        clauses: Box::new([]),
        flags: 0,
        importance: 0,
        timeouts: data.data.timeouts.clone(),
        created: Instant::ZERO,
        born: 1,
        modified: Instant::ZERO,
        stats: Arc::default(),
        hidden: false,
    };
    let rule = Arc::new(Rule::new(MiniMatch::default(), 1, 0, copy));
    net.bridges[&BridgeId(2)].tables[0].rules.insert(rule);
    assert_eq!(
        text(&run(&net, &tcp(1))),
        "set(eth(src=00:00:00:00:00:07,dst=00:00:00:00:00:09)),22,set(eth(src=50:54:00:00:00:01)),12"
    );
}

#[test]
fn select_groups_recirculate_once() {
    use openflow::message::groups::{self, GroupProps, GroupType};
    let net = network(|_| {});
    let bucket = |id, port| crate::view::Bucket {
        desc: groups::Bucket {
            id,
            weight: 1,
            watch_port: OfPort::ANY,
            watch_group: openflow::GroupId::ANY,
            actions: vec![output(port)],
        },
        stats: Counters::default(),
    };
    let id = openflow::GroupId(1);
    let group = crate::view::Group {
        id,
        ty: GroupType::Select,
        buckets: vec![bucket(0, 2), bucket(1, 3)],
        props: GroupProps::default(),
        stats: Counters::default(),
        created: Instant::ZERO,
    };
    bridge(&net).groups.publish(0, Arc::new(HashMap::from([(id, Arc::new(group))])));
    add(&net, 0, 1, &Match::any(), vec![Action::Group(id), output(4)]);
    let first = run(&net, &tcp(1));
    assert_eq!(text(&first), "hash(sym_l4(0)),recirc(0x1)");
    let mut again = tcp(1);
    again.set_recirc_id(1);
    again.set_dp_hash(0x1234);
    let second = run(&net, &again);
    assert!(["12,14", "13,14"].contains(&text(&second).as_str()), "{}", text(&second));
    assert_eq!(second.mask.dp_hash(), 15);
}

fn arbitrary_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (1u32..6).prop_map(output),
        Just(Action::Output { port: OfPort::NORMAL, max_len: 0 }),
        Just(Action::Output { port: OfPort::FLOOD, max_len: 0 }),
        (0u16..3).prop_map(|vid| Action::SetVlanVid { vid, push_if_needed: true, flow_has_vlan: false }),
        Just(Action::StripVlan { pop: true }),
        Just(Action::PushVlan(0x8100)),
        Just(Action::PushMpls(0x8847)),
        Just(Action::PopMpls(0x800)),
        Just(Action::DecTtl { ids: [0].into(), with_ids: false }),
        (0u64..4).prop_map(|m| Action::SetEthDst(EthAddr::from_u64(m))),
        (0u128..4, prop_oneof![Just(3u128), Just(u128::from(u32::MAX))]).prop_map(|(v, m)| set(Field::IP_DST, v, m)),
        (0u128..3).prop_map(|v| set(Field::TCP_DST, v, 0xffff)),
        (0u128..3).prop_map(|v| set(Field::REG0, v, 0xffff_ffff)),
        Just(Action::Move(Box::new(Move {
            src: Subfield::whole(Field::IP_SRC),
            dst: Subfield::whole(Field::REG0),
            copy_field: false
        }))),
        Just(resubmit(1)),
        Just(resubmit(2)),
        Just(Action::Clone(vec![Action::SetEthDst(EthAddr::from_u64(3)), resubmit(2)].into())),
        Just(Action::WriteActions(vec![output(3), Action::StripVlan { pop: true }].into())),
    ]
}

fn arbitrary_match() -> impl Strategy<Value = Match> {
    let part = prop_oneof![
        (1u128..4).prop_map(|v| (Field::IN_PORT_OXM, v, u128::MAX)),
        (0u128..4).prop_map(|v| (Field::ETH_DST, v, u128::MAX)),
        (0u128..3).prop_map(|v| (Field::VLAN_TCI, v | 0x1000, 0x1fff)),
        Just((Field::VLAN_TCI, 0, 0x1000)),
        Just((Field::ETH_TYPE, 0x800, u128::MAX)),
        Just((Field::ETH_TYPE, 0x8847, u128::MAX)),
        (0u128..4).prop_map(|v| (Field::IP_DST, v, 3)),
        (0u128..4).prop_map(|v| (Field::IP_SRC, v, u128::MAX)),
        (0u128..3).prop_map(|v| (Field::TCP_DST, v, u128::MAX)),
        (0u128..3).prop_map(|v| (Field::REG0, v, u128::MAX)),
        (62u128..65).prop_map(|v| (Field::NW_TTL, v, u128::MAX)),
    ];
    proptest::collection::vec(part, 0..3).prop_map(|parts| {
        let mut m = Match::any();
        for (field, value, mask) in parts {
            m.set_masked(field, value, mask);
        }
        m
    })
}

fn arbitrary_key() -> impl Strategy<Value = FlowKey> {
    (
        1u32..4,
        0u64..4,
        0u64..4,
        0usize..3,
        0u16..3,
        prop_oneof![Just(6u8), Just(17)],
        0u32..4,
        (0u32..4, 0u16..3, 0u8..3),
    )
        .prop_map(|(in_port, src, dst, tags, vid, proto, nw_src, (nw_dst, port, ttl))| {
            let mut key = tcp(in_port);
            key.set_eth_src(EthAddr::from_u64(src * 2 + 8));
            key.set_eth_dst(EthAddr::from_u64(dst));
            for n in 0..tags {
                key.set_vlan_tci(n, vid | VLAN_CFI | (n as u16) << 13);
                key.set_vlan_tpid(n, 0x8100);
            }
            key.set_nw_proto(proto);
            key.set_nw_src(nw_src.into());
            key.set_nw_dst(nw_dst.into());
            key.set_tp_dst(port);
            key.set_nw_ttl([1, 63, 64][usize::from(ttl)]);
            key
        })
}

/// Packets that a datapath flow for `key` under `mask` also takes: those that agree on the mask and on how many tags
/// there are, which the Ethernet type always says.
fn within(key: &FlowKey, mask: &flow::FlowMask, other: &FlowKey) -> FlowKey {
    let mut blend = *other;
    for i in 0..flow::WORDS {
        blend.set_word(i, key.word(i) & mask.word(i) | other.word(i) & !mask.word(i));
    }
    for n in 0..2 {
        if key.vlan_tci(n) & VLAN_CFI == 0 {
            blend.set_vlan_tci(n, 0);
            blend.set_vlan_tpid(n, 0);
        } else {
            blend.set_vlan_tci(n, blend.vlan_tci(n) | VLAN_CFI);
            blend.set_vlan_tpid(n, key.vlan_tpid(n));
        }
    }
    blend
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Any packet inside the megaflow of another gets the same actions.
    #[test]
    fn megaflows_are_never_too_wide(
        rules in proptest::collection::vec((0u8..3, 0u32..4, arbitrary_match(), proptest::collection::vec(arbitrary_action(), 0..4)), 1..12),
        modes in proptest::collection::vec(0usize..4, 4),
        keys in proptest::collection::vec(arbitrary_key(), 1..6),
        learned in proptest::collection::vec((0u64..4, 0u16..3, 1u64..5), 0..4),
    ) {
        let net = network(|c| {
            for (i, &mode) in modes.iter().enumerate() {
                let b = c.bundles.get_mut(&BundleId(i as u64 + 1)).unwrap();
                b.vlan_mode = [VlanMode::Trunk, VlanMode::Access, VlanMode::NativeUntagged, VlanMode::NativeTagged][mode];
                b.tag = u16::from(mode != 0);
            }
        });
        for (mac, vlan, port) in learned {
            bridge(&net).macs().learn(Instant::ZERO, vlan, EthAddr::from_u64(mac), BundleId(port));
        }
        for (table, priority, matching, actions) in rules {
            let mini = MiniMatch::new(&matching);
            if bridge(&net).tables[usize::from(table)].rules.find(0, &mini, priority).is_none() {
                add(&net, table, priority, &matching, actions);
            }
        }
        let strip = |x: &Xlate| -> Vec<DpAction> { x.actions.clone() };
        for key in &keys {
            let answer = run(&net, key);
            for other in &keys {
                let twin = within(key, &answer.mask, other);
                let second = run(&net, &twin);
                prop_assert_eq!(strip(&second), strip(&answer), "\n key {:?}\n twin {:?}\n mask {:?}", key, twin, answer.mask);
            }
        }
    }
}

/// Tables 0 to `last`, each of which sends the packet on to the next, and the last one to `end`.
fn chain(last: u8, end: Vec<Action>) -> Xlate {
    let net = network(|_| {});
    for t in 0..last {
        add(&net, t, 1, &Match::any(), vec![resubmit(t + 1)]);
    }
    add(&net, last, 1, &Match::any(), end);
    run(&net, &tcp(1))
}

#[test]
fn forward_goes_as_far_as_there_are_tables() {
    assert_eq!(text(&chain(250, vec![output(2)])), "12");
    assert_eq!(chain(3, vec![resubmit(3)]).error, Some(crate::XlateError::RecursionTooDeep));
    assert_eq!(chain(250, vec![resubmit(0)]).error, Some(crate::XlateError::RecursionTooDeep));
}
