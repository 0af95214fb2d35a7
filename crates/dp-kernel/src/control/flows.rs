//! Flows, as text.

use super::{Done, Options, Outcome, choose, failure};
use crate::{Kernel, RawFlow};
use clock::Instant;
use datapath::action_text::{format_actions, parse_actions};
use datapath::flow_text::{Deed, format_stats};
use datapath::key_text::{KeyStyle, NoNames, PortNames, fault, format_key, parse_key};
use datapath::netlink::UnknownAttr;
use datapath::{DpError, FlowPut, FlowStats, PortInfo, Ufid};
use flow::text::parse_match;
use flow::{DpPort, FlowKey, FlowMask, Match};
use io::program::strerror;
use io::vlog::Module;
use io::vlog_warn;
use std::sync::Arc;

struct Names(Vec<PortInfo>);

impl Names {
    fn of(k: &Kernel) -> Names {
        Names(k.port_list().unwrap_or_default())
    }
}

impl PortNames for Names {
    fn name(&self, port: DpPort) -> Option<String> {
        self.0.iter().find(|p| p.port == port).map(|p| p.name.clone())
    }

    fn port(&self, name: &str) -> Option<DpPort> {
        self.0.iter().find(|p| p.name == name).map(|p| p.port)
    }
}

/// A flow's name at the beginning of its text, and the rest.
fn named(text: &str) -> (Option<Ufid>, &str) {
    let Some(rest) = text.trim_start().strip_prefix("ufid:") else { return (None, text) };
    match rest.get(..36).and_then(|u| u.parse().ok()) {
        Some(ufid) => (Some(ufid), rest[36..].trim_start_matches([',', ' '])),
        None => (None, text),
    }
}

/// The text of a key with what there is no field for, as bytes, behind the header that it belongs to.
fn with_unknown(key: &str, unknown: &[UnknownAttr]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
    let texts: String = unknown
        .iter()
        .map(|a| match a.mask.iter().all(|b| *b == u8::MAX) {
            true => format!(",key{}({})", a.kind, hex(&a.value)),
            false => format!(",key{}({}/{})", a.kind, hex(&a.value), hex(&a.mask)),
        })
        .collect();
    let end = key.rfind("ipv6(").and_then(|at| Some(at + key[at..].find(')')? + 1)).unwrap_or(key.len());
    format!("{}{texts}{}", &key[..end], &key[end..])
}

/// The line of a flow. `verbose` as with `-m`.
pub(crate) fn flow_line(f: &RawFlow, now: Instant, style: KeyStyle<'_>) -> String {
    let mut out = f.ufid.filter(|_| style.verbose).map(|u| format!("ufid:{u}, ")).unwrap_or_default();
    // The kernel has no packet types.
    let key = format_key(&f.key, &f.mask, style);
    let key = key.replace("packet_type(ns=0/0,id=0/0),", "").replace("packet_type(ns=0,id=0),", "");
    out.push_str(&with_unknown(&key, &f.unknown));
    out.push_str(&format!(", {}", format_stats(&f.stats, now)));
    if style.verbose {
        out.push_str(", dp:ovs");
    }
    out.push_str(&format!(", actions:{}", format_actions(&f.actions, style.names)));
    out
}

/// `dump-flows`
pub(super) fn dump(args: &[String], o: Options) -> Done {
    let mut o = o;
    let (mut dp, mut filter, mut core) = (vec![], None, false);
    for arg in args {
        match arg.as_str() {
            "-m" | "--more" => o.more = true,
            "--names" => o.names = Some(true),
            "--no-names" => o.names = Some(false),
            a if a.starts_with("filter=") => filter = a.strip_prefix("filter="),
            a if a.starts_with("type=") => {
                return failure("Invalid argument 'type'. Use 'ovs-appctl dpctl/dump-flows' instead.");
            }
            a if a.starts_with("pmd=") => core = true,
            _ => dp.push(arg.clone()),
        }
    }
    let (k, _) = choose(&dp, 0)?;
    let filter = match filter.map(|f| (f, parse_match(f))) {
        Some((f, Err(e))) => return failure(format!("Failed to parse filter ({f}: {e})")),
        Some((_, Ok(m))) => Some(m),
        None => None,
    };
    let names = Names::of(&k);
    let named = o.names.unwrap_or(o.more);
    let style = KeyStyle { verbose: o.more, names: if named { &names } else { &NoNames } };
    let mut out = Outcome::default();
    // The kernel's flows belong to no polling thread.
    if core {
        return Ok(out);
    }
    match lines(&k, filter.as_ref(), k.clock.now(), style) {
        Ok(all) => out.text = all,
        Err(e) => return failure(format!("Failed to dump flows from datapath ({})", strerror(&e))),
    }
    Ok(out)
}

/// The lines of all flows that a filter does not keep out.
pub(crate) fn lines(k: &Kernel, filter: Option<&Match>, now: Instant, style: KeyStyle<'_>) -> std::io::Result<String> {
    let fits = |f: &RawFlow| {
        filter.is_none_or(|m| {
            let both = f.mask.masked(&m.mask);
            f.key.equal_masked(&m.key, &both)
        })
    };
    let flows = k.dump_raw()?;
    Ok(flows.iter().filter(|f| fits(f)).map(|f| flow_line(f, now, style) + "\n").collect())
}

fn parsed(k: &Kernel, text: &str) -> Result<(Option<Ufid>, FlowKey, FlowMask), Outcome> {
    let (ufid, rest) = named(text);
    match parse_key(rest, &Names::of(k)) {
        Ok((key, mask)) => Ok((ufid, key, mask)),
        Err(_) => {
            failure(format!("parsing flow key (syntax error at {}) (Invalid argument)", fault(rest, &Names::of(k))))
        }
    }
}

/// Whether a text has the attributes that the kernel wants of every key: those of Ethernet and, with TCP, its flags.
fn is_whole(text: &str) -> bool {
    let has = |name: &str| text.split([',', ' ', '(']).any(|p| p.trim() == name);
    (has("eth") || has("packet_type")) && (!has("tcp") || has("tcp_flags"))
}

/// Ethernet of a key that has none.
const NO_ETHERNET: &str = "eth(src=00:00:00:00:00:00/00:00:00:00:00:00,dst=00:00:00:00:00:00/00:00:00:00:00:00)";

/// A key with all that its attributes have, without attributes that it has not.
fn given(text: &str, key: &FlowKey, mask: &FlowMask) -> String {
    let ethernet = text.contains("eth(");

    let all = format_key(key, mask, KeyStyle { verbose: true, names: &NoNames });
    let (mut out, mut depth, mut from) = (vec![], 0u32, 0);
    for (i, c) in all.char_indices().chain([(all.len(), ',')]) {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let part = &all[from..i];
                let empty = part.ends_with("(0/0)") || (part == NO_ETHERNET && !ethernet);
                if !empty && !part.starts_with("packet_type") {
                    out.push(part);
                }
                from = i + 1;
            }
            _ => {}
        }
    }
    out.join(",")
}

fn put_text(k: &Arc<Kernel>, flow: &str, actions: &str, o: Options, deed: Deed) -> Done {
    let (ufid, key, mask) = parsed(k, flow)?;
    let Ok(actions) = parse_actions(actions, &Names::of(k)) else {
        return failure("parsing actions (Invalid argument)");
    };
    let put = FlowPut {
        ufid,
        key,
        mask,
        actions,
        create: deed == Deed::Add || o.may_create,
        modify: deed == Deed::Modify,
        zero_stats: o.clear,
    };
    let before = (deed == Deed::Modify && o.statistics).then(|| find(k, ufid, &key, &mask)).flatten();
    let done = || match ufid {
        Some(_) => datapath::Datapath::flow_put(&**k, put.clone()).map(drop),
        None => k.put_unnamed(&put),
    };
    let done = if is_whole(flow) { done() } else { Err(DpError::Io(rustix::io::Errno::INVAL.into())) };
    if let Err(e) = done {
        let kind = if deed == Deed::Add { "create" } else { "modify" };
        let (key, actions) = (given(flow, &key, &mask), format_actions(&put.actions, &NoNames));
        let name = datapath::Datapath::name(&**k);
        let none = FlowStats::default();
        let counters = if o.statistics { format!("{}, ", format_stats(&none, k.clock.now())) } else { String::new() };
        // A flow that is there already is nothing to speak of.
        if !matches!(e, DpError::Exists) {
            vlog_warn!(Module::Dpif, "system@{name}: failed to put[{kind}] ({e}) {key}, {counters}actions:{actions}");
        }
        return failure(format!("updating flow table ({e})"));
    }
    let mut out = Outcome::default();
    if let Some(f) = before {
        out.line(format_stats(&f, k.clock.now()));
    }
    Ok(out)
}

/// The counters of a flow now.
fn find(k: &Kernel, ufid: Option<Ufid>, key: &FlowKey, mask: &FlowMask) -> Option<FlowStats> {
    match ufid {
        Some(u) => k.get_raw(u).ok().map(|f| f.stats),
        None => k.dump_raw().ok()?.into_iter().find(|f| f.key.equal_masked(key, mask)).map(|f| f.stats),
    }
}

/// `add-flow [dp] flow actions`, `mod-flow`
pub(super) fn put(args: &[String], o: Options, deed: Deed) -> Done {
    let (k, args) = choose_for(args, 2)?;
    put_text(&k, &args[0], &args[1], o, deed)
}

/// Flows have equal signs in them, too: what comes before `least` arguments is the datapath.
fn choose_for(args: &[String], least: usize) -> Result<(Arc<Kernel>, &[String]), Outcome> {
    if args.len() > least {
        let (k, _) = choose(&args[..1], 0)?;
        return Ok((k, &args[1..]));
    }
    let (k, _) = choose(&[], 0)?;
    Ok((k, args))
}

fn del_text(k: &Arc<Kernel>, text: &str, o: Options) -> Done {
    let (ufid, key, _) =
        if let (Some(u), "") = named(text) { (Some(u), FlowKey::ZERO, FlowMask::ZERO) } else { parsed(k, text)? };
    let done = match ufid {
        Some(u) => datapath::Datapath::flow_del(&**k, u),
        None => k.del_unnamed(&key),
    };
    match done {
        Ok(stats) => {
            let mut out = Outcome::default();
            if o.statistics {
                out.line(format_stats(&stats, k.clock.now()));
            }
            Ok(out)
        }
        Err(e) => {
            vlog_warn!(Module::Dpif, "system@{}: failed to flow_del ({e}) ", datapath::Datapath::name(&**k));
            let mut out = Outcome::default();
            out.error(format!("deleting flow ({e})"));
            if matches!(e, DpError::NoSuchFlow) && ufid.is_none() {
                out.text.push_str("Perhaps you need to specify a UFID?\n");
            }
            Err(out)
        }
    }
}

/// `del-flow [dp] flow`
pub(super) fn del(args: &[String], o: Options) -> Done {
    let (k, args) = choose_for(args, 1)?;
    del_text(&k, &args[0], o)
}

/// `del-flows [dp] [file]`
pub(super) fn del_all(args: &[String], o: Options) -> Done {
    let is_datapath = args.first().is_some_and(|a| super::open(a).is_ok());
    if args.is_empty() || (is_datapath && args.len() == 1) {
        let (k, _) = choose(args, 0)?;
        return match datapath::Datapath::flow_flush(&*k) {
            Ok(()) => Ok(Outcome::default()),
            Err(e) => failure(format!("deleting all flows ({e})")),
        };
    }
    file(args, o, Deed::Delete)
}

/// `get-flow [dp] ufid`
pub(super) fn get(args: &[String], o: Options) -> Done {
    let (k, args) = choose_for(args, 1)?;
    let (Some(ufid), _) = named(&args[0]) else {
        return Ok(Outcome { errors: vec!["parsing flow ufid".into()], ..Outcome::default() });
    };
    match k.get_raw(ufid) {
        Ok(f) => {
            let names = Names::of(&k);
            let named = o.names.unwrap_or(o.more);
            let style = KeyStyle { verbose: o.more, names: if named { &names } else { &NoNames } };
            super::shown(format!("{}\n", flow_line(&f, k.clock.now(), style)))
        }
        Err(e) => {
            let name = datapath::Datapath::name(&*k);
            let rest = format!("ufid:{ufid} <empty>, packets:0, bytes:0, used:never");
            vlog_warn!(Module::Dpif, "system@{name}: failed to flow_get ({e}) {rest}");
            failure(format!("getting flow ({e})"))
        }
    }
}

/// `add-flows [dp] file`, `mod-flows`, `del-flows dp file`: what a file says, line by line.
pub(super) fn file(args: &[String], o: Options, usual: Deed) -> Done {
    let (k, args) = choose_for(args, 1)?;
    let name = &args[0];
    let text = match std::fs::read_to_string(name) {
        Ok(t) => t,
        Err(e) => return failure(format!("Opening file \"{name}\" failed ({})", strerror(&e))),
    };
    let mut out = Outcome::default();
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let (deed, rest) = Deed::of(line, usual);
        let done = match (deed, rest.split_once(char::is_whitespace)) {
            (Deed::Delete, None) => del_text(&k, rest, o),
            (Deed::Add | Deed::Modify, Some((flow, actions))) => put_text(&k, flow, actions.trim(), o, deed),
            _ => failure(format!("Failed parsing line number {}, skipped!", n + 1)),
        };
        let done = done.unwrap_or_else(|e| e);
        out.text.push_str(&done.text);
        out.errors.extend(done.errors);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_without_a_field_are_shown_as_bytes() {
        let check = |key: &str, unknown: &[UnknownAttr], want: &str| {
            assert_eq!(with_unknown(key, unknown), want);
        };
        let wild = [UnknownAttr { kind: 32, value: vec![0x40, 0], mask: vec![0, 0] }];
        let exact = [UnknownAttr { kind: 32, value: vec![0, 1], mask: vec![255, 255] }];
        check("eth(),ipv6(frag=no),tcp(src=1)", &wild, "eth(),ipv6(frag=no),key32(40 00/00 00),tcp(src=1)");
        check("eth(),ipv6(frag=no)", &exact, "eth(),ipv6(frag=no),key32(00 01)");
        check("eth()", &wild, "eth(),key32(40 00/00 00)");
        check("eth(),ipv6(frag=no)", &[], "eth(),ipv6(frag=no)");
    }
}
