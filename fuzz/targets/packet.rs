//! Packets: reading the headers of any bytes, as a packet of any type, and describing them.
#![cfg_attr(fuzzing, no_main)]

use flow::{Metadata, PacketType};

/// One input: a byte for the kind of packet, then the packet.
pub fn check(data: &[u8]) {
    let Some((kind, packet)) = data.split_first() else { return };
    let mut meta = Metadata::default();
    let types = [0, 0x0800, 0x86dd, 0x8847, 0x894f, 0x0806];
    match types[usize::from(*kind) % types.len()] {
        0 => meta.key.set_packet_type(PacketType::ETHERNET),
        ethertype => meta.key.set_packet_type(PacketType::new(1, ethertype)),
    }
    let key = flow::extract(packet, &meta);
    let _ = flow::match_of_packet(&key).to_string();
    let mut layers_key = meta.key;
    let layers = flow::extract_into(packet, &mut layers_key, 2);
    for place in [layers.l3, layers.l4].into_iter().flatten() {
        assert!(usize::from(place) <= packet.len(), "a layer is inside its packet");
    }
    // The first bytes of a packet say nothing that the packet does not: reading is a function of its bytes.
    assert!(flow::extract(packet, &meta) == key);
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
