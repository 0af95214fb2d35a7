//! Messages: the netlink header, what answers a request, and the headers of generic netlink and of the openvswitch families.

use crate::attr::{Malformed, Writer};

/// Message flag: a request.
pub const REQUEST: u16 = 1;
/// Message flag: of several.
pub const MULTI: u16 = 2;
/// Message flag: answer with an acknowledgement.
pub const ACK: u16 = 4;
/// Message flag: answer with what came of it.
pub const ECHO: u16 = 8;
/// Message flag: all there are.
pub const DUMP: u16 = 0x300;
/// Message flag: replace what is there.
pub const REPLACE: u16 = 0x100;
/// Message flag: make it if it is not there.
pub const CREATE: u16 = 0x400;
/// Type of errors and acknowledgements.
pub const ERROR: u16 = 2;
/// Type of the end of a dump.
pub const DONE: u16 = 3;

/// The header of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// What it is: a family's number, or [`ERROR`], [`DONE`].
    pub kind: u16,
    /// [`REQUEST`], [`MULTI`], …
    pub flags: u16,
    /// Number that a request has and its answers repeat.
    pub sequence: u32,
    /// The socket that it is for, or from.
    pub port: u32,
}

/// Bytes of a header.
pub const HEADER_LEN: usize = 16;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its header.
    pub header: Header,
    /// What follows.
    pub body: &'a [u8],
}

/// What a message says to whoever waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Done.
    Ack,
    /// Refused: a positive errno.
    Error(i32),
    /// The dump is complete.
    Done,
    /// The dump broke off: a positive errno.
    Broken(i32),
    /// Something of a family.
    Body(&'a [u8]),
}

impl<'a> Message<'a> {
    /// What the message says.
    ///
    /// # Errors
    /// If an error lacks its number.
    pub fn reply(&self) -> Result<Reply<'a>, Malformed> {
        let number = || self.body.first_chunk::<4>().map(|b| i32::from_ne_bytes(*b)).ok_or(Malformed("error message"));
        Ok(match self.header.kind {
            ERROR => match number()? {
                0 => Reply::Ack,
                e => Reply::Error(e.checked_neg().filter(|e| *e > 0).ok_or(Malformed("error message"))?),
            },
            DONE => match number() {
                Ok(e) if e < 0 => Reply::Broken(e.saturating_neg()),
                _ => Reply::Done,
            },
            _ => Reply::Body(self.body),
        })
    }
}

/// The messages of a datagram, in order.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let found = (|| {
            let h = self.0.first_chunk::<HEADER_LEN>()?;
            let len = usize::try_from(u32::from_ne_bytes([h[0], h[1], h[2], h[3]])).ok()?;
            let header = Header {
                kind: u16::from_ne_bytes([h[4], h[5]]),
                flags: u16::from_ne_bytes([h[6], h[7]]),
                sequence: u32::from_ne_bytes([h[8], h[9], h[10], h[11]]),
                port: u32::from_ne_bytes([h[12], h[13], h[14], h[15]]),
            };
            Some((len, Message { header, body: self.0.get(HEADER_LEN..len)? }))
        })();
        let Some((len, message)) = found else {
            self.0 = &[];
            return Some(Err(Malformed("message length")));
        };
        self.0 = len.checked_next_multiple_of(4).and_then(|l| self.0.get(l..)).unwrap_or(&[]);
        Some(Ok(message))
    }
}

/// A whole message: header and body.
#[must_use]
pub fn encode(header: Header, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN + body.len());
    let len = u32::try_from(HEADER_LEN + body.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_ne_bytes());
    out.extend_from_slice(&header.kind.to_ne_bytes());
    out.extend_from_slice(&header.flags.to_ne_bytes());
    out.extend_from_slice(&header.sequence.to_ne_bytes());
    out.extend_from_slice(&header.port.to_ne_bytes());
    out.extend_from_slice(body);
    out
}

/// The header of generic netlink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generic {
    /// What to do, in the family's numbers.
    pub command: u8,
    /// Version of the family.
    pub version: u8,
}

/// Splits the body of a generic message: header, and the rest.
///
/// # Errors
/// If it is too short.
pub fn generic(body: &[u8]) -> Result<(Generic, &[u8]), Malformed> {
    let (h, rest) = body.split_first_chunk::<4>().ok_or(Malformed("generic header"))?;
    Ok((Generic { command: h[0], version: h[1] }, rest))
}

/// Splits the body of a message of an openvswitch family: header, datapath, attributes.
///
/// # Errors
/// If it is too short.
pub fn ovs(body: &[u8]) -> Result<(Generic, u32, &[u8]), Malformed> {
    let (header, rest) = generic(body)?;
    let (dp, attrs) = rest.split_first_chunk::<4>().ok_or(Malformed("datapath header"))?;
    Ok((header, u32::from_ne_bytes(*dp), attrs))
}

/// Begins the body of a generic message.
#[must_use]
pub fn begin(header: Generic) -> Writer {
    let mut w = Writer::new();
    w.raw(&[header.command, header.version, 0, 0]);
    w
}

/// Begins the body of a message of an openvswitch family for a datapath (0: none in particular).
#[must_use]
pub fn begin_ovs(header: Generic, dp: u32) -> Writer {
    let mut w = begin(header);
    w.raw(&dp.to_ne_bytes());
    w
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip() {
        let header = Header { kind: 41, flags: REQUEST | ECHO, sequence: 7, port: 9 };
        let mut bytes = encode(header, &[1, 2, 3, 4]);
        bytes.extend(encode(Header { kind: ERROR, ..header }, &(-17i32).to_ne_bytes()));
        let got: Vec<Message<'_>> = Messages(&bytes).collect::<Result<_, _>>().unwrap_or_default();
        assert_eq!(got.len(), 2);
        assert_eq!((got[0].header, got[0].body), (header, &[1, 2, 3, 4][..]));
        assert_eq!(got[1].reply(), Ok(Reply::Error(17)));
        assert!(Messages(&bytes[..20 + 8]).any(|m| m.is_err()));
    }
}
