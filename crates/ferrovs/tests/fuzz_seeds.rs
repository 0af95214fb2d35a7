//! The bodies of the fuzz targets, each run over its seeds by the ordinary compiler.

use std::path::Path;

#[path = "../../../fuzz/targets/condition.rs"]
mod condition;
#[path = "../../../fuzz/targets/log_file.rs"]
mod log_file;
#[path = "../../../fuzz/targets/netlink.rs"]
mod netlink_messages;
#[path = "../../../fuzz/targets/of_actions.rs"]
mod of_actions;
#[path = "../../../fuzz/targets/of_flow_text.rs"]
mod of_flow_text;
#[path = "../../../fuzz/targets/of_match.rs"]
mod of_match;
#[path = "../../../fuzz/targets/of_message.rs"]
mod of_message;
#[path = "../../../fuzz/targets/of_round_trip.rs"]
mod of_round_trip;
#[path = "../../../fuzz/targets/packet.rs"]
mod packet;
#[path = "../../../fuzz/targets/schema.rs"]
mod schema;
#[path = "../../../fuzz/targets/session.rs"]
mod session;
#[path = "../../../fuzz/targets/transact.rs"]
mod transact;

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in folder.read_dir().unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        check(&seed);
        // Cut short anywhere, it is input too.
        (0..seed.len()).step_by(7).for_each(|n| check(&seed[..n]));
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds for {target}");
}

#[test]
fn seeds() {
    run("condition", condition::check);
    run("log_file", log_file::check);
    run("netlink", netlink_messages::check);
    run("of_actions", of_actions::check);
    run("of_flow_text", of_flow_text::check);
    run("of_match", of_match::check);
    run("of_message", of_message::check);
    run("of_round_trip", of_round_trip::check);
    run("packet", packet::check);
    run("schema", schema::check);
    run("session", session::check);
    run("transact", transact::check);
}
