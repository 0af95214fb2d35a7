//! Commands of the control socket.

use crate::hosted::Hosted;
use crate::remotes::SharedRemotes;
use crate::upstream::{self, Follower, Kind, Replication, Source};
use crate::{Shared, compaction, config_file, server_db};
use io::unixctl::{self, Answer, Commands, Output};
use io::vlog::Module;
use io::{vlog_info, vlog_warn};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// The commands of the server.
pub fn commands(
    program: &str,
    shared: &Shared,
    remotes: &SharedRemotes,
    replication: &SharedReplication,
    config_file: Option<&String>,
    exit: &Rc<Notify>,
) -> Commands {
    let mut commands = Commands::new(program);
    let notify = exit.clone();
    commands.add_later("exit", "", 0, 1, move |_| {
        notify.notify_one();
        unixctl::when_gone()
    });
    databases(&mut commands, shared, remotes);
    remote_commands(&mut commands, shared, remotes);
    observation(&mut commands, shared, remotes);
    settings(&mut commands, shared);
    roles(&mut commands, shared, replication);
    match config_file {
        None => commands.add("ovsdb-server/reload", "", 0, 0, |_| {
            Err("Configuration file was not specified on command line".into())
        }),
        Some(file) => configured_by_file(&mut commands, shared, remotes, replication, file),
    }
    commands
}

/// `reload`; and the commands that a configuration file leaves without effect say so.
fn configured_by_file(
    commands: &mut Commands,
    shared: &Shared,
    remotes: &SharedRemotes,
    replication: &SharedReplication,
    file: &str,
) {
    let (core, all, roles, name) = (shared.clone(), remotes.clone(), replication.clone(), file.to_string());
    commands.add("ovsdb-server/reload", "", 0, 0, move |_| match config_file::load(&core, &all, &roles, &name) {
        Ok(()) => Ok("".into()),
        Err(_) => Err("Configuration failed.  See the log file for details.".into()),
    });
    for (command, usage) in [
        ("add-db", "DB"),
        ("remove-db", "DB"),
        ("add-remote", "REMOTE"),
        ("remove-remote", "REMOTE"),
        ("set-active-ovsdb-server", ""),
        ("connect-active-ovsdb-server", ""),
        ("disconnect-active-ovsdb-server", ""),
        ("set-active-ovsdb-server-probe-interval", ""),
        ("set-sync-exclude-tables", ""),
    ] {
        let file = file.to_string();
        commands.add(&format!("ovsdb-server/{command}"), usage, 0, 1, move |_| {
            Err(format!("Update the {file} and use ovsdb-server/reload instead"))
        });
    }
}

/// Replication shared between the commands.
pub type SharedReplication = Rc<RefCell<Replication>>;

fn roles(commands: &mut Commands, shared: &Shared, replication: &SharedReplication) {
    let (core, all) = (shared.clone(), replication.clone());
    commands.add("ovsdb-server/set-active-ovsdb-server", "", 1, 1, move |call| {
        let mut all = all.borrow_mut();
        all.active = Some(call.args[0].clone());
        if all.is_backup {
            all.connect(&core)?;
        }
        Ok("".into())
    });
    let all = replication.clone();
    commands.add("ovsdb-server/get-active-ovsdb-server", "", 0, 0, move |_| {
        Ok(all.borrow().active.clone().unwrap_or_default().into())
    });
    let (core, all) = (shared.clone(), replication.clone());
    commands.add("ovsdb-server/connect-active-ovsdb-server", "", 0, 0, move |_| {
        if let Err(reason) = all.borrow_mut().connect(&core) {
            return Ok(reason.into());
        }
        core.borrow_mut().reconnect_unaware("becoming backup");
        Ok("".into())
    });
    let (core, all) = (shared.clone(), replication.clone());
    commands.add("ovsdb-server/disconnect-active-ovsdb-server", "", 0, 0, move |_| {
        all.borrow_mut().disconnect(&core);
        core.borrow_mut().reconnect_unaware("becoming active");
        Ok("".into())
    });
    let (core, all) = (shared.clone(), replication.clone());
    commands.add("ovsdb-server/set-active-ovsdb-server-probe-interval", "", 1, 1, move |call| {
        let ms: u64 = call.args[0].parse().map_err(|_| "Invalid probe interval, integer value expected".to_string())?;
        let mut all = all.borrow_mut();
        all.probe = Some((ms > 0).then(|| Duration::from_millis(ms)));
        if all.is_backup {
            all.connect(&core)?;
        }
        Ok("".into())
    });
    let core = shared.clone();
    commands.add("ovsdb-server/set-relay-source-probe-interval", "", 1, 1, move |call| {
        let ms: i64 = call.args[0].parse().map_err(|_| "Invalid probe interval, integer value expected".to_string())?;
        // Nobody probes faster than once a second; 0 (or less) is never.
        core.borrow_mut().relay_probe.set((ms > 0).then(|| Duration::from_millis(ms.unsigned_abs().max(1000))));
        Ok("".into())
    });
    let (core, all) = (shared.clone(), replication.clone());
    commands.add("ovsdb-server/set-sync-exclude-tables", "", 0, 1, move |call| {
        let mut all = all.borrow_mut();
        let text = call.args.first().map_or("", String::as_str);
        all.set_exclude(text)?;
        if all.is_backup {
            all.connect(&core)?;
        }
        Ok("".into())
    });
    let all = replication.clone();
    commands.add("ovsdb-server/get-sync-exclude-tables", "", 0, 0, move |_| Ok(all.borrow().exclude_text().into()));
    let (core, all) = (shared.clone(), replication.clone());
    commands.add("ovsdb-server/sync-status", "", 0, 0, move |_| Ok(all.borrow().status(&core.borrow()).into()));
    commands
        .add("ovsdb-server/reload", "", 0, 0, |_| Err("Configuration file was not specified on command line".into()));
}

fn databases(commands: &mut Commands, shared: &Shared, remotes: &SharedRemotes) {
    let (core, all) = (shared.clone(), remotes.clone());
    commands.add("ovsdb-server/add-db", "DB", 1, 1, move |call| {
        add_database(&core, &call.args[0])?;
        all.borrow_mut().reconcile(&core);
        Ok("".into())
    });
    let (core, all) = (shared.clone(), remotes.clone());
    commands.add("ovsdb-server/remove-db", "DB", 1, 1, move |call| {
        let name = &call.args[0];
        if name.starts_with('_') {
            return Err("Cannot remove reserved database.".into());
        }
        if core.borrow_mut().remove_database(name).is_none() {
            return Err("Failed to find the database.".into());
        }
        all.borrow_mut().reconcile(&core);
        Ok("".into())
    });
    let core = shared.clone();
    commands.add("ovsdb-server/list-dbs", "", 0, 0, move |_| Ok(lines(core.borrow().dbs.keys().cloned())));
    let core = shared.clone();
    commands.add_later("ovsdb-server/compact", "", 0, 1, move |call| {
        let core = core.clone();
        Box::pin(async move { compact(core, call.args.first().map(String::as_str)).await })
    });
    let core = shared.clone();
    commands.add("ovsdb-server/get-db-storage-status", "DB", 1, 1, move |call| {
        let core = core.borrow();
        let Some(hosted) = core.dbs.get(&call.args[0]) else { return Err("Failed to find the database.".into()) };
        let status = match (&hosted.disk.last_error, &hosted.damage) {
            (Some(error), _) => error.clone(),
            (None, Some(error)) => error.to_string(),
            (None, None) => "ok".to_string(),
        };
        Ok(format!("status: {status}").into())
    });
}

/// Opens a database file and offers it.
pub fn add_database(shared: &Shared, file: &str) -> Result<String, String> {
    if file.starts_with("relay:") {
        return add_relay(shared, file);
    }
    let path = std::path::absolute(file).ok();
    {
        let core = shared.borrow();
        if path.is_some() && core.dbs.values().any(|hosted| hosted.path == path) {
            return Err(format!("ovsdb error: {file}: already open"));
        }
    }
    let hosted = Hosted::open(file).map_err(|error| error.to_string())?;
    if let Some(damage) = &hosted.damage {
        io::vlog_err!(Module::OvsdbServer, "{damage}");
    }
    let name = hosted.name().to_string();
    if shared.borrow().dbs.contains_key(&name) {
        return Err(format!("ovsdb error: {name}: duplicate database name"));
    }
    shared.borrow_mut().add_database(hosted);
    Ok(name)
}

/// Offers a database of another server: `relay:DATABASE:REMOTE[,REMOTE]...`.
fn add_relay(shared: &Shared, text: &str) -> Result<String, String> {
    let mut parts = text.splitn(3, ':').skip(1);
    let (Some(name), Some(remotes)) = (parts.next(), parts.next()) else {
        return Err(format!("ovsdb error: {text}: invalid syntax"));
    };
    if shared.borrow().dbs.contains_key(name) {
        return Err(format!("ovsdb error: {text}: already open"));
    }
    let schema = ovsdb_data::DatabaseSchema {
        name: name.to_string(),
        version: String::new(),
        cksum: String::new(),
        tables: Default::default(),
    };
    let mut hosted = Hosted::in_memory(schema, "relay");
    hosted.connected = false;
    let source = Source {
        database: name.to_string(),
        remotes: remotes.split(',').map(str::to_string).collect(),
        kind: Kind::Relay,
        exclude: HashSet::new(),
        probe: Some(upstream::PROBE),
    };
    let follower: Follower = upstream::start(shared, source);
    hosted.follower = Some(follower);
    hosted.file = Some(text.to_string());
    shared.borrow_mut().add_database(hosted);
    Ok(name.to_string())
}

async fn compact(shared: Shared, wanted: Option<&str>) -> Answer {
    if wanted.is_some_and(|name| name.starts_with('_')) {
        return Err("cannot compact built-in databases".into());
    }
    let names: Vec<String> = {
        let core = shared.borrow();
        let chosen = |name: &&String| !name.starts_with('_') && wanted.is_none_or(|wanted| wanted == name.as_str());
        core.dbs.keys().filter(chosen).cloned().collect()
    };
    if names.is_empty() && wanted.is_some() {
        return Err("no database by that name".into());
    }
    let mut errors = String::new();
    for name in names {
        vlog_info!(Module::OvsdbServer, "compacting {name} database by user request");
        if let Err(error) = compaction::compact(shared.clone(), name, "compacting database online").await {
            errors.push_str(&error);
            errors.push('\n');
        }
    }
    if errors.is_empty() { Ok("".into()) } else { Err(errors) }
}

fn remote_commands(commands: &mut Commands, shared: &Shared, remotes: &SharedRemotes) {
    let (core, all) = (shared.clone(), remotes.clone());
    commands.add("ovsdb-server/add-remote", "REMOTE", 1, 1, move |call| {
        all.borrow_mut().add(&core.borrow(), &call.args[0])?;
        all.borrow_mut().reconcile(&core);
        Ok("".into())
    });
    let (core, all) = (shared.clone(), remotes.clone());
    commands.add("ovsdb-server/remove-remote", "REMOTE", 1, 1, move |call| {
        if !all.borrow_mut().remove(&call.args[0]) {
            return Err("no such remote".into());
        }
        all.borrow_mut().reconcile(&core);
        Ok("".into())
    });
    let all = remotes.clone();
    commands.add("ovsdb-server/list-remotes", "", 0, 0, move |_| Ok(lines(all.borrow().names())));
    let core = shared.clone();
    commands.add("ovsdb-server/reconnect", "", 0, 0, move |_| {
        let mut core = core.borrow_mut();
        let ids: Vec<u64> = core.sessions.keys().copied().collect();
        ids.into_iter().for_each(|id| core.close(id));
        Ok("".into())
    });
}

fn observation(commands: &mut Commands, shared: &Shared, remotes: &SharedRemotes) {
    let (core, of) = (shared.clone(), remotes.clone());
    commands.add("memory/show", "", 0, 0, move |_| Ok(memory(&core, &of).into()));
    commands.add("ovsdb-server/perf-counters-show", "", 0, 0, |_| {
        Ok("performance counter is not supported on this platform".into())
    });
    commands.add("ovsdb-server/perf-counters-clear", "", 0, 0, |_| Ok("".into()));
    let core = shared.clone();
    commands.add("ovsdb-server/tlog-set", "DB:TABLE on|off", 2, 2, move |call| tlog_set(&core, &call.args));
    let core = shared.clone();
    commands.add("ovsdb-server/tlog-list", "", 0, 0, move |_| Ok(tlog_list(&core).into()));
}

/// `atoms`, `cells` and the like, in one line.
pub fn memory(shared: &Shared, remotes: &SharedRemotes) -> String {
    let core = shared.borrow();
    let mut cells = 0;
    let mut weak = 0;
    let mut monitors = 0;
    for hosted in core.dbs.values() {
        for table in hosted.db.tables() {
            cells += table.len() * table.schema.columns.len();
        }
        weak += hosted.db.n_weak_references();
        monitors += hosted.monitors.len();
    }
    let mut out = format!("atoms:{cells} cells:{cells} monitors:{monitors} n-weak-refs:{weak}");
    let sessions = core.sessions.len() + remotes.borrow().n_unconnected();
    if sessions > 0 {
        out.push_str(&format!(" sessions:{sessions}"));
    }
    out.push('\n');
    out
}

fn tlog_set(shared: &Shared, args: &[String]) -> Answer {
    let mut core = shared.borrow_mut();
    let Some((database, table)) = args[0].split_once(':') else { return Err("invalid DB:TABLE argument".into()) };
    let Some(hosted) = core.dbs.get(database) else { return Err("no such database".into()) };
    if hosted.db.table_number(table).is_none() {
        return Err("no such table".into());
    }
    let key = (database.to_string(), table.to_string());
    match args[1].as_str() {
        "on" => drop(core.logged_tables.insert(key)),
        "off" => drop(core.logged_tables.remove(&key)),
        _ => return Err("invalid command argument".into()),
    }
    Ok("".into())
}

fn tlog_list(shared: &Shared) -> String {
    let core = shared.borrow();
    let mut out = format!("{:<16}{:<28}{}\n", "database", "table", "logging");
    out.push_str(&format!("{:<16}{:<28}{}\n", "--------", "-----", "-------"));
    for (name, hosted) in &core.dbs {
        out.push_str(&format!("{name:<16} \n"));
        for table in hosted.db.tables() {
            let table = &table.schema.name;
            let on = core.logged_tables.contains(&(name.clone(), table.clone()));
            out.push_str(&format!("{:<16}{table:<28}{}\n", "", if on { "ON" } else { "OFF" }));
        }
    }
    out
}

fn settings(commands: &mut Commands, shared: &Shared) {
    let core = shared.clone();
    commands.add("ovsdb-server/memory-trim-on-compaction", "on|off", 1, 1, move |call| {
        let on = match call.args[0].as_str() {
            "on" => true,
            "off" => false,
            _ => return Err("invalid argument".into()),
        };
        core.borrow_mut().trim_memory = on;
        let word = if on { "enabled" } else { "disabled" };
        vlog_info!(Module::OvsdbServer, "memory trimming after compaction {word}.");
        Ok("".into())
    });
    let core = shared.clone();
    commands.add("ovsdb-server/disable-monitor-cond", "", 0, 0, move |_| {
        let mut core = core.borrow_mut();
        core.monitor_cond_disabled = true;
        let ids: Vec<u64> = core.sessions.keys().copied().collect();
        ids.into_iter().for_each(|id| core.close(id));
        Ok("".into())
    });
}

fn lines(names: impl IntoIterator<Item = String>) -> Output {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    let mut out = names.join("\n");
    if !out.is_empty() {
        out.push('\n');
    }
    out.into()
}

/// Opens the databases of the command line. An error ends the start.
pub fn open_all(shared: &Shared, files: &[String]) -> Result<(), String> {
    let mut seen: Vec<&String> = Vec::new();
    for file in files {
        if seen.contains(&file) {
            vlog_warn!(Module::OvsdbServer, "Duplicate database configuration: {file}");
            continue;
        }
        seen.push(file);
        if let Err(error) = add_database(shared, file) {
            vlog_warn!(Module::OvsdbServer, "failed to open database '{file}': {error}");
            vlog_warn!(Module::OvsdbServer, "failed to configure databases");
            return Err("server configuration failed".into());
        }
    }
    server_db::refresh(&mut shared.borrow_mut());
    Ok(())
}
