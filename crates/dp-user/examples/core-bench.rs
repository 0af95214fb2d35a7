//! Measures the datapath core without I/O: `core-bench PCAP FLOWFILE SECONDS EMC(0|1)`.
//!
//! Packets of a capture come in at port 1 for ever, in batches of 32, are looked up and acted on, and what is sent is
//! dropped. Prints packets per second of processor time and cycles per packet as JSON.

use std::sync::Arc;
use std::time::Duration;

use clock::{Clock, Instant};
use datapath::{Features, InstallFlow, Upcall, UpcallAnswer, UpcallHandler};
use dp_user::Core;
use flow::text::{ParseContext, parse_field, set_protocol_keyword, split_key_values};
use flow::{DpPort, Field, Match, MiniMatch, OfPort};
use netdev::replay::ReplayQueue;
use openflow::TableId;
use openflow::action::text::{self, Place};
use translate::view::{BridgeConfig, Counters, Port, Timeouts};
use translate::{Bridge, BridgeId, Network, Request, Rule, RuleData, translate};

struct Switch(Network);

impl UpcallHandler for Switch {
    fn upcall(&self, upcall: &Upcall<'_>) -> UpcallAnswer {
        let mut key = *upcall.key;
        key.set_in_port(OfPort(upcall.key.in_port_raw()));
        let answer = translate(&self.0, &Request::packet(BridgeId(1), key, Some(upcall.packet), upcall.now));
        UpcallAnswer { actions: answer.actions, install: Some(InstallFlow { mask: answer.mask, actions: None }) }
    }
}

fn flow_line(bridge: &Bridge, line: &str) -> Result<(), String> {
    let (head, actions) = line.split_once("actions=").ok_or_else(|| format!("{line}: no actions"))?;
    let (mut m, mut priority, mut table) = (Match::any(), 0x8000, 0u8);
    let mut cx = ParseContext::new(None);
    for (name, value) in split_key_values(head) {
        match name {
            "priority" => priority = value.parse().map_err(|e| format!("{line}: {e}"))?,
            "table" => table = value.parse().map_err(|e| format!("{line}: {e}"))?,
            _ if value.is_empty() && set_protocol_keyword(&mut m, name) => {}
            _ => {
                let field = Field::from_name(name).ok_or_else(|| format!("{name}: unknown field"))?;
                parse_field(&mut cx, field, value, &mut m)?;
            }
        }
    }
    let (actions, _) = text::parse(&mut cx, actions.trim(), Place::Flow)?;
    let data = RuleData {
        table: TableId(table),
        cookie: 0,
        clauses: RuleData::clauses_of(&actions),
        actions: actions.into(),
        flags: 0,
        importance: 0,
        timeouts: Arc::new(Timeouts::default()),
        created: Instant::ZERO,
        born: 1,
        modified: Instant::ZERO,
        stats: Arc::new(Counters::default()),
        hidden: false,
    };
    let rule = Rule::new(MiniMatch::new(&m), priority, 0, data);
    bridge.tables[usize::from(table)].rules.insert(Arc::new(rule));
    Ok(())
}

fn switch(flows: &str) -> Result<Switch, String> {
    let mut config = BridgeConfig { id: BridgeId(1), name: "br0".into(), ..BridgeConfig::default() };
    config.ports.insert(OfPort(1), Port { of: OfPort(1), dp: Some(DpPort(1)), up: true, ..Port::default() });
    let bridge = Bridge::new(config);
    flows.lines().filter(|l| !l.trim().is_empty()).try_for_each(|l| flow_line(&bridge, l))?;
    let mut network = Network::empty(Features::all());
    network.bridges.insert(BridgeId(1), Arc::new(bridge));
    Ok(Switch(network))
}

/// The packets of a capture file of the classic format, in the byte order of this machine.
fn packets(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let word = |at: usize| Some(u32::from_ne_bytes(file.get(at..at + 4)?.try_into().ok()?));
    (word(0)? == 0xa1b2_c3d4).then_some(())?;
    let (mut out, mut at) = (Vec::new(), 24);
    while let Some(len) = word(at + 8) {
        out.push(file.get(at + 16..at + 16 + len as usize)?.to_vec());
        at += 16 + len as usize;
    }
    Some(out)
}

fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads the time stamp counter, nothing else.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Processor time of this thread: what others do on the machine does not count.
fn worked() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

/// Cycles of the time stamp counter in a second.
fn frequency() -> f64 {
    let (start, first) = (std::time::Instant::now(), cycles());
    while start.elapsed() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    (cycles() - first) as f64 / start.elapsed().as_secs_f64()
}

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().collect();
    let [_, capture, flows, seconds, cache] = args.as_slice() else {
        return Err("usage: core-bench PCAP FLOWFILE SECONDS EMC(0|1)".into());
    };
    let file = std::fs::read(capture).map_err(|e| format!("{capture}: {e}"))?;
    let packets = packets(&file).ok_or_else(|| format!("{capture}: not a capture of this machine's byte order"))?;
    let flows = std::fs::read_to_string(flows).map_err(|e| format!("{flows}: {e}"))?;
    let seconds: f64 = seconds.parse().map_err(|e| format!("{seconds}: {e}"))?;
    let count = packets.len();
    let mut core = Core::new(Arc::new(switch(&flows)?), Clock::real()).map_err(|e| e.to_string())?;
    core.set_cache(cache != "0");
    core.add_port(DpPort(1), Box::new(ReplayQueue::new(packets.into())));
    // Once through the capture, so that flows are set up.
    let mut warm = 0;
    while warm < 2 * count + 1000 {
        warm += core.poll();
    }
    let start = worked();
    let mut done = 0u64;
    while worked() - start < Duration::from_secs_f64(seconds) {
        for _ in 0..64 {
            done += core.poll() as u64;
        }
    }
    let elapsed = (worked() - start).as_secs_f64();
    // Once more, with the clock read between the stages.
    core.measure_stages();
    let mut staged = 0u64;
    let start = worked();
    while worked() - start < Duration::from_secs_f64(seconds / 4.0) {
        for _ in 0..64 {
            staged += core.poll() as u64;
        }
    }
    let stage = |(name, cycles): (&str, u64)| format!("\"{name}\": {:.1}", cycles as f64 / staged.max(1) as f64);
    let stages: Vec<String> = core.stages().into_iter().map(stage).collect();
    let per_packet = elapsed * frequency() / done as f64;
    println!(
        "{{\"pps\": {:.0}, \"cycles\": {per_packet:.1}, \"flows\": {}, \"stages\": {{{}}}}}",
        done as f64 / elapsed,
        core.flows(),
        stages.join(", ")
    );
    Ok(())
}
