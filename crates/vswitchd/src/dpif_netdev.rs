//! Control commands about the polling threads of userspace datapaths: `dpif-netdev/*`.

use crate::app::App;
use crate::backer::Backer;
use dp_user::Userspace;
use dp_user::show::{PolledBy, Rxqs};
use io::unixctl::{ANY_NUMBER, Answer, Call, Commands};
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// Adds the commands.
pub fn add(c: &mut Commands, app: &Rc<App>) {
    let mut command = |name: &str, usage: &str, min, max, handler: fn(&App, &Call) -> Answer| {
        let app = app.clone();
        c.add(name, usage, min, max, move |call| handler(&app, call));
    };
    let core = "[-pmd core] [dp]";
    command("dpif-netdev/pmd-stats-show", core, 0, ANY_NUMBER, perf_show);
    command("dpif-netdev/pmd-stats-clear", core, 0, 3, |app, call| {
        let o = Options::of(call)?;
        named(app, o.dp, |d| d.clear_stats(o.core))?;
        call.done()
    });
    command("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, |app, call| {
        let o = Options::of(call)?;
        named(app, o.dp, |d| {
            let threads = d.rxqs(o.core, o.seconds);
            call.answer(threads.to_string(), || threads_json(&threads))
        })?
    });
    command("dpif-netdev/pmd-sleep-show", "[dp]", 0, 1, |app, call| {
        let o = Options::of(call)?;
        let sleeps = named(app, o.dp, |d| (d.sleep_text(), d.sleeps()))?;
        call.answer(sleeps.0, || {
            let one = |(core, us): (u32, u64)| json!({"core": core, "max_sleep_us": us});
            json!({"default_us": sleeps.1.0, "threads": sleeps.1.1.into_iter().map(one).collect::<Vec<_>>()})
        })
    });
    let usage = "[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]";
    command("dpif-netdev/pmd-perf-show", usage, 0, 8, perf_show);
    let usage = "on|off [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]";
    command("dpif-netdev/pmd-perf-log-set", usage, 0, 10, log_set);
    command("dpif-netdev/pmd-rxq-rebalance", "[dp]", 0, 1, |app, call| {
        existing(app, call, |d| d.rebalance())?;
        call.answer("pmd rxq rebalance requested.\n", || json!({}))
    });
    // Bonds do without tables in the datapath here: their members are chosen when a flow is made.
    command("dpif-netdev/bond-show", "[dp]", 0, 1, |app, call| {
        existing(app, call, |_| ())?;
        call.answer("", || json!([]))
    });
}

/// What the commands are told.
#[derive(Default)]
struct Options<'a> {
    core: Option<u32>,
    seconds: Option<u64>,
    dp: Option<&'a str>,
}

impl<'a> Options<'a> {
    fn of(call: &'a Call) -> Result<Self, String> {
        let mut o = Options::default();
        let mut args = call.args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "-pmd" => o.core = args.next().and_then(|v| v.parse().ok()),
                "-secs" => o.seconds = args.next().and_then(|v| v.parse().ok()),
                "-it" | "-ms" => {
                    args.next();
                }
                "-nh" => {}
                name => o.dp = Some(name),
            }
        }
        Ok(o)
    }
}

fn is_named(b: &Backer, name: &str) -> bool {
    b.full_name() == name || b.datapath().name() == name
}

/// Does something with the datapath of a name, or with the only one there is, however it is called.
fn named<T>(app: &App, name: Option<&str>, f: impl FnOnce(&Userspace) -> T) -> Result<T, String> {
    let state = app.state.borrow();
    let mut all = state.backers.values().filter(|b| b.userspace().is_some());
    let found = match (all.next(), all.next()) {
        (Some(only), None) => Some(only),
        _ => name.and_then(|n| state.backers.values().find(|b| is_named(b, n))),
    };
    found.and_then(Backer::userspace).map(|d| f(d)).ok_or_else(|| "please specify an existing datapath".into())
}

fn existing<T>(app: &App, call: &Call, f: impl FnOnce(&Userspace) -> T) -> Result<T, String> {
    let known = call.arg(0).is_none_or(|n| app.state.borrow().backers.values().any(|b| is_named(b, n)));
    if known { named(app, call.arg(0), f) } else { Err("please specify an existing datapath".into()) }
}

fn perf_show(app: &App, call: &Call) -> Answer {
    let o = Options::of(call)?;
    let time = clock::WallTime::now().utc();
    let time = format!("{:02}:{:02}:{:02}.{:03}", time.hour, time.minute, time.second, time.millis);
    named(app, o.dp, |d| call.answer(d.perf_text(o.core, &time), || perf_json(d, o.core)))?
}

/// What polling threads poll, as JSON.
fn threads_json(all: &Rxqs) -> Value {
    let thread = |t: &PolledBy| {
        let queue = |(port, queue, percent): &(String, u32, Option<u64>)| json!({"port": port, "queue": queue, "percent": percent});
        json!({
            "numa": t.place.numa,
            "core": t.place.core,
            "isolated": t.isolated,
            "queues": t.queues.iter().map(queue).collect::<Vec<_>>(),
            "overhead_percent": t.overhead,
        })
    };
    json!({"seconds": all.seconds, "threads": all.threads.iter().map(thread).collect::<Vec<_>>()})
}

/// Counters of threads, as JSON.
fn perf_json(d: &Userspace, core: Option<u32>) -> Value {
    let one = |(place, seconds, stats): (Option<dp_user::Place>, f64, dp_user::ThreadStats)| {
        let counters: Map<String, Value> = stats.named().into_iter().map(|(k, n)| (k.to_string(), n.into())).collect();
        let (numa, core) = (place.map(|p| p.numa), place.map(|p| p.core));
        json!({"numa": numa, "core": core, "seconds": seconds, "counters": counters})
    };
    d.thread_stats(core).into_iter().map(one).collect()
}

/// Suspicious iterations are not logged by this switch; the command takes what the original's takes.
fn log_set(_: &App, call: &Call) -> Answer {
    let usage =
        "Usage: ovs-appctl dpif-netdev/pmd-perf-log-set [on|off] [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]";
    let mut args = call.args.iter();
    while let Some(arg) = args.next() {
        let fits = match arg.as_str() {
            "on" | "off" | "-e" | "-ne" => true,
            "-b" | "-a" | "-us" | "-q" => args.next().is_some_and(|v| v.parse::<u64>().is_ok()),
            _ => false,
        };
        if !fits {
            return Err(usage.into());
        }
    }
    call.done()
}
