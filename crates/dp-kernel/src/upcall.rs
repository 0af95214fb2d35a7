//! Packets for which the kernel has no flow, or that an action sends: read, answered, given back.
//!
//! Where the kernel can, a packet goes to the socket of the CPU that it is on, and there is a handler for each CPU that the process
//! may use. Other kernels give every port a socket; ports are shared out among the handlers. A handler reads quickly into queues by
//! input port, of which each has a bound, and takes a few packets from each queue in turn: a port that floods fills its own queue and
//! waits for its own turn.

use crate::dispatch::{self, Dispatch, Shared};
use crate::flows::Origin;
use crate::transport::{Connection, Request, lock};
use crate::{Counts, Kernel};
use datapath::action_text::format_actions;
use datapath::key_text::{KeyStyle, NoNames, format_key};
use datapath::netlink::{read_cookie, read_key};
use datapath::{DpAction, Execute, FlowPut, Ufid, Upcall, UpcallAnswer, UpcallHandler, UpcallKind};
use flow::{FlowKey, FlowMask, Metadata};
use io::coverage::Counter;
use io::program::strerror;
use io::vlog::{Module, RateLimit};
use io::{vlog_info, vlog_warn};
use netdev::linux::netlink::{NetlinkSocket, Protocol};
use netlink::Messages;
use netlink::packet::{self, Packet};
use rustix::event::epoll;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io as stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// Bytes for the stack of a thread that translates packets.
const STACK: usize = 32 << 20;
/// Packets that may wait in the queue of a port.
const QUEUE: usize = 1024;
/// Datagrams read from a socket before packets are answered.
const READ: usize = 256;
/// Packets of a port that are answered before it is the next port's turn.
const TURN: usize = 16;
/// Packets of a port that are answered before its flows are installed though more packets wait.
const PUT_OFF: usize = 256;
/// Pairs of flows and packets that are compared to find flows of which no packet waits.
const COMPARED: usize = 8192;
/// Largest datagram: the largest packet with its key.
const LARGEST: usize = 72 << 10;

/// The threads that answer. They end when this is dropped.
pub struct Handlers {
    dispatch: Dispatch,
    workers: Vec<Worker>,
}

struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Handlers {
    /// Starts the threads and tells the kernel of their sockets.
    pub(crate) fn start(kernel: &Arc<Kernel>, prefer: Dispatch) -> stdio::Result<Handlers> {
        let (usable, most) = dispatch::cpus();
        let shared: Vec<Arc<Shared>> =
            usable.iter().map(|_| Shared::new().map(Arc::new)).collect::<stdio::Result<_>>()?;
        let by_cpu =
            prefer == Dispatch::PerCpu && dispatch::per_cpu(kernel, &shared, &dispatch::share(&usable, most)).is_ok();
        let dispatch = if by_cpu { Dispatch::PerCpu } else { Dispatch::PerVport };
        if !by_cpu {
            dispatch::per_vport(kernel, &shared)?;
        }
        let mode = if dispatch == Dispatch::PerCpu { "per-cpu" } else { "per-vport" };
        vlog_info!(Module::DpifNetlink, "Datapath dispatch mode: {mode}");
        let pinned = by_cpu && !dispatch::comes_back();
        let mut handlers = Handlers { dispatch, workers: vec![] };
        for (n, shared) in shared.into_iter().enumerate() {
            let (kernel, mine) = (Arc::downgrade(kernel), shared.clone());
            let cpu = usable.get(n).copied().filter(|_| pinned);
            let thread =
                std::thread::Builder::new().name(format!("handler{}", n + 1)).stack_size(STACK).spawn(move || {
                    cpu.into_iter().for_each(dispatch::stay_on);
                    let Ok(connection) = Connection::open(Protocol::Generic) else { return };
                    Worker::run(n, &kernel, &mine, connection);
                })?;
            handlers.workers.push(Worker { shared, thread: Some(thread) });
        }
        Ok(handlers)
    }

    /// How packets are given to handlers.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.dispatch
    }
}

impl Drop for Handlers {
    fn drop(&mut self) {
        for w in &self.workers {
            w.shared.stop.store(true, Ordering::Release);
            let _ = rustix::io::write(&w.shared.wake, &1u64.to_ne_bytes());
        }
        for w in &mut self.workers {
            if let Some(t) = w.thread.take().filter(|t| t.thread().id() != std::thread::current().id()) {
                let _ = t.join();
            }
        }
    }
}

/// A packet that waits.
struct Waiting {
    datagram: Vec<u8>,
    key: FlowKey,
    pid: u32,
}

/// A flow that waits to be installed.
struct Later {
    ufid: Ufid,
    put: FlowPut,
    held: datapath::api::Held,
}

/// What waits of a port.
#[derive(Default)]
struct PortQueue {
    packets: VecDeque<Waiting>,
    later: Vec<Later>,
    names: HashSet<Ufid>,
    /// Packets answered since the first of `later`.
    answered: usize,
}

impl PortQueue {
    /// The flows that may be installed: those that no packet that waits matches, and all of them after a time. `drained`: the
    /// packets that wait are all there are.
    fn ready(&mut self, drained: bool) -> Vec<Later> {
        if (drained && self.packets.is_empty()) || self.answered >= PUT_OFF {
            self.answered = 0;
            self.names.clear();
            return std::mem::take(&mut self.later);
        }
        if !drained || self.later.len() * self.packets.len() > COMPARED {
            return vec![];
        }
        let waits = |l: &Later| self.packets.iter().any(|w| w.key.equal_masked(&l.put.key, &l.put.mask));
        let (stay, ready): (Vec<Later>, Vec<Later>) = std::mem::take(&mut self.later).into_iter().partition(waits);
        self.later = stay;
        for l in &ready {
            self.names.remove(&l.ufid);
        }
        if self.later.is_empty() {
            self.answered = 0;
        }
        ready
    }
}

/// The thread's own state.
struct Loop<'a> {
    kernel: &'a Kernel,
    counts: &'a Counts,
    queues: BTreeMap<u32, PortQueue>,
    spare: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    connection: &'a mut Connection,
}

impl Worker {
    fn run(n: usize, kernel: &std::sync::Weak<Kernel>, shared: &Shared, mut connection: Connection) {
        let mut queues = BTreeMap::new();
        let mut spare = vec![];
        let mut buffer = vec![0; LARGEST];
        let mut busy = false;
        let mut events = Vec::with_capacity(16);
        loop {
            let patience = if busy { Some(rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }) } else { None };
            events.clear();
            let _ = epoll::wait(&shared.epoll, rustix::buffer::spare_capacity(&mut events), patience.as_ref());
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
            let Some(kernel) = kernel.upgrade() else { return };
            let mut l = Loop {
                counts: &kernel.counts,
                kernel: &kernel,
                queues: std::mem::take(&mut queues),
                spare: std::mem::take(&mut spare),
                buffer: std::mem::take(&mut buffer),
                connection: &mut connection,
            };
            let mut drained = true;
            for e in &events {
                let socket = lock(&shared.sockets).get(&e.data.u64()).cloned();
                if let Some(s) = socket {
                    drained &= l.read(n, &s);
                }
            }
            busy = l.serve(drained) || !drained;
            (queues, spare, buffer) = (l.queues, l.spare, l.buffer);
        }
    }
}

impl Loop<'_> {
    /// Moves what waits at a socket into the queues; whether nothing is left there.
    fn read(&mut self, n: usize, socket: &NetlinkSocket) -> bool {
        for _ in 0..READ {
            match socket.receive_into(&mut self.buffer) {
                Ok(len) => self.sort(len, socket.port()),
                Err(e) if e.kind() == stdio::ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == stdio::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    // The kernel threw packets away; what it kept is still there to be read.
                    Counter::NetlinkOverflow.hit();
                    let before = self.counts.overruns.fetch_add(1, Ordering::Relaxed);
                    if before.is_multiple_of(1000) {
                        vlog_warn!(
                            Module::DpifNetlink,
                            "system@{}: lost packet on handler {n}",
                            datapath::Datapath::name(self.kernel)
                        );
                    }
                }
                Err(_) => {
                    self.counts.malformed.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
            }
        }
        false
    }

    fn sort(&mut self, len: usize, pid: u32) {
        let Some(bytes) = self.buffer.get(..len) else { return };
        for m in Messages(bytes) {
            let Ok(m) = m else {
                self.counts.malformed.fetch_add(1, Ordering::Relaxed);
                return;
            };
            if m.header.kind != self.kernel.transport.families.packet {
                continue;
            }
            let port = in_port(m.body).unwrap_or(u32::MAX);
            let queue = self.queues.entry(port).or_default();
            if queue.packets.len() >= QUEUE {
                self.counts.crowded.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let parsed = Packet::parse(m.body).ok().and_then(|(_, p)| whole_key(p.key?, p.packet?).ok());
            let Some(key) = parsed else {
                self.counts.malformed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let mut datagram = self.spare.pop().unwrap_or_default();
            datagram.clear();
            datagram.extend_from_slice(m.body);
            queue.packets.push_back(Waiting { datagram, key, pid });
        }
    }

    /// Gives each port a turn; whether something is left to do. `drained`: nothing is left at the sockets.
    fn serve(&mut self, drained: bool) -> bool {
        let handler = (**self.kernel.handler.load()).clone();
        let ports: Vec<u32> = self.queues.keys().copied().collect();
        for port in ports {
            let Some(mut queue) = self.queues.remove(&port) else { continue };
            // What was read just now is behind what asked for the flows: those of which nothing came can be installed.
            let ready = queue.ready(drained);
            self.install(ready, handler.as_deref());
            let n = queue.packets.len().min(TURN);
            let turn: Vec<Waiting> = queue.packets.drain(..n).collect();
            if let Some(handler) = &handler {
                self.answer(&turn, &mut queue, &**handler);
            }
            const SPARE: usize = 512;
            for w in turn {
                if self.spare.len() < SPARE && w.datagram.capacity() <= 4096 {
                    self.spare.push(w.datagram);
                }
            }
            if !queue.packets.is_empty() || !queue.later.is_empty() {
                self.queues.insert(port, queue);
            }
        }
        !self.queues.is_empty()
    }

    /// Answers packets and gives them back to the kernel, in order.
    fn answer(&mut self, turn: &[Waiting], queue: &mut PortQueue, handler: &dyn UpcallHandler) {
        let mut back: Vec<Request> = vec![];
        for w in turn {
            let Ok((header, p)) = Packet::parse(&w.datagram) else {
                self.counts.malformed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            if let Some(request) = self.one(header.command, &p, w, queue, handler, &mut back) {
                back.push(request);
            }
        }
        self.send(&back);
        if !queue.later.is_empty() {
            queue.answered += turn.len();
        }
    }

    fn send(&mut self, back: &[Request]) {
        if !back.is_empty() && self.connection.tell_all(back).is_err() {
            Counter::DpifExecuteError.add(back.len() as u64);
        }
    }

    /// Asks the switch about a packet; gives the request that gives it back.
    fn one(
        &mut self,
        command: u8,
        p: &Packet<'_>,
        w: &Waiting,
        queue: &mut PortQueue,
        handler: &dyn UpcallHandler,
        back: &mut Vec<Request>,
    ) -> Option<Request> {
        let (packet, key) = (p.packet?, &w.key);
        let ufid = Ufid::of(key, &FlowMask::ZERO);
        let cookie = read_cookie(p.userdata.unwrap_or(&[]));
        let kind = match command {
            packet::MISS => UpcallKind::Miss,
            packet::ACTION => UpcallKind::Action { cookie: &cookie, actions: &[] },
            _ => return None,
        };
        let now = self.kernel.clock.now();
        let answer = handler.upcall(&Upcall { key, packet, ufid, kind, now });
        if command == packet::MISS {
            put_off(&answer, key, queue, handler);
        }
        if answer.actions.is_empty() {
            return None;
        }
        Counter::DpifExecute.hit();
        let execute = Execute { packet, key, actions: &answer.actions, probe: false };
        let origin = Origin { pid: Some(w.pid), hash: p.hash, mru: p.mru };
        if datapath::netlink::needs_help(&answer.actions) {
            // The packets before it go first.
            self.send(&std::mem::take(back));
            if self.kernel.run(&execute, 0, Some(origin)).is_err() {
                Counter::DpifExecuteError.hit();
            }
            return None;
        }
        Some(self.kernel.execute_request(&execute, origin))
    }

    /// Installs the flows that a port's packets have asked for.
    fn install(&mut self, later: Vec<Later>, handler: Option<&dyn UpcallHandler>) {
        let Some(handler) = handler.filter(|_| !later.is_empty()) else { return };
        let mut good = vec![];
        let mut requests = vec![];
        for l in later {
            if let Ok(r) = self.kernel.put_request(&l.put, Some(l.ufid)) {
                requests.push(r);
                good.push(l);
            }
        }
        for (l, result) in good.into_iter().zip(self.connection.ask_all(&requests)) {
            let actions: Arc<[DpAction]> = l.put.actions.into();
            handler.resume(l.held);
            match &result {
                Ok(_) => self.kernel.remember(l.ufid, &l.put.key, &l.put.mask, actions.clone()),
                Err(e) => self.refused(&l.ufid, (&l.put.key, &l.put.mask), &actions, e),
            }
            handler.installed(l.ufid, &l.put.key, &l.put.mask, &actions, result.is_ok());
        }
    }
}

impl Loop<'_> {
    /// Says that the kernel did not take a flow. One that it has already is nothing to speak of: packets on two CPUs asked for it.
    fn refused(&self, ufid: &Ufid, (key, mask): (&FlowKey, &FlowMask), actions: &[DpAction], e: &stdio::Error) {
        static OFTEN: RateLimit = RateLimit::new(9, 5);
        let there = e.raw_os_error() == Some(rustix::io::Errno::EXIST.raw_os_error());
        if there || OFTEN.pass(Module::Dpif).is_none() {
            return;
        }
        let key = format_key(key, mask, KeyStyle { verbose: true, names: &NoNames });
        let name = datapath::Datapath::name(self.kernel);
        let (why, actions) = (strerror(e), format_actions(actions, &NoNames));
        vlog_warn!(Module::Dpif, "system@{name}: failed to put[create] ({why}) ufid:{ufid} {key}, actions:{actions}");
    }
}

/// Notes the flow that an answer asks for, once.
fn put_off(answer: &UpcallAnswer, key: &FlowKey, queue: &mut PortQueue, handler: &dyn UpcallHandler) {
    let Some(install) = &answer.install else { return };
    let ufid = Ufid::of(key, &install.mask);
    let held = handler.hold();
    if !queue.names.insert(ufid) {
        return;
    }
    let actions = install.actions.clone().unwrap_or_else(|| answer.actions.clone());
    let put = FlowPut {
        ufid: Some(ufid),
        key: *key,
        mask: install.mask,
        actions,
        create: true,
        modify: false,
        zero_stats: false,
    };
    queue.later.push(Later { ufid, put, held });
}

fn in_port(body: &[u8]) -> Option<u32> {
    let (_, p) = Packet::parse(body).ok()?;
    let port = netlink::Attrs(p.key?).find(netlink::ovs::key::IN_PORT).ok()??;
    netlink::attr::u32_of(port).ok()
}

/// The key of a packet: what only the kernel knows from its attributes, the rest from the packet.
fn whole_key(attrs: &[u8], packet: &[u8]) -> Result<FlowKey, netlink::Malformed> {
    let mut meta = Metadata { key: read_key(attrs)? };
    for w in 39..58 {
        meta.key.set_word(w, 0);
    }
    Ok(flow::extract(packet, &meta))
}
