//! Offline commands on packets: captures, packets from flows, flows from packets.

use std::collections::HashMap;
use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use flow::text::Style;
use flow::{Field, FlowKey, Metadata, OfPort, PacketType, Prereq};
use openflow::text::print::put_packet;
use openflow::text::{format_message, hex_dump};

use super::Settings;
use super::client::Result;
use super::offline::{hex_bytes, write_out};

/// All fields of a packet that came from nowhere.
fn fields_of(packet: &[u8]) -> FlowKey {
    let mut meta = Metadata::default();
    meta.key.set_packet_type(PacketType::ETHERNET);
    meta.key.set_in_port(OfPort::NONE);
    flow::extract(packet, &meta)
}

/// A packet of a capture.
struct Captured {
    /// Since 1970.
    at: Duration,
    bytes: Vec<u8>,
}

/// Packets of a capture file: classic pcap, either byte order, microseconds or nanoseconds. What follows the last whole
/// packet is left out with a warning.
fn pcap_packets(file: &str) -> Result<Vec<Captured>> {
    let data = std::fs::read(file).map_err(|e| format!("{file}: open failed ({})", io::program::strerror(&e)))?;
    let header = data.first_chunk::<24>().ok_or_else(|| format!("{file}: open failed (End of file)"))?;
    let magic = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    let (little, nanoseconds) = match magic {
        0xa1b2_c3d4 => (false, false),
        0xa1b2_3c4d => (false, true),
        0xd4c3_b2a1 => (true, false),
        0x4d3c_b2a1 => (true, true),
        _ => {
            warn(format_args!(
                "bad magic 0x{:08x} reading pcap file (expected 0xa1b2c3d4, 0xa1b23c4d, 0xd4c3b2a1, or 0x4d3cb2a1)",
                magic.swap_bytes()
            ));
            return Err(format!("{file}: open failed (Protocol error)"));
        }
    };
    let word = |at: usize| -> Option<u32> {
        let b: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) })
    };
    let packet = |at: usize| {
        let (seconds, fraction) = (word(at)?, word(at + 4)?);
        let nanos = if nanoseconds { fraction } else { fraction.saturating_mul(1000) };
        let bytes = data.get(at + 16..at + 16 + word(at + 8)? as usize)?.to_vec();
        Some(Captured { at: Duration::new(u64::from(seconds), nanos % 1_000_000_000), bytes })
    };
    let mut out = Vec::new();
    let mut at = 24;
    while at < data.len() {
        let Some(p) = packet(at).filter(|p| !p.bytes.is_empty()) else {
            warn(format_args!("failed to read pcap packet: End of file"));
            break;
        };
        at += 16 + p.bytes.len();
        out.push(p);
    }
    Ok(out)
}

fn warn(text: std::fmt::Arguments<'_>) {
    let module = io::vlog::Module::parse("pcap").unwrap_or(io::vlog::Module::Ofctl);
    io::vlog::log(module, io::vlog::Level::Warn, text);
}

/// The fields of a packet as text, those that do not come from its bytes included.
fn with_metadata(key: &FlowKey) -> String {
    let mut m = flow::match_of_packet(key);
    if key.packet_type() != PacketType::ETHERNET {
        m.mask.set_packet_type_raw(u32::MAX);
        for f in [Field::ETH_SRC, Field::ETH_DST, Field::ETH_TYPE] {
            m.mask.set(f, 0);
        }
        m.mask.set_vlan_tci(0, 0);
    }
    // The wider registers are the registers once more.
    let metadata = |f: &Field| f.def().prereq == Prereq::None && !f.name().starts_with('x');
    for f in Field::all().filter(|f| metadata(f) && key.get(*f) != 0) {
        m.mask.set(f, f.exact_mask());
    }
    m.mask.set(Field::IN_PORT, u128::MAX);
    m.to_string()
}

/// `parse-pcap`: the flows of captured packets.
pub fn parse_pcap(args: &[String]) -> Result<u8> {
    for file in args {
        for packet in pcap_packets(file)? {
            println!("{}", with_metadata(&fields_of(&packet.bytes)));
        }
    }
    Ok(0)
}

/// `parse-packet`: the flow of the packet whose bytes are on standard input.
pub fn parse_packet() -> Result<u8> {
    let mut packet = Vec::new();
    std::io::stdin().lock().read_to_end(&mut packet).map_err(|e| e.to_string())?;
    let mut out = String::new();
    put_packet(&mut out, &Style::default(), &packet);
    write_out(&out)?;
    Ok(0)
}

/// `compose-packet`: a packet with the headers that a flow says, and what of the flow it does not say.
pub fn compose_packet(args: &[String]) -> Result<u8> {
    let key = openflow::text::parse_packet_fields(&args[0], None).map_err(|e| format!("{}: {e}", args[0]))?;
    let bytes;
    let payload = match args.get(1) {
        Some(p) => {
            bytes = hex_bytes(p).map_err(|_| format!("{p}: trailing garbage in packet data"))?;
            flow::Payload::Bytes(&bytes)
        }
        None => flow::Payload::Usual,
    };
    let packet = flow::compose(&key, payload);
    let extracted = fields_of(&packet);
    let mut specified = key;
    for n in 0..2 {
        if key.vlan_tci(n) & flow::key::VLAN_CFI != 0 {
            specified.set_vlan_tpid(n, extracted.vlan_tpid(n));
        }
    }
    let same = extracted == specified;
    if !same {
        let (specified, extracted) = (with_metadata(&key), with_metadata(&extracted));
        eprint!("specified and extracted flows differ:\nspecified: {specified}\nextracted: {extracted}");
    }
    let mut out = String::new();
    hex_dump(&mut out, &packet, 0, false);
    write_out(&out)?;
    Ok(u8::from(!same))
}

/// One direction of a TCP connection: what is to come next, and what came of a message.
#[derive(Default)]
struct Stream {
    /// Sequence number of the next byte; `None` before the first.
    next: Option<u32>,
    framer: session::Framer,
    /// Something came that is not OpenFlow.
    broken: bool,
}

/// Addresses and ports, from and to.
type Connection = (IpAddr, u16, IpAddr, u16);

/// `ofp-parse-pcap`: OpenFlow messages of the TCP connections of a capture with one of the ports, in the order of the
/// packets. Bytes out of order are left out: captures of one machine have what was sent again.
pub fn ofp_parse_pcap(s: &Settings, args: &[String]) -> Result<u8> {
    let ports: Vec<u16> = args[1..].iter().map(|p| p.parse().unwrap_or(0)).collect();
    let ports = if ports.is_empty() { vec![6633, 6653] } else { ports };
    let mut streams: HashMap<Connection, Stream> = HashMap::new();
    let mut first = true;
    for packet in pcap_packets(&args[0])? {
        let Some((connection, segment)) = tcp_segment(&packet.bytes) else { continue };
        let (from, src, to, dst) = connection;
        if !ports.contains(&src) && !ports.contains(&dst) {
            continue;
        }
        let stream = streams.entry(connection).or_default();
        if segment.flags & TCP_SYN != 0 {
            *stream = Stream { next: Some(segment.seq.wrapping_add(1)), ..Stream::default() };
            continue;
        }
        if segment.flags & (TCP_FIN | TCP_RST) != 0 {
            streams.remove(&connection);
            continue;
        }
        if stream.next.is_some_and(|n| n != segment.seq) || stream.broken {
            continue;
        }
        stream.next = Some(segment.seq.wrapping_add(segment.payload.len() as u32));
        stream.framer.push(segment.payload);
        loop {
            let m = match stream.framer.next_message() {
                Ok(Some(m)) => m,
                Ok(None) => break,
                Err(_) => {
                    stream.broken = true;
                    break;
                }
            };
            let text = format_message(m, s.verbosity + 1, &s.style(None));
            let shown = |a: IpAddr| if a.is_ipv6() { format!("[{a}]") } else { a.to_string() };
            let when = if s.timestamp { time_of_day(packet.at) } else { String::new() };
            let gap = if first { "" } else { "\n" };
            first = false;
            write_out(&format!("{gap}{when}{}.{src} > {}.{dst}:\n{text}", shown(from), shown(to)))?;
        }
    }
    Ok(0)
}

/// `00:16:40.000 `, in universal time.
fn time_of_day(t: Duration) -> String {
    let s = t.as_secs() % 86400;
    format!("{:02}:{:02}:{:02}.{:03} ", s / 3600, s / 60 % 60, s % 60, t.subsec_millis())
}

const TCP_FIN: u8 = 1;
const TCP_SYN: u8 = 2;
const TCP_RST: u8 = 4;

/// A TCP segment (RFC 9293 §3.1).
struct Segment<'a> {
    seq: u32,
    flags: u8,
    payload: &'a [u8],
}

fn tcp_segment(packet: &[u8]) -> Option<(Connection, Segment<'_>)> {
    let mut key = FlowKey::new();
    let layers = flow::extract_into(packet, &mut key, 2);
    let (Some(l4), 6) = (layers.l4, key.nw_proto()) else { return None };
    let end = packet.len() - usize::from(layers.l2_pad).min(packet.len());
    let tcp = packet.get(usize::from(l4)..end)?;
    let seq = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?);
    let header = usize::from(*tcp.get(12)? >> 4) * 4;
    let (from, to): (IpAddr, IpAddr) = if key.eth_type() == 0x86dd {
        (key.ipv6_src().into(), key.ipv6_dst().into())
    } else {
        (key.nw_src().into(), key.nw_dst().into())
    };
    let segment = Segment { seq, flags: *tcp.get(13)?, payload: tcp.get(header..)? };
    Some(((from, key.tp_src(), to, key.tp_dst()), segment))
}
