//! Cuts a byte stream into OpenFlow messages (OpenFlow 1.3.5 §A.1: version, type, length, xid).

/// The length of the OpenFlow header, in bytes.
pub const HEADER_LEN: usize = 8;

/// What is wrong with a stream that no message can be cut from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadLength {
    /// The length that the header announced, in bytes.
    pub length: u16,
}

impl std::fmt::Display for BadLength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "received too-short ofp_header ({} bytes)", self.length)
    }
}

impl std::error::Error for BadLength {}

/// Collects bytes and yields whole messages, header included.
#[derive(Default, Debug)]
pub struct Framer {
    buf: Vec<u8>,
    start: usize,
}

impl Framer {
    /// An empty framer.
    pub fn new() -> Self {
        Framer::default()
    }

    /// Takes bytes from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buf.len() {
            self.buf.clear();
            self.start = 0;
        } else if self.start > 1 << 16 {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// The next whole message, or `None` if more bytes are needed. After an error the stream cannot be used on.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, BadLength> {
        let rest = &self.buf[self.start..];
        if rest.len() < HEADER_LEN {
            return Ok(None);
        }
        let length = u16::from_be_bytes([rest[2], rest[3]]);
        if usize::from(length) < HEADER_LEN {
            return Err(BadLength { length });
        }
        if rest.len() < usize::from(length) {
            return Ok(None);
        }
        let begin = self.start;
        self.start += usize::from(length);
        Ok(Some(&self.buf[begin..self.start]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chunks: &[&[u8]], expect: &[usize]) {
        let mut f = Framer::new();
        let mut got = vec![];
        for c in chunks {
            f.push(c);
            while let Some(m) = f.next_message().unwrap() {
                got.push(m.len());
            }
        }
        assert_eq!(got, expect);
    }

    #[test]
    fn frames() {
        check(&[&[4, 0, 0, 8, 0, 0, 0, 1]], &[8]);
        check(&[&[4, 0, 0, 8, 0, 0], &[0, 1, 4, 2, 0, 9, 0, 0, 0, 0, 7]], &[8, 9]);
        check(&[&[4, 0, 0, 8, 0, 0, 0, 1, 4, 0, 0, 8, 0, 0, 0, 1, 4]], &[8, 8]);
        check(&[&[], &[4]], &[]);
    }

    #[test]
    fn a_length_below_the_header_is_refused() {
        let mut f = Framer::new();
        f.push(&[1, 0, 0, 7, 0, 0, 0, 0]);
        assert_eq!(f.next_message(), Err(BadLength { length: 7 }));
    }
}
