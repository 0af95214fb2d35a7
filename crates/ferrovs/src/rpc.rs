//! One question to a database server.

use io::program::strerror;
use io::{Remote, Stream};
use serde_json::Value;
use session::{Message, Splitter};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Calls a method over a new connection and waits for its answer.
pub async fn call(socket: &Path, method: &str, params: Value) -> Result<Value, String> {
    let fail = |e: std::io::Error| format!("{}: {}", socket.display(), strerror(&e));
    let mut stream = Stream::connect(&Remote::Unix(socket.to_path_buf())).await.map_err(fail)?;
    stream.write_all(&Message::request(0, method, params).to_bytes()).await.map_err(fail)?;
    let mut split = Splitter::default();
    let mut buf = vec![0; 65536];
    loop {
        match split.next_message()? {
            Some(Message::Reply { result, .. }) => return Ok(result),
            Some(Message::Error { error, .. }) => return Err(error.to_string()),
            Some(_) => {}
            None => {
                let n = stream.read(&mut buf).await.map_err(fail)?;
                if n == 0 {
                    return Err(format!("{}: connection closed", socket.display()));
                }
                split.push(&buf[..n]);
            }
        }
    }
}
