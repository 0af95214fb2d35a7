"""The lab's tests that count and measure: rates, order, latency, restart, and the sockets of upcalls on the wire."""
import json
import os
import re
import shlex
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TRAFFIC = f"{sys.executable} {HERE}/traffic.py"
PACKETS, FLOWS = 100_000, 1000
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
    begin(lab, "order", "h2", "receive 9 20")
    half = flows // 2
    senders = [begin(lab, f"sender{i}", "h1", f"send 10.0.0.2 9 {half} {packets // flows} {10000 + i * half} {i} 0.01", ready=False) for i in (0, 1)]
    for s in senders:
        try:
            s.wait(240)
        except Exception:  # noqa: BLE001
            s.kill()
    got = answer(lab, "order", 60)
    got["sent"] = sum(answer(lab, f"sender{i}", 2).get("sent", 0) for i in (0, 1))
    lost = re.search(r"lost:(\d+)", lab.sh("ovs-dpctl show")[0])
    got["upcalls lost"] = int(lost[1]) if lost else None
    lab.check(f"{packets} packets in {flows} new flows through five recirculations arrive", got.get("received", 0) > packets * 0.5, got)
    measured(lab, "order through five recirculations", got)


def latency(lab, count=500):
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


def restart(lab):
    """kill -9 and a start with flow-restore-wait under traffic."""
    rules(lab)
    begin(lab, "through-restart", "h2", "receive 9 4 stamps")
    begin(lab, "steady", "h1", "steady 10.0.0.2 9 200 25", ready=False)
    lab.wait(lambda: False, 2)
    lab.must("kill -9 $(cat $OVS_RUNDIR/ovs-vswitchd.pid)")
    lab.wait(lambda: False, 2)
    lab.must("rm -f $OVS_RUNDIR/ovs-vswitchd.pid; ovs-vsctl --no-wait set open_vswitch . other_config:flow-restore-wait=true; "
             "ovs-vswitchd --detach --no-chdir --pidfile --log-file -vconsole:off unix:$OVS_RUNDIR/db.sock")
    lab.must("ovs-ofctl add-flow br0 priority=0,actions=NORMAL && ovs-vsctl --timeout=20 remove open_vswitch . other_config flow-restore-wait")
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
    rules(lab, EACH_FLOW)
    lab.sh("ip netns exec h1 ping -n -q -c 3 -i 0.2 -W 1 10.0.0.2")
    lab.must(inside("h1", "send 10.0.0.2 9 3 3 45000"))
    with open(f"{lab.root}/bin/other-dpctl", "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nexec " + " ".join(shlex.quote(word) for word in command) + ' "$@"\n')
    os.chmod(f.name, 0o755)
    for words in ("show", "dump-flows", "-m dump-flows", "dump-flows type=all filter='udp'", "dump-dps", "dump-conntrack zone=10", "ct-get-limits"):
        def texts():
            out = [lab.sh(f"{tool} {words}") for tool in ("ovs-dpctl", "other-dpctl")]
            return [sorted(re.sub(r"used:[^,]*|packets:\d+|bytes:\d+|:\d+|flags:[^,]*, ", "", o + e).splitlines()) + [c] for o, e, c in out]
        lab.check(f"the other's ovs-dpctl says the same: {words}", lab.wait(lambda: len({str(t) for t in texts()}) == 1, 3), texts())


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
