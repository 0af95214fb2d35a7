"""The original's Python client library, from the Python package index, on the database server."""
TITLE = "the Python client library ovs 4.0.0"
NEEDS = "pyovs"
LIMIT = 90
APPS = __file__.rpartition("/")[0] + "/apps"


def run(lab):
    lab.must("ovsdb-tool create conf.db $OVS_PKGDATADIR/vswitch.ovsschema && "
             "ovsdb-server --detach --no-chdir --pidfile --log-file -vconsole:off --remote=punix:$OVS_RUNDIR/db.sock conf.db && "
             "ovs-vsctl --no-wait init")
    python = f"{lab.packages}/pyovs/bin/python3"
    schema = lab.must("echo $OVS_PKGDATADIR").strip() + "/vswitch.ovsschema"
    app = lab.start("idl", [python, f"{APPS}/idl.py", f"unix:{lab.env['OVS_RUNDIR']}/db.sock", schema])
    lab.check("it comes to its end", lab.wait(lambda: "FINISHED" in lab.log("idl"), 80), lab.log("idl")[-1500:])
    app.terminate()
    app.wait()
    for line in lab.log("idl").splitlines():
        if line.startswith("CHECK "):
            _, holds, rest = line.split(" ", 2)
            name, _, detail = rest.partition("|")
            lab.check(name, holds == "ok", detail)
