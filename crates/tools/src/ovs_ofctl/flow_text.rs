//! `parse-flow` and `parse-flows`: flows from text, printed as the messages that would be sent.
//!
//! Which protocol carries the flows is known only when all have been parsed. A file is held as messages of the protocol
//! that has been likely so far; what was written for another one is parsed again.

use flow::text::{ParseContext, Style};
use openflow::codec::Options;
use openflow::message::{FlowMod, FlowModCommand};
use openflow::text::parse_flow_line;
use openflow::{Message, Protocols};

use super::client::Result;
use super::offline::write_out;
use super::{Settings, bulk, log_warnings};

/// Flows that follow each other, as messages of one protocol.
struct Piece {
    protocol: Protocols,
    /// The messages, one after the other.
    data: Vec<u8>,
    /// Where each message ends in `data`.
    ends: Vec<usize>,
    /// The lines, if another protocol can turn out to be the one.
    text: String,
}

impl Piece {
    fn new(protocol: Protocols) -> Piece {
        Piece { protocol, data: Vec::new(), ends: Vec::new(), text: String::new() }
    }

    fn push(&mut self, mut fm: FlowMod) {
        if !self.protocol.is_empty() {
            fm.nicira = self.protocol.is_nxm();
            Message::FlowMod(fm).encode_after(&mut self.data, self.protocol.version(), 0, options(self.protocol));
        }
        self.ends.push(self.data.len());
    }

    /// The same flows for `protocol`.
    fn written_for(self, protocol: Protocols) -> Piece {
        if self.protocol == protocol {
            return self;
        }
        let mut again = Piece::new(protocol);
        let mut cx = ParseContext::new(None);
        for line in self.text.lines() {
            // It was parsed once without an error.
            if let Ok((fm, _)) = parse_flow_line(&mut cx, line, FlowModCommand::Add, false) {
                again.push(fm);
            }
        }
        again
    }

    /// The text of the messages, which are numbered after `before`.
    fn print(mut self, verbosity: u32, style: &Style<'_>, before: usize) -> String {
        let mut out = String::with_capacity(2 * self.data.len());
        let mut start = 0;
        for (i, end) in self.ends.into_iter().enumerate() {
            let xid = (before + i + 1) as u32;
            if let Some(message) = self.data.get_mut(start..end) {
                if let Some(slot) = message.get_mut(4..8) {
                    slot.copy_from_slice(&xid.to_be_bytes());
                }
                openflow::text::print::put_message(&mut out, message, verbosity, style);
            }
            start = end;
        }
        out
    }
}

fn options(protocol: Protocols) -> Options {
    Options { table_id: protocol == Protocols::OF10_TID || protocol == Protocols::NXM_TID, debug_actions: false }
}

/// What one thread makes of some lines.
struct Parsed {
    pieces: Vec<Piece>,
    usable: Protocols,
    warnings: Vec<flow::text::Warning>,
    /// Number of the line, and what is wrong with it.
    error: Option<(usize, String)>,
}

/// Parses lines with their numbers. `usable` is what can carry the flows before them.
fn parse_lines(lines: Vec<(usize, &str)>, allowed: Protocols, mut usable: Protocols) -> Parsed {
    let mut cx = ParseContext::new(None);
    let mut pieces: Vec<Piece> = Vec::new();
    let may_change = allowed.iter().count() > 1;
    let size = lines.iter().map(|l| l.1.len() + 1).sum::<usize>();
    let mut error = None;
    for (number, line) in lines {
        let (fm, u) = match parse_flow_line(&mut cx, line, FlowModCommand::Add, false) {
            Ok(parsed) => parsed,
            Err(e) => {
                error = Some((number, e));
                break;
            }
        };
        usable = usable.and(u);
        let protocol = usable.and(allowed).first();
        if pieces.last().is_none_or(|p| p.protocol != protocol) {
            let mut piece = Piece::new(protocol);
            piece.data.reserve(size);
            pieces.push(piece);
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(fm);
            if may_change {
                piece.text.push_str(line);
                piece.text.push('\n');
            }
        }
    }
    for piece in &mut pieces {
        piece.data.shrink_to_fit();
        piece.ends.shrink_to_fit();
        piece.text.shrink_to_fit();
    }
    Parsed { pieces, usable, warnings: cx.warnings, error }
}

/// Says which protocols can carry flows, and which one does.
fn choose(s: &Settings, usable: Protocols) -> Result<Protocols> {
    let both = usable.and(s.protocols());
    if both.is_empty() {
        write_out(&format!("usable protocols: {usable}\n"))?;
        return Err("no usable protocol".to_string());
    }
    let protocol = both.first();
    write_out(&format!("usable protocols: {usable}\nchosen protocol: {protocol}\n"))?;
    Ok(protocol)
}

/// `parse-flow FLOW`.
pub fn parse_flow(s: &Settings, text: &str) -> Result<u8> {
    let mut cx = ParseContext::new(None);
    let parsed = openflow::text::parse_flow(&mut cx, text, openflow::text::Use::Mod(FlowModCommand::Add));
    log_warnings(&mut cx);
    let (fm, usable) = parsed?;
    let mut piece = Piece::new(choose(s, usable)?);
    piece.push(fm);
    write_out(&piece.print(s.verbosity, &s.style(None), 0))?;
    Ok(0)
}

/// `parse-flows FILE`.
pub fn parse_flows(s: &Settings, file: &str) -> Result<u8> {
    let (allowed, mut usable) = (s.protocols(), Protocols::ANY);
    let mut pieces = Vec::new();
    bulk::for_line_blocks(file, |lines| {
        let before = usable;
        for part in bulk::in_order(256, lines, |_, lines| parse_lines(lines, allowed, before)) {
            log_warnings(&mut ParseContext { names: None, warnings: part.warnings });
            if let Some((number, e)) = part.error {
                return Err(format!("{file}:{number}: {e}"));
            }
            usable = usable.and(part.usable);
            pieces.extend(part.pieces);
        }
        Ok(())
    })?;
    let protocol = choose(s, usable)?;
    let (verbosity, style) = (s.verbosity, s.style(None));
    let mut done = 0;
    let mut rest = pieces.into_iter().peekable();
    while rest.peek().is_some() {
        // Each with the number of flows before it.
        let mut batch = Vec::new();
        for piece in rest.by_ref().take(bulk::processors()) {
            let n = piece.ends.len();
            batch.push((done, piece));
            done += n;
        }
        let texts = bulk::in_order(2, batch, |_, batch| {
            let print = |(at, piece): (usize, Piece)| piece.written_for(protocol).print(verbosity, &style, at);
            batch.into_iter().map(print).collect::<Vec<_>>()
        });
        for text in texts.iter().flatten() {
            write_out(text)?;
        }
    }
    Ok(0)
}
