//! The userspace datapath: polling threads, caches and execution of actions.
//!
//! One polling thread owns the packet side of every port that can be waited for: it sleeps in epoll until a device has
//! packets or somebody sends it a command. Devices that have to be polled get threads of their own, one on each core that the
//! user allows ([`threads`]); each receives from some of the queues and sends by every port. A thread takes packets in
//! batches, finds each one's flow in tables of its own ([`lookup`]), asks the switch inline where there is no flow, and sends
//! what the actions produce in batches.
//!
//! Each thread has a flow [`table`] that all may use: other threads put, delete and dump flows without the polling thread's
//! help, and its own tables follow. Ports come and go through a channel.

mod batch;
mod compact;
mod core;
pub mod cycles;
mod execute;
mod lookup;
mod member;
mod meters;
mod poller;
mod port;
mod pruning;
pub mod rxq;
pub mod settings;
pub mod show;
mod signature;
mod slots;
mod table;
pub mod threads;

pub use crate::core::Core;
pub use member::{Place, ThreadStats};
pub use threads::Topology;

use clock::Clock;
use datapath::{
    Datapath, DpError, DpStats, Execute, Features, FlowDump, FlowPut, FlowStats, MeterConfig, MeterFeatures,
    MeterStats, PortInfo, PortStats, Ufid, UpcallHandler,
};
use flow::DpPort;
use member::{Member, lock};
use meters::Meters;
use netdev::Device;
use poller::Command;
use port::PortEntry;
use snapshot::{Published, SharedMap};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use threads::Control;

/// What the polling threads and everybody else share.
pub(crate) struct Shared {
    pub ports: Published<SharedMap<DpPort, PortEntry>>,
    pub handler: Published<Option<Arc<dyn UpcallHandler>>>,
    pub flow_limit: AtomicUsize,
    pub meters: Meters,
    /// One of so many flows goes into the cache; 0: none.
    pub emc_inverse: AtomicU32,
    pub smc: AtomicBool,
    /// Queues are to be shared out anew from time to time.
    pub auto_balance: AtomicBool,
    pub clock: Clock,
}

impl Shared {
    fn new(handler: Option<Arc<dyn UpcallHandler>>, clock: Clock) -> Shared {
        Shared {
            ports: Published::default(),
            handler: Published::new(handler),
            flow_limit: AtomicUsize::new(usize::MAX),
            meters: Meters::default(),
            emc_inverse: AtomicU32::new(settings::Settings::default().emc_inverse),
            smc: AtomicBool::new(false),
            auto_balance: AtomicBool::new(false),
            clock,
        }
    }
}

/// A userspace datapath. Its threads end when it is dropped.
pub struct Userspace {
    name: String,
    kind: &'static str,
    shared: Arc<Shared>,
    /// The thread for devices that can be waited for.
    main: Arc<Member>,
    /// The threads that poll, by core.
    pinned: Published<BTreeMap<u32, Arc<Member>>>,
    /// Serializes changes of ports and threads. Flow operations never take it.
    control: Mutex<Control>,
}

impl Userspace {
    /// A datapath without ports, called `name`, of type `netdev` or `dummy`.
    ///
    /// # Errors
    /// If the system gives no thread or descriptor.
    pub fn start(name: &str, kind: &'static str, clock: Clock) -> io::Result<Arc<Userspace>> {
        let shared = Arc::new(Shared::new(None, clock));
        let main = threads::spawn(&shared, None)?;
        Ok(Arc::new(Userspace {
            name: name.into(),
            kind,
            shared,
            main,
            pinned: Published::default(),
            control: Mutex::new(Control::default()),
        }))
    }

    /// All polling threads, the one that waits first.
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        let pinned = self.pinned.load();
        std::iter::once(&self.main).chain(pinned.values()).cloned().collect()
    }

    /// Opens a device's packet side and makes it a port, with the number asked for if it is free. May block in the kernel.
    pub fn port_add(&self, device: Arc<dyn Device>, request: Option<DpPort>) -> Result<DpPort, DpError> {
        let mut control = lock(&self.control);
        let mut ports = (*self.shared.ports.snapshot()).clone();
        if control.names.contains(device.name()) {
            return Err(DpError::Exists);
        }
        let made_up = device.as_dummy().is_some();
        let preferred = request.or_else(|| number_from_name(device.name()).filter(|_| made_up));
        let port = match preferred.filter(|p| !ports.contains_key(p)) {
            Some(p) => p,
            None => (control.free..u32::MAX).map(DpPort).find(|p| !ports.contains_key(p)).ok_or(DpError::Full)?,
        };
        let entry = PortEntry::new(device.name(), device.kind(), device.is_polled(), device.queue_config());
        self.attach(&mut control, port, &entry, &device)?;
        control.names.insert(device.name().to_string());
        if control.free == port.0 {
            control.free += 1;
        }
        ports.insert(port, entry);
        self.shared.ports.publish(Arc::new(ports));
        let polled = device.is_polled();
        control.devices.insert(port, device);
        if polled {
            self.reassign(&mut control)?;
        }
        Ok(port)
    }

    /// Takes a port away and waits until the polling threads have let go of its device.
    pub fn port_del(&self, port: DpPort) -> Result<(), DpError> {
        let mut control = lock(&self.control);
        let mut ports = (*self.shared.ports.snapshot()).clone();
        let gone = ports.remove(&port).ok_or(DpError::NoSuchPort)?;
        control.names.remove(&*gone.name);
        control.free = control.free.min(port.0);
        self.shared.ports.publish(Arc::new(ports));
        for member in self.members() {
            member.ask(|done| Command::Remove { port, done });
            lock(&member.queues).retain(|q| q.port != port);
        }
        let device = control.devices.remove(&port);
        control.affinity.remove(&port);
        control.at.retain(|(p, _), _| *p != port);
        if device.is_some_and(|d| d.is_polled()) { self.reassign(&mut control) } else { Ok(()) }
    }

    /// Waits until every packet that was waiting at the time of the call, and all that follows from it, has been handled.
    pub fn settle(&self) {
        for member in self.members() {
            member.ask(|done| Command::Settle { done });
        }
    }

    /// Lets the polling thread look for packets of devices that it cannot wait for.
    pub fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let waker = self.main.waker.clone();
        Arc::new(move || waker.wake())
    }

    fn handler(&self) -> Option<Arc<dyn UpcallHandler>> {
        (**self.shared.handler.load()).clone()
    }
}

impl Drop for Userspace {
    fn drop(&mut self) {
        self.members().iter().for_each(|m| m.stop());
    }
}

/// Dummy ports get the number that stands in their name, bridges' own ports from 100 on, so that tests know it.
fn number_from_name(name: &str) -> Option<DpPort> {
    let base = if name.starts_with("br") { 100 } else { 0 };
    let digits = name.find(|c: char| c.is_ascii_digit())?;
    let number: String = name[digits..].chars().take_while(char::is_ascii_digit).collect();
    number.parse::<u32>().ok().map(|n| base + n).filter(|n| (1..u32::MAX).contains(n)).map(DpPort)
}

impl Datapath for Userspace {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        self.kind
    }

    fn stats(&self) -> DpStats {
        let mut all = DpStats::default();
        for member in self.members() {
            let s = member.stats();
            all.hit += s.emc_hit + s.smc_hit + s.mega_hit;
            all.missed += s.upcalls;
            all.lost += s.lost;
            all.emc_hit += s.emc_hit;
            all.mask_hits += s.searched;
            all.flows += member.table.len() as u64;
            all.masks += member.table.masks() as u64;
        }
        all
    }

    fn features(&self) -> Features {
        Features::all()
    }

    fn ports(&self) -> Vec<PortInfo> {
        let info = |(port, p): (&DpPort, &Arc<PortEntry>)| PortInfo {
            port: *port,
            name: p.name.to_string(),
            kind: p.kind.to_string(),
            config: p.config.to_vec(),
        };
        let mut ports: Vec<PortInfo> = self.shared.ports.load().iter().map(info).collect();
        ports.sort_by_key(|p| p.port);
        ports
    }

    fn port_stats(&self, port: DpPort) -> Option<PortStats> {
        self.shared.ports.load().get(&port).map(PortEntry::read)
    }

    /// A new flow goes to every thread, since any of them may receive its packets; of one that a thread made by itself, only
    /// that thread's changes.
    fn flow_put(&self, put: FlowPut) -> Result<FlowStats, DpError> {
        let limit = self.shared.flow_limit.load(Ordering::Relaxed);
        let members = self.members();
        let modified = |m: &Arc<Member>| {
            let change = FlowPut { create: false, ..put.clone() };
            m.table.put(change, limit)
        };
        if put.modify {
            let ufid = put.ufid.unwrap_or_else(|| Ufid::of(&put.key, &put.mask));
            let having: Vec<&Arc<Member>> = members.iter().filter(|m| m.table.has(ufid)).collect();
            if !having.is_empty() {
                return sum(having.into_iter().map(modified));
            }
        }
        // A thread that never receives from the flow's port needs no copy of it.
        let polled = self.shared.ports.load().get(&DpPort(put.key.in_port_raw())).is_some_and(|p| p.polled);
        let wanted = |m: &&Arc<Member>| (polled && members.len() > 1) == m.place.is_some();
        sum(members.iter().filter(wanted).map(|m| m.table.put(put.clone(), limit)))
    }

    fn flow_del(&self, ufid: Ufid) -> Result<FlowStats, DpError> {
        let found: Vec<FlowStats> = self.members().iter().filter_map(|m| m.table.remove(ufid).ok()).collect();
        if found.is_empty() { Err(DpError::NoSuchFlow) } else { sum(found.into_iter().map(Ok)) }
    }

    fn flow_get(&self, ufid: Ufid) -> Result<FlowDump, DpError> {
        let found: Vec<FlowDump> = self.members().iter().filter_map(|m| m.table.get(ufid).ok()).collect();
        let stats = sum(found.iter().map(|f| Ok(f.stats)))?;
        found.into_iter().next().map(|f| FlowDump { stats, ..f }).ok_or(DpError::NoSuchFlow)
    }

    fn flow_dump(&self) -> Vec<FlowDump> {
        self.members().iter().flat_map(|m| m.table.dump()).collect()
    }

    fn flow_flush(&self) -> Result<(), DpError> {
        self.members().iter().for_each(|m| m.table.clear());
        Ok(())
    }

    fn execute(&self, e: Execute<'_>) -> Result<(), DpError> {
        if e.probe {
            return Ok(());
        }
        self.main.send(Command::Execute {
            packet: e.packet.to_vec(),
            key: Box::new(*e.key),
            actions: e.actions.to_vec(),
        });
        Ok(())
    }

    fn set_upcall_handler(&self, handler: Option<Arc<dyn UpcallHandler>>) {
        debug_assert!(handler.is_some() != self.handler().is_some(), "one switch for one datapath");
        self.shared.handler.publish(Arc::new(handler));
    }

    fn set_flow_limit(&self, limit: usize) {
        self.shared.flow_limit.store(limit, Ordering::Relaxed);
    }

    fn meter_features(&self) -> MeterFeatures {
        MeterFeatures::USERSPACE
    }

    fn meter_set(&self, id: u32, config: &MeterConfig) -> Result<(), DpError> {
        self.shared.meters.set(id, config, self.shared.clock.now())
    }

    fn meter_get(&self, id: u32) -> Result<MeterStats, DpError> {
        self.shared.meters.get(id)
    }

    fn meter_del(&self, id: u32) -> Result<MeterStats, DpError> {
        self.shared.meters.remove(id)
    }
}

/// Counters of one flow in several tables together; the first failure where there is one.
fn sum(all: impl Iterator<Item = Result<FlowStats, DpError>>) -> Result<FlowStats, DpError> {
    let mut total = FlowStats::default();
    for one in all {
        let one = one?;
        total.packets += one.packets;
        total.bytes += one.bytes;
        total.used = total.used.max(one.used);
        total.tcp_flags |= one.tcp_flags;
    }
    Ok(total)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod tests_damage;
