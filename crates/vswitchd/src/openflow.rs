//! OpenFlow sockets: one task per listener and per connection, all in the control thread.

use crate::app::App;
use clock::Instant;
use io::program::strerror;
use io::vlog::{Level, Module};
use io::{Listener, Remote, Stream, coverage::Counter, vlog_info, vlog_rl, vlog_warn};
use session::Reconnect;
use session::reconnect::Action;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use switch::conn::{Class, ConnId};
use switch::rate_limit::RateLimit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Bytes read in one go; also bounds how long one connection keeps the thread.
const READ_ROOM: usize = 1 << 16;

/// How a connection to a controller is.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The connection, while there is one.
    pub conn: Option<ConnId>,
    /// State as `Controller:status:state` names it.
    pub state: &'static str,
    /// When it was connected last.
    pub connected_at: Option<Instant>,
    /// When it was lost last.
    pub disconnected_at: Option<Instant>,
    /// Why the last attempt or connection failed.
    pub last_error: Option<String>,
}

/// A listener or an active connection, ended when dropped.
#[derive(Debug)]
pub struct Endpoint {
    task: JoinHandle<()>,
    /// How the connection is; of a listener, nothing.
    pub link: Rc<RefCell<Link>>,
    wishes: Rc<Wishes>,
    /// The bridge and what it serves, as the database or the bridge's name says it.
    names: (String, String),
}

/// What an endpoint's tasks are to do.
#[derive(Debug)]
struct Wishes {
    /// What kind of connections it makes.
    kind: Cell<Kind>,
    /// Woken when that has changed.
    changed: Notify,
    /// Woken to end the connection and begin anew.
    again: Notify,
    /// Connections that there are.
    open: RefCell<BTreeSet<ConnId>>,
}

impl Wishes {
    fn new(kind: Kind) -> Rc<Wishes> {
        Rc::new(Wishes {
            kind: Cell::new(kind),
            changed: Notify::new(),
            again: Notify::new(),
            open: RefCell::default(),
        })
    }
}

impl Endpoint {
    /// Ends the present connection to a controller, so that it is made anew. Listeners go on as they are.
    pub fn reconnect(&self) {
        self.wishes.again.notify_waiters();
    }

    /// The same because of what the database says of the bridge.
    pub fn begin_anew(&self, bridge: &str) {
        let target = &self.names.1;
        if self.kind().class == Class::Snoop {
            return;
        }
        vlog_info!(
            Module::Connmgr,
            "{bridge}: Changes to controller \"{target}\" expects re-initialization: Re-initializing now."
        );
        self.reconnect();
    }

    /// What kind of connections it makes.
    pub fn kind(&self) -> Kind {
        self.wishes.kind.get()
    }

    /// Makes another kind of connections; those that there are change with it, and are made anew only for another DSCP.
    pub fn set_kind(&self, bridge: &mut switch::Bridge, kind: Kind, now: Instant) {
        let before = self.wishes.kind.replace(kind);
        if before == kind {
            return;
        }
        for id in &*self.wishes.open.borrow() {
            bridge.configure_conn(*id, kind.class, kind.rate, kind.quiet, now);
        }
        self.wishes.changed.notify_waiters();
        if before.keep.dscp != kind.keep.dscp {
            self.reconnect();
        }
    }
}

/// What logs call a controller of a class.
fn class_name(class: Class) -> &'static str {
    if class == Class::Primary { "primary" } else { "service" }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
        let (kind, (bridge, target)) = (self.kind(), &self.names);
        if kind.class != Class::Snoop {
            vlog_info!(Module::Connmgr, "{bridge}: removed {} controller \"{target}\"", class_name(kind.class));
        }
    }
}

/// What kind of connections a socket has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// Why they exist.
    pub class: Class,
    /// Packets for them are limited.
    pub rate: Option<RateLimit>,
    /// They are told nothing before they say what they want.
    pub quiet: bool,
    /// How active ones are kept.
    pub keep: Keep,
}

impl Kind {
    /// Connections of tools to a socket of the bridge's own.
    pub const SERVICE: Kind = Kind {
        class: Class::Service,
        rate: None,
        quiet: false,
        keep: Keep { probe: None, max_backoff: Duration::from_secs(8), dscp: io::stream::DEFAULT_DSCP },
    };
}

impl Kind {
    /// Connections that read along with the controllers'.
    pub const SNOOP: Kind = Kind { class: Class::Snoop, ..Kind::SERVICE };
}

/// Listens on `remote` for connections to `bridge`.
pub async fn listen(app: &Rc<App>, bridge: &str, remote: &Remote, kind: Kind) -> Result<Endpoint, String> {
    let mut listener =
        Listener::bind(remote).await.map_err(|e| format!("{remote}: listen failed: {}", strerror(&e)))?;
    if let (Remote::PassiveTcp(at), Some(port)) = (remote, listener.port())
        && at.port() == 0
    {
        vlog_info!(Module::SocketUtil, "{}:{}: listening on port {port}", at.port(), at.ip());
    }
    if kind.class != Class::Snoop {
        vlog_info!(Module::Connmgr, "{bridge}: added service controller \"{remote}\"");
    }
    listener.set_dscp(kind.keep.dscp);
    let (wishes, names) = (Wishes::new(kind), (bridge.to_string(), remote.to_string()));
    let (app, bridge, own) = (app.clone(), bridge.to_string(), wishes.clone());
    let task = tokio::task::spawn_local(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(stream) => {
                        let name = format!("{bridge}<->{}", stream.name);
                        let link = Rc::default();
                        connections.spawn_local(serve(app.clone(), bridge.clone(), stream, name, own.clone(), link));
                    }
                    Err(e) => {
                        vlog_warn!(Module::Connmgr, "{}: accept failed: {}", listener.remote, strerror(&e));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = own.changed.notified() => listener.set_dscp(own.kind.get().keep.dscp),
            }
        }
    });
    Ok(Endpoint { task, link: Rc::default(), wishes, names })
}

/// How to keep an active connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keep {
    /// Silence after which the controller is probed; `None` for ever.
    pub probe: Option<Duration>,
    /// Longest wait between attempts.
    pub max_backoff: Duration,
    /// DSCP of its packets.
    pub dscp: u8,
}

/// Connects to a controller and stays connected.
pub fn connect(app: &Rc<App>, bridge: &str, remote: Remote, kind: Kind) -> Endpoint {
    let (wishes, names) = (Wishes::new(kind), (bridge.to_string(), remote.to_string()));
    vlog_info!(Module::Connmgr, "{bridge}: added {} controller \"{}\"", class_name(kind.class), names.1);
    let link = Rc::new(RefCell::new(Link { state: "BACKOFF", ..Link::default() }));
    let target =
        Target { app: app.clone(), bridge: bridge.to_string(), remote, wishes: wishes.clone(), link: link.clone() };
    Endpoint { task: tokio::task::spawn_local(target.stay_connected()), link, wishes, names }
}

/// A controller that is connected to.
struct Target {
    app: Rc<App>,
    bridge: String,
    remote: Remote,
    wishes: Rc<Wishes>,
    link: Rc<RefCell<Link>>,
}

/// Shortest wait between attempts to connect.
const MIN_BACKOFF: Duration = Duration::from_secs(1);

impl Target {
    async fn stay_connected(self) {
        let name = format!("{}<->{}", self.bridge, self.remote);
        let mut reconnect = Reconnect::new();
        reconnect.set_backoff(MIN_BACKOFF, self.wishes.kind.get().keep.max_backoff);
        reconnect.enable(self.app.clock.now());
        loop {
            if reconnect.run(self.app.clock.now()) == Some(Action::Connect) {
                tokio::select! {
                    () = self.attempt(&name, &mut reconnect) => {}
                    () = self.wishes.again.notified() => {
                        vlog_info!(Module::Rconn, "{name}: disconnecting");
                        reconnect.disconnected(self.app.clock.now());
                    }
                }
                lost(&self.app, &self.link);
            }
            let now = self.app.clock.now();
            let wait = reconnect.next_deadline().map_or(Duration::from_secs(1), |d| d.since(now));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.wishes.changed.notified() => {}
            }
            reconnect.set_backoff(MIN_BACKOFF, self.wishes.kind.get().keep.max_backoff);
        }
    }

    async fn attempt(&self, name: &str, reconnect: &mut Reconnect) {
        // A controller that stays away is not worth a line at each attempt.
        let told = !reconnect.is_settled();
        if told {
            vlog_info!(Module::Rconn, "{name}: connecting...");
        }
        reconnect.connecting(self.app.clock.now());
        self.link.borrow_mut().state = "CONNECTING";
        match Stream::connect_marked(&self.remote, self.wishes.kind.get().keep.dscp).await {
            Ok(stream) => {
                vlog_info!(Module::Rconn, "{name}: connected");
                reconnect.connected(self.app.clock.now());
                let (app, bridge) = (self.app.clone(), self.bridge.clone());
                let served = serve(app, bridge, stream, name.to_string(), self.wishes.clone(), self.link.clone());
                match served.await {
                    None => vlog_info!(Module::Rconn, "{name}: connection closed by peer"),
                    Some(e) => {
                        vlog_warn!(Module::Rconn, "{name}: connection dropped ({})", strerror(&e));
                        self.link.borrow_mut().last_error = Some(strerror(&e));
                    }
                }
            }
            Err(e) => {
                self.link.borrow_mut().last_error = Some(strerror(&e));
                vlog_rl!((10, 10), Module::Rconn, Level::Warn, "{name}: connection failed ({})", strerror(&e));
            }
        }
        let before = reconnect.backoff();
        let connected = reconnect.is_connected();
        reconnect.disconnected(self.app.clock.now());
        if connected && reconnect.backoff() == MIN_BACKOFF {
            return;
        }
        if !reconnect.is_settled() {
            let seconds = reconnect.backoff().as_secs_f32();
            vlog_info!(Module::Rconn, "{name}: waiting {seconds} seconds before reconnect");
        } else if reconnect.backoff() != before {
            vlog_info!(
                Module::Rconn,
                "{name}: continuing to retry connections in the background but suppressing further logging"
            );
        }
    }
}

/// Notes that there is no connection.
fn lost(app: &App, link: &RefCell<Link>) {
    let mut link = link.borrow_mut();
    if link.conn.take().is_some() {
        link.disconnected_at = Some(app.clock.now());
    }
    link.state = "BACKOFF";
    app.controllers_changed.notify_one();
}

/// Removes the connection from its bridge however its task ends.
struct Open {
    app: Rc<App>,
    bridge: String,
    id: ConnId,
    wishes: Rc<Wishes>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.wishes.open.borrow_mut().remove(&self.id);
        self.app.close_connection(&self.bridge, self.id);
    }
}

/// Serves one connection to its end, and says what went wrong if something did. After some silence the peer is asked whether it is
/// there; after as much again it is given up.
async fn serve(
    app: Rc<App>,
    bridge: String,
    mut stream: Stream,
    name: String,
    wishes: Rc<Wishes>,
    link: Rc<RefCell<Link>>,
) -> Option<std::io::Error> {
    let ready = Rc::new(Notify::new());
    let id = app.open_connection(&bridge, name.clone(), &wishes.kind.get(), ready.clone())?;
    Counter::VconnOpen.hit();
    {
        let mut link = link.borrow_mut();
        (link.conn, link.state, link.connected_at) = (Some(id), "ACTIVE", Some(app.clock.now()));
        app.controllers_changed.notify_one();
    }
    wishes.open.borrow_mut().insert(id);
    let open = Open { app, bridge, id, wishes: wishes.clone() };
    let mut buf = vec![0; READ_ROOM];
    let mut probed = false;
    let mut heard = tokio::time::Instant::now();
    let forever = Duration::from_secs(u64::from(u32::MAX));
    loop {
        let deadline = open.app.release_packets(&open.bridge, id);
        let (output, closing) = open.app.take_output(&open.bridge, id);
        let wrote = !output.is_empty();
        if wrote && let Err(e) = stream.write_all(&output).await {
            return Some(e);
        }
        if let Some(why) = closing {
            vlog_rl!((60, 5), Module::Vconn, Level::Warn, "{name}: {why}");
            return None;
        }
        // What was held back while the peer did not read can go now.
        if wrote {
            continue;
        }
        tokio::select! {
            read = stream.read(&mut buf) => match read {
                Ok(0) => return None,
                Err(e) => return Some(e),
                Ok(n) => {
                    heard = tokio::time::Instant::now();
                    if std::mem::take(&mut probed) {
                        link.borrow_mut().state = "ACTIVE";
                    }
                    open.app.input(&open.bridge, id, &buf[..n]);
                }
            },
            () = ready.notified() => {}
            () = wishes.changed.notified() => {}
            () = tokio::time::sleep(deadline.map_or(forever, |d| d.since(open.app.clock.now()))) => {}
            () = tokio::time::sleep_until(heard + wishes.kind.get().keep.probe.unwrap_or(forever)) => {
                if probed {
                    vlog_warn!(Module::Rconn, "{name}: no response to inactivity probe, disconnecting");
                    return Some(std::io::ErrorKind::TimedOut.into());
                }
                (probed, heard) = (true, tokio::time::Instant::now());
                link.borrow_mut().state = "IDLE";
                open.app.probe(&open.bridge, id);
            }
        }
    }
}
