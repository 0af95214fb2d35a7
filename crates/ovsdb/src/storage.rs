//! The seam where a transaction becomes durable: a file now, a replicated log another time.

use ovsdb_data::OvsdbError;

/// Takes the record of a transaction before its changes become visible.
pub trait Storage {
    /// Appends one record (JSON text without a line end). When this returns `Ok`, the record survives the death of the
    /// process; after `durable`, of the machine. On an error nothing was appended, and the transaction fails with it.
    fn append(&mut self, record: &[u8], durable: bool) -> Result<(), OvsdbError>;
}

/// Keeps nothing: for databases that live in memory, and tests.
#[derive(Debug, Default)]
pub struct Memory;

impl Storage for Memory {
    fn append(&mut self, _record: &[u8], _durable: bool) -> Result<(), OvsdbError> {
        Ok(())
    }
}
