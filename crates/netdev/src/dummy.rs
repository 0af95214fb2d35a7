//! Devices that exist only in memory, for tests and dry runs. What they carry can be written to files (`options:pcap`,
//! `rxq_pcap`, `tx_pcap`) and go to other processes (`options:stream`, `pstream`).

mod capture;
mod link;

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::{EthAddr, PacketBuf};

use crate::device::{BATCH, Device, DeviceStats, LinkState, Offloads, Pool, Queue, Sent};
use capture::Captures;
use link::Link;

/// Packets that a dummy device holds in either direction; more are dropped.
pub const QUEUE_LIMIT: usize = 4096;

#[derive(Default)]
struct Shared {
    state: LinkState,
    stats: DeviceStats,
    /// One for each receive queue.
    to_switch: Vec<VecDeque<PacketBuf>>,
    /// Packets in all of them: who polls thousands of devices looks here first.
    n_waiting: Arc<AtomicUsize>,
    /// Packets and bytes that came to each receive queue.
    received: Vec<(u64, u64)>,
    /// Queues to send by; only told.
    tx_queues: u32,
    numa: u32,
    from_switch: VecDeque<Vec<u8>>,
    keep_sent: bool,
    addresses: Vec<std::net::IpAddr>,
    captures: Captures,
    link: Option<Link>,
    wake: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// A device that a test pushes packets into and takes packets out of.
#[derive(Clone)]
pub struct DummyDevice {
    name: Arc<str>,
    kind: &'static str,
    shared: Arc<Mutex<Shared>>,
}

impl DummyDevice {
    /// A device that is down, without carrier trouble, with the address `aa:55:aa:55:00:00` plus `number`.
    #[must_use]
    pub fn new(name: &str, kind: &'static str, number: u32) -> Self {
        let state = LinkState {
            carrier: true,
            mac: EthAddr::from_u64(0xaa55_aa55_0000 + u64::from(number & 0xffff)),
            mtu: 1500,
            ..LinkState::default()
        };
        let shared = Shared {
            state,
            to_switch: vec![VecDeque::new()],
            n_waiting: Arc::default(),
            received: vec![(0, 0)],
            tx_queues: 1,
            ..Shared::default()
        };
        DummyDevice { name: name.into(), kind, shared: Arc::new(Mutex::new(shared)) }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet arrives at the device's first queue. False when the queue is full, and the packet is lost.
    pub fn push(&self, packet: PacketBuf) -> bool {
        self.push_to(0, packet)
    }

    /// A packet arrives at one of the device's queues. False when there is no such queue or it is full.
    pub fn push_to(&self, queue: u32, packet: PacketBuf) -> bool {
        push_shared(&self.shared, queue, packet)
    }

    /// Keeps what the switch sends for [`DummyDevice::take_sent`]; without it, sent packets are only counted.
    pub fn keep_sent(&self, keep: bool) {
        self.lock().keep_sent = keep;
    }

    /// The packets that the switch sent, oldest first.
    #[must_use]
    pub fn take_sent(&self) -> Vec<Vec<u8>> {
        self.lock().from_switch.drain(..).collect()
    }

    /// Called after a packet was pushed, from the pusher's thread: it wakes the polling thread.
    pub fn on_push(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.lock().wake = Some(wake);
    }

    /// Sets the carrier.
    pub fn set_carrier(&self, carrier: bool) {
        let mut shared = self.lock();
        if shared.state.carrier != carrier {
            shared.state.carrier = carrier;
            shared.state.carrier_changes += 1;
        }
    }

    /// Gives the device an address, for those who ask which addresses the host has.
    pub fn add_address(&self, address: std::net::IpAddr) {
        let mut shared = self.lock();
        if !shared.addresses.contains(&address) {
            shared.addresses.push(address);
        }
    }

    /// Whether its `options:stream` is connected; none without one.
    #[must_use]
    pub fn is_connected(&self) -> Option<bool> {
        self.lock().link.as_ref().and_then(Link::is_connected)
    }

    /// Its addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<std::net::IpAddr> {
        self.lock().addresses.clone()
    }
}

fn push_shared(shared: &Mutex<Shared>, queue: u32, packet: PacketBuf) -> bool {
    let wake = {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Shared { to_switch, n_waiting, received, stats, captures, wake, .. } = &mut *shared;
        let Some(waiting) = to_switch.get_mut(queue as usize).filter(|q| q.len() < QUEUE_LIMIT) else {
            stats.rx_dropped += 1;
            return false;
        };
        if let Some(capture) = &captures.received {
            capture.write(packet.bytes());
        }
        stats.rx_packets += 1;
        stats.rx_bytes += packet.len() as u64;
        if let Some((packets, bytes)) = received.get_mut(queue as usize) {
            (*packets, *bytes) = (*packets + 1, *bytes + packet.len() as u64);
        }
        waiting.push_back(packet);
        n_waiting.fetch_add(1, Ordering::Release);
        wake.clone()
    };
    if let Some(wake) = wake {
        wake();
    }
    true
}

impl Device for DummyDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn state(&self) -> io::Result<LinkState> {
        Ok(self.lock().state.clone())
    }

    fn stats(&self) -> io::Result<DeviceStats> {
        Ok(self.lock().stats)
    }

    fn counters(&self) -> io::Result<Vec<(String, u64)>> {
        let shared = self.lock();
        let s = &shared.stats;
        let mut all: Vec<(String, u64)> = [
            ("rx_packets", s.rx_packets),
            ("rx_bytes", s.rx_bytes),
            ("tx_packets", s.tx_packets),
            ("tx_bytes", s.tx_bytes),
            // Counters of its own, as hardware may have them.
            ("rx_custom_packets_1", s.rx_packets),
            ("rx_custom_packets_2", s.rx_packets),
            ("tx_q0_packets", s.tx_packets),
            ("tx_q0_bytes", s.tx_bytes),
        ]
        .map(|(key, n)| (key.to_string(), n))
        .to_vec();
        for (n, (packets, bytes)) in shared.received.iter().enumerate() {
            all.extend([(format!("rx_q{n}_packets"), *packets), (format!("rx_q{n}_bytes"), *bytes)]);
        }
        Ok(all)
    }

    fn status(&self) -> Vec<(String, String)> {
        crate::device::no_offloads().collect()
    }

    fn set_mac(&self, mac: EthAddr) -> io::Result<()> {
        self.lock().state.mac = mac;
        Ok(())
    }

    fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        if !(68..=65535).contains(&mtu) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.lock().state.mtu = mtu;
        Ok(())
    }

    fn set_up(&self, up: bool) -> io::Result<()> {
        self.lock().state.up = up;
        Ok(())
    }

    fn as_dummy(&self) -> Option<&DummyDevice> {
        Some(self)
    }

    fn open(&self) -> io::Result<Box<dyn Queue>> {
        self.open_rx(0)
    }

    fn is_polled(&self) -> bool {
        self.kind == POLLED
    }

    fn rx_queues(&self) -> u32 {
        self.lock().to_switch.len() as u32
    }

    fn numa(&self) -> u32 {
        self.lock().numa
    }

    fn open_rx(&self, queue: u32) -> io::Result<Box<dyn Queue>> {
        let n_waiting = self.lock().n_waiting.clone();
        Ok(Box::new(DummyQueue(self.clone(), queue as usize, n_waiting)))
    }

    fn set_options(&self, options: &[(String, String)]) -> bool {
        let number = |key: &str| {
            let found = options.iter().find(|(k, _)| k == key);
            found.and_then(|(_, v)| v.parse::<u32>().ok())
        };
        let mut shared = self.lock();
        let polled = self.kind == POLLED;
        let queues = number("n_rxq").filter(|n| polled && (1..=MAX_QUEUES).contains(n)).unwrap_or(1) as usize;
        let sends = number("n_txq").filter(|n| polled && (1..=MAX_QUEUES).contains(n)).unwrap_or(1);
        let numa = number("numa_id").filter(|_| polled).unwrap_or(0);
        shared.state.ifindex = number("ifindex").unwrap_or(0);
        shared.captures.follow(options);
        if shared.link.as_ref().map(Link::target) != link::wanted(options) {
            // The old one lets go of its socket before the new one may want it.
            shared.link = None;
            shared.link = link::wanted(options).map(|target| Link::open(target, Arc::downgrade(&self.shared)));
        }
        let before = (shared.to_switch.len(), shared.tx_queues, shared.numa);
        shared.to_switch.resize_with(queues, VecDeque::new);
        shared.n_waiting.store(shared.to_switch.iter().map(VecDeque::len).sum(), Ordering::Release);
        shared.received.resize(queues, (0, 0));
        (shared.tx_queues, shared.numa) = (sends, numa);
        before != (queues, sends, numa)
    }

    fn queue_config(&self) -> Vec<(String, String)> {
        if self.kind != POLLED {
            return Vec::new();
        }
        let shared = self.lock();
        let pair = |key: &str, value: u32| (key.to_string(), value.to_string());
        vec![
            pair("n_rxq", shared.to_switch.len() as u32),
            pair("n_txq", shared.tx_queues),
            pair("numa_id", shared.numa),
        ]
    }
}

/// The type of dummies that pretend to be hardware.
const POLLED: &str = "dummy-pmd";
/// Queues that a dummy may have.
const MAX_QUEUES: u32 = 1024;

struct DummyQueue(DummyDevice, usize, Arc<AtomicUsize>);

impl Queue for DummyQueue {
    fn fd(&self) -> Option<RawFd> {
        None
    }

    fn receive(&mut self, _pool: &mut Pool, out: &mut Vec<PacketBuf>) -> io::Result<usize> {
        if self.2.load(Ordering::Acquire) == 0 {
            return Ok(0);
        }
        let mut shared = self.0.lock();
        let Some(waiting) = shared.to_switch.get_mut(self.1) else { return Ok(0) };
        let n = waiting.len().min(BATCH);
        out.extend(waiting.drain(..n));
        shared.n_waiting.fetch_sub(n, Ordering::AcqRel);
        Ok(n)
    }

    fn send(&mut self, packets: &mut [PacketBuf]) -> Sent {
        let mut shared = self.0.lock();
        let mut sent = Sent::default();
        for packet in packets {
            if let Some(capture) = &shared.captures.sent {
                capture.write(packet.bytes());
            }
            if let Some(link) = &shared.link {
                link.send(packet.bytes());
            }
            sent.packets += 1;
            sent.bytes += packet.len() as u64;
            if shared.keep_sent && shared.from_switch.len() < QUEUE_LIMIT {
                shared.from_switch.push_back(packet.bytes().to_vec());
            }
        }
        shared.stats.tx_packets += sent.packets;
        shared.stats.tx_bytes += sent.bytes;
        sent
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }
}
