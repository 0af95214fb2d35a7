//! Rows with a `target`: controllers and managers.

use super::Context;
use ovsdb_data::{Atom, Datum, Uuid};

/// Sorted targets of the rows that a column refers to.
pub(crate) fn targets(context: &Context<'_>, table: &str, uuid: Uuid, column: &str, target_table: &str) -> Vec<String> {
    let rows = context.store.refs(table, uuid, column);
    let mut targets: Vec<String> =
        rows.into_iter().map(|row| context.store.text(target_table, row, "target")).collect();
    targets.sort();
    targets
}

/// Deletes the rows that a column refers to.
pub(crate) fn delete_rows(context: &mut Context<'_>, table: &str, uuid: Uuid, column: &str, target_table: &str) {
    for row in context.store.refs(table, uuid, column) {
        context.store.delete(target_table, row);
    }
    context.store.set(table, uuid, column, Datum::EMPTY);
}

/// Replaces the rows that a column refers to by one for each target.
pub(crate) fn set_targets(
    context: &mut Context<'_>,
    table: &str,
    uuid: Uuid,
    column: &str,
    target_table: &str,
    targets: &[String],
) -> Result<(), String> {
    let probe = match context.call.options.get("--inactivity-probe") {
        Some(text) => Some(text.parse::<i64>().map_err(|_| format!("{text}: inactivity probe is not an integer"))?),
        None => None,
    };
    delete_rows(context, table, uuid, column, target_table);
    let mut rows = Vec::new();
    for target in targets {
        let row = context.store.insert(target_table, None);
        context.store.set(target_table, row, "target", target.as_str());
        if let Some(probe) = probe {
            context.store.set(target_table, row, "inactivity_probe", probe);
        }
        rows.push(Atom::Uuid(row));
    }
    context.store.set(table, uuid, column, Datum::set(rows));
    Ok(())
}

/// Warns about targets of no known kind.
pub(crate) fn warn_about_types(context: &mut Context<'_>, targets: &[String], service: bool) {
    for target in targets {
        let known = io::Remote::parse(target, 0).is_ok() && (service || !target.starts_with("pfd:"));
        if !known {
            context.warnings.push(format!("target type \"{target}\" is possibly erroneous"));
        }
    }
}
