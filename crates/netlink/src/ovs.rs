//! Names, versions and attribute numbers of the openvswitch families, for keys and actions (`linux/openvswitch.h`; numbers of
//! kernels newer than some headers included).

/// Commands that all families but `ovs_packet`, `ovs_meter` and `ovs_ct_limit` share.
pub mod command {
    /// Make, or made.
    pub const NEW: u8 = 1;
    /// Delete, or deleted.
    pub const DEL: u8 = 2;
    /// Ask, or answer.
    pub const GET: u8 = 3;
    /// Change, or changed.
    pub const SET: u8 = 4;
}

/// `OVS_KEY_ATTR_*`.
#[allow(missing_docs)]
pub mod key {
    pub const ENCAP: u16 = 1;
    pub const PRIORITY: u16 = 2;
    pub const IN_PORT: u16 = 3;
    pub const ETHERNET: u16 = 4;
    pub const VLAN: u16 = 5;
    pub const ETHERTYPE: u16 = 6;
    pub const IPV4: u16 = 7;
    pub const IPV6: u16 = 8;
    pub const TCP: u16 = 9;
    pub const UDP: u16 = 10;
    pub const ICMP: u16 = 11;
    pub const ICMPV6: u16 = 12;
    pub const ARP: u16 = 13;
    pub const ND: u16 = 14;
    pub const SKB_MARK: u16 = 15;
    pub const TUNNEL: u16 = 16;
    pub const SCTP: u16 = 17;
    pub const TCP_FLAGS: u16 = 18;
    pub const DP_HASH: u16 = 19;
    pub const RECIRC_ID: u16 = 20;
    pub const MPLS: u16 = 21;
    pub const CT_STATE: u16 = 22;
    pub const CT_ZONE: u16 = 23;
    pub const CT_MARK: u16 = 24;
    pub const CT_LABELS: u16 = 25;
    pub const CT_TUPLE4: u16 = 26;
    pub const CT_TUPLE6: u16 = 27;
    pub const NSH: u16 = 28;
    pub const PACKET_TYPE: u16 = 29;
    pub const ND_EXTENSIONS: u16 = 30;
    pub const IPV6_EXTHDRS: u16 = 32;
}

/// `OVS_TUNNEL_KEY_ATTR_*`.
#[allow(missing_docs)]
pub mod tunnel {
    pub const ID: u16 = 0;
    pub const IPV4_SRC: u16 = 1;
    pub const IPV4_DST: u16 = 2;
    pub const TOS: u16 = 3;
    pub const TTL: u16 = 4;
    pub const DONT_FRAGMENT: u16 = 5;
    pub const CSUM: u16 = 6;
    pub const OAM: u16 = 7;
    pub const GENEVE_OPTS: u16 = 8;
    pub const TP_SRC: u16 = 9;
    pub const TP_DST: u16 = 10;
    pub const VXLAN_OPTS: u16 = 11;
    pub const IPV6_SRC: u16 = 12;
    pub const IPV6_DST: u16 = 13;
    pub const PAD: u16 = 14;
    pub const ERSPAN_OPTS: u16 = 15;
    /// Of [`VXLAN_OPTS`]: group policy, flags in the high byte.
    pub const VXLAN_GBP: u16 = 1;
}

/// `OVS_NSH_KEY_ATTR_*`.
#[allow(missing_docs)]
pub mod nsh {
    pub const BASE: u16 = 1;
    pub const MD1: u16 = 2;
    pub const MD2: u16 = 3;
}

/// `OVS_ACTION_ATTR_*`.
#[allow(missing_docs)]
pub mod action {
    pub const OUTPUT: u16 = 1;
    pub const USERSPACE: u16 = 2;
    pub const SET: u16 = 3;
    pub const PUSH_VLAN: u16 = 4;
    pub const POP_VLAN: u16 = 5;
    pub const SAMPLE: u16 = 6;
    pub const RECIRC: u16 = 7;
    pub const HASH: u16 = 8;
    pub const PUSH_MPLS: u16 = 9;
    pub const POP_MPLS: u16 = 10;
    pub const SET_MASKED: u16 = 11;
    pub const CT: u16 = 12;
    pub const TRUNC: u16 = 13;
    pub const PUSH_ETH: u16 = 14;
    pub const POP_ETH: u16 = 15;
    pub const CT_CLEAR: u16 = 16;
    pub const PUSH_NSH: u16 = 17;
    pub const POP_NSH: u16 = 18;
    pub const METER: u16 = 19;
    pub const CLONE: u16 = 20;
    pub const CHECK_PKT_LEN: u16 = 21;
    pub const ADD_MPLS: u16 = 22;
    pub const DEC_TTL: u16 = 23;
    pub const DROP: u16 = 24;
    pub const PSAMPLE: u16 = 25;

    /// Of [`USERSPACE`].
    pub const USERSPACE_PID: u16 = 1;
    pub const USERSPACE_USERDATA: u16 = 2;
    pub const USERSPACE_EGRESS_TUN_PORT: u16 = 3;
    pub const USERSPACE_ACTIONS: u16 = 4;
    /// Of [`SAMPLE`].
    pub const SAMPLE_PROBABILITY: u16 = 1;
    pub const SAMPLE_ACTIONS: u16 = 2;
    /// Of [`CHECK_PKT_LEN`].
    pub const CHECK_LEN: u16 = 1;
    pub const CHECK_GREATER: u16 = 2;
    pub const CHECK_LESS_EQUAL: u16 = 3;
    /// Of [`PSAMPLE`].
    pub const PSAMPLE_GROUP: u16 = 1;
    pub const PSAMPLE_COOKIE: u16 = 2;
}

/// `OVS_CT_ATTR_*`.
#[allow(missing_docs)]
pub mod ct {
    pub const COMMIT: u16 = 1;
    pub const ZONE: u16 = 2;
    pub const MARK: u16 = 3;
    pub const LABELS: u16 = 4;
    pub const HELPER: u16 = 5;
    pub const NAT: u16 = 6;
    pub const FORCE_COMMIT: u16 = 7;
    pub const EVENTMASK: u16 = 8;
    pub const TIMEOUT: u16 = 9;
}

/// `OVS_NAT_ATTR_*`.
#[allow(missing_docs)]
pub mod nat {
    pub const SRC: u16 = 1;
    pub const DST: u16 = 2;
    pub const IP_MIN: u16 = 3;
    pub const IP_MAX: u16 = 4;
    pub const PROTO_MIN: u16 = 5;
    pub const PROTO_MAX: u16 = 6;
    pub const PERSISTENT: u16 = 7;
    pub const PROTO_HASH: u16 = 8;
    pub const PROTO_RANDOM: u16 = 9;
}
