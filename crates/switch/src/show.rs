//! Text and JSON of what a bridge holds, for the control socket.

use crate::bridge::Bridge;
use crate::flow_mod::Selection;
use clock::Instant;
use flow::{MiniMatch, OfPort};
use openflow::message::FlowStatsRequest;
use serde_json::{Value, json};

impl Bridge {
    /// The number or name by which tables of addresses show a bundle: its port's number, `LOCAL` for the local one.
    fn bundle_label(&self, bundle: translate::BundleId) -> String {
        let config = self.shared.config.load();
        match config.bundles.get(&bundle) {
            Some(b) if b.ports.len() == 1 => b.ports[0].to_string(),
            Some(b) => b.name.clone(),
            None => "?".into(),
        }
    }

    /// `fdb/show`: the learned addresses.
    pub fn fdb_text(&self, now: Instant) -> String {
        let mut out = String::from(" Port  VLAN  MAC                Age\n");
        let macs = self.shared.macs();
        for (vlan, mac, e) in macs.sorted() {
            let age = macs.age(now, &e).map_or_else(|| "static".to_string(), |a| a.to_string());
            out.push_str(&format!("{:>5}  {vlan:>4}  {mac}  {age:>3}\n", self.bundle_label(e.port)));
        }
        out
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

    /// `bridge/dump-flows`: all flows, the switch's own included.
    pub fn dump_all_flows(&self, now: Instant) -> String {
        self.sync_counters(now);
        let matching = MiniMatch::default();
        let request = FlowStatsRequest::default();
        let all = Selection { matching: &matching, hidden: true, ..Selection::of_request(&request) };
        let mut out = String::new();
        for rule in self.tables.select(&all) {
            let (packets, bytes) = rule.data.stats.read();
            if rule.data.table.0 != 0 {
                out.push_str(&format!("table_id={}, ", rule.data.table));
            }
            let duration = now.since(rule.data.created).as_secs();
            let text = openflow::text::match_and_actions(&rule.matching, rule.priority as u16, &rule.data.actions);
            out.push_str(&format!("duration={duration}s, n_packets={packets}, n_bytes={bytes}, {text}\n"));
        }
        out
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
