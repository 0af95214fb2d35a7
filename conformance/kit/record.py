"""A proxy between a client and a daemon's Unix socket that keeps every byte, and prints the conversation so that two
runs can be compared: OpenFlow messages as hex with transaction ids numbered by first appearance, JSON-RPC messages as
JSON with request ids numbered likewise."""
import json
import os
import re
import selectors
import socket
import struct
import threading
import time
import zlib

OF_VERSIONS = {1: "1.0", 2: "1.1", 3: "1.2", 4: "1.3", 5: "1.4", 6: "1.5"}
OF_ECHO = (2, 3)


class Recorder:
    """Listens on `path`, connects each client to `target`, keeps (to the daemon, to the client) for each."""

    def __init__(self, path, target):
        self.target, self.talks, self.open = target, [], 0
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                daemon.connect(self.target)
            except OSError:
                client.close()
                continue
            talk = (bytearray(), bytearray())
            with self.lock:
                self.talks.append(talk)
                self.open += 1
            threading.Thread(target=self._relay, args=(client, daemon, talk), daemon=True).start()

    def _relay(self, client, daemon, talk):
        sel = selectors.DefaultSelector()
        sel.register(client, selectors.EVENT_READ, (daemon, talk[0]))
        sel.register(daemon, selectors.EVENT_READ, (client, talk[1]))
        try:
            while True:
                for key, _ in sel.select():
                    peer, kept = key.data
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    kept += data
                    peer.sendall(data)
        except OSError:
            pass
        finally:
            client.close()
            daemon.close()
            with self.lock:
                self.open -= 1

    def take(self, limit=5.0):
        """The conversations since the last call, once every client has hung up (or the limit has passed)."""
        end = time.monotonic() + limit
        while self.open and time.monotonic() < end:
            time.sleep(0.01)
        with self.lock:
            talks, self.talks = self.talks, []
        return talks


def without_durations(message):
    """A flow-statistics reply with the flows' ages zeroed: OpenFlow 1.0 (§5.3.5), its Nicira form (with idle and hard
    ages), and 1.1 to 1.4 (1.3.5 §7.3.5.2)."""
    version, kind, sort = message[0], message[1], message[8:10]
    if version == 1 and kind == 17 and sort == b"\0\1":
        first, spans = 12, ((44, 52),)
    elif version == 1 and kind == 17 and message[8:20] == bytes.fromhex("ffff" "0000" "00002320" "00000000"):
        first, spans = 24, ((4, 12), (20, 24))
    elif 2 <= version <= 5 and kind == 19 and sort == b"\0\1":
        first, spans = 16, ((4, 12),)
    else:
        return message
    at, message = first, bytearray(message)
    while at + spans[-1][1] <= len(message):
        for begin, end in spans:
            message[at + begin:at + end] = bytes(end - begin)
        step = int.from_bytes(message[at:at + 2], "big")
        if step == 0:
            break
        at += step
    return bytes(message)


def openflow_lines(data, xids):
    """One line per message; `xids` numbers the transaction ids of one conversation."""
    at, lines = 0, []
    while at < len(data):
        if len(data) - at < 8:
            lines.append(f"[{len(data) - at} bytes left over]")
            break
        version, kind, length, xid = struct.unpack_from("!BBHI", data, at)
        if length < 8 or at + length > len(data):
            lines.append(f"[bad length {length}, {len(data) - at} bytes left]")
            break
        if kind not in OF_ECHO:
            number = xids.setdefault(xid, len(xids)) if xid else "zero"
            body = without_durations(bytes(data[at:at + length]))[8:].hex(" ", 4)
            lines.append(f"OF{OF_VERSIONS.get(version, version)} type={kind} xid={number} len={length} {body}".rstrip())
        at += length
    return lines


def shortened(value):
    """Schemas travel as strings of many kilobytes: their length and checksum say as much and can be read."""
    if isinstance(value, str) and len(value) > 400:
        return f"<{len(value)} characters, crc {zlib.crc32(value.encode()):08x}>"
    if isinstance(value, list):
        return [shortened(v) for v in value]
    if isinstance(value, dict):
        return {k: shortened(v) for k, v in value.items()}
    return value


def json_lines(data, ids):
    text, at, lines, decoder = data.decode("utf-8", "replace"), 0, [], json.JSONDecoder()
    while at < len(text):
        try:
            message, at = decoder.raw_decode(text, at)
        except ValueError:
            lines.append("[not JSON] " + text[at:])
            break
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        if isinstance(message, dict) and "id" in message:
            result = message.get("result")
            if isinstance(result, list) and all(isinstance(r, str) for r in result):
                result.sort()
            if message.get("method") == "echo" or message["id"] == "echo":
                continue
            if message["id"] is not None:
                key = json.dumps(message["id"])
                message["id"] = ids.setdefault(key, len(ids))
        lines.append(json.dumps(shortened(message), sort_keys=True))
    return lines


def wanted(line, types):
    """Whether an OpenFlow line is of one of the types, each "TYPE" or "TYPE:SUBTYPE" (of a statistics message)."""
    words = line.split()
    body = next((w for w in words if "=" not in w and not w.startswith("OF")), "")
    kind = next((w[5:] for w in words if w.startswith("type=")), "")
    return any(t == kind or (t.partition(":")[0] == kind and ":" in t and body[:4] == f"{int(t.partition(':')[2]):04x}")
               for t in types)


def render(talks, words=()):
    """`words`: "up" (to the daemon), "down" (to the client), none for both; and OpenFlow message types to show. With
    types, connections and transaction ids are left out: how many of them a client uses is its own affair."""
    types = [w for w in words if w not in ("up", "down")]
    directions = [w for w in words if w in ("up", "down")] or ["up", "down"]
    out = []
    for n, talk in enumerate(talks):
        lines = json_lines if talk[0][:1] in (b"{", b"[") else openflow_lines
        numbers = {}
        for data, direction, arrow in ((talk[0], "up", ">"), (talk[1], "down", "<")):
            for line in lines(data, numbers):
                if direction not in directions:
                    continue
                if not types:
                    out.append(f"{n}{arrow} {line}")
                elif wanted(line, types):
                    out.append(f"{arrow} {re.sub(' xid=[0-9a-z]+', '', line)}")
    return "".join(line + "\n" for line in out)


def remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
