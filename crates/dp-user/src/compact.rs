//! The short key: all fields of the packets that most traffic consists of, in one cache line.
//!
//! A packet is *plain* if it is Ethernet with at most one VLAN tag, IPv4 without options and not a fragment, and TCP, UDP or
//! ICMP, all there and undamaged. Every word of its [`FlowKey`] that is not in [`PLACES`] is zero, so that the eight words
//! say everything. Other packets go the general way, with a whole key.

use flow::FlowKey;
use flow::key::VLAN_CFI;

/// Words of a short key.
pub(crate) const LEN: usize = 8;
/// Which words of a [`FlowKey`] they are.
pub(crate) const PLACES: [usize; LEN] = [26, 39, 40, 41, 44, 49, 52, 57];

/// A short key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
pub(crate) struct Compact(pub [u64; LEN]);

#[inline(always)]
fn be16(b: &[u8], at: usize) -> u64 {
    u64::from(u16::from_be_bytes([b[at], b[at + 1]]))
}

#[inline(always)]
fn be32(b: &[u8], at: usize) -> u64 {
    u64::from(u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]))
}

#[inline(always)]
fn be64(b: &[u8], at: usize) -> u64 {
    u64::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4], b[at + 5], b[at + 6], b[at + 7]])
}

const ETHERNET: usize = 14;
/// Ethernet, IPv4 and the ports.
const LEAST: usize = ETHERNET + 28;

/// Reads a plain packet's key, without the input port; false if it is not plain.
#[inline(always)]
pub(crate) fn read(packet: &[u8], key: &mut Compact) -> bool {
    let Some(h) = packet.first_chunk::<LEAST>() else { return false };
    let (dst, src) = (be64(h, 0), be64(h, 6));
    let k = &mut key.0;
    k[2] = src & !0xffff;
    if src as u16 != 0x0800 {
        return tagged(packet, key);
    }
    k[1] = dst & !0xffff | 0x0800;
    k[3] = 0;
    ip(packet.len() - ETHERNET, &h[ETHERNET..], packet.get(ETHERNET..ETHERNET + 34), key)
}

#[inline(never)]
fn tagged(packet: &[u8], key: &mut Compact) -> bool {
    let Some(h) = packet.first_chunk::<{ LEAST + 4 }>() else { return false };
    let tpid = be16(h, 12);
    if (tpid != 0x8100 && tpid != 0x88a8) || be16(h, 16) != 0x0800 {
        return false;
    }
    key.0[1] = be64(h, 0) & !0xffff | 0x0800;
    key.0[3] = tpid << 48 | (be16(h, 14) | u64::from(VLAN_CFI)) << 32;
    ip(packet.len() - ETHERNET - 4, &h[ETHERNET + 4..], packet.get(ETHERNET + 4..ETHERNET + 38), key)
}

/// `left`: bytes from the IPv4 header on; `h`: the first 28 of them; `to_flags`: the first 34, if there are so many.
#[inline(always)]
fn ip(left: usize, h: &[u8], to_flags: Option<&[u8]>, key: &mut Compact) -> bool {
    let first = be64(h, 0);
    let total = (first >> 32 & 0xffff) as usize;
    // Version 4 and five words; neither a fragment nor followed by one; as long as it says, but for padding.
    if first >> 56 != 0x45 || first & 0x3fff != 0 || total > left || left - total > 255 || total < 28 {
        return false;
    }
    let (ttl, proto) = (u64::from(h[8]), h[9]);
    let k = &mut key.0;
    k[4] = be64(h, 12);
    k[5] = u64::from(proto) << 24 | (first >> 48 & 0xff) << 16 | ttl << 8;
    match proto {
        17 => {
            k[6] = 0;
            k[7] = be32(h, 20) << 32;
        }
        6 => {
            let Some(t) = to_flags else { return false };
            // The segment's own header is all there (RFC 9293 §3.1).
            let offset = be16(t, 32);
            let header = (offset >> 12) as usize * 4;
            if total < 40 || header < 20 || header > total - 20 {
                return false;
            }
            k[6] = offset & 0x0fff;
            k[7] = be32(h, 20) << 32;
        }
        1 => {
            k[6] = 0;
            k[7] = u64::from(h[20]) << 48 | u64::from(h[21]) << 32;
        }
        _ => return false,
    }
    true
}

impl Compact {
    /// The whole key.
    pub fn expand(&self) -> FlowKey {
        let mut key = FlowKey::ZERO;
        for (place, word) in PLACES.iter().zip(self.0) {
            key.set_word(*place, word);
        }
        key
    }

    /// TCP flags; 0 for other protocols.
    #[inline(always)]
    pub fn tcp_flags(&self) -> u16 {
        self.0[6] as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::build;

    #[track_caller]
    fn check(packet: &[u8], plain: bool) {
        let mut key = Compact::default();
        assert_eq!(read(packet, &mut key), plain, "{packet:02x?}");
        if plain {
            assert_eq!(key.expand(), flow::extract(packet, &flow::Metadata::default()));
        }
    }

    #[test]
    fn same_as_the_whole_key() {
        let udp = build::udp4([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], 0x0102_0304, 0x0506_0708, 9, 10, b"hello");
        let tcp = build::tcp4([1; 6], [2; 6], 1, 2, 3, 4, 0x12);
        for packet in [&udp, &tcp] {
            check(packet, true);
            check(&build::tagged(packet, 0x8100, 0x2005), true);
            check(&build::tagged(&build::tagged(packet, 0x8100, 5), 0x88a8, 6), false);
            let mut padded = packet.clone();
            padded.extend([0; 20]);
            check(&padded, true);
            for len in 0..packet.len() {
                check(&packet[..len], false);
            }
        }
        let mut fragment = udp.clone();
        fragment[20] = 0x20;
        check(&fragment, false);
        let mut options = udp;
        options[14] = 0x46;
        check(&options, false);
    }

    #[test]
    fn damaged_packets_agree_or_are_not_plain() {
        let udp = build::udp4([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], 0x0102_0304, 0x0506_0708, 9, 10, b"hello you");
        let tcp = build::tcp4([1; 6], [2; 6], 1, 2, 3, 4, 0x12);
        for packet in [udp.clone(), tcp, build::tagged(&udp, 0x8100, 1)] {
            for at in 0..packet.len() {
                for value in [0, 1, 6, 17, 0x45, 0x46, 0x7f, 0x81, 0xff] {
                    let mut p = packet.clone();
                    p[at] = value;
                    let mut key = Compact::default();
                    if read(&p, &mut key) {
                        assert_eq!(key.expand(), flow::extract(&p, &flow::Metadata::default()), "{at} {value}");
                    }
                }
            }
        }
    }
}
