//! Runs a list of actions on a packet.

use crate::lookup::Lookup;
use crate::member::add;
use crate::poller::Poller;
use datapath::action::{HashAlg, NshHeader};
use datapath::edit as header;
use datapath::{DpAction, DropReason, Upcall, UpcallKind};
use flow::packet_type::PacketType;
use flow::{FlowKey, Metadata};
use io::coverage::Counter;
use wire::{PacketBuf, edit, nsh};

/// How deep packets may recirculate and samples and clones may nest, together.
const MAX_DEPTH: u32 = 16;

/// Words of a key that do not come from the packet's bytes: all before Ethernet, and tunnel metadata.
fn metadata_of(key: &FlowKey) -> Metadata {
    let mut m = Metadata::default();
    for w in (0..39).chain(58..flow::key::WORDS) {
        m.key.set_word(w, key.word(w));
    }
    m
}

/// Transparent Ethernet bridging: what follows is an Ethernet frame (IEEE 802 numbers).
const ETH_TYPE_TEB: u16 = 0x6558;

impl Poller {
    /// Runs actions; the packet is gone afterwards.
    pub(crate) fn actions(&mut self, actions: &[DpAction], mut packet: PacketBuf, key: &mut FlowKey, depth: u32) {
        if depth > MAX_DEPTH {
            Counter::DropRecirculation.hit();
            return self.pool.give(packet);
        }
        let mut cut = None;
        for (i, action) in actions.iter().enumerate() {
            let last = i + 1 == actions.len();
            match action {
                DpAction::Output(port) => {
                    let mut copy = if last { std::mem::take(&mut packet) } else { packet.clone() };
                    if let Some(bytes) = cut.take() {
                        let left = copy.len().saturating_sub(bytes);
                        truncate(&mut copy, left);
                    }
                    self.output(*port, copy);
                    if last {
                        return;
                    }
                }
                // So many bytes go from the end, whatever is put in front until the packet leaves.
                DpAction::Trunc(len) => cut = Some(packet.len().saturating_sub(*len as usize)),
                DpAction::PushVlan { tpid, tci } => {
                    edit::push_vlan(&mut packet, *tpid, *tci & !flow::key::VLAN_CFI);
                    self.refresh(&packet, key);
                }
                DpAction::PopVlan => {
                    edit::pop_vlan(&mut packet);
                    self.refresh(&packet, key);
                }
                DpAction::PushMpls { ethertype, lse } => {
                    edit::push_mpls(&mut packet, *ethertype, *lse);
                    self.refresh(&packet, key);
                }
                DpAction::AddMpls { ethertype, lse } => {
                    packet.insert_gap(0, 4);
                    packet.bytes_mut()[..4].copy_from_slice(&lse.to_be_bytes());
                    key.set_packet_type(PacketType::new(1, *ethertype));
                    self.refresh(&packet, key);
                }
                DpAction::PopMpls(ty) if key.packet_type() == PacketType::ETHERNET => {
                    edit::pop_mpls(&mut packet, *ty);
                    self.refresh(&packet, key);
                }
                DpAction::PopMpls(ty) => {
                    if wire::layers::is_mpls(key.eth_type()) && packet.len() >= 4 {
                        packet.remove(0, 4);
                        let inner = PacketType::new(1, *ty);
                        key.set_packet_type(if *ty == ETH_TYPE_TEB { PacketType::ETHERNET } else { inner });
                    }
                    self.refresh(&packet, key);
                }
                DpAction::PushEth(h) => {
                    let ty = key.eth_type();
                    edit::push_eth(&mut packet, h.dst.0, h.src.0, ty);
                    key.set_packet_type_raw(0);
                    self.refresh(&packet, key);
                }
                DpAction::PopEth => {
                    let ty = key.eth_type();
                    edit::pop_eth(&mut packet);
                    // Name space 1: Ethernet types (OpenFlow 1.5.1 §7.2.3.11).
                    key.set_packet_type_raw(1 << 16 | u32::from(ty));
                    self.refresh(&packet, key);
                }
                DpAction::Set(s) => header::set(&mut packet, key, s),
                DpAction::Userspace { cookie, .. } => {
                    let mut copy = packet.clone();
                    if let Some(bytes) = cut.take() {
                        let left = copy.len().saturating_sub(bytes);
                        truncate(&mut copy, left);
                    }
                    copy.complete_checksum();
                    self.ask(UpcallKind::Action { cookie, actions: &actions[i + 1..] }, copy, key, depth);
                }
                DpAction::Recirc(id) => {
                    let mut again = metadata_of(key);
                    again.key.set_recirc_id(*id);
                    let copy = if last { std::mem::take(&mut packet) } else { packet.clone() };
                    let mut new_key = flow::extract(copy.bytes(), &again);
                    add(&self.me.counters.recirculated, 1);
                    let hash = Lookup::hash(&new_key);
                    self.process(copy, &mut new_key, hash, depth + 1);
                    if last {
                        return;
                    }
                }
                // 0 stands for "no hash".
                DpAction::Hash { alg, basis } => key.set_dp_hash(hash(key, *alg, *basis).max(1)),
                DpAction::Clone(inner) => self.actions(inner, packet.clone(), &mut key.clone(), depth + 1),
                DpAction::Sample { probability, actions } => {
                    if self.random() <= *probability {
                        self.actions(actions, packet.clone(), &mut key.clone(), depth + 1);
                    }
                }
                DpAction::CheckPktLen { len, greater, less_equal } => {
                    let inner = if packet.len() > usize::from(*len) { greater } else { less_equal };
                    self.actions(inner, packet.clone(), &mut key.clone(), depth + 1);
                }
                DpAction::CtClear => {
                    key.set_ct_state(0);
                    key.set_ct_zone(0);
                    key.set_ct_mark(0);
                    key.set_ct_label(0);
                }
                DpAction::Meter(id) => {
                    if !self.shared.meters.admit(*id, packet.len() as u64, self.batch_now) {
                        Counter::DropMeter.hit();
                        break;
                    }
                }
                DpAction::PushNsh(h) => {
                    nsh::push(&mut packet, &nsh_fields(h, key));
                    key.set_packet_type_raw(PacketType::NSH.0);
                    self.refresh(&packet, key);
                }
                DpAction::PopNsh => {
                    let inside = if key.packet_type() == PacketType::NSH { nsh::pop(&mut packet) } else { None };
                    let Some(ty) = inside.and_then(type_inside) else {
                        Counter::DropNshDecap.hit();
                        break;
                    };
                    key.set_packet_type_raw(ty.0);
                    self.refresh(&packet, key);
                }
                DpAction::Drop(reason) => {
                    count_drop(*reason);
                    break;
                }
                // What this datapath cannot do must not pass as if it had been done.
                DpAction::Ct(_)
                | DpAction::TunnelPush(_)
                | DpAction::TunnelPop(_)
                | DpAction::LbOutput(_)
                | DpAction::Raw { .. } => break,
            }
        }
        self.pool.give(packet);
    }

    /// The packet's headers changed: reads its fields anew.
    fn refresh(&self, packet: &PacketBuf, key: &mut FlowKey) {
        *key = flow::extract(packet.bytes(), &metadata_of(key));
    }

    /// Asks the switch about a packet and runs what it answers.
    fn ask(&mut self, kind: UpcallKind<'_>, packet: PacketBuf, key: &FlowKey, depth: u32) {
        let Some(handler) = (**self.shared.handler.load()).clone() else { return };
        let upcall = Upcall { key, packet: packet.bytes(), ufid: datapath::Ufid(0), kind, now: self.now() };
        let answer = handler.upcall(&upcall);
        if !answer.actions.is_empty() {
            self.actions(&answer.actions, packet, &mut key.clone(), depth + 1);
        }
    }
}

/// Hash of the addresses and ports; the symmetric one is the same for both directions of a connection.
fn hash(key: &FlowKey, alg: HashAlg, basis: u32) -> u32 {
    let words: [u64; 4] = match alg {
        HashAlg::L4 => [key.word(44), key.word(45) ^ key.word(47), key.word(46) ^ key.word(48), key.word(57)],
        HashAlg::SymL4 => {
            let both = |w: u64| (w >> 32) ^ (w & u64::from(u32::MAX));
            let ports = u64::from(key.tp_src() ^ key.tp_dst());
            [both(key.word(44)), key.word(45) ^ key.word(47), key.word(46) ^ key.word(48), ports]
        }
    };
    let start = flow::mini::mix(basis.into(), key.nw_proto().into());
    flow::mini::finish_hash(words.iter().fold(start, |h, w| flow::mini::mix(h, *w))) as u32
}

/// The header to push: what it goes in front of decides what it says comes next.
fn nsh_fields<'a>(h: &'a NshHeader, key: &FlowKey) -> nsh::Fields<'a> {
    let next = match key.packet_type() {
        PacketType::ETHERNET => 3,
        PacketType::IPV4 => 1,
        PacketType::IPV6 => 2,
        PacketType::NSH => 4,
        _ => h.np,
    };
    nsh::Fields { flags: h.flags, ttl: h.ttl, mdtype: h.mdtype, next, spi: h.spi, si: h.si, metadata: &h.metadata }
}

/// RFC 8300 §2.2: IPv4, IPv6, Ethernet, NSH.
fn type_inside(next: u8) -> Option<PacketType> {
    match next {
        1 => Some(PacketType::IPV4),
        2 => Some(PacketType::IPV6),
        3 => Some(PacketType::ETHERNET),
        4 => Some(PacketType::NSH),
        _ => None,
    }
}

fn count_drop(reason: DropReason) {
    match reason {
        DropReason::Ok => Counter::DropPipeline,
        DropReason::BridgeNotFound => Counter::DropBridgeNotFound,
        DropReason::RecursionTooDeep => Counter::DropRecursion,
        DropReason::TooManyResubmits => Counter::DropResubmits,
        DropReason::StackTooDeep => Counter::DropStack,
        DropReason::TooManyMplsLabels => Counter::DropMplsLabels,
        DropReason::UnsupportedPacketType => Counter::DropPacketType,
        DropReason::CongestionDrop => Counter::DropCongestion,
        DropReason::ForwardingDisabled => Counter::DropForwarding,
        DropReason::NoRecirculationContext | DropReason::RecirculationConflict | DropReason::InvalidTunnelMetadata => {
            return;
        }
    }
    .hit();
}

fn truncate(packet: &mut PacketBuf, len: usize) {
    packet.complete_checksum();
    packet.gso = None;
    packet.truncate(len);
}
