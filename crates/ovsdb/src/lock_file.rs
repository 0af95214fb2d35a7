//! The lock file beside a database file, which keeps two programs from writing it.

use rustix::fs::{FlockOperation, fcntl_lock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A lock that is held until it is dropped. Locks are advisory, and compatible with the original's.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Where the lock of a file lies: `.NAME.~lock~` beside the file itself, symbolic links followed.
pub fn lock_path(path: &Path) -> PathBuf {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    real.with_file_name(format!(".{name}.~lock~"))
}

impl FileLock {
    /// Takes the lock of a database file, or fails at once if another process has it.
    pub fn take(path: &Path) -> io::Result<FileLock> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(lock_path(path))?;
        fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(FileLock { _file: file })
    }
}
