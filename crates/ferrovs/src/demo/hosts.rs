//! The hosts of the demonstration: a network namespace each, joined to the switch by a veth pair.

use netdev::netns::NetNs;
use netdev::rtnl::{LinkChange, Rtnl};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use super::leg::Leg;
use super::ping;

/// What a host looks like before it exists.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Name, such as `h1`.
    pub name: &'static str,
    /// The switch's end of the veth pair.
    pub port: &'static str,
    /// Address, in 10.0.0.0/24 like everybody's.
    pub address: Ipv4Addr,
    /// VLAN of its port.
    pub vlan: u16,
}

/// The four hosts, all in one subnet: only the VLANs keep them apart.
pub const PLANS: [Plan; 4] = [
    Plan { name: "h1", port: "p1", address: Ipv4Addr::new(10, 0, 0, 1), vlan: 10 },
    Plan { name: "h2", port: "p2", address: Ipv4Addr::new(10, 0, 0, 2), vlan: 10 },
    Plan { name: "h3", port: "p3", address: Ipv4Addr::new(10, 0, 0, 3), vlan: 20 },
    Plan { name: "h4", port: "p4", address: Ipv4Addr::new(10, 0, 0, 4), vlan: 20 },
];

/// The host that gets a leg in both VLANs when its port becomes a trunk, and what that leg is called.
pub const TRUNK_HOST: usize = 1;
/// Name of the second leg.
pub const TRUNK_LEG: &str = "h2.20";
const TRUNK_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 22);

/// A host.
pub struct Host {
    /// What was planned.
    pub plan: Plan,
    ns: NetNs,
}

impl Host {
    /// Makes the namespace and the veth pair; the switch's end stays in the calling thread's namespace.
    pub fn create(plan: Plan) -> io::Result<Host> {
        let ns = NetNs::create()?;
        let mut rtnl = Rtnl::open()?;
        rtnl.create_veth(plan.port, "eth0", Some(ns.as_fd()))?;
        let port = rtnl.link_by_name(plan.port)?.ifindex;
        rtnl.change(port, LinkChange { up: Some(true), ..Default::default() })?;
        ns.run(move || {
            let mut rtnl = Rtnl::open()?;
            let eth0 = rtnl.link_by_name("eth0")?.ifindex;
            rtnl.change(eth0, LinkChange { up: Some(true), ..Default::default() })?;
            rtnl.add_address(eth0, IpAddr::V4(plan.address), 24)
        })?;
        Ok(Host { plan, ns })
    }

    /// Gives the host a second leg, tagged with `vlan`, on the same wire.
    pub fn add_vlan_leg(&self, vlan: u16) -> io::Result<Leg> {
        Leg::start(&self.ns, vlan, TRUNK_ADDRESS)
    }

    /// Pings another host; `None` if no answer came.
    pub fn ping(&self, to: Ipv4Addr, id: u16, patience: Duration) -> io::Result<Option<Duration>> {
        self.ns.run(move || ping::ping(to, id, patience))
    }

    /// A path by which other programs can enter the namespace while this process lives.
    pub fn ns_path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.ns.as_fd().as_raw_fd())
    }
}
