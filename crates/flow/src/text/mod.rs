//! Text forms of fields and matches.

pub mod flags;
mod keys;
pub mod matching;
pub mod number;
pub mod value;

pub use keys::{KeyValues, split_key_values};
pub use matching::{format_match, format_mini_match, parse_field, parse_match, set_protocol_keyword};
pub use value::{format_value, parse_value};

use std::collections::HashMap;

use crate::port::OfPort;

/// A message for the log that parsing gives besides its result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// The original's log module.
    pub module: &'static str,
    /// The original's log level, `WARN` or `INFO`.
    pub level: &'static str,
    /// The message.
    pub text: String,
}

/// Names of ports and tables, for parsing and printing them as names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    port_by_name: HashMap<String, Option<OfPort>>,
    port_names: HashMap<u32, Option<String>>,
    table_by_name: HashMap<String, Option<u8>>,
    table_names: HashMap<u8, Option<String>>,
}

impl Names {
    /// Adds a port. A name or number that comes twice with different partners is ambiguous and gives nothing.
    pub fn add_port(&mut self, port: OfPort, name: &str) {
        let by_name = self.port_by_name.entry(name.to_string()).or_insert(Some(port));
        if *by_name != Some(port) {
            *by_name = None;
        }
        let names = self.port_names.entry(port.0).or_insert_with(|| Some(name.to_string()));
        if names.as_deref() != Some(name) {
            *names = None;
        }
    }

    /// Adds a table.
    pub fn add_table(&mut self, table: u8, name: &str) {
        let by_name = self.table_by_name.entry(name.to_string()).or_insert(Some(table));
        if *by_name != Some(table) {
            *by_name = None;
        }
        let names = self.table_names.entry(table).or_insert_with(|| Some(name.to_string()));
        if names.as_deref() != Some(name) {
            *names = None;
        }
    }

    /// The port with this name.
    pub fn port(&self, name: &str) -> Option<OfPort> {
        self.port_by_name.get(name).copied().flatten()
    }

    /// The table with this name.
    pub fn table(&self, name: &str) -> Option<u8> {
        self.table_by_name.get(name).copied().flatten()
    }

    /// The name of a port.
    pub fn port_name(&self, port: OfPort) -> Option<&str> {
        self.port_names.get(&port.0).and_then(|n| n.as_deref())
    }

    /// The name of a table.
    pub fn table_name(&self, table: u8) -> Option<&str> {
        self.table_names.get(&table).and_then(|n| n.as_deref())
    }
}

/// Escape sequences that colour the output; all empty for plain text.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Colors {
    pub actions: String,
    pub drop: String,
    pub learn: String,
    pub param: String,
    pub paren: String,
    pub special: String,
    pub value: String,
    pub end: String,
}

impl Colors {
    /// No colours.
    pub const fn plain() -> Colors {
        Colors {
            actions: String::new(),
            drop: String::new(),
            learn: String::new(),
            param: String::new(),
            paren: String::new(),
            special: String::new(),
            value: String::new(),
            end: String::new(),
        }
    }

    /// The colours that `ovs-ofctl --color` uses, changed by a specification such as `ac=01;31:dr=34`.
    pub fn standard(spec: &str) -> Colors {
        let mut codes: [(&str, &str); 7] =
            [("ac", "01;31"), ("dr", "34"), ("le", "31"), ("pm", "36"), ("pr", "35"), ("sp", "33"), ("vl", "32")];
        for part in spec.split(':') {
            if let Some((key, code)) = part.split_once('=')
                && let Some(slot) = codes.iter_mut().find(|c| c.0 == key)
                && code.bytes().all(|b| b.is_ascii_digit() || b == b';')
            {
                slot.1 = code;
            }
        }
        let get = |key: &str| {
            let code = codes.iter().find(|c| c.0 == key).map_or("", |c| c.1);
            format!("\x1b[{code}m")
        };
        Colors {
            actions: get("ac"),
            drop: get("dr"),
            learn: get("le"),
            param: get("pm"),
            paren: get("pr"),
            special: get("sp"),
            value: get("vl"),
            end: "\x1b[m".to_string(),
        }
    }
}

static PLAIN: Colors = Colors::plain();

/// Appends an escape sequence, which most often is none.
#[inline]
pub fn put_color(out: &mut String, color: &str) {
    if !color.is_empty() {
        out.push_str(color);
    }
}

/// How to print: with names, with colours.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// Names to print instead of numbers.
    pub names: Option<&'a Names>,
    /// Colours.
    pub colors: &'a Colors,
}

impl Default for Style<'_> {
    fn default() -> Self {
        Style { names: None, colors: &PLAIN }
    }
}

/// What parsing needs, and what it says besides its result.
#[derive(Debug, Default)]
pub struct ParseContext<'a> {
    /// Names that may stand for ports and tables.
    pub names: Option<&'a Names>,
    /// Messages for the log.
    pub warnings: Vec<Warning>,
}

impl<'a> ParseContext<'a> {
    /// A context with names.
    pub fn new(names: Option<&'a Names>) -> ParseContext<'a> {
        ParseContext { names, warnings: Vec::new() }
    }

    /// Adds a message.
    pub fn warn(&mut self, module: &'static str, level: &'static str, text: String) {
        self.warnings.push(Warning { module, level, text });
    }

    /// A port from its number, its reserved name or its name.
    pub fn port(&mut self, s: &str) -> Option<OfPort> {
        if let Some(n) = number::parse_decimal(s) {
            if n < 0xff00 {
                return Some(OfPort(n));
            }
            if n <= 0xffff {
                let port = OfPort(n);
                if let Some(name) = port.reserved_name() {
                    self.warn(
                        "ofp_port",
                        "WARN",
                        format!(
                            "referring to port {name} as {n} is deprecated for compatibility with OpenFlow 1.1 and later"
                        ),
                    );
                    return Some(port);
                }
                self.warn(
                    "ofp_port",
                    "WARN",
                    format!(
                        "port {n} is a reserved OF1.0 port number that will be translated to {} when talking to an \
                         OF1.1 or later controller",
                        port.to_of11()
                    ),
                );
                return Some(port);
            }
            if n < 0xffff_ff00 {
                self.warn(
                    "ofp_port",
                    "WARN",
                    format!("port {n} is outside the supported range 0 through ffff or 0xffffff00 through 0xffffffff"),
                );
                return None;
            }
            return OfPort::from_of11(n);
        }
        if let Some(p) = OfPort::from_reserved_name(s) {
            return Some(p);
        }
        let names = self.names?;
        match unquote(s) {
            Some(name) => names.port(&name),
            None => names.port(s),
        }
    }

    /// A table from its number or name.
    pub fn table(&mut self, s: &str) -> Option<u8> {
        if let Some(n) = number::parse_decimal(s) {
            if n <= 255 {
                return Some(n as u8);
            }
            self.warn("ofp_table", "WARN", format!("table {n} is outside the supported range 0 through 255"));
            return None;
        }
        let names = self.names?;
        match unquote(s) {
            Some(name) => names.table(&name),
            None => names.table(s),
        }
    }
}

/// Appends a port: its reserved name, the name that `style` has for it, or its number.
pub fn put_port(out: &mut String, style: &Style<'_>, port: OfPort) {
    if let Some(name) = port.reserved_name() {
        out.push_str(name);
    } else if let Some(name) = style.names.and_then(|n| n.port_name(port)) {
        put_name(out, name);
    } else {
        number::put_dec(out, u64::from(port.0));
    }
}

/// Appends a table: its name where `style` has one, else its number.
pub fn put_table(out: &mut String, style: &Style<'_>, table: u8) {
    match style.names.and_then(|n| n.table_name(table)) {
        Some(name) => put_name(out, name),
        None => number::put_dec(out, u64::from(table)),
    }
}

/// Appends a name, as a JSON string where it could be taken for something else.
pub fn put_name(out: &mut String, name: &str) {
    if is_plain_name(name) {
        out.push_str(name);
        return;
    }
    out.push('"');
    for c in name.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn is_plain_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The text inside a JSON string literal; `None` if `s` is not one.
fn unquote(s: &str) -> Option<String> {
    let inner = s.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let hex: String = chars.by_ref().take(4).collect();
                out.push(char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?);
            }
            c => out.push(c),
        }
    }
    Some(out)
}
