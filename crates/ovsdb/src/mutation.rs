//! Mutations of columns (RFC 7047 §5.1 `<mutation>`).

use crate::condition::{type_mismatch, unknown_column};
use ovsdb_data::atom::Symbols;
use ovsdb_data::schema::TableSchema;
use ovsdb_data::{Atom, AtomType, BaseType, ColumnType, Datum, OvsdbError, Result};
use serde_json::Value;

/// What a mutation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutator {
    /// `+=`
    Add,
    /// `-=`
    Subtract,
    /// `*=`
    Multiply,
    /// `/=`
    Divide,
    /// `%=`
    Remainder,
    /// Adds elements that are not there
    Insert,
    /// Removes elements
    Delete,
}

impl Mutator {
    fn from_name(name: &str) -> Option<Mutator> {
        Some(match name {
            "+=" => Mutator::Add,
            "-=" => Mutator::Subtract,
            "*=" => Mutator::Multiply,
            "/=" => Mutator::Divide,
            "%=" => Mutator::Remainder,
            "insert" => Mutator::Insert,
            "delete" => Mutator::Delete,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Mutator::Add => "+=",
            Mutator::Subtract => "-=",
            Mutator::Multiply => "*=",
            Mutator::Divide => "/=",
            Mutator::Remainder => "%=",
            Mutator::Insert => "insert",
            Mutator::Delete => "delete",
        }
    }
}

/// One mutation of one column.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// Column number.
    pub column: usize,
    /// What is done.
    pub mutator: Mutator,
    /// With what.
    pub argument: Datum,
}

impl Mutation {
    /// Reads `[column, mutator, value]`.
    pub fn from_json(schema: &TableSchema, value: &Value, symbols: &mut dyn Symbols) -> Result<Mutation> {
        let Some([Value::String(name), Value::String(mutator), argument]) = value.as_array().map(Vec::as_slice) else {
            return Err(OvsdbError::syntax(value, "Parse error in mutation."));
        };
        let number = schema.column_number(name).ok_or_else(|| unknown_column(schema, name, value))?;
        let column = &schema.columns[number];
        if !column.mutable {
            let details = format!("Cannot mutate immutable column {name} in table {}.", schema.name);
            return Err(OvsdbError::constraint(details).about(value));
        }
        let mutator = Mutator::from_name(mutator)
            .ok_or_else(|| OvsdbError::new("unknown mutator", format!("No mutator named {mutator}.")))?;
        let argument = read_argument(&column.column_type, mutator, argument, symbols)?
            .ok_or_else(|| type_mismatch(value, mutator.name(), name, &column.column_type))?;
        Ok(Mutation { column: number, mutator, argument })
    }

    /// Changes a column, and checks what came out against the column's type.
    pub fn apply(&self, datum: &mut Datum, column_type: &ColumnType) -> Result<()> {
        match self.mutator {
            Mutator::Insert => datum.union(&self.argument, false),
            Mutator::Delete => datum.subtract(&self.argument),
            _ => return self.calculate(datum, &column_type.key),
        }
        let n = datum.len();
        if n < column_type.n_min as usize || column_type.n_max != u32::MAX && n > column_type.n_max as usize {
            let english = column_type.to_english();
            return Err(OvsdbError::constraint(format!("Attempted to store {n} elements in {english}.")));
        }
        Ok(())
    }

    fn calculate(&self, datum: &mut Datum, base: &BaseType) -> Result<()> {
        let Some(argument) = self.argument.scalar() else { return Ok(()) };
        let before = datum.len();
        let mut atoms = Vec::with_capacity(before);
        for atom in datum.atoms() {
            let result = self.calculate_atom(atom, argument)?;
            base.check(&result)?;
            atoms.push(result);
        }
        *datum = Datum::set(atoms);
        if datum.len() != before {
            let details = format!("Result of \"{}\" operation contains duplicates.", self.mutator.name());
            return Err(OvsdbError::constraint(details));
        }
        Ok(())
    }

    fn calculate_atom(&self, atom: &Atom, argument: &Atom) -> Result<Atom> {
        let zero = || OvsdbError::new("domain error", "Division by zero.");
        let range = || {
            let details = format!("Result of \"{}\" operation is out of range.", self.mutator.name());
            OvsdbError::new("range error", details)
        };
        match (atom, argument) {
            (&Atom::Integer(a), &Atom::Integer(b)) => {
                let result = match self.mutator {
                    Mutator::Add => a.checked_add(b),
                    Mutator::Subtract => a.checked_sub(b),
                    Mutator::Multiply => a.checked_mul(b),
                    Mutator::Divide | Mutator::Remainder if b == 0 => return Err(zero()),
                    Mutator::Divide => a.checked_div(b),
                    Mutator::Remainder => a.checked_rem(b),
                    Mutator::Insert | Mutator::Delete => Some(a),
                };
                result.map(Atom::Integer).ok_or_else(range)
            }
            (&Atom::Real(a), &Atom::Real(b)) => {
                let result = match self.mutator {
                    Mutator::Add => a + b,
                    Mutator::Subtract => a - b,
                    Mutator::Multiply => a * b,
                    Mutator::Divide if b == 0.0 => return Err(zero()),
                    Mutator::Divide => a / b,
                    Mutator::Remainder | Mutator::Insert | Mutator::Delete => a,
                };
                if result.is_finite() { Ok(Atom::Real(result + 0.0)) } else { Err(range()) }
            }
            _ => Ok(atom.clone()),
        }
    }
}

/// The argument, or `None` if the mutator does not apply to the column.
fn read_argument(
    column: &ColumnType,
    mutator: Mutator,
    json: &Value,
    symbols: &mut dyn Symbols,
) -> Result<Option<Datum>> {
    let argument_type = match mutator {
        Mutator::Insert | Mutator::Delete if column.is_scalar() => return Ok(None),
        Mutator::Insert => ColumnType { n_min: 0, ..column.clone() },
        Mutator::Delete => {
            let all = column.relaxed();
            // A map loses pairs if they are given, else every key that is given.
            if let (true, Ok(pairs)) = (column.is_map(), Datum::from_json(json, &all, Some(symbols))) {
                return Ok(Some(pairs));
            }
            ColumnType { value: None, ..all }
        }
        _ => {
            let number = match column.key.atom_type {
                AtomType::Integer => true,
                AtomType::Real => mutator != Mutator::Remainder,
                _ => false,
            };
            if !number || column.is_map() {
                return Ok(None);
            }
            ColumnType::from(column.key.atom_type)
        }
    };
    Datum::from_json(json, &argument_type, Some(symbols)).map(Some)
}
