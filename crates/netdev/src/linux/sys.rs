//! The system calls that the devices need, each wrapped so that its callers need no `unsafe`.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Turns a `-1` result into the error it stands for.
pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for calls that return a length.
pub fn check_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Opens a socket that closes on exec.
pub fn socket(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the kernel just gave this descriptor to us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Types that are plain integers all through, without padding, so that any bytes are a valid value.
///
/// # Safety
/// The implementor promises just that.
pub unsafe trait Plain: Copy {}
// SAFETY: an integer.
unsafe impl Plain for libc::c_int {}
// SAFETY: four integers that fill it.
unsafe impl Plain for libc::packet_mreq {}
// SAFETY: integers and a byte array that fill it.
unsafe impl Plain for libc::sockaddr_ll {}

/// Sets a socket option.
pub fn set_option<T: Plain>(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

/// Takes the error that waits at a socket; a device that went down is not one.
pub fn take_error(fd: &OwnedFd) -> io::Result<()> {
    match rustix::net::sockopt::socket_error(fd) {
        Ok(Err(e)) if e != rustix::io::Errno::NETDOWN => Err(e.into()),
        Ok(_) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Binds a packet socket.
pub fn bind_packet(fd: &OwnedFd, protocol: u16, ifindex: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: ifindex as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer and length describe `address`.
    let result = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            std::ptr::from_ref(&address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

/// A `struct ifreq`: the name of an interface and a request's 24 bytes of argument and answer.
#[repr(C, align(8))]
pub struct IfReq {
    name: [u8; 16],
    /// Argument and answer.
    pub data: [u8; 24],
}

impl IfReq {
    /// For the interface `name`; fails with `ENAMETOOLONG` for names of more than 15 bytes.
    pub fn new(name: &str) -> io::Result<Self> {
        let mut request = IfReq { name: [0; 16], data: [0; 24] };
        if name.len() > 15 || name.is_empty() || name.contains('\0') {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        Ok(request)
    }
}

/// An `ioctl` with a `struct ifreq` that does not point anywhere else.
pub fn ioctl_ifreq(fd: RawFd, request: u64, argument: &mut IfReq) -> io::Result<()> {
    // SAFETY: `IfReq` has the size (40 bytes) and alignment of `struct ifreq`; requests passed here carry no pointer.
    check(unsafe { libc::ioctl(fd, request as _, std::ptr::from_mut(argument)) }).map(drop)
}

/// `SIOCETHTOOL`, whose request points to `buffer`. The buffer must have the size of the command's structure.
pub fn ioctl_ethtool(fd: RawFd, name: &str, buffer: &mut [u8]) -> io::Result<()> {
    let mut request = IfReq::new(name)?;
    request.data[..8].copy_from_slice(&(buffer.as_mut_ptr() as usize as u64).to_ne_bytes());
    // SAFETY: the pointer in the request refers to `buffer`, which outlives the call; callers in `ethtool` size it.
    check(unsafe { libc::ioctl(fd, libc::SIOCETHTOOL as _, std::ptr::from_mut(&mut request)) }).map(drop)
}

/// An `ioctl` that takes an integer by value.
pub fn ioctl_value(fd: RawFd, request: u64, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the requests used pass the value itself, not a pointer.
    check(unsafe { libc::ioctl(fd, request as _, value) }).map(drop)
}

/// An `ioctl` that reads an integer through a pointer.
pub fn ioctl_int(fd: RawFd, request: u64, mut value: libc::c_int) -> io::Result<()> {
    // SAFETY: the pointer refers to `value`, which outlives the call.
    check(unsafe { libc::ioctl(fd, request as _, std::ptr::from_mut(&mut value)) }).map(drop)
}

/// Reads into several buffers.
pub fn readv(fd: RawFd, parts: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
    // SAFETY: `IoSliceMut` is guaranteed to have the layout of `iovec`.
    check_len(unsafe { libc::readv(fd, parts.as_mut_ptr().cast(), parts.len() as libc::c_int) })
}

/// Writes several buffers as one packet.
pub fn writev(fd: RawFd, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: `IoSlice` is guaranteed to have the layout of `iovec`.
    check_len(unsafe { libc::writev(fd, parts.as_ptr().cast(), parts.len() as libc::c_int) })
}

/// Sends one datagram to the connected or default peer.
pub fn send(fd: &OwnedFd, data: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length describe `data`.
    check_len(unsafe { libc::send(fd.as_raw_fd(), data.as_ptr().cast(), data.len(), 0) })
}

/// Receives one datagram; `flags` as in recv(2). With `MSG_TRUNC` the length may exceed the buffer.
pub fn recv(fd: &OwnedFd, data: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    // SAFETY: the pointer and length describe `data`.
    check_len(unsafe { libc::recv(fd.as_raw_fd(), data.as_mut_ptr().cast(), data.len(), flags) })
}

/// Joins or makes namespaces for the calling thread.
pub fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers; the flags used here (new namespaces) do not touch memory.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Moves the calling thread into a namespace.
pub fn setns(fd: RawFd, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setns(fd, kind) }).map(drop)
}

/// Reads a socket option of plain integers.
pub fn get_option<const N: usize>(fd: &OwnedFd, level: libc::c_int, name: libc::c_int) -> io::Result<[u64; N]> {
    let mut value = [0u64; N];
    let mut length = size_of::<[u64; N]>() as libc::socklen_t;
    // SAFETY: the pointer and length describe `value`, which outlives the call.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut length) };
    check(result)?;
    if length as usize == size_of::<[u64; N]>() { Ok(value) } else { Err(io::Error::from_raw_os_error(libc::ENOSYS)) }
}

/// Binds an AF_XDP socket to a queue.
pub fn bind_xdp(fd: &OwnedFd, ifindex: u32, queue: u32, flags: u16) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: ifindex,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    // SAFETY: the pointer and length describe `address`.
    let result = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            std::ptr::from_ref(&address).cast(),
            size_of::<libc::sockaddr_xdp>() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

/// Lets the kernel look at an AF_XDP socket's receive side.
pub fn poll_now(fd: &OwnedFd) {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure, which outlives the call. Its answer does not matter: the ring tells.
    unsafe { libc::poll(&raw mut poll, 1, 0) };
}

/// Lets the kernel look at an AF_XDP socket's send side.
pub fn send_nothing(fd: &OwnedFd) {
    // SAFETY: no data is passed. Its answer does not matter: the ring tells.
    unsafe { libc::send(fd.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT) };
}
