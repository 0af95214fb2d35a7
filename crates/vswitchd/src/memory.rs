//! How much memory the daemon has used at most, told in the log now and then.

use crate::app::{App, State};
use clock::Instant;
use io::vlog::Module;
use io::vlog_info;
use std::time::Duration;

/// Time after which the first line comes: by then there is what was configured.
const SETTLED: Duration = Duration::from_secs(10);

/// What was told.
#[derive(Debug)]
pub struct Peak {
    at: Instant,
    /// In KiB; 0 before the first line.
    told: u64,
}

impl Peak {
    /// Nothing, from now on.
    pub fn new(now: Instant) -> Peak {
        Peak { at: now, told: 0 }
    }

    /// Whether a peak is news: the first, and one that is half as much again. Says how much it has grown in percent since the last.
    fn news(&self, peak: u64, elapsed: Duration) -> Option<u64> {
        match self.told {
            0 => (elapsed >= SETTLED).then_some(0),
            told => (peak / 3 >= told / 2 && peak > told).then(|| peak * 100 / told - 100),
        }
    }

    /// Looks, and tells if there is news.
    pub fn look(&mut self, app: &App) {
        let now = app.clock.now();
        let elapsed = now.since(self.at);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let Some(peak) = crate::system_stats::kib(&status, "VmHWM") else { return };
        let Some(grown) = self.news(peak, elapsed) else { return };
        let seconds = elapsed.as_secs_f32();
        if self.told == 0 {
            vlog_info!(Module::Memory, "{peak} kB peak resident set size after {seconds:.1} seconds");
        } else {
            let before = self.told;
            vlog_info!(
                Module::Memory,
                "peak resident set size grew {grown}% in last {seconds:.1} seconds, from {before} kB to {peak} kB"
            );
        }
        vlog_info!(Module::Memory, "{}", Usage::of(app).text());
        *self = Peak { at: now, told: peak };
    }
}

/// What there is, by number.
pub struct Usage {
    /// Values in the copy of the database.
    pub cells: usize,
    /// OpenFlow ports.
    pub ports: usize,
    /// Threads that check flows.
    pub revalidators: usize,
    /// OpenFlow rules.
    pub rules: usize,
    /// Flows of datapaths.
    pub keys: usize,
}

impl Usage {
    /// What there is now.
    pub fn of(app: &App) -> Usage {
        let state: &State = &app.state.borrow();
        Usage {
            cells: app.cells.get(),
            ports: state.bridges.values().map(|e| e.bridge.ports.len()).sum(),
            revalidators: state.backers.len(),
            rules: state.bridges.values().map(|e| e.bridge.tables.len()).sum(),
            keys: state.backers.values().map(|b| b.upcalls.known_flows()).sum(),
        }
    }

    /// On one line.
    pub fn text(&self) -> String {
        let Usage { cells, ports, revalidators, rules, keys } = self;
        let mut text =
            format!("idl-cells-Open_vSwitch:{cells} ports:{ports} revalidators:{revalidators} rules:{rules}");
        if *keys != 0 {
            text.push_str(&format!(" udpif keys:{keys}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_news() {
        let check = |told: u64, peak: u64, seconds: u64, expect: Option<u64>| {
            let news = Peak { at: Instant::ZERO, told }.news(peak, Duration::from_secs(seconds));
            assert_eq!(news, expect, "{told} {peak} {seconds}");
        };
        check(0, 5000, 9, None);
        check(0, 5000, 10, Some(0));
        check(5000, 7000, 100, None);
        check(5000, 7500, 1, Some(50));
        check(5000, 10_000, 1, Some(100));
    }
}
