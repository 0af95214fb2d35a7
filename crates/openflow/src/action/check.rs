//! Whether actions may stand together, and whether they fit the match of their flow.

use std::borrow::Cow;

use flow::extract::number as proto;
use flow::{Field, Match, OfPort, PacketType, Prereq};

use super::instruction::Kind;
use super::text::Place;
use super::{Action, CtZone, LearnDst, LearnSrc, NatRange};
use crate::codec::oxm_match::prereq_met;
use crate::error::Error;
use crate::protocol::Protocols;
use crate::version::{MeterId, TableId};

impl Action {
    /// The name of the action, as error messages have it.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Output { .. } => "output",
            Action::OutputReg { .. } => "output_reg",
            Action::OutputTrunc { .. } => "output_trunc",
            Action::Group(_) => "group",
            Action::Controller(_) => "controller",
            Action::Enqueue { .. } => "enqueue",
            Action::Bundle(_) => "bundle",
            Action::SetVlanVid { .. } => "set_vlan_vid",
            Action::SetVlanPcp { .. } => "set_vlan_pcp",
            Action::StripVlan { .. } => "strip_vlan",
            Action::PushVlan(_) => "push_vlan",
            Action::SetEthSrc(_) => "mod_dl_src",
            Action::SetEthDst(_) => "mod_dl_dst",
            Action::SetIpv4Src(_) => "mod_nw_src",
            Action::SetIpv4Dst(_) => "mod_nw_dst",
            Action::SetIpDscp(_) => "mod_nw_tos",
            Action::SetIpEcn(_) => "mod_nw_ecn",
            Action::SetIpTtl(_) => "mod_nw_ttl",
            Action::SetL4Src { .. } => "mod_tp_src",
            Action::SetL4Dst { .. } => "mod_tp_dst",
            Action::Move(_) => "move",
            Action::SetField(_) => "set_field",
            Action::StackPush(_) => "push",
            Action::StackPop(_) => "pop",
            Action::DeleteField(_) => "delete_field",
            Action::DecTtl { .. } => "dec_ttl",
            Action::SetMplsLabel(_) => "set_mpls_label",
            Action::SetMplsTc(_) => "set_mpls_tc",
            Action::SetMplsTtl(_) => "set_mpls_ttl",
            Action::DecMplsTtl => "dec_mpls_ttl",
            Action::PushMpls(_) => "push_mpls",
            Action::PopMpls(_) => "pop_mpls",
            Action::DecNshTtl => "dec_nsh_ttl",
            Action::SetTunnel { .. } => "set_tunnel",
            Action::SetQueue(_) => "set_queue",
            Action::PopQueue => "pop_queue",
            Action::FinTimeout { .. } => "fin_timeout",
            Action::Resubmit(_) => "resubmit",
            Action::Learn(_) => "learn",
            Action::Conjunction { .. } => "conjunction",
            Action::Multipath(_) => "multipath",
            Action::Note(_) => "note",
            Action::Exit => "exit",
            Action::Sample(_) => "sample",
            Action::UnrollXlate { .. } => "unroll_xlate",
            Action::Ct(_) => "ct",
            Action::Nat(_) => "nat",
            Action::CtClear => "ct_clear",
            Action::Clone(_) => "clone",
            Action::Encap(_) => "encap",
            Action::Decap(_) => "decap",
            Action::CheckPktLarger { .. } => "check_pkt_larger",
            Action::DebugSlow => "debug_slow",
            Action::DebugRecirc => "debug_recirc",
            Action::Meter(_) => "meter",
            Action::ClearActions => "clear_actions",
            Action::WriteActions(_) => "write_actions",
            Action::WriteMetadata(_) => "write_metadata",
            Action::GotoTable(_) => "goto_table",
        }
    }

    /// The field that the action writes with set_field, load, or move.
    fn written_field(&self) -> Option<Field> {
        match self {
            Action::SetField(s) => Some(s.field),
            Action::Move(m) => Some(m.dst.field),
            _ => None,
        }
    }
}

fn is_ct_field(f: Field) -> bool {
    f == Field::CT_MARK || f == Field::CT_LABEL
}

/// Checks what may stand where, and in which order.
pub fn verify(actions: &[Action], place: Place) -> Result<(), (Error, String)> {
    let mut last: Option<Kind> = None;
    for a in actions {
        match place {
            Place::Ct => {
                let ok = matches!(a, Action::Nat(_)) || a.written_field().is_some_and(is_ct_field);
                if a.written_field().is_some() && !ok {
                    return Err((
                        Error::BadActionBadArgument,
                        format!(
                            "ct action doesn't support nested modification of {}",
                            a.written_field().map_or("", Field::name)
                        ),
                    ));
                }
                if !ok {
                    return Err((
                        Error::BadActionBadArgument,
                        format!("ct action doesn't support nested action {}", a.name()),
                    ));
                }
                continue;
            }
            _ => {
                if a.written_field().is_some_and(is_ct_field) {
                    return Err((
                        Error::BadActionBadSetArgument,
                        "cannot set CT fields outside of ct action".to_string(),
                    ));
                }
                if matches!(a, Action::Nat(_)) {
                    return Err((
                        Error::BadActionBadSetArgument,
                        "Cannot have NAT action outside of \"ct\" action".to_string(),
                    ));
                }
            }
        }
        let kind = Kind::of(a);
        if place != Place::Flow && kind != Kind::ApplyActions {
            if place == Place::Actions && matches!(a, Action::Meter(_)) {
                continue;
            }
            return Err((Error::BadActionBadArgument, format!("{} instruction not allowed here", kind.name())));
        }
        if place == Place::Flow {
            in_order(last, kind)?;
        }
        last = Some(kind);
    }
    verify_conjunction(actions)
}

fn in_order(last: Option<Kind>, kind: Kind) -> Result<(), (Error, String)> {
    let Some(last) = last else { return Ok(()) };
    if kind == last && kind != Kind::ApplyActions {
        return Err((
            Error::BadActionUnsupportedOrder,
            format!("duplicate {} instruction not allowed, for OpenFlow 1.1+ compatibility", kind.name()),
        ));
    }
    if kind < last {
        return Err((
            Error::BadActionUnsupportedOrder,
            format!(
                "invalid instruction ordering: {} must appear before {}, for OpenFlow 1.1+ compatibility",
                kind.name(),
                last.name()
            ),
        ));
    }
    Ok(())
}

/// Whether an action has no place in an action set, whose order it would upset or whose end it would not live to see.
pub fn not_in_action_set(a: &Action) -> bool {
    use Action::*;
    matches!(
        a,
        Learn(_)
            | Note(_)
            | Conjunction { .. }
            | OutputReg { .. }
            | OutputTrunc { .. }
            | Exit
            | StackPush(_)
            | StackPop(_)
            | Sample(_)
            | Clone(_)
            | Controller(_)
            | Bundle(_)
            | Multipath(_)
            | FinTimeout { .. }
            | CheckPktLarger { .. }
            | DeleteField(_)
            | Enqueue { .. }
            | PopQueue
    )
}

fn verify_conjunction(actions: &[Action]) -> Result<(), (Error, String)> {
    if !actions.iter().any(|a| matches!(a, Action::Conjunction { .. })) {
        return Ok(());
    }
    match actions.iter().find(|a| !matches!(a, Action::Conjunction { .. } | Action::Note(_))) {
        None => Ok(()),
        Some(a) => Err((
            Error::NxBadActionBadConjunction,
            format!(
                "\"conjunction\" actions may be used along with \"note\" but not any other kind of action (such as the \
                 \"{}\" action used here)",
                a.name()
            ),
        )),
    }
}

/// State of checking actions against the match of their flow: what is known of the packet at each action.
struct Checker<'w> {
    /// Copied when an action changes what is known.
    m: Cow<'w, Match>,
    table: TableId,
    n_tables: u8,
    inconsistent: bool,
    warnings: &'w mut Vec<String>,
}

/// Checks that each action's header is one that the match says is there. Fills in what actions need to know about the
/// match (VLAN tag present, transport protocol). Returns the protocol variants that can carry the actions: 1.0 is more
/// lenient than later versions.
///
/// `table` is the flow's table, [`TableId::ALL`] if not known; `n_tables` the number of tables.
pub fn check_match<'a>(
    actions: &mut [Action],
    m: &'a Match,
    table: TableId,
    n_tables: u8,
    warnings: &'a mut Vec<String>,
) -> Result<Protocols, Error> {
    let mut c = Checker { m: Cow::Borrowed(m), table, n_tables, inconsistent: false, warnings };
    // A flow that does not say its packet type is about Ethernet packets.
    for a in actions.iter_mut() {
        c.one(a)?;
    }
    Ok(if c.inconsistent { Protocols::OF10_ANY } else { Protocols::ANY })
}

/// Checks actions for one version, and fills in what they need to know about the match.
pub fn check_for_version(
    actions: &mut [Action],
    m: &Match,
    table: TableId,
    version: crate::Version,
) -> Result<(), Error> {
    let usable = check_match(actions, m, table, 0, &mut Vec::new())?;
    if usable.and(Protocols::of_version(version)).is_empty() {
        return Err(Error::BadActionMatchInconsistent);
    }
    Ok(())
}

impl Checker<'_> {
    fn eth_type(&self) -> u16 {
        let by_packet_type = if self.m.mask.packet_type_raw() != 0 { self.m.key.packet_type().ethertype() } else { 0 };
        if by_packet_type != 0 {
            by_packet_type
        } else if self.m.mask.eth_type() == 0xffff {
            self.m.key.eth_type()
        } else {
            0
        }
    }

    fn is_ip(&self) -> bool {
        matches!(self.eth_type(), proto::ETH_IPV4 | proto::ETH_IPV6)
    }

    fn is_mpls(&self) -> bool {
        matches!(self.eth_type(), proto::ETH_MPLS | proto::ETH_MPLS_MCAST)
    }

    fn has_vlan(&self) -> bool {
        self.m.key.vlan_tci(0) & 0x1000 != 0
    }

    fn set_vlan(&mut self, on: bool) {
        self.m.to_mut().key.set_vlan_tci(0, if on { 0x1000 } else { 0 });
        self.m.to_mut().mask.set_vlan_tci(0, if on { 0x1000 } else { 0xffff });
    }

    fn set_eth_type(&mut self, ty: u16) {
        self.m.to_mut().key.set_eth_type(ty);
        self.m.to_mut().mask.set_eth_type(0xffff);
    }

    fn need(&mut self, ok: bool) {
        if !ok {
            self.inconsistent = true;
        }
    }

    fn field(&mut self, f: Field, writes: bool, what: &str) -> Result<(), Error> {
        if !prereq_met(&self.m, f) {
            self.warnings.push(format!("{what} {} lacks correct prerequisites", f.name()));
            return Err(Error::BadActionMatchInconsistent);
        }
        if writes && !f.def().writable {
            self.warnings.push(format!("destination field {} is not writable", f.name()));
            return Err(Error::BadActionBadSetArgument);
        }
        Ok(())
    }

    fn one(&mut self, a: &mut Action) -> Result<(), Error> {
        match a {
            Action::Output { port, .. } | Action::OutputTrunc { port, .. } => {
                // A register may hold anything; a number in the action must be a port's.
                let special = *port == OfPort::NONE || *port == OfPort::UNSET || port.reserved_name().is_none();
                if port.0 >= 0xff00 && special {
                    return Err(Error::BadActionBadOutPort);
                }
            }
            Action::Enqueue { port, .. } => {
                if port.0 >= 0xff00 && *port != OfPort::IN_PORT && *port != OfPort::LOCAL {
                    return Err(Error::BadActionBadOutPort);
                }
            }
            Action::OutputReg { src, .. } => self.field(src.field, false, "source field")?,
            Action::StackPush(f) => self.field(f.field, false, "source field")?,
            Action::StackPop(f) => self.field(f.field, true, "destination field")?,
            Action::Move(m) => {
                self.field(m.src.field, false, "source field")?;
                self.field(m.dst.field, true, "destination field")?;
            }
            Action::SetField(s) => {
                self.field(s.field, false, "set_field")?;
                if s.field == Field::VLAN_VID && !self.has_vlan() {
                    self.warnings.push("set_field vlan_vid lacks correct prerequisites".to_string());
                    return Err(Error::BadActionMatchInconsistent);
                }
                s.flow_has_vlan = self.has_vlan();
                if s.field == Field::VLAN_TCI && s.mask.low() & 0x1000 != 0 {
                    self.set_vlan(s.value.low() & 0x1000 != 0);
                }
            }
            Action::Multipath(m) => self.field(m.dst.field, true, "destination field")?,
            Action::Bundle(b) => {
                if let Some(d) = b.dst {
                    self.field(d.field, true, "destination field")?;
                }
            }
            Action::DeleteField(f) if f.tun_metadata_index().is_none() => return Err(Error::BadActionBadArgument),
            Action::Resubmit(r) if r.with_ct && !prereq_of(&self.m, Prereq::Ct) => {
                return Err(Error::BadActionMatchInconsistent);
            }
            Action::Meter(m) if m.0 == 0 || m.0 > MeterId::MAX.0 => return Err(Error::MeterModFailedInvalidMeter),
            Action::GotoTable(t) => {
                if (self.table != TableId::ALL && t.0 <= self.table.0) || (self.n_tables != 0 && t.0 >= self.n_tables) {
                    return Err(Error::BadInstructionBadTableId);
                }
            }
            Action::Clone(inner) => self.nested(inner)?,
            // What the packet is when the set is done nobody can tell from the match.
            Action::WriteActions(inner) => {
                let inconsistent = self.inconsistent;
                self.nested(inner)?;
                self.inconsistent = inconsistent;
            }
            Action::Learn(l) => self.learn(l)?,
            Action::Ct(c) => self.ct(c)?,
            Action::Nat(n) => self.nat(n)?,
            _ => self.headers(a)?,
        }
        Ok(())
    }

    fn nested(&mut self, inner: &mut [Action]) -> Result<(), Error> {
        let saved = self.m.clone();
        for a in inner.iter_mut() {
            self.one(a)?;
        }
        self.m = saved;
        Ok(())
    }

    fn headers(&mut self, a: &mut Action) -> Result<(), Error> {
        match a {
            Action::SetVlanVid { push_if_needed, flow_has_vlan, .. }
            | Action::SetVlanPcp { push_if_needed, flow_has_vlan, .. } => {
                *flow_has_vlan = self.has_vlan();
                let ok = *flow_has_vlan || *push_if_needed;
                self.need(ok);
                self.set_vlan(true);
            }
            Action::StripVlan { .. } => {
                let ok = self.has_vlan();
                self.need(ok);
                let inner = self.m.key.vlan_tci(1);
                self.m.to_mut().key.set_vlan_tci(1, 0);
                self.set_vlan(inner & 0x1000 != 0);
            }
            Action::PushVlan(_) => {
                if self.m.key.vlan_tci(1) & 0x1000 != 0 {
                    return Err(Error::BadActionBadTag);
                }
                let outer = self.m.key.vlan_tci(0);
                self.m.to_mut().key.set_vlan_tci(1, outer);
                self.set_vlan(true);
            }
            Action::SetIpv4Src(_) | Action::SetIpv4Dst(_) => {
                let ok = self.eth_type() == proto::ETH_IPV4;
                self.need(ok);
            }
            Action::SetIpDscp(_) | Action::SetIpEcn(_) | Action::SetIpTtl(_) | Action::DecTtl { .. } => {
                let ok = self.is_ip();
                self.need(ok);
            }
            Action::SetL4Src { ip_proto, .. } | Action::SetL4Dst { ip_proto, .. } => {
                let p = self.m.key.nw_proto();
                let known = matches!(p, proto::IP_TCP | proto::IP_UDP | proto::IP_SCTP);
                let ok = self.is_ip() && known && self.m.key.nw_frag() & 2 == 0;
                self.need(ok);
                *ip_proto = p;
            }
            Action::SetMplsLabel(_) | Action::SetMplsTc(_) | Action::SetMplsTtl(_) | Action::DecMplsTtl => {
                let ok = self.is_mpls();
                self.need(ok);
            }
            Action::PushMpls(ty) => {
                let ty = *ty;
                self.set_eth_type(ty);
            }
            Action::PopMpls(ty) => {
                let ok = self.is_mpls();
                self.need(ok);
                let ty = *ty;
                self.set_eth_type(ty);
            }
            Action::Encap(e) => {
                self.m.to_mut().key.set_packet_type(e.packet_type);
                self.m.to_mut().mask.set_packet_type_raw(u32::MAX);
                if e.packet_type.ns() == 1 {
                    self.set_eth_type(e.packet_type.ns_type());
                }
            }
            Action::Decap(_) => {
                // Whatever type the action says: the next header is known of an Ethernet packet only.
                if self.m.key.packet_type() == PacketType::ETHERNET {
                    let next = if self.m.mask.eth_type() == 0xffff { self.m.key.eth_type() } else { 0 };
                    self.m.to_mut().key.set_packet_type(PacketType::new(1, next));
                } else {
                    self.m.to_mut().key.set_packet_type(PacketType(u32::MAX));
                    self.set_eth_type(0);
                }
                self.m.to_mut().mask.set_packet_type_raw(u32::MAX);
            }
            Action::FinTimeout { .. } => {
                let ok = self.is_ip() && self.m.key.nw_proto() == proto::IP_TCP;
                self.need(ok);
            }
            Action::DecNshTtl => {
                let ok = self.eth_type() == proto::ETH_NSH;
                self.need(ok);
            }
            _ => {}
        }
        Ok(())
    }

    fn ct(&mut self, c: &mut super::Ct) -> Result<(), Error> {
        let bad = Err(Error::BadActionMatchInconsistent);
        if !self.is_ip()
            || (c.alg == 21 && self.m.key.nw_proto() != proto::IP_TCP)
            || (c.alg == 69 && self.m.key.nw_proto() != proto::IP_UDP)
            || (c.commit && self.m.key.ct_state() & flow::key::CS_INV != 0)
        {
            return bad;
        }
        if let CtZone::Field(f) = c.zone {
            self.field(f.field, false, "source field")?;
        }
        for a in &mut c.actions {
            self.one(a)?;
        }
        Ok(())
    }

    fn nat(&mut self, n: &super::Nat) -> Result<(), Error> {
        let ok = match n.range {
            NatRange::None => self.is_ip(),
            NatRange::V4(..) => self.eth_type() == proto::ETH_IPV4,
            NatRange::V6(..) => self.eth_type() == proto::ETH_IPV6,
        };
        if ok { Ok(()) } else { Err(Error::BadActionMatchInconsistent) }
    }

    fn learn(&mut self, l: &super::Learn) -> Result<(), Error> {
        let mut learned = Match::any();
        for spec in &l.specs {
            if let LearnSrc::Field(f) = &spec.src {
                self.field(f.field, false, "source field")?;
            }
            match &spec.dst {
                LearnDst::Match(d) => {
                    if !prereq_met(&learned, d.field) {
                        self.warnings.push(format!("source field {} lacks correct prerequisites", d.field.name()));
                        return Err(Error::BadActionMatchInconsistent);
                    }
                    if let LearnSrc::Immediate(v) = &spec.src {
                        let mask = flow::text::value::ones(u32::from(d.n_bits)) << d.ofs.min(127);
                        let value = flow::FieldValue::Int(v.low() << d.ofs.min(127));
                        let _ = learned.set_value(d.field, &value, &flow::FieldValue::Int(mask));
                    }
                }
                LearnDst::Load(d) => {
                    if !prereq_met(&learned, d.field) {
                        self.warnings.push(format!("destination field {} lacks correct prerequisites", d.field.name()));
                        return Err(Error::BadActionMatchInconsistent);
                    }
                    if !d.field.def().writable {
                        return Err(Error::BadActionBadSetArgument);
                    }
                }
                LearnDst::Output => {}
            }
        }
        Ok(())
    }
}

fn prereq_of(m: &Match, p: Prereq) -> bool {
    match p {
        Prereq::Ct => prereq_met(m, Field::CT_NW_PROTO),
        _ => true,
    }
}
