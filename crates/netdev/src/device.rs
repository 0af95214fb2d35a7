//! What the switch asks of a network device.
//!
//! A device has two sides. [`Device`] is the control side: any thread may use it, and its calls may block in the
//! kernel. [`Queue`] is the packet side: one polling thread owns it and nothing it does waits.

use std::io;
use std::os::fd::RawFd;

use wire::{EthAddr, PacketBuf};

/// Packets handled in one go.
pub const BATCH: usize = 32;

/// Counters of a device, as seen from the switch: `rx` came out of the device into the switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DeviceStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub multicast: u64,
    pub collisions: u64,
    pub rx_length_errors: u64,
    pub rx_over_errors: u64,
    pub rx_crc_errors: u64,
    pub rx_frame_errors: u64,
    pub rx_fifo_errors: u64,
    pub rx_missed_errors: u64,
    pub tx_aborted_errors: u64,
    pub tx_carrier_errors: u64,
    pub tx_fifo_errors: u64,
    pub tx_heartbeat_errors: u64,
    pub tx_window_errors: u64,
}

impl DeviceStats {
    /// The counters of a kernel device as the database's `Interface:statistics` names them.
    #[must_use]
    pub fn named(&self) -> Vec<(String, u64)> {
        [
            ("rx_packets", self.rx_packets),
            ("rx_bytes", self.rx_bytes),
            ("tx_packets", self.tx_packets),
            ("tx_bytes", self.tx_bytes),
            ("rx_dropped", self.rx_dropped),
            ("rx_errors", self.rx_errors),
            ("rx_frame_err", self.rx_frame_errors),
            ("rx_missed_errors", self.rx_missed_errors),
            ("rx_multicast_packets", self.multicast),
            ("rx_over_err", self.rx_over_errors),
            ("rx_crc_err", self.rx_crc_errors),
            ("tx_dropped", self.tx_dropped),
            ("tx_errors", self.tx_errors),
            ("collisions", self.collisions),
        ]
        .map(|(key, n)| (key.to_string(), n))
        .to_vec()
    }

    /// The counters of a device whose other end is the switch, turned to the switch's side.
    #[must_use]
    pub fn turned(self) -> Self {
        DeviceStats {
            rx_packets: self.tx_packets,
            tx_packets: self.rx_packets,
            rx_bytes: self.tx_bytes,
            tx_bytes: self.rx_bytes,
            rx_errors: self.tx_errors,
            tx_errors: self.rx_errors,
            rx_dropped: self.tx_dropped,
            tx_dropped: self.rx_dropped,
            ..DeviceStats::default()
        }
    }
}

/// State of a device at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Administratively up.
    pub up: bool,
    /// The link has a carrier.
    pub carrier: bool,
    /// The device is in promiscuous mode.
    pub promiscuous: bool,
    /// Kernel interface index, 0 for a device that the kernel does not know.
    pub ifindex: u32,
    /// Address.
    pub mac: EthAddr,
    /// Largest packet without its Ethernet header, in bytes.
    pub mtu: u32,
    /// Times that the carrier went away or came back, as far as known.
    pub carrier_changes: u64,
}

/// What the switch leaves to a device that takes nothing over, as the database's `Interface:status` names it.
pub(crate) fn no_offloads() -> impl Iterator<Item = (String, String)> {
    let names = [
        "geneve_tso",
        "gre_tso",
        "ip_csum",
        "out_ip_csum",
        "out_udp_csum",
        "sctp_csum",
        "tcp_csum",
        "tcp_seg",
        "udp_csum",
        "vxlan_tso",
    ];
    names.into_iter().map(|name| (format!("tx_{name}_offload"), "false".to_string()))
}

/// Speed and duplex of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkSpeed {
    /// Megabits per second; 0 when unknown.
    pub mbps: u32,
    /// Full duplex; `None` when unknown.
    pub full_duplex: Option<bool>,
}

/// The control side of a device.
pub trait Device: Send + Sync {
    /// Name.
    fn name(&self) -> &str;
    /// Type, as in the database's `Interface` table: `system`, `internal`, `tap`, `dummy`, …
    fn kind(&self) -> &'static str;
    /// State now. Fails with `ENODEV` when the device is gone.
    fn state(&self) -> io::Result<LinkState>;
    /// Counters now.
    fn stats(&self) -> io::Result<DeviceStats>;
    /// What it counts, as the database's `Interface:statistics` names it.
    fn counters(&self) -> io::Result<Vec<(String, u64)>> {
        self.stats().map(|s| s.named())
    }
    /// Sets the address.
    fn set_mac(&self, mac: EthAddr) -> io::Result<()>;
    /// Sets the MTU in bytes.
    fn set_mtu(&self, mtu: u32) -> io::Result<()>;
    /// Brings the device up or down.
    fn set_up(&self, up: bool) -> io::Result<()>;
    /// Speed and duplex.
    fn speed(&self) -> LinkSpeed {
        LinkSpeed::default()
    }
    /// Key-value pairs for the database's `Interface:status`.
    fn status(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    /// The dummy that it is, for commands that drive dummies.
    fn as_dummy(&self) -> Option<&crate::dummy::DummyDevice> {
        None
    }
    /// Opens the packet side. May block.
    fn open(&self) -> io::Result<Box<dyn Queue>>;
    /// Whether a thread has to look for its packets all the time, on a core of its own: its queues cannot be waited for.
    fn is_polled(&self) -> bool {
        false
    }
    /// Receive queues. More than one only where [`Device::is_polled`].
    fn rx_queues(&self) -> u32 {
        1
    }
    /// NUMA node that its queues are best polled on.
    fn numa(&self) -> u32 {
        0
    }
    /// Opens a receive queue, below [`Device::rx_queues`]. May block.
    fn open_rx(&self, _queue: u32) -> io::Result<Box<dyn Queue>> {
        self.open()
    }
    /// Opens a queue to send with, for a thread that does not receive from the device. May block.
    fn open_tx(&self) -> io::Result<Box<dyn Queue>> {
        self.open()
    }
    /// Options of the `Interface` row that the device understands; what it does not know it leaves alone.
    /// True if queues have to be opened anew.
    fn set_options(&self, _options: &[(String, String)]) -> bool {
        false
    }
    /// What `dpctl/show` tells of it in parentheses, behind the type.
    fn queue_config(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// What an output can take over from the switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Completes partial checksums.
    pub checksum: bool,
    /// Cuts large packets.
    pub segmentation: bool,
}

/// What became of a batch that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets that the device took.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that it refused.
    pub dropped: u64,
}

/// The packet side of a device.
pub trait Queue: Send {
    /// A descriptor that becomes readable when packets wait, for epoll. `None`: the queue has to be polled.
    fn fd(&self) -> Option<RawFd>;
    /// Moves up to [`BATCH`] waiting packets to the end of `out`, with buffers taken from `pool`. Never waits.
    /// An error means that the device is gone or broken; "nothing there" is `Ok(0)`.
    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<PacketBuf>) -> io::Result<usize>;
    /// Sends the packets in order; those that the device refuses are dropped and counted. Their buffers stay in `packets`.
    fn send(&mut self, packets: &mut [PacketBuf]) -> Sent;
    /// What the output takes over.
    fn offloads(&self) -> Offloads;
    /// Makes the queue ready for packets of up to `mtu` bytes.
    fn mtu_changed(&mut self, _mtu: u32) {}
}

/// Buffers that wait to be used again.
#[derive(Default)]
pub struct Pool {
    free: Vec<PacketBuf>,
    large: Vec<PacketBuf>,
}

/// Room of a large buffer: the largest packet that the kernel builds, with headers and tags.
pub const LARGE_ROOM: usize = 65536 + 512;
/// Large buffers that are kept; they are 64 KiB each.
const LARGE_LIMIT: usize = 96;

/// Room of a pooled buffer, enough for an Ethernet frame of the usual MTU with tags.
pub const BUFFER_ROOM: usize = 2048;
const POOL_LIMIT: usize = 1024;

impl Pool {
    /// An empty buffer with at least [`BUFFER_ROOM`] bytes of room.
    #[inline]
    pub fn take(&mut self) -> PacketBuf {
        self.free.pop().unwrap_or_else(|| PacketBuf::with_room(BUFFER_ROOM))
    }

    /// An empty buffer with at least [`LARGE_ROOM`] bytes of room.
    pub fn take_large(&mut self) -> PacketBuf {
        self.large.pop().unwrap_or_else(|| PacketBuf::with_room(LARGE_ROOM))
    }

    /// Takes all buffers back.
    pub fn give_all(&mut self, packets: &mut Vec<PacketBuf>) {
        for packet in packets.drain(..) {
            self.give(packet);
        }
    }

    /// Takes a buffer back.
    #[inline]
    pub fn give(&mut self, mut packet: PacketBuf) {
        if packet.room() >= LARGE_ROOM {
            if self.large.len() < LARGE_LIMIT && packet.room() <= LARGE_ROOM + BUFFER_ROOM {
                packet.reset();
                self.large.push(packet);
            }
        } else if self.free.len() < POOL_LIMIT && (BUFFER_ROOM..=BUFFER_ROOM * 2).contains(&packet.room()) {
            packet.reset();
            self.free.push(packet);
        }
    }
}
