//! A database: its schema, its tables, and who refers weakly to whom.

use crate::change::ChangeSet;
use crate::packed;
use crate::table::{RefColumn, Table};
use foldhash::fast::RandomState;
use ovsdb_data::schema::{DatabaseSchema, TableSchema};
use ovsdb_data::{BaseType, Datum, RefKind, Uuid, UuidSource};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// A row: table number and UUID.
pub type RowId = (usize, Uuid);

/// Transactions kept for clients that come back (`monitor_cond_since`).
pub const HISTORY: usize = 100;
/// Bytes of rows in those transactions, at most: a few huge ones are not worth their memory.
pub const HISTORY_BYTES: usize = 32 << 20;

/// A database in memory.
#[derive(Debug)]
pub struct Database {
    schema: Arc<DatabaseSchema>,
    tables: Vec<Table>,
    numbers: HashMap<String, usize, RandomState>,
    /// For each row that is referred to weakly, the rows that do.
    pub(crate) weak_references: HashMap<RowId, HashSet<RowId, RandomState>, RandomState>,
    pub(crate) uuids: UuidSource,
    version_base: [u64; 2],
    /// Number of the latest transaction; versions of rows are such numbers.
    pub(crate) n_transactions: u64,
    pub(crate) history: VecDeque<Arc<ChangeSet>>,
    history_bytes: usize,
    last_id: Uuid,
    pub(crate) scratch: Vec<u8>,
    pub(crate) snapshot: Option<Box<crate::commit::SnapshotCursor>>,
}

impl Database {
    /// An empty database. `seed` comes from the operating system's random numbers.
    pub fn new(schema: DatabaseSchema, seed: [u8; 32]) -> Database {
        let mut uuids = UuidSource::new(seed);
        let numbers: HashMap<String, usize, RandomState> =
            schema.tables.keys().enumerate().map(|(n, name)| (name.clone(), n)).collect();
        let tables = schema
            .tables
            .values()
            .map(|table| Table::new(Arc::new(table.clone()), ref_columns(table, &numbers)))
            .collect();
        let version_base = [uuids.next_u64(), uuids.next_u64()];
        Database {
            schema: Arc::new(schema),
            tables,
            numbers,
            weak_references: HashMap::default(),
            uuids,
            version_base,
            n_transactions: 0,
            history: VecDeque::new(),
            history_bytes: 0,
            last_id: Uuid::ZERO,
            scratch: Vec::new(),
            snapshot: None,
        }
    }

    /// The schema.
    pub fn schema(&self) -> &Arc<DatabaseSchema> {
        &self.schema
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.schema.name
    }

    /// Tables, by number.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    pub(crate) fn tables_mut(&mut self) -> &mut [Table] {
        &mut self.tables
    }

    /// The number of a table.
    pub fn table_number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// A table by name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(self.table_number(name)?)
    }

    /// Number of rows in all tables.
    pub fn n_rows(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    /// Number of rows that are referred to weakly, each counted once for each row that does.
    pub fn n_weak_references(&self) -> usize {
        self.weak_references.values().map(HashSet::len).sum()
    }

    /// A fresh row UUID.
    pub fn new_uuid(&mut self) -> Uuid {
        self.uuids.next_uuid()
    }

    /// The `_version` that stands for a transaction number: unlike in every transaction and run, and reproducible.
    pub fn version_uuid(&self, version: u64) -> Uuid {
        version_uuid(self.version_base, version)
    }

    /// A stored row with all columns.
    pub fn unpack(&self, table: usize, uuid: Uuid, row: &[u8]) -> Vec<Datum> {
        packed::unpack(&self.tables[table].schema, uuid, self.version_uuid(packed::version(row)), row)
    }

    /// One column of a stored row.
    pub fn column(&self, table: usize, uuid: Uuid, row: &[u8], column: usize) -> Datum {
        self.tables[table].column(uuid, row, column, |version| self.version_uuid(version))
    }

    /// The transactions after the one called `id`, or `None` if that is not remembered.
    pub fn since(&self, id: Uuid) -> Option<impl Iterator<Item = &Arc<ChangeSet>>> {
        if id == self.last_id {
            return Some(self.history.iter().skip(self.history.len()));
        }
        let at = self.history.iter().position(|change| change.id == id)?;
        Some(self.history.iter().skip(at + 1))
    }

    /// Identifies the latest transaction; zero before the first.
    pub fn last_id(&self) -> Uuid {
        self.last_id
    }

    /// Identifies the state that was read from a file.
    pub fn set_last_id(&mut self, id: Uuid) {
        self.forget_history();
        self.last_id = id;
    }

    pub(crate) fn forget_history(&mut self) {
        self.history.clear();
        self.history_bytes = 0;
    }

    /// Keeps a transaction for clients that come back.
    pub(crate) fn remember(&mut self, changes: Arc<ChangeSet>) {
        self.last_id = changes.id;
        self.history_bytes += changes.n_bytes();
        self.history.push_back(changes);
        while self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= oldest.n_bytes();
        }
    }

    /// Gives back memory that deletions left.
    pub fn shrink(&mut self) {
        self.tables.iter_mut().for_each(Table::shrink);
        self.weak_references.shrink_to_fit();
    }
}

/// A random-looking version 4 UUID for a transaction number (splitmix64 over a base of this run).
pub(crate) fn version_uuid(base: [u64; 2], version: u64) -> Uuid {
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mix(base[0].wrapping_add(version)).to_be_bytes());
    bytes[8..].copy_from_slice(&mix(base[1] ^ version.rotate_left(32)).to_be_bytes());
    Uuid::from_random(bytes)
}

fn ref_columns(table: &TableSchema, numbers: &HashMap<String, usize, RandomState>) -> Vec<RefColumn> {
    let target = |base: &BaseType| -> Option<(usize, RefKind)> {
        let (name, kind) = base.reference()?;
        Some((*numbers.get(name)?, kind))
    };
    table
        .own_columns()
        .map(|(column, c)| RefColumn {
            column,
            key: target(&c.column_type.key),
            value: c.column_type.value.as_ref().and_then(target),
        })
        .filter(|r| r.key.is_some() || r.value.is_some())
        .collect()
}

impl RefColumn {
    /// Calls `each` with every row that `datum` refers to.
    pub fn each(&self, datum: &Datum, mut each: impl FnMut(RowId, RefKind)) {
        if let Some((table, kind)) = self.key {
            datum.keys().filter_map(|atom| atom.as_uuid()).for_each(|uuid| each((table, uuid), kind));
        }
        if let Some((table, kind)) = self.value {
            let values = datum.pairs().iter().filter_map(|(_, value)| value.as_uuid());
            values.for_each(|uuid| each((table, uuid), kind));
        }
    }
}
