//! Messages recorded from real kernels: read, written again, compared.

use netlink::attr::Attrs;
use netlink::dp::Datapath;
use netlink::flow::Flow;
use netlink::message::{Message, Messages, Reply, encode};
use netlink::meter::Meter;
use netlink::packet::Packet;
use netlink::vport::Vport;
use netlink::{Malformed, ct_limit};
use std::path::PathBuf;

/// All messages of a family, from all kernels.
fn recorded(family: &str) -> Vec<Vec<u8>> {
    let mut all = vec![];
    for kernel in ["6.12", "7.3"] {
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "../../conformance/corpus/netlink", kernel, family].iter().collect();
        let text =
            std::fs::read_to_string(path.with_extension("hex")).expect("the recorded messages are in the repository");
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let byte = |i: usize| u8::from_str_radix(&line[i..i + 2], 16).expect("hex");
            all.push((0..line.len() / 2).map(|i| byte(i * 2)).collect());
        }
    }
    assert!(all.len() > 10);
    all
}

/// Calls `again` with the body of every message, which gives the body written again: the same attributes.
#[track_caller]
fn check(family: &str, again: impl Fn(&[u8]) -> Result<Vec<u8>, Malformed>) {
    for bytes in recorded(family) {
        let messages: Vec<Message<'_>> = Messages(&bytes).collect::<Result<_, _>>().expect("whole messages");
        let [message] = messages.as_slice() else { panic!("one message to a line") };
        assert_eq!(encode(message.header, message.body), bytes, "header");
        if let Ok(Reply::Body(body)) = message.reply() {
            let written = again(body).expect("well formed");
            // The kernel pads some attributes where others end without; whoever reads sees no difference.
            let padded = body.len().next_multiple_of(4);
            let mut wanted = body.to_vec();
            wanted.resize(padded, 0);
            assert_eq!(hex(&written), hex(&wanted), "{family}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn datapaths() {
    check("ovs_datapath", |b| Datapath::parse(b).map(|(h, d)| d.write(h).into_bytes()));
}

#[test]
fn vports() {
    check("ovs_vport", |b| Vport::parse(b).map(|(h, v)| v.write(h).into_bytes()));
}

#[test]
fn flows() {
    check("ovs_flow", |b| Flow::parse(b).map(|(h, f)| f.write(h).into_bytes()));
}

#[test]
fn packets() {
    check("ovs_packet", |b| Packet::parse(b).map(|(h, p)| p.write(h).into_bytes()));
}

#[test]
fn meters() {
    check("ovs_meter", |b| Meter::parse(b).map(|(h, m)| m.write(h).into_bytes()));
}

#[test]
fn limits() {
    check("ovs_ct_limit", |b| {
        let (h, limits) = ct_limit::parse(b)?;
        let mut w = ct_limit::encode(h.command, limits.as_deref()).into_bytes();
        w[1] = h.version;
        Ok(w)
    });
}

/// Whatever is cut off or changed is an error or is read as something else, and never more than that.
#[test]
fn damage_is_an_error() {
    for family in ["ovs_datapath", "ovs_vport", "ovs_flow", "ovs_packet", "ovs_meter"] {
        for bytes in recorded(family) {
            let body = &bytes[16..];
            for n in 0..body.len() {
                let mut changed = body.to_vec();
                changed[n] ^= 0x81;
                for b in [&body[..n], &changed[..]] {
                    let _ = (Datapath::parse(b).is_ok(), Vport::parse(b).is_ok(), Flow::parse(b).is_ok());
                    let _ = (Packet::parse(b).is_ok(), Meter::parse(b).is_ok(), ct_limit::parse(b).is_ok());
                    let _ = (netlink::conntrack::parse(b).is_ok(), netlink::family::parse(b).is_ok());
                    let _ = Attrs(b).count();
                }
            }
        }
    }
}
