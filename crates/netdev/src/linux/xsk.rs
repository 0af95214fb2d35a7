//! An AF_XDP socket: four rings and the memory for packets, shared with the kernel.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use super::sys;

/// Bytes of a frame.
pub const FRAME: usize = 4096;
/// Frames for each direction, and entries of each ring.
const FRAMES: usize = 2048;
const XDP_MMAP_OFFSETS: libc::c_int = 1;
const XDP_RX_RING: libc::c_int = 2;
const XDP_TX_RING: libc::c_int = 3;
const XDP_UMEM_REG: libc::c_int = 4;
const XDP_UMEM_FILL_RING: libc::c_int = 5;
const XDP_UMEM_COMPLETION_RING: libc::c_int = 6;
/// Offsets of the rings for mmap.
const PAGES: [i64; 4] = [0, 0x8000_0000, 0x1_0000_0000, 0x1_8000_0000];
const NEED_WAKEUP: u32 = 1;

/// Bind flags: who copies, and whether the kernel says when it has to be woken.
pub const COPY: u16 = 2;
/// No copy: the device reads and writes the frames.
pub const ZERO_COPY: u16 = 4;
/// The kernel says when it has to be woken.
pub const USE_NEED_WAKEUP: u16 = 8;

/// `struct xdp_umem_reg`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Registration {
    address: u64,
    length: u64,
    chunk: u32,
    headroom: u32,
    flags: u32,
    metadata: u32,
}

// SAFETY: integers that fill it.
unsafe impl sys::Plain for Registration {}

/// `struct xdp_desc`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Descriptor {
    address: u64,
    length: u32,
    options: u32,
}

/// Memory mapped for as long as the value lives.
struct Mapping {
    at: *mut u8,
    size: usize,
}

// SAFETY: a mapping is not bound to a thread, and belongs to this value alone.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Of a descriptor at an offset, or without a descriptor fresh memory.
    fn new(fd: Option<&OwnedFd>, size: usize, offset: i64) -> io::Result<Mapping> {
        let flags = match fd {
            Some(_) => libc::MAP_SHARED | libc::MAP_POPULATE,
            None => libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        };
        let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, fd.map_or(-1, AsRawFd::as_raw_fd));
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, fd, offset) };
        if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Mapping { at: at.cast(), size }) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this size, and nothing refers to it any more.
        unsafe { libc::munmap(self.at.cast(), self.size) };
    }
}

/// A ring of `T`, of which we are one end. `T` is what the kernel puts there.
struct Ring<T> {
    memory: Mapping,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    /// Our own index, and the other end's when last looked at.
    mine: u32,
    _of: std::marker::PhantomData<T>,
}

impl<T: Copy> Ring<T> {
    /// `offsets`: of producer, consumer, entries and flags, in bytes, as the kernel gave them.
    fn new(fd: &OwnedFd, page: i64, offsets: &[u64]) -> io::Result<Self> {
        let at = |i: usize| offsets.get(i).map_or(0, |o| *o as usize);
        let size = at(2) + FRAMES * size_of::<T>();
        let memory = Mapping::new(Some(fd), size, page)?;
        if [at(0), at(1), at(3)].iter().any(|o| o + 4 > size) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(Ring {
            memory,
            producer: at(0),
            consumer: at(1),
            flags: at(3),
            entries: at(2),
            mine: 0,
            _of: std::marker::PhantomData,
        })
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: the three offsets were checked to lie in the mapping; the kernel aligns them, and reads and writes the words
        // atomically as we do.
        unsafe { &*self.memory.at.add(offset).cast::<AtomicU32>() }
    }

    fn entry(&self, index: u32) -> *mut T {
        let at = index as usize % FRAMES;
        // SAFETY: `at` is below FRAMES, for which the mapping has room behind `entries`.
        unsafe { self.memory.at.add(self.entries).cast::<T>().add(at) }
    }

    fn wants_waking(&self) -> bool {
        self.word(self.flags).load(Ordering::Relaxed) & NEED_WAKEUP != 0
    }

    /// As the consumer: the next entry; [`Ring::consumed`] gives it and those before it back.
    fn take(&mut self) -> Option<T> {
        if self.word(self.producer).load(Ordering::Acquire) == self.mine {
            return None;
        }
        // SAFETY: the producer has written the entry and will not touch it until we say that it is consumed.
        let value = unsafe { self.entry(self.mine).read() };
        self.mine = self.mine.wrapping_add(1);
        Some(value)
    }

    fn consumed(&self) {
        self.word(self.consumer).store(self.mine, Ordering::Release);
    }

    /// As the producer: adds an entry, which [`Ring::produced`] shows; false if there is no room.
    fn put(&mut self, value: T) -> bool {
        let used = self.mine.wrapping_sub(self.word(self.consumer).load(Ordering::Acquire));
        if used as usize >= FRAMES {
            return false;
        }
        // SAFETY: the consumer is done with the entry, and does not look at it before it is shown.
        unsafe { self.entry(self.mine).write(value) };
        self.mine = self.mine.wrapping_add(1);
        true
    }

    fn produced(&self) {
        self.word(self.producer).store(self.mine, Ordering::Release);
    }
}

/// One socket on one queue of an interface. The first half of the memory is for packets that come in.
pub struct Xsk {
    rx: Ring<Descriptor>,
    tx: Ring<Descriptor>,
    fill: Ring<u64>,
    done: Ring<u64>,
    free: Vec<u64>,
    fd: OwnedFd,
    // After the descriptor, so that the kernel lets go of it first.
    memory: Mapping,
}

impl Xsk {
    /// Opens a socket and binds it to a queue.
    pub fn open(ifindex: u32, queue: u32, flags: u16) -> io::Result<Xsk> {
        let fd = sys::socket(libc::AF_XDP, libc::SOCK_RAW, 0)?;
        let memory = Mapping::new(None, 2 * FRAMES * FRAME, 0)?;
        let registration = Registration {
            address: memory.at as usize as u64,
            length: memory.size as u64,
            chunk: FRAME as u32,
            headroom: 0,
            flags: 0,
            metadata: 0,
        };
        sys::set_option(&fd, libc::SOL_XDP, XDP_UMEM_REG, &registration)?;
        for option in [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING] {
            sys::set_option(&fd, libc::SOL_XDP, option, &(FRAMES as libc::c_int))?;
        }
        // struct xdp_mmap_offsets: producer, consumer, entries and flags of the rings rx, tx, fill and completion.
        let offsets: [u64; 16] = sys::get_option(&fd, libc::SOL_XDP, XDP_MMAP_OFFSETS)?;
        let rx = Ring::new(&fd, PAGES[0], &offsets[0..4])?;
        let tx = Ring::new(&fd, PAGES[1], &offsets[4..8])?;
        let mut fill = Ring::new(&fd, PAGES[2], &offsets[8..12])?;
        let done = Ring::new(&fd, PAGES[3], &offsets[12..16])?;
        for n in 0..FRAMES {
            fill.put((n * FRAME) as u64);
        }
        fill.produced();
        sys::bind_xdp(&fd, ifindex, queue, flags)?;
        let free = (FRAMES..2 * FRAMES).map(|n| (n * FRAME) as u64).collect();
        Ok(Xsk { rx, tx, fill, done, free, fd, memory })
    }

    /// Its descriptor.
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Its descriptor, to be put into a map.
    pub fn owned_fd(&self) -> &OwnedFd {
        &self.fd
    }

    fn frame(&mut self, address: u64, length: usize) -> Option<&mut [u8]> {
        let at = usize::try_from(address).ok()?;
        if length > FRAME || at.checked_add(length)? > self.memory.size {
            return None;
        }
        // SAFETY: the range was checked to lie in the mapping; the frame is ours between the rings.
        Some(unsafe { std::slice::from_raw_parts_mut(self.memory.at.add(at), length) })
    }

    /// Hands up to `most` packets to `take`; gives their number.
    pub fn receive(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> usize {
        let mut n = 0;
        while n < most {
            let Some(d) = self.rx.take() else { break };
            if let Some(bytes) = self.frame(d.address, d.length as usize) {
                take(bytes);
            }
            // The kernel wants the beginning of the frame.
            self.fill.put(d.address - d.address % FRAME as u64);
            n += 1;
        }
        if n > 0 {
            self.rx.consumed();
            self.fill.produced();
        }
        if self.fill.wants_waking() {
            sys::poll_now(&self.fd);
        }
        n
    }

    /// Queues a packet; false if there is no room or it is too long.
    pub fn queue(&mut self, packet: &[u8]) -> bool {
        if self.free.is_empty() {
            self.reap();
        }
        let Some(address) = self.free.pop() else { return false };
        let Some(frame) = self.frame(address, packet.len()) else {
            self.free.push(address);
            return false;
        };
        frame.copy_from_slice(packet);
        let sent = self.tx.put(Descriptor { address, length: packet.len() as u32, options: 0 });
        if !sent {
            self.free.push(address);
        }
        sent
    }

    /// Lets the kernel send what is queued.
    pub fn kick(&mut self) {
        self.tx.produced();
        if self.tx.wants_waking() {
            sys::send_nothing(&self.fd);
        }
        self.reap();
    }

    /// Takes back the frames of packets that were sent.
    fn reap(&mut self) {
        let before = self.free.len();
        while let Some(address) = self.done.take() {
            self.free.push(address);
        }
        if self.free.len() > before {
            self.done.consumed();
        }
    }
}
