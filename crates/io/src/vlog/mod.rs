//! Logging: modules, levels, three destinations, patterns and rate limits, as ovs-appctl(8) `vlog/*` controls them.
//!
//! The levels are atomics, so that a message that is not wanted costs one load.

mod modules;
mod pattern;

pub use modules::Module;

use clock::WallTime;
use modules::NAMES;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How important a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// As a threshold: nothing is logged.
    Off,
    /// The process can't go on.
    Emer,
    /// Something failed that someone should look at.
    Err,
    /// Something is wrong and work goes on.
    Warn,
    /// Worth knowing in normal running.
    Info,
    /// For whoever looks for a fault.
    Dbg,
}

impl Level {
    const ALL: [Level; 6] = [Level::Off, Level::Emer, Level::Err, Level::Warn, Level::Info, Level::Dbg];

    /// The level's name in capitals, as log lines show it.
    pub fn name(self) -> &'static str {
        ["OFF", "EMER", "ERR", "WARN", "INFO", "DBG"][self as usize]
    }

    fn parse(s: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|l| l.name().eq_ignore_ascii_case(s))
    }

    /// The priority number of syslog (RFC 5424 §6.2.1).
    fn syslog_severity(self) -> u8 {
        [7, 1, 3, 4, 6, 7][self as usize]
    }
}

/// Where messages go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Destination {
    /// Standard error.
    Console,
    /// The system log.
    Syslog,
    /// The log file.
    File,
}

impl Destination {
    const ALL: [Destination; 3] = [Destination::Console, Destination::Syslog, Destination::File];

    fn name(self) -> &'static str {
        ["console", "syslog", "file"][self as usize]
    }

    fn parse(s: &str) -> Option<Destination> {
        Destination::ALL.into_iter().find(|d| d.name().eq_ignore_ascii_case(s))
    }
}

const N: usize = NAMES.len();
/// Threshold of each module at each destination, as `Level`.
static LEVELS: [[AtomicU8; N]; 3] = [const { [const { AtomicU8::new(Level::Info as u8) }; N] }; 3];
/// The least important level that any destination of the module wants.
static MAX: [AtomicU8; N] = [const { AtomicU8::new(Level::Info as u8) }; N];
static SEQUENCE: AtomicU64 = AtomicU64::new(0);

struct Sink {
    program: String,
    started: Option<Instant>,
    file: Option<(PathBuf, File)>,
    syslog: SyslogMethod,
    syslog_socket: Option<UnixDatagram>,
    facility: u8,
    patterns: [String; 3],
}

enum SyslogMethod {
    Unix(PathBuf),
    Udp(String),
    Null,
}

static SINK: Mutex<Option<Sink>> = Mutex::new(None);

fn sink() -> MutexGuard<'static, Option<Sink>> {
    // A panic while logging must not silence the log.
    SINK.lock().unwrap_or_else(|e| e.into_inner())
}

const DAEMON_FACILITY: u8 = 3;

impl Sink {
    fn new(program: &str) -> Sink {
        let method = std::env::var("OVS_SYSLOG_METHOD").unwrap_or_default();
        Sink {
            program: program.to_string(),
            started: Some(Instant::now()),
            file: None,
            syslog: parse_syslog_method(&method).unwrap_or_else(|_| SyslogMethod::Unix("/dev/log".into())),
            syslog_socket: None,
            facility: DAEMON_FACILITY,
            patterns: [
                "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m".into(),
                "ovs|%05N|%c%T|%p|%m".into(),
                "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m".into(),
            ],
        }
    }

    fn syslog(&mut self, level: Level, text: &str) {
        let line = format!("<{}>{}: {text}", self.facility * 8 + level.syslog_severity(), self.program);
        match &self.syslog {
            SyslogMethod::Null => {}
            SyslogMethod::Udp(to) => {
                if let Ok(s) = std::net::UdpSocket::bind("0.0.0.0:0") {
                    let _ = s.send_to(line.as_bytes(), to);
                }
            }
            SyslogMethod::Unix(path) => {
                if self.syslog_socket.is_none() {
                    self.syslog_socket = UnixDatagram::unbound().ok().filter(|s| {
                        let _ = s.set_nonblocking(true);
                        s.connect(path).is_ok()
                    });
                }
                if let Some(s) = &self.syslog_socket
                    && s.send(line.as_bytes()).is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock)
                {
                    self.syslog_socket = None;
                }
            }
        }
    }
}

fn parse_syslog_method(s: &str) -> Result<SyslogMethod, String> {
    match s {
        "" | "libc" => Ok(SyslogMethod::Unix("/dev/log".into())),
        "null" => Ok(SyslogMethod::Null),
        _ => {
            if let Some(p) = s.strip_prefix("unix:") {
                Ok(SyslogMethod::Unix(p.into()))
            } else if let Some(a) = s.strip_prefix("udp:") {
                Ok(SyslogMethod::Udp(a.into()))
            } else {
                Err(format!("unsupported syslog method '{s}': use libc, null, unix:FILE or udp:IP:PORT"))
            }
        }
    }
}

/// Names the program and sets how much of the log goes to the console.
pub fn init(program: &str, console: Level) {
    *sink() = Some(Sink::new(program));
    set_levels(None, Some(Destination::Console), console);
}

/// Chooses where system-log messages go (`--syslog-method`).
pub fn set_syslog_method(method: &str) -> Result<(), String> {
    let m = parse_syslog_method(method)?;
    if let Some(s) = sink().as_mut() {
        s.syslog = m;
        s.syslog_socket = None;
    }
    Ok(())
}

/// Sets thresholds: of one module or all, at one destination or all.
pub fn set_levels(module: Option<Module>, destination: Option<Destination>, level: Level) {
    for (d, row) in LEVELS.iter().enumerate() {
        if destination.is_some_and(|want| want as usize != d) {
            continue;
        }
        for (m, l) in row.iter().enumerate() {
            if module.is_none_or(|want| want as usize == m) {
                l.store(level as u8, Ordering::Relaxed);
            }
        }
    }
    // Without a file, what the file would want costs nothing.
    let has_file = sink().as_ref().is_some_and(|s| s.file.is_some());
    update_max(has_file);
}

fn update_max(has_file: bool) {
    for (m, max) in MAX.iter().enumerate() {
        let level = |d: Destination| LEVELS[d as usize][m].load(Ordering::Relaxed);
        let file = if has_file { level(Destination::File) } else { 0 };
        max.store(level(Destination::Console).max(level(Destination::Syslog)).max(file), Ordering::Relaxed);
    }
}

/// Obeys a specification as `-v` and `vlog/set` take it: words for module, destination and level in any order,
/// or `PATTERN:DESTINATION:PATTERN`, or `FACILITY:NAME`.
pub fn set(spec: &str) -> Result<(), String> {
    if let Some(rest) = strip_prefix_ignoring_case(spec, "PATTERN:") {
        let Some((dest, pattern)) = rest.split_once(':') else {
            return Err("missing pattern".into());
        };
        return set_pattern(dest, pattern);
    }
    if let Some(facility) = strip_prefix_ignoring_case(spec, "FACILITY:") {
        let Some(f) = FACILITIES.iter().find(|(n, _)| n.eq_ignore_ascii_case(facility)) else {
            return Err("invalid facility".into());
        };
        if let Some(s) = sink().as_mut() {
            s.facility = f.1;
        }
        return Ok(());
    }
    let (mut module, mut destination, mut level) = (None, None, None);
    for word in spec.split([' ', ':', ',', '\t', '\n', '\r']).filter(|w| !w.is_empty()) {
        if word.eq_ignore_ascii_case("ANY") {
            continue;
        } else if let Some(d) = Destination::parse(word) {
            if destination.replace(d).is_some() {
                return Err("cannot specify multiple destinations".into());
            }
        } else if let Some(l) = Level::parse(word) {
            if level.replace(l).is_some() {
                return Err("cannot specify multiple levels".into());
            }
        } else if let Some(m) = Module::parse(word) {
            if module.replace(m).is_some() {
                return Err("cannot specify multiple modules".into());
            }
        } else {
            return Err(format!("no destination, level, or module \"{word}\""));
        }
    }
    set_levels(module, destination, level.unwrap_or(Level::Dbg));
    Ok(())
}

fn strip_prefix_ignoring_case<'a>(s: &'a str, prefix: &str) -> Option<&'a str> {
    let head = s.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &s[prefix.len()..])
}

/// Facility names and numbers of syslog (RFC 5424 §6.2.1).
const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("clock", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("ntp", 12),
    ("audit", 13),
    ("alert", 14),
    ("clock2", 15),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

fn set_pattern(dest: &str, pattern: &str) -> Result<(), String> {
    let which: Vec<Destination> = if dest.eq_ignore_ascii_case("ANY") {
        Destination::ALL.to_vec()
    } else {
        vec![Destination::parse(dest).ok_or_else(|| format!("unknown destination \"{dest}\""))?]
    };
    if let Some(s) = sink().as_mut() {
        for d in which {
            s.patterns[d as usize] = pattern.to_string();
        }
    }
    Ok(())
}

/// Opens (or creates) the log file and appends to it from now on.
pub fn open_file(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    if let Some(s) = sink().as_mut() {
        s.file = Some((path.to_path_buf(), file));
    }
    update_max(true);
    log(Module::Vlog, Level::Info, format_args!("opened log file {}", path.display()));
    Ok(())
}

/// Opens the log file anew, for log rotation. The error is the text for whoever asked.
pub fn reopen_file() -> Result<(), String> {
    let path = match sink().as_ref().and_then(|s| s.file.as_ref()) {
        Some((p, _)) => p.clone(),
        None => return Err("Logging to file not configured".into()),
    };
    log(Module::Vlog, Level::Info, format_args!("closing log file"));
    open_file(&path).map_err(|e| crate::program::strerror(&e))
}

/// Closes the log file.
pub fn close_file() {
    if let Some(s) = sink().as_mut() {
        s.file = None;
    }
    update_max(false);
}

/// Whether anybody wants a message of this module and level.
pub fn enabled(module: Module, level: Level) -> bool {
    level as u8 <= MAX[module as usize].load(Ordering::Relaxed)
}

/// Name of the threads that do for the main thread what would keep it waiting; they speak in its name.
const WORKER: &str = "tokio-rt-worker";

/// Logs a message; use the macros.
pub fn log(module: Module, level: Level, message: fmt::Arguments<'_>) {
    if !enabled(module, level) {
        return;
    }
    let number = SEQUENCE.fetch_add(1, Ordering::Relaxed) + 1;
    let message = message.to_string();
    let thread = std::thread::current();
    let thread = thread.name().filter(|n| *n != "main" && *n != WORKER).unwrap_or("").to_string();
    let mut guard = sink();
    let s = guard.get_or_insert_with(|| Sink::new("ferrovs"));
    for d in Destination::ALL {
        if level as u8 > LEVELS[d as usize][module as usize].load(Ordering::Relaxed) {
            continue;
        }
        let facts = pattern::Facts {
            program: &s.program,
            module: module.name(),
            level,
            message: &message,
            number,
            thread: &thread,
            time: WallTime::now(),
            elapsed: s.started.map_or(Duration::ZERO, |t| t.elapsed()),
        };
        match d {
            Destination::Console => {
                let line = pattern::expand(&s.patterns[d as usize], &facts);
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
            Destination::File => {
                if let Some((_, f)) = &mut s.file {
                    let line = pattern::expand(&s.patterns[d as usize], &facts) + "\n";
                    let _ = f.write_all(line.as_bytes());
                }
            }
            Destination::Syslog => {
                let line = pattern::expand(&s.patterns[d as usize], &facts);
                s.syslog(level, &line);
            }
        }
    }
}

/// What `vlog/list` prints.
pub fn list() -> String {
    let mut out =
        String::from("                 console    syslog    file\n                 -------    ------    ------\n");
    let mut order: Vec<usize> = (0..N).collect();
    order.sort_by_key(|&m| NAMES[m]);
    for m in order {
        let l = |d: Destination| Level::ALL[LEVELS[d as usize][m].load(Ordering::Relaxed) as usize].name();
        out.push_str(&format!(
            "{:<16}  {:>4}       {:>4}       {:>4}\n",
            NAMES[m],
            l(Destination::Console),
            l(Destination::Syslog),
            l(Destination::File)
        ));
    }
    out
}

/// What `vlog/list` prints, as JSON: the levels of each module by destination.
pub fn list_json() -> serde_json::Value {
    let level = |m: usize, d: Destination| Level::ALL[LEVELS[d as usize][m].load(Ordering::Relaxed) as usize].name();
    let one = |m: usize| {
        let (console, syslog) = (level(m, Destination::Console), level(m, Destination::Syslog));
        let levels = [("console", console), ("syslog", syslog), ("file", level(m, Destination::File))];
        let levels = levels.map(|(name, level)| (name.to_string(), level.trim().into()));
        (NAMES[m].to_string(), serde_json::Value::Object(levels.into_iter().collect()))
    };
    serde_json::Value::Object((0..N).map(one).collect())
}

/// What `vlog/list-pattern` prints, as JSON: the pattern of each destination.
pub fn patterns_json() -> serde_json::Value {
    let guard = sink();
    let empty = Sink::new("ferrovs");
    let patterns = &guard.as_ref().unwrap_or(&empty).patterns;
    let of = |d: Destination| patterns[d as usize].to_string();
    serde_json::json!({"console": of(Destination::Console), "syslog": of(Destination::Syslog), "file": of(Destination::File)})
}

/// What `vlog/list-pattern` prints.
pub fn list_pattern() -> String {
    let guard = sink();
    let empty = Sink::new("ferrovs");
    let s = guard.as_ref().unwrap_or(&empty);
    let p = |d: Destination| &s.patterns[d as usize];
    format!(
        "         prefix                            format\n         ------                            ------\n\
         SYSLOG   <%B> %D{{%h %e %T}} %E %A:          {}\n\
         CONSOLE  none                              {}\n\
         FILE     none                              {}\n",
        p(Destination::Syslog),
        p(Destination::Console),
        p(Destination::File)
    )
}

/// A token bucket for messages that a peer or a packet can cause.
#[derive(Debug)]
pub struct RateLimit {
    state: Mutex<RateState>,
    per_minute: u32,
    burst: u32,
}

#[derive(Debug)]
struct RateState {
    tokens: f64,
    last: Option<Instant>,
    dropped: u64,
}

static RATE_LIMITS_OFF: [AtomicU8; N] = [const { AtomicU8::new(0) }; N];

/// Turns the rate limits of a module, or of all, on or off (`vlog/enable-rate-limit`, `vlog/disable-rate-limit`).
pub fn set_rate_limit(module: Option<Module>, on: bool) {
    for (m, flag) in RATE_LIMITS_OFF.iter().enumerate() {
        if module.is_none_or(|want| want as usize == m) {
            flag.store(u8::from(!on), Ordering::Relaxed);
        }
    }
}

impl RateLimit {
    /// At most `per_minute` messages in the long run and `burst` at once.
    pub const fn new(per_minute: u32, burst: u32) -> Self {
        RateLimit { state: Mutex::new(RateState { tokens: 0.0, last: None, dropped: 0 }), per_minute, burst }
    }

    /// Whether a message may pass; if so, how many were dropped since the last that passed.
    pub fn pass(&self, module: Module) -> Option<u64> {
        if RATE_LIMITS_OFF[module as usize].load(Ordering::Relaxed) != 0 {
            return Some(0);
        }
        let mut s = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let now = Instant::now();
        s.tokens = match s.last {
            None => f64::from(self.burst),
            Some(last) => {
                let earned = now.duration_since(last).as_secs_f64() * f64::from(self.per_minute) / 60.0;
                (s.tokens + earned).min(f64::from(self.burst))
            }
        };
        s.last = Some(now);
        if s.tokens < 1.0 {
            s.dropped += 1;
            return None;
        }
        s.tokens -= 1.0;
        Some(std::mem::take(&mut s.dropped))
    }
}

/// Logs at a level: `vlog!(Module::Bridge, Level::Info, "…{}", x)`.
#[macro_export]
macro_rules! vlog {
    ($module:expr, $level:expr, $($arg:tt)+) => {{
        let (module, level) = ($module, $level);
        if $crate::vlog::enabled(module, level) {
            $crate::vlog::log(module, level, format_args!($($arg)+));
        }
    }};
}

/// Logs an error.
#[macro_export]
macro_rules! vlog_err { ($module:expr, $($arg:tt)+) => { $crate::vlog!($module, $crate::vlog::Level::Err, $($arg)+) }; }
/// Logs a warning.
#[macro_export]
macro_rules! vlog_warn { ($module:expr, $($arg:tt)+) => { $crate::vlog!($module, $crate::vlog::Level::Warn, $($arg)+) }; }
/// Logs what is worth knowing.
#[macro_export]
macro_rules! vlog_info { ($module:expr, $($arg:tt)+) => { $crate::vlog!($module, $crate::vlog::Level::Info, $($arg)+) }; }
/// Logs for fault finding.
#[macro_export]
macro_rules! vlog_dbg { ($module:expr, $($arg:tt)+) => { $crate::vlog!($module, $crate::vlog::Level::Dbg, $($arg)+) }; }

/// Logs at a level at most as often as the message's own limit (per minute, burst) allows:
/// `vlog_rl!((20, 20), Module::Ofproto, Level::Warn, "…")`.
#[macro_export]
macro_rules! vlog_rl {
    (($rate:expr, $burst:expr), $module:expr, $level:expr, $($arg:tt)+) => {{
        static LIMIT: $crate::vlog::RateLimit = $crate::vlog::RateLimit::new($rate, $burst);
        let (module, level) = ($module, $level);
        if $crate::vlog::enabled(module, level)
            && let Some(dropped) = LIMIT.pass(module)
        {
            if dropped > 0 {
                $crate::vlog::log(module, level, format_args!("Dropped {dropped} log messages due to excessive rate"));
            }
            $crate::vlog::log(module, level, format_args!($($arg)+));
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: &str, expect: Result<(), &str>) {
        assert_eq!(set(spec), expect.map_err(String::from), "{spec}");
    }

    #[test]
    fn specifications() {
        check("bridge:file:dbg", Ok(()));
        check("ANY:syslog:off", Ok(()));
        check("console off", Ok(()));
        check("PATTERN:console:%m", Ok(()));
        check("FACILITY:local3", Ok(()));
        check("FACILITY:nope", Err("invalid facility"));
        check("foo", Err("no destination, level, or module \"foo\""));
        check("bridge:bar", Err("no destination, level, or module \"bar\""));
        check("dbg:info", Err("cannot specify multiple levels"));
        check("PATTERN:nope:x", Err("unknown destination \"nope\""));
        assert!(!enabled(Module::Bridge, Level::Dbg), "without a file the file's level does not count");
    }

    #[test]
    fn a_limit_drops_and_tells() {
        let l = RateLimit::new(1, 2);
        assert_eq!(l.pass(Module::Vlog), Some(0));
        assert_eq!(l.pass(Module::Vlog), Some(0));
        assert_eq!(l.pass(Module::Vlog), None);
    }
}
