//! `ovs-vsctl`: configures the switch through its database (ovs-vsctl(8)).

mod bridges;
mod few;
mod settings;
mod view;
mod zones;

use crate::ctl::store::Store;
use crate::ctl::{self, Call, Command, Context, Needs, Product, RecordName, ShowTable, Touched, need};
use io::Invocation;
use ovsdb_data::{DatabaseSchema, Uuid};
use std::process::ExitCode;

/// `ovs-vsctl`.
pub fn main(invocation: &Invocation) -> ExitCode {
    ctl::run::main(invocation, &PRODUCT)
}

const fn own(table: &'static str, column: &'static str) -> RecordName {
    RecordName { table, name_table: table, name_column: Some(column), reference: None }
}

const fn via(
    table: &'static str,
    name_table: &'static str,
    name_column: Option<&'static str>,
    reference: &'static str,
) -> RecordName {
    RecordName { table, name_table, name_column, reference: Some(reference) }
}

const NAMES: &[RecordName] = &[
    own("Bridge", "name"),
    own("Flow_Sample_Collector_Set", "id"),
    own("Flow_Table", "name"),
    own("Interface", "name"),
    own("Manager", "target"),
    own("Mirror", "name"),
    own("Port", "name"),
    RecordName { table: "Open_vSwitch", name_table: "Open_vSwitch", name_column: None, reference: None },
    via("AutoAttach", "Bridge", Some("name"), "auto_attach"),
    via("Controller", "Bridge", Some("name"), "controller"),
    via("IPFIX", "Bridge", Some("name"), "ipfix"),
    via("IPFIX", "Flow_Sample_Collector_Set", Some("id"), "ipfix"),
    via("NetFlow", "Bridge", Some("name"), "netflow"),
    via("QoS", "Port", Some("name"), "qos"),
    via("SSL", "Open_vSwitch", None, "ssl"),
    via("sFlow", "Bridge", Some("name"), "sflow"),
];

const SHOW: &[ShowTable] = &[
    ShowTable { table: "Open_vSwitch", name: None, columns: &["manager_options", "bridges", "ovs_version"] },
    ShowTable { table: "Bridge", name: Some("name"), columns: &["controller", "fail_mode", "datapath_type", "ports"] },
    ShowTable { table: "Port", name: Some("name"), columns: &["tag", "trunks", "interfaces"] },
    ShowTable { table: "Interface", name: Some("name"), columns: &["type", "options", "error"] },
    ShowTable { table: "Controller", name: Some("target"), columns: &["is_connected"] },
    ShowTable { table: "Manager", name: Some("target"), columns: &["is_connected"] },
];

const PRODUCT: Product = Product {
    database: "Open_vSwitch",
    names: NAMES,
    show: SHOW,
    commands: COMMANDS,
    generation: ("Open_vSwitch", "next_cfg", "cur_cfg"),
    help: HELP,
    version_note: "DB Schema 8.8.0\n",
    module: io::vlog::Module::Vsctl,
    complain,
    few: Some((few::names, few::read)),
};

const HELP: &str = include_str!("help.txt");

/// What the switch says is wrong with interfaces that this run touched.
fn complain(touched: &Touched, store: &Store) -> Vec<String> {
    let mut complaints = Vec::new();
    for uuid in touched.rows.get("Interface").into_iter().flatten() {
        let (name, error) = (store.text("Interface", *uuid, "name"), store.text("Interface", *uuid, "error"));
        let ofport = store.get("Interface", *uuid, "ofport").and_then(|d| d.scalar()?.as_integer());
        // An interface that has a number is there, whatever is wrong with it.
        let there = ofport.is_some_and(|n| n >= 0);
        if !error.is_empty() && !there {
            complaints
                .push(format!("Error detected while setting up '{name}': {error}.  See ovs-vswitchd log for details."));
        } else if error.is_empty() && touched.inserted.contains(uuid) && matches!(ofport, None | Some(-1)) {
            complaints.push(format!("Error detected while setting up '{name}'.  See ovs-vswitchd log for details."));
        }
    }
    if !complaints.is_empty() {
        complaints.push(format!("The default log directory is \"{}\".", io::dirs::logdir().display()));
    }
    complaints
}

/// Bridges with their ports and interfaces.
fn topology(_: &Call, schema: &DatabaseSchema, _: &Product, needs: &mut Needs) -> Result<(), String> {
    need(needs, schema, "Open_vSwitch", &["bridges"]);
    need(needs, schema, "Bridge", &["name", "controller", "fail_mode", "ports", "external_ids"]);
    need(needs, schema, "Port", &["name", "fake_bridge", "tag", "interfaces", "external_ids"]);
    need(needs, schema, "Interface", &["name"]);
    Ok(())
}

/// Bridges with their ports, and settings that `add-port` and `add-bond` may make. Their columns must exist.
fn topology_and_settings(call: &Call, schema: &DatabaseSchema, p: &Product, needs: &mut Needs) -> Result<(), String> {
    topology(call, schema, p, needs)?;
    let Some(port) = schema.tables.get("Port") else { return Ok(()) };
    let from = if call.command.name == "add-port" { 2 } else { 4 };
    for argument in call.args.iter().skip(from).filter(|argument| argument.contains('=')) {
        let mut rest = argument.as_str();
        let name = ovsdb_data::text::token(&mut rest)?;
        let column = ctl::names::column(port, &name)?;
        need(needs, schema, "Port", &[port.columns[column].name.as_str()]);
    }
    Ok(())
}

fn controllers(call: &Call, schema: &DatabaseSchema, product: &Product, needs: &mut Needs) -> Result<(), String> {
    topology(call, schema, product, needs)?;
    need(needs, schema, "Controller", &["target", "inactivity_probe"]);
    Ok(())
}

fn managers(_: &Call, schema: &DatabaseSchema, _: &Product, needs: &mut Needs) -> Result<(), String> {
    need(needs, schema, "Open_vSwitch", &["manager_options"]);
    need(needs, schema, "Manager", &["target", "inactivity_probe"]);
    Ok(())
}

fn ssl(_: &Call, schema: &DatabaseSchema, _: &Product, needs: &mut Needs) -> Result<(), String> {
    need(needs, schema, "Open_vSwitch", &["ssl"]);
    need(needs, schema, "SSL", &["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"]);
    Ok(())
}

fn auto_attach(call: &Call, schema: &DatabaseSchema, product: &Product, needs: &mut Needs) -> Result<(), String> {
    topology(call, schema, product, needs)?;
    need(needs, schema, "Bridge", &["auto_attach"]);
    need(needs, schema, "AutoAttach", &["mappings"]);
    Ok(())
}

fn everything(call: &Call, schema: &DatabaseSchema, product: &Product, needs: &mut Needs) -> Result<(), String> {
    topology(call, schema, product, needs)?;
    managers(call, schema, product, needs)?;
    ssl(call, schema, product, needs)?;
    need(needs, schema, "Open_vSwitch", &["other_config", "ssl", "manager_options"]);
    need(needs, schema, "Bridge", &["mirrors", "netflow", "sflow", "ipfix", "flood_vlans", "other_config"]);
    need(needs, schema, "Port", &["other_config"]);
    need(needs, schema, "Interface", &["ingress_policing_rate", "ingress_policing_burst"]);
    for table in ["Mirror", "NetFlow", "sFlow", "IPFIX", "Controller", "Flow_Sample_Collector_Set"] {
        need(needs, schema, table, &[]);
    }
    Ok(())
}

fn zones(_: &Call, schema: &DatabaseSchema, _: &Product, needs: &mut Needs) -> Result<(), String> {
    need(needs, schema, "Open_vSwitch", &["datapaths"]);
    need(needs, schema, "Datapath", &["ct_zones", "ct_zone_default_limit", "capabilities"]);
    need(needs, schema, "CT_Zone", &["timeout_policy", "limit"]);
    need(needs, schema, "CT_Timeout_Policy", &["timeouts"]);
    Ok(())
}

macro_rules! command {
    ($name:literal, $min:expr, $max:expr, $usage:literal, [$($option:literal),*], $needs:expr, $run:path) => {
        Command { name: $name, min: $min, max: $max, usage: $usage, options: &[$($option),*], needs: $needs, run: $run }
    };
}

const ANY: usize = usize::MAX;

const COMMANDS: &[Command] = &[
    command!("init", 0, 0, "", [], topology, init),
    command!("emer-reset", 0, 0, "", [], everything, settings::emer_reset),
    command!("add-br", 1, 3, "NEW-BRIDGE [PARENT] [NEW-VLAN]", ["--may-exist"], topology, bridges::add_br),
    command!("del-br", 1, 1, "BRIDGE", ["--if-exists"], topology, bridges::del_br),
    command!("list-br", 0, 0, "", ["--real", "--fake"], topology, bridges::list_br),
    command!("br-exists", 1, 1, "BRIDGE", [], topology, bridges::br_exists),
    command!("br-to-vlan", 1, 1, "BRIDGE", [], topology, bridges::br_to_vlan),
    command!("br-to-parent", 1, 1, "BRIDGE", [], topology, bridges::br_to_parent),
    command!("br-set-external-id", 2, 3, "BRIDGE KEY [VALUE]", [], topology, bridges::br_set_external_id),
    command!("br-get-external-id", 1, 2, "BRIDGE [KEY]", [], topology, bridges::br_get_external_id),
    command!("list-ports", 1, 1, "BRIDGE", [], topology, bridges::list_ports),
    command!(
        "add-port",
        2,
        ANY,
        "BRIDGE NEW-PORT [COLUMN[:KEY]=VALUE]...",
        ["--may-exist"],
        topology_and_settings,
        bridges::add_port
    ),
    command!(
        "add-bond",
        4,
        ANY,
        "BRIDGE NEW-BOND-PORT SYSINTERFACE... [COLUMN[:KEY]=VALUE]...",
        ["--may-exist", "--fake-iface"],
        topology_and_settings,
        bridges::add_bond
    ),
    command!("add-bond-iface", 2, 2, "BOND IFACE", ["--may-exist"], topology, bridges::add_bond_iface),
    command!("del-bond-iface", 1, 2, "[BOND] IFACE", ["--if-exists"], topology, bridges::del_bond_iface),
    command!("del-port", 1, 2, "[BRIDGE] PORT|IFACE", ["--if-exists", "--with-iface"], topology, bridges::del_port),
    command!("port-to-br", 1, 1, "PORT", [], topology, bridges::port_to_br),
    command!("list-ifaces", 1, 1, "BRIDGE", [], topology, bridges::list_ifaces),
    command!("iface-to-br", 1, 1, "INTERFACE", [], topology, bridges::iface_to_br),
    command!("get-controller", 1, 1, "BRIDGE", [], controllers, settings::get_controller),
    command!("del-controller", 1, 1, "BRIDGE", [], controllers, settings::del_controller),
    command!(
        "set-controller",
        1,
        ANY,
        "BRIDGE TARGET...",
        ["--inactivity-probe="],
        controllers,
        settings::set_controller
    ),
    command!("get-fail-mode", 1, 1, "BRIDGE", [], topology, settings::get_fail_mode),
    command!("del-fail-mode", 1, 1, "BRIDGE", [], topology, settings::del_fail_mode),
    command!("set-fail-mode", 2, 2, "BRIDGE MODE", [], topology, settings::set_fail_mode),
    command!("get-manager", 0, 0, "", [], managers, settings::get_manager),
    command!("del-manager", 0, 0, "", [], managers, settings::del_manager),
    command!("set-manager", 1, ANY, "TARGET...", ["--inactivity-probe="], managers, settings::set_manager),
    command!("get-ssl", 0, 0, "", [], ssl, settings::get_ssl),
    command!("del-ssl", 0, 0, "", [], ssl, settings::del_ssl),
    command!("set-ssl", 3, 3, "PRIVATE-KEY CERTIFICATE CA-CERT", ["--bootstrap"], ssl, settings::set_ssl),
    command!("add-aa-mapping", 3, 3, "BRIDGE I-SID VLAN", [], auto_attach, settings::add_aa_mapping),
    command!("del-aa-mapping", 3, 3, "BRIDGE I-SID VLAN", [], auto_attach, settings::del_aa_mapping),
    command!("get-aa-mapping", 1, 1, "BRIDGE", [], auto_attach, settings::get_aa_mapping),
    command!("add-zone-tp", 3, ANY, "DP zone=ZONE POLICY...", ["--may-exist"], zones, zones::add_zone_tp),
    command!("del-zone-tp", 2, 2, "DP zone=ZONE", ["--if-exists"], zones, zones::del_zone_tp),
    command!("list-zone-tp", 1, 1, "DP", [], zones, zones::list_zone_tp),
    command!("set-zone-limit", 3, 3, "DP ZONE|default LIMIT", [], zones, zones::set_zone_limit),
    command!("del-zone-limit", 2, 2, "DP ZONE|default", ["--if-exists"], zones, zones::del_zone_limit),
    command!("list-zone-limits", 1, 1, "DP", [], zones, zones::list_zone_limits),
    command!("list-dp-cap", 1, 1, "DP", [], zones, zones::list_dp_cap),
];

fn init(_: &mut Context<'_>) -> Result<(), String> {
    Ok(())
}

/// The only row of `Open_vSwitch`, which every run makes if there is none.
fn root(context: &Context<'_>) -> Uuid {
    context.store.rows("Open_vSwitch").next().map(|(uuid, _)| uuid).unwrap_or_default()
}
