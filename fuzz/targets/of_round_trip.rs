//! Flows from text to the wire of each version and back: what is printed of a flow that was read from the wire reads and
//! is written as the same bytes.
#![cfg_attr(fuzzing, no_main)]

use flow::text::ParseContext;
use openflow::codec::Options;
use openflow::message::FlowModCommand;
use openflow::text::{Use, match_and_actions, parse_flow};
use openflow::{Message, Version};

/// One input: a byte for the version, then a flow as text.
pub fn check(data: &[u8]) {
    let Some((version, line)) = data.split_first() else { return };
    let version = Version::ALL[usize::from(*version) % Version::ALL.len()];
    let Ok(line) = std::str::from_utf8(line) else { return };
    let mut cx = ParseContext::new(None);
    let add = Use::Mod(FlowModCommand::Add);
    let Ok((fm, usable)) = parse_flow(&mut cx, line, add) else { return };
    if usable.and(openflow::Protocols::of_version(version)).is_empty() {
        return;
    }
    let o = Options { table_id: true, debug_actions: true };
    let nicira = version == Version::V10 && !usable.contains(openflow::Protocols::OF10);
    let bytes = Message::FlowMod(openflow::message::FlowMod { nicira, ..fm }).encode_with(version, 1, o);
    let Ok((_, _, Message::FlowMod(read))) = Message::decode_with(&bytes, o) else { return };
    let first = match_and_actions(&read.matching, read.priority, &read.actions);
    let again = Message::FlowMod(read).encode_with(version, 1, o);
    let Ok((_, _, Message::FlowMod(second))) = Message::decode_with(&again, o) else {
        panic!("what was written of {line} is not read");
    };
    assert_eq!(match_and_actions(&second.matching, second.priority, &second.actions), first, "from {line}");
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
