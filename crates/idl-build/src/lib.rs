//! Generates Rust from a database schema: for each table a type to read its rows and a type to write their columns.
//!
//! A build script calls [`generate`] and writes what it returns into `OUT_DIR`; a module includes it. The text names
//! `typed` (of the crate `idl`), which the module brings into scope.

use ovsdb_data::schema::{Column, TableSchema};
use ovsdb_data::{AtomType, BaseType, DatabaseSchema};
use std::fmt::Write;

/// The text of a module.
pub fn generate(schema: &DatabaseSchema) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "/// The database's name.\npub const DATABASE: &str = {:?};", schema.name);
    for table in schema.tables.values() {
        reader(&mut out, schema, table);
        writer(&mut out, table);
    }
    out
}

/// `Flow_Table` is `FlowTable`, `sFlow` is `SFlow`.
pub fn type_name(table: &str) -> String {
    let mut name = String::new();
    for word in table.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// The name of a column's methods.
fn method(column: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "as", "async", "await", "box", "break", "const", "continue", "do", "dyn", "else", "enum", "extern", "false",
        "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return",
        "static", "struct", "trait", "true", "type", "unsafe", "use", "virtual", "where", "while", "yield",
    ];
    let lower = column.to_ascii_lowercase();
    match KEYWORDS.contains(&lower.as_str()) {
        true => format!("r#{lower}"),
        false => lower,
    }
}

/// How an atom is read.
fn read_type(base: &BaseType) -> &'static str {
    match base.atom_type {
        AtomType::Integer => "i64",
        AtomType::Real => "f64",
        AtomType::Boolean => "bool",
        AtomType::String => "&'a str",
        AtomType::Uuid => "typed::Uuid",
    }
}

/// How an atom is written.
fn write_type(base: &BaseType) -> &'static str {
    match base.atom_type {
        AtomType::Integer => "i64",
        AtomType::Real => "f64",
        AtomType::Boolean => "bool",
        AtomType::String => "impl AsRef<str>",
        AtomType::Uuid => "impl Into<typed::Ref>",
    }
}

/// An expression that makes JSON of `value`.
fn to_json(base: &BaseType, value: &str) -> String {
    match base.atom_type {
        AtomType::String => format!("typed::text({value}.as_ref())"),
        AtomType::Uuid => format!("Into::<typed::Ref>::into({value}).to_json()"),
        AtomType::Integer | AtomType::Real | AtomType::Boolean => format!("typed::number({value})"),
    }
}

fn reader(out: &mut String, schema: &DatabaseSchema, table: &TableSchema) {
    let name = type_name(&table.name);
    let columns: Vec<&str> = table.own_columns().map(|(_, column)| column.name.as_str()).collect();
    let _ = write!(
        out,
        "\n/// A row of `{table}`. What the database lacks, or what is not monitored, reads as the default.\n\
         #[derive(Clone, Copy, Debug)]\npub struct {name}<'a>(typed::Row<'a>);\n\n\
         impl<'a> typed::Table<'a> for {name}<'a> {{\n    \
             const NAME: &'static str = {table:?};\n    \
             const COLUMNS: &'static [&'static str] = &{columns:?};\n\n    \
             fn from_row(row: typed::Row<'a>) -> Self {{\n        {name}(row)\n    }}\n\n    \
             fn row(&self) -> typed::Row<'a> {{\n        self.0\n    }}\n}}\n\nimpl<'a> {name}<'a> {{\n",
        table = table.name,
    );
    for (_, column) in table.own_columns() {
        read_column(out, schema, column);
    }
    out.push_str("}\n");
}

fn read_column(out: &mut String, schema: &DatabaseSchema, column: &Column) {
    let (kind, name, method) = (&column.column_type, &column.name, method(&column.name));
    let _ = writeln!(out, "    /// `{name}`: {}.", kind.to_english());
    let key = read_type(&kind.key);
    let target = |base: &BaseType| {
        base.reference().filter(|(table, _)| schema.tables.contains_key(*table)).map(|(table, _)| type_name(table))
    };
    if let Some(value) = &kind.value {
        let (item, call) = match target(value) {
            Some(table) => (format!("({key}, {table}<'a>)"), "ref_pairs".to_string()),
            None => (format!("({key}, {})", read_type(value)), "pairs".to_string()),
        };
        let _ = writeln!(
            out,
            "    pub fn {method}(&self) -> impl Iterator<Item = {item}> + use<'a> {{ typed::{call}(self.0, {name:?}) }}"
        );
        if kind.key.atom_type == AtomType::String && value.atom_type == AtomType::String {
            let plain = column.name.to_ascii_lowercase();
            let _ = writeln!(
                out,
                "    /// The value of a key in `{name}`.\n    \
                 pub fn {plain}_get(&self, key: &str) -> Option<&'a str> {{ self.0.option({name:?}, key) }}"
            );
        }
        return;
    }
    let (item, call) = match target(&kind.key) {
        Some(table) => (format!("{table}<'a>"), "ref"),
        None => (key.to_string(), "atom"),
    };
    let (result, call) = match (kind.is_scalar(), kind.is_optional_scalar(), call) {
        (true, _, "atom") => (item, "scalar".to_string()),
        // The row that a reference names may not be known (yet).
        (true, ..) | (_, true, _) => (format!("Option<{item}>"), format!("optional_{call}")),
        _ => (format!("impl Iterator<Item = {item}> + use<'a>"), format!("{call}s")),
    };
    let _ = writeln!(out, "    pub fn {method}(&self) -> {result} {{ typed::{call}(self.0, {name:?}) }}");
}

fn writer(out: &mut String, table: &TableSchema) {
    let name = type_name(&table.name);
    let _ = write!(
        out,
        "\n/// Columns to be written of a row of `{table}`.\n#[derive(Clone, Debug, Default)]\n\
         pub struct {name}Columns(typed::Columns);\n\n\
         impl typed::Write for {name}Columns {{\n    const TABLE: &'static str = {table:?};\n\n    \
         fn into_columns(self) -> typed::Columns {{\n        self.0\n    }}\n}}\n\nimpl {name}Columns {{\n    \
         /// Nothing yet.\n    pub fn new() -> Self {{\n        Self::default()\n    }}\n",
        table = table.name,
    );
    for (_, column) in table.own_columns() {
        write_column(out, column);
    }
    out.push_str("}\n");
}

fn write_column(out: &mut String, column: &Column) {
    let (kind, name, method) = (&column.column_type, &column.name, method(&column.name));
    let key = write_type(&kind.key);
    let (argument, json) = match &kind.value {
        Some(value) => (
            format!("impl IntoIterator<Item = ({key}, {})>", write_type(value)),
            format!(
                "typed::map(value.into_iter().map(|(k, v)| ({}, {})))",
                to_json(&kind.key, "k"),
                to_json(value, "v")
            ),
        ),
        None if kind.is_scalar() => (key.to_string(), to_json(&kind.key, "value")),
        None if kind.is_optional_scalar() => {
            (format!("Option<{key}>"), format!("typed::set(value.into_iter().map(|v| {}))", to_json(&kind.key, "v")))
        }
        None => (
            format!("impl IntoIterator<Item = {key}>"),
            format!("typed::set(value.into_iter().map(|v| {}))", to_json(&kind.key, "v")),
        ),
    };
    let _ = writeln!(
        out,
        "    /// Writes `{name}`.\n    pub fn {method}(mut self, value: {argument}) -> Self {{\n        \
         self.0.insert({name:?}.to_string(), {json});\n        self\n    }}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |table: &str, expect: &str| assert_eq!(type_name(table), expect);
        check("Open_vSwitch", "OpenVSwitch");
        check("sFlow", "SFlow");
        check("Flow_Sample_Collector_Set", "FlowSampleCollectorSet");
        assert_eq!(method("type"), "r#type");
        assert_eq!(method("CFM_mpid"), "cfm_mpid");
    }

    #[test]
    fn columns() {
        let check = |column_type: &str, read: &str, write: &str| {
            let schema = format!(
                r#"{{"name": "D", "tables": {{"T": {{"columns": {{"c": {{"type": {column_type}}}}}}},
                    "My_Row": {{"columns": {{"x": {{"type": "string"}}}}}}}}}}"#
            );
            let schema = DatabaseSchema::from_json(&serde_json::from_str(&schema).unwrap()).unwrap();
            let text = generate(&schema);
            assert!(text.contains(&format!("pub fn c(&self) -> {read} {{")), "{text}");
            assert!(text.contains(&format!("pub fn c(mut self, value: {write}) -> Self")), "{text}");
        };
        check(r#""integer""#, "i64", "i64");
        check(r#"{"key": "string", "min": 0}"#, "Option<&'a str>", "Option<impl AsRef<str>>");
        check(
            r#"{"key": {"type": "uuid", "refTable": "My_Row"}, "min": 0, "max": "unlimited"}"#,
            "impl Iterator<Item = MyRow<'a>> + use<'a>",
            "impl IntoIterator<Item = impl Into<typed::Ref>>",
        );
        check(
            r#"{"key": "integer", "value": {"type": "uuid", "refTable": "My_Row"}, "min": 0, "max": 9}"#,
            "impl Iterator<Item = (i64, MyRow<'a>)> + use<'a>",
            "impl IntoIterator<Item = (i64, impl Into<typed::Ref>)>",
        );
    }
}
