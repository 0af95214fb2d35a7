//! Packets for which the kernel has no flow, or that an action sends: read, answered, given back.
//!
//! Where the kernel can, a packet goes to the socket of the CPU that it is on, and there is a handler for each CPU that the process
//! may use. Other kernels give every port a socket; ports are shared out among the handlers. A handler reads quickly into queues by
//! input port, of which each has a bound, and takes a few packets from each queue in turn: a port that floods fills its own queue and
//! waits for its own turn.
//!
//! Order: a packet that is to be looked up again is given back by itself, and if it comes back, it is answered before what waits
//! behind it. So packets leave a handler in the order in which they came to it, wherever each of them missed. Flows are installed
//! when none of their packets waits; of those that a packet asked for, the last lookup's first: until that of the first lookup is
//! there, all packets come by the handler.

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
use std::time::Duration;

/// Bytes for the stack of a thread that translates packets.
const STACK: usize = 32 << 20;
/// Packets that may wait in the queue of a port.
const QUEUE: usize = 1024;
/// Datagrams read from a socket before packets are answered.
const READ: usize = 256;
/// Lookups of a port's packets that are answered before it is the next port's turn.
const TURN: usize = 16;
/// Packets of a port that are answered before a flow is installed though some of its packets wait.
const PUT_OFF: u64 = 256;
/// Pairs of flows and packets that are compared to find flows of which no packet waits.
const COMPARED: usize = 2048;
/// Flows of a port that may wait to be installed; others are asked for again by their next packet.
const LATER: usize = 4096;
/// How soon flows that wait for the kernel are tried again.
const SOON: Duration = Duration::from_millis(2);
/// Bytes at the end of a packet by which it is known when it comes back.
const TAIL: usize = 64;
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
    /// What [`PortQueue::answered`] was when it was asked for.
    since: u64,
}

/// What waits of a port.
#[derive(Default)]
struct PortQueue {
    packets: VecDeque<Waiting>,
    later: Vec<Later>,
    names: HashSet<Ufid>,
    /// Packets answered.
    answered: u64,
    /// Where its packets come from.
    socket: Option<Arc<NetlinkSocket>>,
}

impl PortQueue {
    /// Whether a packet that waits matches a flow, of those from number `from` on.
    fn waits(&self, l: &Later, from: usize) -> bool {
        self.packets.iter().skip(from).any(|w| w.key.equal_masked(&l.put.key, &l.put.mask))
    }

    /// Whether a flow has been put off long enough.
    fn is_due(&self, l: &Later) -> bool {
        self.answered.saturating_sub(l.since) >= PUT_OFF
    }

    /// Takes the flows that may be installed: those that no packet that waits matches, and those that waited long. `drained`:
    /// the packets that wait are all there are. The last that was asked for comes first; more than a turn's wait for the next.
    fn ready(&mut self, drained: bool) -> Vec<Later> {
        let most = COMPARED / self.packets.len().max(1);
        let mut compared = 0;
        let mut may = |l: &Later| {
            compared += 1;
            self.is_due(l) || (drained && compared <= most && !self.waits(l, 0))
        };
        let chosen: Vec<bool> = self.later.iter().map(&mut may).collect();
        let mut chosen = chosen.into_iter();
        let mut left = TURN;
        let (mut ready, stay): (Vec<Later>, Vec<Later>) = std::mem::take(&mut self.later).into_iter().partition(|_| {
            let may = chosen.next().unwrap_or(false) && left > 0;
            left -= usize::from(may);
            may
        });
        self.later = stay;
        ready.reverse();
        ready
    }

    /// A flow of which a packet came at the last moment waits on.
    fn put_back(&mut self, l: Later) {
        self.later.push(l);
    }
}

/// The packet that was given back last, which may come back.
struct Given {
    hash: Option<u64>,
    tail: Vec<u8>,
    /// How often.
    times: usize,
    back: Vec<Waiting>,
}

impl Given {
    fn new(p: &Packet<'_>, times: usize) -> Given {
        Given { hash: p.hash, tail: p.packet.map(tail).unwrap_or_default().to_vec(), times, back: vec![] }
    }

    /// Whether it is this one. What was done to it is not known: headers may differ.
    fn is(&self, key: &FlowKey, p: &Packet<'_>) -> bool {
        let Some(packet) = p.packet.filter(|_| key.recirc_id() != 0 && self.back.len() < self.times) else {
            return false;
        };
        let same_hash = self.hash.is_none() || p.hash.is_none() || self.hash == p.hash;
        let n = packet.len().min(self.tail.len());
        same_hash && packet[packet.len() - n..] == self.tail[self.tail.len() - n..]
    }
}

/// The end of a packet: what is behind its headers, or the last part of them where nothing is.
fn tail(packet: &[u8]) -> &[u8] {
    /// Headers of Ethernet, IP and UDP.
    const HEADERS: usize = 42;
    const LEAST: usize = 8;
    let n = packet.len().saturating_sub(HEADERS).clamp(LEAST.min(packet.len()), TAIL);
    &packet[packet.len() - n..]
}

/// How often a packet may come back after actions.
fn recirculations(actions: &[DpAction]) -> usize {
    let count = |a: &DpAction| match a {
        DpAction::Recirc(_) => 1,
        DpAction::Clone(inner) | DpAction::Sample { actions: inner, .. } => recirculations(inner),
        DpAction::CheckPktLen { greater, less_equal, .. } => recirculations(greater).max(recirculations(less_equal)),
        _ => 0,
    };
    actions.iter().map(count).sum()
}

/// The thread's own state.
struct Loop<'a> {
    number: usize,
    kernel: &'a Kernel,
    counts: &'a Counts,
    queues: BTreeMap<u32, PortQueue>,
    spare: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    connection: &'a mut Connection,
    given: Option<Given>,
}

impl Worker {
    fn run(n: usize, kernel: &std::sync::Weak<Kernel>, shared: &Shared, mut connection: Connection) {
        let mut queues = BTreeMap::new();
        let mut spare = vec![];
        let mut buffer = vec![0; LARGEST];
        let mut again = None;
        let mut events = Vec::with_capacity(16);
        loop {
            let patience = again.and_then(|wait: Duration| rustix::event::Timespec::try_from(wait).ok());
            events.clear();
            let _ = epoll::wait(&shared.epoll, rustix::buffer::spare_capacity(&mut events), patience.as_ref());
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
            let Some(kernel) = kernel.upgrade() else { return };
            let mut l = Loop {
                number: n,
                given: None,
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
                    drained &= l.read(&s);
                }
            }
            again = l.serve(drained).or((!drained).then_some(Duration::ZERO));
            (queues, spare, buffer) = (l.queues, l.spare, l.buffer);
        }
    }
}

impl Loop<'_> {
    /// Moves what waits at a socket into the queues; whether nothing is left there.
    fn read(&mut self, socket: &Arc<NetlinkSocket>) -> bool {
        for _ in 0..READ {
            match socket.receive_into(&mut self.buffer, false) {
                Ok(len) => self.sort(len, socket),
                Err(e) if e.kind() == stdio::ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == stdio::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    // The kernel threw packets away; what it kept is still there to be read.
                    Counter::NetlinkOverflow.hit();
                    let before = self.counts.overruns.fetch_add(1, Ordering::Relaxed);
                    if before.is_multiple_of(1000) {
                        let name = datapath::Datapath::name(self.kernel);
                        vlog_warn!(Module::DpifNetlink, "system@{name}: lost packet on handler {}", self.number);
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

    fn sort(&mut self, len: usize, socket: &Arc<NetlinkSocket>) {
        let Some(bytes) = self.buffer.get(..len) else { return };
        for m in Messages(bytes) {
            let Ok(m) = m else {
                self.counts.malformed.fetch_add(1, Ordering::Relaxed);
                return;
            };
            if m.header.kind != self.kernel.transport.families.packet {
                continue;
            }
            let Some((p, key)) = opened(m.body) else {
                self.counts.malformed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let given = self.given.as_mut().filter(|g| g.is(&key, &p));
            let queue = self.queues.entry(key.in_port_raw()).or_default();
            if given.is_none() && queue.packets.len() >= QUEUE {
                self.counts.crowded.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let mut datagram = self.spare.pop().unwrap_or_default();
            datagram.clear();
            datagram.extend_from_slice(m.body);
            let waiting = Waiting { datagram, key, pid: socket.port() };
            if queue.socket.as_ref().is_none_or(|s| s.port() != socket.port()) {
                queue.socket = Some(socket.clone());
            }
            match given {
                Some(g) => g.back.push(waiting),
                None => queue.packets.push_back(waiting),
            }
        }
    }

    /// Gives each port a turn; when to do so again, if something is left to do. `drained`: nothing is left at the sockets.
    fn serve(&mut self, drained: bool) -> Option<Duration> {
        let handler = (**self.kernel.handler.load()).clone();
        let ports: Vec<u32> = self.queues.keys().copied().collect();
        for port in ports {
            if let Some(handler) = &handler {
                // What was read just now is behind what asked for the flows: those of which nothing came can be installed.
                self.install(port, drained, &**handler);
                self.turn(port, &**handler);
            } else {
                self.queues.remove(&port);
            }
            if self.queues.get(&port).is_some_and(|q| q.packets.is_empty() && q.later.is_empty()) {
                self.queues.remove(&port);
            }
        }
        let waits = self.queues.values().any(|q| !q.packets.is_empty());
        let soon = if self.flows_are_held() { SOON } else { Duration::ZERO };
        (!self.queues.is_empty()).then_some(if waits { Duration::ZERO } else { soon })
    }

    /// Whether the kernel takes no flows now, since it makes or takes a port for this process: a device may keep it waiting for long.
    fn flows_are_held(&self) -> bool {
        self.kernel.changing_ports.load(Ordering::Relaxed) != 0
    }

    /// Answers some of a port's packets and gives them back to the kernel, in order.
    fn turn(&mut self, port: u32, handler: &dyn UpcallHandler) {
        let mut back: Vec<Request> = vec![];
        let mut line: VecDeque<Waiting> = VecDeque::new();
        for _ in 0..TURN {
            let Some(queue) = self.queues.get_mut(&port) else { break };
            let next = line.pop_front().or_else(|| {
                queue.answered += 1;
                queue.packets.pop_front()
            });
            let Some(w) = next else { break };
            let returned = self.one(&w, port, handler, &mut back);
            returned.into_iter().rev().for_each(|w| line.push_front(w));
            const SPARE: usize = 512;
            if self.spare.len() < SPARE && w.datagram.capacity() <= 4096 {
                self.spare.push(w.datagram);
            }
        }
        self.send(&back);
        if let Some(queue) = self.queues.get_mut(&port) {
            line.into_iter().rev().for_each(|w| queue.packets.push_front(w));
        }
    }

    fn send(&mut self, back: &[Request]) {
        if !back.is_empty() && self.connection.tell_all(back).is_err() {
            Counter::DpifExecuteError.add(back.len() as u64);
        }
    }

    /// Asks the switch about a packet. It goes back to the kernel with those of `back`, or by itself, if it may miss again: then
    /// what came back is returned.
    fn one(&mut self, w: &Waiting, port: u32, handler: &dyn UpcallHandler, back: &mut Vec<Request>) -> Vec<Waiting> {
        let Ok((header, p)) = Packet::parse(&w.datagram) else { return vec![] };
        let (Some(packet), key) = (p.packet, &w.key) else { return vec![] };
        let ufid = Ufid::of(key, &FlowMask::ZERO);
        let cookie = read_cookie(p.userdata.unwrap_or(&[]));
        let kind = match header.command {
            packet::MISS => UpcallKind::Miss,
            packet::ACTION => UpcallKind::Action { cookie: &cookie, actions: &[] },
            _ => return vec![],
        };
        let now = self.kernel.clock.now();
        let answer = handler.upcall(&Upcall { key, packet, ufid, kind, now });
        if header.command == packet::MISS {
            let queue = self.queues.entry(port).or_default();
            put_off(&answer, key, queue, handler);
        }
        if answer.actions.is_empty() {
            return vec![];
        }
        Counter::DpifExecute.hit();
        let execute = Execute { packet, key, actions: &answer.actions, probe: false };
        let origin = Origin { pid: Some(w.pid), hash: p.hash, mru: p.mru };
        let helped = datapath::netlink::needs_help(&answer.actions);
        let times = recirculations(&answer.actions);
        if !helped {
            back.push(self.kernel.execute_request(&execute, origin));
        }
        if !helped && times == 0 {
            return vec![];
        }
        // Those before it go first.
        self.send(&std::mem::take(back));
        if helped && self.kernel.run(&execute, 0, Some(origin)).is_err() {
            Counter::DpifExecuteError.hit();
        }
        if times == 0 { vec![] } else { self.came_back(port, Given::new(&p, times)) }
    }

    /// Reads what is there after a packet was given back, and finds that packet in it.
    fn came_back(&mut self, port: u32, given: Given) -> Vec<Waiting> {
        let Some(socket) = self.queues.get(&port).and_then(|q| q.socket.clone()) else { return vec![] };
        self.given = Some(given);
        self.read(&socket);
        self.given.take().map(|g| g.back).unwrap_or_default()
    }

    /// Installs the flows that a port's packets have asked for, where it is time.
    fn install(&mut self, port: u32, drained: bool, handler: &dyn UpcallHandler) {
        if self.flows_are_held() {
            return;
        }
        let Some(queue) = self.queues.get_mut(&port).filter(|q| !q.later.is_empty()) else { return };
        let ready = queue.ready(drained);
        let (socket, before) = (queue.socket.clone(), queue.packets.len());
        for l in ready {
            let Ok(request) = self.kernel.put_request(&l.put, Some(l.ufid)) else {
                self.forget(port, &l.ufid);
                continue;
            };
            // The last look, right before the kernel takes it.
            let drained = socket.as_ref().is_none_or(|s| self.read(s));
            let queue = self.queues.entry(port).or_default();
            let came = (!drained || queue.waits(&l, before)) && !queue.is_due(&l);
            if came || self.kernel.changing_ports.load(Ordering::Relaxed) != 0 {
                queue.put_back(l);
                continue;
            }
            let result = self.connection.ask(&request);
            self.forget(port, &l.ufid);
            self.put(l, &result.map(drop), handler);
        }
    }

    /// A flow no longer waits.
    fn forget(&mut self, port: u32, ufid: &Ufid) {
        if let Some(q) = self.queues.get_mut(&port) {
            q.names.remove(ufid);
        }
    }

    /// Says what came of a flow.
    fn put(&self, l: Later, result: &stdio::Result<()>, handler: &dyn UpcallHandler) {
        let actions: Arc<[DpAction]> = l.put.actions.into();
        handler.resume(l.held);
        match result {
            Ok(()) => self.kernel.remember(l.ufid, &l.put.key, &l.put.mask, actions.clone()),
            Err(e) => self.refused(&l.ufid, (&l.put.key, &l.put.mask), &actions, e),
        }
        handler.installed(l.ufid, &l.put.key, &l.put.mask, &actions, result.is_ok());
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
    if queue.later.len() >= LATER || !queue.names.insert(ufid) {
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
    queue.later.push(Later { ufid, put, held, since: queue.answered });
}

/// A packet's message and its key.
fn opened(body: &[u8]) -> Option<(Packet<'_>, FlowKey)> {
    let (_, p) = Packet::parse(body).ok()?;
    let key = whole_key(p.key?, p.packet?).ok()?;
    Some((p, key))
}

/// The key of a packet: what only the kernel knows from its attributes, the rest from the packet.
fn whole_key(attrs: &[u8], packet: &[u8]) -> Result<FlowKey, netlink::Malformed> {
    let mut meta = Metadata { key: read_key(attrs)? };
    for w in 39..58 {
        meta.key.set_word(w, 0);
    }
    Ok(flow::extract(packet, &meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(source_port: u16, number: u32) -> Vec<u8> {
        let mut p = vec![0u8; 50];
        p[12..14].copy_from_slice(&0x0800u16.to_be_bytes());
        p[14] = 0x45;
        p[17] = 36;
        p[22..24].copy_from_slice(&[64, 17]);
        p[34..36].copy_from_slice(&source_port.to_be_bytes());
        p[39] = 16;
        p[46..50].copy_from_slice(&number.to_be_bytes());
        p
    }

    fn key(source_port: u16, recirc_id: u32) -> FlowKey {
        let mut meta = Metadata::default();
        meta.key.set_recirc_id(recirc_id);
        flow::extract(&packet(source_port, 0), &meta)
    }

    fn waiting(source_port: u16, recirc_id: u32) -> Waiting {
        Waiting { datagram: vec![], key: key(source_port, recirc_id), pid: 1 }
    }

    fn later(source_port: u16, recirc_id: u32, since: u64) -> Later {
        let mut mask = FlowMask::ZERO;
        mask.words_mut().fill(u64::MAX);
        let key = key(source_port, recirc_id);
        let ufid = Ufid::of(&key, &mask);
        let actions = vec![];
        let put = FlowPut { ufid: Some(ufid), key, mask, actions, create: true, modify: false, zero_stats: false };
        Later { ufid, put, held: None, since }
    }

    #[test]
    fn flows_are_ready_when_none_of_their_packets_waits() {
        let check = |waits: &[(u16, u32)], asked: &[(u16, u32, u64)], answered, drained, want: &[(u16, u32)], why| {
            let mut q = PortQueue { answered, ..PortQueue::default() };
            q.packets.extend(waits.iter().map(|(p, r)| waiting(*p, *r)));
            q.later.extend(asked.iter().map(|(p, r, since)| later(*p, *r, *since)));
            let ready: Vec<_> = q.ready(drained).iter().map(|l| (l.put.key.tp_src(), l.put.key.recirc_id())).collect();
            assert_eq!(ready, want, "{why}");
            assert_eq!(q.later.len(), asked.len() - want.len(), "{why}");
        };
        check(&[], &[(1, 0, 0), (1, 7, 0), (1, 8, 0)], 3, true, &[(1, 8), (1, 7), (1, 0)], "the last lookup's first");
        check(&[(1, 0)], &[(1, 0, 0), (1, 7, 0), (2, 0, 0)], 3, true, &[(2, 0), (1, 7)], "one waits");
        check(&[(9, 0)], &[(1, 0, 0)], 3, false, &[], "more may be at the socket");
        check(&[(1, 0)], &[(1, 0, 0), (1, 0, 200)], 256, false, &[(1, 0)], "put off long enough");
    }

    #[test]
    fn packets_that_come_back_are_known() {
        let check = |hash, number, recirc_id, got_hash, want, why| {
            let (sent, got) = (packet(5, 1), packet(6, number));
            let given = Given::new(&Packet { packet: Some(&sent), hash, ..Packet::default() }, 1);
            let p = Packet { packet: Some(&got), hash: got_hash, ..Packet::default() };
            assert_eq!(given.is(&key(6, recirc_id), &p), want, "{why}");
        };
        check(Some(4), 1, 9, Some(4), true, "itself, with another header");
        check(Some(4), 2, 9, Some(4), false, "the next of its flow");
        check(Some(4), 1, 0, Some(4), false, "not looked up again");
        check(Some(4), 1, 9, Some(5), false, "of another flow");
        check(None, 1, 9, Some(5), true, "hash not known");
    }

    #[test]
    fn tails_and_recirculations_are_counted() {
        assert_eq!(tail(&[1, 2, 3]), [1, 2, 3]);
        assert_eq!(tail(&[0; 50]).len(), 8);
        assert_eq!(tail(&[0; 60]).len(), 18);
        assert_eq!(tail(&[0; 1500]).len(), TAIL);
        let both = DpAction::CheckPktLen {
            len: 100,
            greater: vec![DpAction::Recirc(1)].into(),
            less_equal: vec![DpAction::Recirc(2)].into(),
        };
        assert_eq!(recirculations(&[both.clone(), DpAction::Clone(vec![both].into()), DpAction::Recirc(3)]), 3);
        assert_eq!(recirculations(&[DpAction::PopVlan]), 0);
    }
}
