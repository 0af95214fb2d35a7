//! The switch daemon: bridges made to match the database.

pub mod app;
mod backer;
mod commands;
pub mod config;
mod controllers;
mod dp_features;
mod dpctl;
mod dpctl_files;
mod dpif_netdev;
mod links;
mod memory;
mod mirrors;
mod mtu;
mod openflow;
mod own_flows;
mod probe;
mod publish;
mod reconcile;
mod settings;
mod status;
mod system_stats;
mod upcall_control;

use app::{App, Dummy};
use clock::Clock;
use config::{Config, Reader};
use idl::{Client, Options as Wanted, Replica, Txn};
use io::daemon::{self, Daemon, DaemonOpt, Settings, Started};
use io::getopt::{self, Opt, Order, Takes, long};
use io::stream::OVSDB_PORT;
use io::vlog::{self, Level, Module};
use io::{Invocation, Remote, coverage, dirs, unixctl, vlog_info, vlog_rl};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How a switch is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database server.
    pub remote: Remote,
    /// Control socket; `none` for none.
    pub unixctl: PathBuf,
    /// Name that it answers to.
    pub program: String,
    /// Which dummies may be made.
    pub dummy: Dummy,
    /// Cores that tests make up (`--dummy-numa`).
    pub topology: Option<dp_user::Topology>,
}

/// Packets for controllers that wait for the control thread, at most.
const MAX_NOTICES: usize = 4096;

/// Time between two writes of interface statistics to the database, unless configured.
const STATS_INTERVAL: Duration = Duration::from_secs(5);

/// Runs a switch until `shutdown` is done or somebody asks for `exit`. `ready` is called once the control socket serves
/// and the database's configuration was applied for the first time.
pub async fn run(options: &Options, shutdown: impl Future<Output = ()>, ready: impl FnOnce()) -> Result<(), String> {
    let clock = Clock::real();
    let (sender, mut notices) = mpsc::channel(MAX_NOTICES);
    let app = App::new(clock.clone(), options.dummy, options.topology.clone(), sender);
    let listener = unixctl::bind(&options.unixctl).await?;
    let commands = Rc::new(commands::commands(&options.program, &app));
    let control = listener.map(|l| tokio::task::spawn_local(unixctl::serve(l, commands)));
    let wanted = Wanted { lock: Some("ovs_vswitchd".into()), track: idl::Track::Everything, ..Wanted::default() };
    let replica = Replica::new("Open_vSwitch", wanted);
    let mut client = Client::new(options.remote.clone(), replica, clock.clone());
    let tls = io::tls::settings();
    let mut daemon = Runner {
        app: app.clone(),
        applied: 0,
        connection: 0,
        reader: Reader::default(),
        config: None,
        tls,
        ready: Some(ready),
    };

    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut statistics = tokio::time::interval(STATS_INTERVAL);
    statistics.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let links = links::Watch::open();
    let mut peak = memory::Peak::new(clock.now());
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = client.run() => {}
            Some(notice) = notices.recv() => {
                app.notice(notice);
                // Several at once, but not so many that controllers and the database wait.
                for _ in 0..64 {
                    match notices.try_recv() {
                        Ok(n) => app.notice(n),
                        Err(_) => break,
                    }
                }
            }
            () = app.controllers_changed.notified() => daemon.report_controllers(&mut client),
            names = links.changed() => {
                let only = match &names {
                    links::Names::Some(names) => Some(names),
                    links::Names::Any => None,
                };
                daemon.report(&mut client, false, only).await;
            }
            () = app.devices_changed.notified() => {
                let names = std::mem::take(&mut app.state.borrow_mut().devices_changed);
                daemon.report(&mut client, false, Some(&names)).await;
            }
            _ = second.tick() => {
                app.tick();
                peak.look(&app);
            }
            _ = statistics.tick() => {
                coverage::sample();
                for work in app.state.borrow().backers.values().filter_map(backer::Backer::balancer) {
                    tokio::task::spawn_blocking(work);
                }
                daemon.report(&mut client, true, None).await;
                let wanted = daemon.statistics_interval();
                if statistics.period() != wanted {
                    statistics = tokio::time::interval_at(tokio::time::Instant::now() + wanted, wanted);
                    statistics.set_missed_tick_behavior(MissedTickBehavior::Delay);
                }
            }
            () = app.exit_asked.notified() => break,
            () = &mut shutdown => break,
        }
        daemon.follow(&mut client).await;
    }
    let cleanup = app.exit.borrow().unwrap_or(false);
    if cleanup {
        reconcile::clear(&app).await;
    }
    // Interfaces that the process made go with it in any case.
    app.state.borrow_mut().bridges.clear();
    let backers = std::mem::take(&mut app.state.borrow_mut().backers);
    let _ = tokio::task::spawn_blocking(move || drop(backers)).await;
    if let Some(c) = control {
        c.abort();
        let _ = c.await;
    }
    Ok(())
}

struct Runner<F> {
    app: Rc<App>,
    /// Sequence number of the replica that was applied last.
    applied: u64,
    /// The connection over which that came.
    connection: u64,
    reader: Reader,
    config: Option<Rc<Config>>,
    /// What the command line said about keys and certificates.
    tls: io::tls::Settings,
    ready: Option<F>,
}

impl<F: FnOnce()> Runner<F> {
    /// Applies the database's configuration if it has changed.
    async fn follow(&mut self, client: &mut Client) {
        while client.replica.poll_outcome().is_some() {}
        self.app.cells.set(client.replica.cells());
        if !client.replica.is_live() || !client.replica.has_lock() {
            return;
        }
        if client.replica.sequence() == self.applied {
            return;
        }
        self.applied = client.replica.sequence();
        let changes = client.replica.take_changes();
        // Over a new connection everything is said anew: the server may have forgotten what it kept in memory.
        let again =
            std::mem::replace(&mut self.connection, client.replica.connections()) != client.replica.connections();
        let mut problems = config::Problems::default();
        let config = self.reader.read(&client.replica, (!again).then_some(&changes[..]), &mut problems);
        for (module, level, what) in problems.list {
            match level {
                // Asked for and impossible: always said.
                Level::Err => vlog::log(module, level, format_args!("{what}")),
                _ => vlog_rl!((5, 5), module, level, "{what}"),
            }
        }
        let config = match (config, &self.config) {
            (Some(config), _) => Rc::new(config),
            (None, Some(config)) if again => config.clone(),
            (None, _) => {
                self.be_ready();
                return;
            }
        };
        // What the database says about keys takes the place of what the command line said.
        if config.tls != self.config.as_ref().and_then(|before| before.tls.clone()) {
            io::tls::configure(config.tls.clone().unwrap_or_else(|| self.tls.clone()));
        }
        reconcile::apply(&self.app, &config).await;
        self.config = Some(config.clone());
        let touched = std::mem::take(&mut self.app.state.borrow_mut().touched);
        let only = (!again).then_some(&touched);
        // Who sees the new `cur_cfg` must also see what the devices say by now: one transaction.
        let reports = status::interfaces(&self.app, true, only).await;
        let mut txn = Txn::new();
        status::outcome(&self.app, &client.replica, &config, only, &mut txn);
        status::write(&client.replica, &reports, &mut txn).await;
        if !txn.is_empty() {
            client.replica.transact(txn);
        }
        self.be_ready();
    }

    /// What the host and the daemons are doing, if the database asks for it.
    async fn report_system(&self, replica: &Replica, txn: &mut Txn) {
        let wanted = self.config.as_ref().and_then(|c| c.other_config.get("enable-statistics"));
        let statistics = match wanted.is_some_and(|v| v == "true") {
            true => tokio::task::spawn_blocking(system_stats::read).await.unwrap_or_default(),
            false => Default::default(),
        };
        status::system(replica, &statistics, txn);
    }

    fn statistics_interval(&self) -> Duration {
        self.config.as_ref().map_or(STATS_INTERVAL, |c| settings::Settings::read(&c.other_config).stats_interval)
    }

    fn be_ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            ready();
            vlog_info!(Module::Bridge, "ovs-vswitchd (Open vSwitch) {}", io::program::COMPATIBLE_VERSION);
        }
    }

    /// Writes to the database how the connections to controllers are.
    fn report_controllers(&mut self, client: &mut Client) {
        let Some(config) = self.config.as_ref().filter(|_| client.replica.is_live() && client.replica.has_lock())
        else {
            return;
        };
        let mut txn = Txn::new();
        status::controllers(&self.app, &client.replica, config, &mut txn);
        if !txn.is_empty() {
            client.replica.transact(txn);
        }
    }

    /// Writes to the database how the interfaces are; with `only`, these.
    async fn report(&mut self, client: &mut Client, statistics: bool, only: Option<&BTreeSet<String>>) {
        if !client.replica.is_live() || !client.replica.has_lock() {
            return;
        }
        if statistics {
            self.report_controllers(client);
        }
        let reports = status::interfaces(&self.app, statistics, only).await;
        let mut txn = Txn::new();
        status::write(&client.replica, &reports, &mut txn).await;
        if statistics {
            status::mirrors(&self.app, &client.replica, &mut txn);
            self.report_system(&client.replica, &mut txn).await;
        }
        if !txn.is_empty() {
            client.replica.transact(txn);
        }
        let bridges: Vec<String> = self.app.state.borrow().bridges.keys().cloned().collect();
        for bridge in &bridges {
            mtu::follow(&self.app, bridge).await;
        }
        reconcile::forget_lost(&self.app).await;
        // A connection whose state changed may have been waiting for its port.
        self.retry_missing(client).await;
    }

    /// A device that was missing may have come.
    async fn retry_missing(&mut self, client: &mut Client) {
        let missing = self.app.state.borrow().bridges.values().any(|e| !e.errors.is_empty());
        let Some(config) = self.config.clone().filter(|_| missing) else { return };
        reconcile::apply(&self.app, &config).await;
        let mut txn = Txn::new();
        let touched = std::mem::take(&mut self.app.state.borrow_mut().touched);
        status::outcome(&self.app, &client.replica, &config, Some(&touched), &mut txn);
        if !txn.is_empty() {
            client.replica.transact(txn);
        }
    }
}

#[derive(Clone, Copy)]
enum Opt_ {
    Daemon(DaemonOpt),
    EnableDummy,
    DummyNuma,
    DisableSystem,
    DisableSystemRoute,
    Mlockall,
    Tls(&'static str),
}

fn table() -> Vec<Opt<Opt_>> {
    let mut t = daemon::options(Opt_::Daemon);
    t.extend([
        long("enable-dummy", Takes::Maybe, Opt_::EnableDummy),
        long("dummy-numa", Takes::Value, Opt_::DummyNuma),
        long("disable-system", Takes::Nothing, Opt_::DisableSystem),
        long("disable-system-route", Takes::Nothing, Opt_::DisableSystemRoute),
        long("mlockall", Takes::Nothing, Opt_::Mlockall),
        getopt::both("private-key", 'p', Takes::Value, Opt_::Tls("private-key")),
        getopt::both("certificate", 'c', Takes::Value, Opt_::Tls("certificate")),
        getopt::both("ca-cert", 'C', Takes::Value, Opt_::Tls("ca-cert")),
        long("peer-ca-cert", Takes::Value, Opt_::Tls("peer-ca-cert")),
        long("bootstrap-ca-cert", Takes::Value, Opt_::Tls("bootstrap-ca-cert")),
        long("ssl-protocols", Takes::Value, Opt_::Tls("ssl-protocols")),
        long("ssl-ciphers", Takes::Value, Opt_::Tls("ssl-ciphers")),
        long("ssl-ciphersuites", Takes::Value, Opt_::Tls("ssl-ciphersuites")),
    ]);
    t
}

/// Runs the daemon `ovs-vswitchd`.
pub fn main(invocation: &Invocation) -> ExitCode {
    vlog::init(&invocation.name, Level::Info);
    let parsed = match getopt::parse(&invocation.args, &table(), Order::Permute) {
        Ok(p) => p,
        Err(e) => return invocation.fail(e),
    };
    let mut settings = Settings::default();
    let mut dummy = Dummy::Off;
    let mut topology = None;
    let mut tls = io::tls::Settings::default();
    for (opt, value) in parsed.options {
        let result = match opt {
            Opt_::Daemon(o) => settings.obey(o, value),
            Opt_::EnableDummy => match value.as_deref() {
                None | Some("") => set(&mut dummy, Dummy::On),
                Some("override") => set(&mut dummy, Dummy::OverrideAll),
                Some("system") => set(&mut dummy, Dummy::OverrideSystem),
                Some(other) => Err(format!("{other}: unknown dummy level")),
            },
            Opt_::DummyNuma => {
                topology = value.as_deref().and_then(dp_user::Topology::parse);
                Ok(())
            }
            // There is no kernel datapath in this program; nothing to disable.
            Opt_::DisableSystem | Opt_::DisableSystemRoute => Ok(()),
            Opt_::Mlockall => io::program::lock_memory(),
            Opt_::Tls(name) => {
                tls.obey(name, value.as_deref());
                Ok(())
            }
        };
        if let Err(e) = result {
            return invocation.fail(e);
        }
    }
    io::tls::configure(tls);
    if settings.help {
        print!("{}", help(&invocation.name));
        return ExitCode::SUCCESS;
    }
    if settings.version {
        print!("{}", invocation.version_text());
        return ExitCode::SUCCESS;
    }
    let remote = match parsed.rest.as_slice() {
        [] => dirs::default_remote(),
        [one] => one.clone(),
        _ => return invocation.fail("at most one non-option argument accepted; use --help for usage"),
    };
    let remote = match Remote::parse(&remote, OVSDB_PORT) {
        Ok(r) => r,
        Err(e) => return invocation.fail(e),
    };
    let mut daemon = match Daemon::start(invocation, &settings) {
        Ok(Started::Daemon(d)) => d,
        Ok(Started::Parent(code)) => return code,
        Err(e) => return invocation.fail(e),
    };
    let unixctl = settings.unixctl.clone().unwrap_or_else(|| unixctl::default_path(&invocation.name));
    let options = Options {
        remote,
        unixctl: if unixctl.as_os_str() == "none" { unixctl } else { dirs::rundir().join(unixctl) },
        program: invocation.name.clone(),
        dummy,
        topology,
    };
    let ended = io::run(async {
        let shutdown = async {
            daemon::terminated().await;
        };
        let result = run(&options, shutdown, || daemon.ready()).await;
        daemon.cleanup();
        unixctl::gone().await;
        result
    });
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(e)) => invocation.fail(e),
        Err(e) => invocation.fail(io::program::strerror(&e)),
    }
}

fn set(dummy: &mut Dummy, to: Dummy) -> Result<(), String> {
    *dummy = to;
    Ok(())
}

fn help(program: &str) -> String {
    format!(
        "{program}: the Open vSwitch switch daemon\n\
         usage: {program} [OPTIONS] [DATABASE]\n\
         where DATABASE is a socket on which ovsdb-server is listening\n      (default: \"{}\").\n\
         \nActive DATABASE connection methods:\n  \
         ssl:HOST:PORT           TLS PORT at remote HOST\n  \
         tcp:HOST:PORT           PORT at remote HOST\n  \
         unix:FILE               Unix domain socket named FILE\n{}\
         {}\
         \nTesting options:\n  \
         --enable-dummy[=override|system]\n                          allow datapaths and devices of type dummy; with an argument,\n                          \
         let them stand in for all others or for system ones\n",
        dirs::default_remote(),
        io::tls::HELP,
        daemon::help(program)
    )
}
