//! Whatever is written is read back the same: datums as JSON, as text and as differences, and schemas.

use crate::schema::Column;
use crate::{Atom, AtomType, BaseType, ColumnType, Constraint, DatabaseSchema, Datum, TableSchema, Uuid, text};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn atom(kind: AtomType) -> BoxedStrategy<Atom> {
    match kind {
        AtomType::Integer => prop_oneof![-5..5i64, any::<i64>()].prop_map(Atom::Integer).boxed(),
        // 15 digits are written, so only what fits them comes back.
        AtomType::Real => (-80_000..80_000i32).prop_map(|n| Atom::Real(f64::from(n) / 8.0)).boxed(),
        AtomType::Boolean => any::<bool>().prop_map(Atom::Boolean).boxed(),
        AtomType::String => {
            let words = prop_oneof![
                "[a-c]{0,2}",
                "[a-z_][a-z0-9_.-]{0,8}",
                "\\PC{0,12}",
                "true|false|[{}\\[\\]=, \"\\\\]{1,4}"
            ];
            words.prop_filter("no null", |s| !s.contains('\0')).prop_map(|s| Atom::string(&s)).boxed()
        }
        AtomType::Uuid => any::<[u8; 16]>().prop_map(|bytes| Atom::Uuid(Uuid::from_random(bytes))).boxed(),
    }
}

fn kind() -> impl Strategy<Value = AtomType> {
    prop::sample::select(vec![AtomType::Integer, AtomType::Real, AtomType::Boolean, AtomType::String, AtomType::Uuid])
}

/// A type without constraints on its atoms.
fn column_type() -> impl Strategy<Value = ColumnType> {
    let base = |atom_type| BaseType { atom_type, constraint: Constraint::None };
    (kind(), prop::option::of(kind()), 0..2u32, prop::sample::select(vec![1, 3, 7, u32::MAX]))
        .prop_map(move |(key, value, n_min, n_max)| ColumnType { key: base(key), value: value.map(base), n_min, n_max })
}

fn datum(column_type: &ColumnType) -> BoxedStrategy<Datum> {
    let (least, most) = (column_type.n_min as usize, column_type.n_max.min(8) as usize);
    let key = column_type.key.atom_type;
    // There are two booleans.
    let most = if key == AtomType::Boolean { most.min(2) } else { most };
    match &column_type.value {
        None => prop::collection::btree_set(atom(key), least..=most)
            .prop_map(|atoms| Datum::set(atoms.into_iter().collect()))
            .boxed(),
        Some(value) => prop::collection::btree_map(atom(key), atom(value.atom_type), least..=most)
            .prop_map(|pairs| Datum::map(pairs.into_iter().collect()))
            .boxed(),
    }
}

fn typed_datum() -> impl Strategy<Value = (ColumnType, Datum)> {
    column_type().prop_flat_map(|t| (Just(t.clone()), datum(&t)))
}

fn constraint(kind: AtomType) -> BoxedStrategy<Constraint> {
    let reference = ("[AB]", any::<bool>()).prop_map(|(table, strong)| {
        Constraint::Reference(table.as_str().into(), if strong { crate::RefKind::Strong } else { crate::RefKind::Weak })
    });
    let some = match kind {
        AtomType::Integer => (-9..0i64, 0..9i64).prop_map(|(low, high)| Constraint::Integer(low, high)).boxed(),
        AtomType::Real => (-9..0i32, 0..9i32).prop_map(|(l, h)| Constraint::Real(l.into(), h.into())).boxed(),
        AtomType::String => (0..3u32, 3..9u32).prop_map(|(low, high)| Constraint::Length(low, high)).boxed(),
        AtomType::Uuid => reference.boxed(),
        AtomType::Boolean => Just(Constraint::None).boxed(),
    };
    let enumeration = prop::collection::btree_set(atom(kind), 1..4)
        .prop_map(|atoms| Constraint::Enum(Arc::new(Datum::set(atoms.into_iter().collect()))));
    match kind {
        AtomType::Uuid => prop_oneof![Just(Constraint::None), some].boxed(),
        _ => prop_oneof![Just(Constraint::None), some, enumeration].boxed(),
    }
}

fn column() -> impl Strategy<Value = Column> {
    let constrained = |t: ColumnType| {
        let value = t.value.clone().map_or(AtomType::Integer, |v| v.atom_type);
        (constraint(t.key.atom_type), constraint(value)).prop_map(move |(key, value)| {
            let mut t = t.clone();
            t.key.constraint = key;
            if let Some(base) = &mut t.value {
                base.constraint = value;
            }
            t
        })
    };
    ("[a-z][a-zA-Z0-9_]{0,5}", any::<bool>(), any::<bool>(), column_type().prop_flat_map(constrained)).prop_map(
        |(name, mutable, persistent, column_type)| {
            let refers = |kind| column_type.bases().any(|b| b.reference().is_some_and(|(_, k)| k == kind));
            let (weak, strong) = (refers(crate::RefKind::Weak), refers(crate::RefKind::Strong));
            // Strong references to tables that are not root tables are never ephemeral.
            Column { name, mutable: mutable || weak, persistent: persistent || strong, column_type }
        },
    )
}

fn table(name: &'static str, root: bool) -> impl Strategy<Value = (String, TableSchema)> {
    let columns = prop::collection::vec(column(), 1..4);
    (columns, prop::option::of(1..100u32)).prop_map(move |(mut columns, rows)| {
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        columns.dedup_by(|a, b| a.name == b.name);
        let mut table = TableSchema::new(name, columns, root);
        table.max_rows = rows.unwrap_or(u32::MAX);
        table.indexes = table.own_columns().filter(|(_, c)| c.persistent).map(|(n, _)| vec![n]).take(1).collect();
        (name.to_string(), table)
    })
}

proptest! {
    #[test]
    fn json((column_type, datum) in typed_datum()) {
        let mut bytes = Vec::new();
        datum.write_json(&mut bytes);
        let json = crate::json::parse(&bytes).unwrap();
        prop_assert_eq!(crate::json::to_string(&datum.to_json()).into_bytes(), bytes);
        prop_assert_eq!(Datum::from_json(&json, &column_type, None).unwrap(), datum);
    }

    #[test]
    fn command_line_text((column_type, datum) in typed_datum()) {
        let written = text::datum_to_string(&datum, &column_type);
        // Nothing at all, or an empty string, is no text that a command could be given.
        if !written.is_empty() {
            prop_assert_eq!(text::datum_from_str(&column_type, &written, None), Ok(datum), "{}", written);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(t in column_type(), text in "\\PC{0,20}|[a-c=,{}\\[\\]\" -]{0,12}") {
        if let Ok(datum) = text::datum_from_str(&t, &text, None) {
            prop_assert!(datum.check(&t).is_ok());
        }
    }

    #[test]
    fn differences((t, old, new) in column_type().prop_flat_map(|t| (Just(t.clone()), datum(&t), datum(&t)))) {
        let diff = old.diff(&new, &t);
        prop_assert_eq!(&old.apply_diff(&diff, &t), &new);
        let mut bytes = Vec::new();
        diff.write_json(&mut bytes);
        let read = Datum::diff_from_json(&crate::json::parse(&bytes).unwrap(), &t).unwrap();
        prop_assert_eq!(&old.apply_diff(&read, &t), &new);
        if t.is_composite() {
            prop_assert_eq!(old == new, diff.is_empty());
        }
    }

    #[test]
    fn schemas(a in table("A", true), b in table("B", false), version in prop::option::of("[0-9]\\.[0-9]{1,2}\\.0")) {
        let tables: BTreeMap<String, TableSchema> = [a, b].into();
        let schema = DatabaseSchema { name: "D".into(), version: version.unwrap_or_default(), cksum: String::new(), tables };
        let json = schema.to_json();
        let read = DatabaseSchema::from_json(&json);
        prop_assert_eq!(read.as_ref().map(DatabaseSchema::to_json), Ok(json));
        prop_assert_eq!(read, Ok(schema));
    }

    #[test]
    fn uuids(bytes: [u8; 16]) {
        let uuid = Uuid::from_random(bytes);
        prop_assert_eq!(Uuid::parse(&uuid.to_string()), Some(uuid));
    }
}
