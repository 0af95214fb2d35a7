//! Walks the members of a JSON object once each, and says which is missing, of a wrong type, or not allowed.

use crate::error::{OvsdbError, Result};
use crate::json;
use serde_json::{Map, Value};

/// JSON types that a member may have, as a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// `null`
    pub const NULL: Kinds = Kinds(1);
    /// `true` and `false`
    pub const BOOLEAN: Kinds = Kinds(2);
    /// An object
    pub const OBJECT: Kinds = Kinds(4);
    /// An array
    pub const ARRAY: Kinds = Kinds(8);
    /// A number that is whole
    pub const INTEGER: Kinds = Kinds(16);
    /// Any number
    pub const NUMBER: Kinds = Kinds(16 | 32);
    /// A string
    pub const STRING: Kinds = Kinds(64);
    /// A string that is an `<id>` (RFC 7047 §3.1)
    pub const ID: Kinds = Kinds(128);
    /// Anything
    pub const ANY: Kinds = Kinds(127);

    /// Either of two.
    pub const fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn allows(self, value: &Value) -> bool {
        let bits = match value {
            Value::Null => 1,
            Value::Bool(_) => 2,
            Value::Object(_) => 4,
            Value::Array(_) => 8,
            Value::Number(_) if json::as_integer(value).is_some() => 16,
            Value::Number(_) => 32,
            Value::String(text) if self.0 & 128 != 0 && json::is_id(text) => 128,
            Value::String(_) => 64,
        };
        self.0 & bits != 0
    }
}

/// A reader of one object. Call [`Members::finish`] at the end: it reports the first problem met.
pub struct Members<'a> {
    json: &'a Value,
    object: Option<&'a Map<String, Value>>,
    name: String,
    used: Vec<&'a str>,
    error: Option<OvsdbError>,
}

impl<'a> Members<'a> {
    /// Starts to read `json`, which error messages call `name`.
    pub fn new(json: &'a Value, name: impl Into<String>) -> Members<'a> {
        let mut members = Members { json, object: json.as_object(), name: name.into(), used: Vec::new(), error: None };
        if members.object.is_none() {
            members.error = Some(OvsdbError::bare_syntax(format!("Parsing {} failed: Object expected.", members.name)));
        }
        members
    }

    /// What is read.
    pub fn json(&self) -> &'a Value {
        self.json
    }

    /// A member that must be there.
    pub fn required(&mut self, member: &str, kinds: Kinds) -> Option<&'a Value> {
        let value = self.optional(member, kinds);
        if value.is_none() && self.object.is_some_and(|object| !object.contains_key(member)) {
            self.raise(format!("Required '{member}' member is missing."));
        }
        value
    }

    /// A member that may be there.
    pub fn optional(&mut self, member: &str, kinds: Kinds) -> Option<&'a Value> {
        let (name, value) = self.object?.get_key_value(member)?;
        self.used.push(name);
        if kinds.allows(value) {
            return Some(value);
        }
        self.raise(format!("Type mismatch for member '{member}'."));
        None
    }

    /// Notes a problem unless there is one already.
    pub fn raise(&mut self, details: impl AsRef<str>) {
        if self.error.is_none() {
            let details = format!("Parsing {} failed: {}", self.name, details.as_ref());
            self.error = Some(OvsdbError::syntax(self.json, details));
        }
    }

    /// The first problem so far.
    pub fn take_error(&mut self) -> Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Reports the first problem; members that nobody asked for are one.
    pub fn finish(mut self) -> Result<()> {
        self.take_error()?;
        let Some(object) = self.object else { return Ok(()) };
        if object.len() != self.used.len()
            && let Some(name) = object.keys().find(|name| !self.used.contains(&name.as_str())).cloned()
        {
            let others = match object.len() - self.used.len() - 1 {
                0 => "is".to_string(),
                1 => "and 1 other member are".to_string(),
                n => format!("and {n} other members are"),
            };
            self.raise(format!("Member '{name}' {others} present but not allowed here."));
        }
        self.take_error()
    }
}
