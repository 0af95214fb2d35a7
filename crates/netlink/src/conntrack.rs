//! Connections of the kernel's connection tracking (`linux/netfilter/nfnetlink_conntrack.h`): listing and deleting.

use crate::attr::{Attrs, Malformed, Writer, be16_of, be32_of, be64_of, string_of, u8_of};
use std::net::IpAddr;

/// Message type: a connection.
pub const NEW: u16 = 1 << 8;
/// Message type: ask for connections.
pub const GET: u16 = 1 << 8 | 1;
/// Message type: delete one, or all.
pub const DELETE: u16 = 1 << 8 | 2;
/// Message type: counters of each CPU.
pub const STATS_CPU: u16 = 1 << 8 | 4;
/// Message type: how many there are.
pub const STATS: u16 = 1 << 8 | 5;

const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOINFO: u16 = 4;
const HELP: u16 = 5;
const TIMEOUT: u16 = 7;
const MARK: u16 = 8;
const COUNTERS_ORIG: u16 = 9;
const COUNTERS_REPLY: u16 = 10;
const ID: u16 = 12;
const TUPLE_MASTER: u16 = 14;
const ZONE: u16 = 18;
const TIMESTAMP: u16 = 20;
const LABELS: u16 = 22;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;
const PROTO_ICMP: [u16; 3] = [4, 5, 6];
const PROTO_ICMPV6: [u16; 3] = [7, 8, 9];
const PROTOINFO_TCP: u16 = 1;
const PROTOINFO_SCTP: u16 = 3;
const STATE: u16 = 1;
const TCP_WSCALE_ORIG: u16 = 2;
const TCP_WSCALE_REPLY: u16 = 3;
const TCP_FLAGS_ORIG: u16 = 4;
const TCP_FLAGS_REPLY: u16 = 5;
const PACKETS: u16 = 1;
const BYTES: u16 = 2;
const START: u16 = 1;
const STOP: u16 = 2;
const HELP_NAME: u16 = 1;
const GLOBAL_ENTRIES: u16 = 1;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Ports; for ICMP the type and code.
    pub ports: (u16, u16),
    /// ICMP identifier.
    pub icmp_id: u16,
}

/// Packets and bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counters {
    pub packets: u64,
    pub bytes: u64,
}

/// What TCP has more: states, window scales and flags of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TcpInfo {
    pub state: u8,
    pub wscale_orig: u8,
    pub wscale_reply: u8,
    pub flags_orig: u8,
    pub flags_reply: u8,
}

/// A connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// From who began it.
    pub orig: Option<Tuple>,
    /// Back.
    pub reply: Option<Tuple>,
    /// The connection that it belongs to.
    pub master: Option<Tuple>,
    /// Zone.
    pub zone: u16,
    /// Number.
    pub id: u32,
    /// `IPS_*` bits.
    pub status: u32,
    /// Seconds until it is forgotten.
    pub timeout: u32,
    /// Mark.
    pub mark: u32,
    /// Labels, as the kernel has them in memory.
    pub labels: Option<u128>,
    /// Helper.
    pub helper: Option<String>,
    /// TCP's state.
    pub tcp: Option<TcpInfo>,
    /// SCTP's state.
    pub sctp: Option<u8>,
    /// Packets from who began it.
    pub counters_orig: Counters,
    /// Packets back.
    pub counters_reply: Counters,
    /// Nanoseconds of the wall clock when it began.
    pub start: u64,
    /// And when it ended.
    pub stop: u64,
}

fn begin(family: u8) -> Writer {
    let mut w = Writer::new();
    w.raw(&[family, 0, 0, 0]);
    w
}

/// Body of a request for all connections, or for some counters.
#[must_use]
pub fn request() -> Writer {
    begin(0)
}

fn write_tuple(w: &mut Writer, kind: u16, t: &Tuple) {
    const NESTED: u16 = crate::attr::NESTED;
    w.nest(kind | NESTED, |w| {
        w.nest(TUPLE_IP | NESTED, |w| match (t.src, t.dst) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                w.put(IP_V4_SRC, &a.octets()).put(IP_V4_DST, &b.octets());
            }
            (a, b) => {
                let wide = |a: IpAddr| match a {
                    IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
                    IpAddr::V6(a) => a.octets(),
                };
                w.put(IP_V6_SRC, &wide(a)).put(IP_V6_DST, &wide(b));
            }
        });
        w.nest(TUPLE_PROTO | NESTED, |w| {
            w.u8(PROTO_NUM, t.protocol);
            let icmp = match t.protocol {
                1 => Some(PROTO_ICMP),
                58 => Some(PROTO_ICMPV6),
                _ => None,
            };
            match icmp {
                Some([id, kind, code]) => {
                    w.be16(id, t.icmp_id).u8(kind, t.ports.0 as u8).u8(code, t.ports.1 as u8);
                }
                None => {
                    w.be16(PROTO_SRC_PORT, t.ports.0).be16(PROTO_DST_PORT, t.ports.1);
                }
            }
        });
    });
}

/// Body of the request to delete the connection that `tuple` began in `zone`. An `id` that differs keeps it.
#[must_use]
pub fn delete(tuple: &Tuple, zone: u16, id: Option<u32>) -> Writer {
    let mut w = begin(if tuple.src.is_ipv4() { 2 } else { 10 });
    write_tuple(&mut w, TUPLE_ORIG, tuple);
    w.be16(ZONE, zone);
    if let Some(i) = &id {
        w.put(ID, &i.to_be_bytes());
    }
    w
}

fn read_tuple(value: &[u8]) -> Result<Tuple, Malformed> {
    const WHAT: Malformed = Malformed("connection tuple");
    let ip = Attrs(value).find(TUPLE_IP)?.ok_or(WHAT)?;
    let proto = Attrs(value).find(TUPLE_PROTO)?.ok_or(WHAT)?;
    let address = |v4, v6| -> Result<IpAddr, Malformed> {
        if let Some(v) = Attrs(ip).find(v4)? {
            return Ok(IpAddr::V4(be32_of(v)?.into()));
        }
        let v = Attrs(ip).find(v6)?.ok_or(WHAT)?;
        Ok(IpAddr::V6(<[u8; 16]>::try_from(v).map_err(|_| WHAT)?.into()))
    };
    let (src, dst) = (address(IP_V4_SRC, IP_V6_SRC)?, address(IP_V4_DST, IP_V6_DST)?);
    let mut t = Tuple { src, dst, protocol: 0, ports: (0, 0), icmp_id: 0 };
    for a in Attrs(proto) {
        match a? {
            (PROTO_NUM, v) => t.protocol = u8_of(v)?,
            (PROTO_SRC_PORT, v) => t.ports.0 = be16_of(v)?,
            (PROTO_DST_PORT, v) => t.ports.1 = be16_of(v)?,
            (4 | 7, v) => t.icmp_id = be16_of(v)?,
            (5 | 8, v) => t.ports.0 = u8_of(v)?.into(),
            (6 | 9, v) => t.ports.1 = u8_of(v)?.into(),
            _ => {}
        }
    }
    Ok(t)
}

fn read_counters(value: &[u8]) -> Result<Counters, Malformed> {
    let one = |kind| Ok(Attrs(value).find(kind)?.map(be64_of).transpose()?.unwrap_or(0));
    Ok(Counters { packets: one(PACKETS)?, bytes: one(BYTES)? })
}

/// Reads a connection.
///
/// # Errors
/// If it is malformed.
pub fn parse(body: &[u8]) -> Result<Entry, Malformed> {
    let attrs = body.get(4..).ok_or(Malformed("connection"))?;
    let mut e = Entry::default();
    for a in Attrs(attrs) {
        match a? {
            (TUPLE_ORIG, v) => e.orig = Some(read_tuple(v)?),
            (TUPLE_REPLY, v) => e.reply = Some(read_tuple(v)?),
            (TUPLE_MASTER, v) => e.master = Some(read_tuple(v)?),
            (STATUS, v) => e.status = be32_of(v)?,
            (TIMEOUT, v) => e.timeout = be32_of(v)?,
            (MARK, v) => e.mark = be32_of(v)?,
            (ZONE, v) => e.zone = be16_of(v)?,
            (ID, v) => e.id = be32_of(v)?,
            (LABELS, v) => {
                e.labels = Some(<[u8; 16]>::try_from(v).map_err(|_| Malformed("labels")).map(u128::from_le_bytes)?)
            }
            (COUNTERS_ORIG, v) => e.counters_orig = read_counters(v)?,
            (COUNTERS_REPLY, v) => e.counters_reply = read_counters(v)?,
            (HELP, v) => e.helper = Attrs(v).find(HELP_NAME)?.map(string_of).transpose()?,
            (TIMESTAMP, v) => {
                e.start = Attrs(v).find(START)?.map(be64_of).transpose()?.unwrap_or(0);
                e.stop = Attrs(v).find(STOP)?.map(be64_of).transpose()?.unwrap_or(0);
            }
            (PROTOINFO, v) => {
                if let Some(tcp) = Attrs(v).find(PROTOINFO_TCP)? {
                    // Flags come with their mask behind them.
                    let first = |kind| Ok(Attrs(tcp).find(kind)?.and_then(|v| v.first().copied()).unwrap_or(0));
                    e.tcp = Some(TcpInfo {
                        state: first(STATE)?,
                        wscale_orig: first(TCP_WSCALE_ORIG)?,
                        wscale_reply: first(TCP_WSCALE_REPLY)?,
                        flags_orig: first(TCP_FLAGS_ORIG)?,
                        flags_reply: first(TCP_FLAGS_REPLY)?,
                    });
                }
                if let Some(sctp) = Attrs(v).find(PROTOINFO_SCTP)? {
                    e.sctp = Some(Attrs(sctp).find(STATE)?.map(u8_of).transpose()?.unwrap_or(0));
                }
            }
            _ => {}
        }
    }
    Ok(e)
}

/// Reads the answer to [`STATS`]: how many connections there are.
///
/// # Errors
/// If it is malformed.
pub fn parse_stats(body: &[u8]) -> Result<u32, Malformed> {
    let attrs = body.get(4..).ok_or(Malformed("connection statistics"))?;
    Attrs(attrs).find(GLOBAL_ENTRIES)?.map(be32_of).transpose()?.ok_or(Malformed("connection statistics"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples_round_trip() {
        for (src, dst, protocol, ports, icmp_id) in [
            ("10.0.0.1", "10.0.0.2", 6, (1, 2), 0),
            ("10.0.0.1", "10.0.0.2", 1, (8, 0), 77),
            ("fe80::1", "fe80::2", 17, (53, 9), 0),
            ("fe80::1", "fe80::2", 58, (128, 0), 5),
        ] {
            let (Ok(src), Ok(dst)) = (src.parse(), dst.parse()) else { unreachable!() };
            let tuple = Tuple { src, dst, protocol, ports, icmp_id };
            let body = delete(&tuple, 5, Some(9));
            let entry = parse(body.bytes());
            assert_eq!(entry.map(|e| (e.orig, e.zone, e.id)), Ok((Some(tuple), 5, 9)));
        }
        assert!(parse(&[2, 0]).is_err());
    }
}
