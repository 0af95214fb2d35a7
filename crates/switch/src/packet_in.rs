//! Packets on their way to controllers.

use flow::{DpPort, FlowKey, FlowMask, Match, MiniMatch, OfPort};
use openflow::TableId;
use openflow::action::PacketInReason;
use openflow::message::{PacketIn, PacketInFormat};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard};
use translate::frozen::FrozenState;
use translate::{BridgeId, ToController};

/// A packet for the controllers of a bridge.
#[derive(Debug)]
pub struct ToControllers {
    /// What the translation said.
    pub what: ToController,
    /// The packet.
    pub packet: Vec<u8>,
    /// What is left to do for a packet that waits.
    pub continuation: Option<openflow::message::Continuation>,
}

/// What the datapath's action says about a packet for the controllers.
pub(crate) struct Particulars {
    pub cookie: u64,
    pub controller_id: u16,
    pub max_len: u16,
    pub reason: u8,
}

impl ToControllers {
    /// A packet with what the translation said about it.
    pub fn new(what: ToController, packet: Vec<u8>) -> Self {
        ToControllers { what, packet, continuation: None }
    }

    /// The message, whole; each connection gets its own form and length of it.
    pub fn message(&self) -> PacketIn {
        PacketIn {
            buffer_id: u32::MAX,
            total_len: self.packet.len() as u32,
            reason: self.what.reason,
            table: self.what.table,
            cookie: self.what.cookie,
            metadata: metadata(&self.what.key),
            packet: self.packet.clone(),
            userdata: self.what.userdata.clone(),
            continuation: None,
            format: PacketInFormat::Standard,
        }
    }
}

/// The fields of a packet that are not in its bytes: input port, tunnel, registers, metadata, connection tracking.
fn metadata(key: &FlowKey) -> MiniMatch {
    /// Words of a key before Ethernet (see [`flow::key`]).
    const PIPELINE_WORDS: usize = 39;
    let mut mask = FlowMask::ZERO;
    for w in 0..PIPELINE_WORDS {
        // Registers share words; the halves that are zero stay wild.
        let word = key.word(w);
        let mut m = 0;
        if word >> 32 != 0 {
            m |= 0xffff_ffff_0000_0000;
        }
        if word & 0xffff_ffff != 0 {
            m |= 0xffff_ffff;
        }
        mask.set_word(w, m);
    }
    let mut only = FlowKey::ZERO;
    for w in 0..PIPELINE_WORDS {
        only.set_word(w, key.word(w));
    }
    // Datapath matters are nobody's business.
    only.set_recirc_id(0);
    mask.set_recirc_id(0);
    only.set_dp_hash(0);
    mask.set_dp_hash(0);
    only.set_actset_output_raw(0);
    mask.set_actset_output_raw(0);
    let mut m = Match::new(&only, &mask);
    m.set_in_port(OfPort(key.in_port_raw()));
    MiniMatch::new(&m)
}

pub(crate) fn from_frozen(
    state: &FrozenState,
    key: &FlowKey,
    dp_port: DpPort,
    packet: &[u8],
    p: Particulars,
) -> ToControllers {
    let mut full = *key;
    for (w, v) in state.metadata.iter() {
        full.set_word(w, v);
    }
    full.set_in_port(state.in_port);
    let what = ToController {
        bridge: state.bridge,
        reason: reason(p.reason),
        table: state.table.unwrap_or(TableId(0)),
        cookie: p.cookie,
        max_len: p.max_len,
        controller_id: p.controller_id,
        key: full,
        userdata: state.userdata.clone(),
    };
    let continuation = state.paused.then(|| crate::resume::continuation(state, dp_port));
    ToControllers { continuation, ..ToControllers::new(what, packet.to_vec()) }
}

fn reason(number: u8) -> PacketInReason {
    match number {
        0 => PacketInReason::NoMatch,
        2 => PacketInReason::InvalidTtl,
        3 => PacketInReason::ActionSet,
        4 => PacketInReason::Group,
        5 => PacketInReason::PacketOut,
        6 => PacketInReason::ExplicitMiss,
        7 => PacketInReason::ImplicitMiss,
        _ => PacketInReason::Action,
    }
}

/// Packets that crossed patch ports, of which the datapath knows nothing: received packets and bytes, sent packets and
/// bytes.
type PatchCounters = Mutex<HashMap<(BridgeId, OfPort), [u64; 4]>>;

static PATCH: LazyLock<PatchCounters> = LazyLock::new(Default::default);

fn patch() -> MutexGuard<'static, HashMap<(BridgeId, OfPort), [u64; 4]>> {
    PATCH.lock().unwrap_or_else(|e| e.into_inner())
}

pub(crate) fn count_patch(from: (BridgeId, OfPort), to: (BridgeId, OfPort), packets: u64, bytes: u64) {
    let mut all = patch();
    let sent = all.entry(from).or_default();
    sent[2] += packets;
    sent[3] += bytes;
    let received = all.entry(to).or_default();
    received[0] += packets;
    received[1] += bytes;
}

/// Counters of a patch port: received packets and bytes, sent packets and bytes.
pub fn patch_counters(bridge: BridgeId, port: OfPort) -> [u64; 4] {
    patch().get(&(bridge, port)).copied().unwrap_or_default()
}

/// Forgets the counters of a patch port that is gone.
pub fn forget_patch(bridge: BridgeId, port: OfPort) {
    patch().remove(&(bridge, port));
}
