//! Reading and writing fields of a key, with what that means for the bits looked at.

use flow::key::{FRAG_LATER, VLAN_CFI};
use flow::{Field, FlowKey, FlowMask, PacketType, Prereq, Subfield};
use wire::layers::{ethertype, ip_proto, is_mpls};

/// The low `n` bits set.
pub(crate) const fn ones(n: u16) -> u128 {
    if n >= 128 { u128::MAX } else { (1 << n) - 1 }
}

/// The bits of a part of a field.
pub(crate) fn get(key: &FlowKey, sub: &Subfield) -> u128 {
    key.get(sub.field) >> sub.ofs.min(127) & ones(sub.n_bits)
}

/// Writes the bits of a part of a field.
pub(crate) fn put(key: &mut FlowKey, sub: &Subfield, value: u128) {
    let mask = ones(sub.n_bits) << sub.ofs.min(127);
    write(key, sub.field, value << sub.ofs.min(127), mask);
}

/// Writes the bits of `mask` in a field, and what hangs on them.
pub(crate) fn write(key: &mut FlowKey, field: Field, value: u128, mask: u128) {
    let old = key.get(field);
    key.set(field, old & !mask | value & mask);
    if is_vlan(field) {
        let tci = key.vlan_tci(0);
        if field == Field::DL_VLAN || field == Field::DL_VLAN_PCP || field == Field::VLAN_PCP {
            key.set_vlan_tci(0, tci | VLAN_CFI);
        } else if tci & VLAN_CFI == 0 {
            key.set_vlan_tci(0, 0);
        }
        let tpid = match (key.vlan_tci(0) & VLAN_CFI != 0, key.vlan_tpid(0)) {
            (true, 0) => ethertype::VLAN,
            (true, tpid) => tpid,
            (false, _) => 0,
        };
        key.set_vlan_tpid(0, tpid);
    }
}

/// Marks the bits of a part of a field as looked at.
pub(crate) fn look(wc: &mut FlowMask, sub: &Subfield) {
    look_bits(wc, sub.field, ones(sub.n_bits) << sub.ofs.min(127));
}

/// Marks bits of a field as looked at.
pub(crate) fn look_bits(wc: &mut FlowMask, field: Field, mask: u128) {
    let old = wc.get(field);
    wc.set(field, old | mask);
    if is_vlan(field) && mask != 0 {
        wc.set_vlan_tci(0, wc.vlan_tci(0) | VLAN_CFI);
    }
}

pub(crate) fn is_vlan(field: Field) -> bool {
    [Field::VLAN_TCI, Field::VLAN_VID, Field::DL_VLAN, Field::DL_VLAN_PCP, Field::VLAN_PCP].contains(&field)
}

pub(crate) fn is_ip(key: &FlowKey) -> bool {
    matches!(key.eth_type(), ethertype::IPV4 | ethertype::IPV6)
}

/// Whether the packet has what the field needs; marks what was looked at to know it.
pub(crate) fn has_prerequisites(key: &FlowKey, wc: &mut FlowMask, field: Field) -> bool {
    let later = |key: &FlowKey| key.nw_frag() & FRAG_LATER != 0;
    let mut transport = |proto: u8| {
        is_ip(key) && !later(key) && {
            wc.set_nw_proto(0xff);
            key.nw_proto() == proto
        }
    };
    match field.def().prereq {
        Prereq::None => true,
        Prereq::Ethernet => key.packet_type() == PacketType::ETHERNET,
        Prereq::Arp => matches!(key.eth_type(), ethertype::ARP | ethertype::RARP),
        Prereq::VlanVid => {
            wc.set_vlan_tci(0, wc.vlan_tci(0) | VLAN_CFI);
            key.vlan_tci(0) & VLAN_CFI != 0
        }
        Prereq::Ipv4 => key.eth_type() == ethertype::IPV4,
        Prereq::Ipv6 => key.eth_type() == ethertype::IPV6,
        Prereq::IpAny => is_ip(key),
        Prereq::Mpls => is_mpls(key.eth_type()),
        Prereq::Nsh => key.eth_type() == ethertype::NSH,
        Prereq::Tcp => transport(ip_proto::TCP),
        Prereq::Udp => transport(ip_proto::UDP),
        Prereq::Sctp => transport(ip_proto::SCTP),
        Prereq::Icmp4 => key.eth_type() == ethertype::IPV4 && transport(ip_proto::ICMP),
        Prereq::Icmp6 => key.eth_type() == ethertype::IPV6 && transport(ip_proto::ICMPV6),
        Prereq::Nd | Prereq::NdSolicit | Prereq::NdAdvert => {
            let known = key.eth_type() == ethertype::IPV6 && transport(ip_proto::ICMPV6);
            known && {
                wc.set_tp_src(0xffff);
                wc.set_tp_dst(0xffff);
                let ty = match field.def().prereq {
                    Prereq::NdSolicit => key.tp_src() == 135,
                    Prereq::NdAdvert => key.tp_src() == 136,
                    _ => matches!(key.tp_src(), 135 | 136),
                };
                ty && key.tp_dst() == 0
            }
        }
        Prereq::Ct => key.ct_state() & flow::key::CS_TRK != 0,
    }
}

/// VLAN tags of a key.
pub(crate) fn vlan_count(key: &FlowKey) -> usize {
    (0..flow::key::MAX_VLANS).take_while(|&n| key.vlan_tci(n) & VLAN_CFI != 0).count()
}

/// Makes room for a tag in front. The tags that move count as looked at, and so do those that the packet still has in
/// `base`: whether a new tag has to replace one that was removed depends on their values.
pub(crate) fn push_vlan(key: &mut FlowKey, base: &FlowKey, wc: &mut FlowMask) {
    for n in 0..vlan_count(key).max(vlan_count(base)) {
        wc.set_vlan_tci(n, 0xffff);
        wc.set_vlan_tpid(n, 0xffff);
    }
    key.set_vlan_tci(1, key.vlan_tci(0));
    key.set_vlan_tpid(1, key.vlan_tpid(0));
    key.set_vlan_tci(0, 0);
    key.set_vlan_tpid(0, 0);
}

/// Removes the outermost tag.
pub(crate) fn pop_vlan(key: &mut FlowKey, wc: &mut FlowMask) {
    if vlan_count(key) > 1 {
        wc.set_vlan_tci(1, 0xffff);
        wc.set_vlan_tpid(1, 0xffff);
    }
    key.set_vlan_tci(0, key.vlan_tci(1));
    key.set_vlan_tpid(0, key.vlan_tpid(1));
    key.set_vlan_tci(1, 0);
    key.set_vlan_tpid(1, 0);
}

/// Labels of a key: up to and with the one at the bottom of the stack.
pub(crate) fn mpls_count(key: &FlowKey, wc: Option<&mut FlowMask>) -> usize {
    if !is_mpls(key.eth_type()) {
        return 0;
    }
    let bottom = (0..flow::key::MAX_MPLS).find(|n| key.mpls_lse(*n) & 0x100 != 0);
    if let Some(wc) = wc {
        for n in 0..bottom.map_or(flow::key::MAX_MPLS, |n| n + 1) {
            wc.set_mpls_lse(n, wc.mpls_lse(n) | 0x100);
        }
    }
    // Without a bottom, an entry that is all zero is none: that is how an emptied stack looks.
    bottom.map_or_else(|| (0..flow::key::MAX_MPLS).filter(|n| key.mpls_lse(*n) != 0).count(), |n| n + 1)
}
