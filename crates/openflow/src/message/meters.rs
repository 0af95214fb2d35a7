//! Meters (1.3 and later).

use super::Span;
use crate::version::MeterId;

/// Meter flag: rates are kilobits a second.
pub const MF_KBPS: u16 = 1;
/// Meter flag: rates are packets a second.
pub const MF_PKTPS: u16 = 2;
/// Meter flag: bands have burst sizes.
pub const MF_BURST: u16 = 4;
/// Meter flag: count.
pub const MF_STATS: u16 = 8;

/// Command of a meter_mod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u16)]
pub enum MeterCommand {
    Add = 0,
    Modify = 1,
    Delete = 2,
}

/// What a band does to packets above its rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BandType {
    /// Drop.
    Drop,
    /// Raise the drop precedence by so many levels.
    DscpRemark(u8),
}

/// A band.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MeterBand {
    /// What it does.
    pub ty: BandType,
    /// Rate, kbps or packets a second.
    pub rate: u32,
    /// Burst, kilobits or packets.
    pub burst: u32,
}

/// A meter as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeterConfig {
    /// Meter.
    pub meter: MeterId,
    /// `MF_*` flags.
    pub flags: u16,
    /// Bands.
    pub bands: Vec<MeterBand>,
}

/// Change of a meter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeterMod {
    /// Command.
    pub command: MeterCommand,
    /// The meter.
    pub meter: MeterConfig,
}

/// Counters of a meter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeterStats {
    /// Meter.
    pub meter: MeterId,
    /// Flows that use it.
    pub flows: u32,
    /// Packets.
    pub packets_in: u64,
    /// Bytes.
    pub bytes_in: u64,
    /// Age.
    pub duration: Span,
    /// Packets and bytes of each band.
    pub bands: Vec<(u64, u64)>,
}

/// What meters can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MeterFeatures {
    /// Greatest number of meters.
    pub max_meters: u32,
    /// Bit N for band type N.
    pub band_types: u32,
    /// `MF_*` flags that are supported.
    pub capabilities: u32,
    /// Bands of a meter.
    pub max_bands: u8,
    /// Colours.
    pub max_color: u8,
}
