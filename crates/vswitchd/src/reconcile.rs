//! Makes bridges, ports and interfaces match the database.
//!
//! Whatever may block in the kernel (opening, closing and configuring devices) runs on another thread and is awaited, so
//! that OpenFlow connections are served meanwhile. What cannot be applied is noted for its row; the rest is applied.

use crate::app::{App, BridgeEntry, Dummy, Interface, State};
use crate::backer::{self, Backer};
use crate::config::{self, Config, InterfaceConfig};
use crate::controllers;
use crate::openflow;
use crate::own_flows;
use crate::settings::Settings;
use flow::OfPort;
use io::coverage::Counter;
use io::program::strerror;
use io::vlog::Module;
use io::{vlog_err, vlog_info, vlog_warn};
use netdev::Device;
use ovsdb_data::Uuid;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use switch::port::Port;
use switch::{Bridge, Upcalls};
use wire::EthAddr;

/// Runs `work` where nobody waits for the thread.
pub async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| format!("device thread failed: {e}"))
}

/// Applies a configuration. Afterwards the state says what came of it.
pub async fn apply(app: &Rc<App>, config: &Config) {
    Counter::BridgeReconfigure.hit();
    remove_bridges(app, config).await;
    for (name, wanted) in &config.bridges {
        let exists = app.state.borrow().bridges.contains_key(name);
        if !exists && let Err(e) = add_bridge(app, name, wanted).await {
            vlog_err!(Module::Bridge, "failed to create bridge {name}: {e}");
            continue;
        }
        remove_interfaces(app, name, wanted).await;
    }
    settle(app, config).await;
    Settings::read(&config.other_config).apply(app);
    for (name, wanted) in &config.bridges {
        if app.state.borrow().bridges.contains_key(name) {
            add_interfaces(app, name, wanted).await;
            if let Some(entry) = app.state.borrow_mut().bridges.get_mut(name) {
                entry.again.clear();
            }
            settle_ports(app, name, wanted).await;
            configure_devices(app, name, wanted).await;
            configure(app, name, wanted);
            choose_address(app, name, wanted).await;
        }
    }
    app.publish();
    app.state.borrow_mut().managers.clone_from(&config.managers);
    for (name, wanted) in &config.bridges {
        if app.state.borrow().bridges.contains_key(name) {
            controllers::follow(app, name, wanted).await;
            app.run_events(name);
        }
    }
    own_flows::follow(app);
    drop_unused_backers(app).await;
    start_backers(app, config).await;
}

/// Lets datapaths answer packets whose bridges are there now, and takes away what an earlier run left in the kernel. With
/// `other_config:flow-restore-wait` the kernel's flows go on as they are until it is taken away.
async fn start_backers(app: &Rc<App>, config: &Config) {
    let waits = config.other_config.get("flow-restore-wait").is_some_and(|v| v == "true");
    let mut work = vec![];
    {
        let mut state = app.state.borrow_mut();
        let state = &mut *state;
        for (kind, backer) in &mut state.backers {
            if !waits && let Err(e) = backer.start() {
                vlog_err!(Module::Bridge, "{e}");
            }
            let mine = state.bridges.values().filter(|e| e.backer == *kind);
            let keep = || mine.flat_map(|e| e.interfaces.values().filter_map(|i| i.dp)).collect();
            work.extend(backer.cleaner(keep));
        }
    }
    for w in work {
        let _ = elsewhere(w).await;
    }
}

/// Settings of polling threads and caches.
async fn settle(app: &Rc<App>, config: &Config) {
    let work: Vec<_> = {
        let mut state = app.state.borrow_mut();
        let now = Some((config.other_config.clone(), state.backers.keys().cloned().collect()));
        if state.settled == now {
            return;
        }
        state.settled = now;
        let settings = dp_user::settings::Settings::parse(|k| config.other_config.get(k).cloned());
        state.backers.values().map(|b| b.settler(settings.clone())).collect()
    };
    for w in work {
        let _ = elsewhere(w).await;
    }
}

/// Ports of a bridge whose configuration is another than the one that was applied last, or some of whose interfaces are new: a
/// change of one port costs nothing for the others.
fn in_question(state: &State, entry: &BridgeEntry, wanted: &config::BridgeConfig) -> Vec<Arc<config::PortConfig>> {
    let changed = wanted.changed_ports(&entry.config).map(|port| (&port.name, port));
    let touched = state.touched.iter().filter_map(|i| wanted.interfaces.get_shared(i)).map(|port| (&port.name, port));
    let ports: BTreeMap<&String, &Arc<config::PortConfig>> = changed.chain(touched).collect();
    ports.into_values().cloned().collect()
}

/// Queues of a bridge's interfaces, and the cores that poll them.
async fn settle_ports(app: &Rc<App>, bridge: &str, wanted: &config::BridgeConfig) {
    let (work, names): (Vec<_>, Vec<String>) = {
        let state = app.state.borrow();
        let Some(entry) = state.bridges.get(bridge) else { return };
        let Some(backer) = state.backers.get(&entry.backer) else { return };
        let ports = in_question(&state, entry, wanted);
        let all = ports.iter().flat_map(|p| &p.interfaces);
        let one = |(name, w): (&String, &InterfaceConfig)| {
            let port = entry.interfaces.get(name)?.dp?;
            let settings = dp_user::settings::PortSettings::parse(|k| w.other_config.get(k).cloned());
            let options = w.options.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            Some((backer.port_settler(port, settings, options), name.clone()))
        };
        all.filter_map(one).unzip()
    };
    if work.is_empty() {
        return;
    }
    app.state.borrow_mut().touched.extend(names);
    // Most ports have nothing to be set: one trip for all.
    let _ = elsewhere(move || work.into_iter().for_each(|w| w())).await;
}

async fn remove_bridges(app: &Rc<App>, config: &Config) {
    let gone: Vec<String> = {
        let state = app.state.borrow();
        let same = |name: &String, e: &BridgeEntry| {
            config.bridges.get(name).is_some_and(|w| w.uuid == e.uuid && w.datapath_type == e.datapath_type)
        };
        state.bridges.iter().filter(|(n, e)| !same(n, e)).map(|(n, _)| n.clone()).collect()
    };
    for name in gone {
        let names: Vec<String> = match app.state.borrow().bridges.get(&name) {
            Some(e) => e.interfaces.keys().cloned().collect(),
            None => continue,
        };
        remove_named(app, &name, names).await;
        app.state.borrow_mut().bridges.remove(&name);
        app.publish();
    }
}

/// Removes everything, for `exit --cleanup` and for the end of an embedded switch.
pub async fn clear(app: &Rc<App>) {
    apply(app, &Config::default()).await;
}

async fn drop_unused_backers(app: &Rc<App>) {
    let unused = {
        let mut state = app.state.borrow_mut();
        let used: BTreeSet<String> = state.bridges.values().map(|e| e.backer.clone()).collect();
        let kinds: Vec<String> = state.backers.keys().filter(|k| !used.contains(*k)).cloned().collect();
        kinds.iter().filter_map(|k| state.backers.remove(k)).collect::<Vec<Backer>>()
    };
    let mut unused = unused;
    unused.iter_mut().for_each(Backer::delete_at_end);
    for b in unused {
        let _ = elsewhere(move || drop(b)).await;
    }
}

async fn add_bridge(app: &Rc<App>, name: &str, wanted: &Rc<config::BridgeConfig>) -> Result<(), String> {
    let (wanted_type, dummy) = (wanted.datapath_type.clone(), app.dummy);
    let kind = elsewhere(move || backer::effective_type(&wanted_type, dummy)).await??;
    if !app.state.borrow().backers.contains_key(kind) {
        let notices = app.notices.clone();
        let (clock, topology) = (app.clock.clone(), app.topology.clone());
        let new = elsewhere(move || {
            Backer::create(kind, dummy, clock, topology, move |notice| {
                // A flood of packets for controllers must not fill the memory: what does not fit is lost.
                if notices.try_send(notice).is_err() {
                    Counter::PacketInOverflow.hit();
                }
            })
        })
        .await??;
        crate::dp_features::tell(&new);
        app.state.borrow_mut().backers.insert(kind.into(), new);
    }
    let mut state = app.state.borrow_mut();
    let id = state.new_bridge_id();
    let Some(b) = state.backers.get(kind) else { return Err("datapath is gone".into()) };
    let shared = Arc::new(translate::Bridge::new(translate::BridgeConfig {
        id,
        name: name.into(),
        ..translate::BridgeConfig::default()
    }));
    let (upcalls, datapath): (Arc<Upcalls>, _) = (b.upcalls.clone(), b.datapath());
    let bridge = Bridge::new(name, 0, shared, upcalls, datapath, app.clock.now());
    state.insert(name, bridge, kind, wanted.clone());
    Ok(())
}

async fn remove_interfaces(app: &Rc<App>, bridge: &str, wanted: &config::BridgeConfig) {
    let gone: Vec<String> = {
        let mut state = app.state.borrow_mut();
        let Some(entry) = state.bridges.get_mut(bridge) else { return };
        entry.errors.retain(|name, _| wanted.interfaces.contains_key(name));
        let stays = |name: &str, i: &Interface| {
            let same =
                |w: &InterfaceConfig| w.uuid == i.uuid && w.kind == i.kind && w.options.get("peer") == i.peer.as_ref();
            wanted.interface(name).is_some_and(same)
        };
        let before = entry.config.changed_ports(wanted).flat_map(|p| p.interfaces.keys());
        let changed: BTreeSet<&String> =
            before.chain(&entry.misnumbered).filter(|n| entry.interfaces.contains_key(*n)).collect();
        let (remain, mut gone): (Vec<&String>, Vec<&String>) =
            changed.into_iter().partition(|n| entry.interfaces.get(*n).is_some_and(|i| stays(n, i)));
        let renumbered = renumbered(entry, wanted, &remain, &gone);
        let misnumbered = |n: &&&String| {
            let number = wanted.interface(n).and_then(|w| w.ofport_request).map(OfPort);
            number.is_some() && !renumbered.contains(**n) && entry.interfaces.get(**n).map(|i| i.of) != number
        };
        let misnumbered = remain.iter().filter(misnumbered).map(|n| (*n).clone()).collect();
        gone.extend(&renumbered);
        let gone = gone.into_iter().cloned().collect();
        entry.misnumbered = misnumbered;
        gone
    };
    remove_named(app, bridge, gone).await;
}

/// Which of the interfaces that `remain` have to be made anew to have the numbers that the database asks for. A number that a port
/// keeps cannot be had, and is no reason to give up the present one; `gone` are interfaces whose numbers are free in any case.
fn renumbered<'a>(
    entry: &BridgeEntry,
    wanted: &config::BridgeConfig,
    remain: &[&'a String],
    gone: &[&String],
) -> BTreeSet<&'a String> {
    let number = |name: &String| wanted.interface(name)?.ofport_request.map(OfPort);
    let moves = |name: &&&String| {
        let of = entry.interfaces.get(**name).map(|i| i.of);
        of != Some(OfPort::LOCAL) && number(name).is_some_and(|n| of != Some(n))
    };
    let mut moving: BTreeSet<&String> = remain.iter().filter(moves).copied().collect();
    loop {
        let holder = |n: OfPort| entry.bridge.ports.get(&n).map(|p| p.name.to_string());
        let blocked = |name: &&String| {
            let holder = number(name).and_then(holder);
            holder.is_some_and(|h| !moving.contains(&h) && !gone.contains(&&h))
        };
        let blocked: Vec<&String> = moving.iter().filter(|n| blocked(n)).copied().collect();
        if blocked.is_empty() {
            return moving;
        }
        blocked.iter().for_each(|name| _ = moving.remove(name));
    }
}

/// Takes interfaces away: first from what packets see, all at once, then from the datapath.
async fn remove_named(app: &Rc<App>, bridge: &str, names: Vec<String>) {
    let mut gone = vec![];
    {
        let mut state = app.state.borrow_mut();
        let state = &mut *state;
        for name in names {
            let Some(entry) = state.bridges.get_mut(bridge) else { return };
            let Some(i) = entry.interfaces.remove(&name) else { continue };
            entry.forget_mtu(i.mtu_counts);
            entry.again.insert(name.clone());
            entry.interface_changed(&name);
            if let Some(port) = entry.bridge.remove_port(i.of) {
                let gone = entry.bridge.shared.macs().forget_port(port.bundle);
                // They are somewhere else now, perhaps on another bridge of the datapath, or behind it.
                let backer = entry.backer.clone();
                for other in state.bridges.values().filter(|e| e.backer == backer && !gone.is_empty()) {
                    let mut macs = other.bridge.shared.macs();
                    gone.iter().for_each(|&(vlan, mac)| macs.forget(vlan, mac));
                }
            }
            let Some(entry) = state.bridges.get_mut(bridge) else { return };
            vlog_info!(Module::Bridge, "bridge {bridge}: deleted interface {name} on port {}", i.of.0);
            let detach = i.dp.and_then(|dp| state.backers.get(&entry.backer).map(|b| b.detacher(dp)));
            state.wired(bridge, &name, i.of, i.dp, false);
            gone.push((i, detach));
        }
    }
    if gone.is_empty() {
        return;
    }
    app.run_events(bridge);
    app.publish();
    let _ = elsewhere(move || {
        for (interface, detach) in gone {
            if let Some(detach) = detach {
                detach();
            }
            drop(interface);
        }
    })
    .await;
}

/// Takes interfaces away whose ports the kernel has given up with their devices; what the database still wants is then missing, and
/// comes back with its device. Numbers of such ports may be others' by now.
pub async fn forget_lost(app: &Rc<App>) {
    let kernels: Vec<_> = {
        let state = app.state.borrow();
        state.backers.iter().filter_map(|(kind, b)| Some((kind.clone(), b.kernel()?.clone()))).collect()
    };
    for (kind, kernel) in kernels {
        let Ok(Ok(ports)) = elsewhere(move || kernel.vports()).await else { continue };
        let there: HashMap<u32, String> = ports.into_iter().filter_map(|p| Some((p.port?, p.name?))).collect();
        for (bridge, names) in lose(app, &kind, &there) {
            remove_named(app, &bridge, names).await;
        }
    }
}

/// Notes which interfaces of a kind of datapath have lost their ports: `there` are the names of those that it has.
fn lose(app: &App, kind: &str, there: &HashMap<u32, String>) -> Vec<(String, Vec<String>)> {
    let mut state = app.state.borrow_mut();
    let bridges: Vec<String> = state.bridges.iter().filter(|(_, e)| e.backer == kind).map(|(b, _)| b.clone()).collect();
    let mut lost = vec![];
    for bridge in bridges {
        let Some(entry) = state.bridges.get(&bridge) else { continue };
        let gone = |name: &String, i: &Interface| i.dp.is_some_and(|p| there.get(&p.0) != Some(name));
        let names: Vec<String> = entry.interfaces.iter().filter(|(n, i)| gone(n, i)).map(|(n, _)| n.clone()).collect();
        for name in &names {
            let Some(entry) = state.bridges.get_mut(&bridge) else { continue };
            let port = entry.interfaces.get_mut(name).and_then(|i| Some((i.of, i.dp.take()?)));
            let why = format!("could not open network device {name} (No such device)");
            vlog_warn!(Module::Bridge, "{why}");
            entry.errors.insert(name.clone(), why);
            if let Some((of, dp)) = port {
                state.wired(&bridge, name, of, Some(dp), false);
            }
        }
        lost.push((bridge, names));
    }
    lost
}

async fn add_interfaces(app: &Rc<App>, bridge: &str, wanted: &config::BridgeConfig) {
    // The local port first, then those with a number of their own, then those that had one, so that nobody else takes it.
    let missing: BTreeMap<String, Arc<config::PortConfig>> = {
        let state = app.state.borrow();
        let Some(entry) = state.bridges.get(bridge) else { return };
        let changed = wanted.changed_ports(&entry.config).flat_map(|p| p.interfaces.keys().map(move |i| (i, p)));
        let failed = entry.errors.keys().filter_map(|i| Some((i, wanted.interfaces.get_shared(i)?)));
        let again = entry.again.iter().filter_map(|i| Some((i, wanted.interfaces.get_shared(i)?)));
        let missing = changed.chain(failed).chain(again).filter(|(i, _)| !entry.interfaces.contains_key(*i));
        missing.map(|(i, p)| (i.clone(), p.clone())).collect()
    };
    let mask = translate::port_order::mask(wanted.ports.len());
    let mut missing: Vec<(&String, &InterfaceConfig, Uuid)> =
        missing.iter().filter_map(|(name, port)| Some((name, port.interfaces.get(name)?, port.uuid))).collect();
    missing.sort_by_cached_key(|(n, i, _)| {
        let number = i.ofport_request.or(i.ofport_before);
        let place = translate::port_order::place(n, mask);
        (n.as_str() != bridge, i.ofport_request.is_none(), number.is_none(), number, place, n.as_str())
    });
    for (name, iface, row) in missing {
        let result = add_interface(app, bridge, name, iface).await;
        let mut state = app.state.borrow_mut();
        if result.is_ok() {
            // Ports are known in the order in which they came.
            state.bundle_ids.of(row);
        }
        let state = &mut *state;
        let Some(entry) = state.bridges.get_mut(bridge) else { return };
        if result.as_ref().err() != entry.errors.get(name) || result.is_ok() {
            state.touched.insert(name.clone());
        }
        match result {
            Ok(of) => {
                entry.errors.remove(name);
                vlog_info!(Module::Bridge, "bridge {bridge}: added interface {name} on port {}", of.0);
            }
            Err(e) => {
                if entry.errors.get(name) != Some(&e) {
                    vlog_warn!(Module::Bridge, "{e}");
                }
                entry.errors.insert(name.clone(), e);
            }
        }
    }
}

/// Types whose interfaces are the ends of tunnels.
const TUNNELS: [&str; 9] = ["vxlan", "gre", "geneve", "erspan", "ip6erspan", "ip6gre", "gtpu", "bareudp", "srv6"];

async fn add_interface(app: &Rc<App>, bridge: &str, name: &str, wanted: &InterfaceConfig) -> Result<OfPort, String> {
    let attach = {
        let state = app.state.borrow();
        let entry = state.bridges.get(bridge).ok_or("bridge is gone")?;
        let taken = state.bridges.iter().find(|(_, e)| e.interfaces.contains_key(name));
        if let Some((other, _)) = taken {
            return Err(format!("could not add network device {name} to ofproto (already in bridge {other})"));
        }
        let backer = state.backers.get(&entry.backer).ok_or("datapath is gone")?;
        backer.attacher(name, &wanted.kind, app.dummy)
    };
    let peer = wanted.options.get("peer").cloned();
    if wanted.kind == "patch" && peer.is_none() {
        return Err(format!("{name}: patch type requires valid 'peer' argument"));
    }
    if wanted.kind == "patch" && peer.as_deref() == Some(name) {
        return Err(format!("{name}: patch peer must not be self"));
    }
    let tunnel = TUNNELS.contains(&wanted.kind.as_str()) && app.dummy != Dummy::OverrideAll;
    if tunnel && !wanted.options.contains_key("remote_ip") {
        return Err(format!("{name}: {} type requires valid 'remote_ip' argument", wanted.kind));
    }
    // The host's own loopback would be cut off from the host.
    if wanted.kind == "system" && name == "lo" && matches!(app.dummy, Dummy::Off | Dummy::On) {
        return Err(format!("could not add network device {name} to ofproto (Invalid argument)"));
    }
    let (facts, device, dp) = if wanted.kind == "patch" {
        (ask_device(None), None, None)
    } else {
        let attached = elsewhere(move || attach().map(|(device, dp)| (ask_device(Some(device.as_ref())), device, dp)));
        let (facts, device, dp) = attached.await??;
        (facts, Some(device), Some(dp))
    };
    Counter::DpifPortAdd.hit();
    let mut state = app.state.borrow_mut();
    let entry = state.bridges.get_mut(bridge).ok_or("bridge is gone")?;
    let number = wanted.ofport_request.or(wanted.ofport_before);
    let request = if name == bridge { Some(OfPort::LOCAL) } else { number.map(OfPort) };
    let of = entry.bridge.numbers.take(request).ok_or_else(|| format!("{name}: no free port number"))?;
    let interface = Interface {
        uuid: wanted.uuid,
        kind: wanted.kind.clone(),
        of,
        dp,
        device,
        peer,
        created: app.clock.now(),
        configured: None,
        mtu: 0,
        mtu_counts: None,
    };
    if wanted.ofport_request.is_some_and(|n| of != OfPort(n)) {
        entry.misnumbered.insert(name.into());
    }
    let port = port_of(name, &interface, &facts, 0);
    entry.interfaces.insert(name.into(), interface);
    entry.note_mtu(name, facts.link.mtu);
    entry.bridge.set_port(port);
    state.wired(bridge, name, of, dp, true);
    Ok(of)
}

/// State of a device at one moment, read where nobody waits.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Link state.
    pub link: netdev::LinkState,
    /// Speed.
    pub speed: netdev::LinkSpeed,
}

/// Reads a device's state; a patch port is always up.
async fn device_facts(device: Option<Arc<dyn Device>>) -> Facts {
    match device {
        Some(device) => elsewhere(move || ask_device(Some(device.as_ref()))).await.unwrap_or_default(),
        None => ask_device(None),
    }
}

/// The same where waiting is no harm.
pub fn ask_device(device: Option<&dyn Device>) -> Facts {
    let Some(device) = device else {
        let link = netdev::LinkState { up: true, carrier: true, ..Default::default() };
        return Facts { link, ..Facts::default() };
    };
    let mut link = device.state().unwrap_or_default();
    // What is switched off has no link.
    link.carrier &= link.up;
    Facts { link, speed: device.speed() }
}

/// The OpenFlow port of an interface; `config` are the bits that a controller set before.
pub fn port_of(name: &str, i: &Interface, facts: &Facts, config: u32) -> Port {
    Port {
        of: i.of,
        dp: i.dp,
        name: name.into(),
        kind: match (&i.device, i.kind.as_str()) {
            (Some(d), _) => d.kind().into(),
            (None, kind) => kind.into(),
        },
        counts_errors: i.device.as_ref().is_some_and(|d| d.as_dummy().is_none()),
        mac: facts.link.mac,
        admin_up: facts.link.up,
        carrier: facts.link.carrier,
        mbps: facts.speed.mbps,
        full_duplex: facts.speed.full_duplex,
        config,
        bundle: translate::BundleId::default(),
        peer: i.peer.clone(),
        created: i.created,
    }
}

/// Settings of a bridge that need no device.
fn configure(app: &Rc<App>, name: &str, wanted: &Rc<config::BridgeConfig>) {
    let mut guard = app.state.borrow_mut();
    let state = &mut *guard;
    let ids: Vec<(String, translate::BundleId)> = {
        let Some(entry) = state.bridges.get(name) else { return };
        let ports = in_question(state, entry, wanted);
        let rows = ports.iter().flat_map(|p| p.interfaces.keys().map(move |i| (i.clone(), p.uuid)));
        rows.map(|(i, row)| (i, state.bundle_ids.of(row))).collect()
    };
    let Some(entry) = state.bridges.get_mut(name) else { return };
    let before = entry.config.clone();
    for port in wanted.changed_ports(&before).chain(before.changed_ports(wanted)) {
        entry.port_changed(&port.name);
    }
    for (iface, id) in ids {
        if let Some(port) = wanted.interfaces.get(&iface) {
            entry.port_changed(&port.name);
        }
        if let Some(of) = entry.interfaces.get(&iface).map(|i| i.of)
            && let Some(port) = entry.bridge.ports.get_mut(&of)
        {
            port.bundle = id;
        }
    }
    {
        let mut macs = entry.bridge.shared.macs();
        macs.set_aging(wanted.mac_aging);
        macs.set_max_entries(wanted.mac_table_size);
    }
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "None".into());
    entry.bridge.desc.datapath = or_none(&wanted.dp_desc);
    entry.bridge.desc.serial = or_none(&wanted.dp_sn);
    if entry.bridge.protocols != wanted.protocols {
        entry.bridge.protocols = wanted.protocols.clone();
        entry.endpoints.values().for_each(|e| e.begin_anew(name));
    }
    let limited = before.flow_tables != wanted.flow_tables;
    for table in (0..switch::INTERNAL_TABLE).filter(|_| limited) {
        let limits = wanted.flow_tables.get(&table).cloned().unwrap_or_default();
        entry.bridge.set_limits(table, limits, app.clock.now());
    }
    entry.config = wanted.clone();
}

/// Settings that devices take while in use: MTU, and the address of internal ports.
async fn configure_devices(app: &Rc<App>, bridge: &str, wanted: &config::BridgeConfig) {
    type Setting = (String, Arc<dyn Device>, Option<u32>, Option<EthAddr>);
    let settings: Vec<Setting> = {
        let mut state = app.state.borrow_mut();
        let state = &mut *state;
        let Some(entry) = state.bridges.get(bridge) else { return };
        let ports = in_question(state, entry, wanted);
        let Some(entry) = state.bridges.get_mut(bridge) else { return };
        let mut list = vec![];
        for (name, w) in ports.iter().flat_map(|p| &p.interfaces) {
            let Some(i) = entry.interfaces.get_mut(name) else { continue };
            let new = (w.mtu_request, w.mac);
            let Some(device) = i.device.clone().filter(|_| i.configured != Some(new)) else { continue };
            i.configured = Some(new);
            state.touched.insert(name.clone());
            // The bridge's own address is chosen for it.
            let mac = w.mac.filter(|_| i.kind == "internal" && name != bridge);
            list.push((name.clone(), device, w.mtu_request, mac));
        }
        list
    };
    for (name, device, mtu, mac) in settings {
        let of = name.clone();
        let set = elsewhere(move || {
            let mtu = mtu.filter(|m| crate::mtu::set(&of, &*device, *m));
            (mtu, mac.map_or(Ok(()), |m| device.set_mac(m)))
        });
        let Ok((mtu, mac)) = set.await else { continue };
        if let Err(e) = mac {
            vlog_warn!(Module::Bridge, "interface {name}: could not set MAC address ({})", strerror(&e));
        }
        if let Some(entry) = app.state.borrow_mut().bridges.get_mut(bridge)
            && let Some(before) = entry.interfaces.get(&name).map(|i| i.mtu)
        {
            entry.note_mtu(&name, mtu.unwrap_or(before));
        }
    }
    crate::mtu::follow(app, bridge).await;
}

/// The bridge's own address, and the datapath id that is made of it: configured, or the lowest one that the maker of a
/// card gave to one of its ports, or one made of the row's identity.
async fn choose_address(app: &Rc<App>, name: &str, wanted: &config::BridgeConfig) {
    let (mac, device) = {
        let state = app.state.borrow();
        let Some(entry) = state.bridges.get(name) else { return };
        const LOCALLY_ADMINISTERED: u8 = 2;
        let of_card = |p: &&Port| {
            p.of != OfPort::LOCAL
                && p.kind == "system"
                && p.mac.0[0] & (1 | LOCALLY_ADMINISTERED) == 0
                && !p.mac.is_zero()
        };
        let lowest = entry.bridge.ports.values().filter(of_card).map(|p| p.mac).min();
        let mac = wanted.hwaddr.or(lowest).unwrap_or_else(|| address_from(wanted.uuid));
        let id = wanted.datapath_id.unwrap_or_else(|| mac.to_u64());
        let own = entry.interfaces.get(name).and_then(|i| entry.bridge.ports.get(&i.of));
        if own.is_some_and(|p| p.mac == mac) && entry.bridge.datapath_id == id {
            return;
        }
        (mac, entry.interfaces.get(name).and_then(|i| i.device.clone()))
    };
    if let Some(d) = device.clone() {
        let set = elsewhere(move || match d.state() {
            Ok(s) if s.mac == mac => Ok(()),
            _ => d.set_mac(mac),
        });
        if let Ok(Err(e)) = set.await {
            vlog_warn!(Module::Bridge, "bridge {name}: failed to set bridge Ethernet address: {}", strerror(&e));
        }
    }
    let facts = device_facts(device).await;
    let mut state = app.state.borrow_mut();
    let Some(entry) = state.bridges.get_mut(name) else { return };
    let id = wanted.datapath_id.unwrap_or_else(|| mac.to_u64());
    if entry.bridge.datapath_id != id {
        vlog_info!(Module::Bridge, "bridge {name}: using datapath ID {id:016x}");
        entry.bridge.datapath_id = id;
        // Those who know the bridge by another id cannot be told otherwise.
        entry.endpoints.values().for_each(openflow::Endpoint::reconnect);
    }
    if let Some(i) = entry.interfaces.get(name) {
        let old = entry.bridge.ports.get(&i.of);
        let mut port = port_of(name, i, &facts, old.map_or(0, |p| p.config));
        port.bundle = old.map(|p| p.bundle).unwrap_or_default();
        entry.bridge.set_port(port);
        entry.interface_changed(name);
        // Its columns are written with the `cur_cfg` of this change.
        state.touched.insert(name.to_string());
    }
}

/// An address that stays the same as long as the row does: its first six bytes, locally administered.
fn address_from(uuid: Uuid) -> EthAddr {
    let text: String = uuid.to_string().chars().filter(|c| *c != '-').collect();
    let part = |at: usize| u32::from_str_radix(text.get(at..at + 8).unwrap_or("0"), 16).unwrap_or(0).to_le_bytes();
    let (a, b) = (part(0), part(8));
    let mut mac = [a[0], a[1], a[2], a[3], b[0], b[1]];
    mac[0] = mac[0] & !1 | 2;
    EthAddr(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_a_row() {
        let uuid = Uuid::parse("342f80ae-9414-441c-8361-cdeef74fa37a").unwrap();
        assert_eq!(address_from(uuid).to_string(), "ae:80:2f:34:1c:44");
    }
}
