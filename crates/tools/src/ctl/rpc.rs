//! A blocking JSON-RPC connection to a database server, as a command that runs and ends needs it.

use idl::Replica;
use io::Remote;
use io::program::strerror;
use serde_json::{Value, json};
use session::{Message, Splitter};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

trait Transport: Read + Write {}
impl<T: Read + Write> Transport for T {}

/// A connection.
pub struct Rpc {
    stream: Box<dyn Transport>,
    splitter: Splitter,
    next_id: u64,
    /// Notifications that came while a reply was awaited.
    pending: VecDeque<Message>,
}

impl Rpc {
    /// Connects to the first of several remotes (`unix:a,tcp:b`) that answers, or waits for a connection at a passive
    /// remote. The error is the reason only.
    pub fn connect(names: &str) -> Result<Rpc, String> {
        let mut last = Err("no remote is named".to_string());
        for name in remotes(names) {
            last = Rpc::connect_one(&name);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    fn connect_one(name: &str) -> Result<Rpc, String> {
        let remote = Remote::parse(name, io::stream::OVSDB_PORT)
            .map_err(|_| "Address family not supported by protocol".to_string())?;
        let stream = open(&remote).map_err(|error| strerror(&error))?;
        Ok(Rpc { stream, splitter: Splitter::default(), next_id: 0, pending: VecDeque::new() })
    }

    /// Sends a request and waits for its reply; the inner result is the server's.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Result<Value, Value>, String> {
        let id = self.send(method, params)?;
        loop {
            match self.receive()? {
                Message::Reply { id: got, result } if got == id => return Ok(Ok(result)),
                Message::Error { id: got, error } if got == id => return Ok(Err(error)),
                other => self.pending.push_back(other),
            }
        }
    }

    /// Sends what a replica has to say, and gives it the next message.
    pub fn feed(&mut self, replica: &mut Replica) -> Result<(), String> {
        while let Some(message) = replica.poll_output() {
            self.write(&message.to_bytes())?;
        }
        let message = self.next_message()?;
        replica.input(message)
    }

    /// Sends a request without waiting; returns its id.
    pub fn send(&mut self, method: &str, params: Value) -> Result<u64, String> {
        let id = self.next_id;
        self.next_id += 1;
        self.write(&Message::request(id, method, params).to_bytes())?;
        Ok(id)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).map_err(|error| strerror(&error))
    }

    /// The next message that is not an echo, from those kept or from the server.
    pub fn next_message(&mut self) -> Result<Message, String> {
        match self.pending.pop_front() {
            Some(message) => Ok(message),
            None => self.receive(),
        }
    }

    fn receive(&mut self) -> Result<Message, String> {
        let mut buffer = [0; 1 << 16];
        loop {
            match self.splitter.next_message()? {
                Some(Message::Request { id, method, params }) if method == "echo" => {
                    self.write(&Message::Reply { id, result: params }.to_bytes())?;
                }
                Some(message) => return Ok(message),
                None => match self.stream.read(&mut buffer) {
                    Ok(0) => return Err("End of file".into()),
                    Ok(n) => self.splitter.push(&buffer[..n]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(strerror(&error)),
                },
            }
        }
    }
}

/// Takes a list of remotes apart: a comma separates where a method follows it.
fn remotes(names: &str) -> Vec<String> {
    const METHODS: [&str; 6] = ["unix:", "tcp:", "ssl:", "punix:", "ptcp:", "pssl:"];
    let mut all: Vec<String> = Vec::new();
    for word in names.split(',') {
        match all.last_mut() {
            Some(last) if !METHODS.iter().any(|method| word.trim_start().starts_with(method)) => {
                last.push(',');
                last.push_str(word);
            }
            _ => all.push(word.trim().to_string()),
        }
    }
    all
}

fn open(remote: &Remote) -> std::io::Result<Box<dyn Transport>> {
    Ok(match remote {
        Remote::Unix(path) => Box::new(UnixStream::connect(path)?),
        Remote::Tcp { host, port } => {
            let mut last = std::io::Error::from(ErrorKind::NotFound);
            for address in (host.as_str(), *port).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, Duration::from_secs(30)) {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        io::stream::mark(&stream, io::stream::DEFAULT_DSCP);
                        return Ok(Box::new(stream));
                    }
                    Err(error) => last = error,
                }
            }
            return Err(last);
        }
        Remote::PassiveUnix(path) => {
            let _ = std::fs::remove_file(path);
            Box::new(UnixListener::bind(path)?.accept()?.0)
        }
        Remote::PassiveTcp(address) => Box::new(TcpListener::bind(address)?.accept()?.0),
        Remote::Ssl { host, port } => Box::new(io::tls::connect_blocking(host, *port)?),
        Remote::PassiveSsl(_) => {
            return Err(std::io::Error::new(ErrorKind::Unsupported, "tools do not listen for TLS connections"));
        }
    })
}

/// `transact`: the results, one for each operation.
pub fn transact(rpc: &mut Rpc, database: &str, operations: Vec<Value>) -> Result<Result<Vec<Value>, Value>, String> {
    let mut params = vec![json!(database)];
    params.extend(operations);
    Ok(rpc.call("transact", Value::Array(params))?.map(|results| match results {
        Value::Array(results) => results,
        other => vec![other],
    }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_of_remotes() {
        let check = |names: &str, expect: &[&str]| assert_eq!(super::remotes(names), expect);
        check("unix:/a,b", &["unix:/a,b"]);
        check("unix:/a,tcp:[::1]:6640, ssl:h:1", &["unix:/a", "tcp:[::1]:6640", "ssl:h:1"]);
        check("nonsense", &["nonsense"]);
    }
}
