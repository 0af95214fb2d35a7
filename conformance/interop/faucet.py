"""Faucet drives one switch: VLANs, an access list, routing between VLANs, learning, ports that are added while it runs."""
TITLE = "faucet: VLANs, ACLs, routing between VLANs"
NEEDS = "netns tun faucet"
LIMIT = 240

CONFIG = """
vlans:
  office: {vid: 100, faucet_vips: ["10.0.1.254/24"], faucet_mac: "0e:00:00:00:10:01"}
  guest: {vid: 200, faucet_vips: ["10.0.2.254/24"], faucet_mac: "0e:00:00:00:20:01"}
routers:
  router-1: {vlans: [office, guest]}
acls:
  no-five:
    - rule: {dl_type: 0x800, nw_proto: 1, nw_dst: "10.0.1.5", actions: {allow: 0}}
    - rule: {actions: {allow: 1}}
dps:
  sw1:
    dp_id: 0x1
    hardware: "Open vSwitch"
    arp_neighbor_timeout: 20
    interfaces:
      1: {native_vlan: office, acl_in: no-five}
      2: {native_vlan: office}
      3: {native_vlan: guest}
      4: {native_vlan: guest}
      5: {native_vlan: office}
EXTRA
"""


def run(lab):
    lab.switch()
    lab.bridge("br0", 1)
    for name, address in (("h1", "10.0.1.1"), ("h2", "10.0.1.2"), ("h3", "10.0.2.3"), ("h4", "10.0.2.4"), ("h5", "10.0.1.5")):
        lab.host(name, f"{address}/24", "br0")
        lab.must(f"ip -n {name} route add default via {address.rpartition('.')[0]}.254")
    config = lab.file("faucet.yaml", CONFIG.replace("EXTRA", ""))
    app = lab.start("faucet-start", [f"{lab.packages}/faucet/bin/faucet", "--verbose"], FAUCET_CONFIG=config, FAUCET_LOG=f"{lab.logs}/faucet.log",
                    FAUCET_EXCEPTION_LOG=f"{lab.logs}/faucet-exception.log", FAUCET_CONFIG_STAT_RELOAD="0", FAUCET_PROMETHEUS_PORT="9302",
                    PATH=f"{lab.packages}/faucet/bin:{lab.env['PATH']}")
    lab.must("ovs-vsctl --timeout=10 set-controller br0 tcp:127.0.0.1:6653 -- set controller br0 max_backoff=1000")
    lab.check("the switch is configured", lab.wait(lambda: "Configuring VLAN" in lab.log("faucet"), 40), lab.log("faucet-start")[-600:]) or lab.stop("nothing to test without a configured switch")
    lab.wait("ovs-ofctl -O OpenFlow13 dump-flows br0 | grep -c priority | grep -qx '[1-9][0-9]'", 15)
    lab.same("flows", lab.sh("ovs-ofctl -O OpenFlow13 --no-stats dump-flows br0 | grep -v 'dl_src=02:\\|dl_dst=02:' | LC_ALL=C sort")[0])
    lab.same("groups", lab.sh("ovs-ofctl -O OpenFlow13 dump-groups br0 | sort")[0])

    lab.check("h1 reaches h2 in its VLAN", lab.ping("h1", "10.0.1.2"))
    lab.check("h3 reaches h4 in its VLAN", lab.ping("h3", "10.0.2.4"))
    lab.check("the ACL keeps h1 from h5", not lab.sh("ip netns exec h1 ping -n -q -c 2 -i 0.3 -W 1 10.0.1.5 >/dev/null 2>&1")[2] == 0)
    lab.check("h2 reaches h5", lab.ping("h2", "10.0.1.5"))
    lab.check("h1 reaches its gateway", lab.ping("h1", "10.0.1.254"))
    lab.check("h1 reaches h3 through the router", lab.wait("ip netns exec h1 ping -n -q -c 1 -W 1 10.0.2.3 >/dev/null 2>&1", 20))
    lab.check("addresses are learned in the tables", lab.wait(
        "ovs-ofctl -O OpenFlow13 dump-flows br0 | grep -q 'dl_src=02:00:00:00:00:01'", 5))

    lab.file("faucet.yaml", CONFIG.replace("EXTRA", "      6: {native_vlan: guest}").replace("acl_in: no-five", "description: open"))
    app.send_signal(1)
    lab.check("the changed configuration is taken", lab.wait(lambda: lab.log("faucet").count("Reloading configuration") > 1, 20), lab.log("faucet")[-600:])
    lab.host("h6", "10.0.2.6/24", "br0")
    lab.check("without the ACL h1 reaches h5", lab.ping("h1", "10.0.1.5"))
    lab.check("the new port reaches its VLAN", lab.wait("ip netns exec h6 ping -n -q -c 1 -W 1 10.0.2.4 >/dev/null 2>&1", 20))
    lab.must("ovs-vsctl --timeout=10 del-port br0 h4")
    lab.check("faucet sees the port go", lab.wait(lambda: "Port 4" in lab.log("faucet") and "down" in lab.log("faucet"), 10))
    lab.same("errors from the switch", "\n".join(sorted({
        line.partition("OFPErrorMsg")[2] for line in lab.log("faucet").splitlines() if "OFPErrorMsg" in line})))
    lab.check("no exception in faucet", not lab.log("faucet-exception").strip(), lab.log("faucet-exception")[-800:])
