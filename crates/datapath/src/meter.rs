//! Meters of a datapath: rates that the packets of flows may not exceed.

use clock::Instant;

/// What a meter allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterConfig {
    /// Rates and bursts are packets and packets per second; otherwise kilobits and kilobits per second.
    pub packets: bool,
    /// The bands' burst sizes count.
    pub burst: bool,
    /// Bands, all of the kind that drops.
    pub bands: Vec<MeterBand>,
}

/// A band of a meter: packets beyond its rate are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterBand {
    /// Per second.
    pub rate: u32,
    /// What may pass at once after silence; 0: as much as in a second.
    pub burst: u32,
}

/// Counters of a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterStats {
    /// Packets that came to it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets and bytes that each band dropped.
    pub bands: Vec<(u64, u64)>,
}

/// What meters a datapath can have. Bits as in OpenFlow 1.3 §7.3.5.14.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterFeatures {
    /// Largest number of meters.
    pub max_meters: u32,
    /// Bit `1 << type` for each kind of band.
    pub band_types: u32,
    /// `OFPMF13_*` bits.
    pub capabilities: u32,
    /// Bands of a meter.
    pub max_bands: u8,
    /// Colours.
    pub max_color: u8,
}

impl MeterFeatures {
    /// Dropping bands in kilobits or packets, with bursts and counters.
    pub const USERSPACE: MeterFeatures =
        MeterFeatures { max_meters: 1 << 18, band_types: 1 << 1, capabilities: 0xf, max_bands: 8, max_color: 0 };
}

/// A token bucket for each band.
#[derive(Clone, Debug)]
pub struct Meter {
    config: MeterConfig,
    stats: MeterStats,
    buckets: Vec<u64>,
    used: Instant,
}

/// Tokens that a kilobit or a packet costs.
const UNIT: u64 = 1000;

impl Meter {
    /// A meter with full buckets.
    #[must_use]
    pub fn new(config: MeterConfig, now: Instant) -> Meter {
        let buckets = config.bands.iter().map(|b| capacity(*b)).collect();
        let stats = MeterStats { bands: vec![(0, 0); config.bands.len()], ..MeterStats::default() };
        Meter { config, stats, buckets, used: now }
    }

    /// Whether a packet of `bytes` may pass; if not, the band with the highest rate among those exceeded counts it.
    pub fn admit(&mut self, bytes: u64, now: Instant) -> bool {
        self.stats.packets += 1;
        self.stats.bytes += bytes;
        let elapsed = now.as_millis().saturating_sub(self.used.as_millis());
        if elapsed > 0 {
            self.used = now;
        }
        let cost = if self.config.packets { UNIT } else { bytes * 8 };
        let mut exceeded: Option<usize> = None;
        for (i, (bucket, band)) in self.buckets.iter_mut().zip(&self.config.bands).enumerate() {
            // A rate per second times milliseconds is a thousandth of a unit: just what tokens are.
            let refill = u64::from(band.rate).saturating_mul(elapsed);
            *bucket = bucket.saturating_add(refill).min(capacity(*band));
            if *bucket >= cost {
                *bucket -= cost;
            } else if exceeded.is_none_or(|e| band.rate > self.config.bands[e].rate) {
                exceeded = Some(i);
            }
        }
        match exceeded.and_then(|i| self.stats.bands.get_mut(i)) {
            Some((packets, dropped)) => {
                *packets += 1;
                *dropped += bytes;
                false
            }
            None => true,
        }
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> MeterStats {
        self.stats.clone()
    }
}

fn capacity(band: MeterBand) -> u64 {
    u64::from(if band.burst == 0 { band.rate } else { band.burst }) * UNIT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of `size` bytes that pass of `count` at each of the times, in milliseconds.
    #[track_caller]
    fn check(packets: bool, rate: u32, burst: u32, size: u64, count: u64, expect: &[(u64, u64)]) {
        let config = MeterConfig { packets, burst: burst != 0, bands: vec![MeterBand { rate, burst }] };
        let mut meter = Meter::new(config, Instant::from_millis(0));
        for (at, passed) in expect {
            let n = (0..count).filter(|_| meter.admit(size, Instant::from_millis(*at))).count();
            assert_eq!(n as u64, *passed, "at {at} ms");
        }
        let total = count * expect.len() as u64;
        let passed: u64 = expect.iter().map(|(_, n)| n).sum();
        assert_eq!(meter.stats().packets, total);
        assert_eq!(meter.stats().bands, [(total - passed, (total - passed) * size)]);
    }

    #[test]
    fn rates_and_bursts() {
        check(true, 5, 0, 100, 10, &[(0, 5), (100, 0), (400, 2), (10_000, 5)]);
        check(true, 5, 8, 100, 10, &[(0, 8), (1000, 5)]);
        // 8 kbit/s: one packet of 1000 bytes a second.
        check(false, 8, 0, 1000, 3, &[(0, 1), (500, 0), (1000, 1)]);
        check(false, 8, 16, 1000, 3, &[(0, 2), (1000, 1)]);
    }

    #[test]
    fn the_highest_exceeded_band_counts() {
        let bands = vec![MeterBand { rate: 1, burst: 0 }, MeterBand { rate: 3, burst: 0 }];
        let mut meter = Meter::new(MeterConfig { packets: true, burst: false, bands }, Instant::from_millis(0));
        let passed = (0..5).filter(|_| meter.admit(1, Instant::from_millis(0))).count();
        assert_eq!(passed, 1);
        assert_eq!(meter.stats().bands, [(2, 2), (2, 2)]);
    }
}
