//! Output: ports, controllers, queues, groups, bundles.

use flow::text::number::put_dec;
use flow::text::{Style, put_port, split_key_values};
use flow::{OfPort, Subfield};

use super::frame::{DecodeContext, Raw, put_either, put_nx, put_of};
use super::text::{Parser, number16, number32, put_close, put_open, put_param, put_special, put_value};
use super::{Action, Bundle, Controller, HashFields, PacketInReason, subfield};
use crate::codec::bytes::{Put, Reader, is_zero, round8};
use crate::codec::oxm::{self, Numbering};
use crate::error::Error;
use crate::version::{GroupId, Version};

type Parsed = Result<(), String>;

/// A bare port in a list of actions. The controller gets whole packets if it is named, and none of their bytes as a number.
pub fn push_port(p: &mut Parser<'_, '_>, port: OfPort, text: &str) {
    let named = !text.starts_with(|c: char| c.is_ascii_digit());
    p.out.push(Action::Output { port, max_len: if port == OfPort::CONTROLLER && named { u16::MAX } else { 0 } });
}

/// `output:PORT`, `output:FIELD`, `output(port=P,max_len=N)`.
pub fn parse_output(p: &mut Parser<'_, '_>, arg: &str) -> Parsed {
    if arg.bytes().any(|b| b == b'=') && arg.contains("port=") && arg.contains("max_len=") {
        return parse_trunc(p, arg);
    }
    if let Some(port) = p.cx.port(arg) {
        push_port(p, port, arg);
        return Ok(());
    }
    match subfield::parse(arg) {
        Ok(src) => {
            p.out.push(Action::OutputReg { src, max_len: u16::MAX, form2: false });
            Ok(())
        }
        Err(_) => Err(format!("{arg}: output to unknown port")),
    }
}

fn parse_trunc(p: &mut Parser<'_, '_>, arg: &str) -> Parsed {
    let (mut port, mut max_len) = (OfPort::NONE, 0);
    for (key, value) in split_key_values(arg) {
        match key {
            "port" => {
                port = p.cx.port(value).ok_or_else(|| format!("output to unknown truncate port: {value}"))?;
                if port.reserved_name().is_some() && port != OfPort::LOCAL && port != OfPort::IN_PORT {
                    let name = if port == OfPort::NONE { "NONE" } else { port.reserved_name().unwrap_or("") };
                    return Err(format!("output to unsupported truncate port: {name}"));
                }
            }
            "max_len" => max_len = number32(value)?,
            _ => return Err(format!("invalid key '{key}' in output_trunc argument")),
        }
    }
    if max_len < 14 {
        return Err(format!("max_len {max_len} is less than the minimum value 14"));
    }
    p.out.push(Action::OutputTrunc { port, max_len });
    Ok(())
}

const REASONS: [(&str, PacketInReason); 6] = [
    ("no_match", PacketInReason::NoMatch),
    ("action", PacketInReason::Action),
    ("invalid_ttl", PacketInReason::InvalidTtl),
    ("action_set", PacketInReason::ActionSet),
    ("group", PacketInReason::Group),
    ("packet_out", PacketInReason::PacketOut),
];

impl PacketInReason {
    /// The name that is printed.
    pub fn name(self) -> &'static str {
        match self {
            PacketInReason::ExplicitMiss => "no_match",
            // Only the switch's own flow has it, and has no name for it.
            PacketInReason::ImplicitMiss => "",
            r => REASONS.iter().find(|x| x.1 == r).map_or("no_match", |x| x.0),
        }
    }

    /// The number of the wire.
    pub const fn number(self) -> u8 {
        match self {
            PacketInReason::NoMatch => 0,
            PacketInReason::Action => 1,
            PacketInReason::InvalidTtl => 2,
            PacketInReason::ActionSet => 3,
            PacketInReason::Group => 4,
            PacketInReason::PacketOut => 5,
            PacketInReason::ExplicitMiss => 6,
            PacketInReason::ImplicitMiss => 7,
            PacketInReason::Other(n) => n,
        }
    }

    /// From the number of the wire.
    pub fn from_wire(n: u8) -> Option<PacketInReason> {
        REASONS.get(usize::from(n)).map(|r| r.1)
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<PacketInReason> {
        REASONS.iter().find(|r| r.0 == name).map(|r| r.1)
    }
}

/// `controller`, `controller:N`, `controller(max_len=…,…)`.
pub fn parse_controller(p: &mut Parser<'_, '_>, arg: &str) -> Parsed {
    let mut c = Controller {
        max_len: u16::MAX,
        controller_id: 0,
        reason: PacketInReason::Action,
        userdata: Box::default(),
        pause: false,
        meter_id: 0,
        form2: false,
    };
    if arg.is_empty() {
        push_port(p, OfPort::CONTROLLER, "");
        return Ok(());
    }
    let mut has_userdata = false;
    if arg.bytes().all(|b| b.is_ascii_digit()) {
        c.max_len = number16(arg, "max_len")?;
    } else {
        for (key, value) in split_key_values(arg) {
            match key {
                "reason" => {
                    c.reason = PacketInReason::from_name(value).ok_or_else(|| format!("unknown reason \"{value}\""))?;
                }
                "max_len" => c.max_len = number16(value, "max_len")?,
                "id" => c.controller_id = number16(value, "id")?,
                "userdata" => {
                    has_userdata = true;
                    c.userdata = hex_with_dots(value)
                        .ok_or("bad hex digit in `controller' action `userdata'")?
                        .into_boxed_slice();
                }
                "pause" => c.pause = true,
                "meter_id" => c.meter_id = number32(value)?,
                _ => return Err(format!("unknown key \"{key}\" parsing controller action")),
            }
        }
    }
    let plain =
        c.reason == PacketInReason::Action && c.controller_id == 0 && !has_userdata && !c.pause && c.meter_id == 0;
    if plain {
        p.out.push(Action::Output { port: OfPort::CONTROLLER, max_len: c.max_len });
    } else {
        p.out.push(Action::Controller(Box::new(c)));
    }
    Ok(())
}

/// Bytes as pairs of hexadecimal digits with dots (or nothing) between them.
pub fn hex_with_dots(s: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let bytes = s.as_bytes();
    let mut at = 0;
    loop {
        while bytes.get(at) == Some(&b'.') {
            at += 1;
        }
        if at >= bytes.len() {
            return Some(out);
        }
        let digit = |i: usize| bytes.get(i).and_then(|b| (*b as char).to_digit(16));
        out.push((digit(at)? << 4 | digit(at + 1)?) as u8);
        at += 2;
    }
}

/// Appends bytes as hexadecimal digits with dots between them.
pub fn put_hex_with_dots(out: &mut String, bytes: &[u8]) {
    for (i, b) in bytes.iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        flow::text::number::put_hex_digits(out, u128::from(*b), 2);
    }
}

/// `enqueue:PORT:QUEUE`, `enqueue(PORT,QUEUE)`.
pub fn parse_enqueue(p: &mut Parser<'_, '_>, arg: &str) -> Parsed {
    let usage = || "\"enqueue\" syntax is \"enqueue:PORT:QUEUE\" or \"enqueue(PORT,QUEUE)\"".to_string();
    let at = arg.find([':', ',']).ok_or_else(usage)?;
    let (port_text, queue_text) = (&arg[..at], &arg[at + 1..]);
    if queue_text.is_empty() {
        return Err(usage());
    }
    let port = p.cx.port(port_text).ok_or_else(|| format!("{port_text}: enqueue to unknown port"))?;
    p.out.push(Action::Enqueue { port, queue: number32(queue_text)? });
    Ok(())
}

/// `group:N`.
pub fn parse_group(p: &mut Parser<'_, '_>, arg: &str) -> Parsed {
    p.out.push(Action::Group(GroupId(number32(arg)?)));
    Ok(())
}

/// Names of [`HashFields`].
const HASHES: [(&str, HashFields); 7] = [
    ("eth_src", HashFields::EthSrc),
    ("symmetric_l4", HashFields::SymmetricL4),
    ("symmetric_l3l4", HashFields::SymmetricL3L4),
    ("symmetric_l3l4+udp", HashFields::SymmetricL3L4Udp),
    ("nw_src", HashFields::NwSrc),
    ("nw_dst", HashFields::NwDst),
    ("symmetric_l3", HashFields::SymmetricL3),
];

impl HashFields {
    /// From its name, in any case.
    pub fn from_name(s: &str) -> Option<HashFields> {
        HASHES.iter().find(|h| h.0.eq_ignore_ascii_case(s)).map(|h| h.1)
    }

    /// From the number of the wire.
    pub fn from_wire(n: u16) -> Option<HashFields> {
        HASHES.get(usize::from(n)).map(|h| h.1)
    }

    /// The name that is printed.
    pub fn name(self) -> &'static str {
        HASHES[self as usize].0
    }
}

/// `bundle(fields, basis, algorithm, member_type, members:P,…)`.
pub fn parse_bundle(p: &mut Parser<'_, '_>, arg: &str) -> Parsed {
    bundle(p, arg, false)
}

/// `bundle_load(fields, basis, algorithm, member_type, dst, members:P,…)`.
pub fn parse_bundle_load(p: &mut Parser<'_, '_>, arg: &str) -> Parsed {
    bundle(p, arg, true)
}

fn bundle(p: &mut Parser<'_, '_>, arg: &str, load: bool) -> Parsed {
    let mut words = arg.split([',', ' ']).filter(|w| !w.is_empty());
    let few = || format!("{arg}: not enough arguments to bundle action");
    let mut next = || words.next().ok_or_else(few);
    let (fields_text, basis_text, algorithm, member_type) = (next()?, next()?, next()?, next()?);
    let dst_text = if load { Some(next()?) } else { None };
    let first = next()?;
    let (delimiter, first_port) = match first.split_once(':') {
        Some((d, f)) => (d, f),
        None => (first, ""),
    };
    if !["members", "slaves"].iter().any(|d| d.eq_ignore_ascii_case(delimiter)) {
        // What stands before the colon that should follow the word.
        let at = delimiter.as_ptr() as usize - arg.as_ptr() as usize;
        let got = arg[at..].split([':', ' ']).next().unwrap_or(delimiter);
        return Err(format!("{arg}: missing member delimiter, expected `members', got `{got}'"));
    }
    let fields = HashFields::from_name(fields_text).ok_or_else(|| format!("{arg}: unknown fields `{fields_text}'"))?;
    let basis = flow::text::number::take_u64(basis_text).map_or(0, |n| n.0) as u16;
    let hrw = match algorithm {
        a if a.eq_ignore_ascii_case("hrw") => true,
        a if a.eq_ignore_ascii_case("active_backup") => false,
        a => return Err(format!("{arg}: unknown algorithm `{a}'")),
    };
    if !member_type.eq_ignore_ascii_case("ofport") {
        return Err(format!("{arg}: unknown member_type `{member_type}'"));
    }
    let mut members = Vec::new();
    for word in Some(first_port).filter(|w| !w.is_empty()).into_iter().chain(words) {
        members.push(p.cx.port(word).ok_or_else(|| format!("{word}: bad port number"))?);
        if members.len() > 2048 {
            return Err(format!("{arg}: too many members"));
        }
    }
    let dst = match dst_text {
        Some(t) => Some(subfield::parse(t)?),
        None => None,
    };
    p.out.push(Action::Bundle(Box::new(Bundle { hrw, fields, basis, dst, members: members.into() })));
    Ok(())
}

/// Appends the action if it is of this family.
pub fn format(out: &mut String, style: &Style<'_>, a: &Action) -> bool {
    match a {
        Action::Output { port, max_len } => {
            if port.0 < OfPort::MAX.0 {
                put_special(out, style, "output:");
                put_port(out, style, *port);
            } else {
                flow::text::put_color(out, &style.colors.special);
                put_port(out, style, *port);
                flow::text::put_color(out, &style.colors.end);
                if *port == OfPort::CONTROLLER {
                    out.push(':');
                    put_dec(out, u64::from(*max_len));
                }
            }
        }
        Action::OutputReg { src, .. } => {
            put_special(out, style, "output:");
            subfield::put(out, *src);
        }
        Action::OutputTrunc { port, max_len } => {
            put_special(out, style, "output");
            out.push_str("(port=");
            put_port(out, style, *port);
            out.push_str(",max_len=");
            put_dec(out, u64::from(*max_len));
            out.push(')');
        }
        Action::Group(g) => {
            put_special(out, style, "group:");
            put_dec(out, u64::from(g.0));
        }
        Action::Controller(c) => format_controller(out, style, c),
        Action::Enqueue { port, queue } => {
            put_param(out, style, "enqueue:");
            put_port(out, style, *port);
            out.push(':');
            put_dec(out, u64::from(*queue));
        }
        Action::Bundle(b) => format_bundle(out, style, b),
        _ => return false,
    }
    true
}

fn format_controller(out: &mut String, style: &Style<'_>, c: &Controller) {
    let plain = c.reason == PacketInReason::Action
        && c.controller_id == 0
        && c.userdata.is_empty()
        && !c.pause
        && c.meter_id == 0;
    if plain {
        put_special(out, style, "CONTROLLER:");
        put_dec(out, u64::from(c.max_len));
        return;
    }
    put_open(out, style, "controller");
    if c.reason != PacketInReason::Action {
        put_param(out, style, "reason=");
        out.push_str(c.reason.name());
        out.push(',');
    }
    if c.max_len != u16::MAX {
        put_param(out, style, "max_len=");
        put_dec(out, u64::from(c.max_len));
        out.push(',');
    }
    if c.controller_id != 0 {
        put_param(out, style, "id=");
        put_dec(out, u64::from(c.controller_id));
        out.push(',');
    }
    if !c.userdata.is_empty() {
        put_param(out, style, "userdata=");
        put_hex_with_dots(out, &c.userdata);
        out.push(',');
    }
    if c.pause {
        put_value(out, style, "pause");
        out.push(',');
    }
    if c.meter_id != 0 {
        put_param(out, style, "meter_id=");
        put_dec(out, u64::from(c.meter_id));
        out.push(',');
    }
    put_close(out, style);
}

fn format_bundle(out: &mut String, style: &Style<'_>, b: &Bundle) {
    put_open(out, style, if b.dst.is_some() { "bundle_load" } else { "bundle" });
    out.push_str(b.fields.name());
    out.push(',');
    put_dec(out, u64::from(b.basis));
    out.push_str(if b.hrw { ",hrw," } else { ",active_backup," });
    put_param(out, style, "ofport");
    out.push(',');
    if let Some(d) = b.dst {
        subfield::put(out, d);
        out.push(',');
    }
    put_param(out, style, "members:");
    for (i, m) in b.members.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        put_port(out, style, *m);
    }
    flow::text::put_color(out, &style.colors.paren);
    out.push(')');
    flow::text::put_color(out, &style.colors.end);
}

/// Packs a place in a field: offset in the high 10 bits, width - 1 in the low 6.
pub fn ofs_nbits(s: Subfield) -> u16 {
    // Wider than 64 bits: the place that the original writes.
    s.ofs << 6 | s.n_bits.wrapping_sub(1)
}

/// Reads the packed place of a field whose header follows elsewhere.
pub fn split_ofs_nbits(x: u16) -> (u16, u16) {
    (x >> 6, (x & 0x3f) + 1)
}

/// The 32-bit header of `field` as packed action slots hold it.
pub fn packed_header(field: flow::Field) -> u32 {
    let Some(n) = oxm::number_of(field, Numbering::Nxm) else { return 0 };
    let experimenter = if n.class == 0xffff { 4 } else { 0 };
    u32::from(n.class) << 16 | u32::from(n.field) << 9 | u32::from((field.def().bytes + experimenter) as u8)
}

/// Reads a 32-bit header slot.
pub fn take_packed_field(r: &mut Reader<'_>) -> Result<flow::Field, Error> {
    let raw = r.u32()?;
    let (class, number) = ((raw >> 16) as u16, (raw >> 9 & 0x7f) as u8);
    if class == 0xffff || raw & 0x100 != 0 {
        return Err(Error::BadActionBadSetType);
    }
    let field = oxm::field_of(class, 0, number).ok_or(Error::BadActionBadSetType)?;
    check_header_len(field, raw as u8)?;
    Ok(field)
}

fn check_header_len(field: flow::Field, len: u8) -> Result<(), Error> {
    let width = field.def().bytes;
    let right = if field.tun_metadata_index().is_some() { u16::from(len) <= width } else { u16::from(len) == width };
    if right { Ok(()) } else { Err(Error::BadActionBadSetType) }
}

/// Reads a header of 4 or 8 bytes.
pub fn take_field(r: &mut Reader<'_>) -> Result<flow::Field, Error> {
    let h = oxm::take_header(r).map_err(|_| Error::BadActionBadLen)?;
    if h.has_mask {
        return Err(Error::BadActionBadSetType);
    }
    let field = h.field().ok_or(Error::BadActionBadSetType)?;
    check_header_len(field, h.len)?;
    Ok(field)
}

/// Checks a place in a field.
pub fn make_subfield(field: flow::Field, ofs: u16, n_bits: u16) -> Result<Subfield, Error> {
    if n_bits == 0 || u32::from(ofs) + u32::from(n_bits) > u32::from(field.def().bits) {
        return Err(Error::BadActionBadSetLen);
    }
    Ok(Subfield { field, ofs, n_bits })
}

/// Fails unless the rest is zero.
pub fn rest_zero(r: &Reader<'_>, e: Error) -> Result<(), Error> {
    if is_zero(r.rest()) { Ok(()) } else { Err(e) }
}

/// Reads the action if it is of this family.
pub fn decode(_cx: DecodeContext, raw: Raw, r: &mut Reader<'_>) -> Result<Option<Action>, Error> {
    let bad_argument = Error::BadActionBadArgument;
    Ok(Some(match raw {
        Raw::Output10 | Raw::Output11 => {
            let port = if matches!(raw, Raw::Output10) {
                OfPort(u32::from(r.u16()?))
            } else {
                OfPort::from_of11(r.u32()?).ok_or(Error::BadActionBadOutPort)?
            };
            let special = matches!(port, OfPort::NONE | OfPort::UNSET) || port.reserved_name().is_none();
            if port >= OfPort::MAX && special {
                return Err(Error::BadActionBadOutPort);
            }
            Action::Output { port, max_len: r.u16()? }
        }
        Raw::OutputReg => {
            if !r.rest().get(8..).is_some_and(is_zero) {
                return Err(bad_argument);
            }
            let (ofs, n) = split_ofs_nbits(r.u16()?);
            let src = make_subfield(take_packed_field(r)?, ofs, n)?;
            let max_len = r.u16()?;
            Action::OutputReg { src, max_len, form2: false }
        }
        Raw::OutputReg2 => {
            let (ofs, n) = split_ofs_nbits(r.u16()?);
            let max_len = r.u16()?;
            let src = make_subfield(take_field(r)?, ofs, n)?;
            rest_zero(r, Error::NxBadRequestMustBeZero)?;
            Action::OutputReg { src, max_len, form2: true }
        }
        Raw::OutputTrunc => {
            let port = OfPort(u32::from(r.u16()?));
            let max_len = r.u32()?;
            if max_len < 14 {
                return Err(bad_argument);
            }
            Action::OutputTrunc { port, max_len }
        }
        Raw::Group => {
            r.skip(r.len().saturating_sub(4))?;
            Action::Group(GroupId(r.u32()?))
        }
        Raw::Enqueue => {
            let port = OfPort(u32::from(r.u16()?));
            r.skip(6)?;
            if port.0 >= 0xff00 && port != OfPort::IN_PORT && port != OfPort::LOCAL {
                return Err(Error::BadActionBadOutPort);
            }
            Action::Enqueue { port, queue: r.u32()? }
        }
        Raw::Controller => {
            let (max_len, controller_id) = (r.u16()?, r.u16()?);
            let reason = PacketInReason::from_wire(r.u8()?).ok_or(bad_argument)?;
            Action::Controller(Box::new(Controller {
                max_len,
                controller_id,
                reason,
                userdata: Box::default(),
                pause: false,
                meter_id: 0,
                form2: false,
            }))
        }
        Raw::Controller2 => decode_controller2(r)?,
        Raw::Bundle => decode_bundle(r, false)?,
        Raw::BundleLoad => decode_bundle(r, true)?,
        _ => return Ok(None),
    }))
}

fn decode_controller2(r: &mut Reader<'_>) -> Result<Action, Error> {
    if !is_zero(r.take(6)?) {
        return Err(Error::NxBadRequestMustBeZero);
    }
    let mut c = Controller {
        max_len: u16::MAX,
        controller_id: 0,
        reason: PacketInReason::Action,
        userdata: Box::default(),
        pause: false,
        meter_id: 0,
        form2: true,
    };
    let bad_len = Error::BadPropertyBadLen;
    while !r.is_empty() {
        let mut head = Reader::with_error(r.rest(), bad_len);
        let (ty, len) = (head.u16()?, usize::from(head.u16()?));
        if len < 4 || round8(len) > r.len() {
            return Err(bad_len);
        }
        let whole = r.take(round8(len))?;
        let mut body = Reader::with_error(whole.get(4..len).unwrap_or(&[]), bad_len);
        match ty {
            0 => c.max_len = body.u16()?,
            1 => c.controller_id = body.u16()?,
            2 => c.reason = PacketInReason::from_wire(body.u8()?).unwrap_or(PacketInReason::Action),
            3 => c.userdata = body.rest().into(),
            4 => c.pause = true,
            5 => {
                if body.len() != 4 {
                    return Err(bad_len);
                }
                c.meter_id = body.u32()?;
            }
            _ => return Err(Error::BadPropertyBadType),
        }
    }
    Ok(Action::Controller(Box::new(c)))
}

fn decode_bundle(r: &mut Reader<'_>, load: bool) -> Result<Action, Error> {
    let bad = Error::BadActionBadArgument;
    let algorithm = r.u16()?;
    let fields = HashFields::from_wire(r.u16()?);
    let basis = r.u16()?;
    // The kind of members: ports, the only one that there is.
    let member_type = r.u32()?;
    let n = usize::from(r.u16()?);
    if r.len() < 10 + 2 * n {
        return Err(Error::BadActionBadLen);
    }
    let place = r.u16()?;
    let header = r.rest().get(..4).unwrap_or(&[]);
    let dst = if load {
        let (ofs, n_bits) = split_ofs_nbits(place);
        Some(make_subfield(take_packed_field(r)?, ofs, n_bits)?)
    } else {
        if place != 0 || !is_zero(header) {
            return Err(bad);
        }
        r.skip(4)?;
        None
    };
    let pad = r.take(4)?;
    if (!load && !is_zero(pad)) || n > 2048 || algorithm > 1 || (!load && member_type != 2) {
        return Err(bad);
    }
    let fields = fields.ok_or(bad)?;
    if dst.is_some_and(|d| d.n_bits < 16) {
        return Err(bad);
    }
    let mut members = Vec::with_capacity(n.min(r.len() / 2));
    for _ in 0..n {
        let port = OfPort(u32::from(r.u16()?));
        if port >= OfPort::MAX && port.reserved_name().is_none() {
            return Err(Error::BadActionBadOutPort);
        }
        members.push(port);
    }
    Ok(Action::Bundle(Box::new(Bundle { hrw: algorithm == 1, fields, basis, dst, members: members.into() })))
}

/// Appends the action if it is of this family.
pub fn encode(out: &mut Vec<u8>, a: &Action, v: Version) -> bool {
    match a {
        Action::Output { port, max_len } => encode_output(out, *port, *max_len, v),
        Action::OutputReg { src, max_len, form2 } => {
            let exp = oxm::number_of(src.field, Numbering::Nxm).is_some_and(|n| n.class == 0xffff);
            if *form2 || exp {
                put_nx(out, 32, |b| {
                    b.put16(ofs_nbits(*src));
                    b.put16(*max_len);
                    put_field_header(b, src.field);
                    b.zeros(14 - field_header_len(src.field) - 4);
                });
            } else {
                put_nx(out, 15, |b| {
                    b.put16(ofs_nbits(*src));
                    b.put32(packed_header(src.field));
                    b.put16(*max_len);
                    b.zeros(6);
                });
            }
        }
        Action::OutputTrunc { port, max_len } => put_nx(out, 39, |b| {
            b.put16(port.to_of10());
            b.put32(*max_len);
        }),
        Action::Group(g) => put_either(
            out,
            v,
            (40, 22),
            |b| {
                b.zeros(2);
                b.put32(g.0);
            },
            |b| b.put32(g.0),
        ),
        Action::Enqueue { port, queue } => {
            if v == Version::V10 {
                put_of(out, 11, |b| {
                    b.put16(port.to_of10());
                    b.zeros(6);
                    b.put32(*queue);
                });
            } else {
                put_of(out, 21, |b| b.put32(*queue));
                encode_output(out, *port, u16::MAX, v);
                put_nx(out, 5, |_| {});
            }
        }
        Action::Controller(c) => encode_controller(out, c),
        Action::Bundle(x) => put_nx(out, if x.dst.is_some() { 13 } else { 12 }, |b| {
            b.put16(u16::from(x.hrw));
            b.put16(x.fields as u16);
            b.put16(x.basis);
            b.put32(2);
            b.put16(x.members.len() as u16);
            b.put16(x.dst.map_or(0, ofs_nbits));
            b.put32(x.dst.map_or(0, |d| packed_header(d.field)));
            b.zeros(4);
            for m in &x.members {
                b.put16(m.to_of10());
            }
        }),
        _ => return false,
    }
    true
}

/// Appends a 4- or 8-byte header.
pub fn put_field_header(b: &mut Vec<u8>, field: flow::Field) {
    oxm::put_header(b, field, Numbering::Nxm, false, usize::from(field.def().bytes));
}

/// Length of the header that [`put_field_header`] writes.
pub fn field_header_len(field: flow::Field) -> usize {
    if oxm::number_of(field, Numbering::Nxm).is_some_and(|n| n.class == 0xffff) { 8 } else { 4 }
}

fn encode_output(out: &mut Vec<u8>, port: OfPort, max_len: u16, v: Version) {
    put_of(out, 0, |b| {
        if v == Version::V10 {
            b.put16(port.to_of10());
            b.put16(max_len);
        } else {
            b.put32(port.to_of11());
            b.put16(max_len);
            b.zeros(6);
        }
    });
}

fn encode_controller(out: &mut Vec<u8>, c: &Controller) {
    if c.userdata.is_empty() && !c.pause && c.meter_id == 0 && !c.form2 {
        put_nx(out, 20, |b| {
            b.put16(c.max_len);
            b.put16(c.controller_id);
            b.put8(c.reason.number());
            b.put8(0);
        });
        return;
    }
    put_nx(out, 37, |b| {
        b.zeros(6);
        let mut prop = |ty: u16, payload: &[u8], len: usize| {
            let start = b.len();
            b.put16(ty);
            b.put16(len as u16);
            b.put(payload);
            b.pad8(start);
        };
        if c.max_len != u16::MAX {
            prop(0, &c.max_len.to_be_bytes(), 8);
        }
        if c.controller_id != 0 {
            prop(1, &c.controller_id.to_be_bytes(), 8);
        }
        if c.reason != PacketInReason::Action {
            prop(2, &[c.reason.number()], 5);
        }
        if !c.userdata.is_empty() {
            prop(3, &c.userdata, 4 + c.userdata.len());
        }
        if c.pause {
            prop(4, &[], 4);
        }
        if c.meter_id != 0 {
            prop(5, &c.meter_id.to_be_bytes(), 8);
        }
    });
}
