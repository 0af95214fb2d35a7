//! `ovs-dpctl`: works on datapaths of the kernel, without a daemon (ovs-dpctl(8)).
//!
//! This switch keeps its datapaths in the daemon's own process, where `ovs-appctl dpctl/…` reaches them. No kernel datapath is
//! known here, so that commands that need one say that there is none, as the original does where the kernel's module is missing.

use datapath::action_text::{format_actions, parse_actions};
use datapath::key_text::NoNames;
use io::Invocation;
use io::getopt::{self, Opt, Order, Takes, both, long};
use io::vlog::{self, Level};
use std::process::ExitCode;

#[derive(Clone, Copy)]
enum Option_ {
    /// How a command works that cannot work here.
    Ignored,
    Timeout,
    Verbose,
    Help,
    Version,
}

const OPTIONS: &[Opt<Option_>] = &[
    both("statistics", 's', Takes::Nothing, Option_::Ignored),
    long("clear", Takes::Nothing, Option_::Ignored),
    long("may-create", Takes::Nothing, Option_::Ignored),
    long("read-only", Takes::Nothing, Option_::Ignored),
    both("more", 'm', Takes::Nothing, Option_::Ignored),
    long("names", Takes::Nothing, Option_::Ignored),
    long("no-names", Takes::Nothing, Option_::Ignored),
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
    Nothing,
}

/// Name, usage, fewest and most arguments, what it needs.
const COMMANDS: &[(&str, &str, usize, usize, Needs)] = &[
    ("add-dp", "dp [iface...]", 1, MANY, Needs::Named),
    ("del-dp", "dp", 1, 1, Needs::Named),
    ("add-if", "dp iface...", 2, MANY, Needs::Named),
    ("del-if", "dp iface...", 2, MANY, Needs::Named),
    ("set-if", "dp iface...", 2, MANY, Needs::Named),
    ("dump-dps", "", 0, 0, Needs::All),
    ("show", "[-s] [dp...]", 0, MANY, Needs::Some),
    ("dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, 6, Needs::One(0)),
    ("add-flow", "[dp] flow actions", 2, 3, Needs::One(2)),
    ("mod-flow", "[dp] flow actions", 2, 3, Needs::One(2)),
    ("get-flow", "[dp] ufid", 1, 2, Needs::One(1)),
    ("del-flow", "[dp] flow", 1, 2, Needs::One(1)),
    ("add-flows", "[dp] file", 1, 2, Needs::One(1)),
    ("mod-flows", "[dp] file", 1, 2, Needs::One(1)),
    ("del-flows", "[dp] [file]", 0, 2, Needs::One(0)),
    ("offload-stats-show", "[dp]", 0, 1, Needs::All),
    ("dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4, Needs::One(0)),
    ("dump-conntrack-exp", "[dp] [zone=N]", 0, 2, Needs::One(0)),
    (
        "flush-conntrack",
        "[dp] [zone=N] [mark=X[/M]] [labels=Y[/N]] [ct-orig-tuple [ct-reply-tuple]]",
        0,
        6,
        Needs::One(0),
    ),
    ("cache-get-size", "[dp]", 0, 1, Needs::All),
    ("cache-set-size", "dp cache <size>", 3, 3, Needs::Named),
    ("ct-stats-show", "[dp] [zone=N]", 0, 3, Needs::One(0)),
    ("ct-bkts", "[dp] [gt=N]", 0, 2, Needs::One(0)),
    ("ct-set-maxconns", "[dp] maxconns", 1, 2, Needs::One(1)),
    ("ct-get-maxconns", "[dp]", 0, 1, Needs::One(0)),
    ("ct-get-nconns", "[dp]", 0, 1, Needs::One(0)),
    ("ct-enable-tcp-seq-chk", "[dp]", 0, 1, Needs::One(0)),
    ("ct-disable-tcp-seq-chk", "[dp]", 0, 1, Needs::One(0)),
    ("ct-get-tcp-seq-chk", "[dp]", 0, 1, Needs::One(0)),
    ("ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1, MANY, Needs::One(1)),
    ("ct-del-limits", "[dp] [default] [zone=N1[,N2]...]", 1, 3, Needs::One(1)),
    ("ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2, Needs::One(0)),
    ("ct-get-sweep-interval", "[dp]", 0, 1, Needs::One(0)),
    ("ct-set-sweep-interval", "[dp] ms", 1, 2, Needs::One(1)),
    ("ipf-set-enabled", "[dp] v4|v6", 1, 2, Needs::One(1)),
    ("ipf-set-disabled", "[dp] v4|v6", 1, 2, Needs::One(1)),
    ("ipf-set-min-frag", "[dp] v4|v6 minfragment", 2, 3, Needs::One(2)),
    ("ipf-set-max-nfrags", "[dp] maxfrags", 1, 2, Needs::One(1)),
    ("ipf-get-status", "[dp]", 0, 1, Needs::One(0)),
    ("help", "", 0, MANY, Needs::Nothing),
    ("list-commands", "", 0, MANY, Needs::Nothing),
    ("parse-actions", "actions", 1, MANY, Needs::Nothing),
    ("normalize-actions", "actions", 2, MANY, Needs::Nothing),
];

const MANY: usize = usize::MAX;

const HELP: &str = "\
ovs-dpctl: works on datapaths of the kernel
usage: ovs-dpctl [OPTIONS] COMMAND [ARG...]
No kernel datapath exists here: the switch daemon holds its datapaths itself. Use
  ovs-appctl dpctl/COMMAND [ARG...]
for them. 'ovs-dpctl list-commands' lists the commands.
Options:
  -t, --timeout=SECS      give up after SECS seconds
  -v, --verbose[=SPEC]    set logging levels
  -h, --help              print this text
  -V, --version           print the version of ovs-dpctl
";

/// Runs the tool.
pub fn main(invocation: &Invocation) -> ExitCode {
    vlog::init(&invocation.name, Level::Off);
    let parsed = match getopt::parse(&invocation.args, OPTIONS, Order::OptionsFirst) {
        Ok(p) => p,
        Err(e) => return invocation.fail(e),
    };
    for (option, value) in parsed.options {
        let value = value.unwrap_or_default();
        match option {
            // How listings look; nothing is ever listed.
            Option_::Ignored => {}
            Option_::Timeout => {
                if !value.parse::<u32>().is_ok_and(|n| n > 0) {
                    return invocation.fail(format!("value {value} on -t or --timeout is invalid"));
                }
            }
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
    match run(&parsed.rest) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(lines) => {
            for line in lines {
                eprintln!("{}: {line}", invocation.name);
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<String, Vec<String>> {
    let one = |line: String| Err(vec![line]);
    let Some((command, args)) = args.split_first() else {
        return one("missing command name; use --help for help".into());
    };
    let Some((name, _, least, most, needs)) = COMMANDS.iter().find(|c| c.0 == command.as_str()) else {
        return one(format!("unknown command '{command}'; use --help for help"));
    };
    if args.len() < *least {
        return one(format!("'{name}' command requires at least {least} arguments"));
    }
    if args.len() > *most {
        return one(format!("'{name}' command takes at most {most} arguments"));
    }
    let not_there = |dp: &str| format!("opening datapath {dp} failed (No such file or directory)");
    match needs {
        Needs::Nothing => builtin(name, args),
        Needs::Named => one(not_there(&args[0])),
        Needs::Some if !args.is_empty() => Err(args.iter().map(|dp| not_there(dp)).collect()),
        Needs::All if !args.is_empty() => one(not_there(&args[0])),
        Needs::All | Needs::Some => one("no datapaths exist".into()),
        Needs::One(n) => match args.first() {
            Some(dp) if args.len() > *n && !dp.contains('=') => one(not_there(dp)),
            _ => Err(vec!["no datapaths exist".into(), "datapath not found (Invalid argument)".into()]),
        },
    }
}

fn builtin(name: &str, args: &[String]) -> Result<String, Vec<String>> {
    match name {
        "help" => Ok(HELP.into()),
        "list-commands" => {
            let line = |c: &(&str, &str, usize, usize, Needs)| format!("  {:<23} {}\n", c.0, c.1);
            Ok(format!("The available commands are:\n{}", COMMANDS.iter().map(line).collect::<String>()))
        }
        // Normalizing depends on a flow, the first argument, in nothing that this switch changes.
        _ => {
            let texts = if name == "normalize-actions" { &args[1..] } else { args };
            let mut out = String::new();
            for text in texts {
                let actions = parse_actions(text, &NoNames)
                    .map_err(|_| vec!["odp_actions_from_string (Invalid argument)".to_string()])?;
                out.push_str(&format_actions(&actions, &NoNames));
                out.push('\n');
            }
            Ok(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &str, expect: Result<&str, &[&str]>) {
        let args: Vec<String> = args.split_whitespace().map(String::from).collect();
        let got = run(&args);
        assert_eq!(got, expect.map(String::from).map_err(|l| l.iter().map(|s| s.to_string()).collect()));
    }

    #[test]
    fn answers() {
        check("", Err(&["missing command name; use --help for help"]));
        check("foo", Err(&["unknown command 'foo'; use --help for help"]));
        check("parse-actions drop", Ok("drop\n"));
        check("normalize-actions 1,2", Err(&["'normalize-actions' command requires at least 2 arguments"]));
        check("show system@x", Err(&["opening datapath system@x failed (No such file or directory)"]));
        check("dump-flows", Err(&["no datapaths exist", "datapath not found (Invalid argument)"]));
        check("add-flow x y", Err(&["no datapaths exist", "datapath not found (Invalid argument)"]));
    }
}
