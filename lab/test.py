#!/usr/bin/env python3
"""The kernel datapath tested on the lab's kernels, the reference's programs beside ours: one boot for each kernel.

    lab/test.py [--kernel 6.12] [--side ref|ours|both] [--quick] [--bin PATH] [--capture FOLDER] [--record]

With --side ours, texts are compared with those that the reference gave when it was last recorded (lab/recorded). A check that holds for the reference has to hold for ours. Without the lab (lab/fetch.sh) or the reference everything is
skipped and counted."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "conformance"))
import interop  # noqa: E402
import run as kit_run  # noqa: E402

KERNELS = ("6.12", "7.3")
LIMIT, QUICK_LIMIT = 2700, 900


def recorded(kernel):
    """The reference's checks of an earlier run."""
    try:
        with open(f"{HERE}/recorded/{kernel}.json", encoding="utf-8") as f:
            return {name: tuple(check) for name, check in json.load(f).items()}
    except FileNotFoundError:
        return {}


def record(kernel, found):
    """Keeps what the reference's run found: texts, and which checks hold; no figures."""
    os.makedirs(f"{HERE}/recorded", exist_ok=True)
    kept = {name: [holds, detail if holds is None else ""] for name, (holds, detail) in found.items() if not name.startswith("measured: ")}
    with open(f"{HERE}/recorded/{kernel}.json", "w", encoding="utf-8") as f:
        json.dump(kept, f, indent=1, ensure_ascii=False)
        f.write("\n")


def others(kit, side):
    """How to run the other side's ovs-dpctl, if it is there."""
    return (kit.programs["ours" if side == "ref" else "ref"] or {}).get("ovs-dpctl")


def boot(args, kernel, sides, kit):
    """Runs all the tests in one boot: side -> checks."""
    with tempfile.TemporaryDirectory(prefix="lab-") as out:
        script = "mkdir -p /tmp/fvs\n"
        for side in sides:
            with open(f"{out}/{side}.json", "w", encoding="utf-8") as f:
                json.dump(dict(kit.side(side), name=side, quick=args.quick, parts=args.part, others=others(kit, side), namespaces=False, packages="", reference=interop.reference_folder()), f)
            capture = " $LAB_OUT/capture" if args.capture and side == "ref" else ""
            script += f"{sys.executable} {HERE}/inside.py $LAB_OUT/{side}.json $LAB_OUT/{side}.result{capture} && echo {side}: done\n"
        done = subprocess.run([f"{HERE}/run.sh", "--kernel", kernel, "--timeout", str(QUICK_LIMIT if args.quick else LIMIT), "--out", out, "sh", "-c", script],
                              capture_output=True, text=True)
        found = {}
        for side in sides:
            ended = f"{side}: done" in done.stdout
            try:
                with open(f"{out}/{side}.result", encoding="utf-8") as f:
                    found[side] = {n: (ok, detail) for n, ok, detail in json.load(f)}
            except (OSError, ValueError):
                found[side] = {"the machine ran the tests": (False, (done.stdout + done.stderr)[-1500:])}
            if not ended:
                found[side]["the tests ran to their end"] = (False, (done.stdout + done.stderr)[-1500:])
            with open(f"{kit.results}/lab-{kernel}.{side}.json", "w", encoding="utf-8") as f:
                json.dump(found[side], f, indent=1)
            logs = f"{kit.results}/lab-{kernel}.{side}.log"
            subprocess.run(["rm", "-rf", logs])
            subprocess.run(["cp", "-r", f"{out}/{side}.result.log", logs], stderr=subprocess.DEVNULL)
        if args.capture and os.path.isdir(f"{out}/capture"):
            target = f"{args.capture}/{kernel}"
            os.makedirs(target, exist_ok=True)
            subprocess.run(["cp", "-r", f"{out}/capture/.", target])
        return found


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--kernel", action="append", choices=KERNELS)
    p.add_argument("--side", choices=("both", "ref", "ours"), default="both")
    p.add_argument("--bin", metavar="PATH")
    p.add_argument("--ref-bin", metavar="DIR")
    p.add_argument("--quick", action="store_true", help="without what only measures: order, latency, a flood")
    p.add_argument("--part", action="append", metavar="NAME", help="only this function of measures.py")
    p.add_argument("--strict", action="store_true")
    p.add_argument("--record", action="store_true", help="keep the reference's texts in lab/recorded")
    p.add_argument("--capture", metavar="FOLDER", help="keep the reference's netlink messages there, as hex")
    args = p.parse_args()
    kit = kit_run.Kit(args)
    os.makedirs(kit.results, exist_ok=True)
    sides = ["ref", "ours"] if args.side == "both" else [args.side]
    totals = [0, 0, 0]
    missing = [f"the {s} programs" for s in sides if not kit.programs[s]]
    if subprocess.run([f"{HERE}/fetch.sh", "--check"], capture_output=True).returncode:
        missing.append("the lab: lab/fetch.sh")
    for kernel in args.kernel or KERNELS:
        if missing:
            print(f"skipped kernel {kernel}: needs {', '.join(missing)}")
            totals[2] += 1
            continue
        found = boot(args, kernel, sides, kit)
        base, got = found.get("ref") or recorded(kernel), found[sides[-1]]
        if args.record and "ref" in found:
            record(kernel, found["ref"])
        # Of an earlier run, only what this run asked for.
        for check in [*got, *(c for c in base if c not in got and "ref" in found)]:
            holds, detail = got.get(check, (False, "not reached"))
            if check.startswith("measured: "):
                print(f"  kernel {kernel}: {check[10:]}" + "".join(f"\n      {s}: {found[s][check][1]}" for s in sides if check in found[s]))
                continue
            if holds is None:
                theirs = base.get(check, (None, detail))[1]
                holds, detail = detail == theirs, interop.difference(theirs, detail)
            if holds:
                totals[0] += 1
            elif sides[-1] == "ours" and base.get(check, (None,))[0] is False:
                totals[2] += 1
                print(f"  kernel {kernel}: for the reference neither: {check}: {base[check][1].strip()[-300:]}")
                print(f"      ours: {detail.strip()[-300:]}")
            else:
                totals[1] += 1
                print(f"  FAILED kernel {kernel}: {check}\n      " + detail.strip().replace("\n", "\n      "))
        print(f"kernel {kernel}: {len(got)} checks", flush=True)
    print("lab: {} passed, {} failed, {} skipped".format(*totals))
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main())
