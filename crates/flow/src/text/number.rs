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
    let (radix, from) = if is_hex {
        (16, 2)
    } else if bytes.first() == Some(&b'0') {
        (8, 0)
    } else {
        (10, 0)
    };
    let mut value = 0u64;
    let mut at = from;
    while let Some(digit) = bytes.get(at).map(|b| digit(*b)).filter(|d| u64::from(*d) < radix) {
        value = value.checked_mul(radix)?.checked_add(u64::from(digit))?;
        at += 1;
    }
    if at == from {
        return None;
    }
    Some((if negative { value.wrapping_neg() } else { value }, t.get(at..)?))
}

/// The value of a hexadecimal digit; 255 for anything else.
#[inline]
fn digit(b: u8) -> u8 {
    match b {
        b'0'..=b'9' => b - b'0',
        b'a'..=b'f' => b - b'a' + 10,
        b'A'..=b'F' => b - b'A' + 10,
        _ => 255,
    }
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

/// The numbers 000 to 999, one after the other.
static DECIMAL: &str = match std::str::from_utf8(&DECIMAL_DIGITS) {
    Ok(s) => s,
    Err(_) => "",
};

static DECIMAL_DIGITS: [u8; 3000] = {
    let mut t = [0; 3000];
    let mut n = 0;
    while n < 1000 {
        t[3 * n] = b'0' + (n / 100) as u8;
        t[3 * n + 1] = b'0' + (n / 10 % 10) as u8;
        t[3 * n + 2] = b'0' + (n % 10) as u8;
        n += 1;
    }
    t
};

/// The numbers 00 to ff, one after the other.
static HEX: &str = match std::str::from_utf8(&HEX_DIGITS) {
    Ok(s) => s,
    Err(_) => "",
};

static HEX_DIGITS: [u8; 512] = {
    let digits = b"0123456789abcdef";
    let mut t = [0; 512];
    let mut n = 0;
    while n < 256 {
        t[2 * n] = digits[n >> 4];
        t[2 * n + 1] = digits[n & 15];
        n += 1;
    }
    t
};

/// Appends the last `digits` (1 to 3) of the three decimal digits of `n`, which is below 1000.
#[inline]
fn put_thousandth(out: &mut String, n: usize, digits: usize) {
    out.push_str(&DECIMAL[3 * n + 3 - digits..3 * n + 3]);
}

/// Appends decimal digits.
pub fn put_dec(out: &mut String, n: u64) {
    if n < 10 {
        out.push((b'0' + n as u8) as char);
        return;
    }
    let (mut rest, mut groups, mut count) = (n, [0u16; 7], 0);
    while rest >= 1000 {
        groups[count] = (rest % 1000) as u16;
        rest /= 1000;
        count += 1;
    }
    put_thousandth(out, rest as usize, if rest >= 100 { 3 } else { 1 + usize::from(rest >= 10) });
    for group in groups[..count].iter().rev() {
        put_thousandth(out, usize::from(*group), 3);
    }
}

/// Appends decimal digits, at least `width` of them.
pub fn put_dec_padded(out: &mut String, n: u64, width: u32) {
    let mut least = 10u64.saturating_pow(width.saturating_sub(1));
    while n < least && least > 1 {
        out.push('0');
        least /= 10;
    }
    put_dec(out, n);
}

/// Appends the two hexadecimal digits of a byte.
#[inline]
pub fn put_hex_byte(out: &mut String, b: u8) {
    let at = 2 * usize::from(b);
    out.push_str(&HEX[at..at + 2]);
}

/// Appends hexadecimal digits, at least `width` of them (at most 32).
pub fn put_hex_digits(out: &mut String, n: u128, width: usize) {
    let digits = (32 - n.leading_zeros() as usize / 4).max(width.min(32)).max(1);
    let bytes = n.to_be_bytes();
    let mut from = 16 - digits / 2;
    if digits % 2 == 1 {
        let at = 2 * usize::from(bytes[from - 1] & 15) + 1;
        out.push_str(&HEX[at..at + 1]);
    }
    while from < 16 {
        put_hex_byte(out, bytes[from]);
        from += 1;
    }
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
