"""Active-backup replication and relays between this side's server and the reference's, both ways, with promotion."""
import os

TITLE = "replication and relays with the original's server at the other end"
NEEDS = ""
LIMIT = 90


def run(lab):
    root = lab.reference
    original = f"{lab.root}/bin/original-ovsdb-server"
    with open(original, "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\nexec {root}/lib64/ld-linux-x86-64.so.2 --library-path {root}/usr/lib/x86_64-linux-gnu "
                f'--argv0 ovsdb-server {root}/usr/sbin/ovsdb-server "$@"\n')
    os.chmod(original, 0o755)
    for number, (active, backup) in enumerate(((original, "ovsdb-server"), ("ovsdb-server", original))):
        way = "the original is active" if active == original else "the original is backup"
        run_dir = lab.env["OVS_RUNDIR"]

        def start(program, name, *options):
            lab.must(f"ovsdb-tool create {name}{number}.db $OVS_PKGDATADIR/vswitch.ovsschema && {program} --detach --no-chdir "
                     f"--pidfile=$OVS_RUNDIR/{name}{number}.pid --unixctl=$OVS_RUNDIR/{name}{number}.ctl -vconsole:off "
                     f"--log-file=$OVS_LOGDIR/{name}{number}.log --remote=punix:$OVS_RUNDIR/{name}{number}.sock "
                     f"{' '.join(options)} {name}{number}.db")
            return f"unix:{run_dir}/{name}{number}.sock"

        first = start(active, "a")
        lab.must(f"ovs-vsctl --db={first} --no-wait init -- add-br br0 -- add-port br0 p1 tag=5")
        second = start(backup, "b", f"--sync-from={first}", "--sync-exclude-tables=Open_vSwitch:Flow_Sample_Collector_Set")

        def has(db, bridge):
            return lab.wait(f"ovs-vsctl --timeout=5 --db={db} --no-wait list-br | grep -q {bridge}")

        def control(name, command):
            return lab.sh(f"ovs-appctl -t $OVS_RUNDIR/{name}{number}.ctl {command}")

        lab.check(f"{way}: what was there is copied", has(second, "br0"))
        lab.must(f"ovs-vsctl --db={first} --no-wait add-br br1 -- --id=@b get bridge br0 "
                 "-- create Flow_Sample_Collector_Set id=1 bridge=@b -- set port p1 tag=7 -- set bridge br0 external_ids:x=y")
        lab.check(f"{way}: what comes is copied", has(second, "br1"))
        lab.check(f"{way}: changes of rows too", lab.wait(
            f"ovs-vsctl --timeout=5 --db={second} --no-wait get port p1 tag | grep -q 7"))
        out = lab.sh(f"ovs-vsctl --timeout=5 --db={second} --no-wait --columns=id list Flow_Sample_Collector_Set")
        lab.check(f"{way}: excluded tables are not", out[0].strip() == "", out)
        out = lab.sh(f"ovsdb-client transact {second} "
                     "'[\"Open_vSwitch\",{\"op\":\"update\",\"table\":\"Open_vSwitch\",\"where\":[],\"row\":{\"next_cfg\":9}}]'")
        lab.check(f"{way}: the backup takes no writes", "not allowed" in "".join(out[:2]), out)
        out = control("b", "ovsdb-server/sync-status")[0]
        lab.check(f"{way}: it says what it does", "state: backup" in out and "replicating: " in out, out)
        control("a", "exit")
        control("b", "ovsdb-server/disconnect-active-ovsdb-server")
        lab.succeeds(f"{way}: promoted, it takes writes", f"ovs-vsctl --timeout=5 --db={second} --no-wait del-br br0")
        lab.check(f"{way}: and is active", "state: active" in control("b", "ovsdb-server/sync-status")[0])
        # A relay of this side over the promoted server, or the original's.
        program = "ovsdb-server" if backup == original else original
        lab.must(f"{program} --detach --no-chdir --pidfile=$OVS_RUNDIR/r{number}.pid --unixctl=$OVS_RUNDIR/r{number}.ctl "
                 f"-vconsole:off --log-file=$OVS_LOGDIR/r{number}.log --remote=punix:$OVS_RUNDIR/r{number}.sock "
                 f"relay:Open_vSwitch:{second}")
        relay = f"unix:{run_dir}/r{number}.sock"
        lab.check(f"{way}: a relay of the other kind serves it", lab.wait(
            f"ovs-vsctl --timeout=5 --no-leader-only --db={relay} --no-wait list-br | grep -q br1"))
        lab.succeeds(f"{way}: writes through the relay", f"ovs-vsctl --timeout=5 --no-leader-only --db={relay} --no-wait add-br br9")
        lab.check(f"{way}: arrive", has(second, "br9"))
        control("r", "exit")
        control("b", "exit")
