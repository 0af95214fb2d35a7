//! Operations of `transact` (RFC 7047 §5.2).

use crate::change::ChangeSet;
use crate::commit::{self, CommitOptions};
use crate::condition::{Condition, unknown_column};
use crate::database::{Database, RowId};
use crate::mutation::Mutation;
use crate::rbac::Rbac;
use crate::storage::Storage;
use crate::transaction::{FoundRow, Transaction};
use foldhash::fast::RandomState;
use ovsdb_data::atom::Symbols;
use ovsdb_data::members::{Kinds, Members};
use ovsdb_data::schema::{TableSchema, UUID_COLUMN, VERSION_COLUMN};
use ovsdb_data::{Datum, OvsdbError, Result, Uuid, UuidSource, json};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Who asks, and when.
pub struct Request<'a> {
    /// Wall-clock time, milliseconds since 1970, for the record.
    pub wall_ms: i64,
    /// Milliseconds since the request came, for `wait`.
    pub elapsed_ms: u64,
    /// True if operations that write are refused.
    pub read_only: bool,
    /// True if the client owns the lock of that name.
    pub owns_lock: &'a dyn Fn(&str) -> bool,
    /// Role and name of a client whose rights are limited.
    pub rbac: Option<(&'a str, Option<&'a str>)>,
    /// True to write whole columns instead of differences to the file.
    pub whole_columns: bool,
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Execution {
    /// It ended.
    Done {
        /// JSON text of the array of results
        results: Vec<u8>,
        /// What changed, if something did
        changes: Option<Arc<ChangeSet>>,
        /// True if it succeeded, and asked to be durable
        durable: bool,
    },
    /// A `wait` does not hold yet. Execute again when the database changed, or when as many milliseconds passed since
    /// the request came.
    Waiting(Option<u64>),
}

/// Executes the operations of a request, all or none.
pub fn execute(db: &mut Database, operations: &[Value], request: &Request<'_>, storage: &mut dyn Storage) -> Execution {
    let mut run = Run {
        txn: Transaction::default(),
        names: Names { map: HashMap::default(), uuids: db.uuids.clone() },
        request,
        comment: String::new(),
        durable: false,
        out: vec![b'['],
        waiting: None,
        rbac: request.rbac.and_then(|(role, id)| Rbac::new(db, role, id)),
    };
    let mut failed = false;
    for (n, operation) in operations.iter().enumerate() {
        run.comma();
        if failed {
            run.out.extend_from_slice(b"null");
            continue;
        }
        if let Err(error) = run.operation(db, operation, n, operations.len()) {
            if let Some(timeout) = run.waiting {
                return Execution::Waiting(timeout);
            }
            failed = true;
            json::write(&mut run.out, &error.to_json());
        }
    }
    db.uuids = run.names.uuids.clone();
    let mut changes = None;
    if !failed {
        let options = CommitOptions {
            wall_ms: request.wall_ms,
            comment: std::mem::take(&mut run.comment),
            durable: run.durable,
            whole_columns: request.whole_columns,
            id: None,
        };
        match commit::commit(db, std::mem::take(&mut run.txn), storage, &options) {
            Ok(committed) => changes = committed,
            Err(error) => {
                failed = true;
                run.comma();
                json::write(&mut run.out, &error.to_json());
            }
        }
    }
    run.out.push(b']');
    Execution::Done { results: run.out, changes, durable: run.durable && !failed }
}

/// UUIDs that `uuid-name`s stand for.
struct Names {
    map: HashMap<String, Name, RandomState>,
    uuids: UuidSource,
}

struct Name {
    uuid: Uuid,
    created: bool,
}

impl Symbols for Names {
    fn symbol(&mut self, name: &str) -> Uuid {
        if let Some(known) = self.map.get(name) {
            return known.uuid;
        }
        let uuid = self.uuids.next_uuid();
        self.map.insert(name.to_string(), Name { uuid, created: false });
        uuid
    }
}

struct Run<'a> {
    txn: Transaction,
    names: Names,
    request: &'a Request<'a>,
    comment: String,
    durable: bool,
    out: Vec<u8>,
    /// Set by a `wait` that may hold later.
    waiting: Option<Option<u64>>,
    rbac: Option<Rbac>,
}

impl Run<'_> {
    fn comma(&mut self) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
    }

    fn operation(&mut self, db: &Database, operation: &Value, n: usize, of: usize) -> Result<()> {
        // The name is only needed for errors, but they are few and operations are many.
        let name = || format!("ovsdb operation {} of {of}", n + 1);
        let mut members = Members::new(operation, name());
        let op = members.required("op", Kinds::ID).and_then(Value::as_str).unwrap_or_default();
        members.take_error()?;
        let start = self.out.len();
        let result = match op {
            "insert" => self.insert(db, operation, members),
            "select" => self.select(db, members),
            "update" => self.update(db, operation, members),
            "mutate" => self.mutate(db, members),
            "delete" => self.delete(db, members),
            "wait" => self.wait(db, members),
            "commit" => self.commit(members),
            "abort" => members.finish().and(Err(OvsdbError::new("aborted", "aborted by request"))),
            "comment" => self.comment(members),
            "assert" => self.assert(members),
            other => {
                members.raise(format!("No operation \"{other}\""));
                members.finish()
            }
        };
        let writes = matches!(op, "insert" | "update" | "mutate" | "delete") || op == "commit" && self.durable;
        if result.is_ok() && writes && self.request.read_only {
            self.out.truncate(start);
            let details = format!("{op} operation not allowed when database server is in read only mode");
            return Err(OvsdbError::new("not allowed", details));
        }
        result
    }

    fn insert(&mut self, db: &Database, _operation: &Value, mut members: Members<'_>) -> Result<()> {
        let table = table_member(db, &mut members);
        let wanted = members.optional("uuid", Kinds::STRING);
        let uuid_name = members.optional("uuid-name", Kinds::ID);
        let row = members.required("row", Kinds::OBJECT);
        members.finish()?;
        let (Some(table), Some(row)) = (table, row) else { return Ok(()) };
        let schema = &db.tables()[table].schema;

        let wanted = match wanted {
            Some(text) => {
                let uuid = text.as_str().and_then(Uuid::parse);
                let uuid = uuid.ok_or_else(|| OvsdbError::bare_syntax("bad uuid").about(text))?;
                if self.txn.touched((table, uuid)).is_some() || db.tables()[table].get(&uuid).is_some() {
                    let details = format!(
                        "This UUID would duplicate a UUID already present within the \"{}\" table or deleted from this \
                         table within the same transaction.",
                        schema.name
                    );
                    return Err(OvsdbError::new("duplicate uuid", details).about(text));
                }
                Some(uuid)
            }
            None => None,
        };
        let uuid = match uuid_name {
            Some(name) => self.define(name, wanted)?,
            None => wanted.unwrap_or_else(|| self.names.uuids.next_uuid()),
        };
        let mut columns = schema.default_row();
        let mut given = vec![false; columns.len()];
        self.read_row(schema, row, |number, datum| {
            columns[number] = datum;
            given[number] = true;
        })?;
        for (number, column) in schema.own_columns() {
            if !given[number] {
                columns[number].check(&column.column_type)?;
            }
        }
        if let Some(rbac) = &self.rbac {
            rbac.check_insert(schema, &columns)?;
        }
        // Its version until the end of the transaction, when it gets that of all rows which changed.
        columns[VERSION_COLUMN] = self.names.uuids.next_uuid().into();
        self.txn.insert((table, uuid), columns);
        self.out.extend_from_slice(b"{\"uuid\":[\"uuid\",\"");
        self.out.extend_from_slice(&uuid.to_ascii());
        self.out.extend_from_slice(b"\"]}");
        Ok(())
    }

    fn define(&mut self, name: &Value, wanted: Option<Uuid>) -> Result<Uuid> {
        let text = name.as_str().unwrap_or_default();
        if let Some(known) = self.names.map.get_mut(text) {
            if known.created {
                let details = "This \"uuid-name\" appeared on an earlier \"insert\" operation.";
                return Err(OvsdbError::new("duplicate uuid-name", details).about(name));
            }
            known.created = true;
            known.uuid = wanted.unwrap_or(known.uuid);
            return Ok(known.uuid);
        }
        let uuid = wanted.unwrap_or_else(|| self.names.uuids.next_uuid());
        self.names.map.insert(text.to_string(), Name { uuid, created: true });
        Ok(uuid)
    }

    /// Reads the columns of a `<row>`.
    fn read_row(&mut self, schema: &TableSchema, row: &Value, mut each: impl FnMut(usize, Datum)) -> Result<()> {
        let object = row.as_object().ok_or_else(|| OvsdbError::syntax(row, "row must be JSON object"))?;
        for (name, value) in object {
            let number = schema.column_number(name).ok_or_else(|| unknown_column(schema, name, row))?;
            let datum = Datum::from_json(value, &schema.columns[number].column_type, Some(&mut self.names))?;
            each(number, datum);
        }
        Ok(())
    }

    fn condition(&mut self, db: &Database, table: usize, value: &Value) -> Result<Condition> {
        Condition::from_json(&db.tables()[table].schema, value, Some(&mut self.names))
    }

    fn matching(&self, db: &Database, table: usize, condition: &Condition) -> Vec<RowId> {
        let mut ids = Vec::new();
        self.txn.find(db, table, condition, |row| ids.push(row.id()));
        ids
    }

    fn count(&mut self, n: usize) {
        self.out.extend_from_slice(b"{\"count\":");
        json::write_integer(&mut self.out, n as i64);
        self.out.push(b'}');
    }

    fn select(&mut self, db: &Database, mut members: Members<'_>) -> Result<()> {
        let table = table_member(db, &mut members);
        let filter = members.required("where", Kinds::ARRAY);
        let columns = members.optional("columns", Kinds::ARRAY);
        members.finish()?;
        let (Some(table), Some(filter)) = (table, filter) else { return Ok(()) };
        let condition = self.condition(db, table, filter)?;
        let schema = &db.tables()[table].schema;
        let columns = match columns {
            Some(columns) => schema.column_set(columns)?,
            None => (0..schema.columns.len()).collect(),
        };
        let mut out = std::mem::take(&mut self.out);
        out.extend_from_slice(b"{\"rows\":[");
        let begin = out.len();
        // Rows that do not differ in what is shown are shown once. No two rows have the same version (RFC 7047 §3.2).
        let distinct = !columns.contains(&UUID_COLUMN) && !columns.contains(&VERSION_COLUMN);
        let mut shown: HashSet<Vec<u8>, RandomState> = HashSet::default();
        self.txn.find(db, table, &condition, |row| {
            let before = out.len();
            if before > begin {
                out.push(b',');
            }
            let start = out.len();
            write_row(&mut out, schema, &columns, row);
            if distinct && !shown.insert(out[start..].to_vec()) {
                out.truncate(before);
            }
        });
        out.extend_from_slice(b"]}");
        self.out = out;
        Ok(())
    }

    fn update(&mut self, db: &Database, operation: &Value, mut members: Members<'_>) -> Result<()> {
        let table = table_member(db, &mut members);
        let filter = members.required("where", Kinds::ARRAY);
        let row = members.required("row", Kinds::OBJECT);
        members.finish()?;
        let (Some(table), Some(filter), Some(row)) = (table, filter, row) else { return Ok(()) };
        let schema = &db.tables()[table].schema;
        let mut changes = Vec::new();
        self.read_row(schema, row, |number, datum| changes.push((number, datum)))?;
        if let Some((number, _)) = changes.iter().find(|(number, _)| !schema.columns[*number].mutable) {
            let column = &schema.columns[*number].name;
            let details = format!("Cannot update immutable column {column} in table {}.", schema.name);
            return Err(OvsdbError::constraint(details).about(operation));
        }
        let condition = self.condition(db, table, filter)?;
        if let Some(rbac) = &self.rbac {
            rbac.check_table(schema, "update")?;
        }
        let ids = self.matching(db, table, &condition);
        for id in &ids {
            let Some(columns) = self.txn.modify(db, *id) else { continue };
            if let Some(rbac) = &self.rbac {
                rbac.check_update(schema, columns, &changes)?;
            }
            for (number, datum) in &changes {
                columns[*number].clone_from(datum);
            }
        }
        self.count(ids.len());
        Ok(())
    }

    fn mutate(&mut self, db: &Database, mut members: Members<'_>) -> Result<()> {
        let table = table_member(db, &mut members);
        let filter = members.required("where", Kinds::ARRAY);
        let mutations = members.required("mutations", Kinds::ARRAY);
        members.finish()?;
        let (Some(table), Some(filter), Some(mutations)) = (table, filter, mutations) else { return Ok(()) };
        let schema = &db.tables()[table].schema;
        let mutations = mutations
            .as_array()
            .into_iter()
            .flatten()
            .map(|mutation| Mutation::from_json(schema, mutation, &mut self.names))
            .collect::<Result<Vec<Mutation>>>()?;
        let condition = self.condition(db, table, filter)?;
        if let Some(rbac) = &self.rbac {
            rbac.check_table(schema, "mutate")?;
        }
        let ids = self.matching(db, table, &condition);
        for id in &ids {
            let Some(columns) = self.txn.modify(db, *id) else { continue };
            if let Some(rbac) = &self.rbac {
                rbac.check_mutate(schema, columns, &mutations)?;
            }
            for mutation in &mutations {
                mutation.apply(&mut columns[mutation.column], &schema.columns[mutation.column].column_type)?;
            }
        }
        self.count(ids.len());
        Ok(())
    }

    fn delete(&mut self, db: &Database, mut members: Members<'_>) -> Result<()> {
        let table = table_member(db, &mut members);
        let filter = members.required("where", Kinds::ARRAY);
        members.finish()?;
        let (Some(table), Some(filter)) = (table, filter) else { return Ok(()) };
        let condition = self.condition(db, table, filter)?;
        if let Some(rbac) = &self.rbac {
            rbac.check_table(&db.tables()[table].schema, "delete")?;
        }
        let ids = self.matching(db, table, &condition);
        for id in &ids {
            if let Some(rbac) = &self.rbac
                && let Some(columns) = self.txn.modify(db, *id)
            {
                rbac.check_delete(&db.tables()[table].schema, columns)?;
            }
            self.txn.delete(db, *id);
        }
        self.count(ids.len());
        Ok(())
    }

    fn wait(&mut self, db: &Database, mut members: Members<'_>) -> Result<()> {
        let timeout = members.optional("timeout", Kinds::NUMBER);
        let table = table_member(db, &mut members);
        let filter = members.required("where", Kinds::ARRAY);
        let columns = members.optional("columns", Kinds::ARRAY);
        let until = members.required("until", Kinds::STRING);
        let rows = members.required("rows", Kinds::ARRAY);
        members.finish()?;
        let (Some(table), Some(filter), Some(until), Some(rows)) = (table, filter, until, rows) else { return Ok(()) };
        let timeout_ms = match timeout {
            Some(value) => match json::as_integer(value).map(u64::try_from) {
                Some(Ok(ms)) => Some(ms),
                _ => return Err(OvsdbError::syntax(value, "timeout must be nonnegative")),
            },
            None => None,
        };
        let condition = self.condition(db, table, filter)?;
        let schema = &db.tables()[table].schema;
        let columns = match columns {
            Some(columns) => schema.column_set(columns)?,
            // All columns, `_uuid` and `_version` too (RFC 7047 §5.2.6).
            None => (0..schema.columns.len()).collect(),
        };
        let until_equal = match until.as_str() {
            Some("==") => true,
            Some("!=") => false,
            _ => return Err(OvsdbError::syntax(until, "\"until\" must be \"==\" or \"!=\"")),
        };
        let mut wanted: BTreeSet<Vec<Datum>> = BTreeSet::new();
        for row in rows.as_array().into_iter().flatten() {
            let mut full = schema.default_row();
            self.read_row(schema, row, |number, datum| full[number] = datum)?;
            wanted.insert(columns.iter().map(|&number| full[number].clone()).collect());
        }
        let mut found: BTreeSet<Vec<Datum>> = BTreeSet::new();
        self.txn.find(db, table, &condition, |row| {
            found.insert(columns.iter().map(|&number| row.column(number).into_owned()).collect());
        });
        if (wanted == found) == until_equal {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        }
        let elapsed = self.request.elapsed_ms;
        match timeout_ms {
            Some(0) => Err(OvsdbError::new("timed out", "\"where\" clause test failed")),
            Some(limit) if elapsed >= limit => {
                Err(OvsdbError::new("timed out", format!("\"wait\" timed out after {elapsed} ms")))
            }
            _ => {
                self.waiting = Some(timeout_ms);
                Err(OvsdbError::new("timed out", "\"where\" clause test failed"))
            }
        }
    }

    fn commit(&mut self, mut members: Members<'_>) -> Result<()> {
        let durable = members.required("durable", Kinds::BOOLEAN).and_then(Value::as_bool);
        members.finish()?;
        self.durable |= durable == Some(true);
        self.out.extend_from_slice(b"{}");
        Ok(())
    }

    fn comment(&mut self, mut members: Members<'_>) -> Result<()> {
        let comment = members.required("comment", Kinds::STRING).and_then(Value::as_str).unwrap_or_default();
        members.finish()?;
        if !self.comment.is_empty() {
            self.comment.push('\n');
        }
        self.comment.push_str(comment);
        self.out.extend_from_slice(b"{}");
        Ok(())
    }

    fn assert(&mut self, mut members: Members<'_>) -> Result<()> {
        let lock = members.required("lock", Kinds::ID).and_then(Value::as_str).unwrap_or_default();
        members.finish()?;
        if !(self.request.owns_lock)(lock) {
            return Err(OvsdbError::new("not owner", format!("Asserted lock {lock} not held.")));
        }
        self.out.extend_from_slice(b"{}");
        Ok(())
    }
}

fn table_member(db: &Database, members: &mut Members<'_>) -> Option<usize> {
    let name = members.required("table", Kinds::ID)?.as_str()?;
    let table = db.table_number(name);
    if table.is_none() {
        members.raise(format!("No table named {name}."));
    }
    table
}

fn write_row(out: &mut Vec<u8>, schema: &TableSchema, columns: &[usize], row: FoundRow<'_>) {
    out.push(b'{');
    let unpacked;
    let datums: Option<&[Datum]> = match row {
        FoundRow::Touched { columns, .. } => Some(columns),
        FoundRow::Stored { db, id, row } if columns.len() > 1 => {
            unpacked = db.unpack(id.0, id.1, row);
            Some(&unpacked)
        }
        FoundRow::Stored { .. } => None,
    };
    for (n, &column) in columns.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        json::write_string(out, &schema.columns[column].name);
        out.push(b':');
        match datums {
            Some(datums) => datums[column].write_json(out),
            None => row.column(column).write_json(out),
        }
    }
    out.push(b'}');
}
