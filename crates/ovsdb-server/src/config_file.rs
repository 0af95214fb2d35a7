//! `--config-file`: remotes and databases as one JSON file says (ovsdb-server(1)), read at the start and on `reload`.

use crate::Shared;
use crate::control::{self, SharedReplication};
use crate::remotes::{self, SharedRemotes};
use crate::upstream::{self, Kind, Source};
use io::vlog::Module;
use io::{vlog_err, vlog_info, vlog_warn};
use ovsdb_data::json;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// What a file says.
#[derive(Debug, Default)]
pub struct Contents {
    remotes: BTreeMap<String, remotes::Settings>,
    databases: BTreeMap<String, Wanted>,
}

/// A database that the file wants.
#[derive(Debug, Default)]
struct Wanted {
    relay: bool,
    backup: bool,
    sources: Vec<(String, Option<Option<Duration>>)>,
    exclude: HashSet<String>,
}

/// Loads a file and makes the server what it says. The error was logged.
pub fn load(
    shared: &Shared,
    remotes: &SharedRemotes,
    replication: &SharedReplication,
    file: &str,
) -> Result<(), String> {
    vlog_info!(Module::OvsdbServer, "loading configuration from '{file}'");
    let failed = || "server configuration failed".to_string();
    let text = std::fs::read(file).map_err(|error| {
        let reason = io::program::strerror(&error);
        vlog_err!(Module::OvsdbServer, "failed to open configuration file '{file}': {reason}");
        failed()
    })?;
    let parsed = serde_json::from_slice(&text).map_err(|error| format!("config: reading JSON failed ({error})"));
    let contents = parsed.and_then(|value: Value| parse(&value)).map_err(|error| {
        vlog_warn!(Module::OvsdbServer, "{error}");
        vlog_warn!(Module::OvsdbServer, "failed to load configuration from {file}");
        failed()
    })?;
    apply_databases(shared, replication, &contents.databases).map_err(|error| {
        vlog_warn!(Module::OvsdbServer, "{error}");
        vlog_warn!(Module::OvsdbServer, "failed to configure databases");
        failed()
    })?;
    let mut all = remotes.borrow_mut();
    all.replace(&shared.borrow(), contents.remotes).map_err(|error| {
        vlog_warn!(Module::OvsdbServer, "failed to configure remotes: {error}");
        failed()
    })?;
    all.reconcile(shared);
    Ok(())
}

fn parse(value: &Value) -> Result<Contents, String> {
    let object = value.as_object().ok_or("configuration in a file must be a JSON object")?;
    if let Some(unknown) = object.keys().find(|key| *key != "remotes" && *key != "databases") {
        return Err(format!("config: unknown member '{unknown}'"));
    }
    let mut contents = Contents::default();
    for (target, options) in section(object, "remotes")? {
        contents.remotes.insert(target.clone(), remote_settings(target, options)?);
    }
    for (name, options) in section(object, "databases")? {
        contents.databases.insert(name.clone(), database(name, options)?);
    }
    Ok(contents)
}

fn section<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Map<String, Value>, String> {
    let section = object.get(name).ok_or_else(|| format!("config: required member '{name}' is missing"))?;
    section.as_object().ok_or_else(|| format!("config: '{name}' must be a JSON object"))
}

fn milliseconds(target: &str, name: &str, value: &Value) -> Result<u64, String> {
    let number = json::as_integer(value).and_then(|n| u64::try_from(n).ok());
    number.ok_or_else(|| format!("config: {target}: '{name}' must be a number of milliseconds"))
}

/// The options of a remote or a database; `null` for none.
fn options_of<'a>(name: &str, options: &'a Value) -> Result<Vec<(&'a String, &'a Value)>, String> {
    match options {
        Value::Object(options) => Ok(options.iter().collect()),
        Value::Null => Ok(Vec::new()),
        _ => Err(format!("config: {name}: options must be a JSON object")),
    }
}

fn remote_settings(target: &str, options: &Value) -> Result<remotes::Settings, String> {
    let mut settings = remotes::Settings::default();
    let options = options_of(target, options)?;
    for (name, value) in options {
        let wrong = || format!("config: {target}: bad value of '{name}'");
        match name.as_str() {
            "max-backoff" => {
                settings.max_backoff = Some(Duration::from_millis(milliseconds(target, name, value)?.max(1000)))
            }
            "inactivity-probe" => {
                let ms = milliseconds(target, name, value)?;
                settings.probe = Some((ms > 0).then(|| Duration::from_millis(ms.max(1000))));
            }
            "read-only" => settings.read_only = value.as_bool().ok_or_else(wrong)?,
            "role" => settings.role = value.as_str().ok_or_else(wrong)?.to_string(),
            "dscp" => {
                milliseconds(target, name, value)?;
            }
            other => return Err(format!("config: {target}: unknown option '{other}'")),
        }
    }
    Ok(settings)
}

fn database(name: &str, options: &Value) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    let mut model = "";
    let options = options_of(name, options)?;
    for (option, value) in options {
        let wrong = || format!("config: {name}: bad value of '{option}'");
        match option.as_str() {
            "service-model" => model = value.as_str().ok_or_else(wrong)?,
            "backup" => wanted.backup = value.as_bool().ok_or_else(wrong)?,
            "exclude-tables" => {
                let tables = value.as_array().ok_or_else(wrong)?;
                wanted.exclude = tables.iter().filter_map(|t| t.as_str().map(str::to_string)).collect();
            }
            "source" => {
                for (target, options) in value.as_object().ok_or_else(wrong)? {
                    wanted.sources.push((target.clone(), remote_settings(target, options)?.probe));
                }
            }
            other => return Err(format!("config: {name}: unknown option '{other}'")),
        }
    }
    match model {
        "" | "standalone" => wanted.backup = false,
        "active-backup" | "relay" if wanted.sources.is_empty() => {
            return Err(format!("config: {name}: service model {model} needs a 'source'"));
        }
        "active-backup" => {}
        "relay" => wanted.relay = true,
        "clustered" => return Err(format!("config: {name}: clustered databases are not supported by this version")),
        other => return Err(format!("config: {name}: unknown service model '{other}'")),
    }
    Ok(wanted)
}

fn apply_databases(
    shared: &Shared,
    replication: &SharedReplication,
    wanted: &BTreeMap<String, Wanted>,
) -> Result<(), String> {
    let argument = |name: &String, one: &Wanted| match one.relay {
        true => {
            let remotes: Vec<&str> = one.sources.iter().map(|(target, _)| target.as_str()).collect();
            format!("relay:{name}:{}", remotes.join(","))
        }
        false => name.clone(),
    };
    let arguments: Vec<String> = wanted.iter().map(|(name, one)| argument(name, one)).collect();
    let gone: Vec<String> = {
        let core = shared.borrow();
        let named = core.dbs.iter().filter(|(name, _)| !name.starts_with('_'));
        let stays = |hosted: &crate::hosted::Hosted| hosted.file.as_ref().is_some_and(|file| arguments.contains(file));
        named.filter(|(_, hosted)| !stays(hosted)).map(|(name, _)| name.clone()).collect()
    };
    for name in gone {
        shared.borrow_mut().remove_database(&name);
    }
    let mut sources = Vec::new();
    for ((_, one), argument) in wanted.iter().zip(&arguments) {
        let open =
            shared.borrow().dbs.values().find(|h| h.file.as_ref() == Some(argument)).map(|h| h.name().to_string());
        let name = match open {
            Some(name) => name,
            None => control::add_database(shared, argument)
                .map_err(|e| format!("failed to open database '{argument}': {e}"))?,
        };
        if one.relay {
            continue;
        }
        if let Some(hosted) = shared.borrow_mut().dbs.get_mut(&name) {
            hosted.read_only = one.backup;
        }
        if one.backup {
            sources.push(Source {
                database: name,
                remotes: one.sources.iter().map(|(target, _)| target.clone()).collect(),
                kind: Kind::Backup,
                exclude: one.exclude.clone(),
                probe: one.sources.first().and_then(|(_, probe)| *probe).unwrap_or(Some(upstream::PROBE)),
            });
        }
    }
    replication.borrow_mut().follow(shared, sources);
    Ok(())
}
