//! A dummy device's way to other processes: its packets as frames over stream sockets, each after its length in two bytes,
//! most significant first.

use super::Shared;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use wire::PacketBuf;

/// Time between attempts to connect.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes that wait for a peer that does not read; frames beyond that are dropped.
const WAITING: usize = 1 << 16;
/// Shortest frame: an Ethernet header. Who sends less is disconnected.
const LEAST: usize = 14;

/// What a device is linked to: `stream` connects, `pstream` waits for others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// `unix:PATH` or `tcp:HOST:PORT`
    Active(String),
    /// `punix:PATH` or `ptcp:PORT[:HOST]`
    Passive(String),
}

/// The link that options ask for.
pub fn wanted(options: &[(String, String)]) -> Option<Target> {
    let value = |key: &str| options.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    value("stream").map(Target::Active).or_else(|| value("pstream").map(Target::Passive))
}

trait Socket: Read + Write + Send {
    fn descriptor(&self) -> BorrowedFd<'_>;
    fn another(&self) -> std::io::Result<Box<dyn Socket>>;
    fn set_nonblocking(&self) -> std::io::Result<()>;
}

macro_rules! socket {
    ($($stream:ty),*) => {$(
        impl Socket for $stream {
            fn descriptor(&self) -> BorrowedFd<'_> {
                self.as_fd()
            }
            fn another(&self) -> std::io::Result<Box<dyn Socket>> {
                Ok(Box::new(self.try_clone()?))
            }
            fn set_nonblocking(&self) -> std::io::Result<()> {
                <$stream>::set_nonblocking(self, true)
            }
        }
    )*};
}

socket!(UnixStream, TcpStream);

/// Somebody at the other end.
struct Peer {
    id: u64,
    socket: Box<dyn Socket>,
    waiting: Vec<u8>,
}

impl Peer {
    /// Sends what waits, as far as the socket takes it; false if the peer is gone.
    fn flush(&mut self) -> bool {
        while !self.waiting.is_empty() {
            match self.socket.write(&self.waiting) {
                Ok(0) => return false,
                Ok(n) => drop(self.waiting.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

#[derive(Default)]
struct Peers {
    list: Mutex<Vec<Peer>>,
    connected: AtomicBool,
}

impl Peers {
    fn with<R>(&self, work: impl FnOnce(&mut Vec<Peer>) -> R) -> R {
        work(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A device's link. Its threads end when it is dropped.
pub struct Link {
    target: Target,
    peers: Arc<Peers>,
    /// Its other end tells the threads, when this one goes, that they have to end.
    _alive: Option<UnixStream>,
}

impl Link {
    /// Begins to connect, or to wait for others.
    pub fn open(target: Target, device: Weak<Mutex<Shared>>) -> Link {
        let peers = Arc::new(Peers::default());
        let alive = UnixStream::pair().ok().and_then(|(alive, ended)| {
            let (peers, target) = (peers.clone(), target.clone());
            let ended = Arc::new(ended);
            let run = move || match target {
                Target::Active(name) => connect(&name, &peers, &device, &ended),
                Target::Passive(name) => listen(&name, &peers, &device, &ended),
            };
            std::thread::Builder::new().name("dummy-link".into()).spawn(run).ok().map(|_| alive)
        });
        Link { target, peers, _alive: alive }
    }

    /// What it is linked to.
    pub fn target(&self) -> Target {
        self.target.clone()
    }

    /// Whether it is connected; none for one that waits for others.
    pub fn is_connected(&self) -> Option<bool> {
        matches!(self.target, Target::Active(_)).then(|| self.peers.connected.load(Ordering::Relaxed))
    }

    /// Sends a packet to everybody at the other end.
    pub fn send(&self, packet: &[u8]) {
        let Ok(length) = u16::try_from(packet.len()) else { return };
        self.peers.with(|list| {
            list.retain_mut(|peer| {
                if peer.waiting.len() + packet.len() + 2 <= WAITING {
                    peer.waiting.extend_from_slice(&length.to_be_bytes());
                    peer.waiting.extend_from_slice(packet);
                }
                peer.flush()
            });
        });
    }
}

/// Waits until there is something to read; false when the link has ended.
fn wait(socket: Option<BorrowedFd<'_>>, ended: &UnixStream, limit: Option<Duration>) -> bool {
    let limit = limit.and_then(|limit| rustix::event::Timespec::try_from(limit).ok());
    let mut fds = vec![PollFd::new(ended, PollFlags::IN)];
    fds.extend(socket.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN)));
    let polled = poll(&mut fds, limit.as_ref());
    matches!(polled, Ok(_) | Err(rustix::io::Errno::INTR)) && fds[0].revents().is_empty()
}

fn connect(name: &str, peers: &Arc<Peers>, device: &Weak<Mutex<Shared>>, ended: &Arc<UnixStream>) {
    let dial = || -> std::io::Result<Box<dyn Socket>> {
        Ok(match name.split_once(':') {
            Some(("unix", path)) => Box::new(UnixStream::connect(path)?),
            Some(("tcp", address)) => Box::new(TcpStream::connect(address)?),
            _ => return Err(ErrorKind::Unsupported.into()),
        })
    };
    loop {
        if let Ok(socket) = dial() {
            peers.connected.store(true, Ordering::Relaxed);
            serve(0, socket, peers, device, ended);
            peers.connected.store(false, Ordering::Relaxed);
        }
        if !wait(None, ended, Some(RETRY)) {
            return;
        }
    }
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    fn open(name: &str) -> Option<Listener> {
        match name.split_once(':')? {
            ("punix", path) => {
                let _ = std::fs::remove_file(path);
                Some(Listener::Unix(UnixListener::bind(path).ok()?))
            }
            ("ptcp", address) => {
                let (port, host) = address.split_once(':').unwrap_or((address, "0.0.0.0"));
                Some(Listener::Tcp(TcpListener::bind((host, port.parse::<u16>().ok()?)).ok()?))
            }
            _ => None,
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(l) => l.as_fd(),
            Listener::Tcp(l) => l.as_fd(),
        }
    }

    fn accept(&self) -> std::io::Result<Box<dyn Socket>> {
        Ok(match self {
            Listener::Unix(l) => Box::new(l.accept()?.0),
            Listener::Tcp(l) => Box::new(l.accept()?.0),
        })
    }
}

fn listen(name: &str, peers: &Arc<Peers>, device: &Weak<Mutex<Shared>>, ended: &Arc<UnixStream>) {
    let Some(listener) = Listener::open(name) else { return };
    for id in 0.. {
        if !wait(Some(listener.descriptor()), ended, None) {
            break;
        }
        let Ok(socket) = listener.accept() else { continue };
        let (peers, device, ended) = (peers.clone(), device.clone(), ended.clone());
        let run = move || serve(id, socket, &peers, &device, &ended);
        // Without a thread the connection is dropped, which its other end sees.
        let _ = std::thread::Builder::new().name("dummy-link".into()).spawn(run);
    }
    if let ("punix", path) = name.split_once(':').unwrap_or_default() {
        let _ = std::fs::remove_file(path);
    }
}

/// Takes in what a peer sends, until it goes.
fn serve(id: u64, mut socket: Box<dyn Socket>, peers: &Peers, device: &Weak<Mutex<Shared>>, ended: &UnixStream) {
    let (Ok(()), Ok(other)) = (socket.set_nonblocking(), socket.another()) else { return };
    peers.with(|list| list.push(Peer { id, socket: other, waiting: Vec::new() }));
    let mut frames = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let unsent = peers.with(|list| {
            list.retain_mut(|peer| peer.id != id || peer.flush());
            list.iter().find(|peer| peer.id == id).map(|peer| !peer.waiting.is_empty())
        });
        let Some(unsent) = unsent else { break };
        if !wait(Some(socket.descriptor()), ended, unsent.then_some(Duration::from_millis(20))) {
            break;
        }
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => frames.extend_from_slice(&buffer[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            Err(_) => break,
        }
        if !take_frames(&mut frames, device) {
            break;
        }
    }
    peers.with(|list| list.retain(|peer| peer.id != id));
}

/// Gives whole frames to the device; false if one is not a frame or the device is gone.
fn take_frames(frames: &mut Vec<u8>, device: &Weak<Mutex<Shared>>) -> bool {
    while let Some((length, rest)) = frames.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        if length < LEAST {
            return false;
        }
        let Some(frame) = rest.get(..length) else { break };
        let Some(shared) = device.upgrade() else { return false };
        super::push_shared(&shared, 0, PacketBuf::from_bytes(frame));
        frames.drain(..2 + length);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device, Pool};
    use crate::dummy::DummyDevice;

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while !holds() {
            assert!(std::time::Instant::now() < end, "{what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn two_devices_are_a_wire() {
        let path = std::env::temp_dir().join(format!("ferrovs-link-{}", std::process::id()));
        let path = path.to_str().unwrap().to_string();
        let a = DummyDevice::new("a", "dummy", 1);
        let b = DummyDevice::new("b", "dummy", 2);
        a.set_options(&[("pstream".into(), format!("punix:{path}"))]);
        until("the socket is there", || std::path::Path::new(&path).exists());
        b.set_options(&[("stream".into(), format!("unix:{path}"))]);
        until("connected", || b.is_connected() == Some(true));
        assert_eq!(a.is_connected(), None);
        let (mut at_a, mut at_b) = (a.open().unwrap(), b.open().unwrap());
        let mut pool = Pool::default();
        for (from, to) in [(true, "a to b"), (false, "b to a")].map(|(ab, what)| (ab, what)) {
            let (out, back) = if from { (&mut at_a, &mut at_b) } else { (&mut at_b, &mut at_a) };
            let mut got = Vec::new();
            until(to, || {
                // The peer may not be known at first: what is sent then is lost.
                out.send(&mut [PacketBuf::from_bytes(&[7; 20])]);
                back.receive(&mut pool, &mut got).unwrap();
                !got.is_empty()
            });
            assert_eq!(got[0].bytes(), [7; 20]);
        }
        a.set_options(&[]);
        until("the other end sees it", || b.is_connected() == Some(false));
        until("the socket is gone", || !std::path::Path::new(&path).exists());
    }

    #[test]
    fn frames() {
        let device = DummyDevice::new("a", "dummy", 1);
        let weak = Arc::downgrade(&device.shared);
        let check = |bytes: &[u8], left: usize, fine: bool| {
            let mut frames = bytes.to_vec();
            assert_eq!(take_frames(&mut frames, &weak), fine, "{bytes:?}");
            assert_eq!(frames.len(), left, "{bytes:?}");
        };
        check(&[], 0, true);
        check(&[0], 1, true);
        check(&[0, 13, 1], 3, false);
        check(&[0, 14, 1], 3, true);
        let one: Vec<u8> = [0, 14].into_iter().chain([9; 14]).collect();
        check(&one, 0, true);
        check(&[&one[..], &[0]].concat(), 1, true);
        assert_eq!(device.stats().unwrap().rx_packets, 2);
    }
}
