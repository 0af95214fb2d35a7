//! The control commands of the switch daemon.

use crate::app::{App, BridgeEntry};
use flow::OfPort;
use io::unixctl::{ANY_NUMBER, Answer, Call, Commands, Format, Output};
use serde_json::{Map, Value, json};
use std::rc::Rc;
use std::time::Duration;

/// All commands.
pub fn commands(program: &str, app: &Rc<App>) -> Commands {
    let mut c = Commands::new(program);
    let asked = Rc::clone(app);
    c.add_later("exit", "[--cleanup]", 0, 1, move |call| {
        *asked.exit.borrow_mut() = Some(call.arg(0) == Some("--cleanup"));
        asked.exit_asked.notify_one();
        io::unixctl::when_gone()
    });
    add(&mut c, app, "memory/show", "", 0, 0, |app, call| memory(app, call));
    add(&mut c, app, "fdb/show", "[bridge...]", 0, ANY_NUMBER, |app, call| fdb_show(app, call));
    add(&mut c, app, "fdb/flush", "[bridge]", 0, 1, |app, call| {
        for_bridges(app, call, |e| {
            e.bridge.shared.macs().flush();
        })
        .map_err(|_| "no such bridge".to_string())?;
        changed(app);
        call.answer("table successfully flushed", || json!({"flushed": chosen(app, call)}))
    });
    add(&mut c, app, "fdb/stats-show", "bridge", 1, 1, |app, call| {
        with_bridge(app, &call.args[0], |e| call.answer(e.bridge.fdb_stats(), || e.bridge.fdb_stats_json()))
            .map_err(|_| "no such bridge".into())
    });
    add(&mut c, app, "fdb/stats-clear", "[bridge]", 0, 1, |app, call| {
        for_bridges(app, call, |e| e.bridge.shared.macs().stats = Default::default())
            .map_err(|_| "no such bridge".to_string())?;
        call.answer("statistics successfully cleared", || json!({"cleared": chosen(app, call)}))
    });
    add(&mut c, app, "fdb/add", "bridge port vlan mac", 4, 4, |app, call| fdb_add(app, call));
    add(&mut c, app, "fdb/del", "bridge vlan mac", 3, 3, |app, call| fdb_del(app, call));
    add(&mut c, app, "ofproto/list", "", 0, 0, |app, call| {
        let names: Vec<String> = app.state.borrow().bridges.keys().cloned().collect();
        call.answer(names.iter().map(|n| format!("{n}\n")).collect::<String>(), || json!(names))
    });
    add(&mut c, app, "bridge/dump-flows", "[--offload-stats] bridge", 1, 2, |app, call| {
        let name = call.args.last().map_or("", String::as_str);
        let offload = call.arg(0) == Some("--offload-stats");
        let now = app.clock.now();
        let state = app.state.borrow();
        match (state.bridges.get(name), call.format) {
            (Some(e), Format::Text) => Ok(e.bridge.dump_all_flows(offload, now).into()),
            (Some(e), Format::Json) => Ok(Output::Json(e.bridge.all_flows_json(now))),
            (None, _) => Err("Unknown bridge".into()),
        }
    });
    add(&mut c, app, "dpif/show", "", 0, 0, |app, call| dpif_show(app, call));
    add(&mut c, app, "dpif/dump-dps", "", 0, 0, |app, call| {
        let state = app.state.borrow();
        let text: String = state.bridges.iter().map(|(name, e)| format!("{}@{name}\n", e.backer)).collect();
        let one = |(name, e): (&String, &BridgeEntry)| json!({"bridge": name, "type": e.backer});
        call.answer(text, || state.bridges.iter().map(one).collect())
    });
    add(&mut c, app, "dpif/show-dp-features", "bridge", 1, 1, crate::dp_features::show);
    let usage = "[--force] bridge [feature [value]]";
    add(&mut c, app, "dpif/set-dp-features", usage, 1, 4, crate::dp_features::set);
    add(&mut c, app, "dpif/offload/show", "", 0, 0, offload);
    add(&mut c, app, "bridge/reconnect", "[bridge]", 0, 1, |app, call| {
        let mut state = app.state.borrow_mut();
        match call.arg(0) {
            Some(name) if !state.bridges.contains_key(name) => return Err("Unknown bridge".into()),
            wanted => {
                let all = state.bridges.iter_mut().filter(|(n, _)| wanted.is_none_or(|w| w == n.as_str()));
                all.for_each(|(_, e)| e.endpoints.values().for_each(crate::openflow::Endpoint::reconnect));
            }
        }
        call.done()
    });
    add(&mut c, app, "qos/show", "interface", 1, 1, |app, call| {
        let name = interface(app, call)?;
        call.answer(format!("QoS not configured on {name}\n"), || json!({"interface": name, "qos": null}))
    });
    add(&mut c, app, "qos/show-types", "interface", 1, 1, |app, call| {
        let name = interface(app, call)?;
        let text = format!("No QoS types supported for interface: {name}\n");
        call.answer(text, || json!({"interface": name, "types": []}))
    });
    crate::dpctl::add(&mut c, app);
    crate::upcall_control::add(&mut c, app);
    crate::dpctl_files::add(&mut c, app);
    crate::dpif_netdev::add(&mut c, app);
    crate::probe::add(&mut c, app);
    if app.dummy != crate::app::Dummy::Off {
        // The time of a switch that serves anybody is not to be stopped.
        add(&mut c, app, "time/stop", "", 0, 0, |app, call| {
            app.clock.stop();
            call.done()
        });
        add(&mut c, app, "time/warp", "[large_msecs] msecs", 1, 2, warp);
    }
    c
}

fn add(
    c: &mut Commands,
    app: &Rc<App>,
    name: &str,
    usage: &str,
    min: usize,
    max: usize,
    handler: impl Fn(&Rc<App>, &Call) -> Answer + 'static,
) {
    let app = app.clone();
    c.add(name, usage, min, max, move |call| handler(&app, call));
}

fn with_bridge(app: &App, name: &str, f: impl FnOnce(&mut BridgeEntry) -> Answer) -> Answer {
    match app.state.borrow_mut().bridges.get_mut(name) {
        Some(e) => f(e),
        None => Err(format!("no such bridge {name}")),
    }
}

/// The bridges that a call names, or all.
fn for_bridges(app: &App, call: &Call, mut f: impl FnMut(&mut BridgeEntry)) -> Result<(), String> {
    let mut state = app.state.borrow_mut();
    if let Some(missing) = call.args.iter().find(|n| !state.bridges.contains_key(*n)) {
        return Err(format!("no such bridge {missing}"));
    }
    for (_, e) in state.bridges.iter_mut().filter(|(n, _)| call.args.is_empty() || call.args.contains(n)) {
        f(e);
    }
    Ok(())
}

/// The names of the bridges that a call names, or of all.
fn chosen(app: &App, call: &Call) -> Vec<String> {
    let state = app.state.borrow();
    state.bridges.keys().filter(|n| call.args.is_empty() || call.args.contains(n)).cloned().collect()
}

/// Flows may go elsewhere now.
fn changed(app: &App) {
    for b in app.state.borrow().backers.values() {
        b.upcalls.changed(switch::upcall::Reason::MacLearning);
    }
}

fn fdb_show(app: &App, call: &Call) -> Answer {
    let now = app.clock.now();
    let mut text = String::new();
    let mut tables = Map::new();
    let many = chosen(app, call).len() > 1;
    if many {
        text.push_str(" Bridge  Port  VLAN  MAC                Age\n");
    }
    for_bridges(app, call, |e| {
        tables.insert(e.bridge.name.clone(), e.bridge.fdb_json(now));
        if !many {
            return text.push_str(&e.bridge.fdb_text(now));
        }
        let lines = e.bridge.fdb_lines(now);
        // A bridge is named on its first line.
        for (n, line) in lines.iter().enumerate() {
            text.push_str(&format!(" {:<7}{line}", if n == 0 { &e.bridge.name } else { "" }));
        }
        if lines.is_empty() {
            text.push_str(&format!(" {}\n", e.bridge.name));
        }
    })?;
    Ok(match call.format {
        Format::Text => text.into(),
        Format::Json => Output::Json(Value::Object(tables)),
    })
}

/// The bundle of a port of a bridge, by the port's name or number.
fn bundle_of(e: &BridgeEntry, port: &str) -> Option<translate::BundleId> {
    let config = e.bridge.shared.config.snapshot();
    let number = if port == "LOCAL" { Some(OfPort::LOCAL) } else { port.parse().ok().map(OfPort) };
    let found = config.ports.values().find(|p| p.name == port || Some(p.of) == number);
    found.map(|p| p.bundle)
}

fn vlan_and_mac(vlan: &str, mac: &str) -> Result<(u16, wire::EthAddr), String> {
    let m = mac.parse().map_err(|_| "bad MAC address".to_string())?;
    let v = vlan.parse().ok().filter(|v| *v < 4096).ok_or_else(|| format!("Invalid VLAN ID \"{vlan}\""))?;
    Ok((v, m))
}

fn fdb_add(app: &App, call: &Call) -> Answer {
    let (port, (vlan, mac)) = (&call.args[1], vlan_and_mac(&call.args[2], &call.args[3])?);
    let now = app.clock.now();
    let answer = with_bridge(app, &call.args[0], |e| {
        let bundle = bundle_of(e, port).ok_or_else(|| format!("no such port {port}"))?;
        let mut macs = e.bridge.shared.macs();
        if macs.len() >= macs.max_entries() {
            return Err("MAC table is full".into());
        }
        let old = macs.lookup(now, vlan, mac).filter(|entry| entry.expires.is_none()).map(|entry| entry.port);
        macs.add_static(vlan, mac, bundle);
        drop(macs);
        let over = old.filter(|o| *o != bundle).map(|o| e.bridge.bundle_label(o));
        let text = over.as_ref().map(|o| format!("Overriding already existing static entry on {o}\n"));
        call.answer(text.unwrap_or_default(), || json!({"overridden": over}))
    });
    changed(app);
    answer
}

fn fdb_del(app: &App, call: &Call) -> Answer {
    let (vlan, mac) = vlan_and_mac(&call.args[1], &call.args[2])?;
    with_bridge(app, &call.args[0], |e| match e.bridge.shared.macs().del_static(vlan, mac) {
        true => Ok("".into()),
        false => Err("could not find static mac entry".into()),
    })?;
    changed(app);
    call.done()
}

fn dpif_show(app: &App, call: &Call) -> Answer {
    let state = app.state.borrow();
    let bridges = |kind: &str| -> Vec<_> { state.bridges.values().filter(|e| e.backer == kind).collect() };
    if call.format == Format::Json {
        let one = |(kind, b): (&String, &crate::backer::Backer)| {
            let s = b.datapath().stats();
            let list: Map<String, Value> =
                bridges(kind).into_iter().map(|e| (e.bridge.name.clone(), e.bridge.dpif_json())).collect();
            let stats = json!({"hit": s.hit.to_string(), "missed": s.missed.to_string()});
            (b.full_name(), json!({"stats": stats, "bridges": list}))
        };
        return Ok(Output::Json(Value::Object(state.backers.iter().map(one).collect())));
    }
    let mut out = String::new();
    for (kind, b) in &state.backers {
        let s = b.datapath().stats();
        out.push_str(&format!("{}: hit:{} missed:{}\n", b.full_name(), s.hit, s.missed));
        for e in bridges(kind) {
            out.push_str(&e.bridge.dpif_text());
        }
    }
    Ok(out.into())
}

fn memory(app: &App, call: &Call) -> Answer {
    let u = crate::memory::Usage::of(app);
    call.answer(format!("{}\n", u.text()), || {
        json!({"idl-cells-Open_vSwitch": u.cells, "ports": u.ports, "revalidators": u.revalidators, "rules": u.rules,
               "udpif keys": u.keys})
    })
}

/// The interface that a call names.
fn interface(app: &App, call: &Call) -> Result<String, String> {
    let known = app.state.borrow().bridges.values().any(|e| e.interfaces.contains_key(&call.args[0]));
    if known { Ok(call.args[0].clone()) } else { Err("no such interface".into()) }
}

/// `dpif/offload/show`: no datapath hands flows to hardware.
fn offload(app: &Rc<App>, call: &Call) -> Answer {
    let state = app.state.borrow();
    Ok(match call.format {
        Format::Text => {
            let names = state.backers.values().map(|b| format!("{}:\n", b.full_name()));
            format!("Globally enabled: false\nDatapaths:\n{}", names.collect::<String>()).into()
        }
        Format::Json => {
            let names = state.backers.values().map(|b| (b.full_name(), json!({})));
            Output::Json(json!({"enabled": false, "datapaths": names.collect::<Map<_, _>>()}))
        }
    })
}

/// `time/warp MSECS` moves the clock in one step; `time/warp LARGE MSECS` in steps of MSECS until LARGE have passed.
fn warp(app: &Rc<App>, call: &Call) -> Answer {
    let number = |s: &String| s.parse::<u64>().ok().filter(|n| *n > 0).ok_or_else(|| "invalid MSECS".to_string());
    let total = number(&call.args[0])?;
    let step = call.args.get(1).map_or(Ok(total), number)?.min(total);
    let mut left = total;
    while left > 0 {
        let now = step.min(left);
        app.clock.warp(Duration::from_millis(now));
        app.tick();
        left -= now;
    }
    call.answer("warped", || json!({"warped_ms": total}))
}
