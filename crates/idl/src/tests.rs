//! The replica against the messages of a server.

use crate::typed::Table;
use crate::vswitch::{Bridge, BridgeColumns, OpenVSwitch, OpenVSwitchColumns, PortColumns};
use crate::{Change, Compare, Condition, NewRow, Options, Order, Outcome, Replica, Track, Txn};
use ovsdb_data::{Datum, Uuid};
use serde_json::{Value, json};
use session::Message;

const NO_TXN: &str = "00000000-0000-0000-0000-000000000000";

fn schema() -> Value {
    json!({"name": "D", "version": "1.0.0", "tables": {"T": {"isRoot": true, "columns": {
        "name": {"type": "string"}, "n": {"type": {"key": "integer", "min": 0, "max": "unlimited"}}}}}})
}

fn live() -> Replica {
    let mut r = Replica::new("D", Options { track: Track::Everything, ..Options::default() });
    r.connected();
    answer(&mut r, schema());
    let u = "11111111-1111-4111-8111-111111111111";
    answer(&mut r, json!([false, NO_TXN, {"T": {u: {"initial": {"name": "a", "n": ["set", [1, 2]]}}}}]));
    r
}

fn answer(r: &mut Replica, result: Value) {
    let Some(Message::Request { id, .. }) = r.poll_output() else { panic!("no request") };
    r.input(Message::Reply { id, result }).unwrap();
}

#[test]
fn follows_changes() {
    let mut r = live();
    assert!(r.is_live());
    let row = r.only_row("T").unwrap();
    assert_eq!((row.str("name"), row.ints("n").collect::<Vec<_>>()), (Some("a"), vec![1, 2]));
    let u = row.uuid().to_string();
    let update = json!(["replica", "x", {"T": {u.as_str(): {"modify": {"n": ["set", [2, 3]]}}}}]);
    r.input(Message::Notification { method: "update3".into(), params: update }).unwrap();
    assert_eq!(r.only_row("T").unwrap().ints("n").collect::<Vec<_>>(), [1, 3]);
    let changes = r.take_changes();
    assert_eq!((changes.len(), changes[0].change), (1, Change::Inserted), "told once, as what came of it");
    let update = json!(["replica", "y", {"T": {u: {"delete": null}}}]);
    r.input(Message::Notification { method: "update3".into(), params: update }).unwrap();
    assert!(r.only_row("T").is_none());
}

#[test]
fn transactions_have_outcomes() {
    let mut r = live();
    let id = r.transact(Txn::new());
    answer(&mut r, json!([{"count": 1}, {"error": "constraint violation"}]));
    assert_eq!(r.poll_outcome(), Some((id, Outcome::Failed(json!({"error": "constraint violation"})))));
    let id = r.transact(Txn::new());
    r.disconnected();
    assert_eq!(r.poll_outcome(), Some((id, Outcome::Unknown)));
    assert!(r.only_row("T").is_some(), "rows outlive a lost connection");
}

#[test]
fn falls_back_to_old_servers() {
    let mut r = Replica::new("D", Options::default());
    r.connected();
    answer(&mut r, schema());
    for _ in 0..2 {
        let Some(Message::Request { id, .. }) = r.poll_output() else { panic!() };
        r.input(Message::Error { id, error: "unknown method".into() }).unwrap();
    }
    let u = "11111111-1111-4111-8111-111111111111";
    answer(&mut r, json!({"T": {u: {"new": {"name": "old"}}}}));
    assert_eq!(r.only_row("T").unwrap().str("name"), Some("old"));
}

/// A replica of the switch's database, live, with one bridge `br0`.
fn switch(options: Options) -> Replica {
    let text = include_str!("../../../schema/vswitch.ovsschema");
    let mut r = Replica::new("Open_vSwitch", options);
    r.connected();
    answer(&mut r, serde_json::from_str(text).unwrap());
    let rows = json!({
        "Open_vSwitch": {ROOT: {"initial": {"bridges": ["uuid", BR0], "next_cfg": 3}}},
        "Bridge": {BR0: {"initial": {"name": "br0", "other_config": ["map", [["hwaddr", "x"]]], "flood_vlans": ["set", [1, 2]]}}},
    });
    answer(&mut r, json!([false, "t1", rows]));
    r
}

const ROOT: &str = "11111111-1111-4111-8111-111111111111";
const BR0: &str = "21111111-1111-4111-8111-111111111111";
const BR1: &str = "31111111-1111-4111-8111-111111111111";

fn update(r: &mut Replica, txn: &str, updates: Value) {
    let params = json!(["replica", txn, updates]);
    r.input(Message::Notification { method: "update3".into(), params }).unwrap();
}

#[test]
fn typed_rows() {
    let r = switch(Options::default());
    let root = r.only::<OpenVSwitch>().unwrap();
    assert_eq!((root.next_cfg(), root.db_version(), root.statistics().count()), (3, None, 0));
    let bridges: Vec<Bridge> = root.bridges().collect();
    assert_eq!(bridges.iter().map(|b| b.name()).collect::<Vec<_>>(), ["br0"]);
    assert_eq!(bridges[0].other_config_get("hwaddr"), Some("x"));
    assert_eq!(bridges[0].flood_vlans().collect::<Vec<_>>(), [1, 2]);
    assert_eq!((bridges[0].fail_mode(), bridges[0].stp_enable(), bridges[0].netflow().is_none()), (None, false, true));
}

#[test]
fn typed_transactions() {
    let mut r = switch(Options::default());
    let mut txn = Txn::new();
    let bridge = r.get::<Bridge>(Uuid::parse(BR0).unwrap()).unwrap();
    let port: NewRow = txn.insert_row(PortColumns::new().name("p1").tag(Some(5)).trunks([1, 2]));
    txn.verify_row(bridge.row(), &["name"]);
    txn.update_row(
        bridge.uuid(),
        BridgeColumns::new().ports([&port]).fail_mode(Some("secure")).other_config([("a", "b")]),
    );
    let root = r.only::<OpenVSwitch>().unwrap().uuid();
    txn.update_row(root, OpenVSwitchColumns::new().bridges([bridge]).db_version(None::<&str>));
    r.transact(txn);
    let Some(Message::Request { params, .. }) = r.poll_output() else { panic!() };
    let this = json!([["_uuid", "==", ["uuid", BR0]]]);
    let expect = json!(["Open_vSwitch",
        {"op": "insert", "table": "Port", "uuid-name": "row1",
         "row": {"name": "p1", "tag": ["set", [5]], "trunks": ["set", [1, 2]]}},
        {"op": "wait", "timeout": 0, "table": "Bridge", "where": this, "columns": ["name"], "until": "==",
         "rows": [{"name": "br0"}]},
        {"op": "update", "table": "Bridge", "where": this,
         "row": {"ports": ["set", [["named-uuid", "row1"]]], "fail_mode": ["set", ["secure"]],
                 "other_config": ["map", [["a", "b"]]]}},
        {"op": "update", "table": "Open_vSwitch", "where": [["_uuid", "==", ["uuid", ROOT]]],
         "row": {"bridges": ["set", [["uuid", BR0]]], "db_version": ["set", []]}}]);
    assert_eq!(params, expect);
}

#[test]
fn what_changed_since() {
    let mut r = switch(Options { track: Track::Tables(["Bridge".to_string()].into()), ..Options::default() });
    assert_eq!(r.take_changes().len(), 1);
    update(
        &mut r,
        "t2",
        json!({"Bridge": {BR0: {"modify": {"name": "new", "flood_vlans": ["set", [2, 3]]}}},
        "Open_vSwitch": {ROOT: {"modify": {"next_cfg": 4}}}}),
    );
    update(&mut r, "t3", json!({"Bridge": {BR0: {"modify": {"flood_vlans": ["set", [2, 3]]}}, BR1: {"insert": {}}}}));
    update(&mut r, "t4", json!({"Bridge": {BR1: {"delete": null}}}));
    let changes = r.take_changes();
    assert_eq!(changes.len(), 1, "a row that came and went is not told of");
    let only = &changes[0];
    assert_eq!(
        (only.change, only.columns.iter().map(String::as_str).collect::<Vec<_>>()),
        (Change::Modified, vec!["name"])
    );
    let schema = r.table("Bridge").unwrap();
    assert_eq!(only.before(schema, "name").and_then(Datum::as_str), Some("br0"));
    assert!(r.take_changes().is_empty());
}

#[test]
fn indexes_follow_rows() {
    let mut r = switch(Options::default());
    let by_name = r.add_index("Bridge", &[("datapath_type", Order::Ascending), ("name", Order::Descending)]);
    update(&mut r, "t2", json!({"Bridge": {BR1: {"insert": {"name": "br1"}}}}));
    let names = |r: &Replica, first: &[Datum], last| -> Vec<String> {
        r.range(by_name, first, last).filter_map(|row| row.str("name").map(String::from)).collect()
    };
    assert_eq!(names(&r, &[], None), ["br1", "br0"]);
    let found: Vec<Uuid> = r.find(by_name, &["".into(), "br0".into()]).map(|row| row.uuid()).collect();
    assert_eq!(found, [Uuid::parse(BR0).unwrap()]);
    update(&mut r, "t3", json!({"Bridge": {BR1: {"modify": {"datapath_type": "netdev"}}, BR0: {"delete": null}}}));
    assert_eq!(names(&r, &[], None), ["br1"]);
    assert!(r.find(by_name, &["".into()]).next().is_none());
}

#[test]
fn conditions() {
    let only = |name: &str| Condition::no_row().or("name", Compare::Equal, &name.into());
    let mut options = Options::default();
    options.conditions.insert("Bridge".into(), only("br0"));
    let mut r = Replica::new("Open_vSwitch", options);
    r.connected();
    answer(&mut r, serde_json::from_str(include_str!("../../../schema/vswitch.ovsschema")).unwrap());
    let Some(Message::Request { id, params, .. }) = r.poll_output() else { panic!() };
    assert_eq!(params[2]["Bridge"][0]["where"], json!([["name", "==", "br0"]]));
    assert_eq!(params[2]["Port"][0].get("where"), None);
    // What is asked before the server has answered goes out after.
    r.set_condition("Bridge", only("br1"));
    r.set_condition("Port", Condition::no_row());
    assert!(r.poll_output().is_none() && !r.has_conditions());
    r.input(Message::Reply { id, result: json!([false, "t1", {}]) }).unwrap();
    let Some(Message::Request { id, method, params }) = r.poll_output() else { panic!() };
    assert_eq!(method, "monitor_cond_change");
    let expect = json!({"Bridge": [{"where": [["name", "==", "br1"]]}], "Port": [{"where": [false]}]});
    assert_eq!(params, json!(["replica", "replica", expect]));
    assert!(!r.has_conditions());
    r.input(Message::Reply { id, result: json!({}) }).unwrap();
    assert!(r.has_conditions());
    // A lost connection while they change: what has been missed cannot be told, so all is asked for.
    r.set_condition("Port", Condition::every_row());
    r.disconnected();
    r.connected();
    answer(&mut r, serde_json::from_str(include_str!("../../../schema/vswitch.ovsschema")).unwrap());
    let Some(Message::Request { params, .. }) = r.poll_output() else { panic!() };
    assert_eq!((&params[3], &params[2]["Port"][0]["where"]), (&json!(NO_TXN), &json!([true])));
}

#[test]
fn verified_rows_that_changed() {
    let mut r = live();
    let id = r.transact(Txn::new());
    answer(&mut r, json!([{"error": "timed out", "details": "\"wait\" timed out"}, null]));
    assert_eq!(r.take_outcome(id), Some(Outcome::TryAgain));
}

#[test]
fn coming_back_asks_for_what_was_missed() {
    let mut r = switch(Options { track: Track::Everything, ..Options::default() });
    r.take_changes();
    r.disconnected();
    r.connected();
    answer(&mut r, serde_json::from_str(include_str!("../../../schema/vswitch.ovsschema")).unwrap());
    let Some(Message::Request { id, params, .. }) = r.poll_output() else { panic!() };
    assert_eq!(params[3], "t1");
    let missed = json!({"Bridge": {BR0: {"modify": {"name": "new"}}}});
    r.input(Message::Reply { id, result: json!([true, "t2", missed]) }).unwrap();
    assert_eq!(r.take_changes().len(), 1);
    assert_eq!(r.all::<Bridge>().map(|b| b.name()).collect::<Vec<_>>(), ["new"]);
    // A server that remembers less sends everything; what is as it was is not told as a change.
    r.disconnected();
    r.connected();
    answer(&mut r, serde_json::from_str(include_str!("../../../schema/vswitch.ovsschema")).unwrap());
    let rows = json!({"Open_vSwitch": {ROOT: {"initial": {"bridges": ["uuid", BR0], "next_cfg": 3}}},
        "Bridge": {BR0: {"initial": {"name": "other", "other_config": ["map", [["hwaddr", "x"]]], "flood_vlans": ["set", [1, 2]]}}}});
    answer(&mut r, json!([false, "t9", rows]));
    let changes = r.take_changes();
    assert_eq!((changes.len(), changes[0].columns.len()), (1, 1));
}
