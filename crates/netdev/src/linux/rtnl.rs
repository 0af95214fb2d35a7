//! A small client of the kernel's route netlink: links, addresses, and news about links.
//!
//! The codec is our own because one link message carries dozens of attributes of which the switch wants eight, and a
//! decoder that insists on knowing the shape of each fails on kernels newer than itself. What is not known is skipped.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use wire::EthAddr;

use super::sys;
use crate::device::DeviceStats;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_QDISC: u16 = 6;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_CARRIER: u16 = 33;
const IFLA_CARRIER_CHANGES: u16 = 35;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTMGRP_LINK: u32 = 1;
/// Room for the largest datagram that the kernel sends in a dump.
const RECEIVE_ROOM: usize = 64 << 10;

/// A kernel interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// `IFF_*` flags.
    pub flags: u32,
    /// Ethernet address; zero for devices without one.
    pub mac: EthAddr,
    /// MTU in bytes.
    pub mtu: u32,
    /// Whether there is a carrier.
    pub carrier: bool,
    /// Index of the interface that it belongs to or that is its other end; 0 for none.
    pub link: u32,
    /// Times that the carrier changed.
    pub carrier_changes: u64,
    /// Kind (`veth`, `tun`, `openvswitch`, …); empty for physical devices.
    pub kind: String,
    /// Queueing discipline.
    pub qdisc: String,
    /// Index of the master device, or 0.
    pub master: u32,
    /// RFC 2863 operational state.
    pub operstate: u8,
    /// Counters.
    pub stats: DeviceStats,
}

impl Link {
    /// Administratively up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0
    }
}

/// Changes to a link; `None` leaves a property.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkChange<'a> {
    /// Up or down.
    pub up: Option<bool>,
    /// Address.
    pub mac: Option<EthAddr>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// New name.
    pub name: Option<&'a str>,
    /// Network namespace to move it to.
    pub netns: Option<BorrowedFd<'a>>,
}

/// A link appeared, changed or went away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// New or changed.
    Changed(Link),
    /// Gone.
    Removed(Link),
    /// The kernel had more to say than fitted: look at every link again.
    Overrun,
}

/// A request being written.
struct Request {
    bytes: Vec<u8>,
}

impl Request {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        Request { bytes }
    }

    fn link(kind: u16, flags: u16, ifindex: u32, iff: u32, change: u32) -> Self {
        let mut request = Request::new(kind, flags);
        request.bytes.extend_from_slice(&[0; 4]);
        request.bytes.extend_from_slice(&ifindex.to_ne_bytes());
        request.bytes.extend_from_slice(&iff.to_ne_bytes());
        request.bytes.extend_from_slice(&change.to_ne_bytes());
        request
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    fn name(&mut self, kind: u16, name: &str) -> &mut Self {
        let mut value = name.as_bytes().to_vec();
        value.push(0);
        self.attribute(kind, &value)
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.bytes.len();
        self.attribute(kind, &[]);
        fill(self);
        let len = (self.bytes.len() - at) as u16;
        self.bytes[at..at + 2].copy_from_slice(&len.to_ne_bytes());
        self
    }
}

/// A blocking connection to route netlink in the network namespace where it was opened.
pub struct Rtnl {
    fd: OwnedFd,
    sequence: u32,
}

fn netlink_socket(groups: u32, kind: libc::c_int) -> io::Result<OwnedFd> {
    let fd = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW | kind, libc::NETLINK_ROUTE)?;
    let address = rustix::net::netlink::SocketAddrNetlink::new(0, groups);
    rustix::net::bind(&fd, &address)?;
    Ok(fd)
}

impl Rtnl {
    /// Opens a connection.
    pub fn open() -> io::Result<Self> {
        let fd = netlink_socket(0, 0)?;
        let wait = rustix::net::sockopt::Timeout::Recv;
        rustix::net::sockopt::set_socket_timeout(&fd, wait, Some(std::time::Duration::from_secs(5)))?;
        Ok(Rtnl { fd, sequence: 0 })
    }

    fn transact(&mut self, mut request: Request, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.sequence += 1;
        let len = request.bytes.len() as u32;
        request.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        request.bytes[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        sys::send(&self.fd, &request.bytes)?;
        let mut buffer = vec![0; RECEIVE_ROOM];
        loop {
            let n = sys::recv(&self.fd, &mut buffer, 0)?;
            for (kind, sequence, body) in Messages(&buffer[..n]) {
                if sequence != self.sequence {
                    continue;
                }
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        return match word(body, 0).unwrap_or(0) as i32 {
                            0 => Ok(()),
                            code => Err(io::Error::from_raw_os_error(-code)),
                        };
                    }
                    _ => each(kind, body),
                }
            }
        }
    }

    fn acked(&mut self, request: Request) -> io::Result<()> {
        self.transact(request, |_, _| {})
    }

    /// All links.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        let request = Request::link(RTM_GETLINK, NLM_F_DUMP, 0, 0, 0);
        self.transact(request, |kind, body| {
            if kind == RTM_NEWLINK {
                links.extend(parse_link(body));
            }
        })?;
        Ok(links)
    }

    fn get(&mut self, mut request: Request) -> io::Result<Link> {
        // The per-VF part can be large, and nothing here reads it.
        request.attribute(IFLA_EXT_MASK, &0u32.to_ne_bytes());
        let mut link = None;
        self.transact(request, |kind, body| {
            if kind == RTM_NEWLINK {
                link = parse_link(body);
            }
        })?;
        link.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// The link called `name`; `ENODEV` where there is none.
    pub fn link_by_name(&mut self, name: &str) -> io::Result<Link> {
        if name.is_empty() || name.len() > 15 {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        let mut request = Request::link(RTM_GETLINK, NLM_F_ACK, 0, 0, 0);
        request.name(IFLA_IFNAME, name);
        self.get(request)
    }

    /// The link with this index; `ENODEV` where there is none.
    pub fn link(&mut self, ifindex: u32) -> io::Result<Link> {
        self.get(Request::link(RTM_GETLINK, NLM_F_ACK, ifindex, 0, 0))
    }

    /// Changes a link, all at once.
    pub fn change(&mut self, ifindex: u32, change: LinkChange<'_>) -> io::Result<()> {
        let up = libc::IFF_UP as u32;
        let (flags, mask) = match change.up {
            Some(true) => (up, up),
            Some(false) => (0, up),
            None => (0, 0),
        };
        let mut request = Request::link(RTM_NEWLINK, NLM_F_ACK, ifindex, flags, mask);
        if let Some(mac) = change.mac {
            request.attribute(IFLA_ADDRESS, &mac.0);
        }
        if let Some(mtu) = change.mtu {
            request.attribute(IFLA_MTU, &mtu.to_ne_bytes());
        }
        if let Some(name) = change.name {
            request.name(IFLA_IFNAME, name);
        }
        if let Some(netns) = change.netns {
            request.attribute(IFLA_NET_NS_FD, &(netns.as_raw_fd() as u32).to_ne_bytes());
        }
        self.acked(request)
    }

    /// Creates a pair of virtual Ethernet devices; `peer_netns` is where the second one is born.
    pub fn create_veth(&mut self, name: &str, peer: &str, peer_netns: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut request = Request::link(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0, 0, 0);
        request.name(IFLA_IFNAME, name);
        request.nested(IFLA_LINKINFO, |r| {
            r.attribute(IFLA_INFO_KIND, b"veth");
            r.nested(IFLA_INFO_DATA, |r| {
                r.nested(VETH_INFO_PEER, |r| {
                    r.bytes.extend_from_slice(&[0; 16]);
                    r.name(IFLA_IFNAME, peer);
                    if let Some(netns) = peer_netns {
                        r.attribute(IFLA_NET_NS_FD, &(netns.as_raw_fd() as u32).to_ne_bytes());
                    }
                });
            });
        });
        self.acked(request)
    }

    /// Deletes a link.
    pub fn delete_link(&mut self, ifindex: u32) -> io::Result<()> {
        self.acked(Request::link(RTM_DELLINK, NLM_F_ACK, ifindex, 0, 0))
    }

    /// Gives a link an address. IPv6 addresses skip duplicate detection, so that they work at once.
    pub fn add_address(&mut self, ifindex: u32, address: IpAddr, prefix_len: u8) -> io::Result<()> {
        let mut request = Request::new(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
        let (family, octets) = match address {
            IpAddr::V4(a) => (libc::AF_INET as u8, a.octets().to_vec()),
            IpAddr::V6(a) => (libc::AF_INET6 as u8, a.octets().to_vec()),
        };
        let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
        request.bytes.extend_from_slice(&[family, prefix_len, flags, 0]);
        request.bytes.extend_from_slice(&ifindex.to_ne_bytes());
        request.attribute(IFA_LOCAL, &octets).attribute(IFA_ADDRESS, &octets);
        self.acked(request)
    }

    /// Adds a route to `destination` (`None`: the default route) through a gateway on a link.
    pub fn add_route(&mut self, ifindex: u32, destination: Option<(IpAddr, u8)>, gateway: IpAddr) -> io::Result<()> {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        let family = if gateway.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u8;
        let mut request = Request::new(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
        // struct rtmsg: family, dst_len, src_len, tos, table main, protocol static, scope universe, type unicast, flags.
        request.bytes.extend_from_slice(&[family, destination.map_or(0, |d| d.1), 0, 0, 254, 4, 0, 1, 0, 0, 0, 0]);
        if let Some((address, _)) = destination {
            request.attribute(RTA_DST, &octets(address));
        }
        request.attribute(RTA_GATEWAY, &octets(gateway)).attribute(RTA_OIF, &ifindex.to_ne_bytes());
        self.acked(request)
    }
}

/// A socket that tells of changes to links. Readable when there is news.
pub struct LinkMonitor {
    fd: OwnedFd,
}

impl LinkMonitor {
    /// Listens in the current network namespace.
    pub fn open() -> io::Result<Self> {
        Ok(LinkMonitor { fd: netlink_socket(RTMGRP_LINK, libc::SOCK_NONBLOCK)? })
    }

    /// For polling.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The news that has come; never waits.
    pub fn events(&mut self) -> io::Result<Vec<LinkEvent>> {
        let mut events = Vec::new();
        let mut buffer = vec![0; RECEIVE_ROOM];
        loop {
            let n = match sys::recv(&self.fd, &mut buffer, 0) {
                Ok(n) => n,
                Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => return Ok(events),
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {
                    events.push(LinkEvent::Overrun);
                    continue;
                }
                Err(e) => return Err(e),
            };
            for (kind, _, body) in Messages(&buffer[..n]) {
                match (kind, parse_link(body)) {
                    (RTM_NEWLINK, Some(link)) => events.push(LinkEvent::Changed(link)),
                    (RTM_DELLINK, Some(link)) => events.push(LinkEvent::Removed(link)),
                    _ => {}
                }
            }
        }
    }
}

impl AsRawFd for LinkMonitor {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl std::os::fd::AsFd for LinkMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Netlink messages in a datagram: type, sequence number, body.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (u16, u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = word(self.0, 0)? as usize;
        let (kind, sequence) = (half(self.0, 4)?, word(self.0, 8)?);
        let body = self.0.get(16..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, sequence, body))
    }
}

/// Attributes: type without flags, value.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (len, kind) = (usize::from(half(self.0, 0)?), half(self.0, 2)?);
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind & 0x3fff, value))
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let mut link = Link { ifindex: word(body, 4)?, flags: word(body, 8)?, ..Link::default() };
    link.carrier = link.flags & libc::IFF_RUNNING as u32 != 0;
    for (kind, value) in Attributes(body.get(16..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => link.mac = value.try_into().map(EthAddr).unwrap_or_default(),
            IFLA_LINK => link.link = word(value, 0).unwrap_or(0),
            IFLA_MTU => link.mtu = word(value, 0).unwrap_or(0),
            IFLA_QDISC => link.qdisc = text(value),
            IFLA_MASTER => link.master = word(value, 0).unwrap_or(0),
            IFLA_OPERSTATE => link.operstate = value.first().copied().unwrap_or(0),
            IFLA_CARRIER => link.carrier = value.first().is_some_and(|&c| c != 0),
            IFLA_CARRIER_CHANGES => link.carrier_changes = word(value, 0).unwrap_or(0).into(),
            IFLA_STATS64 => link.stats = parse_stats(value),
            IFLA_LINKINFO => {
                if let Some((_, kind)) = Attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND) {
                    link.kind = text(kind);
                }
            }
            _ => {}
        }
    }
    Some(link)
}

/// `struct rtnl_link_stats64`.
fn parse_stats(value: &[u8]) -> DeviceStats {
    let at = |n: usize| value.get(n * 8..n * 8 + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes);
    DeviceStats {
        rx_packets: at(0),
        tx_packets: at(1),
        rx_bytes: at(2),
        tx_bytes: at(3),
        rx_errors: at(4),
        tx_errors: at(5),
        rx_dropped: at(6),
        tx_dropped: at(7),
        multicast: at(8),
        collisions: at(9),
        rx_length_errors: at(10),
        rx_over_errors: at(11),
        rx_crc_errors: at(12),
        rx_frame_errors: at(13),
        rx_fifo_errors: at(14),
        rx_missed_errors: at(15),
        tx_aborted_errors: at(16),
        tx_carrier_errors: at(17),
        tx_fifo_errors: at(18),
        tx_heartbeat_errors: at(19),
        tx_window_errors: at(20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found() {
        let mut rtnl = Rtnl::open().unwrap();
        let lo = rtnl.link_by_name("lo").unwrap();
        assert_eq!(lo.name, "lo");
        assert!(rtnl.links().unwrap().iter().any(|l| l.ifindex == lo.ifindex));
        assert_eq!(rtnl.link_by_name("no-such-dev").unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn damaged_messages_end_the_walk() {
        let mut bytes = vec![0u8; 64];
        bytes[0] = 200;
        assert_eq!(Messages(&bytes).count(), 0);
        assert_eq!(Attributes(&[3, 0, 1, 0]).count(), 0);
        for len in 0..64 {
            let _ = parse_link(&bytes[..len]);
        }
    }
}
