//! Rows as the tables keep them: one compact block of bytes each, about a fifth of what separate datums would take.
//!
//! Layout: the row's version number (8 bytes), then each column of the schema in order: a tag byte (0 default, 1 one
//! atom, 2 set, 3 map), a count for sets and maps, the atoms without type tags. Counts, lengths and (zigzag) integers
//! are variable-length, seven bits a byte.

use ovsdb_data::schema::{FIRST_COLUMN, TableSchema, UUID_COLUMN, VERSION_COLUMN};
use ovsdb_data::{Atom, AtomType, Datum, Uuid, json};
use std::sync::Arc;

/// A stored row. Sharing one is free.
pub type PackedRow = Arc<[u8]>;

const DEFAULT: u8 = 0;
const ONE: u8 = 1;
const SET: u8 = 2;
const MAP: u8 = 3;

/// Packs the columns of a row; `_uuid` and `_version` are not part of it.
pub fn pack(schema: &TableSchema, version: u64, row: &[Datum], scratch: &mut Vec<u8>) -> PackedRow {
    scratch.clear();
    scratch.extend_from_slice(&version.to_le_bytes());
    for (column, datum) in schema.columns.iter().zip(row).skip(FIRST_COLUMN) {
        if datum.is_default(&column.column_type) {
            scratch.push(DEFAULT);
        } else if let Some(atom) = datum.scalar() {
            scratch.push(ONE);
            put_atom(scratch, atom);
        } else if datum.is_map() {
            scratch.push(MAP);
            put_number(scratch, datum.len() as u64);
            for (key, value) in datum.pairs() {
                put_atom(scratch, key);
                put_atom(scratch, value);
            }
        } else {
            scratch.push(SET);
            put_number(scratch, datum.len() as u64);
            datum.atoms().iter().for_each(|atom| put_atom(scratch, atom));
        }
    }
    Arc::from(scratch.as_slice())
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_atom(out: &mut Vec<u8>, atom: &Atom) {
    match atom {
        Atom::Integer(value) => put_number(out, ((value << 1) ^ (value >> 63)) as u64),
        Atom::Real(value) => out.extend_from_slice(&value.to_le_bytes()),
        Atom::Boolean(value) => out.push(u8::from(*value)),
        Atom::String(text) => {
            put_number(out, text.as_bytes().len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
        Atom::Uuid(uuid) => out.extend_from_slice(uuid.as_bytes()),
    }
}

/// The number of the transaction that wrote the row.
pub fn version(row: &[u8]) -> u64 {
    row.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Unpacks a whole row; `uuid` and `version` become columns 0 and 1.
pub fn unpack(schema: &TableSchema, uuid: Uuid, version: Uuid, row: &[u8]) -> Vec<Datum> {
    let mut reader = Reader::new(row);
    let mut datums = Vec::with_capacity(schema.columns.len());
    datums.push(uuid.into());
    datums.push(version.into());
    for (_, column) in schema.own_columns() {
        datums.push(reader.datum(&column.column_type));
    }
    datums
}

/// Unpacks one column of the schema (not `_uuid` or `_version`).
pub fn column(schema: &TableSchema, row: &[u8], number: usize) -> Datum {
    debug_assert!(number != UUID_COLUMN && number != VERSION_COLUMN);
    let mut reader = Reader::new(row);
    for column in schema.columns.iter().take(number).skip(FIRST_COLUMN) {
        reader.skip(&column.column_type);
    }
    schema.columns.get(number).map_or(Datum::EMPTY, |column| reader.datum(&column.column_type))
}

/// Reads a row column by column, in the order of the schema. Bytes are this process's own, yet a damaged row ends in
/// defaults rather than in a panic.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first column of a packed row.
    pub fn new(row: &'a [u8]) -> Reader<'a> {
        Reader { rest: row.get(8..).unwrap_or_default() }
    }

    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(n.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn number(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn integer(&mut self) -> i64 {
        let zigzag = self.number();
        (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)
    }

    fn real(&mut self) -> f64 {
        self.bytes(8).first_chunk().map_or(0.0, |bytes| f64::from_le_bytes(*bytes))
    }

    fn uuid(&mut self) -> Uuid {
        self.bytes(16).first_chunk().map_or(Uuid::ZERO, |bytes| Uuid::from_bytes(*bytes))
    }

    fn text(&mut self) -> &'a str {
        let length = self.number() as usize;
        std::str::from_utf8(self.bytes(length)).unwrap_or_default()
    }

    fn atom(&mut self, atom_type: AtomType) -> Atom {
        match atom_type {
            AtomType::Integer => Atom::Integer(self.integer()),
            AtomType::Real => Atom::Real(self.real()),
            AtomType::Boolean => Atom::Boolean(self.byte() != 0),
            AtomType::String => Atom::string(self.text()),
            AtomType::Uuid => Atom::Uuid(self.uuid()),
        }
    }

    fn skip_atom(&mut self, atom_type: AtomType) {
        match atom_type {
            AtomType::Integer => {
                self.number();
            }
            AtomType::Real => {
                self.bytes(8);
            }
            AtomType::Boolean => {
                self.byte();
            }
            AtomType::String => {
                let length = self.number() as usize;
                self.bytes(length);
            }
            AtomType::Uuid => {
                self.bytes(16);
            }
        }
    }

    /// Number of elements, never more than what is left could hold.
    fn count(&mut self) -> usize {
        (self.number() as usize).min(self.rest.len())
    }

    /// The next column.
    pub fn datum(&mut self, column_type: &ovsdb_data::ColumnType) -> Datum {
        let key = column_type.key.atom_type;
        match (self.byte(), &column_type.value) {
            (ONE, _) => self.atom(key).into(),
            (SET, _) => Datum::from_sorted((0..self.count()).map(|_| self.atom(key)).collect()),
            (MAP, Some(value)) => {
                let pairs = (0..self.count()).map(|_| (self.atom(key), self.atom(value.atom_type)));
                Datum::from_sorted_pairs(pairs.collect())
            }
            _ => Datum::default(column_type),
        }
    }

    /// Steps over the next column.
    pub fn skip(&mut self, column_type: &ovsdb_data::ColumnType) {
        let key = column_type.key.atom_type;
        match (self.byte(), &column_type.value) {
            (ONE, _) => self.skip_atom(key),
            (SET, _) => (0..self.count()).for_each(|_| self.skip_atom(key)),
            (MAP, Some(value)) => (0..self.count()).for_each(|_| {
                self.skip_atom(key);
                self.skip_atom(value.atom_type);
            }),
            _ => {}
        }
    }

    /// Steps over the next column and gives its stored bytes.
    pub fn raw(&mut self, column_type: &ovsdb_data::ColumnType) -> &'a [u8] {
        let before = self.rest;
        self.skip(column_type);
        before.get(..before.len() - self.rest.len()).unwrap_or_default()
    }

    /// True if the next column has its default value.
    pub fn at_default(&self) -> bool {
        self.rest.first().is_none_or(|&tag| tag == DEFAULT)
    }

    /// Appends the JSON of the next column without building it.
    pub fn write_json(&mut self, column_type: &ovsdb_data::ColumnType, out: &mut Vec<u8>) {
        let key = column_type.key.atom_type;
        match (self.byte(), &column_type.value) {
            (ONE, _) => self.write_atom(key, out),
            (SET, _) => {
                out.extend_from_slice(b"[\"set\",[");
                for n in 0..self.count() {
                    if n > 0 {
                        out.push(b',');
                    }
                    self.write_atom(key, out);
                }
                out.extend_from_slice(b"]]");
            }
            (MAP, Some(value)) => {
                out.extend_from_slice(b"[\"map\",[");
                for n in 0..self.count() {
                    out.extend_from_slice(if n > 0 { b",[" } else { b"[" });
                    self.write_atom(key, out);
                    out.push(b',');
                    self.write_atom(value.atom_type, out);
                    out.push(b']');
                }
                out.extend_from_slice(b"]]");
            }
            _ => Datum::default(column_type).write_json(out),
        }
    }

    fn write_atom(&mut self, atom_type: AtomType, out: &mut Vec<u8>) {
        match atom_type {
            AtomType::String => json::write_string(out, self.text()),
            AtomType::Integer => json::write_integer(out, self.integer()),
            other => self.atom(other).write_json(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ovsdb_data::DatabaseSchema;
    use serde_json::json;

    #[test]
    fn round_trip() {
        let schema = DatabaseSchema::from_json(&json!({"name": "T", "tables": {"A": {"columns": {
            "b": {"type": "boolean"}, "i": {"type": "integer"}, "r": {"type": "real"}, "s": {"type": "string"},
            "m": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}},
            "u": {"type": {"key": "uuid", "min": 0, "max": "unlimited"}}}}}}))
        .unwrap();
        let table = &schema.tables["A"];
        let check = |i: i64, r: f64, s: &str, m: &[(&str, i64)], u: usize| {
            let mut row = table.default_row();
            let mut source = ovsdb_data::UuidSource::new([3; 32]);
            let uuids = Datum::set((0..u).map(|_| Atom::Uuid(source.next_uuid())).collect());
            let map = Datum::map(m.iter().map(|(k, v)| (Atom::string(k), Atom::Integer(*v))).collect());
            for (name, datum) in [
                ("b", Datum::from(i > 0)),
                ("i", i.into()),
                ("r", Atom::Real(r).into()),
                ("s", s.into()),
                ("m", map),
                ("u", uuids),
            ] {
                row[table.column_number(name).unwrap()] = datum;
            }
            let packed = pack(table, 7, &row, &mut Vec::new());
            assert_eq!(version(&packed), 7);
            assert_eq!(unpack(table, Uuid::ZERO, Uuid::ZERO, &packed), row);
            let mut reader = Reader::new(&packed);
            for (number, own) in table.own_columns() {
                assert_eq!(column(table, &packed, number), row[number]);
                let (mut direct, mut built) = (Vec::new(), Vec::new());
                reader.write_json(&own.column_type, &mut direct);
                row[number].write_json(&mut built);
                assert_eq!(direct, built);
            }
        };
        check(0, 0.0, "", &[], 0);
        check(i64::MIN, -1.5, "x", &[("a", 1), ("b", -1)], 1);
        check(i64::MAX, 1e300, &"long".repeat(100), &[("k", i64::MAX)], 3);
    }

    #[test]
    fn damaged_rows_do_not_panic() {
        let schema = DatabaseSchema::from_json(&json!({"name": "T", "tables": {"A": {"columns": {
            "s": {"type": {"key": "string", "min": 0, "max": "unlimited"}}, "i": {"type": "integer"}}}}}))
        .unwrap();
        for n in 0..40u8 {
            let bytes: Vec<u8> = (0..n).map(|b| b.wrapping_mul(37).wrapping_add(n)).collect();
            unpack(&schema.tables["A"], Uuid::ZERO, Uuid::ZERO, &bytes);
        }
    }
}
