//! `show`: the database as a tree.

use super::{Call, Context, Needs, Product, ShowTable, names, need};
use ovsdb_data::schema::TableSchema;
use ovsdb_data::{DatabaseSchema, Uuid, text};
use std::collections::HashSet;

/// What `show` reads.
pub fn needs(_: &Call, schema: &DatabaseSchema, product: &Product, needs: &mut Needs) -> Result<(), String> {
    for table in product.show {
        need(needs, schema, table.table, table.columns);
        need(needs, schema, table.table, &table.name.into_iter().collect::<Vec<_>>());
    }
    for name in product.names.iter().filter(|name| name.reference.is_none()) {
        need(needs, schema, name.table, &name.name_column.into_iter().collect::<Vec<_>>());
    }
    Ok(())
}

/// Prints the rows of the first table, and everything below them.
pub fn run(context: &mut Context<'_>) -> Result<(), String> {
    let Some(top) = context.product.show.first() else { return Ok(()) };
    let filters = match context.call.options.get("--filter") {
        Some(text) => parse_filters(context, text)?,
        None => Vec::new(),
    };
    let rows: Vec<Uuid> = context.store.rows(top.table).map(|(uuid, _)| uuid).collect();
    for uuid in rows {
        row(context, top, uuid, 0, &mut Shown { above: HashSet::new(), filters: &filters });
    }
    Ok(())
}

/// `TABLE(TEXT|…)`: rows of the table are shown if what would be printed of them holds one of the texts.
type Filter = (String, Vec<String>);

fn parse_filters(context: &Context<'_>, text: &str) -> Result<Vec<Filter>, String> {
    let mut filters = Vec::new();
    let mut rest = text;
    while let Some((table, after)) = rest.split_once('(') {
        let table = names::table(&context.store.schema, table.trim_start_matches([',', ' ']))?.name.clone();
        let Some((texts, after)) = after.split_once(')') else {
            return Err("Malformed filter: missing closing ')'".into());
        };
        let texts = texts.split('|').filter(|text| !text.is_empty()).map(String::from).collect();
        filters.push((table, texts));
        rest = after;
    }
    Ok(filters)
}

/// What is being shown.
struct Shown<'f> {
    /// The rows that the present one is below.
    above: HashSet<Uuid>,
    filters: &'f [Filter],
}

fn row(context: &mut Context<'_>, show: &ShowTable, uuid: Uuid, level: usize, shown: &mut Shown<'_>) {
    let start = context.out.len();
    print_row(context, show, uuid, level, shown);
    let printed = &context.out[start..];
    let hidden = |(table, texts): &Filter| table == show.table && !texts.iter().any(|text| printed.contains(text));
    if shown.filters.iter().any(hidden) {
        context.out.truncate(start);
    }
}

fn print_row(context: &mut Context<'_>, show: &ShowTable, uuid: Uuid, level: usize, shown: &mut Shown<'_>) {
    let Some(table) = context.store.table(show.table).cloned() else { return };
    let indent = "    ".repeat(level);
    match show.name {
        Some(name) => {
            let name = context.store.text(show.table, uuid, name);
            context.line(format!("{indent}{} {}", show.table, text::string_to_text(&name)));
        }
        None => context.line(format!("{indent}{uuid}")),
    }
    if !shown.above.insert(uuid) {
        return;
    }
    for name in show.columns {
        column(context, &table, uuid, name, level + 1, shown);
    }
    shown.above.remove(&uuid);
}

fn column(context: &mut Context<'_>, table: &TableSchema, uuid: Uuid, name: &str, level: usize, shown: &mut Shown<'_>) {
    let Some(number) = table.column_number(name) else { return };
    let Some(datum) = context.store.row(&table.name, uuid).map(|row| row[number].clone()) else { return };
    let column_type = &table.columns[number].column_type;
    let target = column_type.key.reference().or(column_type.value.as_ref().and_then(|base| base.reference()));
    if let Some((target, _)) = target
        && let Some(below) = context.product.show.iter().find(|show| show.table == target)
    {
        for atom in datum.all_atoms() {
            if let Some(uuid) = atom.as_uuid().filter(|uuid| context.store.row(target, *uuid).is_some()) {
                row(context, below, uuid, level, shown);
            }
        }
        return;
    }
    // A map to rows that are shown elsewhere, or not at all, shows their names.
    if let Some(named) =
        context.product.names.iter().find(|way| {
            datum.is_map() && way.reference.is_none() && target.is_some_and(|(target, _)| way.table == target)
        })
    {
        context.line(format!("{}{name}:", "    ".repeat(level)));
        for (key, value) in datum.pairs() {
            let row = value.as_uuid().unwrap_or_default();
            let value = context.store.text(named.table, row, named.name_column.unwrap_or_default());
            let value = text::string_to_text(&value);
            context.line(format!("{}{}={value}", "    ".repeat(level + 1), text::atom_to_string(key)));
        }
        return;
    }
    if !datum.is_default(column_type) {
        let text = text::datum_to_string(&datum, column_type);
        context.line(format!("{}{name}: {text}", "    ".repeat(level)));
    }
}
