//! What a program of ferrovs shares with the outside: streams, control sockets, daemonizing, logging, command lines.
//!
//! The one crate besides `netdev` and the datapaths that talks to the kernel. Daemons run one tokio current-thread
//! runtime each ([`run`]); anything that can block is given to a thread of its own.

pub mod coverage;
pub mod daemon;
pub mod dirs;
pub mod getopt;
pub mod program;
mod socket;
pub mod stream;
pub mod tls;
pub mod unixctl;
pub mod vlog;

pub use program::{Invocation, fatal};
pub use stream::{Listener, Remote, Stream};

use std::future::Future;

/// Runs `main` to its end on a current-thread runtime in which `tokio::task::spawn_local` works.
///
/// # Errors
/// If the kernel refuses the runtime's file descriptors.
pub fn run<T>(main: impl Future<Output = T>) -> std::io::Result<T> {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let out = local.block_on(&rt, main);
    rt.shutdown_background();
    Ok(out)
}
