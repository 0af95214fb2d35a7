//! OpenFlow tables, upcalls, revalidation, controllers: one bridge as a controller sees it.
//!
//! [`Bridge`] belongs to the control thread: it takes OpenFlow messages and changes the tables that it shares, through
//! [`translate::Bridge`], with the threads that translate packets. [`Upcalls`] is what those threads call, and
//! [`revalidate`] keeps the datapath's flows true to the tables.

pub mod bridge;
mod bundle;
mod change;
pub mod conn;
mod features;
mod flow_mod;
mod group_mod;
mod handle;
pub mod in_band;
pub mod meter;
mod monitor;
pub mod packet_in;
pub mod port;
pub mod rate_limit;
mod resume;
pub mod revalidate;
mod shared_actions;
pub mod show;
mod stats;
pub mod table;
mod table_mod;
mod tlv;
pub mod trace;
pub mod upcall;

pub use bridge::{Bridge, Event};
pub use conn::{Class, ConnId};
pub use upcall::{Notice, Upcalls};

/// Number of flow tables that controllers see; the last one is the switch's own.
pub const N_TABLES: u8 = 255;
/// The table of the switch's own flows.
pub const INTERNAL_TABLE: u8 = 254;
