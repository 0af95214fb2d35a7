//! Offline commands on matches: NXM and OXM entries as text, the fixed structures of OpenFlow 1.0 and 1.1, VLANs.

use flow::text::ParseContext;
use flow::{Field, Match};
use openflow::codec::bytes::{Put, Reader};
use openflow::codec::{fixed_match, oxm, oxm_match};
use openflow::{Error, Version};

use super::Settings;
use super::client::Result;
use super::offline::{hex_bytes, print_differences, stdin_lines, without_comment};

/// Appends the bytes that `s` begins with, as pairs of hexadecimal digits with white space between; what follows them.
fn take_hex<'a>(s: &'a str, out: &mut Vec<u8>) -> &'a str {
    let mut rest = s.trim_start_matches([' ', '\t', '\r', '\n']);
    while let Some(byte) = rest.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit())) {
        out.push(u8::from_str_radix(byte, 16).unwrap_or(0));
        rest = rest[2..].trim_start_matches([' ', '\t', '\r', '\n']);
    }
    rest
}

/// The name of the cookie's entry, which is no field of flows.
const COOKIE: &str = "NXM_NX_COOKIE";

/// What a name stands for.
struct Named {
    /// Class, number and whether there is a mask, as the first four bytes of an entry have them, without the length.
    class: u16,
    number: u8,
    masked: bool,
    experimenter: u32,
    /// Bytes of the value; `None` if any number will do.
    width: Option<usize>,
}

/// Finds a name of an entry: that of a number of the field table, with `_W` where there is a mask; or the header itself
/// in hexadecimal digits.
fn entry_named(name: &str) -> Option<Named> {
    for masked in [false, true] {
        let Some(base) = (if masked { name.strip_suffix("_W") } else { Some(name) }) else { continue };
        if base == COOKIE {
            return Some(Named { class: 1, number: 30, masked, experimenter: 0, width: Some(8) });
        }
        let found =
            Field::all().flat_map(|f| f.def().numbers.iter().map(move |n| (f, n))).find(|(_, n)| n.name == base);
        if let Some((f, n)) = found {
            if masked && f.def().mask == flow::MaskRule::Exact && f.tun_metadata_index().is_none() {
                return None;
            }
            let width = f.tun_metadata_index().is_none().then_some(usize::from(f.def().bytes));
            return Some(Named { class: n.class, number: n.field, masked, experimenter: n.experimenter, width });
        }
    }
    let experimenter = match name.len() {
        8 => 0,
        16 => u32::from_str_radix(name.get(8..)?, 16).ok()?,
        _ => return None,
    };
    let raw = u32::from_str_radix(name.get(..8)?, 16).ok()?;
    let (class, masked) = ((raw >> 16) as u16, raw >> 8 & 1 != 0);
    let len = (raw as u8).saturating_sub(if class == 0xffff { 4 } else { 0 });
    let width = usize::from(if masked { len / 2 } else { len });
    Some(Named { class, number: (raw >> 9 & 0x7f) as u8, masked, experimenter, width: Some(width) })
}

/// `NXM_OF_ETH_TYPE(0800), NXM_NX_REG0_W(00000001/000000ff)` to wire bytes.
fn from_text(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    if text.trim() == "<any>" {
        return Ok(out);
    }
    let mut rest = text.trim_start_matches([',', ' ']);
    while !rest.is_empty() {
        let open = rest.find('(').ok_or_else(|| format!("{text}: missing ( at end of nx_match"))?;
        let name = &rest[..open];
        let n = entry_named(name).ok_or_else(|| format!("{text}: unknown field `{name}'"))?;
        let mut payload = Vec::new();
        rest = take_hex(&rest[open + 1..], &mut payload);
        let width = payload.len();
        if let Some(wanted) = n.width.filter(|w| *w != width) {
            return Err(format!("expected to read {wanted} bytes but got {width}"));
        }
        if n.masked {
            rest = rest.strip_prefix('/').ok_or_else(|| format!("{text}: missing / in masked field {name}"))?;
            let mut mask = Vec::new();
            let tail = take_hex(rest, &mut mask);
            if mask.len() != width {
                return Err(format!("{}: hex digits expected", tail.get(..2).unwrap_or(tail)));
            }
            rest = tail;
            payload.extend_from_slice(&mask);
        }
        rest = rest.strip_prefix(')').ok_or_else(|| format!("{text}: missing ) following field {name}"))?;
        rest = rest.trim_start_matches([',', ' ']);
        let experimenter = if n.class == 0xffff { 4 } else { 0 };
        out.put16(n.class);
        out.put8(n.number << 1 | u8::from(n.masked));
        out.put8((payload.len() + experimenter) as u8);
        if experimenter != 0 {
            out.put32(n.experimenter);
        }
        out.extend_from_slice(&payload);
    }
    Ok(out)
}

/// Wire bytes to the text that [`from_text`] reads, up to the first entry that is not one.
fn to_text(data: &[u8]) -> String {
    if data.is_empty() {
        return "<any>".to_string();
    }
    let hex = |b: &[u8]| b.iter().map(|x| format!("{x:02x}")).collect::<String>();
    let mut words = Vec::new();
    let mut r = Reader::new(data);
    while !r.is_empty() {
        let is_cookie = r.rest().starts_with(&[0, 1, 0x3c, 8]) || r.rest().starts_with(&[0, 1, 0x3d, 16]);
        let whole = Reader::new(r.rest());
        let Ok(h) = oxm::take_header(&mut r) else { break };
        let Ok(payload) = r.take(usize::from(h.len)) else { break };
        if !is_cookie && oxm::take_entry(&mut whole.clone()).is_err() {
            if !r.is_empty() {
                words.push(format!("<{} invalid bytes>", r.len()));
            }
            break;
        }
        let number = h.field().and_then(|f| {
            let same =
                |n: &&flow::Number| n.class == h.class && n.field == h.number && n.experimenter == h.experimenter;
            f.def().numbers.iter().find(same)
        });
        let name = number.filter(|_| !is_cookie).map_or(COOKIE, |n| n.name);
        if h.has_mask {
            let (v, m) = payload.split_at(payload.len() / 2);
            words.push(format!("{name}_W({}/{})", hex(v), hex(m)));
        } else {
            words.push(format!("{name}({})", hex(payload)));
        }
    }
    words.join(", ")
}

/// `parse-nxm` and `parse-oxm`: entries of standard input as they come back from a match.
pub fn parse_entries(s: &Settings, numbering: oxm::Numbering) -> Result<u8> {
    for line in stdin_lines() {
        if without_comment(&line).is_none() {
            println!("{line}");
            continue;
        }
        let text = line.split('#').next().unwrap_or("");
        let data = from_text(text)?;
        let strictness = if s.strict { oxm_match::Strictness::Strict } else { oxm_match::Strictness::Loose };
        let mut cookie = (0, 0);
        match oxm_match::take_entries(&data, strictness, Some(&mut cookie)) {
            Ok(m) => {
                let mut out = Vec::new();
                oxm_match::put_entries(&mut out, &m, numbering, Some(cookie));
                println!("{}", to_text(&out));
            }
            Err(e) => println!("nx_pull_match() returned error {e}"),
        }
    }
    Ok(0)
}

/// `parse-ofp10-match` and `parse-ofp11-match`: fixed structures of standard input, `size` bytes each. Digits may be `x`:
/// whatever they are, the match is the same.
pub fn parse_fixed(size: usize) -> Result<u8> {
    for line in stdin_lines() {
        let Some(text) = without_comment(&line) else { continue };
        let expected = hex_bytes(&text.replace(['x', 'X'], "0")).map_err(|_| GARBAGE)?;
        if expected.len() != size {
            return Err(format!("Input is {} bytes, expected {size}", expected.len()));
        }
        let data = hex_bytes(&any_digits(text)).map_err(|_| GARBAGE)?;
        let mut r = Reader::new(&data);
        let decoded = if size == 40 { fixed_match::take_of10(&mut r) } else { fixed_match::take_of11(&mut r) };
        match decoded {
            Ok(m) => {
                println!("{m}");
                let mut again = Vec::new();
                if size == 40 {
                    fixed_match::put_of10(&mut again, &m);
                } else {
                    fixed_match::put_of11(&mut again, &m);
                }
                print_differences("", &expected, &again);
                if size == 40 {
                    let mut normal = m.clone();
                    flow::normalize(&mut normal);
                    let mut bytes = Vec::new();
                    fixed_match::put_of10(&mut bytes, &normal);
                    print_differences("normal: ", &again, &bytes);
                }
            }
            Err(e) => println!("bad ofp{}_match: {e}", if size == 40 { "10" } else { "11" }),
        }
        println!();
    }
    Ok(0)
}

/// What is said of something that is no hexadecimal digit.
pub const GARBAGE: &str = "Trailing garbage in hex data";

/// Digits that are nobody's choice for each `x`.
fn any_digits(text: &str) -> String {
    let mut seed = std::process::id() | 1;
    let mut digit = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_digit(seed >> 28, 16).unwrap_or('0')
    };
    text.chars().map(|c| if matches!(c, 'x' | 'X') { digit() } else { c }).collect()
}

/// The number that hexadecimal digits at the beginning of `s` say, 16 bits of it.
fn leading_hex(s: &str) -> u16 {
    let digits = s.strip_prefix("0x").or_else(|| s.strip_prefix("0X")).unwrap_or(s);
    digits.chars().map_while(|c| c.to_digit(16)).fold(0u16, |n, d| n << 4 | d as u16)
}

/// `check-vlan`: a match on the VLAN field in each form that there is, and what comes back from each.
pub fn check_vlan(tci: &str, mask: &str) -> Result<u8> {
    let mut m = Match::any();
    m.key.set_vlan_tci(0, leading_hex(tci));
    m.mask.set_vlan_tci(0, leading_hex(mask));
    let shown = |m: &Match| format!("{:04x}/{:04x}", m.key.vlan_tci(0), m.mask.vlan_tci(0));

    let text = m.to_string();
    let mut cx = ParseContext::new(None);
    let (fm, _) = openflow::text::parse_flow(&mut cx, &text, openflow::text::Use::Dump)?;
    println!("{text} -> {}", shown(&fm.matching.expand()));

    let entries = |numbering| {
        let mut out = Vec::new();
        oxm_match::put_entries(&mut out, &m, numbering, None);
        let back: std::result::Result<Match, Error> =
            oxm_match::take_entries(&out, oxm_match::Strictness::Strict, None);
        (to_text(&out), back)
    };
    let (text, back) = entries(oxm::Numbering::Nxm);
    println!("NXM: {text} -> {}", back.map_or_else(|e| e.to_string(), |m| shown(&m)));

    let (text, back) = entries(oxm::Numbering::Oxm(Version::V12));
    let back = back.map_or_else(
        |e| e.to_string(),
        |m| {
            let (key, mask) = (m.key.vlan_tci(0), m.mask.vlan_tci(0));
            let pcp = if mask & 0xe000 != 0 { format!("{:02x}", key >> 13) } else { "--".to_string() };
            format!("{:04x}/{:04x},{pcp}", key & 0x1fff, mask & 0x1fff)
        },
    );
    println!("OXM: {text} -> {back}");

    let mut of10 = Vec::new();
    fixed_match::put_of10(&mut of10, &m);
    let back = fixed_match::take_of10(&mut Reader::new(&of10));
    print_fixed_vlan("1.0", &of10, [0, 18, 20], 1 << 20, back.map(|m| shown(&m)));
    let mut of11 = Vec::new();
    fixed_match::put_of11(&mut of11, &m);
    let back = fixed_match::take_of11(&mut Reader::new(&of11));
    print_fixed_vlan("1.1", &of11, [8, 36, 38], 1 << 2, back.map(|m| shown(&m)));
    Ok(0)
}

/// Prints the VLAN fields of a fixed structure; `at` are the offsets of wildcards, VLAN and priority.
fn print_fixed_vlan(
    version: &str,
    data: &[u8],
    at: [usize; 3],
    pcp_bit: u32,
    back: std::result::Result<String, Error>,
) {
    let mut wildcards = Reader::new(data.get(at[0]..).unwrap_or(&[]));
    let wildcards = wildcards.u32().unwrap_or(0);
    let vlan = data.get(at[1]..at[1] + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    println!(
        "OF{version}: {vlan:04x}/{},{:02x}/{} -> {}",
        u8::from(wildcards & 2 != 0),
        data.get(at[2]).unwrap_or(&0),
        u8::from(wildcards & pcp_bit != 0),
        back.unwrap_or_else(|e| e.to_string()),
    );
}
