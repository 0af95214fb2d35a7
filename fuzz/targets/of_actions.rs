//! Actions and instructions of all versions: what was read, written and read again is written the same.
#![cfg_attr(fuzzing, no_main)]

use openflow::Version;
use openflow::action::frame::DecodeContext;
use openflow::action::{instruction, text};

/// One input: a byte for the version, then actions (1.0) or instructions.
pub fn check(data: &[u8]) {
    let Some((version, actions)) = data.split_first() else { return };
    let version = Version::ALL[usize::from(*version) % Version::ALL.len()];
    let cx = DecodeContext { debug_actions: true, ..DecodeContext::new(version) };
    let Ok(list) = instruction::decode_flow(cx, actions) else { return };
    let mut shown = String::new();
    text::format(&mut shown, &Default::default(), &list);
    let mut bytes = Vec::new();
    instruction::encode_flow(&mut bytes, &list, version);
    if bytes.len() > 0xffff {
        return;
    }
    if let Ok(again) = instruction::decode_flow(cx, &bytes) {
        let mut second = Vec::new();
        instruction::encode_flow(&mut second, &again, version);
        assert!(second == bytes, "writing is stable: {shown}");
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
