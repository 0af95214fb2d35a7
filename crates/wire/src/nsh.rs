//! The network service header (RFC 8300): put in front of a packet, and taken off.

use crate::packet::PacketBuf;

/// Base and service path headers (§2.2, §2.3), in bytes.
const BASE: usize = 8;
/// The length field counts words of four bytes in six bits.
const LONGEST: usize = 63 * 4;

/// What a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// The O bit and the one behind it.
    pub flags: u8,
    /// Time to live, 6 bits.
    pub ttl: u8,
    /// Type of metadata: 1 or 2.
    pub mdtype: u8,
    /// Next protocol.
    pub next: u8,
    /// Service path, 24 bits.
    pub spi: u32,
    /// Service index.
    pub si: u8,
    /// Context headers, a multiple of four bytes; what does not fit is left out.
    pub metadata: &'a [u8],
}

/// Puts a header in front of the packet.
pub fn push(p: &mut PacketBuf, f: &Fields<'_>) {
    let context = f.metadata.len().min(LONGEST - BASE) & !3;
    let length = BASE + context;
    p.insert_gap(0, length);
    let b = p.bytes_mut();
    let first = u16::from(f.flags & 3) << 12 | u16::from(f.ttl & 0x3f) << 6 | (length / 4) as u16;
    b[..2].copy_from_slice(&first.to_be_bytes());
    (b[2], b[3]) = (f.mdtype & 0x0f, f.next);
    b[4..8].copy_from_slice(&(f.spi << 8 | u32::from(f.si)).to_be_bytes());
    b[8..length].copy_from_slice(&f.metadata[..context]);
}

/// Takes the header off a packet that begins with one; gives the protocol of what is then in front. `None`, and the packet as
/// it was, if the header is damaged.
pub fn pop(p: &mut PacketBuf) -> Option<u8> {
    let b = p.bytes();
    let first = u16::from_be_bytes([*b.first()?, *b.get(1)?]);
    let length = usize::from(first & 0x3f) * 4;
    if first >> 14 != 0 || length < BASE || length > b.len() {
        return None;
    }
    let next = b[3];
    p.remove(0, length);
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_and_pop() {
        let fields = Fields { flags: 2, ttl: 63, mdtype: 1, next: 3, spi: 0x123456, si: 255, metadata: &[7; 16] };
        let mut p = PacketBuf::from_bytes(b"inside");
        push(&mut p, &fields);
        assert_eq!(&p.bytes()[..8], &[0x2f, 0xc6, 1, 3, 0x12, 0x34, 0x56, 255]);
        assert_eq!(p.len(), 24 + 6);
        assert_eq!(pop(&mut p), Some(3));
        assert_eq!(p.bytes(), b"inside");
    }

    #[test]
    fn damaged_headers_stay() {
        for b in [&[0x0f, 0xc6][..], &[0x0f, 0xc1, 1, 3, 0, 0, 0, 0], &[0xcf, 0xc2, 1, 3, 0, 0, 0, 0], &[]] {
            let mut p = PacketBuf::from_bytes(b);
            assert_eq!(pop(&mut p), None);
            assert_eq!(p.bytes(), b);
        }
    }
}
