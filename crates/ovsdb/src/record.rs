//! Transaction records of the file format (ovsdb(5), "Standalone Format"): written from transactions, read into tables.

use crate::commit::CommitOptions;
use crate::database::Database;
use crate::packed::Reader;
use crate::snapshot::SnapshotRows;
use crate::transaction::Transaction;
use ovsdb_data::schema::{FIRST_COLUMN, TableSchema};
use ovsdb_data::{Datum, json};

/// The record of a transaction whose unchanged rows were dropped, or `None` if nothing of it is persistent.
pub(crate) fn write(db: &Database, txn: &Transaction, options: &CommitOptions) -> Option<Vec<u8>> {
    let mut out = start(options.wall_ms, &options.comment, !options.whole_columns);
    let header = out.len();
    let mut tables: Vec<usize> = txn.rows.iter().map(|row| row.id.0).collect();
    tables.sort_unstable();
    tables.dedup();
    for number in tables {
        let schema = &db.tables()[number].schema;
        let before = out.len();
        open_table(&mut out, &schema.name);
        let first = out.len();
        for row in txn.rows.iter().filter(|row| row.id.0 == number) {
            let row_start = out.len();
            if out.len() > first {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(&row.id.1.to_ascii());
            out.extend_from_slice(b"\":");
            match &row.new {
                None => out.extend_from_slice(b"null"),
                Some(new) => {
                    let any = write_columns(&mut out, schema, row.old.as_deref(), new, options.whole_columns);
                    if !any && row.old.is_some() {
                        out.truncate(row_start);
                    }
                }
            }
        }
        if out.len() == first {
            out.truncate(before);
        } else {
            out.push(b'}');
        }
    }
    if out.len() == header {
        return None;
    }
    out.push(b'}');
    Some(out)
}

fn start(wall_ms: i64, comment: &str, is_diff: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"_date\":");
    json::write_integer(&mut out, wall_ms);
    if is_diff {
        out.extend_from_slice(b",\"_is_diff\":true");
    }
    if !comment.is_empty() {
        out.extend_from_slice(b",\"_comment\":");
        json::write_string(&mut out, comment);
    }
    out
}

fn open_table(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    json::write_string(out, name);
    out.extend_from_slice(b":{");
}

/// Writes the columns that differ from the old row, or from the default; true if there are any.
fn write_columns(out: &mut Vec<u8>, schema: &TableSchema, old: Option<&[Datum]>, new: &[Datum], whole: bool) -> bool {
    let mut any = false;
    out.push(b'{');
    for (number, column) in schema.own_columns().filter(|(_, column)| column.persistent) {
        let datum = &new[number];
        let changed = match old {
            Some(old) => old[number] != *datum,
            None => !datum.is_default(&column.column_type),
        };
        if !changed {
            continue;
        }
        if any {
            out.push(b',');
        }
        any = true;
        json::write_string(out, &column.name);
        out.push(b':');
        match old {
            Some(old) if !whole => old[number].diff(datum, &column.column_type).write_json(out),
            _ => datum.write_json(out),
        }
    }
    out.push(b'}');
    any
}

/// Writes one record that holds a whole database, row by row, so that it can be built away from the database.
pub struct SnapshotWriter {
    out: Vec<u8>,
    table: Option<usize>,
    first_row: bool,
}

impl SnapshotWriter {
    /// Starts a record.
    pub fn new(wall_ms: i64, comment: &str, is_diff: bool) -> SnapshotWriter {
        SnapshotWriter { out: start(wall_ms, comment, is_diff), table: None, first_row: true }
    }

    /// Adds rows of a table. All rows of a table must come together.
    pub fn rows(&mut self, number: usize, schema: &TableSchema, rows: &SnapshotRows) {
        if rows.is_empty() {
            return;
        }
        let out = &mut self.out;
        if self.table != Some(number) {
            if self.table.is_some() {
                out.push(b'}');
            }
            open_table(out, &schema.name);
            self.table = Some(number);
            self.first_row = true;
        }
        for (uuid, row) in rows {
            out.extend_from_slice(if self.first_row { b"\"" } else { b",\"" });
            self.first_row = false;
            out.extend_from_slice(&uuid.to_ascii());
            out.extend_from_slice(b"\":{");
            let mut reader = Reader::new(row);
            let mut any = false;
            for column in &schema.columns[FIRST_COLUMN..] {
                if !column.persistent || reader.at_default() {
                    reader.skip(&column.column_type);
                    continue;
                }
                if any {
                    out.push(b',');
                }
                any = true;
                json::write_string(out, &column.name);
                out.push(b':');
                reader.write_json(&column.column_type, out);
            }
            out.push(b'}');
        }
    }

    /// Takes out what was written so far, to be written elsewhere in order.
    pub fn drain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Ends the record, with whatever was not drained.
    pub fn finish(mut self) -> Vec<u8> {
        if self.table.is_some() {
            self.out.push(b'}');
        }
        self.out.push(b'}');
        self.out
    }
}
