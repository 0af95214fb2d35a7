//! Where the 64 tunnel metadata fields live in the flow key.
//!
//! The key has one word of presence bits (bit N set: `tun_metadataN` is there) and 256 bytes for the values. A
//! [`TunAlloc`] says which of the bytes a field has: the switch's table of tunnel options gives one, and a match that
//! was parsed without such a table carries its own.

use crate::key::{FlowKey, WORDS};

/// Word of presence bits.
pub const TUN_MD_PRESENT: usize = 58;
/// First word of the value area.
pub const TUN_MD_WORD: usize = 59;
/// Bytes in the value area.
pub const TUN_MD_SPACE: usize = 256;

const _: () = assert!(TUN_MD_WORD + TUN_MD_SPACE / 8 <= WORDS);

/// Place of one tunnel metadata field in the value area, in bytes. `len` 0 means: no place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct TunSlot {
    /// First byte.
    pub ofs: u8,
    /// Number of bytes, 0 to 124.
    pub len: u8,
    /// Whether the match was written with a mask (kept for printing).
    pub masked: bool,
}

/// Places of the 64 fields.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TunAlloc {
    slots: [TunSlot; 64],
    used: u16,
}

impl Default for TunAlloc {
    fn default() -> TunAlloc {
        TunAlloc { slots: [TunSlot::default(); 64], used: 0 }
    }
}

impl TunAlloc {
    /// The place of `tun_metadataN`, if it has one.
    pub fn slot(&self, n: u8) -> Option<TunSlot> {
        self.slots.get(usize::from(n)).copied().filter(|s| s.len > 0)
    }

    /// Gives `tun_metadataN` a place of `len` bytes (1 to 124), or a larger one than it has. `None` when the area is full.
    pub fn allocate(&mut self, n: u8, len: u8) -> Option<TunSlot> {
        let old = *self.slots.get(usize::from(n))?;
        if old.len >= len {
            return Some(old);
        }
        if len > 124 || usize::from(self.used) + usize::from(len) > TUN_MD_SPACE {
            return None;
        }
        let slot = TunSlot { ofs: self.used as u8, len, masked: false };
        self.used += u16::from(len);
        self.slots[usize::from(n)] = slot;
        Some(slot)
    }

    /// Notes whether `tun_metadataN` was written with a mask.
    pub fn set_masked(&mut self, n: u8, masked: bool) {
        if let Some(s) = self.slots.get_mut(usize::from(n)) {
            s.masked = masked;
        }
    }

    /// Removes every place.
    pub fn clear(&mut self) {
        *self = TunAlloc::default();
    }
}

impl FlowKey {
    /// One byte of the tunnel metadata area; 0 outside it.
    pub fn tun_md_byte(&self, i: usize) -> u8 {
        if i < TUN_MD_SPACE { (self.word(TUN_MD_WORD + i / 8) >> (56 - 8 * (i % 8))) as u8 } else { 0 }
    }

    /// Sets one byte of the tunnel metadata area; nothing outside it.
    pub fn set_tun_md_byte(&mut self, i: usize, b: u8) {
        if i < TUN_MD_SPACE {
            let (w, shift) = (TUN_MD_WORD + i / 8, 56 - 8 * (i % 8));
            self.set_word(w, self.word(w) & !(0xff << shift) | u64::from(b) << shift);
        }
    }

    /// Presence bits of the tunnel metadata fields.
    pub fn tun_md_present(&self) -> u64 {
        self.word(TUN_MD_PRESENT)
    }

    /// Sets the presence bits.
    pub fn set_tun_md_present(&mut self, bits: u64) {
        self.set_word(TUN_MD_PRESENT, bits);
    }

    /// Copies a field's bytes out of its place; the result has `slot.len` bytes.
    pub fn tun_md_value(&self, slot: TunSlot) -> Vec<u8> {
        (0..usize::from(slot.len)).map(|i| self.tun_md_byte(usize::from(slot.ofs) + i)).collect()
    }

    /// Writes `value` (right-justified) into a field's place.
    pub fn set_tun_md_value(&mut self, slot: TunSlot, value: &[u8]) {
        let len = usize::from(slot.len);
        for i in 0..len {
            let from_end = len - i;
            let b = value.len().checked_sub(from_end).map_or(0, |at| value[at]);
            self.set_tun_md_byte(usize::from(slot.ofs) + i, b);
        }
    }
}
