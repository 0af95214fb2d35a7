//! Devices of the Linux kernel.

/// The part of a [`crate::Device`] that a kernel link does, for devices with a field `link`.
macro_rules! settings_of_link {
    () => {
        fn set_mac(&self, mac: wire::EthAddr) -> std::io::Result<()> {
            self.link.set_mac(mac)
        }

        fn set_mtu(&self, mtu: u32) -> std::io::Result<()> {
            self.link.set_mtu(mtu)
        }

        fn set_up(&self, up: bool) -> std::io::Result<()> {
            self.link.set_up(up)
        }

        fn speed(&self) -> crate::LinkSpeed {
            crate::linux::ethtool::speed(self.link.name())
        }
    };
}
pub(crate) use settings_of_link;

pub mod afxdp;
mod bpf;
pub mod ethtool;
pub mod netlink;
pub mod netns;
pub mod packet_socket;
pub mod rtnl;
mod rx_ring;
mod sys;
pub mod system;
pub mod tap;
mod vnet;
mod xsk;
