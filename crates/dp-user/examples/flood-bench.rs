//! What a flood on one port does to the others: `flood-bench [SECONDS]`.
//!
//! One port has a thousand connections. Another sends packets that each need the switch, and for which the switch makes flows
//! with as many different masks as it can (tuple-space explosion). Prints what the first port gets through per second of
//! processor time with and without the flood, how many flows a second the switch can set up, what a flow takes in memory, and
//! what a packet costs with many masks, as JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use clock::Clock;
use datapath::{DpAction, InstallFlow, Upcall, UpcallAnswer, UpcallHandler};
use dp_user::Core;
use flow::{DpPort, FlowMask};
use netdev::{BATCH, Offloads, Pool, Queue, Sent};
use wire::{PacketBuf, build};

const GOOD: DpPort = DpPort(1);
const BAD: DpPort = DpPort(2);
const OUT: DpPort = DpPort(3);

/// Makes a flow for each packet that it is asked about, with what `mask` says.
struct Switch {
    mask: fn(u64) -> FlowMask,
    asked: AtomicU64,
}

impl UpcallHandler for Switch {
    fn upcall(&self, upcall: &Upcall<'_>) -> UpcallAnswer {
        let n = self.asked.fetch_add(1, Relaxed);
        let mask = if DpPort(upcall.key.in_port_raw()) == GOOD { connection(0) } else { (self.mask)(n) };
        UpcallAnswer { actions: vec![DpAction::Output(OUT)], install: Some(InstallFlow { mask, actions: None }) }
    }
}

/// Addresses and ports.
fn connection(_: u64) -> FlowMask {
    let mut m = FlowMask::ZERO;
    m.set_in_port_raw(u32::MAX);
    m.set_eth_type(u16::MAX);
    m.set_nw_src([255; 4].into());
    m.set_nw_dst([255; 4].into());
    m.set_tp_src(u16::MAX);
    m.set_tp_dst(u16::MAX);
    m
}

/// Prefixes of every length of three fields: up to 32 · 16 · 16 masks.
fn exploding(n: u64) -> FlowMask {
    let mut m = connection(0);
    m.set_nw_src((u32::MAX << (n % 32)).into());
    m.set_tp_src(u16::MAX << (n / 32 % 16));
    m.set_tp_dst(u16::MAX << (n / 512 % 16));
    m
}

/// Packets made by a function, for ever.
struct Source {
    packet: Vec<u8>,
    change: fn(&mut [u8], u64),
    n: u64,
    given: Arc<AtomicU64>,
}

impl Source {
    fn new(change: fn(&mut [u8], u64), given: &Arc<AtomicU64>) -> Box<Source> {
        let packet = build::udp4([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], 0x0a00_0001, 0x0a00_0002, 1, 2, &[0; 18]);
        Box::new(Source { packet, change, n: 0, given: given.clone() })
    }
}

impl Queue for Source {
    fn fd(&self) -> Option<std::os::fd::RawFd> {
        None
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<PacketBuf>) -> std::io::Result<usize> {
        for _ in 0..BATCH {
            (self.change)(&mut self.packet, self.n);
            self.n += 1;
            let mut p = pool.take();
            p.assign(&self.packet);
            out.push(p);
        }
        self.given.store(self.n, Relaxed);
        Ok(BATCH)
    }

    fn send(&mut self, packets: &mut [PacketBuf]) -> Sent {
        Sent { packets: packets.len() as u64, ..Sent::default() }
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, segmentation: true }
    }
}

/// A thousand connections.
fn usual(packet: &mut [u8], n: u64) {
    packet[34..36].copy_from_slice(&(n as u16 % 1000).to_be_bytes());
}

/// Every packet another.
fn new(packet: &mut [u8], n: u64) {
    let x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    packet[26..30].copy_from_slice(&x[..4]);
    packet[34..38].copy_from_slice(&x[4..]);
}

fn worked() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Bytes of memory in use.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|p| p.parse::<u64>().ok()).unwrap_or(0) * 4096
}

struct Run {
    good: Arc<AtomicU64>,
    bad: Arc<AtomicU64>,
    core: Core,
}

fn start(mask: fn(u64) -> FlowMask, good: bool, bad: bool) -> std::io::Result<Run> {
    let handler = Arc::new(Switch { mask, asked: AtomicU64::new(0) });
    let (g, b) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let mut core = Core::new(handler, Clock::real())?;
    core.set_flow_limit(200_000);
    core.set_cache(true);
    if good {
        core.add_port(GOOD, Source::new(usual, &g));
    }
    if bad {
        core.add_port(BAD, Source::new(new, &b));
    }
    core.add_output(OUT, Source::new(usual, &Arc::default()));
    Ok(Run { good: g, bad: b, core })
}

/// Packets per second of processor time that the good and the bad port got through.
fn measure(run: &mut Run, seconds: f64) -> (f64, f64) {
    for _ in 0..1000 {
        run.core.poll();
    }
    let (start, good, bad) = (worked(), run.good.load(Relaxed), run.bad.load(Relaxed));
    while (worked() - start).as_secs_f64() < seconds {
        run.core.poll();
    }
    let t = (worked() - start).as_secs_f64();
    ((run.good.load(Relaxed) - good) as f64 / t, (run.bad.load(Relaxed) - bad) as f64 / t)
}

fn main() -> std::io::Result<()> {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(2.0);
    let (alone, _) = measure(&mut start(connection, true, false)?, seconds);
    let mut flooded = start(exploding, true, true)?;
    let (kept, flood) = measure(&mut flooded, seconds);
    let mut setup = start(connection, false, true)?;
    let (before, began) = (resident(), worked());
    while setup.core.flows() < 150_000 {
        setup.core.poll();
    }
    let rate = setup.core.flows() as f64 / (worked() - began).as_secs_f64();
    let bytes = resident().saturating_sub(before) / setup.core.flows() as u64;
    println!(
        "{{\"alone_pps\": {alone:.0}, \"flooded_pps\": {kept:.0}, \"kept\": {:.3}, \"flood_pps\": {flood:.0}, \
         \"flows\": {}, \"setup_per_second\": {rate:.0}, \"bytes_per_flow\": {bytes}}}",
        kept / alone,
        flooded.core.flows()
    );
    Ok(())
}
