//! Watching a connection: monitor and snoop.

use std::cell::RefCell;
use std::rc::Rc;

use flow::text::{Names, ParseContext, parse_field, set_protocol_keyword, split_key_values};
use flow::{Field, Match, MiniMatch, OfPort};
use io::unixctl::Answer;
use openflow::message::*;
use openflow::protocol::Protocols;
use openflow::text::print::put_message;
use openflow::{GroupId, Message, TableId, Version};
use tokio::sync::oneshot;

use super::Settings;
use super::client::{Result, Socket, Vconn, open_for_flow_mod, xid_of};
use super::unixctl::Order;

/// Where messages go: standard error, or a file that `ofctl/set-output-file` names.
struct Output {
    file: Option<std::fs::File>,
    /// Where the packets of packet-ins go too (`--pcap`).
    capture: Option<std::fs::File>,
}

impl Output {
    /// Standard error, and the file of `--pcap`.
    fn open(s: &Settings) -> Result<Output> {
        use std::io::Write;
        let Some(path) = &s.pcap else { return Ok(Output { file: None, capture: None }) };
        let failed =
            |e: std::io::Error| format!("{path}: failed to open pcap file for writing ({})", io::program::strerror(&e));
        let mut capture = std::fs::File::create(path).map_err(failed)?;
        // Magic, version 2.4, zone, accuracy, longest packet, Ethernet.
        let mut header = Vec::new();
        for n in [0xa1b2_c3d4u32, 4 << 16 | 2, 0, 0, 1518, 1] {
            header.extend_from_slice(&n.to_ne_bytes());
        }
        if cfg!(target_endian = "big") {
            header[4..8].copy_from_slice(&[0, 2, 0, 4]);
        }
        capture.write_all(&header).map_err(failed)?;
        Ok(Output { file: None, capture: Some(capture) })
    }

    /// Records the packet of a packet-in.
    fn record(&mut self, data: &[u8]) {
        use std::io::Write;
        let Some(file) = &mut self.capture else { return };
        let Ok((_, _, Message::PacketIn(p))) = Message::decode(data) else { return };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut record = Vec::with_capacity(16 + p.packet.len());
        for n in [now.as_secs() as u32, now.subsec_micros(), p.packet.len() as u32, p.total_len] {
            record.extend_from_slice(&n.to_ne_bytes());
        }
        record.extend_from_slice(&p.packet);
        let _ = file.write_all(&record);
    }

    fn put(&mut self, text: &str) {
        use std::io::Write;
        let _ = match &mut self.file {
            Some(f) => f.write_all(text.as_bytes()),
            None => std::io::stderr().write_all(text.as_bytes()),
        };
    }
}

/// `snoop SWITCH`.
pub async fn snoop(s: &Settings, switch: &str) -> Result<u8> {
    // The switch sends what it says and hears in whatever version its controllers speak.
    let all = Version::ALL.iter().fold(0, |a, v| a | 1 << v.to_wire());
    let v = Vconn::open_with(s, switch, Socket::Snoop, all).await?;
    follow(Watched::new(s, switch, v)?).await
}

/// `monitor SWITCH [MISSLEN] [invalid_ttl] [resume] [watch:SPEC]`.
pub async fn monitor(s: &Settings, args: &[String]) -> Result<u8> {
    let switch = &args[0];
    let watches_flows = args[1..].iter().any(|a| a.starts_with("watch:"));
    let names = if watches_flows { s.names_to_accept(switch).await? } else { None };
    let mut usable = Protocols::ANY;
    let mut watches = Vec::new();
    let (mut miss_len, mut invalid_ttl, mut resume) = (None, false, false);
    for a in &args[1..] {
        if a.bytes().all(|b| b.is_ascii_digit()) && !a.is_empty() {
            let n: u32 = a.parse().map_err(|_| format!("{a}: bad miss_send_len"))?;
            miss_len = Some(n.min(65535) as u16);
        } else if a == "invalid_ttl" {
            const KNOWN: [&str; 3] = ["OpenFlow10", "OpenFlow11", "OpenFlow12"];
            if s.versions & 0b1110 == 0 {
                let list = KNOWN.join(", ");
                return Err(format!(
                    "invalid_ttl requires one of the OpenFlow versions {list} but none is enabled (use -O)"
                ));
            }
            invalid_ttl = true;
        } else if a == "resume" {
            resume = true;
        } else if let Some(spec) = a.strip_prefix("watch:") {
            let (q, u) = parse_watch(names.as_ref(), spec, watches.len() as u32)?;
            usable = usable.and(u);
            watches.push(q);
        } else {
            return Err(format!("{a}: unsupported \"monitor\" argument"));
        }
    }
    let mut v = if watches.is_empty() {
        Vconn::open(s, switch, Socket::Management).await?
    } else {
        open_for_flow_mod(s, switch, usable).await?
    };
    // Each is asked for by itself. What there is already is the answer, and goes where answers go.
    for watch in watches {
        let request = Message::FlowMonitorRequest(vec![watch]);
        let data = v.transact(&request).await?;
        let mut text = String::new();
        put_message(&mut text, &data, s.verbosity + 2, &s.style(names.as_ref().filter(|_| s.shows_names())));
        print!("{text}");
    }
    if resume {
        miss_len = miss_len.or(Some(u16::MAX));
    }
    if miss_len.is_some() || invalid_ttl {
        let data = v.transact(&Message::GetConfigRequest).await?;
        let mut c = match openflow::Message::decode_with(&data, v.options()) {
            Ok((_, _, Message::GetConfigReply(c))) => c,
            _ => return Err(format!("{switch}: bad reply to config request")),
        };
        if let Some(n) = miss_len {
            c.miss_send_len = n;
        }
        if invalid_ttl {
            c.flags |= 4;
        }
        v.transact_noreply(&[Message::SetConfig(c)]).await?;
    }
    choose_packet_in_format(s, &mut v).await?;
    follow(Watched { names, reply: true, resume, ..Watched::new(s, switch, v)? }).await
}

async fn choose_packet_in_format(s: &Settings, v: &mut Vconn) -> Result<()> {
    if let Some(format) = s.packet_in_format {
        if v.transact_noreply(&[Message::SetPacketInFormat(format)]).await?.is_some() {
            return Err(format!("failed to set packet in format to {format:?}"));
        }
        return Ok(());
    }
    // The form that says most; before OpenFlow 1.2 the one before it is still better than none.
    let forms: &[_] =
        if v.version < Version::V12 { &[PacketInFormat::Nxt2, PacketInFormat::Nxt] } else { &[PacketInFormat::Nxt2] };
    for form in forms {
        if v.transact_noreply(&[Message::SetPacketInFormat(*form)]).await?.is_none() {
            break;
        }
    }
    Ok(())
}

/// `!initial,table=5,tcp,…`.
fn parse_watch(names: Option<&Names>, spec: &str, id: u32) -> Result<(FlowMonitorRequest, Protocols)> {
    let mut cx = ParseContext::new(names);
    let mut usable = Protocols::ANY;
    let mut flags = FM_INITIAL | FM_ADD | FM_DELETE | FM_MODIFY | FM_ACTIONS;
    let mut own = true;
    let mut m = Match::any();
    let mut q = FlowMonitorRequest {
        id,
        command: 0,
        flags: 0,
        out_port: OfPort::ANY,
        out_group: GroupId::ANY,
        table: TableId::ALL,
        matching: MiniMatch::default(),
    };
    for (key, value) in split_key_values(spec) {
        match key {
            "!initial" => flags &= !FM_INITIAL,
            "!add" => flags &= !FM_ADD,
            "!delete" => flags &= !FM_DELETE,
            "!modify" => flags &= !FM_MODIFY,
            "!actions" => flags &= !FM_ACTIONS,
            "!own" => own = false,
            "table" => q.table = TableId(cx.table(value).ok_or_else(|| format!("unknown table \"{value}\""))?),
            "out_port" => {
                q.out_port = cx.port(value).ok_or_else(|| format!("{value} is not a valid OpenFlow port"))?;
            }
            "out_group" => {
                q.out_group = GroupId(value.parse().map_err(|_| format!("invalid numeric format {value}"))?);
                usable = usable.and(Protocols::OF13_UP);
            }
            _ if set_protocol_keyword(&mut m, key) => {}
            _ => {
                if value.is_empty() {
                    return Err(format!("{spec}: field {key} missing value"));
                }
                let f = Field::from_name(key).ok_or_else(|| format!("{key} not understood in monitor request"))?;
                parse_field(&mut cx, f, value, &mut m)?;
            }
        }
    }
    // Older forms have a bit for full reports of the connection's own changes, which is what `own` asks for.
    q.flags = if own { flags | FM_ONLY_OWN } else { flags };
    q.matching = MiniMatch::new(&m);
    Ok((q, usable))
}

fn print_one(s: &Settings, out: &mut Output, names: Option<&Names>, data: &[u8]) {
    let mut text = String::new();
    if s.timestamp {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        text.push_str(&timestamp(now));
    }
    let shown = names.filter(|_| s.shows_names());
    put_message(&mut text, data, s.verbosity + 2, &s.style(shown));
    out.put(&text);
    out.record(data);
}

/// `2026-01-02 03:04:05.678: `, in universal time.
fn timestamp(t: std::time::Duration) -> String {
    let days = t.as_secs() / 86400;
    let (mut year, mut rest) = (1970u64, days);
    loop {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let n = if leap { 366 } else { 365 };
        if rest < n {
            break;
        }
        rest -= n;
        year += 1;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let months = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for n in months {
        if rest < n {
            break;
        }
        rest -= n;
        month += 1;
    }
    let s = t.as_secs() % 86400;
    format!(
        "{year:04}-{month:02}-{:02} {:02}:{:02}:{:02}.{:03}: ",
        rest + 1,
        s / 3600,
        s / 60 % 60,
        s % 60,
        t.subsec_millis()
    )
}

/// A connection that is watched, and what was asked of it on the control socket.
struct Watched<'a> {
    s: &'a Settings,
    /// What the user calls the switch.
    switch: String,
    v: Vconn,
    names: Option<Names>,
    output: Rc<RefCell<Output>>,
    /// Echo requests are answered.
    reply: bool,
    /// Packets that wait for it are let go on.
    resume: bool,
    blocked: bool,
    /// The barrier that somebody waits for.
    barrier: Option<(u32, oneshot::Sender<Answer>)>,
}

/// Prints messages until the connection ends or `exit` is called on the control socket.
async fn follow(mut w: Watched<'_>) -> Result<u8> {
    let s = w.s;
    let mut control = super::unixctl::start(s, output_setter(&w.output))?;
    control.ready();
    loop {
        tokio::select! {
            data = w.v.receive_or_end(), if !w.blocked => {
                let data = data?.ok_or("vconn_recv (End of file)")?;
                print_one(s, &mut w.output.borrow_mut(), w.names.as_ref(), &data);
                if w.resume {
                    w.resume(&data).await?;
                }
                if w.barrier.as_ref().is_some_and(|(xid, _)| *xid == xid_of(&data))
                    && let Some((_, waiting)) = w.barrier.take()
                {
                    let _ = waiting.send(Ok("".into()));
                }
                if w.reply {
                    w.v.answer_echo(&data).await?;
                }
            }
            (order, answer) = control.next() => match order {
                Order::Exit => {
                    let _ = answer.send(Ok("".into()));
                    // The answer is written by another task.
                    for _ in 0..8 {
                        tokio::task::yield_now().await;
                    }
                    return Ok(0);
                }
                Order::Barrier if w.barrier.is_some() => {
                    let _ = answer.send(Err("already waiting for barrier reply\n".into()));
                }
                Order::Barrier => w.barrier = Some((w.v.send(&Message::BarrierRequest).await?, answer)),
                other => {
                    let _ = answer.send(w.obey(other).await);
                }
            },
        }
    }
}

impl Watched<'_> {
    fn new<'a>(s: &'a Settings, switch: &str, v: Vconn) -> Result<Watched<'a>> {
        let output = Rc::new(RefCell::new(Output::open(s)?));
        let switch = switch.to_string();
        Ok(Watched { s, switch, v, names: None, output, reply: false, resume: false, blocked: false, barrier: None })
    }

    /// Lets a packet that was paused go on.
    async fn resume(&mut self, data: &[u8]) -> Result<()> {
        let Ok((_, _, Message::PacketIn(p))) = Message::decode(data) else { return Ok(()) };
        if p.continuation.is_none() {
            return Ok(());
        }
        let go_on = Message::Resume(PacketIn { userdata: Default::default(), ..p });
        let data = go_on.encode(self.v.version, 0);
        let mut text = "send: ".to_string();
        put_message(&mut text, &data, self.s.verbosity + 2, &self.s.style(None));
        self.output.borrow_mut().put(&text);
        self.v.send_bytes(&data).await
    }

    /// Prints a message that is sent.
    fn show_sent(&self, before: &str, data: &[u8]) {
        let mut text = before.to_string();
        put_message(&mut text, data, self.s.verbosity, &self.s.style(None));
        self.output.borrow_mut().put(&text);
    }

    async fn obey(&mut self, order: Order) -> Answer {
        match order {
            Order::Send(messages) => return self.send(&messages).await,
            Order::PacketOut(text) => return self.packet_out(&text).await,
            Order::Block if self.blocked => return Ok("already blocking\n".into()),
            Order::Unblock if !self.blocked => return Ok("already unblocked\n".into()),
            Order::Block => self.blocked = true,
            Order::Unblock => self.blocked = false,
            Order::Exit | Order::Barrier => {}
        }
        Ok("".into())
    }

    /// Sends messages in hexadecimal digits; says of each what became of it.
    async fn send(&mut self, messages: &[String]) -> Answer {
        let (mut said, mut ok) = (String::new(), true);
        for digits in messages {
            match self.send_digits(digits).await {
                Ok(()) => said.push_str("sent\n"),
                Err(e) => {
                    ok = false;
                    said.push_str(&e);
                    said.push('\n');
                }
            }
        }
        if ok { Ok(said.into()) } else { Err(said) }
    }

    async fn send_digits(&mut self, digits: &str) -> Result<()> {
        let digits = digits.replace(char::is_whitespace, "");
        let data = openflow::action::output::hex_with_dots(&digits).filter(|_| digits.len() % 2 == 0);
        let data = data.ok_or("Trailing garbage in hex data")?;
        let Some([_, _, a, b, ..]) = data.first_chunk::<8>() else {
            return Err("Message too short for OpenFlow".to_string());
        };
        if usize::from(u16::from_be_bytes([*a, *b])) != data.len() {
            return Err("Message size does not match length in OpenFlow header".to_string());
        }
        self.show_sent("send: ", &data);
        self.v.send_bytes(&data).await
    }

    async fn packet_out(&mut self, text: &str) -> Answer {
        if self.names.is_none() {
            self.names = self.s.names_to_accept(&self.switch).await?;
        }
        let mut cx = ParseContext::new(self.names.as_ref());
        let (packet, usable) = openflow::text::parse_packet_out(&mut cx, text).map_err(|e| e + "\n")?;
        if usable.and(self.v.protocol).is_empty() {
            return Err("PACKET_OUT actions are incompatible with the OpenFlow connection.\n".into());
        }
        let (_, data) = self.v.encode(&Message::PacketOut(packet));
        self.show_sent("", &data);
        self.v.send_bytes(&data).await.map_err(|e| e + "\n")?;
        Ok("".into())
    }
}

fn output_setter(output: &Rc<RefCell<Output>>) -> impl Fn(&str) -> std::result::Result<(), String> + 'static {
    let output = output.clone();
    move |path: &str| {
        let file = std::fs::File::create(path).map_err(|e| io::program::strerror(&e))?;
        output.borrow_mut().file = Some(file);
        Ok(())
    }
}
