//! Text forms: flows, groups, meters, messages.

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
