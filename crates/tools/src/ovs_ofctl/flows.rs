//! Flows of a switch: dump, change, replace, compare; bundles and packet-outs.

use std::collections::BTreeMap;

use flow::text::{Names, ParseContext};
use flow::{Field, MiniMatch};
use openflow::message::*;
use openflow::text::print::{format_flow_stats, put_message};
use openflow::text::{self, parse_flow_stats_request};
use openflow::{Error, GroupId, Message, Protocols, TableId, Version};

use super::client::{self, Result, Socket, Vconn, open_for_flow_mod};
use super::offline::{for_each_line, write_out};
use super::{Settings, json, log_warnings};

/// Prints an error reply on standard error, as the original does; the exit code.
pub fn print_error(s: &Settings, data: &[u8]) -> u8 {
    let mut out = String::new();
    put_message(&mut out, data, s.verbosity + 2, &s.style(None));
    eprint!("{out}");
    1
}

/// Formats in which flows are dumped, best first.
const DUMP_FORMATS: [Protocols; 8] = [
    Protocols::OF15,
    Protocols::OF14,
    Protocols::OF13,
    Protocols::OF12,
    Protocols::OF11,
    Protocols::NXM,
    Protocols::OF10,
    Protocols::NONE,
];

/// Chooses the best format for a dump among `usable`.
async fn choose_dump_format(v: &mut Vconn, usable: Protocols) -> Result<()> {
    let can_use = |p: Protocols| {
        let with_tables = if p.version() == Version::V10 { p.or(p.with_table_id(true)) } else { p };
        !usable.and(with_tables).is_empty()
    };
    for p in DUMP_FORMATS {
        if p.is_empty() || p.version() != v.version || !can_use(p) {
            continue;
        }
        if v.try_set_protocol(p).await? {
            return Ok(());
        }
    }
    Err(format!("switch does not support any of the usable flow formats ({usable})"))
}

/// The request for a dump and a connection that can carry it.
async fn prepare(s: &Settings, args: &[String]) -> Result<(FlowStatsRequest, Vconn)> {
    let (request, usable) = match args.get(1) {
        None => (FlowStatsRequest::default(), Protocols::ANY),
        Some(text) => {
            let names = s.names_to_accept(&args[0]).await?;
            let mut cx = ParseContext::new(names.as_ref());
            let parsed = parse_flow_stats_request(&mut cx, text);
            log_warnings(&mut cx);
            parsed?
        }
    };
    let allowed = usable.and(s.protocols());
    if allowed.is_empty() {
        return Err(format!(
            "none of the usable flow formats ({usable}) is among the allowed flow formats ({})",
            s.protocols()
        ));
    }
    let versions = allowed.iter().fold(0, |a, p| a | 1 << p.version().to_wire()) & s.versions;
    let mut v = Vconn::open_with(s, &args[0], Socket::Management, versions).await?;
    choose_dump_format(&mut v, allowed).await?;
    let request = FlowStatsRequest { nicira: v.protocol.is_nxm(), ..request };
    Ok((request, v))
}

/// `dump-flows SWITCH [FLOW]`.
pub async fn dump_flows(s: &Settings, args: &[String]) -> Result<u8> {
    let names = s.names_to_show(&args[0]).await?;
    let (request, mut v) = prepare(s, args).await?;
    let plain = s.sort.is_empty() && names.is_none() && s.stats && !s.json;
    if plain {
        return dump_parts(s, &mut v, &Message::FlowStatsRequest(request), names.as_ref()).await;
    }
    let mut flows = fetch_flows(&mut v, request).await?;
    sort_flows(s, &mut flows);
    let style = s.style(names.as_ref());
    if s.json {
        write_out(&json::flows(&flows, &style))?;
        return Ok(0);
    }
    let mut out = String::new();
    for fs in &mut flows {
        if v.version < Version::V15 {
            fs.idle_age = None;
            fs.hard_age = None;
        }
        out.push(' ');
        format_flow_stats(&mut out, &style, fs, s.stats);
        out.push('\n');
    }
    write_out(&out)?;
    Ok(0)
}

/// Sends a request and prints each part of the reply.
pub async fn dump_parts(s: &Settings, v: &mut Vconn, m: &Message, names: Option<&Names>) -> Result<u8> {
    if s.json {
        return json::dump(v, std::slice::from_ref(m), &flow::text::Style { names, ..Default::default() }).await;
    }
    let mut out = String::new();
    for data in v.transact_parts(m).await? {
        put_message(&mut out, &data, s.verbosity + 1, &s.style(names));
        if out.len() > 1 << 16 {
            write_out(&out)?;
            out.clear();
        }
    }
    write_out(&out)?;
    Ok(0)
}

/// All flows that a request asks for.
async fn fetch_flows(v: &mut Vconn, request: FlowStatsRequest) -> Result<Vec<FlowStats>> {
    let mut flows = Vec::new();
    for data in v.transact_parts(&Message::FlowStatsRequest(request)).await? {
        match Message::decode(&data) {
            Ok((_, _, Message::FlowStatsReply(x))) => flows.extend(x.entries),
            Ok((_, _, Message::Error(_))) => {
                let mut out = String::new();
                put_message(&mut out, &data, 2, &Default::default());
                return Err(format!("received bad reply: {}", out.trim_end()));
            }
            Ok(_) => return Err("received reply of an unexpected type".to_string()),
            Err(e) => return Err(format!("error decoding flow stats ({e})")),
        }
    }
    Ok(flows)
}

fn sort_flows(s: &Settings, flows: &mut [FlowStats]) {
    use std::cmp::Ordering;
    let value = |fs: &FlowStats, f: Field| -> Option<u128> {
        let m = fs.matching.expand();
        (m.mask.get(f) != 0).then(|| m.key.get(f))
    };
    flows.sort_by(|a, b| {
        for (field, descending) in &s.sort {
            let order = match field {
                None => a.priority.cmp(&b.priority),
                Some(f) => match (value(a, *f), value(b, *f)) {
                    (None, None) => Ordering::Equal,
                    // Flows without the field stand last, either way.
                    (None, Some(_)) => return Ordering::Greater,
                    (Some(_), None) => return Ordering::Less,
                    (Some(x), Some(y)) => x.cmp(&y),
                },
            };
            if order != Ordering::Equal {
                return if *descending { order.reverse() } else { order };
            }
        }
        Ordering::Equal
    });
}

/// `dump-aggregate SWITCH [FLOW]`.
pub async fn dump_aggregate(s: &Settings, args: &[String]) -> Result<u8> {
    let (request, mut v) = prepare(s, args).await?;
    dump_parts(s, &mut v, &Message::AggregateRequest(request), None).await
}

/// Lines of a file, or one flow; `-` is standard input.
fn source_lines(text: &str, is_file: bool, f: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut f = f;
    if is_file || text == "-" { for_each_line(text, f) } else { f(text) }
}

/// Parses flows of an argument.
async fn parse_flows(
    s: &Settings,
    switch: &str,
    text: &str,
    is_file: bool,
    default: FlowModCommand,
    words: bool,
) -> Result<(Vec<FlowMod>, Protocols)> {
    let names = s.names_to_accept(switch).await?;
    let mut cx = ParseContext::new(names.as_ref());
    let mut usable = Protocols::ANY;
    let mut flows = Vec::new();
    source_lines(text, is_file, |line| {
        let parsed = text::parse_flow_line(&mut cx, line, default, words);
        log_warnings(&mut cx);
        let (fm, u) = parsed?;
        usable = usable.and(u);
        flows.push(fm);
        Ok(())
    })?;
    Ok((flows, usable))
}

/// Sends flow_mods, in a bundle if asked for.
async fn send_flows(s: &Settings, switch: &str, flows: Vec<FlowMod>, usable: Protocols) -> Result<u8> {
    if s.bundle {
        let messages = flows.into_iter().map(Message::FlowMod).collect();
        return send_bundle(s, switch, messages, usable).await;
    }
    let mut v = open_for_flow_mod(s, switch, usable).await?;
    let nicira = v.protocol.is_nxm();
    let messages: Vec<Message> = flows.into_iter().map(|fm| Message::FlowMod(FlowMod { nicira, ..fm })).collect();
    match v.transact_noreply(&messages).await? {
        Some(error) => Ok(print_error(s, &error)),
        None => Ok(0),
    }
}

/// `add-flow SWITCH FLOW`, `add-flows SWITCH FILE`.
pub async fn change(s: &Settings, args: &[String], command: FlowModCommand, is_file: bool) -> Result<u8> {
    let words = is_file || args[1] == "-";
    let (flows, usable) = parse_flows(s, &args[0], &args[1], is_file, command, words).await?;
    send_flows(s, &args[0], flows, usable).await
}

/// `mod-flows SWITCH FLOW`.
pub async fn mod_flows(s: &Settings, args: &[String]) -> Result<u8> {
    let command = if s.strict { FlowModCommand::ModifyStrict } else { FlowModCommand::Modify };
    let (flows, usable) = parse_flows(s, &args[0], &args[1], false, command, false).await?;
    send_flows(s, &args[0], flows, usable).await
}

/// `del-flows SWITCH [FLOW]`.
pub async fn del_flows(s: &Settings, args: &[String]) -> Result<u8> {
    let command = if s.strict { FlowModCommand::DeleteStrict } else { FlowModCommand::Delete };
    let text = args.get(1).map_or("", String::as_str);
    let (flows, usable) = parse_flows(s, &args[0], text, false, command, false).await?;
    send_flows(s, &args[0], flows, usable).await
}

/// Sends messages as one bundle.
pub async fn send_bundle(s: &Settings, switch: &str, messages: Vec<Message>, usable: Protocols) -> Result<u8> {
    // OpenFlow 1.3 has bundles as an ONF extension; older versions do not.
    let capable = Protocols::OF13_UP;
    let mut v = if s.protocols().and(capable).is_empty() {
        Vconn::open_with(s, switch, Socket::Management, 1 << Version::V14.to_wire()).await?
    } else {
        open_for_flow_mod(s, switch, usable.and(capable)).await?
    };
    let inserts = |m: &Message| matches!(m, Message::GroupMod(g) if g.command == GroupCommand::InsertBucket);
    if messages.iter().any(inserts) {
        v.needs(Version::V15, "insert-bucket")?;
    }
    let flags = BUNDLE_ATOMIC | BUNDLE_ORDERED;
    let mut requests = BTreeMap::new();
    let mut bytes = Vec::new();
    for m in messages {
        let xid = client::next_xid();
        let inner = m.encode_with(v.version, xid, v.options());
        let add = BundleAdd { id: 0, flags, xid, message: Box::new(m) };
        bytes.append(&mut Message::BundleAdd(add).encode(v.version, xid));
        requests.insert(xid, inner);
    }
    let order = |ty| Message::BundleControl(BundleControl { id: 0, ty, flags });
    let mut failed = control(s, &mut v, &order(BundleCtrlType::OpenRequest), &requests).await?;
    if !failed {
        v.send_bytes(&bytes).await?;
        failed = control(s, &mut v, &order(BundleCtrlType::CloseRequest), &requests).await?;
        failed = control(s, &mut v, &order(BundleCtrlType::CommitRequest), &requests).await? || failed;
    }
    if failed {
        return Err(format!("talking to {} (Protocol error)", v.name));
    }
    Ok(0)
}

/// One bundle control message; errors, of this one or of those before it, are printed with the message that they are
/// about. Whether there was one.
async fn control(s: &Settings, v: &mut Vconn, m: &Message, requests: &BTreeMap<u32, Vec<u8>>) -> Result<bool> {
    let xid = v.send(m).await?;
    let mut failed = false;
    loop {
        let data = v.receive().await?;
        if let Ok((_, _, Message::Error(e))) = Message::decode(&data) {
            failed = true;
            let about = requests.get(&client::xid_of(&data)).unwrap_or(&e.data);
            let mut out = String::new();
            put_message(&mut out, about, s.verbosity + 1, &s.style(None));
            eprint!("Error {} for: {out}", e.error.map_or("(unknown)", Error::symbol));
        }
        if client::xid_of(&data) == xid {
            return Ok(failed);
        }
        v.answer_echo(&data).await?;
    }
}

/// `bundle SWITCH FILE`.
pub async fn bundle(s: &Settings, args: &[String]) -> Result<u8> {
    let names = s.names_to_accept(&args[0]).await?;
    let mut cx = ParseContext::new(names.as_ref());
    let mut usable = Protocols::ANY;
    let mut messages = Vec::new();
    for_each_line(&args[1], |line| {
        let line = line.trim_start();
        let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let (m, u) = match word {
            "flow" => {
                let (fm, u) = text::parse_flow_line(&mut cx, rest, FlowModCommand::Add, true)?;
                (Message::FlowMod(fm), u)
            }
            "group" => {
                let (gm, u) = text::parse_group_line(&mut cx, rest, GroupCommand::Add, true)?;
                (Message::GroupMod(gm), u)
            }
            "packet-out" => {
                let (p, u) = text::parse_packet_out(&mut cx, rest)?;
                (Message::PacketOut(p), u)
            }
            other => return Err(format!("Unsupported bundle message type: {other}")),
        };
        log_warnings(&mut cx);
        usable = usable.and(u);
        messages.push(m);
        Ok(())
    })?;
    send_bundle(s, &args[0], messages, usable).await
}

/// `packet-out SWITCH "in_port=… packet=… actions=…"` or `packet-out SWITCH PORT ACTIONS PACKET…`.
pub async fn packet_out(s: &Settings, args: &[String]) -> Result<u8> {
    let names = s.names_to_accept(&args[0]).await?;
    let mut cx = ParseContext::new(names.as_ref());
    let mut usable = Protocols::ANY;
    let mut messages = Vec::new();
    if args.len() == 2 {
        let parsed = text::parse_packet_out(&mut cx, &args[1]);
        log_warnings(&mut cx);
        let (p, u) = parsed?;
        usable = u;
        messages.push(Message::PacketOut(p));
    } else {
        if args.len() < 4 {
            return Err("packet-out requires at least 3 arguments".to_string());
        }
        for packet in &args[3..] {
            text::parse::parse_hex_packet(packet)?;
            let text = format!("in_port={} packet={packet} actions={}", args[1], args[2]);
            let (p, u) = text::parse_packet_out(&mut cx, &text)?;
            log_warnings(&mut cx);
            usable = usable.and(u);
            messages.push(Message::PacketOut(p));
        }
    }
    let mut v = open_for_flow_mod(s, &args[0], usable).await?;
    match v.transact_noreply(&messages).await? {
        Some(error) => Ok(print_error(s, &error)),
        None => Ok(0),
    }
}

/// What is compared of a flow.
#[derive(Clone)]
struct Side {
    cookie: u64,
    idle_timeout: u16,
    hard_timeout: u16,
    importance: u16,
    flags: u16,
    actions: Vec<openflow::Action>,
}

/// A flow's place: table, priority, match in its text form and itself.
struct Entry {
    matching: MiniMatch,
    sides: [Option<Side>; 2],
}

type Table = BTreeMap<(u8, u16, String), Entry>;

fn insert(table: &mut Table, which: usize, table_id: TableId, priority: u16, m: &MiniMatch, v: Side) {
    let id = if table_id == TableId::ALL { 0 } else { table_id.0 };
    // Highest priority first inside a table.
    let key = (id, u16::MAX - priority, m.expand().to_string());
    let entry = table.entry(key).or_insert_with(|| Entry { matching: m.clone(), sides: [None, None] });
    entry.sides[which] = Some(v);
}

fn same(a: &Side, b: &Side) -> bool {
    a.cookie == b.cookie
        && a.idle_timeout == b.idle_timeout
        && a.hard_timeout == b.hard_timeout
        && a.importance == b.importance
        && a.flags & FF_SEND_FLOW_REM == b.flags & FF_SEND_FLOW_REM
        && actions_text(&a.actions) == actions_text(&b.actions)
}

fn actions_text(list: &[openflow::Action]) -> String {
    let mut out = String::new();
    openflow::action::text::format(&mut out, &Default::default(), list);
    out
}

/// Reads flows of a file.
fn read_file(s: &Settings, table: &mut Table, which: usize, file: &str, names: Option<&Names>) -> Result<Protocols> {
    let _ = s;
    let mut cx = ParseContext::new(names);
    let mut usable = Protocols::ANY;
    for_each_line(file, |line| {
        let parsed = text::parse_flow_line(&mut cx, line, FlowModCommand::Add, false);
        log_warnings(&mut cx);
        let (fm, u) = parsed?;
        usable = usable.and(u);
        let v = Side {
            cookie: fm.new_cookie,
            idle_timeout: fm.idle_timeout,
            hard_timeout: fm.hard_timeout,
            importance: fm.importance,
            // The other flags are of the message that adds a flow.
            flags: fm.flags & FF_SEND_FLOW_REM,
            actions: fm.actions,
        };
        insert(table, which, fm.table, fm.priority, &fm.matching, v);
        Ok(())
    })?;
    Ok(usable)
}

/// Reads flows of a switch.
async fn read_switch(v: &mut Vconn, table: &mut Table, which: usize) -> Result<()> {
    let request = FlowStatsRequest { nicira: v.protocol.is_nxm(), ..FlowStatsRequest::default() };
    for fs in fetch_flows(v, request).await? {
        let side = Side {
            cookie: fs.cookie,
            idle_timeout: fs.idle_timeout,
            hard_timeout: fs.hard_timeout,
            importance: fs.importance,
            flags: 0,
            actions: fs.actions,
        };
        insert(table, which, fs.table, fs.priority, &fs.matching, side);
    }
    Ok(())
}

fn flow_mod(key: &(u8, u16, String), e: &Entry, side: &Side, command: FlowModCommand) -> FlowMod {
    FlowMod {
        command,
        table: TableId(key.0),
        priority: u16::MAX - key.1,
        matching: e.matching.clone(),
        new_cookie: if command == FlowModCommand::Add { side.cookie } else { u64::MAX },
        idle_timeout: side.idle_timeout,
        hard_timeout: side.hard_timeout,
        importance: side.importance,
        flags: side.flags,
        out_group: GroupId::ANY,
        actions: if command == FlowModCommand::Add { side.actions.clone() } else { Vec::new() },
        ..FlowMod::default()
    }
}

/// `replace-flows SWITCH FILE`.
pub async fn replace_flows(s: &Settings, args: &[String]) -> Result<u8> {
    const FILE: usize = 0;
    const SWITCH: usize = 1;
    let names = s.names_to_accept(&args[0]).await?;
    let mut table = Table::new();
    let usable = read_file(s, &mut table, FILE, &args[1], names.as_ref())?;
    let usable = if table.keys().any(|k| k.0 != 0) { usable.and(Protocols::TID) } else { usable };
    let allowed = usable.and(s.protocols());
    let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
    choose_dump_format(&mut v, allowed).await?;
    let format = v.protocol;
    read_switch(&mut v, &mut table, SWITCH).await?;
    // Flows to delete go first, so that a full table has room.
    let mut messages = Vec::new();
    let nicira = format.is_nxm();
    let mut wants_tables = false;
    for (key, e) in &table {
        if let [None, Some(side)] = &e.sides {
            wants_tables |= key.0 != 0;
            messages.push(flow_mod(key, e, side, FlowModCommand::DeleteStrict));
        }
    }
    for (key, e) in &table {
        if let [Some(new), old] = &e.sides
            && (s.readd || old.as_ref().is_none_or(|old| !same(new, old)))
        {
            wants_tables |= key.0 != 0;
            messages.push(flow_mod(key, e, new, FlowModCommand::Add));
        }
    }
    let messages: Vec<Message> = messages.into_iter().map(|fm| Message::FlowMod(FlowMod { nicira, ..fm })).collect();
    if s.bundle {
        drop(v);
        return send_bundle(s, &args[0], messages, usable).await;
    }
    if wants_tables && v.version == Version::V10 && !v.options().table_id {
        let p = v.protocol.with_table_id(true);
        v.try_set_protocol(p).await?;
    }
    match v.transact_noreply(&messages).await? {
        Some(error) => Ok(print_error(s, &error)),
        None => Ok(0),
    }
}

fn is_file(name: &str) -> bool {
    if name.starts_with(['/', '.']) {
        return true;
    }
    !name.contains(':') && std::path::Path::new(name).exists()
}

/// `diff-flows SOURCE1 SOURCE2`: exit code 2 if they differ.
pub async fn diff_flows(s: &Settings, args: &[String]) -> Result<u8> {
    let mut table = Table::new();
    let mut names = None;
    for name in args {
        if !is_file(name) && names.is_none() {
            names = s.names_to_accept(name).await?;
        }
    }
    for (which, name) in args.iter().enumerate() {
        if is_file(name) {
            read_file(s, &mut table, which, name, names.as_ref())?;
        } else {
            let mut v = Vconn::open(s, name, Socket::Management).await?;
            choose_dump_format(&mut v, s.protocols()).await?;
            read_switch(&mut v, &mut table, which).await?;
        }
    }
    let shown = if s.shows_names() { names.as_ref() } else { None };
    let style = s.style(shown);
    let mut out = String::new();
    for (key, e) in &table {
        let [a, b] = &e.sides;
        if let (Some(a), Some(b)) = (a, b)
            && same(a, b)
        {
            continue;
        }
        for (sign, side) in [('-', a), ('+', b)] {
            if let Some(side) = side {
                out.push(sign);
                put_side(&mut out, &style, key, e, side);
                out.push('\n');
            }
        }
    }
    write_out(&out)?;
    Ok(if out.is_empty() { 0 } else { 2 })
}

fn put_side(out: &mut String, style: &flow::text::Style<'_>, key: &(u8, u16, String), e: &Entry, side: &Side) {
    use std::fmt::Write;
    if key.0 != 0 {
        out.push_str("table=");
        flow::text::put_table(out, style, key.0);
        out.push(' ');
    }
    flow::text::format_match(out, style, &e.matching.expand(), u16::MAX - key.1);
    out.push(' ');
    if side.cookie != 0 {
        let _ = write!(out, "cookie={:#x} ", side.cookie);
    }
    for (name, n) in
        [("idle_timeout=", side.idle_timeout), ("hard_timeout=", side.hard_timeout), ("importance=", side.importance)]
    {
        if n != 0 {
            let _ = write!(out, "{name}{n} ");
        }
    }
    if side.flags & FF_SEND_FLOW_REM != 0 {
        out.push_str("send_flow_rem ");
    }
    out.push_str("actions=");
    openflow::action::text::format(out, style, &side.actions);
}
