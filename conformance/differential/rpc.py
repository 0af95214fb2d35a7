"""A JSON-RPC connection to a database server, and a copy of a database kept by a monitor's updates."""
import json
import socket
import time


class Session:
    """Texts go in and out as they are; echo requests of the server are answered."""

    def __init__(self, path, process):
        self.socket, self.process = socket.socket(socket.AF_UNIX), process
        end = time.monotonic() + 20
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise
                time.sleep(0.002)
        self.socket.settimeout(20)
        self.buffer, self.number, self.early, self.notes = "", 0, {}, []

    def send(self, method, params):
        self.number += 1
        self.socket.sendall(f'{{"id":{self.number},"method":"{method}","params":{params}}}'.encode())
        return self.number

    def notify(self, method, params):
        self.socket.sendall(f'{{"id":null,"method":"{method}","params":{params}}}'.encode())

    def read(self, timeout=20):
        """The next message: (its text, the same read)."""
        end = time.monotonic() + timeout
        while True:
            try:
                value, at = json.JSONDecoder().raw_decode(self.buffer)
                text, self.buffer = self.buffer[:at], self.buffer[at:].lstrip()
            except ValueError:
                self.socket.settimeout(max(end - time.monotonic(), 0.001))
                data = self.socket.recv(1 << 20)
                if not data:
                    raise ConnectionError("a server closed the connection") from None
                self.buffer += data.decode("utf-8", "surrogateescape")
                continue
            if value.get("method") == "echo":
                self.socket.sendall(json.dumps({"id": value["id"], "result": value["params"], "error": None}).encode())
                continue
            return text, value

    def wait(self, number, timeout=20):
        """The reply to a request, or None; notifications before it go to `notes`."""
        end = time.monotonic() + timeout
        while number not in self.early:
            try:
                text, value = self.read(max(end - time.monotonic(), 0.001))
            except TimeoutError:
                return None
            if "method" in value:
                self.notes.append(text)
            else:
                self.early[value["id"]] = text
        return self.early.pop(number)

    def ask(self, method, params):
        """(the reply's text, the notifications that came since the last question)."""
        reply = self.wait(self.send(method, params))
        if reply is None:
            raise OSError(f"no reply to {method} within 20 s")
        notes, self.notes = self.notes, []
        return reply, notes

    def close(self):
        self.socket.close()


def as_items(value):
    """A set's or map's elements, as hashable texts; a map's with their values."""
    if isinstance(value, list) and value and value[0] == "set":
        return {json.dumps(v): v for v in value[1]}
    if isinstance(value, list) and value and value[0] == "map":
        return {json.dumps(k): (k, v) for k, v in value[1]}
    return {json.dumps(value): value}


class Replica:
    """The rows of a database as one monitor of all tables tells them. `types`: column types by table, as Generator.shape gives them."""

    def __init__(self, method, types, initial):
        self.method, self.types = method, types
        self.rows = {t: {} for t in types}
        self.apply(initial[2] if method == "monitor_cond_since" else initial)

    def apply(self, updates):
        for table, rows in updates.items():
            for uuid, change in rows.items():
                if self.method == "monitor":
                    self.put(table, uuid, change.get("new"))
                elif "delete" in change:
                    self.put(table, uuid, None)
                elif "modify" in change:
                    row = self.rows[table].setdefault(uuid, {c: default(t) for c, t in self.types[table].items()})
                    for column, difference in change["modify"].items():
                        row[column] = self.merge(self.types[table][column], row[column], difference)
                else:
                    given = change.get("insert", change.get("initial"))
                    self.put(table, uuid, {c: given[c] if c in given else default(t) for c, t in self.types[table].items()})

    def put(self, table, uuid, row):
        if row is None:
            self.rows[table].pop(uuid, None)
        else:
            self.rows[table][uuid] = row

    @staticmethod
    def merge(kind, old, difference):
        _, value, _, most = kind
        if most == 1:
            return difference
        items, changes = as_items(old), as_items(difference)
        if value is None:
            kept = [v for k, v in items.items() if k not in changes] + [v for k, v in changes.items() if k not in items]
            return ["set", kept]
        for k, pair in changes.items():
            if k in items and items[k] == pair:
                del items[k]
            else:
                items[k] = pair
        return ["map", [list(p) for p in items.values()]]

    def catch_up(self, session, rows):
        """Reads updates until the copy is equal to `rows`; what differs after 5 s."""
        end = time.monotonic() + 5
        while True:
            for text in session.notes:
                note = json.loads(text)
                if note["params"][0] == self.method:
                    self.apply(note["params"][-1])
            session.notes = [n for n in session.notes if json.loads(n)["params"][0] != self.method]
            mine = {t: {u: {c: sorted_items(v) for c, v in r.items() if c in self.types[t]} for u, r in rs.items()} for t, rs in self.rows.items()}
            theirs = {t: {u: {c: sorted_items(v) for c, v in r.items()} for u, r in rs.items()} for t, rs in rows.items()}
            if mine == theirs:
                return None
            if time.monotonic() > end:
                return [[t, u, mine[t].get(u), theirs[t].get(u)] for t in mine for u in mine[t].keys() | theirs[t].keys() if mine[t].get(u) != theirs[t].get(u)]
            session.wait(session.send("echo", "[]"))


def sorted_items(value):
    return sorted(as_items(value))


def default(kind):
    key, value, least, _ = kind
    if least == 0:
        return ["map", []] if value else ["set", []]
    zero = lambda b: {"integer": 0, "real": 0, "boolean": False, "string": "", "uuid": ["uuid", "00000000-0000-0000-0000-000000000000"]}[b["type"]]
    return ["map", [[zero(key), zero(value)]]] if value else zero(key)
