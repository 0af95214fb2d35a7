//! Tables.

use flow::Field;

use crate::version::TableId;

/// What happens to packets that no flow of a table matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableMiss {
    /// As the table's default says.
    Default,
    /// To the controller (1.1, 1.2).
    Controller,
    /// To the next table (1.1, 1.2).
    Continue,
    /// Dropped (1.1, 1.2).
    Drop,
}

/// Change of a table, and what a table's description says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableMod {
    /// Table, [`TableId::ALL`] for all.
    pub table: TableId,
    /// Misses (1.1, 1.2).
    pub miss: TableMiss,
    /// Evict flows when full (1.4 and later); `None` leaves it.
    pub eviction: Option<bool>,
    /// Eviction flags (1.4 and later): 1 other, 2 importance, 4 lifetime.
    pub eviction_flags: Option<u32>,
    /// Vacancy events (1.4 and later); `None` leaves it.
    pub vacancy: Option<bool>,
    /// Vacancy limits in percent: down, up; in descriptions also the present vacancy.
    pub vacancy_limits: Option<(u8, u8, u8)>,
}

/// A table's description.
pub type TableDesc = TableMod;

/// Vacancy fell below or rose above a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableStatus {
    /// 3 down, 4 up.
    pub reason: u8,
    /// The table.
    pub desc: TableDesc,
}

/// Counters of a table, with what 1.0 to 1.2 tell of its features.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TableStats {
    /// Table.
    pub table: TableId,
    /// Flows.
    pub active: u32,
    /// Lookups, `u64::MAX` for unknown.
    pub lookups: u64,
    /// Hits, `u64::MAX` for unknown.
    pub matched: u64,
    /// Features (1.0 to 1.2).
    pub features: Option<Box<TableFeatures>>,
}

/// A set of fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FieldSet(pub [u64; 4]);

impl FieldSet {
    /// Adds a field.
    pub fn insert(&mut self, f: Field) {
        self.0[f.index() / 64] |= 1 << (f.index() % 64);
    }

    /// Removes a field.
    pub fn remove(&mut self, f: Field) {
        self.0[f.index() / 64] &= !(1 << (f.index() % 64));
    }

    /// Whether a field is in the set.
    pub fn contains(&self, f: Field) -> bool {
        self.0[f.index() / 64] >> (f.index() % 64) & 1 != 0
    }

    /// The fields, in table order.
    pub fn iter(&self) -> impl Iterator<Item = Field> + '_ {
        Field::all().filter(|f| self.contains(*f))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

/// What actions write to: applied actions or the action set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ActionFeatures {
    /// Bit N for action type N of OpenFlow 1.1 and later.
    pub actions: u64,
    /// Fields that set_field writes.
    pub set_fields: FieldSet,
}

/// Features of flows, or of table-miss flows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowFeatures {
    /// Tables that goto_table reaches.
    pub next: Vec<u8>,
    /// Instructions: bit N for instruction N of the wire.
    pub instructions: u32,
    /// The action set.
    pub write: ActionFeatures,
    /// Applied actions.
    pub apply: ActionFeatures,
}

/// Features of a table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableFeatures {
    /// Table.
    pub table: TableId,
    /// 1.5: 0 replace, 1 modify, 2 enable, 3 disable.
    pub command: u8,
    /// Name, up to 31 bytes.
    pub name: String,
    /// Metadata bits that match.
    pub metadata_match: u64,
    /// Metadata bits that can be written.
    pub metadata_write: u64,
    /// Misses (1.1, 1.2).
    pub miss: Option<TableMiss>,
    /// Eviction is offered (1.4 and later).
    pub supports_eviction: bool,
    /// Vacancy events are offered (1.4 and later).
    pub supports_vacancy: bool,
    /// Greatest number of flows.
    pub max_entries: u32,
    /// Flows.
    pub nonmiss: FlowFeatures,
    /// The table-miss flow.
    pub miss_features: FlowFeatures,
    /// Fields that can be matched.
    pub matchable: FieldSet,
    /// Fields that can be matched with any mask.
    pub maskable: FieldSet,
    /// Fields that can be left out.
    pub wildcards: FieldSet,
    /// Came without properties.
    pub any_properties: bool,
}
