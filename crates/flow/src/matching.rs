//! A key and a mask together.

use crate::field::Field;
use crate::key::{FlowKey, FlowMask, VLAN_CFI};
use crate::port::OfPort;
use crate::tunnel::TunAlloc;

/// What a flow matches: `key` says the values, `mask` the bits that count; key bits outside the mask are zero.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Match {
    /// Values.
    pub key: FlowKey,
    /// Bits that count.
    pub mask: FlowMask,
    /// Places of the tunnel metadata fields, when the match was made without a switch's table of tunnel options.
    pub tun: Option<Box<TunAlloc>>,
}

impl Match {
    /// Matches every packet.
    pub fn any() -> Match {
        Match::default()
    }

    /// From key and mask; key bits outside the mask are cleared.
    pub fn new(key: &FlowKey, mask: &FlowMask) -> Match {
        Match { key: key.masked(mask), mask: *mask, tun: None }
    }

    /// A field's value and mask, right-justified (not for tunnel metadata).
    #[inline]
    pub fn get(&self, field: Field) -> (u128, u128) {
        (self.key.get(field), self.mask.get(field))
    }

    /// Matches exactly `value` in `field`.
    pub fn set(&mut self, field: Field, value: u128) {
        self.set_masked(field, value, u128::MAX);
    }

    /// Matches `value` under `mask` in `field`. The VLAN id and priority fields also match on the presence of a tag:
    /// `dl_vlan`, `dl_vlan_pcp` and `vlan_pcp` set [`VLAN_CFI`] in value and mask.
    pub fn set_masked(&mut self, field: Field, value: u128, mask: u128) {
        self.mask.set(field, mask);
        self.key.set(field, value & mask);
        let in_tag = field == Field::DL_VLAN || field == Field::DL_VLAN_PCP || field == Field::VLAN_PCP;
        if in_tag && mask & field.exact_mask() != 0 {
            self.key.set_vlan_tci(0, self.key.vlan_tci(0) | VLAN_CFI);
            self.mask.set_vlan_tci(0, self.mask.vlan_tci(0) | VLAN_CFI);
        }
        if field == Field::IN_PORT || field == Field::IN_PORT_OXM {
            self.mask.set_in_port_raw(u32::MAX);
        }
    }

    /// Does not match on `field`.
    pub fn clear(&mut self, field: Field) {
        self.mask.set(field, 0);
        self.key.set(field, 0);
    }

    /// Matches an input port exactly.
    pub fn set_in_port(&mut self, port: OfPort) {
        self.key.set_in_port(port);
        self.mask.set_in_port_raw(u32::MAX);
    }

    /// Whether `key` matches.
    pub fn matches(&self, key: &FlowKey) -> bool {
        key.equal_masked(&self.key, &self.mask)
    }

    /// Whether some packet that has the fields of `key` where `mask` has a bit matches.
    pub fn may_match(&self, key: &FlowKey, mask: &FlowMask) -> bool {
        (0..crate::WORDS).all(|i| (self.key.word(i) ^ key.word(i)) & self.mask.word(i) & mask.word(i) == 0)
    }

    /// Whether every packet matches.
    pub fn is_catchall(&self) -> bool {
        self.mask.is_zero()
    }
}

/// The match that only packets with the same headers as `key`'s packet meet: every field that the packet has, exactly, but for
/// those of ND messages beyond addresses.
pub fn match_of_packet(key: &FlowKey) -> Match {
    use crate::extract::number as proto;
    let mut mask = FlowMask::ZERO;
    let exact = |mask: &mut FlowMask, fields: &[Field]| {
        for f in fields {
            mask.set(*f, f.exact_mask());
        }
    };
    exact(&mut mask, &[Field::ETH_SRC, Field::ETH_DST, Field::ETH_TYPE]);
    mask.set_vlan_tci(0, u16::MAX);
    if key.vlan_tci(0) & VLAN_CFI != 0 {
        mask.set_vlan_tci(1, u16::MAX);
        mask.set_vlan_tpid(0, u16::MAX);
        mask.set_vlan_tpid(1, u16::MAX);
    }
    let ip = &[Field::NW_PROTO, Field::NW_TOS, Field::NW_ECN, Field::NW_TTL, Field::IP_FRAG];
    match key.eth_type() {
        proto::ETH_IPV4 => {
            exact(&mut mask, &[Field::IP_SRC, Field::IP_DST]);
            exact(&mut mask, ip);
        }
        proto::ETH_IPV6 => {
            exact(&mut mask, &[Field::IPV6_SRC, Field::IPV6_DST, Field::IPV6_LABEL]);
            exact(&mut mask, ip);
        }
        proto::ETH_ARP | proto::ETH_RARP => {
            exact(&mut mask, &[Field::ARP_SPA, Field::ARP_TPA, Field::NW_PROTO, Field::ARP_SHA, Field::ARP_THA]);
        }
        proto::ETH_MPLS | proto::ETH_MPLS_MCAST => {
            for n in 0..crate::key::MAX_MPLS {
                mask.set_mpls_lse(n, u32::MAX);
                if key.mpls_lse(n) & 0x100 != 0 {
                    break;
                }
            }
        }
        proto::ETH_NSH => {
            // The context headers are those of metadata type 1 (RFC 8300 §2.4).
            for w in if key.nsh_mdtype() == 1 { 54..57 } else { 54..55 } {
                mask.set_word(w, u64::MAX);
            }
            exact(&mut mask, ip);
        }
        _ => {}
    }
    let is_ip = matches!(key.eth_type(), proto::ETH_IPV4 | proto::ETH_IPV6);
    if is_ip && key.nw_frag() & 2 == 0 {
        match key.nw_proto() {
            proto::IP_TCP => exact(&mut mask, &[Field::TCP_SRC, Field::TCP_DST, Field::TCP_FLAGS]),
            proto::IP_UDP | proto::IP_SCTP | proto::IP_ICMP => {
                exact(&mut mask, &[Field::TCP_SRC, Field::TCP_DST]);
            }
            proto::IP_IGMP => {
                exact(&mut mask, &[Field::TCP_SRC, Field::TCP_DST]);
            }
            proto::IP_ICMPV6 if key.eth_type() == proto::ETH_IPV6 => {
                exact(&mut mask, &[Field::TCP_SRC, Field::TCP_DST]);
                if matches!(key.tp_src(), 135 | 136) && key.tp_dst() == 0 {
                    exact(&mut mask, &[Field::ND_TARGET, Field::ARP_SHA, Field::ARP_THA]);
                }
            }
            _ => {}
        }
    }
    Match { key: *key, mask, tun: None }
}
