//! Damaged packets of many header types through lookups and every kind of action: nothing panics, and every packet is
//! accounted for.

use super::*;
use datapath::action::{EthHeader, HashAlg, NshHeader, Set, SetAttr};
use datapath::{DpAction, InstallFlow, Upcall, UpcallAnswer};
use flow::{FlowKey, FlowMask};
use netdev::dummy::DummyDevice;
use wire::{EthAddr, PacketBuf, build};

/// Answers each packet with another list of actions.
struct Everything(std::sync::atomic::AtomicU64);

fn set(attr: SetAttr) -> DpAction {
    let (mut key, mut mask) = (FlowKey::ZERO, FlowMask::ZERO);
    for word in 39..58 {
        key.set_word(word, 0x5a5a_5a5a_5a5a_5a5a);
        mask.set_word(word, u64::MAX);
    }
    DpAction::Set(Box::new(Set::new(attr, &key, &mask)))
}

fn actions(n: u64) -> Vec<DpAction> {
    use SetAttr::*;
    let out = DpAction::Output(DpPort(2));
    let attrs = [Ethernet, Vlan, Mpls, Ipv4, Ipv6, Tcp, Udp, Sctp, Icmp, Icmpv6, Arp, Nd, NdExtensions, Nsh];
    let header = NshHeader { mdtype: 1, np: 3, metadata: vec![1; 16].into(), ..NshHeader::default() };
    let both = EthHeader { src: EthAddr([2; 6]), dst: EthAddr([4; 6]) };
    let some: Vec<DpAction> = match n % 12 {
        0 => attrs.map(set).to_vec(),
        1 => vec![DpAction::PushVlan { tpid: 0x8100, tci: 0x1005 }, DpAction::PushVlan { tpid: 0x88a8, tci: 0x1006 }],
        2 => vec![DpAction::PopVlan, DpAction::PopVlan],
        3 => vec![DpAction::PushMpls { ethertype: 0x8847, lse: 0x1ff }, set(Mpls)],
        4 => vec![DpAction::PopMpls(0x0800), set(Ipv4)],
        5 => vec![DpAction::PopEth, DpAction::PushEth(both)],
        6 => vec![DpAction::PushNsh(Box::new(header)), set(Nsh), DpAction::PopNsh],
        7 => vec![DpAction::Trunc(20), out.clone(), set(Tcp)],
        8 => vec![DpAction::Hash { alg: HashAlg::SymL4, basis: 1 }, DpAction::Recirc(7)],
        9 => vec![DpAction::Clone([set(Ipv6), out.clone()].into())],
        10 => vec![DpAction::CheckPktLen { len: 60, greater: [out.clone()].into(), less_equal: [set(Udp)].into() }],
        _ => vec![DpAction::Sample { probability: u32::MAX / 2, actions: [out.clone()].into() }, DpAction::PopNsh],
    };
    some.into_iter().chain([out]).collect()
}

impl UpcallHandler for Everything {
    fn upcall(&self, upcall: &Upcall<'_>) -> UpcallAnswer {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        let mut mask = FlowMask::ZERO;
        mask.set_in_port_raw(u32::MAX);
        mask.set_recirc_id(u32::MAX);
        // Now and then a narrow flow.
        if n.is_multiple_of(3) {
            mask.set_eth_type(u16::MAX);
            mask.set_tp_dst(u16::MAX << (n % 16));
        }
        let again = upcall.key.recirc_id() != 0;
        let actions = if again { vec![DpAction::Output(DpPort(2))] } else { actions(n) };
        UpcallAnswer { actions, install: (n % 5 != 0).then_some(InstallFlow { mask, actions: None }) }
    }
}

fn packets() -> Vec<Vec<u8>> {
    let eth = |ty: u16, body: &[u8]| build::ethernet([2; 6], [4; 6], ty, body);
    let udp = build::udp4([2; 6], [4; 6], 1, 2, 3, 4, b"hello");
    let tcp = build::tcp4([2; 6], [4; 6], 1, 2, 3, 4, 0x12);
    let mut six = vec![0x60, 0, 0, 0, 0, 32, 58, 64];
    six.extend([1; 32]);
    // A neighbour solicitation with a source address option.
    six.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    six.extend([9; 16]);
    six.extend([1, 1, 2, 2, 2, 2, 2, 2]);
    let mut extended = vec![0x60, 0, 0, 0, 0, 16, 0, 64];
    extended.extend([1; 32]);
    extended.extend([44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 1]);
    let mut nsh = vec![0x0f, 0xc6, 1, 3, 0, 0, 7, 255];
    nsh.extend([1; 16]);
    nsh.extend(&udp);
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend([3; 20]);
    let mut labels = vec![0, 0, 0x10, 64, 0, 0, 0x21, 64];
    labels.extend(&udp[14..]);
    vec![
        build::tagged(&udp, 0x8100, 5),
        build::tagged(&build::tagged(&tcp, 0x8100, 5), 0x88a8, 6),
        udp,
        tcp,
        eth(0x86dd, &six),
        eth(0x86dd, &extended),
        eth(0x894f, &nsh),
        eth(0x0806, &arp),
        eth(0x8847, &labels),
        eth(0x0010, &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0x45]),
    ]
}

#[test]
fn damaged_packets_of_every_type() {
    let dp = Userspace::start("test", "dummy", Clock::stopped()).unwrap();
    let devices = [1, 2].map(|i| DummyDevice::new(&format!("p{i}"), "dummy", i));
    for d in &devices {
        dp.port_add(Arc::new(d.clone()), None).unwrap();
    }
    dp.set_upcall_handler(Some(Arc::new(Everything(Default::default()))));
    let mut sent = 0;
    for packet in packets() {
        for at in 0..packet.len() {
            for value in [0, 0x45, 0x7f, 0xff] {
                let mut damaged = packet.clone();
                damaged[at] = value;
                damaged.truncate(packet.len() - at % 7);
                assert!(devices[0].push(PacketBuf::from_bytes(&damaged)));
                sent += 1;
            }
            let cut = PacketBuf::from_bytes(&packet[..at]);
            assert!(devices[0].push(cut));
            sent += 1;
        }
        dp.settle();
        dp.flow_flush().unwrap();
    }
    dp.settle();
    let (stats, port) = (dp.stats(), dp.port_stats(DpPort(1)).unwrap());
    assert_eq!(port.rx_packets, sent);
    assert_eq!(stats.lost, 0);
    assert!(stats.hit + stats.missed >= sent, "{stats:?}");
    dp.set_upcall_handler(None);
}
