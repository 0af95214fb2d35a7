//! What a datapath does to a packet.

use flow::{DpPort, FlowKey, FlowMask, MiniKey};
use wire::EthAddr;

/// A group of header fields that is set as one, named as in the text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum SetAttr {
    Priority,
    Mark,
    Tunnel,
    Ethernet,
    Vlan,
    Mpls,
    Ipv4,
    Ipv6,
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmpv6,
    Arp,
    Nd,
    NdExtensions,
    Nsh,
}

/// Sets the header fields of one attribute under a mask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    /// Which header.
    pub attr: SetAttr,
    /// Values, in the words of the flow key; zero outside the mask.
    pub key: MiniKey,
    /// Bits to set.
    pub mask: MiniKey,
}

impl Set {
    /// Sets the bits of `mask` that belong to `attr` to those of `key`.
    #[must_use]
    pub fn new(attr: SetAttr, key: &FlowKey, mask: &FlowMask) -> Self {
        Set { attr, key: MiniKey::new(&key.masked(mask)), mask: MiniKey::new(mask) }
    }
}

/// Why a packet is sent to the switch; the switch interprets it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UserCookie {
    /// Sample for sFlow.
    Sflow {
        /// Tag control information of the output.
        vlan_tci: u16,
        /// Output in sFlow's numbering.
        output: u32,
    },
    /// Translated in the slow path: see [`SlowReason`].
    SlowPath(SlowReason),
    /// Sample for IPFIX of a flow.
    FlowSample(Box<FlowSample>),
    /// Sample for IPFIX of a bridge.
    Ipfix {
        /// Port the packet leaves by.
        output: DpPort,
    },
    /// Send to the controllers.
    Controller {
        /// Actions do not go on after it (a copy is sent either way).
        dont_send: bool,
        /// The controller may resume the packet.
        continuation: bool,
        /// Frozen state that holds the particulars.
        recirc_id: u32,
        /// Cookie of the rule.
        rule_cookie: u64,
        /// Controller to send to.
        controller_id: u16,
        /// Bytes to send.
        max_len: u16,
        /// Reason, as in OpenFlow.
        reason: u8,
    },
    /// Bytes of somebody else.
    Other(Box<[u8]>),
}

/// Particulars of [`UserCookie::FlowSample`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowSample {
    /// Probability of 65535.
    pub probability: u16,
    /// Collector set.
    pub collector_set: u32,
    /// Observation domain.
    pub obs_domain: u32,
    /// Observation point.
    pub obs_point: u32,
    /// Port.
    pub output: DpPort,
    /// 0 default, 1 ingress, 2 egress.
    pub direction: u8,
}

/// Why a flow's packets are handled one by one in the switch. A set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SlowReason(pub u32);

impl SlowReason {
    /// The reasons: bit, name in text, explanation.
    pub const TABLE: [(u32, &'static str, &'static str); 9] = [
        (1 << 0, "cfm", "Consists of CFM packets"),
        (1 << 1, "bfd", "Consists of BFD packets"),
        (1 << 2, "lacp", "Consists of LACP packets"),
        (1 << 3, "stp", "Consists of STP packets"),
        (1 << 4, "lldp", "Consists of LLDP packets"),
        (1 << 5, "action", "Uses action(s) not supported by datapath"),
        (1 << 6, "match", "Datapath can't match specifically enough"),
        (1 << 7, "controller", "Sends \"packet-in\" messages to the OpenFlow controller"),
        (1 << 8, "debug", "Explicitly requested for debugging"),
    ];
    /// An action that the datapath does not have.
    pub const ACTION: SlowReason = SlowReason(1 << 5);
    /// Goes to the controller.
    pub const CONTROLLER: SlowReason = SlowReason(1 << 7);
    /// Link aggregation control.
    pub const LACP: SlowReason = SlowReason(1 << 2);
    /// Spanning tree.
    pub const STP: SlowReason = SlowReason(1 << 3);
    /// Connectivity fault management.
    pub const CFM: SlowReason = SlowReason(1 << 0);
    /// Bidirectional forwarding detection.
    pub const BFD: SlowReason = SlowReason(1 << 1);
    /// Link layer discovery.
    pub const LLDP: SlowReason = SlowReason(1 << 4);
    /// Asked for by a test.
    pub const DEBUG: SlowReason = SlowReason(1 << 8);

    /// Both.
    #[must_use]
    pub const fn with(self, other: SlowReason) -> SlowReason {
        SlowReason(self.0 | other.0)
    }

    /// No reason at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Connection tracking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ct {
    /// Commit the connection.
    pub commit: bool,
    /// Replace a connection of the other direction.
    pub force: bool,
    /// Zone.
    pub zone: u16,
    /// Mark and its mask.
    pub mark: Option<(u32, u32)>,
    /// Label and its mask.
    pub label: Option<(u128, u128)>,
    /// Helper, for instance `ftp`.
    pub helper: Option<&'static str>,
    /// Name of the timeout policy.
    pub timeout: Option<String>,
    /// Address translation.
    pub nat: Option<Nat>,
}

/// Address translation of a [`Ct`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Nat {
    /// Translate the source, or the destination; neither: undo what the connection has.
    pub src: bool,
    /// Translate the destination.
    pub dst: bool,
    /// First and last address.
    pub addresses: Option<(std::net::IpAddr, std::net::IpAddr)>,
    /// First and last port, 0 for none.
    pub ports: (u16, u16),
    /// Same mapping after a restart.
    pub persistent: bool,
    /// Choose ports by a hash.
    pub hash: bool,
    /// Choose ports at random.
    pub random: bool,
}

/// A tunnel header to put in front of a packet (userspace tunnelling).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TunnelPush {
    /// Tunnel port.
    pub tunnel: DpPort,
    /// Port to send by.
    pub output: DpPort,
    /// `OVS_VPORT_TYPE_*`.
    pub kind: u32,
    /// Ethernet to tunnel header, ready to be put in front.
    pub header: Box<[u8]>,
}

/// A network service header (RFC 8300).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NshHeader {
    /// Flags.
    pub flags: u8,
    /// Time to live, 6 bits.
    pub ttl: u8,
    /// Metadata type.
    pub mdtype: u8,
    /// Next protocol.
    pub np: u8,
    /// Service path, 24 bits.
    pub spi: u32,
    /// Service index.
    pub si: u8,
    /// Context headers of type 1, or options of type 2.
    pub metadata: Box<[u8]>,
}

/// Ethernet addresses of a header to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EthHeader {
    /// Source.
    pub src: EthAddr,
    /// Destination.
    pub dst: EthAddr,
}

/// Hash functions of [`DpAction::Hash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlg {
    /// Of layers 2 to 4, however the datapath likes.
    L4,
    /// The same for both directions.
    SymL4,
}

/// Why a packet was dropped by [`DpAction::Drop`]; numbers as in the text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum DropReason {
    Ok = 0,
    BridgeNotFound = 1,
    RecursionTooDeep = 2,
    TooManyResubmits = 3,
    StackTooDeep = 4,
    NoRecirculationContext = 5,
    RecirculationConflict = 6,
    TooManyMplsLabels = 7,
    InvalidTunnelMetadata = 8,
    UnsupportedPacketType = 9,
    CongestionDrop = 10,
    ForwardingDisabled = 11,
}

impl DropReason {
    /// The reason of a number.
    #[must_use]
    pub fn from_number(n: u32) -> Option<DropReason> {
        use DropReason as R;
        let all = [
            R::Ok,
            R::BridgeNotFound,
            R::RecursionTooDeep,
            R::TooManyResubmits,
            R::StackTooDeep,
            R::NoRecirculationContext,
            R::RecirculationConflict,
            R::TooManyMplsLabels,
            R::InvalidTunnelMetadata,
            R::UnsupportedPacketType,
            R::CongestionDrop,
            R::ForwardingDisabled,
        ];
        all.get(usize::try_from(n).ok()?).copied()
    }
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DpAction {
    /// Send by a port.
    Output(DpPort),
    /// Send by a bond's member chosen by `dp_hash`.
    LbOutput(u32),
    /// Send to the switch.
    Userspace {
        /// Why.
        cookie: Box<UserCookie>,
        /// Which handler; meaningful to the kernel datapath only.
        pid: u32,
    },
    /// Insert a VLAN tag.
    PushVlan {
        /// 0x8100 or 0x88a8.
        tpid: u16,
        /// Priority, 0x1000, VLAN id.
        tci: u16,
    },
    /// Remove the outermost VLAN tag.
    PopVlan,
    /// Insert a label.
    PushMpls {
        /// 0x8847 or 0x8848.
        ethertype: u16,
        /// Label stack entry.
        lse: u32,
    },
    /// Put a label in front of the whole packet, which is no Ethernet frame from then on.
    AddMpls {
        /// 0x8847 or 0x8848.
        ethertype: u16,
        /// Label stack entry.
        lse: u32,
    },
    /// Remove a label; what follows has this type.
    PopMpls(u16),
    /// Put an Ethernet header in front.
    PushEth(EthHeader),
    /// Remove the Ethernet header.
    PopEth,
    /// Put an NSH header in front.
    PushNsh(Box<NshHeader>),
    /// Remove the NSH header.
    PopNsh,
    /// Set header fields or metadata.
    Set(Box<Set>),
    /// Cut the packet for the next output.
    Trunc(u32),
    /// Do the inner actions on a copy, with a probability of `u32::MAX`.
    Sample {
        /// Of `u32::MAX`.
        probability: u32,
        /// On a copy.
        actions: Box<[DpAction]>,
    },
    /// Do the inner actions on a copy.
    Clone(Box<[DpAction]>),
    /// Compute `dp_hash`.
    Hash {
        /// How.
        alg: HashAlg,
        /// Basis.
        basis: u32,
    },
    /// Look the packet up again with this recirculation id.
    Recirc(u32),
    /// Track the connection.
    Ct(Box<Ct>),
    /// Forget connection tracking state.
    CtClear,
    /// Meter; the packet may be dropped.
    Meter(u32),
    /// Do one of two lists of actions by the packet's length.
    CheckPktLen {
        /// Bytes.
        len: u16,
        /// If longer.
        greater: Box<[DpAction]>,
        /// If not.
        less_equal: Box<[DpAction]>,
    },
    /// Put a tunnel header in front and send.
    TunnelPush(Box<TunnelPush>),
    /// Take the tunnel header off and look up again as from this port.
    TunnelPop(DpPort),
    /// Drop.
    Drop(DropReason),
    /// An action that a kernel has and this language has no word for, kept as it came.
    Raw {
        /// `OVS_ACTION_ATTR_*`.
        kind: u16,
        /// Its value.
        bytes: Box<[u8]>,
    },
}

#[cfg(test)]
mod tests {
    #[test]
    fn actions_stay_small() {
        assert!(std::mem::size_of::<super::DpAction>() <= 40);
    }
}
