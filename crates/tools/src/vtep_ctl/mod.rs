//! `vtep-ctl`: manages the database of a VXLAN gateway (vtep-ctl(8)).

mod macs;

use crate::ctl::store::Store;
use crate::ctl::targets::{delete_rows, set_targets, targets, warn_about_types};
use crate::ctl::{self, Call, Command, Context, Needs, Product, RecordName, ShowTable, Touched, need};
use io::Invocation;
use ovsdb_data::{Atom, DatabaseSchema, Datum, Uuid};
use std::process::ExitCode;

/// `vtep-ctl`.
pub fn main(invocation: &Invocation) -> ExitCode {
    ctl::run::main(invocation, &PRODUCT)
}

const fn own(table: &'static str, column: &'static str) -> RecordName {
    RecordName { table, name_table: table, name_column: Some(column), reference: None }
}

const PRODUCT: Product = Product {
    database: "hardware_vtep",
    names: &[
        RecordName { table: "Global", name_table: "Global", name_column: None, reference: None },
        own("Manager", "target"),
        own("Physical_Switch", "name"),
        own("Physical_Port", "name"),
        own("Logical_Switch", "name"),
        own("Logical_Router", "name"),
        own("Ucast_Macs_Local", "MAC"),
        own("Ucast_Macs_Remote", "MAC"),
        own("Mcast_Macs_Local", "MAC"),
        own("Mcast_Macs_Remote", "MAC"),
        own("Physical_Locator", "dst_ip"),
    ],
    show: &[
        ShowTable { table: "Global", name: None, columns: &["managers", "switches"] },
        ShowTable { table: "Manager", name: Some("target"), columns: &["is_connected"] },
        ShowTable { table: "Physical_Switch", name: Some("name"), columns: &["management_ips", "tunnel_ips", "ports"] },
        ShowTable { table: "Physical_Port", name: Some("name"), columns: &["vlan_bindings"] },
    ],
    commands: COMMANDS,
    generation: ("Global", "", ""),
    help: include_str!("help.txt"),
    version_note: "DB Schema 1.7.0\n",
    module: io::vlog::Module::VtepCtl,
    complain: |_: &Touched, _: &Store| Vec::new(),
    few: None,
};

fn all(_: &Call, schema: &DatabaseSchema, _: &Product, needs: &mut Needs) -> Result<(), String> {
    need(needs, schema, "Global", &["switches", "managers"]);
    need(needs, schema, "Manager", &["target", "inactivity_probe"]);
    need(needs, schema, "Physical_Switch", &["name", "ports"]);
    need(needs, schema, "Physical_Port", &["name", "vlan_bindings"]);
    need(needs, schema, "Logical_Switch", &["name", "replication_mode"]);
    need(needs, schema, "Logical_Router", &["name"]);
    for table in ["Ucast_Macs_Local", "Ucast_Macs_Remote"] {
        need(needs, schema, table, &["MAC", "logical_switch", "locator"]);
    }
    for table in ["Mcast_Macs_Local", "Mcast_Macs_Remote"] {
        need(needs, schema, table, &["MAC", "logical_switch", "locator_set"]);
    }
    need(needs, schema, "Physical_Locator", &["dst_ip", "encapsulation_type"]);
    need(needs, schema, "Physical_Locator_Set", &["locators"]);
    Ok(())
}

macro_rules! command {
    ($name:literal, $min:expr, $max:expr, $usage:literal, [$($option:literal),*], $run:expr) => {
        Command { name: $name, min: $min, max: $max, usage: $usage, options: &[$($option),*], needs: all, run: $run }
    };
}

const COMMANDS: &[Command] = &[
    command!("add-ps", 1, 1, "PSWITCH", ["--may-exist"], add_ps),
    command!("del-ps", 1, 1, "PSWITCH", ["--if-exists"], del_ps),
    command!("list-ps", 0, 0, "", [], |context| list(context, "Physical_Switch")),
    command!("ps-exists", 1, 1, "PSWITCH", [], |context| exists(context, "Physical_Switch")),
    command!("list-ports", 1, 1, "PSWITCH", [], list_ports),
    command!("add-port", 2, 2, "PSWITCH PORT", ["--may-exist"], add_port),
    command!("del-port", 1, 2, "[PSWITCH] PORT", ["--if-exists"], del_port),
    command!("add-ls", 1, 1, "LSWITCH", ["--may-exist"], |context| add(context, "Logical_Switch", "logical switch")),
    command!("del-ls", 1, 1, "LSWITCH", ["--if-exists"], |context| del(context, "Logical_Switch", "logical switch")),
    command!("list-ls", 0, 0, "", [], |context| list(context, "Logical_Switch")),
    command!("ls-exists", 1, 1, "LSWITCH", [], |context| exists(context, "Logical_Switch")),
    command!("bind-ls", 4, 4, "PSWITCH PORT VLAN LSWITCH", [], bind_ls),
    command!("unbind-ls", 3, 3, "PSWITCH PORT VLAN", [], unbind_ls),
    command!("list-bindings", 2, 2, "PSWITCH PORT", [], list_bindings),
    command!("set-replication-mode", 2, 2, "LSWITCH MODE", [], set_replication_mode),
    command!("get-replication-mode", 1, 1, "LSWITCH", [], get_replication_mode),
    command!("add-lr", 1, 1, "LROUTER", ["--may-exist"], |context| add(context, "Logical_Router", "logical router")),
    command!("del-lr", 1, 1, "LROUTER", ["--if-exists"], |context| del(context, "Logical_Router", "logical router")),
    command!("list-lr", 0, 0, "", [], |context| list(context, "Logical_Router")),
    command!("lr-exists", 1, 1, "LROUTER", [], |context| exists(context, "Logical_Router")),
    command!("add-ucast-local", 3, 4, "LSWITCH MAC [ENCAP] IP", [], |context| macs::add_ucast(context, macs::LOCAL)),
    command!("del-ucast-local", 2, 2, "LSWITCH MAC", [], |context| macs::del_ucast(context, macs::LOCAL)),
    command!("add-mcast-local", 3, 4, "LSWITCH MAC [ENCAP] IP", [], |context| macs::add_mcast(context, macs::LOCAL)),
    command!("del-mcast-local", 3, 4, "LSWITCH MAC [ENCAP] IP", [], |context| macs::del_mcast(context, macs::LOCAL)),
    command!("clear-local-macs", 1, 1, "LSWITCH", [], |context| macs::clear(context, macs::LOCAL)),
    command!("list-local-macs", 1, 1, "LSWITCH", [], |context| macs::list(context, macs::LOCAL)),
    command!("add-ucast-remote", 3, 4, "LSWITCH MAC [ENCAP] IP", [], |context| macs::add_ucast(context, macs::REMOTE)),
    command!("del-ucast-remote", 2, 2, "LSWITCH MAC", [], |context| macs::del_ucast(context, macs::REMOTE)),
    command!("add-mcast-remote", 3, 4, "LSWITCH MAC [ENCAP] IP", [], |context| macs::add_mcast(context, macs::REMOTE)),
    command!("del-mcast-remote", 3, 4, "LSWITCH MAC [ENCAP] IP", [], |context| macs::del_mcast(context, macs::REMOTE)),
    command!("clear-remote-macs", 1, 1, "LSWITCH", [], |context| macs::clear(context, macs::REMOTE)),
    command!("list-remote-macs", 1, 1, "LSWITCH", [], |context| macs::list(context, macs::REMOTE)),
    command!("get-manager", 0, 0, "", [], get_manager),
    command!("del-manager", 0, 0, "", [], del_manager),
    command!("set-manager", 1, usize::MAX, "TARGET...", ["--inactivity-probe="], set_manager),
];

fn global(context: &Context<'_>) -> Uuid {
    context.store.rows("Global").next().map(|(uuid, _)| uuid).unwrap_or_default()
}

/// The row of a table with a name.
fn named(context: &Context<'_>, table: &str, name: &str) -> Option<Uuid> {
    context.store.rows(table).map(|(uuid, _)| uuid).find(|uuid| context.store.text(table, *uuid, "name") == name)
}

fn must(context: &Context<'_>, table: &str, what: &str, name: &str) -> Result<Uuid, String> {
    named(context, table, name).ok_or_else(|| format!("no {what} named {name}"))
}

fn physical_switch(context: &Context<'_>, name: &str) -> Result<Uuid, String> {
    must(context, "Physical_Switch", "physical switch", name)
}

fn logical_switch(context: &Context<'_>, name: &str) -> Result<Uuid, String> {
    must(context, "Logical_Switch", "logical switch", name)
}

fn print_sorted(context: &mut Context<'_>, mut names: Vec<String>) {
    names.sort();
    names.iter().for_each(|name| context.line(name));
}

fn list(context: &mut Context<'_>, table: &str) -> Result<(), String> {
    let names = context.store.rows(table).map(|(uuid, _)| context.store.text(table, uuid, "name")).collect();
    print_sorted(context, names);
    Ok(())
}

fn exists(context: &mut Context<'_>, table: &str) -> Result<(), String> {
    match named(context, table, context.arg(0)) {
        Some(_) => Ok(()),
        // vtep-ctl(8): exit code 2, and nothing else, tells that there is none.
        None => std::process::exit(2),
    }
}

/// Adds a row of a root table.
fn add(context: &mut Context<'_>, table: &str, what: &str) -> Result<(), String> {
    let name = context.arg(0).to_string();
    if named(context, table, &name).is_some() {
        if context.call.has("--may-exist") {
            return Ok(());
        }
        return Err(format!("cannot create {what} {name} because it already exists"));
    }
    let row = context.store.insert(table, None);
    context.store.set(table, row, "name", name.as_str());
    Ok(())
}

/// Deletes a row of a root table.
fn del(context: &mut Context<'_>, table: &str, what: &str) -> Result<(), String> {
    let name = context.arg(0).to_string();
    if context.call.has("--if-exists") && named(context, table, &name).is_none() {
        return Ok(());
    }
    let row = must(context, table, what, &name)?;
    context.store.delete(table, row);
    Ok(())
}

fn add_ps(context: &mut Context<'_>) -> Result<(), String> {
    let name = context.arg(0).to_string();
    if named(context, "Physical_Switch", &name).is_some() {
        if context.call.has("--may-exist") {
            return Ok(());
        }
        return Err(format!("cannot create physical switch {name} because it already exists"));
    }
    let row = context.store.insert("Physical_Switch", None);
    context.store.set("Physical_Switch", row, "name", name.as_str());
    let global = global(context);
    context.store.add("Global", global, "switches", row);
    Ok(())
}

fn del_ps(context: &mut Context<'_>) -> Result<(), String> {
    let name = context.arg(0).to_string();
    if context.call.has("--if-exists") && named(context, "Physical_Switch", &name).is_none() {
        return Ok(());
    }
    let row = physical_switch(context, &name)?;
    for port in context.store.refs("Physical_Switch", row, "ports") {
        context.store.delete("Physical_Port", port);
    }
    let global = global(context);
    context.store.remove("Global", global, "switches", row);
    context.store.delete("Physical_Switch", row);
    Ok(())
}

/// A port of any physical switch: the switch and the port.
fn port_anywhere(context: &Context<'_>, name: &str) -> Option<(Uuid, Uuid)> {
    context.store.rows("Physical_Switch").find_map(|(switch, _)| {
        let ports = context.store.refs("Physical_Switch", switch, "ports");
        let port = ports.into_iter().find(|port| context.store.text("Physical_Port", *port, "name") == name);
        Some((switch, port?))
    })
}

fn list_ports(context: &mut Context<'_>) -> Result<(), String> {
    let switch = physical_switch(context, context.arg(0))?;
    let ports = context.store.refs("Physical_Switch", switch, "ports");
    let names = ports.into_iter().map(|port| context.store.text("Physical_Port", port, "name")).collect();
    print_sorted(context, names);
    Ok(())
}

fn add_port(context: &mut Context<'_>) -> Result<(), String> {
    let (switch_name, name) = (context.arg(0).to_string(), context.arg(1).to_string());
    let switch = physical_switch(context, &switch_name)?;
    if let Some((owner, _)) = port_anywhere(context, &name) {
        let owner_name = context.store.text("Physical_Switch", owner, "name");
        if !context.call.has("--may-exist") {
            return Err(format!(
                "cannot create a port named {name} on {switch_name} because a port with that name already exists"
            ));
        }
        if owner != switch {
            return Err(format!(
                "\"--may-exist add-port {switch_name} {name}\" but {name} is actually attached to switch {owner_name}"
            ));
        }
        return Ok(());
    }
    let port = context.store.insert("Physical_Port", None);
    context.store.set("Physical_Port", port, "name", name.as_str());
    context.store.add("Physical_Switch", switch, "ports", port);
    Ok(())
}

fn del_port(context: &mut Context<'_>) -> Result<(), String> {
    let (switch_name, name) = match context.call.args.as_slice() {
        [switch, port] => (Some(switch.clone()), port.clone()),
        _ => (None, context.arg(0).to_string()),
    };
    let Some((owner, port)) = port_anywhere(context, &name) else {
        return if context.call.has("--if-exists") { Ok(()) } else { Err(format!("no port named {name}")) };
    };
    if let Some(wanted) = &switch_name
        && physical_switch(context, wanted)? != owner
    {
        return Err(format!("physical switch {wanted} does not have a port {name}"));
    }
    context.store.remove("Physical_Switch", owner, "ports", port);
    context.store.delete("Physical_Port", port);
    Ok(())
}

/// A port of the physical switch that the first argument names.
fn port_of_switch(context: &Context<'_>) -> Result<Uuid, String> {
    physical_switch(context, context.arg(0))?;
    let name = context.arg(1);
    port_anywhere(context, name).map(|(_, port)| port).ok_or_else(|| format!("no port named {name}"))
}

fn vlan(context: &Context<'_>) -> Result<i64, String> {
    let text = context.arg(2);
    text.parse().map_err(|_| format!("{text}: invalid VLAN"))
}

fn bind_ls(context: &mut Context<'_>) -> Result<(), String> {
    let port = port_of_switch(context)?;
    let vlan = vlan(context)?;
    let switch = logical_switch(context, context.arg(3))?;
    let pair = Datum::map(vec![(Atom::Integer(vlan), Atom::Uuid(switch))]);
    context.store.add("Physical_Port", port, "vlan_bindings", pair);
    Ok(())
}

fn unbind_ls(context: &mut Context<'_>) -> Result<(), String> {
    let port = port_of_switch(context)?;
    let vlan = vlan(context)?;
    let bindings = context.store.get("Physical_Port", port, "vlan_bindings");
    if !bindings.is_some_and(|bindings| bindings.contains_key(&Atom::Integer(vlan))) {
        return Err(format!("no binding for vlan {vlan}"));
    }
    context.store.remove("Physical_Port", port, "vlan_bindings", vlan);
    Ok(())
}

fn list_bindings(context: &mut Context<'_>) -> Result<(), String> {
    let port = port_of_switch(context)?;
    let bindings = context.store.get("Physical_Port", port, "vlan_bindings").cloned().unwrap_or(Datum::EMPTY);
    for (vlan, switch) in bindings.pairs() {
        let name = context.store.text("Logical_Switch", switch.as_uuid().unwrap_or_default(), "name");
        context.line(format!("{:04} {name}", vlan.as_integer().unwrap_or(0)));
    }
    Ok(())
}

fn set_replication_mode(context: &mut Context<'_>) -> Result<(), String> {
    let mode = context.arg(1).to_string();
    if mode != "service_node" && mode != "source_node" {
        return Err("Replication mode must be 'service_node' or 'source_node'".into());
    }
    let switch = logical_switch(context, context.arg(0))?;
    context.store.set("Logical_Switch", switch, "replication_mode", mode.as_str());
    Ok(())
}

fn get_replication_mode(context: &mut Context<'_>) -> Result<(), String> {
    let switch = logical_switch(context, context.arg(0))?;
    let mode = context.store.text("Logical_Switch", switch, "replication_mode");
    context.line(if mode.is_empty() { "(null)" } else { &mode });
    Ok(())
}

fn get_manager(context: &mut Context<'_>) -> Result<(), String> {
    for target in targets(context, "Global", global(context), "managers", "Manager") {
        context.line(target);
    }
    Ok(())
}

fn del_manager(context: &mut Context<'_>) -> Result<(), String> {
    let global = global(context);
    delete_rows(context, "Global", global, "managers", "Manager");
    Ok(())
}

fn set_manager(context: &mut Context<'_>) -> Result<(), String> {
    let global = global(context);
    let targets = context.call.args.clone();
    warn_about_types(context, &targets, false);
    set_targets(context, "Global", global, "managers", "Manager", &targets)
}
