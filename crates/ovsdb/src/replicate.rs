//! Makes a database the copy of another: applies what a `monitor` of the other tells (RFC 7047 §4.1.5, §4.1.6).

use crate::change::ChangeSet;
use crate::commit::{self, CommitOptions};
use crate::database::{Database, RowId};
use crate::monitor::Version;
use crate::storage::Storage;
use crate::transaction::Transaction;
use ovsdb_data::schema::{FIRST_COLUMN, TableSchema};
use ovsdb_data::{Datum, OvsdbError, Result, Uuid};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::Arc;

/// Applies `<table-updates>` of `monitor` (`V1`), or `<table-updates2>` of the other kinds. With `reset`, rows of the named tables
/// that the updates do not hold are deleted. Tables that `excluded` names are left alone.
pub fn apply(
    db: &mut Database,
    updates: &Value,
    version: Version,
    reset: bool,
    excluded: &dyn Fn(&str) -> bool,
    storage: &mut dyn Storage,
    options: &CommitOptions,
) -> Result<Option<Arc<ChangeSet>>> {
    let mut txn = Transaction::default();
    let object = updates.as_object().ok_or_else(|| OvsdbError::syntax(updates, "table-updates must be object"))?;
    let mut kept: HashSet<(usize, Uuid)> = HashSet::new();
    for (name, rows) in object.iter().filter(|(name, _)| !excluded(name)) {
        let number = db.table_number(name).ok_or_else(|| OvsdbError::bare_syntax(format!("no table named {name}")))?;
        for (uuid, row) in rows.as_object().into_iter().flatten() {
            let uuid =
                Uuid::parse(uuid).ok_or_else(|| OvsdbError::syntax(rows, format!("\"{uuid}\" is not a valid UUID")))?;
            let id = (number, uuid);
            let member = |name: &str| row.get(name).and_then(Value::as_object);
            let stays = match version {
                Version::V1 => match member("new") {
                    Some(new) => put(db, &mut txn, id, new, false)?,
                    None => false,
                },
                Version::V2 | Version::V3 => match (member("initial").or(member("insert")), member("modify")) {
                    (Some(new), _) => put(db, &mut txn, id, new, true)?,
                    (None, Some(diff)) => modify(db, &mut txn, id, diff)?,
                    (None, None) => false,
                },
            };
            match stays {
                true => _ = kept.insert(id),
                false => txn.delete(db, id),
            }
        }
    }
    if reset {
        for (number, table) in db.tables().iter().enumerate().filter(|(_, t)| !excluded(&t.schema.name)) {
            for (uuid, _) in table.rows().filter(|(uuid, _)| !kept.contains(&(number, *uuid))) {
                txn.delete(db, (number, uuid));
            }
        }
    }
    commit::commit(db, txn, storage, options)
}

/// Makes a row as it is told; columns of which nothing is said get their default where `whole`. Always true.
fn put(db: &Database, txn: &mut Transaction, id: RowId, new: &Map<String, Value>, whole: bool) -> Result<bool> {
    let schema = db.tables()[id.0].schema.clone();
    match txn.modify(db, id) {
        Some(columns) => {
            if whole {
                columns[FIRST_COLUMN..].clone_from_slice(&schema.default_row()[FIRST_COLUMN..]);
            }
            read(&schema, new, columns)?;
        }
        None => {
            let mut columns = schema.default_row();
            read(&schema, new, &mut columns)?;
            txn.insert(id, columns);
        }
    }
    Ok(true)
}

/// Applies differences of columns to a row. Always true; a row that is not there is an error, for then something was missed.
fn modify(db: &Database, txn: &mut Transaction, id: RowId, diff: &Map<String, Value>) -> Result<bool> {
    let schema = db.tables()[id.0].schema.clone();
    let row = txn.modify(db, id);
    let columns = row.ok_or_else(|| OvsdbError::bare_syntax(format!("no row {} in table {}", id.1, schema.name)))?;
    let old = columns.clone();
    read(&schema, diff, columns)?;
    for name in diff.keys() {
        if let Some(number) = schema.column_number(name).filter(|number| *number >= FIRST_COLUMN) {
            columns[number] = old[number].apply_diff(&columns[number], &schema.columns[number].column_type);
        }
    }
    Ok(true)
}

fn read(schema: &TableSchema, new: &Map<String, Value>, columns: &mut [Datum]) -> Result<()> {
    for (name, value) in new {
        let number = schema
            .column_number(name)
            .ok_or_else(|| OvsdbError::new("unknown column", format!("No column {name} in table {}.", schema.name)))?;
        if number >= FIRST_COLUMN {
            columns[number] = Datum::diff_from_json(value, &schema.columns[number].column_type)?;
        }
    }
    Ok(())
}
