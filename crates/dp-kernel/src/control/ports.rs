//! Making and deleting datapaths and ports.

use super::{Done, Options, Outcome, failure, open, parse_name};
use crate::Kernel;
use crate::ports::{kind_name, vport_kind};
use crate::{Open, transport};
use datapath::Datapath as _;
use flow::DpPort;
use io::program::strerror;
use io::vlog::Module;
use io::{vlog_info, vlog_warn};
use netdev::linux::rtnl::Rtnl;
use std::io as stdio;
use std::sync::Arc;

/// `add-dp dp [iface...]`
pub(super) fn add_dp(args: &[String], o: Options) -> Done {
    let (kind, name) = parse_name(&args[0]);
    if kind != "system" {
        vlog_warn!(Module::Dpif, "could not create datapath {name} of unknown type {kind}");
        return failure("add_dp (Address family not supported by protocol)");
    }
    let how = if o.may_create { Open::Any } else { Open::New };
    match Kernel::open(name, how, super::long_clock()) {
        Ok(_) => {
            vlog_info!(Module::DpifNetlink, "Datapath dispatch mode: per-cpu");
            if args.len() > 1 { add_if(args) } else { Ok(Outcome::default()) }
        }
        Err(e) => failure(format!("add_dp ({})", strerror(&e))),
    }
}

fn existing(name: &str) -> Result<Arc<Kernel>, Outcome> {
    open(name).or_else(|e| failure(format!("opening datapath ({})", strerror(&e))))
}

/// `del-dp dp`
pub(super) fn del_dp(args: &[String]) -> Done {
    let k = existing(&args[0])?;
    match crate::delete(k.name()) {
        Ok(()) => Ok(Outcome::default()),
        Err(e) => failure(format!("del_dp ({})", strerror(&e))),
    }
}

/// A port's name and options: `name[,key=value]...`.
struct Wanted<'a> {
    name: &'a str,
    kind: Option<&'a str>,
    number: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn parse(text: &'a str) -> Wanted<'a> {
        let mut parts = text.split(',');
        let mut w = Wanted { name: parts.next().unwrap_or(""), kind: None, number: None };
        for part in parts {
            match part.split_once('=') {
                Some(("type", kind)) => w.kind = Some(kind),
                Some(("port_no", number)) => w.number = Some(number),
                _ => {}
            }
        }
        w
    }
}

/// The number at the beginning of a text; 0 where there is none.
fn leading_number(text: &str) -> u32 {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().unwrap_or(0)
}

/// Types that have a place in the database but none in the kernel.
const KNOWN: [&str; 4] = ["tap", "patch", "dummy", "afxdp"];

/// `add-if dp iface...`
pub(super) fn add_if(args: &[String]) -> Done {
    let k = existing(&args[0])?;
    let mut out = Outcome::default();
    for text in &args[1..] {
        let w = Wanted::parse(text);
        let kind = w.kind.unwrap_or("system");
        let number = w.number.map(|n| DpPort(leading_number(n)));
        let unopened = |e: stdio::Error| format!("{}: failed to open network device ({})", w.name, strerror(&e));
        if vport_kind(kind).is_none() {
            if !KNOWN.contains(&kind) {
                vlog_warn!(Module::Netdev, "could not create netdev {} of unknown type {kind}", w.name);
            }
            out.error(unopened(transport::errno(rustix::io::Errno::AFNOSUPPORT.raw_os_error())));
            continue;
        }
        if kind == "system"
            && let Err(e) = Rtnl::open().and_then(|mut r| r.link_by_name(w.name))
        {
            out.error(unopened(e));
            continue;
        }
        if let Err(e) = k.create_port(w.name, kind, number) {
            // A device that is a port already is one that exists.
            let e = match (e.raw_os_error(), k.port_named(w.name)) {
                (Some(n), Ok(_)) if n == rustix::io::Errno::BUSY.raw_os_error() => "File exists".into(),
                _ => strerror(&e),
            };
            vlog_warn!(Module::Dpif, "system@{}: failed to add {} as port: {e}", k.name(), w.name);
            out.error(format!("adding {} to {} failed ({e})", w.name, args[0]));
        } else if kind != "internal" {
            let _ = Rtnl::open().and_then(|mut r| {
                let link = r.link_by_name(w.name)?;
                r.change(link.ifindex, netdev::linux::rtnl::LinkChange { up: Some(true), ..Default::default() })
            });
        }
    }
    Ok(out)
}

/// `del-if dp iface...`
pub(super) fn del_if(args: &[String]) -> Done {
    let k = existing(&args[0])?;
    let mut out = Outcome::default();
    for text in &args[1..] {
        let port = match text.parse::<u32>() {
            Ok(n) => Some(n),
            Err(_) => k.port_named(text).ok().and_then(|p| p.port),
        };
        let Some(port) = port else {
            out.error(format!("no port named {text}"));
            continue;
        };
        if let Err(e) = k.del_port(DpPort(port)) {
            let e = strerror(&e);
            vlog_warn!(Module::Dpif, "system@{}: port_del failed ({e})", k.name());
            out.error(format!("deleting port {text} from {} failed ({e})", args[0]));
        }
    }
    Ok(out)
}

/// `set-if dp iface...`
pub(super) fn set_if(args: &[String]) -> Done {
    let k = existing(&args[0])?;
    let mut out = Outcome::default();
    for text in &args[1..] {
        let w = Wanted::parse(text);
        let port = match k.port_named(w.name) {
            Ok(p) => p,
            Err(e) => {
                out.error(format!("{}: failed to query port in {} ({})", w.name, args[0], strerror(&e)));
                continue;
            }
        };
        let (kind, number) = (kind_name(port.kind.unwrap_or(0)), port.port.unwrap_or(0).to_string());
        if let Some(wanted) = w.kind.filter(|t| *t != kind) {
            out.error(format!("{}: can't change type from {kind} to {wanted}", w.name));
        } else if let Some(wanted) = w.number.filter(|n| *n != number) {
            out.error(format!("{}: can't change port number from {number} to {wanted}", w.name));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_numbers_are_what_the_text_begins_with() {
        let check = |text: &str, want: u32| assert_eq!(leading_number(text), want, "{text}");
        check("5", 5);
        check("5x", 5);
        check("x", 0);
        check("", 0);
        check("99999999999", 0);
    }
}
