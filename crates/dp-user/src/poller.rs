//! The polling thread: waits for packets or looks for them, and obeys what other threads ask.

use crate::Shared;
use crate::compact::Compact;
use crate::cycles;
use crate::lookup::Lookup;
use crate::member::{History, INTERVAL_SECONDS, Member, add};
use crate::port::PortCounters;
use crate::slots::{Slot, Slots};
use crate::table::Change;
use clock::Instant;
use datapath::DpAction;
use flow::{DpPort, FlowKey};
use io::vlog::{Level, Module};
use io::vlog_rl;
use netdev::{BATCH, Pool, Queue};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::fd::{BorrowedFd, OwnedFd};
use std::io as stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;
use wire::PacketBuf;

/// What other threads ask of a polling thread.
pub(crate) enum Command {
    /// A port to send to.
    Add {
        port: DpPort,
        queue: Box<dyn Queue>,
        stats: Arc<PortCounters>,
        /// Packets come from it, too.
        receive: bool,
    },
    /// Lets go of a port; gives back nothing, but says when it is done.
    Remove {
        port: DpPort,
        done: Sender<()>,
    },
    /// Receives from a queue from now on.
    Give(Rx),
    /// Stops receiving from a queue and hands it over.
    Take {
        port: DpPort,
        queue: u32,
        to: Sender<Option<Rx>>,
    },
    Execute {
        packet: Vec<u8>,
        key: Box<FlowKey>,
        actions: Vec<DpAction>,
    },
    Settle {
        done: Sender<()>,
    },
    Stop,
}

/// A queue that a thread polls.
pub(crate) struct Rx {
    pub port: DpPort,
    pub id: u32,
    pub queue: Source,
    pub work: Arc<History>,
    /// Until when its misses have had their share of the thread's time.
    pub resting: Instant,
}

/// Where packets come from.
pub(crate) enum Source {
    /// The queue that the port is sent to with, too.
    Slot,
    Own(Box<dyn Queue>),
}

/// Wakes a polling thread.
pub(crate) struct Waker {
    fd: OwnedFd,
    asked: AtomicBool,
}

impl Waker {
    pub fn new() -> stdio::Result<Waker> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Waker { fd, asked: AtomicBool::new(false) })
    }

    pub fn wake(&self) {
        self.asked.store(true, Ordering::Release);
        // A full counter wakes as well.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// Whether there was a call since the last time.
    fn heard(&self) -> bool {
        self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::Acquire)
    }
}

pub(crate) struct Poller {
    pub(crate) shared: Arc<Shared>,
    pub(crate) me: Arc<Member>,
    pub(crate) pool: Pool,
    inbox: Receiver<Command>,
    epoll: OwnedFd,
    pub(crate) slots: Slots,
    pub(crate) rxs: Vec<Rx>,
    pub(crate) lookup: Lookup,
    pub(crate) scratch: Option<Box<Scratch>>,
    /// Packets of the batch in hand; empty between batches.
    received: Vec<PacketBuf>,
    /// When the batch in hand came.
    pub(crate) batch_now: Instant,
    /// Ports with packets in `pending`.
    pub(crate) dirty: Vec<DpPort>,
    random: u32,
    /// Cycles by stage, where somebody measures.
    pub(crate) stages: Option<Box<Stages>>,
}

/// Steps of a batch.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    Between,
    Receive,
    Extract,
    Lookup,
    Execute,
    Transmit,
}

/// Cycles spent in each stage.
#[derive(Default)]
pub(crate) struct Stages {
    pub cycles: [u64; 6],
    last: u64,
}

/// A stage has ended.
#[inline(always)]
pub(crate) fn stage(stages: &mut Option<Box<Stages>>, which: Stage) {
    if let Some(s) = stages {
        let now = cycles::now();
        s.cycles[which as usize] += now.saturating_sub(s.last);
        s.last = now;
    }
}

/// Room for what is known of the packets of a batch.
pub(crate) struct Scratch {
    pub keys: [Compact; BATCH],
    pub hashes: [u64; BATCH],
    /// Number of each packet's flow, plus 1; 0: not known.
    pub flows: [u32; BATCH],
    /// Packets to be handled one by one after the others, with their short keys where they are plain.
    pub others: Vec<(PacketBuf, Option<(Compact, u64)>)>,
}

/// `epoll` data of the waker; port numbers are smaller.
const WAKER: u64 = u64::MAX;
/// Batches taken from one port before the others and the commands get their turn.
const BATCHES_PER_TURN: usize = 8;
/// For each microsecond of work on misses, a port waits this many where other ports have packets.
const REST: u32 = 24;
/// Rounds without packets after which a thread that may not sleep lets others run.
const SPINS: u32 = 4096;

impl Poller {
    pub fn new(shared: Arc<Shared>, me: Arc<Member>, inbox: Receiver<Command>) -> stdio::Result<Poller> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &me.waker.fd, epoll::EventData::new_u64(WAKER), epoll::EventFlags::IN)?;
        Ok(Poller {
            shared,
            me,
            pool: Pool::default(),
            inbox,
            epoll,
            slots: Slots::default(),
            rxs: vec![],
            lookup: Lookup::new(),
            scratch: Some(Box::new(Scratch {
                keys: [Compact::default(); BATCH],
                hashes: [0; BATCH],
                flows: [0; BATCH],
                others: Vec::with_capacity(BATCH),
            })),
            received: Vec::with_capacity(BATCH),
            batch_now: Instant::ZERO,
            dirty: vec![],
            random: 0x9e37_79b9,
            stages: None,
        })
    }

    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    pub(crate) fn random(&mut self) -> u32 {
        // Xorshift (Marsaglia 2003): sampling needs speed, not secrecy.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }

    /// Waits for packets and commands until told to stop. For devices that can be waited for.
    pub fn run(mut self) {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 64];
        let mut ready: Vec<u64> = vec![];
        loop {
            match epoll::wait(&self.epoll, &mut events[..], None::<&Timespec>) {
                Ok((list, _)) => {
                    ready.clear();
                    ready.extend(list.iter().map(|e| e.data.u64()));
                }
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => {
                    vlog_rl!((1, 1), Module::DpifNetdev, Level::Err, "epoll failed: {e}");
                    return;
                }
            }
            if ready.contains(&WAKER) {
                let mut counter = [0; 8];
                let _ = rustix::io::read(&self.me.waker.fd, &mut counter);
                self.me.waker.heard();
                if !self.commands() {
                    return;
                }
                self.poll_others();
            }
            self.poll_ready(&ready);
        }
    }

    /// Takes packets from the ports that have some. Ports whose misses have had their share of the time wait until no other
    /// has any.
    fn poll_ready(&mut self, ready: &[u64]) {
        let at = |r: &Self, data: u64| r.rxs.iter().position(|x| u64::from(x.port.0) == data);
        let list: Vec<usize> = ready.iter().filter(|d| **d != WAKER).filter_map(|d| at(self, *d)).collect();
        self.round(&list, BATCHES_PER_TURN);
    }

    /// Takes packets from queues that have some, in turn. Those whose misses have had their share of the time wait until no
    /// other queue has any. Gives the number of packets.
    pub(crate) fn round(&mut self, queues: &[usize], batches: usize) -> usize {
        let (mut packets, mut waits) = (0, None);
        for &at in queues {
            if self.rxs.get(at).is_some_and(|r| r.resting > self.batch_now && r.resting > self.now()) {
                waits = Some(at);
            } else {
                packets += self.poll_turn(at, batches);
            }
        }
        match waits {
            Some(at) if packets == 0 => self.poll_rx(at),
            _ => packets,
        }
    }

    /// Looks for packets without ever waiting, on its own core. For devices that have to be polled.
    pub fn run_pinned(mut self) {
        if let Some(place) = self.me.place {
            let mut set = rustix::thread::CpuSet::new();
            if (place.core as usize) < rustix::thread::CpuSet::MAX_CPU {
                set.set(place.core as usize);
                // A core that this machine does not have (tests make them up) cannot be had.
                let _ = rustix::thread::sched_setaffinity(None, &set);
            }
        }
        let (mut idle, mut sleep) = (0u32, Duration::ZERO);
        let mut turn = std::time::Instant::now();
        let mut last = cycles::now();
        let mut packets_before = 0;
        loop {
            if self.me.waker.heard() {
                if !self.commands() {
                    return;
                }
                last = cycles::now();
            }
            let (mut packets, busy) = (0, packets_before > 0);
            for at in 0..self.rxs.len() {
                // A queue whose misses have had their share of the time lets the others go first.
                if (packets > 0 || busy) && self.rxs[at].resting > self.batch_now {
                    continue;
                }
                let n = self.poll_rx(at);
                if n > 0 {
                    packets += n;
                    let now = cycles::now();
                    self.rxs[at].work.add(now.saturating_sub(last));
                    self.count_round(now.saturating_sub(last), true);
                    last = now;
                }
            }
            packets_before = packets;
            add(&self.me.counters.iterations, 1);
            if packets > 0 {
                add(&self.me.counters.busy_iterations, 1);
                (idle, sleep) = (0, Duration::ZERO);
            } else {
                idle = idle.saturating_add(1);
                let now = cycles::now();
                self.count_round(now.saturating_sub(last), false);
                last = now;
                last = last.max(self.rest(&mut sleep, idle));
            }
            if idle % 64 == 0 && turn.elapsed().as_secs() >= INTERVAL_SECONDS {
                turn = std::time::Instant::now();
                self.me.work.turn();
                self.me.busy.turn();
                self.rxs.iter().for_each(|r| r.work.turn());
            }
        }
    }

    fn count_round(&self, cycles: u64, busy: bool) {
        self.me.work.add(cycles);
        if busy {
            self.me.busy.add(cycles);
        }
        add(if busy { &self.me.counters.busy_cycles } else { &self.me.counters.idle_cycles }, cycles);
    }

    /// After a round without packets: sleeps where that is allowed, longer each time. Gives the cycle count afterwards.
    fn rest(&self, sleep: &mut Duration, idle: u32) -> u64 {
        let most = self.me.max_sleep.load(Ordering::Relaxed);
        if most > 0 {
            *sleep = (*sleep + Duration::from_micros(1)).min(Duration::from_micros(most));
            let began = std::time::Instant::now();
            std::thread::sleep(*sleep);
            add(&self.me.counters.sleeps, 1);
            add(&self.me.counters.slept_us, began.elapsed().as_micros() as u64);
        } else if idle > SPINS {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
        if self.rxs.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        cycles::now()
    }

    /// Obeys what waits in the channel; false: stop.
    fn commands(&mut self) -> bool {
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Stop => return false,
                Command::Add { port, queue, stats, receive } => self.add(port, queue, stats, receive),
                Command::Remove { port, done } => {
                    self.remove(port);
                    let _ = done.send(());
                }
                Command::Give(rx) => self.rxs.push(rx),
                Command::Take { port, queue, to } => {
                    let at = self.rxs.iter().position(|r| r.port == port && r.id == queue);
                    let _ = to.send(at.map(|at| self.rxs.remove(at)));
                }
                Command::Execute { packet, mut key, actions } => {
                    self.take_changes();
                    self.batch_now = self.now();
                    let packet = PacketBuf::from_bytes(&packet);
                    self.actions(&actions, packet, &mut key, 0);
                    self.flush();
                }
                Command::Settle { done } => {
                    while self.poll_others() {}
                    let _ = done.send(());
                }
            }
        }
        true
    }

    pub(crate) fn add(&mut self, port: DpPort, queue: Box<dyn Queue>, stats: Arc<PortCounters>, receive: bool) {
        if receive {
            if let Some(fd) = queue.fd() {
                // SAFETY: the descriptor belongs to `queue`, which stays open in `slots` until after `remove` has taken
                // the descriptor out of the epoll set; it is borrowed for this call only.
                let fd = unsafe { BorrowedFd::borrow_raw(fd) };
                let data = epoll::EventData::new_u64(port.0.into());
                if let Err(e) = epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN) {
                    vlog_rl!((5, 5), Module::DpifNetdev, Level::Err, "port {port}: cannot be polled ({e})");
                }
            }
            self.rxs.push(Rx { port, id: 0, queue: Source::Slot, work: Arc::default(), resting: Instant::ZERO });
        }
        self.slots.insert(port, Slot { queue, stats, pending: vec![] });
    }

    fn remove(&mut self, port: DpPort) {
        self.rxs.retain(|r| r.port != port);
        if let Some(slot) = self.slots.remove(port)
            && let Some(fd) = slot.queue.fd()
        {
            // SAFETY: as in `add`; `slot` holds the queue until the end of this block.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            let _ = epoll::delete(&self.epoll, fd);
        }
    }

    /// Takes packets from the queues that epoll knows nothing of; whether there were any.
    fn poll_others(&mut self) -> bool {
        let mut any = false;
        for at in 0..self.rxs.len() {
            let waits = match &self.rxs[at].queue {
                Source::Own(_) => false,
                Source::Slot => self.slots.get(self.rxs[at].port).is_some_and(|s| s.queue.fd().is_some()),
            };
            any |= !waits && self.poll_turn(at, BATCHES_PER_TURN) > 0;
        }
        any
    }

    /// Takes packets from a queue, so many that others are not kept waiting; gives their number.
    fn poll_turn(&mut self, at: usize, batches: usize) -> usize {
        let mut packets = 0;
        for _ in 0..batches {
            let n = self.poll_rx(at);
            packets += n;
            if n == 0 || self.rxs.get(at).is_none_or(|r| r.resting > self.batch_now) {
                break;
            }
        }
        packets
    }

    /// Takes one batch from a queue and handles it; gives its length.
    pub(crate) fn poll_rx(&mut self, at: usize) -> usize {
        let mut packets = std::mem::take(&mut self.received);
        let Some(rx) = self.rxs.get_mut(at) else { return 0 };
        let port = rx.port;
        let slot = self.slots.get_mut(port);
        let queue = match (&mut rx.queue, slot) {
            (Source::Own(queue), _) => queue,
            (Source::Slot, Some(slot)) => &mut slot.queue,
            (Source::Slot, None) => return 0,
        };
        stage(&mut self.stages, Stage::Between);
        let result = queue.receive(&mut self.pool, &mut packets);
        let fd = queue.fd();
        stage(&mut self.stages, Stage::Receive);
        if let Err(e) = result {
            self.broken(port, fd, &e);
        }
        let n = packets.len();
        if n > 0 {
            let bytes: u64 = packets.iter().map(|p| p.len() as u64).sum();
            if let Some(slot) = self.slots.get(port) {
                add(&slot.stats.rx_packets, n as u64);
                add(&slot.stats.rx_bytes, bytes);
            }
            add(&self.me.counters.rx, n as u64);
            let missing = self.batch(port, &mut packets);
            if missing > 0 {
                self.rest_port(at);
            }
            self.flush();
            stage(&mut self.stages, Stage::Transmit);
        }
        self.received = packets;
        n
    }

    /// A port whose packets made work for the switch lets others go first for a while.
    fn rest_port(&mut self, at: usize) {
        let now = self.now();
        let spent = now.since(self.batch_now);
        if let Some(rx) = self.rxs.get_mut(at) {
            rx.resting = now + spent * REST;
        }
    }

    /// The device is gone or broken; the switch removes the port when it notices. Until then, silence.
    fn broken(&mut self, port: DpPort, fd: Option<i32>, e: &stdio::Error) {
        if !is_gone(e) {
            let why = io::program::strerror(e);
            vlog_rl!((5, 5), Module::DpifNetdev, Level::Warn, "error receiving data from port {port}: {why}");
        }
        if let Some(fd) = fd {
            // SAFETY: as in `add`.
            let _ = epoll::delete(&self.epoll, unsafe { BorrowedFd::borrow_raw(fd) });
        }
    }

    /// Takes over what other threads changed in the flow table.
    pub(crate) fn take_changes(&mut self) {
        for change in self.me.table.take_changes() {
            match change {
                Change::Add(flow) => {
                    self.lookup.insert(&flow);
                }
                Change::Modify(flow) => self.lookup.refresh(&flow),
                Change::Remove(flow) => self.lookup.remove(&flow),
            }
        }
    }
}

/// Whether an error says that a device was taken away, which is nobody's fault.
fn is_gone(e: &stdio::Error) -> bool {
    use rustix::io::Errno;
    let gone = [Errno::NETDOWN, Errno::BADFD, Errno::NXIO, Errno::NODEV];
    e.raw_os_error().is_some_and(|n| gone.iter().any(|d| d.raw_os_error() == n))
}
