//! The order in which ports that come in one transaction get their numbers.
//!
//! The database says nothing of it, but scripts that add several ports at once have come to rely on the numbers that the
//! original gives, which follow a hash of the names: MurmurHash3 (32 bits, seed 0) with the last bytes padded to a word, in as
//! many buckets as its tables have for so many ports.

fn mix(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn hash(name: &str) -> u32 {
    let mut words = [0u8; 4];
    let mut h = 0;
    for chunk in name.as_bytes().chunks(4) {
        words.fill(0);
        words[..chunk.len()].copy_from_slice(chunk);
        h = mix(h, u32::from_le_bytes(words));
    }
    h ^= name.len() as u32;
    h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    h ^ h >> 16
}

/// Buckets, less one, of a table that has grown to `n` entries one by one: it doubles, at least, when there are more than two
/// entries to a bucket.
pub fn mask(n: usize) -> u32 {
    let (mut mask, mut count) = (0usize, 0usize);
    while count < n {
        count += 1;
        if count > mask * 2 + 1 {
            let wanted = (count / 2).next_power_of_two();
            mask = if (count / 2).is_power_of_two() { wanted * 2 - 1 } else { wanted - 1 };
            mask |= (mask & 1) << 1;
        }
    }
    u32::try_from(mask).unwrap_or(u32::MAX)
}

/// The bucket of a port's name in a table with this [`mask`]; ports get their numbers in the order of buckets.
pub fn place(name: &str, mask: u32) -> u32 {
    hash(name) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `names` are the ports of a bridge beside its own.
    #[track_caller]
    fn check(names: &str, expect: &str) {
        let mut list: Vec<&str> = names.split(' ').collect();
        let n = list.len() + 1;
        list.sort_by_key(|name| place(name, mask(n)));
        assert_eq!(list.join(" "), expect);
    }

    #[test]
    fn as_the_original_gives_them() {
        check("p1 p2 p3", "p2 p3 p1");
        // Ports of one bucket come in no order that could be relied on.
        check("a b c d e f", "e a b c d f");
    }
}
