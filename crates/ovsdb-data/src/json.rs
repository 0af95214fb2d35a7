//! JSON as the database writes it: compact, members sorted, reals with 15 significant digits and no `.0`.

use serde_json::Value;

/// The compact text of a value.
pub fn to_string(value: &Value) -> String {
    let mut out = Vec::new();
    write(&mut out, value);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends the compact text of a value.
pub fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => write_integer(out, integer),
            None => write_real(out, number.as_f64().unwrap_or(0.0)),
        },
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write(out, item);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (n, (name, item)) in members.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_string(out, name);
                out.push(b':');
                write(out, item);
            }
            out.push(b'}');
        }
    }
}

/// Appends a decimal integer.
pub fn write_integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a real number as [`real_to_string`] gives it.
pub fn write_real(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(real_to_string(value).as_bytes());
}

/// A real in the shortest of fixed and exponent form with 15 significant digits, as C's `%.15g`.
pub fn real_to_string(value: f64) -> String {
    general(value, 15)
}

fn general(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "nan".into()
        } else if value < 0.0 {
            "-inf".into()
        } else {
            "inf".into()
        };
    }
    if value == 0.0 {
        return "0".into();
    }
    let scientific = format!("{:.*e}", digits - 1, value);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim_zeros(mantissa), exponent.abs());
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    trim_zeros(&format!("{value:.decimals$}")).to_string()
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Appends a quoted string with the escapes that JSON requires.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    write_string_bytes(out, text.as_bytes());
}

/// Like [`write_string`], for bytes known to be UTF-8.
pub(crate) fn write_string_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut start = 0;
    for (n, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[start..n]);
        start = n + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// The integer in a JSON number: `5`, `5.0` and `5e0` are the same number.
pub fn as_integer(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    number.as_i64().or_else(|| {
        let real = number.as_f64()?;
        // What is whole and between -2**63 and 2**63, which are exact in f64, converts without loss. The limits themselves may
        // be other numbers, rounded.
        (real.fract() == 0.0 && real.abs() < 9_223_372_036_854_775_808.0).then_some(real as i64)
    })
}

/// True for a string that is an `<id>` of RFC 7047 §3.1: a letter or `_`, then letters, digits and `_`.
pub fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Reads one JSON text. The error says where reading stopped, and why, in the words that scripts know.
pub fn parse(text: &[u8]) -> Result<Value, String> {
    match serde_json::from_slice(text) {
        Ok(value) => match null_byte(text) {
            None => Ok(value),
            Some(escape) => {
                let close = text[escape..].iter().position(|byte| *byte == b'"').map_or(text.len(), |n| escape + n);
                Err(at(text, close, "null bytes not supported in quoted strings"))
            }
        },
        Err(error) => Err(describe(text, &error)),
    }
}

/// True if a string of a JSON text holds an escaped null character, which no string of a database may.
pub fn holds_null_byte(text: &[u8]) -> bool {
    null_byte(text).is_some()
}

fn null_byte(text: &[u8]) -> Option<usize> {
    let escape = |&(n, window): &(usize, &[u8])| {
        window == b"\\u0000" && text[..n].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
    };
    text.windows(6).enumerate().find(escape).map(|(n, _)| n)
}

fn at(text: &[u8], byte: usize, why: &str) -> String {
    let before = &text[..byte.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
    format!("line {line}, column {column}, byte {byte}: {why}")
}

fn describe(text: &[u8], error: &serde_json::Error) -> String {
    if text.iter().all(u8::is_ascii_whitespace) {
        return at(text, 0, "empty input stream");
    }
    if error.is_eof() {
        return at(text, text.len(), "unexpected end of input");
    }
    let lines_before: usize =
        text.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let stopped = (lines_before + error.column().saturating_sub(1)).min(text.len());
    // A word is read to its end before it is looked at.
    let letters = |byte: &u8| byte.is_ascii_alphabetic();
    let start = stopped - text[..stopped].iter().rev().take_while(|byte| letters(byte)).count();
    let end = start + text[start..].iter().take_while(|byte| letters(byte)).count();
    let word = String::from_utf8_lossy(&text[start..end]);
    let said = error.to_string();
    for (sign, expected) in [("`,` or `}`", "'}' or ','"), ("`,` or `]`", "']' or ','"), ("expected `:`", "':'")] {
        if said.starts_with("expected") && said.contains(sign) && word.is_empty() {
            // So are numbers.
            let number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
            let token = text[stopped..].iter().take_while(|byte| number(byte)).count();
            return at(text, stopped + token, &format!("syntax error expecting {expected}"));
        }
    }
    if said.starts_with("number out of range") {
        return at(text, stopped, "number outside valid range");
    }
    if said.starts_with("control character") {
        let byte = text.get(stopped).copied().unwrap_or_default();
        return at(text, stopped, &format!("U+{byte:04X} must be escaped in quoted string"));
    }
    match word.chars().next() {
        Some(c) if c.is_ascii_lowercase() => at(text, end, &format!("invalid keyword '{word}'")),
        Some(c) => at(text, start, &format!("invalid character '{c}'")),
        None if error.to_string().contains("value") => at(text, stopped, "syntax error expecting value"),
        None => at(text, stopped, error.to_string().split(" at line").next().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reals() {
        let check = |value: f64, expect: &str| assert_eq!(real_to_string(value), expect);
        check(0.0, "0");
        check(-2.0, "-2");
        check(0.1, "0.1");
        check(1e300, "1e+300");
        check(1.5e-7, "1.5e-07");
        check(123456789012345680.0, "1.23456789012346e+17");
        check(1.0 / 3.0, "0.333333333333333");
        check(0.0001, "0.0001");
        check(100000.0, "100000");
    }

    #[test]
    fn text() {
        let check = |json: &str| assert_eq!(to_string(&serde_json::from_str(json).unwrap()), json);
        check(r#"{"a":[1,-9223372036854775808,1.5,null,true],"b":"x\"\\\n\u0001é"}"#);
        assert_eq!(to_string(&serde_json::json!(3.0)), "3");
    }

    #[test]
    fn parse_errors() {
        let check = |text: &str, expect: &str| assert_eq!(parse(text.as_bytes()).unwrap_err(), expect);
        check("", "line 0, column 0, byte 0: empty input stream");
        check("{\"a\": [1,2", "line 0, column 10, byte 10: unexpected end of input");
        check("nonsense", "line 0, column 8, byte 8: invalid keyword 'nonsense'");
        check("unix:/a", "line 0, column 4, byte 4: invalid keyword 'unix'");
        check("[\n1,\nxyz]", "line 2, column 3, byte 8: invalid keyword 'xyz'");
        check("{\"a\":1]", "line 0, column 6, byte 6: syntax error expecting '}' or ','");
        check("[1 23]", "line 0, column 5, byte 5: syntax error expecting ']' or ','");
        check("[\"\u{1}\"]", "line 0, column 2, byte 2: U+0001 must be escaped in quoted string");
        check("Hello", "line 0, column 0, byte 0: invalid character 'H'");
        assert!(parse(br#"["a\u0000"]"#).is_err());
        assert!(parse(br#"["a\\u0000"]"#).is_ok());
    }

    #[test]
    fn integers() {
        let check =
            |json: &str, expect: Option<i64>| assert_eq!(as_integer(&serde_json::from_str(json).unwrap()), expect);
        check("5", Some(5));
        check("5.0", Some(5));
        check("5e2", Some(500));
        check("5.5", None);
        check("9223372036854775807", Some(i64::MAX));
        check("9223372036854775808", None);
        check("\"5\"", None);
    }
}
