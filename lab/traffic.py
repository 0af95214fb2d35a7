#!/usr/bin/env python3
"""Numbered UDP packets, and what became of them. Runs inside the lab's machine, in a network namespace.

    traffic.py send ADDRESS PORT FLOWS EACH FIRST-SOURCE-PORT [CPU [PAUSE [FILE]]]   all packets of one flow, then the next flow's; a
                                                                pause after every ten packets and every flow; with a file, at most
                                                                20 packets of a flow are on their way
    traffic.py steady ADDRESS PORT PER-SECOND SECONDS                one flow, evenly
    traffic.py receive PORT IDLE-SECONDS [stamps|FILE]   until that long nothing came: {"received", "reordered", "flows", "flows reordered",
                                                    "gap"}; the gap is the longest time between two, as the kernel stamped them; with
                                                    a file, what came is counted there, by source port
    traffic.py echo PORT
    traffic.py probe ADDRESS PORT COUNT FIRST-SOURCE-PORT   a new flow for each round trip: {"p50", "p99", "max", "lost"} in ms
"""
import json
import mmap
import os
import signal
import socket
import struct
import sys
import time


def sender(source_port, address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", source_port))
    s.connect((address, port))
    return s


def counters(path):
    """A count for each source port, shared through a file."""
    with open(path, "a+b") as f:
        f.truncate(4 << 16)
        return memoryview(mmap.mmap(f.fileno(), 4 << 16)).cast("I")


WINDOW = 20


def send(address, port, flows, each, first, cpu="", pause="0", path=""):
    if cpu:
        os.sched_setaffinity(0, {int(cpu) % os.cpu_count()})
    sent, late = 0, 0
    arrived = counters(path) if path else None
    for flow in range(int(flows)):
        source = int(first) + flow
        s = sender(source, address, int(port))
        given_up = 0
        for number in range(int(each)):
            patience = time.monotonic() + 2
            while arrived and number - given_up - arrived[source] >= WINDOW:
                if time.monotonic() > patience:
                    given_up = number - arrived[source]
                    late += 1
                time.sleep(0.001)
            try:
                s.send(struct.pack("!II", flow, number))
                sent += 1
            except OSError:
                pass
            if number % 10 == 9:
                time.sleep(float(pause))
        s.close()
        time.sleep(float(pause))
    print(json.dumps({"sent": sent, "windows given up": late}), flush=True)


def steady(address, port, per_second, seconds):
    s = sender(30000, address, int(port))
    start, total = time.monotonic(), int(float(per_second) * float(seconds))
    for number in range(total):
        wait = start + number / float(per_second) - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        try:
            s.send(struct.pack("!II", 0, number))
        except OSError:
            pass
    print(json.dumps({"sent": total}), flush=True)


def receive(port, idle, stamps=""):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    count = counters(stamps) if stamps not in ("", "stamps") else None
    if stamps == "stamps":
        s.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    s.bind(("", int(port)))
    print("ready", flush=True)
    highest, received, reordered, bad, gap, last = {}, 0, 0, set(), 0.0, None
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    s.settimeout(0.5)
    silent_since = time.monotonic()
    while True:
        try:
            data, extra, _, (_, source) = s.recvmsg(64, 64 if stamps == "stamps" else 0)
        except TimeoutError:
            if asked or received and time.monotonic() - silent_since > float(idle):
                break
            continue
        silent_since = time.monotonic()
        if extra:
            seconds, nanoseconds = struct.unpack("qq", extra[0][2][:16])
            now = seconds + nanoseconds / 1e9
            gap, last = max(gap, now - last if last else 0.0), now
        number = struct.unpack("!II", data)[1]
        received += 1
        if count:
            count[source] += 1
        if number < highest.get(source, -1):
            reordered += 1
            bad.add(source)
        else:
            highest[source] = number
    print(json.dumps({"received": received, "reordered": reordered, "flows": len(highest), "flows reordered": len(bad), "gap": round(gap, 3)}), flush=True)


def echo(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", int(port)))
    print("ready", flush=True)
    while True:
        data, source = s.recvfrom(64)
        s.sendto(data, source)


def probe(address, port, count, first):
    times, lost = [], 0
    for n in range(int(count)):
        s = sender(int(first) + n, address, int(port))
        s.settimeout(3)
        start = time.monotonic()
        try:
            s.send(b"probe")
            s.recv(64)
            times.append((time.monotonic() - start) * 1000)
        except OSError:
            lost += 1
        s.close()
        time.sleep(0.01)
    times.sort()
    at = lambda q: round(times[min(int(q * len(times)), len(times) - 1)], 1) if times else None
    print(json.dumps({"p50": at(0.5), "p99": at(0.99), "max": at(1), "lost": lost}), flush=True)


if __name__ == "__main__":
    {f.__name__: f for f in (send, steady, receive, echo, probe)}[sys.argv[1]](*sys.argv[2:])
