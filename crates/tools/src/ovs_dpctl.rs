//! `ovs-dpctl`: works on datapaths of the kernel, without a daemon (ovs-dpctl(8)).
//!
//! Datapaths that the daemon keeps in its own process are reached by `ovs-appctl dpctl/…`; this tool works on those of the
//! kernel. Where the kernel has none, commands that need one say so, as the original does where the kernel's module is missing.

use datapath::action_text::{format_actions, parse_actions};
use datapath::key_text::NoNames;
use dp_kernel::control::{self, COMMANDS, Options, Outcome};
use io::Invocation;
use io::getopt::{self, Opt, Order, Takes, both, long};
use io::vlog::{self, Level};
use std::process::ExitCode;

#[derive(Clone, Copy)]
enum Option_ {
    Statistics,
    Clear,
    MayCreate,
    /// Nothing is written to a datapath by the commands that only look.
    ReadOnly,
    More,
    Names(bool),
    Timeout,
    Verbose,
    Help,
    Version,
}

const OPTIONS: &[Opt<Option_>] = &[
    both("statistics", 's', Takes::Nothing, Option_::Statistics),
    long("clear", Takes::Nothing, Option_::Clear),
    long("may-create", Takes::Nothing, Option_::MayCreate),
    long("read-only", Takes::Nothing, Option_::ReadOnly),
    both("more", 'm', Takes::Nothing, Option_::More),
    long("names", Takes::Nothing, Option_::Names(true)),
    long("no-names", Takes::Nothing, Option_::Names(false)),
    both("timeout", 't', Takes::Value, Option_::Timeout),
    both("verbose", 'v', Takes::Maybe, Option_::Verbose),
    both("help", 'h', Takes::Nothing, Option_::Help),
    both("version", 'V', Takes::Nothing, Option_::Version),
];

/// What a command needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Looks at all datapaths.
    All,
    /// One datapath, which may be left out where there is only one; the number is that of the arguments without it.
    One(usize),
    /// The datapath that its first argument names.
    Named,
    /// A datapath that its first argument names, or all.
    Some,
}

/// What a command needs that works on datapaths.
fn needs(name: &str) -> Needs {
    match name {
        "add-dp" | "del-dp" | "add-if" | "del-if" | "set-if" | "cache-set-size" => Needs::Named,
        "dump-dps" | "offload-stats-show" | "cache-get-size" => Needs::All,
        "show" => Needs::Some,
        "add-flow" | "mod-flow" | "ipf-set-min-frag" => Needs::One(2),
        "get-flow"
        | "del-flow"
        | "add-flows"
        | "mod-flows"
        | "ct-set-maxconns"
        | "ct-set-limits"
        | "ct-del-limits"
        | "ct-set-sweep-interval"
        | "ipf-set-enabled"
        | "ipf-set-disabled"
        | "ipf-set-max-nfrags" => Needs::One(1),
        _ => Needs::One(0),
    }
}

/// Name, usage, fewest and most arguments of the commands that need no datapath.
const BUILTIN: &[(&str, &str, usize, usize)] = &[
    ("help", "", 0, MANY),
    ("list-commands", "", 0, MANY),
    ("parse-actions", "actions", 1, MANY),
    ("normalize-actions", "actions", 2, MANY),
];

fn commands() -> impl Iterator<Item = &'static (&'static str, &'static str, usize, usize)> {
    COMMANDS.iter().chain(BUILTIN)
}

/// Commands that change something.
const CHANGING: &[&str] = &[
    "add-dp",
    "del-dp",
    "add-if",
    "del-if",
    "set-if",
    "add-flow",
    "mod-flow",
    "del-flow",
    "add-flows",
    "mod-flows",
    "del-flows",
    "flush-conntrack",
    "cache-set-size",
    "ct-set-limits",
    "ct-del-limits",
    "ct-set-maxconns",
];

const MANY: usize = usize::MAX;

const HELP: &str = "\
ovs-dpctl: works on datapaths of the kernel
usage: ovs-dpctl [OPTIONS] COMMAND [ARG...]
Datapaths of the switch daemon's own are reached by
  ovs-appctl dpctl/COMMAND [ARG...]
'ovs-dpctl list-commands' lists the commands.
Options:
  -s, --statistics        show counters of ports and of flows
  -m, --more              show all that there is to flows
  --names, --no-names     show ports by name or by number
  --may-create            make what is to be changed and is not there
  --clear                 zero the counters of a flow that is changed
  --read-only             take commands that only look
  -t, --timeout=SECS      give up after SECS seconds
  -v, --verbose[=SPEC]    set logging levels
  -h, --help              print this text
  -V, --version           print the version of ovs-dpctl
";

/// Runs the tool.
pub fn main(invocation: &Invocation) -> ExitCode {
    vlog::init(&invocation.name, Level::Info);
    let (mut options, mut timeout) = (Options::default(), None);
    let parsed = match getopt::parse(&invocation.args, OPTIONS, Order::OptionsFirst) {
        Ok(p) => p,
        Err(e) => return invocation.fail(e),
    };
    for (option, value) in parsed.options {
        let value = value.unwrap_or_default();
        match option {
            Option_::Statistics => options.statistics = true,
            Option_::Clear => options.clear = true,
            Option_::MayCreate => options.may_create = true,
            Option_::ReadOnly => options.read_only = true,
            Option_::More => options.more = true,
            Option_::Names(wanted) => options.names = Some(wanted),
            Option_::Timeout => match value.parse::<u32>() {
                Ok(seconds) if seconds > 0 => timeout = Some(seconds),
                _ => return invocation.fail(format!("value {value} on -t or --timeout is invalid")),
            },
            Option_::Verbose => {
                if let Err(e) = vlog::set(&value) {
                    return invocation.fail(e);
                }
            }
            Option_::Help => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            Option_::Version => {
                print!("{}", invocation.version_text());
                return ExitCode::SUCCESS;
            }
        }
    }
    if let Some(seconds) = timeout {
        give_up_after(invocation.name.clone(), seconds);
    }
    let outcome = run(&parsed.rest, options);
    print!("{}", outcome.text);
    for line in &outcome.errors {
        eprintln!("{}: {line}", invocation.name);
    }
    if outcome.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Ends the process as the alarm clock does, whatever it waits for.
fn give_up_after(name: String, seconds: u32) {
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(seconds.into()));
        eprintln!("{name}: terminating with signal 14 (SIGALRM)");
        std::process::exit(128 + 14);
    });
}

fn wrong(lines: &[String]) -> Outcome {
    Outcome { errors: lines.to_vec(), failed: true, ..Outcome::default() }
}

fn run(args: &[String], options: Options) -> Outcome {
    let one = |line: String| wrong(&[line]);
    let Some((command, args)) = args.split_first() else {
        return one("missing command name; use --help for help".into());
    };
    let Some((name, _, least, most)) = commands().find(|c| c.0 == command.as_str()) else {
        return one(format!("unknown command '{command}'; use --help for help"));
    };
    if args.len() < *least {
        return one(format!("'{name}' command requires at least {least} arguments"));
    }
    if args.len() > *most {
        return one(format!("'{name}' command takes at most {most} arguments"));
    }
    if BUILTIN.iter().any(|b| b.0 == *name) {
        return builtin(name, args);
    }
    if options.read_only && CHANGING.contains(name) {
        return one(format!("'{name}' command does not work in read only mode"));
    }
    if control::available() { control::run(name, args, options) } else { without_kernel(name, args) }
}

/// What is said where the kernel has no datapaths.
fn without_kernel(name: &str, args: &[String]) -> Outcome {
    let one = |line: String| wrong(&[line]);
    let not_there = |dp: &str| format!("opening datapath {dp} failed (No such file or directory)");
    match needs(name) {
        Needs::Named => one(not_there(&args[0])),
        Needs::Some if !args.is_empty() => wrong(&args.iter().map(|dp| not_there(dp)).collect::<Vec<_>>()),
        Needs::All if !args.is_empty() => one(not_there(&args[0])),
        Needs::All | Needs::Some => one("no datapaths exist".into()),
        Needs::One(n) => match args.first() {
            Some(dp) if args.len() > n && !dp.contains('=') => one(not_there(dp)),
            _ => wrong(&["no datapaths exist".into(), "datapath not found (Invalid argument)".into()]),
        },
    }
}

fn builtin(name: &str, args: &[String]) -> Outcome {
    let mut out = Outcome::default();
    match name {
        "help" => out.text = HELP.into(),
        "list-commands" => {
            let line = |c: &(&str, &str, usize, usize)| format!("  {:<23} {}\n", c.0, c.1);
            out.text = format!("The available commands are:\n{}", commands().map(line).collect::<String>());
        }
        // Normalizing depends on a flow, the first argument, in nothing that this switch changes.
        _ => {
            let texts = if name == "normalize-actions" { &args[1..] } else { args };
            for text in texts {
                let Ok(actions) = parse_actions(text, &NoNames) else {
                    return wrong(&["odp_actions_from_string (Invalid argument)".into()]);
                };
                out.text.push_str(&format_actions(&actions, &NoNames));
                out.text.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &str, expect: Result<&str, &[&str]>) {
        let args: Vec<String> = args.split_whitespace().map(String::from).collect();
        let got = run(&args, Options::default());
        let got = if got.failed { Err(got.errors) } else { Ok(got.text) };
        assert_eq!(got, expect.map(String::from).map_err(|l| l.iter().map(|s| s.to_string()).collect()));
    }

    #[test]
    fn answers() {
        check("", Err(&["missing command name; use --help for help"]));
        check("foo", Err(&["unknown command 'foo'; use --help for help"]));
        check("parse-actions drop", Ok("drop\n"));
        check("normalize-actions 1,2", Err(&["'normalize-actions' command requires at least 2 arguments"]));
        if control::available() {
            return;
        }
        check("show system@x", Err(&["opening datapath system@x failed (No such file or directory)"]));
        check("dump-flows", Err(&["no datapaths exist", "datapath not found (Invalid argument)"]));
        check("add-flow x y", Err(&["no datapaths exist", "datapath not found (Invalid argument)"]));
    }
}
