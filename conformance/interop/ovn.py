"""OVN on one chassis: northbound and southbound databases on the ovsdb-server under test, ovn-northd between them, and
ovn-controller programming the switch under test: two logical switches, a router, ACLs, DHCP, a load balancer."""
import os

TITLE = "OVN: logical switches, a router, ACLs, DHCP, load balancing"
NEEDS = "netns tun ovn"
LIMIT = 240
PORTS = (  # name, logical switch, MAC address, IPv4 address, gateway
    ("p1", "sw0", "02:00:00:00:00:01", "10.0.0.1", "10.0.0.254"), ("p2", "sw0", "02:00:00:00:00:02", "10.0.0.2", "10.0.0.254"),
    ("p3", "sw1", "02:00:00:00:00:03", "10.0.1.3", "10.0.1.254"), ("p4", "sw1", "02:00:00:00:00:04", "10.0.1.4", "10.0.1.254"),
)


def databases(lab):
    run, db = f"{lab.root}/run", f"{lab.root}/db"
    share = f"{lab.packages}/ovn/usr/share/ovn"
    for name, table in (("nb", "OVN_Northbound"), ("sb", "OVN_Southbound")):
        lab.must(f"ovsdb-tool create {db}/ovn{name}.db {share}/ovn-{name}.ovsschema")
        lab.must(f"ovsdb-server --detach --no-chdir --pidfile={run}/ovn{name}_db.pid --unixctl={run}/ovn{name}_db.ctl "
                 f"--log-file={lab.logs}/ovsdb-server-{name}.log --remote=punix:{run}/ovn{name}_db.sock "
                 f"--remote=db:{table},{name.upper()}_Global,connections --remote=ptcp:66{'41' if name == 'nb' else '42'}:127.0.0.1 "
                 f"{db}/ovn{name}.db")


def port(lab, name, mac, address, gateway):
    """A network namespace with the interface of one logical port, plugged into br-int."""
    for command in (
        f"ip netns add {name}", f"ip link add {name} type veth peer name eth0 netns {name}", f"ip link set {name} up",
        f"ip -n {name} link set eth0 address {mac} up", f"ip -n {name} link set lo up",
        f"ip -n {name} address add {address}/24 dev eth0", f"ip -n {name} route add default via {gateway}",
        f"ethtool -K {name} tx off >/dev/null 2>&1; ip netns exec {name} ethtool -K eth0 tx off >/dev/null 2>&1; :",
        f"ovs-vsctl --timeout=10 add-port br-int {name} -- set interface {name} external_ids:iface-id={name}",
    ):
        lab.must(command)


def reaches(lab, title, source, target, wanted=True, tries=12.0):
    ping = f"ip netns exec {source} ping -n -q -c 1 -W 1 {target} >/dev/null 2>&1"
    if wanted:
        lab.check(title, lab.wait(ping, tries))
    else:
        lab.check(title, lab.wait(f"! {ping}", tries))


def run(lab):
    for name in os.listdir(f"{lab.packages}/ovn/usr/bin"):
        if name not in ("ovn-detrace",):
            lab.program(f"{lab.packages}/ovn/usr/bin/{name}")
    lab.env.update({f"OVN_{k}": f"{lab.root}/{v}" for k, v in (("RUNDIR", "run"), ("DBDIR", "db"), ("LOGDIR", "log"), ("SYSCONFDIR", "etc"))})
    databases(lab)
    lab.must("ovn-northd --detach --no-chdir --pidfile --log-file -vconsole:off")
    lab.succeeds("ovn-nbctl init", "ovn-nbctl --timeout=10 init")
    lab.switch()
    lab.must(f"ovs-vsctl --no-wait set open . external-ids:system-id=chassis1 external-ids:ovn-remote=unix:{lab.root}/run/ovnsb_db.sock "
             "external-ids:ovn-encap-type=geneve external-ids:ovn-encap-ip=127.0.0.1 external-ids:ovn-bridge-datapath-type=netdev")
    lab.must("ovn-controller --detach --no-chdir --pidfile --log-file -vconsole:off")
    lab.check("ovn-controller makes br-int", lab.wait("ovs-vsctl br-exists br-int", 10))
    lab.check("the chassis registers", lab.wait("ovn-sbctl --timeout=5 --bare --columns=name find chassis name=chassis1 | grep -q chassis1", 10))

    for command in (
        "ls-add sw0", "ls-add sw1", "lr-add r0",
        "lrp-add r0 r0-sw0 02:00:00:00:ff:01 10.0.0.254/24", "lrp-add r0 r0-sw1 02:00:00:00:ff:02 10.0.1.254/24",
        "lsp-add sw0 sw0-r0 -- lsp-set-type sw0-r0 router -- lsp-set-addresses sw0-r0 router -- lsp-set-options sw0-r0 router-port=r0-sw0",
        "lsp-add sw1 sw1-r0 -- lsp-set-type sw1-r0 router -- lsp-set-addresses sw1-r0 router -- lsp-set-options sw1-r0 router-port=r0-sw1",
        *(f"lsp-add {sw} {p} -- lsp-set-addresses {p} '{mac} {ip}' -- lsp-set-port-security {p} '{mac} {ip}'" for p, sw, mac, ip, _ in PORTS),
    ):
        lab.succeeds(f"ovn-nbctl {command.split(' --')[0]}", f"ovn-nbctl --timeout=10 {command}")
    for p, _, mac, ip, gateway in PORTS:
        port(lab, p, mac, ip, gateway)
    for p, *_ in PORTS:
        lab.check(f"port {p} is bound and up",
                  lab.wait(f"ovn-nbctl --timeout=5 lsp-get-up {p} | grep -q up", 8), lab.switch_log(("ERR", "WARN")))
    done = lab.succeeds("all is in the hypervisor", "ovn-nbctl --timeout=20 --wait=hv sync")
    lab.sh("ovs-ofctl dump-flows br-int >$OVS_LOGDIR/flows-br-int.txt; ovs-vsctl show >$OVS_LOGDIR/show.txt; "
           "ovn-sbctl dump-flows >$OVS_LOGDIR/logical-flows.txt")
    flows = lab.sh("ovs-ofctl dump-flows br-int | wc -l")[0].strip()
    lab.check("br-int has flows", flows.isdigit() and int(flows) > 300, flows)

    if not done:
        lab.stop("ovn-controller did not get the switch programmed:\n" + "\n".join(
            line for line in lab.log("ovn-controller").splitlines() if "ERR" in line or "error" in line)[-1500:])
    reaches(lab, "p1 reaches p2 (same switch)", "p1", "10.0.0.2")
    reaches(lab, "p1 reaches its router", "p1", "10.0.0.254")
    reaches(lab, "p1 reaches the router's other address", "p1", "10.0.1.254")
    reaches(lab, "p1 reaches p3 (through the router)", "p1", "10.0.1.3")
    reaches(lab, "p4 reaches p2 (through the router)", "p4", "10.0.0.2")

    lab.succeeds("a stateless ACL", "ovn-nbctl --timeout=20 --wait=hv acl-add sw1 to-lport 1000 'outport == \"p3\" && ip4.src == 10.0.0.1' drop")
    reaches(lab, "the ACL drops p1 to p3", "p1", "10.0.1.3", wanted=False)
    reaches(lab, "the ACL lets p2 to p3", "p2", "10.0.1.3")
    lab.succeeds("the ACL away", "ovn-nbctl --timeout=20 --wait=hv acl-del sw1")
    reaches(lab, "p1 reaches p3 again", "p1", "10.0.1.3")

    lab.succeeds("port security: another address", "ip -n p1 address add 10.0.0.77/24 dev eth0")
    reaches(lab, "port security drops a foreign source", "p1", "-I 10.0.0.77 10.0.0.2", wanted=False)

    lab.succeeds("a port moves away", "ovs-vsctl --timeout=10 remove interface p2 external_ids iface-id")
    lab.check("the unbound port is down", lab.wait("ovn-nbctl --timeout=5 lsp-get-up p2 | grep -q down", 15))
    lab.must("ovs-vsctl --timeout=10 set interface p2 external_ids:iface-id=p2")
    reaches(lab, "p1 reaches p2 when it is back", "p1", "10.0.0.2")

    lab.succeeds("a stateful ACL", "ovn-nbctl --timeout=20 --wait=hv acl-add sw0 to-lport 1001 'outport == \"p2\" && icmp' allow-related "
                 "-- acl-add sw0 to-lport 1000 'outport == \"p2\"' drop")
    reaches(lab, "stateful: p1 reaches p2", "p1", "10.0.0.2")
    reaches(lab, "stateful: p2 reaches p1 (the answer is related)", "p2", "10.0.0.1")
    lab.succeeds("stateful ACLs away", "ovn-nbctl --timeout=20 --wait=hv acl-del sw0")

    lab.succeeds("a load balancer", "ovn-nbctl --timeout=20 lb-add lb0 10.0.9.9:80 10.0.1.3:8080,10.0.1.4:8080 -- ls-lb-add sw0 lb0 -- lr-lb-add r0 lb0 && ovn-nbctl --timeout=20 --wait=hv sync")
    server = lab.file("answer.py", "import socket,sys\ns=socket.create_server(('',8080))\nwhile True:\n c,_=s.accept()\n c.sendall(b'hello')\n c.close()\n")
    for p in ("p3", "p4"):
        lab.start(f"answer-{p}", ["ip", "netns", "exec", p, "python3", server])
    ask = "ip netns exec p1 timeout 2 python3 -c \"import socket; print(socket.create_connection(('10.0.9.9',80),1).recv(9))\" | grep -q hello"
    lab.check("a connection through the load balancer", lab.wait(ask, 12))

    lab.must("ovs-appctl -t ovs-vswitchd exit; ovs-vswitchd --detach --no-chdir --pidfile --log-file -vconsole:off --disable-system unix:$OVS_RUNDIR/db.sock")
    lab.succeeds("the switch starts again and OVN programs it", "ovn-nbctl --timeout=25 --wait=hv sync")
    reaches(lab, "after the restart p1 reaches p2", "p1", "10.0.0.2")
    reaches(lab, "after the restart p1 reaches p3", "p1", "10.0.1.3")
    lab.same("errors that ovn-controller reports", "\n".join(sorted({
        line.split("|", 2)[2] for line in lab.log("ovn-controller").splitlines()
        if "OpenFlow error" in line or "|ERR|" in line or "OFPT_ERROR" in line})))
    lab.succeeds("two databases answer to the end", "ovn-nbctl --timeout=5 show && ovn-sbctl --timeout=5 show")
