//! Reads flows of a file (`flows parse FILE`) or messages of a file (`flows print FILE`) as `ovs-ofctl parse-flows` and
//! `ovs-ofctl ofp-parse` do, and counts the characters that would be printed: for measuring. `flows replies FILE` writes
//! the flow statistics replies of a switch that has the flows of a file to standard output.

use flow::text::{ParseContext, Style};
use openflow::Message;
use openflow::message::{FlowModCommand, FlowStats, Multipart, Span};
use openflow::text::print::put_message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, what, file] = &args[..] else { return Err("usage: flows parse|print FILE".into()) };
    if what == "replies" {
        return replies(file);
    }
    let style = Style::default();
    let mut total = 0;
    if what == "parse" {
        let text = std::fs::read_to_string(file)?;
        let mut cx = ParseContext::new(None);
        let mut flows = Vec::new();
        for line in text.lines() {
            flows.push(openflow::text::parse_flow_line(&mut cx, line, FlowModCommand::Add, false)?.0);
        }
        let mut out = String::new();
        for (i, fm) in flows.into_iter().enumerate() {
            let data = Message::FlowMod(fm).encode(openflow::Version::V13, i as u32);
            out.clear();
            put_message(&mut out, &data, 0, &style);
            total += out.len();
        }
    } else {
        let data = std::fs::read(file)?;
        let mut rest = &data[..];
        let mut out = String::new();
        while rest.len() >= 8 {
            let len = usize::from(u16::from_be_bytes([rest[2], rest[3]])).clamp(8, rest.len());
            out.clear();
            put_message(&mut out, &rest[..len], 1, &style);
            total += out.len();
            rest = &rest[len..];
        }
    }
    println!("{total}");
    Ok(())
}

fn replies(file: &str) -> Result<(), Box<dyn std::error::Error>> {
    use std::io::Write;
    let text = std::fs::read_to_string(file)?;
    let mut cx = ParseContext::new(None);
    let mut entries = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let fm = openflow::text::parse_flow_line(&mut cx, line, FlowModCommand::Add, false)?.0;
        let i = i as u64;
        entries.push(FlowStats {
            matching: fm.matching,
            cookie: fm.new_cookie,
            table: openflow::TableId(if fm.table == openflow::TableId::ALL { 0 } else { fm.table.0 }),
            priority: fm.priority,
            duration: Span { sec: (i % 90_000) as u32, nsec: (i * 1_000_000 % 1_000_000_000) as u32 },
            idle_timeout: fm.idle_timeout,
            hard_timeout: fm.hard_timeout,
            packets: i * 7 % 1_000_003,
            bytes: i * 977 % 1_000_000_007,
            actions: fm.actions,
            ..FlowStats::default()
        });
    }
    let data = Message::FlowStatsReply(Multipart::new(entries)).encode(openflow::Version::V13, 2);
    Ok(std::io::stdout().write_all(&data)?)
}
