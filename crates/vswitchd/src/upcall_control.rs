//! Control commands about packets that the datapath could not handle by itself, and about the flows made for them:
//! `upcall/*`, `revalidator/*`, `ofproto/detrace`.

use crate::app::App;
use io::unixctl::{Answer, Call, Commands, Format, Output};
use serde_json::{Map, Value, json};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use switch::{Upcalls, revalidate};

/// Adds the commands.
pub fn add(c: &mut Commands, app: &Rc<App>) {
    let mut command = |name: &str, usage: &str, min, max, handler: fn(&Rc<App>, &Call) -> Answer| {
        let app = app.clone();
        c.add(name, usage, min, max, move |call| handler(&app, call));
    };
    command("upcall/show", "", 0, 0, show);
    command("upcall/disable-megaflows", "", 0, 0, |app, call| megaflows(app, call, false));
    command("upcall/enable-megaflows", "", 0, 0, |app, call| megaflows(app, call, true));
    command("upcall/disable-ufid", "", 0, 0, |app, call| {
        for_each(app, |u| u.terse_dumps.store(false, Relaxed));
        call.answer("Datapath dumping tersely using UFID disabled", || json!({"ufid_enabled": false}))
    });
    command("upcall/enable-ufid", "", 0, 0, |app, call| {
        for_each(app, |u| u.terse_dumps.store(true, Relaxed));
        let text = "Datapath dumping tersely using UFID enabled for supported datapaths";
        call.answer(text, || json!({"ufid_enabled": true}))
    });
    command("upcall/set-flow-limit", "flow-limit-number", 1, 1, |app, call| {
        let limit: u64 = call.args[0].parse().map_err(|_| format!("{}: not a number of flows", call.args[0]))?;
        for_each(app, |u| u.set_flow_limit(limit));
        call.answer(format!("set flow_limit to {limit}"), || json!({"flow_limit": limit}))
    });
    command("revalidator/wait", "", 0, 0, |app, call| {
        let now = app.clock.now();
        for b in app.state.borrow().backers.values() {
            revalidate::sweep(&b.upcalls, &*b.datapath(), true, now);
        }
        call.done()
    });
    command("revalidator/purge", "", 0, 0, |app, call| {
        purge(app);
        call.done()
    });
    command("ofproto/detrace", "UFID [pmd=PMD-ID]", 1, 2, detrace);
}

fn for_each(app: &App, f: impl Fn(&Upcalls)) {
    app.state.borrow().backers.values().for_each(|b| f(&b.upcalls));
}

fn purge(app: &App) {
    let now = app.clock.now();
    for b in app.state.borrow().backers.values() {
        revalidate::flush(&b.upcalls, &*b.datapath(), now);
    }
}

fn megaflows(app: &App, call: &Call, on: bool) -> Answer {
    for_each(app, |u| u.megaflows.store(on, Relaxed));
    purge(app);
    call.answer(if on { "megaflows enabled" } else { "megaflows disabled" }, || json!({"megaflows": on}))
}

fn show(app: &Rc<App>, call: &Call) -> Answer {
    let mut out = String::new();
    let mut all = Map::new();
    for b in app.state.borrow().backers.values() {
        let known = b.upcalls.known_flows();
        let load = b.upcalls.load();
        let limit = b.upcalls.flow_limit.load(Relaxed);
        let current = b.datapath().stats().flows;
        let terse = b.upcalls.terse_dumps.load(Relaxed);
        out.push_str(&format!(
            "{}:\n  flows         : (current {current}) (avg {}) (max {}) (limit {limit})\n  \
             dump duration : {}ms\n  ufid enabled : {terse}\n\n  2: (keys {known})\n",
            b.full_name(),
            load.average,
            load.max,
            load.dump_ms
        ));
        all.insert(
            b.full_name(),
            json!({
                "flows": {"current": current, "avg": load.average, "max": load.max, "limit": limit},
                "dump_duration_ms": load.dump_ms,
                "ufid_enabled": terse,
                "revalidators": [{"id": 2, "keys": known}],
            }),
        );
    }
    Ok(match call.format {
        Format::Text => out.into(),
        Format::Json => Output::Json(Value::Object(all)),
    })
}

/// Which OpenFlow flows and groups made a flow of the datapath.
fn detrace(app: &Rc<App>, call: &Call) -> Answer {
    let ufid = crate::dpctl::explicit_ufid(&call.args[0]).ok_or("failed to parse ufid")?;
    if let Some(pmd) = call.arg(1)
        && pmd.strip_prefix("pmd=").and_then(|n| n.parse::<u32>().ok()).is_none()
    {
        return Err(format!("{pmd}: expected pmd=PMD-ID"));
    }
    let now = app.clock.now();
    let state = app.state.borrow();
    let mut out = String::new();
    let mut found = vec![];
    for b in state.backers.values() {
        let Some(origin) = b.upcalls.origin_of(ufid) else {
            out.push_str(&format!("UFID was not found for {}\n", b.full_name()));
            continue;
        };
        for (bridge, rules, groups) in origin {
            let Some(e) = state.bridges.values().find(|e| e.bridge.shared.id == bridge) else { continue };
            out.push_str(&e.bridge.name);
            out.push('\n');
            for r in &rules {
                out.push_str(&format!("  {}\n", switch::show::rule_line(r, true, true, now)));
            }
            for g in &groups {
                out.push_str(&format!("  {}\n", switch::show::group_line(g)));
            }
            let rule_json = |r: &std::sync::Arc<translate::Rule>| switch::show::rule_json(r, now);
            found.push(json!({
                "bridge": e.bridge.name,
                "flows": rules.iter().map(rule_json).collect::<Vec<_>>(),
                "groups": groups.iter().map(|g| g.id.0).collect::<Vec<_>>(),
            }));
        }
    }
    Ok(match call.format {
        Format::Text => out.into(),
        Format::Json => Output::Json(Value::Array(found)),
    })
}
