//! Stays awake between requests that follow each other closely.
//!
//! A client that waits for each reply sends its next request some ten microseconds later. Where both processors of the
//! conversation go to sleep in between, and above all where they are virtual, waking them takes several times as long as the
//! work. So after a few requests in close succession the server looks for the next one for a moment before it sleeps. When that
//! was in vain, or somebody else wanted the processor, it sleeps at once until requests follow each other closely again.

use crate::Shared;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A request that comes this soon after the last was served follows it closely.
const CLOSE: Duration = Duration::from_micros(250);
/// How long the next request is looked for.
const AWAKE: Duration = Duration::from_micros(120);
/// So many requests in close succession make a rhythm.
const ENOUGH: u32 = 4;

/// When requests come.
#[derive(Debug, Default)]
pub struct Rhythm {
    served: u64,
    last: Option<Instant>,
    in_succession: u32,
    displaced: u64,
    wake: Rc<Notify>,
}

impl Rhythm {
    /// Notes that requests were served between `began` and `ended`, and how often the thread has had to give way so far.
    pub fn served(&mut self, began: Instant, ended: Instant, displaced: u64) {
        let alone = std::mem::replace(&mut self.displaced, displaced) == displaced;
        let close = alone && self.last.is_some_and(|last| began.saturating_duration_since(last) <= CLOSE);
        self.in_succession = if close { self.in_succession.saturating_add(1) } else { 0 };
        self.last = Some(ended);
        self.served += 1;
        if self.in_succession >= ENOUGH {
            self.wake.notify_one();
        }
    }
}

/// Keeps the thread from sleeping while the next request is likely to come at once.
pub async fn stay_awake(shared: Shared) {
    let wake = shared.borrow().rhythm.wake.clone();
    loop {
        wake.notified().await;
        let (begin, served) = (Instant::now(), shared.borrow().rhythm.served);
        loop {
            tokio::task::yield_now().await;
            if shared.borrow().rhythm.served != served {
                break;
            }
            if begin.elapsed() > AWAKE {
                shared.borrow_mut().rhythm.in_succession = 0;
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_in_close_succession_make_a_rhythm() {
        let (mut rhythm, mut now) = (Rhythm::default(), Instant::now());
        let mut request = |(gap, displaced)| {
            now += Duration::from_micros(gap);
            rhythm.served(now, now, displaced);
            rhythm.in_succession
        };
        let requests = [(0, 0), (50, 0), (250, 0), (251, 0), (10, 0), (10, 0), (10, 1), (10, 1)];
        assert_eq!(requests.map(&mut request), [0, 1, 2, 0, 1, 2, 0, 1]);
    }
}
