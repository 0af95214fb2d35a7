//! The log modules. Names are the original's, since operators write them in `vlog/set` and in log filters.

macro_rules! modules {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A part of the program whose messages can be turned up or down by its own.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Module { $($(#[$doc])* $variant,)* }
        const ALL: &[Module] = &[$(Module::$variant,)*];
        pub(super) const NAMES: &[&str] = &[$($name,)*];
    };
}

modules! {
    /// Module `backtrace`.
    Backtrace = "backtrace",
    /// Module `bfd`.
    Bfd = "bfd",
    /// Module `bond`.
    Bond = "bond",
    /// Bridges made to match the database.
    Bridge = "bridge",
    /// Module `bundle`.
    Bundle = "bundle",
    /// Module `bundles`.
    Bundles = "bundles",
    /// Module `cfm`.
    Cfm = "cfm",
    /// Module `collectors`.
    Collectors = "collectors",
    /// Module `command_line`.
    CommandLine = "command_line",
    /// Controllers and their connections.
    Connmgr = "connmgr",
    /// Module `conntrack`.
    Conntrack = "conntrack",
    /// Module `conntrack_tp`.
    ConntrackTp = "conntrack_tp",
    /// Module `cooperative_multitasking`.
    CooperativeMultitasking = "cooperative_multitasking",
    /// Module `coverage`.
    Coverage = "coverage",
    /// Module `ct_dpif`.
    CtDpif = "ct_dpif",
    /// Daemonizing.
    Daemon = "daemon",
    /// Pidfiles and processes.
    DaemonUnix = "daemon_unix",
    /// Database commands of the tools.
    DbCtlBase = "db_ctl_base",
    /// Module `dns_resolve`.
    DnsResolve = "dns_resolve",
    /// Module `dp_packet_gso`.
    DpPacketGso = "dp_packet_gso",
    /// Module `dpctl`.
    Dpctl = "dpctl",
    /// Module `dpdk`.
    Dpdk = "dpdk",
    /// Module `dpif`.
    Dpif = "dpif",
    /// Module `dpif_netdev`.
    DpifNetdev = "dpif_netdev",
    /// Module `dpif_netdev_dpcls`.
    DpifNetdevDpcls = "dpif_netdev_dpcls",
    /// Module `dpif_netlink`.
    DpifNetlink = "dpif_netlink",
    /// Module `dpif_netlink_rtnl`.
    DpifNetlinkRtnl = "dpif_netlink_rtnl",
    /// Module `dpif_offload`.
    DpifOffload = "dpif_offload",
    /// Module `entropy`.
    Entropy = "entropy",
    /// Module `fail_open`.
    FailOpen = "fail_open",
    /// Signals that end the process.
    FatalSignal = "fatal_signal",
    /// Module `flow`.
    Flow = "flow",
    /// Module `hmap`.
    Hmap = "hmap",
    /// Module `in_band`.
    InBand = "in_band",
    /// Module `ipf`.
    Ipf = "ipf",
    /// Module `ipfix`.
    Ipfix = "ipfix",
    /// JSON-RPC sessions.
    Jsonrpc = "jsonrpc",
    /// Module `jsonrpc_server`.
    JsonrpcServer = "jsonrpc_server",
    /// Module `lacp`.
    Lacp = "lacp",
    /// Module `lldp`.
    Lldp = "lldp",
    /// Module `lockfile`.
    Lockfile = "lockfile",
    /// Memory use.
    Memory = "memory",
    /// Module `meta_flow`.
    MetaFlow = "meta_flow",
    /// Module `native_tnl`.
    NativeTnl = "native_tnl",
    /// Module `netdev`.
    Netdev = "netdev",
    /// Module `netdev_afxdp`.
    NetdevAfxdp = "netdev_afxdp",
    /// Module `netdev_dummy`.
    NetdevDummy = "netdev_dummy",
    /// Linux network devices.
    NetdevLinux = "netdev_linux",
    /// Module `netdev_offload`.
    NetdevOffload = "netdev_offload",
    /// Module `netdev_vport`.
    NetdevVport = "netdev_vport",
    /// Module `netflow`.
    Netflow = "netflow",
    /// Module `netlink`.
    Netlink = "netlink",
    /// Module `netlink_conntrack`.
    NetlinkConntrack = "netlink_conntrack",
    /// Module `netlink_notifier`.
    NetlinkNotifier = "netlink_notifier",
    /// Module `netlink_socket`.
    NetlinkSocket = "netlink_socket",
    /// Module `nx_match`.
    NxMatch = "nx_match",
    /// Module `odp_execute`.
    OdpExecute = "odp_execute",
    /// Module `odp_util`.
    OdpUtil = "odp_util",
    /// Module `ofctl`.
    Ofctl = "ofctl",
    /// Module `ofp_actions`.
    OfpActions = "ofp_actions",
    /// Module `ofp_bundle`.
    OfpBundle = "ofp_bundle",
    /// Module `ofp_connection`.
    OfpConnection = "ofp_connection",
    /// Module `ofp_ct`.
    OfpCt = "ofp_ct",
    /// Module `ofp_errors`.
    OfpErrors = "ofp_errors",
    /// Module `ofp_flow`.
    OfpFlow = "ofp_flow",
    /// Module `ofp_group`.
    OfpGroup = "ofp_group",
    /// Module `ofp_match`.
    OfpMatch = "ofp_match",
    /// Module `ofp_meter`.
    OfpMeter = "ofp_meter",
    /// Module `ofp_monitor`.
    OfpMonitor = "ofp_monitor",
    /// Module `ofp_msgs`.
    OfpMsgs = "ofp_msgs",
    /// Module `ofp_packet`.
    OfpPacket = "ofp_packet",
    /// Module `ofp_port`.
    OfpPort = "ofp_port",
    /// Module `ofp_protocol`.
    OfpProtocol = "ofp_protocol",
    /// Module `ofp_queue`.
    OfpQueue = "ofp_queue",
    /// Module `ofp_table`.
    OfpTable = "ofp_table",
    /// Module `ofp_util`.
    OfpUtil = "ofp_util",
    /// OpenFlow switches.
    Ofproto = "ofproto",
    /// Module `ofproto_dpif`.
    OfprotoDpif = "ofproto_dpif",
    /// Module `ofproto_dpif_mirror`.
    OfprotoDpifMirror = "ofproto_dpif_mirror",
    /// Module `ofproto_dpif_monitor`.
    OfprotoDpifMonitor = "ofproto_dpif_monitor",
    /// Module `ofproto_dpif_rid`.
    OfprotoDpifRid = "ofproto_dpif_rid",
    /// Module `ofproto_dpif_upcall`.
    OfprotoDpifUpcall = "ofproto_dpif_upcall",
    /// Module `ofproto_dpif_xlate`.
    OfprotoDpifXlate = "ofproto_dpif_xlate",
    /// Module `ofproto_xlate_cache`.
    OfprotoXlateCache = "ofproto_xlate_cache",
    /// Module `ovs_lldp`.
    OvsLldp = "ovs_lldp",
    /// Module `ovs_numa`.
    OvsNuma = "ovs_numa",
    /// Module `ovs_rcu`.
    OvsRcu = "ovs_rcu",
    /// Module `ovs_replay`.
    OvsReplay = "ovs_replay",
    /// Module `ovs_router`.
    OvsRouter = "ovs_router",
    /// Module `ovs_thread`.
    OvsThread = "ovs_thread",
    /// Module `ovsdb_client`.
    OvsdbClient = "ovsdb_client",
    /// Module `ovsdb_cs`.
    OvsdbCs = "ovsdb_cs",
    /// Module `ovsdb_error`.
    OvsdbError = "ovsdb_error",
    /// Module `ovsdb_file`.
    OvsdbFile = "ovsdb_file",
    /// Module `ovsdb_idl`.
    OvsdbIdl = "ovsdb_idl",
    /// Module `ovsdb_jsonrpc_server`.
    OvsdbJsonrpcServer = "ovsdb_jsonrpc_server",
    /// Module `ovsdb_log`.
    OvsdbLog = "ovsdb_log",
    /// Module `ovsdb_relay`.
    OvsdbRelay = "ovsdb_relay",
    /// The database server.
    OvsdbServer = "ovsdb_server",
    /// Module `ovsdb_tool`.
    OvsdbTool = "ovsdb_tool",
    /// Module `ox_stat`.
    OxStat = "ox_stat",
    /// Module `pcap`.
    Pcap = "pcap",
    /// Module `pmd_perf`.
    PmdPerf = "pmd_perf",
    /// Module `poll_loop`.
    PollLoop = "poll_loop",
    /// Module `process`.
    Process = "process",
    /// Module `raft`.
    Raft = "raft",
    /// Module `rconn`.
    Rconn = "rconn",
    /// Connections opened, closed and probed.
    Reconnect = "reconnect",
    /// Module `replication`.
    Replication = "replication",
    /// Module `route_table`.
    RouteTable = "route_table",
    /// Module `rstp`.
    Rstp = "rstp",
    /// Module `rstp_sm`.
    RstpSm = "rstp_sm",
    /// Module `sflow`.
    Sflow = "sflow",
    /// Module `sha1`.
    Sha1 = "sha1",
    /// Module `signals`.
    Signals = "signals",
    /// Module `socket_util`.
    SocketUtil = "socket_util",
    /// Module `socket_util_unix`.
    SocketUtilUnix = "socket_util_unix",
    /// Module `storage`.
    Storage = "storage",
    /// Module `stp`.
    Stp = "stp",
    /// Module `stream`.
    Stream = "stream",
    /// Module `stream_fd`.
    StreamFd = "stream_fd",
    /// Module `stream_replay`.
    StreamReplay = "stream_replay",
    /// Module `stream_ssl`.
    StreamSsl = "stream_ssl",
    /// Module `stream_tcp`.
    StreamTcp = "stream_tcp",
    /// Module `stream_unix`.
    StreamUnix = "stream_unix",
    /// Module `svec`.
    Svec = "svec",
    /// Module `system_stats`.
    SystemStats = "system_stats",
    /// Module `tc`.
    Tc = "tc",
    /// Module `timeval`.
    Timeval = "timeval",
    /// Module `transaction`.
    Transaction = "transaction",
    /// Module `trigger`.
    Trigger = "trigger",
    /// Module `tunnel`.
    Tunnel = "tunnel",
    /// Control sockets.
    Unixctl = "unixctl",
    /// Module `userspace_tso`.
    UserspaceTso = "userspace_tso",
    /// Module `util`.
    Util = "util",
    /// Module `uuid`.
    Uuid = "uuid",
    /// Module `vconn`.
    Vconn = "vconn",
    /// Module `vconn_stream`.
    VconnStream = "vconn_stream",
    /// Logging itself.
    Vlog = "vlog",
    /// Module `vsctl`.
    Vsctl = "vsctl",
    /// The switch daemon.
    Vswitchd = "vswitchd",
    /// Module `vtep_ctl`.
    VtepCtl = "vtep_ctl",
    /// The demonstration.
    Demo = "demo",
}

impl Module {
    /// The module's name.
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// The module called `name`, whatever the case, with `-` and `_` alike.
    pub fn parse(name: &str) -> Option<Module> {
        let at = NAMES.iter().position(|n| n.len() == name.len() && n.eq_ignore_ascii_case(&name.replace('-', "_")))?;
        Some(ALL[at])
    }
}
