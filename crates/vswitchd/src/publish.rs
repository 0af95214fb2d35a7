//! Shows bridges and ports to those who translate packets. Only what has changed is made anew: the cost of one port does not
//! grow with their number.

use crate::app::{BridgeEntry, State};
use crate::config;
use ::openflow::message::ports::PC_NO_FLOOD;
use flow::{DpPort, OfPort};
use ovsdb_data::Uuid;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use translate::view::{BridgeConfig, BridgeId, Bundle, BundleId, FragHandling, Network, Port, VlanSet};

/// What translation has to be told anew of a bridge, and what it was told.
#[derive(Default)]
pub struct Told {
    /// Names of ports of the database that are new, changed or gone.
    stale: BTreeSet<String>,
    /// Numbers of those that translation knows.
    known: BTreeMap<String, BundleId>,
}

/// Ports of a datapath that came or went, in this order.
#[derive(Default)]
pub struct DpChanges(HashMap<String, Vec<(DpPort, BridgeId, OfPort, bool)>>);

/// Numbers that stand for rows of `Port`.
#[derive(Default)]
pub struct BundleIds {
    by_row: HashMap<Uuid, BundleId>,
    last: u64,
}

impl BundleIds {
    /// The number of a row; a new one, larger than all before it, if it has none.
    pub fn of(&mut self, row: Uuid) -> BundleId {
        *self.by_row.entry(row).or_insert_with(|| {
            self.last += 1;
            BundleId(self.last)
        })
    }

    /// Forgets rows that are gone, now and then.
    fn prune(&mut self, bridges: &BTreeMap<String, BridgeEntry>) {
        let ports: usize = bridges.values().map(|e| e.config.ports.len()).sum();
        if self.by_row.len() > 2 * ports + 64 {
            let rows: BTreeSet<Uuid> = bridges.values().flat_map(|e| e.config.ports.values().map(|p| p.uuid)).collect();
            self.by_row.retain(|row, _| rows.contains(row));
        }
    }
}

/// Ports of the database that changed at once, above which the order of flooding is made anew as a whole.
const MANY: usize = 64;

impl BridgeEntry {
    /// Says that a port of the database has changed.
    pub fn port_changed(&mut self, port: &str) {
        self.told.stale.insert(port.to_string());
    }

    /// Says that an interface has changed.
    pub fn interface_changed(&mut self, interface: &str) {
        let port = self.config.interfaces.get(interface).map_or(interface, |p| &p.name).to_string();
        self.told.stale.insert(port);
    }

    /// Says that an OpenFlow port has changed.
    pub fn of_port_changed(&mut self, of: OfPort) {
        if let Some(name) = self.bridge.ports.get(&of).map(|p| p.name.clone()) {
            self.interface_changed(&name);
        }
    }
}

impl State {
    /// Notes that an interface came (`there`) or went. One without a port of the datapath is the end of a patch; its other end
    /// changes with it.
    pub fn wired(&mut self, bridge: &str, name: &str, of: OfPort, dp: Option<DpPort>, there: bool) {
        let Some(entry) = self.bridges.get(bridge) else { return };
        if let Some(dp) = dp {
            let changes = self.dp_changes.0.entry(entry.backer.clone()).or_default();
            changes.push((dp, entry.bridge.shared.id, of, there));
            return;
        }
        if there {
            self.patches.insert((bridge.to_string(), name.to_string()));
        } else {
            self.patches.remove(&(bridge.to_string(), name.to_string()));
        }
        for (bridge, patch) in &self.patches {
            let Some(entry) = self.bridges.get_mut(bridge) else { continue };
            let peer = entry.interfaces.get(patch).and_then(|i| i.peer.as_deref());
            if peer == Some(name) || patch == name {
                entry.interface_changed(patch);
                // Whether it has a peer is written to its row.
                self.touched.insert(patch.clone());
            }
        }
    }

    /// Shows the present bridges and ports to those who translate packets.
    pub fn publish(&mut self) {
        let names: Vec<String> = self.bridges.keys().cloned().collect();
        for name in &names {
            self.publish_bridge(name);
        }
        for (kind, backer) in &self.backers {
            let before = backer.upcalls.network();
            let mut network = Network::empty(backer.features());
            network.frozen = before.frozen.clone();
            network.dp_ports = before.dp_ports.clone();
            for (dp, bridge, of, there) in self.dp_changes.0.remove(kind).unwrap_or_default() {
                if there {
                    network.dp_ports.insert(dp, (bridge, of));
                } else if network.dp_ports.get(&dp) == Some(&(bridge, of)) {
                    network.dp_ports.remove(&dp);
                }
            }
            for entry in self.bridges.values().filter(|e| e.backer == *kind) {
                network.bridges.insert(entry.bridge.shared.id, entry.bridge.shared.clone());
            }
            backer.upcalls.set_network(network);
        }
        self.dp_changes.0.clear();
        self.bundle_ids.prune(&self.bridges);
    }

    /// The other end of a patch port: the port called `peer`, if it points back here.
    pub fn peer_of(&self, backer: &str, name: &str, peer: &str) -> Option<(BridgeId, OfPort)> {
        self.bridges.values().filter(|e| e.backer == backer).find_map(|e| {
            let i = e.interfaces.get(peer)?;
            (i.peer.as_deref() == Some(name)).then_some((e.bridge.shared.id, i.of))
        })
    }

    fn publish_bridge(&mut self, name: &str) {
        let Some(entry) = self.bridges.get_mut(name) else { return };
        let stale = std::mem::take(&mut entry.told.stale);
        let mut view = BridgeConfig::clone(&entry.bridge.shared.config.load());
        settings(&mut view, entry);
        for port in &stale {
            let new = self.port_view(name, port);
            let Some(entry) = self.bridges.get_mut(name) else { return };
            replace(&mut view, &mut entry.told.known, port, new, stale.len() <= MANY);
        }
        if stale.len() > MANY {
            let mut order: Vec<_> = view.bundles.iter().map(|(_, b)| place(b)).collect();
            order.sort_unstable();
            view.flood_order = order.into_iter().map(|(_, id)| id).collect();
        }
        let Some(entry) = self.bridges.get_mut(name) else { return };
        let mirrors = &entry.config.mirrors;
        let rows = entry.config.ports.values().filter(|_| !mirrors.is_empty());
        let bundles: HashMap<Uuid, BundleId> =
            rows.filter_map(|p| Some((p.uuid, *entry.told.known.get(&p.name)?))).collect();
        view.mirrors = crate::mirrors::view(mirrors, &bundles, &mut entry.mirrored);
        entry.bridge.shared.config.publish(view.into());
    }

    /// A port of the database as translation sees it, with its OpenFlow ports; none if none of its interfaces is there.
    fn port_view(&mut self, bridge: &str, name: &str) -> Option<(Bundle, Vec<Port>)> {
        let port = self.bridges.get(bridge)?.config.ports.get_shared(name)?.clone();
        let id = self.bundle_ids.of(port.uuid);
        let entry = self.bridges.get(bridge)?;
        let one = |iface: &String| {
            let i = entry.interfaces.get(iface)?;
            let of = entry.bridge.ports.get(&i.of);
            Some(Port {
                of: i.of,
                dp: i.dp,
                name: iface.clone(),
                mac: of.map(|p| p.mac).unwrap_or_default(),
                bundle: id,
                config: of.map_or(0, |p| p.desc().config),
                up: of.is_some_and(|p| p.carrier && p.admin_up),
                peer: i.peer.as_deref().and_then(|p| self.peer_of(&entry.backer, iface, p)),
                ..Port::default()
            })
        };
        let mut ports: Vec<Port> = port.interfaces.keys().filter_map(one).collect();
        if ports.is_empty() {
            return None;
        }
        ports.sort_by_key(|p| p.of);
        let mut bundle = bundle(id, name, ports.iter().map(|p| p.of).collect(), &port);
        bundle.no_flood = ports.iter().all(|p| p.config & PC_NO_FLOOD != 0);
        Some((bundle, ports))
    }
}

/// Settings of a bridge that are not those of its ports.
fn settings(view: &mut BridgeConfig, entry: &BridgeEntry) {
    view.flood_vlans = entry.config.flood_vlans.iter().copied().collect();
    view.forward_bpdu = entry.config.forward_bpdu;
    view.frags = match entry.bridge.frags {
        1 => FragHandling::Drop,
        3 => FragHandling::NxMatch,
        _ => FragHandling::Normal,
    };
    view.miss_to_controller = entry.bridge.miss_to_controller();
    view.miss_send_len = u16::MAX;
    view.tun_options = entry.bridge.tunnel_options();
}

/// Where a port stands in a flood: the bridge's own first, the others in the order in which they were added.
fn place(bundle: &Bundle) -> (bool, BundleId) {
    (bundle.ports.first() != Some(&OfPort::LOCAL), bundle.id)
}

/// Puts a port in the place of the one that had its name.
fn replace(
    view: &mut BridgeConfig,
    known: &mut BTreeMap<String, BundleId>,
    name: &str,
    new: Option<(Bundle, Vec<Port>)>,
    in_order: bool,
) {
    if let Some(old) = known.remove(name).and_then(|id| view.bundles.remove(&id)) {
        for of in &old.ports {
            // The number may be another port's by now.
            if view.ports.get(of).is_some_and(|p| p.bundle == old.id) {
                view.ports.remove(of);
            }
        }
        if in_order {
            view.flood_order.retain(|id| *id != old.id);
        }
    }
    let Some((bundle, ports)) = new else { return };
    known.insert(name.to_string(), bundle.id);
    for port in ports {
        view.ports.insert(port.of, port);
    }
    if in_order {
        let before = |id: &BundleId| view.bundles.get(id).is_some_and(|b| place(b) < place(&bundle));
        let at = view.flood_order.partition_point(before);
        view.flood_order.insert(at, bundle.id);
    }
    view.bundles.insert(bundle.id, bundle);
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
