//! What bridges do for themselves about their controllers: flows by which these can be reached through the bridges' own ports
//! (in-band control), and forwarding alone while none is reached (`fail_mode=standalone`).

use crate::app::{App, BridgeEntry};
use clock::Instant;
use flow::OfPort;
use io::stream::{OPENFLOW_PORT, OVSDB_PORT, Remote as Target};
use io::vlog::Module;
use io::vlog_warn;
use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use switch::Class;
use switch::in_band::{InBand, OwnFlows, Remote};
use wire::EthAddr;

/// Probe intervals without any controller after which a bridge forwards alone.
const FAILURES: u32 = 3;

/// Has the bridges' own flows be as configuration, connections and the host's tables of routes and neighbours ask for.
pub fn follow(app: &App) {
    let now = app.clock.now();
    let mut state = app.state.borrow_mut();
    let managers = state.managers.clone();
    let host = OnceCell::new();
    for (name, entry) in &mut state.bridges {
        let wanted = OwnFlows { in_band: in_band(entry, &managers, &host), fail_open: fails_open(name, entry, now) };
        entry.bridge.set_own_flows(wanted, now);
    }
}

fn address(target: &str, default_port: u16) -> Option<(Ipv4Addr, u16)> {
    match Target::parse(target, default_port).ok()? {
        Target::Tcp { host, port } | Target::Ssl { host, port } => match host.parse().ok()? {
            IpAddr::V4(ip) => Some((ip, port)),
            // In-band control is for IPv4 only, as the original's.
            IpAddr::V6(_) => None,
        },
        _ => None,
    }
}

/// The host's tables of routes and of neighbours, in the forms of `/proc/net/route` and `/proc/net/arp` (proc_net(5)).
struct Host {
    routes: String,
    neighbours: String,
}

impl Host {
    fn read() -> Host {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Host { routes: read("/proc/net/route"), neighbours: read("/proc/net/arp") }
    }

    /// The address of the neighbour by which the host reaches `ip`; none for itself.
    fn next_hop(&self, ip: Ipv4Addr) -> Option<EthAddr> {
        if ip.is_loopback() {
            return None;
        }
        neighbour(&self.neighbours, gateway(&self.routes, ip)?)
    }
}

fn in_band(entry: &BridgeEntry, managers: &[String], host: &OnceCell<Host>) -> Option<InBand> {
    let config = &entry.config;
    if config.no_in_band {
        return None;
    }
    let controllers = config.controllers.iter().filter(|c| c.in_band);
    let mut reached: Vec<(Ipv4Addr, u16)> = controllers.filter_map(|c| address(&c.target, OPENFLOW_PORT)).collect();
    if config.controllers.iter().any(|c| c.in_band) {
        reached.extend(managers.iter().filter_map(|target| address(target, OVSDB_PORT)));
    }
    reached.sort();
    reached.dedup();
    let local = entry.bridge.ports.get(&OfPort::LOCAL)?.mac;
    let remotes: Vec<Remote> = reached
        .into_iter()
        .map(|(ip, port)| Remote { ip, port, next_hop: host.get_or_init(Host::read).next_hop(ip) })
        .collect();
    (!remotes.is_empty()).then_some(InBand { local, remotes, queue: config.in_band_queue })
}

/// Where packets to `ip` go first.
fn gateway(routes: &str, ip: Ipv4Addr) -> Option<Ipv4Addr> {
    let address = |s: &str| u32::from_str_radix(s, 16).ok().map(|n| Ipv4Addr::from(n.to_le_bytes()));
    let best = routes.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (to, via, mask) = (address(words.get(1)?)?, address(words.get(2)?)?, address(words.get(7)?)?);
        (ip.to_bits() & mask.to_bits() == to.to_bits()).then_some((mask.to_bits(), via))
    });
    let (_, via) = best.max_by_key(|(mask, _)| *mask)?;
    Some(if via.is_unspecified() { ip } else { via })
}

/// A neighbour's address.
fn neighbour(neighbours: &str, ip: Ipv4Addr) -> Option<EthAddr> {
    neighbours.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let found: Ipv4Addr = words.first()?.parse().ok()?;
        let mac: EthAddr = words.get(3)?.parse().ok()?;
        (found == ip && !mac.is_zero()).then_some(mac)
    })
}

/// Whether a bridge forwards alone, for it has reached no controller for long.
fn fails_open(name: &str, entry: &mut BridgeEntry, now: Instant) -> bool {
    let active: Vec<_> = entry.endpoints.values().filter(|e| e.kind().class == Class::Primary).collect();
    let connected = active.iter().any(|e| e.link.borrow().conn.is_some());
    if active.is_empty() || connected {
        entry.alone_since = None;
    }
    if active.is_empty() || connected || entry.config.fail_secure {
        if std::mem::take(&mut entry.fails_open) {
            vlog_warn!(Module::FailOpen, "{name}: No longer in fail-open mode");
        }
        // It may not forward alone now; how long it has been alone counts when it may.
        if !active.is_empty() && !connected {
            entry.alone_since.get_or_insert(now);
        }
        return false;
    }
    let since = *entry.alone_since.get_or_insert(now);
    let patience = active.iter().filter_map(|e| e.kind().keep.probe).max().unwrap_or(Duration::from_secs(5)) * FAILURES;
    if !entry.fails_open && now.since(since) >= patience {
        vlog_warn!(
            Module::FailOpen,
            "{name}: Could not connect to controller (or switch failed controller's post-connection admission control \
             policy) for {} seconds, failing open",
            now.since(since).as_secs()
        );
        entry.fails_open = true;
    }
    entry.fails_open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                      eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n\
                      eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n";
        let arp = "IP address  HW type  Flags  HW address  Mask  Device\n\
                   192.168.1.1  0x1  0x2  02:00:00:00:00:01  *  eth0\n\
                   192.168.1.7  0x1  0x0  00:00:00:00:00:00  *  eth0\n";
        let check = |ip: [u8; 4], expect: Option<u64>| {
            let found = Host { routes: routes.into(), neighbours: arp.into() }.next_hop(ip.into());
            assert_eq!(found.map(EthAddr::to_u64), expect, "{ip:?}");
        };
        check([10, 0, 0, 1], Some(0x0200_0000_0001));
        check([192, 168, 1, 1], Some(0x0200_0000_0001));
        check([192, 168, 1, 7], None);
        check([192, 168, 1, 8], None);
        check([127, 0, 0, 1], None);
        assert_eq!(gateway("", [10, 0, 0, 1].into()), None);
    }

    #[test]
    fn targets() {
        let check = |target: &str, expect: Option<([u8; 4], u16)>| {
            assert_eq!(address(target, 6653), expect.map(|(ip, port)| (ip.into(), port)), "{target}");
        };
        check("tcp:10.0.0.1", Some(([10, 0, 0, 1], 6653)));
        check("ssl:10.0.0.1:6633", Some(([10, 0, 0, 1], 6633)));
        check("tcp:[::1]:6633", None);
        check("ptcp:6653", None);
        check("none", None);
    }
}
