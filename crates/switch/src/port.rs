//! OpenFlow ports of a bridge.

use clock::Instant;
use flow::{DpPort, OfPort};
use openflow::Version;
use openflow::message::ports::{
    PC_NO_FWD, PC_NO_PACKET_IN, PC_NO_RECV, PC_PORT_DOWN, PS_LINK_DOWN, PS_LIVE, PortDesc, feature,
};
use std::collections::{BTreeSet, VecDeque};
use translate::BundleId;
use wire::EthAddr;

/// A port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Number.
    pub of: OfPort,
    /// Number in the datapath; none for a patch port.
    pub dp: Option<DpPort>,
    /// Name.
    pub name: String,
    /// Type, as in the database.
    pub kind: String,
    /// Whether its device counts errors and what it drops.
    pub counts_errors: bool,
    /// Address.
    pub mac: EthAddr,
    /// Administratively up.
    pub admin_up: bool,
    /// Has a carrier.
    pub carrier: bool,
    /// Link speed in Mbit/s, 0 if unknown.
    pub mbps: u32,
    /// Duplex, if known.
    pub full_duplex: Option<bool>,
    /// `PC_*` bits that a controller set.
    pub config: u32,
    /// The port of the database that it belongs to.
    pub bundle: BundleId,
    /// Name of the peer of a patch port.
    pub peer: Option<String>,
    /// When the port was made.
    pub created: Instant,
}

impl Port {
    /// As controllers see it.
    pub fn desc(&self) -> PortDesc {
        let down = if self.admin_up { 0 } else { PC_PORT_DOWN };
        let link = match (self.carrier, self.admin_up) {
            (false, _) => PS_LINK_DOWN,
            (true, false) => 0,
            (true, true) => PS_LIVE,
        };
        PortDesc {
            port: self.of,
            hw_addr: self.mac,
            name: self.name.chars().take(15).collect(),
            config: self.config & !PC_PORT_DOWN | down,
            state: link,
            curr: speed_feature(self.mbps, self.full_duplex) | if self.mbps != 0 { feature::COPPER } else { 0 },
            curr_speed: self.mbps.saturating_mul(1000),
            ..PortDesc::default()
        }
    }
}

/// What a controller that speaks `version` sees of a port's settings and state.
pub(crate) fn visible(desc: &PortDesc, version: Version) -> PortDesc {
    let mut seen = desc.clone();
    if version == Version::V10 {
        seen.state &= !PS_LIVE;
    } else {
        seen.config &= PC_PORT_DOWN | PC_NO_RECV | PC_NO_FWD | PC_NO_PACKET_IN;
    }
    seen
}

/// The feature bit of a speed (OpenFlow 1.3.5 §A.2.1).
fn speed_feature(mbps: u32, full_duplex: Option<bool>) -> u32 {
    let full = full_duplex != Some(false);
    match (mbps, full) {
        (10, false) => feature::HD_10M,
        (10, true) => feature::FD_10M,
        (100, false) => feature::HD_100M,
        (100, true) => feature::FD_100M,
        (1000, false) => feature::HD_1G,
        (1000, true) => feature::FD_1G,
        (10_000, _) => feature::FD_10G,
        (40_000, _) => feature::FD_40G,
        (100_000, _) => feature::FD_100G,
        (1_000_000, _) => feature::FD_1T,
        _ => 0,
    }
}

/// Chooses numbers for ports.
#[derive(Debug, Default)]
pub struct PortNumbers {
    used: BTreeSet<OfPort>,
    /// The last number of those that no port had before; they come first.
    next: u32,
    /// Numbers that ports had, the longest ago first.
    given: VecDeque<OfPort>,
}

/// Largest number that the switch chooses by itself.
const MAX_CHOSEN: u32 = 0xfeff;

impl PortNumbers {
    /// A number: the one asked for if it is free, else one that no port had, or that was free for longest. `None` if all
    /// are in use.
    pub fn take(&mut self, request: Option<OfPort>) -> Option<OfPort> {
        if let Some(p) = request
            && self.used.insert(p)
        {
            self.given.retain(|given| *given != p);
            return Some(p);
        }
        while self.next < MAX_CHOSEN {
            self.next += 1;
            let p = OfPort(self.next);
            if !self.given.contains(&p) && self.used.insert(p) {
                return Some(p);
            }
        }
        let p = self.given.pop_front()?;
        self.used.insert(p);
        Some(p)
    }

    /// Gives a number back.
    pub fn give(&mut self, port: OfPort) {
        if self.used.remove(&port) && (1..=MAX_CHOSEN).contains(&port.0) {
            self.given.push_back(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let mut n = PortNumbers::default();
        assert_eq!(n.take(Some(OfPort(2))), Some(OfPort(2)));
        assert_eq!(n.take(None), Some(OfPort(1)));
        assert_eq!(n.take(None), Some(OfPort(3)));
        assert_eq!(n.take(Some(OfPort(2))), Some(OfPort(4)), "taken");
        n.give(OfPort(1));
        assert_eq!(n.take(None), Some(OfPort(5)), "not at once again");
        assert_eq!(n.take(Some(OfPort::LOCAL)), Some(OfPort::LOCAL));
        n.give(OfPort(3));
        n.next = MAX_CHOSEN;
        assert_eq!([n.take(None), n.take(None), n.take(None)], [Some(OfPort(1)), Some(OfPort(3)), None]);
    }

    #[test]
    fn all_numbers_in_use() {
        let mut n = PortNumbers::default();
        assert!((0..MAX_CHOSEN).all(|_| n.take(None).is_some()));
        assert_eq!(n.take(None), None);
    }
}
