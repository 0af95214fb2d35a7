//! The end of a transaction: references, garbage collection, limits, indexes (RFC 7047 §3.2), and then the change.

use crate::change::{ChangeSet, RowChange};
use crate::database::{Database, RowId};
use crate::packed::{self, PackedRow};
use crate::record;
use crate::storage::Storage;
use crate::transaction::{TouchedRow, Transaction};
use foldhash::fast::RandomState;
use ovsdb_data::schema::{FIRST_COLUMN, VERSION_COLUMN};
use ovsdb_data::{Datum, OvsdbError, RefKind, Result, Uuid, text};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use crate::snapshot::SnapshotCursor;

/// What goes into the record of a transaction beside its changes.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// Wall-clock time, milliseconds since 1970.
    pub wall_ms: i64,
    /// Comments, joined by line ends.
    pub comment: String,
    /// True if the transaction asked to survive the machine.
    pub durable: bool,
    /// True to write whole columns instead of differences.
    pub whole_columns: bool,
    /// What the transaction is called elsewhere; `None` for a name of its own.
    pub id: Option<Uuid>,
}

/// Checks a transaction, stores its record, applies it. `None` if nothing changed. On an error the database is as it was.
pub fn commit(
    db: &mut Database,
    mut txn: Transaction,
    storage: &mut dyn Storage,
    options: &CommitOptions,
) -> Result<Option<Arc<ChangeSet>>> {
    let counts = check(db, &mut txn)?;
    let txn = drop_unchanged(txn);
    if txn.rows.is_empty() {
        if let Some(id) = options.id {
            db.remember(Arc::new(ChangeSet { id, tables: Vec::new() }));
        }
        return Ok(None);
    }
    if let Some(record) = record::write(db, &txn, options) {
        storage.append(&record, options.durable)?;
    }
    Ok(Some(apply(db, txn, counts, options.id)))
}

/// Applies a transaction that a file or another server has already accepted; constraints are still checked.
pub fn replay(db: &mut Database, mut txn: Transaction) -> Result<()> {
    let counts = check(db, &mut txn)?;
    let txn = drop_unchanged(txn);
    if !txn.rows.is_empty() {
        apply(db, txn, counts, None);
        db.forget_history();
    }
    Ok(())
}

type Counts = HashMap<RowId, i64, RandomState>;

fn check(db: &Database, txn: &mut Transaction) -> Result<Counts> {
    let mut counts = count_references(db, txn)?;
    check_deleted(db, txn, &counts)?;
    collect_garbage(db, txn, &mut counts);
    check_max_rows(db, txn)?;
    clean_weak_references(db, txn)?;
    check_indexes(db, txn)?;
    Ok(counts)
}

/// Leaves the rows that really differ. The result has no index by UUID.
fn drop_unchanged(mut txn: Transaction) -> Transaction {
    txn.rows.retain(|row| match (&row.old, &row.new) {
        (None, None) => false,
        (Some(old), Some(new)) => old[FIRST_COLUMN..] != new[FIRST_COLUMN..],
        _ => true,
    });
    txn
}

/// Changes in the number of strong references, by row referred to. Fails on a new reference to a row that never was.
fn count_references(db: &Database, txn: &Transaction) -> Result<Counts> {
    let mut counts = Counts::default();
    for row in &txn.rows {
        let table = &db.tables()[row.id.0];
        for reference in &table.references {
            let (old, new) = (column_of(&row.old, reference.column), column_of(&row.new, reference.column));
            if old == new {
                continue;
            }
            // What a large set keeps is not counted off and on again.
            let parts = old.zip(new).filter(|(old, new)| !old.is_map() && !new.is_map()).map(|(old, new)| {
                let (gone, added) = old.differing(new);
                (Datum::from_sorted(gone.to_vec()), Datum::from_sorted(added.to_vec()))
            });
            let (old, new) = parts.as_ref().map_or((old, new), |(gone, added)| (Some(gone), Some(added)));
            each_strong(reference, row.id, old, |target| *counts.entry(target).or_default() -= 1);
            let mut missing = None;
            each_strong(reference, row.id, new, |target| {
                *counts.entry(target).or_default() += 1;
                if missing.is_none() && txn.touched(target).is_none() && db.tables()[target.0].get(&target.1).is_none()
                {
                    missing = Some(target);
                }
            });
            if let Some(target) = missing {
                let details = format!(
                    "Table {} column {} row {} references nonexistent row {} in table {}.",
                    table.schema.name,
                    table.schema.columns[reference.column].name,
                    row.id.1,
                    target.1,
                    db.tables()[target.0].schema.name
                );
                return Err(integrity(details));
            }
        }
    }
    Ok(counts)
}

fn integrity(details: String) -> OvsdbError {
    OvsdbError::new("referential integrity violation", details)
}

fn column_of(row: &Option<Vec<Datum>>, column: usize) -> Option<&Datum> {
    row.as_ref()?.get(column)
}

/// The rows that row `from` keeps alive by a column. A row does not keep itself (RFC 7047 §3.2: "a different row").
fn each_strong(reference: &crate::table::RefColumn, from: RowId, datum: Option<&Datum>, mut each: impl FnMut(RowId)) {
    if let Some(datum) = datum {
        reference.each(datum, |target, kind| {
            if kind == RefKind::Strong && target.1 != from.1 {
                each(target);
            }
        });
    }
}

fn references_to(db: &Database, counts: &Counts, id: RowId) -> i64 {
    let before = db.tables()[id.0].strong_references.get(&id.1).copied().unwrap_or(0);
    i64::from(before) + counts.get(&id).copied().unwrap_or(0)
}

fn check_deleted(db: &Database, txn: &Transaction, counts: &Counts) -> Result<()> {
    for row in txn.rows.iter().filter(|row| row.new.is_none()) {
        let n = references_to(db, counts, row.id);
        if n > 0 {
            let (table, uuid) = (&db.tables()[row.id.0].schema.name, row.id.1);
            let details = format!("cannot delete {table} row {uuid} because of {n} remaining reference(s)");
            return Err(integrity(details));
        }
    }
    Ok(())
}

/// Deletes rows of tables that are not root tables and that nobody refers to, and what only they referred to.
fn collect_garbage(db: &Database, txn: &mut Transaction, counts: &mut Counts) {
    let is_root = |table: usize| db.tables()[table].schema.is_root;
    let inserted = txn.rows.iter().filter(|row| row.old.is_none()).map(|row| row.id);
    let released = counts.iter().filter(|(_, change)| **change <= 0).map(|(id, _)| *id);
    let mut suspects: Vec<RowId> = inserted.chain(released).filter(|id| !is_root(id.0)).collect();
    while let Some(id) = suspects.pop() {
        if references_to(db, counts, id) > 0 || !txn.exists(db, id) {
            continue;
        }
        let Some(at) = txn.touch(db, id) else { continue };
        let Some(row) = txn.rows[at].new.take() else { continue };
        for reference in &db.tables()[id.0].references {
            each_strong(reference, id, row.get(reference.column), |target| {
                *counts.entry(target).or_default() -= 1;
                if !is_root(target.0) {
                    suspects.push(target);
                }
            });
        }
    }
}

fn check_max_rows(db: &Database, txn: &Transaction) -> Result<()> {
    if db.tables().iter().all(|table| table.schema.max_rows == u32::MAX) {
        return Ok(());
    }
    let mut change: HashMap<usize, i64, RandomState> = HashMap::default();
    for row in &txn.rows {
        *change.entry(row.id.0).or_default() += i64::from(row.new.is_some()) - i64::from(row.old.is_some());
    }
    for (&table, &change) in &change {
        let table = &db.tables()[table];
        let n = table.len() as i64 + change;
        if change > 0 && n > i64::from(table.schema.max_rows) {
            return Err(OvsdbError::constraint(format!(
                "transaction causes \"{}\" table to contain {n} rows, greater than the schema-defined limit of {} row(s)",
                table.schema.name, table.schema.max_rows
            )));
        }
    }
    Ok(())
}

/// Takes out weak references to rows that do not exist after the transaction, in rows that it touched and in all others.
fn clean_weak_references(db: &Database, txn: &mut Transaction) -> Result<()> {
    if !db.tables().iter().any(|table| table.references.iter().any(|r| is_weak(r.key) || is_weak(r.value))) {
        return Ok(());
    }
    let deleted: Vec<RowId> =
        txn.rows.iter().filter(|row| row.new.is_none() && row.old.is_some()).map(|row| row.id).collect();
    for id in deleted {
        for &source in db.weak_references.get(&id).into_iter().flatten() {
            txn.touch(db, source);
        }
    }
    for at in 0..txn.rows.len() {
        let id = txn.rows[at].id;
        for reference in &db.tables()[id.0].references {
            if !is_weak(reference.key) && !is_weak(reference.value) {
                continue;
            }
            let column = reference.column;
            let Some(row) = &txn.rows[at].new else { continue };
            let datum = &row[column];
            let mut gone: HashSet<RowId, RandomState> = HashSet::default();
            let mut zeros = 0;
            reference.each(datum, |target, kind| {
                if kind == RefKind::Weak && !txn.exists(db, target) {
                    zeros += usize::from(target.1.is_zero());
                    gone.insert(target);
                }
            });
            // The default of an ephemeral column that had a reference before a restart may stay as it is.
            let untouched = txn.rows[at].old.as_ref().is_some_and(|old| old[column] == *datum);
            if gone.is_empty() || untouched && gone.iter().all(|target| target.1.is_zero()) {
                continue;
            }
            let mut kept = datum.clone();
            if let Some((table, RefKind::Weak)) = reference.key {
                kept.retain(|key| key.as_uuid().is_none_or(|uuid| !gone.contains(&(table, uuid))));
            }
            if let Some((table, RefKind::Weak)) = reference.value {
                kept.retain_values(|value| value.as_uuid().is_none_or(|uuid| !gone.contains(&(table, uuid))));
            }
            let n_gone = datum.len() - kept.len();
            if kept.len() < db.tables()[id.0].schema.columns[column].column_type.n_min as usize {
                return Err(emptied(db, &txn.rows[at], column, n_gone, zeros));
            }
            if let Some(row) = &mut txn.rows[at].new {
                row[column] = kept;
            }
        }
    }
    Ok(())
}

fn is_weak(target: Option<(usize, RefKind)>) -> bool {
    matches!(target, Some((_, RefKind::Weak)))
}

fn emptied(db: &Database, row: &TouchedRow, column: usize, n_gone: usize, zeros: usize) -> OvsdbError {
    let schema = &db.tables()[row.id.0].schema;
    let (table, column, uuid) = (&schema.name, &schema.columns[column].name, row.id.1);
    let inserted = if row.old.is_none() { " (inserted within this transaction)" } else { "" };
    OvsdbError::constraint(if zeros > 0 && row.old.is_none() {
        format!(
            "Weak reference column \"{column}\" in \"{table}\" row {uuid}{inserted} contained all-zeros UUID (probably \
             as the default value for this column) but deleting this value caused a constraint volation because this \
             column is not allowed to be empty."
        )
    } else {
        format!(
            "Deletion of {n_gone} weak reference(s) to deleted (or never-existing) rows from column \"{column}\" in \
             \"{table}\" row {uuid}{inserted} caused this column to become empty, but constraints on this column \
             disallow an empty column."
        )
    })
}

fn check_indexes(db: &Database, txn: &Transaction) -> Result<()> {
    if db.tables().iter().all(|table| table.schema.indexes.is_empty()) {
        return Ok(());
    }
    let mut seen: HashMap<(usize, usize, Vec<&Datum>), &TouchedRow, RandomState> = HashMap::default();
    for row in &txn.rows {
        let Some(new) = &row.new else { continue };
        let table = &db.tables()[row.id.0];
        for (number, columns) in table.schema.indexes.iter().enumerate() {
            let unchanged = |old: &Vec<Datum>| columns.iter().all(|&column| old[column] == new[column]);
            let values: Vec<&Datum> = columns.iter().map(|&column| &new[column]).collect();
            if !row.old.as_ref().is_some_and(unchanged) {
                let clash = table.index_candidates(number, &values).find(|(uuid, stored)| {
                    txn.touched((row.id.0, *uuid)).is_none()
                        && columns.iter().zip(&values).all(|(&c, v)| packed::column(&table.schema, stored, c) == **v)
                });
                if let Some((uuid, _)) = clash {
                    return Err(duplicate(db, row.id.0, columns, &values, (uuid, None), (row.id.1, Some(row))));
                }
            }
            if let Some(first) = seen.insert((row.id.0, number, values.clone()), row) {
                let (first, second) = ((first.id.1, Some(first)), (row.id.1, Some(row)));
                return Err(duplicate(db, row.id.0, columns, &values, first, second));
            }
        }
    }
    Ok(())
}

fn duplicate(
    db: &Database,
    table: usize,
    columns: &[usize],
    values: &[&Datum],
    first: (Uuid, Option<&TouchedRow>),
    second: (Uuid, Option<&TouchedRow>),
) -> OvsdbError {
    let schema = &db.tables()[table].schema;
    let text_of = |values: &[&Datum]| {
        let one =
            |(&column, value): (&usize, &&Datum)| text::datum_to_string(value, &schema.columns[column].column_type);
        columns.iter().zip(values).map(one).collect::<Vec<_>>().join(", ")
    };
    let names: Vec<String> = columns.iter().map(|&column| format!("\"{}\"", schema.columns[column].name)).collect();
    let names = match names.as_slice() {
        [one] => format!("column {one}"),
        [a, b] => format!("columns {a} and {b}"),
        [most @ .., last] => format!("columns {}, and {last}", most.join(", ")),
        [] => String::new(),
    };
    let untouched = "existed in the database before this transaction and was not modified by the transaction.";
    let story = |row: Option<&TouchedRow>| match row.map(|row| row.old.as_ref()) {
        None => untouched.to_string(),
        Some(None) => "was inserted by this transaction.".to_string(),
        Some(Some(old)) if row.is_some_and(|row| row.new.as_ref() == Some(old)) => untouched.to_string(),
        Some(Some(old)) => {
            let before: Vec<&Datum> = columns.iter().map(|&column| &old[column]).collect();
            if before == values {
                "existed in the database before this transaction, which modified some of the row's columns but not \
                 any columns in this index."
                    .to_string()
            } else {
                format!("had the following index values before the transaction: {}.", text_of(&before))
            }
        }
    };
    OvsdbError::constraint(format!(
        "Transaction causes multiple rows in \"{}\" table to have identical values ({}) for index on {names}.  First \
         row, with UUID {}, {}  Second row, with UUID {}, {}",
        schema.name,
        text_of(values),
        first.0,
        story(first.1),
        second.0,
        story(second.1)
    ))
}

fn apply(db: &mut Database, txn: Transaction, counts: Counts, id: Option<Uuid>) -> Arc<ChangeSet> {
    db.n_transactions += 1;
    let version = db.n_transactions;
    let version_uuid: Datum = db.version_uuid(version).into();
    for (id, change) in counts {
        let references = &mut db.tables_mut()[id.0].strong_references;
        let n = i64::from(references.get(&id.1).copied().unwrap_or(0)) + change;
        match u32::try_from(n) {
            Ok(n) if n > 0 => references.insert(id.1, n),
            _ => references.remove(&id.1),
        };
    }
    let id = id.unwrap_or_else(|| db.uuids.next_uuid());
    let mut changes = ChangeSet { id, tables: Vec::new() };
    let mut scratch = std::mem::take(&mut db.scratch);
    for mut row in txn.rows {
        let (table, uuid) = row.id;
        update_weak_references(db, &row);
        let new: Option<PackedRow> = row.new.as_mut().map(|columns| {
            columns[VERSION_COLUMN] = version_uuid.clone();
            packed::pack(&db.tables()[table].schema, version, columns, &mut scratch)
        });
        let slot = db.tables_mut()[table].put(uuid, new.clone());
        if let (Some(snapshot), Some(slot)) = (&mut db.snapshot, slot) {
            snapshot.row_changes(table, slot, uuid, row.stored.as_ref());
        }
        let change = RowChange { uuid, old: row.stored, new };
        match changes.tables.iter_mut().find(|(number, _)| *number == table) {
            Some((_, rows)) => rows.push(change),
            None => changes.tables.push((table, vec![change])),
        }
    }
    // One huge row must not hold its memory for ever.
    if scratch.capacity() <= 1 << 20 {
        db.scratch = scratch;
    }
    let changes = Arc::new(changes);
    db.remember(changes.clone());
    changes
}

fn update_weak_references(db: &mut Database, row: &TouchedRow) {
    let table = row.id.0;
    for at in 0..db.tables()[table].references.len() {
        let reference = db.tables()[table].references[at].clone();
        if !is_weak(reference.key) && !is_weak(reference.value) {
            continue;
        }
        let (old, new) = (column_of(&row.old, reference.column), column_of(&row.new, reference.column));
        if old == new {
            continue;
        }
        // Another column of the row may hold the same reference: forget it only if no column of the new row does.
        let still: HashSet<RowId, RandomState> = weak_targets(db, table, &row.new);
        each_weak(&reference, old, |target| {
            if !still.contains(&target)
                && let Some(sources) = db.weak_references.get_mut(&target)
            {
                sources.remove(&row.id);
                if sources.is_empty() {
                    db.weak_references.remove(&target);
                }
            }
        });
        each_weak(&reference, new, |target| {
            db.weak_references.entry(target).or_default().insert(row.id);
        });
    }
}

fn weak_targets(db: &Database, table: usize, row: &Option<Vec<Datum>>) -> HashSet<RowId, RandomState> {
    let mut targets = HashSet::default();
    let weak = |r: &&crate::table::RefColumn| is_weak(r.key) || is_weak(r.value);
    for reference in db.tables()[table].references.iter().filter(weak) {
        each_weak(reference, column_of(row, reference.column), |target| {
            targets.insert(target);
        });
    }
    targets
}

fn each_weak(reference: &crate::table::RefColumn, datum: Option<&Datum>, mut each: impl FnMut(RowId)) {
    if let Some(datum) = datum {
        reference.each(datum, |target, kind| {
            if kind == RefKind::Weak {
                each(target);
            }
        });
    }
}
