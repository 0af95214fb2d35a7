//! Event counters: the one kind of global state. Read by `coverage/show` and `coverage/read-counter`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// An event worth counting. Names are the original's where it counts the same event.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Counter { $($(#[$doc])* $variant,)* }
        const NAMES: &[&str] = &[$($name,)*];
    };
}

counters! {
    /// A meter dropped a packet.
    DropMeter = "datapath_drop_meter",
    /// A packet was sent to a port that is not there.
    DropInvalidPort = "datapath_drop_invalid_port",
    /// A packet had no NSH header that could be taken off.
    DropNshDecap = "datapath_drop_nsh_decap_error",
    /// A packet recirculated too often.
    DropRecirculation = "datapath_drop_recirc_error",
    /// Nobody could handle a packet that no flow matched.
    DropUpcall = "datapath_drop_upcall_error",
    /// An OpenFlow pipeline dropped a packet.
    DropPipeline = "drop_action_of_pipeline",
    /// A bridge on a packet's way was not there.
    DropBridgeNotFound = "drop_action_bridge_not_found",
    /// Translation of a packet was too deep.
    DropRecursion = "drop_action_recursion_too_deep",
    /// Translation of a packet met too many resubmits.
    DropResubmits = "drop_action_too_many_resubmit",
    /// A packet's stack grew too deep.
    DropStack = "drop_action_stack_too_deep",
    /// A packet would have got too many MPLS labels.
    DropMplsLabels = "drop_action_too_many_mpls_labels",
    /// A packet's type does not go with what was to be done.
    DropPacketType = "drop_action_unsupported_packet_type",
    /// A congested packet could not be marked.
    DropCongestion = "drop_action_congestion",
    /// A port does not forward.
    DropForwarding = "drop_action_forwarding_disabled",
    /// The switch was made to match a changed database.
    BridgeReconfigure = "bridge_reconfigure",
    /// An OpenFlow port was added, changed or removed.
    OfprotoUpdatePort = "ofproto_update_port",
    /// All flows of a bridge were dropped.
    OfprotoFlush = "ofproto_flush",
    /// Packet-ins were dropped because the controller's queue was full.
    OfprotoPacketOut = "ofproto_packet_out",
    /// An OpenFlow message was received.
    VconnReceived = "vconn_received",
    /// An OpenFlow message was sent.
    VconnSent = "vconn_sent",
    /// An OpenFlow connection was opened.
    VconnOpen = "vconn_open",
    /// A packet missed the datapath's flow table.
    UpcallMiss = "dpif_upcall_miss",
    /// A datapath flow was installed.
    DpifFlowPut = "dpif_flow_put",
    /// A datapath flow could not be installed.
    DpifFlowPutError = "dpif_flow_put_error",
    /// A datapath flow was removed.
    DpifFlowDel = "dpif_flow_del",
    /// The datapath's flows were all removed.
    DpifFlowFlush = "dpif_flow_flush",
    /// A port was added to a datapath.
    DpifPortAdd = "dpif_port_add",
    /// A port was removed from a datapath.
    DpifPortDel = "dpif_port_del",
    /// A packet was executed through a datapath.
    DpifExecute = "dpif_execute",
    /// A packet could not be executed through a datapath.
    DpifExecuteError = "dpif_execute_error",
    /// A netlink socket was full, and messages were lost.
    NetlinkOverflow = "netlink_overflow",
    /// Datapath flows were checked against the tables.
    RevalidatorRun = "revalidator_run",
    /// Revalidation after a change of OpenFlow tables.
    RevFlowTable = "rev_flow_table",
    /// Revalidation after a change of the bridge's configuration.
    RevReconfigure = "rev_reconfigure",
    /// Revalidation after a MAC address moved.
    RevMacLearning = "rev_mac_learning",
    /// Revalidation after a port went up or down.
    RevPortToggled = "rev_port_toggled",
    /// A MAC address was learned.
    MacLearned = "mac_learning_learned",
    /// A MAC address timed out.
    MacExpired = "mac_learning_expired",
    /// A packet for controllers was lost because too many waited.
    PacketInOverflow = "packet_in_overflow",
    /// A control-socket request was received.
    UnixctlReceived = "unixctl_received",
    /// A control-socket request was answered.
    UnixctlReplied = "unixctl_replied",
}

const N: usize = NAMES.len();
static TOTALS: [AtomicU64; N] = [const { AtomicU64::new(0) }; N];

impl Counter {
    /// Counts one event.
    pub fn hit(self) {
        self.add(1);
    }

    /// Counts `n` events.
    pub fn add(self, n: u64) {
        TOTALS[self as usize].fetch_add(n, Ordering::Relaxed);
    }
}

/// The total of the counter called `name`. A name of the original that this project has no event for counts as zero events.
pub fn read(name: &str) -> Option<u64> {
    match NAMES.iter().position(|n| *n == name) {
        Some(i) => Some(TOTALS[i].load(Ordering::Relaxed)),
        None => ORIGINAL_NAMES.contains(&name).then_some(0),
    }
}

/// Totals sampled every five seconds, for rates over the last 5 s, minute and hour.
struct Samples {
    ring: Vec<[u64; N]>,
    next: usize,
}

const PERIODS_PER_HOUR: usize = 720;
static SAMPLES: Mutex<Samples> = Mutex::new(Samples { ring: vec![], next: 0 });

/// Takes a sample; call it every five seconds.
pub fn sample() {
    let now = std::array::from_fn(|i| TOTALS[i].load(Ordering::Relaxed));
    let mut s = SAMPLES.lock().unwrap_or_else(|e| e.into_inner());
    if s.ring.len() < PERIODS_PER_HOUR + 1 {
        s.ring.push(now);
        s.next = s.ring.len() % (PERIODS_PER_HOUR + 1);
    } else {
        let at = s.next;
        s.ring[at] = now;
        s.next = (at + 1) % (PERIODS_PER_HOUR + 1);
    }
}

/// What `coverage/show` prints.
pub fn show() -> String {
    let s = SAMPLES.lock().unwrap_or_else(|e| e.into_inner());
    let len = s.ring.len();
    // The sample taken `periods` before the newest; counters began at zero before the first.
    let ago = |periods: usize, i: usize| -> u64 {
        if len == 0 || periods >= len {
            return 0;
        }
        let newest = if len <= PERIODS_PER_HOUR { len - 1 } else { (s.next + len - 1) % len };
        s.ring[(newest + len - periods) % len][i]
    };
    let mut out = String::new();
    let mut never = 0;
    let mut hash: u32 = 0x811c_9dc5;
    for (i, name) in NAMES.iter().enumerate() {
        let total = TOTALS[i].load(Ordering::Relaxed);
        hash = (hash ^ u32::from(total > 0)).wrapping_mul(0x0100_0193);
        if total == 0 {
            never += 1;
            continue;
        }
        let newest = ago(0, i);
        let rate = |periods: usize| (newest - ago(periods, i)) as f64 / (periods * 5) as f64;
        out.push_str(&format!(
            "{name:<24} {:5.1}/sec {:9.3}/sec {:13.4}/sec   total: {total}\n",
            rate(1),
            rate(12),
            rate(720)
        ));
    }
    format!(
        "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash={hash:08x}:\n{out}{never} events never hit\n"
    )
}

/// The counters as JSON: name to total, all of them.
pub fn to_json() -> serde_json::Value {
    NAMES
        .iter()
        .enumerate()
        .map(|(i, n)| (n.to_string(), serde_json::Value::from(TOTALS[i].load(Ordering::Relaxed))))
        .collect()
}

/// Names that monitoring scripts ask the original for and that name nothing that can happen here.
const ORIGINAL_NAMES: &[&str] = &[
    "bundle_add",
    "ccmap_expand",
    "ccmap_shrink",
    "cmap_expand",
    "cmap_shrink",
    "datapath_drop_invalid_bond",
    "datapath_drop_invalid_tnl_port",
    "datapath_drop_lock_error",
    "datapath_drop_rx_invalid_packet",
    "datapath_drop_sample_error",
    "datapath_drop_tunnel_pop_error",
    "datapath_drop_tunnel_push_error",
    "datapath_drop_userspace_action_error",
    "drop_action_inconsistency",
    "drop_action_tag_mismatch",
    "dpif_destroy",
    "dpif_execute_with_help",
    "dpif_flow_get",
    "dpif_flow_get_error",
    "dpif_meter_del",
    "dpif_meter_set",
    "dpif_purge",
    "dumped_duplicate_flow",
    "dumped_inconsistent_flow",
    "dumped_new_flow",
    "flow_extract",
    "handler_duplicate_upcall",
    "hmap_expand",
    "hmap_pathological",
    "hmap_reserve",
    "hmap_shrink",
    "mac_learning_evicted",
    "mac_learning_moved",
    "mac_learning_static_none_move",
    "miniflow_malloc",
    "netdev_add_router",
    "netdev_arp_lookup",
    "netdev_get_ethtool",
    "netdev_get_hwaddr",
    "netdev_get_stats",
    "netdev_received",
    "netdev_sent",
    "netdev_set_policing",
    "netlink_received",
    "netlink_sent",
    "nln_changed",
    "ofproto_dpif_expired",
    "ofproto_queue_req",
    "ofproto_recv_openflow",
    "ofproto_reinit_ports",
    "poll_create_node",
    "poll_zero_timeout",
    "rconn_discarded",
    "rconn_overflow",
    "rconn_queued",
    "rconn_sent",
    "rev_bond",
    "rev_forced",
    "rev_lacp",
    "rev_mcast_snooping",
    "rev_rstp",
    "rev_stp",
    "revalidate_missed_dp_flow",
    "revalidate_missing_dp_flow",
    "route_table_dump",
    "seq_change",
    "txn_aborted",
    "txn_error",
    "txn_incomplete",
    "txn_success",
    "txn_try_again",
    "txn_unchanged",
    "txn_uncommitted",
    "ukey_dp_change",
    "ukey_invalid_stat_reset",
    "ukey_replace_contention",
    "upcall_flow_limit_hit",
    "upcall_flow_limit_kill",
    "upcall_flow_limit_reduced",
    "upcall_flow_limit_scaled",
    "upcall_ukey_contention",
    "upcall_ukey_replace",
    "util_xalloc",
    "vconn_sent",
    "xlate_actions",
    "xlate_actions_oversize",
    "xlate_actions_too_many_output",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_readable() {
        for (i, n) in NAMES.iter().enumerate() {
            assert!(!NAMES[..i].contains(n), "{n} twice");
            assert!(read(n).is_some());
        }
        assert_eq!(read("upcall_flow_limit_hit"), Some(0));
        assert_eq!(read("no_such_thing"), None);
    }

    #[test]
    fn a_hit_shows() {
        Counter::BridgeReconfigure.add(3);
        sample();
        let s = show();
        assert!(s.contains("bridge_reconfigure"), "{s}");
        assert!(s.trim_end().ends_with("events never hit"), "{s}");
    }
}
