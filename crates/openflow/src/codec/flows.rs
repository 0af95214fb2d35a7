//! Flow messages on the wire.

use flow::{Match, MiniMatch, OfPort};

use super::bytes::{Put, Reader, round8};
use super::fixed_match;
use super::frame::{Frame, Stat, take_entries};
use super::oxm::Numbering;
use super::oxm_match::{self, Strictness};
use crate::action::frame::DecodeContext;
use crate::action::{check, instruction};
use crate::error::Error;
use crate::message::*;
use crate::version::{GroupId, TableId, Version};

type Result<T> = std::result::Result<T, Error>;

/// What a connection says about reading flow_mod messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// OpenFlow 1.0: the high byte of a command is a table (NXT_FLOW_MOD_TABLE_ID).
    pub table_id: bool,
    /// Actions for tests are allowed.
    pub debug_actions: bool,
}

impl FlowModCommand {
    /// From the number of the wire.
    pub const fn from_wire(n: u8) -> Option<FlowModCommand> {
        Some(match n {
            0 => FlowModCommand::Add,
            1 => FlowModCommand::Modify,
            2 => FlowModCommand::ModifyStrict,
            3 => FlowModCommand::Delete,
            4 => FlowModCommand::DeleteStrict,
            _ => return None,
        })
    }
}

impl FlowRemovedReason {
    /// From the number of the wire.
    pub const fn from_wire(n: u8) -> FlowRemovedReason {
        match n {
            0 => FlowRemovedReason::IdleTimeout,
            1 => FlowRemovedReason::HardTimeout,
            2 => FlowRemovedReason::Delete,
            3 => FlowRemovedReason::GroupDelete,
            4 => FlowRemovedReason::MeterDelete,
            5 => FlowRemovedReason::Eviction,
            n => FlowRemovedReason::Other(n),
        }
    }

    /// The number of the wire.
    pub const fn number(self) -> u8 {
        match self {
            FlowRemovedReason::IdleTimeout => 0,
            FlowRemovedReason::HardTimeout => 1,
            FlowRemovedReason::Delete => 2,
            FlowRemovedReason::GroupDelete => 3,
            FlowRemovedReason::MeterDelete => 4,
            FlowRemovedReason::Eviction => 5,
            FlowRemovedReason::Other(n) => n,
        }
    }
}

/// Reads a match block of 1.1 or later.
pub fn take_match(r: &mut Reader<'_>, strictness: Strictness) -> Result<Match> {
    let mut m = Match::any();
    take_match_into(&mut m, r, strictness)?;
    Ok(m)
}

/// Like [`take_match`], into a match of everything (a match is big).
fn take_match_into(m: &mut Match, r: &mut Reader<'_>, strictness: Strictness) -> Result<()> {
    if r.rest().get(..2) == Some(&[0, 0]) {
        if r.rest().get(2..4) != Some(&[0, 88]) || r.len() < 88 {
            return Err(Error::BadMatchBadLen);
        }
        *m = fixed_match::take_of11(r)?;
        return Ok(());
    }
    // OXM matches may come in OpenFlow 1.1 too.
    oxm_match::take_block_into(m, r, strictness)
}

/// Appends a match block of 1.1 or later.
pub fn put_match(out: &mut Vec<u8>, m: &Match, v: Version) {
    if v == Version::V11 { fixed_match::put_of11(out, m) } else { oxm_match::put_block(out, m, v) }
}

/// Reads an NXM match of `len` bytes with its padding.
fn take_nxm(r: &mut Reader<'_>, len: usize, strictness: Strictness, cookie: Option<&mut (u64, u64)>) -> Result<Match> {
    if round8(len) > r.len() {
        return Err(Error::BadMatchBadLen);
    }
    let block = r.take(round8(len))?;
    oxm_match::take_entries(block.get(..len).unwrap_or(&[]), strictness, cookie)
}

fn put_nxm(out: &mut Vec<u8>, m: &Match, cookie: Option<(u64, u64)>) -> usize {
    let start = out.len();
    oxm_match::put_entries(out, m, Numbering::Nxm, cookie);
    let len = out.len() - start;
    out.pad8(start);
    len
}

/// Reads a match of OpenFlow 1.0, which may say fields that do not go together; those are left out.
fn take_match10(r: &mut Reader<'_>) -> Result<Match> {
    let mut m = fixed_match::take_of10(r)?;
    flow::normalize(&mut m);
    if (39..58).all(|w| m.mask.word(w) == 0) {
        m.mask.set_packet_type_raw(0);
    }
    Ok(m)
}

/// The command, if it exists, and the table.
fn split_command(raw: u16, o: Options) -> (Option<FlowModCommand>, TableId) {
    let (command, table) = if o.table_id { (raw & 0xff, (raw >> 8) as u8) } else { (raw, 0xff) };
    let command = u8::try_from(command).ok().and_then(FlowModCommand::from_wire);
    (command, TableId(table))
}

fn flags_from(raw: u16, v: Version, times_out: bool) -> Result<u16> {
    let allowed = match v {
        Version::V10 => 7,
        Version::V11 => 3,
        Version::V12 => 7,
        _ => 31,
    };
    if raw & !allowed != 0 {
        return Err(Error::FlowModFailedBadFlags);
    }
    if v == Version::V10 && raw & 4 != 0 {
        // There is no table for emergencies, in which flows would not time out.
        return Err(if times_out { Error::FlowModFailedBadEmergTimeout } else { Error::FlowModFailedTableFull });
    }
    Ok(raw)
}

fn flags_to(flags: u16, v: Version) -> u16 {
    match v {
        Version::V10 | Version::V11 => flags & 3,
        Version::V12 => flags & 7,
        _ => flags & 31,
    }
}

fn context(v: Version, o: Options) -> DecodeContext {
    DecodeContext { debug_actions: o.debug_actions, ..DecodeContext::new(v) }
}

/// Reads OFPT_FLOW_MOD.
pub fn take_flow_mod(r: &mut Reader<'_>, v: Version, o: Options) -> Result<FlowMod> {
    let mut fm = FlowMod::default();
    if v == Version::V10 {
        let exact = r.rest().first_chunk::<4>().is_some_and(|b| u32::from_be_bytes(*b) & 0x3f_ffff == 0);
        let m = take_match10(r)?;
        fm.new_cookie = r.u64()?;
        let command = r.u16()?;
        fm.idle_timeout = r.u16()?;
        fm.hard_timeout = r.u16()?;
        fm.priority = r.u16()?;
        fm.buffer_id = r.u32()?;
        fm.out_port = OfPort(u32::from(r.u16()?));
        let flags = r.u16()?;
        if exact {
            // OpenFlow 1.0 §3.4: a flow without wildcards goes before all others.
            fm.priority = u16::MAX;
        }
        fm.modify_cookie = fm.new_cookie != u64::MAX;
        let (known, table) = split_command(command, o);
        fm.command = known.ok_or(Error::FlowModFailedBadCommand)?;
        fm.table = table;
        fm.actions = instruction::decode_flow(context(v, o), r.rest())?;
        fm.flags = flags_from(flags, v, fm.idle_timeout != 0 || fm.hard_timeout != 0)?;
        fm.matching = MiniMatch::new(&m);
        check::check_for_version(&mut fm.actions, &m, fm.table, v)?;
        return Ok(fm);
    }
    let (cookie, cookie_mask) = (r.u64()?, r.u64()?);
    fm.table = TableId(r.u8()?);
    let command = r.u8()?;
    fm.idle_timeout = r.u16()?;
    fm.hard_timeout = r.u16()?;
    fm.priority = r.u16()?;
    fm.buffer_id = r.u32()?;
    let out_port = r.u32()?;
    fm.out_group = GroupId(r.u32()?);
    let (flags, importance) = (r.u16()?, r.u16()?);
    let mut m = Match::any();
    take_match_into(&mut m, r, Strictness::Strict)?;
    let known = FlowModCommand::from_wire(command);
    let deletes = matches!(known, Some(FlowModCommand::Delete | FlowModCommand::DeleteStrict));
    if fm.table == TableId::ALL && (v == Version::V11 || !deletes) {
        return Err(Error::FlowModFailedBadTableId);
    }
    fm.out_port = OfPort::from_of11(out_port).ok_or(Error::BadActionBadOutPort)?;
    check_tuple(&m)?;
    fm.command = known.ok_or(Error::FlowModFailedBadCommand)?;
    fm.actions = instruction::decode_flow(context(v, o), r.rest())?;
    fm.flags = flags_from(flags, v, fm.idle_timeout != 0 || fm.hard_timeout != 0)?;
    fm.importance = if v >= Version::V14 && fm.command == FlowModCommand::Add { importance } else { 0 };
    if fm.command == FlowModCommand::Add {
        fm.new_cookie = cookie;
    } else {
        fm.new_cookie = u64::MAX;
        fm.cookie = cookie;
        fm.cookie_mask = cookie_mask;
    }
    if matches!(fm.command, FlowModCommand::Modify | FlowModCommand::ModifyStrict) && v == Version::V11 {
        fm.flags &= !FF_RESET_COUNTS;
    }
    fm.matching = MiniMatch::new(&m);
    check::check_for_version(&mut fm.actions, &m, fm.table, v)?;
    Ok(fm)
}

/// What a flow_mod may say of the original tuple of a connection.
fn check_tuple(m: &Match) -> Result<()> {
    let any = |fields: [flow::Field; 2]| fields.iter().any(|f| m.mask.get(*f) != 0);
    let eth_type = if m.mask.eth_type() == 0xffff { m.key.eth_type() } else { 0 };
    let v4 = any([flow::Field::CT_NW_SRC, flow::Field::CT_NW_DST]) && eth_type != 0x0800;
    let v6 = any([flow::Field::CT_IPV6_SRC, flow::Field::CT_IPV6_DST]) && eth_type != 0x86dd;
    if v4 || v6 { Err(Error::BadActionMatchInconsistent) } else { Ok(()) }
}

/// Reads NXT_FLOW_MOD.
pub fn take_nx_flow_mod(r: &mut Reader<'_>, v: Version, o: Options) -> Result<FlowMod> {
    let mut fm = FlowMod { nicira: true, ..FlowMod::default() };
    fm.new_cookie = r.u64()?;
    let command = r.u16()?;
    fm.idle_timeout = r.u16()?;
    fm.hard_timeout = r.u16()?;
    fm.priority = r.u16()?;
    fm.buffer_id = r.u32()?;
    fm.out_port = OfPort(u32::from(r.u16()?));
    let flags = r.u16()?;
    let len = usize::from(r.u16()?);
    r.skip(6)?;
    let mut cookie = (0, 0);
    let m = take_nxm(r, len, Strictness::Strict, Some(&mut cookie))?;
    (fm.cookie, fm.cookie_mask) = cookie;
    check_tuple(&m)?;
    let (known, table) = split_command(command, o);
    (fm.command, fm.table) = (known.ok_or(Error::FlowModFailedBadCommand)?, table);
    fm.actions = instruction::decode_flow(context(v, o), r.rest())?;
    fm.flags = flags_from(flags, Version::V10, fm.idle_timeout != 0 || fm.hard_timeout != 0)?;
    if fm.command == FlowModCommand::Add && fm.cookie_mask != 0 {
        return Err(Error::NxBadRequestNxmInvalid);
    }
    fm.modify_cookie = fm.new_cookie != u64::MAX;
    fm.matching = MiniMatch::new(&m);
    check::check_for_version(&mut fm.actions, &m, fm.table, v)?;
    Ok(fm)
}

/// Writes a flow_mod: NXT_FLOW_MOD where it says so in 1.0, else OFPT_FLOW_MOD. `table_id`: the connection uses table
/// ids in 1.0.
pub fn put_flow_mod(f: Frame, fm: &FlowMod, table_id: bool) -> Vec<u8> {
    let v = f.version();
    let m = fm.matching.expand();
    let command = |on: bool| u16::from(fm.command as u8) | if on { u16::from(fm.table.0) << 8 } else { 0 };
    if v != Version::V10 {
        return f.standard(14, |b| {
            if matches!(fm.command, FlowModCommand::Add) {
                b.put64(fm.new_cookie);
                b.put64(0);
            } else {
                b.put64(fm.cookie & fm.cookie_mask);
                b.put64(fm.cookie_mask);
            }
            // Only deletes may name all tables (OpenFlow 1.3 §A.3.4.1).
            let deletes = matches!(fm.command, FlowModCommand::Delete | FlowModCommand::DeleteStrict);
            b.put8(if fm.table == TableId::ALL && (!deletes || v == Version::V11) { 0 } else { fm.table.0 });
            b.put8(fm.command as u8);
            b.put16(fm.idle_timeout);
            b.put16(fm.hard_timeout);
            b.put16(fm.priority);
            b.put32(fm.buffer_id);
            b.put32(fm.out_port.to_of11());
            b.put32(fm.out_group.0);
            b.put16(flags_to(fm.flags, v));
            b.put16(if v >= Version::V14 { fm.importance } else { 0 });
            put_match(b, &m, v);
            instruction::encode_flow(b, &fm.actions, v);
        });
    }
    if fm.nicira {
        return f.nicira(13, |b| {
            let start = b.len();
            b.put64(fm.new_cookie);
            b.put16(command(table_id));
            b.put16(fm.idle_timeout);
            b.put16(fm.hard_timeout);
            b.put16(fm.priority);
            b.put32(fm.buffer_id);
            b.put16(fm.out_port.to_of10());
            b.put16(flags_to(fm.flags, v));
            b.put16(0);
            b.zeros(6);
            let len = put_nxm(b, &m, Some((fm.cookie, fm.cookie_mask)));
            b.set16(start + 24, len as u16);
            instruction::encode_flow(b, &fm.actions, v);
        });
    }
    f.standard(14, |b| {
        fixed_match::put_of10(b, &m);
        b.put64(fm.new_cookie);
        b.put16(command(table_id));
        b.put16(fm.idle_timeout);
        b.put16(fm.hard_timeout);
        b.put16(fm.priority);
        b.put32(fm.buffer_id);
        b.put16(fm.out_port.to_of10());
        b.put16(flags_to(fm.flags, v));
        instruction::encode_flow(b, &fm.actions, v);
    })
}

/// Reads OFPT_FLOW_REMOVED.
pub fn take_flow_removed(r: &mut Reader<'_>, v: Version) -> Result<FlowRemoved> {
    let mut fr = empty_removed();
    if v == Version::V10 {
        let m = fixed_match::take_of10(r)?;
        fr.matching = MiniMatch::new(&m);
        (fr.cookie, fr.priority) = (r.u64()?, r.u16()?);
        fr.reason = FlowRemovedReason::from_wire(r.u8()?);
        r.skip(1)?;
        fr.duration = Span { sec: r.u32()?, nsec: r.u32()? };
        fr.idle_timeout = r.u16()?;
        r.skip(2)?;
        (fr.packets, fr.bytes) = (r.u64()?, r.u64()?);
        return Ok(fr);
    }
    if v == Version::V15 {
        fr.table = TableId(r.u8()?);
        fr.reason = FlowRemovedReason::from_wire(r.u8()?);
        (fr.priority, fr.idle_timeout, fr.hard_timeout, fr.cookie) = (r.u16()?, r.u16()?, r.u16()?, r.u64()?);
        fr.matching = MiniMatch::new(&take_match(r, Strictness::Strict)?);
        let s = super::oxs::take(r)?;
        (fr.duration, fr.packets, fr.bytes) = (s.duration.unwrap_or(super::oxs::NEVER), s.packets, s.bytes);
        r.skip_up_to(r.len());
        return Ok(fr);
    }
    (fr.cookie, fr.priority) = (r.u64()?, r.u16()?);
    fr.reason = FlowRemovedReason::from_wire(r.u8()?);
    fr.table = TableId(r.u8()?);
    fr.duration = Span { sec: r.u32()?, nsec: r.u32()? };
    (fr.idle_timeout, fr.hard_timeout) = (r.u16()?, r.u16()?);
    (fr.packets, fr.bytes) = (r.u64()?, r.u64()?);
    fr.matching = MiniMatch::new(&take_match(r, Strictness::Strict)?);
    r.skip_up_to(r.len());
    Ok(fr)
}

fn empty_removed() -> FlowRemoved {
    FlowRemoved {
        matching: MiniMatch::default(),
        cookie: 0,
        priority: 0,
        reason: FlowRemovedReason::Delete,
        table: TableId::ALL,
        duration: Span::default(),
        idle_timeout: 0,
        hard_timeout: 0,
        packets: u64::MAX,
        bytes: u64::MAX,
        nicira: false,
    }
}

/// Reads NXT_FLOW_REMOVED.
pub fn take_nx_flow_removed(r: &mut Reader<'_>) -> Result<FlowRemoved> {
    let mut fr = FlowRemoved { nicira: true, ..empty_removed() };
    (fr.cookie, fr.priority) = (r.u64()?, r.u16()?);
    fr.reason = FlowRemovedReason::from_wire(r.u8()?);
    let table = r.u8()?;
    fr.table = if table == 0 { TableId::ALL } else { TableId(table - 1) };
    fr.duration = Span { sec: r.u32()?, nsec: r.u32()? };
    fr.idle_timeout = r.u16()?;
    let len = usize::from(r.u16()?);
    (fr.packets, fr.bytes) = (r.u64()?, r.u64()?);
    fr.matching = MiniMatch::new(&take_nxm(r, len, Strictness::Strict, None)?);
    Ok(fr)
}

/// Writes a flow removed message.
pub fn put_flow_removed(f: Frame, fr: &FlowRemoved) -> Vec<u8> {
    let v = f.version();
    let m = fr.matching.expand();
    let reason = match fr.reason {
        FlowRemovedReason::MeterDelete | FlowRemovedReason::Eviction if v < Version::V14 => FlowRemovedReason::Delete,
        r => r,
    }
    .number();
    let span = |b: &mut Vec<u8>| {
        b.put32(fr.duration.sec);
        b.put32(fr.duration.nsec);
    };
    match v {
        Version::V10 if fr.nicira => f.nicira(14, |b| {
            let start = b.len();
            b.put64(fr.cookie);
            b.put16(fr.priority);
            b.put8(reason);
            b.put8(if fr.table == TableId::ALL { 0 } else { fr.table.0 + 1 });
            span(b);
            b.put16(fr.idle_timeout);
            b.put16(0);
            b.put64(fr.packets);
            b.put64(fr.bytes);
            let len = put_nxm(b, &m, None);
            b.set16(start + 22, len as u16);
        }),
        Version::V10 => f.standard(11, |b| {
            fixed_match::put_of10(b, &m);
            b.put64(fr.cookie);
            b.put16(fr.priority);
            b.put8(reason);
            b.put8(0);
            span(b);
            b.put16(fr.idle_timeout);
            b.zeros(2);
            b.put64(known_or_zero(fr.packets));
            b.put64(known_or_zero(fr.bytes));
        }),
        Version::V15 => f.standard(11, |b| {
            b.put8(fr.table.0);
            b.put8(reason);
            b.put16(fr.priority);
            b.put16(fr.idle_timeout);
            b.put16(fr.hard_timeout);
            b.put64(fr.cookie);
            put_match(b, &m, v);
            super::oxs::put(
                b,
                &super::oxs::Stats {
                    duration: Some(fr.duration),
                    packets: fr.packets,
                    bytes: fr.bytes,
                    ..super::oxs::Stats::default()
                },
            );
        }),
        _ => f.standard(11, |b| {
            b.put64(fr.cookie);
            b.put16(fr.priority);
            b.put8(reason);
            b.put8(fr.table.0);
            span(b);
            b.put16(fr.idle_timeout);
            b.put16(fr.hard_timeout);
            b.put64(fr.packets);
            b.put64(fr.bytes);
            put_match(b, &m, v);
        }),
    }
}

/// OpenFlow 1.0 has no value for an unknown counter.
fn known_or_zero(n: u64) -> u64 {
    if n == u64::MAX { 0 } else { n }
}

/// Reads a flow or aggregate statistics request of the standard form.
pub fn take_stats_request(r: &mut Reader<'_>, v: Version) -> Result<FlowStatsRequest> {
    let mut q = FlowStatsRequest::default();
    if v == Version::V10 {
        q.matching = MiniMatch::new(&fixed_match::take_of10(r)?);
        q.table = TableId(r.u8()?);
        r.skip(1)?;
        q.out_port = OfPort(u32::from(r.u16()?));
        return Ok(q);
    }
    q.table = TableId(r.u8()?);
    r.skip(3)?;
    q.out_port = OfPort::from_of11(r.u32()?).ok_or(Error::BadActionBadOutPort)?;
    q.out_group = GroupId(r.u32()?);
    r.skip(4)?;
    (q.cookie, q.cookie_mask) = (r.u64()?, r.u64()?);
    q.matching = MiniMatch::new(&take_match(r, Strictness::Strict)?);
    r.skip_up_to(r.len());
    Ok(q)
}

/// Reads a flow or aggregate statistics request of the Nicira form.
pub fn take_nx_stats_request(r: &mut Reader<'_>) -> Result<FlowStatsRequest> {
    let mut q = FlowStatsRequest { nicira: true, ..FlowStatsRequest::default() };
    q.out_port = OfPort(u32::from(r.u16()?));
    let len = usize::from(r.u16()?);
    q.table = TableId(r.u8()?);
    r.skip(3)?;
    let mut cookie = (0, 0);
    q.matching = MiniMatch::new(&take_nxm(r, len, Strictness::Strict, Some(&mut cookie))?);
    (q.cookie, q.cookie_mask) = cookie;
    if !r.is_empty() {
        return Err(Error::BadRequestBadLen);
    }
    Ok(q)
}

/// Writes a flow (`stat` 1) or aggregate (2) statistics request.
pub fn put_stats_request(f: Frame, stat: u16, q: &FlowStatsRequest) -> Vec<u8> {
    let v = f.version();
    let m = q.matching.expand();
    if v != Version::V10 {
        return f.stat(Stat::request(stat), |b| {
            b.put8(q.table.0);
            b.zeros(3);
            b.put32(q.out_port.to_of11());
            b.put32(q.out_group.0);
            b.zeros(4);
            b.put64(q.cookie);
            b.put64(q.cookie_mask);
            put_match(b, &m, v);
        });
    }
    if q.nicira {
        return f.stat(Stat::nicira(u32::from(stat) - 1, false), |b| {
            let start = b.len();
            b.put16(q.out_port.to_of10());
            b.put16(0);
            b.put8(q.table.0);
            b.zeros(3);
            let len = put_nxm(b, &m, Some((q.cookie, q.cookie_mask)));
            b.set16(start + 2, len as u16);
        });
    }
    f.stat(Stat::request(stat), |b| {
        fixed_match::put_of10(b, &m);
        b.put8(q.table.0);
        b.put8(0);
        b.put16(q.out_port.to_of10());
    })
}

fn age(n: u16) -> Option<u32> {
    n.checked_sub(1).map(u32::from)
}

/// Reads one flow.
fn take_flow(e: &mut Reader<'_>, v: Version, nicira: bool, o: Options) -> Result<FlowStats> {
    let fixed = match v {
        Version::V15 => 2,
        Version::V10 if !nicira => 88,
        _ => 48,
    };
    let len = usize::from(u16::from_be_bytes(e.rest().first_chunk::<2>().copied().unwrap_or_default()));
    if len < fixed {
        return Err(if v == Version::V15 { Error::UnreadableReply } else { Error::BadRequestBadLen });
    }
    let start = e.len();
    e.skip(2)?;
    let mut fs = FlowStats { nicira, ..FlowStats::default() };
    match v {
        // What is wrong before the instructions has no error of its own.
        Version::V15 => take_flow15(e, &mut fs).map_err(|_| Error::UnreadableReply)?,
        Version::V10 if !nicira => take_flow10(e, &mut fs)?,
        Version::V10 => take_flow_nicira(e, &mut fs, len)?,
        _ => take_flow11(e, &mut fs, v)?,
    }
    if v != Version::V10 {
        fs.flags = flags_from(fs.flags, v, false)?;
    }
    fs.actions = take_flow_actions(e, start, len, v, o)?;
    Ok(fs)
}

fn take_flow15(e: &mut Reader<'_>, fs: &mut FlowStats) -> Result<()> {
    e.skip(2)?;
    fs.table = TableId(e.u8()?);
    e.skip(1)?;
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (e.u16()?, e.u16()?, e.u16()?);
    (fs.flags, fs.importance, fs.cookie) = (e.u16()?, e.u16()?, e.u64()?);
    let mut m = Match::any();
    take_match_into(&mut m, e, Strictness::Strict)?;
    fs.matching = MiniMatch::new(&m);
    let s = super::oxs::take(e)?;
    fs.duration = s.duration.unwrap_or(super::oxs::NEVER);
    fs.idle_age = s.idle.map(|i| i.sec);
    (fs.packets, fs.bytes) = (s.packets, s.bytes);
    Ok(())
}

fn take_flow11(e: &mut Reader<'_>, fs: &mut FlowStats, v: Version) -> Result<()> {
    fs.table = TableId(e.u8()?);
    e.skip(1)?;
    fs.duration = Span { sec: e.u32()?, nsec: e.u32()? };
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (e.u16()?, e.u16()?, e.u16()?);
    let (flags, importance) = (e.u16()?, e.u16()?);
    fs.flags = if v >= Version::V13 { flags } else { 0 };
    fs.importance = if v >= Version::V14 { importance } else { 0 };
    e.skip(2)?;
    (fs.cookie, fs.packets, fs.bytes) = (e.u64()?, e.u64()?, e.u64()?);
    let mut m = Match::any();
    take_match_into(&mut m, e, Strictness::Strict)?;
    fs.matching = MiniMatch::new(&m);
    Ok(())
}

fn take_flow10(e: &mut Reader<'_>, fs: &mut FlowStats) -> Result<()> {
    fs.table = TableId(e.u8()?);
    e.skip(1)?;
    fs.matching = MiniMatch::new(&fixed_match::take_of10(e)?);
    fs.duration = Span { sec: e.u32()?, nsec: e.u32()? };
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (e.u16()?, e.u16()?, e.u16()?);
    e.skip(6)?;
    (fs.cookie, fs.packets, fs.bytes) = (e.u64()?, e.u64()?, e.u64()?);
    Ok(())
}

fn take_flow_nicira(e: &mut Reader<'_>, fs: &mut FlowStats, len: usize) -> Result<()> {
    fs.table = TableId(e.u8()?);
    e.skip(1)?;
    fs.duration = Span { sec: e.u32()?, nsec: e.u32()? };
    (fs.priority, fs.idle_timeout, fs.hard_timeout) = (e.u16()?, e.u16()?, e.u16()?);
    let match_len = usize::from(e.u16()?);
    if len < 48 + round8(match_len) {
        return Err(Error::BadRequestBadLen);
    }
    (fs.idle_age, fs.hard_age) = (age(e.u16()?), age(e.u16()?));
    (fs.cookie, fs.packets, fs.bytes) = (e.u64()?, e.u64()?, e.u64()?);
    fs.matching = MiniMatch::new(&take_nxm(e, match_len, Strictness::Strict, None)?);
    Ok(())
}

/// What is left of a flow of `len` bytes that began when `start` bytes were left.
fn take_flow_actions(
    e: &mut Reader<'_>,
    start: usize,
    len: usize,
    v: Version,
    o: Options,
) -> Result<Vec<crate::Action>> {
    let bad = if v == Version::V10 { Error::BadRequestBadLen } else { Error::BadInstructionBadLen };
    let left = (len + e.len()).checked_sub(start).ok_or(bad)?;
    if v == Version::V10 && left % 8 != 0 {
        return Err(bad);
    }
    instruction::decode_flow(context(v, o), e.take(left).map_err(|_| bad)?)
}

/// Reads flows of a reply.
pub fn take_flow_stats(
    r: &mut Reader<'_>,
    v: Version,
    more: bool,
    nicira: bool,
    o: Options,
) -> Result<Multipart<FlowStats>> {
    take_entries(more, r, |r| take_flow(r, v, nicira, o))
}

/// The flows before the one that cannot be read.
pub fn take_flow_stats_prefix(r: &mut Reader<'_>, v: Version, nicira: bool, o: Options) -> Vec<FlowStats> {
    std::iter::from_fn(|| take_flow(r, v, nicira, o).ok()).collect()
}

fn put_flow(b: &mut Vec<u8>, fs: &FlowStats, v: Version, nicira: bool) {
    let start = b.len();
    let m = fs.matching.expand();
    let span = |b: &mut Vec<u8>| {
        b.put32(fs.duration.sec);
        b.put32(fs.duration.nsec);
    };
    let timeouts = |b: &mut Vec<u8>| {
        b.put16(fs.priority);
        b.put16(fs.idle_timeout);
        b.put16(fs.hard_timeout);
    };
    let counts = |b: &mut Vec<u8>, known: fn(u64) -> u64| {
        b.put64(fs.cookie);
        b.put64(known(fs.packets));
        b.put64(known(fs.bytes));
    };
    b.put16(0);
    if v == Version::V15 {
        b.zeros(2);
        b.put8(fs.table.0);
        b.put8(0);
        timeouts(b);
        b.put16(flags_to(fs.flags, v));
        b.put16(fs.importance);
        b.put64(fs.cookie);
        put_match(b, &m, v);
        let idle = fs.idle_age.map(|sec| Span { sec, nsec: 0 });
        super::oxs::put(
            b,
            &super::oxs::Stats { duration: Some(fs.duration), idle, packets: fs.packets, bytes: fs.bytes, flows: None },
        );
    } else {
        b.put8(fs.table.0);
        b.put8(0);
        if v == Version::V10 && !nicira {
            fixed_match::put_of10(b, &m);
            span(b);
            timeouts(b);
            b.zeros(6);
            counts(b, known_or_zero);
        } else if nicira {
            span(b);
            timeouts(b);
            b.put16(0);
            let age = |a: Option<u32>| a.map_or(0, |n| u16::try_from(n.saturating_add(1)).unwrap_or(u16::MAX));
            b.put16(age(fs.idle_age));
            b.put16(age(fs.hard_age));
            counts(b, |n| n);
            let len = put_nxm(b, &m, None);
            b.set16(start + 18, len as u16);
        } else {
            span(b);
            timeouts(b);
            b.put16(if v >= Version::V13 { flags_to(fs.flags, v) } else { 0 });
            b.put16(if v >= Version::V14 { fs.importance } else { 0 });
            b.zeros(2);
            counts(b, |n| n);
            // What 1.1's own structure cannot say, such as registers, must not be lost in a dump.
            oxm_match::put_block(b, &m, v);
        }
    }
    instruction::encode_flow(b, &fs.actions, v);
    let len = b.len() - start;
    b.set16(start, len as u16);
}

/// Writes flows of a reply, in as many messages as they need.
pub fn put_flow_stats(f: Frame, m: &Multipart<FlowStats>) -> Vec<u8> {
    let v = f.version();
    let nicira = v == Version::V10 && (m.nicira || m.entries.first().is_some_and(|e| e.nicira));
    let id = if nicira { Stat::nicira(0, true) } else { Stat::reply(1) };
    f.entries(id, m, |b, fs| put_flow(b, fs, v, nicira))
}

/// Reads aggregate statistics.
pub fn take_aggregate(r: &mut Reader<'_>, v: Version, nicira: bool) -> Result<AggregateStats> {
    if v == Version::V15 {
        let s = super::oxs::take(r)?;
        r.skip_up_to(r.len());
        return Ok(AggregateStats { packets: s.packets, bytes: s.bytes, flows: s.flows.unwrap_or(u32::MAX), nicira });
    }
    let (packets, bytes, flows) = (r.u64()?, r.u64()?, r.u32()?);
    r.skip(4)?;
    Ok(AggregateStats { packets, bytes, flows, nicira })
}

/// Writes aggregate statistics.
pub fn put_aggregate(f: Frame, a: &AggregateStats) -> Vec<u8> {
    let v = f.version();
    let id = if v == Version::V10 && a.nicira { Stat::nicira(1, true) } else { Stat::reply(2) };
    f.stat(id, |b| {
        if v == Version::V15 {
            super::oxs::put(
                b,
                &super::oxs::Stats {
                    packets: a.packets,
                    bytes: a.bytes,
                    flows: Some(a.flows),
                    ..super::oxs::Stats::default()
                },
            );
        } else {
            b.put64(a.packets);
            b.put64(a.bytes);
            b.put32(a.flows);
            b.zeros(4);
        }
    })
}
