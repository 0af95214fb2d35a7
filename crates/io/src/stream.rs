//! Byte streams by name: `unix:FILE`, `tcp:HOST:PORT` to connect, `punix:FILE`, `ptcp:PORT[:IP]` to listen (ovsdb(7)).

use crate::socket::Watched;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

/// DSCP of connections between switches, controllers and databases where nothing else is configured: internetwork control, class
/// selector 6 (RFC 2474, 4.2.2.1).
pub const DEFAULT_DSCP: u8 = 48;

/// Marks the packets of a TCP socket with a DSCP, 0 to 63. A system that does not let us is no reason not to talk.
pub fn mark(socket: impl std::os::fd::AsFd, dscp: u8) {
    use rustix::net::sockopt;
    let tos = dscp << 2;
    // Each fails on sockets of the other family; one of IPv6 may carry IPv4.
    let _ = sockopt::set_ip_tos(&socket, tos);
    let _ = sockopt::set_ipv6_tclass(&socket, u32::from(tos));
}

/// Connects to a TCP port whose name or address is `host`, marked from the first packet on.
pub(crate) async fn dial(host: &str, port: u16, dscp: u8) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in tokio::net::lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        mark(&socket, dscp);
        match socket.connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A parsed connection method.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remote {
    /// `unix:FILE`
    Unix(PathBuf),
    /// `tcp:HOST:PORT`
    Tcp {
        /// Name or address; no brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `ssl:HOST:PORT`
    Ssl {
        /// Name or address; no brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `punix:FILE`
    PassiveUnix(PathBuf),
    /// `ptcp:PORT[:IP]`
    PassiveTcp(SocketAddr),
    /// `pssl:PORT[:IP]`
    PassiveSsl(SocketAddr),
}

/// The port of OVSDB over TCP and TLS (IANA).
pub const OVSDB_PORT: u16 = 6640;
/// The port of OpenFlow (IANA).
pub const OPENFLOW_PORT: u16 = 6653;

impl Remote {
    /// Parses `name`; where no port is given, `default_port` stands in. The error says what is wrong with the name.
    pub fn parse(name: &str, default_port: u16) -> Result<Remote, String> {
        let Some((kind, rest)) = name.split_once(':') else {
            return Err(format!("{name}: connection method must be KIND:ADDRESS, such as unix:FILE or tcp:HOST:PORT"));
        };
        match kind {
            "unix" | "punix" if rest.is_empty() => Err(format!("{name}: no file name")),
            "unix" => Ok(Remote::Unix(rest.into())),
            "punix" => Ok(Remote::PassiveUnix(rest.into())),
            "tcp" | "ssl" => {
                let (host, port) = split_host_port(rest).ok_or_else(|| format!("{name}: bad peer name format"))?;
                let port = parse_port(name, port, default_port)?;
                let host = host.to_string();
                Ok(if kind == "tcp" { Remote::Tcp { host, port } } else { Remote::Ssl { host, port } })
            }
            "ptcp" | "pssl" => {
                let (port, ip) = match rest.split_once(':') {
                    Some((p, ip)) => (p, Some(ip)),
                    None => (rest, None),
                };
                let port = parse_port(name, Some(port).filter(|p| !p.is_empty()), default_port)?;
                let ip = match ip {
                    None | Some("") => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    Some(s) => parse_ip(s).ok_or_else(|| format!("{name}: bad IP address \"{s}\""))?,
                };
                let at = SocketAddr::new(ip, port);
                Ok(if kind == "ptcp" { Remote::PassiveTcp(at) } else { Remote::PassiveSsl(at) })
            }
            _ => Err(format!("{name}: unknown connection method \"{kind}\" (use unix, tcp, ssl, punix, ptcp or pssl)")),
        }
    }

    /// Whether the remote is listened on rather than connected to.
    pub fn is_passive(&self) -> bool {
        matches!(self, Remote::PassiveUnix(_) | Remote::PassiveTcp(_) | Remote::PassiveSsl(_))
    }
}

fn parse_ip(s: &str) -> Option<IpAddr> {
    match s.strip_prefix('[').and_then(|s| s.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => s.parse().ok(),
    }
}

fn split_host_port(s: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = s.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        return Some((host, tail.strip_prefix(':')));
    }
    match s.split_once(':') {
        _ if s.is_empty() => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((s, None)),
    }
}

fn parse_port(name: &str, port: Option<&str>, default: u16) -> Result<u16, String> {
    match port {
        None => Ok(default),
        Some(p) => p.parse().map_err(|_| format!("{name}: bad port number \"{p}\"")),
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracket = |h: &str| if h.contains(':') { format!("[{h}]") } else { h.to_string() };
        let passive = |a: &SocketAddr| match a.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => a.port().to_string(),
            ip => format!("{}:{}", a.port(), bracket(&ip.to_string())),
        };
        match self {
            Remote::Unix(p) => write!(f, "unix:{}", p.display()),
            Remote::PassiveUnix(p) => write!(f, "punix:{}", p.display()),
            Remote::Tcp { host, port } => write!(f, "tcp:{}:{port}", bracket(host)),
            Remote::Ssl { host, port } => write!(f, "ssl:{}:{port}", bracket(host)),
            Remote::PassiveTcp(a) => write!(f, "ptcp:{}", passive(a)),
            Remote::PassiveSsl(a) => write!(f, "pssl:{}", passive(a)),
        }
    }
}

/// What every kind of stream can do.
pub trait Transport: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {}

/// An open connection of any kind.
pub struct Stream {
    inner: Box<dyn Transport>,
    /// What logs call it, such as `unix#3` or `tcp:192.0.2.1:5000`.
    pub name: String,
    /// The common name in the peer's certificate, once a TLS handshake is done.
    pub peer: Arc<OnceLock<String>>,
}

impl Stream {
    /// Wraps a transport, for kinds that this module does not open itself.
    pub fn new(inner: impl Transport + 'static, name: String) -> Stream {
        Stream { inner: Box::new(inner), name, peer: Arc::default() }
    }

    /// Connects to an active remote.
    ///
    /// # Errors
    /// The operating system's, or `Unsupported` for passive remotes and for TLS, which needs keys.
    pub async fn connect(remote: &Remote) -> io::Result<Stream> {
        Stream::connect_marked(remote, DEFAULT_DSCP).await
    }

    /// The same with a DSCP of its own, 0 to 63.
    ///
    /// # Errors
    /// As [`Stream::connect`].
    pub async fn connect_marked(remote: &Remote, dscp: u8) -> io::Result<Stream> {
        match remote {
            Remote::Unix(path) => {
                let s = UnixStream::connect(path).await?.into_std()?;
                Ok(Stream::new(Watched::new(s)?, remote.to_string()))
            }
            Remote::Tcp { host, port } => {
                let s = dial(host, *port, dscp).await?.into_std()?;
                Ok(Stream::new(Watched::new(s)?, remote.to_string()))
            }
            Remote::Ssl { host, port } => {
                Ok(Stream::new(crate::tls::connect(host, *port, dscp).await?, remote.to_string()))
            }
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "cannot connect to a passive remote")),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.name)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// A socket that accepts connections. A Unix socket's file is removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    inner: ListenerKind,
    /// The remote it was made from.
    pub remote: Remote,
    accepted: u64,
}

#[derive(Debug)]
enum ListenerKind {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
    Ssl(TcpListener),
}

impl Listener {
    /// Starts to listen. A Unix socket left behind by a process that died is replaced; one that somebody serves is not.
    ///
    /// # Errors
    /// The operating system's; `AddrInUse` where somebody serves the socket already.
    pub async fn bind(remote: &Remote) -> io::Result<Listener> {
        let inner = match remote {
            Remote::PassiveUnix(path) => ListenerKind::Unix(bind_unix(path).await?, path.clone()),
            Remote::PassiveTcp(at) => ListenerKind::Tcp(TcpListener::bind(at).await?),
            Remote::PassiveSsl(at) => {
                // Wrong keys are an error now, not at the first connection; a CA yet to be bootstrapped is none.
                crate::tls::server_config()?;
                ListenerKind::Ssl(TcpListener::bind(at).await?)
            }
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "cannot listen on an active remote")),
        };
        let listener = Listener { inner, remote: remote.clone(), accepted: 0 };
        listener.set_dscp(DEFAULT_DSCP);
        Ok(listener)
    }

    /// Marks the packets of connections that are accepted from now on, 0 to 63.
    pub fn set_dscp(&self, dscp: u8) {
        if let ListenerKind::Tcp(l) | ListenerKind::Ssl(l) = &self.inner {
            mark(l, dscp);
        }
    }

    /// The TCP port that it got; useful where port 0 was asked for.
    pub fn port(&self) -> Option<u16> {
        match &self.inner {
            ListenerKind::Tcp(l) | ListenerKind::Ssl(l) => l.local_addr().ok().map(|a| a.port()),
            ListenerKind::Unix(..) => None,
        }
    }

    /// Waits for the next connection.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        let stream = match &self.inner {
            ListenerKind::Unix(l, _) => {
                let (s, _) = l.accept().await?;
                Stream::new(Watched::new(s.into_std()?)?, format!("unix#{}", self.accepted))
            }
            ListenerKind::Tcp(l) => {
                let (s, from) = l.accept().await?;
                s.set_nodelay(true)?;
                Stream::new(Watched::new(s.into_std()?)?, format!("tcp:{from}"))
            }
            ListenerKind::Ssl(l) => {
                let (s, from) = l.accept().await?;
                s.set_nodelay(true)?;
                let peer = Arc::default();
                let accepted = crate::tls::Accepted::new(s, Arc::clone(&peer))?;
                Stream { peer, ..Stream::new(accepted, format!("ssl:{from}")) }
            }
        };
        self.accepted += 1;
        Ok(stream)
    }
}

async fn bind_unix(path: &PathBuf) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(e);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        r => r,
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let ListenerKind::Unix(_, path) = &self.inner {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expect: Result<&str, &str>) {
        let got = Remote::parse(name, 6640).map(|r| r.to_string());
        assert_eq!(got, expect.map(String::from).map_err(String::from));
    }

    #[test]
    fn names() {
        check("unix:/a/b", Ok("unix:/a/b"));
        check("tcp:127.0.0.1", Ok("tcp:127.0.0.1:6640"));
        check("tcp:[::1]:99", Ok("tcp:[::1]:99"));
        check("ssl:host:7", Ok("ssl:host:7"));
        check("ptcp:", Ok("ptcp:6640"));
        check("ptcp:0:127.0.0.1", Ok("ptcp:0:127.0.0.1"));
        check("pssl:1:[::]", Ok("pssl:1:[::]"));
        check("tcp:h:x", Err("tcp:h:x: bad port number \"x\""));
        check("ptcp:1:nope", Err("ptcp:1:nope: bad IP address \"nope\""));
        check("tcp:", Err("tcp:: bad peer name format"));
        check("unix:", Err("unix:: no file name"));
        assert!(Remote::parse("foo", 1).is_err());
        assert!(Remote::parse("foo:bar", 1).is_err());
    }

    #[test]
    fn packets_are_marked() {
        use rustix::net::sockopt::{ip_tos, ipv6_tclass};
        crate::run(async {
            for host in ["127.0.0.1", "::1"] {
                let address = SocketAddr::new(host.parse().unwrap(), 0);
                // A host may lack one of the families.
                let Ok(mut listener) = Listener::bind(&Remote::PassiveTcp(address)).await else { continue };
                let stream = dial(host, listener.port().unwrap(), 10).await.unwrap();
                listener.accept().await.unwrap();
                let ListenerKind::Tcp(socket) = &listener.inner else { panic!("{host}") };
                let marks = match address.is_ipv4() {
                    true => (u32::from(ip_tos(&stream).unwrap()), u32::from(ip_tos(socket).unwrap())),
                    false => (ipv6_tclass(&stream).unwrap(), ipv6_tclass(socket).unwrap()),
                };
                assert_eq!(marks, (10 << 2, 48 << 2), "{host}");
            }
        })
        .unwrap();
    }

    #[test]
    fn a_served_socket_is_not_taken_and_a_dead_one_is() {
        let dir = std::env::temp_dir().join(format!("ferrovs-io-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let remote = Remote::PassiveUnix(dir.join("s"));
        crate::run(async {
            let first = Listener::bind(&remote).await.unwrap();
            assert_eq!(Listener::bind(&remote).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
            drop(first);
            drop(std::os::unix::net::UnixListener::bind(dir.join("s")).unwrap());
            Listener::bind(&remote).await.unwrap();
        })
        .unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
