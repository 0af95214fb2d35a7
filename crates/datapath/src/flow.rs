//! Flows of a datapath.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use clock::Instant;
use flow::{FlowKey, FlowMask};

use crate::action::DpAction;

/// Name of a flow: unique in its datapath.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ufid(pub u128);

impl Ufid {
    /// The name of the flow that packets with `key` belong to under `mask`.
    #[must_use]
    pub fn of(key: &FlowKey, mask: &FlowMask) -> Ufid {
        let (mut a, mut b) = (0x51_7c_c1_b7_27_22_0a_95u64, 0x2545_f491_4f6c_dd1du64);
        for (i, (k, m)) in key.words().iter().zip(mask.words()).enumerate() {
            if *m != 0 {
                a = flow::mini::mix(a, k & m);
                b = flow::mini::mix(b ^ i as u64, m ^ a);
            }
        }
        Ufid(u128::from(flow::mini::finish_hash(a)) << 64 | u128::from(flow::mini::finish_hash(b ^ a)))
    }
}

impl fmt::Display for Ufid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0;
        let part = |shift: u32, bits: u32| (x >> shift) & ((1 << bits) - 1);
        write!(f, "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", x >> 96, part(80, 16), part(64, 16), part(48, 16), part(0, 48))
    }
}

impl fmt::Debug for Ufid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Ufid {
    type Err = ();

    fn from_str(s: &str) -> Result<Ufid, ()> {
        let hex: String = s.chars().filter(|&c| c != '-').collect();
        if hex.len() != 32 || s.len() != 36 || !s.is_ascii() {
            return Err(());
        }
        u128::from_str_radix(&hex, 16).map(Ufid).map_err(|_| ())
    }
}

/// Counters of a flow. The polling thread that owns the flow adds; anybody reads.
#[derive(Debug, Default)]
pub struct FlowCounters {
    packets: AtomicU64,
    bytes: AtomicU64,
    /// Milliseconds of the monotonic clock plus 1; 0: never used.
    used: AtomicU64,
    tcp_flags: AtomicU64,
}

impl FlowCounters {
    /// Counts packets. One thread at a time may add to a flow.
    #[inline]
    pub fn add(&self, packets: u64, bytes: u64, tcp_flags: u16, now_millis: u64) {
        self.packets.store(self.packets.load(Relaxed) + packets, Relaxed);
        self.bytes.store(self.bytes.load(Relaxed) + bytes, Relaxed);
        if self.used.load(Relaxed) != now_millis + 1 {
            self.used.store(now_millis + 1, Relaxed);
        }
        let flags = self.tcp_flags.load(Relaxed);
        if flags | u64::from(tcp_flags) != flags {
            self.tcp_flags.store(flags | u64::from(tcp_flags), Relaxed);
        }
    }

    /// Counters now.
    #[must_use]
    pub fn read(&self) -> FlowStats {
        FlowStats {
            packets: self.packets.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            used: self.used.load(Relaxed).checked_sub(1).map(Instant::from_millis),
            tcp_flags: self.tcp_flags.load(Relaxed) as u16,
        }
    }

    /// Sets the counters to zero.
    pub fn clear(&self) {
        for counter in [&self.packets, &self.bytes, &self.used, &self.tcp_flags] {
            counter.store(0, Relaxed);
        }
    }
}

/// Counters of a flow at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Last packet.
    pub used: Option<Instant>,
    /// TCP flags of all packets.
    pub tcp_flags: u16,
}

/// A flow as a datapath reports it.
#[derive(Clone, Debug)]
pub struct FlowDump {
    /// Name.
    pub ufid: Ufid,
    /// Fields of the packet that made the flow; bits outside the mask may be set and only tell.
    pub key: FlowKey,
    /// Bits that a packet has to share with `key`.
    pub mask: FlowMask,
    /// What happens to packets.
    pub actions: Arc<[DpAction]>,
    /// Counters.
    pub stats: FlowStats,
    /// Polling thread (core) that has it; `None` for the main thread's.
    pub core: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ufid_text() {
        let ufid = Ufid(0x1494_713d_05a7_4de3_8adc_ff69_c3d7_aa72);
        assert_eq!(ufid.to_string(), "1494713d-05a7-4de3-8adc-ff69c3d7aa72");
        assert_eq!(ufid.to_string().parse(), Ok(ufid));
        assert!("1494713d".parse::<Ufid>().is_err());
    }

    #[test]
    fn ufid_tells_masks_apart() {
        let (mut key, mut wide, mut narrow) = (FlowKey::ZERO, FlowMask::ZERO, FlowMask::ZERO);
        key.set_reg(0, 5);
        wide.set_reg(0, 0xff);
        narrow.set_reg(0, 0xffff);
        assert_ne!(Ufid::of(&key, &wide), Ufid::of(&key, &narrow));
    }
}
