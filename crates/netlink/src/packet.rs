//! Family `ovs_packet`: packets to the switch, and packets from it to be worked on.

use crate::attr::{Attrs, Malformed, Writer, u16_of, u32_of, u64_of};
use crate::message::{Generic, begin_ovs, ovs};

/// Name.
pub const FAMILY: &str = "ovs_packet";
/// Version.
pub const VERSION: u8 = 1;
/// From the kernel: no flow matches.
pub const MISS: u8 = 1;
/// From the kernel: an action sent it.
pub const ACTION: u8 = 2;
/// To the kernel: do these actions to it.
pub const EXECUTE: u8 = 3;

const PACKET: u16 = 1;
const KEY: u16 = 2;
const ACTIONS: u16 = 3;
const USERDATA: u16 = 4;
const EGRESS_TUN_KEY: u16 = 5;
const PROBE: u16 = 8;
const MRU: u16 = 9;
const LEN: u16 = 10;
const HASH: u16 = 11;
const UPCALL_PID: u16 = 12;

/// A packet and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Interface index of the datapath.
    pub dp: u32,
    /// Bytes.
    pub packet: Option<&'a [u8]>,
    /// Key attributes; to the kernel, those of metadata.
    pub key: Option<&'a [u8]>,
    /// Action attributes.
    pub actions: Option<&'a [u8]>,
    /// What the action that sent it carries.
    pub userdata: Option<&'a [u8]>,
    /// Tunnel attributes of the output that the action named.
    pub egress_tunnel: Option<&'a [u8]>,
    /// Tries what the kernel can do.
    pub probe: bool,
    /// Largest fragment of the packet that was put together.
    pub mru: Option<u16>,
    /// Length before it was cut.
    pub len: Option<u32>,
    /// The kernel's hash of the packet.
    pub hash: Option<u64>,
    /// The socket that the packet came to, to which it is to come again if it misses again (Linux 7.0 on).
    pub upcall_pid: Option<u32>,
}

impl<'a> Packet<'a> {
    /// Body of a message.
    #[must_use]
    pub fn encode(&self, command: u8) -> Writer {
        self.write(Generic { command, version: VERSION })
    }

    /// Body of a message with its header given. What the kernel sends has the packet last.
    #[must_use]
    pub fn write(&self, header: Generic) -> Writer {
        let mut w = begin_ovs(header, self.dp);
        let to_kernel = header.command == EXECUTE;
        if let Some(v) = self.packet.filter(|_| to_kernel) {
            w.put(PACKET, v);
        }
        if let Some(v) = &self.key {
            w.put(KEY, v);
        }
        if let Some(v) = &self.userdata {
            w.put(USERDATA, v);
        }
        if let Some(v) = &self.egress_tunnel {
            w.put(EGRESS_TUN_KEY, v);
        }
        if let Some(v) = &self.actions {
            w.put(ACTIONS, v);
        }
        if self.probe {
            w.flag(PROBE);
        }
        if let Some(v) = &self.mru {
            w.u16(MRU, *v);
        }
        if let Some(v) = &self.len {
            w.u32(LEN, *v);
        }
        if let Some(v) = &self.hash {
            w.put(HASH, &v.to_ne_bytes());
        }
        if let Some(v) = &self.upcall_pid {
            w.u32(UPCALL_PID, *v);
        }
        if let Some(v) = self.packet.filter(|_| !to_kernel) {
            w.put(PACKET, v);
        }
        w
    }

    /// Reads a body.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(body: &'a [u8]) -> Result<(Generic, Packet<'a>), Malformed> {
        let (header, dp, attrs) = ovs(body)?;
        let mut p = Packet { dp, ..Packet::default() };
        for a in Attrs(attrs) {
            match a? {
                (PACKET, v) => p.packet = Some(v),
                (KEY, v) => p.key = Some(v),
                (ACTIONS, v) => p.actions = Some(v),
                (USERDATA, v) => p.userdata = Some(v),
                (EGRESS_TUN_KEY, v) => p.egress_tunnel = Some(v),
                (PROBE, _) => p.probe = true,
                (MRU, v) => p.mru = Some(u16_of(v)?),
                (LEN, v) => p.len = Some(u32_of(v)?),
                (HASH, v) => p.hash = Some(u64_of(v)?),
                (UPCALL_PID, v) => p.upcall_pid = Some(u32_of(v)?),
                _ => {}
            }
        }
        Ok((header, p))
    }
}
