//! Flows and packets.

use std::fmt::Write;

use flow::OfPort;
use flow::text::number::{put_alt_hex, put_dec, put_hex};
use flow::text::{Style, format_match, format_mini_match, put_color, put_port, put_table};

use super::put_duration;
use crate::action::{self, PacketInReason};
use crate::message::*;
use crate::version::{GroupId, TableId, Version};

pub(super) fn put(out: &mut String, m: &Message, v: Version, verbosity: u32, style: &Style<'_>) {
    match m {
        Message::FlowMod(fm) => format_flow_mod(out, style, fm),
        Message::FlowRemoved(x) => put_removed(out, style, x, v),
        Message::FlowStatsRequest(q) | Message::AggregateRequest(q) => put_request(out, style, q),
        Message::FlowStatsReply(x) => {
            for fs in &x.entries {
                out.push_str("\n ");
                format_flow_stats(out, style, fs, true);
            }
        }
        Message::AggregateReply(a) => {
            let _ = write!(out, " packet_count={} byte_count={} flow_count={}", a.packets, a.bytes, a.flows);
        }
        Message::FlowMonitorRequest(list) => {
            for q in list {
                put_monitor(out, style, q);
            }
        }
        Message::FlowMonitorReply(list) => {
            for u in list {
                put_update(out, style, u);
            }
        }
        Message::PacketIn(p) | Message::Resume(p) => put_packet_in(out, style, p, v, verbosity),
        Message::PacketOut(p) => put_packet_out(out, style, p, verbosity),
        _ => {}
    }
}

const COMMANDS: [&str; 5] = ["ADD", "MOD", "MOD_STRICT", "DEL", "DEL_STRICT"];

const FLAGS: [(u16, &str); 5] = [
    (FF_SEND_FLOW_REM, "send_flow_rem"),
    (FF_CHECK_OVERLAP, "check_overlap"),
    (FF_RESET_COUNTS, "reset_counts"),
    (FF_NO_PKT_COUNTS, "no_packet_counts"),
    (FF_NO_BYT_COUNTS, "no_byte_counts"),
];

fn put_flags(out: &mut String, flags: u16) {
    for (bit, name) in FLAGS {
        if flags & bit != 0 {
            out.push_str(name);
            out.push(' ');
        }
    }
    if flags & FF_EMERG != 0 {
        out.push_str("emerg ");
    }
}

/// Appends a flow_mod.
pub fn format_flow_mod(out: &mut String, style: &Style<'_>, fm: &FlowMod) {
    out.push(' ');
    out.push_str(COMMANDS[fm.command as usize]);
    if fm.table == TableId::ALL {
        out.push_str(" table:255");
    } else if fm.table != TableId(0) {
        out.push_str(" table:");
        put_table(out, style, fm.table.0);
    }
    out.push(' ');
    let at = out.len();
    format_mini_match(out, style, &fm.matching, fm.priority);
    if out.len() > at {
        out.push(' ');
    }
    if fm.new_cookie != 0 && fm.new_cookie != u64::MAX {
        out.push_str("cookie:");
        put_hex(out, u128::from(fm.new_cookie), 0);
        out.push(' ');
    }
    if fm.cookie_mask != 0 {
        let _ = write!(out, "cookie:{:#x}/{:#x} ", fm.cookie, fm.cookie_mask);
    }
    for (name, n) in [("idle:", fm.idle_timeout), ("hard:", fm.hard_timeout), ("importance:", fm.importance)] {
        if n != 0 {
            out.push_str(name);
            put_dec(out, u64::from(n));
            out.push(' ');
        }
    }
    if fm.buffer_id != NO_BUFFER {
        let _ = write!(out, "buf:{:#x} ", fm.buffer_id);
    }
    if fm.out_port != OfPort::ANY {
        out.push_str("out_port:");
        put_port(out, style, fm.out_port);
        out.push(' ');
    }
    put_flags(out, fm.flags);
    out.push_str("actions=");
    action::text::format(out, style, &fm.actions);
}

const REASONS: [&str; 6] = ["idle", "hard", "delete", "group_delete", "meter_delete", "eviction"];

/// A counter, or `?` for one that the switch does not keep.
fn put_count(out: &mut String, n: u64) {
    if n == u64::MAX {
        out.push('?');
    } else {
        put_dec(out, n);
    }
}

fn put_reason(out: &mut String, reason: FlowRemovedReason) {
    let n = reason.number();
    let _ = match REASONS.get(usize::from(n)) {
        Some(name) => write!(out, " reason={name}"),
        None => write!(out, " reason={n}"),
    };
}

fn put_removed(out: &mut String, style: &Style<'_>, x: &FlowRemoved, _v: Version) {
    out.push(' ');
    format_mini_match(out, style, &x.matching, x.priority);
    put_reason(out, x.reason);
    if x.table != TableId::ALL {
        out.push_str(" table_id=");
        put_table(out, style, x.table.0);
    }
    if x.cookie != 0 {
        let _ = write!(out, " cookie:{:#x}", x.cookie);
    }
    out.push_str(" duration");
    put_duration(out, x.duration.sec, x.duration.nsec);
    let _ = write!(out, "s idle{}", x.idle_timeout);
    if x.hard_timeout != 0 {
        let _ = write!(out, " hard{}", x.hard_timeout);
    }
    let _ = write!(out, " pkts{} bytes{}", x.packets, x.bytes);
}

fn put_request(out: &mut String, style: &Style<'_>, q: &FlowStatsRequest) {
    if q.table != TableId::ALL {
        out.push_str(" table=");
        put_table(out, style, q.table.0);
    }
    if q.out_port != OfPort::ANY {
        out.push_str(" out_port=");
        put_port(out, style, q.out_port);
    }
    let at = out.len();
    out.push(' ');
    format_mini_match(out, style, &q.matching, 0x8000);
    if out.len() == at + 1 {
        out.truncate(at);
    }
}

/// Appends `name=`.
fn put_name(out: &mut String, style: &Style<'_>, name: &str) {
    put_color(out, &style.colors.param);
    out.push_str(name);
    put_color(out, &style.colors.end);
}

/// Appends a flow of a dump. `with_stats` false leaves out counters, ages, and what is zero.
pub fn format_flow_stats(out: &mut String, style: &Style<'_>, fs: &FlowStats, with_stats: bool) {
    if with_stats || fs.cookie != 0 {
        put_name(out, style, "cookie=");
        out.push_str("0x");
        flow::text::number::put_hex_digits(out, u128::from(fs.cookie), 0);
        out.push_str(", ");
    }
    if with_stats {
        put_name(out, style, "duration=");
        put_duration(out, fs.duration.sec, fs.duration.nsec);
        out.push_str("s, ");
    }
    let named = style.names.is_some_and(|n| n.table_name(fs.table.0).is_some());
    if with_stats || fs.table != TableId(0) || named {
        put_name(out, style, "table=");
        put_table(out, style, fs.table.0);
        out.push_str(", ");
    }
    if with_stats {
        put_name(out, style, "n_packets=");
        put_count(out, fs.packets);
        out.push_str(", ");
        put_name(out, style, "n_bytes=");
        put_count(out, fs.bytes);
        out.push_str(", ");
    }
    for (name, n) in [("idle_timeout=", fs.idle_timeout), ("hard_timeout=", fs.hard_timeout)] {
        if n != 0 {
            put_name(out, style, name);
            put_dec(out, u64::from(n));
            out.push_str(", ");
        }
    }
    put_flags(out, fs.flags);
    if fs.importance != 0 {
        put_name(out, style, "importance=");
        put_dec(out, u64::from(fs.importance));
        out.push_str(", ");
    }
    if with_stats {
        if let Some(age) = fs.idle_age {
            put_name(out, style, "idle_age=");
            put_dec(out, u64::from(age));
            out.push_str(", ");
        }
        if let Some(age) = fs.hard_age
            && age != fs.duration.sec
        {
            put_name(out, style, "hard_age=");
            put_dec(out, u64::from(age));
            out.push_str(", ");
        }
    }
    let at = out.len();
    format_mini_match(out, style, &fs.matching, fs.priority);
    if out.len() > at {
        out.push(' ');
    }
    put_color(out, &style.colors.actions);
    out.push_str("actions=");
    put_color(out, &style.colors.end);
    action::text::format(out, style, &fs.actions);
}

/// Appends a flow without statistics.
pub fn format_flow_stats_brief(out: &mut String, style: &Style<'_>, fs: &FlowStats) {
    format_flow_stats(out, style, fs, false);
}

fn put_monitor(out: &mut String, style: &Style<'_>, q: &FlowMonitorRequest) {
    let names = [
        (FM_INITIAL, "initial"),
        (FM_ADD, "add"),
        (FM_DELETE, "delete"),
        (FM_MODIFY, "modify"),
        (FM_ACTIONS, "actions"),
        (FM_NO_ABBREV, "no_abbrev"),
        (FM_ONLY_OWN, "own"),
    ];
    let flags: Vec<&str> = names.iter().filter(|n| q.flags & n.0 != 0).map(|n| n.1).collect();
    let flags = if flags.is_empty() { "0".to_string() } else { flags.join(",") };
    let _ = write!(out, "\n id={} flags={flags}", q.id);
    if q.out_port != OfPort::ANY {
        out.push_str(" out_port=");
        put_port(out, style, q.out_port);
    }
    if q.out_group != GroupId::ANY {
        let _ = write!(out, " out_group={}", q.out_group.0);
    }
    if q.table != TableId::ALL {
        out.push_str(" table=");
        put_table(out, style, q.table.0);
    }
    let at = out.len();
    out.push(' ');
    format_mini_match(out, style, &q.matching, 0x8000);
    if out.len() == at + 1 {
        out.truncate(at);
    }
}

fn put_update(out: &mut String, style: &Style<'_>, u: &FlowUpdate) {
    out.push_str("\n event=");
    match u {
        FlowUpdate::Abbrev(xid) => {
            let _ = write!(out, "ABBREV xid={xid:#x}");
        }
        FlowUpdate::Paused => out.push_str("PAUSED"),
        FlowUpdate::Resumed => out.push_str("RESUMED"),
        FlowUpdate::Full(u) => {
            out.push_str(match u.event {
                FlowEvent::Initial => "INITIAL",
                FlowEvent::Added => "ADDED",
                FlowEvent::Deleted => "DELETED",
                FlowEvent::Modified => "MODIFIED",
            });
            if u.event == FlowEvent::Deleted {
                put_reason(out, u.reason);
            }
            out.push_str(" table=");
            put_table(out, style, u.table.0);
            if u.idle_timeout != 0 {
                let _ = write!(out, " idle_timeout={}", u.idle_timeout);
            }
            if u.hard_timeout != 0 {
                let _ = write!(out, " hard_timeout={}", u.hard_timeout);
            }
            let _ = write!(out, " cookie=");
            put_alt_hex(out, u128::from(u.cookie));
            let at = out.len();
            out.push(' ');
            // Updates do not say priorities.
            format_mini_match(out, style, &u.matching, DEFAULT_PRIORITY);
            if out.len() == at + 1 {
                out.truncate(at);
            }
            if !u.actions.is_empty() {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
                out.push_str("actions=");
                action::text::format(out, style, &u.actions);
            }
        }
    }
}

fn put_packet_in(out: &mut String, style: &Style<'_>, p: &PacketIn, v: Version, verbosity: u32) {
    if p.table != TableId(0) {
        out.push_str(" table_id=");
        put_table(out, style, p.table.0);
    }
    if p.cookie != u64::MAX {
        out.push_str(" cookie=");
        let _ = write!(out, "0x{:x}", p.cookie);
    }
    let _ = write!(out, " total_len={} ", p.total_len);
    let m = p.metadata.expand();
    let at = out.len();
    format_match(out, style, &m, 0x8000);
    if out.len() > at {
        out.push(' ');
    }
    out.push_str("(via ");
    match p.reason {
        // The numbers of reasons that never leave a switch.
        PacketInReason::Other(6 | 7) => {}
        PacketInReason::Other(n) => put_dec(out, u64::from(n)),
        r => out.push_str(r.name()),
    }
    out.push(')');
    let _ = write!(out, " data_len={}", p.packet.len());
    if p.buffer_id == u32::MAX {
        out.push_str(" (unbuffered)");
    } else {
        let _ = write!(out, " buffer=0x{:08x}", p.buffer_id);
    }
    let data_len = p.packet.len() as u32;
    if p.buffer_id == u32::MAX && p.total_len != data_len {
        out.push_str(" (***total_len != data_len***)");
    } else if p.buffer_id != u32::MAX && p.total_len < data_len {
        out.push_str(" (***total_len < data_len***)");
    }
    out.push('\n');
    if !p.userdata.is_empty() {
        out.push_str(" userdata=");
        action::output::put_hex_with_dots(out, &p.userdata);
        out.push('\n');
    }
    if let Some(c) = &p.continuation {
        put_continuation(out, style, c, v);
    }
    put_data(out, style, &p.packet, verbosity);
}

fn put_continuation(out: &mut String, style: &Style<'_>, data: &[u8], v: Version) {
    let Ok(c) = Continuation::decode(data, v) else { return };
    if c.bridge != [0; 16] {
        let b = c.bridge;
        let hex = |r: std::ops::Range<usize>| b[r].iter().map(|x| format!("{x:02x}")).collect::<String>();
        let _ = writeln!(
            out,
            " continuation.bridge={}-{}-{}-{}-{}",
            hex(0..4),
            hex(4..6),
            hex(6..8),
            hex(8..10),
            hex(10..16)
        );
    }
    if !c.stack.is_empty() {
        out.push_str(" continuation.stack=(top)");
        for value in c.stack.iter().rev() {
            let n = crate::codec::oxm::value_from(value);
            let _ = write!(out, " {:#x}", n.low());
        }
        out.push_str(" (bottom)\n");
    }
    if c.mirrors != 0 {
        let _ = writeln!(out, " continuation.mirrors={:#x}", c.mirrors);
    }
    if c.conntracked {
        out.push_str(" continuation.conntracked=true\n");
    }
    if let Some(t) = c.table {
        let _ = writeln!(out, " continuation.table_id={}", t.0);
    }
    if let Some(cookie) = c.cookie {
        let _ = writeln!(out, " continuation.cookie=0x{cookie:x}");
    }
    for (name, list) in [("actions", &c.actions), ("action_set", &c.action_set)] {
        if !list.is_empty() {
            let _ = write!(out, " continuation.{name}=");
            action::text::format(out, style, list);
            out.push('\n');
        }
    }
    if let Some(p) = c.odp_port {
        let _ = writeln!(out, " continuation.odp_port={p}");
    }
}

/// A packet: what it is, and from verbosity 3 on its bytes.
fn put_data(out: &mut String, style: &Style<'_>, packet: &[u8], verbosity: u32) {
    if verbosity > 0 {
        put_packet(out, style, packet);
    }
    if verbosity > 2 {
        super::hex_dump(out, packet, 0, false);
    }
}

/// One line that says what a packet is: all of its fields.
pub fn put_packet(out: &mut String, style: &Style<'_>, packet: &[u8]) {
    let mut meta = flow::Metadata::default();
    meta.key.set_packet_type(flow::PacketType::ETHERNET);
    let key = flow::extract(packet, &meta);
    format_match(out, style, &flow::match_of_packet(&key), 0x8000);
    let is_tcp = key.nw_proto() == 6 && matches!(key.eth_type(), 0x0800 | 0x86dd);
    if is_tcp || key.nw_proto() == 17 || key.nw_proto() == 132 || key.nw_proto() == 1 || key.nw_proto() == 58 {
        put_checksum(out, packet, &key);
    }
    out.push('\n');
}

fn put_checksum(out: &mut String, packet: &[u8], key: &flow::FlowKey) {
    let mut copy = flow::FlowKey::new();
    let layers = flow::extract_into(packet, &mut copy, 2);
    let Some(l4) = layers.l4 else { return };
    let (at, name) = match key.nw_proto() {
        6 => (16, "tcp_csum"),
        17 => (6, "udp_csum"),
        132 => (8, "sctp_csum"),
        1 => (2, "icmp_csum"),
        _ => (2, "icmp6_csum"),
    };
    let at = usize::from(l4) + at;
    let end = packet.len() - usize::from(layers.l2_pad).min(packet.len());
    if name == "sctp_csum" {
        if let Some(b) = packet.get(at..at + 4).filter(|_| at + 4 <= end) {
            let _ = write!(out, " {name}:{:x}", u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        }
    } else if let Some(b) = packet.get(at..at + 2).filter(|_| at + 2 <= end) {
        let _ = write!(out, " {name}:{:x}", u16::from_be_bytes([b[0], b[1]]));
    }
}

fn put_packet_out(out: &mut String, style: &Style<'_>, p: &PacketOut, verbosity: u32) {
    out.push(' ');
    let m = p.metadata.expand();
    format_match(out, style, &m, 0x8000);
    out.push_str(" actions=");
    action::text::format(out, style, &p.actions);
    if p.buffer_id == NO_BUFFER {
        let _ = write!(out, " data_len={}", p.packet.len());
        out.push('\n');
        if !p.packet.is_empty() {
            put_data(out, style, &p.packet, verbosity);
        }
    } else {
        let _ = write!(out, " buffer=0x{:08x}", p.buffer_id);
    }
}
