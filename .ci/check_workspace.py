#!/usr/bin/env python3
"""Checks what the compiler does not: the arrows between crates, where `unsafe` may be, crate names, file lengths.

    .ci/check_workspace.py layers | unsafe | names | lengths

Prints one line per violation and exits 1 if there is any."""
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Which row a crate is in. A crate depends only on crates of smaller rows (ARCHITECTURE.md has the picture).
ROWS = {
    "clock": 0, "wire": 0, "snapshot": 0, "netlink": 0, "ovsdb-data": 0,
    "flow": 1, "protocols": 1, "session": 1, "ovsdb": 1, "idl-build": 1,
    "classifier": 2, "openflow": 2, "conntrack": 2, "datapath": 2,
    "translate": 3, "io": 3,
    "idl": 4, "netdev": 4,
    "dp-user": 5, "dp-kernel": 5,
    "switch": 6, "export": 6,
    "vswitchd": 7, "ovsdb-server": 7, "tools": 7,
    "ferrovs": 8,
}
# Concrete datapaths are named by nobody but the daemon that puts them together, and the kernel's by the tool that needs no daemon.
NAMED_BY = {"dp-user": {"vswitchd"}, "dp-kernel": {"vswitchd", "tools"}}
MAY_BE_UNSAFE = {"snapshot", "netdev", "dp-user", "io"}
BANNED_NAMES = {"util", "utils", "common", "misc", "lib", "helpers"}
# Pure crates: no sockets, no clock, no runtime.
PURE_ROWS = 3
PURE_TOO = {"translate"}
IMPURE_CRATES = {"tokio", "rustix", "libc", "socket2", "mio"}
# Database files are locked with fcntl, as the original's are, so that either server sees the other's lock.
EXCUSED = {("ovsdb", "rustix")}
LONGEST_FILE = 900


def packages():
    out = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout
    return {p["name"].removeprefix("ferrovs-"): p for p in json.loads(out)["packages"]}


def normal_dependencies(package):
    return [d for d in package["dependencies"] if d["kind"] in (None, "build")]


def rust_files(below=""):
    for folder, folders, files in os.walk(os.path.join(ROOT, "crates", below)):
        folders[:] = [f for f in folders if f != "target"]
        for name in files:
            if name.endswith(".rs"):
                yield os.path.relpath(os.path.join(folder, name), ROOT)


def layers():
    bad, all_packages = [], packages()
    for name, package in sorted(all_packages.items()):
        if name not in ROWS:
            bad.append(f"{name}: no row for this crate in .ci/check_workspace.py")
            continue
        for dependency in normal_dependencies(package):
            other = dependency["name"].removeprefix("ferrovs-")
            if other in all_packages and dependency.get("path"):
                if ROWS.get(other, 99) >= ROWS[name]:
                    bad.append(f"{name} (row {ROWS[name]}) depends on {other} (row {ROWS.get(other)})")
                if other in NAMED_BY and name not in NAMED_BY[other]:
                    bad.append(f"{name} depends on {other}: only {', '.join(sorted(NAMED_BY[other]))} may name it")
            elif other in IMPURE_CRATES and (name, other) not in EXCUSED and (ROWS[name] < PURE_ROWS or name in PURE_TOO):
                bad.append(f"{name} (row {ROWS[name]}) depends on {other}: its row does no input or output")
    return bad


def reads_the_clock():
    """Only `clock` may ask the system for the time among the crates that must be pure."""
    bad = []
    for name, row in ROWS.items():
        if (row < PURE_ROWS or name in PURE_TOO) and name != "clock" and os.path.isdir(os.path.join(ROOT, "crates", name)):
            for path in rust_files(f"{name}/src"):
                for number, line in enumerate(source_lines(path), 1):
                    if re.search(r"\b(Instant|SystemTime)::now\b|\bstd::net::(Tcp|Udp)|\bstd::os::unix::net\b", line):
                        bad.append(f"{path}:{number}: {line.strip()}")
    return bad


def source_lines(path):
    """The file's lines with comments emptied; good enough for looking for words."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return [re.sub(r"//.*", "", line) for line in f.read().splitlines()]


def unsafe():
    bad = []
    for name, package in sorted(packages().items()):
        with open(package["manifest_path"], encoding="utf-8") as f:
            manifest = f.read()
        inherits = re.search(r"(?m)^\[lints\]\s*\n\s*workspace\s*=\s*true", manifest)
        if name not in MAY_BE_UNSAFE and not inherits:
            bad.append(f"crates/{name}/Cargo.toml: does not inherit the workspace's lints, which forbid unsafe code")
        if name not in MAY_BE_UNSAFE:
            for path in rust_files(name):
                bad += [f"{path}:{n}: unsafe" for n, line in enumerate(source_lines(path), 1)
                        if re.search(r"\bunsafe\s*(\{|fn\b|impl\b|trait\b|extern\b)|#!?\[allow\(unsafe_code", line)]
    with open(os.path.join(ROOT, "Cargo.toml"), encoding="utf-8") as f:
        if not re.search(r'(?m)^unsafe_code\s*=\s*"forbid"', f.read()):
            bad.append('Cargo.toml: the workspace\'s lints do not say unsafe_code = "forbid"')
    return bad


def names():
    bad = [f"crate {name}: a name that says nothing" for name in packages() if name in BANNED_NAMES]
    for path in rust_files():
        parts = path.removesuffix(".rs").split(os.sep)
        if any(p in BANNED_NAMES - {"lib"} for p in parts) and "tests" not in parts:
            bad.append(f"{path}: a module name that says nothing")
    return bad


def lengths():
    bad = []
    for path in rust_files():
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            count = sum(1 for _ in f)
        if count > LONGEST_FILE:
            bad.append(f"{path}: {count} lines, more than {LONGEST_FILE}: usually two ideas")
    return bad


CHECKS = {"layers": lambda: layers() + reads_the_clock(), "unsafe": unsafe, "names": names, "lengths": lengths}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        print(__doc__, file=sys.stderr)
        return 2
    bad = CHECKS[sys.argv[1]]()
    for line in bad:
        print(line)
    print(f"{sys.argv[1]}: {'nothing to object to' if not bad else f'{len(bad)} violations'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
