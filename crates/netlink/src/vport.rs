//! Family `ovs_vport`: ports of datapaths.

use crate::attr::{Attrs, Malformed, Writer, string_of, u16_of, u32_of, u32s_of};
use crate::dp::stat_words;
use crate::message::{Generic, begin_ovs, ovs};

/// Name of the family and of its multicast group.
pub const FAMILY: &str = "ovs_vport";
/// Version.
pub const VERSION: u8 = 1;

/// Kind: a device that the kernel has.
pub const NETDEV: u32 = 1;
/// Kind: a device whose other end is the datapath.
pub const INTERNAL: u32 = 2;
/// Kinds of tunnel.
pub const GRE: u32 = 3;
/// VXLAN.
pub const VXLAN: u32 = 4;
/// Geneve.
pub const GENEVE: u32 = 5;

const PORT_NO: u16 = 1;
const TYPE: u16 = 2;
const NAME: u16 = 3;
const OPTIONS: u16 = 4;
const UPCALL_PID: u16 = 5;
const STATS: u16 = 6;
const IFINDEX: u16 = 8;
const NETNSID: u16 = 9;
const UPCALL_STATS: u16 = 10;
const UPCALL_SUCCESS: u16 = 0;
const UPCALL_FAIL: u16 = 1;
const TUNNEL_DST_PORT: u16 = 1;
const TUNNEL_EXTENSION: u16 = 2;
const EXTENSION_GBP: u16 = 1;

/// Counters, as the datapath sees the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
}

/// What a tunnel's port has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// UDP port.
    pub dst_port: Option<u16>,
    /// VXLAN group policy.
    pub gbp: bool,
}

/// A port, as asked for or as told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vport {
    /// Interface index of the datapath.
    pub dp: u32,
    /// Number.
    pub port: Option<u32>,
    /// [`NETDEV`], [`INTERNAL`], …
    pub kind: Option<u32>,
    /// Name of its device.
    pub name: Option<String>,
    /// Interface index of its device.
    pub ifindex: Option<u32>,
    /// Namespace of its device, where it is another.
    pub netnsid: Option<u32>,
    /// Counters.
    pub stats: Option<Stats>,
    /// Packets sent to the switch, and those that could not be.
    pub upcalls: Option<(u64, u64)>,
    /// Sockets for packets without a flow.
    pub upcall_pids: Option<Vec<u32>>,
    /// Of tunnels.
    pub options: Option<Options>,
}

impl Vport {
    /// Body of a message.
    #[must_use]
    pub fn encode(&self, command: u8) -> Writer {
        self.write(Generic { command, version: VERSION })
    }

    /// Body of a message with its header given.
    #[must_use]
    pub fn write(&self, header: Generic) -> Writer {
        let mut w = begin_ovs(header, self.dp);
        if let Some(v) = &self.port {
            w.u32(PORT_NO, *v);
        }
        if let Some(v) = &self.kind {
            w.u32(TYPE, *v);
        }
        if let Some(v) = &self.name {
            w.string(NAME, v);
        }
        if let Some(v) = &self.ifindex {
            w.u32(IFINDEX, *v);
        }
        if let Some(v) = &self.netnsid {
            w.u32(NETNSID, *v);
        }
        if let Some(s) = &self.stats {
            let all = [
                s.rx_packets,
                s.tx_packets,
                s.rx_bytes,
                s.tx_bytes,
                s.rx_errors,
                s.tx_errors,
                s.rx_dropped,
                s.tx_dropped,
            ];
            let all: Vec<u8> = all.iter().flat_map(|v| v.to_ne_bytes()).collect();
            w.put(STATS, &all);
        }
        if let Some((ok, failed)) = self.upcalls {
            w.nest(UPCALL_STATS, |w| {
                w.put(UPCALL_SUCCESS, &ok.to_ne_bytes()).put(UPCALL_FAIL, &failed.to_ne_bytes());
            });
        }
        if let Some(v) = &self.upcall_pids {
            w.u32s(UPCALL_PID, v);
        }
        if let Some(o) = &self.options {
            w.nest(OPTIONS, |w| {
                if let Some(p) = &o.dst_port {
                    w.u16(TUNNEL_DST_PORT, *p);
                }
                if o.gbp {
                    w.nest(TUNNEL_EXTENSION, |w| {
                        w.flag(EXTENSION_GBP);
                    });
                }
            });
        }
        w
    }

    /// Reads a body.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(body: &[u8]) -> Result<(Generic, Vport), Malformed> {
        let (header, dp, attrs) = ovs(body)?;
        let mut port = Vport { dp, ..Vport::default() };
        for a in Attrs(attrs) {
            match a? {
                (PORT_NO, v) => port.port = Some(u32_of(v)?),
                (TYPE, v) => port.kind = Some(u32_of(v)?),
                (NAME, v) => port.name = Some(string_of(v)?),
                (IFINDEX, v) => port.ifindex = Some(u32_of(v)?),
                (NETNSID, v) => port.netnsid = Some(u32_of(v)?),
                (STATS, v) => {
                    let s = stat_words::<8>(v)?;
                    port.stats = Some(Stats {
                        rx_packets: s[0],
                        tx_packets: s[1],
                        rx_bytes: s[2],
                        tx_bytes: s[3],
                        rx_errors: s[4],
                        tx_errors: s[5],
                        rx_dropped: s[6],
                        tx_dropped: s[7],
                    });
                }
                (UPCALL_STATS, v) => {
                    let one = |kind| -> Result<u64, Malformed> {
                        let found = Attrs(v).find(kind)?;
                        Ok(found.map(stat_words::<1>).transpose()?.map_or(0, |[n]| n))
                    };
                    port.upcalls = Some((one(UPCALL_SUCCESS)?, one(UPCALL_FAIL)?));
                }
                (UPCALL_PID, v) => port.upcall_pids = Some(u32s_of(v)?),
                (OPTIONS, v) => {
                    let dst_port = Attrs(v).find(TUNNEL_DST_PORT)?.map(u16_of).transpose()?;
                    let extensions = Attrs(v).find(TUNNEL_EXTENSION)?;
                    let gbp = extensions.map(|e| Attrs(e).find(EXTENSION_GBP)).transpose()?.flatten().is_some();
                    port.options = Some(Options { dst_port, gbp });
                }
                _ => {}
            }
        }
        Ok((header, port))
    }
}
