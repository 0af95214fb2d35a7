//! Keeps the datapath's flows true to the tables, and pushes their counters to where controllers read them.

use crate::upcall::{Upcalls, credit, entry, pin_tags};
use clock::Instant;
use datapath::{Datapath, FlowDump, FlowPut, FlowStats, Ufid};
use flow::MiniKey;
use io::coverage::Counter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use translate::{Effect, Network, Request};

/// Time without a packet after which a flow leaves the datapath (`other_config:max-idle`).
pub const MAX_IDLE: Duration = Duration::from_secs(10);
/// Time between two looks at all flows while there are any (`other_config:max-revalidator`).
pub const INTERVAL: Duration = Duration::from_millis(500);

/// What is to be done with a flow.
enum Verdict {
    Keep,
    Delete,
    Modify(Box<FlowPut>),
}

/// The revalidator's thread: ends when [`stop`] is called.
pub fn run(upcalls: &Upcalls, datapath: &dyn Datapath) {
    let mut seen = u64::MAX;
    while !upcalls.stop.load(Ordering::Acquire) {
        let changes = upcalls.changes();
        sweep(upcalls, datapath, changes != seen, upcalls.clock.now());
        seen = changes;
        if upcalls.changes() == seen {
            // With nothing in the datapath there is nothing to look at.
            let idle = upcalls.known_flows() == 0 && !datapath.adopts();
            upcalls.wait((!idle).then(|| Duration::from_millis(upcalls.max_wait_ms.load(Ordering::Relaxed))));
        }
    }
}

/// Lets [`run`] end.
pub fn stop(upcalls: &Upcalls) {
    upcalls.stop.store(true, Ordering::Release);
    upcalls.wake();
}

/// Looks at all flows once: pushes counters, removes what is idle and, if the tables may have changed, what is wrong.
pub fn sweep(upcalls: &Upcalls, datapath: &dyn Datapath, check: bool, now: Instant) {
    Counter::RevalidatorRun.hit();
    let network = upcalls.network();
    let began = std::time::Instant::now();
    let dumps = datapath.flow_dump();
    let flows = dumps.len() as u64;
    for dump in dumps {
        push(upcalls, &network, dump.ufid, &dump.stats, now);
        let verdict = match adopt(upcalls, &network, datapath, &dump, now) {
            Some(v) => v,
            None => judge(upcalls, &network, &dump, check, now),
        };
        match verdict {
            Verdict::Keep => {}
            Verdict::Delete => delete(upcalls, &network, datapath, dump.ufid, now),
            Verdict::Modify(put) => {
                if datapath.flow_put(*put).is_err() {
                    delete(upcalls, &network, datapath, dump.ufid, now);
                }
            }
        }
    }
    upcalls.looked(flows, began.elapsed());
    upcalls.known().values().flat_map(|k| k.frozen.iter()).for_each(|id| network.frozen.touch(*id, now));
    network.frozen.expire(Instant::from_nanos(now.as_nanos().saturating_sub(4 * upcalls.max_idle().as_nanos() as u64)));
}

/// Pushes the counters of all flows, for a reader who wants them to the packet.
pub fn push_all(upcalls: &Upcalls, datapath: &dyn Datapath, now: Instant) {
    let network = upcalls.network();
    for dump in datapath.flow_dump() {
        push(upcalls, &network, dump.ufid, &dump.stats, now);
    }
}

/// Removes every flow from the datapath, with its counters pushed.
pub fn flush(upcalls: &Upcalls, datapath: &dyn Datapath, now: Instant) {
    let network = upcalls.network();
    let all: Vec<Ufid> = datapath.flow_dump().iter().map(|d| d.ufid).collect();
    for ufid in all {
        delete(upcalls, &network, datapath, ufid, now);
    }
}

fn delete(upcalls: &Upcalls, network: &Network, datapath: &dyn Datapath, ufid: Ufid, now: Instant) {
    if let Ok(last) = datapath.flow_del(ufid) {
        Counter::DpifFlowDel.hit();
        push(upcalls, network, ufid, &last, now);
    }
    upcalls.forget(ufid);
}

/// Counts what the flow counted since the last push.
fn push(upcalls: &Upcalls, network: &Network, ufid: Ufid, stats: &FlowStats, now: Instant) {
    let effects = {
        let mut known = upcalls.known();
        let Some(k) = known.get_mut(&ufid) else { return };
        let packets = stats.packets.saturating_sub(k.pushed.packets);
        if packets == 0 {
            return;
        }
        let bytes = stats.bytes.saturating_sub(k.pushed.bytes);
        k.pushed = *stats;
        credit(network, &k.credits, packets, bytes, stats.used);
        // What came from a port that is gone says nothing of where its sender is.
        let learns = k.effects.iter().any(|e| matches!(e, Effect::LearnMac { .. }));
        let gone = learns && entry(network, &k.key.expand()).is_none();
        k.effects.iter().filter(|e| !gone || !matches!(e, Effect::LearnMac { .. })).cloned().collect::<Vec<_>>()
    };
    upcalls.apply_effects(network, &effects, now);
}

/// Takes over a flow that is older than this process, if it does what the tables say now; `None` for one that needs no taking over.
fn adopt(
    upcalls: &Upcalls,
    network: &Arc<Network>,
    datapath: &dyn Datapath,
    dump: &FlowDump,
    now: Instant,
) -> Option<Verdict> {
    if !datapath.adopts() || upcalls.known().contains_key(&dump.ufid) {
        return None;
    }
    // What a recirculated packet has behind it was known to the process that is gone.
    let Some((bridge, port)) = entry(network, &dump.key).filter(|_| dump.key.recirc_id() == 0) else {
        return Some(Verdict::Delete);
    };
    let mut key = dump.key;
    key.set_in_port(port);
    let mut xlate = translate::translate(network, &Request::packet(bridge, key, None, now));
    pin_tags(&key, &mut xlate.mask);
    let actions = if xlate.slow.is_empty() {
        std::mem::take(&mut xlate.actions)
    } else {
        crate::upcall::slow_actions(network, &dump.key, xlate.slow)
    };
    // The packet type is Ethernet in a datapath that knows no other.
    let mut wanted = xlate.mask;
    wanted.set_packet_type_raw(0);
    if !dump.mask.contains(&wanted) {
        return Some(Verdict::Delete);
    }
    let same = *dump.actions == *actions;
    upcalls.adopt(dump, &actions, xlate.credits, xlate.effects);
    let put = FlowPut {
        ufid: Some(dump.ufid),
        key: dump.key,
        mask: dump.mask,
        actions,
        create: false,
        modify: true,
        zero_stats: false,
    };
    Some(if same { Verdict::Keep } else { Verdict::Modify(Box::new(put)) })
}

fn judge(upcalls: &Upcalls, network: &Arc<Network>, dump: &FlowDump, check: bool, now: Instant) -> Verdict {
    let (created, expected) = match upcalls.known().get(&dump.ufid) {
        Some(k) => (k.created, Some(k.actions.clone())),
        // Put there by somebody else, an operator with dpctl for example: not ours to judge.
        None => return Verdict::Keep,
    };
    let used = dump.stats.used.unwrap_or(created).max(created);
    if now.since(used) > upcalls.max_idle() {
        return Verdict::Delete;
    }
    if !check {
        return Verdict::Keep;
    }
    let Some((bridge, port)) = entry(network, &dump.key) else { return Verdict::Delete };
    let mut key = dump.key;
    key.set_in_port(port);
    let mut xlate = translate::translate(network, &Request::packet(bridge, key, None, now));
    pin_tags(&key, &mut xlate.mask);
    if !dump.mask.contains(&xlate.mask) {
        // The flow is too wide now: other packets that it catches may go elsewhere.
        return Verdict::Delete;
    }
    let actions = if xlate.slow.is_empty() {
        std::mem::take(&mut xlate.actions)
    } else {
        crate::upcall::slow_actions(network, &dump.key, xlate.slow)
    };
    let same = expected.as_deref() == Some(actions.as_slice());
    if let Some(k) = upcalls.known().get_mut(&dump.ufid) {
        // Rules may have been replaced by equal ones: their counters move from now on. Effects are applied when packets
        // have passed, not here.
        k.credits = xlate.credits;
        k.effects = xlate.effects;
        if !same {
            k.actions = actions.as_slice().into();
            k.frozen = crate::upcall::frozen_of(&dump.key, &actions);
            k.mask = MiniKey::new(&dump.mask);
            k.key = MiniKey::new(&dump.key);
        }
    }
    if same {
        return Verdict::Keep;
    }
    Verdict::Modify(Box::new(FlowPut {
        ufid: Some(dump.ufid),
        key: dump.key,
        mask: dump.mask,
        actions,
        create: false,
        modify: true,
        zero_stats: false,
    }))
}
