//! The forwarding database of a learning bridge (IEEE 802.1D §7.8, §7.9).
//!
//! Entries age out after a time without a refresh. A full table evicts from the port that holds the most entries, so that
//! a port that floods addresses hurts nobody else. Static entries are made by an operator, never age and never move.

use clock::Instant;
use std::collections::HashMap;
use std::time::Duration;
use wire::EthAddr;

/// Seconds without a packet after which an address is forgotten, unless configured (IEEE 802.1D table 7-5).
pub const DEFAULT_AGING: Duration = Duration::from_secs(300);
/// Most addresses kept, unless configured.
pub const DEFAULT_MAX_ENTRIES: usize = 8192;

/// What is known about an address in a VLAN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<P> {
    /// The port behind which the address was seen.
    pub port: P,
    /// When the entry ends; `None` for a static entry.
    pub expires: Option<Instant>,
    /// Gratuitous ARP seen on a bond does not move the entry before this time.
    pub grat_arp_lock: Instant,
    /// Grows from one use of an entry to the next: the least has not been used for longest.
    pub turn: u64,
}

/// What learning an address did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Learned {
    /// The address was not known before.
    New,
    /// The address was known behind another port.
    Moved,
    /// Nothing but the age changed.
    Refreshed,
    /// A static entry forbids it.
    Static,
}

impl Learned {
    /// Whether packets to the address go elsewhere now.
    pub fn changes_forwarding(self) -> bool {
        matches!(self, Learned::New | Learned::Moved)
    }
}

/// Counts of what happened to the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Addresses learned.
    pub learned: u64,
    /// Addresses that aged out.
    pub expired: u64,
    /// Addresses evicted from a full table.
    pub evicted: u64,
    /// Addresses that moved between ports.
    pub moved: u64,
}

/// A table of addresses. `P` is what the owner calls a port.
///
/// Call [`MacTable::expire`] when [`MacTable::next_deadline`] has passed.
#[derive(Clone, Debug)]
pub struct MacTable<P> {
    entries: HashMap<(u16, EthAddr), Entry<P>>,
    per_port: HashMap<P, usize>,
    aging: Duration,
    max_entries: usize,
    /// What happened so far.
    pub stats: Stats,
    /// No entry ends before this; a lower bound, so that asking costs nothing.
    earliest: Option<Instant>,
    /// Grows with each use of an entry.
    turn: u64,
}

impl<P: Copy + Eq + std::hash::Hash + Ord> Default for MacTable<P> {
    fn default() -> Self {
        MacTable::new(DEFAULT_AGING, DEFAULT_MAX_ENTRIES)
    }
}

impl<P: Copy + Eq + std::hash::Hash + Ord> MacTable<P> {
    /// An empty table.
    pub fn new(aging: Duration, max_entries: usize) -> Self {
        MacTable {
            entries: HashMap::new(),
            per_port: HashMap::new(),
            aging,
            max_entries: max_entries.max(1),
            stats: Stats::default(),
            earliest: None,
            turn: 0,
        }
    }

    /// Sets the time without a packet after which an address is forgotten. Entries keep the age that they have.
    pub fn set_aging(&mut self, aging: Duration) {
        if aging == self.aging {
            return;
        }
        for e in self.entries.values_mut() {
            if let Some(t) = e.expires {
                // `t - old aging` is when the entry was last refreshed.
                let last = Instant::from_nanos(t.as_nanos().saturating_sub(self.aging.as_nanos() as u64));
                e.expires = Some(last + aging);
            }
        }
        self.aging = aging;
        self.earliest = self.entries.values().filter_map(|e| e.expires).min();
    }

    /// Sets how many addresses the table holds at most, and evicts what is too much.
    pub fn set_max_entries(&mut self, max: usize) {
        self.max_entries = max.max(1);
        while self.entries.len() > self.max_entries && self.evict() {}
    }

    /// The most addresses that the table holds.
    pub fn max_entries(&self) -> usize {
        self.max_entries
    }

    /// Number of entries, static ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where packets to `mac` in `vlan` go.
    pub fn lookup(&self, now: Instant, vlan: u16, mac: EthAddr) -> Option<Entry<P>> {
        let e = *self.entries.get(&(vlan, mac))?;
        e.expires.is_none_or(|t| t > now).then_some(e)
    }

    /// Notes that `mac` was seen on `port` in `vlan`. Group addresses are never learned (IEEE 802.1D §7.8).
    pub fn learn(&mut self, now: Instant, vlan: u16, mac: EthAddr, port: P) -> Learned {
        if mac.is_multicast() {
            return Learned::Static;
        }
        let expires = now + self.aging;
        self.turn += 1;
        let turn = self.turn;
        self.earliest = Some(self.earliest.map_or(expires, |e| e.min(expires)));
        if let Some(e) = self.entries.get_mut(&(vlan, mac)) {
            let Some(old_end) = e.expires else { return Learned::Static };
            (e.expires, e.turn) = (Some(expires), turn);
            if old_end <= now {
                // It had aged out and was not swept yet.
                let from = std::mem::replace(&mut e.port, port);
                self.moved(from, port);
                self.stats.expired += 1;
                self.stats.learned += 1;
                return Learned::New;
            }
            if e.port == port {
                return Learned::Refreshed;
            }
            let from = std::mem::replace(&mut e.port, port);
            self.moved(from, port);
            self.stats.moved += 1;
            return Learned::Moved;
        }
        if self.entries.len() >= self.max_entries && !self.evict() {
            return Learned::Static;
        }
        self.entries.insert((vlan, mac), Entry { port, expires: Some(expires), grat_arp_lock: Instant::ZERO, turn });
        *self.per_port.entry(port).or_default() += 1;
        self.stats.learned += 1;
        Learned::New
    }

    /// Adds a static entry, or makes one static. Returns whether anything changed.
    pub fn add_static(&mut self, vlan: u16, mac: EthAddr, port: P) -> bool {
        let old = self.remove_entry(vlan, mac);
        self.turn += 1;
        let turn = self.turn;
        self.entries.insert((vlan, mac), Entry { port, expires: None, grat_arp_lock: Instant::ZERO, turn });
        *self.per_port.entry(port).or_default() += 1;
        old.is_none_or(|e| e.port != port || e.expires.is_some())
    }

    /// Removes a static entry. Returns whether there was one.
    pub fn del_static(&mut self, vlan: u16, mac: EthAddr) -> bool {
        if self.entries.get(&(vlan, mac)).is_none_or(|e| e.expires.is_some()) {
            return false;
        }
        self.remove_entry(vlan, mac).is_some()
    }

    /// Forgets all learned addresses; static ones stay.
    pub fn flush(&mut self) {
        self.retain(|_, e| e.expires.is_none());
        self.earliest = None;
    }

    /// Forgets all addresses behind a port that is gone; VLANs and addresses of those that had been learned.
    pub fn forget_port(&mut self, port: P) -> Vec<(u16, EthAddr)> {
        if self.per_port.get(&port).copied().unwrap_or(0) == 0 {
            return Vec::new();
        }
        let learned = self.entries.iter().filter(|(_, e)| e.port == port && e.expires.is_some());
        let learned = learned.map(|(at, _)| *at).collect();
        self.retain(|_, e| e.port != port);
        learned
    }

    /// Forgets an address, unless its entry is static.
    pub fn forget(&mut self, vlan: u16, mac: EthAddr) {
        if self.entries.get(&(vlan, mac)).is_some_and(|e| e.expires.is_some()) {
            self.remove_entry(vlan, mac);
        }
    }

    /// Forgets what has aged out; returns how many entries that were.
    pub fn expire(&mut self, now: Instant) -> usize {
        if self.earliest.is_none_or(|t| t > now) {
            return 0;
        }
        let before = self.entries.len();
        self.retain(|_, e| e.expires.is_none_or(|t| t > now));
        let gone = before - self.entries.len();
        self.stats.expired += gone as u64;
        self.earliest = self.entries.values().filter_map(|e| e.expires).min();
        gone
    }

    /// When [`MacTable::expire`] has to be called next at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// Seconds since an entry was refreshed; `None` for a static one.
    pub fn age(&self, now: Instant, entry: &Entry<P>) -> Option<u64> {
        entry.expires.map(|t| self.aging.saturating_sub(t.since(now)).as_secs())
    }

    /// All entries as (VLAN, address, entry), in that order.
    pub fn sorted(&self) -> Vec<(u16, EthAddr, Entry<P>)> {
        let mut v: Vec<_> = self.entries.iter().map(|(&(vlan, mac), &e)| (vlan, mac, e)).collect();
        v.sort_by_key(|(_, _, e)| e.turn);
        v
    }

    fn moved(&mut self, from: P, to: P) {
        if from != to {
            self.discount(from);
            *self.per_port.entry(to).or_default() += 1;
        }
    }

    fn discount(&mut self, port: P) {
        if let Some(n) = self.per_port.get_mut(&port) {
            *n -= 1;
            if *n == 0 {
                self.per_port.remove(&port);
            }
        }
    }

    fn remove_entry(&mut self, vlan: u16, mac: EthAddr) -> Option<Entry<P>> {
        let e = self.entries.remove(&(vlan, mac))?;
        self.discount(e.port);
        Some(e)
    }

    fn retain(&mut self, mut keep: impl FnMut(&(u16, EthAddr), &Entry<P>) -> bool) {
        let per_port = &mut self.per_port;
        self.entries.retain(|k, e| {
            let stays = keep(k, e);
            if !stays && let Some(n) = per_port.get_mut(&e.port) {
                *n -= 1;
            }
            stays
        });
        per_port.retain(|_, n| *n > 0);
    }

    /// Evicts the oldest learned entry of the port that holds the most.
    fn evict(&mut self) -> bool {
        let mut ports: Vec<(usize, P)> = self.per_port.iter().map(|(&p, &n)| (n, p)).collect();
        ports.sort_by(|a, b| b.cmp(a));
        for (_, port) in ports {
            let oldest = self
                .entries
                .iter()
                .filter(|(_, e)| e.port == port)
                .filter_map(|(&k, e)| e.expires.map(|t| (t, k)))
                .min_by_key(|&(t, (vlan, mac))| (t, vlan, mac));
            if let Some((_, (vlan, mac))) = oldest {
                self.remove_entry(vlan, mac);
                self.stats.evicted += 1;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(n: u64) -> EthAddr {
        EthAddr::from_u64(0x0200_0000_0000 | n)
    }

    fn at(s: u64) -> Instant {
        Instant::from_millis(s * 1000)
    }

    #[test]
    fn learns_moves_and_ages() {
        let mut t = MacTable::new(Duration::from_secs(10), 4);
        assert_eq!(t.learn(at(0), 1, mac(1), 7), Learned::New);
        assert_eq!(t.learn(at(5), 1, mac(1), 7), Learned::Refreshed);
        assert_eq!(t.learn(at(6), 1, mac(1), 8), Learned::Moved);
        assert_eq!(t.lookup(at(7), 1, mac(1)).map(|e| e.port), Some(8));
        assert_eq!(t.lookup(at(7), 2, mac(1)), None, "VLANs are apart");
        assert_eq!(t.lookup(at(16), 1, mac(1)), None);
        assert_eq!(t.expire(at(16)), 1);
        assert!(t.is_empty());
        assert_eq!(t.stats, Stats { learned: 1, expired: 1, evicted: 0, moved: 1 });
    }

    #[test]
    fn group_addresses_are_not_learned() {
        let mut t = MacTable::default();
        assert!(!t.learn(at(0), 0, EthAddr::BROADCAST, 1).changes_forwarding());
        assert!(t.is_empty());
    }

    #[test]
    fn a_full_table_evicts_from_the_busiest_port() {
        let mut t = MacTable::new(DEFAULT_AGING, 3);
        t.learn(at(0), 0, mac(1), 1);
        t.learn(at(1), 0, mac(2), 2);
        t.learn(at(2), 0, mac(3), 2);
        t.learn(at(3), 0, mac(4), 3);
        assert!(t.lookup(at(3), 0, mac(1)).is_some());
        assert!(t.lookup(at(3), 0, mac(2)).is_none());
        assert_eq!((t.len(), t.stats.evicted), (3, 1));
    }

    #[test]
    fn static_entries_stay() {
        let mut t = MacTable::new(Duration::from_secs(1), 1);
        assert!(t.add_static(5, mac(9), 1));
        assert!(!t.add_static(5, mac(9), 1));
        assert_eq!(t.learn(at(0), 5, mac(9), 2), Learned::Static);
        assert_eq!(t.learn(at(0), 5, mac(8), 2), Learned::Static, "no room beside it");
        t.flush();
        t.expire(at(1000));
        assert_eq!(t.len(), 1);
        assert!(t.del_static(5, mac(9)));
        assert!(!t.del_static(5, mac(9)));
    }

    #[test]
    fn counts_per_port_add_up() {
        let mut t = MacTable::new(Duration::from_secs(5), 50);
        for i in 0..200u64 {
            t.learn(at(i / 20), (i % 3) as u16, mac(i % 70), i % 4);
            if i % 31 == 0 {
                t.forget_port(i % 4);
            }
            t.expire(at(i / 20));
            assert_eq!(t.per_port.values().sum::<usize>(), t.len());
        }
    }
}
