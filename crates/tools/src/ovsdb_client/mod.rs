//! `ovsdb-client`: talks to a database server from the command line (ovsdb-client(1)).

mod contents;
mod monitor;

use crate::ctl::rpc::{self, Rpc};
use crate::ovsdb_tool::read_schema;
use crate::table::{Cell, Format, Style, Table};
use io::daemon::{self, Daemon, DaemonOpt, Started};
use io::getopt::{self, Opt, Order, Takes, both, long};
use io::program::{start_timeout, timeout_seconds};
use io::vlog::{self, Level};
use io::{Invocation, dirs};
use ovsdb_data::{DatabaseSchema, json};
use serde_json::{Value, json};
use session::Message;
use std::process::ExitCode;

#[derive(Clone, Copy)]
enum Choice {
    Daemon(DaemonOpt),
    Format,
    Data,
    NoHeadings,
    MaxColumnWidth,
    Pretty,
    Bare,
    Timestamp,
    Force,
    Timeout,
    Tls(&'static str),
    Ignored,
}

fn options() -> Vec<Opt<Choice>> {
    let mut table = daemon::options(Choice::Daemon);
    table.extend([
        both("format", 'f', Takes::Value, Choice::Format),
        both("data", 'd', Takes::Value, Choice::Data),
        long("no-headings", Takes::Nothing, Choice::NoHeadings),
        long("max-column-width", Takes::Value, Choice::MaxColumnWidth),
        long("pretty", Takes::Nothing, Choice::Pretty),
        long("bare", Takes::Nothing, Choice::Bare),
        long("timestamp", Takes::Nothing, Choice::Timestamp),
        long("force", Takes::Nothing, Choice::Force),
        both("timeout", 't', Takes::Value, Choice::Timeout),
        both("private-key", 'p', Takes::Value, Choice::Tls("private-key")),
        both("certificate", 'c', Takes::Value, Choice::Tls("certificate")),
        both("ca-cert", 'C', Takes::Value, Choice::Tls("ca-cert")),
        long("bootstrap-ca-cert", Takes::Value, Choice::Tls("bootstrap-ca-cert")),
        long("ssl-protocols", Takes::Value, Choice::Tls("ssl-protocols")),
        long("ssl-ciphers", Takes::Value, Choice::Tls("ssl-ciphers")),
        long("ssl-ciphersuites", Takes::Value, Choice::Tls("ssl-ciphersuites")),
        long("ssl-server-name", Takes::Value, Choice::Tls("ssl-server-name")),
        long("leader-only", Takes::Nothing, Choice::Ignored),
        long("no-leader-only", Takes::Nothing, Choice::Ignored),
    ]);
    table
}

/// What a command needs beside its arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// A connection
    Server,
    /// A connection, and the name of a database
    Database,
}

struct Command {
    name: &'static str,
    wants: Wants,
    min: usize,
    max: usize,
    run: fn(&mut Client, &[String]) -> Result<(), String>,
}

const ANY: usize = usize::MAX;

const fn command(
    name: &'static str,
    wants: Wants,
    min: usize,
    max: usize,
    run: fn(&mut Client, &[String]) -> Result<(), String>,
) -> Command {
    Command { name, wants, min, max, run }
}

const COMMANDS: &[Command] = &[
    command("list-dbs", Wants::Server, 0, 0, list_dbs),
    command("get-schema", Wants::Database, 0, 0, get_schema),
    command("get-schema-version", Wants::Database, 0, 0, |client, _| {
        let schema = client.schema()?;
        client.line(&schema.version);
        Ok(())
    }),
    command("get-schema-cksum", Wants::Database, 0, 0, |client, _| {
        let schema = client.schema()?;
        client.line(&schema.cksum);
        Ok(())
    }),
    command("list-tables", Wants::Database, 0, 0, list_tables),
    command("list-columns", Wants::Database, 0, 1, list_columns),
    command("transact", Wants::Server, 1, 1, transact),
    command("query", Wants::Server, 1, 1, query),
    command("monitor", Wants::Database, 1, ANY, monitor::monitor),
    command("monitor-cond", Wants::Database, 2, 3, monitor::monitor_cond),
    command("monitor-cond-since", Wants::Database, 2, 4, monitor::monitor_cond_since),
    command("wait", Wants::Server, 2, 2, wait),
    command("dump", Wants::Database, 0, ANY, contents::dump),
    command("backup", Wants::Database, 0, 0, contents::backup),
    command("restore", Wants::Database, 0, 0, contents::restore),
    command("convert", Wants::Server, 1, 1, convert),
    command("needs-conversion", Wants::Server, 1, 1, needs_conversion),
    command("lock", Wants::Server, 1, 1, |client, args| lock(client, "lock", args)),
    command("steal", Wants::Server, 1, 1, |client, args| lock(client, "steal", args)),
    command("unlock", Wants::Server, 1, 1, |client, args| lock(client, "unlock", args)),
];

struct Client {
    rpc: Rpc,
    remote: String,
    database: String,
    style: Style,
    timestamp: bool,
    force: bool,
    first_table: bool,
    daemon: Option<Daemon>,
}

/// `ovsdb-client`.
pub fn main(invocation: &Invocation) -> ExitCode {
    vlog::init(&invocation.name, Level::Warn);
    match run(invocation) {
        Ok(code) => code,
        Err(error) => invocation.fail(error),
    }
}

fn run(invocation: &Invocation) -> Result<ExitCode, String> {
    let parsed = getopt::parse(&invocation.args, &options(), Order::Permute)?;
    let mut style = Style { format: Format::Table, cells: None, headings: true, pretty: false, max_width: 0 };
    let mut settings = daemon::Settings::default();
    let mut tls = io::tls::Settings::default();
    let (mut timestamp, mut force, mut seconds) = (false, false, None);
    for (choice, value) in parsed.options {
        let text = value.clone().unwrap_or_default();
        match choice {
            Choice::Daemon(option) => settings.obey(option, value)?,
            Choice::Format => style.set_format(&text)?,
            Choice::Data => style.set_cells(&text)?,
            Choice::NoHeadings => style.headings = false,
            Choice::MaxColumnWidth => style.set_max_width(&text),
            Choice::Pretty => style.pretty = true,
            Choice::Bare => style.set_bare(),
            Choice::Timestamp => timestamp = true,
            Choice::Force => force = true,
            Choice::Timeout => seconds = value,
            Choice::Tls(name) => {
                tls.obey(name, value.as_deref());
            }
            Choice::Ignored => {}
        }
    }
    io::tls::configure(tls);
    if settings.help {
        print!("{}", help(&invocation.name));
        return Ok(ExitCode::SUCCESS);
    }
    if settings.version {
        print!("{}", invocation.version_text());
        return Ok(ExitCode::SUCCESS);
    }
    let Some((name, args)) = parsed.rest.split_first() else {
        return Err("missing command name; use --help for help".into());
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!("unknown command '{name}'; use --help for help"));
    };
    // Before a server and a database are taken off, there may be as many arguments more.
    let most = command.max.saturating_add(1 + usize::from(command.wants == Wants::Database));
    if args.len() < command.min || args.len() > most {
        return Err(format!("invalid syntax for '{name}' (use --help for help)"));
    }
    let mut daemon = match Daemon::start(invocation, &settings)? {
        Started::Daemon(daemon) => daemon,
        Started::Parent(code) => return Ok(code),
    };
    daemon.keep_stdout();
    if let Some(seconds) = timeout_seconds(seconds.as_deref()).map_err(|error| error.replace("-T", "-t"))? {
        start_timeout(&invocation.name, seconds);
    }
    let is_remote = |text: &String| text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.contains(':');
    let (remote, mut args) = match args.split_first() {
        Some((first, rest)) if args.len() > command.min && is_remote(first) => (first.clone(), rest),
        _ => (dirs::default_remote(), args),
    };
    let rpc = Rpc::connect(&remote).map_err(|reason| {
        let what = if io::Remote::parse(&remote, 0).is_ok() { "connect" } else { "connect or listen" };
        format!("failed to {what} to \"{remote}\" ({reason})")
    })?;
    let mut client =
        Client { rpc, remote, database: String::new(), style, timestamp, force, first_table: true, daemon: None };
    if command.wants == Wants::Database {
        args = client.choose_database(command.name, command.min, args)?;
    }
    if args.len() < command.min || args.len() > command.max {
        return Err(format!("invalid syntax for '{name}' (use --help for help)"));
    }
    if matches!(*name, ref n if n.starts_with("monitor") || n == "lock" || n == "steal" || n == "wait") {
        client.daemon = Some(daemon);
    } else {
        daemon.ready();
    }
    (command.run)(&mut client, args)?;
    Ok(ExitCode::SUCCESS)
}

impl Client {
    fn lost(&self, reason: String) -> String {
        format!("{}: receive failed ({reason})", self.remote)
    }

    /// Sends a request; a server's error becomes a message.
    fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let reply = self.rpc.call(method, params).map_err(|reason| self.lost(reason))?;
        reply.map_err(|error| format!("{} request failed: {}", method, json::to_string(&error)))
    }

    fn databases(&mut self) -> Result<Vec<String>, String> {
        let names = self.call("list_dbs", json!([]))?;
        let mut names: Vec<String> =
            names.as_array().into_iter().flatten().filter_map(|n| n.as_str().map(str::to_string)).collect();
        names.sort();
        Ok(names)
    }

    fn choose_database<'a>(&mut self, command: &str, min: usize, args: &'a [String]) -> Result<&'a [String], String> {
        let names = self.databases()?;
        if let Some((first, rest)) = args.split_first()
            && args.len() > min
            && names.contains(first)
        {
            self.database = first.clone();
            return Ok(rest);
        }
        let own: Vec<&String> = names.iter().filter(|name| !name.starts_with('_')).collect();
        self.database = match own.as_slice() {
            [one] => one.to_string(),
            several if several.iter().any(|name| *name == "Open_vSwitch") => "Open_vSwitch".to_string(),
            _ => return Err(format!("no default database for '{command}' command, please specify a database name")),
        };
        Ok(args)
    }

    fn schema_json(&mut self, database: &str) -> Result<Value, String> {
        self.call("get_schema", json!([database]))
    }

    fn schema(&mut self) -> Result<DatabaseSchema, String> {
        let database = self.database.clone();
        let schema = self.schema_json(&database)?;
        DatabaseSchema::from_json(&schema).map_err(|error| error.to_string())
    }

    fn line(&self, text: &str) {
        println!("{text}");
    }

    fn print_table(&mut self, table: &Table) {
        use std::io::Write;
        print!("{}", table.format(&self.style, self.first_table));
        let _ = std::io::stdout().flush();
        self.first_table = false;
    }

    /// The command runs from now on: a detached parent may go.
    fn ready(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            daemon.ready();
        }
    }

    fn print_json(&self, value: &Value) {
        match self.style.pretty {
            true => println!("{}", crate::table::pretty_json(value)),
            false => println!("{}", json::to_string(value)),
        }
    }
}

fn list_dbs(client: &mut Client, _: &[String]) -> Result<(), String> {
    for name in client.databases()? {
        client.line(&name);
    }
    Ok(())
}

fn get_schema(client: &mut Client, _: &[String]) -> Result<(), String> {
    let schema = client.schema()?.to_json();
    client.print_json(&schema);
    Ok(())
}

fn list_tables(client: &mut Client, _: &[String]) -> Result<(), String> {
    let schema = client.schema()?;
    let mut table = Table::new(["Table"]);
    table.rows = schema.tables.keys().map(|name| vec![Cell::Text(name.clone())]).collect();
    client.print_table(&table);
    Ok(())
}

fn list_columns(client: &mut Client, args: &[String]) -> Result<(), String> {
    let schema = client.schema()?;
    let only = args.first();
    let mut table = match only {
        Some(_) => Table::new(["Column", "Type"]),
        None => Table::new(["Table", "Column", "Type"]),
    };
    for (name, columns) in schema.tables.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        for column in &columns.columns {
            let mut row = vec![Cell::Text(column.name.clone()), Cell::Json(column.column_type.to_json())];
            if only.is_none() {
                row.insert(0, Cell::Text(name.clone()));
            }
            table.rows.push(row);
        }
    }
    client.print_table(&table);
    Ok(())
}

fn parse_transaction(text: &str) -> Result<Vec<Value>, String> {
    let value: Value = json::parse(text.as_bytes()).map_err(|error| format!("\"{text}\": {error}"))?;
    match value {
        Value::Array(items) if items.first().is_some_and(Value::is_string) => Ok(items),
        _ => Err("not a valid OVSDB query".into()),
    }
}

fn send_transaction(client: &mut Client, params: Vec<Value>) -> Result<(), String> {
    let reply = client.rpc.call("transact", Value::Array(params)).map_err(|reason| client.lost(reason))?;
    let result = reply.map_err(|error| format!("transaction returned error: {}", json::to_string(&error)))?;
    client.print_json(&result);
    Ok(())
}

fn transact(client: &mut Client, args: &[String]) -> Result<(), String> {
    let params = parse_transaction(&args[0])?;
    send_transaction(client, params)
}

fn query(client: &mut Client, args: &[String]) -> Result<(), String> {
    let mut params = parse_transaction(&args[0])?;
    let operations = params.len() - 1;
    // The abort at the end undoes what the operations did; its own result is not shown.
    params.push(json!({"op": "abort"}));
    let reply = client.rpc.call("transact", Value::Array(params)).map_err(|reason| client.lost(reason))?;
    let mut result = reply.map_err(|error| format!("transaction returned error: {}", json::to_string(&error)))?;
    if let Some(results) = result.as_array_mut() {
        let aborted = results.get(operations).and_then(|r| r.get("error")).is_some_and(|e| e == "aborted");
        if aborted {
            results.truncate(operations);
        }
    }
    client.print_json(&result);
    Ok(())
}

fn convert(client: &mut Client, args: &[String]) -> Result<(), String> {
    let schema = read_schema(&args[0])?;
    client.call("set_db_change_aware", json!([true]))?;
    let params = json!([schema.name, schema.to_json()]);
    let reply = client.rpc.call("convert", params).map_err(|reason| client.lost(reason))?;
    reply.map(|_| ()).map_err(|error| format!("transaction returned error: {}", json::to_string(&error)))
}

fn needs_conversion(client: &mut Client, args: &[String]) -> Result<(), String> {
    let wanted = read_schema(&args[0])?;
    client.database = wanted.name.clone();
    let actual = client.schema()?;
    client.line(if actual == wanted { "no" } else { "yes" });
    Ok(())
}

fn lock(client: &mut Client, method: &str, args: &[String]) -> Result<(), String> {
    let result = client.call(method, json!([args[0]]))?;
    client.print_json(&result);
    client.ready();
    loop {
        let message = client.rpc.next_message().map_err(|reason| client.lost(reason))?;
        if let Message::Notification { method, params } = message
            && (method == "locked" || method == "stolen")
        {
            client.line(&method);
            client.print_json(&params);
        }
    }
}

fn wait(client: &mut Client, args: &[String]) -> Result<(), String> {
    let (name, state) = (args[0].clone(), args[1].as_str());
    if !["added", "connected", "removed"].contains(&state) {
        return Err(format!("{state}: unknown state"));
    }
    client.call("set_db_change_aware", json!([true]))?;
    let columns = json!({"Database": [{"columns": ["name", "connected"]}]});
    client.call("monitor", json!(["_Server", "wait", columns]))?;
    client.ready();
    loop {
        let select = json!({"op": "select", "table": "Database", "where": [["name", "==", name]],
            "columns": ["connected"]});
        let results = rpc::transact(&mut client.rpc, "_Server", vec![select]).map_err(|reason| client.lost(reason))?;
        let results = results.map_err(|error| json::to_string(&error))?;
        let row = results.first().map(|result| result["rows"][0].clone()).unwrap_or_default();
        let reached = match state {
            "added" => row.is_object(),
            "connected" => row["connected"] == true,
            _ => !row.is_object(),
        };
        if reached {
            return Ok(());
        }
        client.rpc.next_message().map_err(|reason| client.lost(reason))?;
    }
}

fn help(program: &str) -> String {
    format!(
        "{}The default SERVER is {}.\nThe default DATABASE is Open_vSwitch.\n{}\
         \nOutput formatting options:\n  \
         -f, --format=FORMAT         set output formatting to FORMAT\n                              \
         (\"table\", \"list\", \"html\", \"csv\", or \"json\")\n  \
         -d, --data=FORMAT           set table cell output formatting to\n                              \
         FORMAT (\"string\", \"bare\", or \"json\")\n  \
         --no-headings               omit table heading row\n  \
         --pretty                    pretty-print JSON in output\n  \
         --bare                      equivalent to \"--format=list --data=bare --no-headings\"\n  \
         --timestamp                 timestamp \"monitor\" output\n{}  \
         -t, --timeout=SECS          limits {program} runtime to approximately SECS seconds\n",
        include_str!("help.txt"),
        dirs::default_remote(),
        io::tls::HELP,
        daemon::help(program)
    )
}
