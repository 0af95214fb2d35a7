//! OpenFlow errors: symbols, numbers in each version, and the error message's body.

use std::fmt;

pub use crate::error_table::{ERRORS, Error};
use crate::version::Version;

/// Vendor id of the Nicira extensions.
pub const NX_VENDOR: u32 = 0x0000_2320;
/// Vendor id of the ONF extensions.
pub const ONF_VENDOR: u32 = 0x4f4e_4600;

/// Number of an error in one version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// The version has no such error.
    None,
    /// Standard type and code.
    Of(u16, u16),
    /// Nicira vendor error of 1.0 and 1.1: type and code.
    Nx(u16, u16),
    /// Nicira experimenter error (1.2 and later).
    NxExp(u16),
    /// ONF experimenter error (1.2 and later).
    OnfExp(u16),
}

/// A row of the error table.
#[derive(Clone, Copy, Debug)]
pub struct ErrorDef {
    /// The error.
    pub error: Error,
    /// The original's symbol, such as `OFPBRC_BAD_LEN`.
    pub symbol: &'static str,
    /// Numbers in OpenFlow 1.0 to 1.5.
    pub codes: [Code; 6],
}

impl Error {
    /// The row of the table.
    pub fn def(self) -> &'static ErrorDef {
        &ERRORS[self as usize]
    }

    /// The original's symbol, such as `OFPBRC_BAD_LEN`.
    pub fn symbol(self) -> &'static str {
        self.def().symbol
    }

    /// The number in `version`.
    pub fn code(self, version: Version) -> Code {
        self.def().codes[version.index()]
    }

    /// The error with this number in `version`; where two share a number, the one listed first.
    pub fn from_code(version: Version, code: Code) -> Option<Error> {
        if code == Code::None {
            return None;
        }
        ERRORS.iter().find(|d| d.codes[version.index()] == code).map(|d| d.error)
    }

    /// The error with this symbol.
    pub fn from_symbol(symbol: &str) -> Option<Error> {
        ERRORS.iter().find(|d| d.symbol == symbol).map(|d| d.error)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl std::error::Error for Error {}

/// Body of an error message: what went wrong and (part of) the request that did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorMsg {
    /// The error, or `None` when the numbers are not known.
    pub error: Option<Error>,
    /// Vendor id (0 standard), type and code as received or to send when `error` is `None`.
    pub raw: (u32, u16, u16),
    /// The offending request, or text for HELLO_FAILED.
    pub data: Vec<u8>,
}

impl ErrorMsg {
    /// A known error about `request`.
    pub fn new(error: Error, request: &[u8]) -> ErrorMsg {
        ErrorMsg { error: Some(error), raw: (0, 0, 0), data: request.to_vec() }
    }
}
