//! MTUs of a bridge's internal ports: unless the database asks for another, each is the smallest among the bridge's other ports. An
//! MTU that the database asks for is set anew when somebody else changes it.

use crate::app::{App, BridgeEntry};
use crate::reconcile::elsewhere;
use io::program::strerror;
use io::vlog::Module;
use io::vlog_warn;
use netdev::Device;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// Payload of an Ethernet frame without extensions, in bytes.
const ETHERNET: u32 = 1500;

/// The MTUs of a bridge's ports.
#[derive(Debug, Default)]
pub struct Mtus {
    /// How many ports have each, of those that the internal ones follow.
    counts: BTreeMap<u32, usize>,
    /// What internal ports followed last.
    least: Option<u32>,
    /// Ports with another MTU than before.
    changed: BTreeSet<String>,
}

impl Mtus {
    /// A port that had one MTU, if it counts, has another.
    fn recount(&mut self, before: Option<u32>, now: Option<u32>) {
        if before == now {
            return;
        }
        if let Some(n) = before.and_then(|mtu| self.counts.get_mut(&mtu)) {
            *n -= 1;
        }
        self.counts.retain(|_, n| *n > 0);
        if let Some(mtu) = now {
            *self.counts.entry(mtu).or_default() += 1;
        }
    }

    fn least(&self) -> u32 {
        self.counts.keys().next().copied().unwrap_or(ETHERNET)
    }
}

impl BridgeEntry {
    /// Takes note of an interface's MTU; 0 is none.
    pub fn note_mtu(&mut self, name: &str, mtu: u32) {
        let Some(i) = self.interfaces.get_mut(name).filter(|i| i.device.is_some()) else { return };
        let counts = (!i.follows_mtu() && mtu != 0).then_some(mtu);
        if (i.mtu, i.mtu_counts) != (mtu, counts) {
            self.mtus.changed.insert(name.to_string());
        }
        self.mtus.recount(i.mtu_counts, counts);
        (i.mtu, i.mtu_counts) = (mtu, counts);
    }

    /// Takes note that an interface with this MTU, if it counted, is gone.
    pub fn forget_mtu(&mut self, counted: Option<u32>) {
        self.mtus.recount(counted, None);
    }

    /// Devices that have to get another MTU.
    fn wrong_mtus(&mut self) -> Vec<(String, Arc<dyn Device>, u32)> {
        let (changed, least) = (std::mem::take(&mut self.mtus.changed), self.mtus.least());
        let moved = self.mtus.least.replace(least) != Some(least);
        let mut list = vec![];
        let mut check = |name: &String, all: bool| {
            let Some(i) = self.interfaces.get(name) else { return };
            let wanted = match i.mtu_request() {
                Some(mtu) if mtu != i.mtu => mtu,
                None if i.follows_mtu() && (i.mtu > least || all && i.mtu != least) => least,
                _ => return,
            };
            list.extend(i.device.clone().map(|device| (name.clone(), device, wanted)));
        };
        if moved {
            self.interfaces.keys().for_each(|name| check(name, true));
        } else {
            changed.iter().for_each(|name| check(name, false));
        }
        list
    }
}

/// Sets the MTUs that follow from what was noted of a bridge's ports.
pub async fn follow(app: &Rc<App>, bridge: &str) {
    let work = match app.state.borrow_mut().bridges.get_mut(bridge) {
        Some(entry) => entry.wrong_mtus(),
        None => return,
    };
    if work.is_empty() {
        return;
    }
    let set = elsewhere(move || {
        let one =
            |(name, device, mtu): (String, Arc<dyn Device>, u32)| set(&name, &*device, mtu).then_some((name, mtu));
        work.into_iter().filter_map(one).collect::<Vec<_>>()
    });
    let done = set.await.unwrap_or_default();
    let mut state = app.state.borrow_mut();
    let state = &mut *state;
    let Some(entry) = state.bridges.get_mut(bridge) else { return };
    for (name, mtu) in done {
        entry.note_mtu(&name, mtu);
        state.touched.insert(name);
    }
    // What was set here is as it is to be.
    entry.mtus.changed.clear();
}

/// Sets a device's MTU; whether that could be done.
pub fn set(name: &str, device: &dyn Device, mtu: u32) -> bool {
    let result = device.set_mtu(mtu);
    if let Err(e) = &result {
        vlog_warn!(Module::Netdev, "failed to set MTU for network device {name}: {}", strerror(e));
    }
    result.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_counts() {
        let mut mtus = Mtus::default();
        let mut check = |before: Option<u32>, now: Option<u32>, least: u32| {
            mtus.recount(before, now);
            assert_eq!(mtus.least(), least, "{before:?} {now:?}");
        };
        check(None, None, 1500);
        check(None, Some(9000), 9000);
        check(None, Some(1400), 1400);
        check(None, Some(1400), 1400);
        check(Some(1400), Some(1600), 1400);
        check(Some(1400), None, 1600);
        check(Some(1600), None, 9000);
        check(Some(9000), None, 1500);
    }
}
