//! Meters of a bridge (OpenFlow 1.3.5 §5.7). The datapath measures; each meter has a number of its own there, for bridges
//! on one datapath share its meters.

use crate::bridge::Bridge;
use crate::change::Change;
use crate::flow_mod::{Selection, any_action};
use crate::handle::Origin;
use clock::Instant;
use datapath::meter as dp;
use io::vlog::{Level, Module};
use io::vlog_rl;
use openflow::action::Action;
use openflow::message::flows::FlowRemovedReason;
use openflow::message::meters::{
    BandType, MF_BURST, MF_KBPS, MF_PKTPS, MeterCommand, MeterConfig, MeterFeatures, MeterMod, MeterStats,
};
use openflow::message::{Multipart, RequestForward};
use openflow::{Error, Message, MeterId};
use std::collections::HashMap;
use std::sync::Arc;

/// `OFPMBT_DROP`
const BAND_DROP: u32 = 1;

/// A meter.
#[derive(Debug)]
pub(crate) struct Meter {
    config: MeterConfig,
    /// Its number in the datapath.
    in_datapath: u32,
    created: Instant,
}

impl Bridge {
    /// Carries out a meter-mod.
    pub(crate) fn meter_mod(&mut self, mm: MeterMod, origin: Origin, now: Instant) -> Result<(), Error> {
        match mm.command {
            MeterCommand::Add => self.meter_add(&mm.meter, now)?,
            MeterCommand::Modify => self.meter_modify(&mm.meter)?,
            MeterCommand::Delete => self.meter_delete(mm.meter.meter, now)?,
        }
        self.forward_request(origin, RequestForward::Meter(mm));
        Ok(())
    }

    fn meter_add(&mut self, config: &MeterConfig, now: Instant) -> Result<(), Error> {
        if !valid(config.meter) {
            return Err(Error::MeterModFailedInvalidMeter);
        }
        if self.meters.contains_key(&config.meter) {
            return Err(Error::MeterModFailedMeterExists);
        }
        let wanted = self.for_datapath(config)?;
        let in_datapath = self.upcalls.take_meter(self.datapath.meter_features().max_meters);
        let in_datapath = in_datapath.ok_or(Error::MeterModFailedOutOfMeters)?;
        if let Err(e) = self.datapath.meter_set(in_datapath, &wanted) {
            self.upcalls.give_meter(in_datapath);
            vlog_rl!((5, 5), Module::Dpif, Level::Warn, "{}: meter could not be made ({e})", self.name);
            return Err(Error::MeterModFailedOutOfMeters);
        }
        self.meters.insert(config.meter, Meter { config: config.clone(), in_datapath, created: now });
        self.publish_meters();
        Ok(())
    }

    fn meter_modify(&mut self, config: &MeterConfig) -> Result<(), Error> {
        let in_datapath = self.meters.get(&config.meter).ok_or(Error::MeterModFailedUnknownMeter)?.in_datapath;
        let wanted = self.for_datapath(config)?;
        if let Err(e) = self.datapath.meter_set(in_datapath, &wanted) {
            vlog_rl!((5, 5), Module::Dpif, Level::Warn, "{}: meter could not be changed ({e})", self.name);
            return Err(Error::MeterModFailedUnknown);
        }
        if let Some(m) = self.meters.get_mut(&config.meter) {
            m.config = config.clone();
        }
        Ok(())
    }

    /// Deletes a meter, or all; the flows that use it go with it. That there is none is no error.
    fn meter_delete(&mut self, meter: MeterId, now: Instant) -> Result<(), Error> {
        if meter != MeterId::ALL && !valid(meter) {
            return Err(Error::MeterModFailedInvalidMeter);
        }
        let gone: Vec<MeterId> = self.meters.keys().copied().filter(|m| meter == MeterId::ALL || *m == meter).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let mut change = self.tables.begin();
        self.delete_users(&mut change, &gone);
        self.commit(change, None, now);
        let numbers: Vec<u32> = gone.iter().filter_map(|m| self.meters.remove(m)).map(|m| m.in_datapath).collect();
        self.publish_meters();
        for n in numbers {
            // Flows of the datapath that still name it let packets pass until they are revalidated.
            if let Err(e) = self.datapath.meter_del(n) {
                vlog_rl!((5, 5), Module::Dpif, Level::Warn, "{}: meter could not be deleted ({e})", self.name);
            }
            self.upcalls.give_meter(n);
        }
        Ok(())
    }

    fn delete_users(&self, change: &mut Change, meters: &[MeterId]) {
        let everything = flow::MiniMatch::default();
        let uses = |a: &Action| match a {
            Action::Meter(m) => meters.contains(m),
            Action::Controller(c) => meters.contains(&MeterId(c.meter_id)),
            _ => false,
        };
        let users = self.tables.select(&Selection::all(&everything));
        for rule in users.into_iter().filter(|r| any_action(&r.data.actions, &uses)) {
            self.tables.remove(change, rule, FlowRemovedReason::MeterDelete);
        }
    }

    /// Checks a configuration against what the datapath can do.
    fn for_datapath(&self, config: &MeterConfig) -> Result<dp::MeterConfig, Error> {
        let features = self.datapath.meter_features();
        if config.flags & (MF_KBPS | MF_PKTPS) != 0 && u32::from(config.flags) & !features.capabilities != 0 {
            return Err(Error::MeterModFailedBadFlags);
        }
        if config.bands.len() > usize::from(features.max_bands) {
            return Err(Error::MeterModFailedOutOfBands);
        }
        let band = |b: &openflow::message::meters::MeterBand| match b.ty {
            BandType::Drop if features.band_types & 1 << BAND_DROP != 0 => {
                Ok(dp::MeterBand { rate: b.rate, burst: b.burst })
            }
            _ => Err(Error::MeterModFailedBadBand),
        };
        let bands = config.bands.iter().map(band).collect::<Result<_, _>>()?;
        let packets = config.flags & MF_PKTPS != 0;
        Ok(dp::MeterConfig { packets, burst: config.flags & MF_BURST != 0, bands })
    }

    fn publish_meters(&self) {
        let map: HashMap<MeterId, u32> = self.meters.iter().map(|(id, m)| (*id, m.in_datapath)).collect();
        self.shared.meters.publish(Arc::new(map));
        self.tables_changed();
    }

    /// Answers meter requests.
    pub(crate) fn meter_statistics(&self, request: &Message, now: Instant) -> Result<Message, Error> {
        Ok(match request {
            Message::MeterConfigRequest(id) => {
                Message::MeterConfigReply(Multipart::new(self.meters_of(*id)?.map(|m| m.config.clone()).collect()))
            }
            Message::MeterStatsRequest(id) => {
                let users = self.meter_references();
                let one = |m: &Meter| self.meter_stats(m, &users, now);
                Message::MeterStatsReply(Multipart::new(self.meters_of(*id)?.map(one).collect()))
            }
            _ => {
                let f = self.datapath.meter_features();
                Message::MeterFeaturesReply(MeterFeatures {
                    max_meters: f.max_meters,
                    band_types: f.band_types,
                    capabilities: f.capabilities,
                    max_bands: f.max_bands,
                    max_color: f.max_color,
                })
            }
        })
    }

    fn meters_of(&self, id: MeterId) -> Result<impl Iterator<Item = &Meter>, Error> {
        if id != MeterId::ALL && !self.meters.contains_key(&id) {
            return Err(Error::MeterModFailedUnknownMeter);
        }
        Ok(self.meters.iter().filter(move |(m, _)| id == MeterId::ALL || **m == id).map(|(_, m)| m))
    }

    fn meter_stats(&self, m: &Meter, users: &HashMap<MeterId, u32>, now: Instant) -> MeterStats {
        let measured = self.datapath.meter_get(m.in_datapath).unwrap_or_default();
        MeterStats {
            meter: m.config.meter,
            flows: users.get(&m.config.meter).copied().unwrap_or(0),
            packets_in: measured.packets,
            bytes_in: measured.bytes,
            duration: crate::stats::age(m.created, now),
            bands: measured.bands,
        }
    }

    /// How many flows use each meter.
    fn meter_references(&self) -> HashMap<MeterId, u32> {
        let mut counts = HashMap::new();
        let version = self.shared.versions.current().number();
        for table in &self.shared.tables {
            table.rules.for_each(version, |r| {
                for a in r.data.actions.iter() {
                    if let Action::Meter(m) = a {
                        *counts.entry(*m).or_default() += 1;
                    }
                }
            });
        }
        counts
    }
}

fn valid(meter: MeterId) -> bool {
    let special = matches!(meter, MeterId::SLOWPATH | MeterId::CONTROLLER);
    special || (1..=MeterId::MAX.0).contains(&meter.0)
}

impl Drop for Bridge {
    /// Meters of the datapath outlive no bridge.
    fn drop(&mut self) {
        for m in self.meters.values() {
            drop(self.datapath.meter_del(m.in_datapath));
            self.upcalls.give_meter(m.in_datapath);
        }
    }
}
