//! Ports as everybody but the polling threads sees them.

use crate::member::lock;
use datapath::PortStats;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Counters of a port; one polling thread writes them.
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

/// A port.
#[derive(Clone)]
pub(crate) struct PortEntry {
    pub name: Arc<str>,
    pub kind: &'static str,
    /// Threads of its own poll it.
    pub polled: bool,
    /// What `dpctl/show` adds to the type.
    pub config: Arc<[(String, String)]>,
    /// One of each polling thread that ever had the port.
    stats: Arc<Mutex<Vec<Arc<PortCounters>>>>,
}

impl PortEntry {
    pub fn new(name: &str, kind: &'static str, polled: bool, config: Vec<(String, String)>) -> PortEntry {
        PortEntry { name: name.into(), kind, polled, config: config.into(), stats: Arc::default() }
    }

    /// Counters for one more thread.
    pub fn counters(&self) -> Arc<PortCounters> {
        let new = Arc::<PortCounters>::default();
        lock(&self.stats).push(new.clone());
        new
    }

    /// What all threads counted.
    pub fn read(&self) -> PortStats {
        let mut sum = PortStats::default();
        for c in lock(&self.stats).iter() {
            sum.rx_packets += c.rx_packets.load(Relaxed);
            sum.rx_bytes += c.rx_bytes.load(Relaxed);
            sum.tx_packets += c.tx_packets.load(Relaxed);
            sum.tx_bytes += c.tx_bytes.load(Relaxed);
            sum.tx_dropped += c.tx_dropped.load(Relaxed);
            sum.upcalls += c.upcalls.load(Relaxed);
            sum.upcall_errors += c.upcall_errors.load(Relaxed);
        }
        sum
    }
}
