//! A database under another schema (ovsdb-server(7) §4.1.19).

use crate::commit;
use crate::database::Database;
use crate::transaction::Transaction;
use ovsdb_data::{DatabaseSchema, Datum, OvsdbError, Result};

/// The same data under a new schema. Tables and columns that the new schema lacks are dropped, new ones get default
/// values; everything else must satisfy the new schema.
pub fn convert(db: &Database, schema: DatabaseSchema, seed: [u8; 32]) -> Result<Database> {
    let mut new = Database::new(schema, seed);
    let mut txn = Transaction::default();
    for number in 0..new.tables().len() {
        let target = new.tables()[number].schema.clone();
        let Some(source_number) = db.table_number(&target.name) else { continue };
        let source = &db.tables()[source_number];
        let columns: Vec<(usize, usize)> = target
            .own_columns()
            .filter_map(|(to, column)| Some((source.schema.column_number(&column.name)?, to)))
            .collect();
        for (uuid, row) in source.rows() {
            let old = db.unpack(source_number, uuid, row);
            let mut fresh = target.default_row();
            for &(from, to) in &columns {
                let (old_type, new_type) = (&source.schema.columns[from].column_type, &target.columns[to].column_type);
                fresh[to] = if old_type == new_type {
                    old[from].clone()
                } else {
                    Datum::from_json(&old[from].to_json(), new_type, None)?
                };
            }
            txn.insert((number, uuid), fresh);
        }
    }
    commit::replay(&mut new, txn)?;
    Ok(new)
}

/// Checks that a schema may take the place of another.
pub fn check_name(old: &str, new: &DatabaseSchema) -> Result<()> {
    match old == new.name {
        true => Ok(()),
        false => Err(OvsdbError::new(
            "unknown database",
            format!("database name {} in schema does not match {old}", new.name),
        )),
    }
}
