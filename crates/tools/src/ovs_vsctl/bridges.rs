//! Commands about bridges, ports and interfaces.

use super::root;
use super::view::{Bridge, Port, View};
use crate::ctl::Context;
use crate::ctl::generic::set_column;
use ovsdb_data::{Atom, Datum, Uuid};

fn set_of(uuid: Uuid) -> Datum {
    Datum::from(uuid)
}

/// Inserts a port with its interfaces into a real bridge.
fn insert_port(context: &mut Context<'_>, bridge: Uuid, name: &str, ifaces: &[String], internal: bool) -> Uuid {
    let store = &mut context.store;
    let mut refs = Vec::new();
    for iface in ifaces {
        let uuid = store.insert("Interface", None);
        store.set("Interface", uuid, "name", iface.as_str());
        if internal {
            store.set("Interface", uuid, "type", "internal");
        }
        refs.push(Atom::Uuid(uuid));
    }
    let port = store.insert("Port", None);
    store.set("Port", port, "name", name);
    store.set("Port", port, "interfaces", Datum::set(refs));
    store.add("Bridge", bridge, "ports", set_of(port));
    port
}

pub(super) fn add_br(context: &mut Context<'_>) -> Result<(), String> {
    let name = context.arg(0).to_string();
    if name.is_empty() {
        return Err("bridge name must not be empty string".into());
    }
    let (parent, vlan) = match context.call.args.as_slice() {
        [_] => (None, 0),
        [_, parent, vlan] => {
            // What does not begin with a number counts as 0, as in scripts that rely on it.
            let digits = vlan.find(|c: char| !c.is_ascii_digit()).unwrap_or(vlan.len());
            let number: i64 = if vlan.starts_with('-') { -1 } else { vlan[..digits].parse().unwrap_or(0) };
            if !(0..=4095).contains(&number) {
                return Err(format!("{}: vlan must be between 0 and 4095", context.call.command.name));
            }
            (Some(parent.clone()), number)
        }
        _ => return Err(format!("'{}' command takes exactly 1 or 3 arguments", context.call.command.name)),
    };
    let view = View::new(context.store);
    if context.call.has("--may-exist")
        && let Some(known) = view.bridges.get(&name)
    {
        return check_same(&name, known, parent.as_deref(), vlan);
    }
    view.check_free(&name, &format!("cannot create a bridge named {name}"))?;
    let Some(parent) = parent else {
        let uuid = context.store.insert("Bridge", None);
        context.store.set("Bridge", uuid, "name", name.as_str());
        insert_port(context, uuid, &name, std::slice::from_ref(&name), true);
        let root = root(context);
        context.store.add("Open_vSwitch", root, "bridges", set_of(uuid));
        return Ok(());
    };
    let Some(parent_bridge) = view.bridges.get(&parent) else {
        return Err(format!("parent bridge {parent} does not exist"));
    };
    if parent_bridge.parent.is_some() {
        return Err("cannot create bridge with fake bridge as parent".into());
    }
    let same_vlan = |bridge: &Bridge| bridge.parent.as_ref() == Some(&parent) && bridge.vlan == vlan;
    if let Some((child, _)) = view.bridges.iter().find(|(_, bridge)| same_vlan(bridge)) {
        return Err(format!("bridge {parent} already has a child VLAN bridge {child} on VLAN {vlan}"));
    }
    let port = insert_port(context, parent_bridge.uuid, &name, std::slice::from_ref(&name), true);
    context.store.set("Port", port, "fake_bridge", true);
    context.store.set("Port", port, "tag", vlan);
    Ok(())
}

fn check_same(name: &str, known: &Bridge, parent: Option<&str>, vlan: i64) -> Result<(), String> {
    match (parent, &known.parent) {
        (None, Some(_)) => {
            Err(format!("\"--may-exist add-br {name}\" but {name} is a VLAN bridge for VLAN {}", known.vlan))
        }
        (None, None) => Ok(()),
        (Some(parent), None) => {
            Err(format!("\"--may-exist add-br {name} {parent} {vlan}\" but {name} is not a VLAN bridge"))
        }
        (Some(parent), Some(actual)) if parent != actual => {
            Err(format!("\"--may-exist add-br {name} {parent} {vlan}\" but {name} has the wrong parent {actual}"))
        }
        (Some(parent), Some(_)) if vlan != known.vlan => Err(format!(
            "\"--may-exist add-br {name} {parent} {vlan}\" but {name} is a VLAN bridge for the wrong VLAN {}",
            known.vlan
        )),
        _ => Ok(()),
    }
}

/// Deletes a port with its interfaces.
fn delete_port(context: &mut Context<'_>, bridge: Uuid, port: Uuid) {
    for iface in context.store.refs("Port", port, "interfaces") {
        context.store.delete("Interface", iface);
    }
    context.store.remove("Bridge", bridge, "ports", set_of(port));
    context.store.delete("Port", port);
}

pub(super) fn del_br(context: &mut Context<'_>) -> Result<(), String> {
    let name = context.arg(0).to_string();
    let view = View::new(context.store);
    let Some(bridge) = view.bridges.get(&name) else {
        return if context.call.has("--if-exists") { Ok(()) } else { Err(format!("no bridge named {name}")) };
    };
    let uuid = bridge.uuid;
    if bridge.parent.is_some() {
        for port in view.ports.values().filter(|port| port.bridge == name) {
            delete_port(context, uuid, port.uuid);
        }
        return Ok(());
    }
    for port in context.store.refs("Bridge", uuid, "ports") {
        for iface in context.store.refs("Port", port, "interfaces") {
            context.store.delete("Interface", iface);
        }
        context.store.delete("Port", port);
    }
    let root = root(context);
    context.store.remove("Open_vSwitch", root, "bridges", set_of(uuid));
    context.store.delete("Bridge", uuid);
    Ok(())
}

fn print_sorted(context: &mut Context<'_>, mut names: Vec<String>) {
    names.sort();
    names.iter().for_each(|name| context.line(name));
}

pub(super) fn list_br(context: &mut Context<'_>) -> Result<(), String> {
    let (real, fake) = (context.call.has("--real"), context.call.has("--fake"));
    let (real, fake) = if real || fake { (real, fake) } else { (true, true) };
    let view = View::new(context.store);
    let chosen = |bridge: &Bridge| if bridge.parent.is_some() { fake } else { real };
    let names = view.bridges.iter().filter(|(_, b)| chosen(b)).map(|(name, _)| name.clone()).collect();
    print_sorted(context, names);
    Ok(())
}

pub(super) fn br_exists(context: &mut Context<'_>) -> Result<(), String> {
    match View::new(context.store).bridges.contains_key(context.arg(0)) {
        true => Ok(()),
        // ovs-vsctl(8): exit code 2, and nothing else, tells that there is none.
        false => std::process::exit(2),
    }
}

pub(super) fn br_to_vlan(context: &mut Context<'_>) -> Result<(), String> {
    let vlan = View::new(context.store).bridge(context.arg(0))?.vlan;
    context.line(vlan.to_string());
    Ok(())
}

pub(super) fn br_to_parent(context: &mut Context<'_>) -> Result<(), String> {
    let name = context.arg(0).to_string();
    let parent = View::new(context.store).bridge(&name)?.parent.clone().unwrap_or(name);
    context.line(parent);
    Ok(())
}

/// Where the external IDs of a bridge are: table, row, and the prefix that those of a fake bridge have.
fn external_ids(bridge: &Bridge) -> (&'static str, Uuid, &'static str) {
    match bridge.port {
        Some(port) => ("Port", port, "fake-bridge-"),
        None => ("Bridge", bridge.uuid, ""),
    }
}

pub(super) fn br_set_external_id(context: &mut Context<'_>) -> Result<(), String> {
    let view = View::new(context.store);
    let (table, uuid, prefix) = external_ids(view.bridge(context.arg(0))?);
    let key = format!("{prefix}{}", context.arg(1));
    match context.call.args.get(2) {
        Some(value) => context.store.add(table, uuid, "external_ids", Datum::string_map([(key, value)])),
        None => context.store.remove(table, uuid, "external_ids", key.as_str()),
    }
    Ok(())
}

pub(super) fn br_get_external_id(context: &mut Context<'_>) -> Result<(), String> {
    let view = View::new(context.store);
    let (table, uuid, prefix) = external_ids(view.bridge(context.arg(0))?);
    let ids = context.store.get(table, uuid, "external_ids").cloned().unwrap_or(Datum::EMPTY);
    if let Some(key) = context.call.args.get(1) {
        if let Some(value) = ids.get_str(&format!("{prefix}{key}")) {
            context.line(value);
        }
        return Ok(());
    }
    for (key, value) in ids.pairs() {
        if let (Some(key), Some(value)) = (key.as_str().and_then(|key| key.strip_prefix(prefix)), value.as_str()) {
            context.line(format!("{key}={value}"));
        }
    }
    Ok(())
}

pub(super) fn list_ports(context: &mut Context<'_>) -> Result<(), String> {
    let name = context.arg(0).to_string();
    let view = View::new(context.store);
    view.bridge(&name)?;
    let of_bridge = view.ports.iter().filter(|(port, p)| p.bridge == name && !view.bridges.contains_key(*port));
    let names = of_bridge.map(|(port, _)| port.clone()).collect();
    print_sorted(context, names);
    Ok(())
}

pub(super) fn list_ifaces(context: &mut Context<'_>) -> Result<(), String> {
    let name = context.arg(0).to_string();
    let view = View::new(context.store);
    view.bridge(&name)?;
    let of_bridge =
        view.ifaces.iter().filter(|(i, iface)| view.bridge_of(iface) == name && !view.bridges.contains_key(*i));
    let names = of_bridge.map(|(iface, _)| iface.clone()).collect();
    print_sorted(context, names);
    Ok(())
}

pub(super) fn port_to_br(context: &mut Context<'_>) -> Result<(), String> {
    let bridge = View::new(context.store).port(context.arg(0))?.bridge.clone();
    context.line(bridge);
    Ok(())
}

pub(super) fn iface_to_br(context: &mut Context<'_>) -> Result<(), String> {
    let view = View::new(context.store);
    let bridge = view.bridge_of(view.iface(context.arg(0))?);
    context.line(bridge);
    Ok(())
}

pub(super) fn add_port(context: &mut Context<'_>) -> Result<(), String> {
    let name = context.arg(1).to_string();
    let settings = context.call.args[2..].to_vec();
    add_any_port(context, &name, std::slice::from_ref(&name), false, settings)
}

pub(super) fn add_bond(context: &mut Context<'_>) -> Result<(), String> {
    let name = context.arg(1).to_string();
    let all = &context.call.args[2..];
    // Settings hold a "=", interfaces do not; the first two are interfaces whatever they hold.
    let ends = all.iter().skip(2).position(|argument| argument.contains('=')).map_or(all.len(), |at| at + 2);
    let (ifaces, settings) = (all[..ends].to_vec(), all[ends..].to_vec());
    let fake = context.call.has("--fake-iface");
    add_any_port(context, &name, &ifaces, fake, settings)
}

fn add_any_port(
    context: &mut Context<'_>,
    name: &str,
    ifaces: &[String],
    fake_iface: bool,
    settings: Vec<String>,
) -> Result<(), String> {
    let bridge_name = context.arg(0).to_string();
    let view = View::new(context.store);
    let may_exist = context.call.has("--may-exist");
    if may_exist && let Some(known) = view.ports.get(name) {
        let mut have: Vec<String> = context
            .store
            .refs("Port", known.uuid, "interfaces")
            .into_iter()
            .map(|iface| context.store.text("Interface", iface, "name"))
            .collect();
        let mut want = ifaces.to_vec();
        have.sort();
        want.sort();
        let command = format!("--may-exist {} {}", context.call.command.name, context.call.args.join(" "));
        if known.bridge != bridge_name {
            let bridge = view.bridge(&bridge_name)?;
            return Err(match &bridge.parent {
                Some(parent) if *parent == known.bridge => {
                    format!("\"{command}\" but {name} is actually attached to vlan {}", bridge.vlan)
                }
                _ => format!("\"{command}\" but {name} is actually attached to bridge {}", known.bridge),
            });
        }
        if have != want {
            let have: Vec<String> = have.iter().map(|iface| ovsdb_data::text::string_to_text(iface)).collect();
            return Err(format!("\"{command}\" but {name} actually has interface(s) {}", have.join(", ")));
        }
        return Ok(());
    }
    view.check_free(name, &format!("cannot create a port named {name}"))?;
    if ifaces.len() > 1 || ifaces[0] != name {
        for iface in ifaces {
            view.check_free(iface, &format!("cannot create an interface named {iface}"))?;
        }
    }
    let bridge = view.bridge(&bridge_name)?.clone();
    let port = insert_port(context, bridge.uuid, name, ifaces, false);
    if fake_iface {
        context.store.set("Port", port, "bond_fake_iface", true);
    }
    if bridge.parent.is_some() {
        context.store.set("Port", port, "tag", bridge.vlan);
    }
    let rows = context.store.refs("Port", port, "interfaces");
    view.with_port(context.store, name, Port { uuid: port, bridge: bridge_name }, &rows);
    let table = context.store.table("Port").cloned().ok_or("the database has no Port table")?;
    for setting in settings {
        set_column(context, &table, port, &setting)?;
    }
    Ok(())
}

pub(super) fn add_bond_iface(context: &mut Context<'_>) -> Result<(), String> {
    let (bond, iface) = (context.arg(0).to_string(), context.arg(1).to_string());
    let view = View::new(context.store);
    let port = view.port(&bond)?.uuid;
    if context.call.has("--may-exist")
        && let Some(known) = view.ifaces.get(&iface)
    {
        if known.port == bond {
            return Ok(());
        }
        return Err(format!(
            "\"--may-exist add-bond-iface {bond} {iface}\" but {iface} is actually attached to port {}",
            known.port
        ));
    }
    view.check_free(&iface, &format!("cannot create an interface named {iface}"))?;
    let uuid = context.store.insert("Interface", None);
    context.store.set("Interface", uuid, "name", iface.as_str());
    context.store.add("Port", port, "interfaces", set_of(uuid));
    Ok(())
}

pub(super) fn del_bond_iface(context: &mut Context<'_>) -> Result<(), String> {
    let (bond, name) = match context.call.args.as_slice() {
        [bond, iface] => (Some(bond.clone()), iface.clone()),
        _ => (None, context.arg(0).to_string()),
    };
    let view = View::new(context.store);
    let Some(iface) = view.ifaces.get(&name).filter(|_| !view.bridges.contains_key(&name)) else {
        return if context.call.has("--if-exists") { Ok(()) } else { Err(format!("no interface named {name}")) };
    };
    if let Some(bond) = &bond
        && iface.port != *bond
    {
        view.port(bond)?;
        return Err(format!("port {bond} does not have an interface {name}"));
    }
    let port = view.port(&iface.port)?.uuid;
    if context.store.refs("Port", port, "interfaces").len() < 2 {
        return Err(format!("cannot delete last interface from port {}", iface.port));
    }
    let uuid = iface.uuid;
    context.store.remove("Port", port, "interfaces", set_of(uuid));
    context.store.delete("Interface", uuid);
    Ok(())
}

pub(super) fn del_port(context: &mut Context<'_>) -> Result<(), String> {
    let (bridge_name, target) = match context.call.args.as_slice() {
        [bridge, port] => (Some(bridge.clone()), port.clone()),
        _ => (None, context.arg(0).to_string()),
    };
    let (if_exists, with_iface) = (context.call.has("--if-exists"), context.call.has("--with-iface"));
    let view = View::new(context.store);
    let by_iface = || view.ifaces.get(&target).map(|iface| iface.port.clone());
    let name = match view.ports.contains_key(&target) {
        true => Some(target.clone()),
        false if with_iface => by_iface(),
        false => None,
    };
    let Some((name, port)) = name.and_then(|name| view.ports.get(&name).map(|port| (name.clone(), port))) else {
        if let Some(bridge) = &bridge_name {
            view.bridge(bridge)?;
        }
        return match (if_exists, with_iface) {
            (true, _) => Ok(()),
            (false, true) => Err(format!("no port or interface named {target}")),
            (false, false) => Err(format!("no port named {target}")),
        };
    };
    if view.bridges.contains_key(&name) {
        return Err(format!(
            "cannot delete port {name} because it is the local port for bridge {name} (deleting this port requires \
             deleting the entire bridge)"
        ));
    }
    if let Some(wanted) = &bridge_name {
        let bridge = view.bridge(wanted)?;
        if port.bridge != *wanted {
            let actual = view.bridge(&port.bridge)?;
            return Err(if actual.parent.as_ref() == Some(wanted) {
                format!(
                    "bridge {wanted} does not have a port {target} (although its child bridge {} does)",
                    port.bridge
                )
            } else if bridge.parent.as_ref() == Some(&port.bridge) {
                format!(
                    "bridge {wanted} does not have a port {target} (although its parent bridge {} does)",
                    port.bridge
                )
            } else {
                format!("bridge {wanted} does not have a port {target}")
            });
        }
    }
    let (bridge, uuid) = (view.bridge(&port.bridge)?.uuid, port.uuid);
    let rows = context.store.refs("Port", uuid, "interfaces");
    let ifaces: Vec<String> = rows.into_iter().map(|iface| context.store.text("Interface", iface, "name")).collect();
    delete_port(context, bridge, uuid);
    view.without_port(context.store, &name, &ifaces);
    Ok(())
}
