"""Everything that os-ken's REST helpers can ask and change, in each OpenFlow version; the answers are the reference's."""
TITLE = "os-ken's requests in each OpenFlow version"
NEEDS = "netns tun osken"
LIMIT = 300
APPS = __file__.rpartition("/")[0] + "/apps"


def run(lab):
    python = f"{lab.packages}/osken/bin/python3"
    for code, version in ((1, "OpenFlow10"), (3, "OpenFlow12"), (4, "OpenFlow13"), (5, "OpenFlow14"), (6, "OpenFlow15")):
        if code == 1:
            lab.switch()
            lab.bridge("br0", 1)
            for n in (1, 2):
                lab.host(f"h{n}", f"10.0.0.{n}/24", "br0")
        lab.must(f"ovs-vsctl --timeout=10 set bridge br0 protocols={version} "
                 "-- set-controller br0 tcp:127.0.0.1:6653 -- set controller br0 max_backoff=1000")
        app = lab.start(version, [python, f"{APPS}/launch.py", "--", "requests"], OF_VERSION=str(code), OSKEN_HUB_TYPE="eventlet")
        lab.check(f"{version}: all answered", lab.wait(lambda: "FINISHED" in lab.log(version), 45), lab.log(version)[-800:])
        app.terminate()
        app.wait()
        seen, errors = {}, []
        for line in lab.log(version).splitlines():
            if line.startswith("ANSWER error"):
                errors.append(line)
            elif line.startswith("ANSWER "):
                _, name, answer = line.split(" ", 2)
                seen[name] = seen.get(name, 0) + 1
                lab.same(f"{version}: {name} {seen[name]}", answer.replace("}, {", "},\n{"))
        lab.same(f"{version}: error messages", "\n".join(sorted(errors)))
        lab.sh(f"ovs-vsctl del-controller br0; ovs-ofctl -O {version} del-flows br0; ovs-ofctl -O {version} mod-port br0 h1 forward")
        if code >= 3:
            lab.sh(f"ovs-ofctl -O {version} del-groups br0")
        if code >= 4:
            lab.sh(f"ovs-ofctl -O {version} del-meters br0")
