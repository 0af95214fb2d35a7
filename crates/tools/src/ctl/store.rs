//! What a command sees of the database, and what it has changed so far. Commands of one run see each other's changes; all
//! of them go to the server as one transaction.

use idl::Replica;
use ovsdb_data::atom::Symbols;
use ovsdb_data::schema::{FIRST_COLUMN, TableSchema, UUID_COLUMN};
use ovsdb_data::{Atom, DatabaseSchema, Datum, RefKind, Uuid, UuidSource};
use serde_json::{Map, Value, json};
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// Rows of one table.
pub type Rows = BTreeMap<Uuid, Rc<Vec<Datum>>>;

/// How a column was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// As a whole: the server's value is replaced
    Whole,
    /// By adding and removing elements: changes that others make to other elements stay
    Elements,
}

/// A row name of the command line, `@NAME`.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// The row.
    pub uuid: Uuid,
    /// True once `--id=@NAME` gave it a row.
    pub created: bool,
    /// True if a strong reference to it was written.
    pub strong: bool,
    /// True if a weak reference to it was written.
    pub weak: bool,
}

/// Rows of a table by what a column of strings holds.
type ByText = HashMap<String, BTreeSet<Uuid>>;

/// The database and its changes.
pub struct Store {
    /// Schema of the server's database.
    pub schema: Rc<DatabaseSchema>,
    base: HashMap<String, Rows>,
    work: HashMap<String, Rows>,
    inserted: BTreeSet<(String, Uuid)>,
    new_uuids: HashSet<Uuid>,
    /// Those of inserted rows that were asked for.
    wanted_uuids: HashSet<Uuid>,
    deleted: BTreeSet<(String, Uuid)>,
    written: BTreeMap<(String, Uuid), BTreeMap<usize, Write>>,
    /// `@NAME`s.
    pub symbols: HashMap<String, Symbol>,
    uuids: UuidSource,
    /// Rows by text, of columns that rows were looked for by, by table and column number.
    by_text: RefCell<HashMap<(String, usize), ByText>>,
    digest: Option<(Rc<dyn Any>, &'static [&'static str])>,
}

impl Store {
    /// A store over rows that were read from the server.
    pub fn new(schema: Rc<DatabaseSchema>, base: HashMap<String, Rows>, seed: [u8; 32]) -> Store {
        Store {
            schema,
            work: base.clone(),
            base,
            inserted: BTreeSet::new(),
            new_uuids: HashSet::new(),
            wanted_uuids: HashSet::new(),
            deleted: BTreeSet::new(),
            written: BTreeMap::new(),
            symbols: HashMap::new(),
            uuids: UuidSource::new(seed),
            by_text: RefCell::default(),
            digest: None,
        }
    }

    /// What was made of the rows by [`Store::keep_digest`], unless they have changed since.
    pub fn digest<T: 'static>(&self) -> Option<Rc<T>> {
        self.digest.as_ref()?.0.clone().downcast().ok()
    }

    /// Keeps something that was made of the rows, until one comes or goes or a column of one of these names changes.
    pub fn keep_digest<T: 'static>(&mut self, digest: Rc<T>, columns: &'static [&'static str]) {
        self.digest = Some((digest, columns));
    }

    /// Rows of a table whose column of a string, or of strings, holds `text`.
    pub fn find(&self, table: &str, number: usize, text: &str) -> Vec<Uuid> {
        let mut indexes = self.by_text.borrow_mut();
        let index = indexes.entry((table.to_string(), number)).or_insert_with(|| {
            let mut index = ByText::new();
            for (uuid, row) in self.rows(table) {
                texts(&row[number]).for_each(|text| _ = index.entry(text).or_default().insert(uuid));
            }
            index
        });
        index.get(text).into_iter().flatten().copied().collect()
    }

    /// Follows a change of a column in the indexes.
    fn reindex(&mut self, table: &str, uuid: Uuid, number: usize, old: Option<&Datum>, new: Option<&Datum>) {
        let indexes = self.by_text.get_mut();
        if indexes.is_empty() {
            return;
        }
        let Some(index) = indexes.get_mut(&(table.to_string(), number)) else { return };
        for text in old.into_iter().flat_map(texts) {
            index.entry(text).or_default().remove(&uuid);
        }
        for text in new.into_iter().flat_map(texts) {
            index.entry(text).or_default().insert(uuid);
        }
    }

    fn reindex_row(&mut self, table: &str, uuid: Uuid, old: Option<&[Datum]>, new: Option<&[Datum]>) {
        self.digest = None;
        let numbers: Vec<usize> =
            self.by_text.get_mut().keys().filter(|(of, _)| of == table).map(|(_, number)| *number).collect();
        for number in numbers {
            self.reindex(table, uuid, number, old.map(|row| &row[number]), new.map(|row| &row[number]));
        }
    }

    /// A table's schema.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.schema.tables.get(name)
    }

    /// Rows of a table, by UUID.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Rc<Vec<Datum>>)> {
        self.work.get(table).into_iter().flatten().map(|(uuid, row)| (*uuid, row))
    }

    /// A row.
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Rc<Vec<Datum>>> {
        self.work.get(table)?.get(&uuid)
    }

    /// A column of a row.
    pub fn get(&self, table: &str, uuid: Uuid, column: &str) -> Option<&Datum> {
        self.row(table, uuid)?.get(self.table(table)?.column_number(column)?)
    }

    /// A string column of a row; empty if there is none.
    pub fn text(&self, table: &str, uuid: Uuid, column: &str) -> String {
        let datum = self.get(table, uuid, column);
        datum.and_then(|d| d.atoms().first()).and_then(Atom::as_str).unwrap_or_default().to_string()
    }

    /// References in a column.
    pub fn refs(&self, table: &str, uuid: Uuid, column: &str) -> Vec<Uuid> {
        let datum = self.get(table, uuid, column);
        datum.into_iter().flat_map(|d| d.atoms()).filter_map(Atom::as_uuid).collect()
    }

    /// Inserts a row of default values.
    pub fn insert(&mut self, table: &str, symbol: Option<&str>) -> Uuid {
        let uuid = match symbol {
            Some(name) => {
                let uuid = self.symbol(name);
                if let Some(symbol) = self.symbols.get_mut(name) {
                    symbol.created = true;
                }
                uuid
            }
            None => self.uuids.next_uuid(),
        };
        self.insert_row(table, uuid);
        uuid
    }

    /// Inserts a row that is to have this UUID.
    pub fn insert_as(&mut self, table: &str, uuid: Uuid) -> Uuid {
        self.wanted_uuids.insert(uuid);
        self.insert_row(table, uuid);
        uuid
    }

    fn insert_row(&mut self, table: &str, uuid: Uuid) {
        let Some(schema) = self.schema.tables.get(table) else { return };
        let mut row = schema.default_row();
        row[UUID_COLUMN] = uuid.into();
        self.reindex_row(table, uuid, None, Some(&row));
        self.work.entry(table.to_string()).or_default().insert(uuid, Rc::new(row));
        self.inserted.insert((table.to_string(), uuid));
        self.new_uuids.insert(uuid);
    }

    /// Deletes a row.
    pub fn delete(&mut self, table: &str, uuid: Uuid) {
        if let Some(row) = self.work.get_mut(table).and_then(|rows| rows.remove(&uuid)) {
            self.reindex_row(table, uuid, Some(&row), None);
        }
        let key = (table.to_string(), uuid);
        self.written.remove(&key);
        if self.inserted.remove(&key) {
            self.new_uuids.remove(&uuid);
        } else {
            self.deleted.insert(key);
        }
    }

    /// Writes a column by number.
    pub fn set_number(&mut self, table: &str, uuid: Uuid, number: usize, value: Datum, write: Write) {
        self.change_number(table, uuid, number, write, |datum| *datum = value);
    }

    /// Changes a column in its place, for it may be a set of thousands.
    fn change_number(&mut self, table: &str, uuid: Uuid, number: usize, write: Write, change: impl FnOnce(&mut Datum)) {
        let indexed = self.by_text.get_mut().keys().any(|(of, column)| of == table && *column == number);
        let Some(row) = self.work.get_mut(table).and_then(|rows| rows.get_mut(&uuid)) else { return };
        let Some(datum) = Rc::make_mut(row).get_mut(number) else { return };
        let old = indexed.then(|| datum.clone());
        change(datum);
        let new = indexed.then(|| datum.clone());
        if let Some((_, columns)) = &self.digest
            && self.schema.tables.get(table).is_none_or(|t| columns.contains(&t.columns[number].name.as_str()))
        {
            self.digest = None;
        }
        self.reindex(table, uuid, number, old.as_ref(), new.as_ref());
        let columns = self.written.entry((table.to_string(), uuid)).or_default();
        let known = columns.entry(number).or_insert(write);
        if write == Write::Whole {
            *known = Write::Whole;
        }
    }

    /// Writes a column. One that the database lacks is left out.
    pub fn set(&mut self, table: &str, uuid: Uuid, column: &str, value: impl Into<Datum>) {
        if let Some(number) = self.table(table).and_then(|t| t.column_number(column)) {
            self.set_number(table, uuid, number, value.into(), Write::Whole);
        }
    }

    /// Adds elements to a set or map; keys that are there keep their values.
    pub fn add(&mut self, table: &str, uuid: Uuid, column: &str, value: impl Into<Datum>) {
        self.change(table, uuid, column, |datum| datum.union(&value.into(), true));
    }

    /// Removes elements, or keys, from a set or map.
    pub fn remove(&mut self, table: &str, uuid: Uuid, column: &str, value: impl Into<Datum>) {
        self.change(table, uuid, column, |datum| datum.subtract(&value.into()));
    }

    fn change(&mut self, table: &str, uuid: Uuid, column: &str, change: impl FnOnce(&mut Datum)) {
        if let Some(number) = self.table(table).and_then(|t| t.column_number(column)) {
            self.change_number(table, uuid, number, Write::Elements, change);
        }
    }

    /// Rows that this run inserted or wrote to, of one table.
    pub fn touched(&self, table: &str) -> Vec<Uuid> {
        let inserted = self.inserted.iter().filter(|(t, _)| t == table).map(|(_, uuid)| *uuid);
        let written = self.written.keys().filter(|(t, _)| t == table).map(|(_, uuid)| *uuid);
        let both: BTreeSet<Uuid> = inserted.chain(written).collect();
        both.into_iter().collect()
    }

    /// True if this run inserted the row.
    pub fn is_inserted(&self, table: &str, uuid: Uuid) -> bool {
        self.inserted.contains(&(table.to_string(), uuid))
    }

    /// The operations that bring the server where the store is. Inserts come first; their number is returned too, and
    /// their rows in order.
    pub fn operations(&self) -> (Vec<Value>, Vec<Uuid>) {
        let mut operations = Vec::new();
        let mut rows = Vec::new();
        for (table, uuid) in &self.inserted {
            let Some(schema) = self.table(table) else { continue };
            let Some(row) = self.row(table, *uuid) else { continue };
            let columns: Map<String, Value> = schema
                .own_columns()
                .filter(|(number, column)| !row[*number].is_default(&column.column_type))
                .map(|(number, column)| (column.name.clone(), self.to_json(&row[number])))
                .collect();
            let mut insert = json!({"op": "insert", "table": table, "row": columns, "uuid-name": name_of(*uuid)});
            if self.wanted_uuids.contains(uuid) {
                insert["uuid"] = uuid.to_string().into();
            }
            operations.push(insert);
            rows.push(*uuid);
        }
        for ((table, uuid), columns) in &self.written {
            if !self.is_inserted(table, *uuid) {
                operations.extend(self.row_operations(table, *uuid, columns));
            }
        }
        let rows_written: BTreeSet<(String, Uuid)> = self.written.keys().cloned().collect();
        if !operations.is_empty() {
            let there = rows_written.iter().filter(|(table, uuid)| !self.is_inserted(table, *uuid));
            operations.extend(there.map(|(table, uuid)| still_there(table, *uuid)));
        }
        // Rows of other tables go by themselves when nothing refers to them any more.
        for (table, uuid) in self.deleted.iter().filter(|(table, _)| self.table(table).is_some_and(|t| t.is_root)) {
            operations
                .push(json!({"op": "delete", "table": table, "where": [["_uuid", "==", ["uuid", uuid.to_string()]]]}));
        }
        (operations, rows)
    }

    fn row_operations(&self, table: &str, uuid: Uuid, columns: &BTreeMap<usize, Write>) -> Vec<Value> {
        let (Some(schema), Some(new)) = (self.table(table), self.row(table, uuid)) else { return Vec::new() };
        let Some(old) = self.base.get(table).and_then(|rows| rows.get(&uuid)) else { return Vec::new() };
        let filter = json!([["_uuid", "==", ["uuid", uuid.to_string()]]]);
        let (mut row, mut mutations) = (Map::new(), Vec::new());
        for (&number, write) in columns {
            let column = &schema.columns[number];
            if old[number] == new[number] {
                continue;
            }
            if *write == Write::Whole || !column.column_type.is_composite() {
                row.insert(column.name.clone(), self.to_json(&new[number]));
                continue;
            }
            let (removed, added) = split(&old[number], &new[number]);
            if !removed.is_empty() {
                mutations.push(json!([column.name, "delete", as_set(&self.to_json(&removed))]));
            }
            if !added.is_empty() {
                mutations.push(json!([column.name, "insert", self.to_json(&added)]));
            }
        }
        let mut operations = Vec::new();
        if !row.is_empty() {
            operations.push(json!({"op": "update", "table": table, "where": filter, "row": row}));
        }
        if !mutations.is_empty() {
            operations.push(json!({"op": "mutate", "table": table, "where": filter, "mutations": mutations}));
        }
        operations
    }

    /// A datum's JSON, in which rows that are yet to be inserted go by name.
    fn to_json(&self, datum: &Datum) -> Value {
        let atom = |atom: &Atom| match atom {
            Atom::Uuid(uuid) if self.new_uuids.contains(uuid) => {
                json!(["named-uuid", name_of(*uuid)])
            }
            other => other.to_json(),
        };
        if datum.is_map() {
            let pairs = datum.pairs().iter().map(|(key, value)| json!([atom(key), atom(value)]));
            return json!(["map", Value::from_iter(pairs)]);
        }
        match datum.atoms() {
            [one] => atom(one),
            several => json!(["set", Value::from_iter(several.iter().map(atom))]),
        }
    }

    /// Notes that references to symbols were written to a column.
    pub fn note_references(&mut self, table: &str, number: usize, datum: &Datum) {
        let Some(column) = self.schema.tables.get(table).and_then(|t| t.columns.get(number)) else { return };
        let kinds: Vec<RefKind> =
            column.column_type.bases().filter_map(|base| base.reference()).map(|(_, kind)| kind).collect();
        for symbol in self.symbols.values_mut() {
            if datum.all_atoms().any(|atom| atom.as_uuid() == Some(symbol.uuid)) {
                symbol.strong |= kinds.contains(&RefKind::Strong);
                symbol.weak |= kinds.contains(&RefKind::Weak);
            }
        }
    }
}

/// What a column holds, as users write it; strings without quotes.
fn texts(datum: &Datum) -> impl Iterator<Item = String> {
    datum.atoms().iter().map(|atom| match atom {
        Atom::String(text) => text.to_string(),
        other => ovsdb_data::text::atom_to_string(other),
    })
}

impl Symbols for Store {
    fn symbol(&mut self, name: &str) -> Uuid {
        if let Some(known) = self.symbols.get(name) {
            return known.uuid;
        }
        let uuid = self.uuids.next_uuid();
        let symbol = Symbol { uuid, created: false, strong: false, weak: false };
        self.symbols.insert(name.to_string(), symbol);
        uuid
    }
}

/// An operation that fails if somebody else has deleted the row meanwhile; changes to it would be lost without a word.
fn still_there(table: &str, uuid: Uuid) -> Value {
    let uuid = json!(["uuid", uuid.to_string()]);
    json!({"op": "wait", "timeout": 0, "table": table, "where": [["_uuid", "==", uuid]],
           "columns": ["_uuid"], "until": "==", "rows": [{"_uuid": uuid}]})
}

fn name_of(uuid: Uuid) -> String {
    format!("row{}", uuid.to_string().replace('-', "_"))
}

/// What is only in `old` (for a map: its keys that go or change), and what is only in `new`.
fn split(old: &Datum, new: &Datum) -> (Datum, Datum) {
    if new.is_map() || old.is_map() {
        let gone = old.pairs().iter().filter(|(key, value)| new.get(key) != Some(value));
        let added = new.pairs().iter().filter(|(key, value)| old.get(key) != Some(value));
        return (Datum::set(gone.map(|(key, _)| key.clone()).collect()), Datum::map(added.cloned().collect()));
    }
    let (mut removed, mut added) = (old.clone(), new.clone());
    removed.subtract(new);
    added.subtract(old);
    (removed, added)
}

fn as_set(value: &Value) -> Value {
    match value.as_array().and_then(|a| a.first()).and_then(Value::as_str) {
        Some("set") => value.clone(),
        _ => json!(["set", [value]]),
    }
}

/// The rows of a replica, by table.
pub fn rows_of(replica: &Replica) -> HashMap<String, Rows> {
    let tables = replica.schema().into_iter().flat_map(|schema| schema.tables.keys());
    let rows = |table: &String| replica.rows(table).map(|row| (row.uuid(), Rc::new(row.columns().to_vec()))).collect();
    tables.map(|table| (table.clone(), rows(table))).collect()
}

/// One row as a `select` of all columns gave it.
pub fn selected_row(table: &TableSchema, uuid: Uuid, columns: &Map<String, Value>) -> Rc<Vec<Datum>> {
    let mut row = table.default_row();
    row[UUID_COLUMN] = uuid.into();
    for (column, value) in columns {
        if let Some(number) = table.column_number(column).filter(|n| *n >= FIRST_COLUMN)
            && let Ok(datum) = Datum::diff_from_json(value, &table.columns[number].column_type)
        {
            row[number] = datum;
        }
    }
    Rc::new(row)
}
