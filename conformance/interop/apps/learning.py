"""A learning switch for any OpenFlow version that os-ken speaks: packet-in, packet-out, flow mods with idle timeouts."""
from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet
from os_ken.ofproto import ofproto_v1_0, ofproto_v1_2, ofproto_v1_3, ofproto_v1_4, ofproto_v1_5


class Learning(app_manager.OSKenApp):
    OFP_VERSIONS = [m.OFP_VERSION for m in (ofproto_v1_0, ofproto_v1_2, ofproto_v1_3, ofproto_v1_4, ofproto_v1_5)]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.places = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def joined(self, ev):
        dp = ev.msg.datapath
        print("joined", dp.id, "version", dp.ofproto.OFP_VERSION, flush=True)
        if dp.ofproto.OFP_VERSION > 1:
            ofp = dp.ofproto
            self.add(dp, 0, dp.ofproto_parser.OFPMatch(), ofp.OFPP_CONTROLLER, 0)

    def add(self, dp, priority, match, port, idle):
        ofp, parser = dp.ofproto, dp.ofproto_parser
        if ofp.OFP_VERSION == 1:
            dp.send_msg(parser.OFPFlowMod(
                datapath=dp, match=match, cookie=7, command=ofp.OFPFC_ADD, idle_timeout=idle, hard_timeout=0,
                priority=priority, flags=ofp.OFPFF_SEND_FLOW_REM, actions=[parser.OFPActionOutput(port)]))
            return
        actions = [parser.OFPActionOutput(port, ofp.OFPCML_NO_BUFFER)]
        instructions = [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)]
        dp.send_msg(parser.OFPFlowMod(datapath=dp, priority=priority, match=match, idle_timeout=idle, cookie=7,
                                      instructions=instructions))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, ev):
        msg, dp = ev.msg, ev.msg.datapath
        ofp, parser = dp.ofproto, dp.ofproto_parser
        in_port = msg.in_port if ofp.OFP_VERSION == 1 else msg.match["in_port"]
        eth = packet.Packet(msg.data).get_protocols(ethernet.ethernet)[0]
        self.places[eth.src] = in_port
        out = self.places.get(eth.dst, ofp.OFPP_FLOOD)
        if out != ofp.OFPP_FLOOD:
            if ofp.OFP_VERSION == 1:
                match = parser.OFPMatch(in_port=in_port, dl_src=eth.src, dl_dst=eth.dst)
            else:
                match = parser.OFPMatch(in_port=in_port, eth_src=eth.src, eth_dst=eth.dst)
            self.add(dp, 10, match, out, 30)
        data = msg.data if msg.buffer_id == ofp.OFP_NO_BUFFER else None
        actions = [parser.OFPActionOutput(out, 0)]
        if ofp.OFP_VERSION >= 6:
            packet_out = parser.OFPPacketOut(datapath=dp, buffer_id=msg.buffer_id, actions=actions, data=data,
                                             match=parser.OFPMatch(in_port=in_port))
        else:
            packet_out = parser.OFPPacketOut(datapath=dp, buffer_id=msg.buffer_id, in_port=in_port, actions=actions, data=data)
        dp.send_msg(packet_out)

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def error(self, ev):
        print("error", ev.msg.type, ev.msg.code, bytes(ev.msg.data).hex(), flush=True)
