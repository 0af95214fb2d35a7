//! The database server daemon.
//!
//! [`Server`] is the server itself, for programs that embed it; [`main`] is `ovsdb-server`. One thread runs everything;
//! only the text of a compacted file is made elsewhere.

mod compaction;
mod config_file;
mod connection;
mod control;
pub mod core;
pub mod hosted;
mod methods;
mod remotes;
mod rhythm;
mod server_db;
mod upstream;

use io::daemon::{self, Daemon, DaemonOpt, Started};
use io::getopt::{self, Opt, Order, Takes, long};
use io::unixctl;
use io::vlog::Module;
use io::{Invocation, dirs, vlog_info, vlog_warn};
use remotes::{Remotes, SharedRemotes};
use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use upstream::Replication;

pub use crate::core::Core;

/// The state, shared between the tasks of one thread. Never borrowed across an `await`.
pub type Shared = Rc<RefCell<Core>>;

/// What a server offers, and where.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Database files.
    pub databases: Vec<String>,
    /// Remotes: `punix:FILE`, `ptcp:PORT`, `db:DB,TABLE,COLUMN`, …
    pub remotes: Vec<String>,
    /// The control socket; `None` for none, as when another daemon's socket serves.
    pub unixctl: Option<PathBuf>,
    /// True to write whole columns instead of differences to files.
    pub whole_columns: bool,
    /// Names and values of TLS options; a value `db:DB,TABLE,COLUMN` stands for what that column holds.
    pub tls: Vec<(String, String)>,
    /// A file with remotes and databases, instead of those above.
    pub config_file: Option<String>,
    /// An active server, of which this one is the backup.
    pub sync_from: Option<String>,
    /// Tables that are not replicated, as `DB:TABLE,…`.
    pub sync_exclude: Option<String>,
    /// True to start in the active role all the same.
    pub start_active: bool,
}

/// A server whose databases are open and whose remotes are on their way up.
pub struct Server {
    shared: Shared,
    remotes: SharedRemotes,
    replication: control::SharedReplication,
    exit: Rc<Notify>,
    control: Option<io::Listener>,
    program: String,
    config_file: Option<String>,
}

impl Server {
    /// Opens everything. Must run on the thread and in the local task set in which the server is to run.
    pub async fn start(program: &str, config: &Config) -> Result<Server, String> {
        let mut core = Core::new();
        core.whole_columns = config.whole_columns;
        let shared: Shared = Rc::new(RefCell::new(core));
        control::open_all(&shared, &config.databases)?;
        let mut remotes = Remotes::default();
        for name in &config.remotes {
            if let Err(error) = remotes.add(&shared.borrow(), name) {
                vlog_warn!(Module::OvsdbServer, "failed to configure remotes: {error}");
                return Err("server configuration failed".into());
            }
        }
        let mut replication = Replication::default();
        replication.active.clone_from(&config.sync_from);
        if let Some(exclude) = &config.sync_exclude {
            replication.set_exclude(exclude)?;
        }
        if config.sync_from.is_some() && !config.start_active {
            replication.connect(&shared)?;
        }
        let replication = Rc::new(RefCell::new(replication));
        let remotes = Rc::new(RefCell::new(remotes));
        remotes.borrow_mut().set_tls(&shared.borrow(), &config.tls)?;
        match &config.config_file {
            Some(file) => config_file::load(&shared, &remotes, &replication, file)?,
            None => remotes.borrow_mut().reconcile(&shared),
        }
        let control = match &config.unixctl {
            Some(path) => unixctl::bind(path).await?,
            None => None,
        };
        // Lets the listeners' tasks open their sockets before the caller tells that the server is up.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        Ok(Server {
            shared,
            remotes,
            replication,
            exit: Rc::new(Notify::new()),
            control,
            program: program.to_string(),
            config_file: config.config_file.clone(),
        })
    }

    /// Notify this to end [`Server::run`].
    pub fn exit(&self) -> Rc<Notify> {
        self.exit.clone()
    }

    /// Serves until [`Server::exit`] is notified.
    pub async fn run(self) {
        self.run_then(|| {}).await;
    }

    /// Serves until [`Server::exit`] is notified, then does `last`, and then answers those who asked for the end.
    pub async fn run_then(mut self, last: impl FnOnce()) {
        let tasks = tokio::task::LocalSet::new();
        let (shared, remotes) = (self.shared.clone(), self.remotes.clone());
        tasks.spawn_local(remotes::follow(shared.clone(), remotes.clone()));
        tasks.spawn_local(give_up_on_waiting(shared.clone()));
        tasks.spawn_local(compaction::watch(shared.clone()));
        tasks.spawn_local(sync_files(shared.clone()));
        tasks.spawn_local(connection::send_updates(shared.clone()));
        tasks.spawn_local(rhythm::stay_awake(shared.clone()));
        tasks.spawn_local(report_memory(shared.clone(), remotes.clone()));
        let mut commanded = None;
        if let Some(control) = self.control.take() {
            let commands = control::commands(
                &self.program,
                &shared,
                &remotes,
                &self.replication,
                self.config_file.as_ref(),
                &self.exit,
            );
            commanded = Some(tasks.spawn_local(unixctl::serve(control, Rc::new(commands))));
        }
        let exit = self.exit.clone();
        tasks.run_until(exit.notified()).await;
        // Clients that can be told hear that their databases go.
        {
            let mut core = shared.borrow_mut();
            let names: Vec<String> = core.dbs.keys().cloned().collect();
            names.iter().for_each(|name| core.end_monitors(name));
            // The files' locks go before anybody hears of the end, so that another server can take its place at once.
            core.dbs.clear();
        }
        // So do the sockets, with the tasks that listen on them.
        remotes.borrow_mut().close();
        if let Some(task) = commanded {
            task.abort();
            tasks.run_until(async { drop(task.await) }).await;
        }
        last();
        tasks.run_until(unixctl::gone()).await;
        // Words of farewell are still on their way.
        let _ = tokio::time::timeout(Duration::from_millis(20), tasks).await;
    }
}

/// Tries waiting transactions again when their time is up.
async fn give_up_on_waiting(shared: Shared) {
    let changed = shared.borrow().triggers_changed.clone();
    loop {
        let deadline = shared.borrow().next_timeout();
        match deadline {
            Some(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => shared.borrow_mut().run_triggers(),
                    () = changed.notified() => {}
                }
            }
            None => changed.notified().await,
        }
    }
}

/// Syncs the files that durable transactions were written to, many transactions at once, and lets their replies go.
async fn sync_files(shared: Shared) {
    let wanted = shared.borrow().sync_wanted.clone();
    loop {
        wanted.notified().await;
        let held = shared.borrow_mut().take_held();
        for (database, replies) in held {
            let file = match shared.borrow().dbs.get(&database).and_then(|hosted| hosted.disk.log.as_ref()) {
                Some(log) => log.handle(),
                None => continue,
            };
            let synced = match file {
                Ok(file) => tokio::task::spawn_blocking(move || file.sync_data()).await,
                Err(error) => Ok(Err(error)),
            };
            let failure = match synced {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(ovsdb::log_file::io_error(&database, "fsync failed", &error)),
                Err(_) => Some(ovsdb_data::OvsdbError::new("I/O error", format!("{database}: fsync failed"))),
            };
            shared.borrow_mut().release_held(replies, failure.as_ref());
        }
    }
}

async fn report_memory(shared: Shared, remotes: SharedRemotes) {
    tokio::time::sleep(Duration::from_secs(10)).await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        vlog_info!(Module::Memory, "{} peak resident set size after 10.0 seconds", peak.trim());
    }
    vlog_info!(Module::Memory, "{}", control::memory(&shared, &remotes).trim_end());
}

#[derive(Clone, Copy)]
enum Choice {
    Daemon(DaemonOpt),
    Remote,
    NoDbs,
    DisableFileColumnDiff,
    Run,
    SyncFrom,
    SyncExclude,
    Active,
    ConfigFile,
    Tls(&'static str),
}

fn table() -> Vec<Opt<Choice>> {
    let mut table = daemon::options(Choice::Daemon);
    table.push(long("remote", Takes::Value, Choice::Remote));
    table.push(long("no-dbs", Takes::Nothing, Choice::NoDbs));
    table.push(long("disable-file-column-diff", Takes::Nothing, Choice::DisableFileColumnDiff));
    table.push(long("run", Takes::Value, Choice::Run));
    table.push(long("sync-from", Takes::Value, Choice::SyncFrom));
    table.push(long("sync-exclude-tables", Takes::Value, Choice::SyncExclude));
    table.push(long("config-file", Takes::Value, Choice::ConfigFile));
    table.push(long("active", Takes::Nothing, Choice::Active));
    table.push(getopt::both("private-key", 'p', Takes::Value, Choice::Tls("private-key")));
    table.push(getopt::both("certificate", 'c', Takes::Value, Choice::Tls("certificate")));
    table.push(getopt::both("ca-cert", 'C', Takes::Value, Choice::Tls("ca-cert")));
    for name in
        ["bootstrap-ca-cert", "peer-ca-cert", "ssl-protocols", "ssl-ciphers", "ssl-ciphersuites", "ssl-server-name"]
    {
        table.push(long(name, Takes::Value, Choice::Tls(name)));
    }
    table
}

/// `ovsdb-server`.
pub fn main(invocation: &Invocation) -> ExitCode {
    match start(invocation) {
        Ok(code) => code,
        Err(error) => invocation.fail(error),
    }
}

fn start(invocation: &Invocation) -> Result<ExitCode, String> {
    io::vlog::init(&invocation.name, io::vlog::Level::Info);
    let parsed = getopt::parse(&invocation.args, &table(), Order::Permute)?;
    let mut settings = daemon::Settings::default();
    let mut config = Config::default();
    let mut no_dbs = false;
    let mut command = None;
    for (choice, value) in parsed.options {
        match choice {
            Choice::Daemon(option) => settings.obey(option, value)?,
            Choice::Remote => config.remotes.extend(value),
            Choice::NoDbs => no_dbs = true,
            Choice::DisableFileColumnDiff => config.whole_columns = true,
            Choice::Run => command = value,
            Choice::SyncFrom => config.sync_from = value,
            Choice::SyncExclude => config.sync_exclude = value,
            Choice::Active => config.start_active = true,
            Choice::ConfigFile => config.config_file = value,
            Choice::Tls(name) => config.tls.push((name.to_string(), value.unwrap_or_default())),
        }
    }
    if settings.help {
        print!("{}", help(&invocation.name));
        return Ok(ExitCode::SUCCESS);
    }
    if settings.version {
        print!("{}", invocation.version_text());
        return Ok(ExitCode::SUCCESS);
    }
    config.databases = parsed.rest;
    if let Some(file) = &config.config_file {
        let given = [
            (!config.remotes.is_empty(), "--remote"),
            (config.sync_from.is_some(), "--sync-from"),
            (config.sync_exclude.is_some(), "--sync-exclude-tables"),
            (config.start_active, "--active"),
            (!config.databases.is_empty(), "databases on the command line"),
        ];
        if let Some((_, what)) = given.iter().find(|(given, _)| *given) {
            return Err(format!("--config-file is mutually exclusive with {what}"));
        }
        config.config_file = Some(dirs::abs(&dirs::sysconfdir().join("openvswitch"), file).display().to_string());
        no_dbs = true;
    }
    if config.databases.is_empty() && !no_dbs {
        config.databases.push(dirs::default_db().display().to_string());
    }
    let mut daemon = match Daemon::start(invocation, &settings)? {
        Started::Daemon(daemon) => daemon,
        Started::Parent(code) => return Ok(code),
    };
    config.unixctl = Some(settings.unixctl.clone().unwrap_or_else(|| unixctl::default_path(&invocation.name)));
    io::program::keep_no_large_memory();
    let result = io::run(async {
        let server = Server::start(&invocation.name, &config).await?;
        daemon.ready();
        vlog_info!(Module::OvsdbServer, "{} (Open vSwitch) {}", invocation.name, io::program::COMPATIBLE_VERSION);
        let exit = server.exit();
        let child = command.map(|command| run_command(command, exit.clone()));
        let stop = exit.clone();
        tokio::task::spawn_local(async move {
            daemon::terminated().await;
            stop.notify_one();
        });
        server.run_then(|| daemon.cleanup()).await;
        match child.and_then(|child| child.borrow_mut().take()) {
            Some(Err(message)) => Err(message),
            _ => Ok(ExitCode::SUCCESS),
        }
    });
    result.map_err(|error| io::program::strerror(&error))?
}

/// How a command beside the server ended: a message, unless well. `None` while it runs.
type Ended = Rc<RefCell<Option<Result<(), String>>>>;

/// Runs a command beside the server (`--run`); the server ends when it does.
fn run_command(command: String, exit: Rc<Notify>) -> Ended {
    let code = Rc::new(RefCell::new(None));
    let result = code.clone();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        use std::os::unix::process::ExitStatusExt;
        let status = std::process::Command::new("/bin/sh").arg("-c").arg(&command).status();
        let _ = sender.send(match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(match (status.code(), status.signal()) {
                (Some(code), _) => format!("{command}: child exited, exit status {code}"),
                (None, signal) => format!("{command}: child exited, killed by signal {}", signal.unwrap_or(0)),
            }),
            Err(error) => Err(format!("{command}: {}", io::program::strerror(&error))),
        });
    });
    tokio::task::spawn_local(async move {
        *result.borrow_mut() = Some(receiver.await.unwrap_or(Ok(())));
        exit.notify_one();
    });
    code
}

fn help(program: &str) -> String {
    format!(
        "{program}: Open vSwitch database server\n\
         usage: {program} [OPTIONS] [DATABASE...]\n\
         where each DATABASE is a database file in ovsdb format.\n\
         The default DATABASE, if none is given, is\n{}.\n\
         \nJSON-RPC options (may be specified any number of times):\n  \
         --remote=REMOTE         connect or listen to REMOTE\n{}\
         \nConfiguration file:\n  \
         --config-file=PATH      databases and remotes are those of this file\n\
         \nActive-backup replication:\n  \
         --sync-from=SERVER      be a backup of SERVER\n  \
         --sync-exclude-tables=DB:TABLE,...\n                          \
         leave these tables out\n  \
         --active                begin as the active server\n\
         {}\
         \nOther options:\n  \
         --run COMMAND           run COMMAND as subprocess then exit\n  \
         --no-dbs                do not add default database\n  \
         --disable-file-column-diff\n                          \
         don't use column diff in database file\n",
        dirs::default_db().display(),
        io::tls::HELP,
        daemon::help(program)
    )
}

#[cfg(test)]
mod tests;
