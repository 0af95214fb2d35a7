//! Sets of named bits: connection state, TCP flags, tunnel flags.

use super::number;

/// Names of bits, low bit first; an empty name is a bit that cannot be named.
pub type FlagNames = &'static [(u32, &'static str)];

/// Connection state bits.
pub const CT_STATE: FlagNames = &[
    (0x01, "new"),
    (0x02, "est"),
    (0x04, "rel"),
    (0x08, "rpl"),
    (0x10, "inv"),
    (0x20, "trk"),
    (0x40, "snat"),
    (0x80, "dnat"),
];

/// TCP flags.
pub const TCP: FlagNames = &[
    (0x001, "fin"),
    (0x002, "syn"),
    (0x004, "rst"),
    (0x008, "psh"),
    (0x010, "ack"),
    (0x020, "urg"),
    (0x040, "ece"),
    (0x080, "cwr"),
    (0x100, "ns"),
    (0x200, "[200]"),
    (0x400, "[400]"),
    (0x800, "[800]"),
];

/// Tunnel flags that flows can match.
pub const TUNNEL: FlagNames = &[(1, "oam")];

/// All tunnel flags.
pub const TUNNEL_ALL: FlagNames = &[(1, "oam"), (2, "df"), (4, "csum"), (8, "key")];

/// Parses `+name-name`, `name|name`, or a number with an optional mask, into value and mask, which is all ones in
/// the exact forms. `all` is the bits that there are; `what` names the kind of flag in errors.
pub fn parse(s: &str, names: FlagNames, all: u32, what: &str) -> Result<(u32, u32), String> {
    let unknown = |part: &str| format!("{part}: unknown {what} flag(s)");
    if let Some((value, rest)) = s.bytes().next().filter(u8::is_ascii_digit).and_then(|_| number::take_u64(s)) {
        let (mask, rest) = match rest.strip_prefix('/') {
            Some(m) => number::take_u64(m).ok_or_else(|| unknown(s))?,
            None => (u64::MAX, rest),
        };
        if !rest.is_empty()
            || (value | mask) & !u64::from(all) != 0 && (value & !u64::from(all) != 0 || mask != u64::MAX)
        {
            return Err(unknown(s));
        }
        return Ok((value as u32, mask as u32));
    }
    // A list of alternatives is refused as a whole.
    if s.starts_with(['+', '-']) {
        parse_signed(s, names, what)
    } else {
        parse_joined(s, names).ok_or_else(|| unknown(s))
    }
}

fn find(name: &str, names: FlagNames) -> Option<u32> {
    names.iter().find(|(_, n)| *n == name).map(|(bit, _)| *bit)
}

fn parse_signed(s: &str, names: FlagNames, what: &str) -> Result<(u32, u32), String> {
    let (mut value, mut mask) = (0, 0);
    let mut rest = s;
    while let Some(sign) = rest.chars().next() {
        let tail = &rest[1..];
        let end = tail.find(['+', '-']).unwrap_or(tail.len());
        let name = &tail[..end];
        let bit = find(name, names).ok_or_else(|| format!("{tail}: unknown {what} flag(s)"))?;
        if mask & bit != 0 {
            return Err(format!("{name}: Each {what} flag can be specified only once"));
        }
        mask |= bit;
        if sign == '+' {
            value |= bit;
        }
        rest = &tail[end..];
    }
    Ok((value, mask))
}

fn parse_joined(s: &str, names: FlagNames) -> Option<(u32, u32)> {
    let mut value = 0;
    for name in s.split('|') {
        value |= find(name, names)?;
    }
    Some((value, u32::MAX))
}

/// Appends names joined with the bar character, `0` for none.
pub fn put_joined(out: &mut String, value: u32, names: FlagNames) {
    if value == 0 {
        out.push('0');
        return;
    }
    let mut rest = value;
    let start = out.len();
    for (bit, name) in names {
        if rest & bit != 0 {
            if out.len() > start {
                out.push('|');
            }
            out.push_str(name);
            rest &= !bit;
        }
    }
    if rest != 0 {
        if out.len() > start {
            out.push('|');
        }
        number::put_hex(out, u128::from(rest), 0);
    }
}

/// Appends `+name` or `-name` for each bit of `mask`.
pub fn put_signed(out: &mut String, value: u32, mask: u32, names: FlagNames) {
    for (bit, name) in names {
        if mask & bit != 0 {
            out.push(if value & bit != 0 { '+' } else { '-' });
            out.push_str(name);
        }
    }
}
