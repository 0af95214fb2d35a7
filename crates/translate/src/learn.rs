//! The `learn` action: a flow made from the packet.

use std::sync::Arc;

use flow::{FieldValue, Match, OfPort, Subfield};
use openflow::TableId;
use openflow::action::{Action, Learn, LearnDst, LearnSrc, SetField, SetFieldForm};

use crate::fields::{get, look, ones};
use crate::request::{Effect, LearnedFlow};
use crate::view::{Counters, Rule, RuleData};
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
        let mut flow = Box::new(LearnedFlow { spec: spec.clone(), matching, actions, counters: None });
        if let Some(recorder) = &mut self.recorder {
            let text = recorder.describe.actions(&self.here.config, &flow.actions);
            let mut what = format!("table={} {} priority={}", spec.table.0, flow.matching, spec.priority);
            if spec.cookie != 0 {
                what += &format!(" cookie={:#x}", spec.cookie);
            }
            for (name, seconds) in [("idle", spec.idle_timeout), ("hard", spec.hard_timeout)] {
                if seconds != 0 {
                    what += &format!(" {name}={seconds}");
                }
            }
            recorder.add(crate::trace::NodeKind::Detail, format!("{what} actions={text}"));
        }
        let room = self.room_to_learn(&flow);
        if let Some(result) = &spec.result_dst {
            look(&mut self.wc, result);
            crate::fields::put(&mut self.key, result, room.into());
            self.detail(|| {
                let value = if room { "0x1" } else { "0" };
                let mut text = String::new();
                openflow::action::subfield::put(&mut text, *result);
                format!("{text} is now {value}")
            });
        }
        if !room {
            return self.detail(|| "Limit exceeded, learn failed".into());
        }
        self.meet_at_once(&mut flow);
        self.out.effects.push(Effect::LearnFlow { bridge: self.here.config.id, flow, rule: self.rule.clone() });
    }

    /// Lets later lookups of this packet meet the flow, if it is a new one.
    fn meet_at_once(&mut self, flow: &mut LearnedFlow) {
        let spec = &flow.spec;
        let Some(table) = self.here.bridge.tables.get(usize::from(spec.table.0)) else { return };
        let matching = flow::MiniMatch::new(&flow.matching);
        let version = self.here.version.number();
        if table.rules.find(version, &matching, spec.priority.into()).is_some() {
            return;
        }
        let counters = Arc::new(Counters::default());
        flow.counters = Some(counters.clone());
        let data = RuleData {
            table: spec.table,
            cookie: spec.cookie,
            actions: flow.actions.as_slice().into(),
            flags: 0,
            importance: 0,
            timeouts: Arc::default(),
            created: self.req.now,
            born: version,
            modified: self.req.now,
            stats: counters,
            hidden: false,
            clauses: Box::default(),
        };
        let rule = Arc::new(Rule::new(matching, spec.priority.into(), version, data));
        self.fresh.push((self.here.config.id, rule));
    }

    /// What a lookup finds that found `rule` in the table: that, or a flow that this packet taught.
    pub(crate) fn or_learned(
        &mut self,
        table: TableId,
        key: &flow::FlowKey,
        mut rule: Option<Arc<Rule>>,
    ) -> Option<Arc<Rule>> {
        for (bridge, fresh) in &self.fresh {
            let better = rule.as_ref().is_none_or(|r| r.priority < fresh.priority);
            if *bridge != self.here.config.id || fresh.data.table != table || !better {
                continue;
            }
            for (word, _, mask) in fresh.matching.iter() {
                self.wc.set_word(word, self.wc.word(word) | mask);
            }
            if fresh.matching.matches(key) {
                rule = Some(fresh.clone());
            }
        }
        rule
    }

    /// Whether the `limit` of flows with the cookie in the table lets this one in; a flow that is there already stays.
    fn room_to_learn(&self, flow: &LearnedFlow) -> bool {
        let spec = &flow.spec;
        let Some(table) = self.here.bridge.tables.get(usize::from(spec.table.0)) else { return true };
        if spec.limit == 0 {
            return true;
        }
        let version = self.here.version.number();
        if table.rules.find(version, &flow::MiniMatch::new(&flow.matching), spec.priority.into()).is_some() {
            return true;
        }
        let mut n = 0;
        table.rules.for_each(version, |r| n += u32::from(r.data.cookie == spec.cookie));
        n < spec.limit
    }

    fn learned(&self, spec: &Learn) -> (Match, Vec<Action>) {
        let (mut matching, mut actions) = (Match::any(), Vec::new());
        if spec.fin_idle_timeout != 0 || spec.fin_hard_timeout != 0 {
            actions.push(Action::FinTimeout { idle: spec.fin_idle_timeout, hard: spec.fin_hard_timeout });
        }
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
