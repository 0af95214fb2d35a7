#!/usr/bin/env python3
"""The tests of the kernel datapath, run inside the lab's machine: inside.py SIDE-JSON RESULT-FILE [CAPTURE-FOLDER].

Records named checks, as the scenarios of conformance/interop do; test.py compares the sides."""
import json
import os
import re
import shutil
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "conformance"))
from kit import inside as sandbox  # noqa: E402
from kit.lab import Lab, Stop  # noqa: E402
import contention  # noqa: E402
import measures  # noqa: E402
import tool  # noqa: E402


def start(lab):
    """Database and switch on the kernel's datapath."""
    lab.must("ovsdb-tool create $OVS_DBDIR/conf.db $OVS_PKGDATADIR/vswitch.ovsschema")
    lab.must("ovsdb-server --detach --no-chdir --pidfile --log-file --remote=punix:$OVS_RUNDIR/db.sock $OVS_DBDIR/conf.db")
    lab.must("ovs-vsctl --no-wait init")
    lab.must("ovs-vswitchd --detach --no-chdir --pidfile --log-file -vconsole:off unix:$OVS_RUNDIR/db.sock")


def port(lab, name, number, bridge="br0", settings=""):
    for command in (
        f"ip netns add {name}", f"ip link add {name} address 02:00:00:00:01:{number:02x} type veth peer name eth0 netns {name}",
        f"ip link set {name} up", f"ip -n {name} link set eth0 address 02:00:00:00:00:{number:02x} up", f"ip -n {name} link set lo up",
        f"ip -n {name} address add 10.0.0.{number}/24 dev eth0",
        f"ovs-vsctl --timeout=20 add-port {bridge} {name} {settings} -- set interface {name} ofport_request={number}",
    ):
        lab.must(command)


def reaches(lab, title, source, target, wanted=True, options=""):
    ping = f"ip netns exec {source} ping -n -q -c 1 -W 1 {options} {target} >/dev/null 2>&1"
    holds = lab.wait(ping, 12) if wanted else not lab.wait(ping, 3)
    return lab.check(title, holds, lab.sh("ovs-ofctl dump-flows br0; ovs-dpctl dump-flows")[0])


def datapath_flows(lab, pattern):
    """Flows of the datapath, without what counts up, in order."""
    lines = [l for l in lab.sh("ovs-dpctl dump-flows")[0].splitlines() if pattern in l]
    lines = [re.sub(r"recirc(_id)?\(0x[1-9a-f][0-9a-f]*\)|(?<=dp_hash\()0x[0-9a-f]+(?=/)|packets:\d+|bytes:\d+|used:[^,]*|flags:[^,]*, |recirc_id=\d+", "", l) for l in lines]
    return "\n".join(sorted(set(lines)))


def one_part(lab, side, name):
    """One function of measures.py or contention.py, or what needs the other side's program."""
    if name == "tool":
        lab.must("kill -9 $(cat $OVS_RUNDIR/ovs-vswitchd.pid)")
        tool.commands(lab, side["others"])
        measures.back(lab, ["priority=0,actions=NORMAL"])
    elif name == "other_tool":
        measures.other_tool(lab, side["others"])
    else:
        getattr(contention if hasattr(contention, name) else measures, name)(lab)


def tests(lab, side):
    lab.must("modprobe openvswitch")
    start(lab)
    lab.succeeds("a bridge on the kernel datapath", "ovs-vsctl --timeout=20 add-br br0 -- set bridge br0 fail_mode=secure && ovs-ofctl add-flow br0 priority=0,actions=NORMAL")
    lab.check("the datapath is the kernel's", "system@ovs-system" in lab.sh("ovs-dpctl show")[0], lab.sh("ovs-dpctl show"))
    for n in (1, 2, 3):
        port(lab, f"h{n}", n)
    reaches(lab, "h1 reaches h2", "h1", "10.0.0.2")
    if side["parts"]:
        for name in side["parts"]:
            one_part(lab, side, name)
        return
    reaches(lab, "a large frame", "h1", "10.0.0.2", options="-s 1400")
    reaches(lab, "fragments", "h1", "10.0.0.2", options="-s 4000")
    server = lab.file("server.py", "import socket\ns = socket.create_server(('', 9))\nprint('ready', flush=True)\nc = s.accept()[0]\nn = 0\n"
                      "while d := c.recv(65536):\n    n += len(d)\nprint('got', n, flush=True)\n")
    client = lab.file("client.py", "import socket\ns = socket.create_connection(('10.0.0.2', 9), 20)\ns.sendall(bytes(1000000))\ns.close()\n")
    lab.start("server", ["ip", "netns", "exec", "h2", sys.executable, server])
    lab.wait(lambda: "ready" in lab.log("server"), 30)
    lab.sh(f"ip netns exec h1 {sys.executable} {client}")
    lab.check("TCP from h1 to h2", lab.wait(lambda: "got 1000000" in lab.log("server"), 20), lab.log("server"))

    lab.must("ovs-vsctl --timeout=20 set port h1 tag=10 -- set port h2 tag=20")
    reaches(lab, "VLANs keep h1 from h2", "h1", "10.0.0.2", wanted=False)
    lab.must("ovs-vsctl --timeout=20 set port h2 tag=10")
    reaches(lab, "one VLAN joins them", "h1", "10.0.0.2")
    lab.must("ovs-vsctl --timeout=20 clear port h1 tag -- clear port h2 tag")

    lab.must("ovs-vsctl --timeout=20 add-br br1 -- set bridge br1 fail_mode=standalone -- add-port br0 to1 -- set interface to1 type=patch options:peer=to0 "
             "-- add-port br1 to0 -- set interface to0 type=patch options:peer=to1")
    port(lab, "h4", 4, "br1")
    reaches(lab, "through a patch port", "h1", "10.0.0.4")
    lab.must("ip address add 10.0.0.100/24 dev br0 && ip link set br0 up")
    reaches(lab, "an internal port answers", "h1", "10.0.0.100")
    lab.must("ovs-vsctl --timeout=20 -- --id=@p get port h3 -- --id=@m create mirror name=m select_all=true output_port=@p -- set bridge br0 mirrors=@m")
    reaches(lab, "with a mirror", "h1", "10.0.0.2")
    lab.must("ovs-vsctl --timeout=20 clear bridge br0 mirrors")

    flows = (
        ("set fields", "priority=10,in_port=1,icmp,actions=set_field:64->nw_ttl,mod_nw_tos:16,output:2"),
        ("a VLAN pushed and popped", "priority=10,in_port=1,icmp,actions=push_vlan:0x8100,set_field:4103->vlan_vid,pop_vlan,output:2"),
        ("a meter", "priority=10,in_port=1,icmp,actions=meter:1,output:2"),
        ("a select group by dp_hash", "priority=10,in_port=1,icmp,actions=group:1"),
        ("recirculation through conntrack", "priority=10,in_port=1,icmp,ct_state=-trk,actions=ct(table=1,zone=5)"),
        ("a sample", "priority=10,in_port=1,icmp,actions=sample(probability=1000,collector_set_id=1),output:2"),
        ("truncation and clone", "priority=10,in_port=1,icmp,actions=output(port=3,max_len=64),clone(set_field:3->nw_ttl,output:3),output:2"),
        ("a packet's length", "priority=10,in_port=1,icmp,actions=check_pkt_larger(1000)->NXM_NX_REG0[0],resubmit(,2)"),
        ("to the controller too", "priority=10,in_port=1,icmp,actions=controller,output:2"),
    )
    lab.must("ovs-ofctl -O OpenFlow13 add-meter br0 meter=1,pktps,burst,stats,bands=type=drop,rate=1000,burst_size=1000")
    lab.must("ovs-ofctl -O OpenFlow15 add-group br0 group_id=1,type=select,selection_method=dp_hash,bucket=output:2,bucket=output:2")
    lab.must("ovs-ofctl add-flow br0 ip,table=1,ct_state=+trk+new,actions=ct\\(commit,zone=5,exec\\(set_field:7-\\>ct_mark\\)\\),2")
    lab.must("ovs-ofctl add-flow br0 ip,table=1,ct_state=+trk+est,actions=2")
    lab.must("ovs-ofctl add-flow br0 table=2,actions=2")
    for title, flow in flows:
        done = lab.succeeds(f"flow with {title}", f"ovs-ofctl -O OpenFlow13 add-flow br0 '{flow}'")
        if done:
            reaches(lab, f"{title}: h1 reaches h2", "h1", "10.0.0.2", options="-s 1200")
            lab.sh("ovs-appctl revalidator/purge; ip netns exec h1 ping -n -q -c 2 -i 0.2 -W 1 -s 1200 10.0.0.2")
            lab.same(f"{title}: the datapath's flows", datapath_flows(lab, "eth_type(0x0800)"))
    lab.sh("ovs-dpctl dump-conntrack; ovs-dpctl flush-conntrack zone=5; ovs-dpctl ct-set-limits default=100 zone=5,limit=10; "
           "ovs-dpctl ct-get-limits; ovs-dpctl ct-del-limits zone=5; ovs-ofctl -O OpenFlow13 meter-stats br0; ovs-ofctl -O OpenFlow13 del-meters br0")
    lab.same("limits of conntrack zones", lab.sh("ovs-dpctl ct-set-limits default=200 zone=7,limit=10; ovs-dpctl ct-get-limits; ovs-dpctl ct-del-limits zone=7; ovs-dpctl ct-get-limits zone=7")[0])
    lab.same("what the datapath can do", lab.sh("ovs-appctl dpif/show-dp-features br0")[0])
    lab.same("mode of dispatch", lab.sh("ovs-appctl dpif-netlink/dispatch-mode")[0])

    lab.succeeds("packet-out", "ovs-ofctl packet-out br0 'in_port=1,packet=ffffffffffff02000000000108060001080006040001020000000001 0a000001000000000000 0a000002,actions=output:2'".replace(" 0a", "0a"))
    dpctl = (
        "add-dp dp9", "add-if dp9 veth9a", "add-if dp9 int9,type=internal", "show dp9", "set-if dp9 int9,type=internal",
        "add-flow dp9 'in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)' 'set(eth(src=02:00:00:00:00:09,dst=02:00:00:00:00:08)),push_vlan(vid=5,pcp=1),2'",
        "add-flow dp9 'in_port(2),eth(),eth_type(0x86dd),ipv6(src=2001:db8::1,dst=2001:db8::2,label=0,proto=6,tclass=0,hlimit=64,frag=no),tcp(src=1,dst=2)' 1",
        "mod-flow dp9 'in_port(2),eth(),eth_type(0x86dd),ipv6(src=2001:db8::1,dst=2001:db8::2,label=0,proto=6,tclass=0,hlimit=64,frag=no),tcp(src=1,dst=2)' drop",
        "dump-flows dp9", "-m dump-flows dp9", "del-flows dp9", "dump-dps", "del-if dp9 int9", "del-dp dp9", "show dp9", "add-if nosuch x", "del-dp nosuch",
    )
    lab.must("ip link add veth9a type veth peer name veth9b")
    for command in dpctl:
        out, err, code = lab.sh(f"ovs-dpctl {command}")
        text = "\n".join(sorted(f"{out}{err}".splitlines())) if "dump" in command else f"{out}{err}"
        lab.same(f"ovs-dpctl {command[:40]}", f"{text}[exit {code}]".replace("veth9a", "veth"))

    long = (measures.latency, measures.flood, contention.contention, measures.order)
    for part in (measures.counted, measures.sizes, measures.sockets, measures.removal, *(() if side["quick"] else long), measures.restart):
        part(lab)
    if side["others"]:
        measures.other_tool(lab, side["others"])
    if side["name"] == "ours":
        measures.per_vport(lab)
    lab.must("ovs-ofctl del-flows br0 && ovs-ofctl add-flow br0 priority=0,actions=NORMAL")
    reaches(lab, "before the daemon ends", "h1", "10.0.0.2")
    lab.must("kill -9 $(cat $OVS_RUNDIR/ovs-vswitchd.pid)")
    lost = lab.sh("ip netns exec h1 ping -n -q -c 20 -i 0.1 -W 1 10.0.0.2 | grep -o '[0-9]* received'")[0]
    lab.check("flows in the kernel go on forwarding without the daemon", lost.startswith(("20", "19")), lost)
    if side["others"]:
        tool.commands(lab, side["others"])
    lab.must("rm -f $OVS_RUNDIR/ovs-vswitchd.pid; ovs-vswitchd --detach --no-chdir --pidfile --log-file -vconsole:off unix:$OVS_RUNDIR/db.sock")
    lab.must("ovs-ofctl add-flow br0 priority=0,actions=NORMAL")
    reaches(lab, "after the daemon is back", "h1", "10.0.0.2")
    measures.removal_under_the_daemon(lab)
    reaches(lab, "after the datapath was deleted and the daemon started", "h1", "10.0.0.2")
    sender = measures.begin(lab, "at-the-end", "h1", "send 10.0.0.2 9 3000 10 50000 0 0.005", ready=False)
    lab.succeeds("bridges go away under traffic", "ovs-vsctl --timeout=20 del-br br1 -- del-br br0")
    measures.ended(sender)
    lab.same("datapaths without bridges", lab.sh("ovs-dpctl dump-dps")[0])


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        side = json.load(f)
    lab = Lab(side, sys.argv[2])
    lab.box.limit = 60.0
    recorder = None
    try:
        if len(sys.argv) > 3:
            lab.must("modprobe openvswitch; modprobe nlmon; ip link add nlmon0 type nlmon && ip link set nlmon0 up")
            recorder = lab.start("capture", [sys.executable, f"{HERE}/capture.py", "nlmon0", sys.argv[3]])
            lab.wait(lambda: "recording" in lab.log("capture"), 20)
        tests(lab, side)
    except Stop as stop:
        lab.check("the tests came to their end", False, stop)
    finally:
        if recorder:
            recorder.send_signal(signal.SIGTERM)
            recorder.wait(30)
        lab.sh("for f in $OVS_RUNDIR/*.pid; do kill -9 $(cat $f); done; ovs-dpctl del-dp system@ovs-system; "
               "for n in h1 h2 h3 h4; do ip netns del $n; done; ip link del veth9a; ip link del nlmon0")
        shutil.copytree(lab.logs, sys.argv[2] + ".log", dirs_exist_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
