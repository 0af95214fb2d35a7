//! Flows, groups and meters as text: reading fails or gives what is printed as a text that reads as itself.
#![cfg_attr(fuzzing, no_main)]

use flow::text::ParseContext;
use openflow::message::{FlowModCommand, GroupCommand, MeterCommand};
use openflow::text;

/// One input: a line of text.
pub fn check(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    let mut cx = ParseContext::new(None);
    let _ = text::parse_group_line(&mut cx, line, GroupCommand::Add, true);
    let _ = text::parse_meter(line, MeterCommand::Add);
    let _ = text::parse_packet_out(&mut cx, line);
    for command in [FlowModCommand::ModifyStrict, FlowModCommand::DeleteStrict] {
        let _ = text::parse_flow(&mut cx, line, text::Use::Mod(command));
    }
    let Ok((fm, _)) = text::parse_flow_line(&mut cx, line, FlowModCommand::Add, true) else { return };
    let print = |fm: &openflow::message::FlowMod| text::match_and_actions(&fm.matching, fm.priority, &fm.actions);
    let first = print(&fm);
    let add = text::Use::Mod(FlowModCommand::Add);
    let Ok((again, _)) = text::parse_flow(&mut cx, &first, add) else { return };
    let second = print(&again);
    let Ok((third, _)) = text::parse_flow(&mut cx, &second, add) else { return };
    assert_eq!(print(&third), second, "the text of {line}");
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
