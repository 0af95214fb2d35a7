//! DER (X.690) as certificates need it: writing values, and walking over them.

/// Tag of an integer.
pub const INTEGER: u8 = 0x02;
/// Tag of a bit string.
pub const BIT_STRING: u8 = 0x03;
/// Tag of an octet string.
pub const OCTET_STRING: u8 = 0x04;
/// Tag of an object identifier.
pub const OID: u8 = 0x06;
/// Tag of a UTF-8 string.
pub const UTF8_STRING: u8 = 0x0c;
/// Tag of a string of a small alphabet.
pub const PRINTABLE_STRING: u8 = 0x13;
/// Tag of a time with a year of two digits.
pub const UTC_TIME: u8 = 0x17;
/// Tag of a time with a year of four digits.
pub const GENERALIZED_TIME: u8 = 0x18;
/// Tag of a sequence.
pub const SEQUENCE: u8 = 0x30;
/// Tag of a set.
pub const SET: u8 = 0x31;

/// A value: tag, length, content.
pub fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = content.len().to_be_bytes();
            let zeros = bytes.iter().take_while(|b| **b == 0).count();
            out.push(0x80 | (bytes.len() - zeros) as u8);
            out.extend_from_slice(&bytes[zeros..]);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A value that holds others.
pub fn group(tag: u8, values: &[Vec<u8>]) -> Vec<u8> {
    value(tag, &values.concat())
}

/// A positive integer of these big-endian bytes.
pub fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|b| **b == 0).count().min(bytes.len().saturating_sub(1));
    let mut content = bytes[zeros..].to_vec();
    if content.first().is_none_or(|first| *first >= 0x80) {
        content.insert(0, 0);
    }
    value(INTEGER, &content)
}

/// A bit string of whole bytes.
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes].concat())
}

/// A value that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// Tag.
    pub tag: u8,
    /// Content.
    pub content: &'a [u8],
    /// Everything, tag and length included.
    pub whole: &'a [u8],
}

impl<'a> Value<'a> {
    /// The values that this one holds.
    pub fn parts(&self) -> Option<Vec<Value<'a>>> {
        let mut rest = self.content;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            parts.push(read(&mut rest)?);
        }
        Some(parts)
    }

    /// The bytes of a bit string.
    pub fn bit_string(&self) -> Option<&'a [u8]> {
        match self.content.split_first() {
            Some((0, bytes)) if self.tag == BIT_STRING => Some(bytes),
            _ => None,
        }
    }
}

/// Takes one value from the front of `input`.
pub fn read<'a>(input: &mut &'a [u8]) -> Option<Value<'a>> {
    let all = *input;
    let (&tag, rest) = all.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(Value { tag, content, whole: &all[..all.len() - rest.len()] })
}

/// `-----BEGIN LABEL-----` and so on (RFC 7468).
pub fn to_pem(label: &str, bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let three = [chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0)];
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for n in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|b| char::from(*b)));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

/// The bytes of the first such block in a text.
pub fn from_pem(label: &str, text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let mut out = Vec::new();
    let (mut number, mut n) = (0u32, 0);
    for byte in body.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        number = number << 6 | u32::from(six);
        n += 6;
        if n >= 8 {
            n -= 8;
            out.push((number >> n) as u8);
            number &= (1 << n) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(integer(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0]), [2, 1, 0]);
        for length in [0, 1, 127, 128, 255, 256, 70000] {
            let encoded = value(OCTET_STRING, &vec![7; length]);
            let mut rest = encoded.as_slice();
            let read = read(&mut rest).unwrap();
            assert_eq!((read.tag, read.content.len(), read.whole, rest.len()), (4, length, encoded.as_slice(), 0));
        }
        for damaged in [&[0x30u8, 0x82, 1][..], &[0x30], &[], &[4, 2, 1], &[4, 0x85, 0, 0, 0, 0, 0]] {
            assert_eq!(read(&mut &*damaged), None);
        }
    }

    #[test]
    fn pem() {
        for length in 0..70u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            assert_eq!(from_pem("X", &format!("text\n{}", to_pem("X", &bytes))), Some(bytes));
        }
        assert_eq!(to_pem("X", b"ab"), "-----BEGIN X-----\nYWI=\n-----END X-----\n");
    }
}
