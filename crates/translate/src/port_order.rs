//! Orders of ports that nothing prescribes, but on which scripts have come to rely: those of the original's hash tables.
//!
//! Ports that come in one transaction get their numbers in the order of a hash of their names; packets are flooded, and
//! statistics listed, in the order of a hash of the ports' numbers. It is MurmurHash3 (32 bits, seed 0) with the last bytes padded
//! to a word, in as many buckets as the original's tables have for so many ports.

use flow::OfPort;

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
    finish(h, name.len() as u32)
}

fn finish(h: u32, len: u32) -> u32 {
    let h = h ^ len;
    let h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    let h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    h ^ h >> 16
}

/// Buckets, less one, of a table that has grown to `n` entries one by one.
pub fn mask(n: usize) -> u32 {
    (1..=n).fold(0, grown)
}

/// Buckets, less one, of a table with `count` entries that had `mask`: it doubles, at least, when there are more than two entries
/// to a bucket.
fn grown(mask: u32, count: usize) -> u32 {
    if count <= mask as usize * 2 + 1 {
        return mask;
    }
    let half = u32::try_from(count / 2).unwrap_or(u32::MAX >> 1);
    let grown = if half.is_power_of_two() { half * 2 - 1 } else { half.next_power_of_two() - 1 };
    grown | (grown & 1) << 1
}

/// The bucket of a port's name in a table with this [`mask`]; ports get their numbers in the order of buckets.
pub fn place(name: &str, mask: u32) -> u32 {
    hash(name) & mask
}

/// Puts ports, which are in the order in which they came, into the order in which they are flooded and listed.
pub fn sort_by_number<T>(ports: Vec<T>, number: impl Fn(&T) -> OfPort) -> Vec<T> {
    let hash = |port: OfPort| finish(mix(mix(port.0, 0), 0), 8);
    // A newcomer is the first of its bucket, which is the last of the list here.
    let mut buckets: Vec<Vec<(u32, T)>> = vec![Vec::new()];
    for (n, port) in ports.into_iter().enumerate() {
        let mask = buckets.len() as u32 - 1;
        let hash = hash(number(&port));
        buckets[(hash & mask) as usize].push((hash, port));
        let wanted = grown(mask, n + 1);
        if wanted != mask {
            let entries: Vec<_> = buckets.into_iter().flat_map(|bucket| bucket.into_iter().rev()).collect();
            buckets = (0..=wanted).map(|_| Vec::new()).collect();
            entries.into_iter().for_each(|entry| buckets[(entry.0 & wanted) as usize].push(entry));
        }
    }
    buckets.into_iter().flat_map(|bucket| bucket.into_iter().rev()).map(|(_, port)| port).collect()
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

    #[track_caller]
    fn check_numbers(ports: &[u32], expect: &[u32]) {
        assert_eq!(sort_by_number(ports.to_vec(), |port| OfPort(*port)), expect);
    }

    #[test]
    fn as_the_original_floods() {
        const LOCAL: u32 = 0xfffe;
        check_numbers(&[], &[]);
        check_numbers(&[LOCAL, 1, 2, 3, 4], &[4, LOCAL, 1, 2, 3]);
        check_numbers(&[LOCAL, 1, 2, 3, 4, 5, 6, 7], &[LOCAL, 5, 1, 4, 6, 7, 2, 3]);
    }
}
