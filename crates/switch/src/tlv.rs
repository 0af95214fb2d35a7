//! The table of tunnel options: which option of a tunnel header each `tun_metadata` field is.

use crate::bridge::{Bridge, Event};
use crate::flow_mod::{Selection, any_action};
use flow::{Field, MiniMatch, TunAlloc};
use openflow::Error;
use openflow::action::Action;
use openflow::message::{TlvMap, TlvTableMod, TlvTableReply};
use std::collections::BTreeMap;

/// Bytes for option values.
const SPACE: u32 = 256;
/// `tun_metadata` fields.
const FIELDS: u16 = 64;

/// Commands of a change.
const ADD: u16 = 0;
const DELETE: u16 = 1;
const CLEAR: u16 = 2;

/// The table, by number of the field.
pub(crate) type TlvTable = BTreeMap<u16, TlvMap>;

fn add(table: &mut TlvTable, maps: &[TlvMap]) -> Result<(), Error> {
    for m in maps {
        if m.option_len == 0 || m.option_len > 124 || !m.option_len.is_multiple_of(4) {
            return Err(Error::NxTlvTableModFailedBadOptLen);
        }
        if m.index >= FIELDS {
            return Err(Error::NxTlvTableModFailedBadFieldIdx);
        }
        if table.contains_key(&m.index) {
            return Err(Error::NxTlvTableModFailedAlreadyMapped);
        }
        if table.values().any(|t| (t.option_class, t.option_type) == (m.option_class, m.option_type)) {
            return Err(Error::NxTlvTableModFailedDupEntry);
        }
        let used: u32 = table.values().map(|t| u32::from(t.option_len)).sum();
        if used + u32::from(m.option_len) > SPACE {
            return Err(Error::NxTlvTableModFailedTableFull);
        }
        table.insert(m.index, *m);
    }
    Ok(())
}

/// The places of the mapped fields.
fn places(table: &TlvTable) -> TunAlloc {
    let mut alloc = TunAlloc::default();
    for m in table.values() {
        // The table was checked to fit.
        let _ = alloc.allocate(m.index as u8, m.option_len);
    }
    alloc
}

/// Numbers of the fields that a match looks at.
fn fields_of(matching: &MiniMatch) -> impl Iterator<Item = u16> + '_ {
    matching.tun().into_iter().flat_map(|t| (0..FIELDS).filter(|n| t.slot(*n as u8).is_some()))
}

impl Bridge {
    /// Changes the table of tunnel options, all or nothing.
    pub(crate) fn tlv_table_mod(&mut self, change: &TlvTableMod) -> Result<(), Error> {
        let mut table = self.tlv_table.clone();
        match change.command {
            ADD => add(&mut table, &change.maps)?,
            DELETE => {
                for m in &change.maps {
                    table.remove(&m.index);
                }
            }
            CLEAR => table.clear(),
            _ => return Err(Error::NxTlvTableModFailedBadCommand),
        }
        let gone = |n: &u16| self.tlv_table.contains_key(n) && !table.contains_key(n);
        let everything = MiniMatch::default();
        if self.tlv_table.keys().any(gone)
            && self.tables.select(&Selection::all(&everything)).iter().any(|r| fields_of(&r.matching).any(|n| gone(&n)))
        {
            return Err(Error::NxTlvTableModFailedInvalidTlvDel);
        }
        self.tlv_table = table;
        self.events.push_back(Event::Settings);
        Ok(())
    }

    pub(crate) fn tlv_table_reply(&self) -> TlvTableReply {
        TlvTableReply { max_option_space: SPACE, max_fields: FIELDS, maps: self.tlv_table.values().copied().collect() }
    }

    /// Where each tunnel metadata field lies.
    pub fn tunnel_options(&self) -> TunAlloc {
        places(&self.tlv_table)
    }

    /// Whether the table has all fields that a match looks at.
    pub(crate) fn check_tunnel_fields(&self, matching: &MiniMatch) -> Result<(), Error> {
        // The presence bits, of which bit N says whether `tun_metadataN` is there.
        let present = matching.mask_word(58);
        let here = (0..FIELDS).filter(|n| present >> n & 1 != 0);
        if fields_of(matching).chain(here).all(|n| self.tlv_table.contains_key(&n)) {
            Ok(())
        } else {
            Err(Error::NxFlowModFailedInvalidTlvField)
        }
    }

    /// Whether the table has all fields that actions read or write.
    pub(crate) fn check_tunnel_actions(&self, actions: &[Action]) -> Result<(), Error> {
        let missing = |f: Field| f.tun_metadata_index().is_some_and(|n| !self.tlv_table.contains_key(&n.into()));
        let wrong = |a: &Action| match a {
            Action::Move(m) => missing(m.src.field) || missing(m.dst.field),
            Action::SetField(s) => missing(s.field),
            Action::StackPush(s) | Action::StackPop(s) | Action::OutputReg { src: s, .. } => missing(s.field),
            Action::DeleteField(f) => missing(*f),
            _ => false,
        };
        if any_action(actions, &wrong) { Err(Error::NxFlowModFailedInvalidTlvField) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(option_type: u8, option_len: u8, index: u16) -> TlvMap {
        TlvMap { option_class: 0xffff, option_type, option_len, index }
    }

    #[track_caller]
    fn check(maps: &[TlvMap], expect: Result<(), Error>) {
        let mut table = TlvTable::from([(0, map(0, 4, 0))]);
        assert_eq!(add(&mut table, maps), expect, "{maps:?}");
    }

    #[test]
    fn mistakes() {
        check(&[map(1, 4, 1), map(2, 124, 2), map(3, 124, 3)], Ok(()));
        check(&[map(1, 4, 0)], Err(Error::NxTlvTableModFailedAlreadyMapped));
        check(&[map(0, 4, 1)], Err(Error::NxTlvTableModFailedDupEntry));
        check(&[map(1, 4, 1), map(1, 4, 2)], Err(Error::NxTlvTableModFailedDupEntry));
        check(&[map(1, 5, 1)], Err(Error::NxTlvTableModFailedBadOptLen));
        check(&[map(1, 128, 1)], Err(Error::NxTlvTableModFailedBadOptLen));
        check(&[map(1, 4, 64)], Err(Error::NxTlvTableModFailedBadFieldIdx));
        check(&[map(1, 124, 1), map(2, 124, 2), map(3, 8, 3)], Err(Error::NxTlvTableModFailedTableFull));
    }
}
