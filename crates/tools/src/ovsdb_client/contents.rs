//! dump, backup and restore.

use super::Client;
use crate::ctl::rpc;
use crate::table::{Cell, Table};
use ovsdb::log_file::{LogReader, Magic, frame};
use ovsdb_data::schema::{FIRST_COLUMN, UUID_COLUMN};
use ovsdb_data::{DatabaseSchema, Datum, TableSchema, json};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::io::{IsTerminal, Read, Write};

/// All rows of some tables, in one transaction.
fn select(client: &mut Client, tables: &[&TableSchema]) -> Result<Vec<Vec<Value>>, String> {
    let operations = tables
        .iter()
        .map(|table| {
            let columns: Vec<&str> = table
                .columns
                .iter()
                .enumerate()
                .filter(|(number, _)| *number == UUID_COLUMN || *number >= FIRST_COLUMN)
                .map(|(_, column)| column.name.as_str())
                .collect();
            json!({"op": "select", "table": table.name, "where": [], "columns": columns})
        })
        .collect();
    let database = client.database.clone();
    let results = rpc::transact(&mut client.rpc, &database, operations).map_err(|reason| client.lost(reason))?;
    let mut results = results.map_err(|error| format!("transact returned error: {}", json::to_string(&error)))?;
    if let Some(error) = results.iter().find(|result| result.get("error").is_some()) {
        return Err(format!("transaction returned error: {}", json::to_string(error)));
    }
    Ok(results.iter_mut().map(|r| r["rows"].as_array_mut().map(std::mem::take).unwrap_or_default()).collect())
}

pub(super) fn dump(client: &mut Client, args: &[String]) -> Result<(), String> {
    let schema = client.schema()?;
    let tables: Vec<&TableSchema> = match args.first() {
        Some(name) => {
            vec![schema.tables.get(name).ok_or_else(|| format!("No table \"{name}\" found."))?]
        }
        None => schema.tables.values().collect(),
    };
    let mut columns: Vec<usize> = Vec::new();
    if let (Some(names), [table]) = (args.get(1..).filter(|names| !names.is_empty()), tables.as_slice()) {
        for name in names {
            let number = table.column_number(name);
            columns.push(number.ok_or_else(|| format!("Table \"{}\" has no column {name}.", table.name))?);
        }
        columns.sort_unstable();
    }
    let results = select(client, &tables)?;
    for (table, rows) in tables.iter().zip(results) {
        let columns = match columns.is_empty() {
            false => columns.clone(),
            true => std::iter::once(UUID_COLUMN).chain(FIRST_COLUMN..table.columns.len()).collect(),
        };
        let mut out = Table::new(columns.iter().map(|n| table.columns[*n].name.as_str()));
        out.caption = Some(format!("{} table", table.name));
        let mut sorted: Vec<Vec<Datum>> = Vec::new();
        for row in rows {
            let mut datums = Vec::new();
            for number in &columns {
                let column = &table.columns[*number];
                let value = row.get(&column.name).unwrap_or(&Value::Null);
                datums.push(Datum::diff_from_json(value, &column.column_type).map_err(|error| error.to_string())?);
            }
            sorted.push(datums);
        }
        // By contents; the row's name only where contents are the same.
        let named = columns.first() == Some(&UUID_COLUMN);
        sorted.sort_by(|a, b| a[usize::from(named)..].cmp(&b[usize::from(named)..]).then_with(|| a.cmp(b)));
        for row in sorted {
            let cells = row.into_iter().zip(&columns);
            out.rows.push(cells.map(|(d, n)| Cell::Datum(d, table.columns[*n].column_type.clone())).collect());
        }
        client.print_table(&out);
    }
    Ok(())
}

pub(super) fn backup(client: &mut Client, _: &[String]) -> Result<(), String> {
    if std::io::stdout().is_terminal() {
        return Err("not writing backup to a terminal; please redirect stdout to a file".into());
    }
    let schema = client.schema()?;
    let tables: Vec<&TableSchema> = schema.tables.values().collect();
    let results = select(client, &tables)?;
    let mut record = Map::new();
    record.insert("_date".into(), json!(clock::WallTime::now().millis));
    record.insert("_is_diff".into(), json!(true));
    record.insert("_comment".into(), json!("produced by \"ovsdb-client backup\""));
    for (table, rows) in tables.iter().zip(results) {
        let mut saved = Map::new();
        for row in rows {
            let Value::Object(mut row) = row else { continue };
            let uuid = row.remove("_uuid").and_then(|uuid| uuid[1].as_str().map(str::to_string)).unwrap_or_default();
            row.retain(|name, _| table.column(name).is_some_and(|column| column.persistent));
            saved.insert(uuid, Value::Object(row));
        }
        if !saved.is_empty() {
            record.insert(table.name.clone(), Value::Object(saved));
        }
    }
    let mut out = Vec::new();
    frame(&mut out, Magic::Standalone, json::to_string(&schema.to_json()).as_bytes());
    frame(&mut out, Magic::Standalone, json::to_string(&Value::Object(record)).as_bytes());
    std::io::stdout().write_all(&out).map_err(|error| format!("write failed ({})", io::program::strerror(&error)))
}

pub(super) fn restore(client: &mut Client, _: &[String]) -> Result<(), String> {
    if std::io::stdin().is_terminal() {
        return Err("not reading backup from a terminal; please redirect stdin from a file".into());
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(|error| io::program::strerror(&error))?;
    let mut reader = LogReader::new(bytes.as_slice(), "/dev/stdin").map_err(|error| error.to_string())?;
    if reader.magic() != Magic::Standalone {
        return Err("/dev/stdin: a backup is a standalone database file".into());
    }
    let mut next = || -> Result<Option<Value>, String> {
        let Some((body, start)) = reader.next_record().map_err(|error| error.to_string())? else { return Ok(None) };
        let value = serde_json::from_slice(&body);
        value.map(Some).map_err(|error| reader.not_an_object(&body, start, Some(&error)).to_string())
    };
    let saved = next()?.ok_or("/dev/stdin: database file contains no schema")?;
    let saved = DatabaseSchema::from_json(&saved).map_err(|error| error.to_string())?;
    let schema = client.schema()?;
    if saved != schema && !client.force {
        let differ = if saved.version == schema.version {
            format!("backup schema and database schema are both version {} but still differ", saved.version)
        } else {
            format!(
                "backup schema has version \"{}\" but database schema has version \"{}\"",
                saved.version, schema.version
            )
        };
        return Err(format!(
            "{differ} (use --force to override differences, or \"ovsdb-client convert\" to change the schema)"
        ));
    }
    let mut operations = vec![json!({"op": "comment", "comment": "ovsdb-client: restoring contents from backup"})];
    for table in schema.tables.keys() {
        operations.push(json!({"op": "delete", "table": table, "where": []}));
    }
    let mut records = Vec::new();
    while let Some(record) = next()? {
        records.push(record);
    }
    let tables_of = |record: &Value| -> Vec<(String, Map<String, Value>)> {
        let object = record.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_'));
        object.filter_map(|(name, rows)| Some((name.clone(), rows.as_object()?.clone()))).collect()
    };
    // The rows that are there go in the same transaction, so new ones cannot have their UUIDs: they get new ones, and
    // references go by name.
    let uuids: HashSet<String> =
        records.iter().flat_map(&tables_of).flat_map(|(_, rows)| rows.into_iter().map(|(uuid, _)| uuid)).collect();
    let mut ignored = false;
    for (table, rows) in records.iter().flat_map(&tables_of) {
        let Some(known) = schema.tables.get(&table) else {
            ignored = true;
            continue;
        };
        for (uuid, row) in rows {
            let Value::Object(mut row) = row else { continue };
            let before = row.len();
            row.retain(|name, _| known.column_number(name).is_some());
            ignored |= row.len() != before;
            let mut row = Value::Object(row);
            name_references(&mut row, &uuids);
            operations.push(json!({"op": "insert", "table": table, "uuid-name": row_name(&uuid), "row": row}));
        }
    }
    if ignored {
        eprintln!("ovsdb-client: data of tables or columns that the database lacks was left out");
    }
    // A backup goes into the database that it was made of, whatever the differences.
    let results = rpc::transact(&mut client.rpc, &saved.name, operations).map_err(|reason| client.lost(reason))?;
    let results = results.map_err(|error| format!("transaction returned error: {}", json::to_string(&error)))?;
    match results.iter().find(|result| result.get("error").is_some()) {
        Some(error) => Err(format!("transaction returned error: {}", json::to_string(error))),
        None => Ok(()),
    }
}

fn row_name(uuid: &str) -> String {
    format!("row{}", uuid.replace('-', "_"))
}

/// Makes `["uuid", X]` into `["named-uuid", …]` for the rows of a backup.
fn name_references(value: &mut Value, uuids: &HashSet<String>) {
    match value {
        Value::Array(items) => {
            if let [Value::String(tag), Value::String(uuid)] = items.as_mut_slice()
                && tag == "uuid"
                && uuids.contains(uuid)
            {
                *uuid = row_name(uuid);
                *tag = "named-uuid".to_string();
                return;
            }
            items.iter_mut().for_each(|item| name_references(item, uuids));
        }
        Value::Object(members) => members.values_mut().for_each(|member| name_references(member, uuids)),
        _ => {}
    }
}
