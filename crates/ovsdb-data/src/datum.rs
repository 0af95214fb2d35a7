//! Datums: what a column holds in a row. A set or a map of atoms, sorted, without duplicates.

use crate::atom::{Atom, AtomType, Symbols, unwrap_pair};
use crate::column_type::ColumnType;
use crate::error::{OvsdbError, Result};
use serde_json::Value;
use std::cmp::Ordering;

/// A set or a map. A set of one atom, the usual case, takes no allocation.
#[derive(Clone, Debug)]
pub struct Datum(Repr);

/// Invariants: `Many` has no or at least two atoms; atoms and pairs are sorted by (key) and distinct in the key.
#[derive(Clone, Debug)]
enum Repr {
    One(Atom),
    Many(Vec<Atom>),
    Pairs(Vec<(Atom, Atom)>),
}

impl From<Atom> for Datum {
    fn from(atom: Atom) -> Datum {
        Datum(Repr::One(atom))
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Datum {
        Atom::string(text).into()
    }
}

impl From<i64> for Datum {
    fn from(value: i64) -> Datum {
        Atom::Integer(value).into()
    }
}

impl From<bool> for Datum {
    fn from(value: bool) -> Datum {
        Atom::Boolean(value).into()
    }
}

impl From<crate::uuid::Uuid> for Datum {
    fn from(value: crate::uuid::Uuid) -> Datum {
        Atom::Uuid(value).into()
    }
}

/// Atoms that are put into a set one by one.
const FEW: usize = 4;

impl Datum {
    /// The empty set.
    pub const EMPTY: Datum = Datum(Repr::Many(Vec::new()));

    /// A set of these atoms; duplicates become one.
    pub fn set(mut atoms: Vec<Atom>) -> Datum {
        atoms.sort();
        atoms.dedup();
        Datum::sorted_set(atoms)
    }

    /// A map of these pairs; of pairs with one key the first stays.
    pub fn map(mut pairs: Vec<(Atom, Atom)>) -> Datum {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        Datum(Repr::Pairs(pairs))
    }

    /// A map from strings to strings.
    pub fn string_map<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Datum {
        Datum::map(pairs.into_iter().map(|(k, v)| (Atom::string(k.as_ref()), Atom::string(v.as_ref()))).collect())
    }

    /// The empty datum of a type: an empty set or map.
    pub fn empty(column_type: &ColumnType) -> Datum {
        if column_type.is_map() { Datum(Repr::Pairs(Vec::new())) } else { Datum::EMPTY }
    }

    /// The default of a type: empty if it may be, else one default atom or pair (RFC 7047 §5.2.1).
    pub fn default(column_type: &ColumnType) -> Datum {
        if column_type.n_min == 0 {
            return Datum::empty(column_type);
        }
        let key = column_type.key.atom_type.default_atom();
        match &column_type.value {
            None => key.into(),
            Some(value) => Datum(Repr::Pairs(vec![(key, value.atom_type.default_atom())])),
        }
    }

    /// True if this is [`Datum::default`] of the type.
    pub fn is_default(&self, column_type: &ColumnType) -> bool {
        match &self.0 {
            Repr::Many(atoms) => atoms.is_empty() && column_type.n_min == 0,
            Repr::One(atom) => column_type.n_min == 1 && atom.is_default(),
            Repr::Pairs(pairs) => match pairs.as_slice() {
                [] => column_type.n_min == 0,
                [(key, value)] => column_type.n_min == 1 && key.is_default() && value.is_default(),
                _ => false,
            },
        }
    }

    /// A set of atoms that are sorted and distinct already.
    pub(crate) fn sorted_set(mut atoms: Vec<Atom>) -> Datum {
        debug_assert!(atoms.windows(2).all(|w| w[0] < w[1]));
        if atoms.len() == 1
            && let Some(atom) = atoms.pop()
        {
            return Datum(Repr::One(atom));
        }
        Datum(Repr::Many(atoms))
    }

    /// A set of atoms in the order that [`Datum::atoms`] gave them.
    pub fn from_sorted(atoms: Vec<Atom>) -> Datum {
        if atoms.windows(2).all(|w| w[0] < w[1]) { Datum::sorted_set(atoms) } else { Datum::set(atoms) }
    }

    /// A map of pairs in the order that [`Datum::pairs`] gave them.
    pub fn from_sorted_pairs(pairs: Vec<(Atom, Atom)>) -> Datum {
        if pairs.windows(2).all(|w| w[0].0 < w[1].0) { Datum(Repr::Pairs(pairs)) } else { Datum::map(pairs) }
    }

    /// Number of atoms or pairs.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::One(_) => 1,
            Repr::Many(atoms) => atoms.len(),
            Repr::Pairs(pairs) => pairs.len(),
        }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True for a map.
    pub fn is_map(&self) -> bool {
        matches!(self.0, Repr::Pairs(_))
    }

    /// The atoms of a set, in order; nothing for a map.
    pub fn atoms(&self) -> &[Atom] {
        match &self.0 {
            Repr::One(atom) => std::slice::from_ref(atom),
            Repr::Many(atoms) => atoms,
            Repr::Pairs(_) => &[],
        }
    }

    /// The pairs of a map, in key order; nothing for a set.
    pub fn pairs(&self) -> &[(Atom, Atom)] {
        if let Repr::Pairs(pairs) = &self.0 { pairs } else { &[] }
    }

    /// The atoms of a set or the keys of a map, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Atom> {
        self.atoms().iter().chain(self.pairs().iter().map(|(key, _)| key))
    }

    /// Every atom: those of a set, keys and values of a map.
    pub fn all_atoms(&self) -> impl Iterator<Item = &Atom> {
        self.atoms().iter().chain(self.pairs().iter().flat_map(|(key, value)| [key, value]))
    }

    /// The only atom, if there is exactly one.
    pub fn scalar(&self) -> Option<&Atom> {
        if let Repr::One(atom) = &self.0 { Some(atom) } else { None }
    }

    /// The string of a set of one string.
    pub fn as_str(&self) -> Option<&str> {
        self.scalar()?.as_str()
    }

    /// The UUID of a set of one UUID.
    pub fn as_uuid(&self) -> Option<crate::uuid::Uuid> {
        self.scalar()?.as_uuid()
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &Atom) -> Option<&Atom> {
        let pairs = self.pairs();
        let at = pairs.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        Some(&pairs[at].1)
    }

    /// The value of a string key of a map of strings.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.pairs().iter().find(|(k, _)| k.as_str() == Some(key))?.1.as_str()
    }

    /// True if an atom is in a set, or is a key of a map.
    pub fn contains_key(&self, key: &Atom) -> bool {
        match &self.0 {
            Repr::One(atom) => atom == key,
            Repr::Many(atoms) => atoms.binary_search(key).is_ok(),
            Repr::Pairs(pairs) => pairs.binary_search_by(|(k, _)| k.cmp(key)).is_ok(),
        }
    }

    /// True if every atom or pair of `other` is here.
    pub fn includes_all(&self, other: &Datum) -> bool {
        match &other.0 {
            Repr::Pairs(pairs) => pairs.iter().all(|(key, value)| self.get(key) == Some(value)),
            _ => other.atoms().iter().all(|atom| self.contains_key(atom)),
        }
    }

    /// True if no atom or pair of `other` is here.
    pub fn excludes_all(&self, other: &Datum) -> bool {
        match &other.0 {
            Repr::Pairs(pairs) => pairs.iter().all(|(key, value)| self.get(key) != Some(value)),
            _ => other.atoms().iter().all(|atom| !self.contains_key(atom)),
        }
    }

    /// Adds what is in `other`; of two pairs with one key the one already here stays, unless `replace`.
    pub fn union(&mut self, other: &Datum, replace: bool) {
        match &mut self.0 {
            Repr::Pairs(pairs) => {
                for (key, value) in other.pairs() {
                    match pairs.binary_search_by(|(k, _)| k.cmp(key)) {
                        Ok(at) if replace => pairs[at].1 = value.clone(),
                        Ok(_) => {}
                        Err(at) => pairs.insert(at, (key.clone(), value.clone())),
                    }
                }
            }
            _ => {
                if other.is_empty() {
                    return;
                }
                let mut atoms = self.take_atoms();
                if other.len() <= FEW {
                    for atom in other.atoms() {
                        if let Err(at) = atoms.binary_search(atom) {
                            atoms.insert(at, atom.clone());
                        }
                    }
                    *self = Datum::sorted_set(atoms);
                    return;
                }
                atoms.extend(other.atoms().iter().cloned());
                *self = Datum::set(atoms);
            }
        }
    }

    /// Removes what is in `other`: from a map the pairs of a map, or the keys of a set.
    pub fn subtract(&mut self, other: &Datum) {
        match &mut self.0 {
            Repr::Pairs(pairs) if other.is_map() => {
                pairs.retain(|(key, value)| other.get(key) != Some(value));
            }
            Repr::Pairs(pairs) => pairs.retain(|(key, _)| !other.contains_key(key)),
            _ => self.retain(|key| !other.contains_key(key)),
        }
    }

    /// Keeps the atoms, or the pairs whose key, satisfy `keep`.
    pub fn retain(&mut self, mut keep: impl FnMut(&Atom) -> bool) {
        if let Repr::Pairs(pairs) = &mut self.0 {
            pairs.retain(|(key, _)| keep(key));
            return;
        }
        let mut atoms = self.take_atoms();
        atoms.retain(|atom| keep(atom));
        *self = Datum::sorted_set(atoms);
    }

    /// Keeps the pairs whose value satisfies `keep`; a set stays as it is.
    pub fn retain_values(&mut self, mut keep: impl FnMut(&Atom) -> bool) {
        if let Repr::Pairs(pairs) = &mut self.0 {
            pairs.retain(|(_, value)| keep(value));
        }
    }

    /// Puts every atom of a set through `change`, which may fail.
    pub fn try_map_atoms(&mut self, change: impl FnMut(Atom) -> Result<Atom>) -> Result<()> {
        let atoms = self.take_atoms().into_iter().map(change).collect::<Result<Vec<Atom>>>()?;
        let before = atoms.len();
        *self = Datum::set(atoms);
        if self.len() != before {
            return Err(OvsdbError::new("ovsdb error", "set contains duplicate"));
        }
        Ok(())
    }

    fn take_atoms(&mut self) -> Vec<Atom> {
        match std::mem::replace(&mut self.0, Repr::Many(Vec::new())) {
            Repr::One(atom) => vec![atom],
            Repr::Many(atoms) => atoms,
            pairs @ Repr::Pairs(_) => {
                self.0 = pairs;
                Vec::new()
            }
        }
    }

    /// The difference that, applied to `self`, gives `new` (ovsdb-server(7) §4.1.14): the new value for a column of at
    /// most one element, else what is in only one of the two, and the new pairs of keys that both have.
    pub fn diff(&self, new: &Datum, column_type: &ColumnType) -> Datum {
        if !column_type.is_composite() {
            return new.clone();
        }
        if column_type.is_map() {
            let gone = self.pairs().iter().filter(|(key, _)| !new.contains_key(key));
            let changed = new.pairs().iter().filter(|(key, value)| self.get(key) != Some(value));
            return Datum::map(gone.chain(changed).cloned().collect());
        }
        let (old, new) = self.differing(new);
        let gone = old.iter().filter(|atom| new.binary_search(atom).is_err());
        let added = new.iter().filter(|atom| old.binary_search(atom).is_err());
        Datum::set(gone.chain(added).cloned().collect())
    }

    /// Atoms of two sets without those, at the beginning and at the end, that are the same in both: little is left of large sets
    /// that differ by little.
    pub fn differing<'a>(&'a self, other: &'a Datum) -> (&'a [Atom], &'a [Atom]) {
        let (mut a, mut b) = (self.atoms(), other.atoms());
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        (a, b) = (&a[same..], &b[same..]);
        let same = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
        (&a[..a.len() - same], &b[..b.len() - same])
    }

    /// Undoes [`Datum::diff`]: the new value, out of the old one and the difference.
    pub fn apply_diff(&self, diff: &Datum, column_type: &ColumnType) -> Datum {
        if !column_type.is_composite() {
            return diff.clone();
        }
        if column_type.is_map() {
            let kept = self.pairs().iter().filter(|(key, _)| !diff.contains_key(key));
            let new = diff.pairs().iter().filter(|(key, value)| self.get(key) != Some(value));
            return Datum::map(kept.chain(new).cloned().collect());
        }
        self.diff(diff, column_type)
    }

    /// Reads a `<value>` of a type and checks it against the type's constraints.
    pub fn from_json(value: &Value, column_type: &ColumnType, symbols: Option<&mut dyn Symbols>) -> Result<Datum> {
        Datum::read(value, column_type, symbols, true)
    }

    /// Like [`Datum::from_json`] without checking how many elements there are, as differences need.
    pub fn diff_from_json(value: &Value, column_type: &ColumnType) -> Result<Datum> {
        if column_type.is_composite() {
            return Datum::read(value, &column_type.relaxed(), None, false);
        }
        Datum::read(value, column_type, None, false)
    }

    fn read(
        value: &Value,
        column_type: &ColumnType,
        mut symbols: Option<&mut dyn Symbols>,
        check: bool,
    ) -> Result<Datum> {
        if let Some(value_type) = &column_type.value {
            let Some(Value::Array(items)) = unwrap_pair(value, "map") else {
                return Err(OvsdbError::syntax(value, "expected [\"map\", <array>]"));
            };
            check_count(value, "map", items.len(), column_type)?;
            let mut pairs = Vec::with_capacity(items.len());
            for item in items {
                let Some([key, val]) = item.as_array().map(Vec::as_slice) else {
                    return Err(OvsdbError::syntax(item, "expected 2-element array"));
                };
                let key = read_atom(key, &column_type.key, symbols_again(&mut symbols), check)?;
                let val = read_atom(val, value_type, symbols_again(&mut symbols), check)?;
                pairs.push((key, val));
            }
            let read = pairs.len();
            let datum = Datum::map(pairs);
            return match datum.len() == read {
                true => Ok(datum),
                false => Err(OvsdbError::new("ovsdb error", "map contains duplicate key")),
            };
        }
        let is_set = value.as_array().and_then(|a| a.first()).and_then(Value::as_str) == Some("set");
        if !is_set {
            return Ok(read_atom(value, &column_type.key, symbols, check)?.into());
        }
        let Some(Value::Array(items)) = unwrap_pair(value, "set") else {
            return Err(OvsdbError::syntax(value, "expected [\"set\", <array>]"));
        };
        check_count(value, "set", items.len(), column_type)?;
        let mut atoms = Vec::with_capacity(items.len());
        for item in items {
            atoms.push(read_atom(item, &column_type.key, symbols_again(&mut symbols), check)?);
        }
        let read = atoms.len();
        let datum = Datum::set(atoms);
        match datum.len() == read {
            true => Ok(datum),
            false => Err(OvsdbError::new("ovsdb error", "set contains duplicate")),
        }
    }

    /// Checks the number of elements and the constraints of a datum that was not parsed as this type.
    pub fn check(&self, column_type: &ColumnType) -> Result<()> {
        for key in self.keys() {
            column_type.key.check(key)?;
        }
        if let Some(value_type) = &column_type.value {
            for (_, value) in self.pairs() {
                value_type.check(value)?;
            }
        }
        Ok(())
    }

    /// The JSON form: an atom for a set of one, `["set", …]` or `["map", …]`.
    pub fn to_json(&self) -> Value {
        match &self.0 {
            Repr::One(atom) => atom.to_json(),
            Repr::Many(atoms) => Value::from(vec!["set".into(), Value::from_iter(atoms.iter().map(Atom::to_json))]),
            Repr::Pairs(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| Value::from(vec![key.to_json(), value.to_json()]));
                Value::from(vec!["map".into(), Value::from_iter(pairs)])
            }
        }
    }

    /// Appends the JSON form.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::One(atom) => atom.write_json(out),
            Repr::Many(atoms) => {
                out.extend_from_slice(b"[\"set\",[");
                for (n, atom) in atoms.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    atom.write_json(out);
                }
                out.extend_from_slice(b"]]");
            }
            Repr::Pairs(pairs) => {
                out.extend_from_slice(b"[\"map\",[");
                for (n, (key, value)) in pairs.iter().enumerate() {
                    out.extend_from_slice(if n > 0 { b",[" } else { b"[" });
                    key.write_json(out);
                    out.push(b',');
                    value.write_json(out);
                    out.push(b']');
                }
                out.extend_from_slice(b"]]");
            }
        }
    }

    /// The type of the keys, of a datum that is not empty.
    pub fn key_type(&self) -> Option<AtomType> {
        self.keys().next().map(Atom::atom_type)
    }
}

/// Lends the symbol table once more.
fn symbols_again<'a>(symbols: &'a mut Option<&mut dyn Symbols>) -> Option<&'a mut dyn Symbols> {
    match symbols {
        Some(symbols) => Some(&mut **symbols),
        None => None,
    }
}

fn read_atom(
    value: &Value,
    base: &crate::column_type::BaseType,
    symbols: Option<&mut dyn Symbols>,
    check: bool,
) -> Result<Atom> {
    let atom = Atom::from_json(value, base.atom_type, symbols)?;
    if check {
        base.check(&atom)?;
    }
    Ok(atom)
}

fn check_count(json: &Value, class: &str, n: usize, column_type: &ColumnType) -> Result<()> {
    let (min, max) = (column_type.n_min, column_type.n_max);
    if n >= min as usize && (max == u32::MAX || n <= max as usize) {
        return Ok(());
    }
    let wanted = match (min, max) {
        (1, 1) => "have exactly one member".to_string(),
        (min, max) => format!("have {min} to {max} members"),
    };
    Err(OvsdbError::syntax(json, format!("{class} must {wanted} but {n} are present")))
}

impl PartialEq for Datum {
    fn eq(&self, other: &Datum) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Datum {}

impl PartialOrd for Datum {
    fn partial_cmp(&self, other: &Datum) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Fewer elements first, then by keys, then by values.
impl Ord for Datum {
    fn cmp(&self, other: &Datum) -> Ordering {
        self.len()
            .cmp(&other.len())
            .then_with(|| self.keys().cmp(other.keys()))
            .then_with(|| self.pairs().iter().map(|(_, value)| value).cmp(other.pairs().iter().map(|(_, value)| value)))
    }
}

impl std::hash::Hash for Datum {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.all_atoms().for_each(|atom| atom.hash(state));
    }
}

#[cfg(test)]
#[path = "datum_tests.rs"]
mod tests;
