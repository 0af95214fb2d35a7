//! Flows that the switch makes for itself in table 0, above all that controllers can make: those of in-band control, by which
//! it reaches controllers through its own ports, and the one of fail-open, by which it forwards alone while it reaches none.

use crate::bridge::Bridge;
use clock::Instant;
use flow::{Field, Match, MiniMatch, OfPort};
use openflow::action::Action;
use std::net::Ipv4Addr;
use wire::EthAddr;
use wire::layers::{ethertype, ip_proto};

/// Priority of the first flow of in-band control; the others follow.
const IN_BAND: u32 = 180_000;
/// Priority of the flow of fail-open.
const FAIL_OPEN: u32 = 0xf0_f0f0;

/// Somebody to be reached through the switch's own ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Remote {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its TCP port.
    pub port: u16,
    /// The address of the next hop on the way there, if it is known.
    pub next_hop: Option<EthAddr>,
}

/// In-band control of a bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InBand {
    /// The local port's address.
    pub local: EthAddr,
    /// Who is to be reached.
    pub remotes: Vec<Remote>,
    /// The queue that such packets are sent by.
    pub queue: Option<u32>,
}

/// What the switch does for itself.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OwnFlows {
    /// In-band control, where somebody is to be reached.
    pub in_band: Option<InBand>,
    /// No controller is reached, and the switch is to forward by itself.
    pub fail_open: bool,
}

fn udp(from: u16, to: u16) -> Match {
    let mut m = ip(ip_proto::UDP);
    m.set(Field::UDP_SRC, from.into());
    m.set(Field::UDP_DST, to.into());
    m
}

fn ip(proto: u8) -> Match {
    let mut m = Match::any();
    m.set(Field::ETH_TYPE, ethertype::IPV4.into());
    m.set(Field::NW_PROTO, proto.into());
    m
}

fn arp(op: u16) -> Match {
    let mut m = Match::any();
    m.set(Field::ETH_TYPE, ethertype::ARP.into());
    m.set(Field::ARP_OP, op.into());
    m
}

fn with(mut m: Match, field: Field, value: u128) -> Match {
    m.set(field, value);
    m
}

impl InBand {
    /// Matches and priorities: what the local port and the remotes say to each other, and how they find each other.
    fn matches(&self) -> Vec<(u32, Match)> {
        const REQUEST: u16 = 1;
        const REPLY: u16 = 2;
        let local = self.local.to_u64().into();
        let from_local = with(udp(68, 67), Field::IN_PORT, OfPort::LOCAL.0.into());
        let mut all = vec![
            (0, with(from_local, Field::ETH_SRC, local)),
            (1, with(arp(REPLY), Field::ETH_DST, local)),
            (2, with(arp(REQUEST), Field::ETH_SRC, local)),
        ];
        for remote in &self.remotes {
            let ip4 = u128::from(remote.ip.to_bits());
            if let Some(hop) = remote.next_hop {
                let hop = hop.to_u64().into();
                all.push((3, with(arp(REPLY), Field::ETH_DST, hop)));
                all.push((4, with(arp(REQUEST), Field::ETH_SRC, hop)));
            }
            all.push((5, with(arp(REPLY), Field::ARP_TPA, ip4)));
            all.push((6, with(arp(REQUEST), Field::ARP_SPA, ip4)));
            let to = with(ip(ip_proto::TCP), Field::IP_DST, ip4);
            all.push((7, with(to, Field::TCP_DST, remote.port.into())));
            let from = with(ip(ip_proto::TCP), Field::IP_SRC, ip4);
            all.push((8, with(from, Field::TCP_SRC, remote.port.into())));
        }
        all.into_iter().map(|(n, m)| (IN_BAND + n, m)).collect()
    }
}

impl Bridge {
    /// Has the switch's own flows be as wanted. Fail-open begins with empty tables.
    pub fn set_own_flows(&mut self, wanted: OwnFlows, now: Instant) {
        if self.own_flows.0 == wanted {
            return;
        }
        if wanted.fail_open && !self.own_flows.0.fail_open {
            self.flush_flows(false, now);
        }
        let mut change = self.tables.begin();
        for rule in std::mem::take(&mut self.own_flows.1) {
            change.remove(rule);
        }
        let normal = Action::Output { port: OfPort::NORMAL, max_len: 0 };
        if let Some(in_band) = &wanted.in_band {
            let queue = in_band.queue.map(Action::SetQueue);
            let actions: Vec<Action> = queue.into_iter().chain([normal.clone()]).collect();
            for (priority, matching) in in_band.matches() {
                let matching = MiniMatch::new(&matching);
                // Two remotes may have the same next hop.
                if !self.own_flows.1.iter().any(|r| r.priority == priority && r.matching == matching) {
                    let rule = self.tables.hide(&mut change, 0, priority, matching, actions.clone(), now);
                    self.own_flows.1.push(rule);
                }
            }
        }
        if wanted.fail_open {
            let rule = self.tables.hide(&mut change, 0, FAIL_OPEN, MiniMatch::default(), vec![normal], now);
            self.own_flows.1.push(rule);
        }
        self.own_flows.0 = wanted;
        self.commit(change, None, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_of_in_band_control() {
        let remote = Remote { ip: Ipv4Addr::new(10, 0, 0, 9), port: 6653, next_hop: None };
        let near = Remote { next_hop: Some(EthAddr::from_u64(7)), ..remote };
        let check = |remotes: &[Remote], expect: &[&str]| {
            let local = EthAddr::from_u64(0xaa55_aa55_0000);
            let in_band = InBand { local, remotes: remotes.to_vec(), queue: None };
            let text = |(priority, m): (u32, Match)| {
                let text = openflow::text::match_and_actions(&MiniMatch::new(&m), 0x8000, &[]);
                format!("{priority} {}", text.trim_end_matches(",actions=drop"))
            };
            let all: Vec<String> = in_band.matches().into_iter().map(text).collect();
            assert_eq!(all, expect);
        };
        let common = [
            "180000 udp,in_port=LOCAL,dl_src=aa:55:aa:55:00:00,tp_src=68,tp_dst=67",
            "180001 arp,dl_dst=aa:55:aa:55:00:00,arp_op=2",
            "180002 arp,dl_src=aa:55:aa:55:00:00,arp_op=1",
        ];
        let hop = ["180003 arp,dl_dst=00:00:00:00:00:07,arp_op=2", "180004 arp,dl_src=00:00:00:00:00:07,arp_op=1"];
        let far = [
            "180005 arp,arp_tpa=10.0.0.9,arp_op=2",
            "180006 arp,arp_spa=10.0.0.9,arp_op=1",
            "180007 tcp,nw_dst=10.0.0.9,tp_dst=6653",
            "180008 tcp,nw_src=10.0.0.9,tp_src=6653",
        ];
        check(&[remote], &[&common[..], &far].concat());
        check(&[near], &[&common[..], &hop, &far].concat());
    }
}
