//! From changed fields to datapath actions.
//!
//! Actions change the key; the packet follows only when somebody is to see it. `base` is the key that the packet has by
//! the actions so far, `key` the one it ought to have.

use datapath::{DpAction, Set, SetAttr};
use flow::key::VLAN_CFI;
use flow::{FlowKey, FlowMask};
use wire::layers::{ethertype, ip_proto, is_mpls};

use crate::fields::{is_ip, mpls_count, vlan_count};

/// A field of the key as a place: word, shift, bits.
type Place = (usize, u32, u32);

const ETHERNET: &[Place] = &[(40, 16, 48), (39, 16, 48)];
const IPV4: &[Place] = &[(44, 32, 32), (44, 0, 32), (49, 16, 8), (49, 8, 8)];
const IPV6: &[Place] = &[(45, 0, 128), (47, 0, 128), (49, 32, 20), (49, 16, 8), (49, 8, 8)];
const ARP: &[Place] = &[(44, 32, 32), (44, 0, 32), (49, 24, 8), (52, 16, 48), (53, 16, 48)];
const PORTS: &[Place] = &[(57, 48, 16), (57, 32, 16)];
const ICMP: &[Place] = &[(57, 48, 8), (57, 32, 8)];
const ND: &[Place] = &[(50, 0, 128), (52, 16, 48), (53, 16, 48)];
const ND_EXT: &[Place] = &[(57, 0, 32), (52, 0, 8)];
const NSH: &[Place] =
    &[(54, 56, 8), (54, 48, 8), (54, 8, 24), (54, 0, 8), (55, 32, 32), (55, 0, 32), (56, 32, 32), (56, 0, 32)];
const PRIORITY: &[Place] = &[(27, 32, 32)];
const MARK: &[Place] = &[(27, 0, 32)];

fn places(attr: SetAttr) -> &'static [Place] {
    match attr {
        SetAttr::Priority => PRIORITY,
        SetAttr::Mark => MARK,
        SetAttr::Ethernet => ETHERNET,
        SetAttr::Ipv4 => IPV4,
        SetAttr::Ipv6 => IPV6,
        SetAttr::Tcp | SetAttr::Udp | SetAttr::Sctp => PORTS,
        SetAttr::Icmp | SetAttr::Icmpv6 => ICMP,
        SetAttr::Arp => ARP,
        SetAttr::Nd => ND,
        SetAttr::NdExtensions => ND_EXT,
        SetAttr::Nsh => NSH,
        SetAttr::Vlan | SetAttr::Mpls | SetAttr::Tunnel => &[],
    }
}

/// Word masks of a place.
fn words((word, shift, bits): Place) -> impl Iterator<Item = (usize, u64)> {
    let first = if bits >= 64 { u64::MAX } else { ((1 << bits) - 1) << shift };
    let second = if bits == 128 { Some((word + 1, u64::MAX)) } else { None };
    std::iter::once((word, first)).chain(second)
}

/// The actions that bring a packet from `base` to `key`; `base` becomes `key` as far as they go. Whether one of them is
/// more than datapaths do by themselves.
pub(crate) fn commit(key: &FlowKey, base: &mut FlowKey, wc: &mut FlowMask, out: &mut Vec<DpAction>) -> bool {
    set(SetAttr::Ethernet, key, base, wc, out);
    // Fields behind MPLS can only be set when MPLS is gone.
    let leaves_mpls = is_mpls(base.eth_type()) && !is_mpls(key.eth_type());
    if leaves_mpls {
        mpls(key, base, wc, out);
    }
    let slow = network(key, base, wc, out) | transport(key, base, wc, out);
    if !leaves_mpls {
        mpls(key, base, wc, out);
    }
    vlan(key, base, wc, out);
    set(SetAttr::Priority, key, base, wc, out);
    set(SetAttr::Mark, key, base, wc, out);
    slow
}

/// Whether an attribute's fields differ.
fn differs(attr: SetAttr, key: &FlowKey, base: &FlowKey) -> bool {
    places(attr).iter().any(|&place| words(place).any(|(i, m)| (key.word(i) ^ base.word(i)) & m != 0))
}

/// Sets the fields of an attribute that differ, in the bits that somebody has looked at or written; whether there were any.
fn set(attr: SetAttr, key: &FlowKey, base: &mut FlowKey, wc: &mut FlowMask, out: &mut Vec<DpAction>) -> bool {
    let mut mask = FlowMask::ZERO;
    let mut changed = false;
    for &place in places(attr) {
        let same = words(place).all(|(i, m)| (key.word(i) ^ base.word(i)) & m == 0);
        changed |= !same;
        // Type and code of ICMP are set together.
        if same && !matches!(attr, SetAttr::Icmp | SetAttr::Icmpv6) {
            continue;
        }
        for (i, m) in words(place) {
            let differ = (key.word(i) ^ base.word(i)) & m;
            let bits = if matches!(attr, SetAttr::Priority | SetAttr::Mark) { m } else { wc.word(i) & m | differ };
            mask.set_word(i, mask.word(i) | bits);
        }
    }
    if !changed {
        return false;
    }
    for &place in places(attr) {
        for (i, m) in words(place) {
            base.set_word(i, base.word(i) & !m | key.word(i) & m);
            wc.set_word(i, wc.word(i) | mask.word(i) & m);
        }
    }
    out.push(DpAction::Set(Box::new(Set::new(attr, key, &mask))));
    true
}

fn network(key: &FlowKey, base: &mut FlowKey, wc: &mut FlowMask, out: &mut Vec<DpAction>) -> bool {
    let attr = match key.eth_type() {
        // A packet whose protocol or fragment bits "change" is not the packet that came in.
        _ if key.eth_type() != base.eth_type() => return false,
        ethertype::IPV4 if key.nw_proto() == base.nw_proto() => SetAttr::Ipv4,
        ethertype::IPV6 if key.nw_proto() == base.nw_proto() => SetAttr::Ipv6,
        ethertype::ARP | ethertype::RARP => SetAttr::Arp,
        ethertype::NSH => {
            set(SetAttr::Nsh, key, base, wc, out);
            return false;
        }
        _ => return false,
    };
    let neighbour = attr == SetAttr::Ipv6
        && key.nw_proto() == ip_proto::ICMPV6
        && matches!(base.tp_src(), 135 | 136)
        && key.nw_frag() & 2 == 0;
    if differs(attr, key, base) {
        // Without a protocol there is no header to be set: a packet cut short, or one described only by its type.
        let whole = key.nw_proto() != 0;
        if whole {
            set(attr, key, base, wc, out);
        }
        wc.set_nw_proto(0xff);
        if attr == SetAttr::Arp {
            return whole;
        }
    }
    neighbour && (set(SetAttr::Nd, key, base, wc, out) | set(SetAttr::NdExtensions, key, base, wc, out))
}

fn transport(key: &FlowKey, base: &mut FlowKey, wc: &mut FlowMask, out: &mut Vec<DpAction>) -> bool {
    if !is_ip(key) || key.eth_type() != base.eth_type() || key.nw_frag() & flow::key::FRAG_LATER != 0 {
        return false;
    }
    let v6 = key.eth_type() == ethertype::IPV6;
    let attr = match key.nw_proto() {
        ip_proto::TCP => SetAttr::Tcp,
        ip_proto::UDP => SetAttr::Udp,
        ip_proto::SCTP => SetAttr::Sctp,
        ip_proto::ICMP if !v6 => SetAttr::Icmp,
        ip_proto::ICMPV6 if v6 => SetAttr::Icmpv6,
        _ => return false,
    };
    let icmp = matches!(attr, SetAttr::Icmp | SetAttr::Icmpv6);
    if icmp && differs(attr, key, base) {
        // Type and code are set together.
        wc.set_tp_src(wc.tp_src() | 0xff);
        wc.set_tp_dst(wc.tp_dst() | 0xff);
    }
    set(attr, key, base, wc, out) && icmp
}

fn vlan(key: &FlowKey, base: &mut FlowKey, wc: &mut FlowMask, out: &mut Vec<DpAction>) {
    let tag = |k: &FlowKey, n: usize| (k.vlan_tpid(n), k.vlan_tci(n));
    let (mut have, mut want) = (vlan_count(base), vlan_count(key));
    while have > 0 && want > 0 && tag(base, have - 1) == tag(key, want - 1) {
        have -= 1;
        want -= 1;
    }
    for n in 0..have {
        out.push(DpAction::PopVlan);
        wc.set_vlan_tci(n, 0xffff);
        wc.set_vlan_tpid(n, 0xffff);
    }
    for n in (0..want).rev() {
        let (tpid, tci) = tag(key, n);
        out.push(DpAction::PushVlan { tpid: if tpid == 0 { ethertype::VLAN } else { tpid }, tci: tci | VLAN_CFI });
    }
    for n in 0..flow::key::MAX_VLANS {
        base.set_vlan_tci(n, key.vlan_tci(n));
        base.set_vlan_tpid(n, key.vlan_tpid(n));
    }
}

fn mpls(key: &FlowKey, base: &mut FlowKey, wc: &mut FlowMask, out: &mut Vec<DpAction>) {
    let (mut have, want) = (mpls_count(base, None), mpls_count(key, None));
    if have == 0 && want == 0 {
        return;
    }
    // Entries that stay are at the bottom; the outermost of them may have changed.
    let same_below = |skip_base: usize, skip_key: usize| {
        (0..have - skip_base).all(|i| base.mpls_lse(skip_base + i) >> 12 == key.mpls_lse(skip_key + i) >> 12)
    };
    let mut pops = have.saturating_sub(want);
    while pops < have && have - pops > 0 && !same_below(pops, want + pops - have) && have - pops > 1 {
        pops += 1;
    }
    for _ in 0..pops {
        let inner = if have > 1 { base.eth_type() } else { key.eth_type() };
        let exposed = if have == 1 && is_mpls(key.eth_type()) { base.eth_type() } else { inner };
        out.push(DpAction::PopMpls(exposed));
        for n in 0..flow::key::MAX_MPLS - 1 {
            base.set_mpls_lse(n, base.mpls_lse(n + 1));
        }
        base.set_mpls_lse(flow::key::MAX_MPLS - 1, 0);
        have -= 1;
    }
    if have == 0 && want == 0 {
        base.set_eth_type(key.eth_type());
        return;
    }
    let pushes = want - have.min(want);
    if have > 0 && base.mpls_lse(0) != key.mpls_lse(pushes) {
        let mut mask = FlowMask::ZERO;
        mask.set_mpls_lse(0, u32::MAX);
        let mut value = FlowKey::ZERO;
        value.set_mpls_lse(0, key.mpls_lse(pushes));
        out.push(DpAction::Set(Box::new(Set::new(SetAttr::Mpls, &value, &mask))));
        wc.set_mpls_lse(0, u32::MAX);
    }
    for n in (0..pushes).rev() {
        out.push(DpAction::PushMpls { ethertype: key.eth_type(), lse: key.mpls_lse(n) });
    }
    for n in 0..flow::key::MAX_MPLS {
        base.set_mpls_lse(n, key.mpls_lse(n));
    }
    base.set_eth_type(key.eth_type());
}
