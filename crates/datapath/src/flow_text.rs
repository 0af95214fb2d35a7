//! One line of `dpctl/dump-flows`.

use std::fmt::Write as _;

use clock::Instant;

use crate::action_text::format_actions;
use crate::attrs::TCP_FLAGS;
use crate::flow::{FlowDump, FlowStats};
use crate::key_text::{KeyStyle, format_key};

/// What a line of a file of flows has done with its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// `add FLOW`
    Add,
    /// `modify FLOW`
    Modify,
    /// `delete FLOW`
    Delete,
}

impl Deed {
    /// The deed that a line names first, or the `usual` one, and the flow behind it.
    #[must_use]
    pub fn of(line: &str, usual: Deed) -> (Deed, &str) {
        for (word, deed) in [("add", Deed::Add), ("modify", Deed::Modify), ("delete", Deed::Delete)] {
            if let Some(rest) = line.strip_prefix(word)
                && rest.starts_with(char::is_whitespace)
            {
                return (deed, rest.trim());
            }
        }
        (usual, line)
    }
}

/// `packets:N, bytes:N, used:T`, and TCP flags where there were any.
#[must_use]
pub fn format_stats(stats: &FlowStats, now: Instant) -> String {
    let mut out = format!("packets:{}, bytes:{}, used:", stats.packets, stats.bytes);
    match stats.used {
        Some(used) => {
            let millis = now.as_millis().saturating_sub(used.as_millis());
            let _ = write!(out, "{}.{:03}s", millis / 1000, millis % 1000);
        }
        None => out.push_str("never"),
    }
    if stats.tcp_flags != 0 {
        out.push_str(", flags:");
        for (bit, name) in TCP_FLAGS {
            if stats.tcp_flags & bit != 0 {
                match name.strip_prefix('[') {
                    Some(_) => out.push_str(name),
                    None => out.push(tcp_letter(name)),
                }
            }
        }
    }
    out
}

fn tcp_letter(name: &str) -> char {
    match name {
        "psh" => 'P',
        "ack" => '.',
        "ece" => 'E',
        "cwr" => 'C',
        "ns" => 'N',
        other => other.chars().next().map_or('?', |c| c.to_ascii_uppercase()),
    }
}

/// The line. `verbose` as with `-m`.
#[must_use]
pub fn format_flow(flow: &FlowDump, now: Instant, style: KeyStyle<'_>) -> String {
    let mut out = String::new();
    if style.verbose {
        let _ = write!(out, "ufid:{}, ", flow.ufid);
    }
    out.push_str(&format_key(&flow.key, &flow.mask, style));
    let _ = write!(out, ", {}", format_stats(&flow.stats, now));
    if style.verbose {
        out.push_str(", dp:ovs");
    }
    let _ = write!(out, ", actions:{}", format_actions(&flow.actions, style.names));
    if style.verbose {
        let map = flow::WordMap::of(&flow.mask);
        let _ = write!(out, ", dp-extra-info:miniflow_bits({},{})", map.0[0].count_ones(), map.0[1].count_ones());
    }
    out
}
