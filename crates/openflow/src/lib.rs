//! OpenFlow 1.0 to 1.5 messages with the Nicira and ONF extensions, the action table and the text forms.

pub mod action;
pub mod codec;
pub mod controller;
pub mod error;
mod error_table;
pub mod message;
pub mod protocol;
pub mod text;
pub mod version;

pub use action::Action;
pub use error::{Error, ErrorMsg};
pub use message::Message;
pub use protocol::Protocols;
pub use version::{GroupId, MeterId, TableId, Version, Xid};

/// Reads one whole message; see [`Message::decode`].
pub fn decode(data: &[u8]) -> Result<(Version, Xid, Message), Error> {
    Message::decode(data)
}

/// The name of a raw message, such as `OFPT_FLOW_MOD`.
pub fn message_name(data: &[u8]) -> String {
    match codec::types::name_of(data) {
        Some(name) => name.to_string(),
        None => format!("OFPT_{}", data.get(1).copied().unwrap_or(0)),
    }
}
