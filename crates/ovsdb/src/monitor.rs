//! Monitors: which tables, columns and rows a client watches, and the JSON of what it is told (RFC 7047 §4.1.5 and
//! §4.1.6, ovsdb-server(7) §4.1.12 to §4.1.16).

use crate::change::{ChangeSet, RowChange};
use crate::condition::{Clause, Condition};
use crate::database::{Database, RowId};
use crate::packed::{self, PackedRow, Reader};
use foldhash::fast::RandomState;
use ovsdb_data::members::{Kinds, Members};
use ovsdb_data::schema::{TableSchema, UUID_COLUMN, VERSION_COLUMN};
use ovsdb_data::{Datum, OvsdbError, Result, Uuid, json};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Which request made the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `monitor`, told by `update`
    V1,
    /// `monitor_cond`, told by `update2`
    V2,
    /// `monitor_cond_since`, told by `update3`
    V3,
}

/// Kinds of change that a client wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Select {
    initial: bool,
    insert: bool,
    delete: bool,
    modify: bool,
}

impl Select {
    const ALL: Select = Select { initial: true, insert: true, delete: true, modify: true };
    const NONE: Select = Select { initial: false, insert: false, delete: false, modify: false };

    fn or(self, other: Select) -> Select {
        Select {
            initial: self.initial || other.initial,
            insert: self.insert || other.insert,
            delete: self.delete || other.delete,
            modify: self.modify || other.modify,
        }
    }

    fn from_json(members: &mut Members<'_>, table: &str) -> Result<Select> {
        let Some(value) = members.optional("select", Kinds::OBJECT) else { return Ok(Select::ALL) };
        let mut select = Members::new(value, format!("table {table} select"));
        let mut flag = |name| select.optional(name, Kinds::BOOLEAN).and_then(Value::as_bool).unwrap_or(true);
        let (initial, insert) = (flag("initial"), flag("insert"));
        let (delete, modify) = (flag("delete"), flag("modify"));
        select.finish()?;
        Ok(Select { initial, insert, delete, modify })
    }
}

#[derive(Clone, Debug, PartialEq)]
struct MonitoredColumn {
    number: usize,
    select: Select,
    /// `"name":`
    key: Vec<u8>,
}

/// One table of a monitor.
#[derive(Clone, Debug, PartialEq)]
struct MonitoredTable {
    number: usize,
    select: Select,
    /// Sorted by number.
    columns: Vec<MonitoredColumn>,
    condition: Condition,
}

/// What a client watches. Clients that watch the same can share what they are told.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorSpec {
    /// The form of updates.
    pub version: Version,
    tables: Vec<MonitoredTable>,
}

impl MonitorSpec {
    /// Reads `<monitor-requests>` or `<monitor-cond-requests>`.
    pub fn from_json(db: &Database, requests: &Value, version: Version) -> Result<MonitorSpec> {
        let object =
            requests.as_object().ok_or_else(|| OvsdbError::syntax(requests, "monitor-requests must be object"))?;
        let mut tables = Vec::new();
        for (name, request) in object {
            let number =
                db.table_number(name).ok_or_else(|| OvsdbError::bare_syntax(format!("no table named {name}")))?;
            let schema = &db.tables()[number].schema;
            let mut table =
                MonitoredTable { number, select: Select::NONE, columns: Vec::new(), condition: Condition::default() };
            let several = request.as_array().map(Vec::as_slice);
            for request in several.unwrap_or(std::slice::from_ref(request)) {
                table.add(schema, request, version)?;
            }
            table.columns.sort_by_key(|column| column.number);
            tables.push(table);
        }
        tables.sort_by_key(|table| table.number);
        Ok(MonitorSpec { version, tables })
    }

    /// Reads `<monitor-cond-update-requests>`: this monitor with other conditions.
    pub fn with_conditions(&self, db: &Database, requests: &Value) -> Result<MonitorSpec> {
        let object = requests
            .as_object()
            .ok_or_else(|| OvsdbError::bare_syntax("monitor-cond-change-requests must be object"))?;
        let mut spec = self.clone();
        for (name, request) in object {
            let number =
                db.table_number(name).ok_or_else(|| OvsdbError::bare_syntax(format!("no table named {name}")))?;
            let schema = &db.tables()[number].schema;
            let table = spec
                .tables
                .iter_mut()
                .find(|table| table.number == number)
                .ok_or_else(|| OvsdbError::bare_syntax(format!("no table named {name} in monitor session")))?;
            let several = request
                .as_array()
                .ok_or_else(|| OvsdbError::bare_syntax(format!("table {name} no monitor-cond-change JSON array")))?;
            for request in several {
                let mut members = Members::new(request, format!("table {name}"));
                let columns = members.optional("columns", Kinds::ARRAY);
                let condition = members.optional("where", Kinds::ARRAY);
                members.finish()?;
                if columns.is_some() {
                    return Err(OvsdbError::syntax(request, "changing columns is unsupported"));
                }
                if self.version == Version::V1 {
                    // Its updates have no form for rows that leave it and stay in the table (RFC 7047 §4.1.6).
                    continue;
                }
                table.condition = match condition {
                    Some(condition) => Condition::from_json(schema, condition, None)?,
                    None => Condition::default(),
                };
            }
        }
        Ok(spec)
    }

    /// `<table-updates>` of everything that matches now.
    pub fn initial(&self, db: &Database) -> Vec<u8> {
        let mut updates = Updates::new();
        for table in self.tables.iter().filter(|table| table.select.initial) {
            let stored = &db.tables()[table.number];
            updates.open_table(&stored.schema.name);
            let all = table.condition.is_always_true();
            for (uuid, row) in stored.rows() {
                if !all && !table.matches(db, uuid, row) {
                    continue;
                }
                let out = updates.open_row(uuid);
                let key: &[u8] = if self.version == Version::V1 { b"{\"new\":{" } else { b"{\"initial\":{" };
                out.extend_from_slice(key);
                table.write_row(db, out, uuid, row, self.version == Version::V1, |select| select.initial);
                out.extend_from_slice(b"}}");
            }
            updates.close_table();
        }
        updates.finish()
    }

    /// `<table-updates>` of a transaction, or `None` if the client need not hear of it.
    pub fn update(&self, db: &Database, changes: &ChangeSet) -> Option<Vec<u8>> {
        let mut updates = Updates::new();
        for table in &self.tables {
            let Some((_, rows)) = changes.tables.iter().find(|(number, _)| *number == table.number) else { continue };
            updates.open_table(&db.tables()[table.number].schema.name);
            for change in rows {
                table.write_change(db, &mut updates, change, self.version);
            }
            updates.close_table();
        }
        updates.finish_if_any()
    }

    /// `<table-updates>` of all transactions after `since`, if that is remembered.
    pub fn catch_up(&self, db: &Database, since: Uuid) -> Option<Vec<u8>> {
        let mut merged: HashMap<RowId, RowChange, RandomState> = HashMap::default();
        for changes in db.since(since)? {
            for (table, rows) in &changes.tables {
                for row in rows {
                    let slot = merged.entry((*table, row.uuid));
                    slot.and_modify(|known| known.new = row.new.clone()).or_insert_with(|| row.clone());
                }
            }
        }
        let mut changes = ChangeSet::default();
        for ((table, _), change) in merged {
            if change.old.is_none() && change.new.is_none() {
                continue;
            }
            match changes.tables.iter_mut().find(|(number, _)| *number == table) {
                Some((_, rows)) => rows.push(change),
                None => changes.tables.push((table, vec![change])),
            }
        }
        Some(self.update(db, &changes).unwrap_or_else(|| b"{}".to_vec()))
    }

    /// `<table-updates2>` of rows that `old` and this monitor do not both show.
    pub fn condition_change(&self, db: &Database, old: &MonitorSpec) -> Option<Vec<u8>> {
        let mut updates = Updates::new();
        for (table, before) in self.tables.iter().zip(&old.tables) {
            if table.condition == before.condition {
                continue;
            }
            updates.open_table(&db.tables()[table.number].schema.name);
            for (uuid, row) in db.tables()[table.number].rows() {
                match (before.matches(db, uuid, row), table.matches(db, uuid, row)) {
                    (false, true) if table.select.insert => table.write_insert(db, &mut updates, uuid, row),
                    (true, false) if table.select.delete => write_delete(&mut updates, uuid),
                    _ => {}
                }
            }
            updates.close_table();
        }
        updates.finish_if_any()
    }
}

impl MonitoredTable {
    fn add(&mut self, schema: &TableSchema, request: &Value, version: Version) -> Result<()> {
        let mut members = Members::new(request, format!("table {}", schema.name));
        let condition = match version {
            Version::V1 => None,
            _ => members.optional("where", Kinds::ARRAY.or(Kinds::BOOLEAN)),
        };
        let columns = members.optional("columns", Kinds::ARRAY);
        members.take_error()?;
        let select = Select::from_json(&mut members, &schema.name)?;
        members.finish()?;
        self.select = self.select.or(select);
        let numbers: Vec<usize> = match columns {
            Some(columns) => column_names(schema, columns)?,
            None => (0..schema.columns.len()).filter(|&number| number != UUID_COLUMN).collect(),
        };
        for number in numbers {
            let name = &schema.columns[number].name;
            if self.columns.iter().any(|column| column.number == number) {
                let details = format!("column {name} mentioned more than once");
                return Err(match columns {
                    Some(columns) => OvsdbError::syntax(columns, details),
                    None => OvsdbError::bare_syntax(details),
                });
            }
            let mut key = Vec::new();
            json::write_string(&mut key, name);
            key.push(b':');
            self.columns.push(MonitoredColumn { number, select, key });
        }
        let wanted = match condition {
            Some(condition) => Condition::from_json(schema, condition, None)?,
            None => Condition::default(),
        };
        // Whoever asks for a table twice gets the rows of either request; no condition means all rows.
        match wanted.clauses.is_empty() {
            true => self.condition.clauses.push(Clause::Constant(true)),
            false => self.condition.clauses.extend(wanted.clauses),
        }
        Ok(())
    }

    fn matches(&self, db: &Database, uuid: Uuid, row: &[u8]) -> bool {
        self.condition.any(|column| Cow::Owned(db.column(self.number, uuid, row, column)))
    }

    /// Writes the members of a `<row>`: all selected columns, or those that are not default.
    fn write_row(
        &self,
        db: &Database,
        out: &mut Vec<u8>,
        uuid: Uuid,
        row: &[u8],
        defaults: bool,
        selected: impl Fn(&Select) -> bool,
    ) {
        let schema = &db.tables()[self.number].schema;
        let mut first = true;
        let mut walk = Walk::new(schema, row);
        for column in self.columns.iter().filter(|column| selected(&column.select)) {
            let Some(reader) = walk.to(column.number) else {
                open_column(out, &mut first, column);
                db.column(self.number, uuid, row, column.number).write_json(out);
                continue;
            };
            if !defaults && reader.at_default() {
                continue;
            }
            open_column(out, &mut first, column);
            walk.write_json(out);
        }
    }

    fn write_change(&self, db: &Database, updates: &mut Updates, change: &RowChange, version: Version) {
        let uuid = change.uuid;
        if version == Version::V1 {
            match (&change.old, &change.new) {
                (None, Some(new)) if self.select.insert => {
                    let out = updates.open_row(uuid);
                    out.extend_from_slice(b"{\"new\":{");
                    self.write_row(db, out, uuid, new, true, |select| select.insert);
                    out.extend_from_slice(b"}}");
                }
                (Some(old), None) if self.select.delete => {
                    let out = updates.open_row(uuid);
                    out.extend_from_slice(b"{\"old\":{");
                    self.write_row(db, out, uuid, old, true, |select| select.delete);
                    out.extend_from_slice(b"}}");
                }
                (Some(old), Some(new)) if self.select.modify => self.write_modify_v1(db, updates, uuid, old, new),
                _ => {}
            }
            return;
        }
        let matches = |row: &Option<PackedRow>| row.as_ref().is_some_and(|row| self.matches(db, uuid, row));
        match (matches(&change.old), matches(&change.new), &change.old, &change.new) {
            (false, true, _, Some(new)) if self.select.insert => self.write_insert(db, updates, uuid, new),
            (true, false, ..) if self.select.delete => write_delete(updates, uuid),
            (true, true, Some(old), Some(new)) if self.select.modify => self.write_modify(db, updates, uuid, old, new),
            _ => {}
        }
    }

    fn write_insert(&self, db: &Database, updates: &mut Updates, uuid: Uuid, row: &[u8]) {
        let out = updates.open_row(uuid);
        out.extend_from_slice(b"{\"insert\":{");
        self.write_row(db, out, uuid, row, false, |select| select.insert);
        out.extend_from_slice(b"}}");
    }

    /// Numbers of the watched columns that differ.
    fn changed<'m>(&'m self, db: &Database, old: &[u8], new: &[u8]) -> Vec<&'m MonitoredColumn> {
        let schema = &db.tables()[self.number].schema;
        let (mut old_walk, mut new_walk) = (Walk::new(schema, old), Walk::new(schema, new));
        let watched = self.columns.iter().filter(|column| column.select.modify);
        let differs = |column: &&MonitoredColumn| match column.number {
            UUID_COLUMN => false,
            VERSION_COLUMN => packed::version(old) != packed::version(new),
            number => old_walk.raw(number) != new_walk.raw(number),
        };
        watched.filter(differs).collect()
    }

    fn write_modify_v1(&self, db: &Database, updates: &mut Updates, uuid: Uuid, old: &[u8], new: &[u8]) {
        let changed = self.changed(db, old, new);
        if changed.is_empty() {
            return;
        }
        let out = updates.open_row(uuid);
        out.extend_from_slice(b"{\"old\":{");
        let mut first = true;
        for column in changed {
            open_column(out, &mut first, column);
            db.column(self.number, uuid, old, column.number).write_json(out);
        }
        out.extend_from_slice(b"},\"new\":{");
        self.write_row(db, out, uuid, new, true, |select| select.modify);
        out.extend_from_slice(b"}}");
    }

    fn write_modify(&self, db: &Database, updates: &mut Updates, uuid: Uuid, old: &[u8], new: &[u8]) {
        let changed = self.changed(db, old, new);
        if changed.is_empty() {
            return;
        }
        let out = updates.open_row(uuid);
        out.extend_from_slice(b"{\"modify\":{");
        let mut first = true;
        for column in changed {
            open_column(out, &mut first, column);
            let datum = |row| -> Datum { db.column(self.number, uuid, row, column.number) };
            let column_type = &db.tables()[self.number].schema.columns[column.number].column_type;
            datum(old).diff(&datum(new), column_type).write_json(out);
        }
        out.extend_from_slice(b"}}");
    }
}

fn column_names(schema: &TableSchema, columns: &Value) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    for name in columns.as_array().into_iter().flatten() {
        let name = name.as_str().ok_or_else(|| OvsdbError::syntax(columns, "array of column names expected"))?;
        let number = schema.column_number(name);
        numbers.push(number.ok_or_else(|| OvsdbError::syntax(columns, format!("{name} is not a valid column name")))?);
    }
    Ok(numbers)
}

fn open_column(out: &mut Vec<u8>, first: &mut bool, column: &MonitoredColumn) {
    if !*first {
        out.push(b',');
    }
    *first = false;
    out.extend_from_slice(&column.key);
}

fn write_delete(updates: &mut Updates, uuid: Uuid) {
    updates.open_row(uuid).extend_from_slice(b"{\"delete\":null}");
}

/// Goes through a packed row from one watched column to the next.
struct Walk<'a> {
    schema: &'a TableSchema,
    reader: Reader<'a>,
    at: usize,
}

impl<'a> Walk<'a> {
    fn new(schema: &'a TableSchema, row: &'a [u8]) -> Walk<'a> {
        Walk { schema, reader: Reader::new(row), at: ovsdb_data::schema::FIRST_COLUMN }
    }

    /// Stands at a column; `None` for `_uuid` and `_version`. Columns must be asked for in order.
    fn to(&mut self, number: usize) -> Option<&Reader<'a>> {
        if number < self.at {
            return None;
        }
        for column in self.schema.columns.iter().take(number).skip(self.at) {
            self.reader.skip(&column.column_type);
        }
        self.at = number;
        Some(&self.reader)
    }

    /// Writes the column at which it stands.
    fn write_json(&mut self, out: &mut Vec<u8>) {
        self.reader.write_json(&self.schema.columns[self.at].column_type, out);
        self.at += 1;
    }

    /// The stored bytes of a column; two are equal if and only if the values are.
    fn raw(&mut self, number: usize) -> &'a [u8] {
        self.to(number);
        self.at = number + 1;
        self.reader.raw(&self.schema.columns[number].column_type)
    }
}

/// Builds `<table-updates>`, leaving out tables without rows.
struct Updates {
    out: Vec<u8>,
    table_start: usize,
    rows_start: usize,
}

impl Updates {
    fn new() -> Updates {
        Updates { out: vec![b'{'], table_start: 0, rows_start: 0 }
    }

    fn open_table(&mut self, name: &str) {
        self.table_start = self.out.len();
        if self.table_start > 1 {
            self.out.push(b',');
        }
        json::write_string(&mut self.out, name);
        self.out.extend_from_slice(b":{");
        self.rows_start = self.out.len();
    }

    fn open_row(&mut self, uuid: Uuid) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.out.len() > self.rows_start { b",\"" } else { b"\"" });
        self.out.extend_from_slice(&uuid.to_ascii());
        self.out.extend_from_slice(b"\":");
        &mut self.out
    }

    fn close_table(&mut self) {
        if self.out.len() == self.rows_start {
            self.out.truncate(self.table_start);
        } else {
            self.out.push(b'}');
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    fn finish_if_any(self) -> Option<Vec<u8>> {
        (self.out.len() > 1).then(|| self.finish())
    }
}

/// Monitors of one database, grouped by what they watch: each group's update is made once.
#[derive(Debug)]
pub struct MonitorSet<M> {
    groups: Vec<(Arc<MonitorSpec>, Vec<M>)>,
}

impl<M> Default for MonitorSet<M> {
    fn default() -> MonitorSet<M> {
        MonitorSet { groups: Vec::new() }
    }
}

impl<M: PartialEq> MonitorSet<M> {
    /// Adds a member; returns what it watches, shared with others that watch the same.
    pub fn add(&mut self, spec: MonitorSpec, member: M) -> Arc<MonitorSpec> {
        if let Some((known, members)) = self.groups.iter_mut().find(|(known, _)| **known == spec) {
            members.push(member);
            return known.clone();
        }
        let spec = Arc::new(spec);
        self.groups.push((spec.clone(), vec![member]));
        spec
    }

    /// Removes a member.
    pub fn remove(&mut self, member: &M) {
        for (_, members) in &mut self.groups {
            members.retain(|other| other != member);
        }
        self.groups.retain(|(_, members)| !members.is_empty());
    }

    /// The groups.
    pub fn groups(&self) -> impl Iterator<Item = (&Arc<MonitorSpec>, &[M])> {
        self.groups.iter().map(|(spec, members)| (spec, members.as_slice()))
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|(_, members)| members.len()).sum()
    }

    /// True without members.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}
