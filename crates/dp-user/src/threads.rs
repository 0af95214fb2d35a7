//! Which polling threads there are, and which receives from which queue: decided here, by whoever changes the configuration.

use crate::member::{History, Member, Place, RxInfo, lock};
use crate::poller::{Command, Poller, Rx, Source, Waker};
use crate::port::PortEntry;
use crate::rxq::{self, Assign};
use crate::settings::{PortSettings, Settings};
use crate::{Shared, Userspace};
use clock::Instant;
use datapath::DpError;
use flow::DpPort;
use io::vlog::Module;
use io::{vlog_info, vlog_warn};
use netdev::Device;
use std::collections::{BTreeMap, BTreeSet};
use std::io as stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

/// Bytes for the stack of a thread that translates packets: tables may send a packet 512 levels deep.
pub const STACK: usize = 32 << 20;

/// Cores of the machine and their NUMA nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology(pub Vec<Place>);

impl Topology {
    /// This machine's.
    #[must_use]
    pub fn system() -> Topology {
        let mut places = vec![];
        let nodes = std::fs::read_dir("/sys/devices/system/node").into_iter().flatten().flatten();
        for node in nodes {
            let name = node.file_name();
            let Some(numa) = name.to_str().and_then(|n| n.strip_prefix("node")).and_then(|n| n.parse().ok()) else {
                continue;
            };
            let list = std::fs::read_to_string(node.path().join("cpulist")).unwrap_or_default();
            places.extend(cpu_list(&list).into_iter().map(|core| Place { core, numa }));
        }
        if places.is_empty() {
            let n = std::thread::available_parallelism().map_or(1, usize::from) as u32;
            places = (0..n).map(|core| Place { core, numa: 0 }).collect();
        }
        places.sort();
        Topology(places)
    }

    /// Made up, as `--dummy-numa` has it: the node of each core, by commas.
    #[must_use]
    pub fn parse(s: &str) -> Option<Topology> {
        let nodes: Option<Vec<u32>> = s.split(',').map(|n| n.trim().parse().ok()).collect();
        Some(Topology(nodes?.into_iter().enumerate().map(|(i, numa)| Place { core: i as u32, numa }).collect()))
    }
}

/// `0-3,8`.
fn cpu_list(s: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.trim().parse::<u32>().ok()?..=to.trim().parse::<u32>().ok()?)
    };
    s.trim().split(',').filter_map(range).flatten().take(4096).collect()
}

/// What those who change the configuration share.
pub(crate) struct Control {
    pub settings: Settings,
    pub topology: Topology,
    pub devices: BTreeMap<DpPort, Arc<dyn Device>>,
    /// Names of the ports.
    pub names: BTreeSet<String>,
    /// No number below this, but 0, is free.
    pub free: u32,
    pub affinity: BTreeMap<DpPort, PortSettings>,
    /// Core of the thread that receives from a queue.
    pub at: BTreeMap<(DpPort, u32), u32>,
    /// When evenness was last looked at.
    balanced: Instant,
    /// Work of each queue, kept when it moves.
    work: BTreeMap<(DpPort, u32), Arc<History>>,
}

impl Default for Control {
    fn default() -> Self {
        Control {
            settings: Settings::default(),
            topology: Topology::system(),
            devices: BTreeMap::new(),
            names: BTreeSet::new(),
            free: 1,
            affinity: BTreeMap::new(),
            at: BTreeMap::new(),
            balanced: Instant::ZERO,
            work: BTreeMap::new(),
        }
    }
}

/// Starts a polling thread.
pub(crate) fn spawn(shared: &Arc<Shared>, place: Option<Place>) -> stdio::Result<Arc<Member>> {
    let (commands, inbox) = channel();
    let me = Arc::new(Member::new(place, commands, Waker::new()?, shared.clock.now()));
    let poller = Poller::new(shared.clone(), me.clone(), inbox)?;
    let name = place.map_or_else(|| "netdev/wait".into(), |p| format!("pmd-c{:02}/id:{}", p.core, p.core + 1));
    let builder = std::thread::Builder::new().name(name).stack_size(STACK);
    me.started(match place {
        None => builder.spawn(move || poller.run())?,
        Some(_) => builder.spawn(move || poller.run_pinned())?,
    });
    Ok(me)
}

impl Userspace {
    /// Gives every thread a way to send by a new port; the waiting thread receives from it, unless it has to be polled.
    pub(crate) fn attach(
        &self,
        control: &mut Control,
        port: DpPort,
        entry: &PortEntry,
        device: &Arc<dyn Device>,
    ) -> Result<(), DpError> {
        let polled = device.is_polled();
        let queue = if polled { device.open_tx()? } else { device.open()? };
        let pinned = self.pinned.snapshot();
        let others = pinned.values().map(|m| device.open_tx().map(|q| (m, q))).collect::<stdio::Result<Vec<_>>>()?;
        self.main.send(Command::Add { port, queue, stats: entry.counters(), receive: !polled });
        for (member, queue) in others {
            member.send(Command::Add { port, queue, stats: entry.counters(), receive: false });
        }
        control.affinity.entry(port).or_default();
        Ok(())
    }

    /// Cores that threads should run on: none while nothing has to be polled.
    fn wanted(control: &Control) -> BTreeSet<Place> {
        if !control.devices.values().any(|d| d.is_polled()) {
            return BTreeSet::new();
        }
        let all = &control.topology.0;
        match &control.settings.cores {
            Some(cores) => all.iter().copied().filter(|p| cores.contains(&p.core)).collect(),
            None => {
                let nodes: BTreeSet<u32> = all.iter().map(|p| p.numa).collect();
                nodes.iter().filter_map(|n| all.iter().copied().filter(|p| p.numa == *n).min()).collect()
            }
        }
    }

    /// Starts and ends threads as the configuration wants it, and shares the queues out.
    pub(crate) fn reassign(&self, control: &mut Control) -> Result<(), DpError> {
        let before = self.pinned.snapshot();
        let wanted = Self::wanted(control);
        if before.is_empty() && wanted.is_empty() {
            return Ok(());
        }
        let mut members: BTreeMap<u32, Arc<Member>> = BTreeMap::new();
        let mut changed = false;
        for place in &wanted {
            if let Some(m) = before.get(&place.core) {
                members.insert(place.core, m.clone());
                continue;
            }
            changed = true;
            members.insert(place.core, self.start_member(control, *place)?);
            let (numa, core) = (place.numa, place.core);
            vlog_info!(Module::DpifNetdev, "PMD thread on numa_id: {numa}, core id: {core:2} created.");
        }
        let gone: Vec<Arc<Member>> =
            before.iter().filter(|(c, _)| !members.contains_key(*c)).map(|(_, m)| m.clone()).collect();
        for member in &gone {
            for info in std::mem::take(&mut *lock(&member.queues)) {
                control.at.remove(&(info.port, info.queue));
            }
        }
        self.pinned.publish(Arc::new(members.clone()));
        for member in gone {
            member.stop();
            if let Some(p) = member.place {
                let (numa, core) = (p.numa, p.core);
                vlog_info!(Module::DpifNetdev, "PMD thread on numa_id: {numa}, core id: {core:2} destroyed.");
            }
            changed = true;
        }
        if changed {
            let nodes: BTreeSet<u32> = wanted.iter().map(|p| p.numa).collect();
            for node in nodes {
                let n = wanted.iter().filter(|p| p.numa == node).count();
                vlog_info!(Module::DpifNetdev, "There are {n} pmd threads on numa node {node}");
            }
        }
        self.share_out(control, &members)
    }

    fn start_member(&self, control: &Control, place: Place) -> Result<Arc<Member>, DpError> {
        let member = spawn(&self.shared, Some(place))?;
        let sleep = control.settings.sleep_of.get(&place.core).copied().unwrap_or(control.settings.sleep);
        member.max_sleep.store(sleep, Ordering::Relaxed);
        let (numa, core) = (place.numa, place.core);
        vlog_info!(Module::DpifNetdev, "PMD thread on numa_id: {numa}, core id: {core:2}, max sleep: {sleep:4} us.");
        let ports = self.shared.ports.snapshot();
        for (port, device) in &control.devices {
            let Some(entry) = ports.get(port) else { continue };
            match device.open_tx() {
                Ok(queue) => member.send(Command::Add { port: *port, queue, stats: entry.counters(), receive: false }),
                Err(e) => vlog_warn!(Module::DpifNetdev, "{}: cannot be sent to from core {core} ({e})", entry.name),
            }
        }
        Ok(member)
    }

    /// The queues of all devices that have to be polled, in order.
    fn queues(&self, control: &Control) -> Vec<(DpPort, rxq::Queue)> {
        let mut list = vec![];
        for (port, device) in control.devices.iter().filter(|(_, d)| d.is_polled()) {
            for id in 0..device.rx_queues() {
                let cycles = control.work.get(&(*port, id)).map_or(0, |w| w.last(crate::member::INTERVALS));
                let pinned = control.affinity.get(port).and_then(|a| a.affinity.get(&id)).copied();
                let (name, numa) = (device.name().to_string(), device.numa());
                list.push((*port, rxq::Queue { port: name, id, numa, pinned, cycles }));
            }
        }
        list
    }

    fn share_out(&self, control: &mut Control, members: &BTreeMap<u32, Arc<Member>>) -> Result<(), DpError> {
        let places: Vec<Place> = members.values().filter_map(|m| m.place).collect();
        let queues = self.queues(control);
        let list: Vec<rxq::Queue> = queues.iter().map(|(_, q)| q.clone()).collect();
        let how = control.settings.assign.unwrap_or(Assign::Cycles);
        // Without isolation only the group algorithm can fill up threads that have pinned queues.
        let isolate = control.settings.isolate || how != Assign::Group;
        let plan = rxq::plan(&places, &list, how, isolate);
        for (warning, line) in &plan.log {
            if *warning { vlog_warn!(Module::DpifNetdev, "{line}") } else { vlog_info!(Module::DpifNetdev, "{line}") }
        }
        let mut at = BTreeMap::new();
        for ((port, queue), thread) in queues.iter().zip(&plan.threads) {
            let key = (*port, queue.id);
            let old = control.at.get(&key).and_then(|core| members.get(core));
            let new = thread.and_then(|t| places.get(t)).and_then(|p| members.get(&p.core));
            if let (Some(o), Some(n)) = (old, new)
                && Arc::ptr_eq(o, n)
            {
                at.insert(key, n.place.map_or(0, |p| p.core));
                continue;
            }
            let taken = old.and_then(|o| {
                lock(&o.queues).retain(|q| (q.port, q.queue) != key);
                o.ask(|to| Command::Take { port: *port, queue: queue.id, to }).flatten()
            });
            let Some(new) = new else { continue };
            let Some(rx) = self.receiver(control, key, taken) else { continue };
            let work = rx.work.clone();
            lock(&new.queues).push(RxInfo { port: *port, name: queue.port.as_str().into(), queue: queue.id, work });
            new.send(Command::Give(rx));
            at.insert(key, new.place.map_or(0, |p| p.core));
        }
        // Queues that the devices no longer have.
        for (key, core) in control.at.iter().filter(|(k, _)| !at.contains_key(*k)) {
            if let Some(m) = members.get(core) {
                lock(&m.queues).retain(|q| (q.port, q.queue) != *key);
                m.ask(|to| Command::Take { port: key.0, queue: key.1, to });
            }
        }
        for (i, place) in places.iter().enumerate() {
            if let Some(m) = members.get(&place.core) {
                m.isolated.store(plan.isolated[i], Ordering::Relaxed);
            }
        }
        control.at = at;
        Ok(())
    }

    fn receiver(&self, control: &mut Control, key: (DpPort, u32), taken: Option<Rx>) -> Option<Rx> {
        if let Some(rx) = taken {
            return Some(rx);
        }
        let device = control.devices.get(&key.0)?;
        match device.open_rx(key.1) {
            Ok(queue) => {
                let work = control.work.entry(key).or_default().clone();
                work.clear();
                Some(Rx { port: key.0, id: key.1, queue: Source::Own(queue), work, resting: Instant::ZERO })
            }
            Err(e) => {
                let name = device.name();
                vlog_warn!(
                    Module::DpifNetdev,
                    "{name}: queue {} cannot be opened ({})",
                    key.1,
                    io::program::strerror(&e)
                );
                None
            }
        }
    }

    /// Takes over the settings of the `Open_vSwitch` row.
    pub fn configure(&self, settings: Settings) {
        let mut control = lock(&self.control);
        let old = std::mem::replace(&mut control.settings, settings.clone());
        if settings == old {
            return;
        }
        if settings.emc_inverse != old.emc_inverse {
            self.shared.emc_inverse.store(settings.emc_inverse, Ordering::Relaxed);
            match settings.emc_inverse {
                0 => vlog_info!(Module::DpifNetdev, "EMC insertion probability changed to zero"),
                n => vlog_info!(
                    Module::DpifNetdev,
                    "EMC insertion probability changed to 1/{n} (~{:.2}%)",
                    100.0 / f64::from(n)
                ),
            }
        }
        if settings.smc != old.smc {
            self.shared.smc.store(settings.smc, Ordering::Relaxed);
            let now = if settings.smc { "enabled" } else { "disabled" };
            vlog_info!(Module::DpifNetdev, "SMC cache is {now}");
        }
        self.shared.auto_balance.store(settings.auto_balance, Ordering::Relaxed);
        if settings.auto_balance != old.auto_balance {
            control.balanced = self.shared.clock.now();
        }
        self.log_assignment(&old, &settings);
        for m in self.pinned.load().values() {
            let Some(p) = m.place else { continue };
            let us = settings.sleep_of.get(&p.core).copied().unwrap_or(settings.sleep);
            if m.max_sleep.swap(us, Ordering::Relaxed) != us {
                let (numa, core) = (p.numa, p.core);
                vlog_info!(
                    Module::DpifNetdev,
                    "PMD thread on numa_id: {numa}, core id: {core:2}, max sleep: {us:4} us."
                );
            }
        }
        if let Err(e) = self.reassign(&mut control) {
            vlog_warn!(Module::DpifNetdev, "polling threads could not be set up ({e})");
        }
    }

    fn log_assignment(&self, old: &Settings, new: &Settings) {
        if new.assign != old.assign {
            if new.assign.is_err() {
                vlog_warn!(
                    Module::DpifNetdev,
                    "Unsupported rx queue to PMD assignment mode in pmd-rxq-assign. Defaulting to 'cycles'."
                );
            }
            let mode = |s: &Settings| s.assign.unwrap_or(Assign::Cycles);
            if mode(new) != mode(old) {
                let name = mode(new).name();
                vlog_info!(Module::DpifNetdev, "Rxq to PMD assignment mode changed to: '{name}'.");
            }
        }
        if new.tx_flush != old.tx_flush {
            vlog_info!(Module::DpifNetdev, "Flushing interval for tx queues set to {} us", new.tx_flush);
        }
        if new.perf_metrics != old.perf_metrics {
            let what = if new.perf_metrics { "enabled" } else { "disabled" };
            vlog_info!(Module::DpifNetdev, "PMD performance metrics collection {what}");
        }
        if new.sleep != old.sleep {
            vlog_info!(Module::DpifNetdev, "Default PMD thread max sleep: {:4} us.", new.sleep);
        }
        if new.auto_balance != old.auto_balance {
            if new.auto_balance {
                vlog_info!(
                    Module::DpifNetdev,
                    "PMD auto load balance is enabled, interval {} mins, pmd load threshold {}%, improvement threshold {}%.",
                    new.balance_minutes,
                    new.balance_load,
                    new.balance_gain
                );
            } else {
                vlog_info!(Module::DpifNetdev, "PMD auto load balance is disabled.");
            }
        }
    }

    /// Takes over the settings of an `Interface` row: queues, and the cores that are to poll them.
    pub fn configure_port(&self, port: DpPort, settings: PortSettings, options: &[(String, String)]) {
        let mut control = lock(&self.control);
        let Some(device) = control.devices.get(&port).cloned() else { return };
        let reopened = device.set_options(options);
        if let Some(dummy) = device.as_dummy() {
            // Packets of other processes come when they like.
            dummy.on_push(self.waker());
        }
        let known = control.affinity.insert(port, settings.clone());
        if !device.is_polled() || (known.as_ref() == Some(&settings) && !reopened) {
            return;
        }
        let mut ports = (*self.shared.ports.snapshot()).clone();
        if let Some(entry) = ports.get_mut(&port) {
            entry.config = device.queue_config().into();
            self.shared.ports.publish(Arc::new(ports));
        }
        if let Err(e) = self.reassign(&mut control) {
            vlog_warn!(Module::DpifNetdev, "polling threads could not be set up ({e})");
        }
    }

    /// Makes up a machine, for tests.
    pub fn set_topology(&self, topology: Topology) {
        lock(&self.control).topology = topology;
    }

    /// Shares the queues out anew, by what was measured since they were last.
    pub fn rebalance(&self) {
        let mut control = lock(&self.control);
        if let Err(e) = self.reassign(&mut control) {
            vlog_warn!(Module::DpifNetdev, "polling threads could not be set up ({e})");
        }
    }

    /// Whether [`Userspace::auto_balance`] is worth calling.
    #[must_use]
    pub fn may_balance(&self) -> bool {
        self.shared.auto_balance.load(Ordering::Relaxed)
    }

    /// Looks, if it is time to, whether a new assignment would be so much better that it is worth it, and makes it. Gives what
    /// was done.
    pub fn auto_balance(&self) -> bool {
        let mut control = lock(&self.control);
        let (pinned, settings) = (self.pinned.snapshot(), control.settings.clone());
        let (now, minutes) = (self.shared.clock.now(), u64::from(settings.balance_minutes));
        let due = now.since(control.balanced).as_secs() >= 60 * minutes;
        if !settings.auto_balance || pinned.len() < 2 || !due {
            return false;
        }
        control.balanced = now;
        let n = crate::member::INTERVALS;
        let percent = |part: u64, all: u64| (part * 100).checked_div(all).unwrap_or(0);
        let overloaded =
            pinned.values().any(|m| percent(m.busy.last(n), m.work.last(n)) >= u64::from(settings.balance_load));
        if !overloaded || control.at.len() <= pinned.len() {
            return false;
        }
        let places: Vec<Place> = pinned.values().filter_map(|m| m.place).collect();
        let all = pinned.values().map(|m| m.work.last(n)).max().unwrap_or(0);
        let list: Vec<rxq::Queue> = self.queues(&control).into_iter().map(|(_, q)| q).collect();
        let how = settings.assign.unwrap_or(Assign::Cycles);
        let plan = rxq::plan(&places, &list, how, settings.isolate || how != Assign::Group);
        let mut after = vec![0; places.len()];
        for (q, t) in list.iter().zip(&plan.threads) {
            if let Some(t) = t {
                after[*t] += percent(q.cycles, all);
            }
        }
        let before: Vec<u64> = pinned.values().map(|m| percent(m.busy.last(n), all)).collect();
        let (old, new) = (rxq::variance(&before), rxq::variance(&after));
        let gain = percent(old.saturating_sub(new), old);
        if gain < u64::from(settings.balance_gain) {
            return false;
        }
        vlog_info!(
            Module::DpifNetdev,
            "PMD auto load balance detected imbalance: {gain}% better assignment in use now."
        );
        self.reassign(&mut control).is_ok()
    }
}
