//! Reads the update notifications of all monitor versions into rows.

use crate::table::Tables;
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

/// Applies the updates of one table.
pub(crate) fn apply(
    schema: &TableSchema,
    tables: &mut Tables,
    updates: &Value,
    encoding: Encoding,
) -> Result<(), String> {
    let updates = updates.as_object().ok_or("table updates are not an object")?;
    for (uuid, update) in updates {
        let uuid = Uuid::parse(uuid).ok_or_else(|| format!("\"{uuid}\" is not a row's uuid"))?;
        let update = update.as_object().ok_or("row update is not an object")?;
        match encoding {
            Encoding::V1 => apply_v1(schema, tables, uuid, update)?,
            Encoding::V2 => apply_v2(schema, tables, uuid, update)?,
        }
    }
    Ok(())
}

fn apply_v1(schema: &TableSchema, tables: &mut Tables, uuid: Uuid, update: &Map<String, Value>) -> Result<(), String> {
    match update.get("new") {
        None | Some(Value::Null) => tables.remove(schema, uuid),
        Some(new) => {
            let mut row = tables.get(&schema.name, uuid).cloned().unwrap_or_else(|| empty_row(schema, uuid));
            set_columns(schema, &mut row, new)?;
            tables.put(schema, uuid, row);
        }
    }
    Ok(())
}

fn apply_v2(schema: &TableSchema, tables: &mut Tables, uuid: Uuid, update: &Map<String, Value>) -> Result<(), String> {
    let Some((kind, value)) = update.iter().next() else { return Ok(()) };
    match kind.as_str() {
        "initial" | "insert" => {
            let mut row = empty_row(schema, uuid);
            set_columns(schema, &mut row, value)?;
            tables.put(schema, uuid, row);
        }
        "modify" => {
            let known = tables.get(&schema.name, uuid).ok_or_else(|| format!("modification of unknown row {uuid}"))?;
            let mut row = known.clone();
            for (name, diff) in value.as_object().ok_or("row is not an object")? {
                let Some(n) = schema.column_number(name) else { continue };
                let ty = &schema.columns[n].column_type;
                let diff = Datum::diff_from_json(diff, ty).map_err(|e| e.to_string())?;
                row[n] = row[n].apply_diff(&diff, ty);
            }
            tables.put(schema, uuid, row);
        }
        "delete" => tables.remove(schema, uuid),
        other => return Err(format!("unknown row update \"{other}\"")),
    }
    Ok(())
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
