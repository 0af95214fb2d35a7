//! NXM and OXM headers and entries (OpenFlow 1.3 §7.2.3).

use std::sync::OnceLock;

use flow::{Field, FieldValue, Number};
use foldhash::{HashMap, HashMapExt};

use super::bytes::{Put, Reader};
use crate::error::Error;
use crate::version::Version;

/// Which numbers to prefer: those of Nicira messages, or those of an OpenFlow version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbering {
    /// The oldest: NXM where one exists.
    Nxm,
    /// The newest that the version allows.
    Oxm(Version),
}

impl Numbering {
    /// What match fields of messages of `version` use.
    pub const fn of(version: Version) -> Numbering {
        match version {
            Version::V10 | Version::V11 => Numbering::Nxm,
            v => Numbering::Oxm(v),
        }
    }

    fn version_byte(self) -> u8 {
        match self {
            Numbering::Nxm => 0,
            Numbering::Oxm(v) => v.to_wire(),
        }
    }
}

/// A header as received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// OXM class.
    pub class: u16,
    /// Field number, 0 to 127.
    pub number: u8,
    /// Whether a mask follows the value.
    pub has_mask: bool,
    /// Length of value and mask, in bytes (without the experimenter id).
    pub len: u8,
    /// Experimenter id, 0 for other classes.
    pub experimenter: u32,
}

struct Lookup {
    short: [[Option<Field>; 128]; 3],
    other: HashMap<(u16, u32, u8), Field>,
}

fn lookup() -> &'static Lookup {
    static TABLE: OnceLock<Lookup> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut t = Lookup { short: [[None; 128]; 3], other: HashMap::new() };
        for f in Field::all() {
            for n in f.def().numbers {
                match class_index(n.class) {
                    Some(i) => t.short[i][usize::from(n.field & 127)] = Some(f),
                    None => {
                        t.other.insert((n.class, n.experimenter, n.field), f);
                    }
                }
            }
        }
        t
    })
}

fn class_index(class: u16) -> Option<usize> {
    match class {
        0 => Some(0),
        1 => Some(1),
        0x8000 => Some(2),
        _ => None,
    }
}

/// The field with this class, experimenter and number.
pub fn field_of(class: u16, experimenter: u32, number: u8) -> Option<Field> {
    match class_index(class) {
        Some(i) => lookup().short[i].get(usize::from(number)).copied().flatten(),
        None => lookup().other.get(&(class, experimenter, number)).copied(),
    }
}

impl Header {
    /// The field, if it is one of the field table.
    pub fn field(&self) -> Option<Field> {
        field_of(self.class, self.experimenter, self.number)
    }

    /// The header as the 32-bit number that log messages and packed action slots use.
    pub fn to_u32(&self) -> u32 {
        let exp = if self.class == 0xffff { 4 } else { 0 };
        u32::from(self.class) << 16
            | u32::from(self.number) << 9
            | u32::from(self.has_mask) << 8
            | u32::from(self.len.wrapping_add(exp))
    }
}

/// The number with which `field` is written. `None` for fields that no message carries.
pub fn number_of(field: Field, numbering: Numbering) -> Option<&'static Number> {
    type ByVersion = [Option<&'static Number>; 7];
    static TABLE: OnceLock<Vec<ByVersion>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        Field::all().map(|f| std::array::from_fn(|version| best_number(f.def().numbers, version as u8))).collect()
    });
    table[field.index()][usize::from(numbering.version_byte())]
}

/// The newest number that a version allows, the oldest of all if it allows none.
fn best_number(numbers: &'static [Number], version: u8) -> Option<&'static Number> {
    let mut best: Option<&'static Number> = None;
    for n in numbers {
        if best.is_none_or(|b| n.min_version <= version && n.min_version > b.min_version) {
            best = Some(n);
        }
    }
    best
}

/// Reads a header with its experimenter id.
pub fn take_header(r: &mut Reader<'_>) -> Result<Header, Error> {
    let bad = Error::BadMatchBadLen;
    if r.len() < 4 {
        return Err(bad);
    }
    let raw = r.u32()?;
    let (class, mut len) = ((raw >> 16) as u16, raw as u8);
    let mut experimenter = 0;
    if class == 0xffff {
        if len < 4 || r.len() < 4 {
            return Err(bad);
        }
        experimenter = r.u32()?;
        len -= 4;
    }
    Ok(Header { class, number: (raw >> 9 & 0x7f) as u8, has_mask: raw >> 8 & 1 != 0, len, experimenter })
}

/// Appends a header for a payload of `len` bytes. False, and nothing appended, for a field without a number.
pub fn put_header(out: &mut Vec<u8>, field: Field, numbering: Numbering, has_mask: bool, len: usize) -> bool {
    let Some(n) = number_of(field, numbering) else { return false };
    let exp = if n.class == 0xffff { 4 } else { 0 };
    out.put16(n.class);
    out.put8(n.field << 1 | u8::from(has_mask));
    out.put8((len + exp) as u8);
    if n.class == 0xffff {
        out.put32(n.experimenter);
    }
    true
}

/// Appends `len` bytes of a value.
pub fn put_value(out: &mut Vec<u8>, value: &FieldValue, len: usize) {
    match value {
        FieldValue::Int(x) => {
            if len > 16 {
                out.zeros(len - 16);
            }
            put_int(out, *x, len.min(16));
        }
        FieldValue::Wide(b) => {
            out.zeros(len.saturating_sub(b.len()));
            out.put(&b[b.len().saturating_sub(len)..]);
        }
    }
}

/// Appends the low `len` bytes (at most 16) of a number.
#[inline]
pub fn put_int(out: &mut Vec<u8>, n: u128, len: usize) {
    match len {
        1 => out.put8(n as u8),
        2 => out.put16(n as u16),
        4 => out.put32(n as u32),
        8 => out.put64(n as u64),
        _ => out.put(&n.to_be_bytes()[16 - len..]),
    }
}

/// A number from its big-endian bytes (at most 16).
#[inline]
pub fn int_from(bytes: &[u8]) -> u128 {
    match bytes {
        [a] => u128::from(*a),
        [a, b] => u128::from(u16::from_be_bytes([*a, *b])),
        [a, b, c, d] => u128::from(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => {
            let mut all = [0; 16];
            let len = bytes.len().min(16);
            all[16 - len..].copy_from_slice(&bytes[..len]);
            u128::from_be_bytes(all)
        }
    }
}

/// A value from its bytes.
pub fn value_from(bytes: &[u8]) -> FieldValue {
    if bytes.len() <= 16 { FieldValue::Int(int_from(bytes)) } else { FieldValue::Wide(bytes.into()) }
}

/// Appends an entry; `mask` `None` for an exact one.
pub fn put_entry(
    out: &mut Vec<u8>,
    field: Field,
    numbering: Numbering,
    value: &FieldValue,
    mask: Option<&FieldValue>,
    len: usize,
) {
    let total = if mask.is_some() { 2 * len } else { len };
    if put_header(out, field, numbering, mask.is_some(), total) {
        put_value(out, value, len);
        if let Some(m) = mask {
            put_value(out, m, len);
        }
    }
}

/// Appends an entry of a field that is not tunnel metadata; `mask` `None` for an exact one.
#[inline]
pub fn put_int_entry(out: &mut Vec<u8>, field: Field, numbering: Numbering, value: u128, mask: Option<u128>) {
    let len = usize::from(field.def().bytes);
    let total = if mask.is_some() { 2 * len } else { len };
    if put_header(out, field, numbering, mask.is_some(), total) {
        put_int(out, value, len);
        if let Some(m) = mask {
            put_int(out, m, len);
        }
    }
}

/// One entry: field, value, mask (`None` if it had none), number of bytes of the value.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Field.
    pub field: Field,
    /// Value.
    pub value: FieldValue,
    /// Mask.
    pub mask: Option<FieldValue>,
    /// Bytes of the value.
    pub len: u8,
}

/// Reads an entry. An unknown field is `OFPBMC_BAD_FIELD`, after its payload was left out.
pub fn take_entry(r: &mut Reader<'_>) -> Result<Entry, Error> {
    let h = take_header(r)?;
    let total = usize::from(h.len);
    let len = if h.has_mask { total / 2 } else { total };
    let payload = r.take(total).map_err(|_| Error::BadMatchBadLen)?;
    let (value, mask) = payload.split_at(len);
    let value = value_from(value);
    let mut masked = None;
    if h.has_mask {
        let mask = value_from(mask.get(..len).unwrap_or(mask));
        if has_bits_outside(&value, &mask) {
            return Err(Error::BadMatchBadWildcards);
        }
        masked = Some(mask);
    }
    // A header whose length is not that of its field names no field.
    let field = h.field().ok_or(Error::BadMatchBadField)?;
    let width = usize::from(field.def().bytes);
    // Of a tunnel's option with a mask, an odd byte at the end says nothing.
    let option = field.tun_metadata_index().is_some();
    let fits = if option { len <= width } else { len == width && (!h.has_mask || total.is_multiple_of(2)) };
    if !fits {
        return Err(Error::BadMatchBadField);
    }
    Ok(Entry { field, value, mask: masked, len: len as u8 })
}

fn has_bits_outside(value: &FieldValue, mask: &FieldValue) -> bool {
    match (value, mask) {
        (FieldValue::Wide(v), FieldValue::Wide(m)) => v.iter().zip(m.iter()).any(|(a, b)| a & !b != 0),
        (v, m) => v.low() & !m.low() != 0,
    }
}
