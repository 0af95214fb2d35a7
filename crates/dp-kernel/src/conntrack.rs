//! The kernel's connection tracking: connections of all zones, and limits of zones.

use crate::transport::{Connection, Request, Transport, errno, malformed};
use netdev::linux::netlink::Protocol;
use netlink::conntrack::{self, Entry, Tuple};
use netlink::ct_limit::{self, ZoneLimit};
use std::io;
use std::sync::Mutex;

pub use netlink::ct_limit::ZoneLimit as Limit;

/// Connections.
pub struct ConnTable(Mutex<Connection>);

impl ConnTable {
    /// Opens it.
    ///
    /// # Errors
    /// Where the kernel has no connection tracking.
    pub fn open() -> io::Result<ConnTable> {
        Ok(ConnTable(Mutex::new(Connection::open(Protocol::Netfilter)?)))
    }

    /// All connections, or those of a zone.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn dump(&self, zone: Option<u16>) -> io::Result<Vec<Entry>> {
        let request = Request::new(conntrack::GET, conntrack::request());
        let mut all = vec![];
        crate::transport::lock(&self.0).dump(&request, |body| {
            all.extend(conntrack::parse(body).ok().filter(|e| zone.is_none_or(|z| z == e.zone)));
        })?;
        Ok(all)
    }

    /// How many connections there are.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn count(&self) -> io::Result<u32> {
        let request = Request::new(conntrack::STATS, conntrack::request());
        let answer = crate::transport::lock(&self.0).ask_for(&request)?;
        conntrack::parse_stats(&answer).map_err(malformed)
    }

    /// Forgets all connections.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn flush(&self) -> io::Result<()> {
        let request = Request::new(conntrack::DELETE, conntrack::request());
        crate::transport::lock(&self.0).ask(&request).map(drop)
    }

    /// Forgets one connection. One with a number that is gone is no error.
    ///
    /// # Errors
    /// If the kernel refuses; `ENOENT` where there is none and no number was given.
    pub fn delete(&self, tuple: &Tuple, zone: u16, id: Option<u32>) -> io::Result<()> {
        let request = Request::new(conntrack::DELETE, conntrack::delete(tuple, zone, id));
        match crate::transport::lock(&self.0).ask(&request) {
            Err(e) if id.is_some() && e.raw_os_error() == Some(rustix::io::Errno::NOENT.raw_os_error()) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Limits of zones.
pub struct Limits(Transport);

impl Limits {
    /// Opens them.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the kernel has none.
    pub fn open() -> io::Result<Limits> {
        let t = Transport::open()?;
        match t.families.ct_limit {
            0 => Err(errno(rustix::io::Errno::OPNOTSUPP.raw_os_error())),
            _ => Ok(Limits(t)),
        }
    }

    fn ask(&self, command: u8, limits: Option<&[ZoneLimit]>) -> io::Result<Vec<ZoneLimit>> {
        let request = Request::echo(self.0.families.ct_limit, ct_limit::encode(command, limits));
        let answer = self.0.with(|c| c.ask(&request))?;
        let parsed = answer.map(|a| ct_limit::parse(&a)).transpose().map_err(malformed)?;
        Ok(parsed.and_then(|(_, l)| l).unwrap_or_default())
    }

    /// Sets limits.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set(&self, limits: &[ZoneLimit]) -> io::Result<()> {
        self.ask(ct_limit::SET, Some(limits)).map(drop)
    }

    /// Deletes the limits of zones.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn delete(&self, zones: &[i32]) -> io::Result<()> {
        let limits: Vec<ZoneLimit> = zones.iter().map(|z| ZoneLimit { zone: *z, limit: 0, count: 0 }).collect();
        self.ask(ct_limit::DEL, Some(&limits)).map(drop)
    }

    /// The limits of zones, or all; the default comes first.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn get(&self, zones: &[i32]) -> io::Result<Vec<ZoneLimit>> {
        let limits: Vec<ZoneLimit> = zones.iter().map(|z| ZoneLimit { zone: *z, limit: 0, count: 0 }).collect();
        self.ask(ct_limit::GET, (!zones.is_empty()).then_some(&limits))
    }
}
