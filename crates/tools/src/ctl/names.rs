//! Finds tables, columns and records by the names that users give them: abbreviations, names, UUIDs and parts of UUIDs.

use super::store::Store;
use super::{Needs, Product, need};
use ovsdb_data::{DatabaseSchema, TableSchema, Uuid};

/// True if `name` may stand for `full`: equal or the start, case and kind of dash aside.
fn matches(full: &str, name: &str) -> bool {
    let fold = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    let mut full = full.chars().map(fold);
    name.chars().map(fold).all(|c| full.next() == Some(c))
}

fn same(full: &str, name: &str) -> bool {
    full.len() == name.len() && matches(full, name)
}

/// The one that `name` means, or all that it may mean.
fn choose<'a>(all: impl Iterator<Item = &'a str>, name: &str) -> Result<Option<&'a str>, String> {
    let found: Vec<&str> = all.filter(|full| matches(full, name)).collect();
    if let Some(exact) = found.iter().find(|full| same(full, name)) {
        return Ok(Some(exact));
    }
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => Err(several.join(", ")),
    }
}

/// A table by its name or the start of it.
pub fn table<'a>(schema: &'a DatabaseSchema, name: &str) -> Result<&'a TableSchema, String> {
    match choose(schema.tables.keys().map(String::as_str), name) {
        Ok(Some(full)) => schema.tables.get(full).ok_or_else(|| format!("unknown table \"{name}\"")),
        Ok(None) => Err(format!("unknown table \"{name}\"")),
        Err(several) => Err(format!("\"{name}\" matches multiple table names: {several}")),
    }
}

/// A column's number by its name or the start of it.
pub fn column(table: &TableSchema, name: &str) -> Result<usize, String> {
    let all = table.columns.iter().map(|column| column.name.as_str()).filter(|name| *name != "_version");
    match choose(all, name) {
        Ok(Some(full)) => {
            let number = table.column_number(full);
            number.ok_or_else(|| format!("{} does not contain a column whose name matches \"{name}\"", table.name))
        }
        Ok(None) => Err(format!("{} does not contain a column whose name matches \"{name}\"", table.name)),
        Err(several) => {
            Err(format!("{} contains more than one column whose name matches \"{name}\": {several}", table.name))
        }
    }
}

/// Says what has to be read to find records of a table by name.
pub fn needs(needs: &mut Needs, schema: &DatabaseSchema, product: &Product, table: &str) {
    need(needs, schema, table, &[]);
    for name in product.names.iter().filter(|name| name.table == table) {
        let columns: Vec<&str> = name.name_column.into_iter().chain(name.reference).collect();
        need(needs, schema, name.name_table, &columns);
    }
}

/// Records of a table that `name` may mean.
fn candidates(store: &Store, product: &Product, table: &str, name: &str) -> Vec<Uuid> {
    let mut found: Vec<Uuid> = Vec::new();
    for way in product.names.iter().filter(|way| way.table == table) {
        let Some(schema) = store.table(way.name_table) else { continue };
        let rows = match way.name_column {
            Some(column) => {
                schema.column_number(column).map(|n| store.find(way.name_table, n, name)).unwrap_or_default()
            }
            None if name == "." && store.rows(way.name_table).count() == 1 => {
                store.rows(way.name_table).map(|(uuid, _)| uuid).collect()
            }
            None => Vec::new(),
        };
        for uuid in rows {
            match way.reference {
                None => found.push(uuid),
                Some(column) => found.extend(store.refs(way.name_table, uuid, column)),
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// A record, or `None` if there is none and that is allowed.
pub fn record(
    store: &Store,
    product: &Product,
    table: &str,
    name: &str,
    must_exist: bool,
) -> Result<Option<Uuid>, String> {
    if let Some(uuid) = Uuid::parse(name)
        && store.row(table, uuid).is_some()
    {
        return Ok(Some(uuid));
    }
    if let Some(symbol) = name.strip_prefix('@').and_then(|_| store.symbols.get(name))
        && store.row(table, symbol.uuid).is_some()
    {
        return Ok(Some(symbol.uuid));
    }
    // The only row of any table may be called so.
    if name == "." && store.rows(table).count() == 1 {
        return Ok(store.rows(table).next().map(|(uuid, _)| uuid));
    }
    let found = candidates(store, product, table, name);
    match found.as_slice() {
        [one] => return Ok(Some(*one)),
        [] => {}
        _ => return Err(format!("multiple rows in {table} match \"{name}\"")),
    }
    // The start of a UUID, if nothing is called so; four digits at least, so that typing errors match nothing.
    if name.len() >= 4 && name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        let start = name.to_ascii_lowercase();
        let found: Vec<Uuid> =
            store.rows(table).map(|(uuid, _)| uuid).filter(|uuid| uuid.to_string().starts_with(&start)).collect();
        match found.as_slice() {
            [one] => return Ok(Some(*one)),
            [] => {}
            _ => return Err(format!("{table} contains 2 or more rows whose UUIDs begin with {name}")),
        }
    }
    if must_exist { Err(format!("no row \"{name}\" in table {table}")) } else { Ok(None) }
}
