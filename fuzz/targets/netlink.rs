//! Netlink messages: whatever comes is read or refused, and what was read is written so that it reads the same.
#![cfg_attr(fuzzing, no_main)]

use datapath::netlink::{read_actions, read_key, read_mask, write_actions, write_key, write_mask};
use netlink::message::Messages;
use netlink::{Writer, conntrack, ct_limit, dp, family, flow, meter, packet, vport};

/// One input: a datagram.
pub fn check(data: &[u8]) {
    for m in Messages(data).take(64).flatten() {
        let _ = m.reply();
        bodies(m.body);
    }
    bodies(data);
    keys(data);
}

fn bodies(body: &[u8]) {
    if let Ok((header, d)) = dp::Datapath::parse(body) {
        assert_eq!(dp::Datapath::parse(d.write(header).bytes()), Ok((header, d)));
    }
    if let Ok((header, v)) = vport::Vport::parse(body) {
        assert_eq!(vport::Vport::parse(v.write(header).bytes()), Ok((header, v)));
    }
    if let Ok((header, m)) = meter::Meter::parse(body) {
        assert_eq!(meter::Meter::parse(m.write(header).bytes()), Ok((header, m)));
    }
    if let Ok((header, p)) = packet::Packet::parse(body) {
        assert_eq!(packet::Packet::parse(p.write(header).bytes()), Ok((header, p)));
    }
    if let Ok((header, f)) = flow::Flow::parse(body) {
        assert_eq!(flow::Flow::parse(f.write(header).bytes()), Ok((header, f)));
    }
    let _ = (ct_limit::parse(body), conntrack::parse(body), conntrack::parse_stats(body), family::parse(body));
}

/// Keys and actions: read, written and read again they are the same.
fn keys(attrs: &[u8]) {
    if let Ok(actions) = read_actions(attrs) {
        let mut w = Writer::new();
        write_actions(&mut w, &actions, 0);
        assert!(w.overflowed() || read_actions(w.bytes()).is_ok());
    }
    if let Ok(key) = read_key(attrs) {
        let mut w = Writer::new();
        write_key(&mut w, &key);
        let again = read_key(w.bytes()).expect("what was written");
        let mut w2 = Writer::new();
        write_key(&mut w2, &again);
        assert_eq!(w.bytes(), w2.bytes());
        if let Ok(mask) = read_mask(Some(attrs), &key, attrs) {
            let mut m = Writer::new();
            write_mask(&mut m, &key, &mask);
            assert!(read_mask(Some(m.bytes()), &again, w.bytes()).is_ok());
        }
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
