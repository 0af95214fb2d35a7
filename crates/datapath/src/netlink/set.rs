//! Actions that set header fields.

use super::key::{self as keys};
use crate::action::{DpAction, Set, SetAttr};
use flow::{FlowKey, FlowMask};
use netlink::attr::{Attrs, Malformed, Writer, be16_of, u32_of};
use netlink::ovs::{action, key};

/// Attributes that the kernel can set.
const SETTABLE: [(SetAttr, u16); 11] = [
    (SetAttr::Priority, key::PRIORITY),
    (SetAttr::Mark, key::SKB_MARK),
    (SetAttr::Tunnel, key::TUNNEL),
    (SetAttr::Ethernet, key::ETHERNET),
    (SetAttr::Mpls, key::MPLS),
    (SetAttr::Ipv4, key::IPV4),
    (SetAttr::Ipv6, key::IPV6),
    (SetAttr::Tcp, key::TCP),
    (SetAttr::Udp, key::UDP),
    (SetAttr::Sctp, key::SCTP),
    (SetAttr::Nsh, key::NSH),
];
/// Those that it cannot, but that have a form.
const OTHERS: [(SetAttr, u16); 5] = [
    (SetAttr::Vlan, key::VLAN),
    (SetAttr::Icmp, key::ICMP),
    (SetAttr::Icmpv6, key::ICMPV6),
    (SetAttr::Arp, key::ARP),
    (SetAttr::Nd, key::ND),
];

/// Whether the kernel can set it.
pub(super) fn is_settable(attr: SetAttr) -> bool {
    SETTABLE.iter().any(|(a, _)| *a == attr)
}

fn number(attr: SetAttr) -> u16 {
    let all = SETTABLE.iter().chain(&OTHERS);
    all.clone().find(|(a, _)| *a == attr).map_or(key::ND_EXTENSIONS, |(_, n)| *n)
}

/// Writes the action.
pub(super) fn write(w: &mut Writer, set: &Set) {
    let (value, mask) = (set.key.expand(), set.mask.expand());
    let kind = number(set.attr);
    if set.attr == SetAttr::Tunnel {
        w.nest(action::SET, |w| {
            w.nest(key::TUNNEL, |w| keys::write_tunnel(w, &value));
        });
        return;
    }
    let one = |of: &FlowKey| {
        let mut inner = Writer::new();
        body(&mut inner, set.attr, of);
        inner.into_bytes()
    };
    let (values, bits) = (one(&value), one(&mask));
    let exact = set.attr != SetAttr::Nsh && bits.iter().all(|b| *b == u8::MAX);
    if exact {
        w.nest(action::SET, |w| {
            w.put(kind, &values);
        });
    } else if set.attr == SetAttr::Nsh {
        // Attributes inside, each with its mask behind it.
        w.nest(action::SET_MASKED, |w| {
            w.nest(key::NSH, |w| {
                for (v, m) in Attrs(&values).zip(Attrs(&bits)) {
                    if let (Ok((kind, v)), Ok((_, m))) = (v, m) {
                        w.put(kind, &[v, m].concat());
                    }
                }
            });
        });
    } else {
        w.nest(action::SET_MASKED, |w| {
            w.put(kind, &[values, bits].concat());
        });
    }
}

/// The structure of an attribute.
fn body(w: &mut Writer, attr: SetAttr, of: &FlowKey) {
    match attr {
        SetAttr::Priority => w.raw(&of.skb_priority().to_ne_bytes()),
        SetAttr::Mark => w.raw(&of.pkt_mark().to_ne_bytes()),
        SetAttr::Ethernet => w.raw(&keys::ethernet_of(of)),
        SetAttr::Vlan => w.raw(&of.vlan_tci(0).to_be_bytes()),
        SetAttr::Mpls => w.raw(&of.mpls_lse(0).to_be_bytes()),
        SetAttr::Ipv4 => w.raw(&keys::ipv4_of(of, 0)),
        SetAttr::Ipv6 => w.raw(&keys::ipv6_of(of, 0)),
        SetAttr::Tcp | SetAttr::Udp | SetAttr::Sctp => w.raw(&keys::ports_of(of)),
        SetAttr::Icmp | SetAttr::Icmpv6 => w.raw(&keys::icmp_of(of)),
        SetAttr::Arp => w.raw(&keys::arp_of(of, of.nw_proto().into())),
        SetAttr::Nd => w.raw(&keys::nd_of(of)),
        SetAttr::Nsh => {
            keys::nsh_of(w, of, true);
            w
        }
        SetAttr::NdExtensions => {
            let mut b = of.igmp_group().to_be_bytes().to_vec();
            b.extend([of.tcp_flags() as u8, 0, 0, 0]);
            w.raw(&b)
        }
        SetAttr::Tunnel => w,
    };
}

/// Reads the action; `masked`: value and mask one behind the other.
pub(super) fn read(value: &[u8], masked: bool) -> Result<Option<DpAction>, Malformed> {
    let Some(inner) = Attrs(value).next() else { return Err(Malformed("set action")) };
    let (kind, v) = inner?;
    let Some((attr, _)) = SETTABLE.iter().chain(&OTHERS).find(|(_, n)| *n == kind) else { return Ok(None) };
    let (mut key, mut mask) = (FlowKey::ZERO, FlowMask::ZERO);
    match (attr, masked) {
        (SetAttr::Tunnel, _) => {
            let mut w = Writer::new();
            w.put(key::TUNNEL, v);
            key = keys::read_key(w.bytes())?;
            key.set_eth_type(0);
            mask = keys::read_mask(None, &FlowKey::ZERO, w.bytes())?;
        }
        (SetAttr::Nsh, _) => {
            let (mut values, mut bits) = (Writer::new(), Writer::new());
            for a in Attrs(v) {
                let (kind, v) = a?;
                let (v, m) = if masked { v.split_at(v.len() / 2) } else { (v, &[u8::MAX; 16][..v.len().min(16)]) };
                values.put(kind, v);
                bits.put(kind, m);
            }
            keys::read_nsh(&mut key, values.bytes())?;
            keys::read_nsh(&mut mask, bits.bytes())?;
        }
        (attr, true) => {
            let (v, m) = v.split_at(v.len() / 2);
            field(&mut key, *attr, v, false)?;
            field(&mut mask, *attr, m, true)?;
        }
        (attr, false) => {
            field(&mut key, *attr, v, false)?;
            field(&mut mask, *attr, &vec![u8::MAX; v.len()], true)?;
        }
    }
    Ok(Some(DpAction::Set(Box::new(Set::new(*attr, &key, &mask)))))
}

fn field(k: &mut FlowKey, attr: SetAttr, v: &[u8], is_mask: bool) -> Result<(), Malformed> {
    match attr {
        SetAttr::Priority => k.set_skb_priority(u32_of(v)?),
        SetAttr::Mark => k.set_pkt_mark(u32_of(v)?),
        SetAttr::Ethernet => keys::read_ethernet(k, v)?,
        SetAttr::Vlan => k.set_vlan_tci(0, be16_of(v)?),
        SetAttr::Mpls => keys::read_mpls(k, v)?,
        SetAttr::Ipv4 => keys::read_ipv4(k, v)?,
        SetAttr::Ipv6 => keys::read_ipv6(k, v)?,
        SetAttr::Tcp | SetAttr::Udp | SetAttr::Sctp => keys::read_ports(k, v)?,
        SetAttr::Icmp | SetAttr::Icmpv6 => keys::read_icmp(k, v, is_mask)?,
        SetAttr::Arp => keys::read_arp(k, v)?,
        SetAttr::Nd => keys::read_nd(k, v)?,
        SetAttr::Tunnel | SetAttr::Nsh | SetAttr::NdExtensions => {}
    }
    Ok(())
}
