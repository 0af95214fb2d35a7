//! OpenFlow messages of all versions: reading, printing, and what was read written and read again is the same.
#![cfg_attr(fuzzing, no_main)]

use openflow::Message;
use openflow::codec::Options;

/// One input: a message, whose length field is put right.
pub fn check(data: &[u8]) {
    let mut data = data.to_vec();
    if data.len() < 8 || data.len() > 0xffff {
        openflow::text::format_message(&data, 3, &Default::default());
        return;
    }
    let len = (data.len() as u16).to_be_bytes();
    data[2..4].copy_from_slice(&len);
    openflow::text::format_message(&data, 4, &Default::default());
    let o = Options { table_id: true, debug_actions: true };
    let Ok((version, xid, message)) = Message::decode_with(&data, o) else { return };
    let again = message.encode_with(version, xid, o);
    // Replies of many entries may be several messages, the entries of a bundle may not fit; a message that is one is
    // read as what it was written from.
    let len = again.get(2..4).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    if len != again.len() {
        return;
    }
    if let Ok((_, _, second)) = Message::decode_with(&again, o) {
        let third = second.encode_with(version, xid, o);
        assert!(
            third == again,
            "writing is stable\n{}",
            openflow::text::format_message(&again, 0, &Default::default())
        );
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
