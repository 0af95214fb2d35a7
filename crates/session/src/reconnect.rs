//! When to connect, when to give up, when to probe: the life of one active connection.
//!
//! ```text
//!            enable             Connect              connected
//!   Void ───────────▶ Backoff ─────────▶ Connecting ───────────▶ Active ──silent──▶ Idle
//!                        ▲                   │                     ▲  └──received────┘ │
//!                        └────── failed ─────┴─────────────────────┴─── no answer ─────┘
//! ```
//!
//! Call [`Reconnect::run`] whenever [`Reconnect::next_deadline`] has passed and after each event; do what it says.

use clock::Instant;
use std::time::Duration;

/// What the owner of the connection has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Open the connection, then report [`Reconnect::connecting`] and its outcome.
    Connect,
    /// Close the connection, then report [`Reconnect::disconnected`].
    Disconnect,
    /// Send an echo request.
    Probe,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Void,
    Backoff { until: Instant },
    Connecting { since: Instant },
    Active { last: Instant },
    Idle { since: Instant },
}

/// The state machine.
#[derive(Clone, Debug)]
pub struct Reconnect {
    state: State,
    min_backoff: Duration,
    max_backoff: Duration,
    backoff: Duration,
    probe_interval: Option<Duration>,
    connected_at: Option<Instant>,
}

impl Reconnect {
    /// A disabled connection: backoff 1 to 8 seconds, probe after 5 seconds of silence.
    pub fn new() -> Self {
        Reconnect {
            state: State::Void,
            min_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(8),
            backoff: Duration::ZERO,
            probe_interval: Some(Duration::from_secs(5)),
            connected_at: None,
        }
    }

    /// Sets the shortest and longest wait between attempts. `max` below `min` is raised to it.
    pub fn set_backoff(&mut self, min: Duration, max: Duration) {
        self.min_backoff = min.max(Duration::from_millis(1));
        self.max_backoff = max.max(self.min_backoff);
        let before = self.backoff;
        self.backoff = before.min(self.max_backoff);
        if let State::Backoff { until } = &mut self.state {
            *until = clock::Instant::from_nanos(until.as_nanos() - (before - self.backoff).as_nanos() as u64);
        }
    }

    /// Whether attempts to connect come too seldom to be worth a word each.
    pub fn is_settled(&self) -> bool {
        self.backoff >= self.max_backoff
    }

    /// Sets after how much silence a probe is sent; `None` turns probing off.
    pub fn set_probe_interval(&mut self, interval: Option<Duration>) {
        self.probe_interval = interval;
    }

    /// Starts connecting now.
    pub fn enable(&mut self, now: Instant) {
        if self.state == State::Void {
            self.backoff = Duration::ZERO;
            self.state = State::Backoff { until: now };
        }
    }

    /// The owner has begun to open the connection.
    pub fn connecting(&mut self, now: Instant) {
        self.state = State::Connecting { since: now };
    }

    /// The connection is open.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
        self.state = State::Active { last: now };
    }

    /// Something was received.
    pub fn activity(&mut self, now: Instant) {
        if matches!(self.state, State::Active { .. } | State::Idle { .. }) {
            self.state = State::Active { last: now };
        }
    }

    /// The connection failed or was closed by either side.
    pub fn disconnected(&mut self, now: Instant) {
        if self.state == State::Void {
            return;
        }
        // A connection that lasted is no reason to wait: the first attempt after it comes after the shortest wait.
        let lasted = self.connected_at.take().is_some_and(|at| now.since(at) >= self.backoff);
        self.backoff =
            if self.backoff.is_zero() || lasted { self.min_backoff } else { (self.backoff * 2).min(self.max_backoff) };
        self.state = State::Backoff { until: now + self.backoff };
    }

    /// Whether the connection is open.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Active { .. } | State::Idle { .. })
    }

    /// The state's name as logs and status columns show it.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            State::Void => "VOID",
            State::Backoff { .. } => "BACKOFF",
            State::Connecting { .. } => "CONNECTING",
            State::Active { .. } => "ACTIVE",
            State::Idle { .. } => "IDLE",
        }
    }

    /// The present wait between attempts.
    pub fn backoff(&self) -> Duration {
        self.backoff
    }

    /// When [`Reconnect::run`] has to be called next at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Void => None,
            State::Backoff { until } => Some(until),
            State::Connecting { since } => Some(since + self.backoff.max(Duration::from_secs(1))),
            State::Active { last } => self.probe_interval.map(|p| last + p),
            State::Idle { since } => self.probe_interval.map(|p| since + p),
        }
    }

    /// What to do now, if anything.
    pub fn run(&mut self, now: Instant) -> Option<Action> {
        if self.next_deadline().is_none_or(|d| now < d) {
            return None;
        }
        match self.state {
            State::Void => None,
            State::Backoff { .. } => Some(Action::Connect),
            State::Connecting { .. } | State::Idle { .. } => Some(Action::Disconnect),
            State::Active { .. } => {
                self.state = State::Idle { since: now };
                Some(Action::Probe)
            }
        }
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Reconnect::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn backoff_doubles_to_its_limit_and_starts_over_after_a_long_connection() {
        let mut r = Reconnect::new();
        r.enable(at(0));
        let mut now = at(0);
        let mut waits = vec![];
        for _ in 0..6 {
            assert_eq!(r.run(now), Some(Action::Connect));
            r.connecting(now);
            r.disconnected(now);
            waits.push((r.next_deadline().unwrap() - now).as_millis());
            now = r.next_deadline().unwrap();
        }
        assert_eq!(waits, [1000, 2000, 4000, 8000, 8000, 8000]);
        r.connecting(now);
        r.connected(now);
        now += Duration::from_secs(60);
        r.disconnected(now);
        assert_eq!(r.backoff(), Duration::from_secs(1));
    }

    #[test]
    fn a_shorter_limit_ends_a_wait_sooner() {
        let mut r = Reconnect::new();
        r.enable(at(0));
        for _ in 0..4 {
            r.connecting(at(0));
            r.disconnected(at(0));
        }
        assert_eq!(r.next_deadline(), Some(at(8000)));
        assert!(r.is_settled());
        r.set_backoff(Duration::from_secs(1), Duration::from_secs(3));
        assert_eq!(r.next_deadline(), Some(at(3000)));
        r.set_backoff(Duration::from_secs(1), Duration::from_secs(20));
        assert_eq!(r.next_deadline(), Some(at(3000)));
        assert!(!r.is_settled());
    }

    #[test]
    fn silence_is_probed_then_cut() {
        let mut r = Reconnect::new();
        r.enable(at(0));
        r.connecting(at(0));
        r.connected(at(0));
        assert_eq!(r.run(at(4999)), None);
        assert_eq!(r.run(at(5000)), Some(Action::Probe));
        assert_eq!(r.run(at(5001)), None);
        r.activity(at(6000));
        assert_eq!(r.run(at(11000)), Some(Action::Probe));
        assert_eq!(r.run(at(16000)), Some(Action::Disconnect));
    }

    #[test]
    fn a_disabled_connection_wants_nothing() {
        let mut r = Reconnect::new();
        assert_eq!(r.next_deadline(), None);
        assert_eq!(r.run(at(1_000_000)), None);
        r.disconnected(at(0));
        assert_eq!(r.state_name(), "VOID");
    }
}
