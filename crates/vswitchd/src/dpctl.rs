//! Control commands that look into datapaths: `dpctl/*`, `dpif/dump-flows`, `dpif/show-dp-features`.

use crate::app::{App, BridgeEntry};
use crate::backer::Backer;
use datapath::action_text::{format_actions, parse_actions};
use datapath::flow_text::{format_flow, format_stats};
use datapath::key_text::{KeyStyle, NoNames, PortNames, fault, format_key, parse_key};
use datapath::{Datapath, DpError, FlowDump, FlowPut, Ufid};
use dp_kernel::control;
use flow::DpPort;
use io::program::strerror;
use io::unixctl::{ANY_NUMBER, Answer, Call, Commands, Format, Output};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// The name with which the daemon's answers about datapaths begin.
pub(crate) const SELF: &str = "ovs-vswitchd";

/// Adds the commands.
pub fn add(c: &mut Commands, app: &Rc<App>) {
    let mut command = |name: &str, usage: &str, min, max, handler: fn(&App, &Call) -> Answer| {
        let app = app.clone();
        c.add(name, usage, min, max, move |call| handler(&app, call));
    };
    command("dpctl/dump-dps", "", 0, 0, dump_dps);
    command("dpctl/show", "[-s] [dp...]", 0, ANY_NUMBER, show);
    command("dpctl/dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, 6, dump_flows);
    command("dpctl/add-flow", "[dp] flow actions", 2, 3, |app, call| put(app, call, true));
    command("dpctl/mod-flow", "[dp] flow actions", 2, 3, |app, call| put(app, call, false));
    command("dpctl/del-flow", "[dp] flow", 1, 2, del_flow);
    command("dpctl/get-flow", "[dp] ufid", 1, 2, get_flow);
    kernel_commands(c, app);
    let mut command = |name: &str, usage: &str, min, max, handler: fn(&App, &Call) -> Answer| {
        let app = app.clone();
        c.add(name, usage, min, max, move |call| handler(&app, call));
    };
    command("dpif-netlink/dispatch-mode", "", 0, 0, |app, call| {
        let state = app.state.borrow();
        let one = |b: &Backer| Some((b.datapath().name().to_string(), b.dispatch()?));
        let modes: BTreeMap<String, &str> = state.backers.values().filter_map(one).collect();
        call.answer(modes.iter().map(|(name, mode)| format!("{name}: {mode}\n")).collect::<String>(), || json!(modes))
    });
    command("dpctl/parse-actions", "actions", 1, ANY_NUMBER, reparse);
    command("dpctl/normalize-actions", "actions", 2, ANY_NUMBER, reparse);
    command("dpctl/list-commands", "", 0, ANY_NUMBER, |_, call| list_commands(call));
    command("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, 4, bridge_flows);
}

/// `dpctl/list-commands`: names and arguments, in the order in which ovs-dpctl lists them.
fn list_commands(call: &Call) -> Answer {
    let more = [("list-commands", ""), ("parse-actions", "actions"), ("normalize-actions", "actions")];
    let all: Vec<(String, &str)> = control::COMMANDS
        .iter()
        .map(|&(name, usage, ..)| (name, usage))
        .chain(more)
        .map(|(name, usage)| (format!("dpctl/{name}"), usage))
        .collect();
    let lines: String = all.iter().map(|(name, usage)| format!("  {name:<30}{usage}\n")).collect();
    call.answer(format!("The available commands are:\n{lines}"), || {
        all.iter().map(|(name, usage)| (name.clone(), Value::from(*usage))).collect::<serde_json::Map<_, _>>().into()
    })
}

/// Commands of all datapaths; the others are of datapaths of the kernel.
const OF_ALL: [&str; 13] = [
    "dump-dps",
    "show",
    "dump-flows",
    "add-flow",
    "mod-flow",
    "get-flow",
    "del-flow",
    "add-flows",
    "mod-flows",
    "del-flows",
    "offload-stats-show",
    "cache-get-size",
    "cache-set-size",
];

fn kernel_commands(c: &mut Commands, app: &Rc<App>) {
    for (name, usage, least, most) in control::COMMANDS.iter().filter(|c| !OF_ALL.contains(&c.0)) {
        let app = app.clone();
        c.add(&format!("dpctl/{name}"), usage, *least, *most, move |call| with_kernel(&app, name, call));
    }
}

/// Runs a command of the kernel's datapaths where there are any.
pub(crate) fn with_kernel(app: &App, name: &str, call: &Call) -> Answer {
    if !app.state.borrow().backers.values().any(|b| b.kernel().is_some()) {
        return Err(format!(
            "{SELF}: {name} is for datapaths of the kernel, and there is none (Operation not supported)"
        ));
    }
    let done = control::run(name, &call.args, control::Options::default());
    let errors: Vec<String> = done.errors.iter().map(|e| format!("{SELF}: {e}")).collect();
    if done.failed { Err(errors.join("\n")) } else { Ok(done.text.into()) }
}

/// Names of a datapath's ports.
pub struct DpNames(BTreeMap<DpPort, String>);

impl DpNames {
    /// Those of a datapath at this moment.
    #[must_use]
    pub fn of(datapath: &dyn Datapath) -> DpNames {
        DpNames(datapath.ports().into_iter().map(|p| (p.port, p.name)).collect())
    }
}

impl PortNames for DpNames {
    fn name(&self, port: DpPort) -> Option<String> {
        self.0.get(&port).cloned()
    }

    fn port(&self, name: &str) -> Option<DpPort> {
        self.0.iter().find(|(_, n)| *n == name).map(|(p, _)| *p)
    }
}

fn with_backer<T>(app: &App, name: Option<&str>, f: impl FnOnce(&Backer) -> Result<T, String>) -> Result<T, String> {
    let state = app.state.borrow();
    let Some(name) = name else {
        let mut all = state.backers.values();
        return match (all.next(), all.next()) {
            (None, _) => Err(format!("{SELF}: no datapaths exist\n{SELF}: datapath not found (Invalid argument)")),
            (Some(only), None) => f(only),
            _ => Err(format!("{SELF}: multiple datapaths, specify one\n{SELF}: datapath not found (Invalid argument)")),
        };
    };
    let found = state.backers.values().find(|b| b.full_name() == name || b.datapath().name() == name);
    found.map_or_else(|| Err(format!("{SELF}: datapath not found (Invalid argument)")), f)
}

/// `text (errno text)`, as every failed request is reported.
fn failed(what: &str, e: &DpError) -> String {
    format!("{SELF}: {what} ({e})")
}

fn dump_dps(app: &App, call: &Call) -> Answer {
    let names: Vec<String> = app.state.borrow().backers.values().map(Backer::full_name).collect();
    call.answer(names.iter().map(|name| format!("{name}\n")).collect::<String>(), || json!(names))
}

fn show(app: &App, call: &Call) -> Answer {
    let detailed = call.args.iter().any(|a| a == "-s" || a == "--statistics");
    let names: Vec<&String> = call.args.iter().filter(|a| !a.starts_with('-')).collect();
    let state = app.state.borrow();
    let mut out = String::new();
    let mut all = Vec::new();
    for name in &names {
        if !state.backers.values().any(|b| b.full_name() == **name || b.datapath().name() == name.as_str()) {
            // A type that nobody serves is another mistake than a datapath that is not there.
            let unknown =
                name.split_once('@').is_some_and(|(kind, _)| !crate::backer::datapath_types(app.dummy).contains(&kind));
            let why = if unknown { "Address family not supported by protocol" } else { "No such device" };
            return Err(format!("{SELF}: opening datapath {name} failed ({why})"));
        }
    }
    for b in state.backers.values() {
        let dp = b.datapath();
        if !names.is_empty() && !names.iter().any(|n| **n == b.full_name() || n.as_str() == dp.name()) {
            continue;
        }
        if let Some(k) = b.kernel().filter(|_| call.format == Format::Text) {
            out.push_str(&control::show_one(&b.full_name(), k, detailed));
            continue;
        }
        let s = dp.stats();
        out.push_str(&format!("{}:\n", b.full_name()));
        out.push_str(&format!("  lookups: hit:{} missed:{} lost:{}\n  flows: {}\n", s.hit, s.missed, s.lost, s.flows));
        // The datapath itself has a number, too, by which nothing enters or leaves.
        let kind = if b.is_dummy() { "dummy-internal" } else { "tap" };
        out.push_str(&format!("  port 0: {} ({kind})\n", dp.name()));
        let mut ports = Vec::new();
        for p in dp.ports() {
            out.push_str(&format!("  port {}: {}", p.port.0, p.name));
            let config: Vec<String> = p.config.iter().map(|(k, v)| format!("{k}={v}")).collect();
            out.push_str(&match (p.kind.as_str(), config.is_empty()) {
                ("system", true) => "\n".into(),
                (kind, true) => format!(" ({kind})\n"),
                (kind, false) => format!(" ({kind}: {})\n", config.join(", ")),
            });
            if detailed {
                out.push_str(&port_text(&*dp, p.port));
            }
            ports.push(json!({"port": p.port.0, "name": p.name, "type": p.kind}));
        }
        all.push(json!({
            "datapath": b.full_name(),
            "lookups": {"hit": s.hit, "missed": s.missed, "lost": s.lost},
            "flows": s.flows,
            "ports": ports,
        }));
    }
    Ok(match call.format {
        Format::Text => out.into(),
        Format::Json => Output::Json(Value::Array(all)),
    })
}

fn port_text(dp: &dyn Datapath, port: DpPort) -> String {
    let s = dp.port_stats(port).unwrap_or_default();
    format!(
        "    RX packets:{} errors:? dropped:? overruns:? frame:?\n    \
         TX packets:{} errors:? dropped:{} aborted:? carrier:?\n    \
         collisions:?\n    \
         RX bytes:{}{}  TX bytes:{}{}\n    \
         UPCALL packets:{} errors:{}\n",
        s.rx_packets,
        s.tx_packets,
        s.tx_dropped,
        s.rx_bytes,
        human(s.rx_bytes),
        s.tx_bytes,
        human(s.tx_bytes),
        s.upcalls,
        s.upcall_errors
    )
}

/// ` (1.5 MiB)` for large counts.
fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!(" ({:.1} {unit})", bytes as f64 / *size as f64),
        None => String::new(),
    }
}

/// What to dump, and how.
#[derive(Default)]
struct DumpOptions<'a> {
    verbose: bool,
    names: Option<bool>,
    filter: Option<&'a str>,
    /// Only of the thread on this core; -1: of the main thread.
    core: Option<i64>,
    target: Option<&'a str>,
    /// What came after it.
    more: Option<&'a str>,
}

impl<'a> DumpOptions<'a> {
    fn of(call: &'a Call) -> Result<Self, String> {
        let mut o = DumpOptions::default();
        for arg in &call.args {
            match arg.as_str() {
                "-m" | "--more" => o.verbose = true,
                "--names" => o.names = Some(true),
                "--no-names" => o.names = Some(false),
                a if a.starts_with("filter=") => o.filter = a.strip_prefix("filter="),
                a if a.starts_with("type=") => match a {
                    "type=ovs" | "type=non-offloaded" | "type=all" => {}
                    _ => return Err(format!("{SELF}: Failed to parse type ({}) (Invalid argument)", &a[5..])),
                },
                a if a.starts_with("pmd=") => o.core = Some(a[4..].parse().map_err(|_| bad_core(&a[4..]))?),
                a if a.starts_with('-') => return Err(format!("{SELF}: unknown option {a}")),
                a if o.target.is_none() => o.target = Some(a),
                a => o.more = Some(a),
            }
        }
        Ok(o)
    }
}

fn bad_core(text: &str) -> String {
    format!("{SELF}: Failed to parse pmd-id {text} (Invalid argument)")
}

/// One flow as JSON.
fn flow_json(flow: &FlowDump, style: KeyStyle<'_>) -> Value {
    json!({
        "ufid": flow.ufid.to_string(),
        "key": format_key(&flow.key, &flow.mask, style),
        "packets": flow.stats.packets,
        "bytes": flow.stats.bytes,
        "used_ms": flow.stats.used.map(clock::Instant::as_millis),
        "actions": format_actions(&flow.actions, style.names),
    })
}

fn dump_flows(app: &App, call: &Call) -> Answer {
    let o = DumpOptions::of(call)?;
    if let Some(more) = o.more {
        return Err(format!("{SELF}: unexpected argument {more}"));
    }
    let filter = match o.filter {
        Some(f) => Some(flow::text::parse_match(f).map_err(|e| format!("{SELF}: Failed to parse filter ({f}: {e})"))?),
        None => None,
    };
    with_backer(app, o.target, |b| {
        let dp = b.datapath();
        let names = DpNames::of(&*dp);
        let named = o.names.unwrap_or(o.verbose);
        let style = KeyStyle { verbose: o.verbose, names: if named { &names } else { &NoNames } };
        if let Some(k) = b.kernel().filter(|_| call.format == Format::Text) {
            // The kernel's flows belong to no polling thread.
            let lines = if o.core.is_some_and(|core| core >= 0) {
                Ok(String::new())
            } else {
                control::flow_lines(k, filter.as_ref(), app.clock.now(), style)
            };
            return lines
                .map(Into::into)
                .map_err(|e| format!("{SELF}: Failed to dump flows from datapath ({})", strerror(&e)));
        }
        let mut flows = dp.flow_dump();
        flows.retain(|f| filter.as_ref().is_none_or(|m| m.may_match(&f.key, &f.mask)));
        flows.retain(|f| o.core.is_none_or(|wanted| f.core.map_or(-1, i64::from) == wanted));
        // The main thread's come last.
        flows.sort_by_key(|f| (f.core.is_none(), f.core, f.key.dp_in_port()));
        if call.format == Format::Json {
            return Ok(Output::Json(flows.iter().map(|f| flow_json(f, style)).collect()));
        }
        let now = app.clock.now();
        let mut out = String::new();
        for (i, flow) in flows.iter().enumerate() {
            if i == 0 || flows[i - 1].core != flow.core {
                match flow.core {
                    None => out.push_str("flow-dump from the main thread:\n"),
                    Some(core) => out.push_str(&format!("flow-dump from pmd on cpu core: {core}\n")),
                }
            }
            out.push_str(&format_flow(flow, now, style));
            out.push('\n');
        }
        Ok(out.into())
    })
}

fn bridge_flows(app: &App, call: &Call) -> Answer {
    let o = DumpOptions::of(call)?;
    let state = app.state.borrow();
    let entry = state.bridges.get(o.more.or(o.target).unwrap_or("")).ok_or("no such bridge")?;
    let backer = state.backers.get(&entry.backer).ok_or("no such bridge")?;
    let dp = backer.datapath();
    let names = DpNames::of(&*dp);
    let named = o.names.unwrap_or(o.verbose);
    let style = KeyStyle { verbose: o.verbose, names: if named { &names } else { &NoNames } };
    let mine = |e: &BridgeEntry, port: DpPort| e.interfaces.values().any(|i| i.dp == Some(port));
    let mut flows = dp.flow_dump();
    flows.retain(|f| mine(entry, f.key.dp_in_port()));
    flows.sort_by_key(|f| f.key.dp_in_port());
    if call.format == Format::Json {
        return Ok(Output::Json(flows.iter().map(|f| flow_json(f, style)).collect()));
    }
    let now = app.clock.now();
    let mut out = String::new();
    for f in &flows {
        if o.verbose {
            out.push_str(&format!("ufid:{} ", f.ufid));
        }
        out.push_str(&format_key(&f.key, &f.mask, style));
        let stats = format_stats(&f.stats, now);
        out.push_str(&format!(", {stats}, actions:{}\n", format_actions(&f.actions, style.names)));
    }
    Ok(out.into())
}

/// The datapath, if the first of more than `wanted` arguments names one, and the other arguments.
fn split_args(call: &Call, wanted: usize) -> (Option<&str>, &[String]) {
    if call.args.len() > wanted { (call.arg(0), &call.args[1..]) } else { (None, &call.args) }
}

fn put(app: &App, call: &Call, create: bool) -> Answer {
    let (dp, args) = split_args(call, 2);
    put_text(app, dp, &args[0], &args[1], create)?;
    call.done()
}

/// Adds or changes a flow given as text.
pub(crate) fn put_text(app: &App, dp: Option<&str>, flow: &str, actions: &str, create: bool) -> Answer {
    with_backer(app, dp, |b| {
        let datapath = b.datapath();
        let names = DpNames::of(&*datapath);
        let (key, mask) = parse_key(flow, &names).map_err(|_| {
            format!("{SELF}: parsing flow key (syntax error at {}) (Invalid argument)", fault(flow, &names))
        })?;
        let actions =
            parse_actions(actions, &names).map_err(|_| format!("{SELF}: parsing actions (Invalid argument)"))?;
        let put = FlowPut {
            ufid: explicit_ufid(flow),
            key,
            mask: with_basics(mask),
            actions,
            create,
            modify: !create,
            zero_stats: false,
        };
        datapath.flow_put(put).map_err(|e| failed("updating flow table", &e))?;
        Ok("".into())
    })
}

/// What every flow of a datapath matches.
fn with_basics(mut mask: flow::FlowMask) -> flow::FlowMask {
    mask.set_recirc_id(u32::MAX);
    mask.set_in_port_raw(u32::MAX);
    mask
}

/// The name at the beginning of a key, `ufid:…`.
pub fn explicit_ufid(s: &str) -> Option<Ufid> {
    let rest = s.trim_start().strip_prefix("ufid:")?;
    rest.get(..36)?.parse().ok()
}

fn del_flow(app: &App, call: &Call) -> Answer {
    let (dp, args) = split_args(call, 1);
    delete(app, dp, &args[0])?;
    call.done()
}

/// Deletes a flow given as text.
pub(crate) fn delete(app: &App, dp: Option<&str>, flow: &str) -> Answer {
    with_backer(app, dp, |b| {
        let datapath = b.datapath();
        let names = DpNames::of(&*datapath);
        let ufid = match explicit_ufid(flow) {
            Some(ufid) => Some(ufid),
            None => {
                let (key, mask) = parse_key(flow, &names)
                    .map_err(|_| format!("{SELF}: syntax error at {} (Invalid argument)", fault(flow, &names)))?;
                let mask = with_basics(mask);
                // The name that a flow given as text gets, or, for others, the flow that is just so.
                let named = Some(Ufid::of(&key, &mask)).filter(|u| datapath.flow_get(*u).is_ok());
                let same = |f: &FlowDump| f.mask == mask && f.key.equal_masked(&key, &mask);
                named.or_else(|| datapath.flow_dump().into_iter().find(same).map(|f| f.ufid))
            }
        };
        let result = ufid.ok_or(DpError::NoSuchFlow).and_then(|u| datapath.flow_del(u));
        match result {
            Ok(_) => Ok("".into()),
            Err(e) => Err(format!("{}\nPerhaps you need to specify a UFID?", failed("deleting flow", &e))),
        }
    })
}

/// Deletes all flows.
pub(crate) fn flush(app: &App, dp: Option<&str>) -> Answer {
    with_backer(app, dp, |b| {
        b.datapath().flow_flush().map_err(|e| failed("deleting all flows", &e))?;
        Ok("".into())
    })
}

fn get_flow(app: &App, call: &Call) -> Answer {
    let (dp, args) = split_args(call, 1);
    with_backer(app, dp, |b| {
        let Some(ufid) = explicit_ufid(&args[0]) else { return Ok(format!("{SELF}: parsing flow ufid\n").into()) };
        let flow = b.datapath().flow_get(ufid).map_err(|e| failed("getting flow", &e))?;
        let style = KeyStyle { verbose: false, names: &NoNames };
        let text = format!("{}\n", format_flow(&flow, app.clock.now(), style));
        call.answer(text, || flow_json(&flow, style))
    })
}

fn reparse(_: &App, call: &Call) -> Answer {
    let one = |text: &String| match parse_actions(text, &NoNames) {
        Ok(actions) => Ok(format_actions(&actions, &NoNames)),
        Err(_) => Err(format!("{SELF}: odp_actions_from_string (Invalid argument)")),
    };
    let lists: Vec<String> = call.args.iter().map(one).collect::<Result<_, _>>()?;
    call.answer(lists.iter().map(|list| format!("{list}\n")).collect::<String>(), || json!({"actions": lists}))
}

/// The datapath of a bridge or of a name, for other commands.
pub fn find(app: &App, name: Option<&str>) -> Result<(String, Arc<dyn Datapath>), String> {
    with_backer(app, name, |b| Ok((b.full_name(), b.datapath())))
}
