//! From the bytes of a packet to the flow key.

use crate::key::FlowKey;
use crate::packet_type::PacketType;

/// What is known about a packet besides its bytes: a key in which only the metadata fields (tunnel, input port,
/// marks, connection tracking, recirculation) are set, and the kind of its first header.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metadata {
    /// Fields of words 0 to 38 and tunnel metadata.
    pub key: FlowKey,
}

impl Metadata {
    /// The kind of the packet's first header.
    pub fn packet_type(&self) -> PacketType {
        self.key.packet_type()
    }
}
