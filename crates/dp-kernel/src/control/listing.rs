//! Listings of datapaths, ports and caches.

use super::{Done, Options, Outcome, failure, human, open};
use crate::Kernel;
use crate::ports::kind_name;
use io::program::strerror;
use netdev::linux::rtnl::Rtnl;
use netlink::vport::Vport;
use std::sync::Arc;

/// `dump-dps`
pub(super) fn dump_dps() -> Done {
    match crate::names() {
        Ok(names) => {
            Ok(Outcome { text: names.iter().map(|n| format!("system@{n}\n")).collect(), ..Outcome::default() })
        }
        Err(e) => failure(format!("datapath enumeration failed ({})", strerror(&e))),
    }
}

/// Calls `each` with the datapaths of some names, or with all.
fn for_each(args: &[String], mut each: impl FnMut(&mut Outcome, &str, &Arc<Kernel>)) -> Done {
    let mut out = Outcome::default();
    let all;
    let names = if args.is_empty() {
        all = crate::names().unwrap_or_default();
        all.as_slice()
    } else {
        args
    };
    for name in names {
        match open(name) {
            Ok(k) => each(&mut out, &format!("system@{}", datapath::Datapath::name(&*k)), &k),
            Err(e) => out.error(format!("opening datapath {name} failed ({})", strerror(&e))),
        }
    }
    Ok(out)
}

/// `show [-s] [dp...]`
pub(super) fn show(args: &[String], o: Options) -> Done {
    let detailed = o.statistics || args.iter().any(|a| a == "-s");
    let names: Vec<String> = args.iter().filter(|a| *a != "-s").cloned().collect();
    for_each(&names, |out, name, k| out.text.push_str(&show_one(name, k, detailed)))
}

/// What is told of one datapath.
#[must_use]
pub fn show_one(name: &str, k: &Kernel, detailed: bool) -> String {
    let mut out = Outcome::default();
    let info = k.info().unwrap_or_default();
    let s = info.stats.unwrap_or_default();
    out.line(format!("{name}:"));
    out.line(format!("  lookups: hit:{} missed:{} lost:{}", s.hit, s.missed, s.lost));
    out.line(format!("  flows: {}", s.flows));
    if let Some(m) = info.megaflow_stats {
        let packets = s.hit + s.missed;
        let each = |n: u64| if packets == 0 { 0.0 } else { n as f64 / packets as f64 };
        out.line(format!("  masks: hit:{} total:{} hit/pkt:{:.2}", m.mask_hit, m.masks, each(m.mask_hit)));
        if m.cache_hit != 0 {
            out.line(format!("  cache: hit:{} hit-rate:{:.2}%", m.cache_hit, each(m.cache_hit) * 100.0));
        }
    }
    if let Some(size) = info.masks_cache {
        out.line("  caches:");
        out.line(format!("    masks-cache: size:{size}"));
    }
    for p in k.vports().unwrap_or_default() {
        out.text.push_str(&port_line(&p));
        if detailed {
            out.text.push_str(&port_counters(&p));
        }
    }
    out.text
}

fn port_line(p: &Vport) -> String {
    let kind = kind_name(p.kind.unwrap_or(0));
    let mut config = vec![];
    if let Some(port) = p.options.and_then(|o| o.dst_port).filter(|n| *n != 4789) {
        config.push(format!("dst_port={port}"));
    }
    let (number, name) = (p.port.unwrap_or(0), p.name.as_deref().unwrap_or(""));
    match (kind, config.is_empty()) {
        ("system", true) => format!("  port {number}: {name}\n"),
        (kind, true) => format!("  port {number}: {name} ({kind})\n"),
        (kind, false) => format!("  port {number}: {name} ({kind}: {})\n", config.join(", ")),
    }
}

fn port_counters(p: &Vport) -> String {
    let name = p.name.as_deref().unwrap_or("");
    let s = Rtnl::open().and_then(|mut r| r.link_by_name(name)).map(|l| l.stats).unwrap_or_default();
    let (ok, failed) = p.upcalls.unwrap_or_default();
    format!(
        "    RX packets:{} errors:{} dropped:{} overruns:{} frame:{}\n    \
         TX packets:{} errors:{} dropped:{} aborted:{} carrier:{}\n    \
         collisions:{}\n    \
         RX bytes:{}{}  TX bytes:{}{}\n    \
         UPCALL packets:{ok} errors:{failed}\n",
        s.rx_packets,
        s.rx_errors,
        s.rx_dropped,
        s.rx_over_errors,
        s.rx_frame_errors,
        s.tx_packets,
        s.tx_errors,
        s.tx_dropped,
        s.tx_aborted_errors,
        s.tx_carrier_errors,
        s.collisions,
        s.rx_bytes,
        human(s.rx_bytes),
        s.tx_bytes,
        human(s.tx_bytes),
    )
}

/// `cache-get-size [dp]`
pub(super) fn caches(args: &[String]) -> Done {
    for_each(args, |out, name, k| out.text.push_str(&caches_of(name, k)))
}

/// The caches of a datapath, with their sizes.
#[must_use]
pub fn caches_of(name: &str, k: &Kernel) -> String {
    let size = k.info().ok().and_then(|i| i.masks_cache);
    let size = size.map(|n| format!("    masks-cache: size:{n}\n")).unwrap_or_default();
    format!("{name}:\n  caches:\n{size}")
}

/// `cache-set-size dp cache size`
pub(super) fn set_cache(args: &[String]) -> Done {
    let k = match open(&args[0]) {
        Ok(k) => k,
        Err(e) => return failure(format!("opening datapath {} failed ({})", args[0], strerror(&e))),
    };
    let Ok(size) = args[2].parse::<u32>() else { return failure("size is malformed (Invalid argument)") };
    if args[1] != "masks-cache" {
        return failure(format!("Cache name \"{}\" not found on dpif (Invalid argument)", args[1]));
    }
    // The kernel has powers of two only.
    let size = if size == 0 { 0 } else { size.checked_next_power_of_two().unwrap_or(size) };
    match k.set_masks_cache(size) {
        Ok(()) => super::shown(format!("Setting cache size successful, new size {size}\n")),
        Err(e) => failure(format!("Setting cache size failed ({})", strerror(&e))),
    }
}
