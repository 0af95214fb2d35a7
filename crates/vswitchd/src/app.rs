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
use translate::view::BridgeId;

use crate::config;
use crate::publish::{BundleIds, DpChanges, Told};
use snapshot::SharedMap;

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
    /// MTU that its device had when it was last seen, in bytes; 0 before that.
    pub mtu: u32,
    /// The MTU for which the bridge's internal ports look at it, if they do.
    pub mtu_counts: Option<u32>,
}

impl Interface {
    /// MTU that the database asks for.
    pub fn mtu_request(&self) -> Option<u32> {
        self.configured.and_then(|(mtu, _)| mtu)
    }

    /// Whether its MTU is made what those of other ports are.
    pub fn follows_mtu(&self) -> bool {
        self.kind == "internal" && self.mtu_request().is_none()
    }
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
    /// Interfaces whose number is not the one that the database asks for.
    pub misnumbered: BTreeSet<String>,
    /// Interfaces that were taken away, and that the database may want in another form.
    pub again: BTreeSet<String>,
    /// MTUs of its ports.
    pub mtus: crate::mtu::Mtus,
    /// What the database wanted when it was last applied.
    pub config: Rc<config::BridgeConfig>,
    /// What translation knows of its ports.
    pub told: Told,
    /// Listeners and connections to controllers, by target.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// What its mirrors have counted, by row.
    pub mirrored: HashMap<Uuid, Arc<translate::view::Counters>>,
    /// Whether it learns by itself, having no controller.
    pub standalone: Option<bool>,
    /// Since when it has controllers and reaches none.
    pub alone_since: Option<Instant>,
    /// Whether it forwards alone for that.
    pub fails_open: bool,
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
    /// Names of dummies whose state is another than the database says.
    pub devices_changed: BTreeSet<String>,
    /// Numbers of ports of the database.
    pub bundle_ids: BundleIds,
    /// Targets of managers that bridges let through.
    pub managers: Vec<String>,
    /// Interfaces of type `patch`, by bridge and name.
    pub patches: BTreeSet<(String, String)>,
    /// Settings of polling threads that were applied last, and the datapaths that have them.
    pub settled: Option<(BTreeMap<String, String>, Vec<String>)>,
    pub(crate) dp_changes: DpChanges,
    next_bridge: u64,
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
    /// Values in the copy of the database.
    pub cells: std::cell::Cell<usize>,
    /// Somebody asked the daemon to end; true: and to take its interfaces with it.
    pub exit: RefCell<Option<bool>>,
    /// Woken when a connection to a controller came or went.
    pub controllers_changed: Notify,
    /// Woken when a device is seen to have changed.
    pub devices_changed: Notify,
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
            cells: std::cell::Cell::default(),
            exit: RefCell::default(),
            controllers_changed: Notify::new(),
            devices_changed: Notify::new(),
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
        entry.bridge.configure_conn(id, kind.class, kind.rate, kind.quiet, now);
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
                    Event::Settings => republish = true,
                    Event::Port(port) => {
                        entry.of_port_changed(port);
                        republish = true;
                    }
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
        let state = &mut *state;
        for e in state.bridges.values_mut() {
            let mut changed = vec![];
            for i in e.interfaces.values() {
                let (Some(d), Some(old)) = (&i.device, e.bridge.ports.get(&i.of)) else { continue };
                if d.as_dummy().is_none() {
                    continue;
                }
                let link = d.state().unwrap_or_default();
                if (old.admin_up, old.carrier) != (link.up, link.up && link.carrier) {
                    let mut port = old.clone();
                    (port.admin_up, port.carrier) = (link.up, link.up && link.carrier);
                    changed.push(port);
                }
            }
            for port in changed {
                e.interface_changed(&port.name);
                state.devices_changed.insert(port.name.clone());
                e.bridge.set_port(port);
            }
        }
        if !state.devices_changed.is_empty() {
            self.devices_changed.notify_one();
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
        crate::own_flows::follow(self);
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

    /// A bridge's entry, made by the reconciler.
    pub fn insert(&mut self, name: &str, bridge: Bridge, backer: &str, config: Rc<config::BridgeConfig>) {
        // Nothing of it is applied yet.
        let nothing = Rc::new(config::BridgeConfig {
            ports: SharedMap::default(),
            interfaces: SharedMap::default(),
            flow_tables: BTreeMap::new(),
            ..(*config).clone()
        });
        let entry = BridgeEntry {
            uuid: config.uuid,
            datapath_type: config.datapath_type.clone(),
            backer: backer.into(),
            bridge,
            interfaces: BTreeMap::new(),
            errors: BTreeMap::new(),
            misnumbered: BTreeSet::new(),
            again: BTreeSet::new(),
            mtus: crate::mtu::Mtus::default(),
            config: nothing,
            told: Told::default(),
            endpoints: BTreeMap::new(),
            mirrored: HashMap::new(),
            standalone: None,
            alone_since: None,
            fails_open: false,
            wakers: HashMap::new(),
        };
        self.bridges.insert(name.into(), entry);
    }
}
