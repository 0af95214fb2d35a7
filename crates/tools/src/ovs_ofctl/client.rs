//! A connection to a switch: greeting, requests and replies, the choice of a flow format.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use flow::OfPort;
use flow::text::Names;
use io::program::strerror;
use io::{Remote, Stream, dirs};
use openflow::codec::Options;
use openflow::codec::types;
use openflow::message::{Hello, Multipart, PortDesc};
use openflow::{Error, Message, Protocols, Version};
use session::Framer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Settings;

/// A result whose error is the line to print after the program's name.
pub type Result<T> = std::result::Result<T, String>;

/// The next transaction id of this process.
pub fn next_xid() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A connection.
pub struct Vconn {
    stream: Stream,
    framer: Framer,
    /// What it is called in messages.
    pub name: String,
    /// Version that was negotiated.
    pub version: Version,
    /// Flow format in use.
    pub protocol: Protocols,
}

/// Which socket of a bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Socket {
    /// `BRIDGE.mgmt`.
    Management,
    /// `BRIDGE.snoop`.
    Snoop,
}

/// The remote that a name stands for: `tcp:…`, a file, a bridge.
fn remote_of(name: &str, socket: Socket) -> Result<Remote> {
    let suffix = if socket == Socket::Snoop { "snoop" } else { "mgmt" };
    if name.contains(':') {
        let cannot = |why: &str| format!("connecting to {name} ({why})");
        return match name.split_once(':').map_or("", |x| x.0) {
            "unix" if name.len() == 5 => Err(cannot("Connection refused")),
            "unix" | "tcp" | "ssl" => Remote::parse(name, io::stream::OPENFLOW_PORT)
                .map_err(|_| cannot("Address family not supported by protocol")),
            _ => Err(cannot("Address family not supported by protocol")),
        };
    }
    let bare = name.rsplit_once('@').map_or(name, |x| x.1);
    let bridge = dirs::rundir().join(format!("{bare}.{suffix}"));
    let is_socket = |p: &Path| {
        use std::os::unix::fs::FileTypeExt;
        std::fs::metadata(p).is_ok_and(|m| m.file_type().is_socket())
    };
    if is_socket(&bridge) {
        return Ok(Remote::Unix(bridge));
    }
    let file = Path::new(name);
    if is_socket(file) {
        return Ok(Remote::Unix(file.to_path_buf()));
    }
    if name.is_empty() || file.exists() {
        return Err(format!("{name}: failed to open socket (Connection refused)"));
    }
    Err(format!("{name} is not a bridge or a socket"))
}

impl Vconn {
    /// Connects and negotiates a version among those allowed.
    pub async fn open(settings: &Settings, name: &str, socket: Socket) -> Result<Vconn> {
        Vconn::open_with(settings, name, socket, settings.versions).await
    }

    /// Like [`Vconn::open`], with these versions: bit N for version byte N.
    pub async fn open_with(_settings: &Settings, name: &str, socket: Socket, versions: u32) -> Result<Vconn> {
        let remote = remote_of(name, socket)?;
        let shown = remote.to_string();
        let stream = Stream::connect(&remote).await.map_err(|e| format!("connecting to {shown} ({})", strerror(&e)))?;
        let mut v =
            Vconn { stream, framer: Framer::new(), name: shown, version: Version::V10, protocol: Protocols::OF10 };
        v.greet(versions).await.map_err(|()| format!("{name}: failed to connect to socket (Broken pipe)"))?;
        Ok(v)
    }

    async fn greet(&mut self, versions: u32) -> std::result::Result<(), ()> {
        let newest = Version::ALL.into_iter().rev().find(|v| versions >> v.to_wire() & 1 != 0).unwrap_or(Version::V10);
        let oldest_only = versions == 1 << Version::V10.to_wire();
        let hello = Hello { versions, bitmap: !oldest_only && !is_prefix(versions) };
        self.send_bytes(&Message::Hello(hello).encode(newest, next_xid())).await.map_err(drop)?;
        let data = self.receive().await.map_err(drop)?;
        match Message::decode(&data) {
            Ok((_, _, Message::Hello(peer))) => {
                let common = versions & peer.versions;
                let Some(v) = Version::ALL.into_iter().rev().find(|v| common >> v.to_wire() & 1 != 0) else {
                    let data = openflow::ErrorMsg {
                        error: Some(Error::HelloFailedIncompatible),
                        raw: (0, 0, 0),
                        data: format!(
                            "We support {}, you support {}, no common versions.",
                            version_words(versions),
                            version_words(peer.versions)
                        )
                        .into_bytes(),
                    };
                    let _ = self.send_bytes(&Message::Error(data).encode(newest, 0)).await;
                    io::vlog::log(
                        module("vconn"),
                        io::vlog::Level::Warn,
                        format_args!(
                            "{}: version negotiation failed (we support {}, peer supports {})",
                            self.name,
                            version_words(versions),
                            version_words(peer.versions)
                        ),
                    );
                    return Err(());
                };
                self.version = v;
                self.protocol = Protocols::of_version(v).first();
                Ok(())
            }
            _ => Err(()),
        }
    }

    /// Sends bytes.
    pub async fn send_bytes(&mut self, data: &[u8]) -> Result<()> {
        let sent = self.stream.write_all(data).await;
        sent.map_err(|e| format!("failed to send packet to switch: {}", strerror(&e)))
    }

    /// What reading and writing flow_mod messages has to know.
    pub fn options(&self) -> Options {
        let table_id = self.protocol == Protocols::OF10_TID || self.protocol == Protocols::NXM_TID;
        Options { table_id, debug_actions: false }
    }

    /// The bytes of a message with a transaction id of its own.
    pub fn encode(&self, m: &Message) -> (u32, Vec<u8>) {
        let xid = next_xid();
        (xid, m.encode_with(self.version, xid, self.options()))
    }

    /// Sends a message; returns its transaction id.
    pub async fn send(&mut self, m: &Message) -> Result<u32> {
        let (xid, data) = self.encode(m);
        self.send_bytes(&data).await?;
        Ok(xid)
    }

    /// The next message.
    pub async fn receive(&mut self) -> Result<Vec<u8>> {
        match self.receive_or_end().await? {
            Some(m) => Ok(m),
            None => Err("OpenFlow packet receive failed (End of file)".to_string()),
        }
    }

    /// The next message; `None` at the end of the connection.
    pub async fn receive_or_end(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            match self.framer.next_message() {
                Ok(Some(m)) => return Ok(Some(m.to_vec())),
                Ok(None) => {}
                Err(e) => return Err(format!("OpenFlow packet receive failed ({e})")),
            }
            let mut buf = [0u8; 65536];
            let n = self
                .stream
                .read(&mut buf)
                .await
                .map_err(|e| format!("OpenFlow packet receive failed ({})", strerror(&e)))?;
            if n == 0 {
                return Ok(None);
            }
            self.framer.push(&buf[..n]);
        }
    }

    /// Sends a request and waits for the reply with its transaction id. Echo requests on the way are answered.
    pub async fn transact(&mut self, m: &Message) -> Result<Vec<u8>> {
        let xid = self.send(m).await?;
        self.reply_to(xid).await
    }

    /// The next message with this transaction id.
    pub async fn reply_to(&mut self, xid: u32) -> Result<Vec<u8>> {
        loop {
            let data = self.receive().await?;
            if xid_of(&data) == xid {
                return Ok(data);
            }
            self.answer_echo(&data).await?;
        }
    }

    /// Answers an echo request; leaves anything else alone.
    pub async fn answer_echo(&mut self, data: &[u8]) -> Result<()> {
        if data.get(1) == Some(&2) {
            let mut reply = data.to_vec();
            reply[1] = 3;
            self.send_bytes(&reply).await?;
        }
        Ok(())
    }

    /// Sends messages that have no reply, then a barrier. The first error reply, if there is one.
    pub async fn transact_noreply(&mut self, messages: &[Message]) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let mut xids = Vec::with_capacity(messages.len());
        for m in messages {
            let (xid, mut data) = self.encode(m);
            xids.push(xid);
            bytes.append(&mut data);
        }
        let first = xids.first().copied().unwrap_or(0);
        let last = xids.last().copied().unwrap_or(0);
        self.exchange(&bytes, |xid| xid >= first && xid <= last).await
    }

    /// Writes `bytes` and a barrier, reading meanwhile. The first error about one of the messages.
    async fn exchange(&mut self, bytes: &[u8], mine: impl Fn(u32) -> bool) -> Result<Option<Vec<u8>>> {
        let barrier = next_xid();
        let mut all = bytes.to_vec();
        all.append(&mut Message::BarrierRequest.encode(self.version, barrier));
        let mut written = 0;
        let mut error = None;
        loop {
            while let Some(m) = self.framer.next_message().map_err(|e| e.to_string())? {
                let (xid, ty) = (xid_of(m), m.get(1).copied());
                if ty == Some(1) && mine(xid) && error.is_none() {
                    error = Some(m.to_vec());
                }
                if xid == barrier {
                    return Ok(error);
                }
            }
            let mut buf = [0u8; 16384];
            let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
            let n = if written < all.len() {
                tokio::select! {
                    r = reader.read(&mut buf) => r.map(Some),
                    w = writer.write(&all[written..]) => w.map(|n| { written += n; None }),
                }
            } else {
                reader.read(&mut buf).await.map(Some)
            };
            match n {
                Ok(None) => {}
                Ok(Some(0)) => return Err(format!("talking to {} (End of file)", self.name)),
                Ok(Some(n)) => self.framer.push(&buf[..n]),
                Err(e) => return Err(format!("talking to {} ({})", self.name, strerror(&e))),
            }
        }
    }

    /// Fails in versions before `least`, which do not have what `command` asks for.
    pub fn needs(&self, least: Version, command: &str) -> Result<()> {
        if self.version >= least {
            return Ok(());
        }
        let n = least.index();
        Err(format!("{command} needs OpenFlow 1.{n} or later ('-O OpenFlow1{n}')"))
    }

    /// All parts of the reply to a request, or an error reply.
    pub async fn transact_parts(&mut self, m: &Message) -> Result<Vec<Vec<u8>>> {
        let xid = self.send(m).await?;
        let mut parts = Vec::new();
        loop {
            let data = self.reply_to(xid).await?;
            let more = types::identify(self.version, &data).is_ok_and(|id| id.reply && id.flags & 1 != 0);
            parts.push(data);
            if !more {
                return Ok(parts);
            }
        }
    }

    /// The ports of the switch.
    pub async fn ports(&mut self) -> Result<Vec<PortDesc>> {
        if self.version < Version::V13 {
            let data = self.transact(&Message::FeaturesRequest).await?;
            return match Message::decode(&data) {
                Ok((_, _, Message::FeaturesReply(f))) => Ok(f.ports),
                _ => Ok(Vec::new()),
            };
        }
        let mut out = Vec::new();
        for data in self.transact_parts(&Message::PortDescRequest(OfPort::ANY)).await? {
            if let Ok((_, _, Message::PortDescReply(Multipart { entries, .. }))) = Message::decode(&data) {
                out.extend(entries);
            }
        }
        Ok(out)
    }

    /// Names of the switch's tables that have one.
    async fn table_names(&mut self) -> Result<Vec<(u8, String)>> {
        let request = if self.version < Version::V13 {
            Message::TableStatsRequest
        } else {
            Message::TableFeaturesRequest(Multipart::default())
        };
        let mut out = Vec::new();
        for data in self.transact_parts(&request).await? {
            match Message::decode(&data) {
                Ok((_, _, Message::TableStatsReply(x))) => {
                    out.extend(x.entries.into_iter().filter_map(|s| s.features.map(|f| (s.table.0, f.name))));
                }
                Ok((_, _, Message::TableFeaturesReply(x))) => {
                    out.extend(x.entries.into_iter().map(|t| (t.table.0, t.name)));
                }
                _ => {}
            }
        }
        out.retain(|(n, name)| !name.is_empty() && *name != format!("table{n}"));
        Ok(out)
    }

    /// Switches to a flow format if the connection does not use it; false if the switch does not have it.
    pub async fn try_set_protocol(&mut self, want: Protocols) -> Result<bool> {
        if want == self.protocol {
            return Ok(true);
        }
        if self.version != Version::V10 || want.version() != Version::V10 {
            return Ok(false);
        }
        if want.is_nxm() != self.protocol.is_nxm() {
            let m = Message::SetFlowFormat(if want.is_nxm() { 2 } else { 0 });
            if self.transact_noreply(std::slice::from_ref(&m)).await?.is_some() {
                return Ok(false);
            }
            let tid = self.options().table_id;
            self.protocol = if want.is_nxm() { Protocols::NXM } else { Protocols::OF10 }.with_table_id(tid);
        }
        let tid = want == Protocols::OF10_TID || want == Protocols::NXM_TID;
        if tid != self.options().table_id {
            if self.transact_noreply(&[Message::FlowModTableId(tid)]).await?.is_some() {
                return Ok(false);
            }
            self.protocol = self.protocol.with_table_id(tid);
        }
        Ok(self.protocol == want)
    }
}

/// Whether a set of versions is all versions up to the newest: then the header alone says it.
fn is_prefix(versions: u32) -> bool {
    let bits = versions >> 1;
    bits & (bits + 1) == 0
}

fn module(name: &str) -> io::vlog::Module {
    io::vlog::Module::parse(name).unwrap_or(io::vlog::Module::Ofctl)
}

/// `versions 0x01, 0x04`.
pub fn version_words(versions: u32) -> String {
    let list: Vec<String> = (0..32).filter(|n| versions >> n & 1 != 0).map(|n| format!("{n:#04x}")).collect();
    match list.len() {
        1 => format!("version {}", list[0]),
        _ => format!("versions {}", list.join(", ")),
    }
}

/// The transaction id of a message.
pub fn xid_of(data: &[u8]) -> u32 {
    data.get(4..8).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

/// Connects in a version that can carry flows in one of the formats `usable`, and chooses the format.
pub async fn open_for_flow_mod(settings: &Settings, name: &str, usable: Protocols) -> Result<Vconn> {
    let allowed = settings.protocols();
    let both = usable.and(allowed);
    if both.is_empty() {
        return Err(format!(
            "none of the usable flow formats ({usable}) is among the allowed flow formats ({allowed})"
        ));
    }
    let versions = both.iter().fold(0, |a, p| a | 1 << p.version().to_wire()) & settings.versions;
    let mut v = Vconn::open_with(settings, name, Socket::Management, versions).await?;
    if both.contains(v.protocol) {
        return Ok(v);
    }
    for p in both.iter() {
        if v.try_set_protocol(p).await? {
            return Ok(v);
        }
    }
    Err(format!("switch does not support any of the usable flow formats ({usable})"))
}

/// Names of ports and tables of a switch, by two connections of their own.
pub async fn fetch_names(settings: &Settings, name: &str) -> Result<Names> {
    let mut names = Names::default();
    let mut v = Vconn::open(settings, name, Socket::Management).await?;
    for p in v.ports().await? {
        names.add_port(p.port, &p.name);
    }
    drop(v);
    let mut v = Vconn::open(settings, name, Socket::Management).await?;
    for (n, table) in v.table_names().await? {
        names.add_table(n, &table);
    }
    Ok(names)
}
