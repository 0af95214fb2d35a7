//! Requests and their answers.

use netdev::linux::netlink::{NetlinkSocket, Protocol};
use netlink::message::{ACK, DUMP, ECHO, Header, Messages, REQUEST, Reply, encode};
use netlink::{ct_limit, dp, family, flow, meter, packet, vport};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

pub(crate) fn malformed(e: netlink::Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e)
}

/// The kernel answers at once but for what waits for a lock of its own.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest answer: a datagram of a listing, of which the kernel makes none as large.
const LARGEST: usize = 128 << 10;
/// Room for answers to a batch.
const ROOM: usize = 1 << 20;
/// Bytes of requests that are sent at once.
const DATAGRAM: usize = 128 << 10;
/// Requests that are sent before their answers are read.
const BATCH: usize = 32;

/// A socket for requests of one thread at a time.
pub(crate) struct Connection {
    socket: NetlinkSocket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// A request: family, further flags, body.
pub(crate) struct Request {
    pub family: u16,
    pub flags: u16,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(family: u16, body: netlink::Writer) -> Request {
        Request { family, flags: 0, body: body.into_bytes() }
    }

    /// Answered by what came of it.
    pub fn echo(family: u16, body: netlink::Writer) -> Request {
        Request { flags: ECHO, ..Request::new(family, body) }
    }

    pub fn with(mut self, flags: u16) -> Request {
        self.flags |= flags;
        self
    }
}

impl Connection {
    pub fn open(protocol: Protocol) -> io::Result<Connection> {
        let socket = NetlinkSocket::open(protocol)?;
        socket.set_room(ROOM)?;
        socket.set_patience(PATIENCE)?;
        Ok(Connection { socket, sequence: 0, buffer: vec![0; LARGEST] })
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    fn message(&mut self, request: &Request, flags: u16) -> (u32, Vec<u8>) {
        let sequence = self.next_sequence();
        let flags = REQUEST | flags | request.flags;
        let header = Header { kind: request.family, flags, sequence, port: self.socket.port() };
        (sequence, encode(header, &request.body))
    }

    /// Makes a request; gives the first answer, where there is one besides the acknowledgement.
    pub fn ask(&mut self, request: &Request) -> io::Result<Option<Vec<u8>>> {
        let (sequence, message) = self.message(request, ACK);
        self.socket.send(&message)?;
        let mut answer = None;
        loop {
            let n = self.socket.receive_into(&mut self.buffer, true)?;
            for m in Messages(&self.buffer[..n]) {
                let m = m.map_err(malformed)?;
                if m.header.sequence != sequence {
                    continue;
                }
                match m.reply().map_err(malformed)? {
                    Reply::Ack | Reply::Done => return Ok(answer),
                    Reply::Error(e) | Reply::Broken(e) => return Err(errno(e)),
                    Reply::Body(body) => answer = answer.or_else(|| Some(body.to_vec())),
                }
            }
        }
    }

    /// Makes a request that has to have an answer.
    pub fn ask_for(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        self.ask(request)?.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Asks for all there are.
    pub fn dump(&mut self, request: &Request, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let (sequence, message) = self.message(request, DUMP | ACK);
        self.socket.send(&message)?;
        loop {
            let n = self.socket.receive_into(&mut self.buffer, true)?;
            for m in Messages(&self.buffer[..n]) {
                let m = m.map_err(malformed)?;
                if m.header.sequence != sequence {
                    continue;
                }
                match m.reply().map_err(malformed)? {
                    Reply::Done => return Ok(()),
                    Reply::Ack => {}
                    Reply::Error(e) | Reply::Broken(e) => return Err(errno(e)),
                    Reply::Body(body) => each(body),
                }
            }
        }
    }

    /// Makes several requests, in order; gives the answer to each.
    pub fn ask_all(&mut self, requests: &[Request]) -> Vec<io::Result<Option<Vec<u8>>>> {
        requests.chunks(BATCH).flat_map(|part| self.batch(part)).collect()
    }

    fn batch(&mut self, requests: &[Request]) -> Vec<io::Result<Option<Vec<u8>>>> {
        let mut all = vec![];
        let mut first = None;
        for r in requests {
            let (sequence, mut message) = self.message(r, ACK);
            first.get_or_insert(sequence);
            message.resize(message.len().next_multiple_of(4), 0);
            all.extend(message);
        }
        let mut answers: Vec<Option<Vec<u8>>> = vec![None; requests.len()];
        let mut results: Vec<Option<io::Result<()>>> = requests.iter().map(|_| None).collect();
        let mut broken = self.socket.send(&all).err();
        while broken.is_none() && results.iter().any(Option::is_none) {
            let n = match self.socket.receive_into(&mut self.buffer, true) {
                Ok(n) => n,
                Err(e) => {
                    broken = Some(e);
                    break;
                }
            };
            for m in Messages(&self.buffer[..n]).flatten() {
                let at = m.header.sequence.wrapping_sub(first.unwrap_or(0)) as usize;
                let (Some(answer), Some(result)) = (answers.get_mut(at), results.get_mut(at)) else { continue };
                match m.reply() {
                    Ok(Reply::Ack | Reply::Done) => *result = Some(Ok(())),
                    Ok(Reply::Error(e) | Reply::Broken(e)) => *result = Some(Err(errno(e))),
                    Ok(Reply::Body(body)) => {
                        answer.get_or_insert_with(|| body.to_vec());
                    }
                    Err(e) => *result = Some(Err(malformed(e))),
                }
            }
        }
        let lost = || broken.as_ref().map_or_else(|| io::Error::from(io::ErrorKind::InvalidData), again);
        answers.into_iter().zip(results).map(|(a, r)| r.unwrap_or_else(|| Err(lost())).map(|()| a)).collect()
    }

    /// Makes requests, in order, that are answered only where they fail, and does not wait for that.
    pub fn tell_all(&mut self, requests: &[Request]) -> io::Result<()> {
        let mut all = vec![];
        for r in requests {
            let (_, mut message) = self.message(r, 0);
            message.resize(message.len().next_multiple_of(4), 0);
            // Large packets go by themselves: a datagram has its bounds.
            if !all.is_empty() && all.len() + message.len() > DATAGRAM {
                self.socket.send(&all)?;
                all.clear();
            }
            all.extend(message);
        }
        let sent = self.socket.send(&all);
        while self.socket.receive_into(&mut self.buffer, false).is_ok() {}
        sent
    }

    fn family(&mut self, name: &str) -> io::Result<family::Family> {
        let request = Request::new(family::CONTROLLER, family::request(name));
        family::parse(&self.ask_for(&request)?).map_err(malformed)
    }
}

fn again(e: &io::Error) -> io::Error {
    e.raw_os_error().map_or_else(|| io::Error::from(e.kind()), errno)
}

/// Numbers of the kernel's openvswitch families; 0 for one that this kernel lacks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Families {
    pub dp: u16,
    pub vport: u16,
    pub flow: u16,
    pub packet: u16,
    pub meter: u16,
    pub ct_limit: u16,
}

/// Sockets, of which every request takes one for itself: requests of different threads do not wait for each other here.
pub(crate) struct Transport {
    free: Mutex<Vec<Connection>>,
    pub families: Families,
}

impl Transport {
    /// Finds the families.
    ///
    /// # Errors
    /// `ENOENT` where the kernel has no openvswitch datapath.
    pub fn open() -> io::Result<Transport> {
        let mut c = Connection::open(Protocol::Generic)?;
        let dp = match c.family(dp::FAMILY) {
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NOENT.raw_os_error()) => {
                load_module();
                c.family(dp::FAMILY)?
            }
            other => other?,
        };
        let vport = c.family(vport::FAMILY)?.id;
        let mut optional = |name| c.family(name).map_or(0, |f| f.id);
        let families = Families {
            dp: dp.id,
            vport,
            flow: optional(flow::FAMILY),
            packet: optional(packet::FAMILY),
            meter: optional(meter::FAMILY),
            ct_limit: optional(ct_limit::FAMILY),
        };
        Ok(Transport { free: Mutex::new(vec![c]), families })
    }

    /// Does something with a connection of its own.
    pub fn with<T>(&self, f: impl FnOnce(&mut Connection) -> io::Result<T>) -> io::Result<T> {
        let taken = lock(&self.free).pop();
        let mut c = match taken {
            Some(c) => c,
            None => Connection::open(Protocol::Generic)?,
        };
        let result = f(&mut c);
        // After an overrun or silence answers may still be on their way: a new socket is cheaper than to look for them.
        let clean = match &result {
            Ok(_) => true,
            Err(e) => {
                e.raw_os_error().is_some_and(|n| n != rustix::io::Errno::NOBUFS.raw_os_error())
                    && e.kind() != io::ErrorKind::WouldBlock
            }
        };
        if clean {
            lock(&self.free).push(c);
        }
        result
    }
}

/// Asks for the kernel's module, as far as this process may.
fn load_module() {
    let _ = std::process::Command::new("modprobe")
        .args(["-q", "openvswitch"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
}
