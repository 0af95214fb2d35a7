//! The Internet checksum (RFC 1071) whole and incremental (RFC 1624).

/// One's complement sum of `data` taken as big-endian 16-bit words, an odd last byte padded with zero.
///
/// The result is not folded; add several of them and pass the total to [`fold`].
#[must_use]
pub fn sum(data: &[u8]) -> u64 {
    let mut total = 0u64;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        total += u64::from(u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]));
    }
    match *chunks.remainder() {
        [a] => total += u64::from(a) << 8,
        [a, b] => total += u64::from(u16::from_be_bytes([a, b])),
        [a, b, c] => total += u64::from(u16::from_be_bytes([a, b])) + (u64::from(c) << 8),
        _ => {}
    }
    total
}

/// Folds a sum to 16 bits with end-around carry, without complementing it.
#[must_use]
pub fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// The checksum of `data`: zero when `data` already contains a correct one.
#[must_use]
pub fn checksum(data: &[u8]) -> u16 {
    !fold(sum(data))
}

/// Sum of the IPv4 pseudo-header (RFC 9293 §3.1). `length` is that of the transport header and payload in bytes.
#[must_use]
pub fn pseudo_ipv4(src: u32, dst: u32, proto: u8, length: u32) -> u64 {
    u64::from(src) + u64::from(dst) + u64::from(proto) + u64::from(length)
}

/// Sum of the IPv6 pseudo-header (RFC 8200 §8.1). `length` is that of the transport header and payload in bytes.
#[must_use]
pub fn pseudo_ipv6(src: u128, dst: u128, proto: u8, length: u32) -> u64 {
    sum(&src.to_be_bytes()) + sum(&dst.to_be_bytes()) + u64::from(proto) + u64::from(length)
}

/// The checksum after a run of bytes covered by it changed from `old` to `new`.
///
/// RFC 1624 eqn. 3: HC' = ~(~HC + ~m + m'). Both runs have the same, even, length and start at an even offset.
#[must_use]
pub fn update(csum: u16, old: &[u8], new: &[u8]) -> u16 {
    debug_assert_eq!(old.len(), new.len());
    !fold(u64::from(!csum) + u64::from(!fold(sum(old))) + sum(new))
}

/// The same for a single 16-bit word.
#[must_use]
pub fn update16(csum: u16, old: u16, new: u16) -> u16 {
    !fold(u64::from(!csum) + u64::from(!old) + u64::from(new))
}

/// CRC-32c as SCTP uses it (RFC 9260 appendix A), bit by bit over a nibble table.
#[must_use]
pub fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 16] = nibble_table();
    let mut crc = !0u32;
    for &byte in data {
        crc ^= u32::from(byte);
        crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
        crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
    }
    !crc
}

const fn nibble_table() -> [u32; 16] {
    let mut table = [0u32; 16];
    let mut i = 0;
    while i < 16 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

/// Finds out whether a packet's transport checksum is only begun, as the sender's stack leaves it to the hardware: the field
/// then holds the sum of the pseudo-header. A complete checksum looks like that once in 65,536 times; computing it anew gives
/// the same again, so that a wrong guess does no harm.
pub fn find_partial(packet: &mut crate::packet::PacketBuf) {
    use crate::layers::{Layers, be16, ethertype, ip_proto};
    let b = packet.bytes();
    let Some(l) = Layers::of(b) else { return };
    let Some((l4, proto)) = l.l4 else { return };
    let offset = match proto {
        ip_proto::TCP => 16,
        ip_proto::UDP => 6,
        _ => return,
    };
    let (addresses, end) = match l.ethertype {
        ethertype::IPV4 => (b.get(l.l3 + 12..l.l3 + 20), be16(b, l.l3 + 2).map(|n| l.l3 + usize::from(n))),
        ethertype::IPV6 => (b.get(l.l3 + 8..l.l3 + 40), be16(b, l.l3 + 4).map(|n| l.l3 + 40 + usize::from(n))),
        _ => return,
    };
    let (Some(addresses), Some(end), Some(field)) = (addresses, end, be16(b, l4 + offset)) else { return };
    let Some(length) = end.checked_sub(l4).filter(|_| end <= b.len()) else { return };
    if field != 0 && fold(sum(addresses) + u64::from(proto) + length as u64) == field {
        packet.checksum = crate::packet::Checksum::Partial { start: l4 as u16, offset: offset as u16 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1071_example() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    #[test]
    fn incremental_equals_whole() {
        let mut data: Vec<u8> = (0..64u8).map(|i| i.wrapping_mul(37)).collect();
        let before = checksum(&data);
        let old = data[8..12].to_vec();
        data[8..12].copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(update(before, &old, &[0xde, 0xad, 0xbe, 0xef]), checksum(&data));
    }

    #[test]
    fn crc32c_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn begun_checksums_are_found() {
        use crate::packet::{Checksum, PacketBuf};
        let frame = crate::build::udp4([1; 6], [2; 6], 0x0a00_0001, 0x0a00_0002, 5, 6, b"hello");
        let mut whole = PacketBuf::from_bytes(&frame);
        find_partial(&mut whole);
        assert_eq!(whole.checksum, Checksum::Unknown);
        let mut begun = PacketBuf::from_bytes(&frame);
        let pseudo = fold(pseudo_ipv4(0x0a00_0001, 0x0a00_0002, 17, 13));
        begun.bytes_mut()[40..42].copy_from_slice(&pseudo.to_be_bytes());
        find_partial(&mut begun);
        assert_eq!(begun.checksum, Checksum::Partial { start: 34, offset: 6 });
        begun.complete_checksum();
        assert_eq!(begun.bytes(), frame);
        for len in 0..frame.len() {
            find_partial(&mut PacketBuf::from_bytes(&frame[..len]));
        }
    }
}
