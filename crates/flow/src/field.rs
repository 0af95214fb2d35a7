//! What the field table is made of: [`Field`] names a row, [`FieldDef`] is the row.

use std::fmt;

use crate::table::{FIELDS, N_FIELDS};

/// A match field: an index into [`FIELDS`]. Constants name each (`Field::ETH_SRC`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Field(pub(crate) u8);

/// How a field may be masked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaskRule {
    /// Wildcarded or matched exactly.
    Exact,
    /// Any bits.
    Bitwise,
}

/// Text form of a field's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Format {
    Dec,
    Hex,
    CtState,
    Ethernet,
    Ipv4,
    Ipv6,
    Port16,
    Port32,
    Frag,
    TunFlags,
    TcpFlags,
    PacketType,
}

/// What else a match must say before it may match on a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Prereq {
    None,
    Ethernet,
    Arp,
    VlanVid,
    Ipv4,
    Ipv6,
    IpAny,
    Mpls,
    Nsh,
    Ct,
    Tcp,
    Udp,
    Sctp,
    Icmp4,
    Icmp6,
    Nd,
    NdSolicit,
    NdAdvert,
}

/// How a fixed match structure (OpenFlow 1.0, 1.1) can express a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fixed {
    /// Not at all.
    No,
    /// Exactly or not matched.
    Exact,
    /// With a prefix mask.
    Cidr,
    /// With any mask.
    Bitwise,
}

/// One NXM or OXM number of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number {
    /// The original's name of the number, such as `NXM_OF_ETH_SRC`.
    pub name: &'static str,
    /// OXM class; 0xffff means that [`Number::experimenter`] follows the header.
    pub class: u16,
    /// Experimenter id, 0 for standard classes.
    pub experimenter: u32,
    /// Field number in the class, 0 to 127.
    pub field: u8,
    /// First OpenFlow version byte that uses this number, 0 for none (Nicira messages).
    pub min_version: u8,
}

/// A row of the field table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldDef {
    /// Name that is printed.
    pub name: &'static str,
    /// Second name that parsers take, or empty.
    pub alias: &'static str,
    /// Bytes of a value on the wire (the longest, for tunnel metadata).
    pub bytes: u16,
    /// Bits that a value may use.
    pub bits: u16,
    /// Masks that are allowed.
    pub mask: MaskRule,
    /// Text form.
    pub format: Format,
    /// Prerequisite.
    pub prereq: Prereq,
    /// Whether actions may write the field.
    pub writable: bool,
    /// Use in the match structure of OpenFlow 1.0.
    pub of10: Fixed,
    /// Use in the match structure of OpenFlow 1.1.
    pub of11: Fixed,
    /// Whether a table's prefix list may name the field.
    pub prefix: bool,
    /// Word of the flow key; of a 128-bit field the first (more significant) of two.
    pub word: u8,
    /// Distance of the field's lowest bit from the lowest bit of the word.
    pub shift: u8,
    /// Bits in the key: 0 for tunnel metadata (see [`crate::tunnel`]), 128 for two words.
    pub key_bits: u8,
    /// NXM and OXM numbers, oldest first.
    pub numbers: &'static [Number],
}

impl Field {
    /// The field with this index in [`FIELDS`].
    pub const fn from_index(i: usize) -> Option<Field> {
        if i < N_FIELDS { Some(Field(i as u8)) } else { None }
    }

    /// Index in [`FIELDS`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The row of the table.
    #[inline]
    pub fn def(self) -> &'static FieldDef {
        &FIELDS[usize::from(self.0)]
    }

    /// Every field, in table order.
    pub fn all() -> impl DoubleEndedIterator<Item = Field> + ExactSizeIterator {
        (0..N_FIELDS as u8).map(Field)
    }

    /// 32-bit register `n`, 0 to 31.
    pub const fn reg(n: u8) -> Option<Field> {
        if n < 32 { Some(Field(Field::REG0.0 + n)) } else { None }
    }

    /// 64-bit register `n`, 0 to 15.
    pub const fn xreg(n: u8) -> Option<Field> {
        if n < 16 { Some(Field(Field::XREG0.0 + n)) } else { None }
    }

    /// 128-bit register `n`, 0 to 7.
    pub const fn xxreg(n: u8) -> Option<Field> {
        if n < 8 { Some(Field(Field::XXREG0.0 + n)) } else { None }
    }

    /// Tunnel option field `n`, 0 to 63.
    pub const fn tun_metadata(n: u8) -> Option<Field> {
        if n < 64 { Some(Field(Field::TUN_METADATA0.0 + n)) } else { None }
    }

    /// The number `n` of `tun_metadataN`.
    pub const fn tun_metadata_index(self) -> Option<u8> {
        if self.0 >= Field::TUN_METADATA0.0 && self.0 <= Field::TUN_METADATA63.0 {
            Some(self.0 - Field::TUN_METADATA0.0)
        } else {
            None
        }
    }

    /// Name that is printed.
    pub fn name(self) -> &'static str {
        self.def().name
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A run of bits inside a field, as `NXM_NX_REG0[4..7]` says it. `n_bits` is at least 1 and `ofs + n_bits` at most
/// the field's width.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subfield {
    /// The field.
    pub field: Field,
    /// Lowest bit, 0 being the field's least significant.
    pub ofs: u16,
    /// Number of bits.
    pub n_bits: u16,
}

impl Subfield {
    /// All bits of `field`.
    pub fn whole(field: Field) -> Subfield {
        Subfield { field, ofs: 0, n_bits: field.def().bits }
    }
}

/// A field's value: right-justified bits, or, for tunnel metadata longer than 16 bytes, its bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum FieldValue {
    /// At most 128 bits, right-justified.
    Int(u128),
    /// Big-endian bytes, up to 124, of a tunnel metadata field.
    Wide(Box<[u8]>),
}

impl FieldValue {
    /// The low 128 bits.
    pub fn low(&self) -> u128 {
        match self {
            FieldValue::Int(x) => *x,
            FieldValue::Wide(b) => b.iter().fold(0, |a, &x| a << 8 | u128::from(x)),
        }
    }
}

impl From<u128> for FieldValue {
    fn from(x: u128) -> FieldValue {
        FieldValue::Int(x)
    }
}

impl Field {
    /// The field with this name or alias.
    pub fn from_name(name: &str) -> Option<Field> {
        use foldhash::{HashMap, HashMapExt};
        use std::sync::OnceLock;
        static BY_NAME: OnceLock<HashMap<&'static str, Field>> = OnceLock::new();
        let map = BY_NAME.get_or_init(|| {
            let mut map = HashMap::with_capacity(2 * N_FIELDS);
            for f in Field::all() {
                map.insert(f.name(), f);
                if !f.def().alias.is_empty() {
                    map.insert(f.def().alias, f);
                }
            }
            map
        });
        map.get(name).copied()
    }
}
