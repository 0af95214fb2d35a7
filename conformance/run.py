#!/usr/bin/env python3
"""Runs the conformance cases against the reference and against ferrovs and shows the differences. See README.md."""
import argparse
import concurrent.futures
import difflib
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from kit.case import Case, CaseError  # noqa: E402

TOOLS = ("ovs-vsctl", "ovs-ofctl", "ovs-appctl", "ovs-dpctl", "ovsdb-client", "ovsdb-tool", "ovs-pki", "vtep-ctl")
DAEMONS = ("ovsdb-server", "ovs-vswitchd")
# side: (whose tools, whose daemons). The reference is what the others are compared with.
SIDES = {"ref": ("ref", "ref"), "ours": ("ours", "ours"), "our-tools": ("ours", "ref"), "our-daemons": ("ref", "ours")}
CASE_LIMIT = 180
HEX_DUMP = re.compile(r"2> [0-9a-f]{8}  ")


def reference_programs(root):
    loader = [f"{root}/lib64/ld-linux-x86-64.so.2", "--library-path", f"{root}/usr/lib/x86_64-linux-gnu", "--argv0"]
    places = {"ovs-vswitchd": "usr/lib/openvswitch-switch"}
    found = {}
    for name in TOOLS + DAEMONS:
        for place in (places.get(name), "usr/sbin", "usr/bin"):
            if place and os.path.isfile(f"{root}/{place}/{name}"):
                path = f"{root}/{place}/{name}"
                with open(path, "rb") as f:
                    found[name] = ["sh", path] if f.read(2) == b"#!" else [*loader, name, path]
                break
    return found


def our_programs(where):
    """`where`: the multi-call executable, a folder that holds it, or a folder of programs by their classic names."""
    if os.path.isfile(where):
        executable = where
    elif os.path.isfile(f"{where}/ovs-vsctl"):
        names = [n for n in (*TOOLS, *DAEMONS, "ferrovs") if os.path.isfile(f"{where}/{n}")]
        return {name: [f"{where}/{name}"] for name in names}
    else:
        executable = f"{where}/ferrovs"
    if not os.access(executable, os.X_OK):
        return None
    links = tempfile.mkdtemp(prefix="ferrovs-links-")
    for name in (*TOOLS, *DAEMONS, "ferrovs"):
        os.symlink(os.path.abspath(executable), f"{links}/{name}")
    return {name: [f"{links}/{name}"] for name in (*TOOLS, *DAEMONS, "ferrovs")}


def default_bin():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(os.path.dirname(HERE), "target"))
    built = [f"{target}/{profile}/ferrovs" for profile in ("release", "debug")]
    built = [b for b in built if os.path.isfile(b)]
    return max(built, key=os.path.getmtime, default=f"{target}/release/ferrovs")


def unshare_command():
    """How to get namespaces here, or None."""
    for extra in ([], ["--user", "--map-root-user"]):
        command = ["unshare", *extra, "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        try:
            if subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0:
                return command
        except FileNotFoundError:
            return None
    return None


class Kit:
    def __init__(self, args):
        self.args = args
        self.unshare = unshare_command()
        self.have = set()
        if os.geteuid() == 0:
            self.have.add("root")
        if self.unshare:
            self.have.add("netns")
        try:
            os.close(os.open("/dev/net/tun", os.O_RDWR))
            self.have.add("tun")
        except OSError:
            pass
        root = os.environ.get("FERROVS_REFERENCE") or os.path.expanduser("~/.cache/ferrovs/reference")
        self.programs = {"ref": reference_programs(root), "ours": our_programs(args.bin or default_bin())}
        self.share = {"ref": f"{root}/usr/share/openvswitch", "ours": os.path.join(os.path.dirname(HERE), "schema")}
        if args.ref_bin:
            self.programs["ref"] = our_programs(args.ref_bin)
        if not {*TOOLS, *DAEMONS} - {"vtep-ctl"} <= set(self.programs["ref"] or ()):
            self.programs["ref"] = None
        if "vtep-ctl" in (self.programs["ref"] or ()):
            self.have.add("vtep")
        self.results = os.path.join(HERE, "results")
        self.pending = {} if args.strict else pending_cases()

    def side(self, name):
        tools, daemons = SIDES[name]
        programs = dict(self.programs[tools])
        programs.update({n: c for n, c in self.programs[daemons].items() if n in DAEMONS})
        return {"programs": programs, "share": self.share[daemons], "corpus": f"{HERE}/corpus",
                "namespaces": self.unshare is not None}

    def run_side(self, case, name):
        """The case's transcript on one side: a list of steps."""
        with tempfile.TemporaryDirectory(prefix="fvs-run-") as work:
            with open(f"{work}/side.json", "w", encoding="utf-8") as f:
                json.dump(self.side(name), f)
            command = [*(self.unshare or []), sys.executable, f"{HERE}/kit/inside.py", case.path, f"{work}/side.json",
                       f"{work}/result.json", f"{work}/log"]
            if self.unshare:
                os.makedirs("/tmp/fvs", exist_ok=True)
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=CASE_LIMIT)
                trouble = done.stderr if done.returncode else ""
            except subprocess.TimeoutExpired:
                trouble = f"the case took more than {CASE_LIMIT} s\n"
            logs = f"{self.results}/{case.name}.{name}.log"
            shutil.rmtree(logs, ignore_errors=True)
            if os.path.isdir(f"{work}/log") and os.listdir(f"{work}/log"):
                shutil.copytree(f"{work}/log", logs, dirs_exist_ok=True)
            try:
                with open(f"{work}/result.json", encoding="utf-8") as f:
                    steps = json.load(f)
            except (OSError, ValueError):
                steps = []
            if trouble:
                steps.append({"number": 0, "shown": "[the kit]", "text": "[stopped] " + trouble, "better": None})
            with open(f"{self.results}/{case.name}.{name}.txt", "w", encoding="utf-8") as f:
                f.write(rendered(steps))
            return steps

    def wanted_sides(self, case):
        if self.args.side in ("ref", "ours"):
            return [self.args.side]
        if case.head["only"]:
            return [case.head["only"]]
        sides = ["ref", "ours"]
        if self.args.mixed or case.head["mixed"] == "yes":
            sides += ["our-tools", "our-daemons"]
        return sides

    def why_skipped(self, case):
        if case.needs - self.have:
            return "needs " + ", ".join(sorted(case.needs - self.have))
        sides = self.wanted_sides(case)
        if any("ref" in SIDES[s] for s in sides) and not self.programs["ref"] and not self.recorded(case):
            return "no reference: run conformance/reference.sh as root"
        if any("ours" in SIDES[s] for s in sides) and not self.programs["ours"]:
            return "no ferrovs executable: cargo build --release, or --bin"
        return None

    def recorded_path(self, case):
        return f"{HERE}/recorded/{case.name}.json"

    def recorded(self, case):
        """The reference's transcript from an earlier run, if this run is to use them."""
        if not self.args.recorded:
            return None
        try:
            with open(self.recorded_path(case), encoding="utf-8") as f:
                return json.load(f)
        except OSError:
            return None

    def compare_expected(self, case, got):
        """For what the reference does not have: the difference to the transcript kept in expected/."""
        path, text = f"{HERE}/expected/{case.name}.txt", rendered(got)
        if self.args.update:
            os.makedirs(f"{HERE}/expected", exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        try:
            with open(path, encoding="utf-8") as f:
                wanted_text = f.read()
        except FileNotFoundError:
            return f"  no expected/{case.name}.txt: run with --update, and read what it keeps\n"
        diff = difflib.unified_diff(wanted_text.splitlines(), text.splitlines(), "expected", "ours", n=2, lineterm="")
        return "".join(f"  {line}\n" for line in diff)

    def run_case(self, case):
        """('passed' | 'failed' | 'skipped', text to show)."""
        reason = self.why_skipped(case)
        if reason:
            return "skipped", reason
        sides = self.wanted_sides(case)
        if self.args.recorded:
            sides = [s for s in sides if s in ("ref", "ours")]
        if case.name in self.pending:
            if self.trouble(case, [s for s in sides if s in ("ref", "ours")]):
                return "skipped", "known to differ, see pending.txt"
            return "passed", f"  pending {case.name}: passes now, take it out of pending.txt\n"
        trouble = self.trouble(case, sides)
        if trouble and not self.args.no_retry:
            # Daemons, sockets and namespaces on a busy machine: a second failure is no accident.
            again = self.trouble(case, sides)
            if not again:
                return "passed", f"  {case.name} passed on the second try; the first:\n{trouble}"
            trouble = again
        return ("failed", trouble) if trouble else ("passed", "")

    def trouble(self, case, sides):
        """Runs the case on these sides: the differences, or nothing."""
        steps = {}
        for side in sides:
            known = self.recorded(case) if side == "ref" else None
            steps[side] = known if known is not None else self.run_side(case, side)
        if self.args.show:
            print("".join(f"--- {side}: {case.name}\n{rendered(s)}" for side, s in steps.items()), flush=True)
        base, found = steps.get("ref"), ""
        if base is not None:
            found += broken("ref", base)
            if self.args.update and not found:
                os.makedirs(f"{HERE}/recorded", exist_ok=True)
                with open(self.recorded_path(case), "w", encoding="utf-8") as f:
                    json.dump(base, f, indent=1)
                    f.write("\n")
        for side, got in steps.items():
            if side != "ref" and base is not None:
                found += compare(case, base, side, got)
            elif side != "ref":
                found += broken(side, got)
                if case.head["only"] == "ours":
                    found += self.compare_expected(case, got)
        return found


def rendered(steps):
    """What a human reads and what the diff compares."""
    return "".join(f"$ {step['shown']}\n{step['text']}" for step in steps)


def acceptable(base, got, side):
    """The reference's steps as ours may differ from them on purpose: the text of a deliberate improvement; and log lines
    that the reference prints on standard error beside its message, which ours may leave out (but not add)."""
    steps = []
    for n, step in enumerate(base):
        ours = got[n]["text"] if n < len(got) else ""
        text = expected(step) if step["better"] else step["text"]
        if side != "ours" and ours == step["text"]:
            text = ours  # with half of the programs the reference's, either text may come
        if text != ours:
            text = with_our_log_lines(text, ours)
        steps.append(dict(step, text=text))
    return steps


def with_our_log_lines(reference, ours):
    """The reference's text without the log lines of standard error that ours leaves out, command by command."""
    theirs, mine = (re.split(r"(?m)^(?=== )", text) for text in (reference, ours))
    if len(theirs) == len(mine):
        theirs = [m if leaves_out_log_lines(t.splitlines(), m.splitlines()) else t for t, m in zip(theirs, mine)]
    return "".join(theirs)


def leaves_out_log_lines(reference, ours):
    """Whether `ours` is `reference` without some log lines of standard error (and the hex dumps that belong to them)."""
    at, dropping = 0, False
    for line in reference:
        if at < len(ours) and line == ours[at]:
            at, dropping = at + 1, False
        elif line.startswith("2> <time>|<seq>|") or dropping and HEX_DUMP.match(line):
            dropping = True
        else:
            return False
    return at == len(ours)


def expected(step):
    better = step["better"]
    return "".join(line + "\n" for line in better["want"]) + (f"[exit {better['rc']}]\n" if better["rc"] else "")


def broken(side, steps):
    """A case is no test when its set-up fails or hangs, even if it does so on both sides."""
    return "".join(f"  on {side}: line {s['number']}: {s['shown']}\n    {s['text'].strip()}\n" for s in steps
                   if s["text"].startswith("[stopped]") or s["text"].endswith("[TIMEOUT]\n"))


def compare(case, base, side, got):
    a, b = rendered(acceptable(base, got, side)), rendered(got)
    if a == b:
        return broken(side, got)
    diff = difflib.unified_diff(a.splitlines(), b.splitlines(), "reference", side, n=2, lineterm="")
    return "".join(f"  {line}\n" for line in diff)


def pending_cases():
    """Cases of features that ferrovs does not have yet: name to reason."""
    try:
        with open(f"{HERE}/pending.txt", encoding="utf-8") as f:
            lines = [line.strip() for line in f if line.strip() and not line.startswith("#")]
    except FileNotFoundError:
        return {}
    return {name.strip(): reason.strip() for name, _, reason in (line.partition(":") for line in lines)}


def load_cases(patterns):
    cases, errors = [], []
    for path in sorted(os.listdir(f"{HERE}/cases")):
        name = path.removesuffix(".case")
        if path.endswith(".case") and (not patterns or any(fnmatch.fnmatch(name, p) for p in patterns)):
            try:
                cases.append(Case(f"{HERE}/cases/{path}"))
            except (CaseError, ValueError) as e:
                errors.append(str(e))
    return cases, errors


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--only", action="append", metavar="GLOB", help="only cases whose name matches (may be repeated)")
    p.add_argument("--side", choices=("both", "ref", "ours"), default="both")
    p.add_argument("--bin", metavar="PATH", help="the ferrovs executable, or a folder of programs (default: newest in target/)")
    p.add_argument("--ref-bin", metavar="DIR", help="use these programs as the reference")
    p.add_argument("--mixed", action="store_true", help="also run our tools on the reference's daemons and the reverse")
    p.add_argument("--update", action="store_true", help="keep the reference's transcripts in recorded/, and ours of cases that only ferrovs has in expected/")
    p.add_argument("--recorded", action="store_true", help="compare with recorded/ where there is a transcript")
    p.add_argument("--strict", action="store_true", help="count the cases of pending.txt that differ as failed")
    p.add_argument("--no-retry", action="store_true", help="do not run a failed case a second time")
    p.add_argument("--show", action="store_true", help="print the transcripts")
    p.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    p.add_argument("--repeat", type=int, default=1, help="run each case this often (to find what is not deterministic)")
    p.add_argument("--list", action="store_true")
    return p.parse_args()


def main():
    args = arguments()
    cases, errors = load_cases(args.only)
    for error in errors:
        print(f"malformed case: {error}")
    if args.list:
        for case in cases:
            print(f"{case.name:40} {case.head['title']}")
        return 0
    if not cases and not errors:
        print(f"run.py: no case matches {' '.join(args.only or ['*'])}", file=sys.stderr)
        return 2
    kit = Kit(args)
    os.makedirs(kit.results, exist_ok=True)
    counts = {"passed": 0, "failed": len(errors), "skipped": 0}
    skips, start = {}, time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max(1, args.jobs)) as pool:
        todo = [c for c in cases for _ in range(args.repeat)]
        for case, (verdict, text) in zip(todo, pool.map(kit.run_case, todo)):
            counts[verdict] += 1
            if verdict == "skipped":
                skips[text] = skips.get(text, 0) + 1
            elif verdict == "failed" or text or sys.stdout.isatty():
                print(f"{verdict:7} {case.name}: {case.head['title']}\n{text}", end="", flush=True)
    for reason, n in sorted(skips.items()):
        print(f"skipped {n}: {reason}")
    print(f"{len(todo)} runs of cases in {time.monotonic() - start:.0f} s")
    print(f"conformance: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
