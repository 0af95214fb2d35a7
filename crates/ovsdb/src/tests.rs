//! Whole transactions as data: operations in, results out.

use crate::database::Database;
use crate::execute::{Execution, Request, execute};
use crate::load;
use crate::log_file::{Magic, frame};
use crate::monitor::{MonitorSpec, Version};
use crate::storage::Storage;
use ovsdb_data::{DatabaseSchema, OvsdbError};
use serde_json::{Value, json};

fn schema() -> Value {
    json!({"name": "T", "version": "1.0.0", "tables": {
        "A": {"isRoot": true, "maxRows": 6, "columns": {
            "i": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 10}}},
            "s": {"type": "string"},
            "is": {"type": {"key": "integer", "min": 0, "max": 3}},
            "m": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
            "sr": {"type": {"key": {"type": "uuid", "refTable": "B"}, "min": 0, "max": "unlimited"}},
            "wr": {"type": {"key": {"type": "uuid", "refTable": "B", "refType": "weak"}, "min": 0, "max": "unlimited"}},
            "im": {"type": "integer", "mutable": false},
            "ep": {"type": "string", "ephemeral": true}}},
        "B": {"columns": {"name": {"type": "string"}, "n": {"type": "integer"}}, "indexes": [["name"]]}}})
}

#[derive(Default)]
struct Log(Vec<Vec<u8>>, bool);

impl Storage for Log {
    fn append(&mut self, record: &[u8], _durable: bool) -> Result<(), OvsdbError> {
        if self.1 {
            return Err(OvsdbError::new("I/O error", "disk full"));
        }
        self.0.push(record.to_vec());
        Ok(())
    }
}

struct World {
    db: Database,
    log: Log,
}

impl World {
    fn new() -> World {
        let schema = DatabaseSchema::from_json(&schema()).unwrap();
        World { db: Database::new(schema, [5; 32]), log: Log::default() }
    }

    fn run(&mut self, operations: &str) -> Value {
        let operations: Vec<Value> = serde_json::from_str(&format!("[{operations}]")).unwrap();
        let request = Request {
            wall_ms: 1,
            elapsed_ms: 0,
            read_only: false,
            owns_lock: &|name| name == "mine",
            rbac: None,
            whole_columns: false,
        };
        match execute(&mut self.db, &operations, &request, &mut self.log) {
            Execution::Done { results, .. } => serde_json::from_slice(&results).unwrap(),
            Execution::Waiting(timeout) => json!({"waiting": timeout}),
        }
    }

    /// Runs operations and compares the last result.
    fn check(&mut self, operations: &str, expect: Value) {
        let results = self.run(operations);
        let last = results.as_array().and_then(|r| r.last()).unwrap_or(&results);
        assert_eq!(*last, expect, "{operations}");
    }

    fn details(&mut self, operations: &str, expect: &str) {
        let results = self.run(operations);
        let last = results.as_array().unwrap().last().unwrap();
        assert!(last["details"].as_str().unwrap_or_default().contains(expect), "{operations}: {last}");
    }

    /// The database as its own log gives it.
    fn reload(&self) -> Database {
        let mut db = Database::new(DatabaseSchema::from_json(&schema()).unwrap(), [6; 32]);
        for record in &self.log.0 {
            load::apply_record(&mut db, record).unwrap();
        }
        load::finish(&mut db).unwrap();
        db
    }

    fn assert_log_is_complete(&self) {
        let again = self.reload();
        for (number, table) in self.db.tables().iter().enumerate() {
            assert_eq!(table.len(), again.tables()[number].len());
            for (uuid, row) in table.rows() {
                let ours = self.db.unpack(number, uuid, row);
                let theirs = again.unpack(number, uuid, again.tables()[number].get(&uuid).unwrap());
                for (column, (a, b)) in table.schema.columns.iter().zip(ours.iter().zip(&theirs)) {
                    assert!(a == b || !column.persistent, "{}", column.name);
                }
            }
        }
        let ids = |db: &Database| {
            let mut refs: Vec<_> = db.tables().iter().map(|t| t.strong_references.len()).collect();
            refs.push(db.weak_references.len());
            refs
        };
        assert_eq!(ids(&self.db), ids(&again));
    }
}

#[test]
fn references_keep_and_release() {
    let mut w = World::new();
    w.run(
        r#"{"op":"insert","table":"B","row":{"name":"b1"},"uuid-name":"b"},
           {"op":"insert","table":"A","row":{"i":1,"sr":["named-uuid","b"],"wr":["named-uuid","b"]}}"#,
    );
    w.check(r#"{"op":"select","table":"B","where":[],"columns":["name"]}"#, json!({"rows": [{"name": "b1"}]}));
    w.details(r#"{"op":"delete","table":"B","where":[]}"#, "because of 1 remaining reference(s)");
    w.assert_log_is_complete();
    w.check(r#"{"op":"update","table":"A","where":[],"row":{"sr":["set",[]]}}"#, json!({"count": 1}));
    w.check(r#"{"op":"select","table":"B","where":[],"columns":["name"]}"#, json!({"rows": []}));
    w.check(r#"{"op":"select","table":"A","where":[],"columns":["wr"]}"#, json!({"rows": [{"wr": ["set", []]}]}));
    w.assert_log_is_complete();
    w.check(r#"{"op":"insert","table":"B","row":{"name":"lost"}},{"op":"select","table":"B","where":[],"columns":["name"]}"#,
        json!({"rows": [{"name": "lost"}]}));
    w.check(r#"{"op":"select","table":"B","where":[]}"#, json!({"rows": []}));
}

#[test]
fn indexes_are_unique_and_used() {
    let mut w = World::new();
    let two = |a: &str, b: &str| {
        format!(
            r#"{{"op":"insert","table":"B","row":{{"name":"{a}"}},"uuid-name":"a"}},
               {{"op":"insert","table":"B","row":{{"name":"{b}"}},"uuid-name":"b"}},
               {{"op":"insert","table":"A","row":{{"sr":["set",[["named-uuid","a"],["named-uuid","b"]]]}}}}"#
        )
    };
    w.details(&two("x", "x"), "identical values (x) for index on column \"name\"");
    w.run(&two("x", "y"));
    w.check(r#"{"op":"update","table":"B","where":[["name","==","y"]],"row":{"n":7}}"#, json!({"count": 1}));
    w.details(r#"{"op":"update","table":"B","where":[["name","==","y"]],"row":{"name":"x"}}"#, "was not modified");
    // Swapping the values of two rows within a transaction is no clash.
    w.check(
        r#"{"op":"update","table":"B","where":[["n","==",7]],"row":{"name":"x"}},
           {"op":"update","table":"B","where":[["n","==",0]],"row":{"name":"y"}}"#,
        json!({"count": 1}),
    );
    w.check(r#"{"op":"select","table":"B","where":[["name","==","x"]],"columns":["n"]}"#, json!({"rows": [{"n": 7}]}));
    w.assert_log_is_complete();
}

#[test]
fn mutations() {
    let mut w = World::new();
    w.run(r#"{"op":"insert","table":"A","row":{"i":3,"is":["set",[1,2]]}}"#);
    let mutate = |m: &str| format!(r#"{{"op":"mutate","table":"A","where":[],"mutations":[{m}]}}"#);
    w.check(&mutate(r#"["i","+=",4],["is","insert",3],["m","insert",["map",[["k","v"]]]]"#), json!({"count": 1}));
    w.check(
        r#"{"op":"select","table":"A","where":[],"columns":["i","is","m"]}"#,
        json!({"rows": [{"i": 7, "is": ["set", [1, 2, 3]], "m": ["map", [["k", "v"]]]}]}),
    );
    w.details(&mutate(r#"["i","+=",4]"#), "11 is not in the valid range 0 to 10 (inclusive)");
    w.details(&mutate(r#"["i","/=",0]"#), "Division by zero.");
    w.details(&mutate(r#"["is","insert",9]"#), "Attempted to store 4 elements in set of up to 3 integers.");
    w.details(&mutate(r#"["is","*=",0]"#), "contains duplicates");
    w.details(&mutate(r#"["im","+=",1]"#), "Cannot mutate immutable column");
    w.check(&mutate(r#"["m","delete",["set",["k"]]],["is","delete",["set",[1,2,9]]]"#), json!({"count": 1}));
    w.check(
        r#"{"op":"select","table":"A","where":[["i",">=",7]],"columns":["is","m"]}"#,
        json!({"rows": [{"is": 3, "m": ["map", []]}]}),
    );
    w.assert_log_is_complete();
}

#[test]
fn waits_locks_and_limits() {
    let mut w = World::new();
    let wait = |timeout: &str| {
        format!(r#"{{"op":"wait","table":"A","where":[],"columns":["i"],"rows":[{{"i":1}}],"until":"=="{timeout}}}"#)
    };
    w.check(&wait(r#","timeout":0"#), json!({"error": "timed out", "details": "\"where\" clause test failed"}));
    w.check(&wait(r#","timeout":9"#), json!({"waiting": 9}));
    w.check(&wait(""), json!({"waiting": null}));
    w.run(r#"{"op":"insert","table":"A","row":{"i":1}}"#);
    w.check(&wait(""), json!({}));
    w.check(r#"{"op":"assert","lock":"mine"}"#, json!({}));
    w.details(r#"{"op":"assert","lock":"other"}"#, "Asserted lock other not held.");
    let insert = r#"{"op":"insert","table":"A","row":{}}"#;
    w.details(&[insert; 6].join(","), "to contain 7 rows, greater than the schema-defined limit of 6 row(s)");
    assert_eq!(w.db.n_rows(), 1);
}

#[test]
fn a_full_disk_changes_nothing() {
    let mut w = World::new();
    w.log.1 = true;
    w.details(r#"{"op":"insert","table":"A","row":{"i":1}}"#, "disk full");
    assert_eq!(w.db.n_rows(), 0);
    // What is not persistent needs no disk.
    w.log.1 = false;
    w.run(r#"{"op":"insert","table":"A","row":{"i":1}}"#);
    w.log.1 = true;
    w.check(r#"{"op":"update","table":"A","where":[],"row":{"ep":"x"}}"#, json!({"count": 1}));
}

#[test]
fn monitors_tell_what_changed() {
    let mut w = World::new();
    let requests = json!({"A": [{"columns": ["i", "is"], "where": [["i", ">", 3]]}]});
    let spec = MonitorSpec::from_json(&w.db, &requests, Version::V2).unwrap();
    let plain = MonitorSpec::from_json(&w.db, &json!({"A": {"columns": ["i", "is"]}}), Version::V1).unwrap();
    let mut check = |operations: &str, expect: &str, expect_v1: &str| {
        w.run(operations);
        let changes = w.db.history.back().unwrap();
        let text = |spec: &MonitorSpec| {
            let update = spec.update(&w.db, changes).unwrap_or_default();
            let update = String::from_utf8(update).unwrap();
            update.replace("a1111111-1111-1111-1111-111111111111", "U")
        };
        assert_eq!(text(&spec), expect, "{operations}");
        assert_eq!(text(&plain), expect_v1, "{operations}");
    };
    check(
        r#"{"op":"insert","table":"A","row":{"i":3},"uuid":"a1111111-1111-1111-1111-111111111111"}"#,
        "",
        r#"{"A":{"U":{"new":{"i":3,"is":["set",[]]}}}}"#,
    );
    check(
        r#"{"op":"update","table":"A","where":[],"row":{"i":4}}"#,
        r#"{"A":{"U":{"insert":{"i":4}}}}"#,
        r#"{"A":{"U":{"old":{"i":3},"new":{"i":4,"is":["set",[]]}}}}"#,
    );
    check(
        r#"{"op":"update","table":"A","where":[],"row":{"is":["set",[1,2]]}}"#,
        r#"{"A":{"U":{"modify":{"is":["set",[1,2]]}}}}"#,
        r#"{"A":{"U":{"old":{"is":["set",[]]},"new":{"i":4,"is":["set",[1,2]]}}}}"#,
    );
    check(r#"{"op":"update","table":"A","where":[],"row":{"s":"x"}}"#, "", "");
    check(
        r#"{"op":"update","table":"A","where":[],"row":{"is":["set",[2,3]]}}"#,
        r#"{"A":{"U":{"modify":{"is":["set",[1,3]]}}}}"#,
        r#"{"A":{"U":{"old":{"is":["set",[1,2]]},"new":{"i":4,"is":["set",[2,3]]}}}}"#,
    );
    check(
        r#"{"op":"delete","table":"A","where":[]}"#,
        r#"{"A":{"U":{"delete":null}}}"#,
        r#"{"A":{"U":{"old":{"i":4,"is":["set",[2,3]]}}}}"#,
    );
}

#[test]
fn a_snapshot_shows_one_moment() {
    let mut w = World::new();
    for i in 0..5 {
        w.run(&format!(r#"{{"op":"insert","table":"A","row":{{"i":{i}}}}}"#));
    }
    w.db.begin_snapshot();
    let mut seen = Vec::new();
    let mut step = 0;
    loop {
        match w.db.snapshot_step(1) {
            crate::snapshot::SnapshotStep::Done => break,
            crate::snapshot::SnapshotStep::Rows(table, rows) => {
                seen.extend(rows.iter().map(|(uuid, row)| {
                    crate::packed::unpack(&w.db.tables()[table].schema, *uuid, *uuid, row)
                        [w.db.tables()[table].schema.column_number("i").unwrap()]
                    .clone()
                }));
            }
        }
        step += 1;
        match step {
            1 => drop(w.run(r#"{"op":"update","table":"A","where":[["i","==",3]],"row":{"i":9}}"#)),
            2 => drop(w.run(
                r#"{"op":"delete","table":"A","where":[["i","==",4]]},{"op":"insert","table":"A","row":{"i":8}}"#,
            )),
            3 => drop(w.run(r#"{"op":"update","table":"A","where":[],"row":{"i":7}}"#)),
            _ => {}
        }
    }
    seen.sort();
    assert_eq!(seen, (0..5).map(ovsdb_data::Datum::from).collect::<Vec<_>>());
}

#[test]
fn bad_records_change_nothing() {
    let mut w = World::new();
    w.run(r#"{"op":"insert","table":"A","row":{"i":1},"uuid":"a1111111-1111-1111-1111-111111111111"}"#);
    for bad in [
        "[1]",
        "{\"a\":",
        r#"{"Z":{}}"#,
        r#"{"A":{"12":{}}}"#,
        r#"{"A":{"b1111111-1111-1111-1111-111111111111":{"i":1},"b1111111-1111-1111-1111-111111111112":{"i":"x"}}}"#,
        r#"{"A":{"b1111111-1111-1111-1111-111111111111":null}}"#,
        r#"{"A":{"a1111111-1111-1111-1111-111111111111":{"zz":1}}}"#,
        r#"{"A":5}"#,
    ] {
        assert!(load::apply_record(&mut w.db, bad.as_bytes()).is_err(), "{bad}");
        assert_eq!(w.db.n_rows(), 1, "{bad}");
    }
    let mut framed = Vec::new();
    frame(&mut framed, Magic::Standalone, b"{}");
    assert!(framed.starts_with(b"OVSDB JSON 3 "));
    assert!(w.log.append(b"{}", false).is_ok());
}

#[test]
fn transactions_that_take_much_memory_are_not_kept_for_those_who_come_back() {
    let mut w = World::new();
    w.run(r#"{"op":"insert","table":"A","row":{"i":1}}"#);
    let known = w.db.last_id();
    w.run(r#"{"op":"update","table":"A","where":[],"row":{"i":2}}"#);
    assert!(w.db.since(known).is_some());
    let huge = "x".repeat(crate::database::HISTORY_BYTES / 2);
    w.run(&format!(r#"{{"op":"update","table":"A","where":[],"row":{{"s":"{huge}"}}}}"#));
    assert!(w.db.since(known).is_some());
    w.run(r#"{"op":"update","table":"A","where":[],"row":{"s":"x"}}"#);
    assert!(w.db.since(known).is_none());
    let known = w.db.last_id();
    w.run(r#"{"op":"update","table":"A","where":[],"row":{"i":3}}"#);
    assert!(w.db.since(known).is_some());
}

#[test]
fn an_ephemeral_reference_that_must_be_there_begins_anew() {
    let reference =
        |kind: &str| json!({"type": {"key": {"type": "uuid", "refTable": "B", "refType": kind}}, "ephemeral": true});
    let schema = json!({"name": "T", "version": "1.0.0", "tables": {
        "A": {"isRoot": true, "columns": {"n": {"type": "string"}, "w": reference("weak"), "s": reference("strong")}},
        "B": {"isRoot": true, "columns": {"n": {"type": "string"}}}}});
    let schema = DatabaseSchema::from_json(&schema).unwrap();
    let mut w = World { db: Database::new(schema.clone(), [5; 32]), log: Log::default() };
    w.check(
        r#"{"op":"insert","table":"B","row":{},"uuid-name":"b"},{"op":"insert","table":"A","row":{"w":["named-uuid","b"],"s":["named-uuid","b"]}},{"op":"comment","comment":""}"#,
        json!({}),
    );
    let mut db = Database::new(schema, [6; 32]);
    for record in &w.log.0 {
        load::apply_record(&mut db, record).unwrap();
    }
    load::finish(&mut db).unwrap();
    w.db = db;
    w.check(r#"{"op":"update","table":"A","where":[],"row":{"n":"x"}}"#, json!({"count": 1}));
    w.details(
        r#"{"op":"insert","table":"A","row":{"s":["named-uuid","b"]}},{"op":"insert","table":"B","row":{},"uuid-name":"b"}"#,
        "contained all-zeros UUID (probably as the default value for this column)",
    );
}
