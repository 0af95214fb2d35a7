//! Family `ovs_meter`.

use crate::attr::{Attrs, Malformed, Writer, u32_of, u64_of};
use crate::dp::stat_words;
use crate::message::{Generic, begin_ovs, ovs};

/// Name.
pub const FAMILY: &str = "ovs_meter";
/// Version.
pub const VERSION: u8 = 1;
/// What meters can be.
pub const FEATURES: u8 = 1;
/// Make or change one.
pub const SET: u8 = 2;
/// Delete one.
pub const DEL: u8 = 3;
/// Ask for one.
pub const GET: u8 = 4;
/// Kind of band: drops.
pub const BAND_DROP: u32 = 1;

const ID: u16 = 1;
const KBPS: u16 = 2;
const STATS: u16 = 3;
const BANDS: u16 = 4;
const USED: u16 = 5;
const CLEAR: u16 = 6;
const MAX_METERS: u16 = 7;
const MAX_BANDS: u16 = 8;
const BAND: u16 = 0;
const BAND_TYPE: u16 = 1;
const BAND_RATE: u16 = 2;
const BAND_BURST: u16 = 3;
const BAND_STATS: u16 = 4;

/// A band.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Band {
    /// [`BAND_DROP`].
    pub kind: Option<u32>,
    /// Per second.
    pub rate: Option<u32>,
    /// At once.
    pub burst: Option<u32>,
    /// Packets and bytes.
    pub stats: Option<(u64, u64)>,
}

/// A meter, as asked for or as told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// Interface index of the datapath.
    pub dp: u32,
    /// Number.
    pub id: Option<u32>,
    /// Rates are kilobits, else packets.
    pub kbps: bool,
    /// Packets and bytes.
    pub stats: Option<(u64, u64)>,
    /// Milliseconds of the monotonic clock at the last packet.
    pub used: Option<u64>,
    /// Most meters.
    pub max_meters: Option<u32>,
    /// Most bands.
    pub max_bands: Option<u32>,
    /// Bands.
    pub bands: Option<Vec<Band>>,
    /// Zero its counters.
    pub clear: bool,
}

fn pair(stats: (u64, u64)) -> Vec<u8> {
    [stats.0, stats.1].iter().flat_map(|v| v.to_ne_bytes()).collect()
}

impl Meter {
    /// Body of a message.
    #[must_use]
    pub fn encode(&self, command: u8) -> Writer {
        self.write(Generic { command, version: VERSION })
    }

    /// Body of a message with its header given.
    #[must_use]
    pub fn write(&self, header: Generic) -> Writer {
        let mut w = begin_ovs(header, self.dp);
        if let Some(v) = &self.id {
            w.u32(ID, *v);
        }
        if self.kbps {
            w.flag(KBPS);
        }
        if let Some(v) = &self.stats {
            w.put(STATS, &pair(*v));
        }
        if let Some(v) = &self.used {
            w.put(USED, &v.to_ne_bytes());
        }
        if let Some(v) = &self.max_meters {
            w.u32(MAX_METERS, *v);
        }
        if let Some(v) = &self.max_bands {
            w.u32(MAX_BANDS, *v);
        }
        if let Some(bands) = &self.bands {
            w.nest(BANDS, |w| {
                for b in bands {
                    w.nest(BAND, |w| {
                        if let Some(v) = &b.kind {
                            w.u32(BAND_TYPE, *v);
                        }
                        if let Some(v) = &b.rate {
                            w.u32(BAND_RATE, *v);
                        }
                        if let Some(v) = &b.burst {
                            w.u32(BAND_BURST, *v);
                        }
                        if let Some(v) = &b.stats {
                            w.put(BAND_STATS, &pair(*v));
                        }
                    });
                }
            });
        }
        if self.clear {
            w.flag(CLEAR);
        }
        w
    }

    /// Reads a body.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(body: &[u8]) -> Result<(Generic, Meter), Malformed> {
        let (header, dp, attrs) = ovs(body)?;
        let mut m = Meter { dp, ..Meter::default() };
        let stats = |v| stat_words::<2>(v).map(|[a, b]| (a, b));
        for a in Attrs(attrs) {
            match a? {
                (ID, v) => m.id = Some(u32_of(v)?),
                (KBPS, _) => m.kbps = true,
                (STATS, v) => m.stats = Some(stats(v)?),
                (USED, v) => m.used = Some(u64_of(v)?),
                (MAX_METERS, v) => m.max_meters = Some(u32_of(v)?),
                (MAX_BANDS, v) => m.max_bands = Some(u32_of(v)?),
                (CLEAR, _) => m.clear = true,
                (BANDS, v) => {
                    let mut bands = vec![];
                    for band in Attrs(v) {
                        let mut b = Band::default();
                        for a in Attrs(band?.1) {
                            match a? {
                                (BAND_TYPE, v) => b.kind = Some(u32_of(v)?),
                                (BAND_RATE, v) => b.rate = Some(u32_of(v)?),
                                (BAND_BURST, v) => b.burst = Some(u32_of(v)?),
                                (BAND_STATS, v) => b.stats = Some(stats(v)?),
                                _ => {}
                            }
                        }
                        bands.push(b);
                    }
                    m.bands = Some(bands);
                }
                _ => {}
            }
        }
        Ok((header, m))
    }
}
