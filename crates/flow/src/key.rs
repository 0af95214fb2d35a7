//! The flow key: one word array that holds every match field of a packet.
//!
//! Word layout (bit 63 is the leftmost; `FIELDS` says where each field sits):
//!
//! | words | content |
//! |---|---|
//! | 0 to 9 | metadata, tunnel id, addresses, flags |
//! | 10 to 25 | registers 0 to 31, two in a word |
//! | 26 to 38 | input port, recirculation, marks, hashes, connection tracking, action set output, packet type |
//! | 39 to 43 | Ethernet, VLAN (two tags), MPLS (three labels) |
//! | 44 to 51 | IPv4, IPv6, protocol, TOS, TTL, fragment, ND target |
//! | 52 to 57 | ARP and ND hardware addresses, TCP flags, NSH, transport ports |
//! | 58 to 90 | tunnel metadata: presence bits, then 256 bytes |
//!
//! Every field lies in one word, or, with 128 bits, in two adjacent words (more significant first).

use crate::field::Field;
use crate::packet_type::PacketType;
use crate::port::{DpPort, OfPort};

/// Words in a flow key.
pub const WORDS: usize = 91;
/// VLAN tags that a key holds.
pub const MAX_VLANS: usize = 2;
/// MPLS label stack entries that a key holds.
pub const MAX_MPLS: usize = 3;

/// `nw_frag`: the packet is a fragment.
pub const FRAG_ANY: u8 = 1;
/// `nw_frag`: the packet is a fragment other than the first.
pub const FRAG_LATER: u8 = 2;

/// `vlan_tci` bit that says: there is a tag (the CFI bit of the wire, always set in a key that has the tag).
pub const VLAN_CFI: u16 = 0x1000;
/// `vlan_tci` bits of the VLAN id.
pub const VLAN_VID_MASK: u16 = 0x0fff;
/// `vlan_tci` bits of the priority.
pub const VLAN_PCP_MASK: u16 = 0xe000;

/// `tun_flags`: operations and management frame (the only one that flows match).
pub const TUN_F_OAM: u16 = 1;
/// `tun_flags`: do not fragment.
pub const TUN_F_DF: u16 = 2;
/// `tun_flags`: checksum.
pub const TUN_F_CSUM: u16 = 4;
/// `tun_flags`: the tunnel has a key.
pub const TUN_F_KEY: u16 = 8;
/// `tun_flags`: the metadata area holds raw Geneve options; the presence word says how many bytes.
pub const TUN_F_RAW_OPTIONS: u16 = 16;

/// `ct_state`: new connection.
pub const CS_NEW: u16 = 0x01;
/// `ct_state`: established connection.
pub const CS_EST: u16 = 0x02;
/// `ct_state`: related to a connection.
pub const CS_REL: u16 = 0x04;
/// `ct_state`: reply direction.
pub const CS_RPL: u16 = 0x08;
/// `ct_state`: invalid.
pub const CS_INV: u16 = 0x10;
/// `ct_state`: went through connection tracking.
pub const CS_TRK: u16 = 0x20;
/// `ct_state`: source address was translated.
pub const CS_SNAT: u16 = 0x40;
/// `ct_state`: destination address was translated.
pub const CS_DNAT: u16 = 0x80;

/// Every match field of one packet. Fields that a packet does not have are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(align(64))]
pub struct FlowKey {
    words: [u64; WORDS],
}

/// Which bits of a [`FlowKey`] matter: same layout, 1 for a bit that is matched.
pub type FlowMask = FlowKey;

impl Default for FlowKey {
    fn default() -> FlowKey {
        FlowKey::ZERO
    }
}

impl std::fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = self.words.iter().enumerate().filter(|(_, w)| **w != 0);
        f.debug_map().entries(set.map(|(i, w)| (i, format!("{w:#018x}")))).finish()
    }
}

impl FlowKey {
    /// All fields zero; as a mask, matches everything.
    pub const ZERO: FlowKey = FlowKey { words: [0; WORDS] };

    /// All fields zero.
    pub const fn new() -> FlowKey {
        FlowKey::ZERO
    }

    /// Every word.
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.words
    }

    /// Every word, to change.
    pub const fn words_mut(&mut self) -> &mut [u64; WORDS] {
        &mut self.words
    }

    /// Word `i`; 0 past the end.
    #[inline]
    pub fn word(&self, i: usize) -> u64 {
        self.words.get(i).copied().unwrap_or(0)
    }

    /// Sets word `i`; nothing past the end.
    #[inline]
    pub fn set_word(&mut self, i: usize, w: u64) {
        if let Some(x) = self.words.get_mut(i) {
            *x = w;
        }
    }

    /// A field's bits, right-justified; 0 for tunnel metadata (see [`crate::tunnel`]). Of the VLAN id fields,
    /// `vlan_vid` includes bit 12 (tag present) and `dl_vlan` does not.
    #[inline]
    pub fn get(&self, field: Field) -> u128 {
        let d = field.def();
        let w = usize::from(d.word);
        match d.key_bits {
            0 => 0,
            128 => u128::from(self.words[w]) << 64 | u128::from(self.words[w + 1]),
            64 => u128::from(self.words[w]),
            n => u128::from(self.words[w] >> d.shift & ((1u64 << n) - 1)),
        }
    }

    /// Sets a field's bits; bits of `value` beyond the field's width are dropped.
    #[inline]
    pub fn set(&mut self, field: Field, value: u128) {
        let d = field.def();
        let w = usize::from(d.word);
        match d.key_bits {
            0 => {}
            128 => {
                self.words[w] = (value >> 64) as u64;
                self.words[w + 1] = value as u64;
            }
            64 => self.words[w] = value as u64,
            n => {
                let mask = (1u64 << n) - 1;
                self.words[w] = self.words[w] & !(mask << d.shift) | (value as u64 & mask) << d.shift;
            }
        }
    }

    /// As a mask: whether no bit is set.
    pub fn is_zero(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    /// `self & mask`, word by word.
    #[must_use]
    pub fn masked(&self, mask: &FlowMask) -> FlowKey {
        let mut out = *self;
        for (o, m) in out.words.iter_mut().zip(&mask.words) {
            *o &= m;
        }
        out
    }

    /// `self | other`, word by word: as masks, matches what both match on.
    pub fn union(&mut self, other: &FlowMask) {
        for (o, m) in self.words.iter_mut().zip(&other.words) {
            *o |= m;
        }
    }

    /// Whether `self` and `other` agree on the bits of `mask`.
    pub fn equal_masked(&self, other: &FlowKey, mask: &FlowMask) -> bool {
        self.words.iter().zip(&other.words).zip(&mask.words).all(|((a, b), m)| (a ^ b) & m == 0)
    }

    /// As masks: whether every bit of `other` is set in `self`.
    pub fn contains(&self, other: &FlowMask) -> bool {
        self.words.iter().zip(&other.words).all(|(a, b)| b & !a == 0)
    }

    #[inline]
    pub(crate) const fn bits(&self, word: usize, shift: u32, n: u32) -> u64 {
        self.words[word] >> shift & (u64::MAX >> (64 - n))
    }

    #[inline]
    pub(crate) const fn put(&mut self, word: usize, shift: u32, n: u32, value: u64) {
        let mask = u64::MAX >> (64 - n);
        self.words[word] = self.words[word] & !(mask << shift) | (value & mask) << shift;
    }

    #[inline]
    pub(crate) const fn pair(&self, word: usize) -> u128 {
        (self.words[word] as u128) << 64 | self.words[word + 1] as u128
    }

    #[inline]
    pub(crate) const fn put_pair(&mut self, word: usize, value: u128) {
        self.words[word] = (value >> 64) as u64;
        self.words[word + 1] = value as u64;
    }

    /// Input port in the OpenFlow world.
    #[inline]
    pub fn in_port(&self) -> OfPort {
        OfPort(self.in_port_raw())
    }

    /// Sets the input port in the OpenFlow world.
    #[inline]
    pub fn set_in_port(&mut self, port: OfPort) {
        self.set_in_port_raw(port.0);
    }

    /// Input port in the datapath world.
    #[inline]
    pub fn dp_in_port(&self) -> DpPort {
        DpPort(self.in_port_raw())
    }

    /// Sets the input port in the datapath world.
    #[inline]
    pub fn set_dp_in_port(&mut self, port: DpPort) {
        self.set_in_port_raw(port.0);
    }

    /// Packet type.
    #[inline]
    pub fn packet_type(&self) -> PacketType {
        PacketType(self.packet_type_raw())
    }

    /// Sets the packet type.
    #[inline]
    pub fn set_packet_type(&mut self, t: PacketType) {
        self.set_packet_type_raw(t.0);
    }

    /// Output port of the action set.
    #[inline]
    pub fn actset_output(&self) -> OfPort {
        OfPort(self.actset_output_raw())
    }

    /// Sets the output port of the action set.
    #[inline]
    pub fn set_actset_output(&mut self, port: OfPort) {
        self.set_actset_output_raw(port.0);
    }

    /// Tag control information of VLAN tag `n` (0 outermost) with [`VLAN_CFI`] set where there is a tag; 0 otherwise.
    #[inline]
    pub const fn vlan_tci(&self, n: usize) -> u16 {
        if n < MAX_VLANS { (self.words[41] >> (32 - 32 * n)) as u16 } else { 0 }
    }

    /// Sets the tag control information of VLAN tag `n`; nothing past the last.
    #[inline]
    pub const fn set_vlan_tci(&mut self, n: usize, tci: u16) {
        if n < MAX_VLANS {
            self.put(41, 32 - 32 * n as u32, 16, tci as u64);
        }
    }

    /// Ethernet type of VLAN tag `n` (0x8100 or 0x88a8), 0 without a tag.
    #[inline]
    pub const fn vlan_tpid(&self, n: usize) -> u16 {
        if n < MAX_VLANS { (self.words[41] >> (48 - 32 * n)) as u16 } else { 0 }
    }

    /// Sets the Ethernet type of VLAN tag `n`; nothing past the last.
    #[inline]
    pub const fn set_vlan_tpid(&mut self, n: usize, tpid: u16) {
        if n < MAX_VLANS {
            self.put(41, 48 - 32 * n as u32, 16, tpid as u64);
        }
    }

    /// MPLS label stack entry `n` (0 outermost): label 20 bits, class 3, bottom of stack 1, TTL 8.
    #[inline]
    pub const fn mpls_lse(&self, n: usize) -> u32 {
        if n < MAX_MPLS { (self.words[42 + n / 2] >> (32 - 32 * (n % 2))) as u32 } else { 0 }
    }

    /// Sets MPLS label stack entry `n`; nothing past the last.
    #[inline]
    pub const fn set_mpls_lse(&mut self, n: usize, lse: u32) {
        if n < MAX_MPLS {
            self.put(42 + n / 2, 32 - 32 * (n % 2) as u32, 32, lse as u64);
        }
    }

    /// Register `n`, 0 to 31; 0 past the last.
    #[inline]
    pub const fn reg(&self, n: usize) -> u32 {
        if n < 32 { (self.words[10 + n / 2] >> (32 - 32 * (n % 2))) as u32 } else { 0 }
    }

    /// Sets register `n`; nothing past the last.
    #[inline]
    pub const fn set_reg(&mut self, n: usize, value: u32) {
        if n < 32 {
            self.put(10 + n / 2, 32 - 32 * (n % 2) as u32, 32, value as u64);
        }
    }

    /// NSH context header `n`, 0 to 3.
    #[inline]
    pub const fn nsh_context(&self, n: usize) -> u32 {
        if n < 4 { (self.words[55 + n / 2] >> (32 - 32 * (n % 2))) as u32 } else { 0 }
    }

    /// Sets NSH context header `n`; nothing past the last.
    #[inline]
    pub const fn set_nsh_context(&mut self, n: usize, value: u32) {
        if n < 4 {
            self.put(55 + n / 2, 32 - 32 * (n % 2) as u32, 32, value as u64);
        }
    }
}
