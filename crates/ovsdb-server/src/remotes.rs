//! Remotes: sockets that are listened on and servers that are connected to, from the command line, the control socket,
//! and database tables (`db:DB,TABLE,COLUMN`), into which their status is written back.

use crate::Shared;
use crate::connection::{self, End, Terms};
use crate::core::Core;
use io::stream::{DEFAULT_DSCP, OVSDB_PORT};
use io::vlog::Module;
use io::{Listener, Remote, Stream, vlog_err, vlog_info, vlog_warn};
use ovsdb_data::{Datum, Uuid};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Longest time between attempts to connect, unless configured.
const MAX_BACKOFF: Duration = Duration::from_secs(8);
/// Silence before a probe, for connections over a network.
const PROBE: Duration = Duration::from_secs(5);
/// How often status is written to tables.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// How one target is to be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Longest time between attempts to connect.
    pub max_backoff: Option<Duration>,
    /// Silence before a probe; `Some(None)` for never.
    pub probe: Option<Option<Duration>>,
    /// Role of clients, for RBAC.
    pub role: String,
    /// True if clients may only read.
    pub read_only: bool,
    /// DSCP of its packets, if not the default.
    pub dscp: Option<u8>,
}

/// What is known of a target, for status columns.
#[derive(Debug, Default)]
struct Status {
    connected: bool,
    n_connections: usize,
    state: &'static str,
    since: Option<Instant>,
    disconnected: Option<Instant>,
    last_error: Option<String>,
    port: Option<u16>,
}

struct Running {
    settings: Settings,
    status: Rc<RefCell<Status>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All remotes of a server.
#[derive(Default)]
pub struct Remotes {
    /// As given: targets and `db:` names, with settings from a configuration file.
    configured: BTreeMap<String, Settings>,
    running: BTreeMap<String, Running>,
    tls: Vec<(String, String)>,
}

/// Remotes shared between the tasks of a server.
pub type SharedRemotes = Rc<RefCell<Remotes>>;

impl Remotes {
    /// Ends all listening and connecting; connections that there are stay.
    pub fn close(&mut self) {
        self.running.clear();
    }

    /// Takes TLS options; columns that values name must exist.
    pub fn set_tls(&mut self, core: &Core, options: &[(String, String)]) -> Result<(), String> {
        for (_, value) in options.iter().filter(|(_, value)| value.starts_with("db:")) {
            DbRemote::parse(core, value)?;
        }
        self.tls = options.to_vec();
        self.apply_tls(core);
        Ok(())
    }

    /// Uses the keys that the options, and the columns that they name, hold now.
    fn apply_tls(&self, core: &Core) {
        let mut settings = io::tls::Settings::default();
        for (name, value) in &self.tls {
            let value = match value.starts_with("db:") {
                true => DbRemote::parse(core, value).ok().and_then(|column| column.first(core)),
                false => Some(value.clone()),
            };
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                settings.obey(name, Some(&value));
            }
        }
        if let Some((_, value)) = self.tls.iter().find(|(name, _)| name == "ca-cert")
            && let Some(table) =
                value.strip_prefix("db:").and_then(|value| value.rsplit_once(',')).map(|(table, _)| table)
            && let Ok(column) = DbRemote::parse(core, &format!("db:{table},bootstrap_ca_cert"))
        {
            settings.bootstrap = column.first(core).as_deref() == Some("true");
        }
        if !self.tls.is_empty() && io::tls::settings() != settings {
            io::tls::configure(settings);
        }
    }

    /// Adds a remote after checking that what it names exists.
    pub fn add(&mut self, core: &Core, name: &str) -> Result<(), String> {
        if name.starts_with("db:") {
            DbRemote::parse(core, name)?;
        }
        self.configured.insert(name.to_string(), Settings::default());
        Ok(())
    }

    /// Puts other remotes in the place of all.
    pub fn replace(&mut self, core: &Core, remotes: BTreeMap<String, Settings>) -> Result<(), String> {
        for name in remotes.keys().filter(|name| name.starts_with("db:")) {
            DbRemote::parse(core, name)?;
        }
        self.configured = remotes;
        Ok(())
    }

    /// Removes a remote; false if there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.configured.remove(name).is_some()
    }

    /// Names of the remotes as they were added.
    pub fn names(&self) -> Vec<String> {
        self.configured.keys().cloned().collect()
    }

    /// Number of servers' clients that we would connect to, and are not connected to.
    pub fn n_unconnected(&self) -> usize {
        let passive = |name: &str| ["punix:", "ptcp:", "pssl:"].iter().any(|kind| name.starts_with(kind));
        self.running.iter().filter(|(name, running)| !passive(name) && !running.status.borrow().connected).count()
    }

    /// Starts, stops and reconfigures so that what runs is what the names and the tables say.
    pub fn reconcile(&mut self, shared: &Shared) {
        let mut wanted: BTreeMap<String, Settings> = BTreeMap::new();
        {
            let core = shared.borrow();
            self.apply_tls(&core);
            for (name, settings) in &self.configured {
                match DbRemote::parse(&core, name) {
                    _ if !name.starts_with("db:") => {
                        wanted.insert(name.clone(), settings.clone());
                    }
                    Ok(remote) => wanted.extend(remote.targets(&core)),
                    Err(_) => {}
                }
            }
        }
        let mut stopped = Vec::new();
        self.running.retain(|name, running| {
            let stays = wanted.get(name) == Some(&running.settings);
            if !stays {
                stopped.push(name.clone());
            }
            stays
        });
        if !stopped.is_empty() {
            let mut core = shared.borrow_mut();
            let of_stopped = |remote: &str| stopped.iter().any(|name| name == remote);
            let ids: Vec<u64> =
                core.sessions.iter().filter(|(_, s)| of_stopped(&s.remote)).map(|(id, _)| *id).collect();
            ids.into_iter().for_each(|id| core.close(id));
        }
        for (name, settings) in wanted {
            if let std::collections::btree_map::Entry::Vacant(vacant) = self.running.entry(name.clone()) {
                let status = Rc::new(RefCell::new(Status { state: "VOID", ..Status::default() }));
                let task =
                    tokio::task::spawn_local(run(shared.clone(), name.clone(), settings.clone(), status.clone()));
                vacant.insert(Running { settings, status, task });
            }
        }
    }

    /// Operations that write the status of targets to the tables that they come from, by database.
    fn status_operations(&self, core: &Core) -> Vec<(String, Vec<Value>)> {
        let mut by_db: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for name in self.configured.keys() {
            let Ok(remote) = DbRemote::parse(core, name) else { continue };
            for (target, uuid, table) in remote.rows(core) {
                if let Some(running) = self.running.get(&target) {
                    let operation =
                        status_operation(core, &remote.database, table, uuid, &target, &running.status.borrow());
                    by_db.entry(remote.database.clone()).or_default().extend(operation);
                }
            }
        }
        by_db.into_iter().filter(|(_, operations)| !operations.is_empty()).collect()
    }
}

/// A remote in a column of a table.
struct DbRemote {
    database: String,
    table: usize,
    column: usize,
}

impl DbRemote {
    fn parse(core: &Core, name: &str) -> Result<DbRemote, String> {
        let parts: Vec<&str> = name.strip_prefix("db:").unwrap_or_default().split(',').collect();
        let [database, table, column] = parts.as_slice() else {
            return Err(format!("\"{name}\": invalid syntax"));
        };
        let hosted = core.dbs.get(*database).ok_or_else(|| format!("\"{name}\": no database named {database}"))?;
        let number = hosted.db.table_number(table).ok_or_else(|| format!("\"{name}\": no table named {table}"))?;
        let schema = &hosted.db.tables()[number].schema;
        let column = schema
            .column_number(column)
            .ok_or_else(|| format!("\"{name}\": table \"{table}\" has no column \"{column}\""))?;
        Ok(DbRemote { database: database.to_string(), table: number, column })
    }

    /// The column's value in the first row, as text.
    fn first(&self, core: &Core) -> Option<String> {
        let hosted = core.dbs.get(&self.database)?;
        let (uuid, row) = hosted.db.tables()[self.table].rows().next()?;
        let datum = hosted.db.column(self.table, uuid, row, self.column);
        Some(ovsdb_data::text::datum_to_bare(&datum))
    }

    /// Targets, rows and tables that the column leads to, if it is a reference.
    fn rows(&self, core: &Core) -> Vec<(String, Uuid, usize)> {
        let Some(hosted) = core.dbs.get(&self.database) else { return Vec::new() };
        let table = &hosted.db.tables()[self.table];
        let Some((target_table, _)) =
            table.references.iter().find(|r| r.column == self.column).and_then(|r| r.key.or(r.value))
        else {
            return Vec::new();
        };
        let target_schema = &hosted.db.tables()[target_table].schema;
        let Some(target_column) = target_schema.column_number("target") else { return Vec::new() };
        let mut found = Vec::new();
        for (uuid, row) in table.rows() {
            let references = hosted.db.column(self.table, uuid, row, self.column);
            for reference in references.all_atoms().filter_map(|atom| atom.as_uuid()) {
                if let Some(row) = hosted.db.tables()[target_table].get(&reference) {
                    let target = hosted.db.column(target_table, reference, row, target_column);
                    found.extend(target.as_str().map(|t| (t.to_string(), reference, target_table)));
                }
            }
        }
        found
    }

    fn targets(&self, core: &Core) -> Vec<(String, Settings)> {
        let Some(hosted) = core.dbs.get(&self.database) else { return Vec::new() };
        let table = &hosted.db.tables()[self.table];
        let by_row = self.rows(core);
        if !by_row.is_empty() || table.references.iter().any(|r| r.column == self.column) {
            return by_row
                .into_iter()
                .map(|(target, uuid, number)| (target, settings_of_row(core, &self.database, number, uuid)))
                .collect();
        }
        // A plain column of strings holds the targets themselves.
        let mut targets = Vec::new();
        for (uuid, row) in table.rows() {
            let datum = hosted.db.column(self.table, uuid, row, self.column);
            let texts = datum.atoms().iter().filter_map(|atom| atom.as_str());
            targets.extend(texts.filter(|t| !t.is_empty()).map(|t| (t.to_string(), Settings::default())));
        }
        targets
    }
}

fn settings_of_row(core: &Core, database: &str, number: usize, uuid: Uuid) -> Settings {
    let Some(hosted) = core.dbs.get(database) else { return Settings::default() };
    let table = &hosted.db.tables()[number];
    let Some(row) = table.get(&uuid) else { return Settings::default() };
    let column = |name: &str| -> Option<Datum> {
        let column = table.schema.column_number(name)?;
        Some(hosted.db.column(number, uuid, row, column))
    };
    let integer =
        |name: &str| -> Option<u64> { column(name)?.scalar()?.as_integer().and_then(|n| u64::try_from(n).ok()) };
    Settings {
        max_backoff: integer("max_backoff").map(|ms| Duration::from_millis(ms.max(1000))),
        probe: integer("inactivity_probe").map(|ms| (ms > 0).then(|| Duration::from_millis(ms.max(1000)))),
        role: column("role").and_then(|d| d.as_str().map(str::to_string)).unwrap_or_default(),
        read_only: column("read_only").and_then(|d| d.scalar()?.as_bool()).unwrap_or(false),
        dscp: column("other_config")
            .and_then(|d| d.get_str("dscp")?.parse().ok())
            .filter(|dscp| (0..64).contains(dscp)),
    }
}

fn status_operation(
    core: &Core,
    database: &str,
    number: usize,
    uuid: Uuid,
    remote: &str,
    status: &Status,
) -> Option<Value> {
    let hosted = core.dbs.get(database)?;
    let table = &hosted.db.tables()[number];
    let stored = table.get(&uuid)?;
    let mut pairs = Vec::new();
    let mut pair = |key: &str, value: Option<String>| pairs.extend(value.map(|value| (key.to_string(), value)));
    let seconds = |at: Option<Instant>| at.map(|at| at.elapsed().as_secs().to_string());
    let (connect, disconnect) = (seconds(status.since), seconds(status.disconnected));
    if status.port.is_some() {
        // Who listens has no state, and may have had no connection yet.
        pair("sec_since_connect", connect.or_else(|| Some("0".into())));
        pair("sec_since_disconnect", disconnect.or_else(|| Some("0".into())));
    } else {
        pair("state", Some(status.state.to_string()));
        pair("sec_since_connect", connect);
        pair("sec_since_disconnect", disconnect.filter(|_| !status.connected));
        let (held, waiting) = core.locks_through(remote);
        pair("locks_held", Some(held).filter(|names| !names.is_empty()));
        pair("locks_waiting", Some(waiting).filter(|names| !names.is_empty()));
    }
    pair("last_error", status.last_error.clone());
    pair("n_connections", (status.n_connections > 1).then(|| status.n_connections.to_string()));
    pair("bound_port", status.port.map(|port| port.to_string()));
    let mut row = serde_json::Map::new();
    let mut set = |name: &str, new: Datum| {
        if let Some(column) = table.schema.column_number(name)
            && hosted.db.column(number, uuid, stored, column) != new
        {
            row.insert(name.to_string(), new.to_json());
        }
    };
    set("is_connected", Datum::from(status.connected));
    set("status", Datum::string_map(pairs));
    if row.is_empty() {
        return None;
    }
    Some(json!({"op": "update", "table": table.schema.name, "where": [["_uuid", "==", ["uuid", uuid.to_string()]]],
        "row": row}))
}

/// Follows tables: reconciles when they change, and writes status every few seconds.
pub async fn follow(shared: Shared, remotes: SharedRemotes) {
    let changed = shared.borrow().tables_changed.clone();
    let mut status = tokio::time::interval(STATUS_INTERVAL);
    loop {
        tokio::select! {
            () = changed.notified() => {
                remotes.borrow_mut().reconcile(&shared);
                // Many transactions in a row are looked at once.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            _ = status.tick() => {
                let operations = remotes.borrow().status_operations(&shared.borrow());
                for (database, operations) in operations {
                    if let Err(error) = shared.borrow_mut().transact_internal(&database, &operations) {
                        io::vlog_rl!((1, 5), Module::OvsdbServer, io::vlog::Level::Warn,
                            "Failed to update remotes status: {error}");
                    }
                }
            }
        }
    }
}

async fn run(shared: Shared, name: String, settings: Settings, status: Rc<RefCell<Status>>) {
    let remote = match Remote::parse(&name, OVSDB_PORT) {
        Ok(remote) => remote,
        Err(error) => {
            vlog_err!(Module::OvsdbJsonrpcServer, "{error}");
            status.borrow_mut().last_error = Some(error);
            return;
        }
    };
    if remote.is_passive() {
        listen(shared, name, remote, settings, status).await;
    } else {
        connect(shared, name, remote, settings, status).await;
    }
}

fn terms(name: &str, settings: &Settings, remote: &Remote) -> Terms {
    let local = matches!(remote, Remote::Unix(_) | Remote::PassiveUnix(_));
    Terms {
        remote: Rc::from(name),
        probe: settings.probe.unwrap_or(if local { None } else { Some(PROBE) }),
        role: settings.role.clone(),
        read_only: settings.read_only,
    }
}

async fn listen(shared: Shared, name: String, remote: Remote, settings: Settings, status: Rc<RefCell<Status>>) {
    let mut complained = false;
    let mut listener = loop {
        match Listener::bind(&remote).await {
            Ok(listener) => break listener,
            Err(error) => {
                let reason = io::program::strerror(&error);
                if !std::mem::replace(&mut complained, true) {
                    vlog_err!(Module::OvsdbJsonrpcServer, "{name}: listen failed: {reason}");
                }
                status.borrow_mut().last_error = Some(reason);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    };
    listener.set_dscp(settings.dscp.unwrap_or(DEFAULT_DSCP));
    let port = listener.port();
    if let (Remote::PassiveTcp(at) | Remote::PassiveSsl(at), Some(port)) = (&remote, port)
        && at.port() == 0
    {
        vlog_info!(Module::SocketUtil, "{}:{}: listening on port {port}", at.port(), at.ip());
    }
    {
        let mut status = status.borrow_mut();
        status.port = port;
        status.state = "ACTIVE";
        status.last_error = None;
    }
    let terms = terms(&name, &settings, &remote);
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                vlog_warn!(Module::OvsdbJsonrpcServer, "{name}: accept failed: {}", io::program::strerror(&error));
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (shared, terms, status) = (shared.clone(), terms.clone(), status.clone());
        tokio::task::spawn_local(async move {
            {
                let mut status = status.borrow_mut();
                status.n_connections += 1;
                status.connected = true;
                status.since = Some(Instant::now());
            }
            connection::serve(shared, stream, String::new(), terms).await;
            let mut status = status.borrow_mut();
            status.n_connections -= 1;
            status.connected = status.n_connections > 0;
            if !status.connected {
                status.disconnected = Some(Instant::now());
            }
        });
    }
}

async fn connect(shared: Shared, name: String, remote: Remote, settings: Settings, status: Rc<RefCell<Status>>) {
    let terms = terms(&name, &settings, &remote);
    let most = settings.max_backoff.unwrap_or(MAX_BACKOFF);
    let mut backoff = Duration::from_secs(1).min(most);
    loop {
        vlog_info!(Module::Reconnect, "{name}: connecting...");
        status.borrow_mut().state = "CONNECTING";
        let attempt = Stream::connect_marked(&remote, settings.dscp.unwrap_or(DEFAULT_DSCP));
        let failure = match tokio::time::timeout(backoff.max(Duration::from_secs(1)), attempt).await {
            Ok(Ok(stream)) => {
                vlog_info!(Module::Reconnect, "{name}: connected");
                {
                    let mut status = status.borrow_mut();
                    status.connected = true;
                    status.last_error = None;
                    status.n_connections = 1;
                    status.state = "ACTIVE";
                    status.since = Some(Instant::now());
                }
                let started = Instant::now();
                let end = connection::serve(shared.clone(), stream, String::new(), terms.clone()).await;
                if started.elapsed() >= backoff {
                    backoff = Duration::from_secs(1).min(most);
                }
                match end {
                    End::Peer => {
                        vlog_info!(Module::Reconnect, "{name}: connection closed by peer");
                        None
                    }
                    End::Asked => None,
                    End::Error(reason) => Some(reason),
                }
            }
            Ok(Err(error)) => Some(io::program::strerror(&error)),
            Err(_) => Some("Connection timed out".to_string()),
        };
        {
            let mut status = status.borrow_mut();
            if status.connected {
                status.disconnected = Some(Instant::now());
            } else if let Some(reason) = &failure {
                vlog_info!(Module::Reconnect, "{name}: connection attempt failed ({reason})");
            }
            status.connected = false;
            status.n_connections = 0;
            status.state = "BACKOFF";
            if failure.is_some() {
                status.last_error = failure;
            }
        }
        if backoff > Duration::from_secs(1) {
            vlog_info!(Module::Reconnect, "{name}: waiting {} seconds before reconnect", backoff.as_secs());
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(most);
    }
}
