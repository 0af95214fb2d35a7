//! Stays awake between requests that follow each other closely, where that helps.
//!
//! A client that waits for each reply sends its next request some ten microseconds later. Where both processors of the
//! conversation go to sleep in between, and above all where they are virtual, waking them takes several times as long as the
//! work; a server that looks for the next request for a moment before it sleeps is faster then. On a busy machine it is slower,
//! for it keeps its client from running. So while requests follow each other closely, both ways are tried from time to time, and
//! the faster one is kept.

use crate::Shared;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A request that comes this soon after the last was served follows it closely.
const CLOSE: Duration = Duration::from_micros(500);
/// How long the next request is looked for.
const AWAKE: Duration = Duration::from_micros(120);
/// Requests after which the way in use is judged.
const WINDOW: u32 = 32;
/// Windows after which the other way is tried again: what is best changes with what else runs on the machine.
const KEEP: u32 = 64;
/// After such a pause nothing is known any more.
const FORGET: Duration = Duration::from_secs(1);

/// When requests come, and what that means for the time between them.
#[derive(Debug, Default)]
pub struct Rhythm {
    served: u64,
    last: Option<Instant>,
    /// Whether the server stays awake between requests that follow each other closely.
    awake: bool,
    /// How long [`WINDOW`] requests take when the server sleeps between them, and when it stays awake, as far as known.
    took: [Option<Duration>; 2],
    /// When the window began, and requests since then.
    began: Option<Instant>,
    n: u32,
    /// Windows since the way was changed.
    kept: u32,
    wake: Rc<Notify>,
}

impl Rhythm {
    /// Notes that requests were served between `began` and `ended`.
    pub fn served(&mut self, began: Instant, ended: Instant) {
        self.served += 1;
        let pause = self.last.replace(ended).map_or(FORGET, |last| began.saturating_duration_since(last));
        if pause > CLOSE {
            if pause >= FORGET {
                (self.awake, self.took, self.kept) = (false, [None; 2], 0);
            }
            (self.n, self.began) = (0, Some(ended));
            return;
        }
        self.n += 1;
        if self.n == WINDOW {
            self.judge(ended);
        }
        if self.awake {
            self.wake.notify_one();
        }
    }

    /// Ends a window: goes on with the way that takes less time, or finds out how long the other takes.
    fn judge(&mut self, now: Instant) {
        let took = now.saturating_duration_since(self.began.replace(now).unwrap_or(now));
        self.n = 0;
        self.kept += 1;
        let known = &mut self.took[usize::from(self.awake)];
        let took = match *known {
            Some(known) if self.kept > 1 => (known + took) / 2,
            _ => took,
        };
        *known = Some(took);
        let other = self.took[usize::from(!self.awake)];
        if other.is_none_or(|other| other < took) || self.kept >= KEEP {
            (self.awake, self.kept) = (!self.awake, 0);
        }
    }
}

/// Keeps the thread from sleeping while the next request is likely to come at once.
pub async fn stay_awake(shared: Shared) {
    let wake = shared.borrow().rhythm.wake.clone();
    loop {
        wake.notified().await;
        let (begin, served) = (Instant::now(), shared.borrow().rhythm.served);
        while shared.borrow().rhythm.served == served && begin.elapsed() < AWAKE {
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves requests that come after so many microseconds asleep and awake; true if the server mostly stays awake.
    fn check(asleep: u64, awake: u64, expect: bool) {
        let (mut rhythm, mut now) = (Rhythm::default(), Instant::now());
        let mut kept = 0;
        let n = 4 * WINDOW * KEEP;
        for _ in 0..n {
            now += Duration::from_micros(if rhythm.awake { awake } else { asleep });
            rhythm.served(now, now);
            kept += u32::from(rhythm.awake);
        }
        let seldom = 5 * WINDOW;
        assert!(if expect { n - kept <= seldom + WINDOW } else { kept <= seldom }, "{asleep} {awake}: {kept} of {n}");
    }

    #[test]
    fn the_faster_way_is_kept() {
        check(150, 70, true);
        check(50, 70, false);
        check(600, 70, false);
    }

    #[test]
    fn the_way_changes_when_it_becomes_slow() {
        let (mut rhythm, mut now) = (Rhythm::default(), Instant::now());
        let mut serve = |us: [u64; 2], n: u32| {
            for _ in 0..n {
                now += Duration::from_micros(us[usize::from(rhythm.awake)]);
                rhythm.served(now, now);
            }
            rhythm.awake
        };
        assert!(!serve([50, 70], 8 * WINDOW));
        assert!(serve([200, 70], 2 * WINDOW));
        assert!(!serve([60, 400], 3 * WINDOW));
    }
}
