//! Segmentation in software, for outputs that cannot take packets larger than their MTU.

use crate::checksum;
use crate::layers::{Layers, ethertype, ip_proto};
use crate::packet::{Checksum, GsoKind, PacketBuf};

/// Cuts a packet into what the wire carries, each with complete checksums. A packet without pending segmentation
/// comes back as it is, completed. A packet that cannot be cut (damaged headers) gives nothing.
#[must_use]
pub fn segment(mut packet: PacketBuf) -> Vec<PacketBuf> {
    let Some(gso) = packet.gso.take() else {
        packet.complete_checksum();
        return vec![packet];
    };
    let Some(l) = Layers::of(packet.bytes()) else { return Vec::new() };
    let size = usize::from(gso.size.max(1));
    match (gso.kind, l.l4) {
        (GsoKind::Tcp4 | GsoKind::Tcp6, Some((l4, ip_proto::TCP))) => {
            cut(&packet, &l, l4, tcp_header_len(&packet, l4), size, true)
        }
        (GsoKind::Udp, Some((l4, ip_proto::UDP))) => cut(&packet, &l, l4, Some(8), size, false),
        _ => {
            packet.complete_checksum();
            vec![packet]
        }
    }
}

fn tcp_header_len(packet: &PacketBuf, l4: usize) -> Option<usize> {
    let len = usize::from(packet.bytes().get(l4 + 12)? >> 4) * 4;
    (len >= 20).then_some(len)
}

fn cut(packet: &PacketBuf, l: &Layers, l4: usize, l4_len: Option<usize>, size: usize, tcp: bool) -> Vec<PacketBuf> {
    let bytes = packet.bytes();
    let Some(header_len) = l4_len.map(|n| l4 + n).filter(|&n| n <= bytes.len()) else { return Vec::new() };
    let (header, payload) = bytes.split_at(header_len);
    let count = payload.len().div_ceil(size).max(1);
    let mut out = Vec::with_capacity(count);
    for index in 0..count {
        let part = &payload[index * size..payload.len().min((index + 1) * size)];
        let mut segment = PacketBuf::from_bytes(header);
        segment.append(part);
        let b = segment.bytes_mut();
        if tcp {
            patch_tcp(&mut b[l4..], index, count, index * size);
        } else {
            let len = (8 + part.len()) as u16;
            b[l4 + 4..l4 + 6].copy_from_slice(&len.to_be_bytes());
        }
        patch_ip(b, l, index);
        finish(&mut segment, l, l4, if tcp { 16 } else { 6 });
        out.push(segment);
    }
    out
}

fn patch_tcp(tcp: &mut [u8], index: usize, count: usize, sent: usize) {
    let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(sent as u32);
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    if index + 1 < count {
        tcp[13] &= !0x09; // FIN and PSH belong to the last segment.
    }
    if index > 0 {
        tcp[13] &= !0x80; // RFC 3168 §6.1.2: CWR only once.
    }
}

fn patch_ip(b: &mut [u8], l: &Layers, index: usize) {
    let total = b.len() - l.l3;
    if l.ethertype == ethertype::IPV4 {
        let ihl = usize::from(b[l.l3] & 15) * 4;
        let ip = &mut b[l.l3..l.l3 + ihl];
        ip[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(index as u16);
        ip[4..6].copy_from_slice(&id.to_be_bytes());
        ip[10..12].fill(0);
        let sum = checksum::checksum(ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        b[l.l3 + 4..l.l3 + 6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
    }
}

fn finish(segment: &mut PacketBuf, l: &Layers, l4: usize, offset: u16) {
    let b = segment.bytes_mut();
    let proto = if offset == 16 { ip_proto::TCP } else { ip_proto::UDP };
    let length = u64::from(proto) + (b.len() - l4) as u64;
    let addresses = if l.ethertype == ethertype::IPV4 { &b[l.l3 + 12..l.l3 + 20] } else { &b[l.l3 + 8..l.l3 + 40] };
    let pseudo = checksum::fold(checksum::sum(addresses) + length);
    let at = l4 + usize::from(offset);
    b[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
    segment.checksum = Checksum::Partial { start: l4 as u16, offset };
    segment.complete_checksum();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;
    use crate::packet::Gso;

    #[test]
    fn tcp_is_cut_and_summed() {
        let body = build::tcp(1, 2, 1000, 0, 0x19, &[0xab; 2500]);
        let frame = build::ethernet([1; 6], [2; 6], 0x800, &build::ipv4(1, 2, 6, &body));
        let mut p = PacketBuf::from_bytes(&frame);
        p.gso = Some(Gso { kind: GsoKind::Tcp4, ecn: false, size: 1000, header_len: 54 });
        p.checksum = Checksum::Partial { start: 34, offset: 16 };
        let parts = segment(p);
        assert_eq!(parts.iter().map(PacketBuf::len).collect::<Vec<_>>(), [1054, 1054, 554]);
        for part in &parts {
            let b = part.bytes();
            let pseudo = checksum::pseudo_ipv4(1, 2, 6, (b.len() - 34) as u32);
            assert_eq!(checksum::fold(pseudo + checksum::sum(&b[34..])), 0xffff);
        }
        assert_eq!(parts[0].bytes()[47], 0x10);
        assert_eq!(parts[2].bytes()[47], 0x19);
    }
}
