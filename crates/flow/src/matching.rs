//! A key and a mask together.

use crate::field::Field;
use crate::key::{FlowKey, FlowMask, VLAN_CFI};
use crate::port::OfPort;
use crate::tunnel::TunAlloc;

/// What a flow matches: `key` says the values, `mask` the bits that count; key bits outside the mask are zero.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Match {
    /// Values.
    pub key: FlowKey,
    /// Bits that count.
    pub mask: FlowMask,
    /// Places of the tunnel metadata fields, when the match was made without a switch's table of tunnel options.
    pub tun: Option<Box<TunAlloc>>,
}

impl Match {
    /// Matches every packet.
    pub fn any() -> Match {
        Match::default()
    }

    /// From key and mask; key bits outside the mask are cleared.
    pub fn new(key: &FlowKey, mask: &FlowMask) -> Match {
        Match { key: key.masked(mask), mask: *mask, tun: None }
    }

    /// A field's value and mask, right-justified (not for tunnel metadata).
    #[inline]
    pub fn get(&self, field: Field) -> (u128, u128) {
        (self.key.get(field), self.mask.get(field))
    }

    /// Matches exactly `value` in `field`.
    pub fn set(&mut self, field: Field, value: u128) {
        self.set_masked(field, value, u128::MAX);
    }

    /// Matches `value` under `mask` in `field`. The VLAN id and priority fields also match on the presence of a tag:
    /// `dl_vlan`, `dl_vlan_pcp` and `vlan_pcp` set [`VLAN_CFI`] in value and mask.
    pub fn set_masked(&mut self, field: Field, value: u128, mask: u128) {
        self.mask.set(field, mask);
        self.key.set(field, value & mask);
        if field == Field::DL_VLAN || field == Field::DL_VLAN_PCP || field == Field::VLAN_PCP {
            self.key.set_vlan_tci(0, self.key.vlan_tci(0) | VLAN_CFI);
            self.mask.set_vlan_tci(0, self.mask.vlan_tci(0) | VLAN_CFI);
        }
        if field == Field::IN_PORT || field == Field::IN_PORT_OXM {
            self.mask.set_in_port_raw(u32::MAX);
        }
    }

    /// Does not match on `field`.
    pub fn clear(&mut self, field: Field) {
        self.mask.set(field, 0);
        self.key.set(field, 0);
    }

    /// Matches an input port exactly.
    pub fn set_in_port(&mut self, port: OfPort) {
        self.key.set_in_port(port);
        self.mask.set_in_port_raw(u32::MAX);
    }

    /// Whether `key` matches.
    pub fn matches(&self, key: &FlowKey) -> bool {
        key.equal_masked(&self.key, &self.mask)
    }

    /// Whether every packet matches.
    pub fn is_catchall(&self) -> bool {
        self.mask.is_zero()
    }
}
