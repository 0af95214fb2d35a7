//! Attributes: type, length and value, one after another, each beginning at a multiple of four bytes.

use std::fmt;

/// Bytes that are not what they should be; says what was being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed netlink {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Bits of an attribute's type that tell of its form and not of its meaning.
const FORM_BITS: u16 = 0xc000;
/// Set for attributes that hold attributes.
pub const NESTED: u16 = 0x8000;

/// The attributes of a message or of an attribute, in order. An item is a type without its form bits and a value.
#[derive(Clone, Copy, Debug)]
pub struct Attrs<'a>(pub &'a [u8]);

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let found = (|| {
            let len = usize::from(u16::from_ne_bytes(*self.0.first_chunk::<2>()?));
            let kind = u16::from_ne_bytes(*self.0.get(2..)?.first_chunk::<2>()?);
            let value = self.0.get(4..len)?;
            Some((len, kind & !FORM_BITS, value))
        })();
        let Some((len, kind, value)) = found else {
            self.0 = &[];
            return Some(Err(Malformed("attribute length")));
        };
        // The last attribute may lack its padding.
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Ok((kind, value)))
    }
}

impl<'a> Attrs<'a> {
    /// The first attribute of a type.
    ///
    /// # Errors
    /// If the attributes before it are malformed.
    pub fn find(self, kind: u16) -> Result<Option<&'a [u8]>, Malformed> {
        for a in self {
            let (k, value) = a?;
            if k == kind {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

macro_rules! integers {
    ($($name:ident $be:ident $t:ty, $n:literal;)*) => {$(
        #[doc = concat!("An integer of just ", $n, " bytes, in the machine's byte order.")]
        ///
        /// # Errors
        /// If the value has another length.
        pub fn $name(value: &[u8]) -> Result<$t, Malformed> {
            value.try_into().map(<$t>::from_ne_bytes).map_err(|_| Malformed("integer"))
        }

        #[doc = concat!("An integer of just ", $n, " bytes, in network byte order.")]
        ///
        /// # Errors
        /// If the value has another length.
        pub fn $be(value: &[u8]) -> Result<$t, Malformed> {
            value.try_into().map(<$t>::from_be_bytes).map_err(|_| Malformed("integer"))
        }
    )*};
}
integers! { u8_of be8_of u8, 1; u16_of be16_of u16, 2; u32_of be32_of u32, 4; u64_of be64_of u64, 8; u128_of be128_of u128, 16; }

/// A string that ends with a zero byte.
///
/// # Errors
/// If it is not UTF-8 or does not end so.
pub fn string_of(value: &[u8]) -> Result<String, Malformed> {
    let (last, text) = value.split_last().ok_or(Malformed("string"))?;
    if *last != 0 || text.contains(&0) {
        return Err(Malformed("string"));
    }
    String::from_utf8(text.to_vec()).map_err(|_| Malformed("string"))
}

/// Several integers of four bytes.
///
/// # Errors
/// If the length is no multiple of four.
pub fn u32s_of(value: &[u8]) -> Result<Vec<u32>, Malformed> {
    if !value.len().is_multiple_of(4) {
        return Err(Malformed("array"));
    }
    Ok(value.chunks_exact(4).filter_map(|c| c.try_into().ok().map(u32::from_ne_bytes)).collect())
}

/// Writes attributes. A value longer than 65,531 bytes is left out and noted: [`Writer::overflowed`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl Writer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Whether something was too long to be written.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// What was written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, to keep.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends bytes that are not an attribute (a header).
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// An attribute.
    pub fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let Ok(len) = u16::try_from(value.len() + 4) else {
            self.overflowed = true;
            return self;
        };
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// An attribute without a value.
    pub fn flag(&mut self, kind: u16) -> &mut Self {
        self.put(kind, &[])
    }

    /// A byte.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.put(kind, &[value])
    }

    /// Two bytes in the machine's order.
    pub fn u16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Four bytes in the machine's order.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Two bytes in network order.
    pub fn be16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// A string with a zero byte at its end.
    pub fn string(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.put(kind, &bytes)
    }

    /// Integers one behind the other.
    pub fn u32s(&mut self, kind: u16, values: &[u32]) -> &mut Self {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
        self.put(kind, &bytes)
    }

    /// An attribute that holds attributes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.put(kind, &[]);
        fill(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(len) => self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes()),
            Err(_) => {
                self.bytes.truncate(start);
                self.overflowed = true;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(bytes: &[u8], expect: &[Option<(u16, usize)>]) {
        let got: Vec<_> = Attrs(bytes).map(|a| a.ok().map(|(k, v)| (k, v.len()))).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn lengths_are_strict() {
        check(&[], &[]);
        check(&[4, 0, 7, 0], &[Some((7, 0))]);
        check(&[5, 0, 7, 0, 1], &[Some((7, 1))]);
        check(&[5, 0, 7, 0, 1, 0, 0, 0, 4, 0, 8, 0x80], &[Some((7, 1)), Some((8, 0))]);
        check(&[3, 0, 7, 0], &[None]);
        check(&[9, 0, 7, 0, 1, 2, 3, 4], &[None]);
        check(&[4, 0, 7], &[None]);
        check(&[4, 0, 7, 0, 1], &[Some((7, 0)), None]);
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let mut w = Writer::new();
        w.put(1, &vec![0; 65_532]).nest(2, |w| {
            w.put(3, &vec![0; 60_000]).put(4, &vec![0; 60_000]);
        });
        assert!(w.overflowed() && w.bytes().is_empty());
    }

    proptest! {
        #[test]
        fn round_trip(list in proptest::collection::vec((0u16..0x4000, proptest::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let mut w = Writer::new();
            list.iter().for_each(|(k, v)| { w.put(*k, v); });
            let got: Result<Vec<_>, _> = Attrs(w.bytes()).map(|a| a.map(|(k, v)| (k, v.to_vec()))).collect();
            prop_assert_eq!(got, Ok(list));
        }

        #[test]
        fn anything_ends(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Attrs(&bytes).count() <= bytes.len() / 4 + 1);
        }
    }
}
