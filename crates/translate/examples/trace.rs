//! Translates packets through a flow file and prints the way, the megaflow and the datapath actions, in the words of
//! `ofproto/trace`: `trace FLOWS PACKETS`. Ports 1 to 3 are datapath ports of the same number, port 2 an access port of
//! VLAN 20; LOCAL is 100. For comparing with another switch that was given the same.

use std::sync::Arc;

use clock::Instant;
use datapath::Features;
use datapath::action_text::format_actions;
use datapath::key_text::NoNames;
use flow::text::matching::{format_match, parse_field, set_protocol_keyword};
use flow::text::{ParseContext, Style};
use flow::{DpPort, Field, Match, MiniMatch, OfPort};
use openflow::TableId;
use openflow::action::Action;
use openflow::action::text::{self, Place};
use translate::trace::Describe;
use translate::view::{BridgeConfig, Bundle, BundleId, Counters, Port, Timeouts, VlanMode};
use translate::{Bridge, BridgeId, Network, Request, Rule, RuleData, translate};

struct Names;

fn match_text(m: &Match) -> String {
    let mut out = String::new();
    format_match(&mut out, &Style::default(), m, 0x8000);
    out
}

impl Describe for Names {
    fn rule(&self, _: &BridgeConfig, rule: &Rule) -> String {
        let mut out = match_text(&rule.matching.expand());
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(&format!("priority {}", rule.priority));
        if rule.data.cookie != 0 {
            out.push_str(&format!(", cookie {:#x}", rule.data.cookie));
        }
        out
    }

    fn actions(&self, _: &BridgeConfig, actions: &[Action]) -> String {
        let mut out = String::new();
        text::format(&mut out, &Style::default(), actions);
        out
    }
}

struct Parsed {
    table: u8,
    priority: u32,
    cookie: u64,
    matching: Match,
}

fn parse_match(s: &str) -> Result<Parsed, String> {
    let mut parsed = Parsed { table: 0, priority: 0x8000, cookie: 0, matching: Match::any() };
    let mut cx = ParseContext::new(None);
    for part in s.split([',', ' ']).filter(|p| !p.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let number = || value.parse::<u64>().map_err(|e| format!("{part}: {e}"));
        match name {
            "table" => parsed.table = number()? as u8,
            "priority" => parsed.priority = number()? as u32,
            "cookie" => parsed.cookie = number()?,
            _ if value.is_empty() && set_protocol_keyword(&mut parsed.matching, name) => {}
            _ => {
                let field = Field::from_name(name).ok_or_else(|| format!("{name}: unknown field"))?;
                parse_field(&mut cx, field, value, &mut parsed.matching)?;
            }
        }
    }
    Ok(parsed)
}

fn bridge() -> Bridge {
    let mut config = BridgeConfig { id: BridgeId(1), name: "br0".into(), ..BridgeConfig::default() };
    for (of, dp, tag) in [(OfPort::LOCAL, 100, 0), (OfPort(1), 1, 0), (OfPort(2), 2, 20), (OfPort(3), 3, 10)] {
        let id = BundleId(of.0.into());
        let name = if of == OfPort::LOCAL { "br0".into() } else { format!("p{}", of.0) };
        config
            .ports
            .insert(of, Port { of, dp: Some(DpPort(dp)), name: name.clone(), bundle: id, up: true, ..Port::default() });
        let vlan_mode = if tag == 0 { VlanMode::Trunk } else { VlanMode::Access };
        config.bundles.insert(id, Bundle { id, name, ports: vec![of], tag, vlan_mode, ..Bundle::default() });
        config.flood_order.push(id);
    }
    config.flood_order = vec![BundleId(1), BundleId(OfPort::LOCAL.0.into()), BundleId(2), BundleId(3)];
    Bridge::new(config)
}

fn add(bridge: &Bridge, line: &str) -> Result<(), String> {
    let (matching, actions) = line.split_once("actions=").ok_or_else(|| format!("{line}: no actions"))?;
    let parsed = parse_match(matching)?;
    let (actions, _) = text::parse(&mut ParseContext::new(None), actions, Place::Flow)?;
    let data = RuleData {
        table: TableId(parsed.table),
        cookie: parsed.cookie,
        clauses: RuleData::clauses_of(&actions),
        actions: actions.into(),
        flags: 0,
        importance: 0,
        timeouts: Arc::new(Timeouts::default()),
        created: Instant::ZERO,
        born: 1,
        modified: Instant::ZERO,
        stats: Arc::new(Counters::default()),
        hidden: false,
    };
    let rule = Rule::new(MiniMatch::new(&parsed.matching), parsed.priority, 0, data);
    let rules = &bridge.tables[usize::from(parsed.table)].rules;
    if let Some(old) = rules.find(0, &rule.matching, rule.priority) {
        rules.remove(&old);
    }
    rules.insert(Arc::new(rule));
    Ok(())
}

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().collect();
    let [_, flows, packets] = args.as_slice() else { return Err("usage: trace FLOWS PACKETS".into()) };
    let read = |path: &str| std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
    let bridge = Arc::new(bridge());
    for line in read(flows)?.lines().filter(|l| !l.trim().is_empty()) {
        add(&bridge, line)?;
    }
    let mut net = Network::empty(Features::all());
    net.bridges.insert(bridge.id, bridge);
    for line in read(packets)?.lines() {
        let key = parse_match(line)?.matching.key;
        let mut request = Request::packet(BridgeId(1), key, None, Instant::ZERO);
        request.trace = Some(&Names);
        request.side_effects = false;
        let x = translate(&net, &request);
        let trace = x.trace.as_ref().map(|t| t.text()).unwrap_or_default();
        let matching = match_text(&Match::new(&key, &x.mask));
        println!("=== {line}{trace}\nMegaflow: {matching}\nDatapath actions: {}", format_actions(&x.actions, &NoNames));
        if let Some(e) = x.error {
            println!("Translation failed ({}), packet is dropped.", e.text());
        }
    }
    Ok(())
}
