//! The commands that work on any table: list, find, get, set, add, remove, clear, create, destroy, wait-until, comment.

use super::store::Write;
use super::{Call, Command, Context, Needs, Product, names, need, need_all, values};
use crate::table::{Cell, Table};
use ovsdb_data::atom::Symbols;
use ovsdb_data::schema::{FIRST_COLUMN, UUID_COLUMN, VERSION_COLUMN};
use ovsdb_data::{ColumnType, DatabaseSchema, Datum, TableSchema, Uuid, text};

const ANY: usize = usize::MAX;

macro_rules! command {
    ($name:literal, $min:expr, $max:expr, $usage:literal, [$($option:literal),*], $needs:path, $run:path) => {
        Command { name: $name, min: $min, max: $max, usage: $usage, options: &[$($option),*], needs: $needs, run: $run }
    };
}

/// The generic commands.
pub const COMMANDS: &[Command] = &[
    command!("comment", 0, ANY, "[ARG]...", [], nothing, comment),
    command!("get", 2, ANY, "TABLE RECORD [COLUMN[:KEY]]...", ["--if-exists", "--id="], record_and_columns, get),
    command!("list", 1, ANY, "TABLE [RECORD]...", ["--if-exists", "--columns="], whole_table, list),
    command!("find", 1, ANY, "TABLE [COLUMN[:KEY]=VALUE]...", ["--columns="], whole_table, find),
    command!("set", 3, ANY, "TABLE RECORD COLUMN[:KEY]=VALUE...", ["--if-exists"], record_and_columns, set),
    command!("add", 4, ANY, "TABLE RECORD COLUMN [KEY=]VALUE...", ["--if-exists"], record_and_column, add),
    command!(
        "remove",
        4,
        ANY,
        "TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...",
        ["--if-exists"],
        record_and_column,
        remove
    ),
    command!("clear", 3, ANY, "TABLE RECORD COLUMN...", ["--if-exists"], record_and_columns, clear),
    command!("create", 2, ANY, "TABLE COLUMN[:KEY]=VALUE...", ["--id="], table_only, create),
    command!("destroy", 1, ANY, "TABLE [RECORD]...", ["--if-exists", "--all"], record_only, destroy),
    command!("wait-until", 2, ANY, "TABLE RECORD [COLUMN[:KEY]=VALUE]...", [], whole_table, wait_until),
];

fn nothing(_: &Call, _: &DatabaseSchema, _: &Product, _: &mut Needs) -> Result<(), String> {
    Ok(())
}

fn table_only(call: &Call, schema: &DatabaseSchema, product: &Product, needs: &mut Needs) -> Result<(), String> {
    let table = names::table(schema, &call.args[0])?;
    names::needs(needs, schema, product, &table.name);
    Ok(())
}

fn record_only(call: &Call, schema: &DatabaseSchema, product: &Product, needs: &mut Needs) -> Result<(), String> {
    table_only(call, schema, product, needs)
}

fn whole_table(call: &Call, schema: &DatabaseSchema, product: &Product, needs: &mut Needs) -> Result<(), String> {
    let table = names::table(schema, &call.args[0])?;
    names::needs(needs, schema, product, &table.name);
    let Some(columns) = call.options.get("--columns").filter(|c| !c.is_empty()) else {
        need_all(needs, &table.name);
        return Ok(());
    };
    if call.command.name == "find" {
        need_all(needs, &table.name);
    }
    for name in columns.split([',', ' ']).filter(|name| !name.is_empty()) {
        let column = names::column(table, name)?;
        need(needs, schema, &table.name, &[table.columns[column].name.as_str()]);
    }
    Ok(())
}

fn record_and_columns(
    call: &Call,
    schema: &DatabaseSchema,
    product: &Product,
    needs: &mut Needs,
) -> Result<(), String> {
    let table = names::table(schema, &call.args[0])?;
    names::needs(needs, schema, product, &table.name);
    for argument in &call.args[2.min(call.args.len())..] {
        let mut rest = argument.as_str();
        let name = text::token(&mut rest)?;
        if name.is_empty() {
            return Err(format!("{argument}: missing column name"));
        }
        let column = names::column(table, &name)?;
        need(needs, schema, &table.name, &[table.columns[column].name.as_str()]);
    }
    Ok(())
}

fn record_and_column(call: &Call, schema: &DatabaseSchema, product: &Product, needs: &mut Needs) -> Result<(), String> {
    let table = names::table(schema, &call.args[0])?;
    names::needs(needs, schema, product, &table.name);
    let column = names::column(table, &call.args[2])?;
    need(needs, schema, &table.name, &[table.columns[column].name.as_str()]);
    Ok(())
}

fn table_of(context: &Context<'_>) -> Result<TableSchema, String> {
    names::table(&context.store.schema, context.arg(0)).cloned()
}

fn record_of(context: &Context<'_>, table: &str, name: &str) -> Result<Option<Uuid>, String> {
    names::record(context.store, context.product, table, name, !context.call.has("--if-exists"))
}

fn comment(_: &mut Context<'_>) -> Result<(), String> {
    Ok(())
}

fn get(context: &mut Context<'_>) -> Result<(), String> {
    let table = table_of(context)?;
    let id = context.call.options.get("--id").cloned();
    if id.is_some() && context.call.has("--if-exists") {
        return Err("--if-exists and --id may not be specified together".into());
    }
    let name = context.arg(1).to_string();
    let Some(uuid) = record_of(context, &table.name, &name)? else { return Ok(()) };
    if let Some(id) = id {
        if !id.starts_with('@') {
            return Err(format!("row id \"{id}\" does not begin with \"@\""));
        }
        if context.store.symbols.get(&id).is_some_and(|symbol| symbol.created) {
            return Err(format!("row id \"{id}\" specified on \"get\" command was used before it was defined"));
        }
        context.store.symbol(&id);
        if let Some(symbol) = context.store.symbols.get_mut(&id) {
            symbol.uuid = uuid;
            symbol.created = true;
            // It is there already: no reference to it is needed.
            symbol.strong = true;
        }
    }
    let row = context.store.row(&table.name, uuid).cloned().unwrap_or_default();
    let call = context.call;
    for argument in &call.args[2..] {
        let parsed = values::parse(&table, argument, None)?;
        let column = &table.columns[parsed.column];
        let Some(key) = &parsed.key else {
            let text = text::datum_to_string(&row[parsed.column], &column.column_type);
            context.line(text);
            continue;
        };
        if !column.column_type.is_map() {
            return Err(format!("cannot specify key to get for non-map column {}", column.name));
        }
        let atom = values::key_atom(context.store, &column.column_type, key)?;
        match row[parsed.column].get(&atom) {
            Some(value) => context.line(text::atom_to_string(value)),
            None if context.call.has("--if-exists") => context.line(""),
            None => {
                return Err(format!("no key \"{key}\" in {} record \"{name}\" column {}", table.name, column.name));
            }
        }
    }
    Ok(())
}

/// Numbers of the columns that `--columns` names, or of all.
fn columns_of(context: &Context<'_>, table: &TableSchema) -> Result<Vec<usize>, String> {
    let Some(list) = context.call.options.get("--columns").filter(|list| !list.is_empty()) else {
        return Ok((0..table.columns.len()).filter(|n| *n != VERSION_COLUMN).collect());
    };
    list.split([',', ' ']).filter(|name| !name.is_empty()).map(|name| names::column(table, name)).collect()
}

fn show_rows(context: &mut Context<'_>, table: &TableSchema, rows: Vec<Uuid>) -> Result<(), String> {
    let columns = columns_of(context, table)?;
    let mut out = Table::new(columns.iter().map(|n| table.columns[*n].name.as_str()));
    for uuid in rows {
        let Some(row) = context.store.row(&table.name, uuid) else { continue };
        let cell = |n: &usize| Cell::Datum(row[*n].clone(), table.columns[*n].column_type.clone());
        out.rows.push(columns.iter().map(cell).collect());
    }
    context.table = Some(out);
    Ok(())
}

/// Rows in the order of what is printed, column by column.
fn sorted(context: &Context<'_>, table: &TableSchema, mut rows: Vec<Uuid>) -> Vec<Uuid> {
    rows.sort_by(|a, b| {
        let key = |uuid: &Uuid| context.store.row(&table.name, *uuid).map(|row| row[UUID_COLUMN].clone());
        key(a).cmp(&key(b))
    });
    rows
}

fn list(context: &mut Context<'_>) -> Result<(), String> {
    let table = table_of(context)?;
    let mut rows = Vec::new();
    if context.call.args.len() > 1 {
        let call = context.call;
        for name in &call.args[1..] {
            rows.extend(record_of(context, &table.name, name)?);
        }
    } else {
        rows = sorted(context, &table, context.store.rows(&table.name).map(|(uuid, _)| uuid).collect());
    }
    show_rows(context, &table, rows)
}

fn find(context: &mut Context<'_>) -> Result<(), String> {
    let table = table_of(context)?;
    let mut rows = Vec::new();
    let all: Vec<(Uuid, _)> = context.store.rows(&table.name).map(|(uuid, row)| (uuid, row.clone())).collect();
    for argument in &context.call.args[1..] {
        values::parse(&table, argument, Some(values::relations()))?;
    }
    for (uuid, row) in all {
        let mut all_hold = true;
        for argument in &context.call.args[1..] {
            all_hold = all_hold && values::holds(context.store, &table, &row, argument)?;
        }
        if all_hold {
            rows.push(uuid);
        }
    }
    let rows = sorted(context, &table, rows);
    show_rows(context, &table, rows)
}

fn writable(table: &TableSchema, number: usize, inserted: bool) -> Result<(), String> {
    let column = &table.columns[number];
    if number < FIRST_COLUMN || !column.mutable && !inserted {
        return Err(format!("cannot modify read-only column {} in table {}", column.name, table.name));
    }
    Ok(())
}

/// Sets a column, or a key of it.
pub(crate) fn set_column(
    context: &mut Context<'_>,
    table: &TableSchema,
    uuid: Uuid,
    argument: &str,
) -> Result<(), String> {
    let parsed = values::parse(table, argument, Some(&["="]))?;
    let column = &table.columns[parsed.column];
    if parsed.value.is_empty() {
        return Err(format!("{argument}: argument does not end in \"=\" followed by a value."));
    }
    if parsed.column < FIRST_COLUMN {
        return Err(format!(
            "{} does not contain a column whose name matches \"{}\"",
            table.name, table.columns[parsed.column].name
        ));
    }
    writable(table, parsed.column, context.store.is_inserted(&table.name, uuid))?;
    let Some(key) = &parsed.key else {
        let datum = text::datum_from_str(&column.column_type, parsed.value, Some(context.store))?;
        context.store.note_references(&table.name, parsed.column, &datum);
        context.store.set_number(&table.name, uuid, parsed.column, datum, Write::Whole);
        return Ok(());
    };
    let Some(value_type) = &column.column_type.value else {
        return Err(format!("cannot specify key to set for non-map column {}", column.name));
    };
    let key = values::key_atom(context.store, &column.column_type, key)?;
    let value = text::atom_from_str(value_type, parsed.value, Some(context.store))?;
    let pair = Datum::map(vec![(key, value)]);
    context.store.note_references(&table.name, parsed.column, &pair);
    let mut datum = context.store.row(&table.name, uuid).map_or(Datum::EMPTY, |row| row[parsed.column].clone());
    datum.union(&pair, true);
    context.store.set_number(&table.name, uuid, parsed.column, datum, Write::Elements);
    Ok(())
}

fn set(context: &mut Context<'_>) -> Result<(), String> {
    let table = table_of(context)?;
    let name = context.arg(1).to_string();
    let Some(uuid) = record_of(context, &table.name, &name)? else { return Ok(()) };
    let call = context.call;
    for argument in &call.args[2..] {
        set_column(context, &table, uuid, argument)?;
    }
    Ok(())
}

fn check_count(table: &TableSchema, number: usize, operation: &str, datum: &Datum) -> Result<(), String> {
    let column = &table.columns[number];
    let what = if column.column_type.is_map() { "pairs" } else { "values" };
    let (n, min, max) = (datum.len(), column.column_type.n_min as usize, column.column_type.n_max);
    if max != u32::MAX && n > max as usize {
        return Err(format!(
            "\"{operation}\" operation would put {n} {what} in column {} of table {} but the maximum number is {max}",
            column.name, table.name
        ));
    }
    if n < min {
        return Err(format!(
            "\"{operation}\" operation would put {n} {what} in column {} of table {} but the minimum number is {min}",
            column.name, table.name
        ));
    }
    Ok(())
}

fn add(context: &mut Context<'_>) -> Result<(), String> {
    let table = table_of(context)?;
    let name = context.arg(1).to_string();
    let Some(uuid) = record_of(context, &table.name, &name)? else { return Ok(()) };
    let number = names::column(&table, context.arg(2))?;
    writable(&table, number, false)?;
    let relaxed = ColumnType { n_min: 1, ..table.columns[number].column_type.relaxed() };
    let mut datum = context.store.row(&table.name, uuid).map_or(Datum::EMPTY, |row| row[number].clone());
    let call = context.call;
    for argument in &call.args[3..] {
        let more = text::datum_from_str(&relaxed, argument, Some(context.store))?;
        context.store.note_references(&table.name, number, &more);
        datum.union(&more, false);
    }
    check_count(&table, number, "add", &datum)?;
    context.store.set_number(&table.name, uuid, number, datum, Write::Elements);
    Ok(())
}

fn remove(context: &mut Context<'_>) -> Result<(), String> {
    let table = table_of(context)?;
    let name = context.arg(1).to_string();
    let Some(uuid) = record_of(context, &table.name, &name)? else { return Ok(()) };
    let number = names::column(&table, context.arg(2))?;
    writable(&table, number, false)?;
    let relaxed = ColumnType { n_min: 1, ..table.columns[number].column_type.relaxed() };
    let keys = ColumnType { value: None, ..relaxed.clone() };
    let mut datum = context.store.row(&table.name, uuid).map_or(Datum::EMPTY, |row| row[number].clone());
    let call = context.call;
    for argument in &call.args[3..] {
        let pairs = text::datum_from_str(&relaxed, argument, Some(context.store));
        let gone = match pairs {
            Err(_) if relaxed.is_map() => text::datum_from_str(&keys, argument, Some(context.store))?,
            other => other?,
        };
        datum.subtract(&gone);
    }
    check_count(&table, number, "remove", &datum)?;
    context.store.set_number(&table.name, uuid, number, datum, Write::Elements);
    Ok(())
}

fn clear(context: &mut Context<'_>) -> Result<(), String> {
    let table = table_of(context)?;
    let name = context.arg(1).to_string();
    let Some(uuid) = record_of(context, &table.name, &name)? else { return Ok(()) };
    let call = context.call;
    for argument in &call.args[2..] {
        let number = names::column(&table, argument)?;
        writable(&table, number, false)?;
        let column = &table.columns[number];
        if column.column_type.n_min > 0 {
            return Err(format!(
                "\"clear\" operation cannot be applied to column {} of table {}, which is not allowed to be empty",
                column.name, table.name
            ));
        }
        context.store.set_number(&table.name, uuid, number, Datum::empty(&column.column_type), Write::Whole);
    }
    Ok(())
}

fn create(context: &mut Context<'_>) -> Result<(), String> {
    let id = context.call.options.get("--id").cloned();
    let table = table_of(context)?;
    let wanted = id.as_deref().and_then(Uuid::parse);
    match &id {
        Some(_) if wanted.is_some() => {}
        Some(id) if !id.starts_with('@') => return Err(format!("row id \"{id}\" does not begin with \"@\"")),
        Some(id) if context.store.symbols.get(id).is_some_and(|symbol| symbol.created) => {
            return Err(format!("row id \"{id}\" may only be specified on one --id option"));
        }
        None if !table.is_root => context.warnings.push(format!(
            "applying \"create\" command to table {} without --id option will have no effect",
            table.name
        )),
        _ => {}
    }
    let uuid = match wanted {
        Some(uuid) => context.store.insert_as(&table.name, uuid),
        None => context.store.insert(&table.name, id.as_deref()),
    };
    let call = context.call;
    for argument in &call.args[1..] {
        set_column(context, &table, uuid, argument)?;
    }
    context.line(uuid.to_string());
    Ok(())
}

fn destroy(context: &mut Context<'_>) -> Result<(), String> {
    let table = table_of(context)?;
    if context.call.has("--all") {
        if context.call.args.len() > 1 {
            return Err("--all and records argument should not be specified together".into());
        }
        if context.call.has("--if-exists") {
            return Err("--all and --if-exists should not be specified together".into());
        }
        let all: Vec<Uuid> = context.store.rows(&table.name).map(|(uuid, _)| uuid).collect();
        all.into_iter().for_each(|uuid| context.store.delete(&table.name, uuid));
        return Ok(());
    }
    if context.call.args.len() == 1 {
        return Err("either --all or records argument should be specified".into());
    }
    let call = context.call;
    for name in &call.args[1..] {
        if let Some(uuid) = record_of(context, &table.name, name)? {
            context.store.delete(&table.name, uuid);
        }
    }
    Ok(())
}

fn wait_until(context: &mut Context<'_>) -> Result<(), String> {
    let table = table_of(context)?;
    let name = context.arg(1).to_string();
    let Some(uuid) = names::record(context.store, context.product, &table.name, &name, false)? else {
        context.wait = true;
        return Ok(());
    };
    let row = context.store.row(&table.name, uuid).cloned().unwrap_or_default();
    let call = context.call;
    for argument in &call.args[2..] {
        if !values::holds(context.store, &table, &row, argument)? {
            context.wait = true;
            return Ok(());
        }
    }
    Ok(())
}
