//! The processor's cycle counter, for shares of time.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Cycles since some moment. Where there is no such counter: nanoseconds.
#[inline(always)]
#[must_use]
pub fn now() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads the time stamp counter, nothing else.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// Cycles in a second, measured once.
#[must_use]
pub fn per_second() -> f64 {
    static FREQUENCY: OnceLock<f64> = OnceLock::new();
    *FREQUENCY.get_or_init(|| {
        let (start, first) = (Instant::now(), now());
        while start.elapsed() < Duration::from_millis(10) {
            std::hint::spin_loop();
        }
        (now() - first) as f64 / start.elapsed().as_secs_f64()
    })
}
