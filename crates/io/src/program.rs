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

    /// What `--version` prints: a first line that scripts know, and our own.
    pub fn version_text(&self) -> String {
        format!("{} (Open vSwitch) {COMPATIBLE_VERSION}\nferrovs {VERSION}\n", self.name)
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
