//! Matches in NXM and OXM form: what was read, written and read again is the same match, and so is its text.
#![cfg_attr(fuzzing, no_main)]

use openflow::Version;
use openflow::codec::oxm::Numbering;
use openflow::codec::oxm_match::{Strictness, put_entries, take_entries};

/// One input: a byte for how to read, then entries.
pub fn check(data: &[u8]) {
    let Some((how, entries)) = data.split_first() else { return };
    let strictness = if how & 1 == 0 { Strictness::Strict } else { Strictness::Loose };
    let Ok(m) = take_entries(entries, strictness, None) else { return };
    let _ = m.to_string();
    for numbering in [Numbering::Nxm, Numbering::Oxm(Version::V13), Numbering::Oxm(Version::V15)] {
        let mut bytes = Vec::new();
        put_entries(&mut bytes, &m, numbering, None);
        let Ok(again) = take_entries(&bytes, Strictness::Loose, None) else { continue };
        // A match of one numbering may have no equal in another; what that one made of it stays.
        let mut second = Vec::new();
        put_entries(&mut second, &again, numbering, None);
        let Ok(same) = take_entries(&second, Strictness::Loose, None) else { continue };
        let mut third = Vec::new();
        put_entries(&mut third, &same, numbering, None);
        assert!(third == second, "writing is stable: {m}, then {again} and {same}");
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
