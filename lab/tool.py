"""Every command of ovs-dpctl(8) without the daemon: two programs of that name, on datapaths that each of them makes."""
import os
import re
import shlex

from measures import differing

KEY = "in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:{:02x}),eth_type(0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
SIXTH = "in_port(2),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x86dd),ipv6(src=2001:db8::1,dst=2001:db8::2,label=0,proto=6,tclass=0,hlimit=64,frag=no),tcp(src=1,dst=2)"
NAME = "ufid:00000000-0000-0000-0000-00000000000"
COMMANDS = (
    "--version", "list-commands", "nosuch", "add-dp", "show nosuch", "dump-flows nosuch", "dump-dps",
    "add-dp dp7 v7a", "add-dp dp7", "add-if dp7 i7,type=internal,port_no=5", "add-if dp7 v7c,port_no=5", "add-if dp7 v7c,type=system", "add-if dp7 nosuch", "add-if dp7 v7a",
    "add-if dp7 x7,type=nosuch", "add-if dp7 x7,port_no=x", "set-if dp7 i7,type=internal,port_no=5", "set-if dp7 i7,port_no=6", "set-if dp7 nosuch", "show", "show dp7", "-s show dp7", "dump-dps",
    f"add-flow dp7 '{KEY.format(1)}' 5", f"add-flow dp7 '{KEY.format(1)}' 5", f"add-flow '{KEY.format(2)}' drop", f"add-flow dp7 '{SIXTH}' 'push_vlan(vid=5,pcp=1),5,pop_vlan,2'",
    f"add-flow dp7 '{NAME}9,{KEY.format(9)}' 'sample(sample=50%,actions(2)),set(eth(dst=02:00:00:00:00:77)),5'", "add-flow dp7 'in_port(9)' 5", f"add-flow dp7 '{SIXTH.replace('src=02:00:00:00:00:01,dst=02:00:00:00:00:02', '')}' 5", "add-flow dp7 'in_port(1),nosuch(2)' 5",
    f"add-flow dp7 '{KEY.format(3)}' 'nosuch'", f"mod-flow dp7 '{KEY.format(1)}' 2", f"mod-flow dp7 '{KEY.format(4)}' 2", f"--may-create mod-flow dp7 '{KEY.format(4)}' 'ct(commit,zone=3,mark=1/0xff),recirc(4)'",
    f"--clear -s mod-flow dp7 '{KEY.format(1)}' 'userspace(pid=3,userdata(0102)),5'", f"-s mod-flow dp7 '{KEY.format(2)}' 'trunc(100),5'",
    "add-flows dp7 flows7", "mod-flows dp7 flows7", "dump-flows dp7", "-m dump-flows dp7", "--names dump-flows dp7", "-m --no-names dump-flows dp7", "dump-flows dp7 filter='tcp6'",
    "dump-flows dp7 filter='in_port=1,dl_dst=02:00:00:00:00:02'", "dump-flows dp7 filter='nosuch'", "dump-flows dp7 type=ovs", "dump-flows dp7 type=offloaded", "dump-flows dp7 type=nosuch", "dump-flows dp7 pmd=1",
    f"get-flow dp7 {NAME}9", f"-m --names get-flow dp7 {NAME}9", f"get-flow dp7 {NAME}8", "get-flow dp7 nosuch", f"-s del-flow dp7 '{KEY.format(1)}'", f"del-flow dp7 '{KEY.format(1)}'",
    f"del-flow dp7 {NAME}9", "del-flows dp7 flows7", "dump-flows dp7", "del-flows dp7", "dump-flows dp7", "del-flows",
    "cache-get-size dp7", "cache-set-size dp7 masks-cache 512", "cache-get-size dp7", "cache-set-size dp7 nosuch 5", "cache-set-size dp7 masks-cache 500", "cache-set-size dp7 masks-cache",
    "ipf-set-enabled dp7 v4", "ipf-set-disabled dp7 v6", "ipf-set-min-frag dp7 v4 1000", "ipf-set-max-nfrags dp7 500", "ipf-get-status dp7", "-m ipf-get-status dp7",
    "dump-conntrack dp7 zone=77", "-m -s dump-conntrack dp7 zone=77", "dump-conntrack dp7 zone=x", "dump-conntrack-exp dp7 zone=77", "flush-conntrack dp7 zone=77",
    "flush-conntrack dp7 zone=77 'ct_nw_src=1.1.1.1,ct_nw_dst=2.2.2.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2'", "flush-conntrack dp7 zone=x", "ct-stats-show dp7 zone=77", "-m ct-stats-show dp7 zone=77",
    "ct-bkts dp7", "ct-bkts dp7 gt=5", "ct-set-maxconns dp7 10", "ct-get-maxconns dp7", "ct-get-nconns dp7", "ct-enable-tcp-seq-chk dp7", "ct-disable-tcp-seq-chk dp7", "ct-get-tcp-seq-chk dp7",
    "ct-set-sweep-interval dp7 1000", "ct-get-sweep-interval dp7", "ct-set-limits dp7 default=100 zone=3,limit=5 zone=4,limit=6", "ct-get-limits dp7", "ct-get-limits dp7 zone=3,9", "ct-set-limits dp7 zone=x,limit=1",
    "ct-set-limits dp7", "ct-del-limits dp7 zone=3", "ct-get-limits dp7", "ct-del-limits dp7 zone=default", "ct-get-limits dp7", "ct-del-limits dp7", "ct-set-limits dp7 default=0",
    "offload-stats-show dp7", "offload-stats-show", "-t 5 show dp7", "-t x show dp7", "--nosuch", "parse-actions 'output(2)'", "parse-actions 2",
    "del-if dp7 i7", "del-if dp7 nosuch", "del-if dp7 v7a v7c", "show dp7", "-s show dp7", "del-dp dp7", "del-dp dp7", "show dp7", "dump-dps", "show",
)
COUNTERS = r"used:[^,]*|flags:[^,]*, |\b(hit|missed|lost|total|packets|bytes|errors|dropped|overruns|frame|over|carrier|collisions|aborted|crc):\d+( \([0-9.]+ \w+\))?|hit/pkt:[0-9.]+|hit-rate:[0-9.]+%"


def transcript(lab, tool):
    """What the program says to each command, from nothing to nothing."""
    lab.must("ip link add v7a type veth peer name v7b && ip link add v7c type veth peer name v7d")
    lab.file("flows7", f"{KEY.format(5)} 5\n{KEY.format(6)} drop\n")
    said = []
    for command in COMMANDS:
        out, err, code = lab.sh(f"{tool} {command}")
        text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z|" + COUNTERS, "", f"{out}{err}".replace(tool, "ovs-dpctl"))
        # Connections of the machine itself come and go.
        said.append(sorted(line for line in text.splitlines() if "127.0.0.1" not in line) + [f"[exit {code}]"])
    lab.sh("ip link del v7a; ip link del v7c; ovs-dpctl del-dp dp7")
    return said


def commands(lab, other):
    """The two programs beside each other, without the daemon."""
    with open(f"{lab.root}/bin/other-dpctl", "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nexec " + " ".join(shlex.quote(word) for word in other) + ' "$@"\n')
    os.chmod(f.name, 0o755)
    running = lab.sh("cat $OVS_RUNDIR/ovs-vswitchd.pid")[0].strip()
    lab.check("the daemon does not run", not running or not os.path.exists(f"/proc/{running}"))
    for number, (command, mine, theirs) in enumerate(zip(COMMANDS, transcript(lab, "ovs-dpctl"), transcript(lab, "other-dpctl"))):
        lab.check(f"both ovs-dpctl say the same, {number}: {command[:60]}", mine == theirs, differing(mine, theirs) or f"{mine} {theirs}")
