//! Ports and queues.

use std::fmt::Write;

use flow::OfPort;
use flow::text::{Style, put_port};

use super::put_duration;
use crate::message::*;
use crate::version::Version;

pub(super) fn put(out: &mut String, m: &Message, v: Version, verbosity: u32, style: &Style<'_>) {
    match m {
        Message::PortStatus(s) => {
            out.push_str(match s.reason {
                PortReason::Add => " ADD:",
                PortReason::Delete => " DEL:",
                PortReason::Modify => " MOD:",
            });
            format_port(out, &s.desc);
        }
        Message::PortMod(x) => put_port_mod(out, style, x),
        Message::PortDescRequest(p) | Message::PortStatsRequest(p) => {
            let name = if matches!(m, Message::PortStatsRequest(_)) { " port_no=" } else { " port=" };
            out.push_str(name);
            put_port(out, style, *p);
        }
        Message::PortDescReply(x) => {
            out.push('\n');
            put_sorted(out, &x.entries);
        }
        Message::PortStatsReply(x) => put_stats(out, style, x, verbosity),
        Message::QueueStatsRequest(q) => {
            out.push_str(" port=");
            put_port_or_all(out, style, q.port);
            out.push_str(" queue=");
            put_queue(out, q.queue);
        }
        Message::QueueStatsReply(x) => {
            let _ = writeln!(out, " {} queues", x.entries.len());
            for s in &x.entries {
                put_queue_stats(out, style, s);
            }
        }
        Message::QueueGetConfigRequest(q) | Message::QueueDescRequest(q) => {
            out.push_str(" port=");
            put_port(out, style, q.port);
            if v >= Version::V14 && q.queue != QUEUE_ALL {
                let _ = write!(out, " queue={}", q.queue);
            }
        }
        Message::QueueGetConfigReply(x) => put_queue_config(out, style, &x.queues, Some(x.port)),
        Message::QueueDescReply(x) => put_queue_config(out, style, &x.entries, None),
        _ => {}
    }
}

fn put_port_or_all(out: &mut String, style: &Style<'_>, p: OfPort) {
    if p == OfPort::ANY {
        out.push_str("ANY");
    } else {
        put_port(out, style, p);
    }
}

fn put_queue(out: &mut String, queue: u32) {
    if queue == QUEUE_ALL {
        out.push_str("ALL");
    } else {
        let _ = write!(out, "{queue}");
    }
}

/// Names of bits, joined with spaces; `0` for none.
fn put_bits(out: &mut String, mut bits: u32, names: &[(u32, &str)]) {
    if bits == 0 {
        out.push_str("0\n");
        return;
    }
    let start = out.len();
    for (bit, name) in names {
        if bits & bit != 0 {
            if out.len() > start {
                out.push(' ');
            }
            out.push_str(name);
            bits &= !bit;
        }
    }
    if bits != 0 {
        if out.len() > start {
            out.push(' ');
        }
        let _ = write!(out, "{bits:#x}");
    }
    out.push('\n');
}

const CONFIG: [(u32, &str); 7] = [
    (PC_PORT_DOWN, "PORT_DOWN"),
    (PC_NO_STP, "NO_STP"),
    (PC_NO_RECV, "NO_RECV"),
    (PC_NO_RECV_STP, "NO_RECV_STP"),
    (PC_NO_FLOOD, "NO_FLOOD"),
    (PC_NO_FWD, "NO_FWD"),
    (PC_NO_PACKET_IN, "NO_PACKET_IN"),
];

const FEATURES: [(u32, &str); 16] = [
    (feature::HD_10M, "10MB-HD"),
    (feature::FD_10M, "10MB-FD"),
    (feature::HD_100M, "100MB-HD"),
    (feature::FD_100M, "100MB-FD"),
    (feature::HD_1G, "1GB-HD"),
    (feature::FD_1G, "1GB-FD"),
    (feature::FD_10G, "10GB-FD"),
    (feature::FD_40G, "40GB-FD"),
    (feature::FD_100G, "100GB-FD"),
    (feature::FD_1T, "1TB-FD"),
    (feature::OTHER, "OTHER"),
    (feature::COPPER, "COPPER"),
    (feature::FIBER, "FIBER"),
    (feature::AUTONEG, "AUTO_NEG"),
    (feature::PAUSE, "AUTO_PAUSE"),
    (feature::PAUSE_ASYM, "AUTO_PAUSE_ASYM"),
];

fn put_state(out: &mut String, state: u32) {
    let stp = ["STP_LISTEN", "STP_LEARN", "STP_FORWARD", "STP_BLOCK"];
    let names = [(PS_LINK_DOWN, "LINK_DOWN"), (PS_BLOCKED, "BLOCKED"), (PS_LIVE, "LIVE")];
    let mut rest = state;
    let mut words: Vec<String> = Vec::new();
    for (bit, name) in names {
        if rest & bit != 0 {
            words.push(name.to_string());
            rest &= !bit;
        }
    }
    if rest & PS_STP_MASK != 0 {
        words.push(stp[(rest >> PS_STP_SHIFT & 3) as usize].to_string());
        rest &= !PS_STP_MASK;
    }
    if rest != 0 {
        words.push(format!("{rest:#x}"));
    }
    let _ = writeln!(out, "{}", if words.is_empty() { "0".to_string() } else { words.join(" ") });
}

/// Appends ports in the order of their numbers.
pub(super) fn put_sorted(out: &mut String, ports: &[PortDesc]) {
    let mut sorted: Vec<&PortDesc> = ports.iter().collect();
    sorted.sort_by_key(|p| p.port);
    for p in sorted {
        format_port(out, p);
    }
}

/// Appends a port's description: several lines, each ended.
pub fn format_port(out: &mut String, p: &PortDesc) {
    out.push(' ');
    match p.port.reserved_name() {
        Some(name) => out.push_str(name),
        None => {
            let _ = write!(out, "{}", p.port.0);
        }
    }
    // The name ends where it stops being printable.
    let name: String = p.name.chars().take_while(|c| c.is_ascii_graphic() || *c == ' ').collect();
    let _ = writeln!(out, "({name}): addr:{}", p.hw_addr);
    out.push_str("     config:     ");
    put_bits(out, p.config, &CONFIG);
    out.push_str("     state:      ");
    put_state(out, p.state);
    for (name, bits) in [
        ("     current:    ", p.curr),
        ("     advertised: ", p.advertised),
        ("     supported:  ", p.supported),
        ("     peer:       ", p.peer),
    ] {
        if bits != 0 {
            out.push_str(name);
            put_bits(out, bits, &FEATURES);
        }
    }
    let _ = writeln!(out, "     speed: {} Mbps now, {} Mbps max", p.curr_speed / 1000, p.max_speed / 1000);
}

fn put_port_mod(out: &mut String, style: &Style<'_>, x: &PortMod) {
    out.push_str(" port: ");
    put_port(out, style, x.port);
    out.push_str(": addr:");
    let _ = writeln!(out, "{}", x.hw_addr);
    out.push_str("     config: ");
    put_bits(out, x.config, &CONFIG);
    out.push_str("     mask:   ");
    put_bits(out, x.mask, &CONFIG);
    out.push_str("     advertise: ");
    if x.advertise == 0 {
        out.push_str("UNCHANGED\n");
    } else {
        put_bits(out, x.advertise, &FEATURES);
    }
}

fn put_counter(out: &mut String, name: &str, n: u64, last: bool) {
    out.push_str(name);
    if n == u64::MAX {
        out.push('?');
    } else {
        let _ = write!(out, "{n}");
    }
    out.push_str(if last { "\n" } else { ", " });
}

fn put_stats(out: &mut String, style: &Style<'_>, x: &Multipart<PortStats>, _verbosity: u32) {
    let _ = writeln!(out, " {} ports", x.entries.len());
    for s in &x.entries {
        out.push_str("  port ");
        let at = out.len();
        put_port(out, style, s.port);
        let width = out.len() - at;
        if width < 2 {
            out.insert(at, ' ');
        }
        out.push_str(": ");
        put_counter(out, "rx pkts=", s.rx_packets, false);
        put_counter(out, "bytes=", s.rx_bytes, false);
        put_counter(out, "drop=", s.rx_dropped, false);
        put_counter(out, "errs=", s.rx_errors, false);
        put_counter(out, "frame=", s.rx_frame_err, false);
        put_counter(out, "over=", s.rx_over_err, false);
        put_counter(out, "crc=", s.rx_crc_err, true);
        put_counter(out, "           tx pkts=", s.tx_packets, false);
        put_counter(out, "bytes=", s.tx_bytes, false);
        put_counter(out, "drop=", s.tx_dropped, false);
        put_counter(out, "errs=", s.tx_errors, false);
        put_counter(out, "coll=", s.collisions, true);
        if let Some(d) = s.duration {
            out.push_str("           duration=");
            put_duration(out, d.sec, d.nsec);
            out.push_str("s\n");
        }
        if let Some(r) = &s.rfc2819 {
            put_rfc2819(out, r);
        }
        if !s.custom.is_empty() {
            put_custom(out, &s.custom);
        }
    }
}

fn put_custom(out: &mut String, list: &[(String, u64)]) {
    out.push_str("           CUSTOM Statistics");
    let mut n = 0;
    for (name, value) in list {
        if *value == u64::MAX {
            continue;
        }
        if n % 3 == 0 {
            while out.ends_with(' ') {
                out.pop();
            }
            out.push_str("\n                      ");
        }
        n += 1;
        let _ = write!(out, "{name}={value}, ");
    }
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
}

fn put_rfc2819(out: &mut String, r: &Rfc2819) {
    const SIZES: [&str; 7] =
        ["1_to_64", "65_to_127", "128_to_255", "256_to_511", "512_to_1023", "1024_to_1522", "1523_to_max"];
    let sizes = |list: [u64; 7]| SIZES.iter().zip(list).map(|(n, v)| (format!("{n}_packets"), v)).collect::<Vec<_>>();
    let mut section = |title: &str, list: Vec<(String, u64)>| {
        // What is not known is all ones.
        let known: Vec<String> =
            list.iter().filter(|x| x.1 != u64::MAX).map(|x| format!("{}={}, ", x.0, x.1)).collect();
        if !known.is_empty() {
            let _ = writeln!(out, "           {title} {}", known.concat());
        }
    };
    let mut rx = sizes(r.rx_sizes);
    rx.push(("broadcast_packets".into(), r.rx_broadcast));
    rx.push(("undersized_errors".into(), r.rx_undersized));
    rx.push(("oversize_errors".into(), r.rx_oversize));
    rx.push(("rx_fragmented_errors".into(), r.rx_fragmented));
    rx.push(("rx_jabber_errors".into(), r.rx_jabber));
    let mut tx = sizes(r.tx_sizes);
    tx.push(("multicast_packets".into(), r.tx_multicast));
    tx.push(("broadcast_packets".into(), r.tx_broadcast));
    section("rx rfc2819", rx);
    section("tx rfc2819", tx);
}

fn put_queue_stats(out: &mut String, style: &Style<'_>, s: &QueueStats) {
    out.push_str("  port ");
    put_port(out, style, s.port);
    out.push_str(" queue ");
    put_queue(out, s.queue);
    out.push_str(": ");
    put_counter(out, "bytes=", s.tx_bytes, false);
    put_counter(out, "pkts=", s.tx_packets, false);
    put_counter(out, "errors=", s.tx_errors, false);
    out.push_str("duration=");
    match s.duration {
        Some(d) => {
            put_duration(out, d.sec, d.nsec);
            out.push('s');
        }
        None => out.push('?'),
    }
    out.push('\n');
}

fn put_queue_config(out: &mut String, style: &Style<'_>, list: &[QueueDesc], of: Option<OfPort>) {
    if list.is_empty() {
        return;
    }
    out.push(' ');
    let mut last = Some(OfPort(0));
    if let Some(port) = of.filter(|p| p.0 != 0) {
        out.push_str("port=");
        put_port(out, style, port);
        out.push('\n');
        last = Some(port);
    }
    let mut sorted: Vec<&QueueDesc> = list.iter().collect();
    sorted.sort_by_key(|q| (q.port, q.queue));
    for q in sorted {
        if last != Some(q.port) {
            last = Some(q.port);
            out.push_str("port=");
            put_port(out, style, q.port);
            out.push('\n');
        }
        let _ = write!(out, "queue {}:", q.queue);
        for (name, n) in [(" min_rate:", q.min_rate), (" max_rate:", q.max_rate)] {
            if let Some(n) = n {
                let _ = write!(out, "{name}{}.{}%", n / 10, n % 10);
            }
        }
        out.push('\n');
    }
}
