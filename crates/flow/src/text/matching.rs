//! Matches: `tcp,nw_src=10.0.0.0/8,in_port=1`.

use super::{ParseContext, Style, flags, number, put_color, put_port, value};
use crate::extract::number as proto;
use crate::field::{Field, FieldValue, Format, Prereq};
use crate::key::{FlowKey, VLAN_CFI, VLAN_PCP_MASK, VLAN_VID_MASK};
use crate::matching::Match;
use crate::mini::{MiniMatch, WordMap};
use crate::tunnel::{TUN_MD_WORD, TunAlloc};

/// The Ethernet type and IP protocol (0 for none) that a keyword stands for.
fn keyword(word: &str) -> Option<(u16, u8)> {
    Some(match word {
        "eth" => (0, 0),
        "ip" | "ipv4" | "ip4" => (proto::ETH_IPV4, 0),
        "arp" => (proto::ETH_ARP, 0),
        "icmp" => (proto::ETH_IPV4, proto::IP_ICMP),
        "tcp" => (proto::ETH_IPV4, proto::IP_TCP),
        "udp" => (proto::ETH_IPV4, proto::IP_UDP),
        "sctp" => (proto::ETH_IPV4, proto::IP_SCTP),
        "ipv6" | "ip6" => (proto::ETH_IPV6, 0),
        "icmp6" => (proto::ETH_IPV6, proto::IP_ICMPV6),
        "tcp6" => (proto::ETH_IPV6, proto::IP_TCP),
        "udp6" => (proto::ETH_IPV6, proto::IP_UDP),
        "sctp6" => (proto::ETH_IPV6, proto::IP_SCTP),
        "rarp" => (proto::ETH_RARP, 0),
        "mpls" => (proto::ETH_MPLS, 0),
        "mplsm" => (proto::ETH_MPLS_MCAST, 0),
        _ => return None,
    })
}

/// Applies a protocol keyword such as `tcp6`; false if `word` is none.
pub fn set_protocol_keyword(m: &mut Match, word: &str) -> bool {
    let Some((eth_type, nw_proto)) = keyword(word) else { return false };
    if eth_type != 0 {
        m.set(Field::ETH_TYPE, u128::from(eth_type));
    }
    if nw_proto != 0 {
        m.set(Field::NW_PROTO, u128::from(nw_proto));
    }
    if m.mask.packet_type_raw() == 0 {
        m.mask.set_packet_type_raw(u32::MAX);
    }
    true
}

/// Reads a match, as the filters of dumps take it.
///
/// # Errors
/// One line that says what is wrong.
pub fn parse_match(s: &str) -> Result<Match, String> {
    let mut m = Match::any();
    let mut cx = ParseContext::new(None);
    for (name, value) in super::split_key_values(s) {
        if value.is_empty() && set_protocol_keyword(&mut m, name) {
            continue;
        }
        let field = Field::from_name(name).ok_or_else(|| format!("unknown field {name}"))?;
        parse_field(&mut cx, field, value, &mut m)?;
    }
    Ok(m)
}

impl Match {
    /// Matches `value` under `mask` in `field`, which may be a tunnel metadata field.
    ///
    /// Fields that only Ethernet packets have also match on the packet type Ethernet if nothing else was said.
    pub fn set_value(&mut self, field: Field, value: &FieldValue, mask: &FieldValue) -> Result<(), String> {
        if let Some(n) = field.tun_metadata_index() {
            return self.set_tun_metadata(n, value, mask);
        }
        self.set_bits(field, value.low(), mask.low());
        Ok(())
    }

    /// Like [`Match::set_value`], for a field that is not tunnel metadata; nothing happens for one that is.
    pub fn set_bits(&mut self, field: Field, value: u128, mask: u128) {
        let mask = mask & field.exact_mask();
        match field {
            Field::DL_VLAN if value & 0xffff == 0xffff => {
                self.key.set_vlan_tci(0, 0);
                self.mask.set_vlan_tci(0, 0xffff);
            }
            Field::ICMP_TYPE | Field::ICMPV6_TYPE if mask == 0xff => {
                self.set_masked(field, value, mask);
                self.mask.set_tp_src(u16::MAX);
                self.key.set_tp_src(value as u16 & 0xff);
            }
            Field::ICMP_CODE | Field::ICMPV6_CODE if mask == 0xff => {
                self.set_masked(field, value, mask);
                self.mask.set_tp_dst(u16::MAX);
                self.key.set_tp_dst(value as u16 & 0xff);
            }
            // The two lowest bits are another field's.
            Field::NW_TOS => self.set_masked(Field::IP_DSCP, value >> 2, mask >> 2),
            // It shares the bits of the TCP flags: a flow matches all of them, a packet has but these.
            Field::ND_OPTIONS_TYPE if mask == 0xff => {
                self.mask.set_tcp_flags(u16::MAX);
                self.key.set_tcp_flags(value as u16 & 0xff);
            }
            Field::IN_PORT | Field::IN_PORT_OXM if mask != 0 => self.set_in_port(crate::OfPort(value as u32)),
            _ => self.set_masked(field, value, mask),
        }
    }

    fn set_tun_metadata(&mut self, n: u8, value: &FieldValue, mask: &FieldValue) -> Result<(), String> {
        let bytes = |v: &FieldValue| match v {
            FieldValue::Int(x) => x.to_be_bytes().to_vec(),
            FieldValue::Wide(b) => b.to_vec(),
        };
        let (v, m) = (bytes(value), bytes(mask));
        let significant = |b: &[u8]| b.len() - b.iter().position(|x| *x != 0).unwrap_or(b.len());
        let full = m.iter().all(|b| *b == 0xff);
        let len = if full { significant(&v) } else { significant(&m).max(significant(&v)) };
        let len = len.max(1) as u8;
        let present = self.mask.tun_md_present();
        if present >> n & 1 != 0 {
            return Err(format!("field tun_metadata{n} set multiple times"));
        }
        let tun = self.tun.get_or_insert_with(|| Box::new(TunAlloc::default()));
        let slot = tun.allocate(n, len).ok_or_else(|| format!("no space for field tun_metadata{n}"))?;
        tun.set_masked(n, !full);
        let mask_bytes: Vec<u8> = if full { vec![0xff; usize::from(len)] } else { m };
        let pad = |b: &[u8]| {
            let mut out = vec![0u8; usize::from(len)];
            let take = b.len().min(out.len());
            let at = out.len() - take;
            out[at..].copy_from_slice(&b[b.len() - take..]);
            out
        };
        let mask_bytes = pad(&mask_bytes);
        let value_bytes: Vec<u8> = pad(&v).iter().zip(&mask_bytes).map(|(a, b)| a & b).collect();
        self.mask.set_tun_md_value(slot, &mask_bytes);
        self.key.set_tun_md_value(slot, &value_bytes);
        self.mask.set_tun_md_present(present | 1 << n);
        self.key.set_tun_md_present(self.key.tun_md_present() | 1 << n);
        Ok(())
    }

    /// Matches on the presence of a tunnel metadata field only.
    pub fn set_tun_metadata_present(&mut self, n: u8) {
        let bit = 1u64.checked_shl(u32::from(n)).unwrap_or(0);
        self.mask.set_tun_md_present(self.mask.tun_md_present() | bit);
        self.key.set_tun_md_present(self.key.tun_md_present() | bit);
    }
}

/// Parses the value of one field and adds it to the match. Returns the mask that was given.
pub fn parse_field(cx: &mut ParseContext<'_>, field: Field, s: &str, m: &mut Match) -> Result<u128, String> {
    if (s.is_empty() || s == "*")
        && let Some(n) = field.tun_metadata_index()
    {
        m.set_tun_metadata_present(n);
        return Ok(u128::MAX);
    }
    match value::parse_value(cx, field, s)? {
        None if s.is_empty() => match field {
            Field::IN_PORT => Err("0/0: invalid or unknown port for in_port".to_string()),
            Field::IN_PORT_OXM | Field::ACTSET_OUTPUT => {
                Err(format!("0/0: port value out of range for {}", field.name()))
            }
            // Nothing stands for `0/0`, which is no value of these.
            f => match f.def().format {
                Format::Ipv4 => Err("0/0: invalid IP address".to_string()),
                Format::Ipv6 => Err("0/0: invalid IPv6 address".to_string()),
                Format::Ethernet => Err("0/0: invalid Ethernet address".to_string()),
                Format::Frag | Format::PacketType => value::parse_value(cx, f, "0/0").map(|_| 0),
                _ => Ok(0),
            },
        },
        Some((v, mask)) => {
            m.set_value(field, &v, &mask)?;
            // A field of Ethernet packets says what type the packet is, even where it is dropped for want of others.
            if !matches!(field.def().prereq, Prereq::None | Prereq::Ct) && m.mask.packet_type_raw() == 0 {
                m.mask.set_packet_type_raw(u32::MAX);
            }
            Ok(mask.low() & if field.tun_metadata_index().is_some() { u128::MAX } else { field.byte_mask() })
        }
        None => Ok(0),
    }
}

struct Printer<'a, 's> {
    out: &'a mut String,
    style: &'a Style<'s>,
    key: &'a FlowKey,
    mask: &'a FlowKey,
    /// Words that the mask has.
    words: WordMap,
}

// Words that groups of fields lie in: a group of which a match says nothing is passed over as a whole.
const TUNNEL: WordMap = WordMap::range(1, 9);
const REGISTERS: WordMap = WordMap::range(10, 25);
const MARKS: WordMap = WordMap::range(27, 28);
const CONNECTION: WordMap = WordMap::range(29, 37);
const LINK: WordMap = WordMap::range(39, 41);
const MPLS: WordMap = WordMap::range(42, 43);
const NETWORK: WordMap = WordMap::range(44, 53);
const NSH: WordMap = WordMap::range(54, 56);
const TUNNEL_METADATA: WordMap = WordMap::range(TUN_MD_WORD - 1, crate::key::WORDS - 1);

/// Appends a match. `priority` is printed unless it is the default, 0x8000. Nothing is appended for a match of
/// everything.
pub fn format_match(out: &mut String, style: &Style<'_>, m: &Match, priority: u16) {
    format_words(out, style, m, WordMap::of(&m.mask), priority);
}

/// Like [`format_match`], of a sparse match.
pub fn format_mini_match(out: &mut String, style: &Style<'_>, m: &MiniMatch, priority: u16) {
    format_words(out, style, &m.expand(), m.map(), priority);
}

fn format_words(out: &mut String, style: &Style<'_>, m: &Match, words: WordMap, priority: u16) {
    let start = out.len();
    let mut p = Printer { out, style, key: &m.key, mask: &m.mask, words };
    if priority != 0x8000 {
        p.name("priority");
        number::put_dec(p.out, u64::from(priority));
        p.comma();
    }
    p.metadata_before();
    let eth_type = p.protocol();
    if words.meets(REGISTERS) {
        p.registers();
    }
    if words.meets(TUNNEL) {
        p.tunnel();
    }
    if words.meets(TUNNEL_METADATA) {
        p.tun_metadata(m.tun.as_deref());
    }
    p.hex("metadata", Field::METADATA);
    if p.mask.in_port_raw() != 0 {
        p.name("in_port");
        put_port(p.out, p.style, p.key.in_port());
        p.comma();
    }
    if words.meets(LINK) {
        p.ethernet();
    }
    p.network(eth_type);
    p.transport(eth_type);
    if out.len() > start && out.ends_with(',') {
        out.pop();
    }
}

impl Printer<'_, '_> {
    fn name(&mut self, name: &str) {
        put_color(self.out, &self.style.colors.param);
        self.out.push_str(name);
        self.out.push('=');
        put_color(self.out, &self.style.colors.end);
    }

    fn comma(&mut self) {
        self.out.push(',');
    }

    fn value_of(&self, f: Field) -> (u128, u128) {
        (self.key.get(f), self.mask.get(f))
    }

    /// `name=0x…` or `name=0x…/0x…`.
    fn hex(&mut self, name: &str, f: Field) {
        let (v, m) = self.value_of(f);
        if m == 0 {
            return;
        }
        self.name(name);
        number::put_alt_hex(self.out, v);
        if m != f.exact_mask() {
            self.out.push('/');
            number::put_alt_hex(self.out, m);
        }
        self.comma();
    }

    /// `name=N` or `name=0x…/0x…`.
    fn dec(&mut self, name: &str, f: Field) {
        let (v, m) = self.value_of(f);
        if m == 0 {
            return;
        }
        self.name(name);
        if m == f.exact_mask() {
            number::put_dec(self.out, v as u64);
        } else {
            self.out.push_str("0x");
            number::put_hex_digits(self.out, v, 1);
            self.out.push('/');
            number::put_alt_hex(self.out, m);
        }
        self.comma();
    }

    /// `name=N`, whatever the mask.
    fn plain_dec(&mut self, name: &str, f: Field) {
        let (v, m) = self.value_of(f);
        if m != 0 {
            self.name(name);
            number::put_dec(self.out, v as u64);
            self.comma();
        }
    }

    /// `name=0x…`, whatever the mask.
    fn plain_hex(&mut self, name: &str, f: Field) {
        let (v, m) = self.value_of(f);
        if m != 0 {
            self.name(name);
            number::put_alt_hex(self.out, v);
            self.comma();
        }
    }

    fn ipv4(&mut self, name: &str, f: Field) {
        let (v, m) = self.value_of(f);
        if m != 0 {
            self.name(name);
            value::put_ipv4(self.out, v as u32, m as u32);
            self.comma();
        }
    }

    fn ipv6(&mut self, name: &str, f: Field) {
        let (v, m) = self.value_of(f);
        if m != 0 {
            self.name(name);
            value::put_ipv6(self.out, v, m);
            self.comma();
        }
    }

    fn eth(&mut self, name: &str, f: Field) {
        let (v, m) = self.value_of(f);
        if m != 0 {
            self.name(name);
            value::put_ethernet(self.out, v as u64, m as u64);
            self.comma();
        }
    }

    fn metadata_before(&mut self) {
        if self.words.meets(MARKS) {
            self.hex("pkt_mark", Field::PKT_MARK);
        }
        if self.mask.recirc_id() != 0 {
            self.hex("recirc_id", Field::RECIRC_ID);
        }
        if self.words.meets(MARKS) {
            self.hex("dp_hash", Field::DP_HASH);
            self.dec("conj_id", Field::CONJ_ID);
            self.hex("skb_priority", Field::SKB_PRIORITY);
        }
        if self.mask.actset_output_raw() != 0 {
            self.name("actset_output");
            put_port(self.out, self.style, self.key.actset_output());
            self.comma();
        }
        if self.words.meets(CONNECTION) {
            self.connection();
        }
    }

    fn connection(&mut self) {
        if self.mask.ct_state() != 0 {
            self.name("ct_state");
            let (v, m) = (u32::from(self.key.ct_state()), u32::from(self.mask.ct_state()));
            if m & 0xff == 0xff {
                flags::put_joined(self.out, v, flags::CT_STATE);
            } else {
                flags::put_signed(self.out, v, m, flags::CT_STATE);
            }
            self.comma();
        }
        self.dec("ct_zone", Field::CT_ZONE);
        self.hex("ct_mark", Field::CT_MARK);
        self.hex("ct_label", Field::CT_LABEL);
        self.ipv4("ct_nw_src", Field::CT_NW_SRC);
        self.ipv6("ct_ipv6_src", Field::CT_IPV6_SRC);
        self.ipv4("ct_nw_dst", Field::CT_NW_DST);
        self.ipv6("ct_ipv6_dst", Field::CT_IPV6_DST);
        self.dec("ct_nw_proto", Field::CT_NW_PROTO);
        if self.mask.get(Field::CT_NW_PROTO) != 0 {
            self.dec("ct_tp_src", Field::CT_TP_SRC);
            self.dec("ct_tp_dst", Field::CT_TP_DST);
        }
    }

    /// Prints packet type or the keyword of the protocol; returns the Ethernet type that decides names of other
    /// fields.
    fn protocol(&mut self) -> u16 {
        let packet_type = self.key.packet_type();
        if self.mask.packet_type_raw() != 0 && packet_type.0 != 0 {
            self.name("packet_type");
            self.out.push_str(&packet_type.to_string());
            self.comma();
            if packet_type.ns() != 1 {
                return 0;
            }
            if self.mask.eth_type() == 0 || self.mask.recirc_id() == 0 {
                return packet_type.ns_type();
            }
            return self.keyword();
        }
        // A flow of the datapath (they alone match on the recirculation id) says that it is Ethernet.
        if self.mask.packet_type_raw() != 0 && self.mask.recirc_id() != 0 {
            self.word("eth");
        }
        if self.mask.eth_type() == 0 {
            return 0;
        }
        self.keyword()
    }

    /// The keyword for the Ethernet type, with the IP protocol where one is matched; gives the type.
    fn keyword(&mut self) -> u16 {
        let eth_type = self.key.eth_type();
        let known_proto = self.mask.nw_proto() == 0xff;
        let word = match (eth_type, if known_proto { self.key.nw_proto() } else { 0 }) {
            (proto::ETH_IPV4, proto::IP_ICMP) => "icmp",
            (proto::ETH_IPV4, proto::IP_TCP) => "tcp",
            (proto::ETH_IPV4, proto::IP_UDP) => "udp",
            (proto::ETH_IPV4, proto::IP_SCTP) => "sctp",
            (proto::ETH_IPV6, proto::IP_ICMPV6) => "icmp6",
            (proto::ETH_IPV6, proto::IP_TCP) => "tcp6",
            (proto::ETH_IPV6, proto::IP_UDP) => "udp6",
            (proto::ETH_IPV6, proto::IP_SCTP) => "sctp6",
            (proto::ETH_IPV4, _) => "ip",
            (proto::ETH_IPV6, _) => "ipv6",
            (proto::ETH_ARP, _) => "arp",
            (proto::ETH_RARP, _) => "rarp",
            (proto::ETH_MPLS, _) => "mpls",
            (proto::ETH_MPLS_MCAST, _) => "mplsm",
            _ => return eth_type,
        };
        self.word(word);
        eth_type
    }

    fn word(&mut self, word: &str) {
        put_color(self.out, &self.style.colors.value);
        self.out.push_str(word);
        put_color(self.out, &self.style.colors.end);
        self.comma();
    }

    fn registers(&mut self) {
        for word in self.words.intersection(REGISTERS) {
            for n in [2 * (word - 10), 2 * (word - 10) + 1] {
                if let Some(f) = Field::reg(n as u8) {
                    self.hex(f.name(), f);
                }
            }
        }
    }

    fn tunnel(&mut self) {
        self.hex("tun_id", Field::TUN_ID);
        self.ipv4("tun_src", Field::TUN_SRC);
        self.ipv4("tun_dst", Field::TUN_DST);
        self.ipv6("tun_ipv6_src", Field::TUN_IPV6_SRC);
        self.ipv6("tun_ipv6_dst", Field::TUN_IPV6_DST);
        self.dec("tun_gbp_id", Field::TUN_GBP_ID);
        self.hex("tun_gbp_flags", Field::TUN_GBP_FLAGS);
        self.dec("tun_tos", Field::TUN_TOS);
        self.dec("tun_ttl", Field::TUN_TTL);
        self.plain_dec("tun_erspan_ver", Field::TUN_ERSPAN_VER);
        match self.key.tun_erspan_ver() {
            1 => self.hex("tun_erspan_idx", Field::TUN_ERSPAN_IDX),
            2 => {
                self.plain_dec("tun_erspan_dir", Field::TUN_ERSPAN_DIR);
                self.plain_hex("tun_erspan_hwid", Field::TUN_ERSPAN_HWID);
            }
            _ => {}
        }
        self.plain_hex("gtpu_flags", Field::TUN_GTPU_FLAGS);
        self.plain_dec("gtpu_msgtype", Field::TUN_GTPU_MSGTYPE);
        let m = u32::from(self.mask.tun_flags()) & 0xf;
        if m != 0 {
            self.name("tun_flags");
            let value = u32::from(self.key.tun_flags());
            if self.mask.tun_flags() == u16::MAX {
                flags::put_joined(self.out, value, flags::TUNNEL_ALL);
            } else {
                flags::put_signed(self.out, value, m, flags::TUNNEL_ALL);
            }
            self.comma();
        }
    }

    fn tun_metadata(&mut self, alloc: Option<&TunAlloc>) {
        let present = self.mask.tun_md_present();
        if present == 0 && (TUN_MD_WORD..TUN_MD_WORD + 32).all(|w| self.mask.word(w) == 0) {
            return;
        }
        for n in (0..64u8).filter(|n| present >> n & 1 != 0) {
            self.out.push_str(&self.style.colors.param);
            self.out.push_str("tun_metadata");
            number::put_dec(self.out, u64::from(n));
            self.out.push_str(&self.style.colors.end);
            if let Some(slot) = alloc.and_then(|a| a.slot(n)) {
                let m = self.mask.tun_md_value(slot);
                if m.iter().any(|b| *b != 0) {
                    let v = self.key.tun_md_value(slot);
                    self.out.push('=');
                    put_trimmed(self.out, &v);
                    // A mask of whole bytes up to the last says no more than the value.
                    if slot.masked && m.iter().skip_while(|b| **b == 0).any(|b| *b != 0xff) {
                        self.out.push('/');
                        put_trimmed(self.out, &m);
                    }
                }
            }
            self.comma();
        }
    }

    fn ethernet(&mut self) {
        self.vlan(0, "");
        self.vlan(1, "1");
        self.eth("dl_src", Field::ETH_SRC);
        self.eth("dl_dst", Field::ETH_DST);
    }

    /// Tag `n`, whose fields have `suffix` after their names.
    fn vlan(&mut self, n: usize, suffix: &str) {
        let (tci, mask) = (self.key.vlan_tci(n), self.mask.vlan_tci(n));
        if mask == 0 {
            return;
        }
        let (vid, pcp) = (mask & VLAN_VID_MASK, mask & VLAN_PCP_MASK);
        let whole = |m: u16, all: u16| m == 0 || m == all;
        if mask & VLAN_CFI != 0
            && tci & VLAN_CFI != 0
            && whole(vid, VLAN_VID_MASK)
            && whole(pcp, VLAN_PCP_MASK)
            && (vid != 0 || pcp != 0)
        {
            if vid != 0 {
                self.name(&format!("dl_vlan{suffix}"));
                number::put_dec(self.out, u64::from(tci & VLAN_VID_MASK));
                self.comma();
            }
            if pcp != 0 {
                self.name(&format!("dl_vlan_pcp{suffix}"));
                number::put_dec(self.out, u64::from(tci >> 13));
                self.comma();
            }
        } else {
            self.name(&format!("vlan_tci{suffix}"));
            number::put_hex(self.out, u128::from(tci), 4);
            if mask != u16::MAX {
                self.out.push('/');
                number::put_hex(self.out, u128::from(mask), 4);
            }
            self.comma();
        }
    }

    fn network(&mut self, eth_type: u16) {
        let known = matches!(
            eth_type,
            proto::ETH_IPV4
                | proto::ETH_IPV6
                | proto::ETH_ARP
                | proto::ETH_RARP
                | proto::ETH_MPLS
                | proto::ETH_MPLS_MCAST
        );
        if !known && self.mask.eth_type() != 0 {
            self.name("dl_type");
            number::put_hex(self.out, u128::from(self.key.eth_type()), 4);
            self.comma();
        }
        if self.words.meets(NSH) {
            self.nsh();
        }
        if self.words.meets(NETWORK) {
            self.addresses(eth_type);
        }
        if self.words.meets(MPLS) {
            self.mpls();
        }
        if self.mask.nw_frag() & 3 != 0 {
            self.name("nw_frag");
            value::put_frag(self.out, self.key.nw_frag(), self.mask.nw_frag());
            self.comma();
        }
    }

    /// Addresses, and what headers of IP and ARP say besides.
    fn addresses(&mut self, eth_type: u16) {
        match eth_type {
            proto::ETH_IPV6 => {
                self.ipv6("ipv6_src", Field::IPV6_SRC);
                self.ipv6("ipv6_dst", Field::IPV6_DST);
                if self.mask.ipv6_label() != 0 {
                    self.name("ipv6_label");
                    number::put_hex(self.out, u128::from(self.key.ipv6_label()), 5);
                    if self.mask.ipv6_label() != u32::MAX {
                        self.out.push('/');
                        number::put_hex(self.out, u128::from(self.mask.ipv6_label()), 5);
                    }
                    self.comma();
                }
            }
            proto::ETH_ARP | proto::ETH_RARP => {
                self.ipv4("arp_spa", Field::ARP_SPA);
                self.ipv4("arp_tpa", Field::ARP_TPA);
            }
            _ => {
                self.ipv4("nw_src", Field::IP_SRC);
                self.ipv4("nw_dst", Field::IP_DST);
            }
        }
        self.protocol_number(eth_type);
        if matches!(eth_type, proto::ETH_ARP | proto::ETH_RARP) {
            self.eth("arp_sha", Field::ARP_SHA);
            self.eth("arp_tha", Field::ARP_THA);
        }
        if self.mask.nw_tos() & 0xfc != 0 {
            self.name("nw_tos");
            number::put_dec(self.out, u64::from(self.key.nw_tos() & 0xfc));
            self.comma();
        }
        self.dec("nw_ecn", Field::NW_ECN);
        self.dec("nw_ttl", Field::NW_TTL);
    }

    fn mpls(&mut self) {
        self.dec("mpls_label", Field::MPLS_LABEL);
        self.dec("mpls_tc", Field::MPLS_TC);
        self.dec("mpls_ttl", Field::MPLS_TTL);
        self.dec("mpls_bos", Field::MPLS_BOS);
        for n in 1..3 {
            let (value, mask) = (self.key.mpls_lse(n), self.mask.mpls_lse(n));
            if mask == 0 {
                continue;
            }
            self.name(&format!("mpls_lse{n}"));
            if mask == u32::MAX {
                number::put_dec(self.out, value.into());
            } else {
                self.out.push_str(&format!("0x{value:08x}/0x{mask:08x}"));
            }
            self.comma();
        }
    }

    /// The IP protocol where no keyword says it, or the operation of ARP.
    fn protocol_number(&mut self, eth_type: u16) {
        if self.mask.nw_proto() == 0 {
            return;
        }
        if matches!(eth_type, proto::ETH_ARP | proto::ETH_RARP) {
            self.dec("arp_op", Field::NW_PROTO);
            return;
        }
        let by_packet_type = self.mask.packet_type_raw() != 0 && self.key.packet_type_raw() != 0;
        let said = !by_packet_type
            && self.mask.eth_type() != 0
            && match eth_type {
                proto::ETH_IPV4 => {
                    matches!(self.key.nw_proto(), proto::IP_ICMP | proto::IP_TCP | proto::IP_UDP | proto::IP_SCTP)
                }
                proto::ETH_IPV6 => {
                    matches!(self.key.nw_proto(), proto::IP_ICMPV6 | proto::IP_TCP | proto::IP_UDP | proto::IP_SCTP)
                }
                _ => false,
            };
        if !said {
            self.dec("nw_proto", Field::NW_PROTO);
        }
    }

    fn nsh(&mut self) {
        self.nsh_flags();
        self.dec("nsh_ttl", Field::NSH_TTL);
        self.dec("nsh_mdtype", Field::NSH_MDTYPE);
        self.dec("nsh_np", Field::NSH_NP);
        self.hex_of_zero("nsh_spi", Field::NSH_SPI);
        self.dec("nsh_si", Field::NSH_SI);
        // Context headers are those of the first type of metadata.
        if self.key.get(Field::NSH_MDTYPE) == 1 {
            self.hex_of_zero("nsh_c1", Field::NSH_C1);
            self.hex_of_zero("nsh_c2", Field::NSH_C2);
            self.hex_of_zero("nsh_c3", Field::NSH_C3);
            self.hex_of_zero("nsh_c4", Field::NSH_C4);
        }
    }

    fn nsh_flags(&mut self) {
        let (v, m) = self.value_of(Field::NSH_FLAGS);
        if m == 0xff {
            self.dec("nsh_flags", Field::NSH_FLAGS);
        } else if m != 0 {
            self.name("nsh_flags");
            number::put_hex(self.out, v, 2);
            self.out.push('/');
            number::put_hex(self.out, m, 2);
            self.comma();
        }
    }

    /// `name=0x…` or `name=0x…/0x…`, `0x0` for zero.
    fn hex_of_zero(&mut self, name: &str, f: Field) {
        let (v, m) = self.value_of(f);
        if m == 0 {
            return;
        }
        self.name(name);
        number::put_hex(self.out, v, 1);
        if m != f.exact_mask() {
            self.out.push('/');
            number::put_hex(self.out, m, 1);
        }
        self.comma();
    }

    fn transport(&mut self, eth_type: u16) {
        let nw_proto = self.key.nw_proto();
        match (eth_type, nw_proto) {
            (proto::ETH_IPV4, proto::IP_ICMP) => {
                self.icmp("icmp_type", Field::TCP_SRC);
                self.icmp("icmp_code", Field::TCP_DST);
            }
            (proto::ETH_IPV6, proto::IP_ICMPV6) => {
                self.icmp("icmp_type", Field::TCP_SRC);
                self.icmp("icmp_code", Field::TCP_DST);
                self.ipv6("nd_target", Field::ND_TARGET);
                self.eth("nd_sll", Field::ND_SLL);
                self.eth("nd_tll", Field::ND_TLL);
                self.dec("nd_reserved", Field::ND_RESERVED);
                let (value, mask) = self.value_of(Field::ND_OPTIONS_TYPE);
                if self.mask.tcp_flags() == u16::MAX {
                    self.name("nd_options_type");
                    number::put_dec(self.out, value as u64);
                    self.comma();
                } else if mask != 0 {
                    self.name("nd_options_type");
                    self.out.push_str(&format!("{value:#x}/{mask:#x}"));
                    self.comma();
                }
                return;
            }
            _ => {
                self.dec("tp_src", Field::TCP_SRC);
                self.dec("tp_dst", Field::TCP_DST);
            }
        }
        if self.mask.tcp_flags() != 0 && nw_proto == proto::IP_TCP {
            self.name("tcp_flags");
            let (v, m) = (u32::from(self.key.tcp_flags()), u32::from(self.mask.tcp_flags()));
            if m & 0xfff == 0xfff {
                flags::put_joined(self.out, v, flags::TCP);
            } else {
                flags::put_signed(self.out, v, m, flags::TCP);
            }
            self.comma();
        }
    }

    fn icmp(&mut self, name: &str, f: Field) {
        self.dec(name, f);
    }
}

fn put_trimmed(out: &mut String, bytes: &[u8]) {
    let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
    if start == bytes.len() {
        out.push('0');
        return;
    }
    out.push_str("0x");
    for (i, b) in bytes.iter().enumerate().skip(start) {
        number::put_hex_digits(out, u128::from(*b), if i == start { 1 } else { 2 });
    }
}

impl std::fmt::Display for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut s = String::new();
        format_match(&mut s, &Style::default(), self, 0x8000);
        f.write_str(&s)
    }
}
