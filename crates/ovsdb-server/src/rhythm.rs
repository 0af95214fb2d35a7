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
/// Requests by which a way is tried.
const TRIAL: u32 = 64;
/// Requests after which both are tried again.
const KEEP: u32 = 4096;

/// What is being found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    /// How long requests take when the server sleeps between them.
    #[default]
    Sleeping,
    /// How long when it stays awake; they took so long when it slept.
    Awake(Duration),
    /// Nothing; it stays awake, or not.
    Decided(bool),
}

/// When requests come, and what that means for the time between them.
#[derive(Debug, Default)]
pub struct Rhythm {
    served: u64,
    last: Option<Instant>,
    phase: Phase,
    began: Option<Instant>,
    n: u32,
    wake: Rc<Notify>,
}

impl Rhythm {
    /// Notes that requests were served between `began` and `ended`.
    pub fn served(&mut self, began: Instant, ended: Instant) {
        self.served += 1;
        let close = self.last.replace(ended).is_some_and(|last| began.saturating_duration_since(last) <= CLOSE);
        if !close {
            (self.phase, self.n, self.began) = (Phase::Sleeping, 0, Some(ended));
            return;
        }
        self.n += 1;
        let took = ended.saturating_duration_since(*self.began.get_or_insert(ended));
        let next = match self.phase {
            Phase::Sleeping if self.n == TRIAL => Phase::Awake(took),
            Phase::Awake(asleep) if self.n == TRIAL => Phase::Decided(took < asleep),
            Phase::Decided(_) if self.n == KEEP => Phase::Sleeping,
            same => same,
        };
        if next != self.phase {
            (self.phase, self.n, self.began) = (next, 0, Some(ended));
        }
        if self.stays_awake() {
            self.wake.notify_one();
        }
    }

    fn stays_awake(&self) -> bool {
        matches!(self.phase, Phase::Awake(_) | Phase::Decided(true))
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

    /// Serves requests that come after so many microseconds asleep and awake; true if the server ends up staying awake.
    fn check(asleep: u64, awake: u64, expect: bool) {
        let (mut rhythm, mut now) = (Rhythm::default(), Instant::now());
        rhythm.served(now, now);
        let mut kept = 0;
        for _ in 0..KEEP {
            now += Duration::from_micros(if rhythm.stays_awake() { awake } else { asleep });
            rhythm.served(now, now);
            kept += u32::from(rhythm.stays_awake());
        }
        assert_eq!(rhythm.stays_awake(), expect, "{asleep} {awake}");
        assert!(expect || kept <= TRIAL + 1);
    }

    #[test]
    fn the_faster_way_is_kept() {
        check(150, 70, true);
        check(50, 70, false);
        check(600, 70, false);
    }
}
