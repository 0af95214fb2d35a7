#!/usr/bin/env python3
"""Feeds the same OpenFlow bytes and the same flow texts to two ovs-ofctl programs and compares what they print.

usage: openflow.py OURS REFERENCE [--count N] [--seed N] [--seeds FILE] [--texts FILE] [--show N]

OURS and REFERENCE are commands that run an ovs-ofctl. Messages are mutations of the seeds (one message a line, in
hexadecimal); texts are mutations of the flows in FILE, a quarter as many. Exit code 1 if anything differs that known.md
beside this script does not list.
"""
import argparse
import concurrent.futures
import os
import random
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH = 200


def mutate(rng, msg):
    """Changes a few bytes, keeping the header's length right so that messages can be read one after the other."""
    b = bytearray(msg)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        kind = rng.randrange(5)
        if len(b) <= 8:
            break
        at = rng.randrange(8, len(b))
        if kind == 0:
            b[at] = rng.randrange(256)
        elif kind == 1:
            b[at] ^= 1 << rng.randrange(8)
        elif kind == 2 and len(b) < 2000:
            b[at:at] = bytes(rng.choice([1, 2, 4, 8]))
        elif kind == 3:
            del b[at:at + rng.choice([1, 2, 4, 8])]
        else:
            b[at] = rng.choice([0, 1, 0x7f, 0x80, 0xff])
    if rng.randrange(20) == 0:
        b[1] = rng.randrange(40)
    if rng.randrange(20) == 0:
        b[0] = rng.randrange(1, 7)
    b[2:4] = len(b).to_bytes(2, "big")
    return bytes(b)


def mutate_text(rng, text, pool):
    parts = text.split(",")
    for _ in range(rng.choice([0, 1, 1, 2])):
        kind = rng.randrange(4)
        at = rng.randrange(len(parts))
        if kind == 0:
            parts.insert(at, rng.choice(pool))
        elif kind == 1 and len(parts) > 1:
            del parts[at]
        elif kind == 2 and parts[at]:
            s = list(parts[at])
            s[rng.randrange(len(s))] = rng.choice("0123456789abcdef/:=[]().->x")
            parts[at] = "".join(s)
        else:
            rng.shuffle(parts)
            parts.sort(key=lambda p: p.startswith("actions="))
    return ",".join(parts).replace("\n", "")


def run(command, args, stdin=None):
    r = subprocess.run(command.split() + args, capture_output=True, input=stdin, timeout=120)
    return r.stdout.decode("utf-8", "replace"), r.stderr.decode("utf-8", "replace"), r.returncode


def print_each(command, messages):
    """What `ofp-parse` prints for each message: messages are told apart by markers, echo requests with a known xid."""
    marker = bytes.fromhex("0102000800c0ffee")
    with tempfile.NamedTemporaryFile(delete=False) as f:
        for m in messages:
            f.write(m + marker)
    out, _, _ = run(command, ["ofp-parse", f.name])
    os.unlink(f.name)
    parts = re.split(r"(?m)^OFPT_ECHO_REQUEST \(xid=0xc0ffee\):.*\n(?:00000000 .*\n)?", out)
    return parts[:-1] if len(parts) == len(messages) + 1 else None


def essence(text):
    """What is compared: the text, or, of a message that cannot be read, its name and the error (a program may print the
    entries before the bad one or not)."""
    m = re.search(r"\*\*\*decode error: (\w+)\*\*\*", text)
    if m and "OFPT_ERROR" not in text and "BUNDLE_ADD" not in text:
        return re.split(r"[\n:(]", text)[0] + " " + m.group(1)
    return text


def known(kind):
    """The rows of known.md for this kind: where to search, and for what."""
    rows = []
    with open(os.path.join(HERE, "known.md"), encoding="utf-8") as f:
        for line in f:
            m = re.match(r"\| (\w+) \| (in|out) \| `(.*)` \| .* \|$", line)
            if m and m[1] == kind:
                rows.append((m[2], re.compile(m[3])))
    return rows


def is_known(rows, given, *printed):
    return any(r.search(t) for where, r in rows for t in ([given] if where == "in" else printed))


def compare_messages(a, rng, seeds, allowed):
    differences = listed = done = 0
    while done < a.count:
        batch = [mutate(rng, rng.choice(seeds)) for _ in range(min(BATCH, a.count - done))]
        done += len(batch)
        ours, theirs = print_each(a.ours, batch), print_each(a.reference, batch)
        if ours is None or theirs is None:
            # One of the programs lost count; look at the messages one by one.
            ours = [run(a.ours, ["ofp-print", m.hex()])[0] for m in batch]
            theirs = [run(a.reference, ["ofp-print", m.hex()])[0] for m in batch]
        for m, x, y in zip(batch, ours, theirs):
            raw = (x, y)
            x, y = essence(x), essence(y)
            if x != y and is_known(allowed, m.hex(), *raw):
                listed += 1
            elif x != y:
                differences += 1
                if differences <= a.show:
                    print(f"--- {m.hex()}\nours:  {x}theirs: {y}")
    return done, differences, listed


def compare_texts(a, rng, texts, allowed):
    pool = sorted({p for t in texts for p in t.split(",") if "=" in p or p.isalnum()})
    differences = listed = 0
    n = a.count // 4
    inputs = []
    for _ in range(n):
        inputs.append((mutate_text(rng, rng.choice(texts), pool), f"OpenFlow1{rng.randrange(6)}"))
    both = lambda i: [run(p, ["-O", i[1], "parse-flow", i[0]]) for p in (a.ours, a.reference)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool_of_threads:
        results = list(pool_of_threads.map(both, inputs))
    for (text, version), (x, y) in zip(inputs, results):
        strip = lambda e: "".join(l + "\n" for l in e.splitlines() if l.startswith("ovs-ofctl:"))
        if (x[0], strip(x[1]), x[2]) == (y[0], strip(y[1]), y[2]):
            continue
        if is_known(allowed, text, x[0] + x[1], y[0] + y[1]):
            listed += 1
        else:
            differences += 1
            if differences <= a.show:
                print(f"--- -O {version} {text}\nours:  {x[0]}{strip(x[1])}theirs: {y[0]}{strip(y[1])}")
    return n, differences, listed


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ours")
    p.add_argument("reference")
    p.add_argument("--count", type=int, default=20000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--seeds", default=os.path.join(HERE, "seeds.hex"))
    p.add_argument("--texts", default=os.path.join(HERE, "flows.txt"))
    p.add_argument("--show", type=int, default=20)
    a = p.parse_args()
    rng = random.Random(a.seed)
    with open(a.seeds) as f:
        seeds = [bytes.fromhex(l) for l in f if l.strip()]
    with open(a.texts) as f:
        texts = [l.rstrip("\n") for l in f if l.strip()]
    n, bad, listed = compare_messages(a, rng, seeds, known("message"))
    print(f"messages: {n} compared, {bad} differ, {listed} differ as known.md says")
    m, worse, listed = compare_texts(a, rng, texts, known("flow"))
    print(f"texts: {m} compared, {worse} differ, {listed} differ as known.md says")
    return 1 if bad or worse else 0


if __name__ == "__main__":
    sys.exit(main())
