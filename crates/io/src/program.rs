//! One program of the multi-call executable: its name, its arguments, how it ends with an error.

use std::process::ExitCode;

/// The release of the original whose interfaces this project speaks.
pub const COMPATIBLE_VERSION: &str = "4.0.0";

/// This project's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How a program was called.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The name it answers to, such as `ovs-vsctl`.
    pub name: String,
    /// Its arguments, without the name.
    pub args: Vec<String>,
}

impl Invocation {
    /// Prints `NAME: MESSAGE` on standard error; for `return invocation.fail(…)`.
    pub fn fail(&self, message: impl std::fmt::Display) -> ExitCode {
        fatal(&self.name, message)
    }

    /// What `--version` prints: the line that scripts know.
    pub fn version_text(&self) -> String {
        format!("{} (Open vSwitch) {COMPATIBLE_VERSION}\n", self.name)
    }

    /// The whole command line on one line, for logs.
    pub fn command_line(&self) -> String {
        let mut s = self.name.clone();
        for a in &self.args {
            s.push(' ');
            s.push_str(a);
        }
        s
    }
}

/// Prints `NAME: MESSAGE` on standard error and gives exit code 1.
pub fn fatal(name: &str, message: impl std::fmt::Display) -> ExitCode {
    eprintln!("{name}: {message}");
    ExitCode::FAILURE
}

/// An operating-system error in the words of strerror(3), without the number that Rust appends.
pub fn strerror(e: &std::io::Error) -> String {
    let s = e.to_string();
    match s.find(" (os error ") {
        Some(end) => s[..end].to_string(),
        None => s,
    }
}

/// Ends the process the way SIGALRM does once `seconds` have passed: `--timeout` of the tools.
pub fn start_timeout(name: &str, seconds: u64) {
    let name = name.to_string();
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(seconds));
        eprintln!("{name}: no answer within {seconds} seconds, giving up: terminating with signal 14 (Alarm clock)");
        // SAFETY: signal(2) and raise(2) take integers only; SIG_DFL for SIGALRM ends the process, which is the purpose.
        unsafe {
            libc::signal(libc::SIGALRM, libc::SIG_DFL);
            libc::raise(libc::SIGALRM);
        }
    });
}

/// The timeout that a tool was given with `--timeout`, else that of `OVS_CTL_TIMEOUT`; 0 means none.
///
/// # Errors
/// What to print if a value is no number of seconds.
pub fn timeout_seconds(option: Option<&str>) -> Result<Option<u64>, String> {
    let parse = |s: &str| s.parse::<u64>().ok().filter(|&n| n > 0 && n <= u64::from(u32::MAX));
    match (option, std::env::var("OVS_CTL_TIMEOUT")) {
        (Some(s), _) => match parse(s) {
            Some(n) => Ok(Some(n)),
            None => Err(format!("value {s} on -T or --timeout is invalid")),
        },
        (None, Ok(s)) => Ok(parse(&s)),
        (None, Err(_)) => Ok(None),
    }
}

/// Keeps the whole process in memory, now and in future (`--mlockall`).
///
/// # Errors
/// The reason, if the system refuses.
pub fn lock_memory() -> Result<(), String> {
    // SAFETY: mlockall(2) takes flags only.
    match unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } {
        0 => Ok(()),
        _ => Err(format!("mlockall failed: {}", strerror(&std::io::Error::last_os_error()))),
    }
}

/// Makes large pieces of memory go back to the kernel when they are freed, whatever the program did before: by default the
/// allocator learns to keep pieces of the sizes that it has seen.
pub fn keep_no_large_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: numbers; the call changes nothing but the allocator's settings.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 4 << 20);
    }
}

/// Gives memory that is free back to the kernel.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number and concerns memory that nobody uses.
    unsafe {
        libc::malloc_trim(0);
    }
}
