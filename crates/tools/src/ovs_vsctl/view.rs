//! Bridges as users see them: real ones, and the fake ones that are ports with a VLAN of real ones.

use crate::ctl::store::Store;
use ovsdb_data::Uuid;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// A bridge.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// Row in `Bridge`; of the parent, for a fake bridge.
    pub uuid: Uuid,
    /// Name of the real bridge that a fake one is in.
    pub parent: Option<String>,
    /// VLAN of a fake bridge, else 0.
    pub vlan: i64,
    /// Port that a fake bridge is.
    pub port: Option<Uuid>,
}

/// A port.
#[derive(Clone, Debug)]
pub struct Port {
    /// Row in `Port`.
    pub uuid: Uuid,
    /// Name of the bridge that it belongs to, a fake one perhaps.
    pub bridge: String,
}

/// An interface.
#[derive(Clone, Debug)]
pub struct Iface {
    /// Row in `Interface`.
    pub uuid: Uuid,
    /// Name of its port.
    pub port: String,
}

/// All bridges, and ports and interfaces that belong to them.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// By name.
    pub bridges: BTreeMap<String, Bridge>,
    /// By name; ports that are fake bridges are not among them.
    pub ports: HashMap<String, Port>,
    /// By name.
    pub ifaces: HashMap<String, Iface>,
}

/// Columns that decide what a view shows.
const COLUMNS: &[&str] = &["bridges", "fake_bridge", "interfaces", "name", "ports", "tag"];

impl View {
    /// How things are now; commands that follow each other and change nothing look only once.
    pub fn new(store: &mut Store) -> Rc<View> {
        if let Some(known) = store.digest() {
            return known;
        }
        let view = Rc::new(View::look(store));
        store.keep_digest(view.clone(), COLUMNS);
        view
    }

    /// Notes a port that was added to a bridge since this view was taken, and that nothing else has changed.
    pub fn with_port(mut self: Rc<View>, store: &mut Store, name: &str, port: Port, ifaces: &[Uuid]) {
        let view = Rc::make_mut(&mut self);
        view.ports.insert(name.to_string(), port);
        for iface in ifaces {
            let iface_name = store.text("Interface", *iface, "name");
            view.ifaces.insert(iface_name, Iface { uuid: *iface, port: name.to_string() });
        }
        store.keep_digest(self, COLUMNS);
    }

    /// Notes that a port is gone with its interfaces, and that nothing else has changed.
    pub fn without_port(mut self: Rc<View>, store: &mut Store, name: &str, ifaces: &[String]) {
        let view = Rc::make_mut(&mut self);
        view.ports.remove(name);
        ifaces.iter().for_each(|iface| _ = view.ifaces.remove(iface));
        store.keep_digest(self, COLUMNS);
    }

    fn look(store: &Store) -> View {
        let mut view = View::default();
        let roots: Vec<Uuid> = store.rows("Open_vSwitch").map(|(uuid, _)| uuid).collect();
        let bridges = roots.iter().flat_map(|root| store.refs("Open_vSwitch", *root, "bridges"));
        let bridges: Vec<Uuid> = bridges.filter(|uuid| store.row("Bridge", *uuid).is_some()).collect();
        for uuid in &bridges {
            let name = store.text("Bridge", *uuid, "name");
            view.bridges.insert(name.clone(), Bridge { uuid: *uuid, parent: None, vlan: 0, port: None });
            for port in store.refs("Bridge", *uuid, "ports") {
                if let Some(vlan) = fake_vlan(store, port) {
                    let fake = Bridge { uuid: *uuid, parent: Some(name.clone()), vlan, port: Some(port) };
                    view.bridges.insert(store.text("Port", port, "name"), fake);
                }
            }
        }
        for uuid in &bridges {
            view.add_ports(store, *uuid);
        }
        view
    }

    fn add_ports(&mut self, store: &Store, bridge: Uuid) {
        let name = store.text("Bridge", bridge, "name");
        let fakes: HashMap<i64, String> = self
            .bridges
            .iter()
            .filter(|(_, b)| b.uuid == bridge && b.parent.is_some())
            .map(|(name, b)| (b.vlan, name.clone()))
            .collect();
        for port in store.refs("Bridge", bridge, "ports") {
            if store.row("Port", port).is_none() {
                continue;
            }
            let port_name = store.text("Port", port, "name");
            let tag = store.get("Port", port, "tag").and_then(|d| d.scalar()?.as_integer());
            let home = tag.and_then(|tag| fakes.get(&tag)).unwrap_or(&name).clone();
            self.ports.insert(port_name.clone(), Port { uuid: port, bridge: home });
            for iface in store.refs("Port", port, "interfaces") {
                let iface_name = store.text("Interface", iface, "name");
                self.ifaces.insert(iface_name, Iface { uuid: iface, port: port_name.clone() });
            }
        }
    }

    /// A bridge that must be there.
    pub fn bridge(&self, name: &str) -> Result<&Bridge, String> {
        self.bridges.get(name).ok_or_else(|| format!("no bridge named {name}"))
    }

    /// A port that must be there and is not the local port of a bridge.
    pub fn port(&self, name: &str) -> Result<&Port, String> {
        self.ports.get(name).filter(|_| !self.bridges.contains_key(name)).ok_or_else(|| format!("no port named {name}"))
    }

    /// An interface that must be there and is not the local one of a bridge.
    pub fn iface(&self, name: &str) -> Result<&Iface, String> {
        let found = self.ifaces.get(name).filter(|_| !self.bridges.contains_key(name));
        found.ok_or_else(|| format!("no interface named {name}"))
    }

    /// The bridge of an interface.
    pub fn bridge_of(&self, iface: &Iface) -> String {
        self.ports.get(&iface.port).map(|port| port.bridge.clone()).unwrap_or_default()
    }

    /// Refuses a name that something has already; `what` is what was to be made.
    pub fn check_free(&self, name: &str, what: &str) -> Result<(), String> {
        if self.bridges.contains_key(name) {
            return Err(format!("{what} because a bridge named {name} already exists"));
        }
        if let Some(port) = self.ports.get(name) {
            return Err(format!("{what} because a port named {name} already exists on bridge {}", port.bridge));
        }
        if let Some(iface) = self.ifaces.get(name) {
            let bridge = self.bridge_of(iface);
            return Err(format!("{what} because an interface named {name} already exists on bridge {bridge}"));
        }
        Ok(())
    }
}

fn fake_vlan(store: &Store, port: Uuid) -> Option<i64> {
    let fake = store.get("Port", port, "fake_bridge")?.scalar()?.as_bool()?;
    let tag = store.get("Port", port, "tag")?.scalar()?.as_integer()?;
    (fake && (0..=4095).contains(&tag)).then_some(tag)
}
