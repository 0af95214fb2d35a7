//! The file format's framing (ovsdb(5)): `OVSDB JSON LENGTH SHA1` and a line end, then as many bytes of JSON, the last
//! of them a line end.

use crate::storage::Storage;
use ovsdb_data::OvsdbError;
use sha1::{Digest, Sha1};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The kind of a database file, as its first line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Magic {
    /// `JSON`: a standalone database
    Standalone,
    /// `CLUSTER`: a member of a clustered database
    Clustered,
}

impl Magic {
    const fn name(self) -> &'static str {
        match self {
            Magic::Standalone => "JSON",
            Magic::Clustered => "CLUSTER",
        }
    }
}

/// An I/O error about a file, in the words of the original.
pub fn io_error(path: &str, what: &str, error: &io::Error) -> OvsdbError {
    let reason = match error.raw_os_error() {
        Some(code) => rustix_text(code),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "End of file".to_string(),
        None => error.to_string(),
    };
    OvsdbError::new("I/O error", format!("{path}: {what} ({reason})"))
}

/// The system's text for an error number, without Rust's suffix.
fn rustix_text(code: i32) -> String {
    let text = io::Error::from_raw_os_error(code).to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}

fn hex(digest: &[u8]) -> [u8; 40] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = [b'0'; 40];
    for (pair, byte) in out.chunks_exact_mut(2).zip(digest) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    out
}

/// Appends a framed record to `out`. `json` has no line end.
pub fn frame(out: &mut Vec<u8>, magic: Magic, json: &[u8]) {
    out.extend_from_slice(&header(magic, json));
    out.extend_from_slice(json);
    out.push(b'\n');
}

/// The two parts of a framed record, without copying it.
pub fn frame_parts(magic: Magic, mut json: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let header = header(magic, &json);
    json.push(b'\n');
    (header, json)
}

/// The header line; the digest covers the line end after the JSON too.
fn header(magic: Magic, json: &[u8]) -> Vec<u8> {
    let mut hasher = Sha1::new();
    hasher.update(json);
    hasher.update(b"\n");
    let mut out = format!("OVSDB {} {} ", magic.name(), json.len() + 1).into_bytes();
    out.extend_from_slice(&hex(&hasher.finalize()));
    out.push(b'\n');
    out
}

/// Reads records in order and checks each against its digest.
pub struct LogReader<R> {
    input: R,
    path: String,
    offset: u64,
    magic: Magic,
    ended: bool,
}

impl LogReader<BufReader<File>> {
    /// Opens a file and looks at its first line.
    pub fn open(path: &str) -> Result<Self, OvsdbError> {
        let file = File::open(path).map_err(|error| io_error(path, "open failed", &error))?;
        LogReader::new(BufReader::with_capacity(1 << 16, file), path)
    }
}

impl<R: BufRead> LogReader<R> {
    /// Reads from `input`, which messages call `path`.
    pub fn new(mut input: R, path: &str) -> Result<Self, OvsdbError> {
        let start = input.fill_buf().map_err(|error| io_error(path, "read failed", &error))?;
        let magic = if start.starts_with(b"OVSDB JSON ") {
            Magic::Standalone
        } else if start.starts_with(b"OVSDB CLUSTER ") {
            Magic::Clustered
        } else {
            let problem = if start.is_empty() { "cannot identify file type" } else { "unexpected file format" };
            return Err(OvsdbError::new("ovsdb error", format!("{path}: {problem}")));
        };
        Ok(LogReader { input, path: path.to_string(), offset: 0, magic, ended: false })
    }

    /// What messages call the file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The kind of file.
    pub fn magic(&self) -> Magic {
        self.magic
    }

    /// Where the records that were read end: everything before is good.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record's JSON text and the offset of its body; `None` at the end. After an error nothing more is read.
    pub fn next_record(&mut self) -> Result<Option<(Vec<u8>, u64)>, OvsdbError> {
        if self.ended {
            return Ok(None);
        }
        let result = self.read_record();
        self.ended = !matches!(result, Ok(Some(_)));
        result
    }

    fn read_record(&mut self) -> Result<Option<(Vec<u8>, u64)>, OvsdbError> {
        let mut line = Vec::new();
        let path = self.path.as_str();
        let limited = &mut (&mut self.input).take(256);
        limited.read_until(b'\n', &mut line).map_err(|error| io_error(path, "read failed", &error))?;
        if line.is_empty() {
            return Ok(None);
        }
        let Some((length, digest)) = parse_header(&line, self.magic) else {
            let text = String::from_utf8_lossy(&line);
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            let details =
                format!("{path}: parse error at offset {} in header line \"{}\"", self.offset, words.join(" "));
            return Err(OvsdbError::bare_syntax(details));
        };
        let start = self.offset + line.len() as u64;
        // What a header claims is no reason to allocate: memory grows with what the file really holds.
        let mut body = Vec::with_capacity(length.min(1 << 20) as usize);
        let reading = format!("error reading {length} bytes starting at offset {start}");
        (&mut self.input).take(length).read_to_end(&mut body).map_err(|error| io_error(path, &reading, &error))?;
        if (body.len() as u64) < length {
            return Err(io_error(path, &reading, &io::ErrorKind::UnexpectedEof.into()));
        }
        let actual = hex(&Sha1::digest(&body));
        if actual != digest {
            return Err(OvsdbError::bare_syntax(format!(
                "{path}: {length} bytes starting at offset {start} have SHA-1 hash {} but should have hash {}",
                String::from_utf8_lossy(&actual),
                String::from_utf8_lossy(&digest)
            )));
        }
        self.offset = start + length;
        Ok(Some((body, start)))
    }

    /// The error for a record whose digest is right but whose text is not an object.
    pub fn not_an_object(&self, body: &[u8], start: u64, error: Option<&serde_json::Error>) -> OvsdbError {
        let (path, length) = (&self.path, body.len());
        OvsdbError::bare_syntax(match error {
            Some(error) => format!("{path}: {length} bytes starting at offset {start} are not valid JSON ({error})"),
            None => format!("{path}: {length} bytes starting at offset {start} are not a JSON object"),
        })
    }

    /// Declares the record that was read last bad: the file ends before it.
    pub fn reject(&mut self, start_of_record: u64) {
        self.offset = start_of_record;
        self.ended = true;
    }
}

fn parse_header(line: &[u8], magic: Magic) -> Option<(u64, [u8; 40])> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let mut words = line.split(' ');
    if words.next()? != "OVSDB" || words.next()? != magic.name() {
        return None;
    }
    let length = words.next()?.parse().ok()?;
    let digest: [u8; 40] = words.next()?.to_ascii_lowercase().as_bytes().try_into().ok()?;
    (words.next().is_none() && digest.iter().all(u8::is_ascii_hexdigit)).then_some((length, digest))
}

/// Permissions of database files, before the umask.
pub const MODE: u32 = 0o640;

/// A database file open for appending.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
    end: u64,
    /// True while bytes after `end` are a torn or rejected record that the next append must cut off.
    tail: bool,
    buffer: Vec<u8>,
    n_records: u64,
}

impl LogFile {
    /// Opens a file whose first `end` bytes are good.
    pub fn append_to(path: &Path, end: u64) -> io::Result<LogFile> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end))?;
        Ok(LogFile { file, path: path.to_path_buf(), end, tail: length > end, buffer: Vec::new(), n_records: 0 })
    }

    /// Creates a file that holds one record, and makes it durable. Fails if the file exists.
    pub fn create(path: &Path, json: &[u8]) -> io::Result<LogFile> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path)?;
        let mut log = LogFile { file, path: path.to_path_buf(), end: 0, tail: false, buffer: Vec::new(), n_records: 0 };
        log.write(json)?;
        log.file.sync_all()?;
        Ok(log)
    }

    /// Length of the good part, in bytes.
    pub fn len(&self) -> u64 {
        self.end
    }

    /// True for a file without a record.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// The file has another name now.
    pub fn renamed(&mut self, path: &Path) {
        self.path = path.to_path_buf();
    }

    /// Records written through this handle.
    pub fn n_records(&self) -> u64 {
        self.n_records
    }

    /// Another handle of the same file, to sync elsewhere.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    fn write(&mut self, json: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        frame(&mut self.buffer, Magic::Standalone, json);
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.write_framed(&buffer);
        self.buffer = buffer;
        self.buffer.shrink_to(1 << 16);
        result
    }

    /// Appends bytes that are framed already.
    pub fn write_framed(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.tail {
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
            self.tail = false;
        }
        if let Err(error) = self.file.write_all(bytes) {
            // Part of the record may have been written: cut it off, now or before the next append.
            self.tail = true;
            if self.file.set_len(self.end).is_ok() && self.file.seek(SeekFrom::Start(self.end)).is_ok() {
                self.tail = false;
            }
            return Err(error);
        }
        self.end += bytes.len() as u64;
        self.n_records += 1;
        Ok(())
    }
}

impl Storage for LogFile {
    fn append(&mut self, record: &[u8], durable: bool) -> Result<(), OvsdbError> {
        let path = self.path.display().to_string();
        self.write(record).map_err(|error| io_error(&path, "write failed", &error))?;
        if durable {
            self.file.sync_data().map_err(|error| io_error(&path, "fsync failed", &error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> (Vec<String>, Option<String>, u64) {
        let mut reader = match LogReader::new(bytes, "x.db") {
            Ok(reader) => reader,
            Err(error) => return (Vec::new(), Some(error.to_string()), 0),
        };
        let mut records = Vec::new();
        loop {
            match reader.next_record() {
                Ok(Some((body, _))) => records.push(String::from_utf8(body).unwrap()),
                Ok(None) => return (records, None, reader.offset()),
                Err(error) => return (records, Some(error.to_string()), reader.offset()),
            }
        }
    }

    #[test]
    fn damage() {
        let mut good = Vec::new();
        frame(&mut good, Magic::Standalone, b"{\"a\":1}");
        let first = good.len();
        frame(&mut good, Magic::Standalone, b"{\"b\":2}");
        let check = |bytes: &[u8], n: usize, problem: Option<&str>| {
            let (records, error, end) = read_all(bytes);
            assert_eq!(records.len(), n);
            assert!(end as usize <= bytes.len());
            match (problem, error) {
                (None, None) => {}
                (Some(problem), Some(error)) => assert!(error.contains(problem), "{error}"),
                (expected, got) => panic!("expected {expected:?}, got {got:?}"),
            }
        };
        check(&good, 2, None);
        check(b"", 0, Some("x.db: cannot identify file type"));
        check(b"hello\n", 0, Some("x.db: unexpected file format"));
        check(&good[..good.len() - 3], 1, Some("error reading 8 bytes starting at offset"));
        check(&good[..first + 20], 1, Some("parse error at offset"));
        let mut flipped = good.clone();
        flipped[first - 3] ^= 1;
        check(&flipped, 0, Some("have SHA-1 hash"));
        // Every single flipped bit is noticed.
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (records, error, _) = read_all(&flipped);
            let same_case = flipped.eq_ignore_ascii_case(&good);
            assert!(error.is_some() || records.len() < 2 || same_case, "bit {bit}");
        }
    }
}
