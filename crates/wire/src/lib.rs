//! Packet headers: typed views, builders and checksums.

pub mod eth;

pub use eth::{BadEthAddr, EthAddr};
