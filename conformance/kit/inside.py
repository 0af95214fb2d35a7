"""Runs one case on one side. Called by run.py, as a process of its own: as process 1 of fresh mount, network and
process namespaces where the machine allows it, else as a plain process in a temporary folder.

    inside.py CASE-FILE SIDE-JSON RESULT-FILE LOG-DIR

SIDE-JSON: {"programs": {name: command line list}, "share": folder, "corpus": folder, "namespaces": bool}.
Writes a JSON list of {number, shown, text, better} to RESULT-FILE."""
import ctypes
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from kit import case as case_file, frames, normalise, record  # noqa: E402

FIXED = "/tmp/fvs"
PR_SET_CHILD_SUBREAPER = 36
WAIT_LIMIT = 10.0


class Stop(Exception):
    """A set-up step failed: the rest of the case means nothing."""


def loopback_only_namespace():
    """The empty network namespace that unshare made: loopback up, no IPv6 chatter, private list of named namespaces."""
    os.makedirs("/run/netns", exist_ok=True)
    for command in ("mount -t tmpfs none /run/netns", "ip link set lo up"):
        subprocess.run(command.split(), check=False, stderr=subprocess.DEVNULL)
    for scope in ("all", "default"):
        try:
            with open(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6", "w") as f:
                f.write("1")
        except OSError:
            pass


class Sandbox:
    def __init__(self, case, side):
        self.case, self.side = case, side
        self.limit = float(case.head["timeout"])
        if side["namespaces"]:
            self.root = FIXED
            subprocess.run(["mount", "-t", "tmpfs", "none", FIXED], check=True)
            loopback_only_namespace()
        else:
            self.root = tempfile.mkdtemp(prefix="fvs-")
        for name in ("run", "db", "log", "etc", "bin", "files"):
            os.mkdir(f"{self.root}/{name}")
        shutil.copytree(side["share"], f"{self.root}/share")
        for name, command in side["programs"].items():
            with open(f"{self.root}/bin/{name}", "w") as f:
                f.write("#!/bin/sh\nexec " + " ".join(shlex.quote(c) for c in command) + ' "$@"\n')
            os.chmod(f.name, 0o755)
        self.env = {
            "PATH": f"{self.root}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C", "TZ": "UTC", "HOME": self.root, "TMPDIR": f"{self.root}/files",
            "OVS_RUNDIR": f"{self.root}/run", "OVS_DBDIR": f"{self.root}/db", "OVS_LOGDIR": f"{self.root}/log",
            "OVS_SYSCONFDIR": f"{self.root}/etc", "OVS_PKGDATADIR": f"{self.root}/share", "CORPUS": side["corpus"],
        }
        self.recorders, self.hosts, self.results = {}, {}, []
        self.normal = normalise.Normaliser(case.head["norm"], case.head["sub"], self.root)

    def sh(self, command, extra=None):
        """Runs one line under sh: (stdout, stderr, exit code or 'TIMEOUT')."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = subprocess.Popen(["sh", "-c", command], cwd=f"{self.root}/files", env=dict(self.env, **(extra or {})),
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
            try:
                code = child.wait(self.limit)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                code = "TIMEOUT"
            out.seek(0)
            err.seek(0)
            return out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace"), code

    def must(self, command):
        out, err, code = self.sh(command)
        if code != 0:
            raise Stop(f"{command}\n{out}{err}[exit {code}]")
        return out

    def until(self, command, limit=WAIT_LIMIT):
        """Runs `command` until it succeeds; at the limit raises Stop with its last words."""
        end, pause = time.monotonic() + limit, 0.01
        while True:
            out, err, code = self.sh(command)
            if code == 0:
                return
            if time.monotonic() > end:
                raise Stop(f"not within {limit:g} s: {command}\n{out}{err}[exit {code}]")
            time.sleep(pause)
            pause = min(pause * 2, 0.2)

    def show(self, step, text):
        reason = step.better and {"reason": step.better[0], "want": step.better[1], "rc": step.better[2]}
        shown = step.text if step.kind == "cmd" else f"@{step.kind} {step.text}".rstrip()
        self.results.append({"number": step.number, "shown": shown, "text": self.normal(text), "better": reason})

    def run(self):
        for step in self.case.steps:
            try:
                text = getattr(self, "do_" + step.kind)(step)
            except Stop as stop:
                self.show(step, f"[stopped] {stop}\n")
                return
            if text is not None:
                self.show(step, text)

    # What each kind of line does. The returned text is compared; None compares nothing.

    def do_cmd(self, step):
        return transcript(*self.sh(step.text))

    def do_sort(self, step):
        out, err, code = self.sh(step.text)
        return transcript("".join(sorted(self.normal(out).splitlines(keepends=True))), err, code)

    def do_tree(self, step):
        out, err, code = self.sh(step.text)
        return transcript(sorted_tree(self.normal(out)), err, code)

    def do_quiet(self, step):
        self.must(step.text)

    def do_wait(self, step):
        self.until(step.text)

    def do_each(self, step):
        name, _, command = step.text.partition(" ")
        path = next((p for p in (f"{self.root}/files/{name}", f"{self.side['corpus']}/{name}") if os.path.exists(p)), None)
        if path is None:
            raise Stop(f"no file {name} in the sandbox or in corpus/")
        text = []
        with open(path, encoding="utf-8") as f:
            for line in f.read().splitlines():
                if line and not line.startswith("#"):
                    text.append(f"== {line}\n" + transcript(*self.sh(command, {"LINE": line})))
        return "".join(text)

    def do_file(self, step):
        with open(f"{self.root}/files/{step.text}", "w") as f:
            f.write("".join(line + "\n" for line in step.body))

    def do_db(self, step):
        self.must("ovsdb-tool create $OVS_DBDIR/conf.db $OVS_PKGDATADIR/vswitch.ovsschema")
        self.must("ovsdb-server --detach --no-chdir --pidfile --log-file --remote=punix:$OVS_RUNDIR/db.sock "
                  f"{step.text} $OVS_DBDIR/conf.db")

    def do_switch(self, step):
        words = shlex.split(step.text)
        dummy = "dummy" in words
        self.do_db(case_file.Step(step.number, "db", ""))
        self.must("ovs-vsctl --no-wait init")
        self.must("ovs-vswitchd --detach --no-chdir --pidfile --log-file -vconsole:off "
                  + ("--enable-dummy " if dummy else "") + "--disable-system" + " unix:$OVS_RUNDIR/db.sock")

    def do_bridge(self, step):
        name, *more = shlex.split(step.text)
        kind = "dummy" if "dummy" in more else "netdev"
        number = sum(name.encode()) % 256
        settings = " ".join(shlex.quote(m) for m in more if m not in ("dummy", "netdev"))
        self.must(f"ovs-vsctl --timeout=10 add-br {name} -- set bridge {name} datapath_type={kind} fail_mode=secure "
                  f"other_config:hwaddr=02:00:00:00:ff:{number:02x} other_config:datapath-id=00000000000000{number:02x} "
                  + settings)
        if "fail_mode=standalone" not in more:
            self.must(f"ovs-ofctl add-flow {name} priority=0,actions=NORMAL")

    def do_host(self, step):
        name, address, bridge, *settings = shlex.split(step.text)
        n = len(self.hosts) + 1
        self.hosts[name] = n
        settings = " ".join(shlex.quote(s) for s in settings)
        for command in (
            f"ip netns add {name}",
            f"ip link add name {name} address 02:00:00:00:01:{n:02x} type veth peer name eth0 netns {name}",
            f"ip link set {name} up",
            f"ip netns exec {name} sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; :'",
            f"ip -n {name} link set eth0 address 02:00:00:00:00:{n:02x} up",
            f"ip -n {name} link set lo up",
            f"ip -n {name} address add {address} dev eth0",
            f"ethtool -K {name} tx off >/dev/null 2>&1; ip netns exec {name} ethtool -K eth0 tx off >/dev/null 2>&1; :",
            f"ovs-vsctl --timeout=10 add-port {bridge} {name} {settings} -- set interface {name} ofport_request={n}",
        ):
            self.must(command)

    def do_inject(self, step):
        sender, *words = shlex.split(step.text)
        macs = {name: f"02:00:00:00:00:{n:02x}" for name, n in self.hosts.items()}
        if sender not in macs:
            raise Stop(f"no host {sender}")
        try:
            return frames.inject(sender, words, macs)
        except (frames.FrameError, OSError, ValueError) as e:
            raise Stop(str(e)) from e

    def do_ping(self, step):
        host, address, *options = shlex.split(step.text)
        quoted = " ".join(shlex.quote(o) for o in options)
        _, _, code = self.sh(f"ip netns exec {host} ping -n -q -c 3 -i 0.2 -W 1 -w 2 {quoted} {address} >/dev/null 2>&1")
        return "reached\n" if code == 0 else "not reached\n"

    def do_record(self, step):
        name, target = shlex.split(step.text)
        path = f"{self.root}/run/{name}.rec"
        record.remove(path)
        self.recorders[name] = record.Recorder(path, f"{self.root}/run/{target}")

    def do_wire(self, step):
        name, *words = step.text.split()
        if name not in self.recorders:
            raise Stop(f"nothing is recorded under the name '{name}'")
        return record.render(self.recorders[name].take(), words)


def transcript(out, err, code):
    def ended(text):
        return text if not text or text.endswith("\n") else text + "[no newline]\n"
    text = ended(out) + "".join("2> " + line + "\n" for line in ended(err).splitlines())
    if code == "TIMEOUT":
        return text + "[TIMEOUT]\n"
    if code < 0:
        return text + f"[killed by {signal.Signals(-code).name}]\n"
    return text + (f"[exit {code}]\n" if code else "")


def sorted_tree(text):
    """Records (separated by empty lines) or indented siblings in alphabetical order, each with what is below it."""
    if "\n\n" in text:
        records = text.rstrip("\n").split("\n\n")
        records = [sorted_tree(r + "\n").rstrip("\n") if "\n " in r else r for r in records]
        return "\n\n".join(sorted(records)) + "\n"
    groups, inner = [], None
    for line in text.splitlines(keepends=True):
        depth = len(line) - len(line.lstrip(" "))
        if inner is None or depth <= inner:
            inner = depth
            groups.append([line, ""])
        else:
            groups[-1][1] += line
    return "".join(sorted(head + (sorted_tree(below) if below else "") for head, below in groups))


def kill_descendants():
    """Without a process namespace: ends what the case left running. We are its subreaper, so all of it is below us."""
    while True:
        with open(f"/proc/self/task/{os.getpid()}/children") as f:
            pids = [int(p) for p in f.read().split()]
        if not pids:
            return
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def run_case(argv):
    case = case_file.Case(argv[1])
    with open(argv[2], encoding="utf-8") as f:
        side = json.load(f)
    box = Sandbox(case, side)
    try:
        box.run()
    finally:
        with open(argv[3], "w", encoding="utf-8") as f:
            json.dump(box.results, f)
        shutil.copytree(f"{box.root}/log", argv[4], dirs_exist_ok=True)
        if not side["namespaces"]:
            kill_descendants()
            shutil.rmtree(box.root, ignore_errors=True)


def as_first_process(work):
    """Calls `work` in a child of process 1 of the namespace, or, without one, with what it leaves running below us."""
    if os.getpid() != 1:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        work()
        return 0
    child = os.fork()
    if child == 0:
        work()
        return 0
    # Process 1 of the namespace: reaps daemons that end; the kernel ends the rest when it returns.
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(as_first_process(lambda: run_case(sys.argv)))
