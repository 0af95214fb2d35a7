//! A consistent copy of a database, taken in small steps while transactions go on.
//!
//! The cursor walks the slots of the tables. A row that changes ahead of it gives its old state to the snapshot first;
//! so the snapshot shows the moment at which it began, and no step takes longer than its share of rows.

use crate::database::Database;
use crate::packed::PackedRow;
use foldhash::fast::RandomState;
use ovsdb_data::Uuid;
use std::collections::HashSet;

/// Rows of one table.
pub type SnapshotRows = Vec<(Uuid, PackedRow)>;

/// Where a snapshot stands.
#[derive(Debug)]
pub struct SnapshotCursor {
    table: usize,
    slot: usize,
    /// Old states of rows that changed before the cursor came to them, by table.
    early: Vec<SnapshotRows>,
    /// Slots that the cursor must not look at, because their old state is in `early` or they were empty.
    settled: HashSet<(usize, usize), RandomState>,
}

impl SnapshotCursor {
    pub(crate) fn row_changes(&mut self, table: usize, slot: usize, uuid: Uuid, old: Option<&PackedRow>) {
        if (table, slot) < (self.table, self.slot) || !self.settled.insert((table, slot)) {
            return;
        }
        if let (Some(old), Some(early)) = (old, self.early.get_mut(table)) {
            early.push((uuid, old.clone()));
        }
    }
}

/// One step's yield.
#[derive(Debug)]
pub enum SnapshotStep {
    /// Rows of a table; more may follow for the same table.
    Rows(usize, SnapshotRows),
    /// Everything was given.
    Done,
}

impl Database {
    /// Begins a snapshot of the present state; one that was under way is dropped.
    pub fn begin_snapshot(&mut self) {
        let early = vec![SnapshotRows::new(); self.tables().len()];
        self.snapshot = Some(Box::new(SnapshotCursor { table: 0, slot: 0, early, settled: HashSet::default() }));
    }

    /// Gives up a snapshot.
    pub fn cancel_snapshot(&mut self) {
        self.snapshot = None;
    }

    /// Takes at most `budget` slots further. Tables come in order, each row once.
    pub fn snapshot_step(&mut self, budget: usize) -> SnapshotStep {
        let Some(mut cursor) = self.snapshot.take() else { return SnapshotStep::Done };
        let Some(table) = self.tables().get(cursor.table) else { return SnapshotStep::Done };
        let number = cursor.table;
        let end = (cursor.slot + budget).min(table.n_slots());
        let mut rows: SnapshotRows = (cursor.slot..end)
            .filter(|&slot| !cursor.settled.remove(&(number, slot)))
            .filter_map(|slot| table.slot(slot).map(|(uuid, row)| (uuid, row.clone())))
            .collect();
        cursor.slot = end;
        if end == table.n_slots() {
            rows.append(&mut cursor.early[number]);
            cursor.table += 1;
            cursor.slot = 0;
        }
        self.snapshot = Some(cursor);
        SnapshotStep::Rows(number, rows)
    }
}
