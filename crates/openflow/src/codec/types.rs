//! THE table of message types: number, versions, name.

use crate::error::{NX_VENDOR, ONF_VENDOR};
use crate::version::Version::{self, V10, V11, V12, V13, V14, V15};

/// Where a message's number stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// Type of the header.
    Standard,
    /// Subtype of a Nicira message.
    Nicira,
    /// Subtype of an ONF message.
    Onf,
    /// Type of statistics (multipart).
    Stat,
    /// Subtype of Nicira statistics.
    NiciraStat,
    /// Subtype of ONF statistics.
    OnfStat,
}

/// A row: a message in a range of versions.
#[derive(Clone, Copy, Debug)]
pub struct TypeRow {
    /// Where the number stands.
    pub family: Family,
    /// The number.
    pub number: u32,
    /// Statistics: reply rather than request.
    pub reply: bool,
    /// First version.
    pub min: Version,
    /// Last version.
    pub max: Version,
    /// Name that is printed.
    pub name: &'static str,
    /// Least length of the body, in bytes.
    pub body: u16,
    /// What follows comes in units of so many bytes; 0 for nothing.
    pub unit: u16,
}

#[allow(clippy::too_many_arguments)]
const fn row(
    family: Family,
    number: u32,
    reply: bool,
    min: Version,
    max: Version,
    name: &'static str,
    body: u16,
    unit: u16,
) -> TypeRow {
    TypeRow { family, number, reply, min, max, name, body, unit }
}

/// Every message.
#[rustfmt::skip]
pub static TYPES: &[TypeRow] = &[
    row(Family::Standard, 0, false, V10, V15, "OFPT_HELLO", 0, 1),
    row(Family::Standard, 1, false, V10, V15, "OFPT_ERROR", 4, 1),
    row(Family::Standard, 2, false, V10, V15, "OFPT_ECHO_REQUEST", 0, 1),
    row(Family::Standard, 3, false, V10, V15, "OFPT_ECHO_REPLY", 0, 1),
    row(Family::Standard, 5, false, V10, V15, "OFPT_FEATURES_REQUEST", 0, 0),
    row(Family::Standard, 6, false, V10, V10, "OFPT_FEATURES_REPLY", 24, 48),
    row(Family::Standard, 6, false, V11, V12, "OFPT_FEATURES_REPLY", 24, 64),
    row(Family::Standard, 6, false, V13, V15, "OFPT_FEATURES_REPLY", 24, 0),
    row(Family::Standard, 7, false, V10, V15, "OFPT_GET_CONFIG_REQUEST", 0, 0),
    row(Family::Standard, 8, false, V10, V15, "OFPT_GET_CONFIG_REPLY", 4, 0),
    row(Family::Standard, 9, false, V10, V15, "OFPT_SET_CONFIG", 4, 0),
    row(Family::Standard, 10, false, V10, V10, "OFPT_PACKET_IN", 10, 1),
    row(Family::Standard, 10, false, V11, V11, "OFPT_PACKET_IN", 16, 1),
    row(Family::Standard, 10, false, V12, V12, "OFPT_PACKET_IN", 8, 1),
    row(Family::Standard, 10, false, V13, V15, "OFPT_PACKET_IN", 16, 1),
    row(Family::Standard, 11, false, V10, V10, "OFPT_FLOW_REMOVED", 80, 0),
    row(Family::Standard, 11, false, V11, V14, "OFPT_FLOW_REMOVED", 40, 8),
    row(Family::Standard, 11, false, V15, V15, "OFPT_FLOW_REMOVED", 16, 8),
    row(Family::Standard, 12, false, V10, V10, "OFPT_PORT_STATUS", 56, 0),
    row(Family::Standard, 12, false, V11, V13, "OFPT_PORT_STATUS", 72, 0),
    row(Family::Standard, 12, false, V14, V15, "OFPT_PORT_STATUS", 48, 8),
    row(Family::Standard, 13, false, V10, V10, "OFPT_PACKET_OUT", 8, 1),
    row(Family::Standard, 13, false, V11, V14, "OFPT_PACKET_OUT", 16, 1),
    row(Family::Standard, 13, false, V15, V15, "OFPT_PACKET_OUT", 8, 1),
    row(Family::Standard, 14, false, V10, V10, "OFPT_FLOW_MOD", 64, 8),
    row(Family::Standard, 14, false, V11, V15, "OFPT_FLOW_MOD", 40, 8),
    row(Family::Standard, 15, false, V10, V10, "OFPT_PORT_MOD", 24, 0),
    row(Family::Standard, 15, false, V11, V14, "OFPT_GROUP_MOD", 8, 8),
    row(Family::Standard, 15, false, V15, V15, "OFPT_GROUP_MOD", 16, 8),
    row(Family::Standard, 16, false, V11, V13, "OFPT_PORT_MOD", 32, 0),
    row(Family::Standard, 16, false, V14, V15, "OFPT_PORT_MOD", 24, 8),
    row(Family::Standard, 17, false, V11, V13, "OFPT_TABLE_MOD", 8, 0),
    row(Family::Standard, 17, false, V14, V15, "OFPT_TABLE_MOD", 8, 8),
    row(Family::Standard, 18, false, V10, V10, "OFPT_BARRIER_REQUEST", 0, 0),
    row(Family::Standard, 19, false, V10, V10, "OFPT_BARRIER_REPLY", 0, 0),
    row(Family::Standard, 20, false, V10, V10, "OFPT_QUEUE_GET_CONFIG_REQUEST", 4, 0),
    row(Family::Standard, 20, false, V11, V15, "OFPT_BARRIER_REQUEST", 0, 0),
    row(Family::Standard, 21, false, V10, V10, "OFPT_QUEUE_GET_CONFIG_REPLY", 8, 8),
    row(Family::Standard, 21, false, V11, V15, "OFPT_BARRIER_REPLY", 0, 0),
    row(Family::Standard, 22, false, V11, V13, "OFPT_QUEUE_GET_CONFIG_REQUEST", 8, 0),
    row(Family::Standard, 23, false, V11, V13, "OFPT_QUEUE_GET_CONFIG_REPLY", 8, 8),
    row(Family::Standard, 24, false, V12, V15, "OFPT_ROLE_REQUEST", 16, 0),
    row(Family::Standard, 25, false, V12, V15, "OFPT_ROLE_REPLY", 16, 0),
    row(Family::Standard, 26, false, V13, V13, "OFPT_GET_ASYNC_REQUEST", 0, 0),
    row(Family::Standard, 26, false, V14, V15, "OFPT_GET_ASYNC_REQUEST", 0, 0),
    row(Family::Standard, 27, false, V13, V13, "OFPT_GET_ASYNC_REPLY", 24, 0),
    row(Family::Standard, 27, false, V14, V15, "OFPT_GET_ASYNC_REPLY", 0, 8),
    row(Family::Standard, 28, false, V13, V13, "OFPT_SET_ASYNC", 24, 0),
    row(Family::Standard, 28, false, V14, V15, "OFPT_SET_ASYNC", 0, 8),
    row(Family::Standard, 29, false, V13, V15, "OFPT_METER_MOD", 8, 8),
    row(Family::Standard, 30, false, V14, V15, "OFPT_ROLE_STATUS", 16, 8),
    row(Family::Standard, 31, false, V14, V15, "OFPT_TABLE_STATUS", 8, 8),
    row(Family::Standard, 32, false, V14, V15, "OFPT_REQUESTFORWARD", 8, 8),
    row(Family::Standard, 33, false, V14, V15, "OFPT_BUNDLE_CONTROL", 8, 8),
    row(Family::Standard, 34, false, V14, V15, "OFPT_BUNDLE_ADD_MESSAGE", 8, 1),
    row(Family::Nicira, 10, false, V10, V15, "NXT_ROLE_REQUEST", 4, 0),
    row(Family::Nicira, 11, false, V10, V15, "NXT_ROLE_REPLY", 4, 0),
    row(Family::Nicira, 12, false, V10, V10, "NXT_SET_FLOW_FORMAT", 4, 0),
    row(Family::Nicira, 13, false, V10, V15, "NXT_FLOW_MOD", 32, 8),
    row(Family::Nicira, 14, false, V10, V15, "NXT_FLOW_REMOVED", 40, 8),
    row(Family::Nicira, 15, false, V10, V15, "NXT_FLOW_MOD_TABLE_ID", 8, 0),
    row(Family::Nicira, 16, false, V10, V15, "NXT_SET_PACKET_IN_FORMAT", 4, 0),
    row(Family::Nicira, 17, false, V10, V15, "NXT_PACKET_IN", 24, 1),
    row(Family::Nicira, 18, false, V10, V15, "NXT_FLOW_AGE", 0, 0),
    row(Family::Nicira, 19, false, V10, V15, "NXT_SET_ASYNC_CONFIG", 24, 0),
    row(Family::Nicira, 20, false, V10, V15, "NXT_SET_CONTROLLER_ID", 8, 0),
    row(Family::Nicira, 21, false, V10, V12, "NXT_FLOW_MONITOR_CANCEL", 4, 0),
    row(Family::Nicira, 22, false, V10, V12, "NXT_FLOW_MONITOR_PAUSED", 0, 0),
    row(Family::Nicira, 23, false, V10, V12, "NXT_FLOW_MONITOR_RESUMED", 0, 0),
    row(Family::Nicira, 24, false, V10, V15, "NXT_TLV_TABLE_MOD", 8, 8),
    row(Family::Nicira, 25, false, V10, V15, "NXT_TLV_TABLE_REQUEST", 0, 0),
    row(Family::Nicira, 26, false, V10, V15, "NXT_TLV_TABLE_REPLY", 16, 8),
    row(Family::Nicira, 27, false, V10, V13, "NXT_SET_ASYNC_CONFIG2", 0, 8),
    row(Family::Nicira, 28, false, V10, V15, "NXT_RESUME", 0, 8),
    row(Family::Nicira, 29, false, V10, V15, "NXT_CT_FLUSH_ZONE", 8, 0),
    row(Family::Nicira, 30, false, V10, V15, "NXT_PACKET_IN2", 0, 8),
    row(Family::Nicira, 31, false, V10, V10, "NXT_GROUP_MOD", 16, 8),
    row(Family::Nicira, 32, false, V10, V15, "NXT_CT_FLUSH", 8, 8),
    row(Family::Nicira, 132, false, V10, V12, "NXT_REQUESTFORWARD", 8, 8),
    row(Family::Onf, 1870, false, V13, V13, "ONFT_FLOW_MONITOR_CANCEL", 4, 0),
    row(Family::Onf, 1871, false, V13, V13, "ONFT_FLOW_MONITOR_PAUSED", 0, 0),
    row(Family::Onf, 1872, false, V13, V13, "ONFT_FLOW_MONITOR_RESUMED", 0, 0),
    row(Family::Onf, 1911, false, V13, V13, "ONFT_ROLE_STATUS", 16, 8),
    row(Family::Onf, 2300, false, V13, V13, "ONFT_BUNDLE_CONTROL", 8, 8),
    row(Family::Onf, 2301, false, V13, V13, "ONFT_BUNDLE_ADD_MESSAGE", 8, 1),
    row(Family::Onf, 2350, false, V13, V13, "ONFT_REQUESTFORWARD", 8, 8),
    row(Family::Stat, 0, false, V10, V15, "OFPST_DESC request", 0, 0),
    row(Family::Stat, 0, true, V10, V15, "OFPST_DESC reply", 1056, 0),
    row(Family::Stat, 1, false, V10, V10, "OFPST_FLOW request", 44, 0),
    row(Family::Stat, 1, true, V10, V10, "OFPST_FLOW reply", 0, 1),
    row(Family::Stat, 1, false, V11, V15, "OFPST_FLOW request", 32, 8),
    row(Family::Stat, 1, true, V11, V12, "OFPST_FLOW reply", 0, 1),
    row(Family::Stat, 1, true, V13, V14, "OFPST_FLOW reply", 0, 1),
    row(Family::Stat, 1, true, V15, V15, "OFPST_FLOW reply", 0, 1),
    row(Family::Stat, 2, false, V10, V10, "OFPST_AGGREGATE request", 44, 0),
    row(Family::Stat, 2, true, V10, V14, "OFPST_AGGREGATE reply", 24, 0),
    row(Family::Stat, 2, false, V11, V14, "OFPST_AGGREGATE request", 32, 8),
    row(Family::Stat, 2, false, V15, V15, "OFPST_AGGREGATE request", 32, 8),
    row(Family::Stat, 2, true, V15, V15, "OFPST_AGGREGATE reply", 0, 1),
    row(Family::Stat, 3, true, V10, V10, "OFPST_TABLE reply", 0, 64),
    row(Family::Stat, 3, false, V10, V15, "OFPST_TABLE request", 0, 0),
    row(Family::Stat, 3, true, V11, V11, "OFPST_TABLE reply", 0, 88),
    row(Family::Stat, 3, true, V12, V12, "OFPST_TABLE reply", 0, 128),
    row(Family::Stat, 3, true, V13, V15, "OFPST_TABLE reply", 0, 24),
    row(Family::Stat, 4, false, V10, V10, "OFPST_PORT request", 8, 0),
    row(Family::Stat, 4, true, V10, V10, "OFPST_PORT reply", 0, 104),
    row(Family::Stat, 4, false, V11, V15, "OFPST_PORT request", 8, 0),
    row(Family::Stat, 4, true, V11, V12, "OFPST_PORT reply", 0, 104),
    row(Family::Stat, 4, true, V13, V13, "OFPST_PORT reply", 0, 112),
    row(Family::Stat, 4, true, V14, V15, "OFPST_PORT reply", 0, 8),
    row(Family::Stat, 5, false, V10, V10, "OFPST_QUEUE request", 8, 0),
    row(Family::Stat, 5, true, V10, V10, "OFPST_QUEUE reply", 0, 32),
    row(Family::Stat, 5, false, V11, V15, "OFPST_QUEUE request", 8, 0),
    row(Family::Stat, 5, true, V11, V12, "OFPST_QUEUE reply", 0, 32),
    row(Family::Stat, 5, true, V13, V13, "OFPST_QUEUE reply", 0, 40),
    row(Family::Stat, 5, true, V14, V15, "OFPST_QUEUE reply", 0, 8),
    row(Family::Stat, 6, false, V11, V15, "OFPST_GROUP request", 8, 0),
    row(Family::Stat, 6, true, V11, V12, "OFPST_GROUP reply", 0, 8),
    row(Family::Stat, 6, true, V13, V15, "OFPST_GROUP reply", 0, 8),
    row(Family::Stat, 7, true, V11, V15, "OFPST_GROUP_DESC reply", 0, 8),
    row(Family::Stat, 7, false, V11, V14, "OFPST_GROUP_DESC request", 0, 0),
    row(Family::Stat, 7, false, V15, V15, "OFPST_GROUP_DESC request", 8, 0),
    row(Family::Stat, 8, false, V12, V15, "OFPST_GROUP_FEATURES request", 0, 0),
    row(Family::Stat, 8, true, V12, V15, "OFPST_GROUP_FEATURES reply", 40, 0),
    row(Family::Stat, 9, false, V13, V15, "OFPST_METER request", 8, 0),
    row(Family::Stat, 9, true, V13, V15, "OFPST_METER reply", 0, 8),
    row(Family::Stat, 10, false, V13, V15, "OFPST_METER_CONFIG request", 8, 0),
    row(Family::Stat, 10, true, V13, V15, "OFPST_METER_CONFIG reply", 0, 8),
    row(Family::Stat, 11, false, V13, V15, "OFPST_METER_FEATURES request", 0, 0),
    row(Family::Stat, 11, true, V13, V15, "OFPST_METER_FEATURES reply", 16, 0),
    row(Family::Stat, 12, false, V13, V15, "OFPST_TABLE_FEATURES request", 0, 8),
    row(Family::Stat, 12, true, V13, V15, "OFPST_TABLE_FEATURES reply", 64, 8),
    row(Family::Stat, 13, true, V10, V10, "OFPST_PORT_DESC reply", 0, 48),
    row(Family::Stat, 13, false, V10, V14, "OFPST_PORT_DESC request", 0, 0),
    row(Family::Stat, 13, true, V11, V13, "OFPST_PORT_DESC reply", 0, 64),
    row(Family::Stat, 13, true, V14, V15, "OFPST_PORT_DESC reply", 0, 8),
    row(Family::Stat, 13, false, V15, V15, "OFPST_PORT_DESC request", 8, 0),
    row(Family::Stat, 14, false, V14, V15, "OFPST_TABLE_DESC request", 0, 0),
    row(Family::Stat, 14, true, V14, V15, "OFPST_TABLE_DESC reply", 8, 8),
    row(Family::Stat, 15, false, V14, V15, "OFPST_QUEUE_DESC request", 8, 0),
    row(Family::Stat, 15, true, V14, V15, "OFPST_QUEUE_DESC reply", 0, 8),
    row(Family::Stat, 16, false, V14, V15, "OFPST_FLOW_MONITOR request", 0, 8),
    row(Family::Stat, 16, true, V14, V15, "OFPST_FLOW_MONITOR reply", 0, 8),
    row(Family::NiciraStat, 0, false, V10, V10, "NXST_FLOW request", 8, 8),
    row(Family::NiciraStat, 0, true, V10, V10, "NXST_FLOW reply", 0, 1),
    row(Family::NiciraStat, 1, false, V10, V10, "NXST_AGGREGATE request", 8, 8),
    row(Family::NiciraStat, 1, true, V10, V10, "NXST_AGGREGATE reply", 24, 0),
    row(Family::NiciraStat, 2, false, V10, V12, "NXST_FLOW_MONITOR request", 0, 8),
    row(Family::NiciraStat, 2, true, V10, V12, "NXST_FLOW_MONITOR reply", 0, 8),
    row(Family::NiciraStat, 3, false, V10, V15, "NXST_IPFIX_BRIDGE request", 0, 0),
    row(Family::NiciraStat, 3, true, V10, V15, "NXST_IPFIX_BRIDGE reply", 88, 0),
    row(Family::NiciraStat, 4, false, V10, V15, "NXST_IPFIX_FLOW request", 0, 0),
    row(Family::NiciraStat, 4, true, V10, V15, "NXST_IPFIX_FLOW reply", 0, 88),
    row(Family::NiciraStat, 7, false, V10, V10, "NXST_GROUP request", 8, 0),
    row(Family::NiciraStat, 7, true, V10, V10, "NXST_GROUP reply", 0, 8),
    row(Family::NiciraStat, 8, false, V10, V10, "NXST_GROUP_DESC request", 8, 0),
    row(Family::NiciraStat, 8, true, V10, V10, "NXST_GROUP_DESC reply", 0, 8),
    row(Family::NiciraStat, 9, false, V10, V11, "NXST_GROUP_FEATURES request", 0, 0),
    row(Family::NiciraStat, 9, true, V10, V11, "NXST_GROUP_FEATURES reply", 40, 0),
    row(Family::OnfStat, 1870, false, V13, V13, "ONFST_FLOW_MONITOR request", 0, 8),
    row(Family::OnfStat, 1870, true, V13, V13, "ONFST_FLOW_MONITOR reply", 0, 8),
];

/// Where the body of a message starts, and what it is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Where the number stands.
    pub family: Family,
    /// The number.
    pub number: u32,
    /// Statistics: reply rather than request.
    pub reply: bool,
    /// Multipart flags.
    pub flags: u16,
    /// Offset of the body.
    pub body: usize,
    /// The row of the table.
    pub row: Option<&'static TypeRow>,
}

/// The row for a number.
pub fn find(version: Version, family: Family, number: u32, reply: bool) -> Option<&'static TypeRow> {
    use std::sync::OnceLock;
    type Rows = [[Option<&'static TypeRow>; SHORT]; 6];
    // Most messages have a small number: of these, by family and direction, and version.
    static SMALL: OnceLock<Box<[Rows; 4]>> = OnceLock::new();
    let fits = |t: &TypeRow, v: Version| (t.min..=t.max).contains(&v);
    if matches!(family, Family::Standard | Family::Stat) && (number as usize) < SHORT {
        let small = SMALL.get_or_init(|| {
            let mut rows = Box::new([[[None; SHORT]; 6]; 4]);
            for t in TYPES.iter().rev().filter(|t| (t.number as usize) < SHORT) {
                let Some(kind) = small_kind(t.family, t.reply) else { continue };
                for (i, _) in Version::ALL.into_iter().enumerate().filter(|(_, v)| fits(t, *v)) {
                    rows[kind][i][t.number as usize] = Some(t);
                }
            }
            rows
        });
        return small[small_kind(family, reply)?][version as usize - Version::V10 as usize][number as usize];
    }
    TYPES.iter().find(|t| t.family == family && t.number == number && t.reply == reply && fits(t, version))
}

const SHORT: usize = 64;

fn small_kind(family: Family, reply: bool) -> Option<usize> {
    match family {
        Family::Standard => Some(usize::from(reply)),
        Family::Stat => Some(2 + usize::from(reply)),
        _ => None,
    }
}

/// Reads the numbers of a message and checks the length of its body. The error is that of OpenFlow 1.0 §4.1: unknown
/// or of a wrong length.
pub fn identify(version: Version, data: &[u8]) -> Result<Identity, crate::Error> {
    let id = identify_start(version, data)?;
    let bad_len = crate::Error::BadRequestBadLen;
    let row = id.row.ok_or(bad_len)?;
    let extra = data.len().checked_sub(id.body + usize::from(row.body)).ok_or(bad_len)?;
    let fits = match row.unit {
        0 => extra == 0,
        unit => extra % usize::from(unit) == 0,
    };
    if fits { Ok(id) } else { Err(bad_len) }
}

/// Like [`identify`], for a message that may be cut.
pub fn identify_start(version: Version, data: &[u8]) -> Result<Identity, crate::Error> {
    use crate::Error;
    use crate::codec::bytes::Reader;
    let mut r = Reader::new(data);
    r.skip(1)?;
    let ty = u32::from(r.u8()?);
    r.skip(6)?;
    let (request, reply) = if version == V10 { (16, 17) } else { (18, 19) };
    let mut id = Identity { family: Family::Standard, number: ty, reply: false, flags: 0, body: 8, row: None };
    let missing;
    if ty == 4 {
        let vendor = r.u32()?;
        id.number = r.u32()?;
        id.family = match vendor {
            NX_VENDOR => Family::Nicira,
            ONF_VENDOR => Family::Onf,
            _ => return Err(Error::BadRequestBadVendor),
        };
        id.body = 16;
        missing = Error::BadRequestBadSubtype;
    } else if ty == request || ty == reply {
        id.reply = ty == reply;
        id.number = u32::from(r.u16()?);
        id.flags = r.u16()?;
        id.family = Family::Stat;
        id.body = 12;
        if version != V10 {
            r.skip(4)?;
            id.body = 16;
        }
        if id.number == 0xffff {
            id.family = match r.u32()? {
                NX_VENDOR => Family::NiciraStat,
                ONF_VENDOR if version != V10 => Family::OnfStat,
                _ => return Err(Error::BadRequestBadVendor),
            };
            id.number = r.u32()?;
            if version == V10 {
                r.skip(4)?;
            }
            id.body = 24;
            missing = Error::BadRequestBadSubtype;
        } else {
            missing = Error::BadRequestBadStat;
        }
    } else {
        missing = Error::BadRequestBadType;
    }
    id.row = find(version, id.family, id.number, id.reply);
    if id.row.is_none() {
        return Err(missing);
    }
    Ok(id)
}

/// The name of a message, if it is known.
pub fn name_of(data: &[u8]) -> Option<&'static str> {
    let version = Version::from_wire(*data.first()?)?;
    identify_start(version, data).ok()?.row.map(|r| r.name)
}

const _: [Version; 6] = [V10, V11, V12, V13, V14, V15];
