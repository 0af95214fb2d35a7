//! Network devices: dummy, Linux (AF_PACKET, tap, internal), and the ways to set them up.

pub mod device;
pub mod dummy;
pub mod linux;
pub mod replay;

pub use device::{BATCH, Device, DeviceStats, LinkSpeed, LinkState, Offloads, Pool, Queue, Sent};
pub use linux::{netns, rtnl};
