//! Messages as `ovs-ofctl ofp-print` prints them.

mod control;
mod flows;
mod groups;
mod ports;
mod tables;

pub use control::{format_async, format_tlv_table};
pub use flows::{format_flow_mod, format_flow_stats, format_flow_stats_brief, put_packet};
pub use groups::{format_bucket, format_group, format_group_mod, format_meter};
pub use ports::format_port;
pub use tables::format_features_list;

use std::fmt::Write;

use flow::text::Style;
use flow::text::number::{put_dec, put_dec_padded, put_hex};

use crate::codec::Options;
use crate::codec::types::{Family, identify, identify_start};
use crate::error::ErrorMsg;
use crate::message::Message;
use crate::version::Version;

/// Prints a whole message. `verbosity` is the number of `-m` options; from 1 on, packets are printed in full.
pub fn format_message(data: &[u8], verbosity: u32, style: &Style<'_>) -> String {
    let mut out = String::new();
    put_message(&mut out, data, verbosity, style);
    out
}

/// Appends a whole message.
pub fn put_message(out: &mut String, data: &[u8], verbosity: u32, style: &Style<'_>) {
    if data.is_empty() {
        out.push_str("OpenFlow message is empty\n");
        return;
    }
    let Some(head) = data.first_chunk::<8>() else {
        let _ = writeln!(out, "OpenFlow packet too short (only {} bytes):", data.len());
        hex_dump(out, data, 0, true);
        return;
    };
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if len > data.len() {
        put_name(out, data, true);
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        let _ = writeln!(out, "(***truncated to {} bytes from {len}***)", data.len());
        hex_dump(out, data, 0, true);
        return;
    }
    if len < data.len() {
        let _ = writeln!(out, "(***only uses {len} bytes out of {}***)", data.len());
        hex_dump(out, data, 0, true);
        return;
    }
    put_name(out, data, false);
    // The high byte of a Nicira or OpenFlow 1.0 flow_mod's command can be a table.
    let o = Options { table_id: true, debug_actions: false };
    match Message::decode_with(data, o) {
        Ok((version, _, m)) => {
            put_body(out, &m, version, verbosity, style, data);
            if !out.ends_with('\n') {
                out.push('\n');
            }
            if verbosity > 4 {
                hex_dump(out, data, 0, true);
            }
        }
        Err(crate::Error::BundleFailedBadType) if control::put_bundle_control_raw(out, data) => {}
        Err(_) if is_bundle_add(data) && control::put_bundle_add(out, data, style) => {}
        Err(e) => {
            let unknown = Version::from_wire(data[0]).is_none() && e == crate::Error::BadRequestBadVersion;
            let e = if unknown { crate::Error::BadRequestBadType } else { e };
            // What could be read of a list of flows is shown.
            let flows = crate::codec::messages::readable_flows(data, o).unwrap_or_default();
            for fs in &flows {
                out.push_str("\n ");
                format_flow_stats(out, style, fs, true);
            }
            if !flows.is_empty() {
                out.push('\n');
            }
            let _ = writeln!(out, "{}***decode error: {e}***", if out.ends_with(':') { " " } else { "" });
            hex_dump(out, data, 0, true);
        }
    }
}

/// Whether this is a message that joins a bundle.
fn is_bundle_add(data: &[u8]) -> bool {
    let name = crate::codec::types::name_of(data);
    matches!(name, Some("OFPT_BUNDLE_ADD_MESSAGE" | "ONFT_BUNDLE_ADD_MESSAGE"))
}

/// `NAME (OF1.3) (xid=0x5):`.
fn put_name(out: &mut String, data: &[u8], cut: bool) {
    let byte = data.first().copied().unwrap_or(0);
    let xid = data.get(4..8).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let ty = data.get(1).copied().unwrap_or(0xff);
    let version = Version::from_wire(byte);
    let short_error = !cut && ty == 1 && data.len() < 12;
    if byte != 0 && (ty == 0 || (version.is_none() && ty < 4 && !short_error)) {
        // Types that have the same number in all versions.
        out.push_str(["OFPT_HELLO", "OFPT_ERROR", "OFPT_ECHO_REQUEST", "OFPT_ECHO_REPLY"][usize::from(ty)]);
        put_version(out, byte);
        put_xid(out, xid);
        return;
    }
    let found = version.and_then(|v| if cut { identify_start(v, data) } else { identify(v, data) }.ok());
    let Some(id) = found else { return };
    let Some(row) = id.row else { return };
    out.push_str(row.name);
    put_version(out, byte);
    put_xid(out, xid);
    let stat = matches!(id.family, Family::Stat | Family::NiciraStat | Family::OnfStat);
    if stat && id.flags != 0 && !cut {
        out.push_str(" flags=");
        // Requests of several parts came with OpenFlow 1.3.
        let more = if id.reply || byte >= 4 { id.flags & 1 } else { 0 };
        if more != 0 {
            out.push_str("[more]");
        }
        if id.flags != more {
            let _ = write!(out, "[***unknown flags {:#06x}***]", id.flags & !more);
        }
    }
}

fn put_xid(out: &mut String, xid: u32) {
    out.push_str(" (xid=");
    put_hex(out, u128::from(xid), 0);
    out.push_str("):");
}

fn put_version(out: &mut String, byte: u8) {
    match byte {
        1 => {}
        2..=6 => {
            out.push_str(" (OF1.");
            put_dec(out, u64::from(byte - 1));
            out.push(')');
        }
        n => {
            let _ = write!(out, " (OF {n:#04x})");
        }
    }
}

/// Appends bytes as a dump: offset, 16 bytes, and (if `ascii`) the characters.
pub fn hex_dump(out: &mut String, data: &[u8], base: usize, ascii: bool) {
    for (i, line) in data.chunks(16).enumerate() {
        let _ = write!(out, "{:08x} ", base + 16 * i);
        for n in 0..16 {
            match line.get(n) {
                Some(b) => {
                    let _ = write!(out, "{}{b:02x}", if n == 8 { '-' } else { ' ' });
                }
                None if ascii => out.push_str("   "),
                None => {}
            }
        }
        if line.len() == 8 && ascii {
            // A dash stands after eight bytes even where nothing follows.
            let at = out.len() - 24;
            out.replace_range(at..at + 1, "-");
        }
        if ascii {
            out.push_str(" |");
            for n in 0..16 {
                out.push(match line.get(n) {
                    Some(b) if (0x20..0x7f).contains(b) => *b as char,
                    Some(_) => '.',
                    None => ' ',
                });
            }
            out.push('|');
        }
        out.push('\n');
    }
}

fn put_body(out: &mut String, m: &Message, v: Version, verbosity: u32, style: &Style<'_>, data: &[u8]) {
    match m {
        Message::Error(e) => put_error(out, e, verbosity, style, data),
        Message::EchoRequest(d) | Message::EchoReply(d) => {
            let _ = writeln!(out, " {} bytes of payload", d.len());
            if verbosity > 1 || !d.is_empty() {
                hex_dump(out, d, 0, true);
            }
        }
        Message::FlowMod(_)
        | Message::FlowRemoved(_)
        | Message::FlowStatsRequest(_)
        | Message::AggregateRequest(_)
        | Message::FlowStatsReply(_)
        | Message::AggregateReply(_)
        | Message::FlowMonitorRequest(_)
        | Message::FlowMonitorReply(_)
        | Message::PacketIn(_)
        | Message::PacketOut(_)
        | Message::Resume(_) => flows::put(out, m, v, verbosity, style),
        Message::PortStatus(_)
        | Message::PortMod(_)
        | Message::PortDescReply(_)
        | Message::PortDescRequest(_)
        | Message::PortStatsRequest(_)
        | Message::PortStatsReply(_)
        | Message::QueueStatsRequest(_)
        | Message::QueueStatsReply(_)
        | Message::QueueGetConfigRequest(_)
        | Message::QueueGetConfigReply(_)
        | Message::QueueDescRequest(_)
        | Message::QueueDescReply(_) => ports::put(out, m, v, verbosity, style),
        Message::GroupMod(_)
        | Message::GroupStatsRequest(_)
        | Message::GroupStatsReply(_)
        | Message::GroupDescRequest(_)
        | Message::GroupDescReply(_)
        | Message::GroupFeaturesReply(_)
        | Message::MeterMod(_)
        | Message::MeterStatsRequest(_)
        | Message::MeterStatsReply(_)
        | Message::MeterConfigRequest(_)
        | Message::MeterConfigReply(_)
        | Message::MeterFeaturesReply(_) => groups::put(out, m, v, style),
        Message::TableMod(_)
        | Message::TableStatus(_)
        | Message::TableDescReply(_)
        | Message::TableStatsReply(_)
        | Message::TableFeaturesRequest(_)
        | Message::TableFeaturesReply(_) => tables::put(out, m, v, style),
        _ => control::put(out, m, v, verbosity, style, data),
    }
}

fn put_error(out: &mut String, e: &ErrorMsg, verbosity: u32, style: &Style<'_>, data: &[u8]) {
    match e.error {
        None => {
            out.push_str(" ***decode error: OFPBRC_BAD_LEN***\n");
            hex_dump(out, data, 0, true);
        }
        Some(error) => {
            let _ = writeln!(out, " {error}");
            let text = matches!(error, crate::Error::HelloFailedIncompatible | crate::Error::HelloFailedEperm);
            if text {
                put_ascii(out, &e.data);
                out.push('\n');
            } else {
                let mut inner = String::new();
                put_quoted_request(&mut inner, &e.data, verbosity, style);
                out.push_str(&inner);
            }
        }
    }
}

/// The request that an error is about: it may be cut.
fn put_quoted_request(out: &mut String, data: &[u8], verbosity: u32, style: &Style<'_>) {
    put_message(out, data, verbosity, style);
}

/// Text in the form of a C string: octal for what is not printable.
fn put_ascii(out: &mut String, data: &[u8]) {
    for b in data {
        match b {
            0x20..0x7f if !matches!(*b, b'\\' | b'"') => out.push(*b as char),
            _ => {
                let _ = write!(out, "\\{b:03o}");
            }
        }
    }
}

/// Appends seconds with as many decimals as needed, at least three: `5.250`.
pub fn put_duration(out: &mut String, sec: u32, nsec: u32) {
    put_dec(out, u64::from(sec));
    // Three decimals where that is exact, else as many as it takes.
    if nsec == 0 {
        return;
    }
    out.push('.');
    if nsec.is_multiple_of(1_000_000) {
        put_dec_padded(out, u64::from(nsec / 1_000_000), 3);
        return;
    }
    let (mut digits, mut rest) = (9, nsec);
    while rest.is_multiple_of(10) {
        rest /= 10;
        digits -= 1;
    }
    put_dec_padded(out, u64::from(rest), digits);
}
