//! Atoms: the scalar values of RFC 7047 §5.1.

use crate::error::{OvsdbError, Result};
use crate::json;
use crate::small_str::SmallStr;
use crate::uuid::Uuid;
use serde_json::Value;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// The five atomic types (RFC 7047 §3.2 `<atomic-type>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtomType {
    /// 64-bit signed
    Integer,
    /// Double precision, finite
    Real,
    /// `true` or `false`
    Boolean,
    /// UTF-8
    String,
    /// A row identifier
    Uuid,
}

impl AtomType {
    /// The name in a schema.
    pub const fn name(self) -> &'static str {
        match self {
            AtomType::Integer => "integer",
            AtomType::Real => "real",
            AtomType::Boolean => "boolean",
            AtomType::String => "string",
            AtomType::Uuid => "uuid",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<AtomType> {
        [AtomType::Integer, AtomType::Real, AtomType::Boolean, AtomType::String, AtomType::Uuid]
            .into_iter()
            .find(|t| t.name() == name)
    }

    /// The default value (RFC 7047 §5.2.1): zero, false, empty, all-zeros.
    pub fn default_atom(self) -> Atom {
        match self {
            AtomType::Integer => Atom::Integer(0),
            AtomType::Real => Atom::Real(0.0),
            AtomType::Boolean => Atom::Boolean(false),
            AtomType::String => Atom::String(SmallStr::default()),
            AtomType::Uuid => Atom::Uuid(Uuid::ZERO),
        }
    }
}

/// One scalar value, 24 bytes.
#[derive(Clone, Debug)]
pub enum Atom {
    /// See [`AtomType::Integer`]
    Integer(i64),
    /// See [`AtomType::Real`]
    Real(f64),
    /// See [`AtomType::Boolean`]
    Boolean(bool),
    /// See [`AtomType::String`]
    String(SmallStr),
    /// See [`AtomType::Uuid`]
    Uuid(Uuid),
}

/// Gives UUIDs to names used as `["named-uuid", NAME]` in JSON and `@NAME` in text.
pub trait Symbols {
    /// The UUID that `name` stands for, a new one if the name is new.
    fn symbol(&mut self, name: &str) -> Uuid;
}

impl Atom {
    /// A string atom.
    pub fn string(text: &str) -> Atom {
        Atom::String(SmallStr::from(text))
    }

    /// The atom's type.
    pub fn atom_type(&self) -> AtomType {
        match self {
            Atom::Integer(_) => AtomType::Integer,
            Atom::Real(_) => AtomType::Real,
            Atom::Boolean(_) => AtomType::Boolean,
            Atom::String(_) => AtomType::String,
            Atom::Uuid(_) => AtomType::Uuid,
        }
    }

    /// The text, of a string atom.
    pub fn as_str(&self) -> Option<&str> {
        if let Atom::String(text) = self { Some(text.as_str()) } else { None }
    }

    /// The number, of an integer atom.
    pub fn as_integer(&self) -> Option<i64> {
        if let Atom::Integer(value) = self { Some(*value) } else { None }
    }

    /// The number, of a real atom.
    pub fn as_real(&self) -> Option<f64> {
        if let Atom::Real(value) = self { Some(*value) } else { None }
    }

    /// The value, of a boolean atom.
    pub fn as_bool(&self) -> Option<bool> {
        if let Atom::Boolean(value) = self { Some(*value) } else { None }
    }

    /// The UUID, of a UUID atom.
    pub fn as_uuid(&self) -> Option<Uuid> {
        if let Atom::Uuid(value) = self { Some(*value) } else { None }
    }

    /// True if this is the default of its type.
    pub fn is_default(&self) -> bool {
        *self == self.atom_type().default_atom()
    }

    /// Reads an `<atom>` of a given type. `symbols`, if given, allows `["named-uuid", …]`.
    pub fn from_json(value: &Value, atom_type: AtomType, symbols: Option<&mut dyn Symbols>) -> Result<Atom> {
        let atom = match atom_type {
            AtomType::Integer => json::as_integer(value).map(Atom::Integer),
            AtomType::Real => value.as_f64().filter(|real| real.is_finite()).map(|real| Atom::Real(real + 0.0)),
            AtomType::Boolean => value.as_bool().map(Atom::Boolean),
            AtomType::String => value.as_str().map(Atom::string),
            AtomType::Uuid => return uuid_from_json(value, symbols).map(Atom::Uuid),
        };
        atom.ok_or_else(|| OvsdbError::syntax(value, format!("expected {}", atom_type.name())))
    }

    /// The JSON form.
    pub fn to_json(&self) -> Value {
        match self {
            Atom::Integer(value) => Value::from(*value),
            Atom::Real(value) => Value::from(*value),
            Atom::Boolean(value) => Value::from(*value),
            Atom::String(text) => Value::from(text.as_str()),
            Atom::Uuid(uuid) => Value::from(vec![Value::from("uuid"), Value::from(uuid.to_string())]),
        }
    }

    /// Appends the JSON form.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Atom::Integer(value) => json::write_integer(out, *value),
            Atom::Real(value) => json::write_real(out, *value),
            Atom::Boolean(true) => out.extend_from_slice(b"true"),
            Atom::Boolean(false) => out.extend_from_slice(b"false"),
            Atom::String(text) => json::write_string_bytes(out, text.as_bytes()),
            Atom::Uuid(uuid) => {
                out.extend_from_slice(b"[\"uuid\",\"");
                out.extend_from_slice(&uuid.to_ascii());
                out.extend_from_slice(b"\"]");
            }
        }
    }
}

/// The member of `[name, member]`.
pub(crate) fn unwrap_pair<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value.as_array()?.as_slice() {
        [Value::String(tag), member] if tag == name => Some(member),
        _ => None,
    }
}

fn uuid_from_json(value: &Value, symbols: Option<&mut dyn Symbols>) -> Result<Uuid> {
    if let Some(Value::String(text)) = unwrap_pair(value, "uuid") {
        return Uuid::parse(text).ok_or_else(|| OvsdbError::syntax(value, format!("\"{text}\" is not a valid UUID")));
    }
    if let Some(symbols) = symbols
        && let Some(Value::String(name)) = unwrap_pair(value, "named-uuid")
    {
        if !json::is_id(name) {
            return Err(OvsdbError::syntax(value, "named-uuid string is not a valid <id>"));
        }
        return Ok(symbols.symbol(name));
    }
    Err(OvsdbError::syntax(value, "expected [\"uuid\", <string>]"))
}

impl PartialEq for Atom {
    fn eq(&self, other: &Atom) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Atom {}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Atom) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Atoms of one type by value, strings by bytes, UUIDs by text; atoms of several types by type.
impl Ord for Atom {
    fn cmp(&self, other: &Atom) -> Ordering {
        match (self, other) {
            (Atom::Integer(a), Atom::Integer(b)) => a.cmp(b),
            (Atom::Real(a), Atom::Real(b)) => a.partial_cmp(b).unwrap_or_else(|| a.total_cmp(b)),
            (Atom::Boolean(a), Atom::Boolean(b)) => a.cmp(b),
            (Atom::String(a), Atom::String(b)) => a.cmp(b),
            (Atom::Uuid(a), Atom::Uuid(b)) => a.cmp(b),
            _ => self.atom_type().cmp(&other.atom_type()),
        }
    }
}

impl Hash for Atom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Atom::Integer(value) => value.hash(state),
            // Adding zero makes the two zeros, which are equal, one.
            Atom::Real(value) => (value + 0.0).to_bits().hash(state),
            Atom::Boolean(value) => value.hash(state),
            Atom::String(text) => text.as_bytes().hash(state),
            Atom::Uuid(uuid) => uuid.hash(state),
        }
    }
}

const _: () = assert!(std::mem::size_of::<Atom>() == 24);
