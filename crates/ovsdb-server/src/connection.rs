//! One client's connection: bytes in, requests to the core; bytes that the core queued, out.

use crate::Shared;
use crate::core::SessionId;
use io::vlog::Module;
use io::{Stream, vlog_warn};
use session::{Message, Splitter};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::time::Instant;

/// Least time between two rounds of updates when there are `n_sessions` clients: updates of busy moments travel together, so
/// that telling many clients takes a bounded share of the time. A few are told at once.
fn update_interval(n_sessions: usize) -> Duration {
    match n_sessions {
        0..4 => Duration::ZERO,
        n => Duration::from_micros(400 * n.min(25) as u64),
    }
}

/// Lets updates go: at once after a quiet moment, else some time after the last.
pub async fn send_updates(shared: Shared) {
    let wait = shared.borrow().updates_wait.clone();
    let mut last: Option<Instant> = None;
    loop {
        wait.notified().await;
        let due = last.map(|last| last + update_interval(shared.borrow().sessions.len()));
        if let Some(due) = due.filter(|due| *due > Instant::now()) {
            tokio::time::sleep_until(due).await;
        }
        shared.borrow_mut().release_updates();
        last = Some(Instant::now());
    }
}

/// Requests that one connection may run before others get their turn.
const BATCH: usize = 64;
/// Longest message from a client of this machine, in bytes: a whole database fits.
const MAX_LOCAL_MESSAGE: usize = 1 << 30;
/// Longest message from a client elsewhere.
const MAX_REMOTE_MESSAGE: usize = 256 << 20;
/// Most bytes of messages that have begun and not ended, of all clients together.
const MAX_UNFINISHED: usize = 1 << 30;
/// A client with less than this of an unfinished message may always go on.
const SMALL: usize = 1 << 20;

/// Bytes read at once.
const READ: usize = 1 << 16;

thread_local! {
    /// All connections read through one buffer: an idle one holds no memory for it.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// Reads what there is; 0 at the end of the stream.
async fn read_into(reader: &mut ReadHalf<Stream>, splitter: &mut Splitter) -> std::io::Result<usize> {
    poll_fn(|context| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut filled = ReadBuf::new(buffer);
            Pin::new(&mut *reader).poll_read(context, &mut filled).map_ok(|()| {
                splitter.push(filled.filled());
                filled.filled().len()
            })
        })
    })
    .await
}

/// What a remote's configuration says about its connections.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The remote's name, for `list-remotes` and status.
    pub remote: std::rc::Rc<str>,
    /// Silence after which the client is probed, and as much again after which it is dropped; `None` for never.
    pub probe: Option<Duration>,
    /// Role for RBAC.
    pub role: String,
    /// True if clients may only read.
    pub read_only: bool,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum End {
    /// The peer closed it.
    Peer,
    /// The core wanted it closed.
    Asked,
    /// An error; the text was logged.
    Error(String),
}

/// Serves a connection to its end.
pub async fn serve(shared: Shared, stream: Stream, id: String, terms: Terms) -> End {
    let name = stream.name.clone();
    let session =
        shared.borrow_mut().connect(name.clone(), terms.remote.clone(), terms.role.clone(), id, terms.read_only);
    let peer = stream.peer.clone();
    let (reader, writer) = tokio::io::split(stream);
    let local = name.starts_with("unix");
    let splitter = Splitter::new(if local { MAX_LOCAL_MESSAGE } else { MAX_REMOTE_MESSAGE });
    let mut connection = Connection { shared: shared.clone(), session, reader, writer, splitter, unfinished: 0, peer };
    let end = connection.run(terms.probe).await;
    if connection.unfinished > SMALL {
        // Giving much memory back to the system takes time that nobody should wait for.
        let read = std::mem::replace(&mut connection.splitter, Splitter::new(0));
        drop(tokio::task::spawn_blocking(move || drop(read)));
    }
    if let End::Error(_) = end {
        connection.say_last().await;
    }
    drop(connection);
    if let End::Error(reason) = &end {
        vlog_warn!(Module::Reconnect, "{name}: connection dropped ({reason})");
    }
    end
}

struct Connection {
    shared: Shared,
    session: SessionId,
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    splitter: Splitter,
    /// Bytes of the message that has begun and not ended, as counted in [`crate::Core::unfinished`].
    unfinished: usize,
    /// Who the client is, once it has proved it.
    peer: std::sync::Arc<std::sync::OnceLock<String>>,
}

impl Drop for Connection {
    /// However it ends, nothing is left of it: its task may have been ended by a remote that is configured anew.
    fn drop(&mut self) {
        if let Ok(mut core) = self.shared.try_borrow_mut() {
            core.unfinished -= self.unfinished;
            core.disconnect(self.session);
        }
    }
}

impl Connection {
    async fn run(&mut self, probe: Option<Duration>) -> End {
        let Some(wake) = self.shared.borrow().sessions.get(&self.session).map(|session| session.wake.clone()) else {
            return End::Asked;
        };
        let mut last_read = Instant::now();
        let mut probed = false;
        let mut more = false;
        let silence = tokio::time::sleep_until(last_read + probe.unwrap_or_default());
        tokio::pin!(silence);
        loop {
            if let Err(end) = self.send(&wake).await {
                return end;
            }
            if more {
                tokio::task::yield_now().await;
                match self.process() {
                    Ok(again) => more = again,
                    Err(end) => return end,
                }
                continue;
            }
            tokio::select! {
                biased;
                read = read_into(&mut self.reader, &mut self.splitter) => match read {
                    Ok(0) => return End::Peer,
                    Ok(_) => {
                        self.note_peer();
                        if probe.is_some() {
                            last_read = Instant::now();
                        }
                        probed = false;
                        match self.process() {
                            Ok(again) => more = again,
                            Err(end) => return end,
                        }
                    }
                    // A TLS peer that closes without saying so has closed all the same.
                    Err(error) if matches!(error.kind(), ConnectionReset | UnexpectedEof) => return End::Peer,
                    Err(error) => return End::Error(io::program::strerror(&error)),
                },
                () = wake.notified() => {}
                () = &mut silence, if probe.is_some() => {
                    let probe = probe.unwrap_or_default();
                    let limit = last_read + probe * (1 + u32::from(probed));
                    if limit > Instant::now() {
                        // Something came since the timer was set.
                        silence.as_mut().reset(limit);
                        continue;
                    }
                    if probed {
                        let (name, seconds) = (self.name(), probe.as_secs_f64());
                        vlog_warn!(Module::Reconnect,
                            "{name}: no response to inactivity probe after {seconds} seconds, disconnecting");
                        return End::Asked;
                    }
                    probed = true;
                    silence.as_mut().reset(last_read + probe * 2);
                    let probe = b"{\"id\":\"echo\",\"method\":\"echo\",\"params\":[]}";
                    if let Some(session) = self.shared.borrow_mut().sessions.get_mut(&self.session) {
                        session.out.extend_from_slice(probe);
                        session.urgent = true;
                    }
                }
            }
        }
    }

    /// Sends what must go now, and what waits with it.
    async fn send(&mut self, wake: &tokio::sync::Notify) -> Result<(), End> {
        let out = match self.shared.borrow_mut().sessions.get_mut(&self.session) {
            Some(session) if session.closing => return Err(End::Asked),
            Some(session) if session.urgent => {
                session.urgent = false;
                std::mem::take(&mut session.out)
            }
            Some(_) => return Ok(()),
            None => return Err(End::Asked),
        };
        if out.is_empty() {
            return Ok(());
        }
        self.write(&out, wake).await?;
        // A large buffer is given back; a small one is used again.
        if out.capacity() <= 1 << 20
            && let Some(session) = self.shared.borrow_mut().sessions.get_mut(&self.session)
            && session.out.is_empty()
        {
            session.out = out;
            session.out.clear();
        }
        Ok(())
    }

    /// What was answered before an error came is sent, if the peer still reads.
    async fn say_last(&mut self) {
        let out =
            self.shared.borrow_mut().sessions.get_mut(&self.session).map(|session| std::mem::take(&mut session.out));
        let writing = self.writer.write_all(out.as_deref().unwrap_or_default());
        let _ = tokio::time::timeout(std::time::Duration::from_millis(100), writing).await;
    }

    fn note_peer(&self) {
        if let Some(name) = self.peer.get()
            && let Some(session) = self.shared.borrow_mut().sessions.get_mut(&self.session)
            && session.id.is_empty()
        {
            session.id.clone_from(name);
        }
    }

    fn name(&self) -> String {
        self.shared.borrow().sessions.get(&self.session).map(|s| s.name.clone()).unwrap_or_default()
    }

    /// Writes everything, unless the core wants the connection closed while the client does not read.
    async fn write(&mut self, bytes: &[u8], wake: &tokio::sync::Notify) -> Result<(), End> {
        let writing = self.writer.write_all(bytes);
        tokio::pin!(writing);
        loop {
            tokio::select! {
                biased;
                result = &mut writing => {
                    return result.map_err(|error| match error.kind() {
                        std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => End::Peer,
                        _ => End::Error(io::program::strerror(&error)),
                    });
                }
                () = wake.notified() => {
                    if self.shared.borrow().sessions.get(&self.session).is_none_or(|session| session.closing) {
                        return Err(End::Asked);
                    }
                }
            }
        }
    }

    /// Runs requests that have come in; true if there may be more.
    fn process(&mut self) -> Result<bool, End> {
        let began = std::time::Instant::now();
        let more = self.run_requests().and_then(|more| self.count_unfinished().map(|()| more));
        self.shared.borrow_mut().rhythm.served(began, std::time::Instant::now());
        more
    }

    /// Keeps count of messages that have not ended; all clients together may only have so much of them.
    fn count_unfinished(&mut self) -> Result<(), End> {
        self.splitter.release();
        let now = self.splitter.unread();
        let mut core = self.shared.borrow_mut();
        core.unfinished = core.unfinished - self.unfinished + now;
        self.unfinished = now;
        if core.unfinished > MAX_UNFINISHED && now > SMALL {
            drop(core);
            vlog_warn!(
                Module::OvsdbJsonrpcServer,
                "{}: disconnecting client after {now} bytes of a message, for all clients' unfinished messages take too much",
                self.name()
            );
            return Err(End::Asked);
        }
        Ok(())
    }

    fn run_requests(&mut self) -> Result<bool, End> {
        for _ in 0..BATCH {
            let text = match self.splitter.next_text() {
                Ok(Some(text)) => text,
                Ok(None) => return Ok(false),
                Err(error) => return Err(self.bad_stream(&error.to_string())),
            };
            let value = match ovsdb_data::json::parse(text) {
                Ok(value) => value,
                Err(error) => return Err(self.bad_stream(&error)),
            };
            let message = match Message::from_json(value) {
                Ok(message) => message,
                Err(error) => {
                    vlog_warn!(Module::Jsonrpc, "{}: received bad JSON-RPC message: {error}", self.name());
                    return Err(End::Error("Protocol error".into()));
                }
            };
            let mut core = self.shared.borrow_mut();
            match message {
                Message::Request { id, method, params } => core.request(self.session, id, &method, params),
                Message::Notification { method, params } => core.notification(self.session, &method, &params),
                Message::Reply { id, .. } | Message::Error { id, .. } if id == "echo" => {}
                Message::Reply { .. } | Message::Error { .. } => {
                    drop(core);
                    vlog_warn!(Module::OvsdbJsonrpcServer, "{}: received unexpected reply message", self.name());
                    return Err(End::Asked);
                }
            }
        }
        Ok(true)
    }

    fn bad_stream(&self, error: &str) -> End {
        vlog_warn!(Module::Jsonrpc, "{}: error parsing stream: {error}", self.name());
        End::Error("Protocol error".into())
    }
}
