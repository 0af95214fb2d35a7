//! Column types: an atomic type with its constraint for keys, perhaps one for values, and how many (RFC 7047 §3.2).

use crate::atom::{Atom, AtomType};
use crate::datum::Datum;
use crate::error::{OvsdbError, Result};
use crate::json;
use crate::members::{Kinds, Members};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// How a reference to another row behaves when that row goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefKind {
    /// The row cannot go while it is referenced.
    Strong,
    /// The reference goes with the row.
    Weak,
}

/// What a value must satisfy beyond its atomic type.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// Nothing
    None,
    /// One of these values
    Enum(Arc<Datum>),
    /// An inclusive range
    Integer(i64, i64),
    /// An inclusive range
    Real(f64, f64),
    /// A length in characters, inclusive
    Length(u32, u32),
    /// A row of that table
    Reference(Arc<str>, RefKind),
}

/// An atomic type and its constraint (`<base-type>`).
#[derive(Clone, Debug, PartialEq)]
pub struct BaseType {
    /// The atomic type.
    pub atom_type: AtomType,
    /// The constraint.
    pub constraint: Constraint,
}

/// The type of a column (`<type>`).
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnType {
    /// Type of the elements of a set, or of the keys of a map.
    pub key: BaseType,
    /// Type of the values of a map; `None` for a set.
    pub value: Option<BaseType>,
    /// Fewest elements: 0 or 1.
    pub n_min: u32,
    /// Most elements; `u32::MAX` is unlimited.
    pub n_max: u32,
}

impl From<AtomType> for BaseType {
    fn from(atom_type: AtomType) -> BaseType {
        BaseType { atom_type, constraint: Constraint::None }
    }
}

impl BaseType {
    /// The table that values refer to, and how.
    pub fn reference(&self) -> Option<(&str, RefKind)> {
        if let Constraint::Reference(table, kind) = &self.constraint { Some((table, *kind)) } else { None }
    }

    /// The allowed values, if they are enumerated.
    pub fn enumeration(&self) -> Option<&Datum> {
        if let Constraint::Enum(values) = &self.constraint { Some(values) } else { None }
    }

    /// Reads a `<base-type>`.
    pub fn from_json(value: &Value) -> Result<BaseType> {
        if let Value::String(name) = value {
            return Ok(atom_type_named(name, value)?.into());
        }
        let mut members = Members::new(value, "ovsdb type");
        let name = members.required("type", Kinds::STRING);
        members.take_error()?;
        let name = name.and_then(Value::as_str).unwrap_or_default();
        let atom_type = atom_type_named(name, value)?;
        let mut constraint = Constraint::None;
        if let Some(values) = members.optional("enum", Kinds::ANY) {
            constraint = enum_from_json(values, atom_type)?;
        } else {
            match atom_type {
                AtomType::Integer => constraint = integer_range(&mut members, value)?,
                AtomType::Real => constraint = real_range(&mut members, value)?,
                AtomType::String => constraint = length_range(&mut members, value)?,
                AtomType::Uuid => constraint = reference(&mut members)?,
                AtomType::Boolean => {}
            }
        }
        members.finish()?;
        Ok(BaseType { atom_type, constraint })
    }

    /// The JSON form: just the name if there is no constraint.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        match &self.constraint {
            Constraint::None => return Value::from(self.atom_type.name()),
            Constraint::Enum(values) => {
                object.insert("enum".into(), values.to_json());
            }
            Constraint::Integer(min, max) => {
                if *min != i64::MIN {
                    object.insert("minInteger".into(), Value::from(*min));
                }
                if *max != i64::MAX {
                    object.insert("maxInteger".into(), Value::from(*max));
                }
            }
            Constraint::Real(min, max) => {
                if *min != f64::MIN {
                    object.insert("minReal".into(), Value::from(*min));
                }
                if *max != f64::MAX {
                    object.insert("maxReal".into(), Value::from(*max));
                }
            }
            Constraint::Length(min, max) => {
                if *min != 0 {
                    object.insert("minLength".into(), Value::from(*min));
                }
                if *max != u32::MAX {
                    object.insert("maxLength".into(), Value::from(*max));
                }
            }
            Constraint::Reference(table, kind) => {
                object.insert("refTable".into(), Value::from(&**table));
                if *kind == RefKind::Weak {
                    object.insert("refType".into(), Value::from("weak"));
                }
            }
        }
        object.insert("type".into(), Value::from(self.atom_type.name()));
        Value::Object(object)
    }

    /// Checks a value of the right type against the constraint.
    pub fn check(&self, atom: &Atom) -> Result<()> {
        match (&self.constraint, atom) {
            (Constraint::Enum(allowed), atom) if !allowed.contains_key(atom) => {
                let (atom, allowed) = (crate::text::atom_to_string(atom), crate::text::datum_to_string_any(allowed));
                Err(OvsdbError::constraint(format!("{atom} is not one of the allowed values ({allowed})")))
            }
            (&Constraint::Integer(min, max), &Atom::Integer(value)) if value < min || value > max => {
                range_violation(value, (min != i64::MIN).then_some(min), (max != i64::MAX).then_some(max))
            }
            (&Constraint::Real(min, max), &Atom::Real(value)) if value < min || value > max => range_violation(
                json::real_to_string(value),
                (min != f64::MIN).then(|| json::real_to_string(min)),
                (max != f64::MAX).then(|| json::real_to_string(max)),
            ),
            (&Constraint::Length(min, max), Atom::String(text)) => {
                let length = text.chars().count();
                let problem = if length < min as usize {
                    format!("less than minimum allowed length {min}")
                } else if length > max as usize {
                    format!("greater than maximum allowed length {max}")
                } else {
                    return Ok(());
                };
                Err(OvsdbError::constraint(format!("\"{text}\" length {length} is {problem}")))
            }
            _ => Ok(()),
        }
    }
}

fn range_violation<T: std::fmt::Display>(value: T, min: Option<T>, max: Option<T>) -> Result<()> {
    Err(OvsdbError::constraint(match (min, max) {
        (Some(min), Some(max)) => format!("{value} is not in the valid range {min} to {max} (inclusive)"),
        (Some(min), None) => format!("{value} is less than minimum allowed value {min}"),
        (None, Some(max)) => format!("{value} is greater than maximum allowed value {max}"),
        (None, None) => format!("{value} is not valid"),
    }))
}

fn atom_type_named(name: &str, json: &Value) -> Result<AtomType> {
    AtomType::from_name(name).ok_or_else(|| OvsdbError::syntax(json, format!("\"{name}\" is not an atomic-type")))
}

fn enum_from_json(values: &Value, atom_type: AtomType) -> Result<Constraint> {
    let set = ColumnType { key: atom_type.into(), value: None, n_min: 1, n_max: u32::MAX };
    Ok(Constraint::Enum(Arc::new(Datum::from_json(values, &set, None)?)))
}

fn integer_range(members: &mut Members<'_>, json: &Value) -> Result<Constraint> {
    let min = members.optional("minInteger", Kinds::INTEGER).and_then(json::as_integer);
    let max = members.optional("maxInteger", Kinds::INTEGER).and_then(json::as_integer);
    let (low, high) = (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX));
    if low > high {
        return Err(OvsdbError::syntax(json, "minInteger exceeds maxInteger"));
    }
    Ok(if min.or(max).is_some() { Constraint::Integer(low, high) } else { Constraint::None })
}

fn real_range(members: &mut Members<'_>, json: &Value) -> Result<Constraint> {
    let min = members.optional("minReal", Kinds::NUMBER).and_then(Value::as_f64);
    let max = members.optional("maxReal", Kinds::NUMBER).and_then(Value::as_f64);
    let (low, high) = (min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX));
    if low > high {
        return Err(OvsdbError::syntax(json, "minReal exceeds maxReal"));
    }
    Ok(if min.or(max).is_some() { Constraint::Real(low, high) } else { Constraint::None })
}

fn length_range(members: &mut Members<'_>, json: &Value) -> Result<Constraint> {
    let low = length(members, "minLength", 0)?;
    let high = length(members, "maxLength", u32::MAX)?;
    if low > high {
        return Err(OvsdbError::syntax(json, "minLength exceeds maxLength"));
    }
    Ok(if (low, high) == (0, u32::MAX) { Constraint::None } else { Constraint::Length(low, high) })
}

fn length(members: &mut Members<'_>, name: &str, default: u32) -> Result<u32> {
    let Some(value) = members.optional(name, Kinds::INTEGER).and_then(json::as_integer) else { return Ok(default) };
    u32::try_from(value).map_err(|_| OvsdbError::bare_syntax(format!("{name} out of valid range 0 to {}", u32::MAX)))
}

fn reference(members: &mut Members<'_>) -> Result<Constraint> {
    let Some(table) = members.optional("refTable", Kinds::ID).and_then(Value::as_str) else {
        return Ok(Constraint::None);
    };
    let kind = match members.optional("refType", Kinds::STRING).and_then(Value::as_str) {
        None | Some("strong") => RefKind::Strong,
        Some("weak") => RefKind::Weak,
        Some(other) => {
            let details = format!("refType must be \"strong\" or \"weak\" (not \"{other}\")");
            return Err(OvsdbError::syntax(members.json(), details));
        }
    };
    Ok(Constraint::Reference(Arc::from(table), kind))
}

impl From<AtomType> for ColumnType {
    fn from(atom_type: AtomType) -> ColumnType {
        ColumnType { key: atom_type.into(), value: None, n_min: 1, n_max: 1 }
    }
}

impl ColumnType {
    /// True for a map.
    pub fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// True for exactly one atom.
    pub fn is_scalar(&self) -> bool {
        self.value.is_none() && self.n_min == 1 && self.n_max == 1
    }

    /// True for at most one atom.
    pub fn is_optional_scalar(&self) -> bool {
        self.value.is_none() && self.n_min == 0 && self.n_max == 1
    }

    /// True if more than one element may be there.
    pub fn is_composite(&self) -> bool {
        self.n_max > 1
    }

    /// The same type with any number of elements.
    pub fn relaxed(&self) -> ColumnType {
        ColumnType { n_min: 0, n_max: u32::MAX, ..self.clone() }
    }

    /// Key and value types, those that exist.
    pub fn bases(&self) -> impl Iterator<Item = &BaseType> {
        std::iter::once(&self.key).chain(self.value.as_ref())
    }

    /// Reads a `<type>`.
    pub fn from_json(value: &Value) -> Result<ColumnType> {
        if let Value::String(name) = value {
            return Ok(atom_type_named(name, value)?.into());
        }
        let mut members = Members::new(value, "ovsdb type");
        let key = members.required("key", Kinds::STRING.or(Kinds::OBJECT));
        let val = members.optional("value", Kinds::STRING.or(Kinds::OBJECT));
        let min = members.optional("min", Kinds::INTEGER);
        let max = members.optional("max", Kinds::INTEGER.or(Kinds::STRING));
        members.finish()?;
        let Some(key) = key else { return Err(OvsdbError::syntax(value, "ovsdb type fails constraint checks")) };
        let key = BaseType::from_json(key)?;
        let val = val.map(BaseType::from_json).transpose()?;
        let n_min = count(min, 1)?;
        let n_max = match max {
            Some(Value::String(text)) if text == "unlimited" => u32::MAX,
            other => count(other, 1)?,
        };
        if n_min > 1 || n_max < 1 || n_min > n_max {
            return Err(OvsdbError::syntax(value, "ovsdb type fails constraint checks"));
        }
        Ok(ColumnType { key, value: val, n_min, n_max })
    }

    /// The JSON form, shortest: just a name for an unconstrained scalar.
    pub fn to_json(&self) -> Value {
        let key = self.key.to_json();
        if self.is_scalar() && key.is_string() {
            return key;
        }
        let mut object = Map::new();
        object.insert("key".into(), key);
        if let Some(value) = &self.value {
            object.insert("value".into(), value.to_json());
        }
        if self.n_min != 1 {
            object.insert("min".into(), Value::from(self.n_min));
        }
        match self.n_max {
            1 => {}
            u32::MAX => {
                object.insert("max".into(), json!("unlimited"));
            }
            max => {
                object.insert("max".into(), Value::from(max));
            }
        }
        Value::Object(object)
    }

    /// How error messages call the type: `set of up to 3 integers`.
    pub fn to_english(&self) -> String {
        let key = self.key.atom_type.name();
        if self.n_min == 1 && self.n_max == 1 && self.value.is_none() {
            return key.to_string();
        }
        let count = match (self.n_min, self.n_max) {
            (0, u32::MAX) => String::new(),
            (min, u32::MAX) => format!("{min} or more "),
            (0, max) => format!("up to {max} "),
            (min, max) => format!("{min} to {max} "),
        };
        match &self.value {
            Some(value) => format!("map of {count}({key}, {}) pairs", value.atom_type.name()),
            None => format!("set of {count}{key}s"),
        }
    }
}

fn count(value: Option<&Value>, default: u32) -> Result<u32> {
    let Some(value) = value else { return Ok(default) };
    json::as_integer(value)
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| OvsdbError::syntax(value, "bad min or max value"))
}
