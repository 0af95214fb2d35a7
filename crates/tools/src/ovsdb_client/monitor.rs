//! The monitor commands: what they ask for, and the tables in which they print what they hear.

use super::Client;
use crate::table::{Cell, Table};
use ovsdb::condition::Condition;
use ovsdb_data::schema::{FIRST_COLUMN, VERSION_COLUMN};
use ovsdb_data::{DatabaseSchema, Datum, TableSchema, Uuid, json};
use serde_json::{Map, Value, json};
use session::Message;

/// A table that is monitored, with its columns in the order in which they are printed.
struct Watched {
    table: TableSchema,
    columns: Vec<usize>,
}

fn all_columns(table: &TableSchema) -> Vec<usize> {
    (FIRST_COLUMN..table.columns.len()).chain(std::iter::once(VERSION_COLUMN)).collect()
}

/// Reads `COLUMN,…,!KIND,…` into a monitor request.
fn request(
    client: &Client,
    watched: &mut Watched,
    text: Option<&str>,
    condition: Option<&Value>,
) -> Result<Value, String> {
    let (mut columns, mut select) = (Vec::new(), Map::new());
    for word in text.unwrap_or_default().split([',', ' ']).filter(|word| !word.is_empty()) {
        if let Some(kind @ ("!initial" | "!insert" | "!delete" | "!modify")) = Some(word) {
            select.insert(kind[1..].to_string(), json!(false));
            continue;
        }
        let number = watched.table.column_number(word).ok_or_else(|| {
            format!(
                "{}: table \"{}\" in {} does not have a column named \"{word}\"",
                client.remote, watched.table.name, client.database
            )
        })?;
        columns.push(number);
    }
    if columns.is_empty() {
        columns = all_columns(&watched.table);
    }
    let names: Vec<&str> = columns.iter().map(|n| watched.table.columns[*n].name.as_str()).collect();
    let mut request = json!({"columns": names});
    if !select.is_empty() {
        request["select"] = Value::Object(select);
    }
    if let Some(condition) = condition {
        request["where"] = condition.clone();
    }
    watched.columns.extend(columns);
    Ok(request)
}

fn watch(client: &Client, schema: &DatabaseSchema, name: &str, with_remote: bool) -> Result<Watched, String> {
    let table = schema.tables.get(name).cloned().ok_or_else(|| {
        let at = if with_remote { format!("{}: ", client.remote) } else { String::new() };
        format!("{at}{} does not have a table named \"{name}\"", client.database)
    })?;
    Ok(Watched { table, columns: Vec::new() })
}

pub(super) fn monitor(client: &mut Client, args: &[String]) -> Result<(), String> {
    let schema = client.schema()?;
    let mut watched = Vec::new();
    let mut requests = Map::new();
    if args.len() == 1 && args[0] == "ALL" {
        for table in schema.tables.values() {
            let mut one = Watched { table: table.clone(), columns: Vec::new() };
            let request = request(client, &mut one, None, None)?;
            requests.insert(table.name.clone(), json!([request]));
            watched.push(one);
        }
    } else {
        let mut one = watch(client, &schema, &args[0], true)?;
        let mut list = Vec::new();
        for text in &args[1..] {
            list.push(request(client, &mut one, Some(text), None)?);
        }
        if list.is_empty() {
            list.push(request(client, &mut one, None, None)?);
        }
        requests.insert(args[0].clone(), Value::Array(list));
        watched.push(one);
    }
    let params = json!([client.database, null, requests]);
    let initial = client.start("monitor", params)?;
    follow(client, &watched, |client| client.print_updates(&watched, &initial, true))
}

pub(super) fn monitor_cond(client: &mut Client, args: &[String]) -> Result<(), String> {
    let (watched, requests) = conditional(client, &args[0], &args[1], args.get(2))?;
    let params = json!([client.database, null, requests]);
    let initial = client.start("monitor_cond", params)?;
    follow(client, &watched, |client| client.print_updates2(&watched, &initial))
}

pub(super) fn monitor_cond_since(client: &mut Client, args: &[String]) -> Result<(), String> {
    let (last, args) = match args.split_first() {
        Some((first, rest)) if Uuid::parse(first).is_some() => (first.clone(), rest),
        _ => (Uuid::ZERO.to_string(), args),
    };
    let [condition, table, rest @ ..] = args else {
        return Err("invalid syntax for 'monitor-cond-since' (use --help for help)".into());
    };
    let (watched, requests) = conditional(client, condition, table, rest.first())?;
    let params = json!([client.database, null, requests, last]);
    let reply = client.start("monitor_cond_since", params)?;
    let found = reply[0].as_bool().unwrap_or(false);
    println!("found: {found}, last_id: {}", reply[1].as_str().unwrap_or_default());
    client.first_table = true;
    follow(client, &watched, |client| client.print_updates2(&watched, &reply[2]))
}

fn parse_condition(text: &str) -> Result<Value, String> {
    json::parse(text.as_bytes()).map_err(|error| format!("\"{text}\": {error}"))
}

fn conditional(
    client: &mut Client,
    condition: &str,
    table: &str,
    columns: Option<&String>,
) -> Result<(Vec<Watched>, Value), String> {
    let schema = client.schema()?;
    let mut one = watch(client, &schema, table, false)?;
    let condition = parse_condition(condition)?;
    Condition::from_json(&one.table, &condition, None).map_err(|error| error.to_string())?;
    let request = request(client, &mut one, columns.map(String::as_str), Some(&condition))?;
    let requests = json!({table: [request]});
    Ok((vec![one], requests))
}

/// Prints the first state, and then every update.
fn follow(client: &mut Client, watched: &[Watched], first: impl FnOnce(&mut Client)) -> Result<(), String> {
    first(client);
    client.ready();
    loop {
        let message = client.rpc.next_message().map_err(|reason| client.lost(reason))?;
        let Message::Notification { method, params } = message else { continue };
        match method.as_str() {
            "update" => client.print_updates(watched, &params[1], false),
            "update2" => client.print_updates2(watched, &params[1]),
            "update3" => {
                println!("\nlast_id: {}", params[1].as_str().unwrap_or_default());
                client.first_table = true;
                client.print_updates2(watched, &params[2]);
            }
            "monitor_canceled" => return Err(format!("{}: {} database was removed", client.remote, client.database)),
            _ => {}
        }
    }
}

impl Client {
    /// Sends a monitor request, as a client that can be told that its database goes.
    fn start(&mut self, method: &str, params: Value) -> Result<Value, String> {
        // Servers before 2.9 know nothing of it, and do not mind being asked.
        let aware = self.rpc.call("set_db_change_aware", json!([true]));
        aware.map_err(|reason| self.lost(reason))?.ok();
        self.call(method, params)
    }

    fn table_for(&self, watched: &Watched, n_watched: usize) -> Table {
        let names = watched.columns.iter().map(|n| watched.table.columns[*n].name.as_str());
        let mut table = Table::new(["row", "action"].into_iter().chain(names));
        table.caption = (n_watched > 1).then(|| watched.table.name.clone());
        if self.timestamp {
            let t = clock::WallTime::now().utc();
            table.timestamp = Some(format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
                t.year, t.month, t.day, t.hour, t.minute, t.second, t.millis
            ));
        }
        table
    }

    fn print_updates(&mut self, watched: &[Watched], updates: &Value, initial: bool) {
        for one in watched {
            let Some(rows) = updates.get(&one.table.name).and_then(Value::as_object) else { continue };
            let mut table = self.table_for(one, watched.len());
            for (uuid, update) in rows {
                match (update.get("old"), update.get("new")) {
                    (Some(old), Some(new)) => {
                        table.rows.push(row(one, uuid, "old", old));
                        table.rows.push(row(one, "", "new", new));
                    }
                    (Some(old), None) => table.rows.push(row(one, uuid, "delete", old)),
                    (None, Some(new)) if initial => table.rows.push(row(one, uuid, "initial", new)),
                    (None, Some(new)) => table.rows.push(row(one, uuid, "insert", new)),
                    (None, None) => {}
                }
            }
            self.print_table(&table);
        }
    }

    fn print_updates2(&mut self, watched: &[Watched], updates: &Value) {
        for one in watched {
            let Some(rows) = updates.get(&one.table.name).and_then(Value::as_object) else { continue };
            let mut table = self.table_for(one, watched.len());
            for (uuid, update) in rows {
                for (action, columns) in update.as_object().into_iter().flatten() {
                    table.rows.push(row(one, uuid, action, columns));
                }
            }
            self.print_table(&table);
        }
    }
}

fn row(watched: &Watched, uuid: &str, action: &str, columns: &Value) -> Vec<Cell> {
    let mut cells = vec![Cell::Text(uuid.to_string()), Cell::Text(action.to_string())];
    for number in &watched.columns {
        let column = &watched.table.columns[*number];
        cells.push(match columns.get(&column.name) {
            None => Cell::Absent,
            Some(value) => match Datum::diff_from_json(value, &column.column_type) {
                Ok(datum) => Cell::Datum(datum, column.column_type.clone()),
                Err(_) => Cell::Text(json::to_string(value)),
            },
        });
    }
    cells
}
