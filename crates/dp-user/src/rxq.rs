//! Which polling thread receives from which queue.

use crate::member::Place;

/// How queues are shared out (`other_config:pmd-rxq-assign`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assign {
    /// Busiest queues first, to the threads in turn, there and back.
    #[default]
    Cycles,
    /// In the order of ports and queues, to the threads in turn.
    RoundRobin,
    /// Busiest queues first, each to the thread with the least work.
    Group,
}

impl Assign {
    /// As in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Assign::Cycles => "cycles",
            Assign::RoundRobin => "roundrobin",
            Assign::Group => "group",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(s: &str) -> Option<Assign> {
        [Assign::Cycles, Assign::RoundRobin, Assign::Group].into_iter().find(|a| a.name() == s)
    }
}

/// A queue to be given to a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Name of its port.
    pub port: String,
    /// Number in its port.
    pub id: u32,
    /// NUMA node of the device.
    pub numa: u32,
    /// Core that the user wants (`pmd-rxq-affinity`).
    pub pinned: Option<u32>,
    /// Measured work.
    pub cycles: u64,
}

/// What was decided: for each queue, the place in the list of threads; and the threads that pinned queues keep for themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of the queues; `None`: nobody.
    pub threads: Vec<Option<usize>>,
    /// In the order of the threads.
    pub isolated: Vec<bool>,
    /// What to log, in order: a level (`true`: warning) and a line.
    pub log: Vec<(bool, String)>,
}

struct Turn {
    next: usize,
    back: bool,
}

impl Turn {
    /// The next of `n`: in turn, or there and back.
    fn take(&mut self, n: usize, there_and_back: bool) -> usize {
        let now = self.next.min(n - 1);
        if !there_and_back {
            self.next = (now + 1) % n;
        } else if self.back {
            if now == 0 { self.back = false } else { self.next = now - 1 }
        } else if now + 1 == n {
            self.back = true;
        } else {
            self.next = now + 1;
        }
        now
    }
}

/// Shares the queues out. `isolate`: threads with pinned queues get no others. Queues are in the order of ports and numbers.
#[must_use]
pub fn plan(threads: &[Place], queues: &[Queue], how: Assign, isolate: bool) -> Plan {
    let mut p = Plan { threads: vec![None; queues.len()], isolated: vec![false; threads.len()], log: vec![] };
    let (mut load, mut count) = (vec![0u64; threads.len()], vec![0usize; threads.len()]);
    for (i, q) in queues.iter().enumerate() {
        let Some(core) = q.pinned else { continue };
        let Some(at) = threads.iter().position(|t| t.core == core) else {
            p.log.push((true, format!(
                "Core {core:2} cannot be pinned with port '{}' rx queue {}. Use pmd-cpu-mask to enable a pmd on core {core}. An alternative core will be assigned.",
                q.port, q.id
            )));
            continue;
        };
        p.threads[i] = Some(at);
        p.isolated[at] |= isolate;
        load[at] += q.cycles;
        count[at] += 1;
        p.log.push((
            false,
            format!(
                "Core {core:2} on numa node {} is pinned with port '{}' rx queue {}.",
                threads[at].numa, q.port, q.id
            ),
        ));
    }
    let mut order: Vec<usize> = (0..queues.len()).filter(|i| p.threads[*i].is_none()).collect();
    if !order.is_empty() {
        p.log.push((false, format!("Performing pmd to rx queue assignment using {} algorithm.", how.name())));
    }
    if how != Assign::RoundRobin {
        order.sort_by_key(|i| std::cmp::Reverse(queues[*i].cycles));
    }
    let nodes: std::collections::BTreeSet<u32> = threads.iter().map(|t| t.numa).collect();
    let mut turns: std::collections::BTreeMap<u32, Turn> = Default::default();
    let mut other_node = 0;
    for i in order {
        let q = &queues[i];
        let free = |node: u32| -> Vec<usize> {
            (0..threads.len()).filter(|t| threads[*t].numa == node && !p.isolated[*t]).collect()
        };
        let mut node = q.numa;
        if free(node).is_empty() {
            let others: Vec<u32> = nodes.iter().copied().filter(|n| !free(*n).is_empty()).collect();
            let Some(&n) = others.get(other_node % others.len().max(1)) else {
                p.log.push((
                    true,
                    format!(
                        "No available pmd thread for port '{}' rx queue {}. Queue will not be polled.",
                        q.port, q.id
                    ),
                ));
                continue;
            };
            other_node += 1;
            p.log.push((false, format!(
                "There's no available (non-isolated) pmd thread on numa node {node}. Port '{}' rx queue {} will be assigned to a pmd on numa node {n}. This may lead to reduced performance.",
                q.port, q.id
            )));
            node = n;
        }
        let choices = free(node);
        let at = match how {
            Assign::Group => choices.iter().copied().min_by_key(|t| (load[*t], count[*t])),
            _ => {
                let turn = turns.entry(node).or_insert(Turn { next: 0, back: false });
                choices.get(turn.take(choices.len(), how == Assign::Cycles)).copied()
            }
        };
        let Some(at) = at else { continue };
        load[at] += q.cycles;
        count[at] += 1;
        p.threads[i] = Some(at);
        let measured = if how == Assign::RoundRobin {
            String::new()
        } else {
            format!(" (measured processing cycles {})", q.cycles)
        };
        p.log.push((
            false,
            format!(
                "Core {:2} on numa node {} assigned port '{}' rx queue {}{measured}.",
                threads[at].core, threads[at].numa, q.port, q.id
            ),
        ));
    }
    p
}

/// How even the threads' work is: the variance of their shares.
#[must_use]
pub fn variance(loads: &[u64]) -> u64 {
    if loads.is_empty() {
        return 0;
    }
    let mean = loads.iter().sum::<u64>() / loads.len() as u64;
    loads.iter().map(|l| l.abs_diff(mean).pow(2)).sum::<u64>() / loads.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(numas: &[u32]) -> Vec<Place> {
        numas.iter().enumerate().map(|(i, numa)| Place { core: i as u32, numa: *numa }).collect()
    }

    fn queues(list: &[(&str, u32, u32, u64)]) -> Vec<Queue> {
        let one = |&(port, id, numa, cycles): &(&str, u32, u32, u64)| Queue {
            port: port.into(),
            id,
            numa,
            pinned: None,
            cycles,
        };
        list.iter().map(one).collect()
    }

    #[track_caller]
    fn check(threads: &[Place], queues: &[Queue], how: Assign, expect: &[usize]) {
        let got: Vec<usize> = plan(threads, queues, how, true).threads.iter().map(|t| t.unwrap_or(99)).collect();
        assert_eq!(got, expect, "{how:?}");
    }

    #[test]
    fn queues_without_history() {
        let q = queues(&[
            ("p1", 0, 0, 0),
            ("p1", 1, 0, 0),
            ("p1", 2, 0, 0),
            ("p1", 3, 0, 0),
            ("p1", 4, 0, 0),
            ("p2", 0, 1, 0),
            ("p2", 1, 1, 0),
            ("p2", 2, 1, 0),
        ]);
        let both = places(&[0, 0, 0, 1]);
        check(&both, &q, Assign::Cycles, &[0, 1, 2, 2, 1, 3, 3, 3]);
        check(&both, &q, Assign::RoundRobin, &[0, 1, 2, 0, 1, 3, 3, 3]);
        check(&both, &q, Assign::Group, &[0, 1, 2, 0, 1, 3, 3, 3]);
        let one = places(&[0, 0, 0]);
        check(&one, &q, Assign::Cycles, &[0, 1, 2, 2, 1, 0, 0, 1]);
        check(&one, &q, Assign::Group, &[0, 1, 2, 0, 1, 2, 0, 1]);
        check(&[], &q[..1], Assign::Cycles, &[99]);
    }

    #[test]
    fn work_counts() {
        let q = queues(&[("p", 0, 0, 10), ("p", 1, 0, 100), ("p", 2, 0, 50), ("p", 3, 0, 40)]);
        let two = places(&[0, 0]);
        check(&two, &q, Assign::Cycles, &[0, 0, 1, 1]);
        check(&two, &q, Assign::Group, &[1, 0, 1, 1]);
        check(&two, &q, Assign::RoundRobin, &[0, 1, 0, 1]);
    }

    #[test]
    fn pinned_queues_isolate() {
        let mut q = queues(&[("p1", 0, 0, 0), ("p1", 1, 0, 0), ("p2", 0, 0, 0)]);
        q[2].pinned = Some(1);
        let two = places(&[0, 0]);
        assert_eq!(plan(&two, &q, Assign::Cycles, true).threads, [Some(0), Some(0), Some(1)]);
        assert_eq!(plan(&two, &q, Assign::Cycles, true).isolated, [false, true]);
        assert_eq!(plan(&two, &q, Assign::Cycles, false).threads, [Some(0), Some(1), Some(1)]);
        q[2].pinned = Some(7);
        let p = plan(&two, &q, Assign::Cycles, true);
        assert_eq!(p.threads, [Some(0), Some(1), Some(1)]);
        assert!(p.log[0].0 && p.log[0].1.starts_with("Core  7 cannot be pinned with port 'p2' rx queue 0."));
    }

    #[test]
    fn evenness() {
        assert_eq!(variance(&[]), 0);
        assert_eq!(variance(&[50, 50]), 0);
        assert_eq!(variance(&[100, 0]), 2500);
    }
}
