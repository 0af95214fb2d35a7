//! Builds a transaction (RFC 7047 §4.1.3).

use crate::row::Row;
use crate::typed::Write;
use ovsdb_data::{Datum, Uuid};
use serde_json::{Map, Value, json};

/// A row that a transaction inserts; other rows of the transaction refer to it by this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    pub(crate) name: String,
}

impl NewRow {
    /// A reference to the row, for a column of the same transaction.
    pub fn reference(&self) -> Value {
        json!(["named-uuid", self.name])
    }
}

/// A transaction under construction.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    pub(crate) operations: Vec<Value>,
    inserted: usize,
}

/// The condition that selects one row.
fn is_row(uuid: Uuid) -> Value {
    json!([["_uuid", "==", ["uuid", uuid.to_string()]]])
}

impl Txn {
    /// An empty transaction.
    pub fn new() -> Txn {
        Txn::default()
    }

    /// Whether nothing has been put into it.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Adds an operation as RFC 7047 §5.2 writes it.
    pub fn operation(&mut self, op: Value) {
        self.operations.push(op);
    }

    /// Inserts a row.
    pub fn insert(&mut self, table: &str, columns: Map<String, Value>) -> NewRow {
        self.inserted += 1;
        let row = NewRow { name: format!("row{}", self.inserted) };
        self.operation(json!({"op": "insert", "table": table, "row": columns, "uuid-name": row.name}));
        row
    }

    /// Sets columns of a row.
    pub fn update(&mut self, table: &str, uuid: Uuid, columns: Map<String, Value>) {
        self.operation(json!({"op": "update", "table": table, "where": is_row(uuid), "row": columns}));
    }

    /// Sets one column of a row.
    pub fn set(&mut self, table: &str, uuid: Uuid, column: &str, value: &Datum) {
        self.update(table, uuid, Map::from_iter([(column.to_string(), value.to_json())]));
    }

    /// Inserts a row of these columns.
    pub fn insert_row<W: Write>(&mut self, columns: W) -> NewRow {
        self.insert(W::TABLE, columns.into_columns())
    }

    /// Sets columns of a row. It must be of the table that the columns are of.
    pub fn update_row<W: Write>(&mut self, uuid: Uuid, columns: W) {
        self.update(W::TABLE, uuid, columns.into_columns());
    }

    /// Lets the transaction end with [`crate::Outcome::TryAgain`] unless these columns of the row still have the values that
    /// they have in the replica.
    pub fn verify_row(&mut self, row: Row<'_>, columns: &[&str]) {
        let values = columns.iter().filter_map(|name| Some((name.to_string(), row.get(name)?.to_json()))).collect();
        self.verify(row.table(), row.uuid(), values);
    }

    /// Mutates columns of a row; `mutations` are `[column, mutator, value]`.
    pub fn mutate(&mut self, table: &str, uuid: Uuid, mutations: Value) {
        self.operation(json!({"op": "mutate", "table": table, "where": is_row(uuid), "mutations": mutations}));
    }

    /// Deletes a row.
    pub fn delete(&mut self, table: &str, uuid: Uuid) {
        self.operation(json!({"op": "delete", "table": table, "where": is_row(uuid)}));
    }

    /// Lets the transaction end with [`crate::Outcome::TryAgain`] unless columns of a row still have these values.
    pub fn verify(&mut self, table: &str, uuid: Uuid, columns: Map<String, Value>) {
        let names: Vec<&String> = columns.keys().collect();
        self.operation(json!({
            "op": "wait", "timeout": 0, "table": table, "where": is_row(uuid),
            "columns": names, "until": "==", "rows": [columns],
        }));
    }

    /// Writes a comment to the database's log.
    pub fn comment(&mut self, text: &str) {
        self.operation(json!({"op": "comment", "comment": text}));
    }

    /// Lets the transaction fail unless the session owns a lock.
    pub fn assert_lock(&mut self, lock: &str) {
        self.operation(json!({"op": "assert", "lock": lock}));
    }
}
