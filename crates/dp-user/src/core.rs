//! The datapath without its thread: whoever has it says when it works. For measuring, and for tests that own time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};

use clock::Clock;
use datapath::UpcallHandler;
use flow::DpPort;
use netdev::Queue;

use crate::Shared;
use crate::member::{Member, ThreadStats};
use crate::poller::{Command, Poller, Waker};

/// A datapath core that works when [`Core::poll`] is called.
pub struct Core {
    poller: Poller,
    shared: Arc<Shared>,
    /// Indexes of all queues.
    all: Vec<usize>,
    _inbox: Sender<Command>,
}

impl Core {
    /// A core without ports that asks `handler` about packets it has no flow for.
    ///
    /// # Errors
    /// If the system gives no descriptor.
    pub fn new(handler: Arc<dyn UpcallHandler>, clock: Clock) -> std::io::Result<Core> {
        let shared = Arc::new(Shared::new(Some(handler), clock));
        let (sender, inbox) = channel();
        let me = Arc::new(Member::new(None, sender.clone(), Waker::new()?, shared.clock.now()));
        let poller = Poller::new(shared.clone(), me, inbox)?;
        Ok(Core { poller, shared, all: vec![], _inbox: sender })
    }

    /// Adds a port.
    pub fn add_port(&mut self, port: DpPort, queue: Box<dyn Queue>) {
        self.poller.add(port, queue, Arc::default(), true);
        self.all.push(self.all.len());
    }

    /// Whether lookups use the signature cache; if so, every flow goes into it.
    pub fn set_cache(&mut self, on: bool) {
        self.poller.lookup.signatures.on = on;
        self.shared.emc_inverse.store(u32::from(on), Ordering::Relaxed);
    }

    /// Adds a port that is only sent to.
    pub fn add_output(&mut self, port: DpPort, queue: Box<dyn Queue>) {
        self.poller.add(port, queue, Arc::default(), false);
    }

    /// Limits the number of flows.
    pub fn set_flow_limit(&self, limit: usize) {
        self.shared.flow_limit.store(limit, Ordering::Relaxed);
    }

    /// Handles one batch from each port in turn, as a polling thread does; gives the number of packets.
    pub fn poll(&mut self) -> usize {
        let all = std::mem::take(&mut self.all);
        let n = self.poller.round(&all, 1);
        self.all = all;
        n
    }

    /// Measures the stages of a batch from now on.
    pub fn measure_stages(&mut self) {
        self.poller.stages = Some(Box::default());
    }

    /// Cycles spent in each stage since then.
    #[must_use]
    pub fn stages(&self) -> [(&'static str, u64); 5] {
        let c = self.poller.stages.as_ref().map(|s| s.cycles).unwrap_or_default();
        [("receive", c[1]), ("extract", c[2]), ("lookup", c[3]), ("execute", c[4]), ("transmit", c[5])]
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> ThreadStats {
        self.poller.me.counters.read()
    }

    /// Flows in the table.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.poller.me.table.len()
    }
}
