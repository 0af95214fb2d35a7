#!/usr/bin/env python3
"""Records generic-netlink conversations of the Open vSwitch families from an nlmon device, for use as test data.

    capture.py DEVICE FOLDER

Writes FOLDER/FAMILY.hex when it is terminated: a line of comment for each message, then the message in hex, from its
netlink header on. Of messages of one form (direction, command, attributes) it keeps the first few."""
import json
import os
import signal
import socket
import struct
import sys

NETLINK_GENERIC, REQUEST = 16, 1
NLM_F = ((1, "request"), (2, "multi"), (4, "ack"), (8, "echo"))
KEPT = 2  # messages of one form
COMMANDS = {
    "ovs_datapath": {1: "NEW", 2: "DEL", 3: "GET", 4: "SET"},
    "ovs_vport": {1: "NEW", 2: "DEL", 3: "GET", 4: "SET"},
    "ovs_flow": {1: "NEW", 2: "DEL", 3: "GET", 4: "SET"},
    "ovs_packet": {1: "MISS", 2: "ACTION", 3: "EXECUTE"},
    "ovs_meter": {1: "FEATURES", 2: "SET", 3: "DEL", 4: "GET"},
    "ovs_ct_limit": {1: "SET", 2: "DEL", 3: "GET"},
}
# Attributes that hold attributes, by family and number: what is inside belongs to a message's form.
NESTED = {"ovs_flow": {1, 2, 7}, "ovs_packet": {2, 3, 10}, "ovs_vport": {4}, "ovs_meter": {4}, "ovs_ct_limit": {1}}


def attributes(data):
    at, found = 0, []
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4 or at + length > len(data):
            return None
        found.append((kind & 0x3FFF, data[at + 4:at + length]))
        at += (length + 3) & ~3
    return found


def family_ids():
    """Family number to name, asked of the kernel's controller."""
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
    s.bind((0, 0))
    s.send(struct.pack("=IHHII", 20, 16, 0x301, 1, 0) + struct.pack("=BBH", 3, 1, 0))
    ids = {}
    while True:
        data = s.recv(65536)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind == 3:
                return ids
            found = dict(attributes(data[20:length]) or ())
            if 1 in found and 2 in found:
                ids[struct.unpack("=H", found[1])[0]] = found[2].rstrip(b"\0").decode()
            data = data[(length + 3) & ~3:]


def form(family, command, outgoing, body):
    top = attributes(body)
    if top is None:
        return None
    parts = []
    for kind, value in top:
        inner = attributes(value) if kind in NESTED.get(family, ()) else None
        parts.append((kind, tuple(k for k, _ in inner)) if inner else (kind,))
    return family, command, outgoing, tuple(parts)


class Recorder:
    def __init__(self, folder):
        self.folder, self.ids, self.seen, self.kept = folder, {}, {}, {}
        self.sockets = {"with socket": 0, "after a miss without": 0, "values": {}}

    def datagram(self, data):
        while len(data) >= 16:
            length, kind, flags = struct.unpack_from("=IHH", data)
            if length < 16 or length > len(data):
                return
            self.message(data[:length], kind, flags, bool(flags & REQUEST))
            data = data[(length + 3) & ~3:]

    def message(self, message, kind, flags, to_kernel):
        if kind not in self.ids and kind >= 16 and not all(f in self.ids.values() for f in COMMANDS):
            self.ids = family_ids()
        family = self.ids.get(kind)
        error = None
        if kind == 2 and not to_kernel:  # an error or acknowledgement: belongs to the request inside
            error, inner = struct.unpack_from("=iIH", message, 16)[0], struct.unpack_from("=H", message, 24)[0]
            family = self.ids.get(inner)
        if family not in COMMANDS:
            return
        if error is not None:
            key, text = (family, "error", error, message[36] if len(message) > 36 else 0), f"answer {error}: {os.strerror(-error)}"
        else:
            command = message[16]
            name = COMMANDS[family].get(command, str(command))
            key = form(family, command, to_kernel, message[24:])
            words = [w for bit, w in NLM_F if flags & bit]
            if to_kernel and name != "NEW":
                words += ["dump"] if flags & 0x300 == 0x300 else []
            elif to_kernel:
                words += [w for bit, w in ((0x100, "replace"), (0x200, "excl"), (0x400, "create")) if flags & bit]
            top = attributes(message[24:]) or ()
            if family == "ovs_packet" and command == 3:
                self.executed(dict(top))
            text = f"{'to' if to_kernel else 'from'} the kernel: {name} flags={'|'.join(words) or '0'} attributes={','.join(str(k) for k, _ in top) or 'none'}"
        self.seen[key] = self.seen.get(key, 0) + 1
        if self.seen[key] <= KEPT:
            self.kept.setdefault(family, []).append(f"# {family} {text}\n{message.hex()}\n")

    def executed(self, found):
        """Counts which sockets (attribute 12) executed packets carry. Packets of upcalls also carry their hash (11)."""
        if 12 in found:
            value = struct.unpack("=I", found[12][:4])[0]
            self.sockets["with socket"] += 1
            self.sockets["values"][value] = self.sockets["values"].get(value, 0) + 1
        elif 11 in found:
            self.sockets["after a miss without"] += 1

    def write(self):
        os.makedirs(self.folder, exist_ok=True)
        with open(f"{self.folder}/sockets.json", "w", encoding="utf-8") as f:
            json.dump(self.sockets, f)
        for family, lines in self.kept.items():
            with open(f"{self.folder}/{family}.hex", "w", encoding="utf-8") as f:
                f.write(f"# Messages of the generic-netlink family {family}, kernel {os.uname().release}, as nlmon saw them.\n")
                f.write("".join(lines))


def main():
    device, folder = sys.argv[1:]
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    s.bind((device, 3))
    s.settimeout(0.2)
    recorder, running = Recorder(folder), [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    print("recording", flush=True)
    while running:
        try:
            data, address = s.recvfrom(1 << 20)
        except TimeoutError:
            continue
        if address[1] == NETLINK_GENERIC:
            recorder.datagram(data)
    recorder.write()


if __name__ == "__main__":
    main()
