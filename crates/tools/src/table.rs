//! Prints tables in the formats of the database tools: table, list, html, csv and json.

use ovsdb_data::{ColumnType, Datum, json, text};
use serde_json::{Map, Value};

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns
    Table,
    /// One `name : value` per line
    List,
    /// An HTML table
    Html,
    /// RFC 4180
    Csv,
    /// One object per table
    Json,
}

/// `--data`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cells {
    /// As ovs-vsctl reads values
    String,
    /// Without quotes and brackets
    Bare,
    /// As JSON
    Json,
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Arrangement.
    pub format: Format,
    /// Form of the cells; `None` for the format's own.
    pub cells: Option<Cells>,
    /// Whether names of columns are printed.
    pub headings: bool,
    /// Whether JSON is indented.
    pub pretty: bool,
    /// Most characters in a cell of an aligned table, unless its heading is wider; 0 for no limit.
    pub max_width: usize,
}

impl Style {
    /// Sets `--format`.
    pub fn set_format(&mut self, name: &str) -> Result<(), String> {
        self.format = match name {
            "table" => Format::Table,
            "list" => Format::List,
            "html" => Format::Html,
            "csv" => Format::Csv,
            "json" => Format::Json,
            other => return Err(format!("unknown output format \"{other}\"")),
        };
        Ok(())
    }

    /// Sets `--data`.
    pub fn set_cells(&mut self, name: &str) -> Result<(), String> {
        self.cells = Some(match name {
            "string" => Cells::String,
            "bare" => Cells::Bare,
            "json" => Cells::Json,
            other => return Err(format!("unknown data format \"{other}\"")),
        });
        Ok(())
    }

    /// Sets `--max-column-width`. What is no number is no limit.
    pub fn set_max_width(&mut self, text: &str) {
        self.max_width = text.parse().unwrap_or(0);
    }

    /// Sets `--bare`.
    pub fn set_bare(&mut self) {
        self.format = Format::List;
        self.cells = Some(Cells::Bare);
        self.headings = false;
    }
}

/// One cell.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Plain text
    Text(String),
    /// A value of a column
    Datum(Datum, ColumnType),
    /// JSON
    Json(Value),
    /// Nothing
    Absent,
}

impl Cell {
    fn text(&self, cells: Cells) -> String {
        match (self, cells) {
            (Cell::Text(text), _) => text.clone(),
            (Cell::Absent, _) => String::new(),
            (Cell::Json(value), _) => json::to_string(value),
            (Cell::Datum(datum, column_type), Cells::String) => text::datum_to_string(datum, column_type),
            (Cell::Datum(datum, _), Cells::Bare) => text::datum_to_bare(datum),
            (Cell::Datum(datum, _), Cells::Json) => json::to_string(&datum.to_json()),
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Text(text) => Value::from(text.as_str()),
            Cell::Absent => Value::Null,
            Cell::Json(value) => value.clone(),
            Cell::Datum(datum, _) => datum.to_json(),
        }
    }
}

/// A table to print.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Printed above.
    pub caption: Option<String>,
    /// Names of the columns.
    pub headings: Vec<String>,
    /// As many cells as headings in each.
    pub rows: Vec<Vec<Cell>>,
    /// Printed above the caption.
    pub timestamp: Option<String>,
}

impl Table {
    /// A table of plain columns.
    pub fn new<S: ToString>(headings: impl IntoIterator<Item = S>) -> Table {
        Table { headings: headings.into_iter().map(|h| h.to_string()).collect(), ..Table::default() }
    }

    /// The text, each line ended. `first` is false for a table after another.
    pub fn format(&self, style: &Style, first: bool) -> String {
        let cells = style.cells.unwrap_or(Cells::String);
        let mut out = String::new();
        if style.format == Format::Json {
            out.push_str(&self.json(style.pretty));
            out.push('\n');
            return out;
        }
        if !first && style.format != Format::Html {
            out.push('\n');
        }
        if let Some(timestamp) = &self.timestamp {
            out.push_str(timestamp);
            out.push('\n');
        }
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|cell| cell.text(cells)).collect()).collect();
        match style.format {
            Format::Table => self.aligned(&mut out, &rows, style),
            Format::List => self.list(&mut out, &rows, style.headings),
            Format::Csv => self.csv(&mut out, &rows, style.headings),
            Format::Html | Format::Json => self.html(&mut out, &rows, style.headings),
        }
        out
    }

    fn aligned(&self, out: &mut String, rows: &[Vec<String>], style: &Style) {
        let headings = style.headings;
        let limit = if style.max_width == 0 { usize::MAX } else { style.max_width };
        if let Some(caption) = &self.caption {
            out.push_str(caption);
            out.push('\n');
        }
        let width = |n: usize| {
            let heading = if headings { self.headings[n].chars().count() } else { 0 };
            rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0).min(limit).max(heading)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let mut line = |cells: &[String]| {
            let padded: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!("{c:<w$.w$}")).collect();
            out.push_str(padded.join(" ").trim_end());
            out.push('\n');
        };
        if headings {
            line(&self.headings);
            line(&widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>());
        }
        rows.iter().for_each(|row| line(row));
    }

    fn list(&self, out: &mut String, rows: &[Vec<String>], headings: bool) {
        if let Some(caption) = &self.caption {
            out.push_str(caption);
            out.push('\n');
        }
        for (n, row) in rows.iter().enumerate() {
            if n > 0 {
                out.push('\n');
            }
            for (heading, cell) in self.headings.iter().zip(row) {
                if headings {
                    out.push_str(&format!("{heading:<20}: "));
                }
                out.push_str(cell);
                out.push('\n');
            }
        }
    }

    fn csv(&self, out: &mut String, rows: &[Vec<String>], headings: bool) {
        if let Some(caption) = &self.caption {
            out.push_str(caption);
            out.push('\n');
        }
        let mut line = |cells: &[String]| {
            let quoted: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
            out.push_str(&quoted.join(","));
            out.push('\n');
        };
        if headings {
            line(&self.headings);
        }
        rows.iter().for_each(|row| line(row));
    }

    fn html(&self, out: &mut String, rows: &[Vec<String>], headings: bool) {
        out.push_str("<table border=1>\n");
        if let Some(caption) = &self.caption {
            out.push_str(&format!("    <caption>{}</caption>\n", html_text(caption)));
        }
        let mut line = |element: &str, cells: Vec<String>| {
            out.push_str("  <tr>\n");
            for cell in cells {
                out.push_str(&format!("    <{element}>{cell}</{element}>\n"));
            }
            out.push_str("  </tr>\n");
        };
        if headings {
            line("th", self.headings.iter().map(|h| html_text(h)).collect());
        }
        for row in rows {
            let cells = row.iter().zip(&self.headings).map(|(cell, heading)| html_cell(cell, heading)).collect();
            line("td", cells);
        }
        out.push_str("</table>\n");
    }

    fn json(&self, pretty: bool) -> String {
        let mut object = Map::new();
        if let Some(caption) = &self.caption {
            object.insert("caption".into(), Value::from(caption.as_str()));
        }
        if let Some(time) = &self.timestamp {
            object.insert("time".into(), Value::from(time.as_str()));
        }
        object.insert("headings".into(), Value::from(self.headings.clone()));
        let rows = self.rows.iter().map(|row| Value::from_iter(row.iter().map(Cell::json)));
        object.insert("data".into(), Value::from_iter(rows));
        let value = Value::Object(object);
        if pretty { pretty_json(&value) } else { json::to_string(&value) }
    }
}

fn csv_cell(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) || cell.starts_with(' ') || cell.ends_with(' ') {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_string()
}

fn html_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// UUIDs are links: targets in the `_uuid` column, references elsewhere.
fn html_cell(cell: &str, heading: &str) -> String {
    let mut out = String::new();
    let mut rest = cell;
    while let Some(at) =
        (0..rest.len()).find(|&at| rest.get(at..at + 36).is_some_and(|t| ovsdb_data::Uuid::parse(t).is_some()))
    {
        let (before, uuid, after) = (&rest[..at], &rest[at..at + 36], &rest[at + 36..]);
        let attribute = if heading == "_uuid" { format!("name=\"{uuid}\"") } else { format!("href=\"#{uuid}\"") };
        out.push_str(&format!("{}<a {attribute}>{}</a>", html_text(before), &uuid[..8]));
        rest = after;
    }
    out.push_str(&html_text(rest));
    out
}

/// JSON with an item on each line, closed on the last item's line.
pub fn pretty_json(value: &Value) -> String {
    let mut out = String::new();
    write_pretty(&mut out, value, 0);
    out
}

fn write_pretty(out: &mut String, value: &Value, depth: usize) {
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                write_pretty(out, item, depth + 1);
            }
            out.push(']');
        }
        Value::Object(members) if !members.is_empty() => {
            out.push('{');
            for (n, (name, item)) in members.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                out.push_str(&json::to_string(&Value::from(name.as_str())));
                out.push_str(": ");
                write_pretty(out, item, depth + 1);
            }
            out.push('}');
        }
        other => out.push_str(&json::to_string(other)),
    }
}
