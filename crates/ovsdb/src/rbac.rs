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
    /// Who the client is; nothing is allowed to one that did not say.
    id: Option<String>,
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
    /// The rights of `role` for the client called `id`, who may be unknown, or `None` if the database does not control access.
    pub fn new(db: &Database, role: &str, id: Option<&str>) -> Option<Rbac> {
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
        Some(Rbac { role: role.to_string(), id: id.map(str::to_string), permissions })
    }

    fn denied(&self, details: String) -> OvsdbError {
        OvsdbError::new(
            "permission error",
            format!(
                "RBAC rules for client \"{}\" role \"{}\" prohibit {details}",
                self.id.as_deref().unwrap_or("(null)"),
                self.role
            ),
        )
    }

    fn authorized(&self, permission: &Permission, schema: &TableSchema, row: &[Datum]) -> bool {
        self.id.is_some()
            && permission.authorization.iter().any(|rule| {
                if rule.is_empty() {
                    return true;
                }
                let (column, key) = match rule.split_once(':') {
                    Some((column, key)) => (column, Some(key)),
                    None => (rule.as_str(), None),
                };
                let Some(datum) = schema.column_number(column).and_then(|number| row.get(number)) else { return false };
                match key {
                    Some(key) => datum.get_str(key) == self.id.as_deref(),
                    None => datum.atoms().iter().any(|atom| atom.as_str() == self.id.as_deref()),
                }
            })
    }

    fn may(&self, schema: &TableSchema, row: &[Datum], allowed: impl Fn(&Permission) -> bool) -> bool {
        self.permissions
            .get(&schema.name)
            .is_some_and(|permission| allowed(permission) && self.authorized(permission, schema, row))
    }

    /// Refuses an operation that no row of the table could allow.
    pub fn check_table(&self, schema: &TableSchema, operation: &str) -> Result<()> {
        if self.id.is_some() && self.permissions.contains_key(&schema.name) {
            return Ok(());
        }
        let table = &schema.name;
        Err(self.denied(match operation {
            "delete" => format!("row deletion from table \"{table}\"."),
            "mutate" => format!("mutate operation on table \"{table}\"."),
            _ => format!("modification of table \"{table}\"."),
        }))
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
        for (number, _) in changes {
            let column = &schema.columns[*number].name;
            if !self.may(schema, row, |permission| permission.covers(column)) {
                return Err(self.denied(format!("modification of table \"{}\".", schema.name)));
            }
        }
        Ok(())
    }

    /// Whether columns of a row may be mutated.
    pub fn check_mutate(&self, schema: &TableSchema, row: &[Datum], mutations: &[Mutation]) -> Result<()> {
        for mutation in mutations {
            let column = &schema.columns[mutation.column].name;
            if !self.may(schema, row, |permission| permission.covers(column)) {
                return Err(self.denied(format!("mutate operation on table \"{}\".", schema.name)));
            }
        }
        Ok(())
    }
}

impl Permission {
    /// True if the column may be updated. A `column:key` rule allows nothing, as in the original, whatever its manual says.
    fn covers(&self, column: &str) -> bool {
        self.update.iter().any(|allowed| allowed == column)
    }
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
