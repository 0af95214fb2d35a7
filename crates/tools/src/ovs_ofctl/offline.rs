//! Commands that need no switch: parsing and printing.

use std::io::{BufRead, Read, Write};

use flow::text::{ParseContext, split_key_values};
use flow::{Metadata, PacketType};
use openflow::action;
use openflow::action::frame::DecodeContext;
use openflow::action::text::Place;
use openflow::codec::bytes::Reader;
use openflow::codec::{fixed_match, oxm, oxm_match};
use openflow::message::{GroupCommand, Hello};
use openflow::text::{format_message, hex_dump, parse_group_line};
use openflow::{Error, Message, Version};

use super::client::Result;
use super::{Settings, list_commands, log_warnings};
use super::{bulk, flow_text};

/// Runs an offline command; `None` for others.
pub fn run(s: &Settings, name: &str, args: &[String]) -> Option<Result<u8>> {
    let result = match name {
        "help" => {
            print!("{}", super::HELP);
            Ok(0)
        }
        "list-commands" => {
            list_commands();
            Ok(0)
        }
        "parse-flow" => flow_text::parse_flow(s, &args[0]),
        "parse-flows" => flow_text::parse_flows(s, &args[0]),
        "parse-group" => parse_group(s, &args[0]),
        "parse-nx-match" | "parse-nxm" => parse_nxm(s, oxm::Numbering::Nxm),
        "parse-oxm" => match Version::from_name(&args[0]) {
            Some(v) if v >= Version::V12 => parse_nxm(s, oxm::Numbering::Oxm(v)),
            _ => Err(format!("{}: not a valid OXM version", args[0])),
        },
        "parse-actions" | "parse-instructions" => parse_actions(s, name, &args[0]),
        "parse-ofp10-match" => parse_fixed(40),
        "parse-ofp11-match" => parse_fixed(88),
        "parse-pcap" => parse_pcap(args),
        "check-vlan" => check_vlan(&args[0], &args[1]),
        "print-error" => print_error(&args[0]),
        "encode-error-reply" => encode_error_reply(&args[0], &args[1]),
        "ofp-print" => ofp_print(s, args),
        "ofp-parse" => ofp_parse(s, &args[0]),
        "ofp-parse-pcap" => ofp_parse_pcap(s, &args[0]),
        "encode-hello" => encode_hello(&args[0]),
        "parse-key-value" => {
            for a in args {
                let list: Vec<String> = split_key_values(a)
                    .map(|(k, v)| if v.is_empty() { k.to_string() } else { format!("{k}={v}") })
                    .collect();
                println!("{}", list.join(", "));
            }
            Ok(0)
        }
        "compose-packet" => compose_packet(args),
        "parse-packet" => parse_packet(),
        _ => return None,
    };
    Some(result)
}

/// Bytes from hexadecimal digits with white space between.
fn hex_bytes(s: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(s.len() / 2);
    let mut high = None;
    for b in s.bytes() {
        match (b as char).to_digit(16) {
            Some(d) => match high.take() {
                Some(h) => out.push((h << 4 | d) as u8),
                None => high = Some(d),
            },
            None if b.is_ascii_whitespace() && high.is_none() => {}
            None => return Err("trailing garbage following hex bytes".to_string()),
        }
    }
    if high.is_some() {
        return Err("trailing garbage following hex bytes".to_string());
    }
    Ok(out)
}

/// Bytes of messages that are read at once.
const BLOCK: usize = 1 << 20;

/// Writes to standard output.
pub fn write_out(s: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(s.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(format!("cannot write: {}", io::program::strerror(&e))),
    }
}

/// Calls `f` for each line of a file (`-` for standard input), without comments and blank lines. Errors name file and
/// line.
pub fn for_each_line(file: &str, mut f: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut text = Vec::new();
    let read = if file == "-" {
        std::io::stdin().lock().read_to_end(&mut text).map(|_| ())
    } else {
        std::fs::File::open(file).and_then(|mut h| h.read_to_end(&mut text)).map(|_| ())
    };
    read.map_err(|e| format!("{file}: open failed ({})", io::program::strerror(&e)))?;
    for (i, line) in String::from_utf8_lossy(&text).lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim_end();
        if line.trim().is_empty() {
            continue;
        }
        f(line).map_err(|e| format!("{}:{}: {e}", if file == "-" { "<stdin>" } else { file }, i + 1))?;
    }
    Ok(())
}

fn parse_group(s: &Settings, text: &str) -> Result<u8> {
    let mut cx = ParseContext::new(None);
    let parsed = parse_group_line(&mut cx, text, GroupCommand::Add, true);
    log_warnings(&mut cx);
    let (gm, usable) = parsed?;
    println!("usable protocols: {usable}");
    let both = usable.and(s.protocols());
    if both.is_empty() {
        return Err("no usable protocol".to_string());
    }
    let version = both.first().version();
    println!("chosen version: OpenFlow1{}", version.to_wire() - 1);
    let data = Message::GroupMod(gm).encode(version, 1);
    print!("{}", format_message(&data, s.verbosity, &s.style(None)));
    Ok(0)
}

fn stdin_lines() -> impl Iterator<Item = String> {
    std::io::stdin().lock().lines().map_while(std::result::Result::ok)
}

/// A line without its comment; `None` if nothing is left (an empty line is printed then).
fn without_comment(line: &str) -> Option<&str> {
    let line = line.split('#').next().unwrap_or("").trim();
    if line.is_empty() { None } else { Some(line) }
}

/// `NXM_OF_ETH_TYPE(0800), NXM_NX_REG0_W(00000001/000000ff)` to wire bytes.
fn nxm_from_text(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    if text == "<any>" {
        return Ok(out);
    }
    let mut rest = text.trim_start_matches([',', ' ', '\t']);
    while !rest.is_empty() {
        let open = rest.find('(').ok_or_else(|| format!("{text}: missing ( at {rest}"))?;
        let name = &rest[..open];
        let close = rest.find(')').ok_or_else(|| format!("{text}: missing ) following {name}"))?;
        let body = &rest[open + 1..close];
        let (base, masked) = match name.strip_suffix("_W") {
            Some(b) => (b, true),
            None => (name, false),
        };
        let (value, mask) = match body.split_once('/') {
            Some((v, m)) => (hex_bytes(v)?, Some(hex_bytes(m)?)),
            None => (hex_bytes(body)?, None),
        };
        push_nxm(&mut out, text, name, base, masked, &value, mask.as_deref())?;
        rest = rest[close + 1..].trim_start_matches([',', ' ', '\t']);
    }
    Ok(out)
}

fn push_nxm(
    out: &mut Vec<u8>,
    text: &str,
    name: &str,
    base: &str,
    masked: bool,
    value: &[u8],
    mask: Option<&[u8]>,
) -> Result<()> {
    let number =
        flow::Field::all().flat_map(|f| f.def().numbers.iter().map(move |n| (f, n))).find(|(_, n)| n.name == base);
    if let Some((f, n)) = number {
        let width = usize::from(f.def().bytes);
        if f.tun_metadata_index().is_none() && value.len() != width {
            return Err(format!("expected to read {width} bytes but got {}", value.len()));
        }
        let exp = usize::from(n.class == 0xffff) * 4;
        out.extend_from_slice(&n.class.to_be_bytes());
        out.push(n.field << 1 | u8::from(masked));
        out.push((exp + value.len() + mask.map_or(0, <[u8]>::len)) as u8);
        if exp != 0 {
            out.extend_from_slice(&n.experimenter.to_be_bytes());
        }
    } else {
        let raw = u32::from_str_radix(base, 16).map_err(|_| format!("{text}: unknown field `{name}'"))?;
        out.extend_from_slice(&raw.to_be_bytes());
    }
    out.extend_from_slice(value);
    if let Some(m) = mask {
        out.extend_from_slice(m);
    }
    Ok(())
}

/// Wire bytes to the text that [`nxm_from_text`] reads.
fn nxm_to_text(data: &[u8]) -> String {
    let hex = |b: &[u8]| b.iter().map(|x| format!("{x:02x}")).collect::<String>();
    let mut words = Vec::new();
    let mut r = Reader::new(data);
    while !r.is_empty() {
        let Ok(h) = oxm::take_header(&mut r) else { break };
        let Ok(payload) = r.take(usize::from(h.len)) else { break };
        let name = h.field().and_then(|f| {
            f.def()
                .numbers
                .iter()
                .find(|n| n.class == h.class && n.field == h.number && n.experimenter == h.experimenter)
        });
        let name = name.map_or_else(|| format!("{}:{}", h.class, h.number), |n| n.name.to_string());
        if h.has_mask {
            let (v, m) = payload.split_at(payload.len() / 2);
            words.push(format!("{name}_W({}/{})", hex(v), hex(m)));
        } else {
            words.push(format!("{name}({})", hex(payload)));
        }
    }
    if words.is_empty() { "<any>".to_string() } else { words.join(", ") }
}

fn parse_nxm(s: &Settings, numbering: oxm::Numbering) -> Result<u8> {
    for line in stdin_lines() {
        let Some(text) = without_comment(&line) else {
            println!();
            continue;
        };
        let data = nxm_from_text(text)?;
        let strictness = if s.strict { oxm_match::Strictness::Strict } else { oxm_match::Strictness::Loose };
        let mut cookie = (0, 0);
        match oxm_match::take_entries(&data, strictness, Some(&mut cookie)) {
            Ok(m) => {
                let mut out = Vec::new();
                oxm_match::put_entries(&mut out, &m, numbering, Some(cookie));
                println!("{}", nxm_to_text(&out));
            }
            Err(e) => println!("nx_pull_match() returned error {e}"),
        }
    }
    Ok(0)
}

fn parse_actions(s: &Settings, command: &str, version: &str) -> Result<u8> {
    let v = Version::from_name(version).ok_or_else(|| format!("{version}: not a valid OpenFlow version"))?;
    let instructions = command == "parse-instructions";
    if instructions && v < Version::V11 {
        return Err(format!("{version}: not a valid version for instructions"));
    }
    for line in stdin_lines() {
        let Some(text) = without_comment(&line) else {
            println!();
            continue;
        };
        let data = hex_bytes(text)?;
        let cx = DecodeContext::new(v);
        let decoded = if instructions {
            action::instruction::decode_flow(cx, &data)
        } else {
            action::frame::decode_list(cx, &data).and_then(|a| {
                action::check::verify(&a, Place::Actions).map_err(|e| e.0)?;
                Ok(a)
            })
        };
        let list = match decoded {
            Ok(l) => l,
            Err(e) => {
                println!("bad {v} {}: {e}\n", if instructions { "instructions" } else { "actions" });
                continue;
            }
        };
        let mut out = String::from("actions=");
        action::text::format(&mut out, &s.style(None), &list);
        println!("{out}");
        let mut again = Vec::new();
        if instructions {
            action::instruction::encode_flow(&mut again, &list, v);
        } else {
            action::frame::encode_list(&mut again, &list, v);
        }
        print_differences(&data, &again);
        println!();
    }
    Ok(0)
}

/// Says which bytes differ.
fn print_differences(a: &[u8], b: &[u8]) {
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        if x != y {
            println!("{i:2x}: {x:02x} -> {y:02x}");
        }
    }
    for (i, x) in a.iter().enumerate().skip(b.len()) {
        println!("{i:2x}: {x:02x} -> (none)");
    }
    for (i, y) in b.iter().enumerate().skip(a.len()) {
        println!("{i:2x}: (none) -> {y:02x}");
    }
}

fn parse_fixed(size: usize) -> Result<u8> {
    for line in stdin_lines() {
        let Some(text) = without_comment(&line) else {
            println!();
            continue;
        };
        let data = hex_bytes(&text.replace("xx", "00"))?;
        if data.len() != size {
            return Err(format!("hex bytes: got {} bytes, expected {size}", data.len()));
        }
        let mut r = Reader::new(&data);
        let decoded = if size == 40 { fixed_match::take_of10(&mut r) } else { fixed_match::take_of11(&mut r) };
        match decoded {
            Ok(m) => {
                println!("{m}");
                let mut again = Vec::new();
                if size == 40 {
                    fixed_match::put_of10(&mut again, &m);
                } else {
                    fixed_match::put_of11(&mut again, &m);
                }
                print_differences(&data, &again);
                println!();
            }
            Err(e) => println!("bad ofp{}_match: {e}\n", if size == 40 { "10" } else { "11" }),
        }
    }
    Ok(0)
}

/// Packets of a capture file: classic pcap, either byte order, microseconds or nanoseconds.
fn pcap_packets(file: &str) -> Result<Vec<Vec<u8>>> {
    let data = std::fs::read(file)
        .map_err(|e| format!("{file}: failed to open pcap file for reading ({})", io::program::strerror(&e)))?;
    let bad = || format!("{file}: bad magic or truncated pcap file");
    let magic = data.first_chunk::<4>().ok_or_else(bad)?;
    let little = match u32::from_be_bytes(*magic) {
        0xa1b2_c3d4 | 0xa1b2_3c4d => false,
        0xd4c3_b2a1 | 0x4d3c_b2a1 => true,
        _ => return Err(bad()),
    };
    let word = |at: usize| -> Option<u32> {
        let b: [u8; 4] = data.get(at..at + 4)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) })
    };
    let mut out = Vec::new();
    let mut at = 24;
    while at < data.len() {
        let len = word(at + 8).ok_or_else(bad)? as usize;
        out.push(data.get(at + 16..at + 16 + len).ok_or_else(bad)?.to_vec());
        at += 16 + len;
    }
    Ok(out)
}

fn parse_pcap(args: &[String]) -> Result<u8> {
    for file in args {
        for packet in pcap_packets(file)? {
            let mut meta = Metadata::default();
            meta.key.set_packet_type(PacketType::ETHERNET);
            let key = flow::extract(&packet, &meta);
            println!("{}", flow::match_of_packet(&key));
        }
    }
    Ok(0)
}

fn check_vlan(tci: &str, mask: &str) -> Result<u8> {
    let number = |s: &str| u16::from_str_radix(s.trim_start_matches("0x"), 16).map_err(|_| format!("{s}: bad number"));
    let mut m = flow::Match::any();
    m.set_masked(flow::Field::VLAN_TCI, u128::from(number(tci)?), u128::from(number(mask)?));
    println!("{m} -> {:04x}/{:04x}", m.key.vlan_tci(0), m.mask.vlan_tci(0));
    for v in [oxm::Numbering::Nxm, oxm::Numbering::Oxm(Version::V12)] {
        let mut out = Vec::new();
        oxm_match::put_entries(&mut out, &m, v, None);
        println!("{}: {}", if v == oxm::Numbering::Nxm { "NXM" } else { "OXM" }, nxm_to_text(&out));
    }
    Ok(0)
}

fn print_error(symbol: &str) -> Result<u8> {
    let error = Error::from_symbol(symbol).ok_or_else(|| format!("unknown error \"{symbol}\""))?;
    for v in Version::ALL {
        let shown = match error.code(v) {
            openflow::error::Code::None => "-1,-1".to_string(),
            openflow::error::Code::Of(t, c) => format!("vendor 0, type {t}, code {c}"),
            openflow::error::Code::Nx(t, c) => format!("vendor 0x2320, type {t}, code {c}"),
            openflow::error::Code::NxExp(t) => format!("vendor 0x2320, type {t}, code 0"),
            openflow::error::Code::OnfExp(t) => format!("vendor 0x4f4e4600, type {t}, code 0"),
        };
        println!("{v}: {shown}");
    }
    Ok(0)
}

fn encode_error_reply(symbol: &str, request: &str) -> Result<u8> {
    let error = Error::from_symbol(symbol).ok_or_else(|| format!("unknown error \"{symbol}\""))?;
    let data = hex_bytes(request)?;
    let version = data.first().and_then(|b| Version::from_wire(*b)).unwrap_or(Version::V10);
    let xid = super::client::xid_of(&data);
    let reply = Message::Error(openflow::ErrorMsg::new(error, &data)).encode(version, xid);
    let mut out = String::new();
    hex_dump(&mut out, &reply, 0, false);
    write_out(&out)?;
    Ok(0)
}

fn ofp_print(s: &Settings, args: &[String]) -> Result<u8> {
    let data = hex_bytes(&args[0])?;
    let verbosity = match args.get(1) {
        Some(v) => v.parse().unwrap_or(0),
        None => 2,
    };
    write_out(&format_message(&data, verbosity, &s.style(None)))?;
    Ok(0)
}

fn ofp_parse(s: &Settings, file: &str) -> Result<u8> {
    let failed = |e: std::io::Error| format!("{file}: open ({})", io::program::strerror(&e));
    let mut source: Box<dyn Read> =
        if file == "-" { Box::new(std::io::stdin()) } else { Box::new(std::fs::File::open(file).map_err(failed)?) };
    let mut data = Vec::with_capacity(BLOCK + 65536);
    loop {
        let n = source.by_ref().take(BLOCK as u64).read_to_end(&mut data).map_err(failed)?;
        let (messages, rest) = whole_messages(&data);
        print_messages(s, messages)?;
        let start = rest.first_chunk::<8>().map(|b| u16::from_be_bytes([b[2], b[3]]));
        if let Some(len) = start.filter(|len| *len < 8) {
            return Err(format!("{file}: {len}-byte message is too short for OpenFlow"));
        }
        if n == 0 {
            return if rest.is_empty() { Ok(0) } else { Err(format!("{file}: unexpected end of file mid-message")) };
        }
        let done = data.len() - rest.len();
        data.drain(..done);
    }
}

/// The whole messages at the beginning of `data`, and what follows them.
fn whole_messages(data: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (mut messages, mut rest) = (Vec::new(), data);
    while let Some([_, _, a, b, ..]) = rest.first_chunk::<8>() {
        let len = usize::from(u16::from_be_bytes([*a, *b]));
        match rest.split_at_checked(len) {
            Some((message, tail)) if len >= 8 => {
                messages.push(message);
                rest = tail;
            }
            _ => break,
        }
    }
    (messages, rest)
}

fn print_messages(s: &Settings, messages: Vec<&[u8]>) -> Result<()> {
    let (style, verbosity) = (s.style(None), s.verbosity + 1);
    let texts = bulk::in_order(8, messages, |_, messages| {
        let size = messages.iter().map(|m| m.len()).sum::<usize>();
        let mut out = String::with_capacity(2 * size);
        for m in messages {
            openflow::text::print::put_message(&mut out, m, verbosity, &style);
        }
        out
    });
    texts.iter().try_for_each(|t| write_out(t))
}

/// OpenFlow messages in the TCP payloads of a capture, port 6633 or 6653, in the order of the packets.
fn ofp_parse_pcap(s: &Settings, file: &str) -> Result<u8> {
    use std::collections::HashMap;
    let mut streams: HashMap<(u128, u128, u16, u16), session::Framer> = HashMap::new();
    for packet in pcap_packets(file)? {
        let mut key = flow::FlowKey::new();
        let layers = flow::extract_into(&packet, &mut key, 2);
        let (Some(l4), 6) = (layers.l4, key.nw_proto()) else { continue };
        let ports = (key.tp_src(), key.tp_dst());
        if ![6633, 6653].contains(&ports.0) && ![6633, 6653].contains(&ports.1) {
            continue;
        }
        let l4 = usize::from(l4);
        let header = usize::from(packet.get(l4 + 12).copied().unwrap_or(0) >> 4) * 4;
        let end = packet.len() - usize::from(layers.l2_pad).min(packet.len());
        let payload = packet.get(l4 + header..end).unwrap_or(&[]);
        let v6 = key.eth_type() == 0x86dd;
        let addr = |a: u128, b: std::net::Ipv4Addr| if v6 { a } else { u128::from(b.to_bits()) };
        let src = addr(key.ipv6_src().to_bits(), key.nw_src());
        let dst = addr(key.ipv6_dst().to_bits(), key.nw_dst());
        let framer = streams.entry((src, dst, ports.0, ports.1)).or_default();
        framer.push(payload);
        while let Ok(Some(m)) = framer.next_message() {
            let text = format_message(m, s.verbosity + 1, &s.style(None));
            let (a, b) = if v6 {
                (format!("[{}]", key.ipv6_src()), format!("[{}]", key.ipv6_dst()))
            } else {
                (key.nw_src().to_string(), key.nw_dst().to_string())
            };
            write_out(&format!("{a}.{} > {b}.{}:\n{text}\n", ports.0, ports.1))?;
        }
    }
    Ok(0)
}

fn encode_hello(bitmap: &str) -> Result<u8> {
    let versions = flow::text::number::parse_u32(bitmap).ok_or_else(|| format!("{bitmap}: bad number"))?;
    let known = Version::ALL.into_iter().rev().find(|v| versions >> v.to_wire() & 1 != 0);
    let newest = known.ok_or_else(|| format!("{bitmap}: no known OpenFlow version"))?;
    let prefix = (versions >> 1) & ((versions >> 1) + 1) == 0;
    let data = Message::Hello(Hello { versions, bitmap: !prefix }).encode(newest, 1);
    let mut out = String::new();
    hex_dump(&mut out, &data, 0, false);
    out.push_str(&format_message(&data, 0, &Default::default()));
    write_out(&out)?;
    Ok(0)
}

/// A packet with the headers that a flow says.
fn compose_packet(args: &[String]) -> Result<u8> {
    let mut cx = ParseContext::new(None);
    let (fm, _) = openflow::text::parse_flow(&mut cx, &args[0], openflow::text::Use::Dump)?;
    let key = fm.matching.expand().key;
    let payload = match args.get(1) {
        Some(p) => hex_bytes(p)?,
        None => Vec::new(),
    };
    let packet = flow::compose(&key, &payload);
    let mut out = String::new();
    hex_dump(&mut out, &packet, 0, false);
    write_out(&out)?;
    Ok(0)
}

fn parse_packet() -> Result<u8> {
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).map_err(|e| e.to_string())?;
    let bytes: String = text
        .lines()
        .map(|l| l.split_once("  ").map_or(l, |x| if x.0.len() == 8 { x.1 } else { l }))
        .collect::<Vec<_>>()
        .join(" ");
    let packet = hex_bytes(&bytes.replace('-', " "))?;
    let mut meta = Metadata::default();
    meta.key.set_packet_type(PacketType::ETHERNET);
    println!("{}", flow::match_of_packet(&flow::extract(&packet, &meta)));
    Ok(0)
}
