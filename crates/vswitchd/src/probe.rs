//! Control commands that send packets that nobody sent: `ofproto/trace` and the dummies.

use crate::app::{App, BridgeEntry};
use crate::dpctl::{self, DpNames};
use datapath::key_text::{NoNames, parse_key};
use flow::text::{Names, ParseContext};
use flow::{FlowKey, Metadata};
use io::unixctl::{ANY_NUMBER, Answer, Call, Commands, Format, Output};
use netdev::Device;
use netdev::dummy::DummyDevice;
use openflow::action::text::{self, Place};
use serde_json::{Value, json};
use std::rc::Rc;
use switch::trace::{Question, parse_ct_state, parse_flow};
use translate::BridgeId;
use wire::PacketBuf;

/// Adds the commands.
pub fn add(c: &mut Commands, app: &Rc<App>) {
    let mut command = |name: &str, usage: &str, min, max, handler: fn(&App, &Call) -> Answer| {
        let app = app.clone();
        c.add(name, usage, min, max, move |call| handler(&app, call));
    };
    let place = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]";
    command("ofproto/trace", place, 1, ANY_NUMBER, |app, call| trace(app, call, false));
    command("ofproto/trace-packet-out", &format!("[-consistent] {place} actions"), 2, ANY_NUMBER, |app, call| {
        trace(app, call, true)
    });
    command("netdev-dummy/receive", "name [--qid queue_id] packet|flow [--len packet_len]", 2, ANY_NUMBER, receive);
    command("netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2, admin_state);
    command("netdev-dummy/conn-state", "[netdev]", 0, 1, conn_state);
    command("netdev-dummy/ip4addr", "[netdev] ipaddr/mask-prefix-len", 2, 2, address);
    command("netdev-dummy/ip6addr", "[netdev] ip6addr", 2, 2, address);
}

/// Options of a trace, and the other arguments.
#[derive(Default)]
struct TraceArgs<'a> {
    names: bool,
    explain: bool,
    ct_next: Vec<u16>,
    generate: bool,
    rest: Vec<&'a str>,
}

impl<'a> TraceArgs<'a> {
    fn of(call: &'a Call, packet_out: bool) -> Result<Self, String> {
        let mut a = TraceArgs::default();
        let mut args = call.args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            match arg {
                "--names" => a.names = true,
                "--no-names" => {}
                "--explain" => a.explain = true,
                "-consistent" | "--consistent" if packet_out => {}
                "-generate" | "--generate" => a.generate = true,
                "--ct-next" => {
                    let states = args.next().ok_or("Missing argument for option ct-next")?;
                    a.ct_next.push(parse_ct_state(states)?);
                }
                "--l7-len" | "--l7" => {
                    args.next().ok_or_else(|| format!("Missing argument for option {}", &arg[2..]))?;
                }
                unknown if unknown.starts_with('-') => return Err(format!("{unknown}: unknown option")),
                _ => a.rest.push(arg),
            }
        }
        Ok(a)
    }
}

fn names_of(entry: &BridgeEntry) -> Names {
    let mut names = Names::default();
    for p in entry.bridge.shared.config.load().ports.values() {
        names.add_port(p.of, &p.name);
    }
    names
}

/// Where a packet enters, and its fields.
struct Entry {
    backer: String,
    bridge: BridgeId,
    bridge_name: String,
    key: FlowKey,
}

/// Reads `[dp] odp_flow` or `bridge br_flow` from the first one or two arguments; says how many it took.
fn entry(app: &App, args: &[&str]) -> Result<(Entry, usize), String> {
    let state = app.state.borrow();
    if let [name, text, ..] = args
        && let Some(e) = state.bridges.get(*name)
    {
        let key = parse_flow(text, &names_of(e))?;
        let bridge_name = (*name).to_string();
        return Ok((Entry { backer: e.backer.clone(), bridge: e.bridge.shared.id, bridge_name, key }, 2));
    }
    let (dp, text, used) = match args {
        [dp, text, ..] if !dp.contains('(') && text.contains('(') => (Some(*dp), *text, 2),
        [text, ..] if text.contains('(') => (None, *text, 1),
        [only] => return Err(format!("syntax error at {only} (or the bridge name was omitted)")),
        [name, ..] => return Err(format!("{name}: unknown bridge")),
        [] => return Err("syntax error (or the bridge name was omitted)".into()),
    };
    drop(state);
    let (full_name, datapath) = dpctl::find(app, dp).map_err(|_| "Cannot find the datapath")?;
    let (mut key, _) = parse_key(text, &DpNames::of(&*datapath)).map_err(|e| format!("syntax error at {e}"))?;
    let state = app.state.borrow();
    let (kind, backer) =
        state.backers.iter().find(|(_, b)| b.full_name() == full_name).ok_or("Cannot find the datapath")?;
    let port = key.dp_in_port();
    let network = backer.upcalls.network();
    let (bridge, of) =
        network.dp_ports.get(&port).copied().ok_or_else(|| format!("no OpenFlow port for datapath port {}", port.0))?;
    key.set_in_port(of);
    let name = state.bridges.iter().find(|(_, e)| e.bridge.shared.id == bridge).map_or("", |(n, _)| n);
    Ok((Entry { backer: kind.clone(), bridge, bridge_name: name.into(), key }, used))
}

fn trace(app: &App, call: &Call, packet_out: bool) -> Answer {
    let mut args = TraceArgs::of(call, packet_out)?;
    let actions = match packet_out.then(|| args.rest.pop()) {
        Some(None) => return Err("Too few command arguments".into()),
        Some(Some(s)) => {
            let parsed = text::parse(&mut ParseContext::new(None), s, Place::Actions);
            Some(parsed?.0)
        }
        None => None,
    };
    if args.rest.len() > 4 {
        return Err("too many arguments".into());
    }
    let (mut at, used) = entry(app, &args.rest)?;
    let packet = match args.rest.get(used..) {
        Some([]) | None => args.generate.then(|| flow::compose(&at.key, flow::Payload::Usual)),
        Some([hex]) => {
            let bytes = from_hex(hex).ok_or("Trailing garbage in packet data")?;
            let meta = metadata(&at.key);
            at.key = flow::extract(&bytes, &meta);
            Some(bytes)
        }
        Some(_) => return Err("too many arguments".into()),
    };
    let state = app.state.borrow();
    let backer = state.backers.get(&at.backer).ok_or("Cannot find the datapath")?;
    let names = state.bridges.get(&at.bridge_name).map(names_of).unwrap_or_default();
    let dp_names = DpNames::of(&*backer.datapath());
    let learned = std::cell::RefCell::default();
    let question = Question {
        learned: &learned,
        dp_names: if args.names { &dp_names } else { &NoNames },
        network: &backer.upcalls.network(),
        bridge: at.bridge,
        key: at.key,
        packet,
        actions,
        ct_next: args.ct_next,
        names: args.names.then_some(&names),
        explain: args.explain,
        now: app.clock.now(),
    };
    let answer = match call.format {
        Format::Text => switch::trace::text(&question).into(),
        Format::Json => Output::Json(switch::trace::json(&question)),
    };
    drop(state);
    let mut state = app.state.borrow_mut();
    let now = app.clock.now();
    for (id, flow) in learned.into_inner() {
        if let Some(e) = state.bridges.values_mut().find(|e| e.bridge.shared.id == id) {
            e.bridge.learn(&flow, now);
        }
    }
    Ok(answer)
}

/// The fields of a key that a packet's bytes do not carry.
fn metadata(key: &FlowKey) -> Metadata {
    let mut meta = Metadata::default();
    for i in (0..39).chain(58..flow::WORDS) {
        meta.key.set_word(i, key.word(i));
    }
    meta
}

fn from_hex(s: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = s.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) || digits.is_empty() {
        return None;
    }
    digits.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok()).collect()
}

/// A packet given as hexadecimal digits or as the text of a datapath flow, of `len` bytes where that is asked for.
fn packet_of(text: &str, len: Option<usize>) -> Result<Vec<u8>, String> {
    if !text.contains('(') {
        return from_hex(text).ok_or_else(|| format!("syntax error at {text}"));
    }
    let (key, _) = parse_key(text, &NoNames).map_err(|_| format!("syntax error at {text}"))?;
    if key.eth_type() == 0 && key.eth_src().is_zero() && key.eth_dst().is_zero() {
        return Err(format!("syntax error at {text}"));
    }
    let Some(len) = len else { return Ok(flow::compose(&key, flow::Payload::Usual)) };
    let bare = flow::compose(&key, flow::Payload::Fill(&[]));
    let missing = len.saturating_sub(bare.len());
    Ok(if missing > 0 { flow::compose(&key, flow::Payload::Fill(&vec![0; missing])) } else { bare })
}

fn with_dummies(app: &App, name: Option<&str>, mut f: impl FnMut(&str, &DummyDevice)) -> bool {
    let state = app.state.borrow();
    let mut found = false;
    for e in state.bridges.values() {
        for (n, i) in e.interfaces.iter().filter(|(n, _)| name.is_none_or(|wanted| wanted == n.as_str())) {
            if let Some(dummy) = i.device.as_ref().and_then(|d| d.as_dummy()) {
                found = true;
                f(n, dummy);
            }
        }
    }
    found
}

fn receive(app: &App, call: &Call) -> Answer {
    if !with_dummies(app, call.arg(0), |_, _| ()) {
        return Err("no such dummy netdev".into());
    }
    let (mut packets, mut len, mut queue) = (Vec::new(), None, 0);
    let mut args = call.args[1..].iter().peekable();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--qid" => {
                let n = args.next().and_then(|n| n.parse::<u32>().ok());
                queue = n.ok_or("Queue id must be an integer.")?;
            }
            "--len" => {
                let n = args.next().and_then(|n| n.parse().ok()).ok_or("failed to parse --len argument")?;
                len = Some(n);
            }
            text => {
                let own = if args.peek().is_some_and(|a| a.as_str() == "--len") {
                    args.next();
                    args.next().and_then(|n| n.parse().ok())
                } else {
                    len
                };
                packets.push(packet_of(text, own)?);
            }
        }
    }
    let found = with_dummies(app, call.arg(0), |_, device| {
        for p in &packets {
            device.push_to(queue, PacketBuf::from_bytes(p));
        }
    });
    if !found {
        return Err("no such dummy netdev".into());
    }
    for b in app.state.borrow().backers.values() {
        b.settle();
    }
    call.done()
}

fn admin_state(app: &App, call: &Call) -> Answer {
    let (name, state) = match call.args.as_slice() {
        [state] => (None, state.as_str()),
        [name, state, ..] => (Some(name.as_str()), state.as_str()),
        [] => return Err("Invalid Admin State".into()),
    };
    let up = match state {
        "up" => true,
        "down" => false,
        _ => return Err("Invalid Admin State".into()),
    };
    let found = with_dummies(app, name, |_, device| {
        // A dummy takes any state.
        let _ = device.set_up(up);
    });
    if !found && name.is_some() {
        return Err("Unknown Dummy Interface".into());
    }
    app.refresh_dummies();
    app.publish();
    call.answer("OK", || json!({}))
}

fn conn_state(app: &App, call: &Call) -> Answer {
    let mut states = vec![];
    let found = with_dummies(app, call.arg(0), |name, device| {
        let state = match device.is_connected() {
            Some(true) => "connected",
            Some(false) => "disconnected",
            None if call.arg(0).is_some() => "unknown",
            None => return,
        };
        states.push((name.to_string(), state));
    });
    if let (false, Some(name)) = (found, call.arg(0)) {
        states.push((name.to_string(), "unknown"));
    }
    let text: String = states.iter().map(|(name, state)| format!("{name}: {state}\n")).collect();
    call.answer(text, || Value::Object(states.into_iter().map(|(name, state)| (name, state.into())).collect()))
}

fn address(app: &App, call: &Call) -> Answer {
    if !with_dummies(app, call.arg(0), |_, _| ()) {
        return Err("Unknown Dummy Interface".into());
    }
    let text = &call.args[1];
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let v4 = call.command.ends_with("ip4addr");
    let longest = if v4 { 32 } else { 128 };
    let fits = prefix.is_empty() || prefix.parse::<u8>().is_ok_and(|p| p <= longest);
    let ip = address.parse().ok().filter(|ip: &std::net::IpAddr| ip.is_ipv4() == v4 && fits);
    let ip = ip.ok_or_else(|| format!("{text}: invalid {} address", if v4 { "IP" } else { "IPv6" }))?;
    if !with_dummies(app, call.arg(0), |_, device| device.add_address(ip)) {
        return Err("Unknown Dummy Interface".into());
    }
    call.answer("OK", || json!({}))
}
