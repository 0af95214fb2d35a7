//! What an action that sends packets to the switch carries: 48 bytes that the kernel gives back unread.

use crate::action::{FlowSample, SlowReason, UserCookie};
use flow::DpPort;

/// Bytes of a cookie.
const LEN: usize = 48;
/// Kind, port and bridge; then what the kind has.
const HEAD: usize = 24;
const SFLOW: u32 = 1;
const SLOW_PATH: u32 = 2;
const FLOW_SAMPLE: u32 = 3;
const IPFIX: u32 = 4;
const CONTROLLER: u32 = 5;
/// OpenFlow's port of nowhere in particular.
const NO_PORT: u32 = 0xffff;

/// The bytes of a cookie.
#[must_use]
pub fn write_cookie(cookie: &UserCookie) -> Vec<u8> {
    let (kind, body): (u32, Vec<u8>) = match cookie {
        UserCookie::Other(bytes) => return bytes.to_vec(),
        UserCookie::Sflow { vlan_tci, output } => {
            let mut b = vlan_tci.to_be_bytes().to_vec();
            b.extend([0, 0]);
            b.extend(output.to_ne_bytes());
            (SFLOW, b)
        }
        UserCookie::SlowPath(reason) => (SLOW_PATH, reason.0.to_ne_bytes().to_vec()),
        UserCookie::FlowSample(s) => {
            let mut b = s.probability.to_ne_bytes().to_vec();
            b.extend([0, 0]);
            for n in [s.collector_set, s.obs_domain, s.obs_point, s.output.0] {
                b.extend(n.to_ne_bytes());
            }
            b.push(s.direction);
            (FLOW_SAMPLE, b)
        }
        UserCookie::Ipfix { output } => (IPFIX, output.0.to_ne_bytes().to_vec()),
        UserCookie::Controller { dont_send, continuation, recirc_id, rule_cookie, controller_id, max_len, reason } => {
            let mut b = vec![u8::from(*dont_send), u8::from(*continuation)];
            b.extend(u16::from(*reason).to_ne_bytes());
            b.extend(recirc_id.to_ne_bytes());
            b.extend(rule_cookie.to_be_bytes());
            b.extend(controller_id.to_ne_bytes());
            b.extend(max_len.to_ne_bytes());
            (CONTROLLER, b)
        }
    };
    let mut out = kind.to_ne_bytes().to_vec();
    out.extend(NO_PORT.to_ne_bytes());
    out.resize(HEAD, 0);
    out.extend(body);
    out.resize(LEN, 0);
    out
}

/// Reads a cookie; what is not one is kept as it is.
#[must_use]
pub fn read_cookie(bytes: &[u8]) -> UserCookie {
    parse(bytes).unwrap_or_else(|| UserCookie::Other(bytes.into()))
}

fn parse(bytes: &[u8]) -> Option<UserCookie> {
    if bytes.len() != LEN {
        return None;
    }
    let two = |at: usize| bytes.get(at..)?.first_chunk::<2>().map(|b| u16::from_ne_bytes(*b));
    let four = |at: usize| bytes.get(at..)?.first_chunk::<4>().map(|b| u32::from_ne_bytes(*b));
    Some(match four(0)? {
        SFLOW => UserCookie::Sflow { vlan_tci: two(HEAD)?.swap_bytes(), output: four(HEAD + 4)? },
        SLOW_PATH => UserCookie::SlowPath(SlowReason(four(HEAD)?)),
        FLOW_SAMPLE => UserCookie::FlowSample(Box::new(FlowSample {
            probability: two(HEAD)?,
            collector_set: four(HEAD + 4)?,
            obs_domain: four(HEAD + 8)?,
            obs_point: four(HEAD + 12)?,
            output: DpPort(four(HEAD + 16)?),
            direction: *bytes.get(HEAD + 20)?,
        })),
        IPFIX => UserCookie::Ipfix { output: DpPort(four(HEAD)?) },
        CONTROLLER => UserCookie::Controller {
            dont_send: *bytes.get(HEAD)? != 0,
            continuation: *bytes.get(HEAD + 1)? != 0,
            reason: two(HEAD + 2)? as u8,
            recirc_id: four(HEAD + 4)?,
            rule_cookie: u64::from_be_bytes(*bytes.get(HEAD + 8..)?.first_chunk()?),
            controller_id: two(HEAD + 16)?,
            max_len: two(HEAD + 18)?,
        },
        _ => return None,
    })
}
