//! The frame of messages: header, vendor header, statistics header, and splitting into parts.

use super::bytes::{Put, Reader};
use crate::error::{Error, NX_VENDOR, ONF_VENDOR};
use crate::message::Multipart;
use crate::version::{Version, Xid};

/// Longest message, in bytes: a multiple of 8 below 65536.
pub const MAX_LEN: usize = 65535;

/// A message that is being written.
#[derive(Debug)]
pub struct Frame {
    out: Vec<u8>,
    start: usize,
    version: Version,
    xid: Xid,
}

impl Frame {
    /// A frame for `version` and `xid`.
    pub fn new(version: Version, xid: Xid) -> Frame {
        Frame::after(Vec::with_capacity(256), version, xid)
    }

    /// A frame that is appended to `out`.
    pub fn after(out: Vec<u8>, version: Version, xid: Xid) -> Frame {
        Frame { start: out.len(), out, version, xid }
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    fn begin(&mut self, ty: u8) {
        self.start = self.out.len();
        self.out.put8(self.version.to_wire());
        self.out.put8(ty);
        self.out.put16(0);
        self.out.put32(self.xid);
    }

    fn end(&mut self) {
        let len = self.out.len() - self.start;
        self.out.set16(self.start + 2, u16::try_from(len).unwrap_or(u16::MAX));
    }

    /// A standard message.
    pub fn standard(mut self, ty: u8, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        self.begin(ty);
        body(&mut self.out);
        self.end();
        self.out
    }

    /// A Nicira message.
    pub fn nicira(self, subtype: u32, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        self.vendor(NX_VENDOR, subtype, body)
    }

    /// An ONF message.
    pub fn onf(self, subtype: u32, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        self.vendor(ONF_VENDOR, subtype, body)
    }

    fn vendor(self, vendor: u32, subtype: u32, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        self.standard(4, |b| {
            b.put32(vendor);
            b.put32(subtype);
            body(b);
        })
    }

    fn begin_stat(&mut self, id: Stat) {
        let (request, reply) = if self.version == Version::V10 { (16, 17) } else { (18, 19) };
        self.begin(if id.reply { reply } else { request });
        let standard = match id.kind {
            StatKind::Standard(n) => n,
            _ => 0xffff,
        };
        self.out.put16(standard);
        self.out.put16(0);
        if self.version != Version::V10 {
            self.out.zeros(4);
        }
        let (vendor, subtype) = match id.kind {
            StatKind::Standard(_) => return,
            StatKind::Nicira(n) => (NX_VENDOR, n),
            StatKind::Onf(n) => (ONF_VENDOR, n),
        };
        self.out.put32(vendor);
        self.out.put32(subtype);
        if self.version == Version::V10 {
            self.out.zeros(4);
        }
    }

    /// Statistics in one message.
    pub fn stat(mut self, id: Stat, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        self.begin_stat(id);
        body(&mut self.out);
        self.end();
        self.out
    }

    /// Statistics whose entries are spread over as many messages as they need.
    pub fn entries<T>(mut self, id: Stat, m: &Multipart<T>, mut put: impl FnMut(&mut Vec<u8>, &T)) -> Vec<u8> {
        self.begin_stat(id);
        for entry in &m.entries {
            let at = self.out.len();
            put(&mut self.out, entry);
            if self.out.len() - self.start > MAX_LEN && at - self.start > 24 {
                let tail = self.out.split_off(at);
                self.set_more();
                self.end();
                self.begin_stat(id);
                self.out.extend_from_slice(&tail);
            }
        }
        if m.more {
            self.set_more();
        }
        self.end();
        self.out
    }

    fn set_more(&mut self) {
        self.out.set16(self.start + 10, 1);
    }
}

/// Which statistics.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Number.
    pub kind: StatKind,
    /// Reply rather than request.
    pub reply: bool,
}

/// Where the number of statistics stands.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum StatKind {
    Standard(u16),
    Nicira(u32),
    Onf(u32),
}

impl Stat {
    /// A request of standard statistics.
    pub const fn request(n: u16) -> Stat {
        Stat { kind: StatKind::Standard(n), reply: false }
    }

    /// A reply of standard statistics.
    pub const fn reply(n: u16) -> Stat {
        Stat { kind: StatKind::Standard(n), reply: true }
    }

    /// Nicira statistics.
    pub const fn nicira(n: u32, reply: bool) -> Stat {
        Stat { kind: StatKind::Nicira(n), reply }
    }

    /// ONF statistics.
    pub const fn onf(n: u32, reply: bool) -> Stat {
        Stat { kind: StatKind::Onf(n), reply }
    }
}

/// Reads entries until nothing is left.
pub fn take_entries<'a, T>(
    more: bool,
    r: &mut Reader<'a>,
    mut take: impl FnMut(&mut Reader<'a>) -> Result<T, Error>,
) -> Result<Multipart<T>, Error> {
    let mut entries = Vec::new();
    while !r.is_empty() {
        let before = r.len();
        entries.push(take(r)?);
        if r.len() == before {
            return Err(Error::BadRequestBadLen);
        }
    }
    Ok(Multipart { more, ..Multipart::new(entries) })
}
