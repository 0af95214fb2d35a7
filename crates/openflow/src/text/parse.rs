//! Flows from text: the `add-flow` syntax of ovs-ofctl(8).

use flow::text::number::parse_u64;
use flow::text::{ParseContext, parse_field, set_protocol_keyword, split_key_values};
use flow::{Field, Match, MiniMatch, OfPort};

use crate::action::{check, text as actions};
use crate::message::*;
use crate::protocol::{self, Protocols};
use crate::version::{GroupId, TableId};

/// What a flow may say, depending on what is done with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// A flow_mod with this command.
    Mod(FlowModCommand),
    /// Which flows to dump or add up.
    Dump,
}

impl Use {
    fn out_port(self) -> bool {
        !matches!(self, Use::Mod(FlowModCommand::Add | FlowModCommand::Modify | FlowModCommand::ModifyStrict))
    }

    fn actions(self) -> bool {
        !self.out_port()
    }

    fn priority(self) -> bool {
        self.actions() || self == Use::Mod(FlowModCommand::DeleteStrict)
    }
}

/// A flow_mod and the protocol variants that can carry it.
pub type Parsed<T> = Result<(T, Protocols), String>;

const FLAGS: [(&str, u16, Protocols); 5] = [
    ("send_flow_rem", FF_SEND_FLOW_REM, Protocols::ANY),
    ("check_overlap", FF_CHECK_OVERLAP, Protocols::ANY),
    ("reset_counts", FF_RESET_COUNTS, Protocols(0x1e0)),
    ("no_packet_counts", FF_NO_PKT_COUNTS, Protocols::OF13_UP),
    ("no_byte_counts", FF_NO_BYT_COUNTS, Protocols::OF13_UP),
];

/// Splits `…,actions=…`: what stands before, and the actions.
fn split_actions(s: &str) -> Option<(&str, &str)> {
    // Whatever stands between the word and the next equals sign.
    let bytes = s.as_bytes();
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == b'a')?;
        if bytes[at..].starts_with(b"action") {
            break;
        }
        at += 1;
    }
    let equals = at + bytes[at..].iter().position(|b| *b == b'=')?;
    Some((&s[..at], &s[equals + 1..]))
}

/// Parses a flow for `how`, with the match normalized for a warning only, as the original does.
pub fn parse_flow(cx: &mut ParseContext<'_>, s: &str, how: Use) -> Parsed<FlowMod> {
    let mut fm = FlowMod::default();
    let mut usable = Protocols::ANY;
    if let Use::Mod(c) = how {
        fm.command = c;
    }
    let changes = matches!(how, Use::Mod(FlowModCommand::Modify | FlowModCommand::ModifyStrict));
    fm.new_cookie = if changes { u64::MAX } else { 0 };
    let (fields, list) = if how.actions() {
        let (fields, list) = split_actions(s).ok_or("must specify an action")?;
        (fields, Some(list))
    } else {
        (s, None)
    };
    let mut m = Match::any();
    for (key, value) in split_key_values(fields) {
        usable = usable.and(one_field(cx, how, &mut fm, &mut m, key, value)?);
    }
    if fm.cookie_mask == 0 && fm.new_cookie == u64::MAX && changes {
        // A change without a cookie to look for may add a flow, which then needs a cookie.
        fm.new_cookie = 0;
    }
    usable = usable.and(match_protocols(&m));
    if let Some(list) = list {
        let (mut parsed, carried) = actions::parse(cx, list, actions::Place::Flow)?;
        usable = usable.and(carried);
        let mut warnings = Vec::new();
        let checked = check::check_match(&mut parsed, &with_eth_type(&m), fm.table, 0, &mut warnings);
        for w in warnings {
            let module = if w.starts_with("set_field") { "ofp_actions" } else { "meta_flow" };
            cx.warn(module, "WARN", w);
        }
        let fits = checked.map_err(|e| format!("actions are invalid with specified match ({e})"))?;
        let before = usable;
        usable = usable.and(fits);
        if before.is_empty() || (usable.is_empty() && !fits.contains(Protocols::ANY)) {
            return Err(format!(
                "actions are invalid with specified match ({})",
                crate::Error::BadActionMatchInconsistent
            ));
        }
        parsed.shrink_to_fit();
        fm.actions = parsed;
    }
    warn_if_not_normal(cx, &m);
    fm.matching = MiniMatch::new(&m);
    Ok((fm, usable))
}

/// The match as its text says it: a packet type with an Ethernet type stands for that type too.
fn with_eth_type(m: &Match) -> std::borrow::Cow<'_, Match> {
    let packet_type = m.key.packet_type();
    if m.mask.packet_type_raw() == 0 || packet_type.ns() != 1 {
        return std::borrow::Cow::Borrowed(m);
    }
    let mut m = m.clone();
    m.set(Field::ETH_TYPE, u128::from(packet_type.ns_type()));
    std::borrow::Cow::Owned(m)
}

/// OpenFlow 1.0 and 1.1 structures have no place for what IPv6 carries.
fn match_protocols(m: &Match) -> Protocols {
    let v6 = m.mask.eth_type() == 0xffff && m.key.eth_type() == 0x86dd;
    if v6 && (44..58).any(|w| m.mask.word(w) != 0) {
        return Protocols::NXM_OXM_ANY;
    }
    Protocols::ANY
}

fn warn_if_not_normal(cx: &mut ParseContext<'_>, m: &Match) {
    if flow::is_normal(m) {
        return;
    }
    let mut normal = m.clone();
    if flow::normalize(&mut normal) {
        let (pre, post) = (m.to_string(), normal.to_string());
        cx.warn("ofp_match", "INFO", "normalization changed ofp_match, details:".to_string());
        cx.warn("ofp_match", "INFO", format!(" pre: {pre}"));
        cx.warn("ofp_match", "INFO", format!("post: {post}"));
    }
}

fn one_field(
    cx: &mut ParseContext<'_>,
    how: Use,
    fm: &mut FlowMod,
    m: &mut Match,
    key: &str,
    value: &str,
) -> Result<Protocols, String> {
    if set_protocol_keyword(m, key) {
        return Ok(Protocols::ANY);
    }
    if how.actions()
        && let Some(f) = FLAGS.iter().find(|f| f.0 == key)
    {
        fm.flags |= f.1;
        return Ok(f.2);
    }
    if key == "no_readonly_table" || key == "allow_hidden_fields" {
        return Ok(Protocols::ANY);
    }
    if let Some(f) = Field::from_name(key) {
        let mask = parse_field(cx, f, value, m)?;
        return Ok(if f.tun_metadata_index().is_some() {
            Protocols::NXM_OXM_ANY
        } else {
            protocol::for_field(f, mask)
        });
    }
    if key.contains('[') {
        return subfield_match(m, key, value);
    }
    if value.is_empty() {
        return Err(format!("field {key} missing value"));
    }
    option_field(cx, how, fm, key, value)
}

/// `NXM_NX_REG0[0..3]=5`: some bits of a field, beside what is matched of it already.
fn subfield_match(m: &mut Match, key: &str, value: &str) -> Result<Protocols, String> {
    let place = crate::action::subfield::parse(key)?;
    let d = place.field.def();
    let number = crate::action::fields::big_number(value)
        .filter(|n| d.bytes >= 16 || n >> (8 * d.bytes) == 0)
        .ok_or_else(|| format!("{key}: cannot parse integer value: {value}"))?;
    let bits = flow::text::value::ones(u32::from(place.n_bits));
    if number & !bits != 0 {
        let mut shown = String::new();
        let number = flow::FieldValue::Int(number);
        flow::text::format_value(&mut shown, &Default::default(), place.field, &number, None);
        return Err(format!("{key}: value {shown} does not fit into {} bits", place.n_bits));
    }
    let shift = |n: u128| n.checked_shl(u32::from(place.ofs)).unwrap_or(0);
    let (old_value, old_mask) = if place.field.tun_metadata_index().is_some() { (0, 0) } else { m.get(place.field) };
    let mask = old_mask | shift(bits);
    let value = old_value & !shift(bits) | shift(number);
    m.set_value(place.field, &flow::FieldValue::Int(value), &flow::FieldValue::Int(mask))?;
    Ok(if place.field.tun_metadata_index().is_some() {
        Protocols::NXM_OXM_ANY
    } else {
        protocol::for_field(place.field, mask)
    })
}

fn option_field(
    cx: &mut ParseContext<'_>,
    how: Use,
    fm: &mut FlowMod,
    key: &str,
    value: &str,
) -> Result<Protocols, String> {
    match key {
        "table" => {
            fm.table = TableId(cx.table(value).ok_or_else(|| format!("unknown table \"{value}\""))?);
            return Ok(if fm.table == TableId::ALL { Protocols::ANY } else { Protocols::TID });
        }
        "out_port" if how.out_port() => {
            fm.out_port = cx.port(value).ok_or_else(|| format!("{value} is not a valid OpenFlow port"))?;
        }
        "out_group" if how.out_port() => {
            fm.out_group = GroupId(actions::number32(value)?);
            return Ok(Protocols::OF11_UP);
        }
        "priority" if how.priority() => fm.priority = actions::number16(value, key)?,
        "idle_timeout" if how.actions() => fm.idle_timeout = actions::number16(value, key)?,
        "hard_timeout" if how.actions() => fm.hard_timeout = actions::number16(value, key)?,
        "importance" if how.actions() => fm.importance = actions::number16(value, key)?,
        "cookie" => return cookie(how, fm, value),
        "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
        _ => return Err(format!("unknown keyword {key}")),
    }
    Ok(Protocols::ANY)
}

fn cookie(how: Use, fm: &mut FlowMod, value: &str) -> Result<Protocols, String> {
    let number = |s: &str| parse_u64(s).ok_or_else(|| format!("invalid numeric format {s}"));
    if let Some((v, mask)) = value.split_once('/') {
        if how == Use::Mod(FlowModCommand::Add) {
            return Err("flow additions cannot use a cookie mask".to_string());
        }
        fm.cookie = number(v)?;
        fm.cookie_mask = number(mask)?;
        return Ok(Protocols::NXM_OF11_UP);
    }
    if !how.actions() {
        return Err(format!("cannot set cookie (to match on a cookie, specify a mask, e.g. cookie={value}/-1)"));
    }
    fm.new_cookie = number(value)?;
    fm.modify_cookie = true;
    Ok(Protocols::ANY)
}

/// Parses a line of a file of flows: an optional command word, then a flow. Without one it is `default`; with
/// `words` false no word is taken.
pub fn parse_flow_line(cx: &mut ParseContext<'_>, line: &str, default: FlowModCommand, words: bool) -> Parsed<FlowMod> {
    const WORDS: [(&str, FlowModCommand); 5] = [
        ("add", FlowModCommand::Add),
        ("modify_strict", FlowModCommand::ModifyStrict),
        ("modify", FlowModCommand::Modify),
        ("delete_strict", FlowModCommand::DeleteStrict),
        ("delete", FlowModCommand::Delete),
    ];
    let trimmed = line.trim_start();
    if words {
        for (word, command) in WORDS {
            if let Some(rest) = trimmed.strip_prefix(word)
                && (rest.is_empty() || rest.starts_with([' ', '\t', ',']))
                && !rest.starts_with(',')
            {
                return parse_flow(cx, rest, Use::Mod(command));
            }
        }
    }
    parse_flow(cx, line, Use::Mod(default))
}

/// Parses which flows to dump.
pub fn parse_flow_stats_request(cx: &mut ParseContext<'_>, s: &str) -> Parsed<FlowStatsRequest> {
    let (fm, usable) = parse_flow(cx, s, Use::Dump)?;
    let q = FlowStatsRequest {
        matching: fm.matching,
        table: fm.table,
        out_port: fm.out_port,
        out_group: fm.out_group,
        cookie: fm.cookie,
        cookie_mask: fm.cookie_mask,
        nicira: false,
    };
    // A table id is always part of the request.
    let usable = if fm.table == TableId::ALL { usable } else { usable.or(lift_table_id(usable)) };
    Ok((q, usable))
}

fn lift_table_id(p: Protocols) -> Protocols {
    Protocols((p.0 & Protocols::OF10_TID.0) >> 1 | (p.0 & Protocols::NXM_TID.0) >> 1)
}

/// Parses a packet-out: `in_port=1 packet=… actions=…`.
pub fn parse_packet_out(cx: &mut ParseContext<'_>, s: &str) -> Parsed<PacketOut> {
    let (fields, list) = match split_actions(s) {
        Some((f, l)) => (f, l),
        None => (s, ""),
    };
    let mut usable = Protocols::ANY;
    let mut m = Match::any();
    let mut packet = None;
    let mut port = None;
    for (key, value) in split_key_values(fields) {
        if value.is_empty() {
            return Err(format!("field {key} missing value"));
        }
        match key {
            "in_port" => {
                let p = cx.port(value).ok_or_else(|| format!("{value} is not a valid OpenFlow port"))?;
                if p.0 > OfPort::MAX.0 && ![OfPort::LOCAL, OfPort::NONE, OfPort::CONTROLLER].contains(&p) {
                    return Err(format!("{value} is not a valid OpenFlow port for PACKET_OUT"));
                }
                port = Some(p);
            }
            "packet" => {
                packet = Some(parse_hex_packet(value).map_err(|e| format!("packet: {e}"))?);
            }
            "buffer_id" => {}
            _ => {
                let f = Field::from_name(key).ok_or_else(|| format!("unknown keyword {key}"))?;
                if !is_pipeline_field(f) {
                    return Err(format!("{key} is not a valid pipeline field for PACKET_OUT"));
                }
                parse_field(cx, f, value, &mut m)?;
                usable = usable.and(Protocols::OF15_UP);
            }
        }
    }
    let packet = packet.ok_or("must specify packet")?;
    m.set_in_port(port.unwrap_or(OfPort::CONTROLLER));
    let (list, mut carried) = actions::parse(cx, list, actions::Place::Actions)?;
    // In a list of actions, meters are actions, which they are from 1.5 on.
    if list.iter().any(|a| matches!(a, crate::Action::Meter(_))) {
        carried = carried.and(Protocols::OF15_UP);
    }
    let out = PacketOut { buffer_id: NO_BUFFER, metadata: MiniMatch::new(&m), actions: list, packet };
    Ok((out, usable.and(carried)))
}

fn is_pipeline_field(f: Field) -> bool {
    f.def().word < 39 || f.tun_metadata_index().is_some()
}

/// A packet as hexadecimal digits.
pub fn parse_hex_packet(s: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = s.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err("Trailing garbage in packet data".to_string());
    }
    let nibble = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
    let out: Vec<u8> = digits.chunks_exact(2).map(|p| nibble(p[0]) << 4 | nibble(p[1])).collect();
    if out.len() < 14 {
        return Err("Packet data too short for Ethernet".to_string());
    }
    Ok(out)
}
