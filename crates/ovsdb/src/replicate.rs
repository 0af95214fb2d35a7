//! Makes a database the copy of another: applies what a `monitor` of the other tells (RFC 7047 §4.1.5, §4.1.6).

use crate::change::ChangeSet;
use crate::commit::{self, CommitOptions};
use crate::database::Database;
use crate::storage::Storage;
use crate::transaction::Transaction;
use ovsdb_data::schema::{FIRST_COLUMN, TableSchema};
use ovsdb_data::{Datum, OvsdbError, Result, Uuid};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::Arc;

/// Applies `<table-updates>`. With `reset`, rows of the named tables that the updates do not hold are deleted. Tables that
/// `excluded` names are left alone.
pub fn apply(
    db: &mut Database,
    updates: &Value,
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
            let Some(new) = row.get("new").and_then(Value::as_object) else {
                txn.delete(db, id);
                continue;
            };
            kept.insert(id);
            let schema = db.tables()[number].schema.clone();
            if txn.exists(db, id) {
                if let Some(columns) = txn.modify(db, id) {
                    read(&schema, new, columns)?;
                }
            } else {
                let mut columns = schema.default_row();
                read(&schema, new, &mut columns)?;
                txn.insert(id, columns);
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
