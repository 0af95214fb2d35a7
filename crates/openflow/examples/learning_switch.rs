//! A learning switch: listens on a TCP port (6653, or the one given) and serves each switch that connects.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net;

use flow::{Match, MiniMatch, OfPort};
use openflow::controller::{Connection, Event};
use openflow::message::{FlowMod, PacketIn, PacketOut};
use openflow::{Action, Message, Version};

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|p| p.parse().ok()).unwrap_or(6653);
    for stream in net::TcpListener::bind(("0.0.0.0", port))?.incoming() {
        let stream = stream?;
        std::thread::spawn(move || serve(stream).unwrap_or_else(|e| eprintln!("connection dropped: {e}")));
    }
    Ok(())
}

fn serve(mut stream: net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
    let mut switch = Connection::new(&[Version::V13]);
    let mut ports: HashMap<[u8; 6], OfPort> = HashMap::new();
    let mut buf = [0; 65536];
    loop {
        stream.write_all(&switch.output())?;
        let n = match stream.read(&mut buf)? {
            0 => return Ok(()),
            n => n,
        };
        for event in switch.input(&buf[..n])? {
            match event {
                Event::Ready { .. } => {
                    let actions = vec![Action::Output { port: OfPort::CONTROLLER, max_len: u16::MAX }];
                    switch.send(&Message::FlowMod(FlowMod { priority: 0, actions, ..FlowMod::default() }));
                }
                Event::Message { message: Message::PacketIn(p), .. } => packet_in(&mut switch, &mut ports, p),
                Event::Message { .. } | Event::Unreadable { .. } => {}
            }
        }
    }
}

fn packet_in(switch: &mut Connection, ports: &mut HashMap<[u8; 6], OfPort>, p: PacketIn) {
    let Some((dst, src)) = p.packet.first_chunk::<6>().zip(p.packet.get(6..).and_then(|s| s.first_chunk::<6>())) else {
        return;
    };
    ports.insert(*src, p.in_port());
    let port = ports.get(dst).copied().unwrap_or(OfPort::FLOOD);
    let actions = vec![Action::Output { port, max_len: 0 }];
    if port != OfPort::FLOOD {
        let mut m = Match::any();
        m.set(flow::Field::ETH_DST, dst.iter().fold(0, |n, b| n << 8 | u128::from(*b)));
        let (matching, actions) = (MiniMatch::new(&m), actions.clone());
        switch.send(&Message::FlowMod(FlowMod { idle_timeout: 60, matching, actions, ..FlowMod::default() }));
    }
    let (metadata, packet) = (p.metadata, p.packet);
    switch.send(&Message::PacketOut(PacketOut { buffer_id: u32::MAX, metadata, actions, packet }));
}
