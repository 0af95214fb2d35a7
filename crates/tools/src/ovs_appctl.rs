//! `ovs-appctl`: runs a command in a daemon through its control socket (ovs-appctl(8)).

use io::daemon::{self, DaemonOpt};
use io::getopt::{self, Opt, Order, Takes, both, long};
use io::program::{self, strerror};
use io::unixctl::Client;
use io::vlog::{self, Level};
use io::{Invocation, dirs};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Clone, Copy)]
enum Option_ {
    Target,
    Timeout,
    Format,
    Pretty,
    Logging(DaemonOpt),
    Help,
    Version,
}

const OPTIONS: &[Opt<Option_>] = &[
    both("target", 't', Takes::Value, Option_::Target),
    both("timeout", 'T', Takes::Value, Option_::Timeout),
    both("format", 'f', Takes::Value, Option_::Format),
    long("pretty", Takes::Nothing, Option_::Pretty),
    both("verbose", 'v', Takes::Maybe, Option_::Logging(DaemonOpt::Verbose)),
    long("log-file", Takes::Maybe, Option_::Logging(DaemonOpt::LogFile)),
    long("syslog-method", Takes::Value, Option_::Logging(DaemonOpt::SyslogMethod)),
    long("syslog-target", Takes::Value, Option_::Logging(DaemonOpt::SyslogTarget)),
    both("help", 'h', Takes::Nothing, Option_::Help),
    both("version", 'V', Takes::Nothing, Option_::Version),
];

const HELP: &str = "\
ovs-appctl: runs commands in a running Open vSwitch daemon
usage: ovs-appctl [TARGET] COMMAND [ARG...]
Targets:
  -t, --target=TARGET  name of a daemon, or its pidfile or control socket
                       (default: ovs-vswitchd)
Common commands:
  list-commands      list the commands that the target has
  version            print the target's version
  vlog/list          print the logging levels
  vlog/list-pattern  print the logging patterns of each destination
  vlog/set [SPEC]    set logging levels: module, destination (syslog, console,
                     file) and level (off, emer, err, warn, info, dbg)
  vlog/reopen        make the target open its log file anew
Other options:
  -T, --timeout=SECS   give up after SECS seconds
  -f, --format=FMT     'text' or 'json' (default: text)
      --pretty         with --format=json, indent the output
  -v, --verbose[=SPEC] set logging levels
      --log-file[=FILE], --syslog-method=METHOD, --syslog-target=HOST:PORT
                       log to a file, or by syslog
  -h, --help           print this text
  -V, --version        print the version of ovs-appctl
";

/// Exit code when the daemon answered with an error.
const SERVER_ERROR: u8 = 2;

struct Settings {
    target: String,
    json: bool,
    pretty: bool,
}

/// Runs the tool.
pub fn main(invocation: &Invocation) -> ExitCode {
    vlog::init(&invocation.name, Level::Off);
    let parsed = match getopt::parse(&invocation.args, OPTIONS, Order::OptionsFirst) {
        Ok(p) => p,
        Err(e) => return invocation.fail(e),
    };
    let mut settings = Settings { target: "ovs-vswitchd".into(), json: false, pretty: false };
    let mut timeout = None;
    let mut logging = daemon::Settings::default();
    for (option, value) in parsed.options {
        if let Option_::Logging(option) = option {
            if let Err(e) = logging.obey(option, value) {
                return invocation.fail(e);
            }
            continue;
        }
        let value = value.unwrap_or_default();
        match option {
            Option_::Target => settings.target = value,
            Option_::Timeout => timeout = Some(value),
            Option_::Pretty => settings.pretty = true,
            Option_::Format => match value.to_ascii_lowercase().as_str() {
                "json" => settings.json = true,
                "text" => settings.json = false,
                _ => return invocation.fail(format!("value {value} on -f or --format is invalid")),
            },
            Option_::Logging(_) => {}
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
    if let Err(e) = logging.open_log(&invocation.name) {
        return invocation.fail(e);
    }
    if settings.pretty && !settings.json {
        return invocation.fail("--pretty is supported with --format json only");
    }
    match program::timeout_seconds(timeout.as_deref()) {
        Ok(Some(seconds)) => program::start_timeout(&invocation.name, seconds),
        Ok(None) => {}
        Err(e) => return invocation.fail(e),
    }
    let Some((command, args)) = parsed.rest.split_first() else {
        return invocation.fail("at least one non-option argument is required (use --help for help)");
    };
    let answer = call(&settings, command, args);
    match answer {
        Ok(Ok(result)) => {
            print_value(&result, &settings);
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            // Errors are for people in either format.
            settings.json = false;
            eprint!("{}", text_of(&error, &settings));
            eprintln!("{}: {}: server returned an error", invocation.name, settings.target);
            ExitCode::from(SERVER_ERROR)
        }
        Err(e) => invocation.fail(e),
    }
}

/// The control socket of a target: a path as it is, a daemon's name by way of its pidfile.
pub fn socket_of(target: &str) -> Result<PathBuf, String> {
    if target.starts_with('/') {
        return Ok(target.into());
    }
    let pidfile = dirs::rundir().join(format!("{target}.pid"));
    let pid =
        daemon::read_pidfile(&pidfile).map_err(|e| format!("cannot read pidfile \"{}\" ({e})", pidfile.display()))?;
    Ok(dirs::rundir().join(format!("{target}.{pid}.ctl")))
}

fn call(settings: &Settings, command: &str, args: &[String]) -> Result<Result<Value, Value>, String> {
    let path = socket_of(&settings.target)?;
    let mut client = Client::connect(&path, None)
        .map_err(|e| format!("cannot connect to \"{}\" ({})", path.display(), strerror(&e)))?;
    let lost = |e: std::io::Error| format!("{}: transaction error ({})", settings.target, strerror(&e));
    if settings.json {
        let reply = client.call("set-options", &["--format".into(), "json".into()]).map_err(lost)?;
        if let Err(e) = reply {
            return Ok(Err(e));
        }
    }
    client.call(command, args).map_err(lost)
}

fn print_value(value: &Value, settings: &Settings) {
    print!("{}", text_of(value, settings));
}

/// An answer as it is printed, with a newline at its end unless it is empty.
fn text_of(value: &Value, settings: &Settings) -> String {
    let mut text = match value {
        Value::String(s) if !settings.json => s.clone(),
        v if settings.pretty => crate::table::pretty_json(v),
        v => v.to_string(),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(value: Value, json: bool, pretty: bool, expect: &str) {
        assert_eq!(text_of(&value, &Settings { target: String::new(), json, pretty }), expect);
    }

    #[test]
    fn answers() {
        check(json!("a"), false, false, "a\n");
        check(json!("a\n"), false, false, "a\n");
        check(json!(""), false, false, "");
        check(json!({"b": 1, "a": []}), true, false, "{\"a\":[],\"b\":1}\n");
        check(json!({"b": 1}), true, true, "{\n  \"b\": 1}\n");
    }

    #[test]
    fn targets() {
        assert_eq!(socket_of("/a/b.ctl"), Ok("/a/b.ctl".into()));
        let e = socket_of("no-such-daemon").unwrap_err();
        assert!(e.starts_with("cannot read pidfile \"") && e.contains("no-such-daemon.pid"), "{e}");
    }
}
