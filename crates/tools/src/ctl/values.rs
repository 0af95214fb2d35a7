//! `COLUMN[:KEY]OPERATOR VALUE` arguments.

use super::names;
use super::store::Store;
use ovsdb_data::text::{self, TextResult};
use ovsdb_data::{Atom, ColumnType, Datum, TableSchema};

/// `COLUMN[:KEY]`, then perhaps an operator and a value.
pub struct Argument<'a> {
    /// Number of the column.
    pub column: usize,
    /// Text of the key.
    pub key: Option<String>,
    /// Operator, if one was found.
    pub operator: Option<&'static str>,
    /// Text after the operator.
    pub value: &'a str,
}

const RELATIONS: &[&str] =
    &["{not-in}", "{in}", "{<=}", "{>=}", "{!=}", "{=}", "{<}", "{>}", "<=", ">=", "!=", "=", "<", ">"];

/// Takes an argument apart. With `operators`, one of them has to be there.
pub fn parse<'a>(table: &TableSchema, text: &'a str, operators: Option<&[&'static str]>) -> TextResult<Argument<'a>> {
    let mut rest = text;
    let name = text::token(&mut rest)?;
    if name.is_empty() {
        return Err(format!("{text}: missing column name"));
    }
    let column = names::column(table, &name)?;
    let mut key = None;
    if let Some(after) = rest.strip_prefix(':') {
        rest = after;
        key = Some(text::token(&mut rest)?);
    }
    let Some(operators) = operators else {
        if !rest.is_empty() {
            return Err(format!("{text}: trailing garbage \"{rest}\" in argument"));
        }
        return Ok(Argument { column, key, operator: None, value: "" });
    };
    let operator = operators.iter().find(|operator| rest.starts_with(**operator)).copied();
    match operator {
        Some(operator) => Ok(Argument { column, key, operator: Some(operator), value: &rest[operator.len()..] }),
        None if operators == ["="] => Err(format!("{text}: argument does not end in \"=\" followed by a value.")),
        None => Err(format!(
            "{text}: argument does not end in \"=\", \"!=\", \"<\", \">\", \"<=\", \">=\", \"{{=}}\", \
                 \"{{!=}}\", \"{{<}}\", \"{{>}}\", \"{{<=}}\", \"{{>=}}\", \"{{in}}\", or \"{{not-in}}\" followed by a value."
        )),
    }
}

/// The operators of `find` and `wait-until`.
pub fn relations() -> &'static [&'static str] {
    RELATIONS
}

/// The key as an atom of the map's key type.
pub fn key_atom(store: &mut Store, column_type: &ColumnType, key: &str) -> TextResult<Atom> {
    text::atom_from_str(&column_type.key, key, Some(store))
}

/// Whether a row satisfies `COLUMN[:KEY]OPERATOR VALUE`.
pub fn holds(store: &mut Store, table: &TableSchema, row: &[Datum], argument: &str) -> TextResult<bool> {
    let parsed = parse(table, argument, Some(RELATIONS))?;
    let column_type = &table.columns[parsed.column].column_type;
    let operator = parsed.operator.unwrap_or("=");
    let column = &row[parsed.column];
    let Some(key) = &parsed.key else {
        let mut wanted_type = column_type.clone();
        if operator.starts_with('{') {
            wanted_type = wanted_type.relaxed();
        }
        let wanted = text::datum_from_str(&wanted_type, parsed.value, Some(store))?;
        return Ok(compare(column, operator, &wanted));
    };
    let Some(value_type) = &column_type.value else {
        return Err(format!("cannot specify key to check for non-map column {}", table.columns[parsed.column].name));
    };
    let key = key_atom(store, column_type, key)?;
    let value_column = ColumnType { key: value_type.clone(), value: None, n_min: 0, n_max: u32::MAX };
    let wanted = text::datum_from_str(&value_column, parsed.value, Some(store))?;
    let found = match column.get(&key) {
        Some(value) => Datum::from(value.clone()),
        // ovs-vsctl(8): arithmetic operators hold for no record without the key.
        None if !operator.starts_with('{') => return Ok(false),
        None => Datum::EMPTY,
    };
    Ok(compare(&found, operator, &wanted))
}

fn compare(column: &Datum, operator: &str, wanted: &Datum) -> bool {
    match operator {
        "=" => column == wanted,
        "!=" => column != wanted,
        "<" => column < wanted,
        ">" => column > wanted,
        "<=" => column <= wanted,
        ">=" => column >= wanted,
        "{=}" => column.includes_all(wanted) && wanted.includes_all(column),
        "{!=}" => !(column.includes_all(wanted) && wanted.includes_all(column)),
        "{<}" => wanted.includes_all(column) && wanted.len() > column.len(),
        "{>}" => column.includes_all(wanted) && column.len() > wanted.len(),
        "{<=}" | "{in}" => wanted.includes_all(column),
        "{>=}" => column.includes_all(wanted),
        _ => wanted.excludes_all(column),
    }
}
