//! Any field: load, set_field, move, push, pop, delete_field.

use flow::text::number::{put_alt_hex, take_u64};
use flow::text::{Style, format_value, parse_value};
use flow::{Field, FieldValue, Subfield};

use super::frame::{DecodeContext, Raw, put_nx, put_of, put_vendor};
use super::output::{
    field_header_len, make_subfield, ofs_nbits, packed_header, put_field_header, rest_zero, split_ofs_nbits,
    take_field, take_packed_field,
};
use super::text::{Parser, put_param, put_special};
use super::{Action, Move, SetField, SetFieldForm, subfield};
use crate::codec::bytes::{Put, Reader, is_zero};
use crate::codec::oxm::{self, Numbering};
use crate::codec::oxm_match::value_valid;
use crate::error::{Error, ONF_VENDOR};
use crate::protocol;
use crate::version::Version;

type Parsed = Result<(), String>;

fn split_arrow(s: &str) -> Result<(&str, &str), String> {
    let (value, dst) = s.split_once("->").ok_or_else(|| format!("{s}: missing `->'"))?;
    if dst.is_empty() {
        return Err(format!("{s}: missing field name following `->'"));
    }
    Ok((value.trim_end(), dst.trim()))
}

/// A number of up to 128 bits.
pub fn big_number(s: &str) -> Option<u128> {
    match s.strip_prefix("0x").or_else(|| s.strip_prefix("0X")) {
        Some(h) => u128::from_str_radix(h, 16).ok(),
        None => take_u64(s).and_then(|(n, rest)| rest.is_empty().then_some(u128::from(n))),
    }
}

/// `load:VALUE->FIELD[a..b]`.
pub fn parse_load(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let (value_text, dst_text) = split_arrow(s)?;
    let dst = subfield::parse(dst_text)?;
    let value = big_number(value_text)
        .filter(|v| dst.field.def().bytes >= 16 || v >> (8 * dst.field.def().bytes) == 0)
        .ok_or_else(|| format!("{s}: cannot parse integer value"))?;
    let bits = flow::text::value::ones(u32::from(dst.n_bits));
    if value & !bits != 0 {
        let mut shown = String::new();
        format_value(&mut shown, &Style::default(), dst.field, &FieldValue::Int(value), None);
        return Err(format!("{s}: value {shown} does not fit into {} bits", dst.n_bits));
    }
    p.out.push(Action::SetField(Box::new(from_subfield(dst, value, SetFieldForm::RegLoad))));
    Ok(())
}

/// Sets the bits of a subfield.
pub fn from_subfield(dst: Subfield, value: u128, form: SetFieldForm) -> SetField {
    let bits = flow::text::value::ones(u32::from(dst.n_bits));
    let (value, mask) = (value & bits, bits);
    let shift = |x: u128| FieldValue::Int(x.checked_shl(u32::from(dst.ofs)).unwrap_or(0));
    SetField { field: dst.field, value: shift(value), mask: shift(mask), form, flow_has_vlan: false }
}

/// `set_field:VALUE[/MASK]->FIELD`.
pub fn parse_set_field(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let (value_text, name) = match s.split_once("->") {
        Some((v, d)) => (v.trim_end(), d.trim()),
        None => return Err(format!("{s}: missing `->'")),
    };
    if name.is_empty() {
        return Err(format!("{s}: missing field name following `->'"));
    }
    let field = Field::from_name(name).ok_or_else(|| format!("{name} is not a valid OXM field name"))?;
    if !field.def().writable {
        return Err(format!("{name} is read-only"));
    }
    if value_text.is_empty() {
        return Err(format!(": bad syntax for {} value", field.name()));
    }
    let (value, mask) = match parse_value(p.cx, field, value_text)? {
        Some(x) => x,
        None => (FieldValue::Int(0), FieldValue::Int(0)),
    };
    if field.tun_metadata_index().is_none() && !value_valid(field, valid_form(field, &value)) {
        return Err(format!("{value_text} is not a valid value for field {name}"));
    }
    let exact = mask_is_full(field, &mask);
    if field.tun_metadata_index().is_none() {
        // Whatever the mask is.
        p.usable = p.usable.and(protocol::for_field(field, field.byte_mask()));
    } else {
        p.usable = p.usable.and(protocol::Protocols::NXM_OXM_ANY);
    }
    let mask = match (&mask, exact) {
        (FieldValue::Int(_), true) if field.tun_metadata_index().is_none() => FieldValue::Int(field.byte_mask()),
        _ => mask,
    };
    p.out.push(Action::SetField(Box::new(SetField {
        field,
        value,
        mask,
        form: SetFieldForm::SetField,
        flow_has_vlan: false,
    })));
    Ok(())
}

fn valid_form(field: Field, value: &FieldValue) -> u128 {
    match field {
        Field::IN_PORT_OXM => u128::from(flow::OfPort(value.low() as u32).to_of11()),
        _ => value.low(),
    }
}

/// Whether a mask covers all bits of the field's bytes.
pub fn mask_is_full(field: Field, mask: &FieldValue) -> bool {
    match mask {
        FieldValue::Wide(b) => b.iter().all(|x| *x == 0xff),
        FieldValue::Int(m) if field.tun_metadata_index().is_some() => *m == u128::MAX,
        FieldValue::Int(m) => m & field.byte_mask() == field.byte_mask(),
    }
}

/// The bits that load can set.
pub fn field_bits(field: Field) -> u128 {
    flow::text::value::ones(u32::from(field.def().bits))
}

/// `move:SRC->DST`.
pub fn parse_move(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let (src, rest) = subfield::take(s)?;
    let Some(dst_text) = rest.strip_prefix("->") else {
        return Err(format!("{s}: missing `->' following source"));
    };
    let (dst, rest) = subfield::take(dst_text)?;
    if !rest.is_empty() {
        return Err(format!("{s}: trailing garbage following destination"));
    }
    if src.n_bits != dst.n_bits {
        return Err(format!(
            "{s}: source field is {} bits wide but destination is {} bits wide",
            src.n_bits, dst.n_bits
        ));
    }
    p.out.push(Action::Move(Box::new(Move { src, dst, copy_field: false })));
    Ok(())
}

/// `push:FIELD[a..b]`.
pub fn parse_push(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let (f, rest) = subfield::take(s)?;
    if !rest.is_empty() {
        return Err(format!("{rest}: trailing garbage following push or pop"));
    }
    p.out.push(Action::StackPush(f));
    Ok(())
}

/// `pop:FIELD[a..b]`.
pub fn parse_pop(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let (f, rest) = subfield::take(s)?;
    if !rest.is_empty() {
        return Err(format!("{rest}: trailing garbage following push or pop"));
    }
    p.out.push(Action::StackPop(f));
    Ok(())
}

/// `delete_field:FIELD`.
pub fn parse_delete_field(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let field = subfield::field_from_any_name(s).ok_or_else(|| format!("unknown field `{s}'"))?;
    p.out.push(Action::DeleteField(field));
    Ok(())
}

/// Runs of set bits of a mask, lowest first, each at most 64 bits: offset and width.
pub fn segments(mask: u128) -> impl Iterator<Item = (u16, u16)> {
    let mut at = 0u32;
    std::iter::from_fn(move || {
        if at >= 128 || mask >> at == 0 {
            return None;
        }
        at += (mask >> at).trailing_zeros();
        let run = (!(mask >> at)).trailing_zeros().min(128 - at).min(64);
        let out = (at as u16, run as u16);
        at += run;
        Some(out)
    })
}

/// Appends the action if it is of this family.
pub fn format(out: &mut String, style: &Style<'_>, a: &Action) -> bool {
    match a {
        Action::SetField(s) => format_set_field(out, style, s),
        Action::Move(m) => {
            put_special(out, style, "move:");
            subfield::put(out, m.src);
            put_special(out, style, "->");
            subfield::put(out, m.dst);
        }
        Action::StackPush(f) => {
            put_param(out, style, "push:");
            subfield::put(out, *f);
        }
        Action::StackPop(f) => {
            put_param(out, style, "pop:");
            subfield::put(out, *f);
        }
        Action::DeleteField(f) => {
            put_param(out, style, "delete_field:");
            out.push_str(f.name());
        }
        _ => return false,
    }
    true
}

fn format_set_field(out: &mut String, style: &Style<'_>, s: &SetField) {
    if s.form == SetFieldForm::RegLoad && !matches!(s.mask, FieldValue::Wide(_)) {
        let (value, mask) = (s.value.low(), s.mask.low() & field_bits(s.field));
        for (i, (ofs, n_bits)) in segments(mask).enumerate() {
            if i > 0 {
                out.push(',');
            }
            put_special(out, style, "load:");
            put_alt_hex(out, value >> ofs & flow::text::value::ones(u32::from(n_bits)));
            put_special(out, style, "->");
            subfield::put(out, Subfield { field: s.field, ofs, n_bits });
        }
        return;
    }
    put_special(out, style, "set_field:");
    let full = mask_is_full(s.field, &s.mask);
    format_value(out, style, s.field, &s.value, if full { None } else { Some(&s.mask) });
    put_special(out, style, "->");
    out.push_str(s.field.name());
}

/// Reads the action if it is of this family.
pub fn decode(cx: DecodeContext, raw: Raw, r: &mut Reader<'_>) -> Result<Option<Action>, Error> {
    Ok(Some(match raw {
        Raw::SetField => decode_set_field(r, cx.version < Version::V15, SetFieldForm::SetField)?,
        Raw::RegLoad2 => decode_set_field(r, false, SetFieldForm::RegLoad2)?,
        Raw::RegLoad => {
            let (ofs, n) = split_ofs_nbits(r.u16()?);
            let dst = make_subfield(take_packed_field(r)?, ofs, n)?;
            let value = u128::from(r.u64()?);
            if !dst.field.def().writable {
                return Err(Error::BadActionBadSetArgument);
            }
            if value & !flow::text::value::ones(u32::from(n)) != 0 {
                return Err(Error::BadActionBadArgument);
            }
            Action::SetField(Box::new(from_subfield(dst, value, SetFieldForm::RegLoad)))
        }
        Raw::RegMove | Raw::CopyField15 | Raw::CopyField13 => {
            if raw == Raw::CopyField13 {
                r.skip(2)?;
            }
            let (n_bits, src_ofs, dst_ofs) = (r.u16()?, r.u16()?, r.u16()?);
            if raw != Raw::RegMove {
                r.skip(2)?;
            }
            let src = take_field(r)?;
            let dst = take_field(r)?;
            rest_zero(r, Error::NxBadRequestMustBeZero)?;
            let (src, dst) = (make_subfield(src, src_ofs, n_bits)?, make_subfield(dst, dst_ofs, n_bits)?);
            if !dst.field.def().writable {
                return Err(Error::BadActionBadSetArgument);
            }
            Action::Move(Box::new(Move { src, dst, copy_field: raw != Raw::RegMove }))
        }
        Raw::StackPush | Raw::StackPop => {
            let ofs = r.u16()?;
            let field = take_field(r)?;
            let n_bits = r.u16()?;
            rest_zero(r, Error::NxBadRequestMustBeZero)?;
            let f = make_subfield(field, ofs, n_bits)?;
            if raw == Raw::StackPush {
                Action::StackPush(f)
            } else if f.field.def().writable {
                Action::StackPop(f)
            } else {
                return Err(Error::BadActionBadSetArgument);
            }
        }
        Raw::DeleteField => Action::DeleteField(take_field(r)?),
        _ => return Ok(None),
    }))
}

fn decode_set_field(r: &mut Reader<'_>, refuse_mask: bool, form: SetFieldForm) -> Result<Action, Error> {
    let bad = Error::BadActionBadSetArgument;
    let entry = oxm::take_entry(r).map_err(|e| match e {
        Error::BadMatchBadField | Error::BadMatchBadLen => Error::BadActionBadSetLen,
        Error::BadMatchBadMask => Error::BadActionBadSetMask,
        e => e,
    })?;
    if !is_zero(r.rest()) {
        return Err(bad);
    }
    let field = entry.field;
    if refuse_mask && entry.mask.is_some() {
        return Err(Error::BadActionBadSetMask);
    }
    if !field.def().writable || (form == SetFieldForm::SetField && field == Field::IN_PORT_OXM) {
        return Err(bad);
    }
    let value_ok = field.tun_metadata_index().is_some() || value_valid(field, entry.value.low());
    if !value_ok {
        return Err(bad);
    }
    if field == Field::VLAN_VID {
        let mask = entry.mask.as_ref().map_or(u128::MAX, FieldValue::low);
        if entry.value.low() & 0x1000 == 0 || mask & 0x1000 == 0 {
            return Err(bad);
        }
    }
    let mask = match entry.mask {
        Some(m) => m,
        None => match &entry.value {
            FieldValue::Wide(b) => FieldValue::Wide(vec![0xff; b.len()].into()),
            FieldValue::Int(_) if field.tun_metadata_index().is_some() => FieldValue::Int(u128::MAX),
            FieldValue::Int(_) => FieldValue::Int(field.byte_mask()),
        },
    };
    let value = if field == Field::IN_PORT_OXM {
        FieldValue::Int(u128::from(flow::OfPort::from_of11(entry.value.low() as u32).ok_or(bad)?.0))
    } else {
        entry.value
    };
    Ok(Action::SetField(Box::new(SetField { field, value, mask, form, flow_has_vlan: false })))
}

/// Appends a set_field action of 1.2 and later.
pub fn put_set_field_entry(out: &mut Vec<u8>, v: Version, field: Field, value: &FieldValue, mask: Option<&FieldValue>) {
    let len = value_len(field, value, mask);
    put_of(out, 25, |b| oxm::put_entry(b, field, Numbering::Oxm(v), value, mask, len));
}

/// Bytes of a value on the wire: the field's, or as many as tunnel metadata needs (a multiple of 4).
fn value_len(field: Field, value: &FieldValue, mask: Option<&FieldValue>) -> usize {
    if field.tun_metadata_index().is_none() {
        return usize::from(field.def().bytes);
    }
    let significant = |v: &FieldValue| match v {
        FieldValue::Int(x) => 16 - (x.leading_zeros() / 8) as usize,
        FieldValue::Wide(b) => b.len() - b.iter().position(|x| *x != 0).unwrap_or(b.len()),
    };
    let n = significant(value).max(mask.map_or(0, significant)).max(1);
    n.div_ceil(4) * 4
}

/// Appends NXAST_REG_LOAD for the whole of a field.
pub fn encode_reg_load_whole(out: &mut Vec<u8>, field: Field, value: u64) {
    put_reg_load(out, Subfield::whole(field), value);
}

fn put_reg_load(out: &mut Vec<u8>, dst: Subfield, value: u64) {
    put_nx(out, 7, |b| {
        b.put16(ofs_nbits(dst));
        b.put32(packed_header(dst.field));
        b.put64(value);
    });
}

/// Appends the action if it is of this family.
pub fn encode(out: &mut Vec<u8>, a: &Action, v: Version) -> bool {
    match a {
        Action::SetField(s) => encode_set_field(out, s, v),
        Action::Move(m) => encode_move(out, m, v),
        Action::StackPush(f) => encode_stack(out, 27, *f),
        Action::StackPop(f) => encode_stack(out, 28, *f),
        Action::DeleteField(f) => put_nx(out, 50, |b| {
            put_field_header(b, *f);
            b.zeros(14 - field_header_len(*f));
        }),
        _ => return false,
    }
    true
}

fn encode_stack(out: &mut Vec<u8>, subtype: u16, f: Subfield) {
    put_nx(out, subtype, |b| {
        b.put16(f.ofs);
        put_field_header(b, f.field);
        b.put16(f.n_bits);
        b.zeros(10 - field_header_len(f.field));
    });
}

fn encode_move(out: &mut Vec<u8>, m: &Move, v: Version) {
    if v == Version::V15 {
        put_of(out, 28, |b| {
            b.put16(m.src.n_bits);
            b.put16(m.src.ofs);
            b.put16(m.dst.ofs);
            b.zeros(2);
            put_headers_of(b, m, v);
        });
    } else if v == Version::V13 && m.copy_field {
        put_vendor(out, ONF_VENDOR, 3200, |b| {
            b.zeros(2);
            b.put16(m.src.n_bits);
            b.put16(m.src.ofs);
            b.put16(m.dst.ofs);
            b.zeros(2);
            put_headers_of(b, m, v);
        });
    } else {
        put_nx(out, 6, |b| {
            b.put16(m.src.n_bits);
            b.put16(m.src.ofs);
            b.put16(m.dst.ofs);
            put_field_header(b, m.src.field);
            put_field_header(b, m.dst.field);
        });
    }
}

fn put_headers_of(b: &mut Vec<u8>, m: &Move, v: Version) {
    for f in [m.src.field, m.dst.field] {
        oxm::put_header(b, f, Numbering::Oxm(v), false, usize::from(f.def().bytes));
    }
}

fn encode_set_field(out: &mut Vec<u8>, s: &SetField, v: Version) {
    if v >= Version::V12 && s.field.def().numbers.is_empty() {
        return encode_unnumbered(out, s, v);
    }
    let full = mask_is_full(s.field, &s.mask);
    let mask = if full { None } else { Some(&s.mask) };
    if v >= Version::V15 {
        put_set_field_entry(out, v, s.field, &wire_value(s, v), mask);
        return;
    }
    match s.form {
        SetFieldForm::RegLoad => return put_reg_loads(out, s),
        SetFieldForm::RegLoad2 => return put_reg_load2(out, s),
        SetFieldForm::SetField => {}
    }
    if v >= Version::V12 {
        if full {
            put_set_field_entry(out, v, s.field, &wire_value(s, v), None);
        } else {
            put_reg_loads(out, s);
        }
        return;
    }
    // The actions of old have no mask.
    if encode_legacy(out, s, v) {
        return;
    }
    put_reg_loads(out, s);
}

/// The value as the wire has it: ports become 32-bit numbers.
fn wire_value(s: &SetField, _v: Version) -> FieldValue {
    match s.field {
        Field::IN_PORT_OXM | Field::ACTSET_OUTPUT if s.form != SetFieldForm::RegLoad => {
            FieldValue::Int(u128::from(flow::OfPort(s.value.low() as u32).to_of11()))
        }
        _ => s.value.clone(),
    }
}

fn put_reg_loads(out: &mut Vec<u8>, s: &SetField) {
    let exp = oxm::number_of(s.field, Numbering::Nxm).is_none_or(|n| n.class == 0xffff);
    if exp || s.field.tun_metadata_index().is_some() {
        put_reg_load2(out, s);
        return;
    }
    let (value, mask) = (wire_value(s, Version::V10).low(), s.mask.low() & field_bits(s.field));
    for (ofs, n_bits) in segments(mask) {
        let part = value >> ofs & flow::text::value::ones(u32::from(n_bits));
        put_reg_load(out, Subfield { field: s.field, ofs, n_bits }, part as u64);
    }
}

fn put_reg_load2(out: &mut Vec<u8>, s: &SetField) {
    let full = mask_is_full(s.field, &s.mask);
    let mask = if full { None } else { Some(&s.mask) };
    let value = wire_value(s, Version::V10);
    let len = value_len(s.field, &value, mask);
    put_nx(out, 33, |b| oxm::put_entry(b, s.field, Numbering::Nxm, &value, mask, len));
}

/// OpenFlow 1.2 and later, for a field of 1.0 that has no number: the field that took its place.
fn encode_unnumbered(out: &mut Vec<u8>, s: &SetField, v: Version) {
    let n = s.value.low();
    match s.field {
        Field::DL_VLAN => put_set_field_entry(out, v, Field::VLAN_VID, &FieldValue::Int(n & 0xfff | 0x1000), None),
        Field::DL_VLAN_PCP => put_set_field_entry(out, v, Field::VLAN_PCP, &FieldValue::Int(n & 7), None),
        _ => {}
    }
}

/// OpenFlow 1.0 and 1.1: the action of old where there is one.
fn encode_legacy(out: &mut Vec<u8>, s: &SetField, v: Version) -> bool {
    let n = s.value.low();
    let old = match s.field {
        Field::ETH_SRC => Action::SetEthSrc(wire::EthAddr::from_u64(n as u64)),
        Field::ETH_DST => Action::SetEthDst(wire::EthAddr::from_u64(n as u64)),
        Field::IP_SRC => Action::SetIpv4Src((n as u32).into()),
        Field::IP_DST => Action::SetIpv4Dst((n as u32).into()),
        Field::NW_TOS => Action::SetIpDscp(n as u8),
        Field::IP_DSCP => Action::SetIpDscp((n as u8) << 2),
        Field::NW_ECN => Action::SetIpEcn(n as u8 & 3),
        Field::TCP_SRC | Field::UDP_SRC => Action::SetL4Src { port: n as u16, ip_proto: 0 },
        Field::TCP_DST | Field::UDP_DST => Action::SetL4Dst { port: n as u16, ip_proto: 0 },
        Field::DL_VLAN | Field::VLAN_VID => {
            Action::SetVlanVid { vid: n as u16 & 0xfff, push_if_needed: false, flow_has_vlan: true }
        }
        Field::DL_VLAN_PCP | Field::VLAN_PCP => {
            Action::SetVlanPcp { pcp: n as u8 & 7, push_if_needed: false, flow_has_vlan: true }
        }
        Field::VLAN_TCI => {
            encode_tci(out, s, v);
            return true;
        }
        _ => return false,
    };
    super::header::encode(out, &old, v)
}

fn encode_tci(out: &mut Vec<u8>, s: &SetField, v: Version) {
    let tci = s.value.low() as u16;
    if tci & 0x1000 == 0 {
        super::header::encode(out, &Action::StripVlan { pop: false }, v);
        return;
    }
    if v == Version::V11 && !s.flow_has_vlan {
        super::header::encode(out, &Action::PushVlan(0x8100), v);
    }
    let vid = Action::SetVlanVid { vid: tci & 0xfff, push_if_needed: false, flow_has_vlan: true };
    let pcp = Action::SetVlanPcp { pcp: (tci >> 13) as u8, push_if_needed: false, flow_has_vlan: true };
    super::header::encode(out, &vid, v);
    super::header::encode(out, &pcp, v);
}
