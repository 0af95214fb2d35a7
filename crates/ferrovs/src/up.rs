//! `ferrovs up`: a switch without any set-up.

use crate::embedded;
use io::daemon::{self, Daemon, DaemonOpt, Settings, Started};
use io::getopt::{self, Opt, Order, Takes, long};
use io::vlog::{self, Level};
use io::{Invocation, dirs};
use std::path::PathBuf;
use std::process::ExitCode;
use vswitchd::app::Dummy;

#[derive(Clone, Copy)]
enum Choice {
    Daemon(DaemonOpt),
    Dir,
    EnableDummy,
}

fn table() -> Vec<Opt<Choice>> {
    let mut t = daemon::options(Choice::Daemon);
    t.push(long("dir", Takes::Value, Choice::Dir));
    t.push(long("enable-dummy", Takes::Nothing, Choice::EnableDummy));
    t
}

const HELP: &str = "\
ferrovs up: runs a database and a switch in one process
usage: ferrovs up [--dir DIR] [OPTIONS]
  --dir DIR       keep the database, the sockets and the logs in DIR
                  (default: the directories of OVS_RUNDIR, OVS_DBDIR, OVS_LOGDIR)
  --detach        run in the background; returns once the switch serves
  --log-file[=FILE], -v[SPEC]   as for ovs-vswitchd
  --enable-dummy  allow datapaths and devices of type dummy
";

/// Runs the command.
pub fn main(invocation: &Invocation) -> ExitCode {
    let fail = |e: String| io::fatal("ferrovs up", e);
    vlog::init("ferrovs", Level::Warn);
    let parsed = match getopt::parse(&invocation.args, &table(), Order::Permute) {
        Ok(p) if p.rest.is_empty() => p,
        Ok(p) => return fail(format!("unexpected argument \"{}\" (\"ferrovs up --help\" shows the usage)", p.rest[0])),
        Err(e) => return fail(e),
    };
    let mut settings = Settings::default();
    let mut dummy = Dummy::Off;
    for (choice, value) in parsed.options {
        let result = match choice {
            Choice::Daemon(o) => settings.obey(o, value),
            Choice::EnableDummy => {
                dummy = Dummy::On;
                Ok(())
            }
            Choice::Dir => absolute(&value.unwrap_or_default()).map(dirs::keep_everything_in),
        };
        if let Err(e) = result {
            return fail(e);
        }
    }
    if settings.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if settings.version {
        println!("ferrovs {}", io::program::VERSION);
        return ExitCode::SUCCESS;
    }
    let program = Invocation { name: "ferrovs".into(), args: invocation.args.clone() };
    let mut daemon = match Daemon::start(&program, &settings) {
        Ok(Started::Daemon(d)) => d,
        Ok(Started::Parent(code)) => return code,
        Err(e) => return fail(e),
    };
    let files = match embedded::prepare() {
        Ok(f) => f,
        Err(e) => return fail(e),
    };
    let rundir = dirs::rundir();
    let result = io::run(async {
        let shutdown = async {
            daemon::terminated().await;
        };
        embedded::run(dummy, shutdown, || {
            println!("The switch is up. Its database is {}.", dirs::default_db().display());
            println!("In another terminal:\n\n    export OVS_RUNDIR={}\n    ovs-vsctl add-br br0\n", rundir.display());
            println!("(\"ferrovs links DIR\" makes the commands; \"ferrovs ovs-vsctl …\" works without.)");
            daemon.ready();
        })
        .await
    });
    drop(files);
    match result {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(e)) => fail(e),
        Err(e) => fail(io::program::strerror(&e)),
    }
}

/// The process leaves its directory when it detaches, so relative names would change their meaning.
fn absolute(dir: &str) -> Result<PathBuf, String> {
    std::path::absolute(dir).map_err(|e| format!("--dir {dir}: {}", io::program::strerror(&e)))
}
