//! The polling thread.

use crate::Shared;
use crate::lookup::{Found, Lookup, Simple};
use crate::port::PortCounters;
use crate::table::{Change, Megaflow};
use clock::Instant;
use datapath::{DpAction, FlowPut, InstallFlow, Ufid, Upcall, UpcallKind};
use flow::{DpPort, FlowKey};
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

/// Ports by number: small numbers at once, others by search.
#[derive(Default)]
struct Slots {
    near: Vec<Option<Box<Slot>>>,
    far: BTreeMap<DpPort, Box<Slot>>,
}

/// Port numbers below this have a place of their own.
const NEAR: u32 = 4096;

impl Slots {
    #[inline]
    fn get_mut(&mut self, port: &DpPort) -> Option<&mut Slot> {
        if port.0 < NEAR {
            return self.near.get_mut(port.0 as usize)?.as_deref_mut();
        }
        self.far.get_mut(port).map(|b| &mut **b)
    }

    fn get(&self, port: &DpPort) -> Option<&Slot> {
        if port.0 < NEAR {
            return self.near.get(port.0 as usize)?.as_deref();
        }
        self.far.get(port).map(|b| &**b)
    }

    fn insert(&mut self, port: DpPort, slot: Slot) {
        if port.0 < NEAR {
            let at = port.0 as usize;
            if self.near.len() <= at {
                self.near.resize_with(at + 1, || None);
            }
            self.near[at] = Some(Box::new(slot));
        } else {
            self.far.insert(port, Box::new(slot));
        }
    }

    fn remove(&mut self, port: &DpPort) -> Option<Slot> {
        if port.0 < NEAR {
            return self.near.get_mut(port.0 as usize)?.take().map(|b| *b);
        }
        self.far.remove(port).map(|b| *b)
    }

    fn iter(&self) -> impl Iterator<Item = (DpPort, &Slot)> {
        let near = self.near.iter().enumerate().filter_map(|(i, s)| Some((DpPort(i as u32), s.as_deref()?)));
        near.chain(self.far.iter().map(|(p, s)| (*p, &**s)))
    }
}

pub(crate) struct Poller {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Pool,
    inbox: Receiver<Command>,
    waker: Arc<Waker>,
    epoll: OwnedFd,
    slots: Slots,
    pub(crate) lookup: Lookup,
    /// Keys of the batch in hand; only the words that extraction writes are cleared between packets.
    /// Between batches all words but the headers and the input port are zero.
    keys: Vec<FlowKey>,
    /// Hash and flow of each packet of the batch in hand.
    found: Vec<(u64, Option<u32>)>,
    /// Packets of the batch in hand; empty between batches.
    received: Vec<PacketBuf>,
    /// When the batch in hand came.
    pub(crate) batch_now: Instant,
    /// Ports with packets in `pending`.
    dirty: Vec<DpPort>,
    random: u32,
}

/// Words of a key that extraction fills from a packet's bytes.
const HEADER_WORDS: std::ops::Range<usize> = 39..58;
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
            slots: Slots::default(),
            lookup: Lookup::new(),
            keys: vec![FlowKey::ZERO; netdev::BATCH],
            found: Vec::with_capacity(netdev::BATCH),
            received: Vec::with_capacity(netdev::BATCH),
            batch_now: Instant::ZERO,
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

    pub(crate) fn add(&mut self, port: DpPort, queue: Box<dyn Queue>, stats: Arc<PortCounters>) {
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
    }

    /// Takes packets from the ports that epoll knows nothing of; whether there were any.
    fn poll_others(&mut self) -> bool {
        let ports: Vec<DpPort> = self.slots.iter().filter(|(_, s)| s.queue.fd().is_none()).map(|(p, _)| p).collect();
        let mut any = false;
        for p in ports {
            any |= self.poll_port(p);
        }
        any
    }

    /// Takes packets from a port; whether there were any.
    fn poll_port(&mut self, port: DpPort) -> bool {
        let mut any = false;
        for _ in 0..BATCHES_PER_TURN {
            if self.poll_batch(port) == 0 {
                break;
            }
            any = true;
        }
        any
    }

    /// Takes one batch from a port and handles it; gives its length.
    pub(crate) fn poll_batch(&mut self, port: DpPort) -> usize {
        let mut packets = std::mem::take(&mut self.received);
        let Some(slot) = self.slots.get_mut(&port) else { return 0 };
        if let Err(e) = slot.queue.receive(&mut self.pool, &mut packets) {
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
        }
        let n = packets.len();
        if n > 0 {
            let bytes: u64 = packets.iter().map(|p| p.len() as u64).sum();
            add(&slot.stats.rx_packets, n as u64);
            add(&slot.stats.rx_bytes, bytes);
            self.batch(port, &mut packets);
            self.flush();
        }
        self.received = packets;
        n
    }

    /// Takes over what other threads changed in the flow table.
    fn take_changes(&mut self) {
        for change in self.shared.table.take_changes() {
            match change {
                Change::Add(flow) => self.lookup.insert(&flow),
                Change::Modify(flow) => self.lookup.refresh(&flow),
                Change::Remove(flow) => self.lookup.remove(&flow),
            }
        }
    }

    /// Handles the packets that came in by a port, in order. Goes through the batch several times, so that what one step
    /// asks the memory for is there when the next step wants it.
    fn batch(&mut self, port: DpPort, packets: &mut Vec<PacketBuf>) {
        self.take_changes();
        self.batch_now = self.now();
        let mut keys = std::mem::take(&mut self.keys);
        if keys.len() < packets.len() {
            keys.resize(packets.len(), FlowKey::ZERO);
        }
        self.found.clear();
        for (packet, key) in packets.iter().zip(&mut keys) {
            key.words_mut()[HEADER_WORDS].fill(0);
            key.set_in_port_raw(port.0);
            flow::extract_into(packet.bytes(), key, flow::key::MAX_VLANS);
            let hash = Lookup::hash(key, true);
            self.lookup.prefetch(hash);
            self.found.push((hash, None));
        }
        for &(hash, _) in &self.found {
            self.lookup.prefetch_entry(hash);
        }
        let (mut by_signature, mut by_mask) = (0, 0);
        for ((hash, index), key) in self.found.iter_mut().zip(&keys) {
            *index = self.lookup.find(key, *hash).map(|found| {
                let (index, count) = match found {
                    Found::Signature(index) => (index, &mut by_signature),
                    Found::Mask(index) => (index, &mut by_mask),
                };
                *count += 1;
                if let Some(entry) = self.lookup.entry(index) {
                    crate::lookup::prefetch(&entry.flow.counters);
                }
                index
            });
        }
        add(&self.shared.stats.cache_hit, by_signature);
        add(&self.shared.stats.hit, by_mask);
        let now = self.batch_now.as_millis();
        for (i, packet) in packets.drain(..).enumerate() {
            let Some(entry) = self.found[i].1.and_then(|index| self.lookup.entry(index)) else {
                // A packet before this one may have made the flow.
                self.process(packet, &mut keys[i], 0);
                keys[i].words_mut().fill(0);
                continue;
            };
            let key = &mut keys[i];
            entry.flow.counters.add(1, packet.len() as u64, tcp_flags(key), now);
            match entry.simple {
                Simple::Output(to) => self.output(to, packet),
                Simple::Drop => self.pool.give(packet),
                Simple::No => {
                    let actions = entry.actions.clone();
                    self.actions(&actions, packet, key, 0);
                    key.words_mut().fill(0);
                }
            }
        }
        self.keys = keys;
    }

    /// Finds the packet's flow, or asks the switch, and runs the actions.
    pub(crate) fn process(&mut self, packet: PacketBuf, key: &mut FlowKey, depth: u32) {
        let hash = Lookup::hash(key, false);
        let index = match self.lookup.find(key, hash) {
            Some(Found::Signature(index)) => {
                add(&self.shared.stats.cache_hit, 1);
                index
            }
            Some(Found::Mask(index)) => {
                add(&self.shared.stats.hit, 1);
                index
            }
            None => return self.miss(packet, key, depth),
        };
        let Some(entry) = self.lookup.entry(index) else { return };
        entry.flow.counters.add(1, packet.len() as u64, tcp_flags(key), self.batch_now.as_millis());
        let actions = entry.actions.clone();
        self.actions(&actions, packet, key, depth);
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
        if let Some(InstallFlow { mut mask, actions }) = answer.install {
            if self.lookup.is_mask_too_many(key.in_port_raw(), &mask) {
                mask = Lookup::exact_mask(key);
            }
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
                Ok((flow, _)) => {
                    handler.installed(flow.ufid, key, &mask, &flow.actions(), true);
                    self.install(&flow);
                }
                Err(_) => handler.installed(Ufid::of(key, &mask), key, &mask, &Arc::from([]), false),
            }
        }
        self.actions(&answer.actions, packet, key, depth);
    }

    /// A flow that this thread put into the table itself is good for the next packet.
    fn install(&mut self, flow: &Arc<Megaflow>) {
        self.lookup.insert(flow);
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
            let mut ready = std::mem::take(&mut slot.pending);
            if !offloads.segmentation && ready.iter().any(|p| p.gso.is_some()) {
                ready = ready.into_iter().flat_map(wire::gso::segment).collect();
            }
            if !offloads.checksum {
                ready.iter_mut().for_each(PacketBuf::complete_checksum);
            }
            let sent = slot.queue.send(&mut ready);
            add(&slot.stats.tx_packets, sent.packets);
            add(&slot.stats.tx_bytes, sent.bytes);
            add(&slot.stats.tx_dropped, sent.dropped);
            ready.drain(..).for_each(|p| self.pool.give(p));
            // The list keeps its room for the next batch.
            slot.pending = ready;
        }
    }
}

/// Whether an error says that a device was taken away, which is nobody's fault.
fn is_gone(e: &stdio::Error) -> bool {
    use rustix::io::Errno;
    let gone = [Errno::NETDOWN, Errno::BADFD, Errno::NXIO, Errno::NODEV];
    e.raw_os_error().is_some_and(|n| gone.iter().any(|d| d.raw_os_error() == n))
}

/// TCP flags of a packet; other protocols use the place for something else.
fn tcp_flags(key: &FlowKey) -> u16 {
    if key.nw_proto() == wire::layers::ip_proto::TCP { key.tcp_flags() } else { 0 }
}

/// Counters have one writer, so no locked instruction is needed.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed) + n, Relaxed);
}
