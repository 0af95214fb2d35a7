//! NORMAL: a learning switch with VLANs (IEEE 802.1Q).

use flow::key::{VLAN_CFI, VLAN_PCP_MASK};
use flow::{FlowKey, OfPort};
use wire::EthAddr;
use wire::layers::ethertype;

use crate::request::Effect;
use crate::view::{Admission, BridgeConfig, Bundle, BundleId, PriorityTags, StpState, VlanMode};
use crate::xlate::{NormalOutput, Xlator};

/// A tag as NORMAL handles it: Ethernet type, VLAN (0: none or priority only), priority bits in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tag {
    pub tpid: u16,
    pub vid: u16,
    pub pcp: u16,
}

/// Both tags of a packet, outermost first.
pub(crate) type Tags = [Tag; 2];

fn tags_of(key: &FlowKey) -> Tags {
    [0, 1].map(|n| {
        let tci = key.vlan_tci(n);
        if tci & VLAN_CFI == 0 {
            Tag::default()
        } else {
            Tag { tpid: key.vlan_tpid(n), vid: tci & 0xfff, pcp: tci & 0xe000 }
        }
    })
}

/// Writes the tags with which a packet leaves. `pcp` is the priority that its outermost tag has now: ports that send
/// priority tags keep it, in a tag of VLAN 0 if need be. `always` keeps a tag of zeros that came in, too.
fn put_tags(key: &mut FlowKey, tags: &Tags, priority: PriorityTags, pcp: u16) {
    for (n, tag) in tags.iter().enumerate() {
        let kept = if n == 0 && priority != PriorityTags::Never { pcp } else { 0 };
        let tci = tag.vid | tag.pcp | kept;
        if tci != 0 || priority == PriorityTags::Always && tag.tpid != 0 {
            key.set_vlan_tci(n, tci | VLAN_CFI);
            key.set_vlan_tpid(n, if tag.tpid == 0 { ethertype::VLAN } else { tag.tpid });
        } else {
            key.set_vlan_tci(n, 0);
            key.set_vlan_tpid(n, 0);
        }
    }
}

impl Bundle {
    fn trunks(&self, vid: u16) -> bool {
        self.trunks.as_ref().is_none_or(|t| t.contains(vid))
    }

    fn allows_customer(&self, vid: u16) -> bool {
        self.cvlans.as_ref().is_none_or(|t| t.contains(vid))
    }

    /// Whether the port carries packets of these tags outwards.
    pub(crate) fn includes(&self, tags: &Tags) -> bool {
        match self.vlan_mode {
            VlanMode::Access => tags[0].vid == self.tag && tags[1].vid == 0,
            VlanMode::Trunk => self.trunks(tags[0].vid),
            VlanMode::NativeTagged | VlanMode::NativeUntagged => {
                tags[0].vid == self.tag || tags[0].vid != 0 && self.trunks(tags[0].vid)
            }
            VlanMode::Dot1qTunnel => tags[0].vid == self.tag && self.allows_customer(tags[1].vid),
        }
    }

    /// The tags inside the bridge of a packet that came in with `tags`.
    pub(crate) fn inward(&self, tags: &Tags) -> Tags {
        match self.vlan_mode {
            VlanMode::Access => [Tag { vid: self.tag, ..tags[0] }, Tag::default()],
            VlanMode::NativeTagged | VlanMode::NativeUntagged if tags[0].vid == 0 => {
                [Tag { vid: self.tag, ..tags[0] }, Tag::default()]
            }
            VlanMode::Trunk | VlanMode::NativeTagged | VlanMode::NativeUntagged => *tags,
            VlanMode::Dot1qTunnel => {
                let tpid = if self.qinq_ethtype == 0 { ethertype::QINQ } else { self.qinq_ethtype };
                [Tag { tpid, vid: self.tag, pcp: 0 }, tags[0]]
            }
        }
    }

    /// The tags with which a packet leaves that has `tags` inside the bridge.
    pub(crate) fn outward(&self, tags: &Tags) -> Tags {
        match self.vlan_mode {
            VlanMode::Access => Tags::default(),
            VlanMode::NativeUntagged if tags[0].vid == self.tag => [tags[1], Tag::default()],
            VlanMode::Trunk | VlanMode::NativeTagged | VlanMode::NativeUntagged => *tags,
            VlanMode::Dot1qTunnel => [tags[1], Tag::default()],
        }
    }
}

impl Xlator<'_> {
    /// The bundle that the packet came in by; `None` for a packet from nowhere in particular.
    fn input_bundle(&mut self) -> Option<(Option<BundleId>, Bundle)> {
        let in_port = self.key.in_port();
        if in_port == OfPort::NONE || in_port == OfPort::CONTROLLER {
            return Some((None, Bundle { vlan_mode: VlanMode::Trunk, ..Bundle::default() }));
        }
        let config = self.here.config.clone();
        match config.ports.get(&in_port).and_then(|p| config.bundles.get(&p.bundle)) {
            Some(bundle) => Some((Some(bundle.id), bundle.clone())),
            None => {
                self.problem(|| format!("received packet on unknown port {}", in_port.0));
                self.warning(|| "no input bundle, dropping".into());
                None
            }
        }
    }

    pub(crate) fn normal(&mut self) {
        self.wc.set_eth_src(EthAddr::BROADCAST);
        self.wc.set_eth_dst(EthAddr::BROADCAST);
        self.wc.set_vlan_tci(0, self.wc.vlan_tci(0) | 0x1fff);
        if self.key.vlan_tci(1) & VLAN_CFI != 0 {
            // Access ports do not carry packets that are tagged inside.
            self.wc.set_vlan_tci(1, self.wc.vlan_tci(1) | 0x1fff);
        }
        let Some((from, input)) = self.input_bundle() else { return };
        let config = self.here.config.clone();
        let outer = tags_of(&self.key);
        if !self.admits_vlan(&input, outer[0].vid) {
            return self.warning(|| "disallowed VLAN VID for this input port, dropping".into());
        }
        let tags = input.inward(&outer);
        let vlan = tags[0].vid;
        if from.is_some() && !self.admissible(&config, &input, vlan) {
            return;
        }
        let learned = from.is_some_and(|id| self.learn_mac(&config, &input, id, vlan));
        let dst = self.key.eth_dst();
        let known = if learned && dst == self.key.eth_src() {
            // What was learned from the packet holds for the packet.
            from
        } else {
            self.here.bridge.macs().lookup(self.req.now, vlan, dst).map(|e| e.port)
        };
        match known {
            Some(port) if Some(port) == from => self.detail(|| "learned port is input port, dropping".into()),
            Some(port) => match config.bundles.get(&port) {
                Some(out) if input.protected && out.protected => {
                    self.detail(|| "dropping packet to protected port".into());
                }
                Some(out) => {
                    self.detail(|| "forwarding to learned port".into());
                    self.output_bundle(out, &tags);
                }
                None => self.detail(|| "learned port is unknown, dropping".into()),
            },
            None => {
                self.detail(|| "no learned MAC for destination, flooding".into());
                self.normal_flood(&config, from, &input, &tags);
            }
        }
    }

    fn normal_flood(&mut self, config: &BridgeConfig, from: Option<BundleId>, input: &Bundle, tags: &Tags) {
        for id in &config.flood_order {
            let Some(out) = config.bundles.get(id) else { continue };
            let mirror_only = config.mirrors.iter().any(|m| m.out_bundle == Some(*id));
            if Some(*id) != from && !out.no_flood && !mirror_only && out.includes(tags) {
                if input.protected && out.protected {
                    self.warning(|| "Flow is between protected ports, skipping output.".into());
                } else {
                    self.output_bundle(out, tags);
                }
            }
        }
        self.normal = NormalOutput::Flood;
    }

    fn admits_vlan(&mut self, input: &Bundle, vid: u16) -> bool {
        let name = &input.name;
        match input.vlan_mode {
            VlanMode::Access => {
                if vid != 0 {
                    let tag = input.tag;
                    self.problem(|| {
                        format!("dropping VLAN {vid} tagged packet received on port {name} configured as VLAN {tag} access port")
                    });
                }
                vid == 0
            }
            VlanMode::NativeTagged | VlanMode::NativeUntagged if vid == 0 => true,
            VlanMode::Trunk | VlanMode::NativeTagged | VlanMode::NativeUntagged => {
                let ok = input.trunks(vid);
                if !ok {
                    self.problem(|| {
                        format!(
                            "dropping VLAN {vid} packet received on port {name} not configured for trunking VLAN {vid}"
                        )
                    });
                }
                ok
            }
            VlanMode::Dot1qTunnel => {
                let ok = input.allows_customer(vid);
                if !ok {
                    self.problem(|| {
                        format!(
                            "dropping VLAN {vid} packet received on dot1q-tunnel port {name} that excludes this VLAN"
                        )
                    });
                }
                ok
            }
        }
    }

    fn admissible(&mut self, config: &BridgeConfig, input: &Bundle, vlan: u16) -> bool {
        let dst = self.key.eth_dst();
        if !config.forward_bpdu && crate::special::is_reserved(dst) {
            self.detail(|| "packet has reserved destination MAC, dropping".into());
            return false;
        }
        let Some(bond) = &input.bond else { return true };
        match bond.admits(self.key.in_port(), dst) {
            Admission::Accept => true,
            Admission::Drop => {
                self.detail(|| "bonding refused admissibility, dropping".into());
                false
            }
            Admission::DropIfMoved => {
                let src = self.key.eth_src();
                let known = self.here.bridge.macs().lookup(self.req.now, vlan, src).map(|e| e.port);
                let moved = known.is_some_and(|p| p != input.id) && !self.is_gratuitous_arp();
                if moved {
                    self.detail(|| "SLB bond thinks this packet looped back, dropping".into());
                }
                !moved
            }
        }
    }

    fn is_gratuitous_arp(&mut self) -> bool {
        if self.key.eth_type() != ethertype::ARP {
            return false;
        }
        if !self.key.eth_dst().is_broadcast() {
            return false;
        }
        self.wc.set_nw_proto(0xff);
        if self.key.nw_proto() == 2 {
            return true;
        }
        if self.key.nw_proto() != 1 {
            return false;
        }
        self.wc.set_nw_src([255; 4].into());
        self.wc.set_nw_dst([255; 4].into());
        self.key.nw_src() == self.key.nw_dst()
    }

    fn learn_mac(&mut self, config: &BridgeConfig, input: &Bundle, bundle: BundleId, vlan: u16) -> bool {
        let mac = self.key.eth_src();
        if !self.req.side_effects || mac.is_multicast() || config.flood_vlans.contains(vlan) {
            return false;
        }
        if self.recorder.is_some() {
            let known = self.here.bridge.macs().lookup(self.req.now, vlan, mac);
            if known.is_none_or(|e| e.port != bundle && e.expires.is_some()) {
                let name = input.name.clone();
                self.detail(|| format!("learned that {mac} is on port {name} in VLAN {vlan}"));
            }
        }
        let gratuitous_arp = self.is_gratuitous_arp() && input.bond.is_some();
        self.out.effects.push(Effect::LearnMac { bridge: config.id, vlan, mac, bundle, gratuitous_arp });
        true
    }

    /// A port that learns but does not forward.
    pub(crate) fn learn_only(&mut self) {
        self.wc.set_eth_src(EthAddr::BROADCAST);
        self.wc.set_vlan_tci(0, self.wc.vlan_tci(0) | 0x1fff);
        let config = self.here.config.clone();
        if let Some((Some(id), input)) = self.input_bundle() {
            let tags = input.inward(&tags_of(&self.key));
            self.learn_mac(&config, &input, id, tags[0].vid);
        }
    }

    /// Sends the packet, which has `tags` inside the bridge, by a bundle.
    pub(crate) fn output_bundle(&mut self, out: &Bundle, tags: &Tags) {
        let leaving = out.outward(tags);
        let port = match (&out.bond, out.ports.as_slice()) {
            (_, []) => None,
            (None, [first, ..]) => Some(*first),
            (Some(bond), _) => bond.choose(&self.key, &mut self.wc, leaving[0].vid),
        };
        let Some(port) = port else { return };
        let before = [0, 1].map(|n| (self.key.vlan_tci(n), self.key.vlan_tpid(n)));
        for (n, (tci, _)) in before.into_iter().enumerate() {
            // Whether a tag without a VLAN stays depends on its priority.
            if tci & VLAN_CFI != 0 && tci & 0xfff == 0 {
                self.wc.set_vlan_tci(n, self.wc.vlan_tci(n) | VLAN_PCP_MASK);
            }
        }
        put_tags(&mut self.key, &leaving, out.priority_tags, before[0].0 & VLAN_PCP_MASK);
        self.send(port);
        for (n, (tci, tpid)) in before.into_iter().enumerate() {
            self.key.set_vlan_tci(n, tci);
            self.key.set_vlan_tpid(n, tpid);
        }
    }

    // Mirrors.

    fn tags_inside(&self, bundle: Option<BundleId>) -> Tags {
        let tags = tags_of(&self.key);
        match bundle.and_then(|b| self.here.config.bundles.get(&b)) {
            Some(b) => b.inward(&tags),
            None => tags,
        }
    }

    /// Copies a packet that came in to the mirrors that select its port.
    pub(crate) fn mirror_ingress(&mut self) {
        if self.here.config.mirrors.is_empty() {
            return;
        }
        let config = self.here.config.clone();
        let Some(bundle) = config.ports.get(&self.key.in_port()).map(|p| p.bundle) else { return };
        if config.ports.get(&self.key.in_port()).is_some_and(|p| p.stp != StpState::Forwarding) {
            return;
        }
        let selected = bits(config.mirrors.iter().map(|m| m.src.contains(&bundle)));
        self.mirror(selected, bundle);
    }

    /// Copies a packet that leaves to the mirrors that select its port.
    pub(crate) fn mirror_egress(&mut self, bundle: BundleId) {
        if self.here.config.mirrors.is_empty() {
            return;
        }
        let config = self.here.config.clone();
        let selected = bits(config.mirrors.iter().map(|m| m.dst.contains(&bundle)));
        self.mirror(selected, bundle);
    }

    fn mirror(&mut self, selected: u32, bundle: BundleId) {
        let todo = selected & !self.mirrors;
        if todo == 0 {
            return;
        }
        let config = self.here.config.clone();
        let tags = self.tags_inside(Some(bundle));
        for (i, m) in config.mirrors.iter().enumerate().filter(|(i, _)| todo >> i & 1 != 0) {
            if let Some(vlans) = &m.vlans {
                self.wc.set_vlan_tci(0, self.wc.vlan_tci(0) | 0x1fff);
                if !vlans.contains(tags[0].vid) {
                    continue;
                }
            }
            if let Some(filter) = &m.filter {
                for (word, _, mask) in filter.iter() {
                    self.wc.set_word(word, self.wc.word(word) | mask);
                }
                if !filter.matches(&self.key) {
                    continue;
                }
            }
            if self.mirrors >> i & 1 != 0 {
                continue;
            }
            self.mirrors |= 1 << i;
            self.out.credits.push(crate::request::Credit::Mirrors(config.id, 1 << i));
            let truncate = std::mem::replace(&mut self.truncate, (m.snaplen != 0).then(|| u32::from(m.snaplen)));
            let mirroring = std::mem::replace(&mut self.mirroring, true);
            if let Some(out) = m.out_bundle.and_then(|b| config.bundles.get(&b)) {
                if out.id != bundle {
                    self.output_bundle(out, &tags);
                }
            } else if m.out_vlan != 0 && m.out_vlan != tags[0].vid && !crate::special::is_reserved(self.key.eth_dst()) {
                let mirrored = [Tag { vid: m.out_vlan, ..tags[0] }, tags[1]];
                for id in &config.flood_order {
                    if let Some(out) = config.bundles.get(id)
                        && out.includes(&mirrored)
                        && !config.mirrors.iter().any(|m| m.out_bundle == Some(*id))
                    {
                        self.output_bundle(out, &mirrored);
                    }
                }
            }
            self.truncate = truncate;
            self.mirroring = mirroring;
        }
    }
}

fn bits(flags: impl Iterator<Item = bool>) -> u32 {
    flags.take(32).enumerate().fold(0, |all, (i, on)| all | u32::from(on) << i)
}
