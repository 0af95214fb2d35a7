"""Inputs for ovs-ofctl's offline commands, and how the outputs of two programs are told apart, input by input.

Each function takes (rng, n, material) and gives a list of (command line, standard input, inputs): the programs run the
command once for all inputs of an entry. `outputs` splits what they print.
"""
import random
import re
import struct

LINES = 100


def mutate(rng, data, keep=0):
    """Changes a few bytes behind the first `keep`."""
    b = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        if len(b) <= keep:
            break
        at = rng.randrange(keep, len(b))
        kind = rng.randrange(5)
        if kind == 0:
            b[at] = rng.randrange(256)
        elif kind == 1:
            b[at] ^= 1 << rng.randrange(8)
        elif kind == 2 and len(b) < 1000:
            b[at:at] = bytes(rng.choice([1, 2, 4, 8]))
        elif kind == 3:
            del b[at:at + rng.choice([1, 2, 4, 8])]
        else:
            b[at] = rng.choice([0, 1, 0x7f, 0x80, 0xff])
    return bytes(b)


class Material:
    """What inputs are made of: pieces of recorded messages, names of fields, flows as text, packets."""

    def __init__(self, messages, texts, fields, packets):
        self.texts = texts
        self.packets = packets
        self.messages = messages
        self.entries = []
        for line in fields:
            name, _, size, _, _, numbers = line.split()
            if numbers != "-":
                self.entries += [(n, 4 if name.startswith("tun_metadata") else int(size)) for n in numbers.split(",")]
        self.actions = {v: [] for v in range(1, 7)}
        self.instructions = {v: [] for v in range(2, 7)}
        self.of10, self.of11 = [], []
        for m in messages:
            if len(m) >= 56 and m[1] == 14:
                self.flow_mod(m)

    def flow_mod(self, m):
        version = m[0]
        if version == 1:
            self.of10.append(m[8:48])
            self.actions[1].append(m[72:])
            return
        size = int.from_bytes(m[50:52], "big")
        if m[48:50] == b"\0\0" and size == 88:
            self.of11.append(m[48:136])
        rest = m[48 + (size + 7) // 8 * 8:]
        if version not in self.instructions:
            return
        self.instructions[version].append(rest)
        while len(rest) >= 8:
            kind, size = struct.unpack(">HH", rest[:4])
            if kind in (3, 4):
                self.actions[version].append(rest[8:size])
            rest = rest[max(size, 8):]


def batches(command, lines):
    return [(command, "\n".join(lines[i:i + LINES]) + "\n", lines[i:i + LINES]) for i in range(0, len(lines), LINES)]


def hex_of(b):
    return b.hex() or "00"


def actions(rng, n, m):
    out = []
    for version, pool in m.actions.items():
        pool = [p for p in pool if p] or [bytes.fromhex("0000001000000001ffff000000000000")]
        lines = [hex_of(mutate(rng, rng.choice(pool))) for _ in range(n // 6)]
        out += batches(["parse-actions", f"OpenFlow1{version - 1}"], lines)
    return out


def instructions(rng, n, m):
    out = []
    for version, pool in m.instructions.items():
        pool = [p for p in pool if p] or [bytes.fromhex("0001000803000000")]
        lines = [hex_of(mutate(rng, rng.choice(pool))) for _ in range(n // 5)]
        out += batches(["parse-instructions", f"OpenFlow1{version - 1}"], lines)
    return out


def fixed_matches(rng, n, m):
    def damaged(pool, size):
        b = bytearray(rng.choice(pool))
        for _ in range(rng.randrange(6)):
            b[rng.randrange(size)] = rng.choice([0, 1, 0xff, 0x80, rng.randrange(256)])
        return bytes(b).hex()

    of11 = m.of11 or [bytes.fromhex("00000058" + "00000001" + "000003ff" + "00" * 6 + "ff" * 6 + "00" * 6 + "ff" * 6
                                    + "00" * 8 + "00" * 4 + "ff" * 4 + "00" * 4 + "ff" * 4 + "00" * 20 + "ff" * 8)]
    return (batches(["parse-ofp10-match"], [damaged(m.of10, 40) for _ in range(n // 2)])
            + batches(["parse-ofp11-match"], [damaged(of11, 88) for _ in range(n // 2)]))


# What entries need that come after them.
NEEDED = ["", "", "OXM_OF_ETH_TYPE(0800)", "OXM_OF_ETH_TYPE(86dd)", "OXM_OF_ETH_TYPE(0806)", "OXM_OF_ETH_TYPE(8847)",
          "OXM_OF_ETH_TYPE(894f)", "OXM_OF_VLAN_VID_W(1000/1000)", "NXM_NX_CT_STATE_W(00000021/00000021)",
          "OXM_OF_ETH_TYPE(0800),OXM_OF_IP_PROTO(06)", "OXM_OF_ETH_TYPE(86dd),OXM_OF_IP_PROTO(11)",
          "OXM_OF_ETH_TYPE(0800),OXM_OF_IP_PROTO(84)", "OXM_OF_ETH_TYPE(0800),OXM_OF_IP_PROTO(01)",
          "OXM_OF_ETH_TYPE(86dd),OXM_OF_IP_PROTO(3a)", "OXM_OF_PACKET_TYPE(00010800)",
          "OXM_OF_ETH_TYPE(86dd),OXM_OF_IP_PROTO(3a),OXM_OF_ICMPV6_TYPE(87),OXM_OF_ICMPV6_CODE(00)"]


def entry(rng, name, size):
    value = bytearray(rng.choice([bytes(size), rng.randbytes(size), bytes(size - 1) + bytes([rng.randrange(256)])]))
    if rng.randrange(3) or not value:
        return f"{name}({value.hex()})"
    mask = bytearray(rng.choice([rng.randbytes(size), b"\xff" * size, bytes(size), b"\xff" + bytes(size - 1)]))
    if rng.randrange(8):
        value = bytes(v & k for v, k in zip(value, mask))
    return f"{name}_W({value.hex()}/{mask.hex()})"


def entries(rng, n, m):
    """Well-formed lists of entries. A name with `_W` that does not exist ends the program: those have lines alone."""
    out = []
    for _ in range(n // 20):
        command = rng.choice([["parse-nxm"], ["--strict", "parse-nxm"], ["--strict", "parse-nx-match"]]
                             + [["parse-oxm", f"OpenFlow1{v}"] for v in range(2, 6)]
                             + [["--strict", "parse-oxm", f"OpenFlow1{v}"] for v in range(2, 6)])
        lines = []
        for _ in range(20):
            words = [rng.choice(NEEDED)] + [entry(rng, *rng.choice(m.entries)) for _ in range(rng.choice([1, 1, 2, 3]))]
            lines.append(", ".join(w for w in words if w))
        # Each line alone, but in one run: bad names are looked for beforehand by the caller's retry.
        out.append((command, "\n".join(lines) + "\n", lines))
    return out


def damaged_entries(rng, n, m):
    out = []
    for _ in range(n):
        text = list(entry(rng, *rng.choice(m.entries)))
        for _ in range(rng.choice([1, 1, 2])):
            at = rng.randrange(len(text))
            if rng.randrange(2):
                text[at] = rng.choice("0123456789abcdefXZ_W()/, ")
            else:
                del text[at]
        text = "".join(text)
        out.append((["parse-nxm"], text + "\n", [text]))
    return out


def vlans(rng, n, _):
    def number():
        return rng.choice([0, 0xffff, 0x1000, 0xf000, 0xe000, 0x1fff, 0x0fff, rng.randrange(65536)])

    out = []
    for _ in range(n):
        args = [f"{number():04x}", f"{number():04x}"]
        out.append((["check-vlan"] + args, "", [" ".join(args)]))
    return out


GROUPS = [
    "group_id=1,type=all,bucket=output:1,bucket=output:2",
    "group_id=5,type=select,selection_method=hash,selection_method_param=1,fields(ip_src,ip_dst),bucket=weight:5,output:1",
    "group_id=5,type=select,selection_method=dp_hash,selection_method_param=7,bucket=bucket_id:1,weight:5,actions=output:1",
    "group_id=0x10,type=indirect,bucket=actions=mod_dl_src:00:00:00:00:00:01,output:3",
    "group_id=7,type=ff,bucket=watch_port:1,output:1,bucket=watch_group:2,output:2",
    "group_id=7,type=fast_failover,bucket=watch_port=LOCAL,actions=output:1",
    "group_id=4294967040,type=all", "group_id=8,type=select,bucket=weight:0,drop,bucket=group:1",
    "group_id=9,type=all,command_bucket_id=1,bucket=bucket_id=3,actions=output:1",
    "group_id=9,command_bucket_id=first,type=all,bucket=bucket_id=3,actions=ct(commit),resubmit(,2)",
    "group_id=1,type=select,selection_method=hash,fields=eth_dst,ip_dst,tcp_dst,bucket=weight=2,output:10",
    "group_id=1,type=select,selection_method=hash,fields(eth_src=ff:ff:00:00:00:00,ip_src=255.255.0.0),bucket=set_field:5->reg0,output:10",
]


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
    # A dash in front would make an option of the text.
    return ",".join(parts).replace("\n", "").lstrip("-")


def flows(rng, n, m):
    pool = sorted({p for t in m.texts for p in t.split(",") if "=" in p or p.isalnum()})
    out = []
    for _ in range(n):
        text = mutate_text(rng, rng.choice(m.texts), pool)
        out.append((["-O", f"OpenFlow1{rng.randrange(6)}", "parse-flow", text], "", [text]))
    return out


def groups(rng, n, _):
    pool = sorted({p for t in GROUPS for p in t.split(",")})
    out = []
    for _ in range(n):
        text = mutate_text(rng, rng.choice(GROUPS), pool)
        out.append((["-O", f"OpenFlow1{rng.randrange(1, 6)}", "parse-group", text], "", [text]))
    return out


def pcap(packets):
    out = struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)
    return out + b"".join(struct.pack("<IIII", 1000 + i, 0, len(p), len(p)) + p for i, p in enumerate(packets))


def captures(rng, n, m):
    """Packets, 100 in a file; `@` in the command line stands for the file."""
    out = []
    for _ in range(n // LINES):
        packets = [mutate(rng, rng.choice(m.packets)) for _ in range(LINES)]
        out.append((["parse-pcap", "@"], pcap(packets), [p.hex() for p in packets]))
    return out


def packets(rng, n, m):
    found = [mutate(rng, rng.choice(m.packets)) for _ in range(n)]
    return [(["parse-packet"], p, [p.hex()]) for p in found]


def streams(rng, n, m):
    """Whole messages in TCP segments of any size, some of them lost, sent twice or out of order."""
    out = []
    good = [x for x in m.messages if int.from_bytes(x[2:4], "big") == len(x)]
    for _ in range(n):
        segments = []
        for port in rng.sample(range(40000, 40010), 2):
            seq, data = rng.randrange(1 << 32), b"".join(rng.choice(good) for _ in range(3))
            while data:
                size = rng.randrange(1, 200)
                segments.append(segment(port, 6653, seq, data[:size]))
                seq, data = seq + len(data[:size]) & 0xffffffff, data[size:]
                if not rng.randrange(8):
                    segments.append(rng.choice(segments))
        if not rng.randrange(4):
            del segments[rng.randrange(len(segments))]
        out.append((["ofp-parse-pcap", "@"], pcap(segments), [segments[0].hex()]))
    return out


def segment(src, dst, seq, data):
    tcp = struct.pack(">HHIIBBHHH", src, dst, seq, 1, 0x50, 0x10, 1000, 0, 0) + data
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    return bytes(12) + b"\x08\x00" + ip + tcp


COMPOSED = ["tcp", "udp,tp_src=5,tp_dst=6", "icmp,icmp_type=8", "arp,arp_op=1,arp_spa=10.0.0.1", "ip,nw_proto=99",
            "tcp6,ipv6_src=fe80::1,ipv6_dst=fe80::2", "icmp6,icmpv6_type=135,nd_target=::1", "sctp", "dl_vlan=5,tcp",
            "mpls,mpls_label=5,mpls_bos=1", "eth_type=0x894f,nsh_mdtype=1,nsh_np=1", "udp,nw_frag=first", "rarp",
            "tcp,nw_frag=later", "icmp6,icmpv6_type=128", "icmp6,icmpv6_type=136,nd_target=::1", "udp6", "ip,nw_proto=2",
            "dl_type=0x1234", "tcp,tcp_flags=syn|ack", "vlan_tci=0x3123,udp", "tcp,nw_ttl=64,nw_tos=32,nw_ecn=1"]


def composed(rng, n, _):
    pool = sorted({p for t in COMPOSED for p in t.split(",")} | {"in_port=1", "reg0=7", "tun_id=3", "nw_src=1.2.3.4/24"})
    out = []
    for _ in range(n):
        text = mutate_text(rng, rng.choice(COMPOSED), pool)
        out.append((["compose-packet", text], "", [text]))
    return out


# Kind, share of all inputs in percent, function, what separates outputs.
KINDS = [
    ("flow", 18, flows, None), ("group", 5, groups, None), ("action", 12, actions, "\n\n"),
    ("instruction", 8, instructions, "\n\n"), ("match", 5, fixed_matches, "\n\n"), ("entry", 10, entries, "\n"),
    ("entry_text", 2, damaged_entries, None), ("vlan", 1, vlans, None), ("capture", 5, captures, "\n"),
    ("packet", 2, packets, None), ("stream", 1, streams, None), ("composed", 1, composed, None),
]
