//! News about the kernel's network devices.

use io::program::strerror;
use io::vlog::Module;
use io::vlog_warn;
use netdev::rtnl::{LinkEvent, LinkMonitor};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Watches for devices that come, go, or change. A thread of its own waits for the kernel; it ends soon after this is
/// dropped.
pub struct Watch {
    news: Arc<News>,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct News {
    changed: Mutex<Option<Names>>,
    came: Notify,
}

/// Which devices something is new of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Names {
    /// These.
    Some(BTreeSet<String>),
    /// Perhaps any: there was more news than can be kept.
    Any,
}

impl News {
    fn add(&self, events: Vec<LinkEvent>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            match (event, changed.get_or_insert_with(|| Names::Some(BTreeSet::new()))) {
                (LinkEvent::Overrun, all) => *all = Names::Any,
                (_, Names::Any) => {}
                (LinkEvent::Changed(link) | LinkEvent::Removed(link), Names::Some(names)) => {
                    names.insert(link.name);
                }
            }
        }
        self.came.notify_one();
    }
}

/// News come in bursts, several for one change: one look afterwards is enough.
const SETTLE: Duration = Duration::from_millis(20);
/// How often the thread looks whether it is still wanted.
const ATTENTION: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

impl Watch {
    /// Watches the network namespace of the calling thread. Where the kernel does not tell, interfaces are looked at now
    /// and then all the same.
    pub fn open() -> Watch {
        let watch = Watch { news: Arc::default(), stop: Arc::default() };
        let (news, stop) = (watch.news.clone(), watch.stop.clone());
        let started = LinkMonitor::open().and_then(|monitor| {
            let name = "netlink_notifier".to_string();
            std::thread::Builder::new().name(name).spawn(move || listen(monitor, &news, &stop))
        });
        if let Err(e) = started {
            vlog_warn!(Module::NetlinkNotifier, "cannot watch network devices ({})", strerror(&e));
        }
        watch
    }

    /// Waits until something has changed, and says of which devices. Safe to drop: what was not waited for is told again.
    pub async fn changed(&self) -> Names {
        loop {
            self.news.came.notified().await;
            if let Some(names) = self.news.changed.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return names;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn listen(mut monitor: LinkMonitor, news: &News, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let ready = poll(&mut [PollFd::new(&monitor, PollFlags::IN)], Some(&ATTENTION));
        if matches!(ready, Ok(0) | Err(_)) {
            continue;
        }
        std::thread::sleep(SETTLE);
        match monitor.events() {
            Ok(events) if events.is_empty() => {}
            Ok(events) => news.add(events),
            Err(e) => {
                vlog_warn!(Module::NetlinkNotifier, "lost sight of network devices ({})", strerror(&e));
                return;
            }
        }
    }
}
