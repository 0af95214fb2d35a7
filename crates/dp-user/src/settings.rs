//! What users set: `other_config` of the `Open_vSwitch` row, of interfaces, and their defaults.

use crate::rxq::Assign;
use std::collections::BTreeMap;

/// Settings of polling threads and caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Cores that polling threads may run on (`pmd-cpu-mask`); `None`: one of each NUMA node.
    pub cores: Option<Vec<u32>>,
    /// How queues are shared out (`pmd-rxq-assign`); `Err`: a name that is none.
    pub assign: Result<Assign, ()>,
    /// Threads with pinned queues get no others (`pmd-rxq-isolate`).
    pub isolate: bool,
    /// Longest sleep in microseconds (`pmd-sleep-max`), and those of single cores.
    pub sleep: u64,
    /// Core, microseconds.
    pub sleep_of: BTreeMap<u32, u64>,
    /// One of so many new flows goes into the exact-match cache (`emc-insert-inv-prob`); 0: none.
    pub emc_inverse: u32,
    /// The signature cache is wanted as such (`smc-enable`).
    pub smc: bool,
    /// Microseconds that packets may wait to be sent together (`tx-flush-interval`).
    pub tx_flush: u32,
    /// `pmd-perf-metrics`, which counts in any case.
    pub perf_metrics: bool,
    /// Share queues out anew when that would help (`pmd-auto-lb`).
    pub auto_balance: bool,
    /// Percent of a thread's time above which it counts as overloaded (`pmd-auto-lb-load-threshold`).
    pub balance_load: u8,
    /// Percent by which the variance has to go down (`pmd-auto-lb-improvement-threshold`).
    pub balance_gain: u8,
    /// Minutes between looks (`pmd-auto-lb-rebal-interval`).
    pub balance_minutes: u32,
}

/// Probability with which the original puts flows into its exact-match cache.
const EMC_INVERSE: u32 = 100;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            cores: None,
            assign: Ok(Assign::Cycles),
            isolate: true,
            sleep: 0,
            sleep_of: BTreeMap::new(),
            emc_inverse: EMC_INVERSE,
            smc: false,
            tx_flush: 0,
            perf_metrics: false,
            auto_balance: false,
            balance_load: 95,
            balance_gain: 25,
            balance_minutes: 1,
        }
    }
}

/// Cores of a hexadecimal mask, `0x` or not; `None` for what is not one or has no bit.
#[must_use]
pub fn cores(mask: &str) -> Option<Vec<u32>> {
    let digits = mask.strip_prefix("0x").or_else(|| mask.strip_prefix("0X")).unwrap_or(mask);
    let mut out = vec![];
    for (i, c) in digits.chars().rev().enumerate() {
        let value = c.to_digit(16)?;
        out.extend((0..4).filter(|b| value >> b & 1 != 0).map(|b| 4 * i as u32 + b));
    }
    (!out.is_empty()).then_some(out)
}

/// `50` or `50,1:10,3:0`: microseconds, and those of cores.
fn sleeps(s: &str) -> (u64, BTreeMap<u32, u64>) {
    /// Longest sleep that may be asked for.
    const MOST: u64 = 10_000;
    let (mut all, mut of) = (0, BTreeMap::new());
    for part in s.split(',').map(str::trim) {
        match part.split_once(':') {
            Some((core, us)) => {
                if let (Ok(core), Ok(us)) = (core.trim().parse(), us.trim().parse::<u64>()) {
                    of.insert(core, us.min(MOST));
                }
            }
            None => all = part.parse::<u64>().map_or(all, |us| us.min(MOST)),
        }
    }
    (all, of)
}

impl Settings {
    /// From `Open_vSwitch:other_config`. Values that make no sense count as not set.
    #[must_use]
    pub fn parse(get: impl Fn(&str) -> Option<String>) -> Settings {
        let mut s = Settings::default();
        let number = |key: &str| get(key).and_then(|v| v.trim().parse::<u64>().ok());
        let flag = |key: &str, default: bool| get(key).map_or(default, |v| v == "true");
        s.cores = get("pmd-cpu-mask").and_then(|m| cores(&m));
        s.assign = get("pmd-rxq-assign").map_or(Ok(Assign::Cycles), |a| Assign::parse(&a).ok_or(()));
        s.isolate = flag("pmd-rxq-isolate", true);
        if let Some(text) = get("pmd-sleep-max") {
            (s.sleep, s.sleep_of) = sleeps(&text);
        }
        s.emc_inverse = number("emc-insert-inv-prob").and_then(|n| u32::try_from(n).ok()).unwrap_or(EMC_INVERSE);
        s.smc = flag("smc-enable", false);
        s.tx_flush = number("tx-flush-interval").map_or(0, |n| n.min(1_000_000) as u32);
        s.perf_metrics = flag("pmd-perf-metrics", false);
        s.auto_balance = flag("pmd-auto-lb", false);
        let percent = |key: &str, default: u8| number(key).filter(|n| *n <= 100).map_or(default, |n| n as u8);
        s.balance_load = percent("pmd-auto-lb-load-threshold", 95);
        s.balance_gain = percent("pmd-auto-lb-improvement-threshold", 25);
        s.balance_minutes = number("pmd-auto-lb-rebal-interval").map_or(1, |n| n.clamp(1, 20_000) as u32);
        s
    }
}

/// Settings of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSettings {
    /// Core of each queue that has one (`pmd-rxq-affinity`, `0:3,1:7`).
    pub affinity: BTreeMap<u32, u32>,
}

impl PortSettings {
    /// From `Interface:other_config`.
    #[must_use]
    pub fn parse(get: impl Fn(&str) -> Option<String>) -> PortSettings {
        let text = get("pmd-rxq-affinity").unwrap_or_default();
        let pair = |p: &str| {
            let (queue, core) = p.trim().split_once(':')?;
            Some((queue.trim().parse().ok()?, core.trim().parse().ok()?))
        };
        PortSettings { affinity: text.split(',').filter_map(pair).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        assert_eq!(cores("0x6"), Some(vec![1, 2]));
        assert_eq!(cores("80000001"), Some(vec![0, 31]));
        assert_eq!(cores("0"), None);
        assert_eq!(cores("0xzz"), None);
    }

    #[test]
    fn from_the_database() {
        let set: BTreeMap<&str, &str> = [
            ("pmd-cpu-mask", "3"),
            ("pmd-rxq-assign", "group"),
            ("pmd-sleep-max", "50,1:10,x"),
            ("emc-insert-inv-prob", "0"),
            ("smc-enable", "true"),
        ]
        .into();
        let s = Settings::parse(|k| set.get(k).map(|v| v.to_string()));
        assert_eq!((s.cores, s.assign), (Some(vec![0, 1]), Ok(Assign::Group)));
        assert_eq!((s.sleep, s.sleep_of), (50, [(1, 10)].into()));
        assert_eq!((s.emc_inverse, s.smc), (0, true));
        assert_eq!(Settings::parse(|_| None), Settings::default());
        let p = PortSettings::parse(|_| Some("0:3, 1:7,bad".into()));
        assert_eq!(p.affinity, [(0, 3), (1, 7)].into());
    }
}
