//! How the kernel gives packets to handlers: which socket gets them.

use crate::Kernel;
use crate::transport::{Request, lock, malformed};
use netdev::linux::netlink::{NetlinkSocket, Protocol};
use netlink::dp::{self, Datapath as DpMessage};
use netlink::ovs::command;
use netlink::vport::Vport;
use rustix::event::epoll;
use rustix::event::{EventfdFlags, eventfd};
use std::collections::{BTreeMap, HashMap};
use std::io as stdio;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Bytes that may wait at a handler's socket.
const ROOM: usize = 4 << 20;

/// How the kernel gives packets to handlers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dispatch {
    /// By the CPU that they are on.
    #[default]
    PerCpu,
    /// By their input port.
    PerVport,
}

impl Dispatch {
    /// As commands name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Dispatch::PerCpu => "per-cpu dispatch mode",
            Dispatch::PerVport => "per-vport dispatch mode",
        }
    }
}

/// What a handler's thread shares with whoever changes ports.
pub(crate) struct Shared {
    pub epoll: OwnedFd,
    pub wake: OwnedFd,
    pub stop: AtomicBool,
    pub sockets: Mutex<HashMap<u64, Arc<NetlinkSocket>>>,
}

/// Token of the descriptor that ends a thread; sockets have their number.
const WAKE: u64 = u64::MAX;

impl Shared {
    pub fn new() -> stdio::Result<Shared> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Shared { epoll, wake, stop: AtomicBool::new(false), sockets: Mutex::default() })
    }

    fn add(&self) -> stdio::Result<u32> {
        let socket = Arc::new(NetlinkSocket::open(Protocol::Generic)?);
        socket.set_room(ROOM)?;
        let pid = socket.port();
        lock(&self.sockets).insert(pid.into(), socket.clone());
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(pid.into()), epoll::EventFlags::IN)?;
        Ok(pid)
    }

    fn remove(&self, pid: u32) {
        if let Some(socket) = lock(&self.sockets).remove(&pid.into()) {
            let _ = epoll::delete(&self.epoll, &socket);
        }
    }
}

/// CPUs that this process may use, and how many there may ever be.
pub(crate) fn cpus() -> (Vec<usize>, usize) {
    let usable = rustix::thread::sched_getaffinity(None)
        .map(|set| (0..rustix::thread::CpuSet::MAX_CPU).filter(|c| set.is_set(*c)).collect::<Vec<_>>())
        .unwrap_or_default();
    let usable = if usable.is_empty() { vec![0] } else { usable };
    let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = possible.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
    let most = usable.last().copied().unwrap_or(0).max(last) + 1;
    (usable, most)
}

/// Whether this kernel sends a packet that is given back and misses again to the socket that it came from (Linux 7.0 and later).
/// Others send it to that of the CPU on which it was given back.
pub(crate) fn comes_back() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    is_at_least_7(&release)
}

fn is_at_least_7(release: &str) -> bool {
    release.split(['.', '-']).next().and_then(|n| n.trim().parse::<u32>().ok()).is_some_and(|major| major >= 7)
}

/// Keeps the calling thread on a CPU, so that what it gives back stays there.
pub(crate) fn stay_on(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    // A CPU that has been taken from the process meanwhile: packets may change handlers, as without this.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

/// For each CPU, which of `n` handlers it is given to: those that the process may use have one each.
pub(crate) fn share(usable: &[usize], cpus: usize) -> Vec<usize> {
    (0..cpus).map(|c| usable.iter().position(|u| *u == c).unwrap_or(c % usable.len().max(1))).collect()
}

/// Number that stands for the socket of whichever CPU a packet is on.
pub(crate) const ANY_CPU: u32 = u32::MAX;

/// Asks for dispatch by CPU.
pub(crate) fn per_cpu(kernel: &Kernel, shared: &[Arc<Shared>], by_cpu: &[usize]) -> stdio::Result<()> {
    let pids: Vec<u32> = shared.iter().map(|s| s.add()).collect::<stdio::Result<_>>()?;
    let kept = kernel.user_features.load(Ordering::Relaxed) & !dp::F_VPORT_PIDS;
    let features = kept | dp::F_UNALIGNED | dp::F_PER_CPU;
    let change = DpMessage {
        ifindex: kernel.ifindex(),
        features: Some(features),
        cpu_pids: Some(by_cpu.iter().filter_map(|h| pids.get(*h).copied()).collect()),
        ..DpMessage::default()
    };
    let request = Request::echo(kernel.transport.families.dp, change.encode(command::SET));
    let answer = kernel.transport.with(|c| c.ask(&request));
    // A kernel that does not know the feature may take the request and leave the feature out of its answer.
    let agreed = answer.and_then(|a| {
        let (_, d) = DpMessage::parse(&a.unwrap_or_default()).map_err(malformed)?;
        if d.features.is_none_or(|f| f & dp::F_PER_CPU != 0) {
            Ok(())
        } else {
            Err(stdio::ErrorKind::Unsupported.into())
        }
    });
    match agreed {
        Ok(()) => {
            kernel.user_features.store(features, Ordering::Relaxed);
            kernel.any_cpu.store(true, Ordering::Relaxed);
            Ok(())
        }
        Err(e) => {
            shared.iter().zip(&pids).for_each(|(s, p)| s.remove(*p));
            Err(e)
        }
    }
}

/// Sockets of ports, where each port has its own.
pub(crate) struct VportSockets {
    handlers: Vec<Arc<Shared>>,
    next: AtomicUsize,
    by_port: Mutex<BTreeMap<u32, u32>>,
}

impl VportSockets {
    fn new(handlers: &[Arc<Shared>]) -> VportSockets {
        VportSockets { handlers: handlers.to_vec(), next: AtomicUsize::new(0), by_port: Mutex::default() }
    }

    /// A socket for a port that is about to be made.
    pub fn next(&self) -> stdio::Result<u32> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let handler = self.handlers.get(n % self.handlers.len().max(1)).ok_or(stdio::ErrorKind::NotFound)?;
        handler.add()
    }

    fn close(&self, pid: u32) {
        self.handlers.iter().for_each(|h| h.remove(pid));
    }

    /// Notes which socket a port has; one that it had before is closed.
    pub fn keep(&self, port: u32, pid: u32) {
        let old = lock(&self.by_port).insert(port, pid);
        old.iter().for_each(|old| self.close(*old));
    }

    /// A port is gone, and so is its socket.
    pub fn forget(&self, port: u32) {
        let old = lock(&self.by_port).remove(&port);
        old.iter().for_each(|old| self.close(*old));
    }

    /// A socket that was for a port that could not be made.
    pub fn give_up(&self, pid: u32) {
        self.close(pid);
    }

    /// The socket for packets of a port, or of another where it has none.
    pub fn of(&self, port: u32) -> u32 {
        let by_port = lock(&self.by_port);
        by_port.get(&port).or_else(|| by_port.values().next()).copied().unwrap_or(0)
    }

    /// Gives a port that is there a socket.
    pub fn adopt(&self, kernel: &Kernel, port: u32) -> stdio::Result<()> {
        let pid = self.next()?;
        let change = Vport { dp: kernel.ifindex(), port: Some(port), upcall_pids: Some(vec![pid]), ..Vport::default() };
        let request = Request::echo(kernel.transport.families.vport, change.encode(command::SET));
        let done = kernel.transport.with(|c| c.ask(&request));
        match done {
            Ok(_) => self.keep(port, pid),
            Err(_) => self.close(pid),
        }
        done.map(drop)
    }
}

/// Asks for dispatch by port: every port gets a socket, those made from now on, too.
pub(crate) fn per_vport(kernel: &Kernel, shared: &[Arc<Shared>]) -> stdio::Result<()> {
    let features = dp::F_UNALIGNED | dp::F_VPORT_PIDS;
    let change = DpMessage { ifindex: kernel.ifindex(), features: Some(features), ..DpMessage::default() };
    let request = Request::echo(kernel.transport.families.dp, change.encode(command::SET));
    kernel.transport.with(|c| c.ask(&request))?;
    kernel.user_features.store(features, Ordering::Relaxed);
    let sockets = Arc::new(VportSockets::new(shared));
    kernel.vport_sockets.publish(Arc::new(Some(sockets.clone())));
    for port in kernel.vports()?.into_iter().filter_map(|p| p.port) {
        match sockets.adopt(kernel, port) {
            // A port that has gone meanwhile needs none.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usable_cpus_have_a_handler_each() {
        assert_eq!(share(&[0, 1], 4), [0, 1, 0, 1]);
        assert_eq!(share(&[1, 3], 4), [0, 0, 0, 1]);
        assert_eq!(share(&[0], 1), [0]);
        let (usable, most) = cpus();
        assert!(usable.iter().all(|c| *c < most));
    }

    #[test]
    fn kernels_by_release() {
        let check = |release, want| assert_eq!(is_at_least_7(release), want, "{release}");
        check("6.12.57+deb13-amd64\n", false);
        check("7.3.1-1~bpo13-amd64", true);
        check("7.0", true);
        check("10.1", true);
        check("", false);
    }

    #[test]
    fn ports_have_sockets_of_their_own_in_turn() -> stdio::Result<()> {
        let handlers = [Arc::new(Shared::new()?), Arc::new(Shared::new()?)];
        let sockets = VportSockets::new(&handlers);
        let (a, b, c) = (sockets.next()?, sockets.next()?, sockets.next()?);
        let held = || handlers.iter().map(|h| lock(&h.sockets).len()).collect::<Vec<_>>();
        assert_eq!((sockets.of(1), held()), (0, vec![2, 1]));
        sockets.keep(1, a);
        sockets.keep(2, b);
        assert_eq!((sockets.of(1), sockets.of(2), sockets.of(7)), (a, b, a));
        sockets.keep(2, c);
        assert_eq!((sockets.of(2), held()), (c, vec![2, 0]));
        sockets.forget(1);
        assert_eq!((sockets.of(1), held()), (c, vec![1, 0]));
        sockets.give_up(c);
        assert_eq!(held(), [0, 0]);
        Ok(())
    }
}
