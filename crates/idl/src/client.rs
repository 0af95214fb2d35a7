//! Drives a [`Replica`] over a stream: connects, probes, reconnects.

use crate::replica::{Outcome, Replica};
use crate::txn::Txn;
use clock::Clock;
use io::program::strerror;
use io::vlog::Module;
use io::{Remote, Stream, vlog_info, vlog_warn};
use serde_json::json;
use session::reconnect::Action;
use session::{Message, Reconnect, Splitter};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

type Connecting = Pin<Box<dyn Future<Output = std::io::Result<Stream>>>>;

/// What a step on the stream did: bytes.
enum Step {
    Read(usize),
    Wrote(usize),
}

/// A replica with a connection under it.
pub struct Client {
    /// The rows and what is on its way to the server.
    pub replica: Replica,
    remote: Remote,
    clock: Clock,
    reconnect: Reconnect,
    stream: Option<Stream>,
    split: Splitter,
    buf: Vec<u8>,
    /// An attempt to connect that is under way; kept here so that a dropped future does not end it.
    connecting: Option<Connecting>,
    /// Bytes that the stream has not taken yet; kept here so that a dropped future loses none.
    unsent: Vec<u8>,
    /// Why the last attempt to connect failed.
    last_error: Option<String>,
}

impl Client {
    /// A client of the server at `remote`; it connects when it is first run.
    pub fn new(remote: Remote, replica: Replica, clock: Clock) -> Client {
        let mut reconnect = Reconnect::new();
        reconnect.enable(clock.now());
        Client {
            replica,
            remote,
            clock,
            reconnect,
            stream: None,
            split: Splitter::default(),
            buf: vec![0; 65536],
            connecting: None,
            unsent: vec![],
            last_error: None,
        }
    }

    /// Sets how long a silent connection is left alone before it is probed; `None` for ever.
    pub fn set_probe_interval(&mut self, interval: Option<Duration>) {
        self.reconnect.set_probe_interval(interval);
    }

    /// Why the last attempt to connect failed, if it did.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Sends what the replica has to say, then waits until something has happened to it: a message, a new connection, a
    /// lost one. Safe to drop.
    pub async fn run(&mut self) {
        if let Err(e) = self.flush().await {
            let closed = e.kind() == std::io::ErrorKind::UnexpectedEof;
            return self.drop_connection(if closed { "connection closed by peer" } else { "connection dropped" });
        }
        let now = self.clock.now();
        match self.reconnect.run(now) {
            Some(Action::Connect) => {
                vlog_info!(Module::Reconnect, "{}: connecting...", self.remote);
                self.reconnect.connecting(now);
                let remote = self.remote.clone();
                self.connecting = Some(Box::pin(async move { Stream::connect(&remote).await }));
            }
            Some(Action::Disconnect) => return self.drop_connection("no response to inactivity probe, disconnecting"),
            Some(Action::Probe) => {
                let echo = Message::Request { id: "echo".into(), method: "echo".into(), params: json!([]) };
                self.unsent.extend(echo.to_bytes());
                if self.flush().await.is_err() {
                    return self.drop_connection("connection dropped");
                }
            }
            None => {}
        }
        let wait = self.reconnect.next_deadline().map_or(Duration::from_secs(3600), |d| d.since(self.clock.now()));
        if let Some(attempt) = &mut self.connecting {
            if let Ok(result) = tokio::time::timeout(wait, attempt).await {
                self.connecting = None;
                self.connected(result);
            }
            return;
        }
        if self.stream.is_none() {
            tokio::time::sleep(wait).await;
            return;
        }
        match tokio::time::timeout(wait, self.step()).await {
            Err(_) | Ok(Ok(Step::Wrote(_))) => {}
            Ok(Ok(Step::Read(0))) => self.drop_connection("connection closed by peer"),
            Ok(Err(e)) => self.drop_connection(&format!("receive error: {}", strerror(&e))),
            Ok(Ok(Step::Read(n))) => self.received(n),
        }
    }

    /// Commits what `build` makes of the rows. When rows that it verified have changed meanwhile, waits until the replica
    /// knows, and lets `build` make it anew. An empty transaction is committed without asking the server. Not to be dropped:
    /// whether it was committed is then not known.
    pub async fn commit(&mut self, mut build: impl FnMut(&Replica) -> Txn) -> Outcome {
        loop {
            while !self.replica.is_live() {
                self.run().await;
            }
            let seen = self.replica.sequence();
            let txn = build(&self.replica);
            if txn.is_empty() {
                return Outcome::Committed(vec![]);
            }
            let id = self.replica.transact(txn);
            let outcome = loop {
                match self.replica.take_outcome(id) {
                    Some(outcome) => break outcome,
                    None => self.run().await,
                }
            };
            if outcome != Outcome::TryAgain {
                return outcome;
            }
            while self.replica.sequence() == seen {
                self.run().await;
            }
        }
    }

    /// Sends everything that the replica has queued. Safe to drop.
    pub async fn flush(&mut self) -> std::io::Result<()> {
        if self.stream.is_none() {
            return Ok(());
        }
        while let Some(m) = self.replica.poll_output() {
            self.unsent.extend(m.to_bytes());
        }
        while !self.unsent.is_empty() {
            match self.step().await? {
                Step::Wrote(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Step::Wrote(n) => drop(self.unsent.drain(..n)),
                Step::Read(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Step::Read(n) => self.received(n),
            }
            if self.stream.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Reads what has come, or writes some of what waits, whichever can be done first. A server that waits for its answers to
    /// be read does not read on: who only wrote would wait for it for ever. Without a connection it never ends.
    async fn step(&mut self) -> std::io::Result<Step> {
        let (stream, buf, unsent) = (&mut self.stream, &mut self.buf, &self.unsent);
        std::future::poll_fn(|cx| {
            let Some(stream) = stream.as_mut() else { return Poll::Pending };
            let mut room = ReadBuf::new(&mut buf[..]);
            if let Poll::Ready(read) = Pin::new(&mut *stream).poll_read(cx, &mut room) {
                return Poll::Ready(read.map(|()| Step::Read(room.filled().len())));
            }
            if unsent.is_empty() {
                return Poll::Pending;
            }
            Pin::new(&mut *stream).poll_write(cx, unsent).map(|wrote| wrote.map(Step::Wrote))
        })
        .await
    }

    fn received(&mut self, n: usize) {
        self.reconnect.activity(self.clock.now());
        self.split.push(&self.buf[..n]);
        self.take_messages();
    }

    fn take_messages(&mut self) {
        loop {
            let result = match self.split.next_message() {
                Ok(None) => return,
                Ok(Some(m)) => self.replica.input(m),
                Err(e) => Err(e),
            };
            if let Err(e) = result {
                return self.drop_connection(&e);
            }
        }
    }

    fn connected(&mut self, result: std::io::Result<Stream>) {
        match result {
            Ok(s) => {
                vlog_info!(Module::Reconnect, "{}: connected", self.remote);
                self.last_error = None;
                self.stream = Some(s);
                self.unsent.clear();
                self.split = Splitter::default();
                self.reconnect.connected(self.clock.now());
                self.replica.connected();
            }
            Err(e) => {
                let why = strerror(&e);
                vlog_info!(Module::Reconnect, "{}: connection attempt failed ({why})", self.remote);
                self.last_error = Some(why);
                self.reconnect.disconnected(self.clock.now());
                let backoff = self.reconnect.backoff().as_secs_f32();
                vlog_info!(Module::Reconnect, "{}: waiting {backoff} seconds before reconnect", self.remote);
            }
        }
    }

    fn drop_connection(&mut self, why: &str) {
        if self.stream.take().is_some() {
            vlog_warn!(Module::Reconnect, "{}: {why}", self.remote);
            self.last_error = Some(why.into());
        }
        self.connecting = None;
        self.replica.disconnected();
        self.reconnect.disconnected(self.clock.now());
    }
}
