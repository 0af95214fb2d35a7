//! The userspace datapath: polling threads, caches and execution of actions.
//!
//! One polling thread owns the packet side of every port. It sleeps in epoll until a device has packets or somebody sends
//! it a command, takes packets in batches, finds each one's flow in tables of its own ([`lookup`]), asks the switch inline
//! where there is no flow, and sends what the actions produce in batches.
//!
//! The flow [`table`] is shared: other threads put, delete and dump flows without the polling thread's help, and the
//! polling thread's own tables follow it. Ports come and go through a channel.

mod core;
mod execute;
mod header;
mod lookup;
mod meters;
mod poller;
mod port;
mod table;

pub use crate::core::Core;

use clock::Clock;
use datapath::{
    Datapath, DpError, DpStats, Execute, Features, FlowDump, FlowPut, FlowStats, MeterConfig, MeterFeatures,
    MeterStats, PortInfo, PortStats, Ufid, UpcallHandler,
};
use flow::DpPort;
use meters::Meters;
use netdev::Device;
use poller::{Command, Poller, Waker};
use port::PortEntry;
use snapshot::Published;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use table::FlowTable;

/// What the polling thread and everybody else share.
pub(crate) struct Shared {
    pub table: FlowTable,
    pub ports: Published<BTreeMap<DpPort, PortEntry>>,
    pub handler: Published<Option<Arc<dyn UpcallHandler>>>,
    pub stats: Counters,
    pub flow_limit: AtomicUsize,
    pub meters: Meters,
    pub clock: Clock,
}

/// Counters of the whole datapath.
#[derive(Default)]
pub(crate) struct Counters {
    pub hit: AtomicU64,
    pub cache_hit: AtomicU64,
    pub missed: AtomicU64,
    pub lost: AtomicU64,
}

/// A userspace datapath. Its thread ends when it is dropped.
pub struct Userspace {
    name: String,
    kind: &'static str,
    shared: Arc<Shared>,
    /// Serializes changes of the ports.
    ports: Mutex<()>,
    commands: Sender<Command>,
    waker: Arc<Waker>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Userspace {
    /// A datapath without ports, called `name`, of type `netdev` or `dummy`.
    ///
    /// # Errors
    /// If the system gives no thread or descriptor.
    pub fn start(name: &str, kind: &'static str, clock: Clock) -> io::Result<Arc<Userspace>> {
        let shared = Arc::new(Shared {
            table: FlowTable::default(),
            ports: Published::default(),
            handler: Published::new(None),
            stats: Counters::default(),
            flow_limit: AtomicUsize::new(usize::MAX),
            meters: Meters::default(),
            clock,
        });
        let (commands, inbox) = channel();
        let poller = Poller::new(shared.clone(), inbox)?;
        let waker = poller.waker();
        let thread = std::thread::Builder::new().name("pmd-c00/id:1".into()).spawn(move || poller.run())?;
        Ok(Arc::new(Userspace {
            name: name.into(),
            kind,
            shared,
            ports: Mutex::new(()),
            commands,
            waker,
            thread: Mutex::new(Some(thread)),
        }))
    }

    fn lock_ports(&self) -> MutexGuard<'_, ()> {
        self.ports.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn command(&self, command: Command) {
        // The poller lives as long as `self`.
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    /// Opens a device's packet side and makes it a port, with the number asked for if it is free. May block in the kernel.
    pub fn port_add(&self, device: Arc<dyn Device>, request: Option<DpPort>) -> Result<DpPort, DpError> {
        let queue = device.open()?;
        let _guard = self.lock_ports();
        let mut ports = (*self.shared.ports.snapshot()).clone();
        if ports.values().any(|p| p.name == device.name()) {
            return Err(DpError::Exists);
        }
        let preferred = request.or_else(|| self.number_from_name(device.name()));
        let port = match preferred.filter(|p| !ports.contains_key(p)) {
            Some(p) => p,
            None => (1..u32::MAX).map(DpPort).find(|p| !ports.contains_key(p)).ok_or(DpError::Full)?,
        };
        let entry = PortEntry { name: device.name().into(), kind: device.kind(), stats: Arc::default() };
        let stats = entry.stats.clone();
        ports.insert(port, entry);
        self.shared.ports.publish(Arc::new(ports));
        self.command(Command::Add { port, queue, stats });
        Ok(port)
    }

    /// Dummy ports get the number that stands in their name, bridges' own ports from 100 on, so that tests know it.
    fn number_from_name(&self, name: &str) -> Option<DpPort> {
        if self.kind != "dummy" {
            return None;
        }
        let base = if name.starts_with("br") { 100 } else { 0 };
        let digits = name.find(|c: char| c.is_ascii_digit())?;
        let number: String = name[digits..].chars().take_while(char::is_ascii_digit).collect();
        number.parse::<u32>().ok().map(|n| base + n).filter(|n| (1..u32::MAX).contains(n)).map(DpPort)
    }

    /// Takes a port away and waits until the polling thread has let go of its device.
    pub fn port_del(&self, port: DpPort) -> Result<(), DpError> {
        let _guard = self.lock_ports();
        let mut ports = (*self.shared.ports.snapshot()).clone();
        ports.remove(&port).ok_or(DpError::NoSuchPort)?;
        self.shared.ports.publish(Arc::new(ports));
        let (done, wait) = channel();
        self.command(Command::Remove { port, done });
        let _ = wait.recv();
        Ok(())
    }

    /// Waits until every packet that was waiting at the time of the call, and all that follows from it, has been handled.
    pub fn settle(&self) {
        let (done, wait) = channel();
        self.command(Command::Settle { done });
        let _ = wait.recv();
    }

    /// Lets the polling thread look for packets of devices that it cannot wait for.
    pub fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let waker = self.waker.clone();
        Arc::new(move || waker.wake())
    }

    fn handler(&self) -> Option<Arc<dyn UpcallHandler>> {
        (**self.shared.handler.load()).clone()
    }
}

impl Drop for Userspace {
    fn drop(&mut self) {
        self.command(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(t) = thread {
            let _ = t.join();
        }
    }
}

impl Datapath for Userspace {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        self.kind
    }

    fn stats(&self) -> DpStats {
        let read = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let s = &self.shared.stats;
        DpStats {
            hit: read(&s.hit) + read(&s.cache_hit),
            missed: read(&s.missed),
            lost: read(&s.lost),
            flows: self.shared.table.len() as u64,
            emc_hit: read(&s.cache_hit),
            mask_hits: 0,
            masks: self.shared.table.masks() as u64,
        }
    }

    fn features(&self) -> Features {
        Features::all()
    }

    fn ports(&self) -> Vec<PortInfo> {
        let info =
            |(port, p): (&DpPort, &PortEntry)| PortInfo { port: *port, name: p.name.clone(), kind: p.kind.to_string() };
        self.shared.ports.load().iter().map(info).collect()
    }

    fn port_stats(&self, port: DpPort) -> Option<PortStats> {
        self.shared.ports.load().get(&port).map(|p| p.stats.read())
    }

    fn flow_put(&self, put: FlowPut) -> Result<FlowStats, DpError> {
        let limit = self.shared.flow_limit.load(Ordering::Relaxed);
        self.shared.table.put(put, limit).map(|(_, stats)| stats)
    }

    fn flow_del(&self, ufid: Ufid) -> Result<FlowStats, DpError> {
        self.shared.table.remove(ufid)
    }

    fn flow_get(&self, ufid: Ufid) -> Result<FlowDump, DpError> {
        self.shared.table.get(ufid)
    }

    fn flow_dump(&self) -> Vec<FlowDump> {
        self.shared.table.dump()
    }

    fn flow_flush(&self) -> Result<(), DpError> {
        self.shared.table.clear();
        Ok(())
    }

    fn execute(&self, e: Execute<'_>) -> Result<(), DpError> {
        if e.probe {
            return Ok(());
        }
        self.command(Command::Execute {
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

#[cfg(test)]
mod tests;
