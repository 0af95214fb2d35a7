//! Typed replica of a database for client programs.
//!
//! [`Replica`] is the state machine: JSON-RPC messages in, messages out. [`Client`] drives one over a stream and
//! reconnects it.

mod client;
mod replica;
mod row;
mod txn;
mod update;

pub use client::Client;
pub use replica::{Change, Options, Outcome, Replica};
pub use row::Row;
pub use txn::{NewRow, Txn};
