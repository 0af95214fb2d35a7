//! Builders of whole packets, for probes, replies and tests. Addresses are in host byte order numbers.

use crate::checksum;
use crate::layers::{ethertype, ip_proto};

/// An Ethernet frame.
#[must_use]
pub fn ethernet(dst: [u8; 6], src: [u8; 6], ty: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + payload.len());
    frame.extend_from_slice(&dst);
    frame.extend_from_slice(&src);
    frame.extend_from_slice(&ty.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// An Ethernet frame with one tag. `tci` is the tag control information: priority, CFI and VLAN id.
#[must_use]
pub fn tagged(frame: &[u8], tpid: u16, tci: u16) -> Vec<u8> {
    let cut = frame.len().min(12);
    let mut out = frame[..cut].to_vec();
    out.extend_from_slice(&tpid.to_be_bytes());
    out.extend_from_slice(&tci.to_be_bytes());
    out.extend_from_slice(&frame[cut..]);
    out
}

/// An ARP packet for IPv4 over Ethernet (RFC 826) in a frame from `sha`; a request (operation 1) is broadcast.
#[must_use]
pub fn arp(op: u16, sha: [u8; 6], spa: u32, tha: [u8; 6], tpa: u32) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4];
    body.extend_from_slice(&op.to_be_bytes());
    body.extend_from_slice(&sha);
    body.extend_from_slice(&spa.to_be_bytes());
    body.extend_from_slice(&tha);
    body.extend_from_slice(&tpa.to_be_bytes());
    ethernet(if op == 1 { [0xff; 6] } else { tha }, sha, ethertype::ARP, &body)
}

/// An IPv4 packet with a checksum and a TTL of 64.
#[must_use]
pub fn ipv4(src: u32, dst: u32, proto: u8, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0];
    header.extend_from_slice(&total.to_be_bytes());
    header.extend_from_slice(&[0, 0, 0x40, 0, 64, proto, 0, 0]);
    header.extend_from_slice(&src.to_be_bytes());
    header.extend_from_slice(&dst.to_be_bytes());
    let sum = checksum::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header.extend_from_slice(payload);
    header
}

/// An IPv6 packet with a hop limit of 64.
#[must_use]
pub fn ipv6(src: u128, dst: u128, proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
    header.extend_from_slice(&[proto, 64]);
    header.extend_from_slice(&src.to_be_bytes());
    header.extend_from_slice(&dst.to_be_bytes());
    header.extend_from_slice(payload);
    header
}

/// An ICMP echo request (type 8) or reply (type 0) with its checksum.
#[must_use]
pub fn icmp_echo(reply: bool, id: u16, seq: u16, data: &[u8]) -> Vec<u8> {
    let mut body = vec![if reply { 0 } else { 8 }, 0, 0, 0];
    body.extend_from_slice(&id.to_be_bytes());
    body.extend_from_slice(&seq.to_be_bytes());
    body.extend_from_slice(data);
    let sum = checksum::checksum(&body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    body
}

/// A UDP header and payload with a zero checksum.
#[must_use]
pub fn udp(src: u16, dst: u16, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(8 + data.len());
    body.extend_from_slice(&src.to_be_bytes());
    body.extend_from_slice(&dst.to_be_bytes());
    body.extend_from_slice(&u16::try_from(8 + data.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(data);
    body
}

/// A TCP header without options, and payload, with a zero checksum.
#[must_use]
pub fn tcp(src: u16, dst: u16, seq: u32, ack: u32, flags: u16, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(20 + data.len());
    body.extend_from_slice(&src.to_be_bytes());
    body.extend_from_slice(&dst.to_be_bytes());
    body.extend_from_slice(&seq.to_be_bytes());
    body.extend_from_slice(&ack.to_be_bytes());
    body.extend_from_slice(&(0x5000 | (flags & 0xfff)).to_be_bytes());
    body.extend_from_slice(&[0xff, 0xff, 0, 0, 0, 0]);
    body.extend_from_slice(data);
    body
}

/// A UDP datagram over IPv4 over Ethernet, with checksums.
#[must_use]
pub fn udp4(dst_mac: [u8; 6], src_mac: [u8; 6], src: u32, dst: u32, sport: u16, dport: u16, data: &[u8]) -> Vec<u8> {
    let mut body = udp(sport, dport, data);
    transport_checksum(&mut body, 6, checksum::pseudo_ipv4(src, dst, ip_proto::UDP, 8 + data.len() as u32));
    ethernet(dst_mac, src_mac, ethertype::IPV4, &ipv4(src, dst, ip_proto::UDP, &body))
}

/// An empty TCP segment over IPv4 over Ethernet, with checksums.
#[must_use]
pub fn tcp4(dst_mac: [u8; 6], src_mac: [u8; 6], src: u32, dst: u32, sport: u16, dport: u16, flags: u16) -> Vec<u8> {
    let mut body = tcp(sport, dport, 1, 0, flags, &[]);
    transport_checksum(&mut body, 16, checksum::pseudo_ipv4(src, dst, ip_proto::TCP, 20));
    ethernet(dst_mac, src_mac, ethertype::IPV4, &ipv4(src, dst, ip_proto::TCP, &body))
}

fn transport_checksum(body: &mut [u8], at: usize, pseudo: u64) {
    let value = match !checksum::fold(pseudo + checksum::sum(body)) {
        0 => 0xffff,
        other => other,
    };
    body[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
