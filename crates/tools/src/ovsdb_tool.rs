//! `ovsdb-tool`: makes, inspects, converts and changes database files without a server (ovsdb-tool(1)).

use io::getopt::{self, Opt, Order, Takes, both, long};
use io::program::strerror;
use io::vlog::{self, Level};
use io::{Invocation, daemon, dirs};
use ovsdb::execute::{Execution, Request, execute};
use ovsdb::lock_file::FileLock;
use ovsdb::log_file::{LogFile, LogReader, Magic, frame, io_error};
use ovsdb::record::SnapshotWriter;
use ovsdb::snapshot::SnapshotRows;
use ovsdb::{Database, convert, load, storage};
use ovsdb_data::{ColumnType, DatabaseSchema, Datum, OvsdbError, json, text};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::ExitCode;

#[derive(Clone, Copy)]
enum Choice {
    More,
    RbacRole,
    Cid,
    ElectionTimer,
    Verbose,
    LogFile,
    Help,
    Version,
}

const OPTIONS: &[Opt<Choice>] = &[
    both("more", 'm', Takes::Nothing, Choice::More),
    long("rbac-role", Takes::Value, Choice::RbacRole),
    long("cid", Takes::Value, Choice::Cid),
    long("election-timer", Takes::Value, Choice::ElectionTimer),
    both("verbose", 'v', Takes::Maybe, Choice::Verbose),
    long("log-file", Takes::Maybe, Choice::LogFile),
    both("help", 'h', Takes::Nothing, Choice::Help),
    both("version", 'V', Takes::Nothing, Choice::Version),
];

struct Tool {
    program: String,
    more: u32,
    role: Option<String>,
}

/// How a command ends: an exit code, or a message and failure.
type Outcome = Result<ExitCode, String>;

/// A command: usage, fewest and most arguments, what it does.
struct Command {
    name: &'static str,
    usage: &'static str,
    min: usize,
    max: usize,
    run: fn(&Tool, &[String]) -> Outcome,
}

const fn command(
    name: &'static str,
    usage: &'static str,
    min: usize,
    max: usize,
    run: fn(&Tool, &[String]) -> Outcome,
) -> Command {
    Command { name, usage, min, max, run }
}

const COMMANDS: &[Command] = &[
    command("create", "[db [schema]]", 0, 2, create),
    command("create-cluster", "db contents local", 3, 3, clustered),
    command("join-cluster", "db name local remote...", 4, usize::MAX, clustered),
    command("compact", "[db [dst]]", 0, 2, compact),
    command("convert", "[db [schema [dst]]]", 0, 3, convert_file),
    command("needs-conversion", "", 0, 2, needs_conversion),
    command("db-name", "[db]", 0, 1, |_, args| print(&schema_of(&db_arg(args, 0))?.name)),
    command("db-version", "[db]", 0, 1, |_, args| print(&schema_of(&db_arg(args, 0))?.version)),
    command("db-cksum", "[db]", 0, 1, |_, args| print(&schema_of(&db_arg(args, 0))?.cksum)),
    command("db-cid", "db", 1, 1, not_clustered),
    command("db-sid", "db", 1, 1, not_clustered),
    command("db-local-address", "db", 1, 1, not_clustered),
    command("db-is-clustered", "db", 1, 1, |_, args| is_kind(&args[0], Magic::Clustered)),
    command("db-is-standalone", "db", 1, 1, |_, args| is_kind(&args[0], Magic::Standalone)),
    command("schema-name", "[schema]", 0, 1, |_, args| print(&read_schema(&schema_arg(args, 0))?.name)),
    command("schema-version", "[schema]", 0, 1, |_, args| print(&read_schema(&schema_arg(args, 0))?.version)),
    command("schema-cksum", "[schema]", 0, 1, |_, args| print(&read_schema(&schema_arg(args, 0))?.cksum)),
    command("query", "[db] trns", 1, 2, |tool, args| transact(tool, args, true)),
    command("transact", "[db] trns", 1, 2, |tool, args| transact(tool, args, false)),
    command("show-log", "[db]", 0, 1, show_log),
    command("check-cluster", "db...", 1, usize::MAX, not_clustered),
    command("compare-versions", "a op b", 3, 3, compare_versions),
    command("help", "", 0, usize::MAX, |tool, _| {
        print!("{}", help(&tool.program));
        Ok(ExitCode::SUCCESS)
    }),
    command("list-commands", "", 0, usize::MAX, |_, _| {
        println!("The available commands are:");
        for command in COMMANDS {
            println!("  {:<23} {}", command.name, command.usage);
        }
        Ok(ExitCode::SUCCESS)
    }),
    command("cluster-to-standalone", "db clusterdb", 2, 2, |tool, args| not_clustered(tool, &args[1..])),
];

/// `ovsdb-tool`.
pub fn main(invocation: &Invocation) -> ExitCode {
    vlog::init(&invocation.name, Level::Warn);
    match run(invocation) {
        Ok(code) => code,
        Err(error) => invocation.fail(error),
    }
}

fn run(invocation: &Invocation) -> Outcome {
    let parsed = getopt::parse(&invocation.args, OPTIONS, Order::OptionsFirst)?;
    let mut tool = Tool { program: invocation.name.clone(), more: 0, role: None };
    let mut settings = daemon::Settings::default();
    for (choice, value) in parsed.options {
        match choice {
            Choice::More => tool.more += 1,
            Choice::RbacRole => tool.role = value,
            Choice::Cid | Choice::ElectionTimer => {}
            Choice::Verbose => settings.obey(daemon::DaemonOpt::Verbose, value)?,
            Choice::LogFile => settings.obey(daemon::DaemonOpt::LogFile, value)?,
            Choice::Help => {
                print!("{}", help(&invocation.name));
                return Ok(ExitCode::SUCCESS);
            }
            Choice::Version => {
                print!("{}", invocation.version_text());
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    settings.open_log(&invocation.name)?;
    let Some((name, args)) = parsed.rest.split_first() else {
        return Err("missing command name; use --help for help".into());
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!("unknown command '{name}'; use --help for help"));
    };
    if args.len() < command.min {
        return Err(format!("'{name}' command requires at least {} arguments", command.min));
    }
    if args.len() > command.max {
        return Err(format!("'{name}' command takes at most {} arguments", command.max));
    }
    (command.run)(&tool, args)
}

fn help(program: &str) -> String {
    let default_schema = dirs::pkgdatadir().join("vswitch.ovsschema");
    format!(
        "{program}: Open vSwitch database management utility\n\
         usage: {program} [OPTIONS] COMMAND [ARG...]\n  \
         create [DB [SCHEMA]]    create DB with the given SCHEMA\n  \
         compact [DB [DST]]      compact DB in-place (or to DST)\n  \
         convert [DB [SCHEMA [DST]]]   convert DB to SCHEMA (to DST)\n  \
         needs-conversion [DB [SCHEMA]]  tell whether DB differs from SCHEMA\n  \
         db-name [DB]            report name of schema used by DB\n  \
         db-version [DB]         report version of schema used by DB\n  \
         db-cksum [DB]           report checksum of schema used by DB\n  \
         db-is-clustered DB      test whether DB is clustered\n  \
         db-is-standalone DB     test whether DB is standalone\n  \
         schema-name [SCHEMA]    report SCHEMA's name\n  \
         schema-version [SCHEMA] report SCHEMA's schema version\n  \
         schema-cksum [SCHEMA]   report SCHEMA's checksum\n  \
         compare-versions A OP B  compare OVSDB schema version numbers\n  \
         query [DB] TRNS         execute read-only transaction on DB\n  \
         transact [DB] TRNS      execute read/write transaction on DB\n  \
         [-m]... show-log [DB]   print DB's log entries\n\
         The default DB is {}.\n\
         The default SCHEMA is {}.\n{}\
         \nOther options:\n  \
         -m, --more                  increase show-log verbosity\n  \
         --rbac-role=ROLE            RBAC role for transact and query commands\n  \
         -h, --help                  display this help message\n  \
         -V, --version               display version information\n",
        dirs::default_db().display(),
        default_schema.display(),
        daemon::logging_help(&dirs::logdir().join(format!("{program}.log"))),
    )
}

fn print(text: &str) -> Outcome {
    println!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn db_arg(args: &[String], n: usize) -> String {
    args.get(n).cloned().unwrap_or_else(|| dirs::default_db().display().to_string())
}

fn schema_arg(args: &[String], n: usize) -> String {
    args.get(n).cloned().unwrap_or_else(|| dirs::pkgdatadir().join("vswitch.ovsschema").display().to_string())
}

/// Random bits for row names.
pub(crate) fn seed() -> [u8; 32] {
    use std::io::Read;
    let mut seed = [0; 32];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed));
    if read.is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        seed[..16].copy_from_slice(&now.as_nanos().to_le_bytes());
        seed[16..20].copy_from_slice(&std::process::id().to_le_bytes());
    }
    seed
}

/// Reads a schema file.
pub(crate) fn read_schema(file: &str) -> Result<DatabaseSchema, String> {
    let unreadable = |why: String| format!("failed to read schema: \"{file}\" could not be read as JSON ({why})");
    let bytes = std::fs::read(file).map_err(|e| unreadable(format!("error opening \"{file}\": {}", strerror(&e))))?;
    let value: Value = json::parse(&bytes).map_err(unreadable)?;
    DatabaseSchema::from_json(&value).map_err(|error| {
        let details = error.details.as_deref().unwrap_or_default();
        let about = error.syntax.as_ref().map(|syntax| format!("syntax \"{syntax}\": ")).unwrap_or_default();
        format!("{about}{}: failed to parse \"{file}\" as ovsdb schema: {details}", error.error)
    })
}

fn lock(file: &str) -> Result<FileLock, String> {
    FileLock::take(Path::new(file)).map_err(|e| io_error(file, "failed to lock lockfile", &e).to_string())
}

fn open_failed(file: &str) -> Result<(), String> {
    match std::fs::metadata(file) {
        Ok(_) => Ok(()),
        Err(error) => Err(io_error(file, "open failed", &error).to_string()),
    }
}

fn schema_of(file: &str) -> Result<DatabaseSchema, String> {
    let mut reader = LogReader::open(file).map_err(|e| e.to_string())?;
    if reader.magic() == Magic::Clustered {
        return Err(clustered_refused(file));
    }
    let record = reader.next_record().map_err(|e| e.to_string())?;
    let (body, start) = record.ok_or_else(|| format!("{file}: database file contains no schema"))?;
    let value: Value =
        serde_json::from_slice(&body).map_err(|e| reader.not_an_object(&body, start, Some(&e)).to_string())?;
    DatabaseSchema::from_json(&value).map_err(|e| e.to_string())
}

fn clustered_refused(file: &str) -> String {
    format!("ovsdb error: {file}: cannot apply this operation to clustered database file")
}

/// Reads a whole file; damage is an error here, since nobody watches a log.
fn read_database(file: &str) -> Result<load::Loaded, String> {
    let reader = LogReader::open(file).map_err(|e| e.to_string())?;
    if reader.magic() == Magic::Clustered {
        return Err(clustered_refused(file));
    }
    drop(reader);
    let loaded = load::read_file(file, seed()).map_err(|e| e.to_string())?;
    match loaded.damage {
        Some(damage) => Err(damage.to_string()),
        None => Ok(loaded),
    }
}

fn create(_: &Tool, args: &[String]) -> Outcome {
    let schema = read_schema(&schema_arg(args, 1))?;
    let file = db_arg(args, 0);
    let text = json::to_string(&schema.to_json());
    let exists = std::fs::symlink_metadata(&file).is_ok();
    let _lock = if exists { None } else { Some(lock(&file)?) };
    LogFile::create(Path::new(&file), text.as_bytes()).map_err(|e| io_error(&file, "create failed", &e).to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// The text of a file that holds a database as one record.
fn compacted(db: &Database, comment: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, Magic::Standalone, json::to_string(&db.schema().to_json()).as_bytes());
    if db.n_rows() > 0 {
        let mut writer = SnapshotWriter::new(clock::WallTime::now().millis, comment, true);
        for (number, table) in db.tables().iter().enumerate() {
            let rows: SnapshotRows = table.rows().map(|(uuid, row)| (uuid, row.clone())).collect();
            writer.rows(number, &table.schema, &rows);
        }
        frame(&mut out, Magic::Standalone, &writer.finish());
    }
    out
}

/// Writes a file beside its place, and then puts it there.
fn replace_file(file: &str, bytes: &[u8]) -> Result<(), String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.into());
    let temporary = format!("{}.tmp", target.display());
    let write = || -> std::io::Result<()> {
        let mode = ovsdb::log_file::MODE;
        let mut out =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        out.write_all(bytes)?;
        if let Ok(metadata) = std::fs::metadata(&target) {
            out.set_permissions(metadata.permissions())?;
        }
        out.sync_all()?;
        std::fs::rename(&temporary, &target)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        io_error(file, "write failed", &error).to_string()
    })
}

/// Writes a database in place of the file it came from, or to another one.
fn write_out(db: &Database, source: &str, target: Option<&String>, comment: &str) -> Outcome {
    let bytes = compacted(db, comment);
    match target {
        None => replace_file(source, &bytes)?,
        Some(target) => {
            let _lock = lock(target)?;
            replace_file(target, &bytes)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn compact(_: &Tool, args: &[String]) -> Outcome {
    let file = db_arg(args, 0);
    open_failed(&file)?;
    let _lock = lock(&file)?;
    let loaded = read_database(&file)?;
    let comment = format!("compacted by ovsdb-tool {}", io::program::COMPATIBLE_VERSION);
    write_out(&loaded.db, &file, args.get(1), &comment)
}

fn convert_file(_: &Tool, args: &[String]) -> Outcome {
    let file = db_arg(args, 0);
    let schema = read_schema(&schema_arg(args, 1))?;
    open_failed(&file)?;
    let _lock = lock(&file)?;
    let loaded = read_database(&file)?;
    let converted = convert::convert(&loaded.db, schema, seed()).map_err(|e| e.to_string())?;
    let comment = format!("converted by ovsdb-tool {}", io::program::COMPATIBLE_VERSION);
    write_out(&converted, &file, args.get(2), &comment)
}

fn needs_conversion(_: &Tool, args: &[String]) -> Outcome {
    let old = schema_of(&db_arg(args, 0))?;
    let new = read_schema(&schema_arg(args, 1))?;
    print(if old == new { "no" } else { "yes" })
}

fn is_kind(file: &str, magic: Magic) -> Outcome {
    let reader = LogReader::open(file).map_err(|e| e.to_string())?;
    Ok(if reader.magic() == magic { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn not_clustered(_: &Tool, args: &[String]) -> Outcome {
    let file = &args[0];
    let reader = LogReader::open(file).map_err(|e| e.to_string())?;
    match reader.magic() {
        Magic::Standalone => Err(format!("{file}: not a clustered database")),
        Magic::Clustered => Err(format!("{file}: clustered databases are not supported by this version")),
    }
}

fn clustered(_: &Tool, _: &[String]) -> Outcome {
    Err("clustered databases are not supported by this version; use \"create\" for a standalone one".into())
}

fn transact(tool: &Tool, args: &[String], read_only: bool) -> Outcome {
    let (file, text) = match args {
        [text] => (db_arg(&[], 0), text),
        [file, text, ..] => (file.clone(), text),
        [] => return Err("missing transaction".into()),
    };
    open_failed(&file)?;
    let request: Value = json::parse(text.as_bytes()).map_err(|e| format!("\"{text}\": {e}"))?;
    let _lock = if read_only { None } else { Some(lock(&file)?) };
    let mut loaded = read_database(&file)?;
    let operations = match request.as_array().and_then(|a| a.split_first()) {
        Some((Value::String(name), operations)) if name == loaded.db.name() => operations.to_vec(),
        _ => {
            let what = if request.is_array() { "database name expected as first parameter" } else { "array expected" };
            let error = OvsdbError::syntax(&request, what);
            return print(&json::to_string(&error.to_json()));
        }
    };
    let mut memory = storage::Memory;
    let mut log;
    let storage: &mut dyn ovsdb::Storage = if read_only {
        &mut memory
    } else {
        log = LogFile::append_to(Path::new(&file), loaded.end)
            .map_err(|e| io_error(&file, "open failed", &e).to_string())?;
        &mut log
    };
    let context = Request {
        wall_ms: clock::WallTime::now().millis,
        elapsed_ms: u64::MAX >> 1,
        read_only,
        owns_lock: &|_| false,
        rbac: tool.role.as_deref().map(|role| (role, None)),
        whole_columns: false,
    };
    match execute(&mut loaded.db, &operations, &context, storage) {
        Execution::Done { results, .. } => {
            // Members in order of their names, whatever order was asked for.
            let results: Value = serde_json::from_slice(&results).unwrap_or_default();
            print(&json::to_string(&results))
        }
        Execution::Waiting(_) => Err("the transaction's \"wait\" cannot be satisfied".into()),
    }
}

fn compare_versions(_: &Tool, args: &[String]) -> Outcome {
    let version = |text: &str| -> Result<Vec<u64>, String> {
        let bad = || format!("{text}: not an OVSDB version number in format x.y.z");
        if !ovsdb_data::schema::is_version(text) {
            return Err(bad());
        }
        text.split('.').map(|part| part.parse().map_err(|_| bad())).collect()
    };
    let (a, b) = (version(&args[0])?, version(&args[2])?);
    let holds = match args[1].as_str() {
        "<" => a < b,
        "<=" => a <= b,
        "==" => a == b,
        ">=" => a >= b,
        ">" => a > b,
        "!=" => a != b,
        other => return Err(format!("{other}: not a relational operator")),
    };
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// What `show-log` remembers of the rows: which exist, and what they are called.
#[derive(Default)]
struct Known {
    rows: HashSet<(String, String)>,
    names: BTreeMap<(String, String), String>,
}

fn show_log(tool: &Tool, args: &[String]) -> Outcome {
    let file = db_arg(args, 0);
    let mut reader = LogReader::open(&file).map_err(|e| e.to_string())?;
    if reader.magic() == Magic::Clustered {
        return Err(format!("{file}: clustered databases are not supported by this version"));
    }
    let mut schema: Option<DatabaseSchema> = None;
    let mut known = Known::default();
    for number in 0u64.. {
        let Some((body, start)) = reader.next_record().map_err(|e| e.to_string())? else { break };
        print!("record {number}:");
        let value: Value = match serde_json::from_slice(&body) {
            Ok(value) => value,
            Err(error) => {
                println!();
                return Err(reader.not_an_object(&body, start, Some(&error)).to_string());
            }
        };
        if number == 0 {
            let parsed = DatabaseSchema::from_json(&value).map_err(|e| e.to_string())?;
            print!(" \"{}\" schema, version=\"{}\", cksum=\"{}\"", parsed.name, parsed.version, parsed.cksum);
            println!();
            schema = Some(parsed);
        } else {
            show_record(tool, &value, schema.as_ref(), &mut known);
        }
        let has_rows = value.as_object().is_some_and(|v| v.keys().any(|name| !name.starts_with('_')));
        if number == 0 || tool.more > 0 && has_rows {
            println!();
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show_record(tool: &Tool, value: &Value, schema: Option<&DatabaseSchema>, known: &mut Known) {
    if let Some(date) = value.get("_date").and_then(Value::as_i64) {
        // Early versions counted seconds (ovsdb(5)).
        let millis = if date < 1 << 32 { date * 1000 } else { date };
        let t = clock::WallTime { millis }.utc();
        print!(
            " {:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
            t.year, t.month, t.day, t.hour, t.minute, t.second, t.millis
        );
    }
    if let Some(comment) = value.get("_comment").and_then(Value::as_str) {
        print!(" \"{comment}\"");
    }
    println!();
    let is_diff = value.get("_is_diff").and_then(Value::as_bool).unwrap_or(false);
    let tables = value.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_'));
    for (table, rows) in tables {
        for (uuid, row) in rows.as_object().into_iter().flatten() {
            show_row(tool, table, uuid, row, is_diff, schema, known);
        }
    }
}

fn show_row(
    tool: &Tool,
    table: &str,
    uuid: &str,
    row: &Value,
    is_diff: bool,
    schema: Option<&DatabaseSchema>,
    known: &mut Known,
) {
    let key = (table.to_string(), uuid.to_string());
    let short = uuid.get(..8).unwrap_or(uuid);
    let columns = schema.and_then(|schema| schema.tables.get(table));
    let new_name = row.get("name").or_else(|| row.get("target")).and_then(Value::as_str).map(str::to_string);
    let inserted = known.rows.insert(key.clone());
    if tool.more > 0 {
        let old_name = known.names.get(&key).cloned();
        match (inserted, &old_name, &new_name) {
            (true, _, Some(name)) => println!("  table {table} insert row \"{name}\" ({short}):"),
            (true, _, None) => println!("  table {table} insert row {short}:"),
            (false, Some(name), _) => {
                println!("  table {table} row \"{name}\" ({short}){}:", if is_diff { " diff" } else { "" });
            }
            (false, None, _) => {
                println!("  table {table} row {short} ({short}){}:", if is_diff { " diff" } else { "" });
            }
        }
    }
    let Some(object) = row.as_object() else {
        if tool.more > 0 {
            println!("    delete row");
        }
        known.rows.remove(&key);
        known.names.remove(&key);
        return;
    };
    if let Some(name) = new_name {
        known.names.insert(key, name);
    }
    if tool.more > 1 {
        for (name, value) in object {
            let column_type = columns.and_then(|table| table.column(name)).map(|column| &column.column_type);
            println!("    {name}={}", value_text(value, column_type));
        }
    }
}

fn value_text(value: &Value, column_type: Option<&ColumnType>) -> String {
    let parsed = column_type.and_then(|t| Some((Datum::diff_from_json(value, t).ok()?, t)));
    match parsed {
        Some((datum, column_type)) => text::datum_to_string(&datum, column_type),
        None => json::to_string(value),
    }
}
