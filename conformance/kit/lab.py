"""What a scenario of interop/ works with: a sandbox as cases have it, and named checks that hold or do not.

Run by interop.py as a process of its own: lab.py SCENARIO-FILE SIDE-JSON RESULT-FILE LOG-DIR."""
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from kit import case as case_file, inside  # noqa: E402
from kit.inside import Stop  # noqa: E402,F401


class Settings:
    """What Sandbox wants to know of a case."""

    head = {"norm": "", "sub": [], "timeout": "30"}


class Lab:
    def __init__(self, side, result):
        self.result = result
        self.box = inside.Sandbox(Settings, side)
        self.packages, self.reference = side["packages"], side["reference"]
        self.children, self.checks = [], []
        self.root, self.env = self.box.root, self.box.env
        self.logs = f"{self.root}/log"

    def program(self, path):
        """Makes a program of Debian's unstable suite callable by its name, with the loader and libraries it was built for."""
        name, root = os.path.basename(path), self.reference
        with open(f"{self.root}/bin/{name}", "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nexec {root}/lib64/ld-linux-x86-64.so.2 --library-path {root}/usr/lib/x86_64-linux-gnu "
                    f'--argv0 {name} {path} "$@"\n')
        os.chmod(f.name, 0o755)

    def check(self, name, holds, detail=""):
        """Records whether something that must hold does; the detail is shown when it does not."""
        self.record([name, bool(holds), str(detail)[-2000:]])
        return bool(holds)

    def record(self, check):
        """Keeps a check at once: a scenario that is cut off still tells how far it came."""
        self.checks.append(check)
        with open(self.result, "w", encoding="utf-8") as f:
            json.dump(self.checks, f)

    def same(self, name, text):
        """Records a text (made comparable) that has to be the reference's."""
        self.record([name, None, self.box.normal(text)])

    def sh(self, command):
        """(stdout, stderr, exit code or 'TIMEOUT') of one line under sh."""
        return self.box.sh(command)

    def must(self, command):
        """Standard output of a command that has to succeed; else the scenario ends here."""
        return self.box.must(command)

    def succeeds(self, name, command):
        """A check that the command succeeds; its words are the detail."""
        out, err, code = self.box.sh(command)
        return self.check(name, code == 0, f"{command}\n{out}{err}[exit {code}]")

    def wait(self, what, limit=10.0):
        """Whether `what` (a command, or a function of no arguments) succeeds within `limit` seconds."""
        end, pause = time.monotonic() + limit, 0.02
        while True:
            if (self.box.sh(what)[2] == 0) if isinstance(what, str) else what():
                return True
            if time.monotonic() > end:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.3)

    def switch(self, options=""):
        """A fresh database and a switch on it."""
        self.box.do_switch(case_file.Step(0, "switch", options))

    def bridge(self, name, datapath_id, *settings):
        """A bridge in the userspace datapath, secure and with no flow."""
        words = " ".join(shlex.quote(s) for s in settings)
        self.must(f"ovs-vsctl --timeout=10 add-br {name} -- set bridge {name} datapath_type=netdev fail_mode=secure "
                  f"other_config:hwaddr=02:00:00:00:ff:{datapath_id:02x} "
                  f"other_config:datapath-id={datapath_id:016x} {words}")

    def host(self, name, address, bridge, *settings):
        self.box.do_host(case_file.Step(0, "host", " ".join([name, address, bridge, *settings])))

    def cable(self, one, other, first_port, second_port):
        """A veth pair between two bridges, with these OpenFlow port numbers."""
        a, b = f"{one}-{first_port}", f"{other}-{second_port}"
        self.must(f"ip link add {a} type veth peer name {b} && ip link set {a} up && ip link set {b} up")
        self.must(f"ethtool -K {a} tx off >/dev/null 2>&1; ethtool -K {b} tx off >/dev/null 2>&1; :")
        for bridge, port, number in ((one, a, first_port), (other, b, second_port)):
            self.must(f"ovs-vsctl --timeout=10 add-port {bridge} {port} -- set interface {port} ofport_request={number}")

    def ping(self, host, address, options=""):
        """Whether one echo comes back within some seconds."""
        return self.wait(f"ip netns exec {host} ping -n -q -c 1 -W 1 {options} {address} >/dev/null 2>&1", 6)

    def start(self, name, command, **env):
        """A program in the background; what it says goes to the log folder as NAME.log."""
        with open(f"{self.logs}/{name}.log", "ab") as log:
            child = subprocess.Popen(command, cwd=f"{self.root}/files", env=dict(self.env, **env), stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log, start_new_session=True)
        self.children.append(child)
        return child

    @staticmethod
    def stop(why):
        """Ends the scenario: the rest would mean nothing."""
        raise Stop(why)

    def log(self, name):
        try:
            with open(f"{self.logs}/{name}.log", encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def file(self, name, text):
        """Writes a file of the working folder; its path."""
        path = f"{self.root}/files/{name}"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def switch_log(self, words):
        """The lines of the switch's log with one of these words, for the detail of a check."""
        return "\n".join(line for line in self.log("ovs-vswitchd").splitlines() if any(w in line for w in words))[-1500:]


def out_of_time(_signal, _frame):
    raise Stop("out of time")


def run_scenario(argv):
    spec = importlib.util.spec_from_file_location("scenario", argv[1])
    scenario = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scenario)
    with open(argv[2], encoding="utf-8") as f:
        side = json.load(f)
    lab = Lab(side, argv[3])
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(scenario.LIMIT)
    try:
        scenario.run(lab)
    except Stop as stop:
        lab.check("the scenario came to its end", False, stop)
    finally:
        for child in lab.children:
            child.terminate()
        shutil.copytree(f"{lab.root}/log", argv[4], dirs_exist_ok=True)
        if not side["namespaces"]:
            inside.kill_descendants()
            shutil.rmtree(lab.root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(inside.as_first_process(lambda: run_scenario(sys.argv)))
