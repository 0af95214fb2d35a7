//! `dpctl/*` commands that read files of flows, and those about caches and offloads.

use crate::app::App;
use crate::backer::Backer;
use crate::dpctl::{self, SELF};
use datapath::flow_text::Deed;
use dp_kernel::control;
use io::unixctl::{Answer, Call, Commands};
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// Adds the commands.
pub fn add(c: &mut Commands, app: &Rc<App>) {
    let mut command = |name: &str, usage: &str, min, max, handler: fn(&App, &Call) -> Answer| {
        let app = app.clone();
        c.add(name, usage, min, max, move |call| handler(&app, call));
    };
    command("dpctl/add-flows", "[dp] file", 1, 2, |app, call| file(app, call, Deed::Add));
    command("dpctl/mod-flows", "[dp] file", 1, 2, |app, call| file(app, call, Deed::Modify));
    command("dpctl/del-flows", "[dp] [file]", 0, 2, del_flows);
    command("dpctl/cache-get-size", "[dp]", 0, 1, |app, call| {
        let mut out = String::new();
        for_each(app, call.arg(0), |b| match b.kernel() {
            Some(k) => out.push_str(&control::caches_of(&b.full_name(), k)),
            None => out.push_str(&format!("{}:\n", b.full_name())),
        })?;
        let names = || app.state.borrow().backers.values().map(|b| (b.full_name(), json!({}))).collect();
        // The kernel's caches are told as it tells them, one a line.
        let caches = |text: &str| -> Vec<(String, String)> {
            let pairs = text.lines().filter_map(|l| l.trim().split_once(": "));
            pairs.map(|(name, size)| (name.to_string(), size.to_string())).collect()
        };
        let mut all: Map<String, Value> = names();
        for_each(app, call.arg(0), |b| {
            if let Some(k) = b.kernel() {
                let sizes = caches(&control::caches_of(&b.full_name(), k)).into_iter().map(|(n, s)| (n, s.into()));
                all.insert(b.full_name(), Value::Object(sizes.collect()));
            }
        })?;
        call.answer(out, || Value::Object(all))
    });
    command("dpctl/cache-set-size", "dp cache <size>", 3, 3, |app, call| {
        let mut in_kernel = false;
        for_each(app, call.arg(0), |b| in_kernel = b.kernel().is_some())?;
        if in_kernel {
            return dpctl::with_kernel(app, "cache-set-size", call);
        }
        if call.args[2].parse::<u32>().is_err() {
            return Err(format!("{SELF}: size is malformed (Invalid argument)"));
        }
        // The caches of polling threads have a size that suits them; nothing else has one.
        Err(format!("{SELF}: Setting caches not supported (Operation not supported)"))
    });
    command("dpctl/offload-stats-show", "[dp]", 0, 1, |app, call| {
        let mut names = Map::new();
        for_each(app, call.arg(0), |b| _ = names.insert(b.full_name(), json!({})))
            .map_err(|_| format!("{SELF}: datapath not found (Invalid argument)"))?;
        call.answer("HW Offload stats:\n", || Value::Object(names))
    });
}

fn is_named(b: &Backer, name: &str) -> bool {
    b.full_name() == name || b.datapath().name() == name
}

/// The datapath of a name, or all.
fn for_each(app: &App, name: Option<&str>, mut f: impl FnMut(&Backer)) -> Result<(), String> {
    let state = app.state.borrow();
    let mut any = false;
    for b in state.backers.values().filter(|b| name.is_none_or(|n| is_named(b, n))) {
        f(b);
        any = true;
    }
    match name {
        Some(n) if !any => {
            Err(format!("{SELF}: Opening datapath {n} failed (Address family not supported by protocol)"))
        }
        _ => Ok(()),
    }
}

fn del_flows(app: &App, call: &Call) -> Answer {
    let is_datapath = |name: &str| app.state.borrow().backers.values().any(|b| is_named(b, name));
    match call.args.as_slice() {
        [] => dpctl::flush(app, None)?,
        [one] if is_datapath(one) => dpctl::flush(app, Some(one))?,
        _ => return file(app, call, Deed::Delete),
    };
    call.done()
}

/// Does what a file says, line by line: an optional word for what to do, a flow, and its actions. What goes wrong is told, and
/// the rest is done.
fn file(app: &App, call: &Call, usual: Deed) -> Answer {
    let (dp, name) = match call.args.as_slice() {
        [dp, name] => (Some(dp.as_str()), name),
        [name] => (None, name),
        _ => return Err(format!("{SELF}: a file of flows is missing")),
    };
    let text = match std::fs::read_to_string(name) {
        Ok(t) => t,
        Err(e) => {
            let why = io::program::strerror(&e);
            return Ok(format!("{SELF}: Opening file \"{name}\" failed ({why})\n").into());
        }
    };
    let mut errors = vec![];
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let (deed, rest) = Deed::of(line, usual);
        let result = match (deed, rest.split_once(char::is_whitespace)) {
            (Deed::Delete, None) => dpctl::delete(app, dp, rest),
            (Deed::Add | Deed::Modify, Some((flow, actions))) => {
                dpctl::put_text(app, dp, flow, actions.trim(), deed == Deed::Add)
            }
            _ => Err(format!("{SELF}: Failed parsing line number {}, skipped!", n + 1)),
        };
        if let Err(e) = result {
            errors.push(e);
        }
    }
    call.answer(errors.iter().map(|e| format!("{e}\n")).collect::<String>(), || json!({"errors": errors}))
}
