//! What the kernel can do, found out by trying.
//!
//! Every trial is marked as one, so that the kernel says nothing about those that fail. Flows are put with an input port and an
//! Ethernet type that no packet has, and taken away again.

use crate::Kernel;
use crate::transport::Request;
use datapath::Features;
use netlink::Writer;
use netlink::attr::NESTED;
use netlink::flow::Flow;
use netlink::ovs::{action, command, ct, key, nat};
use netlink::packet::{self, Packet};

/// What every kernel can do that has a datapath at all; the rest is looked for.
pub const LEAST: Features = Features {
    max_vlan_headers: 1,
    max_mpls_depth: 0,
    recirc: false,
    ct_state: false,
    ct_zone: false,
    ct_mark: false,
    ct_label: false,
    ct_state_nat: false,
    ct_orig_tuple: false,
    ct_orig_tuple6: false,
    nd_extensions: false,
    masked_set: false,
    tunnel_push_pop: false,
    ufid: false,
    trunc: false,
    clone: false,
    sample_nesting: 0,
    ct_eventmask: false,
    ct_clear: false,
    max_hash_alg: 0,
    check_pkt_len: false,
    ct_timeout: false,
    explicit_drop: false,
    lb_output: false,
    add_mpls: false,
    psample: false,
    ct_zero_snat: false,
    queue_classes: true,
};

/// Deepest nesting of samples that is looked for.
const SAMPLES: u32 = 10;
/// Local experimental Ethernet type (IEEE 802).
const ETH_LOCAL: u16 = 0x1234;
const MAC: [u8; 12] = [0; 12];

struct Probe<'a> {
    kernel: &'a Kernel,
    ports: u32,
}

impl Probe<'_> {
    /// Whether the kernel takes a flow with this key and these actions.
    fn flow(&self, fill_key: impl FnOnce(&mut Writer), fill_actions: impl FnOnce(&mut Writer)) -> bool {
        let (mut k, mut a) = (Writer::new(), Writer::new());
        k.u32(key::IN_PORT, self.ports).put(key::ETHERNET, &MAC);
        fill_key(&mut k);
        fill_actions(&mut a);
        self.take(&k, &a, None)
    }

    fn take(&self, k: &Writer, a: &Writer, ufid: Option<u128>) -> bool {
        let family = self.kernel.transport.families.flow;
        let flow = Flow {
            dp: self.kernel.ifindex(),
            ufid,
            key: Some(k.bytes()),
            actions: Some(a.bytes()),
            probe: true,
            ..Flow::default()
        };
        let put = Request::new(family, flow.encode(command::NEW));
        let which = Flow { dp: self.kernel.ifindex(), ufid, key: Some(k.bytes()), probe: true, ..Flow::default() };
        let found = |answer: &[u8]| Flow::parse(answer).is_ok_and(|(_, f)| f.ufid == ufid);
        self.kernel
            .transport
            .with(|c| {
                if c.ask(&put).is_err() {
                    return Ok(false);
                }
                let there = c.ask(&Request::new(family, which.encode(command::GET)));
                let _ = c.ask(&Request::new(family, which.encode(command::DEL)));
                Ok(matches!(there, Ok(Some(answer)) if found(&answer)))
            })
            .unwrap_or(false)
    }

    /// Whether the kernel takes these actions in a flow.
    fn action(&self, fill: impl FnOnce(&mut Writer)) -> bool {
        self.flow(
            |w| {
                w.be16(key::ETHERTYPE, ETH_LOCAL);
            },
            fill,
        )
    }

    /// Whether the kernel does these actions to a packet; says with what error if not.
    fn execute(&self, packet: &[u8], fill: impl FnOnce(&mut Writer)) -> Result<(), i32> {
        let (mut k, mut a) = (Writer::new(), Writer::new());
        k.u32(key::PRIORITY, 0).u32(key::SKB_MARK, 0).u32(key::IN_PORT, 0);
        fill(&mut a);
        let p = Packet {
            dp: self.kernel.ifindex(),
            packet: Some(packet),
            key: Some(k.bytes()),
            actions: Some(a.bytes()),
            probe: true,
            ..Packet::default()
        };
        let request = Request::new(self.kernel.transport.families.packet, p.encode(packet::EXECUTE));
        let done = self.kernel.transport.with(|c| c.ask(&request));
        done.map(drop).map_err(|e| e.raw_os_error().unwrap_or(0))
    }

    /// A UDP packet without data, for what looks into packets.
    fn ip_packet() -> Vec<u8> {
        let mut p = vec![0; 14];
        p[12] = 8;
        // Version and length, 28 bytes, UDP, from 127.0.0.1 to 127.0.0.1.
        p.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        let sum = checksum(&p[14..24], &p[26..34]);
        p[24..26].copy_from_slice(&sum.to_be_bytes());
        p.extend([0, 9, 0, 9, 0, 8, 0, 0]);
        p
    }

    fn local_packet() -> Vec<u8> {
        let mut p = vec![0; 14];
        p[12..14].copy_from_slice(&ETH_LOCAL.to_be_bytes());
        p
    }

    fn samples(&self) -> u32 {
        fn nested(w: &mut Writer, depth: u32) {
            if depth == 0 {
                w.u32(action::OUTPUT, 1);
                return;
            }
            w.nest(action::SAMPLE, |w| {
                w.nest(action::SAMPLE_ACTIONS, |w| nested(w, depth - 1));
                w.u32(action::SAMPLE_PROBABILITY, u32::MAX);
            });
        }
        (1..=SAMPLES).take_while(|n| self.action(|w| nested(w, *n))).last().unwrap_or(0)
    }

    fn vlans(&self) -> u32 {
        fn tagged(w: &mut Writer, depth: u32) {
            if depth == 0 {
                w.be16(key::ETHERTYPE, 0x800).put(key::IPV4, &[0; 12]);
                return;
            }
            w.be16(key::ETHERTYPE, 0x8100).be16(key::VLAN, 0x1000).nest(key::ENCAP, |w| tagged(w, depth - 1));
        }
        (1..=flow::key::MAX_VLANS as u32).take_while(|n| self.flow(|w| tagged(w, *n), |_| {})).last().unwrap_or(0)
    }

    fn labels(&self) -> u32 {
        let stack = |w: &mut Writer, n: u32| {
            let lses: Vec<u8> = (1..=n).flat_map(|i| (u32::from(i == n) << 8).to_be_bytes()).collect();
            w.be16(key::ETHERTYPE, 0x8847).put(key::MPLS, &lses);
        };
        (1..=flow::key::MAX_MPLS as u32).take_while(|n| self.flow(|w| stack(w, *n), |_| {})).last().unwrap_or(0)
    }

    fn metadata(&self, kind: u16, value: &[u8]) -> bool {
        self.flow(
            |w| {
                w.put(kind, value).be16(key::ETHERTYPE, ETH_LOCAL);
            },
            |_| {},
        )
    }

    fn tuple(&self, v6: bool) -> bool {
        self.flow(
            |w| {
                w.u32(key::CT_STATE, flow::key::CS_TRK.into());
                if v6 {
                    let mut tuple = [1; 40];
                    tuple[36] = 6;
                    w.put(key::CT_TUPLE6, &tuple).be16(key::ETHERTYPE, 0x86dd).put(key::IPV6, &[0; 40]);
                } else {
                    let mut tuple = [1; 16];
                    tuple[12] = 6;
                    w.put(key::CT_TUPLE4, &tuple).be16(key::ETHERTYPE, 0x800).put(key::IPV4, &[0; 12]);
                }
            },
            |_| {},
        )
    }

    fn masked_set(&self) -> bool {
        self.execute(&Self::local_packet(), |w| {
            w.nest(action::SET_MASKED, |w| {
                w.put(key::ETHERNET, &[[0x53; 12], [0x7f; 12]].concat());
            });
        }) != Err(rustix::io::Errno::INVAL.raw_os_error())
    }

    fn commit(&self, fill: impl Fn(&mut Writer)) -> bool {
        let done = self.execute(&Self::ip_packet(), |w| {
            w.nest(action::CT, |w| {
                fill(w);
            });
        });
        done != Err(rustix::io::Errno::INVAL.raw_os_error())
    }
}

fn checksum(a: &[u8], b: &[u8]) -> u16 {
    let words = a.chunks(2).chain(b.chunks(2));
    let mut sum: u32 = words.map(|w| u32::from(w[0]) << 8 | u32::from(w.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Tries everything.
pub(crate) fn find(kernel: &Kernel) -> Features {
    /// A port that no datapath of reasonable size has.
    const PORT: u32 = 0xfffe;
    let p = Probe { kernel, ports: PORT };
    let four = |n: u32| n.to_ne_bytes();
    let ct_flags = ct::COMMIT;
    Features {
        max_vlan_headers: p.vlans(),
        max_mpls_depth: p.labels(),
        recirc: p.metadata(key::RECIRC_ID, &four(1)),
        ct_state: p.metadata(key::CT_STATE, &four(1)),
        ct_zone: p.metadata(key::CT_ZONE, &1u16.to_ne_bytes()),
        ct_mark: p.metadata(key::CT_MARK, &four(1)),
        ct_label: p.metadata(key::CT_LABELS, &1u128.to_le_bytes()),
        ct_state_nat: p.metadata(key::CT_STATE, &four(0xa0)),
        ct_orig_tuple: p.tuple(false),
        ct_orig_tuple6: p.tuple(true),
        masked_set: p.masked_set(),
        ufid: {
            let (mut k, a) = (Writer::new(), Writer::new());
            k.u32(key::IN_PORT, PORT).put(key::ETHERNET, &MAC).be16(key::ETHERTYPE, ETH_LOCAL);
            p.take(&k, &a, Some(0x7ac1_35e2_5be5_4a3f_9a1e_0b8d_51c7_42f3))
        },
        trunc: p.execute(&Probe::local_packet(), |w| {
            w.u32(action::TRUNC, 15);
        }) != Err(rustix::io::Errno::INVAL.raw_os_error()),
        clone: p.action(|w| {
            w.nest(action::CLONE, |w| {
                w.u32(action::OUTPUT, 0);
            });
        }),
        sample_nesting: p.samples(),
        ct_eventmask: p.commit(|w| {
            w.flag(ct_flags).u32(ct::EVENTMASK, u32::MAX);
        }),
        ct_clear: p.action(|w| {
            w.flag(action::CT_CLEAR);
        }),
        max_hash_alg: u32::from(p.action(|w| {
            w.put(action::HASH, &[four(1), four(0)].concat());
        })),
        check_pkt_len: p.action(|w| {
            w.nest(action::CHECK_PKT_LEN, |w| {
                w.u16(action::CHECK_LEN, 100);
                w.nest(action::CHECK_GREATER, |_| {}).nest(action::CHECK_LESS_EQUAL, |_| {});
            });
        }),
        ct_timeout: p.commit(|w| {
            w.flag(ct_flags).string(ct::TIMEOUT, "ovs_test_tp");
        }),
        explicit_drop: p.action(|w| {
            w.u32(action::DROP, 0);
        }),
        add_mpls: p.action(|w| {
            w.put(action::ADD_MPLS, &[0, 0, 0, 0, 0x88, 0x47, 0, 0]);
        }),
        psample: p.action(|w| {
            w.nest(action::PSAMPLE | NESTED, |w| {
                w.u32(action::PSAMPLE_GROUP, 10).put(action::PSAMPLE_COOKIE, &[0x5a; 16]);
            });
        }),
        ct_zero_snat: p.commit(|w| {
            w.flag(ct_flags).nest(ct::NAT, |w| {
                w.flag(nat::SRC).put(nat::IP_MIN, &[0; 4]);
            });
        }),
        ..LEAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_is_one() {
        let p = Probe::ip_packet();
        assert_eq!((p.len(), checksum(&p[14..34], &[])), (42, 0));
    }
}
