//! Reads records into a database. A record of a compacted file may be as large as the database, so rows are packed one
//! by one as they are parsed.

use crate::database::Database;
use crate::log_file::{LogReader, Magic};
use crate::packed::{self, PackedRow};
use crate::transaction::Transaction;
use crate::{commit, table};
use ovsdb_data::schema::TableSchema;
use ovsdb_data::{DatabaseSchema, Datum, OvsdbError, RefKind, Result, Uuid};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
use std::io::BufRead;

/// Members of a record beside its tables.
#[derive(Clone, Debug, Default)]
pub struct RecordInfo {
    /// `_date`
    pub date: Option<i64>,
    /// `_comment`
    pub comment: Option<String>,
    /// `_is_diff`
    pub is_diff: bool,
}

/// Why a record was not applied. The database is as it was.
#[derive(Debug)]
pub enum LoadError {
    /// Not JSON.
    Json(serde_json::Error),
    /// Not an object.
    NotAnObject,
    /// Not a transaction that fits the database.
    Content(OvsdbError),
}

/// What a file held.
pub struct Loaded {
    /// The rows.
    pub db: Database,
    /// Length of the good part of the file.
    pub end: u64,
    /// Why the rest is not.
    pub damage: Option<OvsdbError>,
}

/// Reads a standalone database file up to its first bad record.
pub fn read_file(file: &str, seed: [u8; 32]) -> Result<Loaded> {
    read(LogReader::open(file)?, seed)
}

/// Reads a standalone database up to its first bad record.
pub fn read<R: BufRead>(mut reader: LogReader<R>, seed: [u8; 32]) -> Result<Loaded> {
    let file = reader.path().to_string();
    if reader.magic() == Magic::Clustered {
        let details = format!("{file}: clustered databases are not served; use a standalone database file");
        return Err(OvsdbError::new("ovsdb error", details));
    }
    let Some((schema, start)) = reader.next_record()? else {
        return Err(OvsdbError::new("ovsdb error", format!("{file}: database file contains no schema")));
    };
    let schema = match serde_json::from_slice(&schema) {
        Ok(json) => DatabaseSchema::from_json(&json)?,
        Err(error) => return Err(reader.not_an_object(&schema, start, Some(&error))),
    };
    let mut db = Database::new(schema, seed);
    let mut damage = None;
    loop {
        let begin = reader.offset();
        let (body, start) = match reader.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(error) => {
                damage = Some(error);
                break;
            }
        };
        match apply_record(&mut db, &body) {
            Ok(_) => continue,
            Err(LoadError::Content(error)) => damage = Some(error),
            Err(LoadError::NotAnObject) => damage = Some(reader.not_an_object(&body, start, None)),
            Err(LoadError::Json(error)) => damage = Some(reader.not_an_object(&body, start, Some(&error))),
        }
        reader.reject(begin);
        break;
    }
    if let Err(error) = finish(&mut db) {
        damage.get_or_insert(error);
    }
    Ok(Loaded { db, end: reader.offset(), damage })
}

/// A row of a record.
enum Change {
    Put(Uuid, PackedRow),
    Modify(Uuid, Map<String, Value>),
    Delete(Uuid),
}

/// Applies a record of a file. Call [`finish`] after the last.
pub fn apply_record(db: &mut Database, json: &[u8]) -> std::result::Result<RecordInfo, LoadError> {
    if json.iter().find(|b| !b.is_ascii_whitespace()).is_none_or(|&b| b != b'{') {
        return match serde_json::from_slice::<IgnoredAny>(json) {
            Ok(_) => Err(LoadError::NotAnObject),
            Err(error) => Err(LoadError::Json(error)),
        };
    }
    let mut record = Record { db, json, info: RecordInfo::default(), changes: Vec::new(), problem: None };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let parsed = RecordSeed(&mut record).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    let Record { info, changes, problem, .. } = record;
    match (problem, parsed) {
        (Some(problem), _) => return Err(LoadError::Content(problem)),
        (None, Err(error)) => return Err(LoadError::Json(error)),
        (None, Ok(())) => {}
    }
    db.n_transactions += 1;
    let mut scratch = std::mem::take(&mut db.scratch);
    let apply = || -> Result<()> {
        let mut modified: Vec<(usize, Uuid, PackedRow)> = Vec::new();
        for (number, rows) in &changes {
            for change in rows {
                if let Change::Modify(uuid, columns) = change
                    && let Some(stored) = db.tables()[*number].get(uuid)
                {
                    let row = modify(db, *number, *uuid, stored, columns, info.is_diff)?;
                    let row = packed::pack(&db.tables()[*number].schema, db.n_transactions, &row, &mut scratch);
                    modified.push((*number, *uuid, row));
                }
            }
        }
        for (number, uuid, row) in modified {
            db.tables_mut()[number].put(uuid, Some(row));
        }
        for (number, rows) in changes {
            for change in rows {
                match change {
                    Change::Put(uuid, row) => db.tables_mut()[number].put(uuid, Some(row)),
                    Change::Delete(uuid) => db.tables_mut()[number].put(uuid, None),
                    Change::Modify(..) => None,
                };
            }
        }
        Ok(())
    };
    let result = apply();
    db.scratch = scratch;
    result.map(|()| info).map_err(LoadError::Content)
}

fn modify(
    db: &Database,
    number: usize,
    uuid: Uuid,
    stored: &PackedRow,
    columns: &Map<String, Value>,
    is_diff: bool,
) -> Result<Vec<Datum>> {
    let schema = &db.tables()[number].schema;
    let mut row = db.unpack(number, uuid, stored);
    for (name, value) in columns {
        let column = column_number(schema, name, columns)?;
        let column_type = &schema.columns[column].column_type;
        row[column] = if is_diff {
            row[column].apply_diff(&Datum::diff_from_json(value, column_type)?, column_type)
        } else {
            Datum::from_json(value, column_type, None)?
        };
    }
    Ok(row)
}

fn column_number(schema: &TableSchema, name: &str, row: &Map<String, Value>) -> Result<usize> {
    schema.column_number(name).ok_or_else(|| {
        OvsdbError::new("unknown column", format!("No column {name} in table {}.", schema.name))
            .about(&Value::Object(row.clone()))
    })
}

/// Counts references, takes weak ones to missing rows and rows that nobody needs out, and checks what must hold between
/// rows. The first violation is returned; the database can be used all the same.
pub fn finish(db: &mut Database) -> Result<()> {
    let mut strong: HashMap<(usize, Uuid), u32> = HashMap::new();
    let mut weak = Vec::new();
    let mut dangling = Vec::new();
    let mut problem = Ok(());
    for (number, table) in db.tables().iter().enumerate() {
        if table.references.is_empty() {
            continue;
        }
        for (uuid, row) in table.rows() {
            for reference in &table.references {
                let datum = packed::column(&table.schema, row, reference.column);
                reference.each(&datum, |target, kind| {
                    let exists = db.tables()[target.0].get(&target.1).is_some();
                    // An ephemeral column begins anew with its default.
                    let anew = target.1.is_zero() && !table.schema.columns[reference.column].persistent;
                    match kind {
                        RefKind::Strong if target.1 == uuid => {}
                        RefKind::Strong if exists || anew => *strong.entry(target).or_default() += 1,
                        RefKind::Strong => {
                            if problem.is_ok() {
                                problem = Err(missing(db, table, reference.column, uuid, target));
                            }
                        }
                        RefKind::Weak if anew => {}
                        RefKind::Weak if exists => weak.push((target, (number, uuid))),
                        RefKind::Weak => dangling.push((number, uuid)),
                    }
                });
            }
        }
    }
    for ((table, uuid), n) in strong {
        db.tables_mut()[table].strong_references.insert(uuid, n);
    }
    for (target, source) in weak {
        db.weak_references.entry(target).or_default().insert(source);
    }
    let mut txn = Transaction::default();
    for id in dangling {
        txn.touch(db, id);
    }
    for (number, table) in db.tables().iter().enumerate().filter(|(_, table)| !table.schema.is_root) {
        for (uuid, _) in table.rows().filter(|(uuid, _)| !table.strong_references.contains_key(uuid)) {
            txn.delete(db, (number, uuid));
        }
    }
    if !txn.rows.is_empty() && problem.is_ok() {
        problem = commit::replay(db, txn);
    }
    db.shrink();
    problem
}

fn missing(
    db: &Database,
    table: &table::Table,
    column: usize,
    uuid: Uuid,
    target: crate::database::RowId,
) -> OvsdbError {
    let details = format!(
        "Table {} column {} row {uuid} references nonexistent row {} in table {}.",
        table.schema.name,
        table.schema.columns[column].name,
        target.1,
        db.tables()[target.0].schema.name
    );
    OvsdbError::new("referential integrity violation", details)
}

struct Record<'a> {
    db: &'a Database,
    json: &'a [u8],
    info: RecordInfo,
    changes: Vec<(usize, Vec<Change>)>,
    problem: Option<OvsdbError>,
}

impl Record<'_> {
    fn fail<E: serde::de::Error>(&mut self, problem: OvsdbError) -> E {
        self.problem = Some(problem);
        E::custom("not a transaction")
    }

    /// The whole record as a value, for messages.
    fn value(&self) -> Value {
        serde_json::from_slice(self.json).unwrap_or_default()
    }
}

struct RecordSeed<'r, 'a>(&'r mut Record<'a>);

impl<'de> DeserializeSeed<'de> for RecordSeed<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a transaction record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let record = self.0;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "_date" => record.info.date = map.next_value::<Value>()?.as_i64(),
                "_comment" => record.info.comment = map.next_value::<Value>()?.as_str().map(str::to_string),
                "_is_diff" => record.info.is_diff = map.next_value::<Value>()?.as_bool().unwrap_or(false),
                name if name.starts_with('_') => {
                    map.next_value::<IgnoredAny>()?;
                }
                name => {
                    let Some(number) = record.db.table_number(name) else {
                        let details = format!("No table named {name}.");
                        let problem = OvsdbError::new("unknown table", details).about(&record.value());
                        return Err(record.fail(problem));
                    };
                    let mut scratch = Vec::new();
                    let rows = map.next_value_seed(TableSeed { record, number, scratch: &mut scratch })?;
                    record.changes.push((number, rows));
                }
            }
        }
        Ok(())
    }
}

struct TableSeed<'r, 'a, 's> {
    record: &'r mut Record<'a>,
    number: usize,
    scratch: &'s mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for TableSeed<'_, '_, '_> {
    type Value = Vec<Change>;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Vec<Change>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TableSeed<'_, '_, '_> {
    type Value = Vec<Change>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows of a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Vec<Change>, A::Error> {
        let table = &self.record.db.tables()[self.number];
        let version = self.record.db.n_transactions + 1;
        let mut template = table.schema.default_row();
        let mut changes = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let Some(uuid) = Uuid::parse(&name) else {
                let rows = self.record.value().get(&table.schema.name).cloned().unwrap_or_default();
                let problem = OvsdbError::syntax(&rows, format!("\"{name}\" is not a valid UUID"));
                return Err(self.record.fail(problem));
            };
            let columns = match map.next_value::<Value>()? {
                Value::Object(columns) => Some(columns),
                Value::Null => None,
                other => {
                    let problem = OvsdbError::syntax(&other, "row must be JSON object");
                    return Err(self.record.fail(problem));
                }
            };
            let exists = table.get(&uuid).is_some();
            changes.push(match columns {
                None if exists => Change::Delete(uuid),
                None => {
                    let details = format!("transaction deletes row {uuid} that does not exist");
                    return Err(self.record.fail(OvsdbError::bare_syntax(details)));
                }
                Some(columns) if exists => Change::Modify(uuid, columns),
                Some(columns) => match pack_new(&table.schema, &columns, &mut template, version, self.scratch) {
                    Ok(row) => Change::Put(uuid, row),
                    Err(problem) => return Err(self.record.fail(problem)),
                },
            });
        }
        Ok(changes)
    }
}

/// Packs a new row out of its columns; `template` has default values, before and after.
fn pack_new(
    schema: &TableSchema,
    columns: &Map<String, Value>,
    template: &mut [Datum],
    version: u64,
    scratch: &mut Vec<u8>,
) -> Result<PackedRow> {
    let mut set = Vec::with_capacity(columns.len());
    let mut result = Ok(());
    for (name, value) in columns {
        let datum = column_number(schema, name, columns)
            .and_then(|n| Datum::from_json(value, &schema.columns[n].column_type, None).map(|datum| (n, datum)));
        match datum {
            Ok((number, datum)) => {
                template[number] = datum;
                set.push(number);
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    let row = packed::pack(schema, version, template, scratch);
    for number in set {
        template[number] = Datum::default(&schema.columns[number].column_type);
    }
    result.map(|()| row)
}
