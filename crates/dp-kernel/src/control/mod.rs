//! Commands on the kernel's datapaths: `ovs-dpctl` without the daemon, `dpctl/*` in it.
//!
//! A command gives its text, or the lines that say what was wrong; whoever runs it puts its own name before each.

mod conntrack;
mod flows;
mod listing;
mod ports;
mod zones;

pub use listing::{caches_of, show_one};

use crate::{Kernel, Open};
use clock::{Clock, Instant};
use datapath::flow_text::Deed;
use datapath::key_text::KeyStyle;
use flow::Match;
use io::program::strerror;
use std::fmt::Write as _;
use std::io as stdio;
use std::sync::Arc;
use std::time::Duration;

/// How commands work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Show counters.
    pub statistics: bool,
    /// Zero counters.
    pub clear: bool,
    /// A flow that is not there may be made.
    pub may_create: bool,
    /// Only look.
    pub read_only: bool,
    /// Show everything.
    pub more: bool,
    /// Name ports, or number them.
    pub names: Option<bool>,
}

/// What a command came to: text, and what went wrong on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// To be shown.
    pub text: String,
    /// To be said.
    pub errors: Vec<String>,
    /// Whether it failed.
    pub failed: bool,
}

impl Outcome {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn error(&mut self, line: impl Into<String>) {
        self.errors.push(line.into());
        self.failed = true;
    }
}

type Done = Result<Outcome, Outcome>;

fn failure<T>(line: impl Into<String>) -> Result<T, Outcome> {
    Err(Outcome { errors: vec![line.into()], failed: true, ..Outcome::default() })
}

fn shown(text: impl Into<String>) -> Done {
    Ok(Outcome { text: text.into(), ..Outcome::default() })
}

const MANY: usize = usize::MAX;

/// Name, usage, fewest and most arguments.
pub const COMMANDS: &[(&str, &str, usize, usize)] = &[
    ("add-dp", "dp [iface...]", 1, MANY),
    ("del-dp", "dp", 1, 1),
    ("add-if", "dp iface...", 2, MANY),
    ("del-if", "dp iface...", 2, MANY),
    ("set-if", "dp iface...", 2, MANY),
    ("dump-dps", "", 0, 0),
    ("show", "[-s] [dp...]", 0, MANY),
    ("dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, 6),
    ("add-flow", "[dp] flow actions", 2, 3),
    ("mod-flow", "[dp] flow actions", 2, 3),
    ("get-flow", "[dp] ufid", 1, 2),
    ("del-flow", "[dp] flow", 1, 2),
    ("add-flows", "[dp] file", 1, 2),
    ("mod-flows", "[dp] file", 1, 2),
    ("del-flows", "[dp] [file]", 0, 2),
    ("offload-stats-show", "[dp]", 0, 1),
    ("dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4),
    ("dump-conntrack-exp", "[dp] [zone=N]", 0, 2),
    ("flush-conntrack", "[dp] [zone=N] [mark=X[/M]] [labels=Y[/N]] [ct-orig-tuple [ct-reply-tuple]]", 0, 6),
    ("cache-get-size", "[dp]", 0, 1),
    ("cache-set-size", "dp cache <size>", 3, 3),
    ("ct-stats-show", "[dp] [zone=N]", 0, 3),
    ("ct-bkts", "[dp] [gt=N]", 0, 2),
    ("ct-set-maxconns", "[dp] maxconns", 1, 2),
    ("ct-get-maxconns", "[dp]", 0, 1),
    ("ct-get-nconns", "[dp]", 0, 1),
    ("ct-enable-tcp-seq-chk", "[dp]", 0, 1),
    ("ct-disable-tcp-seq-chk", "[dp]", 0, 1),
    ("ct-get-tcp-seq-chk", "[dp]", 0, 1),
    ("ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1, MANY),
    ("ct-del-limits", "[dp] [default] [zone=N1[,N2]...]", 1, 3),
    ("ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2),
    ("ct-get-sweep-interval", "[dp]", 0, 1),
    ("ct-set-sweep-interval", "[dp] ms", 1, 2),
    ("ipf-set-enabled", "[dp] v4|v6", 1, 2),
    ("ipf-set-disabled", "[dp] v4|v6", 1, 2),
    ("ipf-set-min-frag", "[dp] v4|v6 minfragment", 2, 3),
    ("ipf-set-max-nfrags", "[dp] maxfrags", 1, 2),
    ("ipf-get-status", "[dp]", 0, 1),
];

/// The lines of a datapath's flows, as `dump-flows` shows them; `style.verbose` as with `-m`.
///
/// # Errors
/// `ENODEV` when the datapath is gone.
pub fn flow_lines(k: &Kernel, filter: Option<&Match>, now: Instant, style: KeyStyle<'_>) -> stdio::Result<String> {
    flows::lines(k, filter, now, style)
}

/// Whether the kernel has a datapath that this process may use.
#[must_use]
pub fn available() -> bool {
    crate::names().is_ok()
}

/// A clock on which what the kernel remembers from before this process has a place, too.
fn long_clock() -> Clock {
    let clock = Clock::real();
    clock.warp(Duration::from_millis(u64::try_from(crate::kernel_millis()).unwrap_or(0)));
    clock
}

/// Type and name of a datapath: `system@ovs-system`, or just a name.
fn parse_name(text: &str) -> (&str, &str) {
    text.split_once('@').unwrap_or(("system", text))
}

/// Opens a datapath by name.
fn open(text: &str) -> stdio::Result<Arc<Kernel>> {
    let (kind, name) = parse_name(text);
    if kind != "system" {
        return Err(rustix::io::Errno::NODEV.into());
    }
    Kernel::open(name, Open::Existing, long_clock())
}

/// The datapath that the first of more than `least` arguments names, or the only one there is; and the other arguments.
fn choose(args: &[String], least: usize) -> Result<(Arc<Kernel>, &[String]), Outcome> {
    if let [first, rest @ ..] = args
        && args.len() > least
        && !first.contains('=')
    {
        return match open(first) {
            Ok(k) => Ok((k, rest)),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {
                failure("datapath not found (Invalid argument)")
            }
            Err(e) => failure(format!("opening datapath {first} failed ({})", strerror(&e))),
        };
    }
    let lost = "datapath not found (Invalid argument)".to_string();
    match crate::names() {
        Ok(names) => match names.as_slice() {
            [] => Err(Outcome { errors: vec!["no datapaths exist".into(), lost], failed: true, ..Outcome::default() }),
            [one] => match open(one) {
                Ok(k) => Ok((k, args)),
                Err(e) => failure(format!("opening datapath {one} failed ({})", strerror(&e))),
            },
            _ => Err(Outcome {
                errors: vec!["multiple datapaths, specify one".into(), lost],
                failed: true,
                ..Outcome::default()
            }),
        },
        Err(e) => failure(format!("opening datapath ({})", strerror(&e))),
    }
}

/// Where an argument that may be a datapath's name comes first among others that have an equals sign.
fn choose_before_options(args: &[String]) -> Result<(Arc<Kernel>, &[String]), Outcome> {
    let named = args.first().is_some_and(|a| !a.contains('='));
    choose(args, if named { 0 } else { MANY })
}

/// Runs a command whose number of arguments is right.
pub fn run(name: &str, args: &[String], o: Options) -> Outcome {
    let done = match name {
        "add-dp" => ports::add_dp(args, o),
        "del-dp" => ports::del_dp(args),
        "add-if" => ports::add_if(args),
        "del-if" => ports::del_if(args),
        "set-if" => ports::set_if(args),
        "dump-dps" => listing::dump_dps(),
        "show" => listing::show(args, o),
        "dump-flows" => flows::dump(args, o),
        "add-flow" => flows::put(args, o, Deed::Add),
        "mod-flow" => flows::put(args, o, Deed::Modify),
        "get-flow" => flows::get(args, o),
        "del-flow" => flows::del(args, o),
        "add-flows" => flows::file(args, o, Deed::Add),
        "mod-flows" => flows::file(args, o, Deed::Modify),
        "del-flows" => flows::del_all(args, o),
        "offload-stats-show" => choose(args, 0).and_then(|_| shown("HW Offload stats:\n")),
        "cache-get-size" => listing::caches(args),
        "cache-set-size" => listing::set_cache(args),
        "dump-conntrack" => conntrack::dump(args, o),
        "flush-conntrack" => conntrack::flush(args),
        "ct-stats-show" => conntrack::stats(args, o),
        "ct-set-limits" => zones::set(args),
        "ct-del-limits" => zones::del(args),
        "ct-get-limits" => zones::get(args),
        other => unsupported(other, args),
    };
    done.unwrap_or_else(|e| e)
}

/// What only the userspace datapath's connection tracking can do.
fn unsupported(name: &str, args: &[String]) -> Done {
    let least = COMMANDS.iter().find(|c| c.0 == name).map_or(0, |c| c.2);
    choose(args, least)?;
    let what = match name {
        "ct-bkts" => return shown("Command is available for UserSpace ConnTracker only.\n"),
        "dump-conntrack-exp" => "starting conntrack expectations dump",
        "ct-get-maxconns" => "maxconns could not be retrieved",
        "ct-get-nconns" => "nconns could not be retrieved",
        "ct-set-maxconns" => "ct set maxconns failed",
        "ct-get-tcp-seq-chk" => "TCP sequence checking query failed",
        "ct-enable-tcp-seq-chk" => "enabling TCP sequence checking failed",
        "ct-disable-tcp-seq-chk" => "disabling TCP sequence checking failed",
        "ct-get-sweep-interval" => "failed to get the sweep interval",
        "ct-set-sweep-interval" => "failed to set the sweep interval",
        "ipf-get-status" => "ipf status could not be retrieved",
        "ipf-set-enabled" => "enabling fragmentation reassembly failed",
        "ipf-set-disabled" => "disabling fragmentation reassembly failed",
        "ipf-set-min-frag" => "requested minimum fragment size too small; see documentation",
        "ipf-set-max-nfrags" => "setting maximum fragments failed",
        _ => "command failed",
    };
    failure(format!("{what} (Operation not supported)"))
}

fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let mut out = String::new();
    if let Some((size, unit)) = UNITS.iter().find(|(size, _)| bytes >= *size) {
        let _ = write!(out, " ({:.1} {unit})", bytes as f64 / *size as f64);
    }
    out
}
