//! Conditions on rows (RFC 7047 §5.1 `<condition>`, with the boolean clauses of ovsdb-server(7)).

use ovsdb_data::atom::Symbols;
use ovsdb_data::schema::TableSchema;
use ovsdb_data::{AtomType, ColumnType, Datum, OvsdbError, Result};
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

/// What a clause compares with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
    /// Every element of the argument is in the column
    Includes,
    /// No element of the argument is in the column
    Excludes,
}

impl Function {
    fn from_name(name: &str) -> Option<Function> {
        Some(match name {
            "<" => Function::Less,
            "<=" => Function::LessOrEqual,
            "==" => Function::Equal,
            "!=" => Function::NotEqual,
            ">=" => Function::GreaterOrEqual,
            ">" => Function::Greater,
            "includes" => Function::Includes,
            "excludes" => Function::Excludes,
            _ => return None,
        })
    }

    fn is_relational(self) -> bool {
        matches!(self, Function::Less | Function::LessOrEqual | Function::Greater | Function::GreaterOrEqual)
    }
}

/// One clause.
#[derive(Clone, Debug, PartialEq)]
pub enum Clause {
    /// Always or never true
    Constant(bool),
    /// `[column, function, argument]`
    Test {
        /// Column number
        column: usize,
        /// Comparison
        function: Function,
        /// What the column is compared with
        argument: Datum,
    },
}

/// Clauses that must all be true (in operations), or of which one must be (in monitors).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// The clauses; none are true of every row.
    pub clauses: Vec<Clause>,
}

impl Condition {
    /// Reads an array of clauses.
    pub fn from_json(schema: &TableSchema, value: &Value, mut symbols: Option<&mut dyn Symbols>) -> Result<Condition> {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut clauses = Vec::with_capacity(items.len());
        for item in items {
            let symbols: Option<&mut dyn Symbols> = match &mut symbols {
                Some(symbols) => Some(&mut **symbols),
                None => None,
            };
            clauses.push(Clause::from_json(schema, item, symbols)?);
        }
        Ok(Condition { clauses })
    }

    /// True if all clauses hold. `column` gives the row's columns.
    pub fn all<'r>(&self, column: impl Fn(usize) -> Cow<'r, Datum>) -> bool {
        self.clauses.iter().all(|clause| clause.holds(&column))
    }

    /// True if some clause holds, or there is none.
    pub fn any<'r>(&self, column: impl Fn(usize) -> Cow<'r, Datum>) -> bool {
        self.clauses.is_empty() || self.clauses.iter().any(|clause| clause.holds(&column))
    }

    /// The value that a clause requires a column to equal.
    pub fn equals(&self, wanted: usize) -> Option<&Datum> {
        self.clauses.iter().find_map(|clause| match clause {
            Clause::Test { column, function: Function::Equal, argument } if *column == wanted => Some(argument),
            _ => None,
        })
    }

    /// True if every row satisfies the condition of a monitor.
    pub fn is_always_true(&self) -> bool {
        self.clauses.is_empty() || self.clauses.contains(&Clause::Constant(true))
    }
}

impl Clause {
    fn from_json(schema: &TableSchema, value: &Value, symbols: Option<&mut dyn Symbols>) -> Result<Clause> {
        if let Value::Bool(constant) = value {
            return Ok(Clause::Constant(*constant));
        }
        let Some([Value::String(name), Value::String(function), argument]) = value.as_array().map(Vec::as_slice) else {
            return Err(OvsdbError::syntax(value, "Parse error in condition."));
        };
        let column = schema.column_number(name).ok_or_else(|| unknown_column(schema, name, value))?;
        let column_type = &schema.columns[column].column_type;
        let Some(function) = Function::from_name(function) else {
            return Err(OvsdbError::new("unknown function", format!("No function named {function}.")));
        };
        let argument_type = argument_type(column_type, function)
            .ok_or_else(|| type_mismatch(value, function_name(value), name, column_type))?;
        let argument = Datum::from_json(argument, &argument_type, symbols)?;
        Ok(Clause::Test { column, function, argument })
    }

    fn holds<'r>(&self, row: &impl Fn(usize) -> Cow<'r, Datum>) -> bool {
        match self {
            Clause::Constant(constant) => *constant,
            Clause::Test { column, function, argument } => compare(&row(*column), *function, argument),
        }
    }
}

/// The error for a column that a table does not have.
pub(crate) fn unknown_column(schema: &TableSchema, column: &str, json: &Value) -> OvsdbError {
    OvsdbError::new("unknown column", format!("No column {column} in table {}.", schema.name)).about(json)
}

/// The error for an operator that a column's type does not have.
pub(crate) fn type_mismatch(json: &Value, operator: &str, column: &str, column_type: &ColumnType) -> OvsdbError {
    let english = column_type.to_english();
    OvsdbError::syntax(
        json,
        format!("Type mismatch: \"{operator}\" operator may not be applied to column {column} of type {english}."),
    )
}

fn function_name(clause: &Value) -> &str {
    clause.get(1).and_then(Value::as_str).unwrap_or_default()
}

/// The type of a clause's argument, or `None` if the function does not apply to the column.
fn argument_type(column: &ColumnType, function: Function) -> Option<ColumnType> {
    let mut argument = column.clone();
    if function.is_relational() {
        // ovsdb-server(7) §5.1: sets of at most one number can be compared too.
        let number = matches!(column.key.atom_type, AtomType::Integer | AtomType::Real);
        if !number || column.is_map() || column.n_max != 1 {
            return None;
        }
        argument.n_min = 1;
    } else if matches!(function, Function::Includes | Function::Excludes) && !column.is_scalar() {
        argument.n_min = 0;
        if function == Function::Excludes {
            argument.n_max = u32::MAX;
        }
    }
    Some(argument)
}

fn compare(column: &Datum, function: Function, argument: &Datum) -> bool {
    let order = || match (column.scalar(), argument.scalar()) {
        (Some(a), Some(b)) => Some(a.cmp(b)),
        _ => None,
    };
    match function {
        Function::Equal => column == argument,
        Function::NotEqual => column != argument,
        Function::Less => order() == Some(Ordering::Less),
        Function::LessOrEqual => order().is_some_and(Ordering::is_le),
        Function::Greater => order() == Some(Ordering::Greater),
        Function::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
        Function::Includes => column.includes_all(argument),
        Function::Excludes => column.excludes_all(argument),
    }
}
