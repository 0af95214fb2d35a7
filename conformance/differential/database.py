#!/usr/bin/env python3
"""Gives two ovsdb-servers the same random schemas, transactions and monitors, and compares their replies, updates and files.

usage: database.py [--bin PATH] [--transactions N] [--per-round N] [--seed N] [--show N] [--rounds N] [--seconds N]

A round is a random schema with a server of each side and some transactions, right and wrong ones (see schemas.py), with locks, changing
monitors of each kind beside them. UUIDs that the servers choose are named by the order in which they appear. After every few transactions
whole contents are compared, also with what each side's own monitors on a second connection have put together. At the end the schema is
converted while the servers run; then both sides' tools read both sides' files. A round has a seed of its own: `--rounds 1 --seed N`
repeats one. Differences are put together by kind. Exit code 1 if any is there that known.md beside this script does not list.
"""
import argparse
import collections
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import run  # noqa: E402
from rpc import Replica, Session  # noqa: E402
from schemas import LOCKS, NOBODY, Generator, message  # noqa: E402

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
ZERO = "00000000-0000-0000-0000-000000000000"
MONITORS = ("monitor", "monitor_cond", "monitor_cond_since")
CHECK_EVERY = 15


class Server:
    """One side: a server on a database of its own, and what its UUIDs are called."""

    def __init__(self, name, programs, where, schema):
        self.name, self.programs, self.dir = name, programs, where
        self.labels, self.uuids = {}, {}
        self.env = {**os.environ, "OVS_RUNDIR": where, "OVS_LOGDIR": where, "OVS_DBDIR": where}
        with open(f"{where}/schema", "w", encoding="utf-8") as f:
            f.write(schema)
        code, out, err = self.tool("create", f"{where}/db", f"{where}/schema")
        self.created = (out + err).replace(where, "<dir>") if code else None
        self.process = None
        if not self.created:
            with open(f"{where}/log", "w", encoding="utf-8") as log:
                self.process = subprocess.Popen([*programs["ovsdb-server"], f"--remote=punix:{where}/sock", f"--unixctl={where}/ctl", f"{where}/db"],
                                                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def tool(self, *args):
        r = subprocess.run([*self.programs["ovsdb-tool"], *args], env=self.env, capture_output=True, timeout=60)
        return r.returncode, r.stdout.decode("utf-8", "replace"), r.stderr.decode("utf-8", "replace")

    def connect(self):
        return Session(f"{self.dir}/sock", self.process)

    def last_words(self):
        with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as f:
            return shape((f.read().splitlines() or [""])[-1])

    def control(self, *words):
        return subprocess.run([*self.programs["ovs-appctl"], "-t", f"{self.dir}/ctl", *words], env=self.env, capture_output=True, timeout=60)

    def name_row(self, uuid, label):
        self.labels[uuid], self.uuids[label] = label, uuid

    def outgoing(self, text):
        return re.sub(r"@\d+@", lambda m: self.uuids[m[0]], text)

    def incoming(self, text):
        return UUID.sub(lambda m: m[0] if m[0] == ZERO or m[0].startswith("b0000000") else self.labels.get(m[0], "<uuid>"), text)

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def canonical(v):
    """JSON with sets and maps that hold UUIDs, and rows, in an order that does not hang on the UUIDs."""
    if isinstance(v, dict):
        v = {k: canonical(e) for k, e in sorted(v.items())}
        if isinstance(v.get("rows"), list):
            v["rows"].sort(key=json.dumps)
        return v
    if isinstance(v, list):
        if len(v) == 2 and v[0] in ("set", "map") and isinstance(v[1], list):
            items = [canonical(e) for e in v[1]]
            if re.search(r'"uuid"', json.dumps(items)):
                items.sort(key=json.dumps)
            return [v[0], items]
        return [canonical(e) for e in v]
    return v


def words(text):
    """Numbers of milliseconds are nobody's promise."""
    return re.sub(r"after \d+ ms", "after <n> ms", text)


def shape(v):
    """A short text that is the same for like values."""
    text = json.dumps(v, ensure_ascii=False) if not isinstance(v, str) else v
    text = re.sub(r'\\"syntax\\".*|"syntax": ".*?(?<!\\)"(, )?', "", text)
    text = re.sub(r"@\d+@|<uuid>|" + UUID.pattern, "U", text)
    text = re.sub(r"\b(c|n)\d\b", "COL", text)
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "N", text)[:150]


def first_difference(a, b, path=""):
    """(where, what is in the first, what is in the second) of the first place where they differ, or None."""
    if type(a) is type(b) and isinstance(a, dict):
        for k in sorted(a.keys() | b.keys()):
            if k not in a or k not in b:
                return f"{path} {k}", a.get(k, "(none)"), b.get(k, "(none)")
            if a[k] != b[k]:
                return first_difference(a[k], b[k], f"{path} {k}")
    elif type(a) is type(b) and isinstance(a, (list, tuple)) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            if x != y:
                return first_difference(x, y, f"{path} {i}")
    return (path, a, b) if a != b else None


class Stop(Exception):
    """The round cannot go on: the sides hold different things, or one has ended."""


class Round:
    def __init__(self, pair, seed, found):
        self.seed, self.found = seed, found
        self.rng = random.Random(seed)
        self.gen = Generator(self.rng)
        self.sides = [Server(name, programs, where, json.dumps(self.gen.schema)) for name, programs, where in pair]
        self.count, self.monitors, self.versions, self.since = 0, {}, None, None

    # Reporting.

    def differ(self, what, asked, theirs, ours, fatal=False):
        self.found.add(self.seed, what, asked, theirs, ours)
        if fatal:
            raise Stop

    # Talking to both.

    def open(self):
        for s in self.sides:
            s.main, s.second, s.other, s.later = s.connect(), s.connect(), s.connect(), None

    def both(self, method, params, session="main"):
        """The reply of each side, normalised, and the notifications before it, in each side's order of monitors."""
        raw = [self.ask(getattr(s, session), method, s.outgoing(message(params))) for s in self.sides]
        if method == "transact":
            self.name_new_rows(params, raw)
        out = []
        for s, (reply, notes) in zip(self.sides, raw):
            read = lambda t: self.without_transaction(canonical(json.loads(s.incoming(words(t)), parse_float=lambda n: "real " + n)))
            notes = [n for n in map(read, notes) if n["params"][-1] != {}]
            out.append((self.essence(read(reply)), sorted(notes, key=lambda n: json.dumps([n.get("method"), n.get("params", [0])[0]]))))
        return out

    @staticmethod
    def ask(session, method, text):
        try:
            return session.ask(method, text)
        except ConnectionError:
            try:
                session.process.wait(0.3)
            except subprocess.TimeoutExpired:
                return '{"result": null, "error": "the connection is closed"}', []
            raise
            return '{"result": null, "error": "the connection is closed"}', []

    @staticmethod
    def without_transaction(note):
        """The reference gives transactions of a database that is not clustered no names, and also tells of rows with nothing new in them."""
        if note.get("method") == "update3":
            note["params"][1] = "<transaction>"
        if note.get("method", "").startswith("update"):
            empty = lambda c: set(c.get("modify", {"x": 0})) <= {"_version"} or set(c.get("old", {"x": 0})) <= {"_version"} and "new" in c
            tables = {t: {u: c for u, c in rows.items() if not empty(c)} for t, rows in note["params"][-1].items()}
            note["params"][-1] = {t: rows for t, rows in tables.items() if rows}
        return note

    @staticmethod
    def essence(reply):
        if isinstance(reply.get("result"), list) and len(reply["result"]) == 3 and isinstance(reply["result"][0], bool):
            reply["result"][1] = "<transaction>"
        return {"result": reply.get("result"), "error": reply.get("error")}

    def name_new_rows(self, params, raw):
        results = [json.loads(reply).get("result") for reply, _ in raw]
        if not all(isinstance(r, list) for r in results):
            return
        for i, pair in enumerate(zip(*results)):
            if all(isinstance(r, dict) and list(r) == ["uuid"] for r in pair):
                label = f"@{self.gen.label}@"
                self.gen.label += 1
                for s, r in zip(self.sides, pair):
                    s.name_row(r["uuid"][1], label)
                table = params[i + 1].get("table")
                if table in self.gen.rows:
                    self.gen.rows[table].append(label)

    def compare(self, method, params, session="main"):
        """True if both took the request."""
        (theirs, their_notes), (ours, our_notes) = self.both(method, params, session)
        asked = [method, params]
        if theirs != ours:
            self.replies_differ(asked, theirs, ours)
        if their_notes != our_notes:
            self.differ("updates", asked, their_notes, our_notes, True)
        if theirs["error"] == ours["error"] == "the connection is closed":
            for s in self.sides:
                s.main.close()
                s.main = s.connect()
            self.monitors = {}
        return theirs["error"] is None and ours["error"] is None

    def replies_differ(self, asked, theirs, ours):
        failed = lambda r: r["error"] is not None or any(isinstance(o, dict) and "error" in o for o in r["result"] or [] if asked[0] == "transact")
        if asked[0] == "transact" and theirs["error"] is None and ours["error"] is None:
            for i in range(max(len(theirs["result"]), len(ours["result"]))):
                a, b = (r["result"][i] if i < len(r["result"]) else "(none)" for r in (theirs, ours))
                if a != b:
                    op = asked[1][i + 1] if i + 1 < len(asked[1]) else "commit"
                    if self.one_of_several(op, a, b):
                        self.found.several += 1
                        return
                    name = op.get("op") if isinstance(op, dict) else op
                    self.differ(f"reply to {name}", asked, a, b, failed(theirs) != failed(ours) or not failed(theirs))
                    return
        if asked[0] == "convert" and theirs["error"] and ours["error"] and (shape(theirs) == shape(ours) or self.other_words(theirs, ours)):
            self.found.several += 1  # tables are read and rows are converted in no promised order
            return
        if asked[0].startswith("monitor") and theirs["error"] and ours["error"] and self.tables_in(asked[1]) > 1:
            self.found.several += 1
            return
        self.differ(f"reply to {asked[0]}", asked, theirs, ours, failed(theirs) != failed(ours) or not failed(theirs))

    @staticmethod
    def other_words(theirs, ours):
        """Whether two errors are about different things."""
        details = [r["error"].get("details") if isinstance(r["error"], dict) else r["error"] for r in (theirs, ours)]
        return details[0] != details[1]

    @staticmethod
    def tables_in(params):
        return max((len(p) for p in params if isinstance(p, dict)), default=0) if isinstance(params, list) else 0

    def one_of_several(self, op, a, b):
        """Whether both say an error of this operation, each another of those that there are: columns are looked at in no promised order."""
        if not all(isinstance(e, dict) and "error" in e for e in (a, b)):
            return False
        if op == "commit" or isinstance(op, dict) and op.get("op") == "mutate" and shape(a) == shape(b):
            return a["error"] == b["error"]  # rows are looked at in no promised order either
        if isinstance(op, dict) and op.get("op") == "wait" and any(isinstance(r, dict) and len(r) > 1 for r in op.get("rows") or []):
            return True
        if not isinstance(op, dict) or op.get("op") not in ("insert", "update") or not isinstance(op.get("row"), dict):
            return False
        errors = []
        for column, value in op["row"].items():
            probe = {"op": "update", "table": op["table"], "where": [["_uuid", "==", ["uuid", NOBODY]]], "row": {column: value}}
            # Each operation may declare a name that the value uses.
            (theirs, _), (ours, _) = self.both("transact", ["Db", probe, {"op": "abort"}], "other")
            if theirs != ours:
                return False
            errors.append((theirs["result"] or [{}])[0])
        words = lambda e: (e["error"], e.get("details") if re.search("immutable|No column", e.get("details", "")) else json.dumps(e))
        wrong = [words(e) for e in errors if "error" in e]
        defaults = op["op"] == "insert" and any(c not in op["row"] for c in self.gen.columns(op["table"]))
        return all(words(e) in wrong or defaults and e["error"] == "constraint violation" for e in (a, b))

    # The steps of a round.

    def play(self, transactions):
        created = [s.created for s in self.sides]
        if created[0] or created[1]:
            if created[0] != created[1]:
                self.differ("ovsdb-tool create", self.gen.schema, *created)
            return
        self.open()
        self.compare("get_schema", ["Db"])
        self.compare("set_db_change_aware", [True])
        self.start_replicas()
        for _ in range(3):
            self.new_monitor()
        while self.count < transactions:
            self.step()
            if self.count % CHECK_EVERY == 0:
                self.check()
        self.check()
        self.convert()
        self.files()

    def step(self):
        chance, pick = self.gen.chance, self.gen.pick
        if chance(0.06):
            kind = self.rng.randrange(5)
            if kind <= 1:
                self.change_condition()
            elif kind == 2:
                self.new_monitor()
            elif kind == 3 and self.monitors:
                name = pick(self.monitors)
                self.compare("monitor_cancel", [name])
                del self.monitors[name]
            else:
                self.compare(pick(["lock", "unlock", "steal", "echo"]), [pick(LOCKS)])
        elif chance(0.01):
            self.blocked()
        elif chance(0.005):
            for s in self.sides:
                s.control("ovsdb-server/compact")
        else:
            self.count += 1
            self.compare("transact", self.gen.transaction())

    def new_monitor(self):
        method = self.gen.pick(MONITORS)
        name = self.gen.pick(["m1", "m2", "m3", "m4", ["m", 5], {"m": 6}, 7])
        key = json.dumps(name)
        request = self.gen.monitor_request(method)
        params = ["Db", name, request] + ([ZERO] if method == "monitor_cond_since" else [])
        if self.gen.chance(0.05):
            params = [self.gen.pick(["Nodb", 5, None]), *params[1:]]
        if self.compare(method, params) and isinstance(request, dict):
            self.monitors.setdefault(key, (method, name, [t for t in request if t in self.gen.schema["tables"]]))
        self.monitors = {k: v for k, v in self.monitors.items() if len(params) > 1}

    def change_condition(self):
        if not self.monitors:
            return
        key = self.gen.pick(self.monitors)
        method, name, tables = self.monitors[key]
        new = name if self.gen.chance(0.8) else self.gen.pick(["m1", "m9", 7, "again"])
        params = [name, new, self.gen.condition_change(tables or ["A"])]
        if self.gen.chance(0.05):
            params = self.gen.spoil(params)
        if self.compare("monitor_cond_change", params) and len(params) == 3:
            del self.monitors[key]
            self.monitors[json.dumps(params[1])] = (method, params[1], tables)

    def blocked(self):
        """A transaction that waits: until another client makes its condition true, or until it is cancelled."""
        table = self.gen.pick(self.gen.schema["tables"])
        wait = {"op": "wait", "table": table, "where": [["_uuid", "==", ["uuid", self.fresh_row]]], "columns": ["_uuid"], "until": "==",
                "rows": [{"_uuid": ["uuid", self.fresh_row]}]}
        request = ["Db", wait, {"op": "comment", "comment": "waited"}]
        insert = {"op": "insert", "table": table, "uuid": self.gen.fresh(), "row": {}}
        wait["where"][0][2][1] = wait["rows"][0]["_uuid"][1] = insert["uuid"]
        probe = [s.other.ask("transact", message(["Db", insert, {"op": "abort"}]))[0] for s in self.sides]
        lasts = self.gen.schema["tables"][table].get("isRoot") and all(list((json.loads(p).get("result") or [{}])[0]) == ["uuid"] for p in probe)
        replies = []
        for s in self.sides:
            number = s.main.send("transact", message(request))
            s.main.ask("echo", "[1]")
            s.name_row(insert["uuid"], f"@{self.gen.label}@")
            if lasts:
                s.other.ask("transact", message(["Db", insert]))
                reply = s.main.wait(number, 0.5) or '{"error": "canceled"}'
            else:
                reply = '{"error": "canceled"}'
            if "canceled" in reply:
                # The reference never answers a request that was cancelled.
                s.main.notify("cancel", json.dumps([number]))
                s.main.wait(number, 0 if s is self.sides[0] else 10)
            replies.append(canonical({k: v for k, v in json.loads(words(s.incoming(reply))).items() if k != "id"}))
            s.main.ask("echo", "[2]")
        self.gen.label += 1
        if replies[0] != replies[1]:
            self.differ("reply to a transaction that waits", request, *replies, True)

    fresh_row = "c0000000-0000-4000-8000-000000000000"

    # Contents.

    def selects(self, extra=()):
        return ["Db", *({"op": "select", "table": t, "where": [], "columns": [*self.gen.columns(t), "_uuid", *extra]} for t in sorted(self.gen.schema["tables"]))]

    def check(self):
        """Whole contents, which rows have a new version, and what the second connections' monitors make of it."""
        (theirs, _), (ours, _) = self.both("transact", self.selects())
        if theirs != ours:
            self.differ("contents", ["transact", "select"], theirs, ours, True)
        self.check_versions()
        for s in self.sides:
            tables = sorted(self.gen.schema["tables"])
            raw = json.loads(s.main.ask("transact", message(self.selects()))[0])["result"]
            rows = {t: {r["_uuid"][1]: {c: v for c, v in r.items() if c != "_uuid"} for r in o["rows"]} for t, o in zip(tables, raw)}
            for r in s.replicas:
                bad = r.catch_up(s.second, rows)
                if bad and s is self.sides[0]:
                    self.found.notes[f"the reference's {r.method} does not tell what is there"] += 1
                    s.replicas = [x for x in s.replicas if x is not r]
                elif bad:
                    self.differ(f"what our {r.method} tells is not what is there", bad, "", "", True)
        self.check_history()

    def check_versions(self):
        changed = []
        for s in self.sides:
            request = ["Db", *({"op": "select", "table": t, "where": [], "columns": ["_uuid", "_version"]} for t in sorted(self.gen.schema["tables"]))]
            now = {r["_uuid"][1]: r["_version"][1] for o in json.loads(s.main.ask("transact", message(request))[0])["result"] for r in o["rows"]}
            before = getattr(s, "versions", {})
            changed.append(sorted(s.labels.get(u, u) for u in now if before.get(u) != now[u]))
            s.versions = now
        if not set(changed[1]) <= set(changed[0]):
            self.differ("which rows have a new version", [], *changed)
        elif changed[0] != changed[1]:
            # Rows that end as they were, as their new weak references led nowhere.
            self.found.notes["the reference gives rows that did not change a new version"] += 1

    def check_history(self):
        """A client that comes back is told what it missed. (The reference has a history for clustered databases only.)"""
        s, types = self.sides[1], self.types()
        request = message({t: [{"columns": sorted(types[t])}] for t in types})
        for _ in range(2):
            session = s.connect()
            found, last, updates = json.loads(session.ask("monitor_cond_since", f'["Db","h",{request},"{s.later or ZERO}"]')[0])["result"]
            if not found:
                s.history = Replica("monitor_cond_since", types, ["", "", updates])
                if s.later not in (None, ZERO):
                    self.differ("our history does not go back far enough", [], "", "")
            else:
                s.history.apply(updates)
            s.later = last
            bad = s.history.catch_up(session, {t: r.rows[t] for r in s.replicas[:1] for t in r.rows})
            session.close()
            if bad:
                self.differ("what our history tells is not what is there", bad, "", "", True)

    def types(self):
        return {t: {c: Generator.shape(v["type"]) for c, v in self.gen.columns(t).items()} for t in self.gen.schema["tables"]}

    def start_replicas(self):
        types = self.types()
        for s in self.sides:
            s.replicas = []
            for method in MONITORS:
                request = message({t: [{"columns": sorted(types[t])}] for t in types})
                since = f',"{ZERO}"' if method == "monitor_cond_since" else ""
                reply, _ = s.second.ask(method, f'["Db","{method}",{request}{since}]')
                s.replicas.append(Replica(method, types, json.loads(reply)["result"]))

    # The end of a round.

    def convert(self):
        changed = self.gen.changed_schema()
        for s in self.sides:
            s.main.close()
            s.main = s.connect()
        self.compare("set_db_change_aware", [True])
        self.compare("convert", ["Db", changed])
        (theirs, _), (ours, _) = self.both("get_schema", ["Db"])
        if theirs != ours:
            self.differ("schema after conversion", ["get_schema"], theirs, ours, True)
        self.gen.schema = theirs["result"]
        self.gen.rows = {t: self.gen.rows.get(t, []) for t in self.gen.schema["tables"]}
        (theirs, _), (ours, _) = self.both("transact", self.selects())
        if theirs != ours:
            self.differ("contents after conversion", ["convert", changed], theirs, ours, True)

    def files(self):
        """Each side's tools and server read each side's file: the same contents."""
        for s in self.sides:
            s.control("exit")
            s.process.wait(20)
        request = message(self.selects())
        dropped = self.has_ephemeral_references()
        for owner in self.sides:
            shown = []
            for reader in self.sides:
                query = reader.tool("query", f"{owner.dir}/db", request)
                code, log, err = reader.tool("-mm", "show-log", f"{owner.dir}/db")
                # The reference takes a row that comes again with its old UUID for a changed one.
                log = re.sub(r"(?m)^  table (\S+) (?:insert row (\S+)|row (\S+) \(.*\) diff):$", r"  table \1 row \2\3", log)
                log = "\n\n".join("\n".join(sorted(record.split("\n"))) for record in log.split("\n\n"))
                shown.append((query[0], canonical(json.loads(query[1])) if query[0] == 0 else query, (code, log, err)))
            for part, theirs, ours in zip(("exit code of query of", "query of", "show-log of"), *shown):
                # A change of a set may have more elements than its column takes; the reference shows such a one as JSON.
                if theirs != ours and dropped and part == "query of":
                    self.found.notes["the reference drops transactions whose rows need an ephemeral reference"] += 1
                elif theirs != ours and not re.search(r'=\["(set|map)",', str(theirs)):
                    self.differ(f"{part} the file of {owner.name}", [], theirs, ours)
            owner.kept = json.loads(owner.incoming(json.dumps(shown[0][1])))
        if canonical(self.sides[0].kept) != canonical(self.sides[1].kept) and not dropped:
            self.differ("contents of the files", [], self.sides[0].kept, self.sides[1].kept)

    def has_ephemeral_references(self):
        """Whether a column that no file keeps must hold a reference: when the reference opens a file, it leaves such rows' transactions out."""
        refers = lambda base: isinstance(base, dict) and "refTable" in base
        columns = [c for t in self.gen.schema["tables"].values() for c in t["columns"].values() if c.get("ephemeral") and isinstance(c["type"], dict)]
        return any(c["type"].get("min", 1) > 0 and (refers(c["type"]["key"]) or refers(c["type"].get("value"))) for c in columns)

    def end(self):
        for s in self.sides:
            for session in ("main", "second", "other"):
                if hasattr(s, session):
                    getattr(s, session).close()
            s.stop()


class Findings:
    def __init__(self):
        self.kinds, self.examples, self.listed, self.several = collections.Counter(), {}, 0, 0
        self.notes = collections.Counter()
        self.known = []
        with open(os.path.join(HERE, "known.md"), encoding="utf-8") as f:
            for line in f:
                m = re.match(r"\| database \| (in|out) \| `(.*)` \| .* \|$", line)
                if m:
                    self.known.append((m[1], re.compile(m[2])))

    def add(self, seed, what, asked, theirs, ours):
        printed = [json.dumps([what, t], ensure_ascii=False) for t in (theirs, ours)]
        if any(p.search(t) for w, p in self.known for t in ([json.dumps(asked)] if w == "in" else printed)):
            self.listed += 1
            return
        place, x, y = first_difference(theirs, ours) or ("", "", "")
        if isinstance(theirs, dict) and "error" in theirs and what.startswith("reply"):
            x, y = theirs, ours
        kind = f"{what}: {shape(x)} but ours {shape(y)}" if theirs != ours else what
        self.kinds[kind] += 1
        size = len(json.dumps(asked)) + len(printed[0])
        if kind not in self.examples or size < self.examples[kind][0]:
            self.examples[kind] = (size, seed, asked, theirs, ours)

    def report(self, show):
        for kind, n in self.kinds.most_common(show):
            _, seed, asked, theirs, ours = self.examples[kind]
            place, x, y = first_difference(theirs, ours) or ("", "", "")
            print(f"\n=== {n} × {kind}   (--seed {seed} --rounds 1)")
            for title, v in (("asked", asked), ("at", place), ("reference", x), ("ours", y), ("whole", ours)):
                print(f"{title + ':':11}{(v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))[:3000]}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bin")
    p.add_argument("--transactions", type=int, default=20000)
    p.add_argument("--per-round", type=int, default=150)
    p.add_argument("--rounds", type=int)
    p.add_argument("--seconds", type=float, help="stop after that time")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--show", type=int, default=30)
    p.add_argument("--only", choices=["ref"])
    a = p.parse_args()
    root = os.environ.get("FERROVS_REFERENCE") or os.path.expanduser("~/.cache/ferrovs/reference")
    theirs, ours = run.reference_programs(root), run.our_programs(a.bin or run.default_bin())
    if not theirs or not ours:
        print("database.py: the reference or our programs are not there", file=sys.stderr)
        return 77
    found, total, ended = Findings(), 0, 0
    seed, end = a.seed, time.monotonic() + (a.seconds or 1e9)
    while time.monotonic() < end and ((a.rounds is None and total < a.transactions) or (a.rounds is not None and seed < a.seed + a.rounds)):
        work = tempfile.mkdtemp(prefix="ferrovs-db-")
        print(f"seed {seed}, {total} transactions", end="\r", file=sys.stderr, flush=True)
        pair = []
        for name, programs in (("the reference", theirs), ("ours", theirs if a.only else ours)):
            where = f"{work}/{name.split()[-1]}"
            os.mkdir(where)
            pair.append((name, programs, where))
        one = Round(pair, seed, found)
        try:
            one.play(a.per_round)
        except Stop:
            ended += 1
        except (OSError, ValueError) as error:
            if one.sides[0].process and one.sides[0].process.poll() is not None:
                found.notes["the reference ended: " + one.sides[0].last_words()] += 1
            else:
                found.add(seed, f"{error}", [], "", one.sides[1].last_words() if one.sides[1].process and one.sides[1].process.poll() is not None else "")
            ended += 1
        finally:
            one.end()
        total += one.count
        shutil.rmtree(work, ignore_errors=True)
        seed += 1
    found.report(a.show)
    for note, n in found.notes.items():
        print(f"{n} × {note}")
    print(f"\n{total} transactions in {seed - a.seed} rounds, {ended} of them ended early: {sum(found.kinds.values())} differences "
          f"of {len(found.kinds)} kinds, {found.listed} as known.md says, {found.several} name another of several errors")
    return 1 if found.kinds else 0


if __name__ == "__main__":
    sys.exit(main())
