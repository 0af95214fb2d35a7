//! Database and switch in one process.

use io::unixctl;
use io::{Remote, daemon, dirs};
use ovsdb_data::DatabaseSchema;
use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use vswitchd::app::Dummy;

/// The schema that a new database gets.
const SCHEMA: &str = include_str!("../../../schema/vswitch.ovsschema");

/// The names under which control commands reach the two halves.
const SWITCH: &str = "ovs-vswitchd";
const DATABASE: &str = "ovsdb-server";

/// What keeps the files that tools look for in place; they go when it is dropped.
pub struct Files {
    pidfiles: Vec<(PathBuf, File)>,
}

impl Drop for Files {
    fn drop(&mut self) {
        for (path, _) in &self.pidfiles {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Makes the directories, the database if there is none, and the pidfiles.
///
/// # Errors
/// One line that says what is in the way.
pub fn prepare() -> Result<Files, String> {
    for dir in [dirs::rundir(), dirs::dbdir(), dirs::logdir()] {
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {}", dir.display(), io::program::strerror(&e)))?;
    }
    let db = dirs::default_db();
    if !db.exists() {
        create_database(&db)?;
    }
    let mut pidfiles = vec![];
    for program in [SWITCH, DATABASE] {
        let path = dirs::rundir().join(format!("{program}.pid"));
        if let Some(pid) = daemon::pidfile_owner(&path) {
            return Err(format!("{}: already running as pid {pid}; use another --dir", path.display()));
        }
        pidfiles.push((path.clone(), daemon::write_pidfile(&path)?));
    }
    Ok(Files { pidfiles })
}

fn create_database(path: &Path) -> Result<(), String> {
    let fail = |e: &dyn std::fmt::Display| format!("{}: create failed: {e}", path.display());
    let json = serde_json::from_str(SCHEMA).map_err(|e| fail(&e))?;
    let schema = DatabaseSchema::from_json(&json).map_err(|e| fail(&e))?;
    let text = ovsdb_data::json::to_string(&schema.to_json());
    ovsdb::log_file::LogFile::create(path, text.as_bytes()).map_err(|e| fail(&e))?;
    Ok(())
}

/// Runs both halves until `shutdown` is done or one of them is told to exit.
pub async fn run(dummy: Dummy, shutdown: impl Future<Output = ()>, ready: impl FnOnce()) -> Result<(), String> {
    let config = ovsdb_server::Config {
        databases: vec![dirs::default_db().display().to_string()],
        remotes: vec![
            format!("punix:{}", dirs::rundir().join("db.sock").display()),
            "db:Open_vSwitch,Open_vSwitch,manager_options".into(),
        ],
        unixctl: Some(unixctl::default_path(DATABASE)),
        ..ovsdb_server::Config::default()
    };
    let server = ovsdb_server::Server::start(DATABASE, &config).await?;
    let exit = server.exit();
    let server = tokio::task::spawn_local(server.run());
    let socket = dirs::rundir().join("db.sock");
    initialize(&socket).await?;
    let options = vswitchd::Options {
        remote: Remote::Unix(socket),
        unixctl: unixctl::default_path(SWITCH),
        program: SWITCH.into(),
        dummy,
        topology: None,
    };
    let mut server = Box::pin(server);
    let until = async {
        tokio::select! {
            () = shutdown => {}
            _ = &mut server => {}
        }
    };
    let result = vswitchd::run(&options, until, ready).await;
    exit.notify_one();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), server).await;
    result
}

/// What `ovs-vsctl init` does: the row that everything hangs on.
async fn initialize(socket: &Path) -> Result<(), String> {
    let insert = serde_json::json!({"op": "insert", "table": "Open_vSwitch", "row": {}});
    let none_yet = serde_json::json!({"op": "wait", "table": "Open_vSwitch", "where": [], "columns": ["_uuid"],
        "until": "==", "rows": [], "timeout": 0});
    // The wait fails where there is a row already, and nothing is inserted then.
    crate::rpc::call(socket, "transact", serde_json::json!(["Open_vSwitch", none_yet, insert])).await.map(|_| ())
}
