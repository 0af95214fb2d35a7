"""What a program does with the original's Python client library (ovs.db.idl); one line per check: CHECK ok|no NAME|DETAIL."""
import os
import sys

import ovs.db.idl
import ovs.poller
import ovs.timeval
from ovs.db import custom_index

remote, schema = sys.argv[1], sys.argv[2]


def check(name, holds, detail=""):
    print(f"CHECK {'ok' if holds else 'no'} {name}|{detail}", flush=True)


def until(idl, done, what):
    end = ovs.timeval.msec() + 10000
    while not done():
        idl.run()
        if done():
            return True
        if ovs.timeval.msec() > end:
            check(what, False, "10 s passed")
            return False
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.timer_wait(200)
        poller.block()
    return True


def connect(tables=None):
    helper = ovs.db.idl.SchemaHelper(schema)
    if tables:
        for table, columns in tables.items():
            helper.register_columns(table, columns)
    else:
        helper.register_all()
    idl = ovs.db.idl.Idl(remote, helper, leader_only=False)
    return idl


def names(idl):
    return sorted(row.name for row in idl.tables["Bridge"].rows.values())


def commit(idl, build):
    """Builds and commits until it is neither incomplete nor to be tried again."""
    tries = 0
    while True:
        txn = ovs.db.idl.Transaction(idl)
        build(txn)
        status = txn.commit_block()
        tries += 1
        if status != ovs.db.idl.Transaction.TRY_AGAIN or tries > 200:
            return status, txn, tries
        idl.run()


one = connect()
index = one.tables["Bridge"].rows.index_create("by-name")
index.add_column("name", custom_index.OVSDB_INDEX_DESC)
check("the first state comes", until(one, one.has_ever_connected, "connects"))


def add_bridges(txn):
    txn.add_comment("made by the test")
    root = next(iter(one.tables["Open_vSwitch"].rows.values()))
    made = []
    for name in ("br0", "br1", "br2"):
        row = txn.insert(one.tables["Bridge"])
        row.name = name
        row.external_ids = {"n": name[2:]}
        made.append(row)
    root.verify("bridges")
    root.bridges = root.bridges + made


status, txn, _ = commit(one, add_bridges)
check("rows are inserted", status == txn.SUCCESS, txn.get_error())
check("they are there", until(one, lambda: names(one) == ["br0", "br1", "br2"], "rows"), names(one))

check("an index keeps its order", [r.name for r in index] == ["br2", "br1", "br0"])

two = connect({"Bridge": ["name", "external_ids"]})
two.cond_change("Bridge", [["name", "==", "br1"]])
check("a condition from the start", until(two, lambda: two.has_ever_connected() and names(two) == ["br1"], "condition"), names(two))
two.cond_change("Bridge", [["name", "==", "br0"], ["name", "==", "br2"]])
check("a condition that changes", until(two, lambda: names(two) == ["br0", "br2"], "condition changed"), names(two))


def partial(txn):
    row = next(r for r in one.tables["Bridge"].rows.values() if r.name == "br0")
    row.setkey("external_ids", "a", "b")
    row.delkey("external_ids", "n")
    row.addvalue("flood_vlans", 5)


status, txn, _ = commit(one, partial)
check("partial updates of maps and sets", status == txn.SUCCESS, txn.get_error())
check("others see them", until(two, lambda: any(r.name == "br0" and r.external_ids == {"a": "b"}
                                                for r in two.tables["Bridge"].rows.values()), "partial"))

children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        mine = connect({"Open_vSwitch": ["next_cfg", "cur_cfg"]})
        until(mine, mine.has_ever_connected, "connects")
        for _ in range(15):
            def more(txn):
                root = next(iter(mine.tables["Open_vSwitch"].rows.values()))
                root.verify("cur_cfg")
                root.cur_cfg = root.cur_cfg + 1
            if commit(mine, more)[0] not in (ovs.db.idl.Transaction.SUCCESS, ovs.db.idl.Transaction.UNCHANGED):
                os._exit(1)
        os._exit(0)
    children.append(pid)
check("three writers end", all(os.waitpid(pid, 0)[1] == 0 for pid in children))


def root_of(idl):
    return next(iter(idl.tables["Open_vSwitch"].rows.values()))


check("every increment counts", until(one, lambda: root_of(one).cur_cfg == 45, "increments"), root_of(one).cur_cfg)


def clash(txn):
    row = txn.insert(one.tables["Bridge"])
    row.name = "br0"
    root = root_of(one)
    root.bridges = root.bridges + [row]


status, txn, _ = commit(one, clash)
check("an index of the schema refuses", status == txn.ERROR and "constraint violation" in txn.get_error(), txn.get_error())

print("FINISHED", flush=True)
