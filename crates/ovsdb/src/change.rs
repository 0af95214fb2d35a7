//! What a committed transaction did, row by row.

use crate::packed::PackedRow;
use ovsdb_data::Uuid;

/// One row before and after; at least one of the two exists, and they differ.
#[derive(Clone, Debug)]
pub struct RowChange {
    /// The row.
    pub uuid: Uuid,
    /// Before; `None` for an inserted row.
    pub old: Option<PackedRow>,
    /// After; `None` for a deleted row.
    pub new: Option<PackedRow>,
}

/// All changes of one transaction. Rows are packed, and shared with the tables.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    /// Identifies the transaction for `monitor_cond_since`.
    pub id: Uuid,
    /// Changed rows by table number; only tables with changes.
    pub tables: Vec<(usize, Vec<RowChange>)>,
}

impl ChangeSet {
    /// True if nothing changed.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Bytes of the rows before and after.
    pub fn n_bytes(&self) -> usize {
        let bytes = |row: &Option<PackedRow>| row.as_ref().map_or(0, |row| row.len());
        self.tables.iter().flat_map(|(_, rows)| rows).map(|row| bytes(&row.old) + bytes(&row.new)).sum()
    }

    /// Number of changed rows.
    pub fn n_rows(&self) -> usize {
        self.tables.iter().map(|(_, rows)| rows.len()).sum()
    }
}
