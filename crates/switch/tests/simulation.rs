//! A whole switch under a virtual clock: random flow tables, packets, controllers and reconfiguration, all from one seed.
//! `FERROVS_SEED=N` runs one seed alone, `FERROVS_SEEDS=N` that many from 1 on.
//!
//! The datapath of the test is as simple as can be: a list of flows, searched from the front. What is checked: a packet that a
//! flow of the datapath handles goes where a fresh translation would send it; every packet is counted once in table 0;
//! garbage on one connection leaves the others alone; in the end nothing is left behind.

use clock::{Clock, Instant};
use datapath::{
    Datapath, DpAction, DpError, DpStats, Execute, Features, FlowDump, FlowPut, FlowStats, PortInfo, PortStats, Ufid,
    Upcall, UpcallHandler, UpcallKind,
};
use flow::text::ParseContext;
use flow::{DpPort, FlowKey, OfPort};
use openflow::message::{FlowModCommand, GroupCommand};
use openflow::{Message, Version};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use switch::conn::Class;
use switch::port::Port;
use switch::{Bridge, ConnId, Event, INTERNAL_TABLE, Notice, Upcalls, revalidate};
use translate::view::{Bundle, BundleId};
use translate::{BridgeConfig, BridgeId, Network, Request};
use wire::EthAddr;

/// Numbers that depend on the seed alone (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// 0 to `n` - 1.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

const PORTS: u32 = 5;

#[derive(Default)]
struct Table {
    flows: Vec<FlowDump>,
    /// Output of the packet in hand.
    sent: Vec<u32>,
    packets: u64,
}

/// A datapath that is a list.
struct ListDatapath {
    table: Mutex<Table>,
    handler: Mutex<Option<Arc<dyn UpcallHandler>>>,
    clock: Clock,
}

impl ListDatapath {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }

    fn handler(&self) -> Arc<dyn UpcallHandler> {
        self.handler.lock().unwrap().clone().unwrap()
    }

    /// A packet: where it goes, and whether a flow was there for it.
    fn receive(&self, key: &FlowKey, packet: &[u8]) -> (Vec<u32>, bool) {
        self.table().sent.clear();
        let hit = self.process(key, packet, 0);
        let mut sent = std::mem::take(&mut self.table().sent);
        sent.sort_unstable();
        (sent, hit)
    }

    fn process(&self, key: &FlowKey, packet: &[u8], depth: u32) -> bool {
        assert!(depth < 20, "a packet that recirculates for ever");
        let now = self.clock.now();
        let found = {
            let mut table = self.table();
            table.packets += u64::from(depth == 0);
            let same = |f: &&mut FlowDump| f.key.masked(&f.mask) == key.masked(&f.mask);
            table.flows.iter_mut().find(same).map(|f| {
                f.stats.packets += 1;
                f.stats.bytes += packet.len() as u64;
                f.stats.used = Some(now);
                f.actions.clone()
            })
        };
        if let Some(actions) = found {
            self.run(&actions, key, packet, depth);
            return true;
        }
        let ufid = Ufid::of(key, &key_mask());
        let answer = self.handler().upcall(&Upcall { key, packet, ufid, kind: UpcallKind::Miss, now });
        if let Some(install) = answer.install {
            let actions: Arc<[DpAction]> = install.actions.unwrap_or_else(|| answer.actions.clone()).into();
            let ufid = Ufid::of(&key.masked(&install.mask), &install.mask);
            let stats = FlowStats::default();
            let flow = FlowDump { ufid, key: *key, mask: install.mask, actions: actions.clone(), stats, core: None };
            self.table().flows.push(flow);
            self.handler().installed(ufid, key, &install.mask, &actions, true);
        }
        self.run(&answer.actions, key, packet, depth);
        false
    }

    fn run(&self, actions: &[DpAction], key: &FlowKey, packet: &[u8], depth: u32) {
        let mut key = *key;
        let key = &mut key;
        for (i, a) in actions.iter().enumerate() {
            match a {
                DpAction::Output(port) => self.table().sent.push(port.0),
                DpAction::Recirc(id) => {
                    let mut again = *key;
                    again.set_recirc_id(*id);
                    self.process(&again, packet, depth + 1);
                }
                DpAction::Hash { .. } => key.set_dp_hash(1 + u32::from(packet[5]) * 7 + u32::from(packet[11])),
                DpAction::Clone(inner) | DpAction::Sample { actions: inner, .. } => {
                    self.run(inner, key, packet, depth);
                }
                DpAction::Userspace { cookie, .. } => {
                    let kind = UpcallKind::Action { cookie, actions: &actions[..i] };
                    let ufid = Ufid::of(key, &key_mask());
                    let answer = self.handler().upcall(&Upcall { key, packet, ufid, kind, now: self.clock.now() });
                    self.run(&answer.actions, key, packet, depth + 1);
                }
                _ => {}
            }
        }
    }
}

fn key_mask() -> flow::FlowMask {
    flow::FlowMask::ZERO
}

impl Datapath for ListDatapath {
    fn name(&self) -> &str {
        "list"
    }
    fn kind(&self) -> &str {
        "list"
    }
    fn stats(&self) -> DpStats {
        DpStats { flows: self.table().flows.len() as u64, ..DpStats::default() }
    }
    fn features(&self) -> Features {
        Features::all()
    }
    fn ports(&self) -> Vec<PortInfo> {
        vec![]
    }
    fn port_stats(&self, _: DpPort) -> Option<PortStats> {
        None
    }
    fn flow_put(&self, put: FlowPut) -> Result<FlowStats, DpError> {
        let ufid = put.ufid.ok_or(DpError::NoSuchFlow)?;
        let mut table = self.table();
        let flow = table.flows.iter_mut().find(|f| f.ufid == ufid).ok_or(DpError::NoSuchFlow)?;
        flow.actions = put.actions.into();
        Ok(flow.stats)
    }
    fn flow_del(&self, ufid: Ufid) -> Result<FlowStats, DpError> {
        let mut table = self.table();
        let at = table.flows.iter().position(|f| f.ufid == ufid).ok_or(DpError::NoSuchFlow)?;
        Ok(table.flows.remove(at).stats)
    }
    fn flow_get(&self, ufid: Ufid) -> Result<FlowDump, DpError> {
        self.table().flows.iter().find(|f| f.ufid == ufid).cloned().ok_or(DpError::NoSuchFlow)
    }
    fn flow_dump(&self) -> Vec<FlowDump> {
        self.table().flows.clone()
    }
    fn flow_flush(&self) -> Result<(), DpError> {
        self.table().flows.clear();
        Ok(())
    }
    fn execute(&self, execute: Execute<'_>) -> Result<(), DpError> {
        self.run(execute.actions, execute.key, execute.packet, 0);
        Ok(())
    }
    fn set_upcall_handler(&self, handler: Option<Arc<dyn UpcallHandler>>) {
        *self.handler.lock().unwrap() = handler;
    }
    fn set_flow_limit(&self, _: usize) {}
}

struct World {
    random: Random,
    clock: Clock,
    datapath: Arc<ListDatapath>,
    upcalls: Arc<Upcalls>,
    bridge: Bridge,
    notices: Arc<Mutex<Vec<Notice>>>,
    conns: BTreeMap<ConnId, Version>,
    down: Vec<u32>,
    xid: u32,
}

impl World {
    fn new(seed: u64) -> World {
        let clock = Clock::stopped();
        let datapath =
            Arc::new(ListDatapath { table: Mutex::default(), handler: Mutex::default(), clock: clock.clone() });
        let notices = Arc::new(Mutex::new(vec![]));
        let sink = notices.clone();
        let notify = move |n| sink.lock().unwrap().push(n);
        let upcalls = Arc::new(Upcalls::new(clock.clone(), Network::empty(Features::all()), notify));
        datapath.set_upcall_handler(Some(upcalls.clone()));
        let config = BridgeConfig { id: BridgeId(1), name: "br0".into(), ..BridgeConfig::default() };
        let shared = Arc::new(translate::Bridge::new(config));
        let mut bridge = Bridge::new("br0", 1, shared, upcalls.clone(), datapath.clone(), clock.now());
        for n in 1..=PORTS {
            bridge.set_port(port(n));
        }
        let mut world = World {
            random: Random(seed),
            clock,
            datapath,
            upcalls,
            bridge,
            notices,
            conns: BTreeMap::new(),
            down: vec![],
            xid: 1,
        };
        world.publish();
        world.connect();
        world
    }

    /// Shows ports and their state to translation.
    fn publish(&mut self) {
        let shared = &self.bridge.shared;
        let mut config = BridgeConfig { id: BridgeId(1), name: "br0".into(), ..BridgeConfig::default() };
        config.miss_to_controller = self.bridge.miss_to_controller();
        let mut network = Network::empty(Features::all());
        network.frozen = self.upcalls.network().frozen.clone();
        for n in 1..=PORTS {
            let id = BundleId(n.into());
            let (of, dp) = (OfPort(n), Some(DpPort(n)));
            let up = !self.down.contains(&n);
            config.ports.insert(of, translate::Port { of, dp, bundle: id, up, ..Default::default() });
            config.bundles.insert(id, Bundle { id, ports: vec![of], ..Bundle::default() });
            config.flood_order.push(id);
            network.dp_ports.insert(DpPort(n), (BridgeId(1), of));
        }
        shared.config.publish(Arc::new(config));
        network.bridges = HashMap::from([(BridgeId(1), shared.clone())]);
        self.upcalls.set_network(network);
    }

    fn connect(&mut self) {
        let version = *self.random.pick(&[Version::V10, Version::V13, Version::V14, Version::V15]);
        let class = *self.random.pick(&[Class::Primary, Class::Service]);
        let id = self.bridge.open("test".into(), class);
        let hello = Message::Hello(openflow::message::Hello::new(&[version])).encode(version, 1);
        self.bridge.input(id, &hello, self.clock.now());
        self.conns.insert(id, version);
    }

    fn send(&mut self, id: ConnId, message: &Message) {
        let version = self.conns[&id];
        self.xid += 1;
        let bytes = message.encode(version, self.xid);
        self.bridge.input(id, &bytes, self.clock.now());
    }

    fn any_conn(&mut self) -> ConnId {
        if self.conns.is_empty() {
            self.connect();
        }
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        *self.random.pick(&ids)
    }

    fn match_text(&mut self) -> String {
        let r = &mut self.random;
        let mut fields = vec![];
        if r.below(3) == 0 {
            fields.push(format!("in_port={}", 1 + r.below(PORTS.into())));
        }
        match r.below(5) {
            0 => fields.push(format!("tcp,tp_dst={}", 80 + r.below(4))),
            1 => fields.push(format!("ip,nw_dst=10.0.{}.0/24", r.below(4))),
            2 => fields.push(format!("ip,nw_src=10.0.0.0/{}", 8 + r.below(24))),
            3 => fields.push(format!("dl_dst=00:00:00:00:00:{:02x}", r.below(6))),
            _ => {}
        }
        if r.below(6) == 0 {
            fields.push(format!("reg0={}", r.below(3)));
        }
        fields.join(",")
    }

    fn action_text(&mut self) -> String {
        let mut all = vec![];
        for _ in 0..1 + self.random.below(3) {
            let r = &mut self.random;
            all.push(match r.below(9) {
                0 => format!("resubmit(,{})", 1 + r.below(3)),
                1 => "NORMAL".to_string(),
                2 => format!("load:{}->NXM_NX_REG0[]", r.below(3)),
                3 => format!("group:{}", 1 + r.below(3)),
                4 => "learn(table=3,idle_timeout=5,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])".into(),
                5 => "controller".to_string(),
                6 => "IN_PORT".to_string(),
                _ => format!("output:{}", 1 + r.below(PORTS.into())),
            });
        }
        all.join(",")
    }

    fn flow_mod(&mut self) -> Option<Message> {
        use FlowModCommand::{Add, Delete, DeleteStrict, Modify, ModifyStrict};
        let command = *self.random.pick(&[Add, Add, Add, Add, Modify, ModifyStrict, Delete, DeleteStrict]);
        let table = self.random.below(4);
        let mut text = format!("table={table}");
        if command != Delete && command != Modify {
            text += &format!(",priority={}", self.random.below(4));
        }
        let fields = self.match_text();
        if !fields.is_empty() {
            text += &format!(",{fields}");
        }
        if command == Add {
            text += match self.random.below(4) {
                0 => ",idle_timeout=3",
                1 => ",hard_timeout=7,send_flow_rem",
                _ => "",
            };
        }
        if !matches!(command, Delete | DeleteStrict) {
            text += &format!(",actions={}", self.action_text());
        }
        let mut cx = ParseContext::new(None);
        let (fm, _) = openflow::text::parse_flow_line(&mut cx, &text, command, false).unwrap();
        Some(Message::FlowMod(fm))
    }

    fn group_mod(&mut self) -> Option<Message> {
        let r = &mut self.random;
        let id = 1 + r.below(3);
        let kind = *r.pick(&["all", "select", "indirect", "ff"]);
        let n = if kind == "indirect" { 1 } else { 1 + r.below(3) };
        let mut text = format!("group_id={id}");
        let command = *r.pick(&[GroupCommand::AddOrMod, GroupCommand::Modify, GroupCommand::Add, GroupCommand::Delete]);
        if command != GroupCommand::Delete {
            text += &format!(",type={kind}");
            for _ in 0..n {
                let out = 1 + r.below(PORTS.into());
                let watch = if kind == "ff" { format!("watch_port:{out},") } else { String::new() };
                text += &format!(",bucket={watch}actions=output:{out}");
            }
        }
        let mut cx = ParseContext::new(None);
        let parsed = openflow::text::parse_group(&mut cx, &text, command).ok()?;
        Some(Message::GroupMod(parsed.0))
    }

    fn change(&mut self) {
        let id = self.any_conn();
        let many = 1 + self.random.below(4);
        let messages: Vec<Message> = (0..many)
            .filter_map(|_| if self.random.below(4) == 0 { self.group_mod() } else { self.flow_mod() })
            .collect();
        if self.conns[&id] < Version::V14 || self.random.below(2) == 0 {
            messages.iter().for_each(|m| self.send(id, m));
            return;
        }
        use openflow::message::{BundleAdd, BundleControl, BundleCtrlType::*};
        let control = |ty| Message::BundleControl(BundleControl { id: 7, ty, flags: 3 });
        self.send(id, &control(OpenRequest));
        for m in messages {
            let xid = self.xid + 1;
            self.send(id, &Message::BundleAdd(BundleAdd { id: 7, flags: 3, xid, message: Box::new(m) }));
        }
        let end = *self.random.pick(&[CommitRequest, CommitRequest, DiscardRequest]);
        self.send(id, &control(end));
    }

    fn packet(&mut self) -> (FlowKey, Vec<u8>) {
        let r = &mut self.random;
        let (a, b) = (r.below(6) as u8, r.below(6) as u8);
        let mut p = vec![0, 0, 0, 0, 0, b, 0, 0, 0, 0, 0, a, 8, 0];
        let proto = if r.below(2) == 0 { 6 } else { 17 };
        let (net, host) = (r.below(4) as u8, r.below(3) as u8);
        p.extend([0x45, 0, 0, 40, 0, 1, 0, 0, 64, proto, 0, 0, 10, 0, 0, host, 10, 0, net, 1]);
        p.extend([0, 99, 0, 80 + r.below(4) as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 9, 0, 0, 0, 0]);
        let mut key = flow::extract(&p, &flow::Metadata::default());
        key.set_dp_in_port(DpPort(1 + r.below(PORTS.into()) as u32));
        (key, p)
    }

    /// What the control thread would do now.
    fn settle(&mut self) {
        let notices = std::mem::take(&mut *self.notices.lock().unwrap());
        let now = self.clock.now();
        for n in notices {
            match n {
                Notice::PacketIn(p) => self.bridge.packet_in(&p, now),
                Notice::Learn { flow, .. } => self.bridge.learn(&flow, now),
            }
        }
        let mut republish = false;
        while let Some(event) = self.bridge.poll_event() {
            republish |= matches!(event, Event::Port(_) | Event::Settings);
        }
        if republish {
            self.publish();
        }
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        for id in ids {
            if self.random.below(4) != 0 && self.bridge.take_output(id).1.is_some() {
                self.bridge.close(id);
                self.conns.remove(&id);
            }
        }
        revalidate::sweep(&self.upcalls, &*self.datapath, true, now);
    }

    /// A packet goes where a fresh translation sends it, whether or not a flow was there for it.
    fn inject(&mut self) {
        let (key, packet) = self.packet();
        let expected = self.oracle(key, &packet);
        let (sent, hit) = self.datapath.receive(&key, &packet);
        if let Some(expected) = expected {
            assert_eq!(sent, expected, "hit {hit}: {key:?}");
        }
    }

    /// Ports by a translation of its own; `None` where the way leads through the datapath once more.
    fn oracle(&mut self, key: FlowKey, packet: &[u8]) -> Option<Vec<u32>> {
        let network = self.upcalls.network();
        let mut key = key;
        key.set_in_port(OfPort(key.dp_in_port().0));
        // With its side effects, which nobody carries out: what a packet teaches holds for the packet itself.
        let request = Request::packet(BridgeId(1), key, Some(packet), self.clock.now());
        let xlate = translate::translate(&network, &request);
        let mut ports = vec![];
        for a in &xlate.actions {
            match a {
                DpAction::Output(p) => ports.push(p.0),
                DpAction::Recirc(_) | DpAction::Clone(_) => return None,
                _ => {}
            }
        }
        ports.sort_unstable();
        Some(ports)
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..=7 => self.change(),
            8..=9 => {
                let ms = 1 + self.random.below(2500);
                self.clock.warp(Duration::from_millis(ms));
                self.bridge.expire(self.clock.now());
            }
            10 => {
                let n = 1 + self.random.below(PORTS.into()) as u32;
                if self.down.contains(&n) {
                    self.down.retain(|p| *p != n)
                } else {
                    self.down.push(n)
                }
                self.publish();
            }
            11 if self.conns.len() < 6 => self.connect(),
            12 => {
                let id = self.any_conn();
                self.bridge.close(id);
                self.conns.remove(&id);
            }
            13 => {
                // Garbage: its connection is closed or told so; nobody else notices.
                let id = self.any_conn();
                let garbage: Vec<u8> = (0..self.random.below(200)).map(|_| self.random.next() as u8).collect();
                self.bridge.input(id, &garbage, self.clock.now());
            }
            14 => {
                let id = self.any_conn();
                let request = *self.random.pick(&[&Message::BarrierRequest, &Message::DescRequest]);
                self.send(id, request);
            }
            15 => {
                let id = self.any_conn();
                let monitor = openflow::message::FlowMonitorRequest {
                    id: self.random.below(3) as u32,
                    command: 0,
                    flags: 0x1f,
                    out_port: OfPort::ANY,
                    out_group: openflow::GroupId::ANY,
                    table: openflow::TableId::ALL,
                    matching: flow::MiniMatch::default(),
                };
                self.send(id, &Message::FlowMonitorRequest(vec![monitor]));
            }
            _ => self.inject(),
        }
        self.settle();
    }

    fn check_counts(&self) {
        revalidate::push_all(&self.upcalls, &*self.datapath, self.clock.now());
        let first = &self.bridge.shared.tables[0];
        use std::sync::atomic::Ordering::Relaxed;
        let looked_up = first.matched.load(Relaxed) + first.missed.load(Relaxed);
        // A packet that the datapath had a flow for is counted when its flow's counters are pushed; one with a slow-path flow,
        // when it is translated.
        assert_eq!(looked_up, self.datapath.table().packets, "packets and lookups in table 0");
    }

    fn end(mut self) {
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        ids.into_iter().for_each(|id| self.bridge.close(id));
        self.bridge.flush_flows(false, self.clock.now());
        revalidate::flush(&self.upcalls, &*self.datapath, self.clock.now());
        assert_eq!(self.upcalls.known_flows(), 0);
        let shared = self.bridge.shared.clone();
        shared.reclaim();
        for (n, table) in shared.tables.iter().enumerate() {
            let own = if n == usize::from(INTERNAL_TABLE) { 4 } else { 0 };
            assert_eq!(table.rules.len(), own, "rules left in table {n}");
        }
        assert_eq!(self.bridge.tables.len(), 0);
        self.datapath.set_upcall_handler(None);
        let World { bridge, upcalls, notices, .. } = self;
        drop(bridge);
        drop(notices);
        upcalls.set_network(Network::empty(Features::all()));
        assert_eq!(Arc::strong_count(&shared), 1, "somebody holds the bridge");
        assert_eq!(Arc::strong_count(&upcalls), 1, "somebody holds the handler");
    }
}

fn port(n: u32) -> Port {
    Port {
        counts_errors: false,
        of: OfPort(n),
        dp: Some(DpPort(n)),
        name: format!("p{n}"),
        kind: "dummy".into(),
        mac: EthAddr([2, 0, 0, 0, 0, n as u8]),
        admin_up: true,
        carrier: true,
        mbps: 0,
        full_duplex: None,
        config: 0,
        bundle: BundleId(n.into()),
        peer: None,
        created: Instant::ZERO,
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..400 {
        world.step();
    }
    world.check_counts();
    world.end();
}

#[test]
fn random_switches() {
    let number = |name| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let seeds = match number("FERROVS_SEED") {
        Some(one) => one..one + 1,
        None => 1..number("FERROVS_SEEDS").unwrap_or(12) + 1,
    };
    for seed in seeds {
        println!("seed {seed}");
        run(seed);
    }
}
