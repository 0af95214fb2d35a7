//! A polling thread as everybody else sees it: its flow table, its counters, and the way to talk to it.

use crate::poller::{Command, Waker};
use crate::table::FlowTable;
use flow::DpPort;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// Where a polling thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Processor core.
    pub core: u32,
    /// Its NUMA node.
    pub numa: u32,
}

/// Defines the counters of a thread once: live, and as read.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters that one polling thread writes and anybody reads.
        #[derive(Debug, Default)]
        #[repr(align(64))]
        pub(crate) struct Counters { $(pub $name: AtomicU64,)* }

        /// Counters of a polling thread at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct ThreadStats { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            pub fn read(&self) -> ThreadStats {
                ThreadStats { $($name: self.$name.load(Relaxed),)* }
            }
        }

        impl ThreadStats {
            /// The counters with their names.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// What was counted since `before`.
            #[must_use]
            pub fn since(&self, before: &ThreadStats) -> ThreadStats {
                ThreadStats { $($name: self.$name.saturating_sub(before.$name),)* }
            }

            /// Both together.
            #[must_use]
            pub fn plus(&self, other: &ThreadStats) -> ThreadStats {
                ThreadStats { $($name: self.$name + other.$name,)* }
            }
        }
    };
}

counters! {
    /// Packets that came in.
    rx,
    /// Packets that came again, after recirculation.
    recirculated,
    /// Lookups that the signature cache answered, standing for the exact-match cache.
    emc_hit,
    /// The same, while the signature cache is switched on as such.
    smc_hit,
    /// Lookups that the subtables answered.
    mega_hit,
    /// Subtables searched for them.
    searched,
    /// Packets that the switch was asked about, with an answer.
    upcalls,
    /// Those that nobody could handle.
    lost,
    /// Time spent on them, in cycles.
    upcall_cycles,
    /// Packets sent.
    tx,
    /// Batches in which they were sent.
    tx_batches,
    /// Rounds over all queues.
    iterations,
    /// Rounds that found packets.
    busy_iterations,
    /// Cycles of rounds that found packets.
    busy_cycles,
    /// Cycles of rounds that found none.
    idle_cycles,
    /// Rounds that slept.
    sleeps,
    /// Microseconds slept.
    slept_us,
}

/// Counters have one writer, so no locked instruction is needed.
#[inline(always)]
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed) + n, Relaxed);
}

/// Intervals of the history of a queue's or a thread's work.
pub(crate) const INTERVALS: usize = 12;
/// Seconds of an interval.
pub(crate) const INTERVAL_SECONDS: u64 = 5;

/// Cycles in the last intervals. One thread writes.
#[derive(Debug, Default)]
pub(crate) struct History {
    now: AtomicU64,
    past: [AtomicU64; INTERVALS],
    next: AtomicUsize,
}

impl History {
    #[inline]
    pub fn add(&self, cycles: u64) {
        add(&self.now, cycles);
    }

    /// Ends an interval.
    pub fn turn(&self) {
        let at = self.next.load(Relaxed);
        self.past[at % INTERVALS].store(self.now.load(Relaxed), Relaxed);
        self.now.store(0, Relaxed);
        self.next.store(at + 1, Relaxed);
    }

    /// Sum of the last `n` intervals that have ended.
    pub fn last(&self, n: usize) -> u64 {
        let at = self.next.load(Relaxed);
        (1..=n.min(INTERVALS).min(at)).map(|back| self.past[(at - back) % INTERVALS].load(Relaxed)).sum()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.now.store(0, Relaxed);
        self.past.iter().for_each(|p| p.store(0, Relaxed));
        self.next.store(0, Relaxed);
    }
}

/// A receive queue as others see it.
#[derive(Clone, Debug)]
pub(crate) struct RxInfo {
    pub port: DpPort,
    pub name: Arc<str>,
    pub queue: u32,
    pub work: Arc<History>,
}

/// See the module's description.
pub(crate) struct Member {
    /// `None`: the thread for devices that can be waited for.
    pub place: Option<Place>,
    pub table: FlowTable,
    pub counters: Counters,
    /// All cycles and those of busy rounds.
    pub work: History,
    pub busy: History,
    /// Longest sleep in microseconds.
    pub max_sleep: AtomicU64,
    /// Pinned queues keep others away.
    pub isolated: AtomicBool,
    /// Counters at the last `pmd-stats-clear`, and when that was.
    pub baseline: Mutex<(ThreadStats, clock::Instant)>,
    /// What it receives from; only threads with a place.
    pub queues: Mutex<Vec<RxInfo>>,
    commands: Sender<Command>,
    pub waker: Arc<Waker>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(|e| e.into_inner())
}

impl Member {
    pub fn new(place: Option<Place>, commands: Sender<Command>, waker: Waker, now: clock::Instant) -> Member {
        Member {
            place,
            table: FlowTable::new(place.map_or(0, |p| p.core + 1)),
            counters: Counters::default(),
            work: History::default(),
            busy: History::default(),
            max_sleep: AtomicU64::new(0),
            isolated: AtomicBool::new(false),
            baseline: Mutex::new((ThreadStats::default(), now)),
            queues: Mutex::default(),
            commands,
            waker: Arc::new(waker),
            thread: Mutex::new(None),
        }
    }

    pub fn started(&self, thread: JoinHandle<()>) {
        *lock(&self.thread) = Some(thread);
    }

    pub fn send(&self, command: Command) {
        // A thread that has ended needs no commands.
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    /// Sends a command that answers, and waits for the answer; `None` if the thread has ended.
    pub fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Option<T> {
        let (done, wait) = channel();
        self.send(command(done));
        wait.recv().ok()
    }

    /// Counters since the last clearing.
    pub fn stats(&self) -> ThreadStats {
        self.counters.read().since(&lock(&self.baseline).0)
    }

    pub fn clear_stats(&self, now: clock::Instant) {
        *lock(&self.baseline) = (self.counters.read(), now);
    }

    /// Lets the thread end and waits for it.
    pub fn stop(&self) {
        self.send(Command::Stop);
        if let Some(t) = lock(&self.thread).take() {
            let _ = t.join();
        }
    }
}
