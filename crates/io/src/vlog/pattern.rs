//! Expands a log pattern: `%` escapes as ovs-appctl(8) lists them under `vlog/set`.

use super::Level;
use clock::WallTime;
use std::time::Duration;

/// What a pattern can show.
pub(super) struct Facts<'a> {
    pub program: &'a str,
    pub module: &'a str,
    pub level: Level,
    pub message: &'a str,
    pub number: u64,
    pub thread: &'a str,
    pub time: WallTime,
    pub elapsed: Duration,
}

/// The pattern with its escapes replaced.
pub(super) fn expand(pattern: &str, f: &Facts<'_>) -> String {
    let mut out = String::new();
    let mut it = pattern.chars().peekable();
    while let Some(c) = it.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let left = it.next_if_eq(&'-').is_some();
        let zero = it.next_if_eq(&'0').is_some();
        let mut width = 0usize;
        while let Some(d) = it.peek().and_then(|c| c.to_digit(10)) {
            width = (width * 10 + d as usize).min(256);
            it.next();
        }
        let Some(kind) = it.next() else { break };
        let mut argument = String::new();
        if it.next_if_eq(&'{').is_some() {
            for c in it.by_ref() {
                if c == '}' {
                    break;
                }
                argument.push(c);
            }
        }
        let field = match kind {
            'A' => f.program.to_string(),
            'B' => (super::DAEMON_FACILITY * 8 + f.level.syslog_severity()).to_string(),
            'c' => f.module.to_string(),
            'd' | 'D' => date(if argument.is_empty() { "%Y-%m-%d %H:%M:%S.###" } else { &argument }, f.time),
            'E' | 'h' => hostname(),
            'm' => f.message.replace('\n', "\n\t"),
            'N' => f.number.to_string(),
            'n' => "\n".to_string(),
            'p' => f.level.name().to_string(),
            'P' => std::process::id().to_string(),
            'r' => f.elapsed.as_millis().to_string(),
            't' => {
                if f.thread.is_empty() {
                    "main".to_string()
                } else {
                    f.thread.to_string()
                }
            }
            'T' if f.thread.is_empty() => String::new(),
            'T' => format!("({})", f.thread),
            other => other.to_string(),
        };
        let pad = width.saturating_sub(field.chars().count());
        let fill = if zero { "0" } else { " " }.repeat(pad);
        if left {
            out.push_str(&field)
        } else {
            out.push_str(&fill)
        }
        if left { out.push_str(&fill) } else { out.push_str(&field) }
    }
    out
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The subset of strftime(3) that log dates use, and `###` for milliseconds.
fn date(format: &str, t: WallTime) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let u = t.utc();
    let mut out = String::new();
    let mut it = format.chars();
    while let Some(c) = it.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match it.next() {
            Some('Y') => out.push_str(&format!("{:04}", u.year)),
            Some('m') => out.push_str(&format!("{:02}", u.month)),
            Some('d') => out.push_str(&format!("{:02}", u.day)),
            Some('e') => out.push_str(&format!("{:2}", u.day)),
            Some('H') => out.push_str(&format!("{:02}", u.hour)),
            Some('M') => out.push_str(&format!("{:02}", u.minute)),
            Some('S') => out.push_str(&format!("{:02}", u.second)),
            Some('T') => out.push_str(&format!("{:02}:{:02}:{:02}", u.hour, u.minute, u.second)),
            Some('F') => out.push_str(&format!("{:04}-{:02}-{:02}", u.year, u.month, u.day)),
            Some('b' | 'h') => out.push_str(MONTHS[(u.month - 1) as usize]),
            Some('Z') => out.push_str("UTC"),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out.replace("###", &format!("{:03}", u.millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expect: &str) {
        let f = Facts {
            program: "ovs-vswitchd",
            module: "bridge",
            level: Level::Warn,
            message: "hello",
            number: 7,
            thread: "handler1",
            time: WallTime { millis: 1_000 },
            elapsed: Duration::from_millis(12),
        };
        assert_eq!(expand(pattern, &f), expect);
    }

    #[test]
    fn patterns() {
        check(
            "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
            "1970-01-01T00:00:01.000Z|00007|bridge(handler1)|WARN|hello",
        );
        check("%-8c|%8c|", "bridge  |  bridge|");
        check("%A%%%r %t", "ovs-vswitchd%12 handler1");
        check("%", "");
    }
}
