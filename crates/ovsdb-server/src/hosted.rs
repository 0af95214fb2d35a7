//! A database that the server offers: the engine's database, the file under it, and who watches it.

use crate::core::SessionId;
use crate::upstream::Follower;
use ovsdb::log_file::{LogFile, Magic, io_error};
use ovsdb::monitor::MonitorSet;
use ovsdb::{Database, Storage, load, lock_file::FileLock};
use ovsdb_data::{DatabaseSchema, OvsdbError};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// 256 random bits from the operating system.
pub fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    if rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty()).is_err() {
        // Old kernels: the clock and the process are all there is.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        seed[..16].copy_from_slice(&now.as_nanos().to_le_bytes());
        seed[16..20].copy_from_slice(&std::process::id().to_le_bytes());
    }
    seed
}

/// A client's monitor: the session, and the JSON text of the name that the client gave it.
pub type Member = (SessionId, Rc<str>);

/// A database and what belongs to it.
#[derive(Debug)]
pub struct Hosted {
    /// The rows.
    pub db: Database,
    /// Where transactions go.
    pub disk: Disk,
    /// Who watches.
    pub monitors: MonitorSet<Member>,
    /// True if clients may not write.
    pub read_only: bool,
    /// `standalone` or `relay`.
    pub model: &'static str,
    /// False for a relay or a backup without its source.
    pub connected: bool,
    /// The file's name as it was given.
    pub file: Option<String>,
    /// Its absolute name, for what happens after the daemon left its directory.
    pub path: Option<PathBuf>,
    /// Length of the file after it was last compacted, in bytes.
    pub snapshot_len: u64,
    /// Why the file could not be read to its end.
    pub damage: Option<OvsdbError>,
    /// Keeps a relay up to date.
    pub follower: Option<Follower>,
    _lock: Option<FileLock>,
}

/// The file of a database, or nothing for one that lives in memory.
#[derive(Debug, Default)]
pub struct Disk {
    /// The file.
    pub log: Option<LogFile>,
    /// While the file is being compacted: framed records that the new file needs too.
    pub tail: Option<Vec<u8>>,
    /// The latest error; `None` after a success.
    pub last_error: Option<String>,
}

impl Storage for Disk {
    /// Durable records are synced by a task, which holds their replies back: nobody else waits for the disk.
    fn append(&mut self, record: &[u8], _durable: bool) -> Result<(), OvsdbError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let result = log.append(record, false);
        match &result {
            Ok(()) => {
                self.last_error = None;
                if let Some(tail) = &mut self.tail {
                    ovsdb::log_file::frame(tail, Magic::Standalone, record);
                }
            }
            Err(error) => self.last_error = Some(error.to_string()),
        }
        result
    }
}

impl Hosted {
    /// A database in memory.
    pub fn in_memory(schema: DatabaseSchema, model: &'static str) -> Hosted {
        Hosted { model, ..Hosted::with_database(Database::new(schema, random_seed())) }
    }

    /// Opens a database file and takes its lock.
    pub fn open(file: &str) -> Result<Hosted, OvsdbError> {
        let path = std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file));
        if let Err(error) = std::fs::metadata(&path) {
            return Err(io_error(file, "open failed", &error));
        }
        let lock = FileLock::take(&path).map_err(|error| io_error(file, "failed to lock lockfile", &error))?;
        let loaded = load::read_file(file, random_seed())?;
        let log = LogFile::append_to(&path, loaded.end).map_err(|error| io_error(file, "open failed", &error))?;
        Ok(Hosted {
            disk: Disk { log: Some(log), ..Disk::default() },
            file: Some(file.to_string()),
            path: Some(path),
            snapshot_len: loaded.end,
            damage: loaded.damage,
            _lock: Some(lock),
            ..Hosted::with_database(loaded.db)
        })
    }

    fn with_database(db: Database) -> Hosted {
        Hosted {
            db,
            disk: Disk::default(),
            monitors: MonitorSet::default(),
            read_only: false,
            model: "standalone",
            connected: true,
            file: None,
            path: None,
            snapshot_len: 0,
            damage: None,
            follower: None,
            _lock: None,
        }
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        self.db.name()
    }

    /// Where the file lies.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}
