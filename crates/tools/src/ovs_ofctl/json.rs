//! The JSON form of dumps (`--format json`): one document on standard output, ended by a newline.
//!
//! Shapes, stable across releases (keys may be added):
//!
//! - `dump-flows`: a list of `{table, priority, cookie, duration, packets, bytes, idle_timeout, hard_timeout,
//!   importance, flags, match, actions}`; `match` and `actions` are texts as `add-flow` takes them; unknown counters
//!   are `null`.
//! - `dump-groups`: a list of `{group_id, type, selection_method, buckets: [{bucket_id, weight, watch_port,
//!   watch_group, actions}]}`.
//! - `dump-ports`: a list of `{port, rx: {…}, tx: {…}, duration}`; `dump-ports-desc` and the `ports` of `show`:
//!   `{port, name, address, config, state, current_speed_kbps, max_speed_kbps}`.
//! - `dump-meters`: `{meter, flags, bands: [{type, rate, burst_size}]}`; `meter-stats`: with counters.
//! - `dump-tables`: `{table, active, lookups, matched}`.
//! - `dump-aggregate`: `{packets, bytes, flows}`; `dump-group-stats`: a list of `{group_id, references, packets, bytes,
//!   duration, buckets: [{packets, bytes}]}`; `dump-group-features`: `{capabilities, types: [{type, max_groups,
//!   actions}]}`; `meter-features`: `{max_meters, band_types, capabilities, max_bands, max_color}`, bits as on the wire.
//! - `queue-stats`: a list of `{port, queue, packets, bytes, errors, duration}`; `queue-get-config`: `{port, queue,
//!   min_rate_percent, max_rate_percent}`.
//! - `dump-table-features`: a list of `{table, name, max_entries, metadata_match, metadata_write, eviction,
//!   vacancy_events}`; `dump-table-desc`: `{table, eviction, eviction_flags, vacancy_events, vacancy_down_percent,
//!   vacancy_up_percent, vacancy_percent}`.
//! - `dump-desc`: `{manufacturer, hardware, software, serial, datapath}`.
//! - `show`: `{datapath_id, n_tables, n_buffers, ports}`.

use flow::OfPort;
use flow::text::{Names, Style, put_port};
use openflow::message::*;
use openflow::{GroupId, Message, MeterId, Version};
use serde_json::{Value, json};

use super::client::{Result, Vconn};
use super::offline::write_out;

/// Whether a command has a JSON form.
pub fn supported(name: &str) -> bool {
    matches!(
        name,
        "show"
            | "dump-flows"
            | "dump-groups"
            | "dump-ports"
            | "dump-ports-desc"
            | "dump-tables"
            | "dump-meter"
            | "dump-meters"
            | "meter-stats"
            | "meter-features"
            | "dump-aggregate"
            | "dump-desc"
            | "dump-group-stats"
            | "dump-group-features"
            | "dump-table-desc"
            | "dump-table-features"
            | "queue-stats"
            | "queue-get-config"
    )
}

fn print(v: &Value) -> Result<u8> {
    write_out(&format!("{v}\n"))?;
    Ok(0)
}

/// A counter; `null` if it is not known.
pub fn count(n: u64) -> Value {
    if n == u64::MAX { Value::Null } else { json!(n) }
}

/// Seconds and parts of them.
pub fn seconds(s: Span) -> Value {
    json!(f64::from(s.sec) + f64::from(s.nsec) / 1e9)
}

/// A port: its number, or the name that is reserved for it or that `style` gives it.
pub fn port(p: OfPort, style: &Style<'_>) -> Value {
    let mut text = String::new();
    put_port(&mut text, style, p);
    text.parse::<u64>().map_or(Value::String(text), |n| json!(n))
}

fn actions(list: &[openflow::Action], style: &Style<'_>) -> String {
    let mut out = String::new();
    openflow::action::text::format(&mut out, style, list);
    out
}

/// Flows, one a line.
pub fn flows(list: &[FlowStats], style: &Style<'_>) -> String {
    let plain = Style { names: style.names, ..Style::default() };
    let mut out = String::from("[");
    for (i, fs) in list.iter().enumerate() {
        let mut matching = String::new();
        flow::text::format_match(&mut matching, &plain, &fs.matching.expand(), 0x8000);
        let flags: Vec<&str> = [
            (FF_SEND_FLOW_REM, "send_flow_rem"),
            (FF_CHECK_OVERLAP, "check_overlap"),
            (FF_RESET_COUNTS, "reset_counts"),
            (FF_NO_PKT_COUNTS, "no_packet_counts"),
            (FF_NO_BYT_COUNTS, "no_byte_counts"),
        ]
        .iter()
        .filter(|f| fs.flags & f.0 != 0)
        .map(|f| f.1)
        .collect();
        let v = json!({
            "table": fs.table.0,
            "priority": fs.priority,
            "cookie": format!("{:#x}", fs.cookie),
            "duration": seconds(fs.duration),
            "packets": count(fs.packets),
            "bytes": count(fs.bytes),
            "idle_timeout": fs.idle_timeout,
            "hard_timeout": fs.hard_timeout,
            "importance": fs.importance,
            "flags": flags,
            "match": matching,
            "actions": actions(&fs.actions, &plain),
        });
        out.push_str(if i == 0 { "\n " } else { ",\n " });
        out.push_str(&v.to_string());
    }
    out.push_str("\n]\n");
    out
}

/// Prints the replies to a request whose form is that of [`super::json_stats`].
pub async fn dump(v: &mut Vconn, requests: &[Message], style: &Style<'_>) -> Result<u8> {
    use super::json_stats::Reply;
    let mut list = Vec::new();
    for request in requests {
        for m in fetch(v, request).await? {
            match super::json_stats::of(&m, style) {
                Some(Reply::Entries(mut entries)) => list.append(&mut entries),
                Some(Reply::Whole(value)) => return print(&value),
                None => return Err(format!("{}: bad reply", v.name)),
            }
        }
    }
    print(&Value::Array(list))
}

/// Decodes the parts of a reply; an error reply is the error.
async fn fetch(v: &mut Vconn, m: &Message) -> Result<Vec<Message>> {
    let mut out = Vec::new();
    for data in v.transact_parts(m).await? {
        match Message::decode(&data) {
            Ok((_, _, Message::Error(e))) => {
                return Err(format!(
                    "{}: the switch answered {}",
                    v.name,
                    e.error.map_or("an unknown error", |e| e.symbol())
                ));
            }
            Ok((_, _, m)) => out.push(m),
            Err(e) => return Err(format!("{}: bad reply ({e})", v.name)),
        }
    }
    Ok(out)
}

/// `dump-groups`.
pub async fn dump_groups(v: &mut Vconn, group: GroupId, names: Option<&Names>) -> Result<u8> {
    let style = Style { names, ..Style::default() };
    let mut list = Vec::new();
    for m in fetch(v, &Message::GroupDescRequest(group)).await? {
        let Message::GroupDescReply(x) = m else { continue };
        for d in x.entries {
            let buckets: Vec<Value> = d
                .buckets
                .iter()
                .map(|b| {
                    json!({
                        "bucket_id": b.id,
                        "weight": b.weight,
                        "watch_port": if b.watch_port == OfPort::ANY { Value::Null } else { port(b.watch_port, &style) },
                        "watch_group": if b.watch_group == GroupId::ANY { Value::Null } else { json!(b.watch_group.0) },
                        "actions": actions(&b.actions, &style),
                    })
                })
                .collect();
            list.push(json!({
                "group_id": d.group.0,
                "type": d.ty.name(),
                "selection_method": if d.props.selection_method.is_empty() { Value::Null } else { json!(d.props.selection_method) },
                "buckets": buckets,
            }));
        }
    }
    print(&Value::Array(list))
}

/// `dump-meters` and `meter-stats`.
pub async fn dump_meters(v: &mut Vconn, meter: MeterId, stats: bool) -> Result<u8> {
    let request = if stats { Message::MeterStatsRequest(meter) } else { Message::MeterConfigRequest(meter) };
    let mut list = Vec::new();
    for m in fetch(v, &request).await? {
        match m {
            Message::MeterConfigReply(x) => list.extend(x.entries.iter().map(|c| {
                let flags: Vec<&str> =
                    [(MF_KBPS, "kbps"), (MF_PKTPS, "pktps"), (MF_BURST, "burst"), (MF_STATS, "stats")]
                        .iter()
                        .filter(|f| c.flags & f.0 != 0)
                        .map(|f| f.1)
                        .collect();
                let bands: Vec<Value> = c
                    .bands
                    .iter()
                    .map(|b| {
                        let name = if b.ty == BandType::Drop { "drop" } else { "dscp_remark" };
                        json!({"type": name, "rate": b.rate, "burst_size": b.burst})
                    })
                    .collect();
                json!({"meter": c.meter.to_string(), "flags": flags, "bands": bands})
            })),
            Message::MeterStatsReply(x) => list.extend(x.entries.iter().map(|c| {
                let bands: Vec<Value> =
                    c.bands.iter().map(|b| json!({"packets": count(b.0), "bytes": count(b.1)})).collect();
                json!({
                    "meter": c.meter.to_string(),
                    "flows": c.flows,
                    "packets": count(c.packets_in),
                    "bytes": count(c.bytes_in),
                    "duration": seconds(c.duration),
                    "bands": bands,
                })
            })),
            _ => {}
        }
    }
    print(&Value::Array(list))
}

fn port_value(p: &PortDesc) -> Value {
    json!({
        "port": port(p.port, &Style::default()),
        "name": p.name,
        "address": p.hw_addr.to_string(),
        "config": p.config,
        "state": p.state,
        "current_speed_kbps": p.curr_speed,
        "max_speed_kbps": p.max_speed,
    })
}

/// `show`.
pub async fn show(v: &mut Vconn, reply: &[u8]) -> Result<u8> {
    let Ok((_, _, Message::FeaturesReply(f))) = Message::decode(reply) else {
        return Err(format!("{}: bad reply to features request", v.name));
    };
    let ports = if v.version >= Version::V13 { v.ports().await? } else { f.ports.clone() };
    print(&json!({
        "datapath_id": format!("{:016x}", f.datapath_id),
        "n_tables": f.n_tables,
        "n_buffers": f.n_buffers,
        "ports": ports.iter().map(port_value).collect::<Vec<_>>(),
    }))
}

/// `dump-ports-desc`.
pub async fn dump_ports_desc(v: &mut Vconn) -> Result<u8> {
    let ports = v.ports().await?;
    print(&Value::Array(ports.iter().map(port_value).collect()))
}

/// `dump-ports`.
pub async fn dump_ports(v: &mut Vconn, of: OfPort, names: Option<&Names>) -> Result<u8> {
    let style = Style { names, ..Style::default() };
    let mut list = Vec::new();
    for m in fetch(v, &Message::PortStatsRequest(of)).await? {
        let Message::PortStatsReply(x) = m else { continue };
        for p in x.entries {
            list.push(json!({
                "port": port(p.port, &style),
                "rx": {
                    "packets": count(p.rx_packets), "bytes": count(p.rx_bytes), "dropped": count(p.rx_dropped),
                    "errors": count(p.rx_errors), "frame_errors": count(p.rx_frame_err),
                    "overruns": count(p.rx_over_err), "crc_errors": count(p.rx_crc_err),
                },
                "tx": {
                    "packets": count(p.tx_packets), "bytes": count(p.tx_bytes), "dropped": count(p.tx_dropped),
                    "errors": count(p.tx_errors), "collisions": count(p.collisions),
                },
                "duration": p.duration.map_or(Value::Null, seconds),
            }));
        }
    }
    print(&Value::Array(list))
}

/// `dump-tables`.
pub async fn dump_tables(v: &mut Vconn) -> Result<u8> {
    let mut list = Vec::new();
    for m in fetch(v, &Message::TableStatsRequest).await? {
        let Message::TableStatsReply(x) = m else { continue };
        for t in x.entries {
            list.push(json!({
                "table": t.table.0,
                "active": t.active,
                "lookups": count(t.lookups),
                "matched": count(t.matched),
            }));
        }
    }
    print(&Value::Array(list))
}
