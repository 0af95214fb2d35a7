//! Devices of the Linux kernel.

pub mod ethtool;
pub mod netns;
pub mod packet_socket;
pub mod rtnl;
mod sys;
pub mod system;
pub mod tap;
mod vnet;
