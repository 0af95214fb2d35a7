//! Adding and removing headers: encap, decap.

use flow::PacketType;
use flow::text::number::{put_dec, put_hex};
use flow::text::{Style, split_key_values};

use super::frame::{DecodeContext, Raw, put_nx};
use super::text::{Parser, number8, number16, put_close, put_open, put_param};
use super::{Action, Encap, EncapProp};
use crate::codec::bytes::{Put, Reader, round8};
use crate::error::Error;
use crate::protocol::Protocols;
use crate::version::Version;

type Parsed = Result<(), String>;

const HEADERS: [(&str, PacketType); 4] = [
    ("ethernet", PacketType::ETHERNET),
    ("nsh", PacketType::NSH),
    ("mpls", PacketType::MPLS),
    ("mpls_mc", PacketType::MPLS_MCAST),
];

/// `encap(nsh(md_type=…,tlv(…)))`, `encap(ethernet)`, `encap(mpls)`.
pub fn parse_encap(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    p.usable = p.usable.and(Protocols::OF13_UP);
    let Some((key, value)) = split_key_values(s).next() else {
        return Err(format!("Missing encap hdr: {s}"));
    };
    let Some((_, packet_type)) = HEADERS.iter().find(|h| h.0 == key) else {
        return Err(format!("Encap hdr not supported: {value}"));
    };
    let mut props = Vec::new();
    if !value.is_empty() {
        for (key, value) in split_key_values(value) {
            props.push(parse_prop(*packet_type, key, value)?);
        }
    }
    p.out.push(Action::Encap(Box::new(Encap { packet_type: *packet_type, hdr_size: 0, props })));
    Ok(())
}

fn parse_prop(packet_type: PacketType, key: &str, value: &str) -> Result<EncapProp, String> {
    if packet_type != PacketType::NSH {
        return Err(format!("Invalid property: {key}"));
    }
    match key {
        "md_type" => match number8(value, "md_type")? {
            n @ (1 | 2) => Ok(EncapProp::NshMdType(n)),
            _ => Err("invalid md_type".to_string()),
        },
        "tlv" => {
            let mut words = value.split(',').map(str::trim);
            let bad = || format!("Invalid NSH TLV header: {value}");
            let class = number16(words.next().ok_or_else(bad)?, "tlv_class").map_err(|_| bad())?;
            let ty = number8(words.next().ok_or_else(bad)?, "tlv_type").map_err(|_| bad())?;
            let hex = words.next().ok_or_else(bad)?;
            let digits = hex.strip_prefix("0x").ok_or_else(bad)?;
            let padded = if digits.len() % 2 == 0 { digits.to_string() } else { format!("0{digits}") };
            let bytes = super::output::hex_with_dots(&padded).filter(|b| b.len() <= 255).ok_or_else(bad)?;
            Ok(EncapProp::NshTlv { class, ty, value: bytes.into() })
        }
        _ => Err(format!("Invalid property: {key}")),
    }
}

/// `decap()`, `decap(packet_type(ns=…,type=…))`.
pub fn parse_decap(p: &mut Parser<'_, '_>, s: &str) -> Parsed {
    let mut packet_type = PacketType::NEXT_PROTOCOL;
    if let Some((key, value)) = split_key_values(s).next() {
        if key != "packet_type" {
            return Err(format!("Invalid decap argument: {s}"));
        }
        let (mut ns, mut ty) = (None, None);
        for (k, v) in split_key_values(value) {
            match k {
                "ns" => ns = Some(number16(v, "ns")?),
                "type" => ty = Some(number16(v, "type")?),
                _ => {}
            }
        }
        let ns = ns.ok_or("Missing packet_type attribute ns")?;
        // OpenFlow 1.5 §7.2.3.11 (OFPHTN_*).
        if ns > 4 {
            return Err(format!("Unsupported ns value: {ns}"));
        }
        let ty = ty.ok_or("Missing packet_type attribute type")?;
        packet_type = PacketType::new(ns, ty);
    }
    p.out.push(Action::Decap(packet_type));
    Ok(())
}

/// Appends the action if it is of this family.
pub fn format(out: &mut String, style: &Style<'_>, a: &Action) -> bool {
    match a {
        Action::Encap(e) => {
            put_open(out, style, "encap");
            match HEADERS.iter().find(|h| h.1 == e.packet_type) {
                Some(h) => out.push_str(h.0),
                None => out.push_str(&e.packet_type.to_string()),
            }
            if !e.props.is_empty() {
                out.push('(');
                for prop in &e.props {
                    match prop {
                        EncapProp::NshMdType(n) => {
                            out.push_str("md_type=");
                            put_dec(out, u64::from(*n));
                        }
                        EncapProp::NshTlv { class, ty, value } => {
                            out.push_str("tlv(");
                            put_hex(out, u128::from(*class), 4);
                            out.push(',');
                            put_dec(out, u64::from(*ty));
                            out.push_str(",0x");
                            for b in value {
                                flow::text::number::put_hex_digits(out, u128::from(*b), 2);
                            }
                            out.push(')');
                        }
                    }
                    out.push(',');
                }
                out.pop();
                out.push(')');
            }
            put_close(out, style);
        }
        Action::Decap(t) => {
            put_open(out, style, "decap");
            if *t != PacketType::NEXT_PROTOCOL {
                put_param(out, style, "packet_type");
                out.push_str("(ns=");
                put_dec(out, u64::from(t.ns()));
                out.push_str(",type=");
                flow::text::number::put_alt_hex(out, u128::from(t.ns_type()));
                out.push(')');
            }
            put_close(out, style);
        }
        _ => return false,
    }

    true
}

/// Reads the action if it is of this family.
pub fn decode(_cx: DecodeContext, raw: Raw, r: &mut Reader<'_>) -> Result<Option<Action>, Error> {
    Ok(Some(match raw {
        Raw::Encap => {
            let hdr_size = r.u16()?;
            let packet_type = PacketType(r.u32()?);
            if !HEADERS.iter().any(|h| h.1 == packet_type) {
                return Err(Error::NxBadActionBadHeaderType);
            }
            let mut props = Vec::new();
            while !r.is_empty() {
                props.push(decode_prop(r)?);
            }
            Action::Encap(Box::new(Encap { packet_type, hdr_size, props }))
        }
        Raw::Decap => {
            r.skip(2)?;
            let t = PacketType(r.u32()?);
            if !r.is_empty() {
                return Err(Error::NxBadActionUnknownEdProp);
            }
            Action::Decap(t)
        }
        _ => return Ok(None),
    }))
}

fn decode_prop(r: &mut Reader<'_>) -> Result<EncapProp, Error> {
    let bad_len = Error::BadActionBadLen;
    let mut head = Reader::with_error(r.rest(), bad_len);
    let (class, ty, len) = (head.u16()?, head.u8()?, usize::from(head.u8()?));
    if len < 4 || round8(len) > r.len() {
        return Err(bad_len);
    }
    let whole = r.take(round8(len))?;
    let mut body = Reader::with_error(whole.get(4..).unwrap_or(&[]), Error::NxBadActionBadEdProp);
    match (class, ty) {
        (4, 1) if len == 5 || len <= 8 => match body.u8()? {
            n @ (1 | 2) => Ok(EncapProp::NshMdType(n)),
            _ => Err(Error::NxBadActionBadEdProp),
        },
        (4, 2) => {
            let (class, ty, n) = (body.u16()?, body.u8()?, usize::from(body.u8()?));
            if len != 8 + round8(n) {
                return Err(Error::NxBadActionBadEdProp);
            }
            Ok(EncapProp::NshTlv { class, ty, value: body.take(n)?.into() })
        }
        (4, 1) => Err(Error::NxBadActionBadEdProp),
        _ => Err(Error::NxBadActionUnknownEdProp),
    }
}

/// Appends the action if it is of this family.
pub fn encode(out: &mut Vec<u8>, a: &Action, _v: Version) -> bool {
    match a {
        Action::Encap(e) => put_nx(out, 46, |b| {
            b.put16(e.hdr_size);
            b.put32(e.packet_type.0);
            for prop in &e.props {
                match prop {
                    EncapProp::NshMdType(n) => {
                        b.put(&[0, 4, 1, 5, *n, 0, 0, 0]);
                    }
                    EncapProp::NshTlv { class, ty, value } => {
                        b.put(&[0, 4, 2, (8 + round8(value.len())) as u8]);
                        b.put16(*class);
                        b.put8(*ty);
                        b.put8(value.len() as u8);
                        b.put(value);
                        b.zeros(round8(value.len()) - value.len());
                    }
                }
            }
        }),
        Action::Decap(t) => put_nx(out, 47, |b| {
            b.zeros(2);
            b.put32(t.0);
        }),
        _ => return false,
    }
    true
}
