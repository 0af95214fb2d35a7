//! Family `ovs_flow`. Keys, masks and actions are kept as the attributes that they are; crate `datapath` gives them their meaning.

use crate::attr::{Attrs, Malformed, Writer, u8_of, u32_of, u64_of};
use crate::dp::stat_words;
use crate::message::{Generic, begin_ovs, ovs};

/// Name.
pub const FAMILY: &str = "ovs_flow";
/// Version.
pub const VERSION: u8 = 1;
/// Flag of answers: leave out the key.
pub const OMIT_KEY: u32 = 1;
/// Flag of answers: leave out the mask.
pub const OMIT_MASK: u32 = 2;
/// Flag of answers: leave out the actions.
pub const OMIT_ACTIONS: u32 = 4;

const KEY: u16 = 1;
const ACTIONS: u16 = 2;
const STATS: u16 = 3;
const TCP_FLAGS: u16 = 4;
const USED: u16 = 5;
const CLEAR: u16 = 6;
const MASK: u16 = 7;
const PROBE: u16 = 8;
const UFID: u16 = 9;
const UFID_FLAGS: u16 = 10;

/// A name is four integers in the machine's order; as one number, the first is the most significant.
fn ufid_bytes(ufid: u128) -> [u8; 16] {
    let mut out = [0; 16];
    for (i, chunk) in out.chunks_exact_mut(4).enumerate() {
        chunk.copy_from_slice(&((ufid >> (96 - 32 * i)) as u32).to_ne_bytes());
    }
    out
}

fn ufid_of(v: &[u8]) -> Result<u128, Malformed> {
    if v.len() != 16 {
        return Err(Malformed("flow name"));
    }
    v.chunks_exact(4).try_fold(0, |n, word| Ok(n << 32 | u128::from(u32_of(word)?)))
}

/// A flow, as asked for or as told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow<'a> {
    /// Interface index of the datapath.
    pub dp: u32,
    /// Name.
    pub ufid: Option<u128>,
    /// What answers leave out: `OMIT_*`.
    pub ufid_flags: Option<u32>,
    /// Key attributes.
    pub key: Option<&'a [u8]>,
    /// Key attributes that are its mask; without one everything counts.
    pub mask: Option<&'a [u8]>,
    /// Milliseconds of the monotonic clock at the last packet.
    pub used: Option<u64>,
    /// Packets and bytes.
    pub stats: Option<(u64, u64)>,
    /// TCP flags of all packets, the low eight.
    pub tcp_flags: Option<u8>,
    /// Action attributes.
    pub actions: Option<&'a [u8]>,
    /// Zero its counters.
    pub clear: bool,
    /// Tries what the kernel can do; it is not to complain.
    pub probe: bool,
}

impl<'a> Flow<'a> {
    /// Body of a message.
    #[must_use]
    pub fn encode(&self, command: u8) -> Writer {
        self.write(Generic { command, version: VERSION })
    }

    /// Body of a message with its header given.
    #[must_use]
    pub fn write(&self, header: Generic) -> Writer {
        let mut w = begin_ovs(header, self.dp);
        if let Some(v) = &self.ufid {
            w.put(UFID, &ufid_bytes(*v));
        }
        if let Some(v) = &self.ufid_flags {
            w.u32(UFID_FLAGS, *v);
        }
        if let Some(v) = &self.key {
            w.put(KEY, v);
        }
        if let Some(v) = &self.mask {
            w.put(MASK, v);
        }
        if let Some(v) = &self.used {
            w.put(USED, &v.to_ne_bytes());
        }
        if let Some((packets, bytes)) = self.stats {
            let mut all = packets.to_ne_bytes().to_vec();
            all.extend(bytes.to_ne_bytes());
            w.put(STATS, &all);
        }
        if let Some(v) = &self.tcp_flags {
            w.u8(TCP_FLAGS, *v);
        }
        if let Some(v) = &self.actions {
            w.put(ACTIONS, v);
        }
        if self.clear {
            w.flag(CLEAR);
        }
        if self.probe {
            w.flag(PROBE);
        }
        w
    }

    /// Reads a body.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(body: &'a [u8]) -> Result<(Generic, Flow<'a>), Malformed> {
        let (header, dp, attrs) = ovs(body)?;
        let mut flow = Flow { dp, ..Flow::default() };
        for a in Attrs(attrs) {
            match a? {
                (UFID, v) => flow.ufid = Some(ufid_of(v)?),
                (UFID_FLAGS, v) => flow.ufid_flags = Some(u32_of(v)?),
                (KEY, v) => flow.key = Some(v),
                (MASK, v) => flow.mask = Some(v),
                (USED, v) => flow.used = Some(u64_of(v)?),
                (STATS, v) => {
                    let [packets, bytes] = stat_words(v)?;
                    flow.stats = Some((packets, bytes));
                }
                (TCP_FLAGS, v) => flow.tcp_flags = Some(u8_of(v)?),
                (ACTIONS, v) => flow.actions = Some(v),
                (CLEAR, _) => flow.clear = true,
                (PROBE, _) => flow.probe = true,
                _ => {}
            }
        }
        Ok((header, flow))
    }
}
