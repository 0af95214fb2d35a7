//! The `_Server` database, in which clients read about the databases of this server (ovsdb-server(5)).

use crate::core::Core;
use crate::hosted::Hosted;
use io::vlog::Module;
use io::vlog_warn;
use ovsdb::packed;
use ovsdb_data::{DatabaseSchema, Datum, json};
use serde_json::{Value, json};

/// Its name.
pub const NAME: &str = "_Server";

/// The database, with no rows.
pub fn create() -> Hosted {
    let optional = |kind: &str| json!({"type": {"key": kind, "min": 0}});
    let schema = json!({"name": NAME, "version": "1.2.0", "cksum": "3009684573 744", "tables": {"Database": {"columns": {
        "name": {"type": "string"},
        "model": {"type": {"key": {"type": "string", "enum": ["set", ["standalone", "clustered", "relay"]]}}},
        "connected": {"type": "boolean"},
        "leader": {"type": "boolean"},
        "schema": optional("string"),
        "cid": optional("uuid"),
        "sid": optional("uuid"),
        "index": optional("integer"),
    }}}});
    let schema = DatabaseSchema::from_json(&schema).unwrap_or_else(|_| DatabaseSchema {
        name: NAME.to_string(),
        version: String::new(),
        cksum: String::new(),
        tables: Default::default(),
    });
    let mut hosted = Hosted::in_memory(schema, "standalone");
    hosted.read_only = true;
    hosted
}

/// Makes the rows say what databases there are.
pub fn refresh(core: &mut Core) {
    let mut operations = Vec::new();
    for (name, hosted) in &core.dbs {
        let schema = Some(hosted.db.schema()).filter(|_| hosted.connected || hosted.model != "relay");
        let schema = match schema {
            Some(schema) => json!(json::to_string(&schema.to_json())),
            None => json!(["set", []]),
        };
        let row = json!({"name": name, "model": hosted.model, "connected": hosted.connected,
            "leader": hosted.model != "relay",
            "schema": schema});
        operations.push(match exists(core, name) {
            true => json!({"op": "update", "table": "Database", "where": [["name", "==", name]], "row": row}),
            false => json!({"op": "insert", "table": "Database", "row": row}),
        });
    }
    for name in names(core).iter().filter(|name| !core.dbs.contains_key(*name)) {
        operations.push(json!({"op": "delete", "table": "Database", "where": [["name", "==", name]]}));
    }
    let operations: Vec<Value> = operations;
    if let Err(error) = core.transact_internal(NAME, &operations) {
        vlog_warn!(Module::OvsdbServer, "cannot update the {NAME} database: {error}");
    }
}

fn names(core: &Core) -> Vec<String> {
    let Some(table) = core.dbs.get(NAME).and_then(|hosted| hosted.db.table("Database")) else { return Vec::new() };
    let Some(column) = table.schema.column_number("name") else { return Vec::new() };
    let name = |row: &[u8]| -> Option<String> {
        let datum: Datum = packed::column(&table.schema, row, column);
        datum.as_str().map(str::to_string)
    };
    table.rows().filter_map(|(_, row)| name(row)).collect()
}

fn exists(core: &Core, name: &str) -> bool {
    names(core).iter().any(|known| known == name)
}
