//! Transactions, one JSON array of operations a line, on a small database: its log tells the same as it does, and clients
//! that watch it are told what it holds.
#![cfg_attr(fuzzing, no_main)]

use ovsdb::execute::{Request, execute};
use ovsdb::monitor::{MonitorSpec, Version};
use ovsdb::{Database, Storage, load};
use ovsdb_data::{DatabaseSchema, OvsdbError};
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../world.ovsschema");

#[derive(Default)]
struct Log(Vec<Vec<u8>>);

impl Storage for Log {
    fn append(&mut self, record: &[u8], _durable: bool) -> Result<(), OvsdbError> {
        self.0.push(record.to_vec());
        Ok(())
    }
}

fn empty(seed: u8) -> Database {
    let schema = serde_json::from_str(SCHEMA).expect("JSON");
    Database::new(DatabaseSchema::from_json(&schema).expect("a schema"), [seed; 32])
}

/// Everything that a file keeps: all but versions and ephemeral columns.
fn contents(db: &Database) -> Value {
    let columns = json!({"columns": ["i", "r", "b", "s", "e", "is", "m", "sr", "wr", "mr", "im"]});
    let all = json!({"A": columns, "B": {"columns": ["name", "n", "up"]}});
    let spec = MonitorSpec::from_json(db, &all, Version::V1).expect("a monitor");
    serde_json::from_slice(&spec.initial(db)).expect("what a monitor tells is JSON")
}

/// One input.
pub fn check(data: &[u8]) {
    let mut db = empty(5);
    let mut log = Log::default();
    let watched = json!({"A": {}, "B": {"where": [["n", "==", 1]]}});
    let specs = [Version::V1, Version::V2, Version::V3].map(|version| {
        let requests = if version == Version::V1 { json!({"A": {}}) } else { watched.clone() };
        MonitorSpec::from_json(&db, &requests, version).expect("a monitor")
    });
    for line in data.split(|byte| *byte == b'\n').take(16) {
        let Ok(json) = ovsdb_data::json::parse(line) else { continue };
        let Some(operations) = json.as_array() else { continue };
        let request = Request {
            wall_ms: 1,
            elapsed_ms: 0,
            read_only: false,
            owns_lock: &|name| name == "mine",
            rbac: None,
            whole_columns: false,
        };
        if let ovsdb::execute::Execution::Done { results, changes, .. } =
            execute(&mut db, operations, &request, &mut log)
        {
            serde_json::from_slice::<Value>(&results).expect("results are JSON");
            for changes in changes.iter() {
                for update in specs.iter().filter_map(|spec| spec.update(&db, changes)) {
                    serde_json::from_slice::<Value>(&update).expect("updates are JSON");
                }
            }
        }
    }
    let mut again = empty(6);
    for record in &log.0 {
        load::apply_record(&mut again, record).expect("a record that was written is accepted");
    }
    load::finish(&mut again).expect("references are whole");
    assert_eq!(contents(&db), contents(&again));
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
