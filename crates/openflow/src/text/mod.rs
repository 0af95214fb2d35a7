//! Text forms: flows, groups, meters, messages.

pub mod exact;
pub mod parse;
pub mod parse_group;
pub mod print;

pub use exact::parse_packet_fields;
pub use parse::{Use, parse_flow, parse_flow_line, parse_flow_stats_request, parse_packet_out};
pub use parse_group::{parse_group, parse_group_line, parse_meter};
pub use print::{format_message, hex_dump};

use flow::MiniMatch;
use flow::text::{Style, format_match};

use crate::action::{self, Action};

/// A flow as bridges dump it: `priority=0,actions=NORMAL`, `tcp,actions=drop`. The priority is left out where it is
/// the default, 32768.
pub fn match_and_actions(m: &MiniMatch, priority: u16, actions: &[Action]) -> String {
    let style = Style::default();
    let mut out = String::new();
    format_match(&mut out, &style, &m.expand(), priority);
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str("actions=");
    action::text::format(&mut out, &style, actions);
    out
}
