//! Text of datapath actions.

use std::fmt::Write as _;
use std::net::IpAddr;

use flow::{DpPort, FlowKey, FlowMask};
use wire::EthAddr;

use crate::action::{
    Ct, DpAction, DropReason, EthHeader, FlowSample, HashAlg, Nat, NshHeader, Set, SetAttr, SlowReason, UserCookie,
};
use crate::attrs::{self, TUNNEL, TUNNEL_FLAGS};
use crate::key_text::{
    BadText, PortNames, attr_body, bad, call, joined_flags, number, parse_members, parse_tunnel, split,
};

/// The text of a list of actions; an empty list drops the packet.
#[must_use]
pub fn format_actions(actions: &[DpAction], names: &dyn PortNames) -> String {
    let mut out = String::new();
    list(&mut out, actions, names);
    out
}

fn list(out: &mut String, actions: &[DpAction], names: &dyn PortNames) {
    if actions.is_empty() {
        out.push_str("drop");
    }
    for (i, action) in actions.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        one(out, action, names);
    }
}

fn port(out: &mut String, port: DpPort, names: &dyn PortNames) {
    match names.name(port) {
        Some(name) => out.push_str(&name),
        None => {
            let _ = write!(out, "{}", port.0);
        }
    }
}

fn one(out: &mut String, action: &DpAction, names: &dyn PortNames) {
    let _ = match action {
        DpAction::Output(p) => return port(out, *p, names),
        DpAction::LbOutput(bond) => write!(out, "lb_output({bond})"),
        DpAction::Userspace { cookie, pid } => return userspace(out, cookie, *pid, names),
        DpAction::PushVlan { tpid, tci } => {
            out.push_str("push_vlan(");
            if *tpid != 0x8100 {
                let _ = write!(out, "tpid={tpid:#06x},");
            }
            let cfi = if tci & 0x1000 == 0 { ",cfi=0" } else { "" };
            write!(out, "vid={},pcp={}{cfi})", tci & 0xfff, tci >> 13)
        }
        DpAction::PopVlan => write!(out, "pop_vlan"),
        DpAction::PushMpls { ethertype, lse } => label(out, "push_mpls", *ethertype, *lse),
        DpAction::AddMpls { ethertype, lse } => label(out, "add_mpls", *ethertype, *lse),
        DpAction::PopMpls(ty) => write!(out, "pop_mpls(eth_type={ty:#x})"),
        DpAction::PushEth(h) => write!(out, "push_eth(src={},dst={})", h.src, h.dst),
        DpAction::PopEth => write!(out, "pop_eth"),
        DpAction::PushNsh(h) => return push_nsh(out, h),
        DpAction::PopNsh => write!(out, "pop_nsh()"),
        DpAction::Set(set) => return set_text(out, set),
        DpAction::Trunc(len) => write!(out, "trunc({len})"),
        DpAction::Sample { probability, actions } => {
            let percent = f64::from(*probability) * 100.0 / f64::from(u32::MAX);
            let _ = write!(out, "sample(sample={percent:.1}%,actions(");
            list(out, actions, names);
            write!(out, "))")
        }
        DpAction::Clone(actions) => {
            out.push_str("clone(");
            list(out, actions, names);
            write!(out, ")")
        }
        DpAction::Hash { alg: HashAlg::L4, basis } => write!(out, "hash(l4({basis}))"),
        DpAction::Hash { alg: HashAlg::SymL4, basis } => write!(out, "hash(sym_l4({basis}))"),
        DpAction::Recirc(id) => write!(out, "recirc({id:#x})"),
        DpAction::Ct(ct) => return ct_text(out, ct),
        DpAction::CtClear => write!(out, "ct_clear"),
        DpAction::Meter(id) => write!(out, "meter({id})"),
        DpAction::CheckPktLen { len, greater, less_equal } => {
            let _ = write!(out, "check_pkt_len(size={len},gt(");
            list(out, greater, names);
            out.push_str("),le(");
            list(out, less_equal, names);
            write!(out, "))")
        }
        DpAction::TunnelPush(push) => {
            let _ = write!(out, "tnl_push(tnl_port(");
            port(out, push.tunnel, names);
            let _ = write!(out, "),header(size={},type={}),out_port(", push.header.len(), push.kind);
            port(out, push.output, names);
            write!(out, "))")
        }
        DpAction::TunnelPop(p) => {
            out.push_str("tnl_pop(");
            port(out, *p, names);
            write!(out, ")")
        }
        DpAction::Drop(DropReason::Ok) => write!(out, "drop"),
        DpAction::Drop(_) => write!(out, "drop"),
        DpAction::Raw { kind, bytes } => raw(out, *kind, bytes),
    };
}

/// Actions that only some kernels have, and those that nobody knows.
fn raw(out: &mut String, kind: u16, bytes: &[u8]) -> std::fmt::Result {
    use netlink::attr::Attrs;
    use netlink::ovs::action;
    let word = |b: Option<&[u8]>, n: usize| b.and_then(|b| b.get(n..n + 4)).and_then(|b| b.try_into().ok());
    if let (action::ADD_MPLS, Some(lse)) = (kind, word(Some(bytes), 0).map(u32::from_be_bytes)) {
        let ty = u16::from_be_bytes([bytes.get(4).copied().unwrap_or(0), bytes.get(5).copied().unwrap_or(0)]);
        return label(out, "add_mpls", ty, lse);
    }
    if kind == action::PSAMPLE {
        let find = |k| Attrs(bytes).find(k).ok().flatten();
        write!(out, "psample(group={}", word(find(action::PSAMPLE_GROUP), 0).map_or(0, u32::from_ne_bytes))?;
        if let Some(cookie) = find(action::PSAMPLE_COOKIE) {
            let hex: String = cookie.iter().map(|b| format!("{b:02x}")).collect();
            write!(out, ",cookie=0x{}", hex.trim_start_matches('0'))?;
        }
        return out.write_str(")");
    }
    write!(out, "action{kind}(")?;
    for (i, b) in bytes.iter().enumerate() {
        write!(out, "{}{b:02x}", if i == 0 { "" } else { " " })?;
    }
    out.write_str(")")
}

fn set_text(out: &mut String, set: &Set) {
    let (key, mask) = (set.key.expand(), set.mask.expand());
    out.push_str("set(");
    if set.attr == SetAttr::Tunnel {
        tunnel_set(out, &key, &mask);
    } else if let Some(attr) = attrs::by_set(set.attr) {
        let _ = write!(out, "{}(", attr.name);
        attr_body(out, attr, &key, &mask, false);
        out.push(')');
    }
    out.push(')');
}

fn tunnel_set(out: &mut String, key: &FlowKey, mask: &FlowMask) {
    out.push_str("tunnel(");
    if let Some(tunnel) = attrs::ATTRS.first() {
        let members = attrs::Attr { name: "tunnel", members: TUNNEL, set: tunnel.set };
        // Zero members of a tunnel mean "not given", save for what every tunnel has.
        let mut shown = *mask;
        if key.tun_tos() == 0 {
            shown.set_tun_tos(0);
        }
        for (zero, clear) in [
            (key.tun_src().is_unspecified(), FlowMask::set_tun_src as fn(&mut FlowMask, std::net::Ipv4Addr)),
            (key.tun_dst().is_unspecified(), FlowMask::set_tun_dst),
        ] {
            if zero {
                clear(&mut shown, std::net::Ipv4Addr::UNSPECIFIED);
            }
        }
        if key.tun_ipv6_dst().is_unspecified() {
            shown.set_tun_ipv6_dst(std::net::Ipv6Addr::UNSPECIFIED);
        }
        if key.tun_ipv6_src().is_unspecified() {
            shown.set_tun_ipv6_src(std::net::Ipv6Addr::UNSPECIFIED);
        }
        if key.tun_tp_src() == 0 {
            shown.set_tun_tp_src(0);
        }
        if key.tun_tp_dst() == 0 {
            shown.set_tun_tp_dst(0);
        }
        if key.tun_flags() & flow::key::TUN_F_KEY == 0 {
            shown.set_tun_id(0);
        }
        attr_body(out, &members, key, &shown, false);
    }
    if mask.tun_gbp_id() != 0 && (key.tun_gbp_id() != 0 || key.tun_gbp_flags() != 0) {
        let _ = write!(out, ",vxlan(gbp(id={}", key.tun_gbp_id());
        if key.tun_gbp_flags() != 0 {
            let _ = write!(out, ",flags={:#x}", key.tun_gbp_flags());
        }
        out.push_str("))");
    }
    let comma = if out.ends_with('(') { "" } else { "," };
    let _ = write!(out, "{comma}flags(");
    joined_flags(out, key.tun_flags() & !flow::key::TUN_F_RAW_OPTIONS, &TUNNEL_FLAGS);
    out.push_str("))");
}

fn push_nsh(out: &mut String, h: &NshHeader) {
    let _ = write!(
        out,
        "push_nsh(flags={},ttl={},mdtype={},np={},spi={:#x},si={}",
        h.flags, h.ttl, h.mdtype, h.np, h.spi, h.si
    );
    if h.mdtype == 1 {
        for (i, word) in h.metadata.chunks_exact(4).take(4).enumerate() {
            let _ = write!(out, ",c{}={:#x}", i + 1, u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
        }
    } else if !h.metadata.is_empty() {
        let _ = write!(out, ",md2=0x{}", h.metadata.iter().map(|b| format!("{b:02x}")).collect::<String>());
    }
    out.push(')');
}

fn label(out: &mut String, name: &str, ethertype: u16, lse: u32) -> std::fmt::Result {
    let (label, tc, ttl, bos) = (lse >> 12, lse >> 9 & 7, lse & 0xff, lse >> 8 & 1);
    write!(out, "{name}(label={label},tc={tc},ttl={ttl},bos={bos},eth_type={ethertype:#x})")
}

/// The text of slow-path reasons: names joined with commas.
#[must_use]
pub fn slow_reasons(reason: SlowReason) -> String {
    let names: Vec<&str> =
        SlowReason::TABLE.iter().filter(|(bit, ..)| reason.0 & bit != 0).map(|(_, name, _)| *name).collect();
    if names.is_empty() { "0".into() } else { names.join(",") }
}

fn userspace(out: &mut String, cookie: &UserCookie, pid: u32, names: &dyn PortNames) {
    let _ = write!(out, "userspace(pid={pid}");
    let _ = match cookie {
        UserCookie::Sflow { vlan_tci, output } => {
            write!(out, ",sFlow(vid={},pcp={},output={output})", vlan_tci & 0xfff, vlan_tci >> 13)
        }
        UserCookie::SlowPath(reason) => write!(out, ",slow_path({})", slow_reasons(*reason)),
        UserCookie::FlowSample(s) => {
            let _ = write!(
                out,
                ",flow_sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={},output_port=",
                s.probability, s.collector_set, s.obs_domain, s.obs_point
            );
            port(out, s.output, names);
            match s.direction {
                1 => out.push_str(",ingress"),
                2 => out.push_str(",egress"),
                _ => {}
            }
            write!(out, ")")
        }
        UserCookie::Ipfix { output } => {
            out.push_str(",ipfix(output_port=");
            port(out, *output, names);
            write!(out, ")")
        }
        UserCookie::Controller { dont_send, continuation, recirc_id, rule_cookie, controller_id, max_len, reason } => {
            let (quiet, resumes) = (u8::from(*dont_send), u8::from(*continuation));
            let cookie = if *rule_cookie == 0 { "0".to_owned() } else { format!("{rule_cookie:#x}") };
            let _ = write!(out, ",controller(reason={reason},dont_send={quiet},continuation={resumes}");
            let _ = write!(out, ",recirc_id={recirc_id},rule_cookie={cookie}");
            write!(out, ",controller_id={controller_id},max_len={max_len})")
        }
        UserCookie::Other(bytes) if bytes.is_empty() => Ok(()),
        UserCookie::Other(bytes) => {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            write!(out, ",userdata({hex})")
        }
    };
    out.push(')');
}

fn ct_text(out: &mut String, ct: &Ct) {
    out.push_str("ct");
    let mut parts: Vec<String> = Vec::new();
    if ct.commit {
        parts.push(if ct.force { "force_commit" } else { "commit" }.into());
    }
    if ct.zone != 0 {
        parts.push(format!("zone={}", ct.zone));
    }
    if let Some((value, mask)) = ct.mark {
        parts.push(format!("mark={value:#x}/{mask:#x}"));
    }
    if let Some((value, mask)) = ct.label {
        let mask = if mask == u128::MAX { String::new() } else { format!("/{mask:#x}") };
        parts.push(format!("label={value:#x}{mask}"));
    }
    if let Some(helper) = ct.helper {
        parts.push(format!("helper={helper}"));
    }
    if let Some(timeout) = &ct.timeout {
        parts.push(format!("timeout={timeout}"));
    }
    if let Some(nat) = &ct.nat {
        parts.push(nat_text(nat));
    }
    if !parts.is_empty() {
        let _ = write!(out, "({})", parts.join(","));
    }
}

fn nat_text(nat: &Nat) -> String {
    if !nat.src && !nat.dst {
        return "nat".into();
    }
    let mut out = String::from(if nat.src { "nat(src" } else { "nat(dst" });
    if let Some((first, last)) = nat.addresses {
        let text = |a: IpAddr| if a.is_ipv6() && nat.ports.0 != 0 { format!("[{a}]") } else { a.to_string() };
        let _ = write!(out, "={}", text(first));
        if last != first {
            let _ = write!(out, "-{}", text(last));
        }
        if nat.ports.0 != 0 {
            let _ = write!(out, ":{}", nat.ports.0);
            if nat.ports.1 != nat.ports.0 && nat.ports.1 != 0 {
                let _ = write!(out, "-{}", nat.ports.1);
            }
        }
    }
    for (on, name) in [(nat.persistent, ",persistent"), (nat.hash, ",hash"), (nat.random, ",random")] {
        if on {
            out.push_str(name);
        }
    }
    out.push(')');
    out
}

/// Reads a list of actions. `drop` and the empty text are no actions.
pub fn parse_actions(s: &str, names: &dyn PortNames) -> Result<Vec<DpAction>, BadText> {
    let mut actions = Vec::new();
    for part in split(s)? {
        if part != "drop" {
            actions.push(parse_one(part, names)?);
        }
    }
    Ok(actions)
}

fn boxed(s: &str, names: &dyn PortNames) -> Result<Box<[DpAction]>, BadText> {
    Ok(parse_actions(s, names)?.into())
}

fn parse_port(s: &str, names: &dyn PortNames) -> Result<DpPort, BadText> {
    match names.port(s) {
        Some(port) => Ok(port),
        None => number(s)
            .ok()
            .and_then(|n| u32::try_from(n).ok())
            .map(DpPort)
            .ok_or_else(|| BadText(format!("{s}: unknown port"))),
    }
}

fn parse_one(part: &str, names: &dyn PortNames) -> Result<DpAction, BadText> {
    let Some((name, body)) = call(part) else {
        return match part {
            "pop_vlan" => Ok(DpAction::PopVlan),
            "pop_eth" => Ok(DpAction::PopEth),
            "ct_clear" => Ok(DpAction::CtClear),
            "ct" => Ok(DpAction::Ct(Box::default())),
            _ => Ok(DpAction::Output(parse_port(part, names)?)),
        };
    };
    let narrow = |v: u128| u32::try_from(v).map_err(|_| BadText(format!("{part}: number too large")));
    match name {
        "set" => parse_set(body),
        "push_vlan" => parse_push_vlan(body),
        "push_mpls" => parse_label(body).map(|(ethertype, lse)| DpAction::PushMpls { ethertype, lse }),
        "add_mpls" => parse_label(body).map(|(ethertype, lse)| DpAction::AddMpls { ethertype, lse }),
        "pop_mpls" => Ok(DpAction::PopMpls(Args::new(body)?.number("eth_type")? as u16)),
        "push_eth" => {
            let args = Args::new(body)?;
            Ok(DpAction::PushEth(EthHeader { src: args.mac("src")?, dst: args.mac("dst")? }))
        }
        "psample" => parse_psample(body),
        "push_nsh" => parse_push_nsh(body),
        "pop_nsh" => Ok(DpAction::PopNsh),
        "trunc" => Ok(DpAction::Trunc(narrow(number(body)?)?)),
        "recirc" => Ok(DpAction::Recirc(narrow(number(body)?)?)),
        "meter" => Ok(DpAction::Meter(narrow(number(body)?)?)),
        "lb_output" => Ok(DpAction::LbOutput(narrow(number(body)?)?)),
        "tnl_pop" => Ok(DpAction::TunnelPop(parse_port(body, names)?)),
        "clone" => Ok(DpAction::Clone(boxed(body, names)?)),
        "hash" => match call(body) {
            Some(("l4", basis)) => Ok(DpAction::Hash { alg: HashAlg::L4, basis: narrow(number(basis)?)? }),
            Some(("sym_l4", basis)) => Ok(DpAction::Hash { alg: HashAlg::SymL4, basis: narrow(number(basis)?)? }),
            _ => bad(format!("{body}: unknown hash")),
        },
        "sample" => parse_sample(body, names),
        "check_pkt_len" => parse_check(body, names),
        "ct" => parse_ct(body),
        "userspace" => parse_userspace(body, names),
        _ => bad(format!("{name}: unknown action")),
    }
}

/// `name=value` arguments.
struct Args<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Args<'a> {
    fn new(body: &'a str) -> Result<Self, BadText> {
        Ok(Args(split(body)?.into_iter().map(|p| p.split_once('=').unwrap_or((p, ""))).collect()))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    fn number(&self, name: &str) -> Result<u128, BadText> {
        self.get(name).map_or(Ok(0), number)
    }

    fn mac(&self, name: &str) -> Result<EthAddr, BadText> {
        let text = self.get(name).unwrap_or("");
        text.parse().map_err(|_| BadText(format!("{name}={text}: bad Ethernet address")))
    }
}

fn parse_set(body: &str) -> Result<DpAction, BadText> {
    let Some((name, inner)) = call(body) else { return bad(format!("{body}: expected name(value)")) };
    let (mut key, mut mask) = (FlowKey::ZERO, FlowMask::ZERO);
    let attr = if name == "tunnel" {
        parse_tunnel(inner, &mut key, &mut mask)?;
        SetAttr::Tunnel
    } else {
        let found = attrs::by_name(name).and_then(|a| a.set.map(|set| (a, set)));
        let Some((attr, set)) = found else { return bad(format!("{name}: cannot be set")) };
        parse_members(attr.members, inner, &mut key, &mut mask)?;
        set
    };
    Ok(DpAction::Set(Box::new(Set::new(attr, &key, &mask))))
}

fn parse_push_vlan(body: &str) -> Result<DpAction, BadText> {
    let args = Args::new(body)?;
    let (vid, pcp) = (args.number("vid")?, args.number("pcp")?);
    if vid > 0xfff || pcp > 7 {
        return bad(format!("{body}: out of range"));
    }
    let cfi = if args.get("cfi") == Some("0") { 0 } else { 0x1000 };
    let tpid = args.get("tpid").map_or(Ok(0x8100), number)? as u16;
    Ok(DpAction::PushVlan { tpid, tci: vid as u16 | (pcp as u16) << 13 | cfi })
}

/// Type and label stack entry.
fn parse_label(body: &str) -> Result<(u16, u32), BadText> {
    let args = Args::new(body)?;
    let (label, tc, ttl, bos) = (args.number("label")?, args.number("tc")?, args.number("ttl")?, args.number("bos")?);
    if label > 0xf_ffff || tc > 7 || ttl > 255 || bos > 1 {
        return bad(format!("{body}: out of range"));
    }
    let lse = (label << 12 | tc << 9 | bos << 8 | ttl) as u32;
    Ok((args.number("eth_type")? as u16, lse))
}

fn parse_psample(body: &str) -> Result<DpAction, BadText> {
    use netlink::ovs::action;
    let args = Args::new(body)?;
    let mut w = netlink::Writer::new();
    w.u32(action::PSAMPLE_GROUP, args.number("group")? as u32);
    if let Some(hex) = args.get("cookie") {
        let hex = hex.trim_start_matches("0x");
        let even = format!("{}{hex}", if hex.len().is_multiple_of(2) { "" } else { "0" });
        let byte = |i: usize| even.get(i..i + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
        let cookie: Option<Vec<u8>> = (0..even.len()).step_by(2).map(byte).collect();
        w.put(action::PSAMPLE_COOKIE, &cookie.ok_or_else(|| BadText(format!("{hex}: bad hexadecimal")))?);
    }
    Ok(DpAction::Raw { kind: action::PSAMPLE, bytes: w.into_bytes().into() })
}

fn parse_push_nsh(body: &str) -> Result<DpAction, BadText> {
    let args = Args::new(body)?;
    let mdtype = args.number("mdtype")? as u8;
    let mut metadata = Vec::new();
    if mdtype == 1 {
        for name in ["c1", "c2", "c3", "c4"] {
            metadata.extend_from_slice(&(args.number(name)? as u32).to_be_bytes());
        }
    } else if let Some(hex) = args.get("md2").map(|h| h.trim_start_matches("0x")) {
        for pair in hex.as_bytes().chunks(2) {
            let text = std::str::from_utf8(pair).unwrap_or("");
            metadata.push(u8::from_str_radix(text, 16).map_err(|_| BadText(format!("{hex}: bad hexadecimal")))?);
        }
    }
    Ok(DpAction::PushNsh(Box::new(NshHeader {
        flags: args.number("flags")? as u8,
        ttl: args.get("ttl").map_or(Ok(63), number)? as u8,
        mdtype,
        np: args.number("np")? as u8,
        spi: args.number("spi")? as u32 & 0xff_ffff,
        si: args.get("si").map_or(Ok(255), number)? as u8,
        metadata: metadata.into(),
    })))
}

fn parse_sample(body: &str, names: &dyn PortNames) -> Result<DpAction, BadText> {
    let (mut probability, mut actions) = (u32::MAX, Box::default());
    for part in split(body)? {
        if let Some(percent) = part.strip_prefix("sample=").and_then(|p| p.strip_suffix('%')) {
            let percent: f64 = percent.parse().map_err(|_| BadText(format!("{percent}: bad percentage")))?;
            if !(0.0..=100.0).contains(&percent) {
                return bad(format!("{percent}%: out of range"));
            }
            probability = (percent / 100.0 * f64::from(u32::MAX)).round() as u32;
        } else if let Some(("actions", inner)) = call(part) {
            actions = boxed(inner, names)?;
        } else {
            return bad(format!("{part}: unknown argument"));
        }
    }
    Ok(DpAction::Sample { probability, actions })
}

fn parse_check(body: &str, names: &dyn PortNames) -> Result<DpAction, BadText> {
    let (mut len, mut greater, mut less_equal) = (0, Box::default(), Box::default());
    for part in split(body)? {
        match call(part) {
            Some(("gt", inner)) => greater = boxed(inner, names)?,
            Some(("le", inner)) => less_equal = boxed(inner, names)?,
            _ => match part.strip_prefix("size=") {
                Some(n) => len = number(n)? as u16,
                None => return bad(format!("{part}: unknown argument")),
            },
        }
    }
    Ok(DpAction::CheckPktLen { len, greater, less_equal })
}

fn parse_ct(body: &str) -> Result<DpAction, BadText> {
    let mut ct = Ct::default();
    let masked = |v: &str| match v.split_once('/') {
        Some((value, mask)) => Ok((number(value)?, number(mask)?)),
        None => Ok((number(v)?, u128::MAX)),
    };
    for part in split(body)? {
        match part.split_once('=').filter(|_| !part.starts_with("nat")) {
            None if part == "commit" => ct.commit = true,
            None if part == "force_commit" => (ct.commit, ct.force) = (true, true),
            None if part.starts_with("nat") => ct.nat = Some(parse_nat(part)?),
            Some(("zone", v)) => ct.zone = u16::try_from(number(v)?).map_err(|_| BadText(format!("{v}: bad zone")))?,
            Some(("mark", v)) => ct.mark = Some(masked(v).map(|(a, b)| (a as u32, b as u32))?),
            Some(("label", v)) => ct.label = Some(masked(v)?),
            Some(("helper", "ftp")) => ct.helper = Some("ftp"),
            Some(("helper", "tftp")) => ct.helper = Some("tftp"),
            Some(("timeout", v)) => ct.timeout = Some(v.into()),
            _ => return bad(format!("{part}: unknown argument")),
        }
    }
    Ok(DpAction::Ct(Box::new(ct)))
}

fn parse_nat(part: &str) -> Result<Nat, BadText> {
    let mut nat = Nat::default();
    let Some(("nat", body)) = call(part) else { return if part == "nat" { Ok(nat) } else { bad(part) } };
    for item in split(body)? {
        let (name, range) = item.split_once('=').map_or((item, None), |(n, r)| (n, Some(r)));
        match name {
            "src" => nat.src = true,
            "dst" => nat.dst = true,
            "persistent" => nat.persistent = true,
            "hash" => nat.hash = true,
            "random" => nat.random = true,
            _ => return bad(format!("{item}: unknown argument")),
        }
        if let Some(range) = range {
            parse_nat_range(range, &mut nat)?;
        }
    }
    Ok(nat)
}

fn parse_nat_range(range: &str, nat: &mut Nat) -> Result<(), BadText> {
    let wrong = || BadText(format!("{range}: bad range"));
    let (addresses, ports) = match range.rsplit_once(':') {
        Some((a, p)) if !a.contains(':') || a.ends_with(']') => (a, Some(p)),
        _ => (range, None),
    };
    let address = |s: &str| s.trim_matches(['[', ']']).parse::<IpAddr>().map_err(|_| wrong());
    let (first, last) = addresses.split_once('-').unwrap_or((addresses, addresses));
    nat.addresses = Some((address(first)?, address(last)?));
    if let Some(ports) = ports {
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        nat.ports = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    }
    Ok(())
}

fn parse_userspace(body: &str, names: &dyn PortNames) -> Result<DpAction, BadText> {
    let (mut pid, mut cookie) = (0, None);
    for part in split(body)? {
        if let Some(value) = part.strip_prefix("pid=") {
            pid = u32::try_from(number(value)?).map_err(|_| BadText(format!("{value}: bad pid")))?;
        } else if let Some((name, inner)) = call(part) {
            cookie = Some(parse_cookie(name, inner, names)?);
        }
    }
    Ok(DpAction::Userspace { cookie: Box::new(cookie.unwrap_or(UserCookie::SlowPath(SlowReason(0)))), pid })
}

fn parse_cookie(name: &str, body: &str, names: &dyn PortNames) -> Result<UserCookie, BadText> {
    let args = Args::new(body)?;
    Ok(match name {
        "sFlow" => UserCookie::Sflow {
            vlan_tci: args.number("vid")? as u16 & 0xfff | (args.number("pcp")? as u16) << 13 | flow::key::VLAN_CFI,
            output: args.number("output")? as u32,
        },
        "slow_path" => UserCookie::SlowPath(SlowReason(
            SlowReason::TABLE.iter().filter(|(_, n, _)| args.get(n).is_some()).fold(0, |all, (bit, ..)| all | bit),
        )),
        "flow_sample" => UserCookie::FlowSample(Box::new(FlowSample {
            probability: args.number("probability")? as u16,
            collector_set: args.number("collector_set_id")? as u32,
            obs_domain: args.number("obs_domain_id")? as u32,
            obs_point: args.number("obs_point_id")? as u32,
            output: parse_port(args.get("output_port").unwrap_or("0"), names)?,
            direction: if args.get("ingress").is_some() {
                1
            } else if args.get("egress").is_some() {
                2
            } else {
                0
            },
        })),
        "ipfix" => UserCookie::Ipfix { output: parse_port(args.get("output_port").unwrap_or("0"), names)? },
        "controller" => UserCookie::Controller {
            dont_send: args.number("dont_send")? != 0,
            continuation: args.number("continuation")? != 0,
            recirc_id: args.number("recirc_id")? as u32,
            rule_cookie: args.number("rule_cookie")? as u64,
            controller_id: args.number("controller_id")? as u16,
            max_len: args.number("max_len")? as u16,
            reason: args.number("reason")? as u8,
        },
        "userdata" => {
            let digit = |i: usize| body.get(i..i + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
            let bytes: Option<Box<[u8]>> = (0..body.len()).step_by(2).map(digit).collect();
            let mut bytes = bytes.ok_or_else(|| BadText(format!("{body}: bad hexadecimal")))?.into_vec();
            // Old kernels want as many.
            bytes.resize(bytes.len().max(8), 0);
            UserCookie::Other(bytes.into())
        }
        _ => return bad(format!("{name}: unknown userspace action")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_text::NoNames;

    #[test]
    fn round_trips() {
        for text in [
            "drop",
            "2",
            "set(eth(dst=00:00:00:00:00:01))",
            "set(ipv4(src=1.2.3.4,ttl=63))",
            "set(ipv4(src=1.2.0.0/255.255.0.0,tos=0x4/0xfc))",
            "set(tcp(src=5))",
            "set(udp(src=5/0xff))",
            "push_vlan(vid=5,pcp=1)",
            "push_vlan(tpid=0x88a8,vid=5,pcp=1)",
            "trunc(100),2",
            "hash(l4(0)),recirc(0x5)",
            "sample(sample=50.0%,actions(2)),3",
            "clone(2,3)",
            "ct(commit,zone=5,mark=0x1/0xff,label=0x1/0x1,helper=ftp,nat(src=1.1.1.1-1.1.1.2:100-200))",
            "ct(nat)",
            "ct_clear",
            "meter(3)",
            "check_pkt_len(size=100,gt(2),le(drop))",
            "push_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847)",
            "add_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847)",
            "pop_mpls(eth_type=0x800)",
            "userspace(pid=0,controller(reason=1,dont_send=0,continuation=0,recirc_id=1,rule_cookie=0x5,controller_id=0,max_len=65535))",
            "userspace(pid=0,slow_path(controller))",
            "set(skb_mark(0x5/0xff))",
            "set(tunnel(tun_id=0x5,src=1.1.1.1,dst=2.2.2.2,ttl=64,tp_dst=4789,flags(df|key)))",
            "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x1234,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4)",
            "userspace(pid=0,sFlow(vid=5,pcp=1,output=5))",
            "userspace(pid=0,ipfix(output_port=3))",
            "lb_output(5)",
            "psample(group=1,cookie=0x102)",
            "userspace(pid=3,userdata(0102030405060708))",
            "tnl_pop(5)",
        ] {
            let actions = parse_actions(text, &NoNames).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(format_actions(&actions, &NoNames), text);
        }
    }

    #[test]
    fn bad_texts_are_refused() {
        for text in ["foo", "set(foo(1))", "push_vlan(vid=5000)", "sample(sample=200%)", "clone(2", "hash(l5(1))"] {
            assert!(parse_actions(text, &NoNames).is_err(), "{text}");
        }
    }
}
