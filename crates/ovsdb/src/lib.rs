//! The database engine: transactions, constraints, conditions, monitors and the log file format.
//!
//! It opens no socket, reads no clock and does not log. A program that embeds it passes in the time, the random seed
//! and a [`storage::Storage`] where a record becomes durable.

pub mod change;
pub mod commit;
pub mod condition;
pub mod convert;
pub mod database;
pub mod execute;
pub mod load;
pub mod lock_file;
pub mod log_file;
pub mod monitor;
pub mod mutation;
pub mod packed;
pub mod rbac;
pub mod record;
pub mod replicate;
pub mod snapshot;
pub mod storage;
pub mod table;
pub mod transaction;

pub use change::{ChangeSet, RowChange};
pub use database::Database;
pub use storage::Storage;

#[cfg(test)]
mod tests;
