//! Numbers as the original reads and writes them: decimal, `0x` hexadecimal, `0` octal.

/// Digits and what follows them, as C's `strtoull` with base 0 splits them. `None` without a digit or on overflow.
pub fn take_u64(s: &str) -> Option<(u64, &str)> {
    let t = s.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let (negative, t) = match t.as_bytes().first() {
        Some(b'-') => (true, t.get(1..)?),
        Some(b'+') => (false, t.get(1..)?),
        _ => (false, t),
    };
    let bytes = t.as_bytes();
    let is_hex = bytes.len() > 2 && bytes[0] == b'0' && (bytes[1] | 0x20) == b'x' && bytes[2].is_ascii_hexdigit();
    let (radix, digits) = if is_hex {
        (16, t.get(2..)?)
    } else if bytes.first() == Some(&b'0') {
        (8, t)
    } else {
        (10, t)
    };
    let end = digits.bytes().position(|b| !(b as char).is_digit(radix)).unwrap_or(digits.len());
    let value = u64::from_str_radix(digits.get(..end)?, radix).ok()?;
    Some((if negative { value.wrapping_neg() } else { value }, digits.get(end..)?))
}

/// A whole string as a number.
pub fn parse_u64(s: &str) -> Option<u64> {
    take_u64(s).and_then(|(n, rest)| rest.is_empty().then_some(n))
}

/// A whole string as a number of 32 bits.
pub fn parse_u32(s: &str) -> Option<u32> {
    parse_u64(s).and_then(|n| u32::try_from(n).ok())
}

/// A whole string of decimal digits as a number of 32 bits.
pub fn parse_decimal(s: &str) -> Option<u32> {
    if s.bytes().all(|b| b.is_ascii_digit()) { s.parse().ok() } else { None }
}

/// Appends decimal digits.
pub fn put_dec(out: &mut String, mut n: u64) {
    let mut buf = [0u8; 20];
    let mut at = buf.len();
    loop {
        at -= 1;
        buf[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&buf[at..]).unwrap_or(""));
}

/// Appends hexadecimal digits, at least `width` of them (at most 32).
pub fn put_hex_digits(out: &mut String, mut n: u128, width: usize) {
    let mut buf = [b'0'; 32];
    let mut at = buf.len();
    while n != 0 {
        at -= 1;
        buf[at] = b"0123456789abcdef"[(n & 15) as usize];
        n >>= 4;
    }
    let start = at.min(32 - width.min(32)).min(if width == 0 { 31 } else { 32 });
    out.push_str(std::str::from_utf8(&buf[start..]).unwrap_or(""));
}

/// Appends `0x` and hexadecimal digits; `0` alone for zero (C's `%#x`).
pub fn put_alt_hex(out: &mut String, n: u128) {
    if n == 0 {
        out.push('0');
    } else {
        put_hex(out, n, 0);
    }
}

/// Appends `0x` and at least `width` hexadecimal digits.
pub fn put_hex(out: &mut String, n: u128, width: usize) {
    out.push_str("0x");
    put_hex_digits(out, n, width);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        fn check(s: &str, want: Option<u64>) {
            assert_eq!(parse_u64(s), want, "{s:?}");
        }
        check("0", Some(0));
        check("017", Some(15));
        check("0x1F", Some(31));
        check("12", Some(12));
        check("12x", None);
        check("", None);
        check("0x", None);
        check("18446744073709551616", None);
        check("-1", Some(u64::MAX));
    }

    #[test]
    fn printing() {
        let mut s = String::new();
        put_dec(&mut s, 0);
        put_dec(&mut s, 1234567890123456789);
        s.push(' ');
        put_alt_hex(&mut s, 0);
        put_alt_hex(&mut s, 0xabc);
        s.push(' ');
        put_hex(&mut s, 0xabc, 5);
        put_hex(&mut s, 0, 0);
        assert_eq!(s, "01234567890123456789 00xabc 0x00abc0x0");
    }
}
