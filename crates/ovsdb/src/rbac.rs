//! Role-based access control (ovsdb-server(7) §3.2, §4.1.3): what a client with a role may write.

use crate::database::Database;
use crate::mutation::Mutation;
use crate::packed;
use ovsdb_data::schema::TableSchema;
use ovsdb_data::{Datum, OvsdbError, Result};
use std::collections::HashMap;

/// The rights of one client.
#[derive(Debug)]
pub struct Rbac {
    role: String,
    id: String,
    /// By table name.
    permissions: HashMap<String, Permission>,
}

#[derive(Debug)]
struct Permission {
    authorization: Vec<String>,
    insert_delete: bool,
    update: Vec<String>,
}

impl Rbac {
    /// The rights of `role` for the client called `id`, or `None` if the database does not control access.
    pub fn new(db: &Database, role: &str, id: &str) -> Option<Rbac> {
        let number = db.table_number("RBAC_Role")?;
        if role.is_empty() {
            return None;
        }
        let roles = &db.tables()[number];
        let (name, list) = (roles.schema.column_number("name")?, roles.schema.column_number("permissions")?);
        let row = roles.rows().find(|(_, row)| packed::column(&roles.schema, row, name).as_str() == Some(role));
        let mut permissions = HashMap::new();
        if let Some((_, row)) = row {
            let target = roles.references.iter().find(|r| r.column == list).and_then(|r| r.value);
            for (table, uuid) in packed::column(&roles.schema, row, list).pairs() {
                let found = target.and_then(|(number, _)| permission(db, number, uuid.as_uuid()?));
                if let (Some(table), Some(found)) = (table.as_str(), found) {
                    permissions.insert(table.to_string(), found);
                }
            }
        }
        Some(Rbac { role: role.to_string(), id: id.to_string(), permissions })
    }

    fn denied(&self, details: String) -> OvsdbError {
        OvsdbError::new(
            "permission error",
            format!("RBAC rules for client \"{}\" role \"{}\" prohibit {details}", self.id, self.role),
        )
    }

    fn authorized(&self, permission: &Permission, schema: &TableSchema, row: &[Datum]) -> bool {
        permission.authorization.iter().any(|rule| {
            if rule.is_empty() {
                return true;
            }
            let (column, key) = match rule.split_once(':') {
                Some((column, key)) => (column, Some(key)),
                None => (rule.as_str(), None),
            };
            let Some(datum) = schema.column_number(column).and_then(|number| row.get(number)) else { return false };
            match key {
                Some(key) => datum.get_str(key) == Some(self.id.as_str()),
                None => datum.atoms().iter().any(|atom| atom.as_str() == Some(self.id.as_str())),
            }
        })
    }

    fn may(&self, schema: &TableSchema, row: &[Datum], allowed: impl Fn(&Permission) -> bool) -> bool {
        self.permissions
            .get(&schema.name)
            .is_some_and(|permission| allowed(permission) && self.authorized(permission, schema, row))
    }

    /// Whether a row may be inserted.
    pub fn check_insert(&self, schema: &TableSchema, row: &[Datum]) -> Result<()> {
        match self.may(schema, row, |permission| permission.insert_delete) {
            true => Ok(()),
            false => Err(self.denied(format!("row insertion into table \"{}\".", schema.name))),
        }
    }

    /// Whether a row may be deleted.
    pub fn check_delete(&self, schema: &TableSchema, row: &[Datum]) -> Result<()> {
        match self.may(schema, row, |permission| permission.insert_delete) {
            true => Ok(()),
            false => Err(self.denied(format!("row deletion from table \"{}\".", schema.name))),
        }
    }

    /// Whether columns of a row may be set.
    pub fn check_update(&self, schema: &TableSchema, row: &[Datum], changes: &[(usize, Datum)]) -> Result<()> {
        for (number, datum) in changes {
            let column = &schema.columns[*number].name;
            let old = &row[*number];
            let keys = || changed_keys(old, datum);
            if !self.may(schema, row, |permission| permission.covers(column, keys())) {
                return Err(self.denied(format!("modification of table \"{}\".", schema.name)));
            }
        }
        Ok(())
    }

    /// Whether columns of a row may be mutated.
    pub fn check_mutate(&self, schema: &TableSchema, row: &[Datum], mutations: &[Mutation]) -> Result<()> {
        for mutation in mutations {
            let column = &schema.columns[mutation.column].name;
            let keys = || mutation.argument.keys().filter_map(|key| key.as_str().map(str::to_string)).collect();
            if !self.may(schema, row, |permission| permission.covers(column, keys())) {
                return Err(self.denied(format!("mutate operation on table \"{}\".", schema.name)));
            }
        }
        Ok(())
    }
}

impl Permission {
    /// True if the column, or every key of it that changes, may be updated.
    fn covers(&self, column: &str, keys: Vec<String>) -> bool {
        self.update.iter().any(|allowed| allowed == column)
            || !keys.is_empty()
                && keys.iter().all(|key| self.update.iter().any(|rule| *rule == format!("{column}:{key}")))
    }
}

fn changed_keys(old: &Datum, new: &Datum) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for (one, other) in [(old, new), (new, old)] {
        let changed = one.pairs().iter().filter(|(key, value)| other.get(key) != Some(value));
        keys.extend(changed.filter_map(|(key, _)| key.as_str().map(str::to_string)));
    }
    keys
}

fn permission(db: &Database, number: usize, uuid: ovsdb_data::Uuid) -> Option<Permission> {
    let table = db.tables().get(number)?;
    let row = table.get(&uuid)?;
    let column = |name: &str| {
        let number = table.schema.column_number(name)?;
        Some(packed::column(&table.schema, row, number))
    };
    let strings = |datum: Option<Datum>| -> Vec<String> {
        datum.iter().flat_map(|d| d.atoms()).filter_map(|atom| atom.as_str().map(str::to_string)).collect()
    };
    Some(Permission {
        authorization: strings(column("authorization")),
        insert_delete: column("insert_delete")?.scalar()?.as_bool()?,
        update: strings(column("update")),
    })
}
