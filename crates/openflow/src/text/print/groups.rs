//! Groups and meters.

use std::fmt::Write;

use flow::OfPort;
use flow::text::{Style, format_value, put_port};

use super::put_duration;
use crate::action;
use crate::message::*;
use crate::version::{GroupId, MeterId, Version};

pub(super) fn put(out: &mut String, m: &Message, v: Version, style: &Style<'_>) {
    match m {
        Message::GroupMod(gm) => {
            out.push('\n');
            format_group_mod(out, style, gm, v);
        }
        Message::GroupStatsRequest(g) => {
            out.push_str(" group_id=");
            put_group_id(out, *g);
        }
        Message::GroupDescRequest(g) => {
            out.push_str(" group_id=");
            put_group_id(out, *g);
        }
        Message::GroupStatsReply(x) => {
            for s in &x.entries {
                put_stats(out, s);
            }
        }
        Message::GroupDescReply(x) => {
            for d in &x.entries {
                out.push_str("\n ");
                format_group(out, style, d, v);
            }
        }
        Message::GroupFeaturesReply(x) => put_features(out, x, v),
        Message::MeterMod(x) => {
            out.push_str(match x.command {
                MeterCommand::Add => " ADD ",
                MeterCommand::Modify => " MOD ",
                MeterCommand::Delete => " DEL ",
            });
            format_meter(out, &x.meter);
        }
        Message::MeterStatsRequest(n) | Message::MeterConfigRequest(n) => {
            out.push(' ');
            put_meter_id(out, *n, '=');
        }
        Message::MeterStatsReply(x) => {
            for s in &x.entries {
                put_meter_stats(out, s);
            }
        }
        Message::MeterConfigReply(x) => {
            for c in &x.entries {
                out.push('\n');
                format_meter(out, c);
            }
        }
        Message::MeterFeaturesReply(x) => put_meter_features(out, x),
        _ => {}
    }
}

fn put_group_id(out: &mut String, g: GroupId) {
    match g {
        GroupId::ALL => out.push_str("ALL"),
        GroupId::ANY => out.push_str("ANY"),
        GroupId(n) => {
            let _ = write!(out, "{n}");
        }
    }
}

/// Appends a group_mod.
pub fn format_group_mod(out: &mut String, style: &Style<'_>, gm: &GroupMod, v: Version) {
    let bucket_command = matches!(gm.command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket);
    out.push(' ');
    out.push_str(match gm.command {
        GroupCommand::Add => "ADD",
        GroupCommand::Modify => "MOD",
        GroupCommand::AddOrMod => "ADD_OR_MOD",
        GroupCommand::Delete => "DEL",
        GroupCommand::InsertBucket => "INSERT_BUCKET",
        GroupCommand::RemoveBucket => "REMOVE_BUCKET",
    });
    out.push(' ');
    if bucket_command && matches!(v, Version::V10 | Version::V15) {
        out.push_str("command_bucket_id:");
        match gm.bucket_id {
            BUCKET_ALL => out.push_str("all"),
            BUCKET_FIRST => out.push_str("first"),
            BUCKET_LAST => out.push_str("last"),
            n => {
                let _ = write!(out, "{n}");
            }
        }
        out.push(',');
    }
    let d = GroupDesc { ty: gm.ty, group: gm.group, buckets: gm.buckets.clone(), props: gm.props.clone() };
    put_group(out, style, &d, v, bucket_command);
}

/// Appends a group.
pub fn format_group(out: &mut String, style: &Style<'_>, d: &GroupDesc, v: Version) {
    put_group(out, style, d, v, false);
}

fn put_group(out: &mut String, style: &Style<'_>, d: &GroupDesc, v: Version, without_type: bool) {
    let _ = write!(out, "group_id={}", d.group.0);
    if !without_type {
        let _ = write!(out, ",type={}", d.ty.name());
    }
    if !d.props.selection_method.is_empty() {
        let _ = write!(out, ",selection_method={}", d.props.selection_method);
        if d.props.selection_param != 0 {
            let _ = write!(out, ",selection_method_param={}", d.props.selection_param);
        }
        put_selection_fields(out, style, &d.props);
    }
    for b in &d.buckets {
        out.push_str(",bucket=");
        format_bucket(out, style, b, d.ty, v);
    }
}

fn put_selection_fields(out: &mut String, style: &Style<'_>, p: &GroupProps) {
    if p.fields.is_empty() {
        return;
    }
    if let [(f, mask)] = &p.fields[..] {
        let _ = write!(out, ",fields={}", f.name());
        put_selection_mask(out, style, *f, mask);
        return;
    }
    out.push_str(",fields(");
    for (i, (f, mask)) in p.fields.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(f.name());
        put_selection_mask(out, style, *f, mask);
    }
    out.push(')');
}

fn put_selection_mask(out: &mut String, style: &Style<'_>, f: flow::Field, mask: &flow::FieldValue) {
    let full = match mask {
        flow::FieldValue::Int(m) => *m == f.byte_mask() || *m == action::fields::field_bits(f),
        flow::FieldValue::Wide(b) => b.iter().all(|x| *x == 0xff),
    };
    if !full {
        out.push('=');
        format_value(out, style, f, mask, None);
    }
}

/// Appends a bucket, without the keyword.
pub fn format_bucket(out: &mut String, style: &Style<'_>, b: &Bucket, ty: GroupType, v: Version) {
    if b.id <= BUCKET_MAX && (v >= Version::V15 || v == Version::V10) {
        let _ = write!(out, "bucket_id:{},", b.id);
    }
    let default = u16::from(ty == GroupType::Select);
    if b.weight != default {
        let _ = write!(out, "weight:{},", b.weight);
    }
    if b.watch_port != OfPort::ANY {
        out.push_str("watch_port:");
        put_port(out, style, b.watch_port);
        out.push(',');
    }
    if b.watch_group != GroupId::ANY {
        let _ = write!(out, "watch_group:{},", b.watch_group.0);
    }
    out.push_str("actions=");
    action::text::format(out, style, &b.actions);
}

fn put_stats(out: &mut String, s: &GroupStats) {
    let _ = write!(out, "\n group_id={},", s.group.0);
    if let Some(d) = s.duration {
        out.push_str("duration=");
        put_duration(out, d.sec, d.nsec);
        out.push_str("s,");
    }
    let _ = write!(out, "ref_count={},packet_count={},byte_count={}", s.ref_count, s.packets, s.bytes);
    for (i, (packets, bytes)) in s.buckets.iter().enumerate() {
        if *packets != u64::MAX {
            let _ = write!(out, ",bucket{i}:packet_count={packets},byte_count={bytes}");
        }
    }
}

fn put_features(out: &mut String, x: &GroupFeatures, v: Version) {
    let _ = write!(out, "\n Group table:\n    Types:  {:#x}\n    Capabilities:  {:#x}\n", x.types, x.capabilities);
    let names = ["all", "select", "indirect", "fast failover"];
    for (i, name) in names.iter().enumerate() {
        if x.types >> i & 1 == 0 {
            continue;
        }
        let _ = writeln!(out, "    {name} group:");
        let _ = writeln!(out, "       max_groups={:#x}", x.max_groups[i]);
        out.push_str("       actions: ");
        let start = out.len();
        super::tables::put_action_names(out, u64::from(x.actions[i] & !MOVE), v);
        if out[start..] == *"(none)" {
            out.truncate(start);
            out.push_str("<none>");
        }
        out.push('\n');
    }
}

/// The bit that lists of actions have for moves, which no version's map has.
const MOVE: u32 = 1 << 28;

fn put_meter_id(out: &mut String, m: MeterId, separator: char) {
    let named = [MeterId::SLOWPATH, MeterId::CONTROLLER, MeterId::ALL].contains(&m);
    if m.0 > MeterId::MAX.0 && !named {
        let _ = write!(out, "meter{separator}unknown");
    } else {
        let _ = write!(out, "meter{separator}{m}");
    }
}

/// Appends a meter: a line, and one for each band.
pub fn format_meter(out: &mut String, c: &MeterConfig) {
    put_meter_id(out, c.meter, '=');
    out.push(' ');
    for (bit, name) in [(MF_KBPS, "kbps "), (MF_PKTPS, "pktps "), (MF_BURST, "burst "), (MF_STATS, "stats ")] {
        if c.flags & bit != 0 {
            out.push_str(name);
        }
    }
    if c.flags & !15 != 0 {
        let _ = write!(out, "flags:{:#x} ", c.flags & !15);
    }
    out.push_str("bands=");
    for b in &c.bands {
        let name = match b.ty {
            BandType::Drop => "drop",
            BandType::DscpRemark(_) => "dscp_remark",
        };
        let _ = write!(out, "\ntype={name} rate={}", b.rate);
        if c.flags & MF_BURST != 0 {
            let _ = write!(out, " burst_size={}", b.burst);
        }
        if let BandType::DscpRemark(n) = b.ty {
            let _ = write!(out, " prec_level={n}");
        }
    }
    out.push('\n');
}

fn put_meter_stats(out: &mut String, s: &MeterStats) {
    out.push('\n');
    put_meter_id(out, s.meter, ':');
    let _ = write!(out, " flow_count:{} packet_in_count:{} byte_in_count:{}", s.flows, s.packets_in, s.bytes_in);
    out.push_str(" duration:");
    put_duration(out, s.duration.sec, s.duration.nsec);
    out.push_str("s bands:\n");
    for (i, (packets, bytes)) in s.bands.iter().enumerate() {
        let _ = writeln!(out, "{i}: packet_count:{packets} byte_count:{bytes}");
    }
}

fn put_meter_features(out: &mut String, x: &MeterFeatures) {
    let _ = writeln!(out, "\nmax_meter:{} max_bands:{} max_color:{}", x.max_meters, x.max_bands, x.max_color);
    let words = |bits: u32, names: &[(u32, &str)]| {
        let unknown = names.iter().fold(bits, |rest, n| rest & !n.0);
        let mut list: Vec<String> = names.iter().filter(|n| bits & n.0 != 0).map(|n| n.1.to_string()).collect();
        if unknown != 0 {
            list.push(format!("{unknown:#x}"));
        }
        if list.is_empty() { "0".to_string() } else { list.join(" ") }
    };
    let _ = writeln!(out, "band_types: {}", words(x.band_types, &[(2, "drop"), (4, "dscp_remark")]));
    let _ = writeln!(
        out,
        "capabilities: {}",
        words(x.capabilities, &[(1, "kbps"), (2, "pktps"), (4, "burst"), (8, "stats")])
    );
}
