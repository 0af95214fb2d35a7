//! The `learn` action: a flow made from the packet.

use flow::{FieldValue, Match, OfPort, Subfield};
use openflow::action::{Action, Learn, LearnDst, LearnSrc, SetField, SetFieldForm};

use crate::fields::{get, look, ones};
use crate::request::{Effect, LearnedFlow};
use crate::xlate::Xlator;

impl Xlator<'_> {
    pub(crate) fn learn(&mut self, spec: &Learn) {
        for s in &spec.specs {
            if let LearnSrc::Field(src) = &s.src {
                look(&mut self.wc, src);
            }
        }
        if !self.req.side_effects {
            return self.warning(|| "suppressing side effects, so learn action ignored".into());
        }
        let (matching, actions) = self.learned(spec);
        let flow = Box::new(LearnedFlow { spec: spec.clone(), matching, actions });
        if let Some(recorder) = &mut self.recorder {
            let text = recorder.describe.actions(&self.here.config, &flow.actions);
            let what = format!("table={} {} actions={text}", spec.table.0, flow.matching);
            recorder.add(crate::trace::NodeKind::Detail, what);
        }
        if let Some(result) = &spec.result_dst {
            look(&mut self.wc, result);
            crate::fields::put(&mut self.key, result, 1);
        }
        self.out.effects.push(Effect::LearnFlow { bridge: self.here.config.id, flow, rule: self.rule.clone() });
    }

    fn learned(&self, spec: &Learn) -> (Match, Vec<Action>) {
        let (mut matching, mut actions) = (Match::any(), Vec::new());
        for s in &spec.specs {
            let value = match &s.src {
                LearnSrc::Field(src) => get(&self.key, src),
                LearnSrc::Immediate(v) => v.low(),
            };
            match &s.dst {
                LearnDst::Match(dst) => match_bits(&mut matching, dst, value),
                LearnDst::Load(dst) => actions.push(load(dst, value)),
                LearnDst::Output => {
                    let port = OfPort(value as u32 & 0xffff);
                    actions.push(Action::Output { port, max_len: 0 });
                }
            }
        }
        (matching, actions)
    }
}

fn match_bits(matching: &mut Match, dst: &Subfield, value: u128) {
    let bits = ones(dst.n_bits) << dst.ofs.min(127);
    let (old_value, old_mask) = matching.get(dst.field);
    let value = old_value & !bits | value << dst.ofs.min(127) & bits;
    matching.set_masked(dst.field, value, old_mask | bits);
}

fn load(dst: &Subfield, value: u128) -> Action {
    let mask = ones(dst.n_bits) << dst.ofs.min(127);
    Action::SetField(Box::new(SetField {
        field: dst.field,
        value: FieldValue::Int(value << dst.ofs.min(127) & mask),
        mask: FieldValue::Int(mask),
        form: SetFieldForm::RegLoad,
        flow_has_vlan: false,
    }))
}
