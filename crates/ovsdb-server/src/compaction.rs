//! Rewrites a database file as one record. The rows are taken in steps between requests, the text is made and synced on a
//! thread of its own; records that come meanwhile go to both files.

use crate::hosted::Hosted;
use crate::{Shared, hosted};
use io::vlog::Module;
use io::{vlog_info, vlog_warn};
use ovsdb::Database;
use ovsdb::log_file::{LogFile, MODE, Magic, frame, io_error};
use ovsdb::record::SnapshotWriter;
use ovsdb::snapshot::{SnapshotRows, SnapshotStep};
use ovsdb_data::schema::TableSchema;
use ovsdb_data::{OvsdbError, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

/// Slots of the tables that one step looks at; a fraction of a millisecond.
const STEP: usize = 4096;
/// Files shorter than this are not compacted by themselves, in bytes.
const MIN_LENGTH: u64 = 10 << 20;

/// Rows of one table on their way to the writing thread.
type Chunk = (usize, Arc<TableSchema>, SnapshotRows);

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn write_new_file(
    path: &Path,
    schema: &[u8],
    body: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> std::io::Result<u64> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
    let mut head = Vec::new();
    frame(&mut head, Magic::Standalone, schema);
    file.write_all(&head)?;
    body(&mut file)?;
    file.sync_all()?;
    file.metadata().map(|metadata| metadata.len())
}

/// Puts `new` in the place of the database, in memory and, atomically, on disk.
pub fn replace(hosted: &mut Hosted, new: Database, comment: &str) -> Result<(), OvsdbError> {
    if let Some(path) = hosted.path.clone() {
        let text = path.display().to_string();
        let failed = |error: std::io::Error| io_error(&text, "write failed", &error);
        let temporary = temporary(&path);
        let schema = json::to_string(&new.schema().to_json()).into_bytes();
        let record = whole_record(&new, comment);
        let length = write_new_file(&temporary, &schema, |file| {
            let mut framed = Vec::new();
            if let Some(record) = record {
                frame(&mut framed, Magic::Standalone, &record);
            }
            file.write_all(&framed)
        })
        .map_err(failed)?;
        std::fs::rename(&temporary, &path).map_err(failed)?;
        sync_directory(&path);
        hosted.disk.log = Some(LogFile::append_to(&path, length).map_err(failed)?);
        hosted.disk.tail = None;
        hosted.snapshot_len = length;
    }
    hosted.db = new;
    Ok(())
}

/// One record with all rows, or `None` for an empty database.
pub fn whole_record(db: &Database, comment: &str) -> Option<Vec<u8>> {
    if db.n_rows() == 0 {
        return None;
    }
    let mut writer = SnapshotWriter::new(clock::WallTime::now().millis, comment, true);
    for (number, table) in db.tables().iter().enumerate() {
        let rows: SnapshotRows = table.rows().map(|(uuid, row)| (uuid, row.clone())).collect();
        writer.rows(number, &table.schema, &rows);
    }
    Some(writer.finish())
}

fn sync_directory(path: &Path) {
    if let Some(directory) = path.parent()
        && let Ok(directory) = File::open(directory)
    {
        let _ = directory.sync_all();
    }
}

/// Compacts the file of a database while it is served.
pub async fn compact(shared: Shared, name: String, comment: &'static str) -> Result<(), String> {
    let (path, sender, thread) = {
        let mut core = shared.borrow_mut();
        let Some(hosted) = core.dbs.get_mut(&name) else { return Err("no database by that name".into()) };
        let Some(path) = hosted.path.clone() else { return Ok(()) };
        if hosted.disk.tail.is_some() {
            return Err(format!("{name}: compaction is already under way"));
        }
        hosted.disk.tail = Some(Vec::new());
        hosted.db.begin_snapshot();
        let schema = json::to_string(&hosted.db.schema().to_json()).into_bytes();
        let (sender, receiver) = mpsc::channel::<Chunk>();
        let (done, thread) = tokio::sync::oneshot::channel();
        let target = temporary(&path);
        let any_rows = hosted.db.n_rows() > 0;
        let spawned = std::thread::Builder::new().name("compaction".into()).spawn(move || {
            let _ = done.send(write_snapshot(&target, &schema, any_rows, comment, receiver));
        });
        if let Err(error) = spawned {
            hosted.disk.tail = None;
            hosted.db.cancel_snapshot();
            return Err(format!("{name}: cannot start the compaction thread ({error})"));
        }
        (path, sender, thread)
    };
    feed(&shared, &name, sender).await;
    let written = thread.await.unwrap_or_else(|_| Err(std::io::Error::other("compaction thread died")));
    let mut core = shared.borrow_mut();
    let trim = core.trim_memory;
    let Some(hosted) = core.dbs.get_mut(&name) else { return Err(format!("{name}: database was removed")) };
    let result = written.and_then(|length| take_over(hosted, &path, length));
    hosted.disk.tail = None;
    hosted.db.cancel_snapshot();
    if trim {
        hosted.db.shrink();
        io::program::give_memory_back();
    }
    result.map_err(|error| {
        let _ = std::fs::remove_file(temporary(&path));
        io_error(&path.display().to_string(), "compaction failed", &error).to_string()
    })
}

async fn feed(shared: &Shared, name: &str, sender: mpsc::Sender<Chunk>) {
    loop {
        {
            let mut core = shared.borrow_mut();
            let Some(hosted) = core.dbs.get_mut(name) else { return };
            match hosted.db.snapshot_step(STEP) {
                SnapshotStep::Done => return,
                SnapshotStep::Rows(number, rows) => {
                    let schema = hosted.db.tables()[number].schema.clone();
                    if sender.send((number, schema, rows)).is_err() {
                        return;
                    }
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

fn write_snapshot(
    path: &Path,
    schema: &[u8],
    any_rows: bool,
    comment: &str,
    chunks: mpsc::Receiver<Chunk>,
) -> std::io::Result<u64> {
    write_new_file(path, schema, |file| {
        let mut writer = SnapshotWriter::new(clock::WallTime::now().millis, comment, true);
        for (number, schema, rows) in chunks {
            writer.rows(number, &schema, &rows);
        }
        if !any_rows {
            return Ok(());
        }
        let (head, body) = ovsdb::log_file::frame_parts(Magic::Standalone, writer.finish());
        file.write_all(&head)?;
        file.write_all(&body)
    })
}

/// Appends what came meanwhile to the new file, and puts it in the place of the old one.
fn take_over(hosted: &mut hosted::Hosted, path: &Path, length: u64) -> std::io::Result<()> {
    let new = temporary(path);
    let mut log = LogFile::append_to(&new, length)?;
    if let Some(tail) = hosted.disk.tail.take().filter(|tail| !tail.is_empty()) {
        log.write_framed(&tail)?;
        log.handle()?.sync_data()?;
    }
    if let Ok(metadata) = std::fs::metadata(path) {
        let _ = std::fs::set_permissions(&new, metadata.permissions());
    }
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    std::fs::rename(&new, &target)?;
    sync_directory(&target);
    log.renamed(&target);
    hosted.snapshot_len = length;
    hosted.disk.log = Some(log);
    Ok(())
}

/// Compacts databases whose files have outgrown what they hold, from time to time.
pub async fn watch(shared: Shared) {
    let mut interval = tokio::time::interval(std::time::Duration::from_secs(60));
    loop {
        interval.tick().await;
        let due: Vec<String> = {
            let core = shared.borrow();
            let outgrown = |hosted: &Hosted| {
                let length = hosted.disk.log.as_ref().map_or(0, LogFile::len);
                length >= MIN_LENGTH && length >= hosted.snapshot_len.saturating_mul(2)
            };
            core.dbs.iter().filter(|(_, hosted)| outgrown(hosted)).map(|(name, _)| name.clone()).collect()
        };
        for name in due {
            vlog_info!(Module::OvsdbServer, "{name}: compacting database because its file has grown");
            if let Err(error) = compact(shared.clone(), name, "compacting database online").await {
                vlog_warn!(Module::OvsdbServer, "{error}");
            }
        }
    }
}
