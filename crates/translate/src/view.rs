//! What a translation looks at: bridges, ports, tables, groups, as the switch publishes them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use classifier::{Classifier, Clause, Payload};
use clock::Instant;
use datapath::Features;
use flow::{DpPort, OfPort};
use openflow::action::Action;
use openflow::message::groups::{GroupProps, GroupType};
use openflow::{GroupId, MeterId, TableId};
use protocols::mac_learning::MacTable;
use snapshot::{Published, SharedMap, Versions};
use wire::EthAddr;

use crate::frozen::FrozenStore;

/// Number of flow tables of a bridge, the internal one (254) included.
pub const N_TABLES: usize = 255;

/// A bridge, for as long as it exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct BridgeId(pub u64);

/// A port of the database (one interface or a bond) of a bridge, for as long as it exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct BundleId(pub u64);

/// Counters of a rule, group or bucket. Shared by all versions of the thing.
#[derive(Debug, Default)]
pub struct Counters {
    packets: AtomicU64,
    bytes: AtomicU64,
    /// Milliseconds of the monotonic clock plus 1; 0: never.
    used: AtomicU64,
}

impl Counters {
    /// Counts packets.
    pub fn add(&self, packets: u64, bytes: u64, used: Option<Instant>) {
        self.packets.fetch_add(packets, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        if let Some(used) = used {
            self.used.fetch_max(used.as_millis() + 1, Relaxed);
        }
    }

    /// Packets and bytes.
    pub fn read(&self) -> (u64, u64) {
        (self.packets.load(Relaxed), self.bytes.load(Relaxed))
    }

    /// When it was last used.
    pub fn used(&self) -> Option<Instant> {
        self.used.load(Relaxed).checked_sub(1).map(Instant::from_millis)
    }

    /// Sets packets and bytes to zero.
    pub fn reset(&self) {
        self.packets.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
    }
}

/// What a rule carries besides match and priority. Not changed once it is in a table: a modification puts a new rule
/// into the table that shares `stats` and the timeouts.
#[derive(Debug)]
pub struct RuleData {
    /// Table.
    pub table: TableId,
    /// Cookie.
    pub cookie: u64,
    /// Actions and instructions, in order of execution.
    pub actions: Arc<[Action]>,
    /// `OFPFF_*` flags.
    pub flags: u16,
    /// Importance for eviction.
    pub importance: u16,
    /// Idle and hard timeout in seconds, 0 for none.
    pub timeouts: Arc<Timeouts>,
    /// When the flow was added.
    pub created: Instant,
    /// Version of the tables in which the flow was added; modifications keep it.
    pub born: u64,
    /// When it was last added or modified.
    pub modified: Instant,
    /// Counters.
    pub stats: Arc<Counters>,
    /// Not shown to controllers (in-band control and the like).
    pub hidden: bool,
    /// Clauses, where the actions are `conjunction` actions.
    pub clauses: Box<[Clause]>,
}

/// Timeouts, which a `fin_timeout` action may shorten.
#[derive(Debug, Default)]
pub struct Timeouts {
    /// Seconds without a packet, 0 for none.
    pub idle: AtomicU16,
    /// Seconds of life, 0 for none.
    pub hard: AtomicU16,
}

impl Timeouts {
    /// Those of all flows that live for ever; they are not to be changed.
    #[must_use]
    pub fn none() -> Arc<Timeouts> {
        static NONE: LazyLock<Arc<Timeouts>> = LazyLock::new(Arc::default);
        NONE.clone()
    }
}

impl RuleData {
    /// The clauses that a list of actions stands for.
    #[must_use]
    pub fn clauses_of(actions: &[Action]) -> Box<[Clause]> {
        let clause = |a: &Action| match *a {
            Action::Conjunction { id, clause, n_clauses } => Some(Clause { id, clause, n_clauses }),
            _ => None,
        };
        actions.iter().filter_map(clause).collect()
    }
}

impl Payload for RuleData {
    fn clauses(&self) -> &[Clause] {
        &self.clauses
    }
}

/// A flow entry.
pub type Rule = classifier::Rule<RuleData>;
/// A flow table's rules.
pub type RuleTable = Classifier<RuleData>;

/// What a table does with a packet that no rule matches (OpenFlow 1.1, 1.2 `OFPC_TABLE_MISS_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TableMiss {
    /// As the version of the protocol has it: drop (1.3 and later), or to the controller (before).
    #[default]
    Default,
    /// To the controller.
    Controller,
    /// On with the next table.
    Continue,
    /// Drop.
    Drop,
}

/// A flow table.
#[derive(Default)]
pub struct Table {
    /// Rules of all versions.
    pub rules: RuleTable,
    /// What happens on a miss.
    pub miss: Published<TableMiss>,
    /// Lookups that found a rule.
    pub matched: AtomicU64,
    /// Lookups that did not.
    pub missed: AtomicU64,
}

/// A group's bucket.
#[derive(Debug)]
pub struct Bucket {
    /// As configured.
    pub desc: openflow::message::groups::Bucket,
    /// Counters.
    pub stats: Counters,
}

/// A group. A modification publishes a new one.
#[derive(Debug)]
pub struct Group {
    /// Number.
    pub id: GroupId,
    /// Kind.
    pub ty: GroupType,
    /// Buckets in order.
    pub buckets: Vec<Bucket>,
    /// Selection method.
    pub props: GroupProps,
    /// Counters.
    pub stats: Counters,
    /// When it was made.
    pub created: Instant,
}

/// Groups by number.
pub type Groups = HashMap<GroupId, Arc<Group>>;

/// The groups of a bridge. A translation reads those of the version of the tables that it reads, so that flows and groups
/// that change together are seen together.
#[derive(Debug, Default)]
pub struct GroupHistory(Published<Epoch>);

#[derive(Debug, Default)]
struct Epoch {
    /// Version from which these groups hold.
    since: u64,
    groups: Arc<Groups>,
    before: Option<Arc<Epoch>>,
}

impl GroupHistory {
    /// The groups of a version.
    #[must_use]
    pub fn at(&self, version: u64) -> Arc<Groups> {
        let mut epoch = self.0.snapshot();
        while epoch.since > version
            && let Some(before) = &epoch.before
        {
            epoch = before.clone();
        }
        epoch.groups.clone()
    }

    /// The newest groups.
    #[must_use]
    pub fn latest(&self) -> Arc<Groups> {
        self.0.load().groups.clone()
    }

    /// Sets the groups from a version on. To be called before the version becomes current.
    pub fn publish(&self, since: u64, groups: Arc<Groups>) {
        let before = Some(self.0.snapshot());
        self.0.publish(Arc::new(Epoch { since, groups, before }));
    }

    /// Lets go of groups that no version from `oldest` on has.
    pub fn forget(&self, oldest: u64) {
        let head = self.0.snapshot();
        if head.before.is_some() && head.since <= oldest {
            self.0.publish(Arc::new(Epoch { since: head.since, groups: head.groups.clone(), before: None }));
        }
    }
}

/// How a port treats tags, as the database's `Port:vlan_mode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum VlanMode {
    /// Untagged in `tag`.
    Access,
    /// Tagged.
    #[default]
    Trunk,
    /// Tagged, and untagged packets are in `tag`, which leaves tagged.
    NativeTagged,
    /// Tagged, and untagged packets are in `tag`, which leaves untagged.
    NativeUntagged,
    /// All packets are in the provider's VLAN `tag`; customer tags stay inside.
    Dot1qTunnel,
}

/// Whether packets of VLAN 0 leave with a priority tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PriorityTags {
    /// Never.
    #[default]
    Never,
    /// When the priority is not 0.
    IfNonzero,
    /// Always.
    Always,
}

/// A set of VLAN ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VlanSet(Box<[u64; 64]>);

impl Default for VlanSet {
    fn default() -> Self {
        VlanSet(Box::new([0; 64]))
    }
}

impl VlanSet {
    /// Whether `vid` is in the set.
    #[must_use]
    pub fn contains(&self, vid: u16) -> bool {
        self.0[usize::from(vid >> 6) & 63] >> (vid & 63) & 1 != 0
    }

    /// Adds `vid`; ids above 4095 are ignored.
    pub fn insert(&mut self, vid: u16) {
        if vid < 4096 {
            self.0[usize::from(vid >> 6)] |= 1 << (vid & 63);
        }
    }
}

impl FromIterator<u16> for VlanSet {
    fn from_iter<I: IntoIterator<Item = u16>>(vids: I) -> Self {
        let mut set = VlanSet::default();
        vids.into_iter().for_each(|vid| set.insert(vid));
        set
    }
}

/// IEEE 802.1D state of a port, as far as forwarding goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StpState {
    /// No spanning tree, or forwarding.
    #[default]
    Forwarding,
    /// Learns addresses only.
    Learning,
    /// Neither; control packets pass.
    Blocking,
}

/// An OpenFlow port.
#[derive(Clone, Debug, Default)]
pub struct Port {
    /// OpenFlow number.
    pub of: OfPort,
    /// Datapath number; none for patch ports.
    pub dp: Option<DpPort>,
    /// Name.
    pub name: String,
    /// Address.
    pub mac: EthAddr,
    /// Database port it belongs to.
    pub bundle: BundleId,
    /// `OFPPC_*` bits (`openflow::message::ports::PC_*`).
    pub config: u32,
    /// Administratively up, with a carrier, and live as far as its protocols say.
    pub up: bool,
    /// Spanning tree.
    pub stp: StpState,
    /// The other end of a patch port.
    pub peer: Option<(BridgeId, OfPort)>,
    /// Tunnel port: what goes into the tunnel header.
    pub tunnel: Option<Box<Tunnel>>,
    /// `skb_priority` of a queue number.
    pub queues: HashMap<u32, u32>,
}

/// A value that a tunnel has configured, or takes from the flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FromFlow<T> {
    /// Configured.
    Fixed(T),
    /// `flow`.
    Flow,
}

/// Header values of a tunnel port.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// Local address; unspecified: chosen by routing.
    pub local: FromFlow<std::net::IpAddr>,
    /// Remote address.
    pub remote: FromFlow<std::net::IpAddr>,
    /// Key that packets from the tunnel must have; `None`: any or none.
    pub in_key: Option<FromFlow<u64>>,
    /// Key that packets into the tunnel get; `None`: none.
    pub out_key: Option<FromFlow<u64>>,
    /// Type of service; `None`: 0. [`FromFlow::Flow`]: inherited.
    pub tos: Option<FromFlow<u8>>,
    /// Time to live; [`FromFlow::Flow`]: inherited.
    pub ttl: FromFlow<u8>,
    /// Destination UDP port.
    pub dst_port: u16,
    /// Outer packet must not be fragmented.
    pub df: bool,
    /// Outer checksum.
    pub csum: bool,
    /// VXLAN group policy extension.
    pub gbp: bool,
}

/// A port of the database: one interface or a bond.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// Id.
    pub id: BundleId,
    /// Name.
    pub name: String,
    /// OpenFlow ports in it.
    pub ports: Vec<OfPort>,
    /// How it treats tags.
    pub vlan_mode: VlanMode,
    /// Access or native VLAN, 0 for none.
    pub tag: u16,
    /// VLANs that it carries; `None`: all.
    pub trunks: Option<VlanSet>,
    /// Customer VLANs of a tunnel port; `None`: all.
    pub cvlans: Option<VlanSet>,
    /// Ethernet type of provider tags.
    pub qinq_ethtype: u16,
    /// Priority tags on output.
    pub priority_tags: PriorityTags,
    /// Never talks to another protected port.
    pub protected: bool,
    /// Not part of flooding.
    pub no_flood: bool,
    /// Bond, where there are several ports.
    pub bond: Option<Arc<dyn BondView>>,
}

/// What translation asks of a bond.
pub trait BondView: Send + Sync + std::fmt::Debug {
    /// The member to send by, and whether the choice depended on the flow's hash. May add to the bits looked at.
    fn choose(&self, key: &flow::FlowKey, mask: &mut flow::FlowMask, vlan: u16) -> Option<OfPort>;
    /// Whether a packet that came in by `member` is to be taken.
    fn admits(&self, member: OfPort, destination: EthAddr) -> Admission;
    /// The member that is the only one in use, for admission of group addresses.
    fn is_active(&self, member: OfPort) -> bool;
}

/// A bond's say on an incoming packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Take it.
    Accept,
    /// Drop it.
    Drop,
    /// Drop it if the table says that its source is elsewhere: it is a copy of our own.
    DropIfMoved,
}

/// A mirror.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    /// Name.
    pub name: String,
    /// Bundles whose received packets are copied.
    pub src: Vec<BundleId>,
    /// Bundles whose sent packets are copied.
    pub dst: Vec<BundleId>,
    /// Copied VLANs; `None`: all.
    pub vlans: Option<VlanSet>,
    /// Copies go out here, …
    pub out_bundle: Option<BundleId>,
    /// … or into this VLAN.
    pub out_vlan: u16,
    /// Bytes of a packet that are copied, 0 for all.
    pub snaplen: u16,
    /// Only packets that match.
    pub filter: Option<flow::MiniMatch>,
    /// Counters.
    pub stats: Arc<Counters>,
}

/// What happens to IP fragments (OpenFlow `OFPC_FRAG_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FragHandling {
    /// Transport ports of fragments read as 0.
    #[default]
    Normal,
    /// Dropped.
    Drop,
    /// First fragments keep their ports.
    NxMatch,
}

/// A bridge's configuration, immutable.
#[derive(Clone, Debug, Default)]
pub struct BridgeConfig {
    /// Id.
    pub id: BridgeId,
    /// Name.
    pub name: String,
    /// OpenFlow ports.
    pub ports: SharedMap<OfPort, Port>,
    /// Database ports.
    pub bundles: SharedMap<BundleId, Bundle>,
    /// Ids of `bundles` in the order in which a flood goes out.
    pub flood_order: Vec<BundleId>,
    /// Mirrors, at most 32.
    pub mirrors: Vec<Mirror>,
    /// VLANs that are flooded and not learned.
    pub flood_vlans: VlanSet,
    /// Forward packets to reserved group addresses.
    pub forward_bpdu: bool,
    /// Fragments.
    pub frags: FragHandling,
    /// A table miss goes to controllers (there is a controller of OpenFlow 1.0 to 1.2).
    pub miss_to_controller: bool,
    /// Some controller wants packets whose TTL expired.
    pub invalid_ttl_to_controller: bool,
    /// Bytes of a missed packet for the controller.
    pub miss_send_len: u16,
    /// Link layer discovery runs: see [`crate::special`].
    pub lldp: bool,
    /// Somebody collects IPFIX samples; without a collector the action `sample` does nothing.
    pub ipfix: bool,
    /// Where each tunnel metadata field lies (the bridge's table of tunnel options).
    pub tun_options: flow::TunAlloc,
}

/// A bridge, shared between the thread that configures it and those that translate.
pub struct Bridge {
    /// Id.
    pub id: BridgeId,
    /// Configuration.
    pub config: Published<BridgeConfig>,
    /// Flow tables, by number.
    pub tables: Box<[Table]>,
    /// Version of the rules in the tables; rules that left are retired with it.
    pub versions: Versions<Arc<Rule>>,
    /// Groups.
    pub groups: GroupHistory,
    /// Meters: the datapath's number of each.
    pub meters: Published<HashMap<MeterId, u32>>,
    /// Learned addresses.
    pub macs: Mutex<MacTable<BundleId>>,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Bridge {
    /// A bridge with empty tables.
    #[must_use]
    pub fn new(config: BridgeConfig) -> Self {
        Bridge {
            id: config.id,
            config: Published::new(config),
            tables: (0..N_TABLES).map(|_| Table::default()).collect(),
            versions: Versions::default(),
            groups: GroupHistory::default(),
            meters: Published::default(),
            macs: Mutex::default(),
        }
    }

    /// The learned addresses, locked.
    pub fn macs(&self) -> MutexGuard<'_, MacTable<BundleId>> {
        self.macs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out of the tables the retired rules that no translation can see any more.
    pub fn reclaim(&self) {
        let mut by_table: HashMap<u8, Vec<Arc<Rule>>> = HashMap::new();
        for rule in self.versions.reclaim() {
            by_table.entry(rule.data.table.0).or_default().push(rule);
        }
        for (table, rules) in by_table {
            if let Some(table) = self.tables.get(usize::from(table)) {
                table.rules.remove_all(&rules);
            }
        }
        self.groups.forget(self.versions.oldest());
    }
}

/// All bridges on one datapath.
pub struct Network {
    /// Bridges.
    pub bridges: HashMap<BridgeId, Arc<Bridge>>,
    /// Which OpenFlow port a datapath port is.
    pub dp_ports: SharedMap<DpPort, (BridgeId, OfPort)>,
    /// What the datapath can do.
    pub features: Features,
    /// State of packets that recirculate or wait for a controller.
    pub frozen: Arc<FrozenStore>,
}

impl Network {
    /// No bridges.
    #[must_use]
    pub fn empty(features: Features) -> Self {
        Network { bridges: HashMap::new(), dp_ports: SharedMap::default(), features, frozen: Arc::default() }
    }
}
