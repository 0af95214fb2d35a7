//! Where a program finds and leaves its files: the environment variables of the original, or its defaults.

use std::env;
use std::path::{Path, PathBuf};

fn from_env(var: &str, default: &str) -> PathBuf {
    match env::var_os(var) {
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
