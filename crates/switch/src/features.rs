//! What the flow tables can do (OpenFlow 1.3.5 §A.3.5.5). All tables can do the same but reach the later ones only.

use crate::INTERNAL_TABLE;
use flow::Field;
use flow::field::MaskRule;
use openflow::message::tables::{ActionFeatures, FieldSet, FlowFeatures, TableFeatures, TableMiss};
use openflow::{TableId, Version};

/// Flows that a table takes at most.
pub const MAX_ENTRIES: u32 = 1_000_000;

/// Action numbers of OpenFlow 1.1 and later: output, set_mpls_ttl, dec_mpls_ttl, push_vlan, pop_vlan, push_mpls, pop_mpls,
/// set_queue, group, set_nw_ttl, dec_nw_ttl, set_field.
pub const ACTIONS: [u32; 12] = [0, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25];

/// Instruction numbers: goto_table, write_metadata, write_actions, apply_actions, clear_actions, meter.
const GOTO_TABLE: u32 = 1;
const METER: u32 = 6;
const INSTRUCTIONS: std::ops::RangeInclusive<u32> = 1..=6;

/// The bits of [`ACTIONS`].
pub fn action_bits() -> u64 {
    ACTIONS.iter().fold(0, |bits, n| bits | 1 << n)
}

fn fields(wanted: impl Fn(&flow::field::FieldDef) -> bool) -> FieldSet {
    let mut set = FieldSet::default();
    Field::all().filter(|f| !f.def().numbers.is_empty() && wanted(f.def())).for_each(|f| set.insert(f));
    set
}

/// The features of every table that controllers see.
pub fn all() -> Vec<TableFeatures> {
    let actions = ActionFeatures { actions: action_bits(), set_fields: fields(|d| d.writable) };
    let matchable = fields(|_| true);
    let maskable = fields(|d| matches!(d.mask, MaskRule::Bitwise));
    let one = |table: u8| {
        let next: Vec<u8> = (table + 1..INTERNAL_TABLE).collect();
        let instructions =
            INSTRUCTIONS.filter(|n| *n != GOTO_TABLE || !next.is_empty()).fold(0, |bits, n| bits | 1 << n);
        let flows = FlowFeatures { next, instructions, write: actions, apply: actions };
        TableFeatures {
            table: TableId(table),
            metadata_match: u64::MAX,
            metadata_write: u64::MAX,
            max_entries: MAX_ENTRIES,
            miss: Some(TableMiss::Default),
            nonmiss: flows.clone(),
            miss_features: flows,
            matchable,
            maskable,
            wildcards: matchable,
            any_properties: true,
            ..TableFeatures::default()
        }
    };
    (0..INTERNAL_TABLE).map(one).collect()
}

/// What statistics before OpenFlow 1.3 tell of a table.
pub fn in_stats(version: Version, mut features: TableFeatures) -> TableFeatures {
    /// `OFPFW_ALL` of OpenFlow 1.0: every field may be wildcarded.
    const WILDCARDS: u32 = (1 << 22) - 1;
    /// Actions of OpenFlow 1.1 but copy_ttl_out and copy_ttl_in; set_field came later.
    const ACTIONS_11: u64 = ((1 << 25) - 1) & !(1 << 11 | 1 << 12);
    let flows = &mut features.nonmiss;
    match version {
        Version::V10 => flows.instructions = WILDCARDS,
        _ => flows.instructions &= !(1 << METER),
    }
    if version == Version::V11 {
        let actions = ActionFeatures { actions: ACTIONS_11, ..ActionFeatures::default() };
        (flows.write, flows.apply) = (actions, actions);
    }
    features
}

/// What a table can do for a controller that speaks `version`: in OpenFlow 1.5 a meter is an action.
pub fn of_version(version: Version, mut features: TableFeatures) -> TableFeatures {
    if version >= Version::V15 {
        features.nonmiss.instructions &= !(1 << METER);
        features.miss_features.instructions &= !(1 << METER);
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_table_goes_nowhere() {
        let all = all();
        assert_eq!(all.len(), usize::from(INTERNAL_TABLE));
        let last = &all[all.len() - 1];
        assert!(last.nonmiss.next.is_empty() && last.nonmiss.instructions & 1 << GOTO_TABLE == 0);
        assert_eq!(all[0].nonmiss.next.len(), 253);
        assert!(all[0].matchable.contains(Field::ETH_SRC) && !all[0].matchable.contains(Field::DL_VLAN));
    }
}
