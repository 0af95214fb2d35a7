//! `ovs-testcontroller`: a simple OpenFlow controller for tests (ovs-testcontroller(8)).

use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use io::getopt::{self, Opt, Order, Takes, both, long};
use io::vlog::{self, Level, Module};
use io::{Invocation, Listener, Remote, Stream, daemon, program, unixctl};
use openflow::controller::{Connection, Event, LearningSwitch, Settings as Behaviour};
use openflow::{Message, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Result<T> = std::result::Result<T, String>;

#[derive(Clone, Copy)]
enum Flag {
    Hub,
    NoFlow,
    Normal,
    Wildcards,
    MaxIdle,
    Mute,
    Queue,
    PortQueue,
    WithFlows,
    Protocols,
    Tls(&'static str),
    Daemon(daemon::DaemonOpt),
}

fn options() -> Vec<Opt<Flag>> {
    use Takes::{Maybe, Nothing, Value};
    let mut list = vec![
        both("hub", 'H', Nothing, Flag::Hub),
        both("noflow", 'n', Nothing, Flag::NoFlow),
        both("normal", 'N', Nothing, Flag::Normal),
        both("wildcards", 'w', Maybe, Flag::Wildcards),
        long("max-idle", Value, Flag::MaxIdle),
        long("mute", Nothing, Flag::Mute),
        both("queue", 'q', Value, Flag::Queue),
        both("port-queue", 'Q', Value, Flag::PortQueue),
        long("with-flows", Value, Flag::WithFlows),
        both("protocols", 'O', Value, Flag::Protocols),
        both("private-key", 'p', Value, Flag::Tls("private-key")),
        both("certificate", 'c', Value, Flag::Tls("certificate")),
        both("ca-cert", 'C', Value, Flag::Tls("ca-cert")),
    ];
    for name in ["bootstrap-ca-cert", "peer-ca-cert", "ssl-protocols", "ssl-ciphers", "ssl-ciphersuites"] {
        list.push(long(name, Value, Flag::Tls(name)));
    }
    list.extend(daemon::options(Flag::Daemon));
    list
}

fn help() -> String {
    format!(
        "ovs-testcontroller: simple OpenFlow controller for tests
usage: ovs-testcontroller [OPTIONS] METHOD...
where each METHOD is a way to talk OpenFlow:
  ptcp:[PORT][:IP], pssl:[PORT][:IP], punix:FILE    wait for switches (PORT is 6653 unless given)
  tcp:HOST[:PORT], ssl:HOST[:PORT], unix:FILE       connect to a switch

What it does with switches:
  -H, --hub               flood every packet instead of learning addresses
  -n, --noflow            pass packets on, but set up no flows
  --max-idle=SECS         idle timeout of flows, 60 unless given; `permanent' for none
  -N, --normal            let the switch choose the port (OFPP_NORMAL)
  -w, --wildcards[=MASK]  flows with these wildcards of OpenFlow 1.0 (0x2820f0 unless given)
  -q, --queue=QUEUE       output to this queue
  -Q, --port-queue=PORT:QUEUE  output packets that came in on PORT (a name) to this queue
  --with-flows=FILE       flows for each switch that connects
  --mute                  answer nothing
  -O, --protocols=VERSIONS  OpenFlow versions to speak (all unless given)

TLS:
  -p, --private-key=FILE, -c, --certificate=FILE, -C, --ca-cert=FILE
  --bootstrap-ca-cert=FILE, --peer-ca-cert=FILE, --ssl-protocols=LIST, --ssl-ciphers=LIST, --ssl-ciphersuites=LIST

{}",
        daemon::help("ovs-testcontroller")
    )
}

struct Settings {
    behaviour: Behaviour,
    versions: Vec<Version>,
    daemon: daemon::Settings,
    methods: Vec<Remote>,
}

/// Runs the program.
pub fn main(invocation: &Invocation) -> ExitCode {
    vlog::init(&invocation.name, Level::Info);
    let settings = match parse(invocation) {
        Ok(Some(s)) => s,
        Ok(None) => return ExitCode::SUCCESS,
        Err(e) => return invocation.fail(e),
    };
    if let Err(e) = settings.daemon.open_log(&invocation.name) {
        return invocation.fail(e);
    }
    let daemon = match daemon::Daemon::start(invocation, &settings.daemon) {
        Ok(daemon::Started::Daemon(d)) => d,
        Ok(daemon::Started::Parent(code)) => return code,
        Err(e) => return invocation.fail(e),
    };
    match io::run(serve(settings, daemon)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(e)) => invocation.fail(e),
        Err(e) => invocation.fail(program::strerror(&e)),
    }
}

fn parse(invocation: &Invocation) -> Result<Option<Settings>> {
    let parsed = getopt::parse(&invocation.args, &options(), Order::Permute)?;
    let mut s = Settings {
        behaviour: Behaviour::default(),
        versions: Version::ALL.to_vec(),
        daemon: daemon::Settings::default(),
        methods: Vec::new(),
    };
    let mut tls = io::tls::Settings::default();
    let mut no_flow = false;
    for (flag, value) in parsed.options {
        let text = value.as_deref().unwrap_or("");
        match flag {
            Flag::Hub => s.behaviour.learn = false,
            Flag::NoFlow => no_flow = true,
            Flag::Normal => s.behaviour.normal = true,
            Flag::Wildcards => s.behaviour.wildcards = wildcards(value.as_deref())?,
            Flag::MaxIdle => s.behaviour.max_idle = Some(max_idle(text)?),
            Flag::Mute => s.behaviour.mute = true,
            Flag::Queue => {
                let n = text.parse().map_err(|_| format!("{text}: not a queue number"))?;
                s.behaviour.queue = Some(n);
            }
            Flag::PortQueue => {
                let bad = || format!("{text}: argument to -Q or --port-queue must be port-name:queue-id");
                let (port, queue) = text.split_once(':').ok_or_else(bad)?;
                if s.behaviour.port_queues.contains_key(port) {
                    return Err(format!("{port}: port named twice with -Q or --port-queue"));
                }
                s.behaviour.port_queues.insert(port.to_string(), queue.parse().map_err(|_| bad())?);
            }
            Flag::WithFlows => s.behaviour.flows = flows(text)?,
            Flag::Protocols => s.versions = versions(text)?,
            Flag::Tls(name) => {
                tls.obey(name, value.as_deref());
            }
            Flag::Daemon(d) => s.daemon.obey(d, value)?,
        }
    }
    if s.daemon.help {
        print!("{}", help());
        return Ok(None);
    }
    if s.daemon.version {
        println!("{}OpenFlow versions 0x1:0x6", invocation.version_text());
        return Ok(None);
    }
    if no_flow {
        s.behaviour.max_idle = None;
    }
    if s.behaviour.queue.is_some() || !s.behaviour.port_queues.is_empty() {
        // A queue is one of a port that was chosen.
        s.behaviour.normal = false;
    }
    if !s.behaviour.port_queues.is_empty() {
        s.behaviour.learn = true;
    }
    if parsed.rest.is_empty() {
        return Err("at least one vconn argument required; use --help for usage".to_string());
    }
    io::tls::configure(tls);
    for name in &parsed.rest {
        s.methods.push(Remote::parse(name, io::stream::OPENFLOW_PORT)?);
    }
    Ok(Some(s))
}

/// Fields that a flow leaves out: hexadecimal bits of OpenFlow 1.0.
fn wildcards(text: Option<&str>) -> Result<u32> {
    let Some(text) = text else { return Ok(0x0028_20f0) };
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u32::from_str_radix(digits, 16).map_err(|_| format!("{text}: wildcards are a hexadecimal number"))
}

fn max_idle(text: &str) -> Result<u16> {
    if text == "permanent" {
        return Ok(0);
    }
    match text.parse() {
        Ok(n @ 1..=65535) => Ok(n),
        _ => Err("--max-idle argument must be between 1 and 65535 or the word 'permanent'".to_string()),
    }
}

fn versions(text: &str) -> Result<Vec<Version>> {
    text.split([',', ' '])
        .filter(|n| !n.is_empty())
        .map(|n| Version::from_name(n).ok_or_else(|| format!("Unknown OpenFlow version: \"{n}\"")))
        .collect()
}

fn flows(file: &str) -> Result<Vec<openflow::message::FlowMod>> {
    let mut out = Vec::new();
    let mut cx = flow::text::ParseContext::new(None);
    crate::ovs_ofctl::for_each_line(file, |line| {
        let (fm, _) = openflow::text::parse_flow_line(&mut cx, line, openflow::message::FlowModCommand::Add, true)?;
        out.push(fm);
        Ok(())
    })?;
    Ok(out)
}

async fn serve(s: Settings, mut daemon: daemon::Daemon) -> Result<()> {
    let s = Rc::new(s);
    let started = Instant::now();
    let mut listening = 0;
    for method in &s.methods {
        if method.is_passive() {
            let listener =
                Listener::bind(method).await.map_err(|e| format!("{method}: listen: {}", program::strerror(&e)))?;
            if let Some(port) = listener.port() {
                vlog::log(Module::VconnStream, Level::Info, format_args!("{method}: listening on port {port}"));
            }
            tokio::task::spawn_local(accept(s.clone(), listener, started));
        } else {
            tokio::task::spawn_local(connect(s.clone(), method.clone(), started));
        }
        listening += 1;
    }
    if listening == 0 {
        return Err("no active or passive switch connections".to_string());
    }
    let path = match &s.daemon.unixctl {
        Some(p) => p.clone(),
        None => unixctl::default_path(daemon.program()),
    };
    let (exit, mut exited) = tokio::sync::mpsc::unbounded_channel();
    let mut commands = unixctl::Commands::new(daemon.program());
    commands.add("exit", "", 0, 0, move |_| {
        let _ = exit.send(());
        Ok(unixctl::Output::from(""))
    });
    if let Some(listener) = unixctl::bind(&path).await? {
        tokio::task::spawn_local(unixctl::serve(listener, Rc::new(commands)));
    }
    daemon.ready();
    tokio::select! {
        _ = exited.recv() => {}
        _ = daemon::terminated() => {}
    }
    daemon.cleanup();
    Ok(())
}

async fn accept(s: Rc<Settings>, mut listener: Listener, started: Instant) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                tokio::task::spawn_local(talk(s.clone(), stream, started));
            }
            Err(e) => {
                let e = program::strerror(&e);
                vlog::log(Module::Vconn, Level::Warn, format_args!("{}: accept ({e})", listener.remote));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// An active connection is made again when it ends.
async fn connect(s: Rc<Settings>, remote: Remote, started: Instant) {
    let mut pause = 1;
    loop {
        match Stream::connect(&remote).await {
            Ok(stream) => {
                pause = 1;
                talk(s.clone(), stream, started).await;
            }
            Err(e) => {
                let e = program::strerror(&e);
                vlog::log(Module::Rconn, Level::Warn, format_args!("{remote}: connection failed ({e})"));
            }
        }
        tokio::time::sleep(Duration::from_secs(pause)).await;
        pause = (pause * 2).min(8);
    }
}

async fn talk(s: Rc<Settings>, mut stream: Stream, started: Instant) {
    let mut connection = Connection::new(&s.versions);
    let mut switch = LearningSwitch::new(s.behaviour.clone());
    let mut buf = vec![0u8; 65536];
    let why = loop {
        let out = connection.output();
        let quiet = s.behaviour.mute && connection.version().is_some();
        if !quiet
            && !out.is_empty()
            && let Err(e) = stream.write_all(&out).await
        {
            break program::strerror(&e);
        }
        let n = match stream.read(&mut buf).await {
            Ok(0) => return,
            Ok(n) => n,
            Err(e) => break program::strerror(&e),
        };
        let events = match connection.input(&buf[..n]) {
            Ok(events) => events,
            Err(e) => {
                let _ = stream.write_all(&connection.output()).await;
                break e.to_string();
            }
        };
        for event in events {
            let replies = match event {
                Event::Ready { version, features } => switch.ready(version, &features.ports),
                Event::Message { message: Message::Error(e), .. } => {
                    let e = e.error.map_or("(unknown)", openflow::Error::symbol);
                    vlog::log(Module::Vconn, Level::Info, format_args!("{}: error reply {e}", stream.name));
                    Vec::new()
                }
                Event::Message { message, .. } => switch.input(&message, started.elapsed().as_secs()),
                Event::Unreadable { error, .. } => {
                    vlog::log(Module::Vconn, Level::Warn, format_args!("{}: bad message ({error})", stream.name));
                    Vec::new()
                }
            };
            for m in &replies {
                connection.send(m);
            }
        }
    };
    vlog::log(Module::Vconn, Level::Warn, format_args!("{}: connection dropped ({why})", stream.name));
}
