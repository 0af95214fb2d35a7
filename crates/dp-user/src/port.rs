//! Ports as everybody but the polling thread sees them.

use datapath::PortStats;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of a port; the polling thread writes them.
#[derive(Debug, Default)]
pub(crate) struct PortCounters {
    pub rx_packets: AtomicU64,
    pub rx_bytes: AtomicU64,
    pub tx_packets: AtomicU64,
    pub tx_bytes: AtomicU64,
    pub tx_dropped: AtomicU64,
    pub upcalls: AtomicU64,
    pub upcall_errors: AtomicU64,
}

impl PortCounters {
    pub fn read(&self) -> PortStats {
        PortStats {
            rx_packets: self.rx_packets.load(Relaxed),
            rx_bytes: self.rx_bytes.load(Relaxed),
            tx_packets: self.tx_packets.load(Relaxed),
            tx_bytes: self.tx_bytes.load(Relaxed),
            tx_dropped: self.tx_dropped.load(Relaxed),
            upcalls: self.upcalls.load(Relaxed),
            upcall_errors: self.upcall_errors.load(Relaxed),
        }
    }
}

/// A port.
#[derive(Clone, Debug)]
pub(crate) struct PortEntry {
    pub name: String,
    pub kind: &'static str,
    pub stats: Arc<PortCounters>,
}
