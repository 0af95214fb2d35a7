//! The JSON form of the smaller dumps: what a reply says, as entries of one list or as one object.

use flow::text::Style;
use openflow::Message;
use openflow::message::*;
use serde_json::{Value, json};

use super::json::{count, port, seconds};

/// A reply's JSON form.
pub enum Reply {
    /// Entries; those of all parts make one list.
    Entries(Vec<Value>),
    /// The whole.
    Whole(Value),
}

fn duration(d: Option<Span>) -> Value {
    d.map_or(Value::Null, seconds)
}

fn queue(q: &QueueDesc, style: &Style<'_>) -> Value {
    let percent = |n: Option<u16>| n.map_or(Value::Null, |n| json!(f64::from(n) / 10.0));
    json!({
        "port": port(q.port, style),
        "queue": q.queue,
        "min_rate_percent": percent(q.min_rate),
        "max_rate_percent": percent(q.max_rate),
    })
}

fn table(t: &TableFeatures) -> Value {
    json!({
        "table": t.table.0,
        "name": t.name,
        "max_entries": t.max_entries,
        "metadata_match": format!("{:#x}", t.metadata_match),
        "metadata_write": format!("{:#x}", t.metadata_write),
        "eviction": t.supports_eviction,
        "vacancy_events": t.supports_vacancy,
    })
}

fn table_desc(t: &TableDesc) -> Value {
    json!({
        "table": t.table.0,
        "eviction": t.eviction == Some(true),
        "eviction_flags": t.eviction_flags.unwrap_or(0),
        "vacancy_events": t.vacancy == Some(true),
        "vacancy_down_percent": t.vacancy_limits.map(|l| l.0),
        "vacancy_up_percent": t.vacancy_limits.map(|l| l.1),
        "vacancy_percent": t.vacancy_limits.map(|l| l.2),
    })
}

fn group(g: &GroupStats) -> Value {
    let buckets: Vec<Value> = g.buckets.iter().map(|b| json!({"packets": count(b.0), "bytes": count(b.1)})).collect();
    json!({
        "group_id": g.group.0,
        "references": g.ref_count,
        "packets": count(g.packets),
        "bytes": count(g.bytes),
        "duration": duration(g.duration),
        "buckets": buckets,
    })
}

fn group_features(f: &GroupFeatures) -> Value {
    let types: Vec<Value> = ["all", "select", "indirect", "ff"]
        .iter()
        .enumerate()
        .filter(|(i, _)| f.types >> i & 1 != 0)
        .map(|(i, name)| json!({"type": name, "max_groups": f.max_groups[i], "actions": f.actions[i]}))
        .collect();
    json!({"capabilities": f.capabilities, "types": types})
}

/// The JSON form of a reply that has one here.
pub fn of(m: &Message, style: &Style<'_>) -> Option<Reply> {
    let entries = match m {
        Message::AggregateReply(a) => {
            return Some(Reply::Whole(json!({
                "packets": count(a.packets), "bytes": count(a.bytes), "flows": a.flows,
            })));
        }
        Message::GroupFeaturesReply(f) => return Some(Reply::Whole(group_features(f))),
        Message::MeterFeaturesReply(f) => {
            return Some(Reply::Whole(json!({
                "max_meters": f.max_meters,
                "band_types": f.band_types,
                "capabilities": f.capabilities,
                "max_bands": f.max_bands,
                "max_color": f.max_color,
            })));
        }
        Message::DescReply(d) => {
            return Some(Reply::Whole(json!({
                "manufacturer": d.manufacturer,
                "hardware": d.hardware,
                "software": d.software,
                "serial": d.serial,
                "datapath": d.datapath,
            })));
        }
        Message::GroupStatsReply(x) => x.entries.iter().map(group).collect(),
        Message::QueueStatsReply(x) => x
            .entries
            .iter()
            .map(|q| {
                json!({
                    "port": port(q.port, style),
                    "queue": q.queue,
                    "packets": count(q.tx_packets),
                    "bytes": count(q.tx_bytes),
                    "errors": count(q.tx_errors),
                    "duration": duration(q.duration),
                })
            })
            .collect(),
        Message::QueueGetConfigReply(x) => x.queues.iter().map(|q| queue(q, style)).collect(),
        Message::QueueDescReply(x) => x.entries.iter().map(|q| queue(q, style)).collect(),
        Message::TableDescReply(x) => x.entries.iter().map(table_desc).collect(),
        Message::TableFeaturesReply(x) => x.entries.iter().map(table).collect(),
        _ => return None,
    };
    Some(Reply::Entries(entries))
}
