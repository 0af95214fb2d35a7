#!/usr/bin/env python3
"""Parsing and printing flows: ferrovs and the reference side by side.

    openflow.py [--bin PATH] [--flows N] [--rounds N]

Makes N mixed flows (200000), and a capture of the flow statistics replies of a switch that has them; then runs
`ovs-ofctl parse-flows` and `ovs-ofctl ofp-parse` of both programs in turn and prints, for each, seconds (the best round)
and the most memory used, and the ratios. PATH is the ferrovs executable, release build. Exit code 1 if a ratio of times
is below 3 or more memory is used than by the reference, or if they print different text.
"""
import argparse
import hashlib
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "conformance"))
import run as kit  # noqa: E402


def flow(r, i):
    n = lambda top: r.randrange(top)
    kinds = [
        lambda: f"table={n(20)},priority={n(65536)},tcp,in_port={1 + n(60)},nw_src=10.{n(256)}.{n(256)}.0/24,"
                f"nw_dst=192.168.{n(256)}.{n(256)},tp_dst={n(65536)},actions=output:{1 + n(98)}",
        lambda: f"cookie={i:#x},table=0,priority=100,in_port={1 + n(98)},dl_vlan={1 + n(4094)},"
                f"dl_dst=02:00:{n(256):02x}:{n(256):02x}:{n(256):02x}:{n(256):02x},"
                f"actions=strip_vlan,load:{i:#x}->NXM_NX_REG0[],resubmit(,{1 + n(49)})",
        lambda: f"table=8,priority=50,ipv6,ipv6_src=fe80::{n(65536):x}/64,nw_proto=6,reg0={i:#x}/0xffffff,"
                f"metadata={i:#x},actions=ct(commit,zone={n(65536)},table=9,exec(load:0x1->NXM_NX_CT_MARK[])),resubmit(,9)",
        lambda: f"table=3,priority=65,arp,arp_tpa=10.{n(256)}.{n(256)}.{n(256)},arp_op=1,"
                f"actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],mod_dl_src:02:00:00:00:{n(256):02x}:{n(256):02x},"
                f"load:0x2->NXM_OF_ARP_OP[],IN_PORT",
        lambda: f"table=30,priority=1,ct_state=+trk+est-inv,ip,reg15={i:#x},"
                f"actions=set_field:{i:#x}->reg1,output:{1 + n(9000)}",
        lambda: f"priority=0,udp,nw_dst=224.0.0.{n(256)},idle_timeout=60,hard_timeout=300,"
                f"actions=learn(table=20,idle_timeout=10,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
                f"load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]),NORMAL",
        lambda: f"priority={n(65536)},dl_type=0x{0x600 + n(0xf9ff):04x},dl_src=0a:{n(256):02x}:00:00:00:01,actions=drop",
        lambda: f"table=5,tun_id={i:#x},icmp,nw_ttl=64,actions=group:{1 + n(1000)},clone(output:1,output:2),"
                f"write_metadata:{i:#x}/0xffff,goto_table:{6 + n(54)}",
    ]
    return kinds[i % len(kinds)]()


def replies(reference, flows, out):
    """The replies of a switch, from what the reference itself writes for the flows: each flow_mod becomes an entry."""
    printed = subprocess.run([*reference, "-O", "OpenFlow13", "-mmmmm", "parse-flows", flows], stdout=subprocess.PIPE, check=True)
    data, message = [], None
    for line in printed.stdout.decode().splitlines():
        if len(line) > 60 and line[8:10] == "  " and line[:8].isalnum():
            if line.startswith("00000000 "):
                message = bytearray()
                data.append(message)
            message += bytes.fromhex(line[10:57].replace("-", " "))
    entries, size = [], 16
    with open(out, "wb") as f:
        def flush(more):
            nonlocal entries, size
            f.write(struct.pack(">BBHIHH4x", 4, 19, size, 2, 1, more) + b"".join(entries))
            entries, size = [], 16
        for i, m in enumerate(data):
            cookie, _, table, _, idle, hard, priority = struct.unpack_from(">QQBBHHH", m, 8)
            body = bytes(m[48:])
            entry = struct.pack(">HBxIIHHHHH2xxxQQQ", 48 + len(body), table, i % 90000, i * 1000000 % 10**9, priority, idle,
                                hard, 0, 0, cookie, i * 7 % 1000003, i * 977 % 10**9)[:48] + body
            if size + len(entry) > 65000:
                flush(1)
            entries.append(entry)
            size += len(entry)
        flush(0)


def once(command):
    """Seconds, kilobytes, digest of the output."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen(command, stdout=out)
        _, status, usage = os.wait4(p.pid, 0)
        seconds = time.monotonic() - start
        if status:
            sys.exit(f"{' '.join(command)}: failed")
        out.seek(0)
        digest = hashlib.sha1()
        while block := out.read(1 << 20):
            digest.update(block)
        return seconds, usage.ru_maxrss, digest.hexdigest()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", default=os.path.join(os.path.dirname(HERE), "target", "release", "ferrovs"))
    p.add_argument("--flows", type=int, default=200000)
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()
    root = os.environ.get("FERROVS_REFERENCE") or os.path.expanduser("~/.cache/ferrovs/reference")
    programs = {"ours": kit.our_programs(a.bin).get("ovs-ofctl"), "reference": kit.reference_programs(root).get("ovs-ofctl")}
    for name, command in programs.items():
        if not command:
            print(f"openflow.py: no ovs-ofctl of {name}", file=sys.stderr)
            return 2
    wrong = False
    with tempfile.TemporaryDirectory() as folder:
        flows, capture = f"{folder}/flows", f"{folder}/replies"
        # In a process of its own: what this one holds would count as the memory of those that it starts.
        child = os.fork()
        if child == 0:
            r = random.Random(1)
            with open(flows, "w", encoding="utf-8") as f:
                f.writelines(flow(r, i) + "\n" for i in range(a.flows))
            replies(programs["reference"], flows, capture)
            os._exit(0)
        os.waitpid(child, 0)
        for what, args in (("parse-flows", ["-O", "OpenFlow13", "parse-flows", flows]), ("ofp-parse", ["ofp-parse", capture])):
            best = {}
            for _ in range(a.rounds):
                for name, command in programs.items():
                    seconds, memory, digest = once([*command, *args])
                    old = best.get(name, (seconds, memory, digest))
                    best[name] = (min(old[0], seconds), max(old[1], memory), digest)
            ours, theirs = best["ours"], best["reference"]
            ratio, same = theirs[0] / ours[0], ours[2] == theirs[2]
            print(f"{what:12} ours {ours[0]:.3f} s {ours[1] / 1024:.1f} MiB   reference {theirs[0]:.3f} s "
                  f"{theirs[1] / 1024:.1f} MiB   {ratio:.2f} times as fast, {ours[1] / theirs[1]:.2f} of the memory, "
                  f"{'same text' if same else 'DIFFERENT TEXT'}")
            wrong |= ratio < 3 or (what == "parse-flows" and ours[1] > theirs[1]) or not same
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
