//! The few calls of bpf(2) that sending packets to AF_XDP sockets needs, with the program given as its instructions.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;

/// The kernel's argument: a union of structures of 32-bit words, most of them zero.
#[repr(C, align(8))]
struct Attributes([u32; 32]);

impl Attributes {
    fn new(words: &[(usize, u32)]) -> Attributes {
        let mut all = [0; 32];
        for (at, word) in words {
            all[*at] = *word;
        }
        Attributes(all)
    }

    /// Puts an address at a word with an even number.
    fn point<T>(&mut self, at: usize, to: *const T) {
        let address = (to as usize as u64).to_ne_bytes();
        self.0[at] = u32::from_ne_bytes([address[0], address[1], address[2], address[3]]);
        self.0[at + 1] = u32::from_ne_bytes([address[4], address[5], address[6], address[7]]);
    }

    /// # Safety
    /// Addresses put into the attributes are of live memory that the command may use as it does.
    unsafe fn call(&self, command: libc::c_long) -> io::Result<i32> {
        let size = size_of::<Attributes>();
        // SAFETY: the attributes are as large as said; what they point to is the caller's promise.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(self), size) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
    }

    /// # Safety
    /// As for [`Attributes::call`].
    unsafe fn call_fd(&self, command: libc::c_long) -> io::Result<OwnedFd> {
        // SAFETY: the caller's promise.
        let fd = unsafe { self.call(command) }?;
        // SAFETY: the kernel just gave this descriptor to us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// A map from receive queue to AF_XDP socket.
pub struct SocketMap(OwnedFd);

impl SocketMap {
    /// An empty map for queues below `queues`.
    pub fn new(queues: u32) -> io::Result<SocketMap> {
        let a = Attributes::new(&[(0, MAP_TYPE_XSKMAP), (1, 4), (2, 4), (3, queues)]);
        // SAFETY: no addresses.
        unsafe { a.call_fd(BPF_MAP_CREATE) }.map(SocketMap)
    }

    /// Sends a queue's packets to a socket.
    pub fn set(&self, queue: u32, socket: &OwnedFd) -> io::Result<()> {
        let value = socket.as_raw_fd();
        let mut a = Attributes::new(&[(0, self.0.as_raw_fd().cast_unsigned())]);
        a.point(2, &raw const queue);
        a.point(4, &raw const value);
        // SAFETY: key and value have the sizes that the map was made with and outlive the call.
        unsafe { a.call(BPF_MAP_UPDATE_ELEM) }.map(drop)
    }

    /// Loads the program that does so, and attaches it to an interface until the result is dropped. `flags`: `XDP_FLAGS_*`.
    pub fn attach(&self, ifindex: u32, flags: u32) -> io::Result<OwnedFd> {
        let instruction = |op: u8, dst: u8, src: u8, off: i16, imm: i32| {
            u64::from(op)
                | u64::from(dst | src << 4) << 8
                | u64::from(off.cast_unsigned()) << 16
                | u64::from(imm.cast_unsigned()) << 32
        };
        const XDP_PASS: i32 = 2;
        const REDIRECT_MAP: i32 = 51;
        // return bpf_redirect_map(&map, context->rx_queue_index, XDP_PASS);
        let program = [
            instruction(0x61, 2, 1, 16, 0),
            instruction(0x18, 1, 1, 0, self.0.as_raw_fd()),
            0,
            instruction(0xb7, 3, 0, 0, XDP_PASS),
            instruction(0x85, 0, 0, 0, REDIRECT_MAP),
            instruction(0x95, 0, 0, 0, 0),
        ];
        let license = c"Apache-2.0";
        let mut a = Attributes::new(&[(0, PROG_TYPE_XDP), (1, program.len() as u32)]);
        a.point(2, program.as_ptr());
        a.point(4, license.as_ptr());
        // SAFETY: instructions and licence are as long as said, or end in a zero byte, and outlive the call.
        let loaded = unsafe { a.call_fd(BPF_PROG_LOAD) }?;
        let a = Attributes::new(&[(0, loaded.as_raw_fd().cast_unsigned()), (1, ifindex), (2, ATTACH_XDP), (3, flags)]);
        // SAFETY: no addresses.
        unsafe { a.call_fd(BPF_LINK_CREATE) }
    }
}
