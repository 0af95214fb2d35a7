//! Packets that wait for a controller (`controller(pause)`): the controller gets what is left to do as a continuation and
//! sends it back when the packet may go on. The switch keeps nothing meanwhile.

use crate::bridge::Bridge;
use clock::Instant;
use flow::{DpPort, FlowKey, MiniKey};
use openflow::message::{Continuation, PacketIn};
use openflow::{Error, Version};
use translate::frozen::FrozenState;
use translate::{BridgeId, Start};

/// The continuation of a state, of a packet that came in by a port of the datapath.
pub(crate) fn continuation(state: &FrozenState, dp_port: DpPort) -> Continuation {
    Continuation {
        bridge: u128::from(state.bridge.0).to_be_bytes(),
        stack: state.stack.clone(),
        mirrors: state.mirrors,
        conntracked: state.conntracked,
        table: state.table,
        cookie: state.cookie,
        actions: state.actions.clone(),
        action_set: state.action_set.clone(),
        odp_port: Some(dp_port.0),
    }
}

/// The state of a continuation, with the fields that the controller sent along.
fn state(c: Continuation, packet_in: &PacketIn, fields: &FlowKey) -> FrozenState {
    let mut metadata = *fields;
    metadata.set_in_port_raw(0);
    FrozenState {
        bridge: BridgeId(u128::from_be_bytes(c.bridge) as u64),
        table: c.table,
        metadata: MiniKey::new(&metadata),
        stack: c.stack,
        mirrors: c.mirrors,
        conntracked: c.conntracked,
        actions: c.actions,
        action_set: c.action_set,
        cookie: c.cookie,
        in_port: packet_in.in_port(),
        ..FrozenState::default()
    }
}

impl Bridge {
    /// `NXT_RESUME`
    pub(crate) fn resume(&mut self, packet_in: &PacketIn, version: Version, now: Instant) -> Result<(), Error> {
        let data = packet_in.continuation.as_deref().ok_or(Error::BadRequestBadLen)?;
        let continuation = Continuation::decode(data, version)?;
        let network = self.upcalls.network();
        let mut fields = FlowKey::ZERO;
        for (word, value, _) in packet_in.metadata.iter() {
            fields.set_word(word, value);
        }
        let mut key = flow::extract(&packet_in.packet, &flow::Metadata::default());
        for (word, value, mask) in packet_in.metadata.iter() {
            key.set_word(word, key.word(word) & !mask | value);
        }
        let state = state(continuation, packet_in, &fields);
        key.set_in_port(state.in_port);
        key.set_recirc_id(network.frozen.id_of(state, now));
        self.run_packet(key, &packet_in.packet, Start::Tables, now);
        Ok(())
    }
}
