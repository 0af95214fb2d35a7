//! Control of the pipeline: resubmit, conjunction, clone, exit, notes, sampling, multipath, checks.

use flow::OfPort;
use flow::text::number::{put_dec, take_u64};
use flow::text::{Style, put_port, put_table, split_key_values};

use super::frame::{self, DecodeContext, Raw, put_nx};
use super::output::{
    field_header_len, hex_with_dots, make_subfield, ofs_nbits, packed_header, put_field_header, put_hex_with_dots,
    rest_zero, split_ofs_nbits, take_field, take_packed_field,
};
use super::text::{self, Parser, Place, number16, number32, put_close, put_open, put_param, put_value};
use super::{
    Action, HashFields, Multipath, MultipathAlgorithm, NumberOrField, Resubmit, Sample, SampleDirection, subfield,
};
use crate::codec::bytes::{Put, Reader};
use crate::error::Error;
use crate::version::{TableId, Version};

type Parsed = Result<(), String>;

/// `resubmit:PORT`, `resubmit(PORT,TABLE,ct)`.
pub fn parse_resubmit(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let (port_text, rest) = match s.split_once(',') {
        Some((a, b)) => (a, Some(b)),
        None => (s, None),
    };
    let in_port = if port_text.is_empty() {
        OfPort::IN_PORT
    } else {
        p.cx.port(port_text).ok_or_else(|| format!("{port_text}: resubmit to unknown port"))?
    };
    let mut table = TableId::ALL;
    let mut with_ct = false;
    if let Some(rest) = rest {
        // White space after a comma is skipped, before it it is part of the word.
        let mut words = rest.split(',').map(str::trim_start);
        if let Some(t) = words.next().filter(|t| !t.is_empty()) {
            table = TableId(p.cx.table(t).ok_or_else(|| format!("{t}: resubmit to unknown table"))?);
        }
        match words.next() {
            Some("ct") => with_ct = true,
            Some(other) => return Err(format!("{other}: unknown parameter")),
            None => {}
        }
    }
    if in_port == OfPort::IN_PORT && table == TableId::ALL {
        return Err("at least one \"in_port\" or \"table\" must be specified on resubmit".to_string());
    }
    p.out.push(Action::Resubmit(Resubmit { in_port, table, with_ct, plain: false }));
    Ok(())
}

/// `fin_timeout(idle_timeout=N,hard_timeout=N)`.
pub fn parse_fin_timeout(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let (mut idle, mut hard) = (0, 0);
    for (key, value) in split_key_values(s) {
        match key {
            "idle_timeout" => idle = number16(value, key)?,
            "hard_timeout" => hard = number16(value, key)?,
            _ => return Err(format!("invalid key '{key}' in 'fin_timeout' argument")),
        }
    }
    p.out.push(Action::FinTimeout { idle, hard });
    Ok(())
}

/// `conjunction(ID,K/N)`.
pub fn parse_conjunction(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let parsed = || {
        let (id, rest) = take_u64(s)?;
        let (k, rest) = take_u64(rest.trim_start().strip_prefix(',')?.trim_start())?;
        let (n, rest) = take_u64(rest.trim_start().strip_prefix('/')?.trim_start())?;
        rest.trim().is_empty().then_some((id as u32, k, n))
    };
    let (id, k, n) = parsed().ok_or("\"conjunction\" syntax is \"conjunction(id,i/n)\"")?;
    if n < 2 {
        return Err("conjunction must have at least 2 clauses".to_string());
    }
    if n > 64 {
        return Err("conjunction must have at most 64 clauses".to_string());
    }
    if k < 1 {
        return Err("clause index must be positive".to_string());
    }
    if k > n {
        return Err("clause index must be less than or equal to number of clauses".to_string());
    }
    p.out.push(Action::Conjunction { id, clause: (k - 1) as u8, n_clauses: n as u8 });
    Ok(())
}

/// `note:XX.XX`.
pub fn parse_note(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let bytes = hex_with_dots(s).ok_or("bad hex digit in `note' argument")?;
    p.out.push(Action::Note(bytes.into()));
    Ok(())
}

/// `exit`.
pub fn parse_exit(p: &mut Parser<'_, '_>, _: &str) -> Parsed {
    p.out.push(Action::Exit);
    Ok(())
}

/// `debug_slow`.
pub fn parse_debug_slow(p: &mut Parser<'_, '_>, _: &str) -> Parsed {
    p.out.push(Action::DebugSlow);
    Ok(())
}

/// `debug_recirc`.
pub fn parse_debug_recirc(p: &mut Parser<'_, '_>, _: &str) -> Parsed {
    p.out.push(Action::DebugRecirc);
    Ok(())
}

/// `unroll_xlate`: never from text.
pub fn parse_unroll_xlate(_: &mut Parser<'_, '_>, _: &str) -> Parsed {
    Err("UNROLL is an internal action that shouldn't be used via OpenFlow".to_string())
}

const ALGORITHMS: [(&str, MultipathAlgorithm); 4] = [
    ("modulo_n", MultipathAlgorithm::ModuloN),
    ("hash_threshold", MultipathAlgorithm::HashThreshold),
    ("hrw", MultipathAlgorithm::Hrw),
    ("iter_hash", MultipathAlgorithm::IterHash),
];

/// `multipath(fields, basis, algorithm, n_links, arg, dst)`.
pub fn parse_multipath(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let words: Vec<&str> = s.split([',', ' ']).filter(|w| !w.is_empty()).collect();
    let [fields_text, basis, algorithm, n_links, arg, dst, ..] = words[..] else {
        return Err(format!("{s}: not enough arguments to multipath action"));
    };
    let fields = HashFields::from_name(fields_text).ok_or_else(|| format!("{s}: unknown fields `{fields_text}'"))?;
    let number = |t: &str| take_u64(t).map_or(0, |n| n.0);
    let algorithm = ALGORITHMS
        .iter()
        .find(|a| a.0.eq_ignore_ascii_case(algorithm))
        .map(|a| a.1)
        .ok_or_else(|| format!("{s}: unknown algorithm `{algorithm}'"))?;
    let n_links = number(n_links) as i32;
    if !(1..=65536).contains(&n_links) {
        return Err(format!("{s}: n_links {n_links} is not in valid range 1 to 65536"));
    }
    let dst = subfield::parse(dst)?;
    if dst.n_bits < 16 && n_links > 1 << dst.n_bits {
        return Err(format!(
            "{s}: {}-bit destination field has {} possible values, less than specified n_links {n_links}",
            dst.n_bits,
            1u32 << dst.n_bits
        ));
    }
    p.out.push(Action::Multipath(Box::new(Multipath {
        fields,
        basis: number(basis) as u16,
        algorithm,
        max_link: (n_links - 1) as u16,
        arg: number(arg) as u32,
        dst,
    })));
    Ok(())
}

/// `sample(probability=…,collector_set_id=…,…)`.
pub fn parse_sample(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let mut x = Sample {
        probability: 0,
        collector_set: 0,
        obs_domain: NumberOrField::Number(0),
        obs_point: NumberOrField::Number(0),
        sampling_port: OfPort::NONE,
        direction: SampleDirection::Default,
        form: 0,
    };
    for (key, value) in split_key_values(s) {
        match key {
            "probability" => {
                x.probability = number16(value, "probability")?;
                if x.probability == 0 {
                    return Err(format!("invalid probability value \"{value}\""));
                }
            }
            "collector_set_id" => x.collector_set = number32(value)?,
            "obs_domain_id" => x.obs_domain = number_or_field(value, key)?,
            "obs_point_id" => x.obs_point = number_or_field(value, key)?,
            "sampling_port" => {
                x.sampling_port = p.cx.port(value).ok_or_else(|| format!("{value}: unknown port"))?;
            }
            "ingress" => x.direction = SampleDirection::Ingress,
            "egress" => x.direction = SampleDirection::Egress,
            _ => return Err(format!("invalid key \"{key}\" in \"sample\" argument")),
        }
    }
    if x.probability == 0 {
        return Err("non-zero \"probability\" must be specified on sample".to_string());
    }
    p.out.push(Action::Sample(Box::new(x)));
    Ok(())
}

fn number_or_field(s: &str, key: &str) -> Result<NumberOrField, String> {
    if let Ok(n) = number32(s) {
        return Ok(NumberOrField::Number(n));
    }
    let f = subfield::parse(s)?;
    if f.n_bits > 32 {
        return Err(format!("size of {key} field ({}) exceeds maximum (32)", f.n_bits));
    }
    Ok(NumberOrField::Field(f))
}

/// `clone(ACTIONS)`.
pub fn parse_clone(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    // As the original: what carries the copy's actions carries the list, whatever came before.
    p.usable = crate::protocol::Protocols::ANY;
    let inner = p.nested(s, Place::Clone)?;
    p.out.push(Action::Clone(inner.into()));
    Ok(())
}

/// `check_pkt_larger(LEN)->FIELD[BIT]`.
pub fn parse_check_pkt_larger(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let (len, dst) = s.split_once("->").ok_or_else(|| format!("{s}: missing `->'"))?;
    let len = number16(len.trim_matches(['(', ')', ' ']), "(null)")?;
    let dst = subfield::parse(dst.trim())?;
    if dst.n_bits != 1 {
        return Err("Only 1-bit destination field is allowed".to_string());
    }
    p.out.push(Action::CheckPktLarger { dst, len });
    Ok(())
}

/// Appends the action if it is of this family.
pub fn format(out: &mut String, style: &Style<'_>, a: &Action) -> bool {
    match a {
        Action::Resubmit(r) => format_resubmit(out, style, r),
        Action::FinTimeout { idle, hard } => {
            put_open(out, style, "fin_timeout");
            for (name, n) in [("idle_timeout=", idle), ("hard_timeout=", hard)] {
                if *n != 0 {
                    put_param(out, style, name);
                    put_dec(out, u64::from(*n));
                    out.push(',');
                }
            }
            put_close(out, style);
        }
        Action::Conjunction { id, clause, n_clauses } => {
            put_open(out, style, "conjunction");
            put_dec(out, u64::from(*id));
            out.push(',');
            put_dec(out, u64::from(*clause) + 1);
            out.push('/');
            put_dec(out, u64::from(*n_clauses));
            put_close(out, style);
        }
        Action::Note(bytes) => {
            put_value(out, style, "note:");
            put_hex_with_dots(out, bytes);
            // What is printed is what the wire carries: padded to fill the action.
            let padded = crate::codec::bytes::round8(bytes.len() + 10) - 10;
            for i in bytes.len()..padded {
                out.push_str(if i == 0 { "00" } else { ".00" });
            }
        }
        Action::Exit => put_value(out, style, "exit"),
        Action::Multipath(m) => format_multipath(out, style, m),
        Action::Sample(x) => format_sample(out, style, x),
        Action::UnrollXlate { table, cookie } => {
            put_open(out, style, "unroll_xlate");
            put_param(out, style, "table=");
            put_dec(out, u64::from(table.0));
            out.push_str(", ");
            put_param(out, style, "cookie=");
            put_dec(out, cookie.unwrap_or(0));
            put_close(out, style);
        }
        Action::Clone(inner) => {
            put_open(out, style, "clone");
            text::format(out, style, inner);
            flow::text::put_color(out, &style.colors.paren);
            out.push(')');
            flow::text::put_color(out, &style.colors.end);
        }
        Action::CheckPktLarger { dst, len } => {
            put_value(out, style, "check_pkt_larger");
            out.push('(');
            put_dec(out, u64::from(*len));
            out.push_str(")->");
            subfield::put(out, *dst);
        }
        Action::DebugSlow => put_value(out, style, "debug_slow"),
        Action::DebugRecirc => put_value(out, style, "debug_recirc"),
        _ => return false,
    }
    true
}

fn format_resubmit(out: &mut String, style: &Style<'_>, r: &Resubmit) {
    if r.in_port != OfPort::IN_PORT && r.table == TableId::ALL && !r.with_ct {
        put_value(out, style, "resubmit:");
        put_port(out, style, r.in_port);
        return;
    }
    put_open(out, style, "resubmit");
    if r.in_port != OfPort::IN_PORT {
        put_port(out, style, r.in_port);
    }
    out.push(',');
    if r.table != TableId::ALL {
        put_table(out, style, r.table.0);
    }
    if r.with_ct {
        out.push_str(",ct");
    }
    flow::text::put_color(out, &style.colors.paren);
    out.push(')');
    flow::text::put_color(out, &style.colors.end);
}

fn format_multipath(out: &mut String, style: &Style<'_>, m: &Multipath) {
    put_open(out, style, "multipath");
    out.push_str(m.fields.name());
    out.push(',');
    put_dec(out, u64::from(m.basis));
    out.push(',');
    out.push_str(ALGORITHMS[m.algorithm as usize].0);
    out.push(',');
    put_dec(out, u64::from(m.max_link) + 1);
    out.push(',');
    put_dec(out, u64::from(m.arg));
    out.push(',');
    subfield::put(out, m.dst);
    flow::text::put_color(out, &style.colors.paren);
    out.push(')');
    flow::text::put_color(out, &style.colors.end);
}

fn format_sample(out: &mut String, style: &Style<'_>, x: &Sample) {
    put_open(out, style, "sample");
    put_param(out, style, "probability=");
    put_dec(out, u64::from(x.probability));
    out.push(',');
    put_param(out, style, "collector_set_id=");
    put_dec(out, u64::from(x.collector_set));
    for (name, n) in [("obs_domain_id=", x.obs_domain), ("obs_point_id=", x.obs_point)] {
        out.push(',');
        put_param(out, style, name);
        match n {
            NumberOrField::Number(n) => put_dec(out, u64::from(n)),
            NumberOrField::Field(f) => subfield::put(out, f),
        }
    }
    if x.sampling_port != OfPort::NONE {
        out.push(',');
        put_param(out, style, "sampling_port=");
        put_port(out, style, x.sampling_port);
    }
    match x.direction {
        SampleDirection::Default => {}
        SampleDirection::Ingress => out.push_str(",ingress"),
        SampleDirection::Egress => out.push_str(",egress"),
    }
    flow::text::put_color(out, &style.colors.paren);
    out.push(')');
    flow::text::put_color(out, &style.colors.end);
}

/// Reads the action if it is of this family.
pub fn decode(cx: DecodeContext, raw: Raw, r: &mut Reader<'_>) -> Result<Option<Action>, Error> {
    let bad = Error::BadActionBadArgument;
    Ok(Some(match raw {
        Raw::Resubmit => {
            let in_port = OfPort(u32::from(r.u16()?));
            Action::Resubmit(Resubmit { in_port, table: TableId::ALL, with_ct: false, plain: true })
        }
        Raw::ResubmitTable | Raw::ResubmitTableCt => {
            let (in_port, table) = (OfPort(u32::from(r.u16()?)), TableId(r.u8()?));
            rest_zero(r, bad)?;
            Action::Resubmit(Resubmit { in_port, table, with_ct: raw == Raw::ResubmitTableCt, plain: false })
        }
        Raw::FinTimeout => Action::FinTimeout { idle: r.u16()?, hard: r.u16()? },
        Raw::Conjunction => {
            let (clause, n_clauses, id) = (r.u8()?, r.u8()?, r.u32()?);
            if !(2..=64).contains(&n_clauses) || clause >= n_clauses {
                return Err(Error::NxBadActionBadConjunction);
            }
            Action::Conjunction { id, clause, n_clauses }
        }
        Raw::Note => Action::Note(r.rest().into()),
        Raw::WriteMetadata => super::instruction::decode_write_metadata(r)?,
        Raw::Meter => Action::Meter(crate::version::MeterId(r.u32()?)),
        Raw::Exit => Action::Exit,
        Raw::Multipath => decode_multipath(r)?,
        Raw::Sample | Raw::Sample2 | Raw::Sample3 | Raw::Sample4 => decode_sample(raw, r)?,
        Raw::Clone => {
            r.skip(6)?;
            let inner = frame::decode_list(cx.deeper()?, r.rest())?;
            super::check::verify(&inner, Place::Clone).map_err(|e| e.0)?;
            Action::Clone(inner.into())
        }
        Raw::CheckPktLarger => {
            let (len, ofs) = (r.u16()?, r.u16()?);
            let field = take_field(r).map_err(|_| Error::BadMatchBadField)?;
            rest_zero(r, Error::NxBadRequestMustBeZero)?;
            if !field.def().writable {
                return Err(Error::BadActionBadSetArgument);
            }
            Action::CheckPktLarger { dst: make_subfield(field, ofs, 1)?, len }
        }
        Raw::DebugSlow | Raw::DebugRecirc if !cx.debug_actions => return Err(Error::BadActionBadVendorType),
        Raw::DebugSlow => Action::DebugSlow,
        Raw::DebugRecirc => Action::DebugRecirc,
        _ => return Ok(None),
    }))
}

fn decode_multipath(r: &mut Reader<'_>) -> Result<Action, Error> {
    let bad = Error::BadActionBadArgument;
    let fields = HashFields::from_wire(r.u16()?);
    let basis = r.u16()?;
    r.skip(2)?;
    let algorithm = ALGORITHMS.get(usize::from(r.u16()?)).map(|a| a.1);
    let max_link = r.u16()?;
    let arg = r.u32()?;
    r.skip(2)?;
    let (ofs, n_bits) = split_ofs_nbits(r.u16()?);
    let dst = make_subfield(take_packed_field(r)?, ofs, n_bits)?;
    let needed = 16 - max_link.leading_zeros();
    let (Some(fields), Some(algorithm)) = (fields, algorithm) else { return Err(bad) };
    if u32::from(n_bits) < needed {
        return Err(bad);
    }
    Ok(Action::Multipath(Box::new(Multipath { fields, basis, algorithm, max_link, arg, dst })))
}

fn decode_sample(raw: Raw, r: &mut Reader<'_>) -> Result<Action, Error> {
    let bad = Error::BadActionBadArgument;
    let probability = r.u16()?;
    if probability == 0 {
        return Err(bad);
    }
    let collector_set = r.u32()?;
    let mut x = Sample {
        probability,
        collector_set,
        obs_domain: NumberOrField::Number(0),
        obs_point: NumberOrField::Number(0),
        sampling_port: OfPort::NONE,
        direction: SampleDirection::Default,
        form: 1,
    };
    if raw == Raw::Sample4 {
        x.obs_domain = take_number_or_field(r)?;
        x.obs_point = take_number_or_field(r)?;
    } else {
        x.obs_domain = NumberOrField::Number(r.u32()?);
        x.obs_point = NumberOrField::Number(r.u32()?);
    }
    if raw == Raw::Sample {
        return Ok(Action::Sample(Box::new(x)));
    }
    x.sampling_port = OfPort(u32::from(r.u16()?));
    let direction = r.u8()?;
    x.form = match raw {
        Raw::Sample2 => 2,
        Raw::Sample3 => 3,
        _ => 4,
    };
    if raw != Raw::Sample2 {
        rest_zero(r, Error::NxBadRequestMustBeZero)?;
        x.direction = match direction {
            0 => SampleDirection::Default,
            1 => SampleDirection::Ingress,
            2 => SampleDirection::Egress,
            _ => return Err(bad),
        };
    }
    Ok(Action::Sample(Box::new(x)))
}

fn take_number_or_field(r: &mut Reader<'_>) -> Result<NumberOrField, Error> {
    let slot = r.rest().get(..4).unwrap_or(&[]);
    if slot.iter().all(|b| *b == 0) {
        r.skip(4)?;
        return Ok(NumberOrField::Number(r.u32()?));
    }
    let field = take_packed_field(r)?;
    let (ofs, n_bits) = split_ofs_nbits(r.u16()?);
    r.skip(2)?;
    let f = make_subfield(field, ofs, n_bits)?;
    if f.n_bits > 32 {
        return Err(Error::BadActionBadArgument);
    }
    Ok(NumberOrField::Field(f))
}

/// Appends the action if it is of this family.
pub fn encode(out: &mut Vec<u8>, a: &Action, v: Version) -> bool {
    match a {
        Action::Resubmit(r) => {
            let subtype = match (r.table == TableId::ALL && r.plain, r.with_ct) {
                (_, true) => 44,
                (true, false) => 1,
                (false, false) => 14,
            };
            put_nx(out, subtype, |b| {
                b.put16(r.in_port.to_of10());
                b.put8(if subtype == 1 { 0 } else { r.table.0 });
            });
        }
        Action::FinTimeout { idle, hard } => put_nx(out, 19, |b| {
            b.put16(*idle);
            b.put16(*hard);
        }),
        Action::Conjunction { id, clause, n_clauses } => put_nx(out, 34, |b| {
            b.put8(*clause);
            b.put8(*n_clauses);
            b.put32(*id);
        }),
        Action::Note(bytes) => put_nx(out, 8, |b| b.put(bytes)),
        Action::Exit => put_nx(out, 17, |_| {}),
        Action::Multipath(m) => put_nx(out, 10, |b| {
            b.put16(m.fields as u16);
            b.put16(m.basis);
            b.zeros(2);
            b.put16(m.algorithm as u16);
            b.put16(m.max_link);
            b.put32(m.arg);
            b.zeros(2);
            b.put16(ofs_nbits(m.dst));
            b.put32(packed_header(m.dst.field));
        }),
        Action::Sample(x) => encode_sample(out, x),
        Action::Clone(inner) => put_nx(out, 42, |b| {
            b.zeros(6);
            frame::encode_list(b, inner, v);
        }),
        Action::CheckPktLarger { dst, len } => put_nx(out, 49, |b| {
            b.put16(*len);
            b.put16(dst.ofs);
            put_field_header(b, dst.field);
            b.zeros(10 - field_header_len(dst.field));
        }),
        Action::DebugSlow => put_nx(out, 254, |_| {}),
        Action::DebugRecirc => put_nx(out, 255, |_| {}),
        _ => return false,
    }
    true
}

fn put_number_or_field(b: &mut Vec<u8>, n: NumberOrField) {
    match n {
        NumberOrField::Number(n) => {
            b.put32(0);
            b.put32(n);
        }
        NumberOrField::Field(f) => {
            b.put32(packed_header(f.field));
            b.put16(ofs_nbits(f));
            b.zeros(2);
        }
    }
}

fn encode_sample(out: &mut Vec<u8>, x: &Sample) {
    let by_field = |n: NumberOrField| matches!(n, NumberOrField::Field(_));
    if by_field(x.obs_domain) || by_field(x.obs_point) || x.form == 4 {
        put_nx(out, 51, |b| {
            b.put16(x.probability);
            b.put32(x.collector_set);
            put_number_or_field(b, x.obs_domain);
            put_number_or_field(b, x.obs_point);
            b.put16(x.sampling_port.to_of10());
            b.put8(x.direction as u8);
            b.zeros(5);
        });
        return;
    }
    let number = |n: NumberOrField| match n {
        NumberOrField::Number(n) => n,
        NumberOrField::Field(_) => 0,
    };
    let subtype = if x.form == 3 || x.direction != SampleDirection::Default {
        41
    } else if x.form == 2 || x.sampling_port != OfPort::NONE {
        38
    } else {
        29
    };
    put_nx(out, subtype, |b| {
        b.put16(x.probability);
        b.put32(x.collector_set);
        b.put32(number(x.obs_domain));
        b.put32(number(x.obs_point));
        if subtype != 29 {
            b.put16(x.sampling_port.to_of10());
            b.put8(x.direction as u8);
            b.zeros(5);
        }
    });
}
