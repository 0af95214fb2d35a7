//! Random transactions on a small database: its log, and replicas that are told by each kind of monitor, hold what it holds.

use idl::{Compare, Condition, Options, Replica};
use ovsdb::execute::{Execution, Request, execute};
use ovsdb::log_file::{LogReader, Magic, frame};
use ovsdb::monitor::{MonitorSpec, Version};
use ovsdb::{Database, Storage, load};
use ovsdb_data::{DatabaseSchema, OvsdbError, Uuid};
use proptest::prelude::*;
use serde_json::{Value, json};
use session::Message;
use std::collections::BTreeMap;

const SCHEMA: &str = include_str!("../../../fuzz/world.ovsschema");

#[derive(Default)]
struct Log(Vec<u8>);

impl Storage for Log {
    fn append(&mut self, record: &[u8], _durable: bool) -> Result<(), OvsdbError> {
        frame(&mut self.0, Magic::Standalone, record);
        Ok(())
    }
}

/// One client: how it watches, and what it was told.
struct Client {
    replica: Replica,
    spec: MonitorSpec,
    /// Condition on the column `i` of table `A`.
    over: Option<i64>,
}

impl Client {
    fn new(db: &Database, version: Version, over: Option<i64>) -> Client {
        let mut options = Options::default();
        let condition = over.map(|n| Condition::no_row().or("i", Compare::Greater, &n.into()));
        options.conditions.extend(condition.map(|condition| ("A".to_string(), condition)));
        let mut replica = Replica::new("World", options);
        replica.connected_with((**db.schema()).clone());
        // The replica asks for version 3 first; who serves only older ones says so.
        loop {
            let Some(Message::Request { id, method, params }) = replica.poll_output() else { panic!("no request") };
            let asked = match method.as_str() {
                "monitor" => Version::V1,
                "monitor_cond" => Version::V2,
                _ => Version::V3,
            };
            if asked != version {
                replica.input(Message::Error { id, error: "unknown method".into() }).unwrap();
                continue;
            }
            let spec = MonitorSpec::from_json(db, &params[2], version).unwrap();
            let rows: Value = serde_json::from_slice(&spec.initial(db)).unwrap();
            let zero = Uuid::ZERO.to_string();
            let result = if version == Version::V3 { json!([false, zero, rows]) } else { rows };
            replica.input(Message::Reply { id, result }).unwrap();
            return Client { replica, spec, over };
        }
    }

    fn tell(&mut self, updates: Vec<u8>) {
        let updates: Value = serde_json::from_slice(&updates).unwrap();
        let (method, params) = match self.spec.version {
            Version::V1 => ("update", json!(["replica", updates])),
            Version::V2 => ("update2", json!(["replica", updates])),
            Version::V3 => ("update3", json!(["replica", "x", updates])),
        };
        self.replica.input(Message::Notification { method: method.into(), params }).unwrap();
    }

    fn check(&self, db: &Database) {
        for (number, table) in db.tables().iter().enumerate() {
            let i = table.schema.column_number("i");
            let shown = |row: &[ovsdb_data::Datum]| match (self.over, i) {
                (Some(n), Some(i)) => row[i].scalar().and_then(|a| a.as_integer()).is_some_and(|value| value > n),
                _ => true,
            };
            let expect: BTreeMap<Uuid, _> = table
                .rows()
                .map(|(uuid, row)| (uuid, db.unpack(number, uuid, row)))
                .filter(|(_, row)| shown(row))
                .map(|(uuid, row)| (uuid, row[2..].to_vec()))
                .collect();
            let rows = self.replica.rows(&table.schema.name);
            let got: BTreeMap<Uuid, _> = rows.map(|row| (row.uuid(), row.columns()[2..].to_vec())).collect();
            assert_eq!(got, expect, "{} {:?}", table.schema.name, self.spec.version);
        }
    }
}

fn condition() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!([])),
        (0..6i64).prop_map(|n| json!([["i", "==", n]])),
        (0..6i64).prop_map(|n| json!([["i", "<", n], ["b", "==", false]])),
        (0..3i64).prop_map(|n| json!([["is", "includes", n]])),
    ]
}

fn columns() -> impl Strategy<Value = Value> {
    let set =
        prop::collection::btree_set(0..5i64, 0..4).prop_map(|s| json!(["set", s.into_iter().collect::<Vec<_>>()]));
    let map = prop::collection::btree_map("[xyz]", 0..4i64, 0..4)
        .prop_map(|m| json!(["map", m.into_iter().map(|(k, v)| json!([k, v])).collect::<Vec<_>>()]));
    let e = prop::sample::select(vec!["", "one", "two"]);
    (0..6i64, any::<bool>(), "[a-c]{0,3}", e, set, map)
        .prop_map(|(i, b, s, e, is, m)| json!({"i": i, "b": b, "s": s, "e": e, "is": is, "m": m, "ep": s}))
}

fn operation() -> impl Strategy<Value = Value> {
    let mutation = prop_oneof![
        (-2..3i64).prop_map(|n| json!(["i", "+=", n])),
        (0..5i64).prop_map(|n| json!(["is", "insert", n])),
        (0..5i64).prop_map(|n| json!(["is", "delete", n])),
        ("[xyz]", 0..4i64).prop_map(|(k, v)| json!(["m", "insert", ["map", [[k, v]]]])),
        "[xyz]".prop_map(|k| json!(["m", "delete", ["set", [k]]])),
        Just(json!(["sr", "insert", ["set", [["named-uuid", "b"]]]])),
        Just(json!(["wr", "insert", ["set", [["named-uuid", "b"]]]])),
    ];
    prop_oneof![
        3 => columns().prop_map(|row| json!({"op": "insert", "table": "A", "row": row})),
        2 => (condition(), columns()).prop_map(|(w, row)| json!({"op": "update", "table": "A", "where": w, "row": row})),
        3 => (condition(), mutation)
            .prop_map(|(w, m)| json!({"op": "mutate", "table": "A", "where": w, "mutations": [m]})),
        1 => condition().prop_map(|w| json!({"op": "delete", "table": "A", "where": w})),
        1 => condition().prop_map(|w| {
            json!({"op": "update", "table": "A", "where": w, "row": {"sr": ["set", []]}})
        }),
        1 => Just(json!({"op": "update", "table": "B", "where": [], "row": {"up": ["set", []]}})),
        1 => Just(json!({"op": "abort"})),
    ]
}

/// Each begins with a row of `B` that the others may name.
fn transaction() -> impl Strategy<Value = Vec<Value>> {
    ("[a-z]{3}", 0..3i64, prop::collection::vec(operation(), 1..4)).prop_map(|(name, n, operations)| {
        let b = json!({"op": "insert", "table": "B", "uuid-name": "b", "row": {"name": name, "n": n}});
        std::iter::once(b).chain(operations).collect()
    })
}

fn empty(seed: u8) -> Database {
    Database::new(DatabaseSchema::from_json(&serde_json::from_str(SCHEMA).unwrap()).unwrap(), [seed; 32])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn everybody_holds_the_same(transactions in prop::collection::vec(transaction(), 1..12), late in 0..12usize) {
        let mut db = empty(5);
        let mut log = Log::default();
        frame(&mut log.0, Magic::Standalone, SCHEMA.replace('\n', " ").as_bytes());
        let ways = [(Version::V1, None), (Version::V2, None), (Version::V3, None), (Version::V2, Some(2)), (Version::V3, Some(0))];
        let mut clients: Vec<Client> = ways.iter().map(|(version, over)| Client::new(&db, *version, *over)).collect();
        for (n, operations) in transactions.iter().enumerate() {
            if n == late {
                clients.extend(ways.iter().map(|(version, over)| Client::new(&db, *version, *over)));
            }
            let before = db.last_id();
            let request = Request {
                wall_ms: 1,
                elapsed_ms: 0,
                read_only: false,
                owns_lock: &|_| false,
                rbac: None,
                whole_columns: n % 4 == 3,
            };
            let Execution::Done { changes, .. } = execute(&mut db, operations, &request, &mut log) else { continue };
            let Some(changes) = changes else { continue };
            for client in &mut clients {
                if let Some(update) = client.spec.update(&db, &changes) {
                    // Who was away for one transaction is told the same as who was there.
                    let caught_up = client.spec.catch_up(&db, before);
                    if let (Version::V3, Some(caught_up)) = (client.spec.version, caught_up) {
                        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
                        prop_assert_eq!(parse(&caught_up), parse(&update));
                    }
                    client.tell(update);
                }
                client.check(&db);
            }
        }
        let read = load::read(LogReader::new(log.0.as_slice(), "x.db").unwrap(), [6; 32]).unwrap();
        prop_assert!(read.damage.is_none(), "{:?}", read.damage);
        for (number, table) in db.tables().iter().enumerate() {
            let again = &read.db.tables()[number];
            prop_assert_eq!(table.len(), again.len());
            for (uuid, row) in table.rows() {
                let (ours, theirs) = (db.unpack(number, uuid, row), again.get(&uuid).map(|row| read.db.unpack(number, uuid, row)));
                for (n, column) in table.schema.own_columns().filter(|(_, column)| column.persistent) {
                    prop_assert_eq!(Some(&ours[n]), theirs.as_ref().map(|row| &row[n]), "{}", &column.name);
                }
            }
        }
    }
}
