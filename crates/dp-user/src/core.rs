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
        Ok(Core { poller, shared, _inbox: sender })
    }

    /// Adds a port.
    pub fn add_port(&mut self, port: DpPort, queue: Box<dyn Queue>) {
        self.poller.add(port, queue, Arc::default(), true);
    }

    /// Whether lookups use the signature cache; if so, every flow goes into it.
    pub fn set_cache(&mut self, on: bool) {
        self.poller.lookup.signatures.on = on;
        self.shared.emc_inverse.store(u32::from(on), Ordering::Relaxed);
    }

    /// Handles one batch from each port in turn; gives the number of packets.
    pub fn poll(&mut self) -> usize {
        (0..self.poller.rxs.len()).map(|at| self.poller.poll_rx(at)).sum()
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
