"""The lab's tests that count and measure: rates, order, latency, restart, and the sockets of upcalls on the wire."""
import json
import os
import re
import shlex
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TRAFFIC = f"{sys.executable} {HERE}/traffic.py"
PACKETS, FLOWS = 100_000, 500
# Every flow of UDP gets a flow of its own in the datapath.
EACH_FLOW = "priority=50,udp,actions=move:NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15],move:NXM_OF_UDP_DST[]->NXM_NX_REG1[0..15],NORMAL"


def measured(lab, title, value):
    """A figure: kept and shown beside the other side's, not compared."""
    lab.record([f"measured: {title}", True, json.dumps(value)])


def inside(host, words):
    return f"ip netns exec {host} {TRAFFIC} {words}"


def begin(lab, name, host, words, ready=True):
    child = lab.start(name, inside(host, words).split())
    if ready:
        lab.wait(lambda: "ready" in lab.log(name), 60)
    return child


def answer(lab, name, limit=120):
    """The figures that a program of traffic.py printed in the end."""
    def found():
        lines = [line for line in lab.log(name).splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else None
    lab.wait(lambda: found() is not None, limit)
    return found() or {}


def rules(lab, *flows):
    """These flows beside NORMAL, and nothing in the datapath that knows better."""
    lab.must("ovs-ofctl del-flows br0 && ovs-ofctl add-flow br0 priority=0,actions=NORMAL")
    for flow in flows:
        lab.must(f"ovs-ofctl -O OpenFlow13 add-flow br0 '{flow}'")
    lab.wait(lambda: False, 0.7)
    lab.must("ovs-appctl revalidator/purge")


def arrived(lab, host):
    return int(lab.must(f"ip netns exec {host} cat /sys/class/net/eth0/statistics/rx_packets"))


def counted(lab):
    """Meters drop, mirrors copy, select groups spread."""
    lab.must("ovs-ofctl -O OpenFlow13 add-meter br0 meter=2,pktps,burst,stats,bands=type=drop,rate=5,burst_size=5")
    rules(lab, "priority=50,udp,in_port=1,tp_dst=9,actions=meter:2,2")
    begin(lab, "metered", "h2", "receive 9 3")
    lab.must(inside("h1", "send 10.0.0.2 9 1 400 20000"))
    got = answer(lab, "metered").get("received", 0)
    lab.check("a meter drops what is beyond its rate", 1 <= got < 200, got)
    lab.check("a meter counts what it drops", re.search(r"packet_count:[1-9]", lab.sh("ovs-ofctl -O OpenFlow13 meter-stats br0 meter=2")[0]), "")
    lab.must("ovs-ofctl -O OpenFlow13 del-meters br0")

    lab.must("ovs-vsctl --timeout=20 -- --id=@p get port h3 -- --id=@m create mirror name=m select_all=true output_port=@p -- set bridge br0 mirrors=@m")
    before = arrived(lab, "h3")
    lab.sh("ip netns exec h1 ping -n -q -c 10 -i 0.2 -W 1 10.0.0.2")
    copies = arrived(lab, "h3") - before
    lab.check("a mirror gets both directions", copies >= 16, copies)
    lab.must("ovs-vsctl --timeout=20 clear bridge br0 mirrors")

    lab.must("ovs-ofctl -O OpenFlow15 add-group br0 group_id=9,type=select,selection_method=dp_hash,bucket=output:2,bucket=output:3")
    rules(lab, "priority=50,udp,in_port=1,tp_dst=9,actions=group:9")
    before = [arrived(lab, h) for h in ("h2", "h3")]
    lab.must(inside("h1", "send 10.0.0.2 9 128 2 21000"))
    lab.wait(lambda: sum(arrived(lab, h) for h in ("h2", "h3")) - sum(before) >= 250, 20)
    spread = [arrived(lab, h) - b for h, b in zip(("h2", "h3"), before)]
    lab.check("a select group by dp_hash spreads flows", min(spread) >= 40, spread)
    rules(lab)
    lab.must("ovs-ofctl -O OpenFlow15 del-groups br0")


def sizes(lab):
    """MTU and fragments."""
    ping = "ip netns exec h1 ping -n -q -c 1 -W 1"
    for host in ("h1", "h2"):
        lab.must(f"ip link set {host} mtu 9000; ip -n {host} link set eth0 mtu 9000")
    lab.check("jumbo frames", lab.wait(f"{ping} -M do -s 8000 10.0.0.2", 12))
    lab.check("fragments of jumbo frames", lab.wait(f"{ping} -s 30000 10.0.0.2", 12))
    lab.check("a frame larger than the port's MTU is dropped", not lab.wait(f"{ping} -M do -s 8000 10.0.0.3", 2))
    lab.must("ovs-vsctl --timeout=20 add-port br0 mtu0 -- set interface mtu0 type=internal mtu_request=1300")
    lab.check("mtu_request of an internal port", lab.wait("ip link show mtu0 | grep -q 'mtu 1300'", 10), lab.sh("ip link show mtu0")[0])
    lab.same("column mtu", lab.sh("ovs-vsctl --timeout=20 get interface mtu0 mtu")[0])
    lab.must("ovs-vsctl --timeout=20 del-port mtu0")
    for host in ("h1", "h2"):
        lab.must(f"ip link set {host} mtu 1500; ip -n {host} link set eth0 mtu 1500")


def order(lab, packets=PACKETS, flows=FLOWS):
    """Numbered packets of many new flows through five recirculations, from two processors."""
    chain = [f"table={n},priority=1,udp,actions=ct(zone={n},table={n + 1})" for n in range(11, 15)]
    rules(lab, "priority=50,udp,in_port=1,tp_dst=9,actions=move:NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15],ct(zone=10,table=11)", *chain,
          "table=15,priority=1,udp,actions=output:2")
    counts = f"{lab.root}/files/arrived"
    begin(lab, "order", "h2", f"receive 9 20 {counts}")
    half = flows // 2
    senders = [begin(lab, f"sender{i}", "h1", f"send 10.0.0.2 9 {half} {packets // flows} {10000 + i * half} {i} 0 {counts}", ready=False) for i in (0, 1)]
    lab.wait(lambda: all(s.poll() is not None for s in senders), 600)
    for s in senders:
        s.kill()
        s.wait(30)
    got = answer(lab, "order", 60)
    for what in ("sent", "windows given up"):
        got[what] = sum(answer(lab, f"sender{i}", 2).get(what, 0) for i in (0, 1))
    lost = re.search(r"lost:(\d+)", lab.sh("ovs-dpctl show")[0])
    got["upcalls lost"] = int(lost[1]) if lost else None
    lab.check(f"{packets} packets in {flows} new flows through five recirculations arrive", got.get("received", 0) > packets * 0.99, got)
    measured(lab, "order through five recirculations", got)


def latency(lab, count=300):
    """The round trip of each flow's first packet, at rest and while ports come and go."""
    rules(lab, EACH_FLOW)
    begin(lab, "echo", "h2", "echo 10")
    lab.must(inside("h1", "probe 10.0.0.2 10 20 40000"))
    for title, first, churn in (("at rest", 41000, False), ("while ports come and go", 42000, True)):
        loop = None
        if churn:
            script = lab.file("churn.sh", "n=0\nwhile :; do ovs-vsctl --timeout=10 add-port br0 c0 -- set interface c0 type=internal; ovs-vsctl --timeout=10 del-port c0; "
                              "ip link add dev v0 type veth peer name v1; ovs-vsctl --timeout=10 add-port br0 v0; ip link del v0; ovs-vsctl --timeout=10 del-port v0; "
                              "n=$((n + 1)); echo $n; done\n")
            loop = lab.start("churn", ["sh", script])
            lab.wait(lambda: "1" in lab.log("churn"), 30)
        figures = json.loads(lab.must(inside("h1", f"probe 10.0.0.2 10 {count} {first}")).splitlines()[-1])
        if loop:
            os.killpg(loop.pid, 15)
            figures["rounds of ports"] = max([0, *(int(w) for w in lab.log("churn").split() if w.isdigit())])
            lab.sh("ovs-vsctl --timeout=10 --if-exists del-port c0 -- --if-exists del-port v0; ip link del v0")
        lab.check(f"first packets {title} are answered", figures["lost"] <= count // 50, figures)
        measured(lab, f"first packet's round trip in ms, {title}", figures)


def named_flows(lab, port):
    """Packets by name of the datapath's flows of an input port that nothing but rules decide."""
    lines = lab.sh("ovs-dpctl -m --no-names dump-flows")[0].splitlines()
    found = [re.search(r"ufid:(\S+), .*in_port\(" + port + r"\),.*eth_type\(0x0800\).*proto=17.*packets:(\d+)", line) for line in lines]
    return {m[1]: int(m[2]) for m in found if m}


def back(lab, flows, env=""):
    """Starts the daemon again; with flow-restore-wait until the rules are in."""
    lab.must("rm -f $OVS_RUNDIR/ovs-vswitchd.pid; ovs-vsctl --no-wait set open_vswitch . other_config:flow-restore-wait=true; "
             f"{env} ovs-vswitchd --detach --no-chdir --pidfile --log-file -vconsole:off unix:$OVS_RUNDIR/db.sock")
    for flow in flows:
        lab.must(f"ovs-ofctl add-flow br0 '{flow}'")
    lab.must("ovs-vsctl --timeout=20 remove open_vswitch . other_config flow-restore-wait")


def restart(lab):
    """kill -9 and a start with flow-restore-wait under traffic."""
    lab.wait("! ovs-appctl upcall/show | grep -q 'current [1-9][0-9][0-9]'", 30)
    direct = "priority=60,udp,in_port=1,tp_dst=9,actions=output:2"
    rules(lab, direct)
    begin(lab, "through-restart", "h2", "receive 9 4 stamps")
    begin(lab, "steady", "h1", "steady 10.0.0.2 9 200 40", ready=False)
    number = re.search(r"port (\d+): h1\b", lab.sh("ovs-dpctl show")[0])
    lab.wait(lambda: any(named_flows(lab, number[1]).values()), 20)
    lab.wait(lambda: False, 2)
    before = named_flows(lab, number[1])
    lab.must("kill -9 $(cat $OVS_RUNDIR/ovs-vswitchd.pid)")
    lab.wait(lambda: False, 2)
    back(lab, ["priority=0,actions=NORMAL", direct])
    lab.wait(lambda: False, 2)
    after = named_flows(lab, number[1])
    kept = {ufid: (n, after[ufid]) for ufid, n in before.items() if after.get(ufid, 0) > n + 400}
    lab.check("unchanged flows are kept through a restart, with their counters", before and len(kept) == len(before), (before, after))
    got = answer(lab, "through-restart", 60)
    got["sent"] = answer(lab, "steady", 2).get("sent")
    got["lost"] = (got["sent"] or 0) - got.get("received", 0)
    lab.check("kill -9 and restart lose little", got.get("received", 0) > 0.9 * (got["sent"] or 1), got)
    measured(lab, "kill -9 and restart under traffic", got)


def flood(lab):
    """A port that floods misses does not starve the new flows of others."""
    rules(lab, EACH_FLOW)
    begin(lab, "echo6", "h2", "echo 11")
    lab.must(inside("h1", "probe 10.0.0.2 11 20 43000"))
    sender = begin(lab, "flood", "h3", "send 10.0.0.2 9 40000 1 20000", ready=False)
    lab.wait(lambda: False, 1)
    figures = json.loads(lab.must(inside("h1", "probe 10.0.0.2 11 100 44000")).splitlines()[-1])
    figures["flood went on"] = sender.poll() is None
    sender.terminate()
    sender.wait(30)
    lab.check("new flows beside a port that floods misses", figures["lost"] <= 20, figures)
    measured(lab, "first packet's round trip in ms, beside a flood of misses", figures)
    lab.must("ovs-appctl revalidator/purge")


def other_tool(lab, command):
    """The other side's ovs-dpctl on this side's datapath, and what it says: the same."""
    rules(lab, EACH_FLOW, "priority=60,udp,in_port=1,tp_dst=12,ct_state=-trk,actions=ct(table=21,zone=10)",
          "table=21,priority=1,ct_state=+trk,udp,actions=ct(commit,zone=10,exec(set_field:9->ct_mark)),output:2",
          "priority=60,icmp6,actions=controller,NORMAL")
    lab.sh("ip netns exec h1 ping -n -q -c 3 -i 0.2 -W 1 10.0.0.2; ip netns exec h1 ping -6 -n -q -c 2 -i 0.2 -W 1 ff02::1%eth0")
    lab.must(inside("h1", "send 10.0.0.2 9 3 3 45000"))
    lab.must(inside("h1", "send 10.0.0.2 12 3 3 46000 0 0.02"))
    with open(f"{lab.root}/bin/other-dpctl", "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nexec " + " ".join(shlex.quote(word) for word in command) + ' "$@"\n')
    os.chmod(f.name, 0o755)
    lab.must("ovs-dpctl ct-set-limits default=500 zone=10,limit=100")
    counters = r"used:[^,]*|packets:\d+|bytes:\d+|flags:[^,]*, |,timeout=\d+|\b(hit|missed|lost|total):\d+|hit/pkt:[0-9.]+|hit-rate:[0-9.]+%"
    for words in ("show", "dump-flows", "-m dump-flows", "--names dump-flows", "dump-flows filter='udp'", "dump-dps", "dump-conntrack zone=10",
                  "-m dump-conntrack zone=10", "-s dump-conntrack zone=10", "ct-stats-show zone=10", "ct-stats-show verbose", "ct-get-limits", "ct-get-limits zone=10,11",
                  "ct-get-maxconns", "ct-bkts", "cache-get-size", "offload-stats-show", "get-flow ufid:00000000-0000-0000-0000-000000000001",
                  "flush-conntrack zone=10 'ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=46000,ct_tp_dst=12'", "dump-conntrack zone=10",
                  "flush-conntrack zone=11 ct_nw_foo=1", "flush-conntrack zone=10", "dump-conntrack zone=10", "ct-del-limits zone=10", "ct-get-limits"):
        def texts():
            out = [lab.sh(f"{tool} {words}") for tool in ("ovs-dpctl", "other-dpctl")]
            return [sorted(re.sub(counters, "", (o + e).replace("other-dpctl", "ovs-dpctl")).splitlines()) + [c] for o, e, c in out]
        lab.check(f"the other's ovs-dpctl says the same: {words}", lab.wait(lambda: len({str(t) for t in texts()}) == 1, 3), differing(*texts()))
    lab.must(inside("h1", "send 10.0.0.2 12 3 3 47000 0 0.02"))
    lab.check("the other's ovs-dpctl sees connections", "47000" in lab.sh("other-dpctl dump-conntrack zone=10")[0])
    lab.check("the other's ovs-dpctl takes connections away", "47000" not in lab.sh("other-dpctl flush-conntrack zone=10; ovs-dpctl dump-conntrack zone=10")[0])


def differing(one, other):
    """Lines that only one of two texts has."""
    return "\n".join([f"- {line}" for line in one if line not in other] + [f"+ {line}" for line in other if line not in one])


def loops(lab, name, *commands):
    """Commands over and over; what goes wrong in its log."""
    script = lab.file(f"{name}.sh", "while :; do\n" + "".join(f"{c} >/dev/null\n" for c in commands) + "echo round\ndone\n")
    return lab.start(name, ["sh", script])


def ended(*children):
    for child in children:
        try:
            os.killpg(child.pid, 15)
        except ProcessLookupError:
            pass
        child.wait(30)


GONE = ("No such device", "No such file or directory", "No such process", "no datapaths exist", "datapath not found", "multiple datapaths", "round", "Terminated")


def removal(lab):
    """A datapath goes away while flows are put, listed and counted: clear errors and nothing else."""
    key = "in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:{:02x}),eth_type(0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
    puts = [f"ovs-dpctl add-flow dp8 '{key.format(n)}' 1" for n in range(4)]
    workers = [loops(lab, "putting", *puts, *(f"ovs-dpctl del-flow dp8 '{key.format(n)}'" for n in range(4))),
               loops(lab, "listing", "ovs-dpctl dump-flows dp8", "ovs-dpctl -s show dp8", "ovs-dpctl -m dump-flows dp8")]
    rounds = [lab.sh("ovs-dpctl add-dp dp8 && sleep 0.3 && ovs-dpctl del-dp dp8") for _ in range(8)]
    ended(*workers)
    lab.check("a datapath goes away while flows are put and listed", all(code == 0 for _, _, code in rounds), rounds)
    for name in ("putting", "listing"):
        odd = [line for line in lab.log(name).splitlines() if line and not any(w in line for w in GONE)]
        lab.check(f"{name} beside it ends in clear errors", "round" in lab.log(name) and not odd, odd[:5])


def removal_under_the_daemon(lab):
    """The same to the daemon's own datapath: it says so, goes on, and serves again after a start."""
    rules(lab, EACH_FLOW)
    sender = begin(lab, "through-removal", "h1", "send 10.0.0.2 9 3000 10 48000 0 0.005", ready=False)
    reader = loops(lab, "counting", "ovs-appctl dpctl/dump-flows", "ovs-appctl upcall/show", "ovs-ofctl dump-flows br0", "ovs-ofctl dump-ports br0")
    lab.wait(lambda: False, 2)
    pid = lab.must("cat $OVS_RUNDIR/ovs-vswitchd.pid").strip()
    lab.succeeds("the daemon's datapath is deleted under traffic", "ovs-dpctl del-dp system@ovs-system")
    lab.wait(lambda: False, 3)
    lab.check("the daemon lives on without its datapath", lab.wait("timeout 5 ovs-appctl version", 10) and os.path.exists(f"/proc/{pid}"))
    lab.succeeds("it still takes flows", "timeout 20 ovs-ofctl add-flow br0 priority=3,actions=drop")
    lab.succeeds("and configuration", "ovs-vsctl --no-wait set bridge br0 other_config:x=y")
    ended(sender, reader)
    words = lab.log("ovs-vswitchd")
    lab.check("nothing panicked", "panicked" not in words and "|EMER|" not in words, lab.switch_log(("panicked", "EMER")))
    lab.must(f"kill -9 {pid}")
    back(lab, ["priority=0,actions=NORMAL"])


def per_vport(lab):
    """Sockets for ports, as kernels have them that cannot dispatch by CPU."""
    lab.must("kill -9 $(cat $OVS_RUNDIR/ovs-vswitchd.pid)")
    back(lab, ["priority=0,actions=NORMAL"], env="FERROVS_UPCALL_DISPATCH=per-vport")
    lab.check("dispatch by port", "per-vport" in lab.sh("ovs-appctl dpif-netlink/dispatch-mode")[0], lab.sh("ovs-appctl dpif-netlink/dispatch-mode"))
    ping = "ip netns exec h1 ping -n -q -c 1 -W 1 10.0.0.{} >/dev/null"
    lab.check("by port: h1 reaches h2", lab.wait(ping.format(2), 12))
    rules(lab, "priority=50,udp,in_port=1,tp_dst=9,actions=ct(table=11,zone=10)", "table=11,priority=1,udp,actions=ct(table=12,zone=11)",
          "table=12,priority=1,udp,actions=output:2")
    begin(lab, "by-port", "h2", "receive 9 3")
    lab.must(inside("h1", "send 10.0.0.2 9 200 10 49000 0 0.01"))
    got = answer(lab, "by-port")
    lab.check("by port: packets of new flows through recirculations arrive in order", got.get("received", 0) > 1000 and got.get("reordered") == 0, got)
    measured(lab, "2000 packets in 200 new flows through two recirculations, dispatched by port", got)
    watcher = lab.start("by-port-monitor", ["ovs-ofctl", "monitor", "br0", "65534"])
    lab.wait(lambda: False, 1)
    rules(lab, "priority=50,udp,in_port=1,tp_dst=9,actions=controller")
    lab.must(inside("h1", "send 10.0.0.2 9 2 20 24000 0 0.02"))
    lab.check("by port: packets reach the controller", lab.wait(lambda: lab.log("by-port-monitor").count("PACKET_IN") >= 20, 10), lab.log("by-port-monitor")[-500:])
    watcher.terminate()
    lab.must("ovs-vsctl --timeout=20 del-port h3 && ovs-vsctl --timeout=20 add-port br0 h3 -- set interface h3 ofport_request=3")
    rules(lab)
    lab.check("by port: a port that came back answers", lab.wait(ping.format(3), 12))
    lab.must("kill -9 $(cat $OVS_RUNDIR/ovs-vswitchd.pid)")
    back(lab, ["priority=0,actions=NORMAL"])
    lab.check("dispatch by CPU again", "per-cpu" in lab.sh("ovs-appctl dpif-netlink/dispatch-mode")[0])
    lab.check("by CPU again: h1 reaches h2", lab.wait(ping.format(2), 12))


def sockets(lab):
    """Executed packets carry the socket that their upcall came from: one of those the datapath was told."""
    lab.must("modprobe nlmon; ip link show nlmon1 >/dev/null 2>&1 || ip link add nlmon1 type nlmon; ip link set nlmon1 up")
    recorder = lab.start("sockets", [sys.executable, f"{HERE}/capture.py", "nlmon1", f"{lab.root}/files/sockets"])
    lab.wait(lambda: "recording" in lab.log("sockets"), 30)
    lab.must("ovs-vsctl --timeout=20 add-br br9 -- set bridge br9 fail_mode=secure")  # the datapath is told its sockets again
    rules(lab, EACH_FLOW)
    lab.must(inside("h1", "send 10.0.0.2 9 40 2 25000 0 0.02"))
    lab.must(inside("h1", "send 10.0.0.2 9 40 2 26000 1 0.02"))
    recorder.terminate()
    recorder.wait(60)
    with open(f"{lab.root}/files/sockets/sockets.json", encoding="utf-8") as f:
        seen = json.load(f)
    lab.check("executed packets carry the socket of their upcall", seen["with socket"] >= 20 and seen["after a miss without"] == 0, seen)
    lab.must("ovs-vsctl --timeout=20 del-br br9; ip link del nlmon1")
