//! Packets that protocols of the switch take for themselves.

use datapath::SlowReason;
use flow::{FlowKey, FlowMask};
use wire::EthAddr;

use crate::view::{BridgeConfig, Port};

/// Group address of spanning tree.
pub const STP: EthAddr = EthAddr([0x01, 0x80, 0xc2, 0, 0, 0]);
/// Group address of link layer discovery.
pub const LLDP: EthAddr = EthAddr([0x01, 0x80, 0xc2, 0, 0, 0x0e]);

/// Whether a packet is of spanning tree.
#[must_use]
pub fn is_stp(key: &FlowKey) -> bool {
    key.eth_dst() == STP && key.eth_type() == flow::extract::ETH_TYPE_NONE
}

/// The protocol that a packet belongs to, if one runs on the port. Marks what was looked at.
#[must_use]
pub fn recipient(config: &BridgeConfig, port: &Port, key: &FlowKey, wc: &mut FlowMask) -> Option<SlowReason> {
    let _ = port;
    if config.lldp && key.eth_type() == wire::layers::ethertype::LLDP {
        wc.set_eth_dst(EthAddr::BROADCAST);
        if key.eth_dst() == LLDP {
            return Some(SlowReason::LLDP);
        }
    }
    None
}

/// Whether a bridge keeps a destination for itself unless told to forward it: the reserved group addresses of IEEE
/// 802.1 and those of common vendor protocols, as the documentation of `forward-bpdu` lists them.
#[must_use]
pub fn is_reserved(mac: EthAddr) -> bool {
    let x = mac.to_u64();
    x & !0xf == 0x0180_c200_0000
        || x & !0xf == 0x0100_0ccc_ccc0
        || matches!(x, 0x00e0_2b00_0000 | 0x00e0_2b00_0004 | 0x00e0_2b00_0006 | 0x0100_0c00_0000 | 0x0100_0ccd_cdcd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_addresses() {
        for (mac, expect) in [
            ("01:80:c2:00:00:00", true),
            ("01:80:c2:00:00:0e", true),
            ("01:80:c2:00:00:10", false),
            ("01:00:0c:cc:cc:cd", true),
            ("01:00:5e:00:00:01", false),
            ("ff:ff:ff:ff:ff:ff", false),
        ] {
            assert_eq!(is_reserved(mac.parse().unwrap()), expect, "{mac}");
        }
    }
}
