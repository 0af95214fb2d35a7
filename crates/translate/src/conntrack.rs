//! The `ct` action, translated to the datapath's.

use std::net::IpAddr;

use datapath::DpAction;
use flow::Field;
use openflow::action::{Action, Ct, CtZone, NatRange};

use crate::fields::{get, look};
use crate::xlate::Xlator;

impl Xlator<'_> {
    pub(crate) fn ct(&mut self, ct: &Ct, _last: bool) {
        let zone = match &ct.zone {
            CtZone::Number(n) => *n,
            CtZone::Field(src) => {
                look(&mut self.wc, src);
                get(&self.key, src) as u16
            }
        };
        self.commit();
        if ct.actions.is_empty() {
            // The nested list of actions, done on the connection, is empty.
            self.note(crate::trace::NodeKind::Action, || "drop".into());
        }
        let (mark, label) = (self.key.ct_mark(), self.key.ct_label());
        let mut dp = datapath::action::Ct { commit: ct.commit, force: ct.force, zone, ..Default::default() };
        for action in &ct.actions {
            self.note_action(action);
            match action {
                Action::Nat(nat) => dp.nat = Some(nat_of(nat)),
                other => self.ct_field(other, &mut dp),
            }
        }
        dp.helper = match ct.alg {
            21 => Some("ftp"),
            69 => Some("tftp"),
            _ => None,
        };
        self.out.actions.push(DpAction::Ct(Box::new(dp)));
        match ct.recirc_table {
            Some(table) => {
                self.detail(|| {
                    format!("A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table {}.", table.0)
                });
                self.conntracked = true;
                // The connection's mark and label come from the connection when the packet is back.
                self.fork(table);
                self.untrack();
                self.conntracked = false;
            }
            None => {
                self.key.set_ct_mark(mark);
                self.key.set_ct_label(label);
                self.untrack();
            }
        }
    }

    fn untrack(&mut self) {
        self.detail(|| "Sets the packet to an untracked state, and clears all the conntrack fields.".into());
        self.ct_clear();
    }

    /// `set_field`, `load` and `move` to the mark and the label of a connection.
    fn ct_field(&mut self, action: &Action, dp: &mut datapath::action::Ct) {
        let (field, value, mask) = match action {
            Action::SetField(f) => (f.field, f.value.low(), f.mask.low()),
            Action::Move(m) => {
                look(&mut self.wc, &m.src);
                let shift = m.dst.ofs.min(127);
                let mask = crate::fields::ones(m.dst.n_bits) << shift;
                (m.dst.field, get(&self.key, &m.src) << shift, mask)
            }
            _ => return,
        };
        if field == Field::CT_MARK {
            let (old, wild) = dp.mark.unwrap_or_default();
            dp.mark = Some((old & !(mask as u32) | (value & mask) as u32, wild | mask as u32));
        } else if field == Field::CT_LABEL {
            let (old, wild) = dp.label.unwrap_or_default();
            dp.label = Some((old & !mask | value & mask, wild | mask));
        }
    }

    /// Forgets what is known of the connection.
    pub(crate) fn ct_clear(&mut self) {
        for field in [Field::CT_STATE, Field::CT_ZONE, Field::CT_MARK, Field::CT_LABEL] {
            self.key.set(field, 0);
        }
        for i in 32..38 {
            if i != 37 {
                self.key.set_word(i, 0);
            }
        }
        self.key.set_ct_tp_src(0);
        self.key.set_ct_tp_dst(0);
        self.key.set_ct_nw_proto(0);
    }
}

fn nat_of(nat: &openflow::action::Nat) -> datapath::action::Nat {
    let addresses = match nat.range {
        NatRange::None => None,
        NatRange::V4(a, b) => Some((IpAddr::V4(a), IpAddr::V4(b.unwrap_or(a)))),
        NatRange::V6(a, b) => Some((IpAddr::V6(a), IpAddr::V6(b.unwrap_or(a)))),
    };
    datapath::action::Nat {
        src: nat.src,
        dst: nat.dst,
        addresses,
        ports: nat.ports,
        persistent: nat.persistent,
        hash: nat.hash,
        random: nat.random,
    }
}
