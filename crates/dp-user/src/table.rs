//! The flow table: looked up by the polling thread without a lock, changed by any thread.

use classifier::{Classifier, Payload, Rule};
use datapath::{DpAction, DpError, FlowCounters, FlowDump, FlowPut, FlowStats, Ufid};
use flow::{FlowKey, FlowMask, Match, MiniKey, MiniMatch};
use papaya::HashMap;
use snapshot::Published;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A megaflow.
pub(crate) struct Megaflow {
    pub ufid: Ufid,
    /// The key of the packet that made it, whole, for dumps.
    key: MiniKey,
    mask: MiniKey,
    actions: Published<Arc<[DpAction]>>,
    pub counters: FlowCounters,
    /// Set when the flow has left the table: caches must not use it any more.
    dead: AtomicBool,
}

impl Megaflow {
    pub fn actions(&self) -> Arc<[DpAction]> {
        (**self.actions.load()).clone()
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }
}

impl Payload for Megaflow {}

pub(crate) type Flow = Rule<Megaflow>;

/// Datapath flows have no priority: no two of them match the same packet.
const PRIORITY: u32 = 0;
const VERSION: u64 = 1;

#[derive(Default)]
pub(crate) struct FlowTable {
    flows: Classifier<Megaflow>,
    by_ufid: HashMap<Ufid, Arc<Flow>>,
    writer: Mutex<()>,
}

impl FlowTable {
    pub fn lookup(&self, key: &FlowKey) -> Option<Arc<Flow>> {
        self.flows.lookup(VERSION, key, None)
    }

    pub fn len(&self) -> usize {
        self.by_ufid.len()
    }

    pub fn masks(&self) -> usize {
        self.flows.masks()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds or changes a flow; gives it and its counters before the change.
    pub fn put(&self, put: FlowPut, limit: usize) -> Result<(Arc<Flow>, FlowStats), DpError> {
        let ufid = put.ufid.unwrap_or_else(|| Ufid::of(&put.key, &put.mask));
        let mask = with_tag_presence(&put.key, put.mask);
        let _guard = self.lock();
        let known = self.by_ufid.pin().get(&ufid).cloned();
        match known {
            Some(flow) if put.modify => {
                flow.data.actions.publish(Arc::new(put.actions.into()));
                let stats = flow.data.counters.read();
                if put.zero_stats {
                    flow.data.counters.clear();
                }
                Ok((flow, stats))
            }
            Some(_) => Err(DpError::Exists),
            None if !put.create => Err(DpError::NoSuchFlow),
            None if self.len() >= limit => Err(DpError::Full),
            None => {
                let flow = Arc::new(new_flow(ufid, &put.key, &mask, put.actions));
                self.flows.insert(flow.clone());
                self.by_ufid.pin().insert(ufid, flow.clone());
                Ok((flow, FlowStats::default()))
            }
        }
    }

    pub fn remove(&self, ufid: Ufid) -> Result<FlowStats, DpError> {
        let _guard = self.lock();
        let flow = self.by_ufid.pin().remove(&ufid).cloned().ok_or(DpError::NoSuchFlow)?;
        self.drop_flow(&flow);
        Ok(flow.data.counters.read())
    }

    fn drop_flow(&self, flow: &Arc<Flow>) {
        flow.data.dead.store(true, Ordering::Release);
        self.flows.remove(flow);
    }

    pub fn clear(&self) {
        let _guard = self.lock();
        let all: Vec<Arc<Flow>> = self.by_ufid.pin().values().cloned().collect();
        self.by_ufid.pin().clear();
        all.iter().for_each(|f| self.drop_flow(f));
    }

    pub fn get(&self, ufid: Ufid) -> Result<FlowDump, DpError> {
        self.by_ufid.pin().get(&ufid).map(|f| dump(f)).ok_or(DpError::NoSuchFlow)
    }

    pub fn dump(&self) -> Vec<FlowDump> {
        self.by_ufid.pin().values().map(|f| dump(f)).collect()
    }
}

/// A flow whose key has no VLAN tag (or no second one) is for packets without: the text and the netlink form of flows
/// cannot say otherwise, and those who make flows rely on it.
fn with_tag_presence(key: &FlowKey, mut mask: FlowMask) -> FlowMask {
    for n in 0..flow::key::MAX_VLANS {
        if key.vlan_tci(n) & flow::key::VLAN_CFI == 0 {
            mask.set_vlan_tci(n, 0xffff);
            break;
        }
        mask.set_vlan_tci(n, mask.vlan_tci(n) | flow::key::VLAN_CFI);
    }
    mask
}

fn new_flow(ufid: Ufid, key: &FlowKey, mask: &FlowMask, actions: Vec<DpAction>) -> Flow {
    let data = Megaflow {
        ufid,
        key: MiniKey::new(key),
        mask: MiniKey::new(mask),
        actions: Published::new(actions.into()),
        counters: FlowCounters::default(),
        dead: AtomicBool::new(false),
    };
    Rule::new(MiniMatch::new(&Match::new(key, mask)), PRIORITY, VERSION, data)
}

fn dump(flow: &Flow) -> FlowDump {
    let d = &flow.data;
    FlowDump {
        ufid: d.ufid,
        key: d.key.expand(),
        mask: d.mask.expand(),
        actions: d.actions(),
        stats: d.counters.read(),
        core: None,
    }
}
