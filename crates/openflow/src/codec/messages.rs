//! Whole messages: which codec reads and writes each.

use flow::OfPort;

use super::bytes::{Put, Reader};
use super::flows::Options;
use super::frame::{Frame, Stat, take_entries};
use super::types::{Family, Identity, identify};
use super::{control, flows, groups, meters, monitor, packets, ports, tables};
use crate::error::Error;
use crate::message::*;
use crate::version::{GroupId, MeterId, Version, Xid};

type Result<T> = std::result::Result<T, Error>;

impl Message {
    /// Reads one whole message. Errors are the ones to send back.
    pub fn decode(data: &[u8]) -> Result<(Version, Xid, Message)> {
        Message::decode_with(data, Options::default())
    }

    /// Like [`Message::decode`], with what the connection says about flow_mod messages.
    pub fn decode_with(data: &[u8], o: Options) -> Result<(Version, Xid, Message)> {
        let mut r = Reader::new(data);
        let (version_byte, ty, len, xid) = (r.u8()?, r.u8()?, r.u16()?, r.u32()?);
        if usize::from(len) != data.len() {
            return Err(Error::BadRequestBadLen);
        }
        if version_byte == 0 && ty < 4 {
            return Err(Error::BadRequestBadVersion);
        }
        if ty == 0 {
            // OpenFlow 1.3.1 §6.3.1: a hello may come in any version.
            let v = Version::from_wire(version_byte.clamp(1, 6)).ok_or(Error::BadRequestBadVersion)?;
            return Ok((v, xid, Message::Hello(control::take_hello(&mut r, version_byte))));
        }
        if let (None, 2 | 3) = (Version::from_wire(version_byte), ty) {
            // Echoes are the same in versions to come.
            let data = r.rest().to_vec();
            return Ok((
                Version::V15,
                xid,
                if ty == 2 { Message::EchoRequest(data) } else { Message::EchoReply(data) },
            ));
        }
        let Some(v) = Version::from_wire(version_byte) else { return Err(of_unknown_version(data)) };
        let id = identify(v, data)?;
        let mut r = Reader::new(data.get(id.body..).unwrap_or(&[]));
        let m = match id.family {
            Family::Standard => standard(&mut r, v, id.number, o, xid)?,
            Family::Nicira => nicira(&mut r, v, id.number, o)?,
            Family::Onf => onf(&mut r, v, id.number, o, xid)?,
            Family::Stat => stat(&mut r, v, id, o)?,
            Family::NiciraStat => nicira_stat(&mut r, v, id, o)?,
            Family::OnfStat if id.reply => Message::FlowMonitorReply(monitor::take_updates(&mut r, v)?),
            Family::OnfStat => Message::FlowMonitorRequest(monitor::take_requests(&mut r, v)?),
        };
        Ok((v, xid, m))
    }

    /// Writes the message; replies that do not fit one message as several, one after the other.
    pub fn encode(&self, version: Version, xid: Xid) -> Vec<u8> {
        self.encode_with(version, xid, Options::default())
    }

    /// Like [`Message::encode`], with what the connection says about flow_mod messages.
    pub fn encode_with(&self, version: Version, xid: Xid, o: Options) -> Vec<u8> {
        encode(self, Frame::new(version, xid), o)
    }

    /// Like [`Message::encode_with`], appending to `out`.
    pub fn encode_after(&self, out: &mut Vec<u8>, version: Version, xid: Xid, o: Options) {
        *out = encode(self, Frame::after(std::mem::take(out), version, xid), o);
    }
}

/// The error for a message of a version to come: what is not known of it.
fn of_unknown_version(data: &[u8]) -> Error {
    if data.get(1) == Some(&1) {
        return Error::BadRequestBadLen;
    }
    match super::types::identify_start(Version::V15, data) {
        Err(Error::BadRequestBadStat) => Error::BadRequestBadVersion,
        Err(e) => e,
        Ok(id) => match id.family {
            Family::Standard => Error::BadRequestBadVersion,
            Family::Stat => Error::BadRequestBadVersion,
            _ => Error::BadRequestBadSubtype,
        },
    }
}

/// Fails unless everything was read.
fn done(r: &Reader<'_>, m: Message) -> Result<Message> {
    if r.is_empty() { Ok(m) } else { Err(Error::BadRequestBadLen) }
}

fn take_port(r: &mut Reader<'_>, v: Version) -> Result<OfPort> {
    if v == Version::V10 {
        return Ok(OfPort(u32::from(r.u16()?)));
    }
    OfPort::from_of11(r.u32()?).ok_or(Error::BadActionBadOutPort)
}

/// The port whose queues are asked for: one that has some, or any.
fn queues_of(port: OfPort) -> Result<OfPort> {
    if port == OfPort::ANY || port.0 < 0xff00 { Ok(port) } else { Err(Error::QueueOpFailedBadPort) }
}

fn standard(r: &mut Reader<'_>, v: Version, ty: u32, o: Options, xid: Xid) -> Result<Message> {
    Ok(match ty {
        1 => Message::Error(control::take_error(r, v)?),
        2 => Message::EchoRequest(r.rest().to_vec()),
        3 => Message::EchoReply(r.rest().to_vec()),
        5 => done(r, Message::FeaturesRequest)?,
        6 => Message::FeaturesReply(control::take_features(r, v)?),
        7 => done(r, Message::GetConfigRequest)?,
        8 | 9 => {
            let c = SwitchConfig { flags: r.u16()?, miss_send_len: r.u16()? };
            // OpenFlow 1.3 removed the flag that asks for packets with an invalid time to live.
            let known = if v < Version::V13 { 7 } else { 3 };
            if ty == 9 && c.flags & !known != 0 {
                return Err(Error::SwitchConfigFailedBadFlags);
            }
            done(r, if ty == 8 { Message::GetConfigReply(c) } else { Message::SetConfig(c) })?
        }
        10 => Message::PacketIn(packets::take_packet_in(r, v)?),
        11 => {
            let m = Message::FlowRemoved(flows::take_flow_removed(r, v)?);
            done(r, m)?
        }
        12 => Message::PortStatus(ports::take_port_status(r, v)?),
        13 => Message::PacketOut(packets::take_packet_out(r, v, o)?),
        14 => Message::FlowMod(flows::take_flow_mod(r, v, o)?),
        _ if v == Version::V10 => standard10(r, ty)?,
        15 => Message::GroupMod(groups::take_group_mod(r, v)?),
        16 => Message::PortMod(ports::take_port_mod(r, v)?),
        17 => Message::TableMod(tables::take_table_mod(r, v)?),
        20 => done(r, Message::BarrierRequest)?,
        21 => done(r, Message::BarrierReply)?,
        22 => {
            let port = queues_of(take_port(r, v)?)?;
            r.skip(4)?;
            done(r, Message::QueueGetConfigRequest(QueueRequest { port, queue: QUEUE_ALL }))?
        }
        23 => Message::QueueGetConfigReply(ports::take_queue_config(r, v)?),
        24 => Message::RoleRequest(control::take_role(r, false)?),
        25 => Message::RoleReply(control::take_role(r, true)?),
        26 => done(r, Message::GetAsyncRequest)?,
        27 | 28 => {
            let form = AsyncForm::Standard;
            let x = if v >= Version::V14 {
                control::take_async14(r, form, ty == 27)?
            } else {
                control::take_async13(r, form, v)?
            };
            done(r, if ty == 27 { Message::GetAsyncReply(x) } else { Message::SetAsync(x) })?
        }
        29 => Message::MeterMod(meters::take_meter_mod(r)?),
        30 => Message::RoleStatus(control::take_role_status(r)?),
        31 => Message::TableStatus(tables::take_status(r, v)?),
        32 => Message::RequestForward(request_forward(r, v, o)?),
        33 => Message::BundleControl(control::take_bundle_control(r)?),
        34 => Message::BundleAdd(bundle_add(r, v, o, xid)?),
        _ => return Err(Error::BadRequestBadType),
    })
}

fn standard10(r: &mut Reader<'_>, ty: u32) -> Result<Message> {
    let v = Version::V10;
    match ty {
        15 => {
            let m = Message::PortMod(ports::take_port_mod(r, v)?);
            r.skip(4)?;
            done(r, m)
        }
        18 => done(r, Message::BarrierRequest),
        19 => done(r, Message::BarrierReply),
        20 => {
            let port = take_port(r, v)?;
            if port.0 >= 0xff00 {
                return Err(Error::QueueOpFailedBadPort);
            }
            r.skip(2)?;
            done(r, Message::QueueGetConfigRequest(QueueRequest { port, queue: QUEUE_ALL }))
        }
        21 => Ok(Message::QueueGetConfigReply(ports::take_queue_config(r, v)?)),
        _ => Err(Error::BadRequestBadType),
    }
}

fn nicira(r: &mut Reader<'_>, v: Version, subtype: u32, o: Options) -> Result<Message> {
    Ok(match subtype {
        10 | 11 => {
            let x = control::take_nx_role(r)?;
            done(r, if subtype == 10 { Message::RoleRequest(x) } else { Message::RoleReply(x) })?
        }
        12 => {
            let n = r.u32()?;
            done(r, Message::SetFlowFormat(n))?
        }
        13 => Message::FlowMod(flows::take_nx_flow_mod(r, v, o)?),
        14 => Message::FlowRemoved(flows::take_nx_flow_removed(r)?),
        15 => {
            let on = r.u8()? != 0;
            r.skip(7)?;
            done(r, Message::FlowModTableId(on))?
        }
        16 => {
            let format = match r.u32()? {
                0 => PacketInFormat::Standard,
                1 => PacketInFormat::Nxt,
                2 => PacketInFormat::Nxt2,
                _ => return Err(Error::BadRequestEperm),
            };
            done(r, Message::SetPacketInFormat(format))?
        }
        17 => Message::PacketIn(packets::take_nx_packet_in(r)?),
        18 => done(r, Message::FlowAge)?,
        19 => {
            let x = control::take_async13(r, AsyncForm::Nicira, v)?;
            done(r, Message::SetAsync(x))?
        }
        20 => {
            let n = control::take_zero_u16(r)?;
            done(r, Message::SetControllerId(n))?
        }
        21 => {
            let n = r.u32()?;
            done(r, Message::FlowMonitorCancel(n))?
        }
        22 => done(r, Message::FlowMonitorPaused)?,
        23 => done(r, Message::FlowMonitorResumed)?,
        24 => Message::TlvTableMod(control::take_tlv_mod(r)?),
        25 => done(r, Message::TlvTableRequest)?,
        26 => Message::TlvTableReply(control::take_tlv_reply(r)?),
        27 => Message::SetAsync(control::take_async14(r, AsyncForm::Nicira2, false)?),
        28 => Message::Resume(packets::take_packet_in2(r, true)?),
        29 => {
            let n = control::take_zero_u16(r)?;
            done(r, Message::CtFlushZone(n))?
        }
        30 => Message::PacketIn(packets::take_packet_in2(r, false)?),
        31 => Message::GroupMod(groups::take_group_mod(r, v)?),
        32 => Message::CtFlush(control::take_ct_flush(r)?),
        132 => Message::RequestForward(request_forward(r, v, o)?),
        _ => return Err(Error::BadRequestBadSubtype),
    })
}

fn onf(r: &mut Reader<'_>, v: Version, subtype: u32, o: Options, xid: Xid) -> Result<Message> {
    Ok(match subtype {
        1870 => Message::FlowMonitorCancel(r.u32()?),
        1871 => Message::FlowMonitorPaused,
        1872 => Message::FlowMonitorResumed,
        1911 => Message::RoleStatus(control::take_role_status(r)?),
        2300 => Message::BundleControl(control::take_bundle_control(r)?),
        2301 => Message::BundleAdd(bundle_add(r, v, o, xid)?),
        2350 => Message::RequestForward(request_forward(r, v, o)?),
        _ => return Err(Error::BadRequestBadSubtype),
    })
}

/// The message inside another: its own header says its length.
fn inner<'a>(r: &mut Reader<'a>) -> Result<&'a [u8]> {
    let head = r.rest().get(2..4).ok_or(Error::BadRequestBadLen)?;
    let len = usize::from(u16::from_be_bytes([head[0], head[1]]));
    if len < 8 {
        return Err(Error::BadRequestBadLen);
    }
    r.take(len)
}

fn request_forward(r: &mut Reader<'_>, v: Version, o: Options) -> Result<RequestForward> {
    if r.len() < 8 {
        return Err(Error::BadRequestBadLen);
    }
    let data = inner(r).map_err(|_| Error::BundleFailedMsgBadLen)?;
    if data.first() != Some(&v.to_wire()) {
        return Err(Error::BadRequestBadVersion);
    }
    let (_, _, m) = Message::decode_with(data, o)?;
    match m {
        Message::GroupMod(g) => Ok(RequestForward::Group(g)),
        Message::MeterMod(m) => Ok(RequestForward::Meter(m)),
        _ => Err(Error::BundleFailedMsgUnsup),
    }
}

/// Whether a message is of a type that bundles take.
pub fn joins_bundles(v: Version, data: &[u8]) -> bool {
    const TAKEN: [&str; 6] =
        ["OFPT_PORT_MOD", "OFPT_FLOW_MOD", "NXT_FLOW_MOD", "OFPT_GROUP_MOD", "NXT_GROUP_MOD", "OFPT_PACKET_OUT"];
    identify(v, data).is_ok_and(|id| id.row.is_some_and(|row| TAKEN.contains(&row.name)))
}

/// The flows of a reply before the one that cannot be read; `None` of other messages.
pub fn readable_flows(data: &[u8], o: Options) -> Option<Vec<crate::message::FlowStats>> {
    let v = Version::from_wire(*data.first()?)?;
    let id = identify(v, data).ok()?;
    let nicira = match (id.family, id.number, id.reply) {
        (Family::Stat, 1, true) => false,
        (Family::NiciraStat, 0, true) => true,
        _ => return None,
    };
    Some(flows::take_flow_stats_prefix(&mut Reader::new(data.get(id.body..)?), v, nicira, o))
}

fn bundle_add(r: &mut Reader<'_>, v: Version, o: Options, xid: Xid) -> Result<BundleAdd> {
    let id = r.u32()?;
    r.skip(2)?;
    let flags = r.u16()?;
    if r.len() < 8 {
        return Err(Error::BundleFailedMsgBadLen);
    }
    if r.rest().first().is_some_and(|b| *b != v.to_wire()) {
        return Err(Error::BundleFailedBadVersion);
    }
    let data = inner(r).map_err(|_| Error::BundleFailedMsgBadLen)?;
    let inner_xid = data.get(4..8).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    if inner_xid != xid {
        return Err(Error::BundleFailedMsgBadXid);
    }
    if !joins_bundles(v, data) {
        return Err(Error::BundleFailedMsgUnsup);
    }
    let (_, _, message) = Message::decode_with(data, o)?;
    Ok(BundleAdd { id, flags, xid, message: Box::new(message) })
}

fn stat(r: &mut Reader<'_>, v: Version, id: Identity, o: Options) -> Result<Message> {
    let more = id.flags & 1 != 0;
    if id.reply {
        return stat_reply(r, v, id.number, more, o);
    }
    let m = match id.number {
        0 => Message::DescRequest,
        1 => Message::FlowStatsRequest(flows::take_stats_request(r, v)?),
        2 => Message::AggregateRequest(flows::take_stats_request(r, v)?),
        3 => Message::TableStatsRequest,
        4 => Message::PortStatsRequest(ports::take_stats_request(r, v)?),
        5 => Message::QueueStatsRequest(ports::take_queue_request(r, v)?),
        6 => Message::GroupStatsRequest(take_u32_pad(r).map(GroupId)?),
        7 if v == Version::V15 => Message::GroupDescRequest(take_u32_pad(r).map(GroupId)?),
        7 => Message::GroupDescRequest(GroupId::ALL),
        8 => Message::GroupFeaturesRequest,
        9 => Message::MeterStatsRequest(take_u32_pad(r).map(MeterId)?),
        10 => Message::MeterConfigRequest(take_u32_pad(r).map(MeterId)?),
        11 => Message::MeterFeaturesRequest,
        12 => Message::TableFeaturesRequest(tables::take_features(r, v, more)?),
        13 if v == Version::V15 => {
            let port = OfPort::from_of11(take_u32_pad(r)?).ok_or(Error::BadActionBadOutPort)?;
            Message::PortDescRequest(port)
        }
        13 => Message::PortDescRequest(OfPort::ANY),
        14 => Message::TableDescRequest,
        15 => Message::QueueDescRequest(QueueRequest { port: take_port(r, v)?, queue: r.u32()? }),
        16 => Message::FlowMonitorRequest(monitor::take_requests(r, v)?),
        _ => return Err(Error::BadRequestBadStat),
    };
    done(r, m)
}

fn take_u32_pad(r: &mut Reader<'_>) -> Result<u32> {
    let n = r.u32()?;
    r.skip(4)?;
    Ok(n)
}

fn stat_reply(r: &mut Reader<'_>, v: Version, number: u32, more: bool, o: Options) -> Result<Message> {
    let m = match number {
        0 => Message::DescReply(control::take_desc(r)?),
        1 => Message::FlowStatsReply(flows::take_flow_stats(r, v, more, false, o)?),
        2 => Message::AggregateReply(flows::take_aggregate(r, v, false)?),
        3 => Message::TableStatsReply(tables::take_stats(r, v, more)?),
        4 => Message::PortStatsReply(ports::take_stats(r, v, more)?),
        5 => Message::QueueStatsReply(ports::take_queue_stats(r, v, more)?),
        6 => Message::GroupStatsReply(groups::take_stats(r, v, more)?),
        7 => Message::GroupDescReply(groups::take_desc(r, v, more)?),
        8 => Message::GroupFeaturesReply(groups::take_features(r)?),
        9 => Message::MeterStatsReply(meters::take_stats(r, more)?),
        10 => Message::MeterConfigReply(meters::take_config(r, more)?),
        11 => {
            let x = meters::take_features(r)?;
            r.skip(2)?;
            Message::MeterFeaturesReply(x)
        }
        12 => Message::TableFeaturesReply(tables::take_features(r, v, more)?),
        13 => Message::PortDescReply(ports::take_desc(r, v, more)?),
        14 => Message::TableDescReply(tables::take_desc(r, v, more)?),
        15 => Message::QueueDescReply(ports::take_queue_desc(r, v, more)?),
        16 => Message::FlowMonitorReply(monitor::take_updates(r, v)?),
        _ => return Err(Error::BadRequestBadStat),
    };
    done(r, m)
}

fn nicira_stat(r: &mut Reader<'_>, v: Version, id: Identity, o: Options) -> Result<Message> {
    let more = id.flags & 1 != 0;
    let m = match (id.number, id.reply) {
        (0, false) => Message::FlowStatsRequest(flows::take_nx_stats_request(r)?),
        (0, true) => Message::FlowStatsReply(flows::take_flow_stats(r, v, more, true, o)?),
        (1, false) => Message::AggregateRequest(flows::take_nx_stats_request(r)?),
        (1, true) => Message::AggregateReply(flows::take_aggregate(r, v, true)?),
        (2, false) => Message::FlowMonitorRequest(monitor::take_requests(r, v)?),
        (2, true) => Message::FlowMonitorReply(monitor::take_updates(r, v)?),
        (3, false) => Message::IpfixBridgeRequest,
        (3, true) => Message::IpfixBridgeReply(control::take_ipfix(r)?),
        (4, false) => Message::IpfixFlowRequest,
        (4, true) => Message::IpfixFlowReply(take_entries(more, r, control::take_ipfix)?),
        (7, false) => Message::GroupStatsRequest(take_u32_pad(r).map(GroupId)?),
        (7, true) => Message::GroupStatsReply(groups::take_stats(r, v, more)?),
        (8, false) => Message::GroupDescRequest(take_u32_pad(r).map(GroupId)?),
        (8, true) => Message::GroupDescReply(groups::take_desc(r, v, more)?),
        (9, false) => Message::GroupFeaturesRequest,
        (9, true) => Message::GroupFeaturesReply(groups::take_features(r)?),
        _ => return Err(Error::BadRequestBadSubtype),
    };
    done(r, m)
}

fn u32_pad(n: u32) -> impl FnOnce(&mut Vec<u8>) {
    move |b| {
        b.put32(n);
        b.zeros(4);
    }
}

fn encode(m: &Message, f: Frame, o: Options) -> Vec<u8> {
    let v = f.version();
    let old = v == Version::V10;
    match m {
        Message::Hello(h) => control::put_hello(f, h),
        Message::Error(e) => control::put_error(f, e),
        Message::EchoRequest(d) => f.standard(2, |b| b.put(d)),
        Message::EchoReply(d) => f.standard(3, |b| b.put(d)),
        Message::FeaturesRequest => f.standard(5, |_| {}),
        Message::FeaturesReply(x) => control::put_features(f, x),
        Message::GetConfigRequest => f.standard(7, |_| {}),
        Message::GetConfigReply(c) => put_config(f, 8, *c),
        Message::SetConfig(c) => put_config(f, 9, *c),
        Message::BarrierRequest => f.standard(if old { 18 } else { 20 }, |_| {}),
        Message::BarrierReply => f.standard(if old { 19 } else { 21 }, |_| {}),
        Message::PacketIn(p) => packets::put_packet_in(f, p, false),
        Message::PacketOut(p) => packets::put_packet_out(f, p),
        Message::Resume(p) => packets::put_packet_in(f, p, true),
        Message::FlowMod(fm) => flows::put_flow_mod(f, fm, o.table_id),
        Message::FlowRemoved(x) => flows::put_flow_removed(f, x),
        Message::PortStatus(x) => ports::put_port_status(f, x),
        Message::PortMod(x) => ports::put_port_mod(f, x),
        Message::GroupMod(x) => groups::put_group_mod(f, x),
        Message::MeterMod(x) => meters::put_meter_mod(f, x),
        Message::TableMod(x) => tables::put_table_mod(f, x),
        Message::TableStatus(x) => tables::put_status(f, x),
        Message::QueueGetConfigRequest(q) => f.standard(if old { 20 } else { 22 }, |b| {
            if old {
                b.put16(q.port.to_of10());
                b.zeros(2);
            } else {
                b.put32(q.port.to_of11());
                b.zeros(4);
            }
        }),
        Message::QueueGetConfigReply(x) => ports::put_queue_config(f, x),
        Message::RoleRequest(x) => control::put_role(f, x, false),
        Message::RoleReply(x) => control::put_role(f, x, true),
        Message::RoleStatus(x) => control::put_role_status(f, x),
        Message::SetAsync(x) => control::put_async(f, x, false),
        Message::GetAsyncRequest => f.standard(26, |_| {}),
        Message::GetAsyncReply(x) => control::put_async(f, x, true),
        Message::RequestForward(x) => put_request_forward(f, x, o),
        Message::BundleControl(x) => control::put_bundle_control(f, x),
        Message::BundleAdd(x) => put_bundle_add(f, x, o),
        _ => encode_extension(m, f),
    }
}

fn put_config(f: Frame, ty: u8, c: SwitchConfig) -> Vec<u8> {
    f.standard(ty, |b| {
        b.put16(c.flags);
        b.put16(c.miss_send_len);
    })
}

fn put_request_forward(f: Frame, x: &RequestForward, o: Options) -> Vec<u8> {
    let v = f.version();
    let inner = match x {
        RequestForward::Group(g) => Message::GroupMod(g.clone()),
        RequestForward::Meter(m) => Message::MeterMod(m.clone()),
    }
    .encode_with(v, 0, o);
    let body = |b: &mut Vec<u8>| b.put(&inner);
    match v {
        Version::V14 | Version::V15 => f.standard(32, body),
        Version::V13 => f.onf(2350, body),
        _ => f.nicira(132, body),
    }
}

fn put_bundle_add(f: Frame, x: &BundleAdd, o: Options) -> Vec<u8> {
    let v = f.version();
    let inner = x.message.encode_with(v, x.xid, o);
    let body = |b: &mut Vec<u8>| {
        b.put32(x.id);
        b.put16(0);
        b.put16(x.flags);
        b.put(&inner);
    };
    if v >= Version::V14 { f.standard(34, body) } else { f.onf(2301, body) }
}

fn encode_extension(m: &Message, f: Frame) -> Vec<u8> {
    let v = f.version();
    match m {
        Message::SetFlowFormat(n) => f.nicira(12, |b| b.put32(*n)),
        Message::FlowModTableId(on) => f.nicira(15, |b| {
            b.put8(u8::from(*on));
            b.zeros(7);
        }),
        Message::SetPacketInFormat(x) => f.nicira(16, |b| b.put32(*x as u32)),
        Message::FlowAge => f.nicira(18, |_| {}),
        Message::SetControllerId(n) => f.nicira(20, |b| {
            b.zeros(6);
            b.put16(*n);
        }),
        Message::FlowMonitorCancel(n) if v == Version::V13 => f.onf(1870, |b| b.put32(*n)),
        Message::FlowMonitorCancel(n) => f.nicira(21, |b| b.put32(*n)),
        Message::FlowMonitorPaused if v == Version::V13 => f.onf(1871, |_| {}),
        Message::FlowMonitorPaused => f.nicira(22, |_| {}),
        Message::FlowMonitorResumed if v == Version::V13 => f.onf(1872, |_| {}),
        Message::FlowMonitorResumed => f.nicira(23, |_| {}),
        Message::TlvTableMod(x) => control::put_tlv_mod(f, x),
        Message::TlvTableRequest => f.nicira(25, |_| {}),
        Message::TlvTableReply(x) => control::put_tlv_reply(f, x),
        Message::CtFlushZone(n) => f.nicira(29, |b| {
            b.zeros(6);
            b.put16(*n);
        }),
        Message::CtFlush(x) => control::put_ct_flush(f, x),
        Message::DescReply(x) => control::put_desc(f, x),
        Message::FlowStatsReply(x) => flows::put_flow_stats(f, x),
        Message::AggregateReply(x) => flows::put_aggregate(f, x),
        Message::TableStatsReply(x) => tables::put_stats(f, x),
        Message::PortStatsReply(x) => ports::put_stats(f, x),
        Message::QueueStatsReply(x) => ports::put_queue_stats(f, x),
        Message::GroupStatsReply(x) => groups::put_stats(f, x),
        Message::GroupDescReply(x) => groups::put_desc(f, x),
        Message::GroupFeaturesReply(x) => groups::put_features(f, x),
        Message::MeterStatsReply(x) => meters::put_stats(f, x),
        Message::MeterConfigReply(x) => meters::put_config(f, x),
        Message::MeterFeaturesReply(x) => meters::put_features(f, x),
        Message::TableFeaturesReply(x) => tables::put_features(f, x, true),
        Message::PortDescReply(x) => ports::put_desc(f, x),
        Message::TableDescReply(x) => tables::put_desc(f, x),
        Message::QueueDescReply(x) => ports::put_queue_desc(f, x),
        Message::FlowMonitorReply(x) => monitor::put_updates(f, x),
        Message::IpfixBridgeReply(x) => f.stat(Stat::nicira(3, true), |b| control::put_ipfix(b, x)),
        Message::IpfixFlowReply(x) => f.entries(Stat::nicira(4, true), x, control::put_ipfix),
        _ => encode_request(m, f),
    }
}

fn encode_request(m: &Message, f: Frame) -> Vec<u8> {
    let v = f.version();
    let old = v == Version::V10;
    match m {
        Message::FlowStatsRequest(q) => flows::put_stats_request(f, 1, q),
        Message::AggregateRequest(q) => flows::put_stats_request(f, 2, q),
        Message::TableStatsRequest => f.stat(Stat::request(3), |_| {}),
        Message::PortStatsRequest(p) => ports::put_stats_request(f, *p),
        Message::QueueStatsRequest(q) => f.stat(Stat::request(5), |b| ports::put_queue_request(b, q, v)),
        Message::GroupStatsRequest(g) => {
            f.stat(if old { Stat::nicira(7, false) } else { Stat::request(6) }, u32_pad(g.0))
        }
        Message::GroupDescRequest(g) => match v {
            Version::V10 => f.stat(Stat::nicira(8, false), u32_pad(g.0)),
            Version::V15 => f.stat(Stat::request(7), u32_pad(g.0)),
            _ => f.stat(Stat::request(7), |_| {}),
        },
        Message::GroupFeaturesRequest if v <= Version::V11 => f.stat(Stat::nicira(9, false), |_| {}),
        Message::GroupFeaturesRequest => f.stat(Stat::request(8), |_| {}),
        Message::MeterStatsRequest(n) => f.stat(Stat::request(9), u32_pad(n.0)),
        Message::MeterConfigRequest(n) => f.stat(Stat::request(10), u32_pad(n.0)),
        Message::MeterFeaturesRequest => f.stat(Stat::request(11), |_| {}),
        Message::TableFeaturesRequest(x) => tables::put_features(f, x, false),
        Message::PortDescRequest(p) if v == Version::V15 => f.stat(Stat::request(13), u32_pad(p.to_of11())),
        Message::PortDescRequest(_) => f.stat(Stat::request(13), |_| {}),
        Message::TableDescRequest => f.stat(Stat::request(14), |_| {}),
        Message::QueueDescRequest(q) => f.stat(Stat::request(15), |b| ports::put_queue_request(b, q, v)),
        Message::FlowMonitorRequest(list) => monitor::put_requests(f, list),
        Message::IpfixBridgeRequest => f.stat(Stat::nicira(3, false), |_| {}),
        Message::IpfixFlowRequest => f.stat(Stat::nicira(4, false), |_| {}),
        _ => f.stat(Stat::request(0), |_| {}),
    }
}
