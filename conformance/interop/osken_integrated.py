"""os-ken's integrated tests of a switch: flows of each kind of match and action added and read back, every request answered."""
import re

TITLE = "os-ken's integrated tests, OpenFlow 1.0 and 1.2"
NEEDS = "netns tun osken"
LIMIT = 300
APPS = __file__.rpartition("/")[0] + "/apps"
TESTS = (
    ("OpenFlow10", "test_add_flow_v10"), ("OpenFlow12", "test_add_flow_v12_actions"),
)
RESULT = re.compile(r"^\S* *(test_\w+): (.*)$", re.M)


def run(lab):
    python = f"{lab.packages}/osken/bin/python3"
    lab.switch()
    lab.bridge("br0", 1)
    lab.host("h1", "10.0.0.1/24", "br0")
    for version, module in TESTS:
        lab.must(f"ovs-vsctl --timeout=10 set bridge br0 protocols={version} "
                 "-- set-controller br0 tcp:127.0.0.1:6653 -- set controller br0 max_backoff=1000")
        app = lab.start(module, [python, f"{APPS}/launch.py", "--", f"os_ken.tests.integrated.{module}"],
                        OSKEN_HUB_TYPE="eventlet")
        lab.check(f"{module}: comes to its end", lab.wait(lambda: "TEST_FINISHED" in lab.log(module), 30), lab.log(module)[-800:])
        app.terminate()
        app.wait()
        for test, result in RESULT.findall(lab.log(module).partition("TEST_RESULTS")[2]):
            lab.same(f"{module}: {test}", re.sub(r"0x[0-9a-f]{8,}", "<address>", result))
