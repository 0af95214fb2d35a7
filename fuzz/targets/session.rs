//! JSON-RPC framing: however the bytes are cut, the same messages come out, and each survives being written again.
#![cfg_attr(fuzzing, no_main)]

use session::{Message, Splitter};

type Messages = (Vec<Message>, Option<String>);

fn read(data: &[u8], chunk: usize) -> Messages {
    let mut splitter = Splitter::new(1 << 16);
    let mut messages = Vec::new();
    for bytes in data.chunks(chunk) {
        splitter.push(bytes);
        loop {
            match splitter.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// One input.
pub fn check(data: &[u8]) {
    let whole = read(data, data.len().max(1));
    assert_eq!(whole, read(data, 1));
    assert_eq!(whole, read(data, 7));
    for message in whole.0 {
        let again = read(&message.clone().to_bytes(), 1 << 16);
        assert_eq!(again, (vec![message], None));
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
