//! Client of the Linux kernel's datapath.
//!
//! The kernel forwards; this crate makes its datapaths and ports, puts flows into it, answers packets for which it has none
//! ([`upcall`]), and finds out what it can do ([`probe`]). Requests take a socket each ([`transport`]), so that a request that waits
//! in the kernel (a port that is slow to appear) keeps nobody from installing flows.
//!
//! Order of packets: one handler serves a CPU's socket. It keeps the packets that it has read in queues by input port, answers each
//! and gives it back to the kernel before it installs the flow that the answer asked for, and installs that when the socket has been
//! read and no packet of the flow waits. A packet given back that misses again (recirculation) comes to the same handler where
//! the kernel knows how (Linux 7.0 on). So packets of one flow, from one port and CPU, keep their order as long as they come by way of the
//! handler; the packets that reach the socket between its last look and the kernel's taking the flow may be overtaken by
//! packets that match it.

pub mod admin;
mod conntrack;
pub mod control;
mod dispatch;
mod flows;
mod help;
mod meters;
pub mod ports;
pub mod probe;
mod transport;
pub mod upcall;

use clock::{Clock, Instant};
use datapath::{
    Datapath, DpError, DpStats, Execute, Features, FlowDump, FlowPut, FlowStats, MeterConfig, MeterFeatures,
    MeterStats, PortInfo, PortStats, Ufid, UpcallHandler,
};
use flow::DpPort;
use flows::Cache;
use netlink::dp;
use netlink::ovs::command;
use snapshot::Published;
use std::io as stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use transport::{Request, Transport, malformed};

pub use admin::{delete, names};
pub use conntrack::{ConnTable, Limit, Limits};
pub use dispatch::Dispatch;
pub use flows::RawFlow;
pub use upcall::Handlers;

/// A datapath of the kernel.
pub struct Kernel {
    name: String,
    ifindex: u32,
    pub(crate) transport: Arc<Transport>,
    pub(crate) clock: Clock,
    /// Milliseconds of the kernel's monotonic clock when `clock` was at zero.
    epoch: i64,
    pub(crate) features: Published<Features>,
    pub(crate) handler: Published<Option<Arc<dyn UpcallHandler>>>,
    pub(crate) cache: Mutex<Cache>,
    flow_limit: AtomicUsize,
    /// Packets go to the socket of their CPU.
    pub(crate) any_cpu: AtomicBool,
    /// Features that were agreed with the kernel (`OVS_DP_F_*`).
    pub(crate) user_features: AtomicU32,
    pub(crate) counts: Counts,
    pub(crate) vport_sockets: Published<Option<Arc<dispatch::VportSockets>>>,
    /// Requests under way that make or take ports: the kernel holds its lock of flows meanwhile, also while it waits for devices.
    pub(crate) changing_ports: AtomicUsize,
    handlers: Mutex<Option<Handlers>>,
}

/// What was lost on the way.
#[derive(Debug, Default)]
pub struct Counts {
    /// Times that a handler's socket was full and packets were lost in the kernel.
    pub overruns: AtomicU64,
    /// Packets dropped since their port's queue was full.
    pub crowded: AtomicU64,
    /// Messages that could not be read.
    pub malformed: AtomicU64,
}

/// Whether a datapath is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It has to be there.
    Existing,
    /// It must not be there.
    New,
    /// Either.
    Any,
}

/// Milliseconds of the kernel's monotonic clock.
pub(crate) fn kernel_millis() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    t.tv_sec * 1000 + t.tv_nsec / 1_000_000
}

impl Kernel {
    /// Opens the datapath `name`.
    ///
    /// # Errors
    /// `ENOENT` where the kernel has no openvswitch datapath at all, `ENODEV` for no such datapath, `EEXIST` for one that exists.
    pub fn open(name: &str, how: Open, clock: Clock) -> stdio::Result<Arc<Kernel>> {
        let transport = Arc::new(Transport::open()?);
        let (ifindex, features) = admin::open(&transport, name, how)?;
        let epoch = kernel_millis() - i64::try_from(clock.now().as_millis()).unwrap_or(0);
        Ok(Arc::new(Kernel {
            name: name.into(),
            ifindex,
            transport,
            clock,
            epoch,
            features: Published::new(probe::LEAST),
            handler: Published::new(None),
            cache: Mutex::default(),
            flow_limit: AtomicUsize::new(usize::MAX),
            any_cpu: AtomicBool::new(false),
            user_features: AtomicU32::new(features),
            counts: Counts::default(),
            vport_sockets: Published::new(None),
            changing_ports: AtomicUsize::new(0),
            handlers: Mutex::new(None),
        }))
    }

    /// Interface index of its own device, by which requests name it.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// What was lost on the way.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A time of the kernel in ours.
    pub(crate) fn instant(&self, millis: u64) -> Instant {
        let ours = i64::try_from(millis).unwrap_or(i64::MAX).saturating_sub(self.epoch);
        Instant::from_millis(u64::try_from(ours).unwrap_or(0))
    }

    /// What the kernel tells of it.
    ///
    /// # Errors
    /// `ENODEV` when it is gone.
    pub fn info(&self) -> stdio::Result<dp::Datapath> {
        let request = dp::Datapath { ifindex: self.ifindex, ..dp::Datapath::default() };
        let request = Request::echo(self.transport.families.dp, request.encode(command::GET));
        let answer = self.transport.with(|c| c.ask_for(&request))?;
        dp::Datapath::parse(&answer).map(|(_, d)| d).map_err(malformed)
    }

    /// Sets the number of entries of the cache of masks.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_masks_cache(&self, entries: u32) -> stdio::Result<()> {
        let features = self.user_features.load(Ordering::Relaxed);
        let change = dp::Datapath {
            ifindex: self.ifindex,
            features: Some(features),
            masks_cache: Some(entries),
            ..dp::Datapath::default()
        };
        let request = Request::echo(self.transport.families.dp, change.encode(command::SET));
        self.transport.with(|c| c.ask(&request)).map(drop)
    }

    /// Finds out what the kernel can do.
    pub fn probe(&self) {
        self.features.publish(Arc::new(probe::find(self)));
    }

    /// Starts the threads that answer packets without a flow. They get packets as `prefer` says; where the kernel cannot do that by
    /// CPU, by port.
    ///
    /// # Errors
    /// If the system gives no thread or socket.
    pub fn serve(self: &Arc<Self>, prefer: Dispatch) -> stdio::Result<()> {
        let handlers = Handlers::start(self, prefer)?;
        *transport::lock(&self.handlers) = Some(handlers);
        Ok(())
    }

    /// How packets without a flow are given to handlers, once they are served.
    #[must_use]
    pub fn dispatch(&self) -> Option<Dispatch> {
        transport::lock(&self.handlers).as_ref().map(|h| h.dispatch())
    }

    /// Ends the threads. The datapath, its ports and flows stay.
    pub fn stop(&self) {
        let handlers = transport::lock(&self.handlers).take();
        drop(handlers);
    }
}

pub(crate) fn dp_error(e: stdio::Error, missing: DpError) -> DpError {
    use rustix::io::Errno;
    match e.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => missing,
        Some(Errno::EXIST) => DpError::Exists,
        Some(Errno::NODEV) => DpError::Gone,
        Some(Errno::FBIG) => DpError::Full,
        _ => DpError::Io(e),
    }
}

impl Datapath for Kernel {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        "system"
    }

    fn stats(&self) -> DpStats {
        let Ok(info) = self.info() else { return DpStats::default() };
        let (s, m) = (info.stats.unwrap_or_default(), info.megaflow_stats.unwrap_or_default());
        DpStats {
            hit: s.hit,
            missed: s.missed,
            lost: s.lost,
            flows: s.flows,
            emc_hit: m.cache_hit,
            mask_hits: m.mask_hit,
            masks: m.masks.into(),
        }
    }

    fn features(&self) -> Features {
        *self.features.snapshot()
    }

    fn ports(&self) -> Vec<PortInfo> {
        self.port_list().unwrap_or_default()
    }

    fn port_stats(&self, port: DpPort) -> Option<PortStats> {
        self.port_counters(port)
    }

    fn adopts(&self) -> bool {
        true
    }

    fn flow_put(&self, put: FlowPut) -> Result<FlowStats, DpError> {
        if put.create && transport::lock(&self.cache).len() >= self.flow_limit.load(Ordering::Relaxed) {
            return Err(DpError::Full);
        }
        self.put(&put)
    }

    fn flow_del(&self, ufid: Ufid) -> Result<FlowStats, DpError> {
        self.del(ufid)
    }

    fn flow_del_all(&self, ufids: &[Ufid]) -> Vec<Result<FlowStats, DpError>> {
        self.del_all(ufids)
    }

    fn flow_get(&self, ufid: Ufid) -> Result<FlowDump, DpError> {
        self.get(ufid)
    }

    fn flow_dump(&self) -> Vec<FlowDump> {
        self.dump_known()
    }

    fn flow_flush(&self) -> Result<(), DpError> {
        self.flush()
    }

    fn execute(&self, execute: Execute<'_>) -> Result<(), DpError> {
        self.run(&execute, 0, None)
    }

    fn set_upcall_handler(&self, handler: Option<Arc<dyn UpcallHandler>>) {
        self.handler.publish(Arc::new(handler));
    }

    fn set_flow_limit(&self, limit: usize) {
        self.flow_limit.store(limit, Ordering::Relaxed);
    }

    fn meter_features(&self) -> MeterFeatures {
        self.find_meter_features()
    }

    fn meter_set(&self, id: u32, config: &MeterConfig) -> Result<(), DpError> {
        self.set_meter(id, config)
    }

    fn meter_get(&self, id: u32) -> Result<MeterStats, DpError> {
        self.get_meter(id)
    }

    fn meter_del(&self, id: u32) -> Result<MeterStats, DpError> {
        self.del_meter(id)
    }
}
