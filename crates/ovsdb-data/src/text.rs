//! The text forms of atoms and datums that the tools print and read: `abc`, `"a b"`, `[a, b]`, `{k=v, "x y"=z}`.

use crate::atom::{Atom, AtomType, Symbols};
use crate::column_type::{BaseType, ColumnType};
use crate::datum::Datum;
use crate::json;
use crate::uuid::Uuid;

/// A message for the user.
pub type TextResult<T> = Result<T, String>;

/// True if a string has to be quoted to be read back as it is.
fn needs_quotes(text: &str) -> bool {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let goes_on = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    !(starts && goes_on) || text == "true" || text == "false" || Uuid::parse(text).is_some()
}

/// A string as it is if that is unambiguous, else quoted as in JSON.
pub fn string_to_text(text: &str) -> String {
    if !needs_quotes(text) {
        return text.to_string();
    }
    let mut out = Vec::new();
    json::write_string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// An atom's text.
pub fn atom_to_string(atom: &Atom) -> String {
    match atom {
        Atom::Integer(value) => value.to_string(),
        Atom::Real(value) => json::real_to_string(*value),
        Atom::Boolean(value) => value.to_string(),
        Atom::String(text) => string_to_text(text),
        Atom::Uuid(uuid) => uuid.to_string(),
    }
}

/// A datum's text in a column of this type.
pub fn datum_to_string(datum: &Datum, column_type: &ColumnType) -> String {
    format_datum(datum, column_type.is_map(), column_type.n_max > 1 || datum.is_empty(), &atom_to_string)
}

/// A datum's text with brackets, for a datum without a type.
pub fn datum_to_string_any(datum: &Datum) -> String {
    format_datum(datum, datum.is_map(), true, &atom_to_string)
}

/// A datum's text, with a text of the caller's choice for each atom.
pub fn format_datum(datum: &Datum, map: bool, brackets: bool, atom: &dyn Fn(&Atom) -> String) -> String {
    let elements: Vec<String> = if map {
        datum.pairs().iter().map(|(key, value)| format!("{}={}", atom(key), atom(value))).collect()
    } else {
        datum.atoms().iter().map(atom).collect()
    };
    let elements = elements.join(", ");
    match (brackets, map) {
        (false, _) => elements,
        (true, true) => format!("{{{elements}}}"),
        (true, false) => format!("[{elements}]"),
    }
}

/// The text with which values are joined in names and bare output: no quotes, no brackets.
pub fn datum_to_bare(datum: &Datum) -> String {
    let bare = |atom: &Atom| match atom {
        Atom::String(text) => text.to_string(),
        other => atom_to_string(other),
    };
    let mut parts: Vec<String> = datum.atoms().iter().map(bare).collect();
    parts.extend(datum.pairs().iter().map(|(key, value)| format!("{}={}", bare(key), bare(value))));
    parts.join(" ")
}

/// Reads an atom; checks its constraint. `@name` is a symbol where a UUID is expected and `symbols` are given.
pub fn atom_from_str(base: &BaseType, text: &str, symbols: Option<&mut dyn Symbols>) -> TextResult<Atom> {
    let atom = unchecked_atom(base.atom_type, text, symbols)?;
    base.check(&atom).map_err(|error| error.to_string())?;
    Ok(atom)
}

fn unchecked_atom(atom_type: AtomType, text: &str, symbols: Option<&mut dyn Symbols>) -> TextResult<Atom> {
    match atom_type {
        AtomType::Integer => match text.parse() {
            Ok(value) => Ok(Atom::Integer(value)),
            Err(_) => Err(format!("\"{text}\" is not a valid integer or range")),
        },
        AtomType::Real => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Atom::Real(value + 0.0)),
            _ => Err(format!("\"{text}\" is not a valid real number")),
        },
        AtomType::Boolean => match text {
            "true" | "yes" | "on" | "1" => Ok(Atom::Boolean(true)),
            "false" | "no" | "off" | "0" => Ok(Atom::Boolean(false)),
            _ => Err(format!("\"{text}\" is not a valid boolean (use \"true\" or \"false\")")),
        },
        AtomType::String => string_from_str(text).map(|text| Atom::string(&text)),
        AtomType::Uuid => match (text.strip_prefix('@'), symbols) {
            (Some(_), Some(symbols)) => Ok(Atom::Uuid(symbols.symbol(text))),
            _ => match Uuid::parse(text) {
                Some(uuid) => Ok(Atom::Uuid(uuid)),
                None => Err(format!("\"{text}\" is not a valid UUID")),
            },
        },
    }
}

fn string_from_str(text: &str) -> TextResult<String> {
    if text.is_empty() {
        return Err("An empty string is not valid as input; use \"\" to represent the empty string".into());
    }
    if !text.starts_with('"') {
        return Ok(text.to_string());
    }
    if text.len() < 2 || !text.ends_with('"') {
        return Err(format!("{text}: missing quote at end of quoted string"));
    }
    serde_json::from_str::<String>(text).map_err(|error| format!("{text}: {error}"))
}

/// Reads a token: everything up to a delimiter or space. Quotes in it keep what they enclose together, and stay; elsewhere a
/// backslash makes the character after it part of the token.
///
/// Advances `rest` past it. Fails on a quote that is not closed and a backslash at the end.
pub fn token(rest: &mut &str) -> TextResult<String> {
    let text = *rest;
    let (mut out, mut quoted) = (String::new(), false);
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, next) = chars.next().ok_or_else(|| format!("{text}: backslash at end of argument"))?;
                if quoted {
                    out.push(c);
                }
                out.push(next);
            }
            _ if !quoted && (is_delimiter(c) || c.is_ascii_whitespace()) => {
                end = at;
                break;
            }
            _ => {
                quoted ^= c == '"';
                out.push(c);
            }
        }
    }
    if quoted {
        return Err(format!("{text}: quoted string extends past end of argument"));
    }
    *rest = &text[end..];
    Ok(out)
}

fn is_delimiter(c: char) -> bool {
    ":=, []{}!<>".contains(c)
}

/// Between two elements.
fn skip_space(rest: &mut &str) {
    *rest = rest.trim_start();
    *rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
}

/// Reads a datum: `a`, `a,b`, `[a, b]`, `k=v`, `{k=v, …}`; checks its constraints and number of elements.
pub fn datum_from_str(
    column_type: &ColumnType,
    text: &str,
    mut symbols: Option<&mut dyn Symbols>,
) -> TextResult<Datum> {
    let is_map = column_type.is_map();
    let mut rest = text;
    let (open, close) = if is_map { ('{', '}') } else { ('[', ']') };
    let bracketed = rest.starts_with(open);
    if bracketed {
        rest = &rest[1..];
    }
    let (mut atoms, mut pairs) = (Vec::new(), Vec::new());
    rest = rest.trim_start();
    loop {
        if rest.is_empty() || bracketed && rest.starts_with(close) {
            break;
        }
        if let Some(c) = rest.chars().next().filter(|&c| is_delimiter(c)) {
            return Err(format!("{text}: unexpected \"{c}\" parsing {}", column_type.to_english()));
        }
        let key_text = token(&mut rest)?;
        if let Some(value_type) = &column_type.value {
            let key = atom_from_str(&column_type.key, &key_text, again(&mut symbols))?;
            let after = rest.trim_start();
            let found = &after[..after.chars().next().map_or(0, char::len_utf8)];
            rest = after
                .strip_prefix('=')
                .ok_or_else(|| format!("{text}: syntax error at \"{found}\" expecting \"=\""))?;
            rest = rest.trim_start();
            let value_text = token(&mut rest)?;
            let value = atom_from_str(value_type, &value_text, again(&mut symbols))?;
            pairs.push((key, value));
        } else if let Some((low, high)) = integer_span(&column_type.key, &key_text)? {
            for value in low..=high {
                let atom = Atom::Integer(value);
                column_type.key.check(&atom).map_err(|error| error.to_string())?;
                atoms.push(atom);
            }
        } else {
            atoms.push(atom_from_str(&column_type.key, &key_text, again(&mut symbols))?);
        }
        skip_space(&mut rest);
    }
    if bracketed {
        rest = rest.strip_prefix(close).ok_or_else(|| format!("{text}: missing \"{close}\" at end of data"))?;
    }
    if !rest.trim_start().is_empty() {
        return Err(format!("{text}: trailing garbage after \"{close}\""));
    }
    finish(column_type, text, atoms, pairs)
}

fn finish(column_type: &ColumnType, text: &str, atoms: Vec<Atom>, pairs: Vec<(Atom, Atom)>) -> TextResult<Datum> {
    let read = atoms.len() + pairs.len();
    let datum = if column_type.is_map() { Datum::map(pairs) } else { Datum::set(atoms) };
    if datum.len() != read {
        let what = if column_type.is_map() { "map contains duplicate key" } else { "set contains duplicate value" };
        return Err(format!("{text}: {what}"));
    }
    let what = if column_type.is_map() { "pair(s)" } else { "value(s)" };
    if column_type.n_max != u32::MAX && read > column_type.n_max as usize {
        return Err(format!("{text}: {read} {what} specified but the maximum number is {}", column_type.n_max));
    }
    if read < column_type.n_min as usize {
        return Err(format!("{text}: {read} {what} specified but the minimum number is {}", column_type.n_min));
    }
    Ok(datum)
}

fn again<'a>(symbols: &'a mut Option<&mut dyn Symbols>) -> Option<&'a mut dyn Symbols> {
    match symbols {
        Some(symbols) => Some(&mut **symbols),
        None => None,
    }
}

/// `5-9`, which stands for all of 5 to 9 in a set of integers. At most 4096 numbers, the size of the VLAN space.
fn integer_span(base: &BaseType, text: &str) -> TextResult<Option<(i64, i64)>> {
    if base.atom_type != AtomType::Integer {
        return Ok(None);
    }
    let Some(dash) = text.char_indices().skip(1).find(|&(_, c)| c == '-').map(|(at, _)| at) else { return Ok(None) };
    let (Ok(low), Ok(high)) = (text[..dash].parse::<i64>(), text[dash + 1..].parse::<i64>()) else {
        return Err(format!("\"{text}\" is not a valid integer or range"));
    };
    if low > high {
        return Err(format!("\"{text}\" is not a valid range. Range end cannot be before start."));
    }
    if high.saturating_sub(low) >= 4096 {
        return Err(format!("\"{text}\" is not a valid range. Range cannot exceed 4096 values."));
    }
    Ok(Some((low, high)))
}
