//! The state of the daemon: datapaths, bridges, interfaces. One thread owns it; tasks borrow it between awaits.

use crate::backer::Backer;
use crate::openflow::{Endpoint, Kind};
use clock::{Clock, Instant};
use flow::{DpPort, OfPort};
use io::program::strerror;
use io::vlog::Module;
use io::vlog_warn;
use netdev::Device;
use ovsdb_data::Uuid;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use switch::bridge::Event;
use switch::conn::ConnId;
use switch::{Bridge, Notice};
use tokio::sync::{Notify, mpsc};
use translate::view::{BridgeConfig, BridgeId, Bundle, BundleId, FragHandling, Network, Port, VlanSet};

use crate::config;
use ::openflow::message::ports::PC_NO_FLOOD;

/// Which types of devices and datapaths may be made of nothing (`--enable-dummy`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dummy {
    /// None.
    #[default]
    Off,
    /// The type `dummy`, beside the real ones.
    On,
    /// `dummy` stands in for `system`.
    OverrideSystem,
    /// `dummy` stands in for every type.
    OverrideAll,
}

/// An interface that exists.
pub struct Interface {
    /// Its row.
    pub uuid: Uuid,
    /// Type, as in the database.
    pub kind: String,
    /// OpenFlow port.
    pub of: OfPort,
    /// Datapath port; none for a patch port.
    pub dp: Option<DpPort>,
    /// Its device; none for a patch port.
    pub device: Option<Arc<dyn Device>>,
    /// `options:peer` of a patch port.
    pub peer: Option<String>,
    /// When it was made.
    pub created: Instant,
    /// MTU and address that the database asked for when they were last set.
    pub configured: Option<(Option<u32>, Option<wire::EthAddr>)>,
}

/// A bridge that exists.
pub struct BridgeEntry {
    /// Its row.
    pub uuid: Uuid,
    /// `datapath_type`, as in the database.
    pub datapath_type: String,
    /// Key of its backer.
    pub backer: String,
    /// The OpenFlow switch.
    pub bridge: Bridge,
    /// Interfaces by name.
    pub interfaces: BTreeMap<String, Interface>,
    /// Why interfaces could not be made.
    pub errors: BTreeMap<String, String>,
    /// What the database wanted when it was last applied.
    pub config: Rc<config::BridgeConfig>,
    /// Listeners and connections to controllers, by target.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// What its mirrors have counted, by row.
    pub mirrored: HashMap<Uuid, Arc<translate::view::Counters>>,
    /// Whether it learns by itself, having no controller.
    pub standalone: Option<bool>,
    wakers: HashMap<ConnId, Rc<Notify>>,
}

/// All state.
#[derive(Default)]
pub struct State {
    /// Datapaths by type.
    pub backers: BTreeMap<String, Backer>,
    /// Bridges by name.
    pub bridges: BTreeMap<String, BridgeEntry>,
    /// Names of interfaces that were added, changed or could not be added, and that nothing was reported of since.
    pub touched: BTreeSet<String>,
    next_bridge: u64,
    bundle_ids: HashMap<Uuid, BundleId>,
}

/// The daemon.
pub struct App {
    /// Time.
    pub clock: Clock,
    /// Whether dummies may be made.
    pub dummy: Dummy,
    /// Cores that tests make up (`--dummy-numa`).
    pub topology: Option<dp_user::Topology>,
    /// State; never borrowed across an await.
    pub state: RefCell<State>,
    /// Somebody asked the daemon to end; true: and to take its interfaces with it.
    pub exit: RefCell<Option<bool>>,
    /// Woken when a connection to a controller came or went.
    pub controllers_changed: Notify,
    /// Woken when `exit` is set.
    pub exit_asked: Notify,
    /// From the datapaths' threads to the control thread.
    pub notices: mpsc::Sender<Notice>,
}

impl App {
    /// A daemon with nothing in it.
    pub fn new(
        clock: Clock,
        dummy: Dummy,
        topology: Option<dp_user::Topology>,
        notices: mpsc::Sender<Notice>,
    ) -> Rc<App> {
        Rc::new(App {
            clock,
            dummy,
            topology,
            state: RefCell::default(),
            exit: RefCell::default(),
            controllers_changed: Notify::new(),
            exit_asked: Notify::new(),
            notices,
        })
    }

    /// Opens an OpenFlow connection to a bridge; `None` if the bridge is gone.
    pub fn open_connection(&self, bridge: &str, name: String, kind: &Kind, ready: Rc<Notify>) -> Option<ConnId> {
        let now = self.clock.now();
        let mut state = self.state.borrow_mut();
        let entry = state.bridges.get_mut(bridge)?;
        let id = entry.bridge.open(name, kind.class);
        entry.bridge.set_conn_limits(id, kind.rate, kind.quiet, now);
        entry.wakers.insert(id, ready);
        Some(id)
    }

    /// Forgets a connection.
    pub fn close_connection(self: &Rc<Self>, bridge: &str, id: ConnId) {
        if let Some(entry) = self.state.borrow_mut().bridges.get_mut(bridge) {
            entry.bridge.close(id);
            entry.wakers.remove(&id);
        }
        self.run_events(bridge);
    }

    /// Sends packets to a connection whose time has come; says when the next one may go.
    pub fn release_packets(&self, bridge: &str, id: ConnId) -> Option<Instant> {
        let now = self.clock.now();
        let mut state = self.state.borrow_mut();
        let entry = state.bridges.get_mut(bridge)?;
        entry.bridge.release_packets(id, now);
        entry.bridge.conn_deadline(id)
    }

    /// Bytes to send on a connection, and whether to close it then.
    pub fn take_output(self: &Rc<Self>, bridge: &str, id: ConnId) -> (Vec<u8>, Option<String>) {
        let output = match self.state.borrow_mut().bridges.get_mut(bridge) {
            Some(entry) => entry.bridge.take_output(id),
            None => (vec![], Some("bridge is gone".into())),
        };
        self.run_events(bridge);
        output
    }

    /// Asks the peer of a connection whether it is there.
    pub fn probe(&self, bridge: &str, id: ConnId) {
        if let Some(entry) = self.state.borrow_mut().bridges.get_mut(bridge) {
            entry.bridge.probe(id);
        }
    }

    /// Gives received bytes to a bridge.
    pub fn input(self: &Rc<Self>, bridge: &str, id: ConnId, bytes: &[u8]) {
        let now = self.clock.now();
        if let Some(entry) = self.state.borrow_mut().bridges.get_mut(bridge) {
            entry.bridge.input(id, bytes, now);
        }
        self.run_events(bridge);
    }

    /// Does what a bridge has asked for.
    pub fn run_events(self: &Rc<Self>, bridge: &str) {
        let (mut republish, mut toggled) = (false, false);
        {
            let mut state = self.state.borrow_mut();
            let Some(entry) = state.bridges.get_mut(bridge) else { return };
            while let Some(event) = entry.bridge.poll_event() {
                match event {
                    Event::Output(id) => {
                        if let Some(w) = entry.wakers.get(&id) {
                            w.notify_one();
                        }
                    }
                    Event::PortConfig => republish = true,
                    Event::PortAdmin { port, up } => {
                        let device = entry.interfaces.values().find(|i| i.of == port).and_then(|i| i.device.clone());
                        match device {
                            // A dummy changes at once.
                            Some(d) if d.as_dummy().is_some() => drop(d.set_up(up)),
                            Some(d) => set_up_elsewhere(d, up),
                            None => {}
                        }
                        toggled = true;
                    }
                }
            }
        }
        if toggled {
            self.refresh_dummies();
        }
        if republish {
            self.publish();
        }
    }

    /// Looks at the state of dummies, which changes only by command.
    pub fn refresh_dummies(&self) {
        let mut state = self.state.borrow_mut();
        for e in state.bridges.values_mut() {
            for i in e.interfaces.values() {
                let (Some(d), Some(old)) = (&i.device, e.bridge.ports.get(&i.of)) else { continue };
                if d.as_dummy().is_none() {
                    continue;
                }
                let link = d.state().unwrap_or_default();
                let mut port = old.clone();
                (port.admin_up, port.carrier) = (link.up, link.up && link.carrier);
                e.bridge.set_port(port);
            }
        }
    }

    /// Deals with something that a datapath's thread found.
    pub fn notice(self: &Rc<Self>, notice: Notice) {
        let now = self.clock.now();
        let name = {
            let mut state = self.state.borrow_mut();
            let id = match &notice {
                Notice::PacketIn(p) => p.what.bridge,
                Notice::Learn { bridge, .. } => *bridge,
            };
            let Some((name, entry)) = state.bridges.iter_mut().find(|(_, e)| e.bridge.shared.id == id) else { return };
            match notice {
                Notice::PacketIn(p) => entry.bridge.packet_in(&p, now),
                Notice::Learn { flow, .. } => entry.bridge.learn(&flow, now),
            }
            name.clone()
        };
        self.run_events(&name);
    }

    /// What has to be done about once a second.
    pub fn tick(self: &Rc<Self>) {
        let now = self.clock.now();
        let names: Vec<String> = {
            let mut state = self.state.borrow_mut();
            state.bridges.values_mut().for_each(|e| e.bridge.expire(now));
            state.bridges.keys().cloned().collect()
        };
        names.iter().for_each(|n| self.run_events(n));
    }

    /// Shows the present bridges and ports to those who translate packets.
    pub fn publish(&self) {
        self.state.borrow_mut().publish();
    }
}

/// Sets a device up or down on a thread where nobody waits: the kernel may hold its lock for long.
fn set_up_elsewhere(device: Arc<dyn Device>, up: bool) {
    tokio::task::spawn_blocking(move || {
        if let Err(e) = device.set_up(up) {
            vlog_warn!(Module::Netdev, "{}: could not set admin state ({})", device.name(), strerror(&e));
        }
    });
}

impl State {
    /// A number for a new bridge.
    pub fn new_bridge_id(&mut self) -> BridgeId {
        self.next_bridge += 1;
        BridgeId(self.next_bridge)
    }

    /// The number that stands for a row of `Port`.
    pub fn bundle_id(&mut self, port: Uuid) -> BundleId {
        let next = BundleId(self.bundle_ids.len() as u64 + 1);
        *self.bundle_ids.entry(port).or_insert(next)
    }

    /// A bridge's entry, made by the reconciler.
    pub fn insert(&mut self, name: &str, bridge: Bridge, backer: &str, config: Rc<config::BridgeConfig>) {
        let entry = BridgeEntry {
            uuid: config.uuid,
            datapath_type: config.datapath_type.clone(),
            backer: backer.into(),
            bridge,
            interfaces: BTreeMap::new(),
            errors: BTreeMap::new(),
            config,
            endpoints: BTreeMap::new(),
            mirrored: HashMap::new(),
            standalone: None,
            wakers: HashMap::new(),
        };
        self.bridges.insert(name.into(), entry);
    }

    fn publish(&mut self) {
        let names: Vec<String> = self.bridges.keys().cloned().collect();
        for name in &names {
            self.publish_bridge(name);
        }
        for (kind, backer) in &self.backers {
            let mut network = Network::empty(backer.features());
            network.frozen = backer.upcalls.network().frozen.clone();
            for entry in self.bridges.values().filter(|e| e.backer == *kind) {
                let id = entry.bridge.shared.id;
                network.bridges.insert(id, entry.bridge.shared.clone());
                for i in entry.interfaces.values() {
                    if let Some(dp) = i.dp {
                        network.dp_ports.insert(dp, (id, i.of));
                    }
                }
            }
            backer.upcalls.set_network(network);
        }
    }

    /// The other end of a patch port: the port called `peer`, if it points back here.
    fn peer_of(&self, backer: &str, name: &str, peer: &str) -> Option<(BridgeId, OfPort)> {
        self.bridges.values().filter(|e| e.backer == backer).find_map(|e| {
            let i = e.interfaces.get(peer)?;
            (i.peer.as_deref() == Some(name)).then_some((e.bridge.shared.id, i.of))
        })
    }

    fn publish_bridge(&mut self, name: &str) {
        let Some(entry) = self.bridges.get(name) else { return };
        let bundle_uuids: Vec<Uuid> = entry.config.ports.values().map(|p| p.uuid).collect();
        bundle_uuids.iter().for_each(|u| {
            self.bundle_id(*u);
        });
        let Some(entry) = self.bridges.get(name) else { return };
        let mut view = BridgeConfig {
            id: entry.bridge.shared.id,
            name: name.into(),
            flood_vlans: entry.config.flood_vlans.iter().copied().collect(),
            forward_bpdu: entry.config.forward_bpdu,
            frags: match entry.bridge.frags {
                1 => FragHandling::Drop,
                3 => FragHandling::NxMatch,
                _ => FragHandling::Normal,
            },
            ..BridgeConfig::default()
        };
        for (port_name, port) in &entry.config.ports {
            let Some(&id) = self.bundle_ids.get(&port.uuid) else { continue };
            let present = port.interfaces.keys().filter_map(|n| Some((n, entry.interfaces.get(n)?)));
            let mut numbers = vec![];
            for (iface_name, i) in present {
                numbers.push(i.of);
                let of = entry.bridge.ports.get(&i.of);
                view.ports.insert(
                    i.of,
                    Port {
                        of: i.of,
                        dp: i.dp,
                        name: iface_name.clone(),
                        mac: of.map(|p| p.mac).unwrap_or_default(),
                        bundle: id,
                        config: of.map_or(0, |p| p.desc().config),
                        up: of.is_some_and(|p| p.carrier && p.admin_up),
                        peer: i.peer.as_deref().and_then(|p| self.peer_of(&entry.backer, iface_name, p)),
                        ..Port::default()
                    },
                );
            }
            if numbers.is_empty() {
                continue;
            }
            numbers.sort();
            let mut b = bundle(id, port_name, numbers, port);
            b.no_flood = b.ports.iter().all(|p| view.ports.get(p).is_some_and(|p| p.config & PC_NO_FLOOD != 0));
            view.bundles.insert(id, b);
            view.flood_order.push(id);
        }
        let place = |id: &BundleId| {
            let first = view.bundles.get(id).and_then(|b| b.ports.first().copied());
            // Floods go out in the order in which ports were added.
            (first != Some(OfPort::LOCAL), *id)
        };
        let mut order = std::mem::take(&mut view.flood_order);
        order.sort_by_key(place);
        view.flood_order = order;
        view.miss_to_controller = entry.bridge.miss_to_controller();
        view.miss_send_len = u16::MAX;
        view.tun_options = entry.bridge.tunnel_options();
        let bundles: HashMap<Uuid, BundleId> = entry
            .config
            .ports
            .values()
            .filter_map(|p| Some((p.uuid, *self.bundle_ids.get(&p.uuid).filter(|id| view.bundles.contains_key(id))?)))
            .collect();
        let Some(entry) = self.bridges.get_mut(name) else { return };
        view.mirrors = crate::mirrors::view(&entry.config.mirrors, &bundles, &mut entry.mirrored);
        entry.bridge.shared.config.publish(view.into());
    }
}

fn bundle(id: BundleId, name: &str, ports: Vec<OfPort>, c: &config::PortConfig) -> Bundle {
    use translate::view::{PriorityTags, VlanMode};
    let set = |vlans: &[u16]| (!vlans.is_empty()).then(|| vlans.iter().copied().collect::<VlanSet>());
    let mut trunks = set(&c.trunks);
    // The native VLAN is carried whether or not `trunks` names it (ovs-vswitchd.conf.db(5), Port:vlan_mode).
    if let (Some(t), config::VlanMode::NativeTagged | config::VlanMode::NativeUntagged) = (&mut trunks, c.vlan_mode) {
        t.insert(c.tag);
    }
    Bundle {
        id,
        name: name.into(),
        ports,
        vlan_mode: match c.vlan_mode {
            config::VlanMode::Access => VlanMode::Access,
            config::VlanMode::Trunk => VlanMode::Trunk,
            config::VlanMode::NativeTagged => VlanMode::NativeTagged,
            config::VlanMode::NativeUntagged => VlanMode::NativeUntagged,
            config::VlanMode::Dot1qTunnel => VlanMode::Dot1qTunnel,
        },
        tag: c.tag,
        trunks,
        cvlans: set(&c.cvlans),
        qinq_ethtype: c.qinq_ethtype,
        priority_tags: match c.priority_tags {
            config::PriorityTags::Never => PriorityTags::Never,
            config::PriorityTags::IfNonzero => PriorityTags::IfNonzero,
            config::PriorityTags::Always => PriorityTags::Always,
        },
        protected: c.protected,
        no_flood: false,
        bond: None,
    }
}
