//! The command engine of ovs-vsctl and vtep-ctl: one run reads the database once, runs its commands one after another on
//! what it read, and sends what they changed as one transaction.

pub mod generic;
pub mod names;
pub mod rpc;
pub mod run;
pub mod show;
pub mod store;
pub(crate) mod targets;
pub mod values;

use crate::table::Table;
use ovsdb_data::DatabaseSchema;
use std::collections::{BTreeMap, BTreeSet};
use store::Store;

/// What a program built on the engine is about.
pub struct Product {
    /// Name of the database.
    pub database: &'static str,
    /// How records are called.
    pub names: &'static [RecordName],
    /// What `show` prints; the first entry is where it starts.
    pub show: &'static [ShowTable],
    /// Commands beside the generic ones.
    pub commands: &'static [Command],
    /// The table with one row whose counter says that the daemon has caught up: table, counter to raise, counter to watch.
    pub generation: (&'static str, &'static str, &'static str),
    /// Usage of the program's own commands for `--help`.
    pub help: &'static str,
    /// More lines for `--version`.
    pub version_note: &'static str,
    /// Log module of the program, for `vlog`.
    pub module: io::vlog::Module,
    /// Looks for trouble that the daemon met while applying; what it returns is printed.
    pub complain: fn(&Touched, &Store) -> Vec<String>,
    /// How a run that is about few rows finds their names, and reads them and no others.
    pub few: Option<(NamesOfFew, ReadFew)>,
}

/// The names of the rows that a run is about; none if it may be about others, too.
pub type NamesOfFew = fn(&[Call], &DatabaseSchema) -> Option<BTreeSet<String>>;

/// Sends operations; gives their results.
pub type Transact<'a> = &'a mut dyn FnMut(Vec<serde_json::Value>) -> Result<Vec<serde_json::Value>, String>;

/// Reads what a run needs to know of these rows; none if it has to read everything.
pub type ReadFew = fn(
    &BTreeSet<String>,
    &DatabaseSchema,
    &Needs,
    Transact<'_>,
) -> Result<Option<std::collections::HashMap<String, store::Rows>>, String>;

/// Rows that a run wrote to, by table.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// All of them.
    pub rows: BTreeMap<String, BTreeSet<ovsdb_data::Uuid>>,
    /// Those that it inserted.
    pub inserted: BTreeSet<ovsdb_data::Uuid>,
}

/// One way in which a record of a table may be named.
#[derive(Clone, Copy, Debug)]
pub struct RecordName {
    /// Table of the record.
    pub table: &'static str,
    /// Table in which the name is looked up; the record's own, or one that refers to it.
    pub name_table: &'static str,
    /// Column of the name; `None` if the table has one row, called `.`.
    pub name_column: Option<&'static str>,
    /// Column of `name_table` that refers to the record; `None` if it is the record's own.
    pub reference: Option<&'static str>,
}

/// What `show` prints of a table.
#[derive(Clone, Copy, Debug)]
pub struct ShowTable {
    /// The table.
    pub table: &'static str,
    /// Column that names a row.
    pub name: Option<&'static str>,
    /// Columns, in order.
    pub columns: &'static [&'static str],
}

/// Tables and columns that a run reads; `None` for all columns.
pub type Needs = BTreeMap<String, Option<BTreeSet<String>>>;

/// One command.
pub struct Command {
    /// Name.
    pub name: &'static str,
    /// Fewest arguments.
    pub min: usize,
    /// Most arguments.
    pub max: usize,
    /// Arguments, for messages and completion.
    pub usage: &'static str,
    /// Options, as `--name` or, if they take a value, `--name=`.
    pub options: &'static [&'static str],
    /// Says what it reads. It may fail on arguments that name nothing.
    pub needs: fn(&Call, &DatabaseSchema, &Product, &mut Needs) -> Result<(), String>,
    /// Does it.
    pub run: fn(&mut Context<'_>) -> Result<(), String>,
}

/// A command of the command line.
#[derive(Clone)]
pub struct Call {
    /// What is called.
    pub command: &'static Command,
    /// Options, without values or with.
    pub options: BTreeMap<&'static str, String>,
    /// Arguments.
    pub args: Vec<String>,
}

impl Call {
    /// True if an option was given.
    pub fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }
}

/// What a command works with.
pub struct Context<'a> {
    /// The database as this run sees and changes it.
    pub store: &'a mut Store,
    /// The command.
    pub call: &'a Call,
    /// What the program is about.
    pub product: &'static Product,
    /// Text to print.
    pub out: String,
    /// A table to print instead.
    pub table: Option<Table>,
    /// Set if the command has to be tried again when the database changed.
    pub wait: bool,
    /// Warnings to print now.
    pub warnings: Vec<String>,
}

impl Context<'_> {
    /// An argument.
    pub fn arg(&self, n: usize) -> &str {
        self.call.args.get(n).map_or("", String::as_str)
    }

    /// Prints a line.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.out.push_str(text.as_ref());
        self.out.push('\n');
    }
}

/// Adds columns of a table to what is read. Columns that the schema lacks are left out.
pub fn need(needs: &mut Needs, schema: &DatabaseSchema, table: &str, columns: &[&str]) {
    let Some(known) = schema.tables.get(table) else { return };
    if let Some(wanted) = needs.entry(table.to_string()).or_insert_with(|| Some(BTreeSet::new())) {
        wanted.extend(columns.iter().filter(|c| known.column_number(c).is_some()).map(|c| c.to_string()));
    }
}

/// Adds all columns of a table to what is read.
pub fn need_all(needs: &mut Needs, table: &str) {
    needs.insert(table.to_string(), None);
}
