//! The server in this process, with clients on its socket.

use crate::{Config, Server};
use ovsdb::log_file::LogFile;
use serde_json::{Value, json};
use session::{Message, Splitter};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;

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

fn replica(socket: &std::path::Path, options: idl::Options) -> idl::Client {
    let remote = io::Remote::parse(&format!("unix:{}", socket.display()), 0).unwrap();
    idl::Client::new(remote, idl::Replica::new("D", options), clock::Clock::real())
}

async fn until(client: &mut idl::Client, done: impl Fn(&idl::Replica) -> bool) {
    while !done(&client.replica) {
        client.run().await;
    }
}

fn numbers(replica: &idl::Replica) -> Vec<i64> {
    let mut all: Vec<i64> = replica.rows("T").filter_map(|row| row.int("n")).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_replica_comes_back_and_is_told_what_it_missed() {
    check("resync", 3, async |socket| {
        let mut writer = Client::connect(&socket).await;
        writer.call("transact", json!(["D", insert(1), insert(2)])).await;
        let options = idl::Options { track: idl::Track::Everything, ..idl::Options::default() };
        let mut client = replica(&socket, options);
        until(&mut client, |replica| numbers(replica) == [1, 2]).await;
        assert_eq!(client.replica.take_changes().len(), 2);
        // The connection goes, not the server: what happens meanwhile is in its history.
        let replica = std::mem::replace(&mut client.replica, idl::Replica::new("D", idl::Options::default()));
        drop(client);
        writer.call("transact", json!(["D", insert(3)])).await;
        let remote = io::Remote::parse(&format!("unix:{}", socket.display()), 0).unwrap();
        let mut client = idl::Client::new(remote, replica, clock::Clock::real());
        client.replica.disconnected();
        until(&mut client, |replica| replica.is_live()).await;
        assert_eq!(numbers(&client.replica), [1, 2, 3]);
        let changes = client.replica.take_changes();
        assert_eq!((changes.len(), changes[0].change), (1, idl::Change::Inserted));
    });
}

#[test]
fn a_replica_holds_the_rows_of_its_condition() {
    check("condition", 3, async |socket| {
        let mut writer = Client::connect(&socket).await;
        writer.call("transact", json!(["D", insert(1), insert(2), insert(3)])).await;
        let over = |n: i64| idl::Condition::no_row().or("n", idl::Compare::Greater, &n.into());
        let mut options = idl::Options::default();
        options.conditions.insert("T".into(), over(2));
        let mut client = replica(&socket, options);
        until(&mut client, |replica| replica.has_conditions()).await;
        assert_eq!(numbers(&client.replica), [3]);
        client.replica.set_condition("T", over(1));
        until(&mut client, |replica| replica.has_conditions()).await;
        assert_eq!(numbers(&client.replica), [2, 3]);
        client.replica.set_condition("T", idl::Condition::no_row());
        until(&mut client, |replica| replica.has_conditions() && numbers(replica).is_empty()).await;
    });
}

#[test]
fn increments_of_two_writers_all_count() {
    check("retry", 1, async |socket| {
        Client::connect(&socket).await.call("transact", json!(["D", insert(0)])).await;
        let increment = |replica: &idl::Replica| {
            let mut txn = idl::Txn::new();
            let row = replica.only_row("T").unwrap();
            txn.verify_row(row, &["n"]);
            txn.set("T", row.uuid(), "n", &(row.int("n").unwrap() + 1).into());
            txn
        };
        let many = async |mut client: idl::Client| {
            for _ in 0..20 {
                assert!(matches!(client.commit(increment).await, idl::Outcome::Committed(_)));
            }
        };
        let (a, b) = (replica(&socket, idl::Options::default()), replica(&socket, idl::Options::default()));
        tokio::join!(many(a), many(b));
        let mut client = replica(&socket, idl::Options::default());
        until(&mut client, |replica| replica.is_live()).await;
        assert_eq!(numbers(&client.replica), [40]);
    });
}

/// Passes bytes on until `cut`, again and again; keeps what came back.
async fn proxy(at: PathBuf, to: PathBuf, cut: Rc<Notify>, replies: Rc<RefCell<Vec<u8>>>) {
    let listener = tokio::net::UnixListener::bind(at).unwrap();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = UnixStream::connect(&to).await.unwrap();
        let (mut ask, mut answer) = ([0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                () = cut.notified() => break,
                n = near.read(&mut ask) => match n.unwrap() {
                    0 => break,
                    n => far.write_all(&ask[..n]).await.unwrap(),
                },
                n = far.read(&mut answer) => match n.unwrap() {
                    0 => break,
                    n => {
                        replies.borrow_mut().extend_from_slice(&answer[..n]);
                        near.write_all(&answer[..n]).await.unwrap();
                    }
                },
            }
        }
    }
}

#[test]
fn a_relay_comes_back_and_asks_for_what_it_missed() {
    check("relay", 3, async |socket| {
        let (between, at) = (socket.with_file_name("between"), socket.with_file_name("relay"));
        let (cut, replies) = (Rc::new(Notify::new()), Rc::default());
        let proxy = tokio::task::spawn_local(proxy(between.clone(), socket.clone(), cut.clone(), Rc::clone(&replies)));
        let config = Config {
            databases: vec![format!("relay:D:unix:{}", between.display())],
            remotes: vec![format!("punix:{}", at.display())],
            ..Config::default()
        };
        let relay = Server::start("ovsdb-server", &config).await.unwrap();
        let exit = relay.exit();
        let relay = tokio::task::spawn_local(async move { relay.run().await });

        let mut writer = Client::connect(&socket).await;
        let zero = "00000000-0000-0000-0000-000000000000";
        let since = |id: &str| json!(["D", id, {"T": [{"columns": ["n"]}]}, id]);
        writer.call("transact", json!(["D", insert(1)])).await;
        let first = writer.call("monitor_cond_since", since(zero)).await[1].as_str().unwrap().to_string();
        writer.call("monitor_cancel", json!([zero])).await;

        // The relay's client hears of rows under the source's names for the transactions.
        let mut watcher = Client::connect(&at).await;
        let mut known = watcher.call("monitor_cond_since", since(zero)).await[1].as_str().unwrap().to_string();
        while known != first {
            let Message::Notification { method, params } = watcher.next().await else { panic!() };
            assert_eq!(method, "update3");
            known = params[1].as_str().unwrap().to_string();
        }
        cut.notify_one();
        writer.call("transact", json!(["D", insert(2)])).await;
        writer.call("transact", json!(["D", insert(3)])).await;
        let last = writer.call("monitor_cond_since", since(zero)).await[1].as_str().unwrap().to_string();
        while known != last {
            let Message::Notification { params, .. } = watcher.next().await else { panic!() };
            known = params[1].as_str().unwrap().to_string();
        }
        // It knows the source's transactions that it saw, and asked for the others only.
        let mut other = Client::connect(&at).await;
        let missed = other.call("monitor_cond_since", since(&first)).await;
        assert_eq!(missed[0], true);
        assert_eq!(missed[2]["T"].as_object().unwrap().len(), 2);
        let replies = String::from_utf8(replies.borrow().clone()).unwrap();
        assert!(replies.contains(&format!("[true,\"{last}\"")), "{replies}");
        exit.notify_one();
        relay.await.unwrap();
        proxy.abort();
    });
}
