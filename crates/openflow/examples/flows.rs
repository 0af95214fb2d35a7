//! Reads flows of a file (`flows parse FILE`) or messages of a file (`flows print FILE`) as `ovs-ofctl parse-flows` and
//! `ovs-ofctl ofp-parse` do, and counts the characters that would be printed: for measuring.

use flow::text::{ParseContext, Style};
use openflow::Message;
use openflow::message::FlowModCommand;
use openflow::text::print::put_message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, what, file] = &args[..] else { return Err("usage: flows parse|print FILE".into()) };
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
