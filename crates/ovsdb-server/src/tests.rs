//! The server in this process, with clients on its socket.

use crate::{Config, Server};
use ovsdb::log_file::LogFile;
use serde_json::{Value, json};
use session::{Message, Splitter};
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

struct Client {
    stream: UnixStream,
    splitter: Splitter,
}

impl Client {
    async fn connect(path: &PathBuf) -> Client {
        Client { stream: UnixStream::connect(path).await.unwrap(), splitter: Splitter::default() }
    }

    async fn send(&mut self, method: &str, params: Value) {
        self.stream.write_all(&Message::request(1, method, params).to_bytes()).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.splitter.next_message().unwrap() {
                return message;
            }
            let n = self.stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "closed");
            self.splitter.push(&buffer[..n]);
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(method, params).await;
        match self.next().await {
            Message::Reply { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }
}

/// Runs `test` against a server whose database has a table `T` with a column `n`; then starts it again and counts rows.
fn check(name: &str, rows_after: usize, test: impl AsyncFnOnce(PathBuf)) {
    let dir = std::env::temp_dir().join(format!("ferrovs-ovsdb-server-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (file, socket) = (dir.join("a.db"), dir.join("s"));
    let schema = json!({"name": "D", "version": "1.0.0", "tables": {"T": {"columns": {"n": {"type": "integer"}}}}});
    drop(LogFile::create(&file, schema.to_string().as_bytes()).unwrap());
    let config = Config {
        databases: vec![file.display().to_string()],
        remotes: vec![format!("punix:{}", socket.display())],
        ..Config::default()
    };
    io::run(async {
        let server = Server::start("ovsdb-server", &config).await.unwrap();
        let exit = server.exit();
        let client = tokio::task::spawn_local(async move { server.run().await });
        test(socket.clone()).await;
        exit.notify_one();
        client.await.unwrap();
        let again = Server::start("ovsdb-server", &config).await.unwrap();
        assert_eq!(again.shared.borrow().dbs["D"].db.n_rows(), rows_after);
    })
    .unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

fn insert(n: i64) -> Value {
    json!({"op": "insert", "table": "T", "row": {"n": n}})
}

#[test]
fn what_one_client_writes_another_sees() {
    check("monitor", 2, async |socket| {
        let (mut writer, mut watcher) = (Client::connect(&socket).await, Client::connect(&socket).await);
        watcher.call("monitor", json!(["D", "m", {"T": {"columns": ["n"]}}])).await;
        writer.call("transact", json!(["D", insert(1), {"op": "commit", "durable": true}])).await;
        writer.call("transact", json!(["D", insert(2)])).await;
        for n in [1, 2] {
            let Message::Notification { method, params } = watcher.next().await else { panic!() };
            assert_eq!(method, "update");
            let rows = params[1]["T"].as_object().unwrap();
            assert_eq!(rows.values().next().unwrap()["new"]["n"], n);
        }
    });
}

#[test]
fn a_wait_ends_when_another_client_makes_it_true() {
    check("wait", 1, async |socket| {
        let (mut waiter, mut writer) = (Client::connect(&socket).await, Client::connect(&socket).await);
        let wait =
            json!({"op": "wait", "table": "T", "where": [], "columns": ["n"], "until": "==", "rows": [{"n": 7}]});
        waiter.send("transact", json!(["D", wait])).await;
        writer.call("transact", json!(["D", insert(7)])).await;
        assert!(matches!(waiter.next().await, Message::Reply { result, .. } if result == json!([{}])));
    });
}

#[test]
fn garbage_ends_a_connection_and_not_the_server() {
    check("garbage", 0, async |socket| {
        for garbage in
            [&b"hello"[..], b"{\"id\":1}{]", b"[1,2]", b"{\"id\":1,\"method\":5,\"params\":[]}", b"{\"a\":\"\\u0000\"}"]
        {
            let mut stream = UnixStream::connect(&socket).await.unwrap();
            stream.write_all(garbage).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
        Client::connect(&socket).await.call("list_dbs", json!([])).await;
    });
}
