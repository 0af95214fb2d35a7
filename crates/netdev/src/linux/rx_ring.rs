//! The receive ring of an `AF_PACKET` socket (`TPACKET_V2`): frames that the kernel fills and we read, in memory that both have
//! mapped, so that small packets cost no system call. Version 2, since version 3 hands packets over by the block, which may
//! take a millisecond.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::{sys, vnet};

const PACKET_RX_RING: libc::c_int = 5;
const PACKET_COPY_THRESH: libc::c_int = 7;
const PACKET_VERSION: libc::c_int = 10;
const TPACKET_V2: libc::c_int = 1;

const TP_STATUS_KERNEL: u32 = 0;
const TP_STATUS_USER: u32 = 1;
/// The frame holds only the beginning; the whole packet waits in the socket.
const TP_STATUS_COPY: u32 = 1 << 1;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;

/// Bytes of a frame: a packet of the usual MTU with tags, and the kernel's header.
const FRAME: usize = 2048;
const FRAMES: usize = 1024;
/// Bytes of `struct tpacket2_hdr`.
const HEADER: usize = 32;
/// Memory of all rings together; ports beyond it do without.
const BUDGET: usize = 64 << 20;

/// Memory in use.
static USED: AtomicUsize = AtomicUsize::new(0);

/// `struct tpacket_req`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Request {
    block_size: u32,
    blocks: u32,
    frame_size: u32,
    frames: u32,
}

// SAFETY: four integers that fill it.
unsafe impl sys::Plain for Request {}

/// A mapped ring.
pub struct RxRing {
    memory: *mut u8,
    next: usize,
}

// SAFETY: the mapping belongs to this value alone; nothing about it is bound to a thread.
unsafe impl Send for RxRing {}

/// A packet in the ring.
pub struct Frame<'a> {
    /// Its `virtio_net_hdr`.
    pub vnet: [u8; vnet::LEN],
    /// Its bytes, or the beginning of them.
    pub bytes: &'a [u8],
    /// The whole packet is to be read from the socket.
    pub elsewhere: bool,
    /// Bytes are missing and lost.
    pub cut: bool,
    /// VLAN tag that the kernel took out: TPID, TCI.
    pub vlan: Option<(u16, u16)>,
}

impl RxRing {
    /// Gives a socket that is not bound yet a ring. `None`: there is enough of them, or the kernel has no memory.
    pub fn attach(fd: &OwnedFd) -> Option<RxRing> {
        let size = FRAME * FRAMES;
        if USED.fetch_add(size, Ordering::Relaxed) + size > BUDGET {
            USED.fetch_sub(size, Ordering::Relaxed);
            return None;
        }
        match Self::map(fd, size) {
            Ok(memory) => Some(RxRing { memory, next: 0 }),
            Err(_) => {
                USED.fetch_sub(size, Ordering::Relaxed);
                None
            }
        }
    }

    fn map(fd: &OwnedFd, size: usize) -> io::Result<*mut u8> {
        const BLOCK: usize = 1 << 16;
        sys::set_option(fd, libc::SOL_PACKET, PACKET_VERSION, &TPACKET_V2)?;
        sys::set_option(fd, libc::SOL_PACKET, PACKET_COPY_THRESH, &1)?;
        let request = Request {
            block_size: BLOCK as u32,
            blocks: (size / BLOCK) as u32,
            frame_size: FRAME as u32,
            frames: FRAMES as u32,
        };
        sys::set_option(fd, libc::SOL_PACKET, PACKET_RX_RING, &request)?;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, fd.as_raw_fd(), 0) };
        if memory == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(memory.cast()) }
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: `next` is below FRAMES, so that the frame lies in the mapping, which lives as long as `self`; its first word
        // is the status, which the kernel and we change in turn, and which is read and written atomically on both sides.
        unsafe { &*self.memory.add(self.next * FRAME).cast::<AtomicU32>() }
    }

    /// The next packet, if there is one; [`RxRing::release`] gives its frame back.
    #[inline]
    pub fn peek(&self) -> Option<Frame<'_>> {
        let status = self.status().load(Ordering::Acquire);
        if status & TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the frame is ours until its status is changed, and the mapping lives as long as `self`.
        let frame = unsafe { std::slice::from_raw_parts(self.memory.add(self.next * FRAME), FRAME) };
        let word32 = |at: usize| u32::from_ne_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        let word16 = |at: usize| u16::from_ne_bytes([frame[at], frame[at + 1]]);
        // struct tpacket2_hdr: status, len, snaplen (32 bits), mac, net (16), sec, nsec (32), vlan_tci, vlan_tpid (16).
        let (length, here) = (word32(4) as usize, word32(8) as usize);
        let start = usize::from(word16(12)).clamp(HEADER + vnet::LEN, FRAME);
        let end = (start + here).min(FRAME);
        let mut header = [0; vnet::LEN];
        header.copy_from_slice(&frame[start - vnet::LEN..start]);
        let vlan = (status & TP_STATUS_VLAN_VALID != 0).then(|| {
            let tpid = if status & TP_STATUS_VLAN_TPID_VALID != 0 { word16(26) } else { 0x8100 };
            (tpid, word16(24))
        });
        let elsewhere = status & TP_STATUS_COPY != 0;
        let cut = !elsewhere && here < length;
        Some(Frame { vnet: header, bytes: &frame[start..end], elsewhere, cut, vlan })
    }

    /// Gives the frame of the last [`RxRing::peek`] back to the kernel.
    #[inline]
    pub fn release(&mut self) {
        self.status().store(TP_STATUS_KERNEL, Ordering::Release);
        self.next = if self.next + 1 == FRAMES { 0 } else { self.next + 1 };
    }
}

impl Drop for RxRing {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this size, and nothing refers to it any more.
        unsafe { libc::munmap(self.memory.cast(), FRAME * FRAMES) };
        USED.fetch_sub(FRAME * FRAMES, Ordering::Relaxed);
    }
}
