//! Network devices that the kernel has, used as ports.

use std::io;

use wire::EthAddr;

use super::ethtool;
use super::packet_socket::PacketSocket;
use super::rtnl::{Link, LinkChange, Rtnl};
use crate::device::{Device, DeviceStats, LinkState, Queue, no_offloads};

/// Control of a kernel interface, by name and index.
pub struct KernelLink {
    name: String,
    ifindex: u32,
    /// Times that the carrier had changed when the switch took the interface.
    carrier_changes: u64,
}

impl KernelLink {
    /// The interface `name`; `ENODEV` where there is none.
    pub fn find(name: &str) -> io::Result<Self> {
        let link = Rtnl::open()?.link_by_name(name)?;
        Ok(KernelLink { name: link.name, ifindex: link.ifindex, carrier_changes: link.carrier_changes })
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Interface index.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    fn link(&self) -> io::Result<Link> {
        Rtnl::open()?.link(self.ifindex)
    }

    fn change(&self, change: LinkChange<'_>) -> io::Result<()> {
        Rtnl::open()?.change(self.ifindex, change)
    }

    /// State now.
    pub fn state(&self) -> io::Result<LinkState> {
        let link = self.link()?;
        Ok(LinkState {
            up: link.is_up(),
            carrier: link.carrier,
            promiscuous: link.flags & libc::IFF_PROMISC as u32 != 0,
            ifindex: link.ifindex,
            mac: link.mac,
            mtu: link.mtu,
            carrier_changes: link.carrier_changes.saturating_sub(self.carrier_changes),
        })
    }

    /// Counters, from the kernel's side.
    pub fn stats(&self) -> io::Result<DeviceStats> {
        Ok(self.link()?.stats)
    }

    /// Sets the address.
    pub fn set_mac(&self, mac: EthAddr) -> io::Result<()> {
        self.change(LinkChange { mac: Some(mac), ..LinkChange::default() })
    }

    /// Sets the MTU.
    pub fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        self.change(LinkChange { mtu: Some(mtu), ..LinkChange::default() })
    }

    /// Brings it up or down.
    pub fn set_up(&self, up: bool) -> io::Result<()> {
        self.change(LinkChange { up: Some(up), ..LinkChange::default() })
    }

    /// Driver name and versions, as the `Interface:status` column shows them.
    #[must_use]
    pub fn driver_status(&self) -> Vec<(String, String)> {
        ethtool::driver(&self.name).map_or_else(
            |_| Vec::new(),
            |driver| {
                vec![
                    ("driver_name".into(), driver.name),
                    ("driver_version".into(), driver.version),
                    ("firmware_version".into(), driver.firmware),
                ]
            },
        )
    }
}

/// A kernel interface as a port of the switch.
pub struct SystemDevice {
    link: KernelLink,
}

impl SystemDevice {
    /// Takes the interface `name`; `ENODEV` where there is none.
    pub fn find(name: &str) -> io::Result<Self> {
        Ok(SystemDevice { link: KernelLink::find(name)? })
    }
}

impl Device for SystemDevice {
    fn name(&self) -> &str {
        self.link.name()
    }

    fn kind(&self) -> &'static str {
        "system"
    }

    fn state(&self) -> io::Result<LinkState> {
        self.link.state()
    }

    fn stats(&self) -> io::Result<DeviceStats> {
        self.link.stats()
    }

    super::settings_of_link!();

    fn status(&self) -> Vec<(String, String)> {
        let mut all = self.link.driver_status();
        if let Ok(link) = self.link.link()
            && link.kind == "veth"
            && link.link != 0
        {
            all.push(("peer_ifindex".into(), link.link.to_string()));
        }
        all.extend(no_offloads());
        all
    }

    fn open(&self) -> io::Result<Box<dyn Queue>> {
        self.ready(PacketSocket::open(self.link.ifindex())?)
    }

    fn open_tx(&self) -> io::Result<Box<dyn Queue>> {
        self.ready(PacketSocket::open_sender(self.link.ifindex())?)
    }
}

/// An interface of the host whose other end is a datapath of the kernel. Its packets go through the kernel's datapath only.
pub struct InternalDevice {
    link: KernelLink,
}

impl InternalDevice {
    /// Takes the interface `name`, which a datapath has made; `ENODEV` where there is none.
    pub fn find(name: &str) -> io::Result<Self> {
        Ok(InternalDevice { link: KernelLink::find(name)? })
    }
}

impl Device for InternalDevice {
    fn name(&self) -> &str {
        self.link.name()
    }

    fn kind(&self) -> &'static str {
        "internal"
    }

    fn state(&self) -> io::Result<LinkState> {
        self.link.state()
    }

    fn stats(&self) -> io::Result<DeviceStats> {
        self.link.stats().map(DeviceStats::turned)
    }

    super::settings_of_link!();

    fn status(&self) -> Vec<(String, String)> {
        self.link.driver_status()
    }

    fn open(&self) -> io::Result<Box<dyn Queue>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl SystemDevice {
    fn ready(&self, socket: PacketSocket) -> io::Result<Box<dyn Queue>> {
        if self.link.link()?.qdisc == "noqueue" {
            socket.bypass_qdisc(true)?;
        }
        Ok(Box::new(socket))
    }
}
