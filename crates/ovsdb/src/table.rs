//! A table: packed rows in numbered slots, found by UUID and by the schema's indexes.

use crate::packed::{self, PackedRow};
use foldhash::fast::RandomState;
use ovsdb_data::schema::{TableSchema, UUID_COLUMN, VERSION_COLUMN};
use ovsdb_data::{Datum, RefKind, Uuid};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

/// A column that refers to rows of other tables, by key, by value, or both.
#[derive(Clone, Debug)]
pub struct RefColumn {
    /// Column number.
    pub column: usize,
    /// Number of the table that keys refer to.
    pub key: Option<(usize, RefKind)>,
    /// Number of the table that values refer to.
    pub value: Option<(usize, RefKind)>,
}

/// The rows of one table.
#[derive(Debug)]
pub struct Table {
    /// Columns and constraints.
    pub schema: Arc<TableSchema>,
    /// Columns that refer to rows.
    pub references: Vec<RefColumn>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_uuid: HashMap<Uuid, u32, RandomState>,
    indexes: Vec<Index>,
    /// Strong references to rows of this table, those that have any.
    pub(crate) strong_references: HashMap<Uuid, u32, RandomState>,
}

#[derive(Debug, Clone)]
struct Slot {
    uuid: Uuid,
    row: Option<PackedRow>,
}

/// Slots by the hash of the values in the index's columns. Equal hashes are told apart by looking at the rows.
#[derive(Debug)]
struct Index {
    columns: Vec<usize>,
    slots: HashMap<u64, Bucket, RandomState>,
}

#[derive(Debug)]
enum Bucket {
    One(u32),
    /// Boxed, so that the usual case takes 16 bytes.
    #[allow(clippy::box_collection)]
    Several(Box<Vec<u32>>),
}

impl Bucket {
    fn slots(&self) -> &[u32] {
        match self {
            Bucket::One(slot) => std::slice::from_ref(slot),
            Bucket::Several(slots) => slots,
        }
    }
}

impl Table {
    pub(crate) fn new(schema: Arc<TableSchema>, references: Vec<RefColumn>) -> Table {
        let index = |columns: &Vec<usize>| Index { columns: columns.clone(), slots: HashMap::default() };
        let indexes = schema.indexes.iter().map(index).collect();
        Table {
            schema,
            references,
            slots: Vec::new(),
            free: Vec::new(),
            by_uuid: HashMap::default(),
            indexes,
            strong_references: HashMap::default(),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.by_uuid.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.by_uuid.is_empty()
    }

    /// Number of the highest slot that was ever used, plus one.
    pub fn n_slots(&self) -> usize {
        self.slots.len()
    }

    /// The row in a slot.
    pub fn slot(&self, slot: usize) -> Option<(Uuid, &PackedRow)> {
        let slot = self.slots.get(slot)?;
        Some((slot.uuid, slot.row.as_ref()?))
    }

    /// The slot of a row.
    pub fn slot_of(&self, uuid: &Uuid) -> Option<usize> {
        self.by_uuid.get(uuid).map(|&slot| slot as usize)
    }

    /// A row by UUID.
    pub fn get(&self, uuid: &Uuid) -> Option<&PackedRow> {
        self.slots.get(self.slot_of(uuid)?)?.row.as_ref()
    }

    /// All rows, in no particular order.
    pub fn rows(&self) -> impl Iterator<Item = (Uuid, &PackedRow)> {
        self.slots.iter().filter_map(|slot| Some((slot.uuid, slot.row.as_ref()?)))
    }

    /// Column `number` of a stored row.
    pub fn column(&self, uuid: Uuid, row: &[u8], number: usize, version_of: impl Fn(u64) -> Uuid) -> Datum {
        match number {
            UUID_COLUMN => uuid.into(),
            VERSION_COLUMN => version_of(packed::version(row)).into(),
            _ => packed::column(&self.schema, row, number),
        }
    }

    /// Puts, replaces or (with `None`) removes a row; returns the slot.
    pub(crate) fn put(&mut self, uuid: Uuid, row: Option<PackedRow>) -> Option<usize> {
        let Some(row) = row else {
            let slot = self.by_uuid.remove(&uuid)?;
            if let Some(old) = self.slots[slot as usize].row.take() {
                self.unindex(slot, &old);
            }
            self.free.push(slot);
            return Some(slot as usize);
        };
        if let Some(&slot) = self.by_uuid.get(&uuid) {
            if let Some(old) = self.slots[slot as usize].row.replace(row.clone()) {
                self.unindex(slot, &old);
            }
            self.index(slot, &row);
            return Some(slot as usize);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot { uuid, row: None });
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        self.by_uuid.insert(uuid, slot);
        self.index(slot, &row);
        self.slots[slot as usize] = Slot { uuid, row: Some(row) };
        Some(slot as usize)
    }

    fn index(&mut self, slot: u32, row: &[u8]) {
        for index in &mut self.indexes {
            let hash = hash_of(&index.slots, &self.schema, &index.columns, row);
            match index.slots.get_mut(&hash) {
                None => {
                    index.slots.insert(hash, Bucket::One(slot));
                }
                Some(Bucket::Several(slots)) => slots.push(slot),
                Some(one) => *one = Bucket::Several(Box::new([one.slots(), &[slot]].concat())),
            }
        }
    }

    fn unindex(&mut self, slot: u32, row: &[u8]) {
        for index in &mut self.indexes {
            let hash = hash_of(&index.slots, &self.schema, &index.columns, row);
            let empty = match index.slots.get_mut(&hash) {
                Some(Bucket::One(one)) => *one == slot,
                Some(Bucket::Several(slots)) => {
                    slots.retain(|&s| s != slot);
                    slots.is_empty()
                }
                None => false,
            };
            if empty {
                index.slots.remove(&hash);
            }
        }
    }

    /// Rows that may have these values (one for each of the index's columns, in its order) in index number `index`: all
    /// that do, and perhaps others.
    pub fn index_candidates(&self, index: usize, values: &[&Datum]) -> impl Iterator<Item = (Uuid, &PackedRow)> {
        let bucket = self.indexes.get(index).and_then(|index| {
            let hash = hash_datums(&index.slots, values.iter().copied());
            index.slots.get(&hash)
        });
        bucket.map_or(&[][..], Bucket::slots).iter().filter_map(|&slot| self.slot(slot as usize))
    }

    /// Gives back memory that deletions left.
    pub fn shrink(&mut self) {
        while self.slots.last().is_some_and(|slot| slot.row.is_none()) {
            self.slots.pop();
        }
        let slots = self.slots.len();
        self.free.retain(|&slot| (slot as usize) < slots);
        self.free.shrink_to_fit();
        self.slots.shrink_to_fit();
        if self.by_uuid.capacity() > 4 * self.by_uuid.len() {
            self.by_uuid.shrink_to_fit();
        }
    }
}

fn hash_of(map: &HashMap<u64, Bucket, RandomState>, schema: &TableSchema, columns: &[usize], row: &[u8]) -> u64 {
    let mut hasher = map.hasher().build_hasher();
    for &column in columns {
        packed::column(schema, row, column).hash(&mut hasher);
    }
    hasher.finish()
}

fn hash_datums<'a>(map: &HashMap<u64, Bucket, RandomState>, values: impl Iterator<Item = &'a Datum>) -> u64 {
    let mut hasher = map.hasher().build_hasher();
    values.for_each(|value| value.hash(&mut hasher));
    hasher.finish()
}
