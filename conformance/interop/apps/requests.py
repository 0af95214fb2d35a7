"""Asks the switch everything that os-ken's REST helpers know to ask, changes flows, groups and meters through them, and
prints each answer as one line of JSON."""
import importlib
import json
import os
import sys
import traceback

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub, ofctl_utils
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_2, ofproto_v1_3, ofproto_v1_4, ofproto_v1_5

ofctl_utils.DEFAULT_TIMEOUT = 8.0  # s; on a busy machine one second is no sign of anything
VERSION = int(os.environ["OF_VERSION"])
MODULES = {1: (ofproto_v1_0, "0"), 3: (ofproto_v1_2, "2"), 4: (ofproto_v1_3, "3"), 5: (ofproto_v1_4, "4"), 6: (ofproto_v1_5, "5")}
VOLATILE = {"duration_sec", "duration_nsec", "hw_addr", "curr_speed", "rx_bytes", "tx_bytes", "rx_packets", "tx_packets",
            "byte_count", "packet_count", "lookup_count", "matched_count", "rx_dropped"}

FLOWS_10 = (
    {"match": {"in_port": 1}, "actions": [{"type": "OUTPUT", "port": 2}]},
    {"match": {"dl_vlan": 5, "dl_vlan_pcp": 3}, "actions": [{"type": "STRIP_VLAN"}, {"type": "OUTPUT", "port": 0xfffb}]},
    {"match": {"dl_type": 2048, "nw_src": "10.0.0.0/8", "nw_proto": 6, "tp_dst": 80}, "priority": 77, "idle_timeout": 30,
     "actions": [{"type": "SET_NW_DST", "nw_dst": "10.9.9.9"}, {"type": "SET_DL_SRC", "dl_src": "02:00:00:00:00:99"},
                 {"type": "SET_VLAN_VID", "vlan_vid": 9}, {"type": "OUTPUT", "port": 2}]},
    {"match": {"dl_type": 2048, "nw_proto": 17}, "actions": []},
)
FLOWS = (
    {"table_id": 0, "match": {"in_port": 1}, "instructions": [{"type": "GOTO_TABLE", "table_id": 3}]},
    {"table_id": 3, "cookie": 5, "priority": 9, "hard_timeout": 100, "flags": 1,
     "match": {"eth_type": 2048, "ip_proto": 6, "ipv4_src": "10.0.0.0/8", "tcp_dst": 80},
     "instructions": [{"type": "WRITE_METADATA", "metadata": 17, "metadata_mask": 255},
                      {"type": "APPLY_ACTIONS", "actions": [
                          {"type": "SET_FIELD", "field": "ipv4_dst", "value": "10.9.9.9"},
                          {"type": "PUSH_VLAN", "ethertype": 33024}, {"type": "SET_FIELD", "field": "vlan_vid", "value": 4105},
                          {"type": "OUTPUT", "port": 2, "max_len": 99}]}]},
    {"table_id": 3, "match": {"vlan_vid": "0x1005/0x1fff", "vlan_pcp": 2},
     "instructions": [{"type": "WRITE_ACTIONS", "actions": [{"type": "POP_VLAN"}, {"type": "OUTPUT", "port": 0xfffffffb}]}]},
    {"table_id": 4, "match": {"eth_type": 34525, "ipv6_src": "2001:db8::/32", "ip_proto": 58, "icmpv6_type": 135,
                              "ipv6_nd_target": "2001:db8::1"}, "instructions": [{"type": "CLEAR_ACTIONS"}]},
    {"table_id": 4, "match": {"eth_type": 34887, "mpls_label": 100, "mpls_bos": 1},
     "instructions": [{"type": "APPLY_ACTIONS", "actions": [{"type": "POP_MPLS", "ethertype": 2048},
                                                          {"type": "DEC_NW_TTL"}, {"type": "OUTPUT", "port": 1}]}]},
    {"table_id": 4, "match": {"eth_dst": "01:00:00:00:00:00/01:00:00:00:00:00", "tunnel_id": 9, "metadata": "0x12/0xff"},
     "instructions": [{"type": "APPLY_ACTIONS", "actions": [{"type": "GROUP", "group_id": 1}]}]},
    {"table_id": 5, "match": {"eth_type": 2054, "arp_op": 1, "arp_tpa": "10.0.0.1", "arp_sha": "02:00:00:00:00:01"},
     "instructions": [{"type": "APPLY_ACTIONS", "actions": [{"type": "SET_QUEUE", "queue_id": 3}, {"type": "PUSH_MPLS", "ethertype": 34887},
                                                          {"type": "SET_MPLS_TTL", "mpls_ttl": 9}, {"type": "OUTPUT", "port": 0xfffffffd}]}]},
)
GROUPS = (
    {"type": "ALL", "group_id": 1, "buckets": [{"actions": [{"type": "OUTPUT", "port": 1}]}, {"actions": [{"type": "OUTPUT", "port": 2}]}]},
    {"type": "SELECT", "group_id": 2, "buckets": [{"weight": 3, "actions": [{"type": "OUTPUT", "port": 1}]},
                                                {"weight": 1, "actions": [{"type": "OUTPUT", "port": 2}]}]},
    {"type": "INDIRECT", "group_id": 3, "buckets": [{"actions": [{"type": "OUTPUT", "port": 1}]}]},
    {"type": "FF", "group_id": 4, "buckets": [{"watch_port": 1, "actions": [{"type": "OUTPUT", "port": 1}]},
                                             {"watch_port": 2, "watch_group": 3, "actions": [{"type": "OUTPUT", "port": 2}]}]},
)
METERS = (
    {"flags": "KBPS", "meter_id": 1, "bands": [{"type": "DROP", "rate": 1000, "burst_size": 100}]},
    {"flags": ["PKTPS", "BURST", "STATS"], "meter_id": 2, "bands": [{"type": "DROP", "rate": 10, "burst_size": 5}]},
    {"flags": "KBPS", "meter_id": 3, "bands": [{"type": "DSCP_REMARK", "rate": 10, "prec_level": 1}]},
)
ASK = ("get_desc_stats", "get_flow_stats", "get_aggregate_flow_stats", "get_table_stats", "get_port_stats",
       "get_port_desc", "get_queue_stats", "get_queue_config", "get_queue_desc", "get_group_stats", "get_group_desc",
       "get_group_features", "get_meter_stats", "get_meter_config", "get_meter_desc", "get_meter_features", "get_role")


def steady(value):
    if isinstance(value, dict):
        return {str(k): "-" if k in VOLATILE else steady(v) for k, v in value.items()}
    if isinstance(value, list):
        return sorted((steady(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True, default=str))
    if isinstance(value, bytes):
        return value.hex()
    return value


class Requests(app_manager.OSKenApp):
    OFP_VERSIONS = [VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.waiters = {}
        self.ofctl = importlib.import_module(f"os_ken.lib.ofctl_v1_{MODULES[VERSION][1]}")

    @set_ev_cls(ofp_event.EventOFPStateChange, MAIN_DISPATCHER)
    def joined(self, ev):
        hub.spawn(self.everything, ev.datapath)

    def say(self, name, value):
        print(f"ANSWER {name} {json.dumps(steady(value), sort_keys=True, default=str)}", flush=True)

    def ask(self, dp, name, *args):
        asked = getattr(self.ofctl, name, None)
        if asked is None:
            return
        try:
            self.say(name, asked(dp, self.waiters, *args))
        except Exception:
            traceback.print_exc()
            self.say(name, "exception")
        sys.stdout.flush()

    def change(self, dp, name, what, *args):
        try:
            getattr(self.ofctl, name)(dp, what, *args)
        except Exception:
            traceback.print_exc()
            self.say(name, "exception")

    def everything(self, dp):
        ofp = dp.ofproto
        for flow in (FLOWS_10 if VERSION == 1 else FLOWS):
            self.change(dp, "mod_flow_entry", flow, ofp.OFPFC_ADD)
        if VERSION > 1:
            for group in GROUPS:
                self.change(dp, "mod_group_entry", group, ofp.OFPGC_ADD)
            self.change(dp, "mod_flow_entry", FLOWS[5], ofp.OFPFC_ADD)
        if VERSION > 3:
            for meter in METERS:
                self.change(dp, "mod_meter_entry", meter, ofp.OFPMC_ADD)
        for name in ASK:
            self.ask(dp, name)
        if VERSION == 1:
            self.change(dp, "mod_port_behavior", {"port_no": 1, "config": 16, "mask": 16, "advertise": 0})
        else:
            self.change(dp, "mod_port_behavior", {"port_no": 1, "config": 64, "mask": 64, "advertise": 0})
        self.ask(dp, "get_port_desc")
        if VERSION > 1:
            self.change(dp, "mod_group_entry", {"type": "SELECT", "group_id": 1, "buckets": []}, ofp.OFPGC_MODIFY)
            self.change(dp, "mod_group_entry", {"group_id": 3}, ofp.OFPGC_DELETE)
            self.ask(dp, "get_group_desc")
        self.change(dp, "mod_flow_entry", {"match": {"in_port": 1}, "table_id": 0}, ofp.OFPFC_DELETE)
        self.ask(dp, "get_flow_stats")
        if VERSION > 1:
            for role in ("MASTER", "SLAVE", "EQUAL"):
                self.change(dp, "set_role", {"role": role})
            self.ask(dp, "get_role")
        print("FINISHED", flush=True)

    def replied(self, ev):
        msg = ev.msg
        waiting = self.waiters.get(msg.datapath.id, {}).get(msg.xid)
        if waiting is None:
            return
        lock, messages = waiting
        messages.append(msg)
        more = getattr(msg.datapath.ofproto, "OFPMPF_REPLY_MORE", getattr(msg.datapath.ofproto, "OFPSF_REPLY_MORE", 1))
        if not getattr(msg, "flags", 0) & more:
            del self.waiters[msg.datapath.id][msg.xid]
            lock.set()

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def error(self, ev):
        print("ANSWER error", ev.msg.type, ev.msg.code, "to type", ev.msg.data[1] if len(ev.msg.data) > 1 else None, flush=True)


for event in ("DescStatsReply", "FlowStatsReply", "AggregateStatsReply", "TableStatsReply", "TableFeaturesStatsReply", "PortStatsReply",
              "PortDescStatsReply", "QueueStatsReply", "QueueGetConfigReply", "QueueDescStatsReply", "GroupStatsReply",
              "GroupDescStatsReply", "GroupFeaturesStatsReply", "MeterStatsReply", "MeterConfigStatsReply", "MeterDescStatsReply",
              "MeterFeaturesStatsReply", "RoleReply", "StatsReply", "SwitchFeatures"):
    known = getattr(ofp_event, f"EventOFP{event}", None)
    if known is not None:
        Requests.replied = set_ev_cls(known, MAIN_DISPATCHER)(Requests.replied)
