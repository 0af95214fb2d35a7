"""Reads a case file: a header of `# key: value` lines, then commands and directives, one a line.

The format is described in conformance/README.md."""
import os
import shlex

HEADER_KEYS = {"title", "needs", "norm", "sub", "mixed", "only", "timeout"}
NEEDS = {"root", "tun", "vtep", "netns"}
DIRECTIVES = {"db", "switch", "bridge", "host", "inject", "ping", "file", "wait", "sort", "tree", "quiet", "record", "wire", "each"}


class CaseError(Exception):
    """The case file is malformed; the text says where and why."""


class Step:
    """One command line or directive. `better` is (reason, expected lines, expected exit code) or None."""

    def __init__(self, number, kind, text, body=None):
        self.number, self.kind, self.text, self.body = number, kind, text, body
        self.better = None


class Case:
    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path).removesuffix(".case")
        self.head = {"title": self.name, "needs": "", "norm": "", "sub": [], "mixed": "", "only": "", "timeout": "20"}
        self.steps = []
        self._parse()
        if not self.steps:
            raise CaseError(f"{path}: no command")

    @property
    def needs(self):
        return set(self.head["needs"].split())

    def _bad(self, number, why):
        raise CaseError(f"{self.path}:{number}: {why}")

    def _parse(self):
        with open(self.path, encoding="utf-8") as f:
            lines = f.read().splitlines()
        i, in_head = 0, True
        while i < len(lines):
            number, line = i + 1, lines[i]
            i += 1
            if not line.strip():
                continue
            if line.startswith("#"):
                if line.startswith(("#better:", "#ours>", "#ours-rc:")):
                    self._better(number, line)
                elif in_head:
                    self._header(number, line)
                continue
            in_head = False
            while line.endswith("\\") and i < len(lines):
                line = line[:-1] + lines[i].strip()
                i += 1
            if line.startswith("@"):
                i = self._directive(number, line, lines, i)
            else:
                self.steps.append(Step(number, "cmd", line))

    def _header(self, number, line):
        key, colon, value = line[1:].partition(":")
        key = key.strip()
        if not colon or " " in key:
            return
        if key not in HEADER_KEYS:
            self._bad(number, f"unknown header '{key}', known are {', '.join(sorted(HEADER_KEYS))}")
        value = value.strip()
        if key == "sub":
            self.head["sub"].append(value)
        else:
            self.head[key] = value
        if key == "needs" and self.needs - NEEDS:
            self._bad(number, f"unknown need {' '.join(self.needs - NEEDS)}, known are {', '.join(sorted(NEEDS))}")

    def _better(self, number, line):
        if not self.steps:
            self._bad(number, "'#better' and '#ours' follow the command that they are about")
        step = self.steps[-1]
        if line.startswith("#better:"):
            step.better = (line[8:].strip(), [], 0)
            return
        if step.better is None:
            self._bad(number, "'#ours' needs a '#better: reason' before it")
        reason, want, rc = step.better
        if line.startswith("#ours-rc:"):
            rc = int(line[9:])
        else:
            want.append(line[6:].removeprefix(" "))
        step.better = (reason, want, rc)

    def _directive(self, number, line, lines, i):
        name, _, rest = line[1:].partition(" ")
        if name not in DIRECTIVES:
            self._bad(number, f"unknown directive '@{name}', known are @{', @'.join(sorted(DIRECTIVES))}")
        body = None
        if name == "file":
            body = []
            while i < len(lines) and lines[i] != "@end":
                body.append(lines[i])
                i += 1
            if i == len(lines):
                self._bad(number, "'@file' without '@end'")
            i += 1
        elif name not in ("wait", "sort", "tree", "quiet", "each"):
            try:
                shlex.split(rest)
            except ValueError as e:
                self._bad(number, str(e))
        self.steps.append(Step(number, name, rest.strip(), body))
        return i
