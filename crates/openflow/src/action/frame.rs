//! THE table of action numbers, and the frame that all actions share: type, length, vendor, subtype.

use std::sync::OnceLock;

use foldhash::{HashMap, HashMapExt};

use super::{Action, control, ct, encap, fields, header, learn, output};
use crate::codec::bytes::{Put, Reader};
use crate::error::{Error, NX_VENDOR, ONF_VENDOR};
use crate::version::Version;

/// A wire form of an action. Named as the original's numbers are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Raw {
    Output10,
    Output11,
    SetVlanVid10,
    SetVlanVid11,
    SetVlanPcp10,
    SetVlanPcp11,
    StripVlan,
    PopVlan,
    PushVlan,
    SetDlSrc,
    SetDlDst,
    SetNwSrc,
    SetNwDst,
    SetNwTos,
    SetNwEcn,
    SetTpSrc,
    SetTpDst,
    Enqueue,
    SetMplsLabel,
    SetMplsTc,
    SetMplsTtl,
    DecMplsTtl,
    PushMpls,
    PopMpls,
    SetQueue,
    Group,
    SetNwTtl,
    DecNwTtl,
    DecTtlIds,
    SetField,
    RegLoad,
    RegLoad2,
    CopyField15,
    CopyField13,
    RegMove,
    Meter,
    Resubmit,
    ResubmitTable,
    ResubmitTableCt,
    SetTunnel,
    SetTunnel64,
    PopQueue,
    Note,
    Multipath,
    Bundle,
    BundleLoad,
    OutputReg,
    OutputReg2,
    Learn,
    Learn2,
    Exit,
    FinTimeout,
    Controller,
    Controller2,
    WriteMetadata,
    StackPush,
    StackPop,
    Sample,
    Sample2,
    Sample3,
    Sample4,
    Conjunction,
    Ct,
    Nat,
    OutputTrunc,
    Clone,
    CtClear,
    Encap,
    Decap,
    DecNshTtl,
    CheckPktLarger,
    DeleteField,
    DebugSlow,
    DebugRecirc,
}

/// A row: a number of a wire form.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The wire form.
    pub raw: Raw,
    /// Vendor, 0 for standard actions.
    pub vendor: u32,
    /// Type, or subtype of the vendor.
    pub code: u16,
    /// First version.
    pub min: Version,
    /// Last version.
    pub max: Version,
    /// Least length in bytes.
    pub len: u16,
    /// Whether longer actions are allowed.
    pub longer: bool,
}

use Version::{V10, V11, V12, V13, V14, V15};

const fn of(raw: Raw, code: u16, min: Version, max: Version, len: u16) -> Row {
    Row { raw, vendor: 0, code, min, max, len, longer: false }
}

const fn ofv(raw: Raw, code: u16, min: Version, max: Version, len: u16) -> Row {
    Row { raw, vendor: 0, code, min, max, len, longer: true }
}

const fn nx(raw: Raw, code: u16, min: Version, max: Version, len: u16) -> Row {
    Row { raw, vendor: NX_VENDOR, code, min, max, len, longer: false }
}

const fn nxv(raw: Raw, code: u16, min: Version, max: Version, len: u16) -> Row {
    Row { raw, vendor: NX_VENDOR, code, min, max, len, longer: true }
}

/// Every number that is decoded.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    of(Raw::Output10, 0, V10, V10, 8),
    of(Raw::Output11, 0, V11, V15, 16),
    of(Raw::SetVlanVid10, 1, V10, V10, 8),
    of(Raw::SetVlanVid11, 1, V11, V15, 8),
    of(Raw::SetVlanPcp10, 2, V10, V10, 8),
    of(Raw::SetVlanPcp11, 2, V11, V15, 8),
    of(Raw::StripVlan, 3, V10, V10, 8),
    of(Raw::PopVlan, 18, V11, V15, 8),
    of(Raw::PushVlan, 17, V11, V15, 8),
    of(Raw::SetDlSrc, 4, V10, V10, 16),
    of(Raw::SetDlSrc, 3, V11, V15, 16),
    of(Raw::SetDlDst, 5, V10, V10, 16),
    of(Raw::SetDlDst, 4, V11, V15, 16),
    of(Raw::SetNwSrc, 6, V10, V10, 8),
    of(Raw::SetNwSrc, 5, V11, V15, 8),
    of(Raw::SetNwDst, 7, V10, V10, 8),
    of(Raw::SetNwDst, 6, V11, V15, 8),
    of(Raw::SetNwTos, 8, V10, V10, 8),
    of(Raw::SetNwTos, 7, V11, V15, 8),
    of(Raw::SetNwEcn, 8, V11, V15, 8),
    of(Raw::SetTpSrc, 9, V10, V15, 8),
    of(Raw::SetTpDst, 10, V10, V15, 8),
    of(Raw::Enqueue, 11, V10, V10, 16),
    nx(Raw::SetMplsLabel, 30, V10, V10, 16),
    of(Raw::SetMplsLabel, 13, V11, V15, 8),
    nx(Raw::SetMplsTc, 31, V10, V10, 16),
    of(Raw::SetMplsTc, 14, V11, V15, 8),
    nx(Raw::SetMplsTtl, 25, V10, V10, 16),
    of(Raw::SetMplsTtl, 15, V11, V15, 8),
    nx(Raw::DecMplsTtl, 26, V10, V10, 16),
    of(Raw::DecMplsTtl, 16, V11, V15, 8),
    nx(Raw::PushMpls, 23, V10, V10, 16),
    of(Raw::PushMpls, 19, V11, V15, 8),
    nx(Raw::PopMpls, 24, V10, V10, 16),
    of(Raw::PopMpls, 20, V11, V15, 8),
    nx(Raw::SetQueue, 4, V10, V10, 16),
    of(Raw::SetQueue, 21, V11, V15, 8),
    nx(Raw::Group, 40, V10, V10, 16),
    of(Raw::Group, 22, V11, V15, 8),
    of(Raw::SetNwTtl, 23, V11, V15, 8),
    nx(Raw::DecNwTtl, 18, V10, V10, 16),
    of(Raw::DecNwTtl, 24, V11, V15, 8),
    nxv(Raw::DecTtlIds, 21, V10, V15, 16),
    ofv(Raw::SetField, 25, V12, V15, 8),
    nx(Raw::RegLoad, 7, V10, V14, 24),
    nxv(Raw::RegLoad2, 33, V10, V14, 16),
    ofv(Raw::CopyField15, 28, V15, V15, 16),
    Row { raw: Raw::CopyField13, vendor: ONF_VENDOR, code: 3200, min: V13, max: V14, len: 24, longer: true },
    nxv(Raw::RegMove, 6, V10, V14, 16),
    of(Raw::Meter, 29, V15, V15, 8),
    nx(Raw::Resubmit, 1, V10, V15, 16),
    nx(Raw::ResubmitTable, 14, V10, V15, 16),
    nx(Raw::ResubmitTableCt, 44, V10, V15, 16),
    nx(Raw::SetTunnel, 2, V10, V15, 16),
    nx(Raw::SetTunnel64, 9, V10, V15, 24),
    nx(Raw::PopQueue, 5, V10, V15, 16),
    nxv(Raw::Note, 8, V10, V15, 16),
    nx(Raw::Multipath, 10, V10, V15, 32),
    nxv(Raw::Bundle, 12, V10, V15, 32),
    nxv(Raw::BundleLoad, 13, V10, V15, 32),
    nx(Raw::OutputReg, 15, V10, V15, 24),
    nx(Raw::OutputReg2, 32, V10, V15, 24),
    nxv(Raw::Learn, 16, V10, V15, 32),
    nxv(Raw::Learn2, 45, V10, V15, 40),
    nx(Raw::Exit, 17, V10, V15, 16),
    nx(Raw::FinTimeout, 19, V10, V15, 16),
    nx(Raw::Controller, 20, V10, V15, 16),
    nxv(Raw::Controller2, 37, V10, V15, 16),
    nx(Raw::WriteMetadata, 22, V10, V15, 32),
    nx(Raw::StackPush, 27, V10, V15, 24),
    nx(Raw::StackPop, 28, V10, V15, 24),
    nx(Raw::Sample, 29, V10, V15, 24),
    nx(Raw::Sample2, 38, V10, V15, 32),
    nx(Raw::Sample3, 41, V10, V15, 32),
    nx(Raw::Sample4, 51, V10, V15, 40),
    nx(Raw::Conjunction, 34, V10, V15, 16),
    nxv(Raw::Ct, 35, V10, V15, 24),
    nxv(Raw::Nat, 36, V10, V15, 16),
    nx(Raw::OutputTrunc, 39, V10, V15, 16),
    nxv(Raw::Clone, 42, V10, V15, 16),
    nx(Raw::CtClear, 43, V10, V15, 16),
    nxv(Raw::Encap, 46, V13, V15, 16),
    nxv(Raw::Decap, 47, V13, V15, 16),
    nx(Raw::DecNshTtl, 48, V13, V15, 16),
    nxv(Raw::CheckPktLarger, 49, V10, V15, 24),
    nx(Raw::DeleteField, 50, V10, V15, 24),
    nx(Raw::DebugSlow, 254, V10, V15, 16),
    nx(Raw::DebugRecirc, 255, V10, V15, 16),
];

/// The row with this number in `version`.
pub fn row(version: Version, vendor: u32, code: u16) -> Option<&'static Row> {
    type Key = (Version, u32, u16);
    static MAP: OnceLock<HashMap<Key, &'static Row>> = OnceLock::new();
    let map = MAP.get_or_init(|| {
        let mut map = HashMap::new();
        for r in ROWS {
            for v in Version::ALL.into_iter().filter(|v| (r.min..=r.max).contains(v)) {
                map.insert((v, r.vendor, r.code), r);
            }
        }
        map
    });
    map.get(&(version, vendor, code)).copied()
}

/// State of decoding one list.
#[derive(Clone, Copy, Debug)]
pub struct DecodeContext {
    /// Version of the message.
    pub version: Version,
    /// Nesting, to bound recursion.
    pub depth: u8,
    /// Whether the actions for tests are allowed.
    pub debug_actions: bool,
}

impl DecodeContext {
    /// A context for a message of `version`.
    pub const fn new(version: Version) -> DecodeContext {
        DecodeContext { version, depth: 0, debug_actions: false }
    }

    /// One level deeper; too deep is `OFPBAC_BAD_ARGUMENT`.
    pub fn deeper(self) -> Result<DecodeContext, Error> {
        if self.depth >= super::text::MAX_DEPTH {
            return Err(Error::BadActionBadArgument);
        }
        Ok(DecodeContext { depth: self.depth + 1, ..self })
    }
}

/// Reads a list of actions to its end, without checking how they stand together.
pub fn decode_list(cx: DecodeContext, data: &[u8]) -> Result<Vec<Action>, Error> {
    let mut out = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let n = decode_one(cx, rest, &mut out)?;
        rest = rest.get(n..).unwrap_or(&[]);
    }
    Ok(out)
}

/// Reads one action; returns its length.
pub fn decode_one(cx: DecodeContext, data: &[u8], out: &mut Vec<Action>) -> Result<usize, Error> {
    let bad_len = Error::BadActionBadLen;
    let mut r = Reader::with_error(data, bad_len);
    let (ty, len) = (r.u16()?, usize::from(r.u16()?));
    let (found, at) = if ty == 0xffff {
        let vendor = r.u32()?;
        if vendor != NX_VENDOR && vendor != ONF_VENDOR {
            return Err(Error::BadActionBadVendor);
        }
        let subtype = r.u16()?;
        (row(cx.version, vendor, subtype).ok_or(Error::BadActionBadVendorType)?, 10)
    } else {
        (row(cx.version, 0, ty).ok_or(Error::BadActionBadType)?, 4)
    };
    if len < 8 || len % 8 != 0 || len > data.len() {
        return Err(bad_len);
    }
    let body = data.get(..len).ok_or(bad_len)?;
    if len < usize::from(found.len) || (!found.longer && len > usize::from(found.len)) {
        return Err(bad_len);
    }
    let mut r = Reader::with_error(body.get(at..).unwrap_or(&[]), bad_len);
    out.push(decode_body(cx, found.raw, &mut r)?);
    Ok(len)
}

fn decode_body(cx: DecodeContext, raw: Raw, r: &mut Reader<'_>) -> Result<Action, Error> {
    let families =
        [output::decode, header::decode, fields::decode, control::decode, learn::decode, ct::decode, encap::decode];
    for decode in families {
        if let Some(a) = decode(cx, raw, r)? {
            return Ok(a);
        }
    }
    Err(Error::BadActionBadType)
}

/// Appends a list of actions as `version` writes them. Instructions that are not actions in that version are left out
/// (see [`super::instruction`]).
pub fn encode_list(out: &mut Vec<u8>, actions: &[Action], version: Version) {
    for a in actions {
        encode_one(out, a, version);
    }
}

/// Appends one action.
pub fn encode_one(out: &mut Vec<u8>, a: &Action, version: Version) {
    let _ = output::encode(out, a, version)
        || header::encode(out, a, version)
        || fields::encode(out, a, version)
        || control::encode(out, a, version)
        || learn::encode(out, a, version)
        || ct::encode(out, a, version)
        || encap::encode(out, a, version)
        || super::instruction::encode_as_action(out, a, version);
}

/// Appends a standard action whose body `f` writes.
pub fn put_of(out: &mut Vec<u8>, ty: u16, f: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put16(ty);
    out.put16(0);
    f(out);
    finish(out, start);
}

/// Appends a Nicira action whose body `f` writes.
pub fn put_nx(out: &mut Vec<u8>, subtype: u16, f: impl FnOnce(&mut Vec<u8>)) {
    put_vendor(out, NX_VENDOR, subtype, f);
}

/// Appends a vendor action whose body `f` writes.
pub fn put_vendor(out: &mut Vec<u8>, vendor: u32, subtype: u16, f: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put16(0xffff);
    out.put16(0);
    out.put32(vendor);
    out.put16(subtype);
    f(out);
    if out.len() - start < 16 {
        out.zeros(16 - (out.len() - start));
    }
    finish(out, start);
}

/// Appends the form that 1.0 writes as a Nicira action and later versions as a standard one. The body of the first
/// starts at byte 10.
pub fn put_either(
    out: &mut Vec<u8>,
    version: Version,
    (nx, of): (u16, u16),
    nx_body: impl FnOnce(&mut Vec<u8>),
    of_body: impl FnOnce(&mut Vec<u8>),
) {
    if version == Version::V10 { put_nx(out, nx, nx_body) } else { put_of(out, of, of_body) }
}

fn finish(out: &mut Vec<u8>, start: usize) {
    out.pad8(start);
    let len = out.len() - start;
    out.set16(start + 2, u16::try_from(len).unwrap_or(0xfff8));
}
