//! The replica as a state machine.
//!
//! ```text
//!   connected ──get_schema──▶ Schema ──monitor_cond_since──▶ Monitor ──reply──▶ Live ──update3──▶ Live
//!                                          │ "unknown method"
//!                                          └──monitor_cond──┐ "unknown method"
//!                                                           └──monitor──▶ …
//! ```

use crate::row::Row;
use crate::txn::Txn;
use crate::update::{self, Encoding};
use ovsdb_data::{DatabaseSchema, Datum, TableSchema, Uuid};
use serde_json::{Map, Value, json};
use session::Message;
use std::collections::{BTreeMap, HashMap, VecDeque};

pub(crate) type TableRows = HashMap<Uuid, Vec<Datum>>;

/// What to replicate.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Tables, with the columns that are wanted; no columns means all. No tables means the whole database.
    pub tables: BTreeMap<String, Vec<String>>,
    /// Columns whose changes are not reported back to whoever wrote them; they are not monitored at all.
    pub omit: Vec<(String, String)>,
    /// A lock to ask for on every connection.
    pub lock: Option<String>,
}

/// What happened to a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It appeared.
    Inserted,
    /// Some column changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// How a transaction ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Committed; one result per operation.
    Committed(Vec<Value>),
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
    tables: BTreeMap<String, TableRows>,
    state: State,
    awaiting: Option<u64>,
    next_id: u64,
    output: VecDeque<Message>,
    changes: Vec<(String, Uuid, Change)>,
    sequence: u64,
    transactions: HashMap<u64, ()>,
    outcomes: VecDeque<(u64, Outcome)>,
    last_txn: Option<String>,
    lock_request: Option<u64>,
    has_lock: bool,
}

const NO_TXN: &str = "00000000-0000-0000-0000-000000000000";

impl Replica {
    /// A replica of `database` that holds nothing yet.
    pub fn new(database: &str, options: Options) -> Replica {
        Replica {
            database: database.into(),
            options,
            schema: None,
            tables: BTreeMap::new(),
            state: State::Disconnected,
            awaiting: None,
            next_id: 1,
            output: VecDeque::new(),
            changes: vec![],
            sequence: 0,
            transactions: HashMap::new(),
            outcomes: VecDeque::new(),
            last_txn: None,
            lock_request: None,
            has_lock: false,
        }
    }

    /// A connection was opened: asks for the schema.
    pub fn connected(&mut self) {
        self.output.clear();
        self.state = State::AwaitingSchema;
        let id = self.send("get_schema", json!([self.database]));
        self.awaiting = Some(id);
        self.lock_request = self.options.lock.clone().map(|l| self.send("lock", json!([l])));
    }

    /// The connection was lost. The rows stay as they were.
    pub fn disconnected(&mut self) {
        self.state = State::Disconnected;
        self.output.clear();
        self.awaiting = None;
        self.has_lock = false;
        for id in std::mem::take(&mut self.transactions).into_keys() {
            self.outcomes.push_back((id, Outcome::Unknown));
        }
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

    /// The row changes since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<(String, Uuid, Change)> {
        std::mem::take(&mut self.changes)
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
        self.transactions.insert(id, ());
        id
    }

    /// A row by table and identity.
    pub fn row<'a>(&'a self, table: &str, uuid: Uuid) -> Option<Row<'a>> {
        let data = self.tables.get(table)?.get(&uuid)?;
        Some(Row { replica: self, table: self.schema.as_ref()?.tables.get(table)?, uuid, data })
    }

    /// All rows of a table, in no order.
    pub fn rows<'a>(&'a self, table: &str) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let schema = self.schema.as_ref().and_then(|s| s.tables.get(table));
        let rows = self.tables.get(table);
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
        if self.transactions.remove(&id).is_some() {
            self.outcomes.push_back((id, outcome(result)));
            return Ok(());
        }
        if self.awaiting != Some(id) {
            return Ok(());
        }
        self.awaiting = None;
        match (self.state, result) {
            (State::AwaitingSchema, Ok(json)) => {
                let schema = DatabaseSchema::from_json(&json).map_err(|e| e.to_string())?;
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
            tables.insert(name.clone(), json!([{"columns": columns}]));
        }
        let mut params = vec![self.database.clone().into(), Value::from("replica"), Value::Object(tables)];
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
        if !keep {
            for (table, rows) in &mut self.tables {
                for uuid in std::mem::take(rows).into_keys() {
                    self.changes.push((table.clone(), uuid, Change::Deleted));
                }
            }
        }
        self.state = State::Live;
        self.sequence += 1;
        self.apply(updates, if version == Version::Plain { Encoding::V1 } else { Encoding::V2 })
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
            let mine = self.tables.entry(table.clone()).or_default();
            let changes = &mut self.changes;
            update::apply(ts, mine, rows, encoding, |uuid, c| changes.push((table.clone(), uuid, c)))?;
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
            Some(e) => Outcome::Failed(e.clone()),
            None => Outcome::Committed(results),
        },
        Ok(other) => Outcome::Failed(json!({"error": "syntax error", "details": format!("unexpected reply {other}")})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({"name": "D", "version": "1.0.0", "tables": {"T": {"isRoot": true, "columns": {
            "name": {"type": "string"}, "n": {"type": {"key": "integer", "min": 0, "max": "unlimited"}}}}}})
    }

    fn live() -> Replica {
        let mut r = Replica::new("D", Options::default());
        r.connected();
        answer(&mut r, schema());
        let u = "11111111-1111-4111-8111-111111111111";
        answer(&mut r, json!([false, NO_TXN, {"T": {u: {"initial": {"name": "a", "n": ["set", [1, 2]]}}}}]));
        r
    }

    fn answer(r: &mut Replica, result: Value) {
        let Some(Message::Request { id, .. }) = r.poll_output() else { panic!("no request") };
        r.input(Message::Reply { id, result }).unwrap();
    }

    #[test]
    fn follows_changes() {
        let mut r = live();
        assert!(r.is_live());
        let row = r.only_row("T").unwrap();
        assert_eq!((row.str("name"), row.ints("n").collect::<Vec<_>>()), (Some("a"), vec![1, 2]));
        let u = row.uuid().to_string();
        let update = json!(["replica", "x", {"T": {u.as_str(): {"modify": {"n": ["set", [2, 3]]}}}}]);
        r.input(Message::Notification { method: "update3".into(), params: update }).unwrap();
        assert_eq!(r.only_row("T").unwrap().ints("n").collect::<Vec<_>>(), [1, 3]);
        assert_eq!(r.take_changes().len(), 2);
        let update = json!(["replica", "y", {"T": {u: {"delete": null}}}]);
        r.input(Message::Notification { method: "update3".into(), params: update }).unwrap();
        assert!(r.only_row("T").is_none());
    }

    #[test]
    fn transactions_have_outcomes() {
        let mut r = live();
        let id = r.transact(Txn::new());
        answer(&mut r, json!([{"count": 1}, {"error": "constraint violation"}]));
        assert_eq!(r.poll_outcome(), Some((id, Outcome::Failed(json!({"error": "constraint violation"})))));
        let id = r.transact(Txn::new());
        r.disconnected();
        assert_eq!(r.poll_outcome(), Some((id, Outcome::Unknown)));
        assert!(r.only_row("T").is_some(), "rows outlive a lost connection");
    }

    #[test]
    fn falls_back_to_old_servers() {
        let mut r = Replica::new("D", Options::default());
        r.connected();
        answer(&mut r, schema());
        for _ in 0..2 {
            let Some(Message::Request { id, .. }) = r.poll_output() else { panic!() };
            r.input(Message::Error { id, error: "unknown method".into() }).unwrap();
        }
        let u = "11111111-1111-4111-8111-111111111111";
        answer(&mut r, json!({"T": {u: {"new": {"name": "old"}}}}));
        assert_eq!(r.only_row("T").unwrap().str("name"), Some("old"));
    }
}
