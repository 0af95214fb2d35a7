//! The datapath without its thread: whoever has it says when it works. For measuring, and for tests that own time.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use clock::Clock;
use datapath::UpcallHandler;
use flow::DpPort;
use netdev::Queue;

use crate::poller::{Command, Poller};
use crate::{Counters, FlowTable, Shared};
use snapshot::Published;
use std::sync::atomic::AtomicUsize;

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
        let shared = Arc::new(Shared {
            table: FlowTable::default(),
            ports: Published::default(),
            handler: Published::new(Some(handler)),
            stats: Counters::default(),
            flow_limit: AtomicUsize::new(usize::MAX),
            meters: crate::meters::Meters::default(),
            clock,
        });
        let (sender, inbox) = channel();
        let poller = Poller::new(shared.clone(), inbox)?;
        Ok(Core { poller, shared, _inbox: sender })
    }

    /// Adds a port.
    pub fn add_port(&mut self, port: DpPort, queue: Box<dyn Queue>) {
        self.poller.add(port, queue, Arc::default());
    }

    /// Whether lookups use the signature cache.
    pub fn set_cache(&mut self, on: bool) {
        self.poller.lookup.use_signatures = on;
    }

    /// Handles one batch from a port; gives the number of packets.
    pub fn poll(&mut self, port: DpPort) -> usize {
        self.poller.poll_batch(port)
    }

    /// Flows in the table.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.shared.table.len()
    }
}
