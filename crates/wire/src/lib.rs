//! Packet headers: typed views, builders, checksums, and changes in place.

pub mod build;
pub mod checksum;
pub mod edit;
pub mod eth;
pub mod gso;
pub mod layers;
pub mod nsh;
pub mod packet;

pub use eth::{BadEthAddr, EthAddr};
pub use packet::PacketBuf;
