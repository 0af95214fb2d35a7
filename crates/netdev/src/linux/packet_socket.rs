//! The packet side of a kernel device: an `AF_PACKET` socket, read and written in batches.
//!
//! Each packet travels with a `virtio_net_hdr` (`PACKET_VNET_HDR`), so that checksums that the sending stack left to
//! the hardware, and packets larger than the MTU, pass through the switch as they are.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use wire::PacketBuf;

use super::rx_ring::RxRing;
use super::{sys, vnet};
use crate::device::{BATCH, BUFFER_ROOM, LARGE_ROOM, Offloads, Pool, Queue, Sent};

const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
const PACKET_QDISC_BYPASS: libc::c_int = 20;
const PACKET_VNET_HDR: libc::c_int = 15;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;
/// Bytes of a packet that do not fit a pooled buffer; a packet of the largest size is 64 KiB plus headers.
const OVERFLOW: usize = 65536 + 256;
const SOCKET_BUFFER: libc::c_int = 8 << 20;

/// Control data of one received packet: a `cmsghdr` and a `tpacket_auxdata`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 64]);

/// An `AF_PACKET` socket on one device.
pub struct PacketSocket {
    // Before the descriptor, so that it goes first.
    ring: Option<RxRing>,
    fd: OwnedFd,
    overflow: Vec<u8>,
    headers: [[u8; vnet::LEN]; BATCH],
    controls: [Control; BATCH],
    slots: Vec<PacketBuf>,
    /// Batches for which large buffers are still laid out, since a packet needed one.
    large_for: u32,
}

/// Batches without a large packet after which small buffers are used again.
const LARGE_BATCHES: u32 = 256;

impl PacketSocket {
    /// Opens a socket that sees what arrives at the interface, in promiscuous mode. Needs CAP_NET_RAW.
    pub fn open(ifindex: u32) -> io::Result<Self> {
        // Protocol 0 until it is bound: otherwise it would collect the packets of every interface.
        let fd = sys::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, 0)?;
        sys::set_option(&fd, libc::SOL_PACKET, PACKET_VNET_HDR, &1)?;
        sys::set_option(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1)?;
        sys::set_option(&fd, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1)?;
        for (force, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
            if sys::set_option(&fd, libc::SOL_SOCKET, force, &SOCKET_BUFFER).is_err() {
                sys::set_option(&fd, libc::SOL_SOCKET, plain, &SOCKET_BUFFER)?;
            }
        }
        let ring = RxRing::attach(&fd);
        sys::bind_packet(&fd, libc::ETH_P_ALL as u16, ifindex)?;
        let promiscuous = libc::packet_mreq {
            mr_ifindex: ifindex as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        sys::set_option(&fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &promiscuous)?;
        Ok(Self::with(fd, ring))
    }

    /// Opens a socket that only sends. Needs CAP_NET_RAW.
    pub fn open_sender(ifindex: u32) -> io::Result<Self> {
        let fd = sys::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, 0)?;
        sys::set_option(&fd, libc::SOL_PACKET, PACKET_VNET_HDR, &1)?;
        sys::bind_packet(&fd, 0, ifindex)?;
        Ok(Self::with(fd, None))
    }

    fn with(fd: OwnedFd, ring: Option<RxRing>) -> Self {
        PacketSocket {
            ring,
            fd,
            overflow: vec![],
            headers: [[0; vnet::LEN]; BATCH],
            controls: [Control([0; 64]); BATCH],
            slots: Vec::with_capacity(BATCH),
            large_for: 0,
        }
    }

    /// Sends past the queueing discipline. Right for devices that have none.
    pub fn bypass_qdisc(&self, on: bool) -> io::Result<()> {
        sys::set_option(&self.fd, libc::SOL_PACKET, PACKET_QDISC_BYPASS, &libc::c_int::from(on))
    }

    /// One `recvmmsg`; gives the number of packets and their lengths (without the vnet header) and control lengths.
    fn receive_raw(&mut self, lengths: &mut [(usize, usize); BATCH]) -> io::Result<usize> {
        if self.overflow.is_empty() {
            self.overflow = vec![0; BATCH * OVERFLOW];
        }
        let mut iovs = [const { MaybeUninit::<[libc::iovec; 3]>::uninit() }; BATCH];
        let mut messages = [const { MaybeUninit::<libc::mmsghdr>::zeroed() }; BATCH];
        let overflow = self.overflow.as_mut_ptr();
        for (i, slot) in self.slots.iter_mut().enumerate() {
            let spare = slot.spare_mut();
            let iov = iovs[i].write([
                libc::iovec { iov_base: self.headers[i].as_mut_ptr().cast(), iov_len: vnet::LEN },
                libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: first_part(spare.len()) },
                // SAFETY: `overflow` has BATCH parts of OVERFLOW bytes and `i` is below BATCH.
                libc::iovec { iov_base: unsafe { overflow.add(i * OVERFLOW) }.cast(), iov_len: OVERFLOW },
            ]);
            // SAFETY: all zeroes are a valid `mmsghdr`.
            let message = unsafe { messages[i].assume_init_mut() };
            message.msg_hdr.msg_iov = iov.as_mut_ptr();
            message.msg_hdr.msg_iovlen = 3;
            message.msg_hdr.msg_control = self.controls[i].0.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = size_of::<Control>() as _;
        }
        // SAFETY: every message that the count covers points to buffers that live until the end of this function.
        let n = sys::check(unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr().cast(),
                self.slots.len() as u32,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        })? as usize;
        for (i, length) in lengths.iter_mut().enumerate().take(n) {
            // SAFETY: initialized above.
            let message = unsafe { messages[i].assume_init_ref() };
            #[allow(clippy::unnecessary_cast)] // the width differs between C libraries
            let control_len = message.msg_hdr.msg_controllen as usize;
            *length = (message.msg_len as usize, control_len);
        }
        Ok(n)
    }
}

/// Bytes of a packet that go into a buffer directly. Large buffers take all of it.
fn first_part(room: usize) -> usize {
    if room >= LARGE_ROOM { LARGE_ROOM } else { BUFFER_ROOM.min(room) }
}

impl PacketSocket {
    /// Fills the slots with buffers: large ones while large packets come, so that these need not be copied.
    fn lay_out(&mut self, pool: &mut Pool, most: usize) {
        while self.slots.len() > most {
            self.slots.pop().into_iter().for_each(|p| pool.give(p));
        }
        let large = self.large_for > 0;
        self.large_for = self.large_for.saturating_sub(1);
        for slot in &mut self.slots {
            if large != (slot.room() >= LARGE_ROOM) {
                let wanted = if large { pool.take_large() } else { pool.take() };
                pool.give(std::mem::replace(slot, wanted));
            }
        }
        while self.slots.len() < most {
            self.slots.push(if large { pool.take_large() } else { pool.take() });
        }
    }
}

/// The VLAN tag in control data, as (TPID, TCI).
fn vlan_of(control: &[u8]) -> Option<(u16, u16)> {
    const CMSG_HEADER: usize = size_of::<libc::cmsghdr>();
    let word32 = |at: usize| Some(u32::from_ne_bytes(control.get(at..at + 4)?.try_into().ok()?));
    let word16 = |at: usize| Some(u16::from_ne_bytes(control.get(at..at + 2)?.try_into().ok()?));
    let level_at = size_of::<usize>();
    if word32(level_at)? != libc::SOL_PACKET as u32 || word32(level_at + 4)? != libc::PACKET_AUXDATA as u32 {
        return None;
    }
    // struct tpacket_auxdata: status, len, snaplen (32 bits each), mac, net, vlan_tci, vlan_tpid (16 bits each).
    let status = word32(CMSG_HEADER)?;
    let (tci, tpid) = (word16(CMSG_HEADER + 16)?, word16(CMSG_HEADER + 18)?);
    if status & TP_STATUS_VLAN_VALID == 0 && tci == 0 {
        return None;
    }
    Some((if status & TP_STATUS_VLAN_TPID_VALID != 0 { tpid } else { 0x8100 }, tci))
}

impl Queue for PacketSocket {
    fn fd(&self) -> Option<RawFd> {
        Some(self.fd.as_raw_fd())
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<PacketBuf>) -> io::Result<usize> {
        if self.ring.is_some() {
            return self.receive_mapped(pool, out);
        }
        self.receive_copied(BATCH, pool, out)
    }

    fn send(&mut self, packets: &mut [PacketBuf]) -> Sent {
        let mut outcome = Sent::default();
        for batch in packets.chunks_mut(BATCH) {
            self.send_batch(batch, &mut outcome);
        }
        outcome
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, segmentation: true }
    }
}

impl PacketSocket {
    /// Reads frames of the ring. Packets that are too large for a frame are read from the socket, in their turn.
    fn receive_mapped(&mut self, pool: &mut Pool, out: &mut Vec<PacketBuf>) -> io::Result<usize> {
        let (mut received, mut left) = (0, BATCH);
        while left > 0 {
            left -= 1;
            let Some(ring) = &mut self.ring else { break };
            let Some(frame) = ring.peek() else { break };
            if frame.elsewhere {
                ring.release();
                received += self.receive_copied(1, pool, out)?;
                continue;
            }
            if !frame.cut && !frame.bytes.is_empty() {
                let mut packet = pool.take();
                packet.assign(frame.bytes);
                vnet::apply(&frame.vnet, &mut packet, 0);
                if let Some((tpid, tci)) = frame.vlan {
                    wire::edit::push_vlan(&mut packet, tpid, tci);
                }
                out.push(packet);
                received += 1;
            }
            ring.release();
        }
        if received == 0 {
            // A device that is gone says so only when it is asked; what an error left behind would wake us for ever.
            sys::take_error(&self.fd)?;
        }
        Ok(received)
    }

    /// Reads up to `most` packets from the socket.
    fn receive_copied(&mut self, most: usize, pool: &mut Pool, out: &mut Vec<PacketBuf>) -> io::Result<usize> {
        self.lay_out(pool, most);
        let mut lengths = [(0, 0); BATCH];
        let n = match self.receive_raw(&mut lengths) {
            Ok(n) => n,
            // The interface went down: packets come again when it is up.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::ENETDOWN)) => return Ok(0),
            Err(e) => return Err(e),
        };
        let mut received = 0;
        let mut slots = std::mem::take(&mut self.slots);
        for (i, mut packet) in slots.drain(..n).enumerate() {
            let (length, control_len) = lengths[i];
            let Some(length) = length.checked_sub(vnet::LEN).filter(|&l| l > 0) else {
                pool.give(packet);
                continue;
            };
            let first = length.min(first_part(packet.room()));
            if length > BUFFER_ROOM {
                self.large_for = LARGE_BATCHES;
            }
            packet.set_len(first);
            if length > first {
                packet.append(&self.overflow[i * OVERFLOW..i * OVERFLOW + (length - first).min(OVERFLOW)]);
            }
            vnet::apply(&self.headers[i], &mut packet, 0);
            if let Some((tpid, tci)) = vlan_of(&self.controls[i].0[..control_len.min(64)]) {
                wire::edit::push_vlan(&mut packet, tpid, tci);
            }
            out.push(packet);
            received += 1;
        }
        self.slots = slots;
        Ok(received)
    }
}

impl PacketSocket {
    fn send_batch(&mut self, packets: &mut [PacketBuf], outcome: &mut Sent) {
        let mut headers = [[0u8; vnet::LEN]; BATCH];
        let mut iovs = [const { MaybeUninit::<[libc::iovec; 2]>::uninit() }; BATCH];
        let mut messages = [const { MaybeUninit::<libc::mmsghdr>::zeroed() }; BATCH];
        for (i, packet) in packets.iter_mut().enumerate() {
            headers[i] = vnet::describe(packet);
            let bytes = packet.bytes_mut();
            let iov = iovs[i].write([
                libc::iovec { iov_base: headers[i].as_mut_ptr().cast(), iov_len: vnet::LEN },
                libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() },
            ]);
            // SAFETY: all zeroes are a valid `mmsghdr`.
            let message = unsafe { messages[i].assume_init_mut() };
            message.msg_hdr.msg_iov = iov.as_mut_ptr();
            message.msg_hdr.msg_iovlen = 2;
        }
        let mut done = 0;
        while done < packets.len() {
            // SAFETY: the messages from `done` on were initialized above and point to live buffers.
            let result = sys::check(unsafe {
                libc::sendmmsg(
                    self.fd.as_raw_fd(),
                    messages.as_mut_ptr().cast::<libc::mmsghdr>().add(done),
                    (packets.len() - done) as u32,
                    libc::MSG_DONTWAIT as _,
                )
            });
            match result {
                Ok(n) if n > 0 => {
                    for packet in &packets[done..done + n as usize] {
                        outcome.packets += 1;
                        outcome.bytes += packet.len() as u64;
                    }
                    done += n as usize;
                }
                Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
                // The first packet left was refused (too long, no room, link down): it is lost, the rest may pass.
                _ => {
                    outcome.dropped += 1;
                    done += 1;
                }
            }
        }
    }
}
