//! Commands about connection-tracking zones of a datapath: timeout policies, limits, capabilities.

use super::root;
use crate::ctl::Context;
use ovsdb_data::{Atom, Datum, Uuid};

fn datapath(context: &Context<'_>) -> Option<Uuid> {
    let datapaths = context.store.get("Open_vSwitch", root(context), "datapaths")?;
    datapaths.get(&Atom::string(context.arg(0)))?.as_uuid()
}

fn must_exist(context: &Context<'_>) -> Result<Uuid, String> {
    datapath(context).ok_or_else(|| format!("datapath {} does not exist", context.arg(0)))
}

fn zone_row(context: &Context<'_>, datapath: Uuid, zone: i64) -> Option<Uuid> {
    context.store.get("Datapath", datapath, "ct_zones")?.get(&Atom::Integer(zone))?.as_uuid()
}

fn zones_of(context: &Context<'_>, datapath: Uuid) -> Vec<(i64, Uuid)> {
    let zones = context.store.get("Datapath", datapath, "ct_zones");
    zones.into_iter().flat_map(|d| d.pairs()).filter_map(|(k, v)| Some((k.as_integer()?, v.as_uuid()?))).collect()
}

fn zone_arg(text: &str) -> Result<i64, String> {
    let number = text.strip_prefix("zone=").and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("invalid zone argument, {text}"))
}

fn ensure_zone(context: &mut Context<'_>, datapath: Uuid, zone: i64) -> Uuid {
    if let Some(row) = zone_row(context, datapath, zone) {
        return row;
    }
    let row = context.store.insert("CT_Zone", None);
    let pair = Datum::map(vec![(Atom::Integer(zone), Atom::Uuid(row))]);
    context.store.add("Datapath", datapath, "ct_zones", pair);
    row
}

/// Removes a zone that nothing is configured for any more.
fn drop_if_unused(context: &mut Context<'_>, datapath: Uuid, zone: i64, row: Uuid) {
    let empty = |column: &str| context.store.get("CT_Zone", row, column).is_none_or(Datum::is_empty);
    if empty("limit") && empty("timeout_policy") {
        context.store.remove("Datapath", datapath, "ct_zones", zone);
        context.store.delete("CT_Zone", row);
    }
}

pub(super) fn add_zone_tp(context: &mut Context<'_>) -> Result<(), String> {
    let datapath = must_exist(context)?;
    let zone = zone_arg(context.arg(1))?;
    let known = zone_row(context, datapath, zone);
    let has_policy = known.is_some_and(|row| !context.store.refs("CT_Zone", row, "timeout_policy").is_empty());
    // With --may-exist the new policy takes the place of the old.
    if has_policy && !context.call.has("--may-exist") {
        return Err(format!("zone id {zone} already has a policy"));
    }
    let mut timeouts = Vec::new();
    for argument in &context.call.args[2..] {
        let Some((name, value)) = argument.split_once('=') else { return Err("invalid timeout policy".into()) };
        // What is no number counts as 0, as in scripts that rely on it.
        timeouts.push((Atom::string(name), Atom::Integer(value.parse().unwrap_or(0))));
    }
    let policy = context.store.insert("CT_Timeout_Policy", None);
    context.store.set("CT_Timeout_Policy", policy, "timeouts", Datum::map(timeouts));
    let row = ensure_zone(context, datapath, zone);
    context.store.set("CT_Zone", row, "timeout_policy", policy);
    Ok(())
}

pub(super) fn del_zone_tp(context: &mut Context<'_>) -> Result<(), String> {
    let datapath = must_exist(context)?;
    let zone = zone_arg(context.arg(1))?;
    let row = zone_row(context, datapath, zone);
    let policies = row.map(|row| context.store.refs("CT_Zone", row, "timeout_policy")).unwrap_or_default();
    let (Some(row), Some(policy)) = (row, policies.first()) else {
        if context.call.has("--if-exists") {
            return Ok(());
        }
        return Err(format!("zone id {zone} does not have a policy"));
    };
    context.store.delete("CT_Timeout_Policy", *policy);
    context.store.set("CT_Zone", row, "timeout_policy", Datum::EMPTY);
    drop_if_unused(context, datapath, zone, row);
    Ok(())
}

pub(super) fn list_zone_tp(context: &mut Context<'_>) -> Result<(), String> {
    let Some(datapath) = datapath(context) else {
        return Err(format!("datapath: {} record not found", context.arg(0)));
    };
    for (zone, row) in zones_of(context, datapath) {
        let policies = context.store.refs("CT_Zone", row, "timeout_policy");
        let Some(policy) = policies.first() else {
            context.line(format!("Zone:{zone}, Timeout Policies: system default"));
            continue;
        };
        let timeouts = context.store.get("CT_Timeout_Policy", *policy, "timeouts").cloned().unwrap_or(Datum::EMPTY);
        let mut line = format!("Zone:{zone}, Timeout Policies:");
        for (name, value) in timeouts.pairs() {
            line.push_str(&format!(" {}={}", name.as_str().unwrap_or_default(), value.as_integer().unwrap_or(0)));
        }
        context.line(line);
    }
    Ok(())
}

fn limit_target(context: &Context<'_>) -> Result<Option<i64>, String> {
    match context.arg(1) {
        "default" => Ok(None),
        text => match text.parse::<i64>() {
            Ok(zone) if (0..=65535).contains(&zone) => Ok(Some(zone)),
            Ok(zone) => Err(format!("zone_id ({zone}) out of range")),
            Err(_) => Err(format!("invalid zone id, {text}")),
        },
    }
}

pub(super) fn set_zone_limit(context: &mut Context<'_>) -> Result<(), String> {
    let datapath = must_exist(context)?;
    let text = context.arg(2);
    let limit = text.parse::<i64>().ok().filter(|limit| (0..=i64::from(u32::MAX)).contains(limit));
    let limit = limit.ok_or_else(|| format!("{text}: invalid limit"))?;
    match limit_target(context)? {
        None => context.store.set("Datapath", datapath, "ct_zone_default_limit", limit),
        Some(zone) => {
            let row = ensure_zone(context, datapath, zone);
            context.store.set("CT_Zone", row, "limit", limit);
        }
    }
    Ok(())
}

pub(super) fn del_zone_limit(context: &mut Context<'_>) -> Result<(), String> {
    let datapath = must_exist(context)?;
    let if_exists = context.call.has("--if-exists");
    match limit_target(context)? {
        None => {
            let none = context.store.get("Datapath", datapath, "ct_zone_default_limit").is_none_or(Datum::is_empty);
            if none && !if_exists {
                return Err(format!("datapath {} does not have a limit", context.arg(0)));
            }
            context.store.set("Datapath", datapath, "ct_zone_default_limit", Datum::EMPTY);
        }
        Some(zone) => {
            let limited = |row: &Uuid| context.store.get("CT_Zone", *row, "limit").is_some_and(|d| !d.is_empty());
            let Some(row) = zone_row(context, datapath, zone).filter(limited) else {
                if if_exists {
                    return Ok(());
                }
                return Err(format!("zone_id {zone} does not have a limit"));
            };
            context.store.set("CT_Zone", row, "limit", Datum::EMPTY);
            drop_if_unused(context, datapath, zone, row);
        }
    }
    Ok(())
}

pub(super) fn list_zone_limits(context: &mut Context<'_>) -> Result<(), String> {
    let Some(datapath) = datapath(context) else {
        return Err(format!("datapath: {} record not found", context.arg(0)));
    };
    let number = |datum: Option<&Datum>| datum.and_then(|d| d.scalar()?.as_integer());
    if let Some(limit) = number(context.store.get("Datapath", datapath, "ct_zone_default_limit")) {
        context.line(format!("Default, Limit: {limit}"));
    }
    for (zone, row) in zones_of(context, datapath) {
        if let Some(limit) = number(context.store.get("CT_Zone", row, "limit")) {
            context.line(format!("Zone: {zone}, Limit: {limit}"));
        }
    }
    Ok(())
}

pub(super) fn list_dp_cap(context: &mut Context<'_>) -> Result<(), String> {
    let Some(datapath) = datapath(context) else {
        return Err(format!("datapath \"{}\" record not found", context.arg(0)));
    };
    let capabilities = context.store.get("Datapath", datapath, "capabilities").cloned().unwrap_or(Datum::EMPTY);
    let words: Vec<String> = capabilities
        .pairs()
        .iter()
        .map(|(name, value)| format!("{}={}", name.as_str().unwrap_or_default(), value.as_str().unwrap_or_default()))
        .collect();
    context.line(words.join(" "));
    Ok(())
}
