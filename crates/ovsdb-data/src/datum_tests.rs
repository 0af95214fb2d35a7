use super::*;
use serde_json::json;

fn column_type(value: Value) -> ColumnType {
    ColumnType::from_json(&value).unwrap()
}

fn set_of(kind: &str) -> ColumnType {
    column_type(json!({"key": kind, "min": 0, "max": "unlimited"}))
}

#[test]
fn json_round_trip() {
    let check = |t: Value, value: &str| {
        let t = column_type(t);
        let datum = Datum::from_json(&serde_json::from_str(value).unwrap(), &t, None).unwrap();
        let mut out = Vec::new();
        datum.write_json(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), value);
        assert_eq!(crate::json::to_string(&datum.to_json()), value);
    };
    check(json!("integer"), "5");
    check(json!("real"), "1.5");
    check(json!({"key": "string", "min": 0, "max": "unlimited"}), r#"["set",[]]"#);
    check(json!({"key": "string", "min": 0, "max": "unlimited"}), r#""a""#);
    check(json!({"key": "string", "min": 0, "max": "unlimited"}), r#"["set",["a","b"]]"#);
    check(json!({"key": "string", "value": "integer", "min": 0, "max": 3}), r#"["map",[["a",1],["b",2]]]"#);
    check(json!("uuid"), r#"["uuid","11111111-1111-1111-1111-111111111111"]"#);
}

#[test]
fn errors() {
    let check = |t: Value, value: Value, expect: &str| {
        let error = Datum::from_json(&value, &column_type(t), None).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    check(json!("integer"), json!("x"), "syntax \"\"x\"\": syntax error: expected integer");
    check(
        json!({"key": "integer", "min": 0, "max": 3}),
        json!(["set", [1, 2, 3, 4]]),
        "syntax \"[\"set\",[1,2,3,4]]\": syntax error: set must have 0 to 3 members but 4 are present",
    );
    check(
        json!({"key": {"type": "integer", "minInteger": 0, "maxInteger": 10}}),
        json!(11),
        "constraint violation: 11 is not in the valid range 0 to 10 (inclusive)",
    );
    check(
        json!({"key": {"type": "string", "enum": ["set", ["a", "b"]]}}),
        json!("z"),
        "constraint violation: z is not one of the allowed values ([a, b])",
    );
    check(json!({"key": "integer", "min": 0, "max": 9}), json!(["set", [1, 1]]), "ovsdb error: set contains duplicate");
}

#[test]
fn differences() {
    let check = |t: ColumnType, old: Value, new: Value, diff: Value| {
        let read = |value: &Value| Datum::from_json(value, &t, None).unwrap();
        let (old, new) = (read(&old), read(&new));
        assert_eq!(old.diff(&new, &t), Datum::diff_from_json(&diff, &t).unwrap());
        assert_eq!(old.apply_diff(&old.diff(&new, &t), &t), new);
    };
    check(ColumnType::from(AtomType::Integer), json!(1), json!(2), json!(2));
    check(set_of("integer"), json!(["set", [1, 2]]), json!(["set", [2, 3]]), json!(["set", [1, 3]]));
    let map = column_type(json!({"key": "string", "value": "string", "min": 0, "max": "unlimited"}));
    check(
        map,
        json!(["map", [["a", "1"], ["b", "2"], ["d", "4"]]]),
        json!(["map", [["b", "3"], ["c", "5"], ["d", "4"]]]),
        json!(["map", [["a", "1"], ["b", "3"], ["c", "5"]]]),
    );
}

#[test]
fn text_round_trip() {
    let check = |t: ColumnType, text: &str, expect: &str| {
        let datum = crate::text::datum_from_str(&t, text, None).unwrap();
        assert_eq!(crate::text::datum_to_string(&datum, &t), expect);
    };
    check(set_of("string"), "[a,b]", "[a, b]");
    check(set_of("string"), "b,a", "[a, b]");
    check(set_of("string"), r#""x y", "true""#, r#"["true", "x y"]"#);
    check(set_of("integer"), "1-3,7", "[1, 2, 3, 7]");
    check(ColumnType::from(AtomType::Boolean), "true", "true");
    let map = column_type(json!({"key": "string", "value": "string", "min": 0, "max": "unlimited"}));
    check(map.clone(), "{a=b, c=\"d e\"}", "{a=b, c=\"d e\"}");
    check(map, "a=b c=d", "{a=b, c=d}");
}

#[test]
fn schema_round_trip() {
    let text = json!({"name": "T", "version": "1.2.3", "tables": {"A": {"columns": {
        "i": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 10}}},
        "e": {"type": {"key": {"type": "string", "enum": ["set", ["a", "b"]]}, "min": 0}},
        "w": {"type": {"key": {"type": "uuid", "refTable": "A", "refType": "weak"}, "min": 0, "max": "unlimited"}}},
        "isRoot": true, "maxRows": 6, "indexes": [["i"]]},
        "B": {"columns": {"x": {"type": "string", "mutable": false}}}}});
    let schema = crate::DatabaseSchema::from_json(&text).unwrap();
    assert_eq!(schema.to_json(), text);
}
