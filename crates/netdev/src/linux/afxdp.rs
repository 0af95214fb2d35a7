//! Interfaces used through AF_XDP, of type `afxdp` (polled) or `afxdp-nonpmd` (waited for): one socket for each queue, fed by
//! an XDP program that we load ourselves.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::PacketBuf;

use super::bpf::SocketMap;
use super::ethtool;
use super::system::KernelLink;
use super::xsk::{self, Xsk};
use crate::device::{BATCH, Device, DeviceStats, LinkState, Offloads, Pool, Queue, Sent};

const XDP_FLAGS_SKB_MODE: u32 = 2;
const XDP_FLAGS_DRV_MODE: u32 = 4;
/// Queues that an interface may have here.
const MAX_QUEUES: u32 = 64;

/// How the kernel and we meet (`options:xdp-mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// The first of the others that works.
    #[default]
    BestEffort,
    /// In the driver, without copying.
    ZeroCopy,
    /// In the driver, with a copy.
    Native,
    /// After the driver, with a copy: works everywhere.
    Generic,
}

impl Mode {
    const NAMES: [(Mode, &'static str); 4] = [
        (Mode::BestEffort, "best-effort"),
        (Mode::ZeroCopy, "native-with-zerocopy"),
        (Mode::Native, "native"),
        (Mode::Generic, "generic"),
    ];

    fn name(self) -> &'static str {
        Mode::NAMES.iter().find(|(m, _)| *m == self).map_or("", |(_, n)| n)
    }

    fn parse(s: &str) -> Option<Mode> {
        Mode::NAMES.iter().find(|(_, n)| *n == s).map(|(m, _)| *m)
    }

    fn flags(self) -> (u32, u16) {
        match self {
            Mode::ZeroCopy => (XDP_FLAGS_DRV_MODE, xsk::ZERO_COPY),
            Mode::Native => (XDP_FLAGS_DRV_MODE, xsk::COPY),
            Mode::Generic | Mode::BestEffort => (XDP_FLAGS_SKB_MODE, xsk::COPY),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    queues: u32,
    mode: Mode,
    need_wakeup: bool,
}

/// The sockets of an interface and the program that feeds them.
struct Open {
    sockets: Vec<Arc<Mutex<Xsk>>>,
    mode: Mode,
    _link: OwnedFd,
    _map: SocketMap,
}

/// An interface used through AF_XDP.
pub struct AfxdpDevice {
    link: KernelLink,
    kind: &'static str,
    state: Mutex<(Options, Option<Open>)>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AfxdpDevice {
    /// Takes the interface `name`; `kind` is `afxdp` or `afxdp-nonpmd`.
    pub fn find(name: &str, kind: &'static str) -> io::Result<Self> {
        let options = Options { queues: 1, mode: Mode::BestEffort, need_wakeup: true };
        Ok(AfxdpDevice { link: KernelLink::find(name)?, kind, state: Mutex::new((options, None)) })
    }

    fn start(&self, options: Options, mode: Mode) -> io::Result<Open> {
        let (attach, bind) = mode.flags();
        let bind = if options.need_wakeup { bind | xsk::USE_NEED_WAKEUP } else { bind };
        let map = SocketMap::new(MAX_QUEUES)?;
        let link = map.attach(self.link.ifindex(), attach)?;
        let mut sockets = vec![];
        for queue in 0..options.queues {
            let socket = Xsk::open(self.link.ifindex(), queue, bind)?;
            map.set(queue, socket.owned_fd())?;
            sockets.push(Arc::new(Mutex::new(socket)));
        }
        Ok(Open { sockets, mode, _link: link, _map: map })
    }

    fn is_virtual(&self) -> bool {
        ethtool::driver(self.link.name()).is_ok_and(|d| matches!(d.name.as_str(), "veth" | "tun" | "virtio_net"))
    }

    /// The socket of a queue (of some queue, for one to send by); opens all of them if they are not.
    fn socket(&self, queue: u32) -> io::Result<Arc<Mutex<Xsk>>> {
        let mut state = lock(&self.state);
        if state.1.is_none() {
            let options = state.0;
            let modes: &[Mode] = match options.mode {
                Mode::BestEffort => &[Mode::ZeroCopy, Mode::Native, Mode::Generic],
                ref one => std::slice::from_ref(one),
            };
            let mut result = Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
            for mode in modes {
                result = self.start(options, *mode);
                if result.is_ok() {
                    break;
                }
            }
            state.1 = Some(result?);
        }
        let sockets = state.1.as_ref().map(|o| o.sockets.as_slice()).unwrap_or_default();
        let at = queue as usize % sockets.len().max(1);
        sockets.get(at).cloned().ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }
}

impl Device for AfxdpDevice {
    fn name(&self) -> &str {
        self.link.name()
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn state(&self) -> io::Result<LinkState> {
        self.link.state()
    }

    fn stats(&self) -> io::Result<DeviceStats> {
        self.link.stats()
    }

    super::settings_of_link!();

    fn status(&self) -> Vec<(String, String)> {
        let mut all = self.link.driver_status();
        if let Some(open) = &lock(&self.state).1 {
            all.push(("xdp-mode".into(), open.mode.name().into()));
        }
        all
    }

    fn open(&self) -> io::Result<Box<dyn Queue>> {
        self.open_rx(0)
    }

    fn is_polled(&self) -> bool {
        self.kind == "afxdp"
    }

    fn rx_queues(&self) -> u32 {
        lock(&self.state).0.queues
    }

    fn open_rx(&self, queue: u32) -> io::Result<Box<dyn Queue>> {
        let socket = self.socket(queue)?;
        let fd = lock(&socket).fd();
        Ok(Box::new(AfxdpQueue { socket, fd: (!self.is_polled()).then_some(fd), virtual_link: self.is_virtual() }))
    }

    fn open_tx(&self) -> io::Result<Box<dyn Queue>> {
        Ok(Box::new(AfxdpQueue { socket: self.socket(0)?, fd: None, virtual_link: false }))
    }

    fn set_options(&self, options: &[(String, String)]) -> bool {
        let get = |key: &str| options.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        let new = Options {
            queues: get("n_rxq").and_then(|v| v.parse().ok()).filter(|n| (1..=MAX_QUEUES).contains(n)).unwrap_or(1),
            mode: get("xdp-mode").and_then(Mode::parse).unwrap_or_default(),
            need_wakeup: get("use-need-wakeup") != Some("false"),
        };
        // Sockets in use stay as they are: they are opened with the port, after its options are known.
        let mut state = lock(&self.state);
        let changed = state.1.is_none() && state.0 != new;
        if changed {
            state.0 = new;
        }
        changed
    }

    fn queue_config(&self) -> Vec<(String, String)> {
        let (options, open) = &*lock(&self.state);
        let mut all = vec![("n_rxq".into(), options.queues.to_string())];
        all.push(("use-need-wakeup".into(), options.need_wakeup.to_string()));
        all.push(("xdp-mode".into(), options.mode.name().into()));
        if let Some(open) = open {
            all.push(("xdp-mode-in-use".into(), open.mode.name().into()));
        }
        all
    }
}

struct AfxdpQueue {
    socket: Arc<Mutex<Xsk>>,
    fd: Option<RawFd>,
    /// Packets come from a stack of this machine, which may have left their checksums to the hardware; that is not told.
    virtual_link: bool,
}

impl Queue for AfxdpQueue {
    fn fd(&self) -> Option<RawFd> {
        self.fd
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<PacketBuf>) -> io::Result<usize> {
        let virtual_link = self.virtual_link;
        Ok(lock(&self.socket).receive(BATCH, |bytes| {
            let mut packet = pool.take();
            packet.assign(bytes);
            if virtual_link {
                wire::checksum::find_partial(&mut packet);
            }
            out.push(packet);
        }))
    }

    fn send(&mut self, packets: &mut [PacketBuf]) -> Sent {
        let (mut socket, mut sent) = (lock(&self.socket), Sent::default());
        for packet in packets {
            if socket.queue(packet.bytes()) {
                sent.packets += 1;
                sent.bytes += packet.len() as u64;
            } else {
                sent.dropped += 1;
            }
        }
        socket.kick();
        sent
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }
}
