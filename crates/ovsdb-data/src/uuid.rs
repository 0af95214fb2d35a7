//! Row identifiers, and a generator that the caller seeds.

use std::fmt;

/// A 128-bit UUID in network byte order; the order of values is the order of their text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// The all-zeros UUID, the default of UUID columns.
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// A UUID of these bytes, taken as they are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Uuid {
        Uuid(bytes)
    }

    /// The bytes in network order.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A version 4 UUID made of 128 random bits, six of which are overwritten (RFC 4122 §4.4).
    pub fn from_random(mut bytes: [u8; 16]) -> Uuid {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uuid(bytes)
    }

    /// True for the all-zeros UUID.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 16]
    }

    /// Parses the 36-character form, digits of either case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Uuid> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return None;
        }
        let mut bytes = [0u8; 16];
        let mut at = 0;
        for (n, byte) in bytes.iter_mut().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                if text[at] != b'-' {
                    return None;
                }
                at += 1;
            }
            let high = (text[at] as char).to_digit(16)?;
            let low = (text[at + 1] as char).to_digit(16)?;
            *byte = (high << 4 | low) as u8;
            at += 2;
        }
        Some(Uuid(bytes))
    }

    /// The 36 lower-case characters of the text form.
    pub fn to_ascii(self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut out = [b'-'; 36];
        let mut at = 0;
        for (n, byte) in self.0.iter().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                at += 1;
            }
            out[at] = HEX[usize::from(byte >> 4)];
            out[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        out
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ascii = self.to_ascii();
        f.pad(std::str::from_utf8(&ascii).unwrap_or_default())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes version 4 UUIDs out of a 256-bit seed (xoshiro256**): unique as long as seeds are, not secret.
#[derive(Clone, Debug)]
pub struct UuidSource {
    state: [u64; 4],
}

impl UuidSource {
    /// A source for this seed, which should come from the operating system's random numbers.
    pub fn new(seed: [u8; 32]) -> UuidSource {
        let mut state = [0u64; 4];
        for (word, bytes) in state.iter_mut().zip(seed.chunks_exact(8)) {
            let mut b = [0u8; 8];
            b.copy_from_slice(bytes);
            *word = u64::from_le_bytes(b);
        }
        if state == [0; 4] {
            state[0] = 1;
        }
        UuidSource { state }
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// The next UUID.
    pub fn next_uuid(&mut self) -> Uuid {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes());
        Uuid::from_random(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        let mut source = UuidSource::new([7; 32]);
        for _ in 0..100 {
            let uuid = source.next_uuid();
            assert_eq!(Uuid::parse(&uuid.to_string()), Some(uuid));
        }
    }

    #[test]
    fn refuses_what_is_not_a_uuid() {
        for bad in [
            "",
            "1111",
            "11111111-1111-1111-1111-11111111111",
            "11111111+1111-1111-1111-111111111111",
            "1111111g-1111-1111-1111-111111111111",
            "11111111-1111-1111-1111-1111111111111",
            "111111111111-1111-1111-111111111111é",
        ] {
            assert_eq!(Uuid::parse(bad), None, "{bad}");
        }
    }
}
