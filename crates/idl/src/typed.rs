//! What typed rows are made of. The rows themselves are generated from schemas by `build.rs`, into [`crate::vswitch`] and
//! [`crate::vtep`].

pub use crate::row::Row;
use ovsdb_data::{Atom, Datum};
use serde_json::{Value, json};

pub use ovsdb_data::Uuid;

/// Columns by name, as JSON.
pub type Columns = serde_json::Map<String, Value>;

/// A type that reads the rows of one table.
pub trait Table<'a>: Copy {
    /// The table's name.
    const NAME: &'static str;
    /// The names of its columns.
    const COLUMNS: &'static [&'static str];

    /// The row with names for its columns. It must be of the table.
    fn from_row(row: Row<'a>) -> Self;

    /// The row without.
    fn row(&self) -> Row<'a>;

    /// The row's identity.
    fn uuid(&self) -> Uuid {
        self.row().uuid()
    }
}

/// A type that collects columns of one table to be written.
pub trait Write {
    /// The table's name.
    const TABLE: &'static str;

    /// What was collected.
    fn into_columns(self) -> Columns;
}

/// A reference to a row: one that is there, or one that the same transaction inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ref {
    /// A row of the database.
    Row(Uuid),
    /// A row of the transaction, by its name in it.
    New(String),
}

impl Ref {
    /// The JSON form (RFC 7047 §5.1 `<uuid>`, `<named-uuid>`).
    pub fn to_json(&self) -> Value {
        match self {
            Ref::Row(uuid) => json!(["uuid", uuid.to_string()]),
            Ref::New(name) => json!(["named-uuid", name]),
        }
    }
}

impl From<Uuid> for Ref {
    fn from(uuid: Uuid) -> Ref {
        Ref::Row(uuid)
    }
}

impl From<&crate::NewRow> for Ref {
    fn from(row: &crate::NewRow) -> Ref {
        Ref::New(row.name.clone())
    }
}

impl<'a, T: Table<'a>> From<T> for Ref {
    fn from(row: T) -> Ref {
        Ref::Row(row.uuid())
    }
}

/// Rust's view of an atom.
pub trait FromAtom<'a>: Sized {
    /// What a column without a value reads as.
    fn absent() -> Self;

    /// The value, if the atom is of the type.
    fn from_atom(atom: &'a Atom) -> Option<Self>;
}

macro_rules! from_atom {
    ($type:ty, $read:ident, $absent:expr) => {
        impl<'a> FromAtom<'a> for $type {
            fn absent() -> Self {
                $absent
            }

            fn from_atom(atom: &'a Atom) -> Option<Self> {
                atom.$read()
            }
        }
    };
}

from_atom!(i64, as_integer, 0);
from_atom!(f64, as_real, 0.0);
from_atom!(bool, as_bool, false);
from_atom!(&'a str, as_str, "");
from_atom!(Uuid, as_uuid, Uuid::ZERO);

fn datum<'a>(row: Row<'a>, column: &str) -> &'a Datum {
    const NOTHING: &Datum = &Datum::EMPTY;
    row.get(column).unwrap_or(NOTHING)
}

/// The one value of a column.
pub fn scalar<'a, T: FromAtom<'a>>(row: Row<'a>, column: &str) -> T {
    optional_atom(row, column).unwrap_or_else(T::absent)
}

/// The value of a column that may have none.
pub fn optional_atom<'a, T: FromAtom<'a>>(row: Row<'a>, column: &str) -> Option<T> {
    datum(row, column).atoms().first().and_then(T::from_atom)
}

/// The values of a set.
pub fn atoms<'a, T: FromAtom<'a>>(row: Row<'a>, column: &str) -> impl Iterator<Item = T> + use<'a, T> {
    datum(row, column).atoms().iter().filter_map(T::from_atom)
}

/// The row that a column names, if it is known.
pub fn optional_ref<'a, T: Table<'a>>(row: Row<'a>, column: &str) -> Option<T> {
    refs(row, column).next()
}

/// The rows that a set names, as far as they are known.
pub fn refs<'a, T: Table<'a>>(row: Row<'a>, column: &str) -> impl Iterator<Item = T> + use<'a, T> {
    row.refs(column, T::NAME).map(T::from_row)
}

/// The pairs of a map.
pub fn pairs<'a, K: FromAtom<'a>, V: FromAtom<'a>>(
    row: Row<'a>,
    column: &str,
) -> impl Iterator<Item = (K, V)> + use<'a, K, V> {
    datum(row, column).pairs().iter().filter_map(|(k, v)| Some((K::from_atom(k)?, V::from_atom(v)?)))
}

/// The pairs of a map whose values name rows, as far as these are known.
pub fn ref_pairs<'a, K: FromAtom<'a>, V: Table<'a>>(
    row: Row<'a>,
    column: &str,
) -> impl Iterator<Item = (K, V)> + use<'a, K, V> {
    datum(row, column).pairs().iter().filter_map(move |(k, v)| {
        let target = row.replica.row(V::NAME, v.as_uuid()?)?;
        Some((K::from_atom(k)?, V::from_row(target)))
    })
}

/// JSON of a string.
pub fn text(value: &str) -> Value {
    value.into()
}

/// JSON of a number or boolean.
pub fn number(value: impl Into<Value>) -> Value {
    value.into()
}

/// JSON of a set.
pub fn set(values: impl Iterator<Item = Value>) -> Value {
    json!(["set", values.collect::<Vec<_>>()])
}

/// JSON of a map.
pub fn map(pairs: impl Iterator<Item = (Value, Value)>) -> Value {
    json!(["map", pairs.map(|(k, v)| json!([k, v])).collect::<Vec<_>>()])
}
