//! Where a program finds and leaves its files: the environment variables of the original, or its defaults.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// One directory for everything that a program writes, if it was told so on its command line.
static EVERYTHING: OnceLock<PathBuf> = OnceLock::new();

/// From now on all files that the program writes are in `dir`. Has an effect once.
pub fn keep_everything_in(dir: PathBuf) {
    let _ = EVERYTHING.set(dir);
}

fn from_env(var: &str, default: &str) -> PathBuf {
    match env::var_os(var) {
        _ if EVERYTHING.get().is_some() && var != "OVS_PKGDATADIR" => EVERYTHING.get().cloned().unwrap_or_default(),
        Some(v) if !v.is_empty() => PathBuf::from(v),
        _ => PathBuf::from(default),
    }
}

/// Sockets and pidfiles: `$OVS_RUNDIR`, else `/var/run/openvswitch`.
pub fn rundir() -> PathBuf {
    from_env("OVS_RUNDIR", "/var/run/openvswitch")
}

/// Log files: `$OVS_LOGDIR`, else `/var/log/openvswitch`.
pub fn logdir() -> PathBuf {
    from_env("OVS_LOGDIR", "/var/log/openvswitch")
}

/// Configuration that an administrator edits: `$OVS_SYSCONFDIR`, else `/etc`.
pub fn sysconfdir() -> PathBuf {
    from_env("OVS_SYSCONFDIR", "/etc")
}

/// Databases: `$OVS_DBDIR`, else `openvswitch` in [`sysconfdir`].
pub fn dbdir() -> PathBuf {
    if let Some(dir) = EVERYTHING.get() {
        return dir.clone();
    }
    match env::var_os("OVS_DBDIR") {
        Some(v) if !v.is_empty() => PathBuf::from(v),
        _ => sysconfdir().join("openvswitch"),
    }
}

/// Schemas and other read-only data: `$OVS_PKGDATADIR`, else `/usr/share/openvswitch`.
pub fn pkgdatadir() -> PathBuf {
    from_env("OVS_PKGDATADIR", "/usr/share/openvswitch")
}

/// The database file of the switch: `conf.db` in [`dbdir`].
pub fn default_db() -> PathBuf {
    dbdir().join("conf.db")
}

/// The remote that every tool talks to unless told otherwise: `unix:` and `db.sock` in [`rundir`].
pub fn default_remote() -> String {
    format!("unix:{}", rundir().join("db.sock").display())
}

/// `file`, taken relative to `dir` unless it is absolute.
pub fn abs(dir: &Path, file: &str) -> PathBuf {
    dir.join(file)
}
