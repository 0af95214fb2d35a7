//! learn: adds a flow made from the packet.

use flow::text::number::{put_alt_hex, put_dec};
use flow::text::{Style, format_value, parse_value, put_table, split_key_values};
use flow::{Field, FieldValue, Subfield};

use super::frame::{DecodeContext, Raw, put_nx};
use super::output::{make_subfield, packed_header, put_field_header, take_field, take_packed_field};
use super::text::{Parser, number16, number32, number64, put_param, put_special, put_value};
use super::{Action, Learn, LearnDst, LearnSpec, LearnSrc, subfield};
use crate::codec::bytes::{Put, Reader, is_zero};
use crate::codec::oxm;
use crate::error::Error;
use crate::version::{TableId, Version};

/// `learn(…)`.
pub fn parse(p: &mut Parser<'_, '_>, s: &str) -> Result<(), String> {
    let mut l = Learn {
        idle_timeout: 0,
        hard_timeout: 0,
        priority: 0x8000,
        cookie: 0,
        send_flow_rem: false,
        delete_learned: false,
        table: TableId(1),
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        limit: 0,
        result_dst: None,
        form2: false,
        specs: Vec::new(),
    };
    for (key, value) in split_key_values(s) {
        match key {
            "table" => {
                let t = p.cx.table(value).ok_or_else(|| format!("unknown table \"{value}\""))?;
                if t == 255 {
                    return Err(format!("{s}: table id 255 not valid for `learn' action"));
                }
                l.table = TableId(t);
            }
            "priority" => l.priority = number16(value, "priority")?,
            "idle_timeout" => l.idle_timeout = number16(value, "idle_timeout")?,
            "hard_timeout" => l.hard_timeout = number16(value, "hard_timeout")?,
            "fin_idle_timeout" => l.fin_idle_timeout = number16(value, "fin_idle_timeout")?,
            "fin_hard_timeout" => l.fin_hard_timeout = number16(value, "fin_hard_timeout")?,
            "cookie" => l.cookie = number64(value)?,
            "send_flow_rem" => l.send_flow_rem = true,
            "delete_learned" => l.delete_learned = true,
            "limit" => l.limit = number32(value)?,
            "result_dst" => {
                let d = subfield::parse(value)?;
                if !d.field.def().writable {
                    return Err(format!("{value} is read-only"));
                }
                if d.n_bits != 1 {
                    return Err("result_dst in 'learn' action must be a single bit".to_string());
                }
                l.result_dst = Some(d);
            }
            _ => {
                let spec = parse_spec(p, s, key, value)?;
                l.specs.push(spec);
            }
        }
    }
    p.out.push(Action::Learn(Box::new(l)));
    Ok(())
}

fn parse_spec(p: &mut Parser<'_, '_>, orig: &str, name: &str, value: &str) -> Result<LearnSpec, String> {
    if let Some(field) = Field::from_name(name) {
        let dst = Subfield::whole(field);
        return match_spec_of_field(p, orig, name, value, dst);
    }
    if name == "load" {
        return load_spec(value);
    }
    if name == "output" {
        let src = subfield::parse(value)?;
        return Ok(LearnSpec { n_bits: src.n_bits, src: LearnSrc::Field(src), dst: LearnDst::Output });
    }
    let Ok(dst) = subfield::parse(name) else {
        return Err(format!("{orig}: unknown keyword {name}"));
    };
    if value.is_empty() {
        return Ok(LearnSpec { n_bits: dst.n_bits, src: LearnSrc::Field(dst), dst: LearnDst::Match(dst) });
    }
    if value.starts_with(|c: char| c.is_ascii_digit()) {
        let number = match immediate(value) {
            Some(n) if fits(n, dst.n_bits) => Ok(n),
            Some(_) => Err(format!("{orig}: value {value} does not fit into {} bits", dst.n_bits)),
            None => Err(format!("{orig}: cannot parse integer value: {value}")),
        };
        let n = number.map_err(|why| {
            let not_field = subfield::parse(value).err().unwrap_or_default();
            format!("{orig}: {name} value {value} cannot be parsed as a subfield ({not_field}) or an immediate value ({why})")
        })?;
        return Ok(LearnSpec {
            n_bits: dst.n_bits,
            src: LearnSrc::Immediate(FieldValue::Int(n)),
            dst: LearnDst::Match(dst),
        });
    }
    let src = subfield::parse(value).map_err(|e| format!("{orig}: {e}"))?;
    same_width(orig, name, src, value, dst)?;
    Ok(LearnSpec { n_bits: dst.n_bits, src: LearnSrc::Field(src), dst: LearnDst::Match(dst) })
}

fn match_spec_of_field(
    p: &mut Parser<'_, '_>,
    orig: &str,
    name: &str,
    value: &str,
    dst: Subfield,
) -> Result<LearnSpec, String> {
    if value.is_empty() {
        return Ok(LearnSpec { n_bits: dst.n_bits, src: LearnSrc::Field(dst), dst: LearnDst::Match(dst) });
    }
    let as_field = subfield::parse(value);
    if let Ok(src) = as_field {
        same_width(orig, name, src, value, dst)?;
        return Ok(LearnSpec { n_bits: dst.n_bits, src: LearnSrc::Field(src), dst: LearnDst::Match(dst) });
    }
    let not_field = as_field.err().unwrap_or_default();
    let refused = |why: String| {
        format!(
            "{orig}: {name} value {value} cannot be parsed as a subfield ({not_field}) or an immediate value ({why})"
        )
    };
    match parse_value(p.cx, dst.field, value) {
        Ok(Some((v, mask))) if super::fields::mask_is_full(dst.field, &mask) => {
            Ok(LearnSpec { n_bits: dst.n_bits, src: LearnSrc::Immediate(v), dst: LearnDst::Match(dst) })
        }
        Ok(_) => Err(refused(format!("{value}: wildcards not allowed here"))),
        Err(e) => Err(refused(e)),
    }
}

fn same_width(orig: &str, name: &str, src: Subfield, value: &str, dst: Subfield) -> Result<(), String> {
    if src.n_bits == dst.n_bits {
        return Ok(());
    }
    Err(format!("{orig}: bit widths of {name} ({}) and {value} ({}) differ", src.n_bits, dst.n_bits))
}

fn immediate(s: &str) -> Option<u128> {
    match s.strip_prefix("0x").or_else(|| s.strip_prefix("0X")) {
        Some(h) => u128::from_str_radix(h, 16).ok(),
        None => flow::text::number::parse_u64(s).map(u128::from),
    }
}

fn fits(n: u128, n_bits: u16) -> bool {
    n & !flow::text::value::ones(u32::from(n_bits)) == 0
}

fn load_spec(value: &str) -> Result<LearnSpec, String> {
    let (src_text, dst_text) =
        value.split_once("->").ok_or_else(|| format!("{value}: missing `->' following source"))?;
    let named = !src_text.starts_with(|c: char| c.is_ascii_digit());
    if named {
        // A mistake is said of the whole value.
        subfield::take(value)?;
    }
    let dst = subfield::parse(dst_text)?;
    let src = if src_text.starts_with(|c: char| c.is_ascii_digit()) {
        let n = immediate(src_text).ok_or_else(|| format!("{value}: cannot parse integer value"))?;
        if !fits(n, dst.n_bits) {
            return Err(format!("{value}: value does not fit into {} bits", dst.n_bits));
        }
        LearnSrc::Immediate(FieldValue::Int(n))
    } else {
        let src = subfield::parse(src_text)?;
        if src.n_bits != dst.n_bits {
            return Err(format!(
                "{value}: source field is {} bits wide but destination is {} bits wide",
                src.n_bits, dst.n_bits
            ));
        }
        LearnSrc::Field(src)
    };
    Ok(LearnSpec { n_bits: dst.n_bits, src, dst: LearnDst::Load(dst) })
}

/// Appends the action if it is of this family.
pub fn format(out: &mut String, style: &Style<'_>, a: &Action) -> bool {
    let Action::Learn(l) = a else { return false };
    flow::text::put_color(out, &style.colors.learn);
    out.push_str("learn(");
    flow::text::put_color(out, &style.colors.end);
    put_param(out, style, "table=");
    put_table(out, style, l.table.0);
    for (name, n) in [
        (",idle_timeout=", l.idle_timeout),
        (",hard_timeout=", l.hard_timeout),
        (",fin_idle_timeout=", l.fin_idle_timeout),
        (",fin_hard_timeout=", l.fin_hard_timeout),
    ] {
        if n != 0 {
            put_param(out, style, name);
            put_dec(out, u64::from(n));
        }
    }
    if l.priority != 0x8000 {
        put_special(out, style, ",priority=");
        put_dec(out, u64::from(l.priority));
    }
    if l.send_flow_rem {
        put_value(out, style, ",send_flow_rem");
    }
    if l.delete_learned {
        put_value(out, style, ",delete_learned");
    }
    if l.cookie != 0 {
        put_param(out, style, ",cookie=");
        put_alt_hex(out, u128::from(l.cookie));
    }
    if l.limit != 0 {
        put_param(out, style, ",limit=");
        put_dec(out, u64::from(l.limit));
    }
    if let Some(d) = l.result_dst {
        put_param(out, style, ",result_dst=");
        subfield::put(out, d);
    }
    for spec in &l.specs {
        out.push(',');
        format_spec(out, style, spec);
    }
    flow::text::put_color(out, &style.colors.learn);
    out.push(')');
    flow::text::put_color(out, &style.colors.end);
    true
}

fn format_spec(out: &mut String, style: &Style<'_>, spec: &LearnSpec) {
    match (&spec.src, spec.dst.clone()) {
        (LearnSrc::Immediate(v), LearnDst::Match(d)) => {
            if d.ofs == 0 && d.n_bits == d.field.def().bits {
                put_param(out, style, d.field.name());
                put_param(out, style, "=");
                format_value(out, style, d.field, v, None);
            } else {
                flow::text::put_color(out, &style.colors.param);
                subfield::put(out, d);
                out.push('=');
                flow::text::put_color(out, &style.colors.end);
                put_immediate(out, v);
            }
        }
        (LearnSrc::Field(s), LearnDst::Match(d)) => {
            flow::text::put_color(out, &style.colors.param);
            subfield::put(out, d);
            flow::text::put_color(out, &style.colors.end);
            if *s != d {
                out.push('=');
                subfield::put(out, *s);
            }
        }
        (LearnSrc::Immediate(v), LearnDst::Load(d)) => {
            put_special(out, style, "load:");
            put_immediate(out, v);
            put_special(out, style, "->");
            subfield::put(out, d);
        }
        (LearnSrc::Field(s), LearnDst::Load(d)) => {
            put_special(out, style, "load:");
            subfield::put(out, *s);
            put_special(out, style, "->");
            subfield::put(out, d);
        }
        (LearnSrc::Field(s), LearnDst::Output) => {
            put_special(out, style, "output:");
            subfield::put(out, *s);
        }
        (LearnSrc::Immediate(_), LearnDst::Output) => {}
    }
}

fn put_immediate(out: &mut String, v: &FieldValue) {
    match v {
        FieldValue::Int(n) => flow::text::number::put_hex(out, *n, 0),
        FieldValue::Wide(_) => format_value(out, &Style::default(), Field::TUN_METADATA0, v, None),
    }
}

/// Reads the action if it is of this family.
pub fn decode(_cx: DecodeContext, raw: Raw, r: &mut Reader<'_>) -> Result<Option<Action>, Error> {
    if raw != Raw::Learn && raw != Raw::Learn2 {
        return Ok(None);
    }
    let bad = Error::BadActionBadArgument;
    let (idle_timeout, hard_timeout, priority, cookie) = (r.u16()?, r.u16()?, r.u16()?, r.u64()?);
    let (flags, table, zero) = (r.u16()?, r.u8()?, r.u8()?);
    let (fin_idle_timeout, fin_hard_timeout) = (r.u16()?, r.u16()?);
    let allowed = if raw == Raw::Learn { 3 } else { 7 };
    if flags & !allowed != 0 || table == 255 || zero != 0 {
        return Err(bad);
    }
    let mut l = Learn {
        idle_timeout,
        hard_timeout,
        priority,
        cookie,
        send_flow_rem: flags & 1 != 0,
        delete_learned: flags & 2 != 0,
        table: TableId(table),
        fin_idle_timeout,
        fin_hard_timeout,
        limit: 0,
        result_dst: None,
        form2: raw == Raw::Learn2,
        specs: Vec::new(),
    };
    if raw == Raw::Learn2 {
        l.limit = r.u32()?;
        let ofs = r.u16()?;
        if r.u16()? != 0 {
            return Err(Error::NxBadActionMustBeZero);
        }
        if flags & 4 != 0 {
            let field = take_field(r)?;
            if !field.def().writable {
                return Err(Error::BadActionBadSetArgument);
            }
            l.result_dst = Some(make_subfield(field, ofs, 1)?);
        } else if ofs != 0 {
            return Err(bad);
        }
    }
    while r.len() >= 2 {
        let header = r.u16()?;
        if header == 0 {
            break;
        }
        l.specs.push(decode_spec(r, header)?);
    }
    if !is_zero(r.rest()) {
        return Err(bad);
    }
    Ok(Some(Action::Learn(Box::new(l))))
}

fn decode_spec(r: &mut Reader<'_>, header: u16) -> Result<LearnSpec, Error> {
    let bad = Error::BadActionBadArgument;
    let n_bits = header & 0x3ff;
    let immediate = header & 0x2000 != 0;
    let dst = header >> 11 & 3;
    if header & 0xc000 != 0 || dst == 3 || (immediate && dst == 2) {
        return Err(bad);
    }
    let take_sub = |r: &mut Reader<'_>| {
        let field = take_packed_field(r)?;
        let ofs = r.u16()?;
        make_subfield(field, ofs, n_bits)
    };
    let src = if immediate {
        let bytes = 2 * usize::from(n_bits).div_ceil(16);
        LearnSrc::Immediate(oxm::value_from(r.take(bytes)?))
    } else {
        LearnSrc::Field(take_sub(r)?)
    };
    let dst = match dst {
        0 => LearnDst::Match(take_sub(r)?),
        1 => LearnDst::Load(take_sub(r)?),
        _ => LearnDst::Output,
    };
    Ok(LearnSpec { n_bits, src, dst })
}

/// Appends the action if it is of this family.
pub fn encode(out: &mut Vec<u8>, a: &Action, _v: Version) -> bool {
    let Action::Learn(l) = a else { return false };
    let second = l.form2 || l.limit != 0 || l.result_dst.is_some();
    put_nx(out, if second { 45 } else { 16 }, |b| {
        b.put16(l.idle_timeout);
        b.put16(l.hard_timeout);
        b.put16(l.priority);
        b.put64(l.cookie);
        b.put16(u16::from(l.send_flow_rem) | u16::from(l.delete_learned) << 1 | u16::from(l.result_dst.is_some()) << 2);
        b.put8(l.table.0);
        b.put8(0);
        b.put16(l.fin_idle_timeout);
        b.put16(l.fin_hard_timeout);
        if second {
            b.put32(l.limit);
            b.put16(l.result_dst.map_or(0, |d| d.ofs));
            b.put16(0);
            if let Some(d) = l.result_dst {
                put_field_header(b, d.field);
            }
        }
        for spec in &l.specs {
            encode_spec(b, spec);
        }
    });
    true
}

fn encode_spec(b: &mut Vec<u8>, spec: &LearnSpec) {
    let src = matches!(spec.src, LearnSrc::Immediate(_));
    let dst = match spec.dst {
        LearnDst::Match(_) => 0,
        LearnDst::Load(_) => 1,
        LearnDst::Output => 2,
    };
    b.put16(spec.n_bits | u16::from(src) << 13 | dst << 11);
    let put_sub = |b: &mut Vec<u8>, s: Subfield| {
        b.put32(packed_header(s.field));
        b.put16(s.ofs);
    };
    match &spec.src {
        LearnSrc::Immediate(v) => oxm::put_value(b, v, 2 * usize::from(spec.n_bits).div_ceil(16)),
        LearnSrc::Field(s) => put_sub(b, *s),
    }
    match spec.dst {
        LearnDst::Match(d) | LearnDst::Load(d) => put_sub(b, d),
        LearnDst::Output => {}
    }
}
