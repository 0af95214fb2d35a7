//! The methods of the protocol (RFC 7047 §4.1, ovsdb-server(7) §4.1.12 to §4.1.19).

use crate::core::{Core, Monitor, SessionId};
use crate::{compaction, server_db};
use ovsdb::monitor::{MonitorSpec, Version};
use ovsdb_data::{DatabaseSchema, OvsdbError, Uuid, json};
use serde_json::{Value, json};
use std::rc::Rc;

impl Core {
    /// Handles a request; the reply is queued.
    pub fn request(&mut self, session: SessionId, id: Value, method: &str, mut params: Value) {
        if method == "transact" {
            match self.database_param(&params, "transact") {
                Ok(name) if self.dbs[&name].model == "relay" && writes(&params) => {
                    self.forwards.entry(name).or_default().push(session, id, params);
                }
                Ok(name) => {
                    let mut operations = params.as_array_mut().map(std::mem::take).unwrap_or_default();
                    operations.remove(0);
                    self.transact(session, id, &name, operations);
                }
                Err(error) => self.reply_error(session, &id, &error.to_json()),
            }
            return;
        }
        let conditional = !self.monitor_cond_disabled;
        let result = match method {
            "list_dbs" => Ok(json::to_string(&Value::from_iter(self.dbs.keys().cloned())).into_bytes()),
            "get_schema" => self.get_schema(&params),
            "monitor" => self.monitor(session, &params, Version::V1),
            "monitor_cond" if conditional => self.monitor(session, &params, Version::V2),
            "monitor_cond_since" if conditional => self.monitor(session, &params, Version::V3),
            "monitor_cond_change" if conditional => self.monitor_cond_change(session, &params),
            "monitor_cancel" => return self.monitor_cancel(session, &id, &params),
            "lock" => self.lock_method(session, &params, false),
            "steal" => self.lock_method(session, &params, true),
            "unlock" => self.unlock(session, &params),
            "echo" => Ok(json::to_string(&params).into_bytes()),
            "get_server_id" => Ok(format!("\"{}\"", self.server_id).into_bytes()),
            "set_db_change_aware" => self.set_db_change_aware(session, &params),
            "convert" => self.convert(&params),
            _ => return self.reply_error(session, &id, &json!("unknown method")),
        };
        match result {
            Ok(result) => self.reply(session, &id, &result),
            Err(error) => self.reply_error(session, &id, &error.to_json()),
        }
    }

    /// Handles a notification. Only `cancel` means anything; others are ignored.
    pub fn notification(&mut self, session: SessionId, method: &str, params: &Value) {
        if method == "cancel"
            && let Some([id]) = params.as_array().map(Vec::as_slice)
            && self.cancel(session, id)
        {
            // RFC 7047 §4.1.4: the canceled request gets an error reply.
            self.reply_error(session, id, &json!("canceled"));
        }
    }

    fn database_param(&self, params: &Value, method: &str) -> Result<String, OvsdbError> {
        let Some(name) = params.get(0).and_then(Value::as_str) else {
            let details = format!("{method} request params must begin with <db-name>");
            return Err(OvsdbError::syntax(params, details));
        };
        if !self.dbs.contains_key(name) {
            let details = format!("{method} request specifies unknown database {name}");
            return Err(OvsdbError::new("unknown database", details).about(params));
        }
        Ok(name.to_string())
    }

    fn get_schema(&self, params: &Value) -> Result<Vec<u8>, OvsdbError> {
        let name = self.database_param(params, "get_schema")?;
        Ok(json::to_string(&self.dbs[&name].db.schema().to_json()).into_bytes())
    }

    fn monitor(&mut self, session: SessionId, params: &Value, version: Version) -> Result<Vec<u8>, OvsdbError> {
        let method = match version {
            Version::V1 => "monitor",
            Version::V2 => "monitor_cond",
            Version::V3 => "monitor_cond_since",
        };
        let name = self.database_param(params, method)?;
        let parts = params.as_array().map(Vec::as_slice).unwrap_or_default();
        let wanted = if version == Version::V3 { 4 } else { 3 };
        if parts.len() != wanted {
            return Err(OvsdbError::syntax(params, "invalid parameters"));
        }
        let key: Rc<str> = json::to_string(&parts[1]).into();
        let Some(hosted) = self.dbs.get_mut(&name) else { return Ok(b"null".to_vec()) };
        let known = self.sessions.get(&session).is_some_and(|s| s.monitors.contains_key(&key));
        if known && parts[2].is_object() {
            return Err(OvsdbError::syntax(&parts[1], "duplicate monitor ID"));
        }
        let spec = MonitorSpec::from_json(&hosted.db, &parts[2], version)?;
        let since = match version {
            Version::V3 => {
                let uuid = parts[3].as_str().and_then(Uuid::parse);
                Some(uuid.ok_or_else(|| OvsdbError::syntax(&parts[3], "last-txn-id must be UUID format."))?)
            }
            _ => None,
        };
        let result = match since {
            None => spec.initial(&hosted.db),
            Some(since) => {
                let caught_up = if since.is_zero() { None } else { spec.catch_up(&hosted.db, since) };
                let found = caught_up.is_some();
                let body = caught_up.unwrap_or_else(|| spec.initial(&hosted.db));
                let head = format!("[{found},\"{}\",", hosted.db.last_id());
                let mut result = Vec::with_capacity(head.len() + body.len() + 1);
                result.extend_from_slice(head.as_bytes());
                result.extend_from_slice(&body);
                result.push(b']');
                result
            }
        };
        let spec = hosted.monitors.add(spec, (session, key.clone()));
        if let Some(session) = self.sessions.get_mut(&session) {
            session.monitors.insert(key, Monitor { database: name, spec });
        }
        Ok(result)
    }

    fn monitor_cond_change(&mut self, session: SessionId, params: &Value) -> Result<Vec<u8>, OvsdbError> {
        let Some([old_name, new_name, requests]) = params.as_array().map(Vec::as_slice) else {
            return Err(OvsdbError::syntax(params, "invalid parameters"));
        };
        let (old_key, new_key): (Rc<str>, Rc<str>) =
            (json::to_string(old_name).into(), json::to_string(new_name).into());
        let Core { sessions, dbs, .. } = self;
        let Some(client) = sessions.get_mut(&session) else { return Ok(b"{}".to_vec()) };
        let Some(monitor) = client.monitors.get(&old_key) else {
            return Err(OvsdbError::syntax(old_name, "unknown monitor session"));
        };
        if old_key != new_key && client.monitors.contains_key(&new_key) {
            return Err(OvsdbError::syntax(new_name, "duplicate monitor ID"));
        }
        let Some(hosted) = dbs.get_mut(&monitor.database) else { return Ok(b"{}".to_vec()) };
        let old = monitor.spec.clone();
        let spec = old.with_conditions(&hosted.db, requests)?;
        let update = spec.condition_change(&hosted.db, &old);
        let (version, last) = (spec.version, hosted.db.last_id());
        hosted.monitors.remove(&(session, old_key.clone()));
        let spec = hosted.monitors.add(spec, (session, new_key.clone()));
        if let Some(mut monitor) = client.monitors.remove(&old_key) {
            monitor.spec = spec;
            client.monitors.insert(new_key.clone(), monitor);
        }
        if let Some(update) = update {
            self.push_monitor(&(session, new_key), version, last, &update);
        }
        Ok(b"{}".to_vec())
    }

    fn monitor_cancel(&mut self, session: SessionId, id: &Value, params: &Value) {
        let Some([name]) = params.as_array().map(Vec::as_slice) else {
            return self.reply_error(session, id, &json!("invalid parameters"));
        };
        let key: Rc<str> = json::to_string(name).into();
        let monitor = self.sessions.get_mut(&session).and_then(|s| s.monitors.remove(&key));
        let Some(monitor) = monitor else { return self.reply_error(session, id, &json!("unknown monitor")) };
        if let Some(hosted) = self.dbs.get_mut(&monitor.database) {
            hosted.monitors.remove(&(session, key));
        }
        self.reply(session, id, b"{}");
    }

    fn lock_method(&mut self, session: SessionId, params: &Value, steal: bool) -> Result<Vec<u8>, OvsdbError> {
        let method = if steal { "steal" } else { "lock" };
        let name = lock_name(params, method)?;
        if self.sessions.get(&session).is_some_and(|s| s.locks.contains(name)) {
            return Err(OvsdbError::syntax(params, format!("must issue \"unlock\" before new \"{method}\"")));
        }
        let locked = if steal {
            self.steal(session, name);
            true
        } else {
            self.lock(session, name)
        };
        Ok(format!("{{\"locked\":{locked}}}").into_bytes())
    }

    fn unlock(&mut self, session: SessionId, params: &Value) -> Result<Vec<u8>, OvsdbError> {
        let name = lock_name(params, "unlock")?;
        if !self.sessions.get(&session).is_some_and(|s| s.locks.contains(name)) {
            return Err(OvsdbError::syntax(params, "unlock: \"unlock\" without \"lock\" or \"steal\""));
        }
        self.release(session, name);
        Ok(b"{}".to_vec())
    }

    fn set_db_change_aware(&mut self, session: SessionId, params: &Value) -> Result<Vec<u8>, OvsdbError> {
        let Some([Value::Bool(aware)]) = params.as_array().map(Vec::as_slice) else {
            return Err(OvsdbError::syntax(params, "set_db_change_aware: true or false parameter expected"));
        };
        if let Some(session) = self.sessions.get_mut(&session) {
            session.change_aware = *aware;
        }
        Ok(b"{}".to_vec())
    }

    fn convert(&mut self, params: &Value) -> Result<Vec<u8>, OvsdbError> {
        let name = self.database_param(params, "convert")?;
        let Some([_, schema]) = params.as_array().map(Vec::as_slice) else {
            return Err(OvsdbError::syntax(params, "array expected"));
        };
        let schema = DatabaseSchema::from_json(schema)?;
        self.convert_database(&name, schema)?;
        Ok(b"{}".to_vec())
    }

    /// Puts a database under another schema, in memory and on disk.
    pub fn convert_database(&mut self, name: &str, schema: DatabaseSchema) -> Result<(), OvsdbError> {
        let Some(hosted) = self.dbs.get_mut(name) else { return Ok(()) };
        if hosted.read_only {
            return Err(OvsdbError::new(
                "not allowed",
                "convert operation not allowed when database server is in read only mode",
            ));
        }
        ovsdb::convert::check_name(name, &schema)?;
        let converted = ovsdb::convert::convert(&hosted.db, schema, crate::hosted::random_seed())?;
        compaction::replace(hosted, converted, "converting schema online")?;
        self.end_monitors(name);
        self.cancel_database(name, &OvsdbError::new("canceled", "database schema is being converted"));
        self.reconnect_unaware(&format!("committed {name} database schema conversion"));
        server_db::refresh(self);
        Ok(())
    }
}

/// True if a transaction has to be executed by the source of a relay.
fn writes(params: &Value) -> bool {
    let reads = |operation: &Value| {
        let op = operation.get("op").and_then(Value::as_str).unwrap_or_default();
        matches!(op, "select" | "wait" | "comment" | "abort")
    };
    !params.as_array().into_iter().flatten().skip(1).all(reads)
}

fn lock_name<'a>(params: &'a Value, method: &str) -> Result<&'a str, OvsdbError> {
    match params.as_array().map(Vec::as_slice) {
        Some([Value::String(name)]) if json::is_id(name) => Ok(name),
        _ => Err(OvsdbError::syntax(params, format!("{method} request params must be <id>"))),
    }
}
