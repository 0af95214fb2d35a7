"""os-ken's own test of OpenFlow switches: it drives two bridges joined by three cables, one the tester, one under test."""
import re

TITLE = "os-ken's switch tester, OpenFlow 1.0, 1.3 and 1.4"
NEEDS = "netns tun osken"
LIMIT = 1800
LONG = True  # a quarter of an hour a side: runs when it is named
APPS = __file__.rpartition("/")[0] + "/apps"
VERSIONS = (("openflow10", "of10"), ("openflow13", "of13"), ("openflow14", "of14"))
RESULT = re.compile(r"^    (\S.*?) +(OK|ERROR)$")


def tests_folder(lab):
    python = f"{lab.packages}/osken/bin/python3"
    found = lab.must(f"{python} -c 'import os_ken.tests.switch as s; print(list(s.__path__)[0])'")
    return python, found.strip()


def results(text):
    """(name of test, passed, detail) of the tester's log."""
    part, found, lines = "", [], text.splitlines()
    for n, line in enumerate(lines):
        match = RESULT.match(line)
        if match:
            after = lines[n + 1].strip() if n + 1 < len(lines) and lines[n + 1].startswith("        ") else ""
            found.append((f"{part} {match[1]}", match[2] == "OK", after))
        elif line and not line.startswith(" "):
            part = line.strip()
    return found


def run(lab, versions=VERSIONS):
    python, folder = tests_folder(lab)
    lab.switch()
    lab.bridge("target", 1)
    lab.bridge("tester", 2)
    for port in (1, 2, 3):
        lab.cable("target", "tester", port, port)
    for version, tests in versions:
        protocol = "OpenFlow" + version[8:]
        for bridge in ("target", "tester"):
            lab.must(f"ovs-vsctl --timeout=10 set bridge {bridge} protocols={protocol} "
                     f"-- set-controller {bridge} tcp:127.0.0.1:6653 -- set controller {bridge} max_backoff=1000")
        name = f"tester-{version}"
        app = lab.start(name, [python, f"{APPS}/launch.py", "--test-switch-dir", f"{folder}/{tests}",
                               "--test-switch-target-version", version, "--test-switch-tester-version", version,
                               "--", "os_ken.tests.switch.tester"], OSKEN_HUB_TYPE="eventlet")
        lab.check(f"{version}: the tests come to their end", lab.wait(lambda: app.poll() is not None, 480),
                  lab.log(name)[-500:])
        if app.poll() is None:
            app.kill()
            app.wait()
        seen = {}
        for test, passed, detail in results(lab.log(name)):
            seen[test] = seen.get(test, 0) + 1
            lab.check(f"{version}: {test}" + (f" ({seen[test]})" if seen[test] > 1 else ""), passed, detail)
