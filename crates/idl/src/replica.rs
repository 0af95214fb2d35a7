//! The replica as a state machine.
//!
//! ```text
//!   connected ──get_schema──▶ Schema ──monitor_cond_since──▶ Monitor ──reply──▶ Live ──update3──▶ Live
//!                                          │ "unknown method"
//!                                          └──monitor_cond──┐ "unknown method"
//!                                                           └──monitor──▶ …
//! ```

use crate::condition::Condition;
use crate::index::{Index, IndexId, Order};
use crate::row::Row;
use crate::table::{Changed, Tables};
use crate::txn::Txn;
use crate::typed::Table;
use crate::update::{self, Encoding};
use ovsdb_data::{DatabaseSchema, Datum, TableSchema, Uuid};
use serde_json::{Map, Value, json};
use session::Message;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

/// What to replicate.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Tables, with the columns that are wanted; no columns means all. No tables means the whole database.
    pub tables: BTreeMap<String, Vec<String>>,
    /// Columns whose changes are not reported back to whoever wrote them; they are not monitored at all.
    pub omit: Vec<(String, String)>,
    /// A lock to ask for on every connection.
    pub lock: Option<String>,
    /// Tables of which not every row is wanted. A server that knows no conditions sends every row.
    pub conditions: BTreeMap<String, Condition>,
    /// Changes that [`Replica::take_changes`] tells.
    pub track: Track,
}

/// Whose changes are kept until they are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Track {
    /// Nobody's.
    #[default]
    Nothing,
    /// Those of these tables.
    Tables(BTreeSet<String>),
    /// Everybody's.
    Everything,
}

/// How a transaction ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Committed; one result per operation.
    Committed(Vec<Value>),
    /// Rows that it verifies have changed ([`Txn::verify`]): make it anew from the rows as they are now, and try again.
    TryAgain,
    /// Refused; the error object of the database (RFC 7047 §3.1).
    Failed(Value),
    /// The connection was lost before the answer came: it may or may not have been committed.
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Disconnected,
    AwaitingSchema,
    AwaitingMonitor(Version),
    Live,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    Since,
    Cond,
    Plain,
}

impl Version {
    fn method(self) -> &'static str {
        match self {
            Version::Since => "monitor_cond_since",
            Version::Cond => "monitor_cond",
            Version::Plain => "monitor",
        }
    }
}

/// A copy of a database that follows its changes.
///
/// Feed every received message to [`Replica::input`]; send what [`Replica::poll_output`] gives until it gives nothing.
#[derive(Debug)]
pub struct Replica {
    database: String,
    options: Options,
    schema: Option<DatabaseSchema>,
    tables: Tables,
    state: State,
    awaiting: Option<u64>,
    next_id: u64,
    output: VecDeque<Message>,
    sequence: u64,
    transactions: HashSet<u64>,
    /// The request that changes conditions, while it is not answered.
    condition_request: Option<u64>,
    /// Conditions that wait for it.
    conditions_to_send: BTreeSet<String>,
    outcomes: VecDeque<(u64, Outcome)>,
    last_txn: Option<String>,
    /// How the server is monitored.
    monitor: Version,
    lock_request: Option<u64>,
    has_lock: bool,
    connections: u64,
}

/// The name of the monitor.
const MONITOR: &str = "replica";
const NO_TXN: &str = "00000000-0000-0000-0000-000000000000";

impl Replica {
    /// A replica of `database` that holds nothing yet.
    pub fn new(database: &str, options: Options) -> Replica {
        let tracked = match &options.track {
            Track::Nothing => None,
            Track::Tables(tables) => Some(tables.clone()),
            Track::Everything => Some(BTreeSet::new()),
        };
        Replica {
            database: database.into(),
            options,
            schema: None,
            tables: Tables::new(tracked),
            state: State::Disconnected,
            awaiting: None,
            next_id: 1,
            output: VecDeque::new(),
            sequence: 0,
            transactions: HashSet::new(),
            condition_request: None,
            conditions_to_send: BTreeSet::new(),
            outcomes: VecDeque::new(),
            last_txn: None,
            monitor: Version::Since,
            lock_request: None,
            has_lock: false,
            connections: 0,
        }
    }

    /// A connection was opened: asks for the schema.
    pub fn connected(&mut self) {
        self.connections += 1;
        self.output.clear();
        self.state = State::AwaitingSchema;
        let id = self.send("get_schema", json!([self.database]));
        self.awaiting = Some(id);
        self.lock_request = self.options.lock.clone().map(|l| self.send("lock", json!([l])));
    }

    /// A connection was opened by somebody who has asked for the schema already.
    pub fn connected_with(&mut self, schema: DatabaseSchema) {
        self.connections += 1;
        self.output.clear();
        self.schema = Some(schema);
        self.request_monitor(Version::Since);
        self.lock_request = self.options.lock.clone().map(|l| self.send("lock", json!([l])));
    }

    /// The connection was lost. The rows stay as they were.
    pub fn disconnected(&mut self) {
        self.state = State::Disconnected;
        self.output.clear();
        self.awaiting = None;
        self.has_lock = false;
        if self.condition_request.take().is_some() || !self.conditions_to_send.is_empty() {
            self.ask_for_everything();
        }
        for id in std::mem::take(&mut self.transactions) {
            self.outcomes.push_back((id, Outcome::Unknown));
        }
    }

    /// How often a connection was made: what the server keeps only while it runs may be gone since the last one.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Whether the replica holds a complete state of the database and follows it.
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Whether this session owns the lock that it asked for; true if it asked for none.
    pub fn has_lock(&self) -> bool {
        self.has_lock || self.options.lock.is_none()
    }

    /// Grows with every change of the rows.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The schema, once it is known.
    pub fn schema(&self) -> Option<&DatabaseSchema> {
        self.schema.as_ref()
    }

    /// The next message to send.
    pub fn poll_output(&mut self) -> Option<Message> {
        self.output.pop_front()
    }

    /// The rows that changed since the last call, each once, by table; none unless [`Options::track`] asks for them.
    pub fn take_changes(&mut self) -> Vec<Changed> {
        self.tables.take_changes()
    }

    /// How the transaction of this number ended, if it has.
    pub fn take_outcome(&mut self, id: u64) -> Option<Outcome> {
        let at = self.outcomes.iter().position(|(of, _)| *of == id)?;
        self.outcomes.remove(at).map(|(_, outcome)| outcome)
    }

    /// Sets which rows of a table are wanted, from now on. [`Replica::has_conditions`] says when the rows follow.
    pub fn set_condition(&mut self, table: &str, condition: Condition) {
        if self.options.conditions.get(table) == Some(&condition) {
            return;
        }
        self.options.conditions.insert(table.to_string(), condition);
        match self.state {
            State::Disconnected | State::AwaitingSchema => self.ask_for_everything(),
            State::AwaitingMonitor(_) | State::Live => {
                self.conditions_to_send.insert(table.to_string());
                self.send_conditions();
            }
        }
    }

    /// Whether the rows are those that the conditions want; false while the server is being asked.
    pub fn has_conditions(&self) -> bool {
        self.is_live() && self.condition_request.is_none() && self.conditions_to_send.is_empty()
    }

    /// Rows that match conditions newly are not told to who comes back: the next connection starts from nothing.
    fn ask_for_everything(&mut self) {
        self.conditions_to_send.clear();
        self.last_txn = None;
    }

    /// Sends conditions that have changed; one request at a time is on its way.
    fn send_conditions(&mut self) {
        let is_conditional = self.monitor != Version::Plain;
        if self.state != State::Live || self.condition_request.is_some() || self.conditions_to_send.is_empty() {
            return;
        }
        let mut requests = Map::new();
        for table in std::mem::take(&mut self.conditions_to_send) {
            let known = self.schema.as_ref().is_some_and(|s| s.tables.contains_key(&table));
            if let Some(condition) = self.options.conditions.get(&table).filter(|_| known && is_conditional) {
                requests.insert(table, json!([{"where": condition.to_json()}]));
            }
        }
        if !requests.is_empty() {
            let id = self.send("monitor_cond_change", json!([MONITOR, MONITOR, requests]));
            self.condition_request = Some(id);
        }
    }

    /// Makes an index over columns of a table, which follows the rows from now on.
    pub fn add_index(&mut self, table: &str, columns: &[(&str, Order)]) -> IndexId {
        let schema = self.schema.as_ref().and_then(|s| s.tables.get(table));
        IndexId(self.tables.add_index(schema, Index::new(table, columns)))
    }

    /// The rows with these values in the columns of an index, or in the first of them, in the order of the index.
    pub fn find<'a>(&'a self, index: IndexId, values: &[Datum]) -> impl Iterator<Item = Row<'a>> + use<'a> {
        self.range(index, values, Some(values))
    }

    /// The rows from one place in an index to another, both included; `None` is the end.
    pub fn range<'a>(
        &'a self,
        index: IndexId,
        first: &[Datum],
        last: Option<&[Datum]>,
    ) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let index = &self.tables.indexes[index.0];
        index.range(first, last).filter_map(move |uuid| self.row(&index.table, uuid))
    }

    /// All rows of a table, in no order.
    pub fn all<'a, T: Table<'a>>(&'a self) -> impl Iterator<Item = T> + use<'a, T> {
        self.rows(T::NAME).map(T::from_row)
    }

    /// A row by identity.
    pub fn get<'a, T: Table<'a>>(&'a self, uuid: Uuid) -> Option<T> {
        self.row(T::NAME, uuid).map(T::from_row)
    }

    /// The only row of a table that has one, such as `Open_vSwitch`.
    pub fn only<'a, T: Table<'a>>(&'a self) -> Option<T> {
        self.all().next()
    }

    /// The next transaction that has ended, by the number that [`Replica::transact`] gave.
    pub fn poll_outcome(&mut self) -> Option<(u64, Outcome)> {
        self.outcomes.pop_front()
    }

    /// Sends a transaction; the number identifies its outcome.
    pub fn transact(&mut self, txn: Txn) -> u64 {
        let mut params = vec![Value::from(self.database.clone())];
        params.extend(txn.operations);
        if self.state == State::Disconnected {
            let id = self.next_id;
            self.next_id += 1;
            self.outcomes.push_back((id, Outcome::Unknown));
            return id;
        }
        let id = self.send("transact", Value::Array(params));
        self.transactions.insert(id);
        id
    }

    /// Whether transactions were sent that are not answered: rows may yet change by them.
    pub fn is_writing(&self) -> bool {
        !self.transactions.is_empty()
    }

    /// Values that it holds: rows times columns, over all tables.
    pub fn cells(&self) -> usize {
        let tables = self.schema.iter().flat_map(|schema| &schema.tables);
        let cells = |(name, table): (&String, &TableSchema)| {
            self.tables.rows(name).map_or(0, |rows| rows.len() * table.own_columns().count())
        };
        tables.map(cells).sum()
    }

    /// A row by table and identity.
    pub fn row<'a>(&'a self, table: &str, uuid: Uuid) -> Option<Row<'a>> {
        let data = self.tables.get(table, uuid)?;
        Some(Row { replica: self, table: self.schema.as_ref()?.tables.get(table)?, uuid, data })
    }

    /// All rows of a table, in no order.
    pub fn rows<'a>(&'a self, table: &str) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let schema = self.schema.as_ref().and_then(|s| s.tables.get(table));
        let rows = self.tables.rows(table);
        rows.into_iter()
            .flatten()
            .filter_map(move |(&uuid, data)| Some(Row { replica: self, table: schema?, uuid, data }))
    }

    /// The only row of a table that has one, such as `Open_vSwitch`.
    pub fn only_row<'a>(&'a self, table: &str) -> Option<Row<'a>> {
        self.rows(table).next()
    }

    fn send(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.output.push_back(Message::request(id, method, params));
        id
    }

    /// Takes a message from the server. An error means that the server can't be understood: close the connection.
    pub fn input(&mut self, message: Message) -> Result<(), String> {
        match message {
            Message::Request { id, method, params } if method == "echo" => {
                self.output.push_back(Message::Reply { id, result: params });
                Ok(())
            }
            Message::Request { method, .. } => Err(format!("unexpected request \"{method}\"")),
            Message::Notification { method, params } => self.notification(&method, &params),
            Message::Reply { id, result } => self.reply(id, Ok(result)),
            Message::Error { id, error } => self.reply(id, Err(error)),
        }
    }

    fn reply(&mut self, id: Value, result: Result<Value, Value>) -> Result<(), String> {
        let Some(id) = id.as_u64() else { return Ok(()) };
        if self.lock_request == Some(id) {
            self.lock_request = None;
            self.has_lock = result.is_ok_and(|r| r["locked"] == true);
            return Ok(());
        }
        if self.transactions.remove(&id) {
            self.outcomes.push_back((id, outcome(result)));
            return Ok(());
        }
        if self.condition_request == Some(id) {
            self.condition_request = None;
            self.sequence += 1;
            result.map_err(|e| format!("cannot change conditions: {e}"))?;
            self.send_conditions();
            return Ok(());
        }
        if self.awaiting != Some(id) {
            return Ok(());
        }
        self.awaiting = None;
        match (self.state, result) {
            (State::AwaitingSchema, Ok(json)) => {
                let schema = DatabaseSchema::from_json(&json).map_err(|e| e.to_string())?;
                if self.schema.as_ref().is_some_and(|known| *known != schema) {
                    self.tables.forget();
                    self.last_txn = None;
                }
                self.schema = Some(schema);
                self.request_monitor(Version::Since);
                Ok(())
            }
            (State::AwaitingSchema, Err(e)) => Err(format!("server does not serve {}: {e}", self.database)),
            (State::AwaitingMonitor(Version::Since), Err(_)) => {
                self.request_monitor(Version::Cond);
                Ok(())
            }
            (State::AwaitingMonitor(Version::Cond), Err(_)) => {
                self.request_monitor(Version::Plain);
                Ok(())
            }
            (State::AwaitingMonitor(_), Err(e)) => Err(format!("cannot monitor {}: {e}", self.database)),
            (State::AwaitingMonitor(v), Ok(json)) => self.initial(v, &json),
            _ => Ok(()),
        }
    }

    fn request_monitor(&mut self, version: Version) {
        let Some(schema) = &self.schema else { return };
        let mut tables = Map::new();
        for (name, table) in &schema.tables {
            let wanted = match self.options.tables.get(name) {
                _ if self.options.tables.is_empty() => None,
                None => continue,
                Some(columns) => Some(columns).filter(|c| !c.is_empty()),
            };
            let columns: Vec<&str> = table
                .own_columns()
                .map(|(_, c)| c.name.as_str())
                .filter(|c| wanted.is_none_or(|w| w.iter().any(|x| x == c)))
                .filter(|c| !self.options.omit.iter().any(|(t, o)| t == name && o == c))
                .collect();
            let request = match self.options.conditions.get(name) {
                Some(condition) if version != Version::Plain => {
                    json!([{"columns": columns, "where": condition.to_json()}])
                }
                _ => json!([{"columns": columns}]),
            };
            tables.insert(name.clone(), request);
        }
        self.conditions_to_send.clear();
        let mut params = vec![self.database.clone().into(), Value::from(MONITOR), Value::Object(tables)];
        if version == Version::Since {
            params.push(self.last_txn.as_deref().unwrap_or(NO_TXN).into());
        }
        let id = self.send(version.method(), Value::Array(params));
        self.awaiting = Some(id);
        self.state = State::AwaitingMonitor(version);
    }

    fn initial(&mut self, version: Version, json: &Value) -> Result<(), String> {
        let (updates, keep) = match version {
            Version::Since => {
                self.last_txn = json[1].as_str().map(String::from);
                (&json[2], json[0] == true)
            }
            _ => (json, false),
        };
        if !keep && let Some(schema) = &self.schema {
            schema.tables.values().for_each(|table| self.tables.clear(table));
        }
        self.state = State::Live;
        self.monitor = version;
        self.sequence += 1;
        self.apply(updates, if version == Version::Plain { Encoding::V1 } else { Encoding::V2 })?;
        self.send_conditions();
        Ok(())
    }

    fn notification(&mut self, method: &str, params: &Value) -> Result<(), String> {
        match method {
            "update" => self.apply(&params[1], Encoding::V1),
            "update2" => self.apply(&params[1], Encoding::V2),
            "update3" => {
                self.last_txn = params[1].as_str().map(String::from);
                self.apply(&params[2], Encoding::V2)
            }
            "locked" => {
                self.has_lock = true;
                self.sequence += 1;
                Ok(())
            }
            "stolen" => {
                self.has_lock = false;
                self.sequence += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn apply(&mut self, updates: &Value, encoding: Encoding) -> Result<(), String> {
        let Some(schema) = &self.schema else { return Err("update before the schema".into()) };
        for (table, rows) in updates.as_object().ok_or("updates are not an object")? {
            let Some(ts) = schema.tables.get(table) else { continue };
            update::apply(ts, &mut self.tables, rows, encoding)?;
        }
        self.sequence += 1;
        Ok(())
    }

    /// The schema of a table.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.schema.as_ref()?.tables.get(name)
    }
}

/// Operations that were not reached have null results; one more result than operations is the commit's own error.
fn outcome(result: Result<Value, Value>) -> Outcome {
    match result {
        Err(e) => Outcome::Failed(e),
        Ok(Value::Array(results)) => match results.iter().find(|r| r.get("error").is_some()) {
            // Only `wait` times out, and here only to verify.
            Some(e) if e["error"] == "timed out" => Outcome::TryAgain,
            Some(e) => Outcome::Failed(e.clone()),
            None => Outcome::Committed(results),
        },
        Ok(other) => Outcome::Failed(json!({"error": "syntax error", "details": format!("unexpected reply {other}")})),
    }
}
