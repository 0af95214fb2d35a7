//! Which rows of a table are replicated (`<condition>` of RFC 7047 §5.1, as monitors take it).

use ovsdb_data::Datum;
use serde_json::{Value, json};

/// How a clause compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// The column holds every element
    Includes,
    /// The column holds no element
    Excludes,
}

impl Compare {
    fn name(self) -> &'static str {
        match self {
            Compare::Equal => "==",
            Compare::NotEqual => "!=",
            Compare::Less => "<",
            Compare::LessOrEqual => "<=",
            Compare::Greater => ">",
            Compare::GreaterOrEqual => ">=",
            Compare::Includes => "includes",
            Compare::Excludes => "excludes",
        }
    }
}

/// Rows for which at least one clause is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(Vec<Value>);

impl Condition {
    /// Every row.
    pub fn every_row() -> Condition {
        Condition(vec![json!(true)])
    }

    /// No row, until clauses are added.
    pub fn no_row() -> Condition {
        Condition(vec![json!(false)])
    }

    /// Adds rows whose column compares so.
    pub fn or(mut self, column: &str, compare: Compare, value: &Datum) -> Condition {
        self.0.retain(|clause| *clause != json!(false));
        self.0.push(json!([column, compare.name(), value.to_json()]));
        self
    }

    /// The JSON form.
    pub fn to_json(&self) -> Value {
        Value::from(self.0.clone())
    }
}
