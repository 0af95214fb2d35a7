//! Indexes over several columns, kept in order, that a client makes for itself.

use ovsdb_data::{Datum, TableSchema, Uuid};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// The direction of a column in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Small values first.
    Ascending,
    /// Large values first.
    Descending,
}

/// Names an index of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexId(pub(crate) usize);

/// The values of a row in the columns of an index, or of the first of them only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(Vec<(Order, Datum)>);

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        for ((order, a), (_, b)) in self.0.iter().zip(&other.0) {
            let compared = if *order == Order::Ascending { a.cmp(b) } else { b.cmp(a) };
            if compared != Ordering::Equal {
                return compared;
            }
        }
        // A key of fewer columns stands before all that begin with it.
        self.0.len().cmp(&other.0.len())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key {
    fn begins_with(&self, prefix: &Key) -> bool {
        self.0.len() >= prefix.0.len() && self.0.iter().zip(&prefix.0).all(|((_, a), (_, b))| a == b)
    }
}

/// One index of one table.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub table: String,
    columns: Vec<(String, Order)>,
    entries: BTreeSet<(Key, Uuid)>,
}

impl Index {
    pub fn new(table: &str, columns: &[(&str, Order)]) -> Index {
        let columns = columns.iter().map(|(name, order)| (name.to_string(), *order)).collect();
        Index { table: table.to_string(), columns, entries: BTreeSet::new() }
    }

    fn key_of(&self, schema: &TableSchema, row: &[Datum]) -> Key {
        let value = |name: &str| schema.column_number(name).and_then(|n| row.get(n)).cloned();
        Key(self.columns.iter().map(|(name, order)| (*order, value(name).unwrap_or(Datum::EMPTY))).collect())
    }

    fn key(&self, values: &[Datum]) -> Key {
        Key(self.columns.iter().zip(values).map(|((_, order), value)| (*order, value.clone())).collect())
    }

    pub fn insert(&mut self, schema: &TableSchema, uuid: Uuid, row: &[Datum]) {
        self.entries.insert((self.key_of(schema, row), uuid));
    }

    pub fn remove(&mut self, schema: &TableSchema, uuid: Uuid, row: &[Datum]) {
        self.entries.remove(&(self.key_of(schema, row), uuid));
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Rows from `first` to `last`, both included, in order; each may give values for the first columns only.
    pub fn range(&self, first: &[Datum], last: Option<&[Datum]>) -> impl Iterator<Item = Uuid> + use<'_> {
        let (from, to) = (self.key(first), last.map(|last| self.key(last)));
        let until = move |key: &Key| to.as_ref().is_none_or(|to| key <= to || key.begins_with(to));
        self.entries.range((from, Uuid::ZERO)..).take_while(move |(key, _)| until(key)).map(|(_, uuid)| *uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ovsdb_data::DatabaseSchema;
    use serde_json::json;

    #[test]
    fn order_and_ranges() {
        let schema = DatabaseSchema::from_json(&json!({"name": "D", "tables": {"T": {"columns": {
            "a": {"type": "integer"}, "b": {"type": "string"}}}}}))
        .unwrap();
        let table = &schema.tables["T"];
        let mut index = Index::new("T", &[("a", Order::Descending), ("b", Order::Ascending)]);
        let mut uuids = ovsdb_data::UuidSource::new([1; 32]);
        let mut rows = Vec::new();
        for (a, b) in [(1, "x"), (2, "y"), (2, "x"), (3, "z"), (2, "x")] {
            let mut row = table.default_row();
            row[table.column_number("a").unwrap()] = Datum::from(a);
            row[table.column_number("b").unwrap()] = Datum::from(b);
            let uuid = uuids.next_uuid();
            index.insert(table, uuid, &row);
            rows.push((uuid, row, format!("{a}{b}")));
        }
        let check = |index: &Index, first: &[Datum], last: Option<&[Datum]>, expect: &[&str]| {
            let name = |uuid| rows.iter().find(|(u, ..)| *u == uuid).unwrap().2.as_str();
            assert_eq!(index.range(first, last).map(name).collect::<Vec<_>>(), expect);
        };
        let int = |n: i64| Datum::from(n);
        check(&index, &[], None, &["3z", "2x", "2x", "2y", "1x"]);
        check(&index, &[int(2)], Some(&[int(2)]), &["2x", "2x", "2y"]);
        check(&index, &[int(3)], Some(&[int(2), "x".into()]), &["3z", "2x", "2x"]);
        check(&index, &[int(2), "y".into()], Some(&[int(1)]), &["2y", "1x"]);
        let (uuid, row, _) = &rows[1];
        index.remove(table, *uuid, row);
        check(&index, &[int(2), "y".into()], None, &["1x"]);
    }
}
