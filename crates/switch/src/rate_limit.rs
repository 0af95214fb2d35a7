//! How many packets a controller gets a second (`Controller:controller_rate_limit`). What is above the rate waits, by input
//! port, so that one port that floods does not keep the packets of others from the controller.

use clock::Instant;
use flow::OfPort;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// Packets a second, at least 1.
    pub rate: u32,
    /// Packets that may go at once after silence.
    pub burst: u32,
    /// Packets that may wait.
    pub queue: u32,
}

/// Thousandths of a packet.
const PACKET: u64 = 1000;

/// Packets on their way to one controller. Poll [`Scheduler::release`] at [`Scheduler::next_deadline`].
#[derive(Debug)]
pub struct Scheduler<T> {
    limit: RateLimit,
    tokens: u64,
    filled: Instant,
    waiting: BTreeMap<OfPort, VecDeque<T>>,
    n_waiting: usize,
    /// Port that was served last.
    last: OfPort,
    /// Packets that could go at once.
    pub bypassed: u64,
    /// Packets that had to wait.
    pub queued: u64,
    /// Packets that found no place.
    pub dropped: u64,
}

impl<T> Scheduler<T> {
    /// Nothing waits, and a burst may go.
    pub fn new(limit: RateLimit, now: Instant) -> Self {
        let tokens = u64::from(limit.burst.max(1)) * PACKET;
        let waiting = BTreeMap::new();
        Scheduler {
            limit,
            tokens,
            filled: now,
            waiting,
            n_waiting: 0,
            last: OfPort::default(),
            bypassed: 0,
            queued: 0,
            dropped: 0,
        }
    }

    /// Goes on with another limit; what waits goes on waiting.
    pub fn set_limit(&mut self, limit: RateLimit) {
        self.limit = limit;
        self.tokens = self.tokens.min(u64::from(limit.burst.max(1)) * PACKET);
    }

    /// Packets that wait.
    pub fn backlog(&self) -> usize {
        self.n_waiting
    }

    fn fill(&mut self, now: Instant) {
        let gained = now.since(self.filled).as_millis().saturating_mul(u128::from(self.limit.rate));
        let most = u64::from(self.limit.burst.max(1)) * PACKET;
        self.tokens = self.tokens.saturating_add(u64::try_from(gained).unwrap_or(most)).min(most);
        self.filled = now;
    }

    fn take_token(&mut self) -> bool {
        let enough = self.tokens >= PACKET;
        if enough {
            self.tokens -= PACKET;
        }
        enough
    }

    /// A packet from `port`: comes back if it may go now.
    pub fn offer(&mut self, port: OfPort, packet: T, now: Instant) -> Option<T> {
        self.fill(now);
        if self.n_waiting == 0 && self.take_token() {
            self.bypassed += 1;
            return Some(packet);
        }
        if self.n_waiting >= self.limit.queue as usize {
            self.dropped += 1;
            // The port with most waiting packets gives way.
            let longest = self.waiting.iter().max_by_key(|(_, q)| q.len()).map(|(p, q)| (*p, q.len()));
            match longest {
                Some((p, n)) if n > self.waiting.get(&port).map_or(0, VecDeque::len) => self.drop_from(p),
                _ => return None,
            }
        }
        self.waiting.entry(port).or_default().push_back(packet);
        self.n_waiting += 1;
        self.queued += 1;
        None
    }

    fn drop_from(&mut self, port: OfPort) {
        if let Some(q) = self.waiting.get_mut(&port)
            && q.pop_front().is_some()
        {
            self.n_waiting -= 1;
        }
    }

    /// Packets that may go now, the ports in turn.
    pub fn release(&mut self, now: Instant) -> Vec<T> {
        self.fill(now);
        let mut out = vec![];
        while self.n_waiting > 0 && self.take_token() {
            let after = self.waiting.range((std::ops::Bound::Excluded(self.last), std::ops::Bound::Unbounded)).next();
            let Some(port) = after.or_else(|| self.waiting.iter().next()).map(|(p, _)| *p) else { break };
            self.last = port;
            let Some(q) = self.waiting.get_mut(&port) else { break };
            out.extend(q.pop_front());
            self.n_waiting -= 1;
            if q.is_empty() {
                self.waiting.remove(&port);
            }
        }
        out
    }

    /// When the next waiting packet may go.
    pub fn next_deadline(&self) -> Option<Instant> {
        let missing = PACKET.saturating_sub(self.tokens);
        let wait = Duration::from_millis(missing.div_ceil(u64::from(self.limit.rate.max(1))));
        (self.n_waiting > 0).then(|| self.filled + wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let mut s = Scheduler::new(RateLimit { rate: 10, burst: 2, queue: 8 }, at(0));
        let at_once = (0..5).filter_map(|n| s.offer(OfPort(1), n, at(0))).collect::<Vec<_>>();
        assert_eq!(at_once, [0, 1]);
        assert_eq!((s.bypassed, s.queued, s.backlog()), (2, 3, 3));
        assert_eq!(s.next_deadline(), Some(at(100)));
        assert_eq!(s.release(at(99)), [0; 0]);
        assert_eq!(s.release(at(100)), [2]);
        assert_eq!(s.release(at(1000)), [3, 4]);
        assert_eq!(s.next_deadline(), None);
        s.set_limit(RateLimit { rate: 10, burst: 1, queue: 8 });
        assert_eq!(s.offer(OfPort(1), 5, at(9000)), Some(5));
        assert_eq!(s.offer(OfPort(1), 6, at(9000)), None);
    }

    #[test]
    fn a_flooding_port_gives_way() {
        let mut s = Scheduler::new(RateLimit { rate: 1, burst: 1, queue: 4 }, at(0));
        for n in 0..100 {
            s.offer(OfPort(1), n, at(0));
        }
        assert_eq!(s.offer(OfPort(2), 1000, at(0)), None);
        assert_eq!((s.dropped, s.n_waiting), (96, 4));
        let order: Vec<i32> = (1..5).flat_map(|t| s.release(at(t * 1000))).collect();
        assert_eq!(order.iter().position(|n| *n == 1000), Some(1), "the ports take turns: {order:?}");
    }
}
