//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

/// A 48-bit Ethernet (MAC) address, in the order of the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EthAddr(pub [u8; 6]);

impl EthAddr {
    /// 00:00:00:00:00:00.
    pub const ZERO: EthAddr = EthAddr([0; 6]);
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: EthAddr = EthAddr([0xff; 6]);

    /// The address in the low 48 bits; higher bits are dropped.
    pub const fn from_u64(x: u64) -> EthAddr {
        let b = x.to_be_bytes();
        EthAddr([b[2], b[3], b[4], b[5], b[6], b[7]])
    }

    /// The address in the low 48 bits of a word.
    pub const fn to_u64(self) -> u64 {
        let b = self.0;
        u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]])
    }

    /// Group bit (IEEE 802.3 §3.2.3): multicast or broadcast.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether all bits are set.
    pub const fn is_broadcast(self) -> bool {
        self.to_u64() == 0xffff_ffff_ffff
    }

    /// Whether all bits are clear.
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }
}

impl fmt::Display for EthAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b':'; 17];
        for (i, b) in self.0.iter().enumerate() {
            text[3 * i] = HEX[usize::from(b >> 4)];
            text[3 * i + 1] = HEX[usize::from(b & 15)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for EthAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six groups of one or two hexadecimal digits joined with colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEthAddr;

impl fmt::Display for BadEthAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid Ethernet address")
    }
}

impl std::error::Error for BadEthAddr {}

impl FromStr for EthAddr {
    type Err = BadEthAddr;

    fn from_str(s: &str) -> Result<EthAddr, BadEthAddr> {
        let mut out = [0u8; 6];
        let mut groups = s.split(':');
        for byte in &mut out {
            let group = groups.next().ok_or(BadEthAddr)?;
            if group.is_empty() || group.len() > 2 || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(BadEthAddr);
            }
            *byte = u8::from_str_radix(group, 16).map_err(|_| BadEthAddr)?;
        }
        if groups.next().is_some() {
            return Err(BadEthAddr);
        }
        Ok(EthAddr(out))
    }
}
