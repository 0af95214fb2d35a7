//! Instructions (OpenFlow 1.1 and later), and what 1.0 makes of them.

use flow::OfPort;
use flow::text::number::{put_dec, take_u64};
use flow::text::{Style, put_table};

use super::frame::{self, DecodeContext, put_nx, put_of};
use super::text::{self, Parser, Place, number32, put_param, put_value};
use super::{Action, Resubmit, WriteMetadata, check};
use crate::codec::bytes::{Put, Reader};
use crate::error::Error;
use crate::protocol::Protocols;
use crate::version::{MeterId, TableId, Version};

type Parsed = Result<(), String>;

/// `goto_table:N`.
pub fn parse_goto_table(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let t = p.cx.table(s).ok_or_else(|| format!("unknown table \"{s}\""))?;
    p.out.push(Action::GotoTable(TableId(t)));
    Ok(())
}

/// `write_metadata:VALUE[/MASK]`.
pub fn parse_write_metadata(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.usable = p.usable.and(Protocols::NXM_OF11_UP);
    if s.is_empty() {
        return Err("missing required numeric argument".to_string());
    }
    let (value_text, mask_text) = match s.split_once('/') {
        Some((v, m)) => (v, Some(m)),
        None => (s, None),
    };
    let number = |t: &str| {
        take_u64(t)
            .filter(|(_, rest)| rest.is_empty())
            .map(|(n, _)| n)
            .ok_or_else(|| format!("invalid numeric format {t}"))
    };
    let mask = match mask_text {
        Some(m) => number(m)?,
        None => u64::MAX,
    };
    let value = number(value_text)?;
    p.out.push(Action::WriteMetadata(Box::new(WriteMetadata { value, mask })));
    Ok(())
}

/// `write_actions(ACTIONS)`.
pub fn parse_write_actions(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let inner = p.nested(s, Place::ActionSet)?;
    p.out.push(Action::WriteActions(inner.into()));
    Ok(())
}

/// `clear_actions`.
pub fn parse_clear_actions(p: &mut Parser<'_, '_>, _: &str) -> Parsed {
    p.out.push(Action::ClearActions);
    Ok(())
}

/// `apply_actions`: refused, since a plain list means the same.
pub fn parse_apply_actions(_: &mut Parser<'_, '_>, _: &str) -> Parsed {
    Err("apply_actions is the default instruction".to_string())
}

/// `meter:N`.
pub fn parse_meter(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.usable = p.usable.and(Protocols::OF13_UP);
    p.out.push(Action::Meter(MeterId(number32(s)?)));
    Ok(())
}

/// Appends the instruction if it is one.
pub fn format(out: &mut String, style: &Style<'_>, a: &Action) -> bool {
    match a {
        Action::Meter(m) => {
            put_param(out, style, "meter:");
            put_dec(out, u64::from(m.0));
        }
        Action::ClearActions => put_value(out, style, "clear_actions"),
        Action::WriteActions(inner) => {
            text::put_open(out, style, "write_actions");
            text::format(out, style, inner);
            flow::text::put_color(out, &style.colors.paren);
            out.push(')');
            flow::text::put_color(out, &style.colors.end);
        }
        Action::WriteMetadata(w) => {
            put_param(out, style, "write_metadata:");
            flow::text::number::put_alt_hex(out, u128::from(w.value));
            if w.mask != u64::MAX {
                out.push('/');
                flow::text::number::put_alt_hex(out, u128::from(w.mask));
            }
        }
        Action::GotoTable(t) => {
            put_param(out, style, "goto_table:");
            put_table(out, style, t.0);
        }
        _ => return false,
    }

    true
}

/// Appends the instruction as an action where the version has one: 1.0 writes metadata with a Nicira action and goes
/// to a table with resubmit; 1.5 has a meter action.
pub fn encode_as_action(out: &mut Vec<u8>, a: &Action, v: Version) -> bool {
    match a {
        Action::WriteMetadata(w) if v == Version::V10 => put_nx(out, 22, |b| {
            b.zeros(6);
            b.put64(w.value);
            b.put64(w.mask);
        }),
        Action::GotoTable(t) if v == Version::V10 => {
            let r = Resubmit { in_port: OfPort::IN_PORT, table: *t, with_ct: false, plain: false };
            super::control::encode(out, &Action::Resubmit(r), v);
        }
        Action::Meter(m) if v >= Version::V15 => put_of(out, 29, |b| b.put32(m.0)),
        _ => return false,
    }
    true
}

/// Reads NXAST_WRITE_METADATA.
pub fn decode_write_metadata(r: &mut Reader<'_>) -> Result<Action, Error> {
    if !crate::codec::bytes::is_zero(r.take(6)?) {
        return Err(Error::NxBadRequestMustBeZero);
    }
    Ok(Action::WriteMetadata(Box::new(WriteMetadata { value: r.u64()?, mask: r.u64()? })))
}

/// Kinds of instruction in the order of execution, which is that of the text form too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    Meter,
    ApplyActions,
    ClearActions,
    WriteActions,
    WriteMetadata,
    GotoTable,
}

impl Kind {
    /// The kind of an action.
    pub fn of(a: &Action) -> Kind {
        match a {
            Action::Meter(_) => Kind::Meter,
            Action::ClearActions => Kind::ClearActions,
            Action::WriteActions(_) => Kind::WriteActions,
            Action::WriteMetadata(_) => Kind::WriteMetadata,
            Action::GotoTable(_) => Kind::GotoTable,
            _ => Kind::ApplyActions,
        }
    }

    /// The name that is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Meter => "meter",
            Kind::ApplyActions => "apply_actions",
            Kind::ClearActions => "clear_actions",
            Kind::WriteActions => "write_actions",
            Kind::WriteMetadata => "write_metadata",
            Kind::GotoTable => "goto_table",
        }
    }
}

/// Appends a flow's actions: as actions in 1.0, as instructions from 1.1.
pub fn encode_flow(out: &mut Vec<u8>, actions: &[Action], v: Version) {
    if v == Version::V10 {
        frame::encode_list(out, actions, v);
        return;
    }
    let applied = |a: &&Action| match Kind::of(a) {
        Kind::ApplyActions => true,
        Kind::Meter => v >= Version::V15,
        _ => false,
    };
    let mut apply_done = false;
    for a in actions {
        match a {
            Action::Meter(m) if v == Version::V13 || v == Version::V14 => put_of(out, 6, |b| b.put32(m.0)),
            Action::ClearActions => put_of(out, 5, |b| b.zeros(4)),
            Action::WriteActions(inner) if inner.is_empty() => {}
            Action::WriteActions(inner) => put_of(out, 3, |b| {
                b.zeros(4);
                frame::encode_list(b, inner, v);
            }),
            Action::WriteMetadata(w) => put_of(out, 2, |b| {
                b.zeros(4);
                b.put64(w.value);
                b.put64(w.mask);
            }),
            Action::GotoTable(t) => put_of(out, 1, |b| b.put8(t.0)),
            Action::Meter(_) if v < Version::V13 => {}
            _ if !apply_done => {
                apply_done = true;
                put_of(out, 4, |b| {
                    b.zeros(4);
                    for a in actions.iter().filter(applied) {
                        frame::encode_one(b, a, v);
                    }
                });
            }
            _ => {}
        }
    }
}

/// Reads a flow's actions (1.0) or instructions (1.1 and later) to the end of `data`.
pub fn decode_flow(cx: DecodeContext, data: &[u8]) -> Result<Vec<Action>, Error> {
    let actions = if cx.version == Version::V10 {
        if !data.len().is_multiple_of(8) {
            return Err(Error::BadActionBadLen);
        }
        frame::decode_list(cx, data)?
    } else {
        decode_instructions(cx, data)?
    };
    check::verify(&actions, Place::Flow).map_err(|e| e.0)?;
    Ok(actions)
}

fn decode_instructions(cx: DecodeContext, data: &[u8]) -> Result<Vec<Action>, Error> {
    let bad_len = Error::BadInstructionBadLen;
    if !data.len().is_multiple_of(8) {
        return Err(bad_len);
    }
    let mut found: [Option<&[u8]>; 7] = [None; 7];
    let mut r = Reader::with_error(data, bad_len);
    while !r.is_empty() {
        let mut head = Reader::with_error(r.rest(), bad_len);
        let (ty, len) = (head.u16()?, usize::from(head.u16()?));
        if len < 8 || len % 8 != 0 || len > r.len() {
            return Err(bad_len);
        }
        let whole = r.take(len)?;
        let (index, fixed) = match ty {
            1 => (1, Some(8)),
            2 => (2, Some(24)),
            3 | 4 => (usize::from(ty), None),
            5 => (5, Some(8)),
            6 if cx.version <= Version::V14 || len != 8 => (6, Some(8)),
            0xffff => return Err(Error::BadInstructionBadExperimenter),
            _ => return Err(Error::BadInstructionUnknownInst),
        };
        if fixed.is_some_and(|f| f != len) {
            return Err(bad_len);
        }
        if found[index].is_some() {
            return Err(Error::BadInstructionDupInst);
        }
        found[index] = whole.get(4..);
    }
    let mut out = Vec::new();
    let body = |n: usize| found[n].map(|b| Reader::with_error(b, bad_len));
    if let Some(mut r) = body(6) {
        out.push(Action::Meter(MeterId(r.u32()?)));
    }
    if let Some(mut r) = body(4) {
        r.skip(4)?;
        out.append(&mut frame::decode_list(cx, r.rest())?);
    }
    if found[5].is_some() {
        out.push(Action::ClearActions);
    }
    if let Some(mut r) = body(3) {
        r.skip(4)?;
        let inner = frame::decode_list(cx.deeper()?, r.rest())?;
        if inner.iter().any(check::not_in_action_set) {
            return Err(Error::BadActionBadType);
        }
        check::verify(&inner, Place::ActionSet).map_err(|e| e.0)?;
        out.push(Action::WriteActions(inner.into()));
    }
    if let Some(mut r) = body(2) {
        r.skip(4)?;
        out.push(Action::WriteMetadata(Box::new(WriteMetadata { value: r.u64()?, mask: r.u64()? })));
    }
    if let Some(mut r) = body(1) {
        out.push(Action::GotoTable(TableId(r.u8()?)));
    }
    Ok(out)
}
