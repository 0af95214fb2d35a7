//! MAC addresses of logical switches, and the tunnel endpoints where they are.

use super::logical_switch;
use crate::ctl::Context;
use ovsdb_data::{Atom, Datum, Uuid};

/// Addresses that the gateway learned, or that a controller told it.
#[derive(Clone, Copy)]
pub(super) struct Side {
    ucast: &'static str,
    mcast: &'static str,
    word: &'static str,
}

/// Learned by the gateway.
pub(super) const LOCAL: Side = Side { ucast: "Ucast_Macs_Local", mcast: "Mcast_Macs_Local", word: "local" };
/// Told by a controller.
pub(super) const REMOTE: Side = Side { ucast: "Ucast_Macs_Remote", mcast: "Mcast_Macs_Remote", word: "remote" };

/// The encapsulation if none is given.
const ENCAP: &str = "vxlan_over_ipv4";

/// Encapsulation and address of a tunnel endpoint, from the arguments after the MAC address.
fn endpoint(context: &Context<'_>) -> (String, String) {
    match context.call.args.as_slice() {
        [_, _, encap, ip] => (encap.clone(), ip.clone()),
        _ => (ENCAP.to_string(), context.arg(2).to_string()),
    }
}

/// The row of an endpoint, a new one if there is none.
fn locator(context: &mut Context<'_>, encap: &str, ip: &str) -> Result<Uuid, String> {
    let text = |uuid, column| context.store.text("Physical_Locator", uuid, column);
    let known = context
        .store
        .rows("Physical_Locator")
        .map(|(uuid, _)| uuid)
        .find(|uuid| text(*uuid, "dst_ip") == ip && text(*uuid, "encapsulation_type") == encap);
    if let Some(known) = known {
        return Ok(known);
    }
    if encap != ENCAP {
        return Err(format!("unsupported encapsulation type \"{encap}\" (use {ENCAP})"));
    }
    let row = context.store.insert("Physical_Locator", None);
    context.store.set("Physical_Locator", row, "dst_ip", ip);
    context.store.set("Physical_Locator", row, "encapsulation_type", encap);
    Ok(row)
}

/// Rows of a MAC table that belong to a logical switch, and have this address if one is given.
fn entries(context: &Context<'_>, table: &str, switch: Uuid, mac: Option<&str>) -> Vec<Uuid> {
    let of_switch = |uuid: &Uuid| context.store.refs(table, *uuid, "logical_switch").contains(&switch);
    let has_mac = |uuid: &Uuid| mac.is_none_or(|mac| context.store.text(table, *uuid, "MAC") == mac);
    context.store.rows(table).map(|(uuid, _)| uuid).filter(|uuid| of_switch(uuid) && has_mac(uuid)).collect()
}

pub(super) fn add_ucast(context: &mut Context<'_>, side: Side) -> Result<(), String> {
    let switch = logical_switch(context, context.arg(0))?;
    let mac = context.arg(1).to_string();
    let (encap, ip) = endpoint(context);
    let locator = locator(context, &encap, &ip)?;
    let row = match entries(context, side.ucast, switch, Some(&mac)).first() {
        Some(row) => *row,
        None => {
            let row = context.store.insert(side.ucast, None);
            context.store.set(side.ucast, row, "MAC", mac.as_str());
            context.store.set(side.ucast, row, "logical_switch", switch);
            row
        }
    };
    context.store.set(side.ucast, row, "locator", locator);
    Ok(())
}

pub(super) fn del_ucast(context: &mut Context<'_>, side: Side) -> Result<(), String> {
    let switch = logical_switch(context, context.arg(0))?;
    let mac = context.arg(1).to_string();
    for row in entries(context, side.ucast, switch, Some(&mac)) {
        context.store.delete(side.ucast, row);
    }
    Ok(())
}

/// Gives an entry a set of endpoints. Sets are immutable: a new one takes the place of the old.
fn set_locators(context: &mut Context<'_>, table: &str, row: Uuid, locators: Vec<Uuid>) {
    let set = context.store.insert("Physical_Locator_Set", None);
    let locators = Datum::set(locators.into_iter().map(Atom::Uuid).collect());
    context.store.set("Physical_Locator_Set", set, "locators", locators);
    context.store.set(table, row, "locator_set", set);
}

fn locators_of(context: &Context<'_>, table: &str, row: Uuid) -> Vec<Uuid> {
    let sets = context.store.refs(table, row, "locator_set");
    sets.into_iter().flat_map(|set| context.store.refs("Physical_Locator_Set", set, "locators")).collect()
}

pub(super) fn add_mcast(context: &mut Context<'_>, side: Side) -> Result<(), String> {
    let switch = logical_switch(context, context.arg(0))?;
    let mac = context.arg(1).to_string();
    let (encap, ip) = endpoint(context);
    let locator = locator(context, &encap, &ip)?;
    let row = entries(context, side.mcast, switch, Some(&mac)).first().copied();
    let mut locators = row.map(|row| locators_of(context, side.mcast, row)).unwrap_or_default();
    if locators.contains(&locator) {
        return Ok(());
    }
    locators.push(locator);
    let row = row.unwrap_or_else(|| {
        let row = context.store.insert(side.mcast, None);
        context.store.set(side.mcast, row, "MAC", mac.as_str());
        context.store.set(side.mcast, row, "logical_switch", switch);
        row
    });
    set_locators(context, side.mcast, row, locators);
    Ok(())
}

pub(super) fn del_mcast(context: &mut Context<'_>, side: Side) -> Result<(), String> {
    let switch = logical_switch(context, context.arg(0))?;
    let mac = context.arg(1).to_string();
    let (encap, ip) = endpoint(context);
    let locator = locator(context, &encap, &ip)?;
    for row in entries(context, side.mcast, switch, Some(&mac)) {
        let mut locators = locators_of(context, side.mcast, row);
        locators.retain(|other| *other != locator);
        match locators.is_empty() {
            true => context.store.delete(side.mcast, row),
            false => set_locators(context, side.mcast, row, locators),
        }
    }
    Ok(())
}

pub(super) fn clear(context: &mut Context<'_>, side: Side) -> Result<(), String> {
    let switch = logical_switch(context, context.arg(0))?;
    for table in [side.ucast, side.mcast] {
        for row in entries(context, table, switch, None) {
            context.store.delete(table, row);
        }
    }
    Ok(())
}

fn endpoint_text(context: &Context<'_>, locator: Uuid) -> String {
    let text = |column| context.store.text("Physical_Locator", locator, column);
    format!("{}/{}", text("encapsulation_type"), text("dst_ip"))
}

pub(super) fn list(context: &mut Context<'_>, side: Side) -> Result<(), String> {
    let switch = logical_switch(context, context.arg(0))?;
    context.line(format!("ucast-mac-{}", side.word));
    print_entries(context, side.ucast, switch, |context, row| context.store.refs(side.ucast, row, "locator"));
    context.line("");
    context.line(format!("mcast-mac-{}", side.word));
    print_entries(context, side.mcast, switch, |context, row| locators_of(context, side.mcast, row));
    context.line("");
    Ok(())
}

fn print_entries(
    context: &mut Context<'_>,
    table: &str,
    switch: Uuid,
    locators: impl Fn(&Context<'_>, Uuid) -> Vec<Uuid>,
) {
    let mut lines = Vec::new();
    for row in entries(context, table, switch, None) {
        let mac = context.store.text(table, row, "MAC");
        for locator in locators(context, row) {
            lines.push(format!("  {mac} -> {}", endpoint_text(context, locator)));
        }
    }
    lines.sort();
    lines.iter().for_each(|line| context.line(line));
}
