"""Replaces what differs from run to run (uuids, times, process numbers, …) by fixed words.

`DEFAULT` is always applied; a case asks for `NAMED` ones with `# norm: mac counters`, drops a default one with
`# norm: -xid`, and adds its own with `# sub: /regular expression/replacement/`."""
import re

MAC = r"\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b"

DEFAULT = {
    "uuid": [(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>")],
    "time": [
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?", "<time>"),
        (r"<time>\|\d{5}\|", "<time>|<seq>|"),
    ],
    "pid": [(r"\.\d+\.ctl\b", ".<pid>.ctl"), (r"\bpid[ =]\d+", "pid <pid>"), (r"\(pid=\d+\)", "(pid=<pid>)")],
    "duration": [(r"\bduration=[\d.]+s", "duration=<s>"), (r"\b(idle|hard)_age=\d+", r"\1_age=<s>")],
    "recirculation": [(r"\brecirc_id=(?!0[,)])(0x)?[0-9a-f]+", "recirc_id=<id>"), (r"\brecirc(_id)?\(0x[0-9a-f]*[1-9a-f][0-9a-f]*\)", r"recirc\1(<id>)")],
    "xid": [(r"\bxid=0x[0-9a-f]+", "xid=<xid>")],
    "dpid": [(r"\bdpid:[0-9a-f]{16}", "dpid:<dpid>")],
}

NAMED = {
    "mac": [(MAC, "<mac>")],
    "counters": [
        (r"\bn_(packets|bytes)=\d+", r"n_\1=<n>"),
        (r"\b(packets|bytes)[=:]\d+", r"\1=<n>"),
        (r"\b(pkts|bytes|drop|errs|frame|over|crc|coll)=\d+", r"\1=<n>"),
    ],
    "age": [(r"(?m)^( *\S+ +\d+  \S+ +)\d+$", r"\1<age>")],
    "used": [(r"\bused:[\d.]+s|\bused:never", "used:<s>")],
    "nolog": [(r"(?m)^2> <time>\|<seq>\|.*\n", "")],
    "digits": [(r"\d+", "<n>")],
}


class Normaliser:
    def __init__(self, norm, subs, sandbox):
        chosen = dict(DEFAULT)
        for word in norm.split():
            if word.startswith("-"):
                if word[1:] not in DEFAULT:
                    raise ValueError(f"unknown normaliser '{word[1:]}', known are {', '.join(DEFAULT)}")
                chosen.pop(word[1:])
            elif word in NAMED:
                chosen[word] = NAMED[word]
            else:
                raise ValueError(f"unknown normaliser '{word}', known are {', '.join(NAMED)}")
        self.rules = [(re.escape(sandbox) + r"(?=/|\b)", "/tmp/fvs")] if sandbox != "/tmp/fvs" else []
        self.rules += [rule for rules in chosen.values() for rule in rules]
        for sub in subs:
            parts = re.split(r"(?<!\\)" + re.escape(sub[0]), sub) if sub else []
            if len(parts) != 4 or parts[0] or parts[3]:
                raise ValueError(f"'# sub: {sub}' is not /regular expression/replacement/")
            self.rules.append((parts[1].replace("\\" + sub[0], sub[0]), parts[2]))
        self.rules = [(re.compile(pattern), new) for pattern, new in self.rules]

    def __call__(self, text):
        for pattern, new in self.rules:
            text = pattern.sub(new, text)
        return text
