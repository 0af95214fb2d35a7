//! What the database wants: bridges, ports and interfaces, read from the rows into types that cannot be wrong.

use crate::mirrors::{self, MirrorConfig};
use idl::typed::Table;
use idl::{Change, Changed, Replica, vswitch};
use io::vlog::{Level, Module};
use openflow::Version;
use ovsdb_data::{Atom, Datum, Uuid};
use snapshot::SharedMap;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use switch::rate_limit::RateLimit;
use switch::table::Limits;
use wire::EthAddr;

/// All that the database wants of the switch.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Config {
    /// Bridges by name.
    pub bridges: BTreeMap<String, Rc<BridgeConfig>>,
    /// `Open_vSwitch:next_cfg`, to be written to `cur_cfg` once all is applied.
    pub next_cfg: i64,
    /// `Open_vSwitch:other_config`.
    pub other_config: BTreeMap<String, String>,
    /// Targets of managers with `connection_mode` other than `out-of-band`.
    pub managers: Vec<String>,
    /// `Open_vSwitch:ssl`: keys and certificates.
    pub tls: Option<io::tls::Settings>,
}

/// One row of `Bridge`.
#[derive(Clone, PartialEq, Debug)]
pub struct BridgeConfig {
    /// The row.
    pub uuid: Uuid,
    /// `datapath_type`, never empty.
    pub datapath_type: String,
    /// `other_config:datapath-id`, if it is valid.
    pub datapath_id: Option<u64>,
    /// `other_config:hwaddr`, if it is valid.
    pub hwaddr: Option<EthAddr>,
    /// `other_config:dp-desc`.
    pub dp_desc: Option<String>,
    /// `other_config:dp-sn`.
    pub dp_sn: Option<String>,
    /// `fail_mode=secure`.
    pub fail_secure: bool,
    /// Versions that controllers may speak, oldest first.
    pub protocols: Vec<Version>,
    /// `other_config:disable-in-band`.
    pub no_in_band: bool,
    /// `other_config:in-band-queue`.
    pub in_band_queue: Option<u32>,
    /// Controllers, by target.
    pub controllers: Vec<ControllerConfig>,
    /// Ports by name.
    pub ports: SharedMap<String, PortConfig>,
    /// The ports of interfaces, by the interfaces' names.
    pub interfaces: SharedMap<String, PortConfig>,
    /// `other_config:mac-aging-time`.
    pub mac_aging: Duration,
    /// `other_config:mac-table-size`.
    pub mac_table_size: usize,
    /// `other_config:forward-bpdu`.
    pub forward_bpdu: bool,
    /// `flood_vlans`.
    pub flood_vlans: Vec<u16>,
    /// `mirrors`.
    pub mirrors: Vec<MirrorConfig>,
    /// `flow_tables`, by number.
    pub flow_tables: BTreeMap<u8, Limits>,
}

/// One row of `Controller`.
#[derive(Clone, PartialEq, Debug)]
pub struct ControllerConfig {
    /// The row.
    pub uuid: Uuid,
    /// `target`.
    pub target: String,
    /// `inactivity_probe`; `None` for the default.
    pub inactivity_probe: Option<Duration>,
    /// `max_backoff`; `None` for the default.
    pub max_backoff: Option<Duration>,
    /// Packets for it are limited.
    pub rate: Option<RateLimit>,
    /// `type=service`: a controller from the database that is told nothing that it does not ask for.
    pub service: bool,
    /// `enable_async_messages` is not false.
    pub asynchronous: bool,
    /// `connection_mode` is not `out-of-band`.
    pub in_band: bool,
    /// `other_config:dscp`, or its default.
    pub dscp: u8,
}

/// How a port treats VLAN tags (`Port:vlan_mode`, or what `tag` and `trunks` imply).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VlanMode {
    /// One VLAN, no tag on the port.
    Access,
    /// Tagged packets of several VLANs.
    Trunk,
    /// A trunk that takes and sends untagged packets of one VLAN with a tag.
    NativeTagged,
    /// A trunk that takes and sends untagged packets of one VLAN.
    NativeUntagged,
    /// One VLAN around the customer's own tags.
    Dot1qTunnel,
}

/// Whether an access port sends priority tags (`Port:other_config:priority-tags`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PriorityTags {
    /// Never.
    Never,
    /// Where the priority is not zero.
    IfNonzero,
    /// Always.
    Always,
}

/// One row of `Port`.
#[derive(Clone, PartialEq, Debug)]
pub struct PortConfig {
    /// The row.
    pub uuid: Uuid,
    /// Name.
    pub name: String,
    /// VLAN mode.
    pub vlan_mode: VlanMode,
    /// The VLAN of untagged packets, 0 to 4095; 0 on a plain trunk.
    pub tag: u16,
    /// VLANs that a trunk carries; none means all.
    pub trunks: Vec<u16>,
    /// VLANs of the customer that a tunnel takes; none means all.
    pub cvlans: Vec<u16>,
    /// Ethernet type of the outer tag of a tunnel.
    pub qinq_ethtype: u16,
    /// Priority tags.
    pub priority_tags: PriorityTags,
    /// `protected`.
    pub protected: bool,
    /// Interfaces by name; more than one makes a bond.
    pub interfaces: BTreeMap<String, InterfaceConfig>,
}

/// One row of `Interface`.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// The row.
    pub uuid: Uuid,
    /// `type`, with `system` for the empty one, and `internal` for the bridge's own.
    pub kind: String,
    /// `ofport_request`, if it is a number that a port can have.
    pub ofport_request: Option<u32>,
    /// `ofport`, the number that the port had before a restart; it is no wish, so that it does not count when
    /// configurations are compared.
    pub ofport_before: Option<u32>,
    /// `mac`, if it is valid.
    pub mac: Option<EthAddr>,
    /// `mtu_request`.
    pub mtu_request: Option<u32>,
    /// `options`.
    pub options: BTreeMap<String, String>,
    /// `other_config`.
    pub other_config: BTreeMap<String, String>,
}

impl PartialEq for InterfaceConfig {
    fn eq(&self, other: &Self) -> bool {
        let wishes = |i: &Self| (i.uuid, i.ofport_request, i.mac, i.mtu_request);
        wishes(self) == wishes(other)
            && self.kind == other.kind
            && self.options == other.options
            && self.other_config == other.other_config
    }
}

/// What is wrong with rows, for the log.
#[derive(Debug, Default)]
pub struct Problems {
    /// What is wrong, how badly, and whom it concerns.
    pub list: Vec<(Module, Level, String)>,
}

impl Problems {
    /// Something is ignored.
    pub fn push(&mut self, what: String) {
        self.list.push((Module::Bridge, Level::Warn, what));
    }

    /// Something that was asked for cannot be.
    pub fn error(&mut self, what: String) {
        self.list.push((Module::Bridge, Level::Err, what));
    }
}

/// Datapath type of a bridge that names none.
pub const DEFAULT_DATAPATH_TYPE: &str = "system";

/// Columns that this daemon writes, and that say nothing of what is wanted.
const STATUS: &[(&str, &[&str])] = &[
    ("AutoAttach", &[]),
    ("Bridge", &["datapath_id", "datapath_version", "rstp_status", "status"]),
    ("Controller", &["is_connected", "role", "status"]),
    ("Datapath", &["capabilities", "datapath_version"]),
    (
        "Interface",
        &[
            "admin_state",
            "bfd_status",
            "cfm_fault",
            "cfm_fault_status",
            "cfm_flap_count",
            "cfm_health",
            "cfm_mpid",
            "cfm_remote_mpids",
            "cfm_remote_opstate",
            "duplex",
            "error",
            "ifindex",
            "lacp_current",
            "link_resets",
            "link_speed",
            "link_state",
            "mac_in_use",
            "mtu",
            "ofport",
            "statistics",
            "status",
        ],
    ),
    ("Manager", &["is_connected", "status"]),
    ("Mirror", &["statistics"]),
    (
        "Open_vSwitch",
        &[
            "cur_cfg",
            "datapath_types",
            "db_version",
            "dpdk_initialized",
            "dpdk_version",
            "iface_types",
            "ovs_version",
            "statistics",
            "system_type",
            "system_version",
        ],
    ),
    ("Port", &["bond_active_slave", "rstp_statistics", "rstp_status", "statistics", "status"]),
];

/// Whether a change may mean another configuration.
fn matters(change: &Changed) -> bool {
    let status = STATUS.iter().find(|(table, _)| *table == change.table).map_or(&[][..], |(_, columns)| columns);
    change.change != Change::Modified || !change.columns.iter().all(|column| status.contains(&column.as_str()))
}

/// Reads configurations. What has not changed since the last one is not read again.
#[derive(Debug, Default)]
pub struct Reader {
    /// Ports of bridges, by the bridges' rows.
    bridges: HashMap<Uuid, PortReader>,
    last: Option<Config>,
}

/// The ports of a bridge as they were read last.
#[derive(Debug, Default)]
struct PortReader {
    /// The bridge's name.
    bridge: String,
    by_row: HashMap<Uuid, Arc<PortConfig>>,
    /// Rows of `Port` by rows of `Interface`.
    port_of: HashMap<Uuid, Uuid>,
    /// Rows of `Port` that have to be read again.
    stale: HashSet<Uuid>,
    /// Ports may have come or gone.
    recount: bool,
    by_name: SharedMap<String, PortConfig>,
    by_interface: SharedMap<String, PortConfig>,
}

impl Reader {
    /// What the rows want now; `None` if that is what they wanted before. `changes` are the changes since the last call, or
    /// `None` if they are not known. What is not valid is left out or replaced by its default, and `problems` says so.
    pub fn read(&mut self, replica: &Replica, changes: Option<&[Changed]>, problems: &mut Problems) -> Option<Config> {
        match changes {
            Some(changes) if self.last.is_some() => {
                if !changes.iter().any(matters) {
                    return None;
                }
                self.bridges.values_mut().for_each(|b| changes.iter().for_each(|change| b.note(change)));
            }
            _ => self.bridges.clear(),
        }
        let config = self.read_rows(replica, problems);
        if self.last.as_ref() == Some(&config) {
            return None;
        }
        self.last = Some(config.clone());
        Some(config)
    }

    fn read_rows(&mut self, replica: &Replica, problems: &mut Problems) -> Config {
        let Some(root) = replica.only::<vswitch::OpenVSwitch>() else { return Config::default() };
        let mut config = Config {
            next_cfg: root.next_cfg(),
            other_config: map(root.other_config()),
            bridges: BTreeMap::new(),
            managers: root
                .manager_options()
                .filter(|m| m.connection_mode() != Some("out-of-band"))
                .map(|m| m.target().to_string())
                .collect(),
            tls: root.ssl().map(|row| tls(&row)),
        };
        for row in root.bridges() {
            let name = row.name();
            if name.is_empty() || name.contains('/') {
                // A name with a slash would place the bridge's sockets outside the run directory.
                problems.push(format!("ignoring bridge with invalid name '{name}'"));
                continue;
            }
            if config.bridges.contains_key(name) {
                problems.push(format!("bridge {name} specified twice"));
                continue;
            }
            let ports = self.bridges.entry(row.uuid()).or_default();
            ports.follow(name, &row, problems);
            config.bridges.insert(name.to_string(), Rc::new(bridge(name, &row, ports, problems)));
        }
        self.bridges.retain(|row, _| config.bridges.values().any(|b| b.uuid == *row));
        config
    }
}

impl PortReader {
    /// Takes note of a row that changed.
    fn note(&mut self, change: &Changed) {
        if !matters(change) {
            return;
        }
        match change.table.as_str() {
            "Bridge" => self.recount = true,
            "Port" if self.by_row.contains_key(&change.uuid) => _ = self.stale.insert(change.uuid),
            // The row of a port may come in a later update than that of its bridge.
            "Port" => self.recount = true,
            "Interface" => self.stale.extend(self.port_of.get(&change.uuid)),
            _ => {}
        }
    }

    /// Reads the ports that are new or have changed.
    fn follow(&mut self, bridge: &str, row: &vswitch::Bridge<'_>, problems: &mut Problems) {
        if self.bridge != bridge {
            *self = PortReader { bridge: bridge.to_string(), recount: true, ..PortReader::default() };
        }
        let stale = std::mem::take(&mut self.stale);
        let mut missing: Vec<Uuid> = stale.iter().copied().collect();
        if std::mem::take(&mut self.recount) {
            let rows = || row.row().get("ports").map_or(&[][..], Datum::atoms).iter().filter_map(Atom::as_uuid);
            let known = rows().filter(|uuid| self.by_row.contains_key(uuid)).count();
            missing.extend(rows().filter(|uuid| !self.by_row.contains_key(uuid)));
            if known < self.by_row.len() {
                let there: HashSet<Uuid> = rows().collect();
                let gone: Vec<Uuid> = self.by_row.keys().filter(|uuid| !there.contains(uuid)).copied().collect();
                gone.iter().for_each(|uuid| _ = self.forget(*uuid));
                missing.retain(|uuid| there.contains(uuid));
            }
        }
        for uuid in missing {
            let old = self.forget(uuid);
            let Some(row) = row.row().replica().get::<vswitch::Port>(uuid) else { continue };
            let new = port(bridge, row.name(), &row, problems);
            // One that says the same is the same.
            let new = old.filter(|old| **old == new).unwrap_or_else(|| Arc::new(new));
            self.remember(uuid, new);
        }
    }

    fn remember(&mut self, uuid: Uuid, port: Arc<PortConfig>) {
        for (name, interface) in &port.interfaces {
            self.port_of.insert(interface.uuid, uuid);
            self.by_interface.insert_shared(name.clone(), port.clone());
        }
        self.by_name.insert_shared(port.name.clone(), port.clone());
        self.by_row.insert(uuid, port);
    }

    fn forget(&mut self, uuid: Uuid) -> Option<Arc<PortConfig>> {
        let old = self.by_row.remove(&uuid)?;
        let mine = |map: &SharedMap<String, PortConfig>, name: &str| {
            map.get_shared(name).is_some_and(|port| Arc::ptr_eq(port, &old))
        };
        for (name, interface) in &old.interfaces {
            self.port_of.remove(&interface.uuid);
            if mine(&self.by_interface, name) {
                self.by_interface.remove(name);
            }
        }
        if mine(&self.by_name, &old.name) {
            self.by_name.remove(&old.name);
        }
        Some(old)
    }
}

impl BridgeConfig {
    /// Ports that are others than in `before`, or were not there.
    pub fn changed_ports<'a>(&'a self, before: &'a BridgeConfig) -> impl Iterator<Item = &'a Arc<PortConfig>> {
        self.ports.changed_since(&before.ports).map(|(_, port)| port)
    }

    /// What is wanted of an interface.
    pub fn interface(&self, name: &str) -> Option<&InterfaceConfig> {
        self.interfaces.get(name)?.interfaces.get(name)
    }
}

fn tls(row: &vswitch::SSL<'_>) -> io::tls::Settings {
    let path = |text: &str| Some(text).filter(|text| !text.is_empty()).map(PathBuf::from);
    io::tls::Settings {
        private_key: path(row.private_key()),
        certificate: path(row.certificate()),
        ca_cert: path(row.ca_cert()),
        bootstrap: row.bootstrap_ca_cert(),
        ..io::tls::Settings::default()
    }
}

fn map<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    pairs.map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn bridge(name: &str, row: &vswitch::Bridge<'_>, ports: &PortReader, problems: &mut Problems) -> BridgeConfig {
    let option = |key: &str| row.other_config_get(key);
    let number = |key: &str, default: u64| option(key).and_then(|s| s.parse().ok()).unwrap_or(default);
    let mut protocols: Vec<Version> = row.protocols().filter_map(Version::from_name).collect();
    if protocols.is_empty() {
        protocols = Version::ALL.to_vec();
    }
    let datapath_id = option("datapath-id").and_then(|s| {
        let id = parse_datapath_id(s);
        if id.is_none() {
            problems.push(format!("bridge {name}: ignoring invalid datapath-id '{s}'"));
        }
        id
    });
    BridgeConfig {
        uuid: row.uuid(),
        datapath_type: Some(row.datapath_type()).filter(|s| !s.is_empty()).unwrap_or(DEFAULT_DATAPATH_TYPE).into(),
        datapath_id,
        hwaddr: option("hwaddr").and_then(|text| hwaddr(name, text, problems)),
        dp_desc: option("dp-desc").map(String::from),
        dp_sn: option("dp-sn").map(String::from),
        fail_secure: row.fail_mode() == Some("secure"),
        protocols,
        no_in_band: option("disable-in-band") == Some("true"),
        in_band_queue: option("in-band-queue").and_then(|s| s.parse().ok()),
        controllers: row.controller().map(|c| controller(&c)).collect(),
        ports: ports.by_name.clone(),
        interfaces: ports.by_interface.clone(),
        mac_aging: Duration::from_secs(number("mac-aging-time", 300).clamp(15, 3600)),
        mac_table_size: match number("mac-table-size", 0) {
            0 => 8192,
            n => n.clamp(10, 1_000_000) as usize,
        },
        forward_bpdu: option("forward-bpdu") == Some("true"),
        flood_vlans: vlans(row.flood_vlans()),
        mirrors: mirrors::read(name, row, problems),
        flow_tables: row
            .flow_tables()
            .filter_map(|(n, t)| Some((u8::try_from(n).ok()?, t)))
            .map(|(n, t)| (n, limits(name, n, &t, problems)))
            .collect(),
    }
}

/// A bridge's own address, if it can be one.
fn hwaddr(bridge: &str, text: &str, problems: &mut Problems) -> Option<EthAddr> {
    let mac: EthAddr = text.parse().ok()?;
    if mac.is_multicast() {
        problems.error(format!("bridge {bridge}: cannot set MAC address to multicast address {mac}"));
    } else if mac.is_zero() {
        problems.error(format!("bridge {bridge}: cannot set MAC address to zero"));
    }
    Some(mac).filter(|m| !m.is_multicast() && !m.is_zero())
}

/// Fields whose prefixes `Flow_Table:prefixes` may name.
const PREFIXES: [&str; 11] = [
    "tun_id",
    "tun_src",
    "tun_dst",
    "tun_ipv6_src",
    "tun_ipv6_dst",
    "nw_src",
    "nw_dst",
    "ip_src",
    "ip_dst",
    "ipv6_src",
    "ipv6_dst",
];

fn limits(bridge: &str, number: u8, row: &vswitch::FlowTable<'_>, problems: &mut Problems) -> Limits {
    // Whatever it names, all prefixes are looked at.
    for name in row.prefixes().filter(|name| *name != "none" && !PREFIXES.contains(name)) {
        let what = if flow::Field::from_name(name).is_some() { "incompatible" } else { "unknown" };
        problems.push(format!("bridge {bridge}: 'prefixes' with {what} field: {name}"));
    }
    let mut groups = vec![];
    for text in row.groups() {
        match openflow::action::subfield::parse(text) {
            Ok(group) => groups.push(group),
            Err(e) if e.starts_with("unexpected input") => {
                let what = format!("'groups' element '{text}' contains trailing garbage");
                problems.push(format!("bridge {bridge} table {number}: {what}"));
            }
            Err(e) => {
                problems.push(format!("bridge {bridge} table {number}: error parsing 'groups' ({e})"));
            }
        }
    }
    Limits {
        name: row.name().filter(|n| !n.is_empty()).map(String::from),
        max_flows: row.flow_limit().map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        evict: row.overflow_policy() == Some("evict"),
        groups,
    }
}

/// A datapath id: up to 16 hex digits, not zero; or `0x` and hex digits.
fn parse_datapath_id(s: &str) -> Option<u64> {
    let digits = s.strip_prefix("0x").unwrap_or(s);
    let fits = digits.len() <= 16 && (s.len() == 16 || s.starts_with("0x"));
    u64::from_str_radix(digits, 16).ok().filter(|&id| fits && id != 0)
}

fn controller(row: &vswitch::Controller<'_>) -> ControllerConfig {
    let millis = |value: Option<i64>| value.and_then(|n| u64::try_from(n).ok()).map(Duration::from_millis);
    ControllerConfig {
        uuid: row.uuid(),
        target: row.target().into(),
        inactivity_probe: millis(row.inactivity_probe()),
        max_backoff: millis(row.max_backoff()),
        rate: row.controller_rate_limit().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).map(|rate| {
            let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
            RateLimit {
                rate,
                burst: number(row.controller_burst_limit()).unwrap_or(0).max(rate / 4),
                queue: number(row.controller_queue_size()).filter(|n| (1..=512).contains(n)).unwrap_or(100),
            }
        }),
        service: row.r#type() == Some("service"),
        asynchronous: row.enable_async_messages().unwrap_or(true),
        in_band: row.connection_mode() != Some("out-of-band") && row.r#type() != Some("service"),
        dscp: row
            .other_config_get("dscp")
            .and_then(|text| text.parse().ok())
            .filter(|dscp| (0..64).contains(dscp))
            .unwrap_or(io::stream::DEFAULT_DSCP),
    }
}

fn vlans(values: impl Iterator<Item = i64>) -> Vec<u16> {
    values.filter_map(|v| u16::try_from(v).ok()).filter(|&v| v < 4096).collect()
}

fn port(bridge: &str, name: &str, row: &vswitch::Port<'_>, problems: &mut Problems) -> PortConfig {
    let tag = row.tag().and_then(|t| u16::try_from(t).ok()).filter(|&t| t < 4096);
    let trunks = vlans(row.trunks());
    let vlan_mode = match row.vlan_mode() {
        Some("access") => VlanMode::Access,
        Some("trunk") => VlanMode::Trunk,
        Some("native-tagged") => VlanMode::NativeTagged,
        Some("native-untagged") => VlanMode::NativeUntagged,
        Some("dot1q-tunnel") => VlanMode::Dot1qTunnel,
        // ovs-vswitchd.conf.db(5): without vlan_mode, a port with a tag and no trunks is an access port.
        _ if tag.is_some() => {
            if !trunks.is_empty() {
                problems.push(format!(
                    "port {name}: ignoring trunks in favor of implicit vlan_mode 'access'; specify vlan_mode explicitly"
                ));
            }
            VlanMode::Access
        }
        _ => VlanMode::Trunk,
    };
    let mut interfaces = BTreeMap::new();
    for iface_row in row.interfaces() {
        let iface_name = iface_row.name();
        interfaces.insert(iface_name.to_string(), interface(bridge, iface_name, &iface_row, problems));
    }
    PortConfig {
        uuid: row.uuid(),
        name: name.to_string(),
        vlan_mode,
        tag: if vlan_mode == VlanMode::Trunk { 0 } else { tag.unwrap_or(0) },
        trunks: if vlan_mode == VlanMode::Access { vec![] } else { trunks },
        cvlans: vlans(row.cvlans()),
        qinq_ethtype: match row.other_config_get("qinq-ethtype") {
            Some("802.1q") => 0x8100,
            _ => 0x88a8,
        },
        priority_tags: match row.other_config_get("priority-tags") {
            Some("true" | "if-nonzero") => PriorityTags::IfNonzero,
            Some("always") => PriorityTags::Always,
            _ => PriorityTags::Never,
        },
        protected: row.protected(),
        interfaces,
    }
}

fn interface(bridge: &str, name: &str, row: &vswitch::Interface<'_>, problems: &mut Problems) -> InterfaceConfig {
    let mac: Option<EthAddr> = row.mac().and_then(|s| s.parse().ok());
    if let Some(mac) = mac {
        if name == bridge {
            problems.error(format!(
                "interface {name}: ignoring mac in Interface record (use Bridge record to set local port's mac)"
            ));
        } else if mac.is_multicast() {
            problems.error(format!("interface {name}: cannot set MAC to multicast address"));
        }
    }
    let kind = match row.r#type() {
        _ if name == bridge => "internal",
        "" => "system",
        other => other,
    };
    InterfaceConfig {
        uuid: row.uuid(),
        kind: kind.into(),
        ofport_request: row.ofport_request().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..0xff00).contains(n)),
        ofport_before: row.ofport().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..0xff00).contains(n)),
        mac: mac.filter(|mac| !mac.is_multicast()),
        mtu_request: row.mtu_request().and_then(|n| u32::try_from(n).ok()),
        options: map(row.options()),
        other_config: map(row.other_config()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<u64>) {
        assert_eq!(parse_datapath_id(text), expect, "{text}");
    }

    #[test]
    fn datapath_ids() {
        check("0000000000000001", Some(1));
        check("0xabc", Some(0xabc));
        check("1", None);
        check("0000000000000000", None);
        check("00000000000000zz", None);
    }
}
