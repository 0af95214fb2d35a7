"""A learning switch on os-ken in each OpenFlow version: hosts reach each other, flows appear, nothing is refused."""
import os

TITLE = "os-ken, a learning switch in each OpenFlow version"
NEEDS = "netns tun osken"
LIMIT = 200
APPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "apps")


def run(lab):
    python = f"{lab.packages}/osken/bin/python3"
    lab.switch()
    lab.bridge("br0", 1)
    for n in (1, 2, 3):
        lab.host(f"h{n}", f"10.0.0.{n}/24", "br0")
    for version in ("OpenFlow10", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"):
        name = f"learning-{version}"
        lab.must(f"ovs-vsctl --timeout=10 set bridge br0 protocols={version}")
        app = lab.start(name, [python, f"{APPS}/launch.py", "--", "learning"])
        lab.must("ovs-vsctl --timeout=10 set-controller br0 tcp:127.0.0.1:6653 "
                 "-- set controller br0 max_backoff=1000 inactivity_probe=5000")
        lab.check(f"{version}: the switch joins", lab.wait(lambda: "joined 1 version" in lab.log(name), 15),
                  lab.log(name)[-500:])
        for a, b in ((1, 2), (2, 3), (3, 1)):
            lab.check(f"{version}: h{a} reaches h{b}", lab.ping(f"h{a}", f"10.0.0.{b}"))
        flows = lab.sh(f"ovs-ofctl -O {version} --no-stats --sort dump-flows br0")[0]
        lab.check(f"{version}: flows are in the table", "priority=10" in flows and "dl_src=02:00:00:00:00:01" in flows, flows)
        lab.check(f"{version}: no error message", "error" not in lab.log(name), lab.log(name)[-800:])
        lab.check(f"{version}: the Controller row says connected",
                  lab.wait("ovs-vsctl get controller br0 is_connected | grep -q true", 8))
        app.terminate()
        app.wait()
        lab.must("ovs-vsctl --timeout=10 del-controller br0")
        lab.sh("ovs-ofctl -O " + version + " del-flows br0")
