//! Database schemas: what is accepted means the same after it was written and read again.
#![cfg_attr(fuzzing, no_main)]

use ovsdb_data::DatabaseSchema;

/// One input.
pub fn check(data: &[u8]) {
    let Ok(json) = ovsdb_data::json::parse(data) else { return };
    let Ok(schema) = DatabaseSchema::from_json(&json) else { return };
    let written = schema.to_json();
    let again = DatabaseSchema::from_json(&written).expect("a schema that was written is accepted");
    assert_eq!(again.to_json(), written);
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
