//! Monotonic time, real or virtual; wall-clock time as a separate type that never warps.
//!
//! State machines take an [`Instant`] and never read a clock. Only daemons hold a [`Clock`]; a virtual one can be
//! stopped and warped (`ovs-appctl time/stop`, `time/warp`), which moves every deadline in the process and nothing else.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point on the monotonic time line, in nanoseconds since the clock was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The beginning of the time line; tests start here.
    pub const ZERO: Instant = Instant(0);

    /// The instant that lies `nanos` nanoseconds after [`Instant::ZERO`].
    pub const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    /// The instant that lies `millis` milliseconds after [`Instant::ZERO`].
    pub const fn from_millis(millis: u64) -> Self {
        Instant(millis * 1_000_000)
    }

    /// Nanoseconds since [`Instant::ZERO`].
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since [`Instant::ZERO`], rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, other: Instant) -> Duration {
        self.since(other)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// Time of day. It never warps, and it may jump when an operator sets the machine's clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WallTime {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub millis: i64,
}

/// A calendar date and time in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Utc {
    /// Gregorian year.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
    /// 0 to 999.
    pub millis: u32,
}

impl WallTime {
    /// The time of day now.
    pub fn now() -> Self {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(d) => d.as_millis() as i64,
            Err(e) => -(e.duration().as_millis() as i64),
        };
        WallTime { millis }
    }

    /// The calendar date (proleptic Gregorian, UTC).
    pub fn utc(self) -> Utc {
        let days = self.millis.div_euclid(86_400_000);
        let ms = self.millis.rem_euclid(86_400_000) as u32;
        // Days are counted from 0000-03-01 so that a leap day ends its year; 719468 days lie between that and 1970-01-01.
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
        Utc {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32,
            hour: ms / 3_600_000,
            minute: ms / 60_000 % 60,
            second: ms / 1000 % 60,
            millis: ms % 1000,
        }
    }
}

/// A source of [`Instant`]s. Clones share one time line.
#[derive(Clone, Debug)]
pub struct Clock {
    inner: Arc<ClockInner>,
}

#[derive(Debug)]
struct ClockInner {
    base: std::time::Instant,
    stopped: AtomicBool,
    /// While stopped: the present time. While running: nanoseconds that warps have added to real time.
    value: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock::real()
    }
}

impl Clock {
    /// A clock that follows the machine's monotonic clock, starting at one second so that "never" can be [`Instant::ZERO`].
    pub fn real() -> Self {
        Clock {
            inner: Arc::new(ClockInner {
                base: std::time::Instant::now(),
                stopped: AtomicBool::new(false),
                value: AtomicU64::new(1_000_000_000),
            }),
        }
    }

    /// A clock that stands still at one second until it is warped.
    pub fn stopped() -> Self {
        let c = Clock::real();
        c.inner.value.store(1_000_000_000, Ordering::SeqCst);
        c.inner.stopped.store(true, Ordering::SeqCst);
        c
    }

    /// The present.
    pub fn now(&self) -> Instant {
        let v = self.inner.value.load(Ordering::Acquire);
        if self.inner.stopped.load(Ordering::Acquire) {
            Instant(v)
        } else {
            Instant(v.saturating_add(self.inner.base.elapsed().as_nanos() as u64))
        }
    }

    /// Stops the clock where it is. Stopping a stopped clock does nothing.
    pub fn stop(&self) {
        let now = self.now();
        if !self.inner.stopped.swap(true, Ordering::SeqCst) {
            self.inner.value.store(now.0, Ordering::SeqCst);
        }
    }

    /// Whether time moves only by [`Clock::warp`].
    pub fn is_stopped(&self) -> bool {
        self.inner.stopped.load(Ordering::Acquire)
    }

    /// Moves the present forward.
    pub fn warp(&self, d: Duration) {
        self.inner.value.fetch_add(d.as_nanos() as u64, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: i64, expect: &str) {
        let u = WallTime { millis }.utc();
        let got = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}",
            u.year, u.month, u.day, u.hour, u.minute, u.second, u.millis
        );
        assert_eq!(got, expect);
    }

    #[test]
    fn utc_dates() {
        check(0, "1970-01-01T00:00:00.000");
        check(951_782_400_000, "2000-02-29T00:00:00.000");
        check(951_868_799_999, "2000-02-29T23:59:59.999");
        check(-1, "1969-12-31T23:59:59.999");
        check(4_107_542_399_000, "2100-02-28T23:59:59.000");
    }

    #[test]
    fn a_stopped_clock_moves_only_by_warp() {
        let c = Clock::stopped();
        let a = c.now();
        assert_eq!(c.now(), a);
        c.warp(Duration::from_millis(1500));
        assert_eq!(c.now() - a, Duration::from_millis(1500));
    }

    #[test]
    fn a_running_clock_keeps_its_time_when_stopped_and_can_warp_before() {
        let c = Clock::real();
        let a = c.now();
        c.warp(Duration::from_secs(10));
        c.stop();
        let b = c.now();
        assert!(b - a >= Duration::from_secs(10));
        assert_eq!(c.now(), b);
    }
}
