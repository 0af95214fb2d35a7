//! Text and JSON of what a bridge holds, for the control socket.

use crate::bridge::Bridge;
use crate::flow_mod::Selection;
use clock::Instant;
use flow::{MiniMatch, OfPort};
use serde_json::{Value, json};
use std::sync::Arc;
use translate::Rule;

/// A rule in the form of `bridge/dump-flows`.
pub fn rule_line(rule: &Rule, with_cookie: bool, offload: bool, now: Instant) -> String {
    let d = &rule.data;
    let (packets, bytes) = d.stats.read();
    let mut out = String::new();
    if with_cookie {
        out.push_str(&format!("cookie={:#x}, ", d.cookie));
    }
    if d.table.0 != 0 {
        out.push_str(&format!("table_id={}, ", d.table));
    }
    let duration = now.since(d.created).as_secs();
    out.push_str(&format!("duration={duration}s, n_packets={packets}, n_bytes={bytes}, "));
    if offload {
        out.push_str("n_offload_packets=0, n_offload_bytes=0, ");
    }
    let text = match u16::try_from(rule.priority) {
        Ok(priority) => openflow::text::match_and_actions(&rule.matching, priority, &d.actions),
        // No flow of a controller's has such a priority; 0x8000 is not shown.
        Err(_) => {
            let rest = openflow::text::match_and_actions(&rule.matching, 0x8000, &d.actions);
            format!("priority={},{rest}", rule.priority)
        }
    };
    // A match that says nothing leaves its comma: scripts split there.
    if text.starts_with("actions=") {
        out.push(',');
    }
    out + &text
}

/// A rule as JSON.
pub fn rule_json(rule: &Rule, now: Instant) -> Value {
    let d = &rule.data;
    let (packets, bytes) = d.stats.read();
    let text = openflow::text::match_and_actions(&rule.matching, rule.priority as u16, &d.actions);
    let (matching, actions) = text.split_once("actions=").unwrap_or((&text, ""));
    let fields = matching.trim_end_matches(',').split(',').filter(|f| !f.is_empty() && !f.starts_with("priority="));
    json!({
        "table": d.table.0,
        "priority": rule.priority,
        "cookie": d.cookie,
        "duration_seconds": now.since(d.created).as_secs(),
        "packets": packets,
        "bytes": bytes,
        "hidden": d.hidden,
        "match": fields.collect::<Vec<_>>(),
        "actions": actions,
    })
}

/// A group in the form of `ofproto/detrace`.
pub fn group_line(group: &translate::view::Group) -> String {
    let desc = openflow::message::GroupDesc {
        ty: group.ty,
        group: group.id,
        buckets: group.buckets.iter().map(|b| b.desc.clone()).collect(),
        props: group.props.clone(),
    };
    let mut out = String::new();
    openflow::text::print::format_group(&mut out, &flow::text::Style::default(), &desc, openflow::Version::V15);
    out
}

impl Bridge {
    /// The number or name by which tables of addresses show a bundle: its port's number, `LOCAL` for the local one.
    pub fn bundle_label(&self, bundle: translate::BundleId) -> String {
        let config = self.shared.config.load();
        match config.bundles.get(&bundle) {
            Some(b) if b.ports.len() == 1 => b.ports[0].to_string(),
            Some(b) => b.name.clone(),
            None => "?".into(),
        }
    }

    /// `fdb/show`: the learned addresses.
    pub fn fdb_text(&self, now: Instant) -> String {
        " Port  VLAN  MAC                Age\n".chars().chain(self.fdb_lines(now).concat().chars()).collect()
    }

    /// Its lines, without the title; oldest first.
    pub fn fdb_lines(&self, now: Instant) -> Vec<String> {
        let macs = self.shared.macs();
        let line = |(vlan, mac, e): (u16, wire::EthAddr, protocols::mac_learning::Entry<translate::BundleId>)| {
            let age = macs.age(now, &e).map_or_else(|| "static".to_string(), |a| a.to_string());
            format!("{:>5}  {vlan:>4}  {mac}  {age:>3}\n", self.bundle_label(e.port))
        };
        macs.sorted().into_iter().map(line).collect()
    }

    /// `fdb/show` as JSON.
    pub fn fdb_json(&self, now: Instant) -> Value {
        let macs = self.shared.macs();
        let entry = |(vlan, mac, e): (u16, wire::EthAddr, protocols::mac_learning::Entry<translate::BundleId>)| {
            let label = self.bundle_label(e.port);
            let port = label.parse::<u32>().map_or_else(|_| Value::from(label), Value::from);
            let mut v = json!({"port": port, "vlan": vlan, "mac": mac.to_string()});
            match macs.age(now, &e) {
                Some(age) => v["age"] = age.into(),
                None => v["static"] = true.into(),
            }
            v
        };
        macs.sorted().into_iter().map(entry).collect()
    }

    /// `fdb/stats-show`
    pub fn fdb_stats(&self) -> String {
        let macs = self.shared.macs();
        let fixed = macs.sorted().iter().filter(|(_, _, e)| e.expires.is_none()).count();
        format!(
            "Statistics for bridge \"{}\":\n  \
             Current/maximum MAC entries in the table: {}/{}\n  \
             Current static MAC entries in the table : {fixed}\n  \
             Total number of learned MAC entries     : {}\n  \
             Total number of expired MAC entries     : {}\n  \
             Total number of evicted MAC entries     : {}\n  \
             Total number of port moved MAC entries  : {}\n",
            self.name,
            macs.len(),
            macs.max_entries(),
            macs.stats.learned,
            macs.stats.expired,
            macs.stats.evicted,
            macs.stats.moved
        )
    }

    /// `fdb/stats-show` as JSON.
    pub fn fdb_stats_json(&self) -> Value {
        let macs = self.shared.macs();
        let fixed = macs.sorted().iter().filter(|(_, _, e)| e.expires.is_none()).count();
        json!({
            "bridge": self.name,
            "entries": macs.len(),
            "max_entries": macs.max_entries(),
            "static_entries": fixed,
            "learned": macs.stats.learned,
            "expired": macs.stats.expired,
            "evicted": macs.stats.evicted,
            "moved": macs.stats.moved,
        })
    }

    fn every_rule(&self, now: Instant) -> Vec<Arc<Rule>> {
        self.sync_counters(now);
        let matching = MiniMatch::default();
        self.tables.select(&Selection { hidden: true, ..Selection::all(&matching) })
    }

    /// `bridge/dump-flows`: all flows, the switch's own included.
    pub fn dump_all_flows(&self, offload: bool, now: Instant) -> String {
        self.every_rule(now).iter().map(|r| rule_line(r, r.data.cookie != 0, offload, now) + "\n").collect()
    }

    /// `bridge/dump-flows` as JSON.
    pub fn all_flows_json(&self, now: Instant) -> Value {
        self.every_rule(now).iter().map(|r| rule_json(r, now)).collect()
    }

    /// The bridge's part of `dpif/show`.
    pub fn dpif_text(&self) -> String {
        let mut out = format!("  {}:\n", self.name);
        let mut ports: Vec<_> = self.ports.values().collect();
        ports.sort_by(|a, b| a.name.cmp(&b.name));
        for p in ports {
            let dp = p.dp.map_or_else(|| "none".to_string(), |d| d.to_string());
            let number = if p.of == OfPort::LOCAL { 65534 } else { p.of.0 };
            let peer = p.peer.as_ref().map_or(String::new(), |peer| format!(": peer={peer}"));
            out.push_str(&format!("    {} {number}/{dp}: ({}{peer})\n", p.name, p.kind));
        }
        out
    }

    /// The bridge's part of `dpif/show` as JSON.
    pub fn dpif_json(&self) -> Value {
        let port = |p: &crate::port::Port| {
            let v = json!({
                "ofport": p.of.0.to_string(),
                "port_no": p.dp.map_or_else(|| "none".to_string(), |d| d.to_string()),
                "type": p.kind,
            });
            (p.name.clone(), v)
        };
        Value::Object(self.ports.values().map(port).collect())
    }
}
