//! Netlink sockets of any protocol.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::netlink::SocketAddrNetlink;

use super::sys;

/// Which of the kernel's netlink protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Netfilter: connection tracking.
    Netfilter,
    /// Generic: families with names.
    Generic,
}

const ADD_MEMBERSHIP: libc::c_int = 1;
const NO_ENOBUFS: libc::c_int = 5;

/// A netlink socket with a number of its own.
#[derive(Debug)]
pub struct NetlinkSocket {
    fd: OwnedFd,
    port: u32,
}

impl NetlinkSocket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn open(protocol: Protocol) -> io::Result<Self> {
        let number = match protocol {
            Protocol::Netfilter => libc::NETLINK_NETFILTER,
            Protocol::Generic => libc::NETLINK_GENERIC,
        };
        let fd = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, number)?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        let address = SocketAddrNetlink::try_from(rustix::net::getsockname(&fd)?)?;
        Ok(NetlinkSocket { fd, port: address.pid() })
    }

    /// The number by which the kernel knows it.
    #[must_use]
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Lets so many bytes wait, over the system's limit where that is allowed.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_room(&self, bytes: usize) -> io::Result<()> {
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(&self.fd, bytes).is_ok() {
            return Ok(());
        }
        Ok(rustix::net::sockopt::set_socket_recv_buffer_size(&self.fd, bytes)?)
    }

    /// Waits so long for messages, at most.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_patience(&self, wait: Duration) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_timeout(&self.fd, rustix::net::sockopt::Timeout::Recv, Some(wait))?)
    }

    /// Joins a multicast group.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn join(&self, group: u32) -> io::Result<()> {
        sys::set_option(&self.fd, libc::SOL_NETLINK, ADD_MEMBERSHIP, &group.cast_signed())
    }

    /// Lets a sender wait where this socket is full, instead of noting an overrun: for answers.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn ignore_overruns(&self) -> io::Result<()> {
        sys::set_option(&self.fd, libc::SOL_NETLINK, NO_ENOBUFS, &1)
    }

    /// Sends messages to the kernel.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        loop {
            match sys::send(&self.fd, messages) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Receives one datagram into `buffer`, which grows to what is needed, and gives its length.
    ///
    /// # Errors
    /// `WouldBlock` where there is none (and, if `wait`, none came in time); `ENOBUFS` if datagrams were lost.
    pub fn receive(&self, buffer: &mut Vec<u8>, wait: bool) -> io::Result<usize> {
        const LEAST: usize = 16 << 10;
        let flags = if wait { 0 } else { libc::MSG_DONTWAIT };
        if buffer.len() < LEAST {
            buffer.resize(LEAST, 0);
        }
        loop {
            let waiting = match sys::recv(&self.fd, buffer, flags | libc::MSG_PEEK | libc::MSG_TRUNC) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if waiting > buffer.len() {
                buffer.resize(waiting.next_multiple_of(4096), 0);
            }
            match sys::recv(&self.fd, buffer, libc::MSG_DONTWAIT) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Receives one datagram into a buffer that is large enough for all that comes here.
    ///
    /// # Errors
    /// As [`NetlinkSocket::receive`]; a datagram that does not fit is an error of kind `InvalidData`.
    pub fn receive_into(&self, buffer: &mut [u8], wait: bool) -> io::Result<usize> {
        let flags = if wait { 0 } else { libc::MSG_DONTWAIT };
        match sys::recv(&self.fd, buffer, flags | libc::MSG_TRUNC) {
            Err(e) if wait && e.kind() == io::ErrorKind::Interrupted => self.receive_into(buffer, wait),
            Ok(n) if n > buffer.len() => Err(io::ErrorKind::InvalidData.into()),
            other => other,
        }
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_have_numbers_of_their_own() -> io::Result<()> {
        let (a, b) = (NetlinkSocket::open(Protocol::Generic)?, NetlinkSocket::open(Protocol::Generic)?);
        assert_ne!(a.port(), b.port());
        let mut buffer = vec![];
        let nothing = a.receive(&mut buffer, false).map_err(|e| e.kind());
        assert_eq!(nothing, Err(io::ErrorKind::WouldBlock));
        Ok(())
    }
}
