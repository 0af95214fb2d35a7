//! Removing from a match what cannot take effect.

use crate::extract::number as proto;
use crate::field::Field;
use crate::matching::Match;

/// Clears fields that no packet of the match's protocols has, such as ports without an IP protocol. Returns whether
/// anything was cleared.
pub fn normalize(m: &mut Match) -> bool {
    let before = m.mask;
    for f in misplaced(m) {
        m.clear(f);
    }
    m.mask != before
}

/// Whether the match says nothing that [`normalize`] would drop.
pub fn is_normal(m: &Match) -> bool {
    misplaced(m).is_empty()
}

/// Fields that the match says without the fields that they need.
fn misplaced(m: &Match) -> Vec<Field> {
    let mut out = Vec::new();
    let ethernet = m.mask.packet_type_raw() == 0 || m.key.packet_type_raw() == 0;
    let by_packet_type = if m.mask.packet_type_raw() != 0 { m.key.packet_type().ethertype() } else { 0 };
    let eth_type = if by_packet_type != 0 {
        by_packet_type
    } else if m.mask.eth_type() == 0xffff {
        m.key.eth_type()
    } else {
        0
    };
    let (v4, v6) = (eth_type == proto::ETH_IPV4, eth_type == proto::ETH_IPV6);
    let arp = matches!(eth_type, proto::ETH_ARP | proto::ETH_RARP);
    let nw_proto = m.key.nw_proto();
    let ports = (v4 && matches!(nw_proto, proto::IP_TCP | proto::IP_UDP | proto::IP_SCTP | proto::IP_ICMP))
        || (v6 && matches!(nw_proto, proto::IP_TCP | proto::IP_UDP | proto::IP_SCTP | proto::IP_ICMPV6));
    let icmp6 = v6 && nw_proto == proto::IP_ICMPV6;
    let (solicit, advert) = (icmp6 && m.key.tp_src() == 135, icmp6 && m.key.tp_src() == 136);
    let mut keep = |ok: bool, fields: &[Field]| {
        if !ok {
            for f in fields {
                if m.mask.get(*f) != 0 {
                    out.push(*f);
                }
            }
        }
    };
    keep(ethernet, &[Field::ETH_SRC, Field::ETH_DST, Field::VLAN_TCI]);
    keep(v4 || arp, &[Field::IP_SRC, Field::IP_DST]);
    keep(v4 || v6 || arp, &[Field::NW_PROTO]);
    keep(v4 || v6, &[Field::NW_TOS, Field::NW_ECN, Field::IP_FRAG, Field::NW_TTL]);
    keep(v6, &[Field::IPV6_SRC, Field::IPV6_DST, Field::IPV6_LABEL]);
    keep(ports, &[Field::TCP_SRC, Field::TCP_DST]);
    keep(arp || solicit, &[Field::ARP_SHA]);
    keep(arp || advert, &[Field::ARP_THA]);
    keep(solicit || advert, &[Field::ND_TARGET]);
    keep(
        matches!(eth_type, proto::ETH_MPLS | proto::ETH_MPLS_MCAST),
        &[Field::MPLS_LABEL, Field::MPLS_TC, Field::MPLS_BOS, Field::MPLS_TTL],
    );
    out
}
