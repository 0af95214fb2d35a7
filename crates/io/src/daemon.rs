//! Daemonizing: `--detach`, `--monitor`, `--pidfile`, `--no-chdir`, `--user`, log options, signals and a clean end.
//!
//! Order matters. [`Daemon::start`] forks and must run before any thread exists, so before the runtime; the caller then
//! opens its sockets and calls [`Daemon::ready`], at which point a detached parent exits with success.

use crate::getopt::{Opt, Takes, both, long};
use crate::program::{Invocation, strerror};
use crate::vlog::{self, Destination, Level, Module};
use crate::{dirs, vlog_err, vlog_info, vlog_warn};
use rustix::fd::{AsFd, OwnedFd};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// An option of [`OPTIONS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DaemonOpt {
    /// `--detach`
    Detach,
    /// `--no-self-confinement`
    NoSelfConfinement,
    /// `--no-chdir`
    NoChdir,
    /// `--pidfile[=FILE]`
    Pidfile,
    /// `--overwrite-pidfile`
    OverwritePidfile,
    /// `--monitor`
    Monitor,
    /// `--user=USER[:GROUP]`
    User,
    /// `-v[SPEC]`, `--verbose[=SPEC]`
    Verbose,
    /// `--log-file[=FILE]`
    LogFile,
    /// `--log-file-mode`, obeyed as the umask that the file is made with
    SyslogMethod,
    /// `--syslog-target=HOST:PORT`
    SyslogTarget,
    /// `--unixctl=SOCKET`
    Unixctl,
    /// `-h`, `--help`
    Help,
    /// `-V`, `--version`
    Version,
}

/// The options that every daemon takes; a program wraps them into its own option type with [`options`].
pub const OPTIONS: &[Opt<DaemonOpt>] = &[
    long("detach", Takes::Nothing, DaemonOpt::Detach),
    long("no-self-confinement", Takes::Nothing, DaemonOpt::NoSelfConfinement),
    long("no-chdir", Takes::Nothing, DaemonOpt::NoChdir),
    long("pidfile", Takes::Maybe, DaemonOpt::Pidfile),
    long("overwrite-pidfile", Takes::Nothing, DaemonOpt::OverwritePidfile),
    long("monitor", Takes::Nothing, DaemonOpt::Monitor),
    long("user", Takes::Value, DaemonOpt::User),
    both("verbose", 'v', Takes::Maybe, DaemonOpt::Verbose),
    long("log-file", Takes::Maybe, DaemonOpt::LogFile),
    long("syslog-method", Takes::Value, DaemonOpt::SyslogMethod),
    long("syslog-target", Takes::Value, DaemonOpt::SyslogTarget),
    long("unixctl", Takes::Value, DaemonOpt::Unixctl),
    both("help", 'h', Takes::Nothing, DaemonOpt::Help),
    both("version", 'V', Takes::Nothing, DaemonOpt::Version),
];

/// [`OPTIONS`] as options of a program whose own type is `T`.
pub fn options<T>(wrap: fn(DaemonOpt) -> T) -> Vec<Opt<T>> {
    OPTIONS.iter().map(|o| Opt { long: o.long, short: o.short, takes: o.takes, id: wrap(o.id) }).collect()
}

/// The part of a `--help` text that [`OPTIONS`] account for.
pub fn help(program: &str) -> String {
    let pidfile = dirs::rundir().join(format!("{program}.pid"));
    let log = dirs::logdir().join(format!("{program}.log"));
    format!(
        "\nDaemon options:\n  \
         --detach                run in background as daemon\n  \
         --monitor               creates a process to monitor this daemon\n  \
         --user=username[:group] changes the effective daemon user:group\n  \
         --no-chdir              do not chdir to '/'\n  \
         --pidfile[=FILE]        create pidfile (default: {})\n  \
         --overwrite-pidfile     with --pidfile, start even if already running\n\
         {}\
         \nOther options:\n  \
         --unixctl=SOCKET        override default control socket name\n  \
         -h, --help              display this help message\n  \
         -V, --version           display version information\n",
        pidfile.display(),
        logging_help(&log),
    )
}

/// The part of a `--help` text about logging.
pub fn logging_help(log: &Path) -> String {
    format!(
        "\nLogging options:\n  \
         -vSPEC, --verbose=SPEC   set logging levels\n  \
         -v, --verbose            set maximum verbosity level\n  \
         --log-file[=FILE]        enable logging to specified FILE\n                           (default: {})\n  \
         --syslog-method=(libc|unix:file|udp:ip:port)\n                           specify how to send messages to syslog daemon\n  \
         --syslog-target=HOST:PORT  also send syslog msgs to HOST:PORT via UDP\n",
        log.display()
    )
}

/// What a daemon was told about how to run.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    detach: bool,
    no_chdir: bool,
    pidfile: Option<Option<String>>,
    overwrite_pidfile: bool,
    monitor: bool,
    user: Option<String>,
    log_file: Option<Option<String>>,
    /// `--unixctl`, if given.
    pub unixctl: Option<PathBuf>,
    /// `--help` was given: print it and end.
    pub help: bool,
    /// `--version` was given: print it and end.
    pub version: bool,
}

impl Settings {
    /// Obeys one option. The error is the text to print after the program's name.
    pub fn obey(&mut self, opt: DaemonOpt, value: Option<String>) -> Result<(), String> {
        match opt {
            DaemonOpt::Detach => self.detach = true,
            DaemonOpt::NoSelfConfinement => {}
            DaemonOpt::NoChdir => self.no_chdir = true,
            DaemonOpt::Pidfile => self.pidfile = Some(value),
            DaemonOpt::OverwritePidfile => self.overwrite_pidfile = true,
            DaemonOpt::Monitor => self.monitor = true,
            DaemonOpt::User => self.user = value,
            DaemonOpt::Verbose => match value {
                None => vlog::set_levels(None, None, Level::Dbg),
                Some(spec) => vlog::set(&spec).map_err(|e| format!("processing \"{spec}\": {e}"))?,
            },
            DaemonOpt::LogFile => self.log_file = Some(value),
            DaemonOpt::SyslogMethod => vlog::set_syslog_method(value.as_deref().unwrap_or(""))?,
            DaemonOpt::SyslogTarget => vlog::set_syslog_method(&format!("udp:{}", value.unwrap_or_default()))?,
            DaemonOpt::Unixctl => self.unixctl = value.map(PathBuf::from),
            DaemonOpt::Help => self.help = true,
            DaemonOpt::Version => self.version = true,
        }
        Ok(())
    }

    /// Opens the log file, if one was asked for; a tool without a daemon's life may call it too.
    pub fn open_log(&self, program: &str) -> Result<(), String> {
        if let Some(name) = &self.log_file {
            let default = format!("{program}.log");
            let path = dirs::abs(&dirs::logdir(), name.as_deref().unwrap_or(&default));
            vlog::open_file(&path)
                .map_err(|e| format!("failed to open {} for logging: {}", path.display(), strerror(&e)))?;
        }
        Ok(())
    }
}

/// A daemon on its way up, or running.
#[derive(Debug)]
pub struct Daemon {
    program: String,
    pidfile: Option<PathBuf>,
    /// Held open for its lock.
    _pidfile_lock: Option<File>,
    notify: Option<OwnedFd>,
    detached: bool,
    no_chdir: bool,
    keeps_stdout: bool,
    keeps_stderr: bool,
}

/// How [`Daemon::start`] went on.
pub enum Started {
    /// This process is the daemon.
    Daemon(Daemon),
    /// This process is done: the daemon lives in another one, or failed.
    Parent(ExitCode),
}

impl Daemon {
    /// Opens the log file, detaches, writes the pidfile. Must be called while the process has one thread.
    pub fn start(invocation: &Invocation, settings: &Settings) -> Result<Started, String> {
        let program = invocation.name.clone();
        settings.open_log(&program)?;
        if let Some(user) = &settings.user {
            become_user(user)?;
        }
        let pidfile = settings.pidfile.as_ref().map(|name| {
            let default = format!("{program}.pid");
            dirs::abs(&dirs::rundir(), name.as_deref().unwrap_or(&default))
        });
        if let (Some(path), false) = (&pidfile, settings.overwrite_pidfile)
            && let Some(pid) = pidfile_owner(path)
        {
            return Err(format!("{}: already running as pid {pid}, aborting", path.display()));
        }
        let mut notify = None;
        if settings.detach {
            match fork_and_wait()? {
                Side::Parent(code) => return Ok(Started::Parent(code)),
                Side::Child(fd) => notify = Some(fd),
            }
            let _ = rustix::process::setsid();
        }
        if settings.monitor {
            match monitor(&mut notify)? {
                MonitorSide::Done(code) => return Ok(Started::Parent(code)),
                MonitorSide::Child => {}
            }
        }
        let lock = match &pidfile {
            Some(path) => Some(write_pidfile(path)?),
            None => None,
        };
        Ok(Started::Daemon(Daemon {
            program,
            pidfile,
            _pidfile_lock: lock,
            notify,
            detached: settings.detach,
            no_chdir: settings.no_chdir,
            keeps_stdout: false,
            keeps_stderr: false,
        }))
    }

    /// The daemon serves: lets the parent of a detached daemon exit, leaves the terminal and the directory.
    pub fn ready(&mut self) {
        if let Some(fd) = self.notify.take() {
            let _ = rustix::io::write(&fd, b"0");
        }
        if self.detached {
            vlog::set_levels(None, Some(Destination::Console), Level::Off);
            if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
                let _ = rustix::stdio::dup2_stdin(&null);
                if !self.keeps_stdout {
                    let _ = rustix::stdio::dup2_stdout(&null);
                }
                if !self.keeps_stderr {
                    let _ = rustix::stdio::dup2_stderr(&null);
                }
            }
            if !self.no_chdir {
                let _ = rustix::process::chdir("/");
            }
        }
    }

    /// Leaves standard output open when detached, for a program whose output is the point of running it.
    pub fn keep_stdout(&mut self) {
        self.keeps_stdout = true;
    }

    /// Like [`Daemon::keep_stdout`], for standard error.
    pub fn keep_stderr(&mut self) {
        self.keeps_stderr = true;
    }

    /// The name it was started under.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Removes the files that say that the daemon runs.
    pub fn cleanup(&mut self) {
        // One that another process has put in its place (`--overwrite-pidfile`) is that process's.
        if let Some(p) = self.pidfile.take().filter(|p| read_pidfile(p) == Ok(std::process::id())) {
            let _ = std::fs::remove_file(p);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.cleanup();
    }
}

enum Side {
    Parent(ExitCode),
    Child(OwnedFd),
}

/// Forks; the parent waits until the child writes a byte (success) or ends (failure).
fn fork_and_wait() -> Result<Side, String> {
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| format!("pipe failed: {e}"))?;
    match fork()? {
        None => {
            drop(read);
            Ok(Side::Child(write))
        }
        Some(pid) => {
            drop(write);
            let mut byte = [0; 1];
            let started = matches!(File::from(read).read(&mut byte), Ok(1));
            if started {
                return Ok(Side::Parent(ExitCode::SUCCESS));
            }
            // The child has said on standard error why.
            let status = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            let code = match status {
                Ok(Some((_, s))) => s.exit_status().unwrap_or(1).clamp(0, 255) as u8,
                _ => 1,
            };
            Ok(Side::Parent(ExitCode::from(if code == 0 { 1 } else { code })))
        }
    }
}

fn fork() -> Result<Option<rustix::process::Pid>, String> {
    // SAFETY: fork(2) is unsafe because another thread may hold a lock that the child then never sees released. This runs
    // before the program starts any thread (see the module's documentation), so no other thread exists.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => Ok(None),
        p if p > 0 => Ok(rustix::process::Pid::from_raw(p)),
        _ => Err(format!("fork failed: {}", strerror(&io::Error::last_os_error()))),
    }
}

enum MonitorSide {
    Done(ExitCode),
    Child,
}

/// A signal in the words of strsignal(3).
fn signal_words(signal: i32) -> String {
    let words = match signal {
        libc::SIGHUP => "Hangup",
        libc::SIGINT => "Interrupt",
        libc::SIGILL => "Illegal instruction",
        libc::SIGABRT => "Aborted",
        libc::SIGBUS => "Bus error",
        libc::SIGFPE => "Floating point exception",
        libc::SIGKILL => "Killed",
        libc::SIGSEGV => "Segmentation fault",
        libc::SIGPIPE => "Broken pipe",
        libc::SIGALRM => "Alarm clock",
        libc::SIGTERM => "Terminated",
        libc::SIGXCPU => "CPU time limit exceeded",
        libc::SIGXFSZ => "File size limit exceeded",
        other => return format!("signal {other}"),
    };
    words.into()
}

/// Keeps a daemon alive: forks it and forks it again whenever a signal that tells of a programming error killed it.
fn monitor(notify: &mut Option<OwnedFd>) -> Result<MonitorSide, String> {
    let mut first = true;
    loop {
        match fork()? {
            None => return Ok(MonitorSide::Child),
            Some(pid) => {
                // Only the first child tells the parent that it serves; later ones have nobody to tell.
                if first {
                    *notify = None;
                    first = false;
                }
                let status = loop {
                    match rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()) {
                        Ok(Some((_, s))) => break s,
                        Err(rustix::io::Errno::INTR) | Ok(None) => {}
                        Err(e) => return Err(format!("waitpid failed: {e}")),
                    }
                };
                match status.terminating_signal() {
                    Some(s) if RESTART_SIGNALS.contains(&s) => {
                        vlog_err!(
                            Module::DaemonUnix,
                            "pid {} died, killed ({}), restarting",
                            pid.as_raw_nonzero(),
                            signal_words(s)
                        );
                        std::thread::sleep(std::time::Duration::from_millis(500));
                    }
                    Some(s) => {
                        vlog_info!(
                            Module::DaemonUnix,
                            "pid {} died, killed ({}), exiting",
                            pid.as_raw_nonzero(),
                            signal_words(s)
                        );
                        return Ok(MonitorSide::Done(ExitCode::SUCCESS));
                    }
                    None => {
                        let code = status.exit_status().unwrap_or(1);
                        vlog_info!(
                            Module::DaemonUnix,
                            "pid {} died, exit status {code}, exiting",
                            pid.as_raw_nonzero()
                        );
                        return Ok(MonitorSide::Done(ExitCode::from(code.clamp(0, 255) as u8)));
                    }
                }
            }
        }
    }
}

/// Signals after which a monitored daemon is started again.
const RESTART_SIGNALS: &[i32] = &[
    libc::SIGABRT,
    libc::SIGALRM,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGPIPE,
    libc::SIGSEGV,
    libc::SIGXCPU,
    libc::SIGXFSZ,
];

fn become_user(spec: &str) -> Result<(), String> {
    let (user, group) = match spec.split_once(':') {
        Some((u, g)) => (u, Some(g)),
        None => (spec, None),
    };
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(|e| format!("/etc/passwd: {}", strerror(&e)))?;
    let lookup = |text: &str, name: &str, column: usize| -> Option<u32> {
        text.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f[0] == name)?.get(column)?.parse().ok()
    };
    let (user, uid) = match user {
        // Only the group changes.
        "" => ("", Some(rustix::process::getuid().as_raw())),
        name => (name, lookup(&passwd, name, 2)),
    };
    let uid = uid.ok_or_else(|| format!("user \"{user}\" not found, aborting."))?;
    let gid = match group {
        None | Some("") => lookup(&passwd, user, 3),
        Some(g) => {
            let groups = std::fs::read_to_string("/etc/group").map_err(|e| format!("/etc/group: {}", strerror(&e)))?;
            lookup(&groups, g, 2)
        }
    }
    .ok_or_else(|| format!("group of \"{spec}\" not found, aborting."))?;
    let os = |what: &str, r: libc::c_int| {
        if r == 0 { Ok(()) } else { Err(format!("{what} failed: {}", strerror(&io::Error::last_os_error()))) }
    };
    // SAFETY: plain system calls on integers; the pointer given to setgroups points to one gid_t and the count says so.
    unsafe {
        os("setgroups", libc::setgroups(1, &gid))?;
        os("setgid", libc::setgid(gid))?;
        os("setuid", libc::setuid(uid))
    }
}

fn file_lock() -> libc::flock {
    libc::flock { l_type: libc::F_WRLCK as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

/// The process that holds the pidfile's lock, if any.
pub fn pidfile_owner(path: &Path) -> Option<i32> {
    use std::os::fd::AsRawFd;
    let file = File::options().read(true).write(true).open(path).ok()?;
    let mut lock = file_lock();
    // SAFETY: F_GETLK reads and writes the one flock that the pointer points to, which lives until after the call.
    let r = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GETLK, &mut lock) };
    (r == 0 && lock.l_type != libc::F_UNLCK as i16).then_some(lock.l_pid)
}

/// Writes and locks a pidfile. The lock lasts as long as the file is open.
///
/// # Errors
/// The text to print after the program's name.
pub fn write_pidfile(path: &Path) -> Result<File, String> {
    use std::os::fd::AsRawFd;
    // Scripts know the name of the temporary file from the message.
    let fail = |e: io::Error| format!("{}.tmp: create failed ({})", path.display(), strerror(&e));
    let mut new = path.as_os_str().to_owned();
    new.push(".tmp");
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&new).map_err(fail)?;
    let lock = file_lock();
    // SAFETY: F_SETLK reads the one flock that the pointer points to, which lives until after the call.
    let r = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_SETLK, &lock) };
    if r != 0 {
        return Err(format!("{}: fcntl(F_SETLK) failed ({})", path.display(), strerror(&io::Error::last_os_error())));
    }
    file.set_len(0).map_err(fail)?;
    file.rewind().map_err(fail)?;
    writeln!(file, "{}", std::process::id()).map_err(fail)?;
    // The file of a process that is to be replaced stays locked; its name is free.
    std::fs::rename(&new, path).map_err(fail)?;
    Ok(file)
}

/// Reads a pidfile: the process it names.
///
/// # Errors
/// The reason in words that follow the file's name.
pub fn read_pidfile(path: &Path) -> Result<u32, String> {
    let text = std::fs::read_to_string(path).map_err(|e| strerror(&e))?;
    text.trim().parse().map_err(|_| "does not hold a process id".to_string())
}

/// A signal that ends the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Termination {
    /// SIGTERM
    Term,
    /// SIGINT, from Ctrl-C
    Interrupt,
    /// SIGHUP
    Hangup,
}

/// Waits for a signal that ends the process, and logs it.
pub async fn terminated() -> Termination {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int), Ok(mut hup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        vlog_warn!(Module::FatalSignal, "cannot wait for signals; only \"exit\" on the control socket ends cleanly");
        return std::future::pending().await;
    };
    let t = tokio::select! {
        _ = term.recv() => Termination::Term,
        _ = int.recv() => Termination::Interrupt,
        _ = hup.recv() => Termination::Hangup,
    };
    let (number, name) = match t {
        Termination::Term => (libc::SIGTERM, "Terminated"),
        Termination::Interrupt => (libc::SIGINT, "Interrupt"),
        Termination::Hangup => (libc::SIGHUP, "Hangup"),
    };
    vlog_warn!(Module::FatalSignal, "terminating with signal {number} ({name})");
    t
}
