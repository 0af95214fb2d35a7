#!/usr/bin/env python3
"""Gives the same random flow tables and packets to two switches and compares what ofproto/trace says of them.

usage: trace.py [--bin PATH] [--rounds N] [--packets N] [--seed N] [--show N] [--minimise N]

Each side is a database and a switch with the dummy datapath, started once; a round is one table with groups and meters, and some
packets. Differences are grouped: datapath actions and megaflows are behaviour, the rest is words. One example of each group is
shown, with the flows that matter (--minimise). A round has a seed of its own, so `--rounds 1 --seed N` repeats one. Exit code 1 if
anything differs that known.md beside this script does not list.
"""
import argparse
import collections
import difflib
import itertools
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import run  # noqa: E402
from tables import Tables  # noqa: E402

PARTS = ("Datapath actions", "Megaflow")


class Control:
    """One control connection to a daemon."""

    def __init__(self, path):
        self.path = path
        self.s = None

    def call(self, method, *args):
        if self.s is None:
            self.s = socket.socket(socket.AF_UNIX)
            self.s.settimeout(30)
            self.s.connect(self.path)
        self.s.sendall(json.dumps({"method": method, "params": list(args), "id": 1}).encode())
        data = b""
        while True:
            part = self.s.recv(1 << 20)
            if not part:
                raise OSError(f"{self.path} closed the connection at {method} {' '.join(args)}")
            data += part
            try:
                reply = json.loads(data)
            except ValueError:
                continue
            return reply["result"] if reply.get("error") is None else "error: " + str(reply["error"])


class Switch:
    """A database and a switch in a folder of their own. `tools` are one side's for both switches."""

    def __init__(self, programs, tools, schema, where):
        self.programs, self.tools, self.dir = programs, tools, where
        self.env = {**os.environ, "OVS_RUNDIR": where, "OVS_LOGDIR": where, "OVS_DBDIR": where}
        self.must(programs["ovsdb-tool"], "create", f"{where}/conf.db", schema)
        self.daemons = [self.start("ovsdb-server", f"--remote=punix:{where}/db.sock", f"{where}/conf.db")]
        self.must(tools["ovs-vsctl"], "--no-wait", "init")
        self.daemons.append(self.start("ovs-vswitchd", "--enable-dummy=override", "--disable-system", f"unix:{where}/db.sock"))
        self.control = Control(f"{where}/ovs-vswitchd.{self.daemons[1]}.ctl")

    def start(self, name, *args):
        self.must(self.programs[name], "--detach", f"--pidfile={self.dir}/{name}.pid", f"--log-file={self.dir}/{name}.log", "-vconsole:off", *args)
        with open(f"{self.dir}/{name}.pid", encoding="ascii") as f:
            return int(f.read())

    def run(self, program, *args, stdin=None):
        r = subprocess.run([*program, *args], env=self.env, capture_output=True, text=True, input=stdin, timeout=60)
        return r.returncode, r.stdout, r.stderr

    def must(self, program, *args):
        code, out, err = self.run(program, *args)
        if code:
            raise OSError(f"{program[-1]} {' '.join(args)}: {err or out}")
        return out

    def ofctl(self, *args, stdin=None):
        return self.run(self.tools["ovs-ofctl"], "-O", "OpenFlow15", *args, stdin=stdin)

    def trace(self, *args):
        return self.control.call("ofproto/trace", *args)

    def alive(self):
        return os.path.exists(f"/proc/{self.daemons[1]}")

    def stop(self):
        for pid in reversed(self.daemons):
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                pass


def configure(switch):
    """Two bridges joined by patch ports; ports of each VLAN mode; a mirror."""
    vsctl = lambda *words: switch.must(switch.tools["ovs-vsctl"], *words)
    for i, bridge in enumerate(("br0", "br1")):
        vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=dummy", "fail_mode=secure", f"other-config:datapath-id={i + 1:016x}",
              f"other-config:hwaddr=aa:55:aa:55:00:0{i}")
    modes = {3: "tag=10", 4: "trunks=10,20", 5: "tag=20 vlan_mode=native-untagged trunks=10,20"}
    for n in range(1, 6):
        vsctl("add-port", "br0", f"p{n}", *modes.get(n, "").split(), "--", "set", "interface", f"p{n}", "type=dummy", f"ofport_request={n}")
    vsctl("add-port", "br0", "pa", "--", "set", "interface", "pa", "type=patch", "options:peer=pb", "ofport_request=6")
    vsctl("add-port", "br1", "pb", "--", "set", "interface", "pb", "type=patch", "options:peer=pa", "ofport_request=1")
    vsctl("add-port", "br1", "q2", "--", "set", "interface", "q2", "type=dummy", "ofport_request=2")
    for bridge, flow in (("br1", "priority=1,actions=normal"), ("br1", "priority=9,ip,nw_dst=10.0.0.2,actions=dec_ttl,2"), ("br1", "priority=9,arp,actions=in_port")):
        switch.must(switch.tools["ovs-ofctl"], "add-flow", bridge, flow)
    for meter in (1, 2):
        code, _, err = switch.ofctl("add-meter", "br0", f"meter={meter},pktps,bands=type=drop,rate={meter * 1000}")
        if code:
            raise OSError(err)


def normal(text):
    """The text without numbers that need not be equal, and with the ports of ALL and FLOOD, whose order is nobody's promise, sorted."""
    if re.search(r"\b(ALL|FLOOD)\b", text):
        text = re.sub(r"\d+(?:,\d+)+(?=[,)\n]|$)", lambda m: ",".join(sorted(m[0].split(","), key=int)), text)
    text = re.sub(r"recirc_id=\d+", "recirc_id=<id>", text) if "controller(" in text else text
    text = re.sub(r"recirc_id\(0x[0-9a-f]+\)", "recirc_id(<id>)", text)
    text = re.sub(r"recirc\(0x[0-9a-f]+\)", "recirc(<id>)", text)
    return re.sub(r"recirc_id=0x[0-9a-f]+", "recirc_id=<id>", text).rstrip("\n")


def split_fields(line):
    """The fields of a flow, or the actions of a list: split at commas that stand in no bracket."""
    out, depth, at = [], 0, 0
    for i, c in enumerate(line):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            out.append(line[at:i])
            at = i + 1
    return [*out, line[at:]]


def shape(text):
    """Words without their values, to put like differences together."""
    text = re.sub(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", "M", text.strip())
    text = re.sub(r"\b[0-9a-f]*:[0-9a-f:]+(/[0-9a-f:]+)?\b|\d+\.\d+\.\d+\.\d+(/[\d.]+)?", "A", text)
    return re.sub(r"0x[0-9a-f]+|\d+", "N", text)[:160]


def lines_of(text, part):
    return [l.strip()[len(part) + 2:] for l in text.splitlines() if l.strip().startswith(part + ":")]


def first_difference(a, b, show):
    i = next((i for i, (p, q) in enumerate(zip(a, b)) if p != q), min(len(a), len(b)))
    return " but ours ".join(show(l[i]) if i < len(l) else "(end)" for l in (a, b))


def megaflow_kinds(theirs, ours):
    """Which fields are in one megaflow only, or there with another value or mask."""
    theirs, ours = (dict(f.partition("=")[::2] for f in split_fields(m)) for m in (theirs, ours))
    out = {f"Megaflow: ours lacks {f}" for f in theirs.keys() - ours.keys()} | {f"Megaflow: ours has also {f}" for f in ours.keys() - theirs.keys()}
    return out | {f"Megaflow: another value or mask of {f}" for f in theirs.keys() & ours.keys() if theirs[f] != ours[f]}


def kinds_of(theirs, ours):
    """What sorts of difference there are: short texts that are equal for like ones."""
    out = set()
    for part in PARTS:
        x, y = lines_of(theirs, part), lines_of(ours, part)
        if len(x) != len(y):
            out.add(f"{part}: {len(x)} times but ours {len(y)} times")
        for a, b in zip(x, y):
            if a == b:
                continue
            if part == "Megaflow":
                out |= megaflow_kinds(a, b)
            else:
                out.add(f"{part}: " + first_difference(split_fields(a), split_fields(b), shape))
            break
    words = [[l for l in t.splitlines() if not l.strip().startswith(PARTS)] for t in (theirs, ours)]
    if words[0] != words[1]:
        rule = lambda l: shape(re.sub(r"^( *\d+\.).*priority.*", r"\1 RULE", l))
        out.add("text: " + first_difference(*words, rule))
    return out


def known():
    rows = []
    with open(os.path.join(HERE, "known.md"), encoding="utf-8") as f:
        for line in f:
            m = re.match(r"\| trace \| (in|out) \| `(.*)` \| .* \|$", line)
            if m:
                rows.append((m[1], re.compile(m[2])))
    return rows


class Pair:
    """The two switches; `make` starts a side anew."""

    def __init__(self, make):
        self.make = make
        self.sides = []
        for side in (0, 1):
            self.sides.append(make(side))
        self.refused = collections.defaultdict(list)

    def revive(self):
        """After a switch ended: which side's, and both again."""
        died = next((("the reference", "ours")[i] for i, s in enumerate(self.sides) if not s.alive()), "nobody's")
        for i, s in enumerate(self.sides):
            s.stop()
            self.sides[i] = self.make(i)
        return died

    def load(self, groups, flows):
        """Gives both the groups and flows that the reference takes; which those are."""
        for s in self.sides:
            s.ofctl("del-flows", "br0")
            s.ofctl("del-groups", "br0")
            s.control.call("fdb/flush", "br0")
        taken = []
        for one, many, items in (("add-group", "add-groups", groups), ("add-flow", "add-flows", flows)):
            code, _, _ = self.sides[0].ofctl("--bundle", many, "br0", "-", stdin="\n".join(items))
            accepted = items if code == 0 else [i for i in items if self.sides[0].ofctl(one, "br0", i)[0] == 0]
            if self.sides[1].ofctl("--bundle", many, "br0", "-", stdin="\n".join(accepted))[0]:
                for i in list(accepted):
                    code, _, err = self.sides[1].ofctl(one, "br0", i)
                    if code:
                        self.refused[(re.search(r"OFP[A-Z]+_\w+", err) or [err])[0]].append(i)
                        accepted.remove(i)
                        self.sides[0].ofctl("--strict", "del-flows", "br0", re.sub(r",?(cookie=\w+|actions=.*)", "", i))
            taken.append(accepted)
        return taken

    def trace(self, *args):
        return tuple(normal(s.trace(*args)) for s in self.sides)

    def minimise(self, groups, flows, args, kind):
        """Leaves out flows as long as the difference stays of its kind."""
        def differs(g, f):
            self.load(g, f)
            a, b = self.trace(*args)
            return kind in kinds_of(a, b)
        if not differs(groups, flows):
            return None
        step = max(len(flows) // 2, 1)
        while True:
            at = 0
            while at < len(flows):
                fewer = flows[:at] + flows[at + step:]
                if differs(groups, fewer):
                    flows = fewer
                else:
                    at += step
            if step == 1:
                break
            step //= 2
        names = lambda texts: {n for t in texts for n in re.findall(r"group:(\d+)", t)}
        wanted = names(flows)
        while True:
            more = wanted | names(g for g in groups if g.split(",")[0][9:] in wanted)
            if more == wanted:
                break
            wanted = more
        groups = [g for g in groups if g.split(",")[0][9:] in wanted]
        differs(groups, flows)
        return groups, flows, self.trace(*args)


def compare(pair, a):
    allowed = known()
    kinds, examples = collections.Counter(), {}
    done = listed = 0
    differ = [0, 0]
    for r in range(a.rounds):
        tables = Tables(random.Random(a.seed + r))
        print(f"seed {a.seed + r}", end="\r", file=sys.stderr, flush=True)
        groups, flows = pair.load(tables.groups(), tables.flows())
        for _ in range(a.packets):
            args = ["br0", tables.packet()] + (["-generate"] if tables.chance(0.1) else [])
            try:
                theirs, ours = pair.trace(*args)
            except OSError as error:
                died = pair.revive()
                print(f"=== the switch of {died} ended (--seed {a.seed + r}): {error}")
                differ[1] += died == "ours"
                break
            done += 1
            if theirs == ours:
                continue
            if any(p.search(t) for w, p in allowed for t in ([args[1]] if w == "in" else [theirs, ours])):
                listed += 1
                continue
            found = kinds_of(theirs, ours)
            differ[any(not k.startswith("text") for k in found)] += 1
            for kind in found:
                kinds[kind] += 1
                size = len(theirs) + 20 * len(found) * len(theirs)
                if kind not in examples or size < examples[kind][0]:
                    examples[kind] = (size, a.seed + r, groups, flows, args, theirs, ours)
    return done, listed, differ, kinds, examples


def report(pair, a, done, listed, differ, kinds, examples):
    for kind, flows in pair.refused.items():
        print(f"=== {len(flows)} × refused by ours only, {kind}: {min(flows, key=len)}")
    order = sorted(kinds.items(), key=lambda k: (k[0].startswith("text"), -k[1]))
    for i, (kind, n) in enumerate(order[:a.show]):
        _, seed, groups, flows, args, theirs, ours = examples[kind]
        print(f"\n=== {n} × {kind}   (--seed {seed} --rounds 1)")
        small = pair.minimise(groups, flows, args, kind) if i < a.minimise else None
        if small:
            groups, flows, (theirs, ours) = small
            print("\n".join([*groups, *flows]))
        print(f"ofproto/trace {' '.join(args)}")
        lines = difflib.unified_diff(theirs.splitlines(), ours.splitlines(), "reference", "ours", lineterm="", n=9)
        print("\n".join(list(lines)[2:40]))
    print(f"\n{done} traces compared: {differ[1]} differ in datapath actions or megaflow, {differ[0]} in words only, "
          f"{listed} as known.md says")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bin")
    p.add_argument("--ref-bin")
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--packets", type=int, default=40)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--show", type=int, default=30)
    p.add_argument("--minimise", type=int, default=0)
    p.add_argument("--only", choices=["ref"])
    a = p.parse_args()
    root = os.environ.get("FERROVS_REFERENCE") or os.path.expanduser("~/.cache/ferrovs/reference")
    tools = run.reference_programs(root)
    ours = run.our_programs(a.bin or run.default_bin())
    if not tools or not ours:
        print("trace.py: the reference or our programs are not there", file=sys.stderr)
        return 77
    work = tempfile.mkdtemp(prefix="ferrovs-trace-")
    schema = f"{root}/usr/share/openvswitch/vswitch.ovsschema"
    started = itertools.count()

    def make(side):
        where = f"{work}/{next(started)}"
        os.mkdir(where)
        switch = Switch(ours if side and not a.only else tools, tools, schema, where)
        configure(switch)
        return switch

    pair = None
    try:
        pair = Pair(make)
        result = compare(pair, a)
        report(pair, a, *result)
        return 1 if any(result[2]) else 0
    except OSError as error:
        print(f"trace.py: {error}; logs are kept in {work}", file=sys.stderr)
        work = None
        return 1
    finally:
        for s in pair.sides if pair else []:
            s.stop()
        if work:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
