//! Reads the update notifications of all monitor versions into row changes.

use crate::replica::{Change, TableRows};
use ovsdb_data::{Datum, TableSchema, Uuid};
use serde_json::{Map, Value};

/// Which encoding an update has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    /// `{"old": …, "new": …}` (RFC 7047 §4.1.6)
    V1,
    /// `{"initial"|"insert"|"modify"|"delete": …}` (ovsdb-server(7) §4.1.14)
    V2,
}

/// Applies the updates of one table; reports each row that changed.
pub(crate) fn apply(
    schema: &TableSchema,
    rows: &mut TableRows,
    updates: &Value,
    encoding: Encoding,
    mut changed: impl FnMut(Uuid, Change),
) -> Result<(), String> {
    let updates = updates.as_object().ok_or("table updates are not an object")?;
    for (uuid, update) in updates {
        let uuid = Uuid::parse(uuid).ok_or_else(|| format!("\"{uuid}\" is not a row's uuid"))?;
        let update = update.as_object().ok_or("row update is not an object")?;
        let change = match encoding {
            Encoding::V1 => apply_v1(schema, rows, uuid, update)?,
            Encoding::V2 => apply_v2(schema, rows, uuid, update)?,
        };
        if let Some(c) = change {
            changed(uuid, c);
        }
    }
    Ok(())
}

fn apply_v1(
    schema: &TableSchema,
    rows: &mut TableRows,
    uuid: Uuid,
    update: &Map<String, Value>,
) -> Result<Option<Change>, String> {
    match update.get("new") {
        None | Some(Value::Null) => Ok(rows.remove(&uuid).map(|_| Change::Deleted)),
        Some(new) => {
            let known = rows.contains_key(&uuid);
            let row = rows.entry(uuid).or_insert_with(|| empty_row(schema, uuid));
            set_columns(schema, row, new)?;
            Ok(Some(if known { Change::Modified } else { Change::Inserted }))
        }
    }
}

fn apply_v2(
    schema: &TableSchema,
    rows: &mut TableRows,
    uuid: Uuid,
    update: &Map<String, Value>,
) -> Result<Option<Change>, String> {
    let Some((kind, value)) = update.iter().next() else { return Ok(None) };
    match kind.as_str() {
        "initial" | "insert" => {
            let mut row = empty_row(schema, uuid);
            set_columns(schema, &mut row, value)?;
            let known = rows.insert(uuid, row).is_some();
            Ok(Some(if known { Change::Modified } else { Change::Inserted }))
        }
        "modify" => {
            let row = rows.get_mut(&uuid).ok_or_else(|| format!("modification of unknown row {uuid}"))?;
            for (name, diff) in value.as_object().ok_or("row is not an object")? {
                let Some(n) = schema.column_number(name) else { continue };
                let ty = &schema.columns[n].column_type;
                let diff = Datum::diff_from_json(diff, ty).map_err(|e| e.to_string())?;
                row[n] = row[n].apply_diff(&diff, ty);
            }
            Ok(Some(Change::Modified))
        }
        "delete" => Ok(rows.remove(&uuid).map(|_| Change::Deleted)),
        other => Err(format!("unknown row update \"{other}\"")),
    }
}

fn empty_row(schema: &TableSchema, uuid: Uuid) -> Vec<Datum> {
    let mut row = schema.default_row();
    row[ovsdb_data::schema::UUID_COLUMN] = uuid.into();
    row
}

fn set_columns(schema: &TableSchema, row: &mut [Datum], values: &Value) -> Result<(), String> {
    for (name, value) in values.as_object().ok_or("row is not an object")? {
        let Some(n) = schema.column_number(name) else { continue };
        row[n] = Datum::from_json(value, &schema.columns[n].column_type, None).map_err(|e| e.to_string())?;
    }
    Ok(())
}
