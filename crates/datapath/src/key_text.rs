//! Text of flow keys, as `dpctl/dump-flows` prints and `dpctl/add-flow` reads it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use flow::key::{FRAG_ANY, FRAG_LATER, VLAN_CFI};
use flow::{DpPort, FlowKey, FlowMask, PacketType};
use wire::EthAddr;
use wire::layers::{ethertype, ip_proto, is_mpls, is_vlan};

use crate::attrs::{self, Attr, CT_STATES, Member, Style, TCP_FLAGS, TUNNEL, TUNNEL_FLAGS};

/// Names for ports, both ways.
pub trait PortNames {
    /// Name of a port.
    fn name(&self, port: DpPort) -> Option<String>;
    /// Port of a name.
    fn port(&self, name: &str) -> Option<DpPort>;
}

/// No names: ports are numbers.
pub struct NoNames;

impl PortNames for NoNames {
    fn name(&self, _: DpPort) -> Option<String> {
        None
    }

    fn port(&self, _: &str) -> Option<DpPort> {
        None
    }
}

/// How to print.
#[derive(Clone, Copy)]
pub struct KeyStyle<'a> {
    /// Also fields that are not matched.
    pub verbose: bool,
    /// Names for ports.
    pub names: &'a dyn PortNames,
}

fn bits(key: &FlowKey, m: &Member) -> u128 {
    if m.bits == 128 {
        return u128::from(key.word(m.word)) << 64 | u128::from(key.word(m.word + 1));
    }
    u128::from(key.word(m.word) >> m.shift) & ones(m)
}

fn ones(m: &Member) -> u128 {
    if m.bits == 128 { u128::MAX } else { (1 << m.bits) - 1 }
}

fn put(key: &mut FlowKey, m: &Member, value: u128) {
    if m.bits == 128 {
        key.set_word(m.word, (value >> 64) as u64);
        key.set_word(m.word + 1, value as u64);
    } else {
        let mask = ones(m) as u64;
        key.set_word(m.word, key.word(m.word) & !(mask << m.shift) | (value as u64 & mask) << m.shift);
    }
}

fn hex(out: &mut String, value: u128) {
    let _ = if value == 0 { write!(out, "0") } else { write!(out, "{value:#x}") };
}

fn value_text(out: &mut String, style: Style, value: u128, is_mask: bool) {
    let _ = match style {
        Style::Dec if !is_mask => write!(out, "{value}"),
        Style::Dec | Style::Hex => return hex(out, value),
        Style::Mac => write!(out, "{}", EthAddr::from_u64(value as u64)),
        Style::Ip4 => write!(out, "{}", Ipv4Addr::from_bits(value as u32)),
        Style::Ip6 => return flow::text::value::put_ipv6(out, value, u128::MAX),
        Style::Frag => write!(
            out,
            "{}",
            match value as u8 & (FRAG_ANY | FRAG_LATER) {
                0 => "no",
                FRAG_ANY => "first",
                _ => "later",
            }
        ),
    };
}

/// Appends `name=value/mask`; whether it did.
fn member_text(out: &mut String, m: &Member, key: &FlowKey, mask: &FlowMask, verbose: bool) {
    let (value, wild) = (bits(key, m), bits(mask, m));
    if wild == 0 && !(verbose && m.style != Style::Frag) {
        return;
    }
    if !out.ends_with('(') {
        out.push(',');
    }
    if !m.name.is_empty() {
        let _ = write!(out, "{}=", m.name);
    }
    value_text(out, m.style, value, false);
    if wild != ones(m) && m.style != Style::Frag {
        out.push('/');
        value_text(out, m.style, wild, true);
    }
}

pub(crate) fn attr_body(out: &mut String, attr: &Attr, key: &FlowKey, mask: &FlowMask, verbose: bool) {
    for m in attr.members {
        member_text(out, m, key, mask, verbose);
    }
}

/// Flags with a sign each: `+syn-ack`.
fn signed_flags(out: &mut String, value: u16, mask: u16, names: &[(u16, &str)]) {
    for (bit, name) in names {
        if mask & bit != 0 {
            let _ = write!(out, "{}{name}", if value & bit != 0 { '+' } else { '-' });
        }
    }
}

/// Flags that are set, joined: `syn|ack`.
pub(crate) fn joined_flags(out: &mut String, value: u16, names: &[(u16, &str)]) {
    let set: Vec<&str> = names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() {
        out.push('0');
    } else {
        out.push_str(&set.join("|"));
    }
}

fn has_mask(attr: &Attr, mask: &FlowMask) -> bool {
    attr.members.iter().any(|m| bits(mask, m) != 0)
}

struct Printer<'a> {
    out: String,
    key: &'a FlowKey,
    mask: &'a FlowMask,
    style: KeyStyle<'a>,
}

impl Printer<'_> {
    fn open(&mut self, name: &str) {
        if !self.out.is_empty() && !self.out.ends_with('(') {
            self.out.push(',');
        }
        let _ = write!(self.out, "{name}(");
    }

    fn attr(&mut self, name: &str, always: bool) {
        let Some(attr) = attrs::by_name(name) else { return };
        if always || self.style.verbose || has_mask(attr, self.mask) {
            self.open(name);
            attr_body(&mut self.out, attr, self.key, self.mask, self.style.verbose);
            self.out.push(')');
        }
    }

    fn metadata(&mut self) {
        self.attr("recirc_id", false);
        self.attr("dp_hash", false);
        self.attr("skb_priority", false);
        self.tunnel();
        self.in_port();
        self.attr("skb_mark", false);
        self.ct_state();
        for name in ["ct_zone", "ct_mark", "ct_label"] {
            self.attr(name, false);
        }
        let (k, m) = (self.key, self.mask);
        if k.word(32) | m.word(32) != 0 {
            self.attr("ct_tuple4", false);
        } else if (33..37).any(|w| k.word(w) | m.word(w) != 0) {
            self.attr("ct_tuple6", false);
        }
    }

    fn tunnel(&mut self) {
        let (k, m, verbose) = (self.key, self.mask, self.style.verbose);
        if k.tun_dst().is_unspecified() && k.tun_ipv6_dst().is_unspecified() {
            return;
        }
        if !verbose && (1..10).all(|w| m.word(w) == 0) {
            return;
        }
        self.open("tunnel");
        for member in TUNNEL {
            let shown = bits(m, member) != 0 && (bits(k, member) != 0 || !matches!(member.name, "tos" | "ipv6_src"));
            if shown || verbose && bits(k, member) != 0 {
                member_text(&mut self.out, member, k, m, verbose);
            }
        }
        self.tunnel_options();
        if verbose || m.tun_flags() != 0 {
            if !self.out.ends_with('(') {
                self.out.push(',');
            }
            self.out.push_str("flags(");
            signed_flags(&mut self.out, k.tun_flags(), m.tun_flags() & !flow::key::TUN_F_RAW_OPTIONS, &TUNNEL_FLAGS);
            self.out.push(')');
        }
        self.out.push(')');
    }

    fn tunnel_options(&mut self) {
        let (k, m) = (self.key, self.mask);
        if m.tun_gbp_id() != 0 || m.tun_gbp_flags() != 0 {
            let _ = write!(self.out, ",vxlan(gbp(id={}", k.tun_gbp_id());
            if k.tun_gbp_flags() != 0 {
                let _ = write!(self.out, ",flags={:#x}", k.tun_gbp_flags());
            }
            self.out.push_str("))");
        }
        if k.tun_flags() & flow::key::TUN_F_RAW_OPTIONS != 0 && k.tun_md_present() != 0 {
            self.geneve();
        }
        if k.tun_erspan_ver() != 0 && m.tun_erspan_ver() != 0 {
            let _ = write!(self.out, ",erspan(ver={}", k.tun_erspan_ver());
            let _ = if k.tun_erspan_ver() == 1 {
                write!(self.out, ",idx={:#x})", k.tun_erspan_idx())
            } else {
                write!(self.out, ",dir={},hwid={:#x})", k.tun_erspan_dir(), k.tun_erspan_hwid())
            };
        }
    }

    /// Raw Geneve options: class (2 bytes), type, length in words (5 bits), data.
    fn geneve(&mut self) {
        let (k, m) = (self.key, self.mask);
        self.out.push_str(",geneve(");
        let end = (k.tun_md_present() as usize).min(256);
        let mut at = 0;
        while at + 4 <= end {
            let byte = |i: usize| k.tun_md_byte(at + i);
            let len = usize::from(byte(3) & 31) * 4;
            let class = u16::from_be_bytes([byte(0), byte(1)]);
            let _ = write!(self.out, "{{class={class:#x},type={:#x},len={len}", byte(2));
            if len > 0 {
                let text =
                    |of: &FlowKey| (0..len).map(|i| format!("{:02x}", of.tun_md_byte(at + 4 + i))).collect::<String>();
                let _ = write!(self.out, ",0x{}", text(k).trim_start_matches('0'));
                if (0..len).any(|i| m.tun_md_byte(at + 4 + i) != 0xff) {
                    let _ = write!(self.out, "/0x{}", text(m).trim_start_matches('0'));
                }
            }
            self.out.push('}');
            at += 4 + len;
        }
        self.out.push(')');
    }

    fn in_port(&mut self) {
        let port = self.key.dp_in_port();
        if self.mask.in_port_raw() == 0 && !self.style.verbose {
            return;
        }
        self.open("in_port");
        match self.style.names.name(port) {
            Some(name) => self.out.push_str(&name),
            None => {
                let _ = write!(self.out, "{}", port.0);
            }
        }
        self.out.push(')');
    }

    fn ct_state(&mut self) {
        let (value, mask) = (self.key.ct_state(), self.mask.ct_state());
        if self.style.verbose {
            self.open("ct_state");
            hex(&mut self.out, value.into());
            if mask & 0xff != 0xff {
                self.out.push('/');
                hex(&mut self.out, mask.into());
            }
            self.out.push(')');
        } else if mask != 0 {
            self.open("ct_state");
            signed_flags(&mut self.out, value, mask, &CT_STATES);
            self.out.push(')');
        }
    }

    fn packet_type(&mut self) {
        let mask = self.mask.packet_type_raw();
        if mask == 0 && !self.style.verbose {
            return;
        }
        let t = self.key.packet_type();
        self.open("packet_type");
        let wild = if mask == 0 { "/0" } else { "" };
        let _ = write!(self.out, "ns={}{wild},id=", t.ns());
        hex(&mut self.out, t.ns_type().into());
        let _ = write!(self.out, "{wild})");
    }

    fn headers(&mut self) {
        if self.key.packet_type() == PacketType::ETHERNET {
            // Where the packet type says that it is Ethernet, nothing need be said of addresses that do not matter.
            self.attr("eth", self.mask.packet_type_raw() == 0);
        }
        let mut depth = 0;
        for n in 0..2 {
            if self.key.vlan_tci(n) & VLAN_CFI == 0 {
                break;
            }
            self.vlan(n);
            self.open("encap");
            depth += 1;
        }
        self.eth_type();
        self.network();
        for _ in 0..depth {
            self.out.push(')');
        }
    }

    fn vlan(&mut self, n: usize) {
        let tpid = match self.key.vlan_tpid(n) {
            0 => ethertype::VLAN,
            tpid => tpid,
        };
        self.open("eth_type");
        let _ = write!(self.out, "{tpid:#06x})");
        let (tci, mask) = (self.key.vlan_tci(n), self.mask.vlan_tci(n));
        if mask == 0 && !self.style.verbose {
            return;
        }
        self.open("vlan");
        let parts = [("vid", tci & 0xfff, mask & 0xfff, 0xfff), ("pcp", tci >> 13, mask >> 13, 7)];
        for (name, value, wild, full) in parts {
            if wild == 0 && !self.style.verbose {
                continue;
            }
            let comma = if self.out.ends_with('(') { "" } else { "," };
            let _ = write!(self.out, "{comma}{name}={value}");
            if wild != full {
                self.out.push('/');
                hex(&mut self.out, wild.into());
            }
        }
        if mask & VLAN_CFI == 0 {
            let comma = if self.out.ends_with('(') { "" } else { "," };
            let _ = write!(self.out, "{comma}cfi=1/0");
        }
        self.out.push(')');
    }

    fn eth_type(&mut self) {
        let (value, mask) = (self.key.eth_type(), self.mask.eth_type());
        if value < 0x600 || mask == 0 && !self.style.verbose {
            return;
        }
        self.open("eth_type");
        let _ = write!(self.out, "{value:#06x}");
        if mask != 0xffff {
            let _ = write!(self.out, "/{mask:#06x}");
        }
        self.out.push(')');
    }

    fn network(&mut self) {
        match self.key.eth_type() {
            ethertype::IPV4 => {
                self.attr("ipv4", false);
                self.transport();
            }
            ethertype::IPV6 => {
                self.attr("ipv6", false);
                self.transport();
            }
            ethertype::ARP | ethertype::RARP => self.attr("arp", false),
            ethertype::NSH => self.attr("nsh", false),
            ty if is_mpls(ty) => self.mpls(),
            _ => {}
        }
    }

    fn mpls(&mut self) {
        let depth = (0..3).take_while(|&n| self.mask.mpls_lse(n) != 0).count();
        if depth <= 1 {
            return self.attr("mpls", false);
        }
        self.open("mpls");
        let Some(attr) = attrs::by_name("mpls") else { return };
        for n in 0..depth {
            let (mut key, mut mask) = (FlowKey::ZERO, FlowMask::ZERO);
            key.set_mpls_lse(0, self.key.mpls_lse(n));
            mask.set_mpls_lse(0, self.mask.mpls_lse(n));
            let mut body = String::from("(");
            attr_body(&mut body, attr, &key, &mask, self.style.verbose);
            let comma = if n == 0 { "" } else { "," };
            let names = body[1..].split(',').map(|p| p.replacen('=', &format!("{n}="), 1)).collect::<Vec<_>>();
            let _ = write!(self.out, "{comma}{}", names.join(","));
        }
        self.out.push(')');
    }

    fn transport(&mut self) {
        if self.key.nw_frag() & FRAG_LATER != 0 {
            return;
        }
        let v6 = self.key.eth_type() == ethertype::IPV6;
        match self.key.nw_proto() {
            ip_proto::TCP => {
                self.attr("tcp", false);
                self.tcp_flags();
            }
            ip_proto::UDP => self.attr("udp", false),
            ip_proto::SCTP => self.attr("sctp", false),
            ip_proto::ICMP if !v6 => self.attr("icmp", false),
            ip_proto::ICMPV6 if v6 => {
                self.attr("icmpv6", false);
                if matches!(self.key.tp_src(), 135 | 136) {
                    self.attr("nd", false);
                    if self.mask.igmp_group() != 0 || self.mask.tcp_flags() & 0xff != 0 {
                        self.attr("nd_ext", false);
                    }
                }
            }
            _ => {}
        }
    }

    fn tcp_flags(&mut self) {
        let (value, mask) = (self.key.tcp_flags(), self.mask.tcp_flags());
        if mask == 0 && !self.style.verbose {
            return;
        }
        self.open("tcp_flags");
        if mask & 0xfff == 0xfff {
            joined_flags(&mut self.out, value, &TCP_FLAGS);
        } else if mask == 0 {
            self.out.push_str("0/0");
        } else {
            signed_flags(&mut self.out, value, mask, &TCP_FLAGS);
        }
        self.out.push(')');
    }
}

/// The text of a key under a mask.
#[must_use]
pub fn format_key(key: &FlowKey, mask: &FlowMask, style: KeyStyle<'_>) -> String {
    let mut printer = Printer { out: String::new(), key, mask, style };
    printer.metadata();
    printer.packet_type();
    printer.headers();
    printer.out
}

/// A text that is not a flow key or a list of actions: what was wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadText(pub String);

impl std::fmt::Display for BadText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadText {}

pub(crate) fn bad<T>(what: impl Into<String>) -> Result<T, BadText> {
    Err(BadText(what.into()))
}

/// Splits at top-level commas and white space, leaving nested parentheses together.
pub(crate) fn split(s: &str) -> Result<Vec<&str>, BadText> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (i, c) in s.char_indices() {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => {
                depth = depth.checked_sub(1).ok_or_else(|| BadText(format!("{s}: unexpected ')'")))?;
            }
            ',' | ' ' | '\t' | '\n' if depth == 0 => {
                parts.push(&s[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    if depth != 0 {
        return bad(format!("{s}: missing ')'"));
    }
    parts.push(&s[start..]);
    Ok(parts.into_iter().filter(|p| !p.is_empty()).collect())
}

/// `name(body)` as its two parts.
pub(crate) fn call(s: &str) -> Option<(&str, &str)> {
    let (name, rest) = s.split_once('(')?;
    Some((name, rest.strip_suffix(')')?))
}

pub(crate) fn number(s: &str) -> Result<u128, BadText> {
    let parsed = match s.strip_prefix("0x").or_else(|| s.strip_prefix("0X")) {
        Some(digits) => u128::from_str_radix(digits, 16),
        None => s.parse(),
    };
    parsed.map_err(|_| BadText(format!("{s}: not a number")))
}

fn parse_value(style: Style, s: &str) -> Result<u128, BadText> {
    let wrong = || BadText(format!("{s}: bad value"));
    match style {
        Style::Dec | Style::Hex => number(s),
        Style::Mac => s.parse::<EthAddr>().map(|a| a.to_u64().into()).map_err(|_| wrong()),
        Style::Ip4 => s.parse::<Ipv4Addr>().map(|a| a.to_bits().into()).map_err(|_| wrong()),
        Style::Ip6 => s.parse::<Ipv6Addr>().map(|a| a.to_bits()).map_err(|_| wrong()),
        Style::Frag => match s {
            "no" => Ok(0),
            "first" => Ok(FRAG_ANY.into()),
            "later" => Ok((FRAG_ANY | FRAG_LATER).into()),
            _ => Err(wrong()),
        },
    }
}

fn parse_member(m: &Member, text: &str, key: &mut FlowKey, mask: &mut FlowMask) -> Result<(), BadText> {
    let (value, wild) = match text.split_once('/') {
        Some((value, wild)) => (parse_value(m.style, value)?, parse_value(m.style, wild)?),
        None => (parse_value(m.style, text)?, ones(m)),
    };
    if value > ones(m) {
        return bad(format!("{text}: out of range for {}", m.name));
    }
    put(key, m, value);
    put(mask, m, wild & ones(m));
    Ok(())
}

pub(crate) fn parse_members(
    members: &[Member],
    body: &str,
    key: &mut FlowKey,
    mask: &mut FlowMask,
) -> Result<(), BadText> {
    if let [only] = members
        && only.name.is_empty()
    {
        return parse_member(only, body, key, mask);
    }
    for part in split(body)? {
        let Some((name, value)) = part.split_once('=') else { return bad(format!("{part}: expected name=value")) };
        let Some(m) = members.iter().find(|m| m.name == name) else { return bad(format!("{name}: unknown field")) };
        parse_member(m, value, key, mask)?;
    }
    Ok(())
}

/// Flags in any of the forms `+a-b`, `a|b`, `0x12`, `0x12/0x34`; gives value and mask.
pub(crate) fn parse_flags(s: &str, names: &[(u16, &str)], all: u16) -> Result<(u16, u16), BadText> {
    let one = |name: &str| {
        names
            .iter()
            .find(|(_, n)| *n == name)
            .map(|(bit, _)| *bit)
            .ok_or_else(|| BadText(format!("{name}: unknown flag")))
    };
    if s.starts_with(['+', '-']) {
        let (mut value, mut mask) = (0, 0);
        let mut rest = s;
        while let Some(sign) = rest.chars().next() {
            let body = &rest[1..];
            let end = body.find(['+', '-']).unwrap_or(body.len());
            let bit = one(&body[..end])?;
            mask |= bit;
            value |= if sign == '+' { bit } else { 0 };
            rest = &body[end..];
        }
        return Ok((value, mask));
    }
    if s.starts_with(|c: char| c.is_ascii_digit()) {
        let (value, mask) = s.split_once('/').map_or((s, None), |(v, m)| (v, Some(m)));
        let mask = mask.map_or(Ok(u128::from(all)), number)?;
        return Ok((number(value)? as u16, mask as u16));
    }
    let mut value = 0;
    for name in s.split('|').filter(|n| !n.is_empty()) {
        value |= one(name)?;
    }
    Ok((value, all))
}

struct Reader<'a> {
    key: FlowKey,
    mask: FlowMask,
    names: &'a dyn PortNames,
    vlans: usize,
}

impl Reader<'_> {
    fn list(&mut self, s: &str) -> Result<(), BadText> {
        split(s)?.into_iter().try_for_each(|part| self.attr(part))
    }

    fn attr(&mut self, part: &str) -> Result<(), BadText> {
        if part.strip_prefix("ufid:").is_some() {
            return Ok(());
        }
        let Some((name, body)) = call(part) else { return bad(format!("{part}: expected name(value)")) };
        match name {
            "in_port" => self.in_port(body),
            "tunnel" => parse_tunnel(body, &mut self.key, &mut self.mask),
            "packet_type" => self.packet_type(body),
            "eth_type" => self.eth_type(body),
            "vlan" => self.vlan(body),
            "encap" => self.list(body),
            "ct_state" => {
                let (value, mask) = parse_flags(body, &CT_STATES, 0xff)?;
                self.key.set_ct_state(value);
                self.mask.set_ct_state(mask);
                Ok(())
            }
            "tcp_flags" => {
                let (value, mask) = parse_flags(body, &TCP_FLAGS, 0xfff)?;
                self.key.set_tcp_flags(value);
                self.mask.set_tcp_flags(mask);
                Ok(())
            }
            "mpls" => self.mpls(body),
            _ => match attrs::by_name(name) {
                Some(attr) => {
                    if name == "eth" {
                        self.mask.set_packet_type_raw(self.mask.packet_type_raw());
                    }
                    parse_members(attr.members, body, &mut self.key, &mut self.mask)
                }
                None => bad(format!("{name}: unknown key attribute")),
            },
        }
    }

    fn in_port(&mut self, body: &str) -> Result<(), BadText> {
        let (value, mask) = body.split_once('/').map_or((body, None), |(v, m)| (v, Some(m)));
        let port = match self.names.port(value) {
            Some(port) => port.0,
            None => u32::try_from(number(value).map_err(|_| BadText(format!("{value}: unknown port")))?)
                .map_err(|_| BadText(format!("{value}: bad port number")))?,
        };
        self.key.set_in_port_raw(port);
        self.mask.set_in_port_raw(mask.map_or(Ok(u128::from(u32::MAX)), number)? as u32);
        Ok(())
    }

    fn packet_type(&mut self, body: &str) -> Result<(), BadText> {
        let (mut ns, mut id, mut mask) = (0, 0, u32::MAX);
        for part in split(body)? {
            let Some((name, value)) = part.split_once('=') else { return bad(format!("{part}: expected name=value")) };
            let (value, wild) = value.split_once('/').map_or((value, None), |(v, m)| (v, Some(m)));
            if wild.is_some_and(|w| number(w) == Ok(0)) {
                mask = 0;
            }
            match name {
                "ns" => ns = number(value)? as u16,
                "id" => id = number(value)? as u16,
                _ => return bad(format!("{name}: unknown field")),
            }
        }
        self.key.set_packet_type(PacketType::new(ns, id));
        self.mask.set_packet_type_raw(mask);
        Ok(())
    }

    fn eth_type(&mut self, body: &str) -> Result<(), BadText> {
        let (value, mask) = body.split_once('/').map_or((body, "0xffff"), |(v, m)| (v, m));
        let (value, mask) = (number(value)? as u16, number(mask)? as u16);
        if is_vlan(value) && self.vlans < flow::key::MAX_VLANS {
            self.key.set_vlan_tpid(self.vlans, value);
            self.mask.set_vlan_tpid(self.vlans, mask);
        } else {
            self.key.set_eth_type(value);
            self.mask.set_eth_type(mask);
        }
        Ok(())
    }

    fn vlan(&mut self, body: &str) -> Result<(), BadText> {
        let (mut tci, mut mask) = (VLAN_CFI, VLAN_CFI);
        for part in split(body)? {
            let Some((name, value)) = part.split_once('=') else { return bad(format!("{part}: expected name=value")) };
            let (value, wild) = value.split_once('/').map_or((value, None), |(v, m)| (v, Some(m)));
            let (shift, full) = match name {
                "vid" => (0, 0xfff),
                "pcp" => (13, 7),
                "cfi" => (12, 1),
                "tci" => (0, 0xffff),
                _ => return bad(format!("{name}: unknown field")),
            };
            let value = number(value)?;
            if value > full {
                return bad(format!("{part}: out of range"));
            }
            let wild = wild.map_or(Ok(full), number)? & full;
            tci = tci & !((full as u16) << shift) | (value as u16) << shift;
            mask = mask & !((full as u16) << shift) | (wild as u16) << shift;
        }
        self.key.set_vlan_tci(self.vlans, tci);
        self.mask.set_vlan_tci(self.vlans, mask);
        self.vlans += 1;
        Ok(())
    }

    fn mpls(&mut self, body: &str) -> Result<(), BadText> {
        let Some(attr) = attrs::by_name("mpls") else { return bad("mpls") };
        for part in split(body)? {
            let Some((name, value)) = part.split_once('=') else { return bad(format!("{part}: expected name=value")) };
            let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
            let n: usize = name[base.len()..].parse().unwrap_or(0);
            let (mut key, mut mask) = (FlowKey::ZERO, FlowMask::ZERO);
            key.set_mpls_lse(0, self.key.mpls_lse(n));
            mask.set_mpls_lse(0, self.mask.mpls_lse(n));
            parse_members(attr.members, &format!("{base}={value}"), &mut key, &mut mask)?;
            self.key.set_mpls_lse(n, key.mpls_lse(0));
            self.mask.set_mpls_lse(n, mask.mpls_lse(0));
        }
        Ok(())
    }
}

pub(crate) fn parse_tunnel(body: &str, key: &mut FlowKey, mask: &mut FlowMask) -> Result<(), BadText> {
    for part in split(body)? {
        if let Some((name, inner)) = call(part) {
            match name {
                "flags" => {
                    let (value, wild) = parse_flags(inner, &TUNNEL_FLAGS, 0xf)?;
                    key.set_tun_flags(value);
                    mask.set_tun_flags(wild);
                }
                "vxlan" => parse_gbp(inner, key, mask)?,
                _ => return bad(format!("{name}: unknown tunnel option")),
            }
        } else {
            parse_members(TUNNEL, part, key, mask)?;
        }
    }
    Ok(())
}

fn parse_gbp(body: &str, key: &mut FlowKey, mask: &mut FlowMask) -> Result<(), BadText> {
    let Some(("gbp", inner)) = call(body) else { return bad(format!("{body}: expected gbp(…)")) };
    for part in split(inner)? {
        match part.split_once('=') {
            Some(("id", value)) => {
                key.set_tun_gbp_id(number(value)? as u16);
                mask.set_tun_gbp_id(0xffff);
            }
            Some(("flags", value)) => {
                key.set_tun_gbp_flags(number(value)? as u8);
                mask.set_tun_gbp_flags(0xff);
            }
            _ => return bad(format!("{part}: unknown field")),
        }
    }
    Ok(())
}

/// Reads a key and a mask. Attributes that are not there have an empty mask.
pub fn parse_key(s: &str, names: &dyn PortNames) -> Result<(FlowKey, FlowMask), BadText> {
    let mut reader = Reader { key: FlowKey::ZERO, mask: FlowMask::ZERO, names, vlans: 0 };
    reader.list(s)?;
    Ok((reader.key, reader.mask))
}

/// From where on a text is no key.
pub fn fault<'a>(s: &'a str, names: &dyn PortNames) -> &'a str {
    let whole = s.trim_start_matches([' ', ',', '\t', '\n']);
    let Ok(parts) = split(s) else { return whole };
    let bad = parts.into_iter().find(|part| parse_key(part, names).is_err());
    bad.and_then(|part| s.get((part.as_ptr() as usize).checked_sub(s.as_ptr() as usize)?..)).unwrap_or(whole)
}

#[cfg(test)]
mod tests;
