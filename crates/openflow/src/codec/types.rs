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
}

const fn row(family: Family, number: u32, reply: bool, min: Version, max: Version, name: &'static str) -> TypeRow {
    TypeRow { family, number, reply, min, max, name }
}

/// Every message.
#[rustfmt::skip]
pub static TYPES: &[TypeRow] = &[
    row(Family::Standard, 0, false, V10, V15, "OFPT_HELLO"),
    row(Family::Standard, 1, false, V10, V15, "OFPT_ERROR"),
    row(Family::Standard, 2, false, V10, V15, "OFPT_ECHO_REQUEST"),
    row(Family::Standard, 3, false, V10, V15, "OFPT_ECHO_REPLY"),
    row(Family::Standard, 5, false, V10, V15, "OFPT_FEATURES_REQUEST"),
    row(Family::Standard, 6, false, V10, V10, "OFPT_FEATURES_REPLY"),
    row(Family::Standard, 6, false, V11, V12, "OFPT_FEATURES_REPLY"),
    row(Family::Standard, 6, false, V13, V15, "OFPT_FEATURES_REPLY"),
    row(Family::Standard, 7, false, V10, V15, "OFPT_GET_CONFIG_REQUEST"),
    row(Family::Standard, 8, false, V10, V15, "OFPT_GET_CONFIG_REPLY"),
    row(Family::Standard, 9, false, V10, V15, "OFPT_SET_CONFIG"),
    row(Family::Standard, 10, false, V10, V10, "OFPT_PACKET_IN"),
    row(Family::Standard, 10, false, V11, V11, "OFPT_PACKET_IN"),
    row(Family::Standard, 10, false, V12, V12, "OFPT_PACKET_IN"),
    row(Family::Standard, 10, false, V13, V15, "OFPT_PACKET_IN"),
    row(Family::Standard, 11, false, V10, V10, "OFPT_FLOW_REMOVED"),
    row(Family::Standard, 11, false, V11, V14, "OFPT_FLOW_REMOVED"),
    row(Family::Standard, 11, false, V15, V15, "OFPT_FLOW_REMOVED"),
    row(Family::Standard, 12, false, V10, V10, "OFPT_PORT_STATUS"),
    row(Family::Standard, 12, false, V11, V13, "OFPT_PORT_STATUS"),
    row(Family::Standard, 12, false, V14, V15, "OFPT_PORT_STATUS"),
    row(Family::Standard, 13, false, V10, V10, "OFPT_PACKET_OUT"),
    row(Family::Standard, 13, false, V11, V14, "OFPT_PACKET_OUT"),
    row(Family::Standard, 13, false, V15, V15, "OFPT_PACKET_OUT"),
    row(Family::Standard, 14, false, V10, V10, "OFPT_FLOW_MOD"),
    row(Family::Standard, 14, false, V11, V15, "OFPT_FLOW_MOD"),
    row(Family::Standard, 15, false, V10, V10, "OFPT_PORT_MOD"),
    row(Family::Standard, 15, false, V11, V14, "OFPT_GROUP_MOD"),
    row(Family::Standard, 15, false, V15, V15, "OFPT_GROUP_MOD"),
    row(Family::Standard, 16, false, V11, V13, "OFPT_PORT_MOD"),
    row(Family::Standard, 16, false, V14, V15, "OFPT_PORT_MOD"),
    row(Family::Standard, 17, false, V11, V13, "OFPT_TABLE_MOD"),
    row(Family::Standard, 17, false, V14, V15, "OFPT_TABLE_MOD"),
    row(Family::Standard, 18, false, V10, V10, "OFPT_BARRIER_REQUEST"),
    row(Family::Standard, 19, false, V10, V10, "OFPT_BARRIER_REPLY"),
    row(Family::Standard, 20, false, V10, V10, "OFPT_QUEUE_GET_CONFIG_REQUEST"),
    row(Family::Standard, 20, false, V11, V15, "OFPT_BARRIER_REQUEST"),
    row(Family::Standard, 21, false, V10, V10, "OFPT_QUEUE_GET_CONFIG_REPLY"),
    row(Family::Standard, 21, false, V11, V15, "OFPT_BARRIER_REPLY"),
    row(Family::Standard, 22, false, V11, V13, "OFPT_QUEUE_GET_CONFIG_REQUEST"),
    row(Family::Standard, 23, false, V11, V13, "OFPT_QUEUE_GET_CONFIG_REPLY"),
    row(Family::Standard, 24, false, V12, V15, "OFPT_ROLE_REQUEST"),
    row(Family::Standard, 25, false, V12, V15, "OFPT_ROLE_REPLY"),
    row(Family::Standard, 26, false, V13, V13, "OFPT_GET_ASYNC_REQUEST"),
    row(Family::Standard, 26, false, V14, V15, "OFPT_GET_ASYNC_REQUEST"),
    row(Family::Standard, 27, false, V13, V13, "OFPT_GET_ASYNC_REPLY"),
    row(Family::Standard, 27, false, V14, V15, "OFPT_GET_ASYNC_REPLY"),
    row(Family::Standard, 28, false, V13, V13, "OFPT_SET_ASYNC"),
    row(Family::Standard, 28, false, V14, V15, "OFPT_SET_ASYNC"),
    row(Family::Standard, 29, false, V13, V15, "OFPT_METER_MOD"),
    row(Family::Standard, 30, false, V14, V15, "OFPT_ROLE_STATUS"),
    row(Family::Standard, 31, false, V14, V15, "OFPT_TABLE_STATUS"),
    row(Family::Standard, 32, false, V14, V15, "OFPT_REQUESTFORWARD"),
    row(Family::Standard, 33, false, V14, V15, "OFPT_BUNDLE_CONTROL"),
    row(Family::Standard, 34, false, V14, V15, "OFPT_BUNDLE_ADD_MESSAGE"),
    row(Family::Nicira, 10, false, V10, V15, "NXT_ROLE_REQUEST"),
    row(Family::Nicira, 11, false, V10, V15, "NXT_ROLE_REPLY"),
    row(Family::Nicira, 12, false, V10, V10, "NXT_SET_FLOW_FORMAT"),
    row(Family::Nicira, 13, false, V10, V15, "NXT_FLOW_MOD"),
    row(Family::Nicira, 14, false, V10, V15, "NXT_FLOW_REMOVED"),
    row(Family::Nicira, 15, false, V10, V15, "NXT_FLOW_MOD_TABLE_ID"),
    row(Family::Nicira, 16, false, V10, V15, "NXT_SET_PACKET_IN_FORMAT"),
    row(Family::Nicira, 17, false, V10, V15, "NXT_PACKET_IN"),
    row(Family::Nicira, 18, false, V10, V15, "NXT_FLOW_AGE"),
    row(Family::Nicira, 19, false, V10, V15, "NXT_SET_ASYNC_CONFIG"),
    row(Family::Nicira, 20, false, V10, V15, "NXT_SET_CONTROLLER_ID"),
    row(Family::Nicira, 21, false, V10, V12, "NXT_FLOW_MONITOR_CANCEL"),
    row(Family::Nicira, 22, false, V10, V12, "NXT_FLOW_MONITOR_PAUSED"),
    row(Family::Nicira, 23, false, V10, V12, "NXT_FLOW_MONITOR_RESUMED"),
    row(Family::Nicira, 24, false, V10, V15, "NXT_TLV_TABLE_MOD"),
    row(Family::Nicira, 25, false, V10, V15, "NXT_TLV_TABLE_REQUEST"),
    row(Family::Nicira, 26, false, V10, V15, "NXT_TLV_TABLE_REPLY"),
    row(Family::Nicira, 27, false, V10, V13, "NXT_SET_ASYNC_CONFIG2"),
    row(Family::Nicira, 28, false, V10, V15, "NXT_RESUME"),
    row(Family::Nicira, 29, false, V10, V15, "NXT_CT_FLUSH_ZONE"),
    row(Family::Nicira, 30, false, V10, V15, "NXT_PACKET_IN2"),
    row(Family::Nicira, 31, false, V10, V10, "NXT_GROUP_MOD"),
    row(Family::Nicira, 32, false, V10, V15, "NXT_CT_FLUSH"),
    row(Family::Nicira, 132, false, V10, V12, "NXT_REQUESTFORWARD"),
    row(Family::Onf, 1870, false, V13, V13, "ONFT_FLOW_MONITOR_CANCEL"),
    row(Family::Onf, 1871, false, V13, V13, "ONFT_FLOW_MONITOR_PAUSED"),
    row(Family::Onf, 1872, false, V13, V13, "ONFT_FLOW_MONITOR_RESUMED"),
    row(Family::Onf, 1911, false, V13, V13, "ONFT_ROLE_STATUS"),
    row(Family::Onf, 2300, false, V13, V13, "ONFT_BUNDLE_CONTROL"),
    row(Family::Onf, 2301, false, V13, V13, "ONFT_BUNDLE_ADD_MESSAGE"),
    row(Family::Onf, 2350, false, V13, V13, "ONFT_REQUESTFORWARD"),
    row(Family::Stat, 0, false, V10, V15, "OFPST_DESC request"),
    row(Family::Stat, 0, true, V10, V15, "OFPST_DESC reply"),
    row(Family::Stat, 1, false, V10, V10, "OFPST_FLOW request"),
    row(Family::Stat, 1, true, V10, V10, "OFPST_FLOW reply"),
    row(Family::Stat, 1, false, V11, V15, "OFPST_FLOW request"),
    row(Family::Stat, 1, true, V11, V12, "OFPST_FLOW reply"),
    row(Family::Stat, 1, true, V13, V14, "OFPST_FLOW reply"),
    row(Family::Stat, 1, true, V15, V15, "OFPST_FLOW reply"),
    row(Family::Stat, 2, false, V10, V10, "OFPST_AGGREGATE request"),
    row(Family::Stat, 2, true, V10, V14, "OFPST_AGGREGATE reply"),
    row(Family::Stat, 2, false, V11, V14, "OFPST_AGGREGATE request"),
    row(Family::Stat, 2, false, V15, V15, "OFPST_AGGREGATE request"),
    row(Family::Stat, 2, true, V15, V15, "OFPST_AGGREGATE reply"),
    row(Family::Stat, 3, true, V10, V10, "OFPST_TABLE reply"),
    row(Family::Stat, 3, false, V10, V15, "OFPST_TABLE request"),
    row(Family::Stat, 3, true, V11, V11, "OFPST_TABLE reply"),
    row(Family::Stat, 3, true, V12, V12, "OFPST_TABLE reply"),
    row(Family::Stat, 3, true, V13, V15, "OFPST_TABLE reply"),
    row(Family::Stat, 4, false, V10, V10, "OFPST_PORT request"),
    row(Family::Stat, 4, true, V10, V10, "OFPST_PORT reply"),
    row(Family::Stat, 4, false, V11, V15, "OFPST_PORT request"),
    row(Family::Stat, 4, true, V11, V12, "OFPST_PORT reply"),
    row(Family::Stat, 4, true, V13, V13, "OFPST_PORT reply"),
    row(Family::Stat, 4, true, V14, V15, "OFPST_PORT reply"),
    row(Family::Stat, 5, false, V10, V10, "OFPST_QUEUE request"),
    row(Family::Stat, 5, true, V10, V10, "OFPST_QUEUE reply"),
    row(Family::Stat, 5, false, V11, V15, "OFPST_QUEUE request"),
    row(Family::Stat, 5, true, V11, V12, "OFPST_QUEUE reply"),
    row(Family::Stat, 5, true, V13, V13, "OFPST_QUEUE reply"),
    row(Family::Stat, 5, true, V14, V15, "OFPST_QUEUE reply"),
    row(Family::Stat, 6, false, V11, V15, "OFPST_GROUP request"),
    row(Family::Stat, 6, true, V11, V12, "OFPST_GROUP reply"),
    row(Family::Stat, 6, true, V13, V15, "OFPST_GROUP reply"),
    row(Family::Stat, 7, true, V11, V15, "OFPST_GROUP_DESC reply"),
    row(Family::Stat, 7, false, V11, V14, "OFPST_GROUP_DESC request"),
    row(Family::Stat, 7, false, V15, V15, "OFPST_GROUP_DESC request"),
    row(Family::Stat, 8, false, V12, V15, "OFPST_GROUP_FEATURES request"),
    row(Family::Stat, 8, true, V12, V15, "OFPST_GROUP_FEATURES reply"),
    row(Family::Stat, 9, false, V13, V15, "OFPST_METER request"),
    row(Family::Stat, 9, true, V13, V15, "OFPST_METER reply"),
    row(Family::Stat, 10, false, V13, V15, "OFPST_METER_CONFIG request"),
    row(Family::Stat, 10, true, V13, V15, "OFPST_METER_CONFIG reply"),
    row(Family::Stat, 11, false, V13, V15, "OFPST_METER_FEATURES request"),
    row(Family::Stat, 11, true, V13, V15, "OFPST_METER_FEATURES reply"),
    row(Family::Stat, 12, false, V13, V15, "OFPST_TABLE_FEATURES request"),
    row(Family::Stat, 12, true, V13, V15, "OFPST_TABLE_FEATURES reply"),
    row(Family::Stat, 13, true, V10, V10, "OFPST_PORT_DESC reply"),
    row(Family::Stat, 13, false, V10, V14, "OFPST_PORT_DESC request"),
    row(Family::Stat, 13, true, V11, V13, "OFPST_PORT_DESC reply"),
    row(Family::Stat, 13, true, V14, V15, "OFPST_PORT_DESC reply"),
    row(Family::Stat, 13, false, V15, V15, "OFPST_PORT_DESC request"),
    row(Family::Stat, 14, false, V14, V15, "OFPST_TABLE_DESC request"),
    row(Family::Stat, 14, true, V14, V15, "OFPST_TABLE_DESC reply"),
    row(Family::Stat, 15, false, V14, V15, "OFPST_QUEUE_DESC request"),
    row(Family::Stat, 15, true, V14, V15, "OFPST_QUEUE_DESC reply"),
    row(Family::Stat, 16, false, V14, V15, "OFPST_FLOW_MONITOR request"),
    row(Family::Stat, 16, true, V14, V15, "OFPST_FLOW_MONITOR reply"),
    row(Family::NiciraStat, 0, false, V10, V10, "NXST_FLOW request"),
    row(Family::NiciraStat, 0, true, V10, V10, "NXST_FLOW reply"),
    row(Family::NiciraStat, 1, false, V10, V10, "NXST_AGGREGATE request"),
    row(Family::NiciraStat, 1, true, V10, V10, "NXST_AGGREGATE reply"),
    row(Family::NiciraStat, 2, false, V10, V12, "NXST_FLOW_MONITOR request"),
    row(Family::NiciraStat, 2, true, V10, V12, "NXST_FLOW_MONITOR reply"),
    row(Family::NiciraStat, 3, false, V10, V15, "NXST_IPFIX_BRIDGE request"),
    row(Family::NiciraStat, 3, true, V10, V15, "NXST_IPFIX_BRIDGE reply"),
    row(Family::NiciraStat, 4, false, V10, V15, "NXST_IPFIX_FLOW request"),
    row(Family::NiciraStat, 4, true, V10, V15, "NXST_IPFIX_FLOW reply"),
    row(Family::NiciraStat, 7, false, V10, V10, "NXST_GROUP request"),
    row(Family::NiciraStat, 7, true, V10, V10, "NXST_GROUP reply"),
    row(Family::NiciraStat, 8, false, V10, V10, "NXST_GROUP_DESC request"),
    row(Family::NiciraStat, 8, true, V10, V10, "NXST_GROUP_DESC reply"),
    row(Family::NiciraStat, 9, false, V10, V11, "NXST_GROUP_FEATURES request"),
    row(Family::NiciraStat, 9, true, V10, V11, "NXST_GROUP_FEATURES reply"),
    row(Family::OnfStat, 1870, false, V13, V13, "ONFST_FLOW_MONITOR request"),
    row(Family::OnfStat, 1870, true, V13, V13, "ONFST_FLOW_MONITOR reply"),
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
    TYPES
        .iter()
        .find(|t| t.family == family && t.number == number && t.reply == reply && (t.min..=t.max).contains(&version))
}

/// Reads the numbers of a message. The error is that of OpenFlow 1.0 §4.1: unknown or short.
pub fn identify(version: Version, data: &[u8]) -> Result<Identity, crate::Error> {
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
        id.body = 16;
        id.family = match vendor {
            NX_VENDOR => Family::Nicira,
            ONF_VENDOR => Family::Onf,
            _ => return Err(Error::BadRequestBadVendor),
        };
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
            let vendor = r.u32()?;
            id.number = r.u32()?;
            id.family = match vendor {
                NX_VENDOR => Family::NiciraStat,
                ONF_VENDOR if version != V10 => Family::OnfStat,
                _ => return Err(Error::BadRequestBadVendor),
            };
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
    identify(version, data).ok()?.row.map(|r| r.name)
}

const _: [Version; 6] = [V10, V11, V12, V13, V14, V15];
