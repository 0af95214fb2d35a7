//! Limits of connection tracking zones.

use super::{Done, Outcome, choose_before_options, failure};
use crate::Limits;
use io::program::strerror;
use netlink::ct_limit::{DEFAULT_ZONE, ZoneLimit};

fn limits() -> Result<Limits, Outcome> {
    Limits::open().or_else(|e| failure(format!("opening limits ({})", strerror(&e))))
}

fn zone(text: &str) -> Result<i32, Outcome> {
    match text.parse::<u16>() {
        Ok(z) => Ok(z.into()),
        Err(_) => failure("invalid zone (Invalid argument)"),
    }
}

/// `zone=N1[,N2]...`
fn zones(text: &str) -> Result<Vec<i32>, Outcome> {
    match text.strip_prefix("zone=") {
        Some(list) => list.split(',').map(zone).collect(),
        None => failure(format!("invalid argument {text} (Invalid argument)")),
    }
}

/// `ct-set-limits [dp] [default=L] [zone=N,limit=L]...`
pub(super) fn set(args: &[String]) -> Done {
    let (_, args) = choose_before_options(args)?;
    let mut wanted = vec![];
    for text in args {
        let bad = || failure("failed to parse zone limit (Invalid argument)");
        if let Some(limit) = text.strip_prefix("default=") {
            let Ok(limit) = limit.parse() else {
                return failure("invalid default limit (Invalid argument)");
            };
            wanted.push(ZoneLimit { zone: DEFAULT_ZONE, limit, count: 0 });
        } else if let Some((number, limit)) = text.strip_prefix("zone=").and_then(|t| t.split_once(",limit=")) {
            if limit.is_empty() {
                return failure("field limit missing value (Invalid argument)");
            }
            let Ok(limit) = limit.parse() else { return bad() };
            wanted.push(ZoneLimit { zone: zone(number)?, limit, count: 0 });
        } else {
            return bad();
        }
    }
    match limits()?.set(&wanted) {
        Ok(()) => Ok(Outcome::default()),
        Err(e) => failure(format!("failed to set conntrack limit ({})", strerror(&e))),
    }
}

/// `ct-del-limits [dp] [default] [zone=N1[,N2]...]`
pub(super) fn del(args: &[String]) -> Done {
    let named = args.first().is_some_and(|a| a != "default" && !a.contains('='));
    let (_, args) = super::choose(args, if named { 0 } else { super::MANY })?;
    let mut all = vec![];
    for text in args {
        if text == "default" {
            all.push(DEFAULT_ZONE);
        } else {
            all.extend(zones(text)?);
        }
    }
    match limits()?.delete(&all) {
        Ok(()) => Ok(Outcome::default()),
        Err(e) => failure(format!("failed to delete conntrack limit ({})", strerror(&e))),
    }
}

/// `ct-get-limits [dp] [zone=N1[,N2]...]`
pub(super) fn get(args: &[String]) -> Done {
    let (_, args) = choose_before_options(args)?;
    let mut wanted = vec![];
    for text in args {
        wanted.extend(zones(text)?);
    }
    // Who asks for zones wants to know the default, too.
    if !wanted.is_empty() {
        wanted.insert(0, DEFAULT_ZONE);
    }
    let all = match limits()?.get(&wanted) {
        Ok(l) => l,
        Err(e) => return failure(format!("failed to get conntrack limit ({})", strerror(&e))),
    };
    let mut out = Outcome::default();
    if let Some(d) = all.iter().find(|l| l.zone == DEFAULT_ZONE) {
        out.line(format!("default limit={}", d.limit));
    }
    for l in all.iter().filter(|l| l.zone != DEFAULT_ZONE) {
        out.line(format!("zone={},limit={},count={}", l.zone, l.limit, l.count));
    }
    Ok(out)
}
