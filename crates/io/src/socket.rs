//! Stream sockets that are watched for input only.
//!
//! A peer that reads makes room in its socket's buffer, and whoever watches for that wakes up at every message that the peer takes
//! in. Nobody needs to know unless a write did not fit: only then is the socket watched for room.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// Most bytes taken at once.
const READ: usize = 1 << 16;

/// What the two kinds of stream socket have in common.
pub(crate) trait Socket: AsRawFd + Read + Write + Debug + Unpin + Sized {
    /// Another descriptor of the same socket.
    fn duplicate(&self) -> io::Result<Self>;
    /// Tells the peer that no more will come.
    fn end(&self) -> io::Result<()>;
}

impl Socket for std::os::unix::net::UnixStream {
    fn duplicate(&self) -> io::Result<Self> {
        self.try_clone()
    }
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Socket for std::net::TcpStream {
    fn duplicate(&self) -> io::Result<Self> {
        self.try_clone()
    }
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// A connected socket that does not block.
#[derive(Debug)]
pub(crate) struct Watched<S: Socket> {
    socket: AsyncFd<S>,
    /// The same socket, watched for room, while writes do not fit.
    full: Option<AsyncFd<S>>,
}

fn watch<S: Socket>(socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    // SAFETY: the sockets of the standard library, for which alone `Socket` is implemented, own one descriptor, open and the
    // same until they are dropped.
    let watched = unsafe { AsyncFd::register_with_interest(socket, interest) };
    watched.map_err(|error| error.into_parts().1)
}

impl<S: Socket> Watched<S> {
    /// Takes a socket that does not block.
    pub(crate) fn new(socket: S) -> io::Result<Self> {
        Ok(Watched { socket: watch(socket, Interest::READABLE)?, full: None })
    }
}

impl<S: Socket> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready_mut(cx))?;
            let all = buf.remaining().min(READ);
            let room = buf.initialize_unfilled_to(all);
            match guard.get_inner_mut().read(room) {
                Ok(n) => {
                    // Less than there was room for: that was everything.
                    if 0 < n && n < all {
                        guard.clear_ready();
                    }
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<S: Socket> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let this = &mut *self;
            let mut guard = match &mut this.full {
                Some(full) => Some(ready!(full.poll_write_ready_mut(cx))?),
                None => None,
            };
            match this.socket.get_mut().write(bytes) {
                Ok(n) => {
                    if n == bytes.len() {
                        this.full = None;
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match &mut guard {
                    Some(guard) => guard.clear_ready(),
                    None => {
                        let socket = this.socket.get_ref().duplicate()?;
                        this.full = Some(watch(socket, Interest::WRITABLE)?);
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.get_ref().end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (Watched<UnixStream>, Watched<UnixStream>) {
        let (a, b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        (Watched::new(a).unwrap(), Watched::new(b).unwrap())
    }

    #[test]
    fn what_does_not_fit_goes_out_when_there_is_room() {
        crate::run(async {
            let (mut a, mut b) = pair();
            let sent: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
            let expect = sent.clone();
            let writer = async move {
                a.write_all(&sent).await.unwrap();
                a.write_all(b"end").await.unwrap();
                assert!(a.full.is_none());
                a.shutdown().await.unwrap();
                let mut reply = Vec::new();
                a.read_to_end(&mut reply).await.unwrap();
                reply
            };
            let reader = async move {
                let mut got = Vec::new();
                b.read_to_end(&mut got).await.unwrap();
                b.write_all(b"thanks").await.unwrap();
                got
            };
            let (reply, got) = tokio::join!(writer, reader);
            assert_eq!(reply, b"thanks");
            assert_eq!(got.len(), expect.len() + 3);
            assert_eq!(got[..expect.len()], expect);
        })
        .unwrap();
    }

    #[test]
    fn the_end_is_seen_behind_the_last_bytes() {
        crate::run(async {
            let (mut a, mut b) = pair();
            a.write_all(b"x").await.unwrap();
            drop(a);
            let mut buffer = [0; 10];
            assert_eq!(b.read(&mut buffer).await.unwrap(), 1);
            assert_eq!(b.read(&mut buffer).await.unwrap(), 0);
            assert_eq!(b.write(b"y").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        })
        .unwrap();
    }
}
