//! OVSDB atoms, datums, rows and schemas with their JSON and text forms (RFC 7047 §3, §5.1).
//!
//! Nothing here does I/O. A value that violates its type cannot get past the parsers: [`datum::Datum::from_json`] and
//! [`text`] check types, set sizes and constraints and answer with an [`OvsdbError`] worded as clients expect it.

pub mod atom;
pub mod column_type;
pub mod datum;
mod error;
pub mod json;
pub mod members;
#[cfg(test)]
mod round_trips;
pub mod schema;
pub mod small_str;
pub mod text;
pub mod uuid;

pub use atom::{Atom, AtomType};
pub use column_type::{BaseType, ColumnType, Constraint, RefKind};
pub use datum::Datum;
pub use error::{OvsdbError, Result};
pub use schema::{Column, DatabaseSchema, TableSchema};
pub use small_str::SmallStr;
pub use uuid::{Uuid, UuidSource};
