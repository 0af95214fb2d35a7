//! What controllers change about tables: names, misses, eviction, vacancy events.

use crate::INTERNAL_TABLE;
use crate::bridge::Bridge;
use crate::features;
use crate::table::{Limits, Vacancy};
use clock::Instant;
use openflow::message::tables::{TableDesc, TableFeatures, TableMiss, TableMod};
use openflow::{Error, TableId, Version};
use std::sync::Arc;
use translate::view;

impl Bridge {
    pub(crate) fn table_mod(&mut self, tm: &TableMod, version: Version, now: Instant) -> Result<(), Error> {
        let tables = match tm.table {
            TableId::ALL => 0..INTERNAL_TABLE,
            TableId(n) if n < INTERNAL_TABLE => n..n + 1,
            _ => return Err(Error::TableModFailedEperm),
        };
        for table in tables {
            if version < Version::V13 {
                self.set_miss(table, tm.miss);
            }
            let config = self.tables.config_mut(table);
            if let Some(evict) = tm.eviction {
                config.evict = evict;
            }
            match (tm.vacancy, tm.vacancy_limits) {
                (Some(false), _) => config.vacancy = None,
                (Some(true), Some((down, up, _))) => config.vacancy = Some(Vacancy { down, up, falling: true }),
                _ => {}
            }
            self.enforce_limit(table, now);
            self.tell_vacancy(&[table]);
        }
        if version < Version::V13 {
            self.tables_changed();
        }
        Ok(())
    }

    fn set_miss(&mut self, table: u8, miss: TableMiss) {
        self.tables.config_mut(table).miss = Some(miss);
        let miss = match miss {
            TableMiss::Default => view::TableMiss::Default,
            TableMiss::Controller => view::TableMiss::Controller,
            TableMiss::Continue => view::TableMiss::Continue,
            TableMiss::Drop => view::TableMiss::Drop,
        };
        self.shared.tables[usize::from(table)].miss.publish(Arc::new(miss));
    }

    /// Takes a table's configuration from the database.
    pub fn set_limits(&mut self, table: u8, limits: Limits, now: Instant) {
        if table >= INTERNAL_TABLE || self.tables.config(table).limits == limits {
            return;
        }
        self.tables.config_mut(table).limits = limits;
        self.enforce_limit(table, now);
        self.tell_vacancy(&[table]);
    }

    fn enforce_limit(&mut self, table: u8, now: Instant) {
        let mut change = self.tables.begin();
        self.tables.enforce_limit(&mut change, table, now);
        self.commit(change, None, now);
    }

    /// The features of the tables as they are configured.
    pub(crate) fn table_features(&self) -> Vec<TableFeatures> {
        let mut all = features::all();
        for f in &mut all {
            let config = self.tables.config(f.table.0);
            f.name = config.shown_name().into();
            f.max_entries = config.limits.max_flows.unwrap_or(features::MAX_ENTRIES);
            f.miss = Some(config.miss.unwrap_or(TableMiss::Default));
        }
        all
    }

    /// A request to change tables' features: nothing but their names can change (OpenFlow 1.3.5 §A.3.5.5).
    pub(crate) fn set_table_features(&mut self, wanted: &[TableFeatures]) -> Result<(), Error> {
        for f in wanted {
            if f.table.0 >= INTERNAL_TABLE {
                return Err(Error::TableFeaturesFailedBadTable);
            }
            if f.any_properties {
                return Err(Error::TableFeaturesFailedEperm);
            }
        }
        for f in wanted {
            self.tables.config_mut(f.table.0).name = (!f.name.is_empty()).then(|| f.name.clone());
        }
        Ok(())
    }

    pub(crate) fn table_descs(&self) -> Vec<TableDesc> {
        (0..INTERNAL_TABLE).map(|t| self.tables.config(t).desc(t, self.tables.count(t))).collect()
    }
}
