//! Datapaths: which there are, making and deleting them.

use crate::Open;
use crate::transport::{Request, Transport, malformed};
use netlink::dp::{self, Datapath};
use netlink::ovs::command;
use std::io;

/// Names of the kernel's datapaths.
///
/// # Errors
/// `ENOENT` where the kernel has no openvswitch datapath.
pub fn names() -> io::Result<Vec<String>> {
    let t = Transport::open()?;
    let request = Request::echo(t.families.dp, Datapath::default().encode(command::GET));
    let mut all = vec![];
    t.with(|c| c.dump(&request, |body| all.extend(Datapath::parse(body).ok().and_then(|(_, d)| d.name))))?;
    all.sort();
    Ok(all)
}

/// Deletes a datapath with its ports and flows.
///
/// # Errors
/// `ENODEV` where there is none.
pub fn delete(name: &str) -> io::Result<()> {
    let t = Transport::open()?;
    let which = Datapath { name: Some(name.into()), ..Datapath::default() };
    let request = Request::echo(t.families.dp, which.encode(command::DEL));
    t.with(|c| c.ask(&request)).map(drop)
}

fn has(e: &io::Error, errno: rustix::io::Errno) -> bool {
    e.raw_os_error() == Some(errno.raw_os_error())
}

/// Finds or makes a datapath: its interface index and agreed features. A new one dispatches by CPU where the kernel can.
pub(crate) fn open(t: &Transport, name: &str, how: Open) -> io::Result<(u32, u32)> {
    use rustix::io::Errno;
    let family = t.families.dp;
    if how != Open::New {
        let which = Datapath { name: Some(name.into()), ..Datapath::default() };
        let request = Request::echo(family, which.encode(command::GET));
        match t.with(|c| c.ask_for(&request)) {
            Ok(answer) => {
                let (_, found) = Datapath::parse(&answer).map_err(malformed)?;
                return Ok((found.ifindex, found.features.unwrap_or(dp::F_UNALIGNED | dp::F_VPORT_PIDS)));
            }
            Err(e) if has(&e, Errno::NODEV) && how == Open::Any => {}
            Err(e) => return Err(e),
        }
    }
    let make = |features| {
        let new =
            Datapath { name: Some(name.into()), upcall_pid: Some(0), features: Some(features), ..Datapath::default() };
        let request = Request::echo(family, new.encode(command::NEW));
        let answer = t.with(|c| c.ask_for(&request))?;
        let (_, made) = Datapath::parse(&answer).map_err(malformed)?;
        Ok((made.ifindex, features))
    };
    match make(dp::F_UNALIGNED | dp::F_PER_CPU) {
        Err(e) if has(&e, Errno::INVAL) || has(&e, Errno::OPNOTSUPP) => make(dp::F_UNALIGNED | dp::F_VPORT_PIDS),
        other => other,
    }
}
