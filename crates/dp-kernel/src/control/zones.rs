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

/// `zone=N,limit=L`
fn zone_limit(text: &str) -> Result<ZoneLimit, Outcome> {
    let (mut number, mut limit) = (None, None);
    for field in text.split(',') {
        let Some((name, value)) = field.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            let name = field.split('=').next().unwrap_or(field);
            return failure(format!("field {name} missing value (Invalid argument)"));
        };
        let unread = || failure(format!("failed to parse field {name} (Invalid argument)"));
        match (name, value.parse::<u16>(), value.parse::<u32>()) {
            ("zone", Ok(n), _) => number = Some(n),
            ("limit", _, Ok(n)) => limit = Some(n),
            ("zone" | "limit", ..) => return unread(),
            _ => return failure(format!("invalid zone limit field: {name} (Invalid argument)")),
        }
    }
    match (number, limit) {
        (Some(zone), Some(limit)) => Ok(ZoneLimit { zone: zone.into(), limit, count: 0 }),
        _ => failure("failed to parse zone limit (Invalid argument)"),
    }
}

/// `ct-set-limits [dp] [default=L] [zone=N,limit=L]...`
pub(super) fn set(args: &[String]) -> Done {
    let (_, args) = choose_before_options(args)?;
    let mut wanted = vec![];
    for text in args {
        if let Some(limit) = text.strip_prefix("default=") {
            let Ok(limit) = limit.parse() else {
                return failure("invalid default limit (Invalid argument)");
            };
            wanted.push(ZoneLimit { zone: DEFAULT_ZONE, limit, count: 0 });
        } else {
            wanted.push(zone_limit(text)?);
        }
    }
    if wanted.is_empty() {
        return failure("too few arguments (Invalid argument)");
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
    if all.is_empty() {
        return failure("too few arguments (Invalid argument)");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_zones_as_text() {
        let check = |text: &str, want: Result<(i32, u32), &str>| {
            let got = zone_limit(text).map(|l| (l.zone, l.limit)).map_err(|o| o.errors.join("\n"));
            assert_eq!(got, want.map_err(|e| format!("{e} (Invalid argument)")), "{text}");
        };
        check("zone=3,limit=5", Ok((3, 5)));
        check("limit=5,zone=3", Ok((3, 5)));
        check("zone=x,limit=1", Err("failed to parse field zone"));
        check("zone=1,limit=x", Err("failed to parse field limit"));
        check("zone=1", Err("failed to parse zone limit"));
        check("zone=1,limit=", Err("field limit missing value"));
        check("foo", Err("field foo missing value"));
        check("zone=1,limit=2,foo=3", Err("invalid zone limit field: foo"));
    }
}
