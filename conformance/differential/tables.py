"""Random flow tables, groups, and packets as ofproto/trace takes them, for trace.py. Everything hangs on one random.Random.

Where a hash chooses (select groups, multipath, bundle), there is one to choose from: the hash functions are nobody's promise.
"""

MACS = ["50:54:00:00:00:01", "50:54:00:00:00:02", "50:54:00:00:00:03", "01:00:5e:01:02:03", "ff:ff:ff:ff:ff:ff",
        "01:80:c2:00:00:00", "33:33:00:00:00:01"]
IPS = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "192.168.0.1", "224.0.0.5", "239.1.1.1"]
IP_MASKS = ["", "", "/24", "/8", "/255.0.255.255", "/31"]
IP6S = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "fe80::1", "ff02::1"]
IP6_MASKS = ["", "", "/64", "/32", "/ffff::ffff", "/127"]
L4 = [80, 53, 1000, 1001, 4789]
LAST_TABLE = 5
PORTS = [1, 2, 3, 4, 5, 6]
GROUPS = [1, 2, 3, 4, 5, 6]
METERS = [1, 2]

# kind: (word of the match, its protocol family, layer-4 protocol)
KINDS = {
    "eth": ("dl_type=0x1234", None, None), "ip": ("ip", "ip", None), "tcp": ("tcp", "ip", "tcp"), "udp": ("udp", "ip", "udp"),
    "icmp": ("icmp", "ip", "icmp"), "sctp": ("sctp", "ip", "sctp"), "gre": ("ip,nw_proto=47", "ip", None),
    "igmp": ("igmp", "ip", "igmp"), "ipv6": ("ipv6", "ipv6", None), "tcp6": ("tcp6", "ipv6", "tcp"),
    "udp6": ("udp6", "ipv6", "udp"), "icmp6": ("icmp6", "ipv6", "icmp6"),
    "ns": ("icmp6,icmpv6_type=135,icmpv6_code=0", "ipv6", "nd"), "na": ("icmp6,icmpv6_type=136,icmpv6_code=0", "ipv6", "nd"),
    "arp": ("arp", "arp", None), "rarp": ("rarp", "arp", None), "mpls": ("mpls", "mpls", None), "mplsm": ("mplsm", "mpls", None),
    "nsh": ("dl_type=0x894f", "nsh", None),
}
WEIGHTED = ["eth", "ip", "ip", "tcp", "tcp", "tcp", "udp", "udp", "icmp", "sctp", "gre", "igmp", "ipv6", "tcp6", "tcp6", "udp6",
            "icmp6", "ns", "na", "arp", "arp", "rarp", "mpls", "mpls", "mplsm", "nsh"]


class Tables:
    def __init__(self, rng):
        self.rng = rng
        self.priorities = set()

    def one(self, items):
        return self.rng.choice(items)

    def chance(self, p):
        return self.rng.random() < p

    def number(self, pool, bits):
        """A number, or in a match a number with a mask."""
        n = self.one(pool)
        if self.chance(0.25):
            return f"{n}/{self.one([1, 0xf, (1 << bits) - 1, (1 << bits) - 4])}"
        return str(n)

    def ip(self, masked):
        return self.one(IPS) + (self.one(IP_MASKS) if masked else "")

    def ip6(self, masked):
        return self.one(IP6S) + (self.one(IP6_MASKS) if masked else "")

    def mac(self, masked):
        tail = self.one(["", "", "", "/ff:ff:ff:00:00:00", "/01:00:00:00:00:00"]) if masked else ""
        return self.one(MACS) + tail

    # Fields: each gives a list of `name=value`; `masked` is for matches, without it the text names one packet.

    def layer3(self, kind, masked):
        rng, family, l4 = self.rng, KINDS[kind][1], KINDS[kind][2]
        out = []
        if family == "ip":
            out = [f"nw_src={self.ip(masked)}", f"nw_dst={self.ip(masked)}", f"nw_ttl={self.one([0, 1, 2, 64, 255])}",
                   f"nw_tos={self.one([0, 4, 184])}", f"nw_ecn={rng.randrange(4)}"]
        elif family == "ipv6":
            out = [f"ipv6_src={self.ip6(masked)}", f"ipv6_dst={self.ip6(masked)}", f"nw_ttl={self.one([1, 2, 64])}",
                   f"nw_tos={self.one([0, 4, 184])}", f"ipv6_label={self.one([0, 5, 0xfffff])}"]
        elif family == "arp":
            out = [f"arp_spa={self.ip(masked)}", f"arp_tpa={self.ip(masked)}", f"arp_op={self.one([1, 2, 3])}",
                   f"arp_sha={self.mac(masked)}", f"arp_tha={self.mac(masked)}"]
        elif family == "mpls":
            out = [f"mpls_label={self.one([0, 3, 16, 100, 1048575])}", f"mpls_tc={rng.randrange(8)}",
                   f"mpls_ttl={self.one([0, 1, 64])}", f"mpls_bos={rng.randrange(2)}"]
        elif family == "nsh":
            out = [f"nsh_mdtype={self.one([1, 2])}", f"nsh_np={self.one([1, 2, 3])}", f"nsh_spi={self.number([1, 0x123456], 24) if masked else 5}",
                   f"nsh_si={self.one([0, 1, 255])}", f"nsh_ttl={self.one([0, 1, 63])}"]
        if family in ("ip", "ipv6") and self.chance(0.15):
            out.append(f"nw_frag={self.one(['first', 'later', 'no', 'yes', 'not_later'] if masked else ['first', 'later'])}")
        return out + self.layer4(l4, masked)

    def layer4(self, l4, masked):
        if l4 in ("tcp", "udp", "sctp"):
            names = ("tp", "tp") if masked else (l4, l4)
            out = [f"{n}_{end}={self.number(L4, 16) if masked else self.one(L4)}" for n, end in zip(names, ("src", "dst"))]
            if l4 == "tcp":
                out.append(f"tcp_flags={self.one(['+syn-ack', '+ack', '0x12/0x3f']) if masked else self.one(['2', '0x10', '0x12'])}")
            return out
        if l4 in ("icmp", "icmp6"):
            types = [0, 3, 8, 11] if l4 == "icmp" else [1, 128, 129, 133]
            name = "icmp" if masked or l4 == "icmp" else "icmpv6"
            return [f"{name}_type={self.one(types)}", f"{name}_code={self.one([0, 1, 3])}"]
        if l4 == "nd":
            return [f"nd_target={self.ip6(masked)}", f"nd_sll={self.mac(masked)}"]
        return []

    def metadata(self, masked):
        n = (lambda pool, bits: self.number(pool, bits)) if masked else (lambda pool, bits: str(self.one(pool)))
        out = [f"reg{self.rng.randrange(4)}={n([0, 1, 2, 5], 32)}", f"metadata={n([0, 1, 0x12], 64)}",
               f"tun_id={n([0, 1, 5], 64)}", f"pkt_mark={n([0, 1, 5], 32)}", f"xreg2={n([0, 1, 5], 64)}"]
        if self.chance(0.3):
            out += [f"tun_src={self.ip(masked)}", f"tun_dst={self.ip(masked)}", f"tun_tos={self.one([0, 4])}", f"tun_ttl={self.one([1, 64])}"]
        return out

    def conntrack(self, masked):
        if masked:
            return [f"ct_state={self.one(['+trk', '-trk', '+trk+new', '+trk+est-rpl', '+trk+inv'])}", f"ct_mark={self.number([0, 1, 5], 32)}",
                    f"ct_zone={self.one([0, 1, 5])}", f"ct_label={self.number([0, 1, 5], 128)}"]
        return [f"ct_state={self.one(['trk', 'trk|new', 'trk|est', 'trk|est|rpl'])}", f"ct_mark={self.one([0, 1, 5])}",
                f"ct_zone={self.one([0, 1])}"]

    def vlan(self, masked):
        if masked:
            return self.one([["dl_vlan=10"], ["dl_vlan=20"], ["vlan_tci=0"], ["dl_vlan=10", "dl_vlan_pcp=3"], ["vlan_tci=0x1000/0x1000"],
                             ["vlan_vid=0x1000/0x1000"], ["dl_vlan_pcp=3"], ["dl_vlan=0xffff"]])
        return self.one([["dl_vlan=10"], ["dl_vlan=20"], ["dl_vlan=10", "dl_vlan_pcp=3"], ["dl_vlan=0", "dl_vlan_pcp=5"], ["dl_vlan=30"]])

    def some(self, fields, p):
        return [f for f in fields if self.chance(p)]

    def match(self):
        """A match, and the kind of packet it is for (None: any)."""
        if self.chance(0.25):
            kind, out = None, []
        else:
            kind = self.one(WEIGHTED)
            out = [KINDS[kind][0], *self.some(self.layer3(kind, True), 0.2)]
        if self.chance(0.3):
            out.append(f"in_port={self.one([*PORTS, 'LOCAL'])}")
        if self.chance(0.2):
            out.append(f"dl_src={self.mac(True)}")
        if self.chance(0.25):
            out.append(f"dl_dst={self.mac(True)}")
        if self.chance(0.2):
            out += self.vlan(True)
        if self.chance(0.25):
            out += self.some(self.metadata(True), 0.3)
        if kind and KINDS[kind][1] in ("ip", "ipv6") and self.chance(0.15):
            out += self.some(self.conntrack(True), 0.5)
        return out, kind

    def packet(self):
        """A packet as text of a flow."""
        kind = self.one(WEIGHTED)
        out = [KINDS[kind][0], f"in_port={self.one([1, 2, 3, 4, 5, 6, 'LOCAL'])}"]
        if self.chance(0.9):
            out.append(f"dl_src={self.one(MACS[:3])}")
        if self.chance(0.9):
            out.append(f"dl_dst={self.mac(False)}")
        if kind == "mplsm":
            out[0] = "mplsm"
        out += self.some(self.layer3(kind, False), 0.75)
        if self.chance(0.3):
            out += self.vlan(False)
        if self.chance(0.1):
            out += self.some(self.metadata(False), 0.4)
        if KINDS[kind][1] in ("ip", "ipv6") and self.chance(0.08):
            out += self.some(self.conntrack(False), 0.6)
        return ",".join(out)

    # Actions.

    def setting(self, kind):
        """set_field, load, move, … that fits packets of this kind."""
        one = self.one
        family, l4 = (KINDS[kind][1], KINDS[kind][2]) if kind else (None, None)
        choices = [f"set_field:{self.mac(False)}->eth_src", f"mod_dl_dst:{self.mac(False)}", f"load:{one([1, 5])}->NXM_NX_REG{one([0, 1, 2])}[]",
                   f"set_field:{one([1, 5])}->reg1", "set_field:0x12/0xff->metadata", "load:3->NXM_NX_REG0[4..7]", "set_field:7->xreg2",
                   "move:NXM_NX_REG0[0..15]->NXM_NX_REG1[16..31]", "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]", "move:NXM_OF_IN_PORT[]->NXM_NX_REG2[0..15]",
                   f"set_tunnel:{one([1, 5])}", f"set_field:{one([1, 5])}->pkt_mark", f"load:{one([1, 2, 6])}->NXM_OF_IN_PORT[]",
                   "push:NXM_NX_REG0[]", "push:NXM_OF_ETH_SRC[],push:NXM_OF_ETH_DST[],pop:NXM_OF_ETH_SRC[],pop:NXM_OF_ETH_DST[]", "pop:NXM_NX_REG1[]",
                   "load:0x1->OXM_OF_METADATA[0..3]", "move:OXM_OF_METADATA[0..7]->NXM_NX_REG3[8..15]", "set_field:50:54:00:00:00:09/ff:ff:00:00:00:0f->eth_dst",
                   "set_field:10.0.0.9->tun_dst", "load:0xffff->NXM_NX_XXREG1[0..15]", "set_field:1.2.3.4->tun_src"]
        fitting = []
        if family == "ip":
            fitting += [f"mod_nw_src:{self.ip(False)}", f"set_field:{self.ip(False)}->ip_dst", f"mod_nw_tos:{one([0, 4, 184])}", "mod_nw_ecn:2", "dec_ttl",
                        "dec_ttl(1,2)", f"mod_nw_ttl:{one([1, 64])}", "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]", "set_field:10.9.0.0/255.255.0.0->ip_src",
                        "load:0x5->NXM_OF_IP_DST[0..7]"]
        elif family == "ipv6":
            fitting += [f"set_field:{self.ip6(False)}->ipv6_src", f"set_field:{self.ip6(False)}->ipv6_dst", "dec_ttl", "set_field:7->ipv6_label",
                        "load:1->NXM_NX_IPV6_DST[0..15]", "mod_nw_tos:4"]
        elif family == "arp":
            fitting += [f"set_field:{one([1, 2])}->arp_op", f"set_field:{self.ip(False)}->arp_spa", f"set_field:{self.mac(False)}->arp_sha",
                        "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]", "move:NXM_OF_ARP_TPA[]->NXM_OF_ARP_SPA[]"]
        elif family == "mpls":
            fitting += ["set_field:17->mpls_label", "set_mpls_ttl:9", "dec_mpls_ttl", "set_field:5->mpls_tc", "pop_mpls:0x0800", "pop_mpls:0x8847",
                        "pop_mpls:0x86dd", "push_mpls:0x8848"]
        elif family == "nsh":
            fitting += ["set_field:9->nsh_ttl", "set_field:0x123->nsh_spi", "dec_nsh_ttl", "decap()", "set_field:4->nsh_si"]
        if l4 in ("tcp", "udp", "sctp"):
            fitting += [f"mod_tp_src:{one(L4)}", f"mod_tp_dst:{one(L4)}", f"set_field:{one(L4)}->{l4}_dst", f"move:NXM_NX_REG0[0..15]->{'NXM_OF_TCP_SRC' if l4 == 'tcp' else 'NXM_OF_UDP_SRC' if l4 == 'udp' else 'OXM_OF_SCTP_SRC'}[]"]
        if kind == "icmp":
            fitting += ["set_field:0->icmp_type", "set_field:1->icmp_code"]
        if l4 == "nd":
            fitting += [f"set_field:{self.ip6(False)}->nd_target"]
            fitting += [f"set_field:{self.mac(False)}->{'nd_sll' if kind == 'ns' else 'nd_tll'}"]
        if family in ("ip", "ipv6", "arp", None):
            fitting += ["push_mpls:0x8847", "push_vlan:0x8100", "push_vlan:0x88a8,set_field:4116->vlan_vid"]
        return one(fitting) if fitting and self.chance(0.6) else one(choices)

    def vlan_action(self):
        return self.one(["mod_vlan_vid:10", "mod_vlan_vid:20", "mod_vlan_pcp:3", "strip_vlan", "pop_vlan", "push_vlan:0x8100,set_field:4106->vlan_vid",
                         "push_vlan:0x8100", "load:0x100a->NXM_OF_VLAN_TCI[]"])

    def output(self):
        one = self.one
        return one([f"output:{one(PORTS)}", f"output:{one(PORTS)}", f"output:{one(PORTS)}", "in_port", "all", "flood", "local", "normal", "normal", "normal",
                    f"output(port={one(PORTS)},max_len={one([14, 64, 100])})", "output:NXM_NX_REG0[]", "output:NXM_NX_REG2[0..15]", "controller",
                    "controller:64", "controller(reason=invalid_ttl,id=3)", "controller(userdata=01.02.03)", "controller(userdata=01.02,pause)",
                    "controller(reason=no_match,max_len=100,meter_id=1)", f"enqueue:{one([1, 2])}:{one([0, 3])}", "output:77", "normal"])

    def inner(self, kind, depth):
        """Actions inside clone, ct, write_actions, buckets."""
        return ",".join(self.action(kind, LAST_TABLE, depth + 1) for _ in range(self.one([1, 1, 2, 3])))

    def learn(self, table):
        one = self.one
        return "learn(" + ",".join([f"table={one([table + 1, LAST_TABLE, 9])}"] + self.some([f"priority={one([1, 100])}"], 0.5) +
                                   self.some([f"idle_timeout={one([10, 60])}", f"hard_timeout={one([20, 300])}", "cookie=0x7", "fin_idle_timeout=5", "send_flow_rem",
                                              "delete_learned", "limit=3", "result_dst=NXM_NX_REG3[0]"], 0.2) +
                                   [one(["NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]", "NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]", "eth_type=0x800,NXM_OF_IP_DST[]=NXM_OF_IP_SRC[]",
                                         "in_port=5", "NXM_NX_REG0[]=5", "NXM_OF_ETH_SRC[]"])] +
                                   [one(["output:NXM_OF_IN_PORT[]", "load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]", "load:5->NXM_NX_REG1[]", "load:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]"])]) + ")"

    def conntrack_action(self, kind, depth):
        one = self.one
        parts = self.some(["commit", f"zone={one([1, 5, 'NXM_NX_REG0[0..15]'])}"], 0.6)
        if self.chance(0.6):
            parts.append(f"table={one([1, 2, 3, LAST_TABLE])}")
        if "commit" in parts:
            parts += self.some(["exec(set_field:5->ct_mark)", "exec(load:1->NXM_NX_CT_LABEL[0],set_field:3->ct_mark)", "force"], 0.3)[:1]
            if self.chance(0.3):
                nat = ["nat", "nat(src=10.9.9.1-10.9.9.5:100-200,random)", "nat(dst=10.9.9.9)"] if kind and KINDS[kind][1] == "ip" else ["nat"]
                parts.append(one(nat))
        return f"ct({','.join(parts)})" if parts else "ct"

    def action(self, kind, table, depth=0):
        one, n = self.one, self.rng.random()
        if n < 0.30:
            return self.output()
        if n < 0.52:
            return self.setting(kind)
        if n < 0.60:
            return self.vlan_action()
        if n < 0.72 and table < LAST_TABLE:
            return one([f"resubmit(,{self.rng.randrange(table + 1, LAST_TABLE + 1)})", f"resubmit({one(PORTS)},{self.rng.randrange(table + 1, LAST_TABLE + 1)})",
                        f"resubmit(,{self.rng.randrange(table + 1, LAST_TABLE + 1)})",
                        f"resubmit:{one(PORTS)}" if self.chance(0.1) else f"resubmit({one(PORTS)},{table + 1})"])
        if n < 0.76:
            return f"group:{one(GROUPS)}"
        if n < 0.79 and depth < 2:
            return f"clone({self.inner(kind, depth)})"
        if n < 0.83 and kind and KINDS[kind][1] in ("ip", "ipv6"):
            return one([self.conntrack_action(kind, depth), "ct_clear"]) if self.chance(0.9) else "ct_clear"
        if n < 0.86 and depth == 0:
            return self.learn(table)
        return one(["multipath(symmetric_l4,1024,modulo_n,1,0,NXM_NX_REG0[0..3])", "multipath(eth_src,50,hrw,1,0,NXM_NX_REG1[])",
                    "multipath(symmetric_l3l4+udp,0,hash_threshold,1,0,NXM_NX_REG0[])", "multipath(nw_src,1,iter_hash,1,7,NXM_NX_REG2[0..7])",
                    "bundle(eth_src,50,hrw,ofport,members:3)", "bundle(symmetric_l4,60,active_backup,ofport,members:2,4)",
                    "bundle_load(symmetric_l3l4,50,hrw,ofport,NXM_NX_REG0[],members:4)", "set_queue:3", "set_queue:0", "pop_queue", "note:01.02.03",
                    "sample(probability=100,collector_set_id=1,obs_domain_id=2,obs_point_id=3)",
                    "sample(probability=65535,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=2,egress)",
                    f"check_pkt_larger({one([50, 1500])})->NXM_NX_REG0[{one([0, 3])}]", "exit", "fin_timeout(idle_timeout=5)", "set_field:1->reg0",
                    "debug_recirc", "debug_slow", "set_tunnel64:0x123456789"])

    def priority(self):
        """One of its own for each flow: which of two equal ones that overlap is found, is nobody's promise."""
        p = self.rng.choice([p for p in range(2, 100) if p not in self.priorities])
        self.priorities.add(p)
        return p

    def flow(self, table):
        """One flow for this table."""
        match, kind = self.match()
        apply = [self.action(kind, table) for _ in range(self.one([1, 1, 2, 2, 3, 4]))]
        if self.chance(0.05):
            apply = ["drop"]
        elif self.chance(0.2):
            if self.chance(0.2):
                apply.insert(0, f"meter:{self.one(METERS)}")
            if self.chance(0.15):
                apply.append("clear_actions")
            if self.chance(0.5):
                apply.append(f"write_actions({self.one([f'output:{self.one(PORTS)}', self.plain(kind), f'group:{self.one(GROUPS)}', f'{self.plain(kind)},output:{self.one(PORTS)}', 'pop_vlan,output:in_port'])})")
            if self.chance(0.4):
                apply.append(f"write_metadata:{self.one(['0x1', '0x12/0xff'])}")
            if table < LAST_TABLE and self.chance(0.8):
                apply.append(f"goto_table:{self.rng.randrange(table + 1, LAST_TABLE + 1)}")
        head = [f"table={table}", f"priority={self.priority()}", *self.some(["cookie=0x5"], 0.1)]
        return ",".join([*head, *match, "actions=" + ",".join(apply)])

    def plain(self, kind):
        """A setting that an action set may hold."""
        while True:
            a = self.setting(kind)
            if a.startswith(("set_field", "mod_", "dec_ttl", "push_", "pop_", "dec_mpls")) and "," not in a:
                return a

    def conjunction(self, table):
        """A conjunction over two or three dimensions."""
        k = self.one([2, 3])
        rows = [["nw_src=10.0.0.1", "nw_src=10.0.0.2", "nw_src=10.0.1.0/24"], ["nw_dst=10.0.0.1", "nw_dst=10.0.0.2", "nw_dst=192.168.0.0/16"],
                ["tp_dst=80", "tp_dst=53", "tp_dst=1000/0xfff8"]]
        cid = self.rng.randrange(1, 4)
        priority = self.priority()
        l4 = self.one(["tcp", "udp"])
        out = [f"table={table},priority={priority},{l4},{f},actions=conjunction({cid},{i + 1}/{k})" for i in range(k) for f in self.some(rows[i], 0.7)]
        return [*out, f"table={table},priority={priority},conj_id={cid},{l4},actions={self.inner(l4, 1)}"]

    def flows(self):
        out = []
        for table in range(LAST_TABLE + 1):
            self.priorities.clear()
            out += [self.flow(table) for _ in range(self.one([2, 4, 6]) if table else 8)]
            if self.chance(0.15):
                out += self.conjunction(table)
            if self.chance(0.6):
                out.append(f"table={table},priority=0,actions={self.one(['normal', f'resubmit(,{table + 1})', 'drop', self.output()])}")
        return out

    def groups(self):
        """A group of each type, and one that names another."""
        out = []
        for number in GROUPS:
            kind = self.one(["all", "select", "select", "indirect", "fast_failover", "fast_failover"])
            options = ""
            if kind == "select":
                options = self.one(["", ",selection_method=dp_hash", ",selection_method=hash,fields(eth_src,ip_dst)", ",selection_method=hash,fields(ip_src,tcp_src)",
                                    ",selection_method=dp_hash,selection_method_param=5"])
            buckets = []
            for b in range(1 if kind == "indirect" else self.one([0, 1, 2, 3, 4])):
                extra = f",weight:{self.one([1, 3]) if b == 0 else 0}" if kind == "select" else ""
                if kind == "fast_failover":
                    extra = f",watch_port:{self.one(PORTS)}"
                act = self.one([f"output:{self.one(PORTS)}", f"{self.plain('tcp')},output:{self.one(PORTS)}", "normal", "resubmit(,5)", f"group:{self.one(GROUPS)}", "controller"])
                buckets.append(f"bucket=bucket_id:{b}{extra},actions={act}")
            out.append(",".join([f"group_id={number},type={kind}{options}", *buckets]))
        return out
