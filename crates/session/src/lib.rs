//! Connection state machines: reconnection, JSON-RPC and OpenFlow framing. Bytes in, bytes out.
//!
//! Nothing here opens a socket or reads a clock.

pub mod jsonrpc;
pub mod openflow;
pub mod reconnect;

pub use jsonrpc::{Message, Splitter};
pub use openflow::Framer;
pub use reconnect::Reconnect;
