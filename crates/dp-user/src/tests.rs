use super::*;
use datapath::{DpAction, InstallFlow, Upcall, UpcallAnswer};
use flow::FlowMask;
use netdev::dummy::DummyDevice;
use std::sync::atomic::AtomicU64;
use wire::{PacketBuf, build};

/// A switch that floods: every packet goes to all ports but its own.
struct Flood {
    ports: Vec<DpPort>,
    asked: AtomicU64,
}

impl UpcallHandler for Flood {
    fn upcall(&self, upcall: &Upcall<'_>) -> UpcallAnswer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let from = DpPort(upcall.key.in_port_raw());
        let actions = self.ports.iter().filter(|p| **p != from).map(|p| DpAction::Output(*p)).collect();
        let mut mask = FlowMask::ZERO;
        mask.set_in_port_raw(u32::MAX);
        UpcallAnswer { actions, install: Some(InstallFlow { mask, actions: None }) }
    }
}

struct Fixture {
    dp: Arc<Userspace>,
    devices: Vec<DummyDevice>,
    ports: Vec<DpPort>,
    flood: Arc<Flood>,
}

fn fixture(n: u32) -> Fixture {
    let dp = Userspace::start("test", "dummy", Clock::stopped()).unwrap();
    let (mut devices, mut ports) = (vec![], vec![]);
    for i in 1..=n {
        let d = DummyDevice::new(&format!("p{i}"), "dummy", i);
        d.set_up(true).unwrap();
        d.keep_sent(true);
        ports.push(dp.port_add(Arc::new(d.clone()), None).unwrap());
        devices.push(d);
    }
    let flood = Arc::new(Flood { ports: ports.clone(), asked: AtomicU64::new(0) });
    dp.set_upcall_handler(Some(flood.clone()));
    Fixture { dp, devices, ports, flood }
}

fn frame(n: u8) -> Vec<u8> {
    build::udp4([2, 0, 0, 0, 0, n], [2, 0, 0, 0, 0, 99], 0x0a00_0001, 0x0a00_0002, 1000, u16::from(n), b"hello")
}

#[test]
fn a_miss_installs_a_flow_that_later_packets_use() {
    let f = fixture(3);
    assert_eq!(f.ports, [DpPort(1), DpPort(2), DpPort(3)]);
    for n in 0..5 {
        f.devices[0].push(PacketBuf::from_bytes(&frame(n)));
    }
    f.dp.settle();
    assert_eq!(f.flood.asked.load(Ordering::Relaxed), 1);
    for d in &f.devices[1..] {
        assert_eq!(d.take_sent(), (0..5).map(frame).collect::<Vec<_>>(), "in order");
    }
    assert!(f.devices[0].take_sent().is_empty());
    let s = f.dp.stats();
    assert_eq!((s.missed, s.hit, s.flows), (1, 4, 1));
    let flow = &f.dp.flow_dump()[0];
    assert_eq!(flow.stats.packets, 4, "the packet of the miss is the switch's to count");
    assert_eq!(f.dp.port_stats(DpPort(1)).unwrap().rx_packets, 5);
}

#[test]
fn a_deleted_flow_is_out_of_the_cache_too() {
    let f = fixture(2);
    let ufid = {
        f.devices[0].push(PacketBuf::from_bytes(&frame(1)));
        f.devices[0].push(PacketBuf::from_bytes(&frame(1)));
        f.dp.settle();
        f.dp.flow_dump()[0].ufid
    };
    f.dp.flow_del(ufid).unwrap();
    assert!(matches!(f.dp.flow_del(ufid), Err(DpError::NoSuchFlow)));
    f.devices[0].push(PacketBuf::from_bytes(&frame(1)));
    f.dp.settle();
    assert_eq!(f.flood.asked.load(Ordering::Relaxed), 2);
}

#[test]
fn a_removed_port_takes_no_packets() {
    let f = fixture(3);
    f.dp.port_del(f.ports[2]).unwrap();
    assert!(matches!(f.dp.port_del(f.ports[2]), Err(DpError::NoSuchPort)));
    f.devices[0].push(PacketBuf::from_bytes(&frame(1)));
    f.devices[2].push(PacketBuf::from_bytes(&frame(2)));
    f.dp.settle();
    assert_eq!(f.devices[1].take_sent(), [frame(1)]);
    assert!(f.devices[2].take_sent().is_empty());
}

#[track_caller]
fn check(actions: &[DpAction], packet: &[u8], expect: &[Vec<u8>]) {
    let f = fixture(2);
    let key = flow::extract(packet, &flow::Metadata::default());
    f.dp.execute(Execute { packet, key: &key, actions, probe: false }).unwrap();
    f.dp.settle();
    assert_eq!(f.devices[0].take_sent(), expect);
}

#[test]
fn actions() {
    let out = DpAction::Output(DpPort(1));
    let packet = frame(1);
    check(std::slice::from_ref(&out), &packet, std::slice::from_ref(&packet));
    check(&[], &packet, &[]);
    let tagged = build::tagged(&packet, 0x8100, 10);
    check(&[DpAction::PushVlan { tpid: 0x8100, tci: 0x100a }, out.clone()], &packet, std::slice::from_ref(&tagged));
    check(&[DpAction::PopVlan, out.clone()], &tagged, std::slice::from_ref(&packet));
    check(&[DpAction::Trunc(20), out.clone(), out.clone()], &packet, &[packet[..20].to_vec(), packet.clone()]);
    let inside = DpAction::Clone(Box::new([DpAction::PushVlan { tpid: 0x8100, tci: 0x100a }, out.clone()]));
    check(&[inside, out.clone()], &packet, &[tagged, packet.clone()]);
    check(&[DpAction::Drop(datapath::DropReason::Ok), out.clone()], &packet, &[]);
    let check_len = DpAction::CheckPktLen { len: 20, greater: Box::new([out]), less_equal: Box::new([]) };
    check(&[check_len], &packet, std::slice::from_ref(&packet));
}

#[test]
fn damaged_packets_pass_or_drop_but_never_panic() {
    let f = fixture(2);
    let whole = build::tagged(&frame(1), 0x8100, 10);
    for len in 0..whole.len() {
        f.devices[0].push(PacketBuf::from_bytes(&whole[..len]));
        f.dp.settle();
    }
    assert_eq!(f.dp.port_stats(DpPort(1)).unwrap().rx_packets, whole.len() as u64);
}

#[test]
fn a_flow_of_untagged_packets_does_not_take_tagged_ones() {
    let f = fixture(2);
    f.devices[0].push(PacketBuf::from_bytes(&frame(1)));
    f.dp.settle();
    f.devices[0].push(PacketBuf::from_bytes(&build::tagged(&frame(1), 0x8100, 10)));
    f.dp.settle();
    assert_eq!(f.flood.asked.load(Ordering::Relaxed), 2);
}

#[test]
fn a_meter_drops_what_is_too_much() {
    let f = fixture(2);
    let config = MeterConfig { packets: true, burst: true, bands: vec![datapath::MeterBand { rate: 1, burst: 3 }] };
    f.dp.meter_set(7, &config).unwrap();
    let packet = frame(1);
    let key = flow::extract(&packet, &flow::Metadata::default());
    for _ in 0..5 {
        let actions = [DpAction::Meter(7), DpAction::Output(DpPort(1))];
        f.dp.execute(Execute { packet: &packet, key: &key, actions: &actions, probe: false }).unwrap();
    }
    f.dp.settle();
    assert_eq!(f.devices[0].take_sent().len(), 3);
    let stats = f.dp.meter_del(7).unwrap();
    assert_eq!((stats.packets, stats.bands[0].0), (5, 2));
    assert!(matches!(f.dp.meter_get(7), Err(DpError::NoSuchMeter)));
}

#[test]
fn an_nsh_header_goes_on_and_comes_off() {
    let packet = frame(1);
    let header = datapath::action::NshHeader {
        ttl: 63,
        mdtype: 1,
        np: 3,
        spi: 7,
        si: 255,
        metadata: vec![1; 16].into(),
        ..Default::default()
    };
    let out = DpAction::Output(DpPort(1));
    let mut with = vec![0x0f, 0xc6, 1, 3, 0, 0, 7, 255];
    with.extend([1; 16]);
    with.extend(&packet);
    let push = DpAction::PushNsh(Box::new(header));
    check(&[push.clone(), out.clone()], &packet, std::slice::from_ref(&with));
    check(&[push, DpAction::PopNsh, out.clone()], &packet, std::slice::from_ref(&packet));
    check(&[DpAction::PopNsh, out], &packet, &[]);
}

/// Ports of several queues, polled by two threads, and one that is waited for.
#[test]
fn several_threads_share_the_queues() {
    let dp = Userspace::start("test", "dummy", Clock::stopped()).unwrap();
    dp.set_topology(Topology::parse("0,0").unwrap());
    let polled = DummyDevice::new("p1", "dummy-pmd", 1);
    polled.set_options(&[("n_rxq".into(), "4".into())]);
    let waited = DummyDevice::new("p2", "dummy", 2);
    waited.keep_sent(true);
    let ports = [&polled, &waited].map(|d| dp.port_add(Arc::new(d.clone()), None).unwrap());
    let settings = |mask: &str| {
        let mask = mask.to_string();
        crate::settings::Settings::parse(move |k| (k == "pmd-cpu-mask").then(|| mask.clone()))
    };
    dp.configure(settings("3"));
    let flood = Arc::new(Flood { ports: ports.to_vec(), asked: AtomicU64::new(0) });
    dp.set_upcall_handler(Some(flood));
    let text = dp.rxqs(None, None).to_string();
    assert_eq!(text.matches("port: p1 ").count(), 4, "{text}");
    assert!(
        text.contains("core_id 1:\n  isolated : false\n  port: p1                queue-id:  1 (enabled)"),
        "{text}"
    );
    let send = |n: u8| (0..4).for_each(|q| assert!(polled.push_to(q, PacketBuf::from_bytes(&frame(n)))));
    let mut got = vec![];
    let mut wait = |n: usize| {
        let start = std::time::Instant::now();
        while got.len() < n && start.elapsed().as_secs() < 10 {
            got.extend(waited.take_sent());
            std::thread::yield_now();
        }
        got.len()
    };
    (0..10).for_each(send);
    assert_eq!(wait(40), 40);
    let dump = dp.flow_dump();
    let mut cores: Vec<_> = dump.iter().map(|f| f.core).collect();
    cores.sort();
    assert_eq!(cores, [Some(0), Some(1)], "each thread has a flow of its own");
    assert_ne!(dump[0].ufid, dump[1].ufid);
    assert_eq!(dp.port_stats(ports[0]).unwrap().rx_packets, 40);
    // One thread goes; the other takes its queues over.
    dp.configure(settings("2"));
    (0..10).for_each(send);
    assert_eq!(wait(80), 80);
    let text = dp.rxqs(None, None).to_string();
    assert!(text.contains("core_id 1:") && !text.contains("core_id 0:"), "{text}");
    for p in ports {
        dp.port_del(p).unwrap();
    }
    assert_eq!(dp.members().len(), 1);
    dp.set_upcall_handler(None);
}

/// Flows with hundreds of masks, as an attacker makes them: each packet finds its own flow, and flows can go again.
#[test]
fn many_masks() {
    use crate::lookup::{Found, Lookup};
    use crate::table::FlowTable;
    use datapath::FlowPut;
    let (table, mut lookup, mut flows) = (FlowTable::new(0), Lookup::new(), vec![]);
    let packet = |a: u32, b: u32| {
        build::udp4([2; 6], [4; 6], 0x0a00_0001 ^ 1 << (31 - a), 7, 12345, 80 ^ 1 << (15 - b), b"hello")
    };
    let key_of = |p: &[u8]| {
        let mut key = flow::extract(p, &flow::Metadata::default());
        key.set_in_port_raw(1);
        key
    };
    let cases: Vec<(u32, u32)> = (0..32).flat_map(|a| (0..16).map(move |b| (a, b))).collect();
    for &(a, b) in &cases {
        let mut mask = FlowMask::ZERO;
        mask.set_in_port_raw(u32::MAX);
        mask.set_eth_type(u16::MAX);
        mask.set_nw_src((u32::MAX << (31 - a)).into());
        mask.set_tp_dst(u16::MAX << (15 - b));
        let key = key_of(&packet(a, b));
        let actions = vec![DpAction::Output(DpPort(1 + a * 16 + b))];
        let put = FlowPut { ufid: None, key, mask, actions, create: true, modify: false, zero_stats: false };
        let flow = table.put_own(put, usize::MAX).unwrap();
        lookup.insert(&flow).unwrap();
        flows.push(flow);
    }
    assert_eq!(table.masks(), cases.len());
    lookup.searched = 0;
    let find = |lookup: &mut Lookup, a: u32, b: u32| {
        let bytes = packet(a, b);
        let mut short = crate::compact::Compact::default();
        assert!(crate::compact::read(&bytes, &mut short));
        short.0[0] = 1 << 32;
        let found = lookup.find_short(&short, Lookup::hash_short(&short));
        let key = key_of(&bytes);
        assert_eq!(found, lookup.find(&key, Lookup::hash(&key)), "both ways lead to the same flow");
        found.map(|f| match f {
            Found::Mask(i) | Found::Signature(i) => lookup.entry(i).unwrap().actions[0].clone(),
        })
    };
    for &(a, b) in &cases {
        assert_eq!(find(&mut lookup, a, b), Some(DpAction::Output(DpPort(1 + a * 16 + b))));
    }
    let per_lookup = lookup.searched / (2 * cases.len() as u64);
    assert!(per_lookup < 8, "{per_lookup} of {} subtables were looked into", cases.len());
    for (i, &(a, b)) in cases.iter().enumerate() {
        lookup.remove(&flows[i]);
        assert_eq!(find(&mut lookup, a, b), None);
    }
}
