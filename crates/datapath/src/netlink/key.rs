//! Keys and masks.

use flow::key::{
    FRAG_ANY, FRAG_LATER, MAX_MPLS, MAX_VLANS, TUN_F_CSUM, TUN_F_DF, TUN_F_KEY, TUN_F_OAM, TUN_F_RAW_OPTIONS, VLAN_CFI,
};
use flow::{FlowKey, FlowMask, PacketType};
use netlink::attr::{Attrs, Malformed, Writer, be16_of, be32_of, be64_of, u8_of, u16_of, u32_of};
use netlink::ovs::{key, nsh, tunnel};
use wire::EthAddr;

const ETH_IPV4: u16 = 0x0800;
const ETH_ARP: u16 = 0x0806;
const ETH_RARP: u16 = 0x8035;
const ETH_IPV6: u16 = 0x86dd;
const ETH_MPLS: u16 = 0x8847;
const ETH_MPLS_MCAST: u16 = 0x8848;
const ETH_NSH: u16 = 0x894f;
const ETH_NONE: u16 = 0x05ff;
const SOLICIT: u16 = 135;
const ADVERT: u16 = 136;

/// Writes the attributes of a key.
pub fn write_key(w: &mut Writer, flow: &FlowKey) {
    Side { flow, values: flow, mask: None, under: None }.write(w);
}

/// Writes the attributes of a key with all those that its mask will have: the kernel takes no mask for what a key does not have.
pub fn write_key_under(w: &mut Writer, flow: &FlowKey, mask: &FlowMask) {
    Side { flow, values: flow, mask: None, under: Some(mask) }.write(w);
}

/// Writes the attributes of a mask for a key: those that the kernel lets a mask have. The kernel may match more than the mask says.
pub fn write_mask(w: &mut Writer, flow: &FlowKey, mask: &FlowMask) {
    Side { flow, values: mask, mask: Some(mask), under: None }.write(w);
}

/// Writes what a packet that is to be worked on cannot tell by its bytes.
pub fn write_metadata(w: &mut Writer, flow: &FlowKey) {
    Side { flow, values: flow, mask: None, under: None }.metadata(w);
    if flow.packet_type() != PacketType::ETHERNET {
        w.be16(key::ETHERTYPE, flow.packet_type().ethertype());
    }
}

struct Side<'a> {
    /// The key, which says what attributes there are.
    flow: &'a FlowKey,
    /// What is written: the key, or the mask.
    values: &'a FlowKey,
    mask: Option<&'a FlowMask>,
    /// The mask for which a key is written.
    under: Option<&'a FlowMask>,
}

impl Side<'_> {
    fn write(&self, w: &mut Writer) {
        self.metadata(w);
        let ethernet = self.flow.packet_type() == PacketType::ETHERNET;
        if ethernet {
            w.put(key::ETHERNET, &ethernet_of(self.values));
            self.level(w, 0);
        } else {
            self.typed(w);
        }
    }

    /// Ethernet type of VLAN tag `n` and what is behind it.
    fn level(&self, w: &mut Writer, n: usize) {
        if n < MAX_VLANS && self.flow.vlan_tci(n) & VLAN_CFI != 0 {
            let tpid = if self.mask.is_some() { u16::MAX } else { self.values.vlan_tpid(n) };
            w.be16(key::ETHERTYPE, tpid).be16(key::VLAN, self.values.vlan_tci(n));
            w.nest(key::ENCAP, |w| self.level(w, n + 1));
        } else {
            self.typed(w);
        }
    }

    /// Ethernet type and the headers that it announces.
    fn typed(&self, w: &mut Writer) {
        let eth_type = self.flow.eth_type();
        match self.mask {
            // A mask can say that there is no type; a key says so by not having the attribute.
            None if eth_type == ETH_NONE => return,
            Some(mask) if mask.eth_type() != u16::MAX => {
                // Every flow matches the type; without it no further header can be matched.
                if mask.eth_type() != 0 {
                    w.be16(key::ETHERTYPE, u16::MAX);
                }
                return;
            }
            _ => {
                w.be16(key::ETHERTYPE, self.values.eth_type());
            }
        }
        match eth_type {
            ETH_IPV4 => {
                w.put(key::IPV4, &self.ipv4());
            }
            ETH_IPV6 => {
                w.put(key::IPV6, &self.ipv6());
            }
            ETH_ARP | ETH_RARP => {
                w.put(key::ARP, &self.arp());
            }
            ETH_MPLS | ETH_MPLS_MCAST => {
                w.put(key::MPLS, &self.mpls());
            }
            ETH_NSH => self.nsh(w),
            _ => {}
        }
        if matches!(eth_type, ETH_IPV4 | ETH_IPV6) && self.flow.nw_frag() & FRAG_LATER == 0 {
            self.transport(w);
        }
    }

    fn metadata(&self, w: &mut Writer) {
        let (f, v) = (self.flow, self.values);
        w.u32(key::RECIRC_ID, v.recirc_id()).u32(key::DP_HASH, v.dp_hash()).u32(key::PRIORITY, v.skb_priority());
        if has_tunnel(f) {
            w.nest(key::TUNNEL, |w| self.tunnel(w));
        }
        w.u32(key::IN_PORT, v.in_port_raw()).u32(key::SKB_MARK, v.pkt_mark());
        let tracked = |x: &FlowKey| x.ct_state() != 0 || x.ct_zone() != 0 || x.ct_mark() != 0 || x.ct_label() != 0;
        if tracked(f) || tracked(v) || self.under.is_some_and(tracked) {
            w.u32(key::CT_STATE, v.ct_state().into()).u16(key::CT_ZONE, v.ct_zone()).u32(key::CT_MARK, v.ct_mark());
            w.put(key::CT_LABELS, &v.ct_label().to_le_bytes());
        }
        self.tuples(w);
    }

    /// The original direction of the packet's connection; the packet's own addresses tell of which family.
    fn tuples(&self, w: &mut Writer) {
        let (f, v) = (self.flow, self.values);
        if f.ct_nw_proto() == 0 {
            return;
        }
        let mut ports = v.ct_tp_src().to_be_bytes().to_vec();
        ports.extend(v.ct_tp_dst().to_be_bytes());
        ports.extend([v.ct_nw_proto(), 0, 0, 0]);
        if f.eth_type() == ETH_IPV4 {
            let mut all = v.ct_nw_src().octets().to_vec();
            all.extend(v.ct_nw_dst().octets());
            all.extend(ports);
            w.put(key::CT_TUPLE4, &all);
        } else if f.eth_type() == ETH_IPV6 {
            let mut all = v.ct_ipv6_src().octets().to_vec();
            all.extend(v.ct_ipv6_dst().octets());
            all.extend(ports);
            w.put(key::CT_TUPLE6, &all);
        }
    }

    fn tunnel(&self, w: &mut Writer) {
        let (f, v) = (self.flow, self.values);
        let is_mask = self.mask.is_some();
        // A flag without a value says itself by being there: in a mask, that it is looked at.
        let flag = |bit| v.tun_flags() & bit != 0;
        if f.tun_flags() & TUN_F_KEY != 0 && (!is_mask || flag(TUN_F_KEY) || v.tun_id() != 0) {
            w.put(tunnel::ID, &v.tun_id().to_be_bytes());
        }
        if f.tun_dst().is_unspecified() && f.tun_src().is_unspecified() {
            w.put(tunnel::IPV6_SRC, &v.tun_ipv6_src().octets()).put(tunnel::IPV6_DST, &v.tun_ipv6_dst().octets());
        } else {
            if !f.tun_src().is_unspecified() {
                w.put(tunnel::IPV4_SRC, &v.tun_src().octets());
            }
            w.put(tunnel::IPV4_DST, &v.tun_dst().octets());
        }
        if f.tun_tos() != 0 || is_mask {
            w.u8(tunnel::TOS, v.tun_tos());
        }
        w.u8(tunnel::TTL, v.tun_ttl());
        for (bit, kind) in [(TUN_F_DF, tunnel::DONT_FRAGMENT), (TUN_F_CSUM, tunnel::CSUM), (TUN_F_OAM, tunnel::OAM)] {
            if flag(bit) {
                w.flag(kind);
            }
        }
        if f.tun_tp_src() != 0 {
            w.be16(tunnel::TP_SRC, v.tun_tp_src());
        }
        if f.tun_tp_dst() != 0 {
            w.be16(tunnel::TP_DST, v.tun_tp_dst());
        }
        if f.tun_gbp_id() != 0 || f.tun_gbp_flags() != 0 {
            let policy = u32::from(v.tun_gbp_flags()) << 16 | u32::from(v.tun_gbp_id());
            w.nest(tunnel::VXLAN_OPTS, |w| {
                w.u32(tunnel::VXLAN_GBP, policy);
            });
        }
        if f.tun_flags() & TUN_F_RAW_OPTIONS != 0 && f.tun_md_present() != 0 {
            let n = (f.tun_md_present() as usize).min(252);
            w.put(tunnel::GENEVE_OPTS, &(0..n).map(|i| v.tun_md_byte(i)).collect::<Vec<u8>>());
        }
    }

    fn frag(&self) -> u8 {
        match (self.mask, self.values.nw_frag()) {
            (Some(_), 0) => 0,
            (Some(_), _) => u8::MAX,
            (None, bits) if bits & FRAG_LATER != 0 => 2,
            (None, bits) => bits & FRAG_ANY,
        }
    }

    fn ipv4(&self) -> [u8; 12] {
        ipv4_of(self.values, self.frag())
    }

    fn ipv6(&self) -> [u8; 40] {
        ipv6_of(self.values, self.frag())
    }

    fn arp(&self) -> [u8; 24] {
        let op = match (self.mask, self.values.nw_proto()) {
            (Some(_), u8::MAX) => u16::MAX,
            (_, op) => op.into(),
        };
        arp_of(self.values, op)
    }

    fn mpls(&self) -> Vec<u8> {
        // As many labels as the packet has, up to the bottom of the stack.
        let bottom = (0..MAX_MPLS).find(|i| self.flow.mpls_lse(*i) & 0x100 != 0).map_or(MAX_MPLS, |i| i + 1);
        let present = (0..MAX_MPLS).rfind(|i| self.flow.mpls_lse(*i) != 0).map_or(1, |i| i + 1);
        (0..bottom.min(present)).flat_map(|i| self.values.mpls_lse(i).to_be_bytes()).collect()
    }

    fn nsh(&self, w: &mut Writer) {
        w.nest(key::NSH, |w| nsh_of(w, self.values, self.flow.nsh_mdtype() == 1));
    }

    fn transport(&self, w: &mut Writer) {
        let v = self.values;
        // A mask may look at ports only where it looks at the whole protocol.
        if self.mask.is_some_and(|m| m.nw_proto() != u8::MAX) {
            return;
        }
        let v6 = self.flow.eth_type() == ETH_IPV6;
        match self.flow.nw_proto() {
            6 => {
                w.put(key::TCP, &ports_of(v)).be16(key::TCP_FLAGS, v.tcp_flags());
            }
            17 => {
                w.put(key::UDP, &ports_of(v));
            }
            132 => {
                w.put(key::SCTP, &ports_of(v));
            }
            1 if !v6 => {
                w.put(key::ICMP, &icmp_of(v));
            }
            58 if v6 => {
                w.put(key::ICMPV6, &icmp_of(v));
                let is_nd = matches!(self.flow.tp_src(), SOLICIT | ADVERT) && self.flow.tp_dst() == 0;
                let exact = self.mask.is_none_or(|m| m.tp_src() as u8 == u8::MAX && m.tp_dst() as u8 == u8::MAX);
                if is_nd && exact {
                    w.put(key::ND, &nd_of(v));
                }
            }
            _ => {}
        }
    }
}

fn has_tunnel(f: &FlowKey) -> bool {
    !f.tun_dst().is_unspecified() || !f.tun_ipv6_dst().is_unspecified()
}

/// The tunnel attributes of a key, for an action that sets them.
pub(super) fn write_tunnel(w: &mut Writer, flow: &FlowKey) {
    Side { flow, values: flow, mask: None, under: None }.tunnel(w);
}

fn mac(a: EthAddr) -> [u8; 6] {
    let b = a.to_u64().to_be_bytes();
    [b[2], b[3], b[4], b[5], b[6], b[7]]
}

fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    for (o, b) in out.iter_mut().zip(parts.iter().flat_map(|p| p.iter())) {
        *o = *b;
    }
    out
}

pub(super) fn ethernet_of(v: &FlowKey) -> [u8; 12] {
    joined(&[&mac(v.eth_src()), &mac(v.eth_dst())])
}

pub(super) fn ipv4_of(v: &FlowKey, frag: u8) -> [u8; 12] {
    joined(&[&v.nw_src().octets(), &v.nw_dst().octets(), &[v.nw_proto(), v.nw_tos(), v.nw_ttl(), frag]])
}

pub(super) fn ipv6_of(v: &FlowKey, frag: u8) -> [u8; 40] {
    let label = (v.ipv6_label() & 0xf_ffff).to_be_bytes();
    let rest = [v.nw_proto(), v.nw_tos(), v.nw_ttl(), frag];
    joined(&[&v.ipv6_src().octets(), &v.ipv6_dst().octets(), &label, &rest])
}

pub(super) fn arp_of(v: &FlowKey, op: u16) -> [u8; 24] {
    let op = op.to_be_bytes();
    joined(&[&v.nw_src().octets(), &v.nw_dst().octets(), &op, &mac(v.arp_sha()), &mac(v.arp_tha())])
}

pub(super) fn nd_of(v: &FlowKey) -> [u8; 28] {
    joined(&[&v.nd_target().octets(), &mac(v.arp_sha()), &mac(v.arp_tha())])
}

pub(super) fn ports_of(v: &FlowKey) -> [u8; 4] {
    joined(&[&v.tp_src().to_be_bytes(), &v.tp_dst().to_be_bytes()])
}

pub(super) fn icmp_of(v: &FlowKey) -> [u8; 2] {
    [v.tp_src() as u8, v.tp_dst() as u8]
}

pub(super) fn nsh_of(w: &mut Writer, v: &FlowKey, contexts: bool) {
    let path = v.nsh_spi() << 8 | u32::from(v.nsh_si());
    let mut base = vec![v.nsh_flags(), v.nsh_ttl(), v.nsh_mdtype(), v.nsh_np()];
    base.extend(path.to_be_bytes());
    w.put(nsh::BASE, &base);
    if contexts {
        w.put(nsh::MD1, &(0..4).flat_map(|i| v.nsh_context(i).to_be_bytes()).collect::<Vec<u8>>());
    }
}

/// Reads a key.
///
/// # Errors
/// If an attribute has a length that it cannot have.
pub fn read_key(attrs: &[u8]) -> Result<FlowKey, Malformed> {
    let mut reader = Reader { key: FlowKey::ZERO, is_mask: false };
    reader.level(attrs, 0)?;
    let mut key = reader.key;
    if Attrs(attrs).find(key::ETHERNET)?.is_none() && key.eth_type() != 0 {
        key.set_packet_type(PacketType::new(1, key.eth_type()));
    } else if key.eth_type() == 0 {
        key.set_eth_type(ETH_NONE);
    }
    Ok(key)
}

/// Reads the mask of a key. Without one (`None`) everything that the key has counts.
///
/// # Errors
/// If an attribute has a length that it cannot have.
pub fn read_mask(attrs: Option<&[u8]>, of: &FlowKey, key_attrs: &[u8]) -> Result<FlowMask, Malformed> {
    let mut reader = Reader { key: FlowKey::ZERO, is_mask: true };
    match attrs {
        Some(attrs) => reader.level(attrs, 0)?,
        None => {
            let ones = all_ones(key_attrs)?;
            reader.level(&ones, 0)?;
        }
    }
    let mut mask = reader.key;
    if of.packet_type() != PacketType::ETHERNET {
        mask.set_packet_type_raw(u32::MAX);
    }
    Ok(mask)
}

/// Largest kind of attribute that keys have a field for, or that is never in a message.
const LARGEST: u16 = key::IPV6_EXTHDRS - 1;

/// An attribute of a key for which there is no field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAttr {
    /// `OVS_KEY_ATTR_*`.
    pub kind: u16,
    /// Bytes of the key.
    pub value: Vec<u8>,
    /// Bytes of the mask, as many.
    pub mask: Vec<u8>,
}

/// What a key has that there is no field for.
///
/// # Errors
/// If the attributes do not fit their lengths.
pub fn unknown_attrs(attrs: &[u8], mask: Option<&[u8]>) -> Result<Vec<UnknownAttr>, Malformed> {
    let mut all = vec![];
    for a in Attrs(attrs) {
        let (kind, value) = a?;
        let under = mask.map(|m| Attrs(m).find(kind)).transpose()?.flatten();
        if kind == key::ENCAP {
            all.extend(unknown_attrs(value, under)?);
        } else if kind > LARGEST {
            let usual = if mask.is_some() { 0 } else { u8::MAX };
            let mask = under.map_or_else(|| vec![usual; value.len()], <[u8]>::to_vec);
            all.push(UnknownAttr { kind, value: value.to_vec(), mask });
        }
    }
    Ok(all)
}

/// The same attributes with all bits of their values set.
fn all_ones(attrs: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut w = Writer::new();
    for a in Attrs(attrs) {
        let (kind, value) = a?;
        let value = match kind {
            key::ENCAP | key::TUNNEL | key::NSH => all_ones(value)?,
            _ => vec![u8::MAX; value.len()],
        };
        w.put(kind, &value);
    }
    Ok(w.into_bytes())
}

struct Reader {
    key: FlowKey,
    is_mask: bool,
}

const SHORT: Malformed = Malformed("key attribute");

/// The value as an array, which may be shorter than what the kernel sends but not longer.
fn array<const N: usize>(v: &[u8]) -> Result<&[u8; N], Malformed> {
    v.first_chunk::<N>().ok_or(SHORT)
}

fn address(b: &[u8]) -> EthAddr {
    EthAddr::from_u64(b.iter().take(6).fold(0, |n, b| n << 8 | u64::from(*b)))
}

fn v4(b: &[u8]) -> Result<std::net::Ipv4Addr, Malformed> {
    be32_of(b).map(std::net::Ipv4Addr::from_bits)
}

fn v6(b: &[u8]) -> Result<std::net::Ipv6Addr, Malformed> {
    netlink::attr::be128_of(b).map(std::net::Ipv6Addr::from_bits)
}

impl Reader {
    fn level(&mut self, attrs: &[u8], n: usize) -> Result<(), Malformed> {
        let mut eth_type = None;
        let mut inner = None;
        for a in Attrs(attrs) {
            match a? {
                (key::ETHERTYPE, v) => eth_type = Some(be16_of(v)?),
                (key::VLAN, v) if n < MAX_VLANS => self.key.set_vlan_tci(n, be16_of(v)?),
                (key::ENCAP, v) => inner = Some(v),
                (kind, v) => self.one(kind, v)?,
            }
        }
        match inner {
            Some(inner) if n < MAX_VLANS => {
                self.key.set_vlan_tpid(n, eth_type.unwrap_or(0));
                self.level(inner, n + 1)
            }
            _ => {
                if let Some(t) = eth_type {
                    self.key.set_eth_type(t);
                }
                Ok(())
            }
        }
    }

    fn one(&mut self, kind: u16, v: &[u8]) -> Result<(), Malformed> {
        let k = &mut self.key;
        match kind {
            key::PRIORITY => k.set_skb_priority(u32_of(v)?),
            key::SKB_MARK => k.set_pkt_mark(u32_of(v)?),
            key::IN_PORT => k.set_in_port_raw(u32_of(v)?),
            key::RECIRC_ID => k.set_recirc_id(u32_of(v)?),
            key::DP_HASH => k.set_dp_hash(u32_of(v)?),
            key::CT_STATE => k.set_ct_state(u32_of(v)? as u16),
            key::CT_ZONE => k.set_ct_zone(u16_of(v)?),
            key::CT_MARK => k.set_ct_mark(u32_of(v)?),
            key::CT_LABELS => k.set_ct_label(u128::from_le_bytes(*array(v)?)),
            key::CT_TUPLE4 => {
                let b = array::<13>(v)?;
                k.set_ct_nw_src(v4(&b[..4])?);
                k.set_ct_nw_dst(v4(&b[4..8])?);
                tuple_ports(k, &b[8..]);
            }
            key::CT_TUPLE6 => {
                let b = array::<37>(v)?;
                k.set_ct_ipv6_src(v6(&b[..16])?);
                k.set_ct_ipv6_dst(v6(&b[16..32])?);
                tuple_ports(k, &b[32..]);
            }
            key::ETHERNET => read_ethernet(k, v)?,
            key::IPV4 => {
                read_ipv4(k, v)?;
                self.frag(v[11]);
            }
            key::IPV6 => {
                read_ipv6(k, v)?;
                self.frag(v[39]);
            }
            key::TCP | key::UDP | key::SCTP => read_ports(k, v)?,
            key::TCP_FLAGS => k.set_tcp_flags(be16_of(v)? & 0xfff),
            key::ICMP | key::ICMPV6 => read_icmp(k, v, self.is_mask)?,
            key::ARP => read_arp(k, v)?,
            key::ND => read_nd(k, v)?,
            key::MPLS => read_mpls(k, v)?,
            key::TUNNEL => self.tunnel(v)?,
            key::NSH => read_nsh(k, v)?,
            _ => {}
        }
        Ok(())
    }

    fn frag(&mut self, frag: u8) {
        self.key.set_nw_frag(match (self.is_mask, frag) {
            (true, bits) => bits,
            (false, 0) => 0,
            (false, 1) => FRAG_ANY,
            (false, _) => FRAG_ANY | FRAG_LATER,
        });
    }

    fn tunnel(&mut self, v: &[u8]) -> Result<(), Malformed> {
        let k = &mut self.key;
        let mut flags = 0;
        for a in Attrs(v) {
            match a? {
                (tunnel::ID, v) => {
                    k.set_tun_id(be64_of(v)?);
                    flags |= TUN_F_KEY;
                }
                (tunnel::IPV4_SRC, v) => k.set_tun_src(v4(v)?),
                (tunnel::IPV4_DST, v) => k.set_tun_dst(v4(v)?),
                (tunnel::IPV6_SRC, v) => k.set_tun_ipv6_src(v6(v)?),
                (tunnel::IPV6_DST, v) => k.set_tun_ipv6_dst(v6(v)?),
                (tunnel::TOS, v) => k.set_tun_tos(u8_of(v)?),
                (tunnel::TTL, v) => k.set_tun_ttl(u8_of(v)?),
                (tunnel::DONT_FRAGMENT, _) => flags |= TUN_F_DF,
                (tunnel::CSUM, _) => flags |= TUN_F_CSUM,
                (tunnel::OAM, _) => flags |= TUN_F_OAM,
                (tunnel::TP_SRC, v) => k.set_tun_tp_src(be16_of(v)?),
                (tunnel::TP_DST, v) => k.set_tun_tp_dst(be16_of(v)?),
                (tunnel::VXLAN_OPTS, v) => {
                    if let Some(policy) = Attrs(v).find(tunnel::VXLAN_GBP)? {
                        let policy = u32_of(policy)?;
                        k.set_tun_gbp_id(policy as u16);
                        k.set_tun_gbp_flags((policy >> 16) as u8);
                    }
                }
                (tunnel::GENEVE_OPTS, v) if v.len() <= flow::tunnel::TUN_MD_SPACE => {
                    flags |= TUN_F_RAW_OPTIONS;
                    k.set_tun_md_present(v.len() as u64);
                    v.iter().enumerate().for_each(|(i, b)| k.set_tun_md_byte(i, *b));
                }
                _ => {}
            }
        }
        // A mask looks at the flags of every tunnel, set or not.
        k.set_tun_flags(if self.is_mask { flags | TUN_F_DF | TUN_F_CSUM | TUN_F_KEY } else { flags });
        Ok(())
    }
}

fn tuple_ports(k: &mut FlowKey, b: &[u8]) {
    k.set_ct_tp_src(u16::from_be_bytes([b[0], b[1]]));
    k.set_ct_tp_dst(u16::from_be_bytes([b[2], b[3]]));
    k.set_ct_nw_proto(b[4]);
}

pub(super) fn read_ethernet(k: &mut FlowKey, v: &[u8]) -> Result<(), Malformed> {
    let b = array::<12>(v)?;
    k.set_eth_src(address(&b[..6]));
    k.set_eth_dst(address(&b[6..]));
    Ok(())
}

pub(super) fn read_ipv4(k: &mut FlowKey, v: &[u8]) -> Result<(), Malformed> {
    let b = array::<12>(v)?;
    k.set_nw_src(v4(&b[..4])?);
    k.set_nw_dst(v4(&b[4..8])?);
    network(k, &b[8..]);
    Ok(())
}

pub(super) fn read_ipv6(k: &mut FlowKey, v: &[u8]) -> Result<(), Malformed> {
    let b = array::<40>(v)?;
    k.set_ipv6_src(v6(&b[..16])?);
    k.set_ipv6_dst(v6(&b[16..32])?);
    k.set_ipv6_label(be32_of(&b[32..36])? & 0xf_ffff);
    network(k, &b[36..]);
    Ok(())
}

fn network(k: &mut FlowKey, b: &[u8]) {
    k.set_nw_proto(b[0]);
    k.set_nw_tos(b[1]);
    k.set_nw_ttl(b[2]);
}

pub(super) fn read_ports(k: &mut FlowKey, v: &[u8]) -> Result<(), Malformed> {
    let b = array::<4>(v)?;
    k.set_tp_src(u16::from_be_bytes([b[0], b[1]]));
    k.set_tp_dst(u16::from_be_bytes([b[2], b[3]]));
    Ok(())
}

pub(super) fn read_icmp(k: &mut FlowKey, v: &[u8], is_mask: bool) -> Result<(), Malformed> {
    let b = array::<2>(v)?;
    let wide = |b: u8| if is_mask && b == u8::MAX { u16::MAX } else { b.into() };
    k.set_tp_src(wide(b[0]));
    k.set_tp_dst(wide(b[1]));
    Ok(())
}

pub(super) fn read_arp(k: &mut FlowKey, v: &[u8]) -> Result<(), Malformed> {
    let b = array::<22>(v)?;
    k.set_nw_src(v4(&b[..4])?);
    k.set_nw_dst(v4(&b[4..8])?);
    k.set_nw_proto(b[9]);
    k.set_arp_sha(address(&b[10..16]));
    k.set_arp_tha(address(&b[16..22]));
    Ok(())
}

pub(super) fn read_nd(k: &mut FlowKey, v: &[u8]) -> Result<(), Malformed> {
    let b = array::<28>(v)?;
    k.set_nd_target(v6(&b[..16])?);
    k.set_arp_sha(address(&b[16..22]));
    k.set_arp_tha(address(&b[22..28]));
    Ok(())
}

pub(super) fn read_mpls(k: &mut FlowKey, v: &[u8]) -> Result<(), Malformed> {
    for (i, lse) in v.chunks_exact(4).take(MAX_MPLS).enumerate() {
        k.set_mpls_lse(i, be32_of(lse)?);
    }
    Ok(())
}

pub(super) fn read_nsh(k: &mut FlowKey, v: &[u8]) -> Result<(), Malformed> {
    for a in Attrs(v) {
        match a? {
            (nsh::BASE, v) => {
                let b = array::<8>(v)?;
                k.set_nsh_flags(b[0]);
                k.set_nsh_ttl(b[1]);
                k.set_nsh_mdtype(b[2]);
                k.set_nsh_np(b[3]);
                let path = be32_of(&b[4..])?;
                k.set_nsh_spi(path >> 8);
                k.set_nsh_si(path as u8);
            }
            (nsh::MD1, v) => {
                for (i, c) in v.chunks_exact(4).take(4).enumerate() {
                    k.set_nsh_context(i, be32_of(c)?);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
