//! A transaction in the making: the rows that it touched, over a database that it does not change.

use crate::condition::Condition;
use crate::database::{Database, RowId};
use crate::packed::PackedRow;
use foldhash::fast::RandomState;
use ovsdb_data::schema::UUID_COLUMN;
use ovsdb_data::{Datum, Uuid};
use std::borrow::Cow;
use std::collections::HashMap;

/// A row that the transaction touched.
#[derive(Debug)]
pub struct TouchedRow {
    /// Table and UUID.
    pub id: RowId,
    /// Before, as stored; `None` for an inserted row.
    pub stored: Option<PackedRow>,
    /// Before, unpacked.
    pub old: Option<Vec<Datum>>,
    /// After; `None` if it is to be deleted.
    pub new: Option<Vec<Datum>>,
}

/// The rows touched so far.
#[derive(Debug, Default)]
pub struct Transaction {
    pub(crate) rows: Vec<TouchedRow>,
    pub(crate) by_id: HashMap<RowId, usize, RandomState>,
}

impl Transaction {
    /// The touched row of that name.
    pub fn touched(&self, id: RowId) -> Option<&TouchedRow> {
        self.rows.get(*self.by_id.get(&id)?)
    }

    /// True if the row exists as the transaction sees it.
    pub fn exists(&self, db: &Database, id: RowId) -> bool {
        match self.touched(id) {
            Some(row) => row.new.is_some(),
            None => db.tables()[id.0].get(&id.1).is_some(),
        }
    }

    /// Adds a row. `row` has all columns; its `_uuid` is set here.
    pub fn insert(&mut self, id: RowId, mut row: Vec<Datum>) {
        row[UUID_COLUMN] = id.1.into();
        match self.by_id.get(&id) {
            Some(&at) => self.rows[at].new = Some(row),
            None => {
                self.by_id.insert(id, self.rows.len());
                self.rows.push(TouchedRow { id, stored: None, old: None, new: Some(row) });
            }
        }
    }

    /// Takes a row into the transaction; its number, or `None` if there is no such row.
    pub(crate) fn touch(&mut self, db: &Database, id: RowId) -> Option<usize> {
        if let Some(&at) = self.by_id.get(&id) {
            return Some(at);
        }
        let stored = db.tables().get(id.0)?.get(&id.1)?.clone();
        let old = db.unpack(id.0, id.1, &stored);
        self.by_id.insert(id, self.rows.len());
        self.rows.push(TouchedRow { id, stored: Some(stored), new: Some(old.clone()), old: Some(old) });
        Some(self.rows.len() - 1)
    }

    /// A row to change, if it exists.
    pub fn modify(&mut self, db: &Database, id: RowId) -> Option<&mut Vec<Datum>> {
        let at = self.touch(db, id)?;
        self.rows[at].new.as_mut()
    }

    /// Deletes a row if it exists.
    pub fn delete(&mut self, db: &Database, id: RowId) {
        if let Some(at) = self.touch(db, id) {
            self.rows[at].new = None;
        }
    }

    /// Calls `each` with all rows of a table that satisfy a condition, as the transaction sees them.
    pub fn find<'d>(
        &'d self,
        db: &'d Database,
        table: usize,
        condition: &Condition,
        mut each: impl FnMut(FoundRow<'d>),
    ) {
        let mut test = |row: FoundRow<'d>| {
            if condition.all(|column| row.column(column)) {
                each(row);
            }
        };
        let stored = |(uuid, row): (Uuid, &'d PackedRow)| {
            let id = (table, uuid);
            (!self.by_id.contains_key(&id)).then_some(FoundRow::Stored { db, id, row })
        };
        let touched = |row: &'d TouchedRow| {
            row.new.as_ref().filter(|_| row.id.0 == table).map(|columns| FoundRow::Touched { id: row.id, columns })
        };
        let rows = &db.tables()[table];

        if let Some(uuid) = condition.equals(UUID_COLUMN).and_then(Datum::as_uuid) {
            match self.touched((table, uuid)) {
                Some(row) => touched(row).into_iter().for_each(&mut test),
                None => {
                    let row = rows.get(&uuid).map(|row| (uuid, row));
                    row.and_then(stored).into_iter().for_each(&mut test);
                }
            }
            return;
        }
        let by_index = rows.schema.indexes.iter().enumerate().find_map(|(number, columns)| {
            let values: Option<Vec<&Datum>> = columns.iter().map(|&column| condition.equals(column)).collect();
            Some((number, values?))
        });
        match by_index {
            Some((index, values)) => {
                rows.index_candidates(index, &values).filter_map(stored).for_each(&mut test);
            }
            None => rows.rows().filter_map(stored).for_each(&mut test),
        }
        self.rows.iter().filter_map(touched).for_each(&mut test);
    }
}

/// A row as a transaction sees it.
#[derive(Clone, Copy)]
pub enum FoundRow<'d> {
    /// Not touched by the transaction
    Stored {
        /// Where it is from
        db: &'d Database,
        /// Table and UUID
        id: RowId,
        /// As stored
        row: &'d [u8],
    },
    /// Touched
    Touched {
        /// Table and UUID
        id: RowId,
        /// As it is now
        columns: &'d [Datum],
    },
}

impl<'d> FoundRow<'d> {
    /// Table and UUID.
    pub fn id(&self) -> RowId {
        match self {
            FoundRow::Stored { id, .. } | FoundRow::Touched { id, .. } => *id,
        }
    }

    /// A column by number.
    pub fn column(&self, column: usize) -> Cow<'d, Datum> {
        match self {
            FoundRow::Stored { db, id, row } => Cow::Owned(db.column(id.0, id.1, row, column)),
            FoundRow::Touched { columns, .. } => Cow::Borrowed(&columns[column]),
        }
    }
}
