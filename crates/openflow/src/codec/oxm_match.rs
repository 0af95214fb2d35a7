//! NXM and OXM matches (OpenFlow 1.3 §7.2.3): a list of entries.

use flow::extract::number as proto;
use flow::{Field, FieldValue, MaskRule, Match, Prereq, WordMap};

use super::bytes::{Put, Reader, round8};
use super::oxm::{self, Numbering, put_entry, put_int_entry};
use crate::error::Error;
use crate::version::Version;

/// A cookie and its mask, as an entry of Nicira requests can say.
pub type Cookie = (u64, u64);

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    m: &'a Match,
    /// Words that the mask has.
    words: WordMap,
    numbering: Numbering,
    implied_ethernet: bool,
}

// Words that groups of fields lie in: a group of which a match says nothing is passed over as a whole.
const TUNNEL: WordMap = WordMap::range(1, 9);
const REGISTERS: WordMap = WordMap::range(10, 25);
const MARKS: WordMap = WordMap::range(27, 28);
const CONNECTION: WordMap = WordMap::range(29, 37);
const NSH: WordMap = WordMap::range(54, 56);

/// Appends the entries of a match.
pub fn put_entries(out: &mut Vec<u8>, m: &Match, numbering: Numbering, cookie: Option<Cookie>) {
    let words = WordMap::of(&m.mask);
    let start = out.len();
    let mut w = Writer { out, m, words, numbering, implied_ethernet: false };
    w.before_link();
    w.link();
    w.network();
    if words.meets(TUNNEL) || m.mask.tun_md_present() != 0 {
        w.tunnel();
    }
    if words.meets(NSH) {
        w.nsh();
    }
    if words.meets(REGISTERS) {
        w.registers();
    }
    if words.meets(MARKS) {
        w.masked(Field::PKT_MARK);
    }
    if words.meets(CONNECTION) {
        w.connection();
    }
    w.masked(Field::METADATA);
    if m.mask.packet_type_raw() != 0 && m.key.packet_type_raw() == 0 && !w.implied_ethernet {
        // Ethernet packets, of which nothing else that is said tells.
        let mut first = Vec::with_capacity(8);
        put_int_entry(&mut first, Field::PACKET_TYPE, numbering, 0, None);
        out.splice(start..start, first);
    }
    if let Some((value, mask)) = cookie.filter(|c| c.1 != 0) {
        put_cookie(out, value & mask, mask);
    }
}

/// Class 1, field 30: the cookie of Nicira requests.
fn put_cookie(out: &mut Vec<u8>, value: u64, mask: u64) {
    if mask == u64::MAX {
        out.put(&[0, 1, 30 << 1, 8]);
        out.put64(value);
    } else {
        out.put(&[0, 1, 30 << 1 | 1, 16]);
        out.put64(value);
        out.put64(mask);
    }
}

impl Writer<'_> {
    fn raw(&mut self, f: Field, value: u128, mask: u128, all: u128) {
        let d = f.def();
        if mask & all == 0 {
            return;
        }
        if d.prereq != Prereq::None {
            self.implied_ethernet = true;
        }
        let mask = if mask & all == all { None } else { Some(mask & all) };
        put_int_entry(self.out, f, self.numbering, value, mask);
    }

    /// An entry with the mask that the match has; without one where all bits of the bytes are set.
    fn masked(&mut self, f: Field) {
        let (value, mask) = self.m.get(f);
        self.raw(f, value, mask, f.byte_mask());
    }

    /// An entry without a mask, where the match has any bit of the field.
    fn exact(&mut self, f: Field) {
        let (value, mask) = self.m.get(f);
        if mask != 0 {
            self.raw(f, value, u128::MAX, f.byte_mask());
        }
    }

    /// The bits of the mask stand for themselves as value and as mask.
    fn self_masked(&mut self, f: Field) {
        let (value, mask) = self.m.get(f);
        if mask != 0 {
            self.raw(f, value, value, f.byte_mask());
        }
    }

    fn before_link(&mut self) {
        if self.m.mask.packet_type_raw() != 0 && self.m.key.packet_type_raw() != 0 {
            self.exact(Field::PACKET_TYPE);
        }
        if self.words.meets(MARKS) {
            self.masked(Field::DP_HASH);
        }
        self.exact(Field::RECIRC_ID);
        if self.words.meets(MARKS) {
            self.exact(Field::CONJ_ID);
        }
        if self.m.mask.in_port_raw() != 0 {
            let port = self.m.key.in_port();
            match self.numbering {
                Numbering::Nxm => self.raw(Field::IN_PORT, u128::from(port.to_of10()), u128::MAX, 0xffff),
                Numbering::Oxm(_) => {
                    self.raw(Field::IN_PORT_OXM, u128::from(port.to_of11()), u128::MAX, 0xffff_ffff);
                }
            }
        }
        if self.m.mask.actset_output_raw() != 0 {
            let port = self.m.key.actset_output().to_of11();
            self.raw(Field::ACTSET_OUTPUT, u128::from(port), u128::MAX, 0xffff_ffff);
        }
    }

    fn link(&mut self) {
        self.masked(Field::ETH_SRC);
        self.masked(Field::ETH_DST);
        self.exact(Field::ETH_TYPE);
        let (tci, mask) = (self.m.key.vlan_tci(0), self.m.mask.vlan_tci(0));
        if mask == 0 {
            return;
        }
        if self.numbering == Numbering::Nxm {
            self.masked(Field::VLAN_TCI);
            return;
        }
        if tci == 0 && mask == 0xffff {
            self.raw(Field::VLAN_VID, 0, u128::MAX, 0xffff);
            return;
        }
        let vid = mask & 0x1fff;
        let all = if vid == 0x1fff { 0xffff } else { u128::from(vid) };
        self.raw(Field::VLAN_VID, u128::from(tci & 0x1fff), all, 0xffff);
        if mask & 0xe000 != 0 && tci & 0x1fff != 0 {
            self.raw(Field::VLAN_PCP, u128::from(tci >> 13), u128::MAX, 0xff);
        }
    }

    fn network(&mut self) {
        let (key, mask) = (&self.m.key, &self.m.mask);
        let by_packet_type = if mask.packet_type_raw() != 0 { key.packet_type().ethertype() } else { 0 };
        let eth_type = if by_packet_type != 0 {
            by_packet_type
        } else if mask.eth_type() != 0 {
            key.eth_type()
        } else {
            0
        };
        match eth_type {
            proto::ETH_IPV4 => {
                self.masked(Field::IP_SRC);
                self.masked(Field::IP_DST);
                self.ip(false);
            }
            proto::ETH_IPV6 => {
                self.masked(Field::IPV6_SRC);
                self.masked(Field::IPV6_DST);
                self.ip(true);
            }
            proto::ETH_ARP | proto::ETH_RARP => {
                if mask.nw_proto() != 0 {
                    self.raw(Field::ARP_OP, u128::from(key.nw_proto()), u128::MAX, 0xffff);
                }
                self.masked(Field::ARP_SPA);
                self.masked(Field::ARP_TPA);
                self.masked(Field::ARP_SHA);
                self.masked(Field::ARP_THA);
            }
            proto::ETH_MPLS | proto::ETH_MPLS_MCAST => {
                self.exact(Field::MPLS_TC);
                self.exact(Field::MPLS_BOS);
                self.exact(Field::MPLS_TTL);
                self.exact(Field::MPLS_LABEL);
            }
            _ => {}
        }
    }

    fn ip(&mut self, v6: bool) {
        let (key, mask) = (&self.m.key, &self.m.mask);
        let frag = mask.nw_frag() & 3;
        if frag != 0 {
            let m = if frag == 3 { 0xff } else { u128::from(frag) };
            self.raw(Field::IP_FRAG, u128::from(key.nw_frag() & 3), m, 0xff);
        }
        if mask.nw_tos() & 0xfc != 0 {
            match self.numbering {
                Numbering::Nxm => self.raw(Field::NW_TOS, u128::from(key.nw_tos() & 0xfc), u128::MAX, 0xff),
                Numbering::Oxm(_) => self.raw(Field::IP_DSCP, u128::from(key.nw_tos() >> 2), u128::MAX, 0xff),
            }
        }
        if mask.nw_tos() & 3 != 0 {
            self.raw(Field::NW_ECN, u128::from(key.nw_tos() & 3), u128::MAX, 0xff);
        }
        self.exact(Field::NW_TTL);
        let (label, label_mask) = self.m.get(Field::IPV6_LABEL);
        self.raw(Field::IPV6_LABEL, label, label_mask, 0xf_ffff);
        if mask.nw_proto() == 0 {
            return;
        }
        self.exact(Field::NW_PROTO);
        match (key.nw_proto(), v6) {
            (proto::IP_TCP, _) => {
                self.masked(Field::TCP_SRC);
                self.masked(Field::TCP_DST);
                self.masked(Field::TCP_FLAGS);
            }
            (proto::IP_UDP, _) => {
                self.masked(Field::UDP_SRC);
                self.masked(Field::UDP_DST);
            }
            (proto::IP_SCTP, _) => {
                self.masked(Field::SCTP_SRC);
                self.masked(Field::SCTP_DST);
            }
            (proto::IP_ICMP, false) => {
                self.exact(Field::ICMP_TYPE);
                self.exact(Field::ICMP_CODE);
            }
            (proto::IP_ICMPV6, true) => self.icmpv6(),
            _ => {}
        }
    }

    fn icmpv6(&mut self) {
        self.exact(Field::ICMPV6_TYPE);
        self.exact(Field::ICMPV6_CODE);
        let (key, mask) = (&self.m.key, &self.m.mask);
        if mask.tp_src() & 0xff == 0xff && matches!(key.tp_src(), 135 | 136) && key.tp_dst() == 0 {
            self.exact(Field::ND_RESERVED);
            self.masked(Field::ND_TARGET);
            self.exact(Field::ND_OPTIONS_TYPE);
            if key.tp_src() == 135 {
                self.masked(Field::ND_SLL);
            } else {
                self.masked(Field::ND_TLL);
            }
        }
    }

    fn nsh(&mut self) {
        for f in [Field::NSH_FLAGS, Field::NSH_TTL, Field::NSH_MDTYPE, Field::NSH_NP, Field::NSH_SPI, Field::NSH_SI] {
            if f == Field::NSH_FLAGS { self.masked(f) } else { self.exact(f) }
        }
        for f in [Field::NSH_C1, Field::NSH_C2, Field::NSH_C3, Field::NSH_C4] {
            self.masked(f);
        }
    }

    fn tunnel(&mut self) {
        for f in [
            Field::TUN_ID,
            Field::TUN_FLAGS,
            Field::TUN_SRC,
            Field::TUN_DST,
            Field::TUN_IPV6_SRC,
            Field::TUN_IPV6_DST,
            Field::TUN_GBP_ID,
            Field::TUN_GBP_FLAGS,
        ] {
            self.masked(f);
        }
        self.tun_metadata();
        self.masked(Field::TUN_ERSPAN_IDX);
        for f in [
            Field::TUN_ERSPAN_VER,
            Field::TUN_ERSPAN_DIR,
            Field::TUN_ERSPAN_HWID,
            Field::TUN_GTPU_FLAGS,
            Field::TUN_GTPU_MSGTYPE,
        ] {
            self.self_masked(f);
        }
    }

    fn tun_metadata(&mut self) {
        let present = self.m.mask.tun_md_present();
        for n in (0..64u8).filter(|n| present >> n & 1 != 0) {
            let Some(f) = Field::tun_metadata(n) else { continue };
            let Some(slot) = self.m.tun.as_deref().and_then(|t| t.slot(n)) else {
                put_entry(self.out, f, self.numbering, &FieldValue::Int(0), Some(&FieldValue::Int(0)), 0);
                continue;
            };
            let (value, mask) = (self.m.key.tun_md_value(slot), self.m.mask.tun_md_value(slot));
            let exact = !slot.masked && mask.iter().all(|b| *b == 0xff);
            let (value, mask) = (oxm::value_from(&value), oxm::value_from(&mask));
            put_entry(self.out, f, self.numbering, &value, (!exact).then_some(&mask), usize::from(slot.len));
        }
    }

    fn registers(&mut self) {
        let wide = self.numbering == Numbering::Oxm(Version::V15);
        for word in self.words.intersection(REGISTERS) {
            let n = (word - 10) as u8;
            let fields = if wide { [Field::xreg(n), None] } else { [Field::reg(2 * n), Field::reg(2 * n + 1)] };
            for f in fields.into_iter().flatten() {
                self.masked(f);
            }
        }
    }

    fn connection(&mut self) {
        self.masked(Field::CT_STATE);
        self.exact(Field::CT_ZONE);
        self.masked(Field::CT_MARK);
        self.masked(Field::CT_LABEL);
        self.masked(Field::CT_NW_SRC);
        self.masked(Field::CT_IPV6_SRC);
        self.masked(Field::CT_NW_DST);
        self.masked(Field::CT_IPV6_DST);
        if self.m.key.get(Field::CT_NW_PROTO) != 0 {
            self.exact(Field::CT_NW_PROTO);
            self.masked(Field::CT_TP_SRC);
            self.masked(Field::CT_TP_DST);
        }
    }
}

/// How a reader treats fields that it does not know or that lack their prerequisites.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strictness {
    /// Refuses them.
    Strict,
    /// Leaves out those that it does not know, and takes the others all the same.
    Loose,
    /// Takes metadata fields only, refusing others (packet-out of 1.5: `OFPBRC_PIPELINE_FIELDS_ONLY`).
    PipelineOnly,
}

/// Reads entries to the end of `data`.
pub fn take_entries(data: &[u8], strictness: Strictness, cookie: Option<&mut Cookie>) -> Result<Match, Error> {
    let mut m = Match::any();
    take_entries_into(&mut m, data, strictness, cookie)?;
    Ok(m)
}

/// Like [`take_entries`], adding to a match (which is big).
pub fn take_entries_into(
    m: &mut Match,
    data: &[u8],
    strictness: Strictness,
    cookie: Option<&mut Cookie>,
) -> Result<(), Error> {
    let mut cookie = cookie;
    let mut r = Reader::with_error(data, Error::BadMatchBadLen);
    while !r.is_empty() {
        if let Some(c) = cookie.as_deref_mut()
            && let Some(found) = take_cookie(&mut r)?
        {
            if c.1 != 0 {
                return Err(Error::BadMatchDupField);
            }
            *c = found;
            continue;
        }
        let entry = match oxm::take_entry(&mut r) {
            Ok(e) => e,
            Err(Error::BadMatchBadField) if strictness == Strictness::Loose => continue,
            Err(e) => return Err(e),
        };
        add_entry(m, &entry, strictness)?;
    }
    Ok(())
}

fn take_cookie(r: &mut Reader<'_>) -> Result<Option<Cookie>, Error> {
    match r.rest() {
        [0, 1, 0x3c, 8, ..] => {
            r.skip(4)?;
            Ok(Some((r.u64()?, u64::MAX)))
        }
        [0, 1, 0x3d, 16, ..] => {
            r.skip(4)?;
            let (value, mask) = (r.u64()?, r.u64()?);
            if value & !mask != 0 {
                return Err(Error::BadMatchBadWildcards);
            }
            Ok(Some((value, mask)))
        }
        _ => Ok(None),
    }
}

/// Adds one entry to a match, with the checks that the field table asks for.
fn add_entry(m: &mut Match, entry: &oxm::Entry, strictness: Strictness) -> Result<(), Error> {
    let f = entry.field;
    let tunnel_option = f.tun_metadata_index().is_some();
    let all = f.byte_mask();
    let mask = entry.mask.as_ref().map_or(all, FieldValue::low);
    let value = entry.value.low();
    if !tunnel_option && f.def().mask == MaskRule::Exact && mask != 0 && mask != all {
        return Err(Error::BadMatchBadMask);
    }
    if !tunnel_option && !value_valid(f, value) {
        return Err(Error::BadMatchBadValue);
    }
    if strictness != Strictness::Loose && !prereq_met(m, f) {
        return Err(Error::BadMatchBadPrereq);
    }
    let already = if tunnel_option { 0 } else { m.get(f).1 };
    // A field of Ethernet packets says what type the packet is.
    if f.def().prereq != Prereq::None && m.mask.packet_type_raw() == 0 {
        m.mask.set_packet_type_raw(u32::MAX);
    }
    if tunnel_option {
        return add_tun_metadata(m, entry);
    }
    // Registers lie in wider registers; what a packet is may be said before by a field that needs it to be that.
    if already != 0 {
        return Err(Error::BadMatchDupField);
    }
    let value = match f {
        Field::IN_PORT_OXM | Field::ACTSET_OUTPUT => {
            u128::from(flow::OfPort::from_of11(value as u32).ok_or(Error::BadMatchBadValue)?.0)
        }
        _ => value,
    };
    let mask = if f == Field::IN_PORT || f == Field::IN_PORT_OXM { u128::MAX } else { mask };
    m.set_bits(f, value, mask);
    Ok(())
}

fn add_tun_metadata(m: &mut Match, entry: &oxm::Entry) -> Result<(), Error> {
    let Some(n) = entry.field.tun_metadata_index() else { return Ok(()) };
    if m.mask.tun_md_present() >> n & 1 != 0 {
        return Err(Error::BadMatchDupField);
    }
    if entry.len == 0 {
        m.set_tun_metadata_present(n);
        return Ok(());
    }
    let len = entry.len;
    let tun = m.tun.get_or_insert_with(Default::default);
    let slot = tun.allocate(n, len).ok_or(Error::NxFlowModFailedInvalidTlvField)?;
    tun.set_masked(n, entry.mask.is_some());
    let bytes = |v: &FieldValue| {
        let mut out = Vec::with_capacity(usize::from(len));
        oxm::put_value(&mut out, v, usize::from(len));
        out
    };
    let value = bytes(&entry.value);
    let mask = entry.mask.as_ref().map_or_else(|| vec![0xff; usize::from(len)], bytes);
    m.key.set_tun_md_value(slot, &value);
    m.mask.set_tun_md_value(slot, &mask);
    m.set_tun_metadata_present(n);
    Ok(())
}

/// Whether a value is one that the field can have.
pub fn value_valid(f: Field, value: u128) -> bool {
    let within = |bits: u128| value & !bits == 0;
    match f {
        Field::IN_PORT_OXM | Field::ACTSET_OUTPUT => flow::OfPort::from_of11(value as u32).is_some(),
        Field::NW_TOS => within(0xfc),
        Field::IP_DSCP | Field::NSH_TTL => within(0x3f),
        Field::NW_ECN | Field::IP_FRAG => within(3),
        Field::TCP_FLAGS | Field::DL_VLAN => within(0xfff),
        Field::ARP_OP | Field::CT_STATE => within(0xff),
        Field::VLAN_VID => within(0x1fff),
        Field::VLAN_PCP | Field::DL_VLAN_PCP | Field::MPLS_TC => within(7),
        Field::IPV6_LABEL | Field::MPLS_LABEL => within(0xf_ffff),
        Field::MPLS_BOS | Field::TUN_FLAGS => within(1),
        Field::NSH_MDTYPE => value == 1 || value == 2,
        Field::NSH_SPI => within(0xff_ffff),
        _ => true,
    }
}

/// Whether the match meets a field's prerequisite.
pub fn prereq_met(m: &Match, f: Field) -> bool {
    if f.def().prereq == Prereq::None {
        return true;
    }
    let (key, mask) = (&m.key, &m.mask);
    let ethernet = mask.packet_type_raw() == 0 || key.packet_type_raw() == 0;
    let by_packet_type = if mask.packet_type_raw() != 0 { key.packet_type().ethertype() } else { 0 };
    let eth_type = if by_packet_type != 0 {
        by_packet_type
    } else if mask.eth_type() == 0xffff {
        key.eth_type()
    } else {
        0
    };
    let (v4, v6) = (eth_type == proto::ETH_IPV4, eth_type == proto::ETH_IPV6);
    let nw_proto = if mask.nw_proto() == 0xff { Some(key.nw_proto()) } else { None };
    let first = mask.nw_frag() & 2 == 0 || key.nw_frag() & 2 == 0;
    let l4 = |p: u8| (v4 || v6) && nw_proto == Some(p) && first;
    let icmp6 = v6 && nw_proto == Some(proto::IP_ICMPV6);
    let nd_type = |t: u16| icmp6 && mask.tp_src() & 0xff == 0xff && key.tp_src() == t && key.tp_dst() == 0;
    match f.def().prereq {
        Prereq::None => true,
        Prereq::Ethernet => ethernet,
        Prereq::Arp => matches!(eth_type, proto::ETH_ARP | proto::ETH_RARP),
        Prereq::VlanVid => ethernet && mask.vlan_tci(0) & 0x1000 != 0 && key.vlan_tci(0) & 0x1000 != 0,
        Prereq::Ipv4 => v4,
        Prereq::Ipv6 => v6,
        Prereq::IpAny => v4 || v6,
        Prereq::Mpls => matches!(eth_type, proto::ETH_MPLS | proto::ETH_MPLS_MCAST),
        Prereq::Nsh => eth_type == proto::ETH_NSH,
        Prereq::Ct => ct_prereq(m),
        Prereq::Tcp => l4(proto::IP_TCP),
        Prereq::Udp => l4(proto::IP_UDP),
        Prereq::Sctp => l4(proto::IP_SCTP),
        Prereq::Icmp4 => v4 && nw_proto == Some(proto::IP_ICMP),
        Prereq::Icmp6 => icmp6,
        Prereq::Nd => nd_type(135) || nd_type(136),
        Prereq::NdSolicit => nd_type(135),
        Prereq::NdAdvert => nd_type(136),
    }
}

fn ct_prereq(m: &Match) -> bool {
    let (state, mask) = (m.key.ct_state(), m.mask.ct_state());
    let settled = flow::key::CS_NEW
        | flow::key::CS_EST
        | flow::key::CS_REL
        | flow::key::CS_RPL
        | flow::key::CS_SNAT
        | flow::key::CS_DNAT;
    let valid = mask & flow::key::CS_INV != 0 && state & flow::key::CS_INV == 0;
    state & mask & settled != 0 || (state & mask & flow::key::CS_TRK != 0 && valid)
}

/// Appends an OXM match block: type 1, length without padding, entries, zeros to a multiple of 8.
pub fn put_block(out: &mut Vec<u8>, m: &Match, version: Version) {
    let start = out.len();
    out.put16(1);
    out.put16(0);
    put_entries(out, m, Numbering::of(version), None);
    let len = out.len() - start;
    out.set16(start + 2, len as u16);
    out.pad8(start);
}

/// Reads an OXM match block with its padding.
pub fn take_block(r: &mut Reader<'_>, strictness: Strictness) -> Result<Match, Error> {
    let mut m = Match::any();
    // Where nothing but a list of fields may stand, a length that cannot be goes before a type that is another's.
    let mut head = Reader::with_error(r.rest(), Error::BadMatchBadLen);
    head.skip(2)?;
    if head.u16()? < 4 {
        return Err(Error::BadMatchBadLen);
    }
    take_block_into(&mut m, r, strictness)?;
    Ok(m)
}

/// Like [`take_block`], adding to a match.
pub fn take_block_into(m: &mut Match, r: &mut Reader<'_>, strictness: Strictness) -> Result<(), Error> {
    let mut head = Reader::with_error(r.rest(), Error::BadMatchBadLen);
    let (ty, len) = (head.u16()?, usize::from(head.u16()?));
    if ty != 1 {
        return Err(Error::BadMatchBadType);
    }
    if len < 4 || round8(len) > r.len() {
        return Err(Error::BadMatchBadLen);
    }
    let block = r.take(round8(len))?;
    take_entries_into(m, block.get(4..len).unwrap_or(&[]), strictness, None)
}
