//! Runs that name the ports and interfaces that they are about read those rows only, so that a port costs the same however many
//! there are.

use crate::ctl::store::{Rows, selected_row};
use crate::ctl::{Call, Needs, Transact, names};
use ovsdb_data::{DatabaseSchema, Uuid};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// Names above which a run reads everything.
const FEW: usize = 64;

/// Commands about a record of a table.
const RECORD: &[&str] = &["get", "set", "add", "remove", "clear", "list"];

/// The names of ports and interfaces that a run is about; none if it may be about others, too.
pub(super) fn names(calls: &[Call], schema: &DatabaseSchema) -> Option<BTreeSet<String>> {
    let names: BTreeSet<String> = calls.iter().map(|call| name(call, schema)).collect::<Option<_>>()?;
    (names.len() <= FEW).then_some(names)
}

fn name(call: &Call, schema: &DatabaseSchema) -> Option<String> {
    let args = &call.args;
    match (call.command.name, args.as_slice()) {
        ("add-port", [_, port, ..]) | ("del-port", [port] | [_, port]) => Some(port.clone()),
        (command, [table, record, ..]) if RECORD.contains(&command) && (command != "list" || args.len() == 2) => {
            let table = names::table(schema, table).ok()?;
            // What looks like a UUID may be the start of one.
            let odd =
                record.starts_with('@') || record == "." || record.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
            (["Port", "Interface"].contains(&table.name.as_str()) && !odd).then(|| record.clone())
        }
        _ => None,
    }
}

/// Reads all bridges, but of their ports and interfaces those of these names. Bridges that they are in hold them and no others.
/// None if that does not tell enough: there are fake bridges, or an interface whose port has another name.
pub(super) fn read(
    names: &BTreeSet<String>,
    schema: &DatabaseSchema,
    needs: &Needs,
    transact: Transact<'_>,
) -> Result<Option<HashMap<String, Rows>>, String> {
    let select = |table: &str, filter: Value| {
        let mut operation = json!({"op": "select", "table": table, "where": filter});
        if let Some(Some(columns)) = needs.get(table) {
            let there = columns.iter().map(String::as_str).filter(|column| (table, *column) != ("Bridge", "ports"));
            operation["columns"] = there.chain(["_uuid"]).collect();
        }
        operation
    };
    let mut operations = vec![
        select("Bridge", json!([])),
        json!({"op": "select", "table": "Port", "where": [["fake_bridge", "==", true]], "columns": ["_uuid"]}),
    ];
    for name in names {
        operations.push(select("Port", json!([["name", "==", name]])));
        operations.push(select("Interface", json!([["name", "==", name]])));
    }
    let results = transact(operations)?;
    if results.get(1).is_none_or(|fakes| fakes["rows"] != json!([])) {
        return Ok(None);
    }
    let mut rows: HashMap<String, Rows> = HashMap::new();
    let tables = ["Bridge", "", "Port", "Interface"];
    for (n, result) in results.iter().enumerate() {
        let table = tables[if n < 2 { n } else { 2 + n % 2 }];
        let Some(table) = schema.tables.get(table) else { continue };
        for row in result["rows"].as_array().into_iter().flatten() {
            if let (Some(columns), Some(uuid)) = (row.as_object(), uuid_of(row)) {
                rows.entry(table.name.clone()).or_default().insert(uuid, selected_row(table, uuid, columns));
            }
        }
    }
    place(rows, schema, transact)
}

fn uuid_of(row: &Value) -> Option<Uuid> {
    row["_uuid"][1].as_str().and_then(Uuid::parse)
}

/// Puts ports into the bridges that they are in; looks whether all interfaces are in ports that were read.
fn place(
    mut rows: HashMap<String, Rows>,
    schema: &DatabaseSchema,
    transact: Transact<'_>,
) -> Result<Option<HashMap<String, Rows>>, String> {
    let column = |table: &str, column: &str| schema.tables.get(table).and_then(|t| t.column_number(column));
    let (Some(interfaces), Some(ports)) = (column("Port", "interfaces"), column("Bridge", "ports")) else {
        return Ok(None);
    };
    let there: Vec<Uuid> = rows.get("Port").into_iter().flat_map(|rows| rows.keys().copied()).collect();
    let inside: BTreeSet<Uuid> = rows
        .get("Port")
        .into_iter()
        .flat_map(|rows| rows.values())
        .flat_map(|row| row[interfaces].atoms().iter().filter_map(ovsdb_data::Atom::as_uuid))
        .collect();
    let known: BTreeSet<Uuid> = rows.get("Interface").into_iter().flat_map(|rows| rows.keys().copied()).collect();
    if inside != known {
        return Ok(None);
    }
    if there.is_empty() {
        return Ok(Some(rows));
    }
    let holding = |port: &Uuid| {
        let set = json!(["uuid", port.to_string()]);
        json!({"op": "select", "table": "Bridge", "where": [["ports", "includes", set]], "columns": ["_uuid"]})
    };
    let results = transact(there.iter().map(holding).collect())?;
    for (port, result) in there.iter().zip(&results) {
        let bridge = result["rows"].as_array().into_iter().flatten().filter_map(uuid_of).next();
        let row = bridge.and_then(|bridge| rows.get_mut("Bridge")?.get_mut(&bridge));
        if let Some(row) = row {
            std::rc::Rc::make_mut(row)[ports].union(&(*port).into(), true);
        }
    }
    Ok(Some(rows))
}
