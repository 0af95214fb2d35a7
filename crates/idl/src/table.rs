//! The rows of the tables of a replica, with what must follow every change of them: indexes and tracking.

use crate::index::Index;
use ovsdb_data::{Datum, TableSchema, Uuid};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What happened to a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It appeared.
    Inserted,
    /// Some column changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// What happened to a row since changes were taken last, all of it in one.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The table.
    pub table: String,
    /// The row.
    pub uuid: Uuid,
    /// Whether it came, changed or went.
    pub change: Change,
    /// Columns that changed, of a modified row; all of them, of others.
    pub columns: BTreeSet<String>,
    /// The row as it was, unless it was inserted; read with [`Changed::before`].
    row_before: Option<Vec<Datum>>,
}

impl Changed {
    /// A column of the row as it was before.
    pub fn before(&self, schema: &TableSchema, column: &str) -> Option<&Datum> {
        self.row_before.as_ref()?.get(schema.column_number(column)?)
    }
}

/// All tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    rows: BTreeMap<String, HashMap<Uuid, Vec<Datum>>>,
    pub indexes: Vec<Index>,
    /// Tables whose changes are kept; `None` for none, an empty set for all.
    tracked: Option<BTreeSet<String>>,
    changes: BTreeMap<(String, Uuid), Changed>,
}

impl Tables {
    pub fn new(tracked: Option<BTreeSet<String>>) -> Tables {
        Tables { tracked, ..Tables::default() }
    }

    pub fn get(&self, table: &str, uuid: Uuid) -> Option<&Vec<Datum>> {
        self.rows.get(table)?.get(&uuid)
    }

    pub fn rows(&self, table: &str) -> Option<&HashMap<Uuid, Vec<Datum>>> {
        self.rows.get(table)
    }

    /// Puts a row in, in place of one that may be there.
    pub fn put(&mut self, schema: &TableSchema, uuid: Uuid, row: Vec<Datum>) {
        let table = schema.name.as_str();
        let old = self.rows.get_mut(table).and_then(|rows| rows.remove(&uuid));
        for index in self.indexes.iter_mut().filter(|index| index.table == table) {
            if let Some(old) = &old {
                index.remove(schema, uuid, old);
            }
            index.insert(schema, uuid, &row);
        }
        self.track(schema, uuid, old, Some(&row));
        match self.rows.get_mut(table) {
            Some(rows) => rows.insert(uuid, row),
            None => self.rows.entry(table.to_string()).or_default().insert(uuid, row),
        };
    }

    pub fn remove(&mut self, schema: &TableSchema, uuid: Uuid) {
        let table = schema.name.as_str();
        let Some(old) = self.rows.get_mut(table).and_then(|rows| rows.remove(&uuid)) else { return };
        self.indexes.iter_mut().filter(|index| index.table == table).for_each(|index| index.remove(schema, uuid, &old));
        self.track(schema, uuid, Some(old), None);
    }

    /// Empties a table.
    pub fn clear(&mut self, schema: &TableSchema) {
        let uuids: Vec<Uuid> = self.rows.get(&schema.name).into_iter().flat_map(HashMap::keys).copied().collect();
        uuids.into_iter().for_each(|uuid| self.remove(schema, uuid));
    }

    /// Forgets everything, with tracks: the schema is another.
    pub fn forget(&mut self) {
        self.rows.clear();
        self.changes.clear();
        self.indexes.iter_mut().for_each(Index::clear);
    }

    /// Adds an index over what is there.
    pub fn add_index(&mut self, schema: Option<&TableSchema>, mut index: Index) -> usize {
        if let (Some(schema), Some(rows)) = (schema, self.rows.get(&index.table)) {
            rows.iter().for_each(|(uuid, row)| index.insert(schema, *uuid, row));
        }
        self.indexes.push(index);
        self.indexes.len() - 1
    }

    fn track(&mut self, schema: &TableSchema, uuid: Uuid, old: Option<Vec<Datum>>, new: Option<&Vec<Datum>>) {
        let Some(tracked) = &self.tracked else { return };
        if !tracked.is_empty() && !tracked.contains(&schema.name) {
            return;
        }
        let names = schema.own_columns();
        let columns: BTreeSet<String> = match (&old, new) {
            (Some(old), Some(new)) => names.filter(|(n, _)| old[*n] != new[*n]).map(|(_, c)| c.name.clone()).collect(),
            _ => names.map(|(_, c)| c.name.clone()).collect(),
        };
        if columns.is_empty() {
            return;
        }
        let key = (schema.name.clone(), uuid);
        let change = match (&old, new) {
            (None, _) => Change::Inserted,
            (Some(_), Some(_)) => Change::Modified,
            (Some(_), None) => Change::Deleted,
        };
        let Some(known) = self.changes.get_mut(&key) else {
            let changed = Changed { table: key.0.clone(), uuid, change, columns, row_before: old };
            self.changes.insert(key, changed);
            return;
        };
        known.columns.extend(columns);
        known.change = match (known.change, change) {
            (Change::Inserted, Change::Deleted) => {
                self.changes.remove(&key);
                return;
            }
            (Change::Inserted, _) => Change::Inserted,
            (Change::Deleted, Change::Inserted) => Change::Modified,
            (_, now) => now,
        };
        if known.change == Change::Modified
            && let (Some(before), Some(new)) = (&known.row_before, new)
        {
            known.columns.retain(|name| schema.column_number(name).is_some_and(|n| before[n] != new[n]));
            if known.columns.is_empty() {
                self.changes.remove(&key);
            }
        }
    }

    pub fn take_changes(&mut self) -> Vec<Changed> {
        std::mem::take(&mut self.changes).into_values().collect()
    }
}
