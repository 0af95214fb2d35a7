"""Random database schemas, and random requests for them, right and wrong. Rows are named by labels such as @7@, which each side
replaces by its own UUIDs; a number that Python would write in another form stands in a string that begins with NUMBER."""
import copy
import json

NUMBER = "\x01"  # the rest of such a string goes into the message without quotes
INTEGERS = [0, 1, 2, 3, -1, -2, 7, 10, 100, 2**31, -2**31, 2**62, 2**63 - 1, -2**63]
REALS = [0.5, 1.5, -2.25, 3.0, 1e10, 1e-7, 123456789.125, -1e300, 1e300, 0.1, 1 / 3]
STRINGS = ["", "a", "b", "ab", "abc", "hello world", "ü", "\U0001f600", "\"\\/", "\n\t", "x" * 40, "0", "true", "\u007f"]
LITERALS = ["1.0", "1e2", "-0", "-0.0", "1E+2", "0.10", "1e400", "-1e400", "9223372036854775808", "-9223372036854775809",
            "1.5e1", "0.1e1"]
FUNCTIONS = ["==", "!=", "<", "<=", ">", ">=", "includes", "excludes"]
MUTATORS = ["+=", "-=", "*=", "/=", "%=", "insert", "delete"]
NOBODY = "b0000000-0000-4000-8000-000000000000"  # no row has it
LOCKS = ["lock", "other", "_bad?", "1bad", ""]


class Generator:
    """`rows` maps a table's name to the labels of rows that were there at some time."""

    def __init__(self, rng):
        self.rng = rng
        self.schema = self.make_schema()
        self.rows = {name: [] for name in self.schema["tables"]}
        self.label = 0

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, items):
        return self.rng.choice(list(items))

    def some(self, items, least=0):
        items = list(items)
        return self.rng.sample(items, self.rng.randint(min(least, len(items)), len(items)))

    # Schemas.

    def make_schema(self):
        names = ["A", "B", "C", "D", "E"][: self.rng.randint(2, 5)]
        tables = {name: self.make_table(names) for name in names}
        if not any(t.get("isRoot") for t in tables.values()) and self.chance(0.8):
            tables[names[0]]["isRoot"] = True
        schema = {"name": "Db", "version": "1.0.0", "tables": tables}
        if self.chance(0.3):
            schema["cksum"] = "12345 678"
        return schema

    def make_table(self, names):
        columns = {f"c{i}": self.make_column(names) for i in range(self.rng.randint(1, 6))}
        table = {"columns": columns}
        if self.chance(0.6):
            table["isRoot"] = self.chance(0.9)
        if self.chance(0.2):
            table["maxRows"] = self.rng.randint(1, 6)
        lasting = [c for c, v in columns.items() if not v.get("ephemeral")]
        if lasting and self.chance(0.4):
            table["indexes"] = [self.some(lasting, 1)[:2] for _ in range(self.rng.randint(1, 2))]
        return table

    def make_column(self, names):
        column = {"type": self.make_type(names)}
        if self.chance(0.12):
            column["mutable"] = self.chance(0.2)
        if self.chance(0.12):
            column["ephemeral"] = self.chance(0.8)
        return column

    def make_type(self, names):
        if self.chance(0.15):
            return self.pick(["integer", "real", "boolean", "string", "uuid"])
        out = {"key": self.make_base(names)}
        if self.chance(0.3):
            out["value"] = self.make_base(names)
        form = self.rng.randrange(6)
        if form == 1:
            out["min"] = 0
        elif form == 2:
            out.update(min=0, max="unlimited")
        elif form == 3:
            out.update(min=0, max=self.rng.randint(1, 4))
        elif form == 4:
            out.update(min=1, max=self.pick([1, 2, 3, "unlimited"]))
        elif form == 5:
            out["max"] = "unlimited" if self.chance(0.5) else 1
        return out

    def make_base(self, names):
        kind = self.pick(["integer", "real", "boolean", "string", "uuid", "integer", "string", "uuid"])
        if self.chance(0.25) and kind != "uuid":
            return kind
        out = {"type": kind}
        if kind == "uuid":
            if self.chance(0.85):
                out["refTable"] = self.pick(names)
                if self.chance(0.7):
                    out["refType"] = self.pick(["strong", "weak"])
        elif self.chance(0.25):
            values = list({json.dumps(v): v for v in (self.right_atom({"type": kind}) for _ in range(self.rng.randint(1, 4)))}.values())
            out["enum"] = values[0] if len(values) == 1 and self.chance(0.5) else ["set", values]
        elif kind == "integer" and self.chance(0.5):
            low = self.rng.randint(-3, 3)
            out.update(self.part({"minInteger": low, "maxInteger": low + self.rng.randint(0, 100)}))
        elif kind == "real" and self.chance(0.5):
            low = self.rng.randint(-3, 1) + 0.5
            out.update(self.part({"minReal": low, "maxReal": low + self.rng.randint(0, 100)}))
        elif kind == "string" and self.chance(0.5):
            low = self.rng.randint(0, 2)
            out.update(self.part({"minLength": low, "maxLength": low + self.rng.randint(0, 4)}))
        return out

    def part(self, members):
        return dict(self.some(members.items(), 1))

    # What a type says, in one form.

    @staticmethod
    def shape(kind):
        """(key, value or None, least, most or None) of a column's type."""
        base = lambda b: {"type": b} if isinstance(b, str) else b
        if isinstance(kind, str):
            return {"type": kind}, None, 1, 1
        most = kind.get("max", 1)
        return base(kind["key"]), base(kind["value"]) if "value" in kind else None, kind.get("min", 1), None if most == "unlimited" else most

    def columns(self, table):
        return self.schema["tables"][table]["columns"]

    # Values.

    def right_atom(self, base):
        if "enum" in base:
            e = base["enum"]
            return self.pick(e[1]) if isinstance(e, list) and e[0] == "set" else e
        kind = base["type"]
        if kind == "integer":
            if "minInteger" in base or "maxInteger" in base:
                low = base.get("minInteger", base.get("maxInteger", 0) - 5)
                return self.rng.randint(low, base.get("maxInteger", low + 5))
            return self.pick(INTEGERS)
        if kind == "real":
            if "minReal" in base or "maxReal" in base:
                low = base.get("minReal", base.get("maxReal", 0) - 5)
                return low + self.rng.randint(0, int(base.get("maxReal", low + 5) - low))
            return self.pick([*REALS, 1, 0, -3])
        if kind == "boolean":
            return self.chance(0.5)
        if kind == "string":
            low, high = base.get("minLength", 0), base.get("maxLength", 1 << 20)
            return self.pick([s for s in STRINGS if low <= len(s) <= high] or ["abcdefgh"[:high]])
        return self.reference(base.get("refTable"))

    def reference(self, table, named=()):
        if named and self.chance(0.5):
            return ["named-uuid", self.pick(named)]
        rows = self.rows.get(table) or [r for t in self.rows.values() for r in t]
        return ["uuid", self.pick(rows[-12:]) if rows and self.chance(0.93) else NOBODY]

    def atom(self, base, named=()):
        if base["type"] == "uuid" and named and self.chance(0.5):
            return self.reference(None, named)
        if self.chance(0.03):
            return self.wrong_atom()
        return self.right_atom(base)

    def wrong_atom(self):
        return self.pick([None, True, 5, -1000000, 1e50, "some text that is rather long for a column", NUMBER + self.pick(LITERALS), ["uuid", NOBODY],
                          ["uuid", "nonsense"], ["uuid", NOBODY.upper()], ["uuid", 5], ["named-uuid", "undeclared"], ["named-uuid", "not an id"],
                          ["named-uuid", 3], [], {}, ["set", []], ["set", [["set", []]]], ["map", []], ["uuid"], ["set", 3], "", 2**63 - 1, 0])

    def value(self, kind, named=(), count=None):
        """A value for a column of this type, in one of the forms that its number of elements allows."""
        if self.chance(0.02):
            return self.wrong_atom()
        key, val, least, most = self.shape(kind)
        high = most if most is not None else least + 3
        n = count if count is not None else self.rng.randint(least, high)
        if self.chance(0.03):
            n = self.rng.randint(0, high + 1)
        if val:
            pairs = [[self.atom(key, named), self.atom(val, named)] for _ in range(n)]
            return ["map", pairs if self.chance(0.05) else self.distinct(pairs, lambda p: p[0])]
        atoms = [self.atom(key, named) for _ in range(n)]
        if not self.chance(0.05):
            atoms = self.distinct(atoms, lambda a: a)
        if len(atoms) == 1 and self.chance(0.8):
            return atoms[0]
        return ["set", atoms]

    @staticmethod
    def distinct(items, key):
        return list({json.dumps(key(i)): i for i in items}.values())

    # Parts of operations.

    def where(self, table, named=()):
        n = self.pick([0, 1, 1, 1, 2])
        return [self.condition(table, named) for _ in range(n)]

    def condition(self, table, named=()):
        if self.chance(0.03):
            return self.pick([True, False, [], ["c0"], ["c0", "=="], ["c0", "==", 1, 2], 5, None, [1, "==", 1], ["c0", 1, 1]])
        columns = self.columns(table)
        if self.chance(0.45):
            rows = self.rows[table]
            name, value = "_uuid", ["uuid", self.pick(rows[-12:])] if rows else ["uuid", NOBODY]
            if self.chance(0.1):
                name, value = "_version", ["uuid", NOBODY]
            function = self.pick(["==", "==", "==", "!=", "includes", "excludes"])
        else:
            name = self.pick(columns) if not self.chance(0.02) else "nosuch"
            kind = columns[name]["type"] if name in columns else "integer"
            function = self.pick(FUNCTIONS) if not self.chance(0.02) else "=~"
            value = self.value(kind, named, self.rng.randint(0, 3) if function in ("includes", "excludes") and self.chance(0.5) else None)
        return [name, function, value]

    def mutation(self, table, named=()):
        name = self.pick(self.columns(table)) if not self.chance(0.03) else self.pick(["nosuch", "_uuid", "_version"])
        kind = self.columns(table)[name]["type"] if name in self.columns(table) else "integer"
        key, val, _, _ = self.shape(kind)
        if val or key["type"] in ("boolean", "string", "uuid"):
            mutator = self.pick(["insert", "delete"]) if not self.chance(0.1) else self.pick(MUTATORS)
        else:
            mutator = self.pick(MUTATORS) if not self.chance(0.02) else "^="
        if mutator in ("insert", "delete"):
            if val and mutator == "delete" and self.chance(0.5):
                value = self.value({"key": key, "min": 0, "max": "unlimited"}, named)
            else:
                value = self.value(kind, named, self.rng.randint(0, 3) if self.chance(0.6) else None)
        else:
            value = self.pick([0, 1, 2, 3, -1, 7, 2**62, -2**63, 0.5, 1e300, 1, 1]) if not self.chance(0.05) else self.wrong_atom()
        return [name, mutator, value]

    def row(self, table, named=(), share=0.6):
        return {c: self.value(v["type"], named) for c, v in self.columns(table).items() if self.chance(share)}

    def names(self, table):
        return [*self.columns(table), "_uuid"]

    # Operations.

    def operations(self):
        out, named = [], []
        planned = self.pick([1, 1, 1, 2, 2, 3, 5])
        if self.chance(0.4):
            named = [f"row{i}" for i in range(self.rng.randint(1, 3))]
        waiting = list(named)
        for _ in range(planned):
            out.append(self.operation(named))
        for name in waiting:
            if not self.chance(0.03):
                insert = self.insert(named)
                insert["uuid-name"] = name
                out.insert(self.rng.randint(0, len(out)), insert)
        return out

    def insert(self, named=()):
        table = self.pick(self.schema["tables"])
        out = {"op": "insert", "table": table, "row": self.row(table, named, self.pick([0.3, 0.7, 0.95, 1.0]))}
        if self.chance(0.25):
            out["uuid"] = self.fresh() if self.chance(0.85) else self.pick([*self.rows[table][-5:], NOBODY, "nonsense"])
        return out

    def fresh(self):
        """A UUID that this generator chooses: equal on both sides."""
        return f"{self.rng.getrandbits(32):08x}-{self.rng.getrandbits(16):04x}-4000-8000-{self.rng.getrandbits(48):012x}"

    def operation(self, named=()):
        op = self.pick(["insert"] * 5 + ["select"] * 3 + ["update"] * 4 + ["mutate"] * 5 + ["delete"] * 2
                       + ["wait"] * 2 + ["commit", "comment", "assert"] + (["abort", "nosuch"] if self.chance(0.2) else []))
        table = self.pick(self.schema["tables"]) if not self.chance(0.01) else "Nosuch"
        if table == "Nosuch":
            return {"op": op, "table": table, "where": [], "row": {}, "rows": [], "columns": [], "mutations": [], "until": "=="}
        if op == "insert":
            return self.insert(named)
        if op in ("select", "update", "mutate", "delete", "wait"):
            return getattr(self, op)(table, named)
        return self.other(op)

    def other(self, op):
        return {"commit": {"op": "commit", "durable": self.chance(0.1)}, "comment": {"op": "comment", "comment": self.pick(STRINGS)},
                "assert": {"op": "assert", "lock": self.pick(LOCKS[:2] if self.chance(0.9) else LOCKS)}, "abort": {"op": "abort"},
                "nosuch": {"op": "nosuch"}}[op]

    def select(self, table, named):
        out = {"op": "select", "table": table, "where": self.where(table, named)}
        if self.chance(0.6):
            out["columns"] = self.some(self.names(table))
            if self.chance(0.05):
                out["columns"].append(self.pick(["nosuch", "_version", "_uuid", 5, "c0"]))
        return out

    def update(self, table, named):
        row = self.row(table, named, 0.4)
        if self.chance(0.02):
            row[self.pick(["_uuid", "_version", "nosuch"])] = ["uuid", NOBODY]
        return {"op": "update", "table": table, "where": self.where(table, named), "row": row}

    def mutate(self, table, named):
        return {"op": "mutate", "table": table, "where": self.where(table, named),
                "mutations": [self.mutation(table, named) for _ in range(self.pick([0, 1, 1, 1, 2, 3]))]}

    def delete(self, table, named):
        where = self.where(table, named)
        return {"op": "delete", "table": table, "where": where or ([] if self.chance(0.2) else [["_uuid", "==", ["uuid", NOBODY]]])}

    def wait(self, table, named):
        columns = self.some(self.names(table))[:2]
        row = lambda: {c: self.value(self.columns(table)[c]["type"], named) if c != "_uuid" else self.reference(table) for c in columns}
        out = {"op": "wait", "table": table, "where": self.where(table, named), "timeout": self.pick([0, 0, 0, 3]), "columns": columns,
               "until": self.pick(["==", "!="]), "rows": [row() for _ in range(self.pick([0, 1, 1, 2]))]}
        if self.chance(0.1):
            del out["columns"]
        return out

    # Whole requests.

    def transaction(self):
        out = ["Db", *self.operations()]
        if self.chance(0.12):
            out = self.spoil(out)
            for op in out:
                if isinstance(op, dict) and op.get("op") == "wait":
                    op.setdefault("timeout", 0)
        return out

    def monitor_request(self, method):
        out = {}
        for table in self.some(self.schema["tables"], 1):
            requests = [self.monitored(table, method) for _ in range(self.pick([1, 1, 1, 2]))]
            out[table] = requests[0] if len(requests) == 1 and self.chance(0.2) else requests
        for table, requests in out.items():
            # Two requests for one table must name different columns; whose condition counts then is nobody's promise.
            if isinstance(requests, list) and len(requests) == 2:
                names = self.some(self.columns(table), 1)
                for i, request in enumerate(requests):
                    request["columns"] = names[i::2] if not self.chance(0.05) else names
                    request.pop("where", None)
        return self.spoil(out) if self.chance(0.1) else out

    def monitored(self, table, method):
        out = {}
        if self.chance(0.6):
            out["columns"] = self.some([*self.columns(table), *(["_version", "_uuid"] if self.chance(0.1) else [])], 1)
            if self.chance(0.03):
                out["columns"].append(self.pick(["nosuch", out["columns"][0]]))
        if self.chance(0.3):
            out["select"] = {s: self.chance(0.5) for s in self.some(["initial", "insert", "delete", "modify"])}
        if method != "monitor" and self.chance(0.7):
            out["where"] = self.where(table)
            if self.chance(0.1):
                out["where"] = self.pick([[True], [False], [True, False], [False, *out["where"]]])
        return out

    def condition_change(self, tables):
        tables = tables if not self.chance(0.05) else self.schema["tables"]
        if self.chance(0.3):  # several: none of them wrong, as the reference makes some of the changes then
            return {table: [{"where": self.pick([[True], [False], []])}] for table in self.some(tables, 1)}
        table = self.pick(tables)
        change = {"where": self.pick([[True], [False], [], self.where(table), self.where(table)])}
        out = {table: [change] if self.chance(0.9) else change}
        return self.spoil(out) if self.chance(0.1) else out

    def changed_schema(self):
        """The schema after a change that a conversion may or may not survive."""
        out = copy.deepcopy(self.schema)
        table = self.pick(out["tables"])
        columns = out["tables"][table]["columns"]
        for _ in range(self.rng.randint(1, 2)):
            kind = self.rng.randrange(6)
            if kind == 0:
                columns[f"n{self.rng.randrange(9)}"] = self.make_column(list(out["tables"]))
            elif kind == 1 and len(columns) > 1:
                del columns[self.pick(columns)]
            elif kind == 2:
                columns[self.pick(columns)] = self.make_column(list(out["tables"]))
            elif kind == 3:
                out["tables"]["N"] = self.make_table([*out["tables"], "N"])
            elif kind == 4:
                out["version"] = self.pick(["1.1.0", "2.0.0", "1.0", "x", 1])
            else:
                out["tables"][table]["isRoot"] = self.chance(0.5)
        return self.spoil(out) if self.chance(0.4) else out

    def spoil(self, tree):
        """Damages one place of a JSON tree."""
        tree = copy.deepcopy(tree)
        places = []

        def walk(node):
            for k in node.keys() if isinstance(node, dict) else range(len(node)):
                places.append((node, k))
                if isinstance(node[k], (dict, list)):
                    walk(node[k])

        walk(tree)
        if not places:
            return tree
        node, key = self.pick(places)
        kind = self.rng.randrange(6)
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, dict):
            node["extra"] = self.wrong_atom()
        elif kind == 1:
            node.insert(key, copy.deepcopy(node[key]))
        elif kind == 2 and isinstance(node, dict):
            node[self.pick(["where", "row", "table", "columns", "op", "uuid-name", "type", "c0", "", "a b", "_x"])] = node.pop(key)
        elif kind == 3:
            node[key] = [node[key]]
        elif kind == 4 and isinstance(node[key], str):
            node[key] = self.pick(["", "nosuch", "c0", "_uuid", node[key] + "x", node[key].upper()])
        else:
            node[key] = self.wrong_atom()
        return tree


def message(tree):
    """The JSON text of a tree, with numbers in the form that they ask for."""
    text = json.dumps(tree)
    while '"\\u0001' in text:
        at = text.index('"\\u0001')
        end = text.index('"', at + 7)
        text = text[:at] + text[at + 7:end] + text[end + 1:]
    return text
