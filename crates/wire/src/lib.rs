//! Packet headers: typed views, builders, checksums, and changes in place.

pub mod build;
pub mod checksum;
pub mod edit;
pub mod gso;
pub mod layers;
pub mod packet;
