//! What datapaths can do, shown and (for tests) changed: `dpif/show-dp-features`, `dpif/set-dp-features`.

use crate::app::App;
use crate::backer::Backer;
use datapath::{Datapath as _, Features};
use io::unixctl::{Answer, Call, Format, Output};
use io::vlog::Module;
use io::vlog_info;
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// A feature's value, to read and to set.
enum Kind {
    Flag(fn(&mut Features) -> &mut bool),
    Number(fn(&mut Features) -> &mut u32),
}

struct Row {
    /// As commands name it.
    key: &'static str,
    /// As listings show it.
    title: &'static str,
    kind: Kind,
}

const fn flag(key: &'static str, title: &'static str, at: fn(&mut Features) -> &mut bool) -> Row {
    Row { key, title, kind: Kind::Flag(at) }
}

const fn number(key: &'static str, title: &'static str, at: fn(&mut Features) -> &mut u32) -> Row {
    Row { key, title, kind: Kind::Number(at) }
}

/// All features, in the order of listings.
const ROWS: &[Row] = &[
    flag("masked_set_action", "Masked set action", |f| &mut f.masked_set),
    flag("tnl_push_pop", "Tunnel push pop", |f| &mut f.tunnel_push_pop),
    flag("ufid", "Ufid", |f| &mut f.ufid),
    flag("trunc", "Truncate action", |f| &mut f.trunc),
    flag("clone", "Clone action", |f| &mut f.clone),
    number("sample_nesting", "Sample nesting", |f| &mut f.sample_nesting),
    flag("ct_eventmask", "Conntrack eventmask", |f| &mut f.ct_eventmask),
    flag("ct_clear", "Conntrack clear", |f| &mut f.ct_clear),
    number("max_hash_alg", "Max dp_hash algorithm", |f| &mut f.max_hash_alg),
    flag("check_pkt_len", "Check pkt length action", |f| &mut f.check_pkt_len),
    flag("ct_timeout", "Conntrack timeout policy", |f| &mut f.ct_timeout),
    flag("explicit_drop_action", "Explicit Drop action", |f| &mut f.explicit_drop),
    flag("lb_output_action", "Optimized Balance TCP mode", |f| &mut f.lb_output),
    flag("ct_zero_snat", "Conntrack all-zero IP SNAT", |f| &mut f.ct_zero_snat),
    flag("add_mpls", "MPLS Label add", |f| &mut f.add_mpls),
    flag("psample", "psample action", |f| &mut f.psample),
    number("max_vlan_headers", "Max VLAN headers", |f| &mut f.max_vlan_headers),
    number("max_mpls_depth", "Max MPLS depth", |f| &mut f.max_mpls_depth),
    flag("recirc", "Recirc", |f| &mut f.recirc),
    flag("ct_state", "CT state", |f| &mut f.ct_state),
    flag("ct_zone", "CT zone", |f| &mut f.ct_zone),
    flag("ct_mark", "CT mark", |f| &mut f.ct_mark),
    flag("ct_label", "CT label", |f| &mut f.ct_label),
    flag("ct_state_nat", "CT state NAT", |f| &mut f.ct_state_nat),
    flag("ct_orig_tuple", "CT orig tuple", |f| &mut f.ct_orig_tuple),
    flag("ct_orig_tuple6", "CT orig tuple for IPv6", |f| &mut f.ct_orig_tuple6),
    flag("nd_ext", "IPv6 ND Extension", |f| &mut f.nd_extensions),
];

impl Row {
    fn json(&self, f: &Features) -> Value {
        let mut f = *f;
        match self.kind {
            Kind::Flag(at) => (*at(&mut f)).into(),
            Kind::Number(at) => (*at(&mut f)).into(),
        }
    }

    fn set(&self, f: &mut Features, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Flag(at) => {
                *at(f) = match text {
                    "true" => true,
                    "false" => false,
                    _ => return Err("Boolean value expected".into()),
                }
            }
            Kind::Number(at) => *at(f) = text.parse().map_err(|_| "Integer number expected".to_string())?,
        }
        Ok(())
    }

    /// Whether a value asks for more than the datapath has.
    fn exceeds(&self, f: &Features, boot: &Features) -> bool {
        let (mut f, mut boot) = (*f, *boot);
        match self.kind {
            Kind::Flag(at) => *at(&mut f) && !*at(&mut boot),
            Kind::Number(at) => *at(&mut f) > *at(&mut boot),
        }
    }
}

/// Features as the log tells of them, in its order.
const TOLD: &[(&str, &str)] = &[
    ("recirc", "recirculation"),
    ("max_vlan_headers", "VLAN header stack length probed as"),
    ("max_mpls_depth", "MPLS label stack length probed as"),
    ("trunc", "truncate action"),
    ("ufid", "unique flow ids"),
    ("clone", "clone action"),
    ("sample_nesting", "Max sample nesting level probed as"),
    ("ct_eventmask", "eventmask in conntrack action"),
    ("ct_clear", "ct_clear action"),
    ("max_hash_alg", "Max dp_hash algorithm probed to be"),
    ("check_pkt_len", "check_pkt_len action"),
    ("ct_timeout", "timeout policy in conntrack action"),
    ("explicit_drop_action", "explicit drop action"),
    ("ct_zero_snat", "ct_zero_snat"),
    ("add_mpls", "add_mpls action"),
    ("psample", "psample action"),
    ("ct_state", "ct_state"),
    ("ct_zone", "ct_zone"),
    ("ct_mark", "ct_mark"),
    ("ct_label", "ct_label"),
    ("ct_state_nat", "ct_state_nat"),
    ("ct_orig_tuple", "ct_orig_tuple"),
    ("ct_orig_tuple6", "ct_orig_tuple6"),
    ("nd_ext", "IPv6 ND Extensions"),
];

/// Says what a new datapath can do.
pub fn tell(backer: &Backer) {
    let (name, features) = (backer.full_name(), shown(backer));
    for (key, what) in TOLD {
        match ROWS.iter().find(|r| r.key == *key).map(|r| r.json(&features)) {
            Some(Value::Bool(true)) => vlog_info!(Module::OfprotoDpif, "{name}: Datapath supports {what}"),
            Some(Value::Bool(false)) => vlog_info!(Module::OfprotoDpif, "{name}: Datapath does not support {what}"),
            Some(n) => vlog_info!(Module::OfprotoDpif, "{name}: {what} {n}"),
            None => {}
        }
    }
}

/// What a datapath can do, as the database tells it.
pub fn capabilities(backer: &Backer) -> Vec<(&'static str, String)> {
    let f = shown(backer);
    let text = |r: &Row| match (r.key, r.json(&f)) {
        ("sample_nesting", depth) => (depth != 0).to_string(),
        (_, value) => value.to_string(),
    };
    ROWS.iter().map(|r| (r.key, text(r))).chain([("ct_flush", "true".to_string())]).collect()
}

/// What translation takes the datapath to be capable of; of the kernel, with as many tags as it takes whatever
/// `other_config:vlan-limit` says.
fn shown(backer: &Backer) -> Features {
    let mut f = backer.features();
    if let Some(k) = backer.kernel() {
        f.max_vlan_headers = k.features().max_vlan_headers;
    }
    f
}

/// `dpif/show-dp-features`
pub fn show(app: &Rc<App>, call: &Call) -> Answer {
    let state = app.state.borrow();
    let entry = state.bridges.get(&call.args[0]).ok_or("no such bridge")?;
    let backer = state.backers.get(&entry.backer).ok_or("no such bridge")?;
    let f = shown(backer);
    if call.format == Format::Json {
        return Ok(Output::Json(ROWS.iter().map(|r| (r.key.to_string(), r.json(&f))).collect::<Map<_, _>>().into()));
    }
    let line = |r: &Row| match r.json(&f) {
        Value::Bool(yes) => format!("{}: {}\n", r.title, if yes { "Yes" } else { "No" }),
        other => format!("{}: {other}\n", r.title),
    };
    Ok(ROWS.iter().map(line).collect::<String>().into())
}

/// `dpif/set-dp-features [--force] bridge [feature [value]]`: without a value it shows the present one and the one that was
/// found at start.
pub fn set(app: &Rc<App>, call: &Call) -> Answer {
    let mut args = call.args.iter().map(String::as_str).peekable();
    let force = args.next_if_eq(&"--force").is_some();
    let name = args.next().ok_or("no such bridge")?;
    let (key, value) = (args.next(), args.next());
    let mut state = app.state.borrow_mut();
    let backer_name = state.bridges.get(name).ok_or("no such bridge")?.backer.clone();
    let backer = state.backers.get_mut(&backer_name).ok_or("no such bridge")?;
    let (now, boot) = (backer.features(), backer.boot_features());
    let Some(value) = value else {
        let rows: Vec<&Row> = ROWS.iter().filter(|r| key.is_none_or(|k| k == r.key)).collect();
        if rows.is_empty() {
            return Err("Unexpected support field".into());
        }
        if call.format == Format::Json {
            let one = |r: &&Row| (r.key.to_string(), json!({"run": r.json(&now), "boot": r.json(&boot)}));
            return Ok(Output::Json(rows.iter().map(one).collect::<Map<_, _>>().into()));
        }
        let line = |r: &&Row| {
            format!("{} ({}) : [run time]:{}, [boot time]:{}\n", r.key, r.title, r.json(&now), r.json(&boot))
        };
        return Ok(rows.iter().map(line).collect::<String>().into());
    };
    let Some(row) = ROWS.iter().find(|r| Some(r.key) == key) else { return Err("Unexpected support field".into()) };
    let mut wanted = now;
    row.set(&mut wanted, value)?;
    if row.exceeds(&wanted, &boot) && !force {
        return Err("Can not enable features not supported by the datapath".into());
    }
    backer.set_features(wanted);
    drop(state);
    app.publish();
    call.done()
}
