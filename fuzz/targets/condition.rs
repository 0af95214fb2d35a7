//! Conditions and mutations, one JSON array a line, on one row: a condition is true of the row or is not, and a mutation
//! leaves a value that its column may hold, or fails.
#![cfg_attr(fuzzing, no_main)]

use ovsdb::condition::Condition;
use ovsdb::mutation::Mutation;
use ovsdb_data::atom::Symbols;
use ovsdb_data::{DatabaseSchema, Datum, Uuid};
use serde_json::Value;
use std::borrow::Cow;

struct NoNames;

impl Symbols for NoNames {
    fn symbol(&mut self, _name: &str) -> Uuid {
        Uuid::ZERO
    }
}

/// One input.
pub fn check(data: &[u8]) {
    let json: Value = serde_json::from_str(include_str!("../world.ovsschema")).expect("JSON");
    let schema = DatabaseSchema::from_json(&json).expect("a schema");
    let table = &schema.tables["A"];
    let mut row: Vec<Datum> = table.default_row();
    for line in data.split(|byte| *byte == b'\n').take(16) {
        let Ok(json) = ovsdb_data::json::parse(line) else { continue };
        if let Ok(condition) = Condition::from_json(table, &json, None) {
            let (all, any) = (
                condition.all(|column| Cow::Borrowed(&row[column])),
                condition.any(|column| Cow::Borrowed(&row[column])),
            );
            assert!(!all || any, "what all clauses say, one says");
        }
        if let Ok(mutation) = Mutation::from_json(table, &json, &mut NoNames) {
            let column = &table.columns[mutation.column];
            let mut value = row[mutation.column].clone();
            if mutation.apply(&mut value, &column.column_type).is_ok() {
                value.check(&column.column_type).expect("a mutation keeps the constraints");
                row[mutation.column] = value;
            }
        }
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
