//! Devices of the Linux kernel.

pub mod afxdp;
mod bpf;
pub mod ethtool;
pub mod netns;
pub mod packet_socket;
pub mod rtnl;
mod rx_ring;
mod sys;
pub mod system;
pub mod tap;
mod vnet;
mod xsk;
