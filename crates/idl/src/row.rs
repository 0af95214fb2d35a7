//! One row of a replica, read by column name.

use crate::replica::Replica;
use ovsdb_data::{Atom, Datum, TableSchema, Uuid};

/// A row. Columns that the database lacks, or that are not monitored, read as empty.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub(crate) replica: &'a Replica,
    pub(crate) table: &'a TableSchema,
    pub(crate) uuid: Uuid,
    pub(crate) data: &'a [Datum],
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.table.name, self.uuid)
    }
}

impl<'a> Row<'a> {
    /// The row's identity.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// All columns, by their numbers in the schema.
    pub fn columns(&self) -> &'a [Datum] {
        self.data
    }

    /// The name of the table that it is in.
    pub fn table(&self) -> &'a str {
        &self.table.name
    }

    /// A column's value.
    pub fn get(&self, column: &str) -> Option<&'a Datum> {
        self.data.get(self.table.column_number(column)?)
    }

    /// The string in a column of one string, or of at most one.
    pub fn str(&self, column: &str) -> Option<&'a str> {
        self.get(column)?.atoms().first()?.as_str()
    }

    /// The integer in a column of one integer, or of at most one.
    pub fn int(&self, column: &str) -> Option<i64> {
        self.get(column)?.atoms().first()?.as_integer()
    }

    /// The boolean in a column of one boolean, or of at most one.
    pub fn bool(&self, column: &str) -> Option<bool> {
        self.get(column)?.atoms().first()?.as_bool()
    }

    /// The integers of a set.
    pub fn ints(&self, column: &str) -> impl Iterator<Item = i64> + use<'a> {
        self.get(column).map_or(&[][..], Datum::atoms).iter().filter_map(Atom::as_integer)
    }

    /// The strings of a set.
    pub fn strs(&self, column: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.get(column).map_or(&[][..], Datum::atoms).iter().filter_map(Atom::as_str)
    }

    /// The value of a key in a map of strings.
    pub fn option(&self, column: &str, key: &str) -> Option<&'a str> {
        self.get(column)?.get_str(key)
    }

    /// The pairs of a map of strings.
    pub fn options(&self, column: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let pairs = self.get(column).map_or(&[][..], Datum::pairs);
        pairs.iter().filter_map(|(k, v)| Some((k.as_str()?, v.as_str()?)))
    }

    /// The rows of `table` that a set of references names. Rows that are not (yet) known are left out.
    pub fn refs(&self, column: &str, table: &'a str) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let replica = self.replica;
        let atoms = self.get(column).map_or(&[][..], Datum::atoms);
        atoms.iter().filter_map(Atom::as_uuid).filter_map(move |u| replica.row(table, u))
    }

    /// The replica that the row is of.
    pub fn replica(&self) -> &'a Replica {
        self.replica
    }

    /// The row of `table` that an optional reference names.
    pub fn reference(&self, column: &str, table: &'a str) -> Option<Row<'a>> {
        self.refs(column, table).next()
    }
}
