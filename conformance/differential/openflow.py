#!/usr/bin/env python3
"""Feeds the same input to two ovs-ofctl programs, one command after the other, and compares what they print.

usage: openflow.py [OURS REFERENCE] [--count N] [--seed N] [--kinds KIND,…] [--seeds FILE] [--texts FILE] [--known FILE] [--show N]

OURS and REFERENCE are commands that run an ovs-ofctl; without them, those that conformance/run.py takes. N inputs in all: messages are mutations of the seeds (one message a
line, in hexadecimal); flows, groups, actions, instructions, matches, entries and packets are made by offline.py. Exit code
1 if anything differs that known.md beside this script does not list.
"""
import argparse
import concurrent.futures
import os
import random
import re
import subprocess
import sys
import tempfile

import offline

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


def run(command, args, stdin=b""):
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
    m = re.search(r"\*\*\*decode error: ([\w<>]+)\*\*\*", text)
    if m and "OFPT_ERROR" not in text and "BUNDLE_ADD" not in text:
        return re.split(r"[\n:(]", text)[0] + " " + m.group(1)
    return text


def known(kind, path=os.path.join(HERE, "known.md")):
    """The rows of known.md for this kind: where to search, and for what."""
    rows = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            m = re.match(r"\| (\w+) \| (in|out|both|rare) \| `(.*)` \| .* \|$", line)
            if m and m[1] == kind:
                rows.append((m[2], re.compile(m[3], re.DOTALL)))
    return rows


def is_known(rows, given, ours, theirs):
    """0: not listed, 1: listed, 2: listed as rare."""
    pair = f"ours: {ours} theirs: {theirs}"
    texts = {"in": [given], "out": [ours, theirs], "both": [pair], "rare": [pair]}
    found = [where for where, r in rows for t in texts[where] if r.search(t)]
    return 0 if not found else 1 if set(found) - {"rare"} else 2


def sorted_out(found, total, kind):
    """How many of the differences count, and how many are listed: rare ones count if they are more than 3 in 1000."""
    rare = found.count(2)
    if rare > max(3, total * 3 // 1000):
        print(f"{kind}: {rare} of {total} differ in what known.md lists as rare")
        return found.count(0) + rare, found.count(1)
    return found.count(0), found.count(1) + rare


def compare_messages(a, rng, seeds, allowed):
    found, done = [], 0
    while done < a.count:
        batch = [mutate(rng, rng.choice(seeds)) for _ in range(min(BATCH, a.count - done))]
        done += len(batch)
        ours, theirs = print_each(a.ours, batch), print_each(a.reference, batch)
        if ours is None or theirs is None:
            # One of the programs lost count; look at the messages one by one.
            ours = [run(a.ours, ["ofp-print", m.hex()])[0] for m in batch]
            theirs = [run(a.reference, ["ofp-print", m.hex()])[0] for m in batch]
        for m, x, y in zip(batch, ours, theirs):
            x, y = essence(x), essence(y)
            if x == y:
                continue
            found.append(is_known(allowed, m.hex(), x, y))
            if not found[-1] and found.count(0) <= a.show:
                print(f"--- {m.hex()}\nours:  {x}theirs: {y}")
    return done, *sorted_out(found, done, "message")


def said(text):
    """Standard error without log messages, which differ in number, and the reference's own stack."""
    return "".join(l + "\n" for l in text.splitlines() if l.startswith(("ovs-ofctl: ", "specified", "extracted")))


def run_one(command, args, data):
    """Standard output, standard error, exit code; `@` among the arguments stands for a file with the data."""
    if "@" not in args:
        return run(command, args, data)
    with tempfile.NamedTemporaryFile(delete=False) as f:
        f.write(data)
    out = run(command, [f.name if a == "@" else a for a in args])
    os.unlink(f.name)
    return out[0], out[1].replace(f.name, "@"), out[2]


def outputs(command, args, data, inputs, separator):
    """What is printed for each input, or `None` if that cannot be told apart."""
    out, err, code = run_one(command, args, data)
    if len(inputs) == 1:
        return [f"{out}{said(err)}exit code {code}\n"]
    parts = out.split(separator)
    return parts[:-1] if code == 0 and len(parts) == len(inputs) + 1 and not parts[-1] else None


def alone(kind, args, text):
    """The same input in a run of its own."""
    data = offline.pcap([bytes.fromhex(text)]) if kind == "capture" else text.encode() + b"\n"
    return args, data, [text]


def compare(a, kind, cases, separator, allowed):
    """Inputs, how many differ, how many of them as known.md says."""
    def both(case):
        args, data, inputs = case
        data = data if isinstance(data, bytes) else data.encode()
        pair = [outputs(p, args, data, inputs, separator) for p in (a.ours, a.reference)]
        if pair[0] is None or pair[1] is None:
            return [r for t in inputs for r in both(alone(kind, args, t))]
        return [(args, *r) for r in zip(inputs, *pair)]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        results = [r for rs in threads.map(both, cases) for r in rs]
    found = []
    for args, given, x, y in results:
        if x == y:
            continue
        found.append(is_known(allowed, " ".join(args) + " " + given, x, y))
        if not found[-1] and found.count(0) <= a.show:
            print(f"--- {' '.join(args)} <<< {given}\nours:   {x.strip()}\ntheirs: {y.strip()}")
    return len(results), *sorted_out(found, len(results), kind)


def packets_of(command):
    """Packets that the program makes of flows."""
    found = []
    for text in offline.COMPOSED:
        out = run(command, ["compose-packet", text])[0]
        found.append(bytes.fromhex("".join(l[10:].replace("-", " ") for l in out.splitlines())))
    return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ours", nargs="?")
    p.add_argument("reference", nargs="?")
    p.add_argument("--count", type=int, default=20000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--kinds", default="")
    p.add_argument("--seeds", default=os.path.join(HERE, "seeds.hex"))
    p.add_argument("--texts", default=os.path.join(HERE, "flows.txt"))
    p.add_argument("--known", default=os.path.join(HERE, "known.md"))
    p.add_argument("--show", type=int, default=20)
    a = p.parse_args()
    if not a.reference:
        sys.path.insert(0, os.path.dirname(HERE))
        import run as conformance
        root = os.environ.get("FERROVS_REFERENCE") or os.path.expanduser("~/.cache/ferrovs/reference")
        theirs, ours = conformance.reference_programs(root), conformance.our_programs(conformance.default_bin())
        if "ovs-ofctl" not in theirs or not ours:
            print("openflow.py: the reference or our programs are not there", file=sys.stderr)
            return 77
        a.ours, a.reference = a.ours or " ".join(ours["ovs-ofctl"]), " ".join(theirs["ovs-ofctl"])
    rng = random.Random(a.seed)
    with open(a.seeds) as f:
        seeds = [bytes.fromhex(l) for l in f if l.strip()]
    with open(a.texts) as f:
        texts = [l.rstrip("\n") for l in f if l.strip()]
    with open(os.path.join(HERE, "fields.txt")) as f:
        fields = [l for l in f if l.strip() and not l.startswith("#")]
    material = offline.Material(seeds, texts, fields, packets_of(a.ours))
    wanted = a.kinds.split(",") if a.kinds else ["message"] + [k[0] for k in offline.KINDS]
    total = bad = 0
    total_count = a.count
    if "message" in wanted:
        a.count = total_count * (100 - sum(k[1] for k in offline.KINDS)) // 100
        n, worse, listed = compare_messages(a, rng, seeds, known("message", a.known))
        print(f"message: {n} compared, {worse} differ, {listed} differ as known.md says", flush=True)
        total, bad = total + n, bad + worse
    for kind, share, make, separator in offline.KINDS:
        if kind in wanted:
            cases = make(rng, max(total_count * share // 100, 1), material)
            n, worse, listed = compare(a, kind, cases, separator, known(kind, a.known))
            print(f"{kind}: {n} compared, {worse} differ, {listed} differ as known.md says", flush=True)
            total, bad = total + n, bad + worse
    print(f"seed {a.seed}: {total} inputs, {bad} differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
