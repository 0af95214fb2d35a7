//! Session messages.

use std::fmt::Write;

use flow::text::Style;

use crate::message::*;
use crate::version::Version;

pub(super) fn put(out: &mut String, m: &Message, v: Version, _verbosity: u32, style: &Style<'_>, data: &[u8]) {
    match m {
        Message::Hello(h) => {
            out.push_str("\n version bitmap: ");
            let list: Vec<String> = (0..32).filter(|n| h.versions >> n & 1 != 0).map(|n| format!("{n:#04x}")).collect();
            out.push_str(&list.join(", "));
            put_unknown_in_hello(out, data);
        }
        Message::FeaturesReply(x) => put_features(out, x, v),
        Message::GetConfigReply(c) | Message::SetConfig(c) => put_config(out, *c, v),
        Message::RoleRequest(r) | Message::RoleReply(r) => put_role(out, r),
        Message::RoleStatus(s) => {
            let _ = write!(out, " role={}", role_name(s.role));
            if s.generation_id != u64::MAX {
                let _ = write!(out, " generation_id={}", s.generation_id);
            }
            let reasons = ["primary_request", "configuration_changed", "experimenter_data_changed"];
            let _ = write!(out, " reason={}", reasons.get(usize::from(s.reason)).unwrap_or(&"(unknown)"));
        }
        Message::SetAsync(x) | Message::GetAsyncReply(x) => format_async(out, x, v),
        Message::RequestForward(x) => {
            out.push_str(" reason=");
            match x {
                RequestForward::Group(g) => {
                    out.push_str("group_mod\n");
                    super::format_group_mod(out, style, g, v);
                }
                RequestForward::Meter(m) => {
                    out.push_str("meter_mod");
                    let command = ["ADD", "MOD", "DEL"][m.command as usize];
                    let _ = write!(out, " {command} ");
                    super::format_meter(out, &m.meter);
                }
            }
        }
        Message::BundleControl(x) => put_bundle_control(out, x),
        Message::BundleAdd(_) => {
            put_bundle_add(out, data, style);
        }
        Message::SetFlowFormat(n) => {
            out.push_str(" format=");
            match n {
                0 => out.push_str("openflow10"),
                2 => out.push_str("nxm"),
                _ => out.push_str("(unknown)"),
            }
        }
        Message::FlowModTableId(on) => out.push_str(if *on { " enable" } else { " disable" }),
        Message::SetPacketInFormat(x) => {
            out.push_str(" format=");
            out.push_str(match x {
                PacketInFormat::Standard => "standard",
                PacketInFormat::Nxt => "nxt_packet_in",
                PacketInFormat::Nxt2 => "nxt_packet_in2",
            });
        }
        Message::SetControllerId(n) => {
            let _ = write!(out, " id={n}");
        }
        Message::FlowMonitorCancel(n) => {
            let _ = write!(out, " id={n}");
        }
        Message::TlvTableMod(x) => {
            out.push_str(match x.command {
                0 => "\n ADD",
                1 => "\n DEL",
                _ => "\n CLEAR",
            });
            if x.command != 2 {
                out.push_str(
                    " mapping table:\n  class  type  length  match field\n ------  ----  ------  --------------",
                );
                put_maps(out, &x.maps);
            }
        }
        Message::TlvTableReply(x) => format_tlv_table(out, x),
        Message::CtFlushZone(n) => {
            let _ = write!(out, " zone_id={n}");
        }
        Message::CtFlush(x) => put_ct_flush(out, x),
        Message::DescReply(d) => {
            let _ = write!(
                out,
                "\nManufacturer: {}\nHardware: {}\nSoftware: {}\nSerial Num: {}\nDP Description: {}\n",
                d.manufacturer, d.hardware, d.software, d.serial, d.datapath
            );
        }
        Message::IpfixBridgeReply(x) => put_ipfix(out, x, true),
        Message::IpfixFlowReply(x) => {
            let _ = writeln!(out, " {} ids", x.entries.len());
            for e in &x.entries {
                let _ = write!(out, "  id {:2}:", e.collector_set_id);
                put_ipfix_body(out, e);
            }
        }
        _ => {}
    }
}

/// Elements of a hello that nobody knows are shown as bytes.
fn put_unknown_in_hello(out: &mut String, data: &[u8]) {
    let mut rest = data.get(8..).unwrap_or(&[]);
    let mut known = true;
    while rest.len() >= 4 && known {
        let (ty, len) = (u16::from_be_bytes([rest[0], rest[1]]), usize::from(u16::from_be_bytes([rest[2], rest[3]])));
        // A bitmap without a version says nothing that is known.
        let versions = rest.get(4..8).is_some_and(|b| b[..3] != [0; 3] || b[3] > 1);
        known = ty == 1 && len >= 8 && len % 4 == 0 && len <= rest.len() && versions;
        if known {
            rest = rest.get(crate::codec::bytes::round8(len)..).unwrap_or(&[]);
        }
    }
    if !known || !rest.is_empty() {
        out.push_str("\n unknown data in hello:\n");
        super::hex_dump(out, data, 0, true);
    }
}

/// Appends a message that joins a bundle, whether the message inside can be read or not. False if the outer one cannot.
pub(super) fn put_bundle_add(out: &mut String, data: &[u8], style: &Style<'_>) -> bool {
    let at = if data.get(1) == Some(&4) { 16 } else { 8 };
    let Some(h) = data.get(at..at + 8) else { return false };
    let inner = inner_message(data);
    let claimed = inner.get(2..4).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    if claimed != inner.len() {
        return false;
    }
    let version = inner.first().and_then(|b| crate::Version::from_wire(*b));
    let known = version.is_some_and(|v| crate::codec::messages::joins_bundles(v, inner));
    if !known || inner.first() != data.first() || inner.get(4..8) != data.get(4..8) {
        return false;
    }
    out.push_str("\n bundle_id=");
    flow::text::number::put_alt_hex(out, u128::from(u32::from_be_bytes([h[0], h[1], h[2], h[3]])));
    put_bundle_flags(out, u16::from_be_bytes([h[6], h[7]]));
    out.push('\n');
    super::put_message(out, inner, 0, style);
    true
}

/// A bundle control message of an unknown type, which has no name.
pub(super) fn put_bundle_control_raw(out: &mut String, data: &[u8]) -> bool {
    let at = if data.get(1) == Some(&4) { 16 } else { 8 };
    let Some(h) = data.get(at..at + 8) else { return false };
    out.push_str("\n bundle_id=");
    flow::text::number::put_alt_hex(out, u128::from(u32::from_be_bytes([h[0], h[1], h[2], h[3]])));
    out.push_str(" type=");
    put_bundle_flags(out, u16::from_be_bytes([h[6], h[7]]));
    out.push('\n');
    true
}

/// The message inside a bundle add message.
fn inner_message(data: &[u8]) -> &[u8] {
    let at = if data.get(1) == Some(&4) { 24 } else { 16 };
    let rest = data.get(at..).unwrap_or(&[]);
    let len = rest.get(2..4).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    rest.get(..len).unwrap_or(rest)
}

fn put_features(out: &mut String, x: &Features, v: Version) {
    let _ = writeln!(out, " dpid:{:016x}", x.datapath_id);
    let _ = write!(out, "n_tables:{}, n_buffers:{}", x.n_tables, x.n_buffers);
    if x.auxiliary_id != 0 {
        let _ = write!(out, ", auxiliary_id:{}", x.auxiliary_id);
    }
    out.push_str("\ncapabilities: ");
    let names: &[(u32, &str)] = match v {
        Version::V10 => &[
            (CAP_FLOW_STATS, "FLOW_STATS"),
            (CAP_TABLE_STATS, "TABLE_STATS"),
            (CAP_PORT_STATS, "PORT_STATS"),
            (CAP_GROUP_STATS, "STP"),
            (CAP_IP_REASM, "IP_REASM"),
            (CAP_QUEUE_STATS, "QUEUE_STATS"),
            (CAP_ARP_MATCH_IP, "ARP_MATCH_IP"),
        ],
        Version::V11 => &[
            (CAP_FLOW_STATS, "FLOW_STATS"),
            (CAP_TABLE_STATS, "TABLE_STATS"),
            (CAP_PORT_STATS, "PORT_STATS"),
            (CAP_GROUP_STATS, "GROUP_STATS"),
            (CAP_IP_REASM, "IP_REASM"),
            (CAP_QUEUE_STATS, "QUEUE_STATS"),
            (CAP_ARP_MATCH_IP, "ARP_MATCH_IP"),
        ],
        _ => &[
            (CAP_FLOW_STATS, "FLOW_STATS"),
            (CAP_TABLE_STATS, "TABLE_STATS"),
            (CAP_PORT_STATS, "PORT_STATS"),
            (CAP_GROUP_STATS, "GROUP_STATS"),
            (CAP_IP_REASM, "IP_REASM"),
            (CAP_QUEUE_STATS, "QUEUE_STATS"),
            (CAP_PORT_BLOCKED, "PORT_BLOCKED"),
            (CAP_BUNDLES, "BUNDLES"),
            (CAP_FLOW_MONITORING, "FLOW_MONITORING"),
        ],
    };
    // The last two came with OpenFlow 1.4.
    let late = if v < Version::V14 { CAP_BUNDLES | CAP_FLOW_MONITORING } else { 0 };
    let known = names.iter().filter(|n| x.capabilities & !late & n.0 != 0).map(|n| n.1).collect::<Vec<_>>();
    out.push_str(if known.is_empty() { "0" } else { "" });
    out.push_str(&known.join(" "));
    out.push('\n');
    if v == Version::V10 && x.actions & 0xfff != 0 {
        out.push_str("actions: ");
        super::tables::put_action_names(out, u64::from(x.actions), v);
        out.push('\n');
    }
    super::ports::put_sorted(out, &x.ports);
}

/// The name of a way to treat fragments.
fn frags_name(flags: u16) -> &'static str {
    ["normal", "drop", "reassemble", "nx-match"][usize::from(flags & 3)]
}

fn put_config(out: &mut String, c: SwitchConfig, v: Version) {
    let _ = write!(out, " frags={}", frags_name(c.flags));
    if c.flags & 4 != 0 && v < Version::V13 {
        out.push_str(" invalid_ttl_to_controller");
    }
    let _ = write!(out, " miss_send_len={}", c.miss_send_len);
}

fn role_name(r: ControllerRole) -> &'static str {
    match r {
        ControllerRole::NoChange => "nochange",
        ControllerRole::Equal => "equal",
        ControllerRole::Primary => "primary",
        ControllerRole::Secondary => "secondary",
    }
}

fn put_role(out: &mut String, r: &Role) {
    let _ = write!(out, " role={}", role_name(r.role));
    if let Some(id) = r.generation_id {
        let _ = write!(out, " generation_id={id}");
    }
}

/// Appends an asynchronous configuration.
pub fn format_async(out: &mut String, x: &AsyncConfig, v: Version) {
    let rows: [(&str, &[&str]); 6] = [
        (
            "       PACKET_IN:",
            if v >= Version::V14 {
                &["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"]
            } else {
                &["no_match", "action", "invalid_ttl"]
            },
        ),
        ("     PORT_STATUS:", &["add", "delete", "modify"]),
        ("    FLOW_REMOVED:", &["idle", "hard", "delete", "group_delete", "meter_delete", "eviction"]),
        ("     ROLE_STATUS:", &["primary_request", "configuration_changed", "experimenter_data_changed"]),
        ("    TABLE_STATUS:", &["", "", "", "vacancy_down", "vacancy_up"]),
        ("  REQUESTFORWARD:", &["group_mod_request", "meter_mod_request"]),
    ];
    for (i, title) in ["primary", "secondary"].iter().enumerate() {
        let _ = write!(out, "\n {title}:");
        for ((name, reasons), masks) in rows.iter().zip(&x.masks) {
            let _ = write!(out, "\n{name}");
            let mask = masks[i].unwrap_or(0);
            let list: Vec<&str> =
                reasons.iter().enumerate().filter(|(n, _)| mask >> n & 1 != 0).map(|(_, r)| *r).collect();
            if list.is_empty() {
                out.push_str(" (off)");
            }
            for r in list {
                out.push(' ');
                out.push_str(r);
            }
        }
        if i == 0 {
            out.push('\n');
        }
    }
}

fn put_bundle_flags(out: &mut String, flags: u16) {
    out.push_str(" flags=");
    let mut list: Vec<String> = Vec::new();
    for (bit, name) in [(1, "atomic"), (2, "ordered")] {
        if flags & bit != 0 {
            list.push(name.to_string());
        }
    }
    if flags & !3 != 0 || flags == 0 {
        list.push(if flags == 0 { "0".to_string() } else { format!("{:#x}", flags & !3) });
    }
    out.push_str(&list.join(" "));
}

fn put_bundle_control(out: &mut String, x: &BundleControl) {
    let names = [
        "OPEN_REQUEST",
        "OPEN_REPLY",
        "CLOSE_REQUEST",
        "CLOSE_REPLY",
        "COMMIT_REQUEST",
        "COMMIT_REPLY",
        "DISCARD_REQUEST",
        "DISCARD_REPLY",
    ];
    out.push_str("\n bundle_id=");
    flow::text::number::put_alt_hex(out, u128::from(x.id));
    let _ = write!(out, " type={}", names[x.ty as usize]);
    put_bundle_flags(out, x.flags);
}

fn put_maps(out: &mut String, maps: &[TlvMap]) {
    for m in maps {
        let alt = |n: u32| if n == 0 { "0".to_string() } else { format!("{n:#x}") };
        let _ = write!(
            out,
            "\n {:>6}  {:>4}  {:>6}  tun_metadata{}",
            alt(u32::from(m.option_class)),
            alt(u32::from(m.option_type)),
            m.option_len,
            m.index
        );
    }
}

/// Appends a table of tunnel options.
pub fn format_tlv_table(out: &mut String, x: &TlvTableReply) {
    let used: u32 = x.maps.iter().map(|m| u32::from(m.option_len)).sum();
    let _ = write!(
        out,
        "\n max option space={} max fields={}\n allocated option space={used}\n\n mapping table:\n",
        x.max_option_space, x.max_fields
    );
    out.push_str("  class  type  length  match field\n ------  ----  ------  --------------");
    put_maps(out, &x.maps);
}

fn put_ct_flush(out: &mut String, x: &CtFlush) {
    let _ = write!(out, " zone={}", x.zone.unwrap_or(0));
    if let Some((mark, mask)) = x.mark {
        let _ = write!(out, " mark={mark:#x}");
        if mask != u32::MAX {
            let _ = write!(out, "/{mask:#x}");
        }
    }
    if let Some((labels, mask)) = x.labels {
        let _ = write!(out, " labels={labels:#x}");
        if mask != u128::MAX {
            let _ = write!(out, "/{mask:#x}");
        }
    }
    let addresses = [x.original.src, x.original.dst, x.reply.src, x.reply.dst];
    let v4 = addresses.iter().flatten().any(|a| a.to_ipv4_mapped().is_some());
    for (t, proto) in [(&x.original, true), (&x.reply, false)] {
        let family = if v4 { "ct_nw" } else { "ct_ipv6" };
        let address = |a: Option<std::net::Ipv6Addr>| {
            let a = a.unwrap_or(std::net::Ipv6Addr::UNSPECIFIED);
            let v6 = || {
                let mut text = String::new();
                flow::text::value::put_ipv6(&mut text, a.to_bits(), u128::MAX);
                text
            };
            a.to_ipv4_mapped().map_or_else(v6, |a| a.to_string())
        };
        let _ = write!(out, " '{family}_src={},{family}_dst={}", address(t.src), address(t.dst));
        if x.ip_proto == 1 || x.ip_proto == 58 {
            let _ = write!(
                out,
                ",icmp_id={},icmp_type={},icmp_code={}",
                t.icmp_id.unwrap_or(0),
                t.icmp_type.unwrap_or(0),
                t.icmp_code.unwrap_or(0)
            );
        } else {
            let _ = write!(out, ",ct_tp_src={},ct_tp_dst={}", t.src_port.unwrap_or(0), t.dst_port.unwrap_or(0));
        }
        if proto {
            let _ = write!(out, ",ct_nw_proto={}", x.ip_proto);
        }
        out.push('\'');
    }
}

fn put_ipfix_body(out: &mut String, x: &IpfixStats) {
    let _ = writeln!(
        out,
        " flows={}, current flows={}, sampled pkts={}, ipv4 ok={}, ipv6 ok={}, tx pkts={}",
        x.total_flows, x.current_flows, x.pkts, x.ipv4_pkts, x.ipv6_pkts, x.tx_pkts
    );
    let _ = writeln!(
        out,
        "         pkts errs={}, ipv4 errs={}, ipv6 errs={}, tx errs={}",
        x.error_pkts, x.ipv4_error_pkts, x.ipv6_error_pkts, x.tx_errors
    );
}

fn put_ipfix(out: &mut String, x: &IpfixStats, _bridge: bool) {
    out.push_str("\n  bridge ipfix:");
    put_ipfix_body(out, x);
}
