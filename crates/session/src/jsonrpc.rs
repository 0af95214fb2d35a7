//! JSON-RPC 1.0 as OVSDB and the control sockets use it (RFC 7047 §4): messages follow each other with no delimiter.

use serde_json::{Map, Value};

/// One JSON-RPC message.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// A call that wants an answer.
    Request {
        /// Echoed by the answer; any JSON but null.
        id: Value,
        /// The method's name.
        method: String,
        /// Always an array on the wire.
        params: Value,
    },
    /// A call without an answer (`"id":null`).
    Notification {
        /// The method's name.
        method: String,
        /// Always an array on the wire.
        params: Value,
    },
    /// A successful answer.
    Reply {
        /// The request's id.
        id: Value,
        /// What the method returned.
        result: Value,
    },
    /// An answer that reports failure.
    Error {
        /// The request's id.
        id: Value,
        /// What went wrong, never null.
        error: Value,
    },
}

impl Message {
    /// A request with a numeric id.
    pub fn request(id: u64, method: &str, params: Value) -> Self {
        Message::Request { id: id.into(), method: method.into(), params }
    }

    /// Reads a message from parsed JSON. The error says what is wrong, in the words that the peer will log.
    pub fn from_json(json: Value) -> Result<Self, String> {
        let Value::Object(mut o) = json else { return Err("message is not a JSON object".into()) };
        let method = match o.remove("method") {
            None | Some(Value::Null) => None,
            Some(Value::String(s)) => Some(s),
            Some(_) => return Err("method is not JSON string".into()),
        };
        let params = o.remove("params").filter(|p| !p.is_null());
        let result = o.remove("result").filter(|r| !r.is_null());
        let error = o.remove("error").filter(|e| !e.is_null());
        let id = o.remove("id").filter(|i| !i.is_null());
        if let Some(extra) = o.keys().next() {
            return Err(format!("message has unexpected member \"{extra}\""));
        }
        match (method, id) {
            (Some(method), id) => {
                let Some(params) = params else { return Err("missing \"params\" in request".into()) };
                if !params.is_array() {
                    return Err("\"params\" must be JSON array".into());
                }
                if result.is_some() || error.is_some() {
                    return Err("request must not have \"result\" or \"error\"".into());
                }
                Ok(match id {
                    Some(id) => Message::Request { id, method, params },
                    None => Message::Notification { method, params },
                })
            }
            (None, id) => {
                // An error in answer to unparseable input carries no id.
                let id = id.unwrap_or(Value::Null);
                match (result, error) {
                    (Some(_), Some(_)) => Err("reply has both \"result\" and \"error\"".into()),
                    (_, Some(error)) => Ok(Message::Error { id, error }),
                    (result, None) => Ok(Message::Reply { id, result: result.unwrap_or(Value::Null) }),
                }
            }
        }
    }

    /// The message as JSON.
    pub fn into_json(self) -> Value {
        let mut o = Map::new();
        match self {
            Message::Request { id, method, params } => {
                o.insert("id".into(), id);
                o.insert("method".into(), method.into());
                o.insert("params".into(), params);
            }
            Message::Notification { method, params } => {
                o.insert("id".into(), Value::Null);
                o.insert("method".into(), method.into());
                o.insert("params".into(), params);
            }
            Message::Reply { id, result } => {
                o.insert("error".into(), Value::Null);
                o.insert("id".into(), id);
                o.insert("result".into(), result);
            }
            Message::Error { id, error } => {
                o.insert("error".into(), error);
                o.insert("id".into(), id);
                o.insert("result".into(), Value::Null);
            }
        }
        Value::Object(o)
    }

    /// The message as it goes on the wire.
    pub fn to_bytes(self) -> Vec<u8> {
        self.into_json().to_string().into_bytes()
    }
}

/// Cuts a byte stream into JSON texts.
///
/// Only brackets and strings are followed here; whether a text is valid JSON is for the parser to say. A text also ends with
/// a bracket that closes none of its kind: the parser will refuse it at that place, instead of waiting for more.
#[derive(Debug)]
pub struct Splitter {
    buf: Vec<u8>,
    start: usize,
    scan: usize,
    depth: u32,
    /// Kinds of the open brackets, the innermost in the lowest bit: 1 for `{`.
    kinds: u128,
    in_string: bool,
    escaped: bool,
    max_len: usize,
}

/// Why a stream can't be used on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SplitError {
    /// A byte that begins no object or array stands where a message should begin.
    Garbage(u8),
    /// A message grew past the limit, in bytes.
    TooLong(usize),
    /// Brackets are nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

/// Deepest nesting of arrays and objects in one message.
pub const MAX_DEPTH: u32 = 120;

impl std::fmt::Display for SplitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SplitError::Garbage(b) => write!(f, "line 0, column 0, byte 0: syntax error at byte {b:#04x}"),
            SplitError::TooLong(n) => write!(f, "message longer than {n} bytes"),
            SplitError::TooDeep => write!(f, "input exceeds maximum nesting depth {MAX_DEPTH}"),
        }
    }
}

impl std::error::Error for SplitError {}

impl Default for Splitter {
    fn default() -> Self {
        Splitter::new(1 << 30)
    }
}

impl Splitter {
    /// A splitter that refuses messages longer than `max_len` bytes.
    pub fn new(max_len: usize) -> Self {
        Splitter { buf: vec![], start: 0, scan: 0, depth: 0, kinds: 0, in_string: false, escaped: false, max_len }
    }

    /// Takes bytes from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buf.len() {
            self.release();
        } else if self.start > 1 << 16 && self.start * 2 > self.buf.len() {
            self.buf.drain(..self.start);
            self.scan -= self.start;
            self.start = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// Forgets texts that were handed out: one huge message must not hold its memory for the rest of the connection's life.
    pub fn release(&mut self) {
        if self.start == self.buf.len() {
            self.buf.clear();
            if self.buf.capacity() > 1 << 20 {
                self.buf.shrink_to(1 << 16);
            }
            self.start = 0;
            self.scan = 0;
        }
    }

    /// Bytes taken and not yet handed out.
    pub fn unread(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Whether a message has begun and not ended.
    pub fn is_mid_message(&self) -> bool {
        self.depth > 0
    }

    /// The next whole JSON text, or `None` if more bytes are needed.
    pub fn next_text(&mut self) -> Result<Option<&[u8]>, SplitError> {
        while let Some(&b) = self.buf.get(self.scan) {
            if self.depth == 0 {
                match b {
                    b' ' | b'\t' | b'\r' | b'\n' => {
                        self.scan += 1;
                        self.start = self.scan;
                        continue;
                    }
                    b'{' | b'[' => {}
                    _ => return Err(SplitError::Garbage(b)),
                }
            }
            self.scan += 1;
            if self.in_string {
                match b {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match b {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(SplitError::TooDeep);
                    }
                    self.kinds = self.kinds << 1 | u128::from(b == b'{');
                }
                b'}' | b']' => {
                    let fits = (self.kinds & 1 == 1) == (b == b'}');
                    self.kinds >>= 1;
                    self.depth = if fits { self.depth - 1 } else { 0 };
                    if self.depth == 0 {
                        let begin = self.start;
                        self.start = self.scan;
                        return Ok(Some(&self.buf[begin..self.scan]));
                    }
                }
                _ => {}
            }
        }
        if self.scan - self.start > self.max_len {
            return Err(SplitError::TooLong(self.max_len));
        }
        Ok(None)
    }

    /// The next message. The outer error ends the stream; it covers bad framing, bad JSON and bad messages alike.
    pub fn next_message(&mut self) -> Result<Option<Message>, String> {
        let Some(text) = self.next_text().map_err(|e| e.to_string())? else { return Ok(None) };
        let json = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        Message::from_json(json).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chunks: &[&str], expect: &[&str]) {
        let mut s = Splitter::default();
        let mut got = vec![];
        for c in chunks {
            s.push(c.as_bytes());
            while let Some(t) = s.next_text().unwrap() {
                got.push(String::from_utf8(t.to_vec()).unwrap());
            }
        }
        assert_eq!(got, expect);
    }

    #[test]
    fn texts() {
        check(&["{}[]"], &["{}", "[]"]);
        check(&["{\"a\":\"}\\\"\"}", " \n{}"], &["{\"a\":\"}\\\"\"}", "{}"]);
        check(&["{\"a", "\":[1,", "2]}{"], &["{\"a\":[1,2]}"]);
        check(&["   "], &[]);
        check(&["{\"a\":[1}", "{}"], &["{\"a\":[1}", "{}"]);
        check(&["[[{}]]{\"a\":[{}]}"], &["[[{}]]", "{\"a\":[{}]}"]);
    }

    #[test]
    fn bad_streams() {
        let mut s = Splitter::default();
        s.push(b"x");
        assert_eq!(s.next_text(), Err(SplitError::Garbage(b'x')));
        let mut s = Splitter::default();
        s.push(&[b'['; 200]);
        assert_eq!(s.next_text(), Err(SplitError::TooDeep));
        let mut s = Splitter::new(10);
        s.push(b"[\"0123456789");
        assert_eq!(s.next_text(), Err(SplitError::TooLong(10)));
    }

    #[test]
    fn messages_round_trip() {
        for m in [
            Message::request(3, "echo", serde_json::json!([1])),
            Message::Notification { method: "update".into(), params: serde_json::json!([]) },
            Message::Reply { id: 1.into(), result: serde_json::json!({"a": 1}) },
            Message::Error { id: 1.into(), error: "no".into() },
        ] {
            let mut s = Splitter::default();
            s.push(&m.clone().to_bytes());
            assert_eq!(s.next_message(), Ok(Some(m)));
        }
    }

    #[test]
    fn bad_messages() {
        for (text, error) in [
            ("[]", "message is not a JSON object"),
            ("{\"method\":1}", "method is not JSON string"),
            ("{\"id\":1,\"method\":\"a\"}", "missing \"params\" in request"),
            ("{\"id\":1,\"method\":\"a\",\"params\":{}}", "\"params\" must be JSON array"),
            ("{\"id\":1,\"params\":[}", "expected value at line 1 column 19"),
            ("{\"id\":1,\"x\":2}", "message has unexpected member \"x\""),
        ] {
            let mut s = Splitter::default();
            s.push(text.as_bytes());
            assert_eq!(s.next_message(), Err(error.into()), "{text}");
        }
    }
}
