//! `encap` and `decap`: headers in front of the whole packet, and packets that are not Ethernet (ovs-actions(7)).
//!
//! A header that was put in front can be written to by the actions that follow, so it reaches the packet only when the
//! packet is next needed, with what the key says by then.

use datapath::DpAction;
use datapath::action::{EthHeader, NshHeader};
use flow::PacketType;
use openflow::action::{Encap, EncapProp};
use wire::EthAddr;
use wire::layers::{ethertype, is_mpls};

use crate::fields::mpls_count;
use crate::request::XlateError;
use crate::trace::NodeKind;
use crate::xlate::Xlator;

/// A header on its way to the packet.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    Ethernet,
    /// The Ethernet header is to go.
    Bare,
    Nsh(Box<NshHeader>),
    Mpls,
}

impl Xlator<'_> {
    fn drop_packet(&mut self, why: impl FnOnce() -> String) {
        self.note(NodeKind::Action, why);
        self.fail(XlateError::UnsupportedPacketType);
    }

    /// Puts the header that `encap` asked for in front of the packet, or takes away the one that `decap` did. What else was
    /// changed since is still to be done.
    pub(crate) fn push_pending(&mut self) {
        let action = match self.pending.take() {
            None => return,
            Some(Pending::Ethernet) => {
                self.base.set_eth_src(self.key.eth_src());
                self.base.set_eth_dst(self.key.eth_dst());
                DpAction::PushEth(EthHeader { src: self.key.eth_src(), dst: self.key.eth_dst() })
            }
            Some(Pending::Bare) => DpAction::PopEth,
            Some(Pending::Nsh(mut header)) => {
                header.flags = self.key.nsh_flags();
                header.ttl = self.key.nsh_ttl();
                header.spi = self.key.nsh_spi();
                header.si = self.key.nsh_si();
                if header.mdtype == 1 {
                    let context = [self.key.word(55), self.key.word(56)];
                    header.metadata = context.iter().flat_map(|w| w.to_be_bytes()).collect();
                }
                for word in 54..57 {
                    self.base.set_word(word, self.key.word(word));
                }
                DpAction::PushNsh(header)
            }
            Some(Pending::Mpls) => {
                self.base.set_mpls_lse(0, self.key.mpls_lse(0));
                DpAction::AddMpls { ethertype: self.key.eth_type(), lse: self.key.mpls_lse(0) }
            }
        };
        self.out.actions.push(action);
    }

    pub(crate) fn encap(&mut self, e: &Encap) {
        let now = self.key.packet_type();
        match e.packet_type {
            PacketType::ETHERNET if now == PacketType::ETHERNET => {
                self.drop_packet(|| {
                    "Dropping packet as encap(ethernet) is not supported for packet type ethernet.".into()
                });
            }
            PacketType::ETHERNET => {
                self.commit();
                self.key.set_packet_type(PacketType::ETHERNET);
                self.key.set_eth_type(now.ethertype());
                self.key.set_eth_src(EthAddr::ZERO);
                self.key.set_eth_dst(EthAddr::ZERO);
                self.base = self.key;
                self.pending = Some(Pending::Ethernet);
            }
            PacketType::NSH => self.encap_nsh(e),
            PacketType::MPLS | PacketType::MPLS_MCAST => self.encap_mpls(e.packet_type),
            _ => self.fail(XlateError::UnsupportedPacketType),
        }
    }

    fn encap_mpls(&mut self, ty: PacketType) {
        self.commit();
        let ethernet = self.key.packet_type() == PacketType::ETHERNET;
        let depth = if ethernet { 0 } else { mpls_count(&self.key, None) };
        if depth == 0 {
            // Label 0, the bottom of the stack, 64 hops: whatever the packet is behind it.
            let lse = 0x140;
            for n in 0..flow::key::MAX_MPLS {
                self.key.set_mpls_lse(n, 0);
            }
            self.key.set_mpls_lse(0, lse);
            self.forget_payload();
            self.key.set_eth_type(ty.ethertype());
        } else {
            self.push_mpls(ty.ethertype());
        }
        if ethernet {
            self.key.set_eth_src(EthAddr::ZERO);
            self.key.set_eth_dst(EthAddr::ZERO);
            for n in 0..flow::key::MAX_VLANS {
                self.key.set_vlan_tci(n, 0);
                self.key.set_vlan_tpid(n, 0);
            }
        }
        self.key.set_packet_type(ty);
        self.base = self.key;
        self.pending = Some(Pending::Mpls);
    }

    /// What was the packet is now payload.
    fn forget_payload(&mut self) {
        for word in 44..58 {
            self.key.set_word(word, 0);
        }
    }

    fn encap_nsh(&mut self, e: &Encap) {
        self.commit();
        let np = match self.key.packet_type() {
            PacketType::ETHERNET => 3,
            PacketType::IPV4 => 1,
            PacketType::IPV6 => 2,
            PacketType::NSH => 4,
            other => {
                let text = other.to_string();
                return self
                    .drop_packet(|| format!("Dropping packet as encap(nsh) is not supported for packet type {text}"));
            }
        };
        let mut header = NshHeader { mdtype: 1, np, ..Default::default() };
        let mut options = Vec::new();
        for prop in &e.props {
            match prop {
                EncapProp::NshMdType(ty) => header.mdtype = *ty,
                EncapProp::NshTlv { class, ty, value } => {
                    options.extend_from_slice(&class.to_be_bytes());
                    options.extend_from_slice(&[*ty, value.len() as u8]);
                    options.extend_from_slice(value);
                    options.resize(options.len().next_multiple_of(4), 0);
                }
            }
        }
        for word in 39..58 {
            self.key.set_word(word, 0);
        }
        self.key.set_packet_type(PacketType::NSH);
        self.key.set_eth_type(ethertype::NSH);
        self.key.set_nsh_ttl(63);
        self.key.set_nsh_mdtype(header.mdtype);
        self.key.set_nsh_np(np);
        self.key.set_nsh_si(255);
        header.metadata = options.into();
        self.base = self.key;
        self.pending = Some(Pending::Nsh(Box::new(header)));
    }

    pub(crate) fn decap(&mut self, to: PacketType) {
        match self.key.packet_type() {
            PacketType::ETHERNET if crate::fields::vlan_count(&self.key) > 0 => {
                self.drop_packet(|| "Dropping packet, cannot decap Ethernet if VLAN is present.".into());
            }
            PacketType::ETHERNET => {
                self.commit();
                let ty = self.key.eth_type();
                self.key.set_packet_type(PacketType::new(1, ty));
                self.key.set_eth_src(EthAddr::ZERO);
                self.key.set_eth_dst(EthAddr::ZERO);
                self.base = self.key;
                self.pending = Some(Pending::Bare);
            }
            PacketType::NSH => self.decap_nsh(),
            ty if is_mpls(ty.ethertype()) && ty.ns() == 1 => self.decap_mpls(to),
            other => {
                let text = other.to_string();
                self.drop_packet(|| format!("Dropping packet as the decap() does not support packet type {text}"));
            }
        }
    }

    fn decap_nsh(&mut self) {
        self.wc.set_nsh_np(0xff);
        self.commit();
        let inner = match self.key.nsh_np() {
            1 => PacketType::IPV4,
            2 => PacketType::IPV6,
            3 => PacketType::ETHERNET,
            4 => PacketType::NSH,
            np => {
                return self.drop_packet(|| format!("Dropping packet as NSH next protocol {np} is not supported"));
            }
        };
        self.out.actions.push(DpAction::PopNsh);
        if matches!(inner, PacketType::ETHERNET | PacketType::NSH) {
            // Its other fields are looked at again after the recirculation only.
            self.key.set_packet_type(inner);
            self.base = self.key;
            return self.freeze();
        }
        self.become_unknown(inner);
    }

    fn decap_mpls(&mut self, to: PacketType) {
        let bottom = mpls_count(&self.key, Some(&mut self.wc)) <= 1;
        self.commit();
        // The Ethernet type that stands for an Ethernet frame (RFC 1701: transparent Ethernet bridging).
        let exposed = match to {
            PacketType::ETHERNET => 0x6558,
            to if to.ns() == 1 && to.ethertype() != 0 => to.ethertype(),
            _ if bottom => return self.fail(XlateError::UnsupportedPacketType),
            _ => ethertype::MPLS,
        };
        self.out.actions.push(DpAction::PopMpls(exposed));
        self.become_unknown(if to.ns() == 0 { PacketType::ETHERNET } else { PacketType::new(1, exposed) });
        if to.ns() == 0 {
            self.key.set_eth_type(exposed);
        }
    }

    /// The packet is now one that was not extracted: it goes through the datapath again.
    fn become_unknown(&mut self, ty: PacketType) {
        for word in 39..58 {
            self.key.set_word(word, 0);
        }
        self.key.set_packet_type(ty);
        self.key.set_eth_type(if ty == PacketType::ETHERNET { 0 } else { ty.ethertype() });
        self.base = self.key;
        self.freeze();
    }
}
