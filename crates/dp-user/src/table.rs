//! The flow table that everybody shares: changed, looked at and dumped by any thread, without the polling thread's help.
//!
//! The polling thread has its own structures for finding flows ([`crate::lookup`]); changes reach it through a list that
//! it empties before each batch of packets.

use datapath::{DpAction, DpError, FlowCounters, FlowDump, FlowPut, FlowStats, Ufid};
use flow::{FlowKey, FlowMask, MiniKey};
use papaya::HashMap;
use snapshot::Published;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A megaflow.
pub(crate) struct Megaflow {
    pub ufid: Ufid,
    /// The key of the packet that made it, whole, for dumps.
    pub key: MiniKey,
    pub mask: MiniKey,
    actions: Published<Arc<[DpAction]>>,
    pub counters: FlowCounters,
    /// Set when the flow has left the table.
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

/// What the polling thread has to take over.
pub(crate) enum Change {
    Add(Arc<Megaflow>),
    Modify(Arc<Megaflow>),
    Remove(Arc<Megaflow>),
}

pub(crate) struct FlowTable {
    /// Sets the names of this table's flows apart from those of other threads' tables; 0: the main thread's.
    salt: u32,
    by_ufid: HashMap<Ufid, Arc<Megaflow>>,
    writer: Mutex<()>,
    changes: Mutex<Vec<Change>>,
    changed: AtomicBool,
    masks: Mutex<std::collections::HashMap<MiniKey, usize>>,
    n_masks: AtomicUsize,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(|e| e.into_inner())
}

impl FlowTable {
    /// An empty table. `salt`: 0 for the main thread's, otherwise a number of the thread's own.
    pub fn new(salt: u32) -> FlowTable {
        FlowTable {
            salt,
            by_ufid: HashMap::default(),
            writer: Mutex::default(),
            changes: Mutex::default(),
            changed: AtomicBool::new(false),
            masks: Mutex::default(),
            n_masks: AtomicUsize::new(0),
        }
    }

    /// The name of a flow that this table's own thread makes.
    fn own_name(&self, key: &FlowKey, mask: &FlowMask) -> Ufid {
        let name = Ufid::of(key, mask);
        // An odd multiplier: different threads' flows get different names.
        Ufid(name.0 ^ u128::from(self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    /// Adds a flow for the thread that owns the table, which takes it over by itself.
    pub fn put_own(&self, put: FlowPut, limit: usize) -> Result<Arc<Megaflow>, DpError> {
        let ufid = self.own_name(&put.key, &put.mask);
        let _guard = lock(&self.writer);
        if self.by_ufid.pin().contains_key(&ufid) {
            return Err(DpError::Exists);
        }
        if self.len() >= limit {
            return Err(DpError::Full);
        }
        Ok(self.add(ufid, put))
    }

    /// With the writer's lock held.
    fn add(&self, ufid: Ufid, put: FlowPut) -> Arc<Megaflow> {
        let mask = with_tag_presence(&put.key, put.mask);
        let flow = Arc::new(new_flow(ufid, &put.key, &mask, put.actions));
        self.by_ufid.pin().insert(ufid, flow.clone());
        self.count_mask(&flow.mask, true);
        flow
    }

    pub fn len(&self) -> usize {
        self.by_ufid.len()
    }

    pub fn has(&self, ufid: Ufid) -> bool {
        self.by_ufid.pin().contains_key(&ufid)
    }

    pub fn masks(&self) -> usize {
        self.n_masks.load(Ordering::Relaxed)
    }

    /// The changes since the last call, oldest first. One atomic read where there are none.
    pub fn take_changes(&self) -> Vec<Change> {
        if !self.changed.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut changes = lock(&self.changes);
        self.changed.store(false, Ordering::Release);
        std::mem::take(&mut changes)
    }

    fn tell(&self, change: Change) {
        lock(&self.changes).push(change);
        self.changed.store(true, Ordering::Release);
    }

    fn count_mask(&self, mask: &MiniKey, add: bool) {
        let mut masks = lock(&self.masks);
        let n = masks.entry(mask.clone()).or_insert(0);
        *n = if add { *n + 1 } else { n.saturating_sub(1) };
        if *n == 0 {
            masks.remove(mask);
        }
        self.n_masks.store(masks.len(), Ordering::Relaxed);
    }

    /// Adds or changes a flow; gives its counters before the change.
    pub fn put(&self, put: FlowPut, limit: usize) -> Result<FlowStats, DpError> {
        let ufid = put.ufid.unwrap_or_else(|| Ufid::of(&put.key, &put.mask));
        let _guard = lock(&self.writer);
        let known = self.by_ufid.pin().get(&ufid).cloned();
        match known {
            Some(flow) if put.modify => {
                flow.actions.publish(Arc::new(put.actions.into()));
                let stats = flow.counters.read();
                if put.zero_stats {
                    flow.counters.clear();
                }
                self.tell(Change::Modify(flow.clone()));
                Ok(stats)
            }
            Some(_) => Err(DpError::Exists),
            None if !put.create => Err(DpError::NoSuchFlow),
            None if self.len() >= limit => Err(DpError::Full),
            None => {
                let flow = self.add(ufid, put);
                self.tell(Change::Add(flow));
                Ok(FlowStats::default())
            }
        }
    }

    pub fn remove(&self, ufid: Ufid) -> Result<FlowStats, DpError> {
        let _guard = lock(&self.writer);
        let flow = self.by_ufid.pin().remove(&ufid).cloned().ok_or(DpError::NoSuchFlow)?;
        self.drop_flow(&flow);
        Ok(flow.counters.read())
    }

    fn drop_flow(&self, flow: &Arc<Megaflow>) {
        flow.dead.store(true, Ordering::Release);
        self.count_mask(&flow.mask, false);
        self.tell(Change::Remove(flow.clone()));
    }

    pub fn clear(&self) {
        let _guard = lock(&self.writer);
        let all: Vec<Arc<Megaflow>> = self.by_ufid.pin().values().cloned().collect();
        self.by_ufid.pin().clear();
        all.iter().for_each(|f| self.drop_flow(f));
    }

    pub fn get(&self, ufid: Ufid) -> Result<FlowDump, DpError> {
        let core = self.salt.checked_sub(1);
        self.by_ufid.pin().get(&ufid).map(|f| FlowDump { core, ..dump(f) }).ok_or(DpError::NoSuchFlow)
    }

    pub fn dump(&self) -> Vec<FlowDump> {
        let core = self.salt.checked_sub(1);
        self.by_ufid.pin().values().map(|f| FlowDump { core, ..dump(f) }).collect()
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

fn new_flow(ufid: Ufid, key: &FlowKey, mask: &FlowMask, actions: Vec<DpAction>) -> Megaflow {
    Megaflow {
        ufid,
        key: MiniKey::new(key),
        mask: MiniKey::new(mask),
        actions: Published::new(actions.into()),
        counters: FlowCounters::default(),
        dead: AtomicBool::new(false),
    }
}

fn dump(flow: &Megaflow) -> FlowDump {
    FlowDump {
        ufid: flow.ufid,
        key: flow.key.expand(),
        mask: flow.mask.expand(),
        actions: flow.actions(),
        stats: flow.counters.read(),
        core: None,
    }
}
