//! Connections.

use super::{Done, Options, Outcome, choose_before_options, failure, shown};
use crate::ConnTable;
use clock::WallTime;
use io::program::strerror;
use netlink::conntrack::{Counters, Entry, Tuple};
use std::collections::BTreeMap;
use std::net::IpAddr;

const TCP_STATES: [&str; 10] = [
    "CLOSED",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT_2",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSING",
    "SYN_SENT2",
];
/// Bits of a connection's state (`IPS_*`).
const STATUS: [(u32, &str); 14] = [
    (1 << 0, "EXPECTED"),
    (1 << 1, "SEEN_REPLY"),
    (1 << 2, "ASSURED"),
    (1 << 3, "CONFIRMED"),
    (1 << 4, "SRC_NAT"),
    (1 << 5, "DST_NAT"),
    (1 << 6, "SEQ_ADJUST"),
    (1 << 7, "SRC_NAT_DONE"),
    (1 << 8, "DST_NAT_DONE"),
    (1 << 9, "DYING"),
    (1 << 10, "FIXED_TIMEOUT"),
    (1 << 11, "TEMPLATE"),
    (1 << 12, "UNTRACKED"),
    (1 << 13, "HELPER"),
];

fn protocol(n: u8) -> String {
    match n {
        1 => "icmp".into(),
        2 => "igmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        58 => "icmpv6".into(),
        132 => "sctp".into(),
        136 => "udplite".into(),
        n => format!("{n}"),
    }
}

fn table() -> Result<ConnTable, Outcome> {
    ConnTable::open().or_else(|e| failure(format!("opening conntrack ({})", strerror(&e))))
}

fn zone_of(args: &[String]) -> Result<Option<u16>, Outcome> {
    let mut zone = None;
    for a in args {
        match a.strip_prefix("zone=").map(str::parse) {
            Some(Ok(z)) => zone = Some(z),
            Some(Err(_)) => return failure("failed to parse zone (Invalid argument)"),
            None => {}
        }
    }
    Ok(zone)
}

/// `dump-conntrack [-m] [-s] [dp] [zone=N]`
pub(super) fn dump(args: &[String], o: Options) -> Done {
    let more = o.more || args.iter().any(|a| a == "-m");
    let counters = o.statistics || args.iter().any(|a| a == "-s");
    let rest: Vec<String> = args.iter().filter(|a| *a != "-m" && *a != "-s").cloned().collect();
    let (_, options) = choose_before_options(&rest)?;
    // A zone that is no number is taken for a datapath's name, or for nothing where there is one.
    let zone = match zone_of(options) {
        Err(_) if options.len() == rest.len() => return failure("datapath not found (Invalid argument)"),
        zone => zone.unwrap_or(None),
    };
    match table()?.dump(zone) {
        Ok(all) => {
            let mut out = Outcome::default();
            all.iter().for_each(|e| out.line(entry(e, more, counters)));
            Ok(out)
        }
        Err(e) => failure(format!("dumping conntrack entry ({})", strerror(&e))),
    }
}

fn tuple(t: &Tuple, counters: Option<Counters>) -> String {
    let mut out = format!("src={},dst={}", t.src, t.dst);
    match t.protocol {
        1 | 58 => out.push_str(&format!(",id={},type={},code={}", t.icmp_id, t.ports.0, t.ports.1)),
        6 | 17 | 132 | 136 | 33 => out.push_str(&format!(",sport={},dport={}", t.ports.0, t.ports.1)),
        _ => {}
    }
    if let Some(c) = counters {
        out.push_str(&format!(",packets={},bytes={}", c.packets, c.bytes));
    }
    out
}

/// A time in nanoseconds of the epoch, in UTC.
fn moment(nanos: u64) -> String {
    let u = WallTime { millis: i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX) }.utc();
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}", u.year, u.month, u.day, u.hour, u.minute, u.second, u.millis)
}

fn entry(e: &Entry, more: bool, counters: bool) -> String {
    let count = |c: Counters| (counters && c != Counters::default()).then_some(c);
    let mut out = protocol(e.orig.map_or(0, |t| t.protocol));
    if let Some(t) = &e.orig {
        out.push_str(&format!(",orig=({})", tuple(t, count(e.counters_orig))));
    }
    if let Some(t) = &e.reply {
        out.push_str(&format!(",reply=({})", tuple(t, count(e.counters_reply))));
    }
    if counters && e.start != 0 {
        out.push_str(&format!(",start={}", moment(e.start)));
    }
    if more {
        out.push_str(&format!(",id={}", e.id));
    }
    if e.zone != 0 {
        out.push_str(&format!(",zone={}", e.zone));
    }
    if more {
        let names: Vec<&str> = STATUS.iter().filter(|(bit, _)| e.status & bit != 0).map(|(_, n)| *n).collect();
        out.push_str(&format!(",status={}", names.join("|")));
    }
    if counters {
        out.push_str(&format!(",timeout={}", e.timeout));
    }
    if e.mark != 0 {
        out.push_str(&format!(",mark={}", e.mark));
    }
    if let Some(labels) = e.labels.filter(|l| *l != 0) {
        out.push_str(&format!(",labels={labels:#x}"));
    }
    if let Some(tcp) = &e.tcp {
        out.push_str(&format!(",protoinfo=({}", tcp_text(tcp, more)));
        out.push(')');
    }
    if let Some(helper) = &e.helper {
        out.push_str(&format!(",helper={helper}"));
    }
    if let Some(t) = &e.master {
        out.push_str(&format!(",parent=({})", tuple(t, None)));
    }
    out
}

fn tcp_state(n: u8) -> &'static str {
    // The kernel's numbers begin with none.
    TCP_STATES.get(usize::from(n)).copied().unwrap_or("INVALID")
}

fn tcp_text(tcp: &netlink::conntrack::TcpInfo, more: bool) -> String {
    let state = tcp_state(tcp.state);
    if !more {
        return format!("state={state}");
    }
    format!(
        "state_orig={state},state_reply={state},wscale_orig={},wscale_reply={},flags_orig={},flags_reply={}",
        tcp.wscale_orig,
        tcp.wscale_reply,
        flags(tcp.flags_orig),
        flags(tcp.flags_reply)
    )
}

fn flags(bits: u8) -> String {
    const NAMES: [(u8, &str); 6] = [
        (1, "WINDOW_SCALE"),
        (2, "SACK_PERM"),
        (4, "CLOSE_INIT"),
        (8, "BE_LIBERAL"),
        (16, "DATA_UNACKNOWLEDGED"),
        (32, "MAXACK_SET"),
    ];
    NAMES.iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| *n).collect::<Vec<_>>().join("|")
}

/// What `flush-conntrack` is told of a direction: what is not told fits everything.
#[derive(Default)]
struct Wanted {
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
    protocol: Option<u8>,
    ports: [Option<u16>; 2],
    icmp: [Option<u16>; 3],
}

impl Wanted {
    fn parse(text: &str) -> Result<Wanted, Outcome> {
        let mut w = Wanted::default();
        let bad = |what: &str| failure::<Wanted>(format!("failed to parse {what} (Invalid argument)"));
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let Some((name, value)) = part.split_once('=') else { return bad(part) };
            let number = value.parse::<u16>().ok();
            match name {
                "ct_nw_src" | "ct_ipv6_src" => w.src = value.parse().ok(),
                "ct_nw_dst" | "ct_ipv6_dst" => w.dst = value.parse().ok(),
                "ct_nw_proto" => w.protocol = value.parse().ok(),
                "ct_tp_src" => w.ports[0] = number,
                "ct_tp_dst" => w.ports[1] = number,
                "icmp_type" => w.icmp[0] = number,
                "icmp_code" => w.icmp[1] = number,
                "icmp_id" => w.icmp[2] = number,
                _ => return failure(format!("invalid conntrack tuple field: {name} (Invalid argument)")),
            }
            let read = match name {
                "ct_nw_src" | "ct_ipv6_src" => w.src.is_some(),
                "ct_nw_dst" | "ct_ipv6_dst" => w.dst.is_some(),
                "ct_nw_proto" => w.protocol.is_some(),
                _ => number.is_some(),
            };
            if !read {
                return bad(part);
            }
        }
        Ok(w)
    }

    /// The one connection that this can be, where all is told.
    fn whole(&self) -> Option<Tuple> {
        let (src, dst, protocol) = (self.src?, self.dst?, self.protocol?);
        let (ports, icmp_id) = if matches!(protocol, 1 | 58) {
            ((self.icmp[0]?, self.icmp[1]?), self.icmp[2]?)
        } else {
            ((self.ports[0]?, self.ports[1]?), 0)
        };
        Some(Tuple { src, dst, protocol, ports, icmp_id })
    }

    fn fits(&self, t: &Tuple) -> bool {
        let is_icmp = matches!(t.protocol, 1 | 58);
        let one = |wanted: Option<u16>, here: bool, value: u16| wanted.is_none_or(|w| here && w == value);
        self.src.is_none_or(|a| a == t.src)
            && self.dst.is_none_or(|a| a == t.dst)
            && self.protocol.is_none_or(|p| p == t.protocol)
            && one(self.ports[0], !is_icmp, t.ports.0)
            && one(self.ports[1], !is_icmp, t.ports.1)
            && one(self.icmp[0], is_icmp, t.ports.0)
            && one(self.icmp[1], is_icmp, t.ports.1)
            && one(self.icmp[2], is_icmp, t.icmp_id)
    }
}

/// A value with an optional mask, decimal or hexadecimal.
fn masked(text: &str) -> Option<(u128, u128)> {
    let number = |s: &str| match s.strip_prefix("0x") {
        Some(hex) => u128::from_str_radix(hex, 16).ok(),
        None => s.parse().ok(),
    };
    match text.split_once('/') {
        Some((v, m)) => Some((number(v)?, number(m)?)),
        None => Some((number(text)?, u128::MAX)),
    }
}

/// `flush-conntrack [dp] [zone=N] [mark=X[/M]] [labels=Y[/N]] [ct-orig-tuple [ct-reply-tuple]]`
pub(super) fn flush(args: &[String]) -> Done {
    let (_, args) = choose_before_options(args)?;
    let zone = zone_of(args)?;
    let (mut mark, mut labels, mut tuples) = (None, None, vec![]);
    for a in args {
        if let Some(v) = a.strip_prefix("mark=") {
            mark = masked(v);
        } else if let Some(v) = a.strip_prefix("labels=") {
            labels = masked(v);
        } else if !a.starts_with("zone=") {
            tuples.push(Wanted::parse(a)?);
        }
    }
    let table = table()?;
    let failed = |e: std::io::Error| failure(format!("failed to flush conntrack ({})", strerror(&e)));
    if zone.is_none() && mark.is_none() && labels.is_none() && tuples.is_empty() {
        return table.flush().map(|()| Outcome::default()).or_else(failed);
    }
    if let ([only], None, None) = (tuples.as_slice(), mark, labels)
        && let Some(tuple) = only.whole()
    {
        return table.delete(&tuple, zone.unwrap_or(0), None).map(|()| Outcome::default()).or_else(failed);
    }
    let all = match table.dump(zone) {
        Ok(a) => a,
        Err(e) => return failed(e),
    };
    for e in all {
        let wanted = |n: usize, t: Option<&Tuple>| tuples.get(n).is_none_or(|w| t.is_some_and(|t| w.fits(t)));
        let marked = |of: Option<(u128, u128)>, value: u128| of.is_none_or(|(v, m)| value & m == v & m);
        let (Some(orig), true) = (e.orig, wanted(0, e.orig.as_ref()) && wanted(1, e.reply.as_ref())) else { continue };
        if marked(mark, e.mark.into())
            && marked(labels, e.labels.unwrap_or(0))
            && let Err(e) = table.delete(&orig, e.zone, Some(e.id))
        {
            return failed(e);
        }
    }
    Ok(Outcome::default())
}

/// `ct-stats-show [dp] [zone=N]`
pub(super) fn stats(args: &[String], o: Options) -> Done {
    let verbose = o.more || args.iter().any(|a| a == "-m" || a == "verbose");
    let rest: Vec<String> = args.iter().filter(|a| *a != "-m" && *a != "verbose").cloned().collect();
    let (_, rest) = choose_before_options(&rest)?;
    let all = match table()?.dump(zone_of(rest)?) {
        Ok(a) => a,
        Err(e) => return failure(format!("dumping conntrack entry ({})", strerror(&e))),
    };
    let mut by_protocol: BTreeMap<&str, (u32, BTreeMap<&str, u32>)> = BTreeMap::new();
    for e in &all {
        let name = match e.orig.map_or(0, |t| t.protocol) {
            6 => "TCP",
            17 => "UDP",
            132 => "SCTP",
            1 => "ICMP",
            33 => "DCCP",
            2 => "IGMP",
            58 => "ICMPV6",
            136 => "UDPLITE",
            _ => "Other",
        };
        let counts = by_protocol.entry(name).or_default();
        counts.0 += 1;
        if let Some(tcp) = &e.tcp {
            *counts.1.entry(tcp_state(tcp.state)).or_default() += 1;
        }
    }
    let mut text = format!("Connections Stats:\n    Total: {}\n", all.len());
    for name in ["TCP", "UDP", "UDPLITE", "SCTP", "ICMP", "ICMPV6", "DCCP", "IGMP", "Other"] {
        let Some((n, states)) = by_protocol.get(name) else { continue };
        text.push_str(&format!("  {name}: {n}\n"));
        if name == "TCP" && verbose {
            text.push_str("    Conn per TCP states:\n");
            states.iter().for_each(|(state, n)| text.push_str(&format!("\t  [{state}]={n}\n")));
        }
    }
    shown(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_as_text() {
        let (Ok(a), Ok(b)) = ("10.0.0.1".parse(), "10.0.0.2".parse()) else { unreachable!() };
        let t = |src, dst, protocol, ports| Tuple { src, dst, protocol, ports, icmp_id: 5 };
        let e = Entry {
            orig: Some(t(a, b, 1, (8, 0))),
            reply: Some(t(b, a, 1, (0, 0))),
            zone: 5,
            mark: 7,
            ..Entry::default()
        };
        assert_eq!(
            entry(&e, false, false),
            "icmp,orig=(src=10.0.0.1,dst=10.0.0.2,id=5,type=8,code=0),reply=(src=10.0.0.2,dst=10.0.0.1,id=5,type=0,code=0),zone=5,mark=7"
        );
        let all = Entry { id: 3, status: 10, timeout: 18, start: 1_795_350_044_126_025_507, ..e };
        let text = entry(&all, true, true);
        assert!(
            text.ends_with(",start=2026-11-22T12:20:44.126,id=3,zone=5,status=SEEN_REPLY|CONFIRMED,timeout=18,mark=7"),
            "{text}"
        );
        let wanted = |s: &str| Wanted::parse(s).is_ok_and(|w| w.fits(&t(a, b, 1, (8, 0))));
        assert!(wanted("ct_nw_src=10.0.0.1,ct_nw_proto=1,icmp_id=5") && !wanted("ct_tp_src=8"));
        let whole = |s: &str| Wanted::parse(s).ok().and_then(|w| w.whole());
        let told = "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2";
        assert_eq!(whole(told), Some(Tuple { icmp_id: 0, ..t(a, b, 17, (1, 2)) }));
        assert!(whole("ct_nw_src=10.0.0.1,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2").is_none());
        assert!(Wanted::parse("foo=1").is_err() && Wanted::parse("ct_nw_src=x").is_err());
    }
}
