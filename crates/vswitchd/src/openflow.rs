//! OpenFlow sockets: one task per listener and per connection, all in the control thread.

use crate::app::App;
use clock::Instant;
use io::program::strerror;
use io::vlog::{Level, Module};
use io::{Listener, Remote, Stream, coverage::Counter, vlog_info, vlog_rl, vlog_warn};
use session::Reconnect;
use session::reconnect::Action;
use std::cell::RefCell;
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
    /// Woken to end the connection and begin anew.
    again: Rc<Notify>,
    /// What it serves, as the database or the bridge's name says it.
    pub target: String,
    /// What kind of connections it makes.
    pub kind: Kind,
}

impl Endpoint {
    /// Ends the present connection to a controller, so that it is made anew. Listeners go on as they are.
    pub fn reconnect(&self) {
        self.again.notify_waiters();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
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
        keep: Keep { probe: None, max_backoff: Duration::from_secs(8) },
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
        vlog_info!(Module::Connmgr, "{bridge}: listening on port {port}");
    }
    if kind.class != Class::Snoop {
        vlog_info!(Module::Connmgr, "{bridge}: added service controller \"{remote}\"");
    }
    let (app, bridge) = (app.clone(), bridge.to_string());
    let task = tokio::task::spawn_local(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(stream) => {
                        let name = format!("{bridge}<->{}", stream.name);
                        let link = Rc::default();
                        connections.spawn_local(serve(app.clone(), bridge.clone(), stream, name, kind, link));
                    }
                    Err(e) => {
                        vlog_warn!(Module::Connmgr, "{}: accept failed: {}", listener.remote, strerror(&e));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    });
    Ok(Endpoint { task, link: Rc::default(), again: Rc::default(), target: remote.to_string(), kind })
}

/// How to keep an active connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keep {
    /// Silence after which the controller is probed; `None` for ever.
    pub probe: Option<Duration>,
    /// Longest wait between attempts.
    pub max_backoff: Duration,
}

/// Connects to a controller and stays connected.
pub fn connect(app: &Rc<App>, bridge: &str, remote: Remote, kind: Kind) -> Endpoint {
    let target = remote.to_string();
    vlog_info!(Module::Connmgr, "{bridge}: added primary controller \"{target}\"");
    let again = Rc::new(Notify::new());
    let (app, bridge, stop) = (app.clone(), bridge.to_string(), again.clone());
    let link = Rc::new(RefCell::new(Link { state: "BACKOFF", ..Link::default() }));
    let own = link.clone();
    let task = tokio::task::spawn_local(async move {
        let mut reconnect = Reconnect::new();
        reconnect.set_backoff(Duration::from_secs(1), kind.keep.max_backoff);
        reconnect.enable(app.clock.now());
        loop {
            let now = app.clock.now();
            if reconnect.run(now) == Some(Action::Connect) {
                tokio::select! {
                    () = attempt(&app, &bridge, &remote, kind, &mut reconnect, &own) => {}
                    () = stop.notified() => reconnect.disconnected(app.clock.now()),
                }
                lost(&app, &own);
            }
            let wait = reconnect.next_deadline().map_or(Duration::from_secs(1), |d| d.since(app.clock.now()));
            tokio::time::sleep(wait).await;
        }
    });
    Endpoint { task, link, again, target, kind }
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

async fn attempt(
    app: &Rc<App>,
    bridge: &str,
    remote: &Remote,
    kind: Kind,
    reconnect: &mut Reconnect,
    link: &Rc<RefCell<Link>>,
) {
    let name = format!("{bridge}<->{remote}");
    vlog_rl!((10, 10), Module::Rconn, Level::Info, "{name}: connecting...");
    reconnect.connecting(app.clock.now());
    link.borrow_mut().state = "CONNECTING";
    match Stream::connect(remote).await {
        Ok(stream) => {
            vlog_info!(Module::Rconn, "{name}: connected");
            reconnect.connected(app.clock.now());
            serve(app.clone(), bridge.to_string(), stream, name.clone(), kind, link.clone()).await;
            vlog_info!(Module::Rconn, "{name}: connection closed by peer");
        }
        Err(e) => {
            link.borrow_mut().last_error = Some(strerror(&e));
            vlog_rl!((10, 10), Module::Rconn, Level::Warn, "{name}: connection failed ({})", strerror(&e));
        }
    }
    reconnect.disconnected(app.clock.now());
    vlog_rl!(
        (10, 10),
        Module::Rconn,
        Level::Info,
        "{name}: waiting {} seconds before reconnect",
        reconnect.backoff().as_secs_f32()
    );
}

/// Removes the connection from its bridge however its task ends.
struct Open {
    app: Rc<App>,
    bridge: String,
    id: ConnId,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.close_connection(&self.bridge, self.id);
    }
}

/// Serves one connection to its end. After `probe` of silence the peer is asked whether it is there; after as much
/// again it is given up.
async fn serve(app: Rc<App>, bridge: String, mut stream: Stream, name: String, kind: Kind, link: Rc<RefCell<Link>>) {
    let probe = kind.keep.probe;
    let ready = Rc::new(Notify::new());
    let Some(id) = app.open_connection(&bridge, name.clone(), &kind, ready.clone()) else { return };
    Counter::VconnOpen.hit();
    {
        let mut link = link.borrow_mut();
        (link.conn, link.state, link.connected_at) = (Some(id), "ACTIVE", Some(app.clock.now()));
        app.controllers_changed.notify_one();
    }
    let open = Open { app, bridge, id };
    let mut buf = vec![0; READ_ROOM];
    let mut probed = false;
    let forever = Duration::from_secs(u64::from(u32::MAX));
    loop {
        let deadline = open.app.release_packets(&open.bridge, id);
        let (output, closing) = open.app.take_output(&open.bridge, id);
        let wrote = !output.is_empty();
        if wrote && stream.write_all(&output).await.is_err() {
            return;
        }
        if let Some(why) = closing {
            vlog_rl!((60, 5), Module::Vconn, Level::Warn, "{name}: {why}");
            return;
        }
        // What was held back while the peer did not read can go now.
        if wrote {
            continue;
        }
        tokio::select! {
            read = stream.read(&mut buf) => match read {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    if std::mem::take(&mut probed) {
                        link.borrow_mut().state = "ACTIVE";
                    }
                    open.app.input(&open.bridge, id, &buf[..n]);
                }
            },
            () = ready.notified() => {}
            () = tokio::time::sleep(deadline.map_or(forever, |d| d.since(open.app.clock.now()))) => {}
            () = tokio::time::sleep(probe.unwrap_or(forever)) => {
                if probed {
                    vlog_warn!(Module::Rconn, "{name}: no response to inactivity probe, disconnecting");
                    return;
                }
                probed = true;
                link.borrow_mut().state = "IDLE";
                open.app.probe(&open.bridge, id);
            }
        }
    }
}
