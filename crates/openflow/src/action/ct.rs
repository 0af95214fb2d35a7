//! Connection tracking: ct, nat, ct_clear.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow::text::number::put_dec;
use flow::text::{Style, put_table, split_key_values};

use super::frame::{self, DecodeContext, Raw, put_nx};
use super::output::{make_subfield, ofs_nbits, packed_header, split_ofs_nbits, take_packed_field};
use super::text::{self, Parser, Place, put_close, put_open, put_param, put_value};
use super::{Action, Ct, CtZone, Nat, NatRange, subfield};
use crate::codec::bytes::{Put, Reader};
use crate::error::Error;
use crate::version::{TableId, Version};

type Parsed = Result<(), String>;

/// `ct(commit,zone=…,table=…,nat(…),exec(…))`.
pub fn parse(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let mut c = Ct {
        commit: false,
        force: false,
        zone: CtZone::Number(0),
        recirc_table: None,
        alg: 0,
        actions: Box::default(),
    };
    // In the order of the text: only a nat that comes first is printed outside of exec.
    let mut actions = Vec::new();
    for (key, value) in split_key_values(s) {
        match key {
            "commit" => c.commit = true,
            "force" => c.force = true,
            "table" => {
                let t = p.cx.table(value).ok_or_else(|| format!("unknown table {value}"))?;
                if t == 255 {
                    return Err(format!("invalid table {t:#x}"));
                }
                c.recirc_table = Some(TableId(t));
            }
            "zone" => {
                c.zone = match flow::text::number::parse_u64(value).and_then(|n| u16::try_from(n).ok()) {
                    Some(n) => CtZone::Number(n),
                    None => CtZone::Field(subfield::parse(value)?),
                };
            }
            "alg" => {
                c.alg = match value {
                    "ftp" => 21,
                    "tftp" => 69,
                    _ => return Err(format!("invalid conntrack helper \"{value}\"")),
                };
            }
            "nat" => actions.push(nat(value)?),
            "exec" => actions.extend(p.nested(value, Place::Ct)?),
            _ => return Err(format!("invalid argument to \"ct\" action: `{key}'")),
        }
    }
    if c.force && !c.commit {
        return Err("\"force\" flag requires \"commit\" flag.".to_string());
    }
    c.actions = actions.into();
    p.out.push(Action::Ct(Box::new(c)));
    Ok(())
}

/// `ct_clear`.
pub fn parse_clear(p: &mut Parser<'_, '_>, _: &str) -> Parsed {
    p.out.push(Action::CtClear);
    Ok(())
}

/// `nat(…)`, outside `ct`, where it is refused later.
pub fn parse_nat(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    if p.place != super::text::Place::Ct {
        return Err("Cannot have NAT action outside of \"ct\" action".to_string());
    }
    let n = nat(s)?;
    p.out.push(n);
    Ok(())
}

fn nat(s: &str) -> Result<Action, String> {
    let mut n = Nat {
        src: false,
        dst: false,
        persistent: false,
        hash: false,
        random: false,
        range: NatRange::None,
        ports: (0, 0),
    };
    for (key, value) in split_key_values(s) {
        match key {
            "src" | "dst" => {
                if key == "src" {
                    n.src = true;
                } else {
                    n.dst = true;
                }
                if !value.is_empty() {
                    parse_range(&mut n, value)?;
                }
            }
            "persistent" => n.persistent = true,
            "hash" => n.hash = true,
            "random" => n.random = true,
            _ => return Err(format!("invalid key \"{key}\" in \"nat\" argument")),
        }
    }
    if n.src && n.dst {
        return Err("May only specify one of \"src\" or \"dst\".".to_string());
    }
    if !n.src && !n.dst && (n.persistent || n.hash || n.random) {
        return Err("Flags allowed only with \"src\" or \"dst\".".to_string());
    }
    if n.hash && n.random {
        return Err("Both \"hash\" and \"random\" are not allowed.".to_string());
    }
    Ok(Action::Nat(Box::new(n)))
}

/// `A[-B][:P[-Q]]`, IPv6 addresses in brackets where ports follow.
fn parse_range(n: &mut Nat, s: &str) -> Parsed {
    let bad = || format!("invalid nat range \"{s}\"");
    let (first, rest) = take_addr(s).ok_or_else(bad)?;
    let (last, rest) = match rest.strip_prefix('-') {
        Some(r) => {
            let (a, r) = take_addr(r).ok_or_else(bad)?;
            (Some(a), r)
        }
        None => (None, rest),
    };
    n.range = match (first, last) {
        (IpAddr::V4(a), None) => NatRange::V4(a, None),
        (IpAddr::V4(a), Some(IpAddr::V4(b))) if b >= a => NatRange::V4(a, (b > a).then_some(b)),
        (IpAddr::V6(a), None) => NatRange::V6(a, None),
        (IpAddr::V6(a), Some(IpAddr::V6(b))) if b >= a => NatRange::V6(a, (b > a).then_some(b)),
        _ => return Err(bad()),
    };
    let Some(ports) = rest.strip_prefix(':') else {
        return if rest.is_empty() { Ok(()) } else { Err(bad()) };
    };
    let (min, max) = match ports.split_once('-') {
        Some((a, b)) => (a, Some(b)),
        None => (ports, None),
    };
    let min: u16 = min.parse().map_err(|_| bad())?;
    let max: u16 = match max {
        Some(m) => m.parse().map_err(|_| bad())?,
        None => 0,
    };
    if max != 0 && max < min {
        return Err(bad());
    }
    n.ports = (min, if max == min { 0 } else { max });
    Ok(())
}

fn take_addr(s: &str) -> Option<(IpAddr, &str)> {
    if let Some(inner) = s.strip_prefix('[') {
        let end = inner.find(']')?;
        return Some((IpAddr::V6(inner[..end].parse().ok()?), &inner[end + 1..]));
    }
    if let Some((a, rest)) = flow::text::value::take_ipv4(s)
        && !rest.starts_with(|c: char| c.is_ascii_hexdigit())
    {
        return Some((IpAddr::V4(a), rest));
    }
    let end = s.find('-').unwrap_or(s.len());
    Some((IpAddr::V6(s[..end].parse().ok()?), &s[end..]))
}

/// Appends the action if it is of this family.
pub fn format(out: &mut String, style: &Style<'_>, a: &Action) -> bool {
    match a {
        Action::Ct(c) => format_ct(out, style, c),
        Action::Nat(n) => format_nat(out, style, n),
        Action::CtClear => put_value(out, style, "ct_clear"),
        _ => return false,
    }
    true
}

fn format_ct(out: &mut String, style: &Style<'_>, c: &Ct) {
    put_open(out, style, "ct");
    if c.commit {
        put_value(out, style, if c.force { "commit,force," } else { "commit," });
    }
    if let Some(t) = c.recirc_table {
        put_param(out, style, "table=");
        put_table(out, style, t.0);
        out.push(',');
    }
    match c.zone {
        CtZone::Field(f) => {
            put_param(out, style, "zone=");
            subfield::put(out, f);
            out.push(',');
        }
        CtZone::Number(0) => {}
        CtZone::Number(n) => {
            put_param(out, style, "zone=");
            put_dec(out, u64::from(n));
            out.push(',');
        }
    }
    let execs = match c.actions.split_first() {
        Some((nat @ Action::Nat(_), rest)) => {
            text::format_one(out, style, nat);
            out.push(',');
            rest
        }
        _ => &c.actions[..],
    };
    if !execs.is_empty() {
        put_open(out, style, "exec");
        for (i, a) in execs.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            text::format_one(out, style, a);
        }
        flow::text::put_color(out, &style.colors.paren);
        out.push_str("),");
        flow::text::put_color(out, &style.colors.end);
    }
    if c.alg != 0 {
        put_param(out, style, "alg=");
        match c.alg {
            21 => out.push_str("ftp"),
            69 => out.push_str("tftp"),
            n => put_dec(out, u64::from(n)),
        }
        out.push(',');
    }
    close_ct(out, style);
}

/// Closes, leaving out a comma that stands before an end-of-colour sequence too.
fn close_ct(out: &mut String, style: &Style<'_>) {
    let end = &style.colors.end;
    if !end.is_empty()
        && let Some(head) = out.strip_suffix(end.as_str())
        && let Some(head) = head.strip_suffix(',')
    {
        let keep = head.len();
        out.truncate(keep);
        out.push_str(end);
    }
    put_close(out, style);
}

fn format_nat(out: &mut String, style: &Style<'_>, n: &Nat) {
    put_value(out, style, "nat");
    if !n.src && !n.dst {
        return;
    }
    flow::text::put_color(out, &style.colors.paren);
    out.push('(');
    flow::text::put_color(out, &style.colors.end);
    out.push_str(if n.src { "src" } else { "dst" });
    match n.range {
        NatRange::None => {}
        NatRange::V4(a, b) => {
            out.push('=');
            out.push_str(&a.to_string());
            if let Some(b) = b {
                out.push('-');
                out.push_str(&b.to_string());
            }
        }
        NatRange::V6(a, b) => {
            let brackets = n.ports.0 != 0;
            out.push('=');
            put_ipv6(out, a, brackets);
            if let Some(b) = b {
                out.push('-');
                put_ipv6(out, b, brackets);
            }
        }
    }
    if n.ports.0 != 0 {
        out.push(':');
        put_dec(out, u64::from(n.ports.0));
        if n.ports.1 != 0 {
            out.push('-');
            put_dec(out, u64::from(n.ports.1));
        }
    }
    for (on, name) in [(n.persistent, ",persistent"), (n.hash, ",hash"), (n.random, ",random")] {
        if on && n.range != NatRange::None {
            out.push_str(name);
        }
    }
    flow::text::put_color(out, &style.colors.paren);
    out.push(')');
    flow::text::put_color(out, &style.colors.end);
}

fn put_ipv6(out: &mut String, a: Ipv6Addr, brackets: bool) {
    if brackets {
        out.push('[');
    }
    flow::text::value::put_ipv6(out, a.to_bits(), u128::MAX);
    if brackets {
        out.push(']');
    }
}

/// Reads the action if it is of this family.
pub fn decode(cx: DecodeContext, raw: Raw, r: &mut Reader<'_>) -> Result<Option<Action>, Error> {
    Ok(Some(match raw {
        Raw::Ct => decode_ct(cx, r)?,
        Raw::Nat => decode_nat(r)?,
        Raw::CtClear => Action::CtClear,
        _ => return Ok(None),
    }))
}

fn decode_ct(cx: DecodeContext, r: &mut Reader<'_>) -> Result<Action, Error> {
    let bad = Error::BadActionBadArgument;
    let flags = r.u16()?;
    let slot = r.rest().get(..4).unwrap_or(&[]);
    let zone = if slot.iter().all(|b| *b == 0) {
        r.skip(4)?;
        CtZone::Number(r.u16()?)
    } else {
        let field = take_packed_field(r)?;
        let (ofs, n) = split_ofs_nbits(r.u16()?);
        let f = make_subfield(field, ofs, n)?;
        if f.n_bits != 16 {
            return Err(Error::BadActionBadSetLen);
        }
        CtZone::Field(f)
    };
    let recirc = r.u8()?;
    r.skip(3)?;
    let alg = r.u16()?;
    let (commit, force) = (flags & 1 != 0, flags & 2 != 0);
    if force && !commit {
        return Err(bad);
    }
    let actions = frame::decode_list(cx.deeper()?, r.rest())?;
    super::check::verify(&actions, Place::Ct).map_err(|e| e.0)?;
    let plain = |a: &Action| matches!(a, Action::Nat(n) if !n.src && !n.dst);
    if !commit && !actions.iter().all(plain) {
        return Err(bad);
    }
    let recirc_table = (recirc != 255).then_some(TableId(recirc));
    Ok(Action::Ct(Box::new(Ct { commit, force, zone, recirc_table, alg, actions: actions.into() })))
}

fn decode_nat(r: &mut Reader<'_>) -> Result<Action, Error> {
    let bad = Error::BadActionBadArgument;
    if r.u16()? != 0 {
        return Err(bad);
    }
    let (flags, present) = (r.u16()?, r.u16()?);
    let on = |bit: u16| flags & bit != 0;
    if flags & !0x1f != 0 || present & !0x3f != 0 || (on(1) && on(2)) || (on(8) && on(16)) {
        return Err(bad);
    }
    if !on(1) && !on(2) && (flags != 0 || present != 0) {
        return Err(bad);
    }
    let has = |bit: u16| present & bit != 0;
    let mut range = NatRange::None;
    if has(1) {
        let a = Ipv4Addr::from_bits(r.u32()?);
        let b = if has(2) { Some(Ipv4Addr::from_bits(r.u32()?)) } else { None };
        if a.to_bits() == 0 || has(4) || has(8) || b.is_some_and(|b| b < a) {
            return Err(bad);
        }
        range = NatRange::V4(a, b);
    } else if has(4) {
        let a = Ipv6Addr::from_bits(r.u128()?);
        let b = if has(8) { Some(Ipv6Addr::from_bits(r.u128()?)) } else { None };
        if a.to_bits() == 0 || b.is_some_and(|b| b < a) {
            return Err(bad);
        }
        range = NatRange::V6(a, b);
    }
    if (has(2) && !has(1)) || (has(8) && !has(4)) {
        return Err(bad);
    }
    let mut ports = (0, 0);
    if has(16) {
        ports.0 = r.u16()?;
        if ports.0 == 0 || range == NatRange::None {
            return Err(bad);
        }
        if has(32) {
            ports.1 = r.u16()?;
            if ports.1 < ports.0 {
                return Err(bad);
            }
        }
    } else if has(32) {
        return Err(bad);
    }
    Ok(Action::Nat(Box::new(Nat {
        src: on(1),
        dst: on(2),
        persistent: on(4),
        hash: on(8),
        random: on(16),
        range,
        ports,
    })))
}

/// Appends the action if it is of this family.
pub fn encode(out: &mut Vec<u8>, a: &Action, v: Version) -> bool {
    match a {
        Action::Ct(c) => put_nx(out, 35, |b| {
            b.put16(u16::from(c.commit) | u16::from(c.force) << 1);
            match c.zone {
                CtZone::Number(n) => {
                    b.put32(0);
                    b.put16(n);
                }
                CtZone::Field(f) => {
                    b.put32(packed_header(f.field));
                    b.put16(ofs_nbits(f));
                }
            }
            b.put8(c.recirc_table.map_or(255, |t| t.0));
            b.zeros(3);
            b.put16(c.alg);
            frame::encode_list(b, &c.actions, v);
        }),
        Action::Nat(n) => put_nx(out, 36, |b| encode_nat(b, n)),
        Action::CtClear => put_nx(out, 43, |_| {}),
        _ => return false,
    }
    true
}

fn encode_nat(b: &mut Vec<u8>, n: &Nat) {
    let bit = |on: bool, bit: u16| if on { bit } else { 0 };
    b.put16(0);
    b.put16(bit(n.src, 1) | bit(n.dst, 2) | bit(n.persistent, 4) | bit(n.hash, 8) | bit(n.random, 16));
    let present_at = b.len();
    b.put16(0);
    let mut present = 0;
    match n.range {
        NatRange::None => {}
        NatRange::V4(x, y) => {
            present |= 1;
            b.put32(x.to_bits());
            if let Some(y) = y {
                present |= 2;
                b.put32(y.to_bits());
            }
        }
        NatRange::V6(x, y) => {
            present |= 4;
            b.put(&x.octets());
            if let Some(y) = y {
                present |= 8;
                b.put(&y.octets());
            }
        }
    }
    if n.range != NatRange::None && n.ports.0 != 0 {
        present |= 16;
        b.put16(n.ports.0);
        if n.ports.1 != 0 {
            present |= 32;
            b.put16(n.ports.1);
        }
    }
    b.set16(present_at, present);
}
