//! Text form of bits of a field: `NXM_NX_REG0[0..7]`.

use std::sync::OnceLock;

use flow::text::number::put_dec;
use flow::{Field, Subfield};
use foldhash::HashMap;

/// The field with this NXM or OXM name or field name.
pub fn field_from_any_name(name: &str) -> Option<Field> {
    static BY_NUMBER: OnceLock<HashMap<&'static str, Field>> = OnceLock::new();
    let map =
        BY_NUMBER.get_or_init(|| Field::all().flat_map(|f| f.def().numbers.iter().map(move |n| (n.name, f))).collect());
    Field::from_name(name).or_else(|| map.get(name).copied())
}

/// The oldest NXM or OXM name, or the field's name if it has none.
pub fn wire_name(field: Field) -> &'static str {
    field.def().numbers.first().map_or(field.name(), |n| n.name)
}

/// Appends the text form.
pub fn put(out: &mut String, s: Subfield) {
    out.push_str(wire_name(s.field));
    let (first, n) = (s.ofs, s.n_bits);
    if first == 0 && n == s.field.def().bits {
        out.push_str("[]");
    } else {
        out.push('[');
        put_dec(out, u64::from(first));
        if n > 1 {
            out.push_str("..");
            put_dec(out, u64::from(first + n - 1));
        }
        out.push(']');
    }
}

/// Parses a subfield and returns what follows it.
pub fn take(s: &str) -> Result<(Subfield, &str), String> {
    let end = s.bytes().position(|b| matches!(b, b'[' | b'-')).unwrap_or(s.len());
    let name = &s[..end];
    let field = field_from_any_name(name).ok_or_else(|| format!("{s}: unknown field `{name}'"))?;
    let rest = &s[end..];
    let width = field.def().bits;
    let Some(inner) = rest.strip_prefix('[') else {
        return Ok((Subfield::whole(field), rest));
    };
    let syntax = || format!("{s}: syntax error expecting [] or [<bit>] or [<start>..<end>]");
    if let Some(rest) = inner.strip_prefix(']') {
        return Ok((Subfield::whole(field), rest));
    }
    let (start, inner) = take_bit(inner).ok_or_else(syntax)?;
    let (last, inner) = match inner.strip_prefix("..") {
        Some(inner) => take_bit(inner).ok_or_else(syntax)?,
        None => (start, inner),
    };
    let rest = inner.strip_prefix(']').ok_or_else(syntax)?;
    if start > last {
        return Err(format!("{s}: starting bit {start} is after ending bit {last}"));
    }
    if start >= u32::from(width) {
        return Err(format!("{s}: starting bit {start} is not valid because field is only {width} bits wide"));
    }
    if last >= u32::from(width) {
        return Err(format!("{s}: ending bit {last} is not valid because field is only {width} bits wide"));
    }
    Ok((Subfield { field, ofs: start as u16, n_bits: (last - start + 1) as u16 }, rest))
}

fn take_bit(s: &str) -> Option<(u32, &str)> {
    let s = s.trim_start();
    let end = s.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(s.len());
    Some((s[..end].parse().ok()?, &s[end..]))
}

/// Parses a whole string as a subfield.
pub fn parse(s: &str) -> Result<Subfield, String> {
    match take(s)? {
        (f, "") => Ok(f),
        (_, _) => Err("unexpected input following field syntax".to_string()),
    }
}
