//! Control sockets: JSON-RPC requests whose method is a command and whose parameters are its arguments
//! (ovs-appctl(8)).

use crate::stream::{Listener, Remote, Stream};
use crate::vlog::{self, Module};
use crate::{coverage, dirs, program, vlog_dbg, vlog_warn};
use coverage::Counter;
use serde_json::{Value, json};
use session::{Message, Splitter};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

/// Whether a client wants text or JSON (`set-options --format`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// A JSON value of the command's own shape.
    Json,
}

/// One call of a command.
#[derive(Clone, Debug)]
pub struct Call {
    /// The command's name.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What the client wants.
    pub format: Format,
}

impl Call {
    /// An answer in the form that the client wants.
    ///
    /// # Errors
    /// None; it is a result so that commands may end with it.
    pub fn answer(&self, text: impl Into<String>, value: impl FnOnce() -> Value) -> Answer {
        Ok(match self.format {
            Format::Text => Output::Text(text.into()),
            Format::Json => Output::Json(value()),
        })
    }

    /// The answer of a command that did what it was asked and has nothing to tell: no text, or an empty object.
    ///
    /// # Errors
    /// None.
    pub fn done(&self) -> Answer {
        self.answer("", || json!({}))
    }

    /// The `i`th argument, if there is one.
    pub fn arg(&self, i: usize) -> Option<&str> {
        self.args.get(i).map(String::as_str)
    }
}

/// What a command answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Text; a client that wants JSON gets it wrapped.
    Text(String),
    /// JSON, for a client that asked for it.
    Json(Value),
}

impl From<String> for Output {
    fn from(s: String) -> Self {
        Output::Text(s)
    }
}

impl From<&str> for Output {
    fn from(s: &str) -> Self {
        Output::Text(s.into())
    }
}

/// A command's answer, or the one line that says what was wrong.
pub type Answer = Result<Output, String>;

/// An answer that may take time.
pub type Later = Pin<Box<dyn Future<Output = Answer>>>;

thread_local! {
    /// Those who asked the programs of this thread to exit.
    static ASKED_TO_EXIT: RefCell<Vec<oneshot::Sender<()>>> = const { RefCell::new(Vec::new()) };
}

/// The answer of `exit`, which comes when the program says that it is [`gone`].
pub fn when_gone() -> Later {
    let (sender, receiver) = oneshot::channel();
    ASKED_TO_EXIT.with_borrow_mut(|all| all.push(sender));
    Box::pin(async move {
        let _ = receiver.await;
        Ok("".into())
    })
}

/// Answers those who asked for the end: nothing is left of the program that others could take for its life.
pub async fn gone() {
    drop(ASKED_TO_EXIT.take());
    // Lets the connections' tasks write.
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

enum Handler {
    Now(Box<dyn Fn(&Call) -> Answer>),
    Later(Box<dyn Fn(Call) -> Later>),
}

struct Command {
    usage: String,
    min: usize,
    max: usize,
    handler: Handler,
}

/// The commands of a daemon.
pub struct Commands {
    table: BTreeMap<String, Command>,
    version: String,
}

/// `max` for commands that take any number of arguments.
pub const ANY_NUMBER: usize = usize::MAX;

impl Commands {
    /// The commands that every daemon has: `version`, `vlog/*`, `coverage/*`, `list-commands`, `set-options`.
    pub fn new(program: &str) -> Self {
        let mut c = Commands {
            table: BTreeMap::new(),
            version: format!("{program} (Open vSwitch) {}", program::COMPATIBLE_VERSION),
        };
        let version = c.version.clone();
        c.add("version", "", 0, 0, move |_| Ok(version.clone().into()));
        c.add("vlog/set", "{spec | PATTERN:destination:pattern}", 0, ANY_NUMBER, |call| {
            for spec in &call.args {
                vlog::set(spec)?;
            }
            call.done()
        });
        c.add("vlog/list", "", 0, 0, |call| call.answer(vlog::list(), vlog::list_json));
        c.add("vlog/list-pattern", "", 0, 0, |call| call.answer(vlog::list_pattern(), vlog::patterns_json));
        c.add("vlog/reopen", "", 0, 0, |call| {
            vlog::reopen_file()?;
            call.done()
        });
        c.add("vlog/close", "", 0, 0, |call| {
            vlog::close_file();
            call.done()
        });
        c.add("vlog/enable-rate-limit", "[module]...", 0, ANY_NUMBER, |call| rate_limit(call, true));
        c.add("vlog/disable-rate-limit", "[module]...", 0, ANY_NUMBER, |call| rate_limit(call, false));
        c.add("coverage/show", "", 0, 0, |call| {
            Ok(match call.format {
                Format::Text => coverage::show().into(),
                Format::Json => Output::Json(coverage::to_json()),
            })
        });
        c.add("coverage/read-counter", "COUNTER", 1, 1, |call| match coverage::read(&call.args[0]) {
            Some(n) => call.answer(n.to_string(), || json!({ call.args[0].clone(): n })),
            None => Err("No such counter".into()),
        });
        // These two are answered by the connection and the table; their entries give usage and argument counts.
        c.add("list-commands", "", 0, 0, |_| Ok("".into()));
        c.add("set-options", "[--format text|json]", 0, 2, |_| Ok("".into()));
        c
    }

    /// Adds a command that answers at once. `usage` shows its arguments in `list-commands`.
    pub fn add(
        &mut self,
        name: &str,
        usage: &str,
        min: usize,
        max: usize,
        handler: impl Fn(&Call) -> Answer + 'static,
    ) {
        let handler = Handler::Now(Box::new(handler));
        self.table.insert(name.into(), Command { usage: usage.into(), min, max, handler });
    }

    /// Adds a command whose answer takes time; meanwhile other connections are served.
    pub fn add_later(
        &mut self,
        name: &str,
        usage: &str,
        min: usize,
        max: usize,
        handler: impl Fn(Call) -> Later + 'static,
    ) {
        let handler = Handler::Later(Box::new(handler));
        self.table.insert(name.into(), Command { usage: usage.into(), min, max, handler });
    }

    fn list(&self, format: Format) -> Output {
        match format {
            Format::Text => {
                let mut out = String::from("The available commands are:\n");
                for (name, c) in &self.table {
                    out.push_str(&format!("  {name:<23} {}\n", c.usage));
                }
                Output::Text(out)
            }
            Format::Json => {
                Output::Json(self.table.iter().map(|(n, c)| (n.clone(), Value::from(c.usage.clone()))).collect())
            }
        }
    }

    /// Runs a command.
    pub async fn call(&self, call: Call) -> Answer {
        let Some(c) = self.table.get(&call.command) else {
            return Err(format!(
                "\"{}\" is not a valid command (use \"list-commands\" to see a list of valid commands)",
                call.command
            ));
        };
        if call.args.len() < c.min {
            return Err(format!("\"{}\" command requires at least {} arguments", call.command, c.min));
        }
        if call.args.len() > c.max {
            return Err(format!("\"{}\" command takes at most {} arguments", call.command, c.max));
        }
        if call.command == "list-commands" {
            return Ok(self.list(call.format));
        }
        match &c.handler {
            Handler::Now(f) => f(&call),
            Handler::Later(f) => f(call).await,
        }
    }
}

fn rate_limit(call: &Call, on: bool) -> Answer {
    if call.args.is_empty() {
        vlog::set_rate_limit(None, on);
    }
    for name in &call.args {
        match Module::parse(name) {
            _ if name.eq_ignore_ascii_case("any") => vlog::set_rate_limit(None, on),
            Some(m) => vlog::set_rate_limit(Some(m), on),
            None => return Err("unknown module".into()),
        }
    }
    call.done()
}

/// Where a daemon called `program` has its control socket unless `--unixctl` says otherwise.
pub fn default_path(program: &str) -> PathBuf {
    dirs::rundir().join(format!("{program}.{}.ctl", std::process::id()))
}

/// Opens the control socket. `path` of `none` means that there shall be none.
pub async fn bind(path: &Path) -> Result<Option<Listener>, String> {
    if path.as_os_str() == "none" {
        return Ok(None);
    }
    match Listener::bind(&Remote::PassiveUnix(path.to_path_buf())).await {
        Ok(l) => Ok(Some(l)),
        Err(e) => Err(format!("{}: could not initialize control socket ({})", path.display(), program::strerror(&e))),
    }
}

/// Serves a control socket until the end of the process.
pub async fn serve(mut listener: Listener, commands: Rc<Commands>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                tokio::task::spawn_local(serve_connection(stream, commands.clone()));
            }
            Err(e) => {
                vlog_warn!(Module::Unixctl, "{}: accept failed: {}", listener.remote, program::strerror(&e));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Largest request that a control socket takes, in bytes.
const MAX_REQUEST: usize = 64 << 20;

async fn serve_connection(mut stream: Stream, commands: Rc<Commands>) {
    let mut split = Splitter::new(MAX_REQUEST);
    let mut format = Format::default();
    let mut buf = vec![0; 16384];
    loop {
        let n = match stream.read(&mut buf).await {
            Ok(0) | Err(_) => return,
            Ok(n) => n,
        };
        split.push(&buf[..n]);
        loop {
            let message = match split.next_message() {
                Ok(None) => break,
                Ok(Some(m)) => m,
                Err(e) => {
                    vlog_warn!(Module::Unixctl, "{}: bad request: {e}", stream.name);
                    return;
                }
            };
            let Message::Request { id, method, params } = message else {
                vlog_warn!(Module::Unixctl, "{}: received unexpected message", stream.name);
                return;
            };
            Counter::UnixctlReceived.hit();
            let reply = answer(&commands, &mut format, id, method, params).await;
            if stream.write_all(&reply.to_bytes()).await.is_err() {
                return;
            }
            Counter::UnixctlReplied.hit();
        }
    }
}

async fn answer(commands: &Commands, format: &mut Format, id: Value, method: String, params: Value) -> Message {
    let mut args = vec![];
    for p in params.as_array().into_iter().flatten() {
        match p {
            Value::String(s) => args.push(s.clone()),
            _ => return Message::Error { id, error: format!("\"{method}\" command has non-string argument").into() },
        }
    }
    vlog_dbg!(Module::Unixctl, "received request {method}{args:?}, id={id}");
    let result = if method == "set-options" {
        set_options(format, &args)
    } else {
        commands.call(Call { command: method, args, format: *format }).await
    };
    match (result, *format) {
        (Ok(Output::Json(v)), _) => Message::Reply { id, result: v },
        (Ok(Output::Text(s)), Format::Text) => Message::Reply { id, result: s.into() },
        (Ok(Output::Text(s)), Format::Json) => {
            Message::Reply { id, result: json!({"reply-format": "plain", "reply": s}) }
        }
        (Err(e), _) => Message::Error { id, error: if e.ends_with('\n') { e } else { e + "\n" }.into() },
    }
}

fn set_options(format: &mut Format, args: &[String]) -> Answer {
    if args.is_empty() {
        return Err("\"set-options\" command requires at least 1 arguments".into());
    }
    let mut it = args.iter();
    while let Some(a) = it.next() {
        let value = match a.strip_prefix("--format") {
            Some("") => it.next().map(String::as_str),
            Some(rest) => rest.strip_prefix('='),
            None => return Err(format!("unrecognized option {a}")),
        };
        *format = match value {
            Some("text") => Format::Text,
            Some("json") => Format::Json,
            Some(other) => return Err(format!("option --format has invalid value {other}")),
            None => return Err("option --format requires an argument".into()),
        };
    }
    Ok("".into())
}

/// A blocking connection to a control socket, for the tools.
#[derive(Debug)]
pub struct Client {
    stream: std::os::unix::net::UnixStream,
    split: Splitter,
    next_id: u64,
}

impl Client {
    /// Connects; `timeout` bounds every later read.
    pub fn connect(path: &Path, timeout: Option<Duration>) -> std::io::Result<Client> {
        let stream = std::os::unix::net::UnixStream::connect(path)?;
        stream.set_read_timeout(timeout)?;
        Ok(Client { stream, split: Splitter::default(), next_id: 0 })
    }

    /// Runs a command; the inner result is the server's answer or its error.
    pub fn call(&mut self, command: &str, args: &[String]) -> std::io::Result<Result<Value, Value>> {
        let id = self.next_id;
        self.next_id += 1;
        self.stream.write_all(&Message::request(id, command, json!(args)).to_bytes())?;
        let mut buf = [0; 65536];
        loop {
            match self.split.next_message() {
                Ok(Some(Message::Reply { result, .. })) => return Ok(Ok(result)),
                Ok(Some(Message::Error { error, .. })) => return Ok(Err(error)),
                Ok(Some(_)) => {}
                Ok(None) => {
                    let n = self.stream.read(&mut buf)?;
                    if n == 0 {
                        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "End of file"));
                    }
                    self.split.push(&buf[..n]);
                }
                Err(e) => return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, e)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: &str, args: &[&str], format: Format, expect: Result<&str, &str>) {
        let mut c = Commands::new("ovs-test");
        c.add("one", "ARG", 1, 1, |call| Ok(call.args[0].clone().into()));
        let call = Call { command: command.into(), args: args.iter().map(|s| s.to_string()).collect(), format };
        let got = crate::run(c.call(call)).unwrap();
        match (got, expect) {
            (Ok(Output::Text(s)), Ok(e)) => assert_eq!(s, e),
            (Err(s), Err(e)) => assert_eq!(s, e),
            (got, expect) => panic!("got {got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn commands() {
        check("version", &[], Format::Text, Ok("ovs-test (Open vSwitch) 4.0.0"));
        check("one", &["x"], Format::Text, Ok("x"));
        check("one", &[], Format::Text, Err("\"one\" command requires at least 1 arguments"));
        check("version", &["x"], Format::Text, Err("\"version\" command takes at most 0 arguments"));
        let unknown = "\"foo\" is not a valid command (use \"list-commands\" to see a list of valid commands)";
        check("foo", &[], Format::Text, Err(unknown));
        check("coverage/read-counter", &["nope"], Format::Text, Err("No such counter"));
    }

    #[test]
    fn options_of_a_connection() {
        let mut f = Format::Text;
        assert!(set_options(&mut f, &["--format".into(), "json".into()]).is_ok());
        assert_eq!(f, Format::Json);
        assert!(set_options(&mut f, &["--format=text".into()]).is_ok());
        assert_eq!(f, Format::Text);
        assert!(set_options(&mut f, &["--format=xml".into()]).is_err());
    }
}
