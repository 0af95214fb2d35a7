//! Ports.

use crate::Kernel;
use crate::transport::{Request, errno, malformed};
use datapath::{DpError, PortInfo, PortStats};
use flow::DpPort;
use io::vlog::Module;
use io::vlog_info;
use netlink::ovs::command;
use netlink::vport::{self, Vport};
use std::io as stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a type of the database is called in the kernel; `None` for one that it has not.
#[must_use]
pub fn vport_kind(kind: &str) -> Option<u32> {
    match kind {
        "internal" => Some(vport::INTERNAL),
        "system" | "tap" | "" => Some(vport::NETDEV),
        "gre" => Some(vport::GRE),
        "vxlan" => Some(vport::VXLAN),
        "geneve" => Some(vport::GENEVE),
        _ => None,
    }
}

/// And back.
#[must_use]
pub fn kind_name(kind: u32) -> &'static str {
    match kind {
        vport::INTERNAL => "internal",
        vport::GRE => "gre",
        vport::VXLAN => "vxlan",
        vport::GENEVE => "geneve",
        _ => "system",
    }
}

/// A request that makes or takes a port, while it is under way.
struct Changing<'a>(&'a AtomicUsize);

impl<'a> Changing<'a> {
    fn begin(count: &'a AtomicUsize) -> Changing<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Changing(count)
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Kernel {
    /// Everything that the kernel tells of the ports, by number.
    ///
    /// # Errors
    /// `ENODEV` when the datapath is gone.
    pub fn vports(&self) -> stdio::Result<Vec<Vport>> {
        let t = &self.transport;
        let request = Vport { dp: self.ifindex(), ..Vport::default() };
        let request = Request::echo(t.families.vport, request.encode(command::GET));
        let mut all: Vec<Vport> = vec![];
        t.with(|c| c.dump(&request, |body| all.extend(Vport::parse(body).ok().map(|(_, p)| p))))?;
        all.sort_by_key(|p| p.port);
        Ok(all)
    }

    pub(crate) fn port_list(&self) -> stdio::Result<Vec<PortInfo>> {
        let one = |p: Vport| {
            let kind = kind_name(p.kind?);
            let mut config = vec![];
            if let Some(port) = p.options.and_then(|o| o.dst_port).filter(|n| kind != "vxlan" || *n != 4789) {
                config.push(("dst_port".to_string(), port.to_string()));
            }
            Some(PortInfo { port: DpPort(p.port?), name: p.name?, kind: kind.into(), config })
        };
        Ok(self.vports()?.into_iter().filter_map(one).collect())
    }

    fn ask_port(&self, which: &Vport) -> stdio::Result<Vport> {
        let t = &self.transport;
        let request = Request::echo(t.families.vport, which.encode(command::GET));
        let answer = t.with(|c| c.ask_for(&request))?;
        Vport::parse(&answer).map(|(_, p)| p).map_err(malformed)
    }

    /// What the kernel tells of the port of a device.
    ///
    /// # Errors
    /// `ENODEV` where there is none.
    pub fn port_named(&self, name: &str) -> stdio::Result<Vport> {
        self.ask_port(&Vport { dp: self.ifindex(), name: Some(name.into()), ..Vport::default() })
    }

    /// What the kernel tells of a port.
    ///
    /// # Errors
    /// `ENODEV` where there is none.
    pub fn port_numbered(&self, port: DpPort) -> stdio::Result<Vport> {
        self.ask_port(&Vport { dp: self.ifindex(), port: Some(port.0), ..Vport::default() })
    }

    pub(crate) fn port_counters(&self, port: DpPort) -> Option<PortStats> {
        let p = self.port_numbered(port).ok()?;
        let (s, u) = (p.stats.unwrap_or_default(), p.upcalls.unwrap_or_default());
        Some(PortStats {
            rx_packets: s.rx_packets,
            rx_bytes: s.rx_bytes,
            tx_packets: s.tx_packets,
            tx_bytes: s.tx_bytes,
            tx_dropped: s.tx_dropped,
            upcalls: u.0,
            upcall_errors: u.1,
        })
    }

    /// Makes a device a port, with the number asked for; of type `internal`, makes the device too. A port that an earlier run made
    /// of the same device is taken over.
    ///
    /// # Errors
    /// `ENODEV` for no such device, `EBUSY` if another datapath or bridge has it, `EAFNOSUPPORT` for a type that the kernel has not.
    pub fn add_port(&self, name: &str, kind: &str, request: Option<DpPort>) -> stdio::Result<DpPort> {
        let wanted = vport_kind(kind).ok_or_else(|| errno(rustix::io::Errno::AFNOSUPPORT.raw_os_error()))?;
        let sockets = (**self.vport_sockets.load()).clone();
        if let Ok(found) = self.port_named(name)
            && found.dp == self.ifindex()
            && let Some(port) = found.port
        {
            if found.kind == Some(wanted) && request.is_none_or(|r| r.0 == port) {
                if let Some(sockets) = &sockets {
                    sockets.adopt(self, port)?;
                }
                return Ok(DpPort(port));
            }
            self.del_port(DpPort(port))?;
        }
        self.new_port(name, wanted, request, sockets.as_deref())
    }

    /// Makes a port that must not be there yet.
    ///
    /// # Errors
    /// As [`Kernel::add_port`], and `EEXIST`.
    pub fn create_port(&self, name: &str, kind: &str, request: Option<DpPort>) -> stdio::Result<DpPort> {
        let wanted = vport_kind(kind).ok_or_else(|| errno(rustix::io::Errno::AFNOSUPPORT.raw_os_error()))?;
        self.new_port(name, wanted, request, None)
    }

    fn new_port(
        &self,
        name: &str,
        kind: u32,
        request: Option<DpPort>,
        sockets: Option<&crate::dispatch::VportSockets>,
    ) -> stdio::Result<DpPort> {
        let pid = sockets.map(|s| s.next()).transpose()?;
        let new = Vport {
            dp: self.ifindex(),
            port: request.map(|r| r.0),
            kind: Some(kind),
            name: Some(name.into()),
            upcall_pids: Some(vec![pid.unwrap_or(0)]),
            ..Vport::default()
        };
        let t = &self.transport;
        let wanted = request;
        let request = Request::echo(t.families.vport, new.encode(command::NEW));
        let changing = Changing::begin(&self.changing_ports);
        let made = t.with(|c| c.ask_for(&request)).and_then(|a| Vport::parse(&a).map_err(malformed));
        drop(changing);
        if let (Some(wanted), Err(e)) = (wanted, &made)
            && e.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error())
        {
            vlog_info!(Module::DpifNetlink, "system@{}: requested port {} is in use", self.name, wanted.0);
        }
        let port = made.and_then(|(_, p)| p.port.ok_or_else(|| stdio::ErrorKind::InvalidData.into()));
        if let (Some(sockets), Some(pid)) = (sockets, pid) {
            match &port {
                Ok(port) => sockets.keep(*port, pid),
                Err(_) => sockets.give_up(pid),
            }
        }
        port.map(DpPort)
    }

    /// Takes a port away; of type `internal`, with its device.
    ///
    /// # Errors
    /// `ENODEV` where there is none, `EINVAL` for the datapath's own.
    pub fn del_port(&self, port: DpPort) -> stdio::Result<()> {
        let t = &self.transport;
        let which = Vport { dp: self.ifindex(), port: Some(port.0), ..Vport::default() };
        let request = Request::echo(t.families.vport, which.encode(command::DEL));
        let changing = Changing::begin(&self.changing_ports);
        t.with(|c| c.ask(&request))?;
        drop(changing);
        if let Some(sockets) = &**self.vport_sockets.load() {
            sockets.forget(port.0);
        }
        Ok(())
    }

    /// The same, with the errors of datapaths.
    ///
    /// # Errors
    /// As [`Kernel::del_port`].
    pub fn detach(&self, port: DpPort) -> Result<(), DpError> {
        self.del_port(port).map_err(|e| crate::dp_error(e, DpError::NoSuchPort))
    }

    /// Takes away the ports that `keep` does not name: what an earlier run left.
    ///
    /// # Errors
    /// If the kernel refuses to list them.
    pub fn del_ports_but(&self, keep: impl Fn(DpPort) -> bool) -> stdio::Result<Vec<String>> {
        let mut gone = vec![];
        for p in self.port_list()? {
            if p.port != DpPort(0) && !keep(p.port) && self.del_port(p.port).is_ok() {
                gone.push(p.name);
            }
        }
        Ok(gone)
    }
}
