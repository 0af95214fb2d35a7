//! The signature cache: from the hash of a packet's key to the numbers of flows that may be its own.

/// Places of a bucket: a cache line.
const PLACES: usize = 8;
const BUCKETS: usize = 1 << 15;

/// Tags and flows side by side, so that all tags are compared at once.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u32; PLACES],
    /// Number of the flow, plus 1; 0: nothing.
    flows: [u32; PLACES],
}

/// See the module's description.
pub(crate) struct Signatures {
    buckets: Box<[Bucket]>,
    /// Whether lookups use it.
    pub on: bool,
}

impl Default for Signatures {
    fn default() -> Self {
        let empty = Bucket { tags: [0; PLACES], flows: [0; PLACES] };
        Signatures { buckets: vec![empty; BUCKETS].into(), on: true }
    }
}

impl Bucket {
    /// Bit N: place N has the tag.
    #[inline(always)]
    #[cfg(target_arch = "x86_64")]
    fn with_tag(&self, tag: u32) -> u32 {
        use std::arch::x86_64::{
            _mm_cmpeq_epi32, _mm_load_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi32,
            _mm_setzero_si128,
        };
        let at = self.tags.as_ptr();
        // SAFETY: SSE2 is part of x86-64; both loads lie in `tags`, which begins a 64-byte aligned line.
        unsafe {
            let wanted = _mm_set1_epi32(tag.cast_signed());
            let low = _mm_cmpeq_epi32(_mm_load_si128(at.cast()), wanted);
            let high = _mm_cmpeq_epi32(_mm_load_si128(at.add(4).cast()), wanted);
            let words = _mm_packs_epi32(low, high);
            _mm_movemask_epi8(_mm_packs_epi16(words, _mm_setzero_si128())).cast_unsigned()
        }
    }

    #[inline(always)]
    #[cfg(not(target_arch = "x86_64"))]
    fn with_tag(&self, tag: u32) -> u32 {
        self.tags.iter().enumerate().fold(0, |bits, (i, t)| bits | u32::from(*t == tag) << i)
    }
}

/// The part of a hash that is kept. 0 stands for an empty place.
#[inline(always)]
fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

impl Signatures {
    #[inline(always)]
    fn bucket(&self, hash: u64) -> &Bucket {
        &self.buckets[hash as usize & (BUCKETS - 1)]
    }

    /// Brings the place where a key's signature would be nearer to the processor.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        super::lookup::prefetch(self.bucket(hash));
    }

    /// The first flow with the hash's tag, plus 1; 0 for none.
    #[inline(always)]
    pub fn first(&self, hash: u64) -> u32 {
        let bucket = self.bucket(hash);
        let places = bucket.with_tag(tag_of(hash));
        if places == 0 || !self.on { 0 } else { bucket.flows[places.trailing_zeros() as usize % PLACES] }
    }

    /// All flows with the hash's tag.
    #[inline]
    pub fn all(&self, hash: u64) -> impl Iterator<Item = u32> + use<> {
        let bucket = *self.bucket(hash);
        let mut places = if self.on { bucket.with_tag(tag_of(hash)) } else { 0 };
        std::iter::from_fn(move || {
            if places == 0 {
                return None;
            }
            let at = places.trailing_zeros() as usize % PLACES;
            places &= places - 1;
            bucket.flows[at].checked_sub(1)
        })
    }

    /// Remembers that the hash leads to a flow.
    pub fn remember(&mut self, hash: u64, flow: u32) {
        let tag = tag_of(hash);
        let bucket = &mut self.buckets[hash as usize & (BUCKETS - 1)];
        let same = bucket.with_tag(tag);
        let at = if same != 0 {
            same.trailing_zeros() as usize
        } else {
            bucket.tags.iter().position(|t| *t == 0).unwrap_or((hash >> 20) as usize)
        };
        bucket.tags[at % PLACES] = tag;
        bucket.flows[at % PLACES] = flow + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_last_of_a_tag_and_many_tags() {
        let mut s = Signatures::default();
        let hash = |n: u64| n << 33 | 7;
        for n in 1..=8 {
            s.remember(hash(n), n as u32);
        }
        for n in 1..=8 {
            assert_eq!(s.first(hash(n)), n as u32 + 1);
            assert_eq!(s.all(hash(n)).collect::<Vec<_>>(), [n as u32]);
        }
        s.remember(hash(3), 33);
        assert_eq!(s.first(hash(3)), 34);
        s.remember(hash(9), 9);
        assert_eq!(s.first(hash(9)), 10);
        s.on = false;
        assert_eq!((s.first(hash(9)), s.all(hash(9)).count()), (0, 0));
    }
}
