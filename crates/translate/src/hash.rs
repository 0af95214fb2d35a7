//! Hashes of packet fields, for choosing among links.

use flow::mini::{finish_hash, mix};
use flow::{FlowKey, FlowMask};
use openflow::action::{HashFields, MultipathAlgorithm};
use wire::EthAddr;
use wire::layers::{ethertype, ip_proto};

use crate::fields::is_ip;

/// Hash of the chosen fields; marks them as looked at. The symmetric ones give both directions of a connection the same.
pub(crate) fn fields(key: &FlowKey, wc: &mut FlowMask, which: HashFields, basis: u32) -> u32 {
    let basis = u64::from(basis);
    let hash = match which {
        HashFields::EthSrc => {
            wc.set_eth_src(EthAddr::BROADCAST);
            mix(basis, key.eth_src().to_u64())
        }
        HashFields::NwSrc => addresses(key, wc, basis, true, false),
        HashFields::NwDst => addresses(key, wc, basis, false, true),
        HashFields::SymmetricL3 => addresses(key, wc, basis, true, true),
        HashFields::SymmetricL3L4 | HashFields::SymmetricL3L4Udp => {
            let hash = addresses(key, wc, basis, true, true);
            ports(key, wc, hash, which == HashFields::SymmetricL3L4Udp)
        }
        HashFields::SymmetricL4 => {
            wc.set_eth_src(EthAddr::BROADCAST);
            wc.set_eth_dst(EthAddr::BROADCAST);
            wc.set_vlan_tci(0, wc.vlan_tci(0) | 0x1fff);
            let link = mix(basis, key.eth_src().to_u64() ^ key.eth_dst().to_u64());
            let link = mix(link, u64::from(key.eth_type()) << 16 | u64::from(key.vlan_tci(0) & 0xfff));
            let hash = addresses(key, wc, link, true, true);
            if is_ip(key) {
                wc.set_tp_src(0xffff);
                wc.set_tp_dst(0xffff);
            }
            ports(key, wc, hash, false)
        }
    };
    finish_hash(hash) as u32
}

fn addresses(key: &FlowKey, wc: &mut FlowMask, mut hash: u64, src: bool, dst: bool) -> u64 {
    let mut combined = 0u128;
    match key.eth_type() {
        ethertype::IPV4 => {
            if src {
                wc.set_nw_src([255; 4].into());
                combined ^= u128::from(key.nw_src().to_bits());
            }
            if dst {
                wc.set_nw_dst([255; 4].into());
                combined ^= u128::from(key.nw_dst().to_bits());
            }
        }
        ethertype::IPV6 => {
            if src {
                wc.set_ipv6_src([255; 16].into());
                combined ^= key.ipv6_src().to_bits();
            }
            if dst {
                wc.set_ipv6_dst([255; 16].into());
                combined ^= key.ipv6_dst().to_bits();
            }
        }
        _ => {}
    }
    hash = mix(hash, (combined >> 64) as u64);
    mix(hash, combined as u64)
}

fn ports(key: &FlowKey, wc: &mut FlowMask, hash: u64, udp: bool) -> u64 {
    if !is_ip(key) {
        return hash;
    }
    wc.set_nw_proto(0xff);
    let hash = mix(hash, key.nw_proto().into());
    let counted = matches!(key.nw_proto(), ip_proto::TCP | ip_proto::SCTP) || udp && key.nw_proto() == ip_proto::UDP;
    if !counted {
        return hash;
    }
    wc.set_tp_src(0xffff);
    wc.set_tp_dst(0xffff);
    mix(hash, u64::from(key.tp_src() ^ key.tp_dst()))
}

/// The link of a hash, of `n` links.
pub(crate) fn link(algorithm: MultipathAlgorithm, hash: u32, n: u32, arg: u32) -> u32 {
    match algorithm {
        MultipathAlgorithm::ModuloN => hash % n.max(1),
        MultipathAlgorithm::HashThreshold => ((u64::from(hash) * u64::from(n)) >> 32) as u32,
        MultipathAlgorithm::Hrw => (0..n).max_by_key(|&i| finish_hash(mix(hash.into(), i.into()))).unwrap_or(0),
        MultipathAlgorithm::IterHash => {
            // Hash again until a link comes out that exists; `arg` is the size that the links were planned for.
            let modulus = arg.max(n).max(1).next_power_of_two();
            let mut h = hash;
            for _ in 0..64 {
                if h % modulus < n {
                    return h % modulus;
                }
                h = finish_hash(mix(h.into(), 1)) as u32;
            }
            h % n.max(1)
        }
    }
}
