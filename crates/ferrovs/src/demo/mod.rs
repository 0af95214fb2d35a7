//! `ferrovs demo`: four hosts, one bridge, two VLANs, a trunk and a dropped pair, on real packets.

mod hosts;
mod leg;
mod ping;
mod report;
mod scenario;

use crate::embedded;
use hosts::{Host, PLANS};
use io::vlog::{self, Level};
use io::{Invocation, dirs};
use netdev::netns::{self, NetNs};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::sync::oneshot;
use vswitchd::app::Dummy;

const HELP: &str = "\
ferrovs demo: shows a switch at work
usage: ferrovs demo [--keep] [--dir DIR]
  --keep     leave everything running until Ctrl-C, and print commands to try
  --dir DIR  keep the files in DIR (default: a new directory, removed at the end)
Needs no set-up. As an ordinary user it runs in namespaces of its own.
";

struct Arguments {
    keep: bool,
    dir: Option<PathBuf>,
}

fn parse(args: &[String]) -> Result<Option<Arguments>, String> {
    let mut out = Arguments { keep: false, dir: None };
    let mut it = args.iter();
    while let Some(a) = it.next() {
        match a.as_str() {
            "--keep" => out.keep = true,
            "-h" | "--help" => return Ok(None),
            "--dir" => out.dir = Some(it.next().ok_or("option '--dir' requires an argument")?.into()),
            other => match other.strip_prefix("--dir=") {
                Some(d) => out.dir = Some(d.into()),
                None => {
                    return Err(format!("unexpected argument \"{other}\" (\"ferrovs demo --help\" shows the usage)"));
                }
            },
        }
    }
    Ok(Some(out))
}

/// Runs the demonstration.
pub fn main(invocation: &Invocation) -> ExitCode {
    vlog::init("ferrovs", Level::Err);
    let arguments = match parse(&invocation.args) {
        Ok(Some(a)) => a,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(e) => return fail(&e),
    };
    // Namespaces belong to threads, and later threads inherit them: this comes first.
    if let Err(e) = enter_namespaces() {
        return fail(&e);
    }
    let (dir, temporary) = match arguments.dir {
        Some(d) => (d, false),
        None => (std::env::temp_dir().join(format!("ferrovs-demo-{}", std::process::id())), true),
    };
    let dir = match std::path::absolute(&dir) {
        Ok(d) => d,
        Err(e) => return fail(&format!("{}: {}", dir.display(), io::program::strerror(&e))),
    };
    dirs::keep_everything_in(dir.clone());
    let result = run(arguments.keep);
    if temporary {
        let _ = std::fs::remove_dir_all(&dir);
    }
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => fail(&e),
    }
}

fn fail(message: &str) -> ExitCode {
    io::fatal("ferrovs demo", message)
}

/// Leaves the machine's own network alone: root gets a network namespace, an ordinary user a user namespace around it.
fn enter_namespaces() -> Result<(), String> {
    if rustix::process::geteuid().is_root() {
        let enter = NetNs::create().and_then(|ns| ns.enter());
        return enter.map_err(|e| {
            format!(
                "cannot make a network namespace ({}): the process lacks CAP_SYS_ADMIN or CAP_NET_ADMIN. \
                 In a container, start it with --cap-add=SYS_ADMIN --cap-add=NET_ADMIN or --privileged",
                io::program::strerror(&e)
            )
        });
    }
    netns::enter_private().map_err(|e| {
        format!(
            "cannot make a user namespace ({}): this machine does not let ordinary users have them. Run it as root \
             (sudo ferrovs demo), or allow them: sysctl -w user.max_user_namespaces=1000, and where the machine has \
             these switches, kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0",
            io::program::strerror(&e)
        )
    })
}

fn make_hosts() -> Result<Vec<Host>, String> {
    PLANS.iter().map(|p| Host::create(*p)).collect::<std::io::Result<_>>().map_err(|e| {
        format!(
            "cannot make virtual hosts ({}): the kernel must have veth devices, and the process CAP_NET_ADMIN in its \
             network namespace",
            io::program::strerror(&e)
        )
    })
}

/// Runs everything; true if every cell was as expected.
fn run(keep: bool) -> Result<bool, String> {
    let files = embedded::prepare()?;
    let hosts = make_hosts()?;
    let outcome = io::run(async {
        let (stop, stopped) = oneshot::channel::<()>();
        let (up, is_up) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let switch = tokio::task::spawn_local(embedded::run(Dummy::Off, shutdown, move || {
            let _ = up.send(());
        }));
        let story = async {
            is_up.await.map_err(|_| "the switch did not start".to_string())?;
            let ok = scenario::play(hosts).await?;
            if keep {
                report::how_to_look_further(&ok.hosts);
                io::daemon::terminated().await;
            }
            Ok::<bool, String>(ok.as_expected)
        };
        let mut switch = Box::pin(switch);
        let result = tokio::select! {
            r = story => r,
            ended = &mut switch => match ended {
                Ok(Err(e)) => return Err(e),
                _ => return Err("the switch ended".into()),
            },
        };
        let _ = stop.send(());
        let _ = switch.await;
        result
    });
    drop(files);
    outcome.map_err(|e| io::program::strerror(&e))?
}
