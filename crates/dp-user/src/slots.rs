//! A polling thread's way to the ports it sends to.

use crate::port::PortCounters;
use flow::DpPort;
use netdev::Queue;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::PacketBuf;

/// A port as a polling thread has it.
pub(crate) struct Slot {
    pub queue: Box<dyn Queue>,
    /// This thread's own counters of the port.
    pub stats: Arc<PortCounters>,
    /// Packets to send at the end of the batch.
    pub pending: Vec<PacketBuf>,
}

/// Ports by number: small numbers at once, others by search.
#[derive(Default)]
pub(crate) struct Slots {
    near: Vec<Option<Box<Slot>>>,
    far: BTreeMap<DpPort, Box<Slot>>,
}

/// Port numbers below this have a place of their own.
const NEAR: u32 = 4096;

impl Slots {
    #[inline]
    pub fn get_mut(&mut self, port: DpPort) -> Option<&mut Slot> {
        if port.0 < NEAR {
            return self.near.get_mut(port.0 as usize)?.as_deref_mut();
        }
        self.far.get_mut(&port).map(|b| &mut **b)
    }

    pub fn get(&self, port: DpPort) -> Option<&Slot> {
        if port.0 < NEAR {
            return self.near.get(port.0 as usize)?.as_deref();
        }
        self.far.get(&port).map(|b| &**b)
    }

    pub fn insert(&mut self, port: DpPort, slot: Slot) {
        if port.0 < NEAR {
            let at = port.0 as usize;
            if self.near.len() <= at {
                self.near.resize_with(at + 1, || None);
            }
            self.near[at] = Some(Box::new(slot));
        } else {
            self.far.insert(port, Box::new(slot));
        }
    }

    pub fn remove(&mut self, port: DpPort) -> Option<Slot> {
        if port.0 < NEAR {
            return self.near.get_mut(port.0 as usize)?.take().map(|b| *b);
        }
        self.far.remove(&port).map(|b| *b)
    }
}
