#!/usr/bin/env python3
"""Runs side_by_side.py with the reference (conformance/reference.sh) as A and ferrovs as B.

    compare.py [--bin PATH] [arguments of side_by_side.py, such as --only db_txn --quick]

PATH is the ferrovs executable, release build; default: target/release/ferrovs. Needs root."""
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "conformance"))
import run as kit  # noqa: E402


def folder(programs, schemas):
    """A folder of wrapper scripts by the programs' names, with the schema files beside them."""
    where = tempfile.mkdtemp(prefix="ferrovs-bench-")
    for name, command in programs.items():
        with open(f"{where}/{name}", "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nexec " + " ".join(map(shlex.quote, command)) + ' "$@"\n')
        os.chmod(f.name, 0o755)
    for name in os.listdir(schemas):
        if name.endswith(".ovsschema"):
            shutil.copy(os.path.join(schemas, name), where)
    return where


def main():
    args = sys.argv[1:]
    if args[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    executable = os.path.join(os.path.dirname(HERE), "target", "release", "ferrovs")
    if args[:1] == ["--bin"] and len(args) > 1:
        executable, args = args[1], args[2:]
    root = os.environ.get("FERROVS_REFERENCE") or os.path.expanduser("~/.cache/ferrovs/reference")
    reference, ours = kit.reference_programs(root), kit.our_programs(executable)
    if "ovs-vswitchd" not in reference:
        print("compare.py: no reference: run conformance/reference.sh as root", file=sys.stderr)
        return 2
    if not ours:
        print(f"compare.py: {executable}: no ferrovs there: cargo build --release, or --bin", file=sys.stderr)
        return 2
    a = folder(reference, f"{root}/usr/share/openvswitch")
    b = folder(ours, os.path.join(os.path.dirname(HERE), "schema"))
    # The core without I/O, where it has been built: cargo build --release -p ferrovs-dp-user --example core-bench.
    core = os.path.join(os.path.dirname(os.path.abspath(executable)), "examples", "core-bench")
    if os.access(core, os.X_OK):
        os.symlink(core, f"{b}/core-bench")
    try:
        return subprocess.run([sys.executable, f"{HERE}/side_by_side.py", "--a", a, "--b", b, *args]).returncode
    finally:
        shutil.rmtree(a)
        shutil.rmtree(b)


if __name__ == "__main__":
    sys.exit(main())
