//! What a controller needs: a connection to a switch, and a learning switch as an example of what to do with it.
//!
//! Nothing here opens a socket or reads a clock: bytes go in, bytes and events come out. A controller in a few lines:
//!
//! ```
//! use openflow::controller::{Connection, Event};
//! use openflow::message::FlowMod;
//! use openflow::{Action, Message, Version};
//! use flow::OfPort;
//!
//! let mut switch = Connection::new(&Version::ALL);
//! // Bytes that a switch sends first: its hello, then what it can do.
//! for data in [Message::Hello(Default::default()).encode(Version::V13, 1), features()] {
//!     for event in switch.input(&data).unwrap() {
//!         match event {
//!             Event::Ready { features, .. } => {
//!                 assert_eq!(features.datapath_id, 0x42);
//!                 // Flood whatever comes.
//!                 let actions = vec![Action::Output { port: OfPort::FLOOD, max_len: 0 }];
//!                 switch.send(&Message::FlowMod(FlowMod { actions, ..FlowMod::default() }));
//!             }
//!             Event::Message { message: Message::PacketIn(p), .. } => println!("{} bytes", p.packet.len()),
//!             Event::Message { .. } | Event::Unreadable { .. } => {}
//!         }
//!     }
//!     let to_send = switch.output();
//!     assert!(!to_send.is_empty());
//! }
//! # fn features() -> Vec<u8> {
//! #     let f = openflow::message::Features { datapath_id: 0x42, ..Default::default() };
//! #     Message::FeaturesReply(f).encode(Version::V13, 2)
//! # }
//! ```

mod learning;

pub use learning::{LearningSwitch, Settings};

use crate::codec::Options;
use crate::error::{Error, ErrorMsg};
use crate::message::{Features, Hello, Message};
use crate::version::{Version, Xid};

/// What happened on a [`Connection`].
#[derive(Debug)]
pub enum Event {
    /// The version is negotiated and the switch has said what it is. Comes once, before other messages.
    Ready {
        /// Version that is spoken.
        version: Version,
        /// What the switch says of itself.
        features: Features,
    },
    /// A message that the connection does not answer by itself (it answers hellos and echo requests).
    Message {
        /// Transaction id.
        xid: Xid,
        /// The message.
        message: Message,
    },
    /// A message that could not be read.
    Unreadable {
        /// Why.
        error: Error,
        /// Its bytes.
        data: Vec<u8>,
    },
}

/// Why a [`Connection`] cannot go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Closed {
    /// No version in common: versions that the switch supports, bit N for version byte N.
    NoCommonVersion(u32),
    /// The switch sent something that is no OpenFlow message.
    NotOpenFlow,
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Closed::NoCommonVersion(_) => f.write_str("no common OpenFlow version"),
            Closed::NotOpenFlow => f.write_str("not an OpenFlow message"),
        }
    }
}

impl std::error::Error for Closed {}

/// The controller's end of a connection: greeting, echo, framing (OpenFlow 1.3.1 §6.3.1, §6.4).
#[derive(Debug)]
pub struct Connection {
    versions: u32,
    version: Option<Version>,
    ready: bool,
    next_xid: Xid,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Connection {
    /// A connection that speaks these versions; its hello waits in [`Connection::output`].
    pub fn new(versions: &[Version]) -> Connection {
        let versions = versions.iter().fold(0, |bits, v| bits | 1 << v.to_wire());
        let newest = newest_of(versions).unwrap_or(Version::V10);
        let mut c =
            Connection { versions, version: None, ready: false, next_xid: 1, input: Vec::new(), output: Vec::new() };
        let xid = c.xid();
        c.output = Message::Hello(Hello { versions, bitmap: versions.count_ones() > 1 }).encode(newest, xid);
        c
    }

    fn xid(&mut self) -> Xid {
        let xid = self.next_xid;
        self.next_xid = xid.wrapping_add(1);
        xid
    }

    /// The version, once it is negotiated.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Queues a message for the switch; returns its transaction id. Before the version is negotiated it is written in
    /// the newest version that this end speaks.
    pub fn send(&mut self, m: &Message) -> Xid {
        let xid = self.xid();
        self.reply(xid, m);
        xid
    }

    /// Queues a message with the transaction id of the one that it answers.
    pub fn reply(&mut self, xid: Xid, m: &Message) {
        let version = self.version.or_else(|| newest_of(self.versions)).unwrap_or(Version::V10);
        self.output.append(&mut m.encode_with(version, xid, Options::default()));
    }

    /// Takes the bytes that are to be sent.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Takes in received bytes; tells what happened. Call [`Connection::output`] afterwards, also after an error.
    pub fn input(&mut self, data: &[u8]) -> Result<Vec<Event>, Closed> {
        self.input.extend_from_slice(data);
        let mut events = Vec::new();
        let mut at = 0;
        while let Some(head) = self.input.get(at..at + 8) {
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            if len < 8 {
                return Err(Closed::NotOpenFlow);
            }
            let Some(message) = self.input.get(at..at + len) else { break };
            let message = message.to_vec();
            at += len;
            if let Some(event) = self.one(message)? {
                events.push(event);
            }
        }
        self.input.drain(..at);
        Ok(events)
    }

    fn one(&mut self, data: Vec<u8>) -> Result<Option<Event>, Closed> {
        let (_, xid, message) = match Message::decode(&data) {
            Ok(m) => m,
            Err(_) if self.version.is_none() => return Err(Closed::NotOpenFlow),
            Err(error) => return Ok(Some(Event::Unreadable { error, data })),
        };
        match message {
            Message::Hello(h) if self.version.is_none() => self.greet(xid, h).map(|()| None),
            _ if self.version.is_none() => Err(Closed::NotOpenFlow),
            Message::Hello(_) => Ok(None),
            Message::EchoRequest(payload) => {
                self.reply(xid, &Message::EchoReply(payload));
                Ok(None)
            }
            Message::FeaturesReply(features) if !self.ready => {
                self.ready = true;
                let version = self.version.unwrap_or(Version::V10);
                Ok(Some(Event::Ready { version, features }))
            }
            message => Ok(Some(Event::Message { xid, message })),
        }
    }

    fn greet(&mut self, xid: Xid, h: Hello) -> Result<(), Closed> {
        let Some(version) = newest_of(self.versions & h.versions) else {
            let error = ErrorMsg {
                error: Some(Error::HelloFailedIncompatible),
                raw: (0, 0, 0),
                data: b"no common versions.".to_vec(),
            };
            self.reply(xid, &Message::Error(error));
            return Err(Closed::NoCommonVersion(h.versions));
        };
        self.version = Some(version);
        self.send(&Message::FeaturesRequest);
        Ok(())
    }
}

fn newest_of(versions: u32) -> Option<Version> {
    Version::ALL.into_iter().rev().find(|v| versions >> v.to_wire() & 1 != 0)
}
