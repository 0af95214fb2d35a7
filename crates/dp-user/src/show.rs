//! Text of the control commands about polling threads.

use crate::member::{INTERVAL_SECONDS, INTERVALS, Member, Place, ThreadStats, lock};
use crate::{Userspace, cycles};
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Percent, 0 of nothing.
fn percent(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { 100.0 * part as f64 / all as f64 }
}

fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

/// A label and its number, which ends in column 34.
fn line(out: &mut String, label: &str, number: u64, rest: &str) {
    let width = 34usize.saturating_sub(label.len());
    let _ = writeln!(out, "{label}{number:>width$}{rest}");
}

fn heading(member: &Member) -> String {
    match member.place {
        None => "main thread:\n".into(),
        Some(p) => format!("pmd thread numa_id {} core_id {}:\n", p.numa, p.core),
    }
}

/// What a thread did in some seconds.
fn work(out: &mut String, s: &ThreadStats, seconds: f64, polls: bool) {
    let hz = cycles::per_second();
    let used = s.busy_cycles + s.idle_cycles;
    if polls && s.iterations > 0 {
        let per = ratio(used, s.iterations) / hz * 1e6;
        line(out, "  Iterations:", s.iterations, &format!("  ({per:.2} us/it)"));
        let share = if seconds > 0.0 { 100.0 * used as f64 / (seconds * hz) } else { 0.0 };
        line(out, "  - Used TSC cycles:", used, &format!("  ({share:5.1} % of total cycles)"));
        let idle = percent(s.idle_cycles, used);
        let idle_rounds = s.iterations.saturating_sub(s.busy_iterations);
        line(out, "  - idle iterations:", idle_rounds, &format!("  ({idle:5.1} % of used cycles)"));
        let busy = percent(s.busy_cycles, used);
        line(out, "  - busy iterations:", s.busy_iterations, &format!("  ({busy:5.1} % of used cycles)"));
        let slept = percent(s.sleeps, s.iterations);
        line(out, "  - sleep iterations:", s.sleeps, &format!("  ({slept:5.1} % of iterations)"));
        let average = ratio(s.slept_us, s.sleeps);
        line(out, "  Sleep time (us):", s.slept_us, &format!("  ({average:3.0} us/iteration avg.)"));
    }
    let rate = |n: u64| if seconds > 0.0 { n as f64 / seconds / 1e3 } else { 0.0 };
    if s.rx > 0 {
        let passes = s.rx + s.recirculated;
        let cost = if polls { format!(", {:.0} cycles/pkt", ratio(s.busy_cycles, s.rx)) } else { String::new() };
        line(out, "  Rx packets:", s.rx, &format!("  ({:.0} Kpps{cost})", rate(s.rx)));
        line(out, "  Datapath passes:", passes, &format!("  ({:.2} passes/pkt)", ratio(passes, s.rx)));
        let share = |n: u64| format!("  ({:5.1} %", percent(n, passes));
        line(out, "  - PHWOL hits:", 0, &format!("{})", share(0)));
        line(out, "  - Simple Match hits:", 0, &format!("{})", share(0)));
        line(out, "  - EMC hits:", s.emc_hit, &format!("{})", share(s.emc_hit)));
        line(out, "  - SMC hits:", s.smc_hit, &format!("{})", share(s.smc_hit)));
        let searched = ratio(s.searched, s.mega_hit);
        let hits = format!("{}, {searched:.2} subtbl lookups/hit)", share(s.mega_hit));
        line(out, "  - Megaflow hits:", s.mega_hit, &hits);
        let us = if polls {
            format!(", {:.1} us/upcall", ratio(s.upcall_cycles, s.upcalls) / hz * 1e6)
        } else {
            String::new()
        };
        line(out, "  - Upcalls:", s.upcalls, &format!("{}{us})", share(s.upcalls)));
        line(out, "  - Lost upcalls:", s.lost, &format!("{})", share(s.lost)));
    } else {
        line(out, "  Rx packets:", 0, "");
    }
    if s.tx > 0 {
        line(out, "  Tx packets:", s.tx, &format!("  ({:.0} Kpps)", rate(s.tx)));
        line(out, "  Tx batches:", s.tx_batches, &format!("  ({:.2} pkts/batch)", ratio(s.tx, s.tx_batches)));
    } else {
        line(out, "  Tx packets:", 0, "\n");
    }
}

impl Userspace {
    /// Threads that a command is about: the pinned ones by core, then the main one. A core that there is none on is ignored.
    fn selected(&self, core: Option<u32>) -> Vec<Arc<Member>> {
        let pinned = self.pinned.load();
        if let Some(member) = core.and_then(|c| pinned.get(&c)) {
            return vec![member.clone()];
        }
        pinned.values().chain(std::iter::once(&self.main)).cloned().collect()
    }

    /// `dpif-netdev/pmd-perf-show`. `time` is the wall clock's.
    #[must_use]
    pub fn perf_text(&self, core: Option<u32>, time: &str) -> String {
        let now = self.shared.clock.now();
        let mut out = String::new();
        for member in self.selected(core) {
            let seconds = now.since(lock(&member.baseline).1).as_secs_f64();
            let _ = write!(out, "\nTime: {time}\nMeasurement duration: {seconds:.3} s\n\n{}\n", heading(&member));
            work(&mut out, &member.stats(), seconds, member.place.is_some());
        }
        out
    }

    /// `dpif-netdev/pmd-stats-clear`.
    pub fn clear_stats(&self, core: Option<u32>) {
        let now = self.shared.clock.now();
        self.selected(core).iter().for_each(|m| m.clear_stats(now));
    }

    /// Counters of the threads since they were cleared, and the seconds since then.
    #[must_use]
    pub fn thread_stats(&self, core: Option<u32>) -> Vec<(Option<Place>, f64, ThreadStats)> {
        let now = self.shared.clock.now();
        let one = |m: &Arc<Member>| {
            // In a statement of its own: the statistics take the same lock.
            let seconds = now.since(lock(&m.baseline).1).as_secs_f64();
            (m.place, seconds, m.stats())
        };
        self.selected(core).iter().map(one).collect()
    }

    /// `dpif-netdev/pmd-rxq-show`: what each thread polls, and its share of the thread's time in the last seconds.
    #[must_use]
    pub fn rxqs(&self, core: Option<u32>, seconds: Option<u64>) -> Rxqs {
        let longest = INTERVALS as u64 * INTERVAL_SECONDS;
        // In whole intervals.
        let seconds =
            seconds.filter(|s| *s <= longest).unwrap_or(longest).div_ceil(INTERVAL_SECONDS) * INTERVAL_SECONDS;
        let intervals = (seconds / INTERVAL_SECONDS) as usize;
        let one = |(place, member): (Place, &Arc<Member>)| {
            let mut list = lock(&member.queues).clone();
            list.sort_by(|a, b| (&a.name, a.queue).cmp(&(&b.name, b.queue)));
            let all = member.work.last(intervals);
            let share = |part: u64| (part * 100).checked_div(all);
            let mut sum = 0;
            let mut queues = vec![];
            for q in &list {
                let mine = q.work.last(intervals);
                sum += mine;
                queues.push((q.name.to_string(), q.queue, share(mine)));
            }
            let overhead = share(member.busy.last(intervals).saturating_sub(sum));
            PolledBy { place, isolated: member.isolated.load(Relaxed), queues, overhead }
        };
        let selected = self.selected(core);
        let pinned = selected.iter().filter_map(|m| Some((m.place?, m)));
        Rxqs { seconds, threads: pinned.map(one).collect() }
    }

    /// Longest sleep of threads in microseconds: unless configured, and of each core.
    #[must_use]
    pub fn sleeps(&self) -> (u64, Vec<(u32, u64)>) {
        let pinned = self.pinned.load();
        let threads = pinned.iter().map(|(core, m)| (*core, m.max_sleep.load(Relaxed))).collect();
        (lock(&self.control).settings.sleep, threads)
    }

    /// `dpif-netdev/pmd-sleep-show`.
    #[must_use]
    pub fn sleep_text(&self) -> String {
        let mut out = format!("Default max sleep: {:4} us\n", lock(&self.control).settings.sleep);
        for member in self.pinned.load().values() {
            let _ = writeln!(out, "{}  max sleep: {:4} us", heading(member), member.max_sleep.load(Relaxed));
        }
        out
    }
}

/// What polling threads poll.
#[derive(Clone, Debug)]
pub struct Rxqs {
    /// Seconds that shares of time are about.
    pub seconds: u64,
    /// By thread.
    pub threads: Vec<PolledBy>,
}

/// What one thread polls.
#[derive(Clone, Debug)]
pub struct PolledBy {
    /// Where the thread runs.
    pub place: Place,
    /// It polls what was assigned to it and nothing else.
    pub isolated: bool,
    /// Port, queue, and its percentage of the thread's time, if known.
    pub queues: Vec<(String, u32, Option<u64>)>,
    /// Percentage of the time that no queue accounts for.
    pub overhead: Option<u64>,
}

impl fmt::Display for Rxqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: Option<u64>| part.map_or("NOT AVAIL".to_string(), |part| format!("{part:2} %"));
        writeln!(f, "Displaying last {} seconds pmd usage %", self.seconds)?;
        for t in &self.threads {
            writeln!(f, "pmd thread numa_id {} core_id {}:\n  isolated : {}", t.place.numa, t.place.core, t.isolated)?;
            for (name, queue, part) in &t.queues {
                writeln!(f, "  port: {name:<16}  queue-id: {queue:2} (enabled)   pmd usage: {}", share(*part))?;
            }
            if !t.queues.is_empty() {
                writeln!(f, "  overhead: {}", share(t.overhead))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_in_one_column() {
        let stats = ThreadStats { rx: 4, smc_hit: 3, upcalls: 1, tx: 12, tx_batches: 12, ..ThreadStats::default() };
        let mut out = String::new();
        work(&mut out, &stats, 1744.63, false);
        let expect = "  Rx packets:                    4  (0 Kpps)
  Datapath passes:               4  (1.00 passes/pkt)
  - PHWOL hits:                  0  (  0.0 %)
  - Simple Match hits:           0  (  0.0 %)
  - EMC hits:                    0  (  0.0 %)
  - SMC hits:                    3  ( 75.0 %)
  - Megaflow hits:               0  (  0.0 %, 0.00 subtbl lookups/hit)
  - Upcalls:                     1  ( 25.0 %)
  - Lost upcalls:                0  (  0.0 %)
  Tx packets:                   12  (0 Kpps)
  Tx batches:                   12  (1.00 pkts/batch)
";
        assert_eq!(out, expect);
        let mut out = String::new();
        work(&mut out, &ThreadStats::default(), 1.0, false);
        assert_eq!(out, "  Rx packets:                    0\n  Tx packets:                    0\n\n");
    }
}
