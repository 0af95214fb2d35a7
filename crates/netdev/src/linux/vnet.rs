//! `struct virtio_net_hdr`, with which the kernel and the switch tell each other about checksums and segmentation.

use wire::packet::{Checksum, Gso, GsoKind, PacketBuf};

/// Size in bytes.
pub const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_TCPV4: u8 = 1;
const GSO_UDP: u8 = 3;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Puts what a received header says onto the packet. `shift` is the number of bytes that the switch put back in front
/// of the part the header speaks of (a VLAN tag that the kernel had taken out).
pub fn apply(header: &[u8; LEN], packet: &mut PacketBuf, shift: u16) {
    let field = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    packet.checksum = if header[0] & NEEDS_CSUM != 0 {
        Checksum::Partial { start: field(6).saturating_add(shift), offset: field(8) }
    } else if header[0] & DATA_VALID != 0 {
        Checksum::Good
    } else {
        Checksum::Unknown
    };
    let kind = match header[1] & !GSO_ECN {
        GSO_TCPV4 => GsoKind::Tcp4,
        GSO_TCPV6 => GsoKind::Tcp6,
        GSO_UDP => GsoKind::UdpFragment,
        GSO_UDP_L4 => GsoKind::Udp,
        _ => return,
    };
    let header_len = field(2).saturating_add(shift);
    packet.gso = (field(4) != 0).then_some(Gso { kind, ecn: header[1] & GSO_ECN != 0, size: field(4), header_len });
}

/// The header to send with a packet.
#[must_use]
pub fn describe(packet: &PacketBuf) -> [u8; LEN] {
    let mut header = [0u8; LEN];
    let mut put = |at: usize, value: u16| header[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    let mut flags = 0;
    if let Checksum::Partial { start, offset } = packet.checksum {
        flags = NEEDS_CSUM;
        put(6, start);
        put(8, offset);
    }
    let mut kind = 0;
    if let Some(gso) = packet.gso {
        kind = match gso.kind {
            GsoKind::Tcp4 => GSO_TCPV4,
            GsoKind::Tcp6 => GSO_TCPV6,
            GsoKind::UdpFragment => GSO_UDP,
            GsoKind::Udp => GSO_UDP_L4,
        } | if gso.ecn { GSO_ECN } else { 0 };
        put(2, gso.header_len);
        put(4, gso.size);
    }
    header[0] = flags;
    header[1] = kind;
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let mut packet = PacketBuf::from_bytes(&[0; 100]);
        packet.checksum = Checksum::Partial { start: 34, offset: 16 };
        packet.gso = Some(Gso { kind: GsoKind::Tcp4, ecn: true, size: 1448, header_len: 66 });
        let mut other = PacketBuf::from_bytes(&[0; 100]);
        apply(&describe(&packet), &mut other, 0);
        assert_eq!((packet.checksum, packet.gso), (other.checksum, other.gso));
    }
}
