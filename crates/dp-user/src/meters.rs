//! The datapath's meters: set by any thread, consulted by polling threads for the packets of metered flows only.

use clock::Instant;
use datapath::meter::Meter;
use datapath::{DpError, MeterConfig, MeterFeatures, MeterStats};
use papaya::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// All meters by number.
#[derive(Default)]
pub(crate) struct Meters(HashMap<u32, Arc<Mutex<Meter>>>);

fn lock(m: &Mutex<Meter>) -> MutexGuard<'_, Meter> {
    m.lock().unwrap_or_else(|e| e.into_inner())
}

impl Meters {
    pub fn set(&self, id: u32, config: &MeterConfig, now: Instant) -> Result<(), DpError> {
        let features = MeterFeatures::USERSPACE;
        if id >= features.max_meters {
            return Err(DpError::Full);
        }
        if config.bands.len() > usize::from(features.max_bands) {
            return Err(DpError::Unsupported("so many bands"));
        }
        self.0.pin().insert(id, Arc::new(Mutex::new(Meter::new(config.clone(), now))));
        Ok(())
    }

    pub fn get(&self, id: u32) -> Result<MeterStats, DpError> {
        self.0.pin().get(&id).map(|m| lock(m).stats()).ok_or(DpError::NoSuchMeter)
    }

    pub fn remove(&self, id: u32) -> Result<MeterStats, DpError> {
        self.0.pin().remove(&id).map(|m| lock(m).stats()).ok_or(DpError::NoSuchMeter)
    }

    /// Whether a packet may pass. Without such a meter everything may.
    pub fn admit(&self, id: u32, bytes: u64, now: Instant) -> bool {
        self.0.pin().get(&id).is_none_or(|m| lock(m).admit(bytes, now))
    }
}
