//! Groups and meters from text.

use flow::text::{ParseContext, parse_value, split_key_values};
use flow::{Field, FieldValue, OfPort};

use crate::action::text::{self as actions, number16, number32, number64};
use crate::message::*;
use crate::protocol::Protocols;
use crate::text::parse::Parsed;
use crate::version::{GroupId, MeterId};

fn group_type(s: &str) -> Option<GroupType> {
    Some(match s {
        "all" => GroupType::All,
        "select" => GroupType::Select,
        "indirect" => GroupType::Indirect,
        "ff" | "fast_failover" => GroupType::FastFailover,
        _ => return None,
    })
}

/// Parses a group: `group_id=1,type=select,bucket=…`.
pub fn parse_group(cx: &mut ParseContext<'_>, s: &str, command: GroupCommand) -> Parsed<GroupMod> {
    let sets = matches!(command, GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrMod);
    let inserts = command == GroupCommand::InsertBucket;
    let by_bucket = inserts || command == GroupCommand::RemoveBucket;
    let mut usable = Protocols::OF10_ANY.or(Protocols::OF11_UP);
    let mut gm = GroupMod {
        command,
        ty: GroupType::All,
        group: GroupId::ANY,
        bucket_id: BUCKET_ALL,
        buckets: Vec::new(),
        props: GroupProps::default(),
    };
    if by_bucket {
        usable = usable.and(Protocols::OF10_ANY.or(Protocols::OF15_UP));
    }
    let (head, buckets) = match find_bucket(s).filter(|_| sets || inserts) {
        Some(at) => (&s[..at], &s[at..]),
        None => (s, ""),
    };
    let (mut had_type, mut had_bucket_id) = (false, false);
    for (key, value) in split_key_values(head) {
        match key {
            "command_bucket_id" if by_bucket => {
                gm.bucket_id = command_bucket(command, value)?;
                had_bucket_id = true;
            }
            "group_id" if value == "all" => gm.group = GroupId::ALL,
            "group_id" => {
                let n = number32(value)?;
                if n > GroupId::MAX.0 {
                    return Err(format!("invalid group id {value}"));
                }
                gm.group = GroupId(n);
            }
            "type" if sets => {
                gm.ty = group_type(value).ok_or_else(|| format!("invalid group type {value}"))?;
                had_type = true;
            }
            "selection_method" if sets => {
                if value.is_empty() || value.len() > 15 {
                    return Err("selection_method must be a string of 1 to 15 bytes".to_string());
                }
                gm.props.selection_method = value.to_string();
            }
            "selection_method_param" if sets => gm.props.selection_param = number64(value)?,
            "fields" if sets => selection_fields(cx, value, &mut gm.props.fields)?,
            "type" | "selection_method" | "selection_method_param" | "fields" => {
                return Err(format!("{key} is not needed"));
            }
            "command_bucket_id" => return Err("command bucket id is not needed".to_string()),
            _ => return Err(format!("unknown keyword {key}")),
        }
    }
    if gm.group == GroupId::ANY {
        return Err("must specify a group_id".to_string());
    }
    if sets && !had_type {
        return Err("must specify a type".to_string());
    }
    if by_bucket && !had_bucket_id {
        return Err("must specify a command bucket id".to_string());
    }
    if gm.props.selection_method != "hash" && !gm.props.fields.is_empty() {
        return Err("fields may only be specified with \"selection_method=hash\"".to_string());
    }
    if gm.props.selection_method.is_empty() && gm.props.selection_param != 0 {
        return Err("selection_method_param is only allowed with \"selection_method\"".to_string());
    }
    if !buckets.is_empty() {
        // What carries a group is what carries its buckets.
        usable = Protocols::OF10_ANY.or(Protocols::OF11_UP);
    }
    parse_buckets(cx, buckets, &mut gm, &mut usable)?;
    if sets && gm.ty != GroupType::Select && gm.buckets.iter().any(|b| b.weight != 0) {
        return Err("Only select groups can have bucket weights.".to_string());
    }
    if gm.ty == GroupType::Indirect && gm.buckets.len() > 1 {
        return Err("Indirect groups can have at most one bucket.".to_string());
    }
    Ok((gm, usable))
}

/// Where the first `bucket=` or `bucket(` keyword stands.
fn find_bucket(s: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(n) = s[from..].find("bucket") {
        let at = from + n;
        let before = s[..at].bytes().next_back();
        let after = s[at + 6..].bytes().next();
        if before.is_none_or(|b| matches!(b, b',' | b' ' | b'\t')) && matches!(after, Some(b'=' | b'(' | b':' | b' ')) {
            return Some(at);
        }
        from = at + 6;
    }
    None
}

fn command_bucket(command: GroupCommand, value: &str) -> Result<u32, String> {
    Ok(match value {
        "all" if command == GroupCommand::RemoveBucket => BUCKET_ALL,
        "all" => return Err(format!("invalid command bucket id {value}")),
        "first" => BUCKET_FIRST,
        "last" => BUCKET_LAST,
        n => {
            let id = number32(n)?;
            if id > BUCKET_MAX {
                return Err(format!("invalid command bucket id {value}"));
            }
            id
        }
    })
}

fn selection_fields(cx: &mut ParseContext<'_>, s: &str, out: &mut Vec<(Field, FieldValue)>) -> Result<(), String> {
    let mut pairs = split_key_values(s);
    while let Some((key, value)) = pairs.next() {
        let rest = pairs.rest().trim_start_matches([',', ' ', '\t']);
        let f = Field::from_name(key).ok_or_else(|| format!("{rest}: unknown field {key}"))?;
        if out.iter().any(|x| x.0 == f) {
            return Err(format!("{key}: duplicate field"));
        }
        let mask = if value.is_empty() {
            FieldValue::Int(f.byte_mask())
        } else {
            match parse_value(cx, f, value)? {
                Some((v, m)) if crate::action::fields::mask_is_full(f, &m) => v,
                _ => return Err(format!("{key}: invalid mask")),
            }
        };
        out.push((f, mask));
    }
    out.sort_by_key(|x| x.0);
    Ok(())
}

fn parse_buckets(cx: &mut ParseContext<'_>, s: &str, gm: &mut GroupMod, usable: &mut Protocols) -> Result<(), String> {
    let mut rest = s;
    while let Some(at) = find_bucket(rest) {
        let body = rest[at + 6..].trim_start_matches([' ', '\t']);
        let body = body.strip_prefix(['=', ':', '(']).unwrap_or(body);
        let end = find_bucket(body).unwrap_or(body.len());
        let text = body[..end].trim_end_matches([',', ' ', '\t', '\n']);
        let text = if rest[at + 6..].starts_with('(') { text.strip_suffix(')').unwrap_or(text) } else { text };
        let bucket = parse_bucket(cx, text, gm, usable)?;
        gm.buckets.push(bucket);
        rest = &body[end..];
    }
    let mut next = 0;
    for i in 0..gm.buckets.len() {
        if gm.buckets[i].id == BUCKET_ALL {
            while gm.buckets.iter().any(|b| b.id == next) {
                next += 1;
            }
            gm.buckets[i].id = next;
        }
    }
    Ok(())
}

fn parse_bucket(cx: &mut ParseContext<'_>, s: &str, gm: &GroupMod, usable: &mut Protocols) -> Result<Bucket, String> {
    let mut b = Bucket {
        id: BUCKET_ALL,
        weight: u16::from(gm.ty == GroupType::Select),
        watch_port: OfPort::ANY,
        watch_group: GroupId::ANY,
        actions: Vec::new(),
    };
    let mut list = String::new();
    let mut pairs = split_key_values(s);
    loop {
        let before = pairs.rest();
        let Some((key, value)) = pairs.next() else { break };
        match key.to_ascii_lowercase().as_str() {
            "weight" => b.weight = number16(value, "weight")?,
            "watch_port" => {
                b.watch_port = cx
                    .port(value)
                    .filter(|p| p.0 < OfPort::MAX.0 || *p == OfPort::ANY)
                    .ok_or_else(|| format!("{value}: invalid watch_port"))?;
            }
            "watch_group" => {
                let n = number32(value)?;
                if n > GroupId::MAX.0 && n != GroupId::ANY.0 {
                    return Err(format!("invalid watch_group id {n}"));
                }
                b.watch_group = GroupId(n);
            }
            "bucket_id" => {
                let n = number32(value)?;
                if n > BUCKET_MAX {
                    return Err(format!("invalid bucket_id id {n}"));
                }
                b.id = n;
            }
            "action" | "actions" => {
                // Everything from here is a list of actions.
                let at = before.find(['=', ':', '(']).map_or(before.len(), |n| n + 1);
                let tail = &before[at..];
                if !list.is_empty() {
                    list.push(',');
                }
                list.push_str(tail);
                break;
            }
            _ => {
                let used = before.len() - pairs.rest().len();
                let text = before[..used].trim_matches([',', ' ', '\t', '\n']);
                if !list.is_empty() {
                    list.push(',');
                }
                list.push_str(text);
            }
        }
    }
    if list.is_empty() {
        return Err("bucket must specify actions".to_string());
    }
    let watched = b.watch_port != OfPort::ANY || b.watch_group != GroupId::ANY;
    if gm.ty == GroupType::FastFailover && !watched {
        return Err("fast failover bucket requires watch_port or watch_group".to_string());
    }
    let (parsed, carried) = actions::parse(cx, &list, actions::Place::Actions)?;
    // As the original: the last bucket says what carries the group.
    *usable = carried;
    b.actions = parsed;
    Ok(b)
}

/// Parses a line of a file of groups: an optional command word, then a group.
pub fn parse_group_line(cx: &mut ParseContext<'_>, line: &str, default: GroupCommand, words: bool) -> Parsed<GroupMod> {
    const WORDS: [(&str, GroupCommand); 6] = [
        ("add_or_mod", GroupCommand::AddOrMod),
        ("add", GroupCommand::Add),
        ("modify", GroupCommand::Modify),
        ("delete", GroupCommand::Delete),
        ("insert_bucket", GroupCommand::InsertBucket),
        ("remove_bucket", GroupCommand::RemoveBucket),
    ];
    let trimmed = line.trim_start();
    if words {
        for (word, command) in WORDS {
            if let Some(rest) = trimmed.strip_prefix(word)
                && rest.starts_with([' ', '\t'])
            {
                return parse_group(cx, rest, command);
            }
        }
    }
    parse_group(cx, line, default)
}

/// Parses a meter: `meter=1 kbps burst stats bands=type=drop rate=5 burst_size=3`.
pub fn parse_meter(s: &str, command: MeterCommand) -> Parsed<MeterMod> {
    let sets = command != MeterCommand::Delete;
    let usable = Protocols::OF13_UP;
    let (head, bands) = match s.find("band") {
        Some(at) if sets => (&s[..at], Some(&s[at..])),
        _ if sets => return Err("must specify bands".to_string()),
        _ => (s, None),
    };
    let bands = match bands {
        Some(b) => {
            let at = b.find('=').ok_or("must specify bands")?;
            Some(&b[at + 1..])
        }
        None => None,
    };
    let mut c = MeterConfig { meter: MeterId(0), flags: 0, bands: Vec::new() };
    let mut had_meter = false;
    for (key, value) in split_key_values(head) {
        match key {
            "kbps" if sets => c.flags |= MF_KBPS,
            "pktps" if sets => c.flags |= MF_PKTPS,
            "burst" if sets => c.flags |= MF_BURST,
            "stats" if sets => c.flags |= MF_STATS,
            "meter" => {
                c.meter = match value {
                    "all" => MeterId::ALL,
                    "controller" => MeterId::CONTROLLER,
                    "slowpath" => MeterId::SLOWPATH,
                    n => {
                        let n = number32(n)?;
                        if n > MeterId::MAX.0 || n == 0 {
                            return Err(format!("invalid value for {key}"));
                        }
                        MeterId(n)
                    }
                };
                had_meter = true;
            }
            _ => return Err(format!("unknown keyword {key}")),
        }
    }
    if sets && !had_meter {
        return Err("must specify 'meter'".to_string());
    }
    if sets && c.flags & (MF_KBPS | MF_PKTPS) == 0 {
        return Err("meter must specify either 'kbps' or 'pktps'".to_string());
    }
    if let Some(b) = bands {
        c.bands = parse_bands(b)?;
    }
    Ok((MeterMod { command, meter: c }, usable))
}

fn parse_bands(s: &str) -> Result<Vec<MeterBand>, String> {
    let mut out: Vec<MeterBand> = Vec::new();
    for (key, value) in split_key_values(s) {
        if value.is_empty() {
            return Err(format!("field {key} missing value"));
        }
        if key == "type" {
            let ty = match value {
                "drop" => BandType::Drop,
                "dscp_remark" => BandType::DscpRemark(0),
                _ => return Err(format!("field {key} unknown value {value}")),
            };
            out.push(MeterBand { ty, rate: 0, burst: 0 });
            continue;
        }
        let Some(last) = out.last_mut() else { return Err("must specify 'type'".to_string()) };
        match key {
            "rate" => last.rate = number32(value)?,
            "burst_size" => last.burst = number32(value)?,
            "prec_level" => {
                let n = actions::number8(value, key)?;
                last.ty = BandType::DscpRemark(n);
            }
            _ => return Err(format!("field {key} unknown")),
        }
    }
    if out.is_empty() {
        return Err("must specify bands".to_string());
    }
    Ok(out)
}
