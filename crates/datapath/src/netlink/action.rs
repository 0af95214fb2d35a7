//! Actions.

use super::cookie::{read_cookie, write_cookie};
use super::set;
use crate::action::{Ct, DpAction, DropReason, EthHeader, HashAlg, Nat, NshHeader};
use flow::DpPort;
use netlink::attr::{Attrs, Malformed, NESTED, Writer, be16_of, be32_of, string_of, u16_of, u32_of};
use netlink::ovs::{action, ct, nat, nsh};
use std::net::IpAddr;
use wire::EthAddr;

/// Actions inside actions are read to this depth; the kernel takes less.
const DEEPEST: u32 = 32;

/// Whether the kernel cannot do an action of the list by itself, so that the switch has to help with its packets.
#[must_use]
pub fn needs_help(actions: &[DpAction]) -> bool {
    actions.iter().any(|a| match a {
        DpAction::Set(s) => !set::is_settable(s.attr),
        DpAction::LbOutput(_) | DpAction::TunnelPush(_) | DpAction::TunnelPop(_) => true,
        DpAction::Sample { actions, .. } | DpAction::Clone(actions) => needs_help(actions),
        DpAction::CheckPktLen { greater, less_equal, .. } => needs_help(greater) || needs_help(less_equal),
        _ => false,
    })
}

/// Writes actions. `pid` is the socket of actions that send packets to the switch and name none.
pub fn write_actions(w: &mut Writer, actions: &[DpAction], pid: u32) {
    actions.iter().for_each(|a| one(w, a, pid));
}

/// A label stack entry and its Ethernet type, padded; of `ADD_MPLS` the padding says: in front of the whole packet.
fn label(ethertype: u16, lse: u32) -> [u8; 8] {
    let (l, t) = (lse.to_be_bytes(), ethertype.to_be_bytes());
    [l[0], l[1], l[2], l[3], t[0], t[1], 0, 0]
}

fn one(w: &mut Writer, a: &DpAction, pid: u32) {
    match a {
        DpAction::Output(port) => w.u32(action::OUTPUT, port.0),
        DpAction::Userspace { cookie, pid: own } => w.nest(action::USERSPACE, |w| {
            w.u32(action::USERSPACE_PID, if *own == 0 { pid } else { *own });
            let cookie = write_cookie(cookie);
            if !cookie.is_empty() {
                w.put(action::USERSPACE_USERDATA, &cookie);
            }
        }),
        DpAction::Set(s) => {
            set::write(w, s);
            w
        }
        DpAction::PushVlan { tpid, tci } => w.put(action::PUSH_VLAN, &pair(*tpid, *tci)),
        DpAction::PopVlan => w.flag(action::POP_VLAN),
        DpAction::PushMpls { ethertype, lse } => w.put(action::PUSH_MPLS, &label(*ethertype, *lse)),
        DpAction::AddMpls { ethertype, lse } => w.put(action::ADD_MPLS, &label(*ethertype, *lse)),
        DpAction::PopMpls(ethertype) => w.be16(action::POP_MPLS, *ethertype),
        DpAction::PushEth(h) => {
            let b: Vec<u8> = [h.src, h.dst].iter().flat_map(|a| a.to_u64().to_be_bytes()[2..].to_vec()).collect();
            w.put(action::PUSH_ETH, &b)
        }
        DpAction::PopEth => w.flag(action::POP_ETH),
        DpAction::PushNsh(h) => w.nest(action::PUSH_NSH, |w| push_nsh(w, h)),
        DpAction::PopNsh => w.flag(action::POP_NSH),
        DpAction::Trunc(len) => w.u32(action::TRUNC, *len),
        DpAction::Sample { probability, actions } => w.nest(action::SAMPLE, |w| {
            w.u32(action::SAMPLE_PROBABILITY, *probability);
            w.nest(action::SAMPLE_ACTIONS, |w| write_actions(w, actions, pid));
        }),
        DpAction::Clone(actions) => w.nest(action::CLONE, |w| write_actions(w, actions, pid)),
        DpAction::Hash { alg, basis } => {
            let mut b = u32::from(*alg == HashAlg::SymL4).to_ne_bytes().to_vec();
            b.extend(basis.to_ne_bytes());
            w.put(action::HASH, &b)
        }
        DpAction::Recirc(id) => w.u32(action::RECIRC, *id),
        DpAction::Ct(c) => w.nest(action::CT, |w| write_ct(w, c)),
        DpAction::CtClear => w.flag(action::CT_CLEAR),
        DpAction::Meter(id) => w.u32(action::METER, *id),
        DpAction::CheckPktLen { len, greater, less_equal } => w.nest(action::CHECK_PKT_LEN, |w| {
            w.u16(action::CHECK_LEN, *len);
            w.nest(action::CHECK_GREATER, |w| write_actions(w, greater, pid));
            w.nest(action::CHECK_LESS_EQUAL, |w| write_actions(w, less_equal, pid));
        }),
        DpAction::Drop(reason) => w.u32(action::DROP, *reason as u32),
        // Kernels that have it insist on its form bit.
        DpAction::Raw { kind: action::PSAMPLE, bytes } => w.put(action::PSAMPLE | NESTED, bytes),
        DpAction::Raw { kind, bytes } => w.put(*kind, bytes),
        // The switch does these to each packet: see `needs_help`.
        DpAction::LbOutput(_) | DpAction::TunnelPush(_) | DpAction::TunnelPop(_) => w,
    };
}

fn pair(a: u16, b: u16) -> [u8; 4] {
    let (a, b) = (a.to_be_bytes(), b.to_be_bytes());
    [a[0], a[1], b[0], b[1]]
}

fn push_nsh(w: &mut Writer, h: &NshHeader) {
    let mut base = vec![h.flags, h.ttl, h.mdtype, h.np];
    base.extend((h.spi << 8 | u32::from(h.si)).to_be_bytes());
    w.put(nsh::BASE, &base);
    if h.mdtype == 1 {
        w.put(nsh::MD1, &h.metadata);
    } else if !h.metadata.is_empty() {
        w.put(nsh::MD2, &h.metadata);
    }
}

fn write_ct(w: &mut Writer, c: &Ct) {
    if c.commit {
        w.flag(if c.force { ct::FORCE_COMMIT } else { ct::COMMIT });
    }
    if c.zone != 0 {
        w.u16(ct::ZONE, c.zone);
    }
    if let Some((value, mask)) = c.mark {
        w.put(ct::MARK, &[value.to_ne_bytes(), mask.to_ne_bytes()].concat());
    }
    if let Some((value, mask)) = c.label {
        w.put(ct::LABELS, &[value.to_le_bytes(), mask.to_le_bytes()].concat());
    }
    if let Some(helper) = c.helper {
        w.string(ct::HELPER, helper);
    }
    if let Some(timeout) = &c.timeout {
        w.string(ct::TIMEOUT, timeout);
    }
    if let Some(n) = &c.nat {
        w.nest(ct::NAT, |w| write_nat(w, n));
    }
}

fn write_nat(w: &mut Writer, n: &Nat) {
    if !n.src && !n.dst {
        return;
    }
    w.flag(if n.src { nat::SRC } else { nat::DST });
    if let Some((first, last)) = n.addresses {
        let octets = |a: IpAddr| match a {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        w.put(nat::IP_MIN, &octets(first));
        if last != first {
            w.put(nat::IP_MAX, &octets(last));
        }
    }
    if n.ports.0 != 0 {
        w.u16(nat::PROTO_MIN, n.ports.0);
        if n.ports.1 != 0 && n.ports.1 != n.ports.0 {
            w.u16(nat::PROTO_MAX, n.ports.1);
        }
    }
    for (on, kind) in [(n.persistent, nat::PERSISTENT), (n.hash, nat::PROTO_HASH), (n.random, nat::PROTO_RANDOM)] {
        if on {
            w.flag(kind);
        }
    }
}

/// Reads actions. Those that have no word here are kept as they are ([`DpAction::Raw`]).
///
/// # Errors
/// If an attribute has a length that it cannot have.
pub fn read_actions(attrs: &[u8]) -> Result<Vec<DpAction>, Malformed> {
    list(attrs, DEEPEST)
}

fn list(attrs: &[u8], deeper: u32) -> Result<Vec<DpAction>, Malformed> {
    if deeper == 0 {
        return Err(Malformed("nesting of actions"));
    }
    Attrs(attrs).map(|a| a.and_then(|(kind, v)| read_one(kind, v, deeper))).collect()
}

fn read_one(kind: u16, v: &[u8], deeper: u32) -> Result<DpAction, Malformed> {
    const SHORT: Malformed = Malformed("action");
    let raw = || DpAction::Raw { kind, bytes: v.into() };
    let inner = |kind| -> Result<Box<[DpAction]>, Malformed> {
        Ok(Attrs(v).find(kind)?.map(|v| list(v, deeper - 1)).transpose()?.unwrap_or_default().into())
    };
    Ok(match kind {
        action::OUTPUT => DpAction::Output(DpPort(u32_of(v)?)),
        action::USERSPACE => DpAction::Userspace {
            cookie: Box::new(read_cookie(Attrs(v).find(action::USERSPACE_USERDATA)?.unwrap_or(&[]))),
            pid: Attrs(v).find(action::USERSPACE_PID)?.map(u32_of).transpose()?.unwrap_or(0),
        },
        action::SET => set::read(v, false)?.unwrap_or_else(raw),
        action::SET_MASKED => set::read(v, true)?.unwrap_or_else(raw),
        action::PUSH_VLAN => {
            let b = v.first_chunk::<4>().ok_or(SHORT)?;
            DpAction::PushVlan { tpid: be16_of(&b[..2])?, tci: be16_of(&b[2..])? }
        }
        action::POP_VLAN => DpAction::PopVlan,
        action::PUSH_MPLS => {
            let b = v.first_chunk::<6>().ok_or(SHORT)?;
            DpAction::PushMpls { lse: be32_of(&b[..4])?, ethertype: be16_of(&b[4..])? }
        }
        action::ADD_MPLS if v.get(6..) == Some(&[0, 0]) => {
            DpAction::AddMpls { lse: be32_of(&v[..4])?, ethertype: be16_of(&v[4..6])? }
        }
        action::POP_MPLS => DpAction::PopMpls(be16_of(v)?),
        action::PUSH_ETH => {
            let b = v.first_chunk::<12>().ok_or(SHORT)?;
            let mac = |b: &[u8]| EthAddr::from_u64(b.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
            DpAction::PushEth(EthHeader { src: mac(&b[..6]), dst: mac(&b[6..]) })
        }
        action::POP_ETH => DpAction::PopEth,
        action::PUSH_NSH => DpAction::PushNsh(Box::new(read_push_nsh(v)?)),
        action::POP_NSH => DpAction::PopNsh,
        action::TRUNC => DpAction::Trunc(u32_of(v)?),
        action::SAMPLE => DpAction::Sample {
            probability: Attrs(v).find(action::SAMPLE_PROBABILITY)?.map(u32_of).transpose()?.unwrap_or(0),
            actions: inner(action::SAMPLE_ACTIONS)?,
        },
        action::CLONE => DpAction::Clone(list(v, deeper - 1)?.into()),
        action::HASH => {
            let b = v.first_chunk::<8>().ok_or(SHORT)?;
            let alg = match u32_of(&b[..4])? {
                0 => HashAlg::L4,
                1 => HashAlg::SymL4,
                _ => return Ok(raw()),
            };
            DpAction::Hash { alg, basis: u32_of(&b[4..])? }
        }
        action::RECIRC => DpAction::Recirc(u32_of(v)?),
        action::CT => DpAction::Ct(Box::new(read_ct(v)?)),
        action::CT_CLEAR => DpAction::CtClear,
        action::METER => DpAction::Meter(u32_of(v)?),
        action::CHECK_PKT_LEN => DpAction::CheckPktLen {
            len: Attrs(v).find(action::CHECK_LEN)?.map(u16_of).transpose()?.unwrap_or(0),
            greater: inner(action::CHECK_GREATER)?,
            less_equal: inner(action::CHECK_LESS_EQUAL)?,
        },
        action::DROP => DropReason::from_number(u32_of(v)?).map_or_else(raw, DpAction::Drop),
        _ => raw(),
    })
}

fn read_push_nsh(v: &[u8]) -> Result<NshHeader, Malformed> {
    let mut h = NshHeader::default();
    for a in Attrs(v) {
        match a? {
            (nsh::BASE, v) => {
                let b = v.first_chunk::<8>().ok_or(Malformed("NSH header"))?;
                [h.flags, h.ttl, h.mdtype, h.np] = [b[0], b[1], b[2], b[3]];
                let path = be32_of(&b[4..])?;
                (h.spi, h.si) = (path >> 8, path as u8);
            }
            (nsh::MD1 | nsh::MD2, v) => h.metadata = v.into(),
            _ => {}
        }
    }
    Ok(h)
}

fn read_ct(v: &[u8]) -> Result<Ct, Malformed> {
    let mut c = Ct::default();
    let half = |v: &[u8]| v.split_at_checked(v.len() / 2).map(|(a, b)| (a.to_vec(), b.to_vec()));
    for a in Attrs(v) {
        match a? {
            (ct::COMMIT, _) => c.commit = true,
            (ct::FORCE_COMMIT, _) => (c.commit, c.force) = (true, true),
            (ct::ZONE, v) => c.zone = u16_of(v)?,
            (ct::MARK, v) => {
                let (value, mask) = half(v).ok_or(Malformed("mark"))?;
                c.mark = Some((u32_of(&value)?, u32_of(&mask)?));
            }
            (ct::LABELS, v) => {
                let (value, mask) = half(v).ok_or(Malformed("labels"))?;
                // In memory order, the first byte being the lowest.
                let wide = |b: &[u8]| netlink::attr::be128_of(b).map(u128::swap_bytes);
                c.label = Some((wide(&value)?, wide(&mask)?));
            }
            (ct::HELPER, v) => {
                c.helper = ["ftp", "tftp"].into_iter().find(|h| string_of(v).as_deref() == Ok(*h));
            }
            (ct::TIMEOUT, v) => c.timeout = Some(string_of(v)?).filter(|t| !t.is_empty()),
            (ct::NAT, v) => c.nat = Some(read_nat(v)?),
            _ => {}
        }
    }
    Ok(c)
}

fn read_nat(v: &[u8]) -> Result<Nat, Malformed> {
    let mut n = Nat::default();
    let address = |v: &[u8]| -> Result<IpAddr, Malformed> {
        match v.len() {
            4 => Ok(IpAddr::V4(be32_of(v)?.into())),
            _ => Ok(IpAddr::V6(netlink::attr::be128_of(v)?.into())),
        }
    };
    let (mut first, mut last) = (None, None);
    for a in Attrs(v) {
        match a? {
            (nat::SRC, _) => n.src = true,
            (nat::DST, _) => n.dst = true,
            (nat::IP_MIN, v) => first = Some(address(v)?),
            (nat::IP_MAX, v) => last = Some(address(v)?),
            (nat::PROTO_MIN, v) => n.ports.0 = u16_of(v)?,
            (nat::PROTO_MAX, v) => n.ports.1 = u16_of(v)?,
            (nat::PERSISTENT, _) => n.persistent = true,
            (nat::PROTO_HASH, _) => n.hash = true,
            (nat::PROTO_RANDOM, _) => n.random = true,
            _ => {}
        }
    }
    n.addresses = first.map(|f| (f, last.unwrap_or(f)));
    if n.ports.1 == 0 {
        n.ports.1 = n.ports.0;
    }
    Ok(n)
}
