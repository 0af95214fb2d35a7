#!/usr/bin/env python3
"""How the datapath core scales with flows and with masks: runs core-bench over made-up captures, prints a table, draws a plot.

    scaling.py [--bench PATH] [--seconds N] [--svg FILE] [--json FILE]

PATH is the example `core-bench`, release build: cargo build --release -p ferrovs-dp-user --example core-bench.
"""
import argparse
import json
import math
import os
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FLOWS = (1, 10, 100, 1000, 10_000, 100_000, 300_000, 1_000_000)
MASKS = (1, 4, 16, 64, 128, 256, 1024)


def checksum(header):
    x = sum(struct.unpack("!10H", header))
    while x >> 16:
        x = (x & 0xFFFF) + (x >> 16)
    return ~x & 0xFFFF


def packet(src, dst, sport, dport):
    h = struct.pack("!BBHHHBBHII", 0x45, 0, 46, 0, 0, 64, 17, 0, src, dst)
    h = h[:10] + struct.pack("!H", checksum(h)) + h[12:]
    ports = struct.pack("!HHHH", sport, dport, 26, 0)
    return bytes.fromhex("0200000000030200000000010800") + h + ports + bytes(18)


def capture(path, packets):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for p in packets:
            f.write(struct.pack("<IIII", 0, 0, len(p), len(p)) + p)


def flows_case(n, where):
    """So many connections in one megaflow."""
    capture(where + "/pcap", (packet(0x0A010000 + i // 50000, 0x0A020002, 1024 + i % 50000, 20000) for i in range(n)))
    with open(where + "/flows", "w", encoding="utf-8") as f:
        f.write("priority=10,udp,tp_dst=20000,actions=in_port\n")


def masks_case(n, where):
    """Packets that miss each of three rules at another bit, so that each combination makes a megaflow with a mask of its own."""
    def one(i):
        a, b, c = i % 32, i // 32 % 16, i // 512 % 16
        return packet(0x0A000001 ^ 1 << (31 - a), 0x0A100000 + i, 12345 ^ 1 << (15 - c), 80 ^ 1 << (15 - b))
    capture(where + "/pcap", (one(i) for i in range(n)))
    with open(where + "/flows", "w", encoding="utf-8") as f:
        f.write("priority=1,in_port=1,actions=in_port\npriority=30,udp,nw_src=10.0.0.1,actions=drop\n"
                "priority=20,udp,tp_dst=80,actions=drop\npriority=10,udp,tp_src=12345,actions=drop\n")


def run(bench, case, n, seconds, cache):
    with tempfile.TemporaryDirectory() as where:
        case(n, where)
        out = subprocess.run([bench, where + "/pcap", where + "/flows", str(seconds), str(cache)],
                             capture_output=True, text=True, check=True, timeout=120)
    return json.loads(out.stdout)


def curve(points, box, top, color):
    """Points of a line: a logarithmic axis to the right, a linear one up."""
    x0, y0, w, h = box
    last = math.log10(max(p[0] for p in points)) or 1
    xy = [(x0 + w * math.log10(n) / last, y0 + h - h * v / top) for n, v in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in xy)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in xy)
    return f'<polyline fill="none" stroke="{color}" stroke-width="2" points="{line}"/>{dots}'


def panel(title, lines, x0):
    box = (x0 + 60, 40, 320, 240)
    top = max(v for _, points, _ in lines for _, v in points) * 1.1
    out = [f'<text x="{x0 + 220}" y="24" text-anchor="middle" font-weight="bold">{title}</text>',
           f'<rect x="{box[0]}" y="{box[1]}" width="{box[2]}" height="{box[3]}" fill="none" stroke="#888"/>']
    for i in range(5):
        y = box[1] + box[3] - box[3] * i / 4
        out.append(f'<text x="{box[0] - 6}" y="{y + 4:.1f}" text-anchor="end">{top * i / 4:.1f}</text>')
    first = lines[0][1]
    last = math.log10(first[-1][0]) or 1
    for n, _ in first:
        out.append(f'<text x="{box[0] + box[2] * math.log10(n) / last:.1f}" y="{box[1] + box[3] + 16}" '
                   f'text-anchor="middle">{n if n < 1000 else f"{n // 1000}k" if n < 10**6 else f"{n // 10**6}M"}</text>')
    for i, (name, points, color) in enumerate(lines):
        out.append(curve(points, box, top, color))
        out.append(f'<text x="{box[0]}" y="{box[1] + box[3] + 36 + 16 * i}" fill="{color}">{name}</text>')
    return "".join(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bench", default=f"{ROOT}/target/release/examples/core-bench")
    p.add_argument("--seconds", type=float, default=1)
    p.add_argument("--svg")
    p.add_argument("--json")
    o = p.parse_args()
    if not os.access(o.bench, os.X_OK):
        sys.exit(f"scaling.py: {o.bench}: no such program; see --help")
    results = {}
    for name, case, counts in (("flows", flows_case, FLOWS), ("masks", masks_case, MASKS)):
        for cache in (1, 0):
            for n in counts:
                r = run(o.bench, case, n, o.seconds, cache)
                results.setdefault(name + ("" if cache else ", no cache"), []).append((n, r))
                print(f"{name:6} {n:8} cache {cache}: {r['pps'] / 1e6:6.2f} Mpkt/s {r['cycles']:7.1f} cycles/pkt "
                      f"{r['flows']} megaflows {r.get('stages', '')}", flush=True)
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump(results, f, indent=1)
    if o.svg:
        def points(name):
            return [(n, r["pps"] / 1e6) for n, r in results[name]]
        body = "".join(panel(f"Mpkt/s over {what}", [(what, points(what), "#06c"),
                                                     (what + ", no cache", points(what + ", no cache"), "#c60")], x)
                       for what, x in (("flows", 0), ("masks", 420)))
        with open(o.svg, "w", encoding="utf-8") as f:
            f.write('<svg xmlns="http://www.w3.org/2000/svg" width="840" height="350" font-family="sans-serif" '
                    f'font-size="11"><rect width="840" height="350" fill="#fff"/>{body}</svg>\n')


if __name__ == "__main__":
    main()
