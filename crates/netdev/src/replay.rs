//! A device queue that yields the same packets for ever, for measuring the core without I/O.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use wire::PacketBuf;

use crate::device::{BATCH, Offloads, Pool, Queue, Sent};

/// Yields the packets of a capture over and over, and drops what is sent to it. For measuring the core without I/O.
pub struct ReplayQueue {
    packets: Arc<[Vec<u8>]>,
    next: usize,
}

impl ReplayQueue {
    /// A queue that never runs dry. No packets at all: it yields nothing.
    #[must_use]
    pub fn new(packets: Arc<[Vec<u8>]>) -> Self {
        ReplayQueue { packets, next: 0 }
    }
}

impl Queue for ReplayQueue {
    fn fd(&self) -> Option<RawFd> {
        None
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<PacketBuf>) -> io::Result<usize> {
        if self.packets.is_empty() {
            return Ok(0);
        }
        for _ in 0..BATCH {
            let mut packet = pool.take();
            packet.assign(&self.packets[self.next]);
            out.push(packet);
            self.next += 1;
            if self.next == self.packets.len() {
                self.next = 0;
            }
        }
        Ok(BATCH)
    }

    fn send(&mut self, packets: &mut [PacketBuf]) -> Sent {
        Sent { packets: packets.len() as u64, bytes: packets.iter().map(|p| p.len() as u64).sum(), dropped: 0 }
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, segmentation: true }
    }
}
