//! Tap devices: an interface of the host whose other end is the switch. Internal ports are made of them.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use wire::PacketBuf;

use super::rtnl::Rtnl;
use super::system::KernelLink;
use super::{sys, vnet};
use crate::device::{BATCH, BUFFER_ROOM, Device, DeviceStats, LinkState, Offloads, Pool, Queue, Sent};

const TUNSETIFF: u64 = 0x4004_54ca;
const TUNSETOFFLOAD: u64 = 0x4004_54d0;
const TUNSETVNETHDRSZ: u64 = 0x4004_54d8;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
const TUN_F_CSUM: u64 = 1;
const TUN_F_TSO4: u64 = 2;
const TUN_F_TSO6: u64 = 4;
const TUN_F_TSO_ECN: u64 = 8;
const TUN_F_USO4: u64 = 0x20;
const TUN_F_USO6: u64 = 0x40;
const OVERFLOW: usize = 65536 + 256;

/// A tap device that lives as long as this value.
pub struct TapDevice {
    link: KernelLink,
    kind: &'static str,
    fd: Arc<OwnedFd>,
}

impl TapDevice {
    /// Creates the interface `name`, down. `kind` is `internal` or `tap`. Needs CAP_NET_ADMIN; fails with `EBUSY` or
    /// `EINVAL` where the name is taken by something else.
    pub fn create(name: &str, kind: &'static str) -> io::Result<Self> {
        let file = std::fs::File::options().read(true).write(true).open("/dev/net/tun")?;
        let fd = OwnedFd::from(file);
        let mut request = sys::IfReq::new(name)?;
        request.data[..2].copy_from_slice(&(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR).to_ne_bytes());
        sys::ioctl_ifreq(fd.as_raw_fd(), TUNSETIFF, &mut request)?;
        sys::ioctl_int(fd.as_raw_fd(), TUNSETVNETHDRSZ, vnet::LEN as libc::c_int)?;
        let tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
        // Kernels before 6.2 do not know UDP segmentation.
        if sys::ioctl_value(fd.as_raw_fd(), TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6).is_err() {
            sys::ioctl_value(fd.as_raw_fd(), TUNSETOFFLOAD, tcp)?;
        }
        rustix::fs::fcntl_setfl(&fd, rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::RDWR)?;
        Ok(TapDevice { link: KernelLink::find(name)?, kind, fd: Arc::new(fd) })
    }
}

impl Device for TapDevice {
    fn name(&self) -> &str {
        self.link.name()
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn state(&self) -> io::Result<LinkState> {
        self.link.state()
    }

    fn stats(&self) -> io::Result<DeviceStats> {
        // What the host transmits, the switch receives.
        self.link.stats().map(DeviceStats::turned)
    }

    super::settings_of_link!();

    fn status(&self) -> Vec<(String, String)> {
        self.link.driver_status()
    }

    fn open(&self) -> io::Result<Box<dyn Queue>> {
        Ok(Box::new(TapQueue { fd: self.fd.clone(), overflow: vec![0; OVERFLOW] }))
    }
}

impl Drop for TapDevice {
    fn drop(&mut self) {
        // The polling thread may still hold the descriptor for a moment; the name has to be free at once.
        if let Ok(mut rtnl) = Rtnl::open() {
            let _ = rtnl.delete_link(self.link.ifindex());
        }
    }
}

struct TapQueue {
    fd: Arc<OwnedFd>,
    overflow: Vec<u8>,
}

impl Queue for TapQueue {
    fn fd(&self) -> Option<RawFd> {
        Some(self.fd.as_raw_fd())
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<PacketBuf>) -> io::Result<usize> {
        for n in 0..BATCH {
            let mut packet = pool.take();
            let mut header = [0u8; vnet::LEN];
            let spare = packet.spare_mut();
            let room = spare.len().min(BUFFER_ROOM);
            let mut parts = [
                IoSliceMut::new(&mut header),
                IoSliceMut::new(&mut spare[..room]),
                IoSliceMut::new(&mut self.overflow),
            ];
            let length = match sys::readv(self.fd.as_raw_fd(), &mut parts) {
                Ok(length) => length.saturating_sub(vnet::LEN),
                Err(e) => {
                    pool.give(packet);
                    // EBADFD: the interface was deleted; EIO: it is down.
                    return match e.raw_os_error() {
                        Some(libc::EAGAIN | libc::EINTR | libc::EIO) => Ok(n),
                        _ if n > 0 => Ok(n),
                        _ => Err(e),
                    };
                }
            };
            packet.set_len(length.min(room));
            if length > room {
                packet.append(&self.overflow[..(length - room).min(OVERFLOW)]);
            }
            vnet::apply(&header, &mut packet, 0);
            out.push(packet);
        }
        Ok(BATCH)
    }

    fn send(&mut self, packets: &mut [PacketBuf]) -> Sent {
        let mut outcome = Sent::default();
        for packet in packets {
            let header = vnet::describe(packet);
            match sys::writev(self.fd.as_raw_fd(), &[IoSlice::new(&header), IoSlice::new(packet.bytes())]) {
                Ok(_) => {
                    outcome.packets += 1;
                    outcome.bytes += packet.len() as u64;
                }
                Err(_) => outcome.dropped += 1,
            }
        }
        outcome
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, segmentation: true }
    }
}
