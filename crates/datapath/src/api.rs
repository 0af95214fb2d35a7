//! What the switch asks of a datapath.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use clock::Instant;
use flow::{DpPort, FlowKey, FlowMask};

use crate::action::{DpAction, UserCookie};
use crate::flow::{FlowDump, FlowStats, Ufid};
use crate::meter::{MeterConfig, MeterFeatures, MeterStats};

/// A port of a datapath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Number.
    pub port: DpPort,
    /// Name of its device.
    pub name: String,
    /// Type, as in the database: `system`, `internal`, `tap`, `dummy`, …
    pub kind: String,
    /// What listings tell of its queues.
    pub config: Vec<(String, String)>,
}

/// Counters of a datapath.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DpStats {
    /// Packets that matched a flow.
    pub hit: u64,
    /// Packets that did not.
    pub missed: u64,
    /// Misses that could not be handled.
    pub lost: u64,
    /// Flows.
    pub flows: u64,
    /// Lookups in the exact-match cache that found a flow.
    pub emc_hit: u64,
    /// Subtables looked at.
    pub mask_hits: u64,
    /// Different masks.
    pub masks: u64,
}

/// Counters of a port as the datapath counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PortStats {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_dropped: u64,
    pub upcalls: u64,
    pub upcall_errors: u64,
}

/// What a datapath can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Features {
    pub max_vlan_headers: u32,
    pub max_mpls_depth: u32,
    pub recirc: bool,
    pub ct_state: bool,
    pub ct_zone: bool,
    pub ct_mark: bool,
    pub ct_label: bool,
    pub ct_state_nat: bool,
    pub ct_orig_tuple: bool,
    pub ct_orig_tuple6: bool,
    pub nd_extensions: bool,
    pub masked_set: bool,
    pub tunnel_push_pop: bool,
    pub ufid: bool,
    pub trunc: bool,
    pub clone: bool,
    pub sample_nesting: u32,
    pub ct_eventmask: bool,
    pub ct_clear: bool,
    pub max_hash_alg: u32,
    pub check_pkt_len: bool,
    pub ct_timeout: bool,
    pub explicit_drop: bool,
    pub lb_output: bool,
    pub add_mpls: bool,
    pub psample: bool,
    pub ct_zero_snat: bool,
    /// Queues are chosen by the class of a Linux queueing discipline, not by their number.
    pub queue_classes: bool,
}

impl Features {
    /// Everything this language of actions has.
    #[must_use]
    pub const fn all() -> Features {
        Features {
            max_vlan_headers: 2,
            max_mpls_depth: 3,
            recirc: true,
            ct_state: true,
            ct_zone: true,
            ct_mark: true,
            ct_label: true,
            ct_state_nat: true,
            ct_orig_tuple: true,
            ct_orig_tuple6: true,
            nd_extensions: true,
            masked_set: true,
            tunnel_push_pop: true,
            ufid: true,
            trunc: true,
            clone: true,
            sample_nesting: 10,
            ct_eventmask: true,
            ct_clear: true,
            max_hash_alg: 1,
            check_pkt_len: true,
            ct_timeout: true,
            explicit_drop: true,
            lb_output: true,
            add_mpls: true,
            psample: false,
            ct_zero_snat: true,
            queue_classes: false,
        }
    }
}

/// Why a request failed.
#[derive(Debug)]
pub enum DpError {
    /// A system call failed, or would have: carries the errno.
    Io(std::io::Error),
    /// No such flow.
    NoSuchFlow,
    /// No such port.
    NoSuchPort,
    /// No such meter.
    NoSuchMeter,
    /// The flow, or the port's number or name, exists.
    Exists,
    /// The flow table is full.
    Full,
    /// The datapath does not do this; says what.
    Unsupported(&'static str),
    /// The datapath is being taken down.
    Gone,
}

impl fmt::Display for DpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DpError::Io(e) => {
                let text = e.to_string();
                f.write_str(text.split_once(" (os error").map_or(text.as_str(), |(what, _)| what))
            }
            DpError::NoSuchFlow | DpError::NoSuchMeter => f.write_str("No such file or directory"),
            DpError::NoSuchPort | DpError::Gone => f.write_str("No such device"),
            DpError::Exists => f.write_str("File exists"),
            DpError::Full => f.write_str("File too large"),
            DpError::Unsupported(what) => write!(f, "{what} not supported"),
        }
    }
}

impl std::error::Error for DpError {}

impl From<std::io::Error> for DpError {
    fn from(e: std::io::Error) -> Self {
        DpError::Io(e)
    }
}

/// Why a packet comes to the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpcallKind<'a> {
    /// No flow matches it.
    Miss,
    /// An action sent it.
    Action {
        /// The action's cookie.
        cookie: &'a UserCookie,
        /// Actions that came before in the flow are done; none follow by themselves.
        actions: &'a [DpAction],
    },
}

/// A packet that comes to the switch.
#[derive(Debug)]
pub struct Upcall<'a> {
    /// Its fields; the input port is a datapath port.
    pub key: &'a FlowKey,
    /// Its bytes as they are now.
    pub packet: &'a [u8],
    /// Name that a flow for exactly this key would have.
    pub ufid: Ufid,
    /// Why.
    pub kind: UpcallKind<'a>,
    /// When.
    pub now: Instant,
}

/// The switch's answer to an upcall.
#[derive(Clone, Debug, Default)]
pub struct UpcallAnswer {
    /// What to do with this packet, now.
    pub actions: Vec<DpAction>,
    /// A flow to install for packets to come: the bits that were looked at, and its actions where they differ from
    /// this packet's (a slow-path flow).
    pub install: Option<InstallFlow>,
}

/// The flow that an upcall's answer asks for.
#[derive(Clone, Debug)]
pub struct InstallFlow {
    /// Bits that were looked at.
    pub mask: FlowMask,
    /// Actions; `None`: those of this packet.
    pub actions: Option<Vec<DpAction>>,
}

/// What a handler remembers of an upcall whose flow is installed later.
pub type Held = Option<Box<dyn Any + Send>>;

/// Answers upcalls. A datapath calls it on its polling threads, possibly several at once; it must not wait for the
/// control thread.
pub trait UpcallHandler: Send + Sync {
    /// Handles one packet. `ufid` of an installed flow is reported through [`UpcallHandler::installed`].
    fn upcall(&self, upcall: &Upcall<'_>) -> UpcallAnswer;

    /// Sets aside what the handler remembers of the last upcall of this thread, for a datapath that installs flows later than it
    /// asks for them. It is given back with [`UpcallHandler::resume`] before [`UpcallHandler::installed`] is called.
    fn hold(&self) -> Held {
        None
    }

    /// Takes back what was set aside.
    fn resume(&self, held: Held) {
        let _ = held;
    }

    /// A flow that an answer asked for is (or, `ok` false, could not be) in the table.
    fn installed(&self, ufid: Ufid, key: &FlowKey, mask: &FlowMask, actions: &Arc<[DpAction]>, ok: bool) {
        let _ = (ufid, key, mask, actions, ok);
    }
}

/// A change of the flow table.
#[derive(Clone, Debug)]
pub struct FlowPut {
    /// Name; `None`: [`Ufid::of`] key and mask.
    pub ufid: Option<Ufid>,
    /// Fields.
    pub key: FlowKey,
    /// Bits that count.
    pub mask: FlowMask,
    /// Actions.
    pub actions: Vec<DpAction>,
    /// Allowed to make a flow.
    pub create: bool,
    /// Allowed to change one.
    pub modify: bool,
    /// Zero its counters.
    pub zero_stats: bool,
}

/// A packet to be worked on outside any flow.
#[derive(Debug)]
pub struct Execute<'a> {
    /// Bytes.
    pub packet: &'a [u8],
    /// Fields, metadata included.
    pub key: &'a FlowKey,
    /// What to do.
    pub actions: &'a [DpAction],
    /// Steal it from the probe that counts flows.
    pub probe: bool,
}

/// A datapath. All methods may be called from any thread; flow methods never wait for port methods.
pub trait Datapath: Send + Sync {
    /// Name, for instance `ovs-netdev`.
    fn name(&self) -> &str;
    /// Type, for instance `netdev`.
    fn kind(&self) -> &str;
    /// Counters.
    fn stats(&self) -> DpStats;
    /// What it can do.
    fn features(&self) -> Features;
    /// All ports, by number.
    fn ports(&self) -> Vec<PortInfo>;
    /// Counters of a port as the datapath counts them.
    fn port_stats(&self, port: DpPort) -> Option<PortStats>;
    /// Installs or changes a flow; gives its former counters.
    fn flow_put(&self, put: FlowPut) -> Result<FlowStats, DpError>;
    /// Removes a flow; gives its last counters.
    fn flow_del(&self, ufid: Ufid) -> Result<FlowStats, DpError>;
    /// Removes several flows; gives what became of each, in their order.
    fn flow_del_all(&self, ufids: &[Ufid]) -> Vec<Result<FlowStats, DpError>> {
        ufids.iter().map(|u| self.flow_del(*u)).collect()
    }
    /// Whether its flows may be older than this process, so that those that the switch does not know are to be checked as its own.
    fn adopts(&self) -> bool {
        false
    }
    /// Looks a flow up by name.
    fn flow_get(&self, ufid: Ufid) -> Result<FlowDump, DpError>;
    /// All flows, as of one moment.
    fn flow_dump(&self) -> Vec<FlowDump>;
    /// Removes all flows.
    fn flow_flush(&self) -> Result<(), DpError>;
    /// Works on a packet.
    fn execute(&self, execute: Execute<'_>) -> Result<(), DpError>;
    /// Sets who answers upcalls; `None`: nobody, and misses are dropped.
    fn set_upcall_handler(&self, handler: Option<Arc<dyn UpcallHandler>>);
    /// Limits the number of flows.
    fn set_flow_limit(&self, limit: usize);
    /// What meters it can have.
    fn meter_features(&self) -> MeterFeatures {
        MeterFeatures::default()
    }
    /// Makes a meter, or replaces one; its counters start anew.
    fn meter_set(&self, id: u32, config: &MeterConfig) -> Result<(), DpError> {
        let _ = (id, config);
        Err(DpError::Unsupported("meters"))
    }
    /// Counters of a meter.
    fn meter_get(&self, id: u32) -> Result<MeterStats, DpError> {
        let _ = id;
        Err(DpError::NoSuchMeter)
    }
    /// Removes a meter; gives its last counters. Flows that use it let everything pass from then on.
    fn meter_del(&self, id: u32) -> Result<MeterStats, DpError> {
        let _ = id;
        Err(DpError::NoSuchMeter)
    }
}
