//! Reading and writing big-endian numbers.

use crate::error::Error;

/// A cursor over received bytes. Every read is checked; running out gives the error that the reader was made with.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    data: &'a [u8],
    short: Error,
}

macro_rules! read_number {
    ($name:ident, $t:ty) => {
        /// Reads a number.
        #[inline]
        pub fn $name(&mut self) -> Result<$t, Error> {
            self.array().map(<$t>::from_be_bytes)
        }
    };
}

impl<'a> Reader<'a> {
    /// Reads `data`; running out is `OFPBRC_BAD_LEN`.
    pub const fn new(data: &'a [u8]) -> Reader<'a> {
        Reader { data, short: Error::BadRequestBadLen }
    }

    /// Reads `data`; running out is `short`.
    pub const fn with_error(data: &'a [u8], short: Error) -> Reader<'a> {
        Reader { data, short }
    }

    /// Bytes left.
    pub const fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// What is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.data
    }

    /// The next `n` bytes.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        match self.data.split_at_checked(n) {
            Some((head, tail)) => {
                self.data = tail;
                Ok(head)
            }
            None => Err(self.short),
        }
    }

    /// A reader of the next `n` bytes.
    pub fn sub(&mut self, n: usize) -> Result<Reader<'a>, Error> {
        let short = self.short;
        self.take(n).map(|data| Reader { data, short })
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.data.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.data = tail;
                Ok(*head)
            }
            None => Err(self.short),
        }
    }

    /// Leaves out `n` bytes.
    #[inline]
    pub fn skip(&mut self, n: usize) -> Result<(), Error> {
        self.take(n).map(|_| ())
    }

    /// Leaves out up to `n` bytes.
    pub fn skip_up_to(&mut self, n: usize) {
        self.data = self.data.get(n..).unwrap_or(&[]);
    }

    read_number!(u8, u8);
    read_number!(u16, u16);
    read_number!(u32, u32);
    read_number!(u64, u64);
    read_number!(u128, u128);
}

/// Next multiple of 8.
pub const fn round8(n: usize) -> usize {
    n.div_ceil(8) * 8
}

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == 0)
}

/// A string in a fixed field: up to the first zero byte; bytes that are not UTF-8 are replaced.
pub fn fixed_string(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes)).into_owned()
}

/// Appending to a message.
pub trait Put {
    /// Appends a byte.
    fn put8(&mut self, n: u8);
    /// Appends 16 bits.
    fn put16(&mut self, n: u16);
    /// Appends 32 bits.
    fn put32(&mut self, n: u32);
    /// Appends 64 bits.
    fn put64(&mut self, n: u64);
    /// Appends `n` zero bytes.
    fn zeros(&mut self, n: usize);
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);
    /// Appends a string in a field of `n` bytes, at least one zero byte at the end.
    fn fixed(&mut self, s: &str, n: usize);
    /// Appends zero bytes until the length since `start` is a multiple of 8.
    fn pad8(&mut self, start: usize);
    /// Overwrites 16 bits; nothing past the end.
    fn set16(&mut self, at: usize, n: u16);
}

impl Put for Vec<u8> {
    fn put8(&mut self, n: u8) {
        self.push(n);
    }
    fn put16(&mut self, n: u16) {
        self.extend_from_slice(&n.to_be_bytes());
    }
    fn put32(&mut self, n: u32) {
        self.extend_from_slice(&n.to_be_bytes());
    }
    fn put64(&mut self, n: u64) {
        self.extend_from_slice(&n.to_be_bytes());
    }
    fn zeros(&mut self, n: usize) {
        self.resize(self.len() + n, 0);
    }
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
    fn fixed(&mut self, s: &str, n: usize) {
        let bytes = s.as_bytes();
        let take = bytes.len().min(n.saturating_sub(1));
        self.extend_from_slice(bytes.get(..take).unwrap_or(&[]));
        self.zeros(n - take);
    }
    fn pad8(&mut self, start: usize) {
        let len = self.len().saturating_sub(start);
        self.zeros(round8(len) - len);
    }
    fn set16(&mut self, at: usize, n: u16) {
        if let Some(slot) = self.get_mut(at..at + 2) {
            slot.copy_from_slice(&n.to_be_bytes());
        }
    }
}
