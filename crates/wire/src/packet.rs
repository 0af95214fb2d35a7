//! A packet on its way through the switch: bytes with room in front, and what is known of its checksums.

/// Bytes kept free in front of a received packet, for tags and headers to be pushed.
pub const HEADROOM: usize = 128;

/// What is known of the transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing is known: the checksum in the packet is complete, right or wrong.
    #[default]
    Unknown,
    /// A device has checked it.
    Good,
    /// The checksum field holds the folded pseudo-header sum only. Whoever sends the packet on a wire sums from
    /// `start` to the end and stores the complement at `start + offset`. Bytes from the start of the packet.
    Partial {
        /// Where the sum begins.
        start: u16,
        /// Where the checksum field lies, from `start`.
        offset: u16,
    },
}

/// How a packet larger than the MTU is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// One UDP datagram to be cut into IP fragments.
    UdpFragment,
    /// Several UDP datagrams of the same size.
    Udp,
}

/// Segmentation that is still to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Which protocol to cut.
    pub kind: GsoKind,
    /// The sender negotiated ECN: the CWR flag goes to the first segment only.
    pub ecn: bool,
    /// Payload bytes per segment, not 0.
    pub size: u16,
    /// Bytes of headers to repeat in each segment (a hint: may be 0).
    pub header_len: u16,
}

/// A packet with headroom and offload metadata. The buffer is reusable: [`PacketBuf::reset`].
#[derive(Clone, Debug, Default)]
pub struct PacketBuf {
    // All of it is initialized, so that a device may be handed the spare part as a plain slice.
    storage: Vec<u8>,
    start: usize,
    end: usize,
    /// State of the transport checksum.
    pub checksum: Checksum,
    /// Segmentation that the output has to do.
    pub gso: Option<Gso>,
}

impl PacketBuf {
    /// An empty packet that has room for `room` bytes behind [`HEADROOM`].
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        PacketBuf {
            storage: vec![0; HEADROOM + room],
            start: HEADROOM,
            end: HEADROOM,
            checksum: Checksum::Unknown,
            gso: None,
        }
    }

    /// A copy of `bytes` with headroom.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut packet = PacketBuf { storage: Vec::with_capacity(HEADROOM + bytes.len()), ..PacketBuf::default() };
        packet.storage.resize(HEADROOM, 0);
        packet.storage.extend_from_slice(bytes);
        packet.start = HEADROOM;
        packet.end = packet.storage.len();
        packet
    }

    /// The bytes from the first header on.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// The same, to be changed in place.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.end]
    }

    /// Length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether it has no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Bytes that fit behind the headroom.
    #[must_use]
    #[inline]
    pub fn room(&self) -> usize {
        self.storage.len().saturating_sub(HEADROOM)
    }

    /// Forgets the contents and puts the headroom back.
    #[inline]
    pub fn reset(&mut self) {
        if self.storage.len() < HEADROOM {
            self.storage.resize(HEADROOM, 0);
        }
        self.start = HEADROOM;
        self.end = HEADROOM;
        self.checksum = Checksum::Unknown;
        self.gso = None;
    }

    /// The spare part behind the headroom, for a device to write into; then call [`PacketBuf::set_len`].
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..]
    }

    /// Declares the first `len` bytes after the start to be the packet; at most what there is room for.
    #[inline]
    pub fn set_len(&mut self, len: usize) {
        self.end = (self.start + len).min(self.storage.len());
    }

    /// Replaces the contents by a copy of `bytes`, keeping the buffer.
    #[inline]
    pub fn assign(&mut self, bytes: &[u8]) {
        self.reset();
        self.append(bytes);
    }

    /// Appends `bytes`.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if end > self.storage.len() {
            self.storage.resize(end, 0);
        }
        self.storage[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    /// Cuts the packet to at most `len` bytes. Cut packets lose pending segmentation, which no longer means anything.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.end = self.start + len;
            self.gso = None;
            self.checksum = Checksum::Unknown;
        }
    }

    /// Opens a gap of `n` zero bytes at offset `at`, moving the bytes before it forward into the headroom.
    /// `at` beyond the end counts as the end.
    pub fn insert_gap(&mut self, at: usize, n: usize) {
        let at = at.min(self.len());
        if self.start < n {
            let mut grown = vec![0; HEADROOM + n];
            grown.extend_from_slice(self.bytes());
            self.start = HEADROOM + n;
            self.end = grown.len();
            self.storage = grown;
        }
        let old = self.start;
        self.start -= n;
        self.storage.copy_within(old..old + at, self.start);
        self.storage[self.start + at..self.start + at + n].fill(0);
        self.shift_offload(at, n as isize);
    }

    /// Removes `n` bytes at offset `at` by moving what is in front of them back. Out of range: removes what there is.
    pub fn remove(&mut self, at: usize, n: usize) {
        let at = at.min(self.len());
        let n = n.min(self.len() - at);
        self.storage.copy_within(self.start..self.start + at, self.start + n);
        self.start += n;
        self.shift_offload(at, -(n as isize));
    }

    fn shift_offload(&mut self, at: usize, by: isize) {
        let moved = |v: u16| u16::try_from(v as isize + by).unwrap_or(0);
        if let Checksum::Partial { start, offset } = self.checksum
            && usize::from(start) >= at
        {
            self.checksum = Checksum::Partial { start: moved(start), offset };
        }
        if let Some(gso) = &mut self.gso
            && gso.header_len != 0
        {
            gso.header_len = moved(gso.header_len);
        }
    }

    /// Computes a checksum that was left to the output, in place.
    pub fn complete_checksum(&mut self) {
        let Checksum::Partial { start, offset } = self.checksum else { return };
        self.checksum = Checksum::Unknown;
        let (start, offset) = (usize::from(start), usize::from(offset));
        let bytes = self.bytes_mut();
        if start + offset + 2 > bytes.len() {
            return;
        }
        let mut value = crate::checksum::checksum(&bytes[start..]);
        // RFC 768: a computed zero is sent as all ones. It means the same to TCP.
        if value == 0 {
            value = 0xffff;
        }
        bytes[start + offset..start + offset + 2].copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gap_and_remove_are_inverse() {
        let mut p = PacketBuf::from_bytes(&[1, 2, 3, 4, 5, 6]);
        p.checksum = Checksum::Partial { start: 4, offset: 0 };
        p.insert_gap(2, 4);
        assert_eq!(p.bytes(), &[1, 2, 0, 0, 0, 0, 3, 4, 5, 6]);
        assert_eq!(p.checksum, Checksum::Partial { start: 8, offset: 0 });
        p.remove(2, 4);
        assert_eq!(p.bytes(), &[1, 2, 3, 4, 5, 6]);
        assert_eq!(p.checksum, Checksum::Partial { start: 4, offset: 0 });
    }

    #[test]
    fn gap_larger_than_headroom_grows() {
        let mut p = PacketBuf::from_bytes(&[7; 20]);
        for _ in 0..10 {
            p.insert_gap(0, 50);
        }
        assert_eq!(p.len(), 520);
        assert_eq!(&p.bytes()[500..], &[7; 20]);
    }
}
