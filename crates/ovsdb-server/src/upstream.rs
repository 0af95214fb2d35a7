//! Databases that follow another server: backups (active-backup replication) and relays (ovsdb(7), "Service Models").

use crate::Shared;
use crate::core::{Core, SessionId};
use crate::server_db;
use io::stream::OVSDB_PORT;
use io::vlog::Module;
use io::{Remote, Stream, vlog_dbg, vlog_err, vlog_info};
use ovsdb::commit::CommitOptions;
use ovsdb::monitor::Version;
use ovsdb::{Database, replicate};
use ovsdb_data::{DatabaseSchema, Uuid, json};
use serde_json::{Map, Value, json};
use session::{Message, Splitter};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Silence before a source is probed, unless configured.
pub const PROBE: Duration = Duration::from_secs(60);

/// What a database is to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has a file of its own, and may become the source of others.
    Backup,
    /// It passes transactions on.
    Relay,
}

/// How a follower follows.
#[derive(Clone, Debug)]
pub struct Source {
    /// Database.
    pub database: String,
    /// Servers, of which one is chosen, the next when it fails.
    pub remotes: Vec<String>,
    /// Relation.
    pub kind: Kind,
    /// Tables that are left alone.
    pub exclude: HashSet<String>,
    /// Silence before the source is probed; `None` for never.
    pub probe: Option<Duration>,
}

/// Transactions of a relay's clients, on their way to the source.
#[derive(Debug, Default)]
pub struct Forwards {
    queue: VecDeque<(SessionId, Value, Value)>,
    wake: Rc<Notify>,
}

impl Forwards {
    /// Queues the parameters of a `transact`.
    pub fn push(&mut self, session: SessionId, id: Value, params: Value) {
        self.queue.push_back((session, id, params));
        self.wake.notify_one();
    }
}

/// The probe interval of relays, once it was set at run time.
#[derive(Debug, Default)]
pub struct RelayProbe {
    /// Silence before a source is probed; `Some(None)` for never; `None` for what the source was configured with.
    pub interval: Option<Option<Duration>>,
    changed: Rc<Notify>,
}

impl RelayProbe {
    /// Sets the interval of all relays, those that wait now included.
    pub fn set(&mut self, interval: Option<Duration>) {
        self.interval = Some(interval);
        self.changed.notify_waiters();
    }
}

/// What a follower is doing, for `sync-status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not connected.
    #[default]
    Connecting,
    /// Up to date.
    Replicating(String),
    /// It cannot follow; the reason.
    Failed(String),
}

/// A running follower; it stops when this is dropped.
#[derive(Debug)]
pub struct Follower {
    task: JoinHandle<()>,
    /// What it follows.
    pub source: Source,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to follow.
pub fn start(shared: &Shared, source: Source) -> Follower {
    let task = tokio::task::spawn_local(run(shared.clone(), source.clone()));
    Follower { task, source }
}

async fn run(shared: Shared, source: Source) {
    let mut backoff = Duration::from_secs(1);
    for remote_name in source.remotes.iter().cycle() {
        set_state(&shared, &source, State::Connecting);
        vlog_info!(Module::Reconnect, "{remote_name}: connecting...");
        let outcome = match Remote::parse(remote_name, OVSDB_PORT) {
            Ok(remote) => match Stream::connect(&remote).await {
                Ok(stream) => {
                    vlog_info!(Module::Reconnect, "{remote_name}: connected");
                    backoff = Duration::from_secs(1);
                    let mut link = Link::new(stream, shared.clone(), source.clone());
                    let outcome = link.follow().await;
                    link.fail_pending();
                    outcome
                }
                Err(error) => Err(format!("connection attempt failed ({})", io::program::strerror(&error))),
            },
            Err(error) => Err(error),
        };
        if let Err(reason) = outcome {
            vlog_info!(Module::Reconnect, "{remote_name}: {reason}");
        }
        set_connected(&shared, &source, false);
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(Duration::from_secs(8));
    }
}

fn set_state(shared: &Shared, source: &Source, state: State) {
    shared.borrow_mut().upstream_states.insert(source.database.clone(), state);
}

fn set_connected(shared: &Shared, source: &Source, connected: bool) {
    let mut core = shared.borrow_mut();
    let Some(hosted) = core.dbs.get_mut(&source.database) else { return };
    if source.kind == Kind::Relay && std::mem::replace(&mut hosted.connected, connected) != connected {
        server_db::refresh(&mut core);
    }
}

/// A connection to a source.
struct Link {
    stream: Stream,
    splitter: Splitter,
    shared: Shared,
    source: Source,
    next_id: u64,
    /// Requests of clients that the source has not answered, by our id.
    pending: HashMap<u64, (SessionId, Value)>,
}

impl Link {
    fn new(stream: Stream, shared: Shared, source: Source) -> Link {
        Link { stream, splitter: Splitter::default(), shared, source, next_id: 0, pending: HashMap::new() }
    }

    async fn send(&mut self, method: &str, params: Value) -> Result<u64, String> {
        let id = self.next_id;
        self.next_id += 1;
        self.write(Message::request(id, method, params).to_bytes()).await?;
        Ok(id)
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.stream.write_all(&bytes).await.map_err(|error| io::program::strerror(&error))
    }

    /// Silence before the source is probed, as it is set now.
    fn probe(&self) -> Option<Duration> {
        let set = match self.source.kind {
            Kind::Relay => self.shared.borrow().relay_probe.interval,
            Kind::Backup => None,
        };
        set.unwrap_or(self.source.probe)
    }

    /// The next message that is not a probe.
    async fn receive(&mut self) -> Result<Message, String> {
        let mut buffer = vec![0; 1 << 16];
        let mut probed = false;
        let changed = self.shared.borrow().relay_probe.changed.clone();
        loop {
            match self.splitter.next_message()? {
                Some(Message::Request { id, method, params }) if method == "echo" => {
                    self.write(Message::Reply { id, result: params }.to_bytes()).await?;
                }
                Some(Message::Reply { id, .. }) if id == "echo" => {}
                Some(message) => return Ok(message),
                None => {
                    let probe = self.probe();
                    let read = self.stream.read(&mut buffer);
                    let silence = async {
                        match probe {
                            None => std::future::pending().await,
                            Some(probe) => tokio::time::sleep(probe).await,
                        }
                    };
                    let result = tokio::select! {
                        result = read => result,
                        () = changed.notified() => continue,
                        () = silence => {
                            if std::mem::replace(&mut probed, true) {
                                return Err("no response to inactivity probe, disconnecting".into());
                            }
                            self.write(br#"{"id":"echo","method":"echo","params":[]}"#.to_vec()).await?;
                            continue;
                        }
                    };
                    match result {
                        Ok(0) => return Err("connection closed by peer".into()),
                        Ok(n) => {
                            probed = false;
                            self.splitter.push(&buffer[..n]);
                        }
                        Err(error) => return Err(io::program::strerror(&error)),
                    }
                }
            }
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let id = self.send(method, params).await?;
        loop {
            match self.receive().await? {
                Message::Reply { id: got, result } if got == id => return Ok(result),
                Message::Error { id: got, error } if got == id => {
                    return Err(format!("{method} failed: {}", json::to_string(&error)));
                }
                _ => {}
            }
        }
    }

    async fn follow(&mut self) -> Result<(), String> {
        let own = self.shared.borrow().server_id.to_string();
        if self.call("get_server_id", json!([])).await.is_ok_and(|id| id == own.as_str()) {
            let reason = "the source is this server itself".to_string();
            set_state(&self.shared, &self.source, State::Failed(reason.clone()));
            return Err(reason);
        }
        let name = self.source.database.clone();
        let schema = self.call("get_schema", json!([name])).await?;
        let schema = DatabaseSchema::from_json(&schema).map_err(|error| error.to_string())?;
        self.accept_schema(schema)?;
        // A database that changes its schema ends the connection: this client does not say that it can be told.
        match self.source.kind {
            Kind::Backup => {
                let reply = self.call("monitor", json!([name, "follower", self.requests(Version::V1)])).await?;
                vlog_info!(Module::Replication, "{name}: Monitor reply received. Resetting the database.");
                self.apply(&reply, Version::V1, true, None)?;
            }
            Kind::Relay => self.catch_up(&name).await?,
        }
        let remote = self.stream.name.clone();
        set_state(&self.shared, &self.source, State::Replicating(remote));
        set_connected(&self.shared, &self.source, true);
        self.stay().await
    }

    /// Asks for what this relay has missed, or for everything. Transactions keep the names that the source gave them, so that a
    /// client finds its place here as there. Sources that cannot tell by name are asked the simple way.
    async fn catch_up(&mut self, name: &str) -> Result<(), String> {
        let last = self.shared.borrow().dbs.get(name).map(|hosted| hosted.db.last_id()).unwrap_or_default();
        let params = json!([name, "follower", self.requests(Version::V3), last.to_string()]);
        let reply = match self.call("monitor_cond_since", params).await {
            Ok(reply) => reply,
            Err(error) if error.contains("unknown method") => {
                let reply = self.call("monitor", json!([name, "follower", self.requests(Version::V1)])).await?;
                return self.apply(&reply, Version::V1, true, None);
            }
            Err(error) => return Err(error),
        };
        let id = reply[1].as_str().and_then(Uuid::parse).ok_or("reply of monitor_cond_since without transaction")?;
        let found = reply[0] == true;
        vlog_dbg!(Module::OvsdbRelay, "{name}: {} of the source", if found { "what was missed" } else { "everything" });
        self.apply(&reply[2], Version::V3, !found, Some(id))
    }

    /// A backup must have the source's schema; a relay takes it.
    fn accept_schema(&mut self, schema: DatabaseSchema) -> Result<(), String> {
        let mut core = self.shared.borrow_mut();
        let name = self.source.database.clone();
        let Some(hosted) = core.dbs.get_mut(&name) else { return Err("database was removed".into()) };
        if **hosted.db.schema() == schema {
            return Ok(());
        }
        if self.source.kind == Kind::Backup {
            let reason = format!("Schema version mismatch, {name} not replicated");
            vlog_err!(Module::Replication, "{reason}");
            core.upstream_states.insert(name, State::Failed(reason.clone()));
            return Err(reason);
        }
        hosted.db = Database::new(schema, crate::hosted::random_seed());
        core.end_monitors(&name);
        core.reconnect_unaware(&format!("database {name} schema changed"));
        server_db::refresh(&mut core);
        Ok(())
    }

    fn requests(&self, version: Version) -> Value {
        let core = self.shared.borrow();
        let Some(hosted) = core.dbs.get(&self.source.database) else { return json!({}) };
        let mut requests = Map::new();
        for table in hosted.db.tables().iter().filter(|t| !self.source.exclude.contains(&t.schema.name)) {
            let columns: Vec<&str> = table.schema.own_columns().map(|(_, column)| column.name.as_str()).collect();
            let request = json!({"columns": columns});
            requests.insert(
                table.schema.name.clone(),
                if version == Version::V1 { request } else { Value::from(vec![request]) },
            );
        }
        Value::Object(requests)
    }

    fn apply(&mut self, updates: &Value, version: Version, reset: bool, id: Option<Uuid>) -> Result<(), String> {
        let mut core = self.shared.borrow_mut();
        let whole_columns = core.whole_columns;
        let Some(hosted) = core.dbs.get_mut(&self.source.database) else { return Err("database was removed".into()) };
        let options = CommitOptions {
            wall_ms: clock::WallTime::now().millis,
            comment: if reset { "replicating from source".into() } else { String::new() },
            durable: false,
            whole_columns,
            id,
        };
        let excluded = |table: &str| self.source.exclude.contains(table);
        let changes = replicate::apply(&mut hosted.db, updates, version, reset, &excluded, &mut hosted.disk, &options)
            .map_err(|error| format!("cannot apply an update: {error}"))?;
        if let Some(changes) = changes {
            core.committed(&self.source.database, &changes);
            core.run_triggers();
        }
        Ok(())
    }

    /// Takes updates, and passes transactions of clients on.
    async fn stay(&mut self) -> Result<(), String> {
        let wake = self.shared.borrow_mut().forwards.entry(self.source.database.clone()).or_default().wake.clone();
        loop {
            loop {
                let next = {
                    let mut core = self.shared.borrow_mut();
                    core.forwards.get_mut(&self.source.database).and_then(|f| f.queue.pop_front())
                };
                let Some((session, id, params)) = next else { break };
                let ours = self.send("transact", params).await?;
                self.pending.insert(ours, (session, id));
            }
            let message = tokio::select! {
                message = self.receive() => message?,
                () = wake.notified() => continue,
            };
            match message {
                Message::Notification { method, params } if method == "update" => {
                    self.apply(&params[1], Version::V1, false, None)?;
                }
                Message::Notification { method, params } if method == "update3" => {
                    let id = params[1].as_str().and_then(Uuid::parse).ok_or("update without transaction")?;
                    self.apply(&params[2], Version::V3, false, Some(id))?;
                }
                Message::Reply { id, result } => {
                    if let Some((session, id)) = id.as_u64().and_then(|id| self.pending.remove(&id)) {
                        let result = json::to_string(&result);
                        self.shared.borrow_mut().reply(session, &id, result.as_bytes());
                    }
                }
                Message::Error { id, error } => {
                    if let Some((session, id)) = id.as_u64().and_then(|id| self.pending.remove(&id)) {
                        self.shared.borrow_mut().reply_error(session, &id, &error);
                    }
                }
                _ => {}
            }
        }
    }

    /// The source is gone: whether it executed what was sent is not known, which clients are told by closing.
    fn fail_pending(&mut self) {
        let mut core = self.shared.borrow_mut();
        for (_, (session, _)) in self.pending.drain() {
            core.close(session);
        }
    }
}

/// Active-backup replication of a whole server: from where, what not, and whether it runs.
#[derive(Debug, Default)]
pub struct Replication {
    /// The active server.
    pub active: Option<String>,
    /// Tables that are not replicated, by database.
    pub exclude: BTreeMap<String, HashSet<String>>,
    /// Silence before the active server is probed; `Some(None)` for never.
    pub probe: Option<Option<Duration>>,
    followers: Vec<Follower>,
    /// True in the backup role.
    pub is_backup: bool,
}

impl Replication {
    /// Reads `DB:TABLE,…`.
    pub fn set_exclude(&mut self, text: &str) -> Result<(), String> {
        let mut exclude: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            let Some((database, table)) = word.split_once(':') else {
                return Err(format!("{word}: DB:TABLE expected"));
            };
            exclude.entry(database.to_string()).or_default().insert(table.to_string());
        }
        self.exclude = exclude;
        Ok(())
    }

    /// `DB:TABLE,…`
    pub fn exclude_text(&self) -> String {
        let words = self.exclude.iter().flat_map(|(db, tables)| {
            let mut tables: Vec<&String> = tables.iter().collect();
            tables.sort();
            tables.into_iter().map(move |table| format!("{db}:{table}"))
        });
        words.collect::<Vec<_>>().join(",")
    }

    /// Takes the backup role, or takes it anew after a change. Says why not.
    pub fn connect(&mut self, shared: &Shared) -> Result<(), String> {
        let Some(active) = self.active.clone() else {
            return Err("Unable to connect: active server is not specified.\n".into());
        };
        self.followers.clear();
        self.is_backup = true;
        let names: Vec<String> = {
            let mut core = shared.borrow_mut();
            core.dbs.values_mut().filter(|h| h.model == "standalone").for_each(|hosted| hosted.read_only = true);
            let own = |hosted: &&crate::hosted::Hosted| hosted.model == "standalone" && !hosted.name().starts_with('_');
            core.dbs.values().filter(own).map(|hosted| hosted.name().to_string()).collect()
        };
        for database in names {
            let exclude = self.exclude.get(&database).cloned().unwrap_or_default();
            let probe = self.probe.unwrap_or(Some(PROBE));
            let source = Source { database, remotes: vec![active.clone()], kind: Kind::Backup, exclude, probe };
            self.followers.push(start(shared, source));
        }
        Ok(())
    }

    /// Follows these sources, and no others.
    pub fn follow(&mut self, shared: &Shared, sources: Vec<Source>) {
        self.followers.clear();
        self.is_backup = !sources.is_empty();
        self.active = sources.first().and_then(|source| source.remotes.first().cloned());
        self.followers = sources.into_iter().map(|source| start(shared, source)).collect();
    }

    /// Takes the active role.
    pub fn disconnect(&mut self, shared: &Shared) {
        self.followers.clear();
        self.is_backup = false;
        let mut core = shared.borrow_mut();
        for (name, hosted) in &mut core.dbs {
            if hosted.model == "standalone" {
                hosted.read_only = name.starts_with('_');
            }
        }
    }

    /// The text of `sync-status`.
    pub fn status(&self, core: &Core) -> String {
        if self.active.is_none() {
            return "state: active\n".into();
        }
        let mut out = String::new();
        for name in core.dbs.keys().filter(|name| !name.starts_with('_')) {
            out.push_str(&format!("database: {name}\n"));
            if !self.is_backup {
                out.push_str("state: active\n\n");
                continue;
            }
            out.push_str("state: backup\n");
            let active = self.active.as_deref().unwrap_or_default();
            match core.upstream_states.get(name) {
                Some(State::Replicating(remote)) => out.push_str(&format!("replicating: {remote}\n")),
                Some(State::Failed(reason)) => out.push_str(&format!("error: {reason}\n")),
                _ => out.push_str(&format!("connecting: {active}\n")),
            }
            let exclude = self.exclude.get(name).map(|_| self.exclude_text()).unwrap_or_default();
            if matches!(core.upstream_states.get(name), Some(State::Replicating(_))) {
                let exclude = if exclude.is_empty() { String::new() } else { format!("exclude: {exclude}") };
                out.push_str(&format!("{exclude}\n"));
            }
        }
        out
    }
}
