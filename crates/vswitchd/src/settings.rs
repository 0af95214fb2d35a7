//! Numbers of `Open_vSwitch:other_config` (ovs-vswitchd.conf.db(5)).

use crate::app::App;
use crate::backer::DEFAULT_VLAN_LIMIT;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use switch::revalidate::{INTERVAL, MAX_IDLE};
use switch::upcall::DEFAULT_FLOW_LIMIT;

/// The numbers. What is no number, or too small, counts as the default or as the least allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// `flow-limit`: most flows in a datapath.
    pub flow_limit: u64,
    /// `max-idle`: time without a packet after which a flow leaves the datapath.
    pub max_idle: Duration,
    /// `max-revalidator`: longest time between two looks at the flows.
    pub max_revalidator: Duration,
    /// `vlan-limit`: tags that can be matched; 0 for as many as the datapath can.
    pub vlan_limit: u32,
    /// `stats-update-interval`: time between two writes of statistics to the database.
    pub stats_interval: Duration,
    /// `bundle-idle-timeout`: time after which an OpenFlow bundle that nothing is done to is given up.
    pub bundle_idle: Duration,
}

impl Settings {
    /// Reads `other_config`.
    pub fn read(other_config: &BTreeMap<String, String>) -> Settings {
        let number = |key: &str| other_config.get(key).and_then(|text| text.parse::<u64>().ok());
        let millis = |key: &str, default: Duration, least: u64| {
            number(key).map_or(default, |ms| Duration::from_millis(ms.max(least)))
        };
        Settings {
            flow_limit: number("flow-limit").unwrap_or(DEFAULT_FLOW_LIMIT),
            max_idle: millis("max-idle", MAX_IDLE, 500),
            max_revalidator: millis("max-revalidator", INTERVAL, 100),
            vlan_limit: number("vlan-limit").map_or(DEFAULT_VLAN_LIMIT, |n| u32::try_from(n).unwrap_or(u32::MAX)),
            stats_interval: millis("stats-update-interval", Duration::from_secs(5), 5000),
            bundle_idle: Duration::from_secs(number("bundle-idle-timeout").unwrap_or(10).max(1)),
        }
    }

    /// Tells the datapaths and bridges.
    pub fn apply(&self, app: &Rc<App>) {
        let mut state = app.state.borrow_mut();
        for backer in state.backers.values_mut() {
            let upcalls = &backer.upcalls;
            upcalls.max_idle_ms.store(self.max_idle.as_millis() as u64, Relaxed);
            upcalls.max_wait_ms.store(self.max_revalidator.min(self.max_idle).as_millis() as u64, Relaxed);
            if upcalls.max_flow_limit.swap(self.flow_limit, Relaxed) != self.flow_limit {
                // The limit in use goes on from where it is, but for one that is too large.
                upcalls.flow_limit.fetch_min(self.flow_limit, Relaxed);
            }
            if backer.set_vlan_limit(self.vlan_limit) {
                backer.upcalls.changed(switch::upcall::Reason::Reconfigure);
            }
        }
        state.bridges.values_mut().for_each(|entry| entry.bridge.bundle_idle_timeout = self.bundle_idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_other_config() {
        let read = |pairs: &[(&str, &str)]| {
            Settings::read(&pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
        };
        let default = read(&[]);
        assert_eq!(default.flow_limit, 200_000);
        assert_eq!(default.vlan_limit, 1);
        assert_eq!(read(&[("max-idle", "x")]), default);
        assert_eq!(read(&[("max-idle", "1")]).max_idle, Duration::from_millis(500));
        assert_eq!(read(&[("max-revalidator", "200")]).max_revalidator, Duration::from_millis(200));
        assert_eq!(read(&[("stats-update-interval", "6000")]).stats_interval, Duration::from_secs(6));
        assert_eq!(read(&[("stats-update-interval", "10")]).stats_interval, Duration::from_secs(5));
        assert_eq!(read(&[("bundle-idle-timeout", "0")]).bundle_idle, Duration::from_secs(1));
        assert_eq!(read(&[("vlan-limit", "0")]).vlan_limit, 0);
    }
}
