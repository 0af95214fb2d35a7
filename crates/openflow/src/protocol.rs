//! Protocol variants: versions, and for 1.0 the Nicira flow format and the table id extension.

use flow::{Field, Fixed};

use crate::version::Version;

/// A set of protocol variants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Protocols(pub u16);

impl Protocols {
    /// OpenFlow 1.0.
    pub const OF10: Protocols = Protocols(1 << 0);
    /// OpenFlow 1.0 with table ids in flow_mod.
    pub const OF10_TID: Protocols = Protocols(1 << 1);
    /// OpenFlow 1.0 with Nicira flow format.
    pub const NXM: Protocols = Protocols(1 << 2);
    /// OpenFlow 1.0 with Nicira flow format and table ids.
    pub const NXM_TID: Protocols = Protocols(1 << 3);
    /// OpenFlow 1.1.
    pub const OF11: Protocols = Protocols(1 << 4);
    /// OpenFlow 1.2.
    pub const OF12: Protocols = Protocols(1 << 5);
    /// OpenFlow 1.3.
    pub const OF13: Protocols = Protocols(1 << 6);
    /// OpenFlow 1.4.
    pub const OF14: Protocols = Protocols(1 << 7);
    /// OpenFlow 1.5.
    pub const OF15: Protocols = Protocols(1 << 8);
    /// None.
    pub const NONE: Protocols = Protocols(0);
    /// All.
    pub const ANY: Protocols = Protocols(0x1ff);
    /// OpenFlow 1.0 with standard flow format.
    pub const OF10_STD_ANY: Protocols = Protocols(0x003);
    /// OpenFlow 1.0 with Nicira flow format.
    pub const OF10_NXM_ANY: Protocols = Protocols(0x00c);
    /// OpenFlow 1.0.
    pub const OF10_ANY: Protocols = Protocols(0x00f);
    /// OpenFlow 1.2 and later.
    pub const ANY_OXM: Protocols = Protocols(0x1e0);
    /// All with NXM or OXM.
    pub const NXM_OXM_ANY: Protocols = Protocols(0x1ec);
    /// NXM and OpenFlow 1.1 and later.
    pub const NXM_OF11_UP: Protocols = Protocols(0x1fc);
    /// OpenFlow 1.1 and later.
    pub const OF11_UP: Protocols = Protocols(0x1f0);
    /// OpenFlow 1.3 and later.
    pub const OF13_UP: Protocols = Protocols(0x1c0);
    /// OpenFlow 1.5 and later.
    pub const OF15_UP: Protocols = Protocols(0x100);
    /// Those that carry table ids in flow_mod.
    pub const TID: Protocols = Protocols(0x1fa);

    /// In both sets.
    #[must_use]
    pub const fn and(self, other: Protocols) -> Protocols {
        Protocols(self.0 & other.0)
    }

    /// In either set.
    #[must_use]
    pub const fn or(self, other: Protocols) -> Protocols {
        Protocols(self.0 | other.0)
    }

    /// In this set but not in the other.
    #[must_use]
    pub const fn without(self, other: Protocols) -> Protocols {
        Protocols(self.0 & !other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are in the set.
    pub const fn contains(self, other: Protocols) -> bool {
        self.0 & other.0 == other.0
    }

    /// The first one, oldest and plainest.
    pub const fn first(self) -> Protocols {
        Protocols(self.0 & self.0.wrapping_neg())
    }

    /// Each one alone, oldest first.
    pub fn iter(self) -> impl Iterator<Item = Protocols> {
        (0..9).map(|n| Protocols(1 << n)).filter(move |p| self.0 & p.0 != 0)
    }

    /// The version of a single variant.
    pub const fn version(self) -> Version {
        match self.first().0 {
            0x010 => Version::V11,
            0x020 => Version::V12,
            0x040 => Version::V13,
            0x080 => Version::V14,
            0x100 => Version::V15,
            _ => Version::V10,
        }
    }

    /// All variants of a version.
    pub const fn of_version(v: Version) -> Protocols {
        match v {
            Version::V10 => Protocols::OF10_ANY,
            Version::V11 => Protocols::OF11,
            Version::V12 => Protocols::OF12,
            Version::V13 => Protocols::OF13,
            Version::V14 => Protocols::OF14,
            Version::V15 => Protocols::OF15,
        }
    }

    /// Whether a single variant uses Nicira flow messages in OpenFlow 1.0.
    pub const fn is_nxm(self) -> bool {
        self.0 & Protocols::OF10_NXM_ANY.0 != 0
    }

    /// A single variant with or without table ids.
    #[must_use]
    pub const fn with_table_id(self, on: bool) -> Protocols {
        match (self, on) {
            (Protocols::OF10, true) => Protocols::OF10_TID,
            (Protocols::OF10_TID, false) => Protocols::OF10,
            (Protocols::NXM, true) => Protocols::NXM_TID,
            (Protocols::NXM_TID, false) => Protocols::NXM,
            (p, _) => p,
        }
    }

    /// From a list of names as `-F` takes it, in any case. The error is the unknown name.
    pub fn from_names(list: &str) -> Result<Protocols, String> {
        let mut set = Protocols::NONE;
        for name in list.split([',', ' ', '\t']).filter(|n| !n.is_empty()) {
            let found = NAMES.iter().find(|n| n.1.eq_ignore_ascii_case(name));
            set = set.or(found.ok_or_else(|| name.to_string())?.0);
        }
        Ok(set)
    }
}

/// Names, those of groups first.
const NAMES: [(Protocols, &str); 13] = [
    (Protocols::ANY, "any"),
    (Protocols::OF10_STD_ANY, "OpenFlow10"),
    (Protocols::OF10_NXM_ANY, "NXM"),
    (Protocols::ANY_OXM, "OXM"),
    (Protocols::OF10, "OpenFlow10-table_id"),
    (Protocols::OF10_TID, "OpenFlow10+table_id"),
    (Protocols::NXM, "NXM-table_id"),
    (Protocols::NXM_TID, "NXM+table_id"),
    (Protocols::OF11, "OpenFlow11"),
    (Protocols::OF12, "OXM-OpenFlow12"),
    (Protocols::OF13, "OXM-OpenFlow13"),
    (Protocols::OF14, "OXM-OpenFlow14"),
    (Protocols::OF15, "OXM-OpenFlow15"),
];

impl std::fmt::Display for Protocols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut rest = *self;
        let mut comma = "";
        for (set, name) in NAMES {
            if rest.contains(set) {
                write!(f, "{comma}{name}")?;
                comma = ",";
                rest = rest.without(set);
                if rest.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The variants that can carry a match on `field` with this mask (only bits of the field).
pub fn for_field(field: Field, mask: u128) -> Protocols {
    let d = field.def();
    let width = u32::from(d.key_bits.min(128));
    let all = field.byte_mask();
    let fits = |fixed: Fixed| match fixed {
        Fixed::No => false,
        Fixed::Exact => mask == all,
        Fixed::Cidr => mask.trailing_zeros() + (mask.count_ones()) == width,
        Fixed::Bitwise => true,
    };
    if mask == 0 {
        return Protocols::ANY;
    }
    let partial = d.mask == flow::MaskRule::Exact && mask != all;
    if partial || (d.numbers.is_empty() && d.of10 == Fixed::No) {
        return Protocols::NONE;
    }
    if fits(d.of10) {
        return Protocols::ANY;
    }
    if fits(d.of11) { Protocols::NXM_OF11_UP } else { Protocols::NXM_OXM_ANY }
}
