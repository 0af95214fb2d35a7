#!/usr/bin/env python3
"""Compares two ovs-ofctl programs on each match field: numbers, versions, masks, what a field needs, whether it can be set.

usage: fields.py OURS REFERENCE [--show N]

For each field of fields.txt: each of its NXM and OXM entries, with and without a mask, with and without what it needs,
through parse-nxm and parse-oxm in each version; and the field in the text of a flow, of set_field, load, move and learn,
in each version. Exit code 1 if anything differs that known.md does not list.
"""
import argparse
import concurrent.futures
import os
import re
import sys

import openflow

HERE = os.path.dirname(os.path.abspath(__file__))

# What a field needs: as text, and as entries.
PREREQUISITES = {
    "None": ("", ""), "Ethernet": ("", ""),
    "Arp": ("arp", "OXM_OF_ETH_TYPE(0806)"), "VlanVid": ("dl_vlan=5", "OXM_OF_VLAN_VID(1005)"),
    "Ipv4": ("ip", "OXM_OF_ETH_TYPE(0800)"), "Ipv6": ("ipv6", "OXM_OF_ETH_TYPE(86dd)"), "IpAny": ("ip", "OXM_OF_ETH_TYPE(0800)"),
    "Mpls": ("mpls", "OXM_OF_ETH_TYPE(8847)"), "Nsh": ("dl_type=0x894f", "OXM_OF_ETH_TYPE(894f)"),
    "Tcp": ("tcp", "OXM_OF_ETH_TYPE(0800), OXM_OF_IP_PROTO(06)"), "Udp": ("udp", "OXM_OF_ETH_TYPE(0800), OXM_OF_IP_PROTO(11)"),
    "Sctp": ("sctp", "OXM_OF_ETH_TYPE(0800), OXM_OF_IP_PROTO(84)"), "Icmp4": ("icmp", "OXM_OF_ETH_TYPE(0800), OXM_OF_IP_PROTO(01)"),
    "Icmp6": ("icmp6", "OXM_OF_ETH_TYPE(86dd), OXM_OF_IP_PROTO(3a)"),
    "Nd": ("icmp6,icmpv6_type=135", "OXM_OF_ETH_TYPE(86dd), OXM_OF_IP_PROTO(3a), OXM_OF_ICMPV6_TYPE(87), OXM_OF_ICMPV6_CODE(00)"),
    "Ct": ("ip,ct_state=+trk+new", "OXM_OF_ETH_TYPE(0800), NXM_NX_CT_STATE_W(00000021/00000021)"),
}
PREREQUISITES["NdSolicit"] = PREREQUISITES["Nd"]
PREREQUISITES["NdAdvert"] = tuple(x.replace("135", "136").replace("(87)", "(88)") for x in PREREQUISITES["Nd"])

# Values and masks in text, by width; addresses and names in the forms that people write.
VALUES = ["0", "1", "5", "0x7f", "255", "65535", "0x12345", "0xffffffff", "1/1", "0x12/0xff", "0x0f/0xf0", "1.2.3.4",
          "1.2.3.0/24", "1.2.3.4/255.0.255.0", "::1", "fe80::/10", "2001:db8::1/ffff::", "00:11:22:33:44:55",
          "00:11:22:33:44:55/ff:ff:00:00:00:00", "+trk+new", "trk|new", "no", "later", "not_later", "syn|ack", "+syn-fin",
          "(0,0)", "(1,0x800)", "LOCAL", "any", "-1", "", "x", "0x1/", "/1", "18446744073709551616", "+oam", "oam"]


def entries(fields):
    """One line of entries each, with the commands that read it."""
    commands = [["--strict", "parse-nxm"]] + [["--strict", "parse-oxm", f"OpenFlow1{v}"] for v in range(2, 6)]
    for _, _, size, bits, prereq, numbers in fields:
        size, bits = int(size), int(bits)
        if numbers == "-":
            continue
        size = min(size, 4) if bits == 992 else size
        top = (1 << min(bits, 8 * size)) - 1
        for name in numbers.split(","):
            for value in sorted({1, top, 1 << 8 * size - 1}):
                v = value.to_bytes(size, "big").hex()
                for needs in {"", PREREQUISITES[prereq][1]}:
                    before = needs + ", " if needs else ""
                    for command in commands:
                        yield command, before + f"{name}({v})"
                        yield command, before + f"{name}_W({v}/{v})"


def texts(fields):
    for name, alias, size, bits, prereq, _ in fields:
        needs = PREREQUISITES[prereq][0]
        before = needs + "," if needs else ""
        for n in (name, alias):
            if n == "-":
                continue
            for value in VALUES if n == name else VALUES[:3]:
                yield [], f"{before}{n}={value},actions=drop"
            yield [], f"{n}=1,actions=drop"
            yield [], f"{before}actions=set_field:1->{n}"
            for v in (0, 1, 3, 5):
                version = ["-O", f"OpenFlow1{v}"]
                last = int(bits) - 1
                yield version, f"{before}{n}=1,actions=drop"
                yield version, f"{before}{n}=1/1,actions=drop"
                yield version, f"{before}actions=set_field:1->{n}"
                yield version, f"{before}actions=set_field:1/1->{n}"
                yield version, f"{before}actions=load:1->{n}[0..{min(last, 63)}]"
                yield version, f"{before}actions=move:{n}[0]->reg0[0],move:reg0[0]->{n}[0]"
                yield version, f"{before}actions=learn({n}=1),learn({n}[]),learn(load:{n}[]->reg9[0..{min(last, 31)}])"
                yield version, f"{before}actions=push:{n}[],pop:{n}[{last}],output:{n}[0..{min(last, 15)}]"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ours")
    p.add_argument("reference")
    p.add_argument("--show", type=int, default=20)
    a = p.parse_args()
    with open(os.path.join(HERE, "fields.txt")) as f:
        fields = [l.split() for l in f if l.strip() and not l.startswith("#")]
    # Of fields that differ in a number alone some are enough.
    fields = [x for x in fields if not re.match(r"x*reg\d+$", x[0]) or x[0].strip("xreg") in ("0", "1", "3", "7", "15", "16")]
    by_command = {}
    for command, text in entries(fields):
        by_command.setdefault(tuple(command), []).append(text)
    cases = [(list(c), "\n".join(t[i:i + 4]) + "\n", t[i:i + 4]) for c, t in by_command.items() for i in range(0, len(t), 4)]
    n, bad, listed = openflow.compare(a, "entry", cases, "\n", openflow.known("entry"))
    print(f"entries: {n} compared, {bad} differ, {listed} differ as known.md says", flush=True)
    cases = [(options + ["parse-flow", text], "", [text]) for options, text in texts(fields)]
    m, worse, listed = openflow.compare(a, "flow", cases, None, openflow.known("flow"))
    print(f"texts: {m} compared, {worse} differ, {listed} differ as known.md says")
    return 1 if bad or worse else 0


if __name__ == "__main__":
    sys.exit(main())
