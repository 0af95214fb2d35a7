//! Commands about controllers, managers, TLS, fail modes, Auto Attach, and the emergency reset.

use super::root;
use super::view::View;
use crate::ctl::Context;
use crate::ctl::targets::{delete_rows, set_targets, targets, warn_about_types};
use ovsdb_data::{Atom, Datum, Uuid};

/// The real bridge of a bridge, whose row holds controllers and the fail mode.
fn real_bridge(context: &mut Context<'_>) -> Result<Uuid, String> {
    Ok(View::new(context.store).bridge(context.arg(0))?.uuid)
}

pub(super) fn get_controller(context: &mut Context<'_>) -> Result<(), String> {
    let bridge = real_bridge(context)?;
    for target in targets(context, "Bridge", bridge, "controller", "Controller") {
        context.line(target);
    }
    Ok(())
}

pub(super) fn del_controller(context: &mut Context<'_>) -> Result<(), String> {
    let bridge = real_bridge(context)?;
    delete_rows(context, "Bridge", bridge, "controller", "Controller");
    Ok(())
}

pub(super) fn set_controller(context: &mut Context<'_>) -> Result<(), String> {
    let bridge = real_bridge(context)?;
    let targets = context.call.args[1..].to_vec();
    warn_about_types(context, &targets, true);
    set_targets(context, "Bridge", bridge, "controller", "Controller", &targets)
}

pub(super) fn get_fail_mode(context: &mut Context<'_>) -> Result<(), String> {
    let bridge = real_bridge(context)?;
    let mode = context.store.text("Bridge", bridge, "fail_mode");
    if !mode.is_empty() {
        context.line(mode);
    }
    Ok(())
}

pub(super) fn del_fail_mode(context: &mut Context<'_>) -> Result<(), String> {
    let bridge = real_bridge(context)?;
    context.store.set("Bridge", bridge, "fail_mode", Datum::EMPTY);
    Ok(())
}

pub(super) fn set_fail_mode(context: &mut Context<'_>) -> Result<(), String> {
    let bridge = real_bridge(context)?;
    let mode = context.arg(1).to_string();
    if mode != "standalone" && mode != "secure" {
        return Err("fail-mode must be \"standalone\" or \"secure\"".into());
    }
    context.store.set("Bridge", bridge, "fail_mode", mode.as_str());
    Ok(())
}

pub(super) fn get_manager(context: &mut Context<'_>) -> Result<(), String> {
    for target in targets(context, "Open_vSwitch", root(context), "manager_options", "Manager") {
        context.line(target);
    }
    Ok(())
}

pub(super) fn del_manager(context: &mut Context<'_>) -> Result<(), String> {
    let root = root(context);
    delete_rows(context, "Open_vSwitch", root, "manager_options", "Manager");
    Ok(())
}

pub(super) fn set_manager(context: &mut Context<'_>) -> Result<(), String> {
    let root = root(context);
    let targets = context.call.args.clone();
    warn_about_types(context, &targets, false);
    set_targets(context, "Open_vSwitch", root, "manager_options", "Manager", &targets)
}

pub(super) fn get_ssl(context: &mut Context<'_>) -> Result<(), String> {
    for row in context.store.refs("Open_vSwitch", root(context), "ssl") {
        let text = |column: &str| context.store.text("SSL", row, column);
        let bootstrap = context.store.get("SSL", row, "bootstrap_ca_cert").and_then(|d| d.scalar()?.as_bool());
        let (key, certificate, ca) = (text("private_key"), text("certificate"), text("ca_cert"));
        context.line(format!("Private key: {key}"));
        context.line(format!("Certificate: {certificate}"));
        context.line(format!("CA Certificate: {ca}"));
        context.line(format!("Bootstrap: {}", bootstrap.unwrap_or(false)));
    }
    Ok(())
}

pub(super) fn del_ssl(context: &mut Context<'_>) -> Result<(), String> {
    let root = root(context);
    delete_rows(context, "Open_vSwitch", root, "ssl", "SSL");
    Ok(())
}

pub(super) fn set_ssl(context: &mut Context<'_>) -> Result<(), String> {
    del_ssl(context)?;
    let row = context.store.insert("SSL", None);
    for (n, column) in ["private_key", "certificate", "ca_cert"].into_iter().enumerate() {
        let value = context.arg(n).to_string();
        context.store.set("SSL", row, column, value.as_str());
    }
    context.store.set("SSL", row, "bootstrap_ca_cert", context.call.has("--bootstrap"));
    let root = root(context);
    context.store.set("Open_vSwitch", root, "ssl", row);
    Ok(())
}

fn mapping(context: &Context<'_>) -> Result<(i64, i64), String> {
    let number = |n: usize, what: &str, max: i64| {
        let text = context.arg(n);
        let value = text.parse::<i64>().ok().filter(|value| (0..=max).contains(value));
        value.ok_or_else(|| format!("{what} \"{text}\" is not between 0 and {max}"))
    };
    Ok((number(1, "I-SID", 16_777_215)?, number(2, "VLAN", 4095)?))
}

pub(super) fn add_aa_mapping(context: &mut Context<'_>) -> Result<(), String> {
    let bridge = aa_bridge(context)?;
    let (isid, vlan) = mapping(context)?;
    let row = match context.store.refs("Bridge", bridge, "auto_attach").first() {
        Some(row) => *row,
        None => {
            let row = context.store.insert("AutoAttach", None);
            context.store.set("Bridge", bridge, "auto_attach", row);
            row
        }
    };
    let pair = Datum::map(vec![(Atom::Integer(isid), Atom::Integer(vlan))]);
    context.store.add("AutoAttach", row, "mappings", pair);
    Ok(())
}

pub(super) fn del_aa_mapping(context: &mut Context<'_>) -> Result<(), String> {
    let bridge = aa_bridge(context)?;
    let (isid, vlan) = mapping(context)?;
    if let Some(row) = context.store.refs("Bridge", bridge, "auto_attach").first().copied() {
        let pair = Datum::map(vec![(Atom::Integer(isid), Atom::Integer(vlan))]);
        context.store.remove("AutoAttach", row, "mappings", pair);
    }
    Ok(())
}

pub(super) fn get_aa_mapping(context: &mut Context<'_>) -> Result<(), String> {
    let bridge = aa_bridge(context)?;
    for row in context.store.refs("Bridge", bridge, "auto_attach") {
        let mappings = context.store.get("AutoAttach", row, "mappings").cloned().unwrap_or(Datum::EMPTY);
        for (isid, vlan) in mappings.pairs() {
            let (isid, vlan) = (isid.as_integer().unwrap_or(0), vlan.as_integer().unwrap_or(0));
            context.line(format!("{isid} {vlan}"));
        }
    }
    Ok(())
}

fn aa_bridge(context: &mut Context<'_>) -> Result<Uuid, String> {
    let view = View::new(context.store);
    let bridge = view.bridge(context.arg(0))?;
    match &bridge.parent {
        Some(_) => Err("Auto Attach cannot be configured on a fake bridge".into()),
        None => Ok(bridge.uuid),
    }
}

pub(super) fn emer_reset(context: &mut Context<'_>) -> Result<(), String> {
    let bridges: Vec<Uuid> = context.store.rows("Bridge").map(|(uuid, _)| uuid).collect();
    for bridge in bridges {
        for column in ["controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix", "flood_vlans"] {
            context.store.set("Bridge", bridge, column, Datum::EMPTY);
        }
        // ovs-vsctl(8): of the bridge's other_config, only hwaddr stays.
        keep_only(context, "Bridge", bridge, "other_config", &["hwaddr"]);
    }
    let ports: Vec<Uuid> = context.store.rows("Port").map(|(uuid, _)| uuid).collect();
    for port in ports {
        keep_only(context, "Port", port, "other_config", &[]);
    }
    let ifaces: Vec<Uuid> = context.store.rows("Interface").map(|(uuid, _)| uuid).collect();
    for iface in ifaces {
        context.store.set("Interface", iface, "ingress_policing_rate", 0);
        context.store.set("Interface", iface, "ingress_policing_burst", 0);
    }
    let root = root(context);
    keep_only(context, "Open_vSwitch", root, "other_config", &[]);
    for column in ["ssl", "manager_options"] {
        context.store.set("Open_vSwitch", root, column, Datum::EMPTY);
    }
    for table in ["Mirror", "NetFlow", "sFlow", "IPFIX", "Controller", "Manager", "SSL", "Flow_Sample_Collector_Set"] {
        let rows: Vec<Uuid> = context.store.rows(table).map(|(uuid, _)| uuid).collect();
        rows.into_iter().for_each(|row| context.store.delete(table, row));
    }
    Ok(())
}

fn keep_only(context: &mut Context<'_>, table: &str, uuid: Uuid, column: &str, keep: &[&str]) {
    let Some(mut datum) = context.store.get(table, uuid, column).cloned() else { return };
    datum.retain(|key| key.as_str().is_some_and(|key| keep.contains(&key)));
    context.store.set(table, uuid, column, datum);
}
