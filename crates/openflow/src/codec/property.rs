//! Properties: type, length, payload, padded to 8 bytes (OpenFlow 1.4 §7.1.2 and the Nicira extensions).

use super::bytes::{Put, Reader, round8};
use crate::error::Error;

/// A property as received.
#[derive(Clone, Copy, Debug)]
pub struct Property<'a> {
    /// Type.
    pub ty: u16,
    /// Experimenter and its type, for types from 0xffff.
    pub experimenter: Option<(u32, u32)>,
    /// What follows the header (and the experimenter).
    pub payload: &'a [u8],
}

/// Reads a property with its padding.
pub fn take<'a>(r: &mut Reader<'a>) -> Result<Property<'a>, Error> {
    take_from(r, 0xffff)
}

/// Like [`take`], with experimenter properties from `experimenter` up.
pub fn take_from<'a>(r: &mut Reader<'a>, experimenter: u16) -> Result<Property<'a>, Error> {
    let bad_len = Error::BadPropertyBadLen;
    let mut head = Reader::with_error(r.rest(), bad_len);
    let (ty, len) = (head.u16()?, usize::from(head.u16()?));
    if len < 4 || round8(len) > r.len() {
        return Err(bad_len);
    }
    let whole = r.take(round8(len))?.get(..len).ok_or(bad_len)?;
    if ty < experimenter {
        return Ok(Property { ty, experimenter: None, payload: whole.get(4..).unwrap_or(&[]) });
    }
    let mut body = Reader::with_error(whole.get(4..).unwrap_or(&[]), bad_len);
    let (id, exp_type) = (body.u32()?, body.u32()?);
    if id == 0 {
        return Err(Error::BadPropertyBadExperimenter);
    }
    Ok(Property { ty, experimenter: Some((id, exp_type)), payload: body.rest() })
}

impl<'a> Property<'a> {
    /// A reader of the payload.
    pub fn reader(&self) -> Reader<'a> {
        Reader::with_error(self.payload, Error::BadPropertyBadLen)
    }

    /// A payload of 8 bits.
    pub fn u8(&self) -> Result<u8, Error> {
        self.reader().u8()
    }

    /// A payload of 16 bits.
    pub fn u16(&self) -> Result<u16, Error> {
        self.reader().u16()
    }

    /// A payload of exactly 32 bits.
    pub fn u32(&self) -> Result<u32, Error> {
        if self.payload.len() != 4 {
            return Err(Error::BadPropertyBadLen);
        }
        self.reader().u32()
    }

    /// A payload of exactly 64 bits, after 4 bytes of padding.
    pub fn u64(&self) -> Result<u64, Error> {
        if self.payload.len() != 12 {
            return Err(Error::BadPropertyBadLen);
        }
        let mut r = self.reader();
        r.skip(4)?;
        r.u64()
    }

    /// A payload of exactly 128 bits.
    pub fn u128(&self) -> Result<u128, Error> {
        if self.payload.len() != 16 {
            return Err(Error::BadPropertyBadLen);
        }
        self.reader().u128()
    }

    /// The error for a type that is not known here.
    pub fn unknown(&self) -> Error {
        if self.experimenter.is_some() { Error::BadPropertyBadExpType } else { Error::BadPropertyBadType }
    }
}

/// Appends a property; `payload` appends what follows the header.
pub fn put(out: &mut Vec<u8>, ty: u16, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put16(ty);
    out.put16(0);
    payload(out);
    let len = out.len() - start;
    out.set16(start + 2, len as u16);
    out.pad8(start);
}

/// Appends a property of 8 bits.
pub fn put_u8(out: &mut Vec<u8>, ty: u16, n: u8) {
    put(out, ty, |b| b.put8(n));
}

/// Appends a property of 16 bits.
pub fn put_u16(out: &mut Vec<u8>, ty: u16, n: u16) {
    put(out, ty, |b| {
        b.put16(n);
        b.put16(0);
    });
}

/// Appends a property of 32 bits.
pub fn put_u32(out: &mut Vec<u8>, ty: u16, n: u32) {
    put(out, ty, |b| b.put32(n));
}

/// Appends a property of 64 bits.
pub fn put_u64(out: &mut Vec<u8>, ty: u16, n: u64) {
    put(out, ty, |b| {
        b.zeros(4);
        b.put64(n);
    });
}

/// Appends a property without a payload.
pub fn put_flag(out: &mut Vec<u8>, ty: u16) {
    put(out, ty, |_| {});
}

/// Appends a property that holds other things from byte 8 on.
pub fn put_nested(out: &mut Vec<u8>, ty: u16, payload: impl FnOnce(&mut Vec<u8>)) {
    put(out, ty, |b| {
        b.zeros(4);
        payload(b);
    });
}
