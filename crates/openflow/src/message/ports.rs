//! Ports and queues.

use flow::OfPort;
use wire::EthAddr;

use super::Span;

/// Port configuration: down.
pub const PC_PORT_DOWN: u32 = 1 << 0;
/// Port configuration: no 802.1D (1.0).
pub const PC_NO_STP: u32 = 1 << 1;
/// Port configuration: drop what is received.
pub const PC_NO_RECV: u32 = 1 << 2;
/// Port configuration: drop 802.1D packets that are received (1.0).
pub const PC_NO_RECV_STP: u32 = 1 << 3;
/// Port configuration: not part of a flood (1.0).
pub const PC_NO_FLOOD: u32 = 1 << 4;
/// Port configuration: drop what is forwarded.
pub const PC_NO_FWD: u32 = 1 << 5;
/// Port configuration: no packet-in.
pub const PC_NO_PACKET_IN: u32 = 1 << 6;

/// Port state: no link.
pub const PS_LINK_DOWN: u32 = 1 << 0;
/// Port state: blocked (1.1 and later).
pub const PS_BLOCKED: u32 = 1 << 1;
/// Port state: live for fast failover (1.1 and later).
pub const PS_LIVE: u32 = 1 << 2;
/// Port state: 802.1D state (1.0), 0 listen, 1 learn, 2 forward, 3 block.
pub const PS_STP_SHIFT: u32 = 8;
/// Port state: bits of the 802.1D state.
pub const PS_STP_MASK: u32 = 3 << PS_STP_SHIFT;

/// Link features, in the numbering of 1.1 and later.
pub mod feature {
    #![allow(missing_docs)]
    pub const HD_10M: u32 = 1 << 0;
    pub const FD_10M: u32 = 1 << 1;
    pub const HD_100M: u32 = 1 << 2;
    pub const FD_100M: u32 = 1 << 3;
    pub const HD_1G: u32 = 1 << 4;
    pub const FD_1G: u32 = 1 << 5;
    pub const FD_10G: u32 = 1 << 6;
    pub const FD_40G: u32 = 1 << 7;
    pub const FD_100G: u32 = 1 << 8;
    pub const FD_1T: u32 = 1 << 9;
    pub const OTHER: u32 = 1 << 10;
    pub const COPPER: u32 = 1 << 11;
    pub const FIBER: u32 = 1 << 12;
    pub const AUTONEG: u32 = 1 << 13;
    pub const PAUSE: u32 = 1 << 14;
    pub const PAUSE_ASYM: u32 = 1 << 15;
}

/// A port.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PortDesc {
    /// Number.
    pub port: OfPort,
    /// Hardware address.
    pub hw_addr: EthAddr,
    /// Name, up to 15 bytes (63 in requests by name).
    pub name: String,
    /// `PC_*` bits.
    pub config: u32,
    /// `PS_*` bits.
    pub state: u32,
    /// Features in use, see [`feature`].
    pub curr: u32,
    /// Features advertised.
    pub advertised: u32,
    /// Features supported.
    pub supported: u32,
    /// Features of the peer.
    pub peer: u32,
    /// Speed, kbps (1.1 and later).
    pub curr_speed: u32,
    /// Greatest speed, kbps (1.1 and later).
    pub max_speed: u32,
}

/// What happened to a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum PortReason {
    Add = 0,
    Delete = 1,
    Modify = 2,
}

/// A port came, went or changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// The port.
    pub desc: PortDesc,
}

/// Change of a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortMod {
    /// Port.
    pub port: OfPort,
    /// Hardware address: must be the port's.
    pub hw_addr: EthAddr,
    /// `PC_*` bits.
    pub config: u32,
    /// Bits of `config` that change.
    pub mask: u32,
    /// Features to advertise, 0 for no change.
    pub advertise: u32,
}

/// Counters of a port. `u64::MAX` stands for a counter that the port does not have.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct PortStats {
    pub port: OfPort,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_frame_err: u64,
    pub rx_over_err: u64,
    pub rx_crc_err: u64,
    pub collisions: u64,
    /// Age of the port (1.3 and later), `None` for unknown.
    pub duration: Option<Span>,
    /// RFC 2819 counters (1.4 and later): receive and transmit size buckets, then the seven others in the order of the wire.
    pub rfc2819: Option<Box<Rfc2819>>,
    /// Counters of the device's driver (1.4 and later).
    pub custom: Vec<(String, u64)>,
}

impl Default for PortStats {
    fn default() -> PortStats {
        PortStats {
            port: OfPort::NONE,
            rx_packets: u64::MAX,
            tx_packets: u64::MAX,
            rx_bytes: u64::MAX,
            tx_bytes: u64::MAX,
            rx_dropped: u64::MAX,
            tx_dropped: u64::MAX,
            rx_errors: u64::MAX,
            tx_errors: u64::MAX,
            rx_frame_err: u64::MAX,
            rx_over_err: u64::MAX,
            rx_crc_err: u64::MAX,
            collisions: u64::MAX,
            duration: None,
            rfc2819: None,
            custom: Vec::new(),
        }
    }
}

/// Counters of RFC 2819. Size buckets: 1-64, 65-127, 128-255, 256-511, 512-1023, 1024-1522, 1523-max.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Rfc2819 {
    pub rx_sizes: [u64; 7],
    pub tx_sizes: [u64; 7],
    pub tx_multicast: u64,
    pub rx_broadcast: u64,
    pub tx_broadcast: u64,
    pub rx_undersized: u64,
    pub rx_oversize: u64,
    pub rx_fragmented: u64,
    pub rx_jabber: u64,
}

/// All queues of a port.
pub const QUEUE_ALL: u32 = u32::MAX;

/// Asks about queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueRequest {
    /// Port, [`OfPort::ANY`] for all (in 1.0 statistics: [`OfPort::ALL`]).
    pub port: OfPort,
    /// Queue, [`QUEUE_ALL`] for all.
    pub queue: u32,
}

/// Counters of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct QueueStats {
    pub port: OfPort,
    pub queue: u32,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    /// Age (1.3 and later), `None` for unknown.
    pub duration: Option<Span>,
}

/// Configuration of a queue. Rates are tenths of a percent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueDesc {
    /// Port.
    pub port: OfPort,
    /// Queue.
    pub queue: u32,
    /// Least rate, `None` for off.
    pub min_rate: Option<u16>,
    /// Greatest rate, `None` for off.
    pub max_rate: Option<u16>,
}

/// Queues of a port (1.0 to 1.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueConfigReply {
    /// Port.
    pub port: OfPort,
    /// Queues.
    pub queues: Vec<QueueDesc>,
}
