//! Typed replica of a database for client programs.
//!
//! [`Replica`] is the state machine: JSON-RPC messages in, messages out. [`Client`] drives one over a stream and
//! reconnects it. [`vswitch`] and [`vtep`] are the tables of the two schemas as types, made by `build.rs`:
//!
//! ```text
//! for bridge in replica.all::<vswitch::Bridge>() {
//!     for port in bridge.ports() { println!("{} {}", bridge.name(), port.name()); }
//! }
//! txn.update_row(&bridge, BridgeColumns::new().fail_mode(Some("secure")));
//! ```

mod client;
mod condition;
mod index;
mod replica;
mod row;
mod table;
#[cfg(test)]
mod tests;
mod txn;
pub mod typed;
mod update;

pub use client::Client;
pub use condition::{Compare, Condition};
pub use index::{IndexId, Order};
pub use replica::{Options, Outcome, Replica, Track};
pub use row::Row;
pub use table::{Change, Changed};
pub use txn::{NewRow, Txn};

/// The tables of `vswitch.ovsschema`.
#[allow(clippy::upper_case_acronyms, clippy::redundant_closure)]
pub mod vswitch {
    use crate::typed;
    include!(concat!(env!("OUT_DIR"), "/vswitch.rs"));
}

/// The tables of `vtep.ovsschema`.
#[allow(clippy::upper_case_acronyms, clippy::redundant_closure)]
pub mod vtep {
    use crate::typed;
    include!(concat!(env!("OUT_DIR"), "/vtep.rs"));
}
