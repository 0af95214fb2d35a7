//! Rows of `Controller`: which sockets a bridge listens on and which controllers it connects to.

use crate::app::App;
use crate::config::{self, ControllerConfig};
use crate::openflow::{self, Keep, Kind};
use io::stream::OPENFLOW_PORT;
use io::vlog::Module;
use io::{Remote, dirs, vlog_err, vlog_warn};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use switch::conn::Class;

/// Sockets and controllers of a bridge, and the mode that follows from them.
pub async fn follow(app: &Rc<App>, name: &str, wanted: &config::BridgeConfig) {
    let mut targets: BTreeMap<String, (Remote, Kind)> = BTreeMap::new();
    // A name too odd for a file has been refused when the configuration was read.
    for (suffix, kind) in [("mgmt", Kind::SERVICE), ("snoop", Kind::SNOOP)] {
        let socket = Remote::PassiveUnix(dirs::rundir().join(format!("{name}.{suffix}")));
        targets.insert(socket.to_string(), (socket, kind));
    }
    let mut active = false;
    for c in &wanted.controllers {
        if c.target == "none" {
            continue;
        }
        match Remote::parse(&c.target, OPENFLOW_PORT) {
            Ok(Remote::PassiveUnix(path)) if !may_listen(&path, name) => {
                let (dir, target) = (dirs::rundir(), &c.target);
                vlog_err!(
                    Module::Bridge,
                    "bridge {name}: Not adding Unix domain socket controller \"{target}\" due to possibility of \
                     overwriting local files. Instead, specify path in permitted format \"punix:{0}/{name}.*\" or \
                     connect to \"unix:{0}/{name}.mgmt\" (which is always available without special configuration).",
                    dir.display()
                );
            }
            Ok(remote) => {
                active |= !remote.is_passive();
                let kind = kind_of(c, &remote);
                targets.insert(remote.to_string(), (remote, kind));
            }
            Err(_) => vlog_warn!(Module::Connmgr, "{name}: unsupported controller \"{}\"", c.target),
        }
    }
    set_mode(app, name, !active && !wanted.fail_secure);
    let present: Vec<String> = {
        let mut state = app.state.borrow_mut();
        let Some(entry) = state.bridges.get_mut(name) else { return };
        entry.endpoints.retain(|t, _| targets.contains_key(t));
        let now = app.clock.now();
        for (target, e) in &entry.endpoints {
            if let Some((_, kind)) = targets.get(target) {
                e.set_kind(&mut entry.bridge, *kind, now);
            }
        }
        entry.endpoints.keys().cloned().collect()
    };
    for (target, (remote, kind)) in targets {
        if present.contains(&target) {
            continue;
        }
        let endpoint = if remote.is_passive() {
            openflow::listen(app, name, &remote, kind).await
        } else {
            Ok(openflow::connect(app, name, remote, kind))
        };
        match endpoint {
            Ok(e) => {
                if let Some(entry) = app.state.borrow_mut().bridges.get_mut(name) {
                    entry.endpoints.insert(target, e);
                }
            }
            Err(e) => vlog_err!(Module::Connmgr, "{name}: {e}"),
        }
    }
}

/// Whether a row of `Controller` may have a socket made: only beside the bridge's own, where no other file can be hurt.
fn may_listen(path: &std::path::Path, bridge: &str) -> bool {
    let file = path.file_name().and_then(|f| f.to_str()).unwrap_or_default();
    path.parent() == Some(dirs::rundir().as_path()) && file.starts_with(&format!("{bridge}."))
}

/// Silence after which a controller is probed at the soonest, and unless configured.
const LEAST_PROBE: Duration = Duration::from_secs(5);

/// The kind of connections that a row of `Controller` asks for.
fn kind_of(c: &ControllerConfig, remote: &Remote) -> Kind {
    let probe = Some(c.inactivity_probe.unwrap_or(LEAST_PROBE)).filter(|p| !p.is_zero()).map(|p| p.max(LEAST_PROBE));
    let keep = Keep { probe, max_backoff: c.max_backoff.unwrap_or(Duration::from_secs(8)), dscp: c.dscp };
    let service = c.service || remote.is_passive();
    let class = if service { Class::Service } else { Class::Primary };
    Kind { class, rate: c.rate, quiet: !c.asynchronous, keep }
}

/// A bridge that gains or loses its controllers, or is told to fail otherwise, starts with empty tables.
fn set_mode(app: &Rc<App>, name: &str, standalone: bool) {
    let now = app.clock.now();
    let mut state = app.state.borrow_mut();
    let Some(entry) = state.bridges.get_mut(name) else { return };
    if entry.standalone.replace(standalone) != Some(standalone) {
        entry.bridge.flush_flows(standalone, now);
    }
}
