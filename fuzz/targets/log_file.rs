//! Database files. Bytes that begin like a file are one; other input is the records of one, a line each, so that digests
//! keep nobody out. What is good of a file opens again without complaint, and a snapshot of it holds the same.
#![cfg_attr(fuzzing, no_main)]

use ovsdb::load::{self, Loaded};
use ovsdb::log_file::{LogReader, Magic, frame};
use ovsdb::record::SnapshotWriter;
use ovsdb::snapshot::SnapshotStep;

fn open(bytes: &[u8]) -> Option<Loaded> {
    load::read(LogReader::new(bytes, "x.db").ok()?, [5; 32]).ok()
}

fn snapshot(loaded: &mut Loaded) -> Vec<u8> {
    let mut file = Vec::new();
    frame(&mut file, Magic::Standalone, loaded.db.schema().to_json().to_string().as_bytes());
    let mut writer = SnapshotWriter::new(1, "compacting database online", true);
    loaded.db.begin_snapshot();
    while let SnapshotStep::Rows(number, rows) = loaded.db.snapshot_step(3) {
        let schema = loaded.db.tables()[number].schema.clone();
        writer.rows(number, &schema, &rows);
    }
    frame(&mut file, Magic::Standalone, &writer.finish());
    file
}

/// One input.
pub fn check(data: &[u8]) {
    let mut framed = Vec::new();
    if !data.starts_with(b"OVSDB") {
        data.split(|byte| *byte == b'\n').for_each(|line| frame(&mut framed, Magic::Standalone, line));
    }
    let file = if framed.is_empty() { data } else { &framed };
    let Some(loaded) = open(file) else { return };
    let good = usize::try_from(loaded.end).expect("an offset");
    assert!(good <= file.len());
    let mut again = open(&file[..good]).expect("the good part is a file");
    assert_eq!((again.end, again.db.n_rows()), (loaded.end, loaded.db.n_rows()));
    if again.damage.is_some() {
        // References that lead nowhere: such a file is not compacted.
        return;
    }
    let compact = open(&snapshot(&mut again)).expect("a snapshot is a file");
    assert!(compact.damage.is_none(), "{:?}", compact.damage);
    assert_eq!(compact.db.n_rows(), loaded.db.n_rows());
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
