//! The polling thread.

use crate::Shared;
use crate::cache::ExactCache;
use crate::port::PortCounters;
use clock::Instant;
use datapath::{DpAction, FlowPut, InstallFlow, Ufid, Upcall, UpcallKind};
use flow::{DpPort, FlowKey, Metadata};
use io::vlog::{Level, Module};
use io::vlog_rl;
use netdev::{Pool, Queue};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::fd::{BorrowedFd, OwnedFd};
use std::collections::BTreeMap;
use std::io as stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender};
use wire::PacketBuf;

/// What other threads ask of the polling thread.
pub(crate) enum Command {
    Add { port: DpPort, queue: Box<dyn Queue>, stats: Arc<PortCounters> },
    Remove { port: DpPort, done: Sender<()> },
    Execute { packet: Vec<u8>, key: Box<FlowKey>, actions: Vec<DpAction> },
    Settle { done: Sender<()> },
    Stop,
}

/// Wakes the polling thread from epoll.
pub(crate) struct Waker(OwnedFd);

impl Waker {
    pub fn wake(&self) {
        // A full counter wakes as well.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

struct Slot {
    queue: Box<dyn Queue>,
    stats: Arc<PortCounters>,
    /// Packets to send at the end of the batch.
    pending: Vec<PacketBuf>,
}

pub(crate) struct Poller {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Pool,
    inbox: Receiver<Command>,
    waker: Arc<Waker>,
    epoll: OwnedFd,
    slots: BTreeMap<DpPort, Slot>,
    cache: ExactCache,
    /// Ports with packets in `pending`.
    dirty: Vec<DpPort>,
    random: u32,
}

/// `epoll` data of the waker; port numbers are smaller.
const WAKER: u64 = u64::MAX;
/// Batches taken from one port before the others and the commands get their turn.
const BATCHES_PER_TURN: usize = 8;

impl Poller {
    pub fn new(shared: Arc<Shared>, inbox: Receiver<Command>) -> stdio::Result<Poller> {
        let waker = Waker(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &waker.0, epoll::EventData::new_u64(WAKER), epoll::EventFlags::IN)?;
        Ok(Poller {
            shared,
            pool: Pool::default(),
            inbox,
            waker: Arc::new(waker),
            epoll,
            slots: BTreeMap::new(),
            cache: ExactCache::new(),
            dirty: vec![],
            random: 0x9e37_79b9,
        })
    }

    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
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

    /// Runs until told to stop.
    pub fn run(mut self) {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 64];
        loop {
            let ready: Vec<u64> = match epoll::wait(&self.epoll, &mut events[..], None::<&Timespec>) {
                Ok((ready, _)) => ready.iter().map(|e| e.data.u64()).collect(),
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => {
                    vlog_rl!((1, 1), Module::DpifNetdev, Level::Err, "epoll failed: {e}");
                    return;
                }
            };
            for data in ready {
                if data == WAKER {
                    let mut counter = [0; 8];
                    let _ = rustix::io::read(&self.waker.0, &mut counter);
                    if !self.commands() {
                        return;
                    }
                    self.poll_others();
                } else {
                    self.poll_port(DpPort(data as u32));
                }
            }
        }
    }

    /// Obeys what waits in the channel; false: stop.
    fn commands(&mut self) -> bool {
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Stop => return false,
                Command::Add { port, queue, stats } => self.add(port, queue, stats),
                Command::Remove { port, done } => {
                    self.remove(port);
                    let _ = done.send(());
                }
                Command::Execute { packet, mut key, actions } => {
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

    fn add(&mut self, port: DpPort, queue: Box<dyn Queue>, stats: Arc<PortCounters>) {
        if let Some(fd) = queue.fd() {
            // SAFETY: the descriptor belongs to `queue`, which stays open in `slots` until after `remove` has taken the
            // descriptor out of the epoll set; it is borrowed for this call only.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            let data = epoll::EventData::new_u64(port.0.into());
            if let Err(e) = epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN) {
                vlog_rl!((5, 5), Module::DpifNetdev, Level::Err, "port {port}: cannot be polled ({e})");
            }
        }
        self.slots.insert(port, Slot { queue, stats, pending: vec![] });
    }

    fn remove(&mut self, port: DpPort) {
        if let Some(slot) = self.slots.remove(&port)
            && let Some(fd) = slot.queue.fd()
        {
            // SAFETY: as in `add`; `slot` holds the queue until the end of this block.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            let _ = epoll::delete(&self.epoll, fd);
        }
        self.cache.clear();
    }

    /// Takes packets from the ports that epoll knows nothing of; whether there were any.
    fn poll_others(&mut self) -> bool {
        let ports: Vec<DpPort> = self.slots.iter().filter(|(_, s)| s.queue.fd().is_none()).map(|(p, _)| *p).collect();
        let mut any = false;
        for p in ports {
            any |= self.poll_port(p);
        }
        any
    }

    fn poll_port(&mut self, port: DpPort) -> bool {
        let mut any = false;
        for _ in 0..BATCHES_PER_TURN {
            let mut batch = vec![];
            let Some(slot) = self.slots.get_mut(&port) else { return any };
            match slot.queue.receive(&mut self.pool, &mut batch) {
                Ok(0) => break,
                Ok(_) => any = true,
                Err(e) => {
                    if !is_gone(&e) {
                        vlog_rl!(
                            (5, 5),
                            Module::DpifNetdev,
                            Level::Warn,
                            "error receiving data from port {port}: {}",
                            io::program::strerror(&e)
                        );
                    }
                    // The device is gone or broken; the switch removes the port when it notices. Until then, silence.
                    if let Some(fd) = slot.queue.fd() {
                        // SAFETY: as in `add`.
                        let _ = epoll::delete(&self.epoll, unsafe { BorrowedFd::borrow_raw(fd) });
                    }
                    break;
                }
            }
            let bytes: u64 = batch.iter().map(|p| p.len() as u64).sum();
            add(&slot.stats.rx_packets, batch.len() as u64);
            add(&slot.stats.rx_bytes, bytes);
            let mut meta = Metadata::default();
            meta.key.set_in_port_raw(port.0);
            for packet in batch {
                let mut key = flow::extract(packet.bytes(), &meta);
                self.process(packet, &mut key, 0);
            }
            self.flush();
        }
        any
    }

    /// Finds the packet's flow, or asks the switch, and runs the actions.
    pub(crate) fn process(&mut self, packet: PacketBuf, key: &mut FlowKey, depth: u32) {
        let found = match self.cache.lookup(key) {
            Some(f) => {
                add(&self.shared.stats.cache_hit, 1);
                Some(f)
            }
            None => self.shared.table.lookup(key).inspect(|f| {
                add(&self.shared.stats.hit, 1);
                self.cache.insert(key, f.clone());
            }),
        };
        match found {
            Some(f) => {
                f.data.counters.add(1, packet.len() as u64, key.tcp_flags(), self.now().as_millis());
                let actions = f.data.actions();
                self.actions(&actions, packet, key, depth);
            }
            None => self.miss(packet, key, depth),
        }
    }

    fn miss(&mut self, mut packet: PacketBuf, key: &mut FlowKey, depth: u32) {
        add(&self.shared.stats.missed, 1);
        let Some(handler) = (**self.shared.handler.load()).clone() else {
            add(&self.shared.stats.lost, 1);
            return self.pool.give(packet);
        };
        if let Some(slot) = self.slots.get(&DpPort(key.in_port_raw())) {
            add(&slot.stats.upcalls, 1);
        }
        // What controllers and protocols get to see is a packet as it would be on the wire.
        if packet.gso.is_none() {
            packet.complete_checksum();
        }
        let upcall = Upcall { key, packet: packet.bytes(), ufid: Ufid(0), kind: UpcallKind::Miss, now: self.now() };
        let answer = handler.upcall(&upcall);
        if let Some(InstallFlow { mask, actions }) = answer.install {
            let put = FlowPut {
                ufid: None,
                key: *key,
                mask,
                actions: actions.unwrap_or_else(|| answer.actions.clone()),
                create: true,
                modify: false,
                zero_stats: false,
            };
            let limit = self.shared.flow_limit.load(Relaxed);
            match self.shared.table.put(put, limit) {
                Ok((flow, _)) => handler.installed(flow.data.ufid, key, &mask, &flow.data.actions(), true),
                Err(_) => handler.installed(Ufid::of(key, &mask), key, &mask, &Arc::from([]), false),
            }
        }
        self.actions(&answer.actions, packet, key, depth);
    }

    /// Queues a packet for a port; a port that is not there drops it.
    pub(crate) fn output(&mut self, port: DpPort, packet: PacketBuf) {
        match self.slots.get_mut(&port) {
            Some(slot) => {
                if slot.pending.is_empty() {
                    self.dirty.push(port);
                }
                slot.pending.push(packet);
                if slot.pending.len() >= netdev::BATCH {
                    self.flush();
                }
            }
            None => self.pool.give(packet),
        }
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) {
        for port in std::mem::take(&mut self.dirty) {
            let Some(slot) = self.slots.get_mut(&port) else { continue };
            let offloads = slot.queue.offloads();
            let mut ready = Vec::with_capacity(slot.pending.len());
            for mut p in std::mem::take(&mut slot.pending) {
                if p.gso.is_some() && !offloads.segmentation {
                    ready.extend(wire::gso::segment(p));
                } else {
                    if !offloads.checksum {
                        p.complete_checksum();
                    }
                    ready.push(p);
                }
            }
            for chunk in ready.chunks_mut(netdev::BATCH) {
                let sent = slot.queue.send(chunk);
                add(&slot.stats.tx_packets, sent.packets);
                add(&slot.stats.tx_bytes, sent.bytes);
                add(&slot.stats.tx_dropped, sent.dropped);
            }
            ready.into_iter().for_each(|p| self.pool.give(p));
        }
    }
}

/// Whether an error says that a device was taken away, which is nobody's fault.
fn is_gone(e: &stdio::Error) -> bool {
    use rustix::io::Errno;
    let gone = [Errno::NETDOWN, Errno::BADFD, Errno::NXIO, Errno::NODEV];
    e.raw_os_error().is_some_and(|n| gone.iter().any(|d| d.raw_os_error() == n))
}

/// Counters have one writer, so no locked instruction is needed.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed) + n, Relaxed);
}
