//! What a datapath asks on a miss, answered on the thread that asks.
//!
//! The handler translates the packet, applies what the packet changes (learned addresses, counters), and says what to
//! install. It remembers for every installed flow whose counters the flow's packets move, so that statistics can be
//! pushed without translating again.

use crate::packet_in::{self, ToControllers};
use clock::{Clock, Instant};
use datapath::{
    DpAction, FlowDump, FlowStats, Held, InstallFlow, Ufid, Upcall, UpcallAnswer, UpcallHandler, UpcallKind, UserCookie,
};
use flow::key::VLAN_CFI;
use flow::{DpPort, FlowKey, FlowMask, MiniKey, OfPort};
use io::coverage::Counter;
use snapshot::Published;
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use translate::view::Timeouts;
use translate::{BridgeId, Credit, Effect, LearnedFlow, Network, Request, Rule};

/// Something that the control thread has to deal with.
#[derive(Debug)]
pub enum Notice {
    /// A packet for the controllers of a bridge.
    PacketIn(Box<ToControllers>),
    /// A `learn` action made a flow.
    Learn {
        /// Bridge.
        bridge: BridgeId,
        /// The flow.
        flow: Box<LearnedFlow>,
    },
}

/// What is remembered about a flow in the datapath.
pub(crate) struct Known {
    pub key: MiniKey,
    pub mask: MiniKey,
    pub actions: Arc<[DpAction]>,
    pub credits: Vec<Credit>,
    pub effects: Vec<Effect>,
    /// The datapath's counters that were already pushed.
    pub pushed: FlowStats,
    pub created: Instant,
    /// States that the flow's packets go on with: [`frozen_of`].
    pub frozen: Box<[u32]>,
}

/// Why flows are checked against the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// OpenFlow tables or groups changed.
    FlowTable,
    /// Bridges or ports changed.
    Reconfigure,
    /// An address is behind another port than before.
    MacLearning,
    /// A port went up or down.
    PortToggled,
}

type Notify = Box<dyn Fn(Notice) + Send + Sync>;

/// The switch's side of one datapath, shared by all threads.
pub struct Upcalls {
    network: Published<Network>,
    pub(crate) clock: Clock,
    known: Mutex<HashMap<Ufid, Known, foldhash::fast::RandomState>>,
    notify: Notify,
    /// Grows with every change that may make flows wrong.
    changes: AtomicU64,
    waker: (Mutex<bool>, Condvar),
    pub(crate) stop: AtomicBool,
    /// Most flows in the datapath.
    pub flow_limit: AtomicU64,
    /// Packets that were translated.
    pub upcalls: AtomicU64,
    /// Largest value that `flow_limit` may take.
    pub max_flow_limit: AtomicU64,
    /// Milliseconds without a packet after which a flow leaves the datapath.
    pub max_idle_ms: AtomicU64,
    /// Milliseconds between two looks at all flows, at most.
    pub max_wait_ms: AtomicU64,
    /// Whether flows match only what their translation looked at; tests may want flows for single connections.
    pub megaflows: AtomicBool,
    /// Whether dumps may leave out keys; told to operators only.
    pub terse_dumps: AtomicBool,
    load: Mutex<Load>,
    /// Flows known, or more while one is being added.
    n_known: AtomicU64,
    /// Numbers of meters in the datapath that are in use.
    meters: Mutex<BTreeSet<u32>>,
}

impl std::fmt::Debug for Upcalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upcalls").field("known", &self.known_flows()).finish_non_exhaustive()
    }
}

/// Most flows in a datapath, unless `other_config:flow-limit` says otherwise.
pub const DEFAULT_FLOW_LIMIT: u64 = 200_000;

/// Flows with which a datapath starts; the limit then follows how long it takes to look at them.
const INITIAL_FLOW_LIMIT: u64 = 10_000;

/// How many flows there were when the revalidator looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Moving average.
    pub average: u64,
    /// Most.
    pub max: u64,
    /// Milliseconds that the last look took.
    pub dump_ms: u64,
}

/// A bridge, and its rules and groups that made a flow.
pub type Origin = (BridgeId, Vec<Arc<Rule>>, Vec<Arc<translate::view::Group>>);

/// What a translation found: whose counters move, and what its packets change.
type InHand = (Vec<Credit>, Vec<Effect>);

thread_local! {
    /// Of the packet in hand, until the datapath says whether it installed the flow.
    static IN_HAND: RefCell<Option<InHand>> = const { RefCell::new(None) };
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(|e| e.into_inner())
}

impl Upcalls {
    /// A handler without bridges. `notify` is called from the datapath's threads and must not block.
    pub fn new(clock: Clock, network: Network, notify: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Upcalls {
            network: Published::new(network),
            clock,
            known: Mutex::default(),
            notify: Box::new(notify),
            changes: AtomicU64::new(0),
            waker: (Mutex::new(false), Condvar::new()),
            stop: AtomicBool::new(false),
            flow_limit: AtomicU64::new(INITIAL_FLOW_LIMIT),
            upcalls: AtomicU64::new(0),
            max_flow_limit: AtomicU64::new(DEFAULT_FLOW_LIMIT),
            max_idle_ms: AtomicU64::new(crate::revalidate::MAX_IDLE.as_millis() as u64),
            max_wait_ms: AtomicU64::new(crate::revalidate::INTERVAL.as_millis() as u64),
            megaflows: AtomicBool::new(true),
            terse_dumps: AtomicBool::new(true),
            load: Mutex::default(),
            n_known: AtomicU64::new(0),
            meters: Mutex::default(),
        }
    }

    /// How many flows there were.
    pub fn load(&self) -> Load {
        *lock(&self.load)
    }

    /// Time without a packet after which a flow leaves the datapath.
    pub fn max_idle(&self) -> Duration {
        Duration::from_millis(self.max_idle_ms.load(Ordering::Relaxed))
    }

    /// Sets the number of flows that the datapath takes.
    pub fn set_flow_limit(&self, limit: u64) {
        self.flow_limit.store(limit, Ordering::Relaxed);
    }

    /// Notes how many flows a look at all of them found and how long it took, and adapts the limit: what cannot be looked
    /// at about once a second is too much.
    pub(crate) fn looked(&self, flows: u64, took: Duration) {
        const STEP: u64 = 1000;
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        {
            let mut load = lock(&self.load);
            load.average = (load.average + flows) / 2;
            load.max = load.max.max(flows);
            load.dump_ms = ms;
        }
        let limit = self.flow_limit.load(Ordering::Relaxed);
        let most = self.max_flow_limit.load(Ordering::Relaxed);
        let adapted = match ms {
            2001.. => limit / (ms / 1000),
            1301.. => limit * 3 / 4,
            ..1000 if flows > 2000 && limit < flows.saturating_mul(1000) / ms => limit + STEP,
            _ => limit,
        };
        if adapted != limit {
            self.flow_limit.store(adapted.clamp(STEP.min(most), most), Ordering::Relaxed);
        }
    }

    /// The rules and groups that made a flow, by bridge.
    pub fn origin_of(&self, ufid: Ufid) -> Option<Vec<Origin>> {
        let credits = self.known().get(&ufid)?.credits.clone();
        let mut all: Vec<Origin> = vec![];
        let mut rules: Vec<Arc<Rule>> = vec![];
        let mut groups = vec![];
        let mut here = None;
        for c in credits {
            match c {
                Credit::Lookup { bridge, .. } => {
                    if let Some(left) = here.filter(|h| *h != bridge) {
                        all.push((left, std::mem::take(&mut rules), std::mem::take(&mut groups)));
                    }
                    here = Some(bridge);
                }
                Credit::Rule(r) => rules.push(r),
                Credit::Group(g, _) => groups.push(g),
                _ => {}
            }
        }
        all.extend(here.map(|h| (h, rules, groups)));
        Some(all)
    }

    /// A free number for a meter, below `max`.
    pub(crate) fn take_meter(&self, max: u32) -> Option<u32> {
        let mut used = lock(&self.meters);
        let free = (0..).zip(used.iter()).find(|(n, u)| n != *u).map_or(used.len() as u32, |(n, _)| n);
        (free < max && used.insert(free)).then_some(free)
    }

    /// Gives a meter's number back.
    pub(crate) fn give_meter(&self, number: u32) {
        lock(&self.meters).remove(&number);
    }

    /// The bridges that packets see.
    pub fn network(&self) -> Arc<Network> {
        self.network.snapshot()
    }

    /// Replaces the bridges that packets see.
    pub fn set_network(&self, network: Network) {
        self.network.publish(Arc::new(network));
        self.changed(Reason::Reconfigure);
    }

    /// Says that flows may have become wrong.
    pub fn changed(&self, reason: Reason) {
        match reason {
            Reason::FlowTable => Counter::RevFlowTable,
            Reason::Reconfigure => Counter::RevReconfigure,
            Reason::MacLearning => Counter::RevMacLearning,
            Reason::PortToggled => Counter::RevPortToggled,
        }
        .hit();
        self.changes.fetch_add(1, Ordering::Release);
        // Without flows there is nothing to look at; the first flow wakes the revalidator by itself.
        if self.n_known.load(Ordering::Acquire) > 0 {
            self.wake();
        }
    }

    /// How many changes there were; see [`Upcalls::changed`].
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Lets the revalidator look now.
    pub(crate) fn wake(&self) {
        let woken = std::mem::replace(&mut *lock(&self.waker.0), true);
        if !woken {
            self.waker.1.notify_all();
        }
    }

    /// Waits until somebody calls [`Upcalls::wake`], or for `at_most`.
    pub(crate) fn wait(&self, at_most: Option<Duration>) {
        let guard = lock(&self.waker.0);
        let mut guard = match at_most {
            Some(d) => self.waker.1.wait_timeout_while(guard, d, |w| !*w).unwrap_or_else(|e| e.into_inner()).0,
            None => self.waker.1.wait_while(guard, |w| !*w).unwrap_or_else(|e| e.into_inner()),
        };
        *guard = false;
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, HashMap<Ufid, Known, foldhash::fast::RandomState>> {
        lock(&self.known)
    }

    /// Remembers a flow that another process put. What it has counted so far was counted by that process.
    pub(crate) fn adopt(&self, flow: &FlowDump, actions: &[DpAction], credits: Vec<Credit>, effects: Vec<Effect>) {
        let known = Known {
            key: MiniKey::new(&flow.key),
            mask: MiniKey::new(&flow.mask),
            actions: actions.into(),
            credits,
            effects,
            pushed: flow.stats,
            created: self.clock.now(),
            frozen: frozen_of(&flow.key, actions),
        };
        self.n_known.fetch_add(1, Ordering::AcqRel);
        if self.known().insert(flow.ufid, known).is_some() {
            self.n_known.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Forgets a flow.
    pub(crate) fn forget(&self, ufid: Ufid) {
        if self.known().remove(&ufid).is_some() {
            self.n_known.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Number of flows that the switch knows in the datapath.
    pub fn known_flows(&self) -> usize {
        self.known().len()
    }

    /// Applies what passing packets change. `fresh` is false for refreshing what an installed flow changed before.
    pub(crate) fn apply_effects(&self, network: &Network, effects: &[Effect], now: Instant) {
        // Counters of a flow from a port that is gone are still pushed; its addresses stay forgotten, also in the bridges that the
        // packets went on to: the port may be theirs by now.
        let there = |e: &Effect| match e {
            Effect::LearnMac { bridge, bundle, .. } => {
                network.bridges.get(bridge).is_some_and(|b| b.config.load().bundles.contains_key(bundle))
            }
            _ => true,
        };
        let learns = effects.iter().all(there);
        for e in effects {
            match e {
                Effect::LearnMac { bridge, vlan, mac, bundle, .. } => {
                    let Some(b) = network.bridges.get(bridge).filter(|_| learns) else { continue };
                    let learned = b.macs().learn(now, *vlan, *mac, *bundle);
                    if learned.changes_forwarding() {
                        Counter::MacLearned.hit();
                        self.changed(Reason::MacLearning);
                    }
                }
                Effect::LearnFlow { bridge, flow, .. } => {
                    (self.notify)(Notice::Learn { bridge: *bridge, flow: flow.clone() });
                }
                Effect::FinTimeout { rule, idle, hard } => shorten(rule, *idle, *hard),
                Effect::PacketIn(_) | Effect::Special { .. } => {}
            }
        }
    }

    /// Translates a packet that the datapath could not handle by itself and applies what it changes.
    fn translate(&self, key: &FlowKey, packet: &[u8], now: Instant) -> Option<translate::Xlate> {
        let network = self.network.load();
        let (bridge, port) = entry(&network, key)?;
        let mut key = *key;
        key.set_in_port(port);
        self.upcalls.fetch_add(1, Ordering::Relaxed);
        let mut request = Request::packet(bridge, key, Some(packet), now);
        request.tcp_flags = key.tcp_flags();
        let mut xlate = translate::translate(&network, &request);
        pin_tags(&key, &mut xlate.mask);
        self.apply_effects(&network, &xlate.effects, now);
        credit(&network, &xlate.credits, 1, packet.len() as u64, Some(now));
        for e in &xlate.effects {
            if let Effect::PacketIn(p) = e {
                let to = ToControllers::new((**p).clone(), packet.to_vec());
                (self.notify)(Notice::PacketIn(Box::new(to)));
            }
        }
        Some(xlate)
    }

    fn miss(&self, upcall: &Upcall<'_>) -> UpcallAnswer {
        Counter::UpcallMiss.hit();
        let Some(mut xlate) = self.translate(upcall.key, upcall.packet, upcall.now) else {
            return UpcallAnswer::default();
        };
        let actions =
            if xlate.slow.is_empty() { None } else { Some(slow_actions(&self.network.load(), upcall.key, xlate.slow)) };
        // Only what a later packet of the flow changes again is worth remembering.
        xlate.effects.retain(|e| !matches!(e, Effect::PacketIn(_)));
        IN_HAND.set(Some((xlate.credits, xlate.effects)));
        let full = self.known_flows() as u64 >= self.flow_limit.load(Ordering::Relaxed);
        if !self.megaflows.load(Ordering::Relaxed) {
            // What the packet does not have stays wild: there is nothing to compare.
            xlate.mask.union(&flow::matching::match_of_packet(upcall.key).mask);
            xlate.mask.union(&metadata_mask());
        }
        let install = (!full).then_some(InstallFlow { mask: xlate.mask, actions });
        UpcallAnswer { actions: xlate.actions, install }
    }

    fn action(&self, upcall: &Upcall<'_>, cookie: &UserCookie) -> UpcallAnswer {
        match cookie {
            UserCookie::SlowPath(_) => {
                let xlate = self.translate(upcall.key, upcall.packet, upcall.now);
                UpcallAnswer { actions: xlate.map(|x| x.actions).unwrap_or_default(), install: None }
            }
            UserCookie::Controller { dont_send, recirc_id, rule_cookie, controller_id, max_len, reason, .. } => {
                let network = self.network.load();
                if let (false, Some(state)) = (*dont_send, network.frozen.get(*recirc_id)) {
                    let mut key = *upcall.key;
                    if let Some((_, port)) = entry(&network, upcall.key) {
                        key.set_in_port(port);
                    }
                    let to = packet_in::from_frozen(
                        &state,
                        &key,
                        upcall.key.dp_in_port(),
                        upcall.packet,
                        packet_in::Particulars {
                            cookie: *rule_cookie,
                            controller_id: *controller_id,
                            max_len: *max_len,
                            reason: *reason,
                        },
                    );
                    (self.notify)(Notice::PacketIn(Box::new(to)));
                }
                UpcallAnswer::default()
            }
            UserCookie::Sflow { .. } | UserCookie::FlowSample(_) | UserCookie::Ipfix { .. } | UserCookie::Other(_) => {
                UpcallAnswer::default()
            }
        }
    }
}

/// All that packets have beside their bytes, but tunnels.
fn metadata_mask() -> FlowMask {
    let mut mask = FlowMask::ZERO;
    mask.set_recirc_id(u32::MAX);
    mask.set_dp_hash(u32::MAX);
    mask.set_skb_priority(u32::MAX);
    mask.set_pkt_mark(u32::MAX);
    mask.set_ct_state(0xff);
    mask.set_ct_zone(u16::MAX);
    mask.set_ct_mark(u32::MAX);
    mask.set_ct_label(u128::MAX);
    mask
}

/// What a flow of the datapath does whose every packet the switch has to see.
pub(crate) fn slow_actions(network: &Network, key: &FlowKey, why: datapath::SlowReason) -> Vec<DpAction> {
    let send = DpAction::Userspace { cookie: Box::new(UserCookie::SlowPath(why)), pid: 0 };
    let bridge = entry(network, key).and_then(|(bridge, _)| network.bridges.get(&bridge));
    let meter = bridge.and_then(|b| b.meters.load().get(&openflow::MeterId::SLOWPATH).copied());
    vec![match meter {
        Some(id) => translate::metered(id, send),
        None => send,
    }]
}

/// Frozen states that actions name, which must live as long as the flow.
fn frozen_ids(actions: &[DpAction], ids: &mut Vec<u32>) {
    for a in actions {
        match a {
            DpAction::Recirc(id) => ids.push(*id),
            DpAction::Userspace { cookie, .. } => {
                if let UserCookie::Controller { recirc_id, .. } = &**cookie {
                    ids.push(*recirc_id);
                }
            }
            DpAction::Sample { actions, .. } | DpAction::Clone(actions) => frozen_ids(actions, ids),
            DpAction::CheckPktLen { greater, less_equal, .. } => {
                frozen_ids(greater, ids);
                frozen_ids(less_equal, ids);
            }
            _ => {}
        }
    }
}

/// Frozen states that must live as long as a flow: those that its actions name and the one that its packets come from.
pub(crate) fn frozen_of(key: &FlowKey, actions: &[DpAction]) -> Box<[u32]> {
    let mut ids = vec![];
    frozen_ids(actions, &mut ids);
    ids.extend(Some(key.recirc_id()).filter(|id| *id != 0));
    ids.into()
}

/// Where a packet enters: bridge and OpenFlow port.
pub(crate) fn entry(network: &Network, key: &FlowKey) -> Option<(BridgeId, OfPort)> {
    network.dp_ports.get(&DpPort(key.in_port_raw())).copied()
}

/// Lets a flow match only packets with as many VLAN tags as the one that made it. Translation takes that for granted: the
/// Ethernet type of the wire, which every flow matches, says whether there is a tag; the key's is the one behind the tags.
pub(crate) fn pin_tags(key: &FlowKey, mask: &mut FlowMask) {
    for n in 0..flow::key::MAX_VLANS {
        mask.set_vlan_tci(n, mask.vlan_tci(n) | VLAN_CFI);
        if key.vlan_tci(n) & VLAN_CFI == 0 {
            break;
        }
    }
}

/// `fin_timeout`: a rule's timeouts only ever become shorter.
fn shorten(rule: &Rule, idle: u16, hard: u16) {
    let t = &rule.data.timeouts;
    // Not those that flows without timeouts share: a group of another flow's action set shortens none.
    if Arc::ptr_eq(t, &Timeouts::none()) {
        return;
    }
    for (timeout, to) in [(&t.idle, idle), (&t.hard, hard)] {
        if to != 0 {
            let _ =
                timeout.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now == 0 || now > to).then_some(to));
        }
    }
}

/// Counts packets for everything that a translation passed through.
pub(crate) fn credit(network: &Network, credits: &[Credit], packets: u64, bytes: u64, used: Option<Instant>) {
    for c in credits {
        match c {
            Credit::Rule(r) => r.data.stats.add(packets, bytes, used),
            Credit::Lookup { bridge, table, matched } => {
                let Some(t) = network.bridges.get(bridge).and_then(|b| b.tables.get(usize::from(table.0))) else {
                    continue;
                };
                let counter = if *matched { &t.matched } else { &t.missed };
                counter.fetch_add(packets, Ordering::Relaxed);
            }
            Credit::Group(g, bucket) => {
                // A packet counts once for the group and once for each bucket that it goes through.
                match bucket {
                    None => g.stats.add(packets, bytes, used),
                    Some(b) => g.buckets.get(*b).into_iter().for_each(|b| b.stats.add(packets, bytes, used)),
                }
            }
            Credit::Patch { bridge, port, peer_bridge, peer } => {
                packet_in::count_patch((*bridge, *port), (*peer_bridge, *peer), packets, bytes);
            }
            Credit::Mirrors(bridge, which) => {
                let Some(b) = network.bridges.get(bridge) else { continue };
                for (i, m) in b.config.load().mirrors.iter().enumerate() {
                    if which >> i & 1 != 0 {
                        m.stats.add(packets, bytes, used);
                    }
                }
            }
        }
    }
}

impl UpcallHandler for Upcalls {
    fn upcall(&self, upcall: &Upcall<'_>) -> UpcallAnswer {
        match &upcall.kind {
            UpcallKind::Miss => self.miss(upcall),
            UpcallKind::Action { cookie, .. } => self.action(upcall, cookie),
        }
    }

    fn hold(&self) -> Held {
        IN_HAND.take().map(|h| Box::new(h) as Box<dyn Any + Send>)
    }

    fn resume(&self, held: Held) {
        IN_HAND.set(held.and_then(|h| h.downcast::<InHand>().ok()).map(|h| *h));
    }

    fn installed(&self, ufid: Ufid, key: &FlowKey, mask: &FlowMask, actions: &Arc<[DpAction]>, ok: bool) {
        let Some((credits, effects)) = IN_HAND.take() else { return };
        if !ok {
            Counter::DpifFlowPutError.hit();
            return;
        }
        Counter::DpifFlowPut.hit();
        let known = Known {
            key: MiniKey::new(key),
            mask: MiniKey::new(mask),
            actions: actions.clone(),
            credits,
            effects,
            pushed: FlowStats::default(),
            created: self.clock.now(),
            frozen: frozen_of(key, actions),
        };
        // Counted before it is known, so that no change goes unseen; then changes wake the revalidator.
        self.n_known.fetch_add(1, Ordering::AcqRel);
        let mut all = self.known();
        let first = all.is_empty();
        let replaced = all.insert(ufid, known).is_some();
        drop(all);
        if replaced {
            self.n_known.fetch_sub(1, Ordering::AcqRel);
        }
        // Without flows the revalidator sleeps.
        if first {
            self.wake();
        }
    }
}
