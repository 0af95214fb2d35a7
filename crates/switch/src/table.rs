//! What is configured about a flow table: its name, how many flows it takes, which of them go when it is full, and when
//! controllers are told how full it is (OpenFlow 1.4 §7.3.4.1, `Flow_Table` of ovs-vswitchd.conf.db(5)).

use crate::flow_mod::{expires_at, has_timeout};
use clock::Instant;
use flow::field::Subfield;
use openflow::TableId;
use openflow::message::tables::{TableDesc, TableMiss};
use std::collections::HashMap;
use std::sync::Arc;
use translate::Rule as FlowRule;

/// `OFPTMPEF_*` of OpenFlow 1.4 §7.3.4.1: the algorithm that chooses what goes looks at importance and lifetime, and at
/// other things (groups of fields).
const EVICTION_FLAGS: u32 = 7;

/// What comes from the database.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Name.
    pub name: Option<String>,
    /// Most flows; `None`: no limit.
    pub max_flows: Option<u32>,
    /// Whether a flow makes room when the table is full.
    pub evict: bool,
    /// Fields by whose values flows are grouped: one of the largest group goes.
    pub groups: Vec<Subfield>,
}

/// Whether controllers are told of vacancy, in percent of the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vacancy {
    /// Told when less than this is free, …
    pub down: u8,
    /// … and, after that, when more than this is.
    pub up: u8,
    /// What is told next: that vacancy fell.
    pub falling: bool,
}

/// Vacancy crossed a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crossed {
    /// `OFPTR_VACANCY_DOWN`
    Down = 3,
    /// `OFPTR_VACANCY_UP`
    Up = 4,
}

/// A table's configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableConfig {
    /// From the database.
    pub limits: Limits,
    /// Name that a controller gave; the database's goes before.
    pub name: Option<String>,
    /// A controller turned eviction on.
    pub evict: bool,
    /// Vacancy events.
    pub vacancy: Option<Vacancy>,
    /// What a table-mod of OpenFlow 1.1 or 1.2 said about misses.
    pub miss: Option<TableMiss>,
}

impl TableConfig {
    /// The name that controllers see, empty for none.
    pub fn shown_name(&self) -> &str {
        self.limits.name.as_deref().or(self.name.as_deref()).unwrap_or_default()
    }

    /// Whether flows go when the table is full.
    pub fn evicts(&self) -> bool {
        self.limits.evict || self.evict
    }

    /// Flows that may be added to a table with `flows` of them.
    pub fn has_room(&self, flows: usize) -> bool {
        self.limits.max_flows.is_none_or(|max| flows < max as usize)
    }

    /// The flow that goes, of those with a timeout: of the largest groups, those of the lowest importance; of these the one
    /// that would end first.
    pub fn victim<'a>(
        &self,
        candidates: impl Iterator<Item = &'a Arc<FlowRule>>,
        now: Instant,
    ) -> Option<Arc<FlowRule>> {
        let mut groups: HashMap<Vec<u128>, Vec<&Arc<FlowRule>>> = HashMap::new();
        for rule in candidates.filter(|r| has_timeout(r)) {
            let key = rule.matching.expand();
            let values = self.limits.groups.iter().map(|s| key.get(s.field).0 >> s.ofs & ones(s.n_bits)).collect();
            groups.entry(values).or_default().push(rule);
        }
        let largest = groups.values().map(Vec::len).max()?;
        let all = groups.into_values().filter(|g| g.len() == largest).flatten();
        all.min_by_key(|r| (r.data.importance, expires_at(r, now), r.added_in())).cloned()
    }

    /// Percent of the limit that is free.
    fn free(&self, flows: usize) -> Option<u8> {
        let max = u64::from(self.limits.max_flows?);
        let used = u64::try_from(flows).unwrap_or(u64::MAX).min(max);
        u8::try_from(((max - used) * 100).checked_div(max).unwrap_or(0)).ok()
    }

    /// Says whether controllers have to be told, now that there are `flows`.
    pub fn crossed(&mut self, flows: usize) -> Option<Crossed> {
        let free = self.free(flows)?;
        let v = self.vacancy.as_mut()?;
        if v.falling && free < v.down {
            v.falling = false;
            return Some(Crossed::Down);
        }
        if !v.falling && free > v.up {
            v.falling = true;
            return Some(Crossed::Up);
        }
        None
    }

    /// The description of OpenFlow 1.4 and later.
    pub fn desc(&self, table: u8, flows: usize) -> TableDesc {
        TableDesc {
            table: TableId(table),
            miss: TableMiss::Default,
            // What a controller asked for; the database's policy is its own affair.
            eviction: Some(self.evict),
            eviction_flags: Some(EVICTION_FLAGS),
            vacancy: Some(self.vacancy.is_some()),
            vacancy_limits: self.vacancy.map(|v| (v.down, v.up, self.free(flows).unwrap_or(100))),
        }
    }
}

fn ones(bits: u16) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vacancy_is_told_once_in_each_direction() {
        let limits = Limits { max_flows: Some(10), ..Limits::default() };
        let vacancy = Some(Vacancy { down: 20, up: 80, falling: true });
        let mut c = TableConfig { limits, vacancy, ..TableConfig::default() };
        let told: Vec<_> = [5, 8, 9, 10, 9, 3, 2, 1, 0, 9].iter().filter_map(|&n| c.crossed(n)).collect();
        assert_eq!(told, [Crossed::Down, Crossed::Up, Crossed::Down]);
        assert_eq!(c.desc(3, 5).vacancy_limits, Some((20, 80, 50)));
    }

    #[test]
    fn room() {
        let mut c = TableConfig::default();
        assert!(c.has_room(usize::MAX));
        c.limits.max_flows = Some(2);
        assert!(c.has_room(1) && !c.has_room(2));
        assert_eq!(c.crossed(2), None, "nobody asked to be told");
    }
}
