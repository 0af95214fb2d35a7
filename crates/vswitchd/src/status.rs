//! Writes back to the database what came of the configuration, and how the interfaces are.

use crate::app::{App, BridgeEntry, Interface};
use crate::backer;
use crate::config::{Config, InterfaceConfig};
use crate::reconcile::{Facts, ask_device, port_of};
use flow::OfPort;
use idl::typed::Table;
use idl::vswitch::OpenVSwitch;
use idl::{Replica, Txn};
use netdev::Device;
use openflow::message::control::ControllerRole;
use ovsdb_data::{Atom, Datum, Uuid};
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// Collects the columns of a row that differ from what the database has.
struct Columns<'a> {
    replica: &'a Replica,
    table: &'static str,
    uuid: Uuid,
    changed: Map<String, serde_json::Value>,
}

impl<'a> Columns<'a> {
    fn of(replica: &'a Replica, table: &'static str, uuid: Uuid) -> Self {
        Columns { replica, table, uuid, changed: Map::new() }
    }

    fn set(&mut self, column: &str, value: Datum) {
        let Some(row) = self.replica.row(self.table, self.uuid) else { return };
        // While a transaction of ours is under way, the row may be about to change: what it holds now says nothing. A schema older
        // or newer than ours may lack the column.
        if row.get(column).is_some_and(|old| self.replica.is_writing() || *old != value) {
            self.changed.insert(column.into(), value.to_json());
        }
    }

    fn optional(&mut self, column: &str, value: Option<impl Into<Datum>>) {
        self.set(column, value.map_or_else(|| Datum::set(vec![]), Into::into));
    }

    fn finish(self, txn: &mut Txn) {
        if !self.changed.is_empty() {
            txn.update(self.table, self.uuid, self.changed);
        }
    }
}

fn strings(list: &[&str]) -> Datum {
    Datum::set(list.iter().map(|s| Atom::string(s)).collect())
}

/// What came of a configuration: errors, numbers, `cur_cfg`. With `only`, of these interfaces.
pub fn outcome(app: &App, replica: &Replica, config: &Config, only: Option<&BTreeSet<String>>, txn: &mut Txn) {
    let state = app.state.borrow();
    for (name, wanted) in &config.bridges {
        let mut row = Columns::of(replica, "Bridge", wanted.uuid);
        match state.bridges.get(name) {
            Some(e) => {
                row.optional("datapath_id", Some(format!("{:016x}", e.bridge.datapath_id).as_str()));
                // Linux does not tell a version of its datapath.
                let in_kernel = state.backers.get(&e.backer).is_some_and(|b| b.kernel().is_some());
                row.set("datapath_version", if in_kernel { "<unknown>" } else { "<built-in>" }.into());
            }
            None => row.optional("datapath_id", None::<&str>),
        }
        row.finish(txn);
        let all: Vec<(&String, &InterfaceConfig)> = match only {
            None => wanted.ports.values().flat_map(|p| &p.interfaces).collect(),
            Some(only) => only.iter().filter_map(|name| Some((name, wanted.interface(name)?))).collect(),
        };
        for (iface, w) in all {
            let mut row = Columns::of(replica, "Interface", w.uuid);
            let entry = state.bridges.get(name);
            match entry.and_then(|e| e.interfaces.get(iface)) {
                Some(i) => {
                    let n = if i.of == OfPort::LOCAL { 65534 } else { i64::from(i.of.0) };
                    row.optional("ofport", Some(n));
                    let lonely = i
                        .peer
                        .as_deref()
                        .filter(|peer| entry.is_some_and(|e| state.peer_of(&e.backer, iface, peer).is_none()));
                    let error = lonely
                        .map(|peer| format!("No usable peer '{peer}' exists in '{}' datapath.", wanted.datapath_type));
                    row.optional("error", error.as_deref());
                }
                None => {
                    let error = entry.and_then(|e| e.errors.get(iface));
                    if entry.is_some() {
                        row.optional("ofport", Some(-1i64));
                    }
                    row.optional("error", error.map(String::as_str));
                }
            }
            row.finish(txn);
        }
    }
    if let Some(root) = replica.only::<OpenVSwitch>() {
        let mut row = Columns::of(replica, "Open_vSwitch", root.uuid());
        row.set("datapath_types", strings(&backer::datapath_types(app.dummy)));
        row.set("iface_types", strings(&backer::interface_types(app.dummy)));
        row.set("dpdk_initialized", false.into());
        row.optional("dpdk_version", Some("none"));
        row.set("cur_cfg", config.next_cfg.into());
        row.finish(txn);
        for (kind, datapath) in root.datapaths() {
            // A row may wait for the first bridge of its type.
            let backer = backer::effective_type(kind, app.dummy).ok().and_then(|k| state.backers.get(k));
            let Some(backer) = backer else { continue };
            let pairs = crate::dp_features::capabilities(backer);
            let pairs = pairs.into_iter().map(|(k, v)| (Atom::string(k), Atom::string(&v))).collect();
            let mut row = Columns::of(replica, "Datapath", datapath.uuid());
            row.set("capabilities", Datum::map(pairs));
            row.finish(txn);
        }
    }
}

/// What the host and the daemons are doing.
pub fn system(replica: &Replica, statistics: &BTreeMap<String, String>, txn: &mut Txn) {
    let Some(root) = replica.only::<OpenVSwitch>() else { return };
    let mut row = Columns::of(replica, "Open_vSwitch", root.uuid());
    row.set("statistics", Datum::string_map(statistics));
    row.finish(txn);
}

/// What the mirrors have counted.
pub fn mirrors(app: &App, replica: &Replica, txn: &mut Txn) {
    let state = app.state.borrow();
    for (uuid, counters) in state.bridges.values().flat_map(|entry| &entry.mirrored) {
        let (packets, bytes) = counters.read();
        let pairs = [pair(("tx_packets", packets)), pair(("tx_bytes", bytes))];
        let pairs = pairs.into_iter().map(|(k, v)| (Atom::string(&k), Atom::Integer(v))).collect();
        let mut row = Columns::of(replica, "Mirror", *uuid);
        row.set("statistics", Datum::map(pairs));
        row.finish(txn);
    }
}

/// How the connections to controllers are.
pub fn controllers(app: &App, replica: &Replica, config: &Config, txn: &mut Txn) {
    let state = app.state.borrow();
    let now = app.clock.now();
    for (name, wanted) in &config.bridges {
        let Some(entry) = state.bridges.get(name) else { continue };
        for c in &wanted.controllers {
            let Ok(remote) = io::Remote::parse(&c.target, io::stream::OPENFLOW_PORT) else { continue };
            if remote.is_passive() {
                continue;
            }
            let Some(endpoint) = entry.endpoints.get(&remote.to_string()) else { continue };
            let link = endpoint.link.borrow();
            let conn = link.conn.and_then(|id| entry.bridge.connections().find(|(of, _)| *of == id));
            let role = conn.map(|(_, conn)| match conn.role {
                ControllerRole::Primary => "master",
                ControllerRole::Secondary => "slave",
                ControllerRole::Equal | ControllerRole::NoChange => "other",
            });
            let seconds = |at: Option<clock::Instant>| at.map(|at| now.since(at).as_secs().to_string());
            let counters = conn.map(|(_, conn)| conn.packet_counters()).unwrap_or_default();
            let counters = counters.into_iter().map(|(key, n)| (key, Some(n.to_string())));
            let pairs = [
                ("last_error", link.last_error.clone()),
                ("sec_since_connect", seconds(link.connected_at)),
                ("sec_since_disconnect", seconds(link.disconnected_at)),
                ("state", Some(link.state.to_string())),
            ];
            let mut row = Columns::of(replica, "Controller", c.uuid);
            row.set("is_connected", conn.is_some().into());
            row.optional("role", role);
            row.set("status", Datum::string_map(pairs.into_iter().chain(counters).filter_map(|(k, v)| Some((k, v?)))));
            row.finish(txn);
        }
    }
}

/// Interfaces that are dealt with before connections get their turn.
const AT_ONCE: usize = 32;

/// How the interfaces are, read from the devices where nobody waits; also refreshes the OpenFlow ports. With
/// `statistics`, counters too; with `only`, of these.
pub async fn interfaces(app: &Rc<App>, statistics: bool, only: Option<&BTreeSet<String>>) -> Vec<Report> {
    type Named = (String, String, Option<Arc<dyn Device>>);
    let all: Vec<Named> = {
        let state = app.state.borrow();
        let of = |(b, e): (&String, &BridgeEntry)| -> Vec<_> {
            let named = |(n, i): (&String, &Interface)| (b.clone(), n.clone(), i.device.clone());
            match only {
                None => e.interfaces.iter().map(named).collect(),
                Some(only) => only.iter().filter_map(|n| Some(named((n, e.interfaces.get(n)?)))).collect(),
            }
        };
        state.bridges.iter().flat_map(of).collect()
    };
    let mut reports = vec![];
    let mut changed = false;
    if all.is_empty() {
        return reports;
    }
    // One trip to where nobody waits, for all of them.
    let asked = tokio::task::spawn_blocking(move || {
        let ask = |(bridge, name, device): Named| {
            let facts = ask_device(device.as_deref());
            let (stats, status) = match &device {
                Some(d) => (statistics.then(|| d.counters().unwrap_or_default()), d.status()),
                None => (None, vec![]),
            };
            (bridge, name, facts, stats, status)
        };
        all.into_iter().map(ask).collect::<Vec<_>>()
    });
    for (n, (bridge, name, facts, stats, status)) in asked.await.unwrap_or_default().into_iter().enumerate() {
        if n % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        let mut state = app.state.borrow_mut();
        let Some(entry) = state.bridges.get_mut(&bridge) else { continue };
        entry.note_mtu(&name, facts.link.mtu);
        let Some(i) = entry.interfaces.get(&name) else { continue };
        let refreshed = entry.bridge.ports.get(&i.of).map(|old| {
            let mut p = port_of(&name, i, &facts, old.config);
            p.bundle = old.bundle;
            p
        });
        reports.push(report(entry, i, facts, stats, status));
        let Some(p) = refreshed.filter(|p| entry.bridge.ports.get(&p.of) != Some(p)) else { continue };
        changed = true;
        entry.bridge.set_port(p);
        entry.interface_changed(&name);
        drop(state);
        app.run_events(&bridge);
    }
    if changed {
        app.publish();
    }
    reports
}

/// How one interface is.
pub struct Report {
    uuid: Uuid,
    facts: Facts,
    stats: Option<Vec<(String, i64)>>,
    status: Vec<(String, String)>,
    has_device: bool,
}

fn report(
    entry: &BridgeEntry,
    i: &Interface,
    facts: Facts,
    stats: Option<Vec<(String, u64)>>,
    status: Vec<(String, String)>,
) -> Report {
    let patch = i.device.is_none();
    let stats = if patch && stats.is_none() {
        let [rx, rx_bytes, tx, tx_bytes] = switch::packet_in::patch_counters(entry.bridge.shared.id, i.of);
        Some(
            [("rx_packets", rx), ("rx_bytes", rx_bytes), ("tx_packets", tx), ("tx_bytes", tx_bytes)].map(pair).to_vec(),
        )
    } else {
        stats.map(|s| s.into_iter().map(|(key, n)| pair((&key, n))).collect())
    };
    Report { uuid: i.uuid, facts, stats, status, has_device: !patch }
}

fn pair((name, n): (&str, u64)) -> (String, i64) {
    (name.to_string(), i64::try_from(n).unwrap_or(i64::MAX))
}

/// Writes reports to the rows.
pub async fn write(replica: &Replica, reports: &[Report], txn: &mut Txn) {
    for (n, r) in reports.iter().enumerate() {
        if n % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        let mut row = Columns::of(replica, "Interface", r.uuid);
        let up = |b: bool| if b { "up" } else { "down" };
        let link = &r.facts.link;
        row.optional("admin_state", Some(up(link.up)));
        row.optional("link_state", Some(up(link.carrier)));
        row.optional("mac_in_use", Some(link.mac.to_string().as_str()));
        row.optional("ifindex", Some(i64::from(link.ifindex)));
        row.optional("mtu", r.has_device.then_some(i64::from(link.mtu)));
        row.optional("link_resets", Some(i64::try_from(link.carrier_changes).unwrap_or(i64::MAX)));
        let speed = &r.facts.speed;
        row.optional("link_speed", (speed.mbps != 0).then(|| i64::from(speed.mbps) * 1_000_000));
        row.optional("duplex", speed.full_duplex.map(|f| if f { "full" } else { "half" }));
        row.set("status", Datum::string_map(r.status.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
        if let Some(stats) = &r.stats {
            let pairs = stats.iter().map(|(k, v)| (Atom::string(k), Atom::Integer(*v))).collect();
            row.set("statistics", Datum::map(pairs));
        }
        row.finish(txn);
    }
}
