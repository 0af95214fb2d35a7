//! OpenFlow 1.0 to 1.5 messages with the Nicira and ONF extensions, the action table and the text forms.

pub mod action;
pub mod codec;
pub mod error;
mod error_table;
pub mod message;
pub mod protocol;
pub mod version;

pub use action::Action;
pub use error::{Error, ErrorMsg};
pub use message::Message;
pub use protocol::Protocols;
pub use version::{GroupId, MeterId, TableId, Version, Xid};
