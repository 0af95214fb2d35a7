"""Puts one Ethernet frame into a bridge through one host's interface and tells which hosts got it, and in what form.

A frame is described in words: `to=HOST|MAC|bcast` `from=MAC` `vlan=VID[.PCP[.TPID]]` (repeatable, outermost first)
`ip=SRC>DST[/PROTO]` `udp=SRC>DST` `tcp=SRC>DST` `type=0x1234` `ttl=N` `tos=N` `len=N`. Every frame ends in a mark, so
that nothing else on the wire is mistaken for it."""
import ctypes
import itertools
import os
import select
import socket
import struct
import threading
import time

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
VLAN_VALID, TPID_VALID = 1 << 4, 1 << 6
CLONE_NEWNET = 0x40000000
QUIET = 0.4  # s without a further copy of the frame, after which it is taken to have arrived everywhere

marks = itertools.count(1)


class FrameError(Exception):
    """The description of a frame is wrong; the text says how."""


def mac(text):
    parts = text.split(":")
    if len(parts) != 6:
        raise FrameError(f"'{text}' is not a MAC address")
    return bytes(int(p, 16) for p in parts)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pair(value):
    left, arrow, right = value.partition(">")
    if not arrow:
        raise FrameError(f"'{value}' is not SOURCE>DESTINATION")
    return left, right


def build(words, sender, host_macs):
    """The bytes of the frame that `words` describe, sent by the interface with MAC address `sender`."""
    head = {"to": "bcast", "from": sender, "type": "0x88b5", "ttl": "64", "tos": "0", "len": "60"}
    vlans, layers = [], {}
    for word in words:
        key, eq, value = word.partition("=")
        if not eq or key not in (*head, "vlan", "ip", "udp", "tcp"):
            raise FrameError(f"'{word}' is no part of a frame")
        if key == "vlan":
            vlans.append(value)
        elif key in head:
            head[key] = value
        else:
            layers[key] = value
    to = {"bcast": "ff:ff:ff:ff:ff:ff", **host_macs}.get(head["to"], head["to"])
    frame = mac(to) + mac(head["from"])
    for vlan in vlans:
        vid, pcp, tpid = (vlan + ".0.0x8100").split(".")[:3] if vlan.count(".") == 0 else (vlan + ".0x8100").split(".")[:3]
        frame += struct.pack("!HH", int(tpid, 0), int(vid) | int(pcp) << 13)
    mark = b"ferrovs-mark-%06d" % next(marks)
    body, kind = ip_packet(layers, head, mark) if "ip" in layers else (mark, int(head["type"], 0))
    frame += struct.pack("!H", kind) + body
    return frame[:-len(mark)] + bytes(max(0, int(head["len"]) - len(frame))) + mark, mark


def ip_packet(layers, head, mark):
    addresses, _, proto = layers["ip"].partition("/")
    source, target = (socket.inet_aton(a) for a in pair(addresses))
    body, number = mark, int(proto or 253)
    for name, value in layers.items():
        if name in ("udp", "tcp"):
            ports = struct.pack("!HH", *(int(p) for p in pair(value)))
            if name == "udp":
                body, number = ports + struct.pack("!HH", 8 + len(mark), 0) + mark, 17
            else:
                body, number = ports + struct.pack("!IIHHHH", 1, 0, 0x5002, 1024, 0, 0) + mark, 6
    top = struct.pack("!BBHHHBBH", 0x45, int(head["tos"]), 20 + len(body), 1, 0, int(head["ttl"]), number, 0)
    top += source + target
    return top[:10] + struct.pack("!H", checksum(top)) + top[12:] + body, 0x800


def opened_in(netns, make):
    """What `make` returns, called in a thread of its own inside the named network namespace."""
    result = []

    def work():
        fd = os.open(f"/run/netns/{netns}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            result.append(make())
        finally:
            os.close(fd)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if not result:
        raise FrameError(f"no socket in network namespace {netns}")
    return result[0]


def sniffer():
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind(("eth0", ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    return s


def received(s):
    """One frame as it was on the wire: the kernel's receive path moves the outer VLAN tag into auxiliary data."""
    data, aux, _, address = s.recvmsg(65536, 256)
    if address[2] == socket.PACKET_OUTGOING:
        return b""
    for level, kind, value in aux:
        if level == SOL_PACKET and kind == PACKET_AUXDATA and len(value) >= 20:
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
            if status & VLAN_VALID:
                data = data[:12] + struct.pack("!HH", tpid if status & TPID_VALID else 0x8100, tci) + data[12:]
    return data


def readable(frame, mark):
    def mac_text(b):
        return ":".join(f"{x:02x}" for x in b)
    at, text = 12, f"{mac_text(frame[6:12])} > {mac_text(frame[:6])}"
    while frame[at:at + 2] in (b"\x81\0", b"\x88\xa8"):
        tci = int.from_bytes(frame[at + 2:at + 4], "big")
        text += f" vlan {tci & 0xFFF} pcp {tci >> 13}" + (" tpid 0x88a8" if frame[at] == 0x88 else "")
        at += 4
    body = frame[at + 2:frame.rindex(mark)]
    text += f" type 0x{frame[at:at + 2].hex()} len {len(frame)}"
    return text + (f" {body.rstrip(bytes(1)).hex(' ', 4)}" if body.rstrip(bytes(1)) else "")


def inject(sender, words, hosts):
    """`hosts`: name to MAC address. Returns lines `HOST: frame` in the order of host names."""
    frame, mark = build(words, hosts[sender], hosts)
    ears = {opened_in(name, sniffer): name for name in hosts}
    mouth = next(s for s, name in ears.items() if name == sender)
    heard = []
    try:
        mouth.send(frame)
        end = time.monotonic() + QUIET
        while (left := end - time.monotonic()) > 0:
            for s in select.select(list(ears), [], [], left)[0]:
                got = received(s)
                if mark in got:
                    heard.append(f"{ears[s]}: {readable(got, mark)}\n")
                    end = time.monotonic() + QUIET
    finally:
        for s in ears:
            s.close()
    return "".join(sorted(heard)) or "nobody got it\n"
