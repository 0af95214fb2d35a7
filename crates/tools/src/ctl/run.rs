//! A run: the command line, the connection, the transaction, and waiting for the daemon.

use super::rpc::Rpc;
use super::store::{self, Rows, Store};
use super::{Call, Command, Context, Needs, Product, ReadFew, Touched, generic, need, show};
use crate::table::{Format, Style, Table};
use idl::{Outcome, Replica, Txn};
use io::getopt::Takes;
use io::program::{start_timeout, timeout_seconds};
use io::vlog::Level;
use io::{Invocation, daemon, dirs, vlog};
use ovsdb_data::{DatabaseSchema, Uuid, json};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// `show`, which every product has.
const SHOW: Command =
    Command { name: "show", min: 0, max: 0, usage: "", options: &["--filter="], needs: show::needs, run: show::run };

/// Exit code when the daemon could not set up what a run made.
const TROUBLE: u8 = 65;

/// Why a run ended early.
pub enum Stop {
    /// With this exit code, everything having been said.
    Code(ExitCode),
    /// With a message and failure.
    Error(String),
}

impl From<String> for Stop {
    fn from(message: String) -> Stop {
        Stop::Error(message)
    }
}

/// Global options.
struct Options {
    db: String,
    wait: bool,
    retry: bool,
    dry_run: bool,
    oneline: bool,
    style: Style,
    settings: daemon::Settings,
    tls: io::tls::Settings,
}

const GLOBALS: &[(&str, Option<char>, Takes)] = &[
    ("db", None, Takes::Value),
    ("no-wait", None, Takes::Nothing),
    ("retry", None, Takes::Nothing),
    ("timeout", Some('t'), Takes::Value),
    ("dry-run", None, Takes::Nothing),
    ("oneline", None, Takes::Nothing),
    ("format", Some('f'), Takes::Value),
    ("data", Some('d'), Takes::Value),
    ("no-headings", None, Takes::Nothing),
    ("max-column-width", None, Takes::Value),
    ("pretty", None, Takes::Nothing),
    ("bare", None, Takes::Nothing),
    ("no-syslog", None, Takes::Nothing),
    ("verbose", Some('v'), Takes::Maybe),
    ("log-file", None, Takes::Maybe),
    ("syslog-method", None, Takes::Value),
    ("syslog-target", None, Takes::Value),
    ("private-key", Some('p'), Takes::Value),
    ("certificate", Some('c'), Takes::Value),
    ("ca-cert", Some('C'), Takes::Value),
    ("bootstrap-ca-cert", None, Takes::Value),
    ("peer-ca-cert", None, Takes::Value),
    ("ssl-protocols", None, Takes::Value),
    ("ssl-ciphers", None, Takes::Value),
    ("ssl-ciphersuites", None, Takes::Value),
    ("ssl-server-name", None, Takes::Value),
    ("leader-only", None, Takes::Nothing),
    ("no-leader-only", None, Takes::Nothing),
    ("shuffle-remotes", None, Takes::Nothing),
    ("no-shuffle-remotes", None, Takes::Nothing),
    ("commands", None, Takes::Nothing),
    ("options", None, Takes::Nothing),
    ("help", Some('h'), Takes::Nothing),
    ("version", Some('V'), Takes::Nothing),
];

fn commands(product: &Product) -> impl Iterator<Item = &'static Command> {
    product.commands.iter().chain(generic::COMMANDS).chain(std::iter::once(&SHOW))
}

/// Runs a program.
pub fn main(invocation: &Invocation, product: &'static Product) -> ExitCode {
    vlog::init(&invocation.name, Level::Warn);
    match run(invocation, product) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Code(code)) => code,
        Err(Stop::Error(message)) => invocation.fail(message),
    }
}

fn run(invocation: &Invocation, product: &'static Product) -> Result<(), Stop> {
    let mut options = Options {
        db: dirs::default_remote(),
        wait: true,
        retry: false,
        dry_run: false,
        oneline: false,
        style: Style { format: Format::List, cells: None, headings: true, pretty: false, max_width: 0 },
        settings: daemon::Settings::default(),
        tls: io::tls::Settings::default(),
    };
    let (globals, rest) = split_globals(&invocation.args, product)?;
    let mut seconds = None;
    // A log file that cannot be opened is an error whatever else is asked.
    for (_, value) in globals.iter().filter(|(name, _)| *name == "log-file") {
        options.settings.obey(daemon::DaemonOpt::LogFile, value.clone())?;
    }
    if let Err(error) = options.settings.open_log(&invocation.name) {
        vlog::log(vlog::Module::Vlog, Level::Warn, format_args!("{error}"));
        return Err(Stop::Code(ExitCode::FAILURE));
    }
    for (name, value) in globals {
        match name {
            "timeout" => seconds = value,
            "commands" => return print_commands(product),
            "options" => return print_options(),
            "help" => {
                print!("{}", help(&invocation.name, product));
                return Err(Stop::Code(ExitCode::SUCCESS));
            }
            "version" => {
                print!("{}{}", invocation.version_text(), product.version_note);
                return Err(Stop::Code(ExitCode::SUCCESS));
            }
            other => obey(&mut options, other, value)?,
        }
    }
    io::tls::configure(options.tls.clone());
    if let Some(seconds) = timeout_seconds(seconds.as_deref()).map_err(|error| error.replace("-T", "-t"))? {
        start_timeout(&invocation.name, seconds);
    }
    let calls = parse_calls(&rest, product)?;
    // Without a counter there is no daemon to wait for.
    options.wait &= !product.generation.1.is_empty();
    let level = if calls.iter().any(|call| writes(call.command.name)) { Level::Info } else { Level::Dbg };
    vlog::log(product.module, level, format_args!("Called as {}", invocation.command_line()));
    Session::open(invocation, product, options, calls, true)?.work()
}

/// True if a command of that name may change the database.
fn writes(name: &str) -> bool {
    let reads = ["get", "list", "show", "find", "br-", "port-to-br", "iface-to-br", "wait-until", "comment"];
    name == "br-set-external-id" || !reads.iter().any(|start| name.starts_with(start))
}

fn obey(options: &mut Options, name: &str, value: Option<String>) -> Result<(), String> {
    use daemon::DaemonOpt;
    let text = value.clone().unwrap_or_default();
    match name {
        "db" => options.db = text,
        "no-wait" => options.wait = false,
        "retry" => options.retry = true,
        "dry-run" => options.dry_run = true,
        "oneline" => options.oneline = true,
        "format" => options.style.set_format(&text)?,
        "data" => options.style.set_cells(&text)?,
        "no-headings" => options.style.headings = false,
        "max-column-width" => options.style.set_max_width(&text),
        "pretty" => options.style.pretty = true,
        "bare" => options.style.set_bare(),
        "verbose" => options.settings.obey(DaemonOpt::Verbose, value)?,
        "log-file" => {}
        "syslog-method" => options.settings.obey(DaemonOpt::SyslogMethod, value)?,
        "syslog-target" => options.settings.obey(DaemonOpt::SyslogTarget, value)?,
        other => {
            options.tls.obey(other, value.as_deref());
        }
    }
    Ok(())
}

type Globals = Vec<(&'static str, Option<String>)>;

/// Options that belong to the program, and everything else. Options of the first command may stand among them.
fn split_globals(args: &[String], product: &Product) -> Result<(Globals, Vec<String>), String> {
    let locals: Vec<&str> = commands(product).flat_map(|command| command.options.iter().copied()).collect();
    let (mut globals, mut rest) = (Vec::new(), Vec::new());
    let mut n = 0;
    while let Some(arg) = args.get(n) {
        n += 1;
        if arg == "--" {
            rest.extend(args[n..].iter().cloned());
            break;
        }
        if let Some(body) = arg.strip_prefix("--") {
            let (name, inline) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (body, None),
            };
            let takes = |local: &str| local.ends_with('=');
            if let Some(local) = locals.iter().find(|local| local[2..].trim_end_matches('=') == name) {
                match (takes(local), inline) {
                    (true, None) => {
                        let value = args.get(n).ok_or(format!("option '--{name}' requires an argument"))?;
                        rest.push(format!("--{name}={value}"));
                        n += 1;
                    }
                    _ => rest.push(arg.clone()),
                }
                continue;
            }
            let (name, _, takes) = find_global(name, body, &locals)?;
            let value = match (takes, inline) {
                (Takes::Nothing, Some(_)) => return Err(format!("option '--{name}' doesn't allow an argument")),
                (Takes::Value, None) => {
                    n += 1;
                    Some(args.get(n - 1).cloned().ok_or(format!("option '--{name}' requires an argument"))?)
                }
                (_, inline) => inline,
            };
            globals.push((*name, value));
            continue;
        }
        if arg.len() > 1 && arg.starts_with('-') {
            let mut letters = arg[1..].chars();
            while let Some(letter) = letters.next() {
                let known = GLOBALS.iter().find(|(_, short, _)| *short == Some(letter));
                let Some((name, _, takes)) = known else { return Err(format!("invalid option -- '{letter}'")) };
                let attached = letters.as_str().to_string();
                let value = match takes {
                    Takes::Nothing => {
                        globals.push((*name, None));
                        continue;
                    }
                    _ if !attached.is_empty() => Some(attached),
                    Takes::Maybe => None,
                    Takes::Value => {
                        n += 1;
                        let value = args.get(n - 1).cloned();
                        Some(value.ok_or(format!("option requires an argument -- '{letter}'"))?)
                    }
                };
                globals.push((*name, value));
                break;
            }
            continue;
        }
        rest.extend(args[n - 1..].iter().cloned());
        break;
    }
    Ok((globals, rest))
}

/// `whole` is the option as it was given, with its argument.
fn find_global(
    name: &str,
    whole: &str,
    locals: &[&str],
) -> Result<&'static (&'static str, Option<char>, Takes), String> {
    if let Some(exact) = GLOBALS.iter().find(|(long, _, _)| *long == name) {
        return Ok(exact);
    }
    // `--no-heading` is in scripts, though it is only the start of an option.
    let found: Vec<_> = GLOBALS.iter().filter(|(long, _, _)| long.starts_with(name)).collect();
    let mut all: Vec<String> = found.iter().map(|(long, _, _)| format!("'--{long}'")).collect();
    let mut starts: Vec<&str> =
        locals.iter().map(|local| local[2..].trim_end_matches('=')).filter(|local| local.starts_with(name)).collect();
    starts.sort_unstable();
    starts.dedup();
    all.extend(starts.iter().map(|local| format!("'--{local}'")));
    match (found.as_slice(), starts.is_empty()) {
        ([one], true) => Ok(one),
        _ if all.is_empty() => Err(format!("unrecognized option '--{whole}'")),
        _ => Err(format!("option '--{whole}' is ambiguous; possibilities: {}", all.join(" "))),
    }
}

fn parse_calls(rest: &[String], product: &Product) -> Result<Vec<Call>, String> {
    let mut calls = Vec::new();
    for words in rest.split(|word| word == "--") {
        if words.is_empty() {
            continue;
        }
        calls.push(parse_call(words, product)?);
    }
    if calls.is_empty() {
        return Err("missing command name (use --help for help)".into());
    }
    Ok(calls)
}

fn parse_call(words: &[String], product: &Product) -> Result<Call, String> {
    let options: Vec<&String> = words.iter().take_while(|word| word.starts_with('-')).collect();
    let Some(name) = words.get(options.len()) else { return Err("missing command name (use --help for help)".into()) };
    let args = words[options.len() + 1..].to_vec();
    let Some(command) = commands(product).find(|command| command.name == name) else {
        return Err(format!("unknown command '{name}'; use --help for help"));
    };
    let mut parsed = BTreeMap::new();
    for option in options {
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (option.as_str(), None),
        };
        let Some(known) = command.options.iter().find(|known| known.trim_end_matches('=') == key) else {
            return Err(format!("'{name}' command has no '{key}' option"));
        };
        match (known.ends_with('='), value) {
            (true, None) => return Err(format!("missing argument to '{key}' option on '{name}' command")),
            (false, Some(_)) => return Err(format!("'{key}' option on '{name}' does not accept an argument")),
            _ => {}
        }
        if parsed.insert(known.trim_end_matches('='), value.unwrap_or_default().to_string()).is_some() {
            return Err(format!("'{key}' option specified multiple times"));
        }
    }
    if args.len() < command.min {
        return Err(format!("'{name}' command requires at least {} arguments", command.min));
    }
    if args.len() > command.max {
        return Err(format!("'{name}' command takes at most {} arguments", command.max));
    }
    Ok(Call { command, options: parsed, args })
}

fn print_commands(product: &Product) -> Result<(), Stop> {
    for command in commands(product) {
        let options: String = command.options.iter().map(|option| format!("[{option}] ")).collect();
        println!("{options},{},{}", command.name, usage_words(command.usage));
    }
    Err(Stop::Code(ExitCode::SUCCESS))
}

/// Usage as completion reads it: `!A` must be given, `?A` may, `+A` once or more often, `*A` as often as wanted.
fn usage_words(usage: &str) -> String {
    let word = |word: &str| {
        let (word, many) = word.strip_suffix("...").map_or((word, false), |word| (word, true));
        let (word, optional) = match word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
            // `[KEY=]VALUE` is not all optional.
            Some(word) if word.matches('[').count() == word.matches(']').count() => (word, true),
            _ => (word, false),
        };
        let sign = match (many, optional) {
            (true, true) => '*',
            (true, false) => '+',
            (false, true) => '?',
            (false, false) => '!',
        };
        format!("{sign}{}", word.replace("[:KEY]", "?:KEY").replace("[KEY=]VALUE", "?KEY=VALUE"))
    };
    usage.split(' ').filter(|text| !text.is_empty()).map(word).collect::<Vec<_>>().join(" ")
}

fn print_options() -> Result<(), Stop> {
    for (name, short, takes) in GLOBALS {
        let value = if *takes == Takes::Nothing { "" } else { "=ARG" };
        println!("--{name}{value}");
        if let Some(short) = short {
            println!("-{short}{}", if *takes == Takes::Nothing { "" } else { " ARG" });
        }
    }
    Err(Stop::Code(ExitCode::SUCCESS))
}

fn help(program: &str, product: &Product) -> String {
    format!(
        "{}\nOptions:\n  \
         --db=DATABASE               connect to DATABASE\n                              (default: {})\n  \
         --no-wait                   do not wait for the daemon to reconfigure\n  \
         --retry                     keep trying to connect to server forever\n  \
         -t, --timeout=SECS          wait at most SECS seconds for the daemon\n  \
         --dry-run                   do not commit changes to database\n  \
         --oneline                   print exactly one line of output per command\n  \
         --force                     before a database command: do what is unsafe\n  \
         --no-syslog                 send no more than warnings to the system log\n{}\
         \nOutput formatting options:\n  \
         -f, --format=FORMAT         \"table\", \"list\", \"html\", \"csv\", or \"json\"\n  \
         -d, --data=FORMAT           \"string\", \"bare\", or \"json\"\n  \
         --no-headings               omit table heading row\n  \
         --pretty                    pretty-print JSON in output\n  \
         --bare                      equivalent to \"--format=list --data=bare --no-headings\"\n{}\
         \nOther options:\n  \
         -h, --help                  display this help message\n  \
         -V, --version               display version information\n",
        product.help,
        dirs::default_remote(),
        io::tls::HELP,
        daemon::logging_help(&dirs::logdir().join(format!("{program}.log"))),
    )
}

struct Session<'a> {
    invocation: &'a Invocation,
    product: &'static Product,
    options: Options,
    calls: Vec<Call>,
    rpc: Rpc,
    schema: Rc<DatabaseSchema>,
    replica: Replica,
    /// The names of the rows that the run is about and that it reads as it needs them; the replica has the rest.
    few: Option<(BTreeSet<String>, ReadFew)>,
    needs: Needs,
}

/// What came of a transaction.
struct Committed {
    /// The rows that were inserted, by the names that they had before.
    names: HashMap<Uuid, Uuid>,
    /// What the daemon's counter has to reach.
    generation: Option<i64>,
}

/// What the commands of a run gave.
struct Output {
    text: String,
    table: Option<Table>,
}

impl<'a> Session<'a> {
    fn open(
        invocation: &'a Invocation,
        product: &'static Product,
        options: Options,
        calls: Vec<Call>,
        may_be_few: bool,
    ) -> Result<Session<'a>, Stop> {
        let mut rpc = loop {
            match Rpc::connect(&options.db) {
                Ok(rpc) => break rpc,
                Err(_) if options.retry => std::thread::sleep(Duration::from_secs(1)),
                Err(reason) => {
                    return Err(Stop::Error(format!("{}: database connection failed ({reason})", options.db)));
                }
            }
        };
        let lost = |reason: String| format!("{}: database connection failed ({reason})", options.db);
        let schema = rpc.call("get_schema", json!([product.database])).map_err(lost)?;
        let schema = schema.map_err(|error| {
            format!(
                "{}: server does not offer the {} database: {}",
                options.db,
                product.database,
                json::to_string(&error)
            )
        })?;
        let schema = Rc::new(DatabaseSchema::from_json(&schema).map_err(|error| error.to_string())?);
        let mut needs = Needs::new();
        let (table, raise, watch) = product.generation;
        need(&mut needs, &schema, table, &[raise, watch]);
        for call in &calls {
            (call.command.needs)(call, &schema, product, &mut needs)?;
        }
        let few = product.few.filter(|_| may_be_few);
        let few = few.and_then(|(names, read)| Some((names(&calls, &schema)?, read)));
        let tables = needs
            .iter()
            .filter(|(name, _)| few.is_none() || *name == table)
            .map(|(table, columns)| (table.clone(), columns.iter().flatten().cloned().collect()));
        let wanted = idl::Options { tables: tables.collect(), ..idl::Options::default() };
        let mut replica = Replica::new(product.database, wanted);
        replica.connected_with((*schema).clone());
        let mut session = Session { invocation, product, options, calls, rpc, schema, replica, few, needs };
        while !session.replica.is_live() {
            session.rpc.feed(&mut session.replica).map_err(|reason| session.lost(reason))?;
        }
        Ok(session)
    }

    fn work(mut self) -> Result<(), Stop> {
        loop {
            let seen = self.replica.sequence();
            let Some(rows) = self.rows()? else {
                return Session::open(self.invocation, self.product, self.options, self.calls, false)?.work();
            };
            let mut store = Store::new(self.schema.clone(), rows, crate::ovsdb_tool::seed());
            if let Some(outputs) = self.attempt(&mut store)?
                && let Some(committed) = self.commit(&store)?
            {
                return self.finish(store, outputs, committed);
            }
            // A run that reads rows as it needs them sees others at once.
            if self.few.is_none() {
                self.await_change(seen)?;
            }
        }
    }

    /// The rows as they are now; `None` if they cannot be read but with all others.
    fn rows(&mut self) -> Result<Option<HashMap<String, Rows>>, Stop> {
        let mut rows = store::rows_of(&self.replica);
        let Some((names, read)) = self.few.take() else { return Ok(Some(rows)) };
        let (schema, needs) = (self.schema.clone(), std::mem::take(&mut self.needs));
        let mut transact = |operations| match self.transact(operations)? {
            Outcome::Committed(results) => Ok(results),
            _ => Err("rows cannot be read".to_string()),
        };
        let few = read(&names, &schema, &needs, &mut transact);
        self.needs = needs;
        self.few = Some((names, read));
        // What goes wrong here goes wrong with all rows, too, and is told then.
        let Ok(Some(few)) = few else { return Ok(None) };
        rows.extend(few);
        Ok(Some(rows))
    }

    /// Runs the commands; `None` if one has to wait.
    fn attempt(&self, store: &mut Store) -> Result<Option<Vec<Output>>, Stop> {
        let (table, ..) = self.product.generation;
        if store.rows(table).next().is_none() && store.table(table).is_some() {
            store.insert(table, None);
        }
        let mut outputs = Vec::new();
        for call in &self.calls {
            let mut context = Context {
                store,
                call,
                product: self.product,
                out: String::new(),
                table: None,
                wait: false,
                warnings: Vec::new(),
            };
            (call.command.run)(&mut context)?;
            if context.wait {
                return Ok(None);
            }
            for warning in &context.warnings {
                let module = if call.command.name == "create" { vlog::Module::DbCtlBase } else { self.product.module };
                vlog::log(module, Level::Warn, format_args!("{warning}"));
            }
            outputs.push(Output { text: context.out, table: context.table });
        }
        for (name, symbol) in &store.symbols {
            if !symbol.created {
                return Err(Stop::Error(format!(
                    "row id \"{name}\" is referenced but never created (e.g. with \"-- --id={name} create ...\")"
                )));
            }
            if !symbol.strong {
                let what = match symbol.weak {
                    true => format!(
                        "row id \"{name}\" was created but only a weak reference to it was inserted, so it will not \
                         actually appear in the database"
                    ),
                    false => format!(
                        "row id \"{name}\" was created but no reference to it was inserted, so it will not actually \
                         appear in the database"
                    ),
                };
                let root = self.schema.tables.values().any(|t| t.is_root && store.is_inserted(&t.name, symbol.uuid));
                if !root {
                    vlog::log(self.product.module, Level::Warn, format_args!("{what}"));
                }
            }
        }
        Ok(Some(outputs))
    }

    /// Waits until the rows are others than at `seen`.
    fn await_change(&mut self, seen: u64) -> Result<(), Stop> {
        while self.replica.sequence() == seen {
            self.rpc.feed(&mut self.replica).map_err(|reason| self.lost(reason))?;
        }
        Ok(())
    }

    fn transact(&mut self, operations: Vec<Value>) -> Result<Outcome, String> {
        let mut txn = Txn::new();
        operations.into_iter().for_each(|operation| txn.operation(operation));
        let id = self.replica.transact(txn);
        loop {
            if let Some(outcome) = self.replica.take_outcome(id) {
                return Ok(outcome);
            }
            self.rpc.feed(&mut self.replica).map_err(|reason| self.lost(reason))?;
        }
    }

    fn lost(&self, reason: String) -> String {
        format!("{}: database connection failed ({reason})", self.options.db)
    }

    /// Sends the transaction; `None` if it has to be made anew because rows are gone.
    fn commit(&mut self, store: &Store) -> Result<Option<Committed>, Stop> {
        let (mut operations, rows) = store.operations();
        let mut committed = Committed { names: HashMap::new(), generation: None };
        if operations.is_empty() || self.options.dry_run {
            return Ok(Some(committed));
        }
        let (table, raise, _) = self.product.generation;
        let at = operations.len();
        if self.options.wait {
            operations.push(json!({"op": "mutate", "table": table, "where": [], "mutations": [[raise, "+=", 1]]}));
            operations.push(json!({"op": "select", "table": table, "where": [], "columns": [raise]}));
        }
        operations.push(json!({"op": "comment", "comment": self.comment()}));
        let results = match self.transact(operations)? {
            Outcome::Committed(results) => results,
            Outcome::TryAgain => return Ok(None),
            Outcome::Unknown => return Err(Stop::Error(self.lost("connection closed".into()))),
            Outcome::Failed(error) => {
                let text = json::to_string(&error);
                vlog::log(vlog::Module::OvsdbIdl, Level::Warn, format_args!("transaction error: {text}"));
                return Err(Stop::Error(format!("transaction error: {text}")));
            }
        };
        for (row, result) in rows.iter().zip(&results) {
            let real = result["uuid"][1].as_str().and_then(Uuid::parse);
            committed.names.extend(real.map(|real| (*row, real)));
        }
        if self.options.wait {
            committed.generation = results.get(at + 1).and_then(|r| r["rows"][0][raise].as_i64());
        }
        Ok(Some(committed))
    }

    fn finish(mut self, mut store: Store, outputs: Vec<Output>, committed: Committed) -> Result<(), Stop> {
        self.print(outputs, &committed.names);
        if let Some(generation) = committed.generation {
            self.await_generation(generation)?;
            if self.complain(&mut store, &committed.names) {
                return Err(Stop::Code(ExitCode::from(TROUBLE)));
            }
        }
        Ok(())
    }

    fn comment(&self) -> String {
        let parent = std::os::unix::process::parent_id();
        let name = std::fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
        let name = name.trim();
        let by = if name.is_empty() { String::new() } else { format!(" (invoked by {name})") };
        format!("{}{by}: {}", self.invocation.name, self.invocation.command_line())
    }

    fn print(&self, outputs: Vec<Output>, names: &HashMap<Uuid, Uuid>) {
        let mut out = String::new();
        let mut first_table = true;
        for output in outputs {
            if let Some(table) = output.table {
                let text = table.format(&self.options.style, first_table);
                first_table = self.options.style.format == Format::Json;
                out.push_str(&self.one_line(text));
            } else if self.options.oneline || !output.text.is_empty() {
                out.push_str(&self.one_line(real_names(output.text, names)));
            }
        }
        use std::io::Write;
        let _ = std::io::stdout().write_all(out.as_bytes());
    }

    fn one_line(&self, text: String) -> String {
        if !self.options.oneline {
            return text;
        }
        let body = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = body.replace('\\', "\\\\").replace('\n', "\\n");
        line.push('\n');
        line
    }

    fn await_generation(&mut self, generation: i64) -> Result<(), Stop> {
        let (table, _, watch) = self.product.generation;
        loop {
            let seen = self.replica.sequence();
            if self.replica.rows(table).any(|row| row.int(watch).is_some_and(|value| value >= generation)) {
                return Ok(());
            }
            self.await_change(seen)?;
        }
    }

    /// Reads the rows that this run touched once more, and prints what the daemon says is wrong with them. True if
    /// something is wrong with a row that is new.
    fn complain(&mut self, store: &mut Store, names: &HashMap<Uuid, Uuid>) -> bool {
        let mut touched: BTreeMap<String, BTreeSet<Uuid>> = BTreeMap::new();
        for table in self.schema.tables.keys() {
            let uuids: BTreeSet<Uuid> =
                store.touched(table).into_iter().map(|uuid| names.get(&uuid).copied().unwrap_or(uuid)).collect();
            if !uuids.is_empty() && self.schema.tables[table].column_number("error").is_some() {
                touched.insert(table.clone(), uuids);
            }
        }
        let mut tables: HashMap<String, Rows> = HashMap::new();
        let wanted: Vec<(&String, Uuid)> =
            touched.iter().flat_map(|(table, uuids)| uuids.iter().map(move |uuid| (table, *uuid))).collect();
        // All in one request: a round trip for each of thousands of rows takes its time.
        let select = |(table, uuid): &(&String, Uuid)| json!({"op": "select", "table": table, "where": [["_uuid", "==", ["uuid", uuid.to_string()]]]});
        let selects: Vec<Value> = wanted.iter().map(select).collect();
        if !selects.is_empty()
            && let Ok(Outcome::Committed(results)) = self.transact(selects)
        {
            for ((table, uuid), result) in wanted.iter().zip(&results) {
                if let Some(columns) = result["rows"][0].as_object() {
                    let row = store::selected_row(&self.schema.tables[*table], *uuid, columns);
                    tables.entry(table.to_string()).or_default().insert(*uuid, row);
                }
            }
        }
        let now = Store::new(self.schema.clone(), tables, crate::ovsdb_tool::seed());
        let inserted: BTreeSet<Uuid> = names.values().copied().collect();
        let mut touched = Touched { rows: touched, inserted };
        for complaint in (self.product.complain)(&touched, &now) {
            eprintln!("{}: {complaint}", self.invocation.name);
        }
        touched.rows.values_mut().for_each(|uuids| uuids.retain(|uuid| touched.inserted.contains(uuid)));
        !(self.product.complain)(&touched, &now).is_empty()
    }
}

/// Text in which the names that rows had before they were inserted are their real ones.
fn real_names(mut text: String, names: &HashMap<Uuid, Uuid>) -> String {
    if text.len() < 36 {
        return text;
    }
    for (provisional, real) in names {
        let provisional = provisional.to_string();
        if text.contains(&provisional) {
            text = text.replace(&provisional, &real.to_string());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::usage_words;

    #[test]
    fn usage() {
        let check = |usage: &str, expect: &str| assert_eq!(usage_words(usage), expect);
        check("TABLE RECORD [COLUMN[:KEY]=VALUE]...", "!TABLE !RECORD *COLUMN?:KEY=VALUE");
        check("TABLE RECORD COLUMN [KEY=]VALUE...", "!TABLE !RECORD !COLUMN +?KEY=VALUE");
        check("NEW-BRIDGE [PARENT] [NEW-VLAN]", "!NEW-BRIDGE ?PARENT ?NEW-VLAN");
        check("TARGET...", "+TARGET");
        check("", "");
    }
}
