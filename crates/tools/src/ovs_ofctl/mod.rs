//! `ovs-ofctl`: administers OpenFlow switches (ovs-ofctl(8)).

mod admin;
mod bulk;
mod client;
mod flow_text;
mod flows;
mod groups;
mod json;
mod json_stats;
mod match_text;
mod offline;
mod packet_text;

pub(crate) use offline::for_each_line;

mod unixctl;
mod watch;

use std::io::IsTerminal;
use std::process::ExitCode;

use flow::text::{Colors, Names, ParseContext, Style};
use io::getopt::{self, Opt, Order, Takes, both, long};
use io::program;
use io::vlog::{self, Level};
use io::{Invocation, daemon};
use openflow::message::PacketInFormat;
use openflow::{Protocols, Version};

use client::Result;

#[derive(Clone, Copy)]
enum Flag {
    Strict,
    Names,
    NoNames,
    Stats,
    NoStats,
    ReadOnly,
    Bundle,
    Protocols,
    FlowFormat,
    PacketInFormat,
    More,
    Timestamp,
    Sort,
    Rsort,
    Pcap,
    Readd,
    MayCreate,
    Color,
    Timeout,
    Verbose,
    LogFile,
    SyslogTarget,
    Unixctl,
    Format,
    Help,
    Version,
    Options,
    Tls(&'static str),
    Daemon(daemon::DaemonOpt),
}

fn options() -> Vec<Opt<Flag>> {
    use Takes::{Maybe, Nothing, Value};
    let mut list = vec![
        long("strict", Nothing, Flag::Strict),
        long("names", Nothing, Flag::Names),
        long("no-names", Nothing, Flag::NoNames),
        long("stats", Nothing, Flag::Stats),
        long("no-stats", Nothing, Flag::NoStats),
        long("read-only", Nothing, Flag::ReadOnly),
        long("bundle", Nothing, Flag::Bundle),
        both("protocols", 'O', Value, Flag::Protocols),
        both("flow-format", 'F', Value, Flag::FlowFormat),
        both("packet-in-format", 'P', Value, Flag::PacketInFormat),
        both("more", 'm', Nothing, Flag::More),
        long("timestamp", Nothing, Flag::Timestamp),
        long("sort", Maybe, Flag::Sort),
        long("rsort", Maybe, Flag::Rsort),
        long("pcap", Value, Flag::Pcap),
        long("readd", Nothing, Flag::Readd),
        long("may-create", Nothing, Flag::MayCreate),
        long("color", Maybe, Flag::Color),
        both("timeout", 't', Value, Flag::Timeout),
        both("verbose", 'v', Maybe, Flag::Verbose),
        long("log-file", Maybe, Flag::LogFile),
        long("syslog-target", Value, Flag::SyslogTarget),
        long("syslog-method", Value, Flag::SyslogTarget),
        both("unixctl", 'u', Value, Flag::Unixctl),
        both("format", 'f', Value, Flag::Format),
        both("help", 'h', Nothing, Flag::Help),
        both("version", 'V', Nothing, Flag::Version),
        both("option", 'o', Nothing, Flag::Options),
        both("private-key", 'p', Value, Flag::Tls("private-key")),
        both("certificate", 'c', Value, Flag::Tls("certificate")),
        both("ca-cert", 'C', Value, Flag::Tls("ca-cert")),
        long("bootstrap-ca-cert", Value, Flag::Tls("bootstrap-ca-cert")),
        long("peer-ca-cert", Value, Flag::Tls("peer-ca-cert")),
        long("ssl-protocols", Value, Flag::Tls("ssl-protocols")),
        long("ssl-ciphers", Value, Flag::Tls("ssl-ciphers")),
        long("ssl-ciphersuites", Value, Flag::Tls("ssl-ciphersuites")),
    ];
    // Daemon options that carry the name of one of ours (logging) are the tool's.
    let known: Vec<&str> = list.iter().map(|o| o.long).collect();
    list.extend(daemon::options(Flag::Daemon).into_iter().filter(|o| !known.contains(&o.long)).map(|mut o| {
        if o.short.is_some() {
            o.short = None;
        }
        o
    }));
    list
}

/// How the tool was called.
pub struct Settings {
    /// Name in error messages.
    pub program: String,
    /// `--strict`.
    pub strict: bool,
    /// `--names` (true), `--no-names` (false), or neither.
    pub names: Option<bool>,
    /// `--no-stats` clears it.
    pub stats: bool,
    /// `--read-only`.
    pub read_only: bool,
    /// `--bundle`.
    pub bundle: bool,
    /// Allowed versions: bit N for version byte N.
    pub versions: u32,
    /// `-F`.
    pub formats: Protocols,
    /// `-P`.
    pub packet_in_format: Option<PacketInFormat>,
    /// Number of `-m`.
    pub verbosity: u32,
    /// `--timestamp`.
    pub timestamp: bool,
    /// `--sort` and `--rsort`: field (`None` priority) and whether descending.
    pub sort: Vec<(Option<flow::Field>, bool)>,
    /// `--readd`.
    pub readd: bool,
    /// `--may-create`.
    pub may_create: bool,
    /// Colours, plain if not wanted.
    pub colors: Colors,
    /// `--format json`.
    pub json: bool,
    /// `--unixctl`.
    pub unixctl: Option<String>,
    /// `--pcap`.
    pub pcap: Option<String>,
    /// Daemon options.
    pub daemon: daemon::Settings,
    /// The daemon that this process is, until the command takes it.
    pub started: std::cell::RefCell<Option<daemon::Daemon>>,
}

impl Settings {
    /// Flow formats that the versions and `-F` allow.
    pub fn protocols(&self) -> Protocols {
        Version::ALL
            .into_iter()
            .filter(|v| self.versions >> v.to_wire() & 1 != 0)
            .fold(Protocols::NONE, |a, v| a.or(Protocols::of_version(v)))
            .and(self.formats)
    }

    /// Whether names may stand for numbers.
    pub fn accepts_names(&self) -> bool {
        self.names.unwrap_or(true)
    }

    /// Whether names are printed.
    pub fn shows_names(&self) -> bool {
        self.names.unwrap_or_else(|| std::io::stdout().is_terminal())
    }

    /// Names that arguments may use.
    pub async fn names_to_accept(&self, switch: &str) -> Result<Option<Names>> {
        if self.accepts_names() { client::fetch_names(self, switch).await.map(Some) } else { Ok(None) }
    }

    /// Names that are printed.
    pub async fn names_to_show(&self, switch: &str) -> Result<Option<Names>> {
        if self.shows_names() { client::fetch_names(self, switch).await.map(Some) } else { Ok(None) }
    }

    /// How to print.
    pub fn style<'a>(&'a self, names: Option<&'a Names>) -> Style<'a> {
        Style { names, colors: &self.colors }
    }
}

/// A command: name, least and most arguments, usage, whether it changes the switch.
struct Command {
    name: &'static str,
    min: usize,
    max: usize,
    usage: &'static str,
    writes: bool,
}

const fn cmd(name: &'static str, min: usize, max: usize, usage: &'static str, writes: bool) -> Command {
    Command { name, min, max, usage, writes }
}

const ANY: usize = usize::MAX;

#[rustfmt::skip]
const COMMANDS: &[Command] = &[
    cmd("show", 1, 1, "switch", false),
    cmd("monitor", 1, 3, "switch [misslen] [invalid_ttl] [watch:[...]]", false),
    cmd("snoop", 1, 1, "switch", false),
    cmd("dump-desc", 1, 1, "switch", false),
    cmd("dump-tables", 1, 1, "switch", false),
    cmd("dump-table-features", 1, 1, "switch", false),
    cmd("dump-table-desc", 1, 1, "switch", false),
    cmd("dump-flows", 1, 2, "switch", false),
    cmd("dump-aggregate", 1, 2, "switch", false),
    cmd("queue-stats", 1, 3, "switch [port [queue]]", false),
    cmd("queue-get-config", 1, 3, "switch [port [queue]]", false),
    cmd("add-flow", 2, 2, "switch flow", true),
    cmd("add-flows", 2, 2, "switch file", true),
    cmd("mod-flows", 2, 2, "switch flow", true),
    cmd("del-flows", 1, 2, "switch [flow]", true),
    cmd("replace-flows", 2, 2, "switch file", true),
    cmd("diff-flows", 2, 2, "source1 source2", false),
    cmd("add-meter", 2, 2, "switch meter", true),
    cmd("mod-meter", 2, 2, "switch meter", true),
    cmd("del-meter", 1, 2, "switch meter", true),
    cmd("del-meters", 1, 2, "switch", true),
    cmd("dump-meter", 1, 2, "switch meter", false),
    cmd("dump-meters", 1, 2, "switch", false),
    cmd("meter-stats", 1, 2, "switch [meter]", false),
    cmd("meter-features", 1, 1, "switch", false),
    cmd("packet-out", 2, ANY, "switch \"in_port=<port> packet=<hex data> actions=...\"", true),
    cmd("dump-ports", 1, 2, "switch [port]", false),
    cmd("dump-ports-desc", 1, 2, "switch [port]", false),
    cmd("mod-port", 3, 3, "switch iface act", true),
    cmd("mod-table", 3, 3, "switch mod", true),
    cmd("get-frags", 1, 1, "switch", false),
    cmd("set-frags", 2, 2, "switch frag_mode", true),
    cmd("probe", 1, 1, "target", false),
    cmd("ping", 1, 2, "target [n]", false),
    cmd("benchmark", 3, 3, "target n count", false),
    cmd("dump-ipfix-bridge", 1, 1, "switch", false),
    cmd("dump-ipfix-flow", 1, 1, "switch", false),
    cmd("ct-flush-zone", 2, 2, "switch zone", true),
    cmd("ct-flush", 1, 6, "switch [zone=N] [mark=X[/M]] [labels=Y[/N]] [ct-orig-tuple [ct-reply-tuple]]", true),
    cmd("ofp-parse", 1, 1, "file", false),
    cmd("ofp-parse-pcap", 1, ANY, "pcap", false),
    cmd("add-group", 1, 2, "switch group", true),
    cmd("add-groups", 1, 2, "switch file", true),
    cmd("mod-group", 1, 2, "switch group", true),
    cmd("del-groups", 1, 2, "switch [group]", true),
    cmd("insert-buckets", 1, 2, "switch [group]", true),
    cmd("remove-buckets", 1, 2, "switch [group]", true),
    cmd("dump-groups", 1, 2, "switch [group]", false),
    cmd("dump-group-stats", 1, 2, "switch [group]", false),
    cmd("dump-group-features", 1, 1, "switch", false),
    cmd("bundle", 2, 2, "switch file", true),
    cmd("add-tlv-map", 2, 2, "switch map", true),
    cmd("del-tlv-map", 1, 2, "switch [map]", true),
    cmd("dump-tlv-map", 1, 1, "switch", false),
    cmd("help", 0, ANY, "", false),
    cmd("list-commands", 0, ANY, "", false),
    cmd("parse-flow", 1, 1, "", false),
    cmd("parse-flows", 1, 1, "", false),
    cmd("parse-group", 1, 1, "", false),
    cmd("parse-nx-match", 0, 0, "", false),
    cmd("parse-nxm", 0, 0, "", false),
    cmd("parse-oxm", 1, 1, "", false),
    cmd("parse-actions", 1, 1, "", false),
    cmd("parse-instructions", 1, 1, "", false),
    cmd("parse-ofp10-match", 0, 0, "", false),
    cmd("parse-ofp11-match", 0, 0, "", false),
    cmd("parse-pcap", 1, ANY, "", false),
    cmd("check-vlan", 2, 2, "", false),
    cmd("print-error", 1, 1, "", false),
    cmd("encode-error-reply", 2, 2, "", false),
    cmd("ofp-print", 1, 2, "", false),
    cmd("encode-hello", 1, 1, "", false),
    cmd("parse-key-value", 1, ANY, "", false),
    cmd("compose-packet", 1, 2, "", false),
    cmd("parse-packet", 0, 0, "", false),
];

const HELP: &str = "\
ovs-ofctl: OpenFlow switch management utility
usage: ovs-ofctl [OPTIONS] COMMAND [ARG...]

Switches: SWITCH is a bridge, a socket, or a connection method (unix:FILE, tcp:HOST[:PORT]).
The commands are listed by `ovs-ofctl list-commands'; ovs-ofctl(8) explains each.

Options:
  --strict                    match flows strictly (mod-flows, del-flows)
  --names, --no-names         take and print names of ports and tables, or do not
  --stats, --no-stats         print statistics of flows, or do not
  --bundle                    change flows and groups in one transaction
  --readd                     replace flows that have not changed (replace-flows)
  --may-create                add a group that is not there (mod-group)
  -F, --flow-format=FORMAT    allow these flow formats only
  -O, --protocols=VERSIONS    allow these OpenFlow versions only
  -P, --packet-in-format=FMT  form of packet-in messages: standard, nxt_packet_in, nxt_packet_in2
  -m, --more                  print more about messages
  --timestamp                 print the time of each message (monitor, snoop)
  --sort[=FIELD], --rsort[=FIELD]  sort flows by a field, ascending or descending
  --color[=auto|always|never] print in colours
  -f, --format=text|json      form of what is printed
  --read-only                 refuse commands that change the switch
  --pcap=FILE                 record packets of packet-ins and packet-outs (monitor, snoop)
  -p, --private-key, -c, --certificate, -C, --ca-cert=FILE  TLS
  -t, --timeout=SECS          give up after SECS seconds
  --unixctl=SOCKET            control socket of monitor and snoop
  -v, --verbose=SPEC          set logging levels
  -h, --help                  print this text
  -V, --version               print the version
";

/// Runs the tool.
pub fn main(invocation: &Invocation) -> ExitCode {
    vlog::init(&invocation.name, Level::Info);
    vlog::set_levels(io::vlog::Module::parse("vconn"), None, Level::Warn);
    let settings = match parse_options(invocation) {
        Ok(Some(s)) => s,
        Ok(None) => return ExitCode::SUCCESS,
        Err(e) => return invocation.fail(e),
    };
    let (settings, rest) = settings;
    let Some((name, args)) = rest.split_first() else {
        return invocation.fail("missing command name; use --help for help");
    };
    let Some(command) = COMMANDS.iter().find(|c| c.name == name) else {
        return invocation.fail(format!("unknown command '{name}'; use --help for help"));
    };
    if args.len() < command.min {
        return invocation.fail(format!("'{name}' command requires at least {} arguments", command.min));
    }
    if args.len() > command.max {
        return invocation.fail(format!("'{name}' command takes at most {} arguments", command.max));
    }
    if command.writes && settings.read_only {
        return invocation.fail(format!("'{name}' command does not work in read only mode"));
    }
    if settings.json && !json::supported(name) {
        return invocation.fail(format!("'{name}' has no JSON form (use --format text)"));
    }
    if name == "monitor" || name == "snoop" {
        match daemon::Daemon::start(invocation, &settings.daemon) {
            Ok(daemon::Started::Daemon(d)) => *settings.started.borrow_mut() = Some(d),
            Ok(daemon::Started::Parent(code)) => return code,
            Err(e) => return invocation.fail(e),
        }
    }
    let result = match offline::run(&settings, name, args) {
        Some(r) => r,
        None => match io::run(online(&settings, name, args)) {
            Ok(r) => r,
            Err(e) => return invocation.fail(program::strerror(&e)),
        },
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(e) => invocation.fail(e),
    }
}

type Parsed = Option<(Settings, Vec<String>)>;

fn parse_options(invocation: &Invocation) -> Result<Parsed> {
    let parsed = getopt::parse(&invocation.args, &options(), Order::Permute)?;
    let mut s = Settings {
        program: invocation.name.clone(),
        strict: false,
        names: None,
        stats: true,
        read_only: false,
        bundle: false,
        versions: 1 << Version::V10.to_wire(),
        formats: Protocols::ANY,
        packet_in_format: None,
        verbosity: 0,
        timestamp: false,
        sort: Vec::new(),
        readd: false,
        may_create: false,
        colors: Colors::plain(),
        json: false,
        unixctl: None,
        pcap: None,
        daemon: daemon::Settings::default(),
        started: std::cell::RefCell::new(None),
    };
    let mut timeout = None;
    let mut tls = io::tls::Settings::default();
    for (flag, value) in parsed.options {
        let text = value.clone().unwrap_or_default();
        match flag {
            Flag::Strict => s.strict = true,
            Flag::Names => s.names = Some(true),
            Flag::NoNames => s.names = Some(false),
            Flag::Stats => s.stats = true,
            Flag::NoStats => s.stats = false,
            Flag::ReadOnly => s.read_only = true,
            Flag::Bundle => s.bundle = true,
            Flag::Protocols => set_versions(&mut s, &text)?,
            Flag::FlowFormat => {
                s.formats = Protocols::from_names(&text).map_err(|e| format!("{e}: unknown flow protocol"))?;
            }
            Flag::PacketInFormat => {
                s.packet_in_format = Some(match text.as_str() {
                    "standard" | "openflow10" => PacketInFormat::Standard,
                    "nxt_packet_in" | "nxm" => PacketInFormat::Nxt,
                    "nxt_packet_in2" => PacketInFormat::Nxt2,
                    _ => return Err(format!("unknown packet-in format `{text}'")),
                });
            }
            Flag::More => s.verbosity += 1,
            Flag::Timestamp => s.timestamp = true,
            Flag::Sort => add_sort(&mut s, value.as_deref(), false)?,
            Flag::Rsort => add_sort(&mut s, value.as_deref(), true)?,
            Flag::Pcap => s.pcap = Some(text),
            Flag::Readd => s.readd = true,
            Flag::MayCreate => s.may_create = true,
            Flag::Color => set_color(&mut s, value.as_deref())?,
            Flag::Timeout => timeout = Some(text),
            Flag::Verbose => match value {
                Some(spec) => vlog::set(&spec)?,
                None => vlog::set_levels(None, None, Level::Dbg),
            },
            Flag::LogFile => {
                let path = value.map_or_else(
                    || io::dirs::logdir().join(format!("{}.log", s.program)),
                    |v| io::dirs::abs(&io::dirs::logdir(), &v),
                );
                vlog::open_file(&path).map_err(|e| format!("{}: {}", path.display(), program::strerror(&e)))?;
            }
            Flag::SyslogTarget => {}
            Flag::Tls(name) => {
                tls.obey(name, value.as_deref());
            }
            Flag::Unixctl => s.unixctl = Some(text),
            Flag::Format => match text.as_str() {
                "json" => s.json = true,
                "text" | "table" => s.json = false,
                _ => return Err(format!("unknown output format \"{text}\" (use text or json)")),
            },
            Flag::Help => {
                print!("{HELP}");
                return Ok(None);
            }
            Flag::Version => {
                println!("{}OpenFlow versions 0x1:0x6", invocation.version_text());
                return Ok(None);
            }
            Flag::Options => {
                for o in options() {
                    println!("--{}", o.long);
                }
                return Ok(None);
            }
            Flag::Daemon(d) => s.daemon.obey(d, value)?,
        }
    }
    io::tls::configure(tls);
    if s.protocols().is_empty() {
        return Err(format!(
            "None of the enabled OpenFlow versions ({}) supports any of the enabled flow formats ({}).  (Use -O to enable \
             additional OpenFlow versions or -F to enable additional flow formats.)",
            Version::ALL
                .iter()
                .filter(|v| s.versions >> v.to_wire() & 1 != 0)
                .map(|v| v.to_string())
                .collect::<Vec<_>>()
                .join(", "),
            s.formats
        ));
    }
    let seconds = program::timeout_seconds(timeout.as_deref()).map_err(|e| e.replace("on -T or", "on -t or"))?;
    if let Some(seconds) = seconds {
        program::start_timeout(&s.program, seconds);
    }
    if !s.sort.is_empty() {
        // Flows of the same rank stand in the order of their priority, highest first.
        s.sort.push((None, true));
    }
    Ok(Some((s, parsed.rest)))
}

/// `-O`: a list of versions.
fn set_versions(s: &mut Settings, text: &str) -> Result<()> {
    let mut versions = 0;
    for name in text.split([',', ' ']).filter(|n| !n.is_empty()) {
        let v = Version::from_name(name).ok_or_else(|| format!("Unknown OpenFlow version: \"{name}\""))?;
        versions |= 1 << v.to_wire();
    }
    // An empty list means all of them.
    s.versions = if versions != 0 { versions } else { Version::ALL.iter().fold(0, |all, v| all | 1 << v.to_wire()) };
    Ok(())
}

fn add_sort(s: &mut Settings, field: Option<&str>, descending: bool) -> Result<()> {
    let field = match field {
        None => None,
        Some(name) if name.eq_ignore_ascii_case("priority") => None,
        Some(name) => {
            let known = openflow::action::subfield::field_from_any_name(name);
            Some(known.ok_or_else(|| format!("{name}: unknown field name"))?)
        }
    };
    s.sort.push((field, descending));
    Ok(())
}

fn set_color(s: &mut Settings, value: Option<&str>) -> Result<()> {
    let on = match value {
        None | Some("auto") => std::io::stdout().is_terminal(),
        Some("always") => true,
        Some("never") => false,
        Some(other) => return Err(format!("incorrect value `{other}'")),
    };
    if on {
        s.colors = Colors::standard(&std::env::var("OVS_COLORS").unwrap_or_default());
    }
    Ok(())
}

async fn online(s: &Settings, name: &str, args: &[String]) -> Result<u8> {
    match name {
        "show" => admin::show(s, &args[0]).await,
        "monitor" => watch::monitor(s, args).await,
        "snoop" => watch::snoop(s, &args[0]).await,
        "dump-flows" => flows::dump_flows(s, args).await,
        "dump-aggregate" => flows::dump_aggregate(s, args).await,
        "add-flow" => flows::change(s, args, openflow::message::FlowModCommand::Add, false).await,
        "add-flows" => flows::change(s, args, openflow::message::FlowModCommand::Add, true).await,
        "mod-flows" => flows::mod_flows(s, args).await,
        "del-flows" => flows::del_flows(s, args).await,
        "replace-flows" => flows::replace_flows(s, args).await,
        "diff-flows" => flows::diff_flows(s, args).await,
        "bundle" => flows::bundle(s, args).await,
        "packet-out" => flows::packet_out(s, args).await,
        n if n.contains("group") || n.contains("bucket") => groups::run(s, n, args).await,
        n if n.contains("meter") => groups::run_meter(s, n, args).await,
        _ => admin::run(s, name, args).await,
    }
}

/// Prints the warnings that parsing gave, as log messages.
pub fn log_warnings(cx: &mut ParseContext<'_>) {
    for w in cx.warnings.drain(..) {
        let level = if w.level == "WARN" {
            Level::Warn
        } else if w.level == "ERR" {
            Level::Err
        } else {
            Level::Info
        };
        let module = io::vlog::Module::parse(w.module).unwrap_or(io::vlog::Module::Ofctl);
        vlog::log(module, level, format_args!("{}", w.text));
    }
}

/// Prints the list of commands.
fn list_commands() {
    println!("The available commands are:");
    for c in COMMANDS {
        println!("  {:<23} {}", c.name, c.usage);
    }
}
