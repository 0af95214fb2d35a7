"""The lab's tests of what must not be in the way of new flows: devices that are slow to appear, bridges that change, statistics."""
import json
import os

from measures import EACH_FLOW, begin, ended, inside, loops, measured, rules


def probed(lab, count, first):
    return json.loads(lab.must(inside("h1", f"probe 10.0.0.2 13 {count} {first}")).splitlines()[-1])


def slow_devices(lab, count=1000):
    """Many devices go at once, all under the kernel's lock of devices, for which a new port of the switch has to wait."""
    lab.sh(f"timeout 300 modprobe dummy numdummies={count}")
    lab.wait(lambda: False, 2)
    script = lab.file("devices.sh", "s=$(date +%s%N); rmmod dummy; echo $((($(date +%s%N) - s) / 1000000))\n")
    probe = lab.start("beside", inside("h1", "probe 10.0.0.2 13 60 34000").split())
    lab.wait(lambda: False, 0.5)
    holder = lab.start("devices", ["sh", script])
    lab.wait(lambda: False, 0.1)
    adding = lab.start("adding", ["sh", "-c", "s=$(date +%s%N); ovs-vsctl --timeout=120 add-port br0 slow0 -- set interface slow0 type=internal; echo $((($(date +%s%N) - s) / 1000000))"])
    probe.wait(120)
    figures = json.loads(lab.log("beside").splitlines()[-1])
    holder.wait(120)
    adding.wait(120)
    figures["devices took ms"], figures["port took ms"] = (int(lab.log(name).split()[-1]) for name in ("devices", "adding"))
    lab.check("new flows while devices are slow to go", figures["lost"] == 0 and figures["max"] < figures["devices took ms"] / 2, figures)
    measured(lab, "first packet's round trip in ms, while a port waits for the kernel's lock of devices", figures)
    lab.check("the port that waited is there", lab.wait("ovs-appctl dpctl/show | grep -q slow0", 60), lab.sh("ovs-dpctl show")[0])
    lab.must("ovs-vsctl --timeout=60 del-port br0 slow0")


def changes(lab):
    """Bridges come and go; everything is listed and counted."""
    rebuild = ("ovs-vsctl --timeout=20 add-br br7 -- add-port br7 i7a -- set interface i7a type=internal -- add-port br7 p7 -- "
               "set interface p7 type=patch options:peer=p0 -- add-port br0 p0 -- set interface p0 type=patch options:peer=p7",
               "ovs-vsctl --timeout=20 set bridge br7 protocols=OpenFlow13 mcast_snooping_enable=true",
               "ovs-vsctl --timeout=20 del-port p0 -- del-br br7")
    sweep = ("ovs-appctl dpctl/dump-flows", "ovs-appctl upcall/show", "ovs-ofctl dump-flows br0", "ovs-ofctl dump-ports br0",
             "ovs-vsctl --columns=statistics list interface", "ovs-dpctl -s show")
    for title, first, commands in (("a bridge is rebuilt", 35000, rebuild), ("everything is listed and counted", 36000, sweep)):
        name = f"loop-{first}"
        loop = loops(lab, name, *commands)
        lab.wait(lambda n=name: "round" in lab.log(n), 60)
        figures = probed(lab, 150, first)
        ended(loop)
        figures["rounds"] = lab.log(name).count("round")
        lab.check(f"new flows while {title}", figures["lost"] == 0, figures)
        measured(lab, f"first packet's round trip in ms, while {title}", figures)
    lab.sh("ovs-vsctl --timeout=20 --if-exists del-port p0 -- --if-exists del-br br7")


def contention(lab):
    """What new flows take at rest and beside all this."""
    rules(lab, EACH_FLOW)
    echo = begin(lab, "echo13", "h2", "echo 13")
    probed(lab, 20, 33000)
    measured(lab, "first packet's round trip in ms, before this", probed(lab, 150, 33100))
    slow_devices(lab)
    with open(lab.file("many", ""), "w", encoding="utf-8") as f:
        f.writelines(f"priority=70,udp,in_port=3,tp_src={n},actions=drop\n" for n in range(1000))
    lab.must("ovs-ofctl add-flows br0 many")
    lab.must(inside("h1", "send 10.0.0.2 9 1000 1 37000"))
    changes(lab)
    os.killpg(echo.pid, 15)
    echo.wait(30)
