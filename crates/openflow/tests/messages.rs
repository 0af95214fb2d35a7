//! Messages and texts: what is read is written again, and nothing that is received makes anything panic.

use flow::text::{ParseContext, Style};
use openflow::action::frame::ROWS;
use openflow::codec::oxm;
use openflow::message::{FlowMod, FlowModCommand};
use openflow::text::{Use, format_message, match_and_actions, parse_flow};
use openflow::{Error, Message, Version};
use proptest::prelude::*;

fn data(name: &str) -> String {
    let path = format!("{}/../../conformance/differential/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn seeds() -> Vec<Vec<u8>> {
    let nibble = |b: u8| (b as char).to_digit(16).unwrap() as u8;
    let line = |l: &str| l.as_bytes().chunks(2).map(|p| nibble(p[0]) << 4 | nibble(p[1])).collect();
    data("seeds.hex").lines().map(line).collect()
}

/// Reading, writing and reading again gives the same message.
fn check_stable(bytes: &[u8]) {
    let Ok((v, xid, first)) = Message::decode(bytes) else { return };
    let again = first.encode(v, xid);
    match Message::decode(&again) {
        Ok((_, _, second)) => assert_eq!(first, second, "{:02x?}", bytes),
        // A reply that does not fit one message any more comes in parts.
        Err(Error::BadRequestBadLen) if again.len() > 65535 => {}
        Err(e) => panic!("{e} in what was written for {first:?}"),
    }
}

/// What a damaged message says may lose what no version can write, but only once.
fn check_settles(bytes: &[u8]) {
    let Ok((v, xid, first)) = Message::decode(bytes) else { return };
    check_stable(&match Message::decode(&first.encode(v, xid)) {
        Ok((_, _, second)) => second.encode(v, xid),
        Err(_) => return,
    });
}

#[test]
fn recorded_messages_are_stable() {
    for s in seeds() {
        check_stable(&s);
        format_message(&s, 2, &Style::default());
    }
}

#[test]
fn every_number_names_one_thing() {
    let mut seen = std::collections::HashSet::new();
    for r in ROWS {
        for v in Version::ALL.into_iter().filter(|v| (r.min..=r.max).contains(v)) {
            assert!(seen.insert((v, r.vendor, r.code)), "{r:?} stands twice in {v}");
        }
    }
    for f in flow::Field::all() {
        for n in f.def().numbers {
            assert_eq!(oxm::field_of(n.class, n.experimenter, n.field), Some(f), "{}", n.name);
        }
    }
    for e in openflow::error::ERRORS.iter() {
        assert_eq!(Error::from_symbol(e.symbol), Some(e.error));
    }
}

#[test]
fn flows_survive_text_and_wire() {
    for text in data("flows.txt").lines() {
        let parse = |t: &str| parse_flow(&mut ParseContext::default(), t, Use::Mod(FlowModCommand::Add));
        let Ok((fm, usable)) = parse(text) else { continue };
        if text.contains("gtpu") {
            continue; // printed under a name that is not read, as the original does
        }
        let shown = match_and_actions(&fm.matching, fm.priority, &fm.actions);
        let (again, _) = parse(&shown).unwrap_or_else(|e| panic!("{text} is shown as {shown}: {e}"));
        assert_eq!(match_and_actions(&again.matching, again.priority, &again.actions), shown, "{text}");
        for p in usable.iter() {
            let fm = FlowMod { nicira: p.is_nxm(), ..fm.clone() };
            check_stable(&Message::FlowMod(fm).encode(p.version(), 1));
        }
    }
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(seeds()), changes, 0usize..4).prop_map(|(mut m, changes, cut)| {
        for (at, byte) in changes {
            let at = at.index(m.len());
            m[at] = byte;
        }
        m.truncate(m.len() - cut.min(m.len()));
        if let (true, len) = (m.len() >= 8, m.len() as u16) {
            m[2..4].copy_from_slice(&len.to_be_bytes());
        }
        m
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_messages_do_no_harm(m in mutated()) {
        check_settles(&m);
        format_message(&m, 1, &Style::default());
    }

    #[test]
    fn no_text_is_too_strange(text in "[a-z_0-9=,:/()\\[\\].>-]{0,60}") {
        let _ = parse_flow(&mut ParseContext::default(), &text, Use::Mod(FlowModCommand::Add));
        let _ = parse_flow(&mut ParseContext::default(), &format!("actions={text}"), Use::Mod(FlowModCommand::Add));
    }
}
