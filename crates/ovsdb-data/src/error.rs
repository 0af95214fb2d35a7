//! The error object of RFC 7047 §3.1: a tag, and optionally the details and the JSON text that could not be parsed.

use serde_json::{Map, Value};
use std::fmt;

/// Shorthand for results of this crate and of the engine.
pub type Result<T> = std::result::Result<T, OvsdbError>;

/// An OVSDB `<error>`: clients match on `error`, people read `details`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OvsdbError {
    /// Short tag, such as `constraint violation`.
    pub error: String,
    /// One line for people.
    pub details: Option<String>,
    /// JSON text that the error is about.
    pub syntax: Option<String>,
}

impl OvsdbError {
    /// An error with a tag and details.
    pub fn new(error: &str, details: impl Into<String>) -> OvsdbError {
        OvsdbError { error: error.to_string(), details: Some(details.into()), syntax: None }
    }

    /// A `syntax error` about `json`.
    pub fn syntax(json: &Value, details: impl Into<String>) -> OvsdbError {
        OvsdbError::new("syntax error", details).about(json)
    }

    /// A `syntax error` without the text that it is about.
    pub fn bare_syntax(details: impl Into<String>) -> OvsdbError {
        OvsdbError::new("syntax error", details)
    }

    /// A `constraint violation`.
    pub fn constraint(details: impl Into<String>) -> OvsdbError {
        OvsdbError::new("constraint violation", details)
    }

    /// Adds the JSON text that the error is about.
    pub fn about(mut self, json: &Value) -> OvsdbError {
        self.syntax = Some(crate::json::to_string(json));
        self
    }

    /// The JSON form, members left out when absent.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("error".into(), Value::String(self.error.clone()));
        if let Some(details) = &self.details {
            object.insert("details".into(), Value::String(details.clone()));
        }
        if let Some(syntax) = &self.syntax {
            object.insert("syntax".into(), Value::String(syntax.clone()));
        }
        Value::Object(object)
    }
}

/// The one-line form that tools print: `syntax "…": error: details`.
impl fmt::Display for OvsdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(syntax) = &self.syntax {
            write!(f, "syntax \"{syntax}\": ")?;
        }
        f.write_str(&self.error)?;
        if let Some(details) = &self.details {
            write!(f, ": {details}")?;
        }
        Ok(())
    }
}

impl std::error::Error for OvsdbError {}
