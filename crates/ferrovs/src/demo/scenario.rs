//! What happens in the demonstration, and what must come of it.

use crate::demo::hosts::{Host, PLANS, TRUNK_HOST, TRUNK_LEG};
use crate::demo::leg::Leg;
use crate::demo::report::{self, Cell};
use crate::rpc;
use flow::{Field, Match, MiniMatch};
use io::unixctl::Client;
use io::{Remote, Stream, dirs};
use openflow::message::{FlowMod, FlowStatsRequest, Hello};
use openflow::{Message, Version};
use serde_json::{Value, json};
use session::Framer;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long an answer may take where one is expected.
const PATIENT: Duration = Duration::from_secs(3);
/// How long to listen where none is expected; several requests go out meanwhile.
const IMPATIENT: Duration = Duration::from_millis(600);

/// What came of it.
pub struct Played {
    /// Whether every cell of every matrix was as expected.
    pub as_expected: bool,
    /// The hosts, alive.
    pub hosts: Vec<Arc<Host>>,
    /// The trunk host's second leg, alive.
    _leg: Arc<Leg>,
}

/// Sets everything up, sends the packets, prints what came of it.
pub async fn play(hosts: Vec<Host>) -> Result<Played, String> {
    let hosts: Vec<Arc<Host>> = hosts.into_iter().map(Arc::new).collect();
    add_bridge().await?;
    report::heading("One bridge, four hosts: h1 and h2 in VLAN 10, h3 and h4 in VLAN 20");
    let ends: Vec<End> = hosts.iter().cloned().map(End::Host).collect();
    let same_vlan = |a: usize, b: usize| PLANS[a].vlan == PLANS[b].vlan;
    let mut good = matrix(&ends, same_vlan).await?;

    report::heading(
        "h2's port becomes a trunk (VLAN 10 untagged, VLAN 20 tagged), and a flow drops what h3 sends to h4",
    );
    let h2 = &hosts[TRUNK_HOST];
    update_port(h2.plan.port, json!({"vlan_mode": "native-untagged", "tag": 10, "trunks": ["set", [10, 20]]})).await?;
    let leg = h2.add_vlan_leg(20).map_err(|e| format!("second leg of h2: {}", io::program::strerror(&e)))?;
    let leg = Arc::new(leg);
    add_drop_flow(PLANS[2].address, PLANS[3].address).await?;
    // What the datapath remembers of the first round is checked against the new tables within moments; the demonstration
    // does not want to win that race.
    appctl("revalidator/wait", &[]).await?;
    let mut ends = ends;
    ends.push(End::Leg(leg.clone()));
    let dropped = |a: usize, b: usize| (a, b) == (2, 3) || (a, b) == (3, 2);
    let vlan = |i: usize| PLANS.get(i).map_or(20, |p| p.vlan);
    good &= matrix(&ends, |a, b| vlan(a) == vlan(b) && !dropped(a, b)).await?;

    report::heading("What the switch has learned (ovs-appctl fdb/show br0)");
    print!("{}", appctl("fdb/show", &["br0"]).await?);
    report::heading("The flows and their counters (ovs-ofctl dump-flows br0)");
    print!("{}", dump_flows().await?);
    println!();
    println!(
        "{}",
        if good { "Every cell is as expected." } else { "NOT every cell is as expected: see the marks above." }
    );
    Ok(Played { as_expected: good, hosts, _leg: leg })
}

/// Something that can ping.
#[derive(Clone)]
enum End {
    Host(Arc<Host>),
    Leg(Arc<Leg>),
}

impl End {
    fn name(&self) -> &str {
        match self {
            End::Host(h) => h.plan.name,
            End::Leg(_) => TRUNK_LEG,
        }
    }

    fn address(&self) -> Ipv4Addr {
        match self {
            End::Host(h) => h.plan.address,
            End::Leg(l) => l.address,
        }
    }

    fn ping(&self, to: Ipv4Addr, id: u16, patience: Duration) -> Result<Option<Duration>, String> {
        match self {
            End::Host(h) => {
                h.ping(to, id, patience).map_err(|e| format!("{}: {}", self.name(), io::program::strerror(&e)))
            }
            End::Leg(l) => Ok(l.ping(to, id, patience)),
        }
    }
}

/// Pings from everybody to everybody, all at once; prints the matrix.
async fn matrix(ends: &[End], expected: impl Fn(usize, usize) -> bool) -> Result<bool, String> {
    let mut pings = vec![];
    for (a, from) in ends.iter().enumerate() {
        for (b, to) in ends.iter().enumerate().filter(|(b, _)| *b != a) {
            let reachable = expected(a, b);
            let (from, to) = (from.clone(), to.address());
            let id = (a * ends.len() + b + 1) as u16;
            let patience = if reachable { PATIENT } else { IMPATIENT };
            let task = tokio::task::spawn_blocking(move || from.ping(to, id, patience));
            pings.push((a, b, reachable, task));
        }
    }
    let mut cells = vec![vec![None; ends.len()]; ends.len()];
    for (a, b, reachable, task) in pings {
        let rtt = task.await.map_err(|e| e.to_string())??;
        cells[a][b] = Some(Cell { rtt, expected: reachable });
    }
    let names: Vec<&str> = ends.iter().map(End::name).collect();
    Ok(report::matrix(&names, &cells))
}

async fn transact(operations: Vec<Value>) -> Result<(), String> {
    let mut params = vec![json!("Open_vSwitch")];
    params.extend(operations);
    let results = rpc::call(&dirs::rundir().join("db.sock"), "transact", Value::Array(params)).await?;
    match results.as_array().into_iter().flatten().find(|r| r.get("error").is_some()) {
        Some(e) => Err(format!("the database refused: {e}")),
        None => Ok(()),
    }
}

/// The bridge with its ports, in one transaction, and waits until the switch has it.
async fn add_bridge() -> Result<(), String> {
    let mut ops = vec![];
    let mut ports = vec![];
    let mut port = |name: &str, row: Value, interface: Value| {
        let (p, i) = (format!("port_{name}"), format!("iface_{name}"));
        ops.push(json!({"op": "insert", "table": "Interface", "uuid-name": i, "row": interface}));
        let mut row = row;
        row["interfaces"] = json!(["named-uuid", i]);
        ops.push(json!({"op": "insert", "table": "Port", "uuid-name": p, "row": row}));
        ports.push(json!(["named-uuid", p]));
    };
    port("br0", json!({"name": "br0"}), json!({"name": "br0", "type": "internal"}));
    for p in PLANS {
        port(p.port, json!({"name": p.port, "tag": p.vlan}), json!({"name": p.port}));
    }
    ops.push(json!({"op": "insert", "table": "Bridge", "uuid-name": "br0",
        "row": {"name": "br0", "datapath_type": "netdev", "ports": ["set", ports]}}));
    ops.push(json!({"op": "mutate", "table": "Open_vSwitch", "where": [],
        "mutations": [["bridges", "insert", ["named-uuid", "br0"]], ["next_cfg", "+=", 1]]}));
    transact(ops).await?;
    settled().await
}

async fn update_port(port: &str, row: Value) -> Result<(), String> {
    transact(vec![
        json!({"op": "update", "table": "Port", "where": [["name", "==", port]], "row": row}),
        json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}),
    ])
    .await?;
    settled().await
}

/// Waits until the switch has applied what the database wants.
async fn settled() -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let select = json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["cur_cfg", "next_cfg"]});
    let applied = async {
        loop {
            let params = json!(["Open_vSwitch", select]);
            let result = rpc::call(&dirs::rundir().join("db.sock"), "transact", params).await?;
            let row = &result[0]["rows"][0];
            if row["cur_cfg"] == row["next_cfg"] {
                return Ok::<(), String>(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, applied).await {
        Ok(r) => r,
        Err(_) => Err(format!("the switch did not apply the configuration within {} s", PATIENCE.as_secs())),
    }
}

/// A connection to the bridge's management socket.
struct Management {
    stream: Stream,
    framer: Framer,
}

impl Management {
    async fn open() -> Result<Management, String> {
        let remote = Remote::Unix(dirs::rundir().join("br0.mgmt"));
        let stream = Stream::connect(&remote).await.map_err(|e| format!("{remote}: {}", io::program::strerror(&e)))?;
        let mut m = Management { stream, framer: Framer::new() };
        m.send(Message::Hello(Hello::new(&[Version::V13]))).await?;
        Ok(m)
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        let bytes = message.encode(Version::V13, 1);
        self.stream.write_all(&bytes).await.map_err(|e| io::program::strerror(&e))
    }

    /// The next message that is not a hello.
    async fn receive(&mut self) -> Result<Message, String> {
        let mut buf = vec![0; 65536];
        loop {
            while let Some(raw) = self.framer.next_message().map_err(|e| e.to_string())? {
                match openflow::decode(raw) {
                    Ok((_, _, Message::Hello(_))) => {}
                    Ok((_, _, m)) => return Ok(m),
                    Err(e) => return Err(format!("unreadable OpenFlow message: {e}")),
                }
            }
            let n = self.stream.read(&mut buf).await.map_err(|e| io::program::strerror(&e))?;
            if n == 0 {
                return Err("the switch closed the OpenFlow connection".into());
            }
            self.framer.push(&buf[..n]);
        }
    }
}

async fn add_drop_flow(from: Ipv4Addr, to: Ipv4Addr) -> Result<(), String> {
    const IPV4: u128 = 0x0800;
    let mut m = Match::any();
    m.set(Field::ETH_TYPE, IPV4);
    m.set(Field::IP_SRC, u32::from(from).into());
    m.set(Field::IP_DST, u32::from(to).into());
    let mut management = Management::open().await?;
    let fm = FlowMod { matching: MiniMatch::new(&m), priority: 100, table: openflow::TableId(0), ..FlowMod::default() };
    management.send(Message::FlowMod(fm)).await?;
    management.send(Message::BarrierRequest).await?;
    match management.receive().await? {
        Message::BarrierReply => Ok(()),
        other => Err(format!("the switch refused the flow: {other:?}")),
    }
}

async fn dump_flows() -> Result<String, String> {
    let mut management = Management::open().await?;
    management.send(Message::FlowStatsRequest(FlowStatsRequest::default())).await?;
    let Message::FlowStatsReply(reply) = management.receive().await? else {
        return Err("the switch did not describe its flows".into());
    };
    let line = |f: &openflow::message::FlowStats| {
        let text = openflow::text::match_and_actions(&f.matching, f.priority, &f.actions);
        format!(" n_packets={}, n_bytes={}, {text}\n", f.packets, f.bytes)
    };
    Ok(reply.entries.iter().map(line).collect())
}

/// Runs a control command of the switch.
async fn appctl(command: &'static str, args: &[&str]) -> Result<String, String> {
    let path = io::unixctl::default_path("ovs-vswitchd");
    let args: Vec<String> = args.iter().map(|a| a.to_string()).collect();
    let call = tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(&path, Some(Duration::from_secs(5)))?;
        client.call(command, &args)
    });
    match call.await.map_err(|e| e.to_string())? {
        Ok(Ok(Value::String(s))) => Ok(s),
        Ok(Ok(other)) => Ok(other.to_string()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(e) => Err(io::program::strerror(&e)),
    }
}
