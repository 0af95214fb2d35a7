//! A second leg of a host, in another VLAN on the same wire.
//!
//! The kernel would do this with an 802.1Q interface, which not every kernel has. So the leg is a few packets long
//! itself: it answers ARP (RFC 826) and ICMP echo (RFC 792) in its VLAN and can ping from there.

use netdev::linux::system::SystemDevice;
use netdev::netns::NetNs;
use netdev::{Device, Pool, Queue};
use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};
use wire::{PacketBuf, build};

/// Interval between looks at the wire.
const POLL: Duration = Duration::from_millis(1);
/// Interval between two echo requests of one ping.
const INTERVAL: Duration = Duration::from_millis(150);

const ETH_ARP: u16 = 0x0806;
const ETH_IPV4: u16 = 0x0800;
const TPID: u16 = 0x8100;

/// A running leg; it ends when this is dropped.
pub struct Leg {
    /// Its address.
    pub address: Ipv4Addr,
    requests: Sender<Ping>,
}

struct Ping {
    to: Ipv4Addr,
    id: u16,
    patience: Duration,
    answer: Sender<Option<Duration>>,
}

impl Leg {
    /// Starts a leg on `eth0` of a namespace.
    pub fn start(ns: &NetNs, vlan: u16, address: Ipv4Addr) -> io::Result<Leg> {
        let (queue, mac) = ns.run(|| {
            let device = SystemDevice::find("eth0")?;
            Ok((device.open()?, device.state()?.mac.0))
        })?;
        let (requests, inbox) = channel();
        let actor = Actor { queue, pool: Pool::default(), mac, vlan, address, arp: HashMap::new(), waiting: vec![] };
        std::thread::Builder::new().name("leg".into()).spawn(move || actor.run(&inbox))?;
        Ok(Leg { address, requests })
    }

    /// Pings from the leg; `None` if no answer came.
    pub fn ping(&self, to: Ipv4Addr, id: u16, patience: Duration) -> Option<Duration> {
        let (answer, outcome) = channel();
        self.requests.send(Ping { to, id, patience, answer }).ok()?;
        outcome.recv().ok()?
    }
}

struct Waiting {
    ping: Ping,
    started: Instant,
    last_sent: Option<Instant>,
}

struct Actor {
    queue: Box<dyn Queue>,
    pool: Pool,
    mac: [u8; 6],
    vlan: u16,
    address: Ipv4Addr,
    arp: HashMap<Ipv4Addr, [u8; 6]>,
    waiting: Vec<Waiting>,
}

impl Actor {
    fn run(mut self, inbox: &Receiver<Ping>) {
        let mut received = vec![];
        loop {
            loop {
                match inbox.try_recv() {
                    Ok(ping) => self.waiting.push(Waiting { ping, started: Instant::now(), last_sent: None }),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            if self.queue.receive(&mut self.pool, &mut received).is_err() {
                return;
            }
            for packet in received.drain(..) {
                self.packet(packet.bytes());
                self.pool.give(packet);
            }
            self.send_requests(Instant::now());
            std::thread::sleep(POLL);
        }
    }

    fn send(&mut self, frame: &[u8]) {
        self.queue.send(&mut [PacketBuf::from_bytes(&build::tagged(frame, TPID, self.vlan))]);
    }

    fn packet(&mut self, frame: &[u8]) {
        let Some(payload) = frame.get(18..) else { return };
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        if word(12) != TPID || word(14) & 0xfff != self.vlan || frame[6..12] == self.mac {
            return;
        }
        match word(16) {
            ETH_ARP => self.arp(payload),
            ETH_IPV4 => self.ipv4(frame, payload),
            _ => {}
        }
    }

    fn arp(&mut self, p: &[u8]) {
        let Some(p) = p.get(..28) else { return };
        let sender: [u8; 6] = std::array::from_fn(|i| p[8 + i]);
        let spa = Ipv4Addr::new(p[14], p[15], p[16], p[17]);
        let tpa = Ipv4Addr::new(p[24], p[25], p[26], p[27]);
        self.arp.insert(spa, sender);
        if p[7] == 1 && tpa == self.address {
            let reply = build::arp(2, self.mac, tpa.into(), sender, spa.into());
            self.send(&reply);
        }
    }

    fn ipv4(&mut self, frame: &[u8], p: &[u8]) {
        let header_len = usize::from(p.first().map_or(0, |b| b & 0xf)) * 4;
        let (Some(header), Some(icmp)) = (p.get(..20), p.get(header_len..)) else { return };
        let from = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
        let to = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
        if header[9] != 1 || to != self.address || icmp.len() < 8 {
            return;
        }
        let (id, seq) = (u16::from_be_bytes([icmp[4], icmp[5]]), u16::from_be_bytes([icmp[6], icmp[7]]));
        match icmp[0] {
            8 => {
                // Frames may be padded to the smallest size; the IP header says where the data ends.
                let len = usize::from(u16::from_be_bytes([header[2], header[3]])).saturating_sub(header_len);
                let reply = build::icmp_echo(true, id, seq, icmp.get(8..len).unwrap_or(&[]));
                let back: [u8; 6] = std::array::from_fn(|i| frame[6 + i]);
                let packet = build::ipv4(to.into(), from.into(), 1, &reply);
                self.send(&build::ethernet(back, self.mac, ETH_IPV4, &packet));
            }
            0 => {
                if let Some(at) = self.waiting.iter().position(|w| w.ping.to == from && w.ping.id == id) {
                    let w = self.waiting.swap_remove(at);
                    let _ = w.ping.answer.send(w.last_sent.map(|t| t.elapsed()));
                }
            }
            _ => {}
        }
    }

    fn send_requests(&mut self, now: Instant) {
        for mut w in std::mem::take(&mut self.waiting) {
            if now.duration_since(w.started) > w.ping.patience {
                let _ = w.ping.answer.send(None);
                continue;
            }
            if w.last_sent.is_none_or(|t| now.duration_since(t) >= INTERVAL) {
                match self.arp.get(&w.ping.to).copied() {
                    Some(mac) => {
                        let echo = build::icmp_echo(false, w.ping.id, 1, &[0x55; 32]);
                        let packet = build::ipv4(self.address.into(), w.ping.to.into(), 1, &echo);
                        self.send(&build::ethernet(mac, self.mac, ETH_IPV4, &packet));
                        w.last_sent = Some(Instant::now());
                    }
                    None => {
                        let request = build::arp(1, self.mac, self.address.into(), [0; 6], w.ping.to.into());
                        self.send(&request);
                        // Look for the answer soon, and ask again only after a while.
                        if now.duration_since(w.started) < INTERVAL {
                            w.last_sent = Some(now - INTERVAL + Duration::from_millis(20));
                        } else {
                            w.last_sent = Some(now - INTERVAL / 2);
                        }
                    }
                }
            }
            self.waiting.push(w);
        }
    }
}
