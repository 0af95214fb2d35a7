#!/usr/bin/env python3
"""Runs controllers and control planes of others (os-ken, faucet, OVN) on the switch and the database: on the reference's
and on ferrovs. A check that holds on the reference has to hold on ferrovs. See README.md."""
import argparse
import difflib
import fnmatch
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import run as kit_run  # noqa: E402


def packages_folder():
    return os.environ.get("FERROVS_INTEROP") or os.path.expanduser("~/.cache/ferrovs/interop")


def reference_folder():
    return os.environ.get("FERROVS_REFERENCE") or os.path.expanduser("~/.cache/ferrovs/reference")


def scenarios(patterns):
    found = []
    for name in sorted(os.listdir(f"{HERE}/interop")):
        name, dot, kind = name.rpartition(".")
        if kind == "py" and (not patterns or any(fnmatch.fnmatch(name, p) for p in patterns)):
            spec = importlib.util.spec_from_file_location(name, f"{HERE}/interop/{name}.py")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            if patterns or not getattr(module, "LONG", False):
                found.append((name, module))
    return found


class Interop:
    def __init__(self, args):
        self.args = args
        self.kit = kit_run.Kit(args)
        self.have = set(self.kit.have)
        for name in ("osken", "pyovs", "faucet", "ovn"):
            if os.path.exists(f"{packages_folder()}/{name}/.complete"):
                self.have.add(name)
        self.known, self.needed = known_failures(), set()

    def is_known(self, check):
        return any(fnmatch.fnmatchcase(check, pattern) for pattern in self.known)

    def run_side(self, name, module, side):
        """The checks of one scenario on one side: name of check -> (holds, detail)."""
        with tempfile.TemporaryDirectory(prefix="fvs-run-") as work:
            with open(f"{work}/side.json", "w", encoding="utf-8") as f:
                json.dump(dict(self.kit.side(side), packages=packages_folder(), reference=reference_folder()), f)
            os.makedirs("/tmp/fvs", exist_ok=True)
            command = [*self.kit.unshare, sys.executable, f"{HERE}/kit/lab.py", f"{HERE}/interop/{name}.py",
                       f"{work}/side.json", f"{work}/result.json", f"{work}/log"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=module.LIMIT + 20)
                trouble = done.stderr if done.returncode else ""
            except subprocess.TimeoutExpired:
                trouble = f"more than {module.LIMIT} s"
            logs = f"{self.kit.results}/interop-{name}.{side}.log"
            shutil.rmtree(logs, ignore_errors=True)
            if os.path.isdir(f"{work}/log"):
                shutil.copytree(f"{work}/log", logs)
            try:
                with open(f"{work}/result.json", encoding="utf-8") as f:
                    checks = {n: (ok, detail) for n, ok, detail in json.load(f)}
            except (OSError, ValueError):
                checks = {}
            if trouble:
                checks["the scenario came to its end"] = (False, trouble[-2000:])
            with open(f"{self.kit.results}/interop-{name}.{side}.txt", "w", encoding="utf-8") as f:
                for n, (ok, detail) in checks.items():
                    f.write(f"{ {True: 'ok', False: 'FAILED', None: 'same'}[ok]} {n}\n" + ("" if ok else f"    {detail}\n"))
            return checks

    def run(self, name, module):
        """Counts of (passed, failed, skipped) checks."""
        missing = set(module.NEEDS.split()) - self.have
        sides = ["ref", "ours"] if self.args.side == "both" else [self.args.side]
        missing |= {f"the {s} programs" for s in sides if not self.kit.programs[s]}
        if missing:
            print(f"skipped {name}: needs {', '.join(sorted(missing))}", flush=True)
            return 0, 0, 1
        start = time.monotonic()
        checks = {side: self.run_side(name, module, side) for side in sides}
        base, got = checks.get("ref", {}), checks[sides[-1]]
        passed = failed = skipped = 0
        for check in [*got, *(c for c in base if c not in got)]:
            holds, detail = got.get(check, (False, "not reached"))
            if holds is None:
                theirs = base.get(check, (None, detail))[1]
                holds, detail = detail == theirs, difference(theirs, detail)
            if holds:
                passed += 1
            elif check in base and base[check][0] is False or sides == ["ref", "ours"] and check not in base:
                skipped += 1
                print(f"  on the reference neither: {name}: {check}")
            elif self.is_known(f"{name}: {check}") and not self.args.strict:
                skipped += 1
                self.needed |= {p for p in self.known if fnmatch.fnmatchcase(f"{name}: {check}", p)}
            else:
                failed += 1
                print(f"  FAILED {name}: {check}\n      " + detail.strip().replace("\n", "\n      "))
        print(f"{name}: {module.TITLE}: {passed} checks hold, {failed} do not, {skipped} skipped "
              f"({time.monotonic() - start:.0f} s)", flush=True)
        return passed, failed, skipped


def difference(theirs, mine):
    return "\n".join(difflib.unified_diff(theirs.splitlines(), mine.splitlines(), "reference", "ours", n=1, lineterm=""))


def known_failures():
    """Checks that are known not to hold yet, one pattern a line: `scenario: check`."""
    try:
        with open(f"{HERE}/interop/known.txt", encoding="utf-8") as f:
            return {line.strip() for line in f if line.strip() and not line.startswith("#")}
    except FileNotFoundError:
        return set()


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--only", action="append", metavar="GLOB", help="only scenarios whose name matches")
    p.add_argument("--side", choices=("both", "ref", "ours"), default="both")
    p.add_argument("--bin", metavar="PATH", help="the ferrovs executable, or a folder of programs")
    p.add_argument("--ref-bin", metavar="DIR", help="use these programs as the reference")
    p.add_argument("--strict", action="store_true", help="count the checks of interop/known.txt that do not hold as failed")
    return p.parse_args()


def main():
    args = arguments()
    interop = Interop(args)
    os.makedirs(interop.kit.results, exist_ok=True)
    if not interop.kit.unshare:
        print("interop: 0 passed, 0 failed, 1 skipped (no namespaces here)")
        return 0
    totals = [0, 0, 0]
    for name, module in scenarios(args.only):
        totals = [a + b for a, b in zip(totals, interop.run(name, module))]
    if not args.only and not args.strict and not totals[1]:
        for pattern in sorted(interop.known - interop.needed):
            print(f"interop/known.txt: every check of '{pattern}' holds now")
    print("interop: {} passed, {} failed, {} skipped".format(*totals))
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main())
