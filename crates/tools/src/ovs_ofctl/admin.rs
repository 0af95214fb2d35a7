//! Switch, ports, queues, tables, tunnel options, connections.

use std::fmt::Write;

use flow::OfPort;
use flow::text::ParseContext;
use openflow::message::*;
use openflow::text::print::put_message;
use openflow::{Message, Protocols, TableId, Version};

use super::client::{self, Result, Socket, Vconn, open_for_flow_mod};
use super::flows::{dump_parts, print_error};
use super::offline::write_out;
use super::{Settings, json};

/// Sends one request on a connection of its own and prints the reply.
async fn dump_trivial(s: &Settings, switch: &str, m: &Message) -> Result<u8> {
    let names = s.names_to_show(switch).await?;
    let mut v = Vconn::open(s, switch, Socket::Management).await?;
    if matches!(m, Message::TableDescRequest) {
        v.needs(Version::V14, "dump-table-desc")?;
    }
    dump_parts(s, &mut v, m, names.as_ref()).await
}

/// `show SWITCH`.
pub async fn show(s: &Settings, switch: &str) -> Result<u8> {
    let mut v = Vconn::open(s, switch, Socket::Management).await?;
    let reply = v.transact(&Message::FeaturesRequest).await?;
    if s.json {
        return json::show(&mut v, &reply).await;
    }
    let mut out = String::new();
    put_message(&mut out, &reply, s.verbosity + 1, &s.style(None));
    write_out(&out)?;
    if v.version >= Version::V13 {
        dump_parts(s, &mut v, &Message::PortDescRequest(OfPort::ANY), None).await?;
    }
    drop(v);
    let mut v = Vconn::open(s, switch, Socket::Management).await?;
    dump_parts(s, &mut v, &Message::GetConfigRequest, None).await
}

/// Runs one of the smaller commands.
pub async fn run(s: &Settings, name: &str, args: &[String]) -> Result<u8> {
    let switch = &args[0];
    match name {
        "dump-desc" => dump_trivial(s, switch, &Message::DescRequest).await,
        "dump-tables" => dump_tables(s, switch).await,
        "dump-table-desc" => dump_trivial(s, switch, &Message::TableDescRequest).await,
        "dump-table-features" => dump_table_features(s, switch).await,
        "dump-ports" => dump_ports(s, args).await,
        "dump-ports-desc" => dump_ports_desc(s, args).await,
        "queue-stats" => queue_stats(s, args).await,
        "queue-get-config" => queue_get_config(s, args).await,
        "mod-port" => mod_port(s, args).await,
        "mod-table" => mod_table(s, args).await,
        "get-frags" => get_frags(s, switch).await,
        "set-frags" => set_frags(s, args).await,
        "probe" => probe(s, switch).await,
        "ping" => ping(s, args).await,
        "benchmark" => benchmark(s, args).await,
        "dump-ipfix-bridge" => dump_trivial(s, switch, &Message::IpfixBridgeRequest).await,
        "dump-ipfix-flow" => dump_trivial(s, switch, &Message::IpfixFlowRequest).await,
        "ct-flush-zone" => {
            let zone = args[1].parse::<u16>().map_err(|_| format!("invalid zone \"{}\"", args[1]))?;
            tell(s, switch, Message::CtFlushZone(zone)).await
        }
        "ct-flush" => {
            let m = Message::CtFlush(parse_ct_flush(&args[1..])?);
            tell(s, switch, m).await
        }
        "add-tlv-map" => {
            let x = TlvTableMod { command: 0, maps: parse_maps(&args[1])? };
            change_maps(s, switch, x).await
        }
        "del-tlv-map" => {
            let x = match args.get(1) {
                Some(text) => TlvTableMod { command: 1, maps: parse_maps(text)? },
                None => TlvTableMod { command: 2, maps: Vec::new() },
            };
            change_maps(s, switch, x).await
        }
        "dump-tlv-map" => dump_trivial(s, switch, &Message::TlvTableRequest).await,
        _ => Err(format!("unknown command '{name}'; use --help for help")),
    }
}

/// Sends a message that has no reply.
/// Changes the map of tunnel options, which has a meaning in versions whose flows can match them.
async fn change_maps(s: &Settings, switch: &str, x: TlvTableMod) -> Result<u8> {
    let mut v = open_for_flow_mod(s, switch, Protocols::NXM_OXM_ANY).await?;
    match v.transact_noreply(&[Message::TlvTableMod(x)]).await? {
        Some(error) => Ok(print_error(s, &error)),
        None => Ok(0),
    }
}

async fn tell(s: &Settings, switch: &str, m: Message) -> Result<u8> {
    let mut v = Vconn::open(s, switch, Socket::Management).await?;
    match v.transact_noreply(&[m]).await? {
        Some(error) => Ok(print_error(s, &error)),
        None => Ok(0),
    }
}

async fn dump_tables(s: &Settings, switch: &str) -> Result<u8> {
    if s.json {
        let mut v = Vconn::open(s, switch, Socket::Management).await?;
        return json::dump_tables(&mut v).await;
    }
    dump_trivial(s, switch, &Message::TableStatsRequest).await
}

async fn dump_table_features(s: &Settings, switch: &str) -> Result<u8> {
    let mut v = Vconn::open(s, switch, Socket::Management).await?;
    v.needs(Version::V13, "dump-table-features")?;
    if s.json {
        return dump_parts(s, &mut v, &Message::TableFeaturesRequest(Multipart::default()), None).await;
    }
    let mut all = Vec::new();
    for data in v.transact_parts(&Message::TableFeaturesRequest(Multipart::default())).await? {
        match Message::decode(&data) {
            Ok((_, _, Message::TableFeaturesReply(x))) => all.extend(x.entries),
            _ => {
                let mut out = String::new();
                put_message(&mut out, &data, s.verbosity + 1, &s.style(None));
                write_out(&out)?;
                return Ok(1);
            }
        }
    }
    let mut out = String::new();
    openflow::text::print::format_features_list(&mut out, &s.style(None), &all, v.version);
    write_out(&out)?;
    Ok(0)
}

/// A port's number from an argument.
async fn port_number(s: &Settings, switch: &str, text: &str) -> Result<OfPort> {
    let mut plain = ParseContext::new(None);
    if let Some(p) = plain.port(text) {
        return Ok(p);
    }
    let mut v = Vconn::open(s, switch, Socket::Management).await?;
    let found = v.ports().await?.into_iter().find(|p| p.name == text);
    found.map(|p| p.port).ok_or_else(|| format!("{switch}: unknown port `{text}'"))
}

async fn dump_ports(s: &Settings, args: &[String]) -> Result<u8> {
    let port = match args.get(1) {
        Some(text) => port_number(s, &args[0], text).await?,
        None => OfPort::ANY,
    };
    let names = s.names_to_show(&args[0]).await?;
    let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
    if s.json {
        return json::dump_ports(&mut v, port, names.as_ref()).await;
    }
    dump_parts(s, &mut v, &Message::PortStatsRequest(port), names.as_ref()).await
}

async fn dump_ports_desc(s: &Settings, args: &[String]) -> Result<u8> {
    let port = match args.get(1) {
        Some(text) => port_number(s, &args[0], text).await?,
        None => OfPort::ANY,
    };
    let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
    if s.json {
        return json::dump_ports_desc(&mut v).await;
    }
    dump_parts(s, &mut v, &Message::PortDescRequest(port), None).await
}

async fn queue_request(s: &Settings, args: &[String]) -> Result<QueueRequest> {
    let port = match args.get(1) {
        Some(text) if !text.is_empty() && !text.eq_ignore_ascii_case("all") && !text.eq_ignore_ascii_case("any") => {
            port_number(s, &args[0], text).await?
        }
        _ => OfPort::ANY,
    };
    let queue = match args.get(2) {
        Some(text) if !text.is_empty() && !text.eq_ignore_ascii_case("all") && !text.eq_ignore_ascii_case("any") => {
            text.parse().map_err(|_| format!("invalid queue \"{text}\""))?
        }
        _ => QUEUE_ALL,
    };
    Ok(QueueRequest { port, queue })
}

async fn queue_stats(s: &Settings, args: &[String]) -> Result<u8> {
    let q = queue_request(s, args).await?;
    dump_trivial(s, &args[0], &Message::QueueStatsRequest(q)).await
}

async fn queue_get_config(s: &Settings, args: &[String]) -> Result<u8> {
    let q = queue_request(s, args).await?;
    if q.port == OfPort::ANY && s.versions == 1 << Version::V10.to_wire() {
        // In 1.0 each port is asked on its own.
        let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
        let ports = v.ports().await?;
        drop(v);
        let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
        let requests: Vec<Message> = ports
            .iter()
            .filter(|p| p.port.0 < OfPort::MAX.0)
            .map(|p| Message::QueueGetConfigRequest(QueueRequest { port: p.port, ..q }))
            .collect();
        if s.json {
            return json::dump(&mut v, &requests, &Default::default()).await;
        }
        for request in &requests {
            dump_parts(s, &mut v, request, None).await?;
        }
        return Ok(0);
    }
    let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
    let m = if v.version >= Version::V14 { Message::QueueDescRequest(q) } else { Message::QueueGetConfigRequest(q) };
    dump_parts(s, &mut v, &m, None).await
}

async fn mod_port(s: &Settings, args: &[String]) -> Result<u8> {
    const ACTIONS: [(&str, u32, bool); 14] = [
        ("up", PC_PORT_DOWN, false),
        ("down", PC_PORT_DOWN, true),
        ("stp", PC_NO_STP, false),
        ("no-stp", PC_NO_STP, true),
        ("receive", PC_NO_RECV, false),
        ("no-receive", PC_NO_RECV, true),
        ("receive-stp", PC_NO_RECV_STP, false),
        ("no-receive-stp", PC_NO_RECV_STP, true),
        ("flood", PC_NO_FLOOD, false),
        ("no-flood", PC_NO_FLOOD, true),
        ("forward", PC_NO_FWD, false),
        ("no-forward", PC_NO_FWD, true),
        ("packet-in", PC_NO_PACKET_IN, false),
        ("no-packet-in", PC_NO_PACKET_IN, true),
    ];
    let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
    let ports = v.ports().await?;
    let number = args[1].parse().ok().map(OfPort);
    let found = ports.iter().find(|p| Some(p.port) == number || (s.accepts_names() && p.name == args[1]));
    let port = found.ok_or_else(|| format!("{}: couldn't find port `{}'", args[0], args[1]))?;
    let action = ACTIONS.iter().find(|a| a.0.eq_ignore_ascii_case(&args[2]));
    let (_, bit, on) = action.ok_or_else(|| format!("unknown mod-port command '{}'", args[2]))?;
    let m = PortMod {
        port: port.port,
        hw_addr: port.hw_addr,
        config: if *on { *bit } else { 0 },
        mask: *bit,
        advertise: 0,
    };
    match v.transact_noreply(&[Message::PortMod(m)]).await? {
        Some(error) => Ok(print_error(s, &error)),
        None => Ok(0),
    }
}

async fn mod_table(s: &Settings, args: &[String]) -> Result<u8> {
    let names = s.names_to_accept(&args[0]).await?;
    let mut cx = ParseContext::new(names.as_ref());
    let table = if args[1].eq_ignore_ascii_case("all") {
        TableId::ALL
    } else {
        TableId(cx.table(&args[1]).ok_or_else(|| format!("unknown table \"{}\"", args[1]))?)
    };
    let mut t = TableMod {
        table,
        miss: TableMiss::Default,
        eviction: None,
        eviction_flags: None,
        vacancy: None,
        vacancy_limits: None,
    };
    let setting = args[2].as_str();
    if let Some(name) = setting.strip_prefix("name:") {
        return rename_table(s, &args[0], table, name).await;
    }
    let versions: &[Version] = match setting {
        "controller" => {
            t.miss = TableMiss::Controller;
            &[Version::V11, Version::V12]
        }
        "continue" => {
            t.miss = TableMiss::Continue;
            &[Version::V11, Version::V12]
        }
        "drop" => {
            t.miss = TableMiss::Drop;
            &[Version::V11, Version::V12]
        }
        "evict" | "noevict" => {
            t.eviction = Some(setting == "evict");
            &[Version::V14, Version::V15]
        }
        "novacancy" => {
            t.vacancy = Some(false);
            &[Version::V14, Version::V15]
        }
        v if v.starts_with("vacancy") => {
            t.vacancy = Some(true);
            t.vacancy_limits = Some(parse_vacancy(v)?);
            &[Version::V14, Version::V15]
        }
        other => return Err(format!("invalid table_mod setting {other}")),
    };
    let mask = versions.iter().fold(0, |a, v| a | 1 << v.to_wire());
    if s.versions & mask == 0 {
        let list: Vec<&str> = versions.iter().map(|v| v.name()).collect();
        return Err(format!("table_mod '{setting}' requires one of the OpenFlow versions {}", list.join(", ")));
    }
    let mut v = Vconn::open_with(s, &args[0], Socket::Management, s.versions & mask).await?;
    if v.version >= Version::V14 {
        keep_other_settings(&mut v, &mut t).await?;
    }
    match v.transact_noreply(&[Message::TableMod(t)]).await? {
        Some(error) => Ok(print_error(s, &error)),
        None => Ok(0),
    }
}

fn parse_vacancy(s: &str) -> Result<(u8, u8, u8)> {
    let list = s.strip_prefix("vacancy:").ok_or("Vacancy down value missing")?;
    let (low, high) = list.split_once(',').ok_or("Vacancy up value missing")?;
    let percent = |t: &str, what: &str| {
        t.parse::<u8>().ok().filter(|n| *n <= 100).ok_or_else(|| format!("Invalid vacancy {what} value \"{t}\""))
    };
    let (a, b) = (percent(low, "down")?, percent(high, "up")?);
    if a > b {
        return Err("Invalid vacancy range, vacancy up should be greater than vacancy down (OFPBPC_BAD_VALUE)".into());
    }
    Ok((a, b, 0))
}

/// A table_mod says all settings: those that are not changed are as they are.
async fn keep_other_settings(v: &mut Vconn, t: &mut TableMod) -> Result<()> {
    for data in v.transact_parts(&Message::TableDescRequest).await? {
        let Ok((_, _, Message::TableDescReply(x))) = Message::decode(&data) else { continue };
        for d in x.entries {
            if d.table == t.table {
                if t.eviction.is_none() {
                    t.eviction = d.eviction;
                }
                if t.vacancy.is_none() {
                    t.vacancy = d.vacancy;
                    // A request says no present vacancy.
                    t.vacancy_limits =
                        d.vacancy_limits.filter(|_| d.vacancy == Some(true)).map(|(down, up, _)| (down, up, 0));
                }
            }
        }
    }
    Ok(())
}

async fn rename_table(s: &Settings, switch: &str, table: TableId, name: &str) -> Result<u8> {
    let mask = [Version::V13, Version::V14, Version::V15].iter().fold(0, |a, v| a | 1 << v.to_wire());
    if s.versions & mask == 0 {
        return Err("cannot change table name, because it requires one of the OpenFlow versions OpenFlow13, \
                    OpenFlow14, OpenFlow15"
            .to_string());
    }
    let mut v = Vconn::open_with(s, switch, Socket::Management, s.versions & mask).await?;
    let mut all = Vec::new();
    for data in v.transact_parts(&Message::TableFeaturesRequest(Multipart::default())).await? {
        if let Ok((_, _, Message::TableFeaturesReply(x))) = Message::decode(&data) {
            all.extend(x.entries);
        }
    }
    // Before 1.5 a request replaces the features of every table, so that all are sent.
    let t = all.iter_mut().find(|t| t.table == table).ok_or_else(|| format!("no table {}", table.0))?;
    t.name = name.to_string();
    let request = if v.version == Version::V15 {
        t.command = 1;
        t.any_properties = false;
        vec![t.clone()]
    } else {
        all
    };
    let data = v.transact(&Message::TableFeaturesRequest(Multipart::new(request))).await?;
    if let Ok((_, _, Message::Error(_))) = Message::decode(&data) {
        return Ok(print_error(s, &data));
    }
    Ok(0)
}

const FRAGS: [&str; 4] = ["normal", "drop", "reassemble", "nx-match"];

async fn fetch_config(v: &mut Vconn) -> Result<SwitchConfig> {
    let data = v.transact(&Message::GetConfigRequest).await?;
    match Message::decode(&data) {
        Ok((_, _, Message::GetConfigReply(c))) => Ok(c),
        _ => Err(format!("{}: bad reply to config request", v.name)),
    }
}

async fn get_frags(s: &Settings, switch: &str) -> Result<u8> {
    let mut v = Vconn::open(s, switch, Socket::Management).await?;
    let c = fetch_config(&mut v).await?;
    write_out(&format!("{}\n", FRAGS[usize::from(c.flags & 3)]))?;
    Ok(0)
}

async fn set_frags(s: &Settings, args: &[String]) -> Result<u8> {
    let mode = FRAGS.iter().position(|f| f.eq_ignore_ascii_case(&args[1]));
    let mode = mode.ok_or_else(|| format!("{}: unknown fragment handling mode", args[1]))? as u16;
    let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
    let mut c = fetch_config(&mut v).await?;
    if c.flags & 3 == mode {
        return Ok(0);
    }
    c.flags = c.flags & !3 | mode;
    if let Some(error) = v.transact_noreply(&[Message::SetConfig(c)]).await? {
        return Ok(print_error(s, &error));
    }
    let now = fetch_config(&mut v).await?;
    if now.flags & 3 != mode {
        return Err(format!(
            "{}: setting fragment handling mode failed (this switch probably doesn't support mode \"{}\")",
            args[0],
            FRAGS[usize::from(mode)]
        ));
    }
    Ok(0)
}

async fn probe(s: &Settings, switch: &str) -> Result<u8> {
    let mut v = Vconn::open(s, switch, Socket::Management).await?;
    let data = v.transact(&Message::EchoRequest(Vec::new())).await?;
    if data.len() != 8 {
        return Err("reply does not match request".to_string());
    }
    Ok(0)
}

async fn ping(s: &Settings, args: &[String]) -> Result<u8> {
    let payload = match args.get(1) {
        Some(n) => {
            n.parse::<usize>().ok().filter(|n| *n <= 65527).ok_or("payload must be between 0 and 65527 bytes")?
        }
        None => 64,
    };
    let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
    for _ in 0..10 {
        let sent: Vec<u8> = (0..payload).map(|n| n as u8).collect();
        let start = std::time::Instant::now();
        let data = v.transact(&Message::EchoRequest(sent.clone())).await?;
        let spent = start.elapsed();
        if data.get(8..) != Some(&sent[..]) {
            return Err("Reply does not match request".to_string());
        }
        let ms = spent.as_secs_f64() * 1000.0;
        let mut out = String::new();
        let _ = writeln!(out, "{payload} bytes from {}: xid={:08x} time={ms:.1} ms", args[0], client::xid_of(&data));
        write_out(&out)?;
    }
    Ok(0)
}

async fn benchmark(s: &Settings, args: &[String]) -> Result<u8> {
    let payload: usize = args[1].parse().map_err(|_| format!("{}: bad payload size", args[1]))?;
    if payload > 65527 {
        return Err("payload must be between 0 and 65527 bytes".to_string());
    }
    let count: u64 = args[2].parse().map_err(|_| format!("{}: bad count", args[2]))?;
    println!(
        "Sending {count} packets * {} bytes (with header) = {} bytes total",
        payload + 8,
        count * (payload as u64 + 8)
    );
    let mut v = Vconn::open(s, &args[0], Socket::Management).await?;
    let start = std::time::Instant::now();
    for _ in 0..count {
        v.transact(&Message::EchoRequest(vec![0; payload])).await?;
    }
    let seconds = start.elapsed().as_secs_f64().max(1e-9);
    println!(
        "Finished in {:.1} ms ({:.0} packets/s) ({:.0} bytes/s)",
        seconds * 1000.0,
        count as f64 / seconds,
        (count * (payload as u64 + 8)) as f64 / seconds
    );
    Ok(0)
}

fn parse_maps(s: &str) -> Result<Vec<TlvMap>> {
    let bad = || "invalid tlv mapping".to_string();
    let number = |t: &str| flow::text::number::parse_u64(t).ok_or_else(bad);
    let mut out = Vec::new();
    let mut rest = s.trim();
    while !rest.is_empty() {
        let inner = rest.strip_prefix('{').ok_or_else(bad)?;
        let (fields, tail) = inner.split_once('}').ok_or_else(bad)?;
        let tail = tail.strip_prefix("->tun_metadata").ok_or_else(bad)?;
        let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let index = number(&tail[..end])?;
        let mut m = TlvMap { option_class: 0, option_type: 0, option_len: 0, index: index as u16 };
        let mut seen = 0;
        for part in fields.split(',') {
            let (key, value) = part.trim().split_once('=').ok_or_else(bad)?;
            let n = number(value)?;
            match key {
                "class" => m.option_class = u16::try_from(n).map_err(|_| bad())?,
                "type" => m.option_type = u8::try_from(n).map_err(|_| bad())?,
                "len" => m.option_len = u8::try_from(n).map_err(|_| bad())?,
                _ => return Err(bad()),
            }
            seen += 1;
        }
        if seen != 3 {
            return Err(bad());
        }
        out.push(m);
        rest = tail[end..].trim_start_matches([',', ' ']);
    }
    Ok(out)
}

fn parse_ct_flush(args: &[String]) -> Result<CtFlush> {
    let mut x = CtFlush::default();
    let failed = |e: String| format!("Failed to parse CT match: {e}");
    let mut tuples = Vec::new();
    for a in args {
        if let Some(z) = a.strip_prefix("zone=") {
            x.zone = Some(z.parse().map_err(|_| format!("failed to parse zone: {z}"))?);
        } else if let Some(m) = a.strip_prefix("mark=") {
            let (v, mask) = masked(m).ok_or_else(|| failed(format!("failed to parse mark: {m}")))?;
            x.mark = Some((v as u32, mask.map_or(u32::MAX, |m| m as u32)));
        } else if let Some(l) = a.strip_prefix("labels=") {
            let (v, mask) = masked(l).ok_or_else(|| failed(format!("failed to parse labels: {l}")))?;
            x.labels = Some((v, mask.unwrap_or(u128::MAX)));
        } else {
            tuples.push(a);
        }
    }
    if tuples.len() > 2 {
        return Err(failed(format!("invalid arguments: {}", tuples[2])));
    }
    if !tuples.is_empty() && x.zone.is_none() {
        x.zone = Some(0);
    }
    let mut protos = Vec::new();
    if let Some(t) = tuples.first() {
        x.original = parse_tuple(t, &mut protos).map_err(failed)?;
    }
    if let Some(t) = tuples.get(1) {
        x.reply = parse_tuple(t, &mut protos).map_err(failed)?;
    }
    x.ip_proto = protos.first().copied().unwrap_or(0);
    Ok(x)
}

fn masked(s: &str) -> Option<(u128, Option<u128>)> {
    let number = |t: &str| match t.strip_prefix("0x") {
        Some(h) => u128::from_str_radix(h, 16).ok(),
        None => t.parse().ok(),
    };
    match s.split_once('/') {
        Some((v, m)) => Some((number(v)?, Some(number(m)?))),
        None => Some((number(s)?, None)),
    }
}

fn parse_tuple(s: &str, protos: &mut Vec<u8>) -> Result<CtTuple> {
    let mut t = CtTuple::default();
    for (key, value) in flow::text::split_key_values(s) {
        let v4 = || {
            value
                .parse::<std::net::Ipv4Addr>()
                .map(|a| Some(a.to_ipv6_mapped()))
                .map_err(|_| format!("failed to parse field {key}"))
        };
        let v6 = || value.parse().map(Some).map_err(|_| format!("failed to parse field {key}"));
        let n16 = || value.parse::<u16>().map(Some).map_err(|_| format!("failed to parse field {key}"));
        let n8 = || value.parse::<u8>().map(Some).map_err(|_| format!("failed to parse field {key}"));
        match key {
            "ct_nw_src" => t.src = v4()?,
            "ct_nw_dst" => t.dst = v4()?,
            "ct_ipv6_src" => t.src = v6()?,
            "ct_ipv6_dst" => t.dst = v6()?,
            "ct_nw_proto" => protos.extend(n8()?),
            "ct_tp_src" => t.src_port = n16()?,
            "ct_tp_dst" => t.dst_port = n16()?,
            "icmp_id" => t.icmp_id = n16()?,
            "icmp_type" => t.icmp_type = n8()?,
            "icmp_code" => t.icmp_code = n8()?,
            _ if value.is_empty() => return Err(format!("field {key} missing value")),
            _ => return Err(format!("invalid conntrack tuple field: {key}")),
        }
    }
    Ok(t)
}
