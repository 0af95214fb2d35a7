//! Meters.

use crate::transport::{Request, malformed};
use crate::{Kernel, dp_error};
use datapath::{DpError, MeterConfig, MeterFeatures, MeterStats};
use netlink::meter::{self, BAND_DROP, Band, Meter};

impl Kernel {
    fn meter(&self, command: u8, m: Meter) -> Result<Meter, DpError> {
        let family = self.transport.families.meter;
        if family == 0 {
            return Err(DpError::Unsupported("meters"));
        }
        let request = Request::echo(family, Meter { dp: self.ifindex(), ..m }.encode(command));
        let answer = self.transport.with(|c| c.ask(&request)).map_err(|e| dp_error(e, DpError::NoSuchMeter))?;
        match answer {
            Some(a) => Meter::parse(&a).map(|(_, m)| m).map_err(|e| DpError::Io(malformed(e))),
            None => Ok(Meter::default()),
        }
    }

    pub(crate) fn find_meter_features(&self) -> MeterFeatures {
        /// `OFPMF13_KBPS`, `PKTPS`, `BURST`, `STATS`.
        const ALL: u32 = 0xf;
        let Ok(m) = self.meter(meter::FEATURES, Meter::default()) else { return MeterFeatures::default() };
        let kinds = m.bands.unwrap_or_default().iter().filter_map(|b| b.kind).fold(0, |bits, k| bits | 1 << k.min(31));
        MeterFeatures {
            max_meters: m.max_meters.unwrap_or(0),
            band_types: kinds,
            capabilities: if kinds == 0 { 0 } else { ALL },
            max_bands: m.max_bands.unwrap_or(0).min(255) as u8,
            max_color: 0,
        }
    }

    pub(crate) fn set_meter(&self, id: u32, config: &MeterConfig) -> Result<(), DpError> {
        let band = |b: &datapath::MeterBand| Band {
            kind: Some(BAND_DROP),
            rate: Some(b.rate),
            burst: Some(if b.burst == 0 { b.rate } else { b.burst }),
            stats: None,
        };
        let bands = Some(config.bands.iter().map(band).collect());
        self.meter(meter::SET, Meter { id: Some(id), kbps: !config.packets, bands, ..Meter::default() })?;
        Ok(())
    }

    pub(crate) fn get_meter(&self, id: u32) -> Result<MeterStats, DpError> {
        self.meter(meter::GET, Meter { id: Some(id), ..Meter::default() }).map(|m| stats(&m))
    }

    pub(crate) fn del_meter(&self, id: u32) -> Result<MeterStats, DpError> {
        self.meter(meter::DEL, Meter { id: Some(id), ..Meter::default() }).map(|m| stats(&m))
    }
}

fn stats(m: &Meter) -> MeterStats {
    let (packets, bytes) = m.stats.unwrap_or_default();
    let bands = m.bands.iter().flatten().map(|b| b.stats.unwrap_or_default()).collect();
    MeterStats { packets, bytes, bands }
}
