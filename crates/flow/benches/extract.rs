//! Reading the headers of a packet: time, and the number of instructions where `valgrind` is installed.
//!
//! `cargo bench -p ferrovs-flow`. The instructions are the difference of two runs of this program under callgrind, which
//! needs no counters of the processor.

use std::hint::black_box;
use std::process::Command;

use criterion::Criterion;
use flow::{Metadata, extract};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap_or("0"), 16).unwrap_or(0)).collect()
}

/// Names and packets.
fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let eth = "50540000000a 50540000000b";
    let tcp = "0050 1f90 00000001 00000002 5012 2000 0000 0000 00000000000000000000000000000000";
    vec![
        ("vlan_ipv4_tcp", bytes(&format!("{eth} 8100600a 0800 45000038000040004006000001020304 05060708 {tcp}"))),
        ("ipv4_tcp", bytes(&format!("{eth} 0800 45000038000040004006000001020304 05060708 {tcp}"))),
        (
            "ipv6_tcp",
            bytes(&format!(
                "{eth} 86dd 60000000 0024 06 40 fe800000000000000000000000000001 fe800000000000000000000000000002 {tcp}"
            )),
        ),
        ("arp", bytes(&format!("{eth} 0806 0001 0800 06 04 0001 50540000000b 01020304 000000000000 05060708"))),
    ]
}

/// Reads a packet `n` times: what is run under callgrind.
fn repeat(name: &str, n: u64) {
    let meta = Metadata::default();
    for (_, packet) in packets().iter().filter(|p| p.0 == name) {
        for _ in 0..n {
            black_box(extract(black_box(packet), &meta));
        }
    }
}

/// Instructions of one reading; `None` without valgrind.
fn instructions(name: &str) -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let run = |n: u64| -> Option<u64> {
        let out = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(&program)
            .args(["--repeat", name, &n.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        text.lines().find_map(|l| l.split_once("Collected :"))?.1.trim().parse().ok()
    };
    Some((run(20_000)? - run(10_000)?) as f64 / 10_000.0)
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, word, name, n] = &args[..]
        && word == "--repeat"
    {
        repeat(name, n.parse().unwrap_or(0));
        return;
    }
    let mut c = Criterion::default().configure_from_args();
    let meta = Metadata::default();
    for (name, packet) in packets() {
        c.bench_function(&format!("extract/{name}"), |b| b.iter(|| extract(black_box(&packet), &meta)));
        match instructions(name) {
            Some(n) => println!("extract/{name}: {n:.0} instructions"),
            None => println!("extract/{name}: instructions are not counted without valgrind"),
        }
    }
    c.final_summary();
}
