//! The server's state, and what one client's request does to the others. No I/O but the database files.

use crate::hosted::{Hosted, Member};
use crate::rhythm::Rhythm;
use crate::server_db;
use crate::upstream::{Forwards, RelayProbe, State};
use io::vlog::Module;
use io::{vlog_dbg, vlog_info, vlog_warn};
use ovsdb::ChangeSet;
use ovsdb::execute::{Execution, Request, execute};
use ovsdb::monitor::{MonitorSpec, Version};
use ovsdb_data::{OvsdbError, Uuid, UuidSource, json};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

/// Identifies a connection for the life of the server.
pub type SessionId = u64;

/// Connected clients. Their numbers are ours, so that nobody can choose them to collide.
pub type Sessions = HashMap<SessionId, Session, BuildHasherDefault<Spread>>;

/// Hashes a number by spreading its bits.
#[derive(Debug, Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u64(&mut self, number: u64) {
        // 2^64 over the golden ratio.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Output that a client may leave unread, in bytes, beyond the largest single message, before it is dropped.
pub const MAX_BACKLOG: usize = 64 << 20;

/// What the server knows of a connected client.
#[derive(Debug)]
pub struct Session {
    /// Name for logs.
    pub name: String,
    /// The remote that it came through.
    pub remote: Rc<str>,
    /// Role of RBAC, from the remote's configuration.
    pub role: String,
    /// Who the client is, by its certificate.
    pub id: String,
    /// True if the remote lets clients only read.
    pub read_only: bool,
    /// Bytes to send.
    pub out: Vec<u8>,
    largest: usize,
    /// Wakes the connection's task.
    pub wake: Rc<Notify>,
    /// True if output must go out now; updates of monitors may wait for company.
    pub urgent: bool,
    /// True if the session is among those of [`Core::waiting_updates`].
    waits: bool,
    /// Set when the connection must be closed.
    pub closing: bool,
    /// Monitors by the JSON text of their name.
    pub monitors: HashMap<Rc<str>, Monitor>,
    /// Locks that the client owns or waits for.
    pub locks: HashSet<String>,
    /// True after `set_db_change_aware`.
    pub change_aware: bool,
    /// When it connected.
    pub since: Instant,
}

/// A monitor of a session.
#[derive(Debug)]
pub struct Monitor {
    /// Name of the database.
    pub database: String,
    /// What it shows.
    pub spec: Arc<MonitorSpec>,
}

/// A transaction that waits.
#[derive(Debug)]
struct Trigger {
    session: SessionId,
    id: Value,
    database: String,
    operations: Vec<Value>,
    since: Instant,
    /// Milliseconds after `since` at which to give up.
    timeout_ms: Option<u64>,
}

/// A reply that waits until its transaction is on the disk.
#[derive(Debug)]
pub struct HeldReply {
    session: SessionId,
    id: Value,
    results: Vec<u8>,
}

/// Everything.
pub struct Core {
    /// Databases by name.
    pub dbs: BTreeMap<String, Hosted>,
    /// Clients.
    pub sessions: Sessions,
    next_session: SessionId,
    /// For each lock, the owner and those who wait.
    locks: HashMap<String, VecDeque<SessionId>>,
    triggers: Vec<Trigger>,
    /// Replies of durable transactions, by database.
    held: HashMap<String, Vec<HeldReply>>,
    /// Wakes the task that syncs files.
    pub sync_wanted: Rc<Notify>,
    /// Sessions with updates that may wait for company.
    pub waiting_updates: Vec<SessionId>,
    /// Wakes the task that sends those.
    pub updates_wait: Rc<Notify>,
    /// Bytes of all clients' messages that have begun and not ended.
    pub unfinished: usize,
    /// When requests come.
    pub rhythm: Rhythm,
    /// Wakes the task that gives up on triggers.
    pub triggers_changed: Rc<Notify>,
    /// Wakes the task that follows remotes and managers in tables.
    pub tables_changed: Rc<Notify>,
    /// Identifies this run.
    pub server_id: Uuid,
    /// True after `disable-monitor-cond`.
    pub monitor_cond_disabled: bool,
    /// True to write whole columns to files.
    pub whole_columns: bool,
    /// `DB:TABLE`s whose transactions are logged.
    pub logged_tables: HashSet<(String, String)>,
    /// `memory-trim-on-compaction`.
    pub trim_memory: bool,
    /// What followers of other servers are doing, by database.
    pub upstream_states: HashMap<String, State>,
    /// Transactions that relays pass on, by database.
    pub forwards: HashMap<String, Forwards>,
    /// When relays probe their sources.
    pub relay_probe: RelayProbe,
    uuids: UuidSource,
}

impl Core {
    /// A server without databases but its own.
    pub fn new() -> Core {
        let mut uuids = UuidSource::new(crate::hosted::random_seed());
        let mut dbs = BTreeMap::new();
        dbs.insert(server_db::NAME.to_string(), server_db::create());
        Core {
            dbs,
            sessions: Sessions::default(),
            next_session: 0,
            locks: HashMap::new(),
            triggers: Vec::new(),
            held: HashMap::new(),
            sync_wanted: Rc::new(Notify::new()),
            unfinished: 0,
            rhythm: Rhythm::default(),
            waiting_updates: Vec::new(),
            updates_wait: Rc::new(Notify::new()),
            triggers_changed: Rc::new(Notify::new()),
            tables_changed: Rc::new(Notify::new()),
            server_id: uuids.next_uuid(),
            monitor_cond_disabled: false,
            whole_columns: false,
            logged_tables: HashSet::new(),
            trim_memory: false,
            upstream_states: HashMap::new(),
            forwards: HashMap::new(),
            relay_probe: RelayProbe::default(),
            uuids,
        }
    }

    /// A fresh UUID.
    pub fn new_uuid(&mut self) -> Uuid {
        self.uuids.next_uuid()
    }

    /// Registers a connection.
    pub fn connect(&mut self, name: String, remote: Rc<str>, role: String, id: String, read_only: bool) -> SessionId {
        let session = self.next_session;
        self.next_session += 1;
        self.sessions.insert(
            session,
            Session {
                name,
                remote,
                role,
                id,
                read_only,
                out: Vec::new(),
                largest: 0,
                wake: Rc::new(Notify::new()),
                urgent: false,
                waits: false,
                closing: false,
                monitors: HashMap::new(),
                locks: HashSet::new(),
                change_aware: false,
                since: Instant::now(),
            },
        );
        session
    }

    /// Forgets a connection: its monitors, locks and waiting transactions.
    pub fn disconnect(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        for (key, monitor) in session.monitors {
            if let Some(hosted) = self.dbs.get_mut(&monitor.database) {
                hosted.monitors.remove(&(id, key));
            }
        }
        self.triggers.retain(|trigger| trigger.session != id);
        for lock in session.locks {
            self.release(id, &lock);
        }
    }

    /// Asks a connection's task to close it.
    pub fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.closing = true;
            session.wake.notify_one();
        }
    }

    /// Closes every connection whose client does not know how to learn of changes to the set of databases.
    pub fn reconnect_unaware(&mut self, why: &str) {
        let ids: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| !session.change_aware).map(|(id, _)| *id).collect();
        for id in ids {
            vlog_info!(Module::OvsdbJsonrpcServer, "{}: disconnecting ({why})", self.sessions[&id].name);
            self.close(id);
        }
    }

    // ---- output ----

    /// Queues bytes for a client, who is dropped if it leaves too many unread.
    fn push(&mut self, id: SessionId, bytes: &[&[u8]]) {
        push_to(&mut self.sessions, id, bytes, None);
    }

    /// Lets all updates go that waited for company.
    pub fn release_updates(&mut self) {
        for id in self.waiting_updates.drain(..) {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            session.waits = false;
            session.urgent |= !session.out.is_empty();
            session.wake.notify_one();
        }
    }

    /// Queues a reply.
    pub fn reply(&mut self, session: SessionId, id: &Value, result: &[u8]) {
        self.push(
            session,
            &[b"{\"id\":", json::to_string(id).as_bytes(), b",\"result\":", result, b",\"error\":null}"],
        );
    }

    /// Queues an error reply.
    pub fn reply_error(&mut self, session: SessionId, id: &Value, error: &Value) {
        let (id, error) = (json::to_string(id), json::to_string(error));
        self.push(session, &[b"{\"id\":", id.as_bytes(), b",\"error\":", error.as_bytes(), b"}"]);
    }

    /// Queues a notification.
    pub fn notify(&mut self, session: SessionId, method: &str, params: &[u8]) {
        let method = format!("{{\"id\":null,\"method\":\"{method}\",\"params\":");
        self.push(session, &[method.as_bytes(), params, b"}"]);
    }

    // ---- transactions ----

    /// Executes a transaction for a client; the reply is queued now or, if it waits, later.
    pub fn transact(&mut self, session: SessionId, id: Value, database: &str, operations: Vec<Value>) {
        let trigger = Trigger {
            session,
            id,
            database: database.to_string(),
            operations,
            since: Instant::now(),
            timeout_ms: None,
        };
        if let Some(changed) = self.try_trigger(trigger)
            && changed
        {
            self.run_triggers();
        }
    }

    /// Runs a transaction; `None` if it waits, else whether it changed the database.
    fn try_trigger(&mut self, mut trigger: Trigger) -> Option<bool> {
        let Core { dbs, sessions, locks, .. } = self;
        let Some(hosted) = dbs.get_mut(&trigger.database) else { return Some(false) };
        let session = sessions.get(&trigger.session)?;
        let owns = |lock: &str| locks.get(lock).and_then(VecDeque::front) == Some(&trigger.session);
        let id = Some(session.id.as_str()).filter(|id| !id.is_empty());
        let rbac = (!session.role.is_empty()).then_some((session.role.as_str(), id));
        let request = Request {
            wall_ms: clock::WallTime::now().millis,
            elapsed_ms: trigger.since.elapsed().as_millis() as u64,
            read_only: hosted.read_only || session.read_only,
            owns_lock: &owns,
            rbac,
            whole_columns: self.whole_columns,
        };
        match execute(&mut hosted.db, &trigger.operations, &request, &mut hosted.disk) {
            Execution::Waiting(timeout_ms) => {
                trigger.timeout_ms = timeout_ms;
                self.triggers.push(trigger);
                self.triggers_changed.notify_one();
                None
            }
            Execution::Done { results, changes, durable } => {
                let changed = changes.is_some();
                let hold = durable && changed && hosted.disk.log.is_some();
                if let Some(changes) = changes {
                    self.committed(&trigger.database, &changes);
                }
                if hold {
                    let held = HeldReply { session: trigger.session, id: trigger.id, results };
                    self.held.entry(trigger.database).or_default().push(held);
                    self.sync_wanted.notify_one();
                } else {
                    self.reply(trigger.session, &trigger.id, &results);
                }
                Some(changed)
            }
        }
    }

    /// Databases whose durable transactions wait for the disk, with the replies.
    pub fn take_held(&mut self) -> HashMap<String, Vec<HeldReply>> {
        std::mem::take(&mut self.held)
    }

    /// Sends replies that were held back; with an error if the disk failed.
    pub fn release_held(&mut self, held: Vec<HeldReply>, failure: Option<&OvsdbError>) {
        for reply in held {
            match failure {
                None => self.reply(reply.session, &reply.id, &reply.results),
                Some(error) => {
                    let results = json::to_string(&Value::from(vec![error.to_json()]));
                    self.reply(reply.session, &reply.id, results.as_bytes());
                }
            }
        }
    }

    /// Tries all waiting transactions, again and again as long as one of them changes something.
    pub fn run_triggers(&mut self) {
        loop {
            if self.triggers.is_empty() {
                return;
            }
            let mut changed = false;
            for trigger in std::mem::take(&mut self.triggers) {
                changed |= self.try_trigger(trigger) == Some(true);
            }
            if !changed {
                return;
            }
        }
    }

    /// When the next waiting transaction gives up.
    pub fn next_timeout(&self) -> Option<Instant> {
        let deadline = |t: &Trigger| Some(t.since + std::time::Duration::from_millis(t.timeout_ms?));
        self.triggers.iter().filter_map(deadline).min()
    }

    /// Cancels a waiting transaction; true if there was one.
    pub fn cancel(&mut self, session: SessionId, id: &Value) -> bool {
        let before = self.triggers.len();
        self.triggers.retain(|trigger| trigger.session != session || trigger.id != *id);
        self.triggers.len() != before
    }

    /// Drops the waiting transactions of a database that goes away; their clients get an error.
    pub fn cancel_database(&mut self, database: &str, error: &OvsdbError) {
        let (gone, kept) =
            std::mem::take(&mut self.triggers).into_iter().partition(|t: &Trigger| t.database == database);
        self.triggers = kept;
        for trigger in gone {
            self.reply_error(trigger.session, &trigger.id, &error.to_json());
        }
    }

    /// Executes a transaction of the server's own.
    pub fn transact_internal(&mut self, database: &str, operations: &[Value]) -> Result<(), OvsdbError> {
        let Some(hosted) = self.dbs.get_mut(database) else { return Ok(()) };
        let request = Request {
            wall_ms: clock::WallTime::now().millis,
            elapsed_ms: 0,
            read_only: false,
            owns_lock: &|_| false,
            rbac: None,
            whole_columns: self.whole_columns,
        };
        let Execution::Done { results, changes, .. } = execute(&mut hosted.db, operations, &request, &mut hosted.disk)
        else {
            return Ok(());
        };
        if let Some(changes) = changes {
            self.committed(database, &changes);
            self.run_triggers();
            return Ok(());
        }
        let results: Value = serde_json::from_slice(&results).unwrap_or_default();
        let failed = results.as_array().into_iter().flatten().find(|result| result.get("error").is_some());
        match failed {
            Some(error) => Err(OvsdbError::new("internal error", json::to_string(error))),
            None => Ok(()),
        }
    }

    /// Tells everybody who watches what a transaction changed.
    pub fn committed(&mut self, database: &str, changes: &ChangeSet) {
        let Some(hosted) = self.dbs.get(database) else { return };
        let nobody_waited = self.waiting_updates.is_empty();
        for (spec, members) in hosted.monitors.groups() {
            if let Some(body) = spec.update(&hosted.db, changes) {
                for member in members {
                    let waiting = Some(&mut self.waiting_updates);
                    push_update(&mut self.sessions, member, spec.version, changes.id, &body, waiting);
                }
            }
        }
        if nobody_waited && !self.waiting_updates.is_empty() {
            self.updates_wait.notify_one();
        }
        if !self.logged_tables.is_empty() {
            self.log_changes(database, changes);
        }
        self.tables_changed.notify_one();
    }

    fn log_changes(&self, database: &str, changes: &ChangeSet) {
        let Some(hosted) = self.dbs.get(database) else { return };
        for (table, rows) in &changes.tables {
            let name = &hosted.db.tables()[*table].schema.name;
            if !self.logged_tables.contains(&(database.to_string(), name.clone())) {
                continue;
            }
            for row in rows {
                let what = match (&row.old, &row.new) {
                    (None, _) => "insert",
                    (_, None) => "delete",
                    _ => "modify",
                };
                vlog_info!(Module::OvsdbServer, "table {database}:{name} {what} row {}", row.uuid);
            }
        }
    }

    /// Queues an update of one monitor before any reply.
    pub fn push_monitor(&mut self, member: &Member, version: Version, txn: Uuid, body: &[u8]) {
        push_update(&mut self.sessions, member, version, txn, body, None);
    }

    // ---- locks ----

    /// Names of the locks that a remote's connections hold and wait for, each list in order.
    pub fn locks_through(&self, remote: &str) -> (String, String) {
        let sessions = self.sessions.iter().filter(|(_, s)| *s.remote == *remote);
        let named = sessions.flat_map(|(id, s)| s.locks.iter().map(move |name| (*id, name)));
        let owns = |(id, name): &(SessionId, &String)| self.locks.get(*name).and_then(VecDeque::front) == Some(id);
        let (held, waiting): (Vec<_>, Vec<_>) = named.partition(owns);
        let list = |locks: Vec<(SessionId, &String)>| {
            let names: std::collections::BTreeSet<&str> = locks.into_iter().map(|(_, name)| name.as_str()).collect();
            names.into_iter().collect::<Vec<_>>().join(" ")
        };
        (list(held), list(waiting))
    }

    /// `lock`: true if the client owns it now.
    pub fn lock(&mut self, session: SessionId, name: &str) -> bool {
        let queue = self.locks.entry(name.to_string()).or_default();
        queue.push_back(session);
        let owner = queue.len() == 1;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.locks.insert(name.to_string());
        }
        owner
    }

    /// `steal`: the client owns it now, the one who did is told.
    pub fn steal(&mut self, session: SessionId, name: &str) {
        let queue = self.locks.entry(name.to_string()).or_default();
        let victim = queue.front().copied();
        queue.push_front(session);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.locks.insert(name.to_string());
        }
        if let Some(victim) = victim {
            self.notify(victim, "stolen", format!("[\"{name}\"]").as_bytes());
        }
    }

    /// `unlock`, or the end of a client that owned or waited.
    pub fn release(&mut self, session: SessionId, name: &str) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.locks.remove(name);
        }
        let Some(queue) = self.locks.get_mut(name) else { return };
        let owned = queue.front() == Some(&session);
        queue.retain(|other| *other != session);
        let next = queue.front().copied();
        if queue.is_empty() {
            self.locks.remove(name);
        }
        if let (true, Some(next)) = (owned, next) {
            self.notify(next, "locked", format!("[\"{name}\"]").as_bytes());
        }
    }

    // ---- the set of databases ----

    /// Takes a database in.
    pub fn add_database(&mut self, hosted: Hosted) {
        let name = hosted.name().to_string();
        self.dbs.insert(name.clone(), hosted);
        self.reconnect_unaware(&format!("adding {name} database"));
        server_db::refresh(self);
    }

    /// Lets a database go: its monitors are cancelled.
    pub fn remove_database(&mut self, name: &str) -> Option<Hosted> {
        let hosted = self.dbs.remove(name)?;
        self.end_monitors(name);
        let error = OvsdbError::new("canceled", "database removed");
        self.cancel_database(name, &error);
        self.reconnect_unaware(&format!("removing {name} database"));
        server_db::refresh(self);
        Some(hosted)
    }

    /// Cancels all monitors of a database and tells those who made them.
    pub fn end_monitors(&mut self, database: &str) {
        let mut canceled = Vec::new();
        for (id, session) in &mut self.sessions {
            session.monitors.retain(|key, monitor| {
                let stays = monitor.database != database;
                if !stays {
                    canceled.push((*id, key.clone()));
                }
                stays
            });
        }
        for (id, key) in canceled {
            if let Some(hosted) = self.dbs.get_mut(database) {
                hosted.monitors.remove(&(id, key.clone()));
            }
            if self.sessions.get(&id).is_some_and(|session| session.change_aware) {
                self.notify(id, "monitor_canceled", format!("[{key}]").as_bytes());
            }
        }
    }
}

impl Default for Core {
    fn default() -> Core {
        Core::new()
    }
}

/// Queues output of a session. Where `waiting` is given it may wait for company, and the session is noted there.
fn push_to(sessions: &mut Sessions, id: SessionId, parts: &[&[u8]], waiting: Option<&mut Vec<SessionId>>) {
    let Some(session) = sessions.get_mut(&id) else { return };
    if session.closing {
        return;
    }
    let length: usize = parts.iter().map(|part| part.len()).sum();
    session.largest = session.largest.max(length);
    if session.out.len() + length > MAX_BACKLOG + session.largest {
        vlog_warn!(
            Module::OvsdbJsonrpcServer,
            "{}: disconnecting client that left {} bytes unread",
            session.name,
            session.out.len()
        );
        session.closing = true;
        session.out = Vec::new();
        session.wake.notify_one();
        return;
    }
    session.out.reserve(length);
    parts.iter().for_each(|part| session.out.extend_from_slice(part));
    match waiting {
        None => {
            session.urgent = true;
            session.wake.notify_one();
        }
        Some(waiting) if !session.waits => {
            session.waits = true;
            waiting.push(id);
        }
        Some(_) => {}
    }
}

fn push_update(
    sessions: &mut Sessions,
    (id, key): &Member,
    version: Version,
    txn: Uuid,
    body: &[u8],
    waiting: Option<&mut Vec<SessionId>>,
) {
    let key = key.as_bytes();
    let method: &[u8] = match version {
        Version::V1 => b"{\"id\":null,\"method\":\"update\",\"params\":[",
        Version::V2 => b"{\"id\":null,\"method\":\"update2\",\"params\":[",
        Version::V3 => b"{\"id\":null,\"method\":\"update3\",\"params\":[",
    };
    match version {
        Version::V3 => {
            push_to(sessions, *id, &[method, key, b",\"", &txn.to_ascii(), b"\",", body, b"]}"], waiting);
        }
        Version::V1 | Version::V2 => push_to(sessions, *id, &[method, key, b",", body, b"]}"], waiting),
    }
    vlog_dbg!(Module::OvsdbJsonrpcServer, "update of {} bytes to session {id}", body.len());
}
