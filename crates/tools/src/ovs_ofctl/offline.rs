//! Commands that need no switch: parsing and printing.

use std::io::{BufRead, Read, Write};

use flow::text::{ParseContext, split_key_values};
use openflow::action;
use openflow::action::frame::DecodeContext;
use openflow::action::text::Place;
use openflow::codec::oxm;
use openflow::error::Code;
use openflow::message::GroupCommand;
use openflow::text::{format_message, hex_dump, parse_group_line};
use openflow::{Error, Message, Version};

use super::client::Result;
use super::{Settings, list_commands, log_warnings};
use super::{bulk, flow_text, match_text, packet_text};

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
        "parse-nx-match" | "parse-nxm" => match_text::parse_entries(s, oxm::Numbering::Nxm),
        "parse-oxm" => match Version::from_name(&args[0]) {
            Some(v) if v >= Version::V12 => match_text::parse_entries(s, oxm::Numbering::Oxm(v)),
            _ => Err(format!("{}: not a valid version for OXM", args[0])),
        },
        "parse-actions" | "parse-instructions" => parse_actions(s, name, &args[0]),
        "parse-ofp10-match" => match_text::parse_fixed(40),
        "parse-ofp11-match" => match_text::parse_fixed(88),
        "parse-pcap" => packet_text::parse_pcap(args),
        "check-vlan" => match_text::check_vlan(&args[0], &args[1]),
        "print-error" => print_error(&args[0]),
        "encode-error-reply" => encode_error_reply(&args[0], &args[1]),
        "ofp-print" => ofp_print(s, args),
        "ofp-parse" => ofp_parse(s, &args[0]),
        "ofp-parse-pcap" => packet_text::ofp_parse_pcap(s, args),
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
        "compose-packet" => packet_text::compose_packet(args),
        "parse-packet" => packet_text::parse_packet(),
        _ => return None,
    };
    Some(result)
}

/// Bytes from hexadecimal digits with white space between.
pub fn hex_bytes(s: &str) -> Result<Vec<u8>> {
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

/// The lines of standard input.
pub fn stdin_lines() -> impl Iterator<Item = String> {
    std::io::stdin().lock().lines().map_while(std::result::Result::ok)
}

/// A line without its comment; `None` if nothing is left.
pub fn without_comment(line: &str) -> Option<&str> {
    let line = line.split('#').next().unwrap_or("").trim();
    if line.is_empty() { None } else { Some(line) }
}

fn parse_actions(s: &Settings, command: &str, version: &str) -> Result<u8> {
    let v = Version::from_name(version).ok_or_else(|| format!("{version}: not a valid OpenFlow version"))?;
    // OpenFlow 1.0 has no instructions: a flow has actions.
    let instructions = command == "parse-instructions" && v > Version::V10;
    for line in stdin_lines() {
        let Some(text) = without_comment(&line) else { continue };
        let data = hex_bytes(text).map_err(|_| match_text::GARBAGE)?;
        let cx = DecodeContext::new(v);
        let decoded = if instructions {
            action::instruction::decode_flow(cx, &data).and_then(|mut list| {
                let table = openflow::TableId::ALL;
                action::check::check_for_version(&mut list, &flow::Match::any(), table, v).map(|()| list)
            })
        } else if !data.len().is_multiple_of(8) {
            Err(Error::BadRequestBadLen)
        } else {
            action::frame::decode_list(cx, &data).and_then(|a| {
                action::check::verify(&a, Place::Actions).map_err(|e| e.0)?;
                Ok(a)
            })
        };
        let list = match decoded {
            Ok(l) => l,
            Err(e) => {
                println!("bad {v} {}: {e}\n", &command["parse-".len()..]);
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
        print_differences("", &data, &again);
        println!();
    }
    Ok(0)
}

/// Says which bytes differ, each on a line that begins with the title.
pub fn print_differences(title: &str, a: &[u8], b: &[u8]) {
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        if x != y {
            println!("{title}{i:2}: {x:02x} -> {y:02x}");
        }
    }
    for (i, x) in a.iter().enumerate().skip(b.len()) {
        println!("{title}{i:2}: {x:02x} -> (none)");
    }
    for (i, y) in b.iter().enumerate().skip(a.len()) {
        println!("{title}{i:2}: (none) -> {y:02x}");
    }
}

fn print_error(symbol: &str) -> Result<u8> {
    let error = Error::from_symbol(symbol).ok_or_else(|| format!("unknown error \"{symbol}\""))?;
    for v in Version::ALL {
        let shown = match error.code(v) {
            Code::None => continue,
            Code::Of(t, c) => format!("vendor 0, type {t}, code {c}"),
            Code::Nx(t, c) => format!("vendor 0x2320, type {t}, code {c}"),
            Code::NxExp(t) => format!("vendor 0x2320, type {t}, code 0"),
            Code::OnfExp(t) => format!("vendor 0x4f4e4600, type {t}, code 0"),
        };
        println!("OpenFlow 1.{}: {shown}", v.index());
    }
    Ok(0)
}

fn encode_error_reply(symbol: &str, request: &str) -> Result<u8> {
    let error = Error::from_symbol(symbol).ok_or_else(|| format!("unknown error \"{symbol}\""))?;
    let data = hex_bytes(request).map_err(|_| match_text::GARBAGE)?;
    let Some(header) = data.first_chunk::<8>() else { return Err("Request too short".into()) };
    if usize::from(u16::from_be_bytes([header[2], header[3]])) != data.len() {
        return Err("Request size inconsistent".into());
    }
    let version = Version::from_wire(header[0]);
    if version.is_none() {
        warn(format!("cannot encode error for unknown OpenFlow version 0x{:02x}", header[0]));
    }
    let known = version.unwrap_or(Version::V10);
    if error.code(known) == Code::None {
        warn(format!("cannot encode {symbol} for OpenFlow 1.{}", known.index()));
    }
    let xid = super::client::xid_of(&data);
    let mut reply = Message::Error(openflow::ErrorMsg::new(error, &data)).encode(known, xid);
    if let (7.., Some([0xb0, 0xc2, 0, 0, vendor @ .., ty0, ty1, _, _])) = (header[0], reply.get(8..20)) {
        // Versions to come have experimenter errors, with the type alone.
        let body = [&[0xff, 0xff, *ty0, *ty1], vendor].concat();
        reply.splice(8..20, body);
        let len = (reply.len() as u16).to_be_bytes();
        reply[2..4].copy_from_slice(&len);
    }
    let mut out = String::new();
    hex_dump(&mut out, &reply, 0, false);
    write_out(&out)?;
    Ok(0)
}

fn warn(text: String) {
    let module = io::vlog::Module::parse("ofp_errors").unwrap_or(io::vlog::Module::Ofctl);
    io::vlog::log(module, io::vlog::Level::Err, format_args!("{text}"));
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

/// A hello for versions that need not exist: bit N of the map for version byte N.
fn encode_hello(bitmap: &str) -> Result<u8> {
    let number = flow::text::number::parse_u64(bitmap).ok_or_else(|| format!("{bitmap}: bad number"))?;
    let versions = number as u32;
    let newest = versions.checked_ilog2().filter(|v| *v > 0);
    let newest = newest.ok_or_else(|| format!("{bitmap}: no OpenFlow version"))?;
    let all_before = (versions >> 1) & ((versions >> 1) + 1) == 0;
    let mut data = vec![newest as u8, 0, 0, if all_before { 8 } else { 16 }, 0, 0, 0, 1];
    if !all_before {
        data.extend_from_slice(&[0, 1, 0, 8]);
        data.extend_from_slice(&versions.to_be_bytes());
    }
    let mut out = String::new();
    hex_dump(&mut out, &data, 0, false);
    out.push_str(&format_message(&data, 0, &Default::default()));
    write_out(&out)?;
    Ok(0)
}
