#!/usr/bin/env python3
"""Faults that the database server must survive: kill -9 under load, a full disk, damaged files, many and stalled clients,
peers that vanish, messages without an end, huge strings, compaction beside transactions.

    soak.py [--bin PATH] [--kills N] [--flips N] [--clients N] [--rows N] [--seed N] [--only NAME,…]

PATH is the ferrovs executable or a folder of programs by their classic names. Prints one line per test and the counts;
exits 1 if a test failed. `disk` needs root (it mounts a small file system in a mount namespace of its own)."""
import argparse
import json
import os
import random
import resource
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run as kit  # noqa: E402

SCHEMA = {"name": "Soak", "version": "1.0.0", "tables": {"Item": {
    "isRoot": True, "indexes": [["name"]],
    "columns": {"name": {"type": "string"}, "value": {"type": "string"}, "number": {"type": "integer"}}}}}


class Failure(Exception):
    """The test failed; the text says how."""


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Client:
    """JSON-RPC over the server's Unix socket, answers echo requests."""

    def __init__(self, path, timeout=20.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        end = time.monotonic() + timeout
        while True:
            try:
                self.socket.connect(path)
                break
            except BlockingIOError:  # the listener's queue is full for the moment
                if time.monotonic() > end:
                    raise
                time.sleep(0.001)
        self.text, self.number = "", 0

    def send(self, method, *params):
        self.number += 1
        self.socket.sendall(json.dumps({"id": self.number, "method": method, "params": list(params)}).encode())
        return self.number

    def read(self):
        while True:
            try:
                value, at = json.JSONDecoder().raw_decode(self.text)
            except ValueError:
                data = self.socket.recv(1 << 20)
                if not data:
                    raise ConnectionError("the server closed the connection") from None
                self.text += data.decode()
                continue
            self.text = self.text[at:]
            if value.get("method") == "echo":
                self.socket.sendall(json.dumps({"id": value["id"], "result": value["params"], "error": None}).encode())
                continue
            return value

    def ask(self, method, *params):
        number = self.send(method, *params)
        while True:
            got = self.read()
            if got.get("id") == number:
                return got

    def transact(self, *operations):
        return self.ask("transact", "Soak", *operations)

    def close(self):
        self.socket.close()


def insert(name, value="", number=0):
    return {"op": "insert", "table": "Item", "row": {"name": name, "value": value, "number": number}}


DURABLE = {"op": "commit", "durable": True}


class Server:
    def __init__(self, programs, folder):
        self.programs, self.dir = programs, folder
        self.db, self.sock, self.log = f"{folder}/s.db", f"{folder}/s.sock", f"{folder}/server.log"
        self.process = None

    def run(self, name, *args, check=True):
        done = subprocess.run([*self.programs[name], *args], capture_output=True, text=True, env=self.env(), timeout=60)
        if check and done.returncode:
            raise Failure(f"{name} {' '.join(args)}: {done.stderr.strip()} (exit {done.returncode})")
        return done

    def env(self):
        return dict(os.environ, OVS_RUNDIR=self.dir, OVS_DBDIR=self.dir, OVS_LOGDIR=self.dir)

    def create(self):
        with open(f"{self.dir}/s.ovsschema", "w") as f:
            json.dump(SCHEMA, f)
        self.run("ovsdb-tool", "create", self.db, f"{self.dir}/s.ovsschema")

    def start(self):
        """Starts the server and returns a client, or raises Failure if it does not serve within 20 s."""
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [*self.programs["ovsdb-server"], f"--remote=punix:{self.sock}", f"--unixctl={self.dir}/s.ctl", self.db],
                stdout=log, stderr=log, env=self.env(), cwd=self.dir)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failure(f"the server ended with {self.process.returncode}: {self.last_log()}")
            try:
                return Client(self.sock)
            except OSError:
                time.sleep(0.005)
        raise Failure(f"the server does not serve: {self.last_log()}")

    def last_log(self):
        with open(self.log) as f:
            return " / ".join(f.read().splitlines()[-3:])

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def memory(self):
        """Resident memory in MiB."""
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024

    def names(self, client):
        got = client.transact({"op": "select", "table": "Item", "where": [], "columns": ["name"]})
        return [r["name"] for r in got["result"][0]["rows"]]


def kills(server, args, rng):
    """kill -9 under load: what was acknowledged as durable is there, once; the file always opens."""
    server.create()
    acknowledged, sent, client = set(), 0, server.start()
    for _ in range(args.kills):
        end = time.monotonic() + rng.uniform(0.005, 0.12)
        timer = threading.Timer(end - time.monotonic(), server.process.kill)
        timer.start()
        waiting = {}
        try:
            while True:
                while len(waiting) < 8:
                    name = f"row-{sent}"
                    sent += 1
                    waiting[client.send("transact", "Soak", insert(name, "x" * rng.randrange(300)), DURABLE)] = name
                got = client.read()
                name = waiting.pop(got["id"])
                if got.get("error") or any(r and "error" in r for r in got["result"]):
                    raise Failure(f"a good transaction failed: {got}")
                acknowledged.add(name)
        except OSError:
            pass
        timer.join()
        client.close()
        server.kill()
        client = server.start()
    names = server.names(client)
    client.close()
    if len(names) != len(set(names)):
        raise Failure("rows are there twice")
    lost = acknowledged - set(names)
    if lost:
        raise Failure(f"{len(lost)} of {len(acknowledged)} acknowledged rows are lost, such as {sorted(lost)[:3]}")
    return f"{args.kills} kills, {len(acknowledged)} acknowledged, {len(names)} there"


def disk(server, args, rng):
    """A full disk: transactions fail with an error, service goes on, and works again when there is room."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    small = f"{server.dir}/small"
    os.mkdir(small)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small]).returncode:
        raise Skip("cannot mount a small file system here")
    try:
        server.db = f"{small}/s.db"
        server.create()
        client = server.start()
        kept, failed = [], 0
        for n in range(400):
            got = client.transact(insert(f"row-{n}", "x" * 8000), DURABLE)
            if got.get("error") or any(r and "error" in r for r in got["result"]):
                failed += 1
                if failed == 5:
                    break
            else:
                kept.append(f"row-{n}")
        if failed < 5:
            raise Failure("a full disk is not noticed")
        if not set(kept) <= set(server.names(client)):
            raise Failure("rows are gone while the disk is full")
        if subprocess.run(["mount", "-o", "remount,size=8m", small]).returncode:
            raise Skip("cannot grow the file system")
        got = client.transact(insert("after"), DURABLE)
        if got.get("error") or any(r and "error" in r for r in got["result"]):
            raise Failure(f"still failing although there is room: {got}")
        client.close()
        server.kill()
        client = server.start()
        there = set(server.names(client))
        client.close()
        if not {*kept, "after"} <= there:
            raise Failure(f"lost after a restart: {sorted({*kept, 'after'} - there)[:3]}")
        return f"{len(kept)} rows kept, {failed} refused, then one more"
    finally:
        server.kill()
        subprocess.run(["umount", small])


def flips(server, args, rng):
    """Damaged files: refused or repaired at the tail, never different rows, never a crash."""
    server.create()
    client = server.start()
    for n in range(60):
        client.transact(insert(f"row-{n}", str(n) * 10, n), DURABLE)
    client.close()
    server.kill()
    with open(server.db, "rb") as f:
        good = f.read()
    refused = repaired = 0
    for _ in range(args.flips):
        data = bytearray(good)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)):]
        else:
            for _ in range(rng.choice((1, 1, 1, 3))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with open(server.db, "wb") as f:
            f.write(data)
        lock = f"{server.dir}/.s.db.~lock~"
        if os.path.exists(lock):
            os.unlink(lock)
        try:
            client = server.start()
        except Failure as e:
            if "ended with 1:" not in str(e):
                raise
            refused += 1
            continue
        got = client.transact({"op": "select", "table": "Item", "where": [], "columns": ["name", "value", "number"]})
        client.close()
        server.kill()
        rows = got["result"][0]["rows"]
        for r in rows:
            n = int(r["name"].removeprefix("row-"))
            if r["value"] != str(n) * 10 or r["number"] != n:
                raise Failure(f"a damaged row is served: {r}")
        if {r["number"] for r in rows} != set(range(len(rows))):
            raise Failure(f"{len(rows)} rows are served, but not the first {len(rows)}")
        repaired += 1
    return f"{args.flips} damaged files: {refused} refused, {repaired} opened with a prefix of the rows"


def clients(server, args, rng):
    """Many clients connect, ask and disconnect; half of them leave in the middle of a request."""
    server.create()
    steady = server.start()
    before = server.memory()
    for n in range(args.clients):
        try:
            c = Client(server.sock)
            if n % 2:
                c.socket.sendall(b'{"id": 1, "method": "transact", "par')
            else:
                if c.ask("list_dbs").get("error"):
                    raise Failure("list_dbs failed")
            c.close()
        except OSError as e:
            raise Failure(f"client {n}: {e}") from e
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    held = [Client(server.sock) for _ in range(400)]
    if any(c.ask("list_dbs").get("error") for c in held):
        raise Failure("list_dbs failed with many clients")
    for c in held:
        c.close()
    if steady.transact(insert("still here")).get("error"):
        raise Failure("the steady client is not served")
    steady.close()
    return f"{args.clients} clients in turn, 400 at once, memory {before:.0f} -> {server.memory():.0f} MiB"


def stall(server, args, rng):
    """A monitoring client that stops reading: others are served, its backlog is bounded."""
    server.create()
    writer = server.start()
    stalled = Client(server.sock)
    stalled.ask("monitor", "Soak", None, {"Item": {}})
    before, slowest = server.memory(), 0.0
    value = "x" * 20000
    writer.transact(insert("row"))
    for n in range(6000):
        start = time.monotonic()
        writer.transact({"op": "update", "table": "Item", "where": [["name", "==", "row"]], "row": {"value": f"{n}{value}"}})
        slowest = max(slowest, time.monotonic() - start)
    grown = server.memory() - before
    stalled.close()
    writer.close()
    if slowest > 5:
        raise Failure(f"a transaction took {slowest:.1f} s beside a stalled client")
    if grown > 100:
        raise Failure(f"memory grew by {grown:.0f} MiB for a client that does not read 120 MB of updates")
    with open(server.log) as f:
        if not any("bytes unread" in line for line in f):
            raise Failure("nothing is logged about the client that was dropped")
    return f"120 MB unread: memory +{grown:.0f} MiB, slowest transaction {slowest * 1000:.0f} ms"


def garbage(server, args, rng):
    """Malformed input on the socket: the connection may go, the server stays."""
    server.create()
    steady = server.start()
    samples = [b"{" * 100000, b"[" * 1000000, b'{"a":' * 50000, b"\xff" * 1000, b'"' + b"x" * 5000000, b"\0" * 100,
               b'{"id":1,"method":"echo","params":[' + b"1," * 200000, b'{"id":1e999,"method":"echo","params":[]}',
               b'{"id":1,"method":"transact","params":["Soak",{"op":"select","table":"Item","where":'
               + b"[" * 5000 + b"]" * 5000 + b"}]}", b"\xed\xa0\x80", b'{"id":1,"method":"echo","params":["\\ud800"]}']
    for n in range(200):
        sample = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 400)))
        samples.append(sample if n % 2 else b'{"id":1,"method":"' + sample + b'","params":[]}')
    for sample in samples:
        c = Client(server.sock, timeout=3)
        try:
            c.socket.sendall(sample)
            c.socket.shutdown(socket.SHUT_WR)
            while c.socket.recv(1 << 16):
                pass
        except OSError:
            pass
        c.close()
        if server.process.poll() is not None:
            raise Failure(f"the server ended with {server.process.returncode} after {sample[:40]!r}… ({len(sample)} bytes)")
    if steady.transact(insert("still here")).get("error"):
        raise Failure("the steady client is not served")
    steady.close()
    return f"{len(samples)} malformed inputs, memory {server.memory():.0f} MiB"


def open_files(pid):
    """What a process has open; files that it closes meanwhile are left out."""
    folder = f"/proc/{pid}/fd"
    for fd in os.listdir(folder):
        try:
            yield os.readlink(f"{folder}/{fd}")
        except FileNotFoundError:
            pass


def listening(server):
    """Makes the server listen on a TCP port of its choice and returns it."""
    server.run("ovs-appctl", "-t", f"{server.dir}/s.ctl", "ovsdb-server/add-remote", "ptcp:0:127.0.0.1")
    with open(f"/proc/{server.process.pid}/net/tcp") as f:
        inodes = set(open_files(server.process.pid))
        for line in list(f)[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                return int(words[1].split(":")[1], 16)
    raise Failure("the server does not listen")


def half_open(server, args, rng):
    """Peers that vanish in the middle of a message, over TCP: probed, dropped, and logged; others are served."""
    server.create()
    steady = server.start()
    port = listening(server)
    held = []
    for _ in range(200):
        s = socket.create_connection(("127.0.0.1", port), timeout=30)
        s.sendall(b'{"id": 1, "method": "transact", "params": ["Soak", {"op": "insert", "row": {"value": "' + b"x" * 1000)
        held.append(s)
    start, slowest = time.monotonic(), 0.0
    left = list(held)
    while left and time.monotonic() - start < 30:
        before = time.monotonic()
        if steady.transact(insert(f"row-{before}")).get("error"):
            raise Failure("the steady client is not served")
        slowest = max(slowest, time.monotonic() - before)
        ready = select.select(left, [], [], 0.05)[0]
        for s in ready:
            try:
                if not s.recv(1 << 16):
                    left.remove(s)
            except OSError:
                left.remove(s)
    if left:
        raise Failure(f"{len(left)} of {len(held)} peers that say nothing are still connected after 30 s")
    steady.close()
    return f"200 silent peers were dropped in {time.monotonic() - start:.0f} s, slowest transaction {slowest * 1000:.0f} ms"


SENDER = """
import socket, sys
at, size = sys.argv[1], int(sys.argv[2]) << 20
s = socket.create_connection(("127.0.0.1", int(at)), 30) if at.isdigit() else socket.socket(socket.AF_UNIX)
if not at.isdigit():
    s.connect(at)
sent, chunk = 0, b"x" * (1 << 20)
try:
    s.sendall(b'{"id": 1, "method": "echo", "params": ["')
    while sent < size:
        s.sendall(chunk)
        sent += len(chunk)
except OSError:
    pass
print(sent >> 20)
"""


def unfinished(server, args, rng):
    """A message without an end: its sender is dropped with a log line and the memory given back, others are served meanwhile."""
    server.create()
    steady = server.start()
    before, told = server.memory(), []
    for at, limit in ((str(listening(server)), 256), (server.sock, 1024)):
        sender = subprocess.Popen([sys.executable, "-c", SENDER, at, str(limit + 44)], stdout=subprocess.PIPE, text=True)
        served, slowest, end = 0, 0.0, time.monotonic() + 60
        try:
            while sender.poll() is None:
                start = time.monotonic()
                if start > end:
                    raise Failure(f"an unfinished message of {limit + 44} MiB is still being read after 60 s")
                if steady.transact(insert(f"row-{limit}-{served}")).get("error"):
                    raise Failure("the steady client is not served")
                served, slowest = served + 1, max(slowest, time.monotonic() - start)
                time.sleep(0.005)
        finally:
            sender.kill()
        sent = int(sender.communicate()[0])
        if not limit <= sent < limit + 40:
            raise Failure(f"{sent} MiB of a message were taken; the limit is {limit} MiB")
        if f"message longer than {limit << 20} bytes" not in server.last_log():
            raise Failure(f"no line in the log: {server.last_log()}")
        told.append(f"{limit} MiB ({served} transactions meanwhile, slowest {slowest * 1000:.0f} ms)")
    end = time.monotonic() + 5
    while server.memory() > before + 64 and time.monotonic() < end:
        time.sleep(0.05)
    if server.memory() > before + 64:
        raise Failure(f"memory {before:.0f} -> {server.memory():.0f} MiB after the senders have gone")
    steady.close()
    return f"dropped after {' and '.join(told)}, memory {before:.0f} -> {server.memory():.0f} MiB"


def huge(server, args, rng):
    """Huge strings and messages: stored or refused, and the memory is given back."""
    server.create()
    client = server.start()
    before = server.memory()
    for size in (1 << 20, 1 << 24, 1 << 26):
        got = client.transact({"op": "insert", "table": "Item", "row": {"name": f"n{size}", "value": "x" * size}})
        if got.get("error"):
            raise Failure(f"{size} bytes: {got['error']}")
    rows = client.transact({"op": "select", "table": "Item", "where": [["name", "==", f"n{1 << 24}"]], "columns": ["value"]})
    if len(rows["result"][0]["rows"][0]["value"]) != 1 << 24:
        raise Failure("a huge string came back changed")
    client.transact({"op": "delete", "table": "Item", "where": []})
    server.run("ovs-appctl", "-t", f"{server.dir}/s.ctl", "ovsdb-server/compact")
    after = server.memory()
    client.close()
    if after - before > 300:
        raise Failure(f"memory {before:.0f} -> {after:.0f} MiB after all was deleted")
    return f"strings of up to 64 MiB, memory {before:.0f} -> {after:.0f} MiB once deleted"


def compaction(server, args, rng):
    """Compaction of 200,000 rows while a client does small transactions: service does not stop."""
    server.create()
    client = server.start()
    for first in range(0, args.rows, 1000):
        client.transact(*(insert(f"row-{n}", "v" * 40, n) for n in range(first, first + 1000)))
    size, longest, during = os.path.getsize(server.db) / 2**20, [], 0
    for attempt in range(3):
        done = threading.Thread(target=server.run, args=("ovs-appctl", "-t", f"{server.dir}/s.ctl", "ovsdb-server/compact"))
        last, gaps, n = time.monotonic(), [], 0
        done.start()
        while done.is_alive() or n < 50:
            client.transact({"op": "update", "table": "Item", "where": [["name", "==", f"row-{n}"]], "row": {"number": attempt}})
            now = time.monotonic()
            gaps.append(now - last)
            last, n = now, n + 1
        done.join()
        longest.append(max(gaps) * 1000)
        during += n
    names = server.names(client)
    client.close()
    if len(names) != args.rows or len(set(names)) != args.rows:
        raise Failure(f"{len(names)} rows after compaction")
    server.kill()
    client = server.start()
    if len(server.names(client)) != args.rows:
        raise Failure("rows are lost after compaction and a restart")
    client.close()
    each = ", ".join(f"{ms:.0f}" for ms in longest)
    # A neighbour on the machine can delay one of them; the server would delay all.
    if min(longest) > 50:
        raise Failure(f"the longest gaps between {during} transactions in three compactions are {each} ms")
    return f"{args.rows} rows, {size:.0f} MiB: longest gaps {each} ms in {during} transactions beside three compactions"


TESTS = {f.__name__: f for f in (kills, disk, flips, clients, stall, garbage, half_open, unfinished, huge, compaction)}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--bin")
    p.add_argument("--kills", type=int, default=40)
    p.add_argument("--flips", type=int, default=150)
    p.add_argument("--clients", type=int, default=2000)
    p.add_argument("--rows", type=int, default=200000)
    p.add_argument("--seed", type=int, default=int(time.time()))
    p.add_argument("--only", default=",".join(TESTS))
    args = p.parse_args()
    unknown = set(args.only.split(",")) - set(TESTS)
    if unknown:
        print(f"soak.py: no test {', '.join(sorted(unknown))}; there are {', '.join(TESTS)}", file=sys.stderr)
        return 2
    programs = kit.our_programs(args.bin or kit.default_bin())
    if not programs:
        print("soak.py: no ferrovs executable: cargo build --release, or --bin", file=sys.stderr)
        return 2
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    print(f"seed {args.seed}")
    for name in args.only.split(","):
        folder = tempfile.mkdtemp(prefix="fvsoak-")
        server = Server(programs, folder)
        start = time.monotonic()
        try:
            verdict, text = "passed", TESTS[name](server, args, random.Random(f"{args.seed}{name}"))
        except Skip as e:
            verdict, text = "skipped", str(e)
        except (Failure, OSError) as e:
            verdict, text = "failed", f"{e} (files kept in {folder})"
        finally:
            server.kill()
        counts[verdict] += 1
        print(f"{verdict:7} {name}: {text} ({time.monotonic() - start:.1f} s)", flush=True)
        if verdict != "failed":
            shutil.rmtree(folder, ignore_errors=True)
    print(f"soak: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
