//! Actions and instructions.
//!
//! Instructions stand in the same list as actions, in the order of execution: meter, (applied) actions,
//! clear_actions, write_actions, write_metadata, goto_table.

pub mod check;
pub mod control;
pub mod ct;
pub mod encap;
pub mod fields;
pub mod frame;
pub mod header;
pub mod instruction;
pub mod learn;
pub mod output;
pub mod subfield;
pub mod text;

use std::net::{Ipv4Addr, Ipv6Addr};

use flow::{Field, FieldValue, OfPort, PacketType, Subfield};
use wire::EthAddr;

use crate::version::{GroupId, MeterId, TableId};

/// An action or instruction. At most 24 bytes; big ones are boxed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Output to a port; `max_len` bytes if the port is the controller.
    Output {
        /// Port.
        port: OfPort,
        /// Bytes for the controller, 65535 for all.
        max_len: u16,
    },
    /// Output to the port whose number is in a field.
    OutputReg {
        /// Where the number is.
        src: Subfield,
        /// Bytes for the controller.
        max_len: u16,
        /// Written as the second wire form.
        form2: bool,
    },
    /// Output with the packet cut to `max_len` bytes (at least 14).
    OutputTrunc {
        /// Port.
        port: OfPort,
        /// Bytes left.
        max_len: u32,
    },
    /// Process by a group.
    Group(GroupId),
    /// Send to controllers with particulars.
    Controller(Box<Controller>),
    /// Output to a port's queue (OpenFlow 1.0).
    Enqueue {
        /// Port.
        port: OfPort,
        /// Queue.
        queue: u32,
    },
    /// Pick one of several ports by a hash.
    Bundle(Box<Bundle>),

    /// Set the VLAN id, 0 to 4095.
    SetVlanVid {
        /// VLAN id.
        vid: u16,
        /// Add a tag where there is none (OpenFlow 1.0 `mod_vlan_vid`).
        push_if_needed: bool,
        /// The flow's match (or an action before) says that there is a tag.
        flow_has_vlan: bool,
    },
    /// Set the VLAN priority, 0 to 7.
    SetVlanPcp {
        /// Priority.
        pcp: u8,
        /// Add a tag where there is none (OpenFlow 1.0 `mod_vlan_pcp`).
        push_if_needed: bool,
        /// The flow's match (or an action before) says that there is a tag.
        flow_has_vlan: bool,
    },
    /// Remove the outermost VLAN tag; `pop` if written as `pop_vlan`.
    StripVlan {
        /// Came as, and prints as, `pop_vlan`.
        pop: bool,
    },
    /// Add a VLAN tag with this Ethernet type (0x8100 or 0x88a8).
    PushVlan(u16),
    /// Set the Ethernet source.
    SetEthSrc(EthAddr),
    /// Set the Ethernet destination.
    SetEthDst(EthAddr),
    /// Set the IPv4 source.
    SetIpv4Src(Ipv4Addr),
    /// Set the IPv4 destination.
    SetIpv4Dst(Ipv4Addr),
    /// Set the DSCP bits; the value is that of the whole byte, low two bits zero.
    SetIpDscp(u8),
    /// Set the ECN bits, 0 to 3.
    SetIpEcn(u8),
    /// Set the IP time to live.
    SetIpTtl(u8),
    /// Set the transport source port.
    SetL4Src {
        /// Port.
        port: u16,
        /// IP protocol that the match says, 0 if it does not.
        ip_proto: u8,
    },
    /// Set the transport destination port.
    SetL4Dst {
        /// Port.
        port: u16,
        /// IP protocol that the match says, 0 if it does not.
        ip_proto: u8,
    },
    /// Copy bits from field to field.
    Move(Box<Move>),
    /// Set bits of a field: `set_field` and `load`.
    SetField(Box<SetField>),
    /// Push a field on the stack.
    StackPush(Subfield),
    /// Pop into a field.
    StackPop(Subfield),
    /// Remove a tunnel metadata field.
    DeleteField(Field),

    /// Decrement the IP time to live; an expired packet goes to these controllers.
    DecTtl {
        /// Controller ids.
        ids: Box<[u16]>,
        /// Came with a list of ids.
        with_ids: bool,
    },
    /// Set the MPLS label.
    SetMplsLabel(u32),
    /// Set the MPLS traffic class.
    SetMplsTc(u8),
    /// Set the MPLS time to live.
    SetMplsTtl(u8),
    /// Decrement the MPLS time to live.
    DecMplsTtl,
    /// Add an MPLS label with this Ethernet type (0x8847 or 0x8848).
    PushMpls(u16),
    /// Remove an MPLS label; what follows has this Ethernet type.
    PopMpls(u16),
    /// Decrement the NSH time to live.
    DecNshTtl,

    /// Set the tunnel id.
    SetTunnel {
        /// Tunnel id.
        id: u64,
        /// Came in the 64-bit form.
        wide: bool,
    },
    /// Choose a queue for later output.
    SetQueue(u32),
    /// Undo [`Action::SetQueue`].
    PopQueue,
    /// Change the flow's timeouts at the end of a TCP connection; 0 leaves a timeout.
    FinTimeout {
        /// Idle timeout, seconds.
        idle: u16,
        /// Hard timeout, seconds.
        hard: u16,
    },

    /// Look up again.
    Resubmit(Resubmit),
    /// Add a flow made from the packet.
    Learn(Box<Learn>),
    /// One clause of a conjunctive match.
    Conjunction {
        /// Id that the flows of the match share.
        id: u32,
        /// Which clause, from 0.
        clause: u8,
        /// How many clauses, 2 to 64.
        n_clauses: u8,
    },
    /// Choose a link by a hash and put its number in a field.
    Multipath(Box<Multipath>),
    /// Bytes without meaning to the switch; padding that was received is part of them.
    Note(Box<[u8]>),
    /// Stop processing.
    Exit,
    /// Sample for IPFIX.
    Sample(Box<Sample>),
    /// Restore translation state after a recirculation (never on the wire but in continuations).
    UnrollXlate {
        /// Table of the rule that goes on.
        table: TableId,
        /// Its cookie, if it has one.
        cookie: Option<u64>,
    },
    /// Send through connection tracking.
    Ct(Box<Ct>),
    /// Address translation, inside [`Action::Ct`] only.
    Nat(Box<Nat>),
    /// Forget connection tracking state.
    CtClear,
    /// Apply actions to a copy.
    Clone(Box<[Action]>),
    /// Add a header.
    Encap(Box<Encap>),
    /// Remove a header; [`PacketType::NEXT_PROTOCOL`] takes the new type from it.
    Decap(PacketType),
    /// Compare the packet's length and put the answer in one bit.
    CheckPktLarger {
        /// Bit that gets the answer.
        dst: Subfield,
        /// Bytes.
        len: u16,
    },
    /// Send to the slow path (tests).
    DebugSlow,
    /// Recirculate (tests).
    DebugRecirc,

    /// Instruction: meter (before all else; an action in OpenFlow 1.5).
    Meter(MeterId),
    /// Instruction: empty the action set.
    ClearActions,
    /// Instruction: merge into the action set.
    WriteActions(Box<[Action]>),
    /// Instruction: set bits of the metadata.
    WriteMetadata(Box<WriteMetadata>),
    /// Instruction: go on in a later table.
    GotoTable(TableId),
}

/// Particulars of [`Action::WriteMetadata`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WriteMetadata {
    /// Value.
    pub value: u64,
    /// Bits that are written.
    pub mask: u64,
}

/// Particulars of [`Action::Controller`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Controller {
    /// Bytes to send, 65535 for all.
    pub max_len: u16,
    /// Only to the controllers with this id.
    pub controller_id: u16,
    /// Reason of the packet-in.
    pub reason: PacketInReason,
    /// Bytes for the controller.
    pub userdata: Box<[u8]>,
    /// Stop here; the controller can resume.
    pub pause: bool,
    /// Meter, 0 for the controller meter.
    pub meter_id: u32,
    /// Came in the second wire form.
    pub form2: bool,
}

/// Reason of a packet-in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum PacketInReason {
    NoMatch = 0,
    Action = 1,
    InvalidTtl = 2,
    ActionSet = 3,
    Group = 4,
    PacketOut = 5,
    /// Table miss rule rather than no rule (internal: OpenFlow 1.3 reports it as `NoMatch`).
    ExplicitMiss = 6,
    /// Table miss before OpenFlow 1.3 had miss rules (internal).
    ImplicitMiss = 7,
    /// A number without a meaning, as received.
    Other(u8) = 255,
}

/// Which fields a hash covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum HashFields {
    EthSrc = 0,
    SymmetricL4 = 1,
    SymmetricL3L4 = 2,
    SymmetricL3L4Udp = 3,
    NwSrc = 4,
    NwDst = 5,
    SymmetricL3 = 6,
}

/// Particulars of [`Action::Bundle`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Bundle {
    /// Highest random weight (`hrw`) rather than the first live port (`active_backup`).
    pub hrw: bool,
    /// What is hashed.
    pub fields: HashFields,
    /// Basis of the hash.
    pub basis: u16,
    /// `bundle_load`: where the port number goes, instead of output.
    pub dst: Option<Subfield>,
    /// Ports.
    pub members: Box<[OfPort]>,
}

/// How [`Action::Multipath`] maps a hash to a link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum MultipathAlgorithm {
    ModuloN = 0,
    HashThreshold = 1,
    Hrw = 2,
    IterHash = 3,
}

/// Particulars of [`Action::Multipath`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Multipath {
    /// What is hashed.
    pub fields: HashFields,
    /// Basis of the hash.
    pub basis: u16,
    /// From hash to link.
    pub algorithm: MultipathAlgorithm,
    /// Number of links minus 1.
    pub max_link: u16,
    /// Argument of the algorithm.
    pub arg: u32,
    /// Where the link number goes.
    pub dst: Subfield,
}

/// Particulars of [`Action::Move`]. `src.n_bits == dst.n_bits`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Move {
    /// From.
    pub src: Subfield,
    /// To.
    pub dst: Subfield,
    /// Came as a copy_field action (ONF in 1.3, standard in 1.5).
    pub copy_field: bool,
}

/// Wire form in which a [`SetField`] came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SetFieldForm {
    /// Standard set_field, or text `set_field:`.
    SetField,
    /// NXAST_REG_LOAD, or text `load:`.
    RegLoad,
    /// NXAST_REG_LOAD2.
    RegLoad2,
}

/// Particulars of [`Action::SetField`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SetField {
    /// Field.
    pub field: Field,
    /// Value; only the bits of the mask count.
    pub value: FieldValue,
    /// Bits that are set.
    pub mask: FieldValue,
    /// Wire form it came in.
    pub form: SetFieldForm,
    /// The flow's match (or an action before) says that there is a VLAN tag.
    pub flow_has_vlan: bool,
}

/// Particulars of [`Action::Resubmit`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Resubmit {
    /// Input port of the lookup; [`OfPort::IN_PORT`] leaves it.
    pub in_port: OfPort,
    /// Table, 255 for the current one.
    pub table: TableId,
    /// Look up with the tuple of the original direction.
    pub with_ct: bool,
    /// Came in the form without a table.
    pub plain: bool,
}

/// Source of a [`LearnSpec`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum LearnSrc {
    /// Bits of the packet's fields.
    Field(Subfield),
    /// A number.
    Immediate(FieldValue),
}

/// Destination of a [`LearnSpec`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum LearnDst {
    /// The new flow matches these bits.
    Match(Subfield),
    /// The new flow loads these bits.
    Load(Subfield),
    /// The new flow outputs to the port.
    Output,
}

/// One element of a [`Learn`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LearnSpec {
    /// Number of bits, 1 to 1023.
    pub n_bits: u16,
    /// From.
    pub src: LearnSrc,
    /// To.
    pub dst: LearnDst,
}

/// Particulars of [`Action::Learn`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Learn {
    /// Idle timeout of the new flow, seconds.
    pub idle_timeout: u16,
    /// Hard timeout, seconds.
    pub hard_timeout: u16,
    /// Priority.
    pub priority: u16,
    /// Cookie.
    pub cookie: u64,
    /// Send flow-removed.
    pub send_flow_rem: bool,
    /// Delete what was learned when this flow goes.
    pub delete_learned: bool,
    /// Table of the new flow.
    pub table: TableId,
    /// Idle timeout after FIN.
    pub fin_idle_timeout: u16,
    /// Hard timeout after FIN.
    pub fin_hard_timeout: u16,
    /// Most flows to learn, 0 for no limit.
    pub limit: u32,
    /// One bit that says whether the flow was learned.
    pub result_dst: Option<Subfield>,
    /// Came in the second wire form.
    pub form2: bool,
    /// Elements.
    pub specs: Vec<LearnSpec>,
}

/// A number that stands in an action or in a field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NumberOrField {
    /// A number.
    Number(u32),
    /// Bits of a field.
    Field(Subfield),
}

/// Side on which a [`Sample`] is taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum SampleDirection {
    Default = 0,
    Ingress = 1,
    Egress = 2,
}

/// Particulars of [`Action::Sample`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sample {
    /// Probability of 65535, not 0.
    pub probability: u16,
    /// Collector set.
    pub collector_set: u32,
    /// Observation domain.
    pub obs_domain: NumberOrField,
    /// Observation point.
    pub obs_point: NumberOrField,
    /// Port that is sampled, [`OfPort::NONE`] for none.
    pub sampling_port: OfPort,
    /// Side.
    pub direction: SampleDirection,
    /// Wire form it came in, 1 to 4.
    pub form: u8,
}

/// Zone of a [`Ct`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CtZone {
    /// A number.
    Number(u16),
    /// 16 bits of a field.
    Field(Subfield),
}

/// Particulars of [`Action::Ct`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ct {
    /// Commit the connection.
    pub commit: bool,
    /// Replace a connection of the other direction.
    pub force: bool,
    /// Zone.
    pub zone: CtZone,
    /// Table that the packet recirculates to.
    pub recirc_table: Option<TableId>,
    /// Application level gateway, by its port: 0 none, 21 FTP, 69 TFTP.
    pub alg: u16,
    /// `nat` and `exec` actions: nat first.
    pub actions: Box<[Action]>,
}

/// Addresses of a [`Nat`]; the second is the end of the range, if there is one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum NatRange {
    None,
    V4(Ipv4Addr, Option<Ipv4Addr>),
    V6(Ipv6Addr, Option<Ipv6Addr>),
}

/// Particulars of [`Action::Nat`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Nat {
    /// Translate the source.
    pub src: bool,
    /// Translate the destination.
    pub dst: bool,
    /// Same mapping after a restart.
    pub persistent: bool,
    /// Choose ports by a hash.
    pub hash: bool,
    /// Choose ports at random.
    pub random: bool,
    /// Addresses.
    pub range: NatRange,
    /// Ports: first and, if there is a range, last; 0 for none.
    pub ports: (u16, u16),
}

/// Property of an [`Encap`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum EncapProp {
    /// NSH metadata type.
    NshMdType(u8),
    /// NSH option.
    NshTlv {
        /// Class.
        class: u16,
        /// Type.
        ty: u8,
        /// Value.
        value: Box<[u8]>,
    },
}

/// Particulars of [`Action::Encap`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Encap {
    /// Type of the new header.
    pub packet_type: PacketType,
    /// Size of the header, 0 for unspecified.
    pub hdr_size: u16,
    /// Properties.
    pub props: Vec<EncapProp>,
}

const _: () = assert!(std::mem::size_of::<Action>() <= 24);

/// Checks actions against the match of their flow: ports, prerequisites, tables. Whether groups and meters exist is
/// not looked at. OpenFlow 1.0 lets pass what later versions call inconsistent.
pub fn check(
    actions: &[Action],
    matching: &flow::MiniMatch,
    table: TableId,
    version: crate::Version,
) -> Result<(), crate::Error> {
    check::verify(actions, text::Place::Flow).map_err(|e| e.0)?;
    let mut list = actions.to_vec();
    check::check_for_version(&mut list, &matching.expand(), table, version)
}
