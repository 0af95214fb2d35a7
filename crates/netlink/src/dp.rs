//! Family `ovs_datapath`.

use crate::attr::{Attrs, Malformed, Writer, string_of, u32_of, u32s_of, u64_of};
use crate::message::{Generic, begin_ovs, ovs};

/// Name.
pub const FAMILY: &str = "ovs_datapath";
/// Version.
pub const VERSION: u8 = 2;
/// Feature: attributes need no padding at the end.
pub const F_UNALIGNED: u32 = 1;
/// Feature: several sockets for a port.
pub const F_VPORT_PIDS: u32 = 2;
/// Feature: recirculation ids are shared with offloads.
pub const F_TC_RECIRC_SHARING: u32 = 4;
/// Feature: packets without a flow go to the socket of the CPU that they are on.
pub const F_PER_CPU: u32 = 8;

const NAME: u16 = 1;
const UPCALL_PID: u16 = 2;
const STATS: u16 = 3;
const MEGAFLOW_STATS: u16 = 4;
const USER_FEATURES: u16 = 5;
const MASKS_CACHE_SIZE: u16 = 7;
const PER_CPU_PIDS: u16 = 8;
const IFINDEX: u16 = 9;

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stats {
    pub hit: u64,
    pub missed: u64,
    pub lost: u64,
    pub flows: u64,
}

/// Counters of lookups under masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct MegaflowStats {
    pub mask_hit: u64,
    pub masks: u32,
    pub pad0: u32,
    pub cache_hit: u64,
    pub pad1: u64,
}

/// A datapath, as asked for or as told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datapath {
    /// Interface index of the datapath's own device; 0 where the name tells which.
    pub ifindex: u32,
    /// Name of its own device.
    pub name: Option<String>,
    /// Socket for packets without a flow of the datapath's own device.
    pub upcall_pid: Option<u32>,
    /// Counters.
    pub stats: Option<Stats>,
    /// Counters of lookups under masks.
    pub megaflow_stats: Option<MegaflowStats>,
    /// `F_*`.
    pub features: Option<u32>,
    /// Entries of the cache of masks.
    pub masks_cache: Option<u32>,
    /// Sockets by CPU.
    pub cpu_pids: Option<Vec<u32>>,
    /// Interface index to make it with.
    pub wanted_ifindex: Option<u32>,
}

pub(crate) fn stat_words<const N: usize>(v: &[u8]) -> Result<[u64; N], Malformed> {
    let mut out = [0; N];
    if v.len() < N * 8 {
        return Err(Malformed("statistics"));
    }
    for (o, chunk) in out.iter_mut().zip(v.chunks_exact(8)) {
        *o = u64_of(chunk)?;
    }
    Ok(out)
}

impl Datapath {
    /// Body of a message.
    #[must_use]
    pub fn encode(&self, command: u8) -> Writer {
        self.write(Generic { command, version: VERSION })
    }

    /// Body of a message with its header given.
    #[must_use]
    pub fn write(&self, header: Generic) -> Writer {
        let mut w = begin_ovs(header, self.ifindex);
        if let Some(v) = &self.name {
            w.string(NAME, v);
        }
        if let Some(v) = &self.upcall_pid {
            w.u32(UPCALL_PID, *v);
        }
        if let Some(s) = &self.stats {
            let all: Vec<u8> = [s.hit, s.missed, s.lost, s.flows].iter().flat_map(|v| v.to_ne_bytes()).collect();
            w.put(STATS, &all);
        }
        if let Some(s) = &self.megaflow_stats {
            let mut all = s.mask_hit.to_ne_bytes().to_vec();
            all.extend(s.masks.to_ne_bytes());
            all.extend(s.pad0.to_ne_bytes());
            all.extend(s.cache_hit.to_ne_bytes());
            all.extend(s.pad1.to_ne_bytes());
            w.put(MEGAFLOW_STATS, &all);
        }
        if let Some(v) = &self.features {
            w.u32(USER_FEATURES, *v);
        }
        if let Some(v) = &self.masks_cache {
            w.u32(MASKS_CACHE_SIZE, *v);
        }
        if let Some(v) = &self.cpu_pids {
            w.u32s(PER_CPU_PIDS, v);
        }
        if let Some(v) = &self.wanted_ifindex {
            w.u32(IFINDEX, *v);
        }
        w
    }

    /// Reads a body.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(body: &[u8]) -> Result<(Generic, Datapath), Malformed> {
        let (header, ifindex, attrs) = ovs(body)?;
        let mut dp = Datapath { ifindex, ..Datapath::default() };
        for a in Attrs(attrs) {
            match a? {
                (NAME, v) => dp.name = Some(string_of(v)?),
                (UPCALL_PID, v) => dp.upcall_pid = Some(u32_of(v)?),
                (STATS, v) => {
                    let [hit, missed, lost, flows] = stat_words(v)?;
                    dp.stats = Some(Stats { hit, missed, lost, flows });
                }
                (MEGAFLOW_STATS, v) => {
                    let [mask_hit, masks, cache_hit, pad1] = stat_words(v)?;
                    let pair = masks.to_ne_bytes();
                    let (masks, pad0) = (u32_of(&pair[..4])?, u32_of(&pair[4..])?);
                    dp.megaflow_stats = Some(MegaflowStats { mask_hit, masks, pad0, cache_hit, pad1 });
                }
                (USER_FEATURES, v) => dp.features = Some(u32_of(v)?),
                (MASKS_CACHE_SIZE, v) => dp.masks_cache = Some(u32_of(v)?),
                (PER_CPU_PIDS, v) => dp.cpu_pids = Some(u32s_of(v)?),
                (IFINDEX, v) => dp.wanted_ifindex = Some(u32_of(v)?),
                _ => {}
            }
        }
        Ok((header, dp))
    }
}
