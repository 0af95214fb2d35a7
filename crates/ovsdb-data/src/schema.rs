//! Database schemas (RFC 7047 §3.2).

use crate::column_type::{BaseType, ColumnType, Constraint, RefKind};
use crate::datum::Datum;
use crate::error::{OvsdbError, Result};
use crate::json;
use crate::members::{Kinds, Members};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name, unique in the table.
    pub name: String,
    /// False if only `insert` may set it.
    pub mutable: bool,
    /// False if it is not written to the file.
    pub persistent: bool,
    /// Type.
    pub column_type: ColumnType,
}

/// A table. Columns are sorted by name, after `_uuid` (number 0) and `_version` (number 1).
#[derive(Clone, Debug, PartialEq)]
pub struct TableSchema {
    /// Name, unique in the database.
    pub name: String,
    /// Columns.
    pub columns: Vec<Column>,
    /// True if rows stay without being referenced.
    pub is_root: bool,
    /// Most rows that the table may have after a transaction.
    pub max_rows: u32,
    /// Sets of columns, by number, that are unique together.
    pub indexes: Vec<Vec<usize>>,
    by_name: HashMap<String, usize>,
}

/// Number of the `_uuid` column in every table.
pub const UUID_COLUMN: usize = 0;
/// Number of the `_version` column in every table.
pub const VERSION_COLUMN: usize = 1;
/// Number of the first column that the schema defines.
pub const FIRST_COLUMN: usize = 2;

/// A database schema.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseSchema {
    /// Name.
    pub name: String,
    /// `x.y.z`, or empty.
    pub version: String,
    /// Checksum of the schema's text, or empty; not checked.
    pub cksum: String,
    /// Tables by name.
    pub tables: BTreeMap<String, TableSchema>,
}

impl Column {
    fn from_json(name: &str, value: &Value) -> Result<Column> {
        let mut members = Members::new(value, format!("schema for column {name}"));
        let mutable = members.optional("mutable", Kinds::BOOLEAN).and_then(Value::as_bool).unwrap_or(true);
        let ephemeral = members.optional("ephemeral", Kinds::BOOLEAN).and_then(Value::as_bool).unwrap_or(false);
        let column_type = members.required("type", Kinds::STRING.or(Kinds::OBJECT));
        members.finish()?;
        let column_type = ColumnType::from_json(column_type.unwrap_or(&Value::Null))?;
        // A weak reference changes when its row goes, whatever the schema says (ovsdb-server(7) §3.2).
        let weak = column_type.bases().any(|base| matches!(base.reference(), Some((_, RefKind::Weak))));
        Ok(Column { name: name.to_string(), mutable: mutable || weak, persistent: !ephemeral, column_type })
    }

    /// The JSON form.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        if !self.mutable {
            object.insert("mutable".into(), Value::Bool(false));
        }
        if !self.persistent {
            object.insert("ephemeral".into(), Value::Bool(true));
        }
        object.insert("type".into(), self.column_type.to_json());
        Value::Object(object)
    }
}

impl TableSchema {
    /// A table of these columns, to which `_uuid` and `_version` are added.
    pub fn new(name: &str, mut columns: Vec<Column>, is_root: bool) -> TableSchema {
        let uuid = BaseType { atom_type: crate::AtomType::Uuid, constraint: Constraint::None };
        let own = |name: &str, persistent| Column {
            name: name.to_string(),
            mutable: false,
            persistent,
            column_type: ColumnType { key: uuid.clone(), value: None, n_min: 1, n_max: 1 },
        };
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        let mut all = vec![own("_uuid", true), own("_version", false)];
        all.extend(columns);
        let by_name = all.iter().enumerate().map(|(n, column)| (column.name.clone(), n)).collect();
        let name = name.to_string();
        TableSchema { name, columns: all, is_root, max_rows: u32::MAX, indexes: Vec::new(), by_name }
    }

    fn from_json(name: &str, value: &Value) -> Result<TableSchema> {
        let mut members = Members::new(value, format!("table schema for table {name}"));
        let columns = members.required("columns", Kinds::OBJECT);
        let max_rows = members.optional("maxRows", Kinds::INTEGER);
        let is_root = members.optional("isRoot", Kinds::BOOLEAN).and_then(Value::as_bool).unwrap_or(false);
        let indexes = members.optional("indexes", Kinds::ARRAY);
        members.finish()?;

        let max_rows = match max_rows.and_then(json::as_integer) {
            None => u32::MAX,
            Some(n) if n <= 0 => return Err(OvsdbError::syntax(value, "maxRows must be at least 1")),
            Some(n) => u32::try_from(n).unwrap_or(u32::MAX),
        };
        let columns = columns.and_then(Value::as_object);
        if columns.is_none_or(Map::is_empty) {
            return Err(OvsdbError::syntax(value, "table must have at least one column"));
        }
        let mut parsed = Vec::new();
        for (name, column) in columns.into_iter().flatten() {
            check_name(name, value)?;
            parsed.push(Column::from_json(name, column)?);
        }
        let mut table = TableSchema { max_rows, ..TableSchema::new(name, parsed, is_root) };
        for index in indexes.and_then(Value::as_array).into_iter().flatten() {
            let index = table.index_from_json(index)?;
            table.indexes.push(index);
        }
        Ok(table)
    }

    fn index_from_json(&self, value: &Value) -> Result<Vec<usize>> {
        if value.as_array().is_none_or(Vec::is_empty) {
            return Err(OvsdbError::syntax(value, "array of distinct column names expected"));
        }
        let index = self.column_set(value)?;
        for &n in &index {
            let column = &self.columns[n];
            if n < FIRST_COLUMN {
                let details = format!("index may not include column \"{}\"", column.name);
                return Err(OvsdbError::syntax(value, details));
            }
            if !column.persistent {
                let details = format!("ephemeral columns (such as {}) may not be indexed", column.name);
                return Err(OvsdbError::syntax(value, details));
            }
        }
        Ok(index)
    }

    /// Reads an array of distinct column names into column numbers, in the order given.
    pub fn column_set(&self, value: &Value) -> Result<Vec<usize>> {
        let unfit = || OvsdbError::syntax(value, "array of distinct column names expected");
        let mut columns = Vec::new();
        for name in value.as_array().ok_or_else(unfit)? {
            let name = name.as_str().ok_or_else(unfit)?;
            let column = self
                .column_number(name)
                .ok_or_else(|| OvsdbError::syntax(value, format!("{name} is not a valid column name")))?;
            if columns.contains(&column) {
                return Err(unfit());
            }
            columns.push(column);
        }
        Ok(columns)
    }

    /// The number of a column.
    pub fn column_number(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.get(self.column_number(name)?)
    }

    /// The columns that the schema defines, with their numbers.
    pub fn own_columns(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().skip(FIRST_COLUMN)
    }

    /// A row of default values. `_uuid` and `_version` are zero.
    pub fn default_row(&self) -> Vec<Datum> {
        self.columns.iter().map(|column| Datum::default(&column.column_type)).collect()
    }

    fn to_json(&self, default_is_root: bool) -> Value {
        let mut object = Map::new();
        let columns = self.own_columns().map(|(_, column)| (column.name.clone(), column.to_json())).collect();
        object.insert("columns".into(), Value::Object(columns));
        if self.max_rows != u32::MAX {
            object.insert("maxRows".into(), Value::from(self.max_rows));
        }
        if self.is_root && !default_is_root {
            object.insert("isRoot".into(), Value::Bool(true));
        }
        if !self.indexes.is_empty() {
            let names = |index: &Vec<usize>| Value::from_iter(index.iter().map(|&n| self.columns[n].name.as_str()));
            object.insert("indexes".into(), Value::from_iter(self.indexes.iter().map(names)));
        }
        Value::Object(object)
    }
}

fn check_name(name: &str, value: &Value) -> Result<()> {
    if name.starts_with('_') {
        return Err(OvsdbError::syntax(value, "names beginning with \"_\" are reserved"));
    }
    if !json::is_id(name) {
        return Err(OvsdbError::syntax(value, "name must be a valid id"));
    }
    Ok(())
}

/// True for `x.y.z`, all decimal digits.
pub fn is_version(text: &str) -> bool {
    let mut parts = text.split('.');
    let number = |part: Option<&str>| part.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    number(parts.next()) && number(parts.next()) && number(parts.next()) && parts.next().is_none()
}

impl DatabaseSchema {
    /// Reads a `<database-schema>`, and checks that references lead to tables of it.
    pub fn from_json(value: &Value) -> Result<DatabaseSchema> {
        let mut members = Members::new(value, "database schema");
        let name = members.required("name", Kinds::ID);
        let version = members.optional("version", Kinds::STRING);
        let cksum = members.optional("cksum", Kinds::STRING);
        let tables = members.required("tables", Kinds::OBJECT);
        members.optional("$schema", Kinds::STRING);
        members.finish()?;

        let text = |v: Option<&Value>| v.and_then(Value::as_str).unwrap_or_default().to_string();
        let given = version.is_some();
        let version = text(version);
        if given && !is_version(&version) {
            let details = format!("schema version \"{version}\" not in format x.y.z");
            return Err(OvsdbError::syntax(value, details));
        }
        let mut schema = DatabaseSchema { name: text(name), version, cksum: text(cksum), tables: BTreeMap::new() };
        for (name, table) in tables.and_then(Value::as_object).into_iter().flatten() {
            check_name(name, tables.unwrap_or(value))?;
            schema.tables.insert(name.clone(), TableSchema::from_json(name, table)?);
        }
        schema.check_references()?;
        // RFC 7047 §3.2: a schema without any root table predates garbage collection; all its tables are root tables.
        if !schema.tables.values().any(|table| table.is_root) {
            schema.tables.values_mut().for_each(|table| table.is_root = true);
        }
        schema.keep_references();
        Ok(schema)
    }

    /// What keeps rows alive that would go otherwise must come back with them after a restart.
    fn keep_references(&mut self) {
        let collected: HashSet<String> =
            self.tables.values().filter(|table| !table.is_root).map(|table| table.name.clone()).collect();
        let keeps = |base: &BaseType| matches!(base.reference(), Some((t, RefKind::Strong)) if collected.contains(t));
        for column in self.tables.values_mut().flat_map(|table| &mut table.columns) {
            column.persistent |= column.column_type.bases().any(keeps);
        }
    }

    fn check_references(&self) -> Result<()> {
        for table in self.tables.values() {
            for (_, column) in table.own_columns() {
                for (base, what) in column.column_type.bases().zip(["key", "value"]) {
                    if let Some((target, _)) = base.reference()
                        && !self.tables.contains_key(target)
                    {
                        let details = format!("column {} {what} refers to undefined table {target}", column.name);
                        return Err(OvsdbError::bare_syntax(details));
                    }
                }
            }
        }
        Ok(())
    }

    /// The JSON form.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("name".into(), Value::from(self.name.as_str()));
        if !self.version.is_empty() {
            object.insert("version".into(), Value::from(self.version.as_str()));
        }
        if !self.cksum.is_empty() {
            object.insert("cksum".into(), Value::from(self.cksum.as_str()));
        }
        let default_is_root = self.tables.values().all(|table| table.is_root);
        let tables = self.tables.iter().map(|(name, table)| (name.clone(), table.to_json(default_is_root))).collect();
        object.insert("tables".into(), Value::Object(tables));
        Value::Object(object)
    }
}
