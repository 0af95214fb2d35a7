//! Values of fields: parsing and printing by [`Format`].

use std::net::{Ipv4Addr, Ipv6Addr};

use wire::EthAddr;

use super::{ParseContext, Style, flags, number, put_port};
use crate::field::{Field, FieldValue, Format};
use crate::port::OfPort;

/// A value and a mask; a full mask for an exact value.
pub type Masked = (FieldValue, FieldValue);

impl Field {
    /// The mask of an exact match: every bit that the field can match.
    pub fn exact_mask(self) -> u128 {
        match self {
            Field::NW_TOS => 0xfc,
            Field::IP_FRAG => 3,
            Field::TUN_FLAGS => 1,
            Field::CT_STATE => 0xff,
            Field::TCP_FLAGS => 0xffff,
            _ => ones(u32::from(self.def().key_bits)),
        }
    }

    /// All bits of the field's bytes, as one number (at most 128 bits).
    pub fn byte_mask(self) -> u128 {
        ones(u32::from(self.def().bytes) * 8)
    }
}

/// `n` low bits set; all from 128 up.
pub const fn ones(n: u32) -> u128 {
    if n >= 128 { u128::MAX } else { (1 << n) - 1 }
}

/// Parses the value of `field`. `None` stands for `*` and for nothing: the field is not matched.
pub fn parse_value(cx: &mut ParseContext<'_>, field: Field, s: &str) -> Result<Option<Masked>, String> {
    if s.is_empty() || s == "*" {
        return Ok(None);
    }
    let d = field.def();
    let (value, mask) = match d.format {
        Format::Dec | Format::Hex => parse_integer(field, s)?,
        Format::CtState => parse_flags(s, flags::CT_STATE, 0xff, "ct_state")?,
        Format::TcpFlags => parse_flags(s, flags::TCP, 0xfff, "TCP")?,
        Format::TunFlags => parse_flags(s, flags::TUNNEL, 1, "tunnel")?,
        Format::Ethernet => parse_ethernet(s)?,
        Format::Ipv4 => parse_ipv4(s).map(|(a, m)| int(u128::from(a.to_bits()), u128::from(m)))?,
        Format::Ipv6 => parse_ipv6(s).map(|(a, m)| int(a.to_bits(), m))?,
        Format::Port16 | Format::Port32 => match cx.port(s) {
            Some(p) => int(u128::from(p.0), field.byte_mask()),
            None if d.format == Format::Port32 => return Err(format!("{s}: port value out of range for {}", d.name)),
            None => return Err(format!("{s}: invalid or unknown port for {}", d.name)),
        },
        Format::Frag => parse_frag(s)?,
        Format::PacketType => parse_packet_type(s)?,
    };
    if !mask_allowed(field, &mask) {
        return Err(format!("{s}: invalid mask for field {}", d.name));
    }
    Ok(Some((value, mask)))
}

fn int(value: u128, mask: u128) -> Masked {
    (FieldValue::Int(value), FieldValue::Int(mask))
}

fn mask_allowed(field: Field, mask: &FieldValue) -> bool {
    let d = field.def();
    match mask {
        FieldValue::Wide(_) => true,
        FieldValue::Int(m) => {
            d.mask == crate::field::MaskRule::Bitwise || *m == 0 || *m & field.byte_mask() == field.byte_mask()
        }
    }
}

fn parse_integer(field: Field, s: &str) -> Result<Masked, String> {
    let d = field.def();
    let too_large = |what: &str| format!("{s}: {what} too large for {}-byte field {}", d.bytes, d.name);
    let bad = |what: &str| format!("{s}: bad syntax for {} {what}", d.name);
    let (value, rest) = match take_big(s, d.bytes) {
        Ok(x) => x,
        Err(Big::Syntax) => return Err(bad("value")),
        Err(Big::Range) => return Err(too_large("value")),
    };
    let Some(mask_text) = rest.strip_prefix('/') else {
        if !rest.is_empty() {
            return Err(bad("value"));
        }
        let mask = full_like(field, &value);
        return Ok((value, mask));
    };
    match take_big(mask_text, d.bytes) {
        Ok((mask, "")) => Ok((value, mask)),
        Ok(_) | Err(Big::Syntax) => Err(bad("mask")),
        Err(Big::Range) => Err(too_large("mask")),
    }
}

fn full_like(field: Field, value: &FieldValue) -> FieldValue {
    match value {
        FieldValue::Int(_) if field.tun_metadata_index().is_none() => FieldValue::Int(field.byte_mask()),
        FieldValue::Int(_) => FieldValue::Int(u128::MAX),
        FieldValue::Wide(_) => FieldValue::Wide(vec![0xff; usize::from(field.def().bytes)].into()),
    }
}

enum Big {
    Syntax,
    Range,
}

/// A number of at most `bytes` bytes and what follows it.
fn take_big(s: &str, bytes: u16) -> Result<(FieldValue, &str), Big> {
    let hex = s.strip_prefix("0x").or_else(|| s.strip_prefix("0X"));
    if let Some(h) = hex {
        let end = h.bytes().position(|b| !b.is_ascii_hexdigit()).unwrap_or(h.len());
        let digits = &h[..end];
        if digits.is_empty() {
            return Err(Big::Syntax);
        }
        let significant = digits.trim_start_matches('0');
        if significant.len() > usize::from(bytes) * 2 {
            return Err(Big::Range);
        }
        if significant.len() <= 32 {
            let n = if significant.is_empty() { 0 } else { u128::from_str_radix(significant, 16).unwrap_or(0) };
            return Ok((FieldValue::Int(n), &h[end..]));
        }
        return Ok((FieldValue::Wide(hex_bytes(significant)), &h[end..]));
    }
    if let Some((n, rest)) = number::take_u64(s) {
        if bytes < 8 && n >> (8 * bytes) != 0 {
            return Err(Big::Range);
        }
        return Ok((FieldValue::Int(u128::from(n)), rest));
    }
    // Digits that do not fit 64 bits, or no digits at all.
    if s.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit()) && s.len() > 10 {
        Err(Big::Range)
    } else {
        Err(Big::Syntax)
    }
}

fn hex_bytes(digits: &str) -> Box<[u8]> {
    let mut out = vec![0u8; digits.len().div_ceil(2)];
    for (i, c) in digits.bytes().rev().enumerate() {
        let nibble = (c as char).to_digit(16).unwrap_or(0) as u8;
        let at = out.len() - 1 - i / 2;
        out[at] |= nibble << (4 * (i % 2));
    }
    out.into()
}

fn parse_flags(s: &str, names: flags::FlagNames, all: u32, what: &str) -> Result<Masked, String> {
    let (v, m) = flags::parse(s, names, all, what)?;
    Ok(int(u128::from(v), if m == u32::MAX { u128::MAX } else { u128::from(m) }))
}

/// Six groups of hexadecimal digits with colons, and what follows; each group keeps its low 8 bits.
pub fn take_ethernet(s: &str) -> Option<(EthAddr, &str)> {
    let mut out = [0u8; 6];
    let mut rest = s;
    for (i, byte) in out.iter_mut().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix(':')?;
        }
        let end = rest.bytes().position(|b| !b.is_ascii_hexdigit()).unwrap_or(rest.len());
        let digits = &rest[..end];
        if digits.is_empty() {
            return None;
        }
        let tail = &digits[digits.len().saturating_sub(2)..];
        *byte = u8::from_str_radix(tail, 16).ok()?;
        rest = &rest[end..];
    }
    Some((EthAddr(out), rest))
}

fn parse_ethernet(s: &str) -> Result<Masked, String> {
    let bad = || format!("{s}: invalid Ethernet address");
    let (addr, rest) = take_ethernet(s).ok_or_else(bad)?;
    let mask = match rest.strip_prefix('/') {
        Some(m) => match take_ethernet(m) {
            Some((mask, "")) => mask,
            _ => return Err(bad()),
        },
        None if rest.is_empty() => EthAddr::BROADCAST,
        None => return Err(bad()),
    };
    Ok(int(u128::from(addr.to_u64()), u128::from(mask.to_u64())))
}

/// Four decimal numbers with dots, and what follows; each number keeps its low 8 bits.
pub fn take_ipv4(s: &str) -> Option<(Ipv4Addr, &str)> {
    let mut out = [0u8; 4];
    let mut rest = s;
    for (i, byte) in out.iter_mut().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix('.')?;
        }
        let end = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        if end == 0 {
            return None;
        }
        *byte = rest[..end].bytes().fold(0u64, |a, b| a.wrapping_mul(10).wrapping_add(u64::from(b - b'0'))) as u8;
        rest = &rest[end..];
    }
    Some((Ipv4Addr::from(out), rest))
}

/// An IPv4 address with an optional prefix length or mask.
pub fn parse_ipv4(s: &str) -> Result<(Ipv4Addr, u32), String> {
    let bad = || format!("{s}: invalid IP address");
    let (addr, rest) = take_ipv4(s).ok_or_else(bad)?;
    let Some(m) = rest.strip_prefix('/') else {
        return if rest.is_empty() { Ok((addr, u32::MAX)) } else { Err(bad()) };
    };
    if let Some((mask, rest)) = take_ipv4(m) {
        return if rest.is_empty() { Ok((addr, mask.to_bits())) } else { Err(bad()) };
    }
    let (digits, sign) = match m.strip_prefix('-') {
        Some(d) => (d, -1),
        None => (m, 1),
    };
    let end = digits.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    let Ok(n) = digits[..end].parse::<i64>() else { return Err(bad()) };
    let n = n * sign;
    if !(0..=32).contains(&n) {
        return Err(format!("{s}: IPv4 network prefix bits not between 0 and 32, inclusive"));
    }
    if end != digits.len() {
        return Err(bad());
    }
    Ok((addr, if n == 0 { 0 } else { u32::MAX << (32 - n) }))
}

/// An IPv6 address with an optional prefix length or mask.
pub fn parse_ipv6(s: &str) -> Result<(Ipv6Addr, u128), String> {
    let bad = || format!("{s}: invalid IPv6 address");
    let (addr_text, mask_text) = match s.split_once('/') {
        Some((a, m)) => (a, Some(m)),
        None => (s, None),
    };
    let addr: Ipv6Addr = addr_text.parse().map_err(|_| bad())?;
    let Some(m) = mask_text else { return Ok((addr, u128::MAX)) };
    let end = m.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(m.len());
    if end == 0 {
        let end = m.bytes().position(|b| !b.is_ascii_hexdigit() && b != b':' && b != b'.').unwrap_or(m.len());
        if end == 0 {
            return Err(bad());
        }
        let mask: Ipv6Addr = m[..end].parse().map_err(|_| format!("{s}: Invalid IPv6 mask"))?;
        return if end == m.len() { Ok((addr, mask.to_bits())) } else { Err(bad()) };
    }
    let Ok(n) = m[..end].parse::<u32>() else { return Err(bad()) };
    if n > 128 {
        return Err(format!("{s}: IPv6 network prefix bits not between 0 and 128, inclusive"));
    }
    if end != m.len() {
        return Err(bad());
    }
    Ok((addr, if n == 0 { 0 } else { u128::MAX << (128 - n) }))
}

const FRAGS: [(&str, u8, u8); 5] = [("no", 0, 3), ("yes", 1, 1), ("first", 1, 3), ("later", 3, 3), ("not_later", 0, 2)];

fn parse_frag(s: &str) -> Result<Masked, String> {
    FRAGS.iter().find(|f| f.0.eq_ignore_ascii_case(s)).map(|f| int(u128::from(f.1), u128::from(f.2))).ok_or_else(|| {
        let list = FRAGS.map(|f| format!("\"{}\"", f.0)).join(", ");
        format!("{s}: unknown fragment type (valid types are {list}")
    })
}

fn parse_packet_type(s: &str) -> Result<Masked, String> {
    let bad = |at: &str, what: &str| format!("{at}: bad syntax for packet type {what}");
    let inner = s.strip_prefix('(').ok_or_else(|| bad(s, "missing '('"))?;
    let (ns, rest) = number::take_u64(inner).filter(|(n, _)| *n <= 0xffff).ok_or_else(|| bad(inner, "ns"))?;
    let after = rest.strip_prefix(',').ok_or_else(|| bad(inner, "missing ','"))?;
    let (ty, rest) = number::take_u64(after).filter(|(n, _)| *n <= 0xffff).ok_or_else(|| bad(after, "ns_type"))?;
    if rest != ")" {
        return Err(bad(after, "missing ')'"));
    }
    Ok(int(u128::from(ns << 16 | ty), u128::from(u32::MAX)))
}

/// Appends a value of `field` under `mask`, as set_field and field lists print it.
pub fn format_value(out: &mut String, style: &Style<'_>, field: Field, value: &FieldValue, mask: Option<&FieldValue>) {
    if let (FieldValue::Wide(v), m) = (value, mask) {
        put_bytes(out, v);
        if let Some(FieldValue::Wide(m)) = m
            && m.iter().any(|b| *b != 0xff)
        {
            out.push('/');
            put_bytes(out, m);
        }
        return;
    }
    let v = value.low();
    let exact = field.byte_mask();
    let m = mask.map_or(exact, |m| m.low() & exact);
    if m == 0 && field.tun_metadata_index().is_none() {
        out.push_str("ANY");
        return;
    }
    match field.def().format {
        Format::Port16 | Format::Port32 => {
            put_port(out, style, OfPort::from_of11(v as u32).unwrap_or(OfPort(v as u32)));
        }
        Format::Dec => put_masked_dec(out, v, m, exact),
        Format::Hex => put_masked_hex(out, v, m, exact),
        Format::CtState => put_flags(out, v, m, 0xff, flags::CT_STATE),
        Format::TcpFlags => put_flags(out, v, m, 0xfff, flags::TCP),
        Format::TunFlags if m & 1 == 1 => flags::put_joined(out, v as u32, flags::TUNNEL_ALL),
        Format::TunFlags => flags::put_signed(out, v as u32, m as u32, flags::TUNNEL),
        Format::Ethernet => put_ethernet(out, v as u64, m as u64),
        Format::Ipv4 => put_ipv4(out, v as u32, m as u32),
        Format::Ipv6 => put_ipv6(out, v, m),
        Format::Frag => put_frag(out, v as u8, m as u8),
        Format::PacketType => out.push_str(&crate::PacketType(v as u32).to_string()),
    }
}

fn put_masked_dec(out: &mut String, v: u128, m: u128, exact: u128) {
    if m == exact {
        number::put_dec(out, v as u64);
    } else {
        number::put_dec(out, v as u64);
        out.push('/');
        number::put_alt_hex(out, m);
    }
}

fn put_masked_hex(out: &mut String, v: u128, m: u128, exact: u128) {
    number::put_alt_hex(out, v);
    if m != exact {
        out.push('/');
        number::put_alt_hex(out, m);
    }
}

fn put_flags(out: &mut String, v: u128, m: u128, all: u128, names: flags::FlagNames) {
    if m & all == all {
        flags::put_joined(out, v as u32, names);
    } else {
        flags::put_signed(out, v as u32, m as u32, names);
    }
}

fn put_bytes(out: &mut String, bytes: &[u8]) {
    let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
    if start == bytes.len() {
        out.push('0');
        return;
    }
    out.push_str("0x");
    for (i, b) in bytes.iter().enumerate().skip(start) {
        number::put_hex_digits(out, u128::from(*b), if i == start { 1 } else { 2 });
    }
}

/// Appends an Ethernet address under a mask; `*` where the mask is zero.
pub fn put_ethernet(out: &mut String, v: u64, m: u64) {
    if m == 0 {
        out.push('*');
        return;
    }
    put_colons(out, v);
    if m & 0xffff_ffff_ffff != 0xffff_ffff_ffff {
        out.push('/');
        put_colons(out, m);
    }
}

fn put_colons(out: &mut String, v: u64) {
    for (i, b) in v.to_be_bytes()[2..].iter().enumerate() {
        if i > 0 {
            out.push(':');
        }
        number::put_hex_byte(out, *b);
    }
}

/// Appends an IPv4 address under a mask: as prefix length where the mask is one.
pub fn put_ipv4(out: &mut String, v: u32, m: u32) {
    put_dotted(out, v);
    if m == u32::MAX {
        return;
    }
    out.push('/');
    if m.leading_ones() + m.trailing_zeros() >= 32 && m != 0 {
        number::put_dec(out, u64::from(m.leading_ones()));
    } else if m == 0 {
        out.push('0');
    } else {
        put_dotted(out, m);
    }
}

fn put_dotted(out: &mut String, v: u32) {
    for (i, b) in v.to_be_bytes().into_iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        number::put_dec(out, u64::from(b));
    }
}

/// Appends an IPv6 address under a mask: as prefix length where the mask is one.
pub fn put_ipv6(out: &mut String, v: u128, m: u128) {
    put_ipv6_address(out, v);
    if m == u128::MAX {
        return;
    }
    out.push('/');
    if m.leading_ones() + m.trailing_zeros() >= 128 {
        number::put_dec(out, u64::from(m.leading_ones()));
    } else {
        put_ipv6_address(out, m);
    }
}

/// RFC 5952 §4: the longest run of zeros, of at least two groups, becomes `::`; the first of equals.
fn put_ipv6_address(out: &mut String, v: u128) {
    let address = Ipv6Addr::from_bits(v);
    if v >> 32 == 0xffff {
        // An IPv4 address inside is written as one.
        out.push_str(&address.to_string());
        return;
    }
    if v >> 32 == 0 && v >> 16 != 0 {
        // So is one that the C library takes for one.
        out.push_str("::");
        put_dotted(out, v as u32);
        return;
    }
    let groups = address.segments();
    let (mut from, mut len, mut at) = (8, 1, 0);
    while at < 8 {
        let run = groups[at..].iter().take_while(|g| **g == 0).count();
        if run > len {
            (from, len) = (at, run);
        }
        at += run.max(1);
    }
    let mut i = 0;
    while i < 8 {
        if i == from {
            out.push_str("::");
            i += len;
            continue;
        }
        if i > 0 && i != from + len {
            out.push(':');
        }
        number::put_hex_digits(out, u128::from(groups[i]), 0);
        i += 1;
    }
}

/// Appends a fragment kind.
pub fn put_frag(out: &mut String, v: u8, m: u8) {
    match FRAGS.iter().find(|f| f.1 == v & 3 && f.2 == m & 3) {
        Some(f) => out.push_str(f.0),
        None if (v & 3, m & 3) == (0, 1) => out.push_str("no"),
        None => out.push_str("<error>"),
    }
}
